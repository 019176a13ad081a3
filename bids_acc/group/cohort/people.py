"""Everybody in the cohort with the columns of participants.tsv, sessions.tsv and phenotype/.

All tables are read and matched in one way: ids by `bids_acc.tables.labels`, cells by
`bids_acc.tables.people`. What does not match is counted and named.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from bids_acc.exceptions import InputDataError
from bids_acc.group.cohort.quality import KEYS
from bids_acc.group.statistics.study.sessions import VisitOrder, at_first_visit
from bids_acc.tables.labels import match_labels, said_changes, sessions_in_order, with_prefix
from bids_acc.tables.people import (
    PeopleTable,
    read_people_table,
    read_session_tables,
)
from bids_acc.tables.ranges import plain_name
from bids_acc.tables.reading import read_raw

PARTICIPANTS, SESSIONS = 'participants.tsv', 'sessions.tsv'
ONE_ROW = (
    'keep one row for each person (of several runs one), or name the visits in a column session_id'
)


def which_row(table: PeopleTable) -> str:
    """Say what to do about several rows of one person.

    Parameters
    ----------
    table : PeopleTable
        That has them.
    """
    if table.like_sessions is None:
        return ONE_ROW
    return (
        f'name the column {table.like_sessions!r} session_id if it holds the visits, or keep one '
        'row for each person'
    )


Decide = Callable[[pd.DataFrame], VisitOrder]
"""Tells the order of the sessions of a table (`statistics.sessions.visit_order`)."""


@dataclass
class People:
    """The table of people and what a reader must know about it."""

    frame: pd.DataFrame
    """One row for each participant and session, with all columns."""
    notes: list[str] = field(default_factory=list)
    not_joined: dict[str, str] = field(default_factory=dict)
    """Columns of tables that could not be joined, each with the reason."""


def read_participants(output_dir: Path, known: Iterable[str]) -> PeopleTable | None:
    """Read participants.tsv with its ids as the results have them.

    Parameters
    ----------
    output_dir : Path
        Root of the derivative data set.
    known : iterable of str
        Participants who have results, with prefix.

    Returns
    -------
    PeopleTable or None
        None if there is no such file.

    Raises
    ------
    InputDataError
        If the table has nobody of the results, an id could be two people, or the rows of one
        person contradict each other.
    """
    path, known = output_dir / PARTICIPANTS, set(known)
    if not path.is_file():
        return None
    table = matched(read_people_table(path), known, path.name)
    table = _without_summaries(table, known, path.name)
    there = set(table.frame['participant_id'])
    if not there:
        raise InputDataError(f'{path} has a header and nobody below it: fill it in, or remove it.')
    # ids of another spelling would leave everybody without a group, in a run that succeeds
    if known and not there & known:
        raise InputDataError(
            f'{path}: none of its {len(there)} participants has results ({_some(there)}), and '
            f'none of those with results is in it ({_some(known)}); write participant_id as the '
            'folders are called.'
        )
    keys = KEYS if 'session_id' in table.frame else ['participant_id']
    frame, notes, conflicts = one_row_each(table.frame, keys, path.name)
    if conflicts:
        text = conflicts[0].removeprefix(f'{path.name} has several rows ')
        raise InputDataError(f'{path}: several rows {text}; {which_row(table)}.')
    return replace(table, frame=frame, notes=(*table.notes, *notes))


_SUMMARIES = frozenset({
    'mean', 'median', 'average', 'sd', 'std', 'sem', 'min', 'max', 'sum', 'total', 'n', 'count',
    'mittelwert', 'summe', 'moyenne', 'media', 'gesamt',
})  # fmt: skip
"""Words at the beginning of rows that a spreadsheet has below its people."""


def is_summary(ids: pd.Series) -> pd.Series:
    """Tell which rows are about all people, by the first word of their ids.

    Parameters
    ----------
    ids : Series of str
        Participants, with prefix or not.

    Returns
    -------
    Series of bool

    Examples
    --------
    >>> is_summary(pd.Series(['sub-01', 'sub-Mean', 'sub-N = 24'])).tolist()
    [False, True, True]
    """
    words = ids.str.removeprefix('sub-').str.casefold().str.split(r'[\s=:(]', regex=True).str[0]
    return words.isin(_SUMMARIES)


def _without_summaries(table: PeopleTable, known: set[str], where: str) -> PeopleTable:
    """Leave out rows that are about all people: ``Mean``, ``N = 24``."""
    ids = table.frame['participant_id']
    # somebody with results is a person, also if called sub-Mean
    summary = is_summary(ids) & ~ids.isin(known)
    if not summary.any():
        return table
    named = ', '.join(ids[summary].str.removeprefix('sub-').unique()[:3])
    note = f'{where}: rows of {named} are no people and left out.'
    return replace(
        table, frame=table.frame[~summary].reset_index(drop=True), notes=(*table.notes, note)
    )


def matched(table: PeopleTable, known: set[str], where: str) -> PeopleTable:
    """Return a table whose ids are those of the results, as far as they match.

    Parameters
    ----------
    table : PeopleTable
        As read.
    known : set of str
        Participants who have results.
    where : str
        The table, for messages.
    """
    frame = table.frame
    match = match_labels(frame['participant_id'], known, 'sub-', where)
    frame = frame.assign(participant_id=frame['participant_id'].map(match.of))
    return replace(table, frame=frame, notes=(*table.notes, *match.notes))


def one_row_each(
    frame: pd.DataFrame, keys: list[str], where: str, columns: Sequence[str] | None = None
) -> tuple[pd.DataFrame, list[str], list[str]]:
    """Keep one of several rows of the same person, if they say the same.

    Parameters
    ----------
    frame : DataFrame
        A table about people.
    keys : list of str
        What makes a row one of its kind.
    where : str
        The table, for messages.
    columns : sequence of str, optional
        Only these are looked at and kept beside the keys.

    Returns
    -------
    frame : DataFrame
        Without repeated rows.
    notes : list of str
        Who had several rows that say the same.
    conflicts : list of str
        Who has several rows that contradict each other, and in what.

    Examples
    --------
    >>> table = pd.DataFrame({'participant_id': ['sub-1', 'sub-1'], 'bdi': [3, 4]})
    >>> one_row_each(table, ['participant_id'], 'bdi.tsv')[2]
    ['bdi.tsv has several rows for sub-1 that differ in bdi (3 and 4)']
    """
    if columns is not None:
        frame = frame[[*keys, *columns]]
    # a table of runs repeats what it says of a person, which is no contradiction
    unique = frame.drop_duplicates(ignore_index=True)
    twice = unique[unique.duplicated(keys, keep=False)]
    conflicts = [
        f'{where} has several rows for {_person(key)} that differ in {_differences(rows, keys)}'
        for key, rows in twice.groupby(keys, sort=True, dropna=False)
    ]
    again = sorted({_person(key) for key in zip(*(frame.loc[frame.duplicated(), k] for k in keys),
                                                strict=True)})  # fmt: skip
    notes = [f'{where}: several rows that say the same ({_some(again)}): one is read.']
    return unique, notes if again else [], conflicts


def _person(key: object) -> str:
    """Name a person or a visit by its keys."""
    parts = key if isinstance(key, tuple) else (key,)
    return ' '.join(str(part) for part in parts if not pd.isna(part))


def _differences(rows: pd.DataFrame, keys: Sequence[str]) -> str:
    """Name the columns in which rows differ, with the values."""
    words = []
    for name in rows.columns:
        values = list(dict.fromkeys('n/a' if pd.isna(v) else _short(v) for v in rows[name]))
        if name not in keys and len(values) > 1:
            words.append(f'{name} ({" and ".join(values[:3])})')
    more = f' and {len(words) - 3} more' if len(words) > 3 else ''
    return ', '.join(words[:3]) + more


def _short(value: object) -> str:
    """Write a value as in a table."""
    return f'{value:.15g}' if isinstance(value, float) else str(value)


def _some(names: Iterable[str], most: int = 3) -> str:
    """Name the first few of a set and count the others."""
    ordered = sorted(set(names))
    more = f' and {len(ordered) - most} more' if len(ordered) > most else ''
    return ', '.join(ordered[:most]) + more


def read_people(
    output_dir: Path,
    sessions: Sequence[tuple[str, str | None]],
    known: Iterable[str],
    decide: Decide,
) -> People:
    """Join participants.tsv and the tables of visits to the sessions.

    Parameters
    ----------
    output_dir : Path
        Root of the derivative data set.
    sessions : sequence of (str, str or None)
        Participants and sessions, with prefixes.
    known : iterable of str
        All participants who have results.
    decide : callable
        Tells the order of the sessions of a table.

    Raises
    ------
    InputDataError
        If a table cannot be read, or contradicts itself.
    """
    people = People(pd.DataFrame(sessions, columns=KEYS))
    table = read_participants(output_dir, known)
    if table is None:
        people.notes.append(
            'There is no participants.tsv, so groups, age and sex are unknown: parcels are made, '
            f'but nothing is compared.{_like_participants(output_dir)}'
        )
        return people
    people.notes += table.notes
    if unknown := set(people.frame['participant_id']) - set(table.frame['participant_id']):
        people.notes.append(f'Not in participants.tsv: {_some(unknown, 10)}.')
    if 'session_id' in table.frame:
        attach(people, table.frame, PARTICIPANTS, decide)
    else:
        people.frame = people.frame.merge(table.frame, on='participant_id', how='left')
    _add_visits_of_all(people, output_dir / SESSIONS, set(known), decide)
    visits = read_session_tables(output_dir, sorted({s for s, _ in sessions}))
    if visits is not None:
        people.notes += visits.notes
        attach(people, visits.frame, SESSIONS, decide)
    return people


def _add_visits_of_all(people: People, path: Path, known: set[str], decide: Decide) -> None:
    """Join a table of everybody's visits beside participants.tsv, where there is one.

    BIDS knows one table for each person; BIDS extension proposal 36 puts all into one.
    """
    if not path.is_file():
        return
    table = matched(read_people_table(path), known, path.name)
    people.notes += table.notes
    if 'session_id' not in table.frame:
        people.notes.append(f'{path.name} has no column session_id: it is not read.')
        return
    attach(people, table.frame, path.name, decide)


def _like_participants(folder: Path) -> str:
    """Name a table of participants that is called or written otherwise."""
    like = sorted(
        path.name for path in folder.glob('*')
        if path.stem.casefold() in ('participants', 'participant') and path.is_file()
        and path.suffix.lower() in ('.tsv', '.csv', '.txt', '.xlsx', '.xls', '.ods')
    )  # fmt: skip
    if not like:
        return ''
    return f' There is {like[0]}: save it as tab-separated text with the name participants.tsv.'


def attach(
    people: People, table: pd.DataFrame, where: str,
    decide: Decide, columns: Sequence[str] | None = None,
) -> None:  # fmt: skip
    """Give people the columns of a table with one row for each visit.

    The value of a visit is taken where there is one. Otherwise a value that the person already
    has stays if the table has none of that person at all, or if the session is the person's
    first: participants.tsv describes people when they enter a study.

    Parameters
    ----------
    people : People
        Its frame gets the columns.
    table : DataFrame
        With ``participant_id`` and ``session_id``.
    where : str
        The table, for messages.
    decide : callable
        Tells the order of the sessions of a table.
    columns : sequence of str, optional
        Only these.
    """
    names = [c for c in (columns or table.columns) if c not in KEYS]
    visits = _with_session_labels(people, table, where, decide)
    visits, notes, conflicts = one_row_each(visits, KEYS, where, names)
    people.notes += notes
    if conflicts:
        people.notes += [f'{text}: it is not read.' for text in conflicts[:3]]
        people.not_joined |= dict.fromkeys(names, f'{conflicts[0]}; {ONE_ROW}')
        return
    _say_unmatched(people, visits, where)
    order = decide(_with_times(people.frame[KEYS], visits))
    first = _first_sessions(people.frame, order)
    keyed = people.frame[KEYS].merge(visits, on=KEYS, how='left', sort=False)
    for name in names:
        own = keyed[name].set_axis(people.frame.index)
        if name not in people.frame:
            people.frame[name] = own
            continue
        # who has values of visits must not get the person's one at later visits: an age, or a
        # score, would stand still
        has_visits = people.frame['participant_id'].isin(
            visits.loc[visits[name].notna(), 'participant_id']
        )
        people.frame[name] = _filled(own, people.frame[name], ~has_visits | first)


def _filled(own: pd.Series, person: pd.Series, where: pd.Series) -> pd.Series:
    """Return the values of visits, and those of the person where allowed."""
    # numbers of one table and words of another cannot share a column of numbers
    if pd.api.types.is_numeric_dtype(own) != pd.api.types.is_numeric_dtype(person):
        own, person = (
            s.map(lambda v: None if pd.isna(v) else _short(v)).astype(object)
            for s in (own, person)
        )
    return own.where(own.notna() | ~where, person)


def _words(column: pd.Series) -> pd.Series:
    """Return a column as text; missing stays missing."""
    return column.map(lambda v: None if pd.isna(v) else _short(v)).astype(object)


def _first_sessions(frame: pd.DataFrame, order: VisitOrder) -> pd.Series:
    """Tell which rows are a person's first session."""
    first = at_first_visit(frame, order)
    return pd.Series(frame.index.isin(first.index), index=frame.index)


