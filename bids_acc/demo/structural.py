"""A T1w image of one visit."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from bids_acc.demo.anatomy import Anatomy
from bids_acc.demo.templates import FloatMap, Head
from bids_acc.demo.warp import apply_affine, field_at, sample, smooth_field, to_voxels
from bids_acc.typing import FloatArray

FIELD_OF_VIEW_MM = (196.0, 236.0, 204.0)
"""Extent of the T1w image along x, y, z, mm."""

WHITE_LEVEL = 900.0
"""Stored intensity of white matter without bias field."""

NOISE = 0.018
"""Standard deviation of the noise, as a share of white matter's intensity."""

BIAS = 0.10
"""Standard deviation of the coil sensitivity's logarithm over the head."""


def grid(
    resolution: float, extent_mm: tuple[float, float, float]
) -> tuple[FloatArray, tuple[int, int, int]]:
    """Lay a RAS grid around the scanner's centre.

    Parameters
    ----------
    resolution : float
        Voxel size, mm.
    extent_mm : (3,) tuple of float
        Extent of the grid, mm.

    Returns
    -------
    affine : (4, 4) ndarray of float64
        Voxel to scanner, mm.
    shape : (3,) tuple of int
        Number of voxels.
    """
    n = [2 * round(extent / resolution / 2) for extent in extent_mm]
    affine = np.diag([resolution, resolution, resolution, 1.0])
    affine[:3, 3] = [-0.5 * resolution * (size - 1) for size in n]
    return affine, (n[0], n[1], n[2])


def grid_points(affine: FloatArray, shape: tuple[int, int, int]) -> FloatArray:
    """List the scanner coordinates (rows, mm) of all voxels in C order.

    Parameters
    ----------
    affine : (4, 4) ndarray
        Voxel to scanner, mm.
    shape : tuple of (int, int, int)
        Voxels along each axis.

    Returns
    -------
    (n_voxels, 3) ndarray
        The last axis varies fastest.
    """
    voxels = np.indices(shape, dtype=float).reshape(3, -1).T
    return apply_affine(affine, voxels)


def blur_to(volume: npt.NDArray[np.floating], resolution: float) -> FloatMap:
    """Blur a 1 mm map as voxels of another size would, so that sampling it does not alias.

    Parameters
    ----------
    volume : (x, y, z) ndarray
        1 mm.
    resolution : float
        Full width at half maximum of the result, mm; the map's own 1 mm is taken off in squares.

    Returns
    -------
    (x, y, z) ndarray of float32
        On the same grid.
    """
    # The template is blurred by its own millimetre already: variances of blurs add up.
    sigma = np.sqrt(max(resolution**2 - 1.0, 0.0)) / np.sqrt(8 * np.log(2))
    return gaussian_filter(volume, sigma).astype(np.float32) if sigma else volume


def t1w_image(
    head: Head,
    blurred: FloatMap,
    anatomy: Anatomy,
    affine: FloatArray,
    shape: tuple[int, int, int],
    rng: np.random.Generator,
) -> npt.NDArray[np.int16]:
    """Compute a T1w image with bias field and Rician noise.

    Parameters
    ----------
    head : Head
        Template head; gives the grid of ``blurred``.
    blurred : (x, y, z) ndarray of float32
        The template's intensities at the image's resolution (`blur_to`).
    anatomy : Anatomy
        Where the template's points lie.
    affine : (4, 4) ndarray of float64
        Voxel to scanner, mm.
    shape : (3,) tuple of int
        Number of voxels.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    (x, y, z) ndarray of int16
        Intensities, arbitrary units.
    """
    points = grid_points(affine, shape)
    template = anatomy.head_to_template(anatomy.scanner_to_head(points))
    signal = sample(blurred, to_voxels(head.affine, template))
    log_bias = field_at(smooth_field(rng, rms_mm=BIAS, smoothness_mm=60.0)[:1], points)[:, 0]
    signal = WHITE_LEVEL * signal / 0.87 * np.exp(log_bias - log_bias.mean())
    noise = NOISE * WHITE_LEVEL * rng.standard_normal((2, len(signal)), dtype=np.float32)
    image = np.hypot(signal + noise[0], noise[1])
    return np.asarray(np.clip(np.rint(image), 0, 32767).astype(np.int16).reshape(shape))
