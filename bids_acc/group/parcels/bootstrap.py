"""How sure each vertex's parcel is, by resampling subjects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_acc.group.features import standardise
from bids_acc.group.opnmf import fit_path, labels_of
from bids_acc.group.opnmf.agreement import adjusted_rand, match_components
from bids_acc.group.tasks import ProgressCallback, Records, Task, child_rng, digest, run_tasks

Floats = npt.NDArray[np.float64]


def bootstrap_records(values: Floats, reference: Floats, repeat: int, seed: int) -> Records:
    """Factorize a resampled cohort; return its labels in the numbering of the reference.

    A subject is drawn with all metrics together. The start is the deterministic one, never the
    reference, so that agreement is not built in.

    Parameters
    ----------
    values : (n_metrics, n_sessions, n_vertices) ndarray of float64
        Physical units, without gaps.
    reference : (n_vertices, k) ndarray of float64
        Components of the whole cohort.
    repeat, seed : int
        Number of the repeat and seed of all.

    Returns
    -------
    list of dict
        One, with ``labels`` and ``ari``.
    """
    n_sessions = values.shape[1]
    rows = child_rng(seed, 3, repeat).integers(n_sessions, size=n_sessions)
    X = standardise(values[:, rows])[0]
    k = reference.shape[1]
    W = fit_path(X, [k])[k][0].W
    partner, _ = match_components(reference, W)
    labels = labels_of(np.ascontiguousarray(W[:, partner]))
    return [{'labels': labels.tolist(), 'ari': adjusted_rand(labels_of(reference), labels)}]


def assignment_confidence(
    values: Floats,
    reference: Floats,
    *,
    n_bootstrap: int = 100,
    seed: int = 0,
    work_dir: Path | None = None,
    n_jobs: int = 1,
    backend: str = 'loky',
    progress: ProgressCallback | None = None,
) -> tuple[Floats, Floats]:
    """Return how often each vertex keeps its parcel when subjects are resampled.

    Parameters
    ----------
    values : (n_metrics, n_sessions, n_vertices) ndarray of float64
        Physical units, without gaps.
    reference : (n_vertices, k) ndarray of float64
        Components of the whole cohort.
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
    tasks = [
        Task(
            f'bootstrap-{repeat:04d}',
            bootstrap_records,
            {'values': values, 'reference': reference, 'repeat': repeat, 'seed': seed},
        )
        for repeat in range(n_bootstrap)
    ]
    folder = None
    if work_dir is not None:
        folder = work_dir / f'bootstrap-{digest(values, reference, seed)}'
    results: list[dict[str, Any]] = [
        rows[0]
        for rows in run_tasks(
            tasks, folder=folder, n_jobs=n_jobs, backend=backend, progress=progress
        ).values()
    ]
    labels = np.array([row['labels'] for row in results])
    ari = np.array([row['ari'] for row in results], dtype=np.float64)
    return (labels == labels_of(reference)).mean(axis=0), ari
