"""Cohorts with planted parcels: the known truth for tests, benchmarks and power questions.

Two mirrored spheres stand for the hemispheres; a curved strip on each stands for the anterior
cingulate. Every metric is a mean map plus, for each subject, a global factor, one factor for
each planted parcel (shared by both hemispheres), spatially smooth noise and white noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import csr_array, diags_array

from bids_acc.group.opnmf.features import VertexMetrics
from bids_acc.surfaces.neighbours import adjacency, neighbour_lists, within
from bids_acc.typing import FloatArray, IntArray

SCALES = {
    'thickness': (2.9, 0.45),
    'area': (0.62, 0.15),
    'fa': (0.24, 0.05),
    'md': (8.2e-4, 0.9e-4),
}
"""Typical mean and standard deviation over vertices and subjects, in each metric's unit; only
the order of magnitude matters, since metrics are z-scored."""


@dataclass(frozen=True)
class CohortDesign:
    """What is planted, in standard deviations of each metric."""

    n_subjects: int = 76
    """Subjects."""
    n_parcels: int = 4
    """Planted parcels."""
    size_ratio: float = 1.0
    """Vertices of the largest planted parcel over those of the smallest, the others between in
    equal ratios; 1 for parcels of about equal size."""
    parcel_effect: float = 0.55
    """Subject-to-subject variation that a parcel shares."""
    global_effect: float = 0.3
    """Subject-to-subject variation that the whole region shares."""
    map_effect: float = 0.5
    """Variation of the mean map over vertices."""
    smooth_noise: float = 0.5
    """Spatially smooth variation within subjects."""
    white_noise: float = 0.4
    """Independent variation."""
    blur: int = 6
    """Rounds of averaging over neighbours that make noise and parcel borders smooth."""
    metrics: tuple[str, ...] = tuple(SCALES)
    """Metrics, a subset of `SCALES`."""


@dataclass(frozen=True)
class PlantedCohort:
    """A simulated cohort and its truth."""

    data: VertexMetrics
    """Maps in physical units."""
    labels: IntArray
    """(n_vertices,) planted parcel of each vertex, the same on both sides."""
    participants: pd.DataFrame
    """Age, sex and group, unrelated to the maps."""


def icosphere(level: int) -> tuple[FloatArray, IntArray]:
    """Return the unit sphere made by halving the edges of an icosahedron.

    Parameters
    ----------
    level : int
        Subdivisions; 5 gives 10 242 vertices, 6 gives 40 962.

    Returns
    -------
    vertices : (10 * 4**level + 2, 3) ndarray of float64
        Points of unit length.
    faces : (20 * 4**level, 3) ndarray of int
        Vertices of each triangle.

    Examples
    --------
    >>> icosphere(2)[0].shape, icosphere(2)[1].shape
    ((162, 3), (320, 3))
    """
    g = (1 + 5**0.5) / 2
    corners = [
        (-1, g, 0), (1, g, 0), (-1, -g, 0), (1, -g, 0), (0, -1, g), (0, 1, g),
        (0, -1, -g), (0, 1, -g), (g, 0, -1), (g, 0, 1), (-g, 0, -1), (-g, 0, 1),
    ]  # fmt: skip
    vertices = np.array(corners, dtype=np.float64)
    faces = np.array(
        [(0, 11, 5), (0, 5, 1), (0, 1, 7), (0, 7, 10), (0, 10, 11), (1, 5, 9), (5, 11, 4),
         (11, 10, 2), (10, 7, 6), (7, 1, 8), (3, 9, 4), (3, 4, 2), (3, 2, 6), (3, 6, 8),
         (3, 8, 9), (4, 9, 5), (2, 4, 11), (6, 2, 10), (8, 6, 7), (9, 8, 1)]
    )  # fmt: skip
    vertices /= np.linalg.norm(vertices, axis=1, keepdims=True)
    for _ in range(level):
        edges = np.sort(np.vstack([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
        unique, inverse = np.unique(edges, axis=0, return_inverse=True)
        middles = vertices[unique].sum(axis=1)
        middles /= np.linalg.norm(middles, axis=1, keepdims=True)
        a, b, c = (inverse.reshape(3, -1) + len(vertices)).astype(np.int64)
        vertices = np.vstack([vertices, middles])
        v0, v1, v2 = faces.T
        quarters = [(v0, a, c), (v1, b, a), (v2, c, b), (a, b, c)]
        faces = np.vstack([np.column_stack(q) for q in quarters])
    return vertices, faces


def strip(vertices: FloatArray, size: int) -> IntArray:
    """Return the vertices nearest to an arc that bends like the cingulate around the genu.

    Parameters
    ----------
    vertices : (n, 3) ndarray of float64
        Vertices on the unit sphere.
    size : int
        How many; all of them where there are fewer.

    Returns
    -------
    (size,) ndarray of int
        Indices in ascending order.
    """
    if size >= len(vertices):
        return np.arange(len(vertices))
    turn = np.linspace(-0.75 * np.pi, 0.35 * np.pi, 200)
    arc = np.column_stack([np.full(200, 0.75), 0.55 * np.cos(turn), 0.55 * np.sin(turn)])
    arc /= np.linalg.norm(arc, axis=1, keepdims=True)
    nearest = (vertices @ arc.T).max(axis=1)
    return np.sort(np.argsort(-nearest, kind='stable')[:size])


def planted_cohort(
    design: CohortDesign,
    rng: np.random.Generator,
    *,
    level: int = 6,
    region_size: int = 847,
    geometry_seed: int = 0,
) -> PlantedCohort:
    """Simulate a cohort.

    Parameters
    ----------
    design : CohortDesign
        What is planted.
    rng : Generator
        Source of subjects and noise.
    level : int
        Subdivisions of the sphere; 6 gives CIVET's 40 962 vertices.
    region_size : int
        Vertices of the region in each hemisphere; 847 in the published mask. At least the mesh
        size for the whole sphere.
    geometry_seed : int
        Seed of the planted borders and mean maps: the same for cohorts that share a truth.

    Returns
    -------
    PlantedCohort
        Maps and truth.
    """
    vertices, faces = icosphere(level)
    region = strip(vertices, region_size)
    graph = within(adjacency(faces, len(vertices)), region)
    smoother = diags_array(1.0 / (graph.sum(axis=1) + 1.0)) @ (
        graph + diags_array(np.ones(len(region)))
    )
    # parcels and mean maps of their own seed: cohorts of one anatomy with other people
    fixed = np.random.default_rng(geometry_seed)
    labels = _voronoi(vertices[region], design.n_parcels, fixed, design.size_ratio)
    membership = np.eye(design.n_parcels)[labels]
    for _ in range(design.blur // 2):
        membership = smoother @ membership
    values = np.empty((len(design.metrics), design.n_subjects, 2 * len(region)))
    for i, metric in enumerate(design.metrics):
        offsets = membership @ fixed.standard_normal(design.n_parcels)
        mean_map = _unit(offsets / 2 + smoothed(fixed.standard_normal(len(region)), smoother, 30))
        standard = _subjects(design, mean_map, membership, smoother, rng)
        mean, deviation = SCALES[metric]
        # thickness and area cannot be negative, and the factorization takes nothing else
        values[i] = np.maximum(mean + deviation * standard, mean * 0.02)
    hemisphere = np.repeat(['L', 'R'], len(region))
    left = neighbour_lists(graph)
    data = VertexMetrics(
        values=values,
        metrics=design.metrics,
        sessions=pd.DataFrame(
            {
                'participant_id': [f'sub-{j + 1:03d}' for j in range(design.n_subjects)],
                'session_id': None,
            }
        ),
        columns=pd.DataFrame({'hemisphere': hemisphere, 'vertex': np.tile(region, 2)}),
        mesh_sizes=(len(vertices), len(vertices)),
        neighbours=left + [row + len(region) for row in left],
        density='41k' if level == 6 else f'{len(vertices)}',
    )
    return PlantedCohort(data, np.tile(labels, 2), _participants(design, rng))


def _voronoi(
    points: FloatArray, count: int, rng: np.random.Generator, size_ratio: float = 1.0
) -> IntArray:
    """Split points into contiguous parcels around well-separated random seeds."""
    seeds = [int(rng.integers(len(points)))]
    while len(seeds) < count:
        distance = 1.0 - (points @ points[seeds].T).max(axis=1)
        weights = np.where(distance > 0.7 * distance.max(), distance, 0.0)
        seeds.append(int(rng.choice(len(points), p=weights / weights.sum())))
    for _ in range(5):  # towards equal sizes
        labels = np.argmax(points @ points[seeds].T, axis=1)
        centres = np.array([points[labels == j].mean(axis=0) for j in range(count)])
        seeds = [int(np.argmax(points @ centre)) for centre in centres]
    if size_ratio == 1.0:
        return np.asarray(np.argmax(points @ points[seeds].T, axis=1), dtype=np.int64)
    return _of_sizes(points @ points[seeds].T, size_ratio, rng)


def _of_sizes(nearness: FloatArray, ratio: float, rng: np.random.Generator) -> IntArray:
    """Move the borders until the parcels have sizes in equal ratios, in random order.

    The cells of a power diagram stay convex: the nearness to a seed is raised or lowered as a
    whole.

    References
    ----------
    Aurenhammer F (1987). SIAM J Comput 16:78-96. doi:10.1137/0216006
    """
    n, count = nearness.shape
    wanted = rng.permutation(np.geomspace(1.0, ratio, count))
    wanted *= n / wanted.sum()
    offset = np.zeros(count)
    for step in np.geomspace(0.3, 0.003, 300):
        sizes = np.bincount(np.argmax(nearness + offset, axis=1), minlength=count)
        offset += step * (wanted - sizes) / n
    return np.asarray(np.argmax(nearness + offset, axis=1), dtype=np.int64)


def smoothed(noise: FloatArray, smoother: csr_array, rounds: int) -> FloatArray:
    """Average over neighbours, and give unit variance over vertices again.

    Parameters
    ----------
    noise : (n_vertices,) or (n_vertices, n_maps) ndarray of float64
        Maps.
    smoother : (n_vertices, n_vertices) csr_array
        One round: each row sums to 1.
    rounds : int
        How often.

    Returns
    -------
    ndarray of float64
        Of the same shape; mean 0 and variance 1 over vertices.
    """
    for _ in range(rounds):
        noise = smoother @ noise
    return _unit(noise)


def _unit(values: FloatArray) -> FloatArray:
    """Return values of mean 0 and unit variance over the first axis."""
    scaled: FloatArray = (values - values.mean(axis=0)) / values.std(axis=0)
    return scaled


def _subjects(
    design: CohortDesign,
    mean_map: FloatArray,
    membership: FloatArray,
    smoother: csr_array,
    rng: np.random.Generator,
) -> FloatArray:
    """Return one standardised metric: (n_subjects, 2 * n_vertices)."""
    n, size = design.n_subjects, len(mean_map)
    shared = design.global_effect * rng.standard_normal((n, 1))
    factors = design.parcel_effect * rng.standard_normal((n, design.n_parcels))
    signal = design.map_effect * mean_map + shared + factors @ membership.T
    sides = []
    for _ in range(2):
        smooth = smoothed(rng.standard_normal((size, n)), smoother, design.blur).T
        white = rng.standard_normal((n, size))
        sides.append(signal + design.smooth_noise * smooth + design.white_noise * white)
    return np.concatenate(sides, axis=1)


def _participants(design: CohortDesign, rng: np.random.Generator) -> pd.DataFrame:
    """Return a participants table that has nothing to do with the maps."""
    n = design.n_subjects
    return pd.DataFrame(
        {
            'participant_id': [f'sub-{j + 1:03d}' for j in range(n)],
            'age': rng.uniform(20, 65, n).round(1),
            'sex': rng.choice(['F', 'M'], n),
            'group': np.resize(['HC', 'FLR', 'TRS'], n),
        }
    )
