"""Brains in b = 0 images."""

from __future__ import annotations

import numpy as np
import pytest

from bids_acc.exceptions import ComputationError
from bids_acc.images.affines import voxel_centres
from bids_acc.images.masks import brain_mask


def test_brain_mask_takes_the_brain_and_not_the_eyes(rng):
    points = voxel_centres(np.ones((60, 70, 50)), np.diag([3.0, 3, 3, 1])) - [90, 105, 75]
    brain = (np.linalg.norm(points / [68, 82, 60], axis=1) < 1).reshape(60, 70, 50)
    eye = (np.linalg.norm(points - [30, 98, -25], axis=1) < 11).reshape(60, 70, 50)
    image = 800 * brain + 1500 * eye + np.abs(rng.normal(0, 30, brain.shape))
    mask = brain_mask(image, [3, 3, 3])
    dice = 2 * (mask & brain).sum() / (mask.sum() + brain.sum())
    assert dice > 0.96
    assert (mask & eye & ~brain).sum() < 0.3 * eye.sum()


def test_no_brain_is_an_error(rng):
    with pytest.raises(ComputationError, match='brain mask'):
        brain_mask(rng.normal(size=(10, 10, 10)), [1, 1, 1])
