"""Curves over the number of components: stability between halves, error, and their null."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from bids_acc.group.opnmf.agreement import adjusted_rand, match_components, stability_index
from bids_acc.group.opnmf.covariance import CovarianceOperator
from bids_acc.group.opnmf.estimator import fit_path
from bids_acc.group.opnmf.features import standardise
from bids_acc.group.opnmf.labels import LabelRule, assign, deviations_from_mean_maps
from bids_acc.group.opnmf.solvers import Factorization, reconstruction_error
from bids_acc.group.opnmf.splits import split_halves
from bids_acc.group.tasks import (
    Positions,
    ProgressCallback,
    Records,
    Task,
    child_rng,
    digest,
    run_tasks,
)
from bids_acc.typing import FloatArray, IntArray

NULL_TOL = 1e-3
NULL_MAX_ITER = 100
"""Shuffled data have no parts to converge to; only the error is used, and it is there long
before the weights are."""


@dataclass(frozen=True)
class SelectionOptions:
    """How the number of components is examined."""

    ks: tuple[int, ...] = (2, 3, 4, 5, 6, 7, 8, 9, 10)
    """Numbers of components."""
    n_splits: int = 10
    """Random halves."""
    n_init: int = 1
    """Starts of each factorization; 1 is the published practice. A common deterministic start
    makes halves look more alike, so the index with one start is no lower bound."""
    n_null: int = 5
    """Factorizations of shuffled data."""
    tol: float = 1e-5
    """Fixed-point residual at which a factorization stops."""
    max_iter: int = 1000
    """Iterations at most."""
    seed: int = 0
    """Seed of splits, random starts and shuffles."""
    label_rule: LabelRule = 'variation'
    """How vertices are given to components; see `bids_acc.group.opnmf.labels`."""


@dataclass(frozen=True)
class RankCurves:
    """What one cohort says about the number of components."""

    table: pd.DataFrame
    """One row for each k and split, with the columns of ``rankselection.tsv``."""
    curves: pd.DataFrame
    """One row for each k."""
    notes: tuple[str, ...] = ()
    """What the data cannot tell."""


def split_half_records(
    values: FloatArray, half_a: Positions, half_b: Positions, split: int, options: SelectionOptions
) -> Records:
    """Factorize both halves with every k and compare them.

    Each half is z-scored and shifted by itself, so that nothing leaks between them.

    Parameters
    ----------
    values : (n_metrics, n_sessions, n_vertices) ndarray of float64
        Physical units, without gaps.
    half_a, half_b : ndarray of int
        Sessions of the halves.
    split : int
        Number of the split.
    options : SelectionOptions
        The rest.

    Returns
    -------
    list of dict
        One for each k.
    """
    halves = [standardise(values[:, half])[0] for half in (half_a, half_b)]
    paths = [
        _path(X, options, child_rng(options.seed, 0, split, side)) for side, X in enumerate(halves)
    ]
    operators = [CovarianceOperator(X, side='thin') for X in halves]
    variations = [
        CovarianceOperator(deviations_from_mean_maps(X, len(values)), side='thin') for X in halves
    ]

    def parcels(k: int) -> list[IntArray]:
        return [
            assign(options.label_rule, path[k][0].W, X, len(values))
            for path, X in zip(paths, halves, strict=True)
        ]

    return [
        {
            'k': k,
            'split': split,
            'n_a': len(half_a),
            'n_b': len(half_b),
            'ari': adjusted_rand(*parcels(k)),
            **_compare(paths[0][k][0], paths[1][k][0], operators, variations),
        }
        for k in options.ks
    ]


def _path(
    X: FloatArray, options: SelectionOptions, rng: np.random.Generator
) -> dict[int, list[Factorization]]:
    """Factorize with every k, on the vertices that are not zero everywhere."""
    return fit_path(
        X, options.ks, n_init=options.n_init, tol=options.tol, max_iter=options.max_iter, rng=rng
    )


def _compare(
    a: Factorization,
    b: Factorization,
    operators: Sequence[CovarianceOperator],
    variations: Sequence[CovarianceOperator],
) -> dict[str, object]:
    """Compare the factorizations of two halves."""
    index, undefined = stability_index(a.W, b.W)
    _, cosine = match_components(a.W, b.W)
    # the error of a half with the other half's parcels: the one that counts more components
    # against them
    crossed = [
        reconstruction_error(operator, other.W, operator(other.W)) / np.sqrt(operator.trace)
        for operator, other in zip(operators, (b, a), strict=True)
    ]
    return {
        'stability': index,
        'n_undefined': undefined,
        'matched_cosine': float(np.mean(cosine)),
        'matched_cosine_min': float(np.min(cosine)),
        'error_a': a.error,
        'error_b': b.error,
        'relative_error': float(
            np.mean([f.error / np.sqrt(o.trace) for f, o in zip((a, b), operators, strict=True)])
        ),
        'out_of_half_error': float(np.mean(crossed)),
        'variation_error': float(
            np.mean(
                [
                    reconstruction_error(operator, f.W, operator(f.W))
                    for f, operator in zip((a, b), variations, strict=True)
                ]
            )
        ),
        'n_iter': max(a.n_iter, b.n_iter),
        'converged': a.converged and b.converged,
        'residual': max(a.residual, b.residual),
    }


def full_records(values: FloatArray, options: SelectionOptions) -> Records:
    """Factorize the whole cohort with every number of components.

    Parameters
    ----------
    values : (n_metrics, n_sessions, n_vertices) ndarray of float64
        Physical units, without gaps.
    options : SelectionOptions
        Numbers of components, starts, tolerance and seed.

    Returns
    -------
    list of dict
        One for each k: error, iterations, convergence and the relative gap in error to the
        second best start.
    """
    X = standardise(values)[0]
    path = _path(X, options, child_rng(options.seed, 1))
    return [_error_record(k, ends) for k, ends in path.items()]


def null_records(values: FloatArray, repeat: int, options: SelectionOptions) -> Records:
    """Factorize data in which sessions were permuted, at every vertex and metric apart.

    The mean maps stay as they are, and no two vertices vary together any more: what a component
    gains here, it gains from the mean maps and from chance.

    Parameters
    ----------
    values : (n_metrics, n_sessions, n_vertices) ndarray of float64
        Physical units, without gaps.
    repeat : int
        Number of the permutation, from 0; with the seed it gives the random numbers.
    options : SelectionOptions
        Numbers of components and seed; the tolerance is `NULL_TOL`.

    Returns
    -------
    list of dict
        One for each k, as `full_records`.
    """
    rng = child_rng(options.seed, 2, repeat)
    # exchanged vertex by vertex, each metric apart: mean maps and variances stay, and nothing
    # varies together any more
    X = standardise(rng.permuted(values, axis=1))[0]
    path = fit_path(X, options.ks, tol=NULL_TOL, max_iter=NULL_MAX_ITER, rng=rng)
    return [_error_record(k, ends) for k, ends in path.items()]


def _error_record(k: int, ends: Sequence[Factorization]) -> dict[str, object]:
    """Describe the best end point, and the gap to the second best start."""
    best = ends[0]
    gap = (ends[1].error - best.error) / best.error if len(ends) > 1 else np.nan
    return {
        'k': k, 'error': best.error, 'n_iter': best.n_iter, 'converged': best.converged,
        'residual': best.residual, 'gap_to_second_start': gap,
    }  # fmt: skip


def selection_tasks(
    values: FloatArray, labels: Sequence[str] | pd.Series, options: SelectionOptions
) -> list[Task]:
    """List the tasks: one for each split, one for the whole cohort, one for each permutation.

    Parameters
    ----------
    values : (n_metrics, n_sessions, n_vertices) ndarray of float64
        Physical units, without gaps.
    labels : (n_sessions,) sequence of str
        Stratum of each session; both halves of a split get as many of each (see
        `split_halves`).
    options : SelectionOptions
        Numbers of splits and permutations, and the seed.

    Returns
    -------
    list of Task
        Independent of each other; their names are those of the files that keep results.
    """
    tasks = [Task('full', full_records, {'values': values, 'options': options})]
    for split, (a, b) in enumerate(split_halves(labels, options.n_splits, options.seed)):
        arguments = {
            'values': values, 'half_a': a, 'half_b': b, 'split': split, 'options': options,
        }  # fmt: skip
        tasks.append(Task(f'split-{split:03d}', split_half_records, arguments))
    for repeat in range(options.n_null):
        arguments = {'values': values, 'repeat': repeat, 'options': options}
        tasks.append(Task(f'null-{repeat:03d}', null_records, arguments))
    return tasks


def rank_curves(
    values: FloatArray,
    labels: Sequence[str] | pd.Series,
    options: SelectionOptions | None = None,
    *,
    work_dir: Path | None = None,
    n_jobs: int = 1,
    backend: str = 'loky',
    progress: ProgressCallback | None = None,
) -> RankCurves:
    """Examine numbers of components in one cohort.

    Parameters
    ----------
    values : (n_metrics, n_sessions, n_vertices) ndarray of float64
        Physical units, without gaps.
    labels : (n_sessions,) sequence of str
        Stratum of each session.
    options : SelectionOptions
        The rest.
    work_dir : Path, optional
        Where finished tasks are kept, in a folder named after data and settings.
    n_jobs, backend, progress
        As for `run_tasks`.

    Returns
    -------
    RankCurves
        Curves, and notes on what so few subjects cannot tell.
    """
    options = options or SelectionOptions()
    usable, notes = _usable(values, options)
    if usable is None:
        return RankCurves(pd.DataFrame(), pd.DataFrame(), tuple(notes))
    tasks = selection_tasks(values, labels, usable)
    folder = None
    if work_dir is not None:
        folder = work_dir / f'selection-{digest(values, list(map(str, labels)), vars(usable))}'
    results = run_tasks(tasks, folder=folder, n_jobs=n_jobs, backend=backend, progress=progress)
    return RankCurves(*_tables(results), tuple(notes))


def _usable(
    values: FloatArray, options: SelectionOptions
) -> tuple[SelectionOptions | None, list[str]]:
    """Drop what so few sessions or vertices cannot support, and say so."""
    from dataclasses import replace

    n_metrics, n_sessions, n_vertices = values.shape
    if n_sessions < 4:
        return None, [f'{n_sessions} sessions cannot be split into halves: stability is unknown.']
    notes = []
    limit = min(n_metrics * (n_sessions // 2), n_vertices)
    ks = tuple(k for k in options.ks if k <= limit)
    if dropped := [k for k in options.ks if k > limit]:
        ends = list(dict.fromkeys((dropped[0], dropped[-1])))
        notes.append(
            f'k = {" to ".join(map(str, ends))} {"were" if len(ends) > 1 else "was"} not '
            f'examined: a half has only {limit} independent maps.'
        )
    if not ks:
        return None, notes
    if n_sessions < 20:
        notes.append(
            f'Halves hold {n_sessions // 2} sessions: the stability index is that of very small '
            'samples, and parcels should not be read as a property of the population.'
        )
    return replace(options, ks=ks), notes


def _tables(results: dict[str, Records]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Turn records into the long table and the curves."""
    table = pd.DataFrame(
        [row for name, rows in results.items() if name.startswith('split') for row in rows]
    )
    table['recon_error'] = (table['error_a'] + table['error_b']) / 2
    table = table.sort_values(['split', 'k'], ignore_index=True)
    table['gradient'] = table.groupby('split')['recon_error'].diff()
    full = pd.DataFrame(results['full']).set_index('k')
    means = table.groupby('k')
    curves = pd.DataFrame(
        {
            'stability': means['stability'].mean(),
            'stability_sd': means['stability'].std(),
            'matched_cosine': means['matched_cosine'].mean(),
            'ari': means['ari'].mean(),
            'recon_error': means['recon_error'].mean(),
            'gradient': means['recon_error'].mean().diff(),
            'out_of_half_error': means['out_of_half_error'].mean(),
            'variation_error': means['variation_error'].mean(),
            'variation_gradient': means['variation_error'].mean().diff(),
            'relative_error': means['relative_error'].mean(),
            'full_error': full['error'],
            'full_gradient': full['error'].diff(),
            'share_converged': means['converged'].mean(),
            'n_undefined': means['n_undefined'].max(),
        }
    )
    nulls = [pd.DataFrame(r).set_index('k')['error'] for n, r in results.items()
             if n.startswith('null')]  # fmt: skip
    if nulls:
        stacked = pd.concat(nulls, axis=1)
        gradients = stacked.diff()
        curves['null_error'] = stacked.mean(axis=1)
        curves['null_gradient'] = gradients.mean(axis=1)
        curves['null_gradient_p05'] = gradients.quantile(0.05, axis=1)
    return table, curves.reset_index()
