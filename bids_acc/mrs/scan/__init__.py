"""What a spectrum's file holds: reading it, its coils, transients and editing conditions."""
