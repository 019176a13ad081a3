"""Forest plots of a finished analysis as files, for the group page."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from bids_acc.group.page.forest_figures import forest_figure, forest_rows
from bids_acc.group.statistics.figures.tests import UNITS
from bids_acc.report.figures import save_for_paper
from bids_acc.report.reading import explained
from bids_acc.report.wording import is_functional, metric_words

CAPTION = (
    "Hedges' g of each comparison with its interval: for each cohort, with and without "
    'covariates, and together where there are several.'
)


def write_forests(
    tables: Mapping[str, pd.DataFrame], folder: Path
) -> dict[str, list[tuple[Path, str, str]]]:
    """Draw the differences between groups, one figure for each metric.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        Statistics tables, by name.
    folder : Path
        Where the figures go.

    Returns
    -------
    dict of str to list of (Path, str, str)
        By section of the page: file, title, caption.
    """
    found: dict[str, list[tuple[Path, str, str]]] = {}
    for metric, rows in forest_rows(tables).groupby('metric', sort=False):
        words = metric_words(str(metric))
        first = words[:1] if words[1:2].isupper() else words[:1].upper()  # fALFF
        title = f'{first}{words[1:]}: differences between groups side by side'
        name = re.sub(r'[^A-Za-z0-9]+', '', str(metric))
        path = save_for_paper(forest_figure(rows, title), folder / f'forest_{name}.svg')
        section = 'Structure' if metric in UNITS else 'Glutamate'
        section = 'Function' if is_functional(str(metric)) else section
        found.setdefault(section, []).append((path, title, explained('forest', CAPTION)))
    return found
