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

MIN_SLICE_VOXELS = 100
"""Slices with fewer brain voxels are not judged."""


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


def leave_one_out(directions: npt.ArrayLike) -> FloatArray:
    """Return the matrix that predicts each volume of a shell from the others.

    Spherical harmonics of degree 4 from 25 directions on, 2 from 10 on, else the mean of the
    others. The diagonal is zero: no volume predicts itself.

    Parameters
    ----------
    directions : (n, 3) array_like

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
    degree = 4 if count >= 25 else 2 if count >= 10 else 0
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
    signal: npt.ArrayLike, shells: Shells, directions: npt.ArrayLike
) -> npt.NDArray[np.float32]:
    """Predict each volume from the others of its shell.

    Parameters
    ----------
    signal : (n_voxels, n_volumes) array_like
        Aligned.
    shells : Shells
    directions : (n_volumes, 3) array_like

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
        predictor = (
            leave_one_out(vectors[members])
            if bvalue > 0
            else (1 - np.eye(len(members))) / (len(members) - 1)
        )
        predicted[:, members] = data[:, members] @ predictor.T.astype(np.float32)
    return predicted


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
        Of the slices as acquired, against the last prediction.
    predicted : (n_voxels, n_volumes) ndarray
        Prediction from volumes without the marked slices.
    """
    data = np.array(signal, dtype=np.float32)
    where = np.asarray(slices, dtype=np.int64)
    predicted = predict_volumes(data, shells, directions)
    report = slice_report(data, predicted, where, shells, threshold)
    marked = np.zeros_like(report.outlier)
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
        predicted = predict_volumes(data, shells, directions)
        report = slice_report(data, predicted, where, shells, threshold)
    # whoever was marked only because of others is let go
    return slice_report(signal, predicted, where, shells, threshold), predicted
