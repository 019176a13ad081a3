"""The table of measures as files: wide and long, with a data dictionary, and read back.

Numbers are written with all their digits, so that who reads the table computes what the group
level computes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd

from bids_acc.derivatives.outputs import load_table
from bids_acc.exceptions import InputDataError, MissingInputError
from bids_acc.files.writing import write_bytes, write_json
from bids_acc.group.cohort.people import is_summary
from bids_acc.group.cohort.quality import KEYS
from bids_acc.group.cohort.reading import QC_TABLES
from bids_acc.group.measures.table import (
    FAILED,
    GATED,
    UNGATED,
    Meaning,
    Measures,
    long_form,
    meaning_of,
    metabolite_column,
)
from bids_acc.group.measures.ungated import check_ungated
from bids_acc.group.opnmf.features import PARTIAL_VOLUME
from bids_acc.group.parcels.measures import SUMMED_METRICS
from bids_acc.group.statistics.tables import table_text
from bids_acc.report.wording import metric_words
from bids_acc.tables.labels import match_labels, with_prefix
from bids_acc.tables.missing import is_missing
from bids_acc.tables.people import described, lines_of, read_column, read_sidecar
from bids_acc.tables.reading import INVISIBLE, RawTable, read_raw, typed, with_points

TABLE = 'measures.tsv'
LONG = 'measures_long.tsv'
HOLDS = 'Holds'
"""Entry of the data dictionary that a program reads."""
VOXEL_QUALITY: Mapping[str, Mapping[str, str]] = {
    'mrs_voxel_dice': {
        'Description': 'Dice coefficient of the voxel with the mean of the other voxels of the '
        'cohort, in the template', 'Units': '1',
    },
    'mrs_voxel_distance_mm': {
        'Description': "Distance of the voxel's centre from the cohort's median centre, in the "
        'template', 'Units': 'mm',
    },
}  # fmt: skip
"""What the group level adds to the quality of spectra."""
LONG_COLUMNS: Mapping[str, str] = {
    'participant_id': 'Participant',
    'session_id': 'Session; n/a without sessions',
    'measure': 'Column of measures.tsv',
    'kind': 'parcel, region, metabolite, voxel or quality',
    'metric': 'What is measured of a parcel or region, or of the place of a voxel',
    'component': 'Number of the parcel',
    'atlas': 'Atlas of a region',
    'region': 'Name of the region',
    'hemisphere': 'L, R, or both for the parcel over both hemispheres',
    'voxel': 'Spectrum, by the entities of its file name',
    'unit_scheme': 'How the amplitude was made a level',
    'metabolite': 'Metabolite or sum of metabolites',
    'unit': 'Unit of the value',
    'value': 'Value, whether or not it passed its gate',
    'gate': 'Verdict of the quality gate on a metabolite level',
}


DataDictionary = dict[str, str | dict[str, object]]
"""Description of a table, and of each column: ``Description``, ``Units``, ``Levels``, `HOLDS`."""


def write_measures(
    measures: Measures, folder: Path, people: Mapping[str, object] | None = None
) -> Path:
    """Write the wide and the long table and their data dictionaries.

    Parameters
    ----------
    measures : Measures
        The table.
    folder : Path
        Where to.
    people : mapping, optional
        Descriptions of the people's columns, as in ``participants.json``.

    Returns
    -------
    Path
        The wide table.
    """
    path = folder / TABLE
    write_bytes(path, table_text(measures.wide, exact=True).encode())
    write_json(path.with_suffix('.json'), data_dictionary(measures, people or {}))
    write_bytes(folder / LONG, table_text(long_form(measures), exact=True).encode())
    write_json(
        (folder / LONG).with_suffix('.json'),
        {'Description': 'Measures of the group level, one row for each value'}
        | {name: {'Description': text} for name, text in LONG_COLUMNS.items()},
    )
    return path


def data_dictionary(measures: Measures, people: Mapping[str, object]) -> DataDictionary:
    """Describe every column of the wide table.

    Parameters
    ----------
    measures : Measures
        The table.
    people : mapping
        Descriptions of the people's columns.

    Returns
    -------
    dict
        ``Description``, ``Units`` where there is one, ``Levels`` where they are declared, and
        ``Holds``, which tells a program what the column is.
    """
    content: DataDictionary = {
        'Description': 'Everything that the group level analyses, a row for each participant and '
        'session. Edit or extend it and run: bids_acc BIDS_DIR OUTPUT_DIR group --measures FILE',
        'participant_id': {'Description': 'Participant'},
        'session_id': {'Description': 'Session; n/a without sessions'},
    }
    for name, meaning in measures.meanings.items():
        entry = _entry(name, meaning, people)
        # names of columns are for people; a program that reads the table back must not guess from
        # them
        entry[HOLDS] = {k: v for k, v in asdict(meaning).items() if v not in ('', 0)}
        content[name] = entry
    return content


def _entry(name: str, meaning: Meaning, people: Mapping[str, object]) -> dict[str, object]:
    """Describe one column."""
    if meaning.kind == 'person':
        known = described(people, name)
        plain: dict[str, object] = {
            'Description': f'{name}, as in participants.tsv, sessions.tsv or phenotype/'
        }
        return plain | dict(known) if isinstance(known, Mapping) else plain
    if meaning.kind == 'quality':
        return _quality_entry(name)
    if meaning.kind == 'status':
        what, modality = name.split('_', 1)
        texts = {
            FAILED: f'Criteria of its gate that {modality} did not meet, parted by semicolons; '
            'n/a where it passed',
            'status': f'Whether results of {modality} are usable, absent or excluded',
            'reason': f'Why results of {modality} are not usable, or what is missing',
        }
        return {'Description': texts[what]}
    if meaning.kind == UNGATED:
        whole = _region_text(meaning) if meaning.region else _parcel_text(meaning)
        text = f'{whole}: whether or not the images passed their gates; for sensitivity'
        return {'Description': text, **({'Units': meaning.unit} if meaning.unit else {})}
    words = {'parcel': _parcel_text, 'region': _region_text, 'voxel': _place_text}
    text = words.get(meaning.kind, _level_text)(meaning)
    return {'Description': text, **({'Units': meaning.unit} if meaning.unit else {})}


def _quality_entry(name: str) -> dict[str, object]:
    """Describe a quality measure as the participant level describes it."""
    modality, measure = name.split('_', 1)
    measure, _, other = measure.partition('__')
    columns = load_table()[QC_TABLES[modality]].columns if modality in QC_TABLES else {}
    if measure in (places := load_table()['session_scanner'].columns):
        return {**places[measure], 'Description':
                f'Where {modality} was measured: {places[measure]["Description"]}'}  # fmt: skip
    if measure == 'protocol':
        what = 'echo time, voxel and what else tells protocols apart, times with two digits'
        return {'Description': f'How {modality} was acquired: {what}'}
    known = VOXEL_QUALITY.get(name.partition('__')[0], columns.get(measure))
    entry = dict(known) if isinstance(known, Mapping) else {'Description': measure}
    of = f'{modality}, voxel {other}' if other else modality
    entry['Description'] = f'Quality of {of}: {entry.get("Description", measure)}'
    return entry


def _parcel_text(meaning: Meaning) -> str:
    """Describe a parcel's column."""
    kind = 'Sum' if meaning.metric in SUMMED_METRICS else 'Mean'
    side = {'L': 'left hemisphere', 'R': 'right hemisphere'}.get(
        meaning.hemisphere, 'both hemispheres'
    )
    what = _metric_text(meaning.metric)
    return f'{kind} of {what} over parcel {meaning.component}, {side}'


