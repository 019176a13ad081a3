"""Folders that nobody else can write into.

Nipype loads pickles from its working folder, and Matplotlib reads its configuration: whoever can
put a file there runs code as this user. Names below the temporary folder can be guessed, so a
folder that is there already is looked at before it is used.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import IO

from bids_acc.exceptions import OutputError
from bids_acc.files.writing import cannot_write

NO_LOCKS = frozenset({errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL})
"""What file systems without locks answer (Lustre without ``flock``, NFS without its daemon)."""


def private_folder(path: Path) -> Path:
    """Make a folder for this user alone, or take it over if it is one.

    Parameters
    ----------
    path : Path
        Its parents are made as usual.

    Returns
    -------
    Path
        The same.

    Raises
    ------
    OutputError
        If it cannot be made, or is a link, a file, another user's, or open to other users.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700)
    except FileExistsError as error:
        if path.parent.is_dir():
            return _taken_over(path)
        raise cannot_write(path, error) from error
    except OSError as error:
        raise cannot_write(path, error) from error
    return path


def _taken_over(path: Path) -> Path:
    """Refuse a folder that another user may have filled."""
    found = path.lstat()
    remedy = 'remove it, or name another folder with --work-dir.'
    if stat.S_ISLNK(found.st_mode):
        raise OutputError(f'{path} is a link, where a folder of bids_acc belongs; {remedy}')
    if not stat.S_ISDIR(found.st_mode):
        raise OutputError(f'{path} is a file, where a folder of bids_acc belongs; {remedy}')
    # a folder in /tmp whose name can be guessed may have been made by somebody else, with code in
    # it
    if found.st_uid != os.geteuid():
        raise OutputError(
            f'{path} belongs to another user (uid {found.st_uid}), who could have put code into '
            f'it; {remedy}'
        )
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise OutputError(
            f'{path} can be written by other users, who could have put code into it; {remedy}'
        )
    with contextlib.suppress(OSError):  # some network disks know no modes; nobody else can write
        path.chmod(0o700)
    return path


class InUse:
    """A private folder that several runs may use at a time; the last one removes it.

    Where the system has no locks (some network disks), nobody knows who is the last, and it stays.

    Parameters
    ----------
    folder : Path
        Made if it is not there.

    Raises
    ------
    OutputError
        As `private_folder`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._locks = True
        while True:
            mark = private_folder(folder) / '.in-use'
            try:
                self._stream = mark.open('a')
                self._lock(fcntl.LOCK_SH)
                # between opening and locking, the run before may have removed the file: the lock
                # would be on one that nobody else sees
                if os.fstat(self._stream.fileno()).st_ino == mark.stat().st_ino:
                    return
            except FileNotFoundError:
                pass  # the run before removed it just now
            except OSError as error:
                raise cannot_write(mark, error) from error

    def _lock(self, kind: int) -> None:
        """Lock the folder, unless that cannot be done there."""
        try:
            fcntl.flock(self._stream, kind)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            self._locks = False

    def remove_if_last(self) -> None:
        """Remove the folder unless another run uses it; that one will."""
        try:
            self._lock(fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return
        if not self._locks:
            return
        shutil.rmtree(self._folder, ignore_errors=True)


class Claims:
    """What this process is at work on, so that another leaves it alone.

    All are ranges of one file, so that thousands cost one open file; the system gives them back
    when the process ends, however it ends. Where it has no locks, everything is granted.

    Parameters
    ----------
    path : Path
        File of the claims; made, with its folder, if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self._stream: IO[bytes] | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._stream = path.open('ab')
        except OSError as error:
            raise cannot_write(path, error) from error

    def claim(self, name: str) -> bool:
        """Claim something; tell whether no other process has it.

        Parameters
        ----------
        name : str
            What is claimed.
        """
        if self._stream is None:
            return True
        # a byte of one file for each name: thousands of lock files would stay behind on a disk
        # that counts them
        start = int.from_bytes(hashlib.sha256(name.encode()).digest()[:7])
        try:
            fcntl.lockf(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, start)
        except OSError as error:
            return error.errno not in (errno.EACCES, errno.EAGAIN)
        return True

    def close(self) -> None:
        """Give everything back."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None


def temporary_folder() -> Path:
    """Return the folder for temporary files.

    Raises
    ------
    OutputError
        If none can be written.
    """
    try:
        return Path(tempfile.gettempdir())
    except OSError as error:
        raise OutputError(
            'no temporary folder can be written (TMPDIR, /tmp, /var/tmp, the current one); set '
            'TMPDIR to one that can, or mount one (of a container: --tmpfs /tmp).'
        ) from error


def use_private_matplotlib() -> None:
    """Point Matplotlib to a configuration that nobody else can write, unless the user did.

    Raises
    ------
    OutputError
        If there is no temporary folder.
    """
    if os.environ.get('MPLCONFIGDIR'):
        return
    below = temporary_folder()
    try:
        folder = private_folder(below / f'bids_acc-{os.getuid()}-mpl')
    except OutputError:  # taken by somebody: a new one, for this run only
        folder = Path(tempfile.mkdtemp(prefix='bids_acc-mpl-'))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ['MPLCONFIGDIR'] = str(folder)
