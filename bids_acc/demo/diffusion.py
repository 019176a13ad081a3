"""Diffusion-weighted volumes of one visit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bids_acc.demo.anatomy import Anatomy
from bids_acc.demo.patterns import DiffusivityChange
from bids_acc.demo.structural import blur_to, grid_points
from bids_acc.demo.templates import Box, Head
from bids_acc.demo.warp import rigid, sample, to_voxels
from bids_acc.typing import BoolArray, FloatArray

RESOLUTION_MM = 3.0
FIELD_OF_VIEW_MM = (180.0, 216.0, 174.0)
B_VALUE = 1000.0
"""Diffusion weighting, s/mm2."""
N_DIRECTIONS = 30
B0_EVERY = 10
"""One unweighted volume before every so many directions, and one at the end."""

TILT_DEG = 7.0
"""Rotation of the slices about the left-right axis, degrees."""

S0 = {'GM': 0.72, 'WM': 0.58, 'CSF': 1.45}
"""Unweighted intensity of each tissue, arbitrary units."""

GM_MD = 0.85e-3
"""Mean diffusivity of grey matter without planted effect, mm2/s."""
WM_DIFFUSIVITY = (1.55e-3, 0.38e-3)
"""Diffusivity of white matter along and across the fibre, mm2/s (FA 0.72, MD 0.77e-3)."""
CSF_MD = 3.0e-3
"""Diffusivity of free water at body temperature, mm2/s."""

SNR = 28.0
"""Unweighted white-matter signal over the noise's standard deviation."""

MOTION_STEP = (0.10, 0.08)
"""Standard deviation of the step between volumes: translation (mm) and rotation (degrees)."""


@dataclass(frozen=True)
class DiffusionMaps:
    """The template's tissues at the resolution of the diffusion images."""

    affine: FloatArray
    tissues: npt.NDArray[np.float32]
    """(3, x, y, z) fractions of GM, WM and CSF."""
    fibres: Box
    surroundings: npt.NDArray[np.float32]
    """(x, y, z) positive wherever the brain may come to lie during a run."""


def diffusion_maps(head: Head) -> DiffusionMaps:
    """Blur the template's tissues as diffusion voxels do.

    Parameters
    ----------
    head : Head
        Template, 1 mm.

    Returns
    -------
    DiffusionMaps
        Tissues with the voxels' full width at half maximum, fibres with half of it.
    """
    tissues = np.stack([blur_to(t, RESOLUTION_MM) for t in head.tissues])
    fibres = np.stack([blur_to(f, RESOLUTION_MM / 2) for f in head.fibres.field])
    surroundings = blur_to(tissues.sum(axis=0), 8.0)
    return DiffusionMaps(head.affine, tissues, Box(head.fibres.affine, fibres), surroundings)


def gradient_table() -> tuple[FloatArray, FloatArray]:
    """Spread directions over the half sphere, with unweighted volumes between.

    Returns
    -------
    bvals : (n_volumes,) ndarray of float64
        Diffusion weighting, s/mm2.
    bvecs : (n_volumes, 3) ndarray of float64
        Unit vectors in the image's axes (FSL convention); zero where ``bvals`` is zero.

    Examples
    --------
    >>> bvals, bvecs = gradient_table()
    >>> len(bvals), int((bvals == 0).sum())
    (34, 4)
    """
    index = np.arange(N_DIRECTIONS) + 0.5
    z = 1 - index / N_DIRECTIONS
    # A spiral by the golden ratio: neighbouring turns never line up, so that directions are spread
    # evenly over the half sphere.
    azimuth = np.pi * (1 + np.sqrt(5)) * index
    radius = np.sqrt(1 - z**2)
    directions = np.stack([radius * np.cos(azimuth), radius * np.sin(azimuth), z], axis=1)
    # Gradients have no sign, but coils that are heated by one polarity only, and eddy currents,
    # do: scanners use both halves of the sphere.
    directions[1::2] *= -1
    # Not along the spiral: motion late in a run would otherwise fall on one part of the sphere.
    order = np.argsort((7 * np.arange(N_DIRECTIONS)) % N_DIRECTIONS)
    bvals, bvecs = [], []
    for count, direction in enumerate(directions[order]):
        if count % B0_EVERY == 0:
            bvals.append(0.0)
            bvecs.append(np.zeros(3))
        bvals.append(B_VALUE)
        bvecs.append(direction)
    return np.array([*bvals, 0.0]), np.array([*bvecs, np.zeros(3)])


