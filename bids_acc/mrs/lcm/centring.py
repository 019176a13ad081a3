"""Bringing data to the place of the basis set before the baseline becomes flexible.

The window of a fit and the knots of its baseline lie at fixed chemical shifts. Which part of the
lines at the ends of the window is inside, and where the knots lie below the lines, must not depend
on how far the data happen to be moved: with a flexible baseline, levels do.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bids_acc.mrs.lcm.model import PHASE0, PHASE1, SHIFT
from bids_acc.mrs.lcm.options import FitOptions
from bids_acc.mrs.lcm.result import FitResult
from bids_acc.mrs.spectrum import Spectrum
from bids_acc.typing import FloatArray


def recentred(spectrum: Spectrum, shift_ppm: float) -> Spectrum:
    """Shift the data to the place of the basis set.

    Parameters
    ----------
    spectrum : Spectrum
        Data.
    shift_ppm : float
        Their shift against the basis set; positive: towards lower ppm.

    Returns
    -------
    Spectrum
    """
    shift_hz = shift_ppm * spectrum.spectrometer_frequency
    return replace(spectrum, fid=spectrum.fid * np.exp(-2j * np.pi * shift_hz * spectrum.time))


def recentred_options(options: FitOptions, shift_ppm: float) -> FitOptions:
    """Say what is known of phase and shift for data that were recentred.

    Parameters
    ----------
    options : FitOptions
        For the data as they were measured.
    shift_ppm : float
        What :func:`recentred` took out.

    Returns
    -------
    FitOptions
    """
    known = options.known_phase
    if known is None:
        return options
    moved = replace(
        known, shift_ppm=known.shift_ppm - shift_ppm, pivot_ppm=known.pivot_ppm + shift_ppm
    )
    return replace(options, known_phase=moved)


def recentred_parameters(parameters: FloatArray, shift_ppm: float) -> FloatArray:
    """Shared parameters of data as measured, for the same data recentred.

    The first-order phase belongs to the lines, which move; the zero-order phase is that at the
    middle of the window, which does not.

    Parameters
    ----------
    parameters : (n_parameters,) ndarray
        Of :class:`~bids_acc.mrs.lcm.model.LinearCombinationModel`, with the shift of the data.
    shift_ppm : float
        What :func:`recentred` took out.

    Returns
    -------
    (n_parameters,) ndarray of float64
        With no shift.
    """
    parameters = parameters.copy()
    parameters[SHIFT] = 0.0
    parameters[PHASE0] -= parameters[PHASE1] * shift_ppm
    return parameters


def as_measured(result: FitResult, shift_ppm: float) -> FitResult:
    """Shift and zero-order phase of the data as they were before they were recentred.

    Parameters
    ----------
    result : FitResult
        Of recentred data.
    shift_ppm : float
        What :func:`recentred` took out.

    Returns
    -------
    FitResult
        Its curves stay on the scale of the basis set.
    """
    phase0 = result.phase0_deg + result.phase1_deg_per_ppm * shift_ppm
    return replace(
        result,
        shift_ppm=result.shift_ppm + shift_ppm,
        phase0_deg=float(np.rad2deg(np.angle(np.exp(1j * np.deg2rad(phase0))))),
    )
