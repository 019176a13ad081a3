"""From raw transients to one spectrum: coils, alignment, referencing, water, artefacts."""
