"""Power against the size of a study."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure


def power_figure(table: pd.DataFrame, wanted: float = 0.8) -> Figure:
    """Draw the power of each test with its band over the number of people in each group.

    Parameters
    ----------
    table : DataFrame
        From `bids_acc.group.power.simulation.power_table`.
    wanted : float
        Drawn as a line.

    Returns
    -------
    Figure
    """
    figure = Figure(figsize=(6.2, 3.6), layout='constrained')
    axes = figure.subplots()
    for i, (test, own) in enumerate(table.groupby('test', sort=False)):
        false = test == 'any false positive'
        colour = '0.5' if false else f'C{i % 10}'
        axes.fill_between(own['n_per_group'], own['ci_low'], own['ci_high'], color=colour,
                          alpha=0.2, linewidth=0)  # fmt: skip
        axes.plot(own['n_per_group'], own['power'], color=colour, marker='o', markersize=3,
                  ls=':' if false else '-', label=test)  # fmt: skip
    axes.axhline(wanted, color='0.7', lw=0.8)
    axes.set(ylim=(0, 1.02), xlabel='people in each group', ylabel='share of simulated studies')
    axes.spines[['top', 'right']].set_visible(False)
    axes.legend(fontsize=7, frameon=False, loc='center left', bbox_to_anchor=(1, 0.5))
    return figure
