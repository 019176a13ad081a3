"""Whether a group effect stands without the assumptions of its test.

Residuals are tested for normality, variances for equality, and the group effect is tested again
with a covariance that allows unequal variances, without influential participants, and by
permutation. Each row says whether the conclusion at the model's level changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from bids_acc.group.formulas.design import DesignError
from bids_acc.group.formulas.inference import partial_eta2, partial_eta2_confidence
from bids_acc.group.formulas.linear import f_survival, residual_ss
from bids_acc.group.formulas.two_samples import brown_forsythe
from bids_acc.group.statistics.ancova import structure_measures, term_tests
from bids_acc.group.statistics.modelling import FittedModel, Sample, each_model, fit_model
from bids_acc.group.statistics.mrs_groups import roles
from bids_acc.group.statistics.rows import Row
from bids_acc.group.statistics.study import Study, group_counts
from bids_acc.typing import BoolArray, FloatArray


def influential(model: FittedModel) -> BoolArray:
    """Tell which participants move the fit much: Cook's distance above 4 / n.

    References
    ----------
    Bollen KA, Jackman RW (1985). Sociol Methods Res 13:510-542, for the threshold.
    https://doi.org/10.1177/0049124185013004004
    """
    return model.fit.cooks_distance() > 4 / len(model.sample.frame)


def robust_f(model: FittedModel, term: str) -> tuple[float, int, int]:
    """Return the F of a term with the HC3 covariance, and its degrees of freedom."""
    columns = list(model.design.terms[term])
    b = model.fit.coefficients[columns]
    v = model.fit.covariance_hc3()[np.ix_(columns, columns)]
    return float(b @ np.linalg.solve(v, b)) / len(columns), len(columns), model.fit.df


def permutation_p(
    X: FloatArray,
    y: FloatArray,
    columns: list[int],
    n_permutations: int,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Return F of some columns and its p by permuting the residuals of the reduced model.

    Parameters
    ----------
    X : (n, p) ndarray
        Design matrix.
    y : (n,) ndarray
        Response.
    columns : list of int
        Columns that are tested.
    n_permutations : int
        Number of permutations; the observed order counts as one more.
    rng : Generator
        Source of the permutations.

    References
    ----------
    Freedman D, Lane D (1983). J Bus Econ Stat 1:292-298.
    https://doi.org/10.1080/07350015.1983.10509354
    """
    reduced = np.delete(X, columns, axis=1)
    q, _ = np.linalg.qr(reduced)
    fitted = q @ (q.T @ y)
    shuffled = rng.permuted(np.tile(y - fitted, (n_permutations, 1)), axis=1).T
    everything = np.column_stack([y, fitted[:, None] + shuffled])
    full, small = residual_ss(X, everything), residual_ss(reduced, everything)
    df1, df2 = len(columns), X.shape[0] - X.shape[1]
    f = (small - full) / df1 / (full / df2)
    hits = int(np.sum(f[1:] >= f[0] * (1 - 1e-12)))
    return float(f[0]), (hits + 1) / (n_permutations + 1)


def _group_p(model: FittedModel, study: Study, term: str) -> tuple[float, float, int, int]:
    """Return F, p and degrees of freedom of a term as the main analysis computes them."""
    test = next(t for t in term_tests(model, study) if t.term == term)
    return test.f, test.p, test.df1, test.df2


def _verdict(p_before: float, p_after: float, alpha: float) -> dict[str, Any]:
    """Say whether a second p leads to another conclusion."""
    changes = (p_before <= alpha) != (p_after <= alpha)
    return {'p_original': p_before, 'conclusion_changes': 'yes' if changes else 'no'}


def assumption_rows(model: FittedModel) -> Iterator[Row]:
    """Yield the tests of normality and of equal variances."""
    w, p = stats.shapiro(model.fit.residuals)
    yield model.row(
        'normality', term='residuals', statistic='W', value=float(w), p_unc=float(p),
        method='Shapiro-Wilk test of the residuals',
    )  # fmt: skip
    groups = model.sample.frame['group'].to_numpy()
    parts = [model.fit.residuals[groups == level] for level in model.design.levels['group']]
    if min(map(len, parts)) >= 3:
        test = brown_forsythe(parts)
        yield model.row(
            'equal_variances', term='group', statistic='F', value=test.value, df1=test.df1,
            df2=test.df2, p_unc=test.p, method='Brown-Forsythe test of the residuals by group',
        )  # fmt: skip


