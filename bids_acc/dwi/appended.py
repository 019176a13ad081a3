"""Maps that a scanner computed and appended to a series, where they pass for b = 0 images."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bids_acc.typing import BoolArray, FloatArray

LEAST_LIKENESS = 0.9
"""Rank correlation with the series' own map from which a volume may be a map. In a run of
OpenNeuro ds000114 an appended ADC map and a trace image had 1.00 with it and .80 with the b = 0
images; these had .91 with it and .97 with each other."""
MARGIN = 0.02
"""By how much a volume must be more like a map than like the other b = 0 images. Own convention:
above the scatter of such correlations between volumes of one series."""
OBJECT_SHARE = 0.1
"""Share of the largest signal above which a voxel is looked at."""
LEAST_SHOWN = 0.3
"""Share of the object that a map must fill. Own convention."""
MAX_VOXELS = 200_000
"""As many tell as much as all."""


def appended_maps(data: npt.NDArray[np.float32], is_base: npt.ArrayLike) -> BoolArray:
    r"""Tell which volumes that count as b = 0 are the mean diffusivity or the trace image.

    Philips appends an ADC map to a series, and some exports give it b = 0 (dcm2niix issues 44 and
    401). What it looks like follows from the series itself: :math:`\ln(S_0 / \bar S)` is the mean
    diffusivity but for a factor, and :math:`\bar S` the trace image.

    Parameters
    ----------
    data : (nx, ny, nz, n_volumes) ndarray of float32
        Signal.
    is_base : (n_volumes,) array_like of bool
        Volumes that count as b = 0.

    Returns
    -------
    (n_volumes,) ndarray of bool
        False throughout where there are fewer than two such volumes or no others.
    """
    base = np.asarray(is_base, dtype=bool)
    found = np.zeros(base.size, dtype=bool)
    if base.sum() < 2 or base.all():
        return found
    weighted = np.nan_to_num(data[..., ~base]).mean(axis=3)
    first = np.nan_to_num(data[..., int(base.argmax())])
    inside = np.flatnonzero(first > OBJECT_SHARE * np.percentile(first, 99))
    inside = inside[:: max(inside.size // MAX_VOXELS, 1)]
    if not inside.size:
        return found
    mean = weighted.ravel()[inside].astype(float)
    volumes = {
        n: np.nan_to_num(data[..., n]).ravel()[inside].astype(float) for n in np.flatnonzero(base)
    }
    for number, values in volumes.items():
        others = np.mean([v for n, v in volumes.items() if n != number], axis=0)
        found[number] = _is_map(values, others, mean)
    # If all b = 0 volumes look like maps, what looks odd is the series: nothing is thrown away
    # then.
    return found if found.sum() < base.sum() else np.zeros_like(found)


def _is_map(values: FloatArray, base: FloatArray, weighted: FloatArray) -> bool:
    """Tell whether a volume is more like a map of the series than like its b = 0 images."""
    shown = values > 0  # scanners set what they do not compute to zero
    if shown.mean() < LEAST_SHOWN:
        return False
    values, base, weighted = values[shown], base[shown], weighted[shown]
    # Logarithms of the background would be ruled by its noise.
    low = 1e-3 * max(float(base.max(initial=0)), 1e-30)
    decay = np.log(np.maximum(base, low) / np.maximum(weighted, low))
    like = max(_likeness(values, decay), _likeness(values, weighted))
    return like >= LEAST_LIKENESS and like > _likeness(values, base) + MARGIN


def _likeness(first: FloatArray, second: FloatArray) -> float:
    """Return the correlation of ranks; 0 where there is none.

    Ranks, since some scanners clip their maps or scale them in another way.
    """
    if not (first.size > 1 and np.ptp(first) > 0 and np.ptp(second) > 0):
        return 0.0
    one, other = (
        np.argsort(np.argsort(v, kind='stable'), kind='stable').astype(float)
        for v in (first, second)
    )
    return float(np.corrcoef(one, other)[0, 1])
