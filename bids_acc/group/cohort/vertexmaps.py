"""Vertex maps and region labels out of the derivatives of all participants."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from bids_acc.derivatives.outputs import FoundOutput, find_outputs, load_table, on_mesh
from bids_acc.derivatives.records import Ledger
from bids_acc.exceptions import (
    BidsAccError,
    GridMismatchError,
    InputDataError,
    MissingInputError,
)
from bids_acc.files.meshes import TEMPLATE_MESH
from bids_acc.group.cohort.reading import rest_first
from bids_acc.group.opnmf.features import VertexMetrics, mask_unmeasured
from bids_acc.group.parcels.measures import SUMMED_METRICS
from bids_acc.surfaces.atlases import all_labels
from bids_acc.surfaces.cohort_surface import MeanSurface, mean_surface
from bids_acc.surfaces.gifti import read_labels, read_map, read_surface
from bids_acc.surfaces.neighbours import adjacency, neighbour_lists, within
from bids_acc.surfaces.regions import Labels, find_region
from bids_acc.surfaces.smoothing import HeatKernel, template_kernel
from bids_acc.surfaces.template import DENSITIES, load_template
from bids_acc.typing import BoolArray, FloatArray, IntArray

LOGGER = logging.getLogger(__name__)

Session = tuple[str, str | None]
Maps = dict[str, dict[str, dict[Session, FoundOutput]]]
"""``maps[metric][hemisphere][session]``."""

METRIC_KEYS: Mapping[str, tuple[str, dict[str, str]]] = {
    'thickness': ('anat_thickness', {}),
    'area': ('anat_area', {}),
    'volume': ('anat_volume', {}),
    'fa': ('dwi_vertex_fa', {}),
    'md': ('dwi_vertex_md', {}),
    'mo': ('dwi_vertex_mo', {}),
    'icvf': ('dwi_vertex_icvf', {}),
    'isovf': ('dwi_vertex_isovf', {}),
    'od': ('dwi_vertex_od', {}),
    'mtr': ('mtr_vertex_mtr', {}),
    'reho': ('func_vertex_reho', {}),
    'alff': ('func_vertex_alff', {}),
    'falff': ('func_vertex_falff', {}),
}
"""Output key, and entities besides, of each metric's maps."""
BESIDE_KEYS: Mapping[str, str] = {
    'white': 'dwi_vertex_white',
    'csf': 'dwi_vertex_csf',
    'faiso': 'dwi_vertex_fa_isotropic',
}
"""Output key of each map of `bids_acc.group.opnmf.features.PARTIAL_VOLUME`."""
LABEL_KEY = 'anat_parcellation'
"""Output key of the cortical labels."""
SURFACE_KEY = 'anat_midthickness'
"""Output key of a surface whose triangles tell which vertices are neighbours."""
DEFAULT_METRICS = ('thickness', 'area', 'fa', 'md')
"""Metrics of the published analysis."""


