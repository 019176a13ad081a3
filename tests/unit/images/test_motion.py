"""How far a head moved."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from bids_acc.images.motion import framewise_displacement


def test_framewise_displacement_of_a_known_step():
    pulls = np.tile(np.eye(4), (3, 1, 1))
    pulls[1:, :3, 3] = [1.0, -2.0, 0]
    pulls[2, :3, :3] = Rotation.from_rotvec([0, 0, 0.01]).as_matrix()
    np.testing.assert_allclose(framewise_displacement(pulls), [np.nan, 3.0, 0.5], rtol=1e-6)
