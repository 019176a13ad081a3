"""Connectivity of the cohort: its relation to motion before any result, and by group."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
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

REGION_COLUMNS = ('region', 'network', 'x', 'y', 'z', 'source')
"""What is read of a table of regions."""
TOGETHER = ('task', 'acquisition', 'ceagent', 'reconstruction', 'direction')
"""Entities that name the series of a session."""
MOST_NAMED = 5
"""People that are named in a sentence."""
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
    read = read_matrices(run.data_dir, session, _kept(run))
    matrices, regions = read.by_person, read.regions
    if not matrices:
        return 'nobody has a matrix of regions'
    if read.others:
        run.note(read.others)
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


@dataclass(frozen=True)
class Matrices:
    """Fisher's z of each pair of the regions that most people have."""

    by_person: dict[str, FloatArray]
    """(n, n) by participant."""
    regions: pd.DataFrame
    """``region, network, x, y, z, source`` of the rows."""
    others: str = ''
    """Who has other regions and is left out, in a sentence; empty where all have the same."""


def read_matrices(data_dir: Path, session: str | None, wanted: set[str]) -> Matrices:
    """Read Fisher's z of each pair of Seitzman's regions, one matrix for each person.

    Regions of one name need not be one place: Schaefer's ``LH_Vis_1`` is another parcel with 100
    than with 200 parcels. So people count together whose tables of regions are the same.

    Parameters
    ----------
    data_dir : Path
        Root of the derivatives.
    session : str or None
        Session that is analysed, with its prefix; None takes the first of each person.
    wanted : set of str
        Participants.
    """
    ledger = Ledger(data_dir)
    beside = {_run_of(item): item.path for item in find_outputs('func_regions', data_dir)}
    found: dict[str, tuple[FloatArray, pd.DataFrame]] = {}
    items = sorted(find_outputs('func_matrix', data_dir), key=lambda f: rest_first(f.path.name))
    for item in items:
        who = f'sub-{item.entities["subject"]}'
        visit = item.entities.get('session')
        other = session is not None and visit is not None and f'ses-{visit}' != session
        # one matrix a person, rest before task: a mean over both would be of two states
        if who in found or who not in wanted or other:
            continue
        try:
            table = read_tsv(ledger.intact(item.path))
            regions = _regions(beside.get(_run_of(item)))
            own = table.set_index('Node').loc[regions['region'], regions['region']]
            r = own.apply(pd.to_numeric, errors='coerce').to_numpy(dtype=float)
        except (BidsAccError, KeyError) as error:
            LOGGER.warning('%s is left out: %s', item.path, error)
            continue
        # the diagonal, and regions that are copies, are infinite on Fisher's scale
        inside = np.abs(r) < 1 - 1e-6
        z = np.where(inside, np.arctanh(np.where(inside, r, 0.0)), np.nan)
        found[who] = (z, regions)
    return _of_most(found)


def _of_most(found: Mapping[str, tuple[FloatArray, pd.DataFrame]]) -> Matrices:
    """Keep the people whose regions most have."""
    sets: dict[str, list[str]] = {}
    for who in sorted(found):
        # places to a tenth of a millimetre: atlases alike were written with other digits
        sets.setdefault(found[who][1].round(1).to_json(orient='split'), []).append(who)
    if not sets:
        return Matrices({}, pd.DataFrame(columns=list(REGION_COLUMNS)))
    kept, *others = sorted(sets.values(), key=lambda people: (-len(people), people))
    regions = found[kept[0]][1]
    said = ''
    if others:
        gone = sorted(who for people in others for who in people)
        named = ', '.join(gone[:MOST_NAMED]) + (' ...' if len(gone) > MOST_NAMED else '')
        sources = ', '.join(sorted({_source(found[people[0]][1]) for people in others}))
        noun = 'person' if len(gone) == 1 else 'people'
        said = (
            f'Function: the connectivity of {len(gone)} {noun} ({named}) is of other regions '
            f'({sources}) than that of the {len(kept)} others ({_source(regions)}), and is left '
            'out of its relation to motion and of the differences by network: measure all with '
            'the same atlas.'
        )
    return Matrices({who: found[who][0] for who in kept}, regions, said)


def _source(regions: pd.DataFrame) -> str:
    """Say where regions come from."""
    named = sorted(set(regions['source'].dropna().astype(str)))
    return f'{len(regions)} regions of {", ".join(named)}' if named else f'{len(regions)} regions'


def _run_of(item: FoundOutput) -> tuple[str, ...]:
    """Return what names the matrix and the regions of one run alike."""
    return tuple(item.entities.get(name, '') for name in ('subject', 'session', *TOGETHER))


def _regions(path: Path | None) -> pd.DataFrame:
    """Read the regions of a matrix that belong to a network."""
    if path is None:
        raise KeyError('its table of regions (desc-regions_bold.tsv)')
    table = read_tsv(path)
    kind = 'seitzman' if (table['kind'] == 'seitzman').any() else 'atlas'
    own = table[table['kind'] == kind].reset_index(drop=True)
    return own.reindex(columns=list(REGION_COLUMNS))


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
