"""Thickness and smoothing on a mesh."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.spatial import cKDTree

from bids_acc.typing import FloatArray, IntArray


def point_triangle_distance2(points: FloatArray, triangles: FloatArray) -> FloatArray:
    """Return the squared distance between each point and its triangle.

    Ericson (2005), Real-Time Collision Detection, section 5.1.5: the region of the triangle in
    which the nearest point lies (corner, edge or inside) decides.

    Parameters
    ----------
    points : (n, 3) ndarray
        In mm.
    triangles : (n, 3, 3) ndarray
        Corners in mm.

    Returns
    -------
    (n,) ndarray
        In mm2.
    """
    a, b, c = triangles[:, 0], triangles[:, 1], triangles[:, 2]
    ab, ac, ap = b - a, c - a, points - a
    aa, bb, ab_ac = _dot(ab, ab), _dot(ac, ac), _dot(ab, ac)
    pa, pb = _dot(ap, ab), _dot(ap, ac)
    # A triangle without area has no inside; its edges still have a distance.
    determinant = np.maximum(aa * bb - ab_ac**2, 1e-30)
    s = (bb * pa - ab_ac * pb) / determinant
    t = (aa * pb - ab_ac * pa) / determinant
    inside = (s >= 0) & (t >= 0) & (s + t <= 1)
    plane = ap - s[:, None] * ab - t[:, None] * ac
    edges = np.minimum.reduce(
        [_segment_distance2(points, u, v) for u, v in ((a, b), (b, c), (c, a))]
    )
    return np.where(inside, _dot(plane, plane), edges)


def _dot(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the dot product of each pair of rows."""
    return np.asarray(np.einsum('ij,ij->i', a, b))


def _segment_distance2(points: FloatArray, start: FloatArray, end: FloatArray) -> FloatArray:
    """Return the squared distance between each point and its segment."""
    along = end - start
    position = _dot(points - start, along) / np.maximum(_dot(along, along), 1e-30)
    gap = points - start - np.clip(position, 0, 1)[:, None] * along
    return _dot(gap, gap)


