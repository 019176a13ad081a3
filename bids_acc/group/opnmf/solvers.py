r"""From starting points to fixed points of orthonormal projective NMF.

With :math:`A = X^\top X` and :math:`S = W^\top A W`, the published update is

.. math:: W \leftarrow W \circ \frac{A W}{W S}, \qquad W \leftarrow W / \lVert W \rVert_2

(Yang and Oja 2010; Sotiras et al. 2015). It is one small multiplicative step of the problem
:math:`\min_{W \ge 0} \lVert X^\top - W H \rVert` with :math:`H = W^\top X^\top`, so a fixed
point satisfies :math:`A W = \mu W S` wherever W is positive. `solve_anls` replaces the small
step by the exact solution, damped; its fixed points are the same and take tens of iterations,
not tens of thousands.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from .covariance import CovarianceOperator
from .initialise import spectral_norm, unit_norm
from .nnls import Booleans, nnls_rows

Floats = npt.NDArray[np.float64]

FLOOR = 1e-16
"""Smallest entry in the multiplicative update, as in the published implementations."""
_PATIENCE = 50
_SWEEPS = 3
_PLAIN_STEPS = 4
_ALIGNED = 0.95
_LONGEST_JUMP = 30.0
_WIDEST_JUMP = 0.1
_FIRST_RANK = 64
_FIRST_TOL = 1e-3
_LARGE = 4_000_000
"""Entries of the data from which a first stage on compressed data pays."""


@dataclass(frozen=True)
class Factorization:
    """One end point of an iteration."""

    W: Floats
    """(n_vertices, k) non-negative weights of spectral norm 1."""
    n_iter: int
    """Iterations taken."""
    converged: bool
    """Whether the stopping rule was met."""
    residual: float
    """Distance to the nearest point the exact step would go to, relative to the norm of W."""
    mu: float
    """Scale between W and its exact step; 1 only where the components do not overlap."""
    error: float
    """Frobenius norm of X - X W W'."""


@dataclass
class _State:
    """One factorization under way."""

    W: Floats
    passive: Booleans | None = None
    best: float = np.inf
    stale: int = 0
    sweeping: bool = False
    cleaned: bool = False
    step: Floats | None = None
    since_jump: int = 0
    done: Factorization | None = field(default=None)


def reconstruction_error(operator: CovarianceOperator, W: Floats, AW: Floats) -> float:
    """Return the Frobenius norm of X - X W W', without forming the residual matrix."""
    S = W.T @ AW
    squared = operator.trace - 2.0 * np.trace(S) + np.sum(S * (W.T @ W))
    return float(np.sqrt(max(squared, 0.0)))


def solve_anls(
    operator: CovarianceOperator,
    starts: list[Floats],
    *,
    tol: float = 1e-5,
    max_iter: int = 1000,
    theta: float = 0.7,
) -> list[Factorization]:
    r"""Run damped exact steps from several starts, with one matrix product for all of them.

    .. math:: W \leftarrow (1-\theta) W + \theta\, N(W) / \mu, \qquad
              W \leftarrow W / \lVert W \rVert_2

    where N(W) solves the non-negative least squares problem of each vertex and
    :math:`\mu = \langle N(W), W \rangle / \langle W, W \rangle`. Undamped it oscillates with
    period two. There is no proof of convergence: when the residual has not fallen for 50
    iterations, three sweeps of coordinate descent take the place of the exact solution.

    Parameters
    ----------
    operator : CovarianceOperator
        The data.
    starts : list of (n_vertices, k) ndarray of float64
        Non-negative starts; k may differ between them.
    tol : float
        Stop when :math:`\lVert N(W)/\mu - W \rVert_F \le tol\, \lVert W \rVert_F`.
    max_iter : int
        Stop there at the latest.
    theta : float
        Damping, in (0, 1).

    Returns
    -------
    list of Factorization
        In the order of the starts.
    """
    states = [_State(unit_norm(start)) for start in starts]
    for iteration in range(1, max_iter + 1):
        running = [state for state in states if state.done is None]
        if not running:
            break
        products = _products(operator, [state.W for state in running])
        for state, AW in zip(running, products, strict=True):
            _anls_step(operator, state, AW, iteration, tol, max_iter, theta)
    return [state.done for state in states if state.done is not None]


def solve_staged(
    operator: CovarianceOperator,
    starts: list[Floats],
    *,
    tol: float = 1e-5,
    max_iter: int = 1000,
    theta: float = 0.7,
) -> list[Factorization]:
    """Run `solve_anls`, for large data first on their 64 leading singular vectors.

    The first stage only finds the neighbourhood; the second works on the data themselves, and
    its residual is theirs.

    Parameters
    ----------
    operator, starts, tol, max_iter, theta
        As for `solve_anls`.

    Returns
    -------
    list of Factorization
        Iterations of both stages are counted.
    """
    large = operator.X.size >= _LARGE and operator.n_observations >= 3 * _FIRST_RANK
    if not large or operator.side == 'gram' or tol >= _FIRST_TOL:
        return solve_anls(operator, starts, tol=tol, max_iter=max_iter, theta=theta)
    rough = solve_anls(
        operator.compressed(_FIRST_RANK), starts, tol=_FIRST_TOL, max_iter=max_iter, theta=theta
    )
    ends = solve_anls(operator, [end.W for end in rough], tol=tol, max_iter=max_iter, theta=theta)
    return [
        replace(end, n_iter=end.n_iter + first.n_iter)
        for end, first in zip(ends, rough, strict=True)
    ]


