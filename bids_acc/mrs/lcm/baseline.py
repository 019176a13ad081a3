"""Penalised B-spline baseline whose flexibility is one number: its effective dimension."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import BSpline
from scipy.linalg import eigh
from scipy.optimize import brentq

from bids_acc.typing import FloatArray

KNOT_SPACING_PPM = 0.1
"""Close enough that the penalty, not the knots, limits the baseline."""


def spline_columns(ppm: FloatArray, spacing: float = KNOT_SPACING_PPM) -> FloatArray:
    """Cubic B-splines on equal knots over a window.

    Parameters
    ----------
    ppm : (n_points,) ndarray
        Chemical shifts of the window.
    spacing : float
        Distance of the knots in ppm.

    Returns
    -------
    (n_points, n_splines) ndarray of float64
        Rows sum to one.

    Examples
    --------
    >>> import numpy as np
    >>> columns = spline_columns(np.linspace(0, 1, 50))
    >>> columns.shape, bool(np.allclose(columns.sum(axis=1), 1))
    ((50, 13), True)
    """
    low, high = float(ppm.min()), float(ppm.max())
    n_intervals = max(round((high - low) / spacing), 4)
    step = (high - low) / n_intervals
    knots = low + step * np.arange(-3, n_intervals + 4)
    # The last point lies on the last knot, where the splines of the interval before it have just
    # ended.
    inside = np.clip(ppm, low, high - 1e-9 * step)
    return np.asarray(BSpline.design_matrix(inside, knots, 3).toarray())


def second_differences(n_splines: int) -> FloatArray:
    """(n_splines - 2, n_splines) operator; its null space is the straight lines.

    Parameters
    ----------
    n_splines : int
        Number of coefficients.

    Examples
    --------
    >>> second_differences(4)
    array([[ 1., -2.,  1.,  0.],
           [ 0.,  1., -2.,  1.]])
    """
    return np.diff(np.eye(n_splines), n=2, axis=0)


def penalty_for(columns: FloatArray, dimension: float) -> float:
    """Penalty that gives a wanted effective dimension, the trace of the smoother matrix.

    Parameters
    ----------
    columns : (n_points, n_splines) ndarray
        Splines.
    dimension : float
        Effective dimension, from 2 (a straight line) to the number of splines; cut to what the
        splines can do.

    Returns
    -------
    float

    References
    ----------
    Eilers PHC, Marx BD (1996). Flexible smoothing with B-splines and penalties. Stat Sci
    11:89-121 (eq. 29). https://doi.org/10.1214/ss/1038425655

    Examples
    --------
    Twice the dimension takes less than a tenth of the penalty.

    >>> import numpy as np
    >>> columns = spline_columns(np.linspace(0, 4, 400))
    >>> bool(penalty_for(columns, 12.0) < 0.1 * penalty_for(columns, 6.0))
    True
    """
    gram = columns.T @ columns
    roughness = _roughness(columns.shape[1])
    # tr((G + p R)^-1 G) = sum 1 / (1 + p e) with R v = e G v
    eigenvalues = np.clip(eigh(roughness, gram, eigvals_only=True), 0.0, None)
    # The penalty leaves straight lines free, which are two; with as many dimensions as splines
    # there would be none. At either end the root runs off to infinity.
    target = float(np.clip(dimension, 2.05, columns.shape[1] - 0.5))

    def excess(log_penalty: float) -> float:
        return float(np.sum(1 / (1 + np.exp(log_penalty) * eigenvalues)) - target)

    return float(np.exp(brentq(excess, -40.0, 60.0, xtol=1e-10)))


def _roughness(n_splines: int) -> FloatArray:
    difference = second_differences(n_splines)
    return difference.T @ difference
