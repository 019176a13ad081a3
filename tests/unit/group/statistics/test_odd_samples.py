"""Samples on which a formula divides by zero, counts rounding as variation or says too much."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bids_acc.exceptions import InputDataError
from bids_acc.group.formulas.harmonise import ComBat
from bids_acc.group.formulas.linear import fit_ols
from bids_acc.group.formulas.longitudinal import paired_change
from bids_acc.group.formulas.mixed import mixed_model
from bids_acc.group.formulas.prediction import predict
from bids_acc.group.formulas.two_samples import one_way, student, welch
from bids_acc.group.places.placement import cortex_measures
from bids_acc.group.statistics.analyses.demographics import demographics
from bids_acc.group.statistics.analyses.diagnostics import diagnostics
from bids_acc.group.statistics.analyses.mrs_groups import metabolites_by_group
from bids_acc.group.statistics.analyses.replication import gate_decisions
from bids_acc.group.statistics.analyses.trial_rows import trials
from bids_acc.group.statistics.analyses.zscores import participant_scores
from bids_acc.group.statistics.figures.tests import _pairs
from bids_acc.group.statistics.model.declaration import parse_model
from bids_acc.group.statistics.rows.row import Family, finish_table
from bids_acc.group.statistics.study.confounding import Confounded, with_notes
from bids_acc.group.statistics.study.data import as_text
from bids_acc.group.statistics.study.joining import make_study
from bids_acc.group.statistics.study.proposal import propose_model
from bids_acc.group.statistics.study.voxels import Voxel, VoxelChoice, for_voxels, why_voxel
from bids_acc.report.group_page import NO_DIFFERENCE

CONTENT = {
    'Name': 'm', 'Group': {'Column': 'group', 'Levels': ['HC', 'TRS']},
    'Responses': {'Columns': ['volume']}, 'Mrs': {'Primary': [], 'Relation': None},
    'Mixture': {'Measures': []}, 'Permutations': 0, 'Replication': {'Rule': 'none'},
    'ExactBelow': 0,
}  # fmt: skip


def people(n: int = 24, **columns) -> pd.DataFrame:
    rng = np.random.default_rng(8)
    return pd.DataFrame({
        'participant_id': [f'sub-{i:02d}' for i in range(n)],
        'group': ['HC', 'TRS'] * (n // 2), 'volume': rng.normal(1500, 100, n),
    }).assign(**columns)  # fmt: skip


def rows_of(function, frame: pd.DataFrame, mrs: pd.DataFrame | None = None, **sections):
    """Return the finished rows of one analysis."""
    study = make_study(parse_model({**CONTENT, **sections}), None, mrs, frame)
    return finish_table(function(study, {}, np.random.default_rng(1)), {}, Family())


def glu(values) -> pd.DataFrame:
    return pd.DataFrame({
        'participant_id': [f'sub-{i:02d}' for i in range(len(values))], 'voxel': 'ACC',
        'metabolite': 'Glu', 'unit_scheme': 'ratio_tcr', 'gate': 'pass', 'value': values,
    })  # fmt: skip


class TestSomebodyAloneInALevel:
    """The leverage is one and the residual zero: what divides the two is rounding or NaN."""

    @staticmethod
    def fits(seed: int):
        rng = np.random.default_rng(seed)
        n = 24
        group = np.repeat([1.0, 0, -1], 8), np.repeat([0, 1.0, -1], 8)
        alone = np.ones(n)
        alone[5] = -1
        age = rng.normal(0, 10, n)
        X = np.column_stack([np.ones(n), *group, age, alone])
        y = rng.normal(1500, 100, n)
        rest = fit_ols(np.delete(X[:, :4], 5, axis=0), np.delete(y, 5))
        return fit_ols(X, y), rest

    @pytest.mark.parametrize('seed', range(12))
    def test_the_covariance_of_the_others_is_that_without_the_person(self, seed):
        fit, rest = self.fits(seed)
        of_groups = np.ix_([1, 2, 3], [1, 2, 3])
        np.testing.assert_allclose(
            fit.covariance_hc3()[of_groups], rest.covariance_hc3()[of_groups], rtol=1e-9
        )

    @pytest.mark.parametrize('seed', range(4))
    def test_nobody_is_called_influential_by_rounding(self, seed):
        fit, _ = self.fits(seed)
        assert np.isnan(fit.cooks_distance()[5])
        assert np.isfinite(np.delete(fit.cooks_distance(), 5)).all()

    def test_no_check_says_that_a_conclusion_changes_without_a_p(self):
        frame = people(handedness=['right'] * 23 + ['left'])
        frame['volume'] += 300 * (frame['group'] == 'TRS')
        covariates = [{'Name': 'handedness', 'Kind': 'categorical'}]
        rows = rows_of(diagnostics, frame, Covariates=covariates)
        assert rows.loc[rows['p_unc'].isna(), 'conclusion_changes'].ne('yes').all()
        assert 'sub-23' not in ' '.join(rows['influential'].dropna().astype(str))


class TestEqualValues:
    def test_constants_within_groups_do_not_differ_by_rounding(self):
        a, b, c = np.full(5, 0.1), np.full(7, 0.2), np.full(6, 0.3)
        for test in (student(a, b), welch(a, b), one_way([a, b, c])):
            assert np.isnan(test.value)
            assert np.isnan(test.p)

    def test_a_setting_of_the_scanner_that_belongs_to_the_group_says_why_there_is_no_test(self):
        frame = people()
        frame['te'] = np.where(frame['group'] == 'HC', 0.1, 0.2)
        row = rows_of(demographics, frame, Demographics={'Continuous': ['te']}).iloc[0]
        assert np.isnan(row['p_unc'])
        assert row['note'] == 'not done: nothing varies within the groups'
        assert not row['note'].startswith(NO_DIFFERENCE)  # the page would call it the same in all

    def test_one_group_is_not_said_to_be_one_category(self):
        frame = people().query("group == 'HC'")
        frame = frame.assign(hand=['left', 'right'] * 6)
        row = rows_of(demographics, frame, Demographics={'Categorical': ['hand']}).iloc[0]
        assert row['note'] == 'not done: one group only'
        assert not row['note'].startswith(NO_DIFFERENCE)

    def test_equal_changes_are_equal_whatever_rounding_says(self):
        frame = pd.DataFrame({
            'participant_id': list('abcabc'), 'session_id': ['1'] * 3 + ['2'] * 3,
            'glx': [0.1, 0.2, 0.3, 0.2, 0.3, 0.4],
        })  # fmt: skip
        with pytest.raises(InputDataError, match='changed by the same amount'):
            paired_change(frame, 'glx', first='1', second='2')

    def test_a_difference_of_exactly_zero_keeps_its_interval(self):
        levels = glu([1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0])
        rows = rows_of(metabolites_by_group, people(8), levels, Mrs={'Primary': ['Glu']})
        row = rows[rows['analysis'] == 'mrs_welch'].iloc[0]
        assert (row['effect'], row['ci_low']) == (0.0, pytest.approx(-row['ci_high']))
        assert row['ci_high'] > 0

    def test_equal_metabolites_are_not_said_to_be_few(self):
        rows = rows_of(metabolites_by_group, people(), glu([1.2] * 24), Mrs={'Primary': ['Glu']})
        notes = ' '.join(rows['note'])
        assert 'all values are the same' in notes
        assert 'fewer than two values' not in notes


def test_a_crossover_without_any_effect_of_period_is_no_error():
    frame = pd.DataFrame({
        'participant_id': np.repeat([f'sub-{i}' for i in range(6)], 2),
        'session_id': ['ses-1', 'ses-2'] * 6, 'group': np.repeat(['HC', 'TRS'] * 3, 2),
        'drug': ['a', 'b'] * 3 + ['b', 'a'] * 3,
        'volume': [1.0, 2, 2, 4, 3, 6, 2, 1, 4, 2, 6, 3],
    })  # fmt: skip
    found = rows_of(trials, frame, Sessions={'Crossover': {'Treatment': 'drug'}})
    rows = found[found['analysis'] == 'crossover'].groupby('term')['effect']
    assert rows.first()['period'] == 0


class TestPredictionOfFew:
    FAST = {'n_repeats': 1, 'n_permutations': 0}

    @staticmethod
    def table(n=48):
        rng = np.random.default_rng(2)
        return pd.DataFrame({'y': ['a', 'b'] * (n // 2), 'x': rng.normal(size=n)})

    def predict(self, table, **options):
        rng = np.random.default_rng(0)
        return predict(table, 'y', ['x'], rng=rng, positive='a', **{**self.FAST, **options})

    def test_many_small_sites_are_no_error(self):
        table = self.table().assign(site=np.repeat(list('abcdefghijkl'), 4))
        assert self.predict(table, site='site').fold_scores.shape == (1, 5)

    def test_people_without_a_site_are_no_site(self):
        table = self.table().assign(site=[np.nan] * 6 + ['m'] * 20 + ['n'] * 22)
        result = self.predict(table, site='site', scheme='leave-site-out')
        assert (result.n, result.fold_scores.shape) == (42, (1, 2))
        assert result.rows.tolist() == list(range(6, 48))

    @pytest.mark.parametrize(
        ('rows', 'words'),
        [
            (range(8), '4 people in the larger class are fewer than 5 folds'),
            ([*range(0, 20, 2), 1, 3], 'a training fold has 1 of the smaller class'),
        ],
    )
    def test_too_few_are_refused_in_words_though_forced(self, rows, words):
        with pytest.raises(InputDataError, match=words):
            self.predict(self.table().iloc[list(rows)], force=True)

    def test_few_numbers_are_predicted_or_refused_too(self):
        rng = np.random.default_rng(0)
        table = pd.DataFrame({'y': rng.normal(size=6), 'x': rng.normal(size=6)})
        given = {'rng': rng, 'force': True, **self.FAST}
        assert predict(table, 'y', ['x'], **given).n == 6
        with pytest.raises(InputDataError, match='4 people are fewer than 5 folds'):
            predict(table.iloc[:4], 'y', ['x'], **given)


def test_copies_of_a_feature_are_refused_by_combat():
    table = pd.DataFrame({'a': np.random.default_rng(0).normal(size=40), 'site': ['x', 'y'] * 20})
    with pytest.raises(InputDataError, match='copies of one feature'):
        ComBat().fit(table.assign(b=table['a']))


def test_scanners_whose_numbers_agree_in_six_digits_are_different_ones():
    assert as_text(pd.Series([1234567, 1234568.0])).tolist() == ['1234567', '1234568']
    frame = people(group=[20230101, 20230102] * 12)
    assert propose_model(frame)['Group']['Levels'] == ['20230101', '20230102']


def test_a_group_whose_name_ends_another_is_not_compared_in_its_row():
    pair = Confounded('all', 'site', ('HC', 'R'), 20, 0, {'A': (10, 0), 'B': (0, 10)})
    rows = pd.DataFrame({
        'cohort': 'all', 'term': 'group', 'contrast': '', 'p_unc': 0.2, 'note': '',
        'n_per_group': ['HC=9;NR=9', 'HC=9;R=0;NR=9', 'HC=9;R=9;NR=9'],
    })  # fmt: skip
    assert with_notes(rows, [pair])['note'].astype(bool).tolist() == [False, False, True]


def test_the_decision_names_the_rule_that_was_asked_for():
    table = pd.DataFrame({'response': 'x', 'term': 'group', 'cohort': ['a', 'b'],
                          'analysis': 'ancova', 'p_corrected': [0.3, 0.4]})  # fmt: skip
    for rule, words in (('any', 'in any cohort'), ('every', 'in all cohorts')):
        model = parse_model({**CONTENT, 'Replication': {'Rule': rule}})
        assert gate_decisions({'ancova': table}, model)['reason'][0].endswith(words)


def test_voxels_are_not_analysed_for_reasons_of_their_own():
    found = [Voxel(name, (name,), n, n) for name, n in (('a', 9), ('b', 9), ('c', 4))]
    assert why_voxel(found).count('(as many usable values, by name or fewer usable values)') == 1
    assert '(fewer usable values)' in why_voxel([found[0], found[2]])


def test_whatever_names_a_metabolite_names_it_in_each_voxel():
    model = parse_model({
        **CONTENT, 'Mrs': {'Primary': ['Glx'], 'Relation': None},
        'Sessions': {'ChangeCorrelations': [['Glx', 'panss'], ['Glx', 'NAA']]},
        'Subsamples': [{'Name': 'patients', 'Columns': ['Glx'], 'Where': {'group': ['TRS']}}],
        'OwnCovariates': [{'Columns': ['Glx', 'volume'], 'Covariates': ['fwhm']}],
    })  # fmt: skip
    both = VoxelChoice((Voxel('ACC', ('ACC',), 9, 9), Voxel('STR', ('STR',), 9, 9)))
    content = for_voxels(model, both, ['Glx', 'NAA']).content
    assert content['Sessions']['ChangeCorrelations'] == [
        ['Glx_ACC', 'panss'], ['Glx_STR', 'panss'], ['Glx_ACC', 'NAA_ACC'], ['Glx_STR', 'NAA_STR'],
    ]  # fmt: skip
    assert content['Subsamples'][0]['Columns'] == ['Glx_ACC', 'Glx_STR']
    assert content['OwnCovariates'][0]['Columns'] == ['Glx_ACC', 'Glx_STR', 'volume']
    assert model.content['OwnCovariates'][0]['Columns'] == ['Glx', 'volume']


def test_every_pair_has_its_bracket_though_one_group_is_small():
    model = parse_model({**CONTENT, 'Group': {'Column': 'group', 'Levels': ['HC', 'FL', 'TRS']}})
    study = make_study(model, None, None, people())
    rows = pd.DataFrame(
        [('mrs_t', 'FL - HC', 0.01), ('mrs_t', 'TRS - HC', 0.02), ('mrs_exact', 'TRS - HC', 0.03)],
        columns=['analysis', 'contrast', 'p_corrected'],
    ).assign(cohort='all', response='Glu')
    assert _pairs(rows, study, 'all', 'Glu') == [('FL', 'HC', 0.01), ('TRS', 'HC', 0.03)]


def test_cortex_of_which_nothing_was_measured_is_not_none():
    nothing = np.full(3, np.nan)
    maps = {'area': nothing, 'thickness': np.array([2.0, 2, 2])}
    found = cortex_measures(np.array([0.5, 0.5, 0]), maps, 10.0, np.array([0, 0, 1]), 2)
    assert np.isnan([found['share_cortex'], found['share_c1'], found['share_c2']]).all()
    outside = cortex_measures(np.zeros(3), maps, 10.0)
    assert outside['share_cortex'] == 0


def test_sexes_that_a_gap_made_decimal_find_their_norm():
    frame = people(sex=[1, 2, np.nan, 1] * 6, age=40.0)
    entry = {'Measure': 'volume', 'Mean': 1500, 'SD': 100, 'Sex': '1', 'Source': 'x'}
    model = parse_model({**CONTENT, 'Norms': {'Table': [entry]}})
    found = participant_scores(make_study(model, None, None, frame))
    assert found['z'].notna().sum() == 12


def test_codes_that_a_gap_made_decimal_are_described_as_they_were_written():
    frame = people(hand=[1, 2, np.nan, 1] * 6)
    row = rows_of(demographics, frame, Demographics={'Categorical': ['hand']}).iloc[0]
    assert row['description'] == 'HC: 1 6, 2 0; TRS: 1 6, 2 6'


def test_a_covariate_of_some_groups_is_contrasted_between_its_own_levels():
    rng = np.random.default_rng(4)
    n = 24
    drug = np.where(
        np.arange(n) % 2 == 0, '(not asked)', np.where(np.arange(n) % 4 == 1, 'x', 'y')
    )
    frame = pd.DataFrame({
        'participant_id': np.tile([f'sub-{i}' for i in range(n)], 2),
        'session_id': ['ses-1'] * n + ['ses-2'] * n, 'glx': rng.normal(size=2 * n),
        'drug': np.tile(drug, 2),
    })  # fmt: skip
    _, results = mixed_model(frame, 'glx', ['session_id', 'drug'])
    assert results[1].contrast == 'y - x'
