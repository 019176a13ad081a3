"""Placement and smooth warps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_acc.demo.warp import (
    HeadShape,
    apply_affine,
    field_at,
    rigid,
    sample,
    smooth_field,
    to_voxels,
)

numbers = st.floats(-30, 30)


@given(st.tuples(numbers, numbers, numbers), st.tuples(numbers, numbers, numbers))
def test_rigid_transforms_keep_distances(translation, rotation):
    matrix = rigid(translation, rotation)
    assert matrix[:3, :3] @ matrix[:3, :3].T == pytest.approx(np.eye(3), abs=1e-9)
    assert np.linalg.det(matrix[:3, :3]) == pytest.approx(1.0)
    assert matrix[:3, 3] == pytest.approx(translation)


def test_positive_rotation_about_x_turns_y_to_z():
    assert rigid([0, 0, 0], [90, 0, 0])[:3, :3] @ [0, 1, 0] == pytest.approx([0, 0, 1])


def test_to_voxels_undoes_apply_affine(rng):
    affine = rigid([3, -4, 5], [10, 20, 30]) @ np.diag([2.0, 3.0, 4.0, 1.0])
    points = rng.standard_normal((20, 3))
    assert to_voxels(affine, apply_affine(affine, points)) == pytest.approx(points)


def test_sample_reads_voxel_centres_and_is_zero_outside():
    volume = np.arange(27.0).reshape(3, 3, 3)
    points = np.array([[1.0, 2.0, 0.0], [0.5, 0.0, 0.0], [-5.0, 0.0, 0.0]])
    assert sample(volume, points).tolist() == [15.0, 4.5, 0.0]


def test_smooth_field_has_the_size_asked_for_and_is_smooth(rng):
    field = smooth_field(rng, rms_mm=2.0, smoothness_mm=24.0)
    assert field.std() == pytest.approx(2.0)
    steps = np.diff(field, axis=1)
    assert np.abs(steps).max() < 2.5, 'a step this large between lattice points would fold'
    assert field_at(field, np.zeros((1, 3)))[0] == pytest.approx(field[:, 16, 16, 16])


def test_from_template_undoes_to_template(rng):
    shape = HeadShape(np.array([1.03, 0.98, 1.0]), smooth_field(rng, rms_mm=1.6, smoothness_mm=22))
    points = rng.uniform(-60, 60, (100, 3))
    back = shape.to_template(shape.from_template(points))
    assert np.abs(back - points).max() < 0.02
