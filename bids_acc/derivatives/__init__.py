"""BIDS out: names and sidecars from one declared table, and back in again at the group level."""
