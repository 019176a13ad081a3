"""Brain extraction by registration: where the trained networks fail, and to compare them with.

The template, with a skull and a scalp put around it, is registered to the head by affine maps with
mutual information. SyN would lose 5 to 11 % of a brain that the affine had: the made-up skull has
no details that a head shares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nb
import numpy as np
import numpy.typing as npt
from nibabel.affines import voxel_sizes
from scipy import ndimage

from bids_acc.anat.registration import bias_correct, coarser, template_path
from bids_acc.images.ants_bridge import itk_session, read_matrix, to_ants, write_matrix
from bids_acc.images.masks import ball, largest_component, otsu_threshold
from bids_acc.typing import BoolArray, FloatArray, SingleArray, Volume

if TYPE_CHECKING:
    from ants.core.ants_image import ANTsImage

SCALE_RANGE = (0.55, 1.1)
"""Volume of a head as a share of the template's: those of 26 real heads lie within .69 to 1.05.
Beyond, the template was stretched to the scalp or shrunk into the brain."""
HEAD_MM = 175.0
"""How much of an image below the top of the head is looked at: no neck, no shoulders."""
SEARCH_MM, CHECK_MM = 4.0, 6.0
"""Voxels of the registrations from several starts and from a mask."""
STARTS = (('Rigid', 'Affine'), ('Affine',), ('Similarity', 'Affine'))
"""Kinds of map, one after the other, of each start: none of them is right in every head."""
BRIGHTEST = 0.98
"""Quantile above which intensities (fat, vessels) are clipped, so that they do not rule the
metric."""


@dataclass(frozen=True)
class AffineFit:
    """One registration of the template to a head."""

    matrix: FloatArray
    """(4, 4) template RAS to head RAS, in mm."""
    information: float
    """Mutual information of the two images; higher is better."""

    @property
    def scale(self) -> float:
        """Volume of the head as a share of the template's."""
        return float(np.linalg.det(self.matrix[:3, :3]))

    @property
    def plausible(self) -> bool:
        """Whether the scale is that of a head."""
        return SCALE_RANGE[0] <= self.scale <= SCALE_RANGE[1]


def best_fit(fits: Sequence[AffineFit]) -> AffineFit | None:
    """Return the plausible fit with the most mutual information; None without a plausible one.

    Mutual information alone is no proof: in one head, fits of .29 and 1.09 times the template's
    volume had the same.

    Parameters
    ----------
    fits : sequence of AffineFit
        From several starts, of one image.

    Examples
    --------
    >>> fits = [AffineFit(np.diag([s, s, s, 1.0]), i) for s, i in ((1.2, 0.6), (0.9, 0.5))]
    >>> round(best_fit(fits).scale, 3)
    0.729
    """
    plausible = [fit for fit in fits if fit.plausible]
    return max(plausible, key=lambda fit: fit.information) if plausible else None


def head_box(data: npt.ArrayLike, affine: npt.ArrayLike) -> tuple[slice, slice, slice]:
    """Return the part of an image that holds the head, down to `HEAD_MM` below its top.

    Parameters
    ----------
    data : (nx, ny, nz) array_like
        Intensities, last axis upwards.
    affine : (4, 4) array_like
        Voxel to scanner RAS in mm.

    Returns
    -------
    tuple of slice
        Along each axis the slices of which a fiftieth or more is brighter than air.

    Examples
    --------
    >>> head = np.zeros((60, 60, 100))
    >>> head[10:50, 10:50, :95] = 100
    >>> head_box(head, np.diag([3, 3, 3, 1]))
    (slice(9, 51, None), slice(9, 51, None), slice(38, 96, None))
    """
    data = np.asarray(data, dtype=np.float32)
    sizes = voxel_sizes(affine)
    step = np.maximum(np.rint(2.0 / sizes), 1).astype(int)
    thin = data[tuple(slice(None, None, k) for k in step)]
    smooth = ndimage.gaussian_filter(thin, 2.0 / (sizes * step))
    inside = smooth > 0.5 * otsu_threshold(smooth)
    bounds = []
    for axis, n in enumerate(data.shape):
        share = inside.mean(axis=tuple(other for other in range(3) if other != axis))
        filled = np.flatnonzero(share > 0.02)
        first, last = (filled[0], filled[-1] + 1) if filled.size else (0, len(share))
        bounds.append((int(first * step[axis]), min(n, int(last * step[axis]))))
    top = bounds[2][1]
    bounds[2] = (max(bounds[2][0], top - round(HEAD_MM / sizes[2])), top)
    x, y, z = (slice(low, high) for low, high in bounds)
    return x, y, z


