"""Limits of open files, and homes: what a machine gives a process."""

from __future__ import annotations

import errno
import os
import resource
from pathlib import Path

import pytest

from bids_acc.cli.run import ENOUGH_FILES, _allow_files, _has_home, _internal, main
from bids_acc.exceptions import FEW_FILES, ExitCode


def test_a_low_limit_is_raised_to_what_may_be_had() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
        _allow_files()
        now = resource.getrlimit(resource.RLIMIT_NOFILE)
        enough = ENOUGH_FILES if hard == resource.RLIM_INFINITY else min(hard, ENOUGH_FILES)
        assert now == (enough, hard)
        higher = min(enough + 1, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (higher, hard))
        _allow_files()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (higher, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize('number', [errno.EMFILE, errno.ENFILE])
def test_one_that_is_met_is_no_fault_of_ours(
    number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    error = OSError(number, 'Too many open files')
    assert _internal(error) == ExitCode.TRY_AGAIN
    assert capsys.readouterr().err == f'bids_acc: {FEW_FILES}\n'


def test_a_home_of_somebody_else_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('HOME', str(tmp_path))
    assert _has_home()
    monkeypatch.setenv('HOME', str(tmp_path / 'absent'))
    assert _has_home()

    def closed(path: str) -> None:
        raise PermissionError(errno.EACCES, 'Permission denied', path)

    monkeypatch.setattr(os, 'stat', closed)
    assert not _has_home()


def test_the_backend_of_a_notebook_is_not_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('MPLBACKEND', 'module://matplotlib_inline.backend_inline')
    with pytest.raises(SystemExit):
        main(['--version'])
    assert os.environ['MPLBACKEND'] == 'Agg'
