"""What the gates of images do to the result: the same with and without who they leave out.

Sessions that a gate leaves out take no part in the factorization. Here they are measured in the
parcels that were found without them, and the groups are compared with all of them, and as each
criterion alone would have left them; regions of atlases, markers and contrasts likewise.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from bids_acc.group.cohort.exclusions import FUNCTION, STRUCTURE, TRANSFER
from bids_acc.group.cohort.quality import KEYS
from bids_acc.group.measures.table import region_column
from bids_acc.group.opnmf.features import BOTH, VertexMetrics
from bids_acc.group.parcels.measures import parcel_table
from bids_acc.group.parcels.parcellation import ParcellationResult
from bids_acc.group.state import GroupRun
from bids_acc.group.statistics.analyses.sensitivity import structure_otherwise
from bids_acc.group.statistics.rows.row import Row, finish_table
from bids_acc.group.statistics.study.joining import make_study
from bids_acc.tables.people import visits_of

VALUE_KEYS = [*KEYS, 'component', 'metric', 'hemisphere']


def values_left_out(
    images: pd.DataFrame | None, ungated: VertexMetrics, result: ParcellationResult
) -> pd.DataFrame | None:
    """Measure the sessions that gates of images leave out in the parcels found without them.

    Parameters
    ----------
    images : DataFrame or None
        Criteria that images did not meet.
    ungated : VertexMetrics
        Maps of all sessions.
    result : ParcellationResult
        The parcels.

    Returns
    -------
    DataFrame or None
        As `bids_acc.group.parcels.measures.parcel_table`, with ``hemisphere``; None where no gate
        leaves anybody out.
    """
    if images is None:
        return None
    out = set(_keys(images))
    left = ungated.take(np.array([key in out for key in _keys(ungated.sessions)]))
    if not left.n_sessions:
        return None
    of_cohort = result.table.drop_duplicates('participant_id').set_index('participant_id')
    cohorts = left.sessions['participant_id'].map(of_cohort['cohort'])
    parts = [
        parcel_table(left.take((cohorts == name).to_numpy()), one.labels, one.columns, name)
        for name, one in result.parcellations.items() if (cohorts == name).any()
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True).assign(hemisphere=BOTH) if parts else None


def _keys(table: pd.DataFrame) -> list[tuple[str, str]]:
    """Return participant and session of each row; no session is empty."""
    visit = visits_of(table).astype(str)
    return list(zip(table['participant_id'].astype(str), visit, strict=True))


def modalities_of(metric: str) -> frozenset[str]:
    """Return the modalities that a metric needs; without T1w there is no surface.

    Parameters
    ----------
    metric : str
        Vertex metric; an unknown one is taken to be of the diffusion images.

    Returns
    -------
    frozenset of str
        Of ``anat, dwi, func, mtr``: a failure of any costs the metric.

    Examples
    --------
    >>> sorted(modalities_of('fa')), sorted(modalities_of('thickness'))
    (['anat', 'dwi'], ['anat'])
    """
    if metric in STRUCTURE:
        return frozenset({'anat'})
    if metric in FUNCTION:
        return frozenset({'func'})
    return frozenset({'anat', 'mtr' if metric in TRANSFER else 'dwi'})


def put_back(parcels: pd.DataFrame, left: pd.DataFrame, failed: pd.DataFrame) -> pd.DataFrame:
    """Return parcels with the values of sessions that a smaller gate would have kept.

    Parameters
    ----------
    parcels : DataFrame
        Under the whole gate, in long form.
    left : DataFrame
        From `values_left_out`.
    failed : DataFrame
        Sessions and modalities that fail the smaller gate; without rows, all come back.
    """
    out = {
        (*key, modality) for key, modality in zip(_keys(failed), failed['modality'], strict=True)
    }
    kept = [
        not any((*key, modality) in out for modality in modalities_of(metric))
        for key, metric in zip(_keys(left), left['metric'], strict=True)
    ]
    back = _indexed(left[kept])['value']
    now = _indexed(parcels)
    # values of the whole gate stay: only what it took comes back
    filled = now['value'].fillna(back.reindex(now.index)).to_numpy()
    absent = back.dropna()[~back.dropna().index.isin(now.index)]
    same = parcels.assign(value=filled)
    return pd.concat([same, absent.reset_index()], ignore_index=True) if len(absent) else same


def _indexed(values: pd.DataFrame) -> pd.DataFrame:
    """Return values by session and parcel; no session is empty."""
    return values.assign(session_id=visits_of(values)).set_index(VALUE_KEYS)


def regions_put_back(
    people: pd.DataFrame, left: pd.DataFrame, failed: pd.DataFrame
) -> tuple[pd.DataFrame, list[str]]:
    """Return people with the regions of sessions that a smaller gate would have kept.

    Parameters
    ----------
    people : DataFrame
        With regions as columns, under the whole gate.
    left : DataFrame
        Regions that the whole gate leaves out, in long form, with ``modality``.
    failed : DataFrame
        Sessions and modalities that fail the smaller gate; without rows, all come back.

    Returns
    -------
    people : DataFrame
    names : list of str
        The columns that the whole gate took values from.
    """
    out = {
        (*key, modality) for key, modality in zip(_keys(failed), failed['modality'], strict=True)
    }
    cells = left[['metric', 'atlas', 'region', 'hemisphere']].astype(str)
    named = [region_column(*cell) for cell in cells.itertuples(index=False, name=None)]
    rows = {key: index for index, key in zip(people.index, _keys(people), strict=True)}
    filled, touched = people.copy(), set[str]()
    for key, name, modality, value in zip(
        _keys(left), named, left['modality'], left['value'], strict=True
    ):
        if name not in filled or key not in rows:
            continue
        touched.add(name)
        if not any((*key, needed) in out for needed in needed_by(modality)):
            filled.loc[rows[key], name] = value
    return filled, sorted(touched)


def needed_by(modality: str) -> frozenset[str]:
    """Return the modalities whose failure costs the regions of one; T1w gives the surface.

    Parameters
    ----------
    modality : str
        Of a region's table.

    Examples
    --------
    >>> sorted(needed_by('dwi')), sorted(needed_by('func'))
    (['anat', 'dwi'], ['func'])
    """
    return frozenset({modality, 'anat'} if modality in ('dwi', 'mtr') else {modality})


def with_gates_of_images(run: GroupRun, people: pd.DataFrame) -> None:
    """Add to the run's table of sensitivity what its gates of images do to parcels and regions.

    Parameters
    ----------
    run : GroupRun
        With its tables; nothing is added where no gate of images left a value out.
    people : DataFrame
        With the columns that the model names.
    """
    if run.images is None or run.measures is None or run.model is None:
        return
    if run.left_out is None and run.regions_left_out is None:
        return
    rows = _rows(run, people, run.images.iloc[:0], 'gate_off')
    # one criterion alone would be the whole gate again
    if len(run.images.drop_duplicates(['modality', 'criterion'])) > 1:
        for (modality, criterion), failed in run.images.groupby(['modality', 'criterion']):
            for row in _rows(run, people, failed, 'gate_alone'):
                row.extra = {**row.extra, 'criterion': f'{modality}: {criterion}'}
                rows.append(row)
    if not rows:
        return
    found = finish_table(rows, run.model.families, run.model.correction)
    earlier = run.tables.get('sensitivity')
    parts = [table for table in (earlier, found) if table is not None]
    run.tables['sensitivity'] = pd.concat(parts, ignore_index=True)


def _rows(run: GroupRun, people: pd.DataFrame, failed: pd.DataFrame, name: str) -> list[Row]:
    """Compare the groups in parcels and regions as a smaller gate leaves them."""
    measures, model, left = run.measures, run.model, run.left_out
    if measures is None or model is None:
        return []
    parcels, touched = measures.parcels, set[str]()
    if left is not None and parcels is not None:
        parcels = put_back(parcels, left, failed)
        known = left.dropna(subset='value')[['metric', 'component']]
        touched |= {f'{metric}_c{component}' for metric, component in known.to_numpy()}
    if run.regions_left_out is not None:
        people, names = regions_put_back(people, run.regions_left_out, failed)
        touched |= set(names)
    if not touched:
        return []
    study = make_study(model, parcels, measures.mrs, people)
    return structure_otherwise(study, sorted(touched), name, run.tables.get('ancova'))
