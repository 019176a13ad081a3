"""One boundary around every file that is read: whatever goes wrong becomes one sentence.

Readers of others raise what they happen to trip over (``struct.error``, ``OverflowError``,
``RecursionError``, ``KeyError``): in a data set of ten thousand files each of these will come. The
file is at fault then, not the program, and only what depends on this file may fail.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import functools
import gzip
import math
import os
import re
import select
import stat
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt

from bids_acc.exceptions import BidsAccError, InputDataError, MissingInputError, ResourceError

P = ParamSpec('P')
R = TypeVar('R')

ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})

LARGEST_TEXT = 1 << 26
"""Bytes of a sidecar, a gradient table, a list of labels or settings that are read (64 MB, own
convention: the largest in use are a thousand times smaller)."""
LARGEST_TABLE = 1 << 30
"""The same for tables, of which one may hold thousands of people (1 GB, own convention)."""

PATIENCE_S = 10.0
"""Seconds that a pipe may be silent (own convention)."""

SENTENCE = 160
"""Characters of a foreign message that are quoted; some quote the whole file."""


@contextlib.contextmanager
def reading(
    path: Path | str,
    what: str = 'file',
    remedy: str = 'copy or fetch it again',
    error: type[BidsAccError] = InputDataError,
) -> Iterator[None]:
    """Turn whatever is raised while a file is read into one sentence about it.

    Our own errors pass as they are.

    Parameters
    ----------
    path : Path
        The file.
    what : str
        What it should be, e.g. ``NIfTI image``.
    remedy : str
        What to do.
    error : type
        Raised for a file that is there and cannot be used.

    Raises
    ------
    MissingInputError
        If the file is not there.
    ResourceError
        If it does not fit into memory.
    InputDataError
        Or ``error``, for everything else.

    Examples
    --------
    >>> with reading('a.json', 'JSON'):
    ...     {}['Name']
    Traceback (most recent call last):
        ...
    bids_acc.exceptions.InputDataError: a.json is no readable JSON (KeyError: 'Name'); copy or fetch it again.
    """  # noqa: E501 - the sentence as it is printed
    try:
        yield
    except BidsAccError:
        raise
    except MemoryError as found:
        raise ResourceError(f'{path} does not fit into memory.') from found
    except OSError as found:
        if found.errno in ABSENT:
            raise MissingInputError(absent(Path(path))) from found
        raise error(f'{path} is no readable {what} ({short(found)}); {remedy}.') from found
    except Exception as found:
        raise error(f'{path} is no readable {what} ({short(found)}); {remedy}.') from found


def read_whole(
    path: Path | str, limit: int = LARGEST_TEXT, error: type[BidsAccError] = InputDataError
) -> bytes:
    """Read a file that is small, and nothing that has no end.

    A pipe is read as well, since shells hand over settings so (``<(...)``); what stands in a
    data set passes `check_regular` before.

    Parameters
    ----------
    path : Path or str
        Regular file, pipe or device.
    limit : int
        Bytes; by default `LARGEST_TEXT`, 64 MB.
    error : type
        Raised beyond the limit; its class decides the exit code.

    Raises
    ------
    InputDataError
        Or ``error``, if it holds more than the limit, or is a pipe to which nobody writes.
    OSError
        If it cannot be read.
    """
    if stat.S_ISFIFO(Path(path).stat().st_mode):
        content = _read_pipe(path, limit + 1, error)
    else:
        try:
            with Path(path).open('rb') as stream:
                # one byte more than allowed tells that there is more, without reading all of it
                content = stream.read(limit + 1)
        except OSError as found:
            found.filename = found.filename or str(path)  # that it was read is not told of
            raise
    if len(content) > limit:
        raise error(
            f'{path} holds more than {limit >> 20} MB, which no file of its kind does; replace it.'
        )
    return content


def _read_pipe(path: Path | str, limit: int, error: type[BidsAccError]) -> bytes:
    """Read a pipe to its end, or until nobody has written to it for `PATIENCE_S`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # else it waits for a writer to come
    try:
        content = b''
        while len(content) < limit:
            if not select.select([descriptor], [], [], PATIENCE_S)[0]:
                raise error(
                    f'{path} is a pipe to which nobody has written for {PATIENCE_S:g} s; name a '
                    'file, or start what writes to it first.'
                )
            chunk = os.read(descriptor, 1 << 16)
            if not chunk:
                break
            content += chunk
        return content
    finally:
        os.close(descriptor)


