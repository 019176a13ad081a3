"""Non-negative least squares for many vertices that share one small Gram matrix."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import numpy.typing as npt

from bids_acc.typing import BoolArray, FloatArray

_MAX_PIVOTS = 200
_FULL_EXCHANGES = 3
_TINY = float(np.finfo(np.float64).tiny)
_FEW = 100
"""Columns up to which grouping costs more than it saves."""
_ALL_SETS = 5
"""Components up to which the inverses on all sets are looked up by column, in place of grouping
columns by set: half the time for some thousand columns, much the same for tens of thousands."""
_SHORT_CODES = 16
"""Components up to which a passive set fits in 16 bits, which sort fastest."""


@dataclass(frozen=True)
class PassiveSetGroups:
    """Vertices grouped by equal passive sets."""

    order: npt.NDArray[np.intp]
    """Vertices, those with the same set side by side."""
    back: npt.NDArray[np.intp]
    """Place of each vertex in ``order``."""
    edges: list[int]
    """Where each group starts in ``order``, and the end."""
    sets: FloatArray
    """(n_groups, k) 1 in the set of the group, 0 elsewhere."""

    @cached_property
    def inside_and_outside(self) -> tuple[FloatArray, FloatArray]:
        """Masks for `_inverses`."""
        return _inside_and_outside(self.sets)


@dataclass(frozen=True)
class PassiveSets:
    """Which entries may be positive."""

    passive: BoolArray
    """(k, n_vertices) true where the entry may be positive."""

    @cached_property
    def codes(self) -> npt.NDArray[np.integer]:
        """(n_vertices,) a number for each set."""
        return _codes(self.passive)

    @cached_property
    def groups(self) -> PassiveSetGroups:
        """The vertices by equal sets."""
        order = np.argsort(self.codes, kind='stable')
        ordered = np.take(self.codes, order)
        starts = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        edges = [0, *starts.tolist(), len(order)]
        sets = self.passive[:, order[edges[:-1]]].T.astype(np.float64)
        return PassiveSetGroups(order, back, edges, sets)


def _codes(passive: BoolArray) -> npt.NDArray[np.integer]:
    """Give each distinct column of booleans a number."""
    k = len(passive)
    if k <= 53:  # exact in float64, whose product is fast
        codes = (2.0 ** np.arange(k)) @ passive
        return codes.astype(np.uint16 if k <= _SHORT_CODES else np.int64)
    return np.unique(passive, axis=1, return_inverse=True)[1].reshape(-1).astype(np.int64)


def nnls_columns(
    gram: FloatArray,
    rhs: FloatArray,
    guess: PassiveSets | None = None,
    slack: float = 1e-13,
    *,
    exact: bool = True,
) -> tuple[FloatArray, PassiveSets]:
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
    gram = regular(gram)
    if len(gram) == 2 and (found := _of_two(gram, rhs)) is not None:
        return found
    sets = PassiveSets(rhs > 0) if guess is None else guess
    solution = solve_on_sets(gram, rhs, sets)
    below = slack * float(solution.max(initial=0.0)), slack * float(np.abs(rhs).max(initial=0.0))
    wrong = _wrong(gram, rhs, solution, sets.passive, below)
    if wrong.any():
        if exact:
            sets = PassiveSets(_pivot(gram, rhs, solution, sets.passive, wrong, below))
        else:
            sets = PassiveSets(sets.passive ^ wrong)
    np.maximum(solution, 0.0, out=solution)
    return solution, sets


def regular(gram: FloatArray) -> FloatArray:
    """Return the matrix with a ridge at the size of rounding, so that it has an inverse.

    Parameters
    ----------
    gram : (k, k) ndarray of float64
        Symmetric and positive semi-definite.

    Returns
    -------
    (k, k) ndarray of float64
        The ridge is 1e-14 of the mean of the diagonal.
    """
    ridge = 1e-14 * float(gram.trace()) / len(gram) + _TINY
    return gram + ridge * _identity(len(gram))


@cache
def _identity(k: int) -> FloatArray:
    """Return the identity matrix."""
    return np.eye(k)


def _of_two(gram: FloatArray, rhs: FloatArray) -> tuple[FloatArray, PassiveSets] | None:
    """Solve for two components at once; None where neither is positive without the bound.

    An entry that is negative without the bound is zero with it, and the other stands alone.
    """
    a, b, c = gram[0, 0], gram[0, 1], gram[1, 1]
    solution = (np.array([[c, -b], [-b, a]]) / (a * c - b * b)) @ rhs
    negative = solution < 0
    if (negative[0] & negative[1]).any():
        return None
    solution = np.where(negative[::-1], rhs / gram.diagonal()[:, None], solution)
    np.maximum(solution, 0.0, out=solution)
    return solution, PassiveSets(solution > 0)


def _pivot(
    gram: FloatArray,
    rhs: FloatArray,
    solution: FloatArray,
    passive: BoolArray,
    wrong: BoolArray,
    below: tuple[float, float],
) -> BoolArray:
    """Exchange wrong entries until none is; change the solution, return the sets."""
    passive = passive.copy()
    todo = np.flatnonzero(wrong.any(axis=0))
    target, mine, wrong = rhs[:, todo], passive[:, todo], wrong[:, todo]
    fewest, tries = wrong.size + 1, 0
    for _ in range(_MAX_PIVOTS):
        n_wrong = int(np.count_nonzero(wrong))
        if n_wrong < fewest:
            fewest, tries = n_wrong, _FULL_EXCHANGES
        else:
            # full exchanges can cycle: after some without progress, one entry at a time cannot
            tries -= 1
        mine ^= wrong if tries >= 0 else _last_only(wrong)
        found = _solve_few(gram, target, mine)
        solution[:, todo], passive[:, todo] = found, mine
        wrong = _wrong(gram, target, found, mine, below)
        still = np.flatnonzero(wrong.any(axis=0))
        if not still.size:
            break
        todo, target, mine, wrong = todo[still], target[:, still], mine[:, still], wrong[:, still]
    return passive


def _solve_few(gram: FloatArray, rhs: FloatArray, passive: BoolArray) -> FloatArray:
    """Solve each column on its own passive set, where grouping may not pay."""
    if rhs.shape[1] > _FEW or len(gram) <= _ALL_SETS:
        return solve_on_sets(gram, rhs, PassiveSets(passive))
    inverses = _inverses(gram, *_inside_and_outside(passive.T.astype(np.float64)))
    solution: FloatArray = np.matmul(inverses, rhs.T[:, :, None])[:, :, 0].T
    return solution


def _wrong(
    gram: FloatArray,
    rhs: FloatArray,
    solution: FloatArray,
    passive: BoolArray,
    below: tuple[float, float],
) -> BoolArray:
    """Tell the entries that break the conditions of the minimum by more than is allowed."""
    dual = gram @ solution
    dual -= rhs
    wrong: BoolArray = dual < -below[1]
    wrong &= ~passive
    wrong |= solution < -below[0]  # zero outside the set
    return wrong


def _last_only(wrong: BoolArray) -> BoolArray:
    """Keep the last true entry of each column: the exchange that cannot cycle (Murty's rule)."""
    single = np.zeros_like(wrong)
    last = len(wrong) - 1 - np.argmax(wrong[::-1], axis=0)
    single[last, np.arange(wrong.shape[1])] = True
    return single


def solve_on_sets(gram: FloatArray, rhs: FloatArray, sets: PassiveSets) -> FloatArray:
    """Solve each column on its own passive set, zero elsewhere.

    Parameters
    ----------
    gram : (k, k) ndarray of float64
        Gram matrix that all columns share.
    rhs : (k, n_vertices) ndarray of float64
        Right-hand sides.
    sets : PassiveSets
        Entries of each column that are not bound to zero.

    Returns
    -------
    (k, n_vertices) ndarray of float64
        Least-squares solutions; entries in a set may be negative.
    """
    if len(gram) <= _ALL_SETS:
        by_code = _inverses(gram, *_all_sets(len(gram))).transpose(1, 2, 0)
        solution: FloatArray = np.einsum('ijn,jn->in', by_code.take(sets.codes, axis=2), rhs)
        return solution
    return solve_in_groups(inverses_in_groups(gram, sets.groups), rhs, sets.groups)


@cache
def _all_sets(k: int) -> tuple[FloatArray, FloatArray]:
    """Return the masks of all sets of k entries, in the order of `_codes`."""
    sets = np.arange(2**k)[:, None] >> np.arange(k) & 1
    return _inside_and_outside(sets.astype(np.float64))


def solve_in_groups(inverses: FloatArray, rhs: FloatArray, groups: PassiveSetGroups) -> FloatArray:
    """Multiply each column by the inverse that belongs to its group.

    Parameters
    ----------
    inverses : (n_groups, k, k) ndarray of float64
        As `inverses_in_groups` returns them.
    rhs : (k, n_vertices) ndarray of float64
        Right-hand sides.
    groups : PassiveSetGroups
        Columns by equal passive sets.

    Returns
    -------
    (k, n_vertices) ndarray of float64
        In the order of ``rhs``.
    """
    ordered = np.take(rhs, groups.order, axis=1)
    solution = np.empty_like(ordered)
    for inverse, start, stop in zip(inverses, groups.edges[:-1], groups.edges[1:], strict=True):
        np.matmul(inverse, ordered[:, start:stop], out=solution[:, start:stop])
    return np.take(solution, groups.back, axis=1)


def inverses_in_groups(gram: FloatArray, groups: PassiveSetGroups) -> FloatArray:
    """Return the inverse of the Gram matrix on the passive set of each group, zero outside.

    Parameters
    ----------
    gram : (k, k) ndarray of float64
        Gram matrix that all columns share.
    groups : PassiveSetGroups
        Columns by equal passive sets.

    Returns
    -------
    (n_groups, k, k) ndarray of float64
        Inverses, padded with zeros.
    """
    return _inverses(gram, *groups.inside_and_outside)


def _inverses(gram: FloatArray, inside: FloatArray, outside: FloatArray) -> FloatArray:
    """Return the inverse of the matrix on each set, zero outside: (n_sets, k, k)."""
    # outside the set the matrix is the identity, so that all inverses can be made in one call
    blocks = gram * inside
    blocks += outside
    inverses: FloatArray = np.linalg.inv(blocks).astype(np.float64, copy=False)
    inverses *= inside
    return inverses


def _inside_and_outside(keep: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return, for each set, 1 where both entries are in it, and 1 at those that are not."""
    inside = keep[:, :, None] * keep[:, None, :]
    outside = np.zeros_like(inside)
    diagonal = np.arange(keep.shape[1])
    outside[:, diagonal, diagonal] = 1.0 - keep
    return inside, outside
