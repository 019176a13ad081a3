"""A prepared run as numbers: series of voxels and of vertices, read once.

Vertices are sampled where the cortical ribbon lies: at three depths, each by a cubic spline in
each volume, averaged by their share of grey matter. The places come from the surfaces of the T1w
image for a series in its space, and from the template's own surfaces for a series in MNI152.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nb
import numpy as np
import numpy.typing as npt
from nibabel.affines import voxel_sizes
from scipy import ndimage, sparse

from bids_acc.exceptions import InputDataError
from bids_acc.files.reading import check_gzip, reading
from bids_acc.func.raw import check_signal
from bids_acc.images.affines import apply_matrix, voxel_centres
from bids_acc.images.ants_bridge import carry_points
from bids_acc.images.files import read_image
from bids_acc.images.resampling import sample, spline_coefficients
from bids_acc.surfaces.gifti import read_series, read_surface
from bids_acc.surfaces.ribbon import MIN_SHARE, blur_to_resolution, ribbon_points, tissue_shares
from bids_acc.surfaces.template import DENSITIES, HEMISPHERES, load_template
from bids_acc.typing import BoolArray, FloatArray

DEPTHS = (0.2, 0.5, 0.8)
"""Where the ribbon is sampled, from white to pial surface; five depths gain nothing at voxels of
3.5 mm."""
MARGIN = 2
"""Voxels around a brain mask that are looked at as well: masks of echo-planar images cut frontal
cortex (fmriprep#3561), and the signal itself tells where there is none."""


@dataclass(frozen=True)
class RunSeries:
    """A run as numbers, without its dummy volumes."""

    vertices: npt.NDArray[np.float32]
    """(n_volumes, n_vertices), left before right; NaN outside the field of view."""
    n_left: int
    """Vertices of the left half."""
    voxels: npt.NDArray[np.float32] | None = None
    """(n_volumes, n_voxels) of ``inside``, in C order; None of a run on surfaces."""
    inside: BoolArray | None = None
    """(i, j, k) voxels that were read."""
    affine: FloatArray | None = None


def read_volume_run(
    path: Path, mask: Path | None, n_dummy: int, points: FloatArray, weights: FloatArray
) -> RunSeries:
    """Read a 4D image: its voxels in and around the brain, and the vertices.

    Parameters
    ----------
    path : Path
        4D image.
    mask : Path or None
        Brain on the same grid; without one, all voxels are read that change in time.
    n_dummy : int
        Volumes at the start that are left out.
    points : (n_depths, n_vertices, 3) ndarray
        Places in the space of the image, mm; the left half of the vertices first.
    weights : (n_depths, n_vertices) ndarray
        Of the depths of each vertex.

    Raises
    ------
    InputDataError
        If all values are zero.
    """
    image = _open(path)
    affine = np.asarray(image.affine, dtype=float)
    inside = _voxels_to_read(image, mask)
    n_volumes = image.shape[3] - n_dummy
    voxels = np.empty((n_volumes, int(inside.sum())), dtype=np.float32)
    vertices = np.empty((n_volumes, points.shape[1]), dtype=np.float32)
    matrix, seen = spline_matrix(image.shape[:3], affine, points, weights)
    for index, volume in enumerate(_volumes(path, image, n_dummy)):
        voxels[index] = volume[inside]
        # One sparse product for a volume in place of an interpolation for each depth: the places
        # are the same in all volumes, as motion was corrected before.
        vertices[index] = matrix @ spline_coefficients(volume).ravel()
    vertices[:, ~seen] = np.nan
    check_signal(voxels.T, str(path))
    return RunSeries(vertices, points.shape[1] // 2, voxels, inside, affine)


def spline_matrix(
    shape: Sequence[int], affine: FloatArray, points: FloatArray, weights: FloatArray
) -> tuple[sparse.csr_array, BoolArray]:
    """Return the matrix that takes a volume's spline coefficients to its vertices.

    The same for all volumes: cubic B-splines around each point, mirrored at the edges as
    `bids_acc.images.resampling.sample` has them, the depths of a vertex added by their weights.

    Parameters
    ----------
    shape : sequence of int
        Of a volume.
    affine : (4, 4) ndarray
    points : (n_depths, n_vertices, 3) ndarray
        In mm.
    weights : (n_depths, n_vertices) ndarray

    Returns
    -------
    matrix : (n_vertices, n_voxels) sparse matrix of float32
    seen : (n_vertices,) ndarray of bool
        Whether all depths lie in the field of view.
    """
    size = np.asarray(shape[:3])
    place = apply_matrix(np.linalg.inv(affine), points.reshape(-1, 3))
    inside = ((place >= -0.5) & (place <= size - 0.5)).all(axis=1).reshape(weights.shape)
    place = np.clip(place, 0, size - 1)
    first = np.floor(place).astype(np.int64) - 1
    bases = _spline_weights(place - first - 1)
    share = (weights / weights.sum(axis=0)).ravel()
    n_vertices = points.shape[1]
    rows = np.tile(np.arange(n_vertices), len(points))
    matrix = sparse.csr_matrix((n_vertices, int(size.prod())), dtype=np.float32)
    steps = [_mirrored(first[:, k, None] + np.arange(4), int(size[k])) for k in range(3)]
    for i in range(4):
        for j in range(4):
            flat = (steps[0][:, i] * size[1] + steps[1][:, j])[:, None] * size[2] + steps[2]
            value = (share * bases[:, 0, i] * bases[:, 1, j])[:, None] * bases[:, 2]
            matrix = matrix + sparse.csr_matrix(
                (value.ravel().astype(np.float32), (np.repeat(rows, 4), flat.ravel())),
                shape=matrix.shape,
            )
    return matrix, np.asarray(inside.all(axis=0), dtype=bool)


def _spline_weights(t: FloatArray) -> FloatArray:
    """Return the four cubic B-splines at distance ``t`` beyond the second of four knots."""
    return np.stack(
        [(1 - t) ** 3 / 6, (3 * t**3 - 6 * t**2 + 4) / 6, (3 * (t + t**2 - t**3) + 1) / 6,
         t**3 / 6], axis=-1,
    )  # fmt: skip


def _mirrored(index: npt.NDArray[np.int64], size: int) -> npt.NDArray[np.int64]:
    """Reflect indices about the centres of the outermost voxels."""
    if size == 1:
        return np.zeros_like(index)
    folded = np.abs(index) % (2 * size - 2)
    return np.asarray(np.minimum(folded, 2 * size - 2 - folded))


def read_surface_run(paths: Sequence[Path], n_dummy: int, density: str) -> RunSeries:
    """Read the left and right ``func.gii`` of a run.

    Parameters
    ----------
    paths : sequence of Path
        Left and right.
    n_dummy : int
        Volumes at the start that are left out.
    density : str
        Of the mesh that is wanted; the vertices of a finer one begin with its.

    Raises
    ------
    InputDataError
        If the mesh is coarser than that, or the halves have different lengths.
    """
    n_vertices = DENSITIES[density]
    halves = [read_series(path, hemi) for path, hemi in zip(paths, HEMISPHERES, strict=True)]
    for path, half in zip(paths, halves, strict=True):
        if half.shape[1] < n_vertices:
            raise InputDataError(
                f'{path} has {half.shape[1]} vertices, fewer than the {n_vertices} of --density '
                f'{density}; take a coarser one, or a finer space of fMRIPrep.'
            )
    if len({len(half) for half in halves}) > 1:
        raise InputDataError(
            f'{paths[0]} has {len(halves[0])} volumes and {paths[1]} {len(halves[1])}; fetch both '
            'again.'
        )
    # The first vertices of a finer fsaverage are the coarser one.
    joined = np.hstack([half[n_dummy:, :n_vertices] for half in halves])
    check_signal(joined.T, str(paths[0]))
    if np.array_equal(halves[0], halves[1], equal_nan=True):  # fmriprep#1378
        raise InputDataError(
            f'{paths[0]} and {paths[1].name} hold the same values; make the surfaces again.'
        )
    return RunSeries(joined, n_vertices)


def count_volumes(paths: Sequence[Path]) -> int:
    """Return the number of volumes of a run, dummy volumes among them.

    Parameters
    ----------
    paths : sequence of Path
        A 4-D image, or left and right ``func.gii``, of which the left one is counted.
    """
    if len(paths) > 1:
        return len(read_series(paths[0]))
    check_gzip(paths[0])
    return int(_open(paths[0]).shape[3])


def _open(path: Path) -> nb.Nifti1Image:
    """Open a 4D image so that its volumes can be read one after the other."""
    with reading(path, 'NIfTI image', 'fetch it again'):
        image: nb.Nifti1Image = nb.load(path, keep_file_open=True)  # type: ignore[assignment]
    if len(image.shape) != 4:
        raise InputDataError(f'{path} is one volume {image.shape}, not a series; fetch it again.')
    return image


def _volumes(path: Path, image: nb.Nifti1Image, start: int) -> Iterator[npt.NDArray[np.float32]]:
    """Yield the volumes of an image; missing values become 0."""
    for index in range(start, image.shape[3]):
        with reading(path, 'NIfTI image', 'fetch it again'):
            # One volume at a time: a series of half an hour does not fit into memory twice.
            volume = np.asarray(image.dataobj[..., index], dtype=np.float32)
        yield np.nan_to_num(volume, posinf=0, neginf=0)


def _voxels_to_read(image: nb.Nifti1Image, mask: Path | None) -> BoolArray:
    """Return the brain with a margin, or everything without a mask."""
    if mask is None:
        return np.ones(image.shape[:3], dtype=bool)
    brain = read_image(mask)[0] > 0
    if brain.shape != tuple(image.shape[:3]):
        raise InputDataError(f'{mask} has another grid than its series; fetch both again.')
    return np.asarray(ndimage.binary_dilation(brain, iterations=MARGIN), dtype=bool)


def ribbon_of_subject(
    white: Sequence[Path], pial: Sequence[Path], tpms: Sequence[Path], resolution_mm: float
) -> tuple[FloatArray, FloatArray]:
    """Return where the cortex of a subject is sampled, and the weight of each depth.

    Parameters
    ----------
    white, pial : sequence of Path
        Left and right surfaces in scanner coordinates of the T1w image.
    tpms : sequence of Path
        Fractions of grey and white matter and CSF.
    resolution_mm : float
        Edge of the series' voxels.

    Returns
    -------
    points : (n_depths, n_vertices, 3) ndarray
    weights : (n_depths, n_vertices) ndarray
        Squared share of grey matter, as for diffusion.
    """
    halves = [ribbon_points(read_surface(w)[0], read_surface(p)[0], DEPTHS)
              for w, p in zip(white, pial, strict=True)]  # fmt: skip
    points = np.concatenate(halves, axis=1)
    tissues, affine = [], np.eye(4)
    for path in tpms[:2]:
        values, affine = read_image(path)
        tissues.append(blur_to_resolution(values, affine, resolution_mm))
    grey, _ = tissue_shares(points.reshape(-1, 3), tissues[0], tissues[1], affine)
    return points, np.maximum(grey.reshape(points.shape[:2]), MIN_SHARE) ** 2


def ribbon_of_template(density: str) -> tuple[FloatArray, FloatArray]:
    """Return the points at which the template's cortex is sampled, and their weights.

    Parameters
    ----------
    density : str
        ``10k`` or ``41k``.

    Returns
    -------
    points : (n_depths, n_vertices, 3) ndarray
        MNI152 RAS in mm, left vertices before right ones.
    weights : (n_depths, n_vertices) ndarray
        Ones: all depths count the same, as the subject's tissues are not known here.
    """
    mesh = load_template(density)
    halves = [ribbon_points(mesh[h].white, mesh[h].pial, DEPTHS) for h in HEMISPHERES]
    points = np.concatenate(halves, axis=1)
    return points, np.ones(points.shape[:2])


def voxel_edge(path: Path) -> float:
    """Return the edge of a cube that has the volume of an image's voxels.

    Parameters
    ----------
    path : Path
        NIfTI; only its header is read.

    Returns
    -------
    float
        mm.
    """
    return float(np.cbrt(np.prod(voxel_sizes(np.asarray(_open(path).affine, dtype=float)))))


def places_in_template(
    series: RunSeries, transforms: Sequence[Path] | None, density: str
) -> FloatArray:
    """Return the MNI152 coordinates of a run's voxels, or of its vertices where it has none.

    Parameters
    ----------
    series : RunSeries
    transforms : sequence of Path or None
        Those that carry template images to the T1w image, for a series in its space; None for a
        series in MNI152.
    density : str
        Of the mesh.

    Returns
    -------
    (n_places, 3) ndarray
        In mm.
    """
    if series.inside is None or series.affine is None:
        points, _ = ribbon_of_template(density)
        return np.asarray(points[len(DEPTHS) // 2])
    centres = voxel_centres(series.inside, series.affine)
    if transforms is None:
        return centres
    # what carries an image from the template carries points to it
    return carry_points(centres, transforms)


def brain_overlap(mask: Path, brain: Path) -> float:
    """Return the overlap (Dice) of a series' brain with that of the T1w image.

    Parameters
    ----------
    mask : Path
        Brain on the grid of the series, in the space of the T1w image.
    brain : Path
        Brain of the T1w image.
    """
    first, affine = read_image(mask)
    other, own = read_image(brain)
    carried = sample(other, own, voxel_centres(np.ones(first.shape, dtype=bool), affine))
    there = np.nan_to_num(carried).reshape(first.shape) > 0.5
    both = (first > 0) & there
    total = (first > 0).sum() + there.sum()
    return float(2 * both.sum() / total) if total else float('nan')
