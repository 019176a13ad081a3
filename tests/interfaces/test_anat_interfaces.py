"""The anatomical shells: numbers, refusals and files in the working folder."""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path

import nibabel as nb
import numpy as np
import pandas as pd
import pytest

from bids_acc.anat.interfaces import PrepareT1w
from bids_acc.anat.quality import EXPECTED, unusual
from bids_acc.anat.surface_interfaces import RegionOfInterest
from bids_acc.derivatives.outputs import load_table
from bids_acc.exceptions import InputDataError, SettingsError
from bids_acc.images.volumes import is_skull_stripped, stripped_mask
from bids_acc.surfaces.gifti import read_labels, write_labels, write_surface
from bids_acc.surfaces.regions import region_mask
from bids_acc.surfaces.template import HEMISPHERES, atlas_provenance, load_template, mask_sha256

ROI = ('caudalanteriorcingulate', 'rostralanteriorcingulate')


def write_ball(path: Path, affine: np.ndarray, shape: tuple[int, ...] = (60, 60, 60)) -> Path:
    """Write a ball of 55 mm: everything else is zero."""
    index = np.indices(shape).reshape(3, -1).T
    points = index @ affine[:3, :3].T + affine[:3, 3]
    inside = (np.linalg.norm(points - points.mean(axis=0), axis=1) < 55).reshape(shape)
    data = np.where(inside, 200 + points[:, 0].reshape(shape), 0).astype(np.float32)
    nb.Nifti1Image(data, affine).to_filename(path)
    return path


@pytest.mark.parametrize('flip', [(1, 1, 1), (-1, 1, 1), (1, -1, -1)])
def test_orientation_does_not_move_the_brain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flip: tuple[int, int, int]
) -> None:
    monkeypatch.chdir(tmp_path)
    affine = np.diag([*(2.0 * np.array(flip)), 1.0])
    source = write_ball(tmp_path / 't1w.nii.gz', affine)
    result = PrepareT1w(t1w_file=str(source)).run().outputs
    assert result.facts['skull_stripped'] == 'true'
    image = nb.Nifti1Image.from_filename(result.out_file)
    assert nb.aff2axcodes(image.affine) == ('R', 'A', 'S')
    index = np.argwhere(image.get_fdata() > 0)
    points = index @ image.affine[:3, :3].T + image.affine[:3, 3]
    values = image.get_fdata()[tuple(index.T)]
    assert values == pytest.approx(200 + points[:, 0], abs=1e-3)


def test_oblique_and_anisotropic_grids_keep_their_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    turn = np.deg2rad(25)
    rotation = np.array(
        [[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]]
    )
    affine = np.eye(4)
    affine[:3, :3] = rotation @ np.diag([-2.0, 1.5, 3.0])
    source = write_ball(tmp_path / 't1w.nii.gz', affine, (60, 80, 40))
    result = PrepareT1w(t1w_file=str(source)).run().outputs
    image = nb.Nifti1Image.from_filename(result.out_file)
    assert nb.aff2axcodes(image.affine) == ('R', 'A', 'S')
    index = np.argwhere(image.get_fdata() > 0)
    points = index @ image.affine[:3, :3].T + image.affine[:3, 3]
    assert image.get_fdata()[tuple(index.T)] == pytest.approx(200 + points[:, 0], abs=1e-3)


def test_sheared_grid_is_refused(tmp_path: Path) -> None:
    affine = np.diag([2.0, 2, 2, 1])
    affine[0, 1] = 0.3
    path = write_ball(tmp_path / 'a.nii.gz', affine)
    with pytest.raises(InputDataError, match='right angles'):
        PrepareT1w(t1w_file=str(path)).run()


@pytest.mark.parametrize(
    ('shape', 'size', 'field'),
    [((60, 60, 60), 4.0, 'voxels'), ((60, 60, 8), 2.0, 'shape'), ((20, 20, 20), 0.1, 'voxels')],
)
def test_unusable_grids_are_refused(
    tmp_path: Path, shape: tuple[int, ...], size: float, field: str
) -> None:
    path = write_ball(tmp_path / 'a.nii.gz', np.diag([size, size, size, 1.0]), shape)
    with pytest.raises(InputDataError, match=field):
        PrepareT1w(t1w_file=str(path)).run()