def check_regular(path: Path) -> None:
    """Refuse what looks like a file and is a pipe, a socket or a device.

    To open a pipe that nobody writes to waits for ever, and some devices have no end.

    Parameters
    ----------
    path : Path
        Links are followed.

    Raises
    ------
    InputDataError
        If it is neither a file nor a folder.
    OSError
        If it is not there.
    """
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise InputDataError(
            f'{path} is a pipe, a socket or a device, not a file; put the file itself there.'
        )


_PLAIN = frozenset(b'0123456789+-.eE \t\r\n')
"""Bytes of a table of which nothing but numbers can be meant."""
_MARKS = (
    (codecs.BOM_UTF8, 'utf-8-sig'),
    (codecs.BOM_UTF32_LE, 'utf-32'),  # begins with the mark of UTF-16, so it comes first
    (codecs.BOM_UTF32_BE, 'utf-32'),
    (codecs.BOM_UTF16_LE, 'utf-16'),
    (codecs.BOM_UTF16_BE, 'utf-16'),
)
"""Byte order marks and the encodings that begin with them."""


def marked_encoding(content: bytes) -> str | None:
    r"""Return the encoding that a byte order mark tells, as Python names it; None without one.

    Parameters
    ----------
    content : bytes
        Of a text file.

    Examples
    --------
    >>> marked_encoding(b'\xef\xbb\xbfage'), marked_encoding(b'age')
    ('utf-8-sig', None)
    """
    return next((name for mark, name in _MARKS if content.startswith(mark)), None)


def number_table(content: bytes) -> npt.NDArray[np.float64]:
    r"""Read a table of numbers, one row a line.

    Spaces, tabs, commas or semicolons stand between numbers; what follows ``#`` is a remark; a
    byte-order mark and typographic minus signs, as office programs leave them, are understood.

    Parameters
    ----------
    content : bytes
        Of the file.

    Returns
    -------
    (n_rows, n_columns) ndarray of float64

    Raises
    ------
    ValueError
        If it holds something else, rows of different lengths, or commas within numbers.

    Examples
    --------
    >>> number_table(b'\xef\xbb\xbf0, 1000, 1000')
    array([[   0., 1000., 1000.]])
    """
    if _PLAIN.issuperset(content):
        text = content.decode()
    else:
        text = content.decode(marked_encoding(content) or 'utf-8')
        text = text.translate({0x2212: '-', 0x2013: '-', 0xA0: ' '})
        lines = (line.partition('#')[0].strip(' \t,;') for line in text.splitlines())
        text = '\n'.join(map(_spaced, lines))
    rows = [row for row in map(str.split, text.splitlines()) if row]
    if len({len(row) for row in rows}) > 1:
        raise ValueError('rows of different lengths')
    return np.array(rows, dtype=float, ndmin=2)


def _spaced(line: str) -> str:
    """Write spaces for the commas or semicolons between numbers."""
    line = re.sub(r'\s*([,;])\s*', r'\1', line)
    if ',' in line and re.search(r'[\s;]', line):
        raise ValueError('commas within numbers; write points')
    return re.sub('[,;]', ' ', line)


def check_gzip(path: Path | str) -> None:
    """Refuse a packed file in which bytes have changed since it was packed.

    Readers of images stop at the last voxel; the checksum (RFC 1952) stands behind it and is
    never looked at. Files of other names pass.

    Parameters
    ----------
    path : Path or str
        All of it is unpacked, without keeping it.

    Raises
    ------
    InputDataError
        If the checksum is another, or the file cannot be unpacked.
    """
    if not str(path).endswith('.gz'):
        return
    try:
        with gzip.open(path, 'rb') as stream:
            while stream.read(1 << 22):
                pass
    except (EOFError, OSError, zlib.error) as error:
        raise InputDataError(f'{path} is damaged ({error}); copy or fetch it again.') from error


