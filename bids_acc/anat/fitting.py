"""White and pial surfaces: a template's meshes moved along their normals to a brain's own edges.

The boundary between two tissues lies where the intensity is half-way between those of the two
beside it. Each vertex looks along its normal for that place; profiles are averaged with those of
the neighbours, and the *displacement*, not the shape, is kept smooth, so the folds of the start
survive. Vertices that see no boundary follow their neighbours and are said to be unsupported.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy import sparse

from bids_acc.anat.profiles import edge_blur, nearest_crossing, nearest_dip
from bids_acc.anat.tissues import TissueImage, cortical_levels, sample_volume
from bids_acc.surfaces.geometry import smooth_displacement, vertex_normals
from bids_acc.surfaces.intersection import self_intersecting_faces
from bids_acc.surfaces.neighbours import neighbour_mean
from bids_acc.typing import BoolArray, FloatArray, IntArray

DIP_DEPTH = 0.08
"""Rise on both sides, as a share of the GM-CSF contrast, that makes a dip a sulcus."""


@dataclass(frozen=True)
class SurfaceFitOptions:
    """How far and how smoothly the surfaces may move."""

    ranges: tuple[float, ...] = (3.0, 2.5, 2.0, 1.5, 1.0)
    """Search range to either side in mm, one per round."""
    stiffness: tuple[float, ...] = (30.0, 15.0, 6.0, 3.0, 1.0)
    """Smoothness of the displacement, one per round. A further round at half of the last follows
    noise: the same brain with other noise then differs by a quarter more (seeds 100-103)."""
    step: float = 0.25
    """Distance between samples of a profile in mm."""
    margin: float = 3.0
    """How far a profile goes beyond the search range in mm, to tell a dip from noise: as far as
    the other wall of a narrow sulcus. With 2 mm four times as many vertices saw no boundary in a
    noiseless brain."""
    profile_smoothing: int = 4
    """How often a profile is averaged with the neighbours' ones: with less, noise decides which
    edge is the nearest; with more, narrow folds are lost."""
    sulcal_minimum_share: float = 0.7
    """By how much of the way to the floor of a narrow sulcus the intensity has fallen where its
    wall is taken to lie. Between walls less than two blurs apart, the place that a model of the
    blur tells depends on the last few percent of the dip's depth: it lay 0.4 to 0.7 mm further out
    in the cingulate of simulated brains, a third of the vertices ended in intersections, and the
    repair, not the image, decided where the surface came to lie. The price is that the cortex
    beside a sulcus narrower than the blur is found too thin, by at most one blur. 0.67 makes the
    cingulate 0.06 mm thinner and follows noise a little more, 0.75 makes it 0.09 mm thicker (seeds
    100-103 at 1.5 mm)."""
    repair_rounds: int = 16
    """How often at most intersections are repaired."""
    min_thickness: float = 0.3
    """The pial surface stays so far outside the white surface, in mm."""


@dataclass(frozen=True)
class FittedSurfaces:
    """White and pial surface of one hemisphere, and how well they are supported."""

    white: FloatArray
    """(n_vertices, 3) in mm."""
    pial: FloatArray
    """(n_vertices, 3) in mm."""
    white_supported: BoolArray
    """(n_vertices,) whether a WM/GM boundary was found within the last range."""
    pial_supported: BoolArray
    """(n_vertices,) whether a GM/CSF boundary was found within the last range."""
    intersecting: BoolArray = field(default_factory=lambda: np.zeros(0, dtype=bool))
    """(n_vertices,) whether a face around the vertex still passes through another one."""


def _profiles(
    image: TissueImage,
    vertices: FloatArray,
    normals: FloatArray,
    places: FloatArray,
    links: sparse.csr_array,
    options: SurfaceFitOptions,
) -> FloatArray:
    """Sample the image along the normals and average with the neighbours' profiles."""
    points = vertices[:, None, :] + places[None, :, None] * normals[:, None, :]
    profiles = image.sample(points)
    for _ in range(options.profile_smoothing):
        profiles = (profiles + links @ profiles) / 2
    return profiles


def _positions(limit: float, step: float) -> FloatArray:
    """Return equally spaced places from -limit to limit."""
    n = max(round(limit / step), 2)
    return np.arange(-n, n + 1, dtype=float) * step


