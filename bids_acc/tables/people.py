"""Read participants.tsv, sessions.tsv and tables in phenotype/ as people really write them.

Words for what is not known become missing, decimal commas numbers, and values outside the range
of their column missing; each kind is counted and said in a sentence.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from bids_acc.exceptions import InputDataError
from bids_acc.tables.columns import spelt_as_asked
from bids_acc.tables.missing import declared_missing, is_missing
from bids_acc.tables.ranges import (
    CODES,
    SEX_NAMES,
    SEXES,
    WORD_CODES,
    Range,
    is_code,
    plain_name,
    range_of,
)
from bids_acc.tables.reading import INVISIBLE, TRUTH, RawTable, number, read_raw, read_text, typed
from bids_acc.tables.written import (
    READABLE,
    as_number,
    bare,
    commas_may_part,
    kind_of,
    units_of,
    with_groups,
)

KEYS = ('participant_id', 'session_id')
_LIKE_KEYS: Mapping[str, tuple[str, ...]] = {
    'participant_id': ('participant', 'participantid', 'subject_id', 'subjectid', 'subject',
                       'sub', 'id', 'record_id', 'src_subject_id', 'subjectkey', 'subj_id',
                       'subjid', 'study_id', 'pid'),
    'session_id': ('session', 'sessionid', 'ses', 'visit', 'visit_id', 'timepoint', 'time_point',
                   'wave', 'eventname', 'redcap_event_name'),
}  # fmt: skip
"""Names under which a key stands by mistake; they are named in the message, not guessed."""


@dataclass(frozen=True)
class PeopleTable:
    """A table about people."""

    frame: pd.DataFrame
    """Keys as text, as they stand in the file; other columns typed, NaN where missing."""
    notes: tuple[str, ...]
    """Sentences about what was read otherwise than it stands there."""
    sidecar: Mapping[str, Any]
    """Content of the JSON file beside it."""
    like_sessions: str | None = None
    """Column of another name that may hold the visits, in a table without ``session_id``."""


@dataclass(frozen=True)
class _Cell:
    """A cell that was read otherwise than it stands there."""

    kind: str
    text: str
    who: str


def read_people_table(
    path: Path, wanted: Collection[str] | None = None, asked: Collection[str] = ()
) -> PeopleTable:
    """Read a table about people.

    Parameters
    ----------
    path : Path
        A tab-separated table; a JSON file of the same name describes its columns.
    wanted : collection of str, optional
        Only these columns, besides the keys.
    asked : collection of str
        Of these, columns that are found in other case too; it is said.

    Raises
    ------
    InputDataError
        If it cannot be read or has no column ``participant_id``.
    """
    # before anything is typed: keys are text, and the other columns' notes name people by them
    raw = _with_keys(path, _with_names_split(read_raw(path)), 'participant_id')
    notes = list(raw.notes)
    raw = _with_visits_split(_without_nobody(path, raw, 'participant_id', notes))
    like = like_sessions(raw.header)
    renamed, told = spelt_as_asked(raw.header, asked, path.name)
    raw = replace(raw, header=tuple(renamed.get(name, name) for name in raw.header))
    notes += told
    # a table of phenotypes may have thousands of columns, each with notes that nobody asked for
    if wanted is not None:
        raw = _columns_of(raw, {*KEYS, *wanted})
    sidecar = read_sidecar(path.with_suffix('.json'))
    return replace(_typed_table(raw, sidecar, path.name, notes), like_sessions=like)


def read_session_tables(output_dir: Path, subjects: Sequence[str]) -> PeopleTable | None:
    """Read the tables of visits of some people as one.

    Parameters
    ----------
    output_dir : Path
        Folder of the data set.
    subjects : sequence of str
        With prefix; who has no ``sub-<label>_sessions.tsv`` has no rows.

    Returns
    -------
    PeopleTable or None
        With ``participant_id`` and ``session_id``; None if nobody has a table.

    Raises
    ------
    InputDataError
        If a table cannot be read or has no column ``session_id``.
    """
    notes: list[str] = []
    sidecar: dict[str, Any] = read_sidecar(output_dir / 'sessions.json')
    header, records = ['participant_id'], []
    for subject in subjects:
        path = output_dir / subject / f'{subject}_sessions.tsv'
        if not path.is_file():
            continue
        raw = _without_nobody(path, _with_keys(path, read_raw(path), 'session_id'), 'session_id',
                              notes)  # fmt: skip
        sidecar = read_sidecar(path.with_suffix('.json')) | sidecar
        header += [name for name in raw.header if name not in header]
        for row in raw.rows:
            cells = dict(zip(raw.header, row, strict=True))
            records.append(cells | {'participant_id': subject})
    if not records:
        return None
    rows = tuple(tuple(record.get(name, 'n/a') for name in header) for record in records)
    joined = RawTable(tuple(header), rows, tuple(range(len(rows))))
    return _typed_table(joined, sidecar, 'sessions.tsv', notes)


BIDS_NAME = 'bids_name'
"""Column of MRIQC's group tables: a file name without its extension."""


