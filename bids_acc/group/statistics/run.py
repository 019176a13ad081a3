"""Run every analysis that the model asks for, in order, and return the finished tables."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Mapping

import numpy as np
import pandas as pd

from bids_acc.exceptions import BidsAccError, InputDataError
from bids_acc.group.statistics.analyses.order import ANALYSES
from bids_acc.group.statistics.analyses.partial_volume import explained_notes
from bids_acc.group.statistics.analyses.replication import gate_decisions
from bids_acc.group.statistics.analyses.trial_rows import dropouts
from bids_acc.group.statistics.analyses.zscores import participant_scores
from bids_acc.group.statistics.model.declaration import Model
from bids_acc.group.statistics.requests import asked_and_not_done
from bids_acc.group.statistics.rows.row import Row, finish_table, without_contradictions
from bids_acc.group.statistics.study.confounding import (
    NOT_ABOUT_MEASURES,
    confounded_groups,
    confounding_table,
    with_notes,
)
from bids_acc.group.statistics.study.data import Study
from bids_acc.group.statistics.study.flow import participant_flow
from bids_acc.group.statistics.study.joining import make_study

LOGGER = logging.getLogger(__name__)


def _generator(entropy: int, name: str) -> np.random.Generator:
    """Return an analysis' own generator: the others do not move when one is added."""
    # not hash(), which differs from process to process
    return np.random.default_rng(np.random.SeedSequence([entropy, zlib.crc32(name.encode())]))


def run_analyses(study: Study, entropy: int) -> dict[str, pd.DataFrame]:
    """Run all analyses on a study.

    Parameters
    ----------
    study : Study
        Data and model.
    entropy : int
        Seed from which each analysis gets a generator of its own.

    Returns
    -------
    dict of str to DataFrame
        Finished tables; those without a row are left out.
    """
    collected: dict[str, list[Row]] = {}
    tables: dict[str, pd.DataFrame] = {}
    for item in ANALYSES:
        try:
            rows = item.function(study, tables, _generator(entropy, item.name))
        except (BidsAccError, ArithmeticError, np.linalg.LinAlgError) as error:
            LOGGER.warning('%s was not done: %s', item.name, error)
            rows = [Row(analysis=item.name, note=f'not done: {error}')]
        except (LookupError, ValueError, ZeroDivisionError) as error:
            # A bug of ours in one analysis must not cost the reader all the others.
            LOGGER.warning('%s failed: %s: %s', item.name, type(error).__name__, error)
            LOGGER.debug('%s', item.name, exc_info=True)
            text = f'not done: internal error ({type(error).__name__}: {error}), please report it'
            rows = [Row(analysis=item.name, note=text)]
        if not rows:
            continue
        # families are corrected once more with each step that adds to a table, as the last one
        # sees it
        everything = [*collected.get(item.table, []), *without_contradictions(rows)]
        tables[item.table] = finish_table(everything, study.model.families, study.model.correction)
        collected[item.table] = everything
        if people := [row.people for row in everything if row.people is not None]:
            tables[f'{item.table}_participants'] = pd.concat(people, ignore_index=True)
    return tables


def refuse_nothing_to_compare(study: Study) -> None:
    """Refuse a model of whose groups no cohort has two.

    Parameters
    ----------
    study : Study
        Cohorts and groups.

    Raises
    ------
    InputDataError
        Names the groups that were looked for and those that the column holds besides.
    """
    groups = {name: study.group_levels(part) for name, part in study.cohorts()}
    # refused at once: a run of hours that compares nothing ends with a page of empty tables
    if any(len(levels) > 1 for levels in groups.values()):
        return
    group = study.model.group
    if len({level for levels in groups.values() for level in levels}) > 1:
        each = ', '.join(f'{name} has {levels[0]}' for name, levels in groups.items() if levels)
        raise InputDataError(
            f'{study.model.source or f"model {study.model.name}"}: nothing can be compared: each '
            f'cohort has one group only ({each}). Groups are compared within cohorts; take Cohort '
            'out of the model file, knowing that groups and cohorts are then the same.'
        )
    there = ', '.join(sorted({level for levels in groups.values() for level in levels})) or 'none'
    besides = ', '.join(study.not_in_groups) or 'nobody else'
    source = study.model.source or f'model {study.model.name}'
    raise InputDataError(
        f'{source}: nothing can be compared: of the levels {", ".join(group.levels)} of column '
        f'{group.column!r} only {there} occurs in a cohort (left out: {besides}). Check the '
        'spelling of Group/Levels, or map values with Group/Recode.'
    )


def run_statistics(
    model: Model,
    parcels: pd.DataFrame | None,
    mrs: pd.DataFrame | None,
    participants: pd.DataFrame,
    qc: pd.DataFrame | None,
    rng: np.random.Generator,
    *,
    not_joined: Mapping[str, str] | None = None,
) -> dict[str, pd.DataFrame]:
    """Analyse a cohort as the model says.

    Parameters
    ----------
    model : Model
        Checked model file.
    parcels : DataFrame or None
        participant_id, session_id, component, metric, value (long form).
    mrs : DataFrame or None
        participant_id, session_id, voxel, metabolite, unit_scheme, value, crlb_pct, gate,
        gate_reason (long form).
    participants : DataFrame
        Columns of participants.tsv; with session_id, also those of sessions.tsv.
    qc : DataFrame or None
        Quality measures by participant and session.
    rng : Generator
        Source of every random number; the same generator gives the same tables.
    not_joined : mapping of str to str, optional
        Columns of tables that could not be joined, each with the reason.

    Returns
    -------
    dict of str to DataFrame
        ``ancova``, ``posthoc``, ``relation``, ... by the names in
        `bids_acc.group.statistics.tables.TITLES`; ``flow`` tells who is in which group and who
        was left out, ``gate`` which responses passed the replication rule.

    Raises
    ------
    InputDataError
        If the columns that the model names are not there, nobody belongs to its groups, or no
        cohort has two of them.
    """
    study = make_study(model, parcels, mrs, participants, qc, not_joined=not_joined)
    model = study.model
    refuse_nothing_to_compare(study)
    tables = {'flow': participant_flow(study)}
    if study.voxels.reason:
        tables['voxels'] = study.voxels.table()
    tables |= run_analyses(study, int(rng.integers(2**62)))
    if asked := asked_and_not_done(study, tables):
        tables['asked'] = finish_table(asked, model.families, model.correction)
    # last, when all rows are there: what is confounded is so in every table, whoever made it
    found = confounded_groups(study)
    if found:
        tables = {
            name: table if name in NOT_ABOUT_MEASURES else with_notes(table, found)
            for name, table in tables.items()
        }
        tables['confounding'] = confounding_table(found)
    tables |= explained_notes(tables)
    if len(absent := dropouts(study)):
        tables['dropouts'] = absent
    decisions = gate_decisions(tables, model)
    if len(decisions):
        tables['gate'] = decisions
    if model.content['Norms']['Level'] is not None or model.content['Norms']['Table']:
        tables['zscores_participants'] = participant_scores(study)
    return tables
