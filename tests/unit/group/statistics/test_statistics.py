"""The whole analysis: planted effects, odd input, real tables."""

from __future__ import annotations

import importlib
import inspect
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bids_acc.exceptions import InputDataError
from bids_acc.group.formulas.norms import sample_norms
from bids_acc.group.statistics import run
from bids_acc.group.statistics.analyses.order import ANALYSES, Analysis
from bids_acc.group.statistics.model.declaration import parse_model, read_model
from bids_acc.group.statistics.rows.kinds import StatisticalTest, TTest
from bids_acc.group.statistics.rows.row import COLUMNS, Row
from bids_acc.group.statistics.run import run_analyses, run_statistics
from bids_acc.group.statistics.study.flow import participant_flow
from bids_acc.group.statistics.study.joining import make_study
from bids_acc.group.statistics.study.proposal import propose_model
from bids_acc.group.statistics.tables import (
    DESCRIPTIONS,
    TITLES,
    data_dictionary,
    table_text,
    write_tables,
)

SIZES = {
    'tokyo': {'HC': 26, 'FL-Resp': 24, 'TRS': 23},
    'toronto': {'HC': 26, 'FL-Resp': 17, 'CLZ-Resp': 15, 'URS': 21},
}
FAILED = {'TRS': 3, 'FL-Resp': 4, 'HC': 1}
PLANTED = ('thickness_c1', 'thickness_c2', 'md_c1', 'md_c2')


def simulate(rng: np.random.Generator, sizes=SIZES):
    """Return parcels, metabolites, participants and quality with planted effects."""
    people, parcels, mrs, qc = [], [], [], []
    for cohort, groups in sizes.items():
        lost = dict(FAILED) if cohort == 'tokyo' else {}
        for group, number in groups.items():
            for i in range(number):
                name = f'sub-{cohort}{group.replace("-", "")}{i:02d}'
                resistant = group in {'TRS', 'URS'}
                glx = rng.normal(10 + 1.5 * resistant, 1)
                patient = group != 'HC'
                people.append({
                    'participant_id': name, 'cohort': cohort, 'group': group,
                    'age': rng.normal(42, 11), 'sex': rng.choice(['F', 'M']),
                    'panss_positive': rng.normal(20, 4) if patient else np.nan,
                    'clozapine_dose': rng.normal(400, 80) if group in {'URS', 'CLZ-Resp'}
                    else np.nan,
                })  # fmt: skip
                for component in (1, 2, 3, 4):
                    for metric, sign in (('thickness', -1), ('md', 1), ('area', 0), ('fa', 0)):
                        effect = 1.4 * sign * patient * (component < 3)
                        value = rng.normal(effect + 0.4 * sign * (glx - 10), 1)
                        parcels.append((name, cohort, component, metric, value, 400))
                gate = 'pass'
                if lost.get(group, 0):
                    lost[group] -= 1
                    gate = 'fail'
                mrs.append((name, 'ACC', 'Glx', 'water_tissue', glx, 8 + rng.random(), gate))
                qc.append({'participant_id': name, 'snr': rng.normal(20, 3), 'note': 'x'})
    columns = ['participant_id', 'cohort', 'component', 'metric', 'value', 'n_vertices']
    names = ['participant_id', 'voxel', 'metabolite', 'unit_scheme', 'value', 'crlb_pct', 'gate']
    return (
        pd.DataFrame(parcels, columns=columns),
        pd.DataFrame(mrs, columns=names),
        pd.DataFrame(people),
        pd.DataFrame(qc),
    )


def light(model, **changes):
    """Return a model with few permutations."""
    few = {'Permutations': 99, 'Mixture': {'Measures': []}}
    return parse_model({**model.content, **few, **changes})


@pytest.fixture(scope='module')
def cohorts():
    return simulate(np.random.default_rng(3))


@pytest.fixture(scope='module')
def tables(cohorts):
    parcels, mrs, people, qc = cohorts
    model = light(read_model('acc-structure'), Norms={'Level': 'HC'})
    return run_statistics(model, parcels, mrs, people, qc, np.random.default_rng(5))


def one(table, **where):
    for column, value in where.items():
        table = table[table[column] == value]
    assert len(table) == 1, where
    return table.iloc[0]