def _with_session_labels(
    people: People, table: pd.DataFrame, where: str,
    decide: Decide,
) -> pd.DataFrame:  # fmt: skip
    """Return a table of visits whose labels are those of the results, person by person."""
    by_person: Mapping[str, set[str]] = {
        str(person): {str(v) for v in visits if not pd.isna(v)}
        for person, visits in people.frame.groupby('participant_id')['session_id']
    }
    if not any(by_person.values()):
        return _first_visit_only(people, table, where, decide)
    labels, notes = session_labels(table, by_person, where)
    people.notes += notes
    ordered = table.loc[labels.index]
    return ordered.assign(session_id=labels).reset_index(drop=True)


def session_labels(
    table: pd.DataFrame, known: Mapping[str, set[str]], where: str
) -> tuple[pd.Series, list[str]]:
    """Match the sessions of a table to those of the results, person by person.

    Parameters
    ----------
    table : DataFrame
        With ``participant_id`` as the results have it, and ``session_id``.
    known : mapping of str to set of str
        Sessions of each person.
    where : str
        The table, for messages.

    Returns
    -------
    labels : Series
        With prefix, person by person, None where the table has none; indexed as the table.
    notes : list of str
        Which labels were read as others.
    """
    parts = [pd.Series(dtype=object)]
    changed, changers = dict[str, str](), 0
    for person, rows in table.groupby('participant_id', sort=True):
        given = [str(v) for v in rows['session_id'].dropna()]
        # against this person's visits: 01 of one may be baseline in the folder of another
        match = match_labels(given, known.get(str(person), set()), 'ses-', f'{where} of {person}')
        others = {with_prefix(text, 'ses-'): label for text, label in match.of.items()}
        others = {written: label for written, label in others.items() if written != label}
        changed, changers = {**others, **changed}, changers + bool(others)
        labels = rows['session_id'].map(lambda v, of=match.of: None if pd.isna(v) else of[str(v)])
        parts.append(labels.astype(object))
    who = 'one person' if changers == 1 else f'{changers} people'
    notes = [said_changes(changed, f'{where} of {who}')] if changed else []
    return pd.concat(parts), notes


