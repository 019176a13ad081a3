"""Connectivity of the cohort: its relation to motion before any result, and by group."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pandas as pd

from bids_acc.derivatives.outputs import FoundOutput, find_outputs
from bids_acc.derivatives.records import Ledger
from bids_acc.exceptions import BidsAccError
from bids_acc.group.cohort.reading import rest_first
from bids_acc.group.formulas.motion_relation import (
    LEAST_PEOPLE,
    MotionRelation,
    motion_relation,
    network_difference,
)
from bids_acc.group.function.figures import plot_differences, plot_motion_relation
from bids_acc.group.measures.run import analysed_session
from bids_acc.group.state import GroupRun
from bids_acc.group.statistics.study.persons import groups_of
from bids_acc.group.statistics.study.proposal import FUNCTION_PRESET
from bids_acc.group.statistics.tables import write_tables
from bids_acc.report.figures import save_for_paper
from bids_acc.report.reading import explained
from bids_acc.report.wording import is_functional
from bids_acc.tables.reading import read_tsv
from bids_acc.typing import FloatArray

LOGGER = logging.getLogger(__name__)
HIGH_SHARE = 0.10
"""Share of edges related to motion above which the report warns: twice the chance (own
convention)."""


def function_quality(run: GroupRun) -> str:
    """Relate connectivity to motion, and draw the groups' differences by network.

    Parameters
    ----------
    run : GroupRun
        With its table of measures.

    Returns
    -------
    str
        How many people have a matrix.
    """
    if run.measures is None:
        return 'no table of measures'
    people = run.measures.participants
    session = None if run.model is None else analysed_session(run.model, people)
    matrices, regions = read_matrices(run.data_dir, session, _kept(run))
    if not matrices:
        return 'nobody has a matrix of regions'
    names = sorted(matrices)
    stacked = np.stack([matrices[name] for name in names])
    found = _relate(run, names, stacked, regions, session)
    if found is not None:
        _report(run, found)
    _differences(run, names, stacked, regions)
    return f'{len(names)} people with a matrix of regions'


def _kept(run: GroupRun) -> set[str]:
    """Return who was left out by no gate and no rater."""
    flow = run.cohort.flow
    out = flow[(flow['modality'] == 'func') & (flow['status'] == 'exclude')]
    return set(run.cohort.participants['participant_id']) - set(out['participant_id'])


def read_matrices(
    data_dir: Path, session: str | None, wanted: set[str]
) -> tuple[dict[str, FloatArray], pd.DataFrame]:
    """Read Fisher's z of each pair of Seitzman's regions, one matrix for each person.

    Parameters
    ----------
    data_dir : Path
        Root of the derivatives.
    session : str or None
        Session that is analysed, with its prefix; None takes the first of each person.
    wanted : set of str
        Participants.

    Returns
    -------
    matrices : dict of str to (n, n) ndarray
        By participant.
    regions : DataFrame
        ``region, network, x, y, z`` of the rows.
    """
    ledger, matrices = Ledger(data_dir), {}
    regions = pd.DataFrame(columns=['region', 'network', 'x', 'y', 'z'])
    found = sorted(find_outputs('func_matrix', data_dir), key=lambda f: rest_first(f.path.name))
    for item in found:
        who = f'sub-{item.entities["subject"]}'
        visit = item.entities.get('session')
        other = session is not None and visit is not None and f'ses-{visit}' != session
        # one matrix a person, rest before task: a mean over both would be of two states
        if who in matrices or who not in wanted or other:
            continue
        try:
            table = read_tsv(ledger.intact(item.path))
            if regions.empty:
                regions = _regions_beside(item, data_dir)
            own = table.set_index('Node').loc[regions['region'], regions['region']]
            r = own.apply(pd.to_numeric, errors='coerce').to_numpy(dtype=float)
        except (BidsAccError, KeyError) as error:
            LOGGER.warning('%s is left out: %s', item.path, error)
            continue
        # the diagonal, and regions that are copies, are infinite on Fisher's scale
        inside = np.abs(r) < 1 - 1e-6
        matrices[who] = np.where(inside, np.arctanh(np.where(inside, r, 0.0)), np.nan)
    return matrices, regions


def _regions_beside(item: FoundOutput, data_dir: Path) -> pd.DataFrame:
    """Read the regions of a matrix that belong to a network."""
    same = {k: v for k, v in item.entities.items() if k in ('subject', 'session', 'task')}
    beside = find_outputs('func_regions', data_dir, **same)
    if not beside:
        raise KeyError('its table of regions (desc-regions_bold.tsv)')
    table = read_tsv(beside[0].path)
    kind = 'seitzman' if (table['kind'] == 'seitzman').any() else 'atlas'
    own = table[table['kind'] == kind].reset_index(drop=True)
    return own[['region', 'network', 'x', 'y', 'z']]


def _relate(
    run: GroupRun, names: list[str], stacked: FloatArray, regions: pd.DataFrame,
    session: str | None,
) -> MotionRelation | None:  # fmt: skip
    """Relate the edges to mean framewise displacement; None where that is not known."""
    qc = None if run.measures is None else run.measures.qc
    if qc is None or 'func_fd_mean' not in qc:
        return None
    # motion of the session whose matrix is taken, not of another visit
    own = qc if session is None else qc[qc['session_id'].isna() | (qc['session_id'] == session)]
    motion = own.dropna(subset=['func_fd_mean']).drop_duplicates('participant_id')
    moved = motion.set_index('participant_id')['func_fd_mean'].reindex(names).to_numpy(float)
    if np.isfinite(moved).sum() < LEAST_PEOPLE:
        run.note(
            f'Function: connectivity is not related to motion with fewer than {LEAST_PEOPLE} '
            'people.'
        )
        return None
    upper = np.triu_indices(stacked.shape[1], 1)
    places = regions[['x', 'y', 'z']].to_numpy(dtype=float)
    distances = np.linalg.norm(places[upper[0]] - places[upper[1]], axis=1)
    found = motion_relation(stacked[:, upper[0], upper[1]], moved, distances)
    path = save_for_paper(
        plot_motion_relation(found, distances), run.folder / 'figures' / 'func_qcfc.png'
    )
    caption = (
        'Correlation over people of each edge with mean framewise displacement, before any '
        'result; by chance 5 % of the edges have p < .05. Right: by the distance of the regions.'
    )
    run.figures.setdefault('Quality', []).append(
        (path, 'Motion and connectivity', explained('motion_connectivity', caption))
    )
    return found


def _report(run: GroupRun, found: MotionRelation) -> None:
    """Write the numbers, and warn where motion is left."""
    table = pd.DataFrame(
        [{
            'n': found.n, 'edges': int(np.isfinite(found.r).sum()), 'share_p05': found.share,
            'median_abs_r': found.median, 'median_abs_r_chance': found.chance,
            'r_with_distance': found.distance,
        }]
    )  # fmt: skip
    write_tables({'func_qcfc': table}, run.folder / 'qc')
    run.note(relation_words(found))


def relation_words(found: MotionRelation) -> str:
    """Say how far motion is left in connectivity, and what to do where it is.

    Parameters
    ----------
    found : MotionRelation
        Over the people whose motion is known.

    Returns
    -------
    str
        A sentence or two.
    """
    edges = int(np.isfinite(found.r).sum())
    if not edges:
        return (
            f'Function: connectivity is not related to motion, as no edge is known in '
            f'{LEAST_PEOPLE} people whose motion is known and differs.'
        )
    distance = f'; with distance {found.distance:+.2f}' if np.isfinite(found.distance) else ''
    text = (
        f'Function: {found.share:.1%} of {edges} edges are related to mean framewise '
        f'displacement over {found.n} people (5 % by chance){distance}.'
    )
    if found.share > HIGH_SHARE:
        text += (
            ' Motion is left in connectivity: keep func_fd_mean as a covariate, choose a stricter '
            'gate (Gate/func rest-strict), or clean with another --func-strategy.'
        )
    return text


def _what_is_tested(run: GroupRun) -> str:
    """Say which functional measures the model compares, or how to have them compared."""
    names = run.model.content['Responses']['Columns'] if run.model is not None else []
    if any(map(is_functional, names)):
        return 'The measures that the model declares are tested below.'
    return (
        f'This model declares no functional measure: run group once more with --model '
        f'{FUNCTION_PRESET} to have the markers tested.'
    )


def _differences(
    run: GroupRun, names: list[str], stacked: FloatArray, regions: pd.DataFrame
) -> None:
    """Draw the difference of each group from the reference, by pair of networks."""
    if run.model is None or run.measures is None:
        return
    people = run.measures.participants
    if run.model.group.column not in people:
        return
    group = groups_of(people, run.model).set_axis(people['participant_id'])
    # in the order of the matrices, which is by name
    group = group[~group.index.duplicated()].reindex(names)
    networks = sorted(n for n in regions['network'].dropna().unique() if n != 'unassigned')
    member = np.array([networks.index(n) if n in networks else -1 for n in regions['network']])
    reference = run.model.group.reference
    panels = []
    for level in run.model.group.levels:
        here, there = (group == level).to_numpy(), (group == reference).to_numpy()
        # a mean of one person is that person
        if level == reference or here.sum() < 2 or there.sum() < 2:
            continue
        gap = network_difference(stacked[here], stacked[there], member, len(networks))
        panels.append((f'{level} - {reference} ({here.sum()}, {there.sum()})', gap))
    if not panels:
        return
    path = save_for_paper(
        plot_differences(panels, networks), run.folder / 'figures' / 'func_networks.svg'
    )
    caption = (
        "Difference of mean Fisher's z within and between networks; a picture, not a test. "
        + _what_is_tested(run)
    )
    run.figures.setdefault('Function', []).append(
        (path, 'Networks by group', explained('networks', caption))
    )
