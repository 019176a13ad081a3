"""The installed command: plans, refusals, exit codes; nothing is computed here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bids_acc.derivatives.status import StatusRow, verdict
from bids_acc.exceptions import ExitCode
from tests.synthetic.bids_folder import write_dataset, write_dwi, write_svs, write_t1w


def bids_acc(
    *arguments: object, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command as a user would, with some variables besides those of the tests."""
    command = [sys.executable, '-m', 'bids_acc', *map(str, arguments)]
    variables = {**os.environ, **(environment or {})}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=variables)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a data set with one complete and one broken subject."""
    root = write_dataset(tmp_path / 'bids')
    write_t1w(root, '01')
    write_dwi(root, '01')
    write_svs(root, '01')
    write_t1w(root, '02').write_bytes(b'')
    write_svs(root, '02')
    return root


def listing(folder: Path) -> list[str]:
    """List a tree."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob('*'))


def test_dry_run_prints_the_plan_and_writes_nothing(root, tmp_path):
    before = listing(tmp_path)
    done = bids_acc(root, tmp_path / 'out', 'participant', '--dry-run', 'json')
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert listing(tmp_path) == before
    assert [list(row) for row in plan] == [
        ['participant_id', 'session_id', 'modality', 'status', 'reason', 'inputs']
    ] * 6
    status = {(r['participant_id'], r['modality']): r['status'] for r in plan}
    assert status == {
        ('sub-01', 'anat'): 'run', ('sub-01', 'dwi'): 'run', ('sub-01', 'mrs'): 'run',
        ('sub-02', 'anat'): 'fail', ('sub-02', 'dwi'): 'skip', ('sub-02', 'mrs'): 'run',
    }  # fmt: skip


@pytest.mark.skipif(not Path('/dev/full').exists(), reason='needs /dev/full')
def test_a_plan_that_cannot_be_printed_blames_no_folder(root, tmp_path):
    command = [sys.executable, '-m', 'bids_acc', str(root), str(tmp_path / 'out'), 'participant']
    with Path('/dev/full').open('w') as full:
        done = subprocess.run(
            [*command, '--dry-run'], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 73
    assert 'standard output' in done.stderr
    assert not (tmp_path / 'out').exists()


def test_text_plan_names_the_reason(root, tmp_path):
    done = bids_acc(root, tmp_path / 'out', 'participant', '--dry-run')
    assert 'sub-02               anat  fail' in done.stdout
    assert '0 bytes' in done.stdout


@pytest.mark.parametrize(
    ('arguments', 'code', 'sentence'),
    [
        (('{root}', '{out}', 'nonsense'), 64, 'nonsense'),
        (('{root}', '{out}', 'participant', '--nprocs', 'x'), 64, '--nprocs'),
        (('{root}', '{out}', 'participant', '--participant-label', '77'), 18, 'there is: 01, 02'),
        (('{root}', '{out}', 'participant', '--modalities', 'dwi', '--participant-label', '02'),
         18, 'No selected session has anything to process'),
        (('{nowhere}', '{out}', 'participant'), 66, 'no such folder'),
        (('{empty}', '{out}', 'participant'), 16, 'no BIDS dataset'),
        (('{root}', '{root}', 'participant'), 73, 'the dataset itself'),
        (('{root}', '{file}/out', 'participant'), 73, 'cannot be written'),
        (('{root}', '{nowhere}', 'group'), 66, 'participant'),
    ],
)  # fmt: skip
def test_refusals(root, tmp_path, arguments, code, sentence):
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'file').touch()
    names = {n: tmp_path / n for n in ('out', 'nowhere', 'empty', 'file')}
    done = bids_acc(*(str(a).format(root=root, **names) for a in arguments))
    assert done.returncode == code, done.stderr
    assert sentence in done.stderr
    assert 'Traceback' not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, 'one clear sentence'