def test_the_replication_rule_retains_what_was_planted(tables):
    gate = tables['gate']
    assert set(gate.loc[gate['retained'], 'response']) == set(PLANTED)
    assert set(tables['posthoc']['response']) == set(PLANTED)


def test_structure_is_tested_sixteen_times_per_cohort(tables):
    group = tables['ancova'][tables['ancova']['term'] == 'group']
    assert (group['family_size'] == 16).all()
    assert set(group.loc[group['cohort'] == 'tokyo', 'df2']) == {73 - 3 - 2}
    assert set(group.loc[group['cohort'] == 'toronto', 'df2']) == {79 - 4 - 2}


def test_pairs_and_directions(tables):
    row = one(tables['posthoc'], analysis='posthoc', cohort='tokyo', response='thickness_c1',
              contrast='TRS - HC')  # fmt: skip
    assert row['effect'] < 0 < -row['ci_high']
    assert row['p_corrected'] < 0.05
    assert row['family_size'] == 3
    toronto = tables['posthoc'][tables['posthoc']['cohort'] == 'toronto']
    assert (toronto['family_size'] == 6).all()


def test_failed_spectra_are_left_out_and_counted(tables):
    row = one(tables['relation'], cohort='tokyo', response='md_c1', term='Glx')
    assert row['excluded'] == 'Glx failed quality gate=8'
    assert row['n_per_group'] == 'HC=25;FL-Resp=20;TRS=20'
    assert row['df2'] == 65 - 3 - 1 - 2
    toronto = one(tables['relation'], cohort='toronto', response='md_c1', term='Glx')
    assert toronto['excluded'] == ''


def test_follow_up_correlations_are_gated_by_the_main_effect(tables):
    relation, both = tables['relation'], tables['partialcorr']
    partial = both[both['analysis'] == 'partialcorr']
    main = relation[(relation['term'] == 'Glx') & (relation['p_corrected'] <= 0.05)]
    assert set(zip(main['cohort'], main['response'], strict=True)) == set(
        zip(partial['cohort'], partial['response'], strict=True)
    )
    tokyo = partial[partial['cohort'] == 'tokyo']
    assert set(tokyo['df2']) == {65 - 2 - 2}
    assert (partial.loc[partial['metric'] == 'thickness', 'effect'] < 0).all()


def test_scores_are_analysed_in_their_subsample(tables):
    clinical = tables['clinical']
    panss = clinical[clinical['term'] == 'panss_positive']
    assert set(panss['n']) == {23, 20, 21}
    assert panss['note'].str.startswith('subsample: symptoms').all()
    dose = clinical[(clinical['term'] == 'clozapine_dose') & (clinical['cohort'] == 'toronto')]
    assert set(dose['n_per_group']) == {'CLZ-Resp=15;URS=21'}
    nothing = clinical[(clinical['term'] == 'clozapine_dose') & (clinical['cohort'] == 'tokyo')]
    assert nothing['note'].str.contains('no value of clozapine_dose').all()


def test_quality_comes_first_and_with_exact_tests(tables):
    qc = tables['qc_by_group']
    assert {'snr', 'crlb_Glx', 'gate_Glx'} <= set(qc['response'])
    assert 'note' not in set(qc['response'])
    assert 'quality_exact' in set(qc['analysis'])


def test_every_row_has_the_common_columns_and_every_column_a_description(tables):
    for name, table in tables.items():
        assert name in TITLES
        if 'p_unc' in table:
            assert list(table.columns[: len(COLUMNS)]) == list(COLUMNS)
            tested = table[table['p_unc'].notna()]
            assert (tested['n'] > 0).all()
            assert (tested['method'] != '').all()
            assert (tested['formula'] != '').all()
        dictionary = data_dictionary(table)
        bare = [c for c in table.columns if dictionary[c]['Description'] == c]
        assert not bare, name


NO_EFFECT = {'normality', 'equal_variances', 'mixture'}
"""Tests of assumptions have no effect size, an Akaike weight has no interval."""