def test_constant_image_is_refused(tmp_path: Path) -> None:
    path = tmp_path / 'a.nii.gz'
    nb.Nifti1Image(np.ones((20, 20, 20), np.float32), np.eye(4)).to_filename(path)
    with pytest.raises(InputDataError, match='constant'):
        PrepareT1w(t1w_file=str(path)).run()


@pytest.mark.parametrize('value', [0, np.nan])
def test_image_without_anatomy_is_refused(tmp_path: Path, value: float) -> None:
    path = tmp_path / 'a.nii.gz'
    nb.Nifti1Image(np.full((20, 20, 20), value, np.float32), np.eye(4)).to_filename(path)
    with pytest.raises(InputDataError, match='holds no anatomy'):
        PrepareT1w(t1w_file=str(path)).run()


def test_one_volume_in_four_dimensions_is_taken_and_two_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write_ball(tmp_path / 'a.nii.gz', np.diag([2.0, 2, 2, 1]))
    image = nb.Nifti1Image.from_filename(path)
    data = image.get_fdata(dtype=np.float32)
    nb.Nifti1Image(data[..., None], image.affine).to_filename(tmp_path / 'one.nii.gz')
    found = PrepareT1w(t1w_file=str(tmp_path / 'one.nii.gz')).run().outputs
    assert np.array_equal(nb.Nifti1Image.from_filename(found.out_file).get_fdata(), data)
    nb.Nifti1Image(np.stack([data] * 2, -1), image.affine).to_filename(tmp_path / 'two.nii.gz')
    with pytest.raises(InputDataError, match='2 volumes'):
        PrepareT1w(t1w_file=str(tmp_path / 'two.nii.gz')).run()


def test_header_that_does_not_tell_left_from_right_is_refused(tmp_path: Path) -> None:
    path = write_ball(tmp_path / 'a.nii.gz', np.diag([2.0, 2, 2, 1]))
    image = nb.Nifti1Image.from_filename(path)
    image.set_sform(None, 0)
    image.set_qform(None, 0)
    image.to_filename(path)
    with pytest.raises(InputDataError, match='sform_code and qform_code are 0'):
        PrepareT1w(t1w_file=str(path)).run()
    image.set_sform(np.diag([2.0, 2, 2, 1]), 1)
    image.set_qform(np.diag([-2.0, 2, 2, 1]), 1)
    image.to_filename(path)
    with pytest.raises(InputDataError, match='disagree about left and right'):
        PrepareT1w(t1w_file=str(path)).run()


def test_sform_and_qform_apart_are_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write_ball(tmp_path / 'a.nii.gz', np.diag([2.0, 2, 2, 1]))
    assert np.isnan(PrepareT1w(t1w_file=str(path)).run().outputs.facts['form_gap_mm'])
    image = nb.Nifti1Image.from_filename(path)
    image.set_sform(np.diag([2.0, 2, 2, 1]), 1)
    moved = np.diag([2.0, 2, 2, 1])
    moved[:3, 3] = (6, 0, -8)
    image.set_qform(moved, 1)
    image.to_filename(path)
    facts = PrepareT1w(t1w_file=str(path)).run().outputs.facts
    assert facts['form_gap_mm'] == pytest.approx(10, abs=1e-4)
    for form in (image.set_sform, image.set_qform):  # axes that have to be turned
        form(np.diag([-2.0, -2, 2, 1]), 1)
    image.to_filename(path)
    again = PrepareT1w(t1w_file=str(path)).run().outputs.facts
    assert again['form_gap_mm'] == pytest.approx(0, abs=1e-4)
    assert 'apart' in unusual({'form_gap_mm': facts['form_gap_mm']})[-1]
    assert not any('apart' in text for text in unusual({'form_gap_mm': np.nan}))


