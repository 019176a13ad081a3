"""The brain in an image that still has its head: registration first, then intensities."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import nibabel as nb
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bids_acc.anat.registration import coarser, template_path
from bids_acc.exceptions import InputDataError
from bids_acc.images.ants_bridge import itk_session, to_ants
from bids_acc.images.masks import ball, largest_component
from bids_acc.images.volumes import MAX_BRAIN_ML, MIN_BRAIN_ML
from bids_acc.typing import BoolArray, FloatArray

LOGGER = logging.getLogger(__name__)


def extract_brain(
    data: Any, affine: FloatArray, prefix: Path, *, seed: int = 0, n_threads: int = 1
) -> BoolArray:
    """Find the brain of a whole-head T1w image.

    The template, with a skull and a scalp put around it, is registered to the head (affine, then
    SyN at 3 mm) with mutual information counted near the template's brain only; its brain
    outline is carried over and trimmed to the head's own intensities by `refine_mask`.

    Parameters
    ----------
    data : (nx, ny, nz) ndarray
        Intensities.
    affine : (4, 4) ndarray
        Voxel to scanner RAS in mm.
    prefix : Path
        Where ANTs puts its transforms.
    seed : int
        Seed of the metric samples.
    n_threads : int
        Threads of ITK.

    Returns
    -------
    (nx, ny, nz) ndarray of bool
        Brain.

    Raises
    ------
    InputDataError
        If what was found has not the size of a brain.
    """
    import ants

    template = nb.Nifti1Image.from_filename(template_path('t1'))
    intensity = template.get_fdata(dtype=np.float32)
    with_head, near = add_head(intensity)
    fixed, fixed_affine = coarser(with_head, template.affine, 3.0)
    near_coarse, _ = coarser(near.astype(np.float32), template.affine, 3.0)
    head = _compressed(data)
    with itk_session(n_threads, seed):
        moving = to_ants(*coarser(head, affine, 3.0))
        target = to_ants(fixed, fixed_affine)
        where = to_ants((near_coarse > 0.5).astype(np.float32), fixed_affine)
        common: dict[str, Any] = {'singleprecision': True}
        first = ants.registration(
            fixed=target, moving=moving, mask=where, mask_all_stages=True,
            type_of_transform='Affine', outprefix=f'{prefix}affine_',
            aff_random_sampling_rate=1.0,  # of a sparse sample, some draws end at the scalp
            **common,
        )  # fmt: skip
        second = ants.registration(
            fixed=target, moving=moving, mask=where, mask_all_stages=True,
            type_of_transform='SyNOnly', initial_transform=first['fwdtransforms'][0],
            outprefix=f'{prefix}syn_', **common,
        )  # fmt: skip
        outline = ants.apply_transforms(
            fixed=to_ants(data, affine),
            moving=to_ants((intensity > 0).astype(np.float32), template.affine),
            transformlist=second['invtransforms'],
            whichtoinvert=[p.endswith('.mat') for p in second['invtransforms']],
        ).numpy()
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    mask = refine_mask(data, outline > 0.5, sizes)
    volume_ml = float(mask.sum() * sizes.prod()) / 1000
    if not MIN_BRAIN_ML < volume_ml < MAX_BRAIN_ML:
        raise InputDataError(
            f'brain extraction found {volume_ml:.0f} mL, which is no whole brain: check the '
            'orientation and the field of view, or give a skull-stripped T1w image.'
        )
    return mask


def add_head(
    brain: npt.NDArray[np.float32], skull_mm: float = 5.0, scalp_mm: float = 10.0
) -> tuple[npt.NDArray[np.float32], BoolArray]:
    """Put a dark skull and a bright scalp around a skull-less template with 1 mm voxels.

    Without them the affine step can match the edge of the brain to the edge of the head, which
    is the stronger of the two: brains then come out half as large again.

    Parameters
    ----------
    brain : (nx, ny, nz) ndarray
        Template, zero outside the brain.
    skull_mm, scalp_mm : float
        Distance from the brain at which the scalp begins and ends.

    Returns
    -------
    with_head : (nx, ny, nz) ndarray
        Template with the two shells.
    near : (nx, ny, nz) ndarray of bool
        Brain and shells: where the metric is to be counted.
    """
    pad = int(scalp_mm) + 2
    inner = (slice(pad, -pad),) * 3
    distance = ndimage.distance_transform_edt(np.pad(brain <= 0, pad, constant_values=True))[inner]
    near = distance < scalp_mm
    with_head = brain.copy()
    with_head[near & (distance > skull_mm)] = np.median(brain[brain > 0])
    return with_head, near


def _compressed(data: Any) -> Any:
    """Clip the brightest voxels (fat, vessels), so that they do not rule the metric."""
    positive = data[data > 0]
    return np.clip(data, 0, np.quantile(positive, 0.98)) if positive.size else data


def refine_mask(
    data: npt.ArrayLike, outline: npt.ArrayLike, voxel_sizes: npt.ArrayLike
) -> BoolArray:
    """Trim an approximate outline to the bright, connected inside it.

    Parameters
    ----------
    data : (nx, ny, nz) array_like
        T1w intensities.
    outline : (nx, ny, nz) array_like of bool
        Approximate brain, a few mm off.
    voxel_sizes : (3,) array_like
        In mm.

    Returns
    -------
    (nx, ny, nz) ndarray of bool
        What is tissue and connected to the core within the outline widened by 3 mm, closed.
    """
    data, outline = np.asarray(data), np.asarray(outline, dtype=bool)
    core = ndimage.binary_erosion(outline, ball(8.0, voxel_sizes))
    if not core.any():
        return outline
    low, high = np.quantile(data[core], (0.02, 0.98))
    tissue = (data > 0.4 * low + 0.1 * high) & (data < 1.35 * high)
    wide = ndimage.binary_dilation(outline, ball(3.0, voxel_sizes))
    opened = ndimage.binary_opening(tissue & wide, ball(2.5, voxel_sizes))
    brain = largest_component(opened | core)
    closed = ndimage.binary_closing(np.pad(brain, 8), ball(6.0, voxel_sizes))[8:-8, 8:-8, 8:-8]
    return np.asarray(ndimage.binary_fill_holes(closed & wide))
