"""The methods section tells of each further analysis that was done, and of none that was not."""

from __future__ import annotations

import pandas as pd
import pytest

from bids_acc.group.page.further_methods import CHECKS, further_sentences, rows_with_tests
from bids_acc.group.statistics.model.declaration import read_model


def rows(*analyses: str, p: float | None = 0.5, **columns: str) -> pd.DataFrame:
    return pd.DataFrame({'analysis': list(analyses), 'p_unc': p, **columns})


def said(tables: dict[str, pd.DataFrame], **content: object) -> str:
    model = read_model('acc-structure')
    model.content.update(content)
    return ' '.join(further_sentences(model, tables))


@pytest.mark.parametrize(
    ('tables', 'words'),
    [
        ({'relation': rows('relation')},
         'of the parcels whose effect of group was significant in every cohort was tested with'),
        ({'relation': rows('relation'), 'partialcorr': rows('partialcorr')},
         'with and without group partialled out; so selected, they are too large'),
        ({'meta': rows('per site', 'meta-analysis', method='common-effect meta-analysis')},
         'interaction of group and cohort, and summarised by common-effect meta-analysis.'),
        ({'meta': rows('after ComBat', method='linear model')}, 'after ComBat of cohort'),
        ({'zscores': rows('zscores', method='z by mean and SD of HC in the cohort; Welch')},
         'Distances from the norm: z by mean and SD of HC in the cohort.'),
        ({'mixture': rows('mixture')}, 'parametric bootstraps'),
        ({'evidence': rows('bayes_factor', p=None)}, 'of scale 0.707 for differences'),
        ({'diagnostics': rows(*CHECKS)},
         'MM regression (Yohai 1987) and the largest change by any one participant.'),
        ({'qc_by_group': rows('quality')}, 'quality were compared between the same groups'),
        ({'sensitivity': rows('gate_off', 'gate_alone')},
         'with the quality gates off and with single criteria alone.'),
    ],
)  # fmt: skip
def test_what_was_done_is_said(tables, words):
    assert words in said(tables)


@pytest.mark.parametrize(
    'name', ['relation', 'contrasts', 'meta', 'zscores', 'mixture', 'prediction', 'qc_by_group']
)
def test_a_row_that_says_not_done_makes_no_sentence(name):
    assert said({name: rows(name, p=None, method='linear model')}) == ''
    assert said({}) == said({name: pd.DataFrame()}) == ''


def test_what_was_asked_for_is_named():
    contrasts = [{'Name': 'dose', 'Weights': {}}, {'Name': 'illness', 'Weights': {}}]
    text = said({'contrasts': rows('contrasts')}, Contrasts=contrasts)
    assert 'Planned contrasts (dose and illness) of means' in text
    bounds = {'SmallestDifference': 0.5, 'SmallestCorrelation': None, 'PriorScale': 0.7}
    text = said({'evidence': rows('equivalence')}, Evidence=bounds)
    assert (
        'Equivalence was tested by two one-sided tests (Schuirmann 1987) against 0.5 SD, with'
        in text
    )
    wanted = {'Outcome': 'response', 'Predictors': [f'm{i}' for i in range(8)], 'Folds': 5,
              'Repeats': 20, 'LeaveSiteOut': True, 'Permutations': 999}  # fmt: skip
    text = said({'prediction': rows('prediction')}, Prediction=wanted)
    assert 'predicted from m0, m1, m2, m3, m4, m5 and 2 more by ridge-penalised' in text
    assert '(5 folds, 20 times and leaving one site out at a time; penalty' in text
    assert 'permutation of the outcome (999 times)' in text


def test_rows_without_a_test_are_none():
    assert list(rows_with_tests({'meta': rows('a', 'b', p=0.1)}, 'meta')['analysis']) == ['a', 'b']
    assert rows_with_tests({}, 'meta').empty
