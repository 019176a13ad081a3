"""What is measured in one prepared run at rest, from its files to arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.spatial import cKDTree

from bids_acc.func.amplitude import low_frequency
from bids_acc.func.connectivity import (
    FEW_DOF,
    LEAST_DOF,
    correlations,
    degrees_of_freedom,
    standardised,
)
from bids_acc.func.denoising import (
    Cleaning,
    Confounds,
    censored,
    choose_regressors,
    lacking_tissues,
    make_cleaning,
    read_confounds,
)
from bids_acc.func.raw import check_length
from bids_acc.func.regions import (
    ACC_LABELS,
    Members,
    Region,
    mean_series,
    members_of_atlas,
    members_of_parcels,
    members_of_spheres,
    seed_regions,
    seitzman_regions,
)
from bids_acc.func.reho import homogeneity_of_sets, regional_homogeneity
from bids_acc.func.run import BUILTIN, RunFacts
from bids_acc.func.sampling import (
    RunSeries,
    brain_overlap,
    count_volumes,
    places_in_template,
    read_surface_run,
    read_volume_run,
    ribbon_of_subject,
    ribbon_of_template,
    voxel_edge,
)
from bids_acc.func.signal import has_signal, temporal_snr
from bids_acc.images.ants_bridge import carry_points
from bids_acc.images.resampling import sample
from bids_acc.surfaces.gifti import read_labels
from bids_acc.surfaces.template import HEMISPHERES, MEDIAL_WALL, load_template
from bids_acc.typing import BoolArray, FloatArray, IntArray, Row

VERTEX_MAPS = ('tsnr', 'coverage', 'reho', 'alff', 'alffz', 'falff')
"""Maps that are measured at vertices at rest."""
BALL_MM = 6.0
"""Around a vertex, in which the series of a surface's vertices are compared (own convention; the
first ring alone is closer together than voxels)."""
LARGEST_CENSORED = 0.3
"""Share of censored volumes above which fALFF is not given: gaps move power to other frequencies
(own convention)."""
SPIKE_MM = 0.5
"""Framewise displacement of a spike, as in Power et al. 2012."""
LOW_OVERLAP = 0.8
"""Overlap of the series' brain with that of the T1w image below which they seem to lie apart (own
convention)."""


@dataclass(frozen=True)
class RunFiles:
    """Files of a prepared run (`bids_acc.func.run`)."""

    bold: Sequence[Path]
    mask: Path | None
    confounds: Path
    sidecar: Path | None


@dataclass(frozen=True)
class AnatFiles:
    """What the T1w image gave; empty without one."""

    white: Sequence[Path] = ()
    pial: Sequence[Path] = ()
    tpms: Sequence[Path] = ()
    parcellation: Sequence[Path] = ()
    transforms: Sequence[Path] = ()
    """Those that carry template images to the T1w image."""
    brain: Path | None = None
    other: AnatFiles | None = None
    """The same on the mesh of a derivative, where maps are measured there as well."""


@dataclass(frozen=True)
class Choices:
    """Settings that the measures depend on."""

    strategy: str = 'compcor'
    censor_fd: float | None = None
    band: tuple[float, float] = (0.01, 0.1)
    seeds: Path | None = None
    atlas: Path | None = None
    density: str = '41k'


@dataclass(frozen=True)
class SampledMesh:
    """Where the vertices of a mesh are sampled, the left half first, and what they are."""

    points: FloatArray
    """(n_depths, n_vertices, 3) in the space of the series, mm."""
    weights: FloatArray
    """(n_depths, n_vertices)"""
    labels: IntArray
    names: Mapping[int, str]

    @property
    def cortex(self) -> BoolArray:
        """Whether a vertex is no medial wall."""
        wall = [code for code, name in self.names.items() if name == MEDIAL_WALL]
        return np.asarray(~np.isin(self.labels, wall))


@dataclass(frozen=True)
class PreparedRun:
    """A run read and judged, before anything is measured in it."""

    series: RunSeries
    facts: RunFacts
    confounds: Confounds
    cleaning: Cleaning
    mean: FloatArray
    """(n_vertices,) over time."""
    tsnr: FloatArray
    """(n_vertices,)"""
    signal: BoolArray
    """(n_vertices,) cortex with signal."""
    cortex: BoolArray
    """(n_vertices,) whether a vertex is no medial wall."""
    voxel_signal: BoolArray
    """(n_voxels,); empty of a run on surfaces."""
    voxel_tsnr: FloatArray
    points: FloatArray
    weights: FloatArray
    labels: IntArray
    names: Mapping[int, str]
    overlap: float
    """Dice of the brains of series and T1w image; NaN elsewhere."""
    other: PreparedRun | None = None
    """The same run at the vertices of the mesh of a derivative."""


@dataclass(frozen=True)
class Carpet:
    """What the picture of a run shows."""

    before: FloatArray
    """(n_rows, n_volumes) per cent of the mean, slow drifts taken off."""
    after: FloatArray
    """(n_rows, n_volumes) cleaned; NaN where censored."""
    displacement: FloatArray
    """(n_volumes,) framewise, mm."""
    dvars: FloatArray
    """(n_volumes,) standardised."""
    repetition_time: float


@dataclass(frozen=True)
class RestMeasures:
    """What one run gave."""

    maps: Mapping[str, FloatArray]
    """(n_vertices,) for each of `VERTEX_MAPS`."""
    seed_maps: Mapping[str, FloatArray]
    """(n_vertices,) Pearson's r with each seed."""
    members: Members
    series: FloatArray
    """(n_kept, n_regions) cleaned and standardised; NaN where a region is not measured."""
    region_tsnr: FloatArray
    matrix: FloatArray
    """(n_regions, n_regions) Pearson's r."""
    dof: float
    report: Mapping[str, Any] = field(default_factory=dict)
    """Figures of quality."""
    findings: Sequence[str] = ()


