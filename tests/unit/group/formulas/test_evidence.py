"""Equivalence tests and Bayes factors against R's BayesFactor, and by identities."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bids_acc.exceptions import InputDataError
from bids_acc.group.formulas.evidence import (
    bayes_factor_r,
    bayes_factor_t,
    correlation_equivalence_p,
    equivalence_p,
)
from bids_acc.group.formulas.inference import r_confidence

# R 4.2.2, BayesFactor 0.9.12-4.4: exp of $bf of its function for t statistics, default rscale
T_TESTS = [(2.1, 19, 18, 1.704188), (-4.0621, 10, 0, 17.25829)]
# the same: exp(linearReg.R2stat(N, 1, R2)$bf), default rscale; the first is R's data set attitude,
# rating on complaints, for which the package's manual prints 417938.6
REGRESSIONS = [(30, 0.6813142, 417939.2), (63, 0.1568, 24.51464)]


@pytest.mark.parametrize(('t', 'n_a', 'n_b', 'expected'), T_TESTS)
def test_bayes_factors_of_t_are_those_of_r(t, n_a, n_b, expected):
    df, n = (n_a + n_b - 2, n_a * n_b / (n_a + n_b)) if n_b else (n_a - 1, n_a)
    assert bayes_factor_t(t, df, n) == pytest.approx(expected, rel=2e-5)


@pytest.mark.parametrize(('n', 'r2', 'expected'), REGRESSIONS)
def test_bayes_factors_of_correlations_are_those_of_r(n, r2, expected):
    assert bayes_factor_r(np.sqrt(r2), n - 2) == pytest.approx(expected, rel=2e-5)
    assert bayes_factor_r(-np.sqrt(r2), n - 2) == pytest.approx(expected, rel=2e-5)


def test_evidence_for_nothing_grows_with_n():
    factors = [bayes_factor_t(0.0, 2 * n - 2, n / 2) for n in (10, 40, 160, 640)]
    assert all(a > b for a, b in itertools.pairwise(factors))
    assert factors[-1] < 1 / 10
    assert np.isnan(bayes_factor_t(np.nan, 10, 5))
    assert np.isnan(bayes_factor_r(1.0, 10))


@given(
    st.floats(-2, 2), st.floats(0.05, 1), st.integers(3, 200), st.floats(0.1, 2),
)  # fmt: skip
def test_equivalence_is_the_interval_between_the_bounds(estimate, se, df, bound):
    p = equivalence_p(estimate, se, df, bound)
    half = stats.t.ppf(0.95, df) * se
    inside = -bound < estimate - half and estimate + half < bound
    if abs(p - 0.05) > 1e-9:
        assert inside == (p < 0.05)


@given(st.floats(-0.9, 0.9), st.integers(5, 200), st.floats(0.05, 0.9))
def test_equivalence_of_correlations_is_fishers_interval_between_the_bounds(r, df, bound):
    p = correlation_equivalence_p(r, df, bound)
    low, high = r_confidence(r, df, 0.9)
    if abs(p - 0.05) > 1e-9:
        assert (-bound < low and high < bound) == (p < 0.05)


@pytest.mark.parametrize('bound', [0.0, -0.3])
def test_a_bound_is_above_zero(bound):
    with pytest.raises(InputDataError):
        equivalence_p(0.1, 0.1, 10, bound)
    with pytest.raises(InputDataError):
        correlation_equivalence_p(0.1, 10, bound)
