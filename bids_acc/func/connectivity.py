"""Correlations of series, what they are worth, and what is joined from several runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bids_acc.typing import FloatArray

LEAST_DOF = 15
"""Degrees of freedom below which no correlation is written: Fisher's z has a standard deviation of
.29 there (own convention)."""
FEW_DOF = 25
"""Degrees of freedom below which fewer regressors are proposed (own convention)."""


def band_share(band: tuple[float, float], repetition_time: float) -> float:
    """Return the share of the frequencies that a band keeps.

    Parameters
    ----------
    band : (float, float)
        Lowest and highest frequency, in Hz.
    repetition_time : float
        In s.

    Examples
    --------
    >>> round(band_share((0.01, 0.1), 2.0), 2)
    0.36
    """
    nyquist = 1 / (2 * repetition_time)
    return max(min(band[1], nyquist) - band[0], 0.0) / nyquist


def degrees_of_freedom(
    n_kept: int, n_regressors: int, band: tuple[float, float], repetition_time: float
) -> float:
    """Return what is left of a series after filtering and regression.

    Each volume brings one degree of freedom, of which the band keeps its share, and each regressor
    takes one. With none left every correlation is exactly 1 or -1.

    Parameters
    ----------
    n_kept : int
        Volumes that were not censored.
    n_regressors : int
        Rank of what was regressed out.
    band : (float, float)
        In Hz.
    repetition_time : float
        In s.

    Examples
    --------
    >>> round(degrees_of_freedom(200, 28, (0.01, 0.1), 2.0), 6)
    44.0

    References
    ----------
    Bartlett MS (1946). On the theoretical specification and sampling properties of
    autocorrelated time-series. J R Stat Soc Suppl 8(1):27-41. https://doi.org/10.2307/2983611
    """
    return n_kept * band_share(band, repetition_time) - n_regressors


def fisher_z(r: npt.ArrayLike) -> FloatArray:
    """Return Fisher's z; of a correlation of exactly one with itself, NaN.

    Parameters
    ----------
    r : array_like
        Correlations, Pearson's or partial; NaN stays.

    Returns
    -------
    ndarray
        Inverse hyperbolic tangent of r.

    Examples
    --------
    >>> fisher_z([0.0, 1.0])
    array([ 0., nan])
    """
    values = np.asarray(r, dtype=float)
    inside = np.abs(values) < 1 - 1e-12
    return np.where(inside, np.arctanh(np.where(inside, values, 0.0)), np.nan)


def z_sd(dof: float) -> float:
    """Return the standard deviation of Fisher's z; NaN without enough degrees of freedom.

    Parameters
    ----------
    dof : float
        Degrees of freedom of the series, see `degrees_of_freedom`, in the place of the number of
        independent observations.

    Returns
    -------
    float
        1 / sqrt(dof - 3).

    Examples
    --------
    >>> round(z_sd(44), 3)
    0.156
    """
    return float(1 / np.sqrt(dof - 3)) if dof > 3 else float('nan')


def standardised(series: npt.ArrayLike) -> FloatArray:
    """Return series of mean 0 and standard deviation 1; NaN where one does not vary.

    Parameters
    ----------
    series : (n_volumes, n_series) array_like
    """
    values = np.asarray(series, dtype=float)
    values = values - values.mean(axis=0)
    sd = values.std(axis=0)
    return np.asarray(np.divide(values, sd, out=np.full(values.shape, np.nan), where=sd > 0))


def correlations(first: npt.ArrayLike, second: npt.ArrayLike) -> FloatArray:
    """Return Pearson's r of each pair of standardised series.

    Parameters
    ----------
    first : (n_volumes, n) array_like
        From `standardised`, of one run or of several joined.
    second : (n_volumes, m) array_like
        The same volumes.

    Returns
    -------
    (n, m) ndarray
    """
    a, b = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    return np.asarray(np.clip(a.T @ b / len(a), -1, 1))


def join_means(values: Sequence[npt.ArrayLike], weights: Sequence[float]) -> FloatArray:
    """Average maps of several runs by their kept volumes; what one run lacks, the others give.

    Parameters
    ----------
    values : sequence of (n,) array_like
        One for each run, NaN where undefined.
    weights : sequence of float
        Kept volumes.

    Examples
    --------
    >>> join_means([[1.0, np.nan], [4.0, 2.0]], [100, 200])
    array([3., 2.])
    """
    stacked = np.stack([np.asarray(v, dtype=float) for v in values])
    share = np.isfinite(stacked) * np.reshape(weights, (-1, *[1] * (stacked.ndim - 1)))
    with np.errstate(invalid='ignore', divide='ignore'):
        return np.asarray((np.nan_to_num(stacked) * share).sum(axis=0) / share.sum(axis=0))
