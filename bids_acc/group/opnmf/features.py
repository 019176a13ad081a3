"""From maps at vertices to the non-negative matrix that is factorized."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from bids_acc.exceptions import InputDataError
from bids_acc.files.meshes import TEMPLATE_MESH
from bids_acc.surfaces.cohort_surface import MeanSurface
from bids_acc.typing import BoolArray, FloatArray, IntArray

BOTH = 'both'
"""Word for both hemispheres."""
SIGNED_METRICS = frozenset({'mo'})
"""Metrics that may be negative; in all others a value of 0 or below means that nothing was
measured (medial wall, outside the field of view). Exactly 0 means so in every metric."""
PARTIAL_VOLUME = {
    'white': 'share of white matter in the samples',
    'csf': 'share of what is no brain tissue in the samples',
    'faiso': 'FA that noise would make of isotropic tissue',
}
"""What stands beside diffusion metrics at the vertices, in words: no responses but covariates. Of
these, 0 is a value."""
UNITS = {
    'thickness': 'mm', 'area': 'mm2', 'volume': 'mm3', 'gmvolume': 'mm3', 'gmdensity': '1',
    'fa': '1', 'fawm': '1', 'md': 'mm2/s', 'ad': 'mm2/s', 'rd': 'mm2/s', 'mk': '1',
    'icvf': '1', 'isovf': '1', 'od': '1', 'mo': '1', 'reho': '1', 'alff': '%', 'falff': '1',
    'fc': '1', 'psc': '%', 'mtr': '%', 'mtrgm': '%', 'mtrwm': '%', 'white': '1', 'csf': '1',
    'faiso': '1',
}  # fmt: skip
"""Unit of each metric, as stored."""


@dataclass(frozen=True)
class VertexMetrics:
    """Maps of several metrics at the same vertices, one row for each subject's session."""

    values: FloatArray
    """(n_metrics, n_sessions, n_vertices) in physical units; NaN where nothing was measured."""
    metrics: tuple[str, ...]
    """Name of each metric."""
    sessions: pd.DataFrame
    """One row for each session: ``participant_id``, ``session_id`` and any others."""
    columns: pd.DataFrame
    """One row for each vertex: ``hemisphere`` (L or R) and ``vertex`` (index in its mesh)."""
    mesh_sizes: tuple[int, int] = (0, 0)
    """Vertices in the left and right mesh."""
    density: str = ''
    """Density entity of the mesh, e.g. ``41k``."""
    template: str = TEMPLATE_MESH
    """Name of the mesh's template."""
    surfaces: Mapping[str, MeanSurface] | None = None
    """Mean mid-surface of each hemisphere on the mesh of a derivative; None on the template's."""
    excluded: pd.DataFrame | None = None
    """Sessions left out, with ``reason``."""
    notes: tuple[str, ...] = ()
    """Decisions worth a line in the report."""
    neighbours: list[IntArray] | None = None
    """Neighbours of each vertex on the mesh, by position; ``None`` where the mesh is unknown."""

    @property
    def on_template(self) -> bool:
        """Whether vertices are those of the template, whose places and regions are known."""
        return self.template == TEMPLATE_MESH

    @property
    def n_sessions(self) -> int:
        """Number of sessions."""
        return len(self.sessions)

    def take(self, rows: npt.ArrayLike) -> VertexMetrics:
        """Return the maps of some of the sessions.

        Parameters
        ----------
        rows : array_like
            Positions of sessions, or (n_sessions,) mask.

        Returns
        -------
        VertexMetrics
            Sessions in the order of ``rows``.
        """
        rows = np.asarray(rows)
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        sessions = self.sessions.iloc[rows].reset_index(drop=True)
        return replace(self, values=self.values[:, rows], sessions=sessions)

    def restrict(self, vertices: BoolArray) -> VertexMetrics:
        """Return the maps at some of the vertices.

        Parameters
        ----------
        vertices : (n_vertices,) ndarray of bool
            True for those that stay.

        Returns
        -------
        VertexMetrics
            Neighbours are counted anew; those that left are no neighbours any more.
        """
        columns = self.columns[vertices].reset_index(drop=True)
        values = self.values[:, :, vertices]
        position = np.full(len(vertices), -1)
        position[vertices] = np.arange(len(columns))
        near = None
        if self.neighbours is not None:
            near = [position[self.neighbours[v]] for v in np.flatnonzero(vertices)]
            near = [row[row >= 0] for row in near]
        return replace(self, values=values, columns=columns, neighbours=near)

    def hemisphere(self, name: str) -> VertexMetrics:
        """Return the maps of one hemisphere.

        Parameters
        ----------
        name : {'L', 'R'}
            The side.

        Returns
        -------
        VertexMetrics
            ``mesh_sizes`` stays that of both.
        """
        return self.restrict((self.columns['hemisphere'] == name).to_numpy())


