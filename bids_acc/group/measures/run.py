"""The table of measures within a run of the group level: made, written, read back; or given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd

from bids_acc.exceptions import InputDataError
from bids_acc.group.cohort.reading import Cohort
from bids_acc.group.cohort.vertexmaps import gather_beside
from bids_acc.group.measures.codebook import write_codebook
from bids_acc.group.measures.files import data_dictionary, read_measures, write_measures
from bids_acc.group.measures.region_tables import read_regions
from bids_acc.group.measures.table import Measures, build_measures, parcels_by_side
from bids_acc.group.measures.ungated import (
    criteria_failed,
    parcels_left,
    regions_left,
    with_ungated,
)
from bids_acc.group.state import GroupRun
from bids_acc.group.statistics.model.declaration import Model
from bids_acc.group.statistics.study.data import DIFFUSION
from bids_acc.group.statistics.study.sessions import visit_order
from bids_acc.tables.cells import is_empty
from bids_acc.tables.people import read_sidecar

TAKEN = (
    'not what lies in the output folder; the counts of who has which data are those of the folder.'
)
"""What follows when a table is given."""


def make_measures(run: GroupRun) -> str:
    """Join everything that is measured, write it, and take it as the file has it.

    Parameters
    ----------
    run : GroupRun
        With its cohort and, where there are maps, its parcels.

    Returns
    -------
    str
        How large the table is.
    """
    found = run.parcellation
    parcels, beside = None, None
    if found is not None:
        # partial volume and noise floor are covariates of diffusion alone
        if DIFFUSION & set(found.data.metrics):
            beside = gather_beside(run.data_dir, found.data)
        parcels = parcels_by_side(found, beside)
    cohort = run.cohort
    regions = _of_people(read_regions(run.data_dir), cohort)
    if regions is not None:
        regions, left = _kept(regions, cohort.flow)
        run.regions_left_out = None if run.images is None else _left_by_gates(left, run)
    measures = build_measures(
        cohort.participants, parcels, cohort.mrs, cohort.qc, cohort.flow,
        regions,
        None if run.places is None else run.places.values,
    )  # fmt: skip
    measures = with_ungated(measures, run.images, run.left_out, run.regions_left_out)
    path = write_measures(measures, run.folder, descriptions(run.data_dir))
    # read back from disk: what is analysed is what a reader of the file has, digit by digit
    run.measures = read_measures(path)
    keep_codebook(run)
    return f'{len(measures.wide)} rows, {len(measures.meanings)} columns'


def take_measures(run: GroupRun) -> None:
    """Take a table that was given: keep a copy, and what it tells of the gates of images.

    Parameters
    ----------
    run : GroupRun
        With the table.
    """
    if run.measures is None:
        return
    write_measures(run.measures, run.folder, descriptions(run.data_dir))
    run.images = criteria_failed(run.measures)
    run.left_out = parcels_left(run.measures)
    run.regions_left_out = regions_left(run.measures)
    keep_codebook(run)


def keep_codebook(run: GroupRun) -> None:
    """Write what each column of the run's table holds.

    Parameters
    ----------
    run : GroupRun
        With its measures.
    """
    if run.measures is not None:
        dictionary = data_dictionary(run.measures, descriptions(run.data_dir))
        write_codebook(run.measures, dictionary, run.folder)


def _of_people(regions: pd.DataFrame | None, cohort: Cohort) -> pd.DataFrame | None:
    """Return the regions of the people of the cohort."""
    if regions is None:
        return None
    people = set(cohort.participants['participant_id'])
    return regions[regions['participant_id'].isin(people)]


def _kept(regions: pd.DataFrame, flow: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split regions into those that no gate and no rater left out, and the others."""
    gone = set(_by_modality(flow[flow['status'] == 'exclude']))
    kept = [key not in gone for key in _by_modality(regions)]
    return regions.loc[kept], regions.loc[[not keep for keep in kept]]


def _left_by_gates(left: pd.DataFrame, run: GroupRun) -> pd.DataFrame:
    """Return those regions that gates leave out and no rater does."""
    rated = set(_by_modality(run.verdicts.table))
    return left.loc[
        [
            not rated & {(who, visit, m) for visit in (when, '') for m in (what, 'all')}
            for who, when, what in _by_modality(left)
        ]
    ]


def _by_modality(table: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Return participant, session and modality of each row."""
    columns = zip(table['participant_id'], table['session_id'], table['modality'], strict=True)
    return [(who, _visit(when), what) for who, when, what in columns]


def _visit(session: object) -> str:
    """Return a session as text; nothing where there is none."""
    return '' if is_empty(session) else str(session)


def cohort_of(measures: Measures, cohort: Cohort) -> Cohort:
    """Return a cohort with the people, levels and quality of a table that somebody has edited.

    Parameters
    ----------
    measures : Measures
        The table.
    cohort : Cohort
        Of the output folder; who has which data there is kept.

    Returns
    -------
    Cohort
    """
    return replace(cohort, participants=measures.participants, mrs=measures.mrs, qc=measures.qc)


def descriptions(data_dir: Path) -> dict[str, object]:
    """Collect the descriptions of the people's columns; a broken file describes nothing.

    Parameters
    ----------
    data_dir : Path
        Root of the derivative data set: ``participants.json``, ``sessions.json`` and
        ``phenotype/*.json`` are read.

    Returns
    -------
    dict of str to object
        By column, as in BIDS sidecars (``Description``, ``Levels``, ``Units``); of two files
        ``participants.json`` wins.
    """
    found: dict[str, object] = {}
    files = [*sorted((data_dir / 'phenotype').glob('*.json')), data_dir / 'sessions.json',
             data_dir / 'participants.json']  # fmt: skip
    for path in files:
        try:
            content: Mapping[str, object] = read_sidecar(path)
        # descriptions are for readers: without one a column stands under its bare name
        except InputDataError:
            continue
        found |= content
    return found


def analysed_session(model: Model, people: pd.DataFrame) -> str | None:
    """Return the session at which groups are compared, None without sessions.

    Parameters
    ----------
    model : Model
        Its list of sessions, if it has one, says which comes first.
    people : DataFrame
        With ``session_id``.

    Returns
    -------
    str or None
        With prefix ``ses-``.
    """
    keyed = people.assign(session_id=people['session_id'].fillna(''))
    return visit_order(keyed, model.sessions).baseline or None
