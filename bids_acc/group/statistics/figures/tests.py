"""Pictures of group results as functions of tables: points, means with intervals, scatter.

Every figure shows each participant. Colours are those of Okabe and Ito, which can be told apart
with the common kinds of colour blindness; groups also differ by marker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from bids_acc.exceptions import InputDataError
from bids_acc.group.formulas.design import DesignError
from bids_acc.group.formulas.inference import r_from_t
from bids_acc.group.statistics.analyses.longitudinal_rows import session_roles
from bids_acc.group.statistics.analyses.modelling import draw_sample, fit_model
from bids_acc.group.statistics.study.data import Measure, Study
from bids_acc.report.plain_words import SCHEMES
from bids_acc.report.wording import metric_words
from bids_acc.typing import FloatArray

COLOURS = ('#0072B2', '#E69F00', '#009E73', '#D55E00', '#CC79A7', '#56B4E9', '#000000')
MARKERS = ('o', 's', '^', 'D', 'v', 'P', 'X')
UNITS: Mapping[str, str] = {
    'thickness': 'mm', 'area': 'mm²', 'md': '10⁻³ mm²/s', 'ad': '10⁻³ mm²/s', 'rd': '10⁻³ mm²/s',
    'fa': '', 'mo': ''
}  # fmt: skip
SCALE: Mapping[str, float] = {'md': 1e3, 'ad': 1e3, 'rd': 1e3}
"""Factors that bring a metric into the unit of `UNITS`."""


_POINTS, _INTERVAL = 0.22, 0.34
"""Width of a group's points to either side, and where the interval stands, which hides none."""


def spread(values: npt.ArrayLike, width: float = 0.3) -> FloatArray:
    """Return horizontal offsets that keep points of similar value apart.

    The offsets follow from the ranks within bins, not from chance: the same data give the
    same figure.

    Parameters
    ----------
    values : (n,) array_like
        Values of one group.
    width : float
        Largest offset to either side.

    Examples
    --------
    >>> spread([1.0, 1.0, 5.0]).round(2).tolist()
    [-0.3, 0.3, 0.0]
    """
    x = np.asarray(values, dtype=float)
    offsets = np.zeros(x.size)
    if x.size < 2 or np.ptp(x) == 0:
        return np.linspace(-width, width, x.size) if x.size > 1 else offsets
    # ranks within bins and not chance: the same data are the same bytes
    bins = np.clip(((x - x.min()) / np.ptp(x) * 12).astype(int), 0, 11)
    fullest = np.bincount(bins).max()
    for index in np.unique(bins):
        members = np.flatnonzero(bins == index)
        half = width * (members.size - 1) / max(fullest - 1, 1)
        offsets[members] = np.linspace(-half, half, members.size)
    return offsets


def mean_interval(values: FloatArray, level: float = 0.95) -> tuple[float, float]:
    """Return the t interval of a mean; NaN for fewer than two values.

    Parameters
    ----------
    values : ndarray of float64
        One group, without missing values.
    level : float
        Confidence level, between 0 and 1.

    Returns
    -------
    low, high : float
        In units of the values.

    Examples
    --------
    >>> [round(v, 2) for v in mean_interval(np.array([1.0, 2.0, 3.0]))]
    [-0.48, 4.48]
    """
    n = values.size
    if n < 2:
        return float('nan'), float('nan')
    margin = stats.t.ppf((1 + level) / 2, n - 1) * values.std(ddof=1) / np.sqrt(n)
    return float(values.mean() - margin), float(values.mean() + margin)


