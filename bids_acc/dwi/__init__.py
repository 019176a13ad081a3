"""Diffusion series to FA, MD and MO, in voxels and at the vertices of the cortex.

Arrays: ``shells``, ``coherence``, ``series`` (gradients), ``denoise``, ``motion``, ``outliers``,
``resample``, ``registration``, ``mask`` (images), ``tensor``, ``sampling`` (volume to vertices),
``susceptibility``, ``field`` (distortion), ``quality``, ``figures``. Files: ``interfaces/``.
Graph: ``workflow/``. Both of the latter are split by stage.
"""
