"""b-values as shells, gradient directions in the scanner's frame, and what is wrong with either.

Three frames are met: FSL's (along the voxel axes, x flipped where the affine's determinant is
positive), which BIDS files hold; the scanner's (RAS+, mm), in which everything here is
computed; and the frame of whatever grid the corrected series is written on.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from bids_acc.exceptions import InputDataError
from bids_acc.images.affines import axes_of
from bids_acc.typing import BoolArray, FloatArray, IntArray

B0_THRESHOLD = 50.0
"""b-values up to this one, in s/mm2, count as b = 0."""

SHELL_WIDTH = 100.0
"""b-values closer than this to their neighbour, in s/mm2, belong to the same shell."""

NORM_TOLERANCE = 0.05
"""How far from one a direction's length may be before it is reported."""

SMALL_B = 200.0
"""A volume without a direction whose b-value is at most this one, in s/mm2, was acquired without
diffusion weighting: scanners write their crushers' b-value, such as 65 (tractoflow issue 76)."""

LOWEST_B0 = 100.0
"""Where nothing counts as b = 0, the lowest b-values do if they are at most this one, in s/mm2."""

LEVEL_GAP, LEVEL_SPREAD, LEVEL_SIZE = 0.03, 0.03, 3
"""Lengths of directions form levels where neighbours are further apart than the first, each level
is no wider than the second and holds at least so many volumes. Rounding to four digits makes
1e-4; a table whose lengths are merely wrong has no levels."""

Scaling = Literal['auto', 'yes', 'no']
"""Whether b-values are told by the length of directions, see `scaled_bvalues`."""


@dataclass(frozen=True)
class Shells:
    """Which volume belongs to which shell."""

    labels: IntArray
    """(n_volumes,) index into `bvalues`."""
    bvalues: tuple[int, ...]
    """Nominal b-value of each shell, s/mm2, ascending; b = 0 first where there is one."""

    @property
    def volume_bvalues(self) -> FloatArray:
        """Nominal b-value of each volume."""
        return np.asarray(self.bvalues, dtype=float)[self.labels]

    def members(self, bvalue: int) -> IntArray:
        """Return the volumes of one shell.

        Parameters
        ----------
        bvalue : int
            Nominal, s/mm2, one of `bvalues`.

        Returns
        -------
        (n,) ndarray of int
            Indices of its volumes, rising.
        """
        return np.flatnonzero(self.volume_bvalues == bvalue)


@dataclass(frozen=True)
class GradientReport:
    """What was found wrong with a gradient table, and what was done about it."""

    bvals: FloatArray
    """(n_volumes,) s/mm2, after the fixes."""
    bvecs: FloatArray
    """(n_volumes, 3) of length one, or zero for b = 0, after the fixes; same frame as given."""
    usable: BoolArray
    """(n_volumes,) volumes whose direction is known."""
    findings: tuple[str, ...] = field(default=())
    """One sentence for each irregularity."""


def find_shells(
    bvals: npt.ArrayLike, b0_threshold: float = B0_THRESHOLD, width: float = SHELL_WIDTH
) -> Shells:
    """Group b-values that differ only by jitter.

    Sorted b-values are cut where the next one is further away than ``width``; each group is
    named by its median, rounded to 50.

    Parameters
    ----------
    bvals : (n_volumes,) array_like
        In s/mm2.
    b0_threshold : float
        Largest b-value that counts as zero.
    width : float
        Largest step inside a shell.

    Returns
    -------
    Shells

    Raises
    ------
    InputDataError
        If a b-value is negative or not finite.

    Examples
    --------
    >>> shells = find_shells([0, 5, 989, 1003, 1000, 2005])
    >>> shells.bvalues
    (0, 1000, 2000)
    >>> shells.labels
    array([0, 0, 1, 1, 1, 2])
    """
    values = np.asarray(bvals, dtype=float).ravel()
    if not np.all(np.isfinite(values)) or np.any(values < 0):
        raise InputDataError(f'b-values must be finite and not negative, got {values}')
    flat = np.where(values <= b0_threshold, 0.0, values)
    order = np.argsort(flat, kind='stable')
    steps = np.diff(flat[order]) > width
    # A low shell such as b 100 may lie within `width` of zero, and is none of b = 0.
    steps |= (flat[order][:-1] == 0) & (flat[order][1:] > 0)
    groups = np.zeros(values.size, dtype=np.int64)
    groups[order] = np.concatenate([[0], np.cumsum(steps)])
    names = [_nominal(flat[groups == group]) for group in range(int(groups.max()) + 1)]
    return Shells(groups, tuple(names))


