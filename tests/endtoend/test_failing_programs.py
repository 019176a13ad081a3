"""Spectra whose fit dies: a killed worker, a broken LCModel, no memory, a full disk."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from bids_acc.cli.run import main
from bids_acc.derivatives.outputs import find_outputs
from bids_acc.exceptions import ExitCode
from bids_acc.execution.crashes import DISK_FULL, KILLED
from tests.endtoend.test_command import bids_acc
from tests.endtoend.test_failed_spectra import FAULTS as FAULTS_OF_DATA
from tests.interfaces.test_mrs_robustness import Case, measure
from tests.synthetic.bids_folder import write_dataset

pytestmark = [pytest.mark.slow, pytest.mark.endtoend]

KILL_THE_WORKER = """
pid=$$
while [ "$pid" -gt 1 ]; do
    case "$(tr '\\0' ' ' < /proc/$pid/cmdline)" in *python*) kill -9 "$pid"; exit 0;; esac
    pid=$(awk '/^PPid:/ {print $2}' /proc/$pid/status)
done
"""
"""What the system does when memory runs out, to the process that waits for this program."""

TABLE = """ LCModel (Version 6.3-1N)
 title

$$CONC 4 lines in following concentration table = NCONC+1
    Conc.  %SD /Cr+PCr  Metabolite
    5.000   5%   0.500 Cr
    5.000   5%   0.500 PCr
"""

GIVEN_UP = """ LCModel (Version 6.3-1N)
 title

$$DIAG   1 lines in following diagnostic table:
  1  FATAL  RFALSI  3
"""


def writes(table: str, coord: str | None = None) -> str:
    """Script that writes a table."""
    script = f"cat > /dev/null\ncat > table <<'END'\n{table}END\n"
    return script if coord is None else script + f"cat > coord <<'END'\n{coord}END\n"


PROGRAMS: dict[str, tuple[str, str, ExitCode]] = {
    'exit code': ('echo no licence >&2; exit 1', 'exit code 1 (no licence)', ExitCode.INTERNAL),
    'crash': ('kill -SEGV $$', 'crashed with SIGSEGV', ExitCode.INTERNAL),
    'killed': ('kill -9 $$', 'LCModel was killed', ExitCode.TRY_AGAIN),
    'no table': ('exit 0', 'no complete table (none at all)', ExitCode.INTERNAL),
    'half a table': (writes(TABLE, ''), '3 of 4 lines', ExitCode.INTERNAL),
    'no curves': (writes(TABLE + '   20.0  10%   2.0 Glu\n'), 'no curves', ExitCode.INTERNAL),
    'no beginning': (writes(' LCModel'), 'no complete table', ExitCode.INTERNAL),
    'worker': (KILL_THE_WORKER, KILLED, ExitCode.TRY_AGAIN),
}
"""Body of a stand-in for LCModel, what the tables must say, the exit code."""


def install(folder: Path, body: str, interpreter: str = '/bin/sh') -> Path:
    """Write a stand-in and return the folder to put on PATH."""
    folder.mkdir()
    program = folder / 'lcmodel'
    program.write_text(f'#!{interpreter}\n{body}\n')
    program.chmod(0o755)
    return folder


@pytest.fixture(scope='module')
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data set with one sound spectrum."""
    root = write_dataset(tmp_path_factory.mktemp('sound') / 'bids')
    svs, _, metadata = measure(Case(points=1024), tmp_path_factory.mktemp('measured'))
    for label in ('01', '02'):
        target = root / f'sub-{label}' / 'mrs' / f'sub-{label}_svs.nii.gz'
        target.parent.mkdir(parents=True)
        shutil.copyfile(svs, target)
        target.with_name(f'sub-{label}_svs.json').write_text(json.dumps(metadata))
    (root / 'participants.tsv').write_text('participant_id\nsub-01\nsub-02\n')
    return root


