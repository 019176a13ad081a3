"""Displacement along the phase-encoding axis."""

from __future__ import annotations

import numpy as np

from bids_acc.images.distortion import apply_warp


def test_warp_moves_along_its_axis_and_keeps_the_amount_of_signal():
    field = 0.1 * np.indices((11, 11, 11))[1].astype(float)
    moved, factor = apply_warp(field, np.eye(4), [[5.0, 6.0, 5.0]], [0, 1, 0])
    np.testing.assert_allclose(moved, [[5, 6.6, 5]], atol=1e-6)
    np.testing.assert_allclose(factor, [1.1], atol=1e-6)
