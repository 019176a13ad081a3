from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bids_acc.exceptions import InputDataError
from bids_acc.group.formulas import mixture as mx

REFERENCE = Path(__file__).parents[3] / 'reference' / 'stats2'
COMPONENTS = {'one': 1, 'two': 2, 'three': 3}


@pytest.fixture(scope='module')
def reference():
    return json.loads((REFERENCE / 'reference.json').read_text())['mixture']


@pytest.fixture(scope='module')
def samples():
    table = pd.read_csv(REFERENCE / 'mixture.tsv', sep='\t')
    return {name: rows['value'].to_numpy() for name, rows in table.groupby('sample')}


@pytest.mark.parametrize('equal', [False, True])
@pytest.mark.parametrize('name', sorted(COMPONENTS))
def test_mclust_agrees(reference, samples, name, equal):
    expected = reference[f'{name}{"E" if equal else "V"}']
    fit = mx.fit_mixture(
        samples[name], COMPONENTS[name], rng=np.random.default_rng(0), equal_variance=equal
    )
    assert fit.log_likelihood == pytest.approx(expected['loglik'], rel=1e-9)
    np.testing.assert_allclose(fit.means, np.atleast_1d(expected['means']), rtol=1e-6)
    np.testing.assert_allclose(fit.weights, np.atleast_1d(expected['weights']), rtol=1e-6)
    np.testing.assert_allclose(fit.sds, np.atleast_1d(expected['sds']), rtol=1e-6)
    assert fit.n_parameters == expected['df']
    assert fit.bic == pytest.approx(expected['bic'], rel=1e-9)
    assert fit.converged
    assert not fit.degenerate


def test_one_component_is_the_normal_maximum_likelihood(samples):
    x = samples['one']
    fit = mx.fit_mixture(x, 1, rng=np.random.default_rng(0))
    assert fit.means[0] == pytest.approx(x.mean())
    assert fit.sds[0] == pytest.approx(x.std())
    loglik = -0.5 * len(x) * (np.log(2 * np.pi * x.var()) + 1)
    assert fit.log_likelihood == pytest.approx(loglik)
    assert fit.aic == pytest.approx(4 - 2 * loglik)
    assert fit.aicc == pytest.approx(fit.aic + 2 * 2 * 3 / (37 - 3))


def test_unit_shifts_the_likelihood_only(samples):
    x = samples['two']
    a = mx.fit_mixture(x, 2, rng=np.random.default_rng(0))
    b = mx.fit_mixture(1000 * x + 5, 2, rng=np.random.default_rng(0))
    np.testing.assert_allclose(b.means, 1000 * a.means + 5, rtol=1e-9)
    assert b.log_likelihood == pytest.approx(a.log_likelihood - len(x) * np.log(1000))


def test_seed_decides_everything(samples):
    one, two = (
        mx.compare_mixtures(samples['one'], rng=np.random.default_rng(5), n_bootstrap=19)
        for _ in range(2)
    )
    np.testing.assert_array_equal(one.bootstrap_p, two.bootstrap_p)
    np.testing.assert_array_equal(one.aic_weights, two.aic_weights)


def test_restarts_find_the_same_solution(samples):
    fits = [mx.fit_mixture(samples['three'], 3, rng=np.random.default_rng(s)) for s in range(5)]
    logliks = [fit.log_likelihood for fit in fits]
    assert np.ptp(logliks) < 1e-6


def test_bootstrap_tells_two_from_one(samples):
    rng = np.random.default_rng(0)
    statistic, p = mx.bootstrap_lrt(samples['two'], 1, rng=rng, n_bootstrap=99)
    assert p == pytest.approx(0.01)
    assert statistic > 15


def test_comparison_prefers_what_was_planted(samples):
    result = mx.compare_mixtures(samples['two'], rng=np.random.default_rng(0), n_bootstrap=0)
    assert result.aic_weights.sum() == pytest.approx(1)
    assert result.aicc_weights.argmax() == 1
    assert np.isnan(result.bootstrap_p).all()
    assert result.evidence_ratio(2, 1) > mx.RECOMMENDED_EVIDENCE_RATIO
    assert (result.likelihood_ratios >= 0).all()


def test_evidence_ratio_of_the_paper():
    # Weights .44, .55, .02 are printed, and 1.25 as the ratio of the second to the first.
    fits = ()
    weights = np.array([0.44, 0.55, 0.02])
    comparison = mx.MixtureComparison(fits, weights, weights, np.zeros(2), np.zeros(2), 0)
    assert comparison.evidence_ratio(2, 1) == pytest.approx(1.25)


def test_shrinking_component_is_bounded():
    x = np.r_[np.random.default_rng(0).normal(size=30), [5.0] * 4]
    fit = mx.fit_mixture(x, 2, rng=np.random.default_rng(0))
    assert np.isfinite(fit.log_likelihood)
    assert fit.sds.min() >= mx.MIN_SD_FRACTION * x.std() * (1 - 1e-9)


def test_missing_values_are_left_out(samples):
    x = np.r_[samples['one'], np.nan]
    assert mx.fit_mixture(x, 1, rng=np.random.default_rng(0)).n == 37


def test_weight_of_an_undefined_criterion_is_zero():
    np.testing.assert_allclose(mx.akaike_weights([10, np.nan, 10]), [0.5, 0, 0.5])


@pytest.mark.parametrize('values', [[1, 2, 3], [2.0] * 20])
def test_unusable_values_are_refused(values):
    with pytest.raises(InputDataError):
        mx.fit_mixture(values, 2, rng=np.random.default_rng(0))


def test_stopping_early_warns():
    x = np.random.default_rng(0).normal(size=40)
    with pytest.warns(mx.ConvergenceWarning):
        mx.fit_mixture(x, 3, rng=np.random.default_rng(0), max_iter=2)
