"""Figures as files: the same figure gives the same bytes, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from bids_acc.files.writing import whole_file
from bids_acc.report.plain_figures import as_written


def save_figure(figure: Figure, path: Path, dpi: float = 90) -> Path:
    """Save a figure without date and program in it.

    Parameters
    ----------
    figure : Figure
        Its text is drawn as written, never read as TeX.
    path : Path
        Ending in ``.svg`` or ``.png``.
    dpi : float
        Of what is drawn as pixels.

    Returns
    -------
    Path
        The same.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    as_written(figure)
    kind = path.suffix.removeprefix('.')
    metadata = {'Date': None, 'Creator': None} if kind == 'svg' else {'Software': None}
    # names inside an SVG are drawn by chance without a salt; its text stays text
    fixed = mpl.rc_context({'svg.hashsalt': 'bids_acc', 'svg.fonttype': 'none'})
    with fixed, whole_file(path) as stream:
        figure.savefig(stream, format=kind, dpi=dpi, metadata=metadata)
    return path
