r"""Head motion and linear eddy-current distortion of each volume.

Each diffusion-weighted volume is aligned to the mean of the others of its shell by a robust
Gauss-Newton fit. The mean knows nothing of the gradient, so what all volumes share is not seen:
the part of the eddy terms that is not proportional to the gradient is removed, and the place
and turn of each shell as a whole is taken from one registration of its mean to the b = 0 image
(the *anchor*, by mutual information). The b = 0 volumes are aligned to the first of them.

Measured and not kept (tests/benchmarks/dwi.py prints what is): a target that is predicted
from neighbours in q-space leaves whatever misalignment is a smooth function of the gradient;
one that is a function of the b = 0 image (correlation ratio) misjudges the size of the brain,
because CSF is bright in one contrast and dark in the other, as does mutual information of each
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
from scipy.spatial.transform import Rotation

from bids_acc.dwi.shells import Shells
from bids_acc.images.affines import centre_of_mass
from bids_acc.images.motion import (
    RIGID_PRIOR_SD,
    Motion,
    PyramidLevel,
    SmoothedSeries,
    Transform,
    align_volume,
    pull_grid,
    rotation_part,
)
from bids_acc.typing import BoolArray, FloatArray, IntArray

Anchor = Callable[[npt.NDArray[np.float32], npt.NDArray[np.float32], FloatArray], FloatArray]
"""(reference, moving, affine) -> affine matrix; aligns two contrasts."""

PRIOR_SD = np.concatenate([RIGID_PRIOR_SD, [0.01] * 3])
"""Expected size of translations (mm), rotations (rad) and eddy terms (mm/mm). A turn together
with a shear leaves an ellipsoid as it is; without an expectation the two drift away together
where a head shows little but its outline."""

SCHEDULE = (PyramidLevel(8.0, 2), PyramidLevel(2.5, 1, rounds=2))
"""Coarse to fine; measured in tests/benchmarks/dwi.py."""


def matrix_from_parameters(
    parameters: npt.ArrayLike, centre: npt.ArrayLike, phase_axis: npt.ArrayLike
) -> FloatArray:
    """Return the affine matrix of one volume (see the module's equation).

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
    return np.asarray(
        np.einsum('nji,nj->ni', rotation_part(matrices), np.asarray(directions, dtype=float))
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
    schedule: Sequence[PyramidLevel] = SCHEDULE,
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
    schedule : sequence of PyramidLevel
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
    head = _Head(centre_of_mass(mask, affine), axes, shells, np.asarray(directions, dtype=float))
    parameters = np.zeros((n_volumes, 9))
    for level in schedule:
        work = SmoothedSeries.prepare(data, affine, mask, level)
        for _ in range(level.rounds):
            targets = _targets(work, head, parameters)
            for index in range(n_volumes):
                if index == head.reference:
                    continue
                # Without a diffusion gradient there are no eddy currents of one: b = 0 volumes get
                # six parameters.
                prior = PRIOR_SD if eddy and not head.is_base[index] else RIGID_PRIOR_SD
                parameters[index] = align_volume(
                    work,
                    index,
                    targets[..., index],
                    parameters[index],
                    head.transform(index),
                    prior,
                )
        if eddy:
            parameters[:, 6:] = proportional_eddy(parameters[:, 6:], directions, shells)
    to_sources = head.to_sources(parameters)
    if anchor is not None:
        to_sources = _anchored(data, affine, to_sources, head, anchor)
    return Motion(to_sources, parameters)


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
    # b grows with the square of the gradient's amplitude, eddy currents with the amplitude.
    strength = np.sqrt(shells.volume_bvalues / max(*shells.bvalues, 1))
    for bvalue in shells.bvalues:
        members = shells.members(bvalue)
        if bvalue == 0:
            continue
        slope = strength[members, None] * np.asarray(directions, dtype=float)[members]
        # Four numbers from fewer volumes would take the very differences that are to be kept.
        columns = slope if len(members) >= 10 else np.empty((len(members), 0))
        design = np.column_stack([np.ones(len(members)), columns])
        constant = np.linalg.lstsq(design, terms[members], rcond=None)[0][0]
        terms[members] -= constant
    return terms


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
        return np.asarray(self.shells.labels == 0)

    @property
    def reference(self) -> int:
        """The volume that stays where it is."""
        return int(np.flatnonzero(self.is_base)[0])

    def transform(self, index: int) -> Transform:
        """Return the function that turns a volume's parameters into an affine matrix.

        Parameters
        ----------
        index : int
            Volume, which tells the axis of phase encoding.

        Returns
        -------
        callable
            From (n_parameters,) to (4, 4), reference to volume; see `matrix_from_parameters`.
        """
        return lambda p: matrix_from_parameters(p, self.centre, self.axes[index])

    def to_sources(self, parameters: FloatArray) -> FloatArray:
        """Return the affine matrices of all volumes.

        Parameters
        ----------
        parameters : (n_volumes, n_parameters) ndarray
            See `matrix_from_parameters`.

        Returns
        -------
        (n_volumes, 4, 4) ndarray
            From the reference to each volume, scanner RAS in mm.
        """
        pairs = zip(parameters, self.axes, strict=True)
        return np.array([matrix_from_parameters(p, self.centre, u) for p, u in pairs])


def _targets(work: SmoothedSeries, head: _Head, parameters: FloatArray) -> npt.NDArray[np.float32]:
    """Return what each volume is aligned to, on the reference's grid."""
    to_sources = head.to_sources(parameters)
    aligned = np.stack(
        [pull_grid(work.volume(n), work.affine, to_sources[n]) for n in range(len(to_sources))],
        axis=-1,
    )
    targets = np.empty_like(aligned)
    targets[..., head.is_base] = aligned[..., [head.reference]]
    for label in range(1, len(head.shells.bvalues)):
        members = np.flatnonzero(head.shells.labels == label)
        total = aligned[..., members].sum(axis=-1, keepdims=True)
        # A volume in its own target would hold itself in place.
        others = total - aligned[..., members] if len(members) > 1 else total
        targets[..., members] = others / max(len(members) - 1, 1)
    return targets


def _anchored(
    data: npt.NDArray[np.floating],
    affine: npt.ArrayLike,
    to_sources: FloatArray,
    head: _Head,
    anchor: Anchor,
) -> FloatArray:
    """Bring each shell's mean to the reference's place."""
    grid = np.asarray(affine, dtype=float)
    result = to_sources.copy()
    fixed = _mean_of(data, grid, to_sources, np.flatnonzero(head.is_base))
    for bvalue in head.shells.bvalues[1:]:
        members = head.shells.members(bvalue)
        shift = anchor(fixed, _mean_of(data, grid, to_sources, members), grid)
        result[members] = to_sources[members] @ shift
    return result


def _mean_of(
    data: npt.NDArray[np.floating], affine: FloatArray, to_sources: FloatArray, members: IntArray
) -> npt.NDArray[np.float32]:
    """Mean of some volumes on the reference's grid."""
    return np.asarray(
        np.mean(
            [pull_grid(data[..., n].astype(np.float32), affine, to_sources[n]) for n in members],
            axis=0,
        )
    )
