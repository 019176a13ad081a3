"""Group effects, the replication rule, robustness and pictures."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bids_acc.exceptions import InputDataError
from bids_acc.group.formulas.linear import fit_ols, residual_ss
from bids_acc.group.formulas.permutation import permutation_p
from bids_acc.group.statistics.analyses.ancova import ancova
from bids_acc.group.statistics.analyses.diagnostics import diagnostics
from bids_acc.group.statistics.analyses.replication import retained_responses
from bids_acc.group.statistics.figures.files import write_figures
from bids_acc.group.statistics.figures.tests import group_figure, scatter_figure, spread
from bids_acc.group.statistics.model.declaration import parse_model
from bids_acc.group.statistics.rows.row import Family, finish_table
from bids_acc.group.statistics.study.joining import make_study

MODEL = {
    'Name': 'm', 'Group': {'Column': 'group', 'Levels': ['HC', 'FL', 'TRS']},
    'Covariates': [{'Name': 'age'}], 'Permutations': 0,
}  # fmt: skip


def make(rng, n=60, effect=0.0, spread_by_group=(1, 1, 1), **model):
    group = np.repeat(['HC', 'FL', 'TRS'], n // 3)
    people = pd.DataFrame({
        'participant_id': [f'sub-{i:02d}' for i in range(n)], 'group': group,
        'age': rng.normal(40, 9, n),
    })  # fmt: skip
    sd = np.repeat(spread_by_group, n // 3)
    glx = rng.normal(10, 1, n)
    value = 0.05 * people['age'] + effect * (group == 'TRS') + rng.normal(0, 1, n) * sd - glx
    parcels = pd.DataFrame({'participant_id': people['participant_id'], 'component': 1,
                            'metric': 'thickness', 'value': value})  # fmt: skip
    mrs = pd.DataFrame({'participant_id': people['participant_id'], 'metabolite': 'Glx',
                        'unit_scheme': 'ratio_tcr', 'value': glx, 'gate': 'pass'})  # fmt: skip
    return make_study(parse_model({**MODEL, **model}), parcels, mrs, people), parcels, mrs, people


def test_covariates_are_reported_but_not_corrected(rng):
    study, *_ = make(rng)
    table = finish_table(ancova(study, {}, rng), {}, Family())
    assert list(table['term']) == ['age', 'group']
    assert table['family'].tolist() == ['', 'ancova [all]']
    assert np.isnan(table['p_corrected'][0])
    assert np.isfinite(table['p_corrected'][1])


def test_the_effect_of_the_group_is_found_at_equal_age(rng):
    study, *_ = make(rng, effect=3.0)
    row = ancova(study, {}, rng)[0]
    assert (row.term, row.test.df1, row.test.df2, row.n) == ('group', 2, 56, 60)
    assert row.test.p < 1e-4
    assert 0 < row.effect.low < row.effect.size < row.effect.high < 1


def test_the_type_of_sums_of_squares_is_said(rng):
    for kind in ('II', 'III'):
        study, *_ = make(rng, SumOfSquares=kind)
        assert f'type {kind} sums of squares' in ancova(study, {}, rng)[0].method


RESULTS = pd.DataFrame({
    'response': ['a', 'a', 'b', 'b', 'c'], 'cohort': ['x', 'y', 'x', 'y', 'x'], 'term': 'group',
    'p_corrected': [0.01, 0.04, 0.01, 0.30, 0.001], 'p_unc': [0.01, 0.04, 0.01, 0.04, 0.001],
})  # fmt: skip


@pytest.mark.parametrize(
    ('rule', 'expected'),
    [
        ({'Rule': 'every'}, {'a'}),
        ({'Rule': 'any'}, {'a', 'b', 'c'}),
        ({'Rule': 'none'}, {'a', 'b', 'c'}),
        ({'Rule': 'every', 'Value': 'p_unc'}, {'a', 'b'}),
    ],
)
def test_replication_rules(rule, expected):
    # c was tested in one of the two cohorts only: that is not every cohort
    model = parse_model({**MODEL, 'Replication': rule})
    assert set(retained_responses(RESULTS, model)) == expected


def test_a_cohort_that_could_not_be_tested_does_not_count_as_agreement():
    nothing = pd.DataFrame({'response': ['a'], 'cohort': ['z'], 'term': ['']})
    model = parse_model(MODEL)
    assert set(retained_responses(RESULTS, model)) == {'a'}
    assert retained_responses(pd.concat([RESULTS, nothing]), model) == {}


def test_permutation_agrees_with_f_when_its_assumptions_hold(rng):
    study, *_ = make(rng, effect=1.2)
    table = diagnostics(study, {}, rng)
    assert {row.analysis for row in table} == {
        'normality', 'equal_variances', 'hc3', 'influence', 'robust'
    }  # fmt: skip
    X = np.column_stack([np.ones(60), rng.normal(size=(60, 2))])
    y = rng.normal(size=60) + 0.25 * X[:, 1]
    test = permutation_p(X, y, [1], 1999, rng)
    f, p = test.f, test.p
    fit = fit_ols(X, y)
    assert f == pytest.approx(fit.coefficients[1] ** 2 / fit.covariance[1, 1])
    assert p == pytest.approx(stats.f.sf(f, 1, 57), abs=0.03)


def test_permutation_under_the_null_is_uniform(rng):
    X = np.column_stack([np.ones(20), rng.normal(size=(20, 2))])
    p = [permutation_p(X, rng.exponential(size=20), [1], 49, rng).p for _ in range(200)]
    assert stats.kstest(p, 'uniform').pvalue > 1e-3
    assert min(p) >= 1 / 50


def test_hc3_notices_unequal_variances(rng):
    study, *_ = make(rng, n=90, spread_by_group=(0.3, 1, 6))
    rows = {row.analysis: row for row in diagnostics(study, {}, rng)[:4]}
    assert rows['equal_variances'].test.p < 1e-4
    assert rows['hc3'].test.value != pytest.approx(ancova(study, {}, rng)[0].test.value, rel=0.02)


def test_residual_sums_of_squares_of_several_responses(rng):
    X, Y = rng.normal(size=(20, 3)), rng.normal(size=(20, 5))
    one_by_one = [fit_ols(X, Y[:, j]).rss for j in range(5)]
    np.testing.assert_allclose(residual_ss(X, Y), one_by_one)
    np.testing.assert_allclose(residual_ss(X[:, :0], Y), (Y**2).sum(axis=0))


def test_pictures_show_every_participant(rng):
    study, *_ = make(rng, effect=2.0)
    axes = group_figure(study, 'all', 'thickness').axes[0]
    assert sum(len(points.get_offsets()) for points in axes.collections) == 60
    assert [t.get_text() for t in axes.get_xticklabels()] == ['HC\nn=20', 'FL\nn=20', 'TRS\nn=20']
    assert axes.get_ylabel() == 'thickness of parcel 1 (mm)'
    intervals = [line.get_xdata()[0] for line in axes.lines]
    places = np.concatenate([points.get_offsets()[:, 0] for points in axes.collections])
    assert np.abs(np.subtract.outer(places, intervals)).min() > 0.1, 'an interval hides a point'
    scatter = scatter_figure(study, 'all', 'thickness_c1', 'Glx').axes[0]
    assert sum(len(points.get_offsets()) for points in scatter.collections[:3]) == 60
    assert 'df = 57' in scatter.get_title()
    assert 'partial r = -0' in scatter.get_title()
    with pytest.raises(InputDataError, match='no fa in cohort all'):
        group_figure(study, 'all', 'fa')


def test_points_are_spread_without_chance():
    values = np.array([1.0, 1.0, 1.0, 2.0])
    np.testing.assert_array_equal(spread(values), spread(values))
    assert np.abs(spread(values)).max() <= 0.3
    assert spread([2.0, 2.0]).tolist() == [-0.3, 0.3]
    assert spread([3.0]).tolist() == [0.0]


def test_picture_files_are_the_same_bytes(rng, tmp_path):
    study, parcels, mrs, people = make(rng, effect=2.0)
    tables = {'ancova': finish_table(ancova(study, {}, rng), {}, Family())}
    found = [
        write_figures(study.model, parcels, mrs, people, tables, tmp_path / name) for name in 'ab'
    ]
    assert [path.name for path, _, _ in found[0]['Structure']] == ['groups_all_thickness.svg']
    assert [path.name for path, _, _ in found[0]['Glutamate']] == ['groups_all_Glx.svg']
    for first, second in zip(found[0]['Structure'], found[1]['Structure'], strict=True):
        assert first[0].read_bytes() == second[0].read_bytes()
        assert first[0].stat().st_size < 400_000
