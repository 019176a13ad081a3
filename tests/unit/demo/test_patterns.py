"""Where effects are planted."""

import numpy as np
import pytest

from bids_acc.demo.patterns import DEPTH_MM, PATTERNS, effect_at, pattern_weights


def test_each_pattern_is_one_at_its_own_centre():
    centres = np.array([[DEPTH_MM, p.y_mm, p.z_mm] for p in PATTERNS])
    weights = pattern_weights(centres)
    assert np.diag(weights) == pytest.approx(1.0)
    others = weights[~np.eye(len(PATTERNS), dtype=bool)]
    assert others.max() < 0.25, 'patterns overlap so much that no parcellation could part them'


def test_left_and_right_are_alike(rng):
    points = rng.uniform(-60, 60, (50, 3))
    mirrored = points * [-1, 1, 1]
    assert pattern_weights(points) == pytest.approx(pattern_weights(mirrored))


def test_effect_is_linear_in_the_loadings(rng):
    points = rng.uniform(-10, 40, (30, 3))
    a, b = rng.standard_normal((2, len(PATTERNS)))
    assert effect_at(points, 2 * a - b) == pytest.approx(
        2 * effect_at(points, a) - effect_at(points, b)
    )


def test_nothing_is_planted_far_from_the_cingulate():
    far = [[-40.0, -20.0, 50.0], [30.0, -90.0, 0.0], [50.0, 30.0, 10.0]]
    assert effect_at(far, np.ones(len(PATTERNS))) == pytest.approx(0, abs=1e-6)
