"""Parcels, metabolites and people joined into one study.

Long tables become one wide table with a row per participant and session. A value that did not
pass its quality gate is missing there, and `Study.gate_failed` keeps where.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

import numpy as np
import pandas as pd

from bids_acc.exceptions import InputDataError
from bids_acc.group.formulas.design import OUTSIDE, varies
from bids_acc.group.opnmf.features import BOTH, PARTIAL_VOLUME
from bids_acc.group.statistics.model.declaration import HEMISPHERE, Covariate, Model, nearest
from bids_acc.group.statistics.study.data import KEYS, Measure, Study, as_levels
from bids_acc.group.statistics.study.odd_columns import (
    MOST_ODD,
    are_few,
    cells_of,
    columns_of_numbers,
    no_numbers,
    outside_levels,
)
from bids_acc.group.statistics.study.persons import groups_and_cohorts
from bids_acc.group.statistics.study.proposal import reads_like_controls
from bids_acc.group.statistics.study.sessions import with_improvement
from bids_acc.group.statistics.study.voxels import VoxelChoice, choose_voxels, for_voxels, selected
from bids_acc.tables.ranges import AGE_NAMES, SEX_NAMES, SEXES, birth_hint, plain_name
from bids_acc.tables.written import kind_of, units_of


def make_study(
    model: Model,
    parcels: pd.DataFrame | None,
    mrs: pd.DataFrame | None,
    participants: pd.DataFrame,
    qc: pd.DataFrame | None = None,
    *,
    use_gate: bool = True,
    not_joined: Mapping[str, str] | None = None,
) -> Study:
    """Join all tables and apply the model's definition of groups and cohorts.

    Parameters
    ----------
    model : Model
        Checked model.
    parcels : DataFrame or None
        Long table with participant_id, session_id, component, metric, value.
    mrs : DataFrame or None
        Long table with participant_id, session_id, metabolite, unit_scheme, value, gate.
    participants : DataFrame
        Columns of participants.tsv (and, with a session_id column, of sessions.tsv).
    qc : DataFrame or None
        Quality measures by participant and session.
    use_gate : bool
        Whether values that failed their gate are missing.
    not_joined : mapping of str to str, optional
        Columns of tables that could not be joined, each with the reason.

    Raises
    ------
    InputDataError
        If the group, cohort or covariate columns are absent, or a cell has two values.
    """
    parcels = _keyed(parcels)
    mrs, qc = _keyed(mrs), _keyed(qc)
    voxels = choose_voxels(mrs, model) if 'voxel' in mrs and len(mrs) else VoxelChoice(())
    if voxels.used:
        model = for_voxels(model, voxels, mrs['metabolite'].dropna().astype(str).unique())
        mrs = selected(mrs, voxels)
    people = _people(model, participants, not_joined or {})
    measures: list[Measure] = []
    structure, found = _parcel_columns(parcels, model) if len(parcels) else (parcels, [])
    measures += found
    metabolites, failed = gated_values(mrs, model, use_gate=use_gate)
    ratios = set(model.content['Ratios'])
    named = {*model.content['Mrs']['Primary'], *model.content['Mrs']['Secondary'], *ratios}
    measures += [
        _metabolite(str(name), model, voxels) for name in metabolites.columns
        # what the model asks for stays, though it is the same in all: its row then says so
        if name in named or varies(metabolites[name])  # tCr in units of tCr is 1 in everybody
    ]  # fmt: skip
    present = [structure] if found else []
    if len(metabolites.columns):
        present.append(metabolites.reset_index())
    wide = _join(people, present)
    for name in response_columns(model, wide.columns):
        wide[name] = pd.to_numeric(wide[name], errors='coerce')
        measures.append(Measure(name, 'column', name))
    wide = with_improvement(
        wide.sort_values(KEYS, kind='stable', ignore_index=True), model.sessions
    )
    # by the keys and not by position: the table of people has rows that no spectrum has
    mask = wide[KEYS].merge(
        failed.reset_index() if len(failed.columns) else wide[KEYS], on=KEYS, how='left'
    )
    gate_failed = mask.drop(columns=KEYS).eq(True)
    gate_failed.index = wide.index
    wide, dropped = _apply_groups(wide, model)
    return Study(
        model, wide, tuple(measures), qc, mrs, gate_failed.loc[wide.index], dropped, voxels
    )


def response_columns(model: Model, there: Iterable[str]) -> list[str]:
    """Return the columns that the model file names as further responses, in its order.

    A pattern stands for all columns that it fits; where none does, `requests` says so.

    Parameters
    ----------
    model : Model
        Its ``Responses/Columns``: names, or patterns with ``*``, ``?`` or ``[``.
    there : iterable of str
        Columns of the joined table.

    Returns
    -------
    list of str
        Each once.

    Raises
    ------
    InputDataError
        If a column is named that is not there.
    """
    known = [str(name) for name in there]
    found: dict[str, None] = {}
    for name in model.content['Responses']['Columns']:
        if set(name) & set('*?['):
            found |= dict.fromkeys(n for n in known if fnmatchcase(n, name))
        elif name in known:
            found[name] = None
        else:
            close = nearest(name, known)
            hint = f' Did you mean {close!r}?' if close else ''
            raise InputDataError(f'Responses/Columns: there is no column {name!r}.{hint}')
    return list(found)


def _metabolite(name: str, model: Model, voxels: VoxelChoice) -> Measure:
    """Describe a metabolite or ratio, and where several are analysed, its voxel."""
    ratio = name in model.content['Ratios']
    ending = next((v.name for v in voxels.used if name.endswith(f'_{v.name}')), '')
    ending = ending if len(voxels.used) > 1 else ''
    parts = [part.removesuffix(f'_{ending}') if ending else part for part in name.split('/')]
    unit = '' if ratio else str(model.content['Mrs']['UnitScheme'])
    return Measure(name, 'ratio' if ratio else 'metabolite', '/'.join(parts), unit=unit,
                   voxel=ending)  # fmt: skip


def gated_values(
    mrs: pd.DataFrame, model: Model, *, use_gate: bool = True
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return metabolites and ratios as columns, and where the gate emptied a cell.

    Parameters
    ----------
    mrs : DataFrame
        Long table: participant_id, session_id, metabolite, unit_scheme, value, gate; of the
        analysed voxels (`bids_acc.group.statistics.study.voxels.selected`).
    model : Model
        Unit scheme and ratios.
    use_gate : bool
        Empty the values whose gate is not ``pass``; a missing verdict does not pass.

    Returns
    -------
    values, failed : DataFrame
        Indexed by participant and session, one column per metabolite or ratio.
    """
    table = _of_scheme(mrs, model)
    if table.empty:
        empty = pd.DataFrame(index=pd.MultiIndex.from_arrays([[], []], names=KEYS))
        return empty, empty
    _refuse_doubles(table, [*KEYS, 'metabolite'], 'metabolites')
    values = table.pivot(index=KEYS, columns='metabolite', values='value').astype(float)  # noqa: PD010
    if use_gate and 'gate' in table.columns:
        verdict = table.assign(ok=table['gate'].astype(str).str.lower().eq('pass'))
        passed = verdict.pivot(index=KEYS, columns='metabolite', values='ok')  # noqa: PD010
        # compared and not negated: where there is no spectrum, nothing has failed
        failed = passed.eq(False)  # a spectrum that failed has no values and counts as well
        values = values.where(~failed)
    else:
        failed = pd.DataFrame(False, index=values.index, columns=values.columns)
    for ratio in model.content['Ratios']:
        top, bottom = ratio.split('/')
        if top in values.columns and bottom in values.columns:
            with np.errstate(divide='ignore', invalid='ignore'):
                quotient = values[top] / values[bottom]
            # a level of zero below the line is a fit that found nothing, and no infinite ratio
            values[ratio] = quotient.where(np.isfinite(quotient))
            failed[ratio] = failed[top] | failed[bottom]
    return values, failed


def _parcel_columns(parcels: pd.DataFrame, model: Model) -> tuple[pd.DataFrame, list[Measure]]:
    """Spread the long table of parcels over columns such as ``thickness_c1``.

    What stands beside diffusion (`PARTIAL_VOLUME`) is a column and no response, unless the model
    names it as one.
    """
    wanted = model.content['Responses']
    named, table = set(wanted['Metrics'] or []), parcels
    if wanted['Metrics'] is not None:
        table = table[table['metric'].isin([*named, *PARTIAL_VOLUME])]
    if wanted['Components'] is not None:
        table = table[table['component'].isin(wanted['Components'])]
    side = table['hemisphere'] if 'hemisphere' in table else pd.Series(BOTH, table.index)
    # sides are not independent measures: as responses they would double every family
    if HEMISPHERE not in model.content['Interactions']:
        table, side = table[side == BOTH], side[side == BOTH]
    responses = table[~table['metric'].isin(PARTIAL_VOLUME) | table['metric'].isin(named)]
    if responses.empty:
        return pd.DataFrame(columns=KEYS), []
    label = table['metric'].astype(str) + '_c' + table['component'].astype(int).astype(str)
    label += side.map({BOTH: '', 'L': '_L', 'R': '_R'})
    long = table.assign(measure=label)
    _refuse_doubles(long, [*KEYS, 'measure'], 'parcels')
    wide = long.pivot(index=KEYS, columns='measure', values='value').reset_index()  # noqa: PD010
    units = {'thickness': 'mm', 'area': 'mm2', 'volume': 'mm3', 'md': 'mm2/s'}
    measures = [
        Measure(f'{metric}_c{component}', 'parcel', str(metric), int(component),
                units.get(str(metric), ''))
        for metric, component in sorted(
            {(m, int(c)) for m, c in zip(responses['metric'], responses['component'], strict=True)}
        )
    ]  # fmt: skip
    return wide, measures


def _refuse_doubles(table: pd.DataFrame, keys: list[str], what: str) -> None:
    """Refuse tables with two values in one cell."""
    double = table.duplicated(keys)
    if double.any():
        first = table.loc[double, keys].iloc[0].to_dict()
        raise InputDataError(f'{what}: two values for {first}.')


def _of_scheme(mrs: pd.DataFrame, model: Model) -> pd.DataFrame:
    """Return the rows of the model's unit scheme."""
    if 'unit_scheme' not in mrs.columns:
        return mrs
    own: pd.DataFrame = mrs[mrs['unit_scheme'] == model.content['Mrs']['UnitScheme']]
    return own


def _keyed(table: pd.DataFrame | None) -> pd.DataFrame:
    """Return a table with both keys as text; a dataset without sessions has empty ones."""
    if table is None:
        return pd.DataFrame(columns=KEYS)
    table = table.copy()
    if 'session_id' not in table.columns:
        table.insert(1, 'session_id', '')
    session = table['session_id'].astype(object)
    table['session_id'] = session.where(session.notna(), '').astype(str).replace('n/a', '')
    table['participant_id'] = table['participant_id'].astype(str)
    return table


def _people(
    model: Model, participants: pd.DataFrame, not_joined: Mapping[str, str]
) -> pd.DataFrame:
    """Check the model's columns and bring them into shape."""
    people = participants.copy()
    people['participant_id'] = people['participant_id'].astype(str)
    people = people.replace({'n/a': np.nan, 'N/A': np.nan, '': np.nan})
    needed = [
        model.group.column,
        *(covariate.column for covariate in model.covariates),
        *([model.cohort] if model.cohort else []),
    ]
    for name in needed:
        if name not in people.columns and name in not_joined:
            raise InputDataError(
                f'The model asks for column {name!r}, which could not be read: {not_joined[name]}.'
            )
        if name not in people.columns:
            columns = [str(c) for c in people.columns if c not in KEYS]
            close = nearest(name, columns)
            hint = f'did you mean {close!r}? There are' if close else 'there are'
            raise InputDataError(
                f'The model asks for column {name!r}, which neither participants.tsv nor '
                f'sessions.tsv nor a table in phenotype/ has; {hint}: {", ".join(columns)}.'
                f'{birth_hint(columns) if re.fullmatch(AGE_NAMES, plain_name(name)) else ""}'
            )
    placed = groups_and_cohorts(people, model)
    group, cohort = placed['group'], placed['cohort']
    refuse_spellings(cohort, str(model.cohort), 'cohorts')
    people = people.assign(**_typed(people, model))
    nested = {
        covariate.name: _asked_of_some(people[covariate.column], covariate, group, cohort)
        for covariate in model.covariates
        if covariate.only_in
    }
    return people.assign(group=group, cohort=cohort, **nested)


def _typed(people: pd.DataFrame, model: Model) -> dict[str, pd.Series]:
    """Return the columns that the model analyses, as numbers or levels."""
    who = people['participant_id']
    typed: dict[str, pd.Series] = {}
    for covariate in model.covariates:
        column = people[covariate.column]
        is_factor = covariate.kind == 'categorical'
        column = _of_levels(column, covariate, who) if is_factor else _numbers(column, who)
        if column.isna().all():
            raise InputDataError(
                f'participants.tsv: {covariate.column} is empty in everybody; fill it in, or take '
                'it out of the Covariates of the model file.'
            )
        typed[covariate.column] = column
    more = [name for name in columns_of_numbers(model) if name in people and name not in typed]
    return typed | {name: _numbers(people[name], who) for name in more}


def _of_levels(column: pd.Series, covariate: Covariate, who: pd.Series) -> pd.Series:
    """Return a factor as text, missing where the model does not declare the level.

    Where many cells are none of the declared levels, the declaration is refused.
    """
    text = as_levels(column, covariate.levels)
    refuse_spellings(text, str(column.name), 'levels')
    _refuse_codes_of_sexes(text, str(column.name), who)
    odd = outside_levels(column, covariate)
    # some odd cells are typing errors, and these people missing; many are a declaration that is
    # wrong, and with it everybody would be
    if odd.sum() > MOST_ODD * text.notna().sum():
        held = ', '.join(sorted(set(text.dropna().astype(str))))
        raise InputDataError(
            f'participants.tsv: {column.name} of {who[odd].iloc[0]} is {text[odd].iloc[0]!r}, '
            f'which is none of the Levels {", ".join(covariate.levels)} of the model file '
            f'({int(odd.sum())} such cells; the column holds {held}): write Levels as the column '
            'has them, or n/a into cells that are not known.'
        )
    return text.mask(odd)


def refuse_spellings(names: pd.Series, column: str, what: str) -> None:
    """Refuse cohorts, sites or levels that differ in case only: they would count as several.

    Parameters
    ----------
    names : Series
        As they are written.
    column : str
        Where they stand, for the message.
    what : str
        What they are, for the message.

    Raises
    ------
    InputDataError
        If two names are one but for their case.
    """
    by_word: dict[str, set[str]] = {}
    for name in names.dropna().astype(str):
        by_word.setdefault(name.casefold(), set()).add(name)
    for spellings in by_word.values():
        if len(spellings) > 1:
            raise InputDataError(
                f'participants.tsv: {column} is written as {" and ".join(sorted(spellings))}, '
                f'which would be {what} of their own; write each in one way.'
            )


def _refuse_codes_of_sexes(names: pd.Series, column: str, who: pd.Series) -> None:
    """Refuse sexes written in words by some and in codes by others: nobody knows the codes."""
    if plain_name(column) not in SEX_NAMES:
        return
    coded = names.isin(['0', '1', '2'])
    words = names.map(lambda name: str(name).casefold() in SEXES)
    if coded.any() and words.any():
        raise InputDataError(
            f'participants.tsv: {column} holds words ({", ".join(sorted(set(names[words])))}) and '
            f'codes ({cells_of(coded, names, who, 3)}); write M and F in all rows (by ISO/IEC '
            '5218 1 is male and 2 female, but many tables code otherwise).'
        )


def _asked_of_some(
    column: pd.Series, covariate: Covariate, group: pd.Series, cohort: pd.Series
) -> pd.Series:
    """Give the people whom a covariate is not asked of a value that adjusts nothing.

    Numbers become the mean of the cohort's people who are asked: the slope is theirs alone, and
    groups are compared at that mean. Levels become `OUTSIDE`, whose codes are zero.
    """
    asked = group.isin(covariate.only_in)
    if covariate.kind == 'categorical':
        return column.where(asked, OUTSIDE)
    # the mean of their cohort, or a difference of doses between cohorts would move those who take
    # none
    means = column.where(asked).groupby(cohort).transform('mean')
    return column.where(asked, means)


def _numbers(column: pd.Series, who: pd.Series) -> pd.Series:
    """Read numbers; a few cells that are none are missing, many are an error."""
    wrong = no_numbers(column)
    if wrong.any() and not are_few(wrong, column):
        comma = pd.to_numeric(column[wrong].astype(str).str.replace(',', '.'), errors='coerce')
        remedy = 'write n/a for what is not known, or declare a covariate categorical'
        if comma.notna().all():
            remedy = 'write decimal points in place of commas'
        elif len(units := _units(column[wrong])) > 1:
            remedy = f'write one unit ({", ".join(units)}) in all cells, without its name'
        raise InputDataError(
            f'participants.tsv: {column.name} of {who[wrong].iloc[0]} is '
            f'{column[wrong].iloc[0]!r}, which is no number ({int(wrong.sum())} such cells: '
            f'{cells_of(wrong, column, who, 3)}); {remedy}.'
        )
    return pd.to_numeric(column, errors='coerce').astype(float)


def _units(cells: pd.Series) -> list[str]:
    """Return the units that numbers are written with."""
    return units_of({cell: kind_of(cell, None) for cell in cells.astype(str)})


def _join(people: pd.DataFrame, present: list[pd.DataFrame]) -> pd.DataFrame:
    """Join measures by participant and session, people by what they have."""
    by_session = 'session_id' in people.columns
    if by_session:
        people = _keyed(people)
    keys = pd.concat([table[KEYS] for table in present]) if present else None
    if keys is None:
        return people if by_session else _keyed(people)
    wide = keys.drop_duplicates()
    on = KEYS if by_session else ['participant_id']
    overlap = {c for t in present for c in t.columns} - set(KEYS)
    wide = wide.merge(
        # people without any measure stay: demographics describe everybody, and losses are counted
        # from everybody
        people.drop(columns=[c for c in people.columns if c in overlap]),
        on=on,
        how='outer',
    )
    wide['session_id'] = wide['session_id'].fillna('')
    for table in present:
        wide = wide.merge(table, on=KEYS, how='left')
    return wide


def _meant(level: str, model: Model) -> str:
    """Return which level of the model a word may stand for; empty where none is like it."""
    # the controls of another site have another name, which looks like nothing in the model
    controls = [v for v in model.group.levels if reads_like_controls(v)]
    if len(controls) == 1 and reads_like_controls(level):
        return f' (did you mean {controls[0]}? see Group/Recode)'
    near = nearest(level, model.group.levels)
    return f' (did you mean {near}?)' if near else ''


def _apply_groups(wide: pd.DataFrame, model: Model) -> tuple[pd.DataFrame, dict[str, int]]:
    """Leave out participants whose group or cohort is not in the model, and count them."""
    first = wide.drop_duplicates('participant_id')
    counts: dict[str, int] = {}
    # counted by reason: who is in no group is in no table, and the report is the only place that
    # knows
    none = first['group'].isna()
    if none.any():
        counts[f'{model.group.column} missing'] = int(none.sum())
    other = first.loc[~none & ~first['group'].isin(model.group.levels), 'group']
    for level, number in other.value_counts().sort_index().items():
        counts[f'group {level} not in the model{_meant(str(level), model)}'] = int(number)
    no_cohort = first['cohort'].isna() & first['group'].isin(model.group.levels)
    if no_cohort.any():
        counts[f'{model.cohort} missing'] = int(no_cohort.sum())
    keep = wide['group'].isin(model.group.levels) & wide['cohort'].notna()
    if not keep.any():
        held = sorted(map(str, first['group'].dropna().unique()))
        pairs = ', '.join(f'"{v}": "..."' for v in held[:2]) or '"1": "..."'
        raise InputDataError(
            f'{model.group.column}: no participant belongs to {", ".join(model.group.levels)}; '
            f'the column holds {", ".join(held) or "nothing"}: write Group/Levels as the column '
            f'has them, or map its values in Group/Recode ({{{pairs}}}).'
        )
    return wide[keep], counts