def test_skipping_validation(tmp_path):
    root = tmp_path / 'bids'
    write_t1w(root, '01')
    assert bids_acc(root, tmp_path / 'out', 'participant', '--dry-run').returncode == 16
    arguments = (root, tmp_path / 'out', 'participant', '--dry-run', '--skip-bids-validation')
    done = bids_acc(*arguments)
    assert done.returncode == 0
    assert '--skip-bids-validation: dataset_description.json was not checked' in done.stderr


def test_labels_from_a_file_with_prefix(root, tmp_path):
    listed = tmp_path / 'labels.txt'
    listed.write_text('sub-01\n')
    done = bids_acc(root, 'out', 'participant', '--dry-run', 'json', '--participant-label', listed)
    assert {row['participant_id'] for row in json.loads(done.stdout)} == {'sub-01'}


def test_the_configuration_of_a_run_repeats_it(tmp_path):
    root = write_dataset(tmp_path / 'bids \U0001f9e0')
    for subject in ('01', '02'):
        write_t1w(root, subject).write_bytes(b'')
    out = tmp_path / 'out'
    done = bids_acc(root, out, 'participant', '--modalities', 'anat', '--participant-label', '02')
    assert done.returncode == 65, done.stderr
    (config,) = out.glob('logs/*/config.toml')
    again = bids_acc('--config-file', config)
    assert again.returncode == 65, again.stderr
    first, second = (p.read_text() for p in sorted(out.glob('logs/*/status.tsv')))
    assert first == second
    assert 'sub-02' in first
    assert 'sub-01' not in first


def test_database_is_made_and_reused(root, tmp_path):
    plain = bids_acc(root, tmp_path / 'out', 'participant', '--dry-run')
    base = (root, tmp_path / 'out', 'participant', '--dry-run', '--bids-database-dir')
    first = bids_acc(*base, tmp_path / 'db')
    assert (tmp_path / 'db' / 'layout_index.sqlite').exists()
    assert first.stdout == plain.stdout
    write_t1w(root, '03')  # the index is believed, as in other BIDS Apps
    assert 'sub-03               anat  skip' in bids_acc(*base, tmp_path / 'db').stdout
    (tmp_path / 'db' / 'layout_index.sqlite').write_bytes(b'no database')
    damaged = bids_acc(*base, tmp_path / 'db')
    assert damaged.returncode == 64
    assert 'holds no PyBIDS index' in damaged.stderr
    assert 'Traceback' not in damaged.stderr


def test_version_and_help():
    assert bids_acc('--version').stdout.startswith('bids_acc ')
    done = bids_acc('--help')
    assert done.returncode == 0
    assert '--participant-label' in done.stdout


def test_no_home_is_needed(root, tmp_path):
    command = [sys.executable, '-m', 'bids_acc', str(root), str(tmp_path / 'o'), 'participant']
    environment = {'PATH': os.environ['PATH'], 'HOME': '/nonexistent'}
    done = subprocess.run(
        [*command, '--dry-run'], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def row(status: str, code: ExitCode) -> StatusRow:
    """Return a status row."""
    return StatusRow('sub-01', None, 'anat', status, reason_text='why', exit_code=code)


@pytest.mark.parametrize(
    ('codes', 'expected'),
    [
        ([], ExitCode.OK),
        ([ExitCode.BAD_DATA], ExitCode.BAD_DATA),
        ([ExitCode.NO_INPUT, ExitCode.BAD_DATA], ExitCode.BAD_DATA),
        ([ExitCode.BAD_DATA, ExitCode.INTERNAL], ExitCode.INTERNAL),
        ([ExitCode.INTERNAL, ExitCode.TRY_AGAIN], ExitCode.TRY_AGAIN),
    ],
)
def test_text_and_code_agree(codes, expected):
    text, code = verdict([row('done', ExitCode.OK), *(row('failed', c) for c in codes)])
    assert code is expected
    assert ('problems' in text) == (code is not ExitCode.OK)
    assert text.count('why') == len(codes)
    if code is not ExitCode.OK:
        assert f'exit code {int(code)}' in text
