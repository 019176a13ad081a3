"""Group x covariate, splines, covariates of some groups only, group x hemisphere."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from statsmodels.stats.anova import anova_lm

from bids_acc.exceptions import SettingsError
from bids_acc.group.formulas.design import DesignError, build_design, sum_coding
from bids_acc.group.formulas.linear import anova, contrast_test, fit_ols
from bids_acc.group.statistics.model.declaration import parse_model
from bids_acc.group.statistics.run import run_statistics
from bids_acc.report.findings import significant_findings

LEVELS = {'group': ['HC', 'FL', 'TRS'], 'class_': ['a', 'b', 'c']}
SEX = {'Name': 'sex', 'Kind': 'categorical'}


def model(**changes):
    content = {
        'Name': 'x', 'Group': {'Column': 'group', 'Levels': ['HC', 'TRS']}, 'Permutations': 99,
        'Replication': {'Rule': 'none'}, 'Mixture': {'Measures': []},
        'Covariates': [{'Name': 'age'}, SEX],
    }  # fmt: skip
    return parse_model({**content, **changes})


def people_and_parcels(rng, n=80, by_sex=0.0, by_side=0.0):
    """Return a cohort in which the group difference depends on sex and on the side."""
    group = np.resize(['HC', 'TRS'], n)
    sex = np.repeat(['F', 'M'], n // 2)
    people = pd.DataFrame({
        'participant_id': [f'sub-{i:03d}' for i in range(n)], 'group': group, 'sex': sex,
        'age': rng.uniform(20, 60, n),
        'dose': np.where(group == 'HC', np.nan, rng.normal(9, 2, n)),
    })  # fmt: skip
    ill = group == 'TRS'
    shared = rng.normal(0, 1, n) + by_sex * ill * (sex == 'M')
    sides = {'L': shared + by_side * ill + rng.normal(0, 0.4, n),
             'R': shared + rng.normal(0, 0.4, n)}  # fmt: skip
    sides['both'] = (sides['L'] + sides['R']) / 2
    parcels = pd.concat(
        pd.DataFrame({
            'participant_id': people['participant_id'], 'component': 1, 'metric': 'thickness',
            'value': value, 'hemisphere': side,
        }) for side, value in sides.items()
    )  # fmt: skip
    return people, parcels


def tables(rng, changes, **planted):
    people, parcels = people_and_parcels(rng, **planted)
    return run_statistics(model(**changes), parcels, None, people, None, np.random.default_rng(1))


@pytest.fixture
def frame(rng):
    n = 90
    return pd.DataFrame({
        'group': np.resize(['HC', 'FL', 'TRS'], n), 'class_': np.repeat(['a', 'b', 'c'], n // 3),
        'age': rng.uniform(20, 60, n), 'y': rng.normal(3, 1, n),
    })  # fmt: skip


def test_difference_within_a_level_is_that_of_statsmodels(frame):
    design = build_design(frame, ['group', 'class_', 'age', 'group:class_'], LEVELS)
    fit = fit_ols(design.X, frame['y'])
    codes = sum_coding(design.levels['class_'])
    theirs = smf.ols('y ~ C(group) * C(class_) + age', frame).fit()
    for level in 'abc':
        at = pd.DataFrame({'group': ['TRS', 'FL'], 'class_': level, 'age': 40.0})
        expected = -np.diff(theirs.predict(at)).item()
        weights = design.cell_weights('group', 'TRS', 'class_', codes[level]) - (
            design.cell_weights('group', 'FL', 'class_', codes[level])
        )
        assert contrast_test(fit, weights).estimate == pytest.approx(expected)


def natural_basis(x, knots):
    """Natural cubic splines as truncated powers: Hastie et al. 2009, equations 5.4 and 5.5."""

    def d(k):
        cubes = np.clip(x - knots[k], 0, None) ** 3 - np.clip(x - knots[-1], 0, None) ** 3
        return cubes / (knots[-1] - knots[k])

    return np.column_stack([x, *(d(k) - d(len(knots) - 2) for k in range(len(knots) - 2))])


@pytest.mark.parametrize('df', [2, 3, 5])
def test_spline_spans_the_natural_cubic_splines(frame, df):
    y = frame['y'].to_numpy() + np.sin(frame['age'] / 6).to_numpy()
    design = build_design(frame, ['group', 'age'], LEVELS, splines={'age': df})
    knots = np.quantile(np.unique(frame['age']), np.linspace(0, 1, df + 1))
    dummies = pd.get_dummies(frame['group']).to_numpy(dtype=float)
    theirs = np.column_stack([dummies, natural_basis(frame['age'].to_numpy(), knots)])
    assert fit_ols(design.X, y).rss == pytest.approx(fit_ols(theirs, y).rss, rel=1e-9)
    assert design.formula == f'group + ns(age, df={df})'
    assert len(design.terms['age']) == df


def test_straight_data_give_the_same_group_difference_with_a_spline(frame):
    y = 2.0 * (frame['group'] == 'TRS') + 0.1 * frame['age']
    design = build_design(frame, ['group', 'age'], LEVELS, splines={'age': 3})
    difference = design.level_weights('group', 'TRS') - design.level_weights('group', 'HC')
    assert contrast_test(fit_ols(design.X, y), difference).estimate == pytest.approx(2.0)


def test_too_few_values_for_a_spline_are_refused(frame):
    with pytest.raises(DesignError, match='age has only 3 different values'):
        build_design(frame.assign(age=np.resize([20.0, 30, 40], 90)), ['group', 'age'], LEVELS,
                     splines={'age': 3})  # fmt: skip


def test_interaction_with_sex_is_found_and_said(rng):
    found = tables(rng, {'Interactions': ['sex', 'age']}, by_sex=2.5)
    rows = found['interactions']
    main = rows[rows['analysis'] == 'interactions'].set_index('term')
    assert main.loc['group:sex', 'p_corrected'] < 0.001
    assert main.loc['group:age', 'p_corrected'] > 0.05
    within = rows[(rows['contrast'] == 'TRS - HC') & (rows['response'] == 'thickness_c1')]
    at = within.set_index('term')
    assert abs(at.loc['group at sex F', 'effect']) < 0.6 < at.loc['group at sex M', 'effect']
    difference = at.loc['group at sex M minus at sex F']
    assert difference['value'] ** 2 == pytest.approx(main.loc['group:sex', 'value'])
    assert at.filter(like='age', axis=0)['note'].str.contains('not significant').all()
    said = significant_findings(found, 0.05)
    sentence = 'the difference between groups in thickness of parcel 1 depends on sex'
    assert sentence in set(said['finding'])
    assert not said['finding'].str.contains('depends on age').any()


def test_interaction_equals_statsmodels(rng):
    people, parcels = people_and_parcels(rng)
    found = run_statistics(model(Interactions=['age']), parcels, None, people, None, rng)
    row = found['interactions'].query("term == 'group:age'").iloc[0]
    both = parcels[parcels['hemisphere'] == 'both']
    data = people.merge(both, on='participant_id')
    theirs = anova_lm(smf.ols('value ~ C(group) * age + C(sex)', data).fit(), typ=2)
    assert row['value'] == pytest.approx(theirs.loc['C(group):age', 'F'])
    slopes = found['interactions'].query("analysis == 'slope'").set_index('contrast')['effect']
    fitted = smf.ols('value ~ C(group) * age + C(sex)', data).fit().params
    assert slopes['HC'] == pytest.approx(fitted['age'])
    assert slopes['TRS'] == pytest.approx(fitted['age'] + fitted['C(group)[T.TRS]:age'])


def test_hemisphere_is_a_test_of_left_minus_right(rng):
    found = tables(rng, {'Interactions': ['hemisphere']}, by_side=0.8)['interactions']
    row = found[found['analysis'] == 'interactions'].iloc[0]
    assert row['term'] == 'group x hemisphere'
    assert row['p_corrected'] < 0.001
    sides = found[found['analysis'] == 'simple_effect'].set_index('term')['effect']
    assert sides['group at hemisphere L'] > sides['group at hemisphere R']


def test_sides_are_read_only_where_they_are_asked_for(rng):
    found = tables(rng, {})
    assert 'interactions' not in found
    assert set(found['ancova']['response']) == {'thickness_c1'}


def test_dose_of_patients_keeps_the_controls(rng):
    people, parcels = people_and_parcels(rng)
    dose = {'Name': 'dose', 'OnlyIn': ['TRS']}
    found = run_statistics(model(Covariates=[dose]), parcels, None, people, None, rng)
    row = found['ancova'].query("term == 'dose in TRS'").iloc[0]
    assert row['n_per_group'] == 'HC=40;TRS=40'
    both = people.merge(parcels[parcels['hemisphere'] == 'both'], on='participant_id')
    full = smf.ols('value ~ C(group) + d', both.assign(
        d=both['dose'].fillna(both['dose'].mean()))).fit()  # fmt: skip
    alone = smf.ols('value ~ dose', both[both['group'] == 'TRS']).fit()
    assert full.params['d'] == pytest.approx(alone.params['dose'])
    assert row['value'] == pytest.approx(full.tvalues['d'] ** 2)


def test_class_of_patients_has_codes_of_zero_in_controls(frame):
    only = frame.assign(class_=np.where(frame['group'] == 'HC', '(not asked)', frame['class_']))
    design = build_design(only, ['group', 'class_'], LEVELS)
    assert not design.X[only['group'] == 'HC'][:, list(design.terms['class_'])].any()
    ours = {t.term: t for t in anova(design.X, frame['y'].to_numpy(), design.terms)}
    patients = only[only['group'] != 'HC']
    theirs = anova_lm(smf.ols('y ~ C(group) + C(class_)', patients).fit(), typ=2)
    assert ours['class_'].sum_of_squares == pytest.approx(theirs.loc['C(class_)', 'sum_sq'])


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'Interactions': ['sexx']}, "'sexx' is none of the Covariates; did you mean 'sex'"),
        ({'Interactions': ['voxel']}, 'is tested wherever Mrs/Voxels'),
        ({'Covariates': [{'Name': 'dose', 'OnlyIn': ['XX']}]}, "OnlyIn: 'XX' is none of HC, TRS"),
        ({'Covariates': [{**SEX, 'Shape': 'spline'}]}, "'sex' is categorical and can be no sp"),
        (
            {'Covariates': [{'Name': 'dose', 'OnlyIn': ['TRS']}], 'Interactions': ['dose']},
            "'dose' is asked of TRS only",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_words(changes, message):
    with pytest.raises(SettingsError, match=message):
        model(**changes)
