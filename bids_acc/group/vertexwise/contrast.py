"""Where groups differ: a contrast at every vertex of a region or of the whole cortex.

Maps, a table of contrasts, a table of clusters and pictures. The statistics are in
`bids_acc.group.formulas.tfce`.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from bids_acc.derivatives.outputs import output_path, write_sidecar
from bids_acc.files.writing import write_bytes
from bids_acc.group.formulas.design import Design, DesignError, build_design
from bids_acc.group.formulas.permutation import contrast_first
from bids_acc.group.formulas.tfce import Mesh, VertexContrast, components, contrast_at_vertices
from bids_acc.group.opnmf.features import VertexMetrics
from bids_acc.group.parcels.shown import shown_surfaces, size_of, views_of
from bids_acc.group.statistics.analyses.modelling import Sample, comparable_groups
from bids_acc.group.statistics.model.content import Pairs, VertexwiseEntry
from bids_acc.group.statistics.rows.kinds import Effect, ResampledTest
from bids_acc.group.statistics.rows.row import Row
from bids_acc.group.statistics.study.data import Measure, Study, group_counts
from bids_acc.report.figures import save_for_paper
from bids_acc.report.reading import explained
from bids_acc.report.surface_view import SurfaceMap, still_picture
from bids_acc.report.wording import metric_words
from bids_acc.surfaces.geometry import vertex_areas
from bids_acc.surfaces.gifti import map_image
from bids_acc.surfaces.inflated import InflatedHemisphere
from bids_acc.surfaces.template import DENSITIES, load_template
from bids_acc.typing import BoolArray, FloatArray

MAX_MISSING = 0.1
"""Share of vertices without a value above which a person is left out of a map (own convention), of
those that more than half of the people have. Vertices that then lack a value in anybody are left
out for all."""

CAPTION = (
    't of {contrast} at each vertex, adjusted as in the table; dark lines enclose the vertices '
    'where the corrected p (threshold-free cluster enhancement, {n} permutations, family-wise '
    'over all vertices of both hemispheres) is at most {alpha:g}.'
)


@dataclass(frozen=True)
class VertexResult:
    """One contrast of one metric in one cohort."""

    row: Row
    """For the table ``vertexwise``."""
    found: VertexContrast | None = None
    """None where it could not be done."""
    inside: BoolArray | None = None
    """(n_vertices of the data,) vertices that were analysed."""


def vertexwise(study: Study, data: VertexMetrics, entropy: int) -> Iterator[VertexResult]:
    """Compare the groups at every vertex, as the model file's ``Vertexwise`` asks.

    Parameters
    ----------
    study : Study
        Who is in which group, with which covariates.
    data : VertexMetrics
        Maps of the sessions.
    entropy : int
        Seed from which each contrast gets a generator of its own.

    Yields
    ------
    VertexResult
    """
    wanted = study.model.content['Vertexwise']
    if wanted is None:
        return
    metrics = [m for m in wanted['Metrics'] or data.metrics if m in data.metrics]
    for cohort, frame in study.cohorts():
        for metric in metrics:
            yield from _of_metric(study, wanted, cohort, frame, data, metric, entropy)


def _of_metric(
    study: Study,
    wanted: VertexwiseEntry,
    cohort: str,
    frame: pd.DataFrame,
    data: VertexMetrics,
    metric: str,
    entropy: int,
) -> Iterator[VertexResult]:
    """Yield the contrasts of one metric in one cohort."""
    sample, maps = _sample(study, cohort, frame, data, metric)
    caution, problem = '', ''
    try:
        sample, caution = comparable_groups(sample)
    except DesignError as error:
        problem = str(error)
    complete, Y = sample.frame, maps.loc[sample.frame.index].to_numpy(dtype=float)
    # all people at all vertices: the permutation exchanges whole maps
    inside = np.isfinite(Y).all(axis=0) & (np.ptp(Y, axis=0) > 0 if len(Y) else False)
    common = replace(sample.row(analysis='vertexwise', term='group'), note=caution)
    part = data.restrict(inside)
    design = problem or _design(study, complete, part)
    if isinstance(design, str):
        yield VertexResult(replace(common, note=f'not done: {design}'))
        return
    # extents are areas and not counts, which would follow how densely the mesh covers gyri and
    # sulci
    mesh = Mesh.of(part.neighbours or [], _areas(part))
    for label, weights in _contrasts(study, wanted['Pairs'], design):
        vector = np.sum([w * design.level_weights('group', v) for v, w in weights.items()], axis=0)
        # a generator for each contrast: one that is added must not change the p of the others
        name = zlib.crc32(f'{cohort} {metric} {label}'.encode())
        rng = np.random.default_rng(np.random.SeedSequence([entropy, name]))
        X = contrast_first(design.X, vector)
        found = contrast_at_vertices(Y[:, inside], X, mesh, wanted['Permutations'], rng)
        row = replace(
            common, contrast=label, formula=f'{metric} ~ {design.formula}',
            covariates=tuple(c for c in study.model.covariate_names if c in design.terms),
        )  # fmt: skip
        yield VertexResult(_filled(row, found, part, mesh, study.model.alpha), found, inside)


def _sample(
    study: Study, cohort: str, frame: pd.DataFrame, data: VertexMetrics, metric: str
) -> tuple[Sample, pd.DataFrame]:
    """Return the complete people of a cohort, and their maps in rows of the same index."""
    complete, excluded = study.missing(frame, study.model.covariate_names)
    positions = _sessions_of(complete, data)
    excluded['no vertex maps'] = int((positions < 0).sum())
    complete, positions = complete[positions >= 0], positions[positions >= 0]
    Y = data.values[data.metrics.index(metric), positions]
    # people are judged by vertices that the others have: the medial wall is missing in everybody
    # and tells of nobody
    usual = np.isnan(Y).mean(axis=0) < 0.5 if len(Y) else np.zeros(Y.shape[1], dtype=bool)
    few = (
        np.isnan(Y[:, usual]).mean(axis=1) > MAX_MISSING if usual.any() else np.ones(len(Y), bool)
    )
    excluded[f'{metric} missing at over {100 * MAX_MISSING:g} % of the vertices'] = int(few.sum())
    complete = complete[~few]
    measure = Measure(f'{metric} at some vertices', 'column', metric)
    counts = group_counts(complete, study.group_levels(frame))
    sample = Sample(complete, cohort, measure, excluded, counts)
    return sample, pd.DataFrame(Y[~few], index=complete.index)


def _design(study: Study, people: pd.DataFrame, part: VertexMetrics) -> Design | str:
    """Return the design of the declared model, or why there can be none."""
    if not len(part.columns):
        return 'no vertex has a value in everybody'
    if part.neighbours is None:
        return 'it is not known which vertices are neighbours (no surface of this mesh)'
    terms = ['group', *study.model.covariate_names]
    factors = study.factors(people)
    try:
        return build_design(people, terms, factors, keep=['group'], splines=study.splines)
    except DesignError as error:
        return str(error)


def _filled(row: Row, found: VertexContrast, part: VertexMetrics, mesh: Mesh, alpha: float) -> Row:
    """Fill in the row of one contrast: the peak, and how much of the surface is significant."""
    peak = int(np.argmax(np.abs(found.enhanced)))
    at = part.columns.iloc[peak]
    significant = found.p <= alpha
    return replace(
        row, family='vertexwise',
        test=ResampledTest(statistic='TFCE', value=float(found.enhanced[peak]), df2=found.df,
                           p=float(found.p.min()), n_resamples=len(found.null)),
        effect=Effect('t_at_peak', float(found.t[peak])),
        method=f'linear model at {len(found.t)} vertices; threshold-free cluster enhancement '
        f'(E 1, H 2), {len(found.null)} permutations (Freedman-Lane), family-wise p',
        note='; '.join(filter(None, [row.note, 'the peak is selected: its t is too large'])),
        extra={
            'n_vertices': len(found.t),
            'n_significant': int(significant.sum()),
            'share_of_area': float(mesh.areas[significant].sum() / mesh.areas.sum()),
            'peak_hemisphere': at['hemisphere'], 'peak_vertex': int(at['vertex']),
            'peak_region': _region(part, peak), 'estimate': float(found.estimate[peak]),
        },
    )  # fmt: skip


def _contrasts(
    study: Study, which: Pairs, design: Design
) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield the pairs and planned contrasts of the groups that are there."""
    present = list(design.levels['group'])
    for a, b in study.model.group.pairs(which, present):
        yield f'{a} - {b}', {a: 1.0, b: -1.0}
    for contrast in study.model.contrasts:
        if set(contrast.weights) <= set(present):
            yield contrast.name, dict(contrast.weights)


