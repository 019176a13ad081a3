"""Round trips of surfaces that other software made."""

from __future__ import annotations

from pathlib import Path

import nibabel as nb
import numpy as np
import pytest

from bids_acc.anat.geometry import vertex_areas
from bids_acc.anat.interfaces import ExternalSurfaces
from bids_acc.anat.morphometry import symmetric_thickness
from bids_acc.anat.sources import on_template, read_civet, read_freesurfer, read_gifti, read_obj
from bids_acc.anat.surfaces_io import read_labels, read_map, write_map, write_surface
from bids_acc.anat.template import TemplateHemisphere, load_template
from bids_acc.bids.surfaces import FREESURFER_FILES, choose_surfaces
from bids_acc.exceptions import InputDataError, MissingInputError

CENTRE = np.array([3.0, -4.0, 5.0])


@pytest.fixture(scope='module')
def mesh() -> TemplateHemisphere:
    return load_template('10k')['L']


@pytest.fixture(scope='module')
def truth(mesh: TemplateHemisphere) -> dict[str, np.ndarray]:
    thickness = symmetric_thickness(mesh.white, mesh.pial, mesh.faces)
    area = vertex_areas(mesh.white, mesh.faces)
    return {'thickness': np.where(mesh.cortex, thickness, 0), 'area': area}


@pytest.fixture(scope='module')
def subject(
    mesh: TemplateHemisphere,
    truth: dict[str, np.ndarray],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A FreeSurfer subject whose native mesh is the template's."""
    folder = tmp_path_factory.mktemp('sub-01')
    (folder / 'surf').mkdir()
    (folder / 'label').mkdir()
    info = {
        'head': np.array([2, 0, 20]), 'valid': '1  # volume info valid', 'filename': 'orig.mgz',
        'volume': [256, 256, 256], 'voxelsize': [1.0, 1, 1], 'xras': [-1.0, 0, 0],
        'yras': [0.0, 0, -1], 'zras': [0.0, 1, 0], 'cras': CENTRE,
    }  # fmt: skip
    for kind, points in (('white', mesh.white), ('pial', mesh.pial)):
        path = folder / 'surf' / f'lh.{kind}'
        nb.freesurfer.write_geometry(path, points - CENTRE, mesh.faces, volume_info=info)
    nb.freesurfer.write_geometry(folder / 'surf' / 'lh.sphere.reg', mesh.sphere, mesh.faces)
    for kind, values in truth.items():
        nb.freesurfer.write_morph_data(folder / 'surf' / f'lh.{kind}', values)
    colours = np.random.default_rng(0).integers(1, 255, (36, 4))
    colours[:, 0] = np.arange(1, 37)
    colours[:, 3] = 0
    names = [mesh.names[code] for code in sorted(mesh.names)][:36]
    nb.freesurfer.write_annot(
        folder / 'label' / 'lh.aparc.annot', mesh.labels, colours[: len(names)], names,
        fill_ctab=True,
    )  # fmt: skip
    return folder


def test_freesurfer_identity_is_exact(
    subject: Path, mesh: TemplateHemisphere, truth: dict[str, np.ndarray]
) -> None:
    native = read_freesurfer(subject, 'L')
    found = on_template(native, mesh)
    assert native.atlas == 'Desikan'
    assert np.array_equal(found.labels, mesh.labels)
    assert found.white == pytest.approx(mesh.white, abs=1e-4)
    assert found.pial == pytest.approx(mesh.pial, abs=1e-4)
    measured = mesh.cortex & (truth['thickness'] > 0)
    expected = np.where(measured, truth['thickness'].astype(np.float32), np.nan)
    assert np.array_equal(found.thickness, expected, equal_nan=True)
    assert np.array_equal(found.area, truth['area'].astype(np.float32))


def test_freesurfer_to_finer_mesh_conserves_area_and_skips_zeros(
    subject: Path, truth: dict[str, np.ndarray]
) -> None:
    fine = load_template('41k')['L']
    found = on_template(read_freesurfer(subject, 'L'), fine)
    assert found.area.sum() == pytest.approx(truth['area'].sum(), rel=1e-3)
    assert np.isnan(found.thickness[~fine.cortex]).all()
    assert np.nanmin(found.thickness) >= truth['thickness'][truth['thickness'] > 0].min() - 1e-6


def test_incomplete_freesurfer_subject_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match=r'lh\.white'):
        read_freesurfer(tmp_path, 'L')