def _products(operator: CovarianceOperator, weights: list[Floats]) -> list[Floats]:
    """Multiply all weights by A in one product."""
    if len(weights) == 1:
        return [operator(weights[0])]
    stacked = operator(np.hstack(weights))
    edges = np.cumsum([W.shape[1] for W in weights])[:-1]
    return [np.ascontiguousarray(part) for part in np.split(stacked, edges, axis=1)]


def _anls_step(
    operator: CovarianceOperator,
    state: _State,
    AW: Floats,
    iteration: int,
    tol: float,
    max_iter: int,
    theta: float,
) -> None:
    """Advance one factorization, or finish it."""
    W = state.W
    S = W.T @ AW
    S = (S + S.T) / 2
    exact, state.passive = nnls_rows(S, AW, state.passive)
    norm = float(np.vdot(W, W))
    mu = float(np.vdot(exact, W)) / norm
    if mu <= 0:  # no data left in the span of W
        state.done = _finish(operator, W, AW, iteration, False, np.inf, mu)
        return
    exact /= mu
    residual = float(np.linalg.norm(exact - W) / np.sqrt(norm))
    if residual <= tol and state.cleaned:
        state.done = _finish(operator, W, AW, iteration, True, residual, mu)
        return
    if iteration == max_iter:
        state.done = _finish(operator, W, AW, iteration, residual <= tol, residual, mu)
        return
    state.cleaned = residual <= tol
    if state.cleaned:  # damping leaves traces where the solution is zero
        state.W = unit_norm(np.where(exact > 0, W, 0.0))
        return
    _watch(state, residual)
    target = _sweep(W, AW / mu, S) if state.sweeping else exact
    W = (1.0 - theta) * W + theta * target
    dead = ~(W.max(axis=0, initial=0.0) > 1e-8 * W.max())
    if dead.any() and iteration < max_iter // 2:
        W = _reseed(operator, W, AW, S, dead)
        state.passive, state.step, state.since_jump = None, None, 0
        state.W = unit_norm(W)
        return
    state.W = _jump(state, unit_norm(W))


def _jump(state: _State, W: Floats) -> Floats:
    """Go several steps at once when the last two went the same way.

    Every few steps, two steps that are nearly parallel tell the rate of the one slow mode that
    is left; the sum of the steps to come is then added. The jump always goes the way the
    iteration goes, so that, unlike with Anderson acceleration, a fixed point from which the
    iteration moves away is never approached.
    """
    step = W - state.W
    previous, state.step = state.step, step
    state.since_jump += 1
    if previous is None or state.since_jump < _PLAIN_STEPS:
        return W
    product, before = float(np.vdot(step, previous)), float(np.vdot(previous, previous))
    length = float(np.linalg.norm(step))
    if product <= _ALIGNED * length * np.sqrt(before):
        return W
    rate = product / before
    factor = _LONGEST_JUMP if rate >= 1 else min(rate / (1.0 - rate), _LONGEST_JUMP)
    factor = min(factor, _WIDEST_JUMP * float(np.linalg.norm(W)) / length)
    state.step, state.since_jump = None, 0
    return unit_norm(np.maximum(W + factor * step, 0.0))


def _watch(state: _State, residual: float) -> None:
    """Turn to coordinate descent when the exact step has stopped helping."""
    if residual < 0.999 * state.best:
        state.best, state.stale = residual, 0
        return
    state.stale += 1
    if state.stale >= _PATIENCE:
        state.sweeping, state.stale = True, 0


def _sweep(W: Floats, rhs: Floats, S: Floats) -> Floats:
    """Return W after sweeps of coordinate descent towards the exact step divided by mu."""
    target = W.copy()
    diagonal = np.maximum(np.diag(S), np.finfo(float).tiny)
    for _ in range(_SWEEPS):
        for j, scale in enumerate(diagonal):
            gradient = target @ S[:, j] - rhs[:, j]
            target[:, j] = np.maximum(target[:, j] - gradient / scale, 0.0)
    return target


