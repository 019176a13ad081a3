r"""Estimating a susceptibility field on arrays: a smooth shift along one voxel axis.

The shift :math:`u` is a cubic B-spline. Gauss-Newton minimises, over the brain,

.. math:: \sum_x \rho\bigl(I(x + u e)\,(1 + u') - g(x)\,T(x)\bigr) + \lambda\,|\Delta u|^2

where the target :math:`T` is what the undistorted image should look like and :math:`g` a slowly
varying gain, or, with two images of reversed phase encoding,

.. math:: \sum_x \rho\bigl(I_1(x + u e)(1 + u') - I_2(x - k u e)(1 - k u')\bigr)
          + \lambda\,|\Delta u|^2

with Huber's :math:`\rho`, :math:`u' = \partial u / \partial e` and the ratio :math:`k` of readout
times. The factor :math:`1 + u'` is part of the model: signal that is piled up tells as much as
signal that is shifted (Andersson et al. 2003, doi:10.1016/S1053-8119(03)00336-7, from where the
formulation with two images comes).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.sparse.linalg import LinearOperator, cg

from bids_acc.typing import BoolArray, FloatArray

MIN_JACOBIAN = 0.05
"""Least value of ``1 + u'``: a field that folds the image is not believed."""


@dataclass(frozen=True)
class FieldLevel:
    """One step from coarse to fine."""

    spacing_mm: float
    """Distance of the spline's control points."""
    smoothing_mm: float
    """Full width at half maximum of the Gaussian applied before."""
    iterations: int
    stiffness: float
    """Weight of the bending energy, relative to the data's."""
    shrinkage: float = 1e-3
    """Weight of the field's own size, relative to that of its bending."""


PAIR_LEVELS = (
    FieldLevel(24.0, 8.0, 8, 0.05),
    FieldLevel(14.0, 5.0, 6, 0.05),
    FieldLevel(9.0, 2.5, 3, 0.05),
)
TARGET_LEVELS = (
    FieldLevel(24.0, 8.0, 6, 0.3),
    FieldLevel(14.0, 5.0, 4, 0.3),
    FieldLevel(9.0, 2.5, 3, 0.3),
)
"""Measured in tests/benchmarks/dwi.py."""

MARGIN_MM = 15.0
"""How far around the mask the field is modelled; it falls to zero beyond."""

GAIN_MM = 40.0
"""Full width at half maximum over which the gain varies."""


def spline_basis(n: int, step: float) -> tuple[FloatArray, FloatArray]:
    """Return cubic B-splines on a line of voxels, and their slopes.

    Parameters
    ----------
    n : int
        Voxels.
    step : float
        Distance of the control points in voxels.

    Returns
    -------
    values, slopes : (n, n_controls) ndarray

    Examples
    --------
    >>> values, slopes = spline_basis(9, 4.0)
    >>> bool(np.allclose(values.sum(axis=1), 1)), bool(np.allclose(slopes.sum(axis=1), 0))
    (True, True)
    """
    count = int(np.ceil((n - 1) / step)) + 3
    t = np.arange(n)[:, None] / step - (np.arange(count)[None, :] - 1)
    a = np.abs(t)
    values = np.where(a < 1, 2 / 3 - a**2 + a**3 / 2, np.where(a < 2, (2 - a) ** 3 / 6, 0.0))
    slopes = np.where(
        a < 1, (-2 * a + 1.5 * a**2) * np.sign(t),
        np.where(a < 2, -((2 - a) ** 2) / 2 * np.sign(t), 0.0),
    )  # fmt: skip
    return values, slopes / step


