"""A run that is killed at random moments, again and again, ends as one that nobody disturbed.

``BIDS_ACC_BYTES_OF`` names another data set than the small one, e.g. one with T1w and BOLD;
``BIDS_ACC_KILLS`` how often it is killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.faults.test_arrays import content
from tests.faults.test_same_bytes import diffusion, raw, told

pytestmark = [pytest.mark.slow, pytest.mark.endtoend]

KILLS = int(os.environ.get('BIDS_ACC_KILLS', '4'))

__all__ = ['diffusion', 'raw']  # fixtures


def start(raw: Path, out: Path, work: Path) -> subprocess.Popen[str]:
    """Start the command in a group of processes of its own."""
    return subprocess.Popen(
        [sys.executable, '-m', 'bids_acc', str(raw), str(out), 'participant', '--density', '10k',
         '--nprocs', '2', '-w', str(work)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def alive(group: int) -> bool:
    """Tell whether any process of a group is left, but for dead ones that nobody asks after."""
    for process in psutil.process_iter(['status']):
        with contextlib.suppress(ProcessLookupError):
            if os.getpgid(process.pid) == group and process.info['status'] != 'zombie':
                return True
    return False


def results(out: Path) -> dict[str, bytes]:
    """Read what does not tell where the data lie, when, and how the command was called."""
    return {name: data for name, data in content(out).items() if told(name)}


def test_killed_at_random_moments(raw, tmp_path):
    begun = time.monotonic()
    first = start(raw, tmp_path / 'alone', tmp_path / 'w1')
    said = first.communicate()[1]
    assert first.returncode == 0, said
    lasts = time.monotonic() - begun
    expected = results(tmp_path / 'alone')
    out, rng = tmp_path / 'out', np.random.default_rng(19)
    finished = 0
    for fraction in rng.uniform(0.2, 0.95, KILLS):  # of the whole run; before is Python's start
        job = start(raw, out, tmp_path / 'w2')
        time.sleep(fraction * lasts)
        finished += job.poll() is not None
        job.send_signal(signal.SIGKILL)
        job.communicate()
        deadline = time.monotonic() + 10
        while alive(job.pid) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not alive(job.pid), 'workers outlive the run'
        # what has its name is whole
        assert [n for n, data in results(out).items() if expected.get(n) != data] == []
    assert finished < KILLS
    last = start(raw, out, tmp_path / 'w2')
    said = last.communicate()[1]
    assert last.returncode == 0, said
    found = results(out)
    assert sorted(found) == sorted(expected)
    assert [name for name in found if found[name] != expected[name]] == []
    assert list(out.rglob('*.part')) == []
