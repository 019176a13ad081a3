"""Confidence intervals of amounts that cannot be negative, and of their ratios."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm

from bids_acc.mrs.results.intervals import CONFIDENCE, bounded_interval, bounded_ratio_interval

AXIS = np.linspace(-9, 14, 4601)
LIMITS = np.array([bounded_interval(float(x), 1.0) for x in AXIS])
COVARIANCE = np.array([[1.0, 0.1], [0.1, 0.04]])


@pytest.mark.parametrize('true', [0.0, 0.2, 0.9, 1.5, 1.8, 2.2, 3.5, 6.0])
def test_interval_holds_the_truth_as_often_as_it_says(true: float) -> None:
    """By integration over all estimates, for amounts at, near and far from zero."""
    holds = (LIMITS[:, 0] <= true) & (true <= LIMITS[:, 1])
    step = AXIS[1] - AXIS[0]
    assert np.sum(norm.pdf(AXIS, true, 1.0)[holds]) * step == pytest.approx(CONFIDENCE, abs=2e-3)


def test_limits_rise_with_the_estimate_and_are_never_empty() -> None:
    assert np.all(np.diff(LIMITS, axis=0) >= 0)
    assert np.all(np.diff(LIMITS, axis=0) < 0.02)  # no jumps where the rule changes
    assert np.all(LIMITS[:, 0] >= 0)
    assert np.all(LIMITS[:, 1] > LIMITS[:, 0])


def test_limits_far_from_and_at_zero() -> None:
    assert bounded_interval(50.0, 5.0) == pytest.approx((50 - 9.8, 50 + 9.8), abs=1e-3)
    assert bounded_interval(1.6, 1.0)[0] == 0.0
    assert bounded_interval(1.7, 1.0)[0] > 0.0
    assert bounded_interval(-1e6, 1.0) == pytest.approx((0.0, 0.0), abs=1e-5)
    assert bounded_interval(-6.0, 2.0)[1] == pytest.approx(2 * bounded_interval(-3.0, 1.0)[1])
    assert bounded_interval(3.0, 0.0) == (3.0, 3.0)
    assert bounded_interval(-3.0, 0.0) == (0.0, 0.0)


@pytest.mark.parametrize('arguments', [(math.nan, 1.0), (1.0, math.nan), (math.inf, 1.0)])
def test_what_is_not_known_has_no_interval(arguments: tuple[float, float]) -> None:
    assert np.all(np.isnan(bounded_interval(*arguments)))
    assert np.all(np.isnan(bounded_ratio_interval([arguments[0], 5.0], np.eye(2) * arguments[1])))
    assert np.all(np.isnan(bounded_ratio_interval([5.0, arguments[0]], np.eye(2) * arguments[1])))


@pytest.mark.parametrize('upper', [0.0, 1.0, 3.0, 10.0])
@pytest.mark.parametrize('correlation', [-1.0, 1.0])
def test_interval_of_a_ratio_holds_the_truth(
    upper: float, correlation: float, rng: np.random.Generator
) -> None:
    """Denominator known to 10 %: first-order propagation would not do."""
    covariance = COVARIANCE * np.array([[1.0, correlation], [correlation, 1.0]])
    draws = rng.multivariate_normal([upper, 2.0], covariance, 4000)
    limits = np.array([bounded_ratio_interval(draw, covariance) for draw in draws])
    holds = (limits[:, 0] <= upper / 2) & (upper / 2 <= limits[:, 1])
    assert np.mean(holds) == pytest.approx(CONFIDENCE, abs=0.012)


def test_ratio_to_an_exact_denominator_is_the_interval_of_the_numerator() -> None:
    exact = np.diag([1.0, 0.0])
    for upper in (-2.0, 0.5, 2.5, 8.0):
        expected = np.array(bounded_interval(upper, 1.0)) / 4
        assert bounded_ratio_interval([upper, 4.0], exact) == pytest.approx(tuple(expected))


def test_ratio_to_itself_is_one_and_to_nothing_unknown() -> None:
    assert bounded_ratio_interval([3.0, 3.0], np.full((2, 2), 0.04)) == pytest.approx((1.0, 1.0))
    assert np.all(np.isnan(bounded_ratio_interval([3.0, 0.3], np.diag([0.04, 0.04]))))
    assert np.all(np.isnan(bounded_ratio_interval([3.0, -3.0], np.diag([0.04, 0.04]))))


def test_unit_of_the_ratio_does_not_matter() -> None:
    plain = np.array(bounded_ratio_interval([5.0, 2.0], COVARIANCE))
    scaled = bounded_ratio_interval([5e4, 2e4], COVARIANCE * 1e8)
    assert scaled == pytest.approx(tuple(plain))