def _sessions_of(frame: pd.DataFrame, data: VertexMetrics) -> np.ndarray:
    """Return the position of each person's session among the maps; -1 where there is none."""
    keys = data.sessions[['participant_id', 'session_id']].astype(object)
    keys = keys.where(keys.notna(), '')
    where = {key: i for i, key in enumerate(keys.itertuples(index=False, name=None))}
    wanted = frame[['participant_id', 'session_id']].itertuples(index=False, name=None)
    return np.array([where.get(key, -1) for key in wanted], dtype=int)


def _areas(part: VertexMetrics) -> FloatArray | None:
    """Return the area of each vertex on the template's mid-cortical surface in mm2, if known."""
    if part.surfaces is None and part.density not in DENSITIES:
        return None
    areas = np.empty(len(part.columns))
    if part.surfaces is not None:
        surfaces = {side: (one.vertices, one.faces) for side, one in part.surfaces.items()}
    else:
        surfaces = {side: ((mesh.white + mesh.pial) / 2, mesh.faces)
                    for side, mesh in load_template(part.density).items()}  # fmt: skip
    for side, mesh in surfaces.items():
        own = (part.columns['hemisphere'] == side).to_numpy()
        whole = vertex_areas(*mesh)
        areas[own] = whole[part.columns.loc[own, 'vertex'].to_numpy()]
    return areas


