"""Where a point of the scanner lies in the template: placement, smooth warp, border shift."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter, map_coordinates

from bids_acc.typing import FloatArray

LATTICE_STEP_MM = 8.0
"""Spacing of the lattice on which smooth warps are kept."""

LATTICE_HALF_MM = 128.0
"""The lattice reaches from minus to plus this coordinate, mm."""


def rigid(translation_mm: npt.ArrayLike, rotation_deg: npt.ArrayLike) -> FloatArray:
    """Build a rigid transform: rotations about x, y, z (in that order), then a translation.

    Parameters
    ----------
    translation_mm : (3,) array_like
        Translation, mm.
    rotation_deg : (3,) array_like
        Angles about the x, y and z axes, degrees.

    Returns
    -------
    (4, 4) ndarray of float64
        Homogeneous matrix.

    Examples
    --------
    >>> (rigid([1, 0, 0], [0, 0, 90]) @ [1, 0, 0, 1]).round(6).tolist()
    [1.0, 1.0, 0.0, 1.0]
    """
    matrix = np.eye(4)
    for axis, angle in enumerate(np.deg2rad(np.asarray(rotation_deg, dtype=float))):
        i, j = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(4)
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[j, i], turn[i, j] = np.sin(angle), -np.sin(angle)
        matrix = turn @ matrix
    matrix[:3, 3] = translation_mm
    return matrix


def apply_affine(matrix: FloatArray, points: FloatArray) -> FloatArray:
    """Move points by a homogeneous matrix; points are rows.

    Parameters
    ----------
    matrix : (4, 4) ndarray
        In the points' unit.
    points : (n, 3) ndarray
        Coordinates.

    Returns
    -------
    (n, 3) ndarray
        Coordinates.
    """
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def to_voxels(affine: FloatArray, points: FloatArray) -> FloatArray:
    """Turn coordinates (rows, mm) into voxel indices; undoes `apply_affine`.

    Parameters
    ----------
    affine : (4, 4) ndarray
        Voxel to world, mm.
    points : (n, 3) ndarray
        World coordinates, mm.

    Returns
    -------
    (n, 3) ndarray
        Not rounded.
    """
    inverse: FloatArray = np.asarray(np.linalg.inv(affine), dtype=np.float64)
    return apply_affine(inverse, points)


def sample(volume: npt.NDArray[np.floating], voxels: FloatArray) -> FloatArray:
    """Interpolate a volume linearly at voxel coordinates (rows); zero outside.

    Parameters
    ----------
    volume : (x, y, z) ndarray
        Any unit.
    voxels : (n, 3) ndarray
        Indices, not rounded.

    Returns
    -------
    (n,) ndarray
        In the volume's unit.
    """
    values = map_coordinates(volume, voxels.T, order=1, mode='constant', cval=0.0)
    return np.asarray(values, dtype=np.float64)


def smooth_field(rng: np.random.Generator, *, rms_mm: float, smoothness_mm: float) -> FloatArray:
    """Draw a smooth random displacement field on the lattice.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    rms_mm : float
        Root mean square of each displacement component, mm.
    smoothness_mm : float
        Standard deviation of the Gaussian that smooths white noise, mm.

    Returns
    -------
    (3, n, n, n) ndarray of float64
        Displacements along x, y, z at the lattice points, mm.
    """
    n = int(2 * LATTICE_HALF_MM / LATTICE_STEP_MM) + 1
    noise = rng.standard_normal((3, n, n, n))
    sigma = smoothness_mm / LATTICE_STEP_MM
    field = np.stack([gaussian_filter(component, sigma, mode='wrap') for component in noise])
    return np.asarray(field * (rms_mm / field.std()))


def field_at(field: FloatArray, points: FloatArray) -> FloatArray:
    """Interpolate a lattice field at points (rows, mm).

    Parameters
    ----------
    field : (3, n, n, n) ndarray
        As `smooth_field` draws it, mm.
    points : (m, 3) ndarray
        Relative to the middle of the lattice, mm.

    Returns
    -------
    (m, 3) ndarray
        Displacements, mm.
    """
    voxels = (points + LATTICE_HALF_MM) / LATTICE_STEP_MM
    return np.stack([sample(component, voxels) for component in field], axis=1)


@dataclass(frozen=True)
class HeadShape:
    """The smooth part of one participant's anatomy."""

    scale: FloatArray
    """(3,) size of the template relative to this head, along x, y, z."""
    field: FloatArray
    """(3, n, n, n) smooth warp, mm, as `smooth_field` draws it."""

    def to_template(self, points: FloatArray) -> FloatArray:
        """Map points of the participant's head (rows, mm) to the template, mm.

        Parameters
        ----------
        points : (n, 3) ndarray
            In the head's own frame, mm.

        Returns
        -------
        (n, 3) ndarray
            MNI coordinates, mm, before any shift of borders.
        """
        return points * self.scale + field_at(self.field, points)

    def from_template(self, points: FloatArray, n_iterations: int = 12) -> FloatArray:
        """Invert `to_template` by fixed-point iteration.

        Parameters
        ----------
        points : (n, 3) ndarray
            MNI coordinates, mm.
        n_iterations : int
            Steps; the warp is smooth enough for each to gain about a digit.

        Returns
        -------
        (n, 3) ndarray
            In the head's own frame, mm.
        """
        guess = points / self.scale
        for _ in range(n_iterations):
            guess = (points - field_at(self.field, guess)) / self.scale
        return guess
