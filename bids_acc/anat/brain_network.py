"""Brain extraction by two trained networks: what is done to the image before and after them.

The steps are those of deepbet 1.0.2 (Fisch L, et al. (2024), Comput Biol Med 179:108845,
https://doi.org/10.1016/j.compbiomed.2024.108845), whose networks these are: the first finds the
brain's box in the whole image, the second the brain in that box. The constants below were there
when they were trained. Here are arrays only; `bids_acc.anat.brain_weights` runs the networks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bids_acc.typing import BoolArray

FloatVolume = npt.NDArray[np.float32]
Network = Callable[[FloatVolume], FloatVolume]
"""From normalised intensities (nx, ny, nz) to the probability of brain (nx, ny, nz)."""
Box = tuple[slice, slice, slice]

BOX_SHAPE = (128, 128, 128)
"""Grid on which the first network sees the whole image."""
BRAIN_SHAPE = (256, 256, 256)
"""Grid on which the second network sees the box."""
LIMITS = (0.005, 0.995)
"""Quantiles of the image between which intensities are kept."""
MEAN, DEVIATION = 0.449, 0.226
"""Of the intensities that the networks see."""
MARGIN = 0.1
"""What is added on each side of the box, as a share of its size."""
LEAST_FILLED = 0.02
"""A slice belongs to the box when more than this share of it is brain."""
PROBABILITY = 0.5
"""Voxels above it are brain."""


@dataclass(frozen=True)
class BrainNetworks:
    """The two networks."""

    box: Network
    """Finds the brain in the whole image."""
    brain: Network
    """Finds the brain's outline in the box."""


def nearest_resampled(data: npt.ArrayLike, shape: tuple[int, ...]) -> npt.NDArray[np.generic]:
    """Take the nearest voxels on a grid of another size over the same field of view.

    Parameters
    ----------
    data : (nx, ny, nz) array_like
        Any volume.
    shape : tuple of int
        Size of the new grid, whose outer edges are those of the old one.

    Returns
    -------
    (mx, my, mz) ndarray
        Values of the voxel in which the centre of each new voxel lies.

    Examples
    --------
    >>> nearest_resampled(np.arange(6), (3,))
    array([1, 3, 5])
    >>> nearest_resampled([7, 8], (4,))
    array([7, 7, 8, 8])
    """
    data = np.asarray(data)
    index = [
        np.minimum(((np.arange(n) + 0.5) * (m / n)).astype(int), m - 1)
        for n, m in zip(shape, data.shape, strict=True)
    ]
    return data[np.ix_(*index)]


def intensity_limits(data: npt.ArrayLike) -> tuple[float, float]:
    """Return the intensities between which an image is scaled, the quantiles `LIMITS`.

    Parameters
    ----------
    data : array_like
        T1w intensities with skull and air, which count among the quantiles.

    Returns
    -------
    low, high : float
        In the unit of the image; `normalised` takes them to 0 and 1.

    Raises
    ------
    ValueError
        If they are the same: there is nothing to see on so small a part of the image.
    """
    low, high = (float(q) for q in np.quantile(np.asarray(data, dtype=np.float32), LIMITS))
    if not high > low:
        raise ValueError('the image is constant but for a small part of it')
    return low, high


def normalised(data: npt.ArrayLike, low: float, high: float) -> FloatVolume:
    """Clip intensities to two limits and give them the mean and deviation of the training.

    Parameters
    ----------
    data : (nx, ny, nz) array_like
        Intensities.
    low, high : float
        See `intensity_limits`.

    Returns
    -------
    (nx, ny, nz) ndarray of float32
        Mean `MEAN`, standard deviation `DEVIATION`; all `MEAN` where nothing differs.
    """
    scaled = np.clip((np.asarray(data, dtype=np.float32) - low) / (high - low), 0, 1)
    scaled -= scaled.mean(dtype=float)
    deviation = float(scaled.std(dtype=float))
    return np.asarray(scaled * (DEVIATION / (deviation or 1.0)) + MEAN, dtype=np.float32)


