"""The brain in an image that still has its head: which method finds it, and whether to believe it.

A mask that somebody gives comes first, then the trained networks, then registration; a mask that
cannot be a brain's is passed over for the next. Whatever is taken is compared with another method.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from nibabel.affines import voxel_sizes
from scipy import ndimage

from bids_acc.anat.brain_network import (
    BOX_SHAPE,
    BrainNetworks,
    coarse_brain,
    nearest_resampled,
    network_brain,
)
from bids_acc.anat.brain_registration import (
    AffineFit,
    best_fit,
    carried_outline,
    fit_from_mask,
    head_box,
    refine_mask,
    template_fits,
)
from bids_acc.anat.brain_weights import load_networks
from bids_acc.exceptions import InputDataError
from bids_acc.images.masks import dice
from bids_acc.images.volumes import CUT_CM2, cut_area, stripped_mask
from bids_acc.typing import BoolArray, FloatArray, Scalar, Volume

BRAIN_ML = (900.0, 2100.0)
"""Volumes that an adult brain with the CSF around its folds can have. Of 26 real heads the
largest has 1956 mL (2015 by registration); a template stretched to the scalp has 2400."""
LEAST_AGREEMENT = 0.85
"""Dice overlap of two methods below which one of them is wrong. On eight real heads right masks
had .86 to .97 with the quick registration; masks 12 mm too wide, half masks, and masks 30 mm too
low had .52 to .84."""
REMEDY = (
    'look first whether the head stands upright in a viewer (a header that turns it defeats every '
    'method); give a brain mask (--anat-brain-mask FILE, or --derivatives with a '
    '*_desc-brain_mask), or a T1w image without skull and scalp (--skull-strip skip)'
)
"""What can be done when nothing finds a brain."""


LEAST_COHERENCE = 0.3
"""Correlation of neighbouring voxels in a brain below which there is no brain. Noise has none;
six real heads of 0.7 to 3 mm have .68 to .95, the lowest two of them clipped at export."""


@dataclass(frozen=True)
class BrainMask:
    """Where the brain is, and who says so."""

    mask: BoolArray
    """(nx, ny, nz) brain."""
    method: str
    """``network``, ``registration``, ``given`` or ``background``."""
    agreement: float
    """Dice overlap with what another method found; NaN where none found anything."""


def volume_ml(mask: npt.ArrayLike, affine: npt.ArrayLike) -> float:
    """Return the volume of a mask.

    Parameters
    ----------
    mask : (nx, ny, nz) array_like
        Of bool, or shares of voxels from 0 to 1.
    affine : (4, 4) array_like
        Voxel to scanner RAS in mm.

    Returns
    -------
    float
        mL.

    Examples
    --------
    >>> volume_ml(np.ones((10, 10, 10)), np.diag([2, 2, 2, 1]))
    8.0
    """
    return float(np.sum(mask)) * float(voxel_sizes(affine).prod()) / 1000


def is_brain_sized(mask: npt.ArrayLike, affine: npt.ArrayLike) -> bool:
    """Tell whether a mask has the volume of a brain, `BRAIN_ML`.

    Parameters
    ----------
    mask : (nx, ny, nz) array_like of bool
        What a method took for the brain.
    affine : (4, 4) array_like
        Voxel to scanner RAS in mm.

    Returns
    -------
    bool
        Whether its volume is one that an adult brain can have.
    """
    return BRAIN_ML[0] <= volume_ml(mask, affine) <= BRAIN_ML[1]


def coherence(data: npt.ArrayLike, mask: npt.ArrayLike) -> float:
    """Return the correlation of neighbouring voxels within a mask, along the best of the axes.

    Parameters
    ----------
    data : (nx, ny, nz) array_like
        Intensities.
    mask : (nx, ny, nz) array_like of bool
        Where to look.

    Returns
    -------
    float
        NaN where no two voxels adjoin or all are the same.

    Examples
    --------
    >>> rows = np.repeat(np.arange(8.0) % 3, 64).reshape(8, 8, 8)
    >>> round(coherence(rows, rows >= 0), 3)
    1.0
    """
    data, mask = np.asarray(data, dtype=float), np.asarray(mask, dtype=bool)
    found = [_along(data, mask, axis) for axis in range(3)]
    return max((value for value in found if np.isfinite(value)), default=float('nan'))


def _along(data: FloatArray, mask: BoolArray, axis: int) -> float:
    """Return the correlation of neighbours along one axis."""
    values, inside = np.moveaxis(data, axis, 0), np.moveaxis(mask, axis, 0)
    both = inside[:-1] & inside[1:]
    return _correlation(values[:-1][both], values[1:][both])


def _correlation(first: FloatArray, second: FloatArray) -> float:
    """Return Pearson's correlation; NaN where there is none."""
    if len(first) < 2 or not (np.ptp(first) > 0 and np.ptp(second) > 0):
        return float('nan')
    return float(np.corrcoef(first, second)[0, 1])


