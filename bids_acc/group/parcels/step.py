"""The parcellation of a derivative dataset, from its files to its files."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from bids_acc.exceptions import InputDataError
from bids_acc.group.features import VertexMetrics
from bids_acc.group.opnmf.choice import RankChoice
from bids_acc.group.tasks import ProgressCallback
from bids_acc.group.vertexmaps import DEFAULT_METRICS, available_metrics, gather_vertex_metrics

from .files import read_atlas, write_maps, write_parcellation, write_table
from .parcellation import ParcellationOptions, ParcellationResult, measure, run_parcellation

LOGGER = logging.getLogger(__name__)


def parcellate_dataset(
    output_dir: Path,
    participants: pd.DataFrame | None = None,
    *,
    metrics: Sequence[str] | None = None,
    region: Sequence[str] = ('caudalanteriorcingulate', 'rostralanteriorcingulate'),
    options: ParcellationOptions | None = None,
    atlas: Path | None = None,
    work_dir: Path | None = None,
    n_jobs: int = 1,
    backend: str = 'loky',
    progress: ProgressCallback | None = None,
) -> ParcellationResult:
    """Gather the vertex maps of a dataset, make or apply parcels, and write all outputs.

    Parameters
    ----------
    output_dir : Path
        Root of the derivative dataset.
    participants : DataFrame, optional
        ``participant_id`` and the columns that balance halves and name cohorts.
    metrics : sequence of str, optional
        Metrics; those of the published analysis that are there when absent.
    region : sequence of str
        Cortical labels; ``cortex`` for all.
    options : ParcellationOptions, optional
        How parcels are made.
    atlas : Path, optional
        An existing parcellation to apply: nothing is factorized.
    work_dir : Path, optional
        Where finished tasks are kept.
    n_jobs, backend, progress
        As for `bids_acc.group.tasks.run_tasks`.

    Returns
    -------
    ParcellationResult
        As written.

    Raises
    ------
    MissingInputError
        If no session has the maps.
    """
    options = options or ParcellationOptions()
    if metrics is None:
        there = available_metrics(output_dir)
        metrics = [name for name in DEFAULT_METRICS if name in there] or list(there)
        if missing := [name for name in DEFAULT_METRICS if name not in metrics]:
            LOGGER.warning('No vertex maps of %s: parcels rest on %s', ', '.join(missing),
                           ', '.join(metrics) or 'nothing')  # fmt: skip
    if not metrics:
        raise InputDataError(f'{output_dir}: there are no vertex maps of any metric.')
    data = gather_vertex_metrics(output_dir, metrics, region)
    if atlas is not None:
        return apply_atlas(atlas, data, output_dir)
    result = run_parcellation(
        data, participants, options,
        work_dir=work_dir, n_jobs=n_jobs, backend=backend, progress=progress,
    )  # fmt: skip
    write_parcellation(result, options, output_dir)
    return result


def apply_atlas(atlas: Path, data: VertexMetrics, output_dir: Path) -> ParcellationResult:
    """Measure every session in the parcels of an existing atlas.

    Parameters
    ----------
    atlas : Path
        See `bids_acc.group.parcels.files.read_atlas`.
    data : VertexMetrics
        Maps of the region.
    output_dir : Path
        Root of the derivative dataset.
    """
    one = read_atlas(atlas, data)
    everyone = pd.Series('', index=data.sessions['participant_id'].unique())
    choice = RankChoice(
        one.n_components, 'atlas', False, False, (f'Parcels of {atlas.name} were applied.',)
    )
    table = measure(data, {'': one}, everyone)
    excluded = data.excluded if data.excluded is not None else pd.DataFrame()
    write_maps(one, data, output_dir)
    write_table('group_parcelvalues', table, output_dir)
    write_table('group_excludedmaps', excluded, output_dir)
    return ParcellationResult(
        parcellations={'': one}, choice=choice, curves={}, matrices={}, table=table,
        agreement=pd.DataFrame(), data=replace(data), excluded=excluded,
    )  # fmt: skip
