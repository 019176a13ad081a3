"""BIDS in: files become checked objects here, and nobody further on parses a file name."""
