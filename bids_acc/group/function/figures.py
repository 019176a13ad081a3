"""Pictures of the cohort's connectivity."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from bids_acc.group.formulas.motion_relation import MotionRelation
from bids_acc.typing import FloatArray


def plot_motion_relation(found: MotionRelation, distances: FloatArray) -> Figure:
    """Draw how edges follow motion, beside what chance would give, and by distance.

    Parameters
    ----------
    found : MotionRelation
    distances : (n_edges,) ndarray
        In mm.
    """
    figure = Figure(figsize=(9, 3.4), layout='constrained')
    left, right = figure.subplots(1, 2)
    known = np.isfinite(found.r)
    bins = np.linspace(-1, 1, 61)
    left.hist(found.r[known], bins, density=True, color='0.7')
    grid = np.linspace(-0.99, 0.99, 199)
    t = grid * np.sqrt((found.n - 2) / (1 - grid**2))
    slope = np.sqrt(found.n - 2) / (1 - grid**2) ** 1.5
    left.plot(grid, stats.t.pdf(t, found.n - 2) * slope, color='k', lw=1, label='chance')
    left.set(xlabel='r of edge and mean FD over people', ylabel='density', yticks=[])
    left.set_title(f'{found.share:.1%} with p < .05', fontsize=10)
    left.legend(frameon=False, fontsize=8)
    image = right.hexbin(distances[known], found.r[known], gridsize=40, cmap='Greys', bins='log')
    image.set_rasterized(True)
    right.axhline(0, color='k', lw=0.6)
    right.set(xlabel='distance of the regions, mm', ylabel='r of edge and mean FD')
    right.set_title(f'Spearman {found.distance:+.2f}', fontsize=10)
    for axes in (left, right):
        axes.spines[['top', 'right']].set_visible(False)
    return figure


def plot_differences(panels: Sequence[tuple[str, FloatArray]], networks: Sequence[str]) -> Figure:
    """Draw differences between groups, by pair of networks.

    Parameters
    ----------
    panels : sequence of (title, (n, n) ndarray)
        Differences of Fisher's z.
    networks : sequence of str
        Their names.
    """
    figure = Figure(figsize=(4.6 * len(panels) + 2.2, 5.4), layout='constrained')
    grid = figure.subplots(1, len(panels), squeeze=False)[0]
    finite = np.concatenate([np.abs(gap[np.isfinite(gap)]) for _, gap in panels])
    limit = float(finite.max()) if finite.size and finite.max() > 0 else 1.0
    shades = mpl.colormaps['RdBu_r'].with_extremes(bad='0.85')
    for axes, (title, gap) in zip(grid, panels, strict=True):
        image = axes.imshow(np.ma.masked_invalid(gap), cmap=shades, vmin=-limit, vmax=limit)
        axes.set_title(title, fontsize=9)
        axes.set_xticks(range(len(networks)), networks, rotation=90, fontsize=7)
        axes.set_yticks(range(len(networks)), networks if axes is grid[0] else [], fontsize=7)
    figure.colorbar(image, ax=list(grid), shrink=0.7, label="difference of Fisher's z")
    return figure
