"""From one spherical mesh to another: values by interpolation, areas without loss."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.spatial import cKDTree

from bids_acc.exceptions import ComputationError
from bids_acc.typing import FloatArray, IntArray

N_CANDIDATES = 12
"""Faces near a point among which the one that holds it is looked for."""


def _unit(points: npt.ArrayLike) -> FloatArray:
    """Project points onto the unit sphere."""
    points = np.asarray(points, dtype=float)
    return np.asarray(points / np.linalg.norm(points, axis=1, keepdims=True))


def barycentric_weights(
    sphere: npt.ArrayLike, faces: npt.ArrayLike, points: npt.ArrayLike
) -> sparse.csr_array:
    """Return the weights that interpolate from a spherical mesh to points on the sphere.

    Each point lies, seen from the centre, within one triangle; its three corners get the
    barycentric weights. A point on a vertex takes that vertex's value exactly.

    Parameters
    ----------
    sphere : (n_vertices, 3) array_like
        Vertices on a sphere about the origin, of any radius.
    faces : (n_faces, 3) array_like of int
        Vertex indices.
    points : (n_points, 3) array_like
        Where to interpolate, projected onto the sphere.

    Returns
    -------
    (n_points, n_vertices) csr_array
        Rows sum to one.

    Raises
    ------
    ComputationError
        If a point lies in no face nearby: the mesh has a hole or is folded.
    """
    sphere, points = _unit(sphere), _unit(points)
    faces = np.asarray(faces, dtype=np.int64)
    centres = _unit(sphere[faces].mean(axis=1))
    _, near = cKDTree(centres).query(points, k=min(N_CANDIDATES, len(faces)))
    near = np.asarray(near).reshape(len(points), -1)
    best, chosen = np.full(len(points), -np.inf), near[:, 0].copy()
    weights = np.zeros((len(points), 3))
    for column in near.T:
        corners = np.swapaxes(sphere[faces[column]], 1, 2)
        # A face without area holds no point; the identity in its place only keeps the solver from
        # refusing all others.
        flat = np.abs(np.linalg.det(corners)) < 1e-14
        corners[flat] = np.eye(3)
        trial = np.linalg.solve(corners, points[:, :, None])[:, :, 0]
        trial /= np.maximum(trial.sum(axis=1, keepdims=True), 1e-12)
        inside = np.where(flat, -np.inf, trial.min(axis=1))
        better = inside > best
        best[better], chosen[better], weights[better] = (
            inside[better],
            column[better],
            trial[better],
        )
    if best.min() < -0.05:
        raise ComputationError(
            f'{int((best < -0.05).sum())} points lie in no face of the spherical mesh: it has '
            'holes or is folded.'
        )
    # Rounding leaves 1e-16 of the two other corners on a vertex: without them its value comes out
    # exactly, and a NaN next to it does not reach it.
    weights = np.clip(np.where(np.abs(weights) < 1e-6, 0, weights), 0, None)
    weights /= weights.sum(axis=1, keepdims=True)
    rows = np.repeat(np.arange(len(points)), 3)
    matrix = sparse.csr_array(
        (weights.ravel(), (rows, faces[chosen].ravel())), shape=(len(points), len(sphere))
    )
    matrix.eliminate_zeros()
    return matrix


def area_weights(
    sphere: npt.ArrayLike,
    faces: npt.ArrayLike,
    new_sphere: npt.ArrayLike,
    new_faces: npt.ArrayLike,
) -> sparse.csr_array:
    """Return the weights that hand areas over from one spherical mesh to another.

    What each old vertex gives is shared among the new vertices that interpolate from it, and
    what nobody asks for goes to the corners of the new triangle it lies in: columns sum to one,
    so no area is lost or made, whichever mesh is the finer.

    Parameters
    ----------
    sphere, faces : (n_vertices, 3), (n_faces, 3) array_like
        Old mesh.
    new_sphere, new_faces : (m_vertices, 3), (m_faces, 3) array_like
        New mesh.

    Returns
    -------
    (m_vertices, n_vertices) csr_array
        Columns sum to one.
    """
    gather = barycentric_weights(sphere, faces, new_sphere)
    asked = np.asarray(gather.sum(axis=0)).ravel()
    push = barycentric_weights(new_sphere, new_faces, sphere).T
    scale = np.divide(1, asked, out=np.zeros_like(asked), where=asked > 0)
    left_over = sparse.diags_array((asked <= 0).astype(float))
    return sparse.csr_array(gather @ sparse.diags_array(scale) + push @ left_over)


def nearest_weights(
    places: npt.ArrayLike, wanted: npt.ArrayLike, n_nearest: int = 3
) -> sparse.csr_array:
    """Return weights that interpolate between the nearest places, in any number of dimensions.

    Parameters
    ----------
    places : (n, k) array_like
        Where values are.
    wanted : (m, k) array_like
        Where values are asked for.
    n_nearest : int
        How many places count, by the inverse of their squared distance.

    Returns
    -------
    (m, n) csr_array
        Rows sum to one; where a place is the wanted one, only that one counts.
    """
    places, wanted = np.asarray(places, dtype=float), np.asarray(wanted, dtype=float)
    distance, index = cKDTree(places).query(wanted, k=min(n_nearest, len(places)))
    distance, index = np.asarray(distance), np.asarray(index)
    distance, index = (a.reshape(len(wanted), -1) for a in (distance, index))
    # A place that is wanted itself would divide by zero: it, and none of its neighbours, counts
    # then.
    weights = np.where(distance < 1e-3, 1e12 * (distance <= distance[:, :1]), 0)
    weights = np.where(distance[:, :1] < 1e-3, weights, 1 / np.maximum(distance, 1e-3) ** 2)
    weights /= weights.sum(axis=1, keepdims=True)
    rows = np.repeat(np.arange(len(wanted)), distance.shape[1])
    matrix = sparse.csr_array(
        (weights.ravel(), (rows, index.ravel())), shape=(len(wanted), len(places))
    )
    matrix.eliminate_zeros()
    return matrix


def resample_values(weights: sparse.csr_array, values: npt.ArrayLike) -> FloatArray:
    """Interpolate values of which some are NaN.

    Parameters
    ----------
    weights : (m_vertices, n_vertices) csr_array
        See `barycentric_weights`.
    values : (n_vertices,) array_like
        NaN where undefined.

    Returns
    -------
    (m_vertices,) ndarray
        Mean of what is defined; NaN where more than half of the weight is not.

    Examples
    --------
    >>> w = sparse.csr_array([[0.6, 0.4], [0.4, 0.6]])
    >>> resample_values(w, [2.0, np.nan])
    array([ 2., nan])
    """
    values = np.asarray(values, dtype=float)
    defined = np.isfinite(values)
    share = weights @ defined.astype(float)
    total = weights @ np.where(defined, values, 0)
    enough = share >= 0.5 - 1e-9
    return np.asarray(np.divide(total, share, out=np.full(len(total), np.nan), where=enough))


def resample_labels(weights: sparse.csr_array, labels: npt.ArrayLike) -> IntArray:
    """Give each new vertex the label with the largest weight; the smaller code on a tie.

    Parameters
    ----------
    weights : (n_new, n_old) csr_array
        How much of each new vertex is of each old one; rows need not sum to 1.
    labels : (n_old,) array_like of int
        Codes.

    Returns
    -------
    (n_new,) ndarray of int
    """
    codes, index = np.unique(np.asarray(labels), return_inverse=True)
    shares = weights @ np.eye(len(codes))[index]
    return np.asarray(codes[np.asarray(shares).argmax(axis=1)], dtype=np.int64)