def test_every_test_has_an_effect_with_an_interval(tables):
    for name, table in tables.items():
        if 'p_unc' not in table:
            continue
        tested = table[table['p_unc'].notna() & ~table['analysis'].isin(NO_EFFECT)]
        lacking = tested[tested[['effect', 'ci_low', 'ci_high']].isna().any(axis=1)]
        # no interval where ranks do not overlap at all
        lacking = lacking[lacking['effect'].abs() != 1]
        assert lacking.empty, (name, lacking['analysis'].unique())
        inside = (tested['ci_low'] <= tested['effect']) & (tested['effect'] <= tested['ci_high'])
        outside = tested[~inside & tested['ci_low'].notna()]
        assert set(outside['effect_name']) <= {'partial_eta2', 'cramers_v'}, name


def test_files_are_the_same_bytes_for_the_same_seed(cohorts, tables, tmp_path):
    parcels, mrs, people, qc = cohorts
    model = light(read_model('acc-structure'), Norms={'Level': 'HC'})
    shuffled = [frame.sample(frac=1, random_state=1) for frame in (parcels, mrs, people, qc)]
    again = run_statistics(model, *shuffled, np.random.default_rng(5))
    first = write_tables(tables, tmp_path / 'a')
    second = write_tables(again, tmp_path / 'b')
    assert [p.name for p in first] == [p.name for p in second]
    for a, b in zip(first, second, strict=True):
        assert a.read_bytes() == b.read_bytes(), a.name
        sidecar = json.loads(a.with_suffix('.json').read_text())
        assert set(pd.read_csv(a, sep='\t').columns) <= set(sidecar)


def test_another_analysis_does_not_move_the_random_numbers(cohorts, monkeypatch):
    parcels, mrs, people, qc = cohorts
    study = make_study(light(read_model('acc-structure')), parcels, mrs, people, qc)
    before = run_analyses(study, 1)['mrs_group']

    def extra(study, earlier, rng):
        return [Row(analysis='extra', test=StatisticalTest(value=rng.random()))]

    monkeypatch.setattr(run, 'ANALYSES', (Analysis(extra, 'x'), *ANALYSES))
    pd.testing.assert_frame_equal(run_analyses(study, 1)['mrs_group'], before)


@pytest.mark.parametrize(
    ('error', 'note'),
    [
        (InputDataError('no such thing.'), 'not done: no such thing.'),
        (IndexError('x'), 'not done: internal error (IndexError: x), please report it'),
    ],
)
def test_one_analysis_that_fails_does_not_stop_the_others(cohorts, monkeypatch, error, note):
    parcels, mrs, people, qc = cohorts

    def broken(study, earlier, rng):
        raise error

    monkeypatch.setattr(run, 'ANALYSES', (Analysis(broken, 'x'), *ANALYSES))
    study = make_study(light(read_model('acc-structure')), parcels, mrs, people, qc)
    tables = run_analyses(study, 1)
    assert tables['x']['note'].tolist() == [note]
    assert len(tables['ancova'])


def test_a_row_that_contradicts_itself_is_refused_and_the_rest_is_written(
    cohorts, monkeypatch, caplog
):
    parcels, mrs, people, qc = cohorts

    def wrong(study, earlier, rng):
        tests = {'good': TTest(value=0.0, df2=10, p=1.0), 'bad': TTest(value=2.0, df2=10, p=0.01)}
        return [Row(analysis='x', response=r, test=t, family='x') for r, t in tests.items()]

    monkeypatch.setattr(run, 'ANALYSES', (Analysis(wrong, 'x'),))
    study = make_study(light(read_model('acc-structure')), parcels, mrs, people, qc)
    table = run_analyses(study, 1)['x']
    bad = one(table, response='bad')
    assert np.isnan(bad['p_unc'])
    assert np.isnan(bad['value'])
    assert bad['note'].startswith('refused by the self-check: p_unc 0.01 but t = 2 with df 10')
    assert one(table, response='good')['family_size'] == 1
    assert 'refused' in caplog.text


def test_diagnostics_say_whether_the_conclusion_changes(tables):
    table = tables['diagnostics']
    assert {'normality', 'equal_variances', 'hc3', 'influence', 'permutation'} <= set(
        table['analysis']
    )
    robust = table[table['analysis'].isin(['hc3', 'robust', 'permutation'])]
    agree = (robust['p_unc'] <= 0.05) == (robust['p_original'] <= 0.05)
    assert (agree == (robust['conclusion_changes'] == 'no')).all()
    influence = table[table['analysis'] == 'influence']
    assert influence['p_unc'].isna().all()
    assert ((influence['lost_without'] != '') == (influence['conclusion_changes'] == 'yes')).all()


