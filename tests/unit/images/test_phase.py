"""Phase images become a field in Hz: a planted field comes back."""

from __future__ import annotations

import numpy as np
import pytest

from bids_acc.images.phase import difference, field_hz, in_radians, unwrapped


@pytest.fixture(scope='module')
def planted():
    """Return a smooth field of more than one turn, and a magnitude that is low at its edge."""
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, 24)] * 3, indexing='ij'))
    radius = np.linalg.norm(grid, axis=0)
    field = 300 * np.exp(-3 * ((grid - [[[[0.3]]], [[[0.2]]], [[[0]]]]) ** 2).sum(axis=0)) - 60
    return field, np.exp(-radius), radius < 0.9


def test_a_wrapped_field_comes_back(planted):
    field, magnitude, inside = planted
    phase = 2 * np.pi * field * 0.00246 * 2
    assert np.ptp(phase[inside]) > 2 * np.pi
    wrapped = np.angle(np.exp(1j * phase))
    found = field_hz(unwrapped(wrapped, magnitude, inside), 0.00492)
    gap = (found - field)[inside]
    turns = np.round(np.median(gap) * 0.00492)
    assert np.abs(gap - turns / 0.00492).max() < 1e-6
    assert np.isnan(found[~inside]).all()


def test_two_parts_are_unwrapped_each():
    inside = np.zeros((9, 3, 3), dtype=bool)
    inside[:3] = inside[6:] = True
    phase = np.linspace(0, 3, 81).reshape(9, 3, 3)
    assert unwrapped(phase, np.ones((9, 3, 3)), inside)[inside] == pytest.approx(phase[inside])


def test_noise_at_the_edge_does_not_spread(planted, rng):
    field, magnitude, inside = planted
    phase = 2 * np.pi * field * 0.00492
    edge = inside & (magnitude < np.exp(-0.75))
    phase[edge] += rng.uniform(-3, 3, int(edge.sum()))
    found = unwrapped(np.angle(np.exp(1j * phase)), magnitude, inside)
    core = inside & ~edge
    gap = (found - phase)[core]
    assert np.ptp(gap) < 1e-6


@pytest.mark.parametrize('scale', [4096 / np.pi, 1.0])
def test_ranges_of_scanners(scale):
    phase = np.linspace(-np.pi, np.pi, 41)
    assert in_radians(phase * scale) == pytest.approx(phase)
    assert in_radians((phase + np.pi) * 4095 / (2 * np.pi)) == pytest.approx(phase)


def test_one_value_is_no_phase():
    with pytest.raises(ValueError, match='one value'):
        in_radians(np.zeros((3, 3, 3)))


def test_phases_are_subtracted_round_the_circle():
    assert difference(3.1, -3.1) == pytest.approx(2 * np.pi - 6.2)
