"""The inflated template on which maps are shown; it is looked at and never measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np

from bids_acc.surfaces.cohort_surface import MeanSurface, inflated
from bids_acc.surfaces.template import DENSITIES, HEMISPHERES, load_template
from bids_acc.typing import BoolArray, FloatArray, IntArray

DENSITY = '10k'
"""Vertices of a finer mesh beyond these are not shown: the first ones are the same."""
N_VERTICES = DENSITIES[DENSITY]


@dataclass(frozen=True)
class InflatedHemisphere:
    """One hemisphere of fsaverage5, inflated so that sulci are seen."""

    vertices: FloatArray
    """(n_vertices, 3) in mm; x right, y front, z up, the centre at zero."""
    faces: IntArray
    """(n_faces, 3), wound outwards."""
    sulcus: BoolArray
    """(n_vertices,) whether a vertex lies in a sulcus."""
    labels: IntArray
    """(n_vertices,) codes of the Desikan-Killiany atlas."""
    names: dict[int, str]
    """Code to name."""


def inflated_own(
    surfaces: Mapping[str, MeanSurface], labels: Mapping[str, tuple[IntArray, dict[int, str]]]
) -> dict[str, InflatedHemisphere]:
    """Return surfaces on the mesh of a derivative, of a subject or the mean of many, inflated.

    Parameters
    ----------
    surfaces : mapping of str to MeanSurface
        ``L`` and ``R``, or one of them.
    labels : mapping of str to (codes, names)
        Of the sides of which they are known.
    """
    found = {}
    for side, mean in surfaces.items():
        vertices, sulcus = inflated(mean)
        none = np.zeros(len(vertices), dtype=np.int64)
        codes, names = labels.get(side, (none, {}))
        found[side] = InflatedHemisphere(vertices, mean.faces, sulcus, codes, names)
    return found


@cache
def inflated_template() -> dict[str, InflatedHemisphere]:
    """Return both hemispheres.

    Returns
    -------
    dict of str to InflatedHemisphere
        Keys ``'L'`` and ``'R'``.
    """
    folder = resources.files('bids_acc') / 'data' / 'templates'
    with resources.as_file(folder / 'inflated10k.npz') as path, np.load(path) as arrays:
        stored = {name: arrays[name] for name in arrays.files}
    template = load_template(DENSITY)
    return {
        hemi: InflatedHemisphere(
            vertices=stored[f'inflated_{hemi}'].astype(float) / 100,
            faces=template[hemi].faces,
            sulcus=stored[f'sulcus_{hemi}'].astype(bool),
            labels=template[hemi].labels,
            names=template[hemi].names,
        )
        for hemi in HEMISPHERES
    }
