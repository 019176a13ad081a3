"""Group contrasts at every vertex, with threshold-free cluster enhancement and permutations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from bids_acc.typing import BoolArray, FloatArray, IntArray

EXTENT_POWER, HEIGHT_POWER = 1.0, 2.0
"""Exponents of extent and height for data on a surface, which has two dimensions: those of
``randomise --T2`` and of PALM's ``-tfce2D`` (Smith SM, Nichols TE 2009, NeuroImage 44:83-98,
doi:10.1016/j.neuroimage.2008.03.061; 0.5 and 2 there are for volumes)."""
STEP = 0.1
"""Distance of the thresholds in units of t: the same in all permutations."""


@dataclass(frozen=True)
class Mesh:
    """Vertices that are analysed: which are neighbours, and how large they are."""

    edges: IntArray
    """(n_edges, 2) Positions of neighbours, each pair once."""
    areas: FloatArray
    """(n_vertices,) Area of each vertex; its mean is 1, so that extents count vertices."""

    @classmethod
    def of(cls, neighbours: Sequence[IntArray], areas: FloatArray | None = None) -> Mesh:
        """Build a mesh from the neighbours of each vertex.

        Parameters
        ----------
        neighbours : sequence of ndarray of int
            Positions of the neighbours of each vertex.
        areas : (n_vertices,) ndarray of float64, optional
            Any unit; without, all vertices are as large.
        """
        n = len(neighbours)
        first = np.repeat(np.arange(n), [len(row) for row in neighbours])
        second = np.concatenate([*neighbours, np.empty(0, dtype=np.int64)]).astype(np.int64)
        once = first < second
        size = np.ones(n) if areas is None else areas / areas.mean()
        return cls(np.column_stack([first[once], second[once]]), size)


def components(mesh: Mesh, inside: BoolArray) -> IntArray:
    """Return the number of the connected component of each vertex; -1 outside.

    Parameters
    ----------
    mesh : Mesh
        Neighbours.
    inside : (n_vertices,) ndarray of bool
        Vertices that count.
    """
    a, b = mesh.edges[inside[mesh.edges].all(axis=1)].T
    labels = np.full(len(inside), -1)
    labels[inside] = _labels_of(a, b, inside)
    return labels


def _labels_of(a: IntArray, b: IntArray, inside: BoolArray) -> IntArray:
    """Return the component of each vertex inside, whose edges are given."""
    position = np.cumsum(inside) - 1
    n = int(position[-1]) + 1 if len(position) else 0
    graph = sparse.coo_array((np.ones(len(a), np.int8), (position[a], position[b])), shape=(n, n))
    labels: IntArray = csgraph.connected_components(graph, directed=False)[1].astype(np.int64)
    return labels


def enhance(values: FloatArray, mesh: Mesh, step: float = STEP) -> FloatArray:
    r"""Return the threshold-free cluster enhancement of a map, positive and negative apart.

    .. math:: \mathrm{TFCE}(v) = \sum_{h \le |t_v|} e_v(h)^E\, h^H\, \Delta h

    where :math:`e_v(h)` is the area of the connected component of the vertices of the same sign
    with :math:`|t| \ge h` that holds v.

    Parameters
    ----------
    values : (n_vertices,) ndarray of float64
        Map of t.
    mesh : Mesh
        Neighbours.
    step : float
        Distance of the thresholds.

    Returns
    -------
    (n_vertices,) ndarray of float64
        With the signs of ``values``.

    Examples
    --------
    A single vertex of 1 counts the thresholds 0.5 and 1: (0.25 + 1) x 0.5.

    >>> mesh = Mesh.of([np.array([1]), np.array([0])])
    >>> enhance(np.array([1.0, -0.2]), mesh, step=0.5)
    array([0.625, 0.   ])
    """
    result = np.zeros(len(values))
    for sign in (1.0, -1.0):
        height = sign * values
        lower = height[mesh.edges].min(axis=1)
        # edges below the first threshold never join anything
        used = lower >= step
        edges, lower = mesh.edges[used], lower[used]
        order = np.argsort(-lower, kind='stable')
        a, b = edges[order].T
        lower = -lower[order]
        # A vertex of 0.3 must count at the third threshold of 0.1, whatever rounding says.
        for i in range(1, int(height.max(initial=0.0) / step + 1e-9) + 1):
            threshold = i * step - 1e-9
            inside = height >= threshold
            n = int(np.searchsorted(lower, -threshold, side='right'))
            labels = _labels_of(a[:n], b[:n], inside)
            extent = np.bincount(labels, weights=mesh.areas[inside]) ** EXTENT_POWER
            result[inside] += sign * extent[labels] * (i * step) ** HEIGHT_POWER * step
    return result


@dataclass(frozen=True)
class VertexContrast:
    """A contrast of a linear model at every vertex."""

    t: FloatArray
    """(n_vertices,) Statistic."""
    estimate: FloatArray
    """(n_vertices,) Contrast in the unit of the data."""
    enhanced: FloatArray
    """(n_vertices,) Threshold-free cluster enhancement of t, signed."""
    p: FloatArray
    """(n_vertices,) Two-sided, corrected for all vertices (family-wise error)."""
    df: int
    """Residual degrees of freedom."""
    null: FloatArray
    """(n_permutations,) Largest absolute enhancement of each permutation."""


def contrast_at_vertices(
    Y: FloatArray, X: FloatArray, mesh: Mesh, n_permutations: int, rng: np.random.Generator
) -> VertexContrast:
    """Test the first column of a design at every vertex, family-wise over all vertices.

    The residuals of the model without the column are exchanged between people (Freedman and
    Lane 1983), all vertices of a person together; the largest absolute enhancement of each
    exchange gives the distribution that every vertex is compared with.

    Parameters
    ----------
    Y : (n, n_vertices) ndarray of float64
        Data without missing values.
    X : (n, p) ndarray of float64
        Design; the first column is the one that is tested
        (`bids_acc.group.formulas.permutation.contrast_first`).
    mesh : Mesh
        Neighbours of the vertices.
    n_permutations : int
        Exchanges; the observed order counts as one more.
    rng : Generator
        Source of the exchanges.

    References
    ----------
    Winkler AM, et al. (2014). NeuroImage 92:381-397. doi:10.1016/j.neuroimage.2014.01.060
    Freedman D, Lane D (1983). J Bus Econ Stat 1:292-298. doi:10.1080/07350015.1983.10509354
    """
    n, p = X.shape
    basis = np.linalg.qr(X[:, 1:])[0]
    tested = X[:, 0] - basis @ (basis.T @ X[:, 0])
    length = float(np.linalg.norm(tested))
    tested = tested / length
    residuals = Y - basis @ (basis.T @ Y)
    total = (residuals**2).sum(axis=0)
    both = np.column_stack([tested, basis])
    df = n - p

    def statistic(order: IntArray) -> FloatArray:
        # Exchanging the rows of the few columns is exchanging those of all vertices back.
        parts = both[order].T @ residuals
        left = total - (parts**2).sum(axis=0)
        # the residual variance belongs to each exchange: with that of the observed order the
        # statistic would not be pivotal
        t: FloatArray = parts[0] / np.sqrt(np.maximum(left, 1e-300) / df)
        return t

    t = statistic(np.arange(n))
    enhanced = enhance(t, mesh)
    null = np.array([
        np.abs(enhance(statistic(rng.permutation(n)), mesh)).max() for _ in range(n_permutations)
    ])  # fmt: skip
    ordered = np.sort(null)
    # Ties with the observed map count as reached.
    reached = n_permutations - np.searchsorted(ordered, np.abs(enhanced) * (1 - 1e-9), side='left')
    return VertexContrast(
        t=t, estimate=(tested @ residuals) / length, enhanced=enhanced,
        p=(reached + 1) / (n_permutations + 1), df=df, null=null,
    )  # fmt: skip
