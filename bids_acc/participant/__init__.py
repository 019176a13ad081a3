"""The participant level: from the sessions of a data set to their derivatives."""