def draw_groups(
    axes: Axes, samples: Mapping[str, FloatArray], ylabel: str, level: float = 0.95
) -> None:
    """Draw each participant, and mean and interval of each group.

    Parameters
    ----------
    axes : Axes
        Where to draw.
    samples : mapping of str to (n,) ndarray
        Values of each group, in order; NaN are left out.
    ylabel : str
        Name and unit of the values.
    level : float
        Level of the intervals.
    """
    for i, (name, sample) in enumerate(samples.items()):
        values = sample[np.isfinite(sample)]
        colour, marker = COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]
        axes.scatter(
            i + spread(values, _POINTS), values, s=14, color=colour, marker=marker, alpha=0.55,
            linewidths=0, label=name,
        )  # fmt: skip
        low, high = mean_interval(values, level)
        if np.isfinite(low):
            beside = i + _INTERVAL
            axes.plot([beside, beside], [low, high], color='black', linewidth=1.6)
            axes.plot(beside, values.mean(), marker='_', color='black', markersize=9)
    axes.set_xticks(range(len(samples)))
    axes.set_xticklabels(
        [f'{name}\nn={int(np.isfinite(x).sum())}' for name, x in samples.items()], fontsize=7
    )
    axes.set_ylabel(ylabel, fontsize=8)
    axes.tick_params(axis='y', labelsize=7)
    axes.spines[['top', 'right']].set_visible(False)
    axes.margins(x=0.1)


def _stars(p: float) -> str:
    """Return the customary marks of a corrected p value."""
    return '***' if p <= 0.001 else '**' if p <= 0.01 else '*' if p <= 0.05 else ''


def draw_brackets(
    axes: Axes, levels: Sequence[str], pairs: Sequence[tuple[str, str, float]]
) -> None:
    """Draw a bracket over each pair of groups that differs.

    Parameters
    ----------
    axes : Axes
        Holds the groups at 0, 1, ...
    levels : sequence of str
        Groups in the order drawn.
    pairs : sequence of (str, str, float)
        The two groups and the corrected p value.
    """
    found = [(a, b, p) for a, b, p in pairs if _stars(p) and a in levels and b in levels]
    if not found:
        return
    low, high = axes.get_ylim()
    step = 0.07 * (high - low)
    for k, (a, b, p) in enumerate(found):
        left, right = sorted((levels.index(a), levels.index(b)))
        y = high + k * step
        axes.plot([left, left, right, right], [y, y + step / 5, y + step / 5, y], 'k', lw=0.8)
        axes.text((left + right) / 2, y + step / 6, _stars(p), ha='center', fontsize=8)
    axes.set_ylim(low, high + (len(found) + 0.4) * step)


def axis_label(measure: Measure) -> str:
    """Return the words that a measure's axis bears.

    Parameters
    ----------
    measure : Measure
        Response.

    Returns
    -------
    str
        Metric, component, voxel and unit, as far as they are known.
    """
    unit = UNITS.get(measure.metric, SCHEMES.get(measure.unit, measure.unit))
    where = f' in {measure.voxel}' if measure.voxel else ''
    words = metric_words(measure.metric, measure.component)
    return f'{words}{where}' + (f' ({unit})' if unit else '')


def _pairs(
    posthoc: pd.DataFrame | None, study: Study, cohort: str, response: str
) -> list[tuple[str, str, float]]:
    """Return the pairs of groups and their corrected p values from a table of pairs.

    Of several analyses of a pair the one counts whose rows are findings: the kind of post hoc
    test that the model names, and of metabolites the exact, the adjusted, or else the t test.
    """
    if posthoc is None or posthoc.empty:
        return []
    report = study.model.content['PostHoc']['Report']
    kinds = [
        'posthoc_plain' if report == 'plain' else 'posthoc', 'mrs_exact', 'mrs_adjusted', 'mrs_t'
    ]  # fmt: skip
    rows = posthoc[(posthoc['cohort'] == cohort) & (posthoc['response'] == response)]
    # pair by pair: of one response the pair with a small group has its exact test, others their t
    rank = rows['analysis'].map({kind: i for i, kind in enumerate(kinds)}).dropna()
    rows = rows.loc[rank.sort_values(kind='stable').index].drop_duplicates('contrast').sort_index()
    levels = study.model.group.levels
    names = {f'{a} - {b}': (a, b) for a in levels for b in levels}
    return [
        (*names[contrast], float(p))
        for contrast, p in zip(rows['contrast'], rows['p_corrected'], strict=True)
        if contrast in names
    ]


