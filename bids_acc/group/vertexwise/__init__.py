"""Contrasts at every vertex."""
