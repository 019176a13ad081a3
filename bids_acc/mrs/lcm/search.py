"""Finding the nonlinear parameters: where to start, and how to descend."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bids_acc.mrs.lcm.model import (
    LORENTZ,
    N_SHARED,
    PHASE0,
    PHASE1,
    SHIFT,
    VARIANCE,
    LinearCombinationModel,
    Solution,
    nonnegative,
)
from bids_acc.typing import BoolArray, FloatArray

_MAX_LORENTZ_HZ = 60.0
_MAX_VARIANCE = 60.0
_MAX_PHASE1 = np.deg2rad(60.0)
_TYPICAL = {
    'NAA': 12.0,
    'NAAG': 1.5,
    'Cr': 5.0,
    'PCr': 4.0,
    'GPC': 1.0,
    'PCh': 0.6,
    'Glu': 9.0,
    'Gln': 3.0,
    'Ins': 6.5,
}
"""Millimolar levels of a healthy brain, only to find the common shift."""
_N_PHASES = 24
_MAX_GROWTH = 300.0
"""Exponent beyond which squares of a model spectrum are no floating-point numbers any more."""


@dataclass(frozen=True)
class Descent:
    """Parameters at which a descent ended, with their solution."""

    parameters: FloatArray
    solution: Solution
    converged: bool
    n_iterations: int


def descend(
    model: LinearCombinationModel,
    parameters: FloatArray,
    free: BoolArray,
    *,
    max_iterations: int,
    tolerance: float = 1e-5,
) -> Descent:
    """Levenberg-Marquardt on the reduced residual and the parameters' priors.

    Parameters
    ----------
    model : LinearCombinationModel
        What to fit.
    parameters : (n_parameters,) ndarray
        Start.
    free : (n_parameters,) ndarray of bool
        Which parameters may change.
    max_iterations : int
        Of accepted steps.
    tolerance : float
        Relative decrease of the cost at which to stop.

    Returns
    -------
    Descent
    """
    parameters = parameters.copy()
    solution = model.solve(parameters)
    damping, quiet = 1e-3, 0
    for iteration in range(max_iterations):
        normal, gradient = model.normal_equations(parameters, solution)
        movable = free & ~_pushed_out(parameters, gradient)
        step_taken = False
        # damped by up to 4**12, a step is a tiny one down the gradient
        for _ in range(12):
            step = _step(normal, gradient, movable, damping)
            candidate = _clip(parameters + step)
            if not _overflows(model, candidate):
                trial = model.solve(candidate)
                if np.isfinite(trial.cost) and trial.cost <= solution.cost:
                    step_taken = True
                    break
            damping *= 4
        if not step_taken:
            # nothing near is better: this is a minimum
            return Descent(parameters, solution, True, iteration)
        decrease = (solution.cost - trial.cost) / max(solution.cost, 1e-300)
        parameters, solution = candidate, trial
        damping = max(damping / 5, 1e-9)
        # one small decrease may come of a step that was damped too much
        quiet = quiet + 1 if decrease < tolerance else 0
        if quiet >= 2:
            return Descent(parameters, solution, True, iteration + 1)
    return Descent(parameters, solution, False, max_iterations)


def _step(
    normal: FloatArray, gradient: FloatArray, movable: BoolArray, damping: float
) -> FloatArray:
    """Damped step of the movable parameters."""
    step = np.zeros(gradient.size)
    index = np.flatnonzero(movable)
    if index.size == 0:
        return step
    block = normal[np.ix_(index, index)]
    diagonal = np.diag(block)
    # by the diagonal, as parameters in Hz and rad need different damping (Marquardt 1963)
    damped = block + np.diag(damping * np.maximum(diagonal, 1e-12 * diagonal.max() + 1e-300))
    step[index] = -np.linalg.lstsq(damped, gradient[index], rcond=None)[0]
    return step


def _clip(parameters: FloatArray) -> FloatArray:
    """Keep widths and phases where they mean something."""
    parameters = parameters.copy()
    parameters[LORENTZ] = np.clip(parameters[LORENTZ], 0.0, _MAX_LORENTZ_HZ)
    parameters[VARIANCE] = np.clip(parameters[VARIANCE], 0.0, _MAX_VARIANCE)
    parameters[PHASE1] = np.clip(parameters[PHASE1], -_MAX_PHASE1, _MAX_PHASE1)
    return parameters


def _overflows(model: LinearCombinationModel, parameters: FloatArray) -> bool:
    """Whether a negative width makes a line grow beyond all numbers: such a step is too long.

    Where there is hardly any noise no prior holds the widths of single components.
    """
    own = parameters[N_SHARED + model.n_components :]
    narrowest = float(parameters[LORENTZ] + own.min(initial=0.0))
    return -np.pi * narrowest * float(model.time[-1]) > _MAX_GROWTH


def _pushed_out(parameters: FloatArray, gradient: FloatArray) -> BoolArray:
    """Parameters at a bound that a descent would leave."""
    out = np.zeros(parameters.size, dtype=bool)
    for position in (LORENTZ, VARIANCE):
        out[position] = parameters[position] <= 0 and gradient[position] > 0
    return out


def shared_only(model: LinearCombinationModel) -> BoolArray:
    """Mask of the parameters that all components share.

    Parameters
    ----------
    model : LinearCombinationModel
        For its number of parameters.

    Returns
    -------
    (n_parameters,) ndarray of bool
        True for phases, shift and shared widths. Searching these first keeps single metabolites
        from running to another's lines while the phase is still wrong.
    """
    free = np.zeros(model.n_parameters, dtype=bool)
    free[:N_SHARED] = True
    return free


def starts(
    model: LinearCombinationModel, max_shift_hz: float, n_starts: int = 3
) -> list[FloatArray]:
    """Propose starting values of phase and shift for the descent, best first.

    Parameters
    ----------
    model : LinearCombinationModel
        What to fit; its baseline should be stiff here.
    max_shift_hz : float
        Range of the shift in both directions.
    n_starts : int
        How many to return.

    Returns
    -------
    list of (n_parameters,) ndarray

    Notes
    -----
    Shifts come from the cross-correlation of magnitudes, which no phase disturbs; for each of
    the best, amplitudes are solved at phases all around the circle.
    """
    base = model.start()
    ranked: list[tuple[float, FloatArray]] = []
    for shift in _likely_shifts(model, max_shift_hz):
        parameters = base.copy()
        parameters[SHIFT] = shift
        for phase, cost in _phase_scan(model, parameters):
            candidate = parameters.copy()
            candidate[PHASE0] = phase
            ranked.append((cost, candidate))
    ranked.sort(key=lambda item: item[0])
    chosen: list[FloatArray] = []
    for _, candidate in ranked:
        # neighbours on the grid descend to the same minimum
        if all(_differ(candidate, other) for other in chosen):
            chosen.append(candidate)
        if len(chosen) == n_starts:
            break
    return chosen


def _differ(first: FloatArray, second: FloatArray) -> bool:
    """Whether two starts are more than a neighbouring grid point apart."""
    turn = np.angle(np.exp(1j * (first[PHASE0] - second[PHASE0])))
    return bool(abs(turn) > 0.4 or abs(first[SHIFT] - second[SHIFT]) > 1.5)


def _likely_shifts(
    model: LinearCombinationModel, max_shift_hz: float, n_best: int = 3
) -> list[float]:
    """Shifts in Hz at which the magnitudes of data and a typical brain agree."""
    names = [component.name for component in model.components]
    weights = np.array([_TYPICAL.get(name, 0.0) for name in names])
    if not weights.any():
        return [0.0]
    parameters = model.start()
    parameters[LORENTZ], parameters[VARIANCE] = 4.0, 1.0
    reference = np.abs(model.complex_columns(parameters) @ weights)
    data = np.abs(model.smoothed_data())
    step = float(abs(model.ppm[0] - model.ppm[1])) * model.spectrometer_frequency
    reach = int(np.ceil(max_shift_hz / step))
    lags = np.arange(-reach, reach + 1)
    scores = [_correlation(data, reference, int(lag)) for lag in lags]
    order = np.argsort(scores)[::-1]
    chosen: list[float] = []
    for index in order:
        shift = float(lags[index]) * step
        if all(abs(shift - other) > 3.0 for other in chosen):
            chosen.append(shift)
        if len(chosen) == n_best:
            break
    return chosen


def _correlation(data: FloatArray, reference: FloatArray, lag: int) -> float:
    """Correlation of data with the reference moved by some points along frequency."""
    moved = np.roll(reference, lag)
    inside = slice(max(lag, 0), len(data) + min(lag, 0))
    first, second = data[inside] - data[inside].mean(), moved[inside] - moved[inside].mean()
    scale = np.linalg.norm(first) * np.linalg.norm(second)
    return float(first @ second / scale) if scale > 0 else -1.0


def _phase_scan(
    model: LinearCombinationModel, parameters: FloatArray
) -> list[tuple[float, float]]:
    """Phases around the circle with the misfit at each."""
    columns = model.columns(parameters)
    gram = model.gram(columns)
    # projected once: the data at any phase are a sum of these two
    parts = np.stack([model.data.real, model.data.imag], axis=1)
    cross, power = model.inner(columns, parts), model.inner(parts, parts)
    scan = []
    for phase in np.arange(_N_PHASES) * 2 * np.pi / _N_PHASES:
        turn = np.array([np.cos(phase), np.sin(phase)])
        amplitudes = nonnegative(gram, cross @ turn)
        cost = turn @ power @ turn - amplitudes @ (cross @ turn)
        scan.append((float(phase), float(cost)))
    return scan