def test_one_outlier_is_found_and_nothing_is_tested_without_it(rng):
    parcels, _, people, _ = simulate(rng, {'tokyo': {'HC': 12, 'TRS': 12}})
    worst = (parcels['participant_id'] == 'sub-tokyoTRS03') & (parcels['metric'] == 'thickness')
    parcels.loc[worst & (parcels['component'] == 3), 'value'] = 60.0
    model = light(
        parse_model({'Name': 'm', 'Group': {'Column': 'group', 'Levels': ['HC', 'TRS']}})
    )
    tables = run_statistics(model, parcels, None, people, None, rng)
    row = one(tables['diagnostics'], analysis='influence', response='thickness_c3')
    assert 'sub-tokyoTRS03' in row['influential']
    assert row['largest_change_by'] == 'sub-tokyoTRS03'
    assert (row['n'], row['excluded']) == (24, '')
    assert np.isnan(row['p_unc'])


def test_without_the_gate_all_spectra_are_there(tables):
    row = one(tables['sensitivity'], analysis='gate_off', cohort='tokyo', response='Glx')
    assert row['n'] == 73
    assert np.isfinite(row['p_original'])
    assert row['conclusion_changes'] in {'yes', 'no'}
    assert 'crlb_absolute_Glx' in set(tables['sensitivity']['response'])


def test_z_scores_of_the_norm_group_have_mean_zero_and_sd_one(tables):
    scores = tables['zscores_participants']
    norm = scores[(scores['group'] == 'HC') & (scores['measure'] == 'thickness_c1')]
    assert norm.groupby('cohort')['z'].mean().to_numpy() == pytest.approx([0, 0], abs=1e-12)
    assert norm.groupby('cohort')['z'].std().to_numpy() == pytest.approx([1, 1])
    row = one(tables['zscores'], cohort='tokyo', response='thickness_c1', contrast='TRS - HC')
    own = scores[(scores['group'] == 'TRS') & (scores['measure'] == 'thickness_c1')]
    assert row['effect'] == pytest.approx(own['z'].mean())


def test_a_norm_that_does_not_vary_is_refused():
    with pytest.raises(InputDataError, match='no z scores'):
        sample_norms(np.ones((3, 1)), np.array([1.0, 2, 2]), np.array([False, True, True]))


def people_and_parcels(rng, n=40, **columns):
    people = pd.DataFrame({
        'participant_id': [f'sub-{i:02d}' for i in range(n)],
        'group': np.where(np.arange(n) % 2, 'TRS', 'HC'),
        'age': rng.normal(40, 9, n), 'sex': np.where(np.arange(n) % 4 < 2, 'F', 'M'),
    }).assign(**columns)  # fmt: skip
    parcels = pd.DataFrame({
        'participant_id': people['participant_id'], 'component': 1, 'metric': 'thickness',
        'value': rng.normal(3, 0.2, n),
    })  # fmt: skip
    return people, parcels


MODEL = {
    'Name': 'm', 'Group': {'Column': 'group', 'Levels': ['HC', 'TRS']},
    'Covariates': [{'Name': 'age'}, {'Name': 'sex', 'Kind': 'categorical'}], 'Permutations': 0,
    'Mixture': {'Measures': []},
}  # fmt: skip


def test_a_missing_covariate_costs_the_participant_and_is_counted(rng):
    people, parcels = people_and_parcels(rng)
    people['age'] = people['age'].round(1).astype(object)
    people.loc[[3, 8], 'age'] = 'n/a'
    table = run_statistics(parse_model(MODEL), parcels, None, people, None, rng)['ancova']
    assert set(table['n']) == {38}
    assert set(table['excluded']) == {'age missing=2'}
    assert set(table['n_per_group']) == {'HC=19;TRS=19'}


def test_participants_without_images_are_counted_too(rng):
    people, parcels = people_and_parcels(rng)
    table = run_statistics(parse_model(MODEL), parcels.iloc[5:], None, people, None, rng)
    assert set(table['ancova']['excluded']) == {'thickness_c1 missing=5'}