def majority_region(
    output_dir: Path, hemisphere: str, region: Sequence[str], label_key: str, density: str,
    atlases: Sequence[str] = (), space: str = TEMPLATE_MESH,
) -> BoolArray:  # fmt: skip
    """Return the vertices that more than half of the label files put inside the region.

    With labels that come from the template all sessions agree; with each subject's own
    parcellation, resampled to the template mesh, the majority decides. Names that the sessions'
    labels do not have are looked for in the atlases of the template mesh; on the mesh of a
    derivative there are no others.

    Parameters
    ----------
    output_dir : Path
        Root of the derivative data set.
    hemisphere : {'L', 'R'}
        Side of the label files.
    region : sequence of str
        Names of labels, of which the region is the union.
    label_key : str
        Output key of the labels, for example `LABEL_KEY`.
    density : str
        Density of the mesh (``10k``, ``41k``, ...); empty for whichever there is.
    atlases : sequence of str
        Label files of the template mesh in which unknown names are looked for.
    space : str
        Name of the mesh: `TEMPLATE_MESH`, or that of a derivative.

    Returns
    -------
    (n_vertices,) ndarray of bool
        True inside the region, in the order of the mesh.

    Raises
    ------
    MissingInputError
        If there is no label file on meshes of that density.
    InputDataError
        If none of them can be read.
    """
    # by a vote and not by the template: labels of single people move over sulci, and the region
    # is the same for all
    key = on_mesh(label_key, space)
    found = find_outputs(key, output_dir, hemisphere=hemisphere, density=density or None)
    if not found:
        raise MissingInputError(
            f'{output_dir}: no region labels of hemisphere {hemisphere}; run the participant '
            'level first.'
        )
    votes: list[tuple[FoundOutput, BoolArray]] = []
    broken: list[BidsAccError] = []
    for item in found:
        try:
            shipped = density if space == TEMPLATE_MESH else ''
            votes.append((item, _region_of(item, region, hemisphere, shipped, atlases)))
        except BidsAccError as error:
            # one damaged file costs its vote, not the run
            broken.append(error)
            LOGGER.warning('%s It has no vote on the region.', error)
    if not votes:
        raise broken[0]
    # a person on another mesh has vertices of other places under the same numbers
    size = Counter(len(vote) for _, vote in votes).most_common(1)[0][0]
    for item, vote in votes:
        if len(vote) != size:
            LOGGER.warning(
                '%s: %d vertices, but most label files have %d; it has no vote on the region.',
                item.path, len(vote), size,
            )  # fmt: skip
    shares: FloatArray = np.mean([vote for _, vote in votes if len(vote) == size], axis=0)
    return shares > 0.5


def _region_of(
    item: FoundOutput, region: Sequence[str], hemisphere: str, density: str,
    atlases: Sequence[str],
) -> BoolArray:  # fmt: skip
    """Return the region by the labels of one session, and where these lack a name, by others'."""
    codes, names = read_labels(item.path)
    known = [Labels(item.entities.get('segmentation', 'labels'), codes, names)]
    mesh = None
    if len(codes) == DENSITIES.get(density):
        known += all_labels(hemisphere, density, atlases)
        mesh = load_template(density)[hemisphere]
    inside = find_region(known, region)
    # labels of whole-brain atlases reach into the medial wall, where thickness has no meaning
    return inside if mesh is None else inside & mesh.cortex


def _by_session(found: list[FoundOutput], metric: str) -> dict[Session, FoundOutput]:
    """Keep one file for each session; of several runs or acquisitions the first."""
    chosen: dict[Session, FoundOutput] = {}
    for item in sorted(found, key=lambda one: rest_first(one.path.name)):
        session = (item.entities['subject'], item.entities.get('session'))
        if session in chosen:
            LOGGER.warning(
                '%s: several %s maps; %s is used, %s is not',
                _name(session), metric, chosen[session].path.name, item.path.name,
            )  # fmt: skip
            continue
        chosen[session] = item
    return chosen


def _name(session: Session) -> str:
    """Return how a session is called in messages."""
    return f'sub-{session[0]}' + (f'/ses-{session[1]}' if session[1] else '')


def _metric_key(metric: str, space: str) -> tuple[str, dict[str, str]] | None:
    """Return output key and fixed entities of a metric; None if it is not on that mesh."""
    key, fixed = METRIC_KEYS[metric]
    key = on_mesh(key, space)
    return (key, fixed) if key in load_table() else None