def tables(out: Path, label: str = '01') -> tuple[pd.DataFrame, pd.Series]:
    """Levels and quality of a participant."""
    read = [
        pd.read_csv(find_outputs(key, out, subject=label)[0].path, sep='\t', na_values='n/a')
        for key in ('mrs_quantities', 'mrs_quality')
    ]
    return read[0], read[1].iloc[0]


def assert_not_available(out: Path, reason: str, label: str = '01') -> None:
    """Every number is n/a, every verdict fails, and every row has the reason."""
    levels, quality = tables(out, label)
    assert (
        levels[['value', 'value_sd', 'ci_low', 'ci_high', 'value_crlb', 'crlb_pct']]
        .isna()
        .all(axis=None)
    )
    assert (levels['gate'] == 'fail').all()
    assert levels['gate_reason'].str.contains(reason, regex=False).all()
    assert quality['gate'] == 'fail'
    assert reason in quality['gate_reasons']
    assert {'Glu', 'tNAA', 'tCr'} <= set(levels['metabolite'])


@pytest.mark.parametrize('kind', PROGRAMS)
def test_a_broken_lcmodel_leaves_tables(kind, raw, tmp_path, monkeypatch):
    body, reason, code = PROGRAMS[kind]
    folder = install(tmp_path / 'bin', body)
    monkeypatch.setenv('PATH', f'{folder}{os.pathsep}{os.environ["PATH"]}')
    out = tmp_path / 'out'
    options = ('--modalities', 'mrs', '--participant-label', '01', '--mrs-engine', 'lcmodel')
    run = bids_acc(raw, out, 'participant', *options, '--nprocs', '2')
    assert run.returncode == code, run.stderr
    assert reason in run.stderr
    assert_not_available(out, reason)
    _, quality = tables(out)
    assert quality['n_transients'] == 1  # what was known before the fit is kept


def test_a_program_without_interpreter_leaves_tables(raw, tmp_path, monkeypatch):
    folder = install(tmp_path / 'bin', '', '/nowhere/sh')
    monkeypatch.setenv('PATH', f'{folder}{os.pathsep}{os.environ["PATH"]}')
    out = tmp_path / 'out'
    options = ('--modalities', 'mrs', '--participant-label', '01', '--mrs-engine', 'lcmodel')
    run = bids_acc(raw, out, 'participant', *options)
    assert run.returncode == ExitCode.INTERNAL, run.stderr
    assert_not_available(out, 'could not be started')
    (folder / 'lcmodel').chmod(0o644)
    run = bids_acc(raw, out, 'participant', *options)
    assert run.returncode == ExitCode.USAGE
    assert 'no program "lcmodel" on PATH' in run.stderr


@pytest.mark.skipif(shutil.which('timeout') is None, reason='the system has no timeout program')
def test_a_program_without_end_leaves_tables(raw, tmp_path, monkeypatch):
    from bids_acc.mrs.engines import lcmodel

    folder = install(tmp_path / 'bin', 'cat > /dev/null; sleep 600')
    monkeypatch.setenv('PATH', f'{folder}{os.pathsep}{os.environ["PATH"]}')
    monkeypatch.setattr(lcmodel, 'LONGEST_S', 2)  # workers are forked
    out = tmp_path / 'out'
    arguments = [raw, out, 'participant', '--modalities', 'mrs', '--participant-label', '01']
    code = main([str(part) for part in (*arguments, '--mrs-engine', 'lcmodel')])
    assert code == ExitCode.INTERNAL
    assert_not_available(out, 'did not end within 2 s and was stopped')


def test_a_fit_that_lcmodel_gives_up_is_a_result(raw, tmp_path, monkeypatch):
    """That is about the spectrum: trying again would end alike."""
    folder = install(tmp_path / 'bin', writes(GIVEN_UP))
    monkeypatch.setenv('PATH', f'{folder}{os.pathsep}{os.environ["PATH"]}')
    out = tmp_path / 'out'
    options = ('--modalities', 'mrs', '--participant-label', '01', '--mrs-engine', 'lcmodel')
    run = bids_acc(raw, out, 'participant', *options)
    assert run.returncode == 0, run.stderr
    assert_not_available(out, 'RFALSI')


