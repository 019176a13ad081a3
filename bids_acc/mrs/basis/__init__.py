"""Basis sets: simulated from spin systems or read from files."""
