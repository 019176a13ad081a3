"""Modulated density of grey matter in the template: how much of it a person has at each place."""

from __future__ import annotations

import numpy as np

from bids_acc.typing import FloatArray, Volume


def jacobian_determinant(places: Volume, affine: FloatArray) -> Volume:
    """Return by how much a mapping of space stretches volume.

    Parameters
    ----------
    places : (nx, ny, nz, 3) ndarray
        Where each voxel of a grid goes, mm; NaN where it is not known.
    affine : (4, 4) ndarray
        Voxel to mm, of the grid.

    Returns
    -------
    (nx, ny, nz) ndarray
        Determinant of the derivative by central differences; negative where space is folded, NaN
        where it is not known.

    Examples
    --------
    >>> grid = np.moveaxis(np.indices((4, 4, 4)), 0, -1) * 2.0
    >>> float(jacobian_determinant(grid * [1.1, 1, 1], np.diag([2.0, 2, 2, 1])).mean().round(6))
    1.1
    """
    along = [np.gradient(np.asarray(places), axis=axis) for axis in range(3)]
    # The triple product of the columns is the determinant, without a matrix for each voxel.
    product = np.einsum('...i,...i->...', along[0], np.cross(along[1], along[2]))
    return np.asarray(product / np.linalg.det(np.asarray(affine)[:3, :3]))


def modulated(grey: Volume, determinant: Volume) -> Volume:
    """Return grey matter per volume of the template.

    Its sum over a region, times the volume of a voxel, is the person's volume of grey matter
    there: what spatial normalization made larger or smaller is put back.

    Parameters
    ----------
    grey : (nx, ny, nz) ndarray
        Share of grey matter at the person's place of each template voxel; NaN outside.
    determinant : (nx, ny, nz) ndarray
        Volume of the person by volume of the template, see `jacobian_determinant`.

    Returns
    -------
    (nx, ny, nz) ndarray
        Zero outside the person's image, and where space is folded.

    References
    ----------
    Good CD, et al. (2001). A voxel-based morphometric study of ageing in 465 normal adult human
    brains. NeuroImage 14:21-36. https://doi.org/10.1006/nimg.2001.0786
    """
    return np.asarray(np.nan_to_num(grey) * np.maximum(np.nan_to_num(determinant), 0))
