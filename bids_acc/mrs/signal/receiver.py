"""What a receiver adds to decays, and how it is taken away: an offset, spikes, a lost start.

None of it is a line: an offset does not drift with the lines to which it is aligned, and a spike
is in every point of the spectrum.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import median_filter

from bids_acc.typing import BoolArray, ComplexArray

LEAST_OFFSET_SD = 0.5
"""An offset smaller than this share of the noise of a sample hides in residual water. A
convention."""

SURE_OFFSET = 6.0
"""An offset is told from noise by this many standard errors of the mean of the end of a decay."""

CONSTANT = 0.1
"""Largest relative difference of the mean of two parts of the end of a decay of which it is the
offset: what is left of water falls."""

SPIKE = 15.0
"""A sample is a spike that departs from those beside it by this many times as much as is usual
(median) among the samples about it. Noise departs by 15 medians with a chance of 2e-68 (Rayleigh
distribution: 2 to the power of minus 15 squared). A convention."""

FIRST_EXCESS = 3.0
"""The first sample is spoilt that is this many times as high as each of the three after it: no sum
of lines falls so much in one sample. A convention."""

FILTERED = 8
"""Samples at the start, which digital filters of receivers shape, and which are no spikes."""

LATEST_START = 128
"""Samples within which a decay begins; filters of receivers delay it by some 70. A convention."""

MOST_SPIKES = 3
"""A decay that departs in more samples holds something else than spikes."""

_BLOCK = 64


def receiver_offset(fids: npt.ArrayLike) -> ComplexArray:
    """Measure the constant that a receiver adds to decays, at their end.

    Parameters
    ----------
    fids : (..., n_points) array_like of complex
        Decays.

    Returns
    -------
    (...) ndarray of complex128
        Zero for decays without one: the last eighth and the one before have the same mean, and
        that is no chance of noise.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> noise = rng.standard_normal((2, 1024)) + 1j * rng.standard_normal((2, 1024))
    >>> decay = 100 * np.exp(-np.arange(1024) / 80) + noise + np.array([[0], [5]])
    >>> receiver_offset(decay).real.round(0).tolist()
    [0.0, 5.0]
    """
    fids = np.asarray(fids, dtype=complex)
    # The last quarter in two halves: signal has mostly gone there, and what is left of it falls
    # from one half to the other.
    size = fids.shape[-1] // 8
    if size < 16:
        return np.zeros(fids.shape[:-1], dtype=complex)
    parts = fids[..., -2 * size :].reshape(*fids.shape[:-1], 2, size)
    means = parts.mean(axis=-1)
    noise = np.sqrt(np.mean(np.abs(parts - means[..., None]) ** 2, axis=(-1, -2)))
    mean = means.mean(axis=-1)
    error = noise / np.sqrt(2 * size)
    change = np.abs(means[..., 0] - means[..., 1])
    there = np.abs(mean) > np.maximum(SURE_OFFSET * error, LEAST_OFFSET_SD * noise)
    steady = change < np.maximum(CONSTANT * np.abs(mean), 4 * error)
    return np.where(there & steady, mean, 0)


def without_spikes(fids: npt.ArrayLike) -> tuple[ComplexArray, BoolArray]:
    """Put what lies between its neighbours in the place of samples that stand out.

    Parameters
    ----------
    fids : (..., n_points) array_like of complex
        Decays.

    Returns
    -------
    fids : (..., n_points) ndarray of complex128
        A spike within is replaced by the cubic through two samples on each side, the first sample
        by the straight line through the next two.
    spikes : (..., n_points) ndarray of bool
        Which samples were replaced: none of a decay with more than :data:`MOST_SPIKES`.

    Examples
    --------
    >>> decay = np.exp((0.2j - 0.01) * np.arange(256))
    >>> spoilt = decay.copy()
    >>> spoilt[[0, 100]] += 50
    >>> mended, spikes = without_spikes(spoilt)
    >>> np.flatnonzero(spikes).tolist(), bool(np.abs(mended - decay).max() < 0.1)
    ([0, 100], True)
    """
    fids = np.array(fids, dtype=complex)
    spikes = _spikes(fids)
    spikes &= spikes.sum(axis=-1, keepdims=True) <= MOST_SPIKES
    rows = fids.reshape(-1, fids.shape[-1])
    for row, place in zip(*np.nonzero(spikes.reshape(rows.shape)), strict=True):
        x = rows[row]
        if place == 0:
            x[0] = 2 * x[1] - x[2]
        else:
            # The cubic through four neighbours, at the middle between them; a straight line would
            # flatten lines far from the centre, which turn much in one sample.
            x[place] = (4 * (x[place - 1] + x[place + 1]) - x[place - 2] - x[place + 2]) / 6
    return rows.reshape(fids.shape), spikes


def _spikes(fids: ComplexArray) -> BoolArray:
    """Find the samples that stand out, whatever their number."""
    n_points = fids.shape[-1]
    found = np.zeros(fids.shape, dtype=bool)
    n_blocks = n_points // _BLOCK
    if not n_blocks:
        return found
    height = np.abs(fids[..., :4])
    found[..., 0] = height[..., 0] > FIRST_EXCESS * height[..., 1:].max(axis=-1)
    away = np.zeros(fids.shape)
    away[..., 2:-2] = np.abs(fids[..., 2:-2] - (fids[..., 1:-3] + fids[..., 3:-1]) / 2)
    blocks = away[..., : n_blocks * _BLOCK].reshape(*fids.shape[:-1], n_blocks, _BLOCK)
    usual = np.repeat(np.median(blocks, axis=-1), _BLOCK, axis=-1)
    usual = np.concatenate([usual, np.repeat(usual[..., -1:], n_points - usual.shape[-1], -1)], -1)
    # the neighbours of a spike depart by half as much
    highest = np.maximum.reduce([np.roll(away, k, axis=-1) for k in (-2, -1, 1, 2)])
    alone = np.zeros(fids.shape, dtype=bool)  # where a decay begins or is cut off, it is a step
    alone[..., 1:-1] = np.abs(fids[..., 2:] - fids[..., :-2]) < away[..., 1:-1]
    alone[..., : _start(fids) + FILTERED] = False
    found |= alone & (usual > 0) & (away > SPIKE * usual) & (away > highest)
    return found


def _start(fids: ComplexArray) -> int:
    """Sample at which decays begin, before which a filter fills; seen without single samples."""
    height = np.abs(fids[..., : min(LATEST_START, fids.shape[-1] // 2)])
    height = np.sqrt(np.mean(height**2, axis=tuple(range(height.ndim - 1))))
    return int(np.argmax(median_filter(height, 5, mode='nearest')))


def leading_zeros(fids: npt.ArrayLike) -> int:
    """Count the samples at the start that are zero in all decays.

    Parameters
    ----------
    fids : (..., n_points) array_like of complex
        Decays, not all of them zero.

    Examples
    --------
    >>> leading_zeros([[0, 0, 3, 2], [0, 0, 0, 1]]), leading_zeros([[1, 0]])
    (2, 0)
    """
    fids = np.asarray(fids)
    return int(np.argmax(np.any(fids != 0, axis=tuple(range(fids.ndim - 1)))))