def _region_text(meaning: Meaning) -> str:
    """Describe a region's column."""
    side = {'L': ', left', 'R': ', right'}.get(meaning.hemisphere, '')
    what = _metric_text(meaning.metric)
    return f'{what[0].upper()}{what[1:]} of {meaning.region}{side} ({meaning.atlas})'


REGION_WORDS: Mapping[str, str] = {
    'gmvolume': 'volume of grey matter within the label',
    'gmdensity': 'modulated density of grey matter',
    'fawm': 'FA weighted by white matter',
    'mtr': 'magnetization transfer ratio',
    'mtrgm': 'magnetization transfer ratio weighted by grey matter',
    'mtrwm': 'magnetization transfer ratio weighted by white matter',
}
"""Metrics that need more words than their name on pages."""


def _metric_text(metric: str) -> str:
    """Return what a metric is, in words."""
    return REGION_WORDS.get(metric) or PARTIAL_VOLUME.get(metric) or metric_words(metric)


def _place_text(meaning: Meaning) -> str:
    """Describe a column about the place of a voxel."""
    if meaning.component:
        return f'Share of the volume of {meaning.voxel} that lies in parcel {meaning.component}'
    if meaning.metric == 'share_cortex':
        return f'Share of the volume of {meaning.voxel} that is cortex'
    return f'Mean of {meaning.metric} over the cortex inside {meaning.voxel}'


