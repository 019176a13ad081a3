"""Combine receive coils with the best signal-to-noise ratio."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bids_acc.exceptions import InputDataError
from bids_acc.typing import ComplexArray

DEPENDENT = 1e-6
"""Smallest eigenvalue of the noise correlation below which a coil is a sum of others, as one that
the scanner combined is, and the matrix cannot be inverted: convention of this package."""


def noise_covariance(fids: npt.ArrayLike, tail: float = 0.25) -> ComplexArray:
    """Covariance of the coils' noise, from the end of the decays.

    The mean over transients of each sample is taken away first where there are several, so that
    signal that lasts to the end does not count as noise. Too few samples for a full matrix, or
    coils of which one is a sum of others, give the diagonal.

    Parameters
    ----------
    fids : (n_coils, n_transients, n_points) array_like of complex
        Decays.
    tail : float
        Share of the points, at the end, that hold noise only.

    Returns
    -------
    (n_coils, n_coils) ndarray of complex128
        Hermitian and positive definite.

    Raises
    ------
    InputDataError
        If a coil holds no noise, which means that it was not connected.
    """
    fids = np.asarray(fids, dtype=complex)
    n_coils, n_transients, n_points = fids.shape
    noise = fids[..., n_points - max(int(tail * n_points), 16) :]
    # what all transients share is signal; the mean of a few would take noise away as well
    if n_transients > 3:
        noise = noise - noise.mean(axis=1, keepdims=True)
    else:
        noise = noise - noise.mean(axis=2, keepdims=True)
    samples = noise.reshape(n_coils, -1)
    covariance = samples @ samples.conj().T / samples.shape[1]
    power = np.diagonal(covariance).real
    if np.any(power <= 0):
        dead = ', '.join(str(k) for k in np.flatnonzero(power <= 0))
        raise InputDataError(f'coil {dead} (counted from 0) holds no signal: remove it.')
    scale = np.sqrt(power)
    smallest = np.linalg.eigvalsh(covariance / np.outer(scale, scale))[0]
    # too few samples, or coils that are sums of others, leave nothing to whiten by
    if samples.shape[1] < 4 * n_coils or smallest < DEPENDENT:
        return np.diag(power).astype(complex)
    return np.asarray(covariance)


def coil_weights(fids: npt.ArrayLike, covariance: npt.ArrayLike) -> ComplexArray:
    """Weights that combine coils with the highest signal-to-noise ratio.

    The decays are whitened by the noise covariance; the first right singular vector of what
    results holds the coils' sensitivities (Rodgers & Robson 2010, Magn Reson Med 63:881,
    https://doi.org/10.1002/mrm.22230). The phase is that of the most sensitive coil, and the
    scale leaves the noise of a combined sample with unit standard deviation.

    Parameters
    ----------
    fids : (n_coils, n_transients, n_points) array_like of complex
        Decays with much signal; the water reference where there is one.
    covariance : (n_coils, n_coils) array_like of complex
        From :func:`noise_covariance`.

    Returns
    -------
    (n_coils,) ndarray of complex128
        ``combined = weights @ fids``.

    Examples
    --------
    A coil with twice the noise gets a quarter of the weight.

    >>> signal = np.exp(-np.arange(64) / 20) + 0j
    >>> weights = coil_weights(np.stack([signal, signal])[:, None], np.diag([1.0, 4.0]))
    >>> round(float(abs(weights[1] / weights[0])), 6)
    0.25
    """
    fids = np.asarray(fids, dtype=complex)
    samples = fids.reshape(fids.shape[0], -1)
    # Whitened by the triangular factor: its inverse makes the noise of all coils equal and
    # independent, so that the first singular vector maximises the ratio of signal to noise and not
    # the signal alone.
    lower = np.linalg.cholesky(np.asarray(covariance, dtype=complex))
    whitened = np.linalg.solve(lower, samples)
    # of the small product: the same left vectors as those of the long matrix, for less
    left = np.linalg.svd(whitened @ whitened.conj().T, hermitian=True)[0][:, 0]
    weights = np.linalg.solve(lower.conj().T, left).conj()
    strongest = int(np.argmax(np.abs(lower @ left)))
    return np.asarray(weights * np.exp(1j * np.angle((lower @ left)[strongest])))


def combine_coils(
    fids: npt.ArrayLike, reference: npt.ArrayLike | None = None
) -> tuple[ComplexArray, ComplexArray]:
    """Noise-whitened singular-value combination of coils.

    Parameters
    ----------
    fids : (n_coils, n_transients, n_points) array_like of complex
        Decays to combine.
    reference : (n_coils, n, m) array_like of complex, optional
        Water decays of the same coils; the weights come from them where given.

    Returns
    -------
    combined : (n_transients, n_points) ndarray of complex128
        Combined decays.
    weights : (n_coils,) ndarray of complex128
        Weights used; the same ones must combine the reference.

    Raises
    ------
    InputDataError
        If the reference has another number of coils, or a coil holds signal without noise.

    Examples
    --------
    A coil that was not connected has no part in it.

    >>> decay = np.exp(-np.arange(64) / 20) * np.array([1, 2, 0])[:, None, None]
    >>> noise = np.random.default_rng(0).standard_normal((3, 1, 64, 2)) @ np.array([1, 1j])
    >>> decay = decay + 0.01 * noise * np.array([1, 1, 0])[:, None, None]
    >>> combine_coils(decay)[1].round(3)[2]
    np.complex128(0j)
    """
    fids = np.asarray(fids, dtype=complex)
    if fids.shape[0] == 1:
        return fids[0], np.ones(1, dtype=complex)
    # Water is thousands of times as high as metabolites: sensitivities are told by it best.
    source = fids if reference is None else np.asarray(reference, dtype=complex)
    if source.shape[0] != fids.shape[0]:
        raise InputDataError(
            f'the water reference has {source.shape[0]} coils, the spectrum {fids.shape[0]}: '
            f'combine both with the same coils, or none.'
        )
    # a coil that was not connected has no noise to be whitened by
    alive = np.any(fids != 0, axis=(1, 2)) & np.any(source != 0, axis=(1, 2))
    weights = np.zeros(fids.shape[0], dtype=complex)
    # From the spectrum, whose end is noise; unsuppressed water may last to the end of its own.
    weights[alive] = coil_weights(source[alive], noise_covariance(fids[alive]))
    combined = np.asarray(np.tensordot(weights, fids, axes=1), dtype=np.complex128)
    return combined, weights


LEAST_AGREEMENT = 0.9
"""Sensitivities of the coils in a spectrum and in its reference that agree less (as a cosine) are
of coils in another order, or with another phase: combined by the reference, metabolites would be
that much too low. Between two scans of one voxel a head moves too little for it. A convention."""

CLEAR_SIGNAL = 3.0
"""Coils are compared where the strongest component of the spectrum is this many times what noise
makes of it (Marchenko and Pastur's edge). A convention."""

COMPARED_S = 0.25
"""Start of a decay that is compared, in s: later there is little but noise."""

COMPARED_HZ_PER_MHZ = (1.0, 3.0)
"""Lines of NAA, creatine and cholines lie that far from water, in Hz per MHz (ppm), on one side of
it: neither water nor lipid, which may come from outside the voxel."""


def coil_agreement(
    fids: npt.ArrayLike, reference: npt.ArrayLike, dwell_time: float, spectrometer_mhz: float
) -> float:
    """How well the coils of a water reference agree with those of the spectrum.

    Parameters
    ----------
    fids : (n_coils, n_transients, n_points) array_like of complex
        Decays of the spectrum.
    reference : (n_coils, n, m) array_like of complex
        Water decays.
    dwell_time, spectrometer_mhz : float
        Sampling interval in s and spectrometer frequency in MHz.

    Returns
    -------
    float
        Cosine of the angle between the whitened sensitivities that metabolites and water tell: 1
        when they are alike. NaN where noise hides those of the metabolites.
    """
    fids = np.asarray(fids, dtype=complex)
    lower = np.linalg.cholesky(noise_covariance(fids))
    fids = fids[..., : max(int(COMPARED_S / dwell_time), 32)]
    n_coils, n_transients, n_points = fids.shape
    offset = np.abs(np.fft.fftfreq(n_points, dwell_time)) / spectrometer_mhz
    band = (offset > COMPARED_HZ_PER_MHZ[0]) & (offset < COMPARED_HZ_PER_MHZ[1])
    mean = np.fft.fft(fids.mean(axis=1), axis=-1)[:, band] * np.sqrt(n_transients / n_points)
    whitened = np.linalg.solve(lower, mean)
    signal = whitened @ whitened.conj().T
    values = np.linalg.eigvalsh(signal)
    noise = int(band.sum())
    if values[-1] < CLEAR_SIGNAL * (np.sqrt(noise) + np.sqrt(n_coils)) ** 2:
        return float('nan')
    water = np.linalg.solve(lower, np.asarray(reference).reshape(n_coils, -1))
    towards = np.linalg.eigh(water @ water.conj().T)[1][:, -1]
    share = (towards.conj() @ signal @ towards).real - noise
    return float(np.sqrt(max(share, 0.0) / (values[-1] - noise - n_coils)))
