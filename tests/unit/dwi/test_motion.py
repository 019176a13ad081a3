"""Motion of diffusion-weighted volumes, and their gradients."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from bids_acc.dwi.motion import estimate_motion, matrix_from_parameters, rotate_directions
from bids_acc.dwi.shells import Shells
from bids_acc.images.affines import apply_matrix, voxel_centres
from bids_acc.images.motion import rotation_part
from bids_acc.images.resampling import sample


@pytest.fixture
def unit_vectors(rng):
    vectors = rng.normal(size=(30, 3))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_gradients_turn_against_the_head(unit_vectors):
    """A fibre that turned with the head is seen by the turned-back gradient as before."""
    turn = Rotation.from_rotvec([0.1, -0.2, 0.3]).as_matrix()
    pull = np.eye(4)
    pull[:3, :3] = turn
    fibre = np.array([0.0, 0.6, 0.8])
    seen = (unit_vectors @ (turn @ fibre)) ** 2
    turned = rotate_directions(unit_vectors, np.tile(pull, (30, 1, 1)))
    np.testing.assert_allclose((turned @ fibre) ** 2, seen)


def test_shear_does_not_turn_gradients_much():
    pull = matrix_from_parameters([0] * 6 + [0.02, 0, 0], [0, 0, 0], [0, 1, 0])
    assert np.rad2deg(Rotation.from_matrix(rotation_part(pull)).magnitude()) < 0.6


def test_planted_motion_of_a_textured_object_is_found(rng):
    field = ndimage.gaussian_filter(rng.normal(size=(44, 44, 44)), 2.2)
    affine = np.diag([2.5, 2.5, 2.5, 1.0])
    big = affine.copy()
    big[:3, 3] = -10
    centres = voxel_centres(np.ones((36, 36, 36)), affine)
    middle = np.full(3, 43.75)
    inside = np.exp(-(np.linalg.norm(centres - middle, axis=1) ** 2) / (2 * 22**2))
    planted = [np.zeros(9)] + [
        np.r_[rng.uniform(-2, 2, 3), rng.uniform(-0.04, 0.04, 3), np.zeros(3)] for _ in range(3)
    ]
    volumes = []
    for parameters in planted:
        back = np.linalg.inv(matrix_from_parameters(parameters, middle, [0, 1, 0]))
        points = apply_matrix(back, centres)
        window = np.exp(-(np.linalg.norm(points - middle, axis=1) ** 2) / (2 * 22**2))
        texture = np.nan_to_num(sample(field, big, points, order=3))
        volumes.append((1000 * window * (1 + 3 * texture)).reshape(36, 36, 36))
    series = np.stack(volumes, -1)
    mask = inside.reshape(36, 36, 36) > 0.2
    shells = Shells(np.zeros(4, dtype=np.int64), (0,))
    motion = estimate_motion(series, affine, shells, np.zeros((4, 3)), mask, [0, 1, 0])
    where = voxel_centres(mask, affine)[::20]
    for parameters, found in zip(planted, motion.matrices, strict=True):
        truth = matrix_from_parameters(parameters, middle, [0, 1, 0])
        gap = apply_matrix(truth, where) - apply_matrix(found, where)
        assert np.linalg.norm(gap, axis=1).mean() < 0.1
