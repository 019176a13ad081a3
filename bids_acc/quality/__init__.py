"""The quality gate: named thresholds, what a measure is held against, and the verdict."""
