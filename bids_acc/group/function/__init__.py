"""The cohort's connectivity."""
