"""Who is in the analyses, who is not, and why: numbers and sentences for the report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from bids_acc.group.statistics.study.data import Measure, Study
from bids_acc.group.statistics.study.sessions import visit_order

NO_BASELINE = 'no baseline session'
"""Why people take part in analyses of change only."""


def participant_flow(study: Study) -> pd.DataFrame:
    """Count who is in which group of which cohort and who has which data.

    Parameters
    ----------
    study : Study
        Data and model.

    Returns
    -------
    DataFrame
        One row per cohort, group and measure, and one for each reason why participants are in
        no group at all.
    """
    base, labels = study.baseline, study.model.group.labels
    failed = study.gate_failed.reindex(base.index)
    no_baseline = study.wide['participant_id'].nunique() - len(base)
    first = visit_order(study.wide, study.model.sessions).baseline
    reasons = {**study.not_in_groups, f'{NO_BASELINE}, {first}': no_baseline}
    rows: list[dict[str, Any]] = []
    for cohort, frame in study.cohorts():
        for level in study.group_levels(frame):
            part = frame[frame['group'] == level]
            for measure in study.measures:
                # measured and used apart: a group that loses more to the gate than others is a
                # finding about quality
                used = part[measure.name].notna()
                lost = failed.loc[part.index].get(measure.name, pd.Series(False, part.index))
                rows.append({
                    'cohort': cohort, 'group': level, 'label': labels.get(level, level),
                    'measure': measure.name, 'voxel': voxel_labels(study, measure),
                    'n_participants': len(part),
                    'n_measured': int((used | lost.astype(bool)).sum()),
                    'n_used': int(used.sum()), 'excluded': '',
                })  # fmt: skip
    rows += [
        {'cohort': '', 'group': '', 'label': '', 'measure': '', 'voxel': '',
         'n_participants': number,
         'n_measured': 0, 'n_used': 0, 'excluded': reason}
        for reason, number in reasons.items()
        if number
    ]  # fmt: skip
    columns = ['cohort', 'group', 'label', 'measure', 'voxel', 'n_participants', 'n_measured',
               'n_used', 'excluded']  # fmt: skip
    return pd.DataFrame(rows, columns=columns).sort_values(
        ['cohort', 'group', 'measure', 'excluded'], ignore_index=True
    )


def voxel_labels(study: Study, measure: Measure) -> str:
    """Return the labels of the spectra that a metabolite was measured in.

    Parameters
    ----------
    study : Study
        Which spectra are analysed.
    measure : Measure
        Any response.

    Returns
    -------
    str
        Separated by commas; empty for what is no metabolite.
    """
    if measure.kind not in ('metabolite', 'ratio'):
        return ''
    used = [v for v in study.voxels.used if measure.voxel in ('', v.name)]
    return ', '.join(label for voxel in used for label in voxel.labels)


def flow_notes(flow: pd.DataFrame, levels: Sequence[str] = ()) -> list[str]:
    """Say what a reader of the tables must know about who is in them.

    Parameters
    ----------
    flow : DataFrame
        From `participant_flow`.
    levels : sequence of str
        Groups that the model names.

    Returns
    -------
    list of str
        Who is left out of every comparison, groups without anybody or with one person, and
        cohorts with one group only.

    Examples
    --------
    >>> flow_notes(
    ...     pd.DataFrame(
    ...         {'cohort': ['all'], 'group': ['HC'], 'excluded': [''], 'n_participants': [9]}
    ...     )
    ... )
    ['Only the group HC has participants: nothing can be compared.']
    """
    notes = []
    left_out = flow[flow['excluded'] != '']
    if len(left_out):
        late = left_out['excluded'].str.startswith(NO_BASELINE)
        # who was seen later only still tells of change
        for where, part in (
            ('every comparison', left_out[~late]),
            ('everything but change', left_out[late]),
        ):
            reasons = [f'{row.n_participants} ({row.excluded})' for row in part.itertuples()]
            if reasons:
                notes.append(f'Left out of {where}: {", ".join(reasons)}.')
    there = flow[flow['group'] != '']
    if absent := [level for level in levels if level not in set(there['group'])]:
        notes.append(f'Nobody is in {", ".join(absent)}, which the model file names as groups.')
    for cohort, part in there.groupby('cohort'):
        groups = sorted(set(part['group']))
        where = '' if cohort == 'all' else f' in cohort {cohort}'
        alone = sorted(set(part.loc[part['n_participants'] == 1, 'group']))
        if alone and len(groups) > 1:
            notes.append(
                f'In no comparison of groups, with one person each{where}: {", ".join(alone)}.'
            )
        notes += _none_passed(part, where)
        if len(groups) == 1:
            notes.append(
                f'Only the group {groups[0]} has participants{where}: nothing can be compared.'
            )
    return notes


def _none_passed(part: pd.DataFrame, where: str) -> list[str]:
    """Name groups of which no value of a measure passed, where other groups have some."""
    if not {'measure', 'n_measured', 'n_used'} <= set(part):
        return []
    compared = part.groupby('measure')['n_used'].transform('max') > 1
    lost = part[compared & (part['n_used'] == 0) & (part['n_measured'] > 0)]
    return [
        f'No value of {", ".join(rows["measure"])} passed its gate in {group}{where} '
        f'({rows["n_measured"].max()} measured): the group is in no comparison of '
        f'{"it" if len(rows) == 1 else "them"}.'
        for group, rows in lost.groupby('group')
    ]
