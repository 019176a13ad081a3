"""Regional homogeneity against Friedman's test, and of noise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse, stats

from bids_acc.func.reho import homogeneity_of_sets, kendall_w, regional_homogeneity


def test_w_is_friedmans_chi_square_by_its_largest_value(rng):
    series = rng.standard_normal((30, 7)) + rng.standard_normal((30, 1))
    chi2 = stats.friedmanchisquare(*series).statistic  # blocks are voxels, treatments volumes
    assert kendall_w(series) == pytest.approx(chi2 / (7 * (30 - 1)), abs=1e-12)


def test_a_voxel_and_its_neighbours_on_the_grid(rng):
    inside = np.ones((5, 5, 5), dtype=bool)
    series = rng.standard_normal((40, 125))
    found = regional_homogeneity(series, inside)
    grid = series.reshape(40, 5, 5, 5)
    assert found[2, 2, 2] == pytest.approx(kendall_w(grid[:, 1:4, 1:4, 1:4].reshape(40, 27)), 1e-5)
    assert found[0, 2, 2] == pytest.approx(kendall_w(grid[:, :2, 1:4, 1:4].reshape(40, 18)), 1e-5)
    assert np.isnan(found[0, 0, 2])  # an edge has twelve neighbours only


def test_voxels_without_signal_do_not_count(rng):
    inside = np.ones((5, 5, 5), dtype=bool)
    inside[1, 1, 1] = False
    series = rng.standard_normal((40, 124))
    found = regional_homogeneity(series, inside)
    grid = np.full((40, 5, 5, 5), np.nan)
    grid[:, inside] = series
    near = grid[:, 1:4, 1:4, 1:4].reshape(40, 27)
    assert found[2, 2, 2] == pytest.approx(kendall_w(near[:, np.isfinite(near[0])]), 1e-5)
    assert np.isnan(found[1, 1, 1])


def test_noise_gives_one_by_the_number_of_voxels(rng):
    found = regional_homogeneity(rng.standard_normal((60, 1000)), np.ones((10, 10, 10), bool))
    assert np.nanmean(found[1:-1, 1:-1, 1:-1]) == pytest.approx(1 / 27, rel=0.05)


def test_sets_of_vertices(rng):
    series = rng.standard_normal((25, 6))
    members = sparse.csr_matrix(np.array([[1, 1, 1, 0, 0, 0], [0, 0, 0, 0, 0, 1.0]]))
    found = homogeneity_of_sets(series, members)
    assert found[0] == pytest.approx(kendall_w(series[:, :3]), 1e-6)
    assert np.isnan(found[1])


def test_the_order_and_not_the_scale_counts(rng):
    series = rng.standard_normal((30, 5))
    assert kendall_w(np.exp(3 * series)) == kendall_w(series)