def diffusion_grid() -> tuple[FloatArray, tuple[int, int, int]]:
    """Lay the grid: stored left-to-right reversed and tilted, as scanners do.

    Returns
    -------
    affine : (4, 4) ndarray of float64
        Voxel to scanner, mm; its determinant is negative.
    shape : (3,) tuple of int
        Number of voxels.
    """
    n = [2 * round(extent / RESOLUTION_MM / 2) for extent in FIELD_OF_VIEW_MM]
    axes = np.diag([-RESOLUTION_MM, RESOLUTION_MM, RESOLUTION_MM])
    affine = np.eye(4)
    affine[:3, :3] = rigid([0, 0, 0], [TILT_DEG, 0, 0])[:3, :3] @ axes
    affine[:3, 3] = -affine[:3, :3] @ (0.5 * (np.array(n) - 1))
    return affine, (n[0], n[1], n[2])


def to_world(bvecs: FloatArray, affine: FloatArray) -> FloatArray:
    """Turn FSL gradient vectors into scanner axes.

    FSL counts the first axis from the right when the affine's determinant is positive, so that
    axis changes its sign then.

    Parameters
    ----------
    bvecs : (n, 3) ndarray
        As in FSL's file, transposed.
    affine : (4, 4) ndarray
        Voxel to scanner, mm.

    Returns
    -------
    (n, 3) ndarray
        Right, anterior, superior.

    Examples
    --------
    >>> to_world(np.array([[1.0, 0, 0]]), np.diag([-3.0, 3, 3, 1])).tolist()
    [[-1.0, 0.0, 0.0]]
    >>> to_world(np.array([[1.0, 0, 0]]), np.diag([3.0, 3, 3, 1])).tolist()
    [[-1.0, 0.0, 0.0]]
    """
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    flipped = bvecs * ([-1.0, 1.0, 1.0] if np.linalg.det(axes) > 0 else [1.0, 1.0, 1.0])
    return np.asarray(flipped @ axes.T + 0.0)


def draw_motion(n_volumes: int, rng: np.random.Generator) -> list[FloatArray]:
    """Draw a slow random walk of the head; the first volume is where the head was put.

    Parameters
    ----------
    n_volumes : int
        Length of the series.
    rng : numpy.random.Generator
        Draws steps of SD `MOTION_STEP`.

    Returns
    -------
    list of (4, 4) ndarray
        Movement in scanner coordinates, mm.
    """
    steps = rng.standard_normal((n_volumes, 2, 3)) * np.array(MOTION_STEP)[None, :, None]
    steps[0] = 0
    return [rigid(shift, turn) for shift, turn in np.cumsum(steps, axis=0)]


def tissue_signal(
    fractions: FloatArray,
    alignment: FloatArray,
    md_relative: FloatArray,
    b_value: float,
) -> FloatArray:
    """Sum the signals of grey matter, white matter and CSF.

    Parameters
    ----------
    fractions : (n_points, 3) ndarray of float64
        Volume fractions of GM, WM and CSF.
    alignment : (n_points,) ndarray of float64
        Squared cosine between gradient and fibre.
    md_relative : (n_points,) ndarray of float64
        Relative change of grey matter's mean diffusivity.
    b_value : float
        Diffusion weighting, s/mm2.

    Returns
    -------
    (n_points,) ndarray of float64
        Signal, arbitrary units.
    """
    along, across = WM_DIFFUSIVITY
    decay = np.stack(
        [
            S0['GM'] * np.exp(-b_value * GM_MD * (1 + md_relative)),
            S0['WM'] * np.exp(-b_value * (across + (along - across) * alignment)),
            np.full(len(alignment), S0['CSF'] * np.exp(-b_value * CSF_MD)),
        ],
        axis=1,
    )
    return np.asarray((fractions * decay).sum(axis=1))