@dataclass(frozen=True)
class FeatureMatrix:
    """The matrix that is factorized, with both legends and every constant that made it."""

    X: FloatArray
    """(n_observations, n_vertices), non-negative."""
    rows: pd.DataFrame
    """One row for each observation: participant, session and metric."""
    columns: pd.DataFrame
    """One row for each vertex: ``hemisphere`` and ``vertex``."""
    constants: pd.DataFrame
    """Mean, standard deviation and unit of each metric, and the common shift."""


def mask_unmeasured(values: npt.ArrayLike, metric: str) -> FloatArray:
    """Replace what was not measured by NaN.

    Parameters
    ----------
    values : array_like
        Map values in physical units.
    metric : str
        Name of the metric; only `SIGNED_METRICS` may be negative, and of `PARTIAL_VOLUME` every
        number is a value.

    Returns
    -------
    ndarray of float64
        Of the same shape.

    Examples
    --------
    >>> mask_unmeasured([2.5, 0.0, -1.0], 'thickness')
    array([2.5, nan, nan])
    >>> mask_unmeasured([0.5, 0.0, -1.0], 'mo')
    array([ 0.5,  nan, -1. ])
    """
    values = np.array(values, dtype=np.float64)
    bad = values == 0 if metric in SIGNED_METRICS else values <= 0
    if metric in PARTIAL_VOLUME:
        bad = np.zeros(values.shape, dtype=bool)
    values[bad | ~np.isfinite(values)] = np.nan
    return values


def complete_cases(
    data: VertexMetrics, max_missing: float = 0.05, max_vertex_missing: float = 0.1
) -> tuple[VertexMetrics, BoolArray]:
    """Leave out vertices and sessions with many gaps, and close the small gaps that remain.

    In this order: sessions that lack more than half of the vertices in some metric are left
    out; then vertices that more than ``max_vertex_missing`` of the others lack; then sessions
    that still lack more than ``max_missing``. A gap that remains takes the mean of the
    neighbouring vertices of the same map, so that nothing passes between subjects; a vertex
    whose gap cannot be closed so (the mesh is unknown, no neighbour has a value) is left out.

    Parameters
    ----------
    data : VertexMetrics
        Maps with NaN where nothing was measured.
    max_missing : float
        Largest share of missing vertices, in any metric, with which a session is kept.
    max_vertex_missing : float
        Largest share of sessions, in any metric, that may lack a vertex that is kept.

    Returns
    -------
    data : VertexMetrics
        Without gaps; `VertexMetrics.excluded` names the sessions left out.
    vertices : (n_vertices,) ndarray of bool
        Vertices of the input that were kept.

    Raises
    ------
    InputDataError
        If no session or no vertex is left.
    """
    missing = np.isnan(data.values)
    somewhere = np.logical_not(missing.all(axis=(0, 1)))
    if not somewhere.any():
        raise InputDataError('group: no vertex of the region has a value in any session.')
    # first those who lack most of the region: they would take its vertices from everybody else
    keep = missing[:, :, somewhere].mean(axis=2).max(axis=0) <= 0.5
    share = missing[:, keep].mean(axis=1).max(axis=0) if keep.any() else np.ones(len(somewhere))
    vertices: BoolArray = np.asarray(somewhere & (share <= max_vertex_missing))
    lacking = missing[:, :, vertices if vertices.any() else somewhere].mean(axis=2)
    keep &= lacking.max(axis=0) <= max_missing
    if not keep.any():
        raise InputDataError(
            f'group: every session lacks more than {max_missing:.0%} of the vertices of the '
            'region; look at the field of view and the registration.'
        )
    if not vertices.any():
        raise InputDataError('group: no vertex of the region has a value in enough sessions.')
    kept = data.take(keep).restrict(vertices)
    values, filled = _close_gaps(kept)
    closed = np.logical_not(np.isnan(values).any(axis=(0, 1)))
    if not closed.any():
        raise InputDataError('group: no vertex of the region has a value in every session.')
    kept = replace(kept, values=values).restrict(closed)
    note = (
        f'{int((~keep).sum())} sessions left out for missing vertices; vertices left out: '
        f'{int((~somewhere).sum())} that no session has, {int((somewhere & ~vertices).sum())} '
        f'that many lack, {int((~closed).sum())} whose gaps could not be closed; '
        f'{filled} gaps ({filled / values.size:.2%} of all values) closed from neighbours.'
    )
    vertices[np.flatnonzero(vertices)[~closed]] = False
    before = [] if data.excluded is None else [data.excluded]
    everything = pd.concat([*before, _excluded(data, keep, lacking)], ignore_index=True)
    return replace(kept, excluded=everything, notes=(*data.notes, note)), vertices


