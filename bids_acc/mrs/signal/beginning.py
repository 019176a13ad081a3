"""The beginning of a decay: samples that were taken before the echo, or while a filter filled.

Some sequences open the receiver before the echo, and some receivers store how their digital filter
fills. Every line then has a first-order phase that no fit of a decay undoes. The magnitude of a
decay is highest at the echo, whatever lines it has, when one line outweighs all others: water.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bids_acc.mrs.signal.referencing import find_shift, singlet_amplitudes, singlet_score
from bids_acc.mrs.signal.water import remove_residual_water
from bids_acc.typing import ComplexArray

LATEST_S = 0.06
"""The echo is looked for within this time: what is longer is no delay of a receiver."""

LATEST_OWN_S = 0.012
"""The same for decays of suppressed water, in which lines that beat rise again later."""

FEWEST_SAMPLES = 2
"""One sample is what some receivers halve or filter away."""

RISE = 0.98
"""An echo is told only where the decay begins below this share of its height. Water of 10 Hz falls
by 1.6 % in one sample of 0.5 ms, and rises as much before the echo. A convention."""

NOISE_SHARE = 0.3
"""The end of a decay of which an echo is told is lower than this share of it: noise has none."""

IN_PHASE, GAIN = 0.9, 0.1
"""The singlets share their phase, by this measure of :func:`in_phase`, when a decay begins at the
echo, and share it better by so much than before. Conventions."""


SEEN = 0.85
"""The singlets are there when they score more than this (of 3): spectra score 0.9 to 1.7 down to a
S/N of 1, as for the centre of a spectrum."""

ONSET_SAMPLES = 8
"""Samples at both ends that are compared, to tell whether an array begins with a decay."""

NO_ONSET, ONSET = 5.0, 20.0
"""A decay is the higher at its start than at its end, the higher its S/N; a spectrum has like
values on both sides of water and of its edges. An array is a spectrum when its ends differ by less
than the first factor, and those of its transform by more than the second. Conventions."""


def is_spectrum(fids: npt.ArrayLike) -> bool:
    """Whether arrays hold spectra in the place of decays.

    Parameters
    ----------
    fids : (..., n_points) array_like of complex
        What should be decays.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> noise = rng.standard_normal((1024, 2)) @ np.array([1, 1j])
    >>> decay = 50 * np.exp((300j - 15) * np.arange(1024) * 5e-4) + noise
    >>> is_spectrum(decay), is_spectrum(np.fft.fft(decay)), is_spectrum(noise)
    (False, True, False)
    """
    fids = np.asarray(fids, dtype=complex)
    return _onset(fids) < NO_ONSET and _onset(np.fft.fft(fids, axis=-1)) > ONSET


def _onset(values: ComplexArray) -> float:
    """Magnitude at one end over that at the other; the higher of both first."""
    power = np.mean(np.abs(values) ** 2, axis=tuple(range(values.ndim - 1)))
    ends = power[1 : 1 + ONSET_SAMPLES].mean(), power[-ONSET_SAMPLES:].mean()
    return float(np.sqrt(max(ends) / max(min(ends), 1e-300)))


def echo_sample(decays: npt.ArrayLike, dwell_time: float, latest: float = LATEST_S) -> int:
    """Count the samples before the echo.

    Parameters
    ----------
    decays : (..., n_points) array_like of complex
        Decays of which one line outweighs the others, of any phase.
    dwell_time : float
        Sampling interval in s.
    latest : float
        Time within which the echo is looked for, in s.

    Returns
    -------
    int
        Zero for decays that are highest at their start.

    Examples
    --------
    >>> decay = np.exp(-np.arange(512) * 5e-4 / 0.06)
    >>> echo_sample(decay, 5e-4), echo_sample(np.r_[decay[8:0:-1], decay], 5e-4)
    (0, 8)
    """
    power = np.mean(np.abs(np.asarray(decays)) ** 2, axis=tuple(range(np.ndim(decays) - 1)))
    end = float(np.sqrt(np.median(power[3 * power.size // 4 :])))
    height = np.sqrt(power[: max(int(latest / dwell_time), FEWEST_SAMPLES + 1)])
    top = int(np.argmax(height))
    # A height at the end of the window still rises: that is a growing signal, and no echo in it.
    if top < FEWEST_SAMPLES or top == height.size - 1 or height[0] > RISE * height[top]:
        return 0
    return top if end < NOISE_SHARE * height[top] else 0


def in_phase(fid: ComplexArray, dwell_time: float, spectrometer_mhz: float) -> float:
    """How well NAA, creatine and cholines share their phase.

    Parameters
    ----------
    fid : (n_points,) ndarray of complex
        Decay.
    dwell_time, spectrometer_mhz : float
        Sampling interval in s and spectrometer frequency in MHz.

    Returns
    -------
    float
        Length of the sum of their amplitudes over the sum of the lengths: 1 when all are alike, 0
        where the singlets are not seen.
    """
    axis = (dwell_time, spectrometer_mhz)
    dry = remove_residual_water(fid, *axis)
    if singlet_score(dry, *axis) < SEEN:
        return 0.0
    moved = -find_shift(dry, *axis) * spectrometer_mhz
    turn = np.exp(-2j * np.pi * moved * dwell_time * np.arange(fid.size))
    lines = singlet_amplitudes(dry * turn, *axis)
    return float(np.abs(lines.sum()) / max(np.abs(lines).sum(), 1e-300))


def samples_before_echo(
    fids: npt.ArrayLike,
    dwell_time: float,
    spectrometer_mhz: float,
    water: npt.ArrayLike | None = None,
) -> int:
    """Count the samples before the echo where the lines confirm it.

    Parameters
    ----------
    fids : (n_coils, n_transients, n_points) array_like of complex
        Decays of a spectrum.
    dwell_time, spectrometer_mhz : float
        Sampling interval in s and spectrometer frequency in MHz.
    water : (..., n_points) array_like of complex, optional
        Its water reference, which tells the echo better where both were received alike.

    Returns
    -------
    int
        Zero unless the singlets of the spectrum come into phase by leaving them out.
    """
    fids = np.asarray(fids, dtype=complex)
    candidates = {echo_sample(fids, dwell_time, LATEST_OWN_S)}
    if water is not None:
        candidates.add(echo_sample(water, dwell_time))
    candidates -= {0}
    if not candidates:
        return 0
    # a filter leaves half of the first sample and overshoots in the next, which is highest
    candidates |= {before - 1 for before in candidates}
    coil = int(np.argmax(np.sum(np.abs(fids) ** 2, axis=(1, 2))))
    # what the transients do not share, by the sample at which all of them are high
    turns = np.exp(-1j * np.angle(fids[coil, :, max(candidates)]))
    fid = np.asarray((fids[coil] * turns[:, None]).mean(axis=0), dtype=np.complex128)
    shared = {
        # Whether the file is conjugated is found out later: either may be the right one here.
        before: max(in_phase(f, dwell_time, spectrometer_mhz) for f in (decay, decay.conj()))
        for before, decay in ((before, fid[before:]) for before in (0, *sorted(candidates)))
    }
    best = max(shared, key=lambda before: (shared[before], -before))
    return best if shared[best] > max(IN_PHASE, shared[0] + GAIN) else 0
