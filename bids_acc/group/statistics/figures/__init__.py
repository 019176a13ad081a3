"""Pictures of finished analyses."""
