"""Errors of amplitudes: bounds, their scatter over spectra, and estimates without priors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bids_acc.exceptions import ComputationError
from bids_acc.mrs.lcm.model import N_SHARED, LinearCombinationModel, Solution
from bids_acc.typing import BoolArray, FloatArray

LOOSER = 2.0
"""How many times as large as in the fit the variances of a metabolite's own shift and width are
here. The fit's priors are right for a crowd of people, while one person measured again and again
has but one shift; the looser they are, the less an interval depends on which of them is asked
about, and the further a model that misses something can carry the amplitudes away. (Chosen among
1, 2, 4 and 9 by simulation on other seeds than the benchmark's, and by the distance to the fit's
amplitudes in two spectra of brain.)"""

BEYOND_LINEAR = 1.03
"""Errors over those of linear theory, because shifts and widths act on a line by more than their
first derivative. (From the same simulations.)"""


@dataclass(frozen=True)
class Uncertainty:
    """What the Fisher information says about a fit."""

    covariance: FloatArray
    """(n_components, n_components) Cramér-Rao covariance of the amplitudes."""
    sampling: FloatArray
    """(n_components, n_components) covariance of the amplitudes' errors over spectra."""
    residual_sd: float
    """Of a point of the real spectrum, with the degrees of freedom that are left."""
    n_effective: float
    """Effective number of parameters (LCModel's NDF)."""


def uncertainty(
    model: LinearCombinationModel, parameters: FloatArray, solution: Solution
) -> Uncertainty:
    r"""Covariance of the amplitudes from the full Fisher information.

    With :math:`J` the derivatives of the model by all amplitudes, spline coefficients, phases,
    shifts and widths, and :math:`P` the precision of penalties and priors,

    .. math:: F = J^T J / \sigma^2 + P, \qquad \mathrm{cov} = F^{-1}, \qquad
              n_\mathrm{eff} = \mathrm{tr}(F^{-1} J^T J / \sigma^2).

    The error of the estimates over spectra is another matrix. The priors on shifts, widths,
    phase and ratios describe how spectra and people differ; the penalty of the baseline
    describes nothing of the kind, it only steers the fit and must not be counted as data (Wood
    2006, Aust N Z J Stat 48:445, compares both for smoothers). With :math:`Q` the part of
    :math:`P` without that penalty,

    .. math:: \mathrm{sampling} = F^{-1} (J^T J / \sigma^2 + Q) F^{-1},

    which is never larger than the bound.

    Parameters
    ----------
    model : LinearCombinationModel
        The fit.
    parameters : (n_parameters,) ndarray
        Nonlinear parameters at the minimum.
    solution : Solution
        Amplitudes and baseline there.

    Returns
    -------
    Uncertainty

    Raises
    ------
    ComputationError
        If the information is singular or not finite.

    Notes
    -----
    Amplitudes at zero stay in, as in LCModel: that an amplitude hit its bound does not make
    its neighbours better known. The bound says nothing about errors of the basis set, the
    macromolecules or the baseline's stiffness (Kreis 2016, Magn Reson Med 75:15).
    """
    jacobian = all_derivatives(model, parameters, solution)
    n_rows = len(jacobian)
    squares = float(solution.residual @ solution.residual)
    sd, n_effective = model.noise_sd, 0.0
    inverse = information = np.empty((0, 0))
    # noise and degrees of freedom depend on each other: three rounds settle both
    for _ in range(3):
        information = jacobian.T @ jacobian / sd**2
        inverse = inverted(information + precision_of_priors(model, sd))
        n_effective = float(np.sum(inverse * information))
        sd = float(np.sqrt(squares / max(n_rows - n_effective, 1.0)))
        if sd == 0:
            break
    first = model.n_parameters
    block = slice(first, first + model.n_components)
    differences = precision_of_priors(model, sd)
    differences[block.stop :, block.stop :] = 0.0
    sampling = inverse[block] @ (information + differences) @ inverse[:, block]
    return Uncertainty(inverse[block, block], sampling, sd, n_effective)


