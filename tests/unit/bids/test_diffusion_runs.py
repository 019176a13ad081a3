"""Each diffusion series is judged: what is used, what is left out, and with which words."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nb
import numpy as np
import pytest

from bids_acc.bids.discovery import discover
from bids_acc.bids.index import ImageIndex
from bids_acc.bids.selection import Selection
from bids_acc.exceptions import ExitCode
from tests.synthetic.bids_folder import BVAL, BVEC, write_dataset

META = {'PhaseEncodingDirection': 'j-', 'TotalReadoutTime': 0.05}
AFFINE = np.diag([4.0, 4.0, 4.0, 1.0])


def write(root: Path, name: str, shape=(6, 6, 6, 8), folder='dwi', **changes) -> Path:
    """Write an image of noise with its gradient table and sidecar; None leaves one out."""
    options = {'bval': BVAL, 'bvec': BVEC, 'meta': META, 'dtype': 'float32', 'affine': AFFINE}
    options |= changes
    path = root / 'sub-01' / folder / f'sub-01_{name}.nii.gz'
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(0).uniform(1, 100, shape).astype(options['dtype'])
    nb.Nifti1Image(values, options['affine']).to_filename(path)
    for ending in ('bval', 'bvec'):
        if options[ending] is not None:
            path.with_name(f'sub-01_{name}.{ending}').write_text(options[ending])
    if options['meta'] is not None:
        path.with_name(f'sub-01_{name}.json').write_text(json.dumps(options['meta']))
    return path


NO_TABLE = {'bval': None, 'bvec': None}
ZEROS = '0 ' * 8 + '\n'
PA = {'PhaseEncodingDirection': 'j'}


def dwi_of(root: Path, **selection):
    """Return the plan and the inputs."""
    (session,) = discover(ImageIndex(root), Selection(modalities=('dwi',), **selection))
    return session.row('dwi'), session.dwi


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a data set with a good series."""
    root = write_dataset(tmp_path / 'bids')
    write(root, 'run-1_dwi')
    return root


MOVED = AFFINE + np.array([[0, 0, 0, 3.0]] + [[0] * 4] * 3)


@pytest.mark.parametrize(
    ('other', 'words'),
    [
        ({'name': 'acq-TRACE_dwi', 'shape': (6, 6, 6), 'meta': {}, **NO_TABLE}, 'is missing'),
        ({'name': 'desc-FA_dwi', 'shape': (6, 6, 6), **NO_TABLE}, '.bval is missing'),
        ({'name': 'ADC', 'shape': (6, 6, 6), **NO_TABLE}, 'ADC, no series'),
        ({'name': 'sbref', 'shape': (6, 6, 6), **NO_TABLE}, 'j-, the same as that of the series'),
        ({'name': 'run-2_dwi', 'shape': (6, 6, 5, 8)}, 'another grid (6x6x5 voxels) than'),
        ({'name': 'run-2_dwi', 'affine': MOVED}, 'another grid'),
        ({'name': 'run-2_dwi', 'shape': (6, 6, 6, 7)}, 'has 7 volumes'),
        ({'name': 'run-2_dwi', 'bval': 'not numbers'}, 'does not hold numbers'),
        ({'name': 'run-2_dwi', 'bvec': None}, '.bvec is missing'),
        ({'name': 'part-phase_dwi'}, 'a phase image'),
        ({'name': 'rec-TRACE_dwi', 'shape': (6, 6, 6, 2), 'bval': '0 1000', 'bvec': '0 0\n' * 3},
         'without directions'),
        ({'name': 'part-real_dwi'}, 'a real part image; there is no magnitude'),
        ({'name': 'run-2_dwi', 'meta': {'PhaseEncodingDirection': 'COL'}}, "'COL', which is none"),
        ({'name': 'run-2_dwi', 'meta': {'MultipartID': 'b'}}, 'MultipartID'),
        ({'name': 'rec-norm_run-2_dwi'}, 'another reconstruction (rec-norm) than sub-01_run-1'),
        ({'name': 'desc-denoised_dwi'}, 'computed from a series (desc-)'),
        ({'name': 'acq-adc_dwi', 'shape': (6, 6, 6), 'meta': {'PhaseEncodingDirection': 'j'},
          **NO_TABLE}, '.bval is missing'),
    ],
)  # fmt: skip
def test_one_foreign_file_stops_nothing_and_is_named(root, other, words):
    foreign = write(root, **other)
    row, dwi = dwi_of(root)
    assert (row.status, row.exit_code) == ('run', ExitCode.OK)
    assert [run.image.name for run in dwi.runs] == ['sub-01_run-1_dwi.nii.gz']
    assert dwi.reversed_pe == ()
    (text,) = [text for text in dwi.left_out if text.startswith(f'{foreign.name}: ')]
    assert words in text
    assert text in row.reason