def check_coherent(data: npt.ArrayLike, mask: npt.ArrayLike, where: str) -> None:
    """Refuse a brain whose voxels are noise.

    Parameters
    ----------
    data : (nx, ny, nz) array_like
        T1w intensities.
    mask : (nx, ny, nz) array_like of bool
        Brain; only neighbours inside it are compared, see `coherence`.
    where : str
        File, for the message.

    Raises
    ------
    InputDataError
        If neighbours are less alike than `LEAST_COHERENCE`, or all voxels are the same.
    """
    found = coherence(data, mask)
    if not found >= LEAST_COHERENCE:
        raise InputDataError(
            f'{where}: this is noise and no brain: neighbouring voxels correlate by {found:.2f}, '
            'those of a head by more than 0.6. Convert the image again from DICOM, or take '
            'another one (--bids-filter-file).'
        )


def find_brain(
    data: Volume, affine: FloatArray, folder: Path, *, seed: int = 1, n_threads: int = 1
) -> BrainMask:
    """Find the brain of a whole head: the networks' mask, or else that of registration.

    Parameters
    ----------
    data : (nx, ny, nz) ndarray
        T1w intensities, finite, axes nearest to right, anterior, superior.
    affine : (4, 4) ndarray
        Voxel to scanner RAS in mm.
    folder : Path
        Where ANTs puts its transforms.
    seed : int
        Of the registrations; the networks need none.
    n_threads : int
        Threads of ITK.

    Returns
    -------
    BrainMask
        From ``network`` or ``registration``.

    Raises
    ------
    InputDataError
        If neither finds what can be a brain.
    """
    itk: dict[str, Any] = {'seed': seed, 'n_threads': n_threads}
    seen = _seen_by_networks(data, affine)
    if seen is not None and is_brain_sized(seen, affine):
        return BrainMask(seen, 'network', compared(data, affine, seen, folder, **itk))
    fit = best_fit(template_fits(data, affine, folder, **itk))
    outline = None if fit is None else _refined(data, affine, fit)
    if outline is None or not is_brain_sized(outline, affine):
        raise InputDataError(_failure(seen, outline, affine))
    agreement = dice(seen, outline) if seen is not None else float('nan')
    return BrainMask(outline, 'registration', agreement)


def compared(
    data: Volume, affine: FloatArray, mask: BoolArray, folder: Path, *, seed: int = 1,
    n_threads: int = 1,
) -> float:  # fmt: skip
    """Return the Dice overlap of a mask with the template's brain, registered to the whole head.

    A quick registration from the mask's place decides as a rule; where it disagrees, or has the
    scale of no head, the search from several starts has the last word.

    Parameters
    ----------
    data, affine, folder, seed, n_threads
        See `find_brain`.
    mask : (nx, ny, nz) ndarray of bool
        Brain; not empty.

    Returns
    -------
    float
        NaN when no registration has the scale of a head.
    """
    itk: dict[str, Any] = {'seed': seed, 'n_threads': n_threads}
    quick = fit_from_mask(data, affine, mask, folder, **itk)
    agreement = _overlap(quick, mask, affine)
    if quick.plausible and agreement >= LEAST_AGREEMENT:
        return agreement
    best = best_fit(template_fits(data, affine, folder, **itk)) or best_fit([quick])
    return float('nan') if best is None else _overlap(best, mask, affine)