def prepare(files: RunFiles, facts: RunFacts, anat: AnatFiles, choices: Choices) -> PreparedRun:
    """Read a run, check it against its confounds, and find where there is signal.

    Parameters
    ----------
    files : RunFiles
        A volume, or both hemispheres' surfaces.
    facts : RunFacts
        Dummy volumes, repetition time (s), space.
    anat : AnatFiles
        Surfaces and tissues of the subject; needed of a run in T1w space.
    choices : Choices
        Denoising strategy, censoring (mm), band (Hz), mesh.

    Raises
    ------
    InputDataError
        If series and confounds do not fit each other, or cannot be used.
    """
    n_volumes = count_volumes(files.bold)
    check_length(n_volumes - facts.n_dummy, facts.repetition_time, str(files.bold[0]))
    confounds = read_confounds(files.confounds, files.sidecar, n_volumes, facts.n_dummy)
    regressors = choose_regressors(confounds, choices.strategy)
    if facts.source != BUILTIN:  # which says so itself
        lacking = lacking_tissues(confounds, choices.strategy)
        confounds = replace(confounds, notes=(*confounds.notes, *lacking))
    cosines = confounds.table.filter(regex='^cosine').fillna(0.0)
    kept = censored(confounds.column('framewise_displacement'), choices.censor_fd)
    cleaning = make_cleaning(regressors, cosines, kept, facts.repetition_time, choices.band)
    places = _places(files, facts, anat, choices)
    series = _read(files, facts, choices, places)
    cortex = places[0].cortex
    mean, tsnr = _tsnr(series[0].vertices, cleaning)
    reference = _typical(mean, cortex)
    voxel_signal, voxel_tsnr = np.zeros(0, dtype=bool), np.zeros(0)
    if series[0].voxels is not None:
        voxel_mean, voxel_tsnr = _tsnr(series[0].voxels, cleaning)
        voxel_signal = has_signal(voxel_mean, voxel_tsnr, reference)
    found = PreparedRun(
        series[0], facts, confounds, cleaning, mean, tsnr,
        cortex & has_signal(mean, tsnr, reference), cortex, voxel_signal, voxel_tsnr,
        places[0].points, places[0].weights, places[0].labels, places[0].names,
        _overlap(files, facts, anat),
    )  # fmt: skip
    return found if len(places) == 1 else replace(found, other=_on(found, series[1], places[1]))


def _overlap(files: RunFiles, facts: RunFacts, anat: AnatFiles) -> float:
    """Return the overlap of the brains of series and T1w image; NaN where it is not known."""
    if facts.overlap is not None:
        return facts.overlap
    if facts.space == 'T1w' and files.mask is not None and anat.brain is not None:
        return brain_overlap(files.mask, anat.brain)
    return float('nan')


