"""Going many steps of a fixed-point iteration at once, towards stable fixed points only."""

from __future__ import annotations

import numpy as np

from bids_acc.typing import FloatArray

# Halved or doubled, none changes an end point, nor the number of steps by more than 3 %, unless
# said otherwise (24 fits, see `bids_acc.group.opnmf.anls`; depth, rate and ridge before Newton's
# method took over for few components).
_DEPTH = 4
"""Differences that are remembered, and so modes that are told apart."""
_NEARLY_ONE = 0.97
"""Rate up to which a mode counts as shrinking. 0.9 leaves slow modes unsummed: +19 % steps."""
_MOST_STEPS = 30.0
"""Steps that a mode which does not shrink is followed at once."""
_WIDEST = 0.1
"""Longest extrapolation, relative to the point, so that a wrong one can be made good. 0.05: +4 %
steps at k >= 7."""
_RIDGE = 1e-12
"""Relative ridge of the moves' products, above rounding: nearly parallel moves stay solvable."""


def steps_to_come(J: FloatArray, f: FloatArray) -> FloatArray:
    r"""Return :math:`\sum_{j \ge 1} J^j f`, of a mode that does not shrink 30 of its steps.

    Parameters
    ----------
    J : (n, n) ndarray of float64
        Derivative of the iteration.
    f : (n,) ndarray of float64
        Its next step.

    Raises
    ------
    numpy.linalg.LinAlgError
        If J has no eigenvalues or no basis of eigenvectors.
    """
    rates, modes = np.linalg.eig(J)
    amounts = np.linalg.solve(modes, f.astype(modes.dtype))
    stable = rates.real < _NEARLY_ONE
    steps = np.where(stable, rates / np.where(stable, 1.0 - rates, 1.0), _MOST_STEPS)
    result: FloatArray = (modes @ (steps * amounts)).real
    return result


def is_long(change: FloatArray, point: FloatArray) -> bool:
    """Tell whether an extrapolation is too long to be trusted, or not finite.

    Parameters
    ----------
    change : (k, n_vertices) ndarray of float64
        What would be added to the point.
    point : (k, n_vertices) ndarray of float64
        Weights before.

    Returns
    -------
    bool
        True above a tenth of the Frobenius norm of ``point`` and for NaN.
    """
    return not np.vdot(change, change) <= _WIDEST**2 * np.vdot(point, point)


def within_reach(change: FloatArray, point: FloatArray) -> FloatArray | None:
    """Return an extrapolation, shortened where it is too long; None if it is not finite.

    Parameters
    ----------
    change : (k, n_vertices) ndarray of float64
        What would be added to the point.
    point : (k, n_vertices) ndarray of float64
        Weights before.

    Returns
    -------
    (k, n_vertices) ndarray of float64 or None
        Of at most a tenth of the Frobenius norm of ``point``, in the same direction.
    """
    if not is_long(change, point):
        return change
    length = float(np.sqrt(np.vdot(change, change)))
    if not np.isfinite(length):
        return None
    shortened: FloatArray = change * (_WIDEST * float(np.linalg.norm(point)) / length)
    return shortened


class Extrapolation:
    r"""Adds up the steps to come of an iteration G from its last few steps.

    Near a fixed point :math:`G(w + d) \approx G(w) + J d`, and the steps to come add up to
    :math:`\sum_{j \ge 1} J^j f = J (I - J)^{-1} f` with :math:`f = G(w) - w`. J is known on the
    span of the last few differences of w, as a matrix of that size, whose eigenvalues are the
    rates of the modes that are left. A mode that shrinks is summed to its end; one that does
    not (an eigenvalue near or above 1) is followed a number of steps the way the iteration
    goes. So, unlike with Anderson acceleration, a fixed point from which the iteration moves
    away is not approached.

    References
    ----------
    Sidi A (2017). Vector Extrapolation Methods with Applications. SIAM, Philadelphia.
    https://doi.org/10.1137/1.9781611974966
    """

    def __init__(self) -> None:
        self._count = 0
        self._last: tuple[FloatArray, FloatArray] | None = None

    def forget(self) -> None:
        """Start anew."""
        self._count, self._last = 0, None

    def pause(self) -> None:
        """Do not take the difference between the last point and the next."""
        self._last = None

    def __call__(self, point: FloatArray, image: FloatArray) -> FloatArray | None:
        """Return what to add to the image of a point; None when nothing is known yet.

        Parameters
        ----------
        point : ndarray of float64
            Where the iteration is.
        image : ndarray of float64
            Where it goes next.
        """
        if self._last is not None:
            self._keep(point - self._last[0], image - self._last[1])
        self._last = point, image
        if self._count < 2:
            return None
        known = min(self._count, _DEPTH)
        moves = self._moves[:known]
        left = moves @ (image - point).ravel()
        # moves shrink by powers of ten on the way: unscaled, the oldest would decide alone
        scale = 1.0 / np.sqrt(self._gram.diagonal()[:known])
        scaled = scale[:, None] * scale
        gram = self._gram[:known, :known] * scaled
        # moves become parallel as the iteration converges, and their Gram matrix singular
        gram.flat[:: known + 1] += _RIDGE
        both = np.column_stack([self._cross[:known, :known] * scaled, left * scale])
        try:
            solved = np.asarray(np.linalg.solve(gram, both), dtype=np.float64)
            to_come = steps_to_come(solved[:, :-1], solved[:, -1])
        except np.linalg.LinAlgError:
            return None
        extra = (to_come * scale) @ moves
        return within_reach(extra.reshape(point.shape), point)

    def _keep(self, move: FloatArray, image: FloatArray) -> None:
        """Remember a difference of points and that of their images, in place of the oldest."""
        if not move.any():
            return
        if self._count == 0:
            self._moves = np.empty((_DEPTH, move.size))
            self._images = np.empty((_DEPTH, move.size))
            self._gram = np.zeros((_DEPTH, _DEPTH))
            """Products of the moves with each other."""
            self._cross = np.zeros((_DEPTH, _DEPTH))
            """Products of the moves with the images."""
        i = self._count % _DEPTH
        self._moves[i], self._images[i] = move.ravel(), image.ravel()
        self._count += 1
        n = min(self._count, _DEPTH)
        self._gram[i, :n] = self._gram[:n, i] = self._moves[:n] @ self._moves[i]
        self._cross[:n, i] = self._moves[:n] @ self._images[i]
        self._cross[i, :n] = self._images[:n] @ self._moves[i]
