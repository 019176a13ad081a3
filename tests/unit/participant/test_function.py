"""Runs of a session as tasks: what is measured together, and what is left out with a reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel as nb
import numpy as np
import pytest

from bids_acc.bids.inputs import BoldRun, FuncInputs, PlanRow
from bids_acc.exceptions import ExitCode, InputDataError, SettingsError
from bids_acc.func.raw import RawRun
from bids_acc.participant.function import judged_row, tasks_of, usable_runs
from bids_acc.settings import FuncSettings
from tests.synthetic.fmriprep import confound_table, write_fmriprep

ROW = PlanRow('sub-01', None, 'func', 'run')


@pytest.fixture
def run(tmp_path) -> RawRun:
    """Return a raw run of 80 volumes."""
    path = tmp_path / 'sub-01_task-rest_run-1_bold.nii.gz'
    nb.Nifti1Image(np.zeros((3, 3, 3, 80), np.int16), np.eye(4)).to_filename(path)
    return RawRun((path,), ({'RepetitionTime': 2.0},), {'task': 'rest', 'run': '1'})


def with_events(run: RawRun, text: str, /, **entities: str) -> RawRun:
    """Give a run a table of events."""
    path = Path(run.image.parent) / f'{"_".join(entities.values())}_events.tsv'
    path.write_text(text)
    return replace(run, events=path, entities=entities)


def test_runs_of_unlike_repetition_times_are_not_joined(run):
    slower = replace(
        run, metadata=({'RepetitionTime': 2.5},), entities={'task': 'rest', 'run': '2'}
    )
    other = replace(slower, entities={'task': 'face'})
    kept, notes = usable_runs(FuncInputs(raw=(run, slower, other)))
    assert kept.raw == (run, other)
    assert len(notes) == 1
    assert "is 2.5 s and that of the task's first run 2 s" in notes[0]


def test_a_task_with_events_is_fitted_and_one_without_is_rest(run):
    events = 'onset\tduration\ttrial_type\n1\tn/a\tB\n30\t2\tA\n'
    face = with_events(run, events, task='face')
    tasks = tasks_of(FuncInputs(raw=(run, face)), FuncSettings())
    assert [len(task.contrasts) for task in tasks] == [0, 2]
    row, kept = judged_row(ROW, FuncInputs(raw=(run, face)), FuncSettings(), has_anat=True)
    assert (row.status, kept.raw) == ('run', (run, face))
    assert row.reason.endswith('rest: at rest; face: A, B')


@pytest.mark.parametrize(
    ('text', 'said'),
    [('onset\tduration\n400\t2\n', 'lie outside the run of 160 s'),
     ('onset,duration\n1,2\n', 'is separated by commas'),
     ('duration\n1\n', 'the column onset is missing')],
)  # fmt: skip
def test_events_that_cannot_be_used_leave_the_other_runs(run, text, said):
    face = with_events(run, text, task='face')
    kept, (note,) = usable_runs(FuncInputs(raw=(run, face)))
    assert kept.raw == (run,)
    assert said in note
    with pytest.raises(InputDataError, match=said):
        usable_runs(FuncInputs(raw=(face,)))


def test_a_run_of_a_task_without_events_is_not_taken_for_rest(run):
    """The task would be measured at rest, without a word, for want of one table."""
    faces = with_events(run, 'onset\tduration\n1\t2\n', task='face', run='1')
    other = replace(run, entities={'task': 'face', 'run': '2'})
    kept, (note,) = usable_runs(FuncInputs(raw=(run, faces, other)))
    assert kept.raw == (run, faces)
    assert 'it has no events, as other runs of its task have; add its events.tsv' in note


def test_a_table_of_events_without_rows_is_none(run):
    """Converters write such a table for every series; of rest, too."""
    head = 'onset\tduration\ttrial_type\tTODO -- fill in rows and add more columns if desired\n'
    empty = with_events(run, head, task='rest')
    kept, (note,) = usable_runs(FuncInputs(raw=(empty,)))
    assert kept.raw == (replace(empty, events=None),)
    assert 'rest_events.tsv has no row: taken as no events' in note
    assert tasks_of(kept, FuncSettings())[0].contrasts == ()


def test_conditions_that_not_all_runs_have(run):
    one = with_events(run, 'onset\tduration\ttrial_type\n1\t2\tA\n9\t2\tB\n', task='f', run='1')
    two = with_events(run, 'onset\tduration\ttrial_type\n1\t2\tA\n9\t2\tC\n', task='f', run='2')
    inputs = FuncInputs(raw=(one, two))
    (task,) = tasks_of(inputs, FuncSettings())
    assert [c['words'] for c in task.contrasts] == ['A', 'B', 'C']
    with pytest.raises(InputDataError, match=r'B-C: no run of task f has events of all'):
        tasks_of(inputs, FuncSettings(contrasts=('B-C',)))


def test_a_contrast_is_for_the_task_that_has_its_conditions(run):
    """It once kept the other tasks of the session from being measured."""
    head = 'onset\tduration\ttrial_type\n'
    faces = with_events(run, f'{head}1\t2\tA\n9\t2\tB\n', task='faces')
    other = with_events(run, f'{head}1\t2\ttwo\n9\t2\tzero\n', task='nback')
    inputs = FuncInputs(raw=(faces, other, run))
    tasks = tasks_of(inputs, FuncSettings(contrasts=('A-B',)))
    found = [[c['words'] for c in task.contrasts] for task in tasks]
    assert found == [['A-B'], ['two', 'zero'], []]
    with pytest.raises(SettingsError, match='A-C: not made of the conditions A, B, two, zero'):
        tasks_of(inputs, FuncSettings(contrasts=('A-B', 'A-C')))
    with pytest.raises(SettingsError, match='A-two: its conditions are of several tasks'):
        tasks_of(inputs, FuncSettings(contrasts=('A-two',)))


def test_a_strategy_that_a_table_does_not_allow_is_refused_in_the_plan(tmp_path, rng):
    table = confound_table(rng, 80).drop(columns='csf')
    image = write_fmriprep(tmp_path, '01', np.ones((4, 4, 4, 80)), np.ones((4, 4, 4)), np.eye(4),
                           table)  # fmt: skip
    path = image.parent / 'sub-01_task-rest_desc-confounds_timeseries.tsv'
    one = BoldRun(
        (image,), {'task': 'rest'}, {'RepetitionTime': 2.0}, 'MNI152NLin2009cAsym', 'fMRIPrep',
        confounds=path, confounds_sidecar=path.with_suffix('.json'),
    )  # fmt: skip
    assert usable_runs(FuncInputs((one,)), 'compcor')[0].runs == (one,)
    with pytest.raises(InputDataError, match=r'simple needs columns that are not there \(csf\)'):
        usable_runs(FuncInputs((one,)), 'simple')


def test_what_is_not_used_of_events_stands_in_the_plan(run):
    face = with_events(run, 'onset\tduration\n1\tn/a\n9\t2\n', task='face')
    row, _ = judged_row(ROW, FuncInputs(raw=(face,)), FuncSettings(), has_anat=True)
    assert '1 of 2 events have no duration: impulses' in row.reason


def test_raw_series_need_the_surfaces_of_the_t1w_image(run):
    row, kept = judged_row(ROW, FuncInputs(raw=(run,)), FuncSettings(), has_anat=False)
    assert (row.status, kept) == ('fail', None)
    assert row.exit_code is not ExitCode.OK
    assert 'correct what keeps its T1w image from being used' in row.reason
