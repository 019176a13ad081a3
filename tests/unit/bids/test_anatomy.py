"""Which T1w image is taken of several, and with which words."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nb
import numpy as np
import pytest

from bids_acc.anat.interfaces import load_t1w
from bids_acc.bids.discovery import discover
from bids_acc.bids.index import ImageIndex
from bids_acc.bids.selection import Selection
from bids_acc.exceptions import ExitCode
from tests.synthetic.bids_folder import write_dataset

ADULT = ((44, 56, 44), (3.0, 3.0, 3.0))


def write(
    root: Path, name: str, shape=ADULT[0], voxel=ADULT[1], meta=None, values=None, codes=(1, 1)
) -> Path:
    """Write a T1w image of noise."""
    path = root / 'sub-01' / 'anat' / f'sub-01_{name}T1w.nii.gz'
    path.parent.mkdir(parents=True, exist_ok=True)
    if values is None:
        values = np.random.default_rng(0).integers(1, 100, shape).astype(np.int16)
    image = nb.Nifti1Image(values, np.diag([*voxel, 1.0]))
    image.set_sform(image.affine, codes[0])
    image.set_qform(image.affine, codes[1])
    image.to_filename(path)
    if meta is not None:
        path.with_name(f'sub-01_{name}T1w.json').write_text(json.dumps(meta))
    return path


def anat_of(root: Path, **selection):
    """Return the plan and the inputs."""
    (session,) = discover(ImageIndex(root), Selection(modalities=('anat',), **selection))
    return session.row('anat'), session.anat


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a data set with a good image, last in the alphabet."""
    root = write_dataset(tmp_path / 'bids')
    write(root, 'rec-zz_')
    return root


COMPLEX = np.random.default_rng(0).normal(size=(44, 56, 44)).astype(np.complex64) * 50j
"""Complex numbers on the grid of a head."""


@pytest.mark.parametrize(
    ('other', 'words'),
    [
        ({'name': 'ce-gadolinium_'}, 'contrast agent (gadolinium)'),
        ({'name': 'acq-a_', 'meta': {'ContrastBolusIngredient': 'GADOLINIUM'}}, 'contrast agent'),
        ({'name': 'part-phase_'}, 'phase image'),
        ({'name': 'part-imag_'}, 'imaginary part image'),
        ({'name': 'acq-a_', 'meta': {'ImageType': ['ORIGINAL', 'PRIMARY', 'P']}}, 'phase image'),
        ({'name': 'acq-hippo_', 'shape': (200, 200, 20), 'voxel': (1, 1, 2)}, 'covers only 40 mm'),
        ({'name': 'acq-a_', 'voxel': (3, 3, 3.4)}, 'voxels of 3.4 mm, not 3'),
        ({'name': 'acq-a_', 'values': np.zeros((44, 56, 44), np.int16)}, 'holds no anatomy'),
        (
            {'name': 'acq-a_', 'values': np.ones((44, 56, 44, 3), np.int16)},
            '3 volumes; a T1w image has',
        ),
        ({'name': 'acq-a_', 'codes': (4, 1)}, 'in the space of a template'),
        ({'name': 'acq-a_space-MNI152NLin6Asym_'}, 'by its name (space-MNI152NLin6Asym)'),
        ({'name': 'desc-brain_'}, 'computed out of another image (desc-brain)'),
        (
            {'name': 'acq-a_', 'meta': {'ImageType': ['DERIVED', 'SECONDARY', 'MPR']}},
            'another image (MPR)',
        ),
        ({'name': 'acq-a_', 'meta': {'SeriesDescription': 't2_tse_tra'}}, '(called t2_tse_tra)'),
        ({'name': 'acq-a_', 'meta': {'ProtocolName': '3D SAG T2 FLAIR'}}, 'no T1-weighted image'),
        ({'name': 'acq-scout_'}, '(called scout)'),
        ({'name': 'acq-a_', 'meta': {'EchoTime': 0.1}}, '(echo time 100 ms)'),
        ({'name': 'acq-a_', 'meta': {'Modality': 'CT'}}, 'Modality is CT'),
        ({'name': 'acq-a_', 'values': COMPLEX}, 'complex numbers'),
        ({'name': 'inv-1_'}, 'one of several images'),
        ({'name': 'acq-INV1_'}, 'one of several images'),
        ({'name': 'acq-mp2rageInv2_'}, 'one of several images'),
        (
            {'name': 'acq-a_', 'meta': {'SeriesDescription': 't1_mp2rage_sag_INV2'}},
            'one of several',
        ),
        ({'name': 'acq-T1map_'}, 'a map of T1 by its name'),
        ({'name': 'acq-a_', 'meta': {'SeriesDescription': 'mp2rage_T1_Images'}}, 'a map of T1'),
        ({'name': 'acq-a_', 'shape': (44, 56, 20), 'voxel': (3, 3, 6)}, '0.3 to 3.5 mm can be'),
        ({'name': 'acq-a_', 'codes': (0, 0)}, 'sform_code and qform_code are 0'),
    ],
)
def test_a_worse_image_is_left_out_and_said(root, other, words):
    worse = write(root, **other)
    row, anat = anat_of(root)
    assert row.status == 'run'
    assert anat.t1w.name == 'sub-01_rec-zz_T1w.nii.gz'
    assert f'{worse.name}: ' in row.reason
    assert words in row.reason


