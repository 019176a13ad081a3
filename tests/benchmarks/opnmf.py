"""OPNMF against its peers: speed, quality, model selection, scale.

    python tests/benchmarks/opnmf.py [--quick | --estimate-peers] [--only STAGE ...]
                                     [--peer-cache FOLDER]

Figures are CPU seconds of the factorization call with one BLAS thread. Ours are medians of
three, each the mean of the calls that fill 0.2 s; a peer is run once, since it takes minutes.
``--peer-cache`` keeps the peers' results, so that they can be run before or elsewhere.
``--estimate-peers`` takes the peer's time as its seconds per iteration times the iterations of
the lean update, which follows the same iterates; such a time is marked ``*`` or called
extrapolated. The PyPI package ``opnmf`` is run here and never imported by bids_acc; the other two
peers are written from the published update:

* lean MU: the same iterates, two thin products per iteration, norm through the k x k matrix;
* SVD MU: the same on data compressed to rank 64 (Ha and Sotiras 2023); its time includes its SVD.

Where MU stops after some 2 000 iterations, far from a fixed point, SVD MU takes 0.2 s; ours takes
5 ms there, half of it for reading, checking and compressing the data. Such ratios vary by a fifth
with what else the machine does; without ``--peer-cache`` both are timed in the same minute. With
a stop so far from rest, a peer's parcels need not be those of its own limit; so the agreement
with it is printed beside that with its limit and with the truth.
"""

# the peer's package has this file's name, so the search path is set before imports

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import logging
import os
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

for _name in ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS'):
    os.environ.setdefault(_name, '1')
_HERE = Path(__file__).resolve()
# this file has the name of the peer's package: its folder must not be searched
sys.path = [p for p in sys.path if Path(p or '.').resolve() != _HERE.parent]
sys.path.insert(0, str(_HERE.parents[2]))

import numpy as np
import pandas as pd

from bids_acc.group.opnmf import OPNMF, fit_path, labels_of
from bids_acc.group.opnmf.agreement import adjusted_rand, match_components, stability_index
from bids_acc.group.opnmf.choice import choose_k
from bids_acc.group.opnmf.covariance import CovarianceOperator
from bids_acc.group.opnmf.features import standardise
from bids_acc.group.opnmf.initialise import Starts, unit_norm
from bids_acc.group.opnmf.labels import labels_by_variation
from bids_acc.group.opnmf.rank import SelectionOptions, rank_curves
from bids_acc.group.opnmf.simulate import CohortDesign, PlantedCohort, planted_cohort
from bids_acc.group.opnmf.solvers import fixed_point_residual, solve_mu

PLANTED = 4
SUBJECTS = 76
LEAST_SECONDS = 0.2
"""Time that one measurement takes at least."""


def say(text: str = '') -> None:
    print(text, flush=True)


def verdict(ok: bool) -> str:
    return 'yes' if ok else 'NO'


def cpu(call: Callable[[], Any], repeats: int = 3) -> tuple[float, Any]:
    """Return the median CPU seconds of a call and its last result.

    A call of milliseconds is timed as `timeit` does, as the mean of so many calls as fill 0.2 s:
    the peers, which run for longer, fill the processor's caches in their first milliseconds.
    """
    start = time.process_time()
    result = call()
    calls = int(np.ceil(LEAST_SECONDS / max(time.process_time() - start, 1e-6)))
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        for _ in range(calls):
            result = call()
        seconds.append((time.process_time() - start) / calls)
    return float(np.median(seconds)), result


def acc_cohort(seed: int, n_subjects: int = SUBJECTS, **design: float) -> PlantedCohort:
    chosen = CohortDesign(n_subjects=n_subjects, **design)  # type: ignore[arg-type]
    return planted_cohort(chosen, np.random.default_rng(seed), geometry_seed=seed)


def acc_matrix(seed: int, n_subjects: int = SUBJECTS) -> np.ndarray:
    return standardise(acc_cohort(seed, n_subjects).data.values)[0]


