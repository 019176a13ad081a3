from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_acc.exceptions import InputDataError
from bids_acc.group.formulas import sites as s

REFERENCE = Path(__file__).parents[3] / 'reference' / 'stats2'
VARIANTS = {
    'DL': ('DL', False),
    'DLHK': ('DL', True),
    'REML': ('REML', False),
    'REMLHK': ('REML', True),
    'FE': ('FE', False),
}


@pytest.fixture(scope='module')
def reference():
    return json.loads((REFERENCE / 'reference.json').read_text())


@pytest.fixture(scope='module')
def table():
    return pd.read_csv(REFERENCE / 'sites.tsv', sep='\t')


@pytest.mark.parametrize('variant', sorted(VARIANTS))
@pytest.mark.parametrize('feature', ['f0', 'f3'])
def test_metafor_agrees(reference, feature, variant):
    given_, expected = reference['meta'][feature], reference['meta'][feature][variant]
    method, knapp = VARIANTS[variant]
    result = s.meta_analysis(given_['b'], np.square(given_['se']), method=method)
    ours = [result.estimate, result.tau2, result.i2, result.q, result.q_p]
    theirs = [expected[k] for k in ('estimate', 'tau2', 'I2', 'Q', 'Qp')]
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-9)
    if method == 'FE':
        np.testing.assert_allclose(
            [result.se, result.p, result.ci_low, result.ci_high],
            [expected['se'], expected['p'], *expected['ci']], rtol=1e-6,
        )  # fmt: skip
    elif knapp:
        # metafor's test="knha" against its test="adhoc": the larger of both standard errors
        plain = reference['meta'][feature][variant.removesuffix('HK')]['se']
        assert result.se == pytest.approx(max(expected['se'], plain), rel=1e-6)
        if expected['se'] > plain:
            assert result.p == pytest.approx(expected['p'], rel=1e-6)


def test_two_cohorts_get_the_common_effect_and_no_hartung_knapp_test():
    two = s.meta_analysis([0.30, 0.32], [0.04, 0.05])
    fixed = s.meta_analysis([0.30, 0.32], [0.04, 0.05], method='FE')
    assert (two.statistic, two.p, two.se) == ('z', fixed.p, fixed.se)
    assert two.random_high - two.random_low > 10 * two.se  # t with one degree of freedom
    same = s.meta_analysis([0.4, 0.4], [0.1, 0.2])
    assert same.estimate == pytest.approx(0.4)
    assert same.se == pytest.approx(np.sqrt(1 / (1 / 0.1 + 1 / 0.2)))


def test_agreement_by_chance_does_not_narrow_the_interval():
    v = np.array([0.04, 0.05, 0.06])
    result = s.meta_analysis([0.30, 0.30, 0.30], v)
    fixed = s.meta_analysis([0.30, 0.30, 0.30], v, method='FE')
    assert result.common == (fixed.estimate, fixed.ci_low, fixed.ci_high)
    assert result.se == pytest.approx(np.sqrt(1 / (1 / v).sum()))


def test_pooled_and_interaction_agree_with_r(reference, table):
    result = s.compare_sites(
        table, 'f0', group='group', levels=('SCZ', 'HC'), site='site', covariates=['age']
    )
    expected = reference['pooled']
    assert result.pooled.value**2 == pytest.approx(expected['F'], rel=1e-9)
    assert result.pooled.df2 == expected['df2']
    assert result.interaction.value == pytest.approx(expected['interaction_F'], rel=1e-9)
    assert result.interaction.p == pytest.approx(expected['interaction_p'], rel=1e-8)
    ours = [r.effect for r in result.per_site.values()]
    np.testing.assert_allclose(ours, reference['meta']['f0']['b'], rtol=1e-9)
    se = [r.effect / r.value for r in result.per_site.values()]
    np.testing.assert_allclose(se, reference['meta']['f0']['se'], rtol=1e-9)


@given(
    st.lists(st.floats(-3, 3), min_size=3, max_size=6),
    st.floats(0.01, 2),
    st.sampled_from(['DL', 'REML', 'FE']),
)
def test_meta_analysis_scales_with_the_unit(effects, variance, method):
    variances = variance * (1 + np.arange(len(effects)))
    a = s.meta_analysis(effects, variances, method=method)
    b = s.meta_analysis(10 * np.array(effects), 100 * variances, method=method)
    assert b.estimate == pytest.approx(10 * a.estimate, rel=1e-4, abs=1e-4)
    assert b.tau2 == pytest.approx(100 * a.tau2, rel=1e-3, abs=1e-3)
    assert 0 <= a.i2 < 100
    assert min(effects) - 1e-9 <= a.estimate <= max(effects) + 1e-9


def test_equal_effects_have_no_heterogeneity():
    result = s.meta_analysis([0.4, 0.4, 0.4], [0.1, 0.2, 0.3])
    assert result.tau2 == 0
    assert result.q == pytest.approx(0, abs=1e-12)
    assert result.estimate == pytest.approx(0.4)


def test_two_cohorts_have_no_prediction_interval():
    assert np.isnan(s.meta_analysis([0.1, 0.9], [0.05, 0.04]).prediction_low)


@pytest.mark.parametrize(('effects', 'variances'), [([0.1], [0.1]), ([0.1, 0.2], [0.1, 0.0])])
def test_unusable_input_is_refused(effects, variances):
    with pytest.raises(InputDataError):
        s.meta_analysis(effects, variances)


def test_site_without_one_group_is_left_out_with_its_reason(table):
    lone = table[(table['site'] != 'C') | (table['group'] == 'HC')]
    result = s.compare_sites(lone, 'f1', group='group', levels=('SCZ', 'HC'), site='site')
    assert list(result.per_site) == ['A', 'B']
    assert 'only' in result.left_out['C']
    assert result.meta.k == 2


def test_sign_follows_the_order_of_the_levels(table):
    there = s.adjusted_difference(table, 'f0', 'group', ('SCZ', 'HC'))
    back = s.adjusted_difference(table, 'f0', 'group', ('HC', 'SCZ'))
    assert there.effect == pytest.approx(-back.effect)
    means = table.groupby('group')['f0'].mean()
    assert there.effect == pytest.approx(means['SCZ'] - means['HC'])


def test_covariate_that_is_the_group_is_refused(table):
    table = table.assign(copy=table['group'])
    with pytest.raises(InputDataError, match='collinear'):
        s.adjusted_difference(table, 'f0', 'group', ('SCZ', 'HC'), ['copy'])


def test_two_scanners_of_a_real_dataset(shared_data):
    people = pd.read_csv(
        shared_data / 'clinical' / 'ds000030' / 'participants.tsv', sep='\t', na_values='n/a'
    )
    result = s.compare_sites(
        people, 'age', group='diagnosis', levels=('SCHZ', 'CONTROL'),
        site='ScannerSerialNumber', covariates=['gender'],
    )  # fmt: skip
    assert len(result.per_site) == 2
    assert result.meta.k == 2
    used = people[people['diagnosis'].isin(['SCHZ', 'CONTROL'])].dropna(
        subset=['ScannerSerialNumber', 'age', 'gender']
    )
    assert sum(r.n for r in result.per_site.values()) == len(used)
    assert result.pooled.n == len(used)


def test_too_few_people_are_said_to_be_too_few():
    table = pd.DataFrame({'g': [1.0, 2.0], 'group': ['HC', 'TRS']})
    with pytest.raises(InputDataError, match='g: 2 people are too few for 2 coefficients'):
        s.adjusted_difference(table, 'g', 'group', ['TRS', 'HC'])
