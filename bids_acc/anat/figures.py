"""Pictures of the T1w image with its surfaces and tissues: arrays to matplotlib figures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from bids_acc.anat.tissues import sample_volume
from bids_acc.images.volumes import outside_grid
from bids_acc.typing import FloatArray, IntArray, Volume

Surface = tuple[FloatArray, IntArray, str]
"""Vertices in mm, faces, colour."""


def plane_section(vertices: FloatArray, faces: IntArray, axis: int, level: float) -> FloatArray:
    """Return the line segments in which a plane cuts a mesh.

    Parameters
    ----------
    vertices : (n_vertices, 3) ndarray
        In mm.
    faces : (n_faces, 3) ndarray of int
        Vertex indices.
    axis : int
        Axis the plane is perpendicular to.
    level : float
        Where, in mm.

    Returns
    -------
    (n_segments, 2, 3) ndarray
        Ends of the segments in mm.
    """
    height = vertices[:, axis] - level
    cut = faces[(height[faces].min(axis=1) < 0) & (height[faces].max(axis=1) >= 0)]
    ends = cut[:, [[0, 1], [1, 2], [2, 0]]]
    above = height[ends] >= 0
    crossing = above[..., 0] != above[..., 1]
    gap = np.where(crossing, height[ends[..., 0]] - height[ends[..., 1]], 1)
    share = (height[ends[..., 0]] / gap)[..., None]
    points = vertices[ends[..., 0]] * (1 - share) + vertices[ends[..., 1]] * share
    order = np.argsort(~crossing, axis=1, kind='stable')[:, :2]
    return np.take_along_axis(points, order[..., None], axis=1)


def slice_grid(
    centre: FloatArray, axis: int, half_mm: float, step: float = 0.75
) -> tuple[FloatArray, tuple[float, float, float, float]]:
    """Return the points of a square slice and the limits of its axes.

    Parameters
    ----------
    centre : (3,) ndarray
        Middle of the slice, scanner RAS in mm.
    axis : int
        At right angles to the slice: 0 sagittal, 1 coronal, 2 axial.
    half_mm : float
        Half of the edge.
    step : float
        Distance of points, mm.

    Returns
    -------
    points : (n, n, 3) ndarray
        Scanner RAS in mm; rows go up, columns to the right of the figure.
    extent : tuple of four float
        Left, right, bottom, top in mm, as Matplotlib's ``imshow`` takes them.
    """
    ticks = np.arange(-half_mm, half_mm + step / 2, step)
    across, up = (k for k in range(3) if k != axis)
    points = np.empty((len(ticks), len(ticks), 3))
    points[..., axis] = centre[axis]
    points[..., across] = centre[across] + ticks[None, :]
    points[..., up] = centre[up] + ticks[:, None]
    x, y = float(centre[across]), float(centre[up])
    return points, (x - half_mm, x + half_mm, y - half_mm, y + half_mm)


def surfaces_on_slices(
    volume: Volume,
    affine: FloatArray,
    surfaces: Sequence[Surface],
    centre: FloatArray,
    title: str = '',
) -> Figure:
    """Draw surfaces over slices through a region and through the whole brain.

    Parameters
    ----------
    volume : (nx, ny, nz) ndarray
        T1w intensities.
    affine : (4, 4) ndarray
        Voxel to mm.
    surfaces : sequence of (vertices, faces, colour)
        What to draw, in mm.
    centre : (3,) ndarray
        Centre of the region in mm.
    title : str
        Above the figure.

    Returns
    -------
    Figure
        Upper row: coronal sections 24 mm wide around the region. Lower row: sagittal sections
        through either hemisphere, and two axial ones of the whole brain.
    """
    steps = np.eye(3)
    views = [(centre + d * steps[1], 1, 32.0) for d in (-15, -5, 5, 15)]
    views += [(centre + d * steps[0], 0, 45.0) for d in (-6, 6)]
    brain = np.concatenate([vertices for vertices, _, _ in surfaces])
    middle = (brain.min(axis=0) + brain.max(axis=0)) / 2
    half = float(np.ptp(brain, axis=0).max() / 2 + 5)
    views += [(np.array([*middle[:2], centre[2] + d]), 2, half) for d in (0, 20)]
    figure = Figure(figsize=(12, 6.4), facecolor='black', layout='constrained')
    figure.suptitle(title, color='white', fontsize=9)
    for axes, view in zip(figure.subplots(2, 4).ravel(), views, strict=True):
        _draw_slice(axes, volume, affine, surfaces, *view)
    return figure


def _sample_inside(volume: Volume, affine: FloatArray, points: FloatArray) -> FloatArray:
    """Sample a volume; zero beyond it, so that its edge is not drawn on like tissue."""
    values = sample_volume(volume, affine, points)
    beyond = outside_grid(points.reshape(-1, 3), np.shape(volume), affine)
    values[beyond.reshape(values.shape)] = 0
    return values


def _draw_slice(
    axes: Axes, volume: Volume, affine: FloatArray, surfaces: Sequence[Surface],
    centre: FloatArray, axis: int, half_mm: float,
) -> None:  # fmt: skip
    """Draw one slice with the sections of the surfaces."""
    points, extent = slice_grid(centre, axis, half_mm)
    values = _sample_inside(volume, affine, points)
    high = float(np.quantile(values, 0.995)) or 1.0
    axes.imshow(values, origin='lower', extent=extent, cmap='gray', vmin=0, vmax=high)
    plane = [k for k in range(3) if k != axis]
    for vertices, faces, colour in surfaces:
        lines = plane_section(vertices, faces, axis, float(centre[axis]))[..., plane]
        axes.add_collection(LineCollection(list(lines), colors=colour, linewidths=0.6))
    axes.set(xlim=extent[:2], ylim=extent[2:])
    axes.set_axis_off()
    axes.text(
        0.03, 0.03, f'{"xyz"[axis]} = {centre[axis]:.0f} mm', color='white', fontsize=7,
        transform=axes.transAxes,
    )  # fmt: skip


def contours_on_slices(
    volume: Volume, affine: FloatArray, maps: Sequence[tuple[Volume, str]], title: str = ''
) -> Figure:
    """Draw the 0.5 contours of maps, on the same grid, over nine slices of a brain.

    Parameters
    ----------
    volume : (nx, ny, nz) ndarray
        T1w intensities, zero outside the brain.
    affine : (4, 4) ndarray
        Voxel to mm.
    maps : sequence of ((nx, ny, nz) ndarray, colour)
        Probability maps.
    title : str
        Above the figure.
    """
    corners = np.argwhere(np.asarray(volume) > 0)
    box = np.stack([corners.min(axis=0), corners.max(axis=0)])
    low, high = np.sort(box @ np.asarray(affine)[:3, :3].T + np.asarray(affine)[:3, 3], axis=0)
    centre, half = (low + high) / 2, float(np.ptp(np.stack([low, high]), axis=0).max() / 2 + 4)
    figure = Figure(figsize=(9, 9.2), facecolor='black', layout='constrained')
    figure.suptitle(title, color='white', fontsize=9)
    grid = figure.subplots(3, 3)
    for axis in range(3):
        for column, share in enumerate((0.35, 0.5, 0.65)):
            place = centre.copy()
            place[axis] = low[axis] + share * (high[axis] - low[axis])
            axes = grid[axis, column]
            _draw_slice(axes, volume, affine, (), place, axis, half)
            points, extent = slice_grid(place, axis, half)
            for values, colour in maps:
                section = _sample_inside(values, affine, points)
                if section.max() > 0.5 > section.min():
                    axes.contour(section, [0.5], colors=colour, linewidths=0.6, extent=extent)
    return figure