def add_head(
    brain: npt.NDArray[np.float32], skull_mm: float = 5.0, scalp_mm: float = 10.0
) -> npt.NDArray[np.float32]:
    """Put a dark skull and a bright scalp around a skull-less template with 1 mm voxels.

    Without them an affine map can match the edge of the brain to the edge of the head, which is
    the stronger of the two: brains then come out half as large again.

    Parameters
    ----------
    brain : (nx, ny, nz) ndarray
        Template, zero outside the brain.
    skull_mm, scalp_mm : float
        Distance from the brain at which the scalp begins and ends.

    Returns
    -------
    (nx, ny, nz) ndarray
        Template with the two shells.
    """
    pad = int(scalp_mm) + 2
    inner = (slice(pad, -pad),) * 3
    distance = ndimage.distance_transform_edt(np.pad(brain <= 0, pad, constant_values=True))[inner]
    with_head = brain.copy()
    with_head[(distance < scalp_mm) & (distance > skull_mm)] = np.median(brain[brain > 0])
    return with_head


@cache
def _template() -> tuple[SingleArray, FloatArray, SingleArray]:
    """Return the template's brain, its affine, and the brain with a head around it."""
    image = nb.Nifti1Image.from_filename(template_path('t1'))
    intensity = image.get_fdata(dtype=np.float32)
    return (intensity > 0).astype(np.float32), image.affine, add_head(intensity)


def _as_seen(
    data: Volume, affine: FloatArray, voxel_mm: float, n_threads: int
) -> tuple[Volume, FloatArray]:
    """Cut the neck off, average to larger voxels, even a coil out and clip what is brightest.

    Beside a coil that made one side four times as bright, mutual information was highest with
    the template shrunk to less than half.
    """
    first = head_box(data, affine)[2].start
    moved = np.array(affine, dtype=float)
    # What is cut off at the bottom moves the first voxel.
    moved[:3, 3] += first * moved[:3, 2]
    coarse, grid = coarser(np.maximum(data[:, :, first:], 0), moved, voxel_mm)
    head = coarse > 0.5 * otsu_threshold(coarse)
    if head.any():
        coarse = bias_correct(coarse, grid, head, n_threads)
    positive = coarse[coarse > 0]
    top = np.quantile(positive, BRIGHTEST) if positive.size else 0.0
    return np.minimum(coarse, top), grid


def template_fits(
    data: Volume, affine: FloatArray, folder: Path, *, seed: int = 1, n_threads: int = 1
) -> list[AffineFit]:
    """Register the template to a whole head, once from each start.

    Parameters
    ----------
    data : (nx, ny, nz) ndarray
        T1w intensities, axes nearest to right, anterior, superior.
    affine : (4, 4) ndarray
        Voxel to scanner RAS in mm.
    folder : Path
        Where ANTs puts its transforms.
    seed : int
        Of the samples for the metric.
    n_threads : int
        Threads of ITK.

    Returns
    -------
    list of AffineFit
        In the order of `STARTS`.
    """
    _, template_affine, with_head = _template()
    fits = []
    seen = _as_seen(data, affine, SEARCH_MM, n_threads)
    with itk_session(n_threads, seed):
        fixed = to_ants(*coarser(with_head, template_affine, SEARCH_MM))
        moving = to_ants(*seen)
        for number, kinds in enumerate(STARTS):
            start: str | None = None
            for kind in kinds:
                fit, start = _register(fixed, moving, kind, start, folder / f'{number}{kind}_')
            fits.append(fit)
    return fits


