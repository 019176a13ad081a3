"""Stratified halves of a cohort."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedShuffleSplit

from bids_acc.typing import IntArray

LOGGER = logging.getLogger(__name__)

Positions = IntArray


def age_bins(ages: pd.Series, n_bins: int = 2) -> pd.Series:
    """Return the quantile bin of each age; missing ages make a bin of their own.

    Parameters
    ----------
    ages : Series
        Years, as numbers or text; what is no number is missing.
    n_bins : int
        Quantile bins; fewer where ages tie.

    Returns
    -------
    Series of str
        Number of the bin from ``0``, or ``n/a``, with the index of ``ages``.

    Examples
    --------
    >>> age_bins(pd.Series([20.0, 30.0, 40.0, np.nan])).tolist()
    ['0', '0', '1', 'n/a']
    """
    numbers = pd.to_numeric(ages, errors='coerce')
    if numbers.nunique() < 2:
        return pd.Series('n/a', index=ages.index).where(numbers.isna(), '0')
    bins = pd.qcut(numbers, n_bins, labels=False, duplicates='drop')
    return bins.map(lambda value: 'n/a' if pd.isna(value) else str(int(value)))


def strata(
    participants: pd.DataFrame,
    by: Sequence[str] = ('group', 'age'),
    *,
    n_bins: int = 2,
    smallest: int = 2,
) -> pd.Series:
    """Return the stratum of each participant; small ones are merged, with a warning.

    Numeric columns with many values are cut into quantile bins. A stratum with fewer than
    ``smallest`` members cannot be split: its last declared column is dropped, then the one
    before, until it is large enough; what is still too small goes into the largest stratum.

    Parameters
    ----------
    participants : DataFrame
        One row for each observation unit.
    by : sequence of str
        Columns, the most important first; absent ones are skipped with a warning.
    n_bins : int
        Bins of a numeric column.
    smallest : int
        Members that a stratum needs.

    Returns
    -------
    Series of str
        With the index of ``participants``.
    """
    present = [name for name in by if name in participants]
    if absent := [name for name in by if name not in participants]:
        LOGGER.warning('Halves are not stratified by %s: no such column', ', '.join(absent))
    parts = [_levels(participants[name], n_bins) for name in present]
    names = pd.Series('', index=participants.index)
    for part in parts:
        names = names + '|' + part
    names = names.str.strip('|')
    merged: set[str] = set()
    for _ in range(len(parts)):
        small = names.map(names.value_counts()) < smallest
        if not small.any():
            break
        merged |= set(names[small])
        # the last declared column is given up first: group before age
        names = names.where(~small, names.str.rpartition('|')[0])
    small = names.map(names.value_counts()) < smallest
    if small.any() and not small.all():
        merged |= set(names[small])
        names = names.where(~small, names[~small].mode().iloc[0])
    if merged:
        LOGGER.warning(
            'Strata with fewer than %d members were merged: %s',
            smallest, ', '.join(sorted(name or 'all' for name in merged)),
        )  # fmt: skip
    return names


def _levels(column: pd.Series, n_bins: int) -> pd.Series:
    """Return text levels; numbers with more than ``2 n_bins`` values are binned."""
    if pd.api.types.is_numeric_dtype(column) and column.nunique() > 2 * n_bins:
        return age_bins(column, n_bins)
    return column.astype(object).where(column.notna(), 'n/a').astype(str)


def split_halves(
    labels: Sequence[str] | pd.Series, n_splits: int = 10, seed: int = 0
) -> list[tuple[Positions, Positions]]:
    """Return random halves with equal shares of every stratum.

    The splits are those of scikit-learn's ``StratifiedShuffleSplit(n_splits, test_size=0.5)``,
    which the published analyses used; with an odd number the second half is the larger.

    Parameters
    ----------
    labels : (n,) sequence of str
        Stratum of each unit.
    n_splits : int
        Number of random splits.
    seed : int
        Seed of the splits.

    Returns
    -------
    list of (ndarray of int, ndarray of int)
        Positions of both halves, sorted.

    Raises
    ------
    ValueError
        If there are fewer than four units.
    """
    names = np.asarray(labels, dtype=object).astype(str)
    if len(names) < 4:
        raise ValueError(f'halves need at least 4 units, there are {len(names)}')
    counts = pd.Series(names).value_counts()
    # scikit-learn refuses strata that cannot be halved; an unstratified half is better than none
    if len(counts) > len(names) // 2 or counts.min() < 2:
        names = np.full(len(names), 'all')
    splitter = StratifiedShuffleSplit(n_splits, test_size=0.5, random_state=seed)
    halves = splitter.split(np.zeros((len(names), 1)), names)
    return [(np.sort(a), np.sort(b)) for a, b in halves]
