"""The shift of the GM/WM border, on a flat slab where the truth is plain."""

from dataclasses import replace

import numpy as np
import pytest

from bids_acc.demo.anatomy import Anatomy
from bids_acc.demo.patterns import DEPTH_MM, PATTERNS
from bids_acc.demo.templates import (
    AIR,
    Box,
    add_face_and_neck,
    add_scalp,
    border_field,
    fibre_dyadics,
)
from bids_acc.demo.warp import HeadShape

CENTRE = np.array([DEPTH_MM, PATTERNS[1].y_mm, PATTERNS[1].z_mm])
TOP = CENTRE + np.array([0, 0, 3.0])
PREGENUAL = np.eye(len(PATTERNS))[1]


@pytest.fixture
def slab():
    """White matter below the pregenual pattern's centre, grey matter above; no warp."""
    size = 41
    wm = np.zeros((size, size, size), dtype=np.float32)
    wm[:, :, :20] = 1.0
    affine = np.eye(4)
    affine[:3, 3] = CENTRE - [20, 20, 19.5]
    shape = HeadShape(np.ones(3), np.zeros((3, 33, 33, 33)))
    return Anatomy(shape, np.eye(4), 0 * PREGENUAL, Box(affine, border_field(wm)))


def test_border_field_points_from_white_to_grey(slab):
    x, y, z, distance = slab.border.at(CENTRE[None])[0]
    assert (x, y) == pytest.approx((0, 0), abs=1e-5)
    assert z == pytest.approx(1, abs=0.08)
    assert distance == pytest.approx(0, abs=0.1)
    assert slab.border.at(TOP[None])[0, 3] == pytest.approx(3, abs=0.2)


@pytest.mark.parametrize('change', [-0.8, -0.4, 0.4, 0.8])
def test_cortex_changes_by_what_was_planted(slab, change):
    anatomy = replace(slab, thickness_mm=change * PREGENUAL)
    border, pial = anatomy.template_to_head(np.stack([CENTRE, TOP]))
    assert pial - CENTRE == pytest.approx([0, 0, 3.0], abs=0.01)
    # a shift is felt at the place it leads to, where it has faded a little
    assert (pial - border)[2] - 3.0 == pytest.approx(change, rel=0.2)
    assert abs((pial - border)[2] - 3.0) <= abs(change)


def test_head_to_template_undoes_template_to_head(slab, rng):
    anatomy = replace(slab, thickness_mm=-0.6 * PREGENUAL)
    points = CENTRE + rng.uniform(-6, 6, (200, 3))
    back = anatomy.head_to_template(anatomy.template_to_head(points))
    assert np.abs(back - points).max() < 0.02


def test_nothing_moves_where_nothing_is_planted(slab):
    anatomy = replace(slab, thickness_mm=0.5 * PREGENUAL)
    far = CENTRE + np.array([[0, 0, 6.0], [0, 0, -8.0], [200.0, 0, 0]])
    assert anatomy.head_to_template(far) == pytest.approx(far, abs=1e-9)


def test_scalp_leaves_the_brain_alone_and_ends_in_air():
    brain = np.zeros((60, 60, 60), dtype=np.float32)
    brain[25:35, 25:35, 25:35] = 0.8
    head = add_scalp(brain)
    assert head[brain > 0] == pytest.approx(brain[brain > 0])
    profile = head[30, 30, 35:]
    assert profile[3] < 0.25 < 0.4 < profile[7], 'dark skull inside bright scalp'
    assert profile[-8] < 0.02


def test_face_and_neck_lie_in_the_air_around_the_head():
    brain = np.zeros((60, 90, 90), dtype=np.float32)
    brain[20:40, 20:50, 50:80] = 0.8
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    affine[:3, 3] = (-90, -135, -165)
    scalp = add_scalp(brain)
    head = add_face_and_neck(scalp, affine)
    covered = scalp > AIR
    assert head[covered] == pytest.approx(scalp[covered])
    added = (head > 0.2) & ~covered
    volume_ml = added.sum() * 0.027
    assert 500 < volume_ml < 4000
    assert added[:, 60:, :50].any(), 'a face in front, below'
    assert added[:, :, :10].any(), 'a neck down to the edge'
    assert not added[:, :, 82:].any(), 'nothing above'


def test_fibres_run_along_a_rod():
    wm = np.zeros((30, 30, 30), dtype=np.float32)
    wm[13:17, :, 13:17] = 1.0
    dyadic = fibre_dyadics(wm, np.full(30, 40.0))[:, 15, 15, 15]
    assert dyadic[1] == pytest.approx(1.0, abs=0.02)
    assert dyadic[:3].sum() == pytest.approx(1.0, abs=1e-5)
