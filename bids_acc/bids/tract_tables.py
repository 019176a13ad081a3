"""Tables of tracts that other tools measured, as ``--derivatives`` offers them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bids_acc.bids.reasons import without_path
from bids_acc.bids.tools import generated_by
from bids_acc.dwi.tract_tables import LAYOUTS, Layout, combine, layout_of, read_tracts
from bids_acc.exceptions import BidsAccError

NO_TRACTS = frozenset({
    'anat', 'func', 'perf', 'figures', 'log', 'logs', 'surf', 'mri', 'label', 'scripts', 'touch',
    'trash', 'surfaces', 'thickness', 'ROIs', 'viz_bundles', 'bundles',
})  # fmt: skip
"""Folders in which no table of tracts lies, and many other files do."""


@dataclass(frozen=True)
class TractTables:
    """Tables of one session, those that are wanted most first."""

    files: tuple[Path, ...] = ()
    sources: tuple[str, ...] = ()
    """Tool and version of each."""
    notes: tuple[str, ...] = ()
    """For the plan: what is taken, and what is not and why."""


def find_tracts(derivatives: Mapping[str, Path], subject: str, session: str | None) -> TractTables:
    """Find the tables of tracts of a session, and read each to see that it can be used.

    A table that cannot be used is named with the reason and costs nothing else.

    Parameters
    ----------
    derivatives : mapping
        Name to folder of other tools' results. In a data set of QSIRecon each workflow is a data
        set of its own (``derivatives/qsirecon-*``, before 1.0 ``qsirecon-*``).
    subject, session : str
        Labels without prefix.
    """
    good: list[tuple[Path, str, pd.DataFrame]] = []
    refused = []
    for path, source in _ordered(derivatives, subject, session):
        try:
            good.append((path, source, read_tracts(path)))
        except BidsAccError as error:
            refused.append(f'{path.name}: {without_path(error, path)}')
    wide, taken = combine((source, table) for _, source, table in good)
    used = [(path, source) for (path, source, _), metrics in zip(good, taken, strict=True)
            if metrics]  # fmt: skip
    refused += [
        f'{path.name}: another table has the same already'
        for (path, _, _), metrics in zip(good, taken, strict=True)
        if not metrics
    ]
    notes = []
    if used:
        tools = ', '.join(dict.fromkeys(source for _, source in used))
        notes.append(f'{len(wide)} tracts of {tools}')
    if refused:
        notes.append(f'tables of tracts not used: {"; ".join(refused)}')
    return TractTables(tuple(p for p, _ in used), tuple(s for _, s in used), tuple(notes))


def _ordered(
    derivatives: Mapping[str, Path], subject: str, session: str | None
) -> list[tuple[Path, str]]:
    """List the tables of a session and their tools, layouts in the order of `LAYOUTS`."""
    found: dict[Path, tuple[int, int, str]] = {}
    for number, (name, root) in enumerate(derivatives.items()):
        nested = [*root.glob('qsirecon-*'), *(root / 'derivatives').glob('*')]
        for place in [*sorted(p for p in nested if p.is_dir()), root]:
            made = generated_by([place, root])
            if made and made[0][0].startswith('bids_acc'):
                continue
            for path, layout in _tables_in(place, subject, session):
                tool = ' '.join(filter(None, made[0])) if made else f'{layout.tool} ({name})'
                found.setdefault(path, (LAYOUTS.index(layout), number, tool))
    ordered = sorted(found.items(), key=lambda item: (*item[1][:2], str(item[0])))
    return [(path, tool) for path, (_, _, tool) in ordered]


def _tables_in(root: Path, subject: str, session: str | None) -> Iterator[tuple[Path, Layout]]:
    """Yield the tables below a subject's or a session's folder of one data set."""
    own = root / f'sub-{subject}' / (f'ses-{session}' if session else '')
    for folder, inner, names in os.walk(own):
        inner[:] = sorted(n for n in inner if n not in NO_TRACTS and not n.startswith('ses-'))
        for name in sorted(names):
            layout = layout_of(name)
            if layout is not None:
                yield Path(folder) / name, layout