def first_start(X: np.ndarray, k: int) -> np.ndarray:
    return Starts(CovarianceOperator(X), k, 'nndsvd').first(k, np.random.default_rng(0))


# ---------------------------------------------------------------- the peer


class _Iterations(logging.Handler):
    """Read the iteration count from the peer's log."""

    def __init__(self) -> None:
        super().__init__()
        self.count = -1

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if message.startswith('Converged in'):
            self.count = int(message.split()[2])


def run_peer(X: np.ndarray, W0: np.ndarray, max_iter: int = 50_000) -> dict[str, Any]:
    """Run PyPI opnmf from a given start; CPU seconds, iterations, error and W."""
    from opnmf import opnmf as peer

    logger, counter = logging.getLogger('opnmf'), _Iterations()
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(counter)
    try:
        start = time.process_time()
        W, _, error = peer.opnmf(
            X.T, W0.shape[1], max_iter=max_iter, tol=1e-5, init='custom', init_W=W0.copy()
        )
        seconds = time.process_time() - start
    finally:
        logger.removeHandler(counter)
    n_iter = counter.count if counter.count >= 0 else max_iter - 1  # it counts from 0
    return {'cpu': seconds, 'n_iter': n_iter, 'error': float(error), 'W': np.asarray(W)}


def stored(folder: Path | None, name: str, X: np.ndarray, call: Callable[[], dict]) -> dict:
    """Return a stored result for the same data, or compute and store it."""
    if folder is None:
        return call()
    digest = hashlib.sha256(np.ascontiguousarray(X[::7]).tobytes()).hexdigest()[:12]
    path = folder / f'{name}-{X.shape[1]}x{X.shape[0]}-{digest}.npz'
    if path.exists():
        with np.load(path) as content:
            return {key: content[key][()] for key in content.files}
    result = call()
    folder.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix('.part.npz')
    np.savez(part, **result)
    part.replace(path)
    return result


def estimated_peer(X: np.ndarray, W0: np.ndarray, mu: dict[str, Any]) -> dict[str, Any]:
    """Extrapolate the peer's time from some of its iterations; end point from the lean update."""
    few, more = run_peer(X, W0, 30), run_peer(X, W0, 130)
    each = (more['cpu'] - few['cpu']) / 100
    seconds = few['cpu'] + each * (int(mu['n_iter']) - 30)
    return {'cpu': seconds, 'n_iter': int(mu['n_iter']) - 1, 'error': mu['error'], 'W': mu['W'],
            'estimated': True}  # fmt: skip


def is_stored(folder: Path | None, name: str) -> bool:
    """Say whether a peer's result was stored."""
    return folder is not None and any(folder.glob(f'{name}-*.npz'))


def lean(X: np.ndarray, W0: np.ndarray) -> dict[str, Any]:
    """Run the same-iterate multiplicative update with thin products."""
    start = time.process_time()
    end = solve_mu(CovarianceOperator(X, W0.shape[1], 20_000), W0)
    return {'cpu': time.process_time() - start, 'n_iter': end.n_iter, 'error': end.error,
            'W': end.W}  # fmt: skip


def compressed(X: np.ndarray, W0: np.ndarray, rank: int = 64) -> dict[str, Any]:
    """Run the multiplicative update on the data's leading singular vectors."""
    start = time.process_time()
    vertices, values, _ = CovarianceOperator(X).leading_eigenvectors(rank)
    end = solve_mu(CovarianceOperator((vertices * values).T, side='thin'), W0)
    return {'cpu': time.process_time() - start, 'n_iter': end.n_iter, 'W': end.W}


def continued(X: np.ndarray, W: np.ndarray, rank: int = 96) -> dict[str, Any]:
    """Go on from the peer's end point with its own update, on data of that rank, to tol 1e-8."""
    vertices, values, _ = CovarianceOperator(X).leading_eigenvectors(rank)
    operator = CovarianceOperator((vertices * values).T, side='thin')
    end = solve_mu(operator, unit_norm(W), tol=1e-8, max_iter=150_000)
    return {'n_iter': end.n_iter, 'residual': end.residual, 'W': end.W}


