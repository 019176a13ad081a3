"""Voigt broadening of model FIDs and the width that results."""

from __future__ import annotations

import numpy as np

from bids_acc.typing import ComplexArray, FloatArray


def gauss_variance(width_hz: float) -> float:
    """Coefficient v of exp(-v t**2) for a Gaussian full width at half maximum in Hz.

    Parameters
    ----------
    width_hz : float
        Full width at half maximum of the line in Hz.

    Returns
    -------
    float
        Per s**2: (pi w)**2 / (4 ln 2), as the Fourier transform of the decay is
        exp(-(pi f)**2 / v).

    Examples
    --------
    Its spectrum, exp(-(pi f)**2 / v), is 4 Hz wide again:

    >>> round(float(np.exp(-((np.pi * 4.0 / 2) ** 2) / gauss_variance(4.0))), 12)
    0.5
    """
    return float((np.pi * width_hz) ** 2 / (4 * np.log(2)))


def voigt_width(lorentz_hz: float, gauss_hz: float) -> float:
    """Full width at half maximum of a Voigt line in Hz.

    Parameters
    ----------
    lorentz_hz, gauss_hz : float
        Widths of the two parts.

    Returns
    -------
    float
        Accurate to 0.02 % (Olivero and Longbothum 1977, J Quant Spectrosc Radiat Transf
        17:233).

    Examples
    --------
    >>> voigt_width(3.0, 0.0), voigt_width(0.0, 4.0)
    (3.0, 4.0)
    """
    return float(0.5346 * lorentz_hz + np.sqrt((1 - 0.5346) ** 2 * lorentz_hz**2 + gauss_hz**2))


def broaden(
    fids: ComplexArray,
    time: FloatArray,
    shifts_hz: FloatArray,
    lorentz_hz: FloatArray,
    variance: float,
) -> ComplexArray:
    """Shift FIDs and broaden them by a Voigt line shape.

    Parameters
    ----------
    fids : (n_components, n_points) ndarray
        Model FIDs.
    time : (n_points,) ndarray
        Sampling times in s.
    shifts_hz, lorentz_hz : (n_components,) ndarray
        Frequency offset and Lorentzian width of each.
    variance : float
        Shared Gaussian decay, per s**2.

    Returns
    -------
    (n_components, n_points) ndarray of complex128

    Notes
    -----
    The Gaussian enters by its variance: with its width as parameter, zero is a stationary
    point that a descent never leaves.
    """
    rates = 2j * np.pi * shifts_hz - np.pi * lorentz_hz
    return np.asarray(fids * np.exp(rates[:, None] * time - variance * time**2))


def peak_width(
    fid: ComplexArray, dwell_time: float, frequency: float, search_hz: float = 12.0
) -> float:
    """Full width at half maximum of the strongest line near a frequency.

    Parameters
    ----------
    fid : (n_points,) ndarray
        In-phase FID.
    dwell_time : float
        Sampling interval in s.
    frequency : float
        Where to look, in Hz.
    search_hz : float
        How far around it.

    Returns
    -------
    float
        In Hz; NaN when there is no positive line or its flank leaves the spectrum.
    """
    n_points = 16 * fid.size
    fid = fid.copy()
    # A decay that starts at its first sample has half of it before time zero: as a whole it would
    # lift the spectrum by a constant, and with it the half height.
    fid[0] /= 2
    spectrum = np.fft.fftshift(np.fft.fft(fid, n_points)).real
    frequencies = np.fft.fftshift(np.fft.fftfreq(n_points, dwell_time))
    near = np.flatnonzero(np.abs(frequencies - frequency) < search_hz)
    if near.size == 0:
        return float('nan')
    top = int(near[np.argmax(spectrum[near])])
    half = spectrum[top] / 2
    if not half > 0:
        return float('nan')
    left = _crossing(spectrum, top, -1, half)
    right = _crossing(spectrum, top, 1, half)
    return float((right - left) * (frequencies[1] - frequencies[0]))


def _crossing(values: FloatArray, start: int, step: int, level: float) -> float:
    """Interpolated index where the values first fall below a level."""
    index = start
    while 0 < index < values.size - 1 and values[index] > level:
        index += step
    if values[index] > level:
        return float('nan')
    inner, outer = values[index - step], values[index]
    return float(index - step * (level - outer) / (inner - outer))