def group_figure(
    study: Study, cohort: str, metric: str, posthoc: pd.DataFrame | None = None
) -> Figure:
    """Draw one metric of all components by group, for one cohort.

    Parameters
    ----------
    study : Study
        Data and model.
    cohort : str
        Name of the cohort.
    metric : str
        Metric of the components, or a metabolite.
    posthoc : DataFrame, optional
        Finished post hoc table; pairs that differ get a bracket.

    Raises
    ------
    InputDataError
        If the cohort or metric is not there.
    """
    measures = [measure for measure in study.measures if measure.metric == metric]
    frames = dict(study.cohorts())
    if not measures or cohort not in frames:
        raise InputDataError(f'there is no {metric} in cohort {cohort} to draw.')
    frame = frames[cohort]
    levels = study.group_levels(frame)
    figure = Figure(figsize=(1.2 + 2.3 * len(measures), 2.9), layout='constrained')
    row = figure.subplots(1, len(measures), squeeze=False)[0]
    for axes, measure in zip(row, measures, strict=True):
        scale = SCALE.get(metric, 1.0)
        samples = {
            level: frame.loc[frame['group'] == level, measure.name].to_numpy(dtype=float) * scale
            for level in levels
        }
        draw_groups(axes, samples, axis_label(measure), study.model.confidence)
        draw_brackets(axes, levels, _pairs(posthoc, study, cohort, measure.name))
    if len(frames) > 1:
        figure.suptitle(cohort, fontsize=9)
    return figure


def trajectory_figure(study: Study, cohort: str, measure: Measure) -> Figure:
    """Draw each participant over the sessions, and mean and interval of each group.

    Parameters
    ----------
    study : Study
        Data and model.
    cohort : str
        Name of the cohort.
    measure : Measure
        What to draw.

    Raises
    ------
    InputDataError
        If nobody of the cohort has two sessions of the measure.
    """
    first, later = session_roles(study)
    visits = [first, *later]
    frame = dict(study.cohorts(study.wide)).get(cohort)
    if frame is None:
        raise InputDataError(f'there is no cohort {cohort} to draw.')
    wide = frame.pivot_table(index='participant_id', columns='session_id', values=measure.name)
    wide = wide.reindex(columns=visits) * SCALE.get(measure.metric, 1.0)
    wide = wide[wide.notna().sum(axis=1) >= 2]
    if wide.empty:
        raise InputDataError(f'nobody of cohort {cohort} has two sessions of {measure.name}.')
    groups = frame.drop_duplicates('participant_id').set_index('participant_id')['group']
    levels = [v for v in study.group_levels(frame) if (groups.loc[wide.index] == v).any()]
    figure = Figure(figsize=(1.0 + 1.9 * len(levels), 2.9), layout='constrained')
    row = figure.subplots(1, len(levels), squeeze=False, sharey=True)[0]
    for i, (axes, level) in enumerate(zip(row, levels, strict=True)):
        _draw_trajectories(axes, wide[groups.loc[wide.index] == level], i, study.model.confidence)
        axes.set_title(level, fontsize=8)
    row[0].set_ylabel(axis_label(measure), fontsize=8)
    return figure


def _draw_trajectories(axes: Axes, wide: pd.DataFrame, i: int, level: float) -> None:
    """Draw the lines of one group and its means."""
    x = np.arange(wide.shape[1])
    colour = COLOURS[i % len(COLOURS)]
    for values in wide.to_numpy(dtype=float):
        there = np.isfinite(values)
        axes.plot(x[there], values[there], color=colour, alpha=0.4, lw=0.8, marker='.', ms=3)
    for at, column in enumerate(wide.to_numpy(dtype=float).T):
        values = column[np.isfinite(column)]
        low, high = mean_interval(values, level)
        axes.plot([at, at], [low, high], color='black', lw=1.6)
    axes.plot(x, wide.mean(axis=0), color='black', lw=1.2, marker='_', ms=9)
    axes.set_xticks(x)
    # n of each visit: a mean that moves may be people who left
    labels = zip(map(str, wide.columns), wide.notna().sum(), strict=True)
    axes.set_xticklabels([f'{v.removeprefix("ses-")}\nn={n}' for v, n in labels], fontsize=7)
    axes.tick_params(axis='y', labelsize=7)
    axes.spines[['top', 'right']].set_visible(False)
    axes.margins(x=0.2)


