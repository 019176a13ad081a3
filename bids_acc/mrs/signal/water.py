"""Water: eddy currents measured on it, its residue taken out, its amplitude at time zero."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.fft import next_fast_len
from scipy.sparse.linalg import LinearOperator, svds

from bids_acc.typing import BoolArray, ComplexArray, FloatArray

RESIDUAL_WATER_PPM = (4.2, 5.1)
"""Components between these shifts are taken out as residual water."""

SUPPRESSED_BELOW, USUAL_OVER_SINGLET = 20.0, (100.0, 20_000.0)
"""Unsuppressed water over the highest of NAA, creatine and cholines: in brain some 900 to 1500 at
3 T (80 mol/L of protons against 30 mmol/L). Below the first the reference was suppressed, or the
spectrum is a sum and the reference a mean; beyond the others it may be so. Conventions of this
package, about a tenth and ten times of what is usual."""


def eddy_current_phase(
    water: npt.ArrayLike, dwell_time: float, floor: float = 10.0, n_points: int | None = None
) -> FloatArray:
    """Phase of the water decay over time, continued straight where noise takes over.

    Parameters
    ----------
    water : (n_points,) array_like of complex
        Averaged unsuppressed water.
    dwell_time : float
        Sampling interval in s.
    floor : float
        The measured phase is used up to the last sample before the decay first falls below this
        many standard deviations of the noise; beyond, the mean frequency goes on.
    n_points : int, optional
        Length of the answer, if the spectrum is longer or shorter than the water decay.

    Returns
    -------
    (n_points,) ndarray of float64
        In rad, unwrapped.
    """
    water = np.asarray(water, dtype=complex)
    n_points = water.size if n_points is None else n_points
    tail = water[-max(water.size // 8, 16) :]
    noise = float(np.sqrt(np.mean(np.abs(tail) ** 2) / 2))
    weak = np.flatnonzero(np.abs(water) < floor * noise)
    last = int(weak[0]) if weak.size else water.size
    if last < 32:
        return np.zeros(n_points)
    time = np.arange(max(n_points, water.size)) * dwell_time
    phase: FloatArray = np.zeros(time.size)
    phase[: water.size] = np.unwrap(np.angle(water))
    fitted = slice(max(0, last // 2), last)
    # Eddy currents have died away by then: what is left of the phase is an offset in frequency, a
    # straight line. Noise of phase goes as one by the magnitude, hence the weights.
    line = np.polyfit(time[fitted], phase[fitted], 1, w=np.abs(water[fitted]))
    phase[last:] = np.polyval(line, time[last:])
    return phase[:n_points]


def correct_eddy_currents(
    fids: npt.ArrayLike, water: npt.ArrayLike, dwell_time: float
) -> ComplexArray:
    """Take the phase of the water decay from other decays of the same voxel.

    Klose (1990), Magn Reson Med 14:26, https://doi.org/10.1002/mrm.1910140104. Water comes to lie
    at frequency zero and phase zero.

    Parameters
    ----------
    fids : (..., n_points) array_like of complex
        Decays to correct.
    water : (m,) array_like of complex
        Averaged unsuppressed water with the same sampling interval; it may be shorter.
    dwell_time : float
        Sampling interval in s.

    Returns
    -------
    (..., n_points) ndarray of complex128
        Corrected decays.
    """
    fids = np.asarray(fids, dtype=complex)
    phase = eddy_current_phase(water, dwell_time, n_points=fids.shape[-1])
    return np.asarray(fids * np.exp(-1j * phase))


def _hankel_operator(fid: ComplexArray, n_rows: int) -> LinearOperator:
    """Hankel matrix ``H[i, j] = fid[i + j]`` as products with FFTs; it is never formed."""
    n_columns = fid.size - n_rows + 1
    length = next_fast_len(2 * fid.size)
    transform = np.fft.fft(fid, length)

    def product(vector: ComplexArray, n_in: int, n_out: int, kernel: ComplexArray) -> ComplexArray:
        turned = np.fft.fft(vector.ravel()[::-1], length)
        return np.fft.ifft(kernel * turned)[n_in - 1 : n_in - 1 + n_out]

    conjugate = np.fft.fft(fid.conj(), length)
    return LinearOperator(
        (n_rows, n_columns),
        matvec=lambda v: product(v, n_columns, n_rows, transform),
        rmatvec=lambda v: product(v, n_rows, n_columns, conjugate),
        dtype=complex,
    )


def hlsvd(
    fid: npt.ArrayLike, dwell_time: float, n_components: int = 30, n_points: int = 2048
) -> tuple[FloatArray, FloatArray, ComplexArray]:
    """Decompose a decay into damped exponentials.

    State-space method with Lanczos-type iterations on the Hankel matrix (Pijnappel et al. 1992,
    J Magn Reson 97:122, https://doi.org/10.1016/0022-2364(92)90241-X); the poles are the
    eigenvalues of the shift between the upper and lower rows of the left singular vectors.

    Parameters
    ----------
    fid : (n,) array_like of complex
        Decay.
    dwell_time : float
        Sampling interval in s.
    n_components : int
        Number of exponentials.
    n_points : int
        At most this many first samples enter.

    Returns
    -------
    frequency_hz : (n_components,) ndarray
        Frequencies.
    damping : (n_components,) ndarray
        Decay rates in 1/s; negative where a component grows.
    amplitude : (n_components,) ndarray of complex128
        Complex amplitudes at time zero.

    Examples
    --------
    >>> time = np.arange(512) * 5e-4
    >>> decay = 2 * np.exp((2j * np.pi * 10 - 5) * time) + np.exp((-2j * np.pi * 60 - 8) * time)
    >>> frequency, damping, amplitude = hlsvd(decay, 5e-4, n_components=2)
    >>> order = np.argsort(frequency)
    >>> frequency[order].round(4), damping[order].round(4), abs(amplitude[order]).round(4)
    (array([-60.,  10.]), array([8., 5.]), array([1., 2.]))
    """
    fid = np.asarray(fid, dtype=complex)
    used = fid[:n_points]
    # A square matrix: exponentials are told apart best, and the FFTs cost least.
    n_rows = used.size // 2
    # ARPACK's own start is random, and the same data must give the same bytes
    start = np.ones(min(n_rows, used.size - n_rows + 1), dtype=complex)
    operator = _hankel_operator(used / np.abs(used).max(), n_rows)
    left = svds(operator, k=n_components, v0=start, return_singular_vectors='u')[0]
    # Each row is the one above it, advanced by one sample: what does that to all of them has the
    # poles as its eigenvalues.
    shift = np.linalg.lstsq(left[:-1], left[1:], rcond=None)[0]
    poles = np.linalg.eigvals(shift)
    frequency: FloatArray = (np.angle(poles) / (2 * np.pi * dwell_time)).astype(np.float64)
    damping = -np.log(np.abs(poles)) / dwell_time
    time = np.arange(used.size) * dwell_time
    # a component that grows is noise, and would explode beyond the samples that were used
    bounded = np.maximum(damping, -1 / (used.size * dwell_time))
    exponentials = np.exp(np.outer(time, 2j * np.pi * frequency - bounded))
    amplitude = np.linalg.lstsq(exponentials, used, rcond=None)[0]
    return frequency, bounded, amplitude


def remove_residual_water(
    fid: npt.ArrayLike,
    dwell_time: float,
    spectrometer_mhz: float,
    window: tuple[float, float] = RESIDUAL_WATER_PPM,
    n_components: int = 30,
) -> ComplexArray:
    """Subtract the exponentials that lie in the water region.

    Parameters
    ----------
    fid : (n_points,) array_like of complex
        Decay with water near frequency zero (4.65 ppm).
    dwell_time, spectrometer_mhz : float
        Sampling interval in s and spectrometer frequency in MHz.
    window : tuple of float
        Chemical shifts in ppm between which components are water.
    n_components : int
        Size of the model of the whole decay.

    Returns
    -------
    (n_points,) ndarray of complex128
        Decay without them.
    """
    from bids_acc.mrs.spectrum import PPM_REFERENCE

    fid = np.asarray(fid, dtype=complex)
    frequency, damping, amplitude = hlsvd(fid, dwell_time, n_components)
    ppm = PPM_REFERENCE - frequency / spectrometer_mhz
    water = (ppm >= window[0]) & (ppm <= window[1])
    time = np.arange(fid.size) * dwell_time
    model = np.exp(np.outer(time, 2j * np.pi * frequency[water] - damping[water]))
    return np.asarray(fid - model @ amplitude[water])


def water_amplitude(water: npt.ArrayLike, dwell_time: float, skip: int = 4) -> float:
    """Magnitude of the water decay at time zero, extrapolated.

    Eddy currents and a halved or filtered first point spoil the first samples; the logarithm of
    the magnitude of the next 30 ms, fitted by a parabola, is continued to zero.

    Parameters
    ----------
    water : (n_points,) array_like of complex
        Averaged unsuppressed water.
    dwell_time : float
        Sampling interval in s.
    skip : int
        First samples left out.

    Returns
    -------
    float
        In units of the signal; NaN when the decay is no water decay.

    Examples
    --------
    >>> time = np.arange(1024) * 5e-4
    >>> decay = 100 * np.exp(-time / 0.06)
    >>> decay[0] /= 2
    >>> round(water_amplitude(decay, 5e-4), 6)
    100.0
    """
    parabola = water_parabola(water, dwell_time, skip)
    return float('nan') if parabola is None else float(np.exp(parabola[-1]))


def water_parabola(
    water: npt.ArrayLike, dwell_time: float, skip: int = 4
) -> npt.NDArray[np.float64] | None:
    """Fit the logarithm of the first 30 ms of a water decay's magnitude.

    Parameters
    ----------
    water, dwell_time, skip
        As for `water_amplitude`.

    Returns
    -------
    (3,) ndarray of float64 or None
        Coefficients by falling power of the time in s, as `numpy.polyval` takes them; None when
        the decay is no water decay.
    """
    magnitude = np.abs(np.asarray(water, dtype=complex))
    n_used = max(int(0.03 / dwell_time), 12)
    used = magnitude[skip : skip + n_used]
    if used.size < 8 or not np.all(used > 0) or used[0] < 3 * np.median(magnitude[-32:]):
        return None
    time = np.arange(skip, skip + used.size) * dwell_time
    return np.asarray(np.polyfit(time, np.log(used), 2), dtype=np.float64)


def reference_problem(water: float, singlet: float) -> str:
    """Say what is wrong with the scale of a water reference; empty when nothing is.

    Parameters
    ----------
    water : float
        Amplitude of the reference at time zero.
    singlet : float
        Amplitude of the highest singlet of the spectrum, in the same units.

    Returns
    -------
    str
        Begins with ``no water scaling`` where no level can come of it.

    Examples
    --------
    >>> reference_problem(1200.0, 1.0)
    ''
    >>> reference_problem(4.0, 1.0)[:47]
    'no water scaling: the water of the reference is'
    """
    if not (water > 0 and singlet > 0):
        return ''
    ratio = water / singlet
    low, high = USUAL_OVER_SINGLET
    if low <= ratio <= high:
        return ''
    what = f'the water of the reference is {ratio:.3g} times the highest metabolite line'
    if ratio < SUPPRESSED_BELOW:
        return (
            f'no water scaling: {what}, which is some 1000 times in brain: its water was '
            'suppressed, or spectrum and reference are exchanged, or summed differently.'
        )
    partly = 'if its water was partly suppressed, or ' if ratio < low else 'if '
    return (
        f'{what}, which is some 1000 times in brain: levels scaled to water are off by as much '
        f'{partly}transients were summed in one file and averaged in the other.'
    )


LEAST_OVER_OWN = 3.0
"""Water of a reference is that many times as high as what suppression left in the spectrum, or it
was suppressed as well: suppression takes nine tenths and more. A convention."""


def suppressed_as_well(water: float, own: float, singlet: float) -> str:
    """Say that a reference is no higher than the spectrum's own water; empty when it is.

    Parameters
    ----------
    water, own : float
        Amplitude of water in the reference and in the spectrum, at the start of the decay.
    singlet : float
        Amplitude of the highest singlet, in the same units: water some hundred times as high was
        suppressed in neither.

    Examples
    --------
    >>> suppressed_as_well(1200.0, 20.0, 1.0), suppressed_as_well(1200.0, 1200.0, 1.0)
    ('', '')
    >>> suppressed_as_well(33.0, 33.0, 1.0)[:40]
    'no water scaling: the water of the refer'
    """
    if water >= USUAL_OVER_SINGLET[0] * singlet or water >= LEAST_OVER_OWN * own:
        return ''
    return (
        f'no water scaling: the water of the reference is {water / own:.2g} times that of the '
        'spectrum itself: it was suppressed, or the file is the spectrum once more.'
    )


MOST_UNEVEN, MOST_UNEVEN_OF_TWO = 1.25, 1.5
"""Largest ratio of the heights of the shots of a reference, without the first, which is higher
before magnetisation is steady (by a third at a repetition time of 2 s); and of two shots, of which
one is the first. Conventions of this package."""


def uneven_heights(fids: npt.ArrayLike, dwell_time: float) -> float:
    """Ratio of heights that shots of one water reference do not have; NaN where they are even.

    Parameters
    ----------
    fids : (n_coils, n_transients, n_edits, n_points) array_like of complex
        Decays of water.
    dwell_time : float
        Sampling interval in s.

    Examples
    --------
    >>> decay = np.exp(-np.arange(256) * 5e-4 / 0.06)
    >>> series = np.outer([1.0, 0.8, 0.6, 0.4], decay)[None, :, None, :]
    >>> round(uneven_heights(series, 5e-4), 1), uneven_heights(series[:, :2], 5e-4)
    (2.0, nan)
    """
    early = np.asarray(fids)[..., : max(int(0.02 / dwell_time), 8)]
    height = np.sqrt(np.mean(np.abs(early) ** 2, axis=(0, 2, 3)))
    limit = MOST_UNEVEN
    if height.size > 2:
        height = height[1:]
    elif height.size == 2:
        limit = MOST_UNEVEN_OF_TWO
    ratio = float(height.max() / height.min()) if height.size and height.min() > 0 else np.nan
    return ratio if ratio > limit else float('nan')


UNSUPPRESSED = 8.0
"""Transients that begin this many times as high as the others of their series are of another kind:
their water was not suppressed. Suppression leaves a few per cent of water, and seldom more than a
tenth; subtraction, motion and lipid change a decay by less. A convention."""

ALIKE = 1.5
"""Largest ratio of the heights of transients of which water was not suppressed."""


def unsuppressed_transients(fids: npt.ArrayLike, dwell_time: float) -> BoolArray:
    """Find transients of unsuppressed water among those of which it was suppressed.

    Scanners store a few of them in one series: before and after, or at regular places between.

    Parameters
    ----------
    fids : (n_coils, n_transients, n_edits, n_points) array_like of complex
        Decays.
    dwell_time : float
        Sampling interval in s.

    Returns
    -------
    (n_transients,) ndarray of bool
        None is true unless the transients fall into two kinds by the height at which they begin,
        :data:`UNSUPPRESSED` apart, and the higher ones are alike and no more than the others.

    Examples
    --------
    >>> decay = np.exp(-np.arange(256) * 5e-4 / 0.06)
    >>> series = np.outer([900, 3, 4, 3, 910], decay)[None, :, None, :]
    >>> unsuppressed_transients(series, 5e-4).tolist()
    [True, False, False, False, True]
    >>> unsuppressed_transients(series[:, 1:4], 5e-4).any()
    np.False_
    """
    early = np.asarray(fids)[..., : max(int(0.02 / dwell_time), 8)]
    height = np.sqrt(np.mean(np.abs(early) ** 2, axis=(0, 3))).min(axis=1)
    order = np.sort(height)
    if order.size < 2 or not order[0] > 0:
        return np.zeros(height.size, dtype=bool)
    gap = int(np.argmax(order[1:] / order[:-1]))
    high = height > order[gap]
    apart = order[gap + 1] > UNSUPPRESSED * order[gap]
    alike = order[-1] < ALIKE * order[gap + 1]
    fewer = 2 * int(high.sum()) <= high.size  # not the good ones beside a shot that was lost
    return high if apart and alike and fewer else np.zeros(height.size, dtype=bool)