def maps_by_density(
    output_dir: Path, metrics: Sequence[str], space: str = TEMPLATE_MESH
) -> dict[str, Maps]:
    """Find the maps of each metric and hemisphere, by density of the mesh and by session.

    Parameters
    ----------
    output_dir : Path
        Root of the derivative data set.
    metrics : sequence of str
        Keys of `METRIC_KEYS`; one that does not exist on this mesh is passed over.
    space : str
        Name of the mesh: `TEMPLATE_MESH`, or that of a derivative.

    Returns
    -------
    dict of str to Maps
        Density, and ``maps[metric][hemisphere][session]`` for it.
    """
    maps: dict[str, Maps] = {}
    for metric in metrics:
        if (known := _metric_key(metric, space)) is None:
            continue
        key, fixed = known
        for side in ('L', 'R'):
            found: dict[str, list[FoundOutput]] = {}
            for item in find_outputs(key, output_dir, hemisphere=side, **fixed):
                found.setdefault(item.entities.get('density', ''), []).append(item)
            for density, items in found.items():
                own = maps.setdefault(density, {name: {'L': {}, 'R': {}} for name in metrics})
                own[metric][side] = _by_session(items, metric)
    return maps


def available_metrics(output_dir: Path, space: str = TEMPLATE_MESH) -> tuple[str, ...]:
    """Return the metrics of which there is any map on a mesh.

    Parameters
    ----------
    output_dir : Path
        Root of the derivative data set.
    space : str
        Name of the mesh: `TEMPLATE_MESH`, or that of a derivative.

    Returns
    -------
    tuple of str
        Keys of `METRIC_KEYS`, in their order.
    """
    keys = {metric: _metric_key(metric, space) for metric in METRIC_KEYS}
    return tuple(
        metric for metric, known in keys.items()
        if known is not None and find_outputs(known[0], output_dir, **known[1])
    )  # fmt: skip


def _choose_density(complete: Mapping[str, Sequence[Session]], output_dir: Path) -> str:
    """Return the density at which most sessions have all maps, the finer one of equals."""
    # of names like 10k, 41k and 164k the longer and later one is finer
    density = max(complete, key=lambda name: (len(complete[name]), len(name), name), default='')
    counts = {name: len(sessions) for name, sessions in complete.items() if sessions}
    if len(counts) > 1:
        shown = ', '.join(f'{name or "no density"}: {n}' for name, n in sorted(counts.items()))
        LOGGER.warning(
            '%s: sessions with vertex maps by density of the mesh: %s; %s is used',
            output_dir, shown, density,
        )  # fmt: skip
    return density


