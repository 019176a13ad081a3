"""Files as they are met: read with suspicion, written whole, kept where nobody else may write."""
