"""Data with known truth and small BIDS folders, made by code."""
