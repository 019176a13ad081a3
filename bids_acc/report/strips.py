"""Each person as a point, by group: small pictures in the page that tell who a point is."""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np
import pandas as pd

COLOURS = ('#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#5c5c5c')
"""Told apart with any colour vision (Okabe and Ito 2008, https://jfly.uni-koeln.de/color), its
yellow and black left out: they are not seen on a white or a dark page."""
WIDTH, HEIGHT, LEFT, FOOT, HEAD = 250, 160, 8, 34, 34
"""Of one picture, in pixels; room at the left, below and above."""
RADIUS = 2.6
"""Of a point, in pixels."""
RANGE_AT = 23
"""Base line of the text that tells the range, in pixels from above; the points stay below it."""
STEP = 5
"""Pixels between points that would lie on each other."""


def strip_picture(values: pd.DataFrame, title: str, groups: Sequence[str], unit: str = '') -> str:
    """Draw the values of one measure.

    Parameters
    ----------
    values : DataFrame
        ``who``, ``group`` and ``value``; a missing value or group is left out.
    title : str
        Above the picture.
    groups : sequence of str
        In the order of the columns; those without a value have none.
    unit : str
        Of the values.

    Returns
    -------
    str
        SVG: a circle for each person, whose title says who it is and the value; a line at the
        median of each group. All text is escaped.
    """
    known = values[values['value'].notna() & values['group'].isin(list(groups))]
    shown = known['value'].to_numpy(dtype=float)
    low, high = (float(shown.min()), float(shown.max())) if len(shown) else (0.0, 1.0)
    span = (high - low) or 1.0
    parts = []
    present = [group for group in groups if (known['group'] == group).any()]
    column = (WIDTH - LEFT) / max(len(present), 1)
    for number, group in enumerate(present):
        centre = LEFT + (number + 0.5) * column
        colour = COLOURS[list(groups).index(group) % len(COLOURS)]  # the same in every picture
        # placed from the lowest up, so that the picture does not depend on the order of people
        own = known[known['group'] == group].sort_values('value', kind='stable')
        shares = (own['value'].to_numpy(float) - low) / span
        heights = HEIGHT - FOOT - shares * (HEIGHT - FOOT - HEAD)
        offsets = _apart(heights, column / 2 - 4)
        for who, value, x, y in zip(own['who'], own['value'], offsets, heights, strict=True):
            told = html.escape(f'{who}, {group}: {value:.4g} {unit}'.strip())
            parts.append(
                f'<circle cx="{centre + x:.1f}" cy="{y:.1f}" r="{RADIUS}" fill="{colour}" '
                f'fill-opacity="0.75"><title>{told}</title></circle>'
            )
        middle = float(np.median(heights))
        parts.append(
            f'<line x1="{centre - 14:.1f}" x2="{centre + 14:.1f}" y1="{middle:.1f}" '
            f'y2="{middle:.1f}" stroke="currentColor" stroke-width="2"/>'
        )
        parts.append(
            f'<text x="{centre:.1f}" y="{HEIGHT - 18}" text-anchor="middle">{html.escape(group)}'
            f'</text><text x="{centre:.1f}" y="{HEIGHT - 4}" text-anchor="middle">n = {len(own)}'
            '</text>'
        )
    named = html.escape(title)
    ends = html.escape(f'{low:.3g} to {high:.3g} {unit}'.strip())
    return (
        f'<svg class="strip" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{named}: '
        f'{ends}"><text x="2" y="11" class="name">{named}</text>'
        f'<text x="2" y="{RANGE_AT}">{ends}</text>{"".join(parts)}</svg>'
    )


def _apart(heights: np.ndarray, room: float) -> np.ndarray:
    """Move points of like height aside, to the right and the left in turn."""
    offsets = np.zeros(len(heights))
    for index in range(1, len(heights)):
        near = np.flatnonzero(np.abs(heights[:index] - heights[index]) < STEP)
        taken = {round(offsets[k] / STEP) for k in near}
        free = next(k for k in range(len(heights) + 1) if _place(k) not in taken)
        offsets[index] = np.clip(_place(free) * STEP, -room, room)
    return offsets


def _place(number: int) -> int:
    """Count 0, 1, -1, 2, -2 and so on."""
    return (number + 1) // 2 * (1 if number % 2 else -1)
