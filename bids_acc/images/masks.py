"""Masks: pieces, balls and overlap, and where the brain is in a b = 0 image."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bids_acc.exceptions import ComputationError
from bids_acc.typing import BoolArray, FloatArray


def otsu_threshold(values: npt.ArrayLike, n_bins: int = 256) -> float:
    """Return the threshold that separates two classes best.

    Parameters
    ----------
    values : array_like
        Any shape; not finite values are left out.
    n_bins : int
        Resolution of the histogram.

    Returns
    -------
    float

    References
    ----------
    Otsu N (1979). IEEE Trans Syst Man Cybern 9:62-66. https://doi.org/10.1109/TSMC.1979.4310076

    Examples
    --------
    >>> 1 < otsu_threshold([0, 1, 1, 0, 9, 10, 10, 9]) < 9
    True
    """
    flat = np.asarray(values, dtype=float).ravel()
    flat = flat[np.isfinite(flat)]
    # A few very bright voxels (vessels, spikes) would else take most of the bins.
    top = np.percentile(flat, 99.5)
    counts, edges = np.histogram(np.minimum(flat, top), bins=n_bins)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    sums = np.cumsum(counts * centres)
    with np.errstate(invalid='ignore', divide='ignore'):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return float(edges[1:][np.nanargmax(between)])


def largest_component(mask: npt.ArrayLike) -> BoolArray:
    """Keep the largest face-connected part of a mask.

    Parameters
    ----------
    mask : (nx, ny, nz) array_like of bool
        Voxels that share an edge or a corner only are not connected.

    Returns
    -------
    (nx, ny, nz) ndarray of bool
        Empty if the mask is; of parts of one size the first in order of voxels.
    """
    labels, n = ndimage.label(np.asarray(mask, dtype=bool))
    if n == 0:
        return np.zeros(np.shape(mask), dtype=bool)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(labels == sizes.argmax())


def ball(radius_mm: float, voxel_sizes: npt.ArrayLike) -> BoolArray:
    """Return a structuring element of a radius in mm on an anisotropic grid.

    Parameters
    ----------
    radius_mm : float
        Below the smallest voxel edge the ball is the one voxel.
    voxel_sizes : (3,) array_like
        mm.

    Returns
    -------
    (2r + 1, 2s + 1, 2t + 1) ndarray of bool
        Voxels whose centre lies within the radius of the middle one's.
    """
    sizes = np.asarray(voxel_sizes, dtype=float)
    reach = np.floor(radius_mm / sizes).astype(int)
    grid = np.stack(np.meshgrid(*[np.arange(-r, r + 1) for r in reach], indexing='ij'), axis=-1)
    return np.asarray(((grid * sizes) ** 2).sum(axis=-1) <= radius_mm**2 + 1e-6)


def dice(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Return the overlap of two masks, from 0 to 1; NaN when both are empty.

    Parameters
    ----------
    a, b : array_like of bool
        On one grid.

    Examples
    --------
    >>> round(dice([1, 1, 0], [0, 1, 1]), 3)
    0.5
    """
    a, b = np.asarray(a, dtype=bool), np.asarray(b, dtype=bool)
    total = int(a.sum()) + int(b.sum())
    return float(2 * (a & b).sum() / total) if total else float('nan')


def brain_mask(
    image: npt.ArrayLike, zooms: npt.ArrayLike, what: str = 'the b = 0 image'
) -> BoolArray:
    """Return the brain in a b = 0 image, or another in which it is bright.

    Smoothed, thresholded, opened to cut eyes and skin off, the largest piece kept, grown back
    and filled.

    Parameters
    ----------
    image : (i, j, k) array_like
        Mean of the b = 0 volumes.
    zooms : (3,) array_like
        Voxel size in mm.
    what : str
        The image, for the message.

    Returns
    -------
    (i, j, k) ndarray of bool

    Raises
    ------
    ComputationError
        If less than 50 or more than 4000 mL are found: this is no brain.
    """
    values = np.nan_to_num(np.asarray(image, dtype=float))
    size = np.asarray(zooms, dtype=float)
    smooth = ndimage.gaussian_filter(values, 1.0 / size)
    rough = smooth > 0.8 * otsu_threshold(smooth)
    core = largest_component(_eroded(rough, 5.0, size))
    grown = _dilated(core, 7.5, size) & rough
    # What is dilated beyond the side of the image would be lost, and eroding would then cut the
    # brain there: closing needs room.
    padded = np.pad(grown, 8)
    closed = (_eroded(_dilated(padded, 8.0, size), 8.0, size) | padded)[8:-8, 8:-8, 8:-8]
    mask: BoolArray = ndimage.binary_fill_holes(closed)
    volume_ml = float(mask.sum() * np.prod(size) / 1000)
    if not 50 <= volume_ml <= 4000:
        raise ComputationError(
            f'brain mask of {what} has {volume_ml:.0f} mL; supply a mask, or check '
            'whether the image shows a whole brain.'
        )
    return mask


def _eroded(mask: BoolArray, radius_mm: float, zooms: FloatArray) -> BoolArray:
    """Erode with a ball; what lies outside the image does not erode."""
    return np.asarray(ndimage.distance_transform_edt(mask, zooms) > radius_mm)


def _dilated(mask: BoolArray, radius_mm: float, zooms: FloatArray) -> BoolArray:
    """Dilate with a ball."""
    return np.asarray(ndimage.distance_transform_edt(~mask, zooms) <= radius_mm)
