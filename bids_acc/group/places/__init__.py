"""Where the voxels of spectra lie."""
