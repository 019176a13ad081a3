"""The head that every participant is a variant of, from the MNI templates in the nilearn wheel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt, gaussian_filter

from bids_acc.demo.warp import apply_affine, sample, to_voxels
from bids_acc.typing import FloatArray

FloatMap = npt.NDArray[np.float32]

MARGINS = ((16, 16), (16, 44), (52, 16))
"""Voxels (mm) added on both sides of the brain along x, y, z, for skull, scalp, face and neck."""

SHELLS = ((1.5, 0.26), (5.0, 0.10), (8.5, 0.70))
"""Outer distance from the brain (mm) and T1w intensity of CSF, skull and a thin scalp."""

AIR = 0.01
"""T1w intensity up to which there is nothing yet."""

Ellipsoid = tuple[tuple[float, float, float], tuple[float, float, float], float]
"""Centre and half axes in MNI mm, and T1w intensity."""
SOFT_PARTS: tuple[Ellipsoid, ...] = (
    ((0, 52, -52), (60, 50, 58), 0.62),  # skin and fat of the face
    ((0, 50, -52), (54, 46, 54), 0.44),  # muscles of the face
    ((0, 66, -40), (17, 30, 24), 0.03),  # nose and sinuses: air
    ((0, 50, -76), (32, 30, 12), 0.50),  # tongue and palate
    ((-32, 62, -36), (13, 13, 13), 0.24),  # eyes
    ((32, 62, -36), (13, 13, 13), 0.24),
    ((0, -32, -110), (62, 62, 90), 0.75),  # fat of the neck
    ((0, -32, -110), (55, 55, 86), 0.42),  # muscles of the neck
    ((0, 16, -110), (10, 9, 50), 0.02),  # pharynx and windpipe: air
    ((0, -22, -110), (18, 20, 60), 0.60),  # marrow of the vertebrae
    ((0, -44, -112), (9, 8, 60), 0.20),  # CSF of the spinal canal
    ((0, -44, -112), (5, 5, 58), 0.72),  # spinal cord
)
"""Parts of face and neck, the later on top of the earlier. They are as large and as bright as such
parts are and no anatomy: whoever looks for the brain has to tell it from them."""

BORDER_REACH_MM = (4.0, 2.6)
"""How far a shift of the GM/WM border is felt into white and into grey matter, mm."""

BORDER_BOX_MM = ((-32.0, 32.0), (-25.0, 72.0), (-34.0, 66.0))
"""Part of MNI space in which the border may be shifted: all patterns and three widths more."""

COMMISSURE_MM = 10.0
"""Distance from the midline within which fibres rather cross, mm."""


@dataclass(frozen=True)
class Box:
    """A vector field that is known in one part of the template only."""

    affine: FloatArray
    """(4, 4) voxel of the box to MNI, mm."""
    field: FloatMap
    """(n_components, x, y, z) components at each voxel."""

    def at(self, points: FloatArray) -> FloatArray:
        """Interpolate at MNI points (rows, mm); zero outside.

        Parameters
        ----------
        points : (n, 3) ndarray
            MNI coordinates, mm.

        Returns
        -------
        (n, n_components) ndarray
            Linear between voxels.
        """
        voxels = to_voxels(self.affine, points)
        return np.stack([sample(component, voxels) for component in self.field], axis=1)


@dataclass(frozen=True)
class Head:
    """Template head on a 1 mm grid."""

    affine: FloatArray
    """(4, 4) voxel to MNI, mm."""
    t1w: FloatMap
    """Intensity of brain, skull and scalp; white matter about 0.87."""
    tissues: FloatMap
    """(3, x, y, z) fractions of GM, WM and CSF; zero outside the brain."""
    border: Box
    """Unit normals of the GM/WM border (towards GM), fading to zero on both sides of it; the
    fourth component is the signed distance from the border (mm, positive in grey matter)."""
    fibres: Box
    """Six components (xx, yy, zz, xy, xz, yz) of the fibre direction's dyadic, times WM."""


def _brain() -> tuple[FloatArray, FloatMap, FloatMap]:
    """Read T1w intensity and the three tissue fractions, padded for the scalp."""
    from nilearn.datasets import (
        load_mni152_gm_template,
        load_mni152_template,
        load_mni152_wm_template,
    )

    image = load_mni152_template(resolution=1)
    pad = MARGINS
    t1w = np.pad(np.asarray(image.dataobj, dtype=np.float32), pad)
    gm, wm = (
        np.pad(np.asarray(load(resolution=1).dataobj, dtype=np.float32), pad)
        for load in (load_mni152_gm_template, load_mni152_wm_template)
    )
    affine = np.array(image.affine, dtype=float)
    affine[:3, 3] -= [before for before, _ in MARGINS]
    brain = t1w > 0
    csf = np.clip(1 - gm - wm, 0, 1)
    tissues = np.stack([gm, wm, csf]) * brain
    total = np.where(brain, tissues.sum(axis=0), 1)
    return affine, t1w, (tissues / total).astype(np.float32)


def add_scalp(t1w: FloatMap) -> FloatMap:
    """Wrap CSF, skull and scalp around a brain; the brain's own voxels do not change.

    Parameters
    ----------
    t1w : (x, y, z) ndarray of float32
        1 mm, zero outside the brain.

    Returns
    -------
    (x, y, z) ndarray of float32
        Layers of `SHELLS` (mm and intensity), smoothed by 0.8 mm SD.
    """
    brain = t1w > 0
    distance = distance_transform_edt(~brain)
    head = np.zeros_like(t1w)
    inner = 0.0
    for outer, intensity in SHELLS:
        head[(distance > inner) & (distance <= outer)] = intensity
        inner = outer
    return np.where(brain, t1w, gaussian_filter(head, 0.8)).astype(np.float32)


