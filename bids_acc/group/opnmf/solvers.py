r"""From starting points to fixed points of orthonormal projective NMF.

With :math:`A = X^\top X` and :math:`S = W^\top A W`, the published update is

.. math:: W \leftarrow W \circ \frac{A W}{W S}, \qquad W \leftarrow W / \lVert W \rVert_2

(Yang and Oja 2010; Sotiras et al. 2015). It is one small multiplicative step of the problem
:math:`\min_{W \ge 0} \lVert X^\top - W H \rVert` with :math:`H = W^\top X^\top`, so a fixed
point satisfies :math:`A W = \mu W S` wherever W is positive. `bids_acc.group.opnmf.anls`
replaces the small step by the exact solution, damped; its fixed points are the same and take
tens of iterations, not tens of thousands.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bids_acc.group.opnmf.covariance import CovarianceOperator
from bids_acc.group.opnmf.initialise import spectral_norm
from bids_acc.group.opnmf.nnls import nnls_columns
from bids_acc.typing import FloatArray

FLOOR = 1e-16
"""Smallest entry in the multiplicative update, as in the published implementations."""


@dataclass(frozen=True)
class Factorization:
    """One end point of an iteration."""

    W: FloatArray
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


def reconstruction_error(operator: CovarianceOperator, W: FloatArray, AW: FloatArray) -> float:
    """Return the Frobenius norm of X - X W W', without forming the residual matrix.

    Parameters
    ----------
    operator : CovarianceOperator
        The data X.
    W : (n_vertices, k) ndarray of float64
        Weights.
    AW : (n_vertices, k) ndarray of float64
        Their product with X'X.

    Returns
    -------
    float
        In units of X.
    """
    S = W.T @ AW
    # rounding can make a perfect fit's square negative
    squared = operator.trace - 2.0 * np.trace(S) + np.sum(S * (W.T @ W))
    return float(np.sqrt(max(squared, 0.0)))


def solve_mu(
    operator: CovarianceOperator, start: FloatArray, *, tol: float = 1e-5, max_iter: int = 50_000
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
    V = np.ascontiguousarray(start.T)  # sums over vertices then run through memory in order
    n_iter, converged = 0, False
    while n_iter < max_iter and not converged:
        n_iter += 1
        AV = operator.times(V)
        updated = V * AV
        updated /= (AV @ V.T) @ V
        # a zero would stay one for ever under multiplication
        np.maximum(updated, FLOOR, out=updated)
        updated /= spectral_norm(updated.T)
        converged = bool(np.linalg.norm(updated - V) < tol * np.linalg.norm(V))
        V = updated
    W, AW = np.ascontiguousarray(V.T), operator.times(V).T
    residual, mu = fixed_point_residual(W, AW)
    return _finish(operator, W, AW, n_iter, converged, residual, mu)


def fixed_point_residual(W: FloatArray, AW: FloatArray) -> tuple[float, float]:
    """Return how far the exact step would move W, relative to its norm, and the scale mu.

    Parameters
    ----------
    W : (n_vertices, k) ndarray of float64
        Weights.
    AW : (n_vertices, k) ndarray of float64
        Their product with X'X.

    Returns
    -------
    residual : float
        Frobenius norm of the change, over that of W; infinite where ``mu`` is not positive.
    mu : float
        Projection of the exact step on W.
    """
    S = W.T @ AW
    exact = nnls_columns((S + S.T) / 2, AW.T)[0].T
    norm = float(np.vdot(W, W))
    mu = float(np.vdot(exact, W)) / norm
    if mu <= 0:
        return np.inf, mu
    return float(np.linalg.norm(exact / mu - W) / np.sqrt(norm)), mu


def solve_pnmf(
    operator: CovarianceOperator, start: FloatArray, *, tol: float = 1e-5, max_iter: int = 1000
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

    def loss(flat: FloatArray) -> tuple[float, FloatArray]:
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
    W: FloatArray,
    AW: FloatArray,
    n_iter: int,
    converged: bool,
    residual: float,
    mu: float,
) -> Factorization:
    """Record an end point."""
    return Factorization(W, n_iter, converged, residual, mu, reconstruction_error(operator, W, AW))