def largest_part(mask: npt.ArrayLike) -> BoolArray:
    """Keep the largest part of a mask; voxels that share a corner are connected.

    Parameters
    ----------
    mask : (nx, ny, nz) array_like of bool
        A network's probability above its threshold.

    Returns
    -------
    (nx, ny, nz) ndarray of bool
        Empty if the mask is.
    """
    labels, n = ndimage.label(np.asarray(mask, dtype=bool), structure=np.ones((3, 3, 3)))
    if n == 0:
        return np.zeros(np.shape(mask), dtype=bool)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(labels == sizes.argmax())


def box_with_margin(mask: npt.ArrayLike, shape: tuple[int, ...]) -> Box:
    """Return the box of a mask, widened by `MARGIN`, on the grid of the whole image.

    Parameters
    ----------
    mask : (mx, my, mz) array_like of bool
        Brain on a coarse grid over the same field of view.
    shape : tuple of int
        Of the image.

    Returns
    -------
    tuple of slice
        Within the image.

    Raises
    ------
    ValueError
        If no slice along some axis is filled to `LEAST_FILLED`.

    Examples
    --------
    >>> mask = np.zeros((10, 10, 10), dtype=bool)
    >>> mask[2:7, 2:7, 2:7] = True
    >>> box_with_margin(mask, (20, 20, 10))
    (slice(3, 15, None), slice(3, 15, None), slice(1, 7, None))
    """
    mask = np.asarray(mask, dtype=bool)
    found = []
    for axis, n in enumerate(shape):
        share = mask.mean(axis=tuple(other for other in range(3) if other != axis))
        filled = np.flatnonzero(share > LEAST_FILLED)
        if not filled.size:
            raise ValueError('no brain is seen in the whole image')
        scale = n / mask.shape[axis]
        centre = round((filled[0] + filled[-1] + 1) / 2 * scale)
        size = round((filled[-1] + 1 - filled[0]) * scale * (1 + 2 * MARGIN))
        found.append(slice(max(0, int(centre - size / 2)), min(n, int(centre + size / 2))))
    return found[0], found[1], found[2]


def coarse_brain(data: npt.ArrayLike, networks: BrainNetworks) -> BoolArray:
    """Return the brain as the first network sees it, on the grid `BOX_SHAPE`.

    Parameters
    ----------
    data : (nx, ny, nz) array_like
        T1w intensities with skull; axes as `normalised` and the networks expect them.
    networks : BrainNetworks
        Of which the first one finds the box around the brain.

    Returns
    -------
    ndarray of bool
        Of shape `BOX_SHAPE`, whatever the size of the voxels.

    Raises
    ------
    ValueError
        See `intensity_limits`.
    """
    small = nearest_resampled(data, BOX_SHAPE)
    return largest_part(networks.box(normalised(small, *intensity_limits(small))) > PROBABILITY)


def network_brain(data: npt.ArrayLike, networks: BrainNetworks) -> BoolArray:
    """Find the brain of a T1w image.

    Parameters
    ----------
    data : (nx, ny, nz) array_like
        Finite intensities, axes nearest to right, anterior, superior.
    networks : BrainNetworks
        See `bids_acc.anat.brain_weights.load_networks`.

    Returns
    -------
    (nx, ny, nz) ndarray of bool
        One part without holes.

    Raises
    ------
    ValueError
        If the networks see no brain.
    """
    data = np.asarray(data, dtype=np.float32)
    box = box_with_margin(coarse_brain(data, networks), data.shape)
    limits = intensity_limits(nearest_resampled(data, BOX_SHAPE))
    part = normalised(nearest_resampled(data[box], BRAIN_SHAPE), *limits)
    brain = networks.brain(part) > PROBABILITY
    mask = np.zeros(data.shape, dtype=bool)
    inside = largest_part(nearest_resampled(brain, data[box].shape))
    mask[box] = ndimage.binary_fill_holes(inside)
    return mask
