"""Traps of small cohorts: relations made by groups, families that grow, hidden adjustments."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bids_acc.exceptions import InputDataError
from bids_acc.group.formulas.two_samples import mann_whitney, permuted_means
from bids_acc.group.statistics.model.declaration import parse_model, presets, read_model
from bids_acc.group.statistics.run import run_statistics
from bids_acc.report.findings import significant_findings

BASE = {
    'Name': 'trap', 'Group': {'Column': 'group', 'Levels': ['responsive', 'resistant']},
    'Mrs': {'Primary': ['Glx'], 'Relation': None}, 'Mixture': {'Measures': []},
    'Permutations': 99, 'Replication': {'Rule': 'none'},
}  # fmt: skip


def people(rng, n_a=20, n_b=20, **columns):
    n = n_a + n_b
    group = np.repeat(['responsive', 'resistant'], [n_a, n_b])
    frame = pd.DataFrame({
        'participant_id': [f'sub-{i:03d}' for i in range(n)], 'group': group,
        'age': rng.normal(40, 8, n),
    })  # fmt: skip
    return frame.assign(**columns), (group == 'resistant').astype(float)


def metabolites(frame, **values):
    return pd.concat([
        pd.DataFrame({
            'participant_id': frame['participant_id'], 'voxel': 'ACC', 'metabolite': name,
            'unit_scheme': 'ratio_tcr', 'value': v, 'crlb_pct': 8.0, 'gate': 'pass',
        })
        for name, v in values.items()
    ])  # fmt: skip


def run(model, mrs, frame, rng, qc=None):
    return run_statistics(parse_model({**BASE, **model}), None, mrs, frame, qc, rng)


def rows(table, **where):
    for column, value in where.items():
        table = table[table[column] == value]
    return table


def test_a_relation_that_is_the_difference_of_groups_is_no_finding(rng):
    frame, resistant = people(rng)
    frame['dose'] = 300 + 150 * resistant + rng.normal(0, 30, 40)
    glx = 1.2 + 0.3 * resistant + rng.normal(0, 0.08, 40)
    tables = run(
        {'Clinical': {'Scores': ['dose'], 'Responses': 'all', 'Scopes': ['pooled']}},
        metabolites(frame, Glx=glx), frame, rng,
    )  # fmt: skip
    clinical = tables['clinical']
    pooled = rows(clinical, contrast='all groups').iloc[0]
    within = rows(clinical, contrast='within groups').iloc[0]
    assert pooled['p_corrected'] < 0.001
    assert 'dose differs between the groups' in pooled['note']
    assert within['p_unc'] > 0.05
    assert pooled['family'] != within['family']
    found = significant_findings(tables, 0.05)
    assert not found['finding'].str.contains('dose').any()
    assert found['finding'].str.contains('Glx is higher in resistant').any()


def test_a_relation_within_groups_is_a_finding_with_its_adjustment(rng):
    frame, resistant = people(rng)
    frame['dose'] = 300 + 150 * resistant + rng.normal(0, 30, 40)
    glx = 1.2 + 0.004 * (frame['dose'] - 300 - 150 * resistant) + rng.normal(0, 0.05, 40)
    tables = run(
        {'Clinical': {'Scores': ['dose'], 'Responses': 'all'}, 'Covariates': [{'Name': 'age'}]},
        metabolites(frame, Glx=glx), frame, rng,
    )  # fmt: skip
    found = significant_findings(tables, 0.05)
    row = found[found['finding'].str.contains('rises with dose')].iloc[0]
    assert 'robust regression' in row['the same otherwise']
    checks = rows(tables['diagnostics'], term='dose', contrast='within groups')
    assert {'hc3', 'influence', 'robust', 'permutation'} <= set(checks['analysis'])
    assert 'within groups' in row['finding']
    assert row['adjusted for'] == 'group, age'


def test_with_few_people_the_exact_test_is_the_finding(rng):
    frame, resistant = people(rng, 3, 3)
    glx = 1.0 + 0.5 * resistant + rng.normal(0, 0.05, 6)
    frame['volume'] = 5 + resistant + rng.normal(0, 0.05, 6)
    tables = run({'Responses': {'Columns': ['volume']}}, metabolites(frame, Glx=glx), frame, rng)
    mrs = tables['mrs_group']
    exact = rows(mrs, analysis='mrs_exact').iloc[0]
    assert exact['p_unc'] == pytest.approx(0.1)
    assert exact['family'].startswith('mrs_primary [')
    assert rows(mrs, analysis='mrs_t').iloc[0]['p_unc'] < 0.01
    column = rows(tables['ancova'], response='volume', analysis='ancova').iloc[0]
    assert (column['statistic'], column['p_unc']) == ('F permuted', pytest.approx(0.1))
    assert 'smallest possible p is 0.1' in column['note']
    supplement = rows(tables['ancova'], analysis='ancova_f').iloc[0]
    assert supplement['family'] in ('', None)
    assert significant_findings(tables, 0.05).empty


def test_the_smallest_possible_p_of_unequal_groups_is_that_of_one_division(rng):
    frame, resistant = people(rng, 2, 4)
    frame['volume'] = 5 + resistant + rng.normal(0, 0.05, 6)
    glx = 1.0 + 0.5 * resistant + rng.normal(0, 0.05, 6)
    tables = run({'Responses': {'Columns': ['volume']}}, metabolites(frame, Glx=glx), frame, rng)
    column = rows(tables['ancova'], response='volume', analysis='ancova').iloc[0]
    assert column['p_unc'] == pytest.approx(1 / 15)  # of 15 divisions this is the most extreme
    assert 'smallest possible p is 0.067' in column['note']
    exact = rows(tables['mrs_group'], analysis='mrs_exact').iloc[0]
    assert 'smallest possible p is 0.067' in exact['note']
    ranks = rows(tables['mrs_group'], analysis='mrs_rank').iloc[0]
    assert 'smallest possible p is 0.13' in ranks['note']  # U at either end: two of 15


def test_ties_are_counted_in_the_smallest_possible_p():
    a, b = np.array([1.0, 2.0, 2.0]), np.array([2.0, 3.0, 3.0, 4.0])
    draw = np.random.default_rng(0)
    pooled = np.concatenate([a, b])
    every = [
        abs(pooled[list(c)].mean() - np.delete(pooled, list(c)).mean())
        for c in itertools.combinations(range(7), 3)
    ]
    most = np.mean(np.isclose(every, max(every)))
    assert permuted_means(a, b, 10, draw).smallest == pytest.approx(most)
    ranks = stats.rankdata(pooled)
    sums = [abs(ranks[list(c)].sum() - 12) for c in itertools.combinations(range(7), 3)]
    found = mann_whitney(a, b)
    assert found.exact
    assert found.smallest == pytest.approx(np.mean(np.isclose(sums, max(sums))))
    assert mann_whitney(np.ones(2), np.array([1.0, 1.0, 2.0])).smallest == pytest.approx(0.4)


def test_small_groups_with_covariates_are_permuted_too(rng):
    frame, resistant = people(rng, 6, 7)
    frame['volume'] = 5 + 2 * resistant + rng.normal(0, 0.3, 13)
    tables = run(
        {'Responses': {'Columns': ['volume']}, 'Covariates': [{'Name': 'age'}]},
        metabolites(frame, Glx=1 + 0.5 * resistant + rng.normal(0, 0.1, 13)), frame, rng,
    )  # fmt: skip
    pair = rows(tables['posthoc'], analysis='posthoc').iloc[0]
    assert pair['statistic'] == 't permuted'
    assert pair['value'] == pytest.approx(
        rows(tables['posthoc'], analysis='posthoc_t').iloc[0]['value']
    )
    adjusted = rows(tables['mrs_group'], analysis='mrs_adjusted').iloc[0]
    assert adjusted['statistic'] == 't permuted'
    assert adjusted['p_unc'] >= 1 / 5000


def test_the_finding_is_the_adjusted_comparison_and_disagreement_is_said():
    rng = np.random.default_rng(12)
    frame, resistant = people(rng)
    frame['age'] = 35 + 12 * resistant + rng.normal(0, 4, 40)
    glx = 1.0 + 0.02 * frame['age'] + rng.normal(0, 0.08, 40)  # age alone makes the difference
    tables = run(
        {'Covariates': [{'Name': 'age'}]}, metabolites(frame, Glx=glx), frame, rng
    )  # fmt: skip
    plain = rows(tables['mrs_group'], analysis='mrs_t').iloc[0]
    assert plain['p_unc'] < 0.001
    assert plain['family'].startswith('mrs_primary t')
    assert significant_findings(tables, 0.05).empty

    frame['volume'] = glx + 0.3 * resistant
    tables = run(
        {'Covariates': [{'Name': 'age'}]}, metabolites(frame, Glx=frame['volume']), frame, rng
    )
    found = significant_findings(tables, 0.05)
    assert list(found['adjusted for']) == ['age']
    assert 't test without covariates' in found['the same otherwise'].iloc[0]


def test_disagreement_of_other_means_stands_first():
    T = {'statistic': 't', 'value': 3.0, 'df2': 30, 'p_unc': 0.0054, 'p_corrected': 0.0054,
         'effect': 1.0, 'response': 'Glu', 'term': 'group', 'contrast': 'a - b', 'cohort': 'all',
         'covariates': '', 'formula': 'Glu ~ group', 'correction': 'bh', 'family': 'x',
         'effect_name': 'cohen_d', 'n': 32}  # fmt: skip
    table = pd.DataFrame([
        {**T, 'analysis': 'mrs_t'},
        {**T, 'analysis': 'mrs_rank', 'p_unc': 0.08, 'p_corrected': 0.08},
        {**T, 'analysis': 'mrs_welch', 'p_unc': 0.01, 'p_corrected': 0.01},
    ])  # fmt: skip
    found = significant_findings({'mrs_group': table}, 0.05)
    assert found['the same otherwise'].tolist() == [
        "DISAGREES: ranks (uncorrected p = 0.080); agrees: Welch's test"
    ]


def test_cohorts_without_the_groups_are_not_counted_as_failures():
    row = {'analysis': 'posthoc', 'response': 'md_c1', 'term': 'group', 'statistic': 't',
           'value': 4.0, 'df2': 40, 'p_unc': 0.0002, 'p_corrected': 0.05, 'effect': 1.2, 'n': 44,
           'effect_name': 'hedges_g', 'correction': 'bh', 'covariates': '', 'formula': '',
           'family': 'posthoc'}  # fmt: skip
    table = pd.DataFrame([
        {**row, 'cohort': 'tokyo', 'contrast': 'TRS - HC', 'n_per_group': 'HC=26;TRS=23'},
        {**row, 'cohort': 'toronto', 'contrast': 'URS - HC', 'n_per_group': 'HC=26;URS=21',
         'p_corrected': 0.4},
    ])  # fmt: skip
    found = significant_findings({'posthoc': table}, 0.05)  # p = alpha counts
    assert found['holds in'].tolist() == ['1 of 1']
    assert found['toronto'].tolist() == ['no such group']


def test_what_the_model_does_not_name_is_not_tested(rng):
    frame, _ = people(rng)
    values = {name: rng.normal(1, 0.1, 40) for name in ('Glx', 'NAA', 'NAAG', 'GPC')}
    frame['cohort'] = np.where(np.arange(40) % 2, 'one', 'two')
    two = pd.concat([
        metabolites(frame, **values).assign(session_id='ses-1'),
        metabolites(frame, **{k: v + rng.normal(0, 0.1, 40) for k, v in values.items()}).assign(
            session_id='ses-2'
        ),
    ])  # fmt: skip
    sessions = pd.concat([frame.assign(session_id=s) for s in ('ses-1', 'ses-2')])
    tables = run(
        {'Cohort': 'cohort', 'Mrs': {'Primary': ['Glx'], 'Secondary': ['NAA'], 'Relation': None}},
        two, sessions, rng,
    )  # fmt: skip
    for name in ('change', 'meta'):
        assert set(tables[name]['response']) == {'Glx', 'NAA'}, name


def test_a_model_that_compares_nothing_is_refused_with_what_there_is(rng):
    frame, _ = people(rng)
    group = {'Column': 'group', 'Levels': ['responsive', 'restistant']}
    with pytest.raises(InputDataError, match=r"'group' only responsive .*resistant.*Recode"):
        run({'Group': group}, metabolites(frame, Glx=rng.normal(size=40)), frame, rng)


def test_the_symptom_that_defines_the_groups_is_no_nuisance(rng):
    frame, resistant = people(rng)
    frame['panss_total'] = 60 + 40 * resistant + rng.normal(0, 5, 40)
    frame['dose'] = 300 + 100 * resistant + rng.normal(0, 20, 40)
    model = {
        'Demographics': {'Continuous': ['panss_total', 'dose']},
        'Nuisance': {'Always': [], 'IfDifferent': True, 'DefinesGroups': ['panss_*']},
    }
    tables = run(model, metabolites(frame, Glx=rng.normal(1, 0.1, 40)), frame, rng)
    nuisance = rows(tables['mrs_group'], analysis='mrs_nuisance')
    assert set(nuisance['nuisance']) == {'dose'}
    asked = {**model, 'Nuisance': {**model['Nuisance'], 'Always': ['panss_total']}}
    tables = run(asked, metabolites(frame, Glx=rng.normal(1, 0.1, 40)), frame, rng)
    nuisance = rows(tables['mrs_group'], analysis='mrs_nuisance')
    assert set(nuisance['nuisance']) == {'dose', 'panss_total'}


def test_of_many_quality_measures_none_is_picked_by_chance(rng):
    frame, _ = people(rng)
    qc = pd.DataFrame(rng.normal(size=(40, 73)), columns=[f'q{i:02d}' for i in range(73)])
    qc.insert(0, 'participant_id', frame['participant_id'])
    tables = run({}, metabolites(frame, Glx=rng.normal(1, 0.1, 40)), frame, rng, qc)
    assert (rows(tables['qc_by_group'], analysis='quality_passed')['p_unc'] <= 0.05).any()
    assert rows(tables['mrs_group'], analysis='mrs_nuisance').empty


PATIENTS = ['FL-Resp', 'CLZ-Resp', 'TRS', 'URS']
SAMPLES = {
    'acc-structure': {
        # doi:10.1503/jpn.210113, Statistical analysis: "in patients with schizophrenia"; PANSS
        # only in the resistant; clozapine dose only where clozapine is taken
        'panss_positive': ['TRS', 'URS'], 'panss_negative': ['TRS', 'URS'],
        'panss_general': ['TRS', 'URS'], 'rbans_total': PATIENTS, 'age_onset': PATIENTS,
        'illness_duration': PATIENTS, 'cpz_dose': PATIENTS, 'clozapine_dose': ['CLZ-Resp', 'URS'],
    },
    # doi:10.1093/schbul/sbv151: patients only, all of them
    'acc-glutamate': {
        score: ['responsive', 'resistant']
        for score in (
            'panss_positive', 'panss_negative', 'panss_general', 'panss_total', 'cpz_dose',
        )
    },
    'prepost': {},
    # doi:10.1016/bs.pbr.2023.04.001, 4.3: severity and duration of depression
    'trd-structure': {
        score: ['responder', 'nonresponder'] for score in ('madrs', 'episode_duration')
    },
    'trd-function': {},
    'trd-function-prepost': {},
}  # fmt: skip


@pytest.mark.parametrize('name', sorted(presets()))
def test_each_score_of_each_preset_has_the_papers_own_sample(name):
    model = read_model(name)
    assert set(model.content['Clinical']['Scores']) == set(SAMPLES[name])
    for score, expected in SAMPLES[name].items():
        rules = [rule for rule in model.subsamples if rule.covers(score)]
        allowed = list(model.group.levels)
        for rule in rules:
            allowed = [level for level in allowed if level in rule.where['group']]
        assert allowed == [level for level in model.group.levels if level in expected], score


def test_demographics_of_the_structural_preset_are_the_papers():
    wanted = json.loads(presets()['acc-structure'].read_text())['Demographics']['Continuous']
    assert {'cgi_s', 'clozapine_dose', 'cpz_dose', 'rbans_total'} <= set(wanted)


def test_a_relation_tells_its_direction(rng):
    frame, resistant = people(rng)
    glx = rng.normal(1, 0.1, 40)
    frame['volume'] = 5 + resistant - 3 * glx + rng.normal(0, 0.05, 40)
    tables = run(
        {'Responses': {'Columns': ['volume']}, 'Mrs': {'Primary': ['Glx'], 'Relation': 'Glx'}},
        metabolites(frame, Glx=glx), frame, rng,
    )  # fmt: skip
    row = rows(tables['relation'], term='Glx').iloc[0]
    assert row['slope'] == pytest.approx(-3, abs=4 * row['slope_se'])
    assert row['partial_r'] ** 2 == pytest.approx(row['effect'])
    assert row['partial_r'] < 0
    partial = tables['partialcorr']
    within = rows(partial, analysis='partialcorr_within').iloc[0]
    assert within['effect'] == pytest.approx(row['partial_r'])
    found = significant_findings(tables, 0.05)
    words = found['finding'].tolist()
    assert 'volume falls with Glx' in words


def test_absence_is_shown_where_the_sample_is_large_enough():
    rng = np.random.default_rng(4)
    frame, _ = people(rng, 150, 150)
    frame['dose'] = rng.normal(300, 30, 300)
    model = {
        'Evidence': {'SmallestDifference': 0.5, 'SmallestCorrelation': 0.3},
        'Clinical': {'Scores': ['dose'], 'Responses': 'all'}, 'Covariates': [{'Name': 'age'}],
    }  # fmt: skip
    mrs = metabolites(frame, Glx=rng.normal(1, 0.1, 300))
    table = run(model, mrs, frame, rng)['evidence']
    pair = rows(table, analysis='equivalence', term='group').iloc[0]
    assert pair['p_unc'] < 0.05
    assert -0.5 < pair['ci_low'] < pair['ci_high'] < 0.5
    dose = rows(table, analysis='equivalence', term='dose')
    assert set(dose['contrast']) == {'within groups', 'all groups'}
    assert (dose['p_unc'] < 0.05).all()
    factor = rows(table, analysis='bayes_factor', term='group').iloc[0]
    assert factor['bf01'] == pytest.approx(1 / factor['value'])
    assert 'evidence for no effect' in factor['note']
    few, _ = people(rng, 9, 9)
    table = run(
        {'Evidence': model['Evidence']}, metabolites(few, Glx=rng.normal(1, 0.1, 18)), few, rng
    )['evidence']
    assert rows(table, analysis='equivalence').iloc[0]['p_unc'] > 0.05
    none = run({}, metabolites(few, Glx=rng.normal(1, 0.1, 18)), few, rng)['evidence']
    assert set(none['analysis']) == {'bayes_factor'}


def few(rng, n, slope=0.3):
    """Return a cohort of n people whose Glx follows a score within both groups."""
    frame, _ = people(rng, n // 2, n - n // 2)
    frame['score'] = rng.normal(50, 10, n)
    glx = 1.3 + slope * 0.01 * (frame['score'] - 50) + rng.normal(0, 0.05, n)
    return frame, metabolites(frame, Glx=glx)


@pytest.mark.parametrize(('n', 'permuted'), [(14, True), (16, False)])
def test_relations_of_few_people_are_permuted(rng, n, permuted):
    frame, mrs = few(rng, n)
    tables = run({'Clinical': {'Scores': ['score'], 'Responses': 'all'}}, mrs, frame, rng)
    main = rows(tables['clinical'], analysis='clinical', contrast='within groups')
    assert set(main['statistic']) == {'t permuted' if permuted else 't'}
    beside = rows(tables['clinical'], analysis='clinical_t', contrast='within groups')
    assert len(beside) == permuted
    if permuted:
        assert beside['p_corrected'].isna().all()
        assert beside['note'].str.contains('fewer than 16 people').all()
        assert main['effect'].tolist() == beside['effect'].tolist()
        assert abs(np.log(main['p_unc'].item() / beside['p_unc'].item())) < 3
    weighed = rows(tables['evidence'], analysis='bayes_factor', term='score')
    assert not weighed.duplicated(['response', 'contrast']).any()


def test_six_people_are_put_in_every_order(rng):
    frame, mrs = few(rng, 6)
    model = {
        'Clinical': {'Scores': ['score'], 'Responses': 'all', 'Scopes': ['pooled']},
        'Subsamples': [
            {'Name': 'resistant', 'Columns': ['score'], 'Where': {'group': ['resistant']}}
        ],
        'ExactBelow': 8,
    }
    frame.loc[1:, 'group'] = 'resistant'
    tables = run(model, mrs, frame, rng)
    row = rows(tables['clinical'], analysis='clinical').iloc[0]
    x = frame.loc[1:, 'score'].to_numpy()
    y = mrs['value'].to_numpy()[1:]
    r = [abs(np.corrcoef(x, order)[0, 1]) for order in itertools.permutations(y)]
    assert row['p_unc'] == pytest.approx(np.mean(np.array(r) >= r[0] - 1e-9))
    assert row['n_resamples'] == 119
    assert 'all 120 orders' in row['method']