@pytest.mark.parametrize(
    'meta',
    [
        {'SeriesDescription': 'SAG T1 FLAIR', 'Modality': 'MR'},
        {'ProtocolName': 't1_space_dark-fluid', 'EchoTime': 0.015},
        {'ProtocolName': 'study2_directions', 'EchoTime': 2.98},
        {'ImageType': ['DERIVED', 'PRIMARY', 'M', 'DIS3D']},
    ],
)
def test_a_t1w_image_is_not_suspected(tmp_path, meta):
    root = write_dataset(tmp_path / 'bids')
    write(root, '', meta=meta)
    row, _ = anat_of(root)
    assert (row.status, row.reason) == ('run', '')


def test_forms_that_disagree_are_told_in_the_plan(tmp_path):
    root = write_dataset(tmp_path / 'bids')
    path = write(root, '')
    image = nb.load(path)
    moved = image.affine.copy()
    moved[2, 3] += 30
    image.set_qform(moved, 1)
    nb.Nifti1Image(np.asarray(image.dataobj), None, image.header).to_filename(path)
    row, _ = anat_of(root)
    assert row.status == 'run'
    assert 'sform and qform place it up to 30 mm apart; sform is used' in row.reason


@pytest.mark.parametrize('name', ['sub-02_T1w.nii.gz', 'sub-02_ses-1_T1w.nii.gz'])
def test_an_image_of_somebody_else_is_refused(tmp_path, name):
    root = write_dataset(tmp_path / 'bids')
    path = write(root, '')
    path.rename(path.with_name(name))
    row, _ = anat_of(root)
    assert row.status == 'fail'
    assert 'is sub-02 by its name and lies in the folder of sub-01' in row.reason


def test_an_image_of_another_visit_is_refused(tmp_path):
    root = write_dataset(tmp_path / 'bids')
    path = write(root, 'ses-2_')
    (root / 'sub-01' / 'ses-1').mkdir()
    path.parent.rename(root / 'sub-01' / 'ses-1' / 'anat')
    row, _ = anat_of(root)
    assert row.status == 'fail'
    assert 'is ses-2 by its name and lies in the folder of ses-1' in row.reason


def test_hidden_files_of_macos_are_no_images_and_no_sidecars(root):
    anat = root / 'sub-01' / 'anat'
    for name in ('._sub-01_rec-zz_T1w.nii.gz', '._sub-01_rec-zz_T1w.json', '._T1w.json'):
        (anat / name).write_bytes(b'\0\5\x16\7')
        (root / name).write_bytes(b'\0\5\x16\7')
    row, _ = anat_of(root)
    assert (row.status, row.reason) == ('run', '')


