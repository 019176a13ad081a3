"""One test with its estimate, and intervals of standardised changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from scipy import optimize, stats

from bids_acc.typing import FloatArray


@dataclass(frozen=True)
class TestResult:
    """One test with its estimate, as tables need it."""

    __test__ = False  # not a test class, whatever its name says to pytest

    term: str
    """Effect that was tested."""
    statistic: str
    """Name of the statistic: t or F."""
    value: float
    """Statistic."""
    df1: float
    """Numerator degrees of freedom; 1 for t."""
    df2: float
    """Denominator degrees of freedom."""
    p: float
    """Two-sided p."""
    n: int
    """Subjects in the analysis."""
    effect_name: str = ''
    """What the effect size is."""
    effect: float = np.nan
    """Effect size."""
    ci_low: float = np.nan
    """Lower end of its 95 % confidence interval."""
    ci_high: float = np.nan
    """Upper end of its 95 % confidence interval."""
    method: str = ''
    """Model and estimator in words."""
    formula: str = ''
    """Model formula."""
    n_per_group: Mapping[str, int] = field(default_factory=dict)
    """Subjects in each group."""
    excluded: int = 0
    """Subjects left out because a value was missing."""
    note: str = ''
    """What the reader must know besides."""
    contrast: str = ''
    """Levels or columns that the effect belongs to; the sign follows ``A - B``."""


def standard_error(result: TestResult) -> float:
    """Return the standard error of a difference; one of zero tells it by its interval alone.

    Parameters
    ----------
    result : TestResult
        t test whose effect is the difference, with a 95 % interval.

    Returns
    -------
    float
        In the unit of the effect.
    """
    if result.value:
        return result.effect / result.value
    half = (result.ci_high - result.ci_low) / 2
    return half / float(stats.t.ppf(0.975, result.df2))


@cache
def _gauss_legendre() -> tuple[FloatArray, FloatArray]:
    """Return nodes and weights on (-1, 1)."""
    nodes, weights = np.polynomial.legendre.leggauss(200)
    return nodes, weights


def noncentral_t_cdf(t: float, df: float, noncentrality: float) -> float:
    """Return the distribution function of the noncentral t.

    The chi variable is integrated out by Gauss-Legendre quadrature. SciPy 1.15's own function
    is NaN for noncentralities far from t, just where a root search must look.

    Parameters
    ----------
    t : float
        Value at which the function is wanted.
    df : float
        Degrees of freedom, above zero.
    noncentrality : float
        Expected t under the alternative.

    Returns
    -------
    float
        Probability of a value of at most ``t``.

    Examples
    --------
    >>> round(noncentral_t_cdf(2.0, 10, 1.0), 6) == round(float(stats.nct.cdf(2.0, 10, 1.0)), 6)
    True
    """
    nodes, weights = _gauss_legendre()
    ends = np.sqrt(stats.chi2.ppf([1e-14, 1 - 1e-14], df) / df)
    scale = ends[0] + (ends[1] - ends[0]) * (nodes + 1) / 2
    density = 2 * df * scale * stats.chi2.pdf(df * scale**2, df)
    inner = stats.norm.cdf(t * scale - noncentrality)
    return float((weights * density * inner).sum() * (ends[1] - ends[0]) / 2)


def noncentral_ci(t: float, df: float, factor: float, level: float = 0.95) -> tuple[float, float]:
    """Return the exact confidence interval of a standardised mean difference.

    Parameters
    ----------
    t : float
        Statistic.
    df : float
        Its degrees of freedom.
    factor : float
        Effect size per unit of t, e.g. 1/sqrt(n) for a paired design.
    level : float
        Coverage.

    Returns
    -------
    low, high : float
        Ends of the interval, by inverting the noncentral t distribution.

    References
    ----------
    Cumming G, Finch S (2001). Educ Psychol Meas 61:532-574. doi:10.1177/0013164401614002

    Examples
    --------
    >>> low, high = noncentral_ci(2.5, 19, 1 / 20**0.5)
    >>> round(low, 2), round(high, 2)
    (0.08, 1.03)
    """
    if not np.isfinite(t):
        return float('nan'), float('nan')
    reach = 12 + abs(t)  # far enough: the interval is about 4 + 4 |t| / sqrt(df) wide

    def shift(probability: float) -> float:
        return float(
            optimize.brentq(
                lambda nc: noncentral_t_cdf(t, df, nc) - probability, t - reach, t + reach
            )
        )

    tail = (1 - level) / 2
    return shift(1 - tail) * factor, shift(tail) * factor
