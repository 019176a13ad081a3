"""Effects, intervals, corrections and the self-check of rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.api import OLS
from statsmodels.stats.multitest import multipletests

from bids_acc.exceptions import ComputationError, InputDataError
from bids_acc.group.formulas import inference, two_samples
from bids_acc.group.formulas.contingency import fisher_exact
from bids_acc.group.formulas.robust import mm_test
from bids_acc.group.statistics.rows.kinds import (
    ChiSquaredTest,
    Effect,
    FTest,
    ResampledTest,
    StatisticalTest,
    TTest,
    ZTest,
)
from bids_acc.group.statistics.rows.row import (
    COLUMNS,
    EFFECT_RULES,
    Family,
    Row,
    disagreement,
    finish_table,
)

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=30)


@given(P_VALUES, st.sampled_from([('bh', 'fdr_bh'), ('holm', 'holm'), ('bonferroni',) * 2]))
def test_corrections_equal_statsmodels(p, names):
    ours, theirs = names
    expected = multipletests(p, method=theirs)[1]
    np.testing.assert_allclose(inference.adjust_p(p, ours), expected, rtol=1e-12)


@given(P_VALUES)
def test_corrected_p_keeps_the_order_and_never_falls_below(p):
    adjusted = inference.adjust_p(p, 'bh')
    assert np.all(adjusted >= np.asarray(p) - 1e-15)
    assert np.all(np.diff(adjusted[np.argsort(p, kind='stable')]) >= -1e-15)


def test_a_test_that_could_not_be_done_does_not_count_in_the_family():
    with_nan = inference.adjust_p([0.01, np.nan, 0.02], 'bonferroni')
    np.testing.assert_allclose(with_nan, [0.02, np.nan, 0.04])


def test_p_outside_the_unit_interval_is_refused():
    with pytest.raises(InputDataError, match=r'\[0, 1\]'):
        inference.adjust_p([0.5, 1.2])


@given(st.floats(-12, 12), st.integers(3, 60), st.integers(3, 60))
def test_interval_of_d_excludes_zero_exactly_when_t_is_significant(t, n_a, n_b):
    low, high = inference.d_confidence(t, n_a, n_b)
    p = 2 * stats.t.sf(abs(t), n_a + n_b - 2)
    assert low <= inference.d_from_t(t, n_a, n_b) * 1.5 + 3
    if abs(p - 0.05) > 1e-6:
        assert (low > 0 or high < 0) == (p < 0.05)


def test_limits_of_noncentrality_are_the_quantiles_they_claim():
    low, high = inference.noncentrality_of_t(2.34, 35)
    assert stats.nct.cdf(2.34, 35, low) == pytest.approx(0.975, abs=1e-9)
    assert stats.nct.cdf(2.34, 35, high) == pytest.approx(0.025, abs=1e-9)


def test_interval_of_eta_squared():
    low, high = inference.partial_eta2_confidence(5.0, 2, 68)
    for share, quantile in ((low, 0.95), (high, 0.05)):
        ncp = share * 68 / (1 - share)
        assert stats.ncf.cdf(5.0, 2, 68, ncp) == pytest.approx(quantile, abs=1e-7)
    assert inference.partial_eta2_confidence(0.2, 2, 68)[0] == 0


def test_no_interval_where_the_distribution_has_no_values_any_more():
    assert np.isnan(inference.partial_eta2_confidence(1e20, 2, 6)).all()


def test_robust_regression_of_people_who_lie_on_the_fit_is_no_answer():
    X = np.column_stack([np.ones(11), np.repeat([0.0, 1.0], [5, 6]), np.arange(11.0)])
    y = X @ [1.0, 2.0, 0.1]
    y[:3] += [1.0, 2.0, 3.0]
    with pytest.raises(ComputationError, match='no finite answer'):
        mm_test(X, y, [1])


def test_robust_regression_takes_a_column_of_which_most_is_zero():
    rng = np.random.default_rng(4)
    n = 900
    x = np.where(np.arange(n) % 3, 0.0, rng.uniform(1, 20, n))  # most have no symptoms
    X = np.column_stack([np.ones(n), x, rng.normal(size=n)])
    y = X @ [1.0, 0.05, 0.5] + rng.normal(size=n)
    f, df1, df2 = mm_test(X, y, [1])
    assert (df1, df2) == (1, n - 3)
    # 95 % efficiency where nobody lies far off
    assert f == pytest.approx(OLS(y, X).fit().tvalues[1] ** 2, rel=0.2)
    assert mm_test(X[:, :2], y, [1])[0] > 0  # no other column to begin with


def t_of(r, df):
    """Return t of a (partial) correlation; ``df`` is n - 2 - number of covariates."""
    return r * np.sqrt(df / (1 - r**2))


@given(st.floats(-0.99, 0.99), st.integers(5, 200))
def test_r_and_t_are_inverse(r, df):
    assert inference.r_from_t(t_of(r, df), df) == pytest.approx(r, abs=1e-12)


@pytest.mark.parametrize(
    ('r', 'n', 'p'),
    [(-0.396, 65, 0.0013), (-0.474, 65, 0.0001), (0.217, 65, 0.088), (0.202, 65, 0.112),
     (-0.212, 79, 0.064), (-0.281, 79, 0.013), (0.233, 79, 0.041), (0.244, 79, 0.033)],
)  # fmt: skip
def test_partial_correlations_of_the_structural_paper_have_these_p(r, n, p):
    # r, sign and n are printed in doi:10.1503/jpn.210113; age and sex are partialled out
    df = n - 2 - 2
    found = 2 * stats.t.sf(abs(t_of(r, df)), df)
    assert found == pytest.approx(p, rel=0.06, abs=5e-5)


def test_post_hoc_of_the_structural_paper_is_plain_t_with_bh_within_the_index():
    # MD of component 2, Tokyo: TRS v HC t = 3.05, printed p = 0.011 as smallest of 3 pairs
    p = 2 * stats.t.sf(3.05, 23 + 26 - 2)
    assert round(inference.adjust_p([p, 0.5, 0.6])[0], 3) == 0.011
    # MD of component 1, Toronto: URS v CLZ-Resp t = 2.64 and URS v HC t = 2.75, both 0.039
    pair = [2 * stats.t.sf(2.64, 21 + 15 - 2), 2 * stats.t.sf(2.75, 21 + 26 - 2)]
    adjusted = inference.adjust_p([*pair, 0.6, 0.7, 0.8, 0.9])
    np.testing.assert_allclose(adjusted[:2], 0.039, atol=0.002)


def test_small_sample_factor_of_one_degree_is_missing():
    assert np.isnan(inference.small_sample_factor(1))


def test_mann_whitney_with_ties_enumerates():
    a, b = np.array([1.0, 2, 2]), np.array([2.0, 3, 4])
    result = two_samples.mann_whitney(a, b)
    assert result.exact
    permuted = stats.permutation_test(
        (a, b), lambda x, y: stats.mannwhitneyu(x, y).statistic, n_resamples=np.inf
    )
    assert result.p == pytest.approx(permuted.pvalue)


def test_three_against_three_warns_that_it_cannot_be_significant():
    result = two_samples.mann_whitney(np.array([4.0, 5, 6]), np.array([1.0, 2, 3]))
    assert result.p == pytest.approx(0.1)
    assert '0.1' in result.note


def test_permutation_of_small_samples_is_exact_and_needs_no_chance(rng):
    a, b = np.array([4.0, 5, 6]), np.array([1.0, 2, 3])
    state = rng.bit_generator.state
    result = two_samples.permuted_means(a, b, 10, rng)
    assert result.p == pytest.approx(2 / 20)
    assert rng.bit_generator.state == state


def test_random_permutation_counts_the_observed_order(rng):
    a, b = rng.normal(5, 1, 15), rng.normal(0, 1, 15)
    assert two_samples.permuted_means(a, b, 99, rng).p == pytest.approx(0.01)


@pytest.mark.parametrize(
    ('ours', 'theirs'),
    [(two_samples.student, {'equal_var': True}), (two_samples.welch, {'equal_var': False})],
)
def test_t_tests_equal_scipy(ours, theirs, rng):
    a, b = rng.normal(1, 1, 19), rng.normal(0, 3, 18)
    expected = stats.ttest_ind(a, b, **theirs)
    result = ours(a, b)
    assert (result.value, result.p) == pytest.approx((expected.statistic, expected.pvalue))


def test_one_way_equals_scipy(rng):
    samples = [rng.normal(m, 1, n) for m, n in ((0, 12), (1, 9), (0.5, 20))]
    expected = stats.f_oneway(*samples)
    result = two_samples.one_way(samples)
    assert (result.value, result.p) == pytest.approx((expected.statistic, expected.pvalue))


def test_exact_test_of_counts_equals_scipy_and_is_symmetric(rng):
    table = np.array([[8, 2], [1, 5]])
    assert fisher_exact(table, rng)[0] == pytest.approx(stats.fisher_exact(table).pvalue)
    wide = np.array([[3, 1, 0], [1, 4, 2], [0, 2, 5]])
    assert fisher_exact(wide, rng)[0] == pytest.approx(fisher_exact(wide.T, rng)[0])


def test_large_tables_are_drawn(rng):
    table = rng.integers(20, 60, (5, 6))
    p, drawn = fisher_exact(table, rng, n_resamples=199)
    assert drawn == 199
    assert 1 / 200 <= p <= 1


P = 2 * stats.t.sf(2.34, 35)


D = inference.d_from_t(2.34, 19, 18)


def cohen_d(size=D, **ends):
    return Effect('cohen_d', size, **ends)


def t_row(**changes):
    t, n = 2.34, {'resistant': 19, 'responsive': 18}
    cells = {
        'analysis': 'mrs_t', 'contrast': 'resistant - responsive', 'n': 37, 'n_per_group': n,
        'test': TTest(value=t, df2=35, p=P), 'effect': cohen_d(),
    }  # fmt: skip
    return Row(**(cells | changes))


def test_a_row_that_agrees_passes():
    assert disagreement(t_row()) is None


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        ({'test': TTest(value=2.34, df2=34, p=P)}, 'p_unc'),
        ({'test': TTest(value=2.34, df2=35, p=0.02)}, 'p_unc'),
        ({'test': TTest(value=2.34, df2=35, p=1.2)}, 'outside'),
        ({'effect': cohen_d(0.7)}, 'cohen_d'),
        ({'effect': cohen_d(-D)}, 'cohen_d'),
        ({'contrast': 'responsive - nobody'}, 'cohen_d'),
        ({'n': 38}, 'groups sum to 37'),
        ({'effect': cohen_d(low=1.0, high=0.0)}, 'upside down'),
        ({'test': ResampledTest(value=2.34, p=0.001, n_resamples=99)}, 'resamples'),
    ],
)
def test_a_row_that_contradicts_itself_is_refused(changes, words):
    row = t_row(**changes)
    assert words in disagreement(row)
    with pytest.raises(ComputationError, match='mrs_t'):
        finish_table([row], {}, Family())


@pytest.mark.parametrize(
    ('kind', 'value', 'degrees', 'p'),
    [
        (FTest, 5.0, {'df1': 2, 'df2': 68}, stats.f.sf(5.0, 2, 68)),
        (ChiSquaredTest, 5.0, {'df1': 3}, stats.chi2.sf(5.0, 3)),
        (ZTest, -2.5, {}, 2 * stats.norm.sf(2.5)),
    ],
)
def test_p_is_recomputed_for_each_kind_of_test(kind, value, degrees, p):
    row = Row(analysis='x', test=kind(value=value, p=p, **degrees))
    assert disagreement(row) is None
    row.test = kind(value=value, p=p * 1.01, **degrees)
    assert disagreement(row) is not None


def test_a_kind_of_test_takes_no_degrees_of_freedom_but_its_own():
    for kind, wrong in ((TTest, 'df1'), (ChiSquaredTest, 'df2'), (ZTest, 'df2')):
        with pytest.raises(TypeError, match=wrong):
            kind(value=1.0, p=0.5, **{wrong: 3})


def only(p):
    return StatisticalTest(p=p)


def test_families_split_over_columns_and_leave_uncorrected_rows_alone():
    rows = [
        Row(analysis='a', cohort=cohort, response=str(i), test=only(p), family=family)
        for i, (cohort, p, family) in enumerate(
            [('x', 0.01, 'f'), ('x', 0.04, 'f'), ('y', 0.03, 'f'), ('y', 0.5, '')]
        )
    ]
    table = finish_table(rows, {'f': Family('bonferroni')}, Family())
    np.testing.assert_allclose(table['p_corrected'], [0.02, 0.08, 0.03, np.nan])
    assert list(table['family_size']) == [2, 2, 1, 0]
    assert list(table['family']) == ['f [x]', 'f [x]', 'f [y]', '']
    assert list(table['correction']) == ['bonferroni'] * 3 + ['']


def test_variants_of_a_family_follow_its_rule():
    rows = [Row(analysis='a', response=r, test=only(0.02), family='f welch') for r in 'ab']
    table = finish_table(rows, {'f': Family('bonferroni')}, Family('none'))
    assert list(table['p_corrected']) == [0.04, 0.04]


def test_order_of_the_rows_does_not_matter():
    rows = [Row(analysis='a', response=str(i), test=only(i / 10), family='f') for i in range(1, 9)]
    first = finish_table(rows, {}, Family())
    pd.testing.assert_frame_equal(first, finish_table(rows[::-1], {}, Family()))
    assert list(first.columns) == list(COLUMNS)


def test_rules_exist_for_the_effects_that_rows_name():
    assert {'cohen_d', 'hedges_g', 'partial_eta2', 'partial_r', 'r'} <= set(EFFECT_RULES)


@pytest.mark.parametrize(('chi2', 'df', 'n', 'smaller'), [(12.0, 2, 80, 1), (30.0, 4, 60, 2)])
def test_limits_of_cramers_v_invert_the_noncentral_distribution(chi2, df, n, smaller):
    low, high = inference.cramers_v_confidence(chi2, df, n, smaller)
    shares = [stats.ncx2.cdf(chi2, df, v**2 * n * smaller) for v in (low, high)]
    np.testing.assert_allclose(shares, [0.95, 0.05], atol=1e-8)
    assert low < inference.cramers_v(chi2, n, smaller + 1, smaller + 1) < high
    assert inference.cramers_v_confidence(0.1, df, n, smaller)[0] == 0


@given(st.floats(0.01, 30), st.integers(1, 4), st.integers(3, 90), st.sampled_from([0.9, 0.95]))
def test_interval_of_eta_squared_excludes_zero_exactly_when_f_is_significant(f, df1, df2, level):
    low, high = inference.partial_eta2_confidence(f, df1, df2, level)
    p = stats.f.sf(f, df1, df2)
    if abs(p - (1 - level)) > 1e-6:
        assert (low > 0) == (p < 1 - level)
    assert low <= high


def test_rank_biserial_interval_has_newcombes_limits():
    # the limits solve (theta - estimate)^2 = z^2 V(theta), Newcombe 2006, method 5
    z = stats.norm.ppf(0.975)
    for effect, n_a, n_b in ((0.75, 8, 8), (-0.2, 19, 18), (1.0, 3, 3), (-1.0, 5, 9)):
        observed = (effect + 1) / 2
        low, high = inference.rank_biserial_confidence(effect, n_a, n_b)
        assert -1 <= low <= effect <= high <= 1
        for limit in (low, high):
            t = (limit + 1) / 2
            if t in (0, 1):
                continue
            spread = 1 + ((n_a + n_b) / 2 - 1) * ((1 - t) / (2 - t) + t / (1 + t))
            v = t * (1 - t) * spread / (n_a * n_b)
            assert abs(t - observed) == pytest.approx(z * np.sqrt(v), abs=1e-9)