def _level_text(meaning: Meaning) -> str:
    """Describe a metabolite's column."""
    columns = load_table()['mrs_quantities'].columns
    texts = {
        'value': 'level, whether or not it passed the gate',
        GATED: 'level if it passed the gate, otherwise n/a; must agree with value and gate',
        'gate': 'verdict of the quality gate; only pass is analysed',
        'detected': 'whether the amplitude is above zero',
    }
    known = columns.get(meaning.quantity, {})
    what = texts.get(meaning.quantity, str(known.get('Description', meaning.quantity)))
    scheme = f', {meaning.scheme}' if meaning.scheme else ''
    levels = columns.get('unit_scheme', {}).get('Levels', {})
    more = f' ({levels[meaning.scheme]})' if meaning.scheme in levels else ''
    return f'{meaning.metabolite} in {meaning.voxel}{scheme}{more}: {what}'


def read_measures(path: Path) -> Measures:
    """Read a table of measures, edited or not.

    Parameters
    ----------
    path : Path
        Wide table; the JSON file beside it says what the columns hold, and where it is silent
        their names do. Columns that it does not know belong to the people.

    Returns
    -------
    Measures

    Raises
    ------
    MissingInputError
        If there is no such file.
    InputDataError
        If it cannot be read, a participant and session has two rows, or a gated level disagrees
        with the level and its verdict.
    """
    raw, sidecar = _read_files(path)
    return _measures_of(path, _respelt(raw, sidecar), sidecar)


def columns_written(folders: Iterable[Path]) -> set[str]:
    """Return the columns of the tables of measures that lie in some folders.

    Parameters
    ----------
    folders : iterable of Path
        Such as those of the models of an output folder; one without a table gives none.
    """
    sidecars = [(folder / TABLE).with_suffix('.json') for folder in folders]
    return {name for path in sidecars if path.is_file() for name in read_sidecar(path)}


def _respelt(raw: RawTable, names: Iterable[str]) -> RawTable:
    """Give columns their own spelling back where only upper and lower case differ.

    R (``janitor::clean_names``), SPSS and SQL write names in one case; a metabolite would not be
    known by ``glx``.
    """
    lower: dict[str, set[str]] = {}
    for name in names:
        lower.setdefault(name.lower(), set()).add(name)
    taken = set(raw.header)
    header = []
    for name in raw.header:
        known = lower.get(name.lower(), {name})
        # a second column of that name, or two that it could be, are left as they stand
        own = next(iter(known)) if len(known) == 1 else name
        header.append(own if own not in taken else name)
        taken.add(header[-1])
    return replace(raw, header=tuple(header))


def _read_files(path: Path) -> tuple[RawTable, dict[str, object]]:
    """Read a table of measures and what the JSON file beside it says."""
    if not path.is_file():
        raise MissingInputError(f'--measures {path}: there is no such file.')
    return read_raw(path), read_sidecar(path.with_suffix('.json'))


def _measures_of(path: Path, raw: RawTable, sidecar: Mapping[str, object]) -> Measures:
    """Type and check what was read."""
    # spreadsheets and R write Participant_ID as they like; the names of measures are kept as they
    # are
    header = [name.lower() if name.lower() in KEYS else name for name in raw.header]
    if 'participant_id' not in header:
        raise InputDataError(f'{path}: the column participant_id is missing.')
    columns = {
        name: _read_column(name, [row[i] for row in raw.rows]) for i, name in enumerate(header)
    }
    wide = pd.DataFrame(columns)
    if 'session_id' not in wide:
        wide.insert(1, 'session_id', '')
    wide['session_id'] = wide['session_id'].fillna('')
    _check_keys(path, wide)
    meanings = {
        name: _read_meaning(name, sidecar.get(name)) for name in wide.columns if name not in KEYS
    }
    found = Measures(wide[[*KEYS, *meanings]], meanings)
    _check_numbers(path, found)
    _check_verdicts(path, found)
    _check_gated(path, found)
    check_ungated(path, found)
    return found


