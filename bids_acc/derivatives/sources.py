"""The data sets that an output folder is made from, each with a copy of its tables of people.

The tables at the top of the folder are those of all data sets together. They are made anew from
the copies whenever one data set is processed (again), so that a corrected table counts, and none
of another data set is lost.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bids_acc.derivatives.links import RAW
from bids_acc.exceptions import InputDataError
from bids_acc.files.reading import LARGEST_TABLE, read_whole
from bids_acc.files.writing import json_bytes, write_once
from bids_acc.tables.labels import with_prefix
from bids_acc.tables.merging import merge_sidecars, merge_tables, table_text
from bids_acc.tables.people import read_sidecar
from bids_acc.tables.reading import read_raw

SOURCES = Path('code') / 'sources'
RECORD = 'source.json'
LINK = 'Link'
"""Field of the record with the data set's name in BIDS URIs. It is given once and kept: sidecars
that were written before must not come to mean another data set."""


@dataclass(frozen=True)
class Source:
    """A data set that an output folder is made from."""

    name: str
    """For people; unique in the folder."""
    folder: Path
    """Where the copies of its tables lie."""
    record: Mapping[str, Any]
    """``URL`` and, where known, ``DOI``."""


def with_source(
    bids_dir: Path, output_dir: Path, description: Mapping[str, object]
) -> tuple[list[Source], Source]:
    """Return the data sets of an output folder with one that is about to be processed.

    Parameters
    ----------
    bids_dir : Path
        The data set; its tables are read where they lie.
    output_dir : Path
        Root of the derivative data set.
    description : mapping
        The data set's dataset_description.json.

    Returns
    -------
    sources : list of Source
        All data sets, this one read from ``bids_dir``.
    mine : Source
        This one, with the folder that gets its copies.
    """
    real = bids_dir.resolve()  # the same data set, by whichever link it is named
    record = {'Name': str(description.get('Name') or real.name), 'Folder': real.name,
              'URL': f'file://{real}'}  # fmt: skip
    if doi := description.get('DatasetDOI'):
        record['DOI'] = str(doi)
    folder = _folder_of(record, bids_dir, output_dir)
    before = {s.folder: s.record for s in sources_of(output_dir)}
    record[LINK] = _link(before, folder)
    known: dict[Path, Mapping[str, str]] = {**before, folder: record}
    folders, records = _in_order(known)
    sources = [
        Source(name, bids_dir if f == folder else f, r)
        for name, f, r in zip(names_of(records), folders, records, strict=True)
    ]
    return sources, Source(names_of(records)[folders.index(folder)], folder, record)


def _link(before: Mapping[Path, Mapping[str, str]], folder: Path) -> str:
    """Return the name that a data set has in URIs, or the next one that is free."""
    if LINK in before.get(folder, {}):
        return before[folder][LINK]
    taken = {record.get(LINK) for record in before.values()}
    names = [RAW, *(f'{RAW}{number}' for number in range(2, len(taken) + 3))]
    return next(name for name in names if name not in taken)


def keep_source(bids_dir: Path, source: Source) -> None:
    """Keep copies of a data set's tables of people.

    Parameters
    ----------
    bids_dir : Path
        The data set.
    source : Source
        From `with_source`.
    """
    write_once(source.folder / RECORD, json_bytes(source.record))
    for table in tables_of(bids_dir):
        write_once(source.folder / table, read_whole(bids_dir / table, LARGEST_TABLE))


def adopt_earlier(output_dir: Path, bids_dir: Path) -> None:
    """Keep the tables of a folder that was made without copies, if they are of other people.

    Parameters
    ----------
    output_dir : Path
        Root of the derivative data set.
    bids_dir : Path
        The data set that is about to be processed.
    """
    theirs, mine = _people_in(output_dir), _people_in(bids_dir)
    if (output_dir / SOURCES).exists() or not theirs or theirs & mine:
        return
    listed = read_sidecar(output_dir / 'dataset_description.json').get('SourceDatasets') or [{}]
    url = str(listed[0].get('URL', 'file:///unknown'))
    name = url.rstrip('/').rpartition('/')[2]
    record = {'Name': name, 'Folder': name, 'URL': url, LINK: RAW}
    source = Source(name, output_dir / SOURCES / 'earlier', record)
    keep_source(output_dir, source)


def tables_of(folder: Path) -> list[Path]:
    """Return the tables of people of a data set and their descriptions, below its folder.

    Parameters
    ----------
    folder : Path
        Root of a data set.

    Returns
    -------
    list of Path
        Those that exist: ``participants.*``, ``sessions.json`` and ``phenotype/*``.
    """
    names = ('participants.tsv', 'participants.json', 'sessions.tsv', 'sessions.json')
    top = [Path(name) for name in names]
    phenotype = sorted((folder / 'phenotype').glob('*.[tj]s*'))
    return [path for path in (*top, *(p.relative_to(folder) for p in phenotype))
            if (folder / path).is_file()]  # fmt: skip


def _folder_of(record: Mapping[str, str], bids_dir: Path, output_dir: Path) -> Path:
    """Return the folder of a data set's copies.

    In a container every data set may lie under the same path: one that shares nobody with the
    copies under that name is another one.
    """
    identity = '\n'.join(record.get(k, '') for k in ('Name', 'URL', 'DOI'))
    digest = hashlib.sha256(identity.encode()).hexdigest()[:8]
    plain = re.sub(r'[^A-Za-z0-9]+', '', record['Name']) or 'dataset'
    base = output_dir / SOURCES / f'{plain[:32]}-{digest}'
    mine, number, folder = _people_in(bids_dir), 1, base
    while (theirs := _people_in(folder)) and mine and not mine & theirs:
        number += 1
        folder = base.with_name(f'{base.name}-{number}')
    return folder


def _people_in(folder: Path) -> set[str]:
    """Return the participants that a table names; none where it cannot be read."""
    path = folder / 'participants.tsv'
    if not path.is_file():
        return set()
    try:
        raw = read_raw(path)
    except InputDataError:  # the group level says what is wrong with it
        return set()
    if 'participant_id' not in raw.header:
        return set()
    at = raw.header.index('participant_id')
    return {with_prefix(row[at], 'sub-') for row in raw.rows}


def _record_of(folder: Path) -> dict[str, str]:
    """Read what is known of a data set whose copies lie in a folder."""
    return dict(json.loads((folder / RECORD).read_text('utf-8')))


def _in_order(
    known: Mapping[Path, Mapping[str, str]],
) -> tuple[list[Path], list[Mapping[str, str]]]:
    """Order data sets by what a reader sees of them, not by their folders' digests."""
    ordered = sorted(known.items(), key=lambda item: (
        item[1]['Name'], item[1]['Folder'], item[1]['URL'], item[0].name))  # fmt: skip
    return [folder for folder, _ in ordered], [record for _, record in ordered]


def sources_of(output_dir: Path) -> list[Source]:
    """Return the data sets of an output folder, by their names, else their folders.

    Parameters
    ----------
    output_dir : Path
        Root of the derivative data set.
    """
    found = [path.parent for path in (output_dir / SOURCES).glob(f'*/{RECORD}')]
    folders, records = _in_order({folder: _record_of(folder) for folder in found})
    return [
        Source(name, folder, record)
        for name, folder, record in zip(names_of(records), folders, records, strict=True)
    ]


