"""Non-negative least squares for many vertices that share one small Gram matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

_MAX_PIVOTS = 200
_FULL_EXCHANGES = 3
_TINY = float(np.finfo(np.float64).tiny)
_FEW = 100
"""Columns up to which grouping costs more than it saves."""
_SHORT_CODES = 16
"""Components up to which a passive set fits in 16 bits, which sort fastest."""


@dataclass(frozen=True)
class PassiveSets:
    """Which entries may be positive, with the vertices grouped by equal sets."""

    passive: Booleans
    """(k, n_vertices) true where the entry may be positive."""
    order: npt.NDArray[np.intp]
    """Vertices, those with the same set side by side."""
    back: npt.NDArray[np.intp]
    """Place of each vertex in ``order``."""
    edges: list[int]
    """Where each group starts in ``order``, and the end."""
    sets: Floats
    """(n_groups, k) 1 in the set of the group, 0 elsewhere."""

    @classmethod
    def of(cls, passive: Booleans) -> PassiveSets:
        """Group the vertices."""
        codes = _codes(passive)
        order = np.argsort(codes, kind='stable')
        ordered = codes[order]
        starts = np.concatenate([[0], np.flatnonzero(ordered[1:] != ordered[:-1]) + 1])
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        sets = passive[:, order[starts]].T.astype(np.float64)
        return cls(passive, order, back, [*starts.tolist(), len(order)], sets)


def _codes(passive: Booleans) -> npt.NDArray[Any]:
    """Give each distinct column of booleans a number."""
    k = len(passive)
    if k <= 53:  # exact in float64, whose product is fast
        codes = (2.0 ** np.arange(k)) @ passive
        return codes.astype(np.uint16 if k <= _SHORT_CODES else np.int64)
    return np.unique(passive, axis=1, return_inverse=True)[1].reshape(-1).astype(np.int64)


def nnls_columns(
    gram: Floats,
    rhs: Floats,
    guess: PassiveSets | None = None,
    slack: float = 1e-13,
    *,
    exact: bool = True,
) -> tuple[Floats, PassiveSets]:
    r"""Minimise :math:`\frac12 x^\top G x - x^\top b` over :math:`x \ge 0` for each column b.

    Block principal pivoting: columns that share a passive set (the entries that may be
    positive) are solved together with one small inverse. Started from the sets of a similar
    problem, most columns are right at once, and their grouping is used again.

    Parameters
    ----------
    gram : (k, k) ndarray of float64
        Symmetric positive definite matrix G.
    rhs : (k, n_columns) ndarray of float64
        One right-hand side b in each column.
    guess : PassiveSets, optional
        First guess of the entries that are positive in the solution.
    slack : float
        By how much the conditions of the minimum may be broken, relative to the largest entry
        of the solution and of b.
    exact : bool
        Whether to change the sets until they are right. If not, negative entries are set to
        zero, and the sets returned, changed once, are a better guess for a similar problem.

    Returns
    -------
    solution : (k, n_columns) ndarray of float64
        The minimisers.
    sets : PassiveSets
        Their passive sets; ``guess`` itself where it was right.

    References
    ----------
    Kim J, Park H (2011). Fast nonnegative matrix factorization: an active-set-like method and
    comparisons. SIAM J Sci Comput 33:3261-3281. https://doi.org/10.1137/110821172

    Examples
    --------
    Without the constraint the second entry of the first column would be negative.

    >>> gram = np.array([[2.0, 1.0], [1.0, 2.0]])
    >>> nnls_columns(gram, np.array([[2.0, 3.0], [0.0, 3.0]]))[0]
    array([[1., 1.],
           [0., 1.]])
    """
    k, n_columns = rhs.shape
    gram = gram.copy()
    gram.flat[:: k + 1] += 1e-14 * float(gram.diagonal().mean()) + _TINY
    sets = PassiveSets.of(rhs > 0) if guess is None else guess
    solution = _solve_on_sets(gram, rhs, sets)
    below = slack * float(solution.max(initial=0.0)), slack * float(np.abs(rhs).max(initial=0.0))
    wrong = _wrong(gram, rhs, solution, sets.passive, below)
    todo = np.flatnonzero(wrong.any(axis=0))
    if not todo.size:
        return np.maximum(solution, 0.0), sets
    if not exact:
        return np.maximum(solution, 0.0), PassiveSets.of(sets.passive ^ wrong)
    passive = sets.passive.copy()
    wrong = wrong[:, todo]
    fewest = np.full(n_columns, k + 1)
    tries = np.full(n_columns, _FULL_EXCHANGES)
    for _ in range(_MAX_PIVOTS):
        n_wrong = wrong.sum(axis=0)
        better = n_wrong < fewest[todo]
        fewest[todo[better]] = n_wrong[better]
        tries[todo] = np.where(better, _FULL_EXCHANGES, tries[todo] - 1)
        passive[:, todo] ^= np.where(tries[todo] >= 0, wrong, _last_only(wrong))
        target, mine = rhs[:, todo], passive[:, todo]
        if todo.size <= _FEW:
            keep = mine.T.astype(np.float64)
            found = np.matmul(_inverses(gram, keep), target.T[:, :, None])[:, :, 0].T
        else:
            found = _solve_on_sets(gram, target, PassiveSets.of(mine))
        solution[:, todo] = found
        wrong = _wrong(gram, target, found, mine, below)
        still = np.flatnonzero(wrong.any(axis=0))
        if not still.size:
            break
        wrong, todo = wrong[:, still], todo[still]
    return np.maximum(solution, 0.0), PassiveSets.of(passive)


def _wrong(
    gram: Floats, rhs: Floats, solution: Floats, passive: Booleans, below: tuple[float, float]
) -> Booleans:
    """Tell the entries that break the conditions of the minimum by more than is allowed."""
    dual = gram @ solution
    dual -= rhs
    wrong: Booleans = np.where(passive, solution < -below[0], dual < -below[1])
    return wrong


def _last_only(wrong: Booleans) -> Booleans:
    """Keep the last true entry of each column: the exchange that cannot cycle (Murty's rule)."""
    single = np.zeros_like(wrong)
    last = len(wrong) - 1 - np.argmax(wrong[::-1], axis=0)
    single[last, np.arange(wrong.shape[1])] = True
    return single


def _solve_on_sets(gram: Floats, rhs: Floats, sets: PassiveSets) -> Floats:
    """Solve each column on its own passive set, zero elsewhere; one inverse for each group."""
    ordered = np.take(rhs, sets.order, axis=1)
    solution = np.empty_like(ordered)
    inverses = _inverses(gram, sets.sets)
    for inverse, start, stop in zip(inverses, sets.edges[:-1], sets.edges[1:], strict=True):
        np.matmul(inverse, ordered[:, start:stop], out=solution[:, start:stop])
    return np.take(solution, sets.back, axis=1)


def _inverses(gram: Floats, keep: Floats) -> npt.NDArray[Any]:
    """Return the inverse of the matrix on each set, zero outside: (n_sets, k, k)."""
    # outside the set the matrix is the identity, so that all inverses can be made in one call
    both = keep[:, :, None] * keep[:, None, :]
    blocks = gram * both
    diagonal = np.arange(len(gram))
    blocks[:, diagonal, diagonal] += 1.0 - keep
    inverses = np.linalg.inv(blocks)
    inverses *= both
    return inverses
