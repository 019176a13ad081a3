from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from bids_acc.exceptions import InputDataError
from bids_acc.group.formulas import longitudinal as lg
from bids_acc.group.formulas import mixed, results

REFERENCE = Path(__file__).parents[3] / 'reference' / 'stats2'


@pytest.fixture(scope='module')
def reference():
    return json.loads((REFERENCE / 'reference.json').read_text())


@pytest.fixture(scope='module')
def visits():
    return pd.read_csv(REFERENCE / 'longitudinal.tsv', sep='\t')


def two_sessions(n=20, seed=0, gain=1.0):
    rng = np.random.default_rng(seed)
    base = rng.normal(10, 2, n)
    rows = [
        (f'sub-{i:02d}', session, base[i] + gain * visit + rng.normal(0, 0.5), 'ab'[i % 2], 20 + i)
        for i in range(n)
        for visit, session in enumerate(('ses-1', 'ses-2'))
    ]
    columns = ['participant_id', 'session_id', 'glx', 'group', 'age']
    return pd.DataFrame(rows, columns=columns)


class TestAgainstR:
    @pytest.mark.parametrize(
        ('key', 'response', 'terms'),
        [
            ('factor', 'madrs', ['session_id', 'response', 'age', 'session_id:response']),
            ('slope', 'glx', ['visit', 'response', 'visit:response']),
        ],
    )
    def test_mixed_model(self, reference, visits, key, response, terms):
        expected = reference['mixed'][key]
        fit, found = mixed.mixed_model(visits, response, terms, group='response')
        np.testing.assert_allclose([r.value for r in found], expected['F'], rtol=1e-3)
        np.testing.assert_allclose([r.df2 for r in found], expected['df2'], rtol=1e-3)
        np.testing.assert_allclose(
            np.log([r.p for r in found]), np.log(expected['p']), rtol=1e-3, atol=1e-5
        )
        assert [r.df1 for r in found] == expected['df1']
        assert fit.reml_criterion == pytest.approx(expected['reml'], abs=1e-6)
        assert fit.var_subject == pytest.approx(expected['var_subject'], rel=1e-3)
        assert fit.var_residual == pytest.approx(expected['var_residual'], rel=1e-3)
        np.testing.assert_allclose(sorted(np.sqrt(np.diag(fit.cov))), sorted(expected['se']), 1e-3)
        assert found[0].n == 40
        assert found[0].n_per_group == {'nonresponder': 20, 'responder': 20}

    def test_paired(self, reference, visits):
        expected = reference['paired']
        change = lg.paired_change(visits, 'madrs', first='ses-0', second='ses-1')
        assert change.test.value == pytest.approx(expected['t'], rel=1e-9)
        assert change.test.df2 == expected['df']
        assert change.test.p == pytest.approx(expected['p'], rel=1e-9)
        assert (change.ci_low, change.ci_high) == pytest.approx(expected['ci'], rel=1e-9)
        assert change.test.excluded == 40 - 31

    def test_baseline_ancova(self, reference, visits):
        expected = reference['baseline']
        result = lg.baseline_ancova(
            visits, 'madrs', first='ses-0', second='ses-1', group='response', covariates=['age']
        )
        assert result.value == pytest.approx(expected['F'], rel=1e-9)
        assert result.df2 == expected['df2']
        assert result.p == pytest.approx(expected['p'], rel=1e-8)
        assert result.effect == pytest.approx(expected['difference'], rel=1e-9)
        assert (result.ci_low, result.ci_high) == pytest.approx(expected['ci'], rel=1e-9)
        assert result.contrast == 'responder - nonresponder'

    def test_change_correlation(self, reference, visits):
        expected = reference['change']
        result = lg.change_correlation(
            visits, 'glx', 'madrs', first='ses-0', second='ses-1', covariates=['age']
        )
        assert result.effect == pytest.approx(expected['r'], rel=1e-8)
        assert result.df2 == expected['df']
        assert result.p == pytest.approx(expected['p'], rel=1e-8)


