"""What became of each modality: ``status.tsv``, the closing sentence, the exit code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from bids_acc.exceptions import ExitCode
from bids_acc.files.writing import plain, write_json
from bids_acc.tables.writing import write_tsv

SEVERITY = (
    ExitCode.CANNOT_WRITE,
    ExitCode.TRY_AGAIN,
    ExitCode.INTERNAL,
    ExitCode.USAGE,
    ExitCode.BAD_DATA,
    ExitCode.NO_INPUT,
)
"""When sessions fail for different reasons, the first of these that occurs is returned."""


COLUMNS = {
    'participant_id': 'Participant; n/a for parts of the group level',
    'session_id': 'Session; n/a without sessions',
    'modality': 'anat, dwi, func, mtr, mrs, or group',
    'status': 'done, reused (as an earlier run left it), skipped or failed',
    'reason_code': 'Reason in a word, for programs',
    'reason_text': 'Reason in a sentence, with what to do',
    'log': 'Crash file beside this table',
}
"""What ``status.tsv`` holds."""


@dataclass(frozen=True)
class StatusRow:
    """What became of one modality of one session."""

    participant_id: str
    """Label with its prefix; ``n/a`` for parts of the group level."""
    session_id: str | None
    modality: str
    status: Literal['done', 'reused', 'skipped', 'failed']
    reason_code: str = ''
    reason_text: str = ''
    log: str = ''
    """Name of the crash file in the folder of the run."""
    exit_code: ExitCode = ExitCode.OK
    """What it contributes to that of the run; not in the table."""

    @property
    def where(self) -> str:
        """Participant, session and modality in words."""
        parts = (self.participant_id, self.session_id, self.modality)
        return ' '.join(part for part in parts if part)


def write_status(run_folder: Path, rows: Sequence[StatusRow]) -> Path:
    """Write ``status.tsv`` of a run, and what its columns hold.

    Parameters
    ----------
    run_folder : Path
        From `bids_acc.derivatives.dataset.new_run_folder`.
    rows : sequence of StatusRow

    Returns
    -------
    Path
        The table.
    """
    columns = [name for name in StatusRow.__dataclass_fields__ if name != 'exit_code']
    table = pd.DataFrame([plain(asdict(row)) for row in rows], columns=columns)
    for column in ('reason_text', 'reason_code'):
        # A message of another library may hold line breaks and tabs, which would end the row.
        table[column] = table[column].str.replace(r'\s+', ' ', regex=True)
    path = run_folder / 'status.tsv'
    write_tsv(path, table.replace('', None))
    described = {name: {'Description': text} for name, text in COLUMNS.items()}
    write_json(path.with_suffix('.json'), described)
    return path


def verdict(status: Sequence[StatusRow]) -> tuple[str, ExitCode]:
    """Decide the closing sentence and the exit code, both from the same rows.

    Parameters
    ----------
    status : sequence of StatusRow

    Returns
    -------
    text : str
    code : ExitCode

    Examples
    --------
    >>> verdict([StatusRow('sub-01', None, 'anat', 'done')])
    ('bids_acc: finished: 1 done.', <ExitCode.OK: 0>)
    """
    counts = Counter(row.status for row in status)
    words = ('done', 'reused', 'skipped', 'failed')
    tally = ', '.join(f'{counts[word]} {word}' for word in words if counts[word])  # type: ignore[index]
    codes = {row.exit_code for row in status} - {ExitCode.OK}
    code = next((c for c in SEVERITY if c in codes), ExitCode.OK)
    if code is ExitCode.OK:
        return f'bids_acc: finished: {tally}.', code
    listed = '\n'.join(
        f'  {row.where}: {row.reason_text}' for row in status if row.exit_code is not ExitCode.OK
    )
    name = code.name.lower().replace('_', ' ')
    text = f'{listed}\nbids_acc: finished with problems: {tally}; exit code {int(code)} ({name}).'
    return text, code
