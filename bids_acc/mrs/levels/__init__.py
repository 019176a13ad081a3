"""From amplitudes to levels: tissue, water scaling, ratios, signs of trouble, and their tables."""