def test_collinear_covariates_get_a_message_and_the_others_go_on(rng):
    people, parcels = people_and_parcels(rng)
    people['months'] = people['age'] * 12
    model = parse_model({**MODEL, 'Covariates': [*MODEL['Covariates'], {'Name': 'months'}],
                         'Demographics': {'Continuous': ['age']}})  # fmt: skip
    tables = run_statistics(model, parcels, None, people, None, rng)
    (note,) = tables['ancova']['note']
    assert note.startswith('not done: age and months are collinear in these participants')
    assert np.isfinite(tables['demographics']['p_unc']).all()


def test_a_constant_covariate_is_told_in_every_row(rng):
    people, parcels = people_and_parcels(rng, sex='F')
    table = run_statistics(parse_model(MODEL), parcels, None, people, None, rng)['ancova']
    assert table['note'].str.contains('sex is the same in all 40').all()
    assert (table['covariates'] == 'age').all()


def test_a_group_of_one_is_told(rng):
    people, parcels = people_and_parcels(rng)
    people.loc[people.index[1:], 'group'] = 'TRS'
    tables = run_statistics(parse_model(MODEL), parcels, None, people, None, rng)
    assert 'HC has fewer than two' in tables['ancova']['note'].iloc[0]


def test_other_groups_are_left_out_and_counted(rng):
    people, parcels = people_and_parcels(rng)
    people.loc[[0, 1], 'group'] = ['ADHD', np.nan]
    flow = run_statistics(parse_model(MODEL), parcels, None, people, None, rng)['flow']
    assert set(flow['excluded']) == {'', 'group ADHD not in the model', 'group missing'}


def test_recoding_mends_spellings(rng):
    people, parcels = people_and_parcels(rng)
    people['group'] = people['group'].replace({'HC': 'Control '})
    group = {**MODEL['Group'], 'Recode': {'Control': 'HC'}}
    study = make_study(parse_model({**MODEL, 'Group': group}), parcels, None, people)
    assert sorted(set(study.baseline['group'])) == ['HC', 'TRS']


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        ({'Covariates': [{'Name': 'iq'}]}, "column 'iq'"),
        ({'Covariates': [{'Name': 'sex'}]}, "is 'F', which is no number"),
        ({'Group': {'Column': 'group', 'Levels': ['a', 'b']}}, 'the column holds HC, TRS'),
        ({'Cohort': 'site'}, "column 'site'"),
        ({'Responses': {'Columns': ['fc']}}, "no column 'fc'"),
    ],
)
def test_models_that_do_not_fit_the_table_are_refused(rng, change, words):
    people, parcels = people_and_parcels(rng)
    with pytest.raises(InputDataError, match=words):
        run_statistics(parse_model({**MODEL, **change}), parcels, None, people, None, rng)


def test_two_values_in_one_cell_are_refused(rng):
    people, parcels = people_and_parcels(rng)
    with pytest.raises(InputDataError, match='two values'):
        make_study(parse_model(MODEL), pd.concat([parcels, parcels.iloc[:1]]), None, people)


def mrs_table(people, **values):
    return pd.concat([
        pd.DataFrame({'participant_id': people['participant_id'], 'metabolite': name,
                      'unit_scheme': 'ratio_tcr', 'value': value, 'gate': 'pass'})
        for name, value in values.items()
    ])  # fmt: skip


def test_ratios_need_both_metabolites_to_pass(rng):
    people, _ = people_and_parcels(rng)
    mrs = mrs_table(people, Glx=np.arange(40) + 1.0, tNAA=2.0)
    mrs.loc[(mrs['metabolite'] == 'tNAA') & (mrs['participant_id'] == 'sub-03'), 'gate'] = 'fail'
    study = make_study(parse_model({**MODEL, 'Ratios': ['Glx/tNAA']}), None, mrs, people)
    ratio = study.baseline.set_index('participant_id')['Glx/tNAA']
    assert ratio['sub-04'] == pytest.approx(5 / 2)
    assert np.isnan(ratio['sub-03'])
    _, excluded = study.missing(study.baseline, ['Glx/tNAA'])
    assert excluded == {'Glx/tNAA failed quality gate': 1}


