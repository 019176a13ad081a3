"""Several cohorts side by side: each alone, all together, and as a meta-analysis.

With two cohorts the variance between them cannot be known: their common effect is reported with Q,
and a random-effects interval beside it without a test (Bender et al. 2018). From three on the mean
of the random-effects model has Hartung and Knapp's interval, whose standard error is never taken
below the model's own (Roever et al. 2015): agreement by chance must not look like certainty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import optimize, special, stats

from bids_acc.exceptions import InputDataError
from bids_acc.group.formulas.inference import partial_eta2, partial_eta2_confidence
from bids_acc.group.formulas.mixed import count_levels, make_design
from bids_acc.group.formulas.results import TestResult
from bids_acc.typing import FloatArray

Method = Literal['FE', 'DL', 'REML']


@dataclass(frozen=True)
class MetaAnalysis:
    """Mean effect over cohorts."""

    estimate: float
    """Mean effect, in the unit of the cohorts' effects."""
    se: float
    """Standard error of the mean."""
    ci_low: float
    """Lower end of the 95 % confidence interval."""
    ci_high: float
    """Upper end of the 95 % confidence interval."""
    statistic: Literal['t', 'z']
    """Distribution of the test: t with Hartung-Knapp, else normal."""
    value: float
    """Statistic."""
    df: float
    """Degrees of freedom of t; NaN for z."""
    p: float
    """Two-sided p of the mean."""
    q: float
    """Cochran's Q."""
    q_p: float
    """p of Q, chi-square with k - 1 degrees of freedom."""
    tau2: float
    """Variance between cohorts."""
    i2: float
    """Share of the variation that lies between cohorts, in percent."""
    prediction_low: float
    """Lower end of the 95 % interval for a new cohort; NaN with fewer than three."""
    prediction_high: float
    """Upper end of the 95 % interval for a new cohort."""
    k: int
    """Cohorts."""
    method: str
    """Estimator of tau2 and of the interval."""
    random_low: float = np.nan
    """Lower end of the random-effects interval beside the common effect of two cohorts."""
    random_high: float = np.nan
    """Upper end of that interval."""
    common: tuple[float, float, float] = (np.nan, np.nan, np.nan)
    """Mean of the common-effect model with its 95 % interval, beside a random-effects mean."""


def _tau2_dl(effects: FloatArray, variances: FloatArray) -> float:
    """Return the moment estimate of the variance between cohorts (DerSimonian and Laird)."""
    w = 1 / variances
    mean = (w @ effects) / w.sum()
    q = float(w @ (effects - mean) ** 2)
    return max(0.0, (q - (len(effects) - 1)) / float(w.sum() - (w @ w) / w.sum()))


def _tau2_reml(effects: FloatArray, variances: FloatArray) -> float:
    """Return the restricted maximum likelihood estimate of the variance between cohorts."""

    def minus_twice_loglik(tau2: float) -> float:
        w = 1 / (variances + tau2)
        mean = (w @ effects) / w.sum()
        return float(-np.log(w).sum() + np.log(w.sum()) + w @ (effects - mean) ** 2)

    top = 10 * max(float(np.var(effects, ddof=1)), float(variances.max()))
    # the restricted likelihood of few cohorts can have its maximum at zero and another one
    grid = np.concatenate([[0.0], np.geomspace(top * 1e-6, top, 60)])
    at = int(np.argmin([minus_twice_loglik(t) for t in grid]))
    low, high = grid[max(at - 1, 0)], grid[min(at + 1, len(grid) - 1)]
    found = optimize.minimize_scalar(
        minus_twice_loglik, bounds=(low, high), method='bounded', options={'xatol': 1e-12 * top}
    )
    return 0.0 if minus_twice_loglik(0.0) <= found.fun + 1e-12 else float(found.x)


def _heterogeneity(effects: FloatArray, variances: FloatArray, tau2: float) -> tuple[float, float]:
    """Return Q and I2 in percent.

    I2 compares tau2 with the typical sampling variance (Higgins and Thompson 2002, eq. 9 and 10,
    doi:10.1002/sim.1186), which is the usual (Q - df)/Q when tau2 is the moment estimate.
    """
    w = 1 / variances
    k = len(effects)
    q = float(w @ (effects - (w @ effects) / w.sum()) ** 2)
    typical = (k - 1) * w.sum() / (w.sum() ** 2 - w @ w)
    return q, float(100 * tau2 / (tau2 + typical))


