"""Each raw BOLD image is judged: what is used, what is left out, and with which words."""

from __future__ import annotations

import json
import shutil
import zlib
from pathlib import Path

import nibabel as nb
import numpy as np
import pytest

from bids_acc.bids.bold_runs import find_raw_runs
from bids_acc.bids.index import ImageIndex
from bids_acc.bids.selection import Selection
from bids_acc.exceptions import BidsAccError
from tests.synthetic.bids_folder import write_dataset

META = {'RepetitionTime': 3.0, 'EchoTime': 0.03, 'PhaseEncodingDirection': 'j-',
        'TotalReadoutTime': 0.03, 'SliceTiming': [0.0, 0.5, 1.0, 1.5]}  # fmt: skip


def write(root: Path, name: str, shape=(4, 4, 4, 42), folder='func', value=None, **changes):
    """Write a small image with its sidecar; a field that is None is left out."""
    path = root / 'sub-01' / folder / f'sub-01_{name}.nii.gz'
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    values = rng.uniform(1, 100, shape).astype('f4')
    if value is not None:
        values[...] = value
    nb.Nifti1Image(values, np.diag([4.0, 4, 4, 1])).to_filename(path)
    meta = {k: v for k, v in {**META, **changes}.items() if v is not None}
    path.with_name(f'sub-01_{name}.json').write_text(json.dumps(meta))
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a data set with one good run."""
    root = write_dataset(tmp_path / 'bids')
    write(root, 'task-rest_run-1_bold')
    return root


def found(root, **selection):
    """Return runs, what is left out, and notes."""
    return find_raw_runs(ImageIndex(root), '01', None, Selection(**selection))


def test_a_good_run_is_taken_and_nothing_said(root):
    (run,), left_out, notes = found(root)
    assert run.name == 'task-rest_run-1'
    assert (run.task, run.repetition_time, run.direction) == ('rest', 3.0, 'j-')
    assert left_out == []
    assert notes == []


@pytest.mark.parametrize(
    ('changes', 'said'),
    [
        ({'value': 0}, 'all values are zero'),
        ({'shape': (4, 4, 4)}, 'is one volume'),
        ({'shape': (4, 4, 4, 1)}, 'is one volume'),
        ({'shape': (4, 4, 4, 30)}, '30 volumes'),
        ({'RepetitionTime': 0}, 'RepetitionTime is 0'),
        ({'RepetitionTime': 2000}, 'in ms'),
        ({'RepetitionTime': '3'}, "RepetitionTime is '3', text"),
        ({'RepetitionTime': None}, 'no RepetitionTime'),
        ({'RepetitionTime': 1.0}, '42 s'),
    ],
)  # fmt: skip
def test_a_bad_run_is_left_out_and_the_other_taken(root, changes, said):
    write(root, 'task-rest_run-2_bold', **changes)
    (run,), left_out, notes = found(root)
    assert run.name == 'task-rest_run-1'
    (reason,) = left_out
    assert reason.startswith('sub-01_task-rest_run-2_bold.nii.gz: ')
    assert said in reason
    assert reason in notes[-1]


def test_where_no_run_is_good_the_error_says_why(tmp_path):
    root = write_dataset(tmp_path / 'bids')
    write(root, 'task-rest_bold', RepetitionTime=None)
    with pytest.raises(BidsAccError, match='no RepetitionTime'):
        found(root)


def test_echoes_are_one_run_in_the_order_of_their_times(root):
    for echo, time in ((1, 0.045), (2, 0.013), (3, 0.029)):
        write(root, f'task-rest_run-2_echo-{echo}_bold', EchoTime=time)
    runs, left_out, notes = found(root)
    echoes = next(run for run in runs if run.name == 'task-rest_run-2')
    assert [m['EchoTime'] for m in echoes.metadata] == [0.013, 0.029, 0.045]
    assert not left_out
    assert any('3 echoes' in note for note in notes)


@pytest.mark.parametrize(
    ('changes', 'said'),
    [({'shape': (4, 4, 4, 41)}, 'different shapes'), ({'EchoTime': None}, 'EchoTime'),
     ({'EchoTime': 0.013}, 'EchoTime'), ({'EchoTime': 30}, 'seems to be in ms')],
)  # fmt: skip
def test_echoes_that_do_not_fit_are_refused(root, changes, said):
    write(root, 'task-rest_run-2_echo-1_bold', EchoTime=0.013)
    write(root, 'task-rest_run-2_echo-2_bold', **{'EchoTime': 0.03, **changes})
    (_,), (reason,), _ = found(root)
    assert said in reason


def test_a_run_that_is_there_twice_counts_once(root):
    first = root / 'sub-01' / 'func' / 'sub-01_task-rest_run-1_bold.nii.gz'
    for name in ('task-rest_run-2', 'task-shapes'):
        other = first.with_name(f'sub-01_{name}_bold.nii.gz')
        for ending in ('.nii.gz', '.json'):
            shutil.copy(str(first).replace('.nii.gz', ending),
                        str(other).replace('.nii.gz', ending))  # fmt: skip
    runs, left_out, notes = found(root)
    # of another task, either name may be the wrong one
    assert {run.name: len(run.notes) for run in runs} == {'task-rest_run-1': 0, 'task-shapes': 1}
    assert 'run-2_bold.nii.gz holds the same values as sub-01_task-rest_run-1' in left_out[0]
    assert any('task-shapes_bold.nii.gz holds the same values' in note for note in notes)


def test_what_header_and_values_tell(root):
    path = write(root, 'task-odd_bold', shape=(4, 4, 4, 60))
    image = nb.load(path)
    wrapped = (np.asarray(image.dataobj) * 340).astype('u2').view('i2')  # up to 34,000
    image.header.set_zooms((4.0, 4.0, 4.0, 0.8))
    image.header.set_data_dtype('i2')
    nb.Nifti1Image(wrapped, image.affine, image.header).to_filename(path)
    odd = next(run for run in found(root)[0] if run.task == 'odd')
    assert '0.8 s in the header' in odd.notes[0]
    assert 'int16 for uint16' in odd.notes[1]


def test_one_echo_of_several_is_named(root):
    write(root, 'task-rest_run-2_echo-2_bold', EchoTime=0.03)
    assert any('one echo without echo 1, which is not there' in note for note in found(root)[2])


@pytest.mark.parametrize(
    ('fields', 'words'),
    [({'RepetitionTime': 1.5}, 'RepetitionTime is 1.5'), ({'shift': 30.0}, 'lies elsewhere')],
)
def test_echoes_that_are_not_of_one_run(root, fields, words):
    write(root, 'task-me_echo-1_bold', EchoTime=0.012)
    path = write(root, 'task-me_echo-2_bold', EchoTime=0.03,
                 **{k: v for k, v in fields.items() if k != 'shift'})  # fmt: skip
    if 'shift' in fields:
        image = nb.load(path)
        affine = image.affine + np.pad([[fields['shift']]], ((0, 3), (3, 0)))
        nb.Nifti1Image(np.asarray(image.dataobj), affine).to_filename(path)
    runs, left_out, _ = found(root)
    assert [run.task for run in runs] == ['rest']
    assert words in left_out[0]


def test_an_echo_that_is_not_there_is_named(root):
    for echo, time in ((1, 0.013), (3, 0.045)):
        write(root, f'task-rest_run-2_echo-{echo}_bold', EchoTime=time)
    notes = found(root)[2]
    assert any('2 echoes, combined without echo 2, which is not there' in note for note in notes)


def test_parts_and_references_are_named(root):
    write(root, 'task-rest_run-2_part-mag_bold')
    write(root, 'task-rest_run-2_part-phase_bold')
    write(root, 'task-rest_run-2_sbref', shape=(4, 4, 4))
    runs, left_out, _ = found(root)
    assert [run.name for run in runs] == ['task-rest_run-1', 'task-rest_run-2']
    assert runs[1].image.name == 'sub-01_task-rest_run-2_part-mag_bold.nii.gz'
    assert any('phase image' in text for text in left_out)
    assert any('single-band reference' in text for text in left_out)


@pytest.mark.parametrize(
    ('times', 'said', 'in_ms'),
    [([0, 500, 1000, 1500], 'runs to 1500 beyond', True),
     ([0, 1, 2, 3.2], 'runs to 3.2 beyond the repetition time of 3 s', False),
     ([-1, 0, 1, 2], 'holds -1, a time before the volume begins', False)],
)  # fmt: skip
def test_slice_times_that_cannot_be_used_are_noted(root, times, said, in_ms):
    write(root, 'task-rest_run-1_bold', SliceTiming=times)
    (note,) = found(root)[2]
    assert said in note
    assert ('in ms' in note) == in_ms


def test_events_are_found_beside_and_above(root):
    write(root, 'task-faces_echo-1_bold', EchoTime=0.01)
    write(root, 'task-faces_echo-2_bold', EchoTime=0.03)
    (root / 'task-faces_events.tsv').write_text('onset\tduration\n1\t2\n')
    runs, _, _ = found(root)
    assert runs[0].task == 'faces'
    assert runs[0].events.name == 'task-faces_events.tsv'
    assert runs[1].events is None


def test_field_map_of_both_directions(root):
    write(root, 'dir-AP_epi', (4, 4, 4, 3), 'fmap')
    write(root, 'dir-PA_epi', (4, 4, 4, 3), 'fmap', PhaseEncodingDirection='j')
    (run,), left_out, _ = found(root)
    assert [path.name for path, _ in run.reversed_pe] == ['sub-01_dir-PA_epi.nii.gz']
    assert run.alike.name == 'sub-01_dir-AP_epi.nii.gz'
    assert not left_out
    assert len(run.files) == 3


def test_an_incomplete_field_map_does_not_stop(root):
    """fmriprep#2970: without its direction, for another series, without its reverse."""
    write(root, 'dir-AP_epi', (4, 4, 4, 3), 'fmap')
    write(root, 'acq-y_epi', (4, 4, 4, 3), 'fmap', PhaseEncodingDirection=None)
    write(root, 'acq-x_epi', (4, 4, 4), 'fmap', PhaseEncodingDirection='j',
          IntendedFor='dwi/sub-01_dwi.nii.gz')  # fmt: skip
    write(root, 'phasediff', (4, 4, 4), 'fmap')
    (run,), left_out, notes = found(root)
    assert run.reversed_pe == ()
    assert run.alike is None
    text = ' '.join(left_out)
    for said in ('no PhaseEncodingDirection', 'not the BOLD series', 'EchoTime1 and EchoTime2',
                 'none of reversed phase encoding to it'):  # fmt: skip
        assert said in text
    assert 'not used' in notes[-1]


