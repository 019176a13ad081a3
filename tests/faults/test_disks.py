"""Disks that fill up and memory that ends: one sentence, the right exit code, nothing half."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from tests.interfaces.test_mrs_robustness import Case, measure
from tests.synthetic.bids_folder import write_dataset

pytestmark = [pytest.mark.slow, pytest.mark.endtoend]

DISK_MB = 8


@pytest.fixture(scope='module')
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data set of one spectrum."""
    root = write_dataset(tmp_path_factory.mktemp('disks') / 'bids')
    svs, _, metadata = measure(Case(points=1024), tmp_path_factory.mktemp('measured'))
    folder = root / 'sub-01' / 'mrs'
    folder.mkdir(parents=True)
    shutil.copyfile(svs, folder / 'sub-01_svs.nii.gz')
    (folder / 'sub-01_svs.json').write_text(json.dumps(metadata))
    return root


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Return a small disk of its own."""
    place = tmp_path / 'disk'
    place.mkdir()
    mounted = subprocess.run(
        ['mount', '-t', 'tmpfs', '-o', f'size={DISK_MB}m', 'none', str(place)],
        capture_output=True, check=False,
    ) if shutil.which('mount') else None  # fmt: skip
    if mounted is None or mounted.returncode != 0:
        pytest.skip('a small disk can only be mounted by root')
    try:
        yield place
    finally:
        subprocess.run(['umount', '-l', str(place)], check=True)


def leave(disk: Path, kilobytes: int) -> None:
    """Fill a disk but for some space."""
    (disk / 'of-others').write_bytes(bytes((DISK_MB * 1024 - kilobytes) * 1024))


def start(
    *arguments: object, limit: int | None = None, **more: str
) -> subprocess.CompletedProcess:
    """Run the command, with a limit of its address space in bytes."""

    def limited() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    return subprocess.run(
        [sys.executable, '-m', 'bids_acc', *map(str, arguments)], capture_output=True, text=True,
        check=False, env={**os.environ, **more}, preexec_fn=limited, timeout=600,
    )  # fmt: skip


def last_words(done: subprocess.CompletedProcess[str]) -> str:
    """Return the sentences in which the command says that it could not write."""
    assert 'Traceback' not in done.stderr
    full = ('cannot be written', 'no space is left')  # found before a step, or by one
    return next(line for line in done.stderr.splitlines() if any(word in line for word in full))


@pytest.mark.parametrize('what', ['work', 'TMPDIR'])
def test_a_disk_that_is_full_or_fills_up(what, raw, disk, tmp_path):
    """A TMPDIR that is full from the start gives way to the system's other one."""
    out = tmp_path / 'out'
    more = {'TMPDIR': str(disk)} if what == 'TMPDIR' else {}
    arguments = (raw, out, 'participant', '--nprocs', '1', *([] if more else ['-w', disk / 'w']))
    if what == 'work':
        leave(disk, 0)
        done = start(*arguments, **more)
        assert done.returncode == 73
        assert str(disk) in last_words(done)
    leave(disk, 1100)  # enough to begin, too little to end
    done = start(*arguments, **more)
    assert done.returncode == 73, done.stderr
    assert str(disk) in last_words(done)
    check_it_goes_on(raw, disk, tmp_path, arguments, more)


def test_an_output_that_fills_up_while_it_is_written(raw, disk, tmp_path):
    """By others, in the middle of a run: neither results, log nor status can be written."""
    arguments = (raw, disk / 'out', 'participant', '--nprocs', '1', '-w', tmp_path / 'w')
    job = subprocess.Popen(
        [sys.executable, '-m', 'bids_acc', *map(str, arguments)], stderr=subprocess.PIPE, text=True
    )
    assert job.stderr is not None
    for line in job.stderr:
        if 'mrs: preproc' in line:
            break
    found = os.statvfs(disk)
    (disk / 'of-others').write_bytes(bytes(found.f_bavail * found.f_frsize - 40 * 1024))
    said = job.communicate()[1]
    assert job.returncode == 73, said
    assert 'Traceback' not in said
    assert str(disk) in said.splitlines()[-1]
    check_it_goes_on(raw, disk, tmp_path, arguments, {})


def check_it_goes_on(raw, disk, tmp_path, arguments, more) -> None:
    """With space again the same call ends well, with the bytes of a run that had it all along."""
    assert list(tmp_path.rglob('*.part')) == []
    (disk / 'of-others').unlink()
    done = start(*arguments, **more)
    assert done.returncode == 0, done.stderr
    alone = tmp_path / 'alone'
    assert start(raw, alone, 'participant', '-w', tmp_path / 'w2').returncode == 0
    assert tables(arguments[1]) == tables(alone)


def tables(out: Path) -> dict[str, bytes]:
    """Read the results; pages and logs tell of their run."""
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted((out / 'sub-01').rglob('*')) if path.is_file()
    }  # fmt: skip


def test_too_few_files_may_be_open(raw, tmp_path):
    """Whatever needs one more, the exit code says to try again; with enough, the run goes on."""
    out = tmp_path / 'out'
    command = ['prlimit', '--nofile=24:24', sys.executable, '-m', 'bids_acc', str(raw), str(out),
               'participant', '--nprocs', '2', '-w', str(tmp_path / 'w')]  # fmt: skip
    if shutil.which('prlimit') is None:
        pytest.skip('needs prlimit')
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 75, done.stderr
    assert 'ulimit -n' in done.stderr
    assert 'Traceback' not in done.stderr
    assert list(tmp_path.rglob('*.part')) == []
    assert start(raw, out, 'participant', '-w', tmp_path / 'w').returncode == 0


def test_a_work_folder_that_is_a_file(raw, tmp_path):
    (tmp_path / 'w').touch()
    done = start(raw, tmp_path / 'out', 'participant', '-w', tmp_path / 'w')
    assert done.returncode == 73
    assert str(tmp_path / 'w') in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize('megabytes', [250, 1000, 1030, 1200])
def test_memory_that_ends(megabytes, raw, tmp_path):
    """Wherever it ends, the exit code says to try again; with enough, the run succeeds."""
    out = tmp_path / 'out'
    done = start(raw, out, 'participant', '--nprocs', '1', '-w', tmp_path / 'w',
                 limit=megabytes * 2**20)  # fmt: skip
    # A library may end the process itself where it cannot allocate: nothing is lost then either.
    assert done.returncode in (0, 75) or done.returncode < 0, done.stderr[-2000:]
    if done.returncode > 0:
        assert 'memory' in done.stderr
    assert list(tmp_path.rglob('*.part')) == []
    for table in out.glob('logs/*/status.tsv'):
        assert not pd.read_csv(table, sep='\t').empty
    assert start(raw, out, 'participant', '-w', tmp_path / 'w').returncode == 0
