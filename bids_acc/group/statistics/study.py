"""The data of a group analysis in one place: who, in which group, with which values.

Long tables of parcels and metabolites become one wide table with a row per participant and
session. A value that did not pass its quality gate is missing there, and the reason is kept, so
that each analysis can say whom it left out and why.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd

from bids_acc.exceptions import InputDataError
from bids_acc.group.formulas.design import varies
from bids_acc.group.formulas.longitudinal import percent_change, responders

from .model import Model, nearest

logger = logging.getLogger(__name__)

KEYS = ['participant_id', 'session_id']
Kind = Literal['parcel', 'metabolite', 'ratio', 'column']


BASELINE_LIKE = re.compile(
    r'^(pre.*|base.*|bl|before|t0*|v0*|w(eek)?0+|d(ay)?0+|m(onth)?0+|screen.*|enrol.*)$',
    re.IGNORECASE,
)
"""Labels that read like a first session."""


def sessions_in_order(labels: Iterable[str]) -> list[str]:
    """Return session labels as people count them, one that reads like a baseline in front.

    Parameters
    ----------
    labels : iterable of str
        With or without ``ses-``; empty ones are left out.

    Examples
    --------
    >>> sessions_in_order(['ses-10', 'ses-2'])
    ['ses-2', 'ses-10']
    >>> sessions_in_order(['followup', 'post', 'pre'])
    ['pre', 'followup', 'post']
    """

    def key(label: str) -> tuple[bool, list[tuple[bool, int, str]]]:
        plain = label.removeprefix('ses-')
        parts = [part for part in re.split(r'(\d+)', plain) if part]
        natural = [(not p.isdigit(), int(p) if p.isdigit() else 0, p) for p in parts]
        return not BASELINE_LIKE.match(plain), natural

    return sorted({label for label in labels if label}, key=key)


def first_session(model: Model, frame: pd.DataFrame) -> str | None:
    """Return the session that cross-sectional analyses look at; None without sessions.

    Parameters
    ----------
    model : Model
        Names it (``Sessions/Baseline``), or the order of all (``Sessions/Order``); otherwise it
        is the first by `sessions_in_order`.
    frame : DataFrame
        With ``session_id``.

    Raises
    ------
    InputDataError
        If nobody has the session that the model names.
    """
    by_label = {name.removeprefix('ses-'): name for name in set(frame['session_id']) if name}
    if not by_label:
        return None
    wanted = model.content['Sessions']['Baseline']
    if wanted is not None:
        label = str(wanted).removeprefix('ses-')
        if label not in by_label:
            raise InputDataError(
                f'Sessions/Baseline {wanted!r}: there is no such session; there are: '
                f'{", ".join(sorted(by_label.values()))}.'
            )
        return by_label[label]
    order = [str(name).removeprefix('ses-') for name in model.content['Sessions']['Order']]
    known = [by_label[name] for name in order if name in by_label]
    return (known or sessions_in_order(by_label.values()))[0]


@dataclass(frozen=True)
class Measure:
    """A dependent variable."""

    name: str
    """Column of the wide table."""
    kind: Kind
    metric: str
    component: int | None = None
    unit: str = ''


@dataclass(frozen=True)
class Study:
    """Everything that the analyses look at."""

    model: Model
    wide: pd.DataFrame
    """One row per participant and session; ``group`` and ``cohort`` as the model defines."""
    measures: tuple[Measure, ...]
    qc: pd.DataFrame
    """Quality measures, one row per participant and session."""
    mrs: pd.DataFrame
    """Metabolites in long form, all unit schemes, gated or not."""
    gate_failed: pd.DataFrame
    """Boolean, aligned with ``wide``: the measure was there but failed its gate."""
    not_in_groups: Mapping[str, int] = field(default_factory=dict)
    """Participants left out because of their group, by reason."""

    @property
    def baseline(self) -> pd.DataFrame:
        """One row per participant who has the first session, see `first_session`.

        Who has no session at all, only a row in participants.tsv, is there too, without measures:
        demographics describe everybody, and the other analyses count whom they leave out.
        """
        first = first_session(self.model, self.wide)
        if first is None:
            return self.wide.drop_duplicates('participant_id')
        visit = self.wide['session_id']
        seen = set(self.wide.loc[visit != '', 'participant_id'])
        rows = (visit == first) | ~self.wide['participant_id'].isin(seen)
        return self.wide[rows].drop_duplicates('participant_id')

    def measures_of(self, *kinds: Kind) -> tuple[Measure, ...]:
        """Return the measures of some kinds."""
        return tuple(measure for measure in self.measures if measure.kind in kinds)

    def measure(self, name: str) -> Measure | None:
        """Return a measure by its name."""
        return next((measure for measure in self.measures if measure.name == name), None)

    def cohorts(self, frame: pd.DataFrame | None = None) -> list[tuple[str, pd.DataFrame]]:
        """Return the cohorts with their part of a table, sorted by name."""
        frame = self.baseline if frame is None else frame
        return [(str(name), part) for name, part in frame.groupby('cohort', sort=True)]

    def group_levels(self, frame: pd.DataFrame) -> list[str]:
        """Return the groups that occur, reference first, then in the model's order."""
        present = set(frame['group'])
        group = self.model.group
        ordered = [group.reference, *(v for v in group.levels if v != group.reference)]
        return [level for level in ordered if level in present]

    def factors(self, frame: pd.DataFrame) -> dict[str, list[str]]:
        """Return the levels of the group and of each categorical covariate."""
        factors = {'group': self.group_levels(frame)}
        for covariate in self.model.covariates:
            if covariate.kind == 'categorical':
                present = sorted(frame[covariate.name].dropna().astype(str).unique())
                known = [level for level in covariate.levels if level in present]
                factors[covariate.name] = known if covariate.levels else present
        return factors

    def subsample(self, frame: pd.DataFrame, column: str) -> tuple[pd.DataFrame, list[str]]:
        """Return the participants in whom a column is analysed, and the names of the rules."""
        rules = [rule for rule in self.model.subsamples if rule.covers(column)]
        for rule in rules:
            for name, allowed in rule.where.items():
                frame = frame[_satisfies(frame, name, allowed, rule.name)]
        return frame, [rule.name for rule in rules]

    def missing(
        self, frame: pd.DataFrame, columns: Sequence[str]
    ) -> tuple[pd.DataFrame, dict[str, int]]:
        """Return the complete rows and, for the others, how many miss what.

        Parameters
        ----------
        frame : DataFrame
            Part of ``wide``.
        columns : sequence of str
            Columns that an analysis needs.

        Returns
        -------
        complete : DataFrame
        excluded : dict of str to int
            Rows left out by their first reason, in the order of ``columns``.

        Raises
        ------
        InputDataError
            If a column is not there at all.
        """
        absent = [name for name in columns if name not in frame.columns]
        if absent:
            raise InputDataError(
                f'{", ".join(absent)}: no such column in participants.tsv, sessions.tsv or the '
                'measures.'
            )
        excluded: dict[str, int] = {}
        left = frame
        for name in columns:
            empty = left[name].isna()
            if not empty.any():
                continue
            lost = left.index[empty]
            failed = 0
            if name in self.gate_failed.columns:
                failed = int(self.gate_failed.loc[lost, name].sum())
            if failed:
                excluded[f'{name} failed quality gate'] = failed
            if len(lost) > failed:
                excluded[f'{name} missing'] = len(lost) - failed
            left = left[~empty]
        return left, excluded