def read_edited(
    path: Path, known: Iterable[str], columns: Iterable[str] = ()
) -> tuple[Measures, list[str]]:
    """Read a table that somebody has edited: columns of people as in participants.tsv.

    Parameters
    ----------
    path : Path
        As for `read_measures`.
    known : iterable of str
        Participants who have results, with prefix.
    columns : iterable of str
        Names of columns that tables of this output folder have, beside those of the JSON file;
        one that differs from them in case only is read as it.

    Returns
    -------
    measures : Measures
        Labels with prefix, those of the results where they mean these; values of people within
        the range of their column.
    notes : list of str
        What the table holds, and what was read otherwise than it stands there.

    Raises
    ------
    MissingInputError, InputDataError
        As `read_measures`, and if two labels could be one person.
    """
    raw, sidecar = _read_files(path)
    raw = _respelt(raw, {*sidecar, *columns})
    known = set(known)
    # spreadsheets get a row of means below the data; read as a person it would be in every
    # comparison
    raw, summaries = _without_summaries(raw, known)
    found = _measures_of(path, raw, sidecar)
    match = match_labels(found.wide['participant_id'], known, 'sub-', path.name)
    wide = found.wide.assign(
        participant_id=found.wide['participant_id'].map(match.of),
        session_id=found.wide['session_id'].map(lambda v: with_prefix(v, 'ses-') if v else ''),
    )
    _check_keys(path, wide)
    notes = [_holdings(found), *raw.notes, *summaries, *match.notes, *_without_verdicts(found),
             *_other_people(set(wide['participant_id']), known)]  # fmt: skip
    for name in found.columns('person'):
        at = raw.header.index(name)
        cells = [row[at].strip(INVISIBLE) for row in raw.rows]
        wide[name], told = read_column(
            name, cells, list(wide['participant_id']), described(sidecar, name), path.name
        )
        notes += told
    return Measures(wide, found.meanings), notes


def _other_people(table: set[str], known: set[str]) -> list[str]:
    """Name who is in the table only, whose label may have been changed, and who is not in it."""

    def counted(who: set[str], one: str, several: str) -> str:
        more = f' and {len(who) - 5} more' if len(who) > 5 else ''
        what = f'1 person {one}' if len(who) == 1 else f'{len(who)} people {several}'
        return f'{what}: {", ".join(sorted(who)[:5])}{more}.'

    notes = []
    if table - known:
        beyond = 'not among the selected participants of the output folder; analysed as it stands'
        notes.append(counted(
            table - known, f'of the table is {beyond} (was the label changed?)',
            f'of the table are {beyond} (were labels changed?)',
        ))  # fmt: skip
    if known - table:
        notes.append(counted(
            known - table, 'of the output folder is not in the table and takes no part',
            'of the output folder are not in the table and take no part',
        ))  # fmt: skip
    return notes


def _without_summaries(raw: RawTable, known: set[str]) -> tuple[RawTable, list[str]]:
    """Leave out rows of all people, such as ``Mean``, and say which."""
    header = [name.lower() for name in raw.header]
    if 'participant_id' not in header:
        return raw, []
    at = header.index('participant_id')
    who = pd.Series([with_prefix(row[at], 'sub-') for row in raw.rows], dtype=object)
    out = is_summary(who) & ~who.isin(known)
    if not out.any():
        return raw, []
    named = ', '.join(who[out].str.removeprefix('sub-').unique()[:3])
    return lines_of(raw, ~out), [f'Rows of {named} are no people and left out.']


def _holdings(measures: Measures) -> str:
    """Say how many columns of each kind there are: a program may have renamed them."""
    kinds = Counter(str(meaning.kind) for meaning in measures.meanings.values())
    counted = ', '.join(f'{kinds[kind]} of {word}' for kind, word in KIND_WORDS.items())
    people = measures.columns('person')
    more = f' and {len(people) - 10} more' if len(people) > 10 else ''
    named = ', '.join(people[:10]) or 'none'
    return (
        f'It has {measures.wide["participant_id"].nunique()} people and columns: {counted}; about '
        f'people: {named}{more}.'
    )


KIND_WORDS: Mapping[str, str] = {
    'parcel': 'parcels', 'region': 'regions', 'metabolite': 'metabolites', 'quality': 'quality',
}  # fmt: skip
"""Kinds of columns that are counted for who gives an edited table."""


def _read_column(name: str, cells: list[str]) -> pd.Series:
    """Type one column; spellings of missing and of numbers that other programs write are known."""
    plain = [cell.strip(INVISIBLE) for cell in cells]
    known: list[str | None] = [None if is_missing(cell) else cell for cell in plain]
    return pd.Series(known, dtype=object) if name in KEYS else typed(with_points(known))


