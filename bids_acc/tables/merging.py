"""One table out of those of several data sets, row by row, with nothing overwritten."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bids_acc.exceptions import InputDataError
from bids_acc.tables.labels import with_prefix
from bids_acc.tables.missing import is_missing
from bids_acc.tables.reading import INVISIBLE, RawTable, number

DATASET_COLUMNS = ('dataset', 'source_dataset')
"""Names of the column that tells the data set of each row; the first that is free is taken."""
_PREFIXES = {'participant_id': 'sub-', 'session_id': 'ses-'}


def merge_tables(
    tables: Sequence[tuple[str, RawTable]], where: str, *, tell_dataset: bool = False
) -> RawTable:
    """Merge tables of people by participant (and session, where all have it).

    Parameters
    ----------
    tables : sequence of (str, RawTable)
        Name of the data set and its table.
    where : str
        Name of the table, for messages.
    tell_dataset : bool
        Add a column that names the data set of each row.

    Returns
    -------
    RawTable
        All columns and all rows; rows of one person in two data sets are one row. Of a table in
        which a person has several rows all are kept.

    Raises
    ------
    InputDataError
        If two data sets say different things of one person; person, column and both values are
        named.

    Examples
    --------
    >>> a = RawTable(('participant_id', 'age'), (('01', '30'),), (2,))
    >>> b = RawTable(('participant_id', 'sex'), (('sub-02', 'F'),), (2,))
    >>> merge_tables([('A', a), ('B', b)], 'participants.tsv', tell_dataset=True).rows
    (('sub-01', '30', 'n/a', 'A'), ('sub-02', 'n/a', 'F', 'B'))
    """
    header = list(dict.fromkeys(name for _, table in tables for name in table.header))
    own = next((name for name in DATASET_COLUMNS if name not in header), '') * tell_dataset
    keys = [k for k in _PREFIXES if all(k in table.header for _, table in tables)]
    rows: dict[tuple[str, ...], dict[str, tuple[str, str]]] = {}
    for dataset, table in tables:
        seen: dict[tuple[str, ...], int] = {}
        for cells in table.rows:
            record = _record(table.header, cells)
            key = tuple(record[name] for name in keys)
            seen[key] = seen.get(key, 0) + 1
            # not dropped and not joined: which of the rows counts is asked where the table is
            # read
            if seen[key] > 1:  # several rows of one person: their order tells them apart
                key = (*key, str(seen[key]))
            _add(rows.setdefault(key, {}), record, dataset, ' '.join(key), where, own)
    names = [*header, own] if own else header
    merged = tuple(tuple(row.get(name, ('n/a', ''))[0] for name in names) for row in rows.values())
    return RawTable(tuple(names), merged, tuple(range(2, len(merged) + 2)))


def _record(header: Sequence[str], cells: Sequence[str]) -> dict[str, str]:
    """Return the cells of a row by column, keys with their prefix."""
    record = {
        name: cell.strip(INVISIBLE) or 'n/a' for name, cell in zip(header, cells, strict=True)
    }
    for name, prefix in _PREFIXES.items():
        if name in record and not is_missing(record[name]):
            record[name] = with_prefix(record[name], prefix)
    return record


def _add(
    row: dict[str, tuple[str, str]], record: Mapping[str, str], dataset: str, who: str,
    where: str, own: str,
) -> None:  # fmt: skip
    """Add what one data set says of a person."""
    for name, cell in record.items():
        former, source = row.get(name, ('n/a', ''))
        # what one data set leaves open, another may know
        if is_missing(former):
            row[name] = (cell, dataset)
        elif not is_missing(cell) and not _same(former, cell):
            raise InputDataError(
                f'{where}: {who} has {name} {former} in {source} and {cell} in {dataset}; correct '
                'one, or give different people different labels or output folders.'
            )
    if own:
        former = row.get(own, ('', ''))[0]
        known = former.split(', ') if former else []
        row[own] = (', '.join(dict.fromkeys([*known, dataset])), dataset)


def _same(a: str, b: str) -> bool:
    """Tell whether two cells say the same: 30 and 30.0 do."""
    if a == b:
        return True
    numbers = number(a), number(b)
    return None not in numbers and numbers[0] == numbers[1]


def merge_sidecars(
    sidecars: Sequence[tuple[str, Mapping[str, object]]], where: str
) -> dict[str, object]:
    """Merge descriptions of columns; the first data set's words are kept.

    Parameters
    ----------
    sidecars : sequence of tuple of (str, mapping)
        Name of each data set and its JSON, in the order in which they were given.
    where : str
        File name, for the message.

    Returns
    -------
    dict
        Column to description. ``Levels`` holds the codes of all data sets.

    Raises
    ------
    InputDataError
        If a code means different things in two data sets.
    """
    merged: dict[str, Any] = {}
    for dataset, content in sidecars:
        for name, entry in content.items():
            if not isinstance(entry, Mapping) or not isinstance(merged.get(name, {}), Mapping):
                merged.setdefault(name, entry)
                continue
            former = merged.setdefault(name, {})
            levels = _levels(former, entry, dataset, f'{where}, {name}')
            merged[name] = {**entry, **former, **({'Levels': levels} if levels else {})}
    return merged


def _levels(
    former: Mapping[str, object], entry: Mapping[str, object], dataset: str, where: str
) -> dict[str, object]:
    """Merge the levels of one column."""
    first, second = former.get('Levels'), entry.get('Levels')
    levels = dict(first) if isinstance(first, Mapping) else {}
    for code, words in second.items() if isinstance(second, Mapping) else ():
        told = levels.setdefault(code, words)
        if str(told).strip().casefold() != str(words).strip().casefold():
            raise InputDataError(
                f'{where}: {code} means {told} in another data set and {words} in {dataset}; '
                'give both the same codes.'
            )
    return levels


def table_text(table: RawTable) -> str:
    """Write a table as tab-separated text.

    Parameters
    ----------
    table : RawTable
        Cells are written as they were read, without quotes; they hold no tabs.

    Returns
    -------
    str
        Header first, lines ended by line feeds.
    """
    lines = ['\t'.join(row) for row in (table.header, *table.rows)]
    return '\n'.join([*lines, ''])
