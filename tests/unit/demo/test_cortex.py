"""True thickness: the template's surfaces in a head."""

import numpy as np
import pytest

from bids_acc.anat.morphometry import symmetric_thickness
from bids_acc.demo.anatomy import Anatomy
from bids_acc.demo.cortex import (
    REGION,
    cingulate_surfaces,
    thickness_change,
    thickness_table,
    true_thickness,
)
from bids_acc.demo.patterns import PATTERNS
from bids_acc.demo.templates import Box
from bids_acc.demo.warp import HeadShape
from bids_acc.surfaces.regions import region_mask
from bids_acc.surfaces.template import load_template


def head_of(size: float, loadings: tuple[float, ...] = (0.0,) * len(PATTERNS)) -> Anatomy:
    """A head of some size; its border points up everywhere, at the level of the vertices."""
    border = np.zeros((4, 45, 90, 60))
    border[2] = 1.0
    affine = np.diag([2.0, 2, 2, 1])
    affine[:3, 3] = (-44, -70, -40)
    shape = HeadShape(np.full(3, 1 / size), np.zeros((3, 33, 33, 33)))
    return Anatomy(shape, np.eye(4), np.array(loadings), Box(affine, border))


def test_a_head_of_the_templates_size_has_its_thickness():
    found = true_thickness(head_of(1.0))
    for side, mesh in load_template().items():
        whole = symmetric_thickness(mesh.white, mesh.pial, mesh.faces)
        region = region_mask(mesh.labels, mesh.names, REGION)
        assert found[side] == pytest.approx(whole[region], abs=1e-4)


def test_a_smaller_head_has_a_thinner_cortex():
    anatomy = head_of(0.9)
    own, found = true_thickness(head_of(1.0)), true_thickness(anatomy)
    for side in own:
        assert found[side] == pytest.approx(0.9 * own[side], rel=1e-4)
    change = thickness_change(anatomy, found)
    assert change['warp_factor'] == pytest.approx([0.9] * len(PATTERNS), abs=1e-3)
    assert change['by_pattern_mm'] == [0.0] * len(PATTERNS)


def test_what_moves_both_borders_alike_is_no_change_of_thickness():
    anatomy = head_of(1.0, (0.0, 0.4, 0.0, 0.0))
    change = thickness_change(anatomy, true_thickness(anatomy))
    assert abs(change['by_pattern_mm'][1]) < 0.05


def test_the_table_names_the_vertices():
    found = true_thickness(head_of(1.0))
    table = thickness_table(found)
    patches = cingulate_surfaces()
    for side, part in table.groupby('hemisphere'):
        assert part['vertex'].tolist() == patches[side].vertices.tolist()
        assert part['thickness'].to_numpy() == pytest.approx(found[side], abs=1e-4)
