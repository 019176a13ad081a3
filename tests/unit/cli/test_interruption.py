"""Signals that end the command: heard once, and then the process is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from bids_acc.cli import interruption
from bids_acc.execution.signals import BEFORE_THE_END

PROGRAM = """
import atexit, signal, sys, time
from bids_acc.cli import interruption
for number in interruption.BEFORE_THE_END:
    signal.signal(number, signal.SIG_DFL)  # the tests may run under nohup, which children inherit
class Slow:
    def __del__(self):
        print('taken apart')
def main():
    interruption.listen()
    global slow
    slow = Slow()
    slow.itself = slow
    atexit.register(print, 'asked for')
    try:
        print('begun', flush=True)
        time.sleep(60)
    except KeyboardInterrupt:
        time.sleep(0.5)  # tidying, in which more signals come
        print('tidy', flush=True)
        return interruption.INTERRUPTED
sys.exit(interruption.run_and_leave(main))
"""


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT, *BEFORE_THE_END])
def test_signals_while_it_tidies_up_are_not_heard(number: signal.Signals) -> None:
    job = subprocess.Popen([sys.executable, '-c', PROGRAM], stdout=subprocess.PIPE, text=True)
    assert job.stdout is not None
    assert job.stdout.readline() == 'begun\n'
    for _ in range(5):
        job.send_signal(number)
    said = job.communicate()[0]
    assert said == 'tidy\nasked for\n'
    assert job.returncode == interruption.INTERRUPTED


def test_what_a_shell_lets_be_ignored_stays_ignored() -> None:
    code = (
        'import signal; from bids_acc.cli import interruption as i; i.listen(); '
        'print(signal.getsignal(signal.SIGHUP) == signal.SIG_IGN)'
    )
    done = subprocess.run(
        ['sh', '-c', 'trap "" HUP; exec "$@"', '-', sys.executable, '-c', code],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == 'True\n'


def test_whoever_insists_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interruption, '_heard', [-interruption.TIDY_S])
    now = [0.0]
    monkeypatch.setattr(interruption.time, 'monotonic', lambda: now[0])
    heard = []
    for now[0] in (0.0, 1.0, interruption.TIDY_S + 1):
        try:
            interruption._break_off(signal.SIGTERM, None)
        except KeyboardInterrupt:
            heard.append(now[0])
    assert heard == [0.0, interruption.TIDY_S + 1]


def test_other_ends_are_ordinary() -> None:
    code = (
        'from bids_acc.cli.interruption import run_and_leave as r; raise SystemExit(r(lambda: 65))'
    )
    done = subprocess.run([sys.executable, '-c', code], check=False, env=dict(os.environ))
    assert done.returncode == 65