@dataclass(frozen=True)
class _Spline:
    """A field as a product of splines along the three axes."""

    values: tuple[FloatArray, FloatArray, FloatArray]
    slopes: tuple[FloatArray, FloatArray, FloatArray]
    """As ``values``, but slopes along the phase-encoding axis."""

    @classmethod
    def on(cls, shape: Sequence[int], steps: FloatArray, axis: int) -> _Spline:
        """Lay control points over a grid of voxels.

        Parameters
        ----------
        shape : sequence of three int
            Voxels.
        steps : (3,) ndarray
            Distance of the control points along each axis, in voxels.
        axis : int
            Voxel axis of phase encoding, along which the field's slope is needed.
        """
        pairs = [spline_basis(n, step) for n, step in zip(shape, steps, strict=True)]
        values = [v for v, _ in pairs]
        slopes = [d if k == axis else v for k, (v, d) in enumerate(pairs)]
        return cls((values[0], values[1], values[2]), (slopes[0], slopes[1], slopes[2]))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of control points along each axis."""
        a, b, c = (v.shape[1] for v in self.values)
        return a, b, c

    @staticmethod
    def forward(bases: tuple[FloatArray, FloatArray, FloatArray], c: FloatArray) -> FloatArray:
        """Evaluate the field, or its slope, at the voxels.

        Parameters
        ----------
        bases : tuple of three (n_voxels, n_controls) ndarray
            ``values`` or ``slopes``.
        c : (n_controls_i, n_controls_j, n_controls_k) ndarray
            Coefficients; mm for a field in mm.

        Returns
        -------
        (nx, ny, nz) ndarray
        """
        for k, basis in enumerate(bases):
            c = np.moveaxis(np.tensordot(basis, c, axes=(1, k)), 0, k)
        return c

    @staticmethod
    def backward(bases: tuple[FloatArray, FloatArray, FloatArray], v: FloatArray) -> FloatArray:
        """Sum values of voxels up at the control points: the transpose of `forward`.

        Parameters
        ----------
        bases : tuple of three (n_voxels, n_controls) ndarray
            As of `forward`.
        v : (nx, ny, nz) ndarray
            Derivatives by the field at each voxel.

        Returns
        -------
        (n_controls_i, n_controls_j, n_controls_k) ndarray
        """
        for k, basis in enumerate(bases):
            v = np.moveaxis(np.tensordot(basis, v, axes=(0, k)), 0, k)
        return v


@dataclass(frozen=True)
class _Linear:
    """Residual of the model at some field, and how it changes with field and slope."""

    residual: FloatArray
    by_shift: FloatArray
    by_slope: FloatArray


Model = Callable[[FloatArray, FloatArray], _Linear]
"""(shift, slope) in voxels -> linearised residual."""


def shifted(volume: FloatArray, shift: FloatArray, axis: int) -> tuple[FloatArray, FloatArray]:
    """Return a volume and its slope along an axis, at places shifted along that axis.

    Parameters
    ----------
    volume : (i, j, k) ndarray
    shift : (i, j, k) ndarray
        In voxels.
    axis : int

    Returns
    -------
    values, slopes : (i, j, k) ndarray
    """
    grid = np.indices(volume.shape, dtype=float)
    grid[axis] += shift
    slope = np.gradient(volume, axis=axis)
    values, slopes = (
        ndimage.map_coordinates(v, grid, order=1, mode='nearest') for v in (volume, slope)
    )
    return values, slopes


def _target_model(image: FloatArray, target: FloatArray, gain_sd: FloatArray, axis: int) -> Model:
    """Compare one image with what it should look like."""

    def smooth(values: FloatArray) -> FloatArray:
        return np.asarray(ndimage.gaussian_filter(values, gain_sd, truncate=2.5))

    energy = smooth(target**2)
    # Where the target is dark nothing tells the gain: it goes to one there.
    floor = 0.02 * float(energy.max())

    def model(shift: FloatArray, slope: FloatArray) -> _Linear:
        value, gradient = shifted(image, shift, axis)
        jacobian = np.maximum(1 + slope, MIN_JACOBIAN)
        corrected = value * jacobian
        gain = (smooth(corrected * target) + floor) / (energy + floor)
        # The gain is held fixed in the derivative: it varies over GAIN_MM, so that a step of the
        # shift by a fraction of a voxel hardly changes it.
        return _Linear(corrected - gain * target, gradient * jacobian, value)

    return model


def _pair_model(image: FloatArray, reversed_pe: FloatArray, ratio: float, axis: int) -> Model:
    """Compare two images of reversed phase encoding."""

    def model(shift: FloatArray, slope: FloatArray) -> _Linear:
        one, one_gradient = shifted(image, shift, axis)
        two, two_gradient = shifted(reversed_pe, -ratio * shift, axis)
        jacobian = np.maximum(1 + slope, MIN_JACOBIAN)
        squeeze = np.maximum(1 - ratio * slope, MIN_JACOBIAN)
        return _Linear(
            one * jacobian - two * squeeze,
            one_gradient * jacobian + ratio * two_gradient * squeeze,
            one + ratio * two,
        )

    return model


def estimate_field(
    image: npt.ArrayLike,
    zooms: npt.ArrayLike,
    axis: int,
    mask: npt.ArrayLike,
    *,
    target: npt.ArrayLike | None = None,
    reversed_pe: npt.ArrayLike | None = None,
    ratio: float = 1.0,
    levels: Sequence[FieldLevel] | None = None,
) -> FloatArray:
    """Estimate the shift along one voxel axis that undoes the distortion of an image.

    Parameters
    ----------
    image : (i, j, k) array_like
        b = 0 image.
    zooms : (3,) array_like
        Voxel size, mm.
    axis : int
        Voxel axis of phase encoding.
    mask : (i, j, k) array_like of bool
        Where the images are compared.
    target : (i, j, k) array_like, optional
        What the undistorted image should look like, up to a slowly varying gain.
    reversed_pe : (i, j, k) array_like, optional
        Image of reversed phase encoding, in place of a target.
    ratio : float
        Readout time of the reversed image, relative to the first one's.
    levels : sequence of FieldLevel
        Coarse to fine; by default `PAIR_LEVELS` or `TARGET_LEVELS`.

    Returns
    -------
    (i, j, k) ndarray
        Shift towards larger indices, mm: where the signal of a voxel is found.

    Raises
    ------
    ValueError
        Unless one of ``target`` and ``reversed_pe`` is given.
    """
    if (target is None) == (reversed_pe is None):
        raise ValueError('give either a target or an image of reversed phase encoding')
    size = np.asarray(zooms, dtype=float)
    box = _box(np.asarray(mask, dtype=bool), MARGIN_MM / size)
    inside = np.asarray(mask, dtype=float)[box]
    # Stiffness is told relative to the data, but the small numbers that guard divisions are not:
    # they are small beside images of about one.
    scale = float(np.median(np.asarray(image, dtype=float)[box][inside > 0])) or 1.0
    other = target if reversed_pe is None else reversed_pe
    volumes = [np.nan_to_num(np.asarray(v, dtype=float)) / scale for v in (image, other)]
    shift = np.zeros(inside.shape)
    for level in levels or (TARGET_LEVELS if reversed_pe is None else PAIR_LEVELS):
        sd = level.smoothing_mm / 2.3548 / size
        # Smoothed before it is cut out: a filter mirrors the image at its sides, and those of the
        # box run through the head.
        first, second = (ndimage.gaussian_filter(v, sd, truncate=3)[box] for v in volumes)
        spline = _Spline.on(first.shape, level.spacing_mm / size, axis)
        model = (
            _target_model(first, second, GAIN_MM / 2.3548 / size, axis)
            if reversed_pe is None
            else _pair_model(first, second, ratio, axis)
        )
        shift = _fit_level(spline, model, inside, shift, level)
    result = np.zeros(np.shape(mask))
    result[box] = shift * size[axis]
    return result


def _box(mask: BoolArray, margin: FloatArray) -> tuple[slice, ...]:
    """Return the box around a mask, a little larger."""
    where = np.argwhere(mask)
    low = np.maximum(where.min(axis=0) - np.ceil(margin).astype(int), 0)
    high = np.minimum(where.max(axis=0) + 1 + np.ceil(margin).astype(int), mask.shape)
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))


def _fit_level(
    spline: _Spline, model: Model, mask: FloatArray, start: FloatArray, level: FieldLevel
) -> FloatArray:
    """Gauss-Newton on the control points, starting from the field of the level before."""
    controls = _project(spline, start)
    for _ in range(level.iterations):
        shift = spline.forward(spline.values, controls)
        slope = spline.forward(spline.slopes, controls)
        found = model(shift, slope)
        weights = _huber(found.residual, mask)
        change = _newton_step(spline, found, weights, controls, level)
        controls = controls + change
        if np.abs(change).max() < 0.02:
            break
    return spline.forward(spline.values, controls)


def _project(spline: _Spline, field: FloatArray) -> FloatArray:
    """Return the control points nearest to a field."""
    # The outermost splines reach few voxels: a plain inverse would give them any value, the
    # pseudo-inverse gives what no voxel sees zero.
    inverse = [np.asarray(np.linalg.pinv(basis, rcond=1e-6)) for basis in spline.values]
    return spline.forward((inverse[0], inverse[1], inverse[2]), field)


def _huber(residual: FloatArray, mask: FloatArray) -> FloatArray:
    """Return weights that make a residual beyond 1.345 robust SDs count linearly."""
    inside = np.abs(residual[mask > 0])
    spread = 1.4826 * float(np.median(inside)) + 1e-9
    return np.asarray(
        mask * np.minimum(1, 1.345 * spread / np.maximum(np.abs(residual), 1e-9)) / spread**2
    )


def _bend(controls: FloatArray) -> FloatArray:
    """Apply the bending energy's matrix, the Laplacian twice."""
    once = ndimage.laplace(controls, mode='nearest')
    return np.asarray(ndimage.laplace(once, mode='nearest'))


