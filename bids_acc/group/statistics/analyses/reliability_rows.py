"""Rows of the table ``reliability``: agreement of sessions without treatment between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from bids_acc.exceptions import InputDataError
from bids_acc.group.formulas.longitudinal import wide_sessions
from bids_acc.group.formulas.reliability import reliability
from bids_acc.group.statistics.analyses.longitudinal_rows import chosen_measures, why_incomplete
from bids_acc.group.statistics.rows.kinds import Effect, FTest
from bids_acc.group.statistics.rows.row import Row
from bids_acc.group.statistics.study.data import Measure, Study
from bids_acc.tables.labels import sessions_in_order

EXTRA = ('sem', 'sdc', 'cv_pct', 'bias')
"""What stands beside the ICC."""


def agreement_of_sessions(
    study: Study, earlier: Mapping[str, pd.DataFrame], rng: np.random.Generator
) -> list[Row]:
    """Return the reliability of each measure from the sessions that the model names.

    Parameters
    ----------
    study : Study
        Data and model (``Sessions/Reliability``).
    earlier : mapping of str to DataFrame
        Not used: this step looks at no other.
    rng : Generator
        Not used: nothing here is random.

    Returns
    -------
    list of Row
        One row a measure, cohort and scope; empty where the model names no sessions.
    """
    del earlier, rng
    wanted = study.model.content['Sessions']
    if not wanted['Reliability']:
        return []
    present = {str(s).removeprefix('ses-'): str(s) for s in study.wide['session_id'].unique()}
    labels = [str(label).removeprefix('ses-') for label in wanted['Reliability']]
    # declared and not there is a spelling, and no cohort without retests
    if absent := [label for label in labels if label not in present]:
        raise InputDataError(
            f'Sessions/Reliability: nobody has session {absent[0]!r}; there are '
            f'{", ".join(sessions_in_order(present))}.'
        )
    sessions = [present[label] for label in labels]
    return [
        row
        for cohort, frame in study.cohorts(study.wide)
        for scope, part in _scopes(study, frame)
        for measure in chosen_measures(study, wanted['Measures'])
        for row in [_row(study, cohort, scope, part, measure, sessions)]
    ]


def _scopes(study: Study, frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield all people, then each group: people who differ more look more reliable."""
    yield 'all groups', frame
    levels = study.group_levels(frame)
    if len(levels) > 1:
        for level in levels:
            yield level, frame[frame['group'] == level]


def _row(
    study: Study, cohort: str, scope: str, part: pd.DataFrame, measure: Measure,
    sessions: Sequence[str],
) -> Row:  # fmt: skip
    """Return the agreement of one measure in some people."""
    row = Row(
        analysis='reliability', cohort=cohort, response=measure.name, metric=measure.metric,
        component=measure.component, term='person', contrast=scope,
        formula=f'{measure.name} ~ person + session',
    )  # fmt: skip
    try:
        wide, _ = wide_sessions(part, measure.name, sessions)
        found = reliability(wide.to_numpy(), study.model.confidence)
    except InputDataError as error:
        row.note = f'not done: {error}'
        return row
    row.test = FTest(value=found.f, df1=found.df1, df2=found.df2, p=found.p)
    row.n = len(wide)
    row.effect = Effect('icc_2_1', found.icc, found.ci_low, found.ci_high)
    row.excluded = why_incomplete(study, part, [measure.name], sessions)
    row.method = 'ICC(2,1): two-way random effects, absolute agreement, single measurement'
    row.extra = {name: getattr(found, name) for name in EXTRA}
    return row
