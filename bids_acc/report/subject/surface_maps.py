"""Maps of a session on inflated surfaces that can be turned, with its region outlined."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from bids_acc.derivatives.outputs import FoundOutput, on_mesh, output_spec
from bids_acc.exceptions import BidsAccError
from bids_acc.report.html import Block
from bids_acc.report.reading import explained
from bids_acc.report.subject.cohort import percentile_blocks
from bids_acc.report.subject.view import SubjectView, what_differs
from bids_acc.report.surface_view import (
    SurfaceMap,
    as_png,
    mesh_content,
    still_picture,
    viewer_content,
)
from bids_acc.surfaces.cohort_surface import MeanSurface
from bids_acc.surfaces.gifti import read_labels, read_map, read_surface
from bids_acc.surfaces.inflated import N_VERTICES, InflatedHemisphere, inflated_own

MAPS: Mapping[str, tuple[str, str, float]] = {
    'anat_thickness': ('cortical thickness', 'mm', 1.0),
    'anat_area': ('surface area', 'mm²', 1.0),
    'dwi_vertex_fa': ('FA', '', 1.0),
    'dwi_vertex_md': ('MD', '10⁻³ mm²/s', 1e3),
    'dwi_vertex_mo': ('MO', '', 1.0),
    'mtr_vertex_mtr': ('magnetization transfer ratio', '%', 1.0),
    'func_vertex_tsnr': ('temporal S/N', '', 1.0),
    'func_vertex_reho': ('regional homogeneity', '', 1.0),
    'func_vertex_alff': ('ALFF', '%', 1.0),
    'func_vertex_falff': ('fALFF', '', 1.0),
    'func_vertex_seed': ("seed connectivity (Fisher's z)", '', 1.0),
    'func_contrast_effect': ('task response', '%', 1.0),
}
"""Key of the output: words, unit on the page, and the factor to that unit."""

SURFACE_KEY, LABEL_KEY = 'anat_midthickness', 'anat_parcellation'
"""Output keys of the surface that is shown, and of the labels on it, on a derivative's mesh."""
STILL = 8
"""Maps in the still picture; the viewer has all of them."""

READ = (
    'Grey: no value (dark grey: sulci). Colours run from the 2nd to the 98th percentile of this '
    'session. Turn by dragging or with the arrow keys; point at a place to read its value.'
)
CAPTION = f'Inflated template surfaces; the line is the border of the region of interest. {READ}'
OWN_CAPTION = (
    "This session's own surfaces on the mesh of {space}, inflated (vertices moved to the mean of "
    f'their neighbours); lines are the borders of the labels there. {READ}'
)


def surface_blocks(view: SubjectView, session: str | None) -> Iterator[Block]:
    """Yield the maps of a session, and how its region stands in the cohort.

    Parameters
    ----------
    view : SubjectView
        The subject.
    session : str or None
        Label without prefix.

    Yields
    ------
    Block
    """
    maps = list(_maps(view, session))
    if maps:
        outline = _outline(view, session)
        yield Block(
            title='Maps on the surface', caption=explained('anat_maps', CAPTION),
            image=as_png(still_picture(maps[:STILL], outline)),
            viewer=viewer_content(maps, outline),
        )  # fmt: skip
    for space in output_spec(SURFACE_KEY).meshes:
        yield from _blocks_on_mesh(view, session, space)
    yield from percentile_blocks(view, session)


def _blocks_on_mesh(view: SubjectView, session: str | None, space: str) -> Iterator[Block]:
    """Yield the maps on the mesh of a derivative, on the session's own surfaces there."""
    surfaces = _own_surfaces(view, session, space)
    if set(surfaces) != {'L', 'R'}:
        return
    maps = list(_maps(view, session, space, len(surfaces['L'].vertices)))
    if not maps:
        return
    outline = {side: own.labels for side, own in surfaces.items()}
    yield Block(
        title=f'Maps on the mesh of {space}',
        caption=explained('anat_maps', OWN_CAPTION.format(space=space)),
        image=as_png(still_picture(maps[:STILL], outline, surfaces=surfaces)),
        viewer=viewer_content(maps, outline, surfaces), surfaces=mesh_content(surfaces),
    )  # fmt: skip


def _own_surfaces(
    view: SubjectView, session: str | None, space: str
) -> dict[str, InflatedHemisphere]:
    """Return the surfaces of a session on a mesh, inflated, as far as they can be read."""
    means, labels = {}, {}
    for found in view.outputs(on_mesh(SURFACE_KEY, space), session):
        try:
            means[found.entities['hemisphere']] = MeanSurface(*read_surface(found.path))
        except BidsAccError:
            continue
    for found in view.outputs(on_mesh(LABEL_KEY, space), session):
        side = found.entities['hemisphere']
        try:
            codes, names = read_labels(found.path)
        except BidsAccError:
            continue
        if side in means and len(codes) == len(means[side].vertices):
            labels[side] = np.asarray(codes, dtype=np.int64), names
    return inflated_own(means, labels)


def _maps(
    view: SubjectView, session: str | None, space: str = '', n_vertices: int = N_VERTICES
) -> Iterator[SurfaceMap]:
    """Yield the maps on a mesh of which both hemispheres can be read."""
    for plain, (words, unit, factor) in MAPS.items():
        key = on_mesh(plain, space)
        pairs: dict[str, dict[str, FoundOutput]] = {}
        for found in view.outputs(key, session):
            hidden = ('hemisphere', 'density')
            entities = {k: v for k, v in found.entities.items() if k not in hidden}
            name = what_differs(FoundOutput(key, found.path, entities))
            pairs.setdefault(name, {})[found.entities['hemisphere']] = found
        for name, both in pairs.items():
            values = {side: _read(found) for side, found in both.items()}
            # finer meshes begin with the vertices of the coarser one, so that their first ones can
            # be shown
            if set(values) == {'L', 'R'} and all(len(v) >= n_vertices for v in values.values()):
                scaled = {side: factor * one for side, one in values.items()}
                yield SurfaceMap(words + name, scaled, unit, n_vertices=n_vertices)


def _read(found: FoundOutput) -> npt.NDArray[np.float64]:
    """Read a map; one that cannot be read is empty and not shown."""
    try:
        return np.asarray(read_map(found.path), dtype=float)
    except BidsAccError:
        return np.empty(0)


def _outline(view: SubjectView, session: str | None) -> dict[str, npt.NDArray[np.int64]]:
    """Return the region of interest of each hemisphere; empty where there is none."""
    outline = {side: np.zeros(N_VERTICES, dtype=np.int64) for side in ('L', 'R')}
    for found in view.outputs('anat_roi_labels', session):
        try:
            labels = np.asarray(read_labels(found.path)[0])
        except BidsAccError:
            continue
        if len(labels) >= N_VERTICES:
            outline[found.entities['hemisphere']] = (labels[:N_VERTICES] > 0).astype(np.int64)
    return outline