def add_face_and_neck(head: FloatMap, affine: FloatArray) -> FloatMap:
    """Put a face and a neck where there is air; brain, skull and scalp do not change.

    Parameters
    ----------
    head : (x, y, z) ndarray of float32
        Brain, skull and scalp, from `add_scalp`.
    affine : (4, 4) ndarray of float64
        Voxel to MNI, mm, without rotation.

    Returns
    -------
    (x, y, z) ndarray of float32
        With `SOFT_PARTS`, blurred by 0.8 mm.
    """
    axes = [affine[k, k] * np.arange(n) + affine[k, 3] for k, n in enumerate(head.shape)]
    soft = np.zeros_like(head)
    for centre, half, intensity in SOFT_PARTS:
        x, y, z = (
            ((axis - c) / h) ** 2 for axis, c, h in zip(axes, centre, half, strict=True)
        )  # fmt: skip
        inside = x[:, None, None] + y[None, :, None] + z[None, None, :] < 1
        soft[inside] = intensity
    return np.where(head > AIR, head, np.maximum(head, gaussian_filter(soft, 0.8)))


def border_field(wm: FloatMap) -> FloatMap:
    """Compute faded normals of the GM/WM border and the distance from it.

    Parameters
    ----------
    wm : (x, y, z) ndarray of float32
        White-matter fraction on a 1 mm grid.

    Returns
    -------
    (4, x, y, z) ndarray of float32
        Normal towards grey matter, of length one at the border and zero beyond the reach of a
        shift (`BORDER_REACH_MM`); signed distance, mm, positive outside white matter.
    """
    white = wm > 0.5
    distance = distance_transform_edt(~white) - distance_transform_edt(white)
    distance = gaussian_filter(distance - 0.5 * np.sign(distance), 1.0)
    normal = np.stack(np.gradient(distance))
    length = np.linalg.norm(normal, axis=0)
    reach = np.where(distance < 0, *BORDER_REACH_MM)
    fade = np.cos(0.5 * np.pi * np.clip(np.abs(distance) / reach, 0, 1)) ** 2
    normal *= fade / np.maximum(length, 0.5)
    return np.asarray(np.concatenate([normal, distance[None]]).astype(np.float32))


def fibre_dyadics(wm: FloatMap, x_mm: FloatArray) -> FloatMap:
    """Guess fibre directions: along the white matter's own shape, where it changes least.

    The direction is the eigenvector of the smallest eigenvalue of the white matter's structure
    tensor; it runs across in the corpus callosum and along in the cingulum.

    Parameters
    ----------
    wm : (x, y, z) ndarray of float32
        White-matter fraction.
    x_mm : (x,) ndarray of float64
        MNI coordinate of the first axis: near the midline, where white matter looks the same
        along more than one direction, fibres that cross are preferred.

    Returns
    -------
    (6, x, y, z) ndarray of float32
        Dyadic of the direction (xx, yy, zz, xy, xz, yz) times the white-matter fraction.
    """
    pairs = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
    gradient = np.gradient(gaussian_filter(wm, 1.0))
    inside = wm > 0.02
    tensor = np.empty((int(inside.sum()), 3, 3))
    for i, j in pairs:
        component = gaussian_filter(gradient[i] * gradient[j], 2.0)[inside]
        tensor[:, i, j] = tensor[:, j, i] = component
    near_midline = np.broadcast_to(np.abs(x_mm)[:, None, None] < COMMISSURE_MM, wm.shape)[inside]
    penalty = 0.15 * np.trace(tensor, axis1=1, axis2=2) * near_midline
    tensor[:, 1, 1] += penalty
    tensor[:, 2, 2] += penalty
    direction = np.linalg.eigh(tensor)[1][:, :, 0]
    dyadics = np.zeros((6, *wm.shape), dtype=np.float32)
    for k, (i, j) in enumerate(pairs):
        dyadics[k][inside] = wm[inside] * direction[:, i] * direction[:, j]
    return dyadics


def _crop(affine: FloatArray, volume: FloatMap) -> tuple[FloatArray, FloatMap]:
    """Cut out the part of the template in which the border may be shifted."""
    corners = np.array(BORDER_BOX_MM).T
    low, high = to_voxels(affine, corners).round().astype(int)
    moved = affine.copy()
    moved[:3, 3] = apply_affine(affine, low[None].astype(float))[0]
    return moved, volume[low[0] : high[0], low[1] : high[1], low[2] : high[2]]


def load_head() -> Head:
    """Build the template head; takes some ten CPU seconds.

    Returns
    -------
    Head
        The head that every participant is a variant of.
    """
    affine, t1w, tissues = _brain()
    box_affine, box_wm = _crop(affine, tissues[1])
    coarse = affine @ np.diag([2.0, 2.0, 2.0, 1.0])
    coarse[:3, 3] += 0.5 * affine[:3, :3].diagonal()
    nx, ny, nz = (size // 2 for size in t1w.shape)
    blocks = tissues[1][: 2 * nx, : 2 * ny, : 2 * nz].reshape(nx, 2, ny, 2, nz, 2)
    half = blocks.mean(axis=(1, 3, 5), dtype=np.float32)
    x_mm = coarse[0, 0] * np.arange(len(half)) + coarse[0, 3]
    return Head(
        affine=affine,
        t1w=add_face_and_neck(add_scalp(t1w), affine),
        tissues=tissues,
        border=Box(box_affine, border_field(box_wm)),
        fibres=Box(coarse, fibre_dyadics(half, x_mm)),
    )