def test_surface_without_place_is_refused(
    subject: Path, mesh: TemplateHemisphere, tmp_path: Path
) -> None:
    (tmp_path / 'surf').mkdir()
    nb.freesurfer.write_geometry(tmp_path / 'surf' / 'lh.white', mesh.white, mesh.faces)
    with pytest.raises(InputDataError, match='c_ras'):
        read_freesurfer(tmp_path, 'L')


def test_map_of_wrong_length_is_refused(subject: Path, tmp_path: Path) -> None:
    broken = tmp_path / 'surf'
    broken.mkdir()
    for path in (subject / 'surf').iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    nb.freesurfer.write_morph_data(broken / 'lh.thickness', np.ones(7))
    with pytest.raises(InputDataError, match='7 values'):
        read_freesurfer(tmp_path, 'L')


def test_gifti_identity(
    tmp_path: Path, mesh: TemplateHemisphere, truth: dict[str, np.ndarray]
) -> None:
    for kind, points in (('white', mesh.white), ('pial', mesh.pial)):
        path = tmp_path / f'sub-01_hemi-L_{kind}.surf.gii'
        write_surface(path, points, mesh.faces, 'L', kind)
    path = tmp_path / 'sub-01_hemi-L_space-fsaverage_desc-reg_sphere.surf.gii'
    write_surface(path, mesh.sphere, mesh.faces, 'L', 'sphere')
    write_map(tmp_path / 'sub-01_hemi-L_thickness.shape.gii', truth['thickness'], 'L', 'thickness')
    found = on_template(read_gifti(tmp_path, 'L'), mesh)
    measured = mesh.cortex & (truth['thickness'] > 0)
    assert found.thickness[measured] == pytest.approx(truth['thickness'][measured], abs=1e-5)
    assert np.isnan(found.thickness[~measured]).all()
    mid = vertex_areas((mesh.white + mesh.pial) / 2, mesh.faces)
    assert found.area.sum() == pytest.approx(mid.sum(), rel=1e-3)


def write_obj(path: Path, points: np.ndarray, faces: np.ndarray) -> None:
    """Write an MNI .obj with one colour."""
    with path.open('w') as stream:
        stream.write(f'P 0.3 0.3 0.4 10 1 {len(points)}\n')
        for block in (points, points / 100):
            stream.writelines(f' {x:.6f} {y:.6f} {z:.6f}\n' for x, y, z in block)
        stream.write(f'\n {len(faces)}\n 0 1 1 1 1\n\n')
        stream.write(' '.join(str(3 * (i + 1)) for i in range(len(faces))) + '\n\n')
        stream.write(' '.join(map(str, faces.ravel())) + '\n')


XFM = (
    'MNI Transform File\n\nTransform_Type = Linear;\nLinear_Transform =\n'
    ' 1.1 0 0 2\n 0 1.1 0 -3\n 0 0 1.1 4;\n'
)


def write_civet(folder: Path, mesh: TemplateHemisphere, hemi: str) -> np.ndarray:
    """Write a CIVET subject whose scanner space is the template's; return its thickness."""
    side = {'L': 'left', 'R': 'right'}[hemi]
    for name in ('surfaces', 'thickness', 'transforms/linear'):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / 'transforms' / 'linear' / 'x_t1_tal.xfm').write_text(XFM)
    shift = np.array([2.0, -3, 4])
    for kind, points in (('white', mesh.white), ('gray', mesh.pial)):
        end = '_calibrated' if kind == 'white' else ''
        path = folder / 'surfaces' / f'x_{kind}_surface_{side}{end}_81920.obj'
        write_obj(path, 1.1 * points + shift, mesh.faces)
    thickness = 2.5 + mesh.white[:, 1] / 100
    path = folder / 'thickness' / f'x_native_rms_tlink_20mm_{side}.txt'
    np.savetxt(path, thickness, fmt='%.5f')
    other = folder / 'thickness' / f'x_native_rms_rsl_tlink_20mm_{side}.txt'
    np.savetxt(other, thickness[::-1], fmt='%.5f')
    return thickness


def test_civet_comes_to_the_template_by_place(tmp_path: Path) -> None:
    mesh = load_template('41k')['R']
    thickness = write_civet(tmp_path, mesh, 'R')
    native = read_civet(tmp_path, 'R')
    assert np.array_equal(native.faces, mesh.faces)
    assert native.white == pytest.approx(mesh.white, abs=1e-5)
    assert native.thickness == pytest.approx(thickness, abs=1e-5)  # and not the resampled map
    found = on_template(native, mesh, (mesh.white, mesh.pial))
    assert found.thickness[mesh.cortex] == pytest.approx(thickness[mesh.cortex], abs=1e-4)
    assert np.isnan(found.thickness[~mesh.cortex]).all()
    assert found.area.sum() == pytest.approx(native.area.sum(), rel=1e-3)
    moved = on_template(native, mesh, (mesh.white + 0.4, mesh.pial + 0.4))
    assert moved.area.sum() == pytest.approx(native.area.sum(), rel=1e-3)
    assert np.nanmin(moved.thickness) >= 1
    with pytest.raises(InputDataError, match='no registration to fsaverage'):
        on_template(native, mesh)


