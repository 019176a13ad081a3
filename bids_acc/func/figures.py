"""Pictures of a BOLD series: arrays to matplotlib figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from bids_acc.func.measuring import Carpet
from bids_acc.func.networks import NETWORKS, SYNONYMS
from bids_acc.report.surface_figures import draw_side
from bids_acc.surfaces.template import DENSITIES, HEMISPHERES, load_template
from bids_acc.typing import FloatArray

DRAWN = '10k'
"""Mesh on which maps are drawn; a finer one begins with its vertices."""
_NOTHING = (0.82, 0.82, 0.82)
"""Colour of what has no value."""
SHOWN_PERCENT = 2.0
"""Range of a carpet plot, per cent of the mean on either side."""


def plot_carpet(runs: Sequence[Carpet], title: str = '') -> Figure:
    """Draw motion and the series of the cortex before and after cleaning.

    Parameters
    ----------
    runs : sequence of Carpet
        One column each.
    title : str
        Above the picture.

    References
    ----------
    Power JD (2017). A simple but useful way to assess fMRI scan qualities. NeuroImage
    154:150-158. https://doi.org/10.1016/j.neuroimage.2016.08.009
    """
    figure = Figure(figsize=(max(9.0, 4.5 * len(runs)), 6.4), layout='constrained')
    figure.suptitle(title, fontsize=10)
    grid = figure.subplots(4, len(runs), squeeze=False, sharex='col',
                           gridspec_kw={'height_ratios': [1, 1, 3, 3]})  # fmt: skip
    for column, run in enumerate(runs):
        seconds = np.arange(run.before.shape[1]) * run.repetition_time
        motion, variance, before, after = grid[:, column]
        motion.plot(seconds, run.displacement, lw=0.8, color='0.2')
        motion.axhline(0.5, lw=0.6, ls='--', color='tab:red')
        motion.set_ylim(bottom=0)
        variance.plot(seconds, run.dvars, lw=0.8, color='tab:blue')
        extent = (0.0, float(seconds[-1] + run.repetition_time), 0.0, float(len(run.before)))
        for axes, values, limit in ((before, run.before, SHOWN_PERCENT),
                                    (after, run.after, SHOWN_PERCENT / 2)):  # fmt: skip
            shades = mpl.colormaps['gray'].with_extremes(bad='tab:red')
            axes.imshow(
                np.ma.masked_invalid(values), aspect='auto', cmap=shades, vmin=-limit, vmax=limit,
                extent=extent, interpolation='nearest',
            )  # fmt: skip
            axes.set_yticks([])
        after.set_xlabel('time, s')
        for axes in (motion, variance):
            axes.spines[['top', 'right']].set_visible(False)
        if column == 0:
            motion.set_ylabel('FD, mm')
            variance.set_ylabel('DVARS')
            before.set_ylabel(f'before (±{SHOWN_PERCENT:g} %)')
            after.set_ylabel(f'cleaned (±{SHOWN_PERCENT / 2:g} %)')
    return figure


def plot_maps(
    maps: Sequence[tuple[str, FloatArray, float, float, str]], title: str = ''
) -> Figure:
    """Draw maps on the template's cortex, from outside and from the midline.

    Parameters
    ----------
    maps : sequence of (title, (n_vertices,) ndarray, lowest, highest, colour map)
        Left before right; NaN is grey. One row each.
    title : str
        Above the picture.
    """
    mesh, n_drawn = load_template(DRAWN), DENSITIES[DRAWN]
    figure = Figure(figsize=(11, 2.3 * len(maps) + 0.5), layout='constrained')
    figure.suptitle(title, fontsize=10)
    grid = figure.subplots(len(maps), 4, squeeze=False)
    for row, (name, values, low, high, shades) in zip(grid, maps, strict=True):
        norm = mpl.colors.Normalize(low, high)
        halves = dict(zip(HEMISPHERES, np.split(values, 2), strict=True))
        panels = (('L', False), ('L', True), ('R', True), ('R', False))
        for axes, (side, medial) in zip(row, panels, strict=True):
            own = halves[side][:n_drawn]
            colours = mpl.colormaps[shades](norm(np.nan_to_num(own)))[:, :3]
            colours[~np.isfinite(own)] = _NOTHING
            draw_side(axes, mesh[side].white, mesh[side].faces, colours, side, medial=medial,
                      mixed=True)  # fmt: skip
        row[0].set_title(name, fontsize=9, loc='left')
        figure.colorbar(mpl.cm.ScalarMappable(norm, shades), ax=list(row), shrink=0.7,
                        fraction=0.03)  # fmt: skip
    return figure


def plot_matrix(
    matrix: FloatArray, networks: Sequence[str], title: str = '', limit: float = 0.8
) -> Figure:
    """Draw correlations of regions, ordered by network.

    Parameters
    ----------
    matrix : (n, n) ndarray
        NaN is grey.
    networks : sequence of str
        Of the regions; those without one are left out.
    title : str
        Above the picture.
    limit : float
        Correlation of the strongest colour.
    """
    order = ordered(networks)
    figure = Figure(figsize=(7.6, 6.8), layout='constrained')
    axes = figure.subplots()
    shown = np.ma.masked_invalid(matrix[np.ix_(order, order)])
    shades = mpl.colormaps['RdBu_r'].with_extremes(bad=_NOTHING)
    image = axes.imshow(shown, cmap=shades, vmin=-limit, vmax=limit, interpolation='nearest')
    named = [networks[i] for i in order]
    starts = [i for i, n in enumerate(named) if i == 0 or n != named[i - 1]]
    for start in starts[1:]:
        axes.axhline(start - 0.5, color='k', lw=0.4)
        axes.axvline(start - 0.5, color='k', lw=0.4)
    middles = [(a + b) / 2 - 0.5 for a, b in zip(starts, [*starts[1:], len(named)], strict=True)]
    axes.set_yticks(middles, [named[s] for s in starts], fontsize=7)
    axes.set_xticks([])
    axes.set_title(title, fontsize=10)
    figure.colorbar(image, ax=axes, shrink=0.7)
    return figure


def ordered(networks: Sequence[str]) -> list[int]:
    """Return the places of regions by network, those that markers name first.

    Parameters
    ----------
    networks : sequence of str
        Network of each region; empty for none.

    Returns
    -------
    list of int
        Indices of the regions that have a network, in the order of a figure's rows.

    Examples
    --------
    >>> ordered(['Visual', '', 'DefaultMode', 'Visual'])
    [2, 0, 3]
    """
    first = list(NETWORKS.values())
    rank: Mapping[str, int] = {name: number for number, name in enumerate(first)}
    with_one = [i for i, name in enumerate(networks) if name]
    known = [SYNONYMS.get(name, name) for name in networks]
    return sorted(with_one, key=lambda i: (rank.get(known[i], len(first)), known[i], i))
