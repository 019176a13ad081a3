"""The fixed point that compressed data lead to, by the derivative of the exact step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg.lapack import dgesv, dgetrs

from bids_acc.group.opnmf.acceleration import is_long, steps_to_come, within_reach
from bids_acc.group.opnmf.nnls import (
    PassiveSetGroups,
    PassiveSets,
    inverses_in_groups,
    regular,
    solve_in_groups,
)
from bids_acc.typing import FloatArray

SMALL = 210
"""Amounts (observations x components) up to which the derivative of a step is a small matrix: in
practice up to nine components. 320 costs 8 % at k = 10, where fixed points that repel are many: a
fit of 81,924 vertices was led from one to the next for 1000 steps, and converges in 93 without."""
_MOST_MODES = 80
"""Modes up to which they are told apart: of many this costs more than the steps it saves."""


@dataclass(frozen=True)
class Resolvent:
    """The inverse of I - J, with J the derivative of a step, as triangular factors."""

    factors: FloatArray
    pivots: npt.NDArray[np.int32]

    def __call__(self, step: FloatArray) -> FloatArray:
        """Return the sum of a step and all that follow."""
        total: FloatArray = dgetrs(self.factors, self.pivots, step)[0]
        return total


def newton_point(
    rows: npt.NDArray[np.floating],
    V: FloatArray,
    target: FloatArray,
    mu: float,
    sets: PassiveSets,
    leading: int,
    kept: Resolvent | None = None,
) -> tuple[FloatArray, Resolvent | None] | None:
    r"""Return the point to which Newton's method goes from V, on given passive sets.

    With C the compressed data, a step depends on V through the amounts :math:`H = V C^\top`
    alone: T solves :math:`H H^\top T = H C` on the passive set P of each vertex, which makes

    .. math:: G(H) = T C^\top = \sum_P S_P^{-1} H\, C_P C_P^\top

    with :math:`S_P^{-1}` the inverse of :math:`H H^\top` on P and C_P the columns of the
    vertices with that set. In the scale in which :math:`\mu = 1`, a fixed point has G(H) = H.
    The derivative of G is a matrix of the size of H,

    .. math:: \mathrm d G = \sum_P S_P^{-1} \left(\mathrm d H\, (C_P C_P^\top - H^\top G_P)
              - H\, \mathrm d H^\top G_P\right),

    so that Newton's equation :math:`(I - J)\, \mathrm d H = G(H) - H` is solved as it is, for
    the leading observations; what the others add to it contracts by itself, so they take their
    step. A fixed point from which the iteration moves away is not approached: where the
    determinant tells of a growing mode, or the change is long, modes are summed one by one by
    `steps_to_come`.

    Parameters
    ----------
    rows : (r, n_vertices) ndarray of float64
        Compressed data C.
    V : (k, n_vertices) ndarray of float64
        Where the iteration is.
    target : (k, n_vertices) ndarray of float64
        Its exact step, divided by mu.
    mu : float
        Scale between V and its exact step.
    sets : PassiveSets
        Passive sets of the exact step.
    leading : int
        Observations of which the derivative is taken, from the first.
    kept : Resolvent, optional
        That of a point nearby, for as many observations, in place of a new one.

    Returns
    -------
    point : (k, n_vertices) ndarray of float64
        The point; None alone when none can be told.
    kept : Resolvent or None
        To be used again; None where modes were summed one by one.
    """
    groups = sets.groups
    scale = np.sqrt(mu)
    H = scale * (V @ rows.T)
    step = scale * ((target - V) @ rows.T)
    inverses = inverses_in_groups(regular(H @ H.T), groups)
    near, first = H[:, :leading], step[:, :leading].ravel()
    if kept is None:
        J = _derivative(near, inverses, _products(rows[:leading], groups))
        found = _change(J, first, near)
    else:
        found = kept(first), kept
    if found is None:
        return None
    step[:, :leading] = found[0].reshape(near.shape)
    H += step
    point = solve_in_groups(inverses_in_groups(regular(H @ H.T), groups), H @ rows, groups)
    return np.maximum(point, 0.0, out=point), found[1]


def _products(rows: npt.NDArray[np.floating], groups: PassiveSetGroups) -> FloatArray:
    """Return the products of the columns of each group with each other, (n_groups, r, r)."""
    ordered = np.take(rows, groups.order, axis=1)
    products = np.empty((len(groups.sets), len(rows), len(rows)))
    for product, start, stop in zip(products, groups.edges[:-1], groups.edges[1:], strict=True):
        part = ordered[:, start:stop]
        np.matmul(part, part.T, out=product)
    return products


def _derivative(H: FloatArray, inverses: FloatArray, products: FloatArray) -> FloatArray:
    """Return the derivative of G, (k * r, k * r)."""
    k, rank = H.shape
    n_sets = len(products)
    solved = inverses @ H
    images = solved @ products
    errors = products - H.T @ images
    direct = inverses.reshape(n_sets, -1).T @ errors.reshape(n_sets, -1)  # (a b, j i)
    J = direct.reshape(k, k, rank, rank).transpose(0, 3, 1, 2)
    crossed = solved.reshape(n_sets, -1).T @ images.reshape(n_sets, -1)  # (a j, b i)
    J = J - crossed.reshape(k, rank, k, rank).transpose(0, 3, 2, 1)
    result: FloatArray = J.reshape(k * rank, k * rank)
    return result


def _change(
    J: FloatArray, step: FloatArray, H: FloatArray
) -> tuple[FloatArray, Resolvent | None] | None:
    """Return the change of H to a fixed point that attracts; None when it cannot be told."""
    found = _sum_to_the_end(J, step)
    if found is not None and not is_long(found[0], H):
        return found
    if len(J) > _MOST_MODES:
        return None
    try:
        change = within_reach(step + steps_to_come(J, step), H)
    except np.linalg.LinAlgError:
        return None
    return None if change is None else (change, None)


def _sum_to_the_end(J: FloatArray, step: FloatArray) -> tuple[FloatArray, Resolvent] | None:
    """Solve (I - J) x = step; None if it is singular or an odd number of modes grow."""
    factors, pivots, solved, singular = dgesv(np.eye(len(J)) - J, step)
    swaps = np.count_nonzero(pivots != np.arange(len(pivots)))
    negative = np.count_nonzero(factors.diagonal() < 0)
    return None if singular or (swaps + negative) % 2 else (solved, Resolvent(factors, pivots))