@pytest.mark.parametrize(
    ('name', 'said'),
    [
        ('anat/sub-01_T1w.NII.GZ', 'write its ending in small letters, .nii.gz'),
        ('anat/sub-01_T1w.nii.gz.gz', 'after one gunzip'),
        ('anat/sub-01_T1w.mgz', 'by nib-convert'),
        ('anat/sub-01_T1w.dcm', 'by dcm2niix'),
        ('anat/sub-01_T1w.nii.bz2', 'unpack it'),
        ('anat/sub-01_T1w.nii.gz.part', 'copy it again'),
        ('anat/sub-01_T1w.xyz', 'convert it to .nii.gz'),
        ('anat/sub-01_t1w.nii.gz', 'its name has to end in _T1w.nii.gz'),
        ('anat/sub-01_T1w_defaced.nii', 'its name has to end in _T1w.nii'),
        ('anat/sub-01_T1wa.nii.gz', 'its name has to end in _T1w.nii.gz'),
        ('anat/sub-01_mprage.nii.gz', 'its name has to end in _T1w.nii.gz'),
        ('sub-01_T1w.nii.gz', 'move it into the folder anat'),
        ('Anat/sub-01_T1w.nii.gz', 'move it into the folder anat'),
    ],
)
def test_what_was_meant_as_a_t1w_image_is_named(tmp_path, name, said):
    root = write_dataset(tmp_path / 'bids')
    path = root / 'sub-01' / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b'x')
    row, _ = anat_of(root)
    assert row.status == 'skip'
    assert f'sub-01/{name}: ' in row.reason
    assert said in row.reason


def test_a_pair_of_header_and_image_is_named_once(tmp_path):
    root = write_dataset(tmp_path / 'bids')
    anat = root / 'sub-01' / 'anat'
    anat.mkdir(parents=True)
    for ending in ('hdr', 'img', 'json'):
        (anat / f'sub-01_T1w.{ending}').write_bytes(b'{}')
    row, _ = anat_of(root)
    assert row.reason.count('pairs of .hdr and .img') == 1


@pytest.mark.parametrize(
    'name', ['sub-01_T2w.mgz', 'sub-01_T1map.nii.gz', 'sub-01_T1w.json', '._sub-01_T1w.mgz']
)
def test_other_files_are_not_taken_for_a_t1w_image(tmp_path, name):
    root = write_dataset(tmp_path / 'bids')
    anat = root / 'sub-01' / 'anat'
    anat.mkdir(parents=True)
    (anat / name).write_bytes(b'{}')
    row, _ = anat_of(root)
    assert row.reason == 'no file matches sub-01/anat/*_T1w.nii[.gz]'


@pytest.mark.parametrize(
    ('name', 'modality', 'said'),
    [
        ('func/sub-01_task-rest_bold.NII', 'func', 'small letters'),
        ('fMRI/sub-01_task-rest_bold.nii.gz', 'func', 'move it into the folder func'),
        ('dwi/sub-01_dti.nii.gz', 'dwi', 'its name has to end in _dwi.nii.gz'),
        ('dwi/sub-01_dwi_e1.nii.gz', 'dwi', 'its name has to end in _dwi.nii.gz'),
    ],
)
def test_other_modalities_are_named_as_well(tmp_path, name, modality, said):
    root = write_dataset(tmp_path / 'bids')
    write(root, '')
    path = root / 'sub-01' / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b'x')
    (session,) = discover(ImageIndex(root), Selection())
    assert said in session.row(modality).reason


def test_of_many_files_some_are_named(tmp_path):
    root = write_dataset(tmp_path / 'bids')
    anat = root / 'sub-01' / 'anat'
    anat.mkdir(parents=True)
    for k in range(5):
        (anat / f'sub-01_run-{k}_T1w.mgz').write_bytes(b'x')
    row, _ = anat_of(root)
    assert row.reason.count('nib-convert') == 3
    assert row.reason.endswith('; and 2 more')


def test_a_worse_image_is_better_than_none(tmp_path):
    root = write_dataset(tmp_path / 'bids')
    write(root, 'ce-gad_')
    row, anat = anat_of(root)
    assert row.status == 'run'
    assert anat.t1w.name == 'sub-01_ce-gad_T1w.nii.gz'
    assert 'contrast agent (gad)' in row.reason


