"""Rows of the table ``evidence``: how far the data speak for no difference and no relation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from bids_acc.group.formulas.evidence import (
    bayes_factor_r,
    bayes_factor_t,
    correlation_equivalence_p,
    equivalence_p,
    evidence_words,
)
from bids_acc.group.formulas.inference import one_sided_level, r_confidence
from bids_acc.group.formulas.linear import ContrastTest, contrast_test
from bids_acc.group.statistics.analyses.modelling import FittedModel, each_model
from bids_acc.group.statistics.analyses.posthoc import contrast_vector
from bids_acc.group.statistics.rows.kinds import Effect, StatisticalTest
from bids_acc.group.statistics.rows.row import Row, Told
from bids_acc.group.statistics.study.data import Study, named_measures


def evidence(
    study: Study, earlier: Mapping[str, pd.DataFrame], rng: np.random.Generator
) -> list[Row]:
    """Test every pair of groups and every relation for equivalence, and weigh the evidence.

    Differences are of covariate-adjusted means in every response that the model names, without a
    gate: absence can be asked where nothing was found.

    Parameters
    ----------
    study : Study
        Data and model.
    earlier : mapping of str to DataFrame
        Tables ``relation`` and ``clinical``.
    rng : Generator
        Not used: nothing here is random.

    Returns
    -------
    list of Row
        Equivalence tests and Bayes factors, beside the estimate that they are of.
    """
    del rng
    rows: list[Row] = []
    terms = ['group', *study.model.covariate_names]
    for model in each_model(study, 'evidence', named_measures(study), terms, ['group'], rows):
        levels = list(model.design.levels['group'])
        for a, b in study.model.group.pairs('all', levels):
            weights = {a: 1.0, b: -1.0}
            test = contrast_test(model.fit, contrast_vector(model, weights))
            rows += _difference_rows(study, model, test, f'{a} - {b}')
    for name in ('relation', 'clinical'):
        table = earlier.get(name)
        if table is not None:
            rows += _relation_rows(study, table)
    return rows


def _difference_rows(
    study: Study, model: FittedModel, test: ContrastTest, contrast: str
) -> Iterator[Row]:
    """Yield the equivalence test, where a bound was declared, and the Bayes factor of a pair."""
    wanted, sigma = study.model.content['Evidence'], model.fit.sigma
    level = one_sided_level(study.model.confidence)
    # the interval at 1 - 2 alpha, which lies within the bounds exactly when both one-sided tests
    # reject
    half = float(stats.t.ppf((1 + level) / 2, test.df)) * test.se
    told: Told = {
        'term': 'group', 'contrast': contrast,
        'effect': Effect('difference_in_sd', test.estimate / sigma,
                         (test.estimate - half) / sigma, (test.estimate + half) / sigma),
    }  # fmt: skip
    bound = wanted['SmallestDifference']
    if bound is not None:
        p = equivalence_p(test.estimate, test.se, test.df, bound * sigma)
        distance = (bound * sigma - abs(test.estimate)) / test.se
        equivalence: Told = {
            'analysis': 'equivalence', 'family': 'equivalence',
            'test': StatisticalTest(statistic='t one-sided', value=distance, df2=test.df, p=p),
            'method': f'two one-sided t tests against {bound:g} SD; {100 * level:g} % interval',
        }  # fmt: skip
        yield model.row(**(told | equivalence))
    # the effective n of a contrast at equal covariates: with that of the raw groups, collinear
    # covariates would count as evidence
    bf10 = bayes_factor_t(test.t, test.df, (sigma / test.se) ** 2, wanted['PriorScale'])
    bayes: Told = {
        'analysis': 'bayes_factor', 'note': evidence_words(bf10),
        'test': StatisticalTest(statistic='BF10', value=bf10, df2=test.df),
        'method': f'JZS Bayes factor, Cauchy prior of scale {wanted["PriorScale"]:.3g}',
        'extra': {'bf01': 1 / bf10},
    }  # fmt: skip
    yield model.row(**(told | bayes))


def _relation_rows(study: Study, table: pd.DataFrame) -> Iterator[Row]:
    """Yield the same for the relations of a table that have a (partial) correlation."""
    wanted = study.model.content['Evidence']
    level = one_sided_level(study.model.confidence)
    # the t beside a permutation is of the same relation: it would be weighed twice
    supplement = table['analysis'].astype(str).str.endswith(('_t', '_f'))  # of a permutation
    for _, row in table[table['p_unc'].notna() & ~supplement].iterrows():
        r = row.get('partial_r')
        if r is None or not np.isfinite(r):
            if row['effect_name'] not in ('r', 'partial_r'):
                continue
            r = row['effect']
        df = float(row['df2'])
        low, high = r_confidence(float(r), df, level)
        counts = [c.rsplit('=', 1) for c in str(row['n_per_group']).split(';') if '=' in c]
        relation: dict[str, Any] = {
            'cohort': row['cohort'], 'response': row['response'], 'metric': row['metric'],
            'component': None if pd.isna(row['component']) else int(row['component']),
            'term': row['term'], 'contrast': row['contrast'], 'n': int(row['n']),
            'n_per_group': {name: int(n) for name, n in counts}, 'formula': row['formula'],
            'covariates': tuple(filter(None, str(row['covariates'] or '').split(', '))),
            'effect': Effect('partial_correlation', float(r), low, high),
        }  # fmt: skip
        bound = wanted['SmallestCorrelation']
        if bound is not None:
            yield Row(
                analysis='equivalence', family='equivalence',
                test=StatisticalTest(
                    statistic='z one-sided', df2=df,
                    value=(np.arctanh(bound) - abs(np.arctanh(r))) * np.sqrt(df - 1),
                    p=correlation_equivalence_p(float(r), df, bound),
                ),
                method=f"two one-sided tests against r = {bound:g} on Fisher's scale; "
                f'{100 * level:g} % interval', **relation,
            )  # fmt: skip
        bf10 = bayes_factor_r(float(r), df)
        yield Row(
            analysis='bayes_factor', note=evidence_words(bf10),
            test=StatisticalTest(statistic='BF10', value=bf10, df2=df),
            method='JZS Bayes factor of a slope, scale sqrt(2)/4', extra={'bf01': 1 / bf10},
            **relation,
        )  # fmt: skip
