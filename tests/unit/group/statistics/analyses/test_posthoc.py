"""Pairs of groups, planned contrasts, and tables of counts and means."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bids_acc.group.statistics.analyses.demographics import compare_categorical, compare_continuous
from bids_acc.group.statistics.analyses.posthoc import planned_contrasts, posthoc
from bids_acc.group.statistics.model.declaration import parse_model
from bids_acc.group.statistics.rows.row import disagreement
from bids_acc.group.statistics.study.joining import make_study

LEVELS = ['HC', 'FL', 'TRS']
SIZES = (14, 11, 9)


@pytest.fixture
def people(rng):
    n = sum(SIZES)
    return pd.DataFrame({
        'participant_id': [f'sub-{i:02d}' for i in range(n)],
        'group': np.repeat(LEVELS, SIZES),
        'age': rng.normal(40, 9, n), 'sex': rng.choice(['F', 'M'], n),
        'panss': np.where(np.repeat(LEVELS, SIZES) == 'HC', np.nan, rng.normal(60, 9, n)),
    })  # fmt: skip


def study_of(people, rng, **model):
    parcels = pd.DataFrame({
        'participant_id': people['participant_id'], 'component': 1, 'metric': 'thickness',
        'value': rng.normal(3, 0.2, len(people)),
    })  # fmt: skip
    content = {'Name': 'm', 'Group': {'Column': 'group', 'Levels': LEVELS},
               'Covariates': [{'Name': 'age'}], 'Replication': {'Rule': 'none'}}  # fmt: skip
    return make_study(parse_model({**content, **model}), parcels, None, people)


TESTED = {'ancova': pd.DataFrame({'response': ['thickness_c1'], 'term': ['group'],
                                  'cohort': ['all']})}  # fmt: skip


def test_plain_pairs_are_two_sample_t_tests(people, rng):
    study = study_of(people, rng)
    rows = [row for row in posthoc(study, TESTED, rng) if row.analysis == 'posthoc_plain']
    assert [row.contrast for row in rows] == ['FL - HC', 'TRS - HC', 'TRS - FL']
    base = study.baseline
    for row in rows:
        a, b = (base.loc[base['group'] == g, 'thickness_c1'] for g in row.contrast.split(' - '))
        expected = stats.ttest_ind(a, b)
        assert (row.test.value, row.test.p) == pytest.approx((expected.statistic, expected.pvalue))
        assert row.test.df2 == len(a) + len(b) - 2
        assert row.extra['estimate'] == pytest.approx(a.mean() - b.mean())


def test_adjusted_pairs_share_the_residual_variance(people, rng):
    rows = [r for r in posthoc(study_of(people, rng), TESTED, rng) if r.analysis == 'posthoc']
    assert len({row.extra['sd_residual'] for row in rows}) == 1
    assert {row.test.df2 for row in rows} == {sum(SIZES) - 3 - 1}
    one, two, three = (row.extra['estimate'] for row in rows)
    assert three == pytest.approx(two - one)


def test_pairs_can_be_against_the_reference_only(people, rng):
    study = study_of(people, rng, PostHoc={'Pairs': 'reference'})
    contrasts = {row.contrast for row in posthoc(study, TESTED, rng)}
    assert contrasts == {'FL - HC', 'TRS - HC'}


def test_nothing_is_compared_when_nothing_was_retained(people, rng):
    study = study_of(people, rng, Replication={'Rule': 'every'})
    table = TESTED['ancova'].assign(p_corrected=0.2)
    (row,) = posthoc(study, {'ancova': table}, rng)
    assert row.note == ('not done: no response has p_corrected <= 0.05 for group in every cohort')
    assert posthoc(study, {}, rng) == []


def test_planned_contrast_and_a_group_that_is_not_there(people, rng):
    weights = {'HC': -1, 'FL': 0.5, 'TRS': 0.5}
    model = {'Contrasts': [{'Name': 'patients - controls', 'Weights': weights}]}
    (row,) = planned_contrasts(study_of(people, rng, **model), {}, rng)
    assert row.contrast == 'patients - controls'
    assert disagreement(row) is None
    (row,) = planned_contrasts(study_of(people[people['group'] != 'FL'], rng, **model), {}, rng)
    assert row.note == 'not done: fewer than two participants in FL'
    assert np.isnan(row.test.p)


def test_a_column_of_two_groups_only_is_compared_between_them(people, rng):
    study = study_of(people, rng)
    row = compare_continuous(study, 'all', study.baseline, 'panss', 'x', '')
    assert row.contrast == 'TRS - FL'
    assert row.test.statistic == 't'
    assert row.note == 'fewer than two values in HC'
    assert row.excluded == {'panss missing': 14}
    assert disagreement(row) is None


def test_text_in_a_numeric_column_is_counted(people, rng):
    people['age_onset'] = [*['n/a', 'unknown'], *range(20, 20 + len(people) - 2)]
    study = study_of(people, rng)
    row = compare_continuous(study, 'all', study.baseline, 'age_onset', 'x', '')
    assert row.excluded == {'age_onset missing': 1, 'age_onset no number': 1}
    assert row.n == len(people) - 2


def test_small_cells_get_an_exact_test(people, rng):
    study = study_of(people, rng)
    base = study.baseline
    hand = base.assign(hand=['left', *['right'] * (len(base) - 1)])
    chi2, exact = compare_categorical(study, 'all', hand, 'hand', rng)
    assert 'prefer the exact test' in chi2.note
    assert exact.analysis == 'demographics_exact'
    assert disagreement(chi2) is None
    (row,) = compare_categorical(study, 'all', base.assign(hand='right'), 'hand', rng)
    assert row.note.startswith('not done')


def test_numbers_as_levels_read_like_text(people, rng):
    coded = people.assign(group=people['group'].map({'HC': 0.0, 'FL': 1.0, 'TRS': 2.0}))
    study = study_of(coded, rng, Group={'Column': 'group', 'Levels': ['0', '1', '2']})
    assert study.group_levels(study.baseline) == ['0', '1', '2']