def meta_analysis(
    effects: npt.ArrayLike,
    variances: npt.ArrayLike,
    *,
    method: Method = 'REML',
) -> MetaAnalysis:
    """Average effects over cohorts.

    Parameters
    ----------
    effects : (k,) array_like
        One effect for each cohort, all in one unit.
    variances : (k,) array_like
        Their squared standard errors.
    method : {'REML', 'DL', 'FE'}
        How the variance between cohorts is estimated; ``'FE'`` sets it to zero.

    Returns
    -------
    MetaAnalysis
        Mean, interval, heterogeneity. With two cohorts the mean is that of the common-effect
        model, whichever method is asked for.

    Raises
    ------
    InputDataError
        With fewer than two cohorts or a variance that is not positive.

    References
    ----------
    DerSimonian R, Laird N (1986). Control Clin Trials 7:177-188.
    doi:10.1016/0197-2456(86)90046-2.
    Knapp G, Hartung J (2003). Stat Med 22:2693-2710. doi:10.1002/sim.1482.
    Roever C, Knapp G, Friede T (2015). BMC Med Res Methodol 15:99. doi:10.1186/s12874-015-0091-1.
    Bender R, et al. (2018). Res Synth Methods 9:382-392. doi:10.1002/jrsm.1297.

    Examples
    --------
    >>> result = meta_analysis([0.5, 0.8], [0.04, 0.05], method='FE')
    >>> round(result.estimate, 3), round(result.se, 3)
    (0.633, 0.149)
    """
    y, v = np.asarray(effects, dtype=float), np.asarray(variances, dtype=float)
    k = len(y)
    if k < 2 or len(v) != k:
        raise InputDataError('a meta-analysis needs the effects of at least two cohorts.')
    if not (np.isfinite(y).all() and np.isfinite(v).all() and (v > 0).all()):
        raise InputDataError('an effect is missing or its variance is not positive.')
    tau2 = {'FE': lambda *_: 0.0, 'DL': _tau2_dl, 'REML': _tau2_reml}[method](y, v)
    q, i2 = _heterogeneity(y, v, tau2)
    # without a variance between cohorts I2 is the usual share of Q
    if method == 'FE' and q > 0:
        i2 = max(0.0, 100 * (q - k + 1) / q)
    shared: dict[str, Any] = {
        'q': q, 'q_p': float(stats.chi2.sf(q, k - 1)), 'tau2': tau2, 'i2': i2, 'k': k,
    }  # fmt: skip
    # two effects tell nothing of how cohorts scatter: any estimate of it would be the square of
    # one difference
    common = method == 'FE' or k == 2
    estimate, se = _mean(y, v, 0.0 if common else tau2)
    if not common:
        se *= _hartung_knapp(y, v, tau2)
    law = stats.norm if common else stats.t(k - 1)
    half = float(law.ppf(0.975)) * se
    spread = float(stats.t.ppf(0.975, k - 2) * np.sqrt(tau2 + se**2)) if k > 2 else np.nan
    random = _random_interval(y, v, tau2) if common and method != 'FE' else (np.nan, np.nan)
    fixed, fixed_se = _mean(y, v, 0.0)
    margin = float(stats.norm.ppf(0.975)) * fixed_se
    return MetaAnalysis(
        estimate=estimate, se=se, ci_low=estimate - half, ci_high=estimate + half,
        statistic='z' if common else 't', value=estimate / se,
        df=np.nan if common else float(k - 1), p=float(2 * law.sf(abs(estimate / se))),
        prediction_low=estimate - spread, prediction_high=estimate + spread,
        method='common-effect meta-analysis' if common
        else f'{method} meta-analysis, Hartung-Knapp interval, standard error not below the '
        "model's", random_low=random[0], random_high=random[1],
        common=(fixed, fixed - margin, fixed + margin), **shared,
    )  # fmt: skip


