"""The table of measures: made, written, read back, explained."""
