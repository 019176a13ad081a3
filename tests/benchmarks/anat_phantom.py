"""Brains of known truth: the template under smooth maps, and images of them.

The template's T1w image is pulled through a smooth random warp and an affine, with noise and a
bias field. The template's surfaces, pushed through the same map, are the truth.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from bids_acc.anat.interfaces import load_volume
from bids_acc.anat.morphometry import spread_on_mesh, symmetric_thickness
from bids_acc.anat.quality import ACC_LABELS
from bids_acc.anat.registration import template_path
from bids_acc.anat.tissues import sample_volume
from bids_acc.surfaces.geometry import vertex_areas, vertex_normals
from bids_acc.surfaces.neighbours import neighbour_mean
from bids_acc.surfaces.regions import region_mask
from bids_acc.surfaces.template import HEMISPHERES, load_template

Shift = tuple[np.ndarray, np.ndarray]
"""A field of displacements (3, nx, ny, nz) in mm and its affine."""
ROI = tuple(sorted(ACC_LABELS))
PEOPLE_SD = 0.15
"""Standard deviation, in mm, of a cingulate parcel's true mean thickness between healthy young
adults. FreeSurfer's tables of the Human Connectome Project (S1200, 22-36 years, one scanner), as
https://github.com/predictive-clinical-neuroscience/PCNtoolkit-demo keeps them
(``data/HCP1200_aparc_thickness.csv``; 67 people from the beginning, middle and end): .172 left
caudal, .172 left rostral, .286 right caudal (.187 without four people below 2 mm, in whom the
medial wall was counted in), .171 right rostral. Part of it is error of measurement: times the
square root of FreeSurfer's reliability of thickness, .81 (Iscan et al. 2015,
https://doi.org/10.1002/hbm.22856), .155 is left, rounded down. Wider ages and patients differ
more."""


@dataclass(frozen=True)
class Head:
    """A smooth map from a subject's space to the template."""

    matrix: np.ndarray
    field: np.ndarray
    field_affine: np.ndarray
    shifts: tuple[Shift, ...] = ()

    def to_template(self, points: np.ndarray) -> np.ndarray:
        """Carry subject points to the template."""
        straight = points @ self.matrix[:3, :3].T + self.matrix[:3, 3]
        warped = straight + _sample_vectors(self.field, self.field_affine, straight)
        moved = warped
        for field, affine in self.shifts:
            moved = moved - _sample_vectors(field, affine, warped)
        return moved

    def from_template(self, points: np.ndarray, n_iterations: int = 60) -> np.ndarray:
        """Invert `to_template` by fixed-point iteration."""
        inverse = np.linalg.inv(self.matrix)[:3, :3]
        guess = (points - self.matrix[:3, 3]) @ inverse.T
        for _ in range(n_iterations):
            guess = guess + 0.7 * (points - self.to_template(guess)) @ inverse.T
        return guess


def _sample_vectors(field: np.ndarray, affine: np.ndarray, points: np.ndarray) -> np.ndarray:
    return np.stack([sample_volume(c, affine, points) for c in field], axis=-1)


def draw_head(rng: np.random.Generator, shifts: tuple[Shift, ...] = ()) -> Head:
    """Draw size, position and a smooth warp of 2 mm (rms) and 20 mm (standard deviation)."""
    angles = np.deg2rad(rng.normal(0, 4, 3))
    matrix = np.eye(4)
    for axis, angle in enumerate(angles):
        i, j = (k for k in range(3) if k != axis)
        turn = np.eye(4)
        turn[[i, j], [i, j]] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        matrix = matrix @ turn
    matrix[:3, :3] = matrix[:3, :3] @ np.diag(1 + rng.normal(0, 0.03, 3))
    matrix[:3, 3] = rng.normal(0, 4, 3)
    noise = rng.standard_normal((3, 60, 70, 60))
    smooth = np.stack([ndimage.gaussian_filter(c, 20 / 4) for c in noise])
    field = 2.0 * smooth / smooth.std()
    affine = np.diag([4.0, 4, 4, 1])
    affine[:3, 3] = (-120, -150, -90)
    return Head(matrix, field, affine, shifts)