def _satisfies(frame: pd.DataFrame, name: str, allowed: Any, rule: str) -> pd.Series:
    """Tell which rows fulfil one condition of a subsample rule."""
    if name not in frame.columns:
        raise InputDataError(f'Subsample {rule!r}: there is no column {name!r}.')
    column = frame[name]
    if isinstance(allowed, Mapping):
        number = pd.to_numeric(column, errors='coerce')
        return (number >= allowed.get('Min', -np.inf)) & (number <= allowed.get('Max', np.inf))
    return column.astype(str).isin({_text(value) for value in allowed})


def _text(value: Any) -> str:
    """Write a level as pandas writes the cell: 1 and 1.0 are the same level."""
    return f'{value:g}' if isinstance(value, float) else str(value)


def group_counts(frame: pd.DataFrame, levels: Sequence[str]) -> dict[str, int]:
    """Return participants per group, zero included."""
    counts = frame['group'].value_counts()
    return {level: int(counts.get(level, 0)) for level in levels}


def as_text(column: pd.Series) -> pd.Series:
    """Turn levels into text; 1.0 becomes '1' and missing stays missing."""
    if pd.api.types.is_numeric_dtype(column):
        return column.map(lambda v: np.nan if pd.isna(v) else f'{v:g}').astype(object)
    text = column.astype(object).where(column.notna(), np.nan)
    return text.map(lambda v: v.strip() if isinstance(v, str) else v)


