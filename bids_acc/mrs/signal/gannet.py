"""Edited GABA and Glx by Gaussians, and their quality, as Gannet and Osprey define them.

For comparison with published values only; written from the definitions, not from the code.

Gannet 3 (Edden et al. 2014, J Magn Reson Imaging 40:1445, https://doi.org/10.1002/jmri.24478),
model GABA+Glx: three Gaussians ``a exp(b (x - c)**2)`` near 3.71, 3.79 and 3.02 ppm, a slope and a
sine and cosine of a quarter of 1.31 ppm on (ON - OFF)/2 between 2.79 and 4.10 ppm, 3 Hz of line
broadening; cholines hardly count. ``FitError`` is 100 times the SD of the residual over the height
(for GABA between 2.79 and 3.55 ppm), ``FWHM`` is two sigma and not the width at half height,
``S/N`` is the height over twice the SD of the noise. Creatine is one of two Lorentzians of OFF
between 2.6 and 3.6 ppm. Osprey's S/N: Oeltzschner et al. 2020, J Neurosci Methods 343:108827,
https://doi.org/10.1016/j.jneumeth.2020.108827.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from bids_acc.mrs.signal.measures import noise_sd, ppm_mask
from bids_acc.mrs.spectrum import ppm_axis, to_spectrum
from bids_acc.typing import ComplexArray, FloatArray

BROADENING_HZ = 3.0
"""Lorentzian broadening before the fit."""

FIT_PPM, GABA_PPM, CREATINE_PPM = (2.79, 4.10), (2.79, 3.55), (2.6, 3.6)
"""Ranges of the fit, of the fit error of GABA, and of the fit of creatine."""

CHOLINE_PPM, CHOLINE_WEIGHT = (3.16, 3.285), 0.001
"""Where and how little the cholines count."""

OSPREY_NOISE_PPM = (-2.0, 0.0)
"""Where Osprey measures noise."""


@dataclass(frozen=True)
class GaussianFit:
    """Areas in units of the spectrum times ppm, and measures of quality; NaN where not found."""

    gaba_area: float
    """Of the Gaussian at 3.02 ppm of (ON - OFF)/2."""
    glx_area: float
    """Of the two Gaussians at 3.75 ppm."""
    creatine_area: float
    """Of the Lorentzian at 3.02 ppm of OFF."""
    gaba_fit_error_pct: float
    """Gannet's FitError of GABA."""
    glx_fit_error_pct: float
    """Gannet's FitError of Glx."""
    gaba_fwhm_hz: float
    """Gannet's FWHM of GABA, in Hz."""
    gaba_snr: float
    """Gannet's S/N of GABA."""
    osprey_snr: float
    """Osprey's S/N of the difference: highest magnitude in 2.8-3.2 ppm above the mean of the
    noise, over its SD, a parabola taken away."""

    @property
    def gaba_over_creatine(self) -> float:
        """Ratio of areas, as published values are: no number of protons, no relaxation."""
        return self.gaba_area / self.creatine_area if self.creatine_area > 0 else math.nan


_NONE = GaussianFit(*[math.nan] * 8)


def _real_spectrum(
    fid: ComplexArray, dwell_time: float, spectrometer_mhz: float
) -> tuple[FloatArray, FloatArray]:
    """Shifts and real part of the broadened spectrum, four times filled."""
    time = np.arange(fid.size) * dwell_time
    n_filled = 4 * fid.size
    spectrum = to_spectrum(fid * np.exp(-np.pi * BROADENING_HZ * time), n_filled).real
    return ppm_axis(n_filled, dwell_time, spectrometer_mhz), spectrum


def _gaussians(parameters: FloatArray, ppm: FloatArray) -> FloatArray:
    """(3, n) Gaussians: Glx twice, GABA."""
    heights, widths, places = parameters[:9].reshape(3, 3).T
    return np.asarray(heights[:, None] * np.exp(widths[:, None] * (ppm - places[:, None]) ** 2))


def _background(parameters: FloatArray, ppm: FloatArray) -> FloatArray:
    """Slope, sine and cosine."""
    slope, sine, cosine = parameters[9:]
    turn = np.pi * ppm / (4 * 1.31)
    return np.asarray(slope * (ppm - parameters[8]) + sine * np.sin(turn) + cosine * np.cos(turn))


def _fit_gaussians(ppm: FloatArray, spectrum: FloatArray) -> FloatArray:
    """Twelve parameters of the difference, for a spectrum of height one."""
    weights = np.where(ppm_mask(ppm, *CHOLINE_PPM), CHOLINE_WEIGHT, 1.0)
    start = [0.5, -700.0, 3.71, 0.5, -700.0, 3.79, 0.7, -90.0, 3.02, 0.0, 0.0, 0.0]
    low = [-2.0, -4000.0, 3.66, -2.0, -4000.0, 3.74, -2.0, -800.0, 2.97, -9.0, -9.0, -9.0]
    high = [3.0, -100.0, 3.76, 3.0, -100.0, 3.84, 3.0, -30.0, 3.07, 9.0, 9.0, 9.0]

    def residual(x: FloatArray) -> FloatArray:
        model = _gaussians(x, ppm).sum(axis=0) + _background(x, ppm)
        return np.asarray(np.sqrt(weights) * (model - spectrum))

    # Heights are of the order of one, 1/width squared of hundreds, places of hundredths of a ppm:
    # steps of the solver are counted in these.
    scale = [1.0, 100.0, 0.01] * 3 + [1.0, 1.0, 1.0]
    return np.asarray(least_squares(residual, start, bounds=(low, high), x_scale=scale).x)


