"""Slices of one volume are acquired one after another: bringing them to one time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.interpolate import make_interp_spline

from bids_acc.typing import FloatArray, Metadata

AXES = 'ijk'
LEAST_SHARE = 0.1
"""Share of a repetition time that slices take at least, by which ms are told from s (own
convention)."""


def slice_axis(direction: object) -> tuple[int, bool]:
    """Return the voxel axis along which slices lie, and whether they are counted backwards.

    Parameters
    ----------
    direction : object
        BIDS' SliceEncodingDirection; None is ``k``, as BIDS has it.

    Raises
    ------
    ValueError
        If it is none of BIDS' words.

    Examples
    --------
    >>> slice_axis(None), slice_axis('j-')
    ((2, False), (1, True))
    """
    word = 'k' if direction is None else str(direction)
    if word[:1] not in AXES or not word or word[1:] not in ('', '-'):
        raise ValueError(f'SliceEncodingDirection is {direction!r}, none of i, i-, j, j-, k, k-')
    return AXES.index(word[0]), word.endswith('-')


def slice_times(
    metadata: Metadata, shape: Sequence[int], repetition_time: float
) -> tuple[FloatArray | None, int, str]:
    """Return when each slice was acquired, or why that cannot be told.

    Parameters
    ----------
    metadata : mapping
        Sidecar, with ``SliceTiming`` and ``SliceEncodingDirection``.
    shape : sequence of int
        Of the image.
    repetition_time : float
        In s.

    Returns
    -------
    times : (n_slices,) ndarray or None
        In s after the start of the volume, in the order of the voxel axis; None where the slices
        are not to be shifted.
    axis : int
        Voxel axis of the slices.
    reason : str
        Why not; empty where they are.

    Examples
    --------
    >>> slice_times({'SliceTiming': [0, 1000]}, (4, 4, 2, 9), 2.0)[2]
    'SliceTiming runs to 1000 beyond the repetition time of 2 s (it seems to be in ms)'
    """
    given = metadata.get('SliceTiming')
    try:
        axis, backwards = slice_axis(metadata.get('SliceEncodingDirection'))
    except ValueError as error:
        return None, 2, str(error)
    if given is None:
        return None, axis, 'the sidecar has no SliceTiming'
    try:
        times = np.array(given, dtype=float).ravel()
    except (TypeError, ValueError):
        times = np.array([np.nan])
    if not times.size or not np.isfinite(times).all():
        return None, axis, 'SliceTiming does not hold a number for each slice'
    if len(times) != shape[axis]:
        reason = f'SliceTiming has {len(times)} values for {shape[axis]} slices'
        return None, axis, reason
    if times.min() < 0:
        return None, axis, f'SliceTiming holds {times.min():g}, a time before the volume begins'
    if times.max() >= repetition_time + 1e-3:
        in_ms = LEAST_SHARE <= times.max() / 1000 / repetition_time <= 1
        ms = ' (it seems to be in ms)' if in_ms else ''
        reason = f'SliceTiming runs to {times.max():g} beyond the repetition time of '
        return None, axis, f'{reason}{repetition_time:g} s{ms}'
    if np.ptp(times) == 0:
        return None, axis, 'all slices were acquired at one time'
    return (times[::-1] if backwards else times), axis, ''


def reference_time(times: npt.ArrayLike) -> float:
    """Return the time half-way between the first slice and the last.

    For slices that fill the repetition time it is its middle, less half a slice; no slice has to
    be shifted by more.

    Parameters
    ----------
    times : (n_slices,) array_like
        When each slice was acquired after the start of a volume, s.

    Returns
    -------
    float
        s.

    Examples
    --------
    >>> reference_time([0, 0.5, 1.0, 1.5])
    0.75
    """
    values = np.asarray(times, dtype=float)
    return float((values.min() + values.max()) / 2)


def time_shift(n_volumes: int, shift: float) -> FloatArray:
    """Return the matrix that interpolates a series between its samples by a cubic spline.

    Parameters
    ----------
    n_volumes : int
    shift : float
        How much later than its samples the series is wanted, in repetition times.

    Returns
    -------
    (n_volumes, n_volumes) ndarray
        From samples to interpolated values; beyond both ends the last sample is held.

    Examples
    --------
    A cubic polynomial comes out exactly.

    >>> t = np.arange(9.0)
    >>> shifted = time_shift(9, 0.25) @ (t**3 - 4 * t)
    >>> bool(np.allclose(shifted[:-1], ((t + 0.25) ** 3 - 4 * (t + 0.25))[:-1]))
    True
    """
    order = min(3, n_volumes - 1)
    samples = np.arange(n_volumes)
    # Beyond the first and last sample a cubic runs away: the end value holds there.
    wanted = np.clip(samples + shift, 0, n_volumes - 1)
    # Interpolation is linear in the series: made once of the identity, it is a matrix that serves
    # all voxels of all slices of that time.
    spline = make_interp_spline(samples, np.eye(n_volumes), k=order)
    return np.asarray(spline(wanted), dtype=float)


def correct_slice_timing(
    data: npt.NDArray[np.float32], times: npt.ArrayLike, axis: int, repetition_time: float,
    n_dummy: int = 0,
) -> npt.NDArray[np.float32]:  # fmt: skip
    """Interpolate each slice to the time half-way between the first slice and the last.

    Parameters
    ----------
    data : (i, j, k, n_volumes) ndarray
    times : (n_slices,) array_like
        From `slice_times`, s.
    axis : int
        Voxel axis of the slices.
    repetition_time : float
        In s.
    n_dummy : int
        Volumes at the start that are left as they are, and to which no other is joined.

    Returns
    -------
    (i, j, k, n_volumes) ndarray of float32

    References
    ----------
    Sladky R, et al. (2011). Slice-timing effects and their correction in functional MRI.
    NeuroImage 58:588-594. https://doi.org/10.1016/j.neuroimage.2011.06.078
    """
    values = np.asarray(times, dtype=float)
    wanted = reference_time(values)
    result = np.nan_to_num(np.array(data, dtype=np.float32))
    slices = np.moveaxis(result, axis, 0)
    operators = {
        time: time_shift(data.shape[3] - n_dummy, (wanted - time) / repetition_time).astype('f4')
        for time in np.unique(values)
    }
    for index, time in enumerate(values):
        slices[index, ..., n_dummy:] = slices[index, ..., n_dummy:] @ operators[time].T
    return result