def planted_shift(hemi: str, share: float) -> tuple[Shift, np.ndarray]:
    """Return a field that moves the white border of a patch outwards, and the patch's weights."""
    mesh = load_template()[hemi]
    mask = region_mask(mesh.labels, mesh.names, ROI)
    thickness = symmetric_thickness(mesh.white, mesh.pial, mesh.faces)
    centre = mesh.white[mask].mean(axis=0)
    middle = mesh.white[
        np.flatnonzero(mask)[np.linalg.norm(mesh.white[mask] - centre, axis=1).argmin()]
    ]
    weight = np.exp(-((mesh.white - middle) ** 2).sum(axis=1) / (2 * 7.0**2))
    shift = border_shift(hemi, share * thickness * weight, np.floor(middle - 25), (101, 101, 101))
    return shift, np.where(mask, weight, 0)


def border_shift(hemi: str, amount: np.ndarray, low: np.ndarray, shape: tuple[int, ...]) -> Shift:
    """Return a field on a grid of 0.5 mm that moves the template's white border outwards.

    It fades with a standard deviation of 1.1 mm above and below the border, so the pial border
    stays nearly where it is.

    Parameters
    ----------
    hemi : str
        ``'L'`` or ``'R'``.
    amount : (n_vertices,) ndarray
        How far, in mm.
    low : (3,) ndarray
        Corner of the grid in mm.
    shape : tuple of int
        Size of the grid.
    """
    mesh = load_template()[hemi]
    normals = vertex_normals(mesh.white, mesh.faces)
    axes = [low[k] + np.arange(shape[k]) * 0.5 for k in range(3)]
    grid = np.stack(np.meshgrid(*axes, indexing='ij'), axis=-1)
    near = cKDTree(mesh.white[mesh.cortex]).query(grid.reshape(-1, 3))[1]
    index = np.flatnonzero(mesh.cortex)[near]
    height = ((grid.reshape(-1, 3) - mesh.white[index]) * normals[index]).sum(axis=1)
    moved = amount[index] * np.exp(-(height**2) / (2 * 1.1**2))
    field = (moved[:, None] * normals[index]).T.reshape(3, *shape)
    field = np.stack([ndimage.gaussian_filter(c, 1.0) for c in field])
    affine = np.diag([0.5, 0.5, 0.5, 1.0])
    affine[:3, 3] = low
    return field, affine


def parcel_masks(hemi: str, labels: tuple[str, ...] = ROI) -> list[np.ndarray]:
    """Return the vertices of each parcel."""
    mesh = load_template()[hemi]
    return [region_mask(mesh.labels, mesh.names, (label,)) for label in labels]


def all_labels() -> tuple[str, ...]:
    """Return the names of all parcels of the cortex."""
    mesh = load_template()['L']
    present = set(np.unique(mesh.labels[mesh.cortex]).tolist())
    return tuple(name for code, name in sorted(mesh.names.items()) if code in present)


@dataclass(frozen=True)
class TrueSurfaces:
    """One hemisphere of the template, carried into a head."""

    white: np.ndarray
    pial: np.ndarray
    faces: np.ndarray

    @property
    def mid(self) -> np.ndarray:
        """Half-way between both surfaces, (n_vertices, 3) mm."""
        return (self.white + self.pial) / 2

    @cached_property
    def thickness(self) -> np.ndarray:
        """By the definition of the product, (n_vertices,) mm."""
        return symmetric_thickness(self.white, self.pial, self.faces)

    @cached_property
    def area(self) -> np.ndarray:
        """Of the mid-surface, (n_vertices,) mm2."""
        return vertex_areas(self.mid, self.faces)


def carried(head: Head, hemi: str) -> TrueSurfaces:
    """Carry the template's surfaces of one hemisphere into a head."""
    mesh = load_template()[hemi]
    return TrueSurfaces(head.from_template(mesh.white), head.from_template(mesh.pial), mesh.faces)


def true_parcels(head: Head) -> dict[str, np.ndarray]:
    """Return the true mean thickness (mm) and area (mm2) of the parcels: left, then right."""
    found: dict[str, list[float]] = {'thickness': [], 'area': []}
    for hemi in HEMISPHERES:
        true = carried(head, hemi)
        for mask in parcel_masks(hemi):
            found['thickness'].append(float(true.thickness[mask].mean()))
            found['area'].append(float(true.area[mask].sum()))
    return {name: np.array(values) for name, values in found.items()}


