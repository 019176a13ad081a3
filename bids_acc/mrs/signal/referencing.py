"""Put the spectrum on the ppm scale and in phase, from its three great singlets."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bids_acc.mrs.signal.measures import ppm_mask
from bids_acc.mrs.spectrum import ppm_axis, to_spectrum
from bids_acc.typing import ComplexArray, FloatArray

SINGLETS_PPM = (2.008, 3.027, 3.21)
"""Methyl singlets of NAA, of creatine with phosphocreatine, and of the cholines, in ppm.

Govindaraju et al. (2000), NMR Biomed 13:129; the cholines' value is the middle of GPC and PCh.
"""

LARGEST_SHIFT_PPM = 0.3
"""The scale is looked for within this distance on both sides."""


WIDEST_SHIFT_PPM = 1.0
"""A spectrum that may be off the centre altogether is looked for within this distance."""


def find_shift(
    fid: npt.ArrayLike,
    dwell_time: float,
    spectrometer_mhz: float,
    largest_ppm: float = LARGEST_SHIFT_PPM,
) -> float:
    """Displacement of the singlets from their chemical shifts, whatever the phase.

    The magnitude spectrum, broadened by 4 Hz, is correlated with narrow windows at the singlets.

    Parameters
    ----------
    fid : (n_points,) array_like of complex
        Decay without residual water.
    dwell_time, spectrometer_mhz : float
        Sampling interval in s and spectrometer frequency in MHz.
    largest_ppm : float
        Range of the search on both sides.

    Returns
    -------
    float
        In ppm; positive when the peaks lie at too high a chemical shift.
    """
    fid = np.asarray(fid, dtype=complex)
    grid, score = _scores(fid, dwell_time, spectrometer_mhz, True, largest_ppm)
    return float(grid[np.argmax(score)])


def singlet_score(fid: npt.ArrayLike, dwell_time: float, spectrometer_mhz: float) -> float:
    """How well three peaks stand at the distances of the singlets, near their places.

    Parameters
    ----------
    fid : (n_points,) array_like of complex
        Decay without residual water.
    dwell_time, spectrometer_mhz : float
        Sampling interval in s and spectrometer frequency in MHz.

    Returns
    -------
    float
        Up to 3: for each singlet the height in its place over the highest line near it, at the
        best common displacement.
    """
    fid = np.asarray(fid, dtype=complex)
    return float(_scores(fid, dwell_time, spectrometer_mhz, True)[1].max())


OTHER_SCALES: tuple[float, ...] = (0.5, 2.0, 3 / 7, 7 / 3)
"""Factors by which a ppm scale is wrong when a sampling interval is told twice or half as long, as
oversampling is counted or not, or 3 T are taken for 7 or 1.5 T."""

SCORE_ELSEWHERE, SCORE_GAIN, SCORE_MOST = 1.35, 1.3, 3.0
"""The scale is another when the singlets then score so much (of 3), and this factor more than with
the one that is told. Of 24 real and simulated scans, those with the right scale reach 1.1 with
others; told wrong, they reach 1.4 and more with the right one. Noise reaches 1.3."""


def scale_factor(fid: npt.ArrayLike, dwell_time: float, spectrometer_mhz: float) -> float:
    """Tell by what factor the ppm scale is wrong, from the distances of the singlets.

    Parameters
    ----------
    fid : (n_points,) array_like of complex
        Decay without residual water, with its water at the centre.
    dwell_time, spectrometer_mhz : float
        Sampling interval in s and spectrometer frequency in MHz.

    Returns
    -------
    float
        The spectrometer frequency would have to be this many times as high, or the sampling
        interval as long; 1 unless one of :data:`OTHER_SCALES` fits clearly better.

    Examples
    --------
    >>> time = np.arange(2048) * 5e-4
    >>> lines = [(4.65 - ppm) * 127.75 for ppm in SINGLETS_PPM]
    >>> decay = sum(np.exp((2j * np.pi * line - 15) * time) for line in lines)
    >>> scale_factor(decay, 5e-4, 127.75), scale_factor(decay, 2.5e-4, 127.75)
    (1.0, 2.0)
    """
    fid = np.asarray(fid, dtype=complex)

    def score(factor: float) -> float:
        at = (dwell_time, spectrometer_mhz * factor)
        found = max(singlet_score(decay, *at) for decay in (fid, fid.conj()))
        return found if found <= SCORE_MOST else 0.0  # beyond, the window lies outside

    scores = {factor: score(factor) for factor in OTHER_SCALES}
    best = max(scores, key=lambda factor: scores[factor])
    clear = scores[best] > max(SCORE_ELSEWHERE, SCORE_GAIN * score(1.0))
    return best if clear else 1.0


def _scores(
    fid: ComplexArray,
    dwell_time: float,
    spectrometer_mhz: float,
    relative: bool,
    largest_ppm: float = LARGEST_SHIFT_PPM,
) -> tuple[FloatArray, FloatArray]:
    """Height in the windows at the singlets for each displacement of a grid.

    Relative heights weigh the three singlets alike; absolute ones keep the units of the spectrum.
    """
    time = np.arange(fid.size) * dwell_time
    # finer than lines are wide, so that a height does not depend on where the grid lies
    n_fill = 4 * fid.size
    # Magnitudes, since the phase is not known yet; turned round, as interpolation wants a rising
    # axis.
    magnitude = np.abs(to_spectrum(fid * np.exp(-np.pi * 4 * time), n_fill))[::-1]
    ppm = ppm_axis(n_fill, dwell_time, spectrometer_mhz)[::-1]
    grid = np.arange(-round(largest_ppm * 1000), round(largest_ppm * 1000) + 1) / 1000
    offsets = np.linspace(-0.02, 0.02, 9)
    score = np.zeros(grid.size)
    for singlet in SINGLETS_PPM:
        at = np.interp(singlet + grid[:, None] + offsets, ppm, magnitude).mean(axis=1)
        near = magnitude[ppm_mask(ppm, singlet - 0.4, singlet + 0.4)]
        unit = max(float(near.max()), 1e-300) if relative and near.size else 1.0
        score += (at - (np.median(near) if near.size else 0.0)) / unit
    return grid, score


def is_conjugated(fid: npt.ArrayLike, dwell_time: float, spectrometer_mhz: float) -> bool:
    """Whether the spectrum is mirrored, as conjugated decays are.

    The singlets must stand out of the mirrored spectrum more than twice as high as out of the
    given one.

    Parameters
    ----------
    fid : (n_points,) array_like of complex
        Decay without residual water.
    dwell_time, spectrometer_mhz : float
        Sampling interval in s and spectrometer frequency in MHz.

    Returns
    -------
    bool
        True when the decay has to be conjugated.

    Examples
    --------
    >>> time = np.arange(1024) * 5e-4
    >>> naa = np.exp((2j * np.pi * (4.65 - 2.008) * 127.75 - 15) * time)
    >>> is_conjugated(naa, 5e-4, 127.75), is_conjugated(naa.conj(), 5e-4, 127.75)
    (False, True)
    """
    fid = np.asarray(fid, dtype=complex)
    as_given, mirrored = (
        float(_scores(f, dwell_time, spectrometer_mhz, False)[1].max()) for f in (fid, fid.conj())
    )
    # noise looks the same mirrored: only a clear gain turns the decay
    return mirrored > 2 * max(as_given, 0.0)


def find_phase(fid: npt.ArrayLike, dwell_time: float, spectrometer_mhz: float) -> float:
    """Phase that the singlets share: that of the sum of :func:`singlet_amplitudes`.

    Parameters
    ----------
    fid : (n_points,) array_like of complex
        Decay, already on the ppm scale.
    dwell_time, spectrometer_mhz : float
        Sampling interval in s and spectrometer frequency in MHz.

    Returns
    -------
    float
        In rad, to be taken away.
    """
    return float(np.angle(singlet_amplitudes(fid, dwell_time, spectrometer_mhz).sum()))


def singlet_amplitudes(
    fid: npt.ArrayLike, dwell_time: float, spectrometer_mhz: float
) -> ComplexArray:
    """Complex amplitudes of the singlets of NAA, creatine and cholines.

    Lorentzians of one width, on a straight complex baseline about NAA and about creatine and
    choline, are fitted.

    Parameters
    ----------
    fid : (n_points,) array_like of complex
        Decay, already on the ppm scale.
    dwell_time, spectrometer_mhz : float
        Sampling interval in s and spectrometer frequency in MHz.

    Returns
    -------
    (3,) ndarray of complex128
        In the order of :data:`SINGLETS_PPM`.
    """
    fid = np.asarray(fid, dtype=complex)
    n_points = fid.size
    time = np.arange(n_points) * dwell_time
    ppm = ppm_axis(n_points, dwell_time, spectrometer_mhz)
    regions = [ppm_mask(ppm, 1.85, 2.15), ppm_mask(ppm, 2.9, 3.35)]
    inside = regions[0] | regions[1]
    spectrum = to_spectrum(fid)[inside]
    straight = [(region * x)[inside] for region in regions for x in (1.0, ppm)]
    best = (np.inf, np.zeros(3, dtype=complex))
    # a coarse grid: the phase hardly depends on the width
    for width in (3.0, 4.5, 6.0, 8.0, 11.0, 15.0):
        lines: list[npt.NDArray[np.complexfloating]] = []
        for singlet in SINGLETS_PPM:
            frequency = (4.65 - singlet) * spectrometer_mhz
            lines.append(to_spectrum(np.exp((2j * np.pi * frequency - np.pi * width) * time)))
        design = np.column_stack([*(line[inside] for line in lines), *straight])
        solution = np.linalg.lstsq(design, spectrum, rcond=None)[0]
        misfit = float(np.sum(np.abs(spectrum - design @ solution) ** 2))
        if misfit < best[0]:
            best = (misfit, solution[:3])
    return best[1]