def _parcel_columns(parcels: pd.DataFrame, model: Model) -> tuple[pd.DataFrame, list[Measure]]:
    """Spread the long table of parcels over columns such as ``thickness_c1``."""
    wanted = model.content['Responses']
    table = parcels
    if wanted['Metrics'] is not None:
        table = table[table['metric'].isin(wanted['Metrics'])]
    if wanted['Components'] is not None:
        table = table[table['component'].isin(wanted['Components'])]
    if table.empty:
        return pd.DataFrame(columns=KEYS), []
    label = table['metric'].astype(str) + '_c' + table['component'].astype(int).astype(str)
    long = table.assign(measure=label)
    _refuse_doubles(long, [*KEYS, 'measure'], 'parcels')
    wide = long.pivot(index=KEYS, columns='measure', values='value').reset_index()  # noqa: PD010
    units = {'thickness': 'mm', 'area': 'mm2', 'md': 'mm2/s'}
    measures = [
        Measure(f'{metric}_c{component}', 'parcel', str(metric), int(component),
                units.get(str(metric), ''))
        for metric, component in sorted(
            {(m, int(c)) for m, c in zip(table['metric'], table['component'], strict=True)}
        )
    ]  # fmt: skip
    return wide, measures


def _refuse_doubles(table: pd.DataFrame, keys: list[str], what: str) -> None:
    """Refuse tables with two values in one cell."""
    double = table.duplicated(keys)
    if double.any():
        first = table.loc[double, keys].iloc[0].to_dict()
        raise InputDataError(f'{what}: two values for {first}.')


def _select_mrs(mrs: pd.DataFrame, model: Model) -> pd.DataFrame:
    """Return the rows of the model's unit scheme and voxel."""
    wanted = model.content['Mrs']
    table = mrs
    if 'unit_scheme' in table.columns:
        table = table[table['unit_scheme'] == wanted['UnitScheme']]
    if 'voxel' in table.columns and not table.empty:
        voxels = sorted(table['voxel'].dropna().astype(str).unique())
        if wanted['Voxel'] is not None:
            table = table[table['voxel'].astype(str) == wanted['Voxel']]
        elif len(voxels) > 1:
            logger.warning('Several voxels (%s): %s is analysed.', ', '.join(voxels), voxels[0])
            table = table[table['voxel'].astype(str) == voxels[0]]
    return table