# ---------------------------------------------------------------- stages


def cells(mode: str) -> Iterator[tuple[int, int]]:
    seeds, ks = ((0,), (4,)) if mode == 'quick' else ((0, 1, 2), (2, 4, 7, 10))
    yield from ((seed, k) for seed in seeds for k in ks)


def stage_peers(mode: str, cache: Path | None) -> None:
    """Speed and quality at 1694 x 304."""
    say('\n## 1694 x 304: same data, same NNDSVD start, tol 1e-5, one thread')
    say('seed  k | peer its  cpu | lean MU | SVD64 | ours its  cpu    residual |   /peer  /lean '
        '/SVD64 | restart: its  d(err) | err ours  5 starts   pnmf (% of peer) | ARI peer | mu: '
        'd(its) d(W)')  # fmt: skip
    ratios: dict[str, list[float]] = {'peer': [], 'lean': [], 'svd': []}
    checks: dict[str, list[bool]] = {}
    for seed, k in cells(mode):
        cohort = acc_cohort(seed)
        X = standardise(cohort.data.values)[0]
        W0 = first_start(X, k)
        row = _cell(X, W0, f's{seed}k{k}', mode, cache)
        for name in ratios:
            ratios[name].append(row[name]['cpu'] / row['cpu'])
        _print_cell(seed, k, row)
        if k == PLANTED:
            _compare_parcels(cohort, X, row, f's{seed}k{k}', cache)
        for name, ok in _cell_checks(k, row).items():
            checks.setdefault(name, []).append(ok)
    _print_ratios(ratios)
    for name, oks in checks.items():
        say(f'{name}: {sum(oks)} of {len(oks)} cells: {verdict(all(oks))}')


def _cell(
    X: np.ndarray, W0: np.ndarray, name: str, mode: str, cache: Path | None
) -> dict[str, Any]:
    k = W0.shape[1]
    row: dict[str, Any] = {
        'lean': stored(cache, f'lean-{name}', X, lambda: lean(X, W0)),
        'svd': stored(cache, f'svd64-{name}', X, lambda: compressed(X, W0)),
    }
    if mode == 'full' or is_stored(cache, f'peer-{name}'):
        row['peer'] = stored(cache, f'peer-{name}', X, lambda: run_peer(X, W0))
    else:
        row['peer'] = stored(
            cache, f'estimate-{name}', X, lambda: estimated_peer(X, W0, row['lean'])
        )
    row['cpu'], row['ours'] = cpu(lambda: OPNMF(k, init=W0).fit(X))
    W = row['ours'].components_.T
    row['restart'] = run_peer(X, W.copy())
    row['many'] = OPNMF(k, init=W0, n_init=5, random_state=0).fit(X)
    row['pnmf'] = OPNMF(k, init=W0, objective='pnmf').fit(X)
    row['labels'], row['peer_labels'] = labels_of(W), labels_of(row['peer']['W'])
    row['ari'] = adjusted_rand(row['labels'], row['peer_labels'])
    return row


def _percent(error: float, row: dict[str, Any]) -> float:
    return 100 * (error / float(row['peer']['error']) - 1)


def _print_cell(seed: int, k: int, row: dict[str, Any]) -> None:
    peer, ours, restart = row['peer'], row['ours'], row['restart']
    change = restart['error'] / ours.reconstruction_err_ - 1
    mark = '*' if 'estimated' in peer else ' '
    say(
        f'{seed:4d} {k:2d} | {int(peer["n_iter"]):6d} {float(peer["cpu"]):7.1f}{mark}| '
        f'{float(row["lean"]["cpu"]):6.1f} | {float(row["svd"]["cpu"]):5.1f} | '
        f'{ours.n_iter_:4d} {row["cpu"]:8.4f} {ours.residual_:8.1e} | '
        f'{peer["cpu"] / row["cpu"]:7.0f} {row["lean"]["cpu"] / row["cpu"]:6.0f} '
        f'{row["svd"]["cpu"] / row["cpu"]:6.0f} | {restart["n_iter"]:5d} {change:+9.1e} | '
        f'{_percent(ours.reconstruction_err_, row):+8.3f} '
        f'{_percent(row["many"].reconstruction_err_, row):+8.3f} '
        f'{_percent(row["pnmf"].reconstruction_err_, row):+8.3f} | {row["ari"]:6.3f} | '
        f'{int(row["lean"]["n_iter"]) - 1 - int(peer["n_iter"]):+d} '
        f'{_distance(row["lean"]["W"], peer["W"]):.0e}'
    )