def _with_names_split(raw: RawTable) -> RawTable:
    """Add participant, session and modality where a table has names of files in their place."""
    keys = {_key_name(name) for name in raw.header}
    if BIDS_NAME not in raw.header or 'participant_id' in keys:
        return raw
    where, rows = raw.header.index(BIDS_NAME), []
    added = [name for name in ('participant_id', 'session_id', 'modality') if name not in keys]
    for row in raw.rows:
        parts = row[where].strip(INVISIBLE).partition('.')[0].split('_')
        known = {
            'participant_id': next((p for p in parts if p.startswith('sub-')), ''),
            'session_id': next((p for p in parts if p.startswith('ses-')), 'n/a'),
            'modality': parts[-1],
        }
        rows.append((*(known[name] for name in added), *row))
    return RawTable((*added, *raw.header), tuple(rows), raw.lines, raw.notes)


_BOTH_KEYS = re.compile(r'(sub-[^_]+)_(ses-[^_]+)', re.IGNORECASE)


def _with_visits_split(raw: RawTable) -> RawTable:
    """Split ``sub-01_ses-pre`` into participant and session, where all rows are called so."""
    if 'participant_id' not in raw.header or 'session_id' in raw.header or not raw.rows:
        return raw
    where = raw.header.index('participant_id')
    found = [_BOTH_KEYS.fullmatch(row[where].strip(INVISIBLE)) for row in raw.rows]
    rows = [
        (*row[:where], match[1], match[2], *row[where + 1 :])
        for row, match in zip(raw.rows, found, strict=True) if match is not None
    ]  # fmt: skip
    # all or none: where some ids only look so, the label itself has an underscore
    if len(rows) < len(raw.rows):
        return raw
    header = (*raw.header[: where + 1], 'session_id', *raw.header[where + 1 :])
    return RawTable(header, tuple(rows), raw.lines, raw.notes)


def _with_keys(path: Path, raw: RawTable, wanted: str) -> RawTable:
    """Return the table with its keys named as BIDS names them."""
    header = tuple(_key_name(name) for name in raw.header)
    _check_keys(path, header, wanted)
    return RawTable(header, raw.rows, raw.lines, raw.notes)


def _columns_of(raw: RawTable, wanted: Collection[str]) -> RawTable:
    """Return some columns of a table."""
    kept = [i for i, name in enumerate(raw.header) if name in wanted]
    rows = tuple(tuple(row[i] for i in kept) for row in raw.rows)
    return RawTable(tuple(raw.header[i] for i in kept), rows, raw.lines, raw.notes)


def _typed_table(
    raw: RawTable, sidecar: Mapping[str, object], where: str, notes: list[str]
) -> PeopleTable:
    """Type each column of a table."""
    names = [[row[raw.header.index(key)].strip(INVISIBLE) for row in raw.rows] for key in KEYS
             if key in raw.header]  # fmt: skip
    who = [' '.join(parts) for parts in zip(*names, strict=True)]
    columns: dict[str, pd.Series] = {}
    for position, name in enumerate(raw.header):
        cells = [' '.join(row[position].strip(INVISIBLE).split()) for row in raw.rows]
        if name in KEYS:
            keys = [None if is_missing(cell) else cell for cell in cells]
            columns[name] = pd.Series(keys, dtype='str')
            continue
        columns[name], told = read_column(name, cells, who, described(sidecar, name), where)
        notes += told
    return PeopleTable(pd.DataFrame(columns), tuple(notes), sidecar)


