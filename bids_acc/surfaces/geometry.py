"""Triangle meshes as arrays: areas, normals, neighbours, subdivision and smoothing.

A mesh is a pair ``vertices`` (n_vertices, 3) in mm and ``faces`` (n_faces, 3) of vertex indices,
wound so that normals point away from the enclosed volume.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import sparse

from bids_acc.surfaces.neighbours import edges_as_met
from bids_acc.typing import FloatArray, IntArray


def face_areas(vertices: npt.ArrayLike, faces: npt.ArrayLike) -> FloatArray:
    """Return the area of each triangle.

    Parameters
    ----------
    vertices : (n_vertices, 3) array_like
        Coordinates in mm.
    faces : (n_faces, 3) array_like of int
        Vertex indices.

    Returns
    -------
    (n_faces,) ndarray
        Areas in mm2.

    Examples
    --------
    >>> face_areas([[0, 0, 0], [2, 0, 0], [0, 2, 0]], [[0, 1, 2]])
    array([2.])
    """
    return np.asarray(0.5 * np.linalg.norm(_face_cross(vertices, faces), axis=1))


def _face_cross(vertices: npt.ArrayLike, faces: npt.ArrayLike) -> FloatArray:
    """Return the cross product of two edges of each face: twice its area, along its normal."""
    corners = np.asarray(vertices, dtype=float)[np.asarray(faces)]
    return np.asarray(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]))


def _add_at_vertices(faces: IntArray, values: FloatArray, n_vertices: int) -> FloatArray:
    """Add the value of each face to its three vertices."""
    columns = [
        np.bincount(faces.ravel(), weights=np.repeat(column, 3), minlength=n_vertices)
        for column in np.atleast_2d(values.T)
    ]
    stacked: FloatArray = np.stack(columns, axis=-1).astype(float)
    return stacked if values.ndim > 1 else stacked[:, 0]


def vertex_areas(vertices: npt.ArrayLike, faces: npt.ArrayLike) -> FloatArray:
    """Return a third of the area of the triangles around each vertex.

    The sum over all vertices is the area of the mesh.

    Parameters
    ----------
    vertices : (n_vertices, 3) array_like
        Coordinates in mm.
    faces : (n_faces, 3) array_like of int
        Vertex indices.

    Returns
    -------
    (n_vertices,) ndarray
        Areas in mm2.
    """
    faces = np.asarray(faces)
    return _add_at_vertices(faces, face_areas(vertices, faces) / 3, len(np.asarray(vertices)))


def vertex_normals(vertices: npt.ArrayLike, faces: npt.ArrayLike) -> FloatArray:
    """Return outward unit normals at the vertices, weighted by the area of the faces around.

    Parameters
    ----------
    vertices : (n_vertices, 3) array_like
        Coordinates in mm.
    faces : (n_faces, 3) array_like of int
        Vertex indices.

    Returns
    -------
    (n_vertices, 3) ndarray
        Unit vectors; zero where all faces around a vertex are degenerate.
    """
    faces = np.asarray(faces)
    # The cross product is already weighted: its length is twice the area of the face.
    normals = _add_at_vertices(faces, _face_cross(vertices, faces), len(np.asarray(vertices)))
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.asarray(np.divide(normals, length, out=np.zeros_like(normals), where=length > 0))


def enclosed_volume(vertices: npt.ArrayLike, faces: npt.ArrayLike) -> float:
    """Return the signed volume inside a closed mesh in mm3 (divergence theorem).

    Negative when the faces are wound inwards.

    Parameters
    ----------
    vertices : (n_vertices, 3) array_like
        mm, in any frame: of a closed mesh the origin does not matter.
    faces : (n_faces, 3) array_like of int
        Indices of vertices.
    """
    corners = np.asarray(vertices, dtype=float)[np.asarray(faces)]
    # Each face and the origin make a tetrahedron of signed volume; what lies outside the mesh is
    # counted once with either sign. The origin may lie anywhere.
    triple = np.einsum('ij,ij->i', corners[:, 0], np.cross(corners[:, 1], corners[:, 2]))
    return float(triple.sum() / 6)


def prism_volumes(white: npt.ArrayLike, pial: npt.ArrayLike, faces: npt.ArrayLike) -> FloatArray:
    r"""Return the volume between each white triangle and its pial one.

    The two triangles and three sides between them enclose a prism. A side is the bilinear patch
    through its four corners, which two prisms share, so that nothing is counted twice. By the
    divergence theorem, with the corners A, B, C (white) and D, E, F (pial), winding outwards,

    .. math::
        V = \tfrac16 [\det(D,E,F) - \det(A,B,C) + Q(A,B,E,D) + Q(B,C,F,E) + Q(C,A,D,F)],

    .. math::
        Q(a,b,c,d) = \tfrac12 [\det(a,b,c)+\det(a,c,d)+\det(a,b,d)+\det(b,c,d)]:

    the flux through a bilinear patch is the mean of those through its two triangulations (own
    derivation; exact on a prism, a frustum and in the limit on a spherical shell).

    Parameters
    ----------
    white, pial : (n_vertices, 3) array_like
        Coordinates in mm; the same index is the same place.
    faces : (n_faces, 3) array_like of int
        Vertex indices, wound outwards.

    Returns
    -------
    (n_faces,) ndarray
        In mm3; negative where the pial triangle lies inside the white one.

    Examples
    --------
    >>> low = [[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]
    >>> high = [[0.0, 0, 2], [1, 0, 2], [0, 1, 2]]
    >>> prism_volumes(low, high, [[0, 1, 2]]).round(12)
    array([1.])
    """
    faces = np.asarray(faces, dtype=np.int64)
    inner = np.asarray(white, dtype=float)[faces]
    outer = np.asarray(pial, dtype=float)[faces]
    middle = (inner + outer).mean(axis=1, keepdims=True) / 2  # far from it, digits are lost
    a, b, c = np.moveaxis(inner - middle, 1, 0)
    d, e, f = np.moveaxis(outer - middle, 1, 0)
    sides = _patch_flux(a, b, e, d) + _patch_flux(b, c, f, e) + _patch_flux(c, a, d, f)
    return (_det(d, e, f) - _det(a, b, c) + sides) / 6


def _det(a: FloatArray, b: FloatArray, c: FloatArray) -> FloatArray:
    """Return the determinant of three vectors in each row."""
    return np.asarray(np.einsum('ij,ij->i', a, np.cross(b, c)))


def _patch_flux(a: FloatArray, b: FloatArray, c: FloatArray, d: FloatArray) -> FloatArray:
    """Return six times the volume of the cone from the origin over a bilinear patch."""
    return (_det(a, b, c) + _det(a, c, d) + _det(a, b, d) + _det(b, c, d)) / 2


def vertex_volumes(white: npt.ArrayLike, pial: npt.ArrayLike, faces: npt.ArrayLike) -> FloatArray:
    """Return a third of the volume of the prisms around each vertex, see `prism_volumes`.

    Parameters
    ----------
    white, pial : (n_vertices, 3) array_like
        Coordinates in mm.
    faces : (n_faces, 3) array_like of int
        Vertex indices.

    Returns
    -------
    (n_vertices,) ndarray
        In mm3; the sum is the volume between the surfaces.
    """
    faces = np.asarray(faces, dtype=np.int64)
    return _add_at_vertices(faces, prism_volumes(white, pial, faces) / 3, len(np.asarray(white)))


def subdivide(faces: npt.ArrayLike, *fields: npt.ArrayLike) -> tuple[IntArray, list[FloatArray]]:
    """Split each triangle into four at the midpoints of its edges.

    The old vertices keep their indices; midpoints follow in the order of `edges_as_met`. A
    mesh with fsaverage5's faces (10,242 vertices) becomes one with fsaverage6's vertices (40,962).

    Parameters
    ----------
    faces : (n_faces, 3) array_like of int
        Vertex indices.
    *fields : (n_vertices, ...) array_like
        Coordinates or values at the vertices; midpoints get the mean of the two ends.

    Returns
    -------
    new_faces : (4 n_faces, 3) ndarray of int
        Faces of the finer mesh, wound as before.
    new_fields : list of (n_vertices + n_edges, ...) ndarray
        The fields on the finer mesh.

    Examples
    --------
    >>> faces, (x,) = subdivide([[0, 1, 2]], [[0.0, 0], [2, 0], [0, 2]])
    >>> len(faces), x[3].tolist()
    (4, [0.0, 1.0])
    """
    faces = np.asarray(faces, dtype=np.int64)
    n_vertices = len(np.asarray(fields[0])) if fields else int(faces.max()) + 1
    edges = edges_as_met(faces)
    key = edges[:, 0] * n_vertices + edges[:, 1]
    by_key = np.argsort(key)

    def midpoint(a: IntArray, b: IntArray) -> IntArray:
        wanted = np.minimum(a, b) * n_vertices + np.maximum(a, b)
        return np.asarray(n_vertices + by_key[np.searchsorted(key, wanted, sorter=by_key)])

    a, b, c = faces.T
    ab, bc, ca = midpoint(a, b), midpoint(b, c), midpoint(c, a)
    new_faces = np.concatenate(
        [np.stack(t, axis=1) for t in ((a, ab, ca), (b, bc, ab), (c, ca, bc), (ab, bc, ca))]
    )
    values = [np.asarray(field, dtype=float) for field in fields]
    return new_faces, [np.concatenate([v, v[edges].mean(axis=1)]) for v in values]


def gathered(values: npt.ArrayLike, faces: npt.ArrayLike, n_vertices: int) -> FloatArray:
    """Bring what vertices hold, such as area, from a subdivided mesh back to the first vertices.

    Each midpoint gives half of what it holds to either end of its edge, so the sum stays.

    Parameters
    ----------
    values : (n_vertices + n_edges,) array_like
        On the finer mesh of `subdivide`.
    faces : (n_faces, 3) array_like of int
        Vertex indices of the coarser mesh.
    n_vertices : int
        Of the coarser mesh.

    Returns
    -------
    (n_vertices,) ndarray
        On the coarser mesh.

    Examples
    --------
    >>> gathered([1.0, 1, 1, 4, 2, 2], [[0, 1, 2]], 3).tolist()
    [4.0, 3.0, 4.0]
    """
    values = np.asarray(values, dtype=float)
    halves = np.repeat(values[n_vertices:] / 2, 2)
    ends = edges_as_met(faces).ravel()
    return values[:n_vertices] + np.bincount(ends, weights=halves, minlength=n_vertices)


def smooth_displacement(
    target: npt.ArrayLike,
    weight: npt.ArrayLike,
    mean_of_neighbours: sparse.csr_array,
    stiffness: float,
    n_iterations: int = 40,
) -> FloatArray:
    r"""Find the smooth field that follows weighted targets.

    Jacobi iterations of
    :math:`(\mathrm{diag}(w) + \lambda (I - A))\, d = w \odot t`, where :math:`A` takes the mean
    of the neighbours: where the weight is zero the field is carried over from around.

    Parameters
    ----------
    target : (n_vertices, ...) array_like
        Wanted values :math:`t`; not read where the weight is zero.
    weight : (n_vertices,) array_like
        Confidence :math:`w \ge 0`.
    mean_of_neighbours : (n_vertices, n_vertices) csr_array
        See `bids_acc.surfaces.neighbours.neighbour_mean`.
    stiffness : float
        :math:`\lambda \ge 0`; the field is smoothed over about :math:`\sqrt\lambda` edges.
    n_iterations : int
        Number of iterations.

    Returns
    -------
    (n_vertices, ...) ndarray
        The field :math:`d`.
    """
    weight = np.asarray(weight, dtype=float)
    target = np.asarray(target, dtype=float)
    weight = weight.reshape(weight.shape + (1,) * (target.ndim - 1))
    pull = np.where(weight > 0, weight * np.where(weight > 0, target, 0), 0)
    denominator = np.maximum(weight + stiffness, 1e-9)
    field: FloatArray = pull / denominator
    for _ in range(n_iterations):
        field = (pull + stiffness * (mean_of_neighbours @ field)) / denominator
    return field
