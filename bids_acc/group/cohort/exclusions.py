"""People's own verdicts on data: who is left out of what, by whom and why.

A table ``exclude.tsv`` has a row for each verdict: ``participant_id``, ``session_id`` (n/a for
every session), ``modality`` (anat, dwi, func, mtr, mrs or all), ``reason`` and ``rater``; in place
of the first three, ``bids_name`` as in MRIQC's tables (``sub-01_ses-1_T1w``). It is honoured
before anything is factorized or compared, and shown with every other exclusion. With a column
``rating``, as the subjects' pages write it, only the rows that say ``exclude`` leave somebody out;
a column ``exclude`` or ``include`` with yes and no is understood as well.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd

from bids_acc.exceptions import InputDataError, MissingInputError
from bids_acc.group.cohort.people import matched, session_labels
from bids_acc.group.cohort.quality import KEYS
from bids_acc.group.cohort.reading import Cohort
from bids_acc.group.opnmf.features import VertexMetrics
from bids_acc.tables.cells import is_empty, records
from bids_acc.tables.people import BIDS_NAME, read_people_table, visits_of
from bids_acc.tables.ranges import plain_name

LOGGER = logging.getLogger(__name__)

FILE = Path('code') / 'exclude.tsv'
"""Where a table of verdicts is looked for in the output folder."""
OF_SUBJECTS = '*_exclude.tsv'
"""Tables of single subjects beside it, as their pages give them to a rater."""
RATINGS = ('exclude', 'unsure', 'keep')
"""Words of the column ``rating``; only the first leaves somebody out."""
COLUMNS = [*KEYS, 'modality', 'reason', 'rater']
MODALITIES: Mapping[str, str] = MappingProxyType(
    {
        'anat': 'anat', 't1w': 'anat', 't1': 'anat', 'structural': 'anat',
        'dwi': 'dwi', 'dti': 'dwi', 'diffusion': 'dwi',
        'func': 'func', 'bold': 'func', 'fmri': 'func', 'function': 'func',
        'mtr': 'mtr', 'mt': 'mtr', 'mtrmap': 'mtr', 'magnetization transfer': 'mtr',
        'mrs': 'mrs', 'svs': 'mrs', 'spectroscopy': 'mrs', 'all': 'all', '*': 'all',
    }
)  # fmt: skip
"""Words for a modality in small letters, and which is meant."""
STRUCTURE = frozenset({'thickness', 'area', 'volume'})
"""Vertex metrics of the T1w image."""
FUNCTION = frozenset({'reho', 'alff', 'falff'})
"""Vertex metrics of the BOLD series."""
TRANSFER = frozenset({'mtr'})
"""Vertex metrics of magnetization transfer; all others are of the diffusion images."""
CRITERION = re.compile(
    r'(?P<criterion>\w+) (?P<threshold>[<>]=? [\d.e+-]+(?: (?:Hz|ppm|%))?): '
    r'(?:(?P<value>[\d.e+-]+)(?: \((?P<definition>\w+)\))? fail|(?P<unknown>unknown))'
)
"""A failed criterion as `bids_acc.quality.gate.Criterion` writes it."""


@dataclass(frozen=True)
class Verdicts:
    """Raters' decisions on which data are left out."""

    table: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=COLUMNS))
    """`COLUMNS`; ``session_id`` is missing where every session is meant."""
    notes: tuple[str, ...] = ()
    source: str = ''
    """Name of the table."""

    def of(self, modality: str) -> pd.DataFrame:
        """Return the rows that leave out data of a modality.

        Parameters
        ----------
        modality : {'anat', 'dwi', 'func', 'mtr', 'mrs'}
            Verdicts on ``all`` are among its own.

        Returns
        -------
        DataFrame
            With the columns `COLUMNS`.
        """
        return self.table[self.table['modality'].isin([modality, 'all'])]


def read_verdicts(path: Path | None, output_dir: Path, sessions: Iterable[tuple[str, str | None]]
                  ) -> Verdicts:  # fmt: skip
    """Read a table of verdicts.

    Parameters
    ----------
    path : Path or None
        The table; None for ``code/exclude.tsv`` in the output folder and those of single
        subjects (`OF_SUBJECTS`) beside it, if there are any.
    output_dir : Path
        Root of the derivatives.
    sessions : iterable of (str, str or None)
        Participants and sessions that there are.

    Returns
    -------
    Verdicts

    Raises
    ------
    MissingInputError
        If the table that was named is not there.
    InputDataError
        If it cannot be read, lacks a column, or names a modality or a rating that there is not.
    """
    if path is not None and not path.is_file():
        raise MissingInputError(f'--exclude {path}: there is no such file.')
    own = [output_dir / FILE] if (output_dir / FILE).is_file() else []
    beside = sorted((output_dir / FILE.parent).glob(OF_SUBJECTS))
    chosen = [path] if path is not None else [*own, *beside]
    found = [_read_table(one, set(sessions)) for one in chosen]
    if not found:
        return Verdicts()
    table = pd.concat([one.table for one in found], ignore_index=True)
    notes = tuple(note for one in found for note in one.notes)
    for note in notes:
        LOGGER.warning('%s', note)
    return Verdicts(table, notes, ', '.join(one.source for one in found))