def read_sidecar(path: Path) -> dict[str, Any]:
    """Read the JSON file of a table; without one nothing is declared.

    Parameters
    ----------
    path : Path
        Usually ``participants.json`` or one in ``phenotype/``.

    Returns
    -------
    dict
        Column to its description (``Description``, ``Units``, ``Levels``); empty without a file.

    Raises
    ------
    InputDataError
        If it is no JSON object.
    """
    if not path.is_file():
        return {}
    try:
        content = json.loads(read_text(path)[0])
    except json.JSONDecodeError as error:
        raise InputDataError(f'{path} is no valid JSON: {error}') from error
    if not isinstance(content, dict):
        raise InputDataError(f'{path} is no JSON object with one entry for each column.')
    return content


def _key_name(name: str) -> str:
    """Return the key that a column name spells in other case or with blanks."""
    plain = re.sub(r'[\s-]+', '_', name.strip().lower())
    return plain if plain in KEYS else name


def _check_keys(path: Path, header: Sequence[str], wanted: str) -> None:
    """Refuse a table that does not say whom its rows are about."""
    for name in KEYS:
        if list(header).count(name) > 1:
            raise InputDataError(f'{path}: column {name!r} stands twice in line 1; rename one.')
    if wanted in header:
        return
    # asked and not guessed: the column 'id' of many tables is that of another study
    close = [name for name in header if name.strip().lower() in _LIKE_KEYS[wanted]]
    hint = f'; rename {close[0]!r} if that is what it holds' if close else ''
    raise InputDataError(f'{path}: the column {wanted} is missing; BIDS requires it{hint}.')


def _without_nobody(path: Path, raw: RawTable, key: str, notes: list[str]) -> RawTable:
    """Leave out rows that do not say whom they are about, and say which."""
    position = raw.header.index(key)
    # tables that were put one below the other bring their headers with them, as a person named
    # 'participant_id'
    again = [_key_name(row[position]) == key for row in raw.rows]
    if any(again):
        raw = lines_of(raw, [not header for header in again])
        notes.append(
            f'{path.name}: {_many(sum(again), "row")} that repeat the names of the columns left '
            'out: were tables put one below the other?'
        )
    nobody = [is_missing(row[position]) for row in raw.rows]
    if not any(nobody):
        return raw
    lines = [str(line) for line, empty in zip(raw.lines, nobody, strict=True) if empty]
    more = f' and {len(lines) - 5} more' if len(lines) > 5 else ''
    notes.append(
        f'{path.name}: {_many(len(lines), "row")} without {key} left out (line '
        f'{", ".join(lines[:5])}{more}).'
    )
    return lines_of(raw, [not empty for empty in nobody])


def lines_of(raw: RawTable, wanted: Iterable[bool]) -> RawTable:
    """Return some rows of a table, with their line numbers.

    Parameters
    ----------
    raw : RawTable
        As read.
    wanted : iterable of bool
        One a row.
    """
    kept = [i for i, want in enumerate(wanted) if want]
    return RawTable(
        raw.header, tuple(raw.rows[i] for i in kept), tuple(raw.lines[i] for i in kept), raw.notes
    )


def visits_of(table: pd.DataFrame) -> pd.Series:
    """Return the session of each row, the empty text where there is none.

    Parameters
    ----------
    table : DataFrame
        With the column ``session_id``.
    """
    return table['session_id'].where(table['session_id'].notna(), '')


def like_sessions(columns: Iterable[str]) -> str | None:
    """Return the column that holds visits under another name than ``session_id``, or None.

    Parameters
    ----------
    columns : iterable of str
        Names of all columns.

    Examples
    --------
    >>> like_sessions(['participant_id', 'Visit', 'age']), like_sessions(['session_id', 'visit'])
    ('Visit', None)
    """
    names = list(columns)
    if 'session_id' in names:
        return None
    return next((n for n in names if plain_name(n) in _LIKE_KEYS['session_id']), None)


def described(sidecar: Mapping[str, Any], name: str) -> Any:
    """Return what the JSON file of a table says of a column; its name may differ in case.

    Parameters
    ----------
    sidecar : mapping
        Content of the file.
    name : str
        Of the column.

    Returns
    -------
    mapping or anything else
        The entry; None where there is none, or several differ in case.

    Examples
    --------
    >>> described({'Group': {'Levels': {}}}, 'group'), described({'sex': {}}, 'age')
    ({'Levels': {}}, None)
    """
    if name in sidecar:
        return sidecar[name]
    like = [key for key in sidecar if plain_name(key) == plain_name(name)]
    return sidecar[like[0]] if len(like) == 1 else None


