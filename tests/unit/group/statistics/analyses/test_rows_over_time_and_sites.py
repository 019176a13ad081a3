"""Rows of the tables mixture, change, meta, prediction and treatment on a simulated study."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bids_acc.exceptions import InputDataError
from bids_acc.group.formulas.mixed import mixed_model
from bids_acc.group.formulas.mixture import MixtureFit
from bids_acc.group.formulas.results import TestResult
from bids_acc.group.statistics.analyses import (
    longitudinal_rows,
    mixture_rows,
    prediction_rows,
    site_rows,
    treatment_rows,
)
from bids_acc.group.statistics.figures.tests import trajectory_figure
from bids_acc.group.statistics.model.declaration import parse_model
from bids_acc.group.statistics.rows.row import COLUMNS, Family, finish_table
from bids_acc.group.statistics.run import run_statistics
from bids_acc.group.statistics.study.joining import make_study
from bids_acc.report.findings import significant_findings
from bids_acc.report.group_page import SECTIONS, TABLES

N = 60


def content(**sections):
    return {
        'Name': 'test', 'ModelVersion': '1',
        'Group': {'Column': 'group', 'Levels': ['HC', 'resistant'], 'Reference': 'HC'},
        'Cohort': 'cohort',
        'Covariates': [{'Name': 'age', 'Kind': 'continuous'}],
        'Mrs': {'UnitScheme': 'ratio_tcr', 'Primary': ['Glu'], 'Secondary': ['NAA']},
        **sections,
    }  # fmt: skip


def study(sessions=('ses-1', 'ses-2'), shift=0.0, **sections):
    rng = np.random.default_rng(7)
    subjects = [f'sub-{i:02d}' for i in range(N)]
    resistant = np.arange(N) % 2 == 1
    people = pd.DataFrame(
        {
            'participant_id': subjects, 'group': np.where(resistant, 'resistant', 'HC'),
            'cohort': np.where(np.arange(N) < N // 2, 'tokyo', 'toronto'),
            'age': rng.uniform(20, 50, N).round(1),
            'outcome': np.where(resistant, 'yes', 'no'), 'trrip': 'undetermined',
        }
    )  # fmt: skip
    people.loc[resistant, 'trrip'] = 'TRS'
    base = rng.normal(1.4, 0.2, N) + 0.4 * resistant
    rows = []
    for visit, session in enumerate(sessions):
        glu = base + visit * np.where(resistant, 0.3, 0) + rng.normal(0, 0.05, N)
        glu += shift * (people['cohort'] == 'toronto').to_numpy()
        for name, values in (('Glu', glu), ('NAA', rng.normal(1.1, 0.1, N))):
            rows.append(
                pd.DataFrame(
                    {'participant_id': subjects, 'session_id': session, 'voxel': 'ACC',
                     'metabolite': name, 'unit_scheme': 'ratio_tcr', 'value': values,
                     'gate': 'pass', 'gate_reason': ''}
                )
            )  # fmt: skip
    mrs = pd.concat(rows, ignore_index=True)
    # One subject without the second visit, one value that failed its gate.
    mrs = mrs[~((mrs['participant_id'] == 'sub-03') & (mrs['session_id'] == 'ses-2'))]
    mrs.loc[(mrs['participant_id'] == 'sub-04') & (mrs['metabolite'] == 'Glu'), 'gate'] = 'fail'
    return make_study(parse_model(content(**sections)), None, mrs, people)


def finish(rows):
    return finish_table(rows, {}, Family())


def rng():
    return np.random.default_rng(0)


class TestChange:
    @pytest.fixture(scope='class')
    def table(self):
        sections = {'ChangeCorrelations': [['Glu', 'NAA']]}
        rows = longitudinal_rows.change_between_sessions(study(Sessions=sections), {}, rng())
        return finish(rows)

    def test_all_analyses_and_columns(self, table):
        assert set(table['analysis']) == {
            'paired change', 'mixed model', 'mixed model completers', 'baseline-adjusted',
            'change-change',
        }  # fmt: skip
        assert set(COLUMNS) <= set(table.columns)
        assert not table['note'].str.contains('not done').any()

    def test_planted_interaction_is_found(self, table):
        row = table.query(
            "analysis == 'mixed model' and response == 'Glu' and term == 'session_id:group'"
        )
        assert (row['p_unc'] < 1e-4).all()
        assert list(row['cohort']) == ['tokyo', 'toronto']

    def test_direction_and_counts(self, table):
        row = table.query(
            "analysis == 'paired change' and response == 'Glu' and term == 'resistant' "
            "and cohort == 'tokyo'"
        ).iloc[0]
        assert row['contrast'] == 'ses-2 - ses-1'
        assert row['mean_change'] == pytest.approx(0.3, abs=0.05)
        assert row['n'] == 14  # sub-03 has no second visit
        assert row['excluded'] == 'no ses-2=1'

    def test_reasons_are_given(self, table):
        row = table.query(
            "analysis == 'baseline-adjusted' and response == 'Glu' and cohort == 'tokyo'"
        ).iloc[0]
        assert row['excluded'] == 'Glu failed quality gate in ses-1=1;no ses-2=1'
        assert row['n'] == 28

    def test_effects_have_a_meaning_and_an_interval(self, table):
        tested = table[table['p_unc'].notna()]
        assert tested[['effect', 'ci_low', 'ci_high']].notna().all(axis=None)
        mixed = table.query(
            "analysis == 'mixed model' and response == 'Glu' and cohort == 'tokyo'"
        )
        row = mixed.set_index('term').loc['session_id:group']
        assert row['effect_name'] == 'difference_of_differences'
        assert row['contrast'] == '(ses-2 - ses-1) x (resistant - HC)'
        assert row['effect'] == pytest.approx(0.3, abs=0.06)
        adjusted = table.query("analysis == 'baseline-adjusted' and response == 'Glu'").iloc[0]
        assert adjusted['contrast'] == 'resistant - HC'
        assert adjusted['term'] == 'group in ses-2'

    def test_a_measure_that_is_the_same_in_everybody_costs_itself_only(self):
        one = study(Mrs={'UnitScheme': 'ratio_tcr', 'Secondary': ['NAA']})
        one.wide['NAA'] = 1.0
        table = finish(longitudinal_rows.change_between_sessions(one, {}, rng()))
        alike = table[table['response'] == 'NAA']
        assert alike['note'].str.startswith('not done: ').all()
        assert alike['note'].str.contains('same').all()
        assert table.query("response == 'Glu'")['p_unc'].notna().all()

    def test_later_visits_follow_the_baseline_whatever_the_alphabet_says(self):
        one = study(sessions=('ses-pre', 'ses-post'))
        assert longitudinal_rows.session_roles(one) == ('ses-pre', ['ses-post'])
        assert set(one.baseline['session_id']) == {'ses-pre'}
        table = finish(longitudinal_rows.change_between_sessions(one, {}, rng()))
        paired = table.query("analysis == 'paired change' and term == 'resistant'")
        assert set(paired['contrast']) == {'ses-post - ses-pre'}

    def test_covariates_are_not_in_a_family(self, table):
        ages = table.query("analysis == 'mixed model' and term == 'age'")
        assert (ages['family'] == '').all()

    def test_one_session_gives_nothing(self):
        single = study(sessions=('ses-1',))
        assert longitudinal_rows.change_between_sessions(single, {}, rng()) == []

    def test_unknown_session_is_refused(self):
        with pytest.raises(InputDataError, match="'week12'"):
            longitudinal_rows.change_between_sessions(
                study(Sessions={'FollowUps': ['week12']}), {}, rng()
            )


class TestImprovement:
    """Response made from a score of two sessions."""

    def make(self, **changes):
        rng = np.random.default_rng(1)
        n = 50
        who = [f'sub-{i:02d}' for i in range(n)]
        drop = np.where(np.arange(n) % 2, 0.7, 0.2)
        start = rng.integers(20, 40, n).astype(float)
        visits = pd.concat([
            pd.DataFrame({'participant_id': who, 'session_id': session, 'madrs': score,
                          'group': np.resize(['HC', 'resistant'], n), 'cohort': 'x', 'age': 30.0})
            for session, score in (('ses-post', start * (1 - drop)), ('ses-pre', start))
        ])  # fmt: skip
        visits.loc[(visits['participant_id'] == 'sub-07') & (visits['session_id'] == 'ses-post'),
                   'madrs'] = np.nan  # fmt: skip
        glu = drop + rng.normal(0, 0.1, n)
        mrs = pd.DataFrame({'participant_id': who, 'session_id': 'ses-pre', 'metabolite': 'Glu',
                            'unit_scheme': 'ratio_tcr', 'value': glu, 'gate': 'pass'})  # fmt: skip
        sections = {
            'Sessions': {'Improvement': {'Score': 'madrs', **changes}},
            'Prediction': {'Outcome': 'madrs_response', 'Positive': 'responder',
                           'Permutations': 19, 'Repeats': 1},
        }  # fmt: skip
        return make_study(parse_model(content(**sections)), None, mrs, visits)

    def test_columns(self):
        base = self.make().baseline.set_index('participant_id')
        assert base.loc['sub-01', 'madrs_improvement'] == pytest.approx(70)
        assert base.loc['sub-02', 'madrs_improvement'] == pytest.approx(20)
        assert base.loc['sub-01', 'madrs_response'] == 'responder'
        assert base.loc['sub-02', 'madrs_response'] == 'nonresponder'
        assert base.loc['sub-07', ['madrs_improvement', 'madrs_response']].isna().all()
        strict = self.make(Threshold=80).baseline
        assert set(strict['madrs_response'].dropna()) == {'nonresponder'}
        shifted = self.make(Minimum=10).baseline.set_index('participant_id')
        own = self.make().wide.query("participant_id == 'sub-02'").set_index('session_id')
        before, after = own.loc[['ses-pre', 'ses-post'], 'madrs']
        expected = 100 * (before - after) / (before - 10)
        assert shifted.loc['sub-02', 'madrs_improvement'] == pytest.approx(expected)

    def test_baseline_predicts_response(self):
        table = finish(prediction_rows.prediction_of_outcome(self.make(), {}, rng()))
        row = table[table['analysis'] == 'prediction'].iloc[0]
        assert row['statistic'] == 'AUC'
        assert row['value'] > 0.9
        assert row['p_unc'] == pytest.approx(0.05)
        assert row['excluded'] == 'outcome or predictor missing=1'
        assert row['n_per_group'] == 'nonresponder=25;responder=24'

    @pytest.mark.parametrize('change', [{'Score': 'hamd'}, {'Session': 'later'}])
    def test_what_is_not_there_is_named(self, change):
        with pytest.raises(InputDataError, match='Sessions/Improvement: there is no'):
            self.make(**change)


class TestMixture:
    def test_rows(self):
        wanted = {'Bootstraps': 19, 'Measures': ['Glu', 'Gln']}
        one = study(Mixture=wanted)
        table = finish(mixture_rows.mixture_of_populations(one, {}, rng()))
        assert len(table) == 6  # Glu only, two cohorts, three models
        weights = table.groupby('cohort')['effect'].sum()
        np.testing.assert_allclose(weights, 1)
        tested = table[table['statistic'] == 'LR']
        assert tested['p_unc'].between(0.05, 1).all()
        assert 'Glu failed quality gate=1' in set(table['excluded'])
        assert table['means'].str.count(';').tolist() == [0, 1, 2, 0, 1, 2]

    def test_groups_can_be_chosen(self):
        one = study(Mixture={'Bootstraps': 0, 'Groups': ['resistant'], 'MaxComponents': 1})
        table = finish(mixture_rows.mixture_of_populations(one, {}, rng()))
        assert set(table['n_per_group']) == {'resistant=15'}

    def test_too_few_values_is_a_row_not_a_crash(self):
        one = study(Mixture={'Bootstraps': 0})
        one.wide.loc[one.wide['cohort'] == 'tokyo', 'Glu'] = np.nan
        table = finish(mixture_rows.mixture_of_populations(one, {}, rng()))
        tokyo = table[table['cohort'] == 'tokyo']
        assert tokyo['note'].str.contains('not done').all()
        assert len(table[table['cohort'] == 'toronto']) == 3


class TestMeta:
    def test_rows(self):
        table = finish(site_rows.sites_side_by_side(study(shift=1.0), {}, rng()))
        glu = table[table['response'] == 'Glu'].set_index('analysis')
        assert set(glu.index) == {
            'per site', 'pooled with site', 'group by site', 'meta-analysis'
        }  # fmt: skip
        assert glu.loc['meta-analysis', 'effect'] > 1
        assert glu.loc['meta-analysis', 'contrast'] == 'resistant - HC'
        assert 0 <= glu.loc['meta-analysis', 'i2_pct'] < 100
        assert glu.loc['pooled with site', 'effect'] == pytest.approx(0.4, abs=0.15)
        assert glu.loc['pooled with site', 'p_unc'] < 1e-6
        assert glu.loc['meta-analysis', 'excluded'] == 'Glu failed quality gate=1'

    def test_combat_keeps_the_group_difference(self):
        sections = {'Harmonise': 'combat'}
        table = finish(site_rows.sites_side_by_side(study(shift=1.0, Sites=sections), {}, rng()))
        row = table.query("analysis == 'after ComBat' and response == 'Glu'").iloc[0]
        assert row['effect'] == pytest.approx(0.4, abs=0.15)
        assert row['excluded'] == 'a measure or covariate missing=1'

    def test_combat_guard_is_a_row(self):
        sections = {'Harmonise': 'combat', 'MinPerSite': 40}
        rows = site_rows.sites_side_by_side(study(Sites=sections), {}, rng())
        assert any('not done: ComBat needs 40' in row.note for row in rows)

    def test_groups_of_one_cohort_only_are_not_compared(self):
        one = study()
        one.wide.loc[(one.wide['cohort'] == 'tokyo'), 'group'] = 'HC'
        assert site_rows.sites_side_by_side(one, {}, rng()) == []


class TestPrediction:
    options = {
        'Outcome': 'outcome',
        'Positive': 'yes',
        'Permutations': 1,
        'Repeats': 1,
        'Folds': 3,
    }

    def test_rows(self):
        one = study(Prediction={**self.options, 'LeaveSiteOut': True})
        table = finish(prediction_rows.prediction_of_outcome(one, {}, rng()))
        told = table[table['analysis'] == 'sensitivity']
        assert set(told['term']) == {'folds', 'leave-site-out'}
        assert told['effect'].between(0.5, 1).all()
        table = table[table['analysis'] == 'prediction']
        assert list(table['term']) == ['folds', 'leave-site-out']
        assert (table['value'] > 0.7).all()
        assert list(table['n_per_group']) == ['no=30;yes=30'] * 2
        assert not [c for c in table.columns if 'train' in c]

    def test_small_class_is_a_row(self):
        one = study(Prediction={**self.options, 'MinPerClass': 31})
        (row,) = prediction_rows.prediction_of_outcome(one, {}, rng())
        assert 'fewer than 31' in row.note

    def test_combat_inside_the_folds(self):
        one = study(shift=2.0, Prediction=self.options, Sites={'Harmonise': 'combat'})
        row, *_ = prediction_rows.prediction_of_outcome(one, {}, rng())
        assert row.test.value > 0.7
        assert row.excluded == {'outcome or predictor missing': 1}

    def test_nothing_asked_nothing_done(self):
        assert prediction_rows.prediction_of_outcome(study(), {}, rng()) == []


def test_treatment_counts():
    one = study(TreatmentHistory={'Definition': 'trrip'})
    table = finish(treatment_rows.treatment_groups(one, {}, rng()))
    row = table.query("cohort == 'tokyo' and term == 'resistant'").iloc[0]
    assert row['note'] == 'TRS=15'
    assert table.query("term == 'HC'")['effect'].eq(1).all()
    assert treatment_rows.treatment_groups(study(), {}, rng()) == []


def test_whole_run_with_a_preset_is_the_same_twice():
    one = study()
    tables = [
        run_statistics(
            parse_model(content(Mixture={'Bootstraps': 5}, Sites={'Harmonise': 'combat'})),
            None, one.mrs, one.baseline[['participant_id', 'group', 'cohort', 'age']],
            None, np.random.default_rng(3),
        )
        for _ in range(2)
    ]  # fmt: skip
    for name in ('change', 'meta', 'mixture'):
        pd.testing.assert_frame_equal(tables[0][name], tables[1][name])
        assert (tables[0][name]['method'] != '').any()


def test_everything_at_once_in_one_run():
    """Visits, sites, prediction, treatment history and mixtures of the same people."""
    generator = np.random.default_rng(3)
    n, who = 80, [f'sub-{i:02d}' for i in range(80)]
    trrip = np.resize(['HC', 'TRS'], n)
    severe = trrip == 'TRS'
    base = generator.normal(1.4, 0.15, n) + 0.2 * severe
    visits, mrs = [], []
    for visit, session in enumerate(('ses-pre', 'ses-post')):
        score = generator.normal(30, 4, n) * (1 - visit * np.where(np.arange(n) % 4 < 2, 0.7, 0.2))
        visits.append(pd.DataFrame({
            'participant_id': who, 'session_id': session, 'trrip': trrip, 'madrs': score,
            'site': np.where(np.arange(n) < 40, 'a', 'b'), 'age': np.linspace(20, 50, n),
        }))  # fmt: skip
        for name, centre in (('Glu', base - 0.1 * visit * severe), ('tNAA', np.full(n, 1.3))):
            mrs.append(pd.DataFrame({
                'participant_id': who, 'session_id': session, 'metabolite': name,
                'unit_scheme': 'ratio_tcr', 'value': centre + generator.normal(0, 0.05, n),
                'gate': 'pass',
            }))  # fmt: skip
    model = parse_model({
        'Name': 'all', 'Group': {'Column': 'trrip', 'Levels': ['HC', 'TRS']},
        'Covariates': [{'Name': 'age'}], 'Ratios': ['Glu/tNAA'], 'Permutations': 19,
        'Mrs': {'Primary': ['Glu'], 'Secondary': ['tNAA'], 'Together': {'two': ['Glu', 'tNAA']}},
        'Sites': {'Column': 'site', 'Harmonise': 'combat'}, 'Norms': {'Level': 'HC'},
        'Sessions': {'ChangeCorrelations': [['Glu', 'madrs']],
                     'Improvement': {'Score': 'madrs'}},
        'Prediction': {'Outcome': 'madrs_response', 'Positive': 'responder', 'Permutations': 9,
                       'Repeats': 1, 'Folds': 3, 'LeaveSiteOut': True},
        'Mixture': {'Bootstraps': 9}, 'TreatmentHistory': {'Definition': 'trrip'},
        'Demographics': {'Continuous': ['age', 'madrs']}, 'Clinical': {'Scores': ['madrs']},
        'Contrasts': [{'Name': 'TRS - HC', 'Weights': {'TRS': 1, 'HC': -1}}],
    })  # fmt: skip
    tables = run_statistics(
        model, None, pd.concat(mrs), pd.concat(visits), None, np.random.default_rng(1)
    )
    wanted = {'demographics', 'mrs_group', 'contrasts', 'clinical', 'zscores', 'change', 'meta',
              'mixture', 'prediction', 'treatment', 'diagnostics'}  # fmt: skip
    assert set(tables) >= wanted
    for name in wanted:
        undone = tables[name]['note'].astype(str).str.contains('not done|refused')
        assert not undone.any(), (name, tables[name].loc[undone, 'note'].tolist())
    assert set(tables['meta']['analysis']) >= {'meta-analysis', 'after ComBat'}
    assert set(tables['prediction']['term']) == {'folds', 'leave-site-out'}
    change = tables['change'].query("response == 'Glu' and term == 'session_id:group'").iloc[0]
    assert change['contrast'] == '(ses-post - ses-pre) x (TRS - HC)'
    assert change['effect'] == pytest.approx(-0.1, abs=0.04)
    assert len(tables['mrs_group'].query("analysis == 'mrs_together'")) == 2


def test_the_page_of_a_study_over_time_is_about_change(tmp_path):
    """Planted: Glu of the resistant rises by 0.3 between the sessions."""
    made = study(Permutations=99, Replication={'Rule': 'none'}, Mixture={'Measures': []})
    tables = {'change': finish(longitudinal_rows.change_between_sessions(made, {}, rng()))}
    found = significant_findings(tables, 0.05)
    words = found['finding'].tolist()
    assert 'Glu changes more upwards in resistant than in HC (ses-2 - ses-1)' in words
    assert not any(text.startswith('NAA') for text in words)
    adjusted = found[found['finding'] == 'Glu is higher in resistant than in HC (group in ses-2)']
    assert adjusted['adjusted for'].tolist() == ['baseline, age']
    paired = found[found['finding'] == 'Glu is higher in ses-2 than in ses-1 (resistant)']
    assert paired['the same otherwise'].tolist() == ['agrees: signed ranks']
    change = tables['change'][tables['change']['analysis'] == 'mixed model']
    interaction = change[change['term'] == 'session_id:group']
    assert interaction['note'].str.contains('80 % power for differences of change of').all()
    figure = trajectory_figure(made, 'tokyo', made.measure('Glu'))
    lines = [len(axes.lines) for axes in figure.axes]
    people = made.wide[made.wide['cohort'] == 'tokyo'].groupby('participant_id')['Glu'].count()
    drawn = int((people >= 2).sum())
    assert sum(lines) == drawn + len(figure.axes) * 3  # two intervals and the line of means each
    before = ('Summary', 'Quality', 'Findings', 'People')
    results = [name for name in SECTIONS if name not in before]
    assert results[0] == 'Change'  # after what says who was studied, and how well
    assert TABLES['change'].section == 'Change'


def test_the_smallest_difference_of_change_has_80_percent_power():
    # a difference of that size has its t at the two quantiles' sum: power by the noncentral t
    result = TestResult(term='x', statistic='F', value=4.0, df1=1, df2=40.0, p=0.05, n=42,
                        effect_name='difference_of_differences', effect=0.5)  # fmt: skip
    text = longitudinal_rows.smallest_difference(result, 0.05)
    smallest = float(text.split(' of ')[2].split(' ')[0])
    ncp = smallest / 0.25
    assert stats.nct.sf(stats.t.ppf(0.975, 40), 40, ncp) == pytest.approx(0.8, abs=0.01)


def test_a_mixed_model_without_residual_is_refused():
    table = pd.DataFrame({
        'participant_id': np.repeat([f'sub-{i}' for i in range(8)], 2),
        'session_id': ['ses-1', 'ses-2'] * 8, 'group': np.repeat(['a', 'b'], 8),
    })  # fmt: skip
    table['y'] = np.repeat(np.arange(8.0), 2) + (table['session_id'] == 'ses-2')
    with pytest.raises(InputDataError, match='without any residual'):
        mixed_model(table, 'y', ['session_id', 'group'])


def test_who_belongs_to_which_component():
    fit = MixtureFit(weights=np.array([0.5, 0.5]), means=np.array([0.0, 5.0]),
                     sds=np.array([1.0, 1.0]), log_likelihood=0.0, n=3,
                     converged=True, degenerate=False)  # fmt: skip
    text = mixture_rows.members(fit, np.array([5.5, -0.2, 0.3]), ['sub-a', 'sub-b', 'sub-c'])
    assert text == '1: sub-b, sub-c; 2: sub-a'


def test_patients_who_are_followed_and_controls_who_are_measured_once():
    """The change of the one group that has later visits, and no comparison of changes."""
    whole = study()
    once = (whole.wide['group'] == 'HC') & (whole.wide['session_id'] == 'ses-2')
    part = replace(whole, wide=whole.wide[~once], gate_failed=whole.gate_failed[~once])
    rows = finish(longitudinal_rows.change_between_sessions(part, {}, np.random.default_rng(0)))
    glu = rows[rows['response'] == 'Glu']
    mixed = glu[(glu['analysis'] == 'mixed model') & (glu['term'] == 'session_id')]
    assert set(mixed['n_per_group']) <= {'resistant=15', 'HC=0;resistant=15', 'resistant=14'}
    assert mixed['note'].str.contains('without HC, measured once').all()
    assert mixed['effect'].to_numpy() == pytest.approx(0.3, abs=0.05)
    paired = glu[glu['analysis'] == 'paired change']
    assert np.isfinite(paired['p_unc']).all()
    assert not rows['note'].astype(str).str.contains('internal error').any()
    compared = rows[rows['analysis'] == 'baseline-adjusted']
    assert compared['p_unc'].isna().all()