def test_voxels_that_are_not_finite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    """Around the brain they are background; inside, a few take a neighbour's value."""
    monkeypatch.chdir(tmp_path)
    path = write_ball(tmp_path / 'a.nii.gz', np.diag([2.0, 2, 2, 1]))
    image = nb.Nifti1Image.from_filename(path)
    whole = image.get_fdata(dtype=np.float32)
    inside = whole > 0
    holes = inside & (rng.random(whole.shape) < 0.02)
    data = np.where(inside & ~holes, whole, np.nan)
    nb.Nifti1Image(data, image.affine).to_filename(path)
    result = PrepareT1w(t1w_file=str(path)).run().outputs
    found = nb.Nifti1Image.from_filename(result.out_file).get_fdata()
    assert not found[~inside].any()
    deep = np.abs(np.indices(whole.shape) - 29.5).max(axis=0) < 15
    assert np.abs(found - whole)[deep].max() <= 6  # two voxels of a ramp of 1/mm
    assert result.facts['gap_share'] == pytest.approx(0.02, abs=0.005)
    assert any(text.startswith('gap_share') for text in unusual(result.facts))
    nb.Nifti1Image(
        np.where(rng.random(whole.shape) < 0.2, np.nan, whole), image.affine
    ).to_filename(path)
    with pytest.raises(InputDataError, match='NaN or infinite'):
        PrepareT1w(t1w_file=str(path)).run()


@pytest.mark.parametrize('lost', [[30], [24, 31, 32]])
@pytest.mark.parametrize('value', [0, np.nan])
def test_slices_that_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: list[int], value: float
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write_ball(tmp_path / 'a.nii.gz', np.diag([2.0, 2, 2, 1]))
    image = nb.Nifti1Image.from_filename(path)
    whole = image.get_fdata(dtype=np.float32)
    data = whole.copy()
    data[..., lost] = value
    nb.Nifti1Image(data, image.affine).to_filename(path)
    result = PrepareT1w(t1w_file=str(path)).run().outputs
    found = nb.Nifti1Image.from_filename(result.out_file).get_fdata()
    deep = np.abs(np.indices(whole.shape) - 29.5).max(axis=0) < 15
    assert np.abs(found - whole)[deep].max() <= 4  # a neighbour's value of a ramp of 1/mm
    assert result.facts['gap_share'] > 0.001
    assert any(text.startswith('gap_share') for text in unusual(result.facts))
    data[..., ::2] = value
    nb.Nifti1Image(data, image.affine).to_filename(path)
    with pytest.raises(InputDataError, match='in empty slices'):
        PrepareT1w(t1w_file=str(path)).run()


def test_scaled_integers_are_read_as_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write_ball(tmp_path / 'a.nii.gz', np.diag([2.0, 2, 2, 1]))
    values = nb.Nifti1Image.from_filename(path).get_fdata(dtype=np.float32)
    stored = np.rint((values - 12) / 0.25).astype(np.int16)
    raw = nb.Nifti1Image(stored, np.diag([2.0, 2, 2, 1]))
    raw.header.set_slope_inter(0.25, 12)
    raw.to_filename(path)
    result = PrepareT1w(t1w_file=str(path)).run().outputs
    found = nb.Nifti1Image.from_filename(result.out_file).get_fdata()
    assert found == pytest.approx(values, abs=0.13)  # half a step of 0.25


def test_noise_outside_the_brain_means_it_was_not_stripped(rng: np.random.Generator) -> None:
    data = np.abs(rng.normal(0, 5, (60, 60, 60)))
    assert not is_skull_stripped(data, np.full(3, 2.0))
    data[:, :, :] = 0
    data[10:50, 10:50, 10:50] = 100
    assert is_skull_stripped(data, np.full(3, 2.0))
    data[20:22, 20:22, 20:22] = 0
    assert stripped_mask(data, np.full(3, 2.0))[20:22, 20:22, 20:22].all()


