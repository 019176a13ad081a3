"""The magnetization transfer ratio, its noise floor, and what is unusual of it.

All formulas know arrays. A ratio over several places is that of the sums and not the mean of the
ratios: noise in the denominator makes the latter too small.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from bids_acc.typing import BoolArray, FloatArray

MAD_TO_SD = 0.6745
"""Median of the absolute values of a normal variable of standard deviation one."""
PURE = 0.9
"""Probability above which a voxel is taken for one tissue (own convention)."""
FRACTION_MAX = 1.0
PERCENT_MAX = 100.0
"""A map whose median is not above the first holds fractions, not above the second per cent."""
USUAL: Mapping[str, tuple[float, float]] = {
    'mtr_wm': (10.0, 70.0),
    'mtr_wm_gm': (0.5, 40.0),
    'coverage_L': (0.9, 1.0),
    'coverage_R': (0.9, 1.0),
    'negative_share': (0.0, 0.05),
    'snr_off': (10.0, math.inf),
    'on_off_gap': (0.0, 0.3),
}
"""Usual range of figures, set wide to catch failures (own convention). White matter has some 30 to
55 % at 1.5 and 3 T, always more than grey matter. A misalignment of 0.3 mm between the two images
changes the ratio of the insula by 0.9 points in a simulation; at a signal-to-noise ratio of 10 the
mean of ratios is off by 1.1 points, that of sums by 0.4."""
ONLY_PAIR = frozenset({'snr_off', 'on_off_gap'})
"""Figures that a ready map does not have."""


def transfer_ratio(on: npt.ArrayLike, off: npt.ArrayLike, floor: float = 0.0) -> FloatArray:
    """Return the magnetization transfer ratio in per cent, 100 (off - on) / off.

    Parameters
    ----------
    on, off : array_like
        Signal with and without saturation.
    floor : float
        Signals without saturation up to this one are noise.

    Returns
    -------
    ndarray
        NaN below the floor and where either signal is unknown. It may be negative where noise
        makes it so.

    References
    ----------
    Dousset V, et al. (1992). Experimental allergic encephalomyelitis and multiple sclerosis:
    lesion characterization with magnetization transfer imaging. Radiology 182:483-491.
    https://doi.org/10.1148/radiology.182.2.1732968

    Examples
    --------
    >>> transfer_ratio([60.0, 1, np.nan], [100.0, 1, 100], floor=5)
    array([40., nan, nan])
    """
    on, off = np.asarray(on, dtype=float), np.asarray(off, dtype=float)
    with np.errstate(invalid='ignore', divide='ignore'):
        ratio = 100 * (off - on) / off
    return np.where(np.isfinite(ratio) & (off > floor), ratio, np.nan)


def noise_sd(image: npt.ArrayLike, inside: BoolArray) -> float:
    """Estimate the noise of a volume from its finest differences within a mask.

    The diagonal coefficients of one level of the Haar transform hold noise and hardly any
    anatomy; their median is robust against the rest. Interpolation makes the estimate too small.

    Parameters
    ----------
    image : (i, j, k) array_like
    inside : (i, j, k) ndarray of bool
        Where to look; blocks of eight voxels count that lie inside wholly.

    Returns
    -------
    float
        Standard deviation; NaN with fewer than 100 blocks.

    References
    ----------
    Donoho DL, Johnstone IM (1994). Ideal spatial adaptation by wavelet shrinkage. Biometrika
    81:425-455. https://doi.org/10.1093/biomet/81.3.425
    Coupe P, et al. (2010). Robust Rician noise estimation for MR images. Med Image Anal
    14:483-493. https://doi.org/10.1016/j.media.2010.03.001

    Examples
    --------
    >>> noise = np.random.default_rng(1).normal(100, 3, (40, 40, 40))
    >>> round(noise_sd(noise, np.ones(noise.shape, dtype=bool)), 1)
    3.0
    """
    even = tuple(slice(0, n - n % 2) for n in np.shape(image))
    values = np.asarray(image, dtype=float)[even]
    whole = np.asarray(inside, dtype=bool)[even]
    for axis in range(3):
        first, second = ([slice(None)] * 3 for _ in range(2))
        first[axis], second[axis] = slice(0, None, 2), slice(1, None, 2)
        # Divided by the root of two, so that the deviation of noise stays what it is through all
        # three axes.
        values = (values[tuple(first)] - values[tuple(second)]) / math.sqrt(2)
        # A difference across the edge of the brain is anatomy.
        whole = whole[tuple(first)] & whole[tuple(second)]
    found = np.abs(values[whole & np.isfinite(values)])
    return float(np.median(found) / MAD_TO_SD) if found.size >= 100 else float('nan')


def percent_factor(values: npt.ArrayLike, told: str = '') -> float:
    """Return what makes per cent of a ready map.

    Parameters
    ----------
    values : array_like
        The map; zeros and what is not finite are left out.
    told : str
        ``Units`` of its sidecar; empty or arbitrary where it does not tell.

    Returns
    -------
    float
        1 for per cent, 100 for fractions.

    Raises
    ------
    ValueError
        With what is wrong, if values are those of no such map or contradict the unit.

    Examples
    --------
    >>> percent_factor([0, 35, 45]), percent_factor([0.3, 0.4], '1')
    (1.0, 100.0)
    """
    flat = np.asarray(values, dtype=float).ravel()
    flat = flat[np.isfinite(flat) & (flat != 0)]
    if not flat.size:
        raise ValueError('holds no values')
    middle = float(np.median(flat))
    if not 0 < middle <= PERCENT_MAX:
        raise ValueError(
            f'has a median of {middle:.4g}, and a ratio lies between 0 and 1, or 0 and 100 %: '
            'write it as 100 (off - on) / off'
        )
    factor = 100.0 if middle <= FRACTION_MAX else 1.0
    named = UNITS.get(told.strip().lower())
    if named is not None and named != factor:
        raise ValueError(
            f'has a median of {middle:.4g}, which does not go with Units {told!r} of its sidecar: '
            'correct one of them'
        )
    return factor


UNITS: Mapping[str, float] = {
    '%': 1.0, 'percent': 1.0, 'percentage': 1.0, 'per cent': 1.0, 'p.u.': 1.0, 'pu': 1.0,
    '1': 100.0, 'fraction': 100.0, 'ratio': 100.0, 'unitless': 100.0,
}  # fmt: skip
"""Words for a unit in small letters, and what makes per cent of it."""


def tissue_figures(
    mtr: npt.ArrayLike, grey: npt.ArrayLike, white: npt.ArrayLike, csf: npt.ArrayLike
) -> dict[str, float]:
    """Summarise a map by tissue.

    Parameters
    ----------
    mtr : (n,) array_like
        Per cent; NaN where unknown.
    grey, white, csf : (n,) array_like
        Probabilities of the same voxels.

    Returns
    -------
    dict of str to float
        ``mtr_gm, mtr_wm, mtr_csf`` (medians where the tissue is pure), ``mtr_wm_gm`` (their
        difference) and ``negative_share`` of pure grey and white matter.
    """
    ratio = np.asarray(mtr, dtype=float)
    # Voxels at borders hold two tissues, and how many there are is anatomy, not quality.
    pure = [np.asarray(p) > PURE for p in (grey, white, csf)]
    figures = {f'mtr_{name}': _median(ratio[own])
               for name, own in zip(('gm', 'wm', 'csf'), pure, strict=True)}  # fmt: skip
    tissue = ratio[pure[0] | pure[1]]
    tissue = tissue[np.isfinite(tissue)]
    figures['mtr_wm_gm'] = figures['mtr_wm'] - figures['mtr_gm']
    figures['negative_share'] = float(np.mean(tissue < 0)) if tissue.size else float('nan')
    return figures


def _median(values: FloatArray) -> float:
    """Return the median of what is finite; NaN without any."""
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else float('nan')


def unusual(figures: Mapping[str, float], *, is_map: bool) -> list[str]:
    """Say which figures lie outside their usual range; a missing or NaN figure does too.

    Parameters
    ----------
    figures : mapping
        Name to value.
    is_map : bool
        Whether a ready map was taken, which has no signals of its own.

    Examples
    --------
    >>> good = {name: low for name, (low, _) in USUAL.items()}
    >>> unusual(good | {'mtr_wm': 3.0}, is_map=False)
    ['mtr_wm 3 (usual: 10 to 70)']
    """
    found = []
    for name, (low, high) in USUAL.items():
        value = figures.get(name, math.nan)
        if not (is_map and name in ONLY_PAIR) and not low <= value <= high:
            found.append(f'{name} {value:.3g} (usual: {_range(low, high)})')
    return found


def _range(low: float, high: float) -> str:
    """Write a range."""
    return f'at least {low:g}' if math.isinf(high) else f'{low:g} to {high:g}'
