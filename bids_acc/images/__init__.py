"""Images for every modality: grids, ANTs, resampling, registration, motion, distortion."""
