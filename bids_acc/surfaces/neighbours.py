"""Which vertices of a mesh are neighbours."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import sparse

from bids_acc.typing import IntArray


def unique_edges(faces: npt.ArrayLike) -> IntArray:
    """Return each edge once, as a sorted pair, in lexicographic order.

    Parameters
    ----------
    faces : (n_faces, 3) array_like of int
        Vertex indices.

    Returns
    -------
    (n_edges, 2) ndarray of int
        Vertex indices.
    """
    faces = np.asarray(faces, dtype=np.int64)
    edges = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    return np.unique(edges, axis=0)


def edges_as_met(faces: npt.ArrayLike) -> IntArray:
    """List each edge once, in the order in which a walk over the faces meets it.

    FreeSurfer numbers the midpoints of its icosahedral meshes so: of each face it takes the edges
    first-second, second-third, third-first. Its faces are wound inwards, ours outwards (the same
    three vertices read as first, third, second), hence the order third-first, second-third,
    first-second here. All 30,720 midpoints of fsaverage5 get the numbers that they have in
    fsaverage6 (compared by position on the sphere).

    Parameters
    ----------
    faces : (n_faces, 3) array_like of int
        Vertex indices, wound outwards.

    Returns
    -------
    (n_edges, 2) ndarray of int
        The smaller index first.

    Examples
    --------
    >>> edges_as_met([[0, 2, 1], [2, 0, 3]]).tolist()
    [[0, 1], [1, 2], [0, 2], [2, 3], [0, 3]]
    """
    faces = np.asarray(faces, dtype=np.int64)
    met = np.sort(faces[:, [[2, 0], [1, 2], [0, 1]]].reshape(-1, 2), axis=1)
    _, first = np.unique(met, axis=0, return_index=True)
    return met[np.sort(first)]


def adjacency(faces: npt.ArrayLike, n_vertices: int) -> sparse.csr_array:
    """Return the symmetric matrix that is one where two vertices share an edge.

    Parameters
    ----------
    faces : (n_faces, 3) array_like of int
        Vertex indices.
    n_vertices : int
        Number of vertices, also those in no face.

    Returns
    -------
    (n_vertices, n_vertices) csr_array
        Ones and no diagonal.
    """
    edges = unique_edges(faces)
    both = np.concatenate([edges, edges[:, ::-1]])
    return sparse.csr_array(
        (np.ones(len(both)), (both[:, 0], both[:, 1])), shape=(n_vertices, n_vertices)
    )


def neighbour_mean(faces: npt.ArrayLike, n_vertices: int) -> sparse.csr_array:
    """Return the matrix that replaces each value by the mean of its neighbours' values.

    Parameters
    ----------
    faces : (n_faces, 3) array_like of int
        Vertices that share an edge are neighbours.
    n_vertices : int
        Vertices of the mesh.

    Returns
    -------
    (n_vertices, n_vertices) csr_array
        Rows sum to 1; that of a vertex without neighbours is empty, which makes its value 0.
    """
    neighbours = adjacency(faces, n_vertices)
    degree = np.maximum(neighbours.sum(axis=1), 1)
    return sparse.csr_array(sparse.diags_array(1 / degree) @ neighbours)


def within(neighbours: sparse.csr_array, vertices: npt.ArrayLike) -> sparse.csr_array:
    """Keep some vertices of a neighbour matrix, in their order.

    Parameters
    ----------
    neighbours : (n_mesh, n_mesh) csr_array
        From `adjacency`.
    vertices : (n_vertices,) array_like of int
        Those of a region.

    Returns
    -------
    (n_vertices, n_vertices) csr_array
        Edges that leave the region are gone; column indices ascend.
    """
    chosen = np.asarray(vertices, dtype=np.int64)
    kept = sparse.csr_array(neighbours[chosen][:, chosen])
    kept.sort_indices()
    return kept


def neighbour_lists(neighbours: sparse.csr_array) -> list[IntArray]:
    """Return the neighbours of each vertex as arrays.

    Parameters
    ----------
    neighbours : (n_vertices, n_vertices) csr_array
        Of `adjacency`, or `within` a region of it.

    Returns
    -------
    list of (n_neighbours,) ndarray of int
        One for each vertex, in rising order where the indices are sorted.
    """
    rows = np.split(neighbours.indices, neighbours.indptr[1:-1])
    return [row.astype(np.int64) for row in rows]
