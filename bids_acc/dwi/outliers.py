"""Slices that lost their signal, and noise, judged against what the other volumes predict."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import sph_harm_y

from bids_acc.dwi.shells import Shells
from bids_acc.typing import BoolArray, FloatArray

OUTLIER_SDS = 4.0
"""A slice this many robust standard deviations below its prediction is an outlier, the rule of
Andersson et al. 2016 (doi:10.1016/j.neuroimage.2016.06.058)."""

MAX_SPREAD = 3.0
"""Largest spread of a slice, relative to the median over slices, that is believed."""

SETTLING_ROUNDS = 3
"""Rounds after the last discovery in which the replacements settle."""

MOST_UNLIKE = 0.5
"""Share of a volume's slices beyond `OUTLIER_SDS`, to either side, from which all of it is left
out. Own convention: of a simulated volume that is another head it is 1, in OpenNeuro ds000114
0.08 at most."""

MIN_SLICE_VOXELS = 100
"""Slices with fewer brain voxels are not judged."""


REACH = 0.9
"""Distance from a lost slice, in slices, up to which an interpolated value is not used. Own
measurement: see `usable_weights`."""


@dataclass(frozen=True)
class SliceReport:
    """How each slice of each volume compares with its prediction."""

    deviation: FloatArray
    """(n_slices, n_volumes) in robust standard deviations; NaN where not judged."""
    outlier: BoolArray
    """(n_slices, n_volumes)."""


def harmonics(directions: npt.ArrayLike, degree: int) -> FloatArray:
    """Return real, even spherical harmonics.

    Parameters
    ----------
    directions : (n, 3) array_like
        Unit vectors.
    degree : int
        Highest degree; even.

    Returns
    -------
    (n, (degree + 1)(degree + 2) / 2) ndarray
    """
    x, y, z = np.asarray(directions, dtype=float).T
    polar, azimuth = np.arccos(np.clip(z, -1, 1)), np.arctan2(y, x)
    columns = []
    for n in range(0, degree + 1, 2):
        for m in range(n + 1):
            value = sph_harm_y(n, m, polar, azimuth)
            columns += [value.real] if m == 0 else [value.real, value.imag]
    return np.stack(columns, axis=1)


def leave_one_out(directions: npt.ArrayLike, n_lost: int = 0) -> FloatArray:
    """Return the matrix that predicts each volume of a shell from the others.

    Spherical harmonics of degree 4 from 25 directions on, 2 from 10 on, else the mean of the
    others. The diagonal is zero: no volume predicts itself.

    Parameters
    ----------
    directions : (n, 3) array_like
    n_lost : int
        Of these, how many may have been replaced at a place: they tell nothing, and a degree that
        the others do not determine would run away with the replacements.

    Returns
    -------
    (n, n) ndarray
        Rows sum to one.

    Examples
    --------
    >>> leave_one_out(np.eye(3))
    array([[0. , 0.5, 0.5],
           [0.5, 0. , 0.5],
           [0.5, 0.5, 0. ]])
    """
    count = len(np.asarray(directions))
    degree = 4 if count - n_lost >= 25 else 2 if count - n_lost >= 10 else 0
    basis = harmonics(directions, degree)
    hat = basis @ np.linalg.pinv(basis, rcond=1e-6)
    # Leave-one-out residuals follow from the hat matrix without fitting again (divided by 1 - h);
    # a direction that nothing but itself determines would divide by zero.
    leverage = np.minimum(np.diag(hat), 0.9)
    predictor = (hat - np.diag(leverage)) / (1 - leverage)[:, None]
    np.fill_diagonal(predictor, 0)
    # Weights sum to one, so that a series twice as bright is predicted twice as bright.
    return np.asarray(predictor / predictor.sum(axis=1, keepdims=True))


def predict_volumes(
    signal: npt.ArrayLike,
    shells: Shells,
    directions: npt.ArrayLike,
    replaced: BoolArray | None = None,
) -> npt.NDArray[np.float32]:
    """Predict each volume from the others of its shell.

    Parameters
    ----------
    signal : (n_voxels, n_volumes) array_like
        Aligned.
    shells : Shells
    directions : (n_volumes, 3) array_like
    replaced : (n_slices, n_volumes) ndarray of bool, optional
        Slices whose signal is no measurement but a prediction.

    Returns
    -------
    (n_voxels, n_volumes) ndarray
        NaN for the only volume of a shell.
    """
    data = np.asarray(signal, dtype=np.float32)
    predicted = np.full_like(data, np.nan)
    vectors = np.asarray(directions, dtype=float)
    for label, bvalue in enumerate(shells.bvalues):
        members = np.flatnonzero(shells.labels == label)
        if len(members) < 2:
            continue
        n_lost = 0 if replaced is None else int(replaced[:, members].sum(axis=1).max(initial=0))
        predictor = (
            leave_one_out(vectors[members], n_lost)
            if bvalue > 0
            else (1 - np.eye(len(members))) / (len(members) - 1)
        )
        predicted[:, members] = data[:, members] @ predictor.T.astype(np.float32)
    return predicted


def usual_volumes(signal: npt.ArrayLike, shells: Shells) -> npt.NDArray[np.float32]:
    """Return the median of each volume's shell, as bright as the volume.

    Directions count by one factor for all voxels, so that this is coarser than a prediction, but
    up to half of the volumes at a place, and half of the places of a volume, may be lost.

    Parameters
    ----------
    signal : (n_voxels, n_volumes) array_like
        Aligned.
    shells : Shells

    Returns
    -------
    (n_voxels, n_volumes) ndarray

    Examples
    --------
    >>> shells = Shells(np.array([0, 1, 1, 1]), (0, 1000))
    >>> usual_volumes([[90, 40, 44, 3], [80, 40, 44, 42], [80, 40, 44, 42]], shells).round()
    array([[90., 38., 42., 40.],
           [80., 40., 44., 42.],
           [80., 40., 44., 42.]], dtype=float32)
    """
    data = np.asarray(signal, dtype=np.float32)
    usual = np.empty_like(data)
    for label in range(len(shells.bvalues)):
        members = np.flatnonzero(shells.labels == label)
        middle = np.median(data[:, members], axis=1, keepdims=True)
        lit = middle[:, 0] > 0
        factors = (
            np.median(data[lit][:, members] / middle[lit], axis=0) if lit.any() else np.float32(1)
        )
        usual[:, members] = middle * factors
    return usual


def slice_report(
    signal: npt.ArrayLike,
    predicted: npt.ArrayLike,
    slices: npt.ArrayLike,
    shells: Shells,
    threshold: float = OUTLIER_SDS,
) -> SliceReport:
    """Find slices whose mean signal is far below what the other volumes predict.

    The mean relative difference of each slice is compared with that of the same slice in the
    other volumes of the shell (median and 1.4826 times the median absolute deviation, from one
    to three times the latter's median over slices: a spread from few volumes is itself
    uncertain, and a lost slice spoils it).

    Parameters
    ----------
    signal, predicted : (n_voxels, n_volumes) array_like
        Brain voxels.
    slices : (n_voxels,) or (n_voxels, n_volumes) array_like of int
        Slice in which each voxel was acquired, in each volume where the head moved.
    shells : Shells
    threshold : float
        In standard deviations.

    Returns
    -------
    SliceReport
    """
    data, wanted = np.asarray(signal, dtype=float), np.asarray(predicted, dtype=float)
    given = np.asarray(slices, dtype=np.int64)
    # A point's slice differs between volumes where the head moved through the slices.
    every = np.broadcast_to(given.reshape(len(data), -1), data.shape)
    n_slices = int(every.max()) + 1
    relative = np.full((n_slices, data.shape[1]), np.nan)
    for volume in range(data.shape[1]):
        known = np.isfinite(wanted[:, volume]) & np.isfinite(data[:, volume])
        where = every[known, volume]
        top = np.bincount(where, (data[:, volume] - wanted[:, volume])[known], n_slices)
        bottom = np.bincount(where, wanted[known, volume], n_slices)
        usable = (np.bincount(where, minlength=n_slices) >= MIN_SLICE_VOXELS) & (bottom > 0)
        relative[usable, volume] = top[usable] / bottom[usable]
    judged = np.isfinite(relative).any(axis=1)
    deviation = np.full_like(relative, np.nan)
    for label in range(len(shells.bvalues)):
        members = np.flatnonzero(shells.labels == label)
        if len(members) >= 4 and judged.any():
            deviation[:, members] = _robust_scores(relative[:, members], judged)
    return SliceReport(deviation, np.nan_to_num(deviation) < -threshold)


def usable_weights(outlier: BoolArray, places: npt.ArrayLike, reach: float = REACH) -> BoolArray:
    """Tell which interpolated values no lost slice has a part in.

    Where the head moved, a value lies between two slices and is a mixture of both. In a phantom
    that moved by up to 1 mm and degree, with a tenth of the slices lost, the error of MD was
    .0321e-3 mm2/s without the values nearest to lost slices, and .0237e-3 without those that had
    more than a fifth of one.

    Parameters
    ----------
    outlier : (n_slices, n_volumes) ndarray of bool
        Lost slices; slices beyond the last one are none.
    places : (n_points, n_volumes) array_like
        Where each point was acquired, in slices from 0.
    reach : float
        Distance in slices; at most 1.

    Returns
    -------
    (n_points, n_volumes) ndarray of bool

    Examples
    --------
    >>> lost = np.array([[False], [True], [False]])
    >>> usable_weights(lost, [[0.0], [0.5], [1.0], [1.95], [2.0]]).ravel()
    array([ True, False, False,  True,  True])
    """
    where = np.asarray(places, dtype=np.float32)
    padded = np.vstack([outlier, np.zeros((1, outlier.shape[1]), dtype=bool)])
    usable = np.ones(where.shape, dtype=bool)
    below = np.floor(where).astype(np.int64)
    for row in (below, below + 1):
        lost = np.take_along_axis(padded, np.minimum(row, len(outlier)), axis=0)
        usable &= ~(lost & (np.abs(where - row) < reach))
    return usable


def unlike_volumes(
    deviation: FloatArray, threshold: float = OUTLIER_SDS, most: float = MOST_UNLIKE
) -> BoolArray:
    """Tell which volumes are unlike what the others predict in most of their slices.

    As one of another head, or one whose place was not found. What all slices of a volume share, as
    its brightness or a direction that is predicted badly, does not count.

    Parameters
    ----------
    deviation : (n_slices, n_volumes) ndarray
        See `SliceReport`; NaN where not judged.
    threshold : float
        In standard deviations, to either side.
    most : float
        Share of the judged slices.

    Returns
    -------
    (n_volumes,) ndarray of bool
        None where it would be more than a quarter of all volumes: then the prediction is wrong.

    Examples
    --------
    >>> unlike_volumes(np.array([[0.1, -9, 7, 1, 0], [0.2, 8, 7, 1, np.nan]]))
    array([False,  True, False, False, False])
    """
    known = np.isfinite(deviation)
    judged = known.sum(axis=0)
    shared = np.zeros(deviation.shape[1])
    shared[judged > 0] = np.nanmedian(deviation[:, judged > 0], axis=0)
    beyond = (np.abs(np.where(known, deviation - shared, 0)) > threshold).sum(axis=0)
    unlike = np.asarray(beyond > most * np.maximum(judged, 1))
    return unlike if unlike.mean() <= 0.25 else np.zeros_like(unlike)


def _robust_scores(values: FloatArray, judged: BoolArray) -> FloatArray:
    """Score each slice against the same slice in the other volumes."""
    scores = np.full_like(values, np.nan)
    rows = np.flatnonzero(judged & (np.isfinite(values).sum(axis=1) >= 4))
    if rows.size == 0:
        return scores
    middle = np.nanmedian(values[rows], axis=1, keepdims=True)
    spread = 1.4826 * np.nanmedian(np.abs(values[rows] - middle), axis=1, keepdims=True)
    typical = max(float(np.median(spread)), 1e-9)
    scores[rows] = (values[rows] - middle) / np.clip(spread, typical, MAX_SPREAD * typical)
    return scores


def find_outliers(
    signal: npt.ArrayLike,
    slices: npt.ArrayLike,
    shells: Shells,
    directions: npt.ArrayLike,
    threshold: float = OUTLIER_SDS,
    max_rounds: int = 30,
) -> tuple[SliceReport, npt.NDArray[np.float32]]:
    """Find lost slices one after the other, so that none hides the others.

    A lost slice spoils the prediction of the volumes near it, and with it the spread by which it
    is judged. In each round the worst are marked (those at least half as deviant as the worst of
    all, one in each slice), and their voxels are replaced by what the other volumes predict
    before all are judged again.

    Parameters
    ----------
    signal : (n_voxels, n_volumes) array_like
        Aligned, brain voxels.
    slices : (n_voxels, n_volumes) array_like of int
        Slice in which each voxel was acquired.
    shells : Shells
    directions : (n_volumes, 3) array_like
    threshold : float
        In standard deviations.
    max_rounds : int
        Rounds at most.

    Returns
    -------
    report : SliceReport
        Of the slices as acquired, against the last prediction; all slices of a volume that most of
        them are unlike (`unlike_volumes`).
    predicted : (n_voxels, n_volumes) ndarray
        Prediction from volumes without the marked slices.
    """
    data = np.array(signal, dtype=np.float32)
    where = np.asarray(slices, dtype=np.int64)
    usual = usual_volumes(data, shells)
    marked = _with_unlike(slice_report(data, usual, where, shells, threshold), threshold).outlier
    for row, volume in np.argwhere(marked):
        lost = where[:, volume] == row
        data[lost, volume] = usual[lost, volume]
    predicted = predict_volumes(data, shells, directions, marked)
    report = slice_report(data, predicted, where, shells, threshold)
    quiet = 0
    for _ in range(max_rounds):
        fresh = report.outlier & ~marked
        quiet = 0 if fresh.any() else quiet + 1
        if (not marked.any() and quiet) or quiet > SETTLING_ROUNDS:
            break
        scores = np.where(fresh, report.deviation, np.inf)
        for row in np.flatnonzero(fresh.any(axis=1) & (scores.min(axis=1) <= scores.min() / 2)):
            marked[row, int(scores[row].argmin())] = True
        for row, volume in np.argwhere(marked):
            lost = where[:, volume] == row
            data[lost, volume] = predicted[lost, volume]
        predicted = predict_volumes(data, shells, directions, marked)
        report = slice_report(data, predicted, where, shells, threshold)
    # whoever was marked only because of others is let go
    final = slice_report(signal, predicted, where, shells, threshold)
    return _with_unlike(final, threshold), predicted


def _with_unlike(report: SliceReport, threshold: float) -> SliceReport:
    """Mark all slices of volumes that are unlike what the others predict."""
    unlike = unlike_volumes(report.deviation, threshold) & np.isfinite(report.deviation)
    return SliceReport(report.deviation, report.outlier | unlike)