def _compare_parcels(
    cohort: PlantedCohort, X: np.ndarray, row: dict[str, Any], name: str, cache: Path | None
) -> None:
    """Print who is right where parcels differ from the peer's, which stops far from rest."""
    W = unit_norm(row['peer']['W'])
    residual, _ = fixed_point_residual(W, CovarianceOperator(X)(W))
    end = stored(cache, f'continued-{name}', X, lambda: continued(X, W))
    limit = labels_of(end['W'])
    row['ari_limit'], stop = (
        adjusted_rand(row[labels], limit) for labels in ('labels', 'peer_labels')
    )
    say(
        f'        ARI with the peer continued for {int(end["n_iter"])} iterations, from residual '
        f'{residual:.0e} to {float(end["residual"]):.0e}: ours {row["ari_limit"]:.3f}, its own '
        f'stop {stop:.3f}'
    )
    followed = labels_by_variation(row['ours'].components_.T, X, len(cohort.data.metrics))
    ours, rule, peer = (
        adjusted_rand(labels, cohort.labels)
        for labels in (row['labels'], followed, row['peer_labels'])
    )
    say(
        f'        ARI with the planted parcels: ours {ours:.3f} (by variation {rule:.3f}), peer '
        f'{peer:.3f}'
    )


def _distance(ours: np.ndarray, peer: np.ndarray) -> float:
    """Return the largest difference of two W; the peer sorts its components at the end."""
    partner, _ = match_components(peer, ours)
    return float(np.abs(ours[:, partner] - peer).max())


def _cell_checks(k: int, row: dict[str, Any]) -> dict[str, bool]:
    peer, ours, restart = row['peer'], row['ours'], row['restart']
    checks = {
        'fixed-point residual <= 1e-5': ours.residual_ <= 1e-5 and ours.converged_,
        'peer restarted from our W stops at iteration <= 1': 0 <= restart['n_iter'] <= 1,
        "solver='mu' stops at the peer's iteration (+-1, it counts from 0) with its error": (
            abs(int(row['lean']['n_iter']) - 1 - int(peer['n_iter'])) <= 1
            and abs(row['lean']['error'] / peer['error'] - 1) < 1e-6
        ),
        "objective='pnmf' at or below the peer": _percent(row['pnmf'].reconstruction_err_, row)
        <= 0,
    }
    if 'estimated' in peer:  # its end point is the lean update's: nothing to compare
        del checks[
            "solver='mu' stops at the peer's iteration (+-1, it counts from 0) with its error"
        ]
    if k == PLANTED:
        checks['planted k: error <= peer x 1.003'] = _percent(ours.reconstruction_err_, row) <= 0.3
        checks['planted k: ARI with the peer >= 0.97'] = row['ari'] >= 0.97
        checks['planted k: ARI with the limit of its update >= 0.97'] = row['ari_limit'] >= 0.97
    if k >= 7:
        checks['k >= 7: five starts at or below the peer'] = (
            _percent(row['many'].reconstruction_err_, row) <= 0
        )
    return checks


def _print_ratios(ratios: dict[str, list[float]]) -> None:
    demands = {'peer': ('PyPI opnmf', 300, 100), 'lean': ('lean MU', 25, 25),
               'svd': ('SVD MU, rank 64', 40, 40)}  # fmt: skip
    for name, values in ratios.items():
        label, median, lowest = demands[name]
        ok = float(np.median(values)) >= median and min(values) >= lowest
        say(
            f'speed against {label}: median {float(np.median(values)):.0f}x, lowest '
            f'{min(values):.0f}x, {sum(v >= lowest for v in values)} of {len(values)} >= '
            f'{lowest} (wanted: median >= {median}, none < {lowest}): {verdict(ok)}'
        )