def test_a_map_that_inherits_the_table_of_the_series_is_called_a_map(tmp_path):
    root = write_dataset(tmp_path / 'bids')
    write(root, 'dwi')
    write(root, 'desc-FA_dwi', (6, 6, 6), **NO_TABLE)
    row, dwi = dwi_of(root)
    assert row.status == 'run'
    assert 'sub-01_desc-FA_dwi.nii.gz: a map of the scanner, no series' in dwi.left_out[0]


@pytest.mark.parametrize(('second', 'together'), [(0.0905, 2), (None, 2), ('90', 2), (0.07, 1)])
def test_series_of_another_echo_time_are_not_joined(tmp_path, second, together):
    root = write_dataset(tmp_path / 'bids')
    write(root, 'run-1_dwi', meta={**META, 'EchoTime': 0.09})
    write(root, 'run-2_dwi', meta=META if second is None else {**META, 'EchoTime': second})
    row, dwi = dwi_of(root)
    assert (row.status, len(dwi.runs)) == ('run', together)
    assert ('another echo time (70 ms) than' in row.reason) is (together == 1)


@pytest.mark.parametrize('content', [b'', b'nonsense', b'\x1f\x8b\x08\x00cut'])
def test_an_unreadable_run_is_left_out(root, content):
    broken = write(root, 'run-2_dwi')
    broken.write_bytes(content)
    row, dwi = dwi_of(root)
    assert row.status == 'run'
    assert len(dwi.runs) == 1
    assert broken.name in dwi.left_out[0]
    assert str(broken) not in row.inputs


def test_it_fails_when_nothing_is_left(tmp_path):
    root = write_dataset(tmp_path / 'bids')
    write(root, 'run-1_dwi').write_bytes(b'')
    write(root, 'acq-TRACE_dwi', (6, 6, 6), **NO_TABLE)
    row, dwi = dwi_of(root)
    assert (row.status, dwi) == ('fail', None)
    assert row.exit_code is ExitCode.BAD_DATA
    assert 'run-1_dwi.nii.gz: is empty' in row.reason
    assert 'acq-TRACE_dwi.bval is missing' in row.reason


@pytest.mark.parametrize(
    ('table', 'words'),
    [
        ({'bval': '0 ' * 8, 'bvec': ZEROS * 3}, '8 at b 0'),
        ({'bvec': '0 1 1 1 1 1 1 1\n' + ZEROS * 2}, 'one direction for all of 7'),
        ({'bval': '0 ' + '3000 ' * 7}, 'those up to b 1500 are used'),
        ({'meta': {'PhaseEncodingDirection': 'sideways'}}, "'sideways', which is none"),
        ({'name': 'part-real_dwi'}, 'part-real_dwi.nii.gz is a real part image; there is no'),
    ],
)  # fmt: skip
def test_the_plan_refuses_what_the_run_would(tmp_path, table, words):
    root = write_dataset(tmp_path / 'bids')
    write(root, **{'name': 'dwi', **table})
    row, _ = dwi_of(root)
    assert (row.status, row.exit_code) == ('fail', ExitCode.BAD_DATA)
    assert words in row.reason


@pytest.mark.parametrize(
    ('name', 'shape'), [('dir-PA_dwi', (6, 6, 6)), ('dir-PA_dwi', (6, 6, 5, 3)),
                        ('dir-PA_sbref', (6, 6, 6))],
)  # fmt: skip
@pytest.mark.parametrize('word', ['j', 'PA', 'y'])
def test_a_reversed_image_without_table_corrects_distortion(root, name, shape, word):
    path = write(root, name, shape, meta={**META, 'PhaseEncodingDirection': word}, **NO_TABLE)
    row, dwi = dwi_of(root)
    ((found, metadata),) = dwi.reversed_pe
    assert found == path
    assert metadata['PhaseEncodingDirection'] == 'j'
    assert dwi.has_reversed_pe
    assert f'{path.name}: taken for distortion correction' in row.reason
    assert str(path) in row.inputs
    assert not any(path.name in text for text in dwi.left_out)


