"""Who is in a cohort, and what the output folder knows of each: people, verdicts, maps."""
