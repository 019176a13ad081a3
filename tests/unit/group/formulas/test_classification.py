"""What a prediction of unseen people is worth, against scikit-learn, statsmodels and theory."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import special
from sklearn import metrics

from bids_acc.group.formulas.classification import (
    at_cutoff,
    auc_interval,
    calibration,
    net_benefit,
    roc_curve,
    youden_cutoff,
)
from bids_acc.group.formulas.prediction import predict
from bids_acc.group.statistics.analyses.classification_rows import classification_rows


@pytest.fixture
def unseen(rng):
    """Return decisions that are as sure as they say."""
    decision = rng.normal(0, 1.5, 4000)
    return rng.random(4000) < special.expit(decision), decision


def test_roc_curve_is_that_of_scikit_learn(unseen):
    truth, decision = unseen[0][:60], unseen[1][:60].round(1)
    false, true, _ = roc_curve(truth, decision)
    theirs = metrics.roc_curve(truth, decision, drop_intermediate=False)
    np.testing.assert_allclose(false, theirs[0])
    np.testing.assert_allclose(true, theirs[1])
    assert np.trapezoid(true, false) == pytest.approx(metrics.roc_auc_score(truth, decision))
    assert auc_interval(truth, decision)[0] == pytest.approx(np.trapezoid(true, false))


def test_interval_of_the_area_holds_the_truth():
    """Two normal distributions one SD apart: AUC = Phi(1 / sqrt 2)."""
    area, inside = 0.7602, 0
    for child in np.random.SeedSequence(3).spawn(400):
        rng = np.random.default_rng(child)
        truth = np.arange(60) % 2 == 1
        low, high = auc_interval(truth, rng.normal(0, 1, 60) + truth)[1:]
        inside += low <= area <= high
    assert inside / 400 == pytest.approx(0.95, abs=0.035)


def test_cut_off_and_shares(unseen):
    truth, decision = unseen
    cut = youden_cutoff(truth, decision)
    found = at_cutoff(truth, decision >= cut)
    tn, fp, fn, tp = metrics.confusion_matrix(truth, decision >= cut).ravel()
    assert found['sensitivity'].value == pytest.approx(tp / (tp + fn))
    assert found['specificity'].value == pytest.approx(tn / (tn + fp))
    assert found['positive predictive value'].value == pytest.approx(tp / (tp + fp))
    assert found['negative predictive value'].value == pytest.approx(tn / (tn + fn))
    best = found['sensitivity'].value + found['specificity'].value
    for other in np.quantile(decision, [0.2, 0.4, 0.6, 0.8]):
        one = at_cutoff(truth, decision >= other)
        assert one['sensitivity'].value + one['specificity'].value <= best


def test_true_probabilities_are_calibrated_and_extreme_ones_are_not(unseen):
    truth, decision = unseen
    fit, extreme = calibration(truth, decision), calibration(truth, 2 * decision)
    assert fit.slope_low < 1 < fit.slope_high
    assert fit.intercept_low < 0 < fit.intercept_high
    assert extreme.slope == pytest.approx(fit.slope / 2, rel=1e-6)
    assert fit.brier == pytest.approx(metrics.brier_score_loss(truth, special.expit(decision)))
    assert fit.brier < min(extreme.brier, fit.brier_of_rate)


def test_classes_that_are_told_apart_have_no_slope():
    truth = np.arange(20) >= 10
    assert np.isnan(calibration(truth, np.arange(20.0) - 9.5).slope)


def test_net_benefit_of_everybody_and_nobody(unseen):
    truth, decision = unseen
    model, everybody = net_benefit(truth, decision, [0.01, 0.5, 0.99])
    assert model[0] == pytest.approx(everybody[0], abs=0.01)
    assert everybody[1] == pytest.approx(2 * truth.mean() - 1)
    assert abs(model[2]) < 0.01
    assert model[1] > max(everybody[1], 0)


def test_rows_of_a_prediction_are_of_unseen_people(rng):
    n = 80
    table = pd.DataFrame({'outcome': np.resize(['no', 'yes'], n)})
    table['noise'] = rng.normal(0, 1, n)
    table['sign'] = rng.normal(0, 1, n) + 1.5 * (table['outcome'] == 'yes')
    result = predict(table, 'outcome', ['noise', 'sign'], positive='yes', rng=rng, n_repeats=3,
                     n_permutations=0)  # fmt: skip
    rows = {(r.analysis, r.contrast): r for r in classification_rows(result, 'outcome', 0.5)}
    truth = (table['outcome'] == 'yes').to_numpy()
    assert rows['sensitivity', 'Youden'].effect.size == pytest.approx(result.called[truth].mean())
    called = result.out_of_fold >= 0
    assert rows['specificity', 'probability 0.5'].effect.size == pytest.approx(
        (~called[~truth]).mean()
    )
    assert rows['AUC pooled', ''].effect.size == pytest.approx(result.value, abs=0.05)
    alone = predict(table, 'outcome', ['noise'], positive='yes', rng=rng, n_repeats=1,
                    n_permutations=0)  # fmt: skip
    chance = alone.called[truth].mean() + (~alone.called[~truth]).mean()
    assert chance < 1.35  # the best cut-off of these very people would be well above
