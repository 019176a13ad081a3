"""What the report of a cohort says and shows, and the tables that a paper takes."""
