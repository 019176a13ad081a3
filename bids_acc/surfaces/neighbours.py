"""Neighbourhood on a mesh."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array

from bids_acc.typing import IntArray


def adjacency(faces: IntArray, vertices: IntArray, n_mesh: int) -> csr_array:
    """Return the 0/1 neighbour matrix of some vertices of a mesh."""
    pairs = np.vstack([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    pairs = np.vstack([pairs, pairs[:, ::-1]])
    position = np.full(n_mesh, -1)
    position[vertices] = np.arange(len(vertices))
    pairs = position[pairs]
    pairs = np.unique(pairs[(pairs >= 0).all(axis=1)], axis=0)
    shape = (len(vertices), len(vertices))
    return csr_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=shape)


def neighbour_lists(graph: csr_array) -> list[IntArray]:
    """Return the neighbours of each vertex as arrays."""
    return [row.astype(np.int64) for row in np.split(graph.indices, graph.indptr[1:-1])]
