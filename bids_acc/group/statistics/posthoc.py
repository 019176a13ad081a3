"""Which groups differ: pairwise t tests and planned contrasts of a response."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from bids_acc.group.formulas.inference import (
    d_confidence,
    d_from_t,
    noncentrality_of_t,
    small_sample_factor,
)
from bids_acc.group.formulas.linear import contrast_test, t_two_sided
from bids_acc.group.statistics.ancova import structure_measures
from bids_acc.group.statistics.modelling import FittedModel, each_model
from bids_acc.group.statistics.replication import nothing_retained, retained_responses
from bids_acc.group.statistics.rows import Row
from bids_acc.group.statistics.study import Study


def adjusted_row(
    model: FittedModel, weights: Mapping[str, float], label: str, study: Study, **cells: object
) -> Row:
    """Return the t test of a contrast of adjusted group means.

    The effect is the difference divided by the residual standard deviation, with Hedges'
    factor; its interval inverts the noncentral t.
    """
    vector = np.sum(
        [w * model.design.level_weights('group', level) for level, w in weights.items()], axis=0
    )
    test = contrast_test(model.fit, vector)
    sigma, factor = model.fit.sigma, small_sample_factor(test.df)
    low, high = noncentrality_of_t(test.t, test.df, study.model.confidence)
    scale = test.se / sigma * factor
    return model.row(
        str(cells.pop('analysis', 'posthoc')),
        term='group',
        contrast=label,
        statistic='t',
        value=test.t,
        df2=test.df,
        effect_name='hedges_g_adjusted',
        effect=test.estimate / sigma * factor,
        ci_low=low * scale,
        ci_high=high * scale,
        p_unc=test.p,
        extra={'estimate': test.estimate, 'se': test.se, 'sd_residual': sigma},
        **cells,
    )


def student_t(a: np.ndarray, b: np.ndarray) -> tuple[float, float, float]:
    """Return Student's t of a - b, its degrees of freedom and the pooled standard deviation."""
    n_a, n_b = len(a), len(b)
    df = n_a + n_b - 2
    pooled = np.sqrt((a.var(ddof=1) * (n_a - 1) + b.var(ddof=1) * (n_b - 1)) / df)
    se = pooled * np.sqrt(1 / n_a + 1 / n_b)
    return float((a.mean() - b.mean()) / se) if se > 0 else float('nan'), df, float(pooled)


def plain_row(model: FittedModel, pair: tuple[str, str], study: Study) -> Row:
    """Return the two-sample t test of one pair, without covariates."""
    frame, name = model.sample.frame, model.sample.measure.name
    values = [frame.loc[frame['group'] == level, name].to_numpy(dtype=float) for level in pair]
    t, df, pooled = student_t(values[0], values[1])
    n_a, n_b = map(len, values)
    low, high = d_confidence(t, n_a, n_b, study.model.confidence, hedges=True)
    difference = float(values[0].mean() - values[1].mean())
    return model.sample.row(
        'posthoc_plain',
        term='group',
        contrast=' - '.join(pair),
        statistic='t',
        value=t,
        df2=df,
        n=n_a + n_b,
        n_per_group=dict(zip(pair, (n_a, n_b), strict=True)),
        effect_name='hedges_g',
        effect=d_from_t(t, n_a, n_b) * small_sample_factor(df),
        ci_low=low,
        ci_high=high,
        p_unc=t_two_sided(t, df),
        family='posthoc_plain',
        formula=f'{name} ~ group',
        method="Student's two-sample t test with pooled variance, no covariates",
        extra={
            'estimate': difference,
            'se': difference / t if t else np.nan,
            'sd_residual': pooled,
        },
    )


def posthoc(
    study: Study, earlier: Mapping[str, pd.DataFrame], rng: np.random.Generator
) -> list[Row]:
    """Compare pairs of groups in the responses that passed the replication rule."""
    del rng
    retained = retained_responses(earlier.get('ancova'), study.model)
    measures = [m for m in structure_measures(study) if m.name in retained]
    rows = nothing_retained('posthoc', earlier.get('ancova'), study.model, retained)
    terms = ['group', *study.model.covariate_names]
    which = study.model.content['PostHoc']['Pairs']
    for model in each_model(study, 'posthoc', measures, terms, ['group'], rows):
        note = retained[model.sample.measure.name]
        for a, b in study.model.group.pairs(which, list(model.design.levels['group'])):
            rows.append(
                adjusted_row(
                    model,
                    {a: 1.0, b: -1.0},
                    f'{a} - {b}',
                    study,
                    family='posthoc',
                    method='t test of the difference of covariate-adjusted means, pooled '
                    'residual variance',
                    note=note,
                )
            )
            rows.append(plain_row(model, (a, b), study))
    return rows


def planned_contrasts(
    study: Study, earlier: Mapping[str, pd.DataFrame], rng: np.random.Generator
) -> list[Row]:
    """Test the model's planned contrasts in every response, without a gate."""
    del earlier, rng
    if not study.model.contrasts:
        return []
    rows: list[Row] = []
    terms = ['group', *study.model.covariate_names]
    measures = [*structure_measures(study), *study.measures_of('metabolite', 'ratio')]
    for model in each_model(study, 'contrasts', measures, terms, ['group'], rows):
        present = set(model.design.levels['group'])
        for contrast in study.model.contrasts:
            absent = sorted(set(contrast.weights) - present)
            if absent:
                rows.append(
                    model.row(
                        'contrasts',
                        contrast=contrast.name,
                        note=f'not done: no participant in {", ".join(absent)}',
                    )
                )
                continue
            text = ', '.join(f'{level} {w:+g}' for level, w in contrast.weights.items())
            rows.append(
                adjusted_row(
                    model,
                    contrast.weights,
                    contrast.name,
                    study,
                    analysis='contrasts',
                    family='contrasts',
                    method=f'contrast of covariate-adjusted means: {text}',
                )
            )
    return rows