def measured(root, kind='phasediff', magnitude='magnitude1', **changes):
    """Write a measured field map with its magnitude."""
    times = {'EchoTime1': 0.00492, 'EchoTime2': 0.00738, 'Units': 'Hz'}
    write(root, kind, (4, 4, 4), 'fmap', **{**times, **changes})
    if magnitude:
        write(root, magnitude, (4, 4, 4), 'fmap')


def test_measured_field_maps_of_each_kind(root):
    measured(root)
    (run,), left_out, _ = found(root)
    assert [p.name for p in run.field_map.files] == [
        'sub-01_phasediff.nii.gz', 'sub-01_magnitude1.nii.gz'
    ]  # fmt: skip
    assert run.field_map.spacing_s == pytest.approx(0.00246)
    assert not left_out
    assert len(run.files) == 3
    measured(root, 'fieldmap', 'magnitude', Units='rad/s')
    (run,), left_out, _ = found(root)
    assert run.field_map.factor == pytest.approx(1 / (2 * np.pi))
    assert run.field_map.spacing_s == 0
    assert left_out == ['sub-01_phasediff.nii.gz: not used, another one is there']


def test_a_magnitude_of_another_name_and_times_of_magnitudes_are_taken(root):
    measured(root, magnitude='magnitude2', EchoTime1='0.00492', EchoTime2='0.00738')
    (run,), left_out, notes = found(root)
    assert run.field_map.magnitude.name == 'sub-01_magnitude2.nii.gz'
    assert run.field_map.spacing_s == pytest.approx(0.00246)
    assert not left_out
    assert any('magnitude2.nii.gz is its magnitude' in note for note in notes)
    measured(root, EchoTime1=None, EchoTime2=None)
    for number, time in ((1, 0.004), (2, 0.0065)):
        write(root, f'magnitude{number}', (4, 4, 4), 'fmap', EchoTime=time)
    (run,), _, notes = found(root)
    assert run.field_map.spacing_s == pytest.approx(0.0025)
    assert any('echo times are those of magnitude1 and magnitude2' in note for note in notes)