def _with_times(frame: pd.DataFrame, visits: pd.DataFrame) -> pd.DataFrame:
    """Add when each session was, where a table tells."""
    if 'acq_time' not in visits:
        return frame
    return frame.merge(visits[[*KEYS, 'acq_time']], on=KEYS, how='left', sort=False)


def _first_visit_only(
    people: People, table: pd.DataFrame, where: str,
    decide: Decide,
) -> pd.DataFrame:  # fmt: skip
    """Return one row for each person of results that have no sessions: the first visit."""
    labels = table['session_id'].map(lambda v: None if pd.isna(v) else with_prefix(str(v), 'ses-'))
    # by their time or number: of labels by letters, 'post' comes before 'pre'
    order = {label: i for i, label in enumerate(decide(table.assign(session_id=labels)).order)}
    ranked = table.assign(_rank=labels.map(lambda v: order.get(v, -1)), _label=labels)
    first = ranked.groupby('participant_id')['_rank'].transform('min')
    kept = ranked[ranked['_rank'] == first]
    if len(kept) < len(ranked):
        used = ', '.join(sessions_in_order({str(v) for v in kept['_label']}))
        people.notes.append(
            f'{where}: the results have no sessions; of several visits the first one is read '
            f'({used}).'
        )
    return kept.drop(columns=['_rank', '_label']).assign(session_id=None)