def gated_values(
    mrs: pd.DataFrame, model: Model, *, use_gate: bool = True
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return metabolites and ratios as columns, and where the gate emptied a cell.

    Parameters
    ----------
    mrs : DataFrame
        Long table: participant_id, session_id, metabolite, unit_scheme, value, gate.
    model : Model
        Unit scheme, voxel and ratios.
    use_gate : bool
        Empty the values whose gate is not ``pass``; a missing verdict does not pass.

    Returns
    -------
    values, failed : DataFrame
        Indexed by participant and session, one column per metabolite or ratio.
    """
    table = _select_mrs(mrs, model)
    if table.empty:
        empty = pd.DataFrame(index=pd.MultiIndex.from_arrays([[], []], names=KEYS))
        return empty, empty
    _refuse_doubles(table, [*KEYS, 'metabolite'], 'metabolites')
    values = table.pivot(index=KEYS, columns='metabolite', values='value').astype(float)  # noqa: PD010
    if use_gate and 'gate' in table.columns:
        verdict = table.assign(ok=table['gate'].astype(str).str.lower().eq('pass'))
        passed = verdict.pivot(index=KEYS, columns='metabolite', values='ok')  # noqa: PD010
        failed = passed.eq(False)  # a spectrum that failed has no values and counts as well
        values = values.where(~failed)
    else:
        failed = pd.DataFrame(False, index=values.index, columns=values.columns)
    for ratio in model.content['Ratios']:
        top, bottom = ratio.split('/')
        if top in values.columns and bottom in values.columns:
            with np.errstate(divide='ignore', invalid='ignore'):
                quotient = values[top] / values[bottom]
            values[ratio] = quotient.where(np.isfinite(quotient))
            failed[ratio] = failed[top] | failed[bottom]
    return values, failed


def make_study(
    model: Model,
    parcels: pd.DataFrame | None,
    mrs: pd.DataFrame | None,
    participants: pd.DataFrame,
    qc: pd.DataFrame | None = None,
    *,
    use_gate: bool = True,
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

    Raises
    ------
    InputDataError
        If the group, cohort or covariate columns are absent, or a cell has two values.
    """
    parcels = _keyed(parcels)
    mrs = _keyed(mrs)
    qc = _keyed(qc)
    people = _people(model, participants)
    measures: list[Measure] = []
    structure, found = _parcel_columns(parcels, model) if len(parcels) else (parcels, [])
    measures += found
    metabolites, failed = gated_values(mrs, model, use_gate=use_gate)
    ratios = set(model.content['Ratios'])
    named = {*model.content['Mrs']['Primary'], *model.content['Mrs']['Secondary'], *ratios}
    measures += [
        Measure(str(name), 'ratio' if name in ratios else 'metabolite', str(name),
                unit='' if name in ratios else model.content['Mrs']['UnitScheme'])
        for name in metabolites.columns
        if name in named or varies(metabolites[name])  # tCr in units of tCr is 1 in everybody
    ]  # fmt: skip
    present = [structure[[*KEYS, *(m.name for m in found)]]] if found else []
    if len(metabolites.columns):
        present.append(metabolites.reset_index())
    wide = _join(people, present)
    for name in model.content['Responses']['Columns']:
        if name not in wide.columns:
            raise InputDataError(f'Responses/Columns: there is no column {name!r}.')
        wide[name] = pd.to_numeric(wide[name], errors='coerce')
        measures.append(Measure(name, 'column', name))
    wide = with_improvement(wide.sort_values(KEYS, kind='stable', ignore_index=True), model)
    mask = wide[KEYS].merge(
        failed.reset_index() if len(failed.columns) else wide[KEYS], on=KEYS, how='left'
    )
    gate_failed = mask.drop(columns=KEYS).eq(True)
    gate_failed.index = wide.index
    wide, dropped = _apply_groups(wide, model)
    return Study(model, wide, tuple(measures), qc, mrs, gate_failed.loc[wide.index], dropped)


def with_improvement(wide: pd.DataFrame, model: Model) -> pd.DataFrame:
    """Add how much a symptom score improved and who responded, if the model asks for it.

    Parameters
    ----------
    wide : DataFrame
        One row per participant and session.
    model : Model
        ``Sessions/Improvement`` names the score, its minimum, the later session and the threshold.

    Returns
    -------
    DataFrame
        With ``<score>_improvement`` in per cent and ``<score>_response``, the same in all of a
        participant's sessions; missing where either session lacks the score or the first is at
        its minimum.

    Raises
    ------
    InputDataError
        If the score or the session is not there.
    """
    wanted = model.content['Sessions']['Improvement']
    if wanted is None:
        return wide
    score, first = wanted['Score'], first_session(model, wide)
    if score not in wide.columns:
        raise InputDataError(f'Sessions/Improvement: there is no column {score!r}.')
    order = model.content['Sessions']['Order'] or sessions_in_order(set(wide['session_id']))
    label = str(wanted['Session'] or order[-1]).removeprefix('ses-') if order else ''
    visit = wide['session_id'].astype(str).str.removeprefix('ses-')
    if first is None or not (visit == label).any() or label == first.removeprefix('ses-'):
        raise InputDataError(
            f'Sessions/Improvement: there is no session {label!r} after the first ({first}).'
        )
    values = pd.to_numeric(wide[score], errors='coerce') - wanted['Minimum']
    by_person = [
        values[rows].groupby(wide.loc[rows, 'participant_id']).first()
        for rows in (wide['session_id'] == first, visit == label)
    ]
    before, after = by_person[0].align(by_person[1], join='inner')
    improvement = pd.Series(percent_change(before, after), before.index)
    verdict = pd.Series(responders(improvement, wanted['Threshold']), before.index)
    words = verdict.map({1.0: 'responder', 0.0: 'nonresponder'})
    who = wide['participant_id']
    wide = wide.copy()
    wide[f'{score}_improvement'] = who.map(improvement)
    wide[f'{score}_response'] = who.map(words)
    return wide


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


def _people(model: Model, participants: pd.DataFrame) -> pd.DataFrame:
    """Check the model's columns and bring them into shape."""
    people = participants.copy()
    people['participant_id'] = people['participant_id'].astype(str)
    people = people.replace({'n/a': np.nan, 'N/A': np.nan, '': np.nan})
    needed = [
        model.group.column,
        *model.covariate_names,
        *([model.cohort] if model.cohort else []),
    ]
    for name in needed:
        if name not in people.columns:
            columns = [str(c) for c in people.columns if c not in KEYS]
            close = nearest(name, columns)
            hint = f'did you mean {close!r}? There are' if close else 'there are'
            raise InputDataError(
                f'The model asks for column {name!r}, which neither participants.tsv nor '
                f'sessions.tsv nor a table in phenotype/ has; {hint}: {", ".join(columns)}.'
            )
    for covariate in model.covariates:
        column = people[covariate.name]
        if covariate.kind == 'categorical':
            people[covariate.name] = as_text(column)
        else:
            people[covariate.name] = _numbers(column, people['participant_id'])
    group = as_text(people[model.group.column]).replace(dict(model.group.recode))
    cohort = as_text(people[model.cohort]) if model.cohort else pd.Series('all', people.index)
    return people.assign(group=group, cohort=cohort)


def _numbers(column: pd.Series, who: pd.Series) -> pd.Series:
    """Read numbers; text that is no number is an error, not a missing value."""
    number = pd.to_numeric(column, errors='coerce')
    wrong = number.isna() & column.notna()
    if wrong.any():
        raise InputDataError(
            f'participants.tsv: {column.name} of {who[wrong].iloc[0]} is '
            f'{column[wrong].iloc[0]!r}, which is no number ({int(wrong.sum())} such cells); '
            'write n/a for what is not known, or declare the covariate categorical in the model '
            'file.'
        )
    return number.astype(float)


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
        people.drop(columns=[c for c in people.columns if c in overlap]), on=on, how='outer'
    )
    wide['session_id'] = wide['session_id'].fillna('')
    for table in present:
        wide = wide.merge(table, on=KEYS, how='left')
    return wide


