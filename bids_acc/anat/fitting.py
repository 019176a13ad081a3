"""White and pial surfaces: a template's meshes moved along their normals to a brain's own edges.

The boundary between two tissues lies where the intensity is half-way between their local means.
Each vertex looks along its normal for that place; profiles are averaged with those of the
neighbours, and the *displacement*, not the shape, is kept smooth, so the folds of the start
survive. Vertices that see no boundary follow their neighbours and are said to be unsupported.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy import ndimage, sparse

from .geometry import Floats, Ints, neighbour_mean, smooth_displacement, vertex_normals
from .intersection import self_intersecting_faces

Bools = npt.NDArray[np.bool_]

DIP_DEPTH = 0.08
"""Rise on both sides, as a share of the GM-CSF contrast, that makes a dip a sulcus."""
DIP_GAP = 0.5
"""How far the pial surface stays from the floor of a closed sulcus in mm. Both banks look for the
same floor: without a gap they meet there, half of all vertices end in intersections, and the
repair, not the image, decides where the surface comes to lie."""


@dataclass(frozen=True)
class FitOptions:
    """How far and how smoothly the surfaces may move."""

    ranges: tuple[float, ...] = (3.0, 2.5, 2.0, 1.5, 1.0, 1.0)
    """Search range to either side in mm, one per round."""
    stiffness: tuple[float, ...] = (30.0, 15.0, 6.0, 3.0, 1.0, 0.5)
    """Smoothness of the displacement, one per round."""
    step: float = 0.25
    """Distance between samples of a profile in mm."""
    margin: float = 2.0
    """How far a profile goes beyond the search range in mm, to tell a dip from noise."""
    profile_smoothing: int = 2
    """How often a profile is averaged with the neighbours' ones."""
    min_thickness: float = 0.3
    """The pial surface stays so far outside the white surface, in mm."""


@dataclass(frozen=True)
class TissueImage:
    """A bias-corrected T1w image with the tissues' means around each voxel."""

    intensity: npt.NDArray[np.float32]
    """(nx, ny, nz) intensities."""
    affine: Floats
    """(4, 4) voxel to scanner RAS in mm."""
    means: tuple[npt.NDArray[np.float32], ...]
    """Local mean intensity of GM, WM and CSF, on the grid of ``mean_affine``."""
    mean_affine: Floats
    """(4, 4) of the (coarser) grid of the means."""
    side: npt.NDArray[np.float32] | None = None
    """Signed distance from the midsagittal plane in mm, positive right, on the coarser grid."""

    def sample(self, points: Floats) -> Floats:
        """Return the intensity at points (..., 3) in mm; outside, the nearest voxel's."""
        return sample_volume(self.intensity, self.affine, points)

    def tissue_means(self, points: Floats) -> tuple[Floats, Floats, Floats]:
        """Return the local means of GM, WM and CSF at points (..., 3) in mm."""
        grey, white, fluid = (sample_volume(m, self.mean_affine, points) for m in self.means)
        return grey, white, fluid


@dataclass(frozen=True)
class FittedSurfaces:
    """White and pial surface of one hemisphere, and how well they are supported."""

    white: Floats
    """(n_vertices, 3) in mm."""
    pial: Floats
    """(n_vertices, 3) in mm."""
    white_supported: Bools
    """(n_vertices,) whether a WM/GM boundary was found within the last range."""
    pial_supported: Bools
    """(n_vertices,) whether a GM/CSF boundary was found within the last range."""
    intersecting: Bools = field(default_factory=lambda: np.zeros(0, dtype=bool))
    """(n_vertices,) whether a face around the vertex still passes through another one."""


def sample_volume(volume: npt.ArrayLike, affine: Floats, points: npt.ArrayLike) -> Floats:
    """Interpolate a volume trilinearly at points in mm.

    Parameters
    ----------
    volume : (nx, ny, nz) array_like
        Values.
    affine : (4, 4) ndarray
        Voxel to mm.
    points : (..., 3) array_like
        In mm; beyond the edge the nearest voxel counts.

    Returns
    -------
    (...) ndarray
        Values at the points.
    """
    inverse = np.linalg.inv(affine)
    points = np.asarray(points, dtype=float)
    voxels = points @ inverse[:3, :3].T + inverse[:3, 3]
    coordinates = np.moveaxis(voxels, -1, 0).reshape(3, -1)
    values = ndimage.map_coordinates(
        np.asarray(volume), coordinates, order=1, mode='nearest', output=np.float64
    )
    return values.reshape(points.shape[:-1])


