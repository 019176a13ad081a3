"""Phase images of a gradient echo as a map of the field in Hz."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from bids_acc.typing import BoolArray, FloatArray

ROUND = 2 * np.pi
GAMMA_HZ_PER_T = 42.577478518e6
"""Gyromagnetic ratio of the proton over 2 pi (CODATA 2018,
https://physics.nist.gov/cgi-bin/cuu/Value?gammapbar)."""
_NEIGHBOURS = ((1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1))


class FieldMapFields(TypedDict):
    """A `FieldMap` as a graph and JSON carry it."""

    images: list[str]
    magnitude: str
    spacing_s: float
    factor: float


@dataclass(frozen=True)
class FieldMap:
    """Images of one measured field map."""

    images: tuple[Path, ...]
    """One map (``fieldmap``), one difference (``phasediff``), or two phases."""
    magnitude: Path
    spacing_s: float = 0.0
    """Between the echoes, s; 0 of a map."""
    factor: float = 1.0
    """What makes Hz of the values of a map."""

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that the field is made from."""
        return (*self.images, self.magnitude)

    def as_dict(self) -> FieldMapFields:
        """Return what a graph can carry."""
        return {
            'images': [str(p) for p in self.images], 'magnitude': str(self.magnitude),
            'spacing_s': self.spacing_s, 'factor': self.factor,
        }  # fmt: skip

    @classmethod
    def from_dict(cls, content: FieldMapFields) -> FieldMap:
        """Return the field map that `as_dict` described.

        Parameters
        ----------
        content : FieldMapFields
            Paths as strings, as JSON and Nipype's inputs keep them.
        """
        return cls(
            tuple(map(Path, content['images'])), Path(content['magnitude']),
            content['spacing_s'], content['factor'],
        )  # fmt: skip


def in_radians(phase: npt.ArrayLike) -> FloatArray:
    """Return a phase image in radians, whatever range the scanner stored it in.

    Parameters
    ----------
    phase : (...) array_like
        In radians already if all values lie within two turns of zero and span at most one;
        otherwise its range is one turn.

    Raises
    ------
    ValueError
        If nothing varies.

    Examples
    --------
    >>> in_radians([-4096, 0, 4096]).round(4).tolist()
    [-3.1416, 0.0, 3.1416]
    >>> in_radians([-3.0, 1.0]).tolist()
    [-3.0, 1.0]
    """
    values: FloatArray = np.nan_to_num(np.asarray(phase, dtype=float))
    low, high = values.min(), values.max()
    if high == low:
        raise ValueError('holds one value only')
    if high - low <= ROUND * 1.01 and abs(values).max() <= ROUND * 1.01:
        return values
    return np.asarray((values - low) / (high - low) * ROUND - np.pi)


def difference(first: npt.ArrayLike, second: npt.ArrayLike) -> FloatArray:
    """Return the second phase less the first one, within half a turn of zero.

    Parameters
    ----------
    first, second : array_like
        Wrapped phases in rad, of one shape.

    Returns
    -------
    ndarray
        In rad, from -pi to pi.

    Examples
    --------
    >>> float(difference(3.0, -3.0).round(4))
    0.2832
    """
    gap = np.asarray(second, dtype=float) - np.asarray(first, dtype=float)
    return np.asarray(np.angle(np.exp(1j * gap)))


def unwrapped(phase: npt.ArrayLike, magnitude: npt.ArrayLike, inside: npt.ArrayLike) -> FloatArray:
    """Unwrap a phase image from its brightest voxel outwards, the brightest neighbours first.

    Each voxel gets the turns that bring it nearest to the neighbour from which it was reached:
    exact where neighbouring voxels on the way differ by less than half a turn.

    Parameters
    ----------
    phase : (i, j, k) array_like
        In radians.
    magnitude : (i, j, k) array_like
        How far a voxel is to be trusted.
    inside : (i, j, k) array_like of bool
        Where; parts that do not touch are unwrapped each by itself.

    Returns
    -------
    (i, j, k) ndarray
        NaN outside.
    """
    values = np.asarray(phase, dtype=float)
    weight = np.asarray(magnitude, dtype=float)
    todo: BoolArray = np.asarray(inside, dtype=bool).copy()
    found = np.full(values.shape, np.nan)
    # Bright voxels have the least noise of phase; errors of unwrapping are carried on, so that
    # what is dark is reached last, from all sides.
    order = np.argsort(-np.where(todo, weight, -np.inf), axis=None)
    for start in order[: int(todo.sum())]:
        place = tuple(int(n) for n in np.unravel_index(start, values.shape))
        if todo[place]:
            _grow(place, values, weight, todo, found)
    return found


def _grow(
    start: tuple[int, ...], values: FloatArray, weight: FloatArray, todo: BoolArray,
    found: FloatArray,
) -> None:  # fmt: skip
    """Unwrap the part that a voxel belongs to."""
    heap = [(-weight[start], start, values[start])]
    while heap:
        _, place, near = heapq.heappop(heap)
        if not todo[place]:
            continue
        todo[place] = False
        own = values[place] + ROUND * np.round((near - values[place]) / ROUND)
        found[place] = own
        for step in _NEIGHBOURS:
            other = (place[0] + step[0], place[1] + step[1], place[2] + step[2])
            within = all(0 <= n < size for n, size in zip(other, values.shape, strict=True))
            if within and todo[other]:
                heapq.heappush(heap, (-weight[other], other, own))


def field_hz(phase: npt.ArrayLike, spacing_s: float) -> FloatArray:
    """Return the field of an unwrapped difference of phases.

    Whole turns that all voxels share are taken off: the scanner's own frequency lies where most of
    the head does.

    Parameters
    ----------
    phase : (i, j, k) array_like
        Difference of two echoes in radians, unwrapped; NaN where unknown.
    spacing_s : float
        Between the echoes, s.

    Returns
    -------
    (i, j, k) ndarray
        In Hz.

    Examples
    --------
    >>> field_hz([2 * np.pi + 0.1, 2 * np.pi], 0.002).round(2).tolist()
    [7.96, 0.0]

    References
    ----------
    Jezzard P, Balaban RS (1995). Correction for geometric distortion in echo planar images from B0
    field variations. Magn Reson Med 34:65-73. https://doi.org/10.1002/mrm.1910340111
    """
    values = np.asarray(phase, dtype=float)
    values = values - ROUND * np.round(np.nanmedian(values) / ROUND)
    return np.asarray(values / (ROUND * spacing_s))
