"""The spectroscopic voxel on the grid of an image, with partial coverage at its faces."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from bids_acc.images.affines import apply_matrix
from bids_acc.surfaces.ribbon import ribbon_points
from bids_acc.typing import BoolArray, FloatArray

TEMPLATE_SHAPE = (99, 117, 95)
TEMPLATE_AFFINE = np.array([[2.0, 0, 0, -98], [0, 2, 0, -134], [0, 0, 2, -72], [0, 0, 0, 1]])
"""Grid of 2 mm that begins at the first voxel of the 1 mm template and ends at its last: every
cohort's voxels lie on the same one."""

EDGE_RANGE_MM = (5.0, 100.0)
"""Edges of a voxel that a spectrum of the brain can come from; converters write 1 mm or 10 m where
the file does not tell. A convention of this package."""

SAME_PLACE_MM = 1.0
"""Largest difference of the affines of a spectrum and its water reference, in mm."""

VOLUME_TOLERANCE = 0.02
"""Largest relative difference of the volumes of a spectrum and its water reference."""


def is_placed(affine: npt.ArrayLike) -> bool:
    """Whether an affine can be that of a voxel in a brain, and not one that a converter made up.

    Parameters
    ----------
    affine : (4, 4) array_like
        Of the spectrum's NIfTI-MRS file.

    Examples
    --------
    >>> is_placed(np.diag([20.0, 20, 30, 1])), is_placed(np.eye(4)), is_placed(1e4 * np.eye(4))
    (True, False, False)
    """
    edges = np.linalg.norm(np.asarray(affine, dtype=float)[:3, :3], axis=0)
    low, high = EDGE_RANGE_MM
    return bool(np.all((edges >= low) & (edges <= high)))  # NaN is in no range


def nominal_volume_ml(affine: npt.ArrayLike) -> float:
    """Volume of a voxel in mL; NaN where the affine is none of a voxel.

    Parameters
    ----------
    affine : (4, 4) array_like
        Of the spectrum's NIfTI-MRS file.

    Examples
    --------
    >>> nominal_volume_ml(np.diag([20.0, 25, 30, 1])), nominal_volume_ml(np.eye(4))
    (15.0, nan)
    """
    if not is_placed(affine):
        return float('nan')
    x, y, z = np.asarray(affine, dtype=float)[:3, :3].T
    return float(abs(np.cross(x, y) @ z) / 1000)


def measured_elsewhere(affine: npt.ArrayLike, other: npt.ArrayLike) -> str:
    """Say how two acquisitions differ in place; empty where they do not, or one is not told.

    Parameters
    ----------
    affine, other : (4, 4) array_like
        Of the spectrum and of its water reference.

    Examples
    --------
    >>> one = np.diag([20.0, 20, 30, 1])
    >>> measured_elsewhere(one, one), measured_elsewhere(one, np.eye(4))
    ('', '')
    >>> other = one.copy()
    >>> other[0, 3] = 25
    >>> measured_elsewhere(one, other)
    'its centre lies 25 mm away'
    """
    one, two = np.asarray(affine, dtype=float), np.asarray(other, dtype=float)
    if not (is_placed(one) and is_placed(two)) or np.allclose(one, two, atol=SAME_PLACE_MM):
        return ''
    away = float(np.linalg.norm(one[:3, 3] - two[:3, 3]))
    if away > SAME_PLACE_MM:
        return f'its centre lies {away:.0f} mm away'
    ours, theirs = nominal_volume_ml(one), nominal_volume_ml(two)
    if abs(theirs / ours - 1) > VOLUME_TOLERANCE:
        return f'its voxel has {theirs:.1f} mL, that of the spectrum {ours:.1f}'
    # edges in another order, or an axis turned by half a turn, are the same box
    return '' if _same_box(one, two) else 'its voxel is turned'


def _same_box(one: FloatArray, two: FloatArray) -> bool:
    """Whether two voxels of one centre and volume have the same corners."""
    distances = np.linalg.norm(voxel_corners(one)[:, None] - voxel_corners(two)[None], axis=2)
    return bool(np.all(distances.min(axis=1) < 2 * SAME_PLACE_MM))


def voxel_corners(affine: npt.ArrayLike) -> FloatArray:
    """Corners of the first voxel of an affine in its world space.

    Parameters
    ----------
    affine : (4, 4) array_like
        From voxel indices to mm. Integer indices are centres, so that a corner is half an index
        away.

    Returns
    -------
    (8, 3) ndarray of float64
        In mm.
    """
    corners = np.array(np.meshgrid([-0.5, 0.5], [-0.5, 0.5], [-0.5, 0.5])).reshape(3, -1).T
    affine = np.asarray(affine, dtype=float)
    return np.asarray(corners @ affine[:3, :3].T + affine[:3, 3])


