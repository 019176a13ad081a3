"""The ratio over labels of a volume: sums of signals, weighted by the label's share of a voxel."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bids_acc.typing import FloatArray

MIN_EFFECTIVE = 20.0
"""Voxels of the measured image (sum of the label's shares) below which a region has no value, as
for tracts of diffusion: so few tell of its surroundings (own convention)."""


def label_row(
    share: npt.ArrayLike,
    difference: npt.ArrayLike,
    base: npt.ArrayLike,
    tissues: tuple[npt.ArrayLike, npt.ArrayLike],
    voxels: float,
) -> dict[str, float]:
    """Measure one label.

    Parameters
    ----------
    share : (n,) array_like
        Share p of each voxel that lies in the label.
    difference, base : (n,) array_like
        Signal lost by saturation, and signal without; NaN where unknown.
    tissues : tuple of (n,) array_like
        Probability of grey and of white matter.
    voxels : float
        Voxels of the measured image in one of these.

    Returns
    -------
    dict
        ``n_effective``, ``coverage`` (share of the label that was measured), ``csf`` and ``white``
        (what is in it), and the ratio in per cent: ``mtr`` weighted by p, ``mtr_gm`` and
        ``mtr_wm`` by p times the tissue.

    Examples
    --------
    >>> row = label_row(np.ones(40), np.full(40, 30.0), np.full(40, 100.0), (np.ones(40),) * 2, 1)
    >>> row['mtr'], row['n_effective']
    (30.0, 40.0)
    """
    weight = np.asarray(share, dtype=float)
    lost, signal = np.asarray(difference, dtype=float), np.asarray(base, dtype=float)
    known = np.isfinite(lost) & np.isfinite(signal)
    grey, white = (np.asarray(t, dtype=float) for t in tissues)
    total, measured = float(weight.sum()), weight * known
    effective = float(measured.sum()) * voxels
    row: dict[str, Any] = {
        'n_effective': effective,
        'coverage': float(measured.sum()) / total if total > 0 else np.nan,
        'csf': _mean(1 - grey - white, measured),
        'white': _mean(white, measured),
    }
    for name, own in (('mtr', 1.0), ('mtr_gm', grey), ('mtr_wm', white)):
        within = measured * own
        enough = float(within.sum()) * voxels >= MIN_EFFECTIVE
        row[name] = _ratio(lost, signal, within) if enough else np.nan
    return row


def _mean(values: FloatArray, weights: FloatArray) -> float:
    """Return a weighted mean; NaN without any weight."""
    total = float(weights.sum())
    return float((values * weights).sum()) / total if total > 0 else float('nan')


def _ratio(lost: FloatArray, signal: FloatArray, weights: FloatArray) -> float:
    """Return the ratio of two weighted sums, in per cent."""
    total = float((np.nan_to_num(signal) * weights).sum())
    return (
        100 * float((np.nan_to_num(lost) * weights).sum()) / total if total > 0 else float('nan')
    )