def _say_unmatched(people: People, visits: pd.DataFrame, where: str) -> None:
    """Name visits without results, and sessions of the same people without a row."""
    results = {_person(key) for key in people.frame[KEYS].itertuples(index=False, name=None)}
    rows = {_person(key) for key in visits[KEYS].itertuples(index=False, name=None)}
    mine = people.frame['participant_id'].isin(visits['participant_id'])
    theirs = visits['participant_id'].isin(people.frame['participant_id'])
    lacking = {_person(k) for k in people.frame.loc[mine, KEYS].itertuples(index=False, name=None)}
    over = {_person(k) for k in visits.loc[theirs, KEYS].itertuples(index=False, name=None)}
    if missing := over - results:
        people.notes.append(
            f'{where}: {_have(len(missing), "visit")} no results ({_some(missing)}).'
        )
    if lacking := lacking - rows:
        people.notes.append(
            f'{where}: {_have(len(lacking), "session")} no row ({_some(lacking)}).'
        )


def _have(number: int, noun: str) -> str:
    """Say that some have, in the singular for one."""
    return f'{number} {noun} has' if number == 1 else f'{number} {noun}s have'


def join_phenotype(
    people: People, folder: Path, names: set[str],
    known: Iterable[str], decide: Decide, asked: Collection[str] = (),
) -> People:  # fmt: skip
    """Add the columns of phenotype tables that a model names.

    Parameters
    ----------
    people : People
        Their own columns win over those of the tables.
    folder : Path
        With tables of one row for each participant, or participant and session.
    names : set of str
        Wanted columns.
    known : iterable of str
        All participants who have results.
    decide : callable
        Tells the order of the sessions of a table.
    asked : collection of str
        Those of the names that are columns of people whatever happens: they are found in other
        case too, and so that is said.

    Returns
    -------
    People
        With the columns that were found. A table whose rows for one person contradict each other
        is not joined: which of them is meant cannot be known; `People.not_joined` says so.
    """
    joined = People(people.frame.copy(), list(people.notes), dict(people.not_joined))
    source: dict[str, str] = {}
    unread: list[str] = []
    known = set(known)
    for path in sorted(folder.glob('*.tsv')):
        try:
            table = read_people_table(path, names, set(asked) - set(people.frame.columns))
        except InputDataError as error:
            # one broken table of phenotypes must not stop a model that names a column of another
            joined.notes.append(f'{error} It is not read.')
            unread.append(str(error).removesuffix('.'))
            continue
        wanted = [c for c in table.frame.columns if c in names - set(people.frame.columns)]
        table = matched(table, known, path.name)
        for again in [c for c in wanted if c in source]:
            _fill_from(joined, table, again, (source[again], path.name), decide)
        if wanted := [name for name in wanted if name not in source]:
            source |= dict.fromkeys(wanted, path.name)
            _join_one(joined, table, wanted, path.name, decide)
    unread += [
        f'{path.name} is no tab-separated table: save it as .tsv'
        for path in sorted(folder.glob('*')) if path.suffix.lower() in _OTHER_TABLES
    ]  # fmt: skip
    missing = names - set(joined.frame.columns) - set(joined.not_joined)
    # the likely reason, told where the model misses its column, hours before anybody would look
    # into a log
    joined.not_joined |= dict.fromkeys(missing, unread[0]) if unread else {}
    joined.not_joined |= _spelt_otherwise(missing, folder)
    return joined


