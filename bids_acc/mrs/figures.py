"""Figures of a spectrum and of its voxel; arrays in, matplotlib figures out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from bids_acc.mrs.results.engine_result import Curves, kind_of
from bids_acc.mrs.signal.water import water_parabola
from bids_acc.typing import FloatArray

LABELS_PPM = {
    'NAA': 2.01,
    'Glx': 2.35,
    'tCr': 3.03,
    'tCho': 3.21,
    'mI': 3.56,
    # the methylene line; the space tells the key from that of the methyl line
    'tCr ': 3.92,
}
"""Where the well-known peaks stand."""


NAA_PPM = (1.85, 2.2)
"""Where NAA stands in a difference."""

EDITED_PPM = {'GABA+': 3.01, 'Glx': 3.75, 'MM': 0.92, 'Glx ': 2.35}
"""Where the peaks of a difference edited for GABA stand."""


def plot_fit(curves: Curves, title: str = '', difference: Curves | None = None) -> Figure:
    """Draw data with the fit, baseline below and residual above.

    Parameters
    ----------
    curves : Curves
        Phased data and model.
    title : str
        Verdict or name above the axes.
    difference : Curves, optional
        Those of the difference of an edited scan, drawn beneath.

    Returns
    -------
    Figure
        To be saved by the caller.
    """
    if difference is None:
        figure = Figure(figsize=(7.5, 4.6), layout='constrained')
        _draw_fit(figure, curves, LABELS_PPM)
    else:
        figure = Figure(figsize=(7.5, 8.2), layout='constrained')
        upper, lower = np.ravel(figure.subfigures(2, 1, squeeze=False))
        _draw_fit(upper, curves, LABELS_PPM)
        _draw_fit(lower, difference, EDITED_PPM)
        _without_naa(lower.axes[1], difference)
        upper.suptitle('condition OFF', fontsize=9, x=0.02, ha='left')
        lower.suptitle('difference, ON - OFF', fontsize=9, x=0.02, ha='left')
    figure.suptitle(title, fontsize=9)
    return figure


def _without_naa(axes: Axes, difference: Curves) -> None:
    """Let NAA, which was edited away, leave the picture, so that the edited lines are seen."""
    ppm = difference.ppm
    shown = (ppm < NAA_PPM[0]) | (ppm > NAA_PPM[1])
    if shown.any() and not shown.all():
        values = difference.data[shown] / max(float(np.nanmax(np.abs(difference.data))), 1e-300)
        span = float(np.ptp(values))
        axes.set_ylim(float(values.min()) - 0.25 * span, float(values.max()) + 0.35 * span)
    axes.legend(frameon=False, fontsize=8, loc='lower right')


def _draw_fit(figure: Figure | SubFigure, curves: Curves, labels: Mapping[str, float]) -> None:
    """Draw one fit into a figure or a part of one."""
    axes = figure.subplots(2, 1, sharex=True, height_ratios=(1, 5))
    scale = 1 / max(float(np.nanmax(np.abs(curves.data))), 1e-300)
    limit = 1.2 * float(np.nanmax(np.abs(curves.residual))) * scale
    axes[0].plot(curves.ppm, curves.residual * scale, color='0.25', lw=0.7)
    axes[0].axhline(0, color='0.7', lw=0.6)
    axes[0].set_ylim(-limit, limit)
    axes[0].set_ylabel('residual', fontsize=8)
    axes[1].plot(curves.ppm, curves.data * scale, color='0.35', lw=0.9, label='data')
    axes[1].plot(curves.ppm, curves.fit * scale, color='#c8102e', lw=1.1, label='fit')
    axes[1].plot(curves.ppm, curves.baseline * scale, color='#1f6fb4', lw=1.1, label='baseline')
    for name, ppm in labels.items():
        near = np.abs(curves.ppm - ppm) < 0.06
        if near.any():
            height = float(np.nanmax(curves.data[near])) * scale
            axes[1].annotate(
                name.strip(), (ppm, height), (0, 4), textcoords='offset points', ha='center',
                fontsize=8,
            )  # fmt: skip
    axes[1].margins(y=0.12)
    axes[1].set_xlim(float(curves.ppm.max()), float(curves.ppm.min()))
    axes[1].set_xlabel('chemical shift (ppm)')
    axes[1].set_yticks([])
    axes[1].legend(frameon=False, fontsize=8, loc='upper left')


def plot_components(
    ppm: npt.ArrayLike, components: Mapping[str, npt.ArrayLike], data: npt.ArrayLike,
    baseline: npt.ArrayLike,
) -> Figure:  # fmt: skip
    """Draw what each metabolite adds to the model, macromolecules, baseline and residual.

    Parameters
    ----------
    ppm : (n_ppm,) array_like
        Chemical shifts.
    components : mapping of str to (n_ppm,) array_like
        By name; those of zero are named and not drawn. Macromolecules and lipids are drawn as
        their sums.
    data, baseline : (n_ppm,) array_like
        Of the spectrum; data minus baseline and all components is the residual.

    Returns
    -------
    Figure
        One line below the other, all on one scale.
    """
    axis, signal = np.asarray(ppm, dtype=float), np.asarray(data, dtype=float)
    base = np.asarray(baseline, dtype=float)
    lines: dict[str, FloatArray] = {'data': signal}
    empty = []
    for name, values in components.items():
        curve = np.asarray(values, dtype=float)
        kind = {'macromolecule': 'macromolecules', 'lipid': 'lipids'}.get(kind_of(name), name)
        if np.any(curve):
            lines[kind] = lines.get(kind, np.zeros_like(signal)) + curve
        else:
            empty.append(name)
    whole = sum((np.asarray(v, dtype=float) for v in components.values()), np.zeros_like(signal))
    lines |= {'baseline': base, 'residual': signal - base - whole}
    step = 0.22 * float(np.nanmax(np.abs(signal)))
    figure = Figure(figsize=(7.5, 1.6 + 0.3 * len(lines)), layout='constrained')
    axes = figure.subplots()
    colours = {'data': '0.3', 'baseline': '#1f6fb4', 'residual': '0.45'}
    for place, (name, curve) in enumerate(lines.items()):
        # the data stand on a line of their own, with room for their peaks above
        axes.plot(axis, curve - place * step, color=colours.get(name, '#c8102e'), lw=0.8)
        axes.annotate(
            name, (1.0, -place * step), (4, 0), xycoords=('axes fraction', 'data'),
            textcoords='offset points', va='center', fontsize=8,
        )  # fmt: skip
    axes.set_xlim(float(axis.max()), float(axis.min()))
    axes.set_xlabel('chemical shift (ppm)')
    axes.set_yticks([])
    axes.spines[['left', 'right', 'top']].set_visible(False)
    if empty:
        axes.set_title(f'zero: {", ".join(empty)}', fontsize=8)
    return figure


def plot_correlation(names: Sequence[str], correlation: npt.ArrayLike) -> Figure:
    """Draw the correlations of the amplitudes' errors.

    Parameters
    ----------
    names : sequence of str
        Of rows and columns.
    correlation : (n, n) array_like
        From -1 to 1; NaN is left grey.

    Returns
    -------
    Figure
        Strong ones (at least 0.3 in size) carry their number.
    """
    values = np.asarray(correlation, dtype=float)
    size = 1.6 + 0.3 * len(names)
    figure = Figure(figsize=(size + 0.8, size), layout='constrained')
    axes = figure.subplots()
    axes.set_facecolor('0.85')
    drawn = axes.imshow(values, cmap='RdBu_r', vmin=-1, vmax=1)
    for row, column in np.argwhere(np.abs(np.nan_to_num(values)) >= 0.3):
        if row != column:
            colour = 'white' if abs(values[row, column]) > 0.6 else 'black'
            text = f'{values[row, column]:.1f}'.replace('0.', '.', 1)
            axes.text(column, row, text, ha='center', va='center', fontsize=6, color=colour)
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
    axes.set_yticks(range(len(names)), names, fontsize=7)
    figure.colorbar(drawn, ax=axes, shrink=0.6, label='correlation of the errors')
    return figure


def plot_water(water: npt.ArrayLike, dwell_time: float) -> Figure:
    """Draw the water reference: its peak, and its decay with the line that gives the amplitude.

    Parameters
    ----------
    water : (n_points,) array_like of complex
        Combined and averaged decay.
    dwell_time : float
        Sampling interval in s.

    Returns
    -------
    Figure
        Left the magnitude spectrum within 60 Hz of its highest point; right the magnitude of
        the decay with the parabola of `bids_acc.mrs.signal.water.water_parabola`.
    """
    decay = np.asarray(water, dtype=complex)
    figure = Figure(figsize=(7.5, 2.8), layout='constrained')
    left, right = figure.subplots(1, 2)
    n_points = 4 * decay.size
    spectrum = np.abs(np.fft.fftshift(np.fft.fft(decay, n_points)))
    hertz = np.fft.fftshift(np.fft.fftfreq(n_points, dwell_time))
    offset = hertz - hertz[int(np.argmax(spectrum))]
    near = np.abs(offset) <= 60
    left.plot(offset[near], spectrum[near] / spectrum.max(), color='0.3', lw=1)
    left.axhline(0.5, color='0.75', lw=0.8)
    left.set(xlabel='offset from the peak (Hz)', yticks=[0, 0.5, 1], ylabel='magnitude')
    milliseconds = 1e3 * np.arange(decay.size) * dwell_time
    shown = milliseconds <= 60
    right.plot(milliseconds[shown], np.abs(decay)[shown], '.', color='0.4', ms=3, label='measured')
    parabola = water_parabola(decay, dwell_time)
    if parabola is not None:
        time = np.linspace(0, 0.03, 60)
        right.plot(1e3 * time, np.exp(np.polyval(parabola, time)), color='#c8102e', label='fit')
        right.plot([0], [np.exp(parabola[-1])], 'o', color='#c8102e', ms=5, label='amplitude')
    right.set(xlabel='time (ms)', ylabel='magnitude of the decay', yscale='log')
    right.legend(frameon=False, fontsize=8)
    for axes in (left, right):
        axes.spines[['top', 'right']].set_visible(False)
    return figure


def plot_voxel(
    t1w: npt.ArrayLike,
    coverage: npt.ArrayLike,
    zooms: Sequence[float],
    acc: npt.ArrayLike | None = None,
) -> Figure:
    """Voxel on the T1w image in three planes through its centre.

    Parameters
    ----------
    t1w : (nx, ny, nz) array_like
        Image in RAS orientation.
    coverage : (nx, ny, nz) array_like
        Share of each image voxel in the spectroscopic voxel.
    zooms : sequence of float
        Size of an image voxel in mm.
    acc : (nx, ny, nz) array_like, optional
        Anterior cingulate, drawn as a line.

    Returns
    -------
    Figure
        To be saved by the caller.
    """
    t1w, coverage = np.asarray(t1w, dtype=float), np.asarray(coverage, dtype=float)
    outline = None if acc is None else np.asarray(acc, dtype=float)
    figure = Figure(figsize=(9, 3.2), layout='constrained', facecolor='black')
    axes = figure.subplots(1, 3)
    # a voxel outside of the image has no centre: then the middle of the image is shown
    weights = coverage if coverage.sum() > 0 else np.ones_like(coverage)
    centre = [
        round(float(np.average(np.arange(n), weights=weights.sum(axis=others))))
        for n, others in zip(t1w.shape, ((1, 2), (0, 2), (0, 1)), strict=True)
    ]
    # not the maximum: fat and vessels are brighter than brain
    top = float(np.percentile(t1w[t1w > 0], 99)) if (t1w > 0).any() else 1.0
    names = ('sagittal', 'coronal', 'axial')
    for axis, (plane, name) in enumerate(zip(axes, names, strict=True)):
        rest = [k for k in range(3) if k != axis]
        aspect = zooms[rest[1]] / zooms[rest[0]]

        def cut(volume: FloatArray, axis: int = axis) -> FloatArray:
            return np.asarray(np.take(volume, centre[axis], axis=axis).T)

        plane.imshow(cut(t1w), cmap='gray', origin='lower', vmin=0, vmax=top, aspect=aspect)
        plane.contour(cut(coverage), levels=[0.5], colors='#ffd400', linewidths=1.4)
        if outline is not None and cut(outline).any():
            plane.contour(cut(outline), levels=[0.5], colors='#00c8ff', linewidths=0.8)
        plane.set_title(name, color='white', fontsize=9)
        plane.axis('off')
    return figure


def plot_levels(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Figure:
    """Draw a table of levels; the last column is the verdict and is coloured by it.

    Parameters
    ----------
    header : sequence of str
        Column titles.
    rows : sequence of sequence of str
        One per metabolite.

    Returns
    -------
    Figure
        To be saved by the caller.
    """
    figure = Figure(figsize=(9.4, 0.7 + 0.27 * (len(rows) + 1)), layout='constrained')
    axes = figure.subplots()
    axes.axis('off')
    right = np.linspace(0.15, 0.78, len(header) - 2)
    places = [0.0, *right, 0.82]
    for k, row in enumerate([header, *rows]):
        for column, (x, text) in enumerate(zip(places, row, strict=True)):
            last = column == len(header) - 1
            colour = '#b00020' if last and k and not text.startswith('pass') else '0.15'
            axes.text(
                x, -k, text, fontsize=9, va='center', color=colour,
                ha='left' if last or column == 0 else 'right',
                weight='bold' if k == 0 else 'normal',
            )  # fmt: skip
    axes.axhline(-0.55, color='0.6', lw=0.8)
    axes.set_xlim(0, 1.28)
    axes.set_ylim(-len(rows) - 0.5, 0.9)
    return figure


def plot_concordance(
    rows: Sequence[Sequence[str]],
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    engines: tuple[str, str],
) -> Figure:
    """Table of two engines' ratios to tCr, with a figure of them beside it.

    Parameters
    ----------
    rows : sequence of sequence of str
        For each metabolite its name, both ratios with their bounds, and the difference.
    first, second : (n_metabolites,) array_like
        Ratios; NaN is left out.
    engines : tuple of str
        Names of the engines.

    Returns
    -------
    Figure
        To be saved by the caller.
    """
    first, second = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    figure = Figure(figsize=(9, 1.0 + 0.24 * len(rows)), layout='constrained')
    left, axes = figure.subplots(1, 2, sharey=True, width_ratios=(1.1, 1))
    header = ('', f'{engines[0]} (%SD)', f'{engines[1]} (%SD)', 'difference')
    for k, row in enumerate([header, *rows]):
        for x, text in zip((0.0, 0.45, 0.75, 1.0), row, strict=True):
            left.text(
                x, 1 - k, text, fontsize=8, va='center', ha='left' if x == 0 else 'right',
                weight='bold' if k == 0 else 'normal',
            )  # fmt: skip
    left.set_xlim(0, 1)
    left.axis('off')
    places = -np.arange(len(rows))
    axes.hlines(places, np.fmin(first, second), np.fmax(first, second), color='0.75', lw=2)
    axes.plot(first, places, 'o', color='#c8102e', ms=5, label=engines[0])
    axes.plot(second, places, 's', color='#1f6fb4', ms=4.5, label=engines[1])
    axes.set_ylim(-len(rows) + 0.3, 1.7)
    axes.tick_params(axis='y', length=0, labelleft=False)
    axes.set_xlabel('ratio to tCr')
    axes.set_xlim(left=0)
    axes.grid(axis='x', color='0.92')
    axes.legend(frameon=False, fontsize=8)
    return figure


def plot_course(lines: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw ratios to tCr over blocks, one panel for each metabolite.

    Parameters
    ----------
    lines : mapping of str to DataFrame
        ``label``, ``value`` and ``value_sd`` in the order of the blocks.

    Returns
    -------
    Figure
        To be saved by the caller.
    """
    figure = Figure(figsize=(7.5, 0.6 + 1.25 * len(lines)), layout='constrained')
    panels = np.ravel(figure.subplots(len(lines), 1, sharex=True, squeeze=False))
    for axes, (name, table) in zip(panels, lines.items(), strict=True):
        places = np.arange(len(table))
        axes.errorbar(
            places, table['value'], table['value_sd'], fmt='o-', color='#1f6fb4', ms=4, lw=0.9,
            capsize=2,
        )  # fmt: skip
        axes.set_ylabel(f'{name}/tCr', fontsize=8)
        axes.set_xticks(places, [str(label) for label in table['label']], fontsize=8)
        axes.tick_params(axis='y', labelsize=8)
        axes.grid(axis='y', color='0.92')
    panels[-1].set_xlabel('block')
    return figure


def plot_no_fit(title: str) -> Figure:
    """Figure that says that there is no fit to draw.

    Parameters
    ----------
    title : str
        Why there is none.

    Returns
    -------
    Figure
        One line of text, so that a report shows the gap instead of leaving a place empty.
    """
    figure = Figure(figsize=(7.5, 1.2))
    figure.text(0.5, 0.5, f'no fit: {title}', ha='center', va='center', fontsize=9, wrap=True)
    return figure