def voxel_coverage(
    voxel_affine: npt.ArrayLike,
    image_affine: npt.ArrayLike,
    image_shape: tuple[int, int, int],
    subdivision: int = 4,
) -> FloatArray:
    """Share of each image voxel that lies inside the spectroscopic voxel.

    Parameters
    ----------
    voxel_affine : (4, 4) array_like
        Affine of the spectrum's NIfTI-MRS file, whose only voxel is centred at index zero.
    image_affine : (4, 4) array_like
        Affine of the image, in the same world space.
    image_shape : tuple of int
        Shape of the image.
    subdivision : int
        Image voxels are cut into this many parts along each axis. A part that a face cuts counts
        by the share that lies inside, exactly where the axes are parallel.

    Returns
    -------
    image_shape ndarray of float64
        0 to 1. A part of the spectroscopic voxel that lies outside the image is not covered.

    Examples
    --------
    >>> coverage = voxel_coverage(np.diag([3.0, 3, 3, 1]), np.eye(4), (4, 4, 4))
    >>> float(coverage.sum().round(6)), float(coverage[0, 0, 0])
    (8.0, 1.0)
    """
    image_affine = np.asarray(image_affine, dtype=float)
    to_voxel = np.linalg.inv(np.asarray(voxel_affine, dtype=float)) @ image_affine
    corners = voxel_corners(np.linalg.inv(image_affine) @ np.asarray(voxel_affine, dtype=float))
    low = np.clip(np.floor(corners.min(axis=0)).astype(int), 0, image_shape)
    high = np.clip(np.ceil(corners.max(axis=0)).astype(int) + 1, 0, image_shape)
    coverage = np.zeros(image_shape)
    if np.any(high <= low):
        return coverage
    steps = (np.arange(subdivision) + 0.5) / subdivision - 0.5
    # How far a part of an image voxel reaches along each axis of the spectroscopic voxel: over
    # this distance its share falls from one to zero, so that the sum changes smoothly as the voxel
    # moves.
    extent = np.abs(to_voxel[:3, :3]).sum(axis=1)[:, None, None, None] / subdivision
    grids = [np.arange(lo, hi) for lo, hi in zip(low, high, strict=True)]
    inside = np.zeros([len(grid) for grid in grids])
    for offset in np.array(np.meshgrid(steps, steps, steps)).reshape(3, -1).T:
        # index along each axis, turned into coordinates of the spectroscopic voxel by broadcasting
        axes = [np.multiply.outer(to_voxel[:3, k], grids[k] + offset[k]) for k in range(3)]
        position = (
            axes[0][:, :, None, None]
            + axes[1][:, None, :, None]
            + axes[2][:, None, None, :]
            + to_voxel[:3, 3, None, None, None]
        )
        inside += np.prod(np.clip((0.5 - np.abs(position)) / extent + 0.5, 0, 1), axis=0)
    box = tuple(slice(lo, hi) for lo, hi in zip(low, high, strict=True))
    coverage[box] = inside / subdivision**3
    return coverage


def overlap_fraction(coverage: npt.ArrayLike, mask: npt.ArrayLike) -> float:
    """Share of the spectroscopic voxel that lies in a mask; NaN when it covers nothing.

    Parameters
    ----------
    coverage : (x, y, z) array_like
        Share of each image voxel in the spectroscopic voxel, from :func:`voxel_coverage`.
    mask : (x, y, z) array_like
        Region on the same grid, 0 to 1.

    Returns
    -------
    float
        0 to 1: of the spectroscopic voxel's part in the image.
    """
    coverage = np.asarray(coverage, dtype=float)
    total = float(coverage.sum())
    return float((coverage * np.asarray(mask, dtype=float)).sum() / total) if total else np.nan


def inside_voxel(points: npt.ArrayLike, voxel_affine: npt.ArrayLike) -> BoolArray:
    """Tell which points lie in the spectroscopic voxel.

    Parameters
    ----------
    points : (..., 3) array_like
        World coordinates, mm.
    voxel_affine : (4, 4) array_like
        Affine of the spectrum's NIfTI-MRS file.

    Returns
    -------
    (...) ndarray of bool

    Examples
    --------
    >>> inside_voxel([[9.0, 0, 0], [11, 0, 0]], np.diag([20.0, 20, 20, 1])).tolist()
    [True, False]
    """
    points = np.asarray(points, dtype=float)
    index = apply_matrix(np.linalg.inv(np.asarray(voxel_affine, float)), points.reshape(-1, 3))
    inside: BoolArray = np.all(np.abs(index) <= 0.5, axis=1)
    return inside.reshape(points.shape[:-1])