def read_column(
    name: str, cells: Sequence[str], who: Sequence[str], description: object, where: str
) -> tuple[pd.Series, list[str]]:
    """Type one column and tell what was read otherwise than it stands there.

    Parameters
    ----------
    name : str
        Of the column.
    cells : sequence of str
        Without blanks around them.
    who : sequence of str
        Whom each cell is about, for messages.
    description : mapping or None
        The column's entry in the sidecar.
    where : str
        The table, for messages.

    Returns
    -------
    values : Series
    notes : list of str

    Examples
    --------
    >>> values, notes = read_column('age', ['30', 'NA', '-9'], ['a', 'b', 'c'], None, 'p.tsv')
    >>> values.tolist()
    [30.0, nan, nan]
    >>> notes
    ['p.tsv, age: read as missing: NA (1).', 'p.tsv, age: not possible and left out: -9 (c); it \
lies within 0 to 120 (years).']
    """
    told: list[_Cell] = []
    missing, levels = declared_missing(description)
    known: list[str | None] = []
    if _are_signs(cells):
        levels |= {cell for cell in cells if _SIGNS.fullmatch(cell)}
    for cell, person in zip(cells, who, strict=True):
        empty = (cell in missing) or (is_missing(cell) and cell not in levels)
        if empty and cell.lower() not in ('', 'n/a'):
            told.append(_Cell('word', cell, person))
        known.append(None if empty else cell)
    if plain_name(name) in SEX_NAMES and not levels:
        known = _one_spelling(known, who, told)
    elif not levels:
        known = _one_answer(known, who, told)
    limits = range_of(name, description)
    if not levels.intersection(c for c in known if c is not None and number(c) is None):
        known = _numbers_as_written(known, who, told, limits)
    known = _without_codes_among_words(known, who, levels, told)
    values = typed(known)
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        values = _possible(name, values, who, description, levels, told)
    return values, _sentences(name, told, where, limits, len(cells))


_SIGNS = re.compile(r'[+*\u00b1-]{1,5}|\([+-]\)|0')
"""A rating in signs: ``-``, ``(+)``, ``++``; in such a column ``-`` and ``*`` are no missing."""


def _are_signs(cells: Sequence[str]) -> bool:
    """Tell whether a column holds ratings in signs."""
    held = {cell for cell in cells if not is_missing(cell)}
    return bool(held - {'0'}) and all(_SIGNS.fullmatch(cell) for cell in held)


def _numbers_as_written(
    cells: list[str | None], who: Sequence[str], told: list[_Cell], limits: Range | None
) -> list[str | None]:
    """Correct a column of numbers with decimal commas, capped ages or ``none`` among them.

    Words leave a column as it stands: who asks for its numbers is told of them. Dates are left
    out and named where limits say that the column holds numbers and most cells do.
    """
    marked, cells = cells, [None if cell is None else bare(cell) for cell in cells]
    present = [cell for cell in cells if cell is not None]
    kinds = with_groups({cell: kind_of(cell, limits) for cell in present})
    # most columns are numbers as they stand, and need no second look
    if set(kinds.values()) <= {'number'}:
        return cells
    n_numbers = sum(kinds[cell] in READABLE for cell in present)
    dates = 'date' in kinds.values()
    # one word makes a column one of words; 0.5 beside 50 % may be the same or a hundredth
    if not n_numbers or 'text' in kinds.values() or {'number', 'percent'} <= set(kinds.values()):
        return marked
    # a column of dates is one of dates; a few among ages or scores were made by a spreadsheet
    if dates and (limits is None or n_numbers < len(present) / 2):
        return marked
    if len(units := units_of(kinds)) > 1:
        told.append(_Cell('units', ', '.join(units), ''))
        return marked
    commas = [cell for cell in present if kinds[cell] == 'comma']
    if commas_may_part(commas):
        told.append(_Cell('either', commas[0], who[cells.index(commas[0])]))
        return marked
    corrected: list[str | None] = []
    for cell, person in zip(cells, who, strict=True):
        kind = 'number' if cell is None else kinds[cell]
        if kind != 'number' and cell is not None:
            told.append(_Cell(kind, cell, person))
            cell = as_number(cell, kind)  # noqa: PLW2901
        corrected.append(cell)
    return corrected


