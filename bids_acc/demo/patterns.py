"""Where the planted effects lie: smooth bumps along the anterior cingulate gyrus.

A pattern is a function of MNI coordinates, so that the image generator can evaluate it at
voxels and the score at the vertices of any surface mesh, with no atlas in between.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from bids_acc.typing import FloatArray


@dataclass(frozen=True)
class Pattern:
    """A bump of height one on both banks of the midline."""

    name: str
    """What this part of the gyrus is usually called."""
    y_mm: float
    """Anterior coordinate of the centre, MNI mm."""
    z_mm: float
    """Superior coordinate of the centre, MNI mm."""
    width_mm: float = 8.0
    """Standard deviation of the bump along y and z, mm."""


PATTERNS = (
    Pattern('subgenual', 27.0, -8.0),
    Pattern('pregenual', 41.0, 8.0),
    Pattern('dorsal', 30.0, 25.0),
    Pattern('midcingulate', 10.0, 36.0),
)
"""From below the genu, around it, to the posterior border of the caudal anterior cingulate."""

DEPTH_MM = 6.0
"""Distance of the gyrus's crown from the midline, mm."""

LATERAL_WIDTH_MM = 7.0
"""Standard deviation of the bumps across the midline bank, mm."""


def pattern_weights(points: npt.ArrayLike) -> FloatArray:
    """Evaluate every pattern at points of MNI space.

    Parameters
    ----------
    points : (n_points, 3) array_like
        MNI coordinates, mm.

    Returns
    -------
    (n_points, n_patterns) ndarray of float64
        Height of each bump, 0 to 1; the same on the left and on the right.

    Examples
    --------
    >>> pattern_weights([[6, 41, 8], [-6, 41, 8], [60, 41, 8]])[:, 1].round(3).tolist()
    [1.0, 1.0, 0.0]
    """
    x, y, z = np.asarray(points, dtype=float).T
    lateral = np.exp(-0.5 * ((np.abs(x) - DEPTH_MM) / LATERAL_WIDTH_MM) ** 2)
    bumps = [
        np.exp(-0.5 * ((y - p.y_mm) ** 2 + (z - p.z_mm) ** 2) / p.width_mm**2) for p in PATTERNS
    ]
    return np.asarray(np.stack(bumps, axis=1) * lateral[:, None])


REGION_RADIUS_MM = 14.0
"""Distance from the line through the patterns' centres up to which a change is flat, mm."""

REGION_HALF_WIDTH_MM = 18.0
"""Distance from the midline up to which it is flat, mm."""

REGION_EDGE_MM = 6.0
"""Width of the border over which a flat change falls to nothing, mm."""


def cingulate_share(points: npt.ArrayLike) -> FloatArray:
    """Tell where a flat change lies: all of the anterior cingulate, both sides.

    One within `REGION_RADIUS_MM` of the line through the centres of `PATTERNS` (in the sagittal
    plane) and `REGION_HALF_WIDTH_MM` of the midline, which holds every vertex of the Desikan
    atlas's caudal and rostral anterior cingulate; a raised-cosine edge around it.

    Parameters
    ----------
    points : (n_points, 3) array_like
        MNI coordinates, mm.

    Returns
    -------
    (n_points,) ndarray of float64
        From 0 to 1.

    Examples
    --------
    >>> cingulate_share([[6, 41, 8], [-10, 25, 20], [40, 41, 8], [6, -60, 30]]).tolist()
    [1.0, 1.0, 0.0, 0.0]
    """
    where = np.asarray(points, dtype=float)
    line = np.array([[p.y_mm, p.z_mm] for p in PATTERNS])
    away = np.full(len(where), np.inf)
    for start, stop in pairwise(line):
        along = stop - start
        share = np.clip((where[:, 1:] - start) @ along / (along @ along), 0, 1)
        gap = np.linalg.norm(where[:, 1:] - start - share[:, None] * along, axis=1)
        away = np.minimum(away, gap)
    outside = np.maximum(away - REGION_RADIUS_MM, np.abs(where[:, 0]) - REGION_HALF_WIDTH_MM)
    fall = np.clip(outside / REGION_EDGE_MM, 0, 1)
    return np.asarray(0.5 + 0.5 * np.cos(np.pi * fall))


@dataclass(frozen=True)
class DiffusivityChange:
    """Relative change of grey matter's mean diffusivity in one visit."""

    rise: float = 0.0
    """Flat change in all of the anterior cingulate, see `cingulate_share`."""
    loadings: tuple[float, ...] = (0.0,) * len(PATTERNS)
    """Further change at the centre of each pattern."""

    def at(self, points: npt.ArrayLike) -> FloatArray:
        """Return the relative change at points of MNI space, (n_points,).

        Parameters
        ----------
        points : (n_points, 3) array_like
            MNI coordinates, mm.

        Returns
        -------
        (n_points,) ndarray
            0.1 for 10 % more.
        """
        return self.rise * cingulate_share(points) + effect_at(points, self.loadings)


def effect_at(points: npt.ArrayLike, loadings: npt.ArrayLike) -> FloatArray:
    """Sum the patterns with one participant's loadings.

    Parameters
    ----------
    points : (n_points, 3) array_like
        MNI coordinates, mm.
    loadings : (n_patterns,) array_like
        Height of each pattern, in the unit of the effect.

    Returns
    -------
    (n_points,) ndarray of float64
        The effect, in the unit of ``loadings``.
    """
    return np.asarray(pattern_weights(points) @ np.asarray(loadings, dtype=float))
