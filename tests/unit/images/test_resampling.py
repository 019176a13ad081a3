"""Interpolation at points."""

from __future__ import annotations

import numpy as np
import pytest

from bids_acc.images.affines import voxel_centres
from bids_acc.images.resampling import sample, sample_series


def test_linear_ramp_is_sampled_exactly_and_outside_is_nan():
    affine = np.diag([-2.0, 2, 3, 1])
    affine[:3, 3] = [10, -5, 4]
    points = voxel_centres(np.ones((8, 9, 7)), affine)
    ramp = (points @ [1.0, 2.0, -0.5]).reshape(8, 9, 7)
    where = np.array([[3.3, 1.1, 9.9], [500.0, 0, 0]])
    for order in (1, 3):
        values = sample(ramp, affine, where, order=order)
        assert values[0] == pytest.approx(where[0] @ [1, 2, -0.5], abs=0.05)
        assert np.isnan(values[1])


def test_series_passes_its_own_transforms_and_is_modulated():
    affine = np.eye(4)
    volume = np.indices((9, 9, 9))[0].astype(float)
    shift = np.eye(4)
    shift[0, 3] = 2
    found = sample_series(
        np.stack([volume, volume], -1), affine, [[3, 4, 4]], [np.eye(4), shift], order=1,
        modulation=[1, 0.5],
    )  # fmt: skip
    np.testing.assert_allclose(found, [[3, 2.5]])