def _typical(mean: FloatArray, cortex: BoolArray) -> float:
    """Return the median intensity of the cortex that the field of view holds."""
    there = cortex & (np.nan_to_num(mean) > 0)
    return float(np.median(mean[there])) if there.any() else float('nan')


def _on(prepared: PreparedRun, series: RunSeries, places: SampledMesh) -> PreparedRun:
    """Return a run at the vertices of another mesh; voxels and cleaning are the same."""
    cortex = places.cortex
    mean, tsnr = _tsnr(series.vertices, prepared.cleaning)
    return replace(
        prepared, series=series, mean=mean, tsnr=tsnr, cortex=cortex,
        signal=cortex & has_signal(mean, tsnr, _typical(mean, cortex)),
        points=places.points, weights=places.weights, labels=places.labels, names=places.names,
    )  # fmt: skip


def _places(
    files: RunFiles, facts: RunFacts, anat: AnatFiles, choices: Choices
) -> list[SampledMesh]:
    """Return the vertices that the series' space has: the template's mesh, then another one."""
    labels, names = vertex_labels(anat.parcellation, facts.space, choices.density)
    in_volume = len(files.bold) == 1
    edge = voxel_edge(files.bold[0]) if in_volume else 0.0
    if in_volume and facts.space == 'T1w':
        points, weights = ribbon_of_subject(anat.white, anat.pial, anat.tpms, edge)
    else:
        points, weights = ribbon_of_template(choices.density)
    found = [SampledMesh(points, weights, labels, names)]
    if in_volume and anat.other is not None:
        found.append(_places_on_mesh(anat.other, facts, edge))
    return found


def _places_on_mesh(anat: AnatFiles, facts: RunFacts, edge: float) -> SampledMesh:
    """Return the vertices of a derivative's mesh; carried to MNI152 for a series there."""
    points, weights = ribbon_of_subject(anat.white, anat.pial, anat.tpms, edge)
    if facts.space != 'T1w':  # what carries an image from the template carries points to it
        points = carry_points(points.reshape(-1, 3), anat.transforms).reshape(points.shape)
    labels, names = _own_labels(anat.parcellation)
    return SampledMesh(points, weights, labels, names)