def test_two_phases_are_one_field_map(root):
    measured(root, 'phase1', EchoTime=0.004)
    write(root, 'phase2', (4, 4, 4), 'fmap', EchoTime=0.0065)
    (run,), _, _ = found(root)
    assert [p.name for p in run.field_map.images] == [
        'sub-01_phase1.nii.gz', 'sub-01_phase2.nii.gz'
    ]  # fmt: skip
    assert run.field_map.spacing_s == pytest.approx(0.0025)


@pytest.mark.parametrize(
    ('kind', 'changes', 'said'),
    [
        ('phasediff', {'EchoTime2': None}, 'EchoTime1 and EchoTime2 must be there'),
        ('phasediff', {'EchoTime2': 0.004}, 'the second one later'),
        ('phasediff', {'EchoTime1': 4.92, 'EchoTime2': 7.38}, 'write them in s'),
        ('phasediff', {'magnitude': ''}, 'its magnitude sub-01_magnitude1.nii.gz is not there'),
        ('phase1', {}, 'sub-01_phase2.nii.gz is not there'),
        ('fieldmap', {'magnitude': 'magnitude', 'Units': 'ppm'}, "Units is 'ppm'"),
        (
            'fieldmap',
            {'magnitude': 'magnitude', 'Units': None},
            'has no Units; write Hz, rad/s or T',
        ),
        ('phase2', {}, 'sub-01_phase1.nii.gz is not there'),
        ('phasediff', {'IntendedFor': 'dwi/sub-01_dwi.nii.gz'}, 'not the BOLD series'),
    ],
)
def test_measured_field_maps_that_cannot_be_used_are_named(root, kind, changes, said):
    measured(root, kind, **changes)
    (run,), left_out, _ = found(root)
    assert run.field_map is None
    assert said in ' '.join(left_out)