def _one_spelling(
    cells: list[str | None], who: Sequence[str], told: list[_Cell]
) -> list[str | None]:
    """Write each sex in one way, where a column has several; 0 and 9 are ISO 5218's unknown."""
    present = {cell for cell in cells if cell is not None}
    meant = {cell: SEXES.get(cell.casefold().rstrip('.'), '') for cell in present}
    # with 0 and 1 alone, 0 is a sex; beside 1 and 2 it is unknown
    if {'1', '2'} < present <= {'0', '1', '2', '9'}:
        codes = present - {'1', '2'}
        told += [_Cell('unknown', c, p) for c, p in zip(cells, who, strict=True) if c in codes]
        return [None if cell in codes else cell for cell in cells]
    if len(set(meant.values()) - {''}) == sum(bool(word) for word in meant.values()):
        return cells
    told += [_Cell('spelling', c, p) for c, p in zip(cells, who, strict=True)
             if c is not None and meant[c] not in ('', c)]  # fmt: skip
    return [cell if cell is None else meant[cell] or cell for cell in cells]


_ANSWERS: Mapping[str, str] = {
    **dict.fromkeys(('y', 'yes', 'ja', 'j', 'oui', 's\u00ed', 'si', 'sim', 'true'), 'yes'),
    **dict.fromkeys(('n', 'no', 'nein', 'non', 'nee', 'nej', 'n\u00e3o', 'false'), 'no'),
}


def _one_answer(
    cells: list[str | None], who: Sequence[str], told: list[_Cell]
) -> list[str | None]:
    """Write yes and no in one way, where a column of nothing else has several."""
    meant = {cell: _ANSWERS.get(cell.casefold()) for cell in cells if cell is not None}
    if None in meant.values() or len(meant) <= len(set(meant.values())):
        return cells
    if all(cell.casefold() in TRUTH for cell in meant):
        return cells  # read as truth values, in whatever case
    told += [_Cell('answer', c, p) for c, p in zip(cells, who, strict=True)
             if c is not None and meant[c] != c]  # fmt: skip
    return [None if cell is None else meant[cell] for cell in cells]


def _without_codes_among_words(
    cells: list[str | None], who: Sequence[str], levels: frozenset[str], told: list[_Cell]
) -> list[str | None]:
    """Leave out codes such as 9 and 999 where all others are words."""
    values = {cell: number(cell) for cell in cells if cell is not None}
    # what the sidecar declares as a level is one, however customary for missing
    codes = {c for c, v in values.items() if v in WORD_CODES and c not in levels}
    if not codes or any(v is not None for c, v in values.items() if c not in codes):
        return cells
    if codes == set(values):
        return cells
    told += [_Cell('code', cell, person) for cell, person in zip(cells, who, strict=True)
             if cell is not None and cell in codes]  # fmt: skip
    return [None if cell in codes else cell for cell in cells]


def _possible(
    name: str, values: pd.Series, who: Sequence[str], description: object, levels: frozenset[str],
    told: list[_Cell],
) -> pd.Series:  # fmt: skip
    """Leave out numbers outside the column's range, and customary codes for missing."""
    limits = range_of(name, description)
    known = values.dropna()
    codes = set()
    # one at a time: a column may have -9 for refused and -99 for not asked
    for value in sorted(CODES.intersection(known)):
        others = [float(v) for v in known[known != value]]
        if f'{value:g}' not in levels and is_code(float(value), others):
            codes.add(value)
    bad = values.isin(codes)
    if limits is not None:
        bad |= values.notna() & ~values.map(lambda v: limits.holds(float(v)))
    if limits is not None:
        # no duration and no dose is an answer
        asked = levels | {'0'} if math.isinf(limits.high) and limits.low == 0 else levels
        told += _far_out(values.mask(bad), who, asked)
    if not bad.any():
        return values
    for position in bad[bad].index:
        kind = 'code' if limits is None or values[position] in codes else 'range'
        kind = 'range' if limits is not None and not limits.holds(values[position]) else kind
        told.append(_Cell(kind, f'{values[position]:g}', who[position]))
    return values.astype(float).mask(bad)


_MAYBE_CODES = (0.0, -1.0, 66.0, 77.0, 88.0, 99.0)
"""Possible values that often mean missing."""


