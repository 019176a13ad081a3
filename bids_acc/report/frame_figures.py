"""Two images at the same places, one above the other, which a page lays over each other.

The page takes the upper half of such a figure for what was before and the lower one for what came
after: both halves have the same size to the pixel.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from bids_acc.images.frames import CutPlanes, Frame, cut

Outline = tuple[npt.ArrayLike, npt.ArrayLike, str]
"""Map, its affine, and the colour of its 0.5 contour."""


def two_frames(
    first: Frame, second: Frame, places: CutPlanes, outlines: Sequence[Outline] = ()
) -> Figure:
    """Draw two images, each with the same outlines.

    Parameters
    ----------
    first, second : Frame
        Upper and lower half; each is scaled by its own 99th percentile within the slices.
    places : CutPlanes
        Where they are cut.
    outlines : sequence of (map, affine, colour)
        Drawn into both.

    Returns
    -------
    Figure
        Halves of the same size.
    """
    count, inch = len(places.points), 9.6 / len(places.points)
    band = 0.32  # inches for the title of each half
    height = 2 * (inch + band)
    figure = Figure(figsize=(9.6, height), facecolor='black')
    for half, frame in enumerate((first, second)):
        top = 1 - half / 2
        # one title on either side: both are read while the halves lie over each other
        figure.text(
            0.01 + 0.98 * half, top - 0.5 * band / height, frame.title, color='white', fontsize=9,
            ha=('left', 'right')[half], va='center',
        )  # fmt: skip
        slices = [cut(frame.image, frame.affine, points) for points in places.points]
        seen = np.concatenate([part[part > 0] for part in slices])
        # each image by itself: T1w and BOLD have no unit in common; of both, the outlines are
        # compared
        brightest = float(np.percentile(seen, 99)) if seen.size else 1.0
        for column, (values, points) in enumerate(zip(slices, places.points, strict=True)):
            axes = figure.add_axes(
                (column / count, top - (band + inch) / height, 1 / count, inch / height)
            )
            axes.imshow(values, cmap='gray', origin='lower', vmin=0, vmax=brightest)
            for volume, affine, colour in outlines:
                section = cut(volume, affine, points)
                if section.max() > 0.5 > section.min():
                    axes.contour(section, [0.5], colors=colour, linewidths=0.7)
            axes.set_axis_off()
    return figure


def no_frames(text: str) -> Figure:
    """Draw a sentence where there is nothing to compare.

    Parameters
    ----------
    text : str
        Why there is nothing, in one line.

    Returns
    -------
    Figure
        As wide as the other figures of registrations (9.6 in).
    """
    figure = Figure(figsize=(9.6, 0.6), facecolor='black')
    figure.text(0.5, 0.5, text, color='white', fontsize=9, ha='center', va='center')
    return figure
