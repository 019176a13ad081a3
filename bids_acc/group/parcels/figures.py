"""Figures of the parcellation, from arrays."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bids_acc.group.opnmf.choice import THRESHOLD
from bids_acc.report.surface_figures import draw_side
from bids_acc.typing import FloatArray, IntArray

COLOURS = (
    (0.30, 0.45, 0.69), (0.87, 0.52, 0.32), (0.33, 0.66, 0.41), (0.77, 0.31, 0.32),
    (0.51, 0.45, 0.70), (0.58, 0.47, 0.38), (0.85, 0.55, 0.76), (0.55, 0.55, 0.55),
    (0.80, 0.73, 0.45), (0.39, 0.71, 0.80),
)  # fmt: skip
"""Colours of the parcels, repeated beyond ten."""
_CORTEX = (0.82, 0.82, 0.82)
_DARK = (0.66, 0.66, 0.66)


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


def surface_figure(
    surfaces: Mapping[str, tuple[FloatArray, IntArray]],
    keys: Mapping[str, IntArray],
    *,
    shade: Mapping[str, FloatArray] | None = None,
    title: str = '',
) -> Figure:
    """Draw parcels on the medial side of each hemisphere.

    Parameters
    ----------
    surfaces : mapping of str to (vertices, faces)
        Mesh of ``L`` and ``R`` in right-anterior-superior coordinates, in mm; an inflated one
        shows the sulci best.
    keys : mapping of str to (n_vertices,) ndarray of int
        Parcel at each vertex, from 1; 0 outside.
    shade : mapping of str to (n_vertices,) ndarray of float64, optional
        Sulcal depth or curvature; positive is drawn darker.
    title : str
        Above the figure.

    Returns
    -------
    Figure
        One panel for each hemisphere, seen from the midline.
    """
    largest = max((int(one.max(initial=0)) for one in keys.values()), default=0)
    figure = Figure(figsize=(4.2 * max(len(surfaces), 1), 3.6), layout='constrained')
    panels = np.atleast_1d(figure.subplots(1, len(surfaces)))
    for axes, (side, (vertices, faces)) in zip(panels, surfaces.items(), strict=True):
        colours = _vertex_colours(keys[side], None if shade is None else shade.get(side))
        draw_side(axes, vertices, faces, colours, side)
        axes.set_title({'L': 'left', 'R': 'right'}.get(side, side), fontsize=9)
    handles = [
        mpl.patches.Patch(color=COLOURS[(i - 1) % len(COLOURS)], label=f'component {i}')
        for i in range(1, largest + 1)
    ]
    figure.legend(handles=handles, loc='outside lower center', ncols=min(6, max(largest, 1)),
                  frameon=False, fontsize=8)  # fmt: skip
    if title:
        figure.suptitle(title, fontsize=10)
    return figure


def _vertex_colours(keys: IntArray, shade: FloatArray | None) -> FloatArray:
    """Return a colour for each vertex."""
    colours = np.tile(np.array(_CORTEX), (len(keys), 1))
    if shade is not None:
        colours[shade > 0] = _DARK
    inside = keys > 0
    colours[inside] = np.array(COLOURS)[(keys[inside] - 1) % len(COLOURS)]
    return colours


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
        axes.step(values, share, color=colour, where='post', label=f'component {component + 1}')
    axes.set(
        xlabel='share of resampled cohorts that agree', ylabel='share of vertices', xlim=(0, 1)
    )
    axes.spines[['top', 'right']].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    return figure
