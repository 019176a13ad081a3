"""Regional homogeneity: how alike the series of neighbouring voxels rise and fall.

Kendall's coefficient of concordance W of a voxel and its neighbours on the grid of the series.
It is computed on the grid and not on the mesh: vertices of a mesh lie closer together than voxels,
and W of interpolated values grows with their density, so that thickness and folding would come
out as function.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage, sparse, stats

from bids_acc.typing import BoolArray, FloatArray

NEIGHBOURS = 27
"""Voxels of a full neighbourhood, the voxel itself among them (Zang et al. 2004)."""
LEAST_NEIGHBOURS = 18
"""Voxels with signal below which W is not given: two layers of three, as at a flat edge of the
brain (own convention; W of unrelated series is one by the number of voxels, so that small
neighbourhoods are not comparable)."""


def kendall_w(series: npt.ArrayLike) -> float:
    """Return the concordance of several series.

    Parameters
    ----------
    series : (n_volumes, n_voxels) array_like
        Ties share their mean rank; they are not corrected for, as measured signals have none.

    Returns
    -------
    float
        From 0 (none) to 1 (the same order in all).

    Examples
    --------
    >>> kendall_w([[1, 10], [2, 20], [3, 30]])
    1.0

    References
    ----------
    Kendall MG, Babington Smith B (1939). The problem of m rankings. Ann Math Stat 10(3):275-287.
    https://doi.org/10.1214/aoms/1177732186
    """
    ranks = stats.rankdata(np.asarray(series, dtype=float), axis=0)
    n, m = ranks.shape
    sums = ranks.sum(axis=1)
    return float(12 * np.sum((sums - sums.mean()) ** 2) / (m**2 * (n**3 - n)))


def regional_homogeneity(series: npt.ArrayLike, inside: npt.ArrayLike) -> FloatArray:
    """Return Kendall's W of each voxel with its 26 neighbours.

    Parameters
    ----------
    series : (n_volumes, n_voxels) array_like
        Cleaned, band-passed series of the voxels in ``inside``, in C order.
    inside : (i, j, k) array_like of bool
        Voxels with signal.

    Returns
    -------
    (i, j, k) ndarray
        NaN outside, and where fewer than `LEAST_NEIGHBOURS` of the neighbourhood have signal.

    References
    ----------
    Zang Y, Jiang T, Lu Y, He Y, Tian L (2004). Regional homogeneity approach to fMRI data
    analysis. NeuroImage 22(1):394-400. https://doi.org/10.1016/j.neuroimage.2003.12.030
    """
    mask: BoolArray = np.asarray(inside, dtype=bool)
    values = np.asarray(series)
    n = len(values)
    ranks = _ranks(values)
    count = _neighbour_sum(mask.astype(np.float32))
    total = np.zeros(mask.shape)
    volume = np.zeros(mask.shape, dtype=np.float32)
    # Volume by volume: the sum over neighbours is a filter in space, and all volumes at once would
    # be 27 copies of the series.
    for row in ranks:
        volume[mask] = row
        total += _neighbour_sum(volume).astype(float) ** 2
    with np.errstate(invalid='ignore', divide='ignore'):
        # Rounded, as the sum came out of a mean in single precision.
        found = 12 * total / (count.round().astype(float) ** 2 * (float(n) ** 3 - n))
    return np.where(mask & (count.round() >= LEAST_NEIGHBOURS), found, np.nan)


def homogeneity_of_sets(series: npt.ArrayLike, members: sparse.spmatrix) -> FloatArray:
    """Return Kendall's W of sets of series, such as the vertices around each vertex.

    Parameters
    ----------
    series : (n_volumes, n_series) array_like
    members : (n_sets, n_series) sparse matrix
        1 where a series belongs to a set; series without signal belong to none.

    Returns
    -------
    (n_sets,) ndarray
        NaN for sets of fewer than two.
    """
    values = np.asarray(series)
    n = len(values)
    total = np.zeros(members.shape[0])
    for row in _ranks(values):
        total += np.asarray(members @ row, dtype=float) ** 2
    count = np.asarray(members.sum(axis=1), dtype=float).ravel()
    with np.errstate(invalid='ignore', divide='ignore'):
        found = 12 * total / (count**2 * (float(n) ** 3 - n))
    return np.where(count >= 2, found, np.nan)


def _ranks(series: npt.NDArray[np.floating], chunk: int = 20_000) -> npt.NDArray[np.float32]:
    """Rank each series, centred: the sum of centred ranks needs no mean to be taken off."""
    ranks = np.empty(series.shape, dtype=np.float32)
    for start in range(0, series.shape[1], chunk):
        part = slice(start, start + chunk)
        ranks[:, part] = stats.rankdata(series[:, part], axis=0) - (len(series) + 1) / 2
    return ranks


def _neighbour_sum(volume: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Sum the 3 x 3 x 3 neighbourhood of each voxel; nothing outside the grid."""
    mean: npt.NDArray[np.float32] = ndimage.uniform_filter(volume, 3, mode='constant')
    return mean * NEIGHBOURS