def pial_targets(
    grey: FloatArray,
    csf: FloatArray,
    profiles: FloatArray,
    places: FloatArray,
    sulcal_minimum_share: float,
) -> FloatArray:
    r"""Return how far the GM/CSF boundary lies along the normal.

    It lies where the intensity is half-way, but between two walls less than some 2.5 times the
    blur apart half-way is reached too far out or never. There it is taken to lie where the
    intensity has fallen by a share of the way to the floor of the dip between the walls. With dips
    so deep that this is half-way between GM and CSF, the one rule passes into the other. A dip
    nearer than the half-way place is a sulcus in between.

    Parameters
    ----------
    grey, csf : (n,) ndarray
        Intensities of GM and CSF.
    profiles : (n, n_samples) ndarray
        Intensities from inside to outside.
    places : (n_samples,) ndarray
        Positions of the samples in mm, equally spaced.
    sulcal_minimum_share : float
        See `SurfaceFitOptions`.

    Returns
    -------
    (n,) ndarray
        In mm, NaN where there is neither an edge nor a dip.
    """
    edge = nearest_crossing(profiles, (grey + csf) / 2, places)
    contrast = np.maximum(grey - csf, 1e-9)
    dip, floor = nearest_dip(profiles, DIP_DEPTH * contrast, places)
    fall = sulcal_minimum_share * (grey - floor)
    # Beyond the floor of the dip the intensity belongs to the gyrus on the other side.
    before = np.where(places <= dip[:, None], profiles, np.nan)
    wall = nearest_crossing(before, grey - fall, places)
    return np.where((fall < contrast / 2) & ~(wall > edge), wall, edge)


SIDE_STEP_MM = 4.0
"""Over how far to either side the slope of the signed side is taken: the grid it is known on."""


def kept_on_side(image: TissueImage, vertices: FloatArray, side: int) -> FloatArray:
    """Push vertices that crossed the midsagittal plane back to it, the shortest way.

    Parameters
    ----------
    image : TissueImage
        With the signed side; without it nothing moves.
    vertices : (n_vertices, 3) ndarray
        In mm.
    side : int
        -1 for the left hemisphere, 1 for the right, 0 for neither.

    Returns
    -------
    (n_vertices, 3) ndarray
        In mm.
    """
    if image.side is None or side == 0:
        return vertices
    signed = side * sample_volume(image.side, image.mean_affine, vertices)
    crossed = signed < 0
    slope = side * _slope(image.side, image.mean_affine, vertices[crossed])
    squared = np.maximum((slope**2).sum(axis=1), 0.25)  # where it hardly grows, no long ways
    kept = vertices.copy()
    kept[crossed] -= (signed[crossed] / squared)[:, None] * slope
    return kept


def _slope(volume: npt.NDArray[np.float32], affine: FloatArray, points: FloatArray) -> FloatArray:
    """Return how a volume grows at points (n, 3) along each axis, per mm.

    At the place and not on average: beyond the template's own field of view the signed side is
    zero, so in an image that is wider than that its mean slope points anywhere.
    """
    ends = points[:, None, None, :] + SIDE_STEP_MM * np.stack([-np.eye(3), np.eye(3)], axis=1)
    values = sample_volume(volume, affine, ends)
    return np.asarray((values[..., 1] - values[..., 0]) / (2 * SIDE_STEP_MM))


