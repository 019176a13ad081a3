"""NODDI parameters at the vertices of the cortex."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bids_acc.surfaces.ribbon import MIN_SHARE, combine_depths
from bids_acc.typing import FloatArray

NODDI_NAMES = ('icvf', 'isovf', 'od')
"""Parameters of NODDI-type maps: intra-neurite and isotropic volume fraction, dispersion."""


def combine_noddi(
    maps: Mapping[str, FloatArray], grey_share: FloatArray, csf_share: FloatArray
) -> dict[str, FloatArray]:
    """Average NODDI parameters over the depths of each vertex.

    Parameters
    ----------
    maps : mapping of (n_depths, n_vertices) ndarray
        ``icvf``, ``isovf`` and ``od``; NaN outside the field of view. Where icvf is not
        positive nothing was fitted.
    grey_share, csf_share : (n_depths, n_vertices) ndarray

    Returns
    -------
    dict of (n_vertices,) ndarray
    """
    fitted = np.isfinite(maps['icvf']) & (np.nan_to_num(maps['icvf']) > 0)
    tissue = np.clip(1 - np.nan_to_num(maps['isovf'], nan=1.0), 0, 1)
    plain = combine_depths({'isovf': maps['isovf']}, fitted, grey_share, csf_share)
    # Parameters of the tissue are those of its own part of the signal: a voxel of CSF says
    # nothing of neurites.
    share = np.sqrt(tissue) * np.maximum(grey_share, MIN_SHARE)
    weights = share**2 * fitted
    result = {'isovf': plain.values['isovf']}
    with np.errstate(invalid='ignore', divide='ignore'):
        for name in ('icvf', 'od'):
            known = weights * np.isfinite(maps[name])
            result[name] = (known * np.nan_to_num(maps[name])).sum(axis=0) / known.sum(axis=0)
    return {name: result[name] for name in NODDI_NAMES}
