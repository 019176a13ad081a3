"""Programs of others that fail in every way they know."""

from __future__ import annotations

import os
import stat
import sys
import time
from pathlib import Path

import nibabel as nb
import numpy as np
import psutil
import pytest

from bids_acc.dwi.interfaces.cleaning import Denoise, Unring
from bids_acc.exceptions import BidsAccError, ProgramError, ResourceError
from bids_acc.programs import read_result, run_program

AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])


def program(folder: Path, body: str, name: str = 'tool', interpreter: str = '/bin/sh') -> Path:
    """Write an executable."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f'#!{interpreter}\n{body}\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


ENDS = {
    'code': ('echo disk quota exceeded >&2; exit 1', ProgramError,
             r'tool ended with exit code 1 \(disk quota exceeded\)\.'),
    'stdout': ('echo on stdout; exit 3', ProgramError, r'exit code 3 \(on stdout\)'),
    'crash': ('kill -SEGV $$', ProgramError, 'tool crashed with SIGSEGV'),
    'killed': ('kill -9 $$', ResourceError, 'memory ran out'),
    'hangs': ('sleep 600', ProgramError, r'did not end within 0\.5 s'),
    'deaf': ("trap '' TERM; sleep 600 & wait", ProgramError, r'did not end within 0\.5 s'),
    'garbage without end': ('while :; do head -c 65536 /dev/zero; done', ProgramError,
                            'did not end'),
    'not found in a script': ('exec /nowhere/tool', ProgramError, 'could not be started'),
}  # fmt: skip


@pytest.mark.parametrize('kind', ENDS)
def test_each_end_has_a_sentence(kind, tmp_path):
    body, error, sentence = ENDS[kind]
    tool = program(tmp_path / 'bin', body)
    with pytest.raises(error, match=sentence):
        run_program([str(tool)], cwd=tmp_path, longest_s=0.5 if 'did not' in sentence else 60,
                    grace_s=0.5)  # fmt: skip


def test_a_program_that_cannot_be_started(tmp_path):
    broken = program(tmp_path / 'bin', '', interpreter='/nowhere/sh')
    for command in ('/nowhere/tool', str(broken)):
        with pytest.raises(ProgramError, match=r'could not be started \(No such file'):
            run_program([command], cwd=tmp_path)


def test_what_it_says_is_returned_and_it_reads_its_input(tmp_path):
    (tmp_path / 'in').write_text('abc')
    tool = program(tmp_path / 'bin', 'cat; echo done >&2')
    assert run_program([str(tool)], cwd=tmp_path, stdin=tmp_path / 'in') == 'abcdone\n'


STARTERS = {
    'a program': (
        'import sys; from bids_acc.programs import run_program; '
        "run_program(['/bin/sh', '-c', 'echo $$ > pid; exec sleep 600'], cwd=sys.argv[1])"
    ),
    'a worker': (
        'import os, sys, time; from pathlib import Path; '
        'from bids_acc.execution.plugins import MultiProc; '
        "pool = MultiProc({'n_procs': 1, 'memory_gb': 1}).pool; "
        "pool.submit(exec, 'import os, time; '"
        " 'open(\\'pid\\', \\'w\\').write(str(os.getpid())); time.sleep(600)').result()"
    ),
}


@pytest.mark.parametrize('what', STARTERS)
def test_nothing_outlives_the_process_that_started_it(tmp_path, what):
    """As when a worker or the run itself is killed: the system ends what it had started."""
    code = STARTERS[what]
    starter = psutil.Popen([sys.executable, '-c', code, str(tmp_path)], cwd=tmp_path)
    listed = tmp_path / 'pid'
    deadline = time.monotonic() + 120
    while not (listed.exists() and listed.read_text().strip()) and time.monotonic() < deadline:
        time.sleep(0.05)
    pid = int(listed.read_text())
    starter.kill()
    starter.wait()
    while psutil.pid_exists(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


# --- what they leave -----------------------------------------------------------------------------


def series(path: Path, values: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    """Write an image."""
    nb.Nifti1Image(values.astype(np.float32), affine).to_filename(path)
    return path


@pytest.mark.parametrize(
    ('values', 'affine', 'sentence'),
    [
        (np.ones((4, 4, 4, 5)), AFFINE, 'with shape'),
        (np.ones((4, 4, 4, 6)), 2 * AFFINE, 'another grid'),
        (np.full((4, 4, 4, 6), np.nan), AFFINE, '384 values that are no numbers'),
    ],
)
def test_a_result_that_cannot_be_one_is_refused(tmp_path, values, affine, sentence):
    path = series(tmp_path / 'a.nii', values, affine)
    with pytest.raises(ProgramError, match=sentence):
        read_result(path, 'tool', (4, 4, 4, 6), AFFINE)
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(ProgramError, match='tool left a'):
        read_result(path, 'tool', values.shape, affine)


WRITES = """
import sys, nibabel
*_, given, left = [a for a in sys.argv[1:] if a.endswith('.nii')]
image = nibabel.load(given)
values = image.get_fdata().copy()
{change}
for path in [left, *(b for a, b in zip(sys.argv, sys.argv[1:]) if a == '-noise')]:
    nibabel.Nifti1Image(values.astype('float32'), image.affine).to_filename(path)
{end}
"""
STOPS_HALFWAY = WRITES.format(
    change='values[..., values.shape[3] // 2:] = 0',
    end="sys.exit('dwidenoise: [ERROR] disk quota exceeded')",
)
LEAVES_TOO_LITTLE = WRITES.format(change='values = values[..., 1:]', end='')
LEAVES_NOTHING = "import sys; print('no work today')"


@pytest.mark.parametrize(
    ('body', 'sentence'),
    [
        (STOPS_HALFWAY, r'exit code 1 \(dwidenoise: \[ERROR\] disk quota exceeded\)'),
        (LEAVES_NOTHING, r'its output is not there \(no work today\)'),
        (LEAVES_TOO_LITTLE, 'with shape'),
    ],
)
@pytest.mark.parametrize('name', ['dwidenoise', 'mrdegibbs'])
def test_mrtrix_that_fails_is_never_believed(tmp_path, monkeypatch, body, sentence, name):
    folder = tmp_path / 'bin'
    program(folder, body, name, sys.executable)
    monkeypatch.setenv('PATH', f'{folder}{os.pathsep}{os.environ["PATH"]}')
    monkeypatch.chdir(tmp_path)
    in_file = series(tmp_path / 'dwi.nii', np.random.default_rng(1).random((4, 4, 4, 6)))
    if name == 'dwidenoise':
        mask = series(tmp_path / 'mask.nii.gz', np.ones((4, 4, 4)))
        step = Denoise(in_file=str(in_file), mask=str(mask), engine='mrtrix3')
    else:
        step = Unring(in_file=str(in_file), engine='mrtrix3')
    with pytest.raises(BidsAccError, match=sentence):
        step.run(cwd=str(tmp_path))
