"""Signs of a spoilt spectrum, each with its rule.

The limits are conventions of this package, set from what the features are and not tuned on any
cohort; an artefact excludes only where a gate file names it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bids_acc.mrs.signal.measures import noise_sd, ppm_mask
from bids_acc.mrs.signal.referencing import singlet_amplitudes
from bids_acc.mrs.spectrum import ppm_axis, to_spectrum
from bids_acc.typing import BoolArray, ComplexArray, FloatArray

MISSING_NAA_SD = 5.0
"""NAA is missing when nothing at 1.9-2.1 ppm rises this many noise SD above its flanks."""

LIPID_RATIO = 1.0
"""Lipid is a contamination when the signal between 0.8 and 1.5 ppm departs from zero by more
than the height of NAA."""

STRONG_LIPID_RATIO = 2.0
"""Lipid this many times as high as NAA hides what lies beneath it: no healthy brain shows it."""

INVERTED_LIPID_RATIO = 0.05
"""So is a dip between 0.8 and 1.2 ppm deeper than this share of NAA's height and than five noise
SD: macromolecules point up there and lactate lies outside, so only lipid from beyond the voxel
points down."""

PHASE_SPREAD_DEG = 60.0
"""The phase is wrong when the singlets of NAA, tCr and tCho differ in it by more than this, as
after a lost start of the decay."""

RESIDUAL_WATER_RATIO = 5.0
"""Residual water is large when it exceeds this many times the height of NAA before removal."""

UNSUPPRESSED_RATIO = 200.0
"""Water was not suppressed when it begins this many times as high as the highest of NAA, creatine
and cholines: in brain some 900 to 1500 at 3 T, a third of it at an echo time of 144 ms, and what
suppression leaves is less than a tenth. A convention of this package."""

GHOST_SD = 6.0
"""A ghost is a feature in a region without metabolites (5.2-6.5 ppm) above this many noise SD."""

CLIPPED_SAMPLES = 3
"""A decay is clipped when this many of its samples share the highest real or imaginary
magnitude, which noise makes all but impossible otherwise."""

NOISE_BEYOND_PPM = 5.4
"""Noise is followed over time in the frequencies this far from water on both sides, below -0.75
and above 10 ppm: no proton of the brain resonates there."""

LEAST_NOISE_POINTS, MOST_DECAYS = 64, 64
"""Fewest frequencies from which noise is followed, and decays in which it is."""

FALLING_NOISE = 2.0
"""A decay was filtered when its noise falls by more than this factor along it: what a receiver
adds stays the same to the end. A convention."""


@dataclass(frozen=True)
class Artefact:
    """Outcome of one check."""

    name: str
    """One of `bids_acc.quality.gate.ARTEFACTS`."""
    found: bool
    """Whether it is there."""
    value: float
    """What was measured; NaN when it could not be."""
    rule: str
    """The rule, in words."""


def _peak(spectrum: FloatArray, ppm: FloatArray, low: float, high: float) -> tuple[float, float]:
    """Highest and lowest value between two shifts over the median of the flanks."""
    inside = ppm_mask(ppm, low, high)
    flanks = ppm_mask(ppm, low - 0.15, high + 0.15) & ~inside
    base = float(np.median(spectrum[flanks]))
    return float(spectrum[inside].max() - base), float(spectrum[inside].min() - base)


def is_clipped(fids: npt.ArrayLike, n_samples: int = CLIPPED_SAMPLES) -> bool:
    """Whether the receiver was saturated.

    Parameters
    ----------
    fids : (..., n_points) array_like of complex
        Raw decays, before any averaging.
    n_samples : int
        Equal extreme values that tell saturation.

    Returns
    -------
    bool
        True when the extreme real or imaginary part of a decay, or its extreme magnitude, occurs
        this often.

    Examples
    --------
    >>> decay = 10 * np.exp(-np.arange(64) / 20) + 0j
    >>> is_clipped(decay), is_clipped(np.minimum(decay.real, 8) + 0j)
    (False, True)
    """
    fids = np.asarray(fids, dtype=complex)
    # Both channels have a converter each; the magnitude is cut where software limits it.
    for part in (fids.real, fids.imag, np.abs(fids)):
        rows = np.abs(part.reshape(-1, part.shape[-1]))
        top = rows.max(axis=1, keepdims=True)
        # Samples were scaled by a factor on the way, which leaves equal integers equal but for the
        # last digits.
        at_top = (rows >= top * (1 - 1e-6)) & (top > 0)
        if (at_top.sum(axis=1) >= n_samples).any():
            return True
    return False


def check_artefacts(
    fid: npt.ArrayLike,
    dwell_time: float,
    spectrometer_mhz: float,
    residual_water_ratio: float,
    clipped: bool,
) -> list[Artefact]:
    """Look for artefacts in a preprocessed, phased decay.

    Parameters
    ----------
    fid : (n_points,) array_like of complex
        Preprocessed decay.
    dwell_time, spectrometer_mhz : float
        Sampling interval in s and spectrometer frequency in MHz.
    residual_water_ratio : float
        Residual water over NAA before its removal.
    clipped : bool
        Outcome of :func:`is_clipped` on the raw decays.

    Returns
    -------
    list of Artefact
        In a fixed order, those that were not found too.
    """
    fid = np.asarray(fid, dtype=complex)
    spectrum = to_spectrum(fid).real
    ppm = ppm_axis(fid.size, dwell_time, spectrometer_mhz)
    sd = noise_sd(fid, dwell_time, spectrometer_mhz)
    naa, below = _peak(spectrum, ppm, 1.9, 2.1)
    sides = [_peak(spectrum, ppm, low, high) for low, high in ((2.93, 3.12), (3.15, 3.28))]
    upside_down = sum(-low > high for high, low in [(naa, below), *sides])
    lipid, dip = (part / naa if naa > 0 else math.nan for part in _lipid(spectrum, ppm))
    spread = _phase_spread(fid, dwell_time, spectrometer_mhz, sd)
    return [
        Artefact(
            'missing_naa',
            bool(naa <= MISSING_NAA_SD * sd),
            naa / sd if sd > 0 else math.nan,
            f'no peak at 1.9-2.1 ppm above {MISSING_NAA_SD:g} noise SD',
        ),
        Artefact(
            'wrong_phase',
            upside_down >= 2 or spread > PHASE_SPREAD_DEG,
            spread,
            'two or more of NAA, tCr and tCho point down after phasing, or their phases differ by '
            f'more than {PHASE_SPREAD_DEG:g} degrees',
        ),
        Artefact(
            'lipid',
            lipid > LIPID_RATIO or dip > INVERTED_LIPID_RATIO,
            lipid,
            f'signal at 0.8-1.5 ppm above {LIPID_RATIO:g} times NAA, or a dip at 0.8-1.2 ppm of '
            f'more than {INVERTED_LIPID_RATIO:g} times NAA',
        ),
        Artefact(
            'strong_lipid',
            lipid > STRONG_LIPID_RATIO,
            lipid,
            f'signal at 0.8-1.5 ppm above {STRONG_LIPID_RATIO:g} times NAA',
        ),
        Artefact(
            'residual_water',
            residual_water_ratio > RESIDUAL_WATER_RATIO,
            residual_water_ratio,
            f'water before its removal above {RESIDUAL_WATER_RATIO:g} times NAA',
        ),
        _ghost(spectrum, ppm, sd),
        Artefact(
            'clipping',
            clipped,
            float(clipped),
            f'{CLIPPED_SAMPLES} samples at the extreme value',
        ),
    ]


def unsuppressed_water(
    wet: npt.ArrayLike, dry: npt.ArrayLike, dwell_time: float, spectrometer_mhz: float
) -> Artefact:
    """Tell a spectrum whose water was not suppressed: mostly the reference in its place.

    Parameters
    ----------
    wet, dry : (n_points,) array_like of complex
        Preprocessed decay with its residual water, and without it.
    dwell_time, spectrometer_mhz : float
        Sampling interval in s and spectrometer frequency in MHz.

    Returns
    -------
    Artefact
    """
    dry = np.asarray(dry, dtype=complex)
    # beyond the first samples, which receivers spoil
    water = float(np.abs(np.asarray(wet) - dry)[2:10].mean())
    singlet = float(np.abs(singlet_amplitudes(dry, dwell_time, spectrometer_mhz)).max())
    value = water / singlet if singlet > 0 else math.nan
    rule = (
        f'water begins more than {UNSUPPRESSED_RATIO:g} times as high as the highest metabolite '
        'line: it was not suppressed; is this the water reference?'
    )
    return Artefact('unsuppressed_water', value > UNSUPPRESSED_RATIO, value, rule)


def filtered_decay(fids: npt.ArrayLike, dwell_time: float, spectrometer_mhz: float) -> Artefact:
    """Tell decays that were multiplied by a filter, as spectra are for display: their noise falls.

    Parameters
    ----------
    fids : (..., n_points) array_like of complex
        Raw decays.
    dwell_time, spectrometer_mhz : float
        Sampling interval in s and spectrometer frequency in MHz.

    Returns
    -------
    Artefact
        With noise at the beginning over noise at the end; NaN where the spectral width leaves no
        frequencies with noise alone.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> noise = rng.standard_normal((1024, 2)) @ np.array([1, 1j])
    >>> smoothed = noise * np.exp(-np.arange(1024) * 5e-4 * 6)
    >>> [filtered_decay(decay, 5e-4, 127.75).found for decay in (noise, smoothed)]
    [False, True]
    """
    fids = np.asarray(fids)
    n_points = fids.shape[-1]
    fids = fids.reshape(-1, n_points)
    fids = fids[:: -(-len(fids) // MOST_DECAYS)]
    offset = np.abs(np.fft.fftshift(np.fft.fftfreq(n_points, dwell_time))) / spectrometer_mhz
    value = math.nan
    for low, high in _runs(offset > NOISE_BEYOND_PPM):
        # without edges, so that lines elsewhere do not ring through the decay
        taper = np.zeros(n_points)
        taper[low:high] = np.hanning(high - low)
        noise = np.fft.ifft(np.fft.fft(fids, axis=-1) * np.fft.ifftshift(taper), axis=-1)
        power = np.mean(np.abs(noise) ** 2, axis=0)
        early, late = (
            float(power[int(start * n_points) : int(end * n_points)].mean())
            for start, end in ((0.2, 0.4), (0.75, 0.95))
        )
        ratio = math.sqrt(early / late) if late > 0 else math.inf
        value = ratio if math.isnan(value) else min(value, ratio)
    rule = (
        f'noise falls by more than {FALLING_NOISE:g} times along the decay: it was filtered or '
        'filled before it was exported, so that S/N, widths and bounds are flattered'
    )
    return Artefact('filtered_decay', value > FALLING_NOISE, value, rule)


def _runs(there: BoolArray) -> list[tuple[int, int]]:
    """Beginnings and ends of what is true, where it is long enough to measure noise in."""
    steps = np.flatnonzero(np.diff(np.r_[False, there, False].astype(int)))
    pairs = zip(steps[::2], steps[1::2], strict=True)
    return [(int(low), int(high)) for low, high in pairs if high - low >= LEAST_NOISE_POINTS]


def _lipid(spectrum: FloatArray, ppm: FloatArray) -> tuple[float, float]:
    """Largest departure at 0.8-1.5 ppm, and deepest dip at 0.8-1.2 ppm, from the level beyond.

    The level is that below 0.4 ppm; without it both are NaN.
    """
    level, region = spectrum[ppm_mask(ppm, -0.5, 0.4)], spectrum[ppm_mask(ppm, 0.8, 1.5)]
    low = spectrum[ppm_mask(ppm, 0.8, 1.2)]
    if not (level.size and region.size and low.size):
        return math.nan, math.nan
    base = float(np.median(level))
    noise = float(np.std(level))
    dip = base - float(low.min())
    # a straight line through noise has dips of a few SD, too
    return float(np.abs(region - base).max()), dip if dip > 5 * noise else 0.0


def _phase_spread(
    fid: ComplexArray, dwell_time: float, spectrometer_mhz: float, sd: float
) -> float:
    """Largest difference of the singlets' phases in degrees; NaN when one is not seen."""
    amplitudes = singlet_amplitudes(fid, dwell_time, spectrometer_mhz)
    heights = np.abs(amplitudes) / (np.pi * dwell_time * 10)  # of a line 10 Hz wide
    if not (sd > 0 and np.all(heights > 8 * sd)):
        return math.nan
    turned = amplitudes * np.exp(-1j * np.angle(amplitudes.sum()))
    return float(np.degrees(np.ptp(np.angle(turned))))


def _ghost(spectrum: FloatArray, ppm: FloatArray, sd: float) -> Artefact:
    """Look for a feature where no metabolite resonates."""
    inside = ppm_mask(ppm, 5.2, 6.5)
    value = math.nan
    if inside.sum() > 16 and sd > 0:
        x = ppm[inside] - ppm[inside].mean()
        # The foot of residual water reaches here, and is smooth; a ghost is not.
        smooth = np.polyval(np.polyfit(x, spectrum[inside], 3), x)
        value = float(np.abs(spectrum[inside] - smooth).max() / sd)
    rule = f'a feature at 5.2-6.5 ppm above {GHOST_SD:g} noise SD'
    return Artefact('ghost', value > GHOST_SD, value, rule)
