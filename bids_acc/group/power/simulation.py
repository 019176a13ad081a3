"""How often a declared model finds an assumed effect: simulated studies of several sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from bids_acc.exceptions import SettingsError
from bids_acc.group.formulas.design import OUTSIDE, Design, build_design
from bids_acc.group.formulas.inference import adjust_p
from bids_acc.group.formulas.linear import residual_ss
from bids_acc.group.statistics.model.declaration import Model
from bids_acc.typing import BoolArray, FloatArray

DRAWS = 20
"""Studies that share one draw of the covariates: the noise of each is its own."""


@dataclass(frozen=True)
class Assumptions:
    """What is assumed of the population and of the study."""

    effects: Mapping[str, float]
    """Difference of each group from the reference in affected measures, in standard deviations
    within groups at equal covariates."""
    n_tests: int = 16
    """Measures that are tested together: four metrics in four parcels."""
    n_affected: int = 1
    """Measures in which the groups differ."""
    correlation: float = 0.3
    """Between measures, within groups."""
    n_cohorts: int = 1
    """Cohorts, each of the given size, that the replication rule looks at."""


def check_assumptions(model: Model, given: Assumptions) -> None:
    """Refuse assumptions that no study can meet.

    Parameters
    ----------
    model : Model
        Declared groups.
    given : Assumptions
        From the command line.

    Raises
    ------
    SettingsError
        Names the assumption and the remedy.
    """
    levels = model.group.levels
    for level in given.effects:
        if level not in levels:
            raise SettingsError(f'--effect {level}: the model has no such group, only '
                                f'{", ".join(levels)}.')  # fmt: skip
    # a difference of the reference from itself is a misreading of what effects are
    if given.effects.get(model.group.reference):
        raise SettingsError(
            f'--effect {model.group.reference}: this is the reference, whose effect is 0; give '
            'the other groups as differences from it.'
        )
    if not 1 <= given.n_affected <= given.n_tests:
        raise SettingsError(
            f'--affected {given.n_affected}: choose 1 to {given.n_tests} measures.'
        )
    if not 0 <= given.correlation < 1:
        raise SettingsError(f'--correlation {given.correlation:g}: choose 0 or more, below 1.')
    if given.n_cohorts < 1:
        raise SettingsError(f'--cohorts {given.n_cohorts}: at least 1 is needed.')


def power_table(
    model: Model, given: Assumptions, sizes: Sequence[int], n_studies: int, seed: int
) -> pd.DataFrame:
    """Simulate studies and count what the declared model finds.

    Parameters
    ----------
    model : Model
        Groups, covariates, corrections, replication rule and contrasts.
    given : Assumptions
        What is true.
    sizes : sequence of int
        People in each group (of each cohort).
    n_studies : int
        Simulated studies of each size.
    seed : int
        Of the random numbers.

    Returns
    -------
    DataFrame
        One row for each size and test: ``n_per_group``, ``n_total``, ``test``, ``assumed`` (the
        difference that is true, NaN for the omnibus), ``power`` (mean
        share of the affected measures in which it is found), ``ci_low``, ``ci_high`` (Wilson,
        95 %, of the number of studies) and ``n_studies``. The test ``any false positive`` is the
        share of studies in which an unaffected measure is found.
    """
    check_assumptions(model, given)
    differences, rows = assumed_differences(model, given), []
    # a stream for each size: another list of sizes must not change the curve at the old ones
    for size, child in zip(sizes, np.random.SeedSequence(seed).spawn(len(sizes)), strict=True):
        rng = np.random.default_rng(child)
        found: dict[str, list[float]] = {}
        for _ in range(-(-n_studies // DRAWS)):
            for name, values in _studies(model, given, size, rng).items():
                found.setdefault(name, []).extend(values)
        for name, values in found.items():
            kept = np.array(values[:n_studies])
            low, high = proportion_confint(kept.sum(), len(kept), method='wilson')
            total = size * len(model.group.levels) * given.n_cohorts
            assumed = differences.get(name, np.nan)
            rows.append((size, total, name, assumed, kept.mean(), low, high, len(kept)))
    columns = ['n_per_group', 'n_total', 'test', 'assumed', 'power', 'ci_low', 'ci_high',
               'n_studies']  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def assumed_differences(model: Model, given: Assumptions) -> dict[str, float]:
    """Return the true difference of each pair of groups and each contrast.

    Parameters
    ----------
    model : Model
        Declared groups and contrasts.
    given : Assumptions
        Effects of the groups; one that is not named has none.

    Returns
    -------
    dict of str to float
        By ``a - b`` or name of the contrast, in standard deviations within groups.
    """
    pairs = {f'{a} - {b}': {a: 1.0, b: -1.0} for a, b in _pairs(model)}
    weights = pairs | {c.name: dict(c.weights) for c in model.contrasts}
    return {
        name: float(sum(w * given.effects.get(level, 0.0) for level, w in own.items()))
        for name, own in weights.items()
    }


def people(model: Model, size: int, rng: np.random.Generator) -> pd.DataFrame:
    """Draw groups of one size with covariates that are independent of the group.

    Parameters
    ----------
    model : Model
        Groups and covariates; a covariate without levels has two.
    size : int
        People in each group.
    rng : Generator
        Where the covariates come from.

    Returns
    -------
    DataFrame
        ``group`` and the covariates: standard normal, or levels of equal probability.
    """
    frame = pd.DataFrame({'group': np.repeat(model.group.levels, size)})
    for covariate in model.covariates:
        if covariate.kind == 'categorical':
            values = rng.choice(np.array(covariate.levels or ('a', 'b'), dtype=object), len(frame))
        else:
            values = rng.standard_normal(len(frame))
        if covariate.only_in:
            outside = ~frame['group'].isin(covariate.only_in)
            values[outside] = OUTSIDE if covariate.kind == 'categorical' else 0.0
        frame[covariate.name] = values
    return frame


def _design(model: Model, size: int, rng: np.random.Generator) -> tuple[pd.DataFrame, Design]:
    """Draw people and build the model's design."""
    frame = people(model, size, rng)
    factors = {'group': list(model.group.levels)}
    for covariate in model.covariates:
        if covariate.kind == 'categorical':
            factors[covariate.name] = sorted({*frame[covariate.name]} - {OUTSIDE})
    splines = {c.name: c.spline for c in model.covariates if c.spline}
    terms = ['group', *model.covariate_names]
    return frame, build_design(frame, terms, factors, keep=['group'], splines=splines)


