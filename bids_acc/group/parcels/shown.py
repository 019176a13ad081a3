"""The surfaces on which maps of the group level are drawn."""

from __future__ import annotations

from collections.abc import Mapping

from bids_acc.group.opnmf.features import VertexMetrics
from bids_acc.group.parcels.measures import Parcellation
from bids_acc.group.parcels.places import ParcelPlace, parcel_places
from bids_acc.report.surface_view import VIEWS
from bids_acc.surfaces.inflated import (
    N_VERTICES,
    InflatedHemisphere,
    inflated_own,
    inflated_template,
)


def shown_surfaces(data: VertexMetrics) -> dict[str, InflatedHemisphere]:
    """Return the inflated surfaces that have the vertices of some maps.

    Parameters
    ----------
    data : VertexMetrics
        The template's surfaces on its mesh; on the mesh of a derivative the cohort's mean.

    Returns
    -------
    dict of str to InflatedHemisphere
        Empty where there are none.
    """
    if data.surfaces is not None:
        return inflated_own(data.surfaces, {})
    fits = data.on_template and min(data.mesh_sizes) >= N_VERTICES
    return inflated_template() if fits else {}


def views_of(surfaces: Mapping[str, InflatedHemisphere]) -> list[str]:
    """Return the views of the hemispheres that are there.

    Parameters
    ----------
    surfaces : mapping of str to InflatedHemisphere
        By side, ``L`` and ``R``.

    Returns
    -------
    list of str
        Keys of `VIEWS`, in their order.
    """
    return [view for view, (side, _) in VIEWS.items() if side in surfaces]


def size_of(surfaces: Mapping[str, InflatedHemisphere]) -> int:
    """Return how many vertices the mesh of a hemisphere has.

    Parameters
    ----------
    surfaces : mapping of str to InflatedHemisphere
        By side; at least one, all of one size.

    Returns
    -------
    int
        Vertices of one side.
    """
    return len(next(iter(surfaces.values())).vertices)


def places_of(one: Parcellation, data: VertexMetrics) -> dict[int, ParcelPlace]:
    """Say where the parcels lie; empty on the mesh of a derivative, whose places are not known.

    Parameters
    ----------
    one : Parcellation
        Parcels of one cohort.
    data : VertexMetrics
        The maps that they were found in; tell the mesh.

    Returns
    -------
    dict of int to ParcelPlace
        By number of the parcel, from 1.
    """
    size = data.mesh_sizes[0] if data.on_template else 0
    return parcel_places(one.columns, one.labels, size)
