"""Nipype graphs of the functional line."""
