"""Picture of the participant flow: one column of boxes for each modality."""

from __future__ import annotations

import textwrap
from collections import Counter

import pandas as pd
from matplotlib.figure import Figure

from bids_acc.group.participant_flow import MODALITIES, STEPS

WIDTH_IN, STEP_IN = 4.2, 1.25
"""Size of a column and of a step, inches."""
LINE = 46
"""Characters in a line of reasons."""


def draw_flow(table: pd.DataFrame) -> Figure:
    """Draw the flow of all modalities side by side.

    Parameters
    ----------
    table : DataFrame
        From `bids_acc.group.participant_flow.participant_flow`.

    Returns
    -------
    Figure
    """
    present = [name for name in MODALITIES if (table['modality'] == name).any()]
    figure = Figure(figsize=(WIDTH_IN * max(len(present), 1), STEP_IN * len(STEPS) + 0.4))
    axes = figure.subplots(1, max(len(present), 1), squeeze=False)[0]
    for axis, modality in zip(axes, present, strict=True):
        axis.set_xlim(0, 1)
        axis.set_ylim(len(STEPS), 0)
        axis.axis('off')
        axis.set_title(MODALITIES[modality], fontsize=12)
        for row, step in enumerate(STEPS):
            part = table[(table['modality'] == modality) & (table['step'] == step)]
            _draw_step(axis, row, step, part)
    figure.tight_layout()
    return figure


def _draw_step(axis, row: int, step: str, part: pd.DataFrame) -> None:  # type: ignore[no-untyped-def]
    """Draw one box, the arrow that leads to it, and who was lost on the way."""
    box = {'boxstyle': 'round,pad=0.4', 'facecolor': '#eef3f8', 'edgecolor': '#33566f'}
    text = f'{STEPS[step]}: {part["n"].sum()}\n{_by_group(part)}'
    axis.text(0.5, row + 0.62, text, ha='center', va='center', fontsize=7.5, bbox=box)
    if row:
        axis.annotate(
            '', (0.27, row + 0.38), (0.27, row - 0.12),
            arrowprops={'arrowstyle': '->', 'color': '#33566f'},
        )  # fmt: skip
    if lost := int(part['lost'].sum()):
        axis.text(0.3, row + 0.13, f'{lost} not: {_reasons(part)}', fontsize=6.5, va='center')


def _by_group(part: pd.DataFrame) -> str:
    """Write the numbers of each cohort's groups, a line for each cohort."""
    lines = []
    for cohort, own in part.groupby('cohort', sort=True):
        groups = ', '.join(f'{r.group} {r.n}' for r in own.itertuples() if r.n or r.lost)
        if groups:
            lines.append(groups if cohort == 'all' else f'{cohort}: {groups}')
    return '\n'.join(lines)


def _reasons(part: pd.DataFrame, most: int = 3) -> str:
    """Write the most frequent reasons, those of all groups together."""
    counts: Counter[str] = Counter()
    for text in part['reasons']:
        for piece in str(text).split('; '):
            why, _, number = piece.rpartition('=')
            if why:
                counts[why] += int(number)
    named = [f'{why} ({n})' for why, n in counts.most_common(most)]
    more = f'; {len(counts) - most} other reasons' if len(counts) > most else ''
    return '\n'.join(textwrap.wrap('; '.join(named) + more, LINE))
