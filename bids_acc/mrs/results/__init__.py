"""What every engine returns: amplitudes, intervals, quality; written and read again."""