def _far_out(values: pd.Series, who: Sequence[str], levels: frozenset[str]) -> list[_Cell]:
    """Find values that may be codes: beyond Tukey's inner fences (1977)."""
    # quartiles without the suspects, which are often many enough to widen them
    others = values[values.notna() & ~values.isin(_MAYBE_CODES)].astype(float)
    low, high = others.quantile(0.25), others.quantile(0.75)
    beyond = (values < low - 1.5 * (high - low)) | (values > high + 1.5 * (high - low))
    return [
        _Cell('odd', f'{value:g}', person)
        for value, person, far in zip(values, who, beyond, strict=True)
        if far and value in _MAYBE_CODES and f'{value:g}' not in levels
    ]


def _many(count: int, word: str) -> str:
    """Count in words."""
    return f'{count} {word}' + ('' if count == 1 else 's')


_MANY_LEFT_OUT = 0.2
"""Share of a column's cells above which impossible ones are no typing errors (own convention)."""


def _other_unit(left_out: int, n_cells: int) -> str:
    """Ask whether a column has another unit, where many of its cells are not possible."""
    # many impossible values are one mistake of the whole column, and single ones are typing errors
    if left_out <= _MANY_LEFT_OUT * n_cells or left_out == 1:
        return ''
    if left_out <= n_cells / 2:
        return (
            '; did a site or a rater write another unit or scale? Write one unit in all rows, or '
            'declare Minimum and Maximum in the JSON file'
        )
    return (
        '; has it another unit or scale? Declare Units, or Minimum and Maximum, in its JSON file'
    )


def _sentences(
    name: str, told: Sequence[_Cell], where: str, limits: Range | None, n_cells: int
) -> list[str]:
    """Write one sentence for each kind of cell."""
    sentences = []
    for kind in ('word', 'code', 'range', 'odd', 'date', 'censored', 'comma', 'capped', 'unit',
                 'measured', 'part', 'grouped', 'percent', 'either', 'units', 'unknown',
                 'spelling', 'answer'):  # fmt: skip
        cells = [cell for cell in told if cell.kind == kind]
        if not cells:
            continue
        counts = Counter(cell.text for cell in cells)
        counted = ', '.join(f'{text} ({n})' for text, n in sorted(counts.items())[:5])
        named = ', '.join(f'{cell.text} ({cell.who})' for cell in cells[:5])
        more = f' and {len(cells) - 5} more' if len(cells) > 5 else ''
        total = _many(len(cells), 'cell')
        example = f'{cells[0].text} of {cells[0].who}'
        words = {
            'word': f'read as missing: {counted}.',
            'code': f'read as missing: {counted}, a customary code that no other value is near.',
            'range': f'not possible and left out: {named}{more}; it lies within {limits}'
            f'{_other_unit(len(cells), n_cells)}.',
            'odd': f'far from all others and often written for missing: {named}{more}, kept; '
            'write n/a if that is meant, or list it under MissingValues in the JSON file.',
            'date': f'dates left out: {named}{more}; a spreadsheet may have made them of numbers: '
            'write the numbers.',
            'censored': f'only a bound is known and left out: {named}{more}; who reaches the end '
            'of a scale is then in no comparison of it, so its means are biased.',
            'unknown': f'read as missing: {counted}, unknown by ISO/IEC 5218.',
            'spelling': f'written in several ways ({counted}): read as M and F.',
            'unit': f'{total} with a unit ({example}), read as the number.',
            'answer': f'yes and no are written in several ways ({counted}): read as yes and no.',
            'measured': f'{total} with a unit ({example}), read as the number.',
            'units': f'written in several units ({cells[0].text}): the column is not read as '
            'numbers; write one unit in all cells, best without its name, and Units in the JSON '
            'file.',
            'comma': f'{total} with a decimal comma ({example}), read with a point.',
            'capped': f'{total} capped ({example}), read as the number.',
            'part': f'{total} in months, weeks or days ({example}), read in years.',
            'grouped': f'{total} with parted thousands ({example}), read as the number.',
            'percent': f'{total} with a per cent sign ({example}), read without.',
            'either': f'{example}, where the comma may be a decimal comma or part thousands: the '
            'column is not read as numbers; write them with a point and without a separator of '
            'thousands.',
        }
        sentences.append(f'{where}, {name}: {words[kind]}')
    return sentences
