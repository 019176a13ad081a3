"""What of other tools' diffusion results is taken, and with which words it is refused."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nb
import numpy as np
import pytest

from bids_acc.bids.diffusion import find_noddi, shell_values
from bids_acc.bids.discovery import discover
from bids_acc.bids.fieldmaps import find_reversed
from bids_acc.bids.index import ImageIndex
from bids_acc.bids.inputs import read_gradients
from bids_acc.bids.selection import Selection
from bids_acc.dwi.shells import bvecs_to_scanner
from bids_acc.dwi.volumes import read_table
from tests.synthetic.bids_folder import write_dataset, write_dwi, write_image


def plan_of(root: Path, **selection):
    """Discover one session and return it with its plan for diffusion."""
    session = discover(ImageIndex(root), Selection(modalities=('dwi',), **selection))[0]
    return session, session.row('dwi')


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a data set with one raw series."""
    folder = write_dataset(tmp_path / 'bids')
    write_dwi(folder, '01', 'a')
    return folder


@pytest.fixture
def qsiprep(tmp_path: Path) -> Path:
    """Return a derivative as QSIPrep writes it."""
    folder = write_dataset(
        tmp_path / 'qsiprep', GeneratedBy=[{'Name': 'QSIPrep', 'Version': '1.0.1'}]
    )
    for space in ('MNI152NLin2009cAsym', 'ACPC'):
        write_dwi(folder, '01', 'a', space=space, desc='preproc')
        write_image(
            folder / f'sub-01/ses-a/dwi/sub-01_ses-a_space-{space}_desc-brain_mask.nii.gz',
            (6, 6, 6),
        )
    return folder


def write_noddi(folder: Path, names: dict[str, str]) -> None:
    """Write three maps under the given names."""
    for name in names.values():
        write_image(folder / name, (6, 6, 6), 'float32')


def test_a_preprocessed_series_is_taken_instead_of_the_raw_one(root, qsiprep):
    session, row = plan_of(root, derivatives={'q': qsiprep})
    assert row.status == 'run'
    assert 'taken as preprocessed by QSIPrep 1.0.1' in row.reason
    run = session.dwi.runs[0]
    assert run.image.name == 'sub-01_ses-a_space-ACPC_desc-preproc_dwi.nii.gz'
    assert session.dwi.mask.name == 'sub-01_ses-a_space-ACPC_desc-brain_mask.nii.gz'
    assert session.dwi.source == 'QSIPrep 1.0.1'
    assert {p.name for p in session.dwi.files} >= {run.bval.name, run.bvec.name}
    assert session.dwi.entities == {'subject': '01', 'session': 'a'}


def test_raw_wins_when_asked_for(root, qsiprep):
    session, _ = plan_of(root, derivatives={'q': qsiprep}, dwi_source='raw')
    assert session.dwi.source == ''
    assert session.dwi.runs[0].image.is_relative_to(root)


def test_a_preprocessed_series_without_gradients_is_refused(root, qsiprep):
    for table in qsiprep.rglob('*ACPC*.bvec'):
        table.unlink()
    _, row = plan_of(root, derivatives={'q': qsiprep})
    assert row.status == 'fail'
    assert 'needs its rotated gradient table' in row.reason


def test_demanding_a_derivative_that_is_not_there_fails(root):
    _, row = plan_of(root, dwi_source='derivative')
    assert row.status == 'fail'
    assert 'no desc-preproc_dwi of sub-01' in row.reason


def test_own_results_are_not_taken_for_a_derivative(root, qsiprep):
    write_dataset(qsiprep, GeneratedBy=[{'Name': 'bids_acc', 'Version': '0.1'}])
    session, _ = plan_of(root, derivatives={'q': qsiprep})
    assert session.dwi.source == ''


@pytest.mark.parametrize(
    ('place', 'names'),
    [
        ('derivatives/qsirecon-NODDI/sub-01/ses-a/dwi', {
            p: f'sub-01_ses-a_space-ACPC_model-noddi_param-{p}_dwimap.nii.gz'
            for p in ('icvf', 'isovf', 'od')}),
        ('sub-01/ses-a/dwi', {
            p: f'sub-01_ses-a_space-T1w_desc-preproc_space-T1w_desc-{p.upper()}_NODDI.nii.gz'
            for p in ('icvf', 'isovf', 'od')}),
        ('sub-01/ses-a/dwi/AMICO/NODDI', {
            'icvf': 'fit_NDI.nii.gz', 'isovf': 'fit_FWF.nii.gz', 'od': 'fit_ODI.nii.gz'}),
        ('sub-01/ses-a/dwi', {'icvf': 'FIT_ICVF.nii', 'isovf': 'FIT_ISOVF.nii',
                              'od': 'FIT_OD.nii'}),
        ('sub-01/ses-a/dwi', {
            'icvf': 'sub-01_NDI.nii', 'isovf': 'sub-01_FWF.nii', 'od': 'sub-01_ODI.nii'}),
    ],
    ids=['QSIRecon', 'old QSIPrep', 'AMICO 2', 'AMICO 1', 'by hand'],
)  # fmt: skip
def test_noddi_maps_are_found_under_the_names_of_tools(tmp_path, place, names):
    root = tmp_path / 'derivative'
    write_noddi(root / place, names)
    found = find_noddi({'n': root}, '01', 'a')
    assert {p: path.name for p, path in found.files.items()} == names