class TestMixedModel:
    def test_statsmodels_agrees(self, visits):
        terms = ['visit', 'response', 'visit:response']
        fit, _ = mixed.mixed_model(visits, 'glx', terms)
        design = mixed.make_design(visits, terms)
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            peer = sm.MixedLM(visits['glx'], design.X, groups=visits['participant_id']).fit()
        np.testing.assert_allclose(fit.beta, peer.fe_params, rtol=1e-3)
        np.testing.assert_allclose(np.sqrt(np.diag(fit.cov)), peer.bse_fe, rtol=1e-3)

    def test_estimates_are_differences_of_means(self):
        table = two_sessions()
        terms = ['session_id', 'group', 'session_id:group']
        _, found = mixed.mixed_model(table, 'glx', terms)
        means = table.groupby(['group', 'session_id'])['glx'].mean()
        change = (
            means['b']['ses-2'] - means['b']['ses-1'] - means['a']['ses-2'] + means['a']['ses-1']
        )
        assert found[2].effect == pytest.approx(change, rel=1e-8)
        assert found[2].contrast == '(ses-2 - ses-1) x (b - a)'
        assert found[1].effect == pytest.approx(means['b'].mean() - means['a'].mean(), rel=1e-8)
        turned = table.assign(group=pd.Categorical(table['group'], ['b', 'a']))
        _, again = mixed.mixed_model(turned, 'glx', terms)
        assert again[2].effect == pytest.approx(-change, rel=1e-8)
        assert again[2].p == pytest.approx(found[2].p, rel=1e-9)

    def test_a_constant_response_is_refused(self):
        table = two_sessions().assign(glx=1.0)
        with pytest.raises(InputDataError, match='the same in all observations'):
            mixed.mixed_model(table, 'glx', ['session_id', 'group'])
        with pytest.raises(InputDataError, match='glx is the same in everybody in ses-1'):
            lg.baseline_ancova(table, 'glx', first='ses-1', second='ses-2', group='group')

    def test_balanced_interaction_equals_test_of_changes(self):
        table = two_sessions()
        _, found = mixed.mixed_model(
            table, 'glx', ['session_id', 'group', 'session_id:group'], group='group'
        )
        wide = table.pivot_table(index='participant_id', columns='session_id', values='glx')
        change = wide['ses-2'] - wide['ses-1']
        of = table.drop_duplicates('participant_id').set_index('participant_id')['group']
        a, b = change[of == 'a'], change[of == 'b']
        pooled = np.sqrt((a.var() + b.var()) / 2)
        t = (a.mean() - b.mean()) / (pooled * np.sqrt(2 / 10))
        assert found[2].value == pytest.approx(t**2, rel=1e-6)
        assert found[2].df2 == pytest.approx(18, rel=1e-6)

    def test_zero_subject_variance_falls_back_to_residual_df(self):
        rng = np.random.default_rng(3)
        # Opposite errors within subjects: the estimate of the variance between them is zero.
        noise = rng.normal(size=20)
        table = pd.DataFrame(
            {
                'participant_id': np.repeat([f'sub-{i:02d}' for i in range(20)], 2),
                'visit': np.tile([0.0, 1.0], 20),
                'glx': np.column_stack([noise, -noise]).ravel(),
            }
        )
        fit, found = mixed.mixed_model(table, 'glx', ['visit'])
        assert fit.singular
        assert found[0].df2 == 38
        assert 'zero' in found[0].note

    def test_planted_slope_is_recovered(self):
        table = two_sessions(n=60, gain=1.5)
        table['visit'] = (table['session_id'] == 'ses-2').astype(float)
        _, (result,) = mixed.mixed_model(table, 'glx', ['visit'])
        assert result.ci_low < 1.5 < result.ci_high
        assert result.effect == pytest.approx(1.5, abs=0.3)

    def test_scale_and_offset_change_no_p(self):
        table = two_sessions()
        terms = ['session_id', 'group', 'age']
        plain = mixed.mixed_model(table, 'glx', terms)[1]
        table['glx'] = table['glx'] * 1e-6 + 7e-4
        scaled = mixed.mixed_model(table, 'glx', terms)[1]
        np.testing.assert_allclose([r.p for r in plain], [r.p for r in scaled], rtol=1e-5)

    def test_missing_rows_are_counted(self):
        table = two_sessions()
        table.loc[table['participant_id'] == 'sub-03', 'glx'] = np.nan
        _, found = mixed.mixed_model(table, 'glx', ['session_id'])
        assert found[0].excluded == 1
        assert found[0].n == 19

    def test_empty_cell_is_refused(self):
        table = two_sessions()
        table = table[~((table['group'] == 'b') & (table['session_id'] == 'ses-2'))]
        with pytest.raises(InputDataError, match='cell is empty'):
            mixed.mixed_model(table, 'glx', ['session_id', 'group', 'session_id:group'])

    def test_one_session_each_is_refused(self):
        table = two_sessions().drop_duplicates('participant_id')
        with pytest.raises(InputDataError, match='two sessions'):
            mixed.mixed_model(table, 'glx', ['group'])

    def test_constant_factor_is_refused(self):
        with pytest.raises(InputDataError, match='one level'):
            mixed.mixed_model(two_sessions().assign(group='a'), 'glx', ['group'])


