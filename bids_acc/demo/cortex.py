"""How thick the cortex of the anterior cingulate really is in a head of the demo.

The template's own surfaces are carried into the head by the same map as its image, and measured
there. They are surfaces that the product brought to rest in the template's image, so that a score
against them tells what noise, bias field, voxel size and warp do to a measurement, not whether the
product's idea of a boundary is right.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from bids_acc.anat.morphometry import symmetric_thickness
from bids_acc.anat.quality import ACC_LABELS
from bids_acc.demo.anatomy import Anatomy
from bids_acc.demo.patterns import pattern_weights
from bids_acc.demo.truth import ThicknessChange
from bids_acc.surfaces.regions import region_mask
from bids_acc.surfaces.template import load_template
from bids_acc.typing import FloatArray, IntArray

REGION = tuple(sorted(ACC_LABELS))
"""Names in the Desikan atlas."""

SURROUNDINGS_MM = 20.0
"""How far around the region the surfaces are kept, mm: beyond any thickness."""


@dataclass(frozen=True)
class Patch:
    """The region and what lies around it, on one side."""

    vertices: IntArray
    """(n_vertices,) numbers of the region's vertices in the template mesh."""
    inside: IntArray
    """(n_vertices,) the same vertices as rows of ``white`` and ``pial``."""
    white: FloatArray
    """(n_kept, 3) MNI coordinates, mm."""
    pial: FloatArray
    """(n_kept, 3) MNI coordinates, mm."""
    faces: IntArray
    """(n_faces, 3) rows of ``white`` and ``pial``."""

    def thickness(self, carry: Callable[[FloatArray], FloatArray]) -> FloatArray:
        """Carry both surfaces by a map of points and measure the region, (n_vertices,) mm.

        Parameters
        ----------
        carry : callable
            Maps MNI points (n, 3) to a head, mm.

        Returns
        -------
        (n_vertices,) ndarray
            mm.
        """
        both = symmetric_thickness(carry(self.white), carry(self.pial), self.faces)
        return np.asarray(both[self.inside], dtype=float)


@functools.cache
def cingulate_surfaces() -> dict[str, Patch]:
    """Cut the anterior cingulate and what lies around it out of the template's surfaces."""
    patches = {}
    for side, mesh in load_template().items():
        region = np.flatnonzero(region_mask(mesh.labels, mesh.names, REGION))
        away, _ = cKDTree(mesh.white[region]).query(mesh.white)
        kept = np.flatnonzero(away < SURROUNDINGS_MM)
        number = np.full(len(mesh.white), -1)
        number[kept] = np.arange(len(kept))
        faces = number[mesh.faces]
        patches[side] = Patch(
            vertices=region,
            inside=number[region],
            white=np.asarray(mesh.white[kept], dtype=float),
            pial=np.asarray(mesh.pial[kept], dtype=float),
            faces=faces[(faces >= 0).all(axis=1)],
        )
    return patches


def true_thickness(anatomy: Anatomy) -> dict[str, FloatArray]:
    """Measure the thickness of the template's own surfaces, carried into a head.

    By the definition that the participant level uses, see
    `bids_acc.anat.morphometry.symmetric_thickness`. What a shifted border does to it is less than
    the shift wherever the cortex is folded: the nearest point of the other surface need not lie
    opposite.

    Parameters
    ----------
    anatomy : Anatomy
        Of one visit.

    Returns
    -------
    dict of str to (n_vertices,) ndarray of float64
        For each hemisphere, mm, at the vertices of `cingulate_surfaces`.
    """
    carry = anatomy.template_to_head
    return {side: patch.thickness(carry) for side, patch in cingulate_surfaces().items()}


def thickness_change(anatomy: Anatomy, thickness: dict[str, FloatArray]) -> ThicknessChange:
    """Tell by how much the planted shift and the warp changed the cortex.

    Parameters
    ----------
    anatomy : Anatomy
        Of one visit.
    thickness : dict
        Its `true_thickness`.

    Returns
    -------
    dict
        ``mean_mm``: planted change, mean over the region, mm. ``by_pattern_mm``: the same,
        weighted by each pattern. ``warp_factor``: stretch of the cortex by head size and smooth
        warp, weighted by each pattern; 1 for none.
    """
    still = replace(anatomy, thickness_mm=0 * anatomy.thickness_mm)
    unshifted = _one_row(true_thickness(still))
    shares, own = _of_the_template()
    change = _one_row(thickness) - unshifted
    return {
        'mean_mm': round(float(change.mean()), 4),
        'by_pattern_mm': (change @ shares).round(4).tolist(),
        'warp_factor': ((unshifted @ shares) / own).round(4).tolist(),
    }


def thickness_table(thickness: dict[str, FloatArray]) -> pd.DataFrame:
    """Return a row for each vertex: ``hemisphere``, ``vertex`` and ``thickness`` in mm.

    Parameters
    ----------
    thickness : dict of str to (n_vertices,) ndarray
        From `true_thickness`, mm.

    Returns
    -------
    DataFrame
        Vertices are numbered as in the template's mesh.
    """
    return pd.concat(
        [
            pd.DataFrame(
                {
                    'hemisphere': side,
                    'vertex': patch.vertices,
                    'thickness': thickness[side].round(4),
                }
            )
            for side, patch in cingulate_surfaces().items()
        ],
        ignore_index=True,
    )


@functools.cache
def _of_the_template() -> tuple[FloatArray, FloatArray]:
    """Return the share of each vertex in each pattern, and the patterns' own thickness, mm."""
    patches = cingulate_surfaces()
    weights = pattern_weights(np.concatenate([p.white[p.inside] for p in patches.values()]))
    shares = weights / weights.sum(axis=0)
    own = _one_row({side: patch.thickness(np.array) for side, patch in patches.items()})
    return shares, own @ shares


def _one_row(by_side: dict[str, FloatArray]) -> FloatArray:
    """Put both hemispheres into one row."""
    return np.concatenate(list(by_side.values()))