def test_a_reversed_run_on_another_grid_corrects_distortion(root):
    meta = {**META, 'PhaseEncodingDirection': 'j'}
    zero = '0 0\n0 0\n0 0\n'
    path = write(root, 'dir-PA_dwi', (6, 6, 5, 2), meta=meta, bval='0 0', bvec=zero)
    _, dwi = dwi_of(root)
    assert [found for found, _ in dwi.reversed_pe] == [path]


def test_parts_of_one_acquisition_are_joined_and_others_are_not(tmp_path):
    root = write_dataset(tmp_path / 'bids')
    for run, part in ((1, 'a'), (2, 'b'), (3, 'b')):
        write(root, f'run-{run}_dwi', meta={**META, 'MultipartID': part})
    _, dwi = dwi_of(root)
    assert [run.image.name[7:12] for run in dwi.runs] == ['run-2', 'run-3']
    assert "MultipartID 'a'" in dwi.left_out[0]


def test_complex_data_give_their_magnitude(tmp_path):
    root = write_dataset(tmp_path / 'bids')
    for part in ('real', 'imag'):
        write(root, f'part-{part}_dwi')
    row, dwi = dwi_of(root)
    (run,) = dwi.runs
    assert run.image.name == 'sub-01_part-real_dwi.nii.gz'
    assert run.imaginary.name == 'sub-01_part-imag_dwi.nii.gz'
    assert 'part' not in dwi.entities
    assert 'magnitude of real part and imaginary part' in row.reason
    assert str(run.imaginary) in row.inputs
    write(root, 'part-mag_dwi')
    _, dwi = dwi_of(root)
    assert [run.image.name for run in dwi.runs] == ['sub-01_part-mag_dwi.nii.gz']
    assert len(dwi.left_out) == 2


def test_complex_numbers_are_said(tmp_path):
    root = write_dataset(tmp_path / 'bids')
    write(root, 'dwi', dtype='complex64')
    row, _ = dwi_of(root)
    assert 'complex numbers, of which the magnitude is used' in row.reason


@pytest.mark.parametrize(
    ('fields', 'series', 'words'),
    [
        ({'PhaseEncodingDirection': 'PA'}, {}, None),
        ({**PA, 'IntendedFor': 'dwi/sub-01_run-1_dwi.nii'}, {}, None),
        ({**PA, 'IntendedFor': ['bids::sub-01/dwi/sub-01_run-01_dwi.nii.gz']}, {}, None),
        ({**PA, 'B0FieldIdentifier': 'p'}, {'B0FieldIdentifier': 'p'}, None),
        ({**PA, 'B0FieldIdentifier': 'p'}, {}, None),
        ({**PA, 'B0FieldIdentifier': 'p'}, {'B0FieldSource': 'q'}, 'is q'),
        ({**PA, 'IntendedFor': 'func/sub-01_bold.nii.gz'}, {}, 'names sub-01_bold.nii.gz'),
        ({'PhaseEncodingDirection': 'COL'}, {}, "'COL', which is none"),
        ({'PhaseEncodingDirection': 'i'}, {}, 'i, not the reverse'),
        ({**PA, 'TotalReadoutTime': 50}, {}, 'not milliseconds'),
        ({}, {}, None),  # dir-PA tells it
        ({'PhaseEncodingAxis': 'i'}, {}, 'no PhaseEncodingDirection, only PhaseEncodingAxis i'),
        ({**PA, 'IntendedFor': 'dwi/'}, {}, None),
        ({**PA, 'IntendedFor': ['bids::sub-01/dwi/*_dwi.nii.gz']}, {}, None),
        ({**PA, 'IntendedFor': 'bids::sub-02/dwi'}, {}, 'names dwi, not'),
        ({**PA, 'IntendedFor': 'func/*_bold.nii.gz'}, {}, 'names *_bold.nii.gz'),
    ],
)  # fmt: skip
def test_every_field_map_is_used_or_named(root, fields, series, words):
    (root / 'sub-01/dwi/sub-01_run-1_dwi.json').write_text(json.dumps({**META, **series}))
    epi = write(root, 'dir-PA_epi', (6, 6, 6, 2), 'fmap', meta=fields, **NO_TABLE)
    row, dwi = dwi_of(root)
    assert dwi.has_reversed_pe == (words is None)
    if words is None:
        assert dwi.left_out == ()
    else:
        assert f'{epi.name}: ' in row.reason
        assert words in row.reason
        assert dwi.no_opposite[0].startswith(epi.name)


