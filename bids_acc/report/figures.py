"""Figures as files: the same figure gives the same bytes, whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from bids_acc.files.writing import whole_file
from bids_acc.report.plain_figures import as_written

_UNDATED: Mapping[str, dict[str, None]] = {
    'svg': {'Date': None, 'Creator': None},
    'png': {'Software': None},
    'pdf': {'CreationDate': None, 'ModDate': None, 'Creator': None, 'Producer': None},
}
"""What is left out of each kind of file."""
COLUMN_MM = (89.0, 183.0)
"""Width of one and of two columns, as Nature asks for
(https://research-figure-guide.nature.com/figures/building-and-exporting-figure-panels)."""
PAPER_DPI = 300
PAPER = 'paper'
"""Folder beside the figures, for those that a paper can take."""


def save_figure(figure: Figure, path: Path, dpi: float = 90) -> Path:
    """Save a figure without date and program in it.

    Parameters
    ----------
    figure : Figure
        Its text is drawn as written, never read as TeX.
    path : Path
        Ending in ``.svg``, ``.png`` or ``.pdf``.
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
    # names inside an SVG are drawn by chance without a salt; text stays text, also in a PDF
    fixed = mpl.rc_context(
        {'svg.hashsalt': 'bids_acc', 'svg.fonttype': 'none', 'pdf.fonttype': 42}
    )
    with fixed, whole_file(path) as stream:
        figure.savefig(stream, format=kind, dpi=dpi, metadata=_UNDATED[kind])
    return path


def save_for_paper(figure: Figure, path: Path, dpi: float = 90) -> Path:
    """Save a figure for the page, and as SVG, PDF and PNG at the width of a journal's column.

    Parameters
    ----------
    figure : Figure
        As for `save_figure`.
    path : Path
        Of the page's figure. The others go into the folder `PAPER` beside it; an SVG is
        not written twice.
    dpi : float
        Of what is drawn as pixels in the page's figure.

    Returns
    -------
    Path
        The same.
    """
    save_figure(figure, path, dpi)
    width, height = figure.get_size_inches()
    narrow, wide = (mm / 25.4 for mm in COLUMN_MM)
    column = narrow if width < (narrow + wide) / 2 else wide
    figure.set_size_inches(column, height * column / width)
    folder = path.parent / PAPER
    folder.mkdir(parents=True, exist_ok=True)
    for suffix in ('.pdf', '.png') if path.suffix == '.svg' else ('.svg', '.pdf', '.png'):
        save_figure(figure, folder / f'{path.stem}{suffix}', dpi=PAPER_DPI)
    figure.set_size_inches(width, height)
    return path
