"""Surfaces that other software made: round trips, real resampling, broken subjects."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nb
import numpy as np
import pytest

from bids_acc.anat.civet import read_civet, read_obj
from bids_acc.anat.freesurfer import read_freesurfer
from bids_acc.anat.native import NativeHemisphere, on_template
from bids_acc.anat.sources import inspect_surfaces, read_gifti
from bids_acc.anat.surface_interfaces import ExternalSurfaces, RegionOfInterest
from bids_acc.bids.surfaces import SurfaceChoice, choose_surfaces, software_versions
from bids_acc.exceptions import InputDataError, MissingInputError
from bids_acc.surfaces.geometry import vertex_areas
from bids_acc.surfaces.gifti import read_labels, read_map
from bids_acc.surfaces.regions import region_mask
from bids_acc.surfaces.template import HEMISPHERES, load_template, mask_sha256
from tests.synthetic.surfaces import (
    Native,
    native_hemisphere,
    write_annotation,
    write_civet,
    write_freesurfer,
    write_gifti_subject,
    write_obj,
)

ROI = ('caudalanteriorcingulate', 'rostralanteriorcingulate')
Subjects = dict[str, Native]
STAMP = 'freesurfer-linux-centos6_x86_64-6.0.0-2beb96c'


@pytest.fixture(scope='module')
def same() -> Subjects:
    """Both hemispheres on the template's own 10k mesh."""
    return {hemi: native_hemisphere(mesh) for hemi, mesh in load_template('10k').items()}


@pytest.fixture(scope='module')
def other() -> Subjects:
    """Both hemispheres on a spiral mesh of 31,007 vertices."""
    return {hemi: native_hemisphere(mesh, 31007) for hemi, mesh in load_template('41k').items()}