@pytest.mark.parametrize(
    ('codes', 'said'), [((4, 0), True), ((0, 3), True), ((1, 4), False), ((2, 0), False)]
)
def test_a_head_in_the_space_of_a_template_is_named_as_such(tmp_path, codes, said):
    root = write_dataset(tmp_path / 'bids')
    write(root, '', codes=codes)
    row, _ = anat_of(root)
    assert row.status == 'run'
    assert said == ('in the space of a template by its header' in row.reason)


def test_of_a_complex_image_the_magnitude_is_used_and_said(tmp_path):
    root = write_dataset(tmp_path / 'bids')
    path = write(root, '', values=COMPLEX)
    row, anat = anat_of(root)
    assert (row.status, anat.t1w) == ('run', path)
    assert 'complex numbers, of which the magnitude is used' in row.reason
    np.testing.assert_allclose(load_t1w(path)[0], np.abs(COMPLEX), rtol=1e-6)


@pytest.mark.parametrize('content', [b'', b'no image', b'\x1f\x8b\x08\x00cut'])
def test_the_next_is_tried_when_one_cannot_be_read(root, content):
    broken = write(root, 'acq-a_')
    broken.write_bytes(content)
    row, anat = anat_of(root)
    assert (row.status, row.exit_code) == ('run', ExitCode.OK)
    assert anat.t1w.name == 'sub-01_rec-zz_T1w.nii.gz'
    assert f'not used: {broken.name}' in row.reason
    assert str(broken) not in row.inputs


def test_when_none_can_be_read_each_is_named(tmp_path):
    root = write_dataset(tmp_path / 'bids')
    write(root, 'run-1_').write_bytes(b'')
    write(root, 'run-2_part-phase_')
    row, _ = anat_of(root)
    assert (row.status, row.exit_code) == ('fail', ExitCode.BAD_DATA)
    assert 'run-1_T1w.nii.gz: is empty' in row.reason
    assert 'phase image' in row.reason


def test_intensity_normalisation_is_preferred(tmp_path):
    root = write_dataset(tmp_path / 'bids')
    write(root, 'acq-a_')
    write(root, 'acq-a_rec-norm_')
    row, anat = anat_of(root)
    assert anat.t1w.name == 'sub-01_acq-a_rec-norm_T1w.nii.gz'
    assert 'without intensity normalisation' in row.reason


def test_a_plain_twin_of_a_compressed_image_is_no_second_image(root):
    path = root / 'sub-01' / 'anat' / 'sub-01_rec-zz_T1w.nii'
    nb.load(f'{path}.gz').to_filename(path)
    row, anat = anat_of(root)
    assert anat.t1w.name == 'sub-01_rec-zz_T1w.nii.gz'
    assert '2 T1w images' not in row.reason
    assert 'sub-01_rec-zz_T1w.nii: not used' in row.reason


def test_runs_are_averaged_when_asked(tmp_path):
    root = write_dataset(tmp_path / 'bids')
    for run in (1, 2):
        write(root, f'run-{run}_')
    write(root, 'acq-other_', voxel=(3, 3, 3.4))
    row, anat = anat_of(root, anat_average=True)
    assert len(row.inputs) == 2
    assert [p.name for p in anat.averaged] == ['sub-01_run-2_T1w.nii.gz']
    assert 'run' not in anat.entities
    assert 'are averaged' in row.reason
    row, anat = anat_of(root)
    assert anat.averaged == ()
    assert 'sub-01_run-2_T1w.nii.gz: as good, later in order' in row.reason


def test_uniform_image_alone_is_offered_with_the_way_to_take_it(tmp_path: Path) -> None:
    """MP2RAGE's T1w image has a name of its own; what is told to do works."""
    root = write_dataset(tmp_path / 'bids')
    path = write(root, '')
    path.rename(path.with_name('sub-01_UNIT1.nii.gz'))
    row, _ = anat_of(root)
    assert row.status == 'skip'
    assert 'uniform image of MP2RAGE (sub-01_UNIT1.nii.gz)' in row.reason
    told = row.reason.partition('a file with ')[2]
    row, anat = anat_of(root, filters=json.loads(told))
    assert row.status == 'run'
    assert anat.t1w.name == 'sub-01_UNIT1.nii.gz'
    row, _ = anat_of(root, filters={'t1w': {'acquisition': 'none'}})
    assert 'MP2RAGE' not in row.reason
