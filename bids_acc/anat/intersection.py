"""Where a triangle mesh passes through itself or through another one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from .geometry import Floats, Ints


def segments_hit_triangles(
    start: npt.ArrayLike, end: npt.ArrayLike, triangles: npt.ArrayLike, tolerance: float = 1e-9
) -> npt.NDArray[np.bool_]:
    """Tell which segments pass through their triangle.

    Möller and Trumbore (1997), J Graphics Tools 2:21-28, for one triangle per segment.

    Parameters
    ----------
    start, end : (n, 3) array_like
        Ends of the segments in mm.
    triangles : (n, 3, 3) array_like
        Corners in mm.
    tolerance : float
        Smallest absolute determinant for which the two are not taken for parallel.

    Returns
    -------
    (n,) ndarray of bool
        Parallel and coplanar pairs count as no hit.
    """
    start, end, triangles = (np.asarray(a, dtype=float) for a in (start, end, triangles))
    direction = end - start
    edge1, edge2 = triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    p = np.cross(direction, edge2)
    determinant = np.einsum('ij,ij->i', edge1, p)
    crossing = np.abs(determinant) > tolerance
    inverse = 1 / np.where(crossing, determinant, 1)
    offset = start - triangles[:, 0]
    u = np.einsum('ij,ij->i', offset, p) * inverse
    q = np.cross(offset, edge1)
    v = np.einsum('ij,ij->i', direction, q) * inverse
    t = np.einsum('ij,ij->i', edge2, q) * inverse
    return crossing & (u >= 0) & (v >= 0) & (u + v <= 1) & (t >= 0) & (t <= 1)


def _neighbouring_pairs(low: Floats, high: Floats, among: Ints | None) -> Ints:
    """Return each pair of boxes that may overlap once, from a tree of their centres.

    Few boxes are much larger than the others; they get a search of their own, so that it need
    not be wide for all.
    """
    centre, half = (low + high) / 2, (high - low).max(axis=1) / 2
    usual, largest = float(np.quantile(half, 0.99)), float(half.max())
    if among is not None:
        gap, _ = cKDTree(centre[among]).query(centre, p=np.inf, distance_upper_bound=2 * largest)
        close = np.flatnonzero(np.isfinite(gap))
        if len(close) < len(centre):
            return close[_neighbouring_pairs(low[close], high[close], None)]
    tree = cKDTree(centre)
    pairs = tree.query_pairs(2 * usual, p=np.inf, output_type='ndarray')
    extra = _pairs_of(tree, np.flatnonzero(half > usual), largest + half[half > usual])
    wide = np.abs(centre[extra[:, 0]] - centre[extra[:, 1]]).max(axis=1) > 2 * usual
    return np.concatenate([pairs, extra[wide]])


def _pairs_of(tree: cKDTree, some: Ints, reach: Floats) -> Ints:
    """Return each pair of points of which one is among some, within reach, once."""
    lists = tree.query_ball_point(tree.data[some], reach, p=np.inf)
    counts = np.array([len(item) for item in lists], dtype=np.int64)
    if not counts.sum():
        return np.empty((0, 2), dtype=np.int64)
    pairs = np.stack([np.repeat(some, counts), np.concatenate(lists).astype(np.int64)], axis=1)
    return np.unique(np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1), axis=0)


def _overlapping(pairs: Ints, low: Floats, high: Floats) -> Ints:
    """Keep the pairs whose boxes overlap."""
    for axis in range(3):
        a, b = pairs.T
        pairs = pairs[(low[a, axis] <= high[b, axis]) & (low[b, axis] <= high[a, axis])]
    return pairs


def _without_shared_vertices(pairs: Ints, faces: Ints) -> Ints:
    """Keep the pairs of faces that have no vertex in common."""
    a, b = pairs.T
    shared = np.zeros(len(pairs), dtype=bool)
    for i in range(3):
        for j in range(3):
            shared |= faces[a, i] == faces[b, j]
    return pairs[~shared]


def _straddling(pairs: Ints, corners: Floats) -> Ints:
    """Keep the pairs in which each triangle has corners on both sides of the other's plane."""
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    for one, other in ((0, 1), (1, 0)):
        a, b = pairs[:, one], pairs[:, other]
        height = np.einsum('nij,nj->ni', corners[b] - corners[a][:, :1], normals[a])
        pairs = pairs[~((height > 0).all(axis=1) | (height < 0).all(axis=1))]
    return pairs


def self_intersecting_faces(
    vertices: npt.ArrayLike, faces: npt.ArrayLike, among: npt.ArrayLike | None = None
) -> npt.NDArray[np.bool_]:
    """Tell which faces are pierced by an edge of a face they share no vertex with, or pierce one.

    Parameters
    ----------
    vertices : (n_vertices, 3) array_like
        Coordinates in mm.
    faces : (n_faces, 3) array_like of int
        Vertex indices.
    among : (n_faces,) array_like of bool, optional
        Look only at these faces and those near them.

    Returns
    -------
    (n_faces,) ndarray of bool
        True for both partners of each intersection.
    """
    vertices, faces = np.asarray(vertices, dtype=float), np.asarray(faces, dtype=np.int64)
    corners = vertices[faces]
    low, high = corners.min(axis=1), corners.max(axis=1)
    bad = np.zeros(len(faces), dtype=bool)
    some = None if among is None else np.flatnonzero(among)
    if some is not None and not len(some):
        return bad
    pairs = _overlapping(_neighbouring_pairs(low, high, some), low, high)
    pairs = _straddling(_without_shared_vertices(pairs, faces), corners)
    for first, second in (pairs.T, pairs[:, ::-1].T):
        for i, j in ((0, 1), (1, 2), (2, 0)):
            hit = segments_hit_triangles(corners[first, i], corners[first, j], corners[second])
            bad[first[hit]] = True
            bad[second[hit]] = True
    return bad