def _noise(given: Assumptions, n: int, rng: np.random.Generator) -> FloatArray:
    """Return (n, n_tests, DRAWS) correlated noise of unit variance."""
    shared = rng.standard_normal((n, 1, DRAWS))
    own = rng.standard_normal((n, given.n_tests, DRAWS))
    # one shared factor makes every pair of measures correlate alike
    noise: FloatArray = np.sqrt(given.correlation) * shared + np.sqrt(1 - given.correlation) * own
    return noise


@dataclass(frozen=True)
class _Cohort:
    """p values of one cohort in all draws."""

    omnibus: FloatArray
    """(n_tests, DRAWS)"""
    pairs: FloatArray
    """(n_pairs, n_tests, DRAWS)"""
    contrasts: FloatArray
    """(n_contrasts, n_tests, DRAWS)"""


def _cohort(model: Model, given: Assumptions, size: int, rng: np.random.Generator) -> _Cohort:
    """Simulate one cohort and test everything that the model declares."""
    frame, design = _design(model, size, rng)
    y = _noise(given, len(frame), rng)
    shift = frame['group'].map(lambda level: given.effects.get(level, 0.0)).to_numpy(dtype=float)
    y[:, : given.n_affected] += shift[:, None, None]
    flat = y.reshape(len(frame), -1)
    own = list(design.terms['group'])
    df1, df2 = len(own), design.X.shape[0] - design.X.shape[1]
    rss = residual_ss(design.X, flat)
    # all draws in one decomposition: the design is the same for a batch of studies
    f = (residual_ss(np.delete(design.X, own, axis=1), flat) - rss) / df1 / (rss / df2)
    vectors = [
        design.level_weights('group', a) - design.level_weights('group', b)
        for a, b in _pairs(model)
    ]
    vectors += [
        np.sum([w * design.level_weights('group', v) for v, w in c.weights.items()], axis=0)
        for c in model.contrasts
    ]
    inverse = np.linalg.inv(design.X.T @ design.X)
    beta = inverse @ (design.X.T @ flat)
    t = [v @ beta / np.sqrt(v @ inverse @ v * rss / df2) for v in vectors]
    shape = (given.n_tests, DRAWS)
    p = np.array([2 * stats.t.sf(np.abs(one), df2).reshape(shape) for one in t])
    n_pairs = len(_pairs(model))
    return _Cohort(
        stats.f.sf(f, df1, df2).reshape(shape), p[:n_pairs].reshape(-1, *shape),
        p[n_pairs:].reshape(-1, *shape),
    )  # fmt: skip


