"""Where the planted effects lie: smooth bumps along the anterior cingulate gyrus.

A pattern is a function of MNI coordinates, so that the image generator can evaluate it at
voxels and the score at the vertices of any surface mesh, with no atlas in between.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


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
    return np.stack(bumps, axis=1) * lateral[:, None]


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
    return pattern_weights(points) @ np.asarray(loadings, dtype=float)
