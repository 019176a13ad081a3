"""Affines: voxel indices to scanner coordinates (RAS+, mm), and the axes of a grid."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bids_acc.typing import FloatArray


def apply_matrix(matrix: npt.ArrayLike, points: npt.ArrayLike) -> FloatArray:
    """Apply a homogeneous matrix.

    Parameters
    ----------
    matrix : (4, 4) array_like
    points : (..., 3) array_like

    Returns
    -------
    (..., 3) ndarray

    Examples
    --------
    >>> apply_matrix(np.diag([2, 2, 2, 1]), [[1, 0, 0]])
    array([[2., 0., 0.]])
    """
    values = np.asarray(matrix, dtype=float)
    return np.asarray(np.asarray(points, dtype=float) @ values[:3, :3].T + values[:3, 3])


def voxel_centres(mask: npt.ArrayLike, affine: npt.ArrayLike) -> FloatArray:
    """Return where the voxels of a mask lie.

    Parameters
    ----------
    mask : (i, j, k) array_like of bool
    affine : (4, 4) array_like

    Returns
    -------
    (n_voxels, 3) ndarray
        Scanner coordinates in mm, in the order of ``np.argwhere``.
    """
    return apply_matrix(affine, np.argwhere(np.asarray(mask)))


def centre_of_mass(mask: npt.ArrayLike, affine: npt.ArrayLike) -> FloatArray:
    """Return the centre of mass of a mask, in scanner coordinates.

    Parameters
    ----------
    mask : (nx, ny, nz) array_like of bool
        Not empty; every voxel in it counts the same.
    affine : (4, 4) array_like
        Voxel to scanner RAS in mm.

    Returns
    -------
    (3,) ndarray
        Scanner RAS in mm.
    """
    return apply_matrix(affine, np.argwhere(np.asarray(mask)).mean(axis=0))


def axes_of(affine: npt.ArrayLike) -> FloatArray:
    """Return the orthonormal matrix nearest to the directions of the voxel axes.

    Parameters
    ----------
    affine : (4, 4) array_like
        Voxel indices to scanner coordinates, mm.

    Returns
    -------
    (3, 3) ndarray
        Columns are unit vectors; its determinant has the sign of the affine's.
    """
    linear = np.asarray(affine, dtype=float)[:3, :3]
    linear = linear / np.linalg.norm(linear, axis=0)
    # The orthogonal factor of the polar decomposition: unlike Gram-Schmidt it prefers no axis, so
    # that a grid sheared by rounding is turned by the same amount about each.
    left, _, right = np.linalg.svd(linear)
    return np.asarray(left @ right)
