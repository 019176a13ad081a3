"""Running Nipype graphs so that nothing hangs, progress is seen and each failure has a name."""
