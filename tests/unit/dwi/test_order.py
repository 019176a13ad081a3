"""Directions beside the wrong volumes are told by the fit, right ones are not doubted."""

from __future__ import annotations

import numpy as np
import pytest

from bids_acc.dwi.order import check_order, orders
from tests.unit.dwi.test_levels import directions

COUNT = 24


@pytest.fixture
def table() -> tuple[np.ndarray, np.ndarray]:
    """Return b-values and directions: three b = 0 volumes, and a shuffled half sphere."""
    vectors = np.random.default_rng(3).permutation(directions(COUNT))
    return np.r_[0, 0, 0, np.full(COUNT, 1000.0)], np.vstack([np.zeros((3, 3)), vectors])


@pytest.fixture
def signal(table, rng) -> np.ndarray:
    """Return the signal of fibres in all directions with an FA of about .4, SNR 20."""
    bvals, vectors = table
    fibres = rng.normal(size=(1500, 3))
    fibres /= np.linalg.norm(fibres, axis=1, keepdims=True)
    along = (fibres @ vectors.T) ** 2
    clean = 400 * np.exp(-bvals * (0.6e-3 + 0.6e-3 * along))
    return np.hypot(clean + rng.normal(0, 20, clean.shape), rng.normal(0, 20, clean.shape))


def test_the_right_order_is_believed(signal, table):
    found = check_order(signal, *table, np.zeros(COUNT + 3, dtype=int))
    assert (found.best, found.sentence()) == ('given', '')
    assert found.gain < 0.98


@pytest.mark.parametrize(('name', 'undo'), [('later', -1), ('earlier', 1), ('reversed', 0)])
def test_another_order_is_found(signal, table, name, undo):
    bvals, vectors = table
    own = np.arange(3, COUNT + 3)
    wrong = vectors.copy()
    wrong[own] = vectors[np.roll(own, -undo)] if undo else vectors[own[::-1]]
    found = check_order(signal, bvals, wrong, np.zeros(COUNT + 3, dtype=int))
    assert found.suspicious
    assert found.gain > 1.03
    assert np.array_equal(wrong[own][orders(np.zeros(COUNT, dtype=int))[found.best]], vectors[own])
    assert f'{found.gain:.2f} times' in found.sentence()
    assert found.best == {'later': 'earlier', 'earlier': 'later'}.get(name, name) or undo


def test_runs_are_moved_each_by_itself():
    found = orders(np.array([0, 0, 1, 1, 1]))
    assert found['later'].tolist() == [1, 0, 4, 2, 3]
    assert found['reversed'].tolist() == [1, 0, 4, 3, 2]


def test_isotropic_tissue_and_few_volumes_tell_nothing(table, rng):
    bvals, vectors = table
    flat = 400 * np.exp(-bvals * 0.8e-3) + rng.normal(0, 20, (3000, COUNT + 3))
    assert not check_order(flat, bvals, vectors, np.zeros(COUNT + 3, dtype=int)).suspicious
    few = check_order(flat[:, :8], bvals[:8], vectors[:8], np.zeros(8, dtype=int))
    assert np.isnan(few.gain)
    assert not few.suspicious
