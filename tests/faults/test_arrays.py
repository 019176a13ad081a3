"""Many processes into one output, and processes that are ended: real ones, of the command."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from bids_acc.execution.graphs import END_S
from tests.endtoend.test_command import bids_acc
from tests.faults.tally import array_summary, count_array
from tests.interfaces.test_mrs_robustness import Case, measure
from tests.synthetic.bids_folder import write_dataset
from tests.synthetic.surfaces import write_t1w

pytestmark = [pytest.mark.slow, pytest.mark.endtoend]

N_JOBS = int(os.environ.get('BIDS_ACC_JOBS', '12'))
"""Processes at a time, each with a person of its own."""

REPEATS = int(os.environ.get('BIDS_ACC_REPEATS', '1'))


@pytest.fixture(scope='module')
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data set with one spectrum for each process."""
    root = write_dataset(tmp_path_factory.mktemp('array') / 'bids')
    svs, _, metadata = measure(Case(points=1024), tmp_path_factory.mktemp('measured'))
    for i in range(N_JOBS):
        folder = root / f'sub-{i:02d}' / 'mrs'
        folder.mkdir(parents=True)
        shutil.copyfile(svs, folder / f'sub-{i:02d}_svs.nii.gz')
        (folder / f'sub-{i:02d}_svs.json').write_text(json.dumps(metadata))
    people = '\n'.join(f'sub-{i:02d}' for i in range(N_JOBS))
    (root / 'participants.tsv').write_text(f'participant_id\n{people}\n')
    return root


def content(out: Path) -> dict[str, bytes]:
    """Read all results; logs differ from run to run."""
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob('*'))
        if path.is_file() and path.relative_to(out).parts[:2] != ('logs', 'x')
        and (path.relative_to(out).parts[0] != 'logs' or 'records' in path.parts)
    }  # fmt: skip


def start(*arguments: object) -> subprocess.Popen[str]:
    """Start the command."""
    return subprocess.Popen(
        [sys.executable, '-m', 'bids_acc', *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def array(raw: Path, out: Path) -> list[str]:
    """Start one process for each person, all at a time; return what the lost ones said."""
    jobs = [
        start(raw, out, 'participant', '--participant-label', f'{i:02d}', '--nprocs', '1')
        for i in range(N_JOBS)
    ]
    said = [job.communicate()[1] for job in jobs]
    return [text for job, text in zip(jobs, said, strict=True) if job.returncode]


def test_an_array_leaves_the_bytes_of_one_process(raw, tmp_path):
    alone = tmp_path / 'alone'
    done = bids_acc(raw, alone, 'participant', '--nprocs', '1', '-w', tmp_path / 'w')
    assert done.returncode == 0, done.stderr
    expected = content(alone)
    # pages tell call, date and cohort
    results = {name: expected[name] for name in expected if not name.endswith('.html')}
    wrong: list[str] = []
    for repeat in range(REPEATS):
        out = tmp_path / f'array{repeat}'
        lost = array(raw, out)
        found = content(out)
        wrong += lost
        wrong += [f'only one has {name}' for name in sorted({*found} ^ {*expected})]
        differ = [name for name in results if found.get(name) != results[name]]
        wrong += [f'{name} differs' for name in differ]
        wrong += [f'{path.name} was left' for path in out.rglob('*.part')]
        count_array(calls=N_JOBS, lost=len(lost), files=len(results), differ=len(differ))
        print(array_summary(), flush=True)  # with `-s`, one line for each repeat
        shutil.rmtree(out)
    assert not wrong, '\n'.join(wrong)


def test_the_same_command_twice_at_a_time_leaves_the_bytes_of_one(raw, tmp_path):
    out, alone = tmp_path / 'out', tmp_path / 'alone'
    command = ('participant', '--participant-label', '00', '01', '--nprocs', '1')
    jobs = [start(raw, out, *command) for _ in range(2)]
    said = [job.communicate()[1] for job in jobs]
    assert sorted(job.returncode for job in jobs) == [0, 75], '\n'.join(said)
    (refused,) = (text for job, text in zip(jobs, said, strict=True) if job.returncode)
    assert 'another run is at work on it in this output folder' in refused
    again = bids_acc(raw, out, *command)
    assert again.returncode == 0, again.stderr
    assert '2 reused' in again.stderr
    assert bids_acc(raw, alone, *command).returncode == 0
    found, expected = content(out), content(alone)
    assert {name for name in {*found, *expected} if found.get(name) != expected.get(name)} <= {
        'sub-00.html', 'sub-01.html',
    }  # fmt: skip


def test_one_that_is_ended_says_what_was_done_and_goes_on(raw, tmp_path):
    out = tmp_path / 'out'
    arguments = (raw, out, 'participant', '--nprocs', '2', '-w', tmp_path / 'w')
    job = start(*arguments)
    deadline = time.monotonic() + 300
    records = out / 'logs' / 'records'
    while not any(records.glob('*_mrs.json')) and time.monotonic() < deadline:
        time.sleep(0.1)
    begun = time.monotonic()
    job.send_signal(signal.SIGTERM)
    _, said = job.communicate()
    assert time.monotonic() - begun < 60  # seconds, on a machine that does much else
    assert job.returncode == 130
    assert 'Traceback' not in said
    (table,) = out.glob('logs/*/status.tsv')
    became = pd.read_csv(table, sep='\t')
    assert len(became) >= N_JOBS
    assert {'done', 'failed'} <= set(became.loc[became['modality'] == 'mrs', 'status'])
    assert list(out.rglob('*.part')) == []
    again = bids_acc(*arguments)
    assert again.returncode == 0, again.stderr
    alone = tmp_path / 'alone'
    assert bids_acc(raw, alone, 'participant', '-w', tmp_path / 'w2').returncode == 0
    found, expected = content(out), content(alone)
    assert sorted(found) == sorted(expected)
    differ = {name for name in found if found[name] != expected[name]}
    assert {Path(name).suffix for name in differ} <= {'.html'}  # pages tell what was reused


def test_told_to_end_in_the_middle_of_a_registration(tmp_path):
    """ANTs hears no signal; a scheduler gives some seconds before it kills (10 are asked for)."""
    root = write_dataset(tmp_path / 'bids')
    image = root / 'sub-01' / 'anat' / 'sub-01_T1w.nii.gz'
    image.parent.mkdir(parents=True)
    write_t1w(image)
    out = tmp_path / 'out'
    job = start(
        root, out, 'participant', '--nprocs', '1', '--density', '10k', '-w', tmp_path / 'w'
    )
    deadline = time.monotonic() + 300
    while not list((tmp_path / 'w').rglob('fit_wf*/register/_inputs.pklz')):
        assert job.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.2)
    time.sleep(2)
    begun = time.monotonic()
    for _ in range(3):  # as schedulers and people insist
        job.send_signal(signal.SIGTERM)
        time.sleep(0.2)
    _, said = job.communicate()
    assert time.monotonic() - begun < 10 + END_S  # seconds; 1.8 on a machine of load 8 a core
    assert 'Traceback' not in said
    assert job.returncode == 130
    assert 'the same command goes on where it stopped' in said
    (table,) = out.glob('logs/*/status.tsv')
    became = pd.read_csv(table, sep='\t').set_index('modality')
    assert became.loc['anat', 'status'] == 'failed'
    assert became.loc['anat', 'reason_code'] == 'not_run'
