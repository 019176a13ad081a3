"""Treatment histories of a cohort."""
