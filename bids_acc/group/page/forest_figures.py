"""Differences between groups side by side over cohorts and ways of analysis, with intervals."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from bids_acc.group.statistics.figures.tests import COLOURS, MARKERS
from bids_acc.report.wording import is_functional, response_words, text_of

STANDARDISED: Mapping[str, str] = {
    'hedges_g_adjusted': 'adjusted for covariates',
    'hedges_g': 'without covariates',
    'mean_hedges_g': 'cohorts together (meta-analysis)',
}
"""Effect sizes that share an axis, and how they were made."""
ROW_IN, GAP = 0.2, 0.9
"""Height of a line in inches, and room between comparisons, in lines."""


def _kind(metric: str) -> str:
    """Return which figure a metric stands in: all markers of one functional metric in one."""
    return metric.split('__', maxsplit=1)[0] if is_functional(metric) else metric


def forest_rows(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Collect the standardised differences between two groups that have an interval.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        Statistics tables, by name.

    Returns
    -------
    DataFrame
        ``metric, response, contrast, cohort, kind, effect, ci_low, ci_high``, without doubles.
    """
    rows = []
    for name in ('posthoc', 'mrs_group', 'meta'):
        table = tables.get(name, pd.DataFrame())
        if 'effect_name' not in table:
            continue
        kept = table[
            table['effect_name'].isin(list(STANDARDISED)) & table['effect'].notna()
            & table['ci_low'].notna() & table['ci_high'].notna()
        ]  # fmt: skip
        for _, row in kept.iterrows():
            if ' - ' not in text_of(row, 'contrast'):
                continue
            rows.append(
                {
                    'metric': _kind(text_of(row, 'metric') or text_of(row, 'response')),
                    'response': response_words(row), 'contrast': text_of(row, 'contrast'),
                    'cohort': text_of(row, 'cohort') or 'all',
                    'kind': STANDARDISED[str(row['effect_name'])],
                    **{key: float(row[key]) for key in ('effect', 'ci_low', 'ci_high')},
                }
            )  # fmt: skip
    columns = ['metric', 'response', 'contrast', 'cohort', 'kind', 'effect', 'ci_low', 'ci_high']
    found = pd.DataFrame(rows, columns=columns)
    # a permuted row and its supplement have one effect: it is drawn once
    return found.drop_duplicates(['response', 'contrast', 'cohort', 'kind'], ignore_index=True)


def forest_figure(rows: pd.DataFrame, title: str) -> Figure:
    """Draw a forest plot.

    Parameters
    ----------
    rows : DataFrame
        From `forest_rows`, of one metric.
    title : str
        Above the figure.

    Returns
    -------
    Figure
        One block of lines for each comparison; colour tells the cohort, the marker how the
        difference was made. The line at zero is no difference.
    """
    cohorts = list(dict.fromkeys(rows['cohort']))
    kinds = [kind for kind in STANDARDISED.values() if (rows['kind'] == kind).any()]
    figure = Figure(layout='constrained')
    axes = figure.subplots()
    at, ticks, words = 0.0, [], []
    for (response, contrast), part in rows.groupby(['response', 'contrast'], sort=False):
        start = at
        for row in part.to_dict('records'):
            colour = COLOURS[cohorts.index(row['cohort']) % len(COLOURS)]
            marker = MARKERS[kinds.index(row['kind']) % len(MARKERS)]
            axes.plot([row['ci_low'], row['ci_high']], [at, at], color=colour, lw=1.3)
            # open markers for what is not adjusted: it is told apart in grey, too
            filled = row['kind'] != STANDARDISED['hedges_g']
            axes.plot(
                row['effect'], at, marker, color=colour, ms=5, mfc=colour if filled else 'white'
            )
            at += 1
        ticks.append((start + at - 1) / 2)
        words.append(f'{response}: {contrast}')
        at += GAP
    axes.axvline(0, color='0.6', lw=0.8, zorder=0)
    axes.set_yticks(ticks, words, fontsize=7)
    axes.set_ylim(at, -1)
    axes.set_xlabel("Hedges' g with its interval", fontsize=8)
    axes.tick_params(axis='x', labelsize=7)
    axes.tick_params(axis='y', length=0)
    axes.spines[['top', 'right', 'left']].set_visible(False)
    for i, name in enumerate(cohorts):
        axes.plot([], [], color=COLOURS[i % len(COLOURS)], label=name)
    for i, kind in enumerate(kinds):
        face = 'white' if kind == STANDARDISED['hedges_g'] else '0.3'
        axes.plot([], [], MARKERS[i % len(MARKERS)], color='0.3', mfc=face, ls='', label=kind)
    figure.legend(loc='outside lower center', ncols=3, frameon=False, fontsize=7)
    figure.suptitle(title, fontsize=9)
    figure.set_size_inches(7.2, 1.1 + ROW_IN * at)
    return figure
