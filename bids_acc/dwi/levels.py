"""Volumes whose brightness does not go with their b-value: lost, not yet steady, or exchanged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bids_acc.dwi.shells import find_shells
from bids_acc.typing import BoolArray, FloatArray

OBJECT_SHARE = 0.1
"""Share of the largest signal above which a voxel is looked at."""
MOST_APART = 1.3
"""Factor by which a volume may be brighter or darker than the others of its shell. Own convention:
in OpenNeuro ds000114 they differ by 5 % at most, and a drift of 30 % through a series moves its
ends by 15 %."""
SPREADS = 4.0
"""Robust standard deviations of the shell that it must be away besides, so that an object of one
fibre, whose signal depends on direction, loses no volume."""
LEAST_VOLUMES = 4
"""Volumes of a shell of which fewer are not judged."""
WIDEST_SHELL = 300.0
"""Range of b-values of a shell, s/mm2, beyond which its volumes are not alike."""
DIFFUSIVITY = 0.7e-3
"""Mean diffusivity of brain tissue, mm2/s (Pierpaoli et al. 1996,
doi:10.1148/radiology.201.3.8939209), by which b-values inside a shell are allowed for."""
LEAST_COMPARED = 6
"""Volumes from which a drift is told."""
LOST_SHARE = 0.5
"""Share of a slice's usual signal below which it is lost. Own convention: a movement by a whole
slice changes the mean of a slice in the middle by a tenth."""
MIDDLE_SHARE = 0.5
"""Share of the brightest slice's signal from which a slice lies in the middle of the object."""
LIKE = 1.15
"""Factor within which a b = 0 volume is as dark as weighted ones. Own convention."""


@dataclass(frozen=True)
class Levels:
    """How bright volumes are, and which of them are unlike their shell."""

    level: FloatArray
    """(n_volumes,) mean signal in the object."""
    ratio: FloatArray
    """(n_volumes,) level relative to the median of the shell; NaN where it is not judged."""
    stray: BoolArray
    """(n_volumes,) volumes that are much brighter or darker than their shell."""
    dark_base: BoolArray
    """(n_volumes,) volumes counted as b = 0 that are as dark as the weighted ones, where weighted
    ones are as bright as b = 0: their b-values are those of other volumes."""

    def exchanged(self) -> bool:
        """Tell whether b-values lie beside the wrong volumes."""
        return bool(self.dark_base.any())

    def bright(self) -> BoolArray:
        """Tell which strays are too bright."""
        return self.stray & (self.ratio > 1)


def mean_levels(data: npt.NDArray[np.float32]) -> FloatArray:
    """Return the mean signal of each volume in what is bright in their mean.

    Parameters
    ----------
    data : (nx, ny, nz, n_volumes) ndarray of float32
        Signal.

    Returns
    -------
    (n_volumes,) ndarray
    """
    mean = np.nan_to_num(data).mean(axis=3)
    inside = mean > OBJECT_SHARE * np.percentile(mean, 99)
    return np.asarray(np.nan_to_num(data[inside]).mean(axis=0, dtype=float))


def judge_levels(level: npt.ArrayLike, bvals: npt.ArrayLike) -> Levels:
    """Compare the brightness of each volume with that of the others of its shell.

    Parameters
    ----------
    level : (n_volumes,) array_like
        Mean signal, see `mean_levels`.
    bvals : (n_volumes,) array_like
        s/mm2; zero where a volume counts as b = 0.

    Returns
    -------
    Levels

    Examples
    --------
    >>> found = judge_levels([100, 101, 160, 99, 40, 41, 39, 1, 40], [0] * 4 + [1000] * 5)
    >>> found.stray.nonzero()[0], found.exchanged()
    (array([2, 7]), False)
    >>> judge_levels([40, 100, 101, 100, 41, 40, 39, 100], [0] * 4 + [1000] * 4).exchanged()
    True
    """
    signal, values = np.asarray(level, dtype=float), np.asarray(bvals, dtype=float)
    shells = find_shells(values)
    ratio = np.full(signal.size, np.nan)
    stray = np.zeros(signal.size, dtype=bool)
    for shell in range(len(shells.bvalues)):
        members = np.flatnonzero(shells.labels == shell)
        own = values[members]
        if members.size < LEAST_VOLUMES or np.ptp(own) > WIDEST_SHELL:
            continue
        alike = signal[members] * np.exp(DIFFUSIVITY * (own - np.median(own)))
        middle = float(np.median(alike))
        if not middle > 0:
            continue
        away = np.log(np.maximum(alike / middle, 1e-6))
        spread = 1.4826 * float(np.median(np.abs(away)))
        ratio[members] = alike / middle
        found = np.abs(away) > max(np.log(MOST_APART), SPREADS * spread)
        stray[members] = found & (found.mean() < 0.5)
    return Levels(signal, ratio, stray, _dark_base(signal, values, ratio, stray))


