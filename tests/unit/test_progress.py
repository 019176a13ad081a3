"""What is said while steps run: live lines on a terminal, little in a log, nothing when quiet."""

from __future__ import annotations

import io
import time
from pathlib import Path

import pytest

from bids_acc.cli.run import _close
from bids_acc.exceptions import ExitCode
from bids_acc.execution.progress import Progress, Step
from bids_acc.settings import Request

STEPS = {
    's.anat.fit': Step('sub-01', 'anat', 'anat_wf', 'fit'),
    's.dwi.tensor': Step('sub-02 ses-1', 'dwi', 'dwi_wf', 'tensor'),
}


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Return True."""
        return True


def run_two(progress: Progress, wait_s: float = 0.0) -> str:
    """Start two steps, wait, fail one and end the other; return what was said."""
    progress.begin(STEPS)
    with progress.beating():
        for name in STEPS:
            progress(name, 'start')
        time.sleep(wait_s)
        progress('s.dwi.tensor', 'exception')
        progress('s.anat.fit', 'end')
    return progress.stream.getvalue()  # type: ignore[attr-defined]


def test_a_terminal_has_a_line_for_each_running_step(monkeypatch):
    monkeypatch.setenv('TERM', 'xterm')
    said = run_two(Progress(stream=Terminal()), wait_s=1.2)
    assert '  sub-01 anat: fit since 0:0' in said
    assert '  sub-02 ses-1 dwi: tensor since 0:0' in said
    assert '[  0/2 steps, 0:0' in said
    assert 'FAILED sub-02 ses-1 dwi: tensor' in said


def test_a_log_has_a_line_a_minute_and_every_failure():
    said = run_two(Progress(stream=io.StringIO())).splitlines()
    assert Progress().heartbeat_s == 60
    assert [line.partition('] ')[2] for line in said if 'FAILED' in line] == [
        'FAILED sub-02 ses-1 dwi: tensor'
    ]
    assert len(said) <= 2
    often = run_two(Progress(stream=io.StringIO(), heartbeat_s=0.05), wait_s=0.5)
    assert 'sub-01 anat: fit since 0:00; sub-02 ses-1 dwi: tensor since 0:00' in often
    assert '\x1b' not in often


def test_quiet_says_what_failed_only():
    (line,) = run_two(Progress(stream=Terminal(), quiet=True), wait_s=0.1).splitlines()
    assert line.endswith('FAILED sub-02 ses-1 dwi: tensor')


@pytest.mark.parametrize('n_pages', [1, 2, 6])
def test_the_last_line_names_the_pages(tmp_path, capsys, n_pages):
    labels = [f'{i:02d}' for i in range(n_pages)]
    for label in labels:
        (tmp_path / f'sub-{label}.html').touch()
    request = Request(bids_dir=Path('in'), output_dir=tmp_path, level='participant')
    _close(request, 'bids_acc: finished.', ExitCode.OK, [*labels, 'absent'])
    first, last = capsys.readouterr().err.splitlines()
    assert first == 'bids_acc: finished.'
    assert last.startswith('Page')
    assert 'absent' not in last
    assert f'{tmp_path}/sub-*.html (6)' in last if n_pages == 6 else last.count('.html') == n_pages


def test_quiet_ends_without_a_word_unless_something_went_wrong(tmp_path, capsys):
    request = Request(
        bids_dir=Path('in'), output_dir=tmp_path, level='participant', verbosity=-1
    )  # fmt: skip
    _close(request, 'finished', ExitCode.OK)
    assert capsys.readouterr().err == ''
    _close(request, 'finished with problems', ExitCode.BAD_DATA)
    assert 'problems' in capsys.readouterr().err
