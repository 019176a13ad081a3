"""People, parcels and levels joined into the data of one analysis."""
