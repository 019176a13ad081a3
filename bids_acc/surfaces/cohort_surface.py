"""The mean surface of a cohort on a mesh whose vertices correspond, and its inflated form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bids_acc.surfaces.geometry import vertex_normals
from bids_acc.surfaces.neighbours import neighbour_mean
from bids_acc.typing import BoolArray, FloatArray, IntArray

INFLATION_STEPS = 300
"""How often vertices are moved to the mean of their neighbours for pictures: own convention."""


@dataclass(frozen=True)
class MeanSurface:
    """Mean mid-surface of one hemisphere."""

    vertices: FloatArray
    """(n_vertices, 3) in mm; the centre at zero, turned as the first subject's."""
    faces: IntArray
    """(n_faces, 3), wound outwards."""


def mean_surface(meshes: Sequence[FloatArray], faces: IntArray) -> MeanSurface:
    """Average surfaces vertex by vertex after they were turned onto the first one.

    Turning is rigid (Kabsch 1976, Acta Cryst A32:922, doi:10.1107/S0567739476001873). What is
    not common to all folds is averaged out, so that the mean's size is that of all: it is scaled
    to the mean area of the subjects' by its edges.

    Parameters
    ----------
    meshes : sequence of (n_vertices, 3) ndarray
        Vertices that correspond, mm.
    faces : (n_faces, 3) ndarray of int
    """
    first = meshes[0] - meshes[0].mean(axis=0)
    turned = [_turned(points - points.mean(axis=0), first) for points in meshes]
    mean = np.mean(turned, axis=0)
    edges = np.vstack([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    wanted = np.mean([_edge_length(points, edges) for points in turned])
    return MeanSurface(mean * wanted / _edge_length(mean, edges), faces)


def _turned(points: FloatArray, onto: FloatArray) -> FloatArray:
    """Turn centred points onto others without mirroring them."""
    left, _, right = np.linalg.svd(points.T @ onto)
    # The best orthogonal matrix may be a reflection; the axis of least agreement is turned back.
    sign = np.diag([1.0, 1.0, np.sign(np.linalg.det(left @ right))])
    return np.asarray(points @ left @ sign @ right)


def _edge_length(points: FloatArray, edges: IntArray) -> float:
    """Return the root mean square length of the edges."""
    return float(np.sqrt(((points[edges[:, 0]] - points[edges[:, 1]]) ** 2).sum(axis=1).mean()))


def inflated(surface: MeanSurface, length_mm: float = 170.0) -> tuple[FloatArray, BoolArray]:
    """Smooth a surface until sulci are seen, for pictures.

    Parameters
    ----------
    surface : MeanSurface
    length_mm : float
        How long the result is from back to front.

    Returns
    -------
    vertices : (n_vertices, 3) ndarray
        In mm, the centre at zero.
    sulcus : (n_vertices,) ndarray of bool
        The half of the vertices that lay deepest below what the surface was smoothed to.
    """
    links = neighbour_mean(surface.faces, len(surface.vertices))
    points = surface.vertices
    for _ in range(INFLATION_STEPS):
        points = links @ points
    grown = points * np.sqrt(_area_ratio(surface, points))
    depth = np.einsum('ij,ij->i', surface.vertices - grown, vertex_normals(grown, surface.faces))
    points = points - (points.max(axis=0) + points.min(axis=0)) / 2
    return points * (length_mm / np.ptp(points[:, 1])), depth < np.median(depth)


def _area_ratio(surface: MeanSurface, points: FloatArray) -> float:
    """Return how much larger the hull of the surface is than that of the smoothed points."""

    def size(values: FloatArray) -> float:
        return float(np.prod(np.ptp(values, axis=0)) ** (2 / 3))

    return size(surface.vertices) / size(points)
