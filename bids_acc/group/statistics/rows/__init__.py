"""The form of a result."""
