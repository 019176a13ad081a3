"""Averaging runs: alignment comes back, noise falls, a stranger is left out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from bids_acc.anat.averaging import average_runs

pytestmark = pytest.mark.filterwarnings('ignore::DeprecationWarning')


def head(shape=(48, 56, 48), seed: int = 3) -> np.ndarray:
    """Make a smooth random pattern inside an ellipsoid."""
    rng = np.random.default_rng(seed)
    grid = np.indices(shape) - np.array(shape)[:, None, None, None] / 2
    inside = (np.square(grid / np.array([18, 22, 18])[:, None, None, None]).sum(axis=0)) < 1
    pattern = ndimage.gaussian_filter(rng.normal(size=shape), 2.0)
    return np.where(inside, 100 + 25 * pattern / pattern.std(), 0.0)


def test_average_of_moved_runs():
    rng, truth, affine = np.random.default_rng(1), head(), np.diag([2.0, 2.0, 2.0, 1.0])
    moved = affine.copy()
    moved[:3, 3] = [3.0, -2.0, 1.0]  # the same image, said to lie elsewhere
    noisy = [truth + rng.normal(0, 10, truth.shape) for _ in range(2)]
    mean, (report,) = average_runs([(noisy[0], affine), (2 * noisy[1], moved)])
    assert report['used'] == 1
    assert report['displacement_mm'] == pytest.approx(np.sqrt(14), abs=0.3)
    inner = ndimage.binary_erosion(truth > 0, iterations=2)
    error = (mean - truth)[inner].std()
    assert error < 0.85 * (noisy[0] - truth)[inner].std()
    assert mean[inner].mean() == pytest.approx(truth[inner].mean(), rel=0.02)


def test_another_head_is_left_out():
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    first, other = head(), np.roll(head(seed=9)[::-1], 5, axis=0) * (head() > 0)
    mean, (report,) = average_runs([(first, affine), (other, affine)])
    assert report['used'] == 0
    np.testing.assert_array_equal(mean, first)