def fit_from_mask(
    data: Volume,
    affine: FloatArray,
    mask: BoolArray,
    folder: Path,
    *,
    seed: int = 1,
    n_threads: int = 1,
) -> AffineFit:
    """Register the template to a whole head, from the place and size of a brain mask.

    The mask is only where the search begins: from masks that were half a brain, or 12 mm too
    wide, or 30 mm too low, it ended in eight real heads where it ends from the right one, within
    a Dice overlap with the brain of .85 to .97.

    Parameters
    ----------
    data, affine, folder, seed, n_threads
        See `template_fits`.
    mask : (nx, ny, nz) ndarray of bool
        Brain; not empty.
    """
    brain, template_affine, with_head = _template()
    start = folder / 'start.txt'
    write_matrix(_between(brain > 0, template_affine, mask, affine), start)
    seen = _as_seen(data, affine, CHECK_MM, n_threads)
    with itk_session(n_threads, seed):
        fixed = to_ants(*coarser(with_head, template_affine, CHECK_MM))
        moving = to_ants(*seen)
        return _register(fixed, moving, 'Affine', str(start), folder / 'check_')[0]


def _between(a: BoolArray, a_affine: FloatArray, b: BoolArray, b_affine: FloatArray) -> FloatArray:
    """Return the shift and scale from one mask to another, (4, 4) in mm."""
    volume = [float(m.sum()) * abs(np.linalg.det(g[:3, :3])) for m, g in
              ((a, a_affine), (b, b_affine))]  # fmt: skip
    centre = [(g @ np.r_[np.argwhere(m).mean(axis=0), 1])[:3] for m, g in
              ((a, a_affine), (b, b_affine))]  # fmt: skip
    scale = float(np.cbrt(volume[1] / volume[0]))
    matrix = np.diag([scale, scale, scale, 1.0])
    matrix[:3, 3] = centre[1] - scale * centre[0]
    return matrix


def _register(
    fixed: ANTsImage, moving: ANTsImage, kind: str, start: str | None, prefix: Path
) -> tuple[AffineFit, str]:
    """Register by one kind of map; return the fit and the transform's file."""
    import ants

    found = ants.registration(
        fixed=fixed,
        moving=moving,
        type_of_transform=kind,
        outprefix=str(prefix),
        aff_random_sampling_rate=1.0,  # of a sparse sample, some draws end at the scalp
        singleprecision=True,
        **({'initial_transform': [start]} if start else {}),
    )
    path = str(found['fwdtransforms'][0])
    # ANTs returns a cost, the negative of the information.
    information = -float(ants.image_mutual_information(fixed, found['warpedmovout']))
    return AffineFit(read_matrix(path), information), path


def carried_outline(fit: AffineFit, shape: tuple[int, ...], affine: FloatArray) -> BoolArray:
    """Return the template's brain where a fit puts it.

    Parameters
    ----------
    fit : AffineFit
        See `template_fits`.
    shape : tuple of int
        Grid of the head.
    affine : (4, 4) ndarray
        Of the head, voxel to scanner RAS in mm.
    """
    brain, template_affine, _ = _template()
    to_source = np.linalg.inv(template_affine) @ np.linalg.inv(fit.matrix) @ affine
    carried = ndimage.affine_transform(
        brain, to_source[:3, :3], to_source[:3, 3], output_shape=shape, order=1, output=np.float32
    )
    return np.asarray(carried > 0.5)


def refine_mask(data: npt.ArrayLike, outline: npt.ArrayLike, sizes: npt.ArrayLike) -> BoolArray:
    """Trim an approximate outline to the bright, connected inside it.

    Parameters
    ----------
    data : (nx, ny, nz) array_like
        T1w intensities.
    outline : (nx, ny, nz) array_like of bool
        Approximate brain, a few mm off.
    sizes : (3,) array_like
        Edges of a voxel in mm.

    Returns
    -------
    (nx, ny, nz) ndarray of bool
        What is tissue and connected to the core within the outline widened by 3 mm, closed.
    """
    data, outline = np.asarray(data), np.asarray(outline, dtype=bool)
    # Deep enough to hold no skull even where the outline is too wide: its intensities are a
    # brain's.
    core = ndimage.binary_erosion(outline, ball(8.0, sizes))
    if not core.any():
        return outline
    low, high = np.quantile(data[core], (0.02, 0.98))
    tissue = (data > 0.4 * low + 0.1 * high) & (data < 1.35 * high)
    wide = ndimage.binary_dilation(outline, ball(3.0, sizes))
    opened = ndimage.binary_opening(tissue & wide, ball(2.5, sizes))
    brain = largest_component(opened | core)
    closed = ndimage.binary_closing(np.pad(brain, 8), ball(6.0, sizes))[8:-8, 8:-8, 8:-8]
    return np.asarray(ndimage.binary_fill_holes(closed & wide))
