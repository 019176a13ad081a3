"""How each modality was acquired, over the people of a cohort: a table, and sentences for a paper.

The participant level keeps what sidecars and headers of each session tell (``*_scanner.tsv``);
here equal ways are counted. What sidecars do not tell is not in the sentence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

import pandas as pd

from bids_acc.derivatives.outputs import output_spec
from bids_acc.group.cohort.quality import KEYS
from bids_acc.modalities import MODALITIES
from bids_acc.report.wording import MODALITY_WORDS, listed
from bids_acc.tables.cells import is_empty, records

COHORT, N = 'cohort', 'n_sessions'
TIMES: Mapping[str, tuple[str, float, str]] = MappingProxyType(
    {
        'repetition_time': ('TR', 1.0, 's'),
        'echo_time': ('TE', 1e3, 'ms'),
        'inversion_time': ('TI', 1e3, 'ms'),
    }
)
"""Columns in s, with the sign of the quantity and the unit in which papers give it."""
OTHERS: Mapping[str, str] = MappingProxyType(
    {
        'flip_angle': 'flip angle {}°',
        'voxel_size': 'voxels of {}',
        'volumes': '{} volumes',
        'b_values': '{} s/mm²',
        'phase_encoding': 'phase encoding {}',
        'multiband': 'multiband factor {}',
        'parallel_reduction': 'in-plane acceleration {}',
        'partial_fourier': 'partial Fourier {}',
    }
)
"""Columns, and how a paper says them."""
PLACES = ('manufacturer', 'scanner_model', 'scanner', 'field_strength', 'software', 'sequence',
          'coil', 'institution')  # fmt: skip
"""Columns that groups are compared in one by one."""
MOST_TOLD = 3
"""Different ways of one modality and cohort that the sentence tells; the table has all."""


def protocol_words(row: Mapping[str, object]) -> str:
    """Say the parameters of a sequence as a paper does.

    Parameters
    ----------
    row : mapping
        Of ``*_scanner.tsv``; cells may be missing, and of several runs or echoes one cell holds
        several values, separated by a semicolon.

    Examples
    --------
    >>> protocol_words({'repetition_time': '2.3', 'echo_time': '0.00298', 'flip_angle': '9'})
    'TR 2.3 s, TE 2.98 ms, flip angle 9°'
    >>> protocol_words({'echo_time': '0.014; 0.03', 'volumes': None})
    'TE 14 and 30 ms'
    """
    return ', '.join(_parameters(row))


def kind_of_protocol(row: Mapping[str, object]) -> str:
    """Say by what of a protocol people can be told apart: two digits of each time, no lengths.

    Repetition times of diffusion and numbers of volumes differ from person to person in one
    protocol, so they are left out.

    Parameters
    ----------
    row : mapping
        One row of ``*_scanner.tsv`` (times in s), with its ``modality``.

    Returns
    -------
    str
        As `protocol_words`, shorter; empty when nothing is known.

    Examples
    --------
    >>> kind_of_protocol({'modality': 'dwi', 'repetition_time': '7.41', 'echo_time': '0.0884'})
    'TE 88 ms'
    """
    # a series that was broken off, or one run in two polarities, is no other protocol
    left_out = {'volumes', 'b_values', 'phase_encoding'}
    # with cardiac gating it differs from person to person
    left_out |= {'repetition_time'} if row.get('modality') == 'dwi' else set()
    kept = {name: value for name, value in row.items() if name not in left_out}
    return ', '.join(_parameters(kept, digits=2))


def _parameters(row: Mapping[str, object], digits: int = 6) -> Iterator[str]:
    """Yield each parameter that is known, in words; times with so many digits."""
    for name, (sign, factor, unit) in TIMES.items():
        if values := _values(row, name):
            yield f'{sign} {listed([_scaled(value, factor, digits) for value in values])} {unit}'
    for name, pattern in OTHERS.items():
        if values := _values(row, name):
            yield pattern.format(listed(values))


def _values(row: Mapping[str, object], name: str) -> list[str]:
    """Return what a cell tells; several runs are separated by a semicolon."""
    cell = row.get(name)
    if is_empty(cell):
        return []
    parts = (part.strip() for part in str(cell).split(';'))
    # what a spreadsheet would take for a formula was written behind an apostrophe
    return [part.removeprefix("'") for part in parts if part]


def _scaled(text: str, factor: float, digits: int) -> str:
    """Write a time in another unit, without an exponent; what is no number stays as it is."""
    try:
        return f'{float(f"{float(text) * factor:.{digits}g}"):g}'
    except ValueError:
        return text


def acquisition_table(
    scanners: pd.DataFrame, people: pd.DataFrame, cohort: str | None
) -> pd.DataFrame:
    """Count the ways in which each modality was acquired, in each cohort.

    Parameters
    ----------
    scanners : DataFrame
        Result of `scanners_of`.
    people : DataFrame
        A row for each participant and session.
    cohort : str or None
        Column of it that tells cohorts or sites.

    Returns
    -------
    DataFrame
        Cohort (``all`` without such a column), modality, ``n_sessions``, and the columns of
        ``*_scanner.tsv`` that tell anything; the most frequent way first. Empty where nothing is
        known.
    """
    if scanners.empty:
        return pd.DataFrame()
    place = 'all' if cohort not in people else people[cohort].fillna('n/a').astype(str)
    known = _keyed(people[KEYS].assign(**{COHORT: place})).drop_duplicates(KEYS)
    frame = _keyed(scanners).merge(known, on=KEYS, how='inner').drop(columns=KEYS)
    names = [str(name) for name in frame if name not in (COHORT, 'modality')]
    frame[names] = frame[names].astype(object).where(frame[names].notna(), '').astype(str)
    counted = frame.groupby([COHORT, 'modality', *names], sort=False).size().reset_index(name=N)
    counted['order'] = counted['modality'].map({name: i for i, name in enumerate(MODALITIES)})
    # the most frequent way first, and then by all columns: ties must not follow the order of
    # people
    counted = counted.sort_values(
        ['order', COHORT, N, *names], ascending=[True, True, False, *[True] * len(names)]
    )
    told = [name for name in names if (counted[name] != '').any()]
    return counted[[COHORT, 'modality', N, *told]].replace('', None).reset_index(drop=True)


def _keyed(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose keys can be joined: people without sessions have an empty one."""
    return frame.assign(session_id=frame['session_id'].astype(object).fillna('').astype(str))