def thickening(hemi: str, amounts: np.ndarray) -> Shift:
    """Return a field that moves the white border inwards over each parcel, in mm.

    The amounts blend into each other and into the surroundings over some 6 mm.
    """
    mesh = load_template()[hemi]
    links = neighbour_mean(mesh.faces, len(mesh.white))
    masks = np.stack(parcel_masks(hemi), axis=1)
    weights = spread_on_mesh(masks, mesh.white, links, 6.0)
    near = mesh.white[masks.any(axis=1)]
    low, high = np.floor(near.min(axis=0) - 8), np.ceil(near.max(axis=0) + 8)
    shape = tuple(int(n) for n in (high - low) * 2 + 1)
    return border_shift(hemi, -weights @ amounts, low, shape)


def people(seeds: range, spread: float = PEOPLE_SD) -> list[Head]:
    """Draw heads whose parcels differ in true thickness as people's do.

    Heads of the same seeds as `draw_head` alone gives, whose thickness differs by a mere
    stretching of one template, get their white border moved so that each parcel's mean thickness
    has a wanted standard deviation between the heads; the draws (normal, one for each parcel) are
    scaled to have it in this very sample, so that no lucky sample decides.
    """
    plain = [draw_head(np.random.default_rng(seed)) for seed in seeds]
    natural = np.stack([true_parcels(head)['thickness'] for head in plain])
    drawn = np.random.default_rng([seeds.start, seeds.stop]).standard_normal(natural.shape)
    drawn = (drawn - drawn.mean(axis=0)) / drawn.std(axis=0, ddof=1)
    wanted = natural.mean(axis=0) + spread * drawn - natural
    gain = _thickening_gain()
    n = len(ROI)
    heads = []
    for seed, change in zip(seeds, wanted, strict=True):
        amounts = np.linalg.solve(gain, change)
        shifts = [thickening(h, amounts[n * i : n * (i + 1)]) for i, h in enumerate(HEMISPHERES)]
        heads.append(draw_head(np.random.default_rng(seed), tuple(shifts)))
    return heads


@cache
def _thickening_gain(amount: float = 0.2) -> np.ndarray:
    """Return how much thicker each parcel of the template gets per mm asked of each parcel."""
    none = Head(np.eye(4), np.zeros((3, 2, 2, 2)), np.eye(4))
    before = true_parcels(none)['thickness']
    columns = []
    for hemi in HEMISPHERES:
        for unit in np.eye(len(ROI)):
            head = replace(none, shifts=(thickening(hemi, amount * unit),))
            columns.append((true_parcels(head)['thickness'] - before) / amount)
    return np.stack(columns, axis=1)


def draw_image(
    head: Head, voxel: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return a T1w image of the head, with 3 % noise and a bias field of +-20 %."""
    template, template_affine = load_volume(template_path('t1'))
    corners = np.array([[x, y, z] for x in (-78, 78) for y in (-112, 78) for z in (-72, 88)])
    box = head.from_template(corners.astype(float))
    low, high = box.min(axis=0) - 8, box.max(axis=0) + 8
    shape = np.ceil((high - low) / voxel).astype(int)
    affine = np.diag([voxel, voxel, voxel, 1.0])
    affine[:3, 3] = low
    index = np.indices(shape).reshape(3, -1).T
    image = np.empty(len(index), dtype=np.float32)
    for part in np.array_split(np.arange(len(index)), 8):
        points = index[part] * voxel + low
        image[part] = sample_volume(template, template_affine, head.to_template(points))
    image = image.reshape(shape)
    bias = ndimage.zoom(rng.standard_normal((4, 4, 4)), np.array(shape) / 4, order=3)
    bias = bias[tuple(slice(0, n) for n in shape)]
    field = np.exp(0.2 * bias / np.abs(bias).max())
    noisy = image * field + rng.normal(0, 0.03 * 200, shape)
    return np.where(image > 20, np.maximum(noisy, 1), 0).astype(np.float32), affine


def image_of(
    seed: int, voxel: float, shifts: tuple[Shift, ...] = ()
) -> tuple[Head, np.ndarray, np.ndarray]:
    """Draw the head of a seed and its image."""
    rng = np.random.default_rng(seed)
    head = draw_head(rng, shifts)
    return head, *draw_image(head, voxel, rng)