def test_incomplete_civet_subject_names_what_is_missing(tmp_path: Path) -> None:
    mesh = load_template('41k')['L']
    thickness = write_civet(tmp_path, mesh, 'L')
    path = tmp_path / 'thickness' / 'x_native_rms_tlink_20mm_left.txt'
    np.savetxt(path, thickness[:-1], fmt='%.5f')
    with pytest.raises(InputDataError, match='40961 lines'):
        read_civet(tmp_path, 'L')
    path.unlink()
    with pytest.raises(MissingInputError, match='native_rms'):
        read_civet(tmp_path, 'L')
    xfm = tmp_path / 'transforms' / 'linear' / 'x_t1_tal.xfm'
    xfm.write_text('MNI Transform File')
    with pytest.raises(InputDataError, match='Linear_Transform'):
        read_civet(tmp_path, 'L')
    xfm.unlink()
    with pytest.raises(MissingInputError, match='t1_tal'):
        read_civet(tmp_path, 'L')


def test_best_source_is_taken_and_named(tmp_path: Path) -> None:
    civet, freesurfer = tmp_path / 'civet', tmp_path / 'freesurfer'
    for name in ('surfaces', 'thickness'):
        (civet / 'sub-01' / name).mkdir(parents=True)
    (civet / 'sub-01' / 'thickness' / 'a_native_rms_tlink_20mm_left.txt').write_text('1')
    (civet / 'sub-01' / 'run.log').write_text('this is CIVET-2.1.1\n')
    assert choose_surfaces('auto', {}, '01', None).source == 'builtin'
    found = choose_surfaces('auto', {'a': civet}, '01', None)
    assert (found.source, found.software) == ('civet', {'CIVET': '2.1.1'})
    for prefix in ('lh', 'rh'):
        for kind in FREESURFER_FILES:
            path = freesurfer / 'sub-01' / 'surf' / f'{prefix}.{kind}'
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    (freesurfer / 'sub-01' / 'scripts').mkdir()
    stamp = 'freesurfer-linux-ubuntu22_x86_64-7.4.1-20230614-7eb8460'
    (freesurfer / 'sub-01' / 'scripts' / 'build-stamp.txt').write_text(stamp + '\n')
    found = choose_surfaces('auto', {'a': civet, 'b': freesurfer}, '01', None)
    assert (found.source, found.software) == ('freesurfer', {'FreeSurfer': stamp})
    assert choose_surfaces('civet', {'a': civet, 'b': freesurfer}, '01', None).source == 'civet'
    assert choose_surfaces('builtin', {'b': freesurfer}, '01', None).source == 'builtin'
    with pytest.raises(MissingInputError, match='gifti'):
        choose_surfaces('gifti', {'a': civet}, '01', None)


def test_text_that_is_no_obj_is_refused(tmp_path: Path) -> None:
    path = tmp_path / 'a.obj'
    path.write_text('v 1 2 3\n')
    with pytest.raises(InputDataError, match=r'no MNI \.obj'):
        read_obj(path)


def test_civet_through_nipype(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ants = pytest.importorskip('ants')
    monkeypatch.chdir(tmp_path)
    identity = tmp_path / 'identity.mat'
    ants.write_transform(
        ants.create_ants_transform(transform_type='AffineTransform', dimension=3), str(identity)
    )
    thickness = {
        hemi: write_civet(tmp_path / 'civet', mesh, hemi)
        for hemi, mesh in load_template('41k').items()
    }
    result = ExternalSurfaces(
        source='civet', surface_dir=str(tmp_path / 'civet'), points_to_t1w=[str(identity)],
        density='10k',
    ).run().outputs  # fmt: skip
    for index, (hemi, mesh) in enumerate(load_template('10k').items()):
        found = read_map(result.thickness[index])
        expected = thickness[hemi][: len(found)]
        difference = np.abs(found - expected)[mesh.cortex]
        assert np.isnan(found[~mesh.cortex]).all()
        assert np.quantile(difference, 0.95) < 0.03  # a tenth of what 30 mm make
        assert np.array_equal(read_labels(result.parcellation[index])[0], mesh.labels)
