"""Nipype graphs of spectroscopy: that of a spectrum, and that of one that failed."""
