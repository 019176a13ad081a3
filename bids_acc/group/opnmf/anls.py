r"""The default solver: damped exact steps, most of them on compressed data.

With :math:`A = X^\top X`, a step solves the non-negative least squares problem of every vertex
for the given observations' amounts and goes a share of the way. Three things make it cheap:

* most steps are taken on compressed data, :math:`A_c \approx A`, with the difference
  :math:`(A - A_c) W` kept from the last product with the data themselves (`CompressedData`); these
  products, a handful, are shared by all factorizations, and only they decide about convergence;
* near a fixed point the modes that are left are summed to their end: by the derivative of the
  step where that of the leading observations is a small matrix (`newton_point`), else by what the
  last few steps tell of it (`Extrapolation`);
* the vertices' passive sets are kept between steps (`nnls_columns`).

Inside, weights are k x vertices, so that all sums over vertices run through memory in order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from bids_acc.group.opnmf.acceleration import Extrapolation
from bids_acc.group.opnmf.covariance import CovarianceOperator
from bids_acc.group.opnmf.initialise import spectral_norm
from bids_acc.group.opnmf.model import CompressedData
from bids_acc.group.opnmf.newton import SMALL, Resolvent, newton_point
from bids_acc.group.opnmf.nnls import PassiveSets, nnls_columns
from bids_acc.group.opnmf.solvers import Factorization, reconstruction_error
from bids_acc.typing import BoolArray, FloatArray

# None of the settings below changes a fixed point, only the way there. Each was halved and doubled
# on 24 fits of simulated cohorts (1694 x 304, k = 2, 4, 7, 10): all converged, and all but six of
# some 800 ended at the same point, those six at k >= 7. Changes of more than 3 % are told.
# On average a fit takes 3.2 products with the data and 7.6 steps for up to four components, 7.2
# and 30 beyond. (_NEAR, _NEWTON_GAIN, _LEFT, _TRUST and _USES were measured so; the others when
# sizes were not balanced and the derivative was that of up to 320 amounts: 3.1 products and 8.8
# steps for up to four components, 8.8 and 45 beyond.)
_LEAST_ROWS = 8
"""Observations of the compressed data at least. 4: +5 % products at k <= 4."""
_ROUGH = 0.1
"""Residual to which the first stage on compressed data goes, where the derivative of a step is too
large a matrix; their own error is about as large."""
_NEWTON_ROUGH = 0.01
"""The same, with the derivative. 0.02: +11 % products at k <= 4; 0.005: +7 % steps."""
_GAIN = 0.3
"""Share of the residual that is left after the steps between two products with the data. The
compressed data are not to be trusted far from the last product: 0.6 wastes products (+46 % at
k >= 7), 0.15 saves some (-7 %) for as many steps (+9 %)."""
_NEWTON_GAIN = 0.05
"""The same, with the derivative. 0.1: -4 % steps at k >= 7."""
_NEAR = 0.1
"""Residual below which the derivative is used. 0.05: +11 % products and +20 % steps at k <= 4;
0.2: -5 % steps in as much time."""
_PAUSE = 5
"""Steps after which the derivative is asked again where it told of no fixed point nearby. 1: +15 %
time at k = 7."""
_SQUARE = 2.0
"""What the derivative leaves of a residual, in units of its square, so that a step need not be
taken to know that. 1: +14 to 18 % products."""
_LEFT = 0.1
"""The same where it is that of the leading observations alone: a share of the residual."""
_TRUST = 0.3
"""Share of the residual where the derivative was taken, from which on it is used again."""
_USES = 4
"""So many times, at most: it need not lead on."""
_SLACK = 1e-3
"""Error of an exact step on compressed data, relative to its residual: well below the step, well
above rounding. 0.002: +18 % products at k >= 7."""
_MOST_STEPS = 100
"""Compressed steps between two products: never reached there, a bound for data where they lead
nowhere."""
_FUTILE = 3
"""Products without a smaller residual, after which compressed data are given up: two are too hasty
(+11 % products at k >= 7), more changes nothing."""
_CLOSE = 0.03
"""Residual below which the last steps are summed up: linear behaviour must have set in. 0.015:
+7 % steps at k >= 7; 0.06: -4 % products."""
_PATIENCE = 50
"""Steps on the data themselves without a smaller residual, after which coordinate descent takes
over. Neither is reached on such data; they are for data on which exact steps cycle."""
_LARGER = 3
"""With coordinate descent, which is slow, so many times as many amounts are few enough for the
derivative: ten of 44 fits of halves of 12 to 24 people at k = 8 to 11 wandered for more than 100
steps, 5400 in all, and two did not converge; with it all do, eight after 1800."""
_LONG_PAUSE = 20
"""As `_PAUSE`, there."""
_LEAST_RATIO = 1e-3
"""Targets shorter than that share of a component are not balanced: it is dying."""
_DEAD = 1e-8
"""Largest weight of a component that counts as dead, relative to that of all."""
_SWEEPS = 3
"""Sweeps of coordinate descent: one hardly moves, many are the exact step again."""
TOGETHER = 4_000_000
"""Weights of the starts that share products with the data: memory (see
`bids_acc.group.parcels.parcellation.memory_estimate_gb`), not results."""


@dataclass(frozen=True)
class _Point:
    """A point whose product with the data is known."""

    V: FloatArray
    AV: FloatArray
    residual: float = np.inf
    mu: float = 0.0


@dataclass
class _Derivative:
    """Resolvent of the derivative of a step, kept for the points that follow."""

    resolvent: Resolvent | None = None
    leading: int = 0
    """Rows of compressed data that it was computed from."""
    residual: float = 0.0
    """Fixed-point residual at the point where it was computed."""
    uses: int = 0

    def take(self, leading: int, residual: float) -> Resolvent | None:
        """Return the resolvent if it still holds at a new point, and count the use.

        Parameters
        ----------
        leading : int
            Rows of compressed data at the new point; another number means other data.
        residual : float
            Fixed-point residual there.

        Returns
        -------
        Resolvent or None
            None where it has to be computed anew.
        """
        if leading != self.leading or residual > _TRUST * self.residual or self.uses >= _USES:
            return None
        self.uses += 1
        return self.resolvent


@dataclass
class _State:
    """One factorization under way."""

    V: FloatArray
    """(k, n_vertices) weights."""
    theta: float
    sets: PassiveSets | None = None
    extrapolation: Extrapolation = field(default_factory=Extrapolation)
    n_iter: int = 0
    best: float = np.inf
    stale: int = 0
    sweeping: bool = False
    model: CompressedData | None = None
    """Compressed data; without, every step takes a product with the data themselves."""
    lowest: float = np.inf
    """Smallest residual on the data."""
    futile: int = 0
    cleaned: bool = False
    derivative: _Derivative = field(default_factory=_Derivative)
    resting: int = 0
    """Step until which the derivative is not asked."""
    nearest: _Point = field(default_factory=lambda: _Point(np.empty(0), np.empty(0)))
    """Where the residual on the data was smallest."""
    done: Factorization | None = None


@dataclass(frozen=True)
class _Step:
    """The exact step from a point."""

    target: FloatArray
    """Solution of the least squares problems, divided by mu."""
    S: FloatArray
    mu: float
    sets: PassiveSets | None
    """Passive sets of the target, nearly so if it is not exact."""
    residual: float
    """Distance to the target, relative to the norm of the point."""


def solve_anls(
    operator: CovarianceOperator,
    starts: list[FloatArray],
    *,
    tol: float = 1e-5,
    max_iter: int = 1000,
    theta: float = 0.85,
    rank: int | None = None,
) -> list[Factorization]:
    r"""Run damped exact steps from several starts, sharing the products with the data.

    .. math:: W \leftarrow (1-\theta) W + \theta\, N(W) / \mu, \qquad
              W \leftarrow W / \lVert W \rVert_2

    where N(W) solves the non-negative least squares problem of each vertex and
    :math:`\mu = \langle N(W), W \rangle / \langle W, W \rangle`. Undamped it oscillates with
    period two, most of all in the components' sizes: when one of W is multiplied by c, that of
    N(W) is divided by c. So each is first multiplied, and its target divided, by the number that
    makes the two agree. There is no proof of convergence: when products with the data stop
    lowering the residual, every step takes one; when the residual has not fallen for 50 such
    steps, three sweeps of coordinate descent take the place of the exact solution. With more
    components than the data have parts, the update (also the published one, also for small
    steps) can circle between unstable fixed points; after ``max_iter`` steps the nearest approach
    to one is returned, and it has not converged. Where the derivative of a step is a small
    matrix, most such fits end at a fixed point all the same.

    Parameters
    ----------
    operator : CovarianceOperator
        The data.
    starts : list of (n_vertices, k) ndarray of float64
        Non-negative starts; k may differ between them.
    tol : float
        Stop when :math:`\lVert N(W)/\mu - W \rVert_F \le tol\, \lVert W \rVert_F`, with N of
        the data themselves.
    max_iter : int
        Steps at most.
    theta : float
        Damping, in (0, 1).
    rank : int, optional
        Observations of the compressed data; 0 for none, chosen by size when absent.

    Returns
    -------
    list of Factorization
        In the order of the starts.
    """
    ends: list[Factorization] = []
    columns = max((start.shape[1] for start in starts), default=1)
    coarse = _compressed(operator, columns, rank)
    for batch in _batches(starts):
        ends += _solve_together(operator, coarse, batch, tol, max_iter, theta)
    return ends


def _batches(starts: list[FloatArray]) -> Iterator[list[FloatArray]]:
    """Put together as many starts as share a product without taking much memory."""
    batch: list[FloatArray] = []
    size = 0
    for start in starts:
        if batch and size + start.size > TOGETHER:
            yield batch
            batch, size = [], 0
        batch.append(start)
        size += start.size
    if batch:
        yield batch


def _solve_together(
    operator: CovarianceOperator,
    coarse: CovarianceOperator | None,
    starts: list[FloatArray],
    tol: float,
    max_iter: int,
    theta: float,
) -> list[Factorization]:
    """Run several starts that share the products with the data."""
    states = [_State(_unit_length(np.ascontiguousarray(start.T)), theta) for start in starts]
    if coarse is not None:
        for state in states:
            state.model = CompressedData(coarse, _rank(len(state.V)))
            rough = _NEWTON_ROUGH if _leading_rows(operator, state) else _ROUGH
            _descend(state, state.model, max(rough, tol), max_iter // 2)
    while running := [state for state in states if state.done is None]:
        for state, AV in zip(running, _products(operator, running), strict=True):
            _on_data(operator, state, AV, tol, max_iter)
    return [state.done for state in states if state.done is not None]


def _rank(columns: int) -> int:
    """Return how many observations of compressed data are enough for so many components."""
    return max(_LEAST_ROWS, 2 * columns + 2)


def _compressed(
    operator: CovarianceOperator, columns: int, rank: int | None
) -> CovarianceOperator | None:
    """Return the compressed data, where that is smaller by far."""
    if rank is None:
        rank = _rank(columns)
        if 3 * rank > min(operator.n_observations, operator.n_vertices):
            return None
    return operator.compressed(rank) if rank else None


def _products(operator: CovarianceOperator, states: list[_State]) -> list[FloatArray]:
    """Multiply all weights by A in one product."""
    for state in states:
        state.V = _unit_length(state.V)
    if len(states) == 1:
        return [operator.times(states[0].V)]
    edges = np.cumsum([len(state.V) for state in states])[:-1]
    return np.split(operator.times(np.concatenate([state.V for state in states])), edges)


def _on_data(
    operator: CovarianceOperator, state: _State, AV: FloatArray, tol: float, max_iter: int
) -> None:
    """Take the exact step of the data, finish, or go on with compressed data from there."""
    state.n_iter += 1
    point, step = state.V, _exact_step(state, AV)
    if step is not None and 2 * state.n_iter < max_iter and _revive(operator, state, AV, step):
        return
    clean = state.cleaned or state.model is not None
    here = _Point(point, AV) if step is None else _Point(point, AV, step.residual, step.mu)
    if here.residual <= state.nearest.residual:
        state.nearest = here
    found = here.residual <= tol and clean
    if found or step is None or state.n_iter >= max_iter:
        end = here if found else state.nearest
        state.done = _finished(operator, end, state.n_iter, tol)
        state.model, state.sets, state.extrapolation = None, None, Extrapolation()
        state.derivative = _Derivative()
        state.nearest = here
        return
    state.cleaned = step.residual <= tol
    if state.cleaned:
        state.V = _unit_length(np.where(step.target > 0, point, 0.0))
        return
    _watch(state, step.residual)
    if state.model is not None:
        state.model.learn(point, AV)
    expected = _move(operator, state, AV, step)
    if state.model is not None:
        gain = _GAIN if expected == np.inf else _NEWTON_GAIN
        aim = max(gain * step.residual, 0.3 * tol)
        if expected > aim:
            _descend(state, state.model, aim, max_iter - state.n_iter - 1)


def _finished(operator: CovarianceOperator, end: _Point, n_iter: int, tol: float) -> Factorization:
    """Return the end point, of spectral norm 1."""
    norm = spectral_norm(end.V.T) or 1.0
    W, AW = np.ascontiguousarray(end.V.T) / norm, end.AV.T / norm
    error = reconstruction_error(operator, W, AW)
    mu = end.mu * norm**2
    return Factorization(W, n_iter, end.residual <= tol, end.residual, mu, error)


def _watch(state: _State, residual: float) -> None:
    """Turn to surer and slower ways when the residual on the data has stopped falling."""
    if state.model is not None:
        state.futile = 0 if residual < 0.7 * state.lowest else state.futile + 1
        state.lowest = min(state.lowest, residual)
        if state.futile >= _FUTILE:
            state.model = None
            state.extrapolation.forget()
        return
    if residual < 0.999 * state.best:
        state.best, state.stale = residual, 0
        return
    state.stale += 1
    if state.stale >= _PATIENCE:
        state.sweeping, state.stale = True, 0


def _descend(state: _State, model: CompressedData, aim: float, most: int) -> None:
    """Take steps on compressed data until their residual is small."""
    state.extrapolation.pause()
    slack = _SLACK
    for _ in range(min(most, _MOST_STEPS)):
        AV = model.times(state.V)
        step = _exact_step(state, AV, slack, exact=False)
        if step is None:
            return
        slack = _SLACK * min(step.residual, 1.0)
        if step.residual <= aim:  # damping leaves traces where the solution is zero
            state.V = _unit_length(np.where(step.target > 0, state.V, 0.0))
            return
        state.n_iter += 1
        if _move(model.coarse, state, AV, step) <= aim:
            return


def _exact_step(
    state: _State, AV: FloatArray, slack: float = 1e-13, *, exact: bool = True
) -> _Step | None:
    """Solve the problem of every vertex; None when no data are left in the span of W."""
    V = state.V
    S = V @ AV.T
    S = (S + S.T) / 2
    used = state.sets
    target, state.sets = nnls_columns(S, AV, used, slack, exact=exact)
    if exact or len(V) == 2:  # two are solved exactly in any case
        used = state.sets
    norm = float(np.vdot(V, V))
    mu = float(np.vdot(target, V)) / norm
    if mu <= 0:
        return None
    target /= mu
    away = target - V
    return _Step(target, S, mu, used, float(np.sqrt(np.vdot(away, away) / norm)))


def _revive(operator: CovarianceOperator, state: _State, AV: FloatArray, step: _Step) -> bool:
    """Give components that have died new vertices; say whether there were any."""
    highest = np.maximum(state.V.max(axis=1), step.target.max(axis=1))
    dead = highest <= _DEAD * highest.max()
    if not dead.any():
        return False
    state.V = _unit_length(_reseed(operator, state.V, AV, step.S, dead))
    state.sets = None
    state.extrapolation.forget()
    return True


def _move(operator: CovarianceOperator, state: _State, AV: FloatArray, step: _Step) -> float:
    """Go a share of the way and sum up the steps to come.

    Returns the residual that is to be expected, infinity where nothing is known.
    """
    V = state.V
    if (found := _newton(operator, state, step)) is not None:
        state.V, expected = found
        state.extrapolation.forget()
        return expected
    if state.sweeping:
        scale, target = np.ones((len(V), 1)), _sweep(V, AV / step.mu, step.S)
    else:
        scale, target = _balance(V, step.target), step.target
    image = ((1.0 - state.theta) * scale) * V
    image += (state.theta / scale) * target
    image = _unit_length(image)
    if step.residual > _CLOSE:
        state.extrapolation.forget()
    elif (extra := state.extrapolation(V, image)) is not None:
        image = _unit_length(np.maximum(image + extra, 0.0))
    state.V = image
    return np.inf


def _balance(V: FloatArray, target: FloatArray) -> FloatArray:
    """Return by how much to multiply components, and divide their targets, to make them agree."""
    squares = np.einsum('ij,ij->i', V, V)
    along = np.einsum('ij,ij->i', V, target)
    usual = along > _LEAST_RATIO * squares
    ratio = np.divide(along, squares, out=np.ones_like(along), where=usual & (squares > 0))
    scale: FloatArray = np.sqrt(ratio)[:, None]
    return scale


def _leading_rows(operator: CovarianceOperator, state: _State) -> int:
    """Return of how many observations the derivative is used; 0 where it is too large a matrix.

    Those of compressed data matter most first; what they learnt is left out at need.
    """
    k, model = len(state.V), state.model
    if model is None:
        most = SMALL * (_LARGER if state.sweeping else 1)
        return operator.n_observations if operator.n_observations * k <= most else 0
    return min(len(model.rows), SMALL // k) if model.rank * k <= SMALL else 0


def _newton(
    operator: CovarianceOperator, state: _State, step: _Step
) -> tuple[FloatArray, float] | None:
    """Return a fixed point nearby, where the derivative tells of one, and its likely residual."""
    if step.sets is None or step.residual > _NEAR or state.n_iter < state.resting:
        return None
    leading = _leading_rows(operator, state)
    if not leading:
        return None
    rows = operator.X if state.model is None else state.model.rows
    whole = leading == len(rows)
    kept = None if whole else state.derivative.take(leading, step.residual)
    found = newton_point(rows, state.V, step.target, step.mu, step.sets, leading, kept)
    if found is None or not (highest := found[0].max(axis=1)).min() > _DEAD * highest.max():
        state.resting = state.n_iter + (_LONG_PAUSE if state.sweeping else _PAUSE)
        return None
    point, resolvent = found
    if kept is None:
        state.derivative = _Derivative(resolvent, leading, step.residual)
    left = _SQUARE * step.residual**2
    return point, left if whole else max(left, _LEFT * step.residual)


def _unit_length(V: FloatArray) -> FloatArray:
    """Return V divided by its Frobenius norm: any norm keeps its scale, this one costs least."""
    norm = float(np.sqrt(np.vdot(V, V)))
    return V / norm if norm > 0 else V


def _sweep(V: FloatArray, rhs: FloatArray, S: FloatArray) -> FloatArray:
    """Return V after sweeps of coordinate descent towards the exact step divided by mu."""
    target = V.copy()
    diagonal = np.maximum(np.diag(S), np.finfo(float).tiny)
    for _ in range(_SWEEPS):
        for j, scale in enumerate(diagonal):
            gradient = S[j] @ target - rhs[j]
            target[j] = np.maximum(target[j] - gradient / scale, 0.0)
    return target


def _reseed(
    operator: CovarianceOperator, V: FloatArray, AV: FloatArray, S: FloatArray, dead: BoolArray
) -> FloatArray:
    """Split the worst-reconstructed component to revive each dead one."""
    V = V.copy()
    loss = operator.row_norms - 2.0 * np.sum(V * AV, axis=0) + np.sum((S @ V) * V, axis=0)
    labels = np.argmax(V, axis=0)
    for j in np.flatnonzero(dead):
        worst = int(np.argmax(np.bincount(labels, weights=loss, minlength=len(V))))
        members = np.flatnonzero(labels == worst)
        if not members.size:  # more components than vertices
            break
        moved = members[loss[members] > np.median(loss[members])]
        if not moved.size:
            moved = members[: max(1, len(members) // 2)]
        V[j] = 0.0
        V[j, moved] = np.maximum(V[worst, moved], V.max() * 1e-3)
        V[worst, moved] = 0.0
        labels[moved] = j
    return V