_OTHER_TABLES = frozenset({'.csv', '.xlsx', '.xls', '.ods', '.sav', '.dta'})


def _spelt_otherwise(names: Iterable[str], folder: Path) -> dict[str, str]:
    """Name the table that has a column in other case or with blanks in it."""
    asked, found = {plain_name(name): name for name in names}, dict[str, str]()
    for path in sorted(folder.glob('*.tsv')):
        try:
            header = read_raw(path).header
        except InputDataError:
            continue
        for column in header:
            name = asked.get(plain_name(column), column)
            if name != column:
                found.setdefault(name, f'{path.name} calls it {column!r}: write the same')
    return found


def _fill_from(
    people: People, table: PeopleTable, name: str, sources: tuple[str, str], decide: Decide
) -> None:
    """Give a column of one table the values of another where it has none: sites, or visits."""
    other = People(people.frame[KEYS].copy())
    _join_one(other, table, [name], sources[1], decide)
    people.notes += other.notes
    if name not in other.frame:
        return
    if name not in people.frame:  # the first table could not be joined
        people.notes.append(f'{name} stands in {sources[0]} and {sources[1]}: the second is read.')
        people.frame[name] = other.frame[name].to_numpy()
        people.not_joined.pop(name, None)
        return
    mine, theirs = people.frame[name], other.frame[name].set_axis(people.frame.index)
    both = mine.notna() & theirs.notna()
    apart = both & (_words(mine) != _words(theirs))
    who = people.frame['participant_id']
    taken = mine.isna() & theirs.notna()
    if 'session_id' not in table.frame:  # of a person, and not of a visit that the other lacks
        taken &= ~mine.notna().groupby(who).transform('any')
    people.frame[name] = _filled(mine, theirs, taken)
    text = f'{name} stands in {sources[0]} and {sources[1]}'
    if taken.any():
        values = f'{taken.sum()} value' + ('' if taken.sum() == 1 else 's')
        text += f'; {sources[1]} gives {values} that the other lacks'
    if apart.any():
        text += f'; of {_some(who[apart])} they differ: {sources[0]} is read'
    people.notes.append(f'{text}.')


