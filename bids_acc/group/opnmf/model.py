"""Compressed data that learn from every product with the data themselves."""

from __future__ import annotations

import numpy as np

from bids_acc.group.opnmf.covariance import CovarianceOperator, factor_on
from bids_acc.typing import FloatArray


class CompressedData:
    r"""Low-rank stand-in for the data, exact at the points that a factorization has visited.

    A product with the data, AV, is learnt by appending rows to the compressed data: with
    :math:`R = (A - A_c) V` the update :math:`R (V^\top R)^{-1} R^\top` makes :math:`A_c` exact
    on V and never larger than A. Only the change of V since the last product is new, and it is
    learnt alone, so that no digits are lost.

    Parameters
    ----------
    coarse : CovarianceOperator
        Compressed data, those that matter most first.
    rank : int, optional
        How many of them; all when absent.
    """

    def __init__(self, coarse: CovarianceOperator, rank: int | None = None) -> None:
        self.coarse = coarse
        self.rows: FloatArray = np.asarray(coarse.X[:rank], dtype=np.float64)
        self.rank = len(self.rows)
        """Observations before any were learnt."""
        self._last: tuple[FloatArray, FloatArray] | None = None
        self._rest: FloatArray | None = None

    def times(self, V: FloatArray) -> FloatArray:
        """Return the product V A of the compressed data, exact where it was last learnt.

        Parameters
        ----------
        V : (k, n_vertices) ndarray of float64
            Weights, one component a row.

        Returns
        -------
        (k, n_vertices) ndarray of float64
            The product.
        """
        product = (V @ self.rows.T) @ self.rows
        if self._rest is not None:
            product += self._rest
        return product

    def learn(self, V: FloatArray, AV: FloatArray) -> None:
        """Make the product exact at V.

        Parameters
        ----------
        V : (k, n_vertices) ndarray of float64
            Weights, one component a row.
        AV : (k, n_vertices) ndarray of float64
            Their product V A with the data themselves.
        """
        D, AD = (V, AV) if self._last is None else (V - self._last[0], AV - self._last[1])
        self._last = V, AV
        R = AD - (D @ self.rows.T) @ self.rows
        self.rows = np.concatenate([self.rows, factor_on(D, R)])
        self._rest = None
        self._rest = AV - self.times(V)
