"""How far a head moved."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from bids_acc.images.motion import framewise_displacement


def test_framewise_displacement_of_a_known_step():
    pulls = np.tile(np.eye(4), (3, 1, 1))
    pulls[1:, :3, 3] = [1.0, -2.0, 0]
    pulls[2, :3, :3] = Rotation.from_rotvec([0, 0, 0.01]).as_matrix()
    found = framewise_displacement(pulls, [0, 0, 0])
    np.testing.assert_allclose(found, [np.nan, 3.0, 0.5], rtol=1e-6)


def pull_about(parameters, centre):
    """Translate, after a turn about the centre."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(parameters[3:]).as_matrix()
    matrix[:3, 3] = centre + parameters[:3] - matrix[:3, :3] @ centre
    return matrix


@pytest.mark.parametrize('away', [[0, 0, 78.0], [-40, 25, -110.0]])
def test_framewise_displacement_is_the_same_wherever_the_head_lies(rng, away):
    motion = rng.normal(scale=[0.1] * 3 + [0.004] * 3, size=(20, 6))
    here, there = np.zeros(3), np.array(away)
    found, expected = (
        framewise_displacement([pull_about(p, centre) for p in motion], centre)
        for centre in (there, here)
    )
    np.testing.assert_allclose(found, expected)
    steps = np.abs(np.diff(motion * np.r_[1, 1, 1, 50, 50, 50], axis=0)).sum(axis=1)
    np.testing.assert_allclose(found[1:], steps, rtol=1e-2)
