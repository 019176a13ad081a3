"""What the difference between groups depends on, as a picture: partial residuals by group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from bids_acc.exceptions import InputDataError
from bids_acc.group.formulas.design import DesignError, sum_coding
from bids_acc.group.statistics.analyses.modelling import FittedModel, draw_sample, fit_model
from bids_acc.group.statistics.figures.tests import COLOURS, MARKERS, SCALE, axis_label, spread
from bids_acc.group.statistics.model.declaration import HEMISPHERE
from bids_acc.group.statistics.study.data import Measure, Study
from bids_acc.report.wording import metric_words, name_words
from bids_acc.typing import FloatArray

_POINTS, _INTERVAL = 0.14, 0.19
"""Width of a group's points to either side, and where its mean stands, which hides none."""


@dataclass(frozen=True)
class Lines:
    """What is drawn of one group."""

    level: str
    x: FloatArray
    """(n,) Covariate of the group's people, rising; codes of a factor's levels from 0."""
    y: FloatArray
    """(n,) Partial residuals: what the other covariates do not explain."""
    at: FloatArray
    """(m,) Where the model is drawn."""
    fitted: FloatArray
    """(3, m) The model's mean there, and the limits of its interval."""


def partial_residuals(model: FittedModel, name: str) -> FloatArray:
    """Return the response without what the model gives to the other covariates.

    Covariates are centred and factors sum to zero, so that the values are those at the mean of
    the others.

    Parameters
    ----------
    model : FittedModel
        With ``group``, ``name`` and ``group:name``.
    name : str
        The term that is drawn.

    Returns
    -------
    (n,) ndarray of float64

    References
    ----------
    Larsen WA, McCleary SJ (1972). Technometrics 14:781-790.
    doi:10.1080/00401706.1972.10488966
    """
    design, drawn = model.design, {'group', name, f'group:{name}'}
    # the other terms are taken out at their fitted values, so that points and lines are on one
    # scale
    others = [c for term, columns in design.terms.items() if term not in drawn for c in columns]
    return model.y - design.X[:, others] @ model.fit.coefficients[others]


def _means(model: FittedModel, vectors: Sequence[FloatArray], level: float) -> FloatArray:
    """Return adjusted means with their intervals, as (3, m)."""
    V = np.array(vectors)
    mean = V @ model.fit.coefficients
    se = np.sqrt(np.sum(V @ model.fit.covariance * V, axis=1))
    half = stats.t.ppf((1 + level) / 2, model.fit.df) * se
    return np.array([mean, mean - half, mean + half])


def lines_of(model: FittedModel, name: str, confidence: float) -> list[Lines]:
    """Return what is drawn of each group.

    Parameters
    ----------
    model : FittedModel
        With ``group``, ``name`` and ``group:name``.
    name : str
        Covariate.
    confidence : float
        Level of the intervals of the means.
    """
    design, y = model.design, partial_residuals(model, name)
    groups = model.sample.frame['group'].to_numpy()
    values = model.sample.frame[name]
    factor = design.levels.get(name)
    coded = values if factor is None else values.astype(str).map(list(factor).index)
    x: FloatArray = coded.to_numpy(dtype=np.float64)
    found = []
    for level in design.levels['group']:
        own = np.flatnonzero(groups == level)
        own = own[np.argsort(x[own], kind='stable')]
        if factor is None:
            # a person's own row has the basis, of a line or a spline, at that person's value
            codes, at = design.X[own][:, list(design.terms[name])], x[own]
        else:
            codes, at = np.array(list(sum_coding(factor).values())), _places(len(factor))
        vectors = [design.cell_weights('group', level, name, code) for code in codes]
        fitted = _means(model, vectors, confidence)
        found.append(Lines(level, x[own], y[own], at, fitted))
    return found


def _places(n: int) -> FloatArray:
    """Return where the levels of a factor are drawn."""
    return np.arange(n, dtype=np.float64)


def interaction_figure(study: Study, cohort: str, measure: Measure, name: str) -> Figure:
    """Draw how the groups differ over a covariate, freed from the other covariates.

    Parameters
    ----------
    study : Study
        Data and model.
    cohort : str
        Name of the cohort.
    measure : Measure
        Response.
    name : str
        Covariate of the interaction, or the hemispheres.

    Raises
    ------
    InputDataError
        If the columns are not there or too few participants have both.
    """
    frame = dict(study.cohorts()).get(cohort)
    if frame is None:
        raise InputDataError(f'there is no cohort {cohort} to draw.')
    if name == HEMISPHERE:
        return _hemisphere_figure(study, cohort, measure)
    terms = ['group', *study.model.covariate_names, f'group:{name}']
    sample = draw_sample(study, cohort, frame, measure, study.model.covariate_names)
    try:
        model = fit_model(study, sample, terms, ['group', name])
    except DesignError as error:
        raise InputDataError(f'group x {name} cannot be drawn: {error}') from error
    figure = Figure(figsize=(3.6, 3.0), layout='constrained')
    axes = figure.subplots()
    lines = lines_of(model, name, study.model.confidence)
    factor = model.design.levels.get(name)
    _draw(axes, lines, SCALE.get(measure.metric, 1.0), factor)
    others = [c for c in model.covariates if c != name]
    adjusted = ', adjusted' if others else ''
    _dress(axes, name_words(name), axis_label(measure) + adjusted)
    return figure


