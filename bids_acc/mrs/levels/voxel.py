"""The spectroscopic voxel on the grid of an image, with partial coverage at its faces."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bids_acc.typing import FloatArray


def voxel_corners(affine: npt.ArrayLike) -> FloatArray:
    """Corners of the first voxel of an affine in its world space, (8, 3), in mm."""
    corners = np.array(np.meshgrid([-0.5, 0.5], [-0.5, 0.5], [-0.5, 0.5])).reshape(3, -1).T
    affine = np.asarray(affine, dtype=float)
    return corners @ affine[:3, :3].T + affine[:3, 3]


def voxel_coverage(
    voxel_affine: npt.ArrayLike,
    image_affine: npt.ArrayLike,
    image_shape: tuple[int, int, int],
    subdivision: int = 4,
) -> FloatArray:
    """Share of each image voxel that lies inside the spectroscopic voxel.

    Parameters
    ----------
    voxel_affine : (4, 4) array_like
        Affine of the spectrum's NIfTI-MRS file, whose only voxel is centred at index zero.
    image_affine : (4, 4) array_like
        Affine of the image, in the same world space.
    image_shape : tuple of int
        Shape of the image.
    subdivision : int
        Image voxels are cut into this many parts along each axis. A part that a face cuts counts
        by the share that lies inside, exactly where the axes are parallel.

    Returns
    -------
    image_shape ndarray of float64
        0 to 1. A part of the spectroscopic voxel that lies outside the image is not covered.

    Examples
    --------
    >>> coverage = voxel_coverage(np.diag([3.0, 3, 3, 1]), np.eye(4), (4, 4, 4))
    >>> float(coverage.sum().round(6)), float(coverage[0, 0, 0])
    (8.0, 1.0)
    """
    image_affine = np.asarray(image_affine, dtype=float)
    to_voxel = np.linalg.inv(np.asarray(voxel_affine, dtype=float)) @ image_affine
    corners = voxel_corners(np.linalg.inv(image_affine) @ np.asarray(voxel_affine, dtype=float))
    low = np.clip(np.floor(corners.min(axis=0)).astype(int), 0, image_shape)
    high = np.clip(np.ceil(corners.max(axis=0)).astype(int) + 1, 0, image_shape)
    coverage = np.zeros(image_shape)
    if np.any(high <= low):
        return coverage
    steps = (np.arange(subdivision) + 0.5) / subdivision - 0.5
    extent = np.abs(to_voxel[:3, :3]).sum(axis=1)[:, None, None, None] / subdivision
    grids = [np.arange(lo, hi) for lo, hi in zip(low, high, strict=True)]
    inside = np.zeros([len(grid) for grid in grids])
    for offset in np.array(np.meshgrid(steps, steps, steps)).reshape(3, -1).T:
        # index along each axis, turned into coordinates of the spectroscopic voxel by broadcasting
        axes = [np.multiply.outer(to_voxel[:3, k], grids[k] + offset[k]) for k in range(3)]
        position = (
            axes[0][:, :, None, None]
            + axes[1][:, None, :, None]
            + axes[2][:, None, None, :]
            + to_voxel[:3, 3, None, None, None]
        )
        inside += np.prod(np.clip((0.5 - np.abs(position)) / extent + 0.5, 0, 1), axis=0)
    box = tuple(slice(lo, hi) for lo, hi in zip(low, high, strict=True))
    coverage[box] = inside / subdivision**3
    return coverage


def overlap_fraction(coverage: npt.ArrayLike, mask: npt.ArrayLike) -> float:
    """Share of the spectroscopic voxel that lies in a mask; NaN when it covers nothing."""
    coverage = np.asarray(coverage, dtype=float)
    total = float(coverage.sum())
    return float((coverage * np.asarray(mask, dtype=float)).sum() / total) if total else np.nan