def _faces_around(faces: IntArray, n_vertices: int) -> IntArray:
    """Return the faces around each vertex, padded by repeating the first one."""
    order = np.argsort(faces.ravel(), kind='stable')
    owner = faces.ravel()[order]
    counts = np.bincount(owner, minlength=n_vertices)
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    # Padded to the most faces that any vertex has (six or so on an icosahedral mesh), so that all
    # vertices are searched at once; a face that comes twice changes no minimum.
    slot = np.arange(max(int(counts.max()), 1))
    index = first[:, None] + np.where(slot < counts[:, None], slot, 0)
    return np.asarray((order // 3)[np.minimum(index, len(order) - 1)])


def distance_to_surface(
    points: npt.ArrayLike, vertices: npt.ArrayLike, faces: npt.ArrayLike, n_nearest: int = 2
) -> FloatArray:
    """Return the distance between points and a surface, not only its vertices.

    The triangles around the nearest vertices are searched, which is exact unless triangles are
    far longer than wide.

    Parameters
    ----------
    points : (n_points, 3) array_like
        In mm.
    vertices : (n_vertices, 3) array_like
        In mm.
    faces : (n_faces, 3) array_like of int
        Vertex indices; each vertex must lie in at least one face.
    n_nearest : int
        How many of the nearest vertices' faces are searched.

    Returns
    -------
    (n_points,) ndarray
        In mm.

    Examples
    --------
    >>> square = [[0, 0, 0], [9, 0, 0], [9, 9, 0], [0, 9, 0]]
    >>> distance_to_surface([[5, 4, 1.5]], square, [[0, 1, 2], [0, 2, 3]])
    array([1.5])
    """
    points, vertices = np.asarray(points, dtype=float), np.asarray(vertices, dtype=float)
    faces = np.asarray(faces, dtype=np.int64)
    around = _faces_around(faces, len(vertices))
    _, nearest = cKDTree(vertices).query(points, k=min(n_nearest, len(vertices)))
    nearest = np.asarray(nearest).reshape(len(points), -1)
    best = np.full(len(points), np.inf)
    for column in nearest.T:
        for candidate in around[column].T:
            distance2 = point_triangle_distance2(points, vertices[faces[candidate]])
            # Squared until the end: one root for a point, and not one for each triangle.
            np.minimum(best, distance2, out=best)
    return np.asarray(np.sqrt(best))


def symmetric_thickness(
    white: npt.ArrayLike, pial: npt.ArrayLike, faces: npt.ArrayLike
) -> FloatArray:
    """Return the mean of the distances white vertex to pial surface and the other way.

    Fischl and Dale (2000), PNAS 97:11050-11055, https://doi.org/10.1073/pnas.200033797. The
    distance between the two ends of a vertex pair would overstate it wherever the pair stands
    obliquely.

    Parameters
    ----------
    white, pial : (n_vertices, 3) array_like
        Coordinates in mm; the same index is the same place.
    faces : (n_faces, 3) array_like of int
        Vertex indices, for both surfaces.

    Returns
    -------
    (n_vertices,) ndarray
        Thickness in mm.
    """
    outward = distance_to_surface(white, pial, faces)
    inward = distance_to_surface(pial, white, faces)
    return (outward + inward) / 2


def spread_on_mesh(
    values: npt.ArrayLike,
    vertices: npt.ArrayLike,
    mean_of_neighbours: sparse.csr_array,
    fwhm: float,
) -> FloatArray:
    r"""Spread values along the mesh as a Gaussian of some width does.

    Repeated averages with the neighbours: each one adds half of the mean squared edge length
    :math:`\ell^2` to the variance, so
    :math:`n = (\mathrm{FWHM}^2 / 8 \ln 2) / (\ell^2 / 4)` of them, half own and half
    neighbours' value, give the wanted width in each of the two directions.

    Parameters
    ----------
    values : (n_vertices, ...) array_like
        Finite values.
    vertices : (n_vertices, 3) array_like
        Coordinates in mm.
    mean_of_neighbours : (n_vertices, n_vertices) csr_array
        See `bids_acc.surfaces.neighbours.neighbour_mean`.
    fwhm : float
        Full width at half maximum in mm; zero changes nothing.

    Returns
    -------
    (n_vertices, ...) ndarray
        Averages.
    """
    spread: FloatArray = np.asarray(values, dtype=float)
    vertices = np.asarray(vertices, dtype=float)
    links = mean_of_neighbours.tocoo()
    squared = ((vertices[links.row] - vertices[links.col]) ** 2).sum(axis=1).mean()
    for _ in range(round(fwhm**2 / (8 * np.log(2)) / (squared / 4))):
        spread = (spread + mean_of_neighbours @ spread) / 2
    return spread


def smooth_on_mesh(
    values: npt.ArrayLike,
    vertices: npt.ArrayLike,
    mean_of_neighbours: sparse.csr_array,
    fwhm: float,
) -> FloatArray:
    """Smooth values along the mesh; NaN stays NaN and gives nothing to its neighbours.

    Parameters
    ----------
    values : (n_vertices,) array_like
        Values, NaN where undefined.
    vertices : (n_vertices, 3) array_like
        Coordinates in mm.
    mean_of_neighbours : (n_vertices, n_vertices) csr_array
        See `bids_acc.surfaces.neighbours.neighbour_mean`.
    fwhm : float
        Full width at half maximum in mm; zero changes nothing.

    Returns
    -------
    (n_vertices,) ndarray
        Smoothed values.
    """
    values = np.asarray(values, dtype=float)
    defined = np.isfinite(values)
    sums = np.stack([np.where(defined, values, 0.0), defined], axis=1)
    total, weight = spread_on_mesh(sums, vertices, mean_of_neighbours, fwhm).T
    smooth = np.divide(total, weight, out=np.full(len(values), np.nan), where=weight > 0)
    return np.where(defined, smooth, np.nan)
