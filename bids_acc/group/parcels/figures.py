"""Figures of the parcellation, from arrays."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bids_acc.group.opnmf.choice import THRESHOLD
from bids_acc.typing import FloatArray, IntArray

COLOURS = (
    (0.00, 0.45, 0.70), (0.84, 0.37, 0.00), (0.00, 0.62, 0.45), (0.80, 0.47, 0.65),
    (0.90, 0.62, 0.00), (0.34, 0.71, 0.91), (0.94, 0.89, 0.26), (0.36, 0.36, 0.36),
)  # fmt: skip
"""Colours of the parcels, told apart with any colour vision (Okabe and Ito 2008,
https://jfly.uni-koeln.de/color; grey for their black); repeated beyond eight."""


def rank_figure(
    curves: Mapping[str, pd.DataFrame], k: int, *, threshold: float = THRESHOLD
) -> Figure:
    """Draw stability and error against the number of components.

    Parameters
    ----------
    curves : mapping of str to DataFrame
        Curves of each cohort, as `bids_acc.group.opnmf.rank.RankCurves.curves`.
    k : int
        The number that is used; marked.
    threshold : float
        Stability of an admissible number.

    Returns
    -------
    Figure
        Two panels: stability index with its standard deviation over splits and the
        Hungarian-matched cosine; gain in reconstruction error, whole and of the variation
        between sessions, beside that of exchanged sessions.
    """
    figure = Figure(figsize=(9, 3.4), layout='constrained')
    left, right = figure.subplots(1, 2)
    for (name, table), colour in zip(curves.items(), _cycle(len(curves)), strict=True):
        if table.empty:
            continue
        label = name or 'all'
        left.errorbar(
            table['k'], table['stability'], table['stability_sd'], color=colour, marker='o',
            capsize=2, label=label,
        )  # fmt: skip
        left.plot(table['k'], table['matched_cosine'], color=colour, ls=':', marker='.')
        right.plot(table['k'], -table['full_gradient'], color=colour, marker='o', label=label)
        if 'null_gradient' in table:
            right.plot(table['k'], -table['null_gradient'], color=colour, ls='--')
        if 'variation_gradient' in table:
            right.plot(table['k'], -table['variation_gradient'], color=colour, ls=':', marker='.')
    left.axhline(threshold, color='0.6', lw=0.8)
    left.set(ylim=(-0.1, 1.05), ylabel='stability index')
    left.set_title('Stability between halves (dotted: matched cosine)', fontsize=9)
    right.set(ylabel='gain in reconstruction error')
    right.set_title(
        'Gain from one component more\n(dotted: variation only; dashed: sessions exchanged)',
        fontsize=9,
    )
    for axes in (left, right):
        axes.axvline(k, color='0.8', lw=6, zorder=0)
        axes.set_xlabel('number of components')
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.spines[['top', 'right']].set_visible(False)
    if any(len(table) for table in curves.values()):
        left.legend(frameon=False, fontsize=8, loc='lower right')
    return figure


def _cycle(count: int) -> list[tuple[float, float, float]]:
    """Return one colour for each cohort."""
    return [COLOURS[i % len(COLOURS)] for i in range(count)]


def confidence_figure(confidence: FloatArray, labels: IntArray) -> Figure:
    """Draw how sure the vertices of each parcel are.

    Parameters
    ----------
    confidence : (n_vertices,) ndarray of float64
        Share of resampled cohorts that agree with the label.
    labels : (n_vertices,) ndarray of int
        Parcel of each vertex, from 0; -1 for none.

    Returns
    -------
    Figure
        Cumulative share of vertices below each confidence, one line for each parcel.
    """
    figure = Figure(figsize=(4.5, 3.2), layout='constrained')
    axes = figure.subplots()
    for component in range(int(labels.max(initial=-1)) + 1):
        values = np.sort(confidence[labels == component])
        if not values.size:
            continue
        share = np.arange(1, len(values) + 1) / len(values)
        colour = COLOURS[component % len(COLOURS)]
        axes.step(values, share, color=colour, where='post', label=f'parcel {component + 1}')
    axes.set(
        xlabel='share of resampled cohorts that agree', ylabel='share of vertices', xlim=(0, 1)
    )
    axes.spines[['top', 'right']].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    return figure