def _nominal(values: FloatArray) -> int:
    """Name a shell by its median, rounded to 50 unless that would make it a b = 0."""
    median = float(np.median(values))
    return int(round(median / 50) * 50) or round(median)


def scaled_bvalues(
    bvals: npt.ArrayLike,
    lengths: npt.ArrayLike,
    scaling: Scaling = 'auto',
    b0_threshold: float = B0_THRESHOLD,
) -> tuple[FloatArray, str]:
    """Multiply b-values by the squared length of their directions, where that is meant.

    Some scanners acquire several shells with one nominal b-value and shorten the gradient, so that
    b-values are all one and the directions' lengths tell the shells.

    Parameters
    ----------
    bvals : (n_volumes,) array_like
        In s/mm2.
    lengths : (n_volumes,) array_like
        Of the directions.
    scaling : {'auto', 'yes', 'no'}
        ``auto``: where all b-values above zero are one, the longest directions have length one,
        and lengths form levels. Lengths beside b-values that differ tell nothing new.
    b0_threshold : float
        Largest b-value that counts as zero.

    Returns
    -------
    bvals : (n_volumes,) ndarray
        In s/mm2.
    finding : str
        What was done, or empty.

    References
    ----------
    MRtrix3, "Diffusion gradient scheme handling", b-value scaling: b is multiplied by the square
    of the vector's norm.

    Examples
    --------
    >>> scaled_bvalues([0, *[1000] * 6], [0, *[0.7071] * 3, *[1] * 3])[0].round()
    array([   0.,  500.,  500.,  500., 1000., 1000., 1000.])
    >>> scaled_bvalues([0, *[500] * 3, *[1000] * 3], [0, *[0.7071] * 3, *[1] * 3])[0]
    array([   0.,  500.,  500.,  500., 1000., 1000., 1000.])
    """
    values, norms = np.asarray(bvals, dtype=float), np.asarray(lengths, dtype=float)
    found = scaling != 'yes' and has_length_levels(values, norms, b0_threshold)
    if scaling == 'no' or not (found or scaling == 'yes'):
        ignored = 'lengths of directions form levels and were ignored (--dwi-bvalue-scaling no).'
        return values, ignored if found else ''
    # b goes with the square of the gradient, whose length the direction tells.
    scaled = np.where(values > b0_threshold, values * norms**2, values)
    if np.allclose(scaled, values, rtol=2 * NORM_TOLERANCE, atol=b0_threshold):
        return scaled, ''
    levels = ', '.join(map(str, find_shells(scaled, b0_threshold).bvalues))
    why = 'as b-values are all one' if scaling == 'auto' else 'as --dwi-bvalue-scaling yes asks'
    return scaled, f'b-values are told by the length of directions ({why}): b {levels}.'


def has_length_levels(bvals: FloatArray, lengths: FloatArray, b0_threshold: float) -> bool:
    """Tell whether the lengths of directions tell shells that b-values do not.

    Parameters
    ----------
    bvals, lengths : (n_volumes,) ndarray
    b0_threshold : float
        Largest b-value that counts as zero.
    """
    weighted = (bvals > b0_threshold) & (lengths > 1e-6)
    if not weighted.any() or np.ptp(bvals[weighted]) > 0.01 * bvals[weighted].max():
        return False
    norms = np.sort(lengths[weighted])
    if abs(norms[-1] - 1) > NORM_TOLERANCE or norms[0] > 1 - NORM_TOLERANCE:
        return False
    levels = np.split(norms, np.flatnonzero(np.diff(norms) > LEVEL_GAP) + 1)
    nominal = float(np.median(bvals[weighted]))
    return all(
        np.ptp(level) <= LEVEL_SPREAD
        and (len(level) >= LEVEL_SIZE or nominal * level.max() ** 2 <= b0_threshold)
        for level in levels
    )