def unbiased_amplitudes(
    model: LinearCombinationModel, parameters: FloatArray, solution: Solution
) -> tuple[FloatArray, FloatArray]:
    r"""Amplitudes without soft ratios and without the bound at zero, and their covariance.

    Soft ratios pull a metabolite that the data hardly show towards what is usual, and no
    amplitude is below zero: good for an estimate, but an interval about such an estimate holds
    the truth too often or too rarely, as the truth is near to what was expected or not. From the
    minimum of the fit, :math:`r` its residual, one Gauss-Newton step leads to the minimum without
    them,

    .. math:: x' = x + F^{-1} (J^T r / \sigma^2 - K (x - m)), \qquad F = J^T J / \sigma^2 + K,

    where :math:`K` is the precision that stays: the baseline's penalty, the priors of the line
    shape and of the broad lines as in the fit, those of the metabolites' own shifts and widths
    :data:`LOOSER`. Over spectra its error has the covariance

    .. math:: F^{-1} (J^T J / \sigma^2 + K \Sigma K) F^{-1}

    times the square of :data:`BEYOND_LINEAR`, with :math:`\Sigma` the covariance of what the
    priors describe, and nothing for the baseline's penalty, as in
    :func:`uncertainty`.

    Parameters
    ----------
    model : LinearCombinationModel
        The fit; its noise is that of the residual.
    parameters : (n_parameters,) ndarray
        Nonlinear parameters at the minimum.
    solution : Solution
        Amplitudes and baseline there.

    Returns
    -------
    amplitudes : (n_components,) ndarray of float64
        May be negative; NaN where the data alone do not determine them.
    covariance : (n_components, n_components) ndarray of float64

    Notes
    -----
    Macromolecules and lipids that are lines of the fit are background, as the baseline is: they
    keep their soft ratios, and stay at zero where the fit has them there.
    """
    first, n_components = model.n_parameters, model.n_components
    metabolite = np.array([item.kind == 'metabolite' for item in model.components])
    precision, differences = _kept(model, metabolite)
    away = np.concatenate([parameters - model.prior_mean, solution.amplitudes, solution.splines])
    free = np.ones(away.size, dtype=bool)
    free[first : first + n_components] = metabolite | (solution.amplitudes > 0)
    jacobian = all_derivatives(model, parameters, solution)[:, free]
    information = jacobian.T @ jacobian / model.noise_sd**2
    inside = np.ix_(free, free)
    inverse = np.zeros_like(precision)
    try:
        inverse[inside] = inverted(information + precision[inside])
    except ComputationError:
        inverse[:] = np.nan
    inverse = inverse[first : first + n_components, free]
    downhill = jacobian.T @ solution.residual / model.noise_sd**2 - (precision @ away)[free]
    covariance = inverse @ (information + differences[inside]) @ inverse.T
    return solution.amplitudes + inverse @ downhill, BEYOND_LINEAR**2 * covariance


def _kept(model: LinearCombinationModel, metabolite: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Precision that stays, and what it adds to the variance of the amplitudes' errors."""
    first, n_components = model.n_parameters, model.n_components
    precision = precision_of_priors(model, model.noise_sd)
    background = model.ratios[~model.ratios[:, metabolite].any(axis=1)]
    amplitudes = slice(first, first + n_components)
    precision[amplitudes, amplitudes] = background.T @ background
    own = N_SHARED + np.flatnonzero(np.tile(metabolite, 2))
    precision[own, own] /= LOOSER
    differences = precision.copy()
    differences[own, own] /= LOOSER  # K S K, with S as in the fit
    differences[amplitudes.stop :, amplitudes.stop :] = 0.0
    return precision, differences


def all_derivatives(
    model: LinearCombinationModel, parameters: FloatArray, solution: Solution
) -> FloatArray:
    """Differentiate model minus data by nonlinear parameters, amplitudes and splines.

    Parameters
    ----------
    model : LinearCombinationModel
        The fit.
    parameters : (n_parameters,) ndarray
        Nonlinear parameters at the minimum.
    solution : Solution
        Amplitudes and baseline there.

    Returns
    -------
    (n_window, n_all) ndarray of float64
        Columns in this order.
    """
    return np.hstack(
        [model.derivatives(parameters, solution.amplitudes), solution.columns, model.splines]
    )


def precision_of_priors(model: LinearCombinationModel, sd: float) -> FloatArray:
    """Precision of priors and penalties, in the order of :func:`all_derivatives`.

    The penalty's weight is relative to the data's; the noise scales both.

    Parameters
    ----------
    model : LinearCombinationModel
        Priors of the nonlinear parameters, soft ratios, and penalty of the baseline.
    sd : float
        Noise SD of a point, in units of the data.

    Returns
    -------
    (n_all, n_all) ndarray of float64
        Inverse variances; zero for what nothing is known of beforehand.
    """
    n_parameters, n_components = model.n_parameters, model.n_components
    size = n_parameters + n_components + model.splines.shape[1]
    precision = np.zeros((size, size))
    precision[:n_parameters, :n_parameters] = np.diag(model.prior_sd**-2.0)
    amplitudes = slice(n_parameters, n_parameters + n_components)
    precision[amplitudes, amplitudes] = model.ratios.T @ model.ratios
    splines = slice(n_parameters + n_components, size)
    precision[splines, splines] = model.roughness / sd**2
    return precision


def inverted(matrix: FloatArray) -> FloatArray:
    """Inverse of a symmetric positive matrix, scaled first.

    Parameters
    ----------
    matrix : (n, n) ndarray
        Fisher information. Its rows have different units (rad, Hz, amplitudes), so that it is
        brought to a unit diagonal before: the result then does not depend on them.

    Returns
    -------
    (n, n) ndarray of float64

    Raises
    ------
    ComputationError
        If it is singular or not finite.
    """
    diagonal = np.diag(matrix)
    if not (np.all(np.isfinite(matrix)) and np.all(diagonal > 0)):
        raise ComputationError('the Fisher information is singular or not finite')
    # Amplitudes, radians and Hz differ by many powers of ten; unscaled, the inverse would lose
    # digits.
    scale = 1 / np.sqrt(diagonal)
    try:
        inverse = np.linalg.inv(matrix * np.outer(scale, scale))
    except np.linalg.LinAlgError as error:
        raise ComputationError('the Fisher information is singular') from error
    return np.asarray(inverse * np.outer(scale, scale))
