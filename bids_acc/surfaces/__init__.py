"""Meshes for every modality: geometry, neighbours, GIFTI in and out, resampling, the ribbon."""
