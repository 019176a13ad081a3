"""Statistics on arrays: they know neither studies nor tables nor files."""
