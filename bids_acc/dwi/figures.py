"""Pictures of a diffusion series: arrays to matplotlib figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bids_acc.images.resampling import sample
from bids_acc.typing import FloatArray


def plane_points(
    centre: npt.ArrayLike, axis: int, half_mm: float, step_mm: float = 1.0
) -> tuple[FloatArray, tuple[float, float, float, float]]:
    """Return the points of a square slice through space.

    Parameters
    ----------
    centre : (3,) array_like
        Scanner coordinates of its middle, mm.
    axis : int
        Axis (0 x, 1 y, 2 z) that the slice is perpendicular to.
    half_mm : float
        Half of its edge.
    step_mm : float
        Distance between points.

    Returns
    -------
    points : (rows, columns, 3) ndarray
    extent : tuple of float
        For ``imshow(origin='lower')``.
    """
    middle = np.asarray(centre, dtype=float)
    ticks = np.arange(-half_mm, half_mm + step_mm / 2, step_mm)
    across, up = (k for k in range(3) if k != axis)
    points = np.empty((ticks.size, ticks.size, 3))
    points[..., axis] = middle[axis]
    points[..., across] = middle[across] + ticks[None, :]
    points[..., up] = middle[up] + ticks[:, None]
    extent = (
        middle[across] - half_mm, middle[across] + half_mm,
        middle[up] - half_mm, middle[up] + half_mm,
    )  # fmt: skip
    return points, extent


def plot_overlay(
    background: npt.ArrayLike,
    background_affine: npt.ArrayLike,
    fa: npt.ArrayLike,
    direction: npt.ArrayLike,
    affine: npt.ArrayLike,
    title: str = '',
) -> Figure:
    """Draw direction-coloured FA over an anatomical image, in three planes.

    Red is left-right, green front-back, blue up-down (Pajevic & Pierpaoli 1999,
    doi:10.1002/(SICI)1522-2594(199909)42:3<526::AID-MRM15>3.0.CO;2-J).

    Parameters
    ----------
    background : (i, j, k) array_like
        T1w image or mean b = 0 image.
    background_affine : (4, 4) array_like
    fa : (i, j, k) array_like
    direction : (i, j, k, 3) array_like
        Principal direction, RAS+.
    affine : (4, 4) array_like
        Of ``fa`` and ``direction``.
    title : str
        Above the figure.

    Returns
    -------
    Figure
    """
    values = np.nan_to_num(np.asarray(fa, dtype=float))
    where = np.argwhere(values > 0)
    matrix = np.asarray(affine, dtype=float)
    corners = where @ matrix[:3, :3].T + matrix[:3, 3]
    low, high = corners.min(axis=0), corners.max(axis=0)
    centre, half = (low + high) / 2, float((high - low).max()) / 2 + 6
    colour = np.abs(np.nan_to_num(np.asarray(direction, dtype=float))) * values[..., None]
    top = float(np.percentile(np.asarray(background)[np.asarray(background) > 0], 99))
    off_midline = np.array([4.0, 0, 0])
    figure = Figure(figsize=(9.6, 6.6), layout='constrained', facecolor='black')
    axes = figure.subplots(2, 3)
    for column, axis in enumerate((0, 1, 2)):
        points, extent = plane_points(centre + off_midline * (axis == 0), axis, half)
        shape = points.shape[:2]
        grey = sample(np.asarray(background), background_affine, points.reshape(-1, 3))
        grey = np.nan_to_num(grey).reshape(shape) / top
        rgb = np.stack(
            [
                np.nan_to_num(sample(colour[..., k], matrix, points.reshape(-1, 3))).reshape(shape)
                for k in range(3)
            ],
            axis=-1,
        )
        _show(axes[0, column], np.clip(1.3 * rgb, 0, 1), extent)
        blended = np.clip(0.75 * np.clip(grey, 0, 1)[..., None] + 1.1 * rgb, 0, 1)
        _show(axes[1, column], blended, extent)
    figure.suptitle(title, color='white', fontsize=10)
    return figure


def _show(axes: Axes, image: FloatArray, extent: tuple[float, float, float, float]) -> None:
    """Draw one slice without ticks."""
    axes.imshow(image, origin='lower', extent=extent, interpolation='nearest')
    axes.set_axis_off()


def plot_motion(
    shift: npt.ArrayLike,
    rotation: npt.ArrayLike,
    outliers: npt.ArrayLike,
    framewise: npt.ArrayLike,
    bvals: npt.ArrayLike,
) -> Figure:
    """Draw translation, rotation, framewise displacement and outlier slices by volume.

    Parameters
    ----------
    shift : (n_volumes, 3) array_like
        mm.
    rotation : (n_volumes, 3) array_like
        Degrees.
    outliers : (n_outliers, 2) array_like of int
        Slice and volume.
    framewise : (n_volumes,) array_like
        mm.
    bvals : (n_volumes,) array_like
        s/mm2; b = 0 volumes are shaded.

    Returns
    -------
    Figure
    """
    figure = Figure(figsize=(8.5, 5.2), layout='constrained')
    axes = figure.subplots(4, 1, sharex=True, height_ratios=(3, 3, 2, 2))
    for row, (values, label) in enumerate(((shift, 'shift (mm)'), (rotation, 'rotation (deg)'))):
        for column, name in enumerate('xyz'):
            axes[row].plot(np.asarray(values)[:, column], lw=1.1, label=name)
        axes[row].set_ylabel(label, fontsize=8)
    axes[0].legend(fontsize=7, ncols=3, frameon=False, loc='upper left')
    axes[2].plot(np.asarray(framewise, dtype=float), color='0.2', lw=1.1)
    axes[2].set_ylabel('FD (mm)', fontsize=8)
    found = np.asarray(outliers, dtype=float).reshape(-1, 2)
    axes[3].plot(found[:, 1], found[:, 0], 's', color='#c8102e', ms=4)
    axes[3].set_ylabel('outlier\nslices', fontsize=8)
    axes[3].set_xlabel('volume (b = 0 shaded)', fontsize=8)
    for panel in axes:
        for index in np.flatnonzero(np.asarray(bvals, dtype=float) < 50):
            panel.axvspan(index - 0.5, index + 0.5, color='0.9', lw=0)
        panel.tick_params(labelsize=7)
    axes[3].set_xlim(-0.5, len(np.asarray(bvals)) - 0.5)
    return figure


def plot_scheme(bvals: npt.ArrayLike, directions: npt.ArrayLike, title: str = '') -> Figure:
    """Draw the gradient directions on the sphere, from the front and from above.

    Parameters
    ----------
    bvals : (n_volumes,) array_like
        s/mm2; length from the centre is its square root.
    directions : (n_volumes, 3) array_like
        Scanner coordinates.
    title : str
        Above the figure.

    Returns
    -------
    Figure
    """
    values = np.asarray(bvals, dtype=float)
    q = np.sqrt(values / max(values.max(), 1))[:, None] * np.asarray(directions, dtype=float)
    both = np.vstack([q, -q])
    figure = Figure(figsize=(7.5, 2.9), layout='constrained')
    axes = figure.subplots(1, 3)
    for panel, (a, b) in zip(axes, ((0, 2), (1, 2), (0, 1)), strict=True):
        hue = np.tile(values, 2)
        panel.scatter(both[:, a], both[:, b], c=hue, s=9, cmap='viridis')
        panel.set_aspect('equal')
        panel.set_xlim(-1.1, 1.1)
        panel.set_ylim(-1.1, 1.1)
        panel.set_xlabel('xyz'[a], fontsize=8)
        panel.set_ylabel('xyz'[b], fontsize=8)
        panel.tick_params(labelsize=6)
    figure.suptitle(title, fontsize=9)
    return figure


def plot_steps(
    volumes: Sequence[tuple[str, npt.ArrayLike, npt.ArrayLike]],
    affine: npt.ArrayLike,
    mask: npt.ArrayLike,
) -> Figure:
    """Draw one b = 0 and one diffusion-weighted volume after each step, and what it took away.

    Parameters
    ----------
    volumes : sequence of (name, (i, j, k) array_like, (i, j, k) array_like)
        Name of the step, b = 0 and diffusion-weighted volume after it; the series as acquired
        comes first.
    affine : (4, 4) array_like
    mask : (i, j, k) array_like of bool
        Brain; its outline is drawn into the first row.

    Returns
    -------
    Figure
        One row for each step; its last two columns show what was removed, on a tenth of the
        scale.
    """
    inside = np.asarray(mask, dtype=bool)
    where = np.argwhere(inside)
    matrix = np.asarray(affine, dtype=float)
    middle = matrix[:3, :3] @ where.mean(axis=0) + matrix[:3, 3]
    edges = where @ matrix[:3, :3].T + matrix[:3, 3]
    half = float(np.ptp(edges, axis=0)[:2].max()) / 2 + 8
    points, extent = plane_points(middle, 2, half)
    tops = [float(np.percentile(np.asarray(v)[inside], 99.5)) for v in volumes[0][1:]]

    def slice_of(volume: npt.ArrayLike) -> FloatArray:
        values = sample(np.asarray(volume), matrix, points.reshape(-1, 3))
        return np.nan_to_num(values).reshape(points.shape[:2])

    figure = Figure(
        figsize=(8.4, 2.2 * len(volumes) + 0.4), layout='constrained', facecolor='black'
    )
    axes = figure.subplots(len(volumes), 4, squeeze=False)
    previous: list[FloatArray] | None = None
    for row, (name, *pair) in enumerate(volumes):
        now = [slice_of(v) for v in pair]
        for column, (values, top) in enumerate(zip(now, tops, strict=True)):
            panel = axes[row, column]
            panel.imshow(values, cmap='gray', vmin=0, vmax=top, origin='lower', extent=extent)
            what = ('b = 0', 'diffusion-weighted')[column]
            panel.set_title(f'{name}: {what}', color='white', fontsize=8)
            if row == 0:
                panel.contour(
                    slice_of(inside.astype(np.float32)), [0.5], extent=extent,
                    colors='#e8b000', linewidths=0.8,
                )  # fmt: skip
            gone = axes[row, column + 2]
            if previous is not None:
                gone.imshow(previous[column] - values, cmap='gray', vmin=-top / 10, vmax=top / 10,
                            origin='lower', extent=extent)  # fmt: skip
                gone.set_title(f'removed from {what}', color='white', fontsize=8)
        for panel in axes[row]:
            panel.set_axis_off()
        previous = now
    return figure


def plot_alignment(
    image: npt.ArrayLike,
    affine: npt.ArrayLike,
    white: npt.ArrayLike,
    brain: npt.ArrayLike,
    anatomy_affine: npt.ArrayLike,
    shift: npt.ArrayLike | None = None,
    title: str = '',
) -> Figure:
    """Draw borders of the T1w image's tissues over the b = 0 image, and the displacement.

    Parameters
    ----------
    image : (i, j, k) array_like
        Mean b = 0 image in T1w space, undistorted.
    affine : (4, 4) array_like
        Of the image and the displacement.
    white, brain : (i, j, k) array_like
        Fractions of white matter and of brain tissue.
    anatomy_affine : (4, 4) array_like
        Of those.
    shift : (i, j, k) array_like, optional
        Displacement by susceptibility, mm.
    title : str
        Above the figure.

    Returns
    -------
    Figure
    """
    where = np.argwhere(np.asarray(brain) > 0.5)
    matrix = np.asarray(anatomy_affine, dtype=float)
    corners = where @ matrix[:3, :3].T + matrix[:3, 3]
    low, high = corners.min(axis=0), corners.max(axis=0)
    centre, half = (low + high) / 2, float((high - low).max()) / 2 + 8
    top = float(np.percentile(np.asarray(image)[np.asarray(image) > 0], 98))
    rows = 1 if shift is None else 2
    figure = Figure(figsize=(9.6, 3.3 * rows), layout='constrained', facecolor='black')
    axes = figure.subplots(rows, 3, squeeze=False)
    for column, axis in enumerate((0, 1, 2)):
        points, extent = plane_points(centre + np.array([4.0, 0, 0]) * (axis == 0), axis, half)
        flat, shape = points.reshape(-1, 3), points.shape[:2]

        def cut(
            volume: npt.ArrayLike,
            grid: npt.ArrayLike,
            flat: FloatArray = flat,
            shape: tuple[int, ...] = shape,
        ) -> FloatArray:
            return np.nan_to_num(sample(np.asarray(volume), grid, flat)).reshape(shape)

        panel = axes[0, column]
        panel.imshow(cut(image, affine), cmap='gray', vmin=0, vmax=top, origin='lower',
                     extent=extent)  # fmt: skip
        for tissue, colour in ((white, '#e03a3e'), (brain, '#e8b000')):
            panel.contour(cut(tissue, anatomy_affine), [0.5], extent=extent, colors=colour,
                          linewidths=0.6)  # fmt: skip
        panel.set_axis_off()
        if shift is not None:
            drawn = axes[1, column].imshow(
                cut(shift, affine), cmap='RdBu_r', vmin=-6, vmax=6, origin='lower', extent=extent
            )
            axes[1, column].contour(cut(brain, anatomy_affine), [0.5], extent=extent,
                                    colors='0.6', linewidths=0.6)  # fmt: skip
            axes[1, column].set_axis_off()
    if shift is not None:
        bar = figure.colorbar(drawn, ax=axes[1].tolist(), shrink=0.8)
        bar.set_label('displacement (mm)', color='white', fontsize=8)
        bar.ax.tick_params(colors='white', labelsize=7)
    figure.suptitle(title, color='white', fontsize=10)
    return figure


@dataclass(frozen=True)
class FieldPanel:
    """A smooth field and how it is drawn."""

    title: str
    values: npt.ArrayLike
    """(i, j, k)."""
    affine: npt.ArrayLike
    mask: npt.ArrayLike
    """(i, j, k) of bool, brain on the same grid."""
    limits: tuple[float, float]
    unit: str


def plot_fields(panels: Sequence[FieldPanel]) -> Figure:
    """Draw the fields that were corrected, in three planes through the middle of the brain.

    Parameters
    ----------
    panels : sequence of FieldPanel
        One row for each.

    Returns
    -------
    Figure
    """
    figure = Figure(figsize=(9.6, 3.3 * len(panels)), layout='constrained', facecolor='black')
    axes = figure.subplots(len(panels), 3, squeeze=False)
    for row, panel in zip(axes, panels, strict=True):
        matrix = np.asarray(panel.affine, dtype=float)
        inside = np.asarray(panel.mask, dtype=np.float32)
        corners = np.argwhere(inside > 0) @ matrix[:3, :3].T + matrix[:3, 3]
        low, high = corners.min(axis=0), corners.max(axis=0)
        for axis, place in enumerate(row):
            points, extent = plane_points(
                (low + high) / 2 + np.array([4.0, 0, 0]) * (axis == 0), axis,
                float((high - low).max()) / 2 + 8,
            )  # fmt: skip
            flat, shape = points.reshape(-1, 3), points.shape[:2]
            values = sample(np.asarray(panel.values), matrix, flat).reshape(shape)
            drawn = place.imshow(values, cmap='RdBu_r', vmin=panel.limits[0],
                                 vmax=panel.limits[1], origin='lower', extent=extent)  # fmt: skip
            outline = np.nan_to_num(sample(inside, matrix, flat)).reshape(shape)
            place.contour(outline, [0.5], extent=extent, colors='0.4', linewidths=0.7)
            place.set_axis_off()
        row[1].set_title(panel.title, color='white', fontsize=9)
        bar = figure.colorbar(drawn, ax=row.tolist(), shrink=0.8)
        bar.set_label(panel.unit, color='white', fontsize=8)
        bar.ax.tick_params(colors='white', labelsize=7)
    return figure
