r"""Several echoes of one excitation, combined by what each tells of the BOLD effect.

The signal of echo :math:`n` decays as :math:`S_0 e^{-TE_n / T_2^*}`; its change with
:math:`T_2^*`, and with it the weight, goes as :math:`TE_n e^{-TE_n / T_2^*}` (Posse et al. 1999,
doi:10.1002/(SICI)1522-2594(199907)42:1<87::AID-MRM13>3.0.CO;2-O).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bids_acc.typing import BoolArray, FloatArray

SHORTEST_S, LONGEST_S = 0.002, 0.5
"""T2* beyond which a fit of noise is not believed: 2 ms is no living tissue at 1.5 to 7 T, and
fluid decays no slower than half a second."""

GOOD_SHARE = 0.05
"""An echo below this share of the first echo's median over the brain holds no signal."""


def usable_echoes(means: npt.ArrayLike) -> BoolArray:
    """Tell in how many echoes each voxel has signal: good echoes are the first ones.

    Parameters
    ----------
    means : (n_echoes, n_voxels) array_like
        Mean over time.

    Returns
    -------
    (n_echoes, n_voxels) ndarray of bool
    """
    values = np.nan_to_num(np.asarray(means, dtype=float))
    there = values[0][values[0] > 0]
    floor = GOOD_SHARE * float(np.median(there)) if there.size else 0.0
    return np.asarray(np.logical_and.accumulate(values > floor, axis=0))


def t2star(means: npt.ArrayLike, echo_times: npt.ArrayLike, usable: npt.ArrayLike) -> FloatArray:
    """Fit a mono-exponential decay, log-linearly, weighted by the squared signal.

    Parameters
    ----------
    means : (n_echoes, n_voxels) array_like
        Mean over time.
    echo_times : (n_echoes,) array_like
        In s.
    usable : (n_echoes, n_voxels) array_like of bool
        From `usable_echoes`.

    Returns
    -------
    (n_voxels,) ndarray
        In s, within `SHORTEST_S` and `LONGEST_S`; NaN with fewer than two usable echoes.

    Examples
    --------
    >>> times = np.array([0.01, 0.03, 0.05])
    >>> decay = np.exp(-times / 0.04)[:, None]
    >>> t2star(decay, times, np.ones((3, 1), dtype=bool)).round(6)
    array([0.04])
    """
    good, times = np.asarray(usable, dtype=bool), np.asarray(echo_times, dtype=float)[:, None]
    values = np.where(good, np.nan_to_num(np.asarray(means, dtype=float)), 0)
    weights = values**2
    with np.errstate(divide='ignore', invalid='ignore'):
        logs = np.where(good, np.log(values), 0.0)
        total = weights.sum(axis=0)
        t_mean, y_mean = (
            (weights * times).sum(axis=0) / total,
            (weights * logs).sum(axis=0) / total,
        )
        spread = (weights * (times - t_mean) ** 2).sum(axis=0)
        rate = -(weights * (times - t_mean) * (logs - y_mean)).sum(axis=0) / spread
        # a signal that does not decay has the longest T2*, not a negative one
        result = np.where(rate > 0, 1 / rate, LONGEST_S)
    result = np.clip(result, SHORTEST_S, LONGEST_S)
    return np.where(good.sum(axis=0) >= 2, result, np.nan)


def combine_echoes(
    series: npt.NDArray[np.float32], echo_times: npt.ArrayLike, first: int = 0
) -> npt.NDArray[np.float32]:
    """Combine echoes with weights ``TE exp(-TE / T2*)``.

    A voxel with one usable echo keeps that echo, so that nothing is lost where signal decays
    fast; its level is then another one than its neighbours', which no measure of change minds.

    Parameters
    ----------
    series : (n_echoes, n_voxels, n_volumes) ndarray
    echo_times : (n_echoes,) array_like
        In s.
    first : int
        First volume of the steady state; those before do not tell T2*.

    Returns
    -------
    (n_voxels, n_volumes) ndarray of float32
    """
    times = np.asarray(echo_times, dtype=float)
    # Without the volumes before the steady state, in which T1 weighs as much as T2*.
    means = np.asarray(series[..., first:].mean(axis=2, dtype=float))
    good = usable_echoes(means)
    decay = t2star(means, times, good)
    with np.errstate(invalid='ignore'):
        weights = np.where(good, times[:, None] * np.exp(-times[:, None] / decay), 0)
    alone = ~np.isfinite(decay)
    weights[:, alone] = 0
    weights[0, alone] = 1
    weights = (weights / weights.sum(axis=0)).astype(np.float32)
    result = np.zeros(series.shape[1:], dtype=np.float32)
    for weight, echo in zip(weights, series, strict=True):
        result += weight[:, None] * np.nan_to_num(echo)
    return result