def test_a_measured_field_map_needs_the_readout_of_the_series(tmp_path):
    root = write_dataset(tmp_path / 'bids')
    write(root, 'task-rest_bold', TotalReadoutTime=None)
    measured(root)
    (run,), (reason,), _ = found(root)
    assert run.field_map is None
    assert 'TotalReadoutTime' in reason


def test_images_of_reversed_phase_encoding_come_before_measured_maps(root):
    write(root, 'dir-PA_epi', (4, 4, 4, 3), 'fmap', PhaseEncodingDirection='j')
    measured(root)
    (run,), left_out, _ = found(root)
    assert run.reversed_pe
    assert run.field_map is None
    assert 'an image of reversed phase encoding is there' in left_out[0]


def test_what_another_run_uses_is_not_said_to_be_unused(root):
    write(root, 'task-rest_run-2_bold')
    for run in (1, 2):
        write(root, f'dir-PA_run-{run}_epi', (4, 4, 4, 3), 'fmap', PhaseEncodingDirection='j',
              IntendedFor=f'func/sub-01_task-rest_run-{run}_bold.nii.gz')  # fmt: skip
    write(root, 'dir-PA_run-3_epi', (4, 4, 4, 3), 'fmap', PhaseEncodingDirection='j',
          IntendedFor='dwi/sub-01_dwi.nii.gz')  # fmt: skip
    runs, left_out, _ = found(root)
    used = [path.name for run in runs for path, _ in run.reversed_pe]
    assert used == ['sub-01_dir-PA_run-1_epi.nii.gz', 'sub-01_dir-PA_run-2_epi.nii.gz']
    assert [text.partition(':')[0] for text in left_out] == ['sub-01_dir-PA_run-3_epi.nii.gz']


def test_a_filter_chooses_runs(root):
    write(root, 'task-rest_run-2_bold')
    (run,), _, _ = found(root, filters={'bold': {'run': '2'}})
    assert run.name == 'task-rest_run-2'


def test_labels_that_bids_cuts_off_do_not_join_tasks(root):
    """PyBIDS reads task-n of both, which made two echoes of them."""
    for name in ('task-n-back_bold', 'task-n-stop_bold'):
        write(root, name)
    runs, left_out, notes = found(root)
    assert sorted(run.task for run in runs) == ['n', 'rest']
    assert [len(run.images) for run in runs] == [1, 1]
    assert 'the same is read' in left_out[0]
    assert 'task-n-stop' in left_out[0]
    assert any('holds task-n-back' in note and 'read as n' in note for note in notes)
