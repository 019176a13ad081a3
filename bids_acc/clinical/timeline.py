"""Treatment trials laid end to end: what was given to whom, how long, and with which outcome."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from bids_acc.clinical.evidence import Thresholds, load_thresholds, trial_failed
from bids_acc.clinical.history import History, Record, read_records, read_table
from bids_acc.clinical.logic import Truth

RESPONSE, NO_RESPONSE, UNKNOWN = 'response', 'no response', 'partial or not known'
OUTCOMES = (RESPONSE, NO_RESPONSE, UNKNOWN)
"""Of a trial."""
GIVEN_NOW = {'True': 'yes', 'False': 'no'}
COLUMNS = (
    'participant_id', 'trial', 'drug', 'drug_class', 'dose_mg', 'weeks', 'start', 'end', 'outcome',
    'current',
)  # fmt: skip


def outcome(trial: Record, max_reduction: float) -> str:
    """Say how a trial went: as rated, or by the reduction of symptoms, or by both effects.

    Parameters
    ----------
    trial : mapping
        Of the table of trials.
    max_reduction : float
        Reduction of symptoms in per cent below which there is no response, of antipsychotics.

    Examples
    --------
    >>> outcome({'response': 'inadequate'}, 20)
    'no response'
    >>> outcome({'response_positive': 'full', 'response_negative': 'partial'}, 20)
    'partial or not known'
    """
    antipsychotic = trial.get('drug_class', 'antipsychotic') == 'antipsychotic'
    failed: Truth = trial_failed(trial, max_reduction if antipsychotic else None)
    effects = {trial.get('response_positive'), trial.get('response_negative')}
    if failed is None and len(effects) == 1:
        failed = {'full': False, 'ineffective': True}.get(str(effects.pop()))
    if failed is None:
        return UNKNOWN
    return NO_RESPONSE if failed else RESPONSE


def timeline(histories: Sequence[History], thresholds: Thresholds | None = None) -> pd.DataFrame:
    """Put each participant's trials on one axis of weeks, one after the other.

    Parameters
    ----------
    histories : sequence of History
        Trials in the order of time.
    thresholds : mapping, optional
        Numbers that replace those of the definitions.

    Returns
    -------
    DataFrame
        With `COLUMNS`: a row for each trial; ``start`` and ``end`` in weeks of treatment, without
        what lay between trials. From a trial of unknown length on they are missing.
    """
    # the same limit that decides on labels, so that picture and group cannot disagree
    limit = float(load_thresholds(thresholds)['trrip']['max_reduction_pct'])
    rows = [row for history in histories for row in _rows(history, limit)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _rows(history: History, limit: float) -> Iterator[dict[str, object]]:
    """Yield the trials of one participant."""
    start = 0.0
    for number, trial in enumerate(history.trials, start=1):
        weeks = float(trial.get('weeks', math.nan))
        yield {
            'participant_id': history.participant_id,
            'trial': number,
            'drug': trial['drug'],
            'drug_class': trial.get('drug_class', 'antipsychotic'),
            'dose_mg': float(trial.get('dose_mg', math.nan)),
            'weeks': weeks,
            'start': start,
            # NaN from here on: where a length is unknown, no later trial has a place on the axis
            'end': start + weeks,
            'outcome': outcome(trial, limit),
            'current': GIVEN_NOW.get(str(trial.get('current')), 'n/a'),
        }
        start += weeks


def read_timeline(trials: Path, thresholds: Thresholds | None = None) -> pd.DataFrame:
    """Read a table of trials and lay them end to end.

    Parameters
    ----------
    trials : Path
        Tab-separated, see ``data/clinical/history_schema.json``.
    thresholds : mapping, optional
        As for `timeline`.

    Raises
    ------
    InputDataError
        If a row breaks the schema.
    """
    by_person: dict[str, list[Record]] = {}
    for record in read_records(read_table(trials), 'trial', str(trials)):
        by_person.setdefault(record['participant_id'], []).append(record)
    histories = [
        History(who, tuple(sorted(own, key=lambda r: r.get('trial', 0))))
        for who, own in sorted(by_person.items())
    ]
    return timeline(histories, thresholds)
