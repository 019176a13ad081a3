"""What the table of outputs wants shown of a modality, in its order and with its words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from bids_acc.derivatives.outputs import FoundOutput, OutputSpec, load_table
from bids_acc.report.html import Block, image_block, table_block, upright
from bids_acc.report.plain_words import word_of
from bids_acc.report.reading import explained
from bids_acc.report.subject.view import SubjectView, read_table, what_differs


def declared_blocks(view: SubjectView, session: str | None, modality: str) -> Iterator[Block]:
    """Yield the figures and tables of a modality that have a ``report`` entry.

    Parameters
    ----------
    view : SubjectView
        The subject.
    session : str or None
        Label without prefix.
    modality : str
        How the keys of its outputs begin.

    Yields
    ------
    Block
    """
    wanted = [s for s in load_table().values() if s.report and s.key.partition('_')[0] == modality]
    for spec in sorted(wanted, key=lambda s: (s.report or {}).get('order', 100)):
        yield from _blocks_of(view, session, spec)


def _blocks_of(view: SubjectView, session: str | None, spec: OutputSpec) -> Iterator[Block]:
    """Yield the blocks of one output key."""
    report = spec.report or {}
    caption, empty = ' '.join(str(report.get('caption', '')).split()), pd.Series(dtype=object)
    for found in view.outputs(spec.key, session):
        title = report['title'] + what_differs(found)
        if found.path.suffix == '.tsv':
            table, columns = read_table(found.path), report.get('columns')
            # of what few files have, the figures that this one has
            known = [c for c in report.get('where_known', ()) if table.get(c, empty).notna().any()]
            columns = [*columns, *known] if columns and known else columns
            if report.get('upright'):
                table, columns = upright(table, spec.columns, columns), None
                # names without underscore too, which the page as a whole takes for words
                table['measure'] = table['measure'].map(word_of)
            yield table_block(table, title, caption, columns=columns, file=found.path)
        else:
            block = image_block(found.path, title, explained(spec.key, caption))
            rows = list(_rows(view, session, found, report.get('rows', ())))
            yield replace(block, frames=bool(report.get('frames')), beside=rows)


def _rows(
    view: SubjectView, session: str | None, figure: FoundOutput, keys: Sequence[str]
) -> Iterator[tuple[Path, str]]:
    """Yield the tables that a figure shows: of the same acquisition, voxel and run."""
    for key in keys:
        for found in view.outputs(key, session):
            if what_differs(found) == what_differs(figure):
                yield found.path, 'its rows' if len(keys) == 1 else f'its rows ({_kind(found)})'


def _kind(found: FoundOutput) -> str:
    """Name a table by what tells it from the others of its modality."""
    entities = found.entities
    return entities.get('description') or entities.get('stat') or entities['suffix']