def _region(part: VertexMetrics, vertex: int) -> str:
    """Return the name of a vertex' region in the Desikan-Killiany atlas, if known."""
    if not part.on_template or part.density not in DENSITIES:
        return ''
    at = part.columns.iloc[vertex]
    mesh = load_template(part.density)[at['hemisphere']]
    return mesh.names.get(int(mesh.labels[at['vertex']]), '')


def clusters(result: VertexResult, data: VertexMetrics, alpha: float) -> pd.DataFrame:
    """List the connected vertices of one sign whose corrected p is at most alpha.

    Parameters
    ----------
    result : VertexResult
        One contrast.
    data : VertexMetrics
        What it was made from.
    alpha : float
        Level.

    Returns
    -------
    DataFrame
        One row for each cluster, the largest first: hemisphere, number of vertices, area on the
        template (mm2), smallest p, and t, vertex, MNI coordinates (mm) and region of the peak.
    """
    columns = ['cohort', 'metric', 'contrast', 'hemisphere', 'n_vertices', 'area_mm2',
               'p_corrected', 'peak_t', 'peak_vertex', 'peak_x',
               'peak_y', 'peak_z', 'region']  # fmt: skip
    rows = []
    if result.found is not None and result.inside is not None:
        part, found = data.restrict(result.inside), result.found
        mesh, areas = Mesh.of(part.neighbours or []), _areas(part)
        for sign in (1, -1):
            labels = components(mesh, (found.p <= alpha) & (sign * found.t > 0))
            for number in range(labels.max(initial=-1) + 1):
                own = np.flatnonzero(labels == number)
                peak = int(own[np.argmax(np.abs(found.enhanced[own]))])
                at = part.columns.iloc[peak]
                rows.append((
                    result.row.cohort, result.row.metric, result.row.contrast, at['hemisphere'],
                    len(own), np.nan if areas is None else areas[own].sum(), found.p[own].min(),
                    found.t[peak], at['vertex'], *_place(part, peak), _region(part, peak),
                ))  # fmt: skip
    table = pd.DataFrame(rows, columns=columns)
    return table.sort_values('n_vertices', ascending=False, kind='stable', ignore_index=True)


def _place(part: VertexMetrics, vertex: int) -> tuple[float, float, float]:
    """Return where a vertex lies on the template, in mm of MNI space."""
    if not part.on_template or part.density not in DENSITIES:
        return (np.nan,) * 3
    at = part.columns.iloc[vertex]
    mesh = load_template(part.density)[at['hemisphere']]
    x, y, z = (mesh.white[at['vertex']] + mesh.pial[at['vertex']]) / 2
    return float(x), float(y), float(z)