def check_depth(content: object, depth: int = 0) -> None:
    """Refuse settings that are nested so deeply that no reader can follow.

    Parameters
    ----------
    content : object
        As a TOML or JSON reader returns it.
    depth : int
        Levels above it; callers leave it out.

    Raises
    ------
    ValueError
        Beyond `MAX_DEPTH` levels.
    """
    if depth > MAX_DEPTH:
        raise ValueError(f'nested deeper than {MAX_DEPTH} levels')
    if isinstance(content, Mapping):
        content = list(content.values())
    if isinstance(content, list):
        for item in content:
            check_depth(item, depth + 1)


def absent(path: Path) -> str:
    """Say that a file is not there, and how to get it where it is a link into a git-annex.

    Parameters
    ----------
    path : Path
        Of a file that could not be opened.

    Returns
    -------
    str
        One sentence. ``datalad get`` is named for links into a git-annex only.
    """
    if path.is_symlink():
        target = str(path.readlink())
        if 'annex' in target:
            return f'{path}: not fetched: `datalad get {path}`'
        return f'{path} is a link to {target}, which does not exist.'
    return f'{path} does not exist.'


def short(error: Exception, limit: int = SENTENCE) -> str:
    """Return the sentence of an error on one line, cut where it quotes too much.

    A message that is not a sentence of its own, such as that of ``KeyError``, gets the name.

    Parameters
    ----------
    error : Exception
        Of any library.
    limit : int
        Characters of its text; by default `SENTENCE`, 160.

    Returns
    -------
    str
        One line; longer texts end in ``...``.

    Examples
    --------
    >>> short(KeyError('a')), short(ValueError('no number'))
    ("KeyError: 'a'", 'no number')
    """
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = ' '.join(str(error).split())
    if not text or not isinstance(error, ValueError | OSError | EOFError):
        text = f'{type(error).__name__}: {text}'.rstrip(': ')
    # names of files may hold bytes that no encoding knows, and a message must be printable
    text = text.encode(errors='backslashreplace').decode()
    return text if len(text) <= limit else f'{text[:limit]} ...'


MAX_DEPTH = 50
"""Levels of lists and objects in JSON; BIDS needs four."""

_LARGEST_INT = 2**63


def sane(content: object, depth: int = 0) -> Any:
    """Return JSON with nothing in it that a number, a name or the next writer cannot take.

    Numbers beyond what a float or a 64-bit integer holds become None, which is "not known";
    halves of surrogate pairs become the replacement character.

    Parameters
    ----------
    content : object
        As a JSON reader returns it: mappings, lists, text, numbers, booleans and None.
    depth : int
        Levels above it; callers leave it out.

    Returns
    -------
    object
        A copy of the same form.

    Raises
    ------
    ValueError
        If it is nested too deeply.

    Examples
    --------
    >>> sane({'EchoTime': 1e999, 'Name': chr(0xD800), 'n': 10**400})
    {'EchoTime': None, 'Name': '�', 'n': None}
    """
    if depth > MAX_DEPTH:
        raise ValueError(f'nested deeper than {MAX_DEPTH} levels')
    if isinstance(content, Mapping):
        return {_whole(str(k)): sane(v, depth + 1) for k, v in content.items()}
    if isinstance(content, list):
        return [sane(item, depth + 1) for item in content]
    if isinstance(content, str):
        return _whole(content)
    if isinstance(content, bool) or content is None:
        return content
    # a number of 30 digits is read, and fails where it becomes a float64 or an int64
    if isinstance(content, int):
        return content if abs(content) < _LARGEST_INT else None
    return content if isinstance(content, float) and math.isfinite(content) else None


def _whole(text: str) -> str:
    """Replace halves of surrogate pairs, which no file can be written with."""
    return text.encode('utf-16', 'surrogatepass').decode('utf-16', 'replace')


def reads(
    what: str, remedy: str = 'copy or fetch it again', error: type[BidsAccError] = InputDataError
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Put `reading` around a function whose first argument is the file.

    Parameters
    ----------
    what, remedy, error
        As in `reading`.
    """

    def around(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            path = args[0] if args else next(iter(kwargs.values()))
            with reading(str(path), what, remedy, error):
                return function(*args, **kwargs)

        return guarded

    return around
