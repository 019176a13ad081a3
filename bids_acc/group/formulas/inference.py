"""Effect sizes, their confidence intervals, and corrections for many tests.

Everything here is a formula on numbers or arrays: no tables, no models. Intervals of
standardised effects invert the noncentral distribution of the test statistic, so that an
interval excludes zero exactly when the test at the same level does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import optimize, special, stats

from bids_acc.exceptions import InputDataError
from bids_acc.typing import FloatArray

Correction = Literal['bh', 'bonferroni', 'holm', 'none']


def adjust_p(p: npt.ArrayLike, method: Correction = 'bh') -> FloatArray:
    """Adjust p values of one family of tests.

    Parameters
    ----------
    p : (n_tests,) array_like
        Unadjusted p values; NaN marks a test that could not be done, which neither counts in
        the family nor gets an adjusted value.
    method : {'bh', 'bonferroni', 'holm', 'none'}
        ``bh`` bounds the expected share of false discoveries, ``bonferroni`` and ``holm`` the
        chance of one false discovery.

    Returns
    -------
    (n_tests,) ndarray of float64
        Adjusted p values, at most 1.

    Raises
    ------
    InputDataError
        If a p value lies outside [0, 1] or the method is unknown.

    References
    ----------
    Benjamini Y, Hochberg Y (1995). J R Stat Soc B 57:289-300.
    Holm S (1979). Scand J Stat 6:65-70.

    Examples
    --------
    >>> adjust_p([0.01, 0.04, 0.03, np.nan]).round(3)
    array([0.03, 0.04, 0.04,  nan])
    >>> adjust_p([0.01, 0.04, 0.03], 'holm').round(3)
    array([0.03, 0.06, 0.06])
    """
    p = np.asarray(p, dtype=float)
    adjusted = np.full(p.shape, np.nan)
    # a test that could not be done asked no question, and the others need not pay for it
    valid = np.flatnonzero(~np.isnan(p))
    values = p[valid]
    if np.any((values < 0) | (values > 1)):
        raise InputDataError(f'p values must lie in [0, 1], got {p}')
    order = np.argsort(values, kind='stable')
    ranked, size = values[order], values.size
    ranks = np.arange(1, size + 1)
    if method == 'bh':
        # the running minimum from the largest p down: a smaller p must not get the larger adjusted
        # one
        new = np.minimum.accumulate((ranked * size / ranks)[::-1])[::-1]
    elif method == 'holm':
        # from the smallest p up: once a test is not rejected, none after it is
        new = np.maximum.accumulate(ranked * (size - ranks + 1))
    elif method == 'bonferroni':
        new = ranked * size
    elif method == 'none':
        new = ranked
    else:
        raise InputDataError(f'unknown correction {method!r}; known: bh, bonferroni, holm, none')
    adjusted[valid[order]] = np.minimum(new, 1.0)
    return adjusted


def small_sample_factor(df: float) -> float:
    """Return Hedges' factor that turns d into the unbiased g.

    Parameters
    ----------
    df : float
        Degrees of freedom of the standard deviation that d was divided by.

    References
    ----------
    Hedges LV (1981). J Educ Stat 6:107-128, the exact form with gamma functions.
    https://doi.org/10.3102/10769986006002107

    Examples
    --------
    >>> round(small_sample_factor(35), 4)
    0.9784
    """
    if not df > 1:
        return float('nan')
    # gamma functions overflow above some 340 degrees of freedom, their logarithms do not
    log_ratio = special.gammaln(df / 2) - special.gammaln((df - 1) / 2)
    return float(np.exp(log_ratio) / np.sqrt(df / 2))


def d_from_t(t: float, n_a: float, n_b: float) -> float:
    """Return Cohen's d (pooled standard deviation) from Student's t of two samples.

    Parameters
    ----------
    t : float
        Student's t of two independent samples, or of an adjusted contrast of two groups.
    n_a, n_b : float
        Number of people in each group.

    Returns
    -------
    float
        Difference of the means in pooled standard deviations, with the sign of ``t``.

    Examples
    --------
    >>> round(d_from_t(2.34, 19, 18), 2)
    0.77
    """
    return float(t * np.sqrt(1 / n_a + 1 / n_b))


def _root(function: Callable[[float], float], start: float, step: float) -> float:
    """Find where a decreasing function of a noncentrality parameter crosses zero.

    NaN where the function has no value on the way, as distributions far from all tables do not.
    """
    low = high = start
    for _ in range(200):
        if function(low) >= 0:
            break
        low, step = low - step, step * 1.5
    for _ in range(200):
        if function(high) <= 0:
            break
        high, step = high + step, step * 1.5
    try:
        return float(optimize.brentq(function, low, high, xtol=1e-12, rtol=1e-13, maxiter=500))
    except ValueError:
        return float('nan')


def noncentrality_of_t(t: float, df: float, level: float = 0.95) -> tuple[float, float]:
    """Return the interval of noncentrality parameters that an observed t supports.

    Parameters
    ----------
    t : float
        Observed statistic.
    df : float
        Its degrees of freedom.
    level : float
        Confidence level.

    Returns
    -------
    (float, float)
        Lower and upper limit; NaN if the statistic is not finite.

    References
    ----------
    Steiger JH (2004). Psychol Methods 9:164-182. https://doi.org/10.1037/1082-989X.9.2.164
    """
    if not (np.isfinite(t) and df > 0):
        return float('nan'), float('nan')
    tail = (1 - level) / 2

    def limit(probability: float) -> float:
        return _root(lambda ncp: float(special.nctdtr(df, ncp, t)) - probability, t, 1.0)

    return limit(1 - tail), limit(tail)


def d_confidence(
    t: float, n_a: int, n_b: int, level: float = 0.95, *, hedges: bool = False
) -> tuple[float, float]:
    """Return the confidence interval of a standardised difference of two groups.

    Parameters
    ----------
    t : float
        Student's t with pooled variance.
    n_a, n_b : int
        Sizes of the groups.
    level : float
        Confidence level.
    hedges : bool
        Multiply both limits by Hedges' factor, as for g.

    Examples
    --------
    >>> np.round(d_confidence(2.34, 19, 18), 2)
    array([0.1 , 1.43])
    """
    df = n_a + n_b - 2
    scale = np.sqrt(1 / n_a + 1 / n_b) * (small_sample_factor(df) if hedges else 1.0)
    low, high = noncentrality_of_t(t, df, level)
    return float(low * scale), float(high * scale)


def partial_eta2(f: float, df1: float, df2: float) -> float:
    """Return the share of variance a term explains of what the other terms leave.

    Parameters
    ----------
    f : float
        F of the term.
    df1, df2 : float
        Degrees of freedom of the term and of the residual.

    Returns
    -------
    float
        From 0 to 1.

    Examples
    --------
    >>> round(partial_eta2(5.0, 2, 68), 3)
    0.128
    """
    return float(f * df1 / (f * df1 + df2))


def one_sided_level(confidence: float) -> float:
    """Return the level of the two-sided interval that belongs to a one-sided test.

    F and chi squared reject for large values only. The interval whose lower limit is above zero
    exactly when p <= 1 - confidence is the two-sided one at 2 * confidence - 1: 90 % beside tests
    at 0.05.

    Parameters
    ----------
    confidence : float
        Level of the two-sided intervals beside it, from 0.5 to 1.

    Returns
    -------
    float
        Level of the interval beside the F or chi squared test.

    References
    ----------
    Steiger JH (2004). Psychol Methods 9:164-182, p. 171. https://doi.org/10.1037/1082-989X.9.2.164

    Examples
    --------
    >>> round(one_sided_level(0.95), 3)
    0.9
    """
    return 2 * confidence - 1


def partial_eta2_confidence(
    f: float, df1: float, df2: float, confidence: float = 0.95
) -> tuple[float, float]:
    r"""Return the confidence interval of partial eta squared, 90 % beside tests at 0.05.

    The limits of the noncentrality :math:`\lambda` are turned into
    :math:`\lambda / (\lambda + df_2)`, as the point estimate turns :math:`F df_1` into
    :math:`F df_1 / (F df_1 + df_2)`.

    Parameters
    ----------
    f, df1, df2 : float
        F statistic and its degrees of freedom.
    confidence : float
        One minus the level of the test; see `one_sided_level`.

    References
    ----------
    Steiger JH (2004). Psychol Methods 9:164-182. https://doi.org/10.1037/1082-989X.9.2.164

    Examples
    --------
    >>> np.round(partial_eta2_confidence(5.0, 2, 68), 3)
    array([0.02 , 0.247])
    """
    if not (np.isfinite(f) and f >= 0 and df1 > 0 and df2 > 0):
        return float('nan'), float('nan')
    tail = (1 - one_sided_level(confidence)) / 2

    def share(probability: float) -> float:
        # an F so small is less likely still under any effect: the limit is zero
        if special.fdtr(df1, df2, f) <= probability:
            return 0.0
        ncp = _root(
            lambda value: float(_noncentral_f_cdf(f, df1, df2, max(value, 0.0))) - probability,
            0.0,
            1.0 + f * df1,
        )
        return max(ncp, 0.0) / (max(ncp, 0.0) + df2)

    return share(1 - tail), share(tail)


def _noncentral_f_cdf(f: float, df1: float, df2: float, ncp: float) -> float:
    """Distribution function of noncentral F; the central one at zero."""
    if ncp <= 0:
        return float(special.fdtr(df1, df2, f))
    return float(stats.ncf.cdf(f, df1, df2, ncp))


def r_from_t(t: float, df: float) -> float:
    """Return the (partial) correlation that belongs to a t of a regression coefficient.

    Parameters
    ----------
    t : float
        t of one coefficient.
    df : float
        Residual degrees of freedom of the regression.

    Returns
    -------
    float
        From -1 to 1; the simple correlation when the coefficient is alone in the model.

    Examples
    --------
    >>> round(r_from_t(-3.37, 61), 3)
    -0.396
    """
    return float(t / np.sqrt(t**2 + df))


def r_confidence(r: float, df: float, level: float = 0.95) -> tuple[float, float]:
    """Return Fisher's interval of a (partial) correlation.

    Parameters
    ----------
    r : float
        Correlation.
    df : float
        n - 2 - q with q covariates partialled out; the standard error of Fisher's z is
        ``1 / sqrt(df - 1)``.
    level : float
        Confidence level.

    References
    ----------
    Fisher RA (1924). The distribution of the partial correlation coefficient. Metron 3:329-332.

    Examples
    --------
    >>> np.round(r_confidence(-0.396, 61), 3)
    array([-0.586, -0.164])
    """
    if not (np.isfinite(r) and df > 1):
        return float('nan'), float('nan')
    # a copy, or two points on a line: Fisher's z is infinite there
    if abs(r) >= 1:
        return float(r), float(r)
    margin = stats.norm.ppf((1 + level) / 2) / np.sqrt(df - 1)
    low, high = np.tanh(np.arctanh(r) + np.array([-margin, margin]))
    return float(low), float(high)


def cramers_v(chi2: float, n: int, n_rows: int, n_columns: int) -> float:
    """Return Cramer's V of a contingency table.

    Parameters
    ----------
    chi2 : float
        Pearson's chi squared of the table, without continuity correction.
    n : int
        Sum of the counts.
    n_rows, n_columns : int
        Size of the table.

    Returns
    -------
    float
        From 0 to 1; NaN for a table of one row or one column, or of nobody.

    Examples
    --------
    >>> round(cramers_v(5.0, 50, 2, 3), 3)
    0.316
    """
    smaller = min(n_rows, n_columns) - 1
    return float(np.sqrt(chi2 / (n * smaller))) if smaller > 0 and n > 0 else float('nan')


def cramers_v_confidence(
    chi2: float, df: float, n: int, smaller: int, confidence: float = 0.95
) -> tuple[float, float]:
    r"""Return the confidence interval of Cramer's V, 90 % beside tests at 0.05.

    The limits of the noncentrality of chi squared are turned into
    :math:`\sqrt{\lambda / (n \cdot smaller)}`, at most one.

    Parameters
    ----------
    chi2, df : float
        Statistic and its degrees of freedom.
    n : int
        Number of observations.
    smaller : int
        The smaller of rows and columns, minus one.
    confidence : float
        One minus the level of the test; see `one_sided_level`.

    References
    ----------
    Smithson M (2003). Confidence Intervals. Sage. https://doi.org/10.4135/9781412983761

    Examples
    --------
    >>> np.round(cramers_v_confidence(12.0, 2, 80, 1), 3)
    array([0.18 , 0.558])
    """
    if not (np.isfinite(chi2) and chi2 >= 0 and df > 0 and n > 0 and smaller > 0):
        return float('nan'), float('nan')
    tail = (1 - one_sided_level(confidence)) / 2

    def share(probability: float) -> float:
        # as for F: no noncentrality makes so small a value likelier
        if special.chdtr(df, chi2) <= probability:
            return 0.0
        ncp = _root(
            lambda value: float(special.chndtr(chi2, df, max(value, 0.0))) - probability,
            0.0,
            1.0 + chi2,
        )
        return min(1.0, float(np.sqrt(max(ncp, 0.0) / (n * smaller))))

    return share(1 - tail), share(tail)


def rank_biserial(u: float, n_a: float, n_b: float) -> float:
    """Return the rank-biserial correlation of Mann-Whitney's U (of the first group).

    Parameters
    ----------
    u : float
        U of the first group: pairs in which its value is the larger; ties count one half.
    n_a, n_b : float
        Number of people in each group.

    Returns
    -------
    float
        From -1 (every value of the first group is the smaller) to 1.

    Examples
    --------
    >>> rank_biserial(9, 3, 3)
    1.0
    """
    return float(2 * u / (n_a * n_b) - 1)


def rank_biserial_confidence(
    effect: float, n_a: int, n_b: int, level: float = 0.95
) -> tuple[float, float]:
    r"""Return Newcombe's interval of the rank-biserial correlation.

    With :math:`\theta = (r + 1) / 2`, the chance that a value of the first group is larger, the
    limits solve :math:`|\theta - \hat\theta| = z \sqrt{V(\theta)}`, where

    .. math:: V(\theta) = \frac{\theta (1 - \theta)}{n_a n_b}
              \left[1 + \left(\frac{n_a + n_b}{2} - 1\right)
              \left(\frac{1 - \theta}{2 - \theta} + \frac{\theta}{1 + \theta}\right)\right].

    The variance at the limit, not that of the null, is what keeps its promise for large effects;
    groups that do not overlap have a limit too.

    Parameters
    ----------
    effect : float
        Rank-biserial correlation.
    n_a, n_b : int
        Sizes of the groups.
    level : float
        Confidence level.

    References
    ----------
    Newcombe RG (2006). Confidence intervals for an effect size measure based on the Mann-Whitney
    statistic, part 2, method 5. Stat Med 25:559-573. https://doi.org/10.1002/sim.2324

    Examples
    --------
    >>> np.round(rank_biserial_confidence(1.0, 3, 3), 3)
    array([0.002, 1.   ])
    """
    if not np.isfinite(effect):
        return float('nan'), float('nan')
    observed = (effect + 1) / 2
    z = float(stats.norm.ppf((1 + level) / 2))

    def excess(theta: float) -> float:
        pairs = (n_a + n_b) / 2 - 1
        spread = 1 + pairs * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        return (theta - observed) ** 2 - z**2 * theta * (1 - theta) * spread / (n_a * n_b)

    edge = 1e-12  # at 0 and 1 the equation has a second, empty solution
    low = optimize.brentq(excess, 0.0, min(observed, 1 - edge)) if observed > 0 else 0.0
    high = optimize.brentq(excess, max(observed, edge), 1.0) if observed < 1 else 1.0
    return float(2 * low - 1), float(2 * high - 1)
