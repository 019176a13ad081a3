"""Maps on inflated surfaces: a viewer for the page, and a still picture of the same."""

from __future__ import annotations

import base64
import io
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from bids_acc.surfaces.inflated import N_VERTICES, InflatedHemisphere, inflated_template
from bids_acc.typing import FloatArray, IntArray

MISSING = 65535
"""What the viewer takes for no value."""
VIEWS: Mapping[str, tuple[str, float]] = MappingProxyType(
    {'left lateral': ('L', 1.0), 'left medial': ('L', -1.0),
     'right medial': ('R', -1.0), 'right lateral': ('R', 1.0)}
)  # fmt: skip
"""Hemisphere, and 1 where it is seen from outside, -1 from the midline."""
_SULCUS, _GYRUS, _LINE = (0.62, 0.62, 0.62), (0.78, 0.78, 0.78), (0.05, 0.05, 0.05)
_GRAIN = 8
"""A face is painted at the points of a triangular grid with this many to an edge, so that no pixel
within it stays empty at the size of the pictures."""


@dataclass(frozen=True)
class SurfaceMap:
    """One map on both hemispheres."""

    title: str
    values: Mapping[str, npt.ArrayLike]
    """``L`` and ``R`` to (n_vertices,): numbers, NaN where there is none; or, with `labels`,
    positions in them, -1 for none. Of a finer mesh the first vertices are shown."""
    unit: str = ''
    limits: tuple[float, float] | None = None
    """Ends of the colours; by default the 2nd and 98th percentile."""
    labels: Sequence[tuple[str, tuple[float, float, float]]] = field(default_factory=tuple)
    """Names and colours of the parcels."""
    n_vertices: int = N_VERTICES
    """Of a hemisphere of the surface that is shown."""

    def shown(self, side: str) -> FloatArray:
        """Return the values of one hemisphere on the mesh that is shown; missing is NaN.

        Parameters
        ----------
        side : str
            ``L`` or ``R``.

        Returns
        -------
        (n_vertices,) ndarray of float64
            In the unit of the map, or positions among `labels`; of a finer mesh the first
            vertices.
        """
        values = np.array(self.values[side], dtype=float)[: self.n_vertices]
        values = np.pad(values, (0, self.n_vertices - len(values)), constant_values=np.nan)
        if self.labels:
            values[values < 0] = np.nan
        return values

    @property
    def span(self) -> tuple[float, float]:
        """Smallest and largest value of either hemisphere; 0 and 1 where there is none."""
        both = np.concatenate([self.shown(side) for side in ('L', 'R')])
        both = both[np.isfinite(both)]
        return (float(both.min()), float(both.max())) if both.size else (0.0, 1.0)

    @property
    def ends(self) -> tuple[float, float]:
        """Values that the colours begin and end with."""
        if self.limits is not None:
            return self.limits
        both = np.concatenate([self.shown(side) for side in ('L', 'R')])
        both = both[np.isfinite(both)]
        if not both.size:
            return 0.0, 1.0
        # a single vertex at the edge of the mask would take the whole scale
        low, high = np.percentile(both, (2, 98))
        return float(low), float(high)


def _packed(values: npt.NDArray[np.generic]) -> str:
    """Write an array as text for the page: all low bytes, then all high ones, deflated.

    Numbers in a row differ in their low bytes mostly, so that the high ones take next to nothing.
    """
    # high bytes of neighbours are alike: together they deflate to a fraction
    planes = np.ascontiguousarray(values).reshape(-1, 1).view(np.uint8).T
    return base64.b64encode(zlib.compress(planes.tobytes(), 9)).decode()


def _packed_faces(faces: IntArray) -> str:
    """Write faces as what each corner's number differs by from that of the face before."""
    # faces of a subdivided mesh follow each other, and their differences repeat
    steps = np.diff(faces.astype('<u2'), axis=0, prepend=np.zeros((1, 3), '<u2'))  # modulo 2^16
    return _packed(steps.T)


def mesh_content(surfaces: Mapping[str, InflatedHemisphere] | None = None) -> str:
    """Return surfaces as JSON for the page, which holds the template's once.

    Parameters
    ----------
    surfaces : mapping of str to InflatedHemisphere, optional
        ``L`` and ``R``, of fewer than 65,536 vertices each; the template's by default.

    Returns
    -------
    str
        Faces, vertices in hundredths of a millimetre, and which vertices lie in sulci. Faces that
        are the same on both sides stand at the left one only.
    """
    both = surfaces or inflated_template()
    content = {
        side: {
            'faces': _packed_faces(own.faces),
            'places': _packed(np.round(100 * own.vertices).astype('<i2')),
            'sulcus': _packed(own.sulcus.astype(np.uint8)),
        }
        for side, own in both.items()
    }
    if content['R']['faces'] == content['L']['faces']:
        del content['R']['faces']
    return json.dumps(content)