def _newton_step(
    spline: _Spline, found: _Linear, weights: FloatArray, controls: FloatArray, level: FieldLevel
) -> FloatArray:
    """Solve for the change of the control points by conjugate gradients."""
    a, b = found.by_shift, found.by_slope

    def project(values: FloatArray) -> FloatArray:
        return spline.backward(spline.values, a * values) + spline.backward(
            spline.slopes, b * values
        )

    # stiffness is told relative to what one control point's shift changes in the data
    strength = level.stiffness * float(np.sum(weights * a**2)) / controls.size
    shrink = level.shrinkage

    def hessian(vector: FloatArray) -> FloatArray:
        step = vector.reshape(controls.shape)
        moved = a * spline.forward(spline.values, step) + b * spline.forward(spline.slopes, step)
        back = project(weights * moved)
        return (back + strength * (_bend(step) + shrink * step)).ravel()

    right = -project(weights * found.residual) - strength * (_bend(controls) + shrink * controls)
    operator = LinearOperator((controls.size,) * 2, matvec=hessian, dtype=float)
    # Inexact on purpose: the model is linearised anew after each step, which a more exact solution
    # of the last one would not spare.
    solution, _ = cg(operator, right.ravel(), rtol=1e-2, maxiter=25)
    return np.asarray(solution).reshape(controls.shape)
