"""Cramér-Rao bounds with every parameter counted as unknown, and the errors of the estimates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bids_acc.exceptions import ComputationError
from bids_acc.mrs.lcm.model import LinearCombinationModel, Solution
from bids_acc.typing import FloatArray


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


def all_derivatives(
    model: LinearCombinationModel, parameters: FloatArray, solution: Solution
) -> FloatArray:
    """Differentiate model minus data by nonlinear parameters, amplitudes and splines.

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

    Raises
    ------
    ComputationError
        If it is singular or not finite.
    """
    diagonal = np.diag(matrix)
    if not (np.all(np.isfinite(matrix)) and np.all(diagonal > 0)):
        raise ComputationError('the Fisher information is singular or not finite')
    scale = 1 / np.sqrt(diagonal)
    try:
        inverse = np.linalg.inv(matrix * np.outer(scale, scale))
    except np.linalg.LinAlgError as error:
        raise ComputationError('the Fisher information is singular') from error
    return np.asarray(inverse * np.outer(scale, scale))
