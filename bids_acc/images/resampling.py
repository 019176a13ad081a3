"""Taking values out of volumes at points in space: the only place that interpolates.

Points and transforms are in scanner coordinates (RAS+, mm). A transform goes from target
to source: it takes a point of the reference to the point of the moving volume that holds its
signal, so that chains of transforms are products of matrices and a value is interpolated once,
whatever the chain.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from nibabel.affines import voxel_sizes
from scipy import ndimage

from bids_acc.images.affines import apply_matrix, voxel_centres
from bids_acc.typing import FloatArray


def spline_coefficients(volume: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Return the cubic B-spline coefficients that interpolate a volume; missing values become 0.

    Parameters
    ----------
    volume : (i, j, k) array_like
        NaN becomes 0: one NaN would spread along its lines.

    Returns
    -------
    (i, j, k) ndarray of float32
        For `scipy.ndimage.map_coordinates` with ``prefilter=False`` and ``mode='mirror'``.

    References
    ----------
    Unser M (1999). Splines: a perfect fit for signal and image processing. IEEE Signal Process
    Mag 16(6):22-38. https://doi.org/10.1109/79.799930
    """
    values = np.nan_to_num(np.asarray(volume, dtype=np.float32))
    return np.asarray(ndimage.spline_filter(values, order=3, output=np.float32, mode='mirror'))


def sample(
    volume: npt.ArrayLike,
    affine: npt.ArrayLike,
    points: npt.ArrayLike,
    *,
    order: int = 1,
    prefilter: bool = True,
) -> FloatArray:
    """Interpolate a volume at points; NaN outside its field of view.

    Parameters
    ----------
    volume : (i, j, k) array_like
        Values, or with ``prefilter=False`` and order 3 the result of `spline_coefficients`.
    affine : (4, 4) array_like
        Voxel indices to scanner coordinates.
    points : (n_points, 3) array_like
        Scanner coordinates in mm.
    order : {0, 1, 3}
        Nearest neighbour, linear, cubic spline.
    prefilter : bool
        Whether the spline coefficients still have to be computed.

    Returns
    -------
    (n_points,) ndarray

    Examples
    --------
    >>> sample(np.arange(8).reshape(2, 2, 2), np.eye(4), [[0.5, 0.5, 0.5], [5, 0, 0]])
    array([3.5, nan])
    """
    values = np.asarray(volume, dtype=np.float32)
    if order > 1 and prefilter:
        values = spline_coefficients(values)
    indices = apply_matrix(np.linalg.inv(np.asarray(affine, dtype=float)), points).T
    size = np.array(values.shape)[:, None]
    # half a voxel beyond the outermost centres still belongs to the outermost voxels
    inside = np.all((indices >= -0.5) & (indices <= size - 0.5), axis=0)
    # Half a voxel beyond the centres there is nothing to interpolate with: the value of the
    # outermost voxel holds.
    indices = np.clip(indices, 0, size - 1)
    result: FloatArray = ndimage.map_coordinates(
        values, indices, order=order, mode='mirror', prefilter=False, output=np.float64
    )
    result[~inside] = np.nan
    return result


def sample_series(
    series: npt.ArrayLike,
    affine: npt.ArrayLike,
    points: npt.ArrayLike,
    matrices: npt.ArrayLike,
    *,
    order: int = 3,
    modulation: npt.ArrayLike | None = None,
) -> npt.NDArray[np.float32]:
    """Interpolate each volume of a series at the points, each through its own transform.

    Parameters
    ----------
    series : (i, j, k, n_volumes) array_like
    affine : (4, 4) array_like
    points : (n_points, 3) array_like
        In the reference's scanner coordinates.
    matrices : (n_volumes, 4, 4) array_like
        Reference to volume.
    order : {1, 3}
    modulation : (n_volumes,) array_like, optional
        Factor for each volume: the volume change of its transform, since stretched tissue is
        brighter by as much as it is thinner.

    Returns
    -------
    (n_points, n_volumes) ndarray of float32
        NaN where a point lies outside that volume.
    """
    data, to_sources = np.asanyarray(series), np.asarray(matrices, dtype=float)
    factors = (
        np.ones(len(to_sources)) if modulation is None else np.asarray(modulation, dtype=float)
    )
    result = np.empty((len(np.asarray(points)), len(to_sources)), dtype=np.float32)
    for index, (matrix, factor) in enumerate(zip(to_sources, factors, strict=True)):
        moved = apply_matrix(matrix, points)
        result[:, index] = factor * sample(data[..., index], affine, moved, order=order)
    return result


def output_grid(
    mask: npt.ArrayLike, affine: FloatArray, zooms: FloatArray
) -> tuple[tuple[int, ...], FloatArray]:
    """Return a grid along the axes of a mask's image, around the mask, with cubic voxels.

    Parameters
    ----------
    mask : (i, j, k) ndarray of bool
    affine : (4, 4) ndarray
        Of the mask.
    zooms : (3,) ndarray
        Voxel size whose volume the new voxels have, mm.

    Returns
    -------
    shape : tuple of int
    affine : (4, 4) ndarray
    """
    size = float(np.cbrt(np.prod(zooms)))
    indices = np.argwhere(np.asarray(mask))
    start, stop = indices.min(axis=0), indices.max(axis=0) + 1
    steps = size / voxel_sizes(affine)
    shape = np.ceil((stop - start) / steps).astype(int) + 2
    middle = (start + stop - 1) / 2
    grid = affine @ np.diag([*steps, 1.0])
    origin = apply_matrix(affine, middle) - grid[:3, :3] @ ((shape - 1) / 2)
    grid[:3, 3] = origin
    return tuple(int(n) for n in shape), grid


def on_grid(
    data: npt.NDArray[np.float32],
    affine: FloatArray,
    shape: Sequence[int],
    grid: FloatArray,
    matrix: FloatArray | None = None,
) -> npt.NDArray[np.float32]:
    """Return volumes on another grid, linearly; as they are where it is the same.

    Parameters
    ----------
    data : (i, j, k, n) ndarray
    affine : (4, 4) ndarray
        Of the volumes.
    shape, grid : shape and affine
        Of the wanted grid.
    matrix : (4, 4) ndarray, optional
        Affine matrix, wanted grid to volumes, both in scanner coordinates.
    """
    if (
        matrix is None
        and data.shape[:3] == tuple(shape[:3])
        # Tools write the same affine with other last digits of single precision; resampling for
        # that would blur for nothing.
        and np.allclose(affine, grid, atol=1e-2)
    ):
        return data
    centres = voxel_centres(np.ones(shape[:3], dtype=bool), grid)
    centres = centres if matrix is None else apply_matrix(matrix, centres)
    moved = [np.nan_to_num(sample(data[..., n], affine, centres)) for n in range(data.shape[3])]
    return np.stack([m.reshape(shape[:3]) for m in moved], axis=3).astype(np.float32)
