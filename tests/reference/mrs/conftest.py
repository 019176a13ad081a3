"""What is a script for another Python and no module of tests."""

collect_ignore = ['make_pygamma_lines.py']