def gather_vertex_metrics(
    output_dir: Path,
    metrics: Sequence[str] = DEFAULT_METRICS,
    region: Sequence[str] = ('caudalanteriorcingulate', 'rostralanteriorcingulate'),
    *,
    hemispheres: Sequence[str] = ('L', 'R'),
    label_key: str = LABEL_KEY,
    atlases: Sequence[str] = (),
    smooth_mm: float = 0.0,
    space: str = TEMPLATE_MESH,
) -> VertexMetrics:
    """Read the maps of all sessions inside a region.

    Of meshes of several densities the one at which most sessions have all maps is taken. Sessions
    that lack a whole map, or of which one cannot be read, are left out and named in
    `VertexMetrics.excluded`.

    Parameters
    ----------
    output_dir : Path
        Root of the derivative dataset.
    metrics : sequence of str
        Any subset of `METRIC_KEYS`.
    region : sequence of str
        Labels of the region; ``cortex`` for all.
    hemispheres : sequence of str
        ``L``, ``R`` or both.
    label_key : str
        Output key of the region labels.
    atlases : sequence of str
        Atlases besides the shipped ones, of which the region may be.
    smooth_mm : float
        Full width at half maximum of the kernel that maps are smoothed with over the whole
        cortex, before the region is cut out; 0 for none.
    space : str
        Whose mesh: the template's, or that of a derivative (``civet``, ``fsLR``).

    Returns
    -------
    VertexMetrics
        Physical units, NaN where nothing was measured.

    Raises
    ------
    MissingInputError
        If no session has all the maps.
    GridMismatchError, InputDataError
        If the maps of no session can be read or fit the labels.
    """
    by_density = maps_by_density(output_dir, metrics, space)
    every = sorted(
        {s for maps in by_density.values() for sides in maps.values() for found in sides.values()
         for s in found},
        key=lambda s: (s[0], s[1] or ''),
    )  # fmt: skip
    lacks = {
        density: {
            s: [f'{m} ({h})' for m in metrics for h in hemispheres if s not in maps[m][h]]
            for s in every
        }
        for density, maps in by_density.items()
    }
    whole = {name: [s for s in every if not gaps[s]] for name, gaps in lacks.items()}
    density = _choose_density(whole, output_dir)
    complete = whole.get(density)
    if not complete:
        raise MissingInputError(
            f'{output_dir}: no session has vertex maps of all of {", ".join(metrics)}'
            f'{"" if space == TEMPLATE_MESH else f" on the mesh of {space} (--mesh {space})"}; '
            'run the participant level first, or choose fewer metrics.'
        )
    maps = by_density[density]
    masks = {
        side: majority_region(output_dir, side, region, label_key, density, atlases, space)
        for side in hemispheres
    }
    # of these people themselves, as the mesh of a derivative has no template here to smooth along
    cohort = _cohort_surfaces(output_dir, masks, complete, space)
    kernels = _kernels(masks, density, smooth_mm, cohort)
    rows, damaged = _read_rows(maps, metrics, complete, masks, Ledger(output_dir), kernels)
    if not rows:
        raise next(iter(damaged.values()))
    # in the order read: values, sessions and columns must name the same people
    complete = list(rows)
    legends = [
        pd.DataFrame({'hemisphere': side, 'vertex': np.flatnonzero(mask)})
        for side, mask in masks.items()
    ]
    # of the whole mesh and not of the region: maps are written on all of it
    sizes = {'L': 0, 'R': 0} | {side: len(mask) for side, mask in masks.items()}
    columns = pd.concat(legends, ignore_index=True)
    return VertexMetrics(
        values=np.stack(list(rows.values()), axis=1),
        metrics=tuple(metrics),
        sessions=_legend(complete),
        columns=columns,
        neighbours=mesh_neighbours(columns, sizes, output_dir, density, space),
        mesh_sizes=(sizes['L'], sizes['R']),
        density=density,
        template=space,
        surfaces=cohort,
        excluded=_left_out(every, density, lacks, damaged),
        notes=_smoothing_notes(kernels, masks, smooth_mm),
    )


def _cohort_surfaces(
    output_dir: Path, masks: Mapping[str, BoolArray], sessions: Sequence[Session], space: str
) -> dict[str, MeanSurface] | None:
    """Average the mid-surfaces of the sessions on the mesh of a derivative; None on the template.

    Raises
    ------
    MissingInputError
        If no surface can be read.
    """
    if space == TEMPLATE_MESH:
        return None
    found = {}
    for side, mask in masks.items():
        meshes = []
        for item in find_outputs(on_mesh(SURFACE_KEY, space), output_dir, hemisphere=side):
            if (item.entities['subject'], item.entities.get('session')) not in sessions:
                continue
            try:
                meshes.append(read_surface(item.path))
            except BidsAccError as error:
                LOGGER.warning('%s It is not part of the mean surface.', error)
        fitting = [points for points, _ in meshes if len(points) == len(mask)]
        if not fitting:
            raise MissingInputError(f'{output_dir}: no surface of hemisphere {side} on {space}.')
        faces = next(faces for points, faces in meshes if len(points) == len(mask))
        found[side] = mean_surface(fitting, faces)
    return found


def _kernels(
    masks: Mapping[str, BoolArray], density: str, smooth_mm: float,
    cohort: Mapping[str, MeanSurface] | None,
) -> dict[str, HeatKernel]:  # fmt: skip
    """Return the kernel of each hemisphere; none without smoothing.

    Raises
    ------
    InputDataError
        If the maps are not on the template's mesh.
    """
    if not smooth_mm:
        return {}
    if cohort is not None:
        return {side: HeatKernel(one.vertices, one.faces, smooth_mm)
                for side, one in cohort.items()}  # fmt: skip
    for mask in masks.values():
        if len(mask) != DENSITIES.get(density):
            raise InputDataError(
                f'--opnmf-smooth-mm {smooth_mm:g}: the maps have {len(mask)} vertices and are not '
                'on the template mesh, along which they are smoothed; leave it out.'
            )
    return {side: template_kernel(density, side, smooth_mm) for side in masks}