def find_in_stripped(data: Volume, affine: FloatArray, *, sure: bool = False) -> BrainMask:
    """Return the brain of an image without a head, after a look by the networks.

    Parameters
    ----------
    data : (nx, ny, nz) ndarray
        T1w intensities, zero outside the brain, axes nearest to right, anterior, superior.
    affine : (4, 4) ndarray
        Voxel to scanner RAS in mm.
    sure : bool
        Whether somebody said that there is no head.

    Returns
    -------
    BrainMask
        What is not zero (``background``); or, unless it is sure, what the networks see
        (``network``) where this has the size of a brain and the other is far from it: a head on
        a background of zeros.
    """
    networks = load_networks()
    mask = stripped_mask(data, voxel_sizes(affine))
    try:
        seen = coarse_brain(_with_air(data, mask), networks)
    except ValueError:
        return BrainMask(mask, 'background', float('nan'))
    agreement = dice(seen, nearest_resampled(_with_air(mask, mask), BOX_SHAPE))
    if agreement < LEAST_AGREEMENT and not sure:
        inner = _by_networks(data, networks)
        if inner is not None and is_brain_sized(inner, affine):
            return BrainMask(inner, 'network', dice(inner, mask))
    return BrainMask(mask, 'background', agreement)


def given_brain(
    data: Volume, affine: FloatArray, given: npt.ArrayLike, given_affine: FloatArray
) -> BrainMask:
    """Carry a mask that somebody gives to the grid of the image, and compare it.

    Parameters
    ----------
    data : (nx, ny, nz) ndarray
        T1w intensities, finite, axes nearest to right, anterior, superior.
    affine : (4, 4) ndarray
        Voxel to scanner RAS in mm.
    given : (mx, my, mz) or (mx, my, mz, 1) array_like
        Mask: positive in the brain, or a probability of brain.
    given_affine : (4, 4) ndarray
        Of the mask, to the same space.

    Returns
    -------
    BrainMask
        ``given``, with the overlap with what the networks see.

    Raises
    ------
    InputDataError
        If what lies in the image has not the volume of a brain, or there are several volumes.
    """
    inside = _as_mask(given).astype(np.float32)
    to_source = np.linalg.inv(given_affine) @ affine
    mask = ndimage.affine_transform(
        inside, to_source[:3, :3], to_source[:3, 3], output_shape=data.shape, order=0
    ).astype(bool)
    if not is_brain_sized(mask, affine):
        low, high = BRAIN_ML
        turned = is_brain_sized(~mask, affine) or _touches_sides(mask) > HALF
        remedy = 'it seems to be inverted; brain is what lies above zero in it' if turned else (
            'check that both are in the same space'
        )  # fmt: skip
        raise InputDataError(
            f'the mask covers {volume_ml(mask, affine):.0f} mL of the T1w image, and a whole '
            f'brain has {low:.0f} to {high:.0f} mL: {remedy}.'
        )
    seen = _seen_by_networks(data, affine)
    return BrainMask(mask, 'given', float('nan') if seen is None else dice(seen, mask))


HALF = 0.5
"""Probability of brain, and share of the sides of an image, above which it counts."""
MOST_PROBABLE = 1.5
"""Largest value of a map of probabilities; interpolation goes beyond one."""