def _read(
    files: RunFiles, facts: RunFacts, choices: Choices, places: Sequence[SampledMesh]
) -> list[RunSeries]:
    """Read the series once, and share it out to the meshes."""
    if len(files.bold) > 1:
        return [read_surface_run(files.bold, facts.n_dummy, choices.density)]
    series = read_volume_run(
        files.bold[0], files.mask, facts.n_dummy,
        np.concatenate([one.points for one in places], axis=1),
        np.concatenate([one.weights for one in places], axis=1),
    )  # fmt: skip
    sizes = [len(one.labels) for one in places]
    ends = np.cumsum(sizes)
    return [
        replace(series, vertices=series.vertices[:, end - size : end], n_left=size // 2)
        for size, end in zip(sizes, ends, strict=True)
    ]


def vertex_labels(
    parcellation: Sequence[str | Path], space: str, density: str
) -> tuple[IntArray, dict[int, str]]:
    """Return the labels of both hemispheres' vertices: the subject's own, or the template's.

    Parameters
    ----------
    parcellation : sequence of path
        GIFTI labels of the subject's left and right surface; may be empty.
    space : str
        Of the series; own labels are taken for ``T1w`` only, where vertices are the subject's.
    density : str
        Of the template's mesh, such as ``41k``.

    Returns
    -------
    labels : (n_vertices,) ndarray of int
        Left vertices before right ones.
    names : dict of int to str
        Of each label.
    """
    if space == 'T1w' and parcellation:
        return _own_labels(parcellation)
    mesh = load_template(density)
    return np.concatenate([mesh[h].labels for h in HEMISPHERES]), dict(mesh[HEMISPHERES[0]].names)


def _own_labels(parcellation: Sequence[str | Path]) -> tuple[IntArray, dict[int, str]]:
    """Return the labels that a subject's surfaces have, left before right."""
    halves = [read_labels(path) for path in parcellation]
    return np.concatenate([labels for labels, _ in halves]), dict(halves[0][1])


def _tsnr(
    series: npt.NDArray[np.float32], cleaning: Cleaning, chunk: int = 20_000
) -> tuple[FloatArray, FloatArray]:
    """Return mean and tSNR of each series, slow drifts taken off."""
    operator = cleaning.detrended.astype(np.float32)
    mean, sd = np.empty(series.shape[1]), np.empty(series.shape[1])
    for start in range(0, series.shape[1], chunk):
        part = series[:, start : start + chunk]
        level = part.mean(axis=0, dtype=float)
        mean[start : start + chunk] = level
        sd[start : start + chunk] = (operator @ (part - level.astype(np.float32))).std(axis=0)
    return mean, temporal_snr(mean, sd)


def measure_rest(prepared: PreparedRun, anat: AnatFiles, choices: Choices) -> RestMeasures:
    """Measure local activity and connectivity in a run.

    Parameters
    ----------
    prepared : PreparedRun
        From `prepare`.
    anat : AnatFiles
    choices : Choices
    """
    cleaning = prepared.cleaning
    dof = degrees_of_freedom(
        int(cleaning.kept.sum()), cleaning.n_regressors, choices.band,
        prepared.facts.repetition_time,
    )  # fmt: skip
    groups = find_regions(prepared, anat, choices)
    filtered = _cleaned(cleaning.filtered, _in_percent(prepared))
    maps = _vertex_maps(prepared, filtered, choices)
    # The raw series are averaged first: cleaning is linear, so that one product for a region does
    # what one for each of its voxels would.
    raw = np.hstack([mean_series(places_of(prepared, on_mesh), one) for one, on_mesh in groups])
    regions = standardised(cleaning.filtered @ raw)
    members = joined_members([one for one, _ in groups])
    matrix = np.full((regions.shape[1],) * 2, np.nan)
    if dof > 0:  # whether the runs together have enough is judged when they are joined
        matrix = correlations(regions, regions)
    seed_maps = _seed_maps(prepared, filtered, members, regions) if dof > 0 else {}
    tsnr = np.concatenate([_region_tsnr(one, prepared, on_mesh) for one, on_mesh in groups])
    return RestMeasures(
        maps, seed_maps, members, regions, tsnr, matrix, dof,
        quality_of(prepared, choices, dof, members),
        findings_of(prepared, members, choices.atlas),
    )  # fmt: skip


def measure_on_mesh(prepared: PreparedRun, found: RestMeasures, choices: Choices) -> RestMeasures:
    """Measure maps at the vertices of the mesh of a derivative; regions and seeds are the same.

    Parameters
    ----------
    prepared : PreparedRun
        From `prepare`; its ``other`` mesh is measured.
    found : RestMeasures
        From `measure_rest` of the same run.
    choices : Choices

    Raises
    ------
    ValueError
        If the run was not read on another mesh.
    """
    if prepared.other is None:
        raise ValueError('the run was read on the mesh of the template only')
    other = prepared.other
    filtered = _cleaned(other.cleaning.filtered, _in_percent(other))
    enough = found.dof > 0
    return replace(
        found, maps=_vertex_maps(other, filtered, choices),
        seed_maps=_seed_maps(other, filtered, found.members, found.series) if enough else {},
    )  # fmt: skip


def _seed_maps(
    prepared: PreparedRun, filtered: npt.NDArray[np.float32], members: Members, regions: FloatArray
) -> dict[str, FloatArray]:
    """Correlate the vertices with each seed and parcel."""
    vertices, maps = standardised(filtered), {}
    for index, region in enumerate(members.regions):
        if region.kind in ('seed', 'parcel'):
            found = correlations(regions[:, [index]], vertices)[0]
            maps[region.name] = np.where(prepared.signal, found, np.nan)
    return maps


def _cleaned(operator: FloatArray, series: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Apply a matrix to series; missing values stay missing."""
    return operator.astype(np.float32) @ series


def _in_percent(prepared: PreparedRun) -> npt.NDArray[np.float32]:
    """Return the vertices' series in per cent of their mean; NaN without signal."""
    with np.errstate(invalid='ignore', divide='ignore'):
        factor = np.where(prepared.signal, 100 / prepared.mean, np.nan).astype(np.float32)
    # the mean is taken off first: single precision has seven digits, and cleaning takes it anyway
    series = prepared.series.vertices - prepared.mean.astype(np.float32)
    return np.asarray(series * factor, dtype=np.float32)


def _vertex_maps(
    prepared: PreparedRun, filtered: npt.NDArray[np.float32], choices: Choices
) -> dict[str, FloatArray]:
    """Measure local activity at each vertex."""
    cleaning, signal = prepared.cleaning, prepared.signal
    n = len(signal)
    alff, falff = np.full(n, np.nan), np.full(n, np.nan)
    regressed = _cleaned(cleaning.regressed, _in_percent(prepared)[:, signal])
    alff[signal], falff[signal] = low_frequency(
        regressed, cleaning.kept, prepared.facts.repetition_time, choices.band
    )
    if 1 - cleaning.kept.mean() > LARGEST_CENSORED:
        falff[:] = np.nan
    return {
        'tsnr': np.where(prepared.cortex, prepared.tsnr, np.nan),
        'coverage': np.where(prepared.cortex, signal, np.nan).astype(float),
        'reho': np.where(signal, _reho(prepared, filtered), np.nan),
        'alff': alff,
        'alffz': (alff - np.nanmean(alff)) / np.nanstd(alff) if signal.any() else alff,
        'falff': falff,
    }


def _reho(prepared: PreparedRun, filtered: npt.NDArray[np.float32]) -> FloatArray:
    """Return ReHo at the vertices: of voxels where there are any, else of a ball of vertices."""
    series = prepared.series
    if series.voxels is None or series.inside is None or series.affine is None:
        return _reho_of_vertices(prepared, filtered)
    inside = series.inside.copy()
    inside[series.inside] = prepared.voxel_signal
    cleaned = _cleaned(prepared.cleaning.filtered, series.voxels[:, prepared.voxel_signal])
    found = regional_homogeneity(cleaned, inside)
    return sample_map(found, series.affine, prepared.points, prepared.weights)


def _reho_of_vertices(prepared: PreparedRun, filtered: npt.NDArray[np.float32]) -> FloatArray:
    """Compare the series of all vertices with signal within `BALL_MM` of each."""
    # The middle depth stands for the ribbon: distances along the cortex hardly depend on it.
    middle = prepared.points[len(prepared.points) // 2]
    found = np.full(len(middle), np.nan)
    n_left = prepared.series.n_left
    for half in (slice(0, n_left), slice(n_left, None)):
        there = np.flatnonzero(prepared.signal[half]) + (half.start or 0)
        tree = cKDTree(middle[there])
        near = tree.sparse_distance_matrix(tree, BALL_MM, output_type='coo_matrix')
        ones = np.ones(len(near.data), dtype=np.float32)
        members = sparse.csr_matrix((ones, (near.row, near.col)), shape=near.shape)
        # A vertex is its own neighbour, at a distance of zero, which a sparse matrix does not
        # keep.
        members = (members + sparse.eye(len(there), dtype=np.float32)).minimum(1).tocsr()
        found[there] = homogeneity_of_sets(filtered[:, there], members)
    return found


def sample_map(
    values: FloatArray, affine: FloatArray, points: FloatArray, weights: FloatArray
) -> FloatArray:
    """Sample a map with gaps in the ribbon; half of a sample must be known.

    Parameters
    ----------
    values : (i, j, k) ndarray
        NaN where unknown.
    affine : (4, 4) ndarray
    points : (n_depths, n_vertices, 3) ndarray
    weights : (n_depths, n_vertices) ndarray
    """
    flat = points.reshape(-1, 3)
    known = np.nan_to_num(sample(np.isfinite(values), affine, flat)).reshape(weights.shape)
    found = sample(np.nan_to_num(values), affine, flat).reshape(weights.shape)
    share = np.where(known >= 0.5, weights, 0.0)
    with np.errstate(invalid='ignore', divide='ignore'):
        # Zeros stood for what is not known: divided by the known share, the rest is a mean of its
        # own.
        each = np.where(share > 0, found / known, 0.0)
        return np.asarray((share * each).sum(axis=0) / share.sum(axis=0))


def find_regions(
    prepared: PreparedRun, anat: AnatFiles, choices: Choices
) -> list[tuple[Members, bool]]:
    """Find the places of all regions; also whether they are vertices.

    Parameters
    ----------
    prepared : PreparedRun
    anat : AnatFiles
    choices : Choices
    """
    series = prepared.series
    on_mesh = series.voxels is None
    transforms = anat.transforms if prepared.facts.space == 'T1w' else None
    places = places_in_template(series, transforms, choices.density)
    signal = prepared.signal if on_mesh else prepared.voxel_signal
    volume = None if series.affine is None else float(abs(np.linalg.det(series.affine[:3, :3])))
    wanted = [*seed_regions(choices.seeds), *seitzman_regions()]
    groups = [
        (members_of_spheres(wanted, places, signal, volume), on_mesh),
        (
            members_of_parcels(prepared.labels, prepared.names, prepared.signal, series.n_left),
            True,
        ),
    ]
    if choices.atlas is not None and not on_mesh:
        groups.append((members_of_atlas(choices.atlas, places, signal), False))
    return groups


def places_of(prepared: PreparedRun, on_mesh: bool) -> npt.NDArray[np.float32]:
    """Return the series of the places of which regions are made: vertices or voxels.

    Parameters
    ----------
    prepared : PreparedRun
        A run on surfaces has no voxels: vertices are taken.
    on_mesh : bool
        Whether the regions are those of the mesh.

    Returns
    -------
    (n_volumes, n_places) ndarray of float32
    """
    voxels = prepared.series.voxels
    return prepared.series.vertices if on_mesh or voxels is None else voxels


def _region_tsnr(members: Members, prepared: PreparedRun, on_mesh: bool) -> FloatArray:
    """Return the median tSNR of each region."""
    tsnr = prepared.tsnr if on_mesh else prepared.voxel_tsnr
    return np.array([float(np.median(tsnr[w])) if len(w) else np.nan for w in members.where])


def joined_members(groups: Sequence[Members]) -> Members:
    """Join groups of regions: seeds, parcels, spheres.

    Parameters
    ----------
    groups : sequence of Members
        Kept in this order; a region may occur in two of them.
    """
    regions: list[Region] = []
    where: list[npt.NDArray[np.int64]] = []
    coverage: list[float] = []
    reasons: list[str] = []
    for one in groups:
        regions += one.regions
        where += one.where
        coverage += one.coverage
        reasons += one.reasons
    return Members(tuple(regions), tuple(where), tuple(coverage), tuple(reasons))


CARPET_ROWS = 400
"""Vertices that the carpet plot shows, evenly spaced over the cortex with signal."""


def carpet_of(prepared: PreparedRun) -> Carpet:
    """Choose what the carpet plot of a run shows: series before and after cleaning, and motion.

    Parameters
    ----------
    prepared : PreparedRun
        Of whose vertices with signal about `CARPET_ROWS`, evenly spread, are taken.
    """
    cleaning = prepared.cleaning
    there = np.flatnonzero(prepared.signal)
    rows = there[:: max(1, len(there) // CARPET_ROWS)][:CARPET_ROWS]
    series = _in_percent(prepared)[:, rows]
    after = np.full((len(rows), len(cleaning.kept)), np.nan)
    after[:, cleaning.kept] = (cleaning.filtered @ series).T
    return Carpet(
        (cleaning.detrended @ series).T, after,
        prepared.confounds.column('framewise_displacement'),
        _changes(prepared), prepared.facts.repetition_time,
    )  # fmt: skip


def _changes(prepared: PreparedRun) -> FloatArray:
    """Return the standardised DVARS; the change from a dropped volume to the first is unknown."""
    found = np.array(prepared.confounds.column('std_dvars'), dtype=float)
    if prepared.facts.n_dummy:
        found[:1] = np.nan
    return found


def quality_of(
    prepared: PreparedRun, choices: Choices, dof: float, members: Members | None = None
) -> Row:
    """Return the measures of quality of a run, as its table names them.

    Parameters
    ----------
    prepared : PreparedRun
        Framewise displacement counts over all volumes but dummies, tSNR over the cortex.
    choices : Choices
        Of which the strategy is told.
    dof : float
        Degrees of freedom that are left.
    members : Members, optional
        Regions at rest; none of a task.

    Returns
    -------
    dict
        Displacements in mm, times in s or, as the name says, minutes; the rest without unit. NaN
        where unknown.
    """
    cleaning, facts = prepared.cleaning, prepared.facts
    motion = prepared.confounds.column('framewise_displacement')
    known = motion[np.isfinite(motion)]
    dvars = _changes(prepared)
    n_kept = int(cleaning.kept.sum())
    figures: dict[str, Any] = {
        'n_volumes': len(cleaning.kept), 'n_dummy': facts.n_dummy, 'n_kept': n_kept,
        'minutes_left': n_kept * facts.repetition_time / 60,
        'repetition_time': facts.repetition_time,
        'fd_mean': float(known.mean()) if len(known) else float('nan'),
        'fd_max': float(known.max()) if len(known) else float('nan'),
        'fd_above_02': int((known > 0.2).sum()), 'fd_above_05': int((known > SPIKE_MM).sum()),
        'dvars_mean': float(np.nanmean(dvars)) if np.isfinite(dvars).any() else float('nan'),
        'n_regressors': cleaning.n_regressors, 'dof': dof,
        'tsnr_median': _median(prepared.tsnr[prepared.cortex]),
        'coreg_dice': prepared.overlap, 'strategy': choices.strategy,
        'n_regions': 0 if members is None else sum(not reason for reason in members.reasons),
    }  # fmt: skip
    acc = np.isin(prepared.labels, [c for c, n in prepared.names.items() if n in ACC_LABELS])
    left = np.arange(len(acc)) < prepared.series.n_left
    for side, half in (('L', left), ('R', ~left)):
        figures[f'coverage_{side}'] = _mean(prepared.signal[half & prepared.cortex])
        figures[f'acc_coverage_{side}'] = _mean(prepared.signal[half & acc])
        figures[f'acc_tsnr_{side}'] = _median(prepared.tsnr[half & acc])
    return figures


def _mean(values: BoolArray) -> float:
    """Mean; NaN of nothing."""
    return float(values.mean()) if values.size else float('nan')


def _median(values: FloatArray) -> float:
    """Median of the finite values; NaN of nothing."""
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else float('nan')


def dof_finding(dof: float, n_kept: float, n_regressors: float) -> str:
    """Say in a sentence that few degrees of freedom are left; nothing where there are enough.

    Parameters
    ----------
    dof : float
        Over all runs.
    n_kept, n_regressors : float
        Volumes that were not censored, and what was regressed out of each run.

    Examples
    --------
    >>> dof_finding(44, 200, 28)
    ''
    """
    start = f'{dof:.0f} degrees of freedom are left ({n_kept:.0f} volumes, {n_regressors:.0f} '
    if dof < LEAST_DOF:
        return f'{start}regressors in a run), fewer than {LEAST_DOF}: no correlation is given.'
    if dof < FEW_DOF:
        return (
            f'{start}regressors in a run): a strategy with fewer regressors, or no censoring, '
            'leaves more.'
        )
    return ''


def findings_of(prepared: PreparedRun, members: Members, atlas: Path | None = None) -> list[str]:
    """Say in sentences what a reader must know of a run.

    Parameters
    ----------
    prepared : PreparedRun
        With its censoring and motion.
    members : Members
        Regions, with the reason why one is not measured.
    atlas : Path, optional
        Labelled image of which a run on surfaces has no voxel.

    Returns
    -------
    list of str
        For report and table; empty where nothing is unusual.
    """
    cleaning = prepared.cleaning
    found = list(prepared.facts.notes)
    found += [text for text in prepared.confounds.notes if text not in found]
    motion = np.nan_to_num(prepared.confounds.column('framewise_displacement'))
    spikes = int((motion > SPIKE_MM).sum())
    if spikes and cleaning.kept.all():
        found.append(
            f'{spikes} volumes move more than {SPIKE_MM:g} mm and are kept; --func-censor-fd '
            f'{SPIKE_MM:g} leaves them and the one after each out.'
        )
    if 1 - cleaning.kept.mean() > LARGEST_CENSORED:
        found.append(
            f'{1 - cleaning.kept.mean():.0%} of the volumes are censored: fALFF is not given.'
        )
    if prepared.overlap < LOW_OVERLAP:
        found.append(
            f'the brains of the series and of the T1w image overlap by {prepared.overlap:.2f} '
            'only: they seem to lie apart (is the T1w image the one that was used?), or the '
            'series shows a part of the brain.'
        )
    lost = [r.name for r, why in zip(members.regions, members.reasons, strict=True)
            if why and r.kind in ('seed', 'parcel')]  # fmt: skip
    if lost:
        found.append(f'not measured for want of signal: {", ".join(lost)}.')
    if prepared.series.voxels is None:
        found.append(
            f'ReHo is that of the vertices within {BALL_MM:g} mm, which is not comparable with '
            'that of 27 voxels; subcortical seeds are not measured on a surface.'
        )
        if atlas is not None:
            found.append(
                f'--func-atlas {atlas.name} is an image, and a series on a surface has no voxels: '
                'its regions are not measured; take the series in T1w or MNI152 (--func-space).'
            )
    return found