def _read_meaning(name: str, entry: object) -> Meaning:
    """Return what the data dictionary says a column holds, otherwise what its name says."""
    held = entry.get(HOLDS) if isinstance(entry, Mapping) else None
    # programs drop the JSON beside a table, and add columns that it does not know
    if not isinstance(held, Mapping) or not held.get('kind'):
        return meaning_of(name)
    # a file of another version may tell more than this one understands
    known = {key: held[key] for key in Meaning.__dataclass_fields__ if key in held}
    return Meaning(**known)


def _check_keys(path: Path, wide: pd.DataFrame) -> None:
    """Refuse rows without a participant, and two rows of one session."""
    if wide['participant_id'].isna().any():
        line = int(np.flatnonzero(wide['participant_id'].isna())[0]) + 2
        raise InputDataError(f'{path}, row {line}: participant_id is missing.')
    double = wide.duplicated(KEYS)
    if double.any():
        who = ' '.join(wide.loc[double, KEYS].iloc[0]).strip()
        raise InputDataError(f'{path}: {who} has two rows; keep one.')


def _check_numbers(path: Path, measures: Measures) -> None:
    """Refuse text where a measure has numbers."""
    for name, meaning in measures.meanings.items():
        numeric = meaning.kind in ('parcel', 'region', 'voxel', UNGATED) or meaning.quantity in (
            'value',
            'value_sd',
            GATED,
        )
        if not numeric or pd.api.types.is_numeric_dtype(measures.wide[name]):
            continue
        column = measures.wide[name]
        wrong = column.notna() & pd.to_numeric(column, errors='coerce').isna()
        who = measures.wide.loc[wrong, 'participant_id']
        cell = f'{column[wrong].iloc[0]!r} of {who.iloc[0]}' if len(who) else 'text'
        raise InputDataError(f'{path}: {name} holds {cell}, which is no number.')


VERDICTS = frozenset({'pass', 'fail'})
"""Words of a verdict, whatever their case; missing ones do not pass."""


def _check_verdicts(path: Path, measures: Measures) -> None:
    """Refuse verdicts in other words: whatever is not ``pass`` is left out of everything."""
    for name, meaning in measures.meanings.items():
        if meaning.quantity != 'gate':
            continue
        told = measures.wide[name].dropna().astype(str)
        # any word but pass leaves a value out: one in another language would leave out everybody,
        # and look like a strict gate
        odd = told[~told.str.casefold().isin(VERDICTS)]
        if len(odd):
            who = measures.wide.loc[odd.index[0], 'participant_id']
            raise InputDataError(
                f'{path}: {name} of {who} is {odd.iloc[0]!r}; a verdict is pass or fail, or n/a '
                'where there is no value.'
            )


def _without_verdicts(measures: Measures) -> list[str]:
    """Say that levels have no verdicts, so that all are analysed; nothing where they have."""
    levels = [m for m in measures.meanings.values() if m.quantity == 'value']
    names = {metabolite_column(m.voxel, m.scheme, m.metabolite, 'gate') for m in levels}
    there = names & set(measures.meanings)
    if there == names:
        return []
    said = (
        f'{len(names) - len(there)} of {len(names)} metabolite levels have no verdict of a gate '
        'in it (a column that ends in __gate): all their values are analysed, those of spectra '
        'that failed too.'
    )
    return [said]


def _check_gated(path: Path, measures: Measures) -> None:
    """Refuse a gated level that was edited without its level or verdict."""
    for name, meaning in measures.meanings.items():
        if meaning.quantity != GATED:
            continue
        value, gate = (
            metabolite_column(meaning.voxel, meaning.scheme, meaning.metabolite, quantity)
            for quantity in ('value', 'gate')
        )
        if value not in measures.wide or gate not in measures.wide:
            continue
        passed = measures.wide[gate].astype(str).str.lower() == 'pass'
        wanted = measures.wide[value].where(passed).to_numpy(dtype=float)
        there = measures.wide[name].to_numpy(dtype=float)
        # a spreadsheet keeps fifteen digits: what it rounds is no edit
        apart = ~np.isclose(wanted, there, rtol=1e-6, atol=0, equal_nan=True)
        if apart.any():
            who = measures.wide['participant_id'].iloc[int(np.flatnonzero(apart)[0])]
            raise InputDataError(
                f'{path}: {name} of {who} does not follow from {value} and {gate}; edit these '
                'two, from which the analysis is made, or remove the column.'
            )