def stage_large(mode: str, cache: Path | None) -> None:
    """Speed at 20 484 x 400 and 1694 x 40 000."""
    if mode == 'quick':
        return
    cohort = planted_cohort(
        CohortDesign(n_subjects=100), np.random.default_rng(0), level=5, region_size=10_242
    )
    _large('20 484 x 400', standardise(cohort.data.values)[0], 'estimate', cache, 1000)
    _large('1694 x 40 000', acc_matrix(0, 10_000), mode, cache, 20)


def _large(name: str, X: np.ndarray, mode: str, cache: Path | None, wanted: float) -> None:
    """Print one large cell."""
    k, key = PLANTED, name.replace(' ', '')
    W0 = first_start(X, k)
    seconds, ours = cpu(lambda: OPNMF(k, init=W0).fit(X))
    say(
        f'\n## {name}, k = {k}: ours {ours.n_iter_} its, {seconds:.2f} s, residual '
        f'{ours.residual_:.1e}'
    )
    mu = stored(cache, f'lean-{key}', X, lambda: lean(X, W0))
    if mode == 'full':
        peer = stored(cache, f'peer-{key}', X, lambda: run_peer(X, W0))
    else:
        peer = stored(cache, f'estimate-{key}', X, lambda: estimated_peer(X, W0, mu))
    ratio = float(peer['cpu']) / seconds
    say(
        f'lean MU {int(mu["n_iter"])} its, {float(mu["cpu"]):.0f} s: '
        f'{float(mu["cpu"]) / seconds:.0f}x; PyPI opnmf '
        f'{"extrapolated " if "estimated" in peer else ""}{float(peer["cpu"]):.0f} s: '
        f'{ratio:.0f}x (wanted >= {wanted:g}): {verdict(ratio >= wanted)}; error '
        f'{100 * (ours.reconstruction_err_ / float(mu["error"]) - 1):+.3f} % of its'
    )


def stage_selection(mode: str, cache: Path | None) -> None:
    """The published selection, from one start and from five."""
    say('\n## Selection of paper 1: 73 and 79 subjects x 4 metrics, k = 2..10, 10 splits x 2')
    plans = [(1, 60)] if mode == 'quick' else [(1, 60), (5, 300)]
    for n_init, limit in plans:
        start, share = time.process_time(), []
        for seed, n in enumerate((73, 79)):
            cohort = acc_cohort(seed, n)
            options = SelectionOptions(n_init=n_init, n_null=0)
            found = rank_curves(cohort.data.values, cohort.participants['group'], options)
            share.append(found.table['converged'].mean())
        seconds = time.process_time() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        say(
            f'{n_init} start(s): {seconds:.1f} s (wanted <= {limit}): '
            f'{verdict(seconds <= limit)}; converged {min(share):.0%}; peak memory of this '
            f'section so far {peak:.2f} GB (wanted <= 1)'
        )


def stage_index(mode: str, cache: Path | None) -> None:
    """The stability index against its definition, and its limits."""
    say('\n## Stability index, O(m k^2), against the m x m definition; m = 1694, k = 4')
    cohort = acc_cohort(0)
    half = np.arange(0, SUBJECTS, 2)
    weights = [
        fit_path(standardise(cohort.data.values[:, rows])[0], [PLANTED])[PLANTED][0].W
        for rows in (half, half + 1)
    ]
    fast, (ours, _) = cpu(lambda: stability_index(*weights))
    slow, theirs = cpu(lambda: _published_index(*weights))
    difference = abs(ours - theirs)
    say(
        f'difference {difference:.1e} (wanted <= 1e-12): {verdict(difference <= 1e-12)}; '
        f'{slow / fast:.0f}x faster'
    )
    W, rng = weights[0], np.random.default_rng(0)
    say(f'identical halves: {stability_index(W, W)[0]:.12f}')
    say(f'shuffled rows: {stability_index(W, rng.permutation(W))[0]:+.4f}')
    permuted = stability_index(W, weights[1][:, rng.permutation(PLANTED)])[0] - ours
    say(f'permuted components: change {permuted:+.1e}')


