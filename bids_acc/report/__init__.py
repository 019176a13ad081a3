"""Pages: figures and tables into single self-contained HTML files."""
