"""How well repeated measurements of the same people agree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from bids_acc.exceptions import InputDataError


@dataclass(frozen=True)
class Reliability:
    """Agreement of the sessions of people who were not treated between them."""

    icc: float
    """ICC(2,1): two-way random effects, absolute agreement, one measurement."""
    ci_low: float
    ci_high: float
    f: float
    """Variance between people over that of the error."""
    df1: int
    df2: int
    p: float
    """That people do not differ at all (one-sided, as F is)."""
    sem: float
    """Standard error of measurement, in the unit of the data; systematic differences of the
    sessions count as error."""
    sdc: float
    """Smallest detectable change of one person (95 %)."""
    cv_pct: float
    """Coefficient of variation within people, per cent; NaN where a person's mean is not above
    zero."""
    bias: float
    """Mean of the last session minus that of the first."""


def reliability(values: npt.ArrayLike, level: float = 0.95) -> Reliability:
    r"""Return the agreement of two or more sessions.

    .. math:: \mathrm{ICC}(2,1) = \frac{MS_R - MS_E}
              {MS_R + (k - 1) MS_E + k (MS_C - MS_E) / n}

    with the mean squares of people (R), sessions (C) and error (E). The standard error of
    measurement is the root of the variances of sessions and error, the smallest detectable change
    :math:`1.96\sqrt 2` times that, and the coefficient of variation the root mean square of the
    people's own.

    Parameters
    ----------
    values : (n, k) array_like
        One row for each person, one column for each session; no NaN.
    level : float
        Of the interval of the ICC.

    Raises
    ------
    InputDataError
        If there are fewer than three people or two sessions, or nothing varies.

    References
    ----------
    Shrout PE, Fleiss JL (1979). Psychol Bull 86:420-428. doi:10.1037/0033-2909.86.2.420 (ICC and
    interval). de Vet HCW, et al. (2006). J Clin Epidemiol 59:1033-1039.
    doi:10.1016/j.jclinepi.2005.10.015 (agreement, smallest detectable change).
    Bland JM, Altman DG (1996). BMJ 313:106. doi:10.1136/bmj.313.7049.106 (variation within
    people).

    Examples
    --------
    The six targets and four judges of Shrout and Fleiss, table 2.

    >>> judges = [
    ...     [9, 2, 5, 8],
    ...     [6, 1, 3, 2],
    ...     [8, 4, 6, 8],
    ...     [7, 1, 2, 6],
    ...     [10, 5, 6, 9],
    ...     [6, 2, 4, 7],
    ... ]
    >>> round(reliability(judges).icc, 2)
    0.29
    """
    x = np.asarray(values, dtype=float)
    n, k = x.shape
    if n < 3 or k < 2:
        raise InputDataError(f'{n} people with {k} sessions are too few for their agreement.')
    people, sessions = x.mean(axis=1), x.mean(axis=0)
    msr = k * people.var(ddof=1)
    msc = n * sessions.var(ddof=1)
    rest = x - people[:, None] - sessions + x.mean()
    mse = float((rest**2).sum() / ((n - 1) * (k - 1)))
    # sessions that are copies of each other would agree without end
    if not mse > 1e-20 * max(msr, msc):
        raise InputDataError('the sessions do not differ at all, or only by a constant.')
    icc = float((msr - mse) / (msr + (k - 1) * mse + k * (msc - mse) / n))
    low, high = _interval(msr, msc, mse, icc, n, k, level)
    f, df1, df2 = float(msr / mse), n - 1, (n - 1) * (k - 1)
    # an estimated variance of sessions can be negative
    sem = float(np.sqrt(max((msc - mse) / n, 0.0) + mse))
    own = x.std(axis=1, ddof=1) / people if (people > 0).all() else np.array([np.nan])
    return Reliability(
        icc, low, high, f, df1, df2, float(stats.f.sf(f, df1, df2)), sem,
        float(stats.norm.ppf(0.975) * np.sqrt(2) * sem), float(100 * np.sqrt(np.mean(own**2))),
        float(sessions[-1] - sessions[0]),
    )  # fmt: skip


def _interval(
    msr: float, msc: float, mse: float, icc: float, n: int, k: int, level: float
) -> tuple[float, float]:
    """Return the interval of ICC(2,1) by Satterthwaite's approximation (Shrout and Fleiss)."""
    fj = msc / mse
    mixed = n * (1 + (k - 1) * icc) - k * icc
    df = (k - 1) * (n - 1) * (k * icc * fj + mixed) ** 2
    df /= (n - 1) * k**2 * icc**2 * fj**2 + mixed**2
    tail = 1 - (1 - level) / 2
    lower, upper = stats.f.ppf(tail, n - 1, df), stats.f.ppf(tail, df, n - 1)
    rest = k * msc + (k * n - k - n) * mse
    return (
        float(n * (msr - lower * mse) / (lower * rest + n * msr)),
        float(n * (upper * msr - mse) / (rest + n * upper * msr)),
    )
