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

from bids_acc.mrs.signal.measures import full_width_half_maximum, ppm_mask

NAA_PPM = (1.9, 2.12)
"""Where the highest point of a fitted NAA singlet lies."""


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

    Parameters
    ----------
    signal : (n_points,) array_like
        Fit without baseline.
    noise_sd : float
        SD of the noise of one point, in the same units.

    Returns
    -------
    float
        Dimensionless. Twice LCModel's S/N for the same noise, which has half the height.

    Examples
    --------
    >>> snr_noise([0.0, 8.0], 2.0), snr_noise([1.0], 0.0)
    (4.0, nan)
    """
    if not noise_sd > 0:
        return math.nan
    return float(np.max(np.abs(np.asarray(signal, dtype=float))) / noise_sd)


def of_curves(
    ppm: npt.ArrayLike,
    data: npt.ArrayLike,
    fit: npt.ArrayLike,
    baseline: npt.ArrayLike,
    spectrometer_mhz: float,
) -> tuple[float, float]:
    """S/N and line width from the curves of a fit, by one formula whoever made it.

    Engines count parameters and define widths each in its own way. Here the highest point of fit
    minus baseline is divided by twice the plain standard deviation of the residual, and the width
    is that of the fitted NAA peak at half height.

    Parameters
    ----------
    ppm : (n_points,) array_like
        Chemical shifts, in order.
    data, fit, baseline : (n_points,) array_like
        Curves.
    spectrometer_mhz : float
        Spectrometer frequency in MHz.

    Returns
    -------
    snr : float
        Dimensionless; NaN without a residual.
    fwhm_hz : float
        NaN when there is no peak, or it does not fall to half on both sides.

    Examples
    --------
    >>> axis = np.linspace(4.2, 0.2, 4001)
    >>> peak = 10 / (1 + ((axis - 2.008) / 0.025) ** 2)
    >>> noise = np.where(np.arange(4001) % 2, 0.5, -0.5)
    >>> [round(value, 2) for value in of_curves(axis, peak + noise, peak, 0 * axis, 127.75)]
    [10.0, 6.39]
    """
    axis, signal = np.asarray(ppm, dtype=float), np.asarray(fit, float) - np.asarray(baseline)
    snr = snr_lcm(signal, np.asarray(data, float) - np.asarray(fit, float), 0)
    inside = np.flatnonzero(ppm_mask(axis, *NAA_PPM))
    if inside.size == 0:
        return snr, math.nan
    top = axis[inside[np.argmax(signal[inside])]]
    near = np.abs(axis - top) < 0.25
    # Another line is the highest about here: the width would be that of it.
    if signal[near].max() > signal[inside].max():
        return snr, math.nan
    return snr, full_width_half_maximum(axis[near] * spectrometer_mhz, signal[near])
