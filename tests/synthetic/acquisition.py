"""Simulate what a scanner stores, from a known decay: coils, transients, drift, noise, water.

For tests, benchmarks and demonstration data, where the truth must be known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bids_acc.typing import ComplexArray, FloatArray


@dataclass(frozen=True)
class Acquisition:
    """Simulated raw decays with the truth behind them."""

    fids: ComplexArray
    """(n_coils, n_transients, n_points)."""
    sensitivities: ComplexArray
    """Of the coils, (n_coils,)."""
    noise_covariance: ComplexArray
    """Of a sample's noise between coils, (n_coils, n_coils)."""
    frequency_hz: FloatArray
    """Offset of each transient in Hz."""
    phase_rad: FloatArray
    """Phase of each transient in rad."""


def residual_water(
    n_points: int,
    dwell_time: float,
    amplitude: float,
    offsets_hz: Sequence[float] = (-3.0, 0.5, 4.0),
    widths_hz: Sequence[float] = (6.0, 9.0, 14.0),
    shares: Sequence[complex] = (0.5 + 0.2j, 0.35 - 0.3j, 0.3 + 0.1j),
) -> ComplexArray:
    """Residual water made of a few Lorentzians of unequal phase.

    Parameters
    ----------
    n_points : int
        Samples.
    dwell_time : float
        Sampling interval in s.
    amplitude : float
        Magnitude of the sum at time zero.
    offsets_hz, widths_hz : sequence of float
        Positions and widths at half maximum in Hz.
    shares : sequence of complex
        Relative complex amplitudes.

    Returns
    -------
    (n_points,) ndarray of complex128
        Decay.
    """
    time = np.arange(n_points) * dwell_time
    lines = [
        share * np.exp((2j * np.pi * offset - np.pi * width) * time)
        for share, offset, width in zip(shares, offsets_hz, widths_hz, strict=True)
    ]
    total = np.sum(lines, axis=0)
    return total * amplitude / abs(total[0])


def simulate_acquisition(
    fid: npt.ArrayLike,
    dwell_time: float,
    noise_sd: float,
    rng: np.random.Generator,
    n_coils: int = 8,
    n_transients: int = 64,
    drift_sd_hz: float = 1.7,
    phase_sd_rad: float = 0.2,
) -> Acquisition:
    """Raw transients of several coils, with frequency drift and correlated noise.

    Parameters
    ----------
    fid : (n_points,) array_like of complex
        Noise-free decay.
    dwell_time : float
        Sampling interval in s.
    noise_sd : float
        Standard deviation of real and imaginary noise of a sample in the mean of all transients,
        after the best combination of the coils.
    rng : Generator
        Source of randomness.
    n_coils, n_transients : int
        Size.
    drift_sd_hz : float
        Standard deviation of the offsets: half of it a steady drift, the rest random.
    phase_sd_rad : float
        Standard deviation of the phases.

    Returns
    -------
    Acquisition
        Decays and truth.
    """
    fid = np.asarray(fid, dtype=complex)
    time = np.arange(fid.size) * dwell_time
    steady = np.linspace(-1, 1, n_transients)
    offsets = steady / max(float(steady.std()), 1e-12) + rng.standard_normal(n_transients)
    frequency = drift_sd_hz * offsets / max(float(offsets.std()), 1e-12)
    phase = phase_sd_rad * rng.standard_normal(n_transients)
    sensitivity = rng.standard_normal(n_coils) + 1j * rng.standard_normal(n_coils)
    mixing = np.eye(n_coils) + 0.25 * (
        rng.standard_normal((n_coils, n_coils)) + 1j * rng.standard_normal((n_coils, n_coils))
    )
    covariance = mixing @ mixing.conj().T
    gain = float((sensitivity.conj() @ np.linalg.solve(covariance, sensitivity)).real)
    # noise of the best combination of one transient has power 2 / gain per complex sample
    scale = noise_sd * np.sqrt(n_transients * gain)
    white = rng.standard_normal((n_coils, n_transients, fid.size, 2)) @ np.array([1, 1j])
    noise = scale * np.tensordot(mixing, white, axes=1)
    moved = fid * np.exp(1j * (2 * np.pi * np.outer(frequency, time) + phase[:, None]))
    return Acquisition(
        fids=sensitivity[:, None, None] * moved + noise,
        sensitivities=sensitivity,
        noise_covariance=2 * scale**2 * covariance,
        frequency_hz=frequency,
        phase_rad=phase,
    )
