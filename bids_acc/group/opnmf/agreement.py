"""How far two parcellations agree: rows, components, labels, and by chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from bids_acc.images.masks import dice
from bids_acc.typing import FloatArray, IntArray


def stability_index(W_a: FloatArray, W_b: FloatArray) -> tuple[float, int]:
    r"""Return the published stability index of two sets of components.

    For each vertex, the cosine similarities of its row of W with all rows are compared between
    the two sets by correlation; the index is the mean over vertices. The order of components
    does not matter. The m x m similarity matrices are never formed: with unit rows
    :math:`a_i`, :math:`b_i` and the k x k matrices of second moments about the means,

    .. math:: r_i = \frac{a_i^\top C_{ab} b_i}
                         {\sqrt{(a_i^\top C_{aa} a_i)(b_i^\top C_{bb} b_i)}}

    Parameters
    ----------
    W_a, W_b : (n_vertices, k) ndarray of float64
        Component weights; k may differ.

    Returns
    -------
    index : float
        From -1 to 1; NaN when it is defined at no vertex.
    n_undefined : int
        Vertices without an index: zero weights, or the same similarity with every vertex.

    References
    ----------
    Patel R, et al. (2020). Investigating microstructural variation in the human hippocampus
    using non-negative matrix factorization. NeuroImage 207:116348.
    https://doi.org/10.1016/j.neuroimage.2019.116348

    Examples
    --------
    >>> W = np.array([[1.0, 0.0], [0.9, 0.2], [0.0, 1.0]])
    >>> index, undefined = stability_index(W, W[:, ::-1])
    >>> round(index, 12), undefined
    (1.0, 0)
    """
    a, b = _unit_rows(W_a), _unit_rows(W_b)
    a_centred, b_centred = a - a.mean(axis=0), b - b.mean(axis=0)
    cross = np.sum((a @ (a_centred.T @ b_centred)) * b, axis=1)
    var_a = np.sum((a @ (a_centred.T @ a_centred)) * a, axis=1)
    var_b = np.sum((b @ (b_centred.T @ b_centred)) * b, axis=1)
    # a vertex that is equally like all others has no correlation, only rounding
    tiny = 1e-12 * len(a)
    defined = (var_a > tiny) & (var_b > tiny)
    if not defined.any():
        return float('nan'), len(a)
    rows = cross[defined] / np.sqrt(var_a[defined] * var_b[defined])
    return float(rows.mean()), int((~defined).sum())


def _unit_rows(W: FloatArray) -> FloatArray:
    """Divide each row by its length; rows of zeros stay."""
    norms = np.linalg.norm(W, axis=1, keepdims=True)
    unit: FloatArray = np.divide(W, norms, out=np.zeros_like(W), where=norms > 0)
    return unit


def match_components(W_a: FloatArray, W_b: FloatArray) -> tuple[IntArray, FloatArray]:
    """Pair the components of two sets so that the sum of their cosines is largest.

    Parameters
    ----------
    W_a, W_b : (n_vertices, k) ndarray of float64
        Component weights over the same vertices.

    Returns
    -------
    partner : (k,) ndarray of int
        Column of ``W_b`` that goes with each column of ``W_a``; -1 where there is none.
    cosine : (k,) ndarray of float64
        Their cosine; NaN where there is none.

    References
    ----------
    Kuhn HW (1955). The Hungarian method for the assignment problem. Nav Res Logist Q 2:83-97.
    https://doi.org/10.1002/nav.3800020109
    """
    cosines = _unit_rows(np.ascontiguousarray(W_a.T)) @ _unit_rows(np.ascontiguousarray(W_b.T)).T
    rows, columns = linear_sum_assignment(-cosines)
    partner = np.full(W_a.shape[1], -1, dtype=np.int64)
    cosine = np.full(W_a.shape[1], np.nan)
    partner[rows] = columns
    cosine[rows] = cosines[rows, columns]
    return partner, cosine


def adjusted_rand(a: IntArray, b: IntArray) -> float:
    """Return the adjusted Rand index over the vertices that both parcellations label.

    Parameters
    ----------
    a, b : (n_vertices,) ndarray of int
        Parcels; negative where there is none.

    Returns
    -------
    float
        1 for the same partition, 0 on average for random ones; NaN without common vertices.

    References
    ----------
    Hubert L, Arabie P (1985). Comparing partitions. J Classif 2:193-218.
    https://doi.org/10.1007/BF01908075
    """
    both = (a >= 0) & (b >= 0)
    if not both.any():
        return float('nan')
    return adjusted_rand_from_table(contingency(a[both], b[both]))


def contingency(a: IntArray, b: IntArray) -> FloatArray:
    """Count the vertices of each pair of labels.

    Parameters
    ----------
    a, b : (n_vertices,) ndarray of int
        Two parcellations of the same vertices, labels from 0. A label of -1 would count as the
        last one, so vertices without a parcel are to be left out before.

    Returns
    -------
    (n_labels_a, n_labels_b) ndarray of float64
        Counts; their sum is ``n_vertices``.
    """
    table = np.zeros((int(a.max()) + 1, int(b.max()) + 1))
    np.add.at(table, (a, b), 1.0)
    return table


def adjusted_rand_from_table(table: FloatArray) -> float:
    """Return the adjusted Rand index of a contingency table.

    Parameters
    ----------
    table : (n_labels_a, n_labels_b) ndarray of float64
        Counts, as `contingency` returns them.

    Returns
    -------
    float
        1 for equal partitions, about 0 for unrelated ones; 1 also where both have one parcel
        or both have one vertex in each.

    Examples
    --------
    >>> adjusted_rand_from_table(np.array([[2.0, 0.0], [0.0, 3.0]]))
    1.0
    """

    def pairs(counts: FloatArray) -> float:
        return float(np.sum(counts * (counts - 1.0)) / 2.0)

    n = table.sum()
    rows, columns = pairs(table.sum(axis=1)), pairs(table.sum(axis=0))
    expected = rows * columns / max(n * (n - 1.0) / 2.0, 1.0)
    highest = (rows + columns) / 2.0
    if highest == expected:
        return 1.0
    return float((pairs(table) - expected) / (highest - expected))


def dice_of_pairs(a: IntArray, b: IntArray, pairs: list[tuple[int, int]]) -> FloatArray:
    """Return the Dice overlap of pairs of parcels.

    Parameters
    ----------
    a, b : (n_vertices,) ndarray of int
        Parcels.
    pairs : list of (int, int)
        Label in ``a`` and label in ``b``.

    Returns
    -------
    (n_pairs,) ndarray of float64
        From 0 to 1; NaN when both parcels are empty.
    """
    return np.array([dice(a == one, b == other) for one, other in pairs])


@dataclass(frozen=True)
class Agreement:
    """An adjusted Rand index and what chance would give."""

    ari: float
    """Observed index over all vertices."""
    ari_within: float
    """Index within each connected part of the region (each hemisphere), mean by size: what is
    tested. With the ``permutation`` null it is ``ari``."""
    null_mean: float
    """Mean of ``ari_within`` over the null parcellations."""
    null_p95: float
    """Its 95th percentile there."""
    p: float
    """Share of null parcellations that agree at least as well, the observed one counted."""
    n_null: int
    """Number of null parcellations."""
    null: str
    """``permutation`` (vertices exchanged) or ``contiguous`` (parcels regrown)."""


def agreement_test(
    a: IntArray,
    b: IntArray,
    rng: np.random.Generator,
    *,
    neighbours: list[IntArray] | None = None,
    n_null: int = 1000,
) -> Agreement:
    """Test the agreement of two parcellations of the same vertices.

    Parcels are contiguous patches, so exchanging vertices makes any two parcellations look
    alike by comparison. When the mesh is known, the null are random contiguous parcels of the
    sizes of ``a``, regrown inside each connected part of the region.

    Parcels are also nearly mirror images on both hemispheres, so the hemispheres are no two
    independent pieces of evidence, and parcels regrown on each side by themselves would make
    any two symmetric parcellations look alike again. The null agreements of the parts are
    therefore added rank by rank, the best with the best: as they are when one side mirrors the
    other, and on the safe side when it does not.

    Parameters
    ----------
    a, b : (n_vertices,) ndarray of int
        Parcels; negative where there is none.
    rng : Generator
        Source of the null parcellations.
    neighbours : list of ndarray of int, optional
        Neighbours of each vertex, for the contiguous null.
    n_null : int
        Null parcellations.

    Returns
    -------
    Agreement
        The index, its null and p.
    """
    both = np.flatnonzero((a >= 0) & (b >= 0))
    ari = adjusted_rand(a, b)
    mine, theirs = a[both], b[both]
    if neighbours is None or not both.size:
        kind, observed = 'permutation', ari
        null = np.array([adjusted_rand(rng.permutation(mine), theirs) for _ in range(n_null)])
    else:
        kind, observed, null = 'contiguous', 0.0, np.zeros(n_null)
        position = np.full(len(a), -1)
        position[both] = np.arange(len(both))
        inside = [position[neighbours[v]] for v in both]
        inside = [row[row >= 0] for row in inside]
        for part in connected_parts(inside):
            share = len(part) / len(both)
            observed += share * adjusted_rand(mine[part], theirs[part])
            drawn = [regrow(mine, part, inside, rng) for _ in range(n_null)]
            # rank by rank, see above: the safe side where hemispheres are alike
            null += share * np.sort([adjusted_rand(labels, theirs[part]) for labels in drawn])
    # the observed partition is one of those that chance could have made
    p = (1 + int(np.sum(null >= observed - 1e-12))) / (n_null + 1)
    return Agreement(
        ari, observed, float(null.mean()), float(np.quantile(null, 0.95)), p, n_null, kind
    )


def regrow(
    labels: IntArray, part: IntArray, neighbours: list[IntArray], rng: np.random.Generator
) -> IntArray:
    """Return random contiguous parcels of one connected part, with the sizes of those given.

    Every parcel starts at a random vertex and grows by random neighbours to its size; vertices
    that are walled in go to the parcel that still lacks most.

    Parameters
    ----------
    labels : (n_vertices,) ndarray of int
        Parcels whose sizes are kept, all >= 0.
    part : (n,) ndarray of int
        The vertices of the part.
    neighbours : list of ndarray of int
        Neighbours of each vertex.
    rng : Generator
        Source of chance.

    Returns
    -------
    (n,) ndarray of int
        New parcels of the part's vertices.
    """
    new = np.full(len(labels), -1, dtype=np.int64)
    wanted = np.bincount(labels[part], minlength=int(labels.max()) + 1)
    _grow(new, part, wanted, neighbours, rng)
    return new[part]


def _grow(
    new: IntArray,
    part: IntArray,
    wanted: IntArray,
    neighbours: list[IntArray],
    rng: np.random.Generator,
) -> None:
    """Fill one connected part with parcels of the wanted sizes."""
    lacking = wanted.copy()
    present = np.flatnonzero(lacking)
    rims: dict[int, list[int]] = {
        int(label): [int(v)]
        for label, v in zip(present, rng.choice(part, len(present), replace=False), strict=True)
    }
    while any(rims.values()):
        for label, rim in rims.items():
            vertex = _take(rim, new, rng)
            if vertex is None:
                continue
            new[vertex] = label
            lacking[label] -= 1
            if lacking[label] == 0:
                rim.clear()
            else:
                rim.extend(int(v) for v in neighbours[vertex] if new[v] < 0)
    for vertex in part[new[part] < 0]:
        label = int(np.argmax(lacking))
        new[vertex] = label
        lacking[label] -= 1


def _take(rim: list[int], new: IntArray, rng: np.random.Generator) -> int | None:
    """Take a random vertex that nobody has yet from a rim."""
    while rim:
        i = int(rng.integers(len(rim)))
        rim[i], rim[-1] = rim[-1], rim[i]
        vertex = rim.pop()
        if new[vertex] < 0:
            return vertex
    return None


def connected_parts(neighbours: list[IntArray]) -> list[IntArray]:
    """Return the vertices of each connected component of a mesh.

    Parameters
    ----------
    neighbours : list of (degree,) ndarray of int
        Neighbours of each vertex, by position.

    Returns
    -------
    list of (size,) ndarray of int
        Positions in ascending order; an isolated vertex is a component of its own.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    n = len(neighbours)
    degrees = [len(row) for row in neighbours]
    rows = np.repeat(np.arange(n), degrees)
    columns = np.concatenate([*neighbours, np.empty(0, dtype=np.int64)]).astype(np.int64)
    graph = csr_array((np.ones(len(rows)), (rows, columns)), shape=(n, n))
    count, part = connected_components(graph, directed=False)
    return [np.flatnonzero(part == i) for i in range(count)]
