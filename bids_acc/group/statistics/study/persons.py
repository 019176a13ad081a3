"""What is one thing in each person, whatever the visits say: group and cohort.

A group stands in participants.tsv once, but in sessions.tsv at each visit, where it can be empty
at later ones or change with the diagnosis. Every part counts a person in one group, that of the
first visit (the baseline in front) which tells one, as studies of conversion do (own
convention); who changes is named.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from bids_acc.group.statistics.model.declaration import Model
from bids_acc.group.statistics.study.data import KEYS, as_levels, as_text
from bids_acc.group.statistics.study.sessions import baseline_first, visit_order

FEWEST = 5
"""People of a cohort with a value, below which its range says nothing (own convention)."""


def groups_and_cohorts(people: pd.DataFrame, model: Model) -> pd.DataFrame:
    """Return group and cohort of each row, one and the same in all visits of a person.

    Parameters
    ----------
    people : DataFrame
        One row for each participant and session, with the columns that the model names.
    model : Model
        Names them, and recodes groups.

    Returns
    -------
    DataFrame
        ``group`` and ``cohort`` as text with the index of ``people``, NaN where no visit of the
        person tells one.
    """
    cohort = as_text(people[model.cohort]) if model.cohort else pd.Series('all', people.index)
    order = _visits(people, model)
    return pd.DataFrame({
        'group': of_person(people, _told(people, model), order),
        'cohort': of_person(people, cohort, order),
    })  # fmt: skip


def groups_of(people: pd.DataFrame, model: Model) -> pd.Series:
    """Return the group of each row, one and the same in all visits of a person.

    Parameters
    ----------
    people : DataFrame
        One row for each participant and session.
    model : Model
        Names the column and recodes its values.

    Returns
    -------
    Series of str
        With the index of ``people``; see `groups_and_cohorts`.
    """
    return of_person(people, _told(people, model), _visits(people, model))


def _visits(people: pd.DataFrame, model: Model) -> tuple[str, ...]:
    """Return the sessions in the order of time, the baseline in front."""
    return baseline_first(visit_order(people, model.sessions))


def _told(people: pd.DataFrame, model: Model) -> pd.Series:
    """Return the group that each row tells."""
    recode = dict(model.group.recode)
    wanted = [*model.group.levels, *recode]
    return as_levels(people[model.group.column], wanted).replace(recode)


def of_person(people: pd.DataFrame, values: pd.Series, order: Sequence[str]) -> pd.Series:
    """Give all visits of a person the value of the first one that has any.

    Parameters
    ----------
    people : DataFrame
        With ``participant_id`` and, where there are sessions, ``session_id``.
    values : Series
        A value for each row.
    order : sequence of str
        Sessions in the order of time; a row of another session comes before them.

    Examples
    --------
    >>> people = pd.DataFrame(
    ...     {'participant_id': ['sub-1', 'sub-1'], 'session_id': ['ses-post', 'ses-pre']}
    ... )
    >>> of_person(people, pd.Series(['TRS', 'FL']), ['ses-pre', 'ses-post']).tolist()
    ['FL', 'FL']
    """
    # by time and not by the file: tables are sorted by people's names for visits, 'post' before
    # 'pre'
    ranked = _in_time(people, order)
    first = values.reindex(ranked).groupby(people['participant_id'].reindex(ranked)).first()
    return people['participant_id'].map(first)


def _in_time(people: pd.DataFrame, order: Sequence[str]) -> pd.Index:
    """Return the rows, earlier visits in front."""
    if 'session_id' not in people:
        return people.index
    rank = people['session_id'].map({label: i for i, label in enumerate(order)}).fillna(-1)
    return rank.sort_values(kind='stable').index


def changed_groups(people: pd.DataFrame, model: Model) -> str:
    """Name who is in different groups at different visits; empty without such people.

    Parameters
    ----------
    people, model
        As for `groups_and_cohorts`.
    """
    if 'session_id' not in people or model.group.column not in people:
        return ''
    rows = _in_time(people, _visits(people, model))
    seen = pd.DataFrame({'who': people['participant_id'], 'visit': people['session_id'],
                         'group': _told(people, model)}).reindex(rows).dropna()  # fmt: skip
    # a diagnosis that is revised at follow-up would put one person into two groups of one test
    several = seen[seen.groupby('who')['group'].transform('nunique') > 1]
    if several.empty:
        return ''
    words = []
    for who, own in several.groupby('who', sort=True):
        told = (f'{visit}: {group}' for visit, group in own[['visit', 'group']].to_numpy())
        words.append(f'{who} ({", ".join(told)})')
    more = f' and {len(words) - 5} more' if len(words) > 5 else ''
    return (
        f'The group ({model.group.column}) changes between visits in {", ".join(words[:5])}'
        f'{more}: everybody is counted in the group of the first visit that tells one, in '
        'comparisons and in changes; a column that may change can be a covariate or '
        'Sessions/ResponseColumn.'
    )


def scales_apart(people: pd.DataFrame, names: Sequence[str], place: str | None) -> list[str]:
    """Name numbers that have no value in common range between cohorts, as in another unit.

    Parameters
    ----------
    people : DataFrame
        One row for each participant and session.
    names : sequence of str
        Columns that the model uses.
    place : str or None
        Column of cohorts, sites or data sets.

    Returns
    -------
    list of str
        A sentence for each column of which the largest value of one cohort is below the smallest
        of another, both with at least `FEWEST` people.

    Examples
    --------
    >>> people = pd.DataFrame(
    ...     {
    ...         'participant_id': range(10),
    ...         'site': ['A'] * 5 + ['B'] * 5,
    ...         'gaf': [1, 2, 4, 3, 5, 40, 55, 61, 70, 38],
    ...     }
    ... )
    >>> scales_apart(people, ['gaf'], 'site')[0][:57]
    'gaf lies within 1 to 5 in A and within 38 to 70 in B (sit'
    """
    if place is None or place not in people:
        return []
    known = [
        name for name in dict.fromkeys(names)
        if name in people and name not in (*KEYS, place)
        and pd.api.types.is_numeric_dtype(people[name]) and people[name].dtype != bool
    ]  # fmt: skip
    found = (_apart(people.dropna(subset=[name, place]), name, place) for name in known)
    return [text for text in found if text]


def _apart(known: pd.DataFrame, name: str, place: str) -> str:
    """Say that a column of one cohort lies below that of another; empty if it does not."""
    parts = known.groupby(as_text(known[place]))
    ranges = parts[name].agg(['min', 'max'])[parts['participant_id'].nunique() >= FEWEST]
    if len(ranges) < 2:
        return ''
    # the cohort that ends first and the one that begins last: if these two meet, all do
    low, high = ranges.sort_values('max').iloc[0], ranges.sort_values('min').iloc[-1]
    if low['max'] >= high['min']:
        return ''
    within = [f'{part["min"]:g} to {part["max"]:g} in {part.name}' for part in (low, high)]
    return (
        f'{name} lies within {within[0]} and within {within[1]} ({place}): is it the same scale '
        'in the same unit? It is analysed as it stands.'
    )
