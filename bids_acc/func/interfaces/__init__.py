"""Nipype shells of the functional line: read, call a formula, write."""
