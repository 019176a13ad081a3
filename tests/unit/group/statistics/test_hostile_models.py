"""Models and tables that cannot be what somebody meant: one sentence, or the rest is done."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bids_acc.exceptions import InputDataError
from bids_acc.group.statistics.model.declaration import parse_model
from bids_acc.group.statistics.run import run_statistics
from bids_acc.group.statistics.study.flow import flow_notes
from bids_acc.group.statistics.study.odd_columns import column_notes

LEVELS = ('HC', 'FL', 'TRS')
MODEL = {
    'Name': 'hostile', 'Group': {'Column': 'group', 'Levels': list(LEVELS)},
    'Covariates': [{'Name': 'age'}], 'Mrs': {'Primary': ['Glu'], 'Relation': None},
    'Clinical': {'Scores': ['panss_total'], 'Responses': 'all'},
    'Mixture': {'Measures': []}, 'Permutations': 19, 'Replication': {'Rule': 'none'},
}  # fmt: skip


def cohort(rng, n=36):
    group = np.resize(LEVELS, n)
    return pd.DataFrame({
        'participant_id': [f'sub-{i:02d}' for i in range(n)], 'group': group,
        'age': rng.normal(38, 9, n).round(1),
        'panss_total': np.where(group == 'HC', np.nan, rng.normal(70, 12, n).round()),
    })  # fmt: skip


def run(frame, rng, **changes):
    glu = pd.DataFrame({
        'participant_id': frame['participant_id'], 'voxel': 'ACC', 'metabolite': 'Glu',
        'unit_scheme': 'ratio_tcr', 'value': rng.normal(1.3, 0.1, len(frame)), 'crlb_pct': 8.0,
        'gate': 'pass',
    })  # fmt: skip
    model = parse_model({**MODEL, **changes})
    return run_statistics(model, None, glu, frame, None, rng)


def alone(frame):
    """Leave one person in the group FL."""
    return frame.drop(index=frame.index[frame['group'] == 'FL'][1:]).reset_index(drop=True)


def test_a_group_of_one_does_not_stop_the_others(rng):
    rows = run(alone(cohort(rng)), rng)['mrs_group']
    adjusted = rows[rows['analysis'] == 'mrs_adjusted']
    assert list(adjusted['contrast']) == ['TRS - HC']
    assert list(adjusted['n_per_group']) == ['HC=12;TRS=12']
    assert list(adjusted['excluded']) == ['alone in the group=1']
    assert adjusted['note'].str.contains('without group FL: fewer than two').all()
    assert np.isfinite(adjusted['p_unc']).all()


def test_a_score_of_patients_is_related_within_them_without_any_rule(rng):
    rows = run(cohort(rng), rng)['clinical']
    within = rows[rows['contrast'] == 'within groups']
    assert np.isfinite(within['p_unc']).all()
    assert set(within['n_per_group']) == {'FL=12;TRS=12'}
    assert within['note'].str.contains('without group HC').all()


def test_a_planned_contrast_of_a_group_of_one_says_so(rng):
    frame = alone(cohort(rng))
    planned = [{'Name': 'ill', 'Weights': {'HC': -1, 'FL': 0.5, 'TRS': 0.5}}]
    notes = run(frame, rng, Contrasts=planned)['contrasts']['note']
    assert notes.str.contains('not done: fewer than two participants in FL').all()


def test_two_groups_of_one_leave_nothing_to_compare(rng):
    frame = alone(cohort(rng))
    frame = frame.drop(index=frame.index[frame['group'] == 'TRS'][1:]).reset_index(drop=True)
    rows = run(frame, rng)['mrs_group']
    assert rows['note'].str.contains('FL, TRS has fewer than two').any()
    assert rows.loc[rows['analysis'].isin(['mrs_ancova', 'mrs_adjusted']), 'p_unc'].isna().all()


@pytest.mark.parametrize(
    ('column', 'cells', 'says'),
    [
        ('age', lambda v: str(v).replace('.', ','), 'age of sub-00 .* decimal points'),
        ('age', lambda v: 'old' if v > 30 else v, "age of .* is 'old', .* write n/a"),
        ('age', lambda v: np.nan, 'age is empty in everybody'),
        ('panss_total', lambda v: 'n/a' if v != v else f'{v:.0f},5', 'panss_total of sub-01'),
    ],
)
def test_columns_that_are_no_numbers_are_refused(rng, column, cells, says):
    frame = cohort(rng)
    frame[column] = frame[column].astype(object).map(cells)
    with pytest.raises(InputDataError, match=says):
        run(frame, rng)


def test_cohorts_of_one_group_each_are_named(rng):
    frame = cohort(rng)
    frame['site'] = frame['group'].map({'HC': 'north', 'FL': 'south', 'TRS': 'east'})
    with pytest.raises(InputDataError, match=r'each cohort has one group only .*north has HC'):
        run(frame, rng, Cohort='site')


def test_what_does_not_vary_or_cannot_be_told_apart_is_said(rng):
    frame = cohort(rng).assign(bmi=22.0)
    frame['months'] = 12 * frame['age']
    notes = run(frame, rng, Covariates=[{'Name': 'bmi'}])['mrs_group']['note']
    assert notes.str.contains('bmi is the same in all 36 and was left out').any()
    both = [{'Name': 'age'}, {'Name': 'months'}]
    notes = run(frame, rng, Covariates=both)['mrs_group']['note']
    assert notes.str.contains('age and months are collinear').any()


def test_nobody_complete_is_said_with_the_reason(rng):
    frame = cohort(rng)
    frame.loc[frame['group'] != 'HC', 'age'] = np.nan
    frame['dose'] = np.where(frame['group'] == 'HC', np.nan, 300 + np.arange(36))
    both = [{'Name': 'age'}, {'Name': 'dose'}]
    notes = run(frame, rng, Covariates=both)['mrs_group']['note']
    assert notes.str.contains('nobody is complete .age missing in 24, dose missing in 12').any()


def test_groups_of_nobody_and_of_one_are_named(rng):
    flow = run(alone(cohort(rng)), rng)['flow']
    assert flow_notes(flow, ['HC', 'FL', 'TRS', 'TRSX']) == [
        'Nobody is in TRSX, which the model file names as groups.',
        'In no comparison of groups, with one person each: FL.',
    ]


def sites_of(frame, rng, glu, **more):
    """Compare groups in two sites of 36 people."""
    table = pd.DataFrame({
        'participant_id': frame['participant_id'], 'voxel': 'ACC', 'metabolite': 'Glu',
        'unit_scheme': 'ratio_tcr', 'value': glu, 'crlb_pct': 8.0, 'gate': 'pass',
    })  # fmt: skip
    sites = {'Column': 'site', 'Harmonise': 'combat', 'MinPerSite': 5, **more}
    model = parse_model({**MODEL, 'Covariates': [], 'Clinical': {'Scores': []}, 'Sites': sites})
    return run_statistics(model, None, table, frame, None, rng)


def test_a_site_whose_values_are_all_the_same_is_named(rng):
    """As users of ComBat report it: constant values of one site made everything NaN."""
    frame = cohort(rng).assign(site=['A'] * 12 + ['B'] * 12 + ['C'] * 12)
    glu = np.where(frame['site'] == 'B', 1.5, rng.normal(1.3, 0.1, 36))
    rows = sites_of(frame, rng, glu)['meta']
    assert not rows['note'].astype(str).str.contains('division|internal error').any()
    assert set(rows.loc[rows['analysis'] == 'per site', 'cohort']) == {'A', 'C'}
    mean = rows[rows['analysis'] == 'meta-analysis']
    assert mean['note'].str.contains('B left out: Glu is the same in everybody').all()
    assert np.isfinite(mean['effect']).all()


def test_groups_with_equal_means_have_a_standard_error(rng):
    frame = cohort(rng).assign(site=np.repeat(['A', 'B'], 18))
    frame = frame[frame['group'] != 'FL'].reset_index(drop=True)
    order = frame.groupby(['site', 'group']).cumcount().to_numpy()
    rows = sites_of(frame, rng, np.array([1.25, 1.5, 1.75])[order % 3], MinPerSite=4)['meta']
    site = rows[rows['analysis'] == 'per site']
    assert site['effect'].to_numpy() == pytest.approx(0, abs=1e-9)
    # pooled variance of [1.25, 1.5, 1.75] twice in each group of six
    assert site['se'].to_numpy() == pytest.approx(0.25 * np.sqrt(4 / 5) * np.sqrt(2 / 6), rel=1e-6)


def test_a_site_written_in_two_ways_is_not_two_sites(rng):
    frame = cohort(rng).assign(site=np.resize(['Site A', 'site a'], 36))
    rows = sites_of(frame, rng, rng.normal(1.3, 0.1, 36))
    assert rows['meta']['note'].str.contains('site is written as Site A and site a').any()


SEX = [{'Name': 'sex', 'Kind': 'categorical', 'Levels': ['M', 'F']}]


def with_sex(rng):
    """Return a cohort with a sex that has nothing to do with the groups."""
    return cohort(rng).assign(sex=np.resize(['M', 'M', 'F', 'F', 'F', 'M', 'F'], 36))


def test_levels_that_the_column_does_not_have_are_refused(rng):
    frame = with_sex(rng).replace({'sex': {'M': 1, 'F': 2}})
    with pytest.raises(InputDataError, match="sub-00 is '1', which is none of the Levels M"):
        run(frame, rng, Covariates=SEX)


def test_one_person_with_another_level_is_left_out_and_named(rng):
    frame = with_sex(rng)
    frame.loc[4, 'sex'] = 'X'
    rows = run(frame, rng, Covariates=SEX)['mrs_group']
    ancova = rows[rows['analysis'] == 'mrs_ancova']
    assert set(ancova['n']) == {35}
    assert ancova['excluded'].str.contains('sex missing=1').all()
    model = parse_model({**MODEL, 'Covariates': SEX})
    assert column_notes(frame, model, {}, [])[0].startswith('sex is X in sub-04, none of')


def test_levels_of_a_covariate_in_two_spellings_are_refused(rng):
    frame = with_sex(rng).assign(smoking=np.resize(['yes', 'no', 'Yes', 'no', 'no'], 36))
    smoking = [{'Name': 'smoking', 'Kind': 'categorical'}]
    with pytest.raises(InputDataError, match='smoking is written as Yes and yes'):
        run(frame, rng, Covariates=smoking)


@pytest.mark.parametrize('levels', [['FALSE', 'TRUE'], ['false', 'True'], ['0', '1']])
def test_groups_of_truth_values_are_found_as_the_model_spells_them(rng, levels):
    frame = cohort(rng).assign(patient=np.resize([True, False], 36).astype(object))
    frame.loc[0, 'patient'] = None
    rows = run(frame, rng, Group={'Column': 'patient', 'Levels': levels})['mrs_group']
    ancova = rows[rows['analysis'] == 'mrs_ancova']
    assert set(ancova['n_per_group']) == {f'{levels[0]}=18;{levels[1]}=17'}


@pytest.mark.parametrize('allowed', [[1], [1.0], ['1']])
def test_a_rule_finds_a_number_in_a_column_with_empty_cells(rng, allowed):
    frame = cohort(rng)
    frame['clozapine'] = [1, 0, np.nan] * 12
    frame['panss_total'] = rng.normal(70, 12, 36).round()
    rule = {'Name': 'treated', 'Columns': ['panss_total'], 'Where': {'clozapine': allowed}}
    rows = run(frame, rng, Subsamples=[rule])['clinical']
    assert set(rows['n']) == {12}


def test_codes_and_names_that_are_analysed_otherwise_are_said(rng):
    frame = cohort(rng).assign(site=np.resize([1, 2, 3], 36), edu=np.resize([1, 2, 3, 4], 36),
                               Glu=1.0)  # fmt: skip
    names = [{'Name': 'site'}, {'Name': 'edu'}, {'Name': 'age'}]
    levels = {'Edu': {'Levels': {'1': 'none', '2': 'school', '3': 'college', '4': 'other'}}}
    notes = column_notes(frame, parse_model({**MODEL, 'Covariates': names}), levels, ['Glu'])
    assert [note.split(' ')[0] for note in notes] == ['site', 'edu', 'Glu']
    two = column_notes(frame.assign(site=np.resize([1, 2], 36)),
                       parse_model({**MODEL, 'Covariates': names[:1]}), {}, [])  # fmt: skip
    assert two == []


def test_codes_in_place_of_words_are_named_with_the_remedy(rng):
    frame = cohort(rng).replace({'group': {'HC': 1, 'FL': 2, 'TRS': 3}})
    with pytest.raises(InputDataError, match=r'the column holds 1, 2, 3: .* Group/Recode'):
        run(frame, rng)


def test_a_covariate_that_costs_many_people_is_said(rng):
    frame = cohort(rng).assign(bmi=np.where(np.arange(36) < 20, 22.0 + np.arange(36), np.nan))
    frame['dose'] = np.where(frame['group'] == 'HC', np.nan, 300.0)
    names = [{'Name': 'bmi'}, {'Name': 'age'}, {'Name': 'dose', 'OnlyIn': ['FL', 'TRS']}]
    notes = column_notes(frame, parse_model({**MODEL, 'Covariates': names}), {}, [])
    assert len(notes) == 1
    assert notes[0].startswith('bmi is missing in 16 of 36 participants')
