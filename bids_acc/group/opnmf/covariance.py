"""The product with the vertices' covariance, computed on the cheaper side."""

from __future__ import annotations

from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from bids_acc.typing import BoolArray, FloatArray

Side = Literal['gram', 'thin']

_TINY = float(np.finfo(np.float64).tiny)

_EXPECTED_PRODUCTS = 12
"""Typical number of products in one factorization with the default solver."""

_BLOCK_BYTES = 2**19
"""Rows of the data that stay in a core's cache between the two halves of a product."""
_LEAST_ROWS = 12
_FEW_COLUMNS = 12
"""Up to so many columns, and with so many rows in a block, a product waits for memory and not
for arithmetic, and reading the data once in place of twice halves its time."""
_VERY_FEW = 4
"""Columns beyond which it pays to lay them out for the product anew."""
_SPARSEST = 9
"""Every which observation, at most, helps to find the leading variation: it need not be exact, and
cohorts that list groups in turn are seldom in step with an odd number. 5 and 15 change nothing for
up to four components but the time, by 2 %; with 2 at k = 10, some fits end elsewhere after more
steps."""


def cheaper_side(n_observations: int, n_vertices: int, n_columns: int, n_products: int) -> Side:
    """Say whether to form the vertices x vertices matrix.

    It costs ``n m^2`` once and ``2 m^2 k`` for each product, against ``4 n m k`` for each
    product without it; and it must not need more memory than twice the data.

    Parameters
    ----------
    n_observations, n_vertices : int
        Shape of the data.
    n_columns : int
        Columns in one product (components, times factorizations that run together).
    n_products : int
        Products that will be needed.

    Returns
    -------
    {'gram', 'thin'}
        ``gram`` to form the matrix, ``thin`` to multiply by the data twice.

    Examples
    --------
    >>> cheaper_side(304, 1694, 4, 60), cheaper_side(40_000, 1694, 54, 60)
    ('thin', 'gram')
    """
    n, m, k = n_observations, n_vertices, n_columns
    if m > 2 * n:
        return 'thin'
    gram = m * m * n + 2.0 * m * m * k * n_products
    return 'gram' if gram < 4.0 * m * n * k * n_products else 'thin'