def _read_table(chosen: Path, there: set[tuple[str, str | None]]) -> Verdicts:
    """Read one table of verdicts."""
    table = matched(read_people_table(chosen), {who for who, _ in there}, chosen.name)
    frame = _with_our_names(table.frame)
    # a table of MRIQC as it is would leave out everybody whom it measures
    if BIDS_NAME in frame and not {'rating', 'reason'} & set(frame):
        raise InputDataError(
            f'{chosen} holds measures and no verdicts; add a column rating with '
            f'{", ".join(RATINGS)}, or keep the rows that are to be left out and add a reason.'
        )
    # a verdict on one visit would be read as one on all
    if table.like_sessions is not None and 'session_id' not in frame:
        raise InputDataError(
            f'{chosen}: name the column {table.like_sessions!r} session_id if it holds the '
            'visits, or remove it: without session_id every visit of a person is left out.'
        )
    if 'modality' not in frame:
        raise InputDataError(
            f'{chosen}: the column modality is missing; write anat, dwi, func, mtr, mrs or all.'
        )
    for name in COLUMNS:
        if name not in frame:
            frame[name] = None
    words = frame['modality'].astype(str).str.strip().str.lower()
    if (unknown := ~words.isin(list(MODALITIES))).any():
        row = frame[unknown].iloc[0]
        raise InputDataError(
            f'{chosen}: modality {row["modality"]!r} of {row["participant_id"]} is none of anat, '
            'dwi, func, mtr, mrs, all.'
        )
    frame['modality'] = words.map(dict(MODALITIES))
    frame = _left_out(frame, chosen)
    visits: dict[str, set[str]] = {}
    for who, visit in there:
        visits.setdefault(who, set()).update([visit] if visit is not None else [])
    labels, changes = session_labels(frame, visits, chosen.name)
    # labels come back in the order of people, not of the file
    frame['session_id'] = labels.reindex(frame.index).astype(object)
    frame[['reason', 'rater']] = frame[['reason', 'rater']].astype(object)
    notes = (*table.notes, *changes, *_not_there(frame, there, chosen.name))
    return Verdicts(frame[COLUMNS], notes, chosen.name)


