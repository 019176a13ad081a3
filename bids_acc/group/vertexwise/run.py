"""Groups compared at every vertex, within a run of the group level."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from bids_acc.exceptions import MissingInputError
from bids_acc.group.cohort.exclusions import without_verdicts
from bids_acc.group.cohort.gates import of_gates
from bids_acc.group.cohort.vertexmaps import available_metrics, gather_vertex_metrics
from bids_acc.group.opnmf.features import VertexMetrics
from bids_acc.group.state import GroupRun, NotPossibleError
from bids_acc.group.statistics.rows.row import finish_table
from bids_acc.group.statistics.study.joining import make_study
from bids_acc.group.statistics.tables import write_tables
from bids_acc.group.vertexwise.contrast import clusters, vertexwise, write_vertexwise


def compare_vertices(run: GroupRun) -> str:
    """Compare the groups at every vertex, write maps, tables and figures.

    Parameters
    ----------
    run : GroupRun
        With its model and the table of measures.

    Returns
    -------
    str
        How many contrasts were made.

    Raises
    ------
    NotPossibleError
        If there is no table of measures or there are no vertex maps.
    """
    wanted = None if run.model is None else run.model.content['Vertexwise']
    if run.model is None or run.measures is None or wanted is None:
        raise NotPossibleError('there is no table of measures.')
    metrics = tuple(wanted['Metrics'] or run.settings.group.metrics)
    there = available_metrics(run.data_dir, run.settings.anat.mesh)
    if absent := [name for name in metrics if name not in there]:
        run.note(f'Vertexwise: no vertex maps of {", ".join(absent)}.')
    metrics = tuple(name for name in metrics if name in there)
    if not metrics:
        raise NotPossibleError('no vertex maps.')
    region = ('cortex',) if wanted['Region'] == 'cortex' else run.settings.anat.region
    data = gated_maps(run, read_vertex_maps(run, metrics, region))
    study = make_study(
        run.model, run.measures.parcels, run.measures.mrs, run.measures.participants
    )
    results = list(vertexwise(study, data, run.settings.random_seed))
    tables = {'vertexwise': finish_table(
        [result.row for result in results], study.model.families, study.model.correction
    )}  # fmt: skip
    found = [clusters(result, data, study.model.alpha) for result in results]
    if any(len(table) for table in found):
        tables['vertexwise_clusters'] = pd.concat(
            [table for table in found if len(table)], ignore_index=True
        )
    write_tables(tables, run.folder / 'stats')
    run.tables |= tables
    run.figures.setdefault('Structure', []).extend(
        write_vertexwise(results, data, run.folder, study.model.alpha)
    )
    return f'{len(results)} contrasts'


def read_vertex_maps(
    run: GroupRun, metrics: tuple[str, ...], region: Sequence[str]
) -> VertexMetrics:
    """Read the maps of everybody whom raters leave in.

    Parameters
    ----------
    run : GroupRun
        With its cohort and verdicts.
    metrics : tuple of str
        Metrics that there are maps of.
    region : sequence of str
        Labels of the atlases, or ``cortex``.

    Raises
    ------
    NotPossibleError
        If nobody has all of the maps.
    """
    try:
        data = gather_vertex_metrics(
            run.data_dir, metrics, region, atlases=run.settings.anat.atlas,
            smooth_mm=run.settings.group.smooth_mm, space=run.settings.anat.mesh,
        )  # fmt: skip
    except MissingInputError as error:
        raise NotPossibleError(str(error)) from error
    wanted = set(run.cohort.participants['participant_id'])
    data = data.take(data.sessions['participant_id'].isin(wanted).to_numpy())
    return without_verdicts(data, run.verdicts)


def gated_maps(run: GroupRun, data: VertexMetrics) -> VertexMetrics:
    """Empty the maps of sessions that fail the model's gates of images.

    Parameters
    ----------
    run : GroupRun
        With its table of failed images.
    data : VertexMetrics
        Maps of all sessions.

    Returns
    -------
    VertexMetrics
        NaN in the maps of failed sessions.
    """
    return without_verdicts(data, of_gates(run.images))