def _join_one(
    people: People, table: PeopleTable, wanted: list[str], where: str,
    decide: Decide,
) -> None:  # fmt: skip
    """Add some columns of one table."""
    people.notes += [note for note in table.notes if _is_about(note, wanted, where)]
    frame = table.frame
    if not set(frame['participant_id']) & set(people.frame['participant_id']):
        reason = f'{where} has nobody of the results'
        people.notes.append(f'{reason} ({_some(frame["participant_id"])}).')
        people.not_joined |= dict.fromkeys(wanted, reason)
        return
    if 'session_id' in frame and frame['session_id'].notna().any():
        attach(people, frame, where, decide, wanted)
        return
    rows, notes, conflicts = one_row_each(frame, ['participant_id'], where, wanted)
    people.notes += notes
    if conflicts:
        more = f' ({len(conflicts)} people)' if len(conflicts) > 1 else ''
        remedy = which_row(table)
        people.notes.append(f'{conflicts[0]}{more}: the table is not read; {remedy}.')
        people.not_joined |= dict.fromkeys(wanted, f'{conflicts[0]}{more}; {remedy}')
        return
    people.frame = people.frame.merge(rows, on='participant_id', how='left', sort=False)


def _is_about(note: str, wanted: Sequence[str], where: str) -> bool:
    """Tell whether a note is about the whole table or one of the columns that are read."""
    rest = note.removeprefix(where)
    return not rest.startswith(', ') or any(rest.startswith(f', {name}: ') for name in wanted)
