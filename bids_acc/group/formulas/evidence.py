"""Evidence for the absence of an effect: equivalence tests and default Bayes factors.

A p value above the level says nothing about equality. The two one-sided tests ask whether an
effect is smaller than a smallest effect of interest that was declared beforehand; a Bayes factor
compares how well the data were predicted without and with an effect.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import integrate, optimize, special, stats

from bids_acc.exceptions import InputDataError

T_SCALE = float(np.sqrt(2) / 2)
"""Scale of the Cauchy prior of a standardised difference, the default of R's BayesFactor."""
R_SCALE = float(np.sqrt(2) / 4)
"""Scale of the prior of a standardised slope, the default of R's BayesFactor."""


def equivalence_p(estimate: float, se: float, df: float, bound: float) -> float:
    """Return the p of two one-sided t tests against ``-bound`` and ``bound``.

    It is at most alpha exactly when the interval at 1 - 2 alpha lies between the bounds.

    Parameters
    ----------
    estimate, se : float
        Difference and its standard error.
    df : float
        Degrees of freedom; infinite for z.
    bound : float
        Smallest effect of interest, in the unit of the estimate.

    Raises
    ------
    InputDataError
        If the bound is not positive.

    References
    ----------
    Schuirmann DJ (1987). J Pharmacokinet Biopharm 15:657-680.
    https://doi.org/10.1007/BF01068419

    Examples
    --------
    >>> round(equivalence_p(0.0, 0.2, 100, 0.5), 4)
    0.007
    """
    if not bound > 0:
        raise InputDataError(f'a smallest effect of interest is above zero, not {bound}.')
    law = stats.norm if np.isinf(df) else stats.t(df)
    # both one-sided tests must reject: the larger p is that of the pair, without a correction for
    # two
    return float(max(law.sf((estimate + bound) / se), law.cdf((estimate - bound) / se)))


def correlation_equivalence_p(r: float, df: float, bound: float) -> float:
    """Return the p of two one-sided tests of a (partial) correlation on Fisher's scale.

    Parameters
    ----------
    r : float
        Correlation.
    df : float
        n - 2 - number of columns partialled out.
    bound : float
        Smallest correlation of interest.

    References
    ----------
    Goertzen JR, Cribbie RA (2010). Br J Math Stat Psychol 63:527-537.
    https://doi.org/10.1348/000711009X475853
    """
    if not 0 < bound < 1:
        raise InputDataError(f'a smallest correlation lies between 0 and 1, not {bound}.')
    if not (df > 1 and abs(r) < 1):
        return float('nan')
    return equivalence_p(np.arctanh(r), 1 / np.sqrt(df - 1), np.inf, float(np.arctanh(bound)))


def _log_inverse_gamma(g: float, scale: float) -> float:
    """Return the log density of g when 1/g has a chi squared with one degree of freedom."""
    return float(0.5 * np.log(scale) - special.gammaln(0.5) - 1.5 * np.log(g) - scale / g)


def _integral(log_density: Callable[[float], float]) -> float:
    """Integrate the exponential of a function of g from zero to infinity, over log g."""

    def on_log_scale(u: float) -> float:
        return log_density(float(np.exp(u))) + u

    # the integrand spans many powers of ten and is narrow: not told of the peak, the quadrature
    # may step over it and answer zero
    top = optimize.minimize_scalar(lambda u: -on_log_scale(u), bounds=(-30, 30), method='bounded')
    peak = -float(top.fun)
    area, _ = integrate.quad(
        lambda u: np.exp(on_log_scale(u) - peak), top.x - 30, top.x + 30, points=[top.x], limit=200
    )
    return float(np.exp(peak) * area)


def bayes_factor_t(t: float, df: float, n_effective: float, scale: float = T_SCALE) -> float:
    """Return the JZS Bayes factor of a difference against none.

    Parameters
    ----------
    t, df : float
        Statistic and its degrees of freedom.
    n_effective : float
        ``n_a n_b / (n_a + n_b)`` for two groups, n for one; of a contrast in a linear model the
        squared ratio of residual standard deviation to standard error.
    scale : float
        Scale of the Cauchy prior of the standardised difference.

    Returns
    -------
    float
        BF10; its inverse is the evidence for no difference.

    References
    ----------
    Rouder JN, et al. (2009). Psychon Bull Rev 16:225-237. https://doi.org/10.3758/PBR.16.2.225

    Examples
    --------
    The sleep data of R: t = -4.0621 in ten people.

    >>> round(bayes_factor_t(-4.0621, 9, 10), 2)
    17.26
    """
    if not (np.isfinite(t) and df > 0 and n_effective > 0):
        return float('nan')

    def log_density(g: float) -> float:
        shrink = 1 + n_effective * g
        likelihood = np.log1p(t**2 / (shrink * df)) - np.log1p(t**2 / df)
        prior = _log_inverse_gamma(g, scale**2 / 2)
        return float(-0.5 * np.log(shrink) - (df + 1) / 2 * likelihood + prior)

    return _integral(log_density)


def bayes_factor_r(r: float, df: float, scale: float = R_SCALE) -> float:
    """Return the JZS Bayes factor of a (partial) correlation against none.

    Covariates are common to both models and have flat priors: they cost a degree of freedom each.

    Parameters
    ----------
    r : float
        Correlation.
    df : float
        n - 2 - number of columns partialled out.
    scale : float
        Scale of the prior of the standardised slope.

    Returns
    -------
    float
        BF10.

    References
    ----------
    Rouder JN, Morey RD (2012). Multivariate Behav Res 47:877-903.
    https://doi.org/10.1080/00273171.2012.734737
    """
    if not (np.isfinite(r) and abs(r) < 1 and df > 0):
        return float('nan')
    n = df + 2

    def log_density(g: float) -> float:
        gain = (n - 2) / 2 * np.log1p(g) - (n - 1) / 2 * np.log1p(g * (1 - r**2))
        return float(gain + _log_inverse_gamma(g, n * scale**2 / 2))

    return _integral(log_density)


def evidence_words(bf10: float) -> str:
    """Say how strong the evidence is, and for what.

    Parameters
    ----------
    bf10 : float
        Bayes factor of the effect against its absence, above zero; 1 is no evidence.

    Returns
    -------
    str
        Strength and direction, or ``undecided`` between 1/3 and 3.

    References
    ----------
    Lee MD, Wagenmakers EJ (2013). Bayesian Cognitive Modeling, table 7.1, after Jeffreys (1961).

    Examples
    --------
    >>> evidence_words(0.2), evidence_words(1.5), evidence_words(40.0)
    ('moderate evidence for no effect', 'undecided', 'very strong evidence for an effect')
    """
    strength = max(bf10, 1 / bf10)
    names = ((100, 'extreme'), (30, 'very strong'), (10, 'strong'), (3, 'moderate'))
    word = next((name for least, name in names if strength >= least), '')
    if not word:
        return 'undecided'
    return f'{word} evidence for {"an effect" if bf10 > 1 else "no effect"}'
