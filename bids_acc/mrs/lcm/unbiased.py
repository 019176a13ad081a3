"""Amplitudes as the data alone would have them, for confidence intervals."""

from __future__ import annotations

import numpy as np

from bids_acc.exceptions import ComputationError
from bids_acc.mrs.lcm.crlb import all_derivatives, inverted, precision_of_priors
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
    :func:`~bids_acc.mrs.lcm.crlb.uncertainty`.

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