def _mean(y: FloatArray, v: FloatArray, tau2: float) -> tuple[float, float]:
    """Return the weighted mean and the standard error that the model gives it."""
    w = 1 / (v + tau2)
    return float((w @ y) / w.sum()), float(1 / np.sqrt(w.sum()))


def _hartung_knapp(y: FloatArray, v: FloatArray, tau2: float) -> float:
    """Return Hartung and Knapp's factor of the standard error, at least one."""
    w = 1 / (v + tau2)
    spread = float(w @ (y - (w @ y) / w.sum()) ** 2) / (len(y) - 1)
    return max(1.0, float(np.sqrt(spread)))


def _random_interval(y: FloatArray, v: FloatArray, tau2: float) -> tuple[float, float]:
    """Return the random-effects interval by the modified method of Hartung and Knapp."""
    mean, se = _mean(y, v, tau2)
    half = float(stats.t.ppf(0.975, len(y) - 1)) * se * _hartung_knapp(y, v, tau2)
    return mean - half, mean + half


_ROUNDING = 1e-12
"""Residuals below this share of the values are rounding, not variance (own convention)."""


def adjusted_difference(
    table: pd.DataFrame, response: str, group: str, levels: tuple[str, str],
    covariates: Sequence[str] = (),
) -> TestResult:  # fmt: skip
    """Return the adjusted difference between two groups in one table.

    Parameters
    ----------
    table : DataFrame
        One row per subject.
    response, group : str
        Columns.
    levels : (str, str)
        The groups; the difference is first minus second.
    covariates : sequence of str
        Columns to adjust for.

    Returns
    -------
    TestResult
        t test; ``effect`` is the difference in the unit of the response.

    Raises
    ------
    InputDataError
        If a group is absent, the covariates are collinear, or nothing varies within groups.
    """
    chosen = table[table[group].astype(str).isin(levels)]
    data = chosen[[response, group, *covariates]].dropna()
    counts = count_levels(data[group])
    if set(counts) != set(levels):
        raise InputDataError(f'{response}: {group} has only {sorted(counts)} of {levels}.')
    design = make_design(data.drop(columns=group), list(covariates))
    # one column for the pair, so that its coefficient is the difference of the levels as they are
    # named
    indicator = (data[group].astype(str) == levels[0]).to_numpy(dtype=float)
    X = np.column_stack([design.X, indicator])
    y = data[response].to_numpy(dtype=float)
    if len(y) <= X.shape[1]:
        raise InputDataError(
            f'{response}: {len(y)} people are too few for {X.shape[1]} coefficients.'
        )
    if np.linalg.matrix_rank(X) < X.shape[1]:
        raise InputDataError(f'{response}: {group} is collinear with {", ".join(covariates)}.')
    inverse = np.linalg.inv(X.T @ X)
    beta = inverse @ X.T @ y
    dof = len(y) - X.shape[1]
    rest = float(np.sum((y - X @ beta) ** 2))
    # a site with copied values would have a difference of no error, and all of the weight
    if rest <= len(y) * (_ROUNDING * np.abs(y).max()) ** 2:
        raise InputDataError(
            f'{response} is the same in everybody of a group at equal covariates.'
        )
    se = float(np.sqrt(inverse[-1, -1] * rest / dof))
    difference = float(beta[-1])
    half = float(stats.t.ppf(0.975, dof)) * se
    return TestResult(
        term=group, statistic='t', value=difference / se, df1=1, df2=dof,
        p=float(2 * stats.t.sf(abs(difference / se), dof)), n=len(y), n_per_group=counts,
        effect_name='mean_difference', effect=difference,
        ci_low=difference - half, ci_high=difference + half,
        excluded=len(chosen) - len(data), method='linear model',
        formula=f'{response} ~ {" + ".join([group, *covariates])}',
    )  # fmt: skip


@dataclass(frozen=True)
class SiteComparison:
    """One group difference: by site, pooled with site, and by meta-analysis."""

    per_site: dict[str, TestResult]
    """Adjusted difference in each site that has both groups."""
    pooled: TestResult
    """Adjusted difference with site in the model."""
    interaction: TestResult
    """Whether the difference depends on the site: F of group by site."""
    meta: MetaAnalysis
    """Mean of the sites' standardised differences."""
    left_out: dict[str, str]
    """Sites without an estimate of their own, and why."""


