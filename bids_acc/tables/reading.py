"""Read a tab-separated table without moving, dropping or inventing a cell."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bids_acc.exceptions import InputDataError, MissingInputError
from bids_acc.files.reading import (
    LARGEST_TABLE,
    absent,
    check_regular,
    marked_encoding,
    read_whole,
    short,
)
from bids_acc.typing import FloatArray

Values = np.ndarray[Any, Any] | pd.api.extensions.ExtensionArray
"""Values of a column."""

INVISIBLE = (
    ' \t\r\n\v\f\u00a0\u200b\u200c\u200d\u2060\ufeff'
    '\u2002\u2003\u2007\u2009\u200e\u200f\u202f\u3000'
)
"""Blanks that spreadsheets leave around a cell: no-break and zero-width ones included."""
_NOT_TEXT = (b'PK\x03\x04', b'\xd0\xcf\x11\xe0', b'\x1f\x8b')
"""How xlsx, xls and gzip files begin."""


@dataclass(frozen=True)
class RawTable:
    """Cells of a table as text."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    """Each as long as the header."""
    lines: tuple[int, ...]
    """Line of the file that each row stands in, from 1."""
    notes: tuple[str, ...] = ()
    """What was unusual and could be read nevertheless."""


def read_text(path: Path) -> tuple[str, str | None]:
    """Return the text of a file, and a sentence if it was not written as BIDS asks (UTF-8).

    Parameters
    ----------
    path : Path
        Table or JSON file. UTF-8 and UTF-16 are told by their first bytes; else Windows-1252 is
        assumed where UTF-8 fails.

    Returns
    -------
    text : str
        Without a byte order mark.
    note : str or None
        None where all is as BIDS asks.

    Raises
    ------
    MissingInputError
        If there is no such file.
    InputDataError
        If it is no text, such as a spreadsheet that was renamed.
    """
    try:
        check_regular(path)
        content = read_whole(path, LARGEST_TABLE)
    except FileNotFoundError as error:
        sentence = absent(path) if path.is_symlink() else f'{path}: there is no such table.'
        raise MissingInputError(sentence) from error
    except OSError as error:
        raise InputDataError(f'{path} cannot be read ({short(error)}).') from error
    if content.startswith(_NOT_TEXT):
        raise InputDataError(
            f'{path} is a spreadsheet or an archive, not text; save it as tab-separated text.'
        )
    if encoding := marked_encoding(content):
        plain = encoding.startswith('utf-8')
        note = None if plain else f'is written in {encoding.upper()}; BIDS asks for UTF-8'
        return _decode(path, content, encoding), note
    # Excel's "Unicode text" without its mark decodes as UTF-8 without an error, a zero in every
    # other place
    if encoding := _unsigned(content):
        return _decode(path, content, encoding), 'is written in UTF-16; BIDS asks for UTF-8'
    try:
        return content.decode('utf-8'), None
    except UnicodeDecodeError:
        # not Latin-1: Excel's curly quotation marks and dashes are Windows' own
        return content.decode('cp1252', errors='replace'), (
            'is not written in UTF-8; it was read as Windows-1252'
        )


def _unsigned(content: bytes) -> str:
    """Return the encoding of unsigned UTF-16: every other byte of its ASCII is zero."""
    start = content[:64]
    if len(start) < 4 or len(start) % 2:
        return ''
    halves = {'utf-16-le': start[1::2], 'utf-16-be': start[::2]}
    others = {'utf-16-le': start[::2], 'utf-16-be': start[1::2]}
    return next((name for name, half in halves.items()
                 if not any(half) and all(others[name])), '')  # fmt: skip


def _decode(path: Path, content: bytes, encoding: str) -> str:
    """Decode a file that says how it is written."""
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise InputDataError(f'{path} is no tab-separated table: {error}.') from error


def _cells(line: str) -> list[str]:
    """Split a line at its tabs and take the quotation marks off that a spreadsheet put on."""
    # not the csv module: a quotation mark at the beginning of a remark would swallow lines to the
    # next one
    cells = line.split('\t')
    if '"' not in line:
        return cells
    return [
        cell[1:-1].replace('""', '"') if len(cell) > 1 and cell[0] == cell[-1] == '"' else cell
        for cell in cells
    ]


def read_raw(path: Path) -> RawTable:
    """Read the cells of a table; each row must have as many as the header.

    Empty lines are left out, and so are empty cells beyond the header, which a tab at the end of
    a row makes.

    Parameters
    ----------
    path : Path
        Tab-separated text with one line of column names.

    Raises
    ------
    InputDataError
        If a row has more or fewer cells than the header (the line is named), a column name stands
        twice, or the separator is no tab.
    """
    text, note = read_text(path)
    text = unicodedata.normalize('NFC', text)  # macOS may write an accent as a letter of its own
    notes = [] if note is None else [f'{path.name} {note}.']
    lines = text.replace('\r\n', '\n').replace('\r', '\n').split('\n')
    numbered = [
        (number, _cells(line))
        for number, line in enumerate(lines, start=1)
        if line.strip(INVISIBLE)
    ]
    if not numbered:
        raise InputDataError(f'{path} is no tab-separated table: it is empty.')
    header = [cell.strip(INVISIBLE) for cell in numbered[0][1]]
    # empty columns behind the last one are what a spreadsheet exports of formatted cells
    used = max((_last_cell(cells) for _, cells in numbered[1:]), default=0)
    while len(header) > max(1, used) and not header[-1]:
        header.pop()
    _check_header(path, header)
    for _, cells in numbered[1:]:
        while len(cells) > len(header) and not cells[-1].strip(INVISIBLE):
            cells.pop()
    _check_lengths(path, header, numbered)
    kept = [(n, cells) for n, cells in numbered[1:] if any(c.strip(INVISIBLE) for c in cells)]
    return RawTable(
        tuple(header), tuple(tuple(cells) for _, cells in kept), tuple(n for n, _ in kept),
        tuple(notes),
    )  # fmt: skip


def _last_cell(cells: Sequence[str]) -> int:
    """Return how many cells of a row there are up to the last that holds something."""
    return max((i for i, cell in enumerate(cells, start=1) if cell.strip(INVISIBLE)), default=0)


def _check_header(path: Path, header: Sequence[str]) -> None:
    """Refuse a header with another separator, without a name or with one twice."""
    for mark, name in ((';', 'semicolons'), (',', 'commas'), ('|', 'bars'), (' ', 'blanks')):
        if len(header) == 1 and mark in header[0] and (mark != ' ' or '_id' in header[0]):
            raise InputDataError(
                f'{path} is separated by {name}; BIDS tables are separated by tabs: save it as '
                'tab-separated text.'
            )
    if '' in header:
        raise InputDataError(
            f'{path}: column {list(header).index("") + 1} has no name; name it in line 1.'
        )
    if twice := [name for name, number in Counter(header).items() if number > 1]:
        raise InputDataError(f'{path}: column {twice[0]!r} stands twice in line 1; rename one.')


def _check_lengths(
    path: Path, header: Sequence[str], numbered: Sequence[tuple[int, Sequence[str]]]
) -> None:
    """Refuse rows that are longer or shorter than the header, naming their lines."""
    wrong = [(number, len(cells)) for number, cells in numbered[1:] if len(cells) != len(header)]
    if not wrong:
        return
    number, length = wrong[0]
    others = f', and so do {len(wrong) - 1} other lines' if len(wrong) > 1 else ''
    remedy = 'write n/a into empty cells, and no tab or line break inside one'
    if len(header) == 1:
        remedy = 'line 1 must hold the names of the columns: remove what stands above them'
    elif {n for _, n in wrong} == {len(header) + 1} and len(wrong) == len(numbered) - 1:
        remedy = 'a program wrote names or numbers of rows in front: write the table without them'
    raise InputDataError(
        f'{path}, line {number}: {length} cells where the header has {len(header)}{others}; '
        f'{remedy}.'
    )


IDS = frozenset({'participant_id', 'session_id'})
OURS = frozenset({'', 'n/a', 'N/A'})
"""How this package writes that a cell is missing."""
THEIRS = OURS | {'nan', 'NaN', 'NAN', 'NA'}
"""How other programs do."""


def read_tsv(
    path: Path, missing: Collection[str] = OURS, text: Collection[str] = IDS
) -> pd.DataFrame:
    r"""Read a table that a program wrote; ``n/a`` and empty cells are missing.

    Parameters
    ----------
    path : Path
        Tab-separated text; blanks around a cell are no part of it.
    missing : collection of str
        Cells that are missing: `OURS`, or `THEIRS` for tables of other programs.
    text : collection of str
        Columns that are text whatever they hold: labels may look like numbers.

    Returns
    -------
    DataFrame
        Numbers and truth values where a column holds nothing else.

    Raises
    ------
    InputDataError
        If it cannot be read, see `read_raw`.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / 'a.tsv'
    >>> _ = file.write_text('session_id\tage\n01\t30\n02\tn/a\n')
    >>> read_tsv(file).values.tolist()
    [['01', 30.0], ['02', nan]]
    """
    raw = read_raw(path)
    columns = list(zip(*raw.rows, strict=True)) or [()] * len(raw.header)
    words = frozenset(missing)
    # numbers keep their value with blanks around them, so that most columns need no second look
    as_they_are = all(number(word) is None for word in words)
    return pd.DataFrame(
        {
            name: _column(cells, words, is_text=name in text, as_they_are=as_they_are)
            for name, cells in zip(raw.header, columns, strict=True)
        }
    )


def _column(
    cells: Sequence[str], missing: frozenset[str], *, is_text: bool, as_they_are: bool
) -> Values:
    """Type one column; its cells may have blanks around them."""
    if as_they_are and not is_text:
        numbers = _numbers(cells)
        if numbers is not None:
            return _whole(cells, numbers)
    bare = [cell.strip(INVISIBLE) for cell in cells]
    known = [None if cell in missing else cell for cell in bare]
    return pd.Series(known, dtype='str').array if is_text else _typed_values(known)


TRUTH = {'true': True, 'false': False, 'wahr': True, 'falsch': False, 'vrai': True, 'faux': False}
"""Truth values as programs write them; a German or French spreadsheet translates them."""
_DECIMAL_COMMA = re.compile(r'[+-]?\d*,\d+([eE][+-]?\d+)?')
_MAY_PART_THOUSANDS = re.compile(r'[+-]?[1-9]\d{0,2},\d{3}')


def with_points(cells: Sequence[str | None]) -> list[str | None]:
    """Return a column of numbers with decimal points, where all other numbers have commas.

    A column stays as it is where a cell is neither, where some have points, or where all commas
    could part thousands.

    Parameters
    ----------
    cells : sequence of str or None
        Text of one column; None is missing.

    Returns
    -------
    list of (str or None)
        As long as ``cells``.

    Examples
    --------
    >>> with_points(['1,25', '2', None, '3,1E-05'])
    ['1.25', '2', None, '3.1E-05']
    >>> with_points(['1,250', '2']), with_points(['a,1'])
    (['1,250', '2'], ['a,1'])
    """
    odd = [cell for cell in cells if cell is not None and number(cell) is None]
    if not odd or not all(_DECIMAL_COMMA.fullmatch(cell) for cell in odd):
        return list(cells)
    mixed = any('.' in cell for cell in cells if cell is not None)
    # nothing is read twice: a point among commas, or groups of three digits, may be thousands
    if mixed or all(_MAY_PART_THOUSANDS.fullmatch(cell) for cell in odd):
        return list(cells)
    return [None if cell is None else cell.replace(',', '.') for cell in cells]


def typed(cells: Sequence[str | None]) -> pd.Series:
    """Return a column as truth values or numbers where all its cells are, and as text otherwise.

    Parameters
    ----------
    cells : sequence of str or None
        None is missing.

    Examples
    --------
    >>> typed(['1', '2']).dtype, typed(['1', None]).dtype, typed(['true']).dtype
    (dtype('int64'), dtype('float64'), dtype('bool'))
    >>> typed(['1_000', '2']).tolist()
    ['1_000', '2']
    """
    return pd.Series(_typed_values(cells))


def _typed_values(cells: Sequence[str | None]) -> Values:
    """Return the values of `typed`: a table of many columns is slow to put together of series."""
    known = [cell for cell in cells if cell is not None]
    if not known:
        return np.full(len(cells), np.nan)
    if all(cell.lower() in TRUTH for cell in known):
        values = [None if cell is None else TRUTH[cell.lower()] for cell in cells]
        return np.array(values, dtype='bool' if len(known) == len(cells) else 'object')
    numbers = _numbers(known)
    if numbers is None:
        result: Values = pd.Series(list(cells), dtype='str').array
        return result
    if len(known) == len(cells):
        return _whole(known, numbers)
    found = np.full(len(cells), np.nan)
    found[[cell is not None for cell in cells]] = numbers
    return found


def _whole(cells: Sequence[str], numbers: FloatArray) -> Values:
    """Return numbers as integers where all are written as such, blanks around them or not."""
    if (
        all(cell.strip().lstrip('+-').isdigit() for cell in cells)
        and np.abs(numbers).max() < 2**62
    ):
        return np.array([int(cell) for cell in cells], dtype='int64')
    return numbers


def _numbers(cells: Sequence[str]) -> FloatArray | None:
    """Return the numbers that cells hold, or None where one of them is none (`number`)."""
    if not cells:
        return None
    try:
        values = np.array(list(map(float, cells)))
    except ValueError:
        return None
    return None if '_' in ''.join(cells) or np.isnan(values).any() else values


def number(text: str) -> float | None:
    """Return the number that a cell of a table holds, or None.

    Python's digit groups (``1_000``) and its words for what is no number are none; ``inf`` is one.

    Parameters
    ----------
    text : str
        Of the cell, with a decimal point.
    """
    # Python reads 1_000 as a thousand, and 'nan' as a number
    if '_' in text or text.strip().lower().lstrip('+-') == 'nan':
        return None
    try:
        return float(text)
    except ValueError:
        return None
