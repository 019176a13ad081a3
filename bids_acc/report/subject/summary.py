"""What was done with which data, and what went wrong: the part that is read first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

import pandas as pd

from bids_acc.derivatives.status import StatusRow
from bids_acc.exceptions import ExitCode
from bids_acc.report.html import Block, table_block
from bids_acc.report.subject.view import SubjectView, what_differs

REMEDIES: Mapping[ExitCode, str] = MappingProxyType(
    {
        ExitCode.BAD_DATA: 'Correct or fetch the file that the message names, and run the same '
        'command again; what is finished is not computed again.',
        ExitCode.NO_INPUT: 'Fetch the file that the message names, and run the same command '
        'again.',
        ExitCode.TRY_AGAIN: 'Run the same command again, with more memory or fewer processes '
        '(--mem, --nprocs).',
        ExitCode.CANNOT_WRITE: 'Make room or get the right to write there, and run the same '
        'command again.',
        ExitCode.INTERNAL: 'This is no fault of the data. Please report it with the crash file in '
        'the folder of this run below logs/.',
    }
)
"""What to do after each way to fail."""

FLAGGED = ('anat', 'dwi', 'mtr')
"""Modalities whose table of quality names figures outside their usual range."""


def summary_blocks(view: SubjectView) -> Iterator[Block]:
    """Yield errors, warnings, what was done, what was read and how it was run, in this order.

    Parameters
    ----------
    view : SubjectView
        The subject.

    Yields
    ------
    Block
    """
    # first of all: who reads on may take what is missing for what is normal
    errors = [row for row in view.status if row.status == 'failed']
    if errors:
        yield Block(title='Errors', paragraphs=[_error(row) for row in errors], kind='bad')
    if warnings := list(_warnings(view)):
        yield table_block(
            pd.DataFrame(warnings, columns=['where', 'what']), 'Warnings',
            'Look at these before you use the data. None of them leaves anything out by itself.',
        )  # fmt: skip
    yield _status_block(view)
    if len(view.inputs):
        shown = view.inputs.loc[:, (view.inputs != '').any()]
        yield table_block(
            shown, 'What was read',
            'The sequence as the sidecars tell it; TE echo time, TR repetition time, b in s/mm2.',
        )  # fmt: skip
    if view.about:
        rows = pd.DataFrame(list(view.about.items()), columns=['run', 'value'])
        yield table_block(rows, 'How it was run')


def _error(row: StatusRow) -> str:
    """Say what failed and what to do."""
    remedy = REMEDIES.get(row.exit_code, REMEDIES[ExitCode.INTERNAL])
    where = ' '.join(part for part in (row.session_id, row.modality) if part)
    log = f' (crash file: {row.log})' if row.log else ''
    return f'{where}: {row.reason_text.rstrip(".")}. What to do: {remedy}{log}'


def _status_block(view: SubjectView) -> Block:
    """Tell what was done and what was not."""
    table = pd.DataFrame(
        [
            {
                'session': row.session_id or '',
                'modality': row.modality,
                'status': row.status,
                'why': row.reason_text,
            }
            for row in view.status
        ],
        columns=['session', 'modality', 'status', 'why'],
    )
    return table_block(table.loc[:, (table != '').any()], 'What was done')


def _warnings(view: SubjectView) -> Iterator[tuple[str, str]]:
    """Yield what the tables of quality flag: where, and what."""
    for session in view.visits:
        label = f'ses-{session} ' if session else ''
        for modality in FLAGGED:
            for found, table in view.tables(f'{modality}_qc', session):
                where = f'{label}{modality}{what_differs(found)}'
                for flag in _parts(table, 'flags'):
                    yield where, flag
        for found, table in view.tables('mrs_quality', session):
            where = f'{label}mrs{what_differs(found)}'
            if str(table['gate'].iloc[0]) == 'fail':
                reasons = '; '.join(_parts(table, 'gate_reasons')) or 'see the criteria below'
                yield where, f'The spectrum does not pass its gate: {reasons}.'
            for name in ('artefacts', 'notes'):
                for text in _parts(table, name):
                    yield where, text.replace('_', ' ') if name == 'artefacts' else text


def _parts(table: pd.DataFrame, column: str) -> list[str]:
    """Split a cell of several remarks; none where it is missing."""
    if column not in table or table.empty or not isinstance(table[column].iloc[0], str):
        return []
    return [part.strip() for part in table[column].iloc[0].split('; ') if part.strip()]