def compare_sites(
    table: pd.DataFrame,
    response: str,
    *,
    group: str,
    levels: tuple[str, str],
    site: str,
    covariates: Sequence[str] = (),
    method: Method = 'REML',
) -> SiteComparison:
    """Estimate a group difference per site, pooled with site, and by meta-analysis.

    Parameters
    ----------
    table : DataFrame
        One row per subject.
    response, group, site : str
        Columns.
    levels : (str, str)
        The groups; differences are first minus second.
    covariates : sequence of str
        Columns to adjust for.
    method : {'REML', 'DL', 'FE'}
        As for `meta_analysis`.

    Returns
    -------
    SiteComparison
        The three views; the meta-analysis averages Hedges' g made from each site's adjusted t.

    Raises
    ------
    InputDataError
        If fewer than two sites have both groups.
    """
    per_site, left_out = {}, {}
    for name, rows in table.groupby(table[site].astype(str)):
        try:
            per_site[str(name)] = adjusted_difference(rows, response, group, levels, covariates)
        except InputDataError as error:
            left_out[str(name)] = str(error)
    if len(per_site) < 2:
        raise InputDataError(
            f'{response}: fewer than two sites have both {levels[0]} and {levels[1]}.'
        )
    used = table[table[site].astype(str).isin(list(per_site))]
    pooled = adjusted_difference(used, response, group, levels, [site, *covariates])
    # standardised: sites may measure in other scales, and then differ in SD as well as in mean
    g, v = np.array([_g_from_t(result, levels) for result in per_site.values()]).T
    return SiteComparison(
        per_site=per_site,
        pooled=pooled,
        interaction=_interaction(used, response, group, levels, site, covariates),
        meta=meta_analysis(g, v, method=method),
        left_out=left_out,
    )


def _g_from_t(result: TestResult, levels: tuple[str, str]) -> tuple[float, float]:
    """Turn an adjusted t into Hedges' g and its variance."""
    n_a, n_b = (result.n_per_group[level] for level in levels)
    m = result.df2
    d = result.value * np.sqrt(1 / n_a + 1 / n_b)
    correction = np.exp(
        special.gammaln(m / 2) - np.log(np.sqrt(m / 2)) - special.gammaln((m - 1) / 2)
    )
    g = float(correction * d)
    return g, 1 / n_a + 1 / n_b + g**2 / (2 * (n_a + n_b))


def _interaction(
    table: pd.DataFrame, response: str, group: str, levels: tuple[str, str], site: str,
    covariates: Sequence[str],
) -> TestResult:  # fmt: skip
    """Test whether the group difference is the same in all sites."""
    data = table[table[group].astype(str).isin(levels)]
    data = data[[response, group, site, *covariates]].dropna().copy()
    data[site] = data[site].astype(str)
    terms = [group, site, *covariates, f'{group}:{site}']
    design = make_design(data, terms)
    y = data[response].to_numpy(dtype=float)
    # the interaction alone is dropped: sites may differ in mean as much as they like
    columns = design.terms[f'{group}:{site}']
    small = np.delete(design.X, columns, axis=1)
    rss = [float(np.sum((y - X @ np.linalg.lstsq(X, y, rcond=None)[0]) ** 2))
           for X in (design.X, small)]  # fmt: skip
    df1, df2 = len(columns), len(y) - design.X.shape[1]
    value = (rss[1] - rss[0]) / df1 / (rss[0] / df2)
    low, high = partial_eta2_confidence(value, df1, df2)
    return TestResult(
        term=f'{group}:{site}', statistic='F', value=value, df1=df1, df2=df2,
        p=float(stats.f.sf(value, df1, df2)), n=len(y), n_per_group=count_levels(data[group]),
        effect_name='partial_eta2', effect=partial_eta2(value, df1, df2), ci_low=low,
        ci_high=high, excluded=0, method='linear model, type III',
        formula=f'{response} ~ {" + ".join(terms)}',
    )  # fmt: skip
