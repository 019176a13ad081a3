"""What one proton amounts to in a basis set of unknown scale."""

from __future__ import annotations

import numpy as np
from scipy.optimize import least_squares

from bids_acc.mrs.spectrum import PPM_REFERENCE, Basis
from bids_acc.typing import ComplexArray, FloatArray

REFERENCE_SINGLETS = (('Cr', 3.027, 3), ('PCr', 3.029, 3), ('NAA', 2.008, 3), ('Scyllo', 3.34, 6))
"""Singlets to measure, with chemical shift in ppm and number of protons (Govindaraju 2000)."""
_HALF_WINDOW_PPM = 0.15


def amplitude_per_proton(basis: Basis) -> float:
    """Measure the initial FID amplitude of an uncoupled proton in a basis set.

    Parameters
    ----------
    basis : Basis
        Model spectra of unknown, common scale.

    Returns
    -------
    float
        Amplitude at time 0; NaN when no reference singlet is there.

    Notes
    -----
    A Voigt line on a parabola (the tails of the other lines) is fitted around the singlet, in
    place of LCModel's integration between fixed limits, which loses the line's own tails.

    Examples
    --------
    >>> from bids_acc.mrs.basis import simulate
    >>> basis = simulate.basis(
    ...     spectrometer_frequency=123.2,
    ...     dwell_time=5e-4,
    ...     n_points=2048,
    ...     echo_time=0.03,
    ...     te1=0.011,
    ...     metabolites=['Cr'],
    ... )
    >>> round(amplitude_per_proton(basis), 3)
    1.0
    """
    for name, ppm, n_protons in REFERENCE_SINGLETS:
        if name in basis.names:
            return _singlet_amplitude(basis, basis.fid(name), ppm) / n_protons
    return float('nan')


def _singlet_amplitude(basis: Basis, fid: ComplexArray, ppm: float) -> float:
    """Magnitude at time 0 of the Voigt line near a chemical shift."""
    time = np.arange(basis.n_points) * basis.dwell_time
    n_points = 2 * basis.n_points
    shifts = PPM_REFERENCE - (
        np.fft.fftfreq(n_points, basis.dwell_time) / basis.spectrometer_frequency
    )
    window = np.abs(shifts - ppm) < _HALF_WINDOW_PPM
    target = np.fft.fft(fid, n_points)[window]
    # Lines beside the window reach into it by their tails, smoothly: a parabola takes them up.
    tails = np.vander((shifts[window] - ppm) / _HALF_WINDOW_PPM, 3)
    peak_ppm = shifts[window][np.argmax(np.abs(target))]
    start = (PPM_REFERENCE - peak_ppm) * basis.spectrometer_frequency

    def solve(parameters: FloatArray) -> tuple[ComplexArray, ComplexArray]:
        frequency, lorentz, variance = parameters
        line = np.exp(2j * np.pi * frequency * time - lorentz * time - variance * time**2)
        columns = np.column_stack([np.fft.fft(line, n_points)[window], tails])
        weights = np.linalg.lstsq(columns, target, rcond=None)[0]
        return weights, target - columns @ weights

    def residual(parameters: FloatArray) -> FloatArray:
        return np.asarray(solve(parameters)[1].view(float) / np.abs(target).max())

    bounds = ([start - 5, 0, 0], [start + 5, 100, 1e4])
    found = least_squares(residual, [start, 3.0, 1.0], bounds=bounds, x_scale=[1.0, 1.0, 10.0])
    return float(np.abs(solve(found.x)[0][0]))