def test_a_field_map_of_another_image_is_left_alone(root):
    meta = {'PhaseEncodingDirection': 'j', 'B0FieldIdentifier': 'p'}
    write(root, 'dir-PA_epi', (6, 6, 6), 'fmap', meta=meta, **NO_TABLE)
    write(root, 'task-rest_bold', (6, 6, 6), 'func', meta={'B0FieldSource': ['p']}, **NO_TABLE)
    _, dwi = dwi_of(root)
    assert dwi.reversed_pe == ()
    assert 'B0FieldSource of sub-01_task-rest_bold' in dwi.left_out[0]


def test_damaged_and_other_field_maps_are_named(root):
    write(root, 'dir-PA_epi', (6, 6, 6), 'fmap', **NO_TABLE).write_bytes(b'')
    write(root, 'phasediff', (6, 6, 6), 'fmap', **NO_TABLE)
    row, dwi = dwi_of(root)
    assert row.status == 'run'
    assert 'dir-PA_epi.nii.gz: is empty' in row.reason
    assert 'phasediff.nii.gz: EchoTime1 and EchoTime2 must be there' in row.reason
    assert len(dwi.no_opposite) == 2


def test_a_field_map_of_gradient_echoes_is_taken_where_none_is_reversed(root):
    times = {'EchoTime1': 0.00492, 'EchoTime2': 0.00738}
    path = write(root, 'phasediff', (6, 6, 6), 'fmap', meta=times, **NO_TABLE)
    write(root, 'magnitude1', (6, 6, 6), 'fmap', **NO_TABLE)
    _, dwi = dwi_of(root)
    assert dwi.field_map.images == (path,)
    assert dwi.field_map.spacing_s == pytest.approx(0.00246)
    assert set(dwi.field_map.files) < set(dwi.files)
    write(root, 'dir-PA_epi', (6, 6, 6), 'fmap', meta={'PhaseEncodingDirection': 'j'}, **NO_TABLE)
    _, dwi = dwi_of(root)
    assert dwi.field_map is None
    reason = 'not used, an image of reversed phase encoding is there'
    assert dwi.left_out == (f'sub-01_phasediff.nii.gz: {reason}',)


def test_what_b_values_were_taken_for_is_in_the_plan(tmp_path):
    root = write_dataset(tmp_path / 'bids')
    write(root, 'dwi', bval='65 ' + '995 ' * 7)
    row, dwi = dwi_of(root)
    assert (dwi.runs[0].n_base, dwi.runs[0].n_weighted) == (1, 7)
    assert 'volumes 0 (b 65) have no direction: b = 0' in row.reason


def with_codes(path: Path, sform: int, qform: int, *, mirrored: bool = False) -> None:
    """Write the codes of both affines, and a qform that is the mirror image of the sform."""
    image = nb.load(path)
    image = nb.Nifti1Image(np.asarray(image.dataobj), image.affine)
    image.set_sform(AFFINE, sform)
    image.set_qform(np.diag([-1.0 if mirrored else 1.0, 1, 1, 1]) @ AFFINE, qform)
    image.to_filename(path)


@pytest.mark.parametrize(
    ('codes', 'said'),
    [
        ({'sform': 0, 'qform': 0}, 'does not tell left from right'),
        ({'sform': 1, 'qform': 1, 'mirrored': True}, 'disagree about left and right'),
    ],
)
def test_a_header_that_does_not_tell_left_from_right_is_refused(root, codes, said):
    """Directions are read in the frame of the image: its tracts would lie on the other side."""
    path = root / 'sub-01' / 'dwi' / 'sub-01_run-1_dwi.nii.gz'
    with_codes(path, 1, 1)
    assert dwi_of(root)[0].status == 'run'
    with_codes(path, **codes)
    row, _ = dwi_of(root)
    assert row.status == 'fail'
    assert said in row.reason


def test_a_readout_in_milliseconds_is_refused_with_the_file(root):
    write(root, 'run-1_dwi', meta=META | {'TotalReadoutTime': 50})
    row, _ = dwi_of(root)
    assert (row.status, row.exit_code) == ('fail', ExitCode.BAD_DATA)
    assert 'run-1_dwi.nii.gz: TotalReadoutTime' in row.reason
    assert 'not milliseconds' in row.reason


def test_a_field_map_of_another_part_of_the_body_is_not_taken(root):
    write(root, 'dir-PA_epi', (6, 6, 6), 'fmap', meta=PA, affine=AFFINE + 60 * np.eye(4, k=3),
          **NO_TABLE)  # fmt: skip
    row, dwi = dwi_of(root)
    assert dwi.reversed_pe == ()
    assert 'dir-PA_epi.nii.gz: it shows 0% of the middle of the diffusion series' in row.reason