def _smoothing_notes(
    kernels: Mapping[str, HeatKernel], masks: Mapping[str, BoolArray], smooth_mm: float
) -> tuple[str, ...]:
    """Say that maps were smoothed, and how much of the kernel lies inside the region."""
    if not kernels:
        return ()
    within = np.mean([kernel.share_within(masks[side]) for side, kernel in kernels.items()])
    text = (
        f'Maps were smoothed along the cortex (FWHM {smooth_mm:g} mm) before the region was cut '
        f'out: on average {100 * within:.0f} % of what a vertex holds comes from inside it.'
    )
    return (text,)


def gather_beside(output_dir: Path, data: VertexMetrics) -> VertexMetrics | None:
    """Read the maps of partial volume and noise that go with the diffusion metrics.

    Parameters
    ----------
    output_dir : Path
        Root of the derivative dataset.
    data : VertexMetrics
        From `gather_vertex_metrics`.

    Returns
    -------
    VertexMetrics or None
        Those of `BESIDE_KEYS` of which there is any map on this mesh; NaN for sessions that lack
        it (made by an older version) or whose map cannot be read. None where there is none.
    """
    ledger, maps = Ledger(output_dir), {}
    for metric, plain in BESIDE_KEYS.items():
        key = on_mesh(plain, data.template)
        by_side = {}
        for side in data.columns['hemisphere'].unique():
            found = find_outputs(key, output_dir, hemisphere=side, density=data.density or None)
            by_side[side] = _by_session(found, metric)
        values = np.stack([
            _beside_of(session, metric, by_side, data, ledger)
            for session in data.sessions[['participant_id', 'session_id']].itertuples(index=False)
        ])  # fmt: skip
        if np.isfinite(values).any():
            maps[metric] = values
    if not maps:
        return None
    return replace(data, values=np.stack(list(maps.values())), metrics=tuple(maps))


def _beside_of(
    row: tuple[str, str | None],
    metric: str,
    maps: Mapping[str, Mapping[Session, FoundOutput]],
    data: VertexMetrics,
    ledger: Ledger,
) -> FloatArray:
    """Read one map of one session at the vertices of the data; NaN where there is none."""
    visit = None if pd.isna(row[1]) else str(row[1]).removeprefix('ses-')
    session = (str(row[0]).removeprefix('sub-'), visit or None)
    values = np.full(len(data.columns), np.nan)
    for side, found in maps.items():
        if session not in found:
            continue
        inside = (data.columns['hemisphere'] == side).to_numpy()
        mesh = np.ones(data.mesh_sizes['LR'.index(side)], dtype=bool)
        try:
            whole = _read_one(ledger.intact(found[session].path), mesh, metric)
            values[inside] = whole[data.columns.loc[inside, 'vertex'].to_numpy()]
        except BidsAccError as error:
            LOGGER.warning('%s: its %s is missing: %s', _name(session), metric, error)
            return np.full(len(data.columns), np.nan)
    return values


def _left_out(
    every: list[Session],
    density: str,
    lacks: Mapping[str, Mapping[Session, list[str]]],
    damaged: Mapping[Session, BidsAccError],
) -> pd.DataFrame:
    """List the sessions without all maps on meshes of that density, with the reason."""
    reasons = {}
    for session in every:
        if session in damaged:
            reasons[session] = str(damaged[session]).removesuffix('.')
            continue
        if not (gaps := lacks[density][session]):
            continue
        others = sorted(name for name, of in lacks.items() if name != density and not of[session])
        reasons[session] = f'no map of {", ".join(gaps)}'
        if others:
            reasons[session] = (
                f'maps on meshes of {" and ".join(others)} only, of most sessions on {density}; '
                f'run its participant level with --density {density}'
            )
    return _legend(list(reasons)).assign(reason=list(reasons.values()))