def find_base(
    bvals: FloatArray, lengths: FloatArray, b0_threshold: float = B0_THRESHOLD
) -> tuple[BoolArray, list[str]]:
    """Tell which volumes count as b = 0.

    Parameters
    ----------
    bvals : (n_volumes,) ndarray
        In s/mm2.
    lengths : (n_volumes,) ndarray
        Of the directions.
    b0_threshold : float
        Largest b-value that counts as zero in any case.

    Returns
    -------
    is_b0 : (n_volumes,) ndarray of bool
    findings : list of str
        Why volumes above the threshold count as b = 0.

    Examples
    --------
    >>> find_base(np.array([65.0, 995, 1000]), np.array([0.0, 1, 1]))[0]
    array([ True, False, False])
    """
    is_b0 = bvals <= b0_threshold
    findings = []
    still = ~is_b0 & (lengths < 1e-6) & (bvals <= SMALL_B)
    if still.any():
        findings.append(
            f'volumes {_listed(still)} (b {_range(bvals[still])}) have no direction: b = 0.'
        )
        is_b0 = is_b0 | still
    lowest = ~is_b0 & (bvals <= min(LOWEST_B0, bvals.min(initial=np.inf) + SHELL_WIDTH / 2))
    if not is_b0.any() and lowest.any() and not lowest.all():
        findings.append(
            f'no b-value is at most {b0_threshold:g}: the lowest ({_range(bvals[lowest])}, '
            f'volumes {_listed(lowest)}) count as b = 0 (--dwi-b0-threshold).'
        )
        is_b0 = lowest
    return is_b0, findings


def _range(values: FloatArray) -> str:
    """Write the smallest and the largest of some values."""
    low, high = values.min(), values.max()
    return f'{low:g}' if low == high else f'{low:g} to {high:g}'


def check_gradients(
    bvals: npt.ArrayLike,
    bvecs: npt.ArrayLike,
    n_volumes: int | None = None,
    *,
    b0_threshold: float = B0_THRESHOLD,
    scaling: Scaling = 'auto',
) -> GradientReport:
    """Check a gradient table, and repair what has only one sensible repair.

    Directions of b = 0 volumes become zero, and so do their b-values where they are above 50.
    Directions whose length is off are normalised, after their length told the b-value where it
    does (`scaled_bvalues`). Volumes with b > 0 whose direction is missing (NaN or zero) cannot be
    used in a tensor and are marked so.

    Parameters
    ----------
    bvals : (n_volumes,) array_like
        In s/mm2.
    bvecs : (n_volumes, 3) or (3, n_volumes) array_like
        Directions, in any frame.
    n_volumes : int, optional
        Number of volumes in the image.
    b0_threshold : float
        Largest b-value that counts as zero.
    scaling : {'auto', 'yes', 'no'}
        See `scaled_bvalues`.

    Returns
    -------
    GradientReport

    Raises
    ------
    InputDataError
        If counts do not fit.

    Examples
    --------
    >>> report = check_gradients([0, 1000, 1000], [[1, 0, 0], [0, 2, 0], [0, 0, 0]])
    >>> report.bvecs[1], report.usable
    (array([0., 1., 0.]), array([ True,  True, False]))
    >>> len(report.findings)
    3
    """
    values = np.asarray(bvals, dtype=float).ravel()
    vectors = _as_rows(bvecs, values.size)
    if n_volumes is not None and n_volumes != values.size:
        raise InputDataError(f'{n_volumes} volumes but {values.size} b-values.')

    findings: list[str] = []
    bad = ~np.isfinite(values) | (values < 0)
    if bad.any():
        findings.append(f'b-value missing or negative in volumes {_listed(bad)}: not used.')
    values = np.where(bad, 0.0, values)
    missing = ~np.isfinite(vectors).all(axis=1)
    vectors[missing] = 0
    norms = np.linalg.norm(vectors, axis=1)
    values, scaled = scaled_bvalues(values, norms, scaling, b0_threshold)
    findings += [scaled] if scaled else []
    base, said = find_base(np.where(bad, np.inf, values), norms, b0_threshold)
    findings += said
    values = np.where(base & (values > B0_THRESHOLD), 0.0, values)
    if (missing & base).any():
        findings.append(f'b = 0 volumes {_listed(missing & base)} have NaN directions: zeroed.')
    if (base & (norms > 0)).any():
        findings.append(f'b = 0 volumes {_listed(base & (norms > 0))} have a direction: zeroed.')
    lost = ~base & ~bad & (norms < 1e-6)
    if lost.any():
        findings.append(f'volumes {_listed(lost)} have b > 0 and no direction: not used.')
    off = ~base & ~bad & ~lost & (np.abs(norms - 1) > NORM_TOLERANCE)
    if off.any() and not scaled:
        findings.append(f'directions of volumes {_listed(off)} are not of length 1: normalised.')
    unit = np.divide(vectors, norms[:, None], out=np.zeros_like(vectors), where=norms[:, None] > 0)
    unit[base | bad] = 0
    return GradientReport(values, unit, ~(bad | lost), tuple(findings))


