"""The analyses: from a study to rows."""