def repair_intersections(
    vertices: FloatArray,
    faces: IntArray,
    mean_of_neighbours: sparse.csr_array,
    n_rounds: int = 16,
    *,
    base: FloatArray | None = None,
) -> tuple[FloatArray, BoolArray]:
    """Relax the mesh where it passes through itself.

    Relaxing fills hollows: the pial surface of a brain came 0.2 mm outwards on average. With a
    surface nearby that does not pass through itself, what is relaxed is the way from there to the
    vertices, which is also halved in each round, so that the mesh ends at that surface if nothing
    else helps; what is still intersecting after most of the rounds is relaxed as a whole. To
    smooth the way from the white surface first, which owes nothing to where the fit started, took
    the pial surface of three simulated brains .30 instead of .21 mm from the true one (2 mm
    voxels; .02 to .08 mm farther in the cingulate).

    Parameters
    ----------
    vertices : (n_vertices, 3) ndarray
        In mm.
    faces : (n_faces, 3) ndarray of int
        Vertex indices.
    mean_of_neighbours : (n_vertices, n_vertices) csr_array
        See `bids_acc.surfaces.neighbours.neighbour_mean`.
    n_rounds : int
        How often to try; each round of relaxing as a whole takes in a wider ring.
    base : (n_vertices, 3) ndarray, optional
        Vertices of the surface nearby.

    Returns
    -------
    vertices : (n_vertices, 3) ndarray
        Moved only near intersections.
    intersecting : (n_vertices,) ndarray of bool
        Vertices of faces that still intersect.
    """
    vertices = vertices.copy()
    touched: BoolArray | None = None
    n_towards = 0 if base is None else 2 * n_rounds // 3
    for attempt in range(n_rounds + 1):
        bad = np.zeros(len(vertices), dtype=bool)
        bad[faces[self_intersecting_faces(vertices, faces, touched)]] = True
        if not bad.any() or attempt == n_rounds:
            break
        towards = attempt < n_towards
        inside = bad
        for _ in range(1 if towards else 1 + (attempt - n_towards) // 2):
            inside = inside | (mean_of_neighbours @ inside.astype(float) > 0)
        origin = base if base is not None and towards else np.zeros_like(vertices)
        way = vertices - origin
        for _ in range(4):
            way[inside] = ((way + mean_of_neighbours @ way) / 2)[inside]
        vertices[inside] = origin[inside] + way[inside] * (0.5 if towards else 1.0)
        # whatever did not move met nothing in this round, or it would have been moved
        touched = np.asarray(inside[faces].any(axis=1))
    return vertices, bad


def tangentially_relaxed(
    vertices: FloatArray, inner: FloatArray, faces: IntArray, mean_of_neighbours: sparse.csr_array
) -> FloatArray:
    """Slide vertices along their surface, so that neighbours lie alike above an inner surface.

    Where the surface is concave, steps along the normals crowd vertices together until faces
    fold over. What slides is half-way the difference of a vertex's way from the inner surface
    from its neighbours' one; the component along the normal, which is the thickness, stays.

    Parameters
    ----------
    vertices, inner : (n_vertices, 3) ndarray
        In mm.
    faces : (n_faces, 3) ndarray of int
        Vertex indices.
    mean_of_neighbours : (n_vertices, n_vertices) csr_array
        See `bids_acc.surfaces.neighbours.neighbour_mean`.

    Returns
    -------
    (n_vertices, 3) ndarray
        In mm.
    """
    way = vertices - inner
    slide = (mean_of_neighbours @ way - way) / 2
    normals = vertex_normals(vertices, faces)
    return np.asarray(vertices + slide - np.einsum('ij,ij->i', slide, normals)[:, None] * normals)


def with_minimum_thickness(
    pial: FloatArray, white: FloatArray, faces: IntArray, least: float, cortex: BoolArray
) -> FloatArray:
    """Push a pial surface out of the white one.

    Parameters
    ----------
    pial, white : (n_vertices, 3) ndarray
        In mm.
    faces : (n_faces, 3) ndarray of int
        Vertex indices.
    least : float
        How far it should lie outside the white surface, in mm.
    cortex : (n_vertices,) ndarray of bool
        Where that holds; elsewhere nothing is moved.

    Returns
    -------
    (n_vertices, 3) ndarray
        In mm.
    """
    normals = vertex_normals(white, faces)
    room = np.einsum('ij,ij->i', pial - white, normals)
    push = np.where(cortex, np.maximum(least - room, 0), 0)
    return pial + push[:, None] * normals


@dataclass(frozen=True)
class _Mesh:
    """What does not change while a surface is fitted."""

    faces: IntArray
    links: sparse.csr_array
    cortex: BoolArray
    side: int


@dataclass(frozen=True)
class _Fit:
    """One hemisphere while it is fitted: white and pial vertices, and what was seen last."""

    image: TissueImage
    mesh: _Mesh
    options: SurfaceFitOptions

    def levels(
        self, white: FloatArray, pial: FloatArray, normals: FloatArray, blur: float
    ) -> tuple[FloatArray, FloatArray]:
        """Estimate the intensities of GM and WM beside each vertex.

        Parameters
        ----------
        white, pial : (n_vertices, 3) ndarray
            Present surfaces, scanner RAS in mm.
        normals : (n_vertices, 3) ndarray
            Unit normals of the white surface, outwards.
        blur : float
            Width of the point-spread function, mm; see `cortical_levels`.

        Returns
        -------
        grey, white_matter : (n_vertices,) ndarray
            In the unit of the image.
        """
        return cortical_levels(
            self.image, white, pial, normals, self.mesh.cortex, self.mesh.links, blur
        )

    def move_white(
        self, white: FloatArray, pial: FloatArray, limit: float, stiffness: float, blur: float
    ) -> tuple[FloatArray, BoolArray, float]:
        """Take one step of the white surface towards half-way between GM and WM.

        Parameters
        ----------
        white, pial : (n_vertices, 3) ndarray
            Present surfaces, scanner RAS in mm.
        limit : float
            Farthest that an edge is followed along the normal, mm.
        stiffness : float
            Weight of smoothness against edges.
        blur : float
            Width of the point-spread function so far, mm.

        Returns
        -------
        moved : (n_vertices, 3) ndarray
            The new surface, mm.
        seen : (n_vertices,) ndarray of bool
            Where an edge was found within ``limit``.
        blur : float
            Median width of the edges found, mm; the given one without any.
        """
        normals = vertex_normals(white, self.mesh.faces)
        grey, white_matter = self.levels(white, pial, normals, blur)
        places = _positions(limit + self.options.margin, self.options.step)
        profiles = _profiles(self.image, white, normals, places, self.mesh.links, self.options)
        target = nearest_crossing(profiles, (grey + white_matter) / 2, places)
        seen = self.mesh.cortex & (np.abs(target) <= limit)
        found = edge_blur(profiles[seen], places, target[seen], (white_matter - grey)[seen])
        moved = self._follow(white, normals, target, seen, stiffness)
        return moved, seen, float(np.nanmedian(found)) if seen.any() else blur

    def move_pial(
        self, white: FloatArray, pial: FloatArray, limit: float, stiffness: float, blur: float
    ) -> tuple[FloatArray, BoolArray]:
        """Take one step of the pial surface, never into the white one.

        Parameters
        ----------
        white, pial : (n_vertices, 3) ndarray
            Present surfaces, scanner RAS in mm.
        limit : float
            Farthest that an edge is followed along the normal, mm.
        stiffness : float
            Weight of smoothness against edges.
        blur : float
            Width of the point-spread function, mm.

        Returns
        -------
        moved : (n_vertices, 3) ndarray
            The new surface, at least the minimum thickness from the white one.
        seen : (n_vertices,) ndarray of bool
            Where an edge was found within ``limit``.
        """
        grey, _ = self.levels(white, pial, vertex_normals(white, self.mesh.faces), blur)
        _, _, csf = self.image.tissue_means(pial)
        normals = vertex_normals(pial, self.mesh.faces)
        places = _positions(limit + self.options.margin, self.options.step)
        profiles = _profiles(self.image, pial, normals, places, self.mesh.links, self.options)
        target = pial_targets(grey, csf, profiles, places, self.options.sulcal_minimum_share)
        seen = self.mesh.cortex & (np.abs(target) <= limit)
        room = np.einsum('ij,ij->i', pial - white, normals)
        target = np.maximum(target, self.options.min_thickness - room)
        moved = self._follow(pial, normals, target, seen, stiffness)
        return tangentially_relaxed(moved, white, self.mesh.faces, self.mesh.links), seen

    def _follow(
        self,
        vertices: FloatArray,
        normals: FloatArray,
        target: FloatArray,
        seen: BoolArray,
        stiffness: float,
    ) -> FloatArray:
        """Move vertices along their normals by the smooth field that follows the targets."""
        distance = smooth_displacement(target, seen.astype(float), self.mesh.links, stiffness)
        return kept_on_side(self.image, vertices + distance[:, None] * normals, self.mesh.side)


def fit_surfaces(
    image: TissueImage,
    white: npt.ArrayLike,
    pial: npt.ArrayLike,
    faces: npt.ArrayLike,
    *,
    cortex: npt.ArrayLike,
    side: int = 0,
    options: SurfaceFitOptions | None = None,
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
    options : SurfaceFitOptions, optional
        Ranges and smoothness.

    Returns
    -------
    FittedSurfaces
        With flags of unsupported and self-intersecting vertices.
    """
    options = options or SurfaceFitOptions()
    white, pial = np.asarray(white, dtype=float), np.asarray(pial, dtype=float)
    faces = np.asarray(faces, dtype=np.int64)
    mesh = _Mesh(faces, neighbour_mean(faces, len(white)), np.asarray(cortex, dtype=bool), side)
    fit = _Fit(image, mesh, options)
    start = pial
    blur = 0.0
    for limit, stiffness in zip(options.ranges, options.stiffness, strict=True):
        moved, seen, blur = fit.move_white(white, pial, limit, stiffness, blur)
        # The pial surface rides along with the white one, or the thickness of the start would be
        # changed by every step of the latter.
        pial, _ = fit.move_pial(moved, pial + moved - white, limit, stiffness, blur)
        white = moved
    # White first: the pial surface is held outside of it, and must not be held outside of
    # something that is still to be mended.
    white, bad = repair_intersections(white, faces, mesh.links, options.repair_rounds)
    pial, pial_seen = fit.move_pial(white, pial, limit, stiffness, blur)
    base = with_minimum_thickness(start, white, faces, options.min_thickness, mesh.cortex)
    pial, pial_bad = repair_intersections(
        pial, faces, mesh.links, options.repair_rounds, base=base
    )
    return FittedSurfaces(white, pial, seen, pial_seen, bad | pial_bad)
