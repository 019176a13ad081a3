r"""Where the head was in each volume of a series, whatever its contrast.

A volume is aligned to a target (what it should look like, from the other volumes or a model) by
a robust Gauss-Newton fit of the parameters of a transform. For a rigid head a point :math:`x`
of the reference is found at :math:`c + R (x - c) + t` with rotation :math:`R`, translation
:math:`t` and centre :math:`c`, in scanner coordinates; a modality may add terms of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from nibabel.affines import voxel_sizes
from scipy import ndimage
from scipy.spatial.transform import Rotation

from bids_acc.images.affines import apply_matrix
from bids_acc.images.resampling import sample
from bids_acc.typing import FloatArray, IntArray

Transform = Callable[[FloatArray], FloatArray]
"""Parameters to (4, 4) affine matrix, reference to volume."""

RIGID_PRIOR_SD = np.array([10.0] * 3 + [0.05] * 3)
"""Expected size of translations (mm) and rotations (rad)."""

SAMPLES_PER_FACT = 50.0
"""Neighbouring samples are not independent; so many count as one against the prior."""

HEAD_RADIUS_MM = 50.0
"""Radius at which rotations count as displacements (Power et al. 2012,
doi:10.1016/j.neuroimage.2011.10.018)."""


@dataclass(frozen=True)
class PyramidLevel:
    """One step from coarse to fine."""

    smoothing_mm: float
    """Full width at half maximum of the Gaussian applied before."""
    factor: int
    """Every how many voxels a sample is taken."""
    rounds: int = 1
    """How often the targets are predicted anew."""
    max_points: int = 30_000
    """Samples that are compared at most."""


@dataclass(frozen=True)
class Motion:
    """Where the head was, volume by volume."""

    matrices: FloatArray
    """(n_volumes, 4, 4) affine matrices, reference to volume."""
    parameters: FloatArray
    """(n_volumes, n_parameters): translation (mm), rotation vector (rad), and the modality's
    own terms."""

    @property
    def modulation(self) -> FloatArray:
        """Volume change of each transform."""
        return np.asarray(np.linalg.det(self.matrices[:, :3, :3]))


def rotation_part(matrices: npt.ArrayLike) -> FloatArray:
    """Return the rotation nearest to each matrix, by its polar decomposition.

    Parameters
    ----------
    matrices : (..., 4, 4) array_like

    Returns
    -------
    (..., 3, 3) ndarray
    """
    left, _, right = np.linalg.svd(np.asarray(matrices, dtype=float)[..., :3, :3])
    return np.asarray(left @ right)


def framewise_displacement(
    matrices: npt.ArrayLike, centre: npt.ArrayLike, radius_mm: float = HEAD_RADIUS_MM
) -> FloatArray:
    """Return how far the head moved since the volume before.

    Sum of the absolute translations of the head's centre and of the absolute rotations as arcs on
    a sphere around it. A matrix's own translation is that of the scanner's origin, which a turn
    of the head moves the more the further it lies from the head.

    Parameters
    ----------
    matrices : (n_volumes, 4, 4) array_like
        Affine matrices in acquisition order.
    centre : (3,) array_like
        Of the head, scanner coordinates in mm.
    radius_mm : float
        Radius of that sphere.

    Returns
    -------
    (n_volumes,) ndarray
        In mm; NaN for the first volume.

    References
    ----------
    Power JD, et al. (2012). NeuroImage 59:2142-2154.
    https://doi.org/10.1016/j.neuroimage.2011.10.018

    Examples
    --------
    A turn by 0.01 rad about a head far from the origin is no translation of it.

    >>> turn, centre = np.eye(4), np.array([0, 0, 80])
    >>> turn[:3, :3] = Rotation.from_rotvec([0.01, 0, 0]).as_matrix()
    >>> turn[:3, 3] = centre - turn[:3, :3] @ centre
    >>> framewise_displacement([np.eye(4), turn], centre).round(3)
    array([nan, 0.5])
    """
    to_sources, middle = np.asarray(matrices, dtype=float), np.asarray(centre, dtype=float)
    shifts = to_sources[:, :3, :3] @ middle + to_sources[:, :3, 3] - middle
    angles = Rotation.from_matrix(rotation_part(to_sources)).as_rotvec()
    steps = np.abs(np.diff(np.hstack([shifts, radius_mm * angles]), axis=0)).sum(axis=1)
    return np.concatenate([[np.nan], steps])


def displacement(matrices: npt.ArrayLike, points: npt.ArrayLike) -> FloatArray:
    """Return the mean displacement of the points in each volume, relative to the reference.

    Parameters
    ----------
    matrices : (n_volumes, 4, 4) array_like
    points : (n_points, 3) array_like
        Usually the brain's voxels, scanner coordinates in mm.

    Returns
    -------
    (n_volumes,) ndarray
        In mm.
    """
    where = np.asarray(points, dtype=float)
    return np.array(
        [
            np.linalg.norm(apply_matrix(m, where) - where, axis=1).mean()
            for m in np.asarray(matrices)
        ]
    )


@dataclass(frozen=True)
class SmoothedSeries:
    """A series at one step from coarse to fine, with the points that are compared."""

    series: npt.NDArray[np.float32]
    """(i, j, k, n_volumes), smoothed and thinned."""
    affine: FloatArray
    """(4, 4) of the thinned grid."""
    indices: IntArray
    """(n_points, 3) voxels that are compared."""
    points: FloatArray
    """(n_points, 3) the same in scanner coordinates, mm."""

    @classmethod
    def prepare(
        cls,
        data: npt.NDArray[np.floating],
        affine: npt.ArrayLike,
        mask: npt.ArrayLike,
        level: PyramidLevel,
    ) -> SmoothedSeries:
        """Smooth a series, thin it, and choose the voxels that are compared.

        Parameters
        ----------
        data : (nx, ny, nz, n_volumes) ndarray
            Finite.
        affine : (4, 4) array_like
            Voxel to scanner RAS in mm.
        mask : (nx, ny, nz) array_like of bool
            Brain; it is grown by ``level.factor`` voxels, so that its edge, which tells most of
            movement, lies within.
        level : PyramidLevel
            Full width at half maximum of the Gaussian in mm, thinning factor, and how many voxels
            are kept at most: every n-th in index order, so that they are spread over the brain.
        """
        zooms = voxel_sizes(np.asarray(affine, dtype=float))
        # FWHM of a Gaussian: 2 sqrt(2 ln 2) = 2.3548 standard deviations.
        sigma = level.smoothing_mm / 2.3548 / zooms
        step = (slice(None, None, level.factor),) * 3
        series = np.stack(
            [
                ndimage.gaussian_filter(data[..., n].astype(np.float32), sigma, truncate=3)[step]
                for n in range(data.shape[3])
            ],
            axis=-1,
        )
        coarse = np.asarray(affine, dtype=float) @ np.diag([*(3 * [level.factor]), 1])
        # The edge of the brain tells most of its place: it has to lie among the points with room
        # on both sides.
        grown = ndimage.binary_dilation(np.asarray(mask, dtype=bool), iterations=level.factor)
        indices = np.argwhere(grown[step])
        # Every so many-th of all, rounded up: points must come from the whole head, or turns are
        # told by one side of it.
        every = -(-len(indices) // level.max_points)
        indices = indices[::every]
        return cls(series, coarse, indices, apply_matrix(coarse, indices))

    def volume(self, index: int) -> npt.NDArray[np.float32]:
        """Return one volume, smoothed and thinned.

        Parameters
        ----------
        index : int
            From 0.

        Returns
        -------
        (i, j, k) ndarray
            A view.
        """
        return self.series[..., index]


def pull_grid(
    volume: npt.NDArray[np.float32], affine: FloatArray, matrix: FloatArray
) -> npt.NDArray[np.float32]:
    """Resample a volume through an affine matrix onto its own grid, linearly.

    Parameters
    ----------
    volume : (i, j, k) ndarray
        Finite; beyond its edge the nearest voxel's value is taken.
    affine : (4, 4) ndarray
        Voxel to scanner RAS in mm.
    matrix : (4, 4) ndarray
        From a point of the result to the one it is taken from (target to source), RAS in mm.

    Returns
    -------
    (i, j, k) ndarray of float32
    """
    index_matrix = np.linalg.inv(affine) @ matrix @ affine
    return np.asarray(
        ndimage.affine_transform(
            volume, index_matrix[:3, :3], index_matrix[:3, 3], order=1, mode='nearest'
        )
    )


def align_volume(
    series: SmoothedSeries,
    index: int,
    target: npt.NDArray[np.float32],
    start: FloatArray,
    transform: Transform,
    prior_sd: FloatArray,
    n_iterations: int = 8,
) -> FloatArray:
    """Align one volume to a target by Gauss-Newton on their robust difference.

    Parameters
    ----------
    series : SmoothedSeries
    index : int
        Of the volume.
    target : (i, j, k) ndarray
        What the volume should look like, up to a gain, on the reference's grid.
    start : (n_parameters,) ndarray
        Translation (mm), rotation vector (rad) and whatever else `transform` takes.
    transform : callable
        Parameters to affine matrix, reference to volume.
    prior_sd : (n_free,) ndarray
        Expected size of the first parameters, which are fitted; the others keep their values.
    n_iterations : int
        At most.

    Returns
    -------
    (n_parameters,) ndarray
    """
    n_free = len(prior_sd)
    where = tuple(series.indices.T)
    slopes = np.stack([gradient[where] for gradient in np.gradient(target)], axis=1)
    # From per voxel to per mm: the chain rule along the axes of the grid.
    slopes = slopes @ np.linalg.inv(series.affine[:3, :3])
    wanted = target[where].astype(float)
    # A point's derivative by the twelve numbers of an affine is its slope times (x, y, z, 1): made
    # once, and chained with any transform's parameters below.
    outer = (
        slopes[:, :, None] * np.c_[series.points, np.ones(len(where[0]))][:, None, :]
    ).reshape(len(wanted), 12)
    parameters = start.copy()
    for _ in range(n_iterations):
        matrix = transform(parameters)
        found = sample(series.volume(index), series.affine, apply_matrix(matrix, series.points))
        # the moving volume's slope is taken from the target's: grad I(Mx) = A^-T grad T(x)
        back = np.linalg.inv(matrix[:3, :3])
        steps = _parameter_steps(parameters, transform, n_free)
        chained = np.einsum('ij,njk->nik', back, steps[:, :3])
        design = outer @ chained.reshape(n_free, 12).T
        change = _robust_step(design, wanted, found, parameters[:n_free], prior_sd)
        parameters[:n_free] += change
        # Both limits move no point of the head by more than 0.005 mm: 1e-4 rad at 50 mm.
        if np.abs(change[:3]).max() < 0.005 and np.abs(change[3:]).max() < 1e-4:
            break
    return parameters


def _parameter_steps(parameters: FloatArray, transform: Transform, n_free: int) -> FloatArray:
    """Return the derivative of the affine matrix by each parameter, (n_free, 4, 4)."""
    # Near the cube root of the machine's precision, where a central difference is most exact.
    step = 1e-5
    result = np.empty((n_free, 4, 4))
    for k in range(n_free):
        ahead, behind = parameters.copy(), parameters.copy()
        ahead[k] += step
        behind[k] -= step
        result[k] = (transform(ahead) - transform(behind)) / (2 * step)
    return result


def _robust_step(
    design: FloatArray,
    wanted: FloatArray,
    found: FloatArray,
    parameters: FloatArray,
    prior_sd: FloatArray,
) -> FloatArray:
    """One Huber-weighted step towards the data and the prior; the gain is fitted along."""
    seen = np.isfinite(found)
    gain = (found[seen] @ wanted[seen]) / (wanted[seen] @ wanted[seen])
    # The last column lets the gain change: else a volume that is brighter than its target would be
    # taken for one that moved towards where the target is brighter. It is fitted and thrown away.
    columns = np.column_stack([gain * design[seen], -wanted[seen]])
    difference = gain * wanted[seen] - found[seen]
    spread = 1.4826 * np.median(np.abs(difference)) + 1e-12
    weights = np.minimum(1, 1.345 * spread / np.maximum(np.abs(difference), 1e-12))
    weighted = columns * weights[:, None]
    precision = np.zeros(columns.shape[1])
    precision[:-1] = SAMPLES_PER_FACT * spread**2 / prior_sd**2
    right = weighted.T @ difference - precision * np.append(parameters, 0)
    return np.linalg.solve(weighted.T @ columns + np.diag(precision), right)[:-1]