def _published_index(W_a: np.ndarray, W_b: np.ndarray) -> float:
    """Form both cosine matrices and correlate their rows, as the definition says."""
    cosines = []
    for W in (W_a, W_b):
        unit = W / np.linalg.norm(W, axis=1, keepdims=True)
        cosines.append(unit @ unit.T)
    return float(np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(*cosines, strict=True)]))


def stage_planted(mode: str, cache: Path | None) -> None:
    """How often the planted number is chosen."""
    seeds = range(2) if mode == 'quick' else range(10)
    for effect in (0.25, 0.5):
        _planted(seeds, effect)


def stage_truth(mode: str, cache: Path | None) -> None:
    """Parcels against the planted ones, over noise and data seeds."""
    seeds = range(2) if mode == 'quick' else range(15)
    say(
        "\n## ARI with the truth against noise; peer: its own iterates (solver='mu'), largest "
        f'weight; {len(seeds)} data seeds'
    )
    say('white noise | parcels (--opnmf-labels variation), largest weight, peer: seeds 0, 1, 2')
    found = {}
    for noise in (0.4,) if mode == 'quick' else (0.2, 0.4, 0.8, 1.2):
        found[noise] = pd.DataFrame([_truth(seed, noise) for seed in seeds], index=seeds)
        aris = found[noise][list(_RULES)]
        shown = '   '.join(' '.join(f'{ari:.3f}' for ari in row) for row in aris.to_numpy()[:3])
        means = ' '.join(f'{ari:.4f}' for ari in aris.mean())
        say(f'{noise:11.1f} | {shown} | mean {means}')
    for name in _RULES[:2]:
        _print_gain(name, found)
    for noise, table in found.items():
        _print_with_peer(noise, table)


def _print_gain(name: str, found: dict[float, pd.DataFrame]) -> None:
    """Print by how much a rule's parcels are nearer to the truth than the peer's."""
    gains = pd.DataFrame({noise: table[name] - table['peer'] for noise, table in found.items()})
    mean, half = _mean_and_interval(gains.mean(axis=1).to_numpy())
    lowest = float(gains.to_numpy().min())
    say(
        f'{name} minus peer: mean {mean:+.4f}, 95 % interval over seeds [{mean - half:+.4f}, '
        f'{mean + half:+.4f}]; mean at each noise never below '
        f'{verdict(bool((gains.mean() >= 0).all()))}; lowest {lowest:+.4f}, below the peer in '
        f'{(gains < 0).sum().sum()} of {gains.size}: never below {verdict(lowest >= 0)}'
    )
    for noise, column in gains.items():
        if len(low := column[column < 0]):
            cells = ', '.join(f'seed {seed} {gain:+.4f}' for seed, gain in low.items())
            say(f'  below at noise {noise}: {cells}')


def _print_with_peer(noise: float, table: pd.DataFrame) -> None:
    """Print how far parcels agree with the peer's, and who is right where they do not."""
    ari = table['with peer']
    say(
        f'largest weight with the peer at noise {noise}: ARI median {ari.median():.3f}, >= 0.97 '
        f'in {(ari >= 0.97).sum()} of {len(ari)}'
    )
    for seed, row in table[ari < 0.97].iterrows():
        say(
            f'  seed {seed}: {row["with peer"]:.3f}; with the truth ours '
            f'{row["largest weight"]:.3f}, peer {row["peer"]:.3f}, which stops at residual '
            f'{row["residual"]:.3f}'
        )


def _mean_and_interval(values: np.ndarray) -> tuple[float, float]:
    """Return a mean and half its 95 % interval (t distribution)."""
    from scipy.stats import t

    spread = values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean()), float(t.ppf(0.975, len(values) - 1) * spread)