def _legend(sessions: list[Session]) -> pd.DataFrame:
    """Return participant and session labels as a table; sessions without name are missing."""
    return pd.DataFrame(
        {
            'participant_id': [f'sub-{subject}' for subject, _ in sessions],
            'session_id': [f'ses-{session}' if session else None for _, session in sessions],
        },
        dtype=object,
    )


def _read_rows(
    maps: Mapping[str, Mapping[str, Mapping[Session, FoundOutput]]],
    metrics: Sequence[str],
    sessions: Sequence[Session],
    masks: Mapping[str, BoolArray],
    ledger: Ledger,
    kernels: Mapping[str, HeatKernel],
) -> tuple[dict[Session, FloatArray], dict[Session, BidsAccError]]:
    """Read each session's maps, and say which sessions cannot be read and why.

    Returns
    -------
    rows : dict of session to (n_metrics, n_vertices of the region) ndarray
    damaged : dict of session to error
    """
    rows, damaged = {}, {}
    for session in sessions:
        try:
            rows[session] = np.stack(
                [
                    np.concatenate(
                        [_read_one(ledger.intact(maps[m][side][session].path), mask, m,
                                   kernels.get(side))
                         for side, mask in masks.items()]
                    )
                    for m in metrics
                ]
            )  # fmt: skip
        except BidsAccError as error:
            damaged[session] = error
            LOGGER.warning('%s is left out: %s', _name(session), error)
    return rows, damaged


def _read_one(
    path: Path, mask: BoolArray, metric: str, kernel: HeatKernel | None = None
) -> FloatArray:
    """Read one map inside the region, smoothed over the whole cortex if a kernel is given."""
    # files hold 32 bits, of which sums over thousands of vertices lose digits
    values = read_map(path).astype(np.float64)
    if len(values) != len(mask):
        raise GridMismatchError(
            f'{path}: {len(values)} vertices, but the labels have {len(mask)}.'
        )
    if kernel is None:
        return mask_unmeasured(values[mask], metric)
    whole = mask_unmeasured(values, metric)
    # before the region is cut out, or its border would be smoothed with nothing
    return kernel.smooth(whole, summed=metric in SUMMED_METRICS)[mask]


def mesh_neighbours(
    columns: pd.DataFrame, sizes: Mapping[str, int], output_dir: Path, density: str,
    space: str = TEMPLATE_MESH,
) -> list[IntArray] | None:  # fmt: skip
    """Return the neighbours of each vertex of a region, from any subject's surface.

    All subjects share the triangles of the mesh.

    Parameters
    ----------
    columns : DataFrame
        ``hemisphere`` and ``vertex`` of each vertex of the region.
    sizes : mapping of str to int
        Vertices of each hemisphere's mesh.
    output_dir : Path
        Root of the derivative dataset.
    density : str
        Of the mesh, as in file names.
    space : str
        Whose mesh.

    Returns
    -------
    list of ndarray of int, or None
        By position in ``columns``; ``None`` when there is no surface on this mesh.
    """
    lists: list[IntArray] = []
    for side in ('L', 'R'):
        vertices = columns.loc[columns['hemisphere'] == side, 'vertex'].to_numpy()
        if not len(vertices):
            continue
        key = on_mesh(SURFACE_KEY, space)
        found = find_outputs(key, output_dir, hemisphere=side, density=density or None)
        triangles = _triangles(found, sizes[side])
        if triangles is None:
            return None
        offset = len(lists)
        graph = within(adjacency(triangles, sizes[side]), vertices)
        lists += [row + offset for row in neighbour_lists(graph)]
    return lists


def _triangles(found: Sequence[FoundOutput], size: int) -> IntArray | None:
    """Return the triangles of the first surface that can be read and fits, if any."""
    for item in found:
        try:
            vertices, triangles = read_surface(item.path)
        except BidsAccError as error:
            LOGGER.warning('%s Another surface is used.', error)
            continue
        if len(vertices) == size:
            return triangles
    return None
