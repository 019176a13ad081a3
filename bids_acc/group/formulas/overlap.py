"""How well the voxels of a cohort lie on each other."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bids_acc.typing import FloatArray


def dice(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    r"""Dice coefficient of two images of shares, 1 where both are the same.

    .. math:: D = 2 \sum_i \min(a_i, b_i) / (\sum_i a_i + \sum_i b_i)

    Of masks it is the usual one; of shares between 0 and 1 the intersection is the smaller of the
    two (Crum et al. 2006, IEEE Trans Med Imaging 25:1451-1461,
    https://doi.org/10.1109/TMI.2006.880587).

    Parameters
    ----------
    first, second : array_like
        Of the same shape, 0 to 1.

    Returns
    -------
    float
        NaN where both are empty.

    Examples
    --------
    >>> dice([1, 1, 0], [0, 1, 1]), dice([0.5, 0.5], [0.5, 0.5])
    (0.5, 1.0)
    """
    a, b = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    total = a.sum() + b.sum()
    return float(2 * np.minimum(a, b).sum() / total) if total > 0 else float('nan')


def centre_of(image: npt.ArrayLike, affine: npt.ArrayLike) -> FloatArray:
    """Centre of mass of an image of shares, in the space of its affine.

    Parameters
    ----------
    image : (nx, ny, nz) array_like
    affine : (4, 4) array_like

    Returns
    -------
    (3,) ndarray
        In mm; NaN of an empty image.

    Examples
    --------
    >>> centre_of([[[0.0, 1.0, 1.0]]], np.diag([2.0, 2, 2, 1])).tolist()
    [0.0, 0.0, 3.0]
    """
    values = np.asarray(image, dtype=float)
    if not values.any():
        return np.full(3, np.nan)
    where = np.nonzero(values)
    index = np.average(np.stack(where), axis=1, weights=values[where])
    matrix = np.asarray(affine, dtype=float)
    place: FloatArray = matrix[:3, :3] @ index + matrix[:3, 3]
    return place


def overlap_with_others(images: npt.ArrayLike) -> FloatArray:
    """Dice coefficient of each image with the mean of the others.

    The mean leaves the image itself out: in a small cohort it would resemble the mean because it
    is part of it.

    Parameters
    ----------
    images : (n, ...) array_like
        One image of shares for each spectrum.

    Returns
    -------
    (n,) ndarray
        NaN where there is one image only.

    Examples
    --------
    >>> overlap_with_others([[1.0, 1, 0], [1, 1, 0], [0, 1, 1]]).round(2).tolist()
    [0.75, 0.75, 0.5]
    """
    stack = np.asarray(images, dtype=float)
    if len(stack) < 2:
        return np.full(len(stack), np.nan)
    total = stack.sum(axis=0)
    return np.array([dice(one, (total - one) / (len(stack) - 1)) for one in stack])
