"""From vertex maps to parcels: selection, final fit, confidence, files and pictures.

parcellation (with bootstrap) -> measures -> files -> figures; ``atlas`` stands in for the first
where parcels exist already.
"""
