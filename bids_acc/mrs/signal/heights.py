"""Transients of two heights in one series: two receiver gains, or two repetition times.

Alignment, rejection and the search for editing all leave the height of a transient free, so that
nothing else tells a series that was joined of two.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bids_acc.mrs.signal.measures import ppm_mask
from bids_acc.typing import ComplexArray, FloatArray

LEAST_RATIO, APART = 1.25, 5.0
"""Transients are of two heights when those of one group are so many times as high as the others,
and both groups lie this many of their own SD apart: the halves of a normal distribution lie 2.7
apart. A head that moves, and noise, change heights by less, and by degrees. Conventions."""

FEWEST, LEAST_GROUP = 8, 2
"""Fewest transients of which that is told, and fewest of a group."""

HEIGHT_PPM = (1.8, 3.4)
"""Where heights are measured: NAA, creatine and cholines, away from residual water."""


def two_heights(aligned: npt.ArrayLike, dwell_time: float, spectrometer_mhz: float) -> str:
    """Say that transients fall into two heights; empty when they do not.

    Parameters
    ----------
    aligned : (n_transients, n_points) array_like of complex
        Transients, aligned and not conjugated.
    dwell_time, spectrometer_mhz : float
        Sampling interval in s and spectrometer frequency in MHz.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> decay = np.exp((2j * np.pi * 2.6 * 127.75 - 15) * np.arange(1024) * 5e-4)
    >>> series = decay + rng.normal(size=(16, 1024, 2)) @ np.array([0.1, 0.1j])
    >>> two_heights(series, 5e-4, 127.75)
    ''
    >>> two_heights(series * np.repeat([[1], [3]], 8, axis=0), 5e-4, 127.75)[:50]
    '8 of the 16 transients are 3.0 times as high as th'
    """
    aligned = np.asarray(aligned, dtype=complex)
    if len(aligned) < FEWEST:
        return ''
    distance, ratio, count = _two_groups(_heights(aligned, dwell_time, spectrometer_mhz))
    if distance < APART or ratio < LEAST_RATIO:
        return ''
    return (
        f'{count} of the {len(aligned)} transients are {ratio:.1f} times as high as the others, '
        'as two receiver gains, repetition or echo times make them: keep those of one kind when '
        'converting'
    )


def _heights(aligned: ComplexArray, dwell_time: float, mhz: float) -> FloatArray:
    """Height of each transient's lines over that of their mean."""
    ppm = 4.65 - np.fft.fftfreq(aligned.shape[1], dwell_time) / mhz
    spectra = np.fft.fft(aligned, axis=1)[:, ppm_mask(ppm, *HEIGHT_PPM)]
    # less a parabola, as which the foot of residual water reaches here
    x = np.linspace(-1, 1, spectra.shape[1])
    smooth = np.linalg.qr(np.stack([np.ones_like(x), x, x**2], axis=1))[0]
    spectra = spectra - (spectra @ smooth) @ smooth.T
    mean = spectra.mean(axis=0)
    power = max(float(np.vdot(mean, mean).real), 1e-300)
    return np.asarray((spectra @ mean.conj()).real / power)


def _two_groups(heights: FloatArray) -> tuple[float, float, int]:
    """Best division in two: distance in SD within the groups, ratio, number of the higher ones."""
    heights = np.sort(heights)
    best = (0.0, 1.0, 0)
    for count in range(LEAST_GROUP, heights.size - LEAST_GROUP + 1):
        low, high = heights[:-count], heights[-count:]
        within = np.sqrt((low.var() * low.size + high.var() * count) / (heights.size - 2))
        distance = float((high.mean() - low.mean()) / max(within, 1e-12))
        if low.mean() > 0 and distance > best[0]:
            best = (distance, float(high.mean() / low.mean()), count)
    return best