def _dark_base(
    level: FloatArray, bvals: FloatArray, ratio: FloatArray, stray: BoolArray
) -> BoolArray:
    """Tell which b = 0 volumes are as dark as weighted ones, and weighted as bright as b = 0."""
    base = bvals == 0
    steady = ~base & np.isfinite(ratio) & ~stray
    bright = ~base & stray & (ratio > 1)
    if not steady.any() or not base.any():
        return np.zeros(level.size, dtype=bool)
    usual = level[steady] / ratio[steady]  # the median of each volume's shell
    if np.median(level[base]) * LIKE < usual.max():
        return np.asarray(base)  # all of them: signal does not fall as b rises
    if not bright.any():
        return np.zeros(level.size, dtype=bool)
    dark = base & (level < LIKE * usual.max()) & (level > usual.min() / LIKE)
    return np.asarray(dark & bool(np.median(level[bright]) > MOST_APART * usual.max()))


def slices_lost(
    data: npt.NDArray[np.float32], members: npt.ArrayLike, slice_axis: int
) -> dict[int, list[int]]:
    """Find slices of volumes of one contrast that are much darker than in the others.

    Before motion is known: only slices in the middle of the object are looked at, whose mean a
    movement hardly changes.

    Parameters
    ----------
    data : (nx, ny, nz, n_volumes) ndarray of float32
        Signal.
    members : (n,) array_like of int
        Volumes of that contrast.
    slice_axis : int
        Axis of the slices.

    Returns
    -------
    dict of int to list of int
        Volume to its lost slices; empty of a single volume.

    Examples
    --------
    >>> data = np.full((2, 2, 4, 3), 100, dtype=np.float32)
    >>> data[:, :, 2, 1] = 30
    >>> slices_lost(data, [0, 1, 2], 2)
    {1: [2]}
    """
    numbers = np.asarray(members, dtype=np.int64)
    if numbers.size < 2:
        return {}
    across = tuple(axis for axis in range(3) if axis != slice_axis)
    means = np.stack([np.nan_to_num(data[..., n]).mean(axis=across) for n in numbers], axis=1)
    # of two the brighter is right; of more their median
    usual = means.max(axis=1) if numbers.size == 2 else np.median(means, axis=1)
    middle = usual > MIDDLE_SHARE * usual.max()
    if not middle.any():
        return {}
    # a volume that is darker as a whole is no matter of slices, see `judge_levels`
    ratio = means / np.where(middle, usual, 1)[:, None]
    lost = middle[:, None] & (ratio < LOST_SHARE * np.median(ratio[middle], axis=0))
    return {
        int(volume): [int(k) for k in np.flatnonzero(lost[:, place])]
        for place, volume in enumerate(numbers) if lost[:, place].any()
    }  # fmt: skip


def drift(levels: Levels, bvals: npt.ArrayLike) -> float:
    """Return by how much the signal changes from the first to the last volume of a series.

    The gain of a scanner changes as its gradients become warm, which turns into diffusivity where
    b = 0 comes first. A line is fitted to the b = 0 volumes where three or more of them are spread
    over half of the series, else to all volumes of the shells that are judged.

    Parameters
    ----------
    levels : Levels
        In the order of acquisition.
    bvals : (n_volumes,) array_like
        s/mm2; zero where a volume counts as b = 0.

    Returns
    -------
    float
        Share of the first volume's signal; NaN of fewer than six volumes that can be compared.

    References
    ----------
    Vos SB, et al. (2017). The importance of correcting for signal drift in diffusion MRI. Magn
    Reson Med 77:285-299. https://doi.org/10.1002/mrm.26124

    Examples
    --------
    >>> bvals = [0, 0, 0, 0, *[1000] * 8]
    >>> level = np.linspace(1, 0.9, 12) * np.where(np.array(bvals) == 0, 100, 40)
    >>> round(drift(judge_levels(level, bvals), bvals), 2)
    -0.1
    """
    order = np.linspace(0, 1, levels.level.size)
    base = np.asarray(bvals, dtype=float) == 0
    known = ~levels.stray & (levels.level > 0)
    spread = known & base
    if spread.sum() >= 3 and np.ptp(order[spread]) > 0.5:
        slope, start = np.polyfit(order[spread], levels.level[spread], 1)
        return float(slope / start)
    known &= np.isfinite(levels.ratio)
    if known.sum() < LEAST_COMPARED:
        return float('nan')
    # one slope for all shells, and a height for each: shells are told by their median
    shell = np.round(levels.level[known] / levels.ratio[known], 9)
    heights = (shell[:, None] == np.unique(shell)).astype(float)
    design = np.column_stack([heights, order[known]])
    solved = np.linalg.lstsq(design, np.log(levels.level[known]), rcond=None)[0]
    return float(np.expm1(solved[-1]))