def test_subsample_rules_hold_at_their_limits(rng):
    people, _ = people_and_parcels(rng, gaf=np.arange(40) + 30)
    rules = [
        {'Name': 'impaired', 'Columns': ['panss*'], 'Where': {'gaf': {'Min': 35, 'Max': 58}}},
        {'Name': 'resistant', 'Columns': ['panss_*'], 'Where': {'group': ['TRS']}},
        {'Name': 'wrong', 'Columns': ['dose'], 'Where': {'drug': ['x']}},
    ]
    study = make_study(parse_model({**MODEL, 'Subsamples': rules}), None, None, people)
    part, names = study.subsample(study.baseline, 'panss_total')
    assert names == ['impaired', 'resistant']
    assert sorted(part['gaf']) == list(range(35, 59, 2))
    assert len(study.subsample(study.baseline, 'age')[0]) == 40
    with pytest.raises(InputDataError, match="'wrong': there is no column 'drug'"):
        study.subsample(study.baseline, 'dose')


def test_a_missing_verdict_does_not_pass(rng):
    people, _ = people_and_parcels(rng)
    mrs = mrs_table(people, Glx=rng.normal(1, 0.1, 40))
    mrs.loc[mrs['participant_id'] == 'sub-03', 'gate'] = np.nan
    study = make_study(parse_model(MODEL), None, mrs, people)
    assert study.baseline['Glx'].notna().sum() == 39


def test_a_missing_metabolite_does_not_drop_another(rng):
    people, _ = people_and_parcels(rng)
    gln = rng.normal(0.3, 0.05, 40)
    gln[:29] = np.nan
    mrs = mrs_table(people, Glu=rng.normal(1.4, 0.2, 40), Gln=gln)
    model = parse_model({**MODEL, 'Covariates': [],
                         'Mrs': {'Primary': ['Glu'], 'Secondary': ['Gln', 'GABA']}})  # fmt: skip
    table = run_statistics(model, None, mrs, people, None, rng)['mrs_group']
    glu = one(table, analysis='mrs_t', response='Glu')
    few = one(table, analysis='mrs_t', response='Gln')
    assert (glu['n'], few['n']) == (40, 11)
    assert few['detected_rate'] == pytest.approx(11 / 40)
    assert 'no GABA in unit scheme ratio_tcr' in one(table, response='GABA')['note']


def test_baseline_is_the_session_that_the_model_names(rng):
    people, parcels = people_and_parcels(rng)
    later = parcels.assign(session_id='ses-post', value=parcels['value'] + 1)
    both = pd.concat([parcels.assign(session_id='ses-pre'), later])
    for wanted, shift in (('pre', 0.0), ('post', 1.0)):
        model = parse_model({**MODEL, 'Sessions': {'Baseline': wanted}})
        base = make_study(model, both, None, people).baseline.set_index('participant_id')
        expected = parcels.set_index('participant_id')['value'] + shift
        np.testing.assert_allclose(base['thickness_c1'], expected)
    with pytest.raises(InputDataError, match='there are: ses-pre, ses-post'):
        _ = make_study(parse_model({**MODEL, 'Sessions': {'Baseline': 'x'}}), both, None,
                       people).baseline  # fmt: skip
    lacking = both[~((both['session_id'] == 'ses-pre') & (both['participant_id'] == 'sub-05'))]
    study = make_study(parse_model({**MODEL, 'Sessions': {'Baseline': 'pre'}}), lacking, None,
                       people)  # fmt: skip
    unseen = pd.concat([people, people.iloc[:1].assign(participant_id='sub-unseen')])
    everybody = make_study(
        parse_model({**MODEL, 'Sessions': {'Baseline': 'pre'}}), lacking, None, unseen
    )
    assert 'sub-unseen' in set(everybody.baseline['participant_id'])
    assert 'sub-05' not in set(everybody.baseline['participant_id'])
    flow = participant_flow(study)
    assert flow.loc[
        flow['excluded'] == 'no baseline session, ses-pre', 'n_participants'
    ].tolist() == [1]
    ordered = parse_model({**MODEL, 'Sessions': {'Order': ['pre', 'post']}})
    assert set(make_study(ordered, both, None, people).baseline['session_id']) == {'ses-pre'}


def exact_sample(rng, n, mean, sd):
    x = rng.standard_normal(n)
    return mean + sd * (x - x.mean()) / x.std(ddof=1)


