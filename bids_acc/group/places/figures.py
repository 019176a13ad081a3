"""Pictures of where the voxels of a cohort lie."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from bids_acc.typing import FloatArray

AXES = ('sagittal', 'coronal', 'axial')


def _slice(volume: FloatArray, affine: FloatArray, axis: int, place_mm: float) -> FloatArray:
    """Return the plane of a volume that lies nearest to a place along an axis."""
    index = round((place_mm - affine[axis, 3]) / affine[axis, axis])
    nearest = int(np.clip(index, 0, volume.shape[axis] - 1))
    shown: FloatArray = np.take(volume, nearest, axis=axis).T
    return shown


def _extent(volume: FloatArray, affine: FloatArray, axis: int) -> tuple[float, ...]:
    """Return the edges of a plane in mm."""
    edges: list[float] = []
    for other in (k for k in range(3) if k != axis):
        step = affine[other, other]
        edges += [
            affine[other, 3] - step / 2,
            affine[other, 3] + (volume.shape[other] - 0.5) * step,
        ]
    return tuple(edges)


def plot_mean_voxel(
    mean: npt.ArrayLike,
    affine: npt.ArrayLike,
    template: npt.ArrayLike,
    template_affine: npt.ArrayLike,
    centre: npt.ArrayLike,
) -> Figure:
    """Draw the mean of a cohort's voxels over the template, in three planes.

    Parameters
    ----------
    mean : (nx, ny, nz) array_like
        Share of the voxels that cover a place.
    affine : (4, 4) array_like
        Of the mean; its axes are those of the template.
    template : (mx, my, mz) array_like
    template_affine : (4, 4) array_like
    centre : (3,) array_like
        Where the planes cross, mm.

    Returns
    -------
    Figure
        To be saved by the caller.
    """
    shares, grid = np.asarray(mean, dtype=float), np.asarray(affine, dtype=float)
    brain, brain_grid = np.asarray(template, float), np.asarray(template_affine, float)
    figure = Figure(figsize=(9.2, 3.3), layout='constrained')
    axes = figure.subplots(1, 3)
    drawn = None
    for axis, (plot, name) in enumerate(zip(axes, AXES, strict=True)):
        place = float(np.asarray(centre, dtype=float)[axis])
        plot.imshow(
            _slice(brain, brain_grid, axis, place), origin='lower', cmap='gray',
            extent=_extent(brain, brain_grid, axis),
        )  # fmt: skip
        plane = _slice(shares, grid, axis, place)
        extent = _extent(shares, grid, axis)
        drawn = plot.imshow(
            np.ma.masked_less(plane, 0.02), origin='lower', cmap='viridis', vmin=0, vmax=1,
            extent=extent, alpha=0.75,
        )  # fmt: skip
        if plane.max() > 0.5:
            plot.contour(plane, [0.5], extent=extent, colors='#c8102e', linewidths=1.4)
        plot.set_title(f'{name}, {"xyz"[axis]} = {place:.0f} mm', fontsize=9)
        plot.set_axis_off()
    if drawn is not None:
        figure.colorbar(drawn, ax=axes, shrink=0.7, label='share of the voxels')
    return figure