_RULES = ('parcels', 'largest weight', 'peer')


def _truth(seed: int, noise: float) -> dict[str, float]:
    """Return the ARI of parcels by each rule with the planted ones, and ours with the peer's."""
    cohort = acc_cohort(seed, white_noise=noise)
    X = standardise(cohort.data.values)[0]
    W = OPNMF(PLANTED).fit(X).components_.T
    peer = OPNMF(PLANTED, solver='mu').fit(X)
    by_weight = labels_of(W)
    rules = labels_by_variation(W, X, len(cohort.data.metrics)), by_weight, peer.labels_
    aris = {
        name: adjusted_rand(labels, cohort.labels)
        for name, labels in zip(_RULES, rules, strict=True)
    }
    return {
        **aris,
        'with peer': adjusted_rand(by_weight, peer.labels_),
        'residual': peer.residual_,
    }


def _planted(seeds: range, map_effect: float) -> None:
    """Print how often four is chosen, with weak or strong mean maps beside the four parcels.

    The mean maps are smooth and unrelated to the parcels: structure of their own, which is
    stable between halves. The stronger they are, the less is four the one right answer.
    """
    ks, splits = tuple(range(2, 9)), 4
    say(
        f'\n## Planted k = 4, mean maps of {map_effect:g} SD; two cohorts (73, 79), k = 2..8, '
        f'{splits} splits: chosen k'
    )
    chosen = []
    for seed in seeds:
        curves = {}
        for site, n in enumerate((73, 79)):
            rng = np.random.default_rng([seed, site])
            design = CohortDesign(n_subjects=n, map_effect=map_effect)
            cohort = planted_cohort(design, rng, geometry_seed=seed)
            options = SelectionOptions(ks=ks, n_splits=splits, n_null=0, seed=seed)
            found = rank_curves(cohort.data.values, cohort.participants['group'], options)
            curves[str(site)] = found.curves
        chosen.append(choose_k(curves).k)
    hits = chosen.count(PLANTED)
    wanted = int(np.ceil(0.9 * len(chosen)))
    say(f'{chosen}: {hits} of {len(chosen)} (wanted >= {wanted}): {verdict(hits >= wanted)}')


# a process starts with the peak of its parent in its resource usage, not in VmHWM
_CHILD = """
import sys, time, warnings
import numpy as np
from bids_acc.group.opnmf import OPNMF
warnings.simplefilter('ignore')
X = np.load(sys.argv[1])
start = time.process_time()
model = OPNMF(int(sys.argv[2]), dtype=X.dtype.name).fit(X)
seconds = time.process_time() - start
status = dict(line.split(':', 1) for line in open('/proc/self/status'))
peak = int(status['VmHWM'].split()[0]) / 1e6
print(seconds, model.n_iter_, model.residual_, peak, model.converged_)
"""


def stage_scale(mode: str, cache: Path | None) -> None:
    """Time and memory against the number of vertices, each fit in a process of its own."""
    say('\n## Scale: time and peak memory of a process that loads X and fits')
    say('vertices x observations   k |    cpu s  its  ms/it  residual | X GB  peak GB')
    plan = [(5, 847, 76, 4), (4, 2562, 76, 4), (5, 10_242, 76, 4)]
    if mode != 'quick':
        plan += [(6, 40_962, 76, 4), (6, 40_962, 76, 10), (7, 150_000, 100, 10)]
    sizes, times = [], []
    for level, region, subjects, k in plan:
        seconds, m, its = _scale_cell(level, region, subjects, k)
        if k == 4:
            sizes.append(m)
            times.append(seconds / its)
    slope = float(np.polyfit(np.log(sizes), np.log(times), 1)[0])
    say(f'time exponent in m: {slope:.2f} (wanted <= 1.2): {verdict(slope <= 1.2)}')