def _apply_groups(wide: pd.DataFrame, model: Model) -> tuple[pd.DataFrame, dict[str, int]]:
    """Leave out participants whose group or cohort is not in the model, and count them."""
    first = wide.drop_duplicates('participant_id')
    counts: dict[str, int] = {}
    none = first['group'].isna()
    if none.any():
        counts[f'{model.group.column} missing'] = int(none.sum())
    other = first.loc[~none & ~first['group'].isin(model.group.levels), 'group']
    for level, number in other.value_counts().sort_index().items():
        meant = nearest(str(level), model.group.levels)
        hint = f' (did you mean {meant}?)' if meant else ''
        counts[f'group {level} not in the model{hint}'] = int(number)
    no_cohort = first['cohort'].isna() & first['group'].isin(model.group.levels)
    if no_cohort.any():
        counts[f'{model.cohort} missing'] = int(no_cohort.sum())
    keep = wide['group'].isin(model.group.levels) & wide['cohort'].notna()
    if not keep.any():
        seen = ', '.join(sorted(map(str, first['group'].dropna().unique()))) or 'nothing'
        raise InputDataError(
            f'{model.group.column}: no participant belongs to {", ".join(model.group.levels)}; '
            f'the column holds {seen}.'
        )
    return wide[keep], counts


