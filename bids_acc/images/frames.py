"""Slices of two images at the same places, to be laid over each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from bids_acc.images.resampling import sample
from bids_acc.typing import FloatArray

EDGE_MM = 6.0
"""Room around the brain in a slice."""


@dataclass(frozen=True)
class Frame:
    """One of two images."""

    title: str
    image: npt.ArrayLike
    """(i, j, k)."""
    affine: npt.ArrayLike
    """(4, 4), voxel to the common space in mm."""


@dataclass(frozen=True)
class CutPlanes:
    """Where both images are cut: three slices of each direction, square and of one size."""

    points: Sequence[FloatArray] = field(default_factory=tuple)
    """(n, n, 3) each, in mm."""


def places_within(
    mask: npt.ArrayLike, affine: npt.ArrayLike, shares: Sequence[float] = (0.5,),
    step_mm: float = 1.0,
) -> CutPlanes:  # fmt: skip
    """Choose slices through a mask.

    Parameters
    ----------
    mask : (i, j, k) array_like
        Brain; above 0.5 is inside.
    affine : (4, 4) array_like
        Voxel to mm.
    shares : sequence of float
        Where along the extent of the mask, 0 to 1; one slice of each direction for each.
    step_mm : float
        Size of a pixel.

    Returns
    -------
    CutPlanes
        Sagittal, coronal and axial slices, in this order. A sagittal slice in the very middle is
        moved aside by 4 mm, off the longitudinal fissure.
    """
    matrix = np.asarray(affine, dtype=float)
    inside = np.argwhere(np.asarray(mask) > 0.5)
    corners = inside @ matrix[:3, :3].T + matrix[:3, 3]
    low, high = corners.min(axis=0), corners.max(axis=0)
    half = float((high - low).max()) / 2 + EDGE_MM
    ticks = np.arange(-half, half + step_mm / 2, step_mm)
    slices = []
    for axis in range(3):
        across, up = (k for k in range(3) if k != axis)
        for share in shares:
            middle = (low + high) / 2
            middle[axis] = low[axis] + share * (high[axis] - low[axis])
            if axis == 0 and share == 0.5:
                middle[axis] += 4.0
            points = np.empty((ticks.size, ticks.size, 3))
            points[..., axis] = middle[axis]
            points[..., across] = middle[across] + ticks[None, :]
            points[..., up] = middle[up] + ticks[:, None]
            slices.append(points)
    return CutPlanes(tuple(slices))


def cut(volume: npt.ArrayLike, affine: npt.ArrayLike, points: FloatArray) -> FloatArray:
    """Sample a volume at the points of a slice; zero beyond it.

    Parameters
    ----------
    volume : (i, j, k) array_like
        Any image.
    affine : (4, 4) array_like
        Voxel to mm.
    points : (rows, columns, 3) ndarray
        In mm.

    Returns
    -------
    (rows, columns) ndarray
    """
    values = sample(np.asarray(volume), affine, points.reshape(-1, 3))
    return np.asarray(np.nan_to_num(np.asarray(values, dtype=float)).reshape(points.shape[:2]))
