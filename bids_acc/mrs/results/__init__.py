"""What every engine returns: amplitudes with errors and intervals, written and read again."""
