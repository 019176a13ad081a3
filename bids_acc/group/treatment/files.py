"""The treatment histories of a cohort as figures and as a table, for the group page."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from bids_acc.clinical.timeline import read_timeline
from bids_acc.derivatives.outputs import output_path, write_sidecar
from bids_acc.exceptions import BidsAccError
from bids_acc.group.state import GroupRun
from bids_acc.group.statistics.study.joining import make_study
from bids_acc.group.treatment.figures import outcomes_figure, timeline_figures
from bids_acc.report.figures import save_for_paper
from bids_acc.report.reading import explained
from bids_acc.tables.labels import match_labels
from bids_acc.tables.writing import write_tsv

Entry = tuple[Path, str, str]

TIMELINE_CAPTION = (
    'Each line is a person, each box a trial with drug and dose, as long as it lasted; dashed: of '
    'unknown length; a triangle: given now. Outcome as rated, else by the reduction of symptoms '
    '(group/clinical/timeline.tsv has every trial). People with most trials stand first.'
)
OUTCOMES_CAPTION = (
    'Share of each group that had a first, second, ... trial, and how it went. People without a '
    'trial on record count.'
)


def write_timelines(
    run: GroupRun, parcels: pd.DataFrame | None, mrs: pd.DataFrame | None, people: pd.DataFrame
) -> list[Entry]:
    """Draw the treatment trials, where the data set has a table of them.

    Parameters
    ----------
    run : GroupRun
        With its model.
    parcels, mrs, people
        As in `bids_acc.group.statistics.run.run_statistics`.

    Returns
    -------
    list of (Path, str, str)
        File, title, caption.
    """
    if run.model is None:
        return []
    section = run.model.content['TreatmentHistory']
    path = run.data_dir / section['Trials']
    if not path.is_file():
        return []
    try:
        timeline = read_timeline(path, section['Thresholds'])
        everybody = make_study(run.model, parcels, mrs, people).baseline
        match = match_labels(
            timeline['participant_id'], set(everybody['participant_id']), 'sub-', path.name
        )
    except BidsAccError as error:
        run.note(f'Treatment histories are not drawn: {error}')
        return []
    timeline = timeline.assign(participant_id=timeline['participant_id'].map(match.of))
    groups = {
        level: list(everybody.loc[everybody['group'] == level, 'participant_id'])
        for level in run.model.group.levels
        if (everybody['group'] == level).any()
    }
    known = {who for part in groups.values() for who in part}
    # people of the report only, or a figure would tell histories of those who are nowhere else
    timeline = timeline[timeline['participant_id'].isin(known)].reset_index(drop=True)
    if timeline.empty:
        return []
    table = output_path('clinical_timeline', run.output_dir)
    write_tsv(table, timeline)
    write_sidecar('clinical_timeline', table)
    return _figures(timeline, groups, run.folder / 'figures')


def _figures(timeline: pd.DataFrame, groups: dict[str, list[str]], folder: Path) -> list[Entry]:
    """Draw everybody's trials, and how they went."""
    path = save_for_paper(outcomes_figure(timeline, groups), folder / 'trials_outcomes.svg')
    entries = [(path, 'How trials went', explained('trial_outcomes', OUTCOMES_CAPTION))]
    for group, who in groups.items():
        own = timeline[timeline['participant_id'].isin(who)]
        if own.empty:
            continue
        plain = re.sub(r'[^A-Za-z0-9]+', '', group)
        for number, figure in enumerate(timeline_figures(own, group), start=1):
            path = save_for_paper(figure, folder / f'trials_{plain}_{number}.svg')
            title = f'Treatment histories: {group}' + (f', part {number}' if number > 1 else '')
            entries.append((path, title, explained('timeline', TIMELINE_CAPTION)))
    return entries
