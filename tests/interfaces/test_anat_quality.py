"""The table of quality: every figure moves when what it is about does."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nb
import numpy as np
import pandas as pd
import pytest
from nibabel.affines import voxel_sizes
from scipy import ndimage

from bids_acc.anat.builtin import template_priors
from bids_acc.anat.figures import surfaces_on_slices
from bids_acc.anat.interfaces import FitSurfaces
from bids_acc.anat.morphometry import symmetric_thickness
from bids_acc.anat.quality import (
    EXPECTED,
    boundary_contrast,
    contrast_to_noise,
    rim_dark_share,
    thickness_distribution,
    unusual,
)
from bids_acc.anat.quality_interfaces import AnatQuality
from bids_acc.anat.registration import bias_correct
from bids_acc.derivatives.outputs import load_table
from bids_acc.images.volumes import euler_number_of_solid, outside_grid
from bids_acc.surfaces.geometry import vertex_areas
from bids_acc.surfaces.gifti import read_map, read_surface, write_labels, write_map, write_surface
from bids_acc.surfaces.regions import region_mask
from bids_acc.surfaces.template import load_template

ROI = ('caudalanteriorcingulate', 'rostralanteriorcingulate')
Table = Callable[..., pd.Series]


@pytest.fixture(scope='module')
def brain() -> tuple[np.ndarray, np.ndarray]:
    """Tissues (3, nx, ny, nz) of the template at 2 mm, and their affine."""
    priors, affine = template_priors()
    return priors[:, ::2, ::2, ::2], affine @ np.diag([2.0, 2, 2, 1])


@pytest.fixture
def table(brain: tuple[np.ndarray, np.ndarray], tmp_path: Path, monkeypatch) -> Table:
    """Return a function that measures the template's brain, changed in some way."""
    ants = pytest.importorskip('ants')
    monkeypatch.chdir(tmp_path)
    identity = tmp_path / 'identity.mat'
    ants.write_transform(
        ants.create_ants_transform(transform_type='AffineTransform', dimension=3), str(identity)
    )

    def measure(
        *, shift_mm: float = 0, top: int | None = None, wm_noise: float = 0, widen: float = 1,
        clamp: int = 0, erode_mm: float = 0, left_zero: bool = False, **inputs: Any,
    ) -> pd.Series:  # fmt: skip
        tissues, affine = brain
        tissues = tissues[..., :top]
        depth = ndimage.distance_transform_edt(tissues.sum(axis=0) > 0.5, sampling=2.0)
        tissues = np.where(depth >= erode_mm, tissues, 0)
        tissues[:, : tissues.shape[1] // 2 if left_zero else 0] = 0
        rng = np.random.default_rng(0)
        image = np.einsum('k,kxyz->xyz', [0.6, 1.0, 0.2], tissues)
        noisy = tissues + rng.normal(0, wm_noise, tissues.shape) * (tissues.sum(axis=0) > 0.5)
        paths = {}
        for name, data in (
            ('in_file', image), ('mask_file', tissues.sum(axis=0) > 0.5),
            *((f'tpm{k}', t) for k, t in enumerate(noisy)),
        ):  # fmt: skip
            paths[name] = str(tmp_path / f'{name}.nii.gz')
            nb.Nifti1Image(data.astype(np.float32), affine).to_filename(paths[name])
        kinds = ('white', 'pial', 'undefined', 'roi_labels', 'thickness', 'area')
        files: dict[str, list[str]] = {kind: [] for kind in kinds}
        for hemi, mesh in load_template('10k').items():
            pial = mesh.white + widen * (mesh.pial - mesh.white)
            for kind, points in (('white', mesh.white), ('pial', pial)):
                path = tmp_path / f'{hemi}_{kind}.surf.gii'
                moved = points + np.array([0, 0, shift_mm])
                files[kind].append(str(write_surface(path, moved, mesh.faces, hemi, kind)))
            code = np.zeros(len(mesh.white), dtype=int)
            code[np.flatnonzero(mesh.cortex)[:clamp]] = 1
            roi = np.where(region_mask(mesh.labels, mesh.names, ROI), mesh.labels, 0)
            for kind, values in (('undefined', code), ('roi_labels', roi)):
                path = tmp_path / f'{hemi}_{kind}.label.gii'
                names = {int(c): f'label {c}' for c in np.unique(values)}
                files[kind].append(str(write_labels(path, values, names, hemi, kind)))
            defined = mesh.cortex & (code == 0)
            for kind, measured in (
                ('thickness', symmetric_thickness(mesh.white, pial, mesh.faces)),
                ('area', vertex_areas((mesh.white + pial) / 2, mesh.faces)),
            ):
                path = tmp_path / f'{hemi}_{kind}.shape.gii'
                values = np.where(defined, measured, np.nan)
                files[kind].append(str(write_map(path, values, hemi, kind)))
        model = tmp_path / 'model.json'
        found = {'registration_dice': 0.98, 'registration_dice_wm': 0.9, 'cnr': 3, 'snr_wm': 20,
                 'spread_ratio': 1.5}  # fmt: skip
        model.write_text(json.dumps({**found, 'converged': True}))
        facts = {'voxel_max_mm': 2.0, 'skull_stripped': 'true', 'gap_share': 0.0,
                 'brain_method': 'background', 'brain_agreement': 0.98,
                 'bared_cm2': math.nan, 'form_gap_mm': math.nan, 'tiv_ml': 1500.0}  # fmt: skip
        result = AnatQuality(
            in_file=paths['in_file'], mask_file=paths['mask_file'],
            tpms=[paths[f'tpm{k}'] for k in range(3)], model_file=str(model),
            points_to_t1w=[str(identity)], facts=facts, **{**files, **inputs},
        ).run().outputs  # fmt: skip
        return pd.read_csv(result.out_file, sep='\t', na_values='n/a').iloc[0]

    return measure


def test_every_column_is_described_with_its_unit(table: Table) -> None:
    columns = load_table()['anat_qc'].columns
    row = table()
    assert set(row.index) == set(columns)
    assert set(EXPECTED) <= set(row.index)
    unitless = ('euler_wm', 'roi_vertices', 'verdict', 'flags', 'surface_source', 'converged',
                'skull_stripped', 'brain_method')  # fmt: skip
    for name, about in columns.items():
        assert about['Description']
        assert ('Units' in about) != name.startswith(unitless), name


def test_surfaces_beside_the_image_are_seen(table: Table) -> None:
    sound, moved = table(), table(shift_mm=8)
    for hemi in 'LR':
        assert sound[f'in_brain_share_{hemi}'] > 0.98
        assert sound[f'boundary_contrast_{hemi}'] > 0.2
        assert moved[f'boundary_contrast_{hemi}'] < 0.5 * sound[f'boundary_contrast_{hemi}']
        assert moved[f'in_brain_share_{hemi}'] < sound[f'in_brain_share_{hemi}'] - 0.01
        assert f'boundary_contrast_{hemi}' in moved['flags']
    assert moved['verdict'] == 'unusual'


def test_cut_field_of_view_is_seen(table: Table) -> None:
    cut = table(top=65)
    assert 0.8 < cut['field_of_view_share'] < 0.95
    assert table()['field_of_view_share'] > 0.99
    assert 'field_of_view_share' in cut['flags']
    assert 'cut_cm2' in cut['flags']
    assert cut['cut_cm2'] > 50
    assert table()['cut_cm2'] < 10
    assert cut['brain_ml'] < table()['brain_ml']


def test_half_a_head_on_zeros_is_seen(table: Table) -> None:
    half = table(left_zero=True)
    assert half['cut_cm2'] > 100
    assert 'the field of view cuts the brain off' in half['flags']


@pytest.mark.parametrize('lost_mm', [0, 2, 5, 7])
def test_a_mask_that_was_cut_into_cortex_is_seen(table: Table, lost_mm: float) -> None:
    row = table(erode_mm=lost_mm)
    said = 'cortex is missing at the rim of the brain mask' in str(row['flags'])
    assert said == (lost_mm > 2)
    assert (row['rim_dark_share'] < 0.2) == said


@pytest.mark.parametrize('name', ['IXI202-HH-1526_age20', 'ds001946_2mm'])
def test_cortex_that_is_missing_in_a_real_head(shared_data: Path, name: str) -> None:
    stem = shared_data / 'heads' / name
    image, mask = (
        nb.as_closest_canonical(nb.load(f'{stem}{end}.nii.gz')) for end in ('', '_mask')
    )
    data, sizes = image.get_fdata(dtype=np.float32), voxel_sizes(image.affine)
    depth = ndimage.distance_transform_edt(np.asarray(mask.dataobj) > 0, sampling=sizes)
    for lost_mm, tight in ((0, False), (2, False), (4, True), (6, True)):
        left = depth > lost_mm
        even = bias_correct(np.where(left, data, 0), image.affine, left)
        assert (rim_dark_share(even, left, sizes) < 0.2) == tight


def test_riddled_white_matter_is_seen(table: Table) -> None:
    sound, riddled = table(), table(wm_noise=0.3)
    assert riddled['euler_wm'] < sound['euler_wm'] - 1000
    assert 'euler_wm' in riddled['flags']


def test_thickness_beyond_cortex_is_seen(table: Table) -> None:
    sound, wide = table(), table(widen=1.8)
    for hemi in 'LR':
        assert wide[f'thickness_median_{hemi}'] > 1.2 * sound[f'thickness_median_{hemi}']
        assert wide[f'thickness_outside_share_{hemi}'] > 0.2
        assert wide[f'intersecting_share_{hemi}'] > sound[f'intersecting_share_{hemi}']
        assert f'thickness_outside_share_{hemi}' in wide['flags']
        low, middle, high = (wide[f'thickness_{q}_{hemi}'] for q in ('p05', 'median', 'p95'))
        assert low < middle < high


def test_clamped_vertices_are_counted(table: Table) -> None:
    row = table(clamp=2048)
    assert row['clamped_share_L'] == pytest.approx(0.2, abs=0.001)
    assert 'clamped_share_L' in row['flags']


def test_what_was_passed_over_is_a_flag(table: Table, tmp_path: Path) -> None:
    row = table(surface_source='gifti', surface_note='freesurfer passed over: lh.white missing')
    assert row['flags'].startswith('freesurfer passed over: lh.white missing')
    assert (row['verdict'], row['surface_source']) == ('unusual', 'gifti')
    thickness = []
    for hemi in 'LR':  # a quarter of the region without a thickness, as FreeSurfer leaves it
        values = read_map(tmp_path / f'{hemi}_thickness.shape.gii').copy()
        roi = np.flatnonzero(read_map(tmp_path / f'{hemi}_roi_labels.label.gii') > 0)
        values[roi[: len(roi) // 4]] = np.nan
        thickness.append(str(write_map(tmp_path / f'{hemi}_t.shape.gii', values, hemi, 't')))
    row = table(surface_source='freesurfer', thickness=thickness)
    assert row['roi_defined_share_L'] == pytest.approx(0.75, abs=0.01)
    assert 'roi_defined_share' not in str(row['flags'])
    assert 'roi_defined_share' in str(table(thickness=thickness)['flags'])


def test_formulas_by_their_limits() -> None:
    assert boundary_contrast([1.0, 1.0], [0.6, 0.6]) == pytest.approx(0.5)
    assert boundary_contrast([0.5], [0.5]) == 0
    assert math.isnan(boundary_contrast([], []))
    assert math.isnan(boundary_contrast([0.0], [0.0]))
    assert contrast_to_noise([60, 100, 20], [5, 5, 9]) == pytest.approx((8, 20))
    assert all(math.isnan(v) for v in thickness_distribution([np.nan]).values())
    found = thickness_distribution(np.linspace(0, 6, 601))
    assert found['thickness_median'] == pytest.approx(3)
    assert found['thickness_outside_share'] == pytest.approx(2 / 6, abs=0.005)
    assert len(unusual({})) == len(EXPECTED)


def test_euler_number_of_known_solids() -> None:
    ball = np.linalg.norm(np.indices((15, 15, 15)) - 7, axis=0) < 6
    assert euler_number_of_solid(ball) == 2
    hollow = ball & ~ndimage.binary_erosion(ball, iterations=3)
    assert euler_number_of_solid(hollow) == 4
    drilled = ball.copy()
    drilled[7, 7, :] = False
    assert euler_number_of_solid(drilled) == 0
    assert euler_number_of_solid(np.zeros((3, 3, 3))) == 0


def test_edge_of_the_grid_is_half_a_voxel_out() -> None:
    points = [[-0.9, 0, 0], [-1.1, 0, 0], [6.9, 0, 0], [7.1, 0, 0]]
    found = outside_grid(points, (4, 4, 4), np.diag([2.0, 2, 2, 1]))
    assert found.tolist() == [False, True, False, True]


def test_nothing_is_drawn_beyond_the_image() -> None:
    """The edge of a cut field of view must not look like tissue that goes on."""
    volume = np.full((20, 20, 20), 7.0)
    mesh = load_template('10k')['L']
    figure = surfaces_on_slices(volume, np.eye(4), [(mesh.white, mesh.faces, 'red')], np.zeros(3))
    for axes in figure.axes:
        shown = axes.images[0].get_array()
        assert set(np.unique(shown)) <= {0.0, 7.0}
        assert (shown == 7).mean() < 0.2
    assert max((axes.images[0].get_array() == 7).sum() for axes in figure.axes) > 100


@pytest.mark.slow
def test_vertices_outside_the_field_of_view_have_no_value(
    brain: tuple[np.ndarray, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A brain cut off in front: nothing is made up beyond the last slice."""
    ants = pytest.importorskip('ants')
    monkeypatch.chdir(tmp_path)
    identity = tmp_path / 'identity.mat'
    ants.write_transform(
        ants.create_ants_transform(transform_type='AffineTransform', dimension=3), str(identity)
    )
    tissues, affine = brain
    cut = 76  # of 117 slices: y = 18 mm, through the cingulate
    names = []
    for name, data in (
        ('image', np.einsum('k,kxyz->xyz', [600.0, 1000, 200], tissues)),
        *((f'tpm{k}', t) for k, t in enumerate(tissues)),
    ):  # fmt: skip
        names.append(str(tmp_path / f'{name}.nii.gz'))
        nb.Nifti1Image(data[:, :cut].astype(np.float32), affine).to_filename(names[-1])
    fitted = FitSurfaces(
        in_file=names[0], tpms=names[1:], points_to_t1w=[str(identity)],
        images_to_t1w=[str(identity)], density='10k',
    ).run().outputs  # fmt: skip
    last = affine[1, 3] + (cut - 0.5) * affine[1, 1]
    for index, mesh in enumerate(load_template('10k').values()):
        code = read_map(fitted.undefined[index])
        beyond = read_surface(fitted.white[index])[0][:, 1] > last
        thickness = read_map(fitted.thickness[index])
        assert (beyond & mesh.cortex).sum() > 1500
        assert (code[beyond & mesh.cortex] == 3).all()
        assert np.isnan(thickness[beyond]).all()
        assert np.isnan(read_map(fitted.area[index])[beyond]).all()
        inside = mesh.cortex & (mesh.white[:, 1] < last - 15)
        assert np.isfinite(thickness[inside]).mean() > 0.9
