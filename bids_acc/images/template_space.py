"""Where each voxel of an image lies in the template, and what atlases say of that place."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bids_acc.images.ants_bridge import to_ants
from bids_acc.typing import FloatArray, SingleArray

_FAR_MM = 1000.0
"""Added to coordinates on their way, so that ITK's 0 outside the field of view is told apart."""
_GRID = np.diag([4.0, 4.0, 4.0, 1.0])
_GRID[:3, 3] = (-98.0, -134.0, -72.0)
_GRID_SHAPE = (50, 60, 50)
"""A coarse grid over the template: coordinates are linear, so that they interpolate exactly."""


def template_coordinates(
    shape: tuple[int, ...], affine: FloatArray, images_to_t1w: Sequence[Path | str]
) -> SingleArray:
    """Return the place in the template of each voxel of an image.

    Parameters
    ----------
    shape : (3,) tuple of int
        Grid, in the space of the T1w image.
    affine : (4, 4) ndarray
        Voxel to scanner RAS in mm.
    images_to_t1w : sequence of Path
        Transforms that carry template images to the T1w image, in ANTs' order.

    Returns
    -------
    (nx, ny, nz, 3) ndarray of float32
        Template RAS in mm; NaN outside the template's field of view.
    """
    return _carried(shape, affine, images_to_t1w, _GRID_SHAPE, _GRID)


def person_coordinates(
    shape: tuple[int, ...],
    affine: FloatArray,
    images_to_template: Sequence[Path | str],
    own_shape: tuple[int, ...],
    own_affine: FloatArray,
) -> SingleArray:
    """Return the place in the T1w image of each voxel of a grid in the template.

    Parameters
    ----------
    shape : (3,) tuple of int
        Grid, in the space of the template.
    affine : (4, 4) ndarray
        Voxel to template RAS in mm.
    images_to_template : sequence of Path
        Transforms that carry the T1w image to the template, in ANTs' order.
    own_shape, own_affine
        Grid of the T1w image.

    Returns
    -------
    (nx, ny, nz, 3) ndarray of float32
        Scanner RAS in mm; NaN outside the field of view of the T1w image.
    """
    return _carried(shape, affine, images_to_template, own_shape, np.asarray(own_affine))


def _carried(
    shape: tuple[int, ...],
    affine: FloatArray,
    transforms: Sequence[Path | str],
    from_shape: tuple[int, ...],
    from_affine: FloatArray,
) -> SingleArray:
    """Carry the coordinates of one space, on a grid over it, to a grid in another."""
    import ants

    fixed = to_ants(np.zeros(shape[:3], dtype=np.float32), affine)
    index = np.indices(from_shape[:3])
    found = np.empty((*shape[:3], 3), dtype=np.float32)
    for axis in range(3):
        row = from_affine[axis]
        values = np.tensordot(row[:3], index, axes=1) + row[3] + _FAR_MM
        moved = ants.apply_transforms(
            fixed=fixed,
            moving=to_ants(values, from_affine),
            transformlist=[str(path) for path in transforms],
            whichtoinvert=[False] * len(transforms),
            interpolator='linear',
        )
        found[..., axis] = moved.numpy() - _FAR_MM
    found[found.min(axis=3) < -_FAR_MM / 2] = np.nan
    return found
