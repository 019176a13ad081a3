"""Tests of two or more independent samples that need no covariates.

Small samples get exact p values: Mann-Whitney's U and the permutation of means enumerate all
divisions of the pooled sample when these are few enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
import numpy.typing as npt
from scipy import stats

from bids_acc.group.formulas.linear import f_survival, t_two_sided
from bids_acc.typing import FloatArray

MAX_DIVISIONS = 20_000
"""Divisions of the pooled sample up to which all are enumerated."""


@dataclass(frozen=True)
class Comparison:
    """A test of two or more samples."""

    statistic: str
    value: float
    df1: float
    df2: float
    p: float
    exact: bool = False
    n_resamples: int = 0
    note: str = ''
    smallest: float = 0.0
    """Smallest p that another division of these values could have; 0 where none is looked at."""


def student(a: FloatArray, b: FloatArray) -> Comparison:
    """Compare two means with pooled variance.

    Parameters
    ----------
    a, b : (n_a,), (n_b,) ndarray of float64
        The two samples, without missing values; two values each at least.

    Returns
    -------
    Comparison
        t of ``a`` minus ``b``; NaN when neither sample varies.

    Examples
    --------
    >>> round(student(np.array([1.0, 2, 3]), np.array([2.0, 3, 7])).value, 4)
    -1.2247
    """
    n_a, n_b = len(a), len(b)
    df = n_a + n_b - 2
    se = pooled_sd(a, b) * np.sqrt(1 / n_a + 1 / n_b)
    t = float((a.mean() - b.mean()) / se) if se > 0 else float('nan')
    return Comparison('t', t, float('nan'), df, t_two_sided(t, df))


def pooled_sd(a: FloatArray, b: FloatArray) -> float:
    """Return the standard deviation pooled over two samples.

    Parameters
    ----------
    a, b : (n_a,), (n_b,) ndarray of float64
        The two samples; each needs two values, since variances divide by n - 1.

    Returns
    -------
    float
        In units of the values.
    """
    ss = variance(a) * (len(a) - 1) + variance(b) * (len(b) - 1)
    return float(np.sqrt(ss / (len(a) + len(b) - 2)))


def variance(values: FloatArray) -> float:
    """Return the variance of a sample; of equal values exactly zero.

    Parameters
    ----------
    values : (n,) ndarray of float64
        Two values at least.

    Examples
    --------
    >>> float(np.full(3, 0.1).var(ddof=1)) > 0, variance(np.full(3, 0.1))
    (True, 0.0)
    """
    # the mean of 0.1, 0.1, 0.1 is not 0.1: a scanner's setting that is constant within groups
    # would differ between them with t = 1e15
    return float(values.var(ddof=1)) if np.ptp(values) > 0 else 0.0


def welch(a: FloatArray, b: FloatArray) -> Comparison:
    """Compare two means without assuming equal variances.

    Parameters
    ----------
    a, b : (n_a,), (n_b,) ndarray of float64
        The two samples, without missing values; two values each at least.

    Returns
    -------
    Comparison
        t of ``a`` minus ``b`` and the Welch-Satterthwaite degrees of freedom; NaN when neither
        sample varies.

    References
    ----------
    Welch BL (1947). Biometrika 34:28-35. https://doi.org/10.1093/biomet/34.1-2.28
    """
    v_a, v_b = variance(a) / len(a), variance(b) / len(b)
    if v_a + v_b <= 0:
        return Comparison('t', float('nan'), float('nan'), float('nan'), float('nan'))
    t = float((a.mean() - b.mean()) / np.sqrt(v_a + v_b))
    df = float((v_a + v_b) ** 2 / (v_a**2 / (len(a) - 1) + v_b**2 / (len(b) - 1)))
    return Comparison('t', t, float('nan'), df, t_two_sided(t, df))


def one_way(samples: list[FloatArray]) -> Comparison:
    """Compare several means with pooled variance (one-way analysis of variance).

    Parameters
    ----------
    samples : list of (n_i,) ndarray of float64
        One sample a group, without missing values.

    Returns
    -------
    Comparison
        F and its degrees of freedom; NaN when no group varies.
    """
    pooled = np.concatenate(samples)
    df1, df2 = len(samples) - 1, len(pooled) - len(samples)
    # equal values differ from their mean by rounding, see `variance`
    within = sum(float(np.sum((x - x.mean()) ** 2)) for x in samples if np.ptp(x) > 0)
    between = sum(len(x) * float((x.mean() - pooled.mean()) ** 2) for x in samples)
    f = between / df1 / (within / df2) if within > 0 else float('nan')
    return Comparison('F', f, df1, df2, f_survival(f, df1, df2))


def mann_whitney(a: FloatArray, b: FloatArray) -> Comparison:
    """Compare two samples by ranks, exactly when they are small.

    Without ties the exact distribution is used up to 50 values in the smaller sample; with
    ties all divisions are enumerated while there are at most `MAX_DIVISIONS`; otherwise the
    normal approximation with corrections for ties and continuity.

    Parameters
    ----------
    a, b : (n_a,), (n_b,) ndarray of float64
        The two samples, without missing values.

    Returns
    -------
    Comparison
        U of the first sample; ``note`` tells the smallest p that is possible when that is
        above 0.05.

    Examples
    --------
    Three against three cannot be significant at 0.05.

    >>> result = mann_whitney(np.array([4.0, 5, 6]), np.array([1.0, 2, 3]))
    >>> result.value, round(result.p, 3), result.note
    (9.0, 0.1, 'smallest possible p is 0.1')
    """
    n_a, n_b = len(a), len(b)
    ties = len(np.unique(np.concatenate([a, b]))) < n_a + n_b
    divisions = comb(n_a + n_b, n_a)
    smallest = min(2 / divisions, 1.0)  # both ends of U, whatever the sizes
    if not ties and min(n_a, n_b) <= 50:
        test = stats.mannwhitneyu(a, b, method='exact')
        u, p, exact = float(test.statistic), float(test.pvalue), True
    elif divisions <= MAX_DIVISIONS:
        u, p, smallest = _enumerated_ranks(a, b)
        exact = True
    else:
        test = stats.mannwhitneyu(a, b, method='asymptotic')
        u, p, exact = float(test.statistic), float(test.pvalue), False
    note = f'smallest possible p is {smallest:.2g}' if smallest > 0.05 else ''
    return Comparison('U', u, float('nan'), float('nan'), p, exact, note=note, smallest=smallest)


def _divisions(n: int, n_a: int) -> npt.NDArray[np.intp]:
    """Return all choices of the first sample's members."""
    return np.array(list(combinations(range(n), n_a)), dtype=np.intp)


