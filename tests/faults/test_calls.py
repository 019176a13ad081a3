"""Words of the call that are no folder, no label or no number one can mean."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from bids_acc.cli.parser import parse, read_labels
from bids_acc.exceptions import SettingsError
from bids_acc.files import reading


@pytest.mark.parametrize('call', [
    ['https://example.org/bids', 'out', 'participant'],
    ['bids', 's3://bucket/out', 'participant'],
    ['bids', 'out', 'participant', '-d', 'fmriprep=http://example.org/x'],
    ['bids', 'out', 'participant', '--mrs-basis', 'file:///a.basis'],
])  # fmt: skip
def test_addresses_are_no_paths(call: list[str]) -> None:
    with pytest.raises(SettingsError, match=r'is an address'):
        parse(call)


@pytest.mark.parametrize('content', [b'', b'\n\n', b'participant_id\n', b'\xef\xbb\xbf\n'])
def test_an_empty_list_of_people_is_not_everybody(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / 'people.txt'
    path.write_bytes(content)
    with pytest.raises(SettingsError, match='names no participant'):
        read_labels([str(path)], 'sub-')
    for words in ([''], [','], ['01', '']):
        with pytest.raises(SettingsError, match='names no session'):
            read_labels(words, 'ses-')


def test_a_list_as_windows_writes_it(tmp_path: Path) -> None:
    path = tmp_path / 'people.txt'
    path.write_bytes(b'\xef\xbb\xbfparticipant_id\r\nsub-01\r\n02\tx\r\n')
    assert read_labels([str(path)], 'sub-') == ('01', '02')
    path.write_bytes('01'.encode('utf-16'))
    with pytest.raises(SettingsError, match='no readable list of labels'):
        read_labels([str(path)], 'sub-')


def test_settings_nested_for_ever(tmp_path: Path) -> None:
    path = tmp_path / 'a.toml'
    path.write_text('.'.join(['a'] * 3000) + ' = 1\n')
    with pytest.raises(SettingsError, match='nested deeper'):
        parse(['bids', 'out', 'participant', '--config-file', str(path)])


@pytest.mark.parametrize('flag', ['--nprocs', '--omp-nthreads'])
def test_more_workers_than_any_machine_has(flag: str) -> None:
    with pytest.raises(SettingsError, match='at most'):
        parse(['bids', 'out', 'participant', flag, '9' * 30])


def test_settings_through_a_pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell's ``<(...)`` is one; a pipe that nobody writes to is not waited for for ever."""
    monkeypatch.setattr(reading, 'PATIENCE_S', 0.2)
    pipe = tmp_path / 'pipe.toml'
    os.mkfifo(pipe)
    call = ['bids', 'out', 'participant', '--config-file', str(pipe)]
    with pytest.raises(SettingsError, match='a pipe to which nobody has written'):
        parse(call)
    monkeypatch.setattr(reading, 'PATIENCE_S', 60)
    writer = threading.Thread(target=pipe.write_text, args=('random_seed = 7\n',))
    writer.start()
    assert parse(call).settings.random_seed == 7
    writer.join()