def acquisition_sentences(table: pd.DataFrame) -> Iterator[str]:
    """Yield a sentence for each modality, or for each cohort of it where they differ.

    Parameters
    ----------
    table : DataFrame
        Result of `acquisition_table`.

    Yields
    ------
    str
    """
    if table.empty:
        return
    for modality, rows in table.groupby('modality', sort=False):
        name = MODALITY_WORDS.get(str(modality), str(modality))
        told = {str(place): _ways(own) for place, own in rows.groupby(COHORT, sort=False)}
        told = {place: words for place, words in told.items() if words}
        if len(set(told.values())) == 1 and len(table[COHORT].unique()) == len(told):
            yield f'{name}: {next(iter(told.values()))}.'
        else:
            yield from (f'{name}, {place}: {words}.' for place, words in told.items())


def _ways(rows: pd.DataFrame) -> str:
    """Say the ways of one modality in one cohort; several with their numbers of sessions."""
    ways = [(_way(row), int(n)) for row, n in zip(records(rows), rows[N], strict=True)]
    known = [(words, n) for words, n in ways if words]
    if len(ways) == 1 and known:
        return known[0][0]
    told = '; '.join(f'{words} ({n} session{"s"[: n > 1]})' for words, n in known[:MOST_TOLD])
    more = len(known) - MOST_TOLD
    return told + (f'; {more} other{"s"[: more > 1]}, see qc/acquisition.tsv' if more > 0 else '')


def _way(row: Mapping[str, object]) -> str:
    """Say scanner, sequence and parameters of a row."""
    maker = ' '.join(_values(row, 'manufacturer')[:1] + _values(row, 'scanner_model')[:1])
    field = [f'{value} T' for value in _values(row, 'field_strength')]
    software = [f'software {value}' for value in _values(row, 'software')]
    coil = [f'coil {value}' for value in _values(row, 'coil')]
    sequence = [f'sequence {listed(v)}'] if (v := _values(row, 'sequence')) else []
    parts = [maker, *field, *coil, *software, *sequence, protocol_words(row)]
    return ', '.join(filter(None, parts))


def data_dictionary(table: pd.DataFrame) -> dict[str, object]:
    """Return the sidecar of the table.

    Parameters
    ----------
    table : DataFrame
        Result of `acquisition_table`.
    """
    columns = output_spec('session_scanner').columns
    return {
        'Description': 'How each modality was acquired, as sidecars and headers tell it: one row '
        'for each way, the most frequent first',
        COHORT: {'Description': 'Cohort or site; all where people have none'},
        N: {'Description': 'Sessions that were acquired so'},
        **{name: dict(columns[name]) for name in table.columns if name in columns},
    }


def scanners_of(tables: Sequence[tuple[str, str | None, str, pd.DataFrame]]) -> pd.DataFrame:
    """Join the tables of the sessions.

    Parameters
    ----------
    tables : sequence of (str, str or None, str, DataFrame)
        Participant, session, an unused label, and what was kept of it.
    """
    known = [
        table.assign(participant_id=subject, session_id=session)
        for subject, session, _, table in tables
        if 'modality' in table
    ]
    return pd.concat(known, ignore_index=True) if known else pd.DataFrame()