def test_two_of_three_noddi_maps_are_none(tmp_path):
    folder = tmp_path / 'sub-01/dwi'
    write_noddi(folder, {p: f'sub-01_model-noddi_param-{p}_dwimap.nii.gz' for p in ('icvf', 'od')})
    assert find_noddi({'n': tmp_path}, '01', None).files == {}


def test_noddi_on_single_shell_data_is_refused_with_the_reason(root):
    _, row = plan_of(root, dwi_noddi='require')
    assert row.status == 'fail'
    assert 'single-shell data (b 1000)' in row.reason
    assert 'cannot be told apart' in row.reason


def test_noddi_on_two_shells_without_maps_names_the_remedy(root):
    next(root.rglob('*.bval')).write_text('0 1000 1000 1000 2000 2005 2000 2000\n')
    _, row = plan_of(root, dwi_noddi='require', dwi_b_max=2500.0)
    assert row.status == 'fail'
    assert '2 shells' in row.reason
    assert '--derivatives' in row.reason


def test_shells_are_counted_despite_jitter():
    assert shell_values([0, 5, 995, 1005, 1990, 3000]) == [1000.0, 1990.0, 3000.0]


@pytest.mark.parametrize(
    ('fields', 'expected'),
    [
        ({'PhaseEncodingDirection': 'j'}, 1),
        ({'PhaseEncodingDirection': 'j-'}, 0),
        ({'PhaseEncodingDirection': 'j', 'IntendedFor': 'ses-a/func/sub-01_bold.nii.gz'}, 0),
        ({'PhaseEncodingDirection': 'j',
          'IntendedFor': ['bids::sub-01/ses-a/dwi/sub-01_ses-a_dwi.nii.gz']}, 1),
        ({'PhaseEncodingDirection': 'j', 'B0FieldIdentifier': 'pepolar'}, 1),
        ({'PhaseEncodingDirection': 'j', 'B0FieldIdentifier': 'another'}, 0),
    ],
)  # fmt: skip
def test_field_maps_of_reversed_phase_encoding_are_found(root, fields, expected):
    sidecar = next(root.rglob('*_dwi.nii.gz')).with_name('sub-01_ses-a_dwi.json')
    sidecar.write_text(json.dumps({'PhaseEncodingDirection': 'j-', 'B0FieldSource': 'pepolar'}))
    epi = root / 'sub-01/ses-a/fmap/sub-01_ses-a_dir-PA_epi.nii.gz'
    write_image(epi, (6, 6, 6))
    (root / 'dir-PA_epi.json').write_text(json.dumps({'TotalReadoutTime': 0.04}))
    epi.with_name('sub-01_ses-a_dir-PA_epi.json').write_text(json.dumps(fields))
    session, _ = plan_of(root)
    assert len(session.dwi.reversed_pe) == expected
    assert session.dwi.has_reversed_pe == bool(expected)
    if expected:
        path, metadata = find_reversed(root, session.dwi.runs)[0][0]
        assert (path, metadata['TotalReadoutTime']) == (epi, 0.04)


def test_directions_of_mrtrix_beside_a_preprocessed_series_are_taken(root, qsiprep):
    """QSIPrep's .bvec lack FSL's flip on its LPS+ images (qsiprep issue 530)."""
    run = plan_of(root, derivatives={'q': qsiprep})[0].dwi.runs[0]
    image = nb.load(run.image)
    bvals, _ = read_gradients(run.bval, run.bvec)
    scanner = np.array([[0.6, 0.8, 0.0]] * len(bvals)) * (bvals > 0)[:, None]
    table = run.image.with_name(run.image.name.replace('.nii.gz', '.b'))
    np.savetxt(table, np.column_stack([scanner, bvals]), header='command_history: mrconvert')
    session, row = plan_of(root, derivatives={'q': qsiprep})
    assert (row.status, session.dwi.runs[0].bvec) == ('run', table)
    assert f'directions of {table.name}' in row.reason
    read = read_table(run.bval, table, image.affine)
    assert np.allclose(bvecs_to_scanner(read[1], image.affine), scanner)
    table.write_text('0 0 1 1000\n')
    _, row = plan_of(root, derivatives={'q': qsiprep})
    assert row.status == 'fail'
    assert table.name in row.reason


def test_a_raw_series_with_a_table_of_mrtrix_alone_is_told_what_to_do(root):
    bval = next(root.glob('sub-01/ses-a/dwi/*.bval'))
    bval.rename(bval.with_suffix('.b'))
    _, row = plan_of(root)
    assert 'is a table of MRtrix3: export it by mrconvert -export_grad_fsl' in row.reason