def nearest_crossing(profiles: Floats, threshold: Floats, positions: Floats) -> Floats:
    """Find where profiles fall through a threshold, nearest to position zero.

    Parameters
    ----------
    profiles : (n, n_samples) ndarray
        Intensities from inside to outside.
    threshold : (n,) ndarray
        Level to fall through.
    positions : (n_samples,) ndarray
        Places of the samples in mm, increasing.

    Returns
    -------
    (n,) ndarray
        Position of the falling crossing in mm, NaN where there is none.

    Examples
    --------
    >>> x = np.arange(-2.0, 3)
    >>> nearest_crossing(np.array([[9.0, 9, 9, 5, 1]]), np.array([7.0]), x)
    array([0.5])
    """
    above = profiles - threshold[:, None]
    falling = (above[:, :-1] > 0) & (above[:, 1:] <= 0)
    drop = above[:, :-1] - above[:, 1:]
    share = np.divide(above[:, :-1], drop, out=np.zeros_like(drop), where=falling)
    place = positions[:-1] + share * np.diff(positions)
    return _nearest(np.where(falling, place, np.nan))


def nearest_dip(profiles: Floats, depth: Floats, positions: Floats) -> Floats:
    """Find the local minimum nearest to position zero: a sulcus too narrow to show CSF.

    Parameters
    ----------
    profiles : (n, n_samples) ndarray
        Intensities from inside to outside.
    depth : (n,) ndarray
        How much the profile must rise on either side within the range.
    positions : (n_samples,) ndarray
        Places of the samples in mm, equally spaced.

    Returns
    -------
    (n,) ndarray
        Position in mm, between samples by a parabola; NaN where there is none.
    """
    before, here, after = profiles[:, :-2], profiles[:, 1:-1], profiles[:, 2:]
    left = np.maximum.accumulate(profiles, axis=1)[:, :-2]
    right = np.maximum.accumulate(profiles[:, ::-1], axis=1)[:, ::-1][:, 2:]
    deep = np.minimum(left, right) - here > depth[:, None]
    found = (here <= before) & (here < after) & deep
    curvature = before - 2 * here + after
    shift = np.divide(before - after, 2 * curvature, out=np.zeros_like(here), where=found)
    step = positions[1] - positions[0]
    return _nearest(np.where(found, positions[1:-1] + shift * step, np.nan))


def _nearest(places: Floats) -> Floats:
    """Return the entry of each row that is nearest to zero, NaN where all are NaN."""
    distance = np.where(np.isnan(places), np.inf, np.abs(places))
    best = distance.argmin(axis=1)
    return places[np.arange(len(places)), best]


def _profiles(
    image: TissueImage,
    vertices: Floats,
    normals: Floats,
    places: Floats,
    links: sparse.csr_array,
    options: FitOptions,
) -> Floats:
    """Sample the image along the normals and average with the neighbours' profiles."""
    points = vertices[:, None, :] + places[None, :, None] * normals[:, None, :]
    profiles = image.sample(points)
    for _ in range(options.profile_smoothing):
        profiles = (profiles + links @ profiles) / 2
    return profiles


def _positions(limit: float, step: float) -> Floats:
    """Return equally spaced places from -limit to limit."""
    n = max(round(limit / step), 2)
    return np.arange(-n, n + 1, dtype=float) * step


def _white_targets(
    means: tuple[Floats, Floats, Floats], profiles: Floats, places: Floats
) -> Floats:
    """Return how far the WM/GM boundary lies along the normal."""
    grey, white, _ = means
    return nearest_crossing(profiles, (grey + white) / 2, places)


def _pial_targets(
    means: tuple[Floats, Floats, Floats], profiles: Floats, places: Floats
) -> Floats:
    """Return how far the GM/CSF boundary, or the floor of a closed sulcus, lies.

    A dip nearer than the crossing is a sulcus in between; one farther away is its floor. The
    surface stays `DIP_GAP` before either.
    """
    grey, _, fluid = means
    edge = nearest_crossing(profiles, (grey + fluid) / 2, places)
    dip = nearest_dip(profiles, DIP_DEPTH * (grey - fluid), places) - DIP_GAP
    return np.where(np.isnan(edge) | (dip < edge), dip, edge)


def _keep_side(image: TissueImage, vertices: Floats, side: int) -> Floats:
    """Push vertices that crossed the midsagittal plane back to their own side of it."""
    if image.side is None or side == 0:
        return vertices
    signed = side * sample_volume(image.side, image.mean_affine, vertices)
    axis = _side_axis(image)
    return vertices + np.maximum(-signed, 0)[:, None] * side * axis


def _side_axis(image: TissueImage) -> Floats:
    """Return the mean direction, in mm, in which the signed side grows."""
    gradient = np.stack([g.mean() for g in np.gradient(np.asarray(image.side))])
    axis = np.linalg.inv(image.mean_affine[:3, :3]).T @ gradient
    return axis / max(float(np.linalg.norm(axis)), 1e-9)