def _excluded(data: VertexMetrics, keep: BoolArray, lacking: FloatArray) -> pd.DataFrame:
    """Name the sessions that are left out, with the metric that lacks most."""
    table = data.sessions[['participant_id', 'session_id']][~keep].copy()
    worst = [data.metrics[int(i)] for i in lacking.argmax(axis=0)]
    table['reason'] = [
        f'{lacking[:, i].max():.1%} of the vertices lack {worst[i]}' for i in np.flatnonzero(~keep)
    ]
    return table


def _close_gaps(data: VertexMetrics) -> tuple[FloatArray, int]:
    """Give each gap the mean of its neighbours in the same map; return how many there were."""
    values = data.values
    if data.neighbours is None:
        return values, 0
    gaps = np.argwhere(np.isnan(values))
    closed = values.copy()
    for metric, session, vertex in gaps.tolist():
        around = values[metric, session, data.neighbours[vertex]]
        around = around[np.isfinite(around)]
        if around.size:
            closed[metric, session, vertex] = around.mean()
    return closed, int(len(gaps) - np.isnan(closed).sum())


def standardise(values: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, float]:
    """Return z-scored metrics, stacked and shifted to be non-negative, and the constants.

    Each metric is z-scored over all vertices and sessions together, so that the pattern over
    vertices is kept and no metric decides alone; the smallest value of all becomes zero.

    Parameters
    ----------
    values : (n_metrics, n_sessions, n_vertices) ndarray of float64
        Without gaps, in physical units.

    Returns
    -------
    X : (n_metrics * n_sessions, n_vertices) ndarray of float64
        One metric after the other.
    means, deviations : (n_metrics,) ndarray of float64
        In physical units.
    shift : float
        What was subtracted from the z-scores.

    References
    ----------
    Patel R, et al. (2020). Investigating microstructural variation in the human hippocampus
    using non-negative matrix factorization. NeuroImage 207:116348.
    https://doi.org/10.1016/j.neuroimage.2019.116348

    Examples
    --------
    >>> X, means, deviations, shift = standardise(np.array([[[1.0, 3.0]], [[10.0, 30.0]]]))
    >>> X
    array([[0., 2.],
           [0., 2.]])
    """
    n_metrics, n_sessions, n_vertices = values.shape
    means = values.mean(axis=(1, 2))
    # over vertices and sessions together: z-scored vertex by vertex, the mean maps would be lost
    # that the published method keeps
    deviations = values.std(axis=(1, 2))
    if (flat := deviations <= 0).any():
        raise InputDataError(
            f'group: metric number {int(np.flatnonzero(flat)[0]) + 1} is constant over all '
            'vertices and sessions and cannot be z-scored.'
        )
    X = (values - means[:, None, None]) / deviations[:, None, None]
    shift = float(X.min())
    # one shift for all metrics: with one each, the metric with the lowest outlier would stand
    # highest
    X -= shift
    return X.reshape(n_metrics * n_sessions, n_vertices), means, deviations, shift


def feature_matrix(data: VertexMetrics) -> FeatureMatrix:
    """Build the matrix from maps without gaps.

    Parameters
    ----------
    data : VertexMetrics
        From `complete_cases`.

    Returns
    -------
    FeatureMatrix
        Rows run over sessions within each metric.

    Raises
    ------
    InputDataError
        If a value is missing, or a metric is constant.
    """
    if np.isnan(data.values).any():
        raise InputDataError('group: vertex maps have gaps; run complete_cases first.')
    X, means, deviations, shift = standardise(data.values)
    legend = data.sessions[['participant_id', 'session_id']]
    rows = pd.concat([legend.assign(metric=metric) for metric in data.metrics], ignore_index=True)
    constants = pd.DataFrame(
        {
            'metric': list(data.metrics),
            'unit': [UNITS.get(metric, '1') for metric in data.metrics],
            'mean': means,
            'sd': deviations,
            'shift': shift,
        }
    )
    return FeatureMatrix(X, rows, data.columns.reset_index(drop=True), constants)
