"""Trials: slopes of groups over visits, rates of response, the crossover of two treatments."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats
from statsmodels.regression.mixed_linear_model import MixedLM
from statsmodels.stats.proportion import confint_proportions_2indep

from bids_acc.exceptions import InputDataError
from bids_acc.group.formulas.inference import partial_eta2, partial_eta2_confidence
from bids_acc.group.formulas.mixed import count_levels, level_order, make_design
from bids_acc.group.formulas.results import TestResult
from bids_acc.typing import FloatArray


def slopes_by_group(
    table: pd.DataFrame, value: str, *, time: str, group: str, covariates: Sequence[str] = ()
) -> TestResult:
    """Compare the slopes of groups over three or more visits (group x time).

    A linear mixed model with a random intercept and a random slope for each person, by REML
    (statsmodels' ``MixedLM``). A random intercept alone would take what people differ in their
    slopes for noise of the visits and find differences too often. The Wald F of the interaction
    has as many denominator degrees of freedom as there are people with two visits beyond the
    groups: exact where all visits are there (it is then the comparison of people's own slopes).

    Parameters
    ----------
    table : DataFrame
        Long table with ``participant_id``, ``value``, ``time``, ``group`` and covariates.
    value : str
        Response.
    time : str
        Numeric column.
    group : str
        Column with the groups.
    covariates : sequence of str
        Further columns, with main effects.

    Returns
    -------
    TestResult
        F of group x time; for two groups the difference of the slopes (last level minus first)
        with its 95 % interval, else partial eta squared.

    Raises
    ------
    InputDataError
        If fewer than three visits, two groups or enough people are there, or the fit fails.

    References
    ----------
    Laird NM, Ware JH (1982). Biometrics 38:963-974. doi:10.2307/2529876
    Murray DM, Hannan PJ, Baker WL (1996). Eval Rev 20:313-337. doi:10.1177/0193841X9602000305
    (degrees of freedom between groups).
    """
    data = table[['participant_id', value, time, group, *covariates]].dropna()
    if data[time].nunique() < 3:
        raise InputDataError(f'{value}: slopes need three visits, not {data[time].nunique()}.')
    visits = data['participant_id'].value_counts()
    people = data.drop_duplicates('participant_id')
    levels = level_order(data[group])
    # who was seen once has no slope and is no evidence about slopes, but tells of the level
    df2 = int((visits >= 2).sum()) - len(levels)
    if len(levels) < 2 or df2 < 2:
        raise InputDataError(f'{value}: too few people with two visits to compare slopes.')
    # in standard deviations: weeks and days must end at the same optimum
    scaled = data.assign(**{time: (data[time] - data[time].mean()) / data[time].std()})
    design = make_design(scaled, [time, group, f'{group}:{time}', *covariates])
    centre, scale = float(data[value].mean()), float(data[value].std())
    if not scale > 0:
        raise InputDataError(f'{value} is the same at all visits.')
    random = np.column_stack([np.ones(len(scaled)), scaled[time]])
    beta, cov = _random_slopes(
        (data[value].to_numpy(dtype=float) - centre) / scale, design.X, random,
        data['participant_id'].to_numpy(),
    )  # fmt: skip
    columns = list(design.terms[f'{group}:{time}'])
    own = beta[columns]
    f = float(own @ np.linalg.solve(cov[np.ix_(columns, columns)], own)) / len(columns)
    effect, contrast = ('partial_eta2', partial_eta2(f, len(columns), df2)), ''
    interval = partial_eta2_confidence(f, len(columns), df2)
    if len(columns) == 1:
        unit = -2 * scale / float(data[time].std())  # sum-to-zero codes are +1 and -1
        slope, half = unit * float(own[0]), float(stats.t.ppf(0.975, df2))
        half *= abs(unit) * float(np.sqrt(cov[columns[0], columns[0]]))
        effect, interval = ('slope_difference', slope), (slope - half, slope + half)
        contrast = f'{levels[-1]} - {levels[0]}'
    return TestResult(
        term=f'{group}:{time}', statistic='F', value=f, df1=len(columns), df2=df2,
        p=float(stats.f.sf(f, len(columns), df2)), n=len(people), effect_name=effect[0],
        effect=effect[1], ci_low=interval[0], ci_high=interval[1], contrast=contrast,
        method='linear mixed model, random intercept and slope, REML, df between people',
        formula=f'{value} ~ ' + ' + '.join([time, group, f'{group}:{time}', *covariates])
        + f' + (1 + {time} | participant_id)',
        n_per_group=count_levels(people[group]),
        excluded=table['participant_id'].nunique() - len(people),
    )  # fmt: skip


def _random_slopes(
    y: FloatArray, X: FloatArray, Z: FloatArray, people: npt.NDArray[np.generic]
) -> tuple[FloatArray, FloatArray]:
    """Fit by REML; return the fixed effects and their covariance."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # estimates on the boundary of no variance are valid
        try:
            fit = MixedLM(y, X, people, exog_re=Z).fit(reml=True, method=['lbfgs', 'powell'])
        except (np.linalg.LinAlgError, ValueError) as error:
            raise InputDataError(f'the mixed model could not be fitted ({error}).') from error
    beta, spread = np.asarray(fit.fe_params, dtype=float), np.asarray(fit.cov_re, dtype=float)
    if not (np.isfinite(beta).all() and np.isfinite(spread).all() and fit.scale > 0):
        raise InputDataError('the mixed model did not converge.')
    # From the variances, not from the Hessian, which is singular where one of them is zero.
    information = np.zeros((X.shape[1], X.shape[1]))
    for person in np.unique(people):
        own = people == person
        variance = fit.scale * np.eye(own.sum()) + Z[own] @ spread @ Z[own].T
        information += X[own].T @ np.linalg.solve(variance, X[own])
    return beta, np.linalg.inv(information).astype(np.float64)


@dataclass(frozen=True)
class RateDifference:
    """Shares of people in two groups."""

    difference: float
    """First minus second."""
    ci_low: float
    ci_high: float
    p: float
    """Two-sided, Fisher's exact test."""
    needed_to_treat: float
    """1 / difference; NaN where the interval holds zero."""


def rate_difference(
    count_a: int, n_a: int, count_b: int, n_b: int, level: float = 0.95
) -> RateDifference:
    """Compare two shares, a minus b.

    Parameters
    ----------
    count_a, n_a, count_b, n_b : int
        People with the event and all people of each group.
    level : float
        Of the interval.

    References
    ----------
    Newcombe RG (1998). Stat Med 17:873-890 (method 10; hybrid score interval).
    doi:10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I

    Examples
    --------
    >>> rates = rate_difference(56, 70, 48, 80)  # Newcombe's example (a): .0524, .3339
    >>> round(rates.difference, 4), round(rates.ci_low, 4), round(rates.ci_high, 4)
    (0.2, 0.0524, 0.3339)
    """
    if min(n_a, n_b) < 1:
        raise InputDataError('a group has nobody.')
    low, high = confint_proportions_2indep(
        count_a, n_a, count_b, n_b, method='newcomb', compare='diff', alpha=1 - level
    )
    table = [[count_a, n_a - count_a], [count_b, n_b - count_b]]
    difference = count_a / n_a - count_b / n_b
    clear = low > 0 or high < 0
    return RateDifference(
        difference, float(low), float(high), float(stats.fisher_exact(table).pvalue),
        # the interval of a number needed to treat runs through infinity where that of the
        # difference holds zero
        1 / difference if clear else float('nan'),
    )  # fmt: skip


@dataclass(frozen=True)
class Crossover:
    """Tests of a trial in which each person has two treatments in one of two orders."""

    treatment: TestResult
    """Second treatment minus first, in the order of the alphabet or as declared."""
    period: TestResult
    """Second period minus first."""
    carryover: TestResult
    """Sum of the two periods, between the orders."""


def crossover(
    first: FloatArray,
    second: FloatArray,
    order: npt.NDArray[np.generic],
    treatments: tuple[str, str],
) -> Crossover:
    """Test treatment, period and carry-over of a two-period crossover.

    Parameters
    ----------
    first, second : (n,) ndarray of float64
        Values in the first and second period.
    order : (n,) ndarray of str
        Treatment in the first period.
    treatments : tuple of str
        The two treatments, a and b; the effect is b - a.

    Returns
    -------
    Crossover

    Raises
    ------
    InputDataError
        If an order has fewer than two people or nothing varies.

    References
    ----------
    Hills M, Armitage P (1979). Br J Clin Pharmacol 8:7-20.
    doi:10.1111/j.1365-2125.1979.tb05903.x. That carry-over is not tested first to decide what to
    do: Freeman PR (1989). Stat Med 8:1421-1432. doi:10.1002/sim.4780081202
    """
    a, b = treatments
    groups = [order == a, order == b]
    if min(int(g.sum()) for g in groups) < 2:
        raise InputDataError('an order of the treatments has fewer than two people.')
    gain = second - first
    return Crossover(
        treatment=_two_orders('treatment', gain, groups, (0.5, -0.5), f'{b} - {a}', treatments),
        period=_two_orders('period', gain, groups, (0.5, 0.5), 'second - first', treatments),
        carryover=_two_orders('carry-over', first + second, groups, (1.0, -1.0),
                              f'{a} first - {b} first', treatments),
    )  # fmt: skip


def _two_orders(
    term: str, values: FloatArray, groups: Sequence[npt.NDArray[np.generic]],
    weights: tuple[float, float],
    contrast: str, treatments: tuple[str, str],
) -> TestResult:  # fmt: skip
    """Test a weighted sum of the means of the two orders with pooled variance."""
    parts = [values[group] for group in groups]
    sizes = np.array([len(part) for part in parts])
    df = int(sizes.sum()) - 2
    pooled = sum(((part - part.mean()) ** 2).sum() for part in parts) / df
    if not pooled > 0:
        raise InputDataError('nobody differs from the others of the same order.')
    w = np.array(weights)
    estimate = float(w @ [part.mean() for part in parts])
    se = float(np.sqrt(pooled * (w**2 / sizes).sum()))
    half = float(stats.t.ppf(0.975, df)) * se
    return TestResult(
        term=term, statistic='t', value=estimate / se, df1=1, df2=df,
        p=float(2 * stats.t.sf(abs(estimate / se), df)), n=int(sizes.sum()),
        effect_name='mean_difference', effect=estimate, ci_low=estimate - half,
        ci_high=estimate + half, contrast=contrast,
        method='two-period crossover, t test of within-person values between the two orders',
        n_per_group=dict(zip((f'{t} first' for t in treatments), map(int, sizes), strict=True)),
    )  # fmt: skip