PRINTED = {
    'Glu': ((1.38, 0.23), (1.57, 0.24), 2.34, 0.2),
    'Glx': ((2.01, 0.53), (2.23, 0.51), 1.27, 0.05),
    'tNAA': ((1.08, 0.19), (1.15, 0.11), 1.37, 0.05),
    'tCho': ((0.23, 0.03), (0.25, 0.03), 1.89, 0.2),
    'Ins': ((0.70, 0.13), (0.75, 0.11), 1.12, 0.2),
}
"""Table 3 of doi:10.1093/schbul/sbv151: responsive, resistant, |T(35)|, tolerance of rounding."""


def test_tables_of_the_glutamate_paper_come_out_of_its_means_and_sds(rng):
    sizes = {'responsive': (20, 18), 'resistant': (21, 19)}
    people, rows = [], []
    for i, (group, (n, n_used)) in enumerate(sizes.items()):
        age = exact_sample(rng, n, (39.2, 41.2)[i], (8, 13)[i])
        dose = exact_sample(rng, n, (315.6, 682.5)[i], (246.1, 459.1)[i])
        males = (12, 14)[i]
        smokers = 11
        for j in range(n):
            name = f'sub-{group}{j:02d}'
            people.append({
                'participant_id': name, 'group': group, 'age': age[j], 'cpz_dose': dose[j],
                'sex': 'M' if j < males else 'F', 'smoking': 'yes' if j < smokers else 'no',
                'illness_duration': rng.normal(14, 8), 'panss_positive': 10 + j % 7,
                'panss_negative': 11 + j % 5, 'panss_general': 22 + j % 9, 'panss_total': 43 + j,
            })  # fmt: skip
        for metabolite, printed in PRINTED.items():
            values = exact_sample(rng, n_used, *printed[i])
            values = np.append(values, [np.nan] * (n - n_used))
            rows += [
                {'participant_id': f'sub-{group}{j:02d}', 'metabolite': metabolite,
                 'unit_scheme': 'ratio_tcr', 'value': 1.0 if j >= n_used else values[j],
                 'gate': 'fail' if j >= n_used else 'pass'}
                for j in range(n)
            ]  # fmt: skip
    model = light(read_model('acc-glutamate'))
    tables = run_statistics(model, None, pd.DataFrame(rows), pd.DataFrame(people), None, rng)
    table = tables['mrs_group']
    for metabolite, (_, _, t, tolerance) in PRINTED.items():
        row = one(table, analysis='mrs_t', response=metabolite)
        assert row['contrast'] == 'resistant - responsive'
        assert row['value'] == pytest.approx(t, abs=tolerance)
        assert row['df2'] == 35
        assert row['n_per_group'] == 'resistant=19;responsive=18'
        assert row['excluded'] == f'{metabolite} failed quality gate=4'
    glu = one(table, analysis='mrs_t', response='Glu')
    assert glu['effect'] == pytest.approx(0.76, abs=0.06)
    assert glu['correction'] == 'none'
    together = table[table['analysis'] == 'mrs_together'].set_index('response')
    assert set(together.index) == {'Glu', 'Glx'}
    assert set(together['family_size']) == {2}
    assert set(together['correction']) == {'bonferroni'}
    np.testing.assert_allclose(together['p_corrected'], np.minimum(together['p_unc'] * 2, 1))
    assert together.loc['Glu', 'p_unc'] == glu['p_unc']
    secondary = table[(table['analysis'] == 'mrs_t') & (table['response'] != 'Glu')]
    assert set(secondary['family_size']) == {4}
    np.testing.assert_allclose(secondary['p_bonf'], np.minimum(secondary['p_unc'] * 4, 1))
    nuisance = table[(table['analysis'] == 'mrs_nuisance') & (table['response'] == 'Glu')]
    assert {'age', 'cpz_dose'} <= set(nuisance['nuisance'])
    assert set(nuisance['df2']) == {34}
    absent = one(table, analysis='mrs_nuisance', nuisance='mrs_f_gm')
    assert absent['note'].startswith("not done: there is no column 'mrs_f_gm'")
    dose = one(tables['demographics'], response='cpz_dose')
    assert dose['p_unc'] < 0.05
    sex = one(tables['demographics'], response='sex', analysis='demographics')
    assert sex['p_unc'] > 0.1
    panss = tables['clinical'][tables['clinical']['term'].str.startswith('panss')]
    assert set(panss['family_size']) == {4}
    assert set(panss['contrast']) == {'within groups', 'all groups', 'responsive', 'resistant'}


