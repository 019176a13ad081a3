"""Nipype interfaces of spectroscopy: files in, formulas called, files out."""
