"""Which groups differ: pairwise t tests and planned contrasts of a response."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Unpack

import numpy as np
import pandas as pd

from bids_acc.group.formulas.inference import (
    d_confidence,
    d_from_t,
    noncentrality_of_t,
    small_sample_factor,
)
from bids_acc.group.formulas.linear import contrast_test
from bids_acc.group.formulas.two_samples import pooled_sd, student
from bids_acc.group.statistics.analyses.modelling import FittedModel, each_model
from bids_acc.group.statistics.analyses.replication import nothing_retained, retained_responses
from bids_acc.group.statistics.analyses.small import (
    is_small,
    permuted_contrast,
    permuted_means_rows,
)
from bids_acc.group.statistics.rows.kinds import Effect, TTest
from bids_acc.group.statistics.rows.row import Row, Told
from bids_acc.group.statistics.study.data import Study, named_measures, structure_measures
from bids_acc.typing import FloatArray


def contrast_vector(model: FittedModel, weights: Mapping[str, float]) -> FloatArray:
    """Return a contrast of adjusted group means as weights of the coefficients.

    Parameters
    ----------
    model : FittedModel
        With ``group``.
    weights : mapping of str to float
        Weight of each group; they sum to zero.

    Returns
    -------
    (p,) ndarray of float64
        In the order of the columns of the design.
    """
    design = model.design
    parts = [w * design.level_weights('group', v) for v, w in weights.items()]
    vector: FloatArray = np.sum(parts, axis=0)
    return vector


def adjusted_rows(
    model: FittedModel,
    weights: Mapping[str, float],
    label: str,
    study: Study,
    rng: np.random.Generator,
    **told: Unpack[Told],
) -> list[Row]:
    """Return the test of a contrast of adjusted means; of small groups by permutation.

    Parameters
    ----------
    model : FittedModel
        With ``group``.
    weights : mapping of str to float
        Weight of each group; they sum to zero.
    label : str
        For the column ``contrast``.
    study : Study
        Levels, and what is small.
    rng : Generator
        Permutes residuals.
    **told : Told
        Cells that differ from those of `vector_row`.

    Returns
    -------
    list of Row
        One row, or the permutation with the t test as its supplement.
    """
    vector = contrast_vector(model, weights)
    row = vector_row(model, vector, label, study, **told)
    return vector_or_permutation(row, model, vector, weights, study, rng)


def vector_or_permutation(
    row: Row,
    model: FittedModel,
    vector: FloatArray,
    weights: Mapping[str, float],
    study: Study,
    rng: np.random.Generator,
) -> list[Row]:
    """Return the t test of a contrast, or of a small group the permutation with it.

    Parameters
    ----------
    row : Row
        The t test.
    model : FittedModel
        Its model.
    vector : (p,) ndarray of float64
        Weights of the coefficients.
    weights : mapping of str to float
        Weight of each group; those of zero may be small.
    study : Study
        Says what is small (``ExactBelow``).
    rng : Generator
        Permutes residuals.

    Returns
    -------
    list of Row
        ``row`` alone, or the permutation with ``row`` as its supplement.
    """
    # a small group that the contrast gives no weight adds to the residual variance only
    compared = {v: n for v, n in model.sample.n_per_group.items() if weights.get(v)}
    # groups that are large: the t distribution is safe, and permutation would only add noise to p
    if min(compared.values(), default=0) >= study.model.content['ExactBelow']:
        return [row]
    return permuted_contrast(row, model, study, vector, rng)


def adjusted_row(
    model: FittedModel,
    weights: Mapping[str, float],
    label: str,
    study: Study,
    **told: Unpack[Told],
) -> Row:
    """Return the t test of a contrast of adjusted group means, see `vector_row`.

    Parameters
    ----------
    model : FittedModel
        With ``group``.
    weights : mapping of str to float
        Weight of each group; they sum to zero.
    label : str
        For the column ``contrast``.
    study : Study
        Gives the level of the interval.
    **told : Told
        Cells that differ from those of `vector_row`.

    Returns
    -------
    Row
        The test.
    """
    return vector_row(model, contrast_vector(model, weights), label, study, **told)


def vector_row(
    model: FittedModel, vector: FloatArray, label: str, study: Study, **told: Unpack[Told]
) -> Row:
    """Return the t test of a difference of means, given in coefficients of the design.

    The effect is the difference divided by the residual standard deviation, with Hedges'
    factor; its interval inverts the noncentral t.

    Parameters
    ----------
    model : FittedModel
        The model.
    vector : (p,) ndarray of float64
        Weights of the coefficients.
    label : str
        For the column ``contrast``.
    study : Study
        Gives the level of the interval.
    **told : Told
        Cells that replace those of this function.

    Returns
    -------
    Row
        ``extra`` has the difference, its standard error and the residual standard deviation,
        in units of the response.
    """
    test = contrast_test(model.fit, vector)
    sigma, factor = model.fit.sigma, small_sample_factor(test.df)
    low, high = noncentrality_of_t(test.t, test.df, study.model.confidence)
    # limits of the noncentrality are in units of t; the factor turns them into those of the
    # effect, so that interval and test agree
    scale = test.se / sigma * factor
    row: Told = {
        'analysis': 'posthoc', 'term': 'group', 'contrast': label,
        'test': TTest(value=test.t, df2=test.df, p=test.p),
        'effect': Effect('hedges_g_adjusted', test.estimate / sigma * factor, low * scale,
                         high * scale),
        'extra': {'estimate': test.estimate, 'se': test.se, 'sd_residual': sigma},
    }  # fmt: skip
    return model.row(**(row | told))


def plain_rows(
    model: FittedModel, pair: tuple[str, str], study: Study, rng: np.random.Generator
) -> list[Row]:
    """Return the two-sample t test of one pair, of small groups the permutation of means.

    Parameters
    ----------
    model : FittedModel
        Its sample is compared, without the covariates.
    pair : (str, str)
        Groups; the difference is the first minus the second.
    study : Study
        Levels, and what is small.
    rng : Generator
        Permutations of the means.

    Returns
    -------
    list of Row
        One row, or the permutation with the t test as its supplement.
    """
    row = plain_row(model, pair, study)
    frame, name = model.sample.frame, model.sample.measure.name
    a, b = (frame.loc[frame['group'] == level, name].to_numpy(dtype=float) for level in pair)
    return permuted_means_rows(row, a, b, study, rng) if is_small(study, row) else [row]


def plain_row(model: FittedModel, pair: tuple[str, str], study: Study) -> Row:
    """Return the two-sample t test of one pair, without covariates.

    Parameters
    ----------
    model : FittedModel
        Its sample is compared, without the covariates.
    pair : (str, str)
        Groups; the difference is the first minus the second.
    study : Study
        Gives the level of the interval.

    Returns
    -------
    Row
        Hedges' g with the interval of the noncentral t.
    """
    frame, name = model.sample.frame, model.sample.measure.name
    values = [frame.loc[frame['group'] == level, name].to_numpy(dtype=float) for level in pair]
    test, pooled = student(*values), pooled_sd(*values)
    t, df = test.value, test.df2
    n_a, n_b = map(len, values)
    low, high = d_confidence(t, n_a, n_b, study.model.confidence, hedges=True)
    difference = float(values[0].mean() - values[1].mean())
    return model.sample.row(
        analysis='posthoc_plain',
        term='group',
        contrast=' - '.join(pair),
        test=TTest(value=t, df2=df, p=test.p),
        n=n_a + n_b,
        n_per_group=dict(zip(pair, (n_a, n_b), strict=True)),
        effect=Effect('hedges_g', d_from_t(t, n_a, n_b) * small_sample_factor(df), low, high),
        family='posthoc_plain',
        formula=f'{name} ~ group',
        method="Student's two-sample t test with pooled variance, no covariates",
        extra={
            'estimate': difference,
            'se': float(pooled * np.sqrt(1 / n_a + 1 / n_b)),
            'sd_residual': pooled,
        },
    )


def posthoc(
    study: Study, earlier: Mapping[str, pd.DataFrame], rng: np.random.Generator
) -> list[Row]:
    """Compare pairs of groups in the responses that passed the replication rule.

    Parameters
    ----------
    study : Study
        Data and model (``PostHoc``).
    earlier : mapping of str to DataFrame
        Table ``ancova``, by which responses are retained.
    rng : Generator
        Permutations of small samples.

    Returns
    -------
    list of Row
        Two rows a pair: adjusted means, and without covariates.
    """
    retained = retained_responses(earlier.get('ancova'), study.model)
    measures = [m for m in structure_measures(study) if m.name in retained]
    rows = nothing_retained('posthoc', earlier.get('ancova'), study.model, retained)
    terms = ['group', *study.model.covariate_names]
    which = study.model.content['PostHoc']['Pairs']
    for model in each_model(study, 'posthoc', measures, terms, ['group'], rows):
        note = retained[model.sample.measure.name]
        for a, b in study.model.group.pairs(which, list(model.design.levels['group'])):
            rows += adjusted_rows(
                model,
                {a: 1.0, b: -1.0},
                f'{a} - {b}',
                study,
                rng,
                family='posthoc',
                method='t test of the difference of covariate-adjusted means, pooled '
                'residual variance',
                note=note,
            )
            rows += plain_rows(model, (a, b), study, rng)
    return rows


def planned_contrasts(
    study: Study, earlier: Mapping[str, pd.DataFrame], rng: np.random.Generator
) -> list[Row]:
    """Test the model's planned contrasts in every response, without a gate.

    Parameters
    ----------
    study : Study
        Data and model (``Contrasts``).
    earlier : mapping of str to DataFrame
        Not used: this step looks at no other.
    rng : Generator
        Permutes residuals where a weighted group is small.

    Returns
    -------
    list of Row
        One row a contrast, response and cohort.
    """
    del earlier
    if not study.model.contrasts:
        return []
    rows: list[Row] = []
    terms = ['group', *study.model.covariate_names]
    measures = named_measures(study)
    for model in each_model(study, 'contrasts', measures, terms, ['group'], rows):
        present = set(model.design.levels['group'])
        for contrast in study.model.contrasts:
            absent = sorted(set(contrast.weights) - present)
            if absent:
                rows.append(
                    model.row(
                        analysis='contrasts',
                        contrast=contrast.name,
                        note='not done: fewer than two participants in ' + ', '.join(absent),
                    )
                )
                continue
            text = ', '.join(f'{level} {w:+g}' for level, w in contrast.weights.items())
            rows += adjusted_rows(
                model,
                contrast.weights,
                contrast.name,
                study,
                rng,
                analysis='contrasts',
                family='contrasts',
                method=f'contrast of covariate-adjusted means: {text}',
            )
    return rows