def _with_our_names(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose columns are named as ours where they differ in case only."""
    ours = {*COLUMNS, 'rating'}
    lower = [str(name).lower() for name in frame]
    return frame.rename(columns={
        name: plain for name, plain in zip(frame, lower, strict=True)
        if plain in ours and lower.count(plain) == 1
    })  # fmt: skip


_OUT = re.compile(r'exclude[ds]?|exclusion|left_?out|drop(ped)?|remove[ds]?|bad|fail(ed)?')
_IN = re.compile(r'include[ds]?|inclusion|keep|kept|use[ds]?|usable|good|pass(ed)?|ok')
"""Names of columns that answer whether data are left out, or are used."""
_YES = frozenset({'yes', 'y', 'true', '1', '1.0', 'x'})
_NO = frozenset({'no', 'n', 'false', '0', '0.0'})


def _with_answers(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Give a table that answers ``exclude: yes`` or ``include: no`` the column of ratings."""
    asked = {plain_name(str(c)): str(c) for c in frame if c not in {*COLUMNS, BIDS_NAME}}
    found = [(c, like is _OUT) for n, c in asked.items() for like in (_OUT, _IN)
             if like.fullmatch(n)]  # fmt: skip
    if 'rating' in frame or not found:
        return frame
    if len(found) > 1:
        names = ', '.join(column for column, _ in found)
        raise InputDataError(f'{path}: which of {names} says what is left out? Keep one of them.')
    column, leaves_out = found[0]
    words = frame[column].map(lambda v: '' if is_empty(v) else str(v).strip().lower())
    if (odd := ~words.isin([*_YES, *_NO, ''])).any():
        row = frame[odd].iloc[0]
        raise InputDataError(
            f'{path}: {column} of {row["participant_id"]} is {row[column]!r}; write yes or no.'
        )
    # an empty cell is no tick: nothing is left out for it
    out = words.isin(_YES) if leaves_out else words.isin(_NO)
    return frame.assign(rating=out.map({True: RATINGS[0], False: RATINGS[2]}))


def _left_out(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Return the rows that leave somebody out; without ratings, all do."""
    frame = _with_answers(frame, path)
    if 'rating' not in frame:
        return frame
    # a row that somebody wrote without a word in it was written to leave out
    words = frame['rating'].fillna(RATINGS[0]).astype(str).str.strip().str.lower()
    if (unknown := ~words.isin(RATINGS)).any():
        row = frame[unknown].iloc[0]
        raise InputDataError(
            f'{path}: rating {row["rating"]!r} of {row["participant_id"]} is none of '
            f'{", ".join(RATINGS)}.'
        )
    return frame[words == RATINGS[0]].reset_index(drop=True)


def _not_there(frame: pd.DataFrame, there: set[tuple[str, str | None]], name: str) -> list[str]:
    """Say which verdicts are about nobody: a typing error would leave bad data in."""
    people = {who for who, _ in there}
    lost = [
        f'{who}{f" {visit}" if isinstance(visit, str) else ""}'
        for who, visit in frame[KEYS].itertuples(index=False, name=None)
        if who not in people or (isinstance(visit, str) and (who, visit) not in there)
    ]
    if not lost:
        return []
    return [f'{name}: no results of {", ".join(lost)}, so that nothing is left out for it.']


def _rows_of(keys: pd.DataFrame, verdicts: pd.DataFrame) -> pd.Series:
    """Return the sentence of the first verdict on each row, missing where there is none."""
    found = pd.Series(None, index=keys.index, dtype=object)
    visit = visits_of(keys)
    for row in verdicts.itertuples(index=False):
        mine = keys['participant_id'] == row.participant_id
        if isinstance(row.session_id, str):
            mine &= visit == row.session_id
        found[mine & found.isna()] = sentence(row.reason, row.rater)
    return found


def sentence(reason: object, rater: object) -> str:
    """Say who left something out and why.

    Parameters
    ----------
    reason : object
        Cell of that column; anything but text is no reason.
    rater : object
        Initials or name; anything but text is an unknown rater.

    Returns
    -------
    str
        For the flow table and the list of exclusions.

    Examples
    --------
    >>> sentence('ghosting', 'AB'), sentence(None, None)
    ('left out by AB: ghosting', 'left out by a rater')
    """
    who = rater if isinstance(rater, str) else 'a rater'
    return f'left out by {who}' + (f': {reason}' if isinstance(reason, str) else '')


def honour(cohort: Cohort, verdicts: Verdicts) -> Cohort:
    """Apply raters' decisions: leave spectra out, and mark every modality in the flow table.

    Parameters
    ----------
    cohort : Cohort
        As read.
    verdicts : Verdicts
        Of raters.

    Returns
    -------
    Cohort
        Levels of spectra that were left out fail their gate.
    """
    if verdicts.table.empty:
        return cohort
    flow = cohort.flow.copy()
    for modality in flow['modality'].unique():
        # also over the verdict of a gate: a person's reason is the one to be told
        own = (flow['modality'] == modality) & (flow['status'] != 'skip')
        why = _rows_of(flow[own], verdicts.of(str(modality))).dropna()
        flow.loc[why.index, 'status'] = 'exclude'
        flow.loc[why.index, 'reason'] = why
    mrs = cohort.mrs
    if mrs is not None:
        why = _rows_of(mrs, verdicts.of('mrs')).dropna()
        mrs = mrs.copy()
        for name in ('gate', 'gate_reason'):
            mrs[name] = mrs[name].astype(object) if name in mrs else None
        mrs.loc[why.index, 'gate'] = 'fail'
        mrs.loc[why.index, 'gate_reason'] = why
    return replace(cohort, flow=flow, mrs=mrs)


def refuse_nobody_left(before: pd.DataFrame, after: pd.DataFrame, source: str) -> list[str]:
    """Refuse verdicts that leave nobody of any modality, and say of which they leave nobody.

    Parameters
    ----------
    before, after : DataFrame
        Tables of flow without and with the verdicts.
    source : str
        Name of the table of verdicts.

    Returns
    -------
    list of str
        A sentence for each modality of which nothing is left.

    Raises
    ------
    InputDataError
        If nothing is left of anything.
    """
    had = set(before.loc[before['status'] == 'run', 'modality'])
    has = set(after.loc[after['status'] == 'run', 'modality'])
    if had and not has:
        raise InputDataError(
            f'{source}: no session of any modality is left, so that nothing can be compared. Each '
            'row leaves somebody out; add a column rating (exclude, unsure, keep) if yours '
            'lists everybody.'
        )
    return [f'{source}: no session of {name} is left.' for name in sorted(had - has)]


def without_verdicts(data: VertexMetrics, verdicts: Verdicts) -> VertexMetrics:
    """Empty the maps that raters left out: they take part in no parcels and have no value there.

    Without its T1w image a session has no surface to sample, so that a verdict on anat empties
    the diffusion and magnetization transfer maps too.

    Parameters
    ----------
    data : VertexMetrics
        Of all sessions.
    verdicts : Verdicts
        Of raters.

    Returns
    -------
    VertexMetrics
    """
    if verdicts.table.empty:
        return data
    anat = _rows_of(data.sessions, verdicts.of('anat')).notna().to_numpy()
    # diffusion is sampled on surfaces of the T1w image, and is wrong where these are
    dwi = _rows_of(data.sessions, verdicts.of('dwi')).notna().to_numpy() | anat
    func = _rows_of(data.sessions, verdicts.of('func')).notna().to_numpy()
    mtr = _rows_of(data.sessions, verdicts.of('mtr')).notna().to_numpy() | anat
    # emptied and not removed: one modality may be bad in a session whose other maps are fine
    values = data.values.copy()
    for number, metric in enumerate(data.metrics):
        own = func if metric in FUNCTION else mtr if metric in TRANSFER else dwi
        values[number, anat if metric in STRUCTURE else own] = np.nan
    return replace(data, values=values)


def exclusions_table(
    cohort: Cohort,
    verdicts: Verdicts,
    maps: pd.DataFrame | None = None,
    images: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """List who is left out of what, by which criterion, with value and threshold.

    Parameters
    ----------
    cohort : Cohort
        With its levels and their verdicts.
    verdicts : Verdicts
        Of raters.
    maps : DataFrame, optional
        Sessions without complete maps: keys and ``reason``.
    images : DataFrame, optional
        Criteria that images did not meet (`bids_acc.group.cohort.gates.Gated`).

    Returns
    -------
    DataFrame
        ``participant_id, session_id, modality, voxel, metabolite, criterion, definition, value,
        threshold, verdict, rater, reason``; a row for each criterion that was not met.
    """
    columns = [*KEYS, 'modality', 'voxel', 'metabolite', 'criterion', 'definition', 'value',
               'threshold', 'verdict', 'rater', 'reason']  # fmt: skip
    parts = [] if maps is None or maps.empty else [
        maps.assign(modality='parcels', criterion='vertex maps', verdict='fail')
    ]  # fmt: skip
    if images is not None and len(images):
        parts.append(images)
    if len(verdicts.table):
        parts.append(verdicts.table.assign(criterion='human verdict', definition=verdicts.source,
                                verdict='fail'))  # fmt: skip
    if cohort.mrs is not None and 'gate' in cohort.mrs:
        parts.append(_failed_levels(cohort.mrs))
    found = [part for part in parts if len(part)]
    joined = pd.concat(found, ignore_index=True) if found else pd.DataFrame()
    return joined.reindex(columns=columns)


def _failed_levels(mrs: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each criterion that a level or its spectrum did not meet.

    The definition is known where a gate of the model was applied; a reason of the participant
    level names it only where the gate does not ask for it.
    """
    names = [c for c in (*KEYS, 'voxel', 'metabolite', 'gate_reason', 'engine') if c in mrs]
    bad = mrs[mrs['gate'].astype(str).str.lower() == 'fail']
    failed = bad[names].drop_duplicates()
    judged = bad.get('gate_definitions', pd.Series(None, bad.index, dtype=object))
    failed = failed.assign(definitions=judged.reindex(failed.index))
    rows: list[dict[str, object]] = []
    for row in records(failed):
        reason = row.pop('gate_reason', None)
        text = reason if isinstance(reason, str) else ''
        known = row.pop('definitions')
        known = known if isinstance(known, dict) else {}
        if text.startswith('left out by'):
            continue  # a human verdict has its own row
        common = {**row, 'modality': 'mrs', 'verdict': 'fail', 'reason': reason}
        found = list(CRITERION.finditer(text))
        rows += [
            {**common, 'criterion': m['criterion'],
             'definition': m['definition'] or known.get(m['criterion']),
             'threshold': m['threshold'],
             'value': float(m['value']) if m['value'] else np.nan}
            for m in found
        ] or [{**common, 'criterion': 'quality gate'}]  # fmt: skip
    return pd.DataFrame(rows)