def scatter_figure(
    study: Study, cohort: str, response: str, name: str, partialcorr: pd.DataFrame | None = None
) -> Figure:
    """Draw a response against a metabolite, both freed from the covariates.

    Points are residuals after the covariates, put back at the mean, so that the line's slope
    is the partial regression and its correlation the partial correlation in the table.

    Parameters
    ----------
    study : Study
        Data and model.
    cohort, response, name : str
        Cohort, response and metabolite.
    partialcorr : DataFrame, optional
        Finished table; its numbers are written into the figure. Without a row there, the
        correlation is drawn without p value.

    Raises
    ------
    InputDataError
        If the columns are not there or too few participants have both.
    """
    measure, frames = study.measure(response), dict(study.cohorts())
    if measure is None or cohort not in frames:
        raise InputDataError(f'there is no {response} in cohort {cohort} to draw.')
    terms = [name, *study.model.covariate_names]
    sample = draw_sample(study, cohort, frames[cohort], measure, terms)
    try:
        model = fit_model(study, sample, terms, [name])
    except DesignError as error:
        raise InputDataError(f'{response} against {name}: {error}') from error
    column = model.design.terms[name][0]
    others = np.delete(model.design.X, column, axis=1)
    # both axes freed of the same columns: the slope drawn is then that of the model (Frisch,
    # Waugh, Lovell)
    q, _ = np.linalg.qr(others)
    raw = sample.frame[name].to_numpy(dtype=float)
    scale = SCALE.get(measure.metric, 1.0)
    x = raw - q @ (q.T @ raw) + raw.mean()
    y = scale * (model.y - q @ (q.T @ model.y) + model.y.mean())
    figure = Figure(figsize=(3.6, 3.0), layout='constrained')
    axes = figure.subplots()
    groups = sample.frame['group'].to_numpy()
    for i, level in enumerate(study.group_levels(frames[cohort])):
        own = groups == level
        axes.scatter(
            x[own], y[own], s=16, color=COLOURS[i % len(COLOURS)], alpha=0.7, linewidths=0,
            marker=MARKERS[i % len(MARKERS)], label=f'{level} (n={int(own.sum())})',
        )  # fmt: skip
    _draw_line(axes, x, y, len(x) - model.design.X.shape[1])
    slope = model.fit.coefficients[column]
    se = float(np.sqrt(model.fit.covariance[column, column]))
    axes.set_title(_correlation_text(slope / se, model.fit.df, partialcorr, cohort, response),
                   fontsize=8)  # fmt: skip
    adjusted = ', adjusted' if model.covariates else ''
    metabolite = study.measure(name)
    axes.set_xlabel((axis_label(metabolite) if metabolite else name) + adjusted, fontsize=8)
    axes.set_ylabel(axis_label(measure) + adjusted, fontsize=8)
    axes.tick_params(labelsize=7)
    axes.spines[['top', 'right']].set_visible(False)
    axes.legend(fontsize=6, frameon=False, loc='best')
    return figure


def _draw_line(axes: Axes, x: FloatArray, y: FloatArray, df: int) -> None:
    """Draw the fitted line with the band of its mean."""
    centred = x - x.mean()
    sxx = float(centred @ centred)
    slope = float(centred @ y) / sxx
    grid = np.linspace(x.min(), x.max(), 50)
    line = y.mean() + slope * (grid - x.mean())
    sigma = np.sqrt(np.sum((y - y.mean() - slope * centred) ** 2) / df)
    band = stats.t.ppf(0.975, df) * sigma * np.sqrt(1 / x.size + (grid - x.mean()) ** 2 / sxx)
    axes.plot(grid, line, color='black', linewidth=1.2)
    axes.fill_between(grid, line - band, line + band, color='grey', alpha=0.2, linewidth=0)


def _correlation_text(
    t: float, df: int, table: pd.DataFrame | None, cohort: str, response: str
) -> str:
    """Return the correlation as the title of a scatter plot."""
    text = f'partial r = {r_from_t(t, df):.2f}, df = {df}'
    if table is None or table.empty:
        return text
    rows = table[(table['cohort'] == cohort) & (table['response'] == response)]
    if rows.empty or not np.isfinite(rows['p_corrected'].iloc[0]):
        return text
    return f'{text}, corrected p = {rows["p_corrected"].iloc[0]:.3g}'
