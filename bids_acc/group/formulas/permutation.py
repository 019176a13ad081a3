"""Permutation tests of terms and contrasts of a linear model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from math import comb, factorial

import numpy as np
import numpy.typing as npt

from bids_acc.group.formulas.linear import residual_ss
from bids_acc.group.formulas.two_samples import MAX_DIVISIONS
from bids_acc.typing import FloatArray


@dataclass(frozen=True)
class PermutationTest:
    """F of some columns, and the share of permutations that reach it."""

    f: float
    p: float
    df1: int
    df2: int
    n_resamples: int
    """Exchanges looked at besides the observed order."""
    exact: bool
    """Whether these were all there are."""
    smallest: float
    """Smallest p that any of these orders could have had."""


def permutation_p(
    X: FloatArray,
    y: FloatArray,
    columns: Sequence[int],
    n_permutations: int,
    rng: np.random.Generator,
) -> PermutationTest:
    """Test some columns by permuting the residuals of the reduced model.

    Without covariates, all ways of dividing two groups, or all orders of the response of a
    simple regression, are looked at if they are at most
    `bids_acc.group.formulas.two_samples.MAX_DIVISIONS`; the p value is then exact.

    Parameters
    ----------
    X : (n, p) ndarray
        Design matrix with an intercept.
    y : (n,) ndarray
        Response.
    columns : sequence of int
        Columns that are tested.
    n_permutations : int
        Number of random permutations; the observed order counts as one more.
    rng : Generator
        Source of the permutations.

    References
    ----------
    Freedman D, Lane D (1983). J Bus Econ Stat 1:292-298.
    https://doi.org/10.1080/07350015.1983.10509354

    Examples
    --------
    Three against three cannot be significant at 0.05.

    >>> X = np.column_stack([np.ones(6), [1, 1, 1, -1, -1, -1]])
    >>> test = permutation_p(X, np.array([4.0, 5, 6, 1, 2, 3]), [1], 99, np.random.default_rng(0))
    >>> test.p, test.n_resamples, test.exact, test.smallest
    (0.1, 19, True, 0.1)

    Of two against four, one of the 15 divisions is the most extreme.

    >>> X = np.column_stack([np.ones(6), [1, 1, -1, -1, -1, -1]])
    >>> test = permutation_p(X, np.array([1.0, 2, 3, 4, 5, 7]), [1], 99, np.random.default_rng(0))
    >>> round(test.smallest * 15)
    1

    Of the 24 orders of four values, the rising and the falling one correlate most.

    >>> X = np.column_stack([np.ones(4), np.arange(4.0)])
    >>> permutation_p(X, np.array([1.0, 2, 3, 5]), [1], 99, np.random.default_rng(0)).p * 12
    1.0
    """
    columns = list(columns)
    reduced = np.delete(X, columns, axis=1)
    q, _ = np.linalg.qr(reduced)
    fitted = q @ (q.T @ y)
    residuals = y - fitted
    orders = _all_orders(X, columns)
    exact = orders is not None
    if orders is None:
        # residuals of the model without the tested term: exchanged responses would lose their
        # relation to the covariates too, and the test would be one of both
        shuffled = rng.permuted(np.tile(residuals, (n_permutations, 1)), axis=1).T
    else:
        shuffled = residuals[orders].T
    everything = np.column_stack([y, fitted[:, None] + shuffled])
    full, small = residual_ss(X, everything), residual_ss(reduced, everything)
    df1, df2 = len(columns), X.shape[0] - X.shape[1]
    # A division that fits without residual has an infinite F: it counts as larger.
    f = (small - full) / df1 / np.maximum(full / df2, 1e-300)
    # rounding must not make the observed order miss itself among all orders
    hits = int(np.sum(f[1:] >= f[0] * (1 - 1e-9)))
    n = shuffled.shape[1]
    p = hits / n if exact else (hits + 1) / (n + 1)
    # Groups of equal size reach the largest F twice (labels exchanged), others but once; tied
    # values reach it more often.
    smallest = np.mean(f[1:] >= f[1:].max() * (1 - 1e-9)) if exact else 1 / (n + 1)
    return PermutationTest(float(f[0]), p, df1, df2, n - 1 if exact else n, exact, float(smallest))


def _all_orders(X: FloatArray, columns: list[int]) -> npt.NDArray[np.intp] | None:
    """Return all orders of a response that differ in one tested column beside the intercept.

    None with other columns, or where there are too many.
    """
    if X.shape[1] != 2 or len(columns) != 1:
        return None
    codes = X[:, columns[0]]
    values = np.unique(codes)
    if len(values) == 2:
        return _all_divisions(codes, values)
    if factorial(len(codes)) > MAX_DIVISIONS:
        return None
    return np.array(list(permutations(range(len(codes)))), dtype=np.intp)


def _all_divisions(codes: FloatArray, values: FloatArray) -> npt.NDArray[np.intp] | None:
    """Return all orders that divide two groups differently; None where they are too many."""
    first = np.flatnonzero(codes == values[0])
    second = np.flatnonzero(codes == values[1])
    n = len(codes)
    if comb(n, len(first)) > MAX_DIVISIONS:
        return None
    orders = []
    for chosen in combinations(range(n), len(first)):
        order = np.empty(n, dtype=np.intp)
        order[first] = chosen
        order[second] = np.setdiff1d(np.arange(n), chosen)
        orders.append(order)
    return np.array(orders)


def contrast_first(X: FloatArray, weights: npt.ArrayLike) -> FloatArray:
    """Return the design whose first coefficient is a contrast of those of another design.

    Parameters
    ----------
    X : (n, p) ndarray
        Design matrix.
    weights : (p,) array_like
        Contrast of its coefficients.

    Returns
    -------
    (n, p) ndarray of float64
        The same model in other coordinates.

    Examples
    --------
    >>> X = contrast_first(np.array([[1.0, 1], [1, -1]]), [0.0, 2.0])
    >>> bool(np.isclose(np.linalg.solve(X, [5.0, 2.0])[0], 3.0))
    True
    """
    w = np.asarray(weights, dtype=float)
    # any coordinates beside the contrast will do: those that it leaves free span the reduced model
    _, _, vt = np.linalg.svd(w[None, :])
    return X @ np.linalg.inv(np.vstack([w, vt[1:]]))
