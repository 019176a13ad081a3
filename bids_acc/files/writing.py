"""Whole files or none: a temporary name of one's own, fsync, rename.

Every file of the output is written here, so that a kill, a full disk or a second process that
writes the same file never leaves half of one.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import math
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

import numpy as np

from bids_acc.exceptions import OutputError

PART = '.part'
"""Ending of temporary names; they begin with a dot, so that no glob of outputs finds them."""

_TEMPORARY = re.compile(rf'\.[0-9a-f]{{32}}{re.escape(PART)}')

YOUNG_S = 1.0
"""Seconds for which a temporary file is left alone, as its process may be about to lock it."""

DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT})
"""The disk is full, or what the user may use of it."""

NO_SYNC = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})
"""What file systems answer that have no ``fsync``."""

LEAST_FREE = 1 << 20
"""Bytes that must be free where a run begins."""

WRITE_ERRORS = DISK_ERRORS | {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST,
    errno.ENAMETOOLONG, errno.ELOOP, errno.EIO, errno.ESTALE, errno.EFBIG,
}  # fmt: skip
"""What can stop a file from being written that is no fault of the program."""


def cannot_write(path: Path | str, error: OSError) -> OutputError:
    """Say in one sentence why a file or folder cannot be written.

    Parameters
    ----------
    path : Path
        What was to be written.
    error : OSError
        The system's reason.

    Examples
    --------
    >>> print(cannot_write('/out/a.tsv', OSError(errno.EROFS, 'Read-only file system')))
    /out/a.tsv cannot be written (Read-only file system); choose another folder or change its permissions.
    """  # noqa: E501 - the sentence as it is printed
    if error.errno in DISK_ERRORS:
        return OutputError(
            f'{path} cannot be written ({error.strerror}); free some space, or choose another '
            'disk, and run the same command again (what is finished is reused).'
        )
    return OutputError(
        f'{path} cannot be written ({error.strerror or error}); choose another folder or '
        'change its permissions.'
    )


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for writing that takes its name only when it is finished.

    Parameters
    ----------
    path : Path
        Its folder is made. A link of that name is replaced, not followed.

    Yields
    ------
    file object
        Opened for bytes.

    Raises
    ------
    OutputError
        If the system refuses; nothing is left behind then, nor after any other error.
    """
    part = path.with_name(f'.{uuid4().hex}{PART}')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # like open(..., 'xb'), so that the umask decides on the permissions
        with part.open('xb') as stream:
            _hold(stream)
            yield stream
            stream.flush()
            _to_disk(stream)
        # on the same disk, so that it is one step: readers see the old file or the new one
        part.replace(path)
    except OSError as error:
        _discard(part)
        if error.errno in WRITE_ERRORS and not isinstance(error, OutputError):
            raise cannot_write(path, error) from error
        raise
    except BaseException:  # a run that is broken off leaves no parts behind, either
        _discard(part)
        raise


def _hold(stream: IO[bytes]) -> None:
    """Lock a file that is being written: a lock is gone with its process, however it ends."""
    with contextlib.suppress(
        OSError
    ):  # a disk without locks: what a killed run leaves there, stays
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)


def remove_abandoned(folder: Path, *, deep: bool = True) -> None:
    """Remove the unfinished files of processes that were killed.

    Those that a living process writes are locked and left alone; so are all where the disk has no
    locks.

    Parameters
    ----------
    folder : Path
        Of the output.
    deep : bool
        Whether to look into the folders below, too; links are not followed.
    """
    for parent, folders, names in os.walk(folder):
        if not deep:
            folders.clear()
        for name in filter(_TEMPORARY.fullmatch, names):
            with contextlib.suppress(OSError):
                _remove_unless_held(Path(parent) / name)


def _remove_unless_held(part: Path) -> None:
    """Remove a temporary file that nobody holds, unless it was begun this moment."""
    if time.time() - part.lstat().st_mtime < YOUNG_S or part.is_symlink():
        return
    with part.open('ab') as stream:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        part.unlink()


def _to_disk(stream: IO[bytes]) -> None:
    """Wait until a file is on its disk; some network and FUSE disks cannot tell, and say so."""
    try:
        os.fsync(stream.fileno())
    except OSError as error:
        if error.errno not in NO_SYNC:
            raise


def check_space(folder: Path) -> None:
    """Make a folder and refuse one in which nothing can be written.

    To make an empty file is not enough: on a full disk that still succeeds.

    Parameters
    ----------
    folder : Path
        Output or work folder. It stays when it is made here; the probe, `LEAST_FREE` bytes (1 MB)
        long, does not.

    Raises
    ------
    OutputError
        With the system's reason.
    """
    # written and not asked: quotas, read-only mounts and ACLs say yes to os.access
    probe = folder / f'.bids_acc-{uuid4().hex}'
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with probe.open('xb') as stream:
                stream.write(bytes(LEAST_FREE))
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error


def full_folder(folders: Iterable[Path]) -> Path | None:
    """Return the first folder on whose disk no space is left, if any.

    Parameters
    ----------
    folders : iterable of Path
        Where a run writes; those that are not there are passed over.
    """
    for folder in folders:
        try:
            check_space(folder)
        except OutputError as error:
            cause = error.__cause__
            if isinstance(cause, OSError) and cause.errno in DISK_ERRORS:
                return folder
    return None


def _discard(part: Path) -> None:
    """Remove an unfinished file, if it is there and can be removed."""
    with contextlib.suppress(OSError):
        part.unlink()


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole, or not at all.

    Parameters
    ----------
    path : Path
        Its folders are made. What is there is replaced only when the new content is on the disk.
    content : bytes
        All of the file.

    Raises
    ------
    OutputError
        If the system refuses.
    """
    with whole_file(path) as stream:
        stream.write(content)


def write_once(path: Path, content: bytes) -> None:
    """Write a file unless it holds the same already.

    For files that every process of an array writes alike: the first one does.

    Parameters
    ----------
    path : Path
        Its folders are made.
    content : bytes
        All of the file.

    Raises
    ------
    OutputError
        If the system refuses.
    """
    try:
        if path.read_bytes() == content:
            return
    except OSError:
        pass  # absent or unreadable: written anew
    write_bytes(path, content)


def plain(value: object) -> Any:
    """Turn a value into what JSON knows: NumPy's values, paths, sets and NaN have no form in it.

    Parameters
    ----------
    value : object
        Nested as deeply as it may be; keys of mappings become text.

    Returns
    -------
    object
        NaN and infinities become None, arrays become lists.
    """
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(v) for v in value]
    if isinstance(value, AbstractSet):
        # the order of a set of words is another one in each process
        return sorted((plain(v) for v in value), key=lambda v: (str(type(v)), v))
    if isinstance(value, np.generic):
        value = value.item()
    # NaN is no JSON, though Python writes it; other readers stop there
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Path):
        return str(value)
    return value


def json_bytes(content: object) -> bytes:
    """Return JSON in one fixed form.

    Parameters
    ----------
    content : object
        Anything that `plain` takes; the order of keys is kept.

    Returns
    -------
    bytes
        UTF-8, two spaces deep, with a final newline: the same content gives the same bytes.
    """
    text = json.dumps(plain(content), indent=2, ensure_ascii=False, allow_nan=False) + '\n'
    return text.encode('utf-8', 'surrogateescape')


def write_json(path: Path, content: object) -> None:
    """Write JSON in one fixed form, whole or not at all.

    Parameters
    ----------
    path : Path
        Its folders are made.
    content : object
        Anything that `plain` takes.

    Raises
    ------
    OutputError
        If the system refuses.
    """
    write_bytes(path, json_bytes(content))