def _alignment(
    maps: DiffusionMaps, template: FloatArray, white: FloatArray, g: FloatArray
) -> FloatArray:
    """Squared cosine between a gradient and the fibres at template points."""
    weights = np.array(
        [g[0] ** 2, g[1] ** 2, g[2] ** 2, 2 * g[0] * g[1], 2 * g[0] * g[2], 2 * g[1] * g[2]]
    )
    projected = np.tensordot(weights.astype(np.float32), maps.fibres.field, axes=1)
    values = Box(maps.fibres.affine, projected[None]).at(template)[:, 0]
    return np.asarray(np.clip(values / np.maximum(white, 0.05), 0, 1))


def dwi_image(
    maps: DiffusionMaps,
    anatomy: Anatomy,
    md_change: DiffusivityChange,
    rng: np.random.Generator,
) -> tuple[npt.NDArray[np.int16], FloatArray, list[FloatArray]]:
    """Compute all volumes of one diffusion run.

    Parameters
    ----------
    maps : DiffusionMaps
        The template's tissues.
    anatomy : Anatomy
        Where the template's points lie.
    md_change : DiffusivityChange
        Relative change of grey matter's mean diffusivity.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    image : (x, y, z, n_volumes) ndarray of int16
        Intensities, arbitrary units.
    affine : (4, 4) ndarray of float64
        Voxel to scanner, mm.
    motion : list of (4, 4) ndarray of float64
        Movement of the head in each volume, in scanner coordinates.
    """
    affine, shape = diffusion_grid()
    bvals, bvecs = gradient_table()
    motion = draw_motion(len(bvals), rng)
    points = grid_points(affine, shape)
    gradients = to_world(bvecs, affine)
    inside = _near_brain(maps, anatomy, points)
    sigma = S0['WM'] / SNR
    image = np.empty((len(bvals), len(points)), dtype=np.int16)
    for volume, (b_value, gradient, moved) in enumerate(
        zip(bvals, gradients, motion, strict=True)
    ):
        signal = np.zeros(len(points), dtype=np.float32)
        signal[inside] = _volume(
            maps, anatomy, md_change, points[inside], float(b_value), gradient, moved
        )
        noise = sigma * rng.standard_normal((2, len(points)), dtype=np.float32)
        image[volume] = np.rint(1000 * np.hypot(signal + noise[0], noise[1]))
    return np.moveaxis(image.reshape(-1, *shape), 0, -1), affine, motion


def _near_brain(maps: DiffusionMaps, anatomy: Anatomy, points: FloatArray) -> BoolArray:
    """Tell which points the brain may touch, movement included."""
    template = anatomy.shape.to_template(anatomy.scanner_to_head(points))
    voxels = to_voxels(maps.affine, template)
    return sample(maps.surroundings, voxels) > 0.01


def _volume(
    maps: DiffusionMaps,
    anatomy: Anatomy,
    md_change: DiffusivityChange,
    points: FloatArray,
    b_value: float,
    gradient: FloatArray,
    moved: FloatArray,
) -> FloatArray:
    """Signal of one volume at scanner points."""
    template = anatomy.head_to_template(anatomy.scanner_to_head(points, moved))
    voxels = to_voxels(maps.affine, template)
    fractions = np.stack([sample(tissue, voxels) for tissue in maps.tissues], axis=1)
    if b_value == 0:
        return tissue_signal(fractions, np.zeros(len(points)), np.zeros(len(points)), 0.0)
    # The gradient stands still in the scanner while the head turns: in the head it turns the other
    # way.
    own = (moved @ anatomy.placement)[:3, :3].T @ gradient
    alignment = _alignment(maps, template, fractions[:, 1], own)
    return tissue_signal(fractions, alignment, md_change.at(template), b_value)
