"""What a group run that was killed leaves aside is removed by the next one."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bids_acc.group import folders
from bids_acc.group.folders import whole_folder

WRITER = """
import sys, time
from pathlib import Path
from bids_acc.group.folders import whole_folder
with whole_folder(Path(sys.argv[1])) as aside:
    (aside / 'table.tsv').write_text('half')
    print('writing', flush=True)
    time.sleep(600)
"""


def writing(folder: Path) -> subprocess.Popen[str]:
    """Start a process that is in the midst of writing a folder."""
    job = subprocess.Popen(
        [sys.executable, '-c', WRITER, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert job.stdout is not None
    assert job.stdout.readline() == 'writing\n'
    return job


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a model with finished results."""
    monkeypatch.setattr(folders, 'YOUNG_S', -1.0)
    with whole_folder(tmp_path / 'group' / 'model-a') as aside:
        (aside / 'table.tsv').write_text('whole')
    return tmp_path / 'group' / 'model-a'


def hidden(model: Path) -> list[str]:
    """List what lies aside."""
    return sorted(path.name for path in model.parent.iterdir() if path.name.startswith('.'))


def test_what_a_killed_run_left_is_removed_by_any_other(model: Path) -> None:
    job = writing(model)
    job.send_signal(signal.SIGKILL)
    job.wait()
    assert len(hidden(model)) == 1
    assert (model / 'table.tsv').read_text() == 'whole'
    with whole_folder(model.with_name('model-b')):
        pass
    assert hidden(model) == []
    assert (model / 'table.tsv').read_text() == 'whole'


def test_what_a_living_run_writes_is_left_alone(model: Path) -> None:
    job = writing(model.with_name('model-b'))
    try:
        with whole_folder(model) as aside:
            assert len(hidden(model)) == 2
            (aside / 'table.tsv').write_text('new')
        assert len(hidden(model)) == 1
        assert (model / 'table.tsv').read_text() == 'new'
    finally:
        job.kill()
        job.wait()


def test_links_and_files_of_that_name_are_left_alone(model: Path, tmp_path: Path) -> None:
    other = tmp_path / 'other'
    other.mkdir()
    (model.parent / '.model-x-1.part').symlink_to(other)
    (model.parent / '.model-y-1.part').write_text('')
    with whole_folder(model):
        pass
    assert hidden(model) == ['.model-x-1.part', '.model-y-1.part']
    assert other.is_dir()
