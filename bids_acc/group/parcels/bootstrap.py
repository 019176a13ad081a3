"""How sure each vertex's parcel is, by resampling subjects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bids_acc.group.opnmf import fit_path
from bids_acc.group.opnmf.agreement import adjusted_rand, match_components
from bids_acc.group.opnmf.features import standardise
from bids_acc.group.opnmf.labels import LabelRule, assign
from bids_acc.group.tasks import ProgressCallback, Records, Task, child_rng, digest, run_tasks
from bids_acc.typing import FloatArray, IntArray


def bootstrap_records(
    values: FloatArray, reference: FloatArray, rule: LabelRule, repeat: int, seed: int
) -> Records:
    """Factorize a resampled cohort; return its labels in the numbering of the reference.

    A subject is drawn with all metrics together. The start is the deterministic one, never the
    reference, so that agreement is not built in.

    Parameters
    ----------
    values : (n_metrics, n_sessions, n_vertices) ndarray of float64
        Physical units, without gaps.
    reference : (n_vertices, k) ndarray of float64
        Components of the whole cohort.
    rule : {'variation', 'weight'}
        How vertices are given to components.
    repeat, seed : int
        Number of the repeat and seed of all.

    Returns
    -------
    list of dict
        One, with ``labels``.
    """
    n_sessions = values.shape[1]
    # people with all their maps: metrics of one brain resampled apart would lose what makes a
    # parcel
    rows = child_rng(seed, 3, repeat).integers(n_sessions, size=n_sessions)
    X = standardise(values[:, rows])[0]
    k = reference.shape[1]
    W = fit_path(X, [k])[k][0].W
    # components have no order: an agreement of labels is one of numbers otherwise
    partner, _ = match_components(reference, W)
    labels = assign(rule, np.ascontiguousarray(W[:, partner]), X, len(values))
    return [{'labels': labels.tolist()}]


def assignment_confidence(
    values: FloatArray,
    reference: FloatArray,
    parcels: IntArray,
    *,
    rule: LabelRule = 'variation',
    n_bootstrap: int = 100,
    seed: int = 0,
    work_dir: Path | None = None,
    n_jobs: int = 1,
    backend: str = 'loky',
    progress: ProgressCallback | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Return how often each vertex keeps its parcel when subjects are resampled.

    Parameters
    ----------
    values : (n_metrics, n_sessions, n_vertices) ndarray of float64
        Physical units, without gaps.
    reference : (n_vertices, k) ndarray of float64
        Components of the whole cohort.
    parcels : (n_vertices,) ndarray of int
        Its labels.
    rule : {'variation', 'weight'}
        How they were made of the components.
    n_bootstrap, seed : int
        Resampled cohorts, and their seed.
    work_dir, n_jobs, backend, progress
        As for `bids_acc.group.tasks.run_tasks`.

    Returns
    -------
    confidence : (n_vertices,) ndarray of float64
        Share of resampled cohorts in which the vertex is in its own parcel.
    ari : (n_bootstrap,) ndarray of float64
        Agreement of each resampled parcellation with the reference.
    """
    shared = {'values': values, 'reference': reference, 'rule': rule, 'seed': seed}
    tasks = [
        Task(f'bootstrap-{repeat:04d}', bootstrap_records, {**shared, 'repeat': repeat})
        for repeat in range(n_bootstrap)
    ]
    folder = None
    if work_dir is not None:
        folder = work_dir / f'bootstrap-{digest(values, reference, rule, seed)}'
    results: list[dict[str, Any]] = [
        rows[0]
        for rows in run_tasks(
            tasks, folder=folder, n_jobs=n_jobs, backend=backend, progress=progress
        ).values()
    ]
    labels = np.array([row['labels'] for row in results])
    ari = np.array([adjusted_rand(parcels, row) for row in labels], dtype=np.float64)
    return (labels == parcels).mean(axis=0), ari
