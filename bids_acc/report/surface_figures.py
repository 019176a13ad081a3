"""A cortex painted by its vertices, seen from the midline or from outside."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes

from bids_acc.typing import FloatArray, IntArray


def draw_side(
    axes: Axes,
    vertices: FloatArray,
    faces: IntArray,
    colours: FloatArray,
    side: str,
    *,
    medial: bool = True,
    mixed: bool = False,
) -> None:
    """Paint the triangles that face the viewer, the farthest first.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    vertices : (n_vertices, 3) ndarray
        Right-anterior-superior, mm.
    faces : (n_faces, 3) ndarray of int
    colours : (n_vertices, 3) ndarray
        Red, green and blue of each vertex.
    side : {'L', 'R'}
        Hemisphere.
    medial : bool
        Seen from the midline; otherwise from outside.
    mixed : bool
        Whether a triangle has the mean colour of its corners; otherwise that of most of them, so
        that borders of labels stay sharp.
    """
    toward = (1.0 if side == 'L' else -1.0) * (1.0 if medial else -1.0)
    corners = vertices[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    lengths = np.linalg.norm(normals, axis=1)
    facing = toward * normals[:, 0] / np.where(lengths > 0, lengths, 1.0)
    if np.sum(facing * corners[:, :, 0].mean(axis=1) * toward) < 0:  # triangles wound inwards
        facing = -facing
    shown = np.flatnonzero(facing > 0)
    # painted one over the other, as a vector file has no depth: the nearest must come last
    order = shown[np.argsort(toward * corners[shown, :, 0].mean(axis=1), kind='stable')]
    # whoever looks at the left hemisphere from the midline has its front to the right
    flat = np.stack([toward * corners[order, :, 1], corners[order, :, 2]], axis=-1)
    light = 0.55 + 0.45 * facing[order]
    # a mean of the colours of two parcels would be the colour of a third
    painted = colours[faces[order]].mean(axis=1) if mixed else _most(colours, faces[order])
    collection = mpl.collections.PolyCollection(
        # edges of the same colour: without them, viewers show the seams between triangles
        list(flat), facecolors=np.clip(painted * light[:, None], 0, 1), edgecolors='face',
        linewidths=0.1, rasterized=True,
    )  # fmt: skip
    axes.add_collection(collection)
    axes.autoscale_view()
    axes.set_aspect('equal')
    axes.axis('off')


def _most(colours: FloatArray, faces: IntArray) -> FloatArray:
    """Return the colour that most of the three corners have."""
    first, second, third = np.moveaxis(colours[faces], 1, 0)
    return np.where((second == third).all(axis=1, keepdims=True), second, first)
