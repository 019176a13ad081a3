"""How much of connectivity follows head motion over people (QC-FC), also with distance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from bids_acc.typing import BoolArray, FloatArray

LEAST_PEOPLE = 10
"""People below whom edges are not related to motion (own convention)."""


@dataclass(frozen=True)
class MotionRelation:
    """Relation of the edges of a matrix to motion."""

    r: FloatArray
    """(n_edges,) correlation over people of Fisher's z with motion."""
    share: float
    """Share of the edges with an uncorrected p below .05; .05 by chance."""
    median: float
    """Median of the absolute correlation."""
    chance: float
    """What the median would be without a relation."""
    distance: float
    """Spearman's correlation over edges of r with the distance of the regions."""
    n: int
    """People."""


def motion_relation(
    edges: npt.ArrayLike, motion: npt.ArrayLike, distances: npt.ArrayLike, alpha: float = 0.05
) -> MotionRelation:
    """Relate each edge to motion over people.

    Parameters
    ----------
    edges : (n_people, n_edges) array_like
        Fisher's z; NaN where a person has none. An edge that fewer than `LEAST_PEOPLE` have is
        left out.
    motion : (n_people,) array_like
        Mean framewise displacement.
    distances : (n_edges,) array_like
        Of the regions, mm; NaN where not known.
    alpha : float
        Level of the count.

    References
    ----------
    Ciric R et al. (2017). Benchmarking of participant-level confound regression strategies for the
    control of motion artifact in studies of functional connectivity. NeuroImage 154:174-187.
    https://doi.org/10.1016/j.neuroimage.2017.03.020
    """
    z, moved = np.asarray(edges, dtype=float), np.asarray(motion, dtype=float)
    people = np.isfinite(moved)
    z, moved = z[people], moved[people]
    there = np.isfinite(z)
    count = there.sum(axis=0)
    with np.errstate(invalid='ignore', divide='ignore'):
        # edge by edge over those who have it: without its own mean of motion, an edge that the
        # movers lack would correlate by that alone
        x, y = _centred(np.broadcast_to(moved[:, None], z.shape), there), _centred(z, there)
        r = (x * y).sum(axis=0) / np.sqrt((x**2).sum(axis=0) * (y**2).sum(axis=0))
    r[count < LEAST_PEOPLE] = np.nan
    known = np.isfinite(r)
    df = np.maximum(count[known] - 2, 1)
    with np.errstate(divide='ignore'):
        t = r[known] * np.sqrt(df / (1 - r[known] ** 2))
    # not corrected on purpose: the share of small p is the measure, and chance makes it 5 %
    p = 2 * stats.t.sf(np.abs(t), df)
    n = int(np.median(count[known])) if known.any() else int(people.sum())
    far = known & np.isfinite(np.asarray(distances, dtype=float))
    slope = (
        stats.spearmanr(r[far], np.asarray(distances)[far]).statistic if far.sum() > 2 else None
    )
    return MotionRelation(
        r, float((p < alpha).mean()) if known.any() else float('nan'),
        float(np.median(np.abs(r[known]))) if known.any() else float('nan'),
        _median_by_chance(n), float('nan') if slope is None else float(slope), n,
    )  # fmt: skip


def _centred(values: FloatArray, there: BoolArray) -> FloatArray:
    """Take the mean of those who have it from each column; what is constant becomes zero."""
    known = np.where(there, values, 0.0)
    centred = np.where(there, known - known.sum(axis=0) / there.sum(axis=0), 0.0)
    # the mean of equal values is off by rounding, which would correlate like any other number
    flat = (centred**2).sum(axis=0) <= 1e-20 * (known**2).sum(axis=0)
    return np.where(flat, 0.0, centred)


def _median_by_chance(n: int) -> float:
    """Return the median absolute correlation of unrelated values of ``n`` people."""
    if n < 4:
        return float('nan')
    t = stats.t.isf(0.25, n - 2)
    return float(t / np.sqrt(n - 2 + t**2))


def network_difference(
    first: npt.ArrayLike, second: npt.ArrayLike, rows: npt.ArrayLike, n_networks: int
) -> FloatArray:
    """Return the difference of two groups' mean matrices, averaged over pairs of networks.

    Parameters
    ----------
    first, second : (n_people, n_regions, n_regions) array_like
        Fisher's z; NaN where a person has none.
    rows : (n_regions,) array_like of int
        Network of each region, -1 for none.
    n_networks : int

    Returns
    -------
    (n_networks, n_networks) ndarray
        First minus second.
    """
    one, two = (np.asarray(g, dtype=float) for g in (first, second))
    member = np.asarray(rows)
    result = np.full((n_networks, n_networks), np.nan)
    with np.errstate(invalid='ignore'):
        gap = _mean(one) - _mean(two)
    np.fill_diagonal(gap, np.nan)
    for i in range(n_networks):
        for j in range(n_networks):
            part = gap[np.ix_(member == i, member == j)]
            known = part[np.isfinite(part)]
            result[i, j] = known.mean() if known.size else np.nan
    return result


def _mean(values: FloatArray) -> FloatArray:
    """Average over people, each cell over those who have it."""
    there = np.isfinite(values)
    with np.errstate(invalid='ignore', divide='ignore'):
        return np.asarray(np.where(there, values, 0.0).sum(axis=0) / there.sum(axis=0))
