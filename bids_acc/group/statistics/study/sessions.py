"""Sessions of a longitudinal study: their order, the first one, improvement between two."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from bids_acc.exceptions import InputDataError
from bids_acc.group.formulas.longitudinal import percent_change, responders
from bids_acc.group.statistics.model.content import SessionsEntry
from bids_acc.tables.labels import sessions_in_order
from bids_acc.tables.missing import is_missing


@dataclass(frozen=True)
class VisitOrder:
    """Sessions in the order of time, the baseline, and who says so."""

    order: tuple[str, ...]
    """As they stand in the table."""
    baseline: str | None
    """At which everything but change is analysed; None without sessions."""
    reason: str
    """For the report."""


def visit_order(frame: pd.DataFrame, wanted: SessionsEntry | None = None) -> VisitOrder:
    """Decide the order of the sessions and which is the baseline, for every part of an analysis.

    What the model says counts (``Sessions/Baseline``, ``Order``); otherwise ``acq_time`` of
    sessions.tsv, if it tells all sessions apart; otherwise the labels (`sessions_in_order`).

    Parameters
    ----------
    frame : DataFrame
        One row for each participant and session, with ``session_id`` and perhaps ``acq_time``.
    wanted : mapping, optional
        ``Sessions`` of the model, where one was chosen.

    Raises
    ------
    InputDataError
        If nobody has a session that the model names.

    Examples
    --------
    >>> people = pd.DataFrame(
    ...     {'participant_id': ['sub-1', 'sub-1'], 'session_id': ['ses-b', 'ses-a']}
    ... )
    >>> visit_order(people).order
    ('ses-a', 'ses-b')
    >>> visit_order(people.assign(acq_time=['2020-01-01', '2020-02-01'])).order
    ('ses-b', 'ses-a')
    """
    present = _labels(frame)
    if not present:
        return VisitOrder((), None, '')
    in_order, told = (wanted.get('Order'), wanted.get('Baseline')) if wanted else ([], None)
    if in_order:
        named = [_named(label, present, 'Order') for label in in_order]
        order = named + [label for label in sessions_in_order(present) if label not in named]
        source = 'the model file'
    elif (timed := _by_time(frame, present)) is not None:
        order, source = timed, 'acq_time of sessions.tsv'
    else:
        order, source = sessions_in_order(present), f'their labels{_unread_times(frame)}'
    baseline = order[0]
    if told is not None:
        baseline = _named(told, present, 'Baseline')
        source = source if baseline == order[0] else f'{source}, the baseline by the model file'
    reason = (
        f'Sessions {", ".join(order)} in this order by {source}: everything but change is '
        f'analysed at {baseline} (Sessions/Baseline, Order).'
    )
    return VisitOrder(tuple(order), baseline, reason)


def unshared_sessions(frame: pd.DataFrame, visits: VisitOrder) -> str:
    """Say that sessions cannot be compared between people, because labels differ.

    Parameters
    ----------
    frame : DataFrame
        One row for each participant and session.
    visits : VisitOrder
        From `visit_order`.

    Returns
    -------
    str
        Empty where the labels are shared, or only one person has sessions.

    Examples
    --------
    >>> people = pd.DataFrame(
    ...     {'participant_id': ['sub-1', 'sub-2'], 'session_id': ['ses-1a', 'ses-2a']}
    ... )
    >>> unshared_sessions(people, visit_order(people))[:49]
    'No two participants share a session label (ses-1a'
    >>> unshared_sessions(people.assign(session_id='ses-1'), visit_order(people))
    ''
    """
    if visits.baseline is None:
        return ''
    seen = frame[frame['session_id'].isin(visits.order)].drop_duplicates(
        ['participant_id', 'session_id']
    )
    n, people = seen['session_id'].value_counts(), seen['participant_id'].nunique()
    if people < 2:
        return ''
    some = ', '.join(visits.order[:3]) + (', ...' if len(visits.order) > 3 else '')
    remedy = (
        'Name the same visit alike in everybody (ses-01, ses-02) and run again, or name the '
        'visits in Sessions/Order and Baseline of the model file.'
    )
    if n.max() == 1:
        return (
            f'No two participants share a session label ({some}): visits cannot be matched, and '
            f'only one person has the baseline {visits.baseline}. {remedy}'
        )
    if 2 * n[visits.baseline] < people:  # own convention: less than half
        return (
            f'Only {n[visits.baseline]} of {people} participants with sessions have the baseline '
            f'{visits.baseline}; the others are left out of everything but change. {remedy}'
        )
    return ''


def dates_against(frame: pd.DataFrame, visits: VisitOrder) -> str:
    """Name people whose own dates put their visits into another order than that of all.

    Parameters
    ----------
    frame : DataFrame
        One row for each participant and session, perhaps with ``acq_time``.
    visits : VisitOrder
        From `visit_order`.

    Returns
    -------
    str
        Empty where all dates agree, or there are none.

    Examples
    --------
    >>> people = pd.DataFrame(
    ...     {
    ...         'participant_id': ['sub-1', 'sub-1'],
    ...         'session_id': ['ses-1', 'ses-2'],
    ...         'acq_time': ['2020-03-01', '2020-01-01'],
    ...     }
    ... )
    >>> dates_against(people, VisitOrder(('ses-1', 'ses-2'), 'ses-1', ''))[:63]
    'acq_time puts the visits of 1 of 1 participants with dates into'
    """
    if 'acq_time' not in frame or len(visits.order) < 2:
        return ''
    place = {label: i for i, label in enumerate(visits.order)}
    known = pd.DataFrame({'who': frame['participant_id'], 'time': _times(frame['acq_time']),
                          'place': frame['session_id'].map(place)}).dropna()  # fmt: skip
    known = known.sort_values(['who', 'place'], kind='stable')
    several = known[known.groupby('who')['time'].transform('size') > 1]
    by_person = several.groupby('who')['time']
    against = [str(who) for who, times in by_person if not times.is_monotonic_increasing]
    if not against:
        return ''
    more = f' and {len(against) - 5} more' if len(against) > 5 else ''
    return (
        f'acq_time puts the visits of {len(against)} of {by_person.ngroups} participants with '
        f'dates into another order than {", ".join(visits.order)} '
        f'({", ".join(against[:5])}{more}): labels or dates may be exchanged there; the labels '
        'are used as they stand.'
    )


def _labels(frame: pd.DataFrame) -> list[str]:
    """Return the session labels that occur."""
    if 'session_id' not in frame:
        return []
    return sessions_in_order(set(frame['session_id'].dropna().astype(str)) - {'n/a', 'None'})


def _named(label: str, present: list[str], where: str) -> str:
    """Return the session that a model file means, with or without ``ses-``."""
    plain = str(label).removeprefix('ses-')
    for name in present:
        if name.removeprefix('ses-') == plain:
            return name
    raise InputDataError(
        f'Sessions/{where} {label!r}: there is no such session; there are: {", ".join(present)}.'
    )


def _by_time(frame: pd.DataFrame, present: list[str]) -> list[str] | None:
    """Return the sessions by the place that they have among each person's dates.

    Dates of different people are not compared: they are often shifted, person by person.
    """
    if 'acq_time' not in frame or len(present) < 2:
        return None
    known = frame.assign(_time=_times(frame['acq_time'])).dropna(subset=['_time'])
    known = known[known['session_id'].isin(present)]
    if known.empty:
        return None
    by_person = known.groupby('participant_id')['_time']
    several = known[by_person.transform('nunique') > 1]
    # counted from each person's own first visit: dates are shifted person by person where data are
    # shared
    since = several['_time'] - several.groupby('participant_id')['_time'].transform('min')
    if set(several['session_id']) != set(present):
        return None
    typical = since.groupby(several['session_id']).median()
    # two visits at one median time have no order, and labels decide
    return None if typical.duplicated().any() else list(typical.sort_values().index)


def _times(column: pd.Series) -> pd.Series:
    """Read dates as ISO 8601 writes them, or with points, where the day stands first."""
    text = column.astype(str).str.replace(
        r'^(\d{1,2})\.(\d{1,2})\.(\d{4})', r'\3-\2-\1', regex=True
    ).str.replace(r'-(\d)(?=-|\b)', r'-0\1', regex=True)  # fmt: skip
    return pd.to_datetime(text, errors='coerce', format='ISO8601', utc=True)


def _unread_times(frame: pd.DataFrame) -> str:
    """Say that there are dates which cannot be read, so that nobody thinks that they counted."""
    if 'acq_time' not in frame:
        return ''
    given = frame['acq_time'].dropna().astype(str)
    unread = given[_times(given).isna() & ~given.map(is_missing)]
    if unread.empty:
        return ''
    return f' (acq_time is not written as 2024-12-31: {unread.iloc[0]})'


def at_first_visit(people: pd.DataFrame, visits: VisitOrder) -> pd.DataFrame:
    """Return one row for each participant: the baseline, or the earliest session there is.

    Parameters
    ----------
    people : DataFrame
        One row for each participant and session.
    visits : VisitOrder
        From `visit_order`.
    """
    if 'session_id' not in people:
        return people.drop_duplicates('participant_id')
    labels = baseline_first(visits)
    place = {label: i for i, label in enumerate(labels)}
    rank = people['session_id'].map(lambda label: place.get(label, len(place)))
    ordered = people.assign(_rank=rank).sort_values('_rank', kind='stable')
    first = ordered.drop_duplicates('participant_id').sort_index()
    return first.drop(columns='_rank')


def baseline_first(visits: VisitOrder) -> tuple[str, ...]:
    """Return the sessions, the baseline in front and the others in their order.

    Parameters
    ----------
    visits : VisitOrder
        Order of time, which need not begin with the baseline.

    Returns
    -------
    tuple of str
        Each session once; empty without sessions.

    Examples
    --------
    >>> baseline_first(VisitOrder(('ses-a', 'ses-b'), 'ses-b', ''))
    ('ses-b', 'ses-a')
    """
    first = () if visits.baseline is None else (visits.baseline,)
    return (*first, *(label for label in visits.order if label not in first))


def with_improvement(wide: pd.DataFrame, sessions: SessionsEntry) -> pd.DataFrame:
    """Add how much a symptom score improved and who responded, if the model asks for it.

    Parameters
    ----------
    wide : DataFrame
        One row per participant and session.
    sessions : mapping
        ``Sessions`` of the model, of which ``Improvement`` names the score, its minimum, the
        later session and the threshold.

    Returns
    -------
    DataFrame
        With ``<score>_improvement`` in per cent, ``<score>_response`` and, with a cut-off,
        ``<score>_remission``, the same in all of a participant's sessions; missing where either
        session lacks the score or the first is at its minimum.

    Raises
    ------
    InputDataError
        If the score or the session is not there.
    """
    wanted = sessions['Improvement']
    if wanted is None:
        return wide
    score, visits = wanted['Score'], visit_order(wide, sessions)
    if score not in wide.columns:
        raise InputDataError(f'Sessions/Improvement: there is no column {score!r}.')
    order, first = visits.order, visits.baseline
    label = str(wanted['Session'] or order[-1]).removeprefix('ses-') if order else ''
    visit = wide['session_id'].astype(str).str.removeprefix('ses-')
    if first is None or not (visit == label).any() or label == first.removeprefix('ses-'):
        raise InputDataError(
            f'Sessions/Improvement: there is no session {label!r} after the first ({first}).'
        )
    # from the scale's own least score: a PANSS of 30 is no symptom at all, and halving 60 is full
    # remission
    values = pd.to_numeric(wide[score], errors='coerce') - wanted['Minimum']
    by_person = [
        values[rows].groupby(wide.loc[rows, 'participant_id']).first()
        for rows in (wide['session_id'] == first, visit == label)
    ]
    # those with both scores; who lacks one has no verdict, and trials count it as no response
    # where they say so
    before, after = by_person[0].align(by_person[1], join='inner')
    improvement = pd.Series(percent_change(before, after), before.index)
    verdict = pd.Series(responders(improvement, wanted['Threshold']), before.index)
    words = verdict.map({1.0: 'responder', 0.0: 'nonresponder'})
    who = wide['participant_id']
    wide = wide.copy()
    wide[f'{score}_improvement'] = who.map(improvement)
    wide[f'{score}_response'] = who.map(words)
    if wanted['Remission'] is not None:
        left = (after + wanted['Minimum'])[before.notna() & after.notna()]
        well = (left <= wanted['Remission']).map({True: 'remitted', False: 'not remitted'})
        wide[f'{score}_remission'] = who.map(well)
    return wide
