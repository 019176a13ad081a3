"""Quality of a spectrum: what each number means, and in which direction it is better.

``builtin_snr_lcm``
    Highest of fit minus baseline over twice the standard deviation of the residuals, which is
    corrected for the degrees of freedom of the fit. Higher is better. LCModel's formula
    (Provencher 1993, Magn Reson Med 30:672, https://doi.org/10.1002/mrm.1910300604, and its
    source), not rounded.
``lcmodel_snr``
    The same, as LCModel prints it: a whole number.
``builtin_snr_noise``
    Highest of fit minus baseline over the standard deviation of the noise outside the brain's
    range. Higher is better; two or more times as large as the former.
``fsl_snr_spectrum``, ``fsl_snr_residual``, ``osprey_snr``
    As FSL-MRS and Osprey print them; see their sources for the definitions.
``builtin_fwhm``
    Width at half maximum of the fitted singlet of NAA (of tCr when NAA is absent). Lower is
    better.
``builtin_kernel_fwhm``
    Width at half maximum of the fitted broadening alone, without the basis set's own width.
    Lower is better. LCModel's definition, not quantised.
``lcmodel_fwhm``
    As LCModel prints it: a whole number of steps of its ppm axis. Lower is better.
``fsl_fwhm``, ``osprey_fwhm``
    As FSL-MRS and Osprey print them.
``*_crlb``
    Cramer-Rao lower bound over the amplitude, in percent. Lower is better.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt


def snr_lcm(signal: npt.ArrayLike, residual: npt.ArrayLike, n_parameters: float) -> float:
    """S/N by LCModel's formula.

    Parameters
    ----------
    signal : (n_points,) array_like
        Fit without baseline.
    residual : (n_points,) array_like
        Data without fit.
    n_parameters : float
        Effective number of fitted parameters.

    Returns
    -------
    float
        NaN when there are no degrees of freedom or no residuals.

    Examples
    --------
    >>> snr_lcm([0.0, 8.0, 0.0, 0.0], [1.0, -1.0, 1.0, -1.0], 0)
    4.0
    """
    residual = np.asarray(residual, dtype=float)
    dof = residual.size - n_parameters
    power = float(residual @ residual)
    if not (dof > 0 and power > 0):
        return math.nan
    return float(0.5 * np.max(np.abs(np.asarray(signal, dtype=float))) / np.sqrt(power / dof))


def snr_noise(signal: npt.ArrayLike, noise_sd: float) -> float:
    """Highest of the fit without baseline over the noise; NaN without noise.

    Examples
    --------
    >>> snr_noise([0.0, 8.0], 2.0), snr_noise([1.0], 0.0)
    (4.0, nan)
    """
    if not noise_sd > 0:
        return math.nan
    return float(np.max(np.abs(np.asarray(signal, dtype=float))) / noise_sd)
