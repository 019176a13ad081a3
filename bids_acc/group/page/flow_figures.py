"""Picture of the participant flow: one column of boxes for each modality."""

from __future__ import annotations

import textwrap
from collections import Counter

import pandas as pd
from matplotlib.figure import Figure

from bids_acc.group.page.participant_flow import MODALITIES, STEPS
from bids_acc.report.wording import unmet_words

WIDTH_IN = 2.4
"""Width of a modality, inches: three are as wide as two columns of a journal."""
FONT_PT, SMALL_PT = 6.5, 6.0
LINE, REASON_LINE = 40, 34
"""Characters in a line of a box, and of reasons."""


def draw_flow(table: pd.DataFrame) -> Figure:
    """Draw the flow of all modalities side by side.

    Parameters
    ----------
    table : DataFrame
        From `bids_acc.group.page.participant_flow.participant_flow`.

    Returns
    -------
    Figure
    """
    present = [name for name in MODALITIES if (table['modality'] == name).any()]
    boxes = {
        (modality, step): _box_text(step, table[(table['modality'] == modality)
                                                & (table['step'] == step)])
        for modality in present for step in STEPS
    }  # fmt: skip
    # a box takes 0.6 of its step at most: the rest is for the arrow and the reasons
    lines = max((text.count('\n') + 1 for text in boxes.values()), default=1)
    step_in = max(0.9, (1.25 * FONT_PT / 72 * lines + 0.12) / 0.6)
    figure = Figure(figsize=(WIDTH_IN * max(len(present), 1), step_in * len(STEPS) + 0.4))
    axes = figure.subplots(1, max(len(present), 1), squeeze=False)[0]
    for axis, modality in zip(axes, present, strict=True):
        axis.set_xlim(0, 1)
        axis.set_ylim(len(STEPS), 0)
        axis.axis('off')
        axis.set_title(MODALITIES[modality], fontsize=9)
        for row, step in enumerate(STEPS):
            part = table[(table['modality'] == modality) & (table['step'] == step)]
            _draw_step(axis, row, boxes[modality, step], part)
    figure.tight_layout()
    return figure


def _box_text(step: str, part: pd.DataFrame) -> str:
    """Write how many are left, and of which groups."""
    lines = [f'{STEPS[step]}: {part["n"].sum()}', *_by_group(part).splitlines()]
    return '\n'.join(short for line in lines for short in textwrap.wrap(line, LINE))


def _draw_step(axis, row: int, text: str, part: pd.DataFrame) -> None:  # type: ignore[no-untyped-def]
    """Draw one box, the arrow that leads to it, and who was lost on the way."""
    box = {'boxstyle': 'round,pad=0.4', 'facecolor': '#eef3f8', 'edgecolor': '#33566f'}
    axis.text(0.5, row + 0.64, text, ha='center', va='center', fontsize=FONT_PT, bbox=box)
    if row:
        axis.annotate(
            '', (0.27, row + 0.38), (0.27, row - 0.12),
            arrowprops={'arrowstyle': '->', 'color': '#33566f'},
        )  # fmt: skip
    if lost := int(part['lost'].sum()):
        axis.text(0.3, row + 0.13, _lost_text(lost, part), fontsize=SMALL_PT, va='center')


def _by_group(part: pd.DataFrame) -> str:
    """Write the numbers of each cohort's groups, a line for each cohort."""
    lines = []
    for cohort, own in part.groupby('cohort', sort=True):
        groups = ', '.join(f'{r.group} {r.n}' for r in own.itertuples() if r.n or r.lost)
        if groups:
            lines.append(groups if cohort == 'all' else f'{cohort}: {groups}')
    return '\n'.join(lines)


def _lost_text(lost: int, part: pd.DataFrame, most: int = 3) -> str:
    """Write how many were lost and the most frequent reasons, those of all groups together."""
    counts: Counter[str] = Counter()
    for text in part['reasons']:
        for piece in str(text).split('; '):
            why, _, number = piece.rpartition('=')
            if why:
                counts[why] += int(number)
    named = [f'{unmet_words(why)} ({n})' for why, n in counts.most_common(most)]
    more = f'; {len(counts) - most} other reasons' if len(counts) > most else ''
    told = f'{lost} left out: {"; ".join(named)}{more}'
    return '\n'.join(textwrap.wrap(told, REASON_LINE))
