"""Intensity profiles across the cortex: crossings, dips, and what blur makes of an edge."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bids_acc.typing import FloatArray


def nearest_crossing(
    profiles: FloatArray, threshold: FloatArray, positions: FloatArray
) -> FloatArray:
    """Find where profiles fall through a threshold, nearest to position zero.

    Parameters
    ----------
    profiles : (n, n_samples) ndarray
        Intensities from inside to outside.
    threshold : (n,) ndarray
        Level to fall through.
    positions : (n_samples,) ndarray
        Places of the samples in mm, increasing.

    Returns
    -------
    (n,) ndarray
        Position of the falling crossing in mm, NaN where there is none.

    Examples
    --------
    >>> x = np.arange(-2.0, 3)
    >>> nearest_crossing(np.array([[9.0, 9, 9, 5, 1]]), np.array([7.0]), x)
    array([0.5])
    """
    above = profiles - threshold[:, None]
    # Only falling edges: outwards from white to grey to CSF a T1w image darkens; a rising one is
    # the far wall of a sulcus.
    falling = (above[:, :-1] > 0) & (above[:, 1:] <= 0)
    drop = above[:, :-1] - above[:, 1:]
    share = np.divide(above[:, :-1], drop, out=np.zeros_like(drop), where=falling)
    place = positions[:-1] + share * np.diff(positions)
    return _nearest(np.where(falling, place, np.nan))


def nearest_dip(
    profiles: FloatArray, depth: FloatArray, positions: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Find the local minimum nearest to position zero: a sulcus too narrow to show CSF.

    Parameters
    ----------
    profiles : (n, n_samples) ndarray
        Intensities from inside to outside.
    depth : (n,) ndarray
        How much the profile must rise on either side within the range.
    positions : (n_samples,) ndarray
        Places of the samples in mm, equally spaced.

    Returns
    -------
    place : (n,) ndarray
        Position in mm, between samples by a parabola; NaN where there is none.
    floor : (n,) ndarray
        Intensity there, NaN where there is none.
    """
    before, here, after = profiles[:, :-2], profiles[:, 1:-1], profiles[:, 2:]
    left = np.maximum.accumulate(profiles, axis=1)[:, :-2]
    right = np.maximum.accumulate(profiles[:, ::-1], axis=1)[:, ::-1][:, 2:]
    deep = np.minimum(left, right) - here > depth[:, None]
    found = (here <= before) & (here < after) & deep
    curvature = before - 2 * here + after
    # The vertex of the parabola through three samples, so that a dip is not bound to the grid of
    # the profile.
    shift = np.divide(before - after, 2 * curvature, out=np.zeros_like(here), where=found)
    step = positions[1] - positions[0]
    places = np.where(found, positions[1:-1] + shift * step, np.nan)
    best = _nearest_index(places)
    rows = np.arange(len(places))
    place = places[rows, best]
    return place, np.where(np.isnan(place), np.nan, here[rows, best])


def _nearest_index(places: FloatArray) -> npt.NDArray[np.intp]:
    """Return the column of each row's entry that is nearest to zero."""
    return np.asarray(np.where(np.isnan(places), np.inf, np.abs(places)).argmin(axis=1))


def _nearest(places: FloatArray) -> FloatArray:
    """Return the entry of each row that is nearest to zero, NaN where all are NaN."""
    return np.asarray(places[np.arange(len(places)), _nearest_index(places)])


def edge_blur(
    profiles: FloatArray,
    places: FloatArray,
    edge: FloatArray,
    contrast: FloatArray,
    reach: float = 0.5,
) -> FloatArray:
    r"""Return the blur of a step edge from its steepness.

    A step of height :math:`h` seen through a Gaussian of standard deviation :math:`\sigma` has
    the slope :math:`h / (\sigma \sqrt{2 \pi})` at its place.

    Parameters
    ----------
    profiles : (n, n_samples) ndarray
        Intensities from inside to outside.
    places : (n_samples,) ndarray
        Positions of the samples in mm, equally spaced.
    edge : (n,) ndarray
        Where the edge lies in mm, NaN where there is none.
    contrast : (n,) ndarray
        Height of the step, positive where the intensity falls.
    reach : float
        Half of the distance over which the slope is taken, in mm.

    Returns
    -------
    (n,) ndarray
        Standard deviation in mm; NaN without an edge, or where the profile does not fall.

    Examples
    --------
    >>> x = np.arange(-4, 4.1, 0.25)
    >>> from scipy import special
    >>> step = 100 * special.ndtr(-(x - 0.3) / 0.8)
    >>> edge_blur(step[None], x, np.array([0.3]), np.array([100.0]), reach=0.25).round(2)
    array([0.82])
    """
    step = places[1] - places[0]
    rows = np.arange(len(profiles))
    ends = []
    for side in (-reach, reach):
        # A little less than the last place: there must be a next sample to interpolate with.
        at = np.clip((np.nan_to_num(edge) + side - places[0]) / step, 0, len(places) - 1.001)
        low = at.astype(int)
        ends.append(profiles[rows, low] + (at - low) * np.diff(profiles)[rows, low])
    fall = np.where(np.isnan(edge), np.nan, (ends[0] - ends[1]) / (2 * reach))
    ratio = np.divide(contrast, fall, out=np.full(len(fall), np.nan), where=fall > 0)
    return np.asarray(ratio / np.sqrt(2 * np.pi))