@pytest.mark.parametrize('kind', ['worker', 'half a table'])
def test_a_second_engine_that_dies_costs_no_levels(kind, raw, tmp_path, monkeypatch):
    body, reason, code = PROGRAMS[kind]
    folder = install(tmp_path / 'bin', body)
    monkeypatch.setenv('PATH', f'{folder}{os.pathsep}{os.environ["PATH"]}')
    out = tmp_path / 'out'
    options = ('--modalities', 'mrs', '--participant-label', '01', '--mrs-te1', '0.0124')
    run = bids_acc(raw, out, 'participant', *options, '--mrs-second-engine', 'lcmodel')
    assert run.returncode == code, run.stderr
    levels, quality = tables(out)
    assert (quality['engine'], quality['gate']) == ('builtin', 'pass')
    assert 'a later step failed: ' in quality['notes']
    assert reason in quality['notes']
    assert quality['te1_s'] == 0.0124
    assert levels.set_index(['metabolite', 'unit_scheme']).loc[('Glu', 'ratio_tcr'), 'value'] > 0


FAULTS: dict[str, tuple[Callable[[], BaseException], str, ExitCode]] = {
    'memory': (MemoryError, KILLED, ExitCode.TRY_AGAIN),
    'disk': (lambda: OSError(errno.ENOSPC, 'No space left'), DISK_FULL, ExitCode.CANNOT_WRITE),
    'time': (lambda: TimeoutError('no answer'), 'TimeoutError: no answer', ExitCode.INTERNAL),
    'bug': (lambda: KeyError('Glu'), "KeyError: 'Glu'", ExitCode.INTERNAL),
}
"""What a fit raises, what the tables must say, the exit code."""


@pytest.mark.parametrize('kind', FAULTS)
def test_whatever_a_fit_raises_leaves_tables(kind, raw, tmp_path, monkeypatch):
    """Workers are forked, so that they raise it too; the other spectrum goes on."""
    from bids_acc.mrs.interfaces import fit as fitting

    make, reason, code = FAULTS[kind]
    sound = fitting.run_engine

    def broken(data, request):
        if request.svs_name.startswith('sub-01'):
            raise make()
        return sound(data, request)

    monkeypatch.setattr(fitting, 'run_engine', broken)
    out = tmp_path / 'out'
    arguments = [raw, out, 'participant', '--modalities', 'mrs', '-w', tmp_path / 'work']
    assert main([str(part) for part in arguments]) == code
    assert_not_available(out, reason)
    assert tables(out, '02')[1]['gate'] == 'pass'
    # the cause is gone: the same command computes it, not only what never ran
    monkeypatch.setattr(fitting, 'run_engine', sound)
    assert main([str(part) for part in arguments]) == 0
    assert tables(out)[1]['gate'] == 'pass'


def test_a_stale_fit_is_not_tabulated(raw, tmp_path):
    """The fit of an earlier run lies in the working folder when preprocessing fails."""
    copy, out = tmp_path / 'bids', tmp_path / 'out'
    shutil.copytree(raw, copy)
    arguments = (copy, out, 'participant', '--modalities', 'mrs', '--participant-label', '01')
    work = ('-w', tmp_path / 'work')
    assert bids_acc(*arguments, *work).returncode == 0
    svs = copy / 'sub-01' / 'mrs' / 'sub-01_svs.nii.gz'
    FAULTS_OF_DATA['short'][0](svs)
    run = bids_acc(*arguments, *work)
    assert run.returncode == ExitCode.BAD_DATA
    assert 'mrs_wf.preproc' in run.stderr  # found by a step, not before the graph is made
    assert_not_available(out, FAULTS_OF_DATA['short'][1])
