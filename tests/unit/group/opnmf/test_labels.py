"""Which component a vertex belongs to: by weight as published, by variation over sessions."""

from __future__ import annotations

import numpy as np
import pytest

from bids_acc.group.opnmf import OPNMF, labels_of
from bids_acc.group.opnmf.agreement import adjusted_rand
from bids_acc.group.opnmf.features import standardise
from bids_acc.group.opnmf.labels import assign, labels_by_variation
from bids_acc.group.opnmf.simulate import CohortDesign, planted_cohort


@pytest.fixture
def case(rng):
    """Return X of 3 metrics x 20 sessions, and weights of 4 components over 50 vertices."""
    return rng.random((60, 50)), rng.random((50, 4))


def test_variation_is_the_largest_correlation_without_mean_maps(case):
    X, W = case
    deviations = X.copy()
    for metric in range(3):
        rows = slice(20 * metric, 20 * (metric + 1))
        deviations[rows] -= deviations[rows].mean(axis=0)
    both = np.corrcoef(deviations.T, (deviations @ W).T)
    np.testing.assert_array_equal(labels_by_variation(W, X, 3), both[:50, 50:].argmax(axis=1))


def test_mean_maps_and_the_scale_of_components_do_not_matter(case, rng):
    X, W = case
    labels = labels_by_variation(W, X, 3)
    maps = np.repeat(5 * rng.random((3, 50)), 20, axis=0)
    np.testing.assert_array_equal(labels_by_variation(W, X + maps, 3), labels)
    np.testing.assert_array_equal(labels_by_variation(W * [1, 3, 0.2, 7], X, 3), labels)
    order = [2, 0, 3, 1]
    np.testing.assert_array_equal(np.array(order)[labels_by_variation(W[:, order], X, 3)], labels)


def test_vertices_that_do_not_vary_and_empty_rows(case):
    X, W = case
    X[:, 7] = np.repeat([1.0, 2.0, 3.0], 20)
    W[9] = 0.0
    labels = labels_by_variation(W, X, 3)
    assert labels[7] == labels_of(W)[7]
    assert labels[9] == -1
    np.testing.assert_array_equal(labels_by_variation(W, np.ones_like(X), 3), labels_of(W))


def test_weight_is_the_published_rule(case):
    X, W = case
    np.testing.assert_array_equal(assign('weight', W, X, 3), W.argmax(axis=1))
    assert (assign('variation', W, X, 3) != W.argmax(axis=1)).any()


def test_planted_parcels_are_met_where_mean_maps_mislead_the_weights():
    found = {'weight': [], 'variation': []}
    for seed in range(30, 34):
        cohort = planted_cohort(
            CohortDesign(map_effect=1.0), np.random.default_rng(seed), level=4, region_size=120,
            geometry_seed=seed,
        )  # fmt: skip
        X = standardise(cohort.data.values)[0]
        W = OPNMF(4).fit(X).components_.T
        for rule, aris in found.items():
            aris.append(adjusted_rand(assign(rule, W, X, 4), cohort.labels))
    assert (np.subtract(found['variation'], found['weight']) > -0.02).all()
    assert np.mean(found['variation']) > np.mean(found['weight']) + 0.1
