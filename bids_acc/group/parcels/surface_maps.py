"""Parcels, weights and confidence as maps on the surface of the page."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from bids_acc.group.parcels.figures import COLOURS
from bids_acc.group.parcels.measures import Parcellation
from bids_acc.group.parcels.places import ParcelPlace, parcel_name
from bids_acc.report.surface_view import SurfaceMap
from bids_acc.surfaces.inflated import N_VERTICES

Values = dict[str, npt.NDArray[np.float64]]


def surface_maps(
    one: Parcellation, places: Mapping[int, ParcelPlace], n_vertices: int = N_VERTICES
) -> list[SurfaceMap]:
    """Return parcels, weights and confidence as maps.

    Parameters
    ----------
    one : Parcellation
        Parcels of one cohort.
    places : mapping of int to Place
        Where they lie.
    n_vertices : int
        Of a hemisphere of the surface that is shown.

    Returns
    -------
    list of SurfaceMap
    """
    names = [
        (parcel_name(number, places.get(number)), COLOURS[(number - 1) % len(COLOURS)])
        for number in range(1, one.n_components + 1)
    ]
    keys = {
        side: np.nan_to_num(v, nan=-1) for side, v in _spread(one, one.labels, n_vertices).items()
    }
    maps = [SurfaceMap('parcels', keys, labels=names, n_vertices=n_vertices)]
    top = one.W.max(axis=0)
    own = np.where(one.labels >= 0, one.labels, 0)
    weight = one.W[np.arange(len(own)), own] / np.where(top[own] > 0, top[own], np.nan)
    weight[one.labels < 0] = np.nan
    maps.append(
        SurfaceMap('weight', _spread(one, weight, n_vertices), 'of the largest', (0.0, 1.0),
                   n_vertices=n_vertices)
    )  # fmt: skip
    if one.confidence is not None:
        sure = _spread(one, one.confidence, n_vertices)
        maps.append(SurfaceMap('confidence', sure, 'of resampled cohorts', (0.0, 1.0),
                               n_vertices=n_vertices))  # fmt: skip
    return maps


def _spread(one: Parcellation, values: npt.ArrayLike, n_vertices: int) -> Values:
    """Put values of the region's vertices onto the mesh of the page; NaN outside."""
    found = {side: np.full(n_vertices, np.nan) for side in ('L', 'R')}
    numbers = np.asarray(values, dtype=float)
    for side, whole in found.items():
        own = (
            (one.columns['hemisphere'] == side) & (one.columns['vertex'] < n_vertices)
        ).to_numpy()
        whole[one.columns.loc[own, 'vertex'].to_numpy()] = numbers[own]
    return found


def borders(one: Parcellation, n_vertices: int = N_VERTICES) -> dict[str, npt.NDArray[np.int64]]:
    """Return the parcels on the whole mesh, so that their borders can be drawn.

    Parameters
    ----------
    one : Parcellation
        Parcels of one cohort.
    n_vertices : int
        Vertices of a hemisphere of the surface that is shown.

    Returns
    -------
    dict of str to (n_vertices,) ndarray of int
        By side, ``L`` and ``R``: parcels from 1, 0 outside.
    """
    return {
        side: (np.nan_to_num(values, nan=-1) + 1).astype(np.int64)
        for side, values in _spread(one, one.labels, n_vertices).items()
    }
