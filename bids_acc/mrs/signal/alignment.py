"""Align transients in frequency and phase, and leave out those unlike the others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bids_acc.typing import BoolArray, ComplexArray, FloatArray

UNLIKE_SD = 2.58
"""A transient further than this many robust standard deviations from the median one is left
out; 1 % of normally distributed transients would be, half of them on the far side."""

MINIMUM_TRANSIENTS = 8
"""With fewer transients none is left out: their spread cannot be told."""


@dataclass(frozen=True)
class Alignment:
    """Corrections found for each transient."""

    frequency_hz: FloatArray
    """Offset of each transient from the reference in Hz, (n_transients,)."""
    phase_rad: FloatArray
    """Phase of each transient against the reference in rad, (n_transients,)."""


def shift_and_phase(
    fids: npt.ArrayLike, dwell_time: float, frequency_hz: npt.ArrayLike, phase_rad: npt.ArrayLike
) -> ComplexArray:
    """Take an offset and a phase away from decays.

    Parameters
    ----------
    fids : (..., n_points) array_like of complex
        Decays.
    dwell_time : float
        Sampling interval in s.
    frequency_hz, phase_rad : (...,) array_like
        What to take away, in Hz and rad.

    Returns
    -------
    (..., n_points) ndarray of complex128
        Corrected decays.
    """
    fids = np.asarray(fids, dtype=complex)
    time = np.arange(fids.shape[-1]) * dwell_time
    angle = 2 * np.pi * np.multiply.outer(np.asarray(frequency_hz, dtype=float), time)
    return np.asarray(fids * np.exp(-1j * (angle + np.asarray(phase_rad, dtype=float)[..., None])))


def _coarse_offsets(fids: ComplexArray, reference: ComplexArray, dwell_time: float) -> FloatArray:
    """Offsets at the maximum of |<reference, transient shifted>|, on a grid 8 times finer."""
    n_fill = 8 * fids.shape[-1]
    product = np.fft.fft(fids * reference.conj(), n_fill, axis=-1)
    frequency = np.fft.fftfreq(n_fill, dwell_time)
    # A head and a drifting magnet move lines by some hertz; farther away the highest correlation
    # is that of one line with another.
    near = np.flatnonzero(np.abs(frequency) < 30)
    return np.asarray(frequency[near[np.argmax(np.abs(product[:, near]), axis=-1)]])


def register_transients(
    fids: npt.ArrayLike,
    reference: npt.ArrayLike,
    dwell_time: float,
    duration_s: float = 0.2,
    n_iterations: int = 12,
) -> Alignment:
    """Frequency and phase of each transient against a reference, in the time domain.

    Least squares between the reference and the corrected transient over the first part of the
    decay (Near et al. 2015, Magn Reson Med 73:44, https://doi.org/10.1002/mrm.25094), solved by
    Gauss-Newton steps with the analytic Jacobian. Departure from the paper: the amplitude of
    each transient is free, so that a weaker transient is not forced to a wrong phase.

    Parameters
    ----------
    fids : (n_transients, n_points) array_like of complex
        Transients.
    reference : (n_points,) array_like of complex
        What they are aligned to.
    dwell_time : float
        Sampling interval in s.
    duration_s : float
        Only this much of the decay is used; later samples hold mostly noise.
    n_iterations : int
        Gauss-Newton steps.

    Returns
    -------
    Alignment
        To be taken away with :func:`shift_and_phase`.

    Examples
    --------
    >>> time = np.arange(1024) * 5e-4
    >>> decay = np.exp(-time / 0.08) * (1 + np.exp(2j * np.pi * 130 * time))
    >>> moved = decay * np.exp(1j * (2 * np.pi * 1.5 * time + 0.2))
    >>> found = register_transients(moved[None], decay, 5e-4)
    >>> round(float(found.frequency_hz[0]), 4), round(float(found.phase_rad[0]), 4)
    (1.5, 0.2)
    """
    n_used = max(int(duration_s / dwell_time), 32)
    used = np.asarray(fids, dtype=complex)[:, :n_used]
    target = np.asarray(reference, dtype=complex)[:n_used]
    omega = 2 * np.pi * np.arange(used.shape[1]) * dwell_time
    # Gauss-Newton steps lead to the right minimum from within a line width only
    frequency = _coarse_offsets(used, target, dwell_time)
    for _ in range(n_iterations):
        moved = used * np.exp(-1j * np.outer(frequency, omega))
        inner = moved @ target.conj()
        scale = inner / np.sum(np.abs(target) ** 2)
        model = scale[:, None] * target
        # model exp(i(omega f + phase)): derivatives by f, phase and log amplitude
        by_frequency = 1j * omega * model
        residual = moved - model
        ones = np.stack([by_frequency, 1j * model, model], axis=1)
        normal = np.einsum('kin,kjn->kij', ones.conj(), ones).real
        right = np.einsum('kin,kn->ki', ones.conj(), residual).real
        # A transient of zeros has a singular matrix, and would take all others of the stack with
        # it.
        step = np.linalg.solve(normal + 1e-12 * np.eye(3) * normal.max(), right[..., None])
        # farther than this the phase model is not linear any more
        frequency = frequency + np.clip(step[:, 0, 0], -5, 5)
        if np.max(np.abs(step[:, 0, 0])) < 1e-6:
            break
    inner = (used * np.exp(-1j * np.outer(frequency, omega))) @ target.conj()
    return Alignment(frequency, np.angle(inner))


def align_transients(
    fids: npt.ArrayLike, dwell_time: float, n_passes: int = 3
) -> tuple[ComplexArray, Alignment]:
    """Align transients to their own average, which sharpens with each pass.

    The first reference is the transient nearest to the median of all; later ones are the mean of
    the aligned transients.

    Parameters
    ----------
    fids : (n_transients, n_points) array_like of complex
        Transients.
    dwell_time : float
        Sampling interval in s.
    n_passes : int
        Times that the reference is renewed.

    Returns
    -------
    aligned : (n_transients, n_points) ndarray of complex128
        Aligned transients.
    alignment : Alignment
        What was taken away; frequencies and phases have a median of zero over transients.
    """
    fids = np.asarray(fids, dtype=complex)
    n_transients = fids.shape[0]
    if n_transients == 1:
        return fids, Alignment(np.zeros(1), np.zeros(1))
    middle = np.median(fids.real, axis=0) + 1j * np.median(fids.imag, axis=0)
    # one transient, not their mean, whose lines are blurred by the drift that is looked for
    nearest = int(np.argmin(np.sum(np.abs(fids - middle) ** 2, axis=1)))
    reference = fids[nearest]
    for _ in range(n_passes):
        found = register_transients(fids, reference, dwell_time)
        # a circular mean: phases on both sides of 180 degrees would average to zero
        turn = float(np.angle(np.mean(np.exp(1j * found.phase_rad))))
        phase = np.angle(np.exp(1j * (found.phase_rad - turn)))
        # Less their median: the mean of the aligned transients stays where the transients were,
        # and does not wander off with the reference.
        alignment = Alignment(found.frequency_hz - np.median(found.frequency_hz), phase)
        aligned = shift_and_phase(fids, dwell_time, alignment.frequency_hz, alignment.phase_rad)
        reference = aligned.mean(axis=0)
    return aligned, alignment


def unlike_transients(
    fids: npt.ArrayLike, dwell_time: float, threshold: float = UNLIKE_SD, duration_s: float = 0.2
) -> BoolArray:
    """Which transients are unlike the others, by a stated rule.

    The mean squared distance of each transient from the median transient is compared with the
    median of these distances; a transient lying more than `threshold` robust standard deviations
    (1.4826 times the median absolute deviation) above it is unlike.

    Parameters
    ----------
    fids : (n_transients, n_points) array_like of complex
        Aligned transients.
    dwell_time : float
        Sampling interval in s.
    threshold : float
        In robust standard deviations.
    duration_s : float
        Only this much of the decay is compared.

    Returns
    -------
    (n_transients,) ndarray of bool
        All false with fewer than :data:`MINIMUM_TRANSIENTS`.
    """
    fids = np.asarray(fids, dtype=complex)
    if fids.shape[0] < MINIMUM_TRANSIENTS:
        return np.zeros(fids.shape[0], dtype=bool)
    used = fids[:, : max(int(duration_s / dwell_time), 32)]
    middle = np.median(used.real, axis=0) + 1j * np.median(used.imag, axis=0)
    distance = np.mean(np.abs(used - middle) ** 2, axis=1)
    excess = distance - np.median(distance)
    spread = 1.4826 * np.median(np.abs(excess))
    return np.asarray(excess > threshold * spread if spread > 0 else excess > 0)