def without_influential(model: FittedModel, study: Study, term: str) -> Row:
    """Return the test of a term without influential participants."""
    alpha = study.model.alpha
    _, p_before, _, _ = _group_p(model, study, term)
    who = influential(model)
    names = ', '.join(model.sample.frame.loc[who, 'participant_id'].astype(str))
    distance = model.fit.cooks_distance()
    extra: dict[str, Any] = {
        'cooks_max': float(distance.max()), 'n_influential': int(who.sum()), 'influential': names,
    }  # fmt: skip
    kept = model.sample.frame[~who]
    sample = Sample(
        kept, model.sample.cohort, model.sample.measure,
        {**model.sample.excluded, "Cook's distance > 4/n": int(who.sum())},
        group_counts(kept, list(model.sample.n_per_group)),
    )  # fmt: skip
    method = "repeated without participants whose Cook's distance exceeds 4/n"
    try:
        again = fit_model(
            study, sample, list(model.design.terms), [term.split(':', maxsplit=1)[0]]
        )
        f, p, df1, df2 = _group_p(again, study, term)
    except (DesignError, StopIteration) as error:
        return sample.row('influence', term=term, note=f'not done: {error}', extra=extra)
    low, high = partial_eta2_confidence(f, df1, df2, len(kept), study.model.confidence)
    return again.row(
        'influence', term=term, statistic='F', value=f, df1=df1, df2=df2, p_unc=p,
        effect_name='partial_eta2', effect=partial_eta2(f, df1, df2), ci_low=low, ci_high=high,
        method=method, extra=extra | _verdict(p_before, p, alpha),
    )  # fmt: skip


def robustness_rows(
    model: FittedModel, study: Study, term: str, rng: np.random.Generator
) -> Iterator[Row]:
    """Yield the tests of a term with fewer assumptions."""
    alpha, n = study.model.alpha, len(model.sample.frame)
    _, p_before, _, _ = _group_p(model, study, term)
    f, df1, df2 = robust_f(model, term)
    p = f_survival(f, df1, df2)
    low, high = partial_eta2_confidence(f, df1, df2, n, study.model.confidence)
    yield model.row(
        'hc3', term=term, statistic='F', value=f, df1=df1, df2=df2, p_unc=p,
        effect_name='partial_eta2', effect=partial_eta2(f, df1, df2), ci_low=low, ci_high=high,
        method='Wald test with the HC3 covariance; partial eta squared from its F',
        extra=_verdict(p_before, p, alpha),
    )  # fmt: skip
    yield without_influential(model, study, term)
    draws = int(study.model.content['Permutations'])
    if draws:
        f, p = permutation_p(model.design.X, model.y, list(model.design.terms[term]), draws, rng)
        low, high = partial_eta2_confidence(f, df1, df2, n, study.model.confidence)
        yield model.row(
            'permutation', term=term, statistic='F permuted', value=f, df1=df1, df2=df2, p_unc=p,
            effect_name='partial_eta2', effect=partial_eta2(f, df1, df2), ci_low=low,
            ci_high=high,
            method=f'Freedman-Lane permutation of residuals, {draws} at random',
            extra={'n_resamples': draws, **_verdict(p_before, p, alpha)},
        )  # fmt: skip


def diagnostics(
    study: Study, earlier: Mapping[str, pd.DataFrame], rng: np.random.Generator
) -> list[Row]:
    """Check assumptions and robustness of the group effect on structure and metabolites."""
    del earlier
    rows: list[Row] = []
    terms = ['group', *study.model.covariate_names]
    measures = [*structure_measures(study), *(measure for measure, _ in roles(study))]
    for model in each_model(study, 'diagnostics', measures, terms, ['group'], rows):
        rows += assumption_rows(model)
        rows += robustness_rows(model, study, 'group', rng)
    return rows