@pytest.mark.parametrize('voxel', [1.0, 3.0])
def test_small_head_on_zero_is_no_brain(voxel: float) -> None:
    """A defaced or cut head can have the size of a brain; bone below the scalp tells."""
    n = int(180 / voxel)
    radius = np.linalg.norm(np.indices((n, n, n)) - (n - 1) / 2, axis=0) * voxel
    brain = np.where(radius < 70, 600 - 4 * radius, 0)
    assert is_skull_stripped(brain, np.full(3, voxel))
    head = np.select([radius < 64, radius < 70, radius < 76], [600 - 4 * radius, 90, 500])
    assert not is_skull_stripped(head, np.full(3, voxel))
    cut = head[:, : int(0.6 * n)]
    assert not is_skull_stripped(cut, np.full(3, voxel))


@pytest.fixture
def surfaces(tmp_path: Path) -> dict[str, list[str]]:
    """The template's own surfaces, with one clamped vertex on either side."""
    found: dict[str, list[str]] = {'white': [], 'pial': [], 'undefined': []}
    for hemi, mesh in load_template('10k').items():
        for kind in ('white', 'pial'):
            path = tmp_path / f'{hemi}_{kind}.surf.gii'
            points = getattr(mesh, kind)
            found[kind].append(str(write_surface(path, points, mesh.faces, hemi, kind)))
        code = np.zeros(len(mesh.white), dtype=int)
        code[np.flatnonzero(mesh.cortex)[7]] = 1
        path = tmp_path / f'{hemi}_undefined.label.gii'
        names = {0: 'defined', 1: 'clamped'}
        found['undefined'].append(str(write_labels(path, code, names, hemi, 'undefined')))
    return found


def test_region_lies_on_cortex_and_in_the_volume(
    surfaces: dict[str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    affine = np.diag([2.0, 2, 2, 1])
    affine[:3, 3] = (-90, -126, -72)
    grid = tmp_path / 'grid.nii.gz'
    nb.Nifti1Image(np.zeros((91, 109, 91), np.float32), affine).to_filename(grid)
    interface = RegionOfInterest(
        white=surfaces['white'], pial=surfaces['pial'], grid_file=str(grid), density='10k', roi=ROI
    )
    result = interface.run().outputs
    counts = []
    for path, mesh in zip(result.roi_labels, load_template('10k').values(), strict=True):
        codes, names = read_labels(path)
        assert set(names.values()) == {'unknown', *ROI}
        assert not (codes > 0)[~mesh.cortex].any()
        counts.append(int((codes > 0).sum()))
    assert counts == [154, 150]  # of DKT
    assert [facts['VertexCount'] for facts in result.metadata] == counts
    mask = nb.Nifti1Image.from_filename(result.roi_mask).get_fdata() > 0
    points = np.argwhere(mask) @ affine[:3, :3].T + affine[:3, 3]
    assert 4000 < mask.sum() * 8 < 20000
    assert np.abs(points[:, 0]).max() < 25
    assert points[:, 1].min() > -15


def test_unknown_label_is_answered_with_what_there_is() -> None:
    mesh = load_template('10k')['L']
    with pytest.raises(SettingsError, match='insula'):
        region_mask(mesh.labels, mesh.names, ('acc',))
    with pytest.raises(SettingsError, match='unknown'):
        region_mask(mesh.labels, mesh.names, ('unknown',))


def test_coarse_mask_is_the_start_of_the_fine_one() -> None:
    for hemi in HEMISPHERES:
        coarse, fine = (load_template(d)[hemi] for d in ('10k', '41k'))
        mask = region_mask(coarse.labels, coarse.names, ROI)
        finer = region_mask(fine.labels, fine.names, ROI)
        assert np.array_equal(finer[: len(mask)], mask)
        assert mask_sha256(mask) != mask_sha256(finer)


def test_template_is_the_one_its_record_describes() -> None:
    path = resources.files('bids_acc') / 'data' / 'templates' / 'fsaverage41k.npz'
    assert hashlib.sha256(path.read_bytes()).hexdigest() == atlas_provenance()['SHA256']


def test_quality_columns_are_described() -> None:
    columns = set(load_table()['anat_qc'].columns)
    assert set(EXPECTED) <= columns
    assert pd.Index(sorted(columns)).is_unique
