"""Macromolecule and lipid lines for data without a measured macromolecule spectrum.

Two published descriptions: the broad lines that LCModel simulates by default, each allowed to
move and widen a little, which the fit uses; and the thirteen lines of Birch et al. with fixed
relative heights, which make a realistic background for synthetic data.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bids_acc.mrs.spectrum import PPM_REFERENCE
from bids_acc.typing import ComplexArray

SOURCE_LCMODEL = (
    'Provencher SW. LCModel and LCMgui user manual, version 6.3, section 11.7 (simulated '
    'macromolecules and lipids: CHSIMU)'
)
SOURCE_BIRCH = 'Birch R, Peet AC, Dehghani H, Wilson M. Magn Reson Med 2017;77:34-43.'


@dataclass(frozen=True)
class BroadLine:
    """A component made of one or more Gaussian lines with fixed relative areas."""

    name: str
    kind: str
    """``macromolecule`` or ``lipid``."""
    lines: tuple[tuple[float, float, float], ...]
    """Shift in ppm, full width at half maximum in ppm, and protons of each line."""
    shift_sd_ppm: float
    """How far the component may move."""
    extra_width_ppm: float
    """Expected additional Lorentzian width."""
    extra_width_sd_ppm: float
    """And how far it may differ."""


PARAMETRISED = (
    BroadLine('Lip13a', 'lipid', ((1.28, 0.15, 2.0),), 0.01, 0.05, 0.035),
    BroadLine('Lip13b', 'lipid', ((1.28, 0.089, 2.0),), 0.01, 0.001, 0.035),
    BroadLine('Lip09', 'lipid', ((0.89, 0.14, 3.0),), 0.02, 0.05, 0.035),
    BroadLine('MM09', 'macromolecule', ((0.91, 0.14, 3.0),), 0.02, 0.03, 0.015),
    BroadLine(
        'Lip20',
        'lipid',
        ((2.04, 0.15, 1.33), (2.25, 0.15, 0.67), (2.8, 0.2, 0.87)),
        0.005,
        0.05,
        0.025,
    ),
    BroadLine(
        'MM20',
        'macromolecule',
        ((2.08, 0.15, 1.33), (2.25, 0.2, 0.33), (1.95, 0.15, 0.33), (3.0, 0.2, 0.4)),
        0.005,
        0.03,
        0.01,
    ),
    BroadLine('MM12', 'macromolecule', ((1.21, 0.15, 2.0),), 0.01, 0.05, 0.02),
    BroadLine('MM14', 'macromolecule', ((1.43, 0.17, 2.0),), 0.02, 0.03, 0.02),
    BroadLine('MM17', 'macromolecule', ((1.67, 0.15, 2.0),), 0.03, 0.02, 0.02),
)
"""The set of :data:`SOURCE_LCMODEL`."""

BIRCH_3T = (
    (0.90, 21.20, 0.72),
    (1.21, 19.16, 0.28),
    (1.38, 15.90, 0.38),
    (1.63, 7.50, 0.05),
    (2.01, 29.03, 0.45),
    (2.09, 20.53, 0.36),
    (2.25, 17.89, 0.36),
    (2.61, 5.30, 0.04),
    (2.96, 14.02, 0.20),
    (3.11, 17.89, 0.11),
    (3.67, 33.52, 0.64),
    (3.80, 11.85, 0.07),
    (3.96, 37.48, 1.00),
)
"""Shift in ppm, Gaussian width in Hz at 128 MHz, relative area (:data:`SOURCE_BIRCH`)."""


def gaussian_fid(
    ppm: float,
    width_hz: float,
    n_points: int,
    dwell_time: float,
    spectrometer_frequency: float,
) -> ComplexArray:
    """FID of a Gaussian line of unit area.

    Parameters
    ----------
    ppm : float
        Chemical shift.
    width_hz : float
        Full width at half maximum.
    n_points : int
        Number of samples.
    dwell_time : float
        Sampling interval in s.
    spectrometer_frequency : float
        Proton frequency in MHz.

    Returns
    -------
    (n_points,) ndarray of complex128

    Examples
    --------
    >>> float(abs(gaussian_fid(2.0, 10.0, 16, 0.001, 123.0)[0]))
    1.0
    """
    time = np.arange(n_points) * dwell_time
    frequency = (PPM_REFERENCE - ppm) * spectrometer_frequency
    decay = (np.pi * width_hz * time) ** 2 / (4 * np.log(2))
    return np.asarray(np.exp(2j * np.pi * frequency * time - decay))


def component_fid(
    component: BroadLine, n_points: int, dwell_time: float, spectrometer_frequency: float
) -> ComplexArray:
    """FID of a component of :data:`PARAMETRISED`; one proton has amplitude 1.

    Parameters
    ----------
    component : BroadLine
        Its lines.
    n_points : int
        Number of samples.
    dwell_time : float
        Sampling interval in s.
    spectrometer_frequency : float
        Proton frequency in MHz.

    Returns
    -------
    (n_points,) ndarray of complex128
    """
    lines = [
        protons
        * gaussian_fid(
            ppm,
            width * spectrometer_frequency,
            n_points,
            dwell_time,
            spectrometer_frequency,
        )
        for ppm, width, protons in component.lines
    ]
    return np.asarray(np.sum(lines, axis=0))


def birch_fid(n_points: int, dwell_time: float, spectrometer_frequency: float) -> ComplexArray:
    """Macromolecule FID of a healthy brain at 3 T, for synthetic spectra.

    Parameters
    ----------
    n_points : int
        Number of samples.
    dwell_time : float
        Sampling interval in s.
    spectrometer_frequency : float
        Proton frequency in MHz.

    Returns
    -------
    (n_points,) ndarray of complex128
        Area of the line at 3.96 ppm: 1.
    """
    lines = [
        area
        * gaussian_fid(
            ppm,
            width * spectrometer_frequency / 128.0,
            n_points,
            dwell_time,
            spectrometer_frequency,
        )
        for ppm, width, area in BIRCH_3T
    ]
    return np.asarray(np.sum(lines, axis=0))