def _scale_cell(level: int, region: int, subjects: int, k: int) -> tuple[float, int, int]:
    """Simulate, store and fit one size."""
    import tempfile

    cohort = planted_cohort(
        CohortDesign(n_subjects=subjects), np.random.default_rng(0), level=level,
        region_size=region,
    )  # fmt: skip
    X = standardise(cohort.data.values)[0]
    del cohort
    with tempfile.TemporaryDirectory() as folder:
        np.save(f'{folder}/X.npy', X)
        output = subprocess.run(
            [sys.executable, '-c', _CHILD, f'{folder}/X.npy', str(k)], check=True,
            capture_output=True, text=True,
            env={**os.environ, 'PYTHONPATH': str(_HERE.parents[2])},
        ).stdout.split()  # fmt: skip
    seconds, its, residual, peak = (float(value) for value in output[:4])
    size = X.nbytes / 1e9
    notes = [f'<= 3 X + 0.3 GB: {verdict(peak <= 3 * size + 0.3)}']
    if X.shape[1] > 80_000 and k == 10:
        notes.append(
            f'under 8 GB: {verdict(peak < 8)}' if X.shape[1] > 200_000
            else f'under a minute: {verdict(seconds < 60)}'
        )  # fmt: skip
    say(
        f'{X.shape[1]:8d} x {X.shape[0]:4d}         {k:5d} | {seconds:8.2f} {its:4.0f} '
        f'{1e3 * seconds / its:6.1f}  {residual:.1e}  | {size:.2f}  {peak:.2f}  '
        + '; '.join(notes)
    )
    return seconds, X.shape[1], int(its)


def stage_bytes(mode: str, cache: Path | None) -> None:
    """The same bytes with 1, 2 and 8 workers."""
    cohort = planted_cohort(
        CohortDesign(n_subjects=24), np.random.default_rng(0), level=5, region_size=200
    )
    digests = set()
    for n_jobs in (1, 2, 8):
        options = SelectionOptions(ks=(2, 3, 4), n_splits=4, n_null=1, n_init=2)
        found = rank_curves(
            cohort.data.values, cohort.participants['group'], options, n_jobs=n_jobs
        )
        text = found.table.to_csv(float_format='%.17g') + found.curves.to_csv(float_format='%.17g')
        digests.add(hashlib.sha256(text.encode()).hexdigest())
    say(f'\n## Same bytes with 1, 2 and 8 workers: {verdict(len(digests) == 1)}')


def stage_estimator(mode: str, cache: Path | None) -> None:
    """scikit-learn's own checks."""
    from collections import Counter

    from sklearn.utils.estimator_checks import check_estimator

    found = Counter(result['status'] for result in check_estimator(OPNMF(), on_fail=None))
    say(f'\n## check_estimator: {dict(found)}: {verdict(not found["failed"])}')


STAGES: dict[str, Callable[[str, Path | None], None]] = {
    'estimator': stage_estimator,
    'index': stage_index,
    'bytes': stage_bytes,
    'selection': stage_selection,
    'planted': stage_planted,
    'truth': stage_truth,
    'scale': stage_scale,
    'peers': stage_peers,
    'large': stage_large,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--quick', action='store_true', help='small sizes, few cells')
    parser.add_argument('--estimate-peers', action='store_true', help='extrapolate their times')
    parser.add_argument('--only', nargs='+', choices=list(STAGES), default=list(STAGES))
    parser.add_argument('--peer-cache', type=Path, help="folder of the peers' stored results")
    arguments = parser.parse_args()
    warnings.simplefilter('ignore')
    mode = 'quick' if arguments.quick else 'estimate' if arguments.estimate_peers else 'full'
    if {'peers', 'large'} & set(arguments.only) and importlib.util.find_spec('opnmf') is None:
        parser.error("the peer is missing: pip install -c constraints.txt '.[benchmark]'")
    if len(arguments.only) == 1:
        STAGES[arguments.only[0]](mode, arguments.peer_cache)
        return
    options = [argument for argument in sys.argv[1:] if argument not in (*STAGES, '--only')]
    for name in arguments.only:  # a process each, so that one does not show the memory of another
        subprocess.run([sys.executable, __file__, *options, '--only', name], check=True)


if __name__ == '__main__':
    main()