class CovarianceOperator:
    """Multiplication by A = X'X, for X of shape (n_observations, n_vertices).

    Parameters
    ----------
    X : (n_observations, n_vertices) ndarray of float64 or float32
        Non-negative data. The products are computed in its precision, the results are float64.
    n_columns : int
        Columns in a typical product.
    n_products : int
        Products that will be needed.
    side : {'gram', 'thin'}, optional
        Chosen by cost when absent.
    trace : float, optional
        Squared norm of the data, where it is known.
    """

    def __init__(
        self,
        X: npt.NDArray[np.floating],
        n_columns: int = 4,
        n_products: int = _EXPECTED_PRODUCTS,
        side: Side | None = None,
        trace: float | None = None,
    ) -> None:
        self.X = X
        if trace is not None:
            self.trace = trace
        self.n_observations, self.n_vertices = X.shape
        self.side = side or cheaper_side(
            self.n_observations, self.n_vertices, n_columns, n_products
        )
        self._gram = X.T @ X if self.side == 'gram' else None
        self._small = self._gram
        block = _BLOCK_BYTES // (X.itemsize * max(self.n_vertices, 1))
        self._block = block if _LEAST_ROWS <= block < self.n_observations / 2 else 0

    @cached_property
    def row_norms(self) -> FloatArray:
        """Squared norm of each vertex, the diagonal of A."""
        norms: FloatArray = np.einsum('ij,ij->j', self.X, self.X, dtype=np.float64)
        return norms

    @cached_property
    def trace(self) -> float:
        """Squared norm of the data."""
        return lowest_and_square(self.X)[1]

    def __call__(self, W: FloatArray) -> FloatArray:
        """Return A W, of the shape of W (n_vertices, n_columns)."""
        return self.times(W.T).T

    def times(self, V: npt.NDArray[np.floating]) -> FloatArray:
        """Return V A; in this orientation a thin product is up to twice as fast as A W.

        Parameters
        ----------
        V : (n_columns, n_vertices) ndarray of float
            Weights, one component a row; cast to the precision of the data.

        Returns
        -------
        (n_columns, n_vertices) ndarray of float64
            The product; rows of ``X`` are taken in blocks that fit the cache where few columns
            are asked for.
        """
        V = np.ascontiguousarray(V, dtype=self.X.dtype)
        if self._gram is not None:
            product = V @ self._gram
        elif self._block and len(V) <= _FEW_COLUMNS:
            product = np.zeros_like(V)
            columns = np.ascontiguousarray(V.T) if len(V) > _VERY_FEW else V.T
            for first in range(0, self.n_observations, self._block):
                rows = self.X[first : first + self._block]
                product += (rows @ columns).T @ rows
        else:
            product = np.ascontiguousarray((V @ self.X.T).T).T @ self.X
        return product.astype(np.float64, copy=False)

    def leading_eigenvectors(self, count: int) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the leading singular triplets of X', through the smaller Gram matrix.

        Parameters
        ----------
        count : int
            How many; at most the smaller side of ``X``.

        Returns
        -------
        vertices : (n_vertices, count) ndarray of float64
            Left singular vectors of X'.
        values : (count,) ndarray of float64
            Singular values, largest first.
        observations : (n_observations, count) ndarray of float64
            Right singular vectors of X'.
        """
        from scipy.linalg import eigh

        on_vertices = self._gram is not None or self.n_vertices <= self.n_observations
        if self._small is None:
            self._small = self.X.T @ self.X if on_vertices else self.X @ self.X.T
        small = self._small
        size = len(small)
        count = min(count, size)
        eigenvalues, vectors = eigh(
            small.astype(np.float64), subset_by_index=(size - count, size - 1)
        )
        values = np.sqrt(np.maximum(eigenvalues[::-1], 0.0))
        vectors = np.ascontiguousarray(vectors[:, ::-1])
        # the Gram matrix squares singular values: smaller ones are rounding, and dividing by them
        # gives noise of length one
        safe = np.where(values > 1e-7 * values[0], values, np.inf)
        cast = vectors.astype(self.X.dtype, copy=False)
        other = ((self.X @ cast) if on_vertices else (self.X.T @ cast)) / safe
        return (vectors, values, other) if on_vertices else (other, values, vectors)

    def compressed(self, rank: int) -> CovarianceOperator:
        """Return an operator of fewer observations that keeps the data's leading variation.

        Its observations are the leading singular vectors, scaled, largest first, where a small
        Gram matrix is there. Else they are found from a few observations, turned towards the
        leading variation by a product with a part of the data and then one with all of them.

        Parameters
        ----------
        rank : int
            Its observations, at most.

        References
        ----------
        Halko N, Martinsson PG, Tropp JA (2011). Finding structure with randomness. SIAM Rev
        53:217-288. https://doi.org/10.1137/090771806
        """
        if self._small is not None:
            vertices, values, _ = self.leading_eigenvectors(rank)
            rows = np.ascontiguousarray((vertices * values).T)
        else:
            n, rank = self.n_observations, min(rank, self.n_observations)
            spread = self.X[n // (2 * rank) :: n // rank][:rank]
            part = self.X[:: max(1, min(_SPARSEST, n // (4 * rank)))]
            sample = spread / max(float(spread.max()), _TINY)
            sample = orthonormal(CovarianceOperator(part, side='thin').times(sample))
            rows = factor_on(sample, self.times(sample))
        return CovarianceOperator(rows, side='thin')


def lowest_and_square(X: npt.NDArray[np.floating]) -> tuple[float, float]:
    """Return the smallest value, NaN if any is, and the sum of squares, in one pass.

    Parameters
    ----------
    X : ndarray of float
        Of any shape, not empty.

    Returns
    -------
    lowest : float
        Smallest value.
    square : float
        Sum of squares in float64, also of data in float32.
    """
    flat = X.ravel(order='K')
    size = _BLOCK_BYTES // 8
    lowest, square = [], 0.0
    for first in range(0, flat.size, size):
        part = flat[first : first + size].astype(np.float64, copy=False)
        lowest.append(part.min())
        square += float(part @ part)
    return float(np.min(lowest)), square


def nonzero_columns(X: npt.NDArray[np.floating]) -> BoolArray:
    """Tell the columns of non-negative data that are not zero everywhere.

    Parameters
    ----------
    X : (n_observations, n_vertices) ndarray of float
        Non-negative.

    Returns
    -------
    (n_vertices,) ndarray of bool
        False for a vertex without any value.
    """
    found = X[:10].any(axis=0)  # as a rule these rows tell
    return np.asarray(found if found.all() else X.any(axis=0))


def orthonormal(V: FloatArray) -> FloatArray:
    """Return orthonormal rows with the span of those of V, fewer where these are dependent.

    Parameters
    ----------
    V : (n_rows, n_vertices) ndarray of float64
        Finite; few rows, whose small Gram matrix is decomposed.

    Returns
    -------
    (rank, n_vertices) ndarray of float64
        Directions whose squared length is below 1e-12 of the longest are left out.
    """
    V = V / max(float(V.max(initial=0.0)), -float(V.min(initial=0.0)), _TINY)
    sizes, directions = np.linalg.eigh(V @ V.T)
    kept = sizes > 1e-12 * max(sizes.max(initial=0.0), 0.0)
    rows: FloatArray = (directions[:, kept] / np.sqrt(sizes[kept])).T @ V
    return rows


def factor_on(V: FloatArray, AV: FloatArray) -> FloatArray:
    r"""Factor A on the span of V by as few rows C as that takes, the leading ones first.

    They fulfil :math:`C^\top C V^\top = A V^\top` (the Nystroem approximation of A on V).

    Parameters
    ----------
    V : (n_rows, n_vertices) ndarray of float64
        Directions.
    AV : (n_rows, n_vertices) ndarray of float64
        Their products V A, row by row.

    Returns
    -------
    (rank, n_vertices) ndarray of float64
        The rows C, which stand in for observations.
    """
    lengths = np.sqrt((V * V).sum(axis=1))
    scale = 1.0 / (lengths + (lengths == 0))
    sizes, directions = np.linalg.eigh((V @ AV.T) * (scale[:, None] * scale))
    kept = sizes > 1e-8 * max(sizes.max(initial=0.0), 0.0)
    combined = directions[:, kept] * scale[:, None] / np.sqrt(sizes[kept])
    rows: FloatArray = combined.T[::-1] @ AV
    return rows