def _pairs(model: Model) -> list[tuple[str, str]]:
    """Return the pairs that the model compares."""
    which = model.content['PostHoc']['Pairs']
    return model.group.pairs(which, list(model.group.levels))


def _adjusted(p: FloatArray, model: Model, family: str) -> FloatArray:
    """Correct along the first axis by the method of a family."""
    method = model.families.get(family, model.correction).method
    return np.apply_along_axis(adjust_p, 0, p, method)


def _studies(
    model: Model, given: Assumptions, size: int, rng: np.random.Generator
) -> dict[str, list[float]]:
    """Return what some studies of one size found, by test."""
    cohorts = [_cohort(model, given, size, rng) for _ in range(given.n_cohorts)]
    rule, alpha = model.content['Replication'], model.alpha
    found = [
        (_adjusted(c.omnibus, model, 'ancova') if rule['Value'] == 'p_corrected' else c.omnibus)
        <= alpha
        for c in cohorts
    ]
    # power of what the model file calls a finding, replication and correction included, not of one
    # test
    together = np.any if rule['Rule'] == 'any' else np.all
    # Without a rule every measure goes on; the group effect is still one in every cohort.
    effect: BoolArray = together(found, axis=0)
    goes_on = np.ones_like(effect) if rule['Rule'] == 'none' else effect
    real = slice(0, given.n_affected)
    result = {'group effect': effect[real].mean(axis=0).tolist()}
    pairs = together([_adjusted(c.pairs, model, 'posthoc') <= alpha for c in cohorts], axis=0)
    for (a, b), one in zip(_pairs(model), pairs, strict=True):
        result[f'{a} - {b}'] = (one & goes_on)[real].mean(axis=0).tolist()
    if model.contrasts:
        shape = cohorts[0].contrasts.shape
        corrected = [
            _adjusted(c.contrasts.reshape(-1, DRAWS), model, 'contrasts').reshape(shape)
            for c in cohorts
        ]
        for contrast, one in zip(
            model.contrasts, together(np.array(corrected) <= alpha, axis=0), strict=True
        ):
            result[contrast.name] = one[real].mean(axis=0).tolist()
    result['any false positive'] = effect[given.n_affected :].any(axis=0).astype(float).tolist()
    return result


def smallest_sizes(table: pd.DataFrame, power: float = 0.8) -> dict[str, int | None]:
    """Return the smallest simulated size at which each test has a power; None where none has.

    Differences that are assumed to be none have no power.

    Parameters
    ----------
    table : DataFrame
        From `power_table`.
    power : float
        Wanted share.
    """
    real = table[(table['test'] != 'any false positive') & (table['assumed'] != 0)]
    tests = list(dict.fromkeys(real['test']))
    enough = {}
    for test in tests:
        own = table[(table['test'] == test) & (table['power'] >= power)]
        enough[test] = int(own['n_per_group'].min()) if len(own) else None
    return enough
