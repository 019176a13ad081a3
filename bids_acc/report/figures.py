"""Figures as files: the same figure gives the same bytes, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text

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
LEAST_PT = 5.0
"""Smallest text of a figure (the same guide asks for 5 to 7 pt)."""
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
        # without date and version: who compares two runs sees what changed in them
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
    width = figure.get_size_inches()[0]
    narrow, wide = (mm / 25.4 for mm in COLUMN_MM)
    column = narrow if width < (narrow + wide) / 2 else wide
    # its own size: scaled down by the journal, its letters could not be read
    folder = path.parent / PAPER
    folder.mkdir(parents=True, exist_ok=True)
    with _resized(figure, column / width):
        for suffix in ('.pdf', '.png') if path.suffix == '.svg' else ('.svg', '.pdf', '.png'):
            save_figure(figure, folder / f'{path.stem}{suffix}', dpi=PAPER_DPI)
    return path


@contextmanager
def _resized(figure: Figure, factor: float) -> Iterator[None]:
    """Change the size of a figure for a while; when it shrinks, so do text, lines and points."""
    size = figure.get_size_inches().copy()
    drawn = list(_sizes(figure)) if factor < 1 else []
    figure.set_size_inches(*(size * factor))
    for change, value, power in drawn:
        scaled = np.asarray(value) * factor ** abs(power)
        if power < 0:  # text is to be read
            scaled = np.maximum(scaled, min(LEAST_PT, value))
        change(scaled if np.ndim(value) else float(scaled))
    try:
        yield
    finally:
        figure.set_size_inches(*size)
        for change, value, _ in drawn:
            change(value)


def _sizes(figure: Figure) -> Iterator[tuple[Callable[[Any], Any], Any, int]]:
    """Yield how each size in points is set, its value, and the power by which it scales.

    The power of text is negative: it has a least size.
    """
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            for label in axis.get_ticklabels()[:1]:  # those that are made while drawing
                set_size = partial(_set_label_size, axis)
                yield set_size, label.get_fontsize(), -1
    for artist in figure.findobj():
        if isinstance(artist, Text):
            yield artist.set_fontsize, artist.get_fontsize(), -1
            continue
        for name, power in (('linewidth', 1), ('markersize', 1), ('sizes', 2)):
            change = getattr(artist, f'set_{name}', None)
            read = getattr(artist, f'get_{name}', None)
            if change and read:
                yield change, read(), power


def _set_label_size(axis: Axis, size: float) -> None:
    """Set the size of the labels of an axis."""
    axis.set_tick_params(labelsize=size)
