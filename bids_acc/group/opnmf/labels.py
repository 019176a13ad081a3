"""From components to parcels: which component a vertex belongs to."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from bids_acc.typing import FloatArray, IntArray

LabelRule = Literal['variation', 'weight']
"""``variation`` is `labels_by_variation`, ``weight`` is `labels_of`."""


def labels_of(W: npt.NDArray[np.floating]) -> IntArray:
    """Return the component with the largest weight in each row of W, -1 for rows of zeros.

    Parameters
    ----------
    W : (n_vertices, k) ndarray of float
        Non-negative weights.

    Returns
    -------
    (n_vertices,) ndarray of int
        From 0; the first component where weights tie.

    Examples
    --------
    >>> labels_of(np.array([[0.1, 0.9], [0.0, 0.0], [1.0, 0.0]]))
    array([ 1, -1,  0])
    """
    return np.where(W.any(axis=1), np.argmax(W, axis=1), -1).astype(np.int64)


def labels_by_variation(W: FloatArray, X: FloatArray, n_metrics: int) -> IntArray:
    r"""Return the component whose scores each vertex follows most closely over sessions.

    A weight tells how much of a component is needed to rebuild a vertex's values, and most of
    those values is the mean map: a vertex whose mean is high or low everywhere leans to the
    component that is so too, although it varies with another. Here the mean map of each metric
    is left out. With Y the deviations of X from it and :math:`G = Y W` the deviations of the
    components' scores, vertex i goes to the component of the largest correlation over all
    sessions and metrics, :math:`y_i^\top g_j / (\lVert y_i \rVert \lVert g_j \rVert)`. The
    components themselves stay as they are. On 56 simulated cohorts (14 seeds, four levels of
    noise) other statistics gave the same within 0.002 in the adjusted Rand index with the truth:
    z-scored vertices, scores without the vertex's own share, the mean of the metrics'
    correlations, scores of the members alone, iterated. With the mean maps left in it is 0.03
    lower, as with the largest weight.

    Parameters
    ----------
    W : (n_vertices, k) ndarray of float64
        Component weights.
    X : (n_metrics * n_sessions, n_vertices) ndarray of float64
        The factorized matrix, one metric after the other.
    n_metrics : int
        Number of metrics.

    Returns
    -------
    (n_vertices,) ndarray of int
        From 0; -1 for rows of zeros in W. A vertex that does not vary has the component with
        its largest weight.

    Examples
    --------
    The last vertex is low on average, like the second; but it varies with the first.

    >>> X = np.array([[9.0, 1.0, 1.2], [8.0, 3.0, 1.1], [9.0, 3.0, 1.2], [8.0, 1.0, 1.1]])
    >>> W = np.array([[1.0, 0.0], [0.0, 1.0], [0.1, 0.2]])
    >>> labels_of(W), labels_by_variation(W, X, 1)
    (array([0, 1, 1]), array([0, 1, 0]))
    """
    deviations = deviations_from_mean_maps(X, n_metrics)
    scores = deviations @ W
    sizes = np.linalg.norm(scores, axis=0)
    followed = (deviations.T @ scores) / np.where(sizes > 0, sizes, np.inf)
    # a component without scores that vary can be followed by nobody
    followed[:, sizes == 0] = -np.inf
    by_weight = labels_of(W)
    varies = deviations.any(axis=0) & (by_weight >= 0) & bool((sizes > 0).any())
    return np.where(varies, np.argmax(followed, axis=1), by_weight).astype(np.int64)


def assign(rule: LabelRule, W: FloatArray, X: FloatArray, n_metrics: int) -> IntArray:
    """Return the parcel of each vertex by the rule of that name.

    Parameters
    ----------
    rule : {'weight', 'variation'}
        Largest weight (`labels_of`), or `labels_by_variation`.
    W : (n_vertices, k) ndarray of float64
        Component weights.
    X : (n_metrics * n_sessions, n_vertices) ndarray of float64
        The factorized matrix, one metric after the other; not used by ``weight``.
    n_metrics : int
        Number of metrics.

    Returns
    -------
    (n_vertices,) ndarray of int
        From 0; -1 for rows of zeros in ``W``.
    """
    return labels_of(W) if rule == 'weight' else labels_by_variation(W, X, n_metrics)


def deviations_from_mean_maps(X: FloatArray, n_metrics: int) -> FloatArray:
    """Subtract from each metric its mean map over sessions.

    Parameters
    ----------
    X : (n_metrics * n_sessions, n_vertices) ndarray of float64
        One metric after the other.
    n_metrics : int
        Number of metrics.

    Returns
    -------
    (n_metrics * n_sessions, n_vertices) ndarray of float64
        The mean of each metric's rows is zero at every vertex.
    """
    maps = X.reshape(n_metrics, -1, X.shape[1])
    deviations: FloatArray = maps - maps.mean(axis=1, keepdims=True)
    return deviations.reshape(X.shape)