def participant_flow(study: Study) -> pd.DataFrame:
    """Count who is in which group of which cohort and who has which data.

    Parameters
    ----------
    study : Study
        Data and model.

    Returns
    -------
    DataFrame
        One row per cohort, group and measure, and one for each reason why participants are in
        no group at all.
    """
    base, labels = study.baseline, study.model.group.labels
    failed = study.gate_failed.reindex(base.index)
    no_baseline = study.wide['participant_id'].nunique() - len(base)
    first = first_session(study.model, study.wide)
    reasons = {**study.not_in_groups, f'no baseline session, {first}': no_baseline}
    rows: list[dict[str, Any]] = []
    for cohort, frame in study.cohorts():
        for level in study.group_levels(frame):
            part = frame[frame['group'] == level]
            for measure in study.measures:
                used = part[measure.name].notna()
                lost = failed.loc[part.index].get(measure.name, pd.Series(False, part.index))
                rows.append({
                    'cohort': cohort, 'group': level, 'label': labels.get(level, level),
                    'measure': measure.name, 'n_participants': len(part),
                    'n_measured': int((used | lost.astype(bool)).sum()),
                    'n_used': int(used.sum()), 'excluded': '',
                })  # fmt: skip
    rows += [
        {'cohort': '', 'group': '', 'label': '', 'measure': '', 'n_participants': number,
         'n_measured': 0, 'n_used': 0, 'excluded': reason}
        for reason, number in reasons.items()
        if number
    ]  # fmt: skip
    columns = ['cohort', 'group', 'label', 'measure', 'n_participants', 'n_measured', 'n_used',
               'excluded']  # fmt: skip
    return pd.DataFrame(rows, columns=columns).sort_values(
        ['cohort', 'group', 'measure', 'excluded'], ignore_index=True
    )


def flow_notes(flow: pd.DataFrame) -> list[str]:
    """Say what a reader of the tables must know about who is in them.

    Parameters
    ----------
    flow : DataFrame
        From `participant_flow`.

    Returns
    -------
    list of str
        Who is left out of every comparison, and cohorts with one group only.

    Examples
    --------
    >>> flow_notes(
    ...     pd.DataFrame(
    ...         {'cohort': ['all'], 'group': ['HC'], 'excluded': [''], 'n_participants': [9]}
    ...     )
    ... )
    ['Only the group HC has participants: nothing can be compared.']
    """
    notes = []
    left_out = flow[flow['excluded'] != '']
    if len(left_out):
        reasons = (f'{row.n_participants} ({row.excluded})' for row in left_out.itertuples())
        notes.append(f'Left out of every comparison: {", ".join(reasons)}.')
    for cohort, part in flow[flow['group'] != ''].groupby('cohort'):
        groups = sorted(set(part['group']))
        if len(groups) == 1:
            where = '' if cohort == 'all' else f' in cohort {cohort}'
            notes.append(
                f'Only the group {groups[0]} has participants{where}: nothing can be compared.'
            )
    return notes
