"""Labels at points between voxels, by linear interpolation of each label's own map."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bids_acc.images.affines import apply_matrix
from bids_acc.typing import FloatArray, IntArray

CHUNK = 400_000
"""Points that are looked at together: some 60 MB."""
_CORNERS = np.array(np.meshgrid([0, 1], [0, 1], [0, 1], indexing='ij')).reshape(3, 8)


@dataclass(frozen=True)
class LabelSums:
    """What is summed over the points within each label, by code."""

    amount: FloatArray
    """(n_codes,) sum of the label's share p of each point: its volume in points."""
    weighted: FloatArray
    """(n_maps, n_codes) sum of p times the map."""
    nearest: IntArray
    """(n_points,) code with the largest share at each point."""


def sum_labels(
    codes: npt.ArrayLike,
    affine: npt.ArrayLike,
    points: npt.ArrayLike,
    maps: npt.ArrayLike = (),
) -> LabelSums:
    """Sum points, and maps at points, over each label of a volume.

    The share of a label at a point is its map of zeros and ones, interpolated linearly: as good
    as carrying each label as an image by itself, and done for all at once.

    Parameters
    ----------
    codes : (nx, ny, nz) array_like of int
        Codes, 0 or more.
    affine : (4, 4) array_like
        Voxel to the space of the points, in mm.
    points : (n_points, 3) array_like
        In mm; NaN for those that lie nowhere.
    maps : (n_maps, n_points) array_like
        Finite values at the points.

    Returns
    -------
    LabelSums
        Places outside the volume belong to code 0.

    Examples
    --------
    >>> found = sum_labels([[[0]], [[5]]], np.eye(4), [[0.25, 0, 0], [1, 0, 0]], [[8.0, 2]])
    >>> float(found.amount[5]), float(found.weighted[0, 5]), found.nearest.tolist()
    (1.25, 4.0, [0, 5])
    """
    codes = np.asarray(codes)
    points = np.asarray(points)
    fields = np.asarray(maps, dtype=float).reshape(-1, len(points))
    n_codes = int(codes.max(initial=0)) + 1
    amount, weighted = np.zeros(n_codes), np.zeros((len(fields), n_codes))
    nearest = np.zeros(len(points), dtype=np.int64)
    for chosen, near, share in _corners(codes, np.asarray(affine, dtype=float), points):
        flat = near.ravel()
        amount += np.bincount(flat, weights=share.ravel(), minlength=n_codes)
        for number, field in enumerate(fields):
            weighted[number] += np.bincount(
                flat, weights=(share * field[chosen]).ravel(), minlength=n_codes
            )
        nearest[chosen] = _largest(near, share)
    # Points without a label nearby were never looked at: code 0 gets what is left over.
    amount[0] = len(points) - amount[1:].sum()
    weighted[:, 0] = fields.sum(axis=1) - weighted[:, 1:].sum(axis=1)
    return LabelSums(amount, weighted, nearest)


def _corners(
    codes: IntArray, affine: FloatArray, points: FloatArray
) -> Iterator[tuple[IntArray, IntArray, FloatArray]]:
    """Yield, part by part, points near any label, and codes and weights (8, n) around each."""
    inverse = np.linalg.inv(affine)
    # A frame of zeros: beyond the outermost voxels a label fades out, as it does between voxels,
    # and is not cut off at their centres.
    padded = np.pad(codes, 1)
    limit = np.array(padded.shape)[:, None]
    for start in range(0, len(points), CHUNK):
        block = np.asarray(points[start : start + CHUNK], dtype=float)
        index = apply_matrix(inverse, block).T + 1
        outside = ~np.all(np.isfinite(index) & (index > 0) & (index < limit - 1), axis=0)
        # Into the frame, where no label is.
        index[:, outside] = 0
        low = np.floor(index).astype(np.int64)
        rest = index - low
        places = low[:, None, :] + _CORNERS[:, :, None]
        weights = np.where(_CORNERS[:, :, None] == 1, rest[:, None, :], 1 - rest[:, None, :])
        near = padded[tuple(places)].astype(np.int64)
        labelled = near.any(axis=0)
        chosen = np.flatnonzero(labelled) + start
        yield chosen, near[:, labelled], weights.prod(axis=0)[:, labelled]


def _largest(near: IntArray, share: FloatArray) -> IntArray:
    """Return the code with the largest sum of weights at each point."""
    total = np.stack([(share * (near == own)).sum(axis=0) for own in near])
    return np.asarray(np.take_along_axis(near, total.argmax(axis=0)[None], axis=0)[0])
