"""The data of a group analysis in one place: who, in which group, with which values.

`bids_acc.group.statistics.study.joining.make_study` fills it from the tables of the output folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

import numpy as np
import pandas as pd

from bids_acc.exceptions import InputDataError
from bids_acc.group.formulas.design import OUTSIDE
from bids_acc.group.statistics.model.content import RangeEntry
from bids_acc.group.statistics.model.declaration import Model
from bids_acc.group.statistics.study.sessions import visit_order
from bids_acc.group.statistics.study.voxels import VoxelChoice
from bids_acc.tables.reading import TRUTH

KEYS = ['participant_id', 'session_id']
DIFFUSION = frozenset({'fa', 'md', 'mo'})
"""Metrics that change with what else is in the voxel and with noise."""
Kind = Literal['parcel', 'metabolite', 'ratio', 'column']


@dataclass(frozen=True)
class Measure:
    """A dependent variable."""

    name: str
    """Column of the wide table."""
    kind: Kind
    metric: str
    component: int | None = None
    unit: str = ''
    voxel: str = ''
    """Name of the voxel, where several are analysed."""


@dataclass(frozen=True)
class Study:
    """People, groups, measures and model of one analysis."""

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
    voxels: VoxelChoice = field(default_factory=lambda: VoxelChoice(()))
    """Which spectra are analysed where people have several."""

    @property
    def baseline(self) -> pd.DataFrame:
        """One row per participant who has the first session, see `visit_order`.

        Who has no session at all, only a row in participants.tsv, is there too, without measures:
        demographics describe everybody, and the other analyses count whom they leave out.
        """
        first = visit_order(self.wide, self.model.sessions).baseline
        if first is None:
            return self.wide.drop_duplicates('participant_id')
        visit = self.wide['session_id']
        seen = set(self.wide.loc[visit != '', 'participant_id'])
        # whoever missed the baseline but came later is left out, and not taken at another visit:
        # the groups would then differ in when they were measured
        rows = (visit == first) | ~self.wide['participant_id'].isin(seen)
        return self.wide[rows].drop_duplicates('participant_id')

    def measures_of(self, *kinds: Kind) -> tuple[Measure, ...]:
        """Return the measures of some kinds.

        Parameters
        ----------
        *kinds : {'parcel', 'metabolite', 'ratio', 'column'}
            Which responses.

        Returns
        -------
        tuple of Measure
            In the order of the study.
        """
        return tuple(measure for measure in self.measures if measure.kind in kinds)

    def measure(self, name: str) -> Measure | None:
        """Return a measure by its name.

        Parameters
        ----------
        name : str
            Column of ``wide``.

        Returns
        -------
        Measure or None
            None when no response has that name.
        """
        return next((measure for measure in self.measures if measure.name == name), None)

    def beside(self, measure: Measure, names: Sequence[str]) -> tuple[str, ...]:
        """Return the columns of partial volume and noise of a diffusion metric's parcel.

        Parameters
        ----------
        measure : Measure
            A response; only diffusion metrics of parcels have any.
        names : sequence of str
            Of `bids_acc.group.opnmf.features.PARTIAL_VOLUME`.
        """
        if measure.kind != 'parcel' or measure.metric not in DIFFUSION:
            return ()
        columns = (f'{name}_c{measure.component}' for name in names)
        return tuple(name for name in columns if name in self.wide and name != measure.name)

    def own_covariates(self, measure: Measure) -> tuple[str, ...]:
        """Return the covariates that one response has besides those of the model.

        Parameters
        ----------
        measure : Measure
            A response.

        Returns
        -------
        tuple of str
            Columns of ``wide``: partial volume of its parcel (``PartialVolume``), then those
            of ``OwnCovariates``.
        """
        # partial volume of another parcel would explain nothing of this one: each has its own
        # columns
        beside = self.beside(measure, self.model.content['PartialVolume']['Covariates'])
        return (*beside, *(name for name in self._of_columns(measure) if name in self.wide))

    def _of_columns(self, measure: Measure) -> list[str]:
        """Return the covariates that the model file names for a column, such as head size."""
        named = [
            name for rule in self.model.content['OwnCovariates'] for name in rule['Covariates']
            if any(fnmatchcase(measure.name, pattern) for pattern in rule['Columns'])
        ]  # fmt: skip
        others = {measure.name, *self.model.covariate_names}
        return [name for name in dict.fromkeys(named) if name not in others]

    def not_beside(self, measure: Measure) -> str:
        """Say which covariates of its own a response should have but lacks.

        Parameters
        ----------
        measure : Measure
            A response.

        Returns
        -------
        str
            Part of a sentence for the row's note; empty when nothing is lacking.
        """
        if absent := [name for name in self._of_columns(measure) if name not in self.wide]:
            return f'without {", ".join(absent)}: nobody has it'
        asked = self.model.content['PartialVolume']['Covariates']
        if measure.kind != 'parcel' or measure.metric not in DIFFUSION:
            return ''
        lacking = [n for n in asked if f'{n}_c{measure.component}' not in self.wide]
        if not lacking:
            return ''
        return f'without {", ".join(lacking)} of the parcel: nobody has these maps'

    def cohorts(self, frame: pd.DataFrame | None = None) -> list[tuple[str, pd.DataFrame]]:
        """Return the cohorts with their part of a table, sorted by name.

        Parameters
        ----------
        frame : DataFrame, optional
            With ``cohort``; the rows of ``baseline`` when absent.

        Returns
        -------
        list of (str, DataFrame)
            People without a cohort are in none.
        """
        frame = self.baseline if frame is None else frame
        return [(str(name), part) for name, part in frame.groupby('cohort', sort=True)]

    def group_levels(self, frame: pd.DataFrame) -> list[str]:
        """Return the groups that occur, reference first, then in the model's order.

        Parameters
        ----------
        frame : DataFrame
            With ``group``.

        Returns
        -------
        list of str
            Only groups of the model file.
        """
        present = set(frame['group'])
        group = self.model.group
        ordered = [group.reference, *(v for v in group.levels if v != group.reference)]
        return [level for level in ordered if level in present]

    def factors(self, frame: pd.DataFrame) -> dict[str, list[str]]:
        """Return the levels of the group and of each categorical covariate.

        Parameters
        ----------
        frame : DataFrame
            With ``group`` and the covariates.

        Returns
        -------
        dict of str to list of str
            Levels that occur in ``frame``, in the order of the model file, else of the
            alphabet.
        """
        factors = {'group': self.group_levels(frame)}
        for covariate in self.model.covariates:
            if covariate.kind == 'categorical':
                present = sorted({*frame[covariate.name].dropna().astype(str)} - {OUTSIDE})
                known = [level for level in covariate.levels if level in present]
                factors[covariate.name] = known if covariate.levels else present
        return factors

    @property
    def splines(self) -> dict[str, int]:
        """Covariates that are splines, with the number of their coefficients."""
        return {c.name: c.spline for c in self.model.covariates if c.spline}

    def subsample(self, frame: pd.DataFrame, column: str) -> tuple[pd.DataFrame, list[str]]:
        """Return the participants in whom a column is analysed, and the names of the rules.

        Parameters
        ----------
        frame : DataFrame
            With the columns that the rules ask for.
        column : str
            Response or score that is analysed.

        Returns
        -------
        frame : DataFrame
            Rows that satisfy every rule for the column.
        rules : list of str
            Their names, for the row's note.

        Raises
        ------
        InputDataError
            If a rule asks for a column that is not there.
        """
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
        # by the first reason only, so that the numbers of the reasons sum to that of the people
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


def _satisfies(
    frame: pd.DataFrame, name: str, allowed: list[str | float] | RangeEntry, rule: str
) -> pd.Series:
    """Tell which rows fulfil one condition of a subsample rule."""
    if name not in frame.columns:
        raise InputDataError(f'Subsample {rule!r}: there is no column {name!r}.')
    column = frame[name]
    if not isinstance(allowed, list):
        low, high = allowed.get('Min', -np.inf), allowed.get('Max', np.inf)
        return pd.to_numeric(column, errors='coerce').between(low, high)
    wanted = [_text(value) for value in allowed]
    return as_levels(column, wanted).isin(wanted)


def _text(value: str | float) -> str:
    """Write a level as `as_text` writes the cell: 1, 1.0 and true are the same level."""
    return level_text(value) if isinstance(value, int | float) else str(value)


def group_counts(frame: pd.DataFrame, levels: Sequence[str]) -> dict[str, int]:
    """Return participants per group, zero included.

    Parameters
    ----------
    frame : DataFrame
        With ``group``, one row a participant.
    levels : sequence of str
        Groups to count.

    Returns
    -------
    dict of str to int
        In the order of ``levels``.
    """
    counts = frame['group'].value_counts()
    return {level: int(counts.get(level, 0)) for level in levels}


def level_text(value: float) -> str:
    """Write a number that names a level, such as a code or the serial number of a scanner.

    Parameters
    ----------
    value : float
        Also a truth value, which is 1 or 0.

    Examples
    --------
    >>> level_text(2.0), level_text(1234567.0), level_text(True)
    ('2', '1234567', '1')
    """
    # six digits would make one site of the scanners 1234567 and 1234568
    return f'{value:.15g}'


def as_text(column: pd.Series) -> pd.Series:
    """Turn levels into text; 1.0 and truth become '1', and missing stays missing.

    Parameters
    ----------
    column : Series
        Text, numbers or truth values, as a table was read.

    Returns
    -------
    Series of object
        Text without surrounding blanks, NaN where missing.
    """
    if pd.api.types.is_numeric_dtype(column) or is_truth(column):
        return column.map(lambda v: np.nan if pd.isna(v) else level_text(v)).astype(object)
    text = column.astype(object).where(column.notna(), np.nan)
    return text.map(lambda v: v.strip() if isinstance(v, str) else v if pd.isna(v) else _text(v))


def as_levels(column: pd.Series, wanted: Iterable[str]) -> pd.Series:
    """Turn levels into text, truth values as they are spelt among those that are wanted.

    Parameters
    ----------
    column : Series
        Cells of a table.
    wanted : iterable of str
        Levels that a model names.

    Examples
    --------
    >>> as_levels(pd.Series([True, None, False]), ['FALSE', 'TRUE']).tolist()
    ['TRUE', nan, 'FALSE']
    """
    text = as_text(column)
    if not is_truth(column):
        return text
    words = {word: TRUTH.get(word.casefold()) for word in wanted}
    return text.replace({f'{known:g}': w for w, known in words.items() if known is not None})


def is_truth(column: pd.Series) -> bool:
    """Tell whether a column holds truth values, missing ones or not.

    Parameters
    ----------
    column : Series
        Any.

    Examples
    --------
    >>> is_truth(pd.Series([True, None])), is_truth(pd.Series([1, 0])), is_truth(pd.Series([None]))
    (True, False, False)
    """
    known = column.dropna()
    return len(known) > 0 and all(isinstance(value, bool | np.bool_) for value in known)


def structure_measures(study: Study) -> tuple[Measure, ...]:
    """Return the responses that the group comparison is about: parcels and named columns.

    Parameters
    ----------
    study : Study
        Its measures.

    Returns
    -------
    tuple of Measure
        In the order of the study.
    """
    return study.measures_of('parcel', 'column')


def named_measures(study: Study) -> list[Measure]:
    """Return the responses that the model names: structure, columns, metabolites and ratios.

    Other metabolites of the tables are not tested: they would only make families larger.

    Parameters
    ----------
    study : Study
        Its measures and model.

    Returns
    -------
    list of Measure
        Each once.
    """
    found = [study.measure(name) for name in wanted_metabolites(study)]
    measures = [*structure_measures(study), *(m for m in found if m is not None)]
    return list({measure.name: measure for measure in measures}.values())


def nothing_named(study: Study) -> str:
    """Say that the model names none of the measures.

    Parameters
    ----------
    study : Study
        Its measures are listed.

    Returns
    -------
    str
        Part of a sentence for the row's note.
    """
    there = ', '.join(measure.name for measure in study.measures) or 'no measure'
    return f'the model names none of the measures that are there ({there}); see Mrs/Primary'


def wanted_metabolites(study: Study) -> list[str]:
    """Return the model's primary and secondary metabolites and ratios, each once.

    Parameters
    ----------
    study : Study
        Only its model is used: ``Mrs/Primary``, ``Mrs/Secondary`` and ``Ratios``.

    Returns
    -------
    list of str
        Names as in ``wide``, measured or not.
    """
    mrs = study.model.content['Mrs']
    names = [*mrs['Primary'], *mrs['Secondary'], *study.model.content['Ratios']]
    return list(dict.fromkeys(names))


def roles(study: Study) -> list[tuple[Measure, str]]:
    """Return the measured metabolites that the model names, each with its family.

    Parameters
    ----------
    study : Study
        Its measures and model.

    Returns
    -------
    list of (Measure, str)
        Family ``mrs_primary`` or ``mrs_secondary``, within which p values are corrected.
    """
    primary = set(study.model.content['Mrs']['Primary'])
    named = [(study.measure(name), name) for name in wanted_metabolites(study)]
    return [
        (measure, 'mrs_primary' if name in primary else 'mrs_secondary')
        for measure, name in named
        if measure is not None
    ]
