"""Where a triangle mesh passes through itself or through another one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from bids_acc.typing import BoolArray, FloatArray, IntArray

TIERS = (0.3, 0.6, 0.85, 0.97, 0.998)
"""Shares of the faces, by size, at which a tier ends."""


def segments_hit_triangles(
    start: npt.ArrayLike, end: npt.ArrayLike, triangles: npt.ArrayLike, tolerance: float = 1e-9
) -> BoolArray:
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
    # A segment in the triangle's own plane has no one point in common with it.
    crossing = np.abs(determinant) > tolerance
    inverse = 1 / np.where(crossing, determinant, 1)
    offset = start - triangles[:, 0]
    u = np.einsum('ij,ij->i', offset, p) * inverse
    q = np.cross(offset, edge1)
    v = np.einsum('ij,ij->i', direction, q) * inverse
    t = np.einsum('ij,ij->i', edge2, q) * inverse
    return np.asarray(crossing & (u >= 0) & (v >= 0) & (u + v <= 1) & (t >= 0) & (t <= 1))


def _neighbouring_pairs(low: FloatArray, high: FloatArray, among: IntArray | None) -> IntArray:
    """Return each pair of boxes that may overlap once, from trees of their centres.

    Boxes are sorted into tiers of like size, each with a tree of its own, so that few large
    boxes do not make the search wide for all.
    """
    centre, half = (low + high) / 2, (high - low).max(axis=1) / 2
    if among is not None:
        reach = 2 * float(half.max())
        gap, _ = cKDTree(centre[among]).query(centre, p=np.inf, distance_upper_bound=reach)
        close = np.flatnonzero(np.isfinite(gap))
        # Without `among` in the second call nothing is left out again, so that this ends.
        if len(close) < len(centre):
            return close[_neighbouring_pairs(low[close], high[close], None)]
    tier = np.searchsorted(np.quantile(half, TIERS), half)
    members = [np.flatnonzero(tier == k) for k in range(len(TIERS) + 1)]
    trees = [(m, cKDTree(centre[m]), float(half[m].max())) for m in members if len(m)]
    found = []
    for index, (one, tree, size) in enumerate(trees):
        found.append(one[tree.query_pairs(2 * size, p=np.inf, output_type='ndarray')])
        for other, other_tree, other_size in trees[:index]:
            near = tree.sparse_distance_matrix(
                other_tree, size + other_size, p=np.inf, output_type='ndarray'
            )
            found.append(np.stack([one[near['i']], other[near['j']]], axis=1))
    return np.concatenate(found)


def _overlapping(pairs: IntArray, low: FloatArray, high: FloatArray) -> IntArray:
    """Keep the pairs whose boxes overlap."""
    for axis in range(3):
        a, b = pairs.T
        pairs = pairs[(low[a, axis] <= high[b, axis]) & (low[b, axis] <= high[a, axis])]
    return pairs


def _without_shared_vertices(pairs: IntArray, faces: IntArray) -> IntArray:
    """Keep the pairs of faces that have no vertex in common."""
    a, b = pairs.T
    shared = np.zeros(len(pairs), dtype=bool)
    for i in range(3):
        for j in range(3):
            shared |= faces[a, i] == faces[b, j]
    return np.asarray(pairs[~shared])


def _straddling(pairs: IntArray, corners: FloatArray) -> IntArray:
    """Keep the pairs in which each triangle has corners on both sides of the other's plane."""
    # Two products of vectors tell most pairs apart, before segments are cut with triangles.
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    for one, other in ((0, 1), (1, 0)):
        a, b = pairs[:, one], pairs[:, other]
        height = np.einsum('nij,nj->ni', corners[b] - corners[a][:, :1], normals[a])
        pairs = pairs[~((height > 0).all(axis=1) | (height < 0).all(axis=1))]
    return pairs


def self_intersecting_faces(
    vertices: npt.ArrayLike, faces: npt.ArrayLike, among: npt.ArrayLike | None = None
) -> BoolArray:
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
