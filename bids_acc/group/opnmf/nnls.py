"""Non-negative least squares for many rows that share one small Gram matrix."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

_MAX_PIVOTS = 200
_FULL_EXCHANGES = 3
_GATHER_LIMIT = 500_000
"""Entries of the gathered inverses up to which one small product for each row is faster."""


def nnls_rows(
    gram: Floats, rhs: Floats, passive: Booleans | None = None
) -> tuple[Floats, Booleans]:
    r"""Minimise :math:`\frac12 x G x^\top - x b^\top` over :math:`x \ge 0` for each row b.

    Block principal pivoting: rows that share a passive set (the entries that may be positive)
    are solved together with one small inverse. Started from the passive sets of a similar
    problem, most rows are right at once.

    Parameters
    ----------
    gram : (k, k) ndarray of float64
        Symmetric positive definite matrix G.
    rhs : (n_rows, k) ndarray of float64
        One right-hand side b in each row.
    passive : (n_rows, k) ndarray of bool, optional
        First guess of the entries that are positive in the solution.

    Returns
    -------
    solution : (n_rows, k) ndarray of float64
        The minimisers.
    passive : (n_rows, k) ndarray of bool
        Their passive sets.

    References
    ----------
    Kim J, Park H (2011). Fast nonnegative matrix factorization: an active-set-like method and
    comparisons. SIAM J Sci Comput 33:3261-3281. https://doi.org/10.1137/110821172

    Examples
    --------
    Without the constraint the second entry of the first row would be negative.

    >>> gram = np.array([[2.0, 1.0], [1.0, 2.0]])
    >>> nnls_rows(gram, np.array([[2.0, 0.0], [3.0, 3.0]]))[0]
    array([[1., 0.],
           [1., 1.]])
    """
    n_rows, k = rhs.shape
    gram = gram + np.eye(k) * (1e-14 * np.trace(gram) / k + np.finfo(float).tiny)
    passive = rhs > 0 if passive is None else passive.copy()
    slack = 1e-13 * np.abs(rhs).max(initial=0.0)
    solution = np.zeros_like(rhs)
    fewest = np.full(n_rows, k + 1)
    tries = np.full(n_rows, _FULL_EXCHANGES)
    todo = np.arange(n_rows)
    for _ in range(_MAX_PIVOTS):
        whole = todo.size == n_rows
        target, sets = (rhs, passive) if whole else (rhs[todo], passive[todo])
        found = _solve_on_sets(gram, target, sets)
        if whole:
            solution = found
        else:
            solution[todo] = found
        dual = found @ gram - target
        wrong = np.where(sets, found < 0, dual < -slack)
        n_wrong = wrong.sum(axis=1)
        still = np.flatnonzero(n_wrong)
        if not still.size:
            break
        wrong, n_wrong, todo = wrong[still], n_wrong[still], todo[still]
        better = n_wrong < fewest[todo]
        fewest[todo[better]] = n_wrong[better]
        tries[todo] = np.where(better, _FULL_EXCHANGES, tries[todo] - 1)
        passive[todo] ^= np.where((tries[todo] >= 0)[:, None], wrong, _last_only(wrong))
    return np.maximum(solution, 0.0), passive


def _last_only(wrong: Booleans) -> Booleans:
    """Keep the last true entry of each row: the exchange that cannot cycle (Murty's rule)."""
    single = np.zeros_like(wrong)
    last = wrong.shape[1] - 1 - np.argmax(wrong[:, ::-1], axis=1)
    single[np.arange(len(wrong)), last] = True
    return single


def _solve_on_sets(gram: Floats, rhs: Floats, sets: Booleans) -> Floats:
    """Solve each row on its own passive set, zero elsewhere; one inverse for each distinct set."""
    codes = _codes(sets)
    order = np.argsort(codes, kind='stable')
    sorted_codes = codes[order]
    starts = np.flatnonzero(np.r_[True, sorted_codes[1:] != sorted_codes[:-1]])
    keep = sets[order[starts]].astype(float)
    # outside the set the matrix is the identity, so that all inverses can be made in one call
    blocks = gram * keep[:, :, None] * keep[:, None, :]
    diagonal = np.arange(gram.shape[0])
    blocks[:, diagonal, diagonal] += 1.0 - keep
    inverses = np.linalg.inv(blocks) * keep[:, :, None]
    stops = np.r_[starts[1:], len(order)]
    if rhs.size * rhs.shape[1] <= _GATHER_LIMIT:
        which = np.empty(len(order), dtype=np.intp)
        which[order] = np.repeat(np.arange(len(starts)), stops - starts)
        return np.matmul((inverses * keep[:, None, :])[which], rhs[:, :, None])[:, :, 0]
    sorted_rhs = rhs[order]
    sorted_solution = np.empty_like(sorted_rhs)
    for inverse, start, stop in zip(inverses, starts.tolist(), stops.tolist(), strict=True):
        np.matmul(sorted_rhs[start:stop], inverse.T, out=sorted_solution[start:stop])
    sorted_solution *= sets[order]
    solution = np.empty_like(sorted_solution)
    solution[order] = sorted_solution
    return solution


def _codes(sets: Booleans) -> npt.NDArray[np.int64]:
    """Give each distinct row of booleans a number."""
    k = sets.shape[1]
    if k <= 53:  # exact in float64, whose product is fast
        return (sets @ (2.0 ** np.arange(k))).astype(np.int64)
    return np.unique(sets, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)
