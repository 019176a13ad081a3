"""From vertex maps to parcels: selection, final fit, confidence, files and pictures.

parcellation (with bootstrap) -> measures -> files -> pictures; ``atlas`` stands in for the first
where parcels exist already.
"""
