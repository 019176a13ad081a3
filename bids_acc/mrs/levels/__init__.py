"""From amplitudes to levels: tissue, water scaling, ratios, and the tables they stand in."""
