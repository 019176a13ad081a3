"""What a region of the mesh measures: means and sums over its vertices."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from bids_acc.surfaces.regions import Labels
from bids_acc.typing import BoolArray, Row

LEAST_SHARE = 0.5
"""Below this share of vertices with a value a region has none, as a parcel (own convention)."""


def region_mean(values: npt.ArrayLike, inside: BoolArray) -> float:
    """Return the mean over the vertices that have a value; NaN if fewer than half do.

    Parameters
    ----------
    values : (n_vertices,) array_like
        NaN where undefined.
    inside : (n_vertices,) ndarray of bool
        The region.
    """
    own = np.asarray(values, dtype=float)[inside]
    defined = np.isfinite(own)
    if not own.size or defined.mean() < LEAST_SHARE:
        return float('nan')
    return float(own[defined].mean())


def region_sum(values: npt.ArrayLike, inside: BoolArray) -> float:
    """Return the sum, scaled up for the vertices without a value; NaN if fewer than half have one.

    Parameters
    ----------
    values : (n_vertices,) array_like
        An amount at each vertex, such as area in mm2; NaN where undefined.
    inside : (n_vertices,) ndarray of bool
        The region.

    Examples
    --------
    >>> region_sum([1.0, 2.0, np.nan, 9.0], np.array([True, True, True, False]))
    4.5
    """
    # The mean stands for vertices without a value: a plain sum would shrink with every one of
    # them.
    return region_mean(values, inside) * int(np.count_nonzero(inside))


def cortex_rows(
    labels: Labels,
    hemisphere: str,
    averaged: Mapping[str, npt.ArrayLike],
    summed: Mapping[str, npt.ArrayLike],
) -> list[Row]:
    """Measure each region of a hemisphere.

    Parameters
    ----------
    labels : Labels
        Regions.
    hemisphere : str
        ``L`` or ``R``.
    averaged, summed : mapping of str to (n_vertices,) array_like
        Maps by the name of their column; NaN where undefined.

    Returns
    -------
    list of dict
        ``atlas, region, hemisphere, n_vertices, defined_share`` (of the first map) and the
        columns.
    """
    first = np.asarray(next(iter({**averaged, **summed}.values())), dtype=float)
    return [
        {
            'atlas': labels.atlas,
            'region': name,
            'hemisphere': hemisphere,
            'n_vertices': int(np.count_nonzero(inside)),
            'defined_share': float(np.isfinite(first[inside]).mean()),
            **{key: region_mean(values, inside) for key, values in averaged.items()},
            **{key: region_sum(values, inside) for key, values in summed.items()},
        }
        for name, inside in labels.regions()
    ]
