r"""Head motion and linear eddy-current distortion of each volume.

Each diffusion-weighted volume is aligned to the mean of the others of its shell by a robust
Gauss-Newton fit. The mean knows nothing of the gradient, so what all volumes share is not seen:
the part of the eddy terms that is not proportional to the gradient is removed, and the place
and turn of each shell as a whole is taken from one registration of its mean to the b = 0 image
(the *anchor*, by mutual information). The b = 0 volumes are aligned to the first of them.

Measured and not kept (tests/benchmarks/dwi.py prints what is): a target that is predicted
from neighbours in q-space leaves whatever misalignment is a smooth function of the gradient;
one that is a function of the b = 0 image (correlation ratio) misjudges the size of the brain,
because fluid is bright in one contrast and dark in the other, as does mutual information of each
volume with the b = 0 image when twelve parameters are free.

For volume :math:`i` a point :math:`x` of the reference is found at

.. math:: m = c + E\,[R (x - c) + t], \qquad E = I + u\, e^T

with rotation :math:`R`, translation :math:`t`, centre :math:`c`, phase-encoding direction
:math:`u`, and the linear eddy terms :math:`e` (two shears, one scaling), all in scanner
coordinates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial.transform import Rotation

from bids_acc.dwi.shells import Shells
from bids_acc.images.resampling import apply_matrix, sample, voxel_sizes
from bids_acc.typing import BoolArray, FloatArray, IntArray

Anchor = Callable[[npt.NDArray[np.float32], npt.NDArray[np.float32], FloatArray], FloatArray]
"""(reference, moving, affine) -> pull matrix; aligns two contrasts."""

PRIOR_SD = np.array([10.0] * 3 + [0.05] * 3 + [0.01] * 3)
"""Expected size of translations (mm), rotations (rad) and eddy terms (mm/mm). A turn together
with a shear leaves an ellipsoid as it is; without an expectation the two drift away together
where a head shows little but its outline."""

SAMPLES_PER_FACT = 50.0
"""Neighbouring samples are not independent; so many count as one against the prior."""

HEAD_RADIUS_MM = 50.0
"""Radius at which rotations count as displacements (Power et al. 2012,
doi:10.1016/j.neuroimage.2011.10.018)."""


@dataclass(frozen=True)
class Level:
    """One step from coarse to fine."""

    smoothing_mm: float
    """Full width at half maximum of the Gaussian applied before."""
    factor: int
    """Every how many voxels a sample is taken."""
    rounds: int = 1
    """How often the targets are predicted anew."""
    max_points: int = 30_000
    """Samples that are compared at most."""


SCHEDULE = (Level(8.0, 2), Level(2.5, 1, rounds=2))
"""Coarse to fine; measured in tests/benchmarks/dwi.py."""


@dataclass(frozen=True)
class Motion:
    """Where the head was, volume by volume."""

    matrices: FloatArray
    """(n_volumes, 4, 4) pull matrices, reference to volume."""
    parameters: FloatArray
    """(n_volumes, 9): translation (mm), rotation vector (rad), eddy terms (mm/mm)."""

    @property
    def modulation(self) -> FloatArray:
        """Volume change of each transform."""
        return np.linalg.det(self.matrices[:, :3, :3])


def matrix_from_parameters(
    parameters: npt.ArrayLike, centre: npt.ArrayLike, phase_axis: npt.ArrayLike
) -> FloatArray:
    """Return the pull matrix of one volume (see the module's equation).

    Parameters
    ----------
    parameters : (9,) array_like
        Translation (mm), rotation vector (rad), eddy terms (mm/mm).
    centre : (3,) array_like
        Centre of rotation, scanner coordinates in mm.
    phase_axis : (3,) array_like
        Unit vector along the phase-encoding direction.

    Returns
    -------
    (4, 4) ndarray

    Examples
    --------
    >>> matrix_from_parameters([1, 0, 0, 0, 0, 0, 0, 0, 0], [5, 5, 5], [0, 1, 0])[:3, 3]
    array([1., 0., 0.])
    """
    values = np.asarray(parameters, dtype=float)
    middle = np.asarray(centre, dtype=float)
    eddy = np.eye(3) + np.outer(np.asarray(phase_axis, dtype=float), values[6:9])
    linear = eddy @ Rotation.from_rotvec(values[3:6]).as_matrix()
    matrix = np.eye(4)
    matrix[:3, :3] = linear
    matrix[:3, 3] = middle + eddy @ values[:3] - linear @ middle
    return matrix


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
    return left @ right


def rotate_directions(directions: npt.ArrayLike, matrices: npt.ArrayLike) -> FloatArray:
    """Turn the scanner's gradient directions into the reference's frame.

    The scanner's gradients stay where they are while the head turns by R, so in the head's
    frame they turn by the transpose.

    Parameters
    ----------
    directions : (n_volumes, 3) array_like
        Scanner coordinates.
    matrices : (n_volumes, 4, 4) array_like
        Pull matrices, reference to volume.

    Returns
    -------
    (n_volumes, 3) ndarray

    References
    ----------
    Leemans A, Jones DK (2009). The B-matrix must be rotated when correcting for subject motion
    in DTI data. Magn Reson Med 61:1336-1349. https://doi.org/10.1002/mrm.21890
    """
    return np.einsum('nji,nj->ni', rotation_part(matrices), np.asarray(directions, dtype=float))


def framewise_displacement(
    matrices: npt.ArrayLike, radius_mm: float = HEAD_RADIUS_MM
) -> FloatArray:
    """Return how far the head moved since the volume before.

    Sum of the absolute translations and of the absolute rotations as arcs on a sphere.

    Parameters
    ----------
    matrices : (n_volumes, 4, 4) array_like
        Pull matrices in acquisition order.
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
    """
    pulls = np.asarray(matrices, dtype=float)
    angles = Rotation.from_matrix(rotation_part(pulls)).as_rotvec()
    steps = np.abs(np.diff(np.hstack([pulls[:, :3, 3], radius_mm * angles]), axis=0)).sum(axis=1)
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


def estimate_motion(
    series: npt.ArrayLike,
    affine: npt.ArrayLike,
    shells: Shells,
    directions: npt.ArrayLike,
    mask: npt.ArrayLike,
    phase_axis: npt.ArrayLike,
    *,
    anchor: Anchor | None = None,
    schedule: Sequence[Level] = SCHEDULE,
    eddy: bool = True,
) -> Motion:
    """Estimate where the head was in each volume.

    Parameters
    ----------
    series : (i, j, k, n_volumes) array_like
        The first b = 0 volume is the reference (the first volume where there is none).
    affine : (4, 4) array_like
    shells : Shells
    directions : (n_volumes, 3) array_like
        Scanner coordinates.
    mask : (i, j, k) array_like of bool
        Brain in the reference.
    phase_axis : (3,) or (n_volumes, 3) array_like
        Unit vector of phase encoding, scanner coordinates.
    anchor : callable, optional
        Aligns the mean of a shell, whose volumes only know each other, to the reference.
    schedule : sequence of Level
        Coarse to fine.
    eddy : bool
        Whether shears and scaling along the phase-encoding direction are estimated.

    Returns
    -------
    Motion
    """
    data = np.asanyarray(series)
    n_volumes = data.shape[3]
    axes = np.broadcast_to(np.asarray(phase_axis, dtype=float), (n_volumes, 3))
    head = _Head(voxel_mean(mask, affine), axes, shells, np.asarray(directions, dtype=float))
    parameters = np.zeros((n_volumes, 9))
    for level in schedule:
        work = _Level.prepare(data, affine, mask, level)
        for _ in range(level.rounds):
            targets = _targets(work, head, parameters)
            for index in range(n_volumes):
                if index == head.reference:
                    continue
                free = 9 if eddy and not head.is_base[index] else 6
                parameters[index] = _align(
                    work, index, targets[..., index], parameters[index], head, free
                )
        if eddy:
            parameters[:, 6:] = proportional_eddy(parameters[:, 6:], directions, shells)
    pulls = head.pulls(parameters)
    if anchor is not None:
        pulls = _anchored(data, affine, pulls, head, anchor)
    return Motion(pulls, parameters)


def proportional_eddy(
    eddy: npt.ArrayLike, directions: npt.ArrayLike, shells: Shells
) -> FloatArray:
    """Remove from eddy terms what all volumes share whatever their gradient.

    Eddy currents are proportional to the diffusion gradient, so that the terms extrapolate to
    zero at zero gradient. A constant is contrast that was mistaken for scaling.

    Parameters
    ----------
    eddy : (n_volumes, 3) array_like
        Estimated terms.
    directions : (n_volumes, 3) array_like
        Scanner coordinates.
    shells : Shells

    Returns
    -------
    (n_volumes, 3) ndarray

    Examples
    --------
    >>> shells = Shells(np.array([0, 1, 1]), (0, 1000))
    >>> g = np.array([[0, 0, 0], [1, 0, 0], [-1, 0, 0]])
    >>> proportional_eddy(0.01 * g + [0, 0.02, 0], g, shells)[1:].round(6)
    array([[ 0.01,  0.  ,  0.  ],
           [-0.01,  0.  ,  0.  ]])
    """
    terms = np.array(eddy, dtype=float)
    strength = np.sqrt(shells.volume_bvalues / max(*shells.bvalues, 1))
    for bvalue in shells.bvalues:
        members = shells.members(bvalue)
        if bvalue == 0:
            continue
        slope = strength[members, None] * np.asarray(directions, dtype=float)[members]
        columns = slope if len(members) >= 10 else np.empty((len(members), 0))
        design = np.column_stack([np.ones(len(members)), columns])
        constant = np.linalg.lstsq(design, terms[members], rcond=None)[0][0]
        terms[members] -= constant
    return terms


def voxel_mean(mask: npt.ArrayLike, affine: npt.ArrayLike) -> FloatArray:
    """Return the centre of mass of a mask, in scanner coordinates."""
    return apply_matrix(affine, np.argwhere(np.asarray(mask)).mean(axis=0))


@dataclass(frozen=True)
class _Head:
    """What all steps need to know besides the images."""

    centre: FloatArray
    axes: FloatArray
    shells: Shells
    directions: FloatArray

    @property
    def is_base(self) -> BoolArray:
        """Volumes of the lowest shell, usually b = 0."""
        return self.shells.labels == 0

    @property
    def reference(self) -> int:
        """The volume that stays where it is."""
        return int(np.flatnonzero(self.is_base)[0])

    def pulls(self, parameters: FloatArray) -> FloatArray:
        """Return all pull matrices."""
        pairs = zip(parameters, self.axes, strict=True)
        return np.array([matrix_from_parameters(p, self.centre, u) for p, u in pairs])


@dataclass(frozen=True)
class _Level:
    """The series, smoothed and thinned, with the points that are compared."""

    series: npt.NDArray[np.float32]
    affine: FloatArray
    indices: IntArray
    points: FloatArray

    @classmethod
    def prepare(
        cls, data: npt.NDArray, affine: npt.ArrayLike, mask: npt.ArrayLike, level: Level
    ) -> _Level:
        """Smooth and thin; the samples are evenly spread over the (slightly grown) mask."""
        zooms = voxel_sizes(affine)
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
        grown = ndimage.binary_dilation(np.asarray(mask, dtype=bool), iterations=level.factor)
        indices = np.argwhere(grown[step])
        every = -(-len(indices) // level.max_points)
        indices = indices[::every]
        return cls(series, coarse, indices, apply_matrix(coarse, indices))

    def volume(self, index: int) -> npt.NDArray[np.float32]:
        """Return one volume."""
        return self.series[..., index]


def _targets(work: _Level, head: _Head, parameters: FloatArray) -> npt.NDArray[np.float32]:
    """Return what each volume is aligned to, on the reference's grid."""
    pulls = head.pulls(parameters)
    aligned = np.stack(
        [_pull_grid(work.volume(n), work.affine, pulls[n]) for n in range(len(pulls))], axis=-1
    )
    targets = np.empty_like(aligned)
    targets[..., head.is_base] = aligned[..., [head.reference]]
    for label in range(1, len(head.shells.bvalues)):
        members = np.flatnonzero(head.shells.labels == label)
        total = aligned[..., members].sum(axis=-1, keepdims=True)
        others = total - aligned[..., members] if len(members) > 1 else total
        targets[..., members] = others / max(len(members) - 1, 1)
    return targets


def _pull_grid(
    volume: npt.NDArray[np.float32], affine: FloatArray, matrix: FloatArray
) -> npt.NDArray[np.float32]:
    """Pull a whole volume through a matrix, linearly, onto its own grid."""
    index_matrix = np.linalg.inv(affine) @ matrix @ affine
    return ndimage.affine_transform(
        volume, index_matrix[:3, :3], index_matrix[:3, 3], order=1, mode='nearest'
    )


def _align(
    work: _Level,
    index: int,
    target: npt.NDArray[np.float32],
    start: FloatArray,
    head: _Head,
    n_free: int,
    n_iterations: int = 8,
) -> FloatArray:
    """Gauss-Newton on the robust difference between a volume and its target."""
    where = tuple(work.indices.T)
    centre, phase_axis = head.centre, head.axes[index]
    slopes = np.stack([gradient[where] for gradient in np.gradient(target)], axis=1)
    slopes = slopes @ np.linalg.inv(work.affine[:3, :3])
    wanted = target[where].astype(float)
    outer = (slopes[:, :, None] * np.c_[work.points, np.ones(len(where[0]))][:, None, :]).reshape(
        len(wanted), 12
    )
    parameters = start.copy()
    for _ in range(n_iterations):
        matrix = matrix_from_parameters(parameters, centre, phase_axis)
        found = sample(work.volume(index), work.affine, apply_matrix(matrix, work.points))
        # the moving volume's slope is taken from the target's: grad I(Mx) = A^-T grad T(x)
        back = np.linalg.inv(matrix[:3, :3])
        steps = _parameter_steps(parameters, centre, phase_axis, n_free)
        chained = np.einsum('ij,njk->nik', back, steps[:, :3])
        design = outer @ chained.reshape(n_free, 12).T
        change = _robust_step(design, wanted, found, parameters[:n_free])
        parameters[:n_free] += change
        if np.abs(change[:3]).max() < 0.005 and np.abs(change[3:]).max() < 1e-4:
            break
    return parameters


def _parameter_steps(
    parameters: FloatArray, centre: FloatArray, phase_axis: FloatArray, n_free: int
) -> FloatArray:
    """Return the derivative of the pull matrix by each parameter, (n_free, 4, 4)."""
    step = 1e-5
    result = np.empty((n_free, 4, 4))
    for k in range(n_free):
        ahead, behind = parameters.copy(), parameters.copy()
        ahead[k] += step
        behind[k] -= step
        result[k] = (
            matrix_from_parameters(ahead, centre, phase_axis)
            - matrix_from_parameters(behind, centre, phase_axis)
        ) / (2 * step)
    return result


def _robust_step(
    design: FloatArray, wanted: FloatArray, found: FloatArray, parameters: FloatArray
) -> FloatArray:
    """One Huber-weighted step towards the data and the prior; the gain is fitted along."""
    seen = np.isfinite(found)
    gain = (found[seen] @ wanted[seen]) / (wanted[seen] @ wanted[seen])
    columns = np.column_stack([gain * design[seen], -wanted[seen]])
    difference = gain * wanted[seen] - found[seen]
    spread = 1.4826 * np.median(np.abs(difference)) + 1e-12
    weights = np.minimum(1, 1.345 * spread / np.maximum(np.abs(difference), 1e-12))
    weighted = columns * weights[:, None]
    precision = np.zeros(columns.shape[1])
    precision[:-1] = SAMPLES_PER_FACT * spread**2 / PRIOR_SD[: len(parameters)] ** 2
    right = weighted.T @ difference - precision * np.append(parameters, 0)
    return np.linalg.solve(weighted.T @ columns + np.diag(precision), right)[:-1]


def _anchored(
    data: npt.NDArray, affine: npt.ArrayLike, pulls: FloatArray, head: _Head, anchor: Anchor
) -> FloatArray:
    """Bring each shell's mean to the reference's place."""
    grid = np.asarray(affine, dtype=float)
    result = pulls.copy()
    fixed = _mean_of(data, grid, pulls, np.flatnonzero(head.is_base))
    for bvalue in head.shells.bvalues[1:]:
        members = head.shells.members(bvalue)
        shift = anchor(fixed, _mean_of(data, grid, pulls, members), grid)
        result[members] = pulls[members] @ shift
    return result


def _mean_of(
    data: npt.NDArray, affine: FloatArray, pulls: FloatArray, members: IntArray
) -> npt.NDArray[np.float32]:
    """Mean of some volumes on the reference's grid."""
    return np.mean(
        [_pull_grid(data[..., n].astype(np.float32), affine, pulls[n]) for n in members], axis=0
    )
