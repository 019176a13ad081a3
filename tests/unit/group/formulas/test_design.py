"""Design matrices, and the samples that cannot carry one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from statsmodels.stats.anova import anova_lm

from bids_acc.group.formulas.design import DesignError, build_design
from bids_acc.group.formulas.linear import anova, contrast_test, fit_ols

LEVELS = {'group': ['HC', 'FL', 'TRS'], 'sex': ['F', 'M']}


@pytest.fixture
def frame(rng):
    n = 40
    return pd.DataFrame({
        'group': rng.choice(['HC', 'FL', 'TRS'], n),
        'sex': rng.choice(['F', 'M'], n),
        'age': rng.normal(40, 10, n),
        'y': rng.normal(3, 1, n),
    })  # fmt: skip


def test_covariates_are_centred_and_factors_sum_to_zero(frame):
    design = build_design(frame, ['group', 'age', 'sex'], LEVELS)
    assert design.X[:, design.terms['age'][0]].mean() == pytest.approx(0, abs=1e-12)
    codes = {tuple(row) for row in design.X[:, list(design.terms['group'])]}
    assert codes == {(1, 0), (0, 1), (-1, -1)}


@pytest.mark.parametrize('kind', ['II', 'III'])
def test_sums_of_squares_equal_statsmodels(frame, kind):
    frame['age'] -= frame['age'].mean()
    terms = ['group', 'age', 'sex', 'group:age']
    design = build_design(frame, terms, LEVELS)
    ours = {test.term: test for test in anova(design.X, frame['y'].to_numpy(), design.terms, kind)}
    formula = 'y ~ C(group, Sum) * age + C(sex, Sum)'
    theirs = anova_lm(smf.ols(formula, frame).fit(), typ=2 if kind == 'II' else 3)
    names = {'group': 'C(group, Sum)', 'sex': 'C(sex, Sum)', 'age': 'age',
             'group:age': 'C(group, Sum):age'}  # fmt: skip
    for term, name in names.items():
        assert ours[term].f == pytest.approx(theirs.loc[name, 'F'], rel=1e-9)
        assert ours[term].p == pytest.approx(theirs.loc[name, 'PR(>F)'], rel=1e-9)


def test_types_differ_when_there_is_an_interaction(frame):
    design = build_design(frame, ['group', 'sex', 'group:sex'], LEVELS)
    y = frame['y'].to_numpy()
    second, third = (anova(design.X, y, design.terms, kind)[0].f for kind in ('II', 'III'))
    assert second != pytest.approx(third)


def test_adjusted_mean_is_the_prediction_at_average_covariates(frame):
    design = build_design(frame, ['group', 'age', 'sex'], LEVELS)
    fit = fit_ols(design.X, frame['y'])
    result = smf.ols('y ~ group + age + sex', frame).fit()
    at = pd.DataFrame({'group': 'TRS', 'sex': ['F', 'M'], 'age': frame['age'].mean()})
    expected = result.predict(at).mean()
    found = contrast_test(fit, design.level_weights('group', 'TRS')).estimate
    assert found == pytest.approx(expected)


def test_hc3_equals_statsmodels(frame):
    design = build_design(frame, ['group', 'age'], LEVELS)
    ours = fit_ols(design.X, frame['y']).covariance_hc3()
    theirs = smf.ols('y ~ C(group, Sum, levels=["HC", "FL", "TRS"]) + I(age - age.mean())', frame)
    result = theirs.fit(cov_type='HC3')
    order = result.cov_params().to_numpy()
    np.testing.assert_allclose(np.sort(np.diag(ours)), np.sort(np.diag(order)), rtol=1e-8)


def test_a_constant_covariate_is_named_and_left_out(frame):
    design = build_design(frame.assign(sex='F'), ['group', 'age', 'sex'], LEVELS)
    assert 'sex' not in design.terms
    assert design.notes == ('sex is the same in all 40 and was left out',)


def test_one_group_is_refused(frame):
    with pytest.raises(DesignError, match='group is the same in all'):
        build_design(frame.assign(group='HC'), ['group', 'age'], LEVELS, keep=['group'])


def test_collinear_columns_are_named(frame):
    double = frame.assign(months=frame['age'] * 12 + 3)
    with pytest.raises(DesignError, match='age and months are collinear'):
        build_design(double, ['group', 'age', 'months', 'sex'], LEVELS)


def test_a_covariate_that_is_the_group_again_is_named(frame):
    same = frame.assign(site=np.where(frame['group'] == 'HC', 'a', 'b'))
    with pytest.raises(DesignError, match='group and site are collinear'):
        build_design(same, ['group', 'site'], {**LEVELS, 'site': ['a', 'b']})


def test_an_empty_cell_is_refused(frame):
    lone = frame[~((frame['group'] == 'TRS') & (frame['sex'] == 'F'))]
    with pytest.raises(DesignError, match='group:sex: at least one combination'):
        build_design(lone, ['group', 'sex', 'group:sex'], LEVELS)


def test_too_few_participants_are_refused(frame):
    few = pd.concat([frame[frame['group'] == g].head(1) for g in LEVELS['group']])
    few['sex'] = ['F', 'M', 'F']
    with pytest.raises(DesignError, match='too few for 5 coefficients'):
        build_design(few, ['group', 'age', 'sex'], LEVELS)


def test_an_unknown_column_is_refused(frame):
    with pytest.raises(DesignError, match="'iq' is not in the table"):
        build_design(frame, ['group', 'iq'], LEVELS)


def test_levels_that_nobody_has_are_left_out(frame):
    two = frame[frame['group'] != 'FL']
    design = build_design(two, ['group'], LEVELS)
    assert design.levels['group'] == ('HC', 'TRS')
    assert design.X.shape[1] == 2
