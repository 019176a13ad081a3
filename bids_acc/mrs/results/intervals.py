"""Confidence intervals of amounts that cannot be negative, and of their ratios."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from bids_acc.typing import FloatArray

CONFIDENCE = 0.95
"""Of every interval in the tables."""

_TWO_SIDED = float(ndtri(0.5 + CONFIDENCE / 2))
_ONE_SIDED = float(ndtri(CONFIDENCE))

Interval = tuple[float, float]
"""Lower and upper limit."""


def bounded_interval(estimate: float, sd: float) -> Interval:
    r"""Confidence interval of an amount that is zero or more, from an estimate that may be less.

    Parameters
    ----------
    estimate : float
        Unbiased, normally distributed about the true amount, without a bound.
    sd : float
        Its standard deviation, in the same unit.

    Returns
    -------
    low, high : float
        In the same unit; NaN when either argument is not finite.

    Notes
    -----
    Feldman and Cousins (1998, Phys Rev D 57:3873, section IV.B): a true amount is in the interval
    when the estimate is among the 95 % that are likeliest relative to the best amount that is
    possible. The interval holds the true amount in 95 % of all cases whatever that amount is,
    is never empty, and is the estimate plus and minus 1.96 SD from 3.92 SD on; below 1.64 SD it
    starts at zero.

    Examples
    --------
    >>> [round(limit, 2) for limit in bounded_interval(10.0, 1.0)]
    [8.04, 11.96]
    >>> [round(limit, 2) for limit in bounded_interval(0.0, 1.0)]
    [0.0, 1.96]
    """
    if not (math.isfinite(estimate) and math.isfinite(sd)):
        return math.nan, math.nan
    # a fit without noise knows its amounts
    if sd <= 0:
        return max(estimate, 0.0), max(estimate, 0.0)
    x = estimate / sd
    return _lowest(x) * sd, _highest(x) * sd


def _lowest(x: float) -> float:
    """Lower limit for an estimate of x SD, in SD."""
    if x <= _ONE_SIDED:
        return 0.0
    if x >= 2 * _TWO_SIDED:
        return x - _TWO_SIDED

    def excess(mean: float) -> float:
        # estimates below zero are as likely, relative to an amount of zero, as x to one of x
        return float(ndtr(x - mean) - ndtr(x - mean - x**2 / (2 * mean))) - CONFIDENCE

    return float(brentq(excess, 1e-9, _TWO_SIDED))


def _highest(x: float) -> float:
    """Upper limit for an estimate of x SD, in SD."""
    if x >= 0:
        return x + _TWO_SIDED

    def excess(mean: float) -> float:
        reach = math.sqrt(mean**2 - 2 * x * mean)
        return float(ndtr(reach) - ndtr(x - mean)) - CONFIDENCE

    return float(brentq(excess, 0.0, _TWO_SIDED))


def bounded_ratio_interval(estimates: npt.ArrayLike, covariance: npt.ArrayLike) -> Interval:
    """Confidence interval of the ratio of two amounts, the upper of which may be zero.

    Parameters
    ----------
    estimates : (2,) array_like
        Unbiased estimates of numerator and denominator.
    covariance : (2, 2) array_like
        Of their errors.

    Returns
    -------
    low, high : float
        NaN when an argument is not finite, or when the denominator might be zero, so that the
        ratio has no upper limit.

    Notes
    -----
    Fieller (1954, J R Stat Soc B 16:175): a ratio R is in the interval when numerator minus R
    times denominator is no further from zero than chance explains. How many SD that is comes
    from :func:`bounded_interval` of the numerator: 1.96 where it is well above zero.

    Examples
    --------
    The denominator known exactly, the interval is the numerator's:

    >>> [round(limit, 2) for limit in bounded_ratio_interval([10, 2], [[1, 0], [0, 0]])]
    [4.02, 5.98]
    """
    upper, lower = (float(value) for value in np.asarray(estimates, dtype=float))
    matrix = np.asarray(covariance, dtype=float)
    if not (math.isfinite(upper) and math.isfinite(lower) and np.all(np.isfinite(matrix))):
        return math.nan, math.nan
    sd, sd_lower = (float(value) for value in np.sqrt(np.maximum(np.diagonal(matrix), 0.0)))
    low, high = bounded_interval(upper, sd)
    down, up = ((upper - low) / sd, (high - upper) / sd) if sd > 0 else (_TWO_SIDED, _TWO_SIDED)
    # Fieller's limits do not exist where the denominator may be zero
    if not lower > max(up, _TWO_SIDED) * sd_lower:
        return math.nan, math.nan
    return (
        0.0 if low == 0 else _fieller(upper, lower, matrix, -down),
        _fieller(upper, lower, matrix, up),
    )


def _fieller(upper: float, lower: float, matrix: FloatArray, steps: float) -> float:
    """Ratio at which the difference is so many SD below zero (above it where negative)."""
    square = steps**2
    leading = lower**2 - square * matrix[1, 1]
    middle = upper * lower - square * matrix[0, 1]
    last = upper**2 - square * matrix[0, 0]
    root = math.sqrt(max(middle**2 - leading * last, 0.0))
    return float((middle + math.copysign(root, steps)) / leading)
