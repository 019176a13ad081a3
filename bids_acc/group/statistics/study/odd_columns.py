"""Columns of people that are analysed otherwise than their author may think."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import pandas as pd

from bids_acc.group.statistics.model.declaration import Covariate, Model
from bids_acc.group.statistics.study.confounding import MOST_LEVELS, PLACES
from bids_acc.group.statistics.study.data import KEYS, as_levels, level_text
from bids_acc.group.statistics.study.persons import groups_of
from bids_acc.tables.people import described

FEWEST_CODES = 3
"""Codes from which a straight line over them is no factor; over two it is the same."""
MOST_ODD = 0.1
"""Share of people with a level that the model does not declare, above which the declaration is
wrong and not the cells (own convention)."""


def outside_levels(column: pd.Series, covariate: Covariate) -> pd.Series:
    """Tell which cells of a factor hold a level that the model does not declare.

    Parameters
    ----------
    column : Series
        Cells of a table.
    covariate : Covariate
        Without ``Levels`` every level is one.

    Examples
    --------
    >>> sex = Covariate('sex', 'categorical', ('M', 'F'))
    >>> outside_levels(pd.Series(['M', 'X', None]), sex).tolist()
    [False, True, False]
    """
    text = as_levels(column, covariate.levels)
    if not covariate.levels:
        return pd.Series(False, column.index)
    return text.notna() & ~text.isin(covariate.levels)


def no_numbers(column: pd.Series) -> pd.Series:
    """Tell which cells of a column that is analysed as numbers hold something else.

    Parameters
    ----------
    column : Series
        Cells of a table.

    Examples
    --------
    >>> no_numbers(pd.Series(['3', '12-14', None])).tolist()
    [False, True, False]
    """
    return column.notna() & pd.to_numeric(column, errors='coerce').isna()


def are_few(wrong: pd.Series, column: pd.Series) -> bool:
    """Tell whether cells of a column are few enough to be left out, and not a wrong column.

    Parameters
    ----------
    wrong : Series of bool
        Cells that cannot be used.
    column : Series
        All cells, NaN where missing.

    Returns
    -------
    bool
        Whether one, or at most `MOST_ODD` of the known cells, is wrong, and not half of them.
    """
    known = int(column.notna().sum())
    return int(wrong.sum()) <= max(1.0, MOST_ODD * known) and 2 * int(wrong.sum()) < known


def cells_of(wrong: pd.Series, column: pd.Series, who: pd.Series, most: int = 5) -> str:
    """Name cells and whom they are of.

    Parameters
    ----------
    wrong : Series of bool
        Which cells.
    column, who : Series
        Cells, and participants.
    most : int
        More than so many are counted.

    Returns
    -------
    str
        Such as ``'12-14' of sub-01``.
    """
    pairs = list(dict.fromkeys(zip(column[wrong].astype(str), who[wrong], strict=True)))
    more = f' and {len(pairs) - most} more' if len(pairs) > most else ''
    return ', '.join(f'{cell!r} of {person}' for cell, person in pairs[:most]) + more


def column_notes(
    people: pd.DataFrame, model: Model, sidecar: Mapping[str, object], metabolites: Collection[str]
) -> list[str]:
    """Say which columns of the people are analysed otherwise than they may be meant.

    Parameters
    ----------
    people : DataFrame
        One row for each participant and session.
    model : Model
        Names covariates.
    sidecar : mapping
        Descriptions of the columns.
    metabolites : collection of str
        Names of the levels of spectra.

    Returns
    -------
    list of str
        A sentence for each.
    """
    notes = [
        *_odd_levels(people, model),
        *_odd_numbers(people, model),
        *_far_numbers(people, model),
        *_codes_as_numbers(people, model, sidecar),
        *_mostly_missing(people, model),
    ]
    shared = [str(c) for c in people.columns if c not in KEYS and c in metabolites]
    if shared:
        notes.append(
            f'{", ".join(shared)} of the tables of people is a metabolite of the spectra too: '
            'what the spectra say is analysed; rename the column to analyse it as well.'
        )
    return notes


def _odd_levels(people: pd.DataFrame, model: Model) -> Iterator[str]:
    """Name who has a level that the model does not declare."""
    for covariate in model.covariates:
        if covariate.kind != 'categorical' or covariate.column not in people:
            continue
        odd = outside_levels(people[covariate.column], covariate)
        if odd.any():
            held = sorted(set(people.loc[odd, covariate.column].astype(str)))
            who = list(dict.fromkeys(people.loc[odd, 'participant_id']))
            more = f' and {len(who) - 5} more' if len(who) > 5 else ''
            yield (
                f'{covariate.column} is {" or ".join(held)} in {", ".join(who[:5])}{more}, none '
                f'of the Levels {", ".join(covariate.levels)} of the model file: they are left '
                f'out of everything that is adjusted for {covariate.column}.'
            )


def columns_of_numbers(model: Model) -> list[str]:
    """Return the columns of people that a model analyses as numbers.

    Parameters
    ----------
    model : Model
        Its continuous covariates, clinical scores, demographics and the score of improvement.

    Returns
    -------
    list of str
        Each once.
    """
    names = [c.column for c in model.covariates if c.kind != 'categorical']
    names += [*model.content['Clinical']['Scores'], *model.content['Demographics']['Continuous']]
    improvement = model.content['Sessions']['Improvement']
    names += [] if improvement is None else [improvement['Score']]
    return list(dict.fromkeys(names))


def _odd_numbers(people: pd.DataFrame, model: Model) -> Iterator[str]:
    """Name cells that are no numbers, where a column of numbers has a few."""
    for name in columns_of_numbers(model):
        if name not in people:
            continue
        wrong = no_numbers(people[name])
        if wrong.any():
            yield (
                f'{name} holds {cells_of(wrong, people[name], people["participant_id"])}, which '
                f'{"is no number" if wrong.sum() == 1 else "are no numbers"}: left out as missing.'
            )


FAR = 10.0
"""Times the next largest value from which a value is asked about (own convention: a decimal point
that was forgotten)."""
FEWEST_OTHERS = 5


def _far_numbers(people: pd.DataFrame, model: Model) -> Iterator[str]:
    """Ask about a value that is many times the next largest one: a point that was forgotten."""
    for name in columns_of_numbers(model):
        if name not in people:
            continue
        sizes = pd.to_numeric(people[name], errors='coerce').abs().dropna()
        largest = sizes.drop_duplicates().nlargest(2)
        if len(sizes) <= FEWEST_OTHERS or len(largest) < 2 or not largest.iloc[1] > 0:
            continue
        if largest.iloc[0] >= FAR * largest.iloc[1]:
            row = people.loc[largest.index[0]]
            yield (
                f'{name} of {row["participant_id"]} is {float(row[name]):g}, all others are at '
                f'most {largest.iloc[1]:g} in size: kept; if it is a typing error, correct it and '
                'run group again.'
            )


MOST_MISSING = 1 / 3
"""Share of people without a covariate above which that is said first (own convention)."""


def _mostly_missing(people: pd.DataFrame, model: Model) -> Iterator[str]:
    """Name covariates that cost many people: who lacks one is in no adjusted model."""
    group = groups_of(people, model)
    for covariate in model.covariates:
        asked = group.isin(covariate.only_in or model.group.levels)
        if covariate.column not in people or not asked.any():
            continue
        column = people[covariate.column]
        told = column.notna().groupby(people['participant_id']).any()
        told = told.reindex(people.loc[asked, 'participant_id'].unique())
        lacking = int((~told).sum())
        if lacking > MOST_MISSING * len(told):
            yield (
                f'{covariate.column} is missing in {lacking} of {len(told)} participants, who are '
                'in nothing that is adjusted for it: what is adjusted and what is not are of '
                f'different people.{_if_empty_is_no(column)}'
            )


def _if_empty_is_no(column: pd.Series) -> str:
    """Ask for the other answer, where all that are there are one word: a box that is ticked."""
    held = column.dropna().unique()
    if len(held) != 1:
        return ''
    return f' All others hold {held[0]}: if an empty cell means no, write no.'


def _codes_as_numbers(
    people: pd.DataFrame, model: Model, sidecar: Mapping[str, object]
) -> Iterator[str]:
    """Name covariates whose codes enter as a straight line."""
    for covariate in model.covariates:
        name = covariate.column
        if covariate.kind == 'categorical' or name not in people:
            continue
        values = pd.to_numeric(people[name], errors='coerce').dropna()
        codes = sorted(set(values))
        entry = described(sidecar, name)
        levels = entry.get('Levels') if isinstance(entry, Mapping) else None
        # a whole number may be a count: only names of places, or declared levels, make it a code
        coded = PLACES.search(name) is not None or (
            isinstance(levels, Mapping | list) and len(levels) >= FEWEST_CODES
        )
        whole = all(value == int(value) for value in codes)
        if coded and whole and FEWEST_CODES <= len(codes) <= MOST_LEVELS:
            shown = ', '.join(level_text(value) for value in codes[:4])
            more = ', ...' if len(codes) > 4 else ''
            yield (
                f'{name} holds codes ({shown}{more}) and enters the model as a number: a straight '
                f'line over codes adjusts for no {name}; write Kind categorical for it.'
            )
