"""Text of users in figures, as they wrote it: no TeX in it, and not longer than the figure."""

from __future__ import annotations

from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import LogFormatter, ScalarFormatter

LONGEST = 60
"""Characters of a tick or of an entry in a legend; more would leave no room for the figure."""


def as_written(figure: Figure) -> None:
    r"""Draw texts as they are; call it before a figure is saved.

    Matplotlib takes what stands between two dollars for TeX, and a group called ``$\frac$`` for a
    fault. Numbers at axes, which Matplotlib writes in that way itself, are left to it.

    Parameters
    ----------
    figure : Figure
        Changed in place.
    """
    # 10⁻³ at an axis is written by Matplotlib as a formula, and must stay one
    numbers = {
        id(label)
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        if isinstance(axis.get_major_formatter(), ScalarFormatter | LogFormatter)
        for label in [*axis.get_ticklabels(which='both'), axis.get_offset_text()]
    }
    for text in figure.findobj(Text):
        if isinstance(text, Text) and id(text) not in numbers:
            # two dollar signs in the names of groups are no formula, and an unclosed one stops the
            # figure
            text.set_parse_math(False)
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            _shorten_ticks(axis)
        if (legend := axes.get_legend()) is not None:
            for text in legend.get_texts():
                text.set_text(shortened(text.get_text()))


def _shorten_ticks(axis: Axis) -> None:
    """Shorten the words at an axis."""
    words = [label.get_text() for label in axis.get_ticklabels()]
    if any(len(word) > LONGEST for word in words):
        axis.set_ticks(axis.get_ticklocs(), [shortened(word) for word in words])


def shortened(text: str) -> str:
    """Cut out the middle of a text that is too long; its ends tell it from others.

    Parameters
    ----------
    text : str
        Label of an axis or a legend.

    Returns
    -------
    str
        At most `LONGEST` characters.

    Examples
    --------
    >>> len(shortened('a' * 200)), shortened('short')
    (59, 'short')
    """
    return text if len(text) <= LONGEST else f'{text[:40]} … {text[-16:]}'