def _as_rows(bvecs: npt.ArrayLike, n_volumes: int) -> FloatArray:
    """Return directions as a copy, one in each row."""
    vectors = np.array(bvecs, dtype=float, ndmin=2)
    if vectors.shape != (n_volumes, 3) and vectors.shape == (3, n_volumes):
        vectors = vectors.T
    if vectors.shape != (n_volumes, 3):
        raise InputDataError(
            f'{n_volumes} b-values but directions of shape {vectors.shape}; one row of three '
            'numbers is needed for each volume.'
        )
    return vectors


def _listed(mask: BoolArray) -> str:
    """Name the first few volumes of a mask."""
    indices = np.flatnonzero(mask)
    text = ', '.join(map(str, indices[:8]))
    return text + (f' and {indices.size - 8} more' if indices.size > 8 else '')


def bvecs_to_scanner(bvecs: npt.ArrayLike, affine: npt.ArrayLike) -> FloatArray:
    """Turn FSL directions, as BIDS stores them, into scanner directions.

    Parameters
    ----------
    bvecs : (n_volumes, 3) array_like
        Along the voxel axes, with x flipped where the affine's determinant is positive.
    affine : (4, 4) array_like
        Of the image to which the file belongs.

    Returns
    -------
    (n_volumes, 3) ndarray
        RAS+.

    References
    ----------
    FSL wiki, FDT user guide, "What conventions do the bvecs use?"; BIDS 1.11.1, Diffusion
    imaging data.

    Examples
    --------
    >>> bvecs_to_scanner([[1, 0, 0]], np.diag([2, 2, 2, 1]))
    array([[-1.,  0.,  0.]])
    >>> bvecs_to_scanner([[1, 0, 0]], np.diag([-2, 2, 2, 1]))
    array([[-1.,  0.,  0.]])
    """
    axes = axes_of(affine)
    return np.asarray(bvecs, dtype=float) * _flip(axes) @ axes.T


def bvecs_from_scanner(directions: npt.ArrayLike, affine: npt.ArrayLike) -> FloatArray:
    """Turn scanner directions into FSL directions for an image; inverse of `bvecs_to_scanner`.

    Parameters
    ----------
    directions : (n_volumes, 3) array_like
        RAS+.
    affine : (4, 4) array_like
        Of the image beside which the file will lie.

    Returns
    -------
    (n_volumes, 3) ndarray
    """
    axes = axes_of(affine)
    return (np.asarray(directions, dtype=float) @ axes) * _flip(axes)


def _flip(axes: FloatArray) -> FloatArray:
    """Return FSL's sign of x for these axes."""
    # FSL keeps directions in radiological order: with a positive determinant its x runs against
    # the first voxel axis.
    return np.array([-1.0 if np.linalg.det(axes) > 0 else 1.0, 1.0, 1.0])


def scheme_hash(bvals: npt.ArrayLike, bvecs: npt.ArrayLike) -> str:
    """Name a sampling scheme, so that deviating protocols are seen in a cohort.

    Shells and directions, rounded to 0.02 and without regard to sign and order, so that jitter
    and the order of volumes do not matter.

    Parameters
    ----------
    bvals : (n_volumes,) array_like
    bvecs : (n_volumes, 3) array_like
        In the frame of the file, before any rotation for motion.

    Returns
    -------
    str
        The letter s, so that no table's reader takes it for a number, and eight hexadecimal
        digits.

    Examples
    --------
    >>> scheme_hash([0, 1000], [[0, 0, 0], [0, 1, 0]]) == scheme_hash(
    ...     [998, 0], [[0, -1, 0], [0, 0, 0]]
    ... )
    True
    """
    nominal = find_shells(bvals).volume_bvalues
    vectors = np.asarray(bvecs, dtype=float)
    # Gradients have no sign: each is turned so that its largest part is positive.
    leading = np.take_along_axis(vectors, np.abs(vectors).argmax(axis=1)[:, None], axis=1)
    vectors = np.round(vectors * np.where(leading < 0, -1, 1) * 50).astype(int)
    rows = sorted((int(b), *map(int, v)) for b, v in zip(nominal, vectors, strict=True))
    return 's' + hashlib.sha256(repr(rows).encode()).hexdigest()[:8]