def names_of(records: Sequence[Mapping[str, str]]) -> list[str]:
    """Name each data set: by its name, else its folder, else with a number.

    Parameters
    ----------
    records : sequence of mapping
        With ``Name`` and ``Folder``.

    Examples
    --------
    >>> names_of([{'Name': 'x', 'Folder': 'a'}, {'Name': 'x', 'Folder': 'b'}])
    ['a', 'b']
    """
    for key in ('Name', 'Folder'):
        names = [record[key] for record in records]
        if len(set(names)) == len(names):
            return names
    return [f'{record["Folder"]} {i}' for i, record in enumerate(records, start=1)]


def merged_tables(sources: Sequence[Source]) -> dict[Path, bytes]:
    """Return the tables of all data sets together, by their path below the data set.

    Parameters
    ----------
    sources : sequence of Source
        One data set's tables stay as they are.

    Raises
    ------
    InputDataError
        If two data sets contradict each other, or a table of several cannot be read.
    """
    tables = sorted({table for source in sources for table in tables_of(source.folder)})
    merged = {}
    for table in tables:
        have = [source for source in sources if (source.folder / table).is_file()]
        if len(sources) == 1:
            merged[table] = read_whole(have[0].folder / table, LARGEST_TABLE)
        elif table.suffix == '.json':
            read = [(source.name, read_sidecar(source.folder / table)) for source in have]
            merged[table] = json_bytes(merge_sidecars(read, table.name))
        else:
            raws = [(source.name, read_raw(source.folder / table)) for source in have]
            tell = table.name == 'participants.tsv'
            text = table_text(merge_tables(raws, table.name, tell_dataset=tell))
            merged[table] = text.encode()
    return merged


def source_datasets(sources: Sequence[Source]) -> list[dict[str, object]]:
    """Return what dataset_description.json says of all data sets.

    Parameters
    ----------
    sources : sequence of Source
        In the order in which they are named.
    """
    return [{k: s.record[k] for k in ('URL', 'DOI') if k in s.record} for s in sources]


def links_of(sources: Sequence[Source]) -> dict[str, str]:
    """Return the names by which BIDS URIs call the raw data sets, with their addresses.

    Parameters
    ----------
    sources : sequence of Source
        Data sets that the group level reads; those that tell no name are left out.

    Returns
    -------
    dict of str to str
        Name to ``file://`` address, for ``DatasetLinks``.
    """
    return {
        s.record[LINK]: s.record['URL'].replace('file://', 'file:///', 1).replace('////', '///')
        for s in sources
        if LINK in s.record
    }
