"""What the meshes of FreeSurfer's average are called, in files and in BIDS entities."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

TEMPLATE_MESH = 'fsaverage'
"""The mesh on which all vertex maps lie unless a derivative's is asked for."""
SUBDIVISIONS: Mapping[str, str] = MappingProxyType({'10k': 'fsaverage5', '41k': 'fsaverage6'})
"""BIDS' ``den`` to FreeSurfer's name of the average with so many vertices: its fifth and sixth
subdivision of an icosahedron, whose vertices are the first 10,242 and 40,962 of ``fsaverage``."""


def mesh_of(space: str, density: str) -> str:
    """Return FreeSurfer's name of the mesh that two BIDS entities tell of.

    Parameters
    ----------
    space : str
        Entity ``space``; a space other than `TEMPLATE_MESH` is its own name.
    density : str
        Entity ``den``; empty where a name has none.

    Examples
    --------
    >>> mesh_of('fsaverage', '10k'), mesh_of('fsaverage', ''), mesh_of('fsaverage6', '')
    ('fsaverage5', 'fsaverage', 'fsaverage6')
    """
    return SUBDIVISIONS.get(density, space) if space == TEMPLATE_MESH else space