def repair_intersections(
    vertices: Floats, faces: Ints, mean_of_neighbours: sparse.csr_array, n_rounds: int = 16
) -> tuple[Floats, Bools]:
    """Relax the mesh where it passes through itself.

    Parameters
    ----------
    vertices : (n_vertices, 3) ndarray
        In mm.
    faces : (n_faces, 3) ndarray of int
        Vertex indices.
    mean_of_neighbours : (n_vertices, n_vertices) csr_array
        See `bids_acc.anat.geometry.neighbour_mean`.
    n_rounds : int
        How often to try; each round relaxes a wider ring.

    Returns
    -------
    vertices : (n_vertices, 3) ndarray
        Moved only near intersections.
    intersecting : (n_vertices,) ndarray of bool
        Vertices of faces that still intersect.
    """
    vertices = vertices.copy()
    touched: Bools | None = None
    for attempt in range(n_rounds + 1):
        bad = np.zeros(len(vertices), dtype=bool)
        bad[faces[self_intersecting_faces(vertices, faces, touched)]] = True
        if not bad.any() or attempt == n_rounds:
            break
        region = bad.astype(float)
        for _ in range(1 + attempt // 2):
            region = np.maximum(region, (mean_of_neighbours @ region) > 0)
        inside = region > 0
        for _ in range(4):
            relaxed = (vertices + mean_of_neighbours @ vertices) / 2
            vertices[inside] = relaxed[inside]
        moved = np.asarray(inside[faces].any(axis=1))
        touched = moved if touched is None else touched | moved
    return vertices, bad


@dataclass(frozen=True)
class _Mesh:
    """What does not change while a surface is fitted."""

    faces: Ints
    links: sparse.csr_array
    cortex: Bools
    side: int


def _fit_one(
    image: TissueImage,
    vertices: Floats,
    mesh: _Mesh,
    find_targets: Callable[[tuple[Floats, Floats, Floats], Floats, Floats], Floats],
    options: FitOptions,
    inner: Floats | None = None,
) -> tuple[Floats, Bools]:
    """Move one surface to its boundary, in rounds of shrinking range and stiffness."""
    seen = np.zeros(len(vertices), dtype=bool)
    for limit, stiffness in zip(options.ranges, options.stiffness, strict=True):
        places = _positions(limit + options.margin, options.step)
        normals = vertex_normals(vertices, mesh.faces)
        profiles = _profiles(image, vertices, normals, places, mesh.links, options)
        target = find_targets(image.tissue_means(vertices), profiles, places)
        seen = mesh.cortex & (np.abs(target) <= limit)
        if inner is not None:
            room = np.einsum('ij,ij->i', vertices - inner, normals)
            target = np.maximum(target, options.min_thickness - room)
        distance = smooth_displacement(target, seen.astype(float), mesh.links, stiffness)
        vertices = _keep_side(image, vertices + distance[:, None] * normals, mesh.side)
    return vertices, seen


def fit_surfaces(
    image: TissueImage,
    white: npt.ArrayLike,
    pial: npt.ArrayLike,
    faces: npt.ArrayLike,
    *,
    cortex: npt.ArrayLike,
    side: int = 0,
    options: FitOptions | None = None,
) -> FittedSurfaces:
    """Fit one hemisphere's white and pial surfaces to an image.

    Parameters
    ----------
    image : TissueImage
        Where to look.
    white, pial : (n_vertices, 3) array_like
        Start in scanner RAS in mm.
    faces : (n_faces, 3) array_like of int
        Vertex indices, for both.
    cortex : (n_vertices,) array_like of bool
        Vertices that have a boundary to look for; the medial wall follows its surroundings.
    side : int
        -1 for the left hemisphere, 1 for the right, 0 for no midsagittal guard.
    options : FitOptions, optional
        Ranges and smoothness.

    Returns
    -------
    FittedSurfaces
        With flags of unsupported and self-intersecting vertices.
    """
    options = options or FitOptions()
    white, pial = np.asarray(white, dtype=float), np.asarray(pial, dtype=float)
    faces = np.asarray(faces, dtype=np.int64)
    mesh = _Mesh(faces, neighbour_mean(faces, len(white)), np.asarray(cortex, dtype=bool), side)
    fitted, seen = _fit_one(image, white, mesh, _white_targets, options)
    fitted, bad = repair_intersections(fitted, faces, mesh.links)
    outer, outer_seen = _fit_one(
        image, pial + fitted - white, mesh, _pial_targets, options, inner=fitted
    )
    outer, outer_bad = repair_intersections(outer, faces, mesh.links)
    return FittedSurfaces(fitted, outer, seen, outer_seen, bad | outer_bad)
