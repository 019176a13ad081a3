"""Parcels and what is measured in them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from bids_acc.group.opnmf.agreement import (
    adjusted_rand,
    agreement_test,
    dice_of_pairs,
    match_components,
)
from bids_acc.group.opnmf.features import VertexMetrics
from bids_acc.typing import FloatArray, IntArray

SUMMED_METRICS = frozenset({'area', 'volume'})
"""Metrics of which a parcel has the sum, not the mean."""
_LEAST_MEASURED = 0.5


@dataclass(frozen=True)
class Parcellation:
    """Parcels of one cohort on the vertices of the region."""

    cohort: str
    """Name of the cohort; empty when there is one."""
    W: FloatArray
    """(n_vertices, k) weights."""
    labels: IntArray
    """(n_vertices,) component of each vertex, from 0; -1 for none."""
    columns: pd.DataFrame
    """``hemisphere`` and ``vertex`` of each row of W."""
    facts: dict[str, object]
    """Error, iterations, convergence and the like."""
    confidence: FloatArray | None = None
    """(n_vertices,) share of resampled cohorts that agree with the label."""
    bootstrap_ari: FloatArray | None = None
    """Agreement of each resampled cohort with this parcellation."""

    @property
    def n_components(self) -> int:
        """Number of components."""
        return int(self.W.shape[1])


def parcel_table(
    data: VertexMetrics, labels: IntArray, columns: pd.DataFrame, cohort: pd.Series | str = ''
) -> pd.DataFrame:
    """Summarise every metric of every session in each parcel.

    A parcel has the mean over its vertices; surface area has the sum. Vertices without a value
    are left out (a sum is scaled up by their share), and below one half of the vertices the
    parcel has no value.

    Parameters
    ----------
    data : VertexMetrics
        Physical units, NaN where nothing was measured.
    labels : (n_labelled,) ndarray of int
        Component of each labelled vertex, from 0; -1 for none.
    columns : DataFrame
        ``hemisphere`` and ``vertex`` of each label.
    cohort : Series or str
        Cohort of each session.

    Returns
    -------
    DataFrame
        ``participant_id, session_id, cohort, component, metric, value, n_vertices``; components
        are counted from 1 and ``n_vertices`` tells how many were measured.
    """
    aligned = align_labels(labels, columns, data.columns)
    legend = data.sessions[['participant_id', 'session_id']].assign(cohort=cohort)
    parts = []
    for component in range(int(aligned.max(initial=-1)) + 1):
        inside = aligned == component
        for metric, maps in zip(data.metrics, data.values, strict=True):
            value, measured = _summary(maps[:, inside], metric)
            parts.append(
                legend.assign(
                    component=component + 1, metric=metric, value=value, n_vertices=measured
                )
            )
    return pd.concat(parts, ignore_index=True)


def _summary(maps: FloatArray, metric: str) -> tuple[FloatArray, IntArray]:
    """Return one value for each session, and the vertices it rests on."""
    there = np.isfinite(maps)
    measured = there.sum(axis=1)
    size = maps.shape[1]
    total = np.where(there, maps, 0.0).sum(axis=1)
    mean = np.divide(total, measured, out=np.full(len(maps), np.nan), where=measured > 0)
    # a sum over what was measured would be smaller where less was: missing vertices would be
    # atrophy
    value = mean * size if metric in SUMMED_METRICS else mean
    # below one half the mean is that of another region than the parcel
    value[(measured < _LEAST_MEASURED * size) | (size == 0)] = np.nan
    return value, measured


def align_labels(labels: IntArray, columns: pd.DataFrame, wanted: pd.DataFrame) -> IntArray:
    """Return the labels of other vertices than those that were labelled.

    Parameters
    ----------
    labels : (n_labelled,) ndarray of int
        Component, from 0; -1 for none.
    columns : DataFrame
        ``hemisphere`` and ``vertex`` of each label.
    wanted : DataFrame
        ``hemisphere`` and ``vertex`` of the wanted vertices.

    Returns
    -------
    (n_wanted,) ndarray of int
        -1 where a wanted vertex was not labelled.
    """
    known = pd.Series(labels, index=pd.MultiIndex.from_frame(columns[['hemisphere', 'vertex']]))
    index = pd.MultiIndex.from_frame(wanted[['hemisphere', 'vertex']])
    return known.reindex(index, fill_value=-1).to_numpy(dtype=np.int64)


def common_vertices(a: Parcellation, b: Parcellation) -> tuple[Parcellation, Parcellation]:
    """Return both parcellations on the vertices that both have.

    Parameters
    ----------
    a, b : Parcellation
        On the same mesh, perhaps of different regions.

    Returns
    -------
    a, b : Parcellation
        In the same order of vertices and without confidence, which holds for the whole only.
    """
    keys = ['hemisphere', 'vertex']
    both = a.columns[keys].merge(b.columns[keys], on=keys)
    index = pd.MultiIndex.from_frame(both)
    restricted = []
    for one in (a, b):
        rows = pd.MultiIndex.from_frame(one.columns[keys]).get_indexer(index)
        restricted.append(
            replace(
                one, W=one.W[rows], labels=one.labels[rows],
                columns=one.columns.iloc[rows].reset_index(drop=True), confidence=None,
            )
        )  # fmt: skip
    return restricted[0], restricted[1]


def in_order_of(reference: Parcellation, other: Parcellation) -> Parcellation:
    """Renumber the components of a parcellation as their partners in another one.

    Components without a partner come last, in their own order.

    Parameters
    ----------
    reference : Parcellation
        Keeps its numbers.
    other : Parcellation
        On the same mesh; partners are those of the highest total cosine (`match_components`).

    Returns
    -------
    Parcellation
        ``other`` on all of its own vertices, with weights and labels reordered.
    """
    one, two = common_vertices(reference, other)
    partner, _ = match_components(one.W, two.W)
    order = [int(j) for j in partner if j >= 0]
    order += [j for j in range(other.n_components) if j not in order]
    # one more than there are, so that the label -1 stays -1
    position = np.full(other.n_components + 1, -1, dtype=np.int64)
    position[order] = np.arange(len(order))
    return replace(other, W=np.ascontiguousarray(other.W[:, order]), labels=position[other.labels])


def compare_cohorts(
    parcellations: list[Parcellation],
    rng: np.random.Generator,
    *,
    neighbours: list[IntArray] | None = None,
    n_null: int = 1000,
) -> pd.DataFrame:
    """Compare the parcellations of every pair of cohorts.

    Parameters
    ----------
    parcellations : list of Parcellation
        One for each cohort.
    rng : Generator
        Source of the null parcellations.
    neighbours : list of ndarray of int, optional
        Neighbours of each vertex of the first parcellation, for the contiguous null; used where
        the cohorts have the same vertices.
    n_null : int
        Null parcellations.

    Returns
    -------
    DataFrame
        One row for each matched pair of components, with the ARI of the pair of cohorts, its
        null and p repeated.
    """
    rows = []
    for i, first in enumerate(parcellations):
        for second in parcellations[i + 1 :]:
            a, b = common_vertices(first, second)
            # the contiguous null needs the mesh of exactly these vertices
            same = neighbours is not None and len(a.labels) == len(neighbours)
            test = agreement_test(
                a.labels, b.labels, rng, neighbours=neighbours if same else None, n_null=n_null
            )
            partner, cosine = match_components(a.W, b.W)
            pairs = [(c, int(p)) for c, p in enumerate(partner)]
            for (one, other), overlap, similar in zip(
                pairs, dice_of_pairs(a.labels, b.labels, pairs), cosine, strict=True
            ):
                rows.append(
                    {
                        'cohort_a': first.cohort, 'cohort_b': second.cohort,
                        'component_a': one + 1,
                        'component_b': other + 1 if other >= 0 else np.nan,
                        'dice': overlap, 'cosine': similar, 'ari': test.ari,
                        'ari_within': test.ari_within,
                        'null': test.null, 'null_mean': test.null_mean,
                        'null_p95': test.null_p95, 'p': test.p, 'n_null': test.n_null,
                        'n_vertices': len(a.labels),
                    }
                )  # fmt: skip
    return pd.DataFrame(rows)


__all__ = [
    'Parcellation', 'adjusted_rand', 'align_labels', 'compare_cohorts', 'in_order_of',
    'parcel_table',
]  # fmt: skip
