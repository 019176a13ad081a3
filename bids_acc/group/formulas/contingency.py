"""Tests of counts: chi squared, and exact when cells are small."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import special

from bids_acc.typing import FloatArray, IntArray

MAX_TABLES = 200_000
"""Partial tables up to which the exact test enumerates; beyond, tables are drawn."""


def expected_counts(table: npt.ArrayLike) -> FloatArray:
    """Return the counts that independence of rows and columns would give.

    Parameters
    ----------
    table : (r, c) array_like
        Observed counts; their sum must be above zero.

    Returns
    -------
    (r, c) ndarray of float64
        Row total times column total over the grand total.
    """
    counts = np.asarray(table, dtype=float)
    expected: FloatArray = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / counts.sum()
    return expected


def chi_squared(table: npt.ArrayLike) -> tuple[float, int, float]:
    """Return Pearson's chi squared without continuity correction, df and p.

    Parameters
    ----------
    table : (n_rows, n_columns) array_like
        Counts; no empty row or column.

    Examples
    --------
    >>> [round(float(v), 4) for v in chi_squared([[12, 8], [14, 7]])]
    [0.1962, 1.0, 0.6578]
    """
    counts = np.asarray(table, dtype=float)
    expected = expected_counts(counts)
    value = float(np.sum((counts - expected) ** 2 / expected))
    df = (counts.shape[0] - 1) * (counts.shape[1] - 1)
    return value, df, float(special.chdtrc(df, value))


def _log_weight(columns: IntArray) -> FloatArray:
    """Return -log of the product of factorials of each table's cells."""
    weights: FloatArray = -special.gammaln(columns + 1.0).sum(axis=-1)
    return weights


def fisher_exact(
    table: npt.ArrayLike, rng: np.random.Generator, n_resamples: int = 9999
) -> tuple[float, int]:
    """Return the two-sided exact p of a table of counts with given margins.

    The p value sums the probabilities of all tables that are at most as likely as the one
    observed (Freeman and Halton's extension of Fisher's test). Tables too many to enumerate
    are drawn at random.

    Parameters
    ----------
    table : (n_rows, n_columns) array_like of int
        Counts.
    rng : Generator
        Used when tables are drawn.
    n_resamples : int
        Tables to draw.

    Returns
    -------
    p : float
    n_resamples : int
        Tables drawn; 0 when all were enumerated.

    References
    ----------
    Freeman GH, Halton JH (1951). Biometrika 38:141-149.

    Examples
    --------
    >>> p, drawn = fisher_exact([[3, 1], [1, 3]], np.random.default_rng(0))
    >>> round(p, 4), drawn
    (0.4857, 0)
    """
    counts = np.asarray(table, dtype=np.int64)
    # columns are filled one after the other, and over few rows there are few ways to fill one
    if counts.shape[0] > counts.shape[1]:
        counts = counts.T
    observed = float(_log_weight(counts.ravel()))
    weights = _enumerate(counts)
    if weights is not None:
        # factorials of a cohort overflow; only their ratios matter
        shifted = np.exp(weights - weights.max())
        # tables as likely as the one observed reach that number by sums in another order: without
        # the tolerance it may miss itself
        p = shifted[weights <= observed + 1e-7].sum() / shifted.sum()
        return float(min(p, 1.0)), 0
    # exchanging columns among people keeps both margins and draws each table with its own
    # probability
    rows = np.repeat(np.arange(counts.shape[0]), counts.sum(axis=1))
    columns = np.repeat(np.arange(counts.shape[1]), counts.sum(axis=0))
    hits = 0
    for _ in range(n_resamples):
        drawn = np.zeros_like(counts)
        np.add.at(drawn, (rows, rng.permutation(columns)), 1)
        hits += float(_log_weight(drawn.ravel())) <= observed + 1e-7
    return (hits + 1) / (n_resamples + 1), n_resamples


def _column_fillings(total: int, limits: IntArray) -> IntArray | None:
    """Return all ways to spread a column's total over rows, or None if too many."""
    fillings = np.zeros((1, 0), dtype=np.int64)
    left = np.array([total], dtype=np.int64)
    for i, limit in enumerate(limits):
        rest = int(limits[i + 1 :].sum())
        # at least what the rows below cannot take: no filling is begun that cannot be ended
        low, high = np.maximum(left - rest, 0), np.minimum(left, limit)
        repeat = np.maximum(high - low + 1, 0)
        if repeat.sum() > MAX_TABLES:
            return None
        index = np.repeat(np.arange(len(left)), repeat)
        start = np.repeat(np.cumsum(repeat) - repeat, repeat)
        value = low[index] + np.arange(len(index)) - start
        fillings = np.hstack([fillings[index], value[:, None]])
        left = left[index] - value
    return fillings


def _enumerate(counts: IntArray) -> FloatArray | None:
    """Return the log weight of every table with these margins, or None if too many."""
    states: list[tuple[IntArray, float]] = [(counts.sum(axis=1), 0.0)]
    for total in counts.sum(axis=0)[:-1]:
        following: list[tuple[IntArray, float]] = []
        for left, weight in states:
            fillings = _column_fillings(int(total), left)
            if fillings is None or len(following) + len(fillings) > MAX_TABLES:
                return None
            logs = _log_weight(fillings) + weight
            following.extend(zip(left - fillings, logs, strict=True))
        states = following
    last = np.array([left for left, _ in states])
    return np.array([weight for _, weight in states]) + _log_weight(last)
