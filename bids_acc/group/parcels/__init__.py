"""From vertex maps to parcels: selection, final fit, confidence, files and pictures.

parcellation (with bootstrap) -> measures -> files -> pictures; ``step`` runs them on an output
folder.
"""