def test_a_field_map_with_another_field_of_view_is_taken(root):
    write(root, 'dir-PA_epi', (5, 5, 8), 'fmap', meta=PA, **NO_TABLE)
    _, dwi = dwi_of(root)
    assert len(dwi.reversed_pe) == 1


@pytest.mark.parametrize('direction', ['j-', None])
def test_runs_of_opposite_labels_and_one_direction_are_not_averaged(tmp_path, direction):
    """Joined as distorted alike, opposite distortions would be averaged."""
    root = write_dataset(tmp_path / 'bids')
    meta = {'PhaseEncodingDirection': 'j-'} if direction else {'PhaseEncodingDirection': 'j'}
    write(root, 'dir-AP_dwi', meta=meta)
    write(root, 'dir-PA_dwi', meta=meta)
    row, dwi = dwi_of(root)
    assert [run.image.name for run in dwi.runs] == ['sub-01_dir-AP_dwi.nii.gz']
    assert 'dir-PA is the opposite way of sub-01_dir-AP_dwi.nii.gz' in row.reason


def test_labels_tell_the_direction_where_no_sidecar_does(tmp_path):
    root = write_dataset(tmp_path / 'bids')
    write(root, 'dir-AP_dwi', meta=None)
    write(root, 'dir-PA_dwi', meta=None)
    row, dwi = dwi_of(root)
    assert [run.direction for run in dwi.runs] == ['j-', 'j']
    assert 'no PhaseEncodingDirection: j- was taken from dir-AP' in row.reason


def test_a_fieldmap_label_that_contradicts_its_sidecar_is_named(tmp_path):
    root = write_dataset(tmp_path / 'bids')
    write(root, 'dir-AP_dwi')
    write(root, 'dir-PA_epi', (6, 6, 6), 'fmap', **NO_TABLE)
    row, _ = dwi_of(root)
    assert (
        'the same as that of the series, although dir-PA is the opposite of dir-AP' in row.reason
    )


def test_a_readout_time_of_philips_is_estimated_and_said(tmp_path):
    root = write_dataset(tmp_path / 'bids')
    meta = {'PhaseEncodingAxis': 'j', 'EstimatedTotalReadoutTime': 0.05}
    write(root, 'dwi', meta=meta)
    row, _ = dwi_of(root)
    assert 'no PhaseEncodingDirection, only PhaseEncodingAxis j' in row.reason
    assert 'the readout time (0.05 s) is an estimate from EstimatedTotalReadoutTime' in row.reason


@pytest.mark.parametrize(
    ('name', 'table', 'words'),
    [
        ('acq-STE2000_dwi', {}, 'its b-tensors are not linear (ste)'),
        ('desc-spherical_dwi', {}, 'its b-tensors are not linear (spherical)'),
        ('acq-x_dwi', {'bvec': '0 ' + '1 ' * 7 + '\n' + 2 * ZEROS}, 'one direction for all of 7'),
        ('acq-STEAM_dwi', {}, None),
    ],
)  # fmt: skip
def test_spherical_b_tensors_give_no_tensor(root, name, table, words):
    path = write(root, name, **table)
    row, dwi = dwi_of(root)
    assert len(dwi.runs) == (1 if words else 2)
    assert words is None or (path.name in row.reason and words in row.reason)


@pytest.mark.parametrize(('deltas', 'n_runs'), [('1 ' * 8, 2), ('1 ' * 4 + '0 ' * 4, 1)])
def test_a_table_of_b_tensor_shapes_is_heard(root, deltas, n_runs):
    path = write(root, 'acq-STE_dwi')
    path.with_name('sub-01_acq-STE_dwi.bdelta').write_text(deltas)
    row, dwi = dwi_of(root)
    assert len(dwi.runs) == n_runs
    assert ('4 of its 7 weighted volumes' in row.reason) is (n_runs == 1)


def test_field_maps_of_another_session_are_named(tmp_path):
    root = write_dataset(tmp_path / 'bids')
    for session in ('1', '2'):
        path = write(root, f'ses-{session}_dwi', folder=f'ses-{session}/dwi')
    target = path.relative_to(root / 'sub-01').as_posix()
    write(root, 'ses-1_dir-PA_epi', (6, 6, 6), 'ses-1/fmap',
          meta={**PA, 'IntendedFor': [target]}, **NO_TABLE)  # fmt: skip
    one, two = discover(ImageIndex(root), Selection(modalities=('dwi',)))
    assert 'acquired in ses-1, where the field was another one' in two.row('dwi').reason
    assert 'acquired in ses-1' not in one.row('dwi').reason
