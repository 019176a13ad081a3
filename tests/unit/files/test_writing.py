"""Files come whole or not at all, whoever else writes them."""

from __future__ import annotations

import errno
import io
import json
import multiprocessing
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from bids_acc.cli.run import main
from bids_acc.exceptions import ExitCode, OutputError
from bids_acc.files import private, reading, writing


def names(folder: Path) -> list[str]:
    """List a folder, hidden files too."""
    return sorted(path.name for path in folder.iterdir())


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / 'a.txt'
    writing.write_bytes(target, b'old')
    with pytest.raises(TypeError), writing.whole_file(target) as stream:
        stream.writelines([b'half', None])
    assert target.read_bytes() == b'old'
    assert names(tmp_path) == ['a.txt']


WRITER = """
import sys
from pathlib import Path
from bids_acc.files.writing import whole_file
with whole_file(Path(sys.argv[1])) as stream:
    stream.write(b'half')
    stream.flush()
    print('writing', flush=True)
    sys.stdin.read()
"""


def test_what_a_killed_process_left_is_removed_and_what_is_being_written_is_not(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(writing, 'YOUNG_S', -1.0)
    (tmp_path / 'deep').mkdir()
    writers = [
        subprocess.Popen([sys.executable, '-c', WRITER, tmp_path / 'deep' / name],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for name in ('a', 'b')
    ]  # fmt: skip
    for writer in writers:
        assert writer.stdout.readline() == 'writing\n'
    writers[0].kill()
    writers[0].wait()
    (tmp_path / 'deep' / '.of-others.part').touch()
    assert len(names(tmp_path / 'deep')) == 3
    writing.remove_abandoned(tmp_path, deep=False)
    assert len(names(tmp_path / 'deep')) == 3
    writing.remove_abandoned(tmp_path)
    assert len(names(tmp_path / 'deep')) == 2
    writers[1].communicate('')
    assert names(tmp_path / 'deep') == ['.of-others.part', 'b']


@pytest.mark.parametrize('code', [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_system_error_names_the_file(tmp_path, monkeypatch, code):
    def refuse(_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, 'fsync', refuse)
    with pytest.raises(OutputError, match=r'b\.txt cannot be written') as caught:
        writing.write_bytes(tmp_path / 'b.txt', b'x')
    assert caught.value.exit_code is ExitCode.CANNOT_WRITE
    assert ('free some space' in str(caught.value)) == (code in writing.DISK_ERRORS)
    assert names(tmp_path) == []


def test_a_disk_that_cannot_sync_is_written_to(tmp_path, monkeypatch):
    def refuse(_):
        raise OSError(errno.EINVAL, 'Invalid argument')

    monkeypatch.setattr(os, 'fsync', refuse)
    writing.write_bytes(tmp_path / 'b.txt', b'x')
    assert (tmp_path / 'b.txt').read_bytes() == b'x'


def test_a_disk_without_modes_has_private_folders(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EPERM, 'Operation not permitted')

    folder = private.private_folder(tmp_path / 'mine')
    monkeypatch.setattr(Path, 'chmod', refuse)
    assert private.private_folder(folder) == folder


def test_what_was_read_is_named_when_the_disk_fails(tmp_path, monkeypatch):
    class Stale(io.BytesIO):
        def read(self, *_):
            raise OSError(errno.ESTALE, 'Stale file handle')

    path = tmp_path / 'participants.tsv'
    path.touch()
    monkeypatch.setattr(Path, 'open', lambda *_: Stale())
    with pytest.raises(OSError, match='Stale') as caught:
        reading.read_whole(path)
    assert caught.value.filename == str(path)


def test_an_error_of_the_program_is_not_blamed_on_the_disk(tmp_path):
    with pytest.raises(ConnectionError), writing.whole_file(tmp_path / 'a'):
        raise ConnectionError(errno.ECONNRESET, 'reset')


def test_a_link_is_replaced_and_not_followed(tmp_path):
    victim = tmp_path / 'victim'
    victim.write_bytes(b'mine')
    link = tmp_path / 'a.txt'
    link.symlink_to(victim)
    writing.write_bytes(link, b'new')
    assert victim.read_bytes() == b'mine'
    assert not link.is_symlink()


def test_permissions_follow_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        writing.write_bytes(tmp_path / 'a', b'')
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / 'a').stat().st_mode) == 0o640


def test_what_is_equal_is_not_written_again(tmp_path):
    target = tmp_path / 'a'
    writing.write_once(target, b'same')
    first = target.stat().st_ino
    writing.write_once(target, b'same')
    assert target.stat().st_ino == first
    writing.write_once(target, b'other')
    assert target.read_bytes() == b'other'


def write_many(folder: str, worker: int) -> int:
    """Write the same two files again and again, as one job of an array does."""
    for turn in range(20):
        writing.write_bytes(Path(folder) / 'changing', f'{worker} {turn} '.encode() * 1000)
        writing.write_once(Path(folder) / 'equal', b'equal' * 1000)
    return worker


def test_many_writers_of_one_file(tmp_path):
    with multiprocessing.get_context('spawn').Pool(8) as pool:
        done = pool.starmap(write_many, [(str(tmp_path), worker) for worker in range(8)])
    assert done == list(range(8))
    assert names(tmp_path) == ['changing', 'equal']
    words = (tmp_path / 'changing').read_bytes().split()
    assert set(words[::2]) == {words[0]}
    assert set(words[1::2]) == {words[1]}


def test_a_full_disk_is_found_before_the_run(tmp_path):
    """/dev/full cannot stand for a folder, so a file size limit stands for the disk."""
    code = (
        'import resource, signal, sys, pathlib\n'
        'from bids_acc.files.writing import check_space\n'
        'signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n'
        'resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n'
        'check_space(pathlib.Path(sys.argv[1]))\n'
    )
    done = subprocess.run(
        [sys.executable, '-c', code, tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert f'{tmp_path} cannot be written' in done.stderr
    assert names(tmp_path) == []


# --- private folders ---------------------------------------------------------------------------


def test_a_private_folder_is_made_and_taken_over(tmp_path):
    folder = private.private_folder(tmp_path / 'a' / 'b')
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert private.private_folder(folder) == folder
    folder.chmod(0o755)
    assert stat.S_IMODE(private.private_folder(folder).stat().st_mode) == 0o700


def test_a_folder_that_others_may_have_filled_is_refused(tmp_path):
    folder = tmp_path / 'work'
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(OutputError, match='can be written by other users'):
        private.private_folder(folder)
    link = tmp_path / 'link'
    link.symlink_to(tmp_path)
    with pytest.raises(OutputError, match='is a link'):
        private.private_folder(link)
    (tmp_path / 'file').touch()
    with pytest.raises(OutputError, match='is a file'):
        private.private_folder(tmp_path / 'file')


@pytest.mark.skipif(os.geteuid() != 0, reason='only root can give a folder away')
def test_another_users_folder_is_refused(tmp_path):
    folder = tmp_path / 'work'
    folder.mkdir(mode=0o700)
    os.chown(folder, 65534, -1)
    with pytest.raises(OutputError, match='belongs to another user'):
        private.private_folder(folder)


def test_matplotlib_gets_another_folder_when_its_own_is_taken(tmp_path, monkeypatch):
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
    monkeypatch.delenv('MPLCONFIGDIR', raising=False)
    monkeypatch.setattr('atexit.register', lambda *_, **__: None)
    taken = tmp_path / f'bids_acc-{os.getuid()}-mpl'
    taken.symlink_to(tmp_path)
    private.use_private_matplotlib()
    assert Path(os.environ['MPLCONFIGDIR']).parent == tmp_path
    assert Path(os.environ['MPLCONFIGDIR']) != taken


def test_a_machine_without_a_temporary_folder(monkeypatch, capsys):
    monkeypatch.setattr('tempfile.tempdir', None)
    monkeypatch.setattr('tempfile._candidate_tempdir_list', list)
    monkeypatch.delenv('MPLCONFIGDIR', raising=False)
    assert main(['bids', 'out', 'participant']) == ExitCode.CANNOT_WRITE
    assert '--tmpfs /tmp' in capsys.readouterr().err


CLAIM = """
import sys
from pathlib import Path
from bids_acc.files.private import Claims
claims = Claims(Path(sys.argv[1]))
print(*(claims.claim(name) for name in sys.argv[2:]), flush=True)
sys.stdin.read()
"""


def test_what_another_process_is_at_work_on_is_not_claimed(tmp_path):
    path = tmp_path / 'logs' / '.running'
    with subprocess.Popen(
        [sys.executable, '-c', CLAIM, path, 'sub-01 mrs', 'sub-02 mrs'],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as other:  # fmt: skip
        assert other.stdout is not None
        assert other.stdout.readline() == 'True True\n'
        claims = private.Claims(path)
        assert not claims.claim('sub-01 mrs')
        assert claims.claim('sub-03 mrs')
        other.kill()
        other.wait()
        assert claims.claim('sub-01 mrs')
    claims.close()
    claims.close()
    assert claims.claim('anything')  # nothing is held any more, and nothing is refused


def test_a_file_system_without_locks_grants_everything(tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, 'No locks available')

    monkeypatch.setattr(private.fcntl, 'lockf', refuse)
    assert private.Claims(tmp_path / 'x').claim('sub-01 mrs')


def test_a_set_is_written_in_the_same_order_by_every_process():
    code = (
        'import sys; from bids_acc.files.writing import json_bytes; '
        "sys.stdout.buffer.write(json_bytes({'of': {'b', 'a', 'c', 'd'}, 'n': frozenset({3, 1})}))"
    )
    written = {
        subprocess.run(
            [sys.executable, '-c', code], env={**os.environ, 'PYTHONHASHSEED': str(seed)},
            capture_output=True, check=True,
        ).stdout
        for seed in (0, 1, 2)
    }  # fmt: skip
    assert len(written) == 1
    assert json.loads(written.pop()) == {'of': ['a', 'b', 'c', 'd'], 'n': [1, 3]}
