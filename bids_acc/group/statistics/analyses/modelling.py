"""One linear model of one response in one sample, with the row it fills."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Unpack

import numpy as np
import pandas as pd

from bids_acc.group.formulas.design import Design, DesignError, build_design
from bids_acc.group.formulas.linear import LinearFit, fit_ols
from bids_acc.group.opnmf.features import PARTIAL_VOLUME
from bids_acc.group.statistics.rows.row import Row, Told
from bids_acc.group.statistics.study.data import Measure, Study, group_counts
from bids_acc.typing import FloatArray


@dataclass(frozen=True)
class Sample:
    """Complete participants of one analysis and who was left out."""

    frame: pd.DataFrame
    cohort: str
    measure: Measure
    excluded: Mapping[str, int]
    n_per_group: Mapping[str, int]

    def row(self, covariates: tuple[str, ...] = (), **told: Unpack[Told]) -> Row:
        """Return a row with the cells that describe the sample filled in.

        Parameters
        ----------
        covariates : tuple of str
            Covariates of the model.
        **told : Told
            The other cells; ``n`` replaces the size of the sample.

        Returns
        -------
        Row
            Of this response and cohort.
        """
        row = Row(
            cohort=self.cohort, response=self.measure.name, component=self.measure.component,
            metric=self.measure.metric, excluded=self.excluded, covariates=covariates, **told,
        )  # fmt: skip
        if 'n' not in told:
            row.n, row.n_per_group = len(self.frame), self.n_per_group
        return row


@dataclass(frozen=True)
class FittedModel:
    """A linear model fitted to a sample."""

    sample: Sample
    design: Design
    fit: LinearFit
    covariates: tuple[str, ...]
    caution: str = ''
    """What the model lacks of what was asked for."""

    @property
    def y(self) -> FloatArray:
        """Values of the response."""
        return self.sample.frame[self.sample.measure.name].to_numpy(dtype=float)

    @property
    def formula(self) -> str:
        """Model as a reader would write it."""
        return f'{self.sample.measure.name} ~ {self.design.formula}'

    def row(self, **told: Unpack[Told]) -> Row:
        """Return a row with the cells that describe model and sample filled in.

        Parameters
        ----------
        **told : Told
            The other cells; what the model left out is put before ``note``.

        Returns
        -------
        Row
            Of this response and cohort.
        """
        notes = (*self.design.notes, self.caution, told.get('note', ''))
        told['note'] = '; '.join(part for part in notes if part)
        told['formula'] = self.formula
        return self.sample.row(self.covariates, **told)


def draw_sample(
    study: Study, cohort: str, frame: pd.DataFrame, measure: Measure, columns: Sequence[str]
) -> Sample:
    """Take the participants who have the response and all other columns.

    Parameters
    ----------
    study : Study
        Data and model.
    cohort : str
        Name of the cohort.
    frame : DataFrame
        Participants of the cohort.
    measure : Measure
        Response.
    columns : sequence of str
        Further columns that must be there; covariates of the response's own are added.
    """
    # complete in everything that the model has, before it is fitted: who is left out is known and
    # counted, not dropped by a library
    needed = dict.fromkeys([measure.name, *columns, *study.own_covariates(measure)])
    complete, excluded = study.missing(frame, list(needed))
    levels = study.group_levels(frame)
    return Sample(complete, cohort, measure, excluded, group_counts(complete, levels))


def fit_model(
    study: Study,
    sample: Sample,
    terms: Sequence[str],
    keep: Sequence[str],
) -> FittedModel:
    """Fit a linear model to a sample.

    A group of fewer than two people carries no comparison: where two others remain it is left
    out, and the row counts who.

    Parameters
    ----------
    study : Study
        Tells which columns are factors.
    sample : Sample
        Complete participants.
    terms : sequence of str
        Terms of the model; covariates of the response's own are added.
    keep : sequence of str
        Columns without which the model is of no use.

    Raises
    ------
    DesignError
        If the sample cannot carry the model, or the response does not vary.
    """
    _refuse_nobody(sample)
    caution = study.not_beside(sample.measure)
    if 'group' in keep:
        sample, without = comparable_groups(sample)
        caution = '; '.join(filter(None, [without, caution]))
    frame = sample.frame
    if sample.measure.name in frame and frame[sample.measure.name].nunique() < 2:
        raise DesignError(
            f'{sample.measure.name} does not vary in the {len(frame)} complete participants.'
        )
    own = study.own_covariates(sample.measure)
    terms = list(dict.fromkeys([*terms, *own]))
    design = build_design(frame, terms, study.factors(frame), keep=keep, splines=study.splines)
    y = frame[sample.measure.name].to_numpy(dtype=float)
    fit = fit_ols(design.X, y)
    # a response that is a copy of a covariate: F would be that of rounding
    if fit.rss <= 1e-20 * float(np.sum((y - y.mean()) ** 2)):
        raise DesignError(f'{sample.measure.name} is explained without any residual.')
    main = {part for term in terms for part in term.split(':')} & set(design.terms)
    known = dict.fromkeys(
        [
            *study.model.covariate_names,
            *own,
            *study.beside(sample.measure, tuple(PARTIAL_VOLUME)),
        ]
    )
    covariates = tuple(name for name in known if name in main)
    return FittedModel(sample, design, fit, covariates, caution)


def _refuse_nobody(sample: Sample) -> None:
    """Refuse a sample in which nobody is complete, and say what everybody lacks."""
    if len(sample.frame):
        return
    why = ', '.join(f'{reason} in {n}' for reason, n in sample.excluded.items())
    raise DesignError(f'nobody is complete ({why or "there are no participants"}).')


def comparable_groups(sample: Sample) -> tuple[Sample, str]:
    """Leave out groups of fewer than two complete people, and say so.

    Parameters
    ----------
    sample : Sample
        Complete people.

    Returns
    -------
    sample : Sample
        Whoever was alone in a group is among those left out.
    note : str
        Which groups these are; empty where there are none.

    Raises
    ------
    DesignError
        If fewer than two groups remain.
    """
    small = [level for level, number in sample.n_per_group.items() if number < 2]
    if not small:
        return sample, ''
    names = ', '.join(small)
    # one person is a mean without variance: compared with it, a group differs from that person
    if len(sample.n_per_group) - len(small) < 2:
        raise DesignError(
            f'group {names} has fewer than two complete participants '
            f'({", ".join(why for why, n in sample.excluded.items() if n) or "none left out"}).'
        )
    lost = sample.frame['group'].isin(small)
    counts = {level: n for level, n in sample.n_per_group.items() if level not in small}
    excluded = dict(sample.excluded)
    if lost.any():
        excluded['alone in the group'] = int(lost.sum())
    kept = replace(sample, frame=sample.frame[~lost], excluded=excluded, n_per_group=counts)
    return kept, f'without group {names}: fewer than two complete participants'


def each_model(
    study: Study,
    analysis: str,
    measures: Sequence[Measure],
    terms: Sequence[str],
    keep: Sequence[str],
    problems: list[Row],
) -> Iterator[FittedModel]:
    """Fit the same model to each response in each cohort; what cannot be done becomes a row.

    Parameters
    ----------
    study : Study
        Data and model.
    analysis : str
        Name of the analysis, for the rows of what could not be done.
    measures : sequence of Measure
        Responses.
    terms, keep : sequence of str
        As in `fit_model`.
    problems : list of Row
        Receives a row without numbers for each model that could not be fitted.
    """
    columns = [c for c in dict.fromkeys(p for t in terms for p in t.split(':')) if c != 'group']
    for cohort, frame in study.cohorts():
        for measure in measures:
            sample = draw_sample(study, cohort, frame, measure, columns)
            try:
                yield fit_model(study, sample, terms, keep)
            except DesignError as error:
                problems.append(not_done(sample, analysis, terms, error))


def not_done(sample: Sample, analysis: str, terms: Sequence[str], error: Exception) -> Row:
    """Return the row of an analysis that could not be done, with the reason.

    Parameters
    ----------
    sample : Sample
        Response, cohort and who was left out.
    analysis : str
        Name of the analysis.
    terms : sequence of str
        Terms of the model that could not be fitted.
    error : Exception
        Its message becomes the note.

    Returns
    -------
    Row
        Without a test.
    """
    return sample.row(
        analysis=analysis,
        formula=f'{sample.measure.name} ~ {" + ".join(terms)}',
        note=f'not done: {error}',
    )