def _as_mask(given: npt.ArrayLike) -> BoolArray:
    """Turn what is given as a mask into one: positive, or, of probabilities, more than a half.

    Raises
    ------
    InputDataError
        If there are several volumes.

    Examples
    --------
    >>> _as_mask([[[0, 1, 42]]]), _as_mask([[[0.01, 0.4, 0.99]]])
    (array([[[False,  True,  True]]]), array([[[False, False,  True]]]))
    """
    values = np.nan_to_num(np.asarray(given, dtype=float))
    if values.ndim > 3:
        if values[..., 0].size != values.size:
            raise InputDataError(f'a mask has one volume, and this has the shape {values.shape}.')
        values = values.reshape(values.shape[:3])
    shares = values.max() <= MOST_PROBABLE and bool((values != np.rint(values)).any())
    return np.asarray(values > (HALF if shares else 0))


def _touches_sides(mask: BoolArray) -> float:
    """Return the share of the sides of a volume that a mask fills."""
    sides = [np.take(mask, end, axis) for axis in range(3) for end in (0, -1)]
    return float(np.concatenate([side.ravel() for side in sides]).mean())


def _with_air(data: npt.NDArray[Scalar], mask: BoolArray) -> npt.NDArray[Scalar]:
    """Return the box of a brain with as much air around it as an image of a head has."""
    box = ndimage.find_objects(mask.astype(np.uint8))[0]
    return np.pad(data[box], [((s.stop - s.start) // 4,) * 2 for s in box])


def _seen_by_networks(data: Volume, affine: FloatArray) -> BoolArray | None:
    """Return what the networks see in the whole image, or else in the head cut out of it."""
    networks = load_networks()
    seen = _by_networks(data, networks)
    if seen is not None and is_brain_sized(seen, affine):
        return seen
    box = head_box(data, affine)
    margin = [((s.stop - s.start) // 10,) * 2 for s in box]  # the networks expect air around it
    again = _by_networks(np.pad(data[box], margin), networks)
    if again is None:
        return seen
    inner = tuple(slice(m, -m or None) for m, _ in margin)
    mask = np.zeros(data.shape, dtype=bool)
    mask[box] = again[inner]
    return mask


def _by_networks(data: Volume, networks: BrainNetworks) -> BoolArray | None:
    """Return what the networks see; None for nothing."""
    try:
        return network_brain(data, networks)
    except ValueError:
        return None


def _overlap(fit: AffineFit, mask: BoolArray, affine: FloatArray) -> float:
    """Return the overlap of a mask with the template's brain, on a grid of about 2 mm."""
    # An overlap of brains is the same on every other voxel, and eight times as fast.
    step = np.maximum(np.rint(2.0 / voxel_sizes(affine)), 1).astype(int)
    coarse = mask[tuple(slice(None, None, k) for k in step)]
    grid = affine @ np.diag([*map(float, step), 1.0])
    return dice(coarse, carried_outline(fit, coarse.shape, grid))


def _refined(data: Volume, affine: FloatArray, fit: AffineFit) -> BoolArray:
    """Return the template's brain on the head, trimmed to the head's own intensities."""
    return refine_mask(data, carried_outline(fit, data.shape, affine), voxel_sizes(affine))


def _failure(seen: BoolArray | None, outline: BoolArray | None, affine: FloatArray) -> str:
    """Say what was tried and what can be done."""
    said = [
        f'{name} found {"no brain" if mask is None else f"{volume_ml(mask, affine):.0f} mL"}'
        for name, mask in (('the trained networks', seen), ('registration', outline))
    ]
    low, high = BRAIN_ML
    # What is larger than a brain is none; its flat faces are those of a neck or a turned head.
    found = [m for m in (seen, outline) if m is not None and volume_ml(m, affine) <= high]
    cut = max((cut_area(mask, voxel_sizes(affine)) for mask in found), default=0.0)
    part = (
        f' What was found ends in a flat face of {cut:.0f} cm2: the image seems to show a part of '
        'the head only.' if cut > CUT_CM2 else ''
    )  # fmt: skip
    return (
        f'brain extraction failed: {", ".join(said)}, and a whole brain has {low:.0f} to '
        f'{high:.0f} mL; {REMEDY}.{part}'
    )