def _enumerated_ranks(a: FloatArray, b: FloatArray) -> tuple[float, float, float]:
    """Return U, its exact two-sided p and the smallest possible one, from all divisions."""
    ranks = stats.rankdata(np.concatenate([a, b]))
    n_a, n_b = len(a), len(b)
    shift = n_a * (n_a + 1) / 2
    observed = float(ranks[:n_a].sum() - shift)
    every = ranks[_divisions(n_a + n_b, n_a)].sum(axis=1) - shift
    centre = n_a * n_b / 2
    extreme = np.abs(every - centre)
    p = np.mean(extreme >= abs(observed - centre) - 1e-9)
    return observed, float(p), float(np.mean(extreme >= extreme.max() - 1e-9))


def permuted_means(
    a: FloatArray, b: FloatArray, n_permutations: int, rng: np.random.Generator
) -> Comparison:
    """Compare two means by permuting the group labels.

    Parameters
    ----------
    a, b : (n,) ndarray
        The samples.
    n_permutations : int
        Random exchanges when not all can be enumerated.
    rng : Generator
        Source of the exchanges.

    Returns
    -------
    Comparison
        Difference of the means and its two-sided p; the observed division counts as one.

    References
    ----------
    Phipson B, Smyth GK (2010). Stat Appl Genet Mol Biol 9:39.
    https://doi.org/10.2202/1544-6115.1585
    """
    pooled = np.concatenate([a, b])
    n, n_a = len(pooled), len(a)
    observed = float(a.mean() - b.mean())
    total = comb(n, n_a)
    if total <= MAX_DIVISIONS:
        sums = pooled[_divisions(n, n_a)].sum(axis=1)
        exact, draws = True, total - 1
    else:
        order = rng.permuted(np.tile(np.arange(n), (n_permutations, 1)), axis=1)[:, :n_a]
        sums = pooled[order].sum(axis=1)
        exact, draws = False, n_permutations
    differences = sums / n_a - (pooled.sum() - sums) / (n - n_a)
    # divisions of tied values give the same difference by sums in another order
    tolerance = 1e-12 * float(np.abs(pooled).max() or 1.0)
    hits = int(np.sum(np.abs(differences) >= abs(observed) - tolerance))
    p = hits / total if exact else (hits + 1) / (n_permutations + 1)
    largest = float(np.abs(differences).max()) - tolerance
    smallest = np.mean(np.abs(differences) >= largest) if exact else 1 / (n_permutations + 1)
    nan = float('nan')
    return Comparison(
        'mean difference', observed, nan, nan, float(p), exact, draws, smallest=float(smallest)
    )


def brown_forsythe(samples: list[FloatArray]) -> Comparison:
    """Compare variances by the absolute deviations from the medians.

    Parameters
    ----------
    samples : list of (n_i,) ndarray of float64
        One sample a group, without missing values.

    Returns
    -------
    Comparison
        F of `one_way` for the absolute deviations.

    References
    ----------
    Brown MB, Forsythe AB (1974). J Am Stat Assoc 69:364-367.
    https://doi.org/10.1080/01621459.1974.10482955
    """
    return one_way([np.abs(x - np.median(x)) for x in samples])