@pytest.fixture(scope='module')
def subject(same: Subjects, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole FreeSurfer subject whose native mesh is the template's."""
    folder = tmp_path_factory.mktemp('freesurfer') / 'sub-01'
    for hemi in HEMISPHERES:
        write_freesurfer(folder, same[hemi], hemi)
    return folder


@pytest.fixture(scope='module')
def foreign(other: Subjects, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole FreeSurfer subject on a mesh of its own."""
    folder = tmp_path_factory.mktemp('freesurfer') / 'sub-01'
    for hemi in HEMISPHERES:
        write_freesurfer(folder, other[hemi], hemi)
    return folder


# --- FreeSurfer ------------------------------------------------------------------------------


def test_freesurfer_identity_is_exact(subject: Path, same: Subjects) -> None:
    mesh, truth = load_template('10k')['L'], same['L']
    native = read_freesurfer(subject, 'L')
    found = on_template(native, mesh)
    assert native.atlas == 'DKT'
    names = [found.names[code] for code in found.labels]
    assert names == [mesh.names[code] for code in mesh.labels]
    assert found.white == pytest.approx(mesh.white, abs=1e-4)
    assert found.pial == pytest.approx(mesh.pial, abs=1e-4)
    measured = mesh.cortex & (truth.thickness > 0)
    expected = np.where(measured, truth.thickness.astype(np.float32), np.nan)
    assert np.array_equal(found.thickness, expected, equal_nan=True)
    assert np.array_equal(found.area, truth.area.astype(np.float32))


@pytest.mark.parametrize('density', ['10k', '41k'])
@pytest.mark.parametrize('hemi', HEMISPHERES)
def test_freesurfer_on_its_own_mesh(
    foreign: Path, other: Subjects, density: str, hemi: str
) -> None:
    mesh, truth = load_template(density)[hemi], other[hemi]
    found = on_template(read_freesurfer(foreign, hemi), mesh)
    assert found.area.sum() == pytest.approx(truth.area.sum(), rel=1e-3)
    assert np.linalg.norm(found.white - mesh.white, axis=1).mean() < 0.3  # mm; edges of 1.9
    wall = np.array([found.names[code] == 'unknown' for code in found.labels])
    assert np.isnan(found.thickness[~mesh.cortex | wall]).all()
    inside = mesh.cortex & ~wall & np.isfinite(found.thickness)
    assert inside.sum() > 0.98 * mesh.cortex.sum()
    lowest = truth.thickness[truth.thickness > 0].min()
    assert found.thickness[inside].min() >= lowest - 1e-5  # no zero was averaged in
    own = [found.names[code] for code in found.labels]
    assert np.mean([a == mesh.names[b] for a, b in zip(own, mesh.labels, strict=True)]) > 0.98


def test_area_follows_its_place(foreign: Path, other: Subjects) -> None:
    """Not only the sum over the brain: that of each large label too."""
    mesh, truth = load_template('10k')['L'], other['L']
    found = on_template(read_freesurfer(foreign, 'L'), mesh)
    for code, name in mesh.names.items():
        before = truth.area[truth.labels == code].sum()
        labels = np.array([found.names[c] == name for c in found.labels])
        if before > 2000:
            assert found.area[labels].sum() == pytest.approx(before, rel=0.03), name


def test_sphere_with_holes_is_refused(same: Subjects) -> None:
    truth = same['L']
    torn = Native(**{**vars(truth), 'faces': truth.faces[:15000]})
    native = NativeHemisphere(
        torn.white, torn.pial, torn.faces, torn.thickness, torn.area, torn.sphere
    )
    with pytest.raises(InputDataError, match='registered sphere cannot be used'):
        on_template(native, load_template('10k')['L'])


def test_zero_thickness_within_the_region_is_never_averaged_in(
    other: Subjects, tmp_path: Path
) -> None:
    mesh, truth = load_template('10k')['L'], other['L']
    codes = [code for code, name in truth.names.items() if name in ROI]
    inside = np.isin(truth.labels, codes)
    zeroed = inside & (truth.white[:, 2] < np.quantile(truth.white[inside, 2], 0.25))
    thickness = np.where(zeroed, 0, np.where(truth.thickness > 0, 3.0, 0))
    native = Native(**{**vars(truth), 'thickness': thickness})
    for hemi in HEMISPHERES:
        write_freesurfer(tmp_path, native, hemi)
    found = on_template(read_freesurfer(tmp_path, 'L'), mesh)
    region = region_mask(found.labels, found.names, ROI) & mesh.cortex
    values = found.thickness[region]
    assert 0.1 < np.isnan(values).mean() < 0.4
    assert values[np.isfinite(values)] == pytest.approx(3.0)


def test_orientation_of_the_volume_is_heeded(
    subject: Path, same: Subjects, tmp_path: Path
) -> None:
    """A volume that was not made coronal places its surfaces by its direction cosines."""
    shutil.copytree(subject, tmp_path / 'sub')
    info = {
        'head': np.array([2, 0, 20]), 'valid': '1  # volume info valid', 'filename': 'a.mgz',
        'volume': [256, 256, 256], 'voxelsize': [1.0, 1, 1], 'xras': [-1.0, 0, 0],
        'yras': [0.0, 1, 0], 'zras': [0.0, 0, 1], 'cras': np.array([1.0, 2, 3]),
    }  # fmt: skip
    points = same['L'].white
    for kind in ('white', 'pial'):
        path = tmp_path / 'sub' / 'surf' / f'lh.{kind}'
        nb.freesurfer.write_geometry(path, points, same['L'].faces, volume_info=info)
    found = read_freesurfer(tmp_path / 'sub', 'L').white
    # tkRAS of voxel (i, j, k) is (-i, k, -j); the scanner's is (-i, j, k)
    expected = np.stack([points[:, 0], -points[:, 2], points[:, 1]], axis=1)
    expected += np.array([1.0, 2, 3])
    assert found == pytest.approx(expected, abs=1e-4)


def test_fastsurfer_names_are_found(subject: Path, same: Subjects, tmp_path: Path) -> None:
    folder = tmp_path / 'sub-01'
    shutil.copytree(subject, folder)
    for path in (folder / 'label').iterdir():
        path.unlink()
    for hemi, prefix in zip(HEMISPHERES, ('lh', 'rh'), strict=True):
        write_annotation(folder / 'label' / f'{prefix}.aparc.DKTatlas.mapped.annot', same[hemi])
        pial = folder / 'surf' / f'{prefix}.pial'
        pial.rename(pial.with_name(f'{prefix}.pial.T1'))  # what a link pointed to
    (folder / 'scripts' / 'recon-surf.log').write_text('Log file for recon-surf.sh\n')
    (folder / 'scripts' / 'BUILD.log').write_text('2.4.2+f5dbd5e (main)\n')
    choice = choose_surfaces('auto', {'fast': tmp_path}, '01', None, inspect_surfaces)
    assert choice.own_labels == 'DKT'
    assert choice.software['FastSurfer'] == '2.4.2+f5dbd5e'
    assert choice.software['FreeSurfer'].startswith('freesurfer-linux')
    assert 'pial.T1' in ' '.join(map(str, choice.files))


@pytest.mark.parametrize(
    ('version', 'expected'),
    [(STAMP, STAMP), ('dev-20240101-abc', 'dev-20240101-abc'), ('', 'n/a')],
)
def test_freesurfer_version(tmp_path: Path, version: str, expected: str) -> None:
    (tmp_path / 'scripts').mkdir()
    (tmp_path / 'scripts' / 'build-stamp.txt').write_text(f'build-stamp.txt: {version}\n')
    assert software_versions('freesurfer', tmp_path) == {'FreeSurfer': expected}


# --- broken subjects -------------------------------------------------------------------------


def without(name: str) -> Callable[[Path], None]:
    """Remove a file."""
    return lambda folder: (folder / name).unlink()


def short_thickness(folder: Path) -> None:
    """Leave a map of another mesh."""
    nb.freesurfer.write_morph_data(folder / 'surf' / 'rh.thickness', np.ones(7))


def short_annotation(folder: Path) -> None:
    """Leave labels of another mesh."""
    nb.freesurfer.write_annot(
        folder / 'label' / 'lh.aparc.DKTatlas.annot', np.zeros(9, dtype=int),
        np.array([[1, 1, 1, 0]]), ['unknown'], fill_ctab=True,
    )  # fmt: skip


def other_sphere(folder: Path) -> None:
    """Leave a sphere of another mesh."""
    mesh = load_template('41k')['L']
    nb.freesurfer.write_geometry(folder / 'surf' / 'lh.sphere.reg', mesh.sphere, mesh.faces)


def no_hemisphere(folder: Path) -> None:
    """Leave no right hemisphere."""
    for path in folder.rglob('rh.*'):
        path.unlink()


def cut_off(folder: Path) -> None:
    """Leave half of a surface."""
    path = folder / 'surf' / 'lh.pial'
    path.write_bytes(path.read_bytes()[:5000])


def no_place(folder: Path) -> None:
    """Leave a surface without volume geometry."""
    mesh = load_template('10k')['L']
    nb.freesurfer.write_geometry(folder / 'surf' / 'lh.white', mesh.white, mesh.faces)


def all_zero(folder: Path) -> None:
    """Leave a thickness that was never measured."""
    nb.freesurfer.write_morph_data(folder / 'surf' / 'lh.thickness', np.zeros(10242))


BROKEN: dict[str, tuple[Callable[[Path], None], str]] = {
    'no sphere': (without('surf/lh.sphere.reg'), r'lh\.sphere\.reg is missing'),
    'no thickness': (without('surf/rh.thickness'), r'rh\.thickness is missing'),
    'no hemisphere': (no_hemisphere, r'rh\.white is missing'),
    'wrong count': (short_thickness, r'rh\.thickness has 7 values for 10242 vertices'),
    'wrong sphere': (other_sphere, r'sphere\.reg has 40962 values for 10242 vertices'),
    'wrong labels': (short_annotation, r'annot has 9 values for 10242 vertices'),
    'cut off': (cut_off, r'lh\.pial is no readable FreeSurfer file'),
    'no place': (no_place, r'lh\.white holds no volume geometry'),
    'all zero': (all_zero, 'zero at every vertex of hemisphere L'),
}


@pytest.mark.parametrize('kind', BROKEN)
def test_a_broken_subject_is_named_and_auto_goes_on(
    subject: Path, same: Subjects, tmp_path: Path, kind: str
) -> None:
    damage, message = BROKEN[kind]
    folder = tmp_path / 'freesurfer' / 'sub-01'
    shutil.copytree(subject, folder)
    damage(folder)
    derivatives = {'freesurfer': tmp_path / 'freesurfer'}
    with pytest.raises((InputDataError, MissingInputError), match=message) as error:
        choose_surfaces('freesurfer', derivatives, '01', None, inspect_surfaces)
    assert str(error.value).count('\n') == 0
    choice = choose_surfaces('auto', derivatives, '01', None, inspect_surfaces)
    assert choice.source == 'builtin'
    assert 'freesurfer passed over: ' in choice.note
    sound = {**derivatives, 'again': subject.parent}
    choice = choose_surfaces('freesurfer', sound, '01', None, inspect_surfaces)
    assert choice.folder == subject
    assert 'freesurfer passed over: ' in choice.note
    for hemi in HEMISPHERES:
        write_gifti_subject(tmp_path / 'smriprep', '01', same[hemi], hemi)
    derivatives['smriprep'] = tmp_path / 'smriprep'
    choice = choose_surfaces('auto', derivatives, '01', None, inspect_surfaces)
    assert choice.source == 'gifti'
    assert 'freesurfer passed over: ' in choice.note
    assert choice.software == {'sMRIPrep': '0.19.2'}


def test_without_annotation_the_templates_labels_are_used_and_said(
    subject: Path, tmp_path: Path
) -> None:
    folder = tmp_path / 'sub-01'
    shutil.copytree(subject, folder)
    (folder / 'label' / 'rh.aparc.DKTatlas.annot').unlink()
    choice = choose_surfaces('auto', {'a': tmp_path}, '01', None, inspect_surfaces)
    assert (choice.source, choice.own_labels) == ('freesurfer', '')
    assert "the template's labels are used" in choice.describe()
    for prefix in ('lh', 'rh'):
        source = subject / 'label' / f'{prefix}.aparc.DKTatlas.annot'
        shutil.copy(source, folder / 'label' / f'{prefix}.aparc.annot')
    choice = choose_surfaces('auto', {'a': tmp_path}, '01', None, inspect_surfaces)
    assert (choice.own_labels, choice.note) == ('Desikan', '')


# --- where they lie --------------------------------------------------------------------------


@pytest.mark.parametrize(
    'place',
    ['sub-01_ses-a', 'sub-01/ses-a', 'sourcedata/freesurfer/sub-01_ses-a',
     'sub-01', 'sourcedata/freesurfer/sub-01'],
)  # fmt: skip
def test_freesurfer_is_found_under_its_usual_names(
    subject: Path, tmp_path: Path, place: str
) -> None:
    shutil.copytree(subject, tmp_path / place)
    choice = choose_surfaces('auto', {'a': tmp_path}, '01', 'a', inspect_surfaces)
    assert (choice.source, choice.folder) == ('freesurfer', tmp_path / place)
    assert len(choice.files) == 12
    assert ('the same for every session' in choice.note) == ('ses-a' not in place)
    with pytest.raises(MissingInputError, match='no such surfaces of sub-02'):
        choose_surfaces('freesurfer', {'a': tmp_path}, '02', 'a', inspect_surfaces)


def test_longitudinal_folders(subject: Path, tmp_path: Path) -> None:
    """The cross-sectional time point is taken, never its twin in the template's space."""
    for name in ('sub-01', 'sub-01_ses-a', 'sub-01_ses-a.long.sub-01'):
        shutil.copytree(subject, tmp_path / name)
    (tmp_path / 'sub-01' / 'base-tps').write_text('sub-01_ses-a\n')
    choice = choose_surfaces('auto', {'a': tmp_path}, '01', 'a', inspect_surfaces)
    assert choice.folder == tmp_path / 'sub-01_ses-a'
    assert choice.note == ''
    choice = choose_surfaces('auto', {'a': tmp_path}, '01', 'b', inspect_surfaces)
    assert 'a longitudinal template of sub-01' in choice.note


def test_best_source_is_taken_and_named(subject: Path, same: Subjects, tmp_path: Path) -> None:
    assert choose_surfaces('auto', {}, '01', None) == SurfaceChoice()
    folders = {name: tmp_path / name for name in ('civet', 'smriprep', 'freesurfer')}
    for hemi, mesh in load_template('41k').items():
        native = native_hemisphere(mesh)
        write_civet(folders['civet'] / 'sub-01', native, hemi, native.thickness + 1)
        write_gifti_subject(folders['smriprep'], '01', same[hemi], hemi)
    shutil.copytree(subject, folders['freesurfer'] / 'sub-01')
    found = []
    for name in folders:
        there = {n: folders[n] for n in list(folders)[: list(folders).index(name) + 1]}
        choice = choose_surfaces('auto', there, '01', None, inspect_surfaces)
        assert choice.note == ''
        assert f'surfaces: {choice.source} (' in choice.describe()
        found.append((choice.source, dict(choice.software)))
    stamp = 'freesurfer-linux-ubuntu22_x86_64-7.4.1-20230614-7eb8460'
    assert found == [
        ('civet', {'CIVET': '2.1.1'}), ('gifti', {'sMRIPrep': '0.19.2'}),
        ('freesurfer', {'FreeSurfer': stamp}),
    ]  # fmt: skip
    assert choose_surfaces('civet', folders, '01', None).source == 'civet'
    assert choose_surfaces('builtin', folders, '01', None).source == 'builtin'


# --- GIFTI -----------------------------------------------------------------------------------


def test_gifti_identity(tmp_path: Path, same: Subjects) -> None:
    mesh, truth = load_template('10k')['L'], same['L']
    anat = write_gifti_subject(tmp_path, '01', truth, 'L')
    found = on_template(read_gifti(anat, 'L'), mesh)
    measured = mesh.cortex & (truth.thickness > 0)
    assert found.thickness[measured] == pytest.approx(truth.thickness[measured], abs=1e-5)
    assert np.isnan(found.thickness[~measured]).all()
    mid = vertex_areas((mesh.white + mesh.pial) / 2, mesh.faces)
    assert found.area.sum() == pytest.approx(mid.sum(), rel=1e-3)
    sphere = anat / 'sub-01_hemi-L_space-fsaverage_desc-reg_sphere.surf.gii'
    sphere.rename(anat / 'sub-01_hemi-L_desc-reg_sphere.surf.gii')  # as older versions name it
    again = on_template(read_gifti(anat, 'L'), mesh)
    assert np.array_equal(again.thickness, found.thickness, equal_nan=True)


def test_gifti_that_does_not_fit_names_its_file(tmp_path: Path, same: Subjects) -> None:
    for hemi in HEMISPHERES:
        anat = write_gifti_subject(tmp_path, '01', same[hemi], hemi)
    path = anat / 'sub-01_hemi-R_space-fsaverage_desc-reg_sphere.surf.gii'
    finer = native_hemisphere(load_template('41k')['R'])
    wrong = write_gifti_subject(tmp_path / 'other', '01', finer, 'R') / path.name
    shutil.copy(wrong, path)
    with pytest.raises(InputDataError, match=r'reg_sphere\.surf\.gii has 40962 values for 10242'):
        choose_surfaces('gifti', {'a': tmp_path}, '01', None, inspect_surfaces)
    shutil.copy(path, path.with_name(f'sub-01_run-1_hemi-R_{path.name.split("hemi-R_")[1]}'))
    with pytest.raises(InputDataError, match='more than one file fits'):
        read_gifti(anat, 'R')


# --- CIVET -----------------------------------------------------------------------------------


@pytest.fixture(scope='module')
def civet(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, np.ndarray]]:
    """A CIVET subject whose scanner space is the template's, and its thickness."""
    folder = tmp_path_factory.mktemp('civet') / 'sub-01'
    thickness = {}
    for hemi, mesh in load_template('41k').items():
        thickness[hemi] = 2.5 + mesh.white[:, 1] / 100
        write_civet(folder, native_hemisphere(mesh), hemi, thickness[hemi])
    return folder, thickness


@pytest.mark.parametrize('hemi', HEMISPHERES)
def test_civet_comes_to_the_template_by_place(
    civet: tuple[Path, dict[str, np.ndarray]], hemi: str
) -> None:
    folder, truth = civet
    mesh, thickness = load_template('41k')[hemi], truth[hemi]
    native = read_civet(folder, hemi)
    assert np.array_equal(np.sort(native.faces), np.sort(mesh.faces))
    assert native.white == pytest.approx(mesh.white, abs=1e-5)  # the calibrated one
    assert native.thickness == pytest.approx(thickness, abs=1e-5)  # neither resampled nor 30 mm
    assert native.smoothing_mm == 0
    found = on_template(native, mesh, (mesh.white, mesh.pial))
    assert found.thickness[mesh.cortex] == pytest.approx(thickness[mesh.cortex], abs=1e-4)
    assert np.isnan(found.thickness[~mesh.cortex]).all()
    assert found.area.sum() == pytest.approx(native.area.sum(), rel=1e-3)
    moved = on_template(native, mesh, (mesh.white + 0.4, mesh.pial + 0.4))
    assert moved.area.sum() == pytest.approx(native.area.sum(), rel=1e-3)
    assert np.nanmin(moved.thickness) >= 1
    with pytest.raises(InputDataError, match='no registration to fsaverage'):
        on_template(native, mesh)


def test_smoothing_of_civet_is_told(
    civet: tuple[Path, dict[str, np.ndarray]], tmp_path: Path
) -> None:
    shutil.copytree(civet[0], tmp_path / 'sub-01')
    for path in (tmp_path / 'sub-01' / 'thickness').glob('*_0mm_*'):
        path.unlink()
    choice = choose_surfaces('civet', {'a': tmp_path}, '01', None, inspect_surfaces)
    assert choice.smoothing_mm == 30


def test_incomplete_civet_subject_names_what_is_missing(
    civet: tuple[Path, dict[str, np.ndarray]], tmp_path: Path
) -> None:
    folder = tmp_path / 'sub-01'
    shutil.copytree(civet[0], folder)
    path = folder / 'thickness' / 'x_native_rms_tlink_0mm_left.txt'
    np.savetxt(path, civet[1]['L'][:-1], fmt='%.5f')
    with pytest.raises(InputDataError, match='40961 values for 40962'):
        read_civet(folder, 'L')
    path.write_text('no number\n')
    with pytest.raises(InputDataError, match='one number a line'):
        read_civet(folder, 'L')
    for path in (folder / 'thickness').glob('*_left.txt'):
        path.unlink()
    with pytest.raises(MissingInputError, match='native_rms'):
        read_civet(folder, 'L')
    surface = folder / 'surfaces' / 'x_gray_surface_left_81920.obj'
    write_obj(surface, *(lambda m: (m.white, m.faces))(load_template('10k')['L']))
    with pytest.raises(InputDataError, match='10242 vertices, not 40962'):
        read_civet(folder, 'L')
    xfm = folder / 'transforms' / 'linear' / 'x_t1_tal.xfm'
    xfm.write_text('MNI Transform File')
    with pytest.raises(InputDataError, match='Linear_Transform'):
        read_civet(folder, 'L')
    xfm.unlink()
    with pytest.raises(MissingInputError, match='t1_tal'):
        read_civet(folder, 'L')


def test_text_that_is_no_obj_is_refused(tmp_path: Path) -> None:
    path = tmp_path / 'a.obj'
    path.write_text('v 1 2 3\n')
    with pytest.raises(InputDataError, match=r'no MNI \.obj'):
        read_obj(path)


# --- through Nipype --------------------------------------------------------------------------


def test_civet_through_nipype(
    civet: tuple[Path, dict[str, np.ndarray]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ants = pytest.importorskip('ants')
    monkeypatch.chdir(tmp_path)
    identity = tmp_path / 'identity.mat'
    ants.write_transform(
        ants.create_ants_transform(transform_type='AffineTransform', dimension=3), str(identity)
    )
    folder, thickness = civet
    result = ExternalSurfaces(
        source='civet', surface_dir=str(folder), points_to_t1w=[str(identity)], density='10k'
    ).run().outputs  # fmt: skip
    for index, (hemi, mesh) in enumerate(load_template('10k').items()):
        found = read_map(result.thickness[index])
        expected = thickness[hemi][: len(found)]
        difference = np.abs(found - expected)[mesh.cortex]
        assert np.isnan(found[~mesh.cortex]).all()
        assert np.quantile(difference, 0.95) < 0.03  # a tenth of what 30 mm make
        assert np.array_equal(read_labels(result.parcellation[index])[0], mesh.labels)


def test_region_of_own_labels_is_recorded(
    foreign: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Count and checksum are those of the subject's own labels, not the template's."""
    monkeypatch.chdir(tmp_path)
    surfaces = ExternalSurfaces(
        source='freesurfer', surface_dir=str(foreign), density='10k'
    ).run().outputs  # fmt: skip
    affine = np.diag([4.0, 4, 4, 1])
    affine[:3, 3] = (-90, -126, -72)
    grid = tmp_path / 'grid.nii.gz'
    nb.Nifti1Image(np.zeros((46, 55, 46), np.float32), affine).to_filename(grid)
    result = RegionOfInterest(
        white=surfaces.white, pial=surfaces.pial, grid_file=str(grid), density='10k', roi=ROI,
        labels=surfaces.parcellation, metadata={'Atlas': 'own'},
    ).run().outputs  # fmt: skip
    for index, (hemi, mesh) in enumerate(load_template('10k').items()):
        codes, names = read_labels(result.roi_labels[index])
        assert set(names.values()) == {'unknown', *ROI}
        facts = result.metadata[index]
        assert facts['VertexCount'] == (codes > 0).sum()
        assert facts['VertexMaskSHA256'] == mask_sha256(codes > 0)
        assert (facts['Labels'], facts['Atlas']) == (list(ROI), 'own')
        assert not (codes > 0)[~mesh.cortex].any()
        undefined = read_map(surfaces.undefined[index])
        thickness = read_map(surfaces.thickness[index])
        assert np.array_equal(undefined == 4, mesh.cortex & np.isnan(thickness)), hemi
        area = read_map(surfaces.area[index])
        assert np.array_equal(np.isnan(area), np.isnan(thickness))
