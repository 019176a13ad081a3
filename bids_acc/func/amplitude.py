"""Amplitude of low-frequency fluctuations, also of series from which volumes were censored."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bids_acc.typing import BoolArray, FloatArray


def frequencies(n_volumes: int, repetition_time: float) -> FloatArray:
    """Return the frequencies of a periodogram, without zero and the highest one.

    At the highest one (Nyquist) sine and cosine cannot be told apart.

    Parameters
    ----------
    n_volumes : int
        Of the whole series, censored ones too.
    repetition_time : float
        In s.

    Returns
    -------
    (n_frequencies,) ndarray
        In Hz.

    Examples
    --------
    >>> frequencies(8, 2.0)
    array([0.0625, 0.125 , 0.1875])
    """
    return np.arange(1, (n_volumes + 1) // 2) / (n_volumes * repetition_time)


def amplitude_spectrum(
    series: npt.ArrayLike, times: npt.ArrayLike, frequency: npt.ArrayLike
) -> FloatArray:
    """Return the amplitude of each frequency, by least squares at the times that are there.

    A sine and a cosine are fitted for each frequency by itself; with all volumes this is the
    Fourier transform, and with censored ones the periodogram of Lomb and Scargle.

    Parameters
    ----------
    series : (n_kept, n_series) array_like
        Their means are taken off.
    times : (n_kept,) array_like
        In s.
    frequency : (n_frequencies,) array_like
        In Hz.

    Returns
    -------
    (n_frequencies, n_series) ndarray
        Square root of the power: a sine of amplitude ``a`` gives ``a / sqrt(2)``.

    References
    ----------
    Lomb NR (1976). Least-squares frequency analysis of unequally spaced data. Astrophys Space Sci
    39:447-462. https://doi.org/10.1007/BF00648343
    """
    values = np.asarray(series, dtype=float)
    values = values - values.mean(axis=0)
    phase = 2 * np.pi * np.outer(np.asarray(frequency, dtype=float), np.asarray(times))
    power = np.empty((len(phase), values.shape[1]))
    for index, angles in enumerate(phase):
        # Each frequency by itself: with gaps, sines are no longer orthogonal, and all of them
        # together would be as many unknowns as there are volumes.
        pair = np.column_stack([np.cos(angles), np.sin(angles)])
        fitted = np.linalg.pinv(pair) @ values
        power[index] = (fitted**2).sum(axis=0) / 2
    return np.sqrt(power)


def low_frequency(
    series: npt.ArrayLike,
    kept: npt.ArrayLike,
    repetition_time: float,
    band: tuple[float, float],
    chunk: int = 20_000,
) -> tuple[FloatArray, FloatArray]:
    """Return ALFF and fALFF of each series.

    ALFF is the mean amplitude of the frequencies in the band **times the root of the number of
    kept volumes**: the amplitude of a process without lines falls with that root, so that people
    with fewer volumes would seem less active. fALFF is the sum of the band's amplitudes by that of
    all frequencies.

    Parameters
    ----------
    series : (n_kept, n_series) array_like
        Confounds regressed out, not band-passed.
    kept : (n_volumes,) array_like of bool
        Volumes that were not censored.
    repetition_time : float
        In s.
    band : (float, float)
        Lowest and highest frequency, in Hz.
    chunk : int
        Series that are looked at together.

    Returns
    -------
    alff, falff : (n_series,) ndarray
        ALFF in the unit of the series; NaN where no frequency lies in the band.

    References
    ----------
    Zang YF et al. (2007). Altered baseline brain activity in children with ADHD. Brain Dev
    29(2):83-91. https://doi.org/10.1016/j.braindev.2006.07.002
    Zou QH et al. (2008). An improved approach to detection of amplitude of low-frequency
    fluctuation. J Neurosci Methods 172(1):137-141. https://doi.org/10.1016/j.jneumeth.2008.04.012
    """
    there: BoolArray = np.asarray(kept, dtype=bool)
    values = np.asarray(series)
    found = frequencies(len(there), repetition_time)
    inside = (found >= band[0]) & (found <= band[1])
    times = np.flatnonzero(there) * repetition_time
    alff = np.full(values.shape[1], np.nan)
    falff = np.full(values.shape[1], np.nan)
    if not inside.any():
        return alff, falff
    for start in range(0, values.shape[1], chunk):
        part = slice(start, start + chunk)
        amplitude = amplitude_spectrum(values[:, part], times, found)
        alff[part] = amplitude[inside].mean(axis=0) * np.sqrt(there.sum())
        with np.errstate(invalid='ignore'):
            falff[part] = amplitude[inside].sum(axis=0) / amplitude.sum(axis=0)
    return alff, falff
