r"""Where the head was in each volume of a BOLD series, which has one contrast throughout.

A volume is aligned to a target by the inverse compositional form of Gauss-Newton (Baker &
Matthews 2004, doi:10.1023/B:VISI.0000011205.11775.fd): the target's slopes are taken once for all
volumes, and the step found for the *target* is turned round and put behind the volume's
transform. Differences count by Huber's weights, and a gain that varies linearly over the head is
fitted along, so that neither the eyes nor a drift of intensity draws the head: with one gain for
all the error of the benchmark's series, whose intensity drifts, is twice as large. First all
volumes are brought to the first one, coarsely, then to the mean of those between which the head
moved least, interpolated by cubic splines: linear interpolation smooths by as much as a volume
lies between voxels, which draws it towards whole voxels, and doubles the error.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from nibabel.affines import voxel_sizes
from scipy import ndimage
from scipy.spatial.transform import Rotation

from bids_acc.images.affines import apply_matrix, centre_of_mass
from bids_acc.images.motion import (
    HEAD_RADIUS_MM,
    Motion,
    PyramidLevel,
    framewise_displacement,
    pull_grid,
    rotation_part,
)
from bids_acc.images.resampling import sample, spline_coefficients
from bids_acc.typing import BoolArray, FloatArray

COARSE = PyramidLevel(smoothing_mm=8.0, factor=1, max_points=6_000)
FINE = PyramidLevel(smoothing_mm=4.0, factor=1, max_points=15_000)
"""Measured in tests/benchmarks/func.py."""
FINEST_VOXELS = 4.0 / 3.5
"""Smoothing of the fine level is at least so many voxels: a finer one makes the error larger."""

N_CALM = 60
"""Volumes whose mean is the target of the fine level."""
MAX_STEPS = 25
SMALL_MM, SMALL_RAD = 0.002, 4e-5
"""A step below which an alignment has ended."""


@dataclass(frozen=True)
class Target:
    """What volumes are aligned to, with all that does not depend on the volume."""

    points: FloatArray
    """(n_points, 3) in scanner coordinates, mm."""
    design: FloatArray
    """(n_points, 10): intensity, its change with translations (mm) and rotations (rad), and
    intensity times the distance from the centre along each axis."""
    centre: FloatArray
    """(3,) about which rotations turn."""
    affine: FloatArray
    smoothing: FloatArray
    """(3,) standard deviation in voxels."""
    order: int = 1
    """Of the interpolation of volumes: 1 (linear) or 3 (cubic splines)."""

    @classmethod
    def prepare(
        cls,
        volume: npt.NDArray[np.float32],
        affine: FloatArray,
        mask: BoolArray,
        level: PyramidLevel,
        order: int = 1,
    ) -> Target:
        """Smooth the target and take its slopes at points spread evenly over the brain.

        Parameters
        ----------
        volume : (nx, ny, nz) ndarray of float32
            Reference, finite.
        affine : (4, 4) ndarray
            Voxel to scanner RAS in mm.
        mask : (nx, ny, nz) ndarray of bool
            Brain; it is grown by a voxel, so that its edge lies within.
        level : PyramidLevel
            Full width at half maximum of the Gaussian in mm, and how many voxels are compared at
            most.
        order : int
            Of the interpolation of volumes: 1 (linear) or 3 (cubic splines).
        """
        smoothing = level.smoothing_mm / 2.3548 / voxel_sizes(affine)
        smooth = _smoothed(volume, smoothing)
        indices = np.argwhere(ndimage.binary_dilation(mask))
        indices = indices[:: -(-len(indices) // level.max_points)]
        where = tuple(indices.T)
        points, centre = apply_matrix(affine, indices), centre_of_mass(mask, affine)
        slopes = np.stack([slope[where] for slope in np.gradient(smooth)], axis=1)
        slopes = slopes @ np.linalg.inv(affine[:3, :3])
        # A small turn w moves a point by w x r: the intensity changes by slope . (w x r) = w . (r
        # x slope).
        turns = np.cross(points - centre, slopes)
        level_there = smooth[where][:, None]
        ramps = level_there * (points - centre) / HEAD_RADIUS_MM
        design = np.hstack([level_there, slopes, turns, ramps]).astype(float)
        return cls(points, design, centre, affine, smoothing, order)

    def align(self, volume: npt.NDArray[np.float32], start: FloatArray) -> FloatArray:
        """Align a volume to the target by Gauss-Newton steps, rigidly.

        Parameters
        ----------
        volume : (nx, ny, nz) ndarray of float32
            On the grid of the target.
        start : (4, 4) ndarray
            Affine matrix, target to volume, scanner RAS in mm; usually of the volume before.

        Returns
        -------
        (4, 4) ndarray
            The same, after at most `MAX_STEPS` steps.
        """
        moving, matrix = _smoothed(volume, self.smoothing), start
        if self.order > 1:
            moving = spline_coefficients(moving)
        for _ in range(MAX_STEPS):
            places = apply_matrix(matrix, self.points)
            found = sample(moving, self.affine, places, order=self.order, prefilter=False)
            step = _robust_step(self.design, found)
            # The step moves the target; turned round and put behind, it moves the volume, and the
            # slopes stay those of the target.
            matrix = matrix @ np.linalg.inv(rigid_matrix(step, self.centre))
            if np.abs(step[:3]).max() < SMALL_MM and np.abs(step[3:]).max() < SMALL_RAD:
                break
        return matrix


def rigid_matrix(parameters: npt.ArrayLike, centre: npt.ArrayLike) -> FloatArray:
    """Return the matrix of a translation of the centre and a rotation about it.

    Parameters
    ----------
    parameters : (6,) array_like
        Translation (mm), rotation vector (rad).
    centre : (3,) array_like

    Returns
    -------
    (4, 4) ndarray

    Examples
    --------
    >>> float(rigid_matrix([1, 0, 0, 0, 0, np.pi], [5, 0, 0])[0, 3])
    11.0
    """
    values, middle = np.asarray(parameters, dtype=float), np.asarray(centre, dtype=float)
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(values[3:]).as_matrix()
    matrix[:3, 3] = middle + values[:3] - matrix[:3, :3] @ middle
    return matrix


def rigid_parameters(matrices: npt.ArrayLike, centre: npt.ArrayLike) -> FloatArray:
    """Return translations of a point and rotation vectors: the inverse of `rigid_matrix`.

    Parameters
    ----------
    matrices : (n, 4, 4) array_like
    centre : (3,) array_like

    Returns
    -------
    (n, 6) ndarray
        In mm and rad.
    """
    pulls, middle = np.asarray(matrices, dtype=float), np.asarray(centre, dtype=float)
    shifts = pulls[:, :3, :3] @ middle + pulls[:, :3, 3] - middle
    return np.hstack([shifts, Rotation.from_matrix(rotation_part(pulls)).as_rotvec()])


def _smoothed(volume: npt.NDArray[np.generic], smoothing: FloatArray) -> npt.NDArray[np.float32]:
    """Apply the Gaussian of a level; missing values are zero."""
    values = np.nan_to_num(np.asarray(volume, dtype=np.float32))
    return np.asarray(ndimage.gaussian_filter(values, smoothing, truncate=3))


def _robust_step(design: FloatArray, found: FloatArray) -> FloatArray:
    """One Huber-weighted step of the target towards the volume; the gain is fitted along."""
    seen = np.isfinite(found)
    if seen.sum() < 10 * design.shape[1]:  # the head has left the image
        return np.zeros(6)
    columns, values = design[seen], found[seen]
    gain = (values @ columns[:, 0]) / (columns[:, 0] @ columns[:, 0])
    gap = np.abs(values - gain * columns[:, 0])
    spread = 1.4826 * np.median(gap) + 1e-12
    weights = np.minimum(1, 1.345 * spread / np.maximum(gap, 1e-12))
    weighted = columns * weights[:, None]
    # A flat image has no slopes along some axis: the solution of least length stays where it is
    # along it.
    gains = np.linalg.lstsq(weighted.T @ columns, weighted.T @ values, rcond=None)[0]
    return np.asarray(gains[1:7] / gains[0]) if abs(gains[0]) > 1e-6 else np.zeros(6)


def estimate_motion(
    data: npt.NDArray[np.float32], affine: npt.ArrayLike, mask: npt.ArrayLike, first: int = 0
) -> Motion:
    """Align all volumes of a series.

    Parameters
    ----------
    data : (i, j, k, n_volumes) ndarray
        Before any interpolation.
    affine : (4, 4) array_like
    mask : (i, j, k) array_like of bool
        Brain in the reference.
    first : int
        The reference, and the first volume of the steady state; those before are aligned too, and
        have no part in the mean.

    Returns
    -------
    Motion
        Affine matrices, reference to volume; translations of the brain's centre and rotations.
    """
    grid, brain = np.asarray(affine, dtype=float), np.asarray(mask, dtype=bool)
    count = data.shape[3]
    centre = centre_of_mass(brain, grid)
    matrices = np.tile(np.eye(4), (count, 1, 1))
    coarse = Target.prepare(data[..., first], grid, brain, COARSE)
    # Outwards from the reference, each volume from where its neighbour was found: heads drift, so
    # that this start is nearest.
    for index in [*range(first + 1, count), *range(first - 1, -1, -1)]:
        before = index - 1 if index > first else index + 1
        matrices[index] = coarse.align(data[..., index], matrices[before])
    mean = mean_volume(data, grid, matrices, calm_volumes(matrices, centre, first))
    smoothing = max(FINE.smoothing_mm, FINEST_VOXELS * float(voxel_sizes(grid).max()))
    fine = Target.prepare(mean, grid, brain, replace(FINE, smoothing_mm=smoothing), order=3)
    for index in range(count):
        matrices[index] = fine.align(data[..., index], matrices[index])
    # the coarse level leaves the mean a little beside the reference: all are moved back alike
    matrices = matrices @ np.linalg.inv(matrices[first])
    return Motion(matrices, rigid_parameters(matrices, centre))


def calm_volumes(matrices: FloatArray, centre: FloatArray, first: int = 0) -> FloatArray:
    """List the volumes between which and their neighbours the head moved least, in order.

    Parameters
    ----------
    matrices : (n_volumes, 4, 4) ndarray
        Affine matrices, reference to volume, scanner RAS in mm.
    centre : (3,) ndarray
        Of the head, scanner RAS in mm.
    first : int
        Volumes before it, not of the steady state, are not listed.

    Returns
    -------
    (n,) ndarray of int
        At most `N_CALM`; by the larger framewise displacement before and after a volume.
    """
    steps = np.nan_to_num(framewise_displacement(matrices, centre), nan=0.0)
    # A volume between two movements is as blurred by them as one beside either.
    around = np.maximum(steps, np.append(steps[1:], 0.0))[first:]
    return np.sort(first + np.argsort(around, kind='stable')[:N_CALM])


def mean_volume(
    data: npt.NDArray[np.float32], affine: FloatArray, matrices: FloatArray, chosen: npt.ArrayLike
) -> npt.NDArray[np.float32]:
    """Average realigned volumes on the grid of the reference, interpolated linearly.

    Parameters
    ----------
    data : (nx, ny, nz, n_volumes) ndarray of float32
        Series as acquired.
    affine : (4, 4) ndarray
        Voxel to scanner RAS in mm.
    matrices : (n_volumes, 4, 4) ndarray
        Affine matrices, reference to volume, mm.
    chosen : (n,) array_like of int
        Volumes to average.

    Returns
    -------
    (nx, ny, nz) ndarray of float32
    """
    total = np.zeros(data.shape[:3], dtype=np.float32)
    indices = np.asarray(chosen, dtype=int)
    for index in indices:
        total += pull_grid(np.nan_to_num(data[..., index]), affine, matrices[index])
    return np.asarray(total / len(indices), dtype=np.float32)