def viewer_content(
    maps: Sequence[SurfaceMap], outline: Mapping[str, npt.ArrayLike],
    surfaces: Mapping[str, InflatedHemisphere] | None = None,
) -> str:  # fmt: skip
    """Return maps as JSON for the page.

    Parameters
    ----------
    maps : sequence of SurfaceMap
        The first is shown first.
    outline : mapping of str to (n_vertices,) array_like of int
        Region or parcels of each hemisphere whose borders are drawn; 0 outside.
    surfaces : mapping of str to InflatedHemisphere, optional
        As for `mesh_content`.

    Returns
    -------
    str
        A value is one of 65,535 steps between the smallest and the largest.
    """
    both = surfaces or inflated_template()
    legend = sorted({name for own in both.values() for name in own.names.values()})
    content = {
        'names': legend,
        'regions': {side: _packed(_positions(own, legend)) for side, own in both.items()},
        'outline': {
            side: _packed(np.asarray(outline[side], dtype=np.uint8)[: len(own.vertices)])
            for side, own in both.items()
        },
        'maps': [_map_content(one) for one in maps],
    }
    # a parcel named </script> would end the script of the page
    return json.dumps(content).replace('<', '\\u003c')


def _positions(own: InflatedHemisphere, legend: Sequence[str]) -> npt.NDArray[np.uint16]:
    """Return each vertex's position in the names of both hemispheres; the last for none."""
    table = np.full(int(own.labels.max(initial=0)) + 1, MISSING, dtype='<u2')
    for code, name in own.names.items():
        if 0 <= code < len(table):
            table[code] = legend.index(name)
    return table[own.labels]


def _map_content(one: SurfaceMap) -> dict[str, object]:
    """Return one map as the viewer takes it."""
    (start, end), (low, high) = one.span, one.ends
    steps = {}
    for side in ('L', 'R'):
        values = one.shown(side)
        scaled = values if one.labels else (values - start) / ((end - start) or 1) * (MISSING - 1)
        steps[side] = np.where(np.isfinite(values), np.round(np.nan_to_num(scaled)), MISSING)
    return {
        'title': one.title, 'unit': one.unit, 'from': start, 'to': end, 'low': low, 'high': high,
        'values': {side: _packed(found.astype('<u2')) for side, found in steps.items()},
        'labels': [{'name': name, 'colour': colour} for name, colour in one.labels] or None,
    }  # fmt: skip


