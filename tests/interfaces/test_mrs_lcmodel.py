"""LCModel when it does not end: stopped with all that it started, and said so."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import psutil
import pytest

from bids_acc.exceptions import ProgramError, ResourceError
from bids_acc.mrs.engines import lcmodel
from tests.synthetic.lcmodel import creatine, install_stand_in

SLEEPS = 'sleep 300 & echo $! > child; echo $$ > parent; wait\n'
DEAF = "trap '' TERM\n" + SLEEPS
"""The sleeping child does not heed the signal either: it inherits what is ignored."""


def run(body: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fit with a stand-in for LCModel."""
    install_stand_in(body, folder, monkeypatch)
    spectrum, basis = creatine()
    lcmodel.run_lcmodel(spectrum, basis, None, folder)


def alive(file: Path) -> bool:
    """Whether a process whose number a file holds still runs."""
    pid = int(file.read_text())
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


@pytest.mark.skipif(shutil.which('timeout') is None, reason='the system has no timeout program')
@pytest.mark.parametrize('body', [SLEEPS, DEAF], ids=['heeds', 'deaf'])
def test_a_run_without_end_is_stopped(
    body: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that has to be killed has run out of time, not out of memory."""
    monkeypatch.setattr(lcmodel, 'LONGEST_S', 1)
    monkeypatch.setattr(lcmodel, '_GRACE_S', 1)
    begun = time.monotonic()
    with pytest.raises(ProgramError, match='did not end within 1 s and was stopped'):
        run(body, tmp_path, monkeypatch)
    assert time.monotonic() - begun < 60  # not the five minutes that it would sleep
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and (
        alive(tmp_path / 'child') or alive(tmp_path / 'parent')
    ):
        time.sleep(0.05)
    assert not alive(tmp_path / 'child')
    assert not alive(tmp_path / 'parent')


def test_one_killed_before_its_time_ran_out_of_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ResourceError, match='memory ran out'):
        run('kill -9 $$\n', tmp_path, monkeypatch)
