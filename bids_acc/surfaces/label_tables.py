"""Tables that name the labels of an atlas, in the layouts of the programs that write them.

BIDS has tab-separated columns ``index`` and ``name``; FreeSurfer and many others a look-up table
of code, name and colour without a header, parted by blanks; ITK-SNAP a quoted name behind colours.
"""

from __future__ import annotations

import csv
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO

CODE_COLUMNS = ('index', 'labelid', 'roiid', 'regionid', 'id', 'code', 'value', 'number', 'no',
                'idx', 'key', 'label', 'roi')  # fmt: skip
"""Names of the column of codes, the first wanted most; without case, blanks and signs."""
NAME_COLUMNS = ('name', 'labelname', 'regionname', 'roiname', 'fullname', 'label', 'region', 'roi',
                'structure', 'area', 'description', 'abbreviation')  # fmt: skip
"""Names of the column of names."""
SIDE_COLUMNS = ('hemisphere', 'hemi', 'side')
NO_NAMES = frozenset({'', 'n/a', 'na', 'nan', 'none'})
NO_CODE = -1
"""Code of rows of a table that has none, as of maps of probability: the order counts."""
_WHOLE = re.compile(r'[+-]?\d+(\.0*)?$')


@dataclass(frozen=True)
class NamedLabel:
    """One row of a table of labels."""

    code: int
    name: str
    side: str
    """As written; empty without a column of sides."""


def parse_labels(text: str) -> list[NamedLabel]:
    r"""Read a table of labels in any of the known layouts.

    Parameters
    ----------
    text : str
        The whole table. Lines that begin with ``#`` or ``//`` are comments.

    Returns
    -------
    list of NamedLabel
        In the order of the rows.

    Raises
    ------
    ValueError
        With what is wrong and in which row, to follow the file's name.

    Examples
    --------
    >>> [label] = parse_labels('index,name\n1,left amygdala\n')
    >>> label.code, label.name
    (1, 'left amygdala')
    >>> parse_labels('17  Left-Hippocampus  220 216 20 0\n')[0].name
    'Left-Hippocampus'
    >>> parse_labels('2 255 0 0 1 1 1 "Right fornix"\n')[0].name
    'Right fornix'
    """
    lines = [line for line in text.splitlines() if line.strip() and not _is_comment(line)]
    if not lines:
        raise ValueError('holds no labels')
    rows = _cells(lines)
    first = rows[0]
    if any(_WHOLE.match(cell) for cell in first):
        return _without_header(rows)
    header = [re.sub(r'[^a-z]', '', cell.lower()) for cell in first]
    return _with_header(header, rows[1:])


def _is_comment(line: str) -> bool:
    """Tell whether a line is a comment."""
    return line.lstrip().startswith(('#', '//'))


def _cells(lines: Sequence[str]) -> list[list[str]]:
    """Part the cells of all lines at the sign that parts the first line."""
    for sign in '\t;,':
        if sign in lines[0]:
            table = csv.reader(StringIO('\n'.join(lines)), delimiter=sign)
            try:
                return [[cell.strip() for cell in row] for row in table]
            except csv.Error as error:
                raise ValueError(f'is no table ({error})') from error
    return [_by_blanks(line) for line in lines]


def _by_blanks(line: str) -> list[str]:
    """Part a line at blanks that are not within quotes."""
    try:
        return shlex.split(line)
    except ValueError:  # an apostrophe in a name
        return line.split()


def _without_header(rows: Sequence[Sequence[str]]) -> list[NamedLabel]:
    """Read rows of a code and a name, with or without colours."""
    found = []
    for number, row in enumerate(rows, start=1):
        codes = [place for place, cell in enumerate(row) if _WHOLE.match(cell)]
        words = [cell for cell in row if not re.fullmatch(r'[+-]?[\d.]+', cell)]
        if not codes or not words:
            raise ValueError(f'has no code and name in row {number} ({" ".join(row)[:40]!r})')
        found.append(_label(row[codes[0]], ' '.join(words), '', number))
    return found


def _with_header(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[NamedLabel]:
    """Read rows below a header."""
    for number, row in enumerate(rows, start=1):
        if len(row) > len(header):
            raise ValueError(
                f'has {len(row)} cells in row {number} and {len(header)} columns; separate by tabs'
            )
    full = [[*row, *[''] * (len(header) - len(row))] for row in rows]
    code = next((header.index(name) for name in CODE_COLUMNS if name in header
                 and _are_codes([row[header.index(name)] for row in full])), None)  # fmt: skip
    name = next((header.index(n) for n in NAME_COLUMNS if n in header
                 and header.index(n) != code), None)  # fmt: skip
    side = next((header.index(n) for n in SIDE_COLUMNS if n in header), None)
    if name is None:
        raise ValueError('needs the columns index and name')
    if code is None and any(column in header for column in CODE_COLUMNS[:1]):
        column = header.index('index')
        first = next(n for n, cells in enumerate(full) if not _WHOLE.match(cells[column]))
        raise ValueError(
            f'has {full[first][column][:40]!r} for a code in row {first + 1}; write a number'
        )
    sides = [row[side] if side is not None else '' for row in full]
    codes = [row[code] if code is not None else str(NO_CODE) for row in full]
    return [
        _label(codes[n], row[name], sides[n], n + 1) for n, row in enumerate(full)
    ]  # fmt: skip


def _are_codes(cells: Sequence[str]) -> bool:
    """Tell whether all cells are whole numbers."""
    return bool(cells) and all(_WHOLE.match(cell) for cell in cells)


def _label(code: str, name: str, side: str, number: int) -> NamedLabel:
    """Return a row that has been read."""
    return NamedLabel(int(code.partition('.')[0]), _named(name, number), side.strip())


def _named(name: str, number: int) -> str:
    """Return a name; a row without one is refused."""
    if name.strip().lower() in NO_NAMES:
        raise ValueError(f'has no name in row {number}; every label needs one')
    return name.strip()