class TestPaired:
    def test_interval_holds_the_effect_and_inverts_the_test(self):
        low, high = results.noncentral_ci(2.093, 19, 1 / np.sqrt(20))
        assert low == pytest.approx(0, abs=1e-3)  # t at its two-sided 5 % limit
        assert high > 2.093 / np.sqrt(20)

    def test_two_values_of_a_session_are_refused(self):
        table = two_sessions()
        with pytest.raises(InputDataError, match='two values'):
            lg.paired_change(pd.concat([table, table]), 'glx', first='ses-1', second='ses-2')

    def test_absent_session_is_named(self):
        with pytest.raises(InputDataError, match="'ses-9'"):
            lg.paired_change(two_sessions(), 'glx', first='ses-1', second='ses-9')

    def test_direction(self):
        change = lg.paired_change(two_sessions(gain=2), 'glx', first='ses-1', second='ses-2')
        assert change.mean_change > 1
        assert change.test.effect > 0


def test_three_groups_give_partial_eta_squared():
    table = two_sessions(n=30)
    table['group'] = [f'g{int(p[-2:]) % 3}' for p in table['participant_id']]
    result = lg.baseline_ancova(table, 'glx', first='ses-1', second='ses-2', group='group')
    assert result.df1 == 2
    assert result.effect_name == 'partial_eta2'
    eta = result.value * 2 / (result.value * 2 + result.df2)
    assert result.effect == pytest.approx(eta)


def test_partial_correlation_of_constant_is_refused():
    with pytest.raises(InputDataError, match='constant'):
        lg.partial_correlation(np.ones(10), np.arange(10.0))


def test_covariate_that_explains_all_is_refused():
    x = np.arange(10.0)
    with pytest.raises(InputDataError, match='explained'):
        lg.partial_correlation(x, np.sin(x), x)


def test_factor_columns_sum_to_zero():
    design = mixed.make_design(two_sessions(), ['group', 'age'])
    np.testing.assert_allclose(design.X[:, 1:].sum(axis=0), 0, atol=1e-9)
    assert design.terms['age'] == (2,)


def test_degrees_of_freedom_of_several_contrasts_combine():
    # E = 10/8 + 20/18; 2 E / (E - 2), Fai and Cornelius 1996
    expected = 10 / 8 + 20 / 18
    found = mixed._combined_df(np.array([10.0, 20.0]))
    assert found == pytest.approx(2 * expected / (expected - 2))
    assert mixed._combined_df(np.array([12.0, 12.0])) == 12
    assert mixed._combined_df(np.array([1.5, 20.0])) == 2
