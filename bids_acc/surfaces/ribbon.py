"""From volumes to the vertices of the cortex.

The diffusion signal itself is taken to the points of the cortical ribbon, through all
transforms at once, and the tensor is fitted there: a value is interpolated once, and not a
second time as a map. Points that share their voxel with CSF or white matter count less.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from nibabel.affines import voxel_sizes
from scipy import ndimage

from bids_acc.images.resampling import sample
from bids_acc.surfaces.regions import Labels
from bids_acc.typing import BoolArray, FloatArray, Row

RIBBON = (0.2, 0.35, 0.5, 0.65, 0.8)
"""Depths from the white (0) to the pial surface (1) at which the ribbon is sampled."""

MIN_SHARE = 0.05
"""Grey-matter share that every sample is granted, so that no vertex of a thin gyrus is lost."""


HIGH_CSF = 0.5
"""Vertices whose samples hold more than this share of CSF are counted in the quality table."""


@dataclass(frozen=True)
class VertexValues:
    """What was measured at each vertex."""

    values: dict[str, FloatArray]
    """(n_vertices,) for each map; NaN where nothing was measured."""
    coverage: FloatArray
    """(n_vertices,) fraction of the depths with a usable tensor."""
    csf: FloatArray
    """(n_vertices,) weighted share of the samples' volume that is not brain tissue."""


def ribbon_points(white: npt.ArrayLike, pial: npt.ArrayLike, depths: npt.ArrayLike) -> FloatArray:
    """Return points between paired vertices of two surfaces.

    Parameters
    ----------
    white, pial : (n_vertices, 3) array_like
        Scanner coordinates, mm.
    depths : (n_depths,) array_like
        0 on the white, 1 on the pial surface.

    Returns
    -------
    (n_depths, n_vertices, 3) ndarray

    Examples
    --------
    >>> ribbon_points([[0, 0, 0]], [[0, 0, 2]], [0.5])
    array([[[0., 0., 1.]]])
    """
    inner, outer = np.asarray(white, dtype=float), np.asarray(pial, dtype=float)
    fractions = np.asarray(depths, dtype=float)[:, None, None]
    return np.asarray(inner + fractions * (outer - inner))


def blur_to_resolution(
    volume: npt.ArrayLike, affine: npt.ArrayLike, resolution_mm: float
) -> npt.NDArray[np.float32]:
    """Blur a tissue map until its voxels see what a voxel of the diffusion image sees.

    Gaussian whose variance is the difference of the two voxels' box variances, h^2 / 12 along
    each axis.

    Parameters
    ----------
    volume : (i, j, k) array_like
    affine : (4, 4) array_like
    resolution_mm : float
        Edge of the diffusion image's voxel.

    Returns
    -------
    (i, j, k) ndarray of float32
    """
    zooms = voxel_sizes(np.asarray(affine, dtype=float))
    variance = np.maximum(resolution_mm**2 - zooms**2, 0) / 12
    # Zero beyond the image as well (mode 'constant'): there is no tissue there that could be
    # mirrored.
    values = np.nan_to_num(np.asarray(volume, dtype=np.float32))
    return np.asarray(ndimage.gaussian_filter(values, np.sqrt(variance) / zooms, mode='constant'))


def tissue_shares(
    points: npt.ArrayLike,
    grey: npt.ArrayLike,
    white: npt.ArrayLike,
    affine: npt.ArrayLike,
) -> tuple[FloatArray, FloatArray]:
    """Return the shares of grey matter and of what is no tissue around points.

    Parameters
    ----------
    points : (n_points, 3) array_like
    grey, white : (i, j, k) array_like
        Tissue fractions, blurred by `blur_to_resolution`.
    affine : (4, 4) array_like

    Returns
    -------
    grey_share, csf_share : (n_points,) ndarray
        In [0, 1]; outside the images nothing is tissue.
    """
    shares = [
        np.clip(np.nan_to_num(sample(np.asarray(t), affine, points)), 0, 1) for t in (grey, white)
    ]
    return shares[0], np.clip(1 - shares[0] - shares[1], 0, 1)


def combine_depths(
    maps: dict[str, FloatArray],
    usable: BoolArray,
    grey_share: FloatArray,
    csf_share: FloatArray,
) -> VertexValues:
    """Average the depths of each vertex, weighted by how pure their grey matter is.

    The weight is the squared grey-matter share (at least `MIN_SHARE`): a sample's bias grows
    with what else is in it.

    Parameters
    ----------
    maps : dict of (n_depths, n_vertices) ndarray
        NaN where undefined.
    usable : (n_depths, n_vertices) ndarray of bool
        Inside the field of view and with a positive tensor.
    grey_share, csf_share : (n_depths, n_vertices) ndarray

    Returns
    -------
    VertexValues
    """
    weights = np.maximum(grey_share, MIN_SHARE) ** 2 * usable
    values = {}
    with np.errstate(invalid='ignore', divide='ignore'):
        for name, depths in maps.items():
            # Each map by itself: the mode of a tensor, for one, is undefined where it is round,
            # and its other maps are not.
            known = weights * np.isfinite(depths)
            values[name] = (known * np.nan_to_num(depths)).sum(axis=0) / known.sum(axis=0)
        csf = (weights * csf_share).sum(axis=0) / weights.sum(axis=0)
    return VertexValues(values, usable.mean(axis=0), csf)


def region_rows(labels: Labels, result: VertexValues) -> list[Row]:
    """Summarise each region of a hemisphere.

    Parameters
    ----------
    labels : Labels
        Regions; those without vertices are left out.
    result : VertexValues
        What was measured.

    Returns
    -------
    list of dict
        ``atlas``, ``region``, ``n_vertices``, ``coverage`` (share of the vertices with a value),
        ``csf`` (mean share of CSF) and the mean of each map.

    Examples
    --------
    >>> values = VertexValues(
    ...     {'md': np.array([1.0, 3, np.nan])}, np.array([1, 0.4, 0]), np.array([0.1, 0.3, np.nan])
    ... )
    >>> labels = Labels('Mine', np.array([1, 1, 1]), {0: 'unknown', 1: 'acc'})
    >>> region_rows(labels, values)[0]['md']
    2.0
    """
    rows: list[Row] = []
    for name, inside in labels.regions():
        measured = inside & (result.coverage > 0)
        rows.append(
            {
                'atlas': labels.atlas,
                'region': name,
                'n_vertices': int(inside.sum()),
                'coverage': float(measured.sum() / inside.sum()),
                'csf': _mean(result.csf[inside]),
                **{what: _mean(values[inside]) for what, values in result.values.items()},
            }
        )
    return rows


def _mean(values: FloatArray) -> float:
    """Mean of the finite values, NaN without any."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else float('nan')