def _creatine_area(ppm: FloatArray, spectrum: FloatArray) -> float:
    """Area of creatine's Lorentzian beside that of the cholines, of one width and phase."""
    inside = ppm_mask(ppm, *CREATINE_PPM)
    x, data = ppm[inside], spectrum[inside]
    height = float(data.max())
    if not height > 0:
        return math.nan

    def lines(p: FloatArray) -> FloatArray:
        total = np.zeros(x.size)
        for place, share in ((p[2], 1.0), (p[2] + 0.18, p[4])):
            turned = np.exp(1j * p[3]) / (1 + 1j * (x - place) / p[1])
            total += p[0] * share * turned.real
        return np.asarray(total + p[5] + p[6] * (x - 3.0))

    found = least_squares(
        lambda p: lines(p) - data / height, [1.0, 0.03, 3.02, 0.0, 0.5, 0.0, 0.0],
        bounds=([0, 0.005, 2.9, -1, 0, -2, -2], [5, 0.15, 3.15, 1, 3, 2, 2]),
    ).x  # fmt: skip
    return float(np.pi * found[0] * height * found[1])


def fit_gaussians(
    on: ComplexArray, off: ComplexArray, dwell_time: float, spectrometer_mhz: float
) -> GaussianFit:
    """Fit (ON - OFF)/2 by Gaussians and creatine of OFF by a Lorentzian.

    Parameters
    ----------
    on, off : (n_points,) ndarray of complex
        Conditions, aligned, on the ppm scale and in phase.
    dwell_time, spectrometer_mhz : float
        Sampling interval in s and spectrometer frequency in MHz.

    Returns
    -------
    GaussianFit
    """
    half = (on - off) / 2
    if not (np.all(np.isfinite(half)) and np.any(half)):
        return _NONE
    ppm, spectrum = _real_spectrum(half, dwell_time, spectrometer_mhz)
    inside = ppm_mask(ppm, *FIT_PPM)
    x, height = ppm[inside], float(np.abs(spectrum[inside]).max())
    data = spectrum[inside] / height
    found = _fit_gaussians(x, data)
    parts = _gaussians(found, x)
    rest = data - parts.sum(axis=0) - _background(found, x)
    areas = height * found[0:9:3] * np.sqrt(np.pi / -found[1:9:3])
    near = ppm_mask(x, *GABA_PPM) & ~ppm_mask(x, *CHOLINE_PPM)
    beyond = ppm_mask(x, GABA_PPM[1], FIT_PPM[1])
    gaba, glx = float(found[6]), float(parts[:2].sum(axis=0).max())
    broadened = half * np.exp(-np.pi * BROADENING_HZ * np.arange(half.size) * dwell_time)
    noise = noise_sd(broadened, dwell_time, spectrometer_mhz)
    return GaussianFit(
        gaba_area=float(areas[2]),
        glx_area=float(areas[0] + areas[1]),
        creatine_area=_creatine_area(*_real_spectrum(off, dwell_time, spectrometer_mhz)),
        gaba_fit_error_pct=100 * float(rest[near].std()) / gaba if gaba > 0 else math.nan,
        glx_fit_error_pct=100 * float(rest[beyond].std()) / glx if glx > 0 else math.nan,
        gaba_fwhm_hz=2 * spectrometer_mhz * math.sqrt(1 / (2 * abs(float(found[7])))),
        gaba_snr=gaba * height / (2 * noise),
        osprey_snr=_osprey_snr(on - off, dwell_time, spectrometer_mhz),
    )


def _osprey_snr(fid: ComplexArray, dwell_time: float, spectrometer_mhz: float) -> float:
    """Osprey's S/N of a difference spectrum; NaN when the spectral width leaves no noise."""
    ppm = ppm_axis(fid.size, dwell_time, spectrometer_mhz)
    spectrum = to_spectrum(fid)
    inside, outside = ppm_mask(ppm, 2.8, 3.2), ppm_mask(ppm, *OSPREY_NOISE_PPM)
    if outside.sum() < 16:
        return math.nan
    noise, axis = spectrum[outside].real, np.linspace(-1, 1, int(outside.sum()))
    sd = float(np.std(noise - np.polyval(np.polyfit(axis, noise, 2), axis)))
    return float((np.abs(spectrum[inside]).max() - noise.mean()) / sd) if sd > 0 else math.nan
