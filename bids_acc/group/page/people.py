"""Who was left out, by name, and why."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from bids_acc.group.cohort.exclusions import sentence
from bids_acc.group.cohort.quality import KEYS
from bids_acc.group.page.participant_flow import MODALITIES, plain_reason
from bids_acc.group.state import GroupRun
from bids_acc.report.html import Block, table_block
from bids_acc.report.wording import unmet_words

WORDS = {**MODALITIES, 'parcels': 'Parcels'}


def excluded_blocks(run: GroupRun) -> Iterator[Block]:
    """Yield a table of who is left out of what, with the reason; one row for each person.

    Parameters
    ----------
    run : GroupRun
        With its cohort and verdicts.

    Yields
    ------
    Block
    """
    table = run.exclusions()
    if table.empty:
        return
    yield table_block(
        people_left_out(table), 'Left out, and why',
        'A spectrum may pass while single metabolites do not; those are named. '
        'qc/exclusions.tsv has a row for each criterion, with value and threshold.',
        file=run.folder / 'qc' / 'exclusions.tsv',
    )  # fmt: skip


def people_left_out(table: pd.DataFrame) -> pd.DataFrame:
    """Gather the criteria of each person, session and modality in one row.

    Parameters
    ----------
    table : DataFrame
        From `bids_acc.group.cohort.exclusions.exclusions_table`.

    Returns
    -------
    DataFrame
        ``participant``, ``session`` where there are any, ``left out of``, ``metabolites`` and
        ``why``.
    """
    frame = table.fillna({'session_id': '', 'modality': ''})
    rows = []
    for (who, visit, modality), part in frame.groupby([*KEYS, 'modality'], sort=True):
        metabolites = list(dict.fromkeys(part['metabolite'].dropna().astype(str)))
        rows.append(
            {
                'participant': who,
                'session': visit,
                'left out of': WORDS.get(str(modality), str(modality)),
                'metabolites': ', '.join(metabolites),
                'why': '; '.join(_reasons(part, len(metabolites))) or 'not told',
            }
        )
    shown = pd.DataFrame(rows)
    return shown.loc[:, (shown != '').any()]


def _reasons(part: pd.DataFrame, n_metabolites: int) -> Iterator[str]:
    """Yield each reason; one that only some of the metabolites have, with their names."""
    found: dict[str, dict[str, None]] = {}
    for _, row in part.iterrows():
        names = found.setdefault(_reason(row), {})
        if isinstance(row['metabolite'], str):
            names[row['metabolite']] = None
    for reason, names in found.items():
        if reason:
            some = 0 < len(names) < n_metabolites
            yield f'{", ".join(names)}: {reason}' if some else reason


def _reason(row: pd.Series) -> str:
    """Say why, and by whom where it was a person."""
    if row['criterion'] == 'human verdict':
        return sentence(row['reason'], row['rater'])
    reason = str(row['reason']) if isinstance(row['reason'], str) else ''
    return unmet_words(plain_reason(reason)) if row['modality'] == 'mrs' else reason