def columns_inside(
    voxel_affine: npt.ArrayLike, white: npt.ArrayLike, pial: npt.ArrayLike, n_depths: int = 20
) -> FloatArray:
    """Share of the cortical column of each vertex that lies in the spectroscopic voxel.

    Parameters
    ----------
    voxel_affine : (4, 4) array_like
        Affine of the spectrum's NIfTI-MRS file.
    white, pial : (n_vertices, 3) array_like
        Paired surfaces in the same world space, mm.
    n_depths : int
        Points along each column, in the middle of equal parts.

    Returns
    -------
    (n_vertices,) ndarray
        0 to 1; NaN where a surface is not defined.

    Examples
    --------
    >>> columns_inside(np.diag([4.0, 4, 4, 1]), [[0, 0, 1], [0, 0, 9]], [[0, 0, 3], [0, 0, 9]])
    array([0.5, 0. ])
    """
    depths = (np.arange(n_depths) + 0.5) / n_depths
    points = ribbon_points(white, pial, depths)
    share = inside_voxel(points, voxel_affine).mean(axis=0)
    return np.where(np.isfinite(points).all(axis=(0, 2)), share, np.nan)


def inverse_points(
    forward: Callable[[FloatArray], FloatArray],
    linear: npt.ArrayLike,
    targets: npt.ArrayLike,
    rounds: int = 12,
) -> FloatArray:
    """Find the points that a transform carries to given places.

    Fixed-point iteration x <- x + L^-1 (target - T(x)), which converges where the transform
    differs from its linear part by a field whose gradient stays below one (Chen et al. 2008, Med
    Phys 35:81-88, https://doi.org/10.1118/1.2816107, for displacement fields).

    Parameters
    ----------
    forward : callable
        The transform, (n, 3) to (n, 3).
    linear : (4, 4) array_like
        Its linear part.
    targets : (n, 3) array_like
        Where the points shall arrive.
    rounds : int
        Iterations.

    Returns
    -------
    (n, 3) ndarray

    Examples
    --------
    >>> found = inverse_points(lambda x: x + 0.3 * np.sin(x), np.eye(4), [[1.0, 2, 3]])
    >>> (found + 0.3 * np.sin(found)).round(4).tolist()
    [[1.0, 2.0, 3.0]]
    """
    targets = np.asarray(targets, dtype=float)
    back = np.linalg.inv(np.asarray(linear, dtype=float))
    found = apply_matrix(back, targets)
    for _ in range(rounds):
        found = found + (targets - forward(found)) @ back[:3, :3].T
    return found


def template_coverage(
    voxel_affine: npt.ArrayLike,
    to_template: Callable[[FloatArray], FloatArray],
    linear: npt.ArrayLike,
    subdivision: int = 2,
) -> FloatArray:
    """Share of each voxel of the template's grid that lies in the spectroscopic voxel.

    Parameters
    ----------
    voxel_affine : (4, 4) array_like
        Affine of the spectrum's NIfTI-MRS file, in the space of the T1w image.
    to_template : callable
        Carries (n, 3) points of that space to the template.
    linear : (4, 4) array_like
        Its linear part.
    subdivision : int
        Parts into which a template voxel is cut along each axis.

    Returns
    -------
    `TEMPLATE_SHAPE` ndarray of float64
        0 to 1.
    """
    edges = np.linspace(-0.5, 0.5, 7)
    # A straight box becomes a bent one in the template: its corners alone would not bound it.
    faces = np.stack(np.meshgrid(edges, edges, edges), axis=-1).reshape(-1, 3)
    moved = to_template(apply_matrix(voxel_affine, faces))
    grid = apply_matrix(np.linalg.inv(TEMPLATE_AFFINE), moved)
    low = np.clip(np.floor(grid.min(axis=0)).astype(int) - 2, 0, TEMPLATE_SHAPE)
    high = np.clip(np.ceil(grid.max(axis=0)).astype(int) + 3, 0, TEMPLATE_SHAPE)
    coverage = np.zeros(TEMPLATE_SHAPE)
    if np.any(high <= low):
        return coverage
    steps = (np.arange(subdivision) + 0.5) / subdivision - 0.5
    axes = [(np.arange(a, b)[:, None] + steps).ravel() for a, b in zip(low, high, strict=True)]
    index = np.stack(np.meshgrid(*axes, indexing='ij'), axis=-1)
    points = apply_matrix(TEMPLATE_AFFINE, index.reshape(-1, 3))
    inside = inside_voxel(inverse_points(to_template, linear, points), voxel_affine)
    parts = [n for size in high - low for n in (int(size), subdivision)]
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    coverage[box] = inside.reshape(parts).mean(axis=(1, 3, 5))
    return coverage
