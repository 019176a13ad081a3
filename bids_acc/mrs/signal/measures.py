"""Simple measures of a spectrum: noise, height and width of a peak, whatever its phase."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bids_acc.mrs.spectrum import frequency_axis, ppm_axis, to_spectrum
from bids_acc.typing import BoolArray

GYROMAGNETIC_RATIO_1H = 42.577478
"""Proton gyromagnetic ratio over 2 pi in MHz/T (CODATA 2018, rounded)."""

NOISE_EDGES_PPM = (-2.0, 10.0)
"""Noise is measured below the first and above the second of these shifts, where no proton of
the brain resonates."""


def ppm_mask(ppm: npt.ArrayLike, low: float, high: float) -> BoolArray:
    """Where the axis lies between two chemical shifts, ends included.

    Parameters
    ----------
    ppm : (n_points,) array_like
        Chemical shifts, in any order.
    low, high : float
        Ends in ppm.

    Returns
    -------
    (n_points,) ndarray of bool
    """
    ppm = np.asarray(ppm)
    return (ppm >= low) & (ppm <= high)


def noise_sd(
    fid: npt.ArrayLike, dwell_time: float, spectrometer_mhz: float, min_points: int = 32
) -> float:
    """Measure the noise in the real part of the unfilled spectrum.

    The two ends of the spectrum, outside :data:`NOISE_EDGES_PPM`, are each freed of a parabola,
    because the tails of water and of a first-point error are smooth there.

    Parameters
    ----------
    fid : (n_points,) array_like of complex
        Free induction decay.
    dwell_time : float
        Sampling interval in s.
    spectrometer_mhz : float
        Spectrometer frequency in MHz.
    min_points : int
        Fewest points from which a standard deviation is taken.

    Returns
    -------
    float
        In units of the spectrum; NaN when the spectral width leaves too few points.
    """
    spectrum = to_spectrum(fid)
    ppm = ppm_axis(spectrum.size, dwell_time, spectrometer_mhz)
    low, high = NOISE_EDGES_PPM
    sums, dof = 0.0, 0
    for ends in (ppm < low, ppm > high):
        x, parts = ppm[ends], spectrum[ends]
        if x.size < min_points // 2:
            continue
        design = np.vander((x - x.mean()) / np.ptp(x), 3)
        # Noise is the same in both parts, and whichever phase the spectrum has, twice as many
        # points tell it.
        for part in (parts.real, parts.imag):
            residual = part - design @ np.linalg.lstsq(design, part, rcond=None)[0]
            sums, dof = sums + float(residual @ residual), dof + x.size - 3
    return float(np.sqrt(sums / dof)) if dof >= min_points and sums > 0 else float('nan')


def full_width_half_maximum(x: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """Full width at half of the highest value, half-heights interpolated linearly.

    Parameters
    ----------
    x : (n_points,) array_like
        Monotonic axis, for example in Hz.
    y : (n_points,) array_like
        Curve with one dominating, positive peak.

    Returns
    -------
    float
        Width in units of `x`; NaN when the curve does not fall to half on both sides.

    Examples
    --------
    >>> axis = np.linspace(-50, 50, 1001)
    >>> round(full_width_half_maximum(axis, 1 / (1 + (axis / 3) ** 2)), 2)
    6.0
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    top = int(np.argmax(y))
    half = y[top] / 2
    below = np.flatnonzero(y < half)
    left, right = below[below < top], below[below > top]
    if not y[top] > 0 or left.size == 0 or right.size == 0:
        return float('nan')

    def crossing(outside: int, inside: int) -> float:
        share = (half - y[outside]) / (y[inside] - y[outside])
        return float(x[outside] + share * (x[inside] - x[outside]))

    return abs(crossing(right[0], right[0] - 1) - crossing(left[-1], left[-1] + 1))


def peak_measures(
    fid: npt.ArrayLike,
    dwell_time: float,
    spectrometer_mhz: float,
    window: tuple[float, float] = (1.85, 2.15),
) -> tuple[float, float]:
    """S/N and width of the highest peak in a window, whatever the phase of the spectrum.

    The peak is phased by its own summit. S/N is its height above the median of the window's
    surroundings over :func:`noise_sd`; it serves to compare the same data before and after a
    step and is no substitute for the S/N of a fit.

    Parameters
    ----------
    fid : (n_points,) array_like of complex
        Free induction decay.
    dwell_time, spectrometer_mhz : float
        Sampling interval in s and spectrometer frequency in MHz.
    window : tuple of float
        Chemical shifts in ppm in which the summit is sought; the default holds NAA.

    Returns
    -------
    snr : float
        Dimensionless; NaN when there is no noise region.
    fwhm_hz : float
        NaN when the peak does not fall to half.
    """
    fid = np.asarray(fid, dtype=complex)
    fill = 8
    # Filled with zeros: a line of few points has its summit between two of them.
    spectrum = to_spectrum(fid, fill * fid.size)
    ppm = ppm_axis(spectrum.size, dwell_time, spectrometer_mhz)
    inside = np.flatnonzero(ppm_mask(ppm, *window))
    if inside.size == 0:
        return float('nan'), float('nan')
    top = inside[np.argmax(np.abs(spectrum[inside]))]
    near = np.abs(ppm - ppm[top]) < 0.4
    phased = (spectrum * np.exp(-1j * np.angle(spectrum[top]))).real
    phased -= np.median(phased[near])
    sd = noise_sd(fid, dwell_time, spectrometer_mhz)
    frequency = frequency_axis(spectrum.size, dwell_time)
    width = full_width_half_maximum(frequency[near], phased[near])
    return float(phased[top] / sd), width