def painted(
    hemisphere: InflatedHemisphere, colours: FloatArray, outward: float, side: str,
    pixels_per_mm: float = 1.5,
) -> FloatArray:  # fmt: skip
    """Paint a hemisphere seen from outside or from the midline.

    Parameters
    ----------
    hemisphere : InflatedHemisphere
        The surface.
    colours : (n_faces, 3) ndarray
        Of each face, 0 to 1.
    outward : float
        1 for the lateral, -1 for the medial side.
    side : str
        ``L`` or ``R``.
    pixels_per_mm : float
        Size of the picture.

    Returns
    -------
    (rows, columns, 3) ndarray
        White around the brain. Seen laterally, the left hemisphere has its front on the left.
    """
    toward = outward * (1 if side == 'R' else -1)  # direction of x in which the viewer stands
    corners = hemisphere.vertices[hemisphere.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    lengths = np.linalg.norm(normals, axis=1)
    facing = toward * normals[:, 0] / np.where(lengths > 0, lengths, 1.0)
    seen = np.flatnonzero(facing > 0)
    steps = np.arange(_GRAIN + 1) / _GRAIN
    weights = np.array([(a, b, 1 - a - b) for a in steps for b in steps if a + b < 1 + 1e-9])
    points = np.einsum('wk,fkx->fwx', weights, corners[seen]).reshape(-1, 3)
    lit = colours[seen] * (0.5 + 0.5 * facing[seen, None])
    order = np.argsort(toward * points[:, 0], kind='stable')  # the nearest is painted last
    half = np.array([112.0, 77.0])
    across = ((toward * points[order, 1] + half[0]) * pixels_per_mm).astype(int)
    down = ((half[1] - points[order, 2]) * pixels_per_mm).astype(int)
    columns, rows = (2 * half * pixels_per_mm).astype(int)
    picture = np.ones((rows, columns, 3))
    inside = (across >= 0) & (across < columns) & (down >= 0) & (down < rows)
    shade = np.repeat(lit, len(weights), axis=0)[order]
    picture[down[inside], across[inside]] = shade[inside]
    return picture


def face_colours(
    one: SurfaceMap, side: str, outline: npt.ArrayLike, hemisphere: InflatedHemisphere
) -> FloatArray:
    """Return the colour of each face: map, sulcal shade where there is no value, border.

    Parameters
    ----------
    one : SurfaceMap
        The map.
    side : str
        ``L`` or ``R``.
    outline : (n_vertices,) array_like of int
        Labels whose borders are dark.
    hemisphere : InflatedHemisphere
        The surface.

    Returns
    -------
    (n_faces, 3) ndarray
    """
    values = one.shown(side)
    base = np.where(hemisphere.sulcus[:, None], _SULCUS, _GYRUS)
    known = np.isfinite(values)
    if one.labels:
        table = np.array([colour for _, colour in one.labels])
        base[known] = table[values[known].astype(int)]
    else:
        low, high = one.ends
        share = np.clip((values[known] - low) / ((high - low) or 1), 0, 1)
        base[known] = mpl.colormaps['viridis'](share)[:, :3]
    corners = base[hemisphere.faces]
    drawn = np.zeros(len(values), dtype=int)
    drawn[: len(np.asarray(outline))] = np.asarray(outline)[: len(values)]
    labels: IntArray = drawn[hemisphere.faces]
    # labels are not averaged: between red and blue there is no purple parcel; two of three corners
    # decide
    second = (corners[:, 1] == corners[:, 2]).all(axis=1)[:, None]
    colours = (
        np.where(second, corners[:, 1], corners[:, 0]) if one.labels else corners.mean(axis=1)
    )
    colours[np.ptp(labels, axis=1) > 0] = _LINE
    return colours


def still_picture(
    maps: Sequence[SurfaceMap], outline: Mapping[str, npt.ArrayLike],
    views: Sequence[str] = ('left medial', 'right medial'),
    surfaces: Mapping[str, InflatedHemisphere] | None = None,
) -> Figure:  # fmt: skip
    """Draw maps, one row for each, in some views.

    Parameters
    ----------
    maps : sequence of SurfaceMap
        What to draw.
    outline : mapping of str to (n_vertices,) array_like of int
        As for `viewer_content`.
    views : sequence of str
        Keys of `VIEWS`.
    surfaces : mapping of str to InflatedHemisphere, optional
        ``L`` and ``R``, on the mesh of the maps; the template's by default.

    Returns
    -------
    Figure
    """
    both = surfaces or inflated_template()
    figure = Figure(figsize=(2.6 * len(views) + 0.9, 1.95 * len(maps) + 0.2), layout='constrained')
    grid = figure.subplots(len(maps), len(views), squeeze=False)
    for row, one in zip(grid, maps, strict=True):
        for axes, view in zip(row, views, strict=True):
            side, outward = VIEWS[view]
            colours = face_colours(one, side, outline[side], both[side])
            axes.imshow(painted(both[side], colours, outward, side), interpolation='bilinear')
            axes.set_title(f'{one.title}, {view}', fontsize=8)
            axes.set_axis_off()
        if not one.labels:
            scale = mpl.cm.ScalarMappable(mpl.colors.Normalize(*one.ends), 'viridis')
            bar = figure.colorbar(scale, ax=row.tolist(), shrink=0.8)
            bar.set_label(one.unit, fontsize=8)
            bar.ax.tick_params(labelsize=7)
    named = [name for one in maps for name in one.labels]
    if named:
        handles = [mpl.patches.Patch(color=colour, label=name) for name, colour in named]
        figure.legend(handles=handles, loc='outside lower center', ncols=min(3, len(handles)),
                      frameon=False, fontsize=8)  # fmt: skip
    return figure


def as_png(figure: Figure, dpi: float = 90) -> str:
    """Return a figure as the text that stands for it in a page.

    Parameters
    ----------
    figure : Figure
        Of words of this package, which have no TeX in them.
    dpi : float
        Pixels to the inch.
    """
    stream = io.BytesIO()
    figure.savefig(stream, format='png', dpi=dpi, metadata={'Software': None})
    return f'data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}'
