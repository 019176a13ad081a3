"""Starting points of a factorization."""

from __future__ import annotations

from typing import Literal

import numpy as np

from bids_acc.group.opnmf.covariance import CovarianceOperator
from bids_acc.typing import FloatArray

Init = Literal['nndsvd', 'nndsvda', 'random']


def nndsvd(vertices: FloatArray, values: FloatArray, observations: FloatArray) -> FloatArray:
    """Return the non-negative double SVD start, one column for each singular triplet.

    Of each pair of singular vectors, the positive or the negative parts are kept, whichever
    carry more of the triplet.

    Parameters
    ----------
    vertices : (n_vertices, k) ndarray of float64
        Singular vectors over vertices.
    values : (k,) ndarray of float64
        Singular values.
    observations : (n_observations, k) ndarray of float64
        Singular vectors over observations.

    Returns
    -------
    (n_vertices, k) ndarray of float64
        Non-negative start; a column is zero where the data have no such dimension.

    References
    ----------
    Boutsidis C, Gallopoulos E (2008). SVD based initialization: a head start for nonnegative
    matrix factorization. Pattern Recognit 41:1350-1362.
    https://doi.org/10.1016/j.patcog.2007.09.010
    """
    start = np.zeros_like(vertices)
    for j, value in enumerate(values):
        u, v = vertices[:, j], observations[:, j]
        if j == 0:
            start[:, 0] = np.sqrt(value) * np.abs(u)
            continue
        sides = [(np.maximum(s * u, 0.0), np.maximum(s * v, 0.0)) for s in (1.0, -1.0)]
        norms = [(np.linalg.norm(x), np.linalg.norm(y)) for x, y in sides]
        side = int(norms[1][0] * norms[1][1] > norms[0][0] * norms[0][1])
        weight = float(norms[side][0] * norms[side][1])
        if weight > 0:
            start[:, j] = np.sqrt(value * weight) * sides[side][0] / norms[side][0]
    # rounding of the decomposition: other libraries of linear algebra would start elsewhere
    start[start < 1e-6 * start.max(initial=0.0)] = 0.0
    return start


class Starts:
    """Starting points for one data matrix; its singular vectors are computed once.

    Parameters
    ----------
    operator : CovarianceOperator
        The data.
    max_components : int
        Largest number of components that will be asked for.
    init : {'nndsvd', 'nndsvda', 'random'}
        Kind of the first start; further ones are random.
    """

    def __init__(self, operator: CovarianceOperator, max_components: int, init: Init) -> None:
        self.operator = operator
        self.init = init
        if init != 'random':
            self._nndsvd = nndsvd(*operator.leading_eigenvectors(max_components))

    def first(self, k: int, rng: np.random.Generator) -> FloatArray:
        """Return the start of the declared kind.

        Parameters
        ----------
        k : int
            Components; at most ``max_components`` for the two kinds of NNDSVD.
        rng : Generator
            Fills components that the data have no dimension for; the whole start when random.

        Returns
        -------
        (n_vertices, k) ndarray of float64
            Non-negative, of unit spectral norm.
        """
        if self.init == 'random':
            return self.random(k, rng)
        start = self._nndsvd[:, :k]
        if start.shape[1] < k:  # fewer dimensions in the data than components
            start = np.hstack([start, np.zeros((len(start), k - start.shape[1]))])
        # zero stays zero under the published update: a component that starts so can never be one
        empty = ~start.any(axis=0)
        start = np.where(empty, rng.random(start.shape), start) if empty.any() else start.copy()
        if self.init == 'nndsvda':
            start[start == 0] = self.operator.X.mean(dtype=np.float64)
        return unit_norm(start)

    def random(self, k: int, rng: np.random.Generator) -> FloatArray:
        """Return a start drawn uniformly from (0, 1).

        Parameters
        ----------
        k : int
            Components.
        rng : Generator
            Where the numbers come from.

        Returns
        -------
        (n_vertices, k) ndarray of float64
            Of unit spectral norm.
        """
        return unit_norm(rng.random((self.operator.n_vertices, k)))

    def make(self, k: int, n_init: int, rng: np.random.Generator) -> list[FloatArray]:
        """Return the first start and ``n_init - 1`` random ones.

        Parameters
        ----------
        k : int
            Components.
        n_init : int
            Starts in all, at least 1.
        rng : Generator
            Where the numbers come from.

        Returns
        -------
        list of (n_vertices, k) ndarray of float64
            Each of unit spectral norm.
        """
        return [self.first(k, rng), *(self.random(k, rng) for _ in range(n_init - 1))]


def spectral_norm(W: FloatArray) -> float:
    """Return the largest singular value, through the small Gram matrix.

    Parameters
    ----------
    W : (n_vertices, k) ndarray of float64
        Few columns.

    Returns
    -------
    float
        0 for a matrix of zeros.
    """
    return float(np.sqrt(max(np.linalg.eigvalsh(W.T @ W)[-1], 0.0)))


def unit_norm(W: FloatArray) -> FloatArray:
    """Return W divided by its spectral norm.

    Parameters
    ----------
    W : (n_vertices, k) ndarray of float64
        Weights.

    Returns
    -------
    (n_vertices, k) ndarray of float64
        ``W`` itself where it is zero everywhere.
    """
    norm = spectral_norm(W)
    return W / norm if norm > 0 else W
