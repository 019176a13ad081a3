"""Maps on inflated surfaces: what the page gets, and which way the still pictures look."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from bids_acc.report.subject.cohort import LEAST_PEOPLE, percentile
from bids_acc.report.surface_figures import draw_side
from bids_acc.report.surface_view import (
    MISSING,
    SurfaceMap,
    face_colours,
    mesh_content,
    painted,
    still_picture,
    viewer_content,
)
from bids_acc.surfaces.inflated import N_VERTICES, inflated_template
from bids_acc.surfaces.template import load_template
from tests.synthetic.packed import corners, unpacked

NOWHERE = {side: np.zeros(N_VERTICES, dtype=int) for side in 'LR'}


def test_the_inflated_mesh_is_that_of_the_template() -> None:
    """The corners of each face are the same; places that lie apart there lie apart here."""
    for side, own in inflated_template().items():
        template = load_template('10k')[side]
        assert np.array_equal(own.faces, template.faces)
        front = np.corrcoef(own.vertices[:, 1], template.pial[:, 1])[0, 1]
        up = np.corrcoef(own.vertices[:, 2], template.pial[:, 2])[0, 1]
        assert min(front, up) > 0.8
        outside = 1 if side == 'R' else -1
        wall = own.vertices[own.labels == 0, 0].mean()
        assert outside * wall < 0, 'the medial wall faces the midline'


def test_values_come_back_from_the_page_and_missing_stays_missing() -> None:
    rng = np.random.default_rng(2)
    values = {side: rng.uniform(1, 5, N_VERTICES) for side in 'LR'}
    values['L'][:3] = np.nan
    finer = {side: np.concatenate([one, np.full(30720, 99.0)]) for side, one in values.items()}
    told = json.loads(viewer_content([SurfaceMap('thickness', finer, 'mm')], NOWHERE))['maps'][0]
    steps = unpacked(told['values']['L'], '<u2')
    assert (steps[:3] == MISSING).all()
    back = told['from'] + steps[3:] / (MISSING - 1) * (told['to'] - told['from'])
    assert back == pytest.approx(values['L'][3:], abs=4 / 60000)
    assert told['to'] < 6, 'vertices of the finer mesh are not shown'


def test_no_text_of_a_map_ends_the_script() -> None:
    text = viewer_content(
        [SurfaceMap('</script><b>', dict.fromkeys('LR', [0.0] * 20000))], NOWHERE
    )
    assert '<' not in text
    assert json.loads(text)['maps'][0]['title'] == '</script><b>'


def test_the_page_holds_places_to_a_hundredth_of_a_millimetre() -> None:
    content = json.loads(mesh_content())
    own = inflated_template()['R']
    places = unpacked(content['R']['places'], '<i2').reshape(-1, 3) / 100
    assert np.abs(places - own.vertices).max() < 0.006
    assert np.array_equal(corners(content['L']['faces']), own.faces)
    assert 'faces' not in content['R'], 'they are those of the left hemisphere'
    turned = {'L': own, 'R': replace(own, faces=own.faces[::-1])}
    content = json.loads(mesh_content(turned))
    assert np.array_equal(corners(content['R']['faces']), own.faces[::-1])


def test_surface_and_maps_are_a_small_part_of_the_page() -> None:
    """The page of a cohort of 152 shall stay below 2.2 MB: mesh and maps were 0.8 MB of 3.2."""
    assert len(mesh_content()) < 230_000
    rng = np.random.default_rng(2)
    keys = {side: np.where(own.labels == 27, rng.integers(0, 4, N_VERTICES), -1)
            for side, own in inflated_template().items()}  # fmt: skip
    names = [(f'parcel {k}', (0.1, 0.2, 0.3)) for k in range(4)]
    parcels = SurfaceMap('parcels', keys, labels=names)
    assert len(viewer_content([parcels], NOWHERE)) < 12_000


@pytest.mark.parametrize(
    ('side', 'outward', 'front'),
    [('L', 1, 'left'), ('L', -1, 'right'), ('R', 1, 'right'), ('R', -1, 'left')],
)
def test_nobody_is_mirrored(side: str, outward: int, front: str) -> None:
    """Seen from its own side the left hemisphere has its front on the left, and so on."""
    own = inflated_template()[side]
    forward = own.vertices[own.faces].mean(axis=1)[:, 1] > 0
    colours = np.where(forward[:, None], (1.0, 0, 0), (0, 0, 1.0))
    picture = painted(own, colours, outward, side)
    red = (picture[..., 0] > 0.3) & (picture[..., 2] < 0.1)
    blue = (picture[..., 2] > 0.3) & (picture[..., 0] < 0.1)
    difference = np.argwhere(red)[:, 1].mean() - np.argwhere(blue)[:, 1].mean()
    assert (difference < 0) == (front == 'left')
    crown = own.vertices[own.faces].mean(axis=1)[:, 2] > 0
    picture = painted(own, np.where(crown[:, None], (1.0, 0, 0), (0, 0, 1.0)), outward, side)
    above = np.argwhere((picture[..., 0] > 0.3) & (picture[..., 2] < 0.1))[:, 0].mean()
    assert above < picture.shape[0] / 2


def test_no_hole_is_left_in_the_picture() -> None:
    """Within the outline of the brain every pixel is painted."""
    own = inflated_template()['L']
    picture = painted(own, np.full((len(own.faces), 3), 0.5), -1, 'L')
    empty = (picture == 1).all(axis=-1)
    row = empty[empty.shape[0] // 2]
    inside = np.flatnonzero(~row)
    assert not row[inside[0] : inside[-1]].any()


def test_parcels_keep_their_colours_and_borders_are_dark() -> None:
    own = inflated_template()['L']
    keys = np.where(own.vertices[:, 1] > 0, 0, -1)
    one = SurfaceMap('parcels', {'L': keys, 'R': keys}, labels=[('parcel 1', (1.0, 0.5, 0.0))])
    colours = face_colours(one, 'L', keys + 1, own)
    inside = (keys[own.faces] == 0).all(axis=1)
    assert np.allclose(colours[inside], (1.0, 0.5, 0.0))
    mixed = np.ptp(keys[own.faces], axis=1) > 0
    assert (colours[mixed] < 0.1).all()


def test_a_map_without_any_value_is_drawn_grey() -> None:
    empty = SurfaceMap('FA', {side: np.full(N_VERTICES, np.nan) for side in 'LR'})
    assert still_picture([empty], NOWHERE).axes
    assert json.loads(viewer_content([empty], NOWHERE))['maps'][0]['from'] == 0


def test_percentile_needs_people_and_a_value() -> None:
    assert np.isnan(percentile(1.0, range(LEAST_PEOPLE - 1)))
    assert np.isnan(percentile(np.nan, range(50)))
    assert percentile(25.0, [*range(50), np.nan]) == 51.0


@pytest.mark.parametrize(
    ('side', 'medial', 'front'),
    [('L', False, 'left'), ('L', True, 'right'), ('R', False, 'right'), ('R', True, 'left')],
)
def test_nobody_is_mirrored_in_figures_of_surfaces(side: str, medial: bool, front: str) -> None:
    mesh = load_template('10k')[side]
    colours = np.where(mesh.pial[:, 1:2] > 0, (1.0, 0, 0), (0, 0, 1.0))
    axes = Figure().subplots()
    draw_side(axes, mesh.pial, mesh.faces, colours, side, medial=medial)
    (painted_faces,) = axes.collections
    across = np.array([path.vertices[:3, 0].mean() for path in painted_faces.get_paths()])
    red = painted_faces.get_facecolors()[:, 0] > 0.3
    assert (across[red].mean() < across[~red].mean()) == (front == 'left')