def _draw(axes: Axes, lines: list[Lines], scale: float, factor: Sequence[str] | None) -> None:
    """Draw points, and the model's lines, or its means within the levels of a factor."""
    width = 0.8 / len(lines)
    for i, one in enumerate(lines):
        colour, marker = COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]
        mean, low, high = scale * one.fitted
        label = f'{one.level} (n={len(one.y)})'
        points: dict[str, Any] = {
            's': 14, 'color': colour, 'marker': marker, 'alpha': 0.5, 'linewidths': 0
        }  # fmt: skip
        if factor is None:
            axes.scatter(one.x, scale * one.y, label=label, **points)
            axes.plot(one.at, mean, color=colour, lw=1.4)
            axes.fill_between(one.at, low, high, color=colour, alpha=0.13, lw=0)
            continue
        # levels of a factor beside each other, symmetric about their tick
        shift = (i - (len(lines) - 1) / 2) * width
        beside = one.at + shift + _INTERVAL * width / 0.4
        for at in one.at:
            own = one.x == at
            offsets = at + shift + spread(one.y[own], _POINTS * width / 0.4)
            axes.scatter(offsets, scale * one.y[own], **points,
                         label=label if at == one.at[0] else None)  # fmt: skip
        axes.errorbar(beside, mean, yerr=[mean - low, high - mean], color='black', fmt='_', ms=7,
                      lw=1.4)  # fmt: skip
        axes.plot(beside, mean, color=colour, lw=1.1, ls='--')
    if factor is not None:
        axes.set_xticks(range(len(factor)), factor)


def _dress(axes: Axes, xlabel: str, ylabel: str) -> None:
    """Give axes the common look."""
    axes.set_xlabel(xlabel, fontsize=8)
    axes.set_ylabel(ylabel, fontsize=8)
    axes.tick_params(labelsize=7)
    axes.spines[['top', 'right']].set_visible(False)
    axes.legend(fontsize=6, frameon=False, loc='best')


def _hemisphere_figure(study: Study, cohort: str, measure: Measure) -> Figure:
    """Draw each person's left minus right by group, freed from the covariates."""
    frame, names = dict(study.cohorts())[cohort], study.model.covariate_names
    sides = [f'{measure.name}_{side}' for side in 'LR']
    if not set(sides) <= set(frame):
        raise InputDataError(f'there is no {measure.name} of both hemispheres to draw.')
    own = Measure(f'{measure.name} L - R', measure.kind, measure.metric, measure.component)
    # the picture is of what is tested: sides within people, not side by side
    difference = frame[sides[0]] - frame[sides[1]]
    sample = draw_sample(study, cohort, frame.assign(**{own.name: difference}), own, names)
    try:
        model = fit_model(study, sample, ['group', *names], ['group'])
    except DesignError as error:
        raise InputDataError(f'group x hemisphere cannot be drawn: {error}') from error
    others = [c for term, cs in model.design.terms.items() if term != 'group' for c in cs]
    y = model.y - model.design.X[:, others] @ model.fit.coefficients[others]
    levels = model.design.levels['group']
    vectors = [model.design.level_weights('group', level) for level in levels]
    scale = SCALE.get(measure.metric, 1.0)
    mean, low, high = scale * _means(model, vectors, study.model.confidence)
    figure = Figure(figsize=(3.6, 3.0), layout='constrained')
    axes = figure.subplots()
    axes.axhline(0, color='0.6', lw=0.8, zorder=0)
    groups = sample.frame['group'].to_numpy()
    for i, level in enumerate(levels):
        points = scale * y[groups == level]
        axes.scatter(
            i + spread(points, 0.22), points, s=14, color=COLOURS[i % len(COLOURS)],
            marker=MARKERS[i % len(MARKERS)], alpha=0.5, linewidths=0,
            label=f'{level} (n={len(points)})',
        )  # fmt: skip
    axes.errorbar(np.arange(len(levels)) + 0.34, mean, yerr=[mean - low, high - mean], fmt='_',
                  color='black', ms=8, lw=1.4)  # fmt: skip
    axes.set_xticks(range(len(levels)), levels)
    what = metric_words(measure.metric, measure.component)
    _dress(axes, '', axis_label(measure).replace(what, f'{what}, left minus right', 1))
    return figure