@pytest.mark.parametrize(
    ('dataset', 'expected'),
    [('ds000030', {'CONTROL': 130, 'ADHD': 43, 'BIPOLAR': 49, 'SCHZ': 50}),
     ('ds004302', {'HC': 25, 'AVH-': 23, 'AVH+': 23})],
)  # fmt: skip
def test_real_tables_run_as_they_are(shared_data, dataset, expected, rng):
    people = pd.read_csv(shared_data / 'clinical' / dataset / 'participants.tsv', sep='\t')
    content = propose_model(people)
    content['Permutations'] = 0
    content['Demographics']['Categorical'] += [
        name for name in ('ScannerSerialNumber', 'ghost_NoGhost') if name in people
    ]
    parcels = pd.DataFrame({
        'participant_id': people['participant_id'], 'component': 1, 'metric': 'thickness',
        'value': rng.normal(3, 0.2, len(people)),
    })  # fmt: skip
    tables = run_statistics(parse_model(content), parcels, None, people, None, rng)
    row = one(tables['ancova'], term='group')
    counts = dict(part.split('=') for part in row['n_per_group'].split(';'))
    assert {level: int(n) for level, n in counts.items()} == expected
    assert np.isfinite(row['p_unc'])
    demographics = tables['demographics']
    assert demographics['p_unc'].notna().sum() >= 2
    if dataset == 'ds004302':
        scores = one(demographics, response='psyrats')
        assert 'HC' in scores['note']
        assert scores['contrast'] == 'AVH- - AVH+' or scores['contrast'] == 'AVH+ - AVH-'


def test_cells_are_written_the_same_way_everywhere():
    table = pd.DataFrame({'a': [1 / 3, np.nan], 'b': ['x\ty', ''], 'c': [True, False]})
    assert table_text(table) == 'a\tb\tc\n0.333333\tx y\ttrue\nn/a\tn/a\tfalse\n'


def test_descriptions_are_of_columns_that_no_common_column_hides():
    assert not set(DESCRIPTIONS) & set(COLUMNS)


def test_every_analysis_of_the_package_is_listed_once_and_has_a_heading():
    """A function with the signature of an analysis that nobody listed would be silently absent."""
    listed = [item.function for item in ANALYSES]
    assert len(set(listed)) == len(listed)
    assert {item.table for item in ANALYSES} <= set(TITLES)
    folder = Path(run.__file__).parent
    shape = ['study', 'earlier', 'rng']
    defined = set()
    for path in folder.rglob('*.py'):
        parts = path.relative_to(folder).with_suffix('').parts
        module = importlib.import_module('.'.join(['bids_acc.group.statistics', *parts]))
        for name, thing in inspect.getmembers(module, inspect.isfunction):
            own = thing.__module__ == module.__name__ and not name.startswith('_')
            if own and list(inspect.signature(thing).parameters) == shape:
                defined.add(thing)
    assert defined == set(listed)


APART = {
    'r': "Fisher's interval approximates the t test of a correlation",
    'partial_r': "Fisher's interval approximates the t test of a correlation",
}
"""Effects whose interval does not come from the distribution of their test, and why."""


def test_an_interval_excludes_the_null_exactly_when_p_is_at_most_alpha(tables):
    """Rows whose p comes from a permutation or an exact test are no part of this."""
    seen = set()
    for name, table in tables.items():
        if 'p_unc' not in table:
            continue
        tested = table[
            table['statistic'].isin(['t', 'F', 'chi2', 'z']) & ~table['effect_name'].isin(APART)
        ]
        tested = tested[tested[['p_unc', 'ci_low', 'ci_high']].notna().all(axis=1)]
        excludes = (tested['ci_low'] > 0) | (tested['ci_high'] < 0)
        wrong = tested[excludes != (tested['p_unc'] <= 0.05)]
        assert wrong.empty, (name, wrong[['analysis', 'response', 'p_unc', 'ci_low', 'ci_high']])
        seen |= set(tested['effect_name'])
    assert {'partial_eta2', 'cramers_v', 'hedges_g', 'hedges_g_adjusted'} <= seen