def _reseed(
    operator: CovarianceOperator, W: Floats, AW: Floats, S: Floats, dead: Booleans
) -> Floats:
    """Split the worst-reconstructed component to revive each dead one."""
    W = W.copy()
    loss = operator.row_norms - 2.0 * np.sum(W * AW, axis=1) + np.sum((W @ S) * W, axis=1)
    labels = np.argmax(W, axis=1)
    for j in np.flatnonzero(dead):
        worst = int(np.argmax(np.bincount(labels, weights=loss, minlength=W.shape[1])))
        members = np.flatnonzero(labels == worst)
        moved = members[loss[members] > np.median(loss[members])]
        if not moved.size:
            moved = members[: max(1, len(members) // 2)]
        W[:, j] = 0.0
        W[moved, j] = np.maximum(W[moved, worst], W.max() * 1e-3)
        W[moved, worst] = 0.0
        labels[moved] = j
    return W


def solve_mu(
    operator: CovarianceOperator, start: Floats, *, tol: float = 1e-5, max_iter: int = 50_000
) -> Factorization:
    """Run the published multiplicative update, step for step, to its published stopping rule.

    The rule is a change of W of at most ``tol`` in one iteration, which says little about the
    distance to a fixed point: the `Factorization.residual` of the end point is usually 0.01 to
    0.1. Entries are kept above 1e-16; a zero in the start therefore stays near zero.

    Parameters
    ----------
    operator : CovarianceOperator
        The data.
    start : (n_vertices, k) ndarray of float64
        Non-negative start.
    tol : float
        Relative change of W, in the Frobenius norm, below which to stop.
    max_iter : int
        Stop there at the latest.

    Returns
    -------
    Factorization
        The end point.

    References
    ----------
    Yang Z, Oja E (2010). Linear and nonlinear projective nonnegative matrix factorization.
    IEEE Trans Neural Netw 21:734-749. https://doi.org/10.1109/TNN.2010.2041361

    Sotiras A, Resnick SM, Davatzikos C (2015). Finding imaging patterns of structural
    covariance via non-negative matrix factorization. NeuroImage 108:1-16.
    https://doi.org/10.1016/j.neuroimage.2014.11.045
    """
    W = start
    n_iter, converged = 0, False
    while n_iter < max_iter and not converged:
        n_iter += 1
        AW = operator(W)
        updated = W * AW / (W @ (W.T @ AW))
        updated = np.maximum(updated, FLOOR)
        updated /= spectral_norm(updated)
        converged = bool(np.linalg.norm(updated - W) < tol * np.linalg.norm(W))
        W = updated
    AW = operator(W)
    residual, mu = fixed_point_residual(W, AW)
    return _finish(operator, W, AW, n_iter, converged, residual, mu)


def fixed_point_residual(W: Floats, AW: Floats) -> tuple[float, float]:
    """Return how far the exact step would move W, relative to its norm, and the scale mu."""
    S = W.T @ AW
    exact, _ = nnls_rows((S + S.T) / 2, AW)
    norm = float(np.vdot(W, W))
    mu = float(np.vdot(exact, W)) / norm
    if mu <= 0:
        return np.inf, mu
    return float(np.linalg.norm(exact / mu - W) / np.sqrt(norm)), mu


def solve_pnmf(
    operator: CovarianceOperator, start: Floats, *, tol: float = 1e-5, max_iter: int = 1000
) -> Factorization:
    """Minimise the reconstruction error itself, from an end point of the iteration above.

    The published iteration drops one term of the gradient, so its fixed points are near the
    minimum but not at it. Here the whole gradient
    ``-4 A W + 2 A W W'W + 2 W W'A W`` goes to a bounded quasi-Newton method.

    Parameters
    ----------
    operator : CovarianceOperator
        The data.
    start : (n_vertices, k) ndarray of float64
        Non-negative start.
    tol : float
        Largest projected gradient to accept, relative to that of the data.
    max_iter : int
        Iterations at most.

    Returns
    -------
    Factorization
        `Factorization.residual` is the projected gradient, relative to the trace of A.
    """
    from scipy.optimize import minimize

    shape = start.shape
    scale = 1.0 / operator.trace

    def loss(flat: Floats) -> tuple[float, Floats]:
        W = flat.reshape(shape)
        AW = operator(W)
        S, WW = W.T @ AW, W.T @ W
        value = 1.0 - scale * (2.0 * np.trace(S) - np.sum(S * WW))
        gradient = (-4.0 * AW + 2.0 * (AW @ WW) + 2.0 * (W @ S)) * scale
        return value, gradient.ravel()

    result = minimize(
        loss, start.ravel(), jac=True, method='L-BFGS-B', bounds=[(0.0, None)] * start.size,
        options={'maxiter': max_iter, 'maxcor': 20, 'gtol': tol * 1e-1, 'ftol': 1e-13},
    )  # fmt: skip
    W = result.x.reshape(shape)
    gradient = result.jac.reshape(shape)
    projected = float(np.abs(np.where(W > 0, gradient, np.minimum(gradient, 0.0))).max())
    AW = operator(W)
    return Factorization(
        W=W, n_iter=int(result.nit), converged=bool(result.success), residual=projected,
        mu=1.0, error=reconstruction_error(operator, W, AW),
    )  # fmt: skip


def _finish(
    operator: CovarianceOperator,
    W: Floats,
    AW: Floats,
    n_iter: int,
    converged: bool,
    residual: float,
    mu: float,
) -> Factorization:
    """Record an end point."""
    return Factorization(W, n_iter, converged, residual, mu, reconstruction_error(operator, W, AW))
