"""Where the brain is, from b = 0 images alone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bids_acc.exceptions import ComputationError
from bids_acc.typing import BoolArray


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
    top = np.percentile(flat, 99.5)
    counts, edges = np.histogram(np.minimum(flat, top), bins=n_bins)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    sums = np.cumsum(counts * centres)
    with np.errstate(invalid='ignore', divide='ignore'):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return float(edges[1:][np.nanargmax(between)])


def brain_mask(image: npt.ArrayLike, zooms: npt.ArrayLike) -> BoolArray:
    """Return the brain in a b = 0 image.

    Smoothed, thresholded, opened to cut eyes and skin off, the largest piece kept, grown back
    and filled.

    Parameters
    ----------
    image : (i, j, k) array_like
        Mean of the b = 0 volumes.
    zooms : (3,) array_like
        Voxel size in mm.

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
    core = _largest(_ball(ndimage.binary_erosion, rough, 5.0, size))
    grown = _ball(ndimage.binary_dilation, core, 7.5, size) & rough
    closed = _ball(ndimage.binary_closing, np.pad(grown, 8), 8.0, size)[8:-8, 8:-8, 8:-8]
    mask = ndimage.binary_fill_holes(closed)
    volume_ml = float(mask.sum() * np.prod(size) / 1000)
    if not 50 <= volume_ml <= 4000:
        raise ComputationError(
            f'brain mask of the b = 0 image has {volume_ml:.0f} mL; supply a mask, or check '
            'whether the image shows a whole brain.'
        )
    return mask


def _ball(operation: object, mask: BoolArray, radius_mm: float, zooms: npt.NDArray) -> BoolArray:
    """Erode, dilate or close with a ball, by distance transforms."""
    if operation is ndimage.binary_erosion:
        return ndimage.distance_transform_edt(mask, zooms) > radius_mm
    if operation is ndimage.binary_dilation:
        return ndimage.distance_transform_edt(~mask, zooms) <= radius_mm
    grown = _ball(ndimage.binary_dilation, mask, radius_mm, zooms)
    return _ball(ndimage.binary_erosion, grown, radius_mm, zooms) | mask


def _largest(mask: BoolArray) -> BoolArray:
    """Keep the largest connected piece."""
    labels, count = ndimage.label(mask)
    if count < 2:
        return mask
    sizes = ndimage.sum_labels(mask, labels, np.arange(1, count + 1))
    return labels == 1 + int(np.argmax(sizes))
