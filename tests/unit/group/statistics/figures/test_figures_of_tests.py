"""Figures of classification and interactions: what is drawn is what the tables say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bids_acc.exceptions import InputDataError
from bids_acc.group.formulas.classification import (
    auc_interval,
    calibration,
    calibration_curve,
    calibration_groups,
    net_benefit,
)
from bids_acc.group.formulas.prediction import predict
from bids_acc.group.statistics.analyses.modelling import draw_sample, fit_model
from bids_acc.group.statistics.analyses.prediction_rows import people_of
from bids_acc.group.statistics.figures.classification import (
    calibration_figure,
    decision_figure,
    roc_figure,
    unseen,
)
from bids_acc.group.statistics.figures.interactions import (
    interaction_figure,
    lines_of,
    partial_residuals,
)
from bids_acc.group.statistics.study.joining import make_study
from tests.unit.group.statistics.analyses.test_interactions import SEX, model, people_and_parcels


@pytest.fixture
def people(rng):
    """Return what was predicted of 60 unseen people by an informative measure."""
    ill = np.arange(60) % 2 == 0
    frame = pd.DataFrame({
        'participant_id': [f'sub-{i:02d}' for i in range(60)], 'cohort': 'all',
        'glx': rng.normal(0, 1, 60) + 1.2 * ill, 'outcome': np.where(ill, 'yes', 'no'),
    })  # fmt: skip
    frame.loc[5, 'outcome'] = np.nan  # left out: the others keep their own rows
    result = predict(frame, 'outcome', ['glx'], rng=rng, positive='yes', n_repeats=1,
                     n_permutations=0)  # fmt: skip
    return people_of(result, frame, 'outcome', 'yes'), result


def test_each_person_has_the_own_unseen_prediction(people):
    table, result = people
    assert 'sub-05' not in set(table['participant_id'])
    assert table['observed'].eq('yes').tolist() == (result.truth > 0.5).tolist()
    even = table['participant_id'].str[-2:].astype(int) % 2 == 0
    assert (table['observed'] == 'yes').tolist() == even.tolist()
    assert table['probability'].between(0, 1).all()
    again = np.log(table['probability'] / (1 - table['probability']))
    assert np.allclose(again, table['decision'])


def test_the_roc_curve_has_the_area_of_the_table_and_its_cut_offs_lie_on_it(people):
    truth, decision, called = unseen(people[0])
    figure = roc_figure(truth, decision, called, 0.5)
    (axes,) = figure.axes
    curve = next(line for line in axes.lines if line.get_drawstyle() == 'steps-post')
    x, y = curve.get_data()
    area = float(np.trapezoid(y, x))
    auc = auc_interval(truth, decision)[0]
    assert area == pytest.approx(auc)  # no ties: the trapezoids are the steps
    assert f'AUC {auc:.2f}' in axes.get_title()
    declared = axes.containers[0].lines[0]
    at = decision >= 0
    assert declared.get_xdata()[0] == pytest.approx((at & ~truth).sum() / (~truth).sum())
    assert declared.get_ydata()[0] == pytest.approx((at & truth).sum() / truth.sum())


def test_recalibration_has_the_slope_of_the_table_and_groups_hold_everybody(people):
    truth, decision, _ = unseen(people[0])
    p, curve = calibration_curve(truth, decision)
    logit = np.log(curve[0] / (1 - curve[0]))
    slope = np.polyfit(np.log(p / (1 - p)), logit, 1)[0]
    assert slope == pytest.approx(calibration(truth, decision).slope, rel=1e-6)
    assert np.all((curve[1] <= curve[0]) & (curve[0] <= curve[2]))
    groups = calibration_groups(truth, decision)
    assert sum(found.n for _, found in groups) == 59
    assert min(found.n for _, found in groups) >= 10
    assert [mean for mean, _ in groups] == sorted(mean for mean, _ in groups)
    assert f'slope {slope:.2f}' in calibration_figure(truth, decision, 'yes').axes[0].get_title()


def test_classes_told_apart_completely_have_points_and_no_curve():
    truth = np.arange(40) >= 20
    decision = np.linspace(-3, 3, 40)
    assert np.isnan(calibration_curve(truth, decision)[1]).all()
    assert 'not defined' in calibration_figure(truth, decision, 'yes').axes[0].get_title()
    assert 'AUC 1.00,' in roc_figure(truth, decision, truth, 0.5).axes[0].get_title()


def test_the_decision_curve_is_the_net_benefit(people):
    truth, decision, _ = unseen(people[0])
    lines = {
        line.get_label(): line for line in decision_figure(truth, decision, 'y').axes[0].lines
    }
    x, y = lines['by the prediction'].get_data()
    assert np.allclose(y, net_benefit(truth, decision, x)[0])
    assert lines['everybody'].get_ydata()[0] == pytest.approx(
        truth.mean() - (1 - truth.mean()) / 99
    )


@pytest.mark.parametrize('name', ['age', 'sex'])
def test_partial_residuals_lie_around_the_line_of_the_model(rng, name):
    frame, parcels = people_and_parcels(rng, by_sex=1.0)
    study = make_study(model(Interactions=['sex', 'age']), parcels, None, frame)
    measure = study.measures_of('parcel')[0]
    everybody = dict(study.cohorts())['all']
    sample = draw_sample(study, 'all', everybody, measure, ['age', 'sex'])
    fitted = fit_model(study, sample, ['group', 'age', 'sex', f'group:{name}'], ['group', name])
    y = partial_residuals(fitted, name)
    for one in lines_of(fitted, name, 0.95):
        own = sample.frame['group'].to_numpy() == one.level
        if name == 'age':  # least squares within the group give back the model's line
            assert np.allclose(np.polyval(np.polyfit(one.x, one.y, 1), one.at), one.fitted[0])
        else:
            means = [one.y[one.x == code].mean() for code in one.at]
            assert np.allclose(means, one.fitted[0])
        assert np.sort(one.y) == pytest.approx(np.sort(y[own]))
        assert np.all(one.fitted[1] < one.fitted[0])


def test_left_minus_right_is_drawn_with_the_adjusted_means(rng):
    frame, parcels = people_and_parcels(rng, by_side=0.5)
    study = make_study(model(Interactions=['hemisphere']), parcels, None, frame)
    measure = study.measures_of('parcel')[0]
    (axes,) = interaction_figure(study, 'all', measure, 'hemisphere').axes
    assert 'left minus right (mm)' in axes.get_ylabel()
    means = axes.containers[0].lines[0].get_ydata()
    assert means[1] - means[0] == pytest.approx(0.5, abs=0.3)
    with pytest.raises(InputDataError, match='no cohort Rome'):
        interaction_figure(study, 'Rome', measure, 'hemisphere')


def test_a_spline_is_drawn_as_a_curve(rng):
    frame, parcels = people_and_parcels(rng)
    changes = {'Covariates': [{'Name': 'age', 'Shape': 'spline'}, SEX], 'Interactions': ['age']}
    study = make_study(model(**changes), parcels, None, frame)
    axes = interaction_figure(study, 'all', study.measures_of('parcel')[0], 'age').axes[0]
    x, y = axes.lines[0].get_data()
    assert np.abs(y - np.polyval(np.polyfit(x, y, 1), x)).max() > 1e-3