def whole_maps(
    values: FloatArray, result: VertexResult, data: VertexMetrics
) -> dict[str, FloatArray]:
    """Put values of the analysed vertices onto the whole meshes; NaN elsewhere.

    Parameters
    ----------
    values : (n_analysed,) ndarray of float64
        One for each analysed vertex.
    result : VertexResult
        Tells which these are.
    data : VertexMetrics
        Tells the meshes.
    """
    columns = data.columns[result.inside]
    maps = {}
    for side, size in zip('LR', data.mesh_sizes, strict=True):
        own = (columns['hemisphere'] == side).to_numpy()
        maps[side] = np.full(size, np.nan)
        maps[side][columns.loc[own, 'vertex'].to_numpy()] = values[own]
    return maps


def write_vertexwise(
    results: Sequence[VertexResult], data: VertexMetrics, folder: Path, alpha: float
) -> list[tuple[Path, str, str]]:
    """Write the maps of all contrasts, and a picture of each that found something.

    Parameters
    ----------
    results : sequence of VertexResult
        Contrasts.
    data : VertexMetrics
        What they were made from.
    folder : Path
        Of the model, for example ``group/model-<name>``.
    alpha : float
        Level that the pictures outline.

    Returns
    -------
    list of (path, title, caption)
        For the page.
    """
    entries = []
    for result in results:
        found, row = result.found, result.row
        if found is None:
            continue
        maps = {
            't': whole_maps(found.t, result, data),
            'tfce': whole_maps(found.enhanced, result, data),
            'p': whole_maps(found.p, result, data),
        }
        name = _plain(f'{row.metric} {row.contrast}')
        entities = {} if row.cohort == 'all' else {'cohort': _plain(row.cohort)}
        for side in data.columns['hemisphere'].unique():
            fields = {'template': data.template, 'hemisphere': side, 'density': data.density}
            path = output_path('group_vertexwise', folder, entities, desc=name, **fields)
            image = map_image(np.stack([maps[key][side] for key in maps]), side, list(maps))
            write_bytes(path, image.to_bytes())
            facts = {'Contrast': row.contrast, 'Metric': row.metric, 'Model': row.formula,
                     'Permutations': len(found.null), 'DegreesOfFreedom': found.df}  # fmt: skip
            write_sidecar('group_vertexwise', path, facts)
        if (found.p <= alpha).any() and (surfaces := shown_surfaces(data)):
            entries.append(_picture(result, maps, folder, alpha, surfaces))
    return entries


def _plain(text: str) -> str:
    """Return letters and digits only, as labels of file names need them."""
    return re.sub(r'[^A-Za-z0-9]+', '', text.replace(' - ', 'V'))


def _picture(
    result: VertexResult, maps: dict[str, dict[str, FloatArray]], folder: Path, alpha: float,
    surfaces: Mapping[str, InflatedHemisphere],
) -> tuple[Path, str, str]:  # fmt: skip
    """Draw t, with the significant vertices outlined."""
    row, found = result.row, result.found
    assert found is not None  # noqa: S101 - only called with one
    far = float(np.ceil(np.abs(found.t).max()))
    shown = SurfaceMap(f'{metric_words(row.metric)}, {row.contrast}', maps['t'], 't', (-far, far),
                       n_vertices=size_of(surfaces))  # fmt: skip
    outline = {side: (maps['p'][side] <= alpha).astype(int) for side in 'LR'}
    figure = still_picture([shown], outline, views_of(surfaces), surfaces)
    where = '' if row.cohort == 'all' else f', {row.cohort}'
    name = '_'.join(map(_plain, (row.cohort, row.metric, row.contrast)))
    path = folder / 'figures' / f'vertexwise_{name}.svg'
    title = f'{metric_words(row.metric)} at each vertex, {row.contrast}{where}'
    caption = CAPTION.format(contrast=row.contrast, n=len(found.null), alpha=alpha)
    return (
        save_for_paper(figure, path),
        title[:1].upper() + title[1:],
        explained('vertexwise', caption),
    )
