"""Treatment histories as pictures: each person's trials, and how trials went in each group."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from bids_acc.clinical.timeline import NO_RESPONSE, OUTCOMES, RESPONSE, UNKNOWN

LOOKS: Mapping[str, dict[str, Any]] = {
    RESPONSE: {'facecolor': '#56B4E9', 'hatch': ''},
    NO_RESPONSE: {'facecolor': '#F2C9A8', 'hatch': '////'},
    UNKNOWN: {'facecolor': '#E6E6E6', 'hatch': '..'},
}
"""Colours of Okabe and Ito, lightened for text; hatches tell them apart in grey."""
MOST = 40
"""People in one figure."""
ROW_IN, WIDTH_IN = 0.17, 7.2
LETTER_IN = 0.055
"""Width of a letter of 5.5 points, about."""


def timeline_figures(timeline: pd.DataFrame, group: str) -> Iterator[Figure]:
    """Yield the trials of each person of a group, some people in each figure.

    Parameters
    ----------
    timeline : DataFrame
        Of the group's people, see `bids_acc.clinical.timeline.timeline`.
    group : str
        Its name.
    """
    shown = _laid_out(timeline)
    order = shown.groupby('participant_id')['right'].agg(['size', 'max'])
    people = list(order.sort_values(['size', 'max'], ascending=False, kind='stable').index)
    most = float(shown['right'].max())
    parts = [list(part) for part in np.array_split(people, -(-len(people) // MOST))]
    for number, part in enumerate(parts, start=1):
        which = f' ({number} of {len(parts)})' if len(parts) > 1 else ''
        own = shown[shown['participant_id'].isin(part)]
        yield _people_figure(own, part, most, f'{group}, n = {len(people)}{which}')


def _laid_out(timeline: pd.DataFrame) -> pd.DataFrame:
    """Add where each trial is drawn; one of unknown length has a box of its own width."""
    known = timeline['weeks'].dropna()
    box = 0.06 * float(timeline.groupby('participant_id')['weeks'].sum().max() or 52.0)
    width = timeline['weeks'].fillna(box if len(known) else 4.0)
    right = width.groupby(timeline['participant_id']).cumsum()
    return timeline.assign(left=right - width, right=right)


def _people_figure(shown: pd.DataFrame, people: Sequence[str], most: float, title: str) -> Figure:
    """Draw one figure: a line for each person."""
    height = 0.95 + ROW_IN * len(people)
    figure = Figure(figsize=(WIDTH_IN, height), layout='constrained')
    axes = figure.subplots()
    weeks_per_letter = most * LETTER_IN / (WIDTH_IN - 1.2)
    for row, who in enumerate(people):
        for _, trial in shown[shown['participant_id'] == who].iterrows():
            _draw_trial(axes, row, trial, weeks_per_letter)
    axes.set_yticks(range(len(people)), [who.removeprefix('sub-') for who in people], fontsize=6)
    axes.set_ylim(len(people) - 0.4, -0.6)
    axes.set_xlim(0, 1.02 * most)
    axes.set_xlabel('weeks of treatment, one trial after the other', fontsize=8)
    axes.tick_params(axis='x', labelsize=7)
    axes.tick_params(axis='y', length=0)
    axes.spines[['top', 'right', 'left']].set_visible(False)
    axes.set_title(title, fontsize=9)
    _legend(figure)
    return figure


def _draw_trial(axes: Axes, row: int, trial: pd.Series, letter: float) -> None:
    """Draw one trial with drug and dose, as much of it as has room."""
    unknown = np.isnan(trial['weeks'])
    axes.barh(
        row, trial['right'] - trial['left'], left=trial['left'], height=0.82, lw=0.6,
        edgecolor='0.35', ls='--' if unknown else '-', **LOOKS[trial['outcome']],
    )  # fmt: skip
    room = (trial['right'] - trial['left']) / letter - 1
    text = next((t for t in _labels(trial) if len(t) <= room), '')
    axes.text(
        (trial['left'] + trial['right']) / 2, row, text, ha='center', va='center', fontsize=5.5,
        bbox={'facecolor': 'white', 'alpha': 0.75, 'lw': 0, 'pad': 0.4} if text else None,
    )  # fmt: skip
    if trial['current'] == 'yes':
        axes.plot(trial['right'], row, '>', color='black', ms=3, clip_on=False)


def _labels(trial: pd.Series) -> tuple[str, ...]:
    """Return what may stand in a trial, from the longest to the shortest."""
    drug, dose = str(trial['drug']), trial['dose_mg']
    if np.isnan(dose):
        return drug, f'{drug[:4]}.', drug[:3]
    return f'{drug} {dose:g} mg', f'{drug} {dose:g}', drug, f'{drug[:4]}. {dose:g}', drug[:3]


def _legend(figure: Figure) -> None:
    """Say what the fillings mean."""
    handles = [Patch(edgecolor='0.35', lw=0.6, label=name, **LOOKS[name]) for name in OUTCOMES]
    figure.legend(handles=handles, loc='outside lower center', ncols=3, frameon=False, fontsize=7)


def outcomes_figure(timeline: pd.DataFrame, groups: Mapping[str, Sequence[str]]) -> Figure:
    """Draw how the first, second, ... trial went in each group.

    Parameters
    ----------
    timeline : DataFrame
        Of everybody, see `bids_acc.clinical.timeline.timeline`.
    groups : mapping of str to sequence of str
        People of each group; those without a trial count too.
    """
    figure = Figure(figsize=(max(3.6, 0.9 + 1.7 * len(groups)), 2.7), layout='constrained')
    row = figure.subplots(1, len(groups), squeeze=False, sharex=True)[0]
    last = int(timeline['trial'].max())
    for axes, (group, people) in zip(row, groups.items(), strict=True):
        own = timeline[timeline['participant_id'].isin(list(people))]
        counts = pd.crosstab(own['trial'], own['outcome']).reindex(
            index=range(1, last + 1), columns=list(OUTCOMES), fill_value=0
        )
        below = np.zeros(last)
        for name in OUTCOMES:
            # of all people and not of those with such a trial: bars then fall as trials become
            # fewer
            share = counts[name].to_numpy() / max(len(people), 1)
            axes.bar(counts.index, share, bottom=below, width=0.8, lw=0.6, edgecolor='0.35',
                     **LOOKS[name])  # fmt: skip
            below += share
        axes.set_title(f'{group}, n = {len(people)}', fontsize=8)
        axes.set_ylim(0, 1)
        axes.set_xticks(range(1, last + 1))
        axes.tick_params(labelsize=7)
        axes.spines[['top', 'right']].set_visible(False)
        axes.set_xlabel('number of the trial', fontsize=8)
    row[0].set_ylabel('share of people with the trial', fontsize=8)
    _legend(figure)
    return figure
