"""The template every subject is measured on: fsaverage's mesh laid into the MNI152 brain."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from bids_acc.exceptions import SettingsError
from bids_acc.typing import BoolArray, FloatArray, IntArray

HEMISPHERES = ('L', 'R')
DENSITIES = {'41k': 40962, '10k': 10242}
"""Vertices per hemisphere of each density; the coarser mesh is the start of the finer one."""
MEDIAL_WALL = 'unknown'
"""Name under which the atlas keeps what is no cortex."""


class AtlasProvenance(TypedDict):
    """What is used of ``fsaverage41k.json``, which tells sources and checksums as well."""

    Atlas: str
    """Name and reference of the atlas."""
    labels: dict[str, str]
    """Code, as JSON's keys are, to name."""


@dataclass(frozen=True)
class TemplateHemisphere:
    """One hemisphere's mesh, in MNI152NLin2009aSym space, with its atlas."""

    white: FloatArray
    """(n_vertices, 3) in mm."""
    pial: FloatArray
    """(n_vertices, 3) in mm."""
    sphere: FloatArray
    """(n_vertices, 3) on a sphere of radius 100; FreeSurfer's ``sphere.reg`` coordinates."""
    faces: IntArray
    """(n_faces, 3), wound outwards."""
    labels: IntArray
    """(n_vertices,) codes of the Desikan-Killiany atlas."""
    names: dict[int, str]
    """Code to name."""

    @property
    def cortex(self) -> BoolArray:
        """(n_vertices,) whether a vertex is no medial wall."""
        wall = [code for code, name in self.names.items() if name == MEDIAL_WALL]
        return ~np.isin(self.labels, wall)


@cache
def load_template(density: str = '41k') -> dict[str, TemplateHemisphere]:
    """Return both hemispheres of the template.

    Parameters
    ----------
    density : str
        ``'41k'`` or ``'10k'``.

    Returns
    -------
    dict of str to TemplateHemisphere
        Keys ``'L'`` and ``'R'``.

    Raises
    ------
    SettingsError
        If there is no such density.
    """
    if density not in DENSITIES:
        raise SettingsError(f'density {density!r} is not one of {", ".join(DENSITIES)}.')
    folder = resources.files('bids_acc') / 'data' / 'templates'
    with resources.as_file(folder / 'fsaverage41k.npz') as path, np.load(path) as arrays:
        stored = {name: arrays[name] for name in arrays.files}
    names = {int(code): name for code, name in atlas_provenance()['labels'].items()}
    n_vertices = DENSITIES[density]
    faces = stored[f'faces_{density}'].astype(np.int64)
    return {
        hemi: TemplateHemisphere(
            **{
                key: stored[f'{key}_{hemi}'][:n_vertices].astype(float)
                for key in ('white', 'pial', 'sphere')
            },
            faces=faces,
            labels=stored[f'labels_{hemi}'][:n_vertices].astype(np.int64),
            names=names,
        )
        for hemi in HEMISPHERES
    }


@cache
def atlas_provenance() -> AtlasProvenance:
    """Return what ``fsaverage41k.json`` says: names, sources, licences, SHA-256."""
    path = resources.files('bids_acc') / 'data' / 'templates' / 'fsaverage41k.json'
    found: AtlasProvenance = json.loads(path.read_text())
    return found


def mask_sha256(mask: npt.ArrayLike) -> str:
    """Return a checksum of a vertex mask that does not depend on how it is stored.

    Parameters
    ----------
    mask : (n_vertices,) array_like of bool
        Taken as bytes of 0 and 1.

    Returns
    -------
    str
        Hexadecimal.
    """
    return hashlib.sha256(np.asarray(mask, dtype=np.uint8).tobytes()).hexdigest()
