"""Quality figures of a T1w image and its surfaces (arrays), and which of them are unusual."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from scipy import sparse

EXPECTED: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        'brain_ml': (800.0, 2000.0),
        'registration_dice': (0.90, 1.0),
        'gm_share': (0.30, 0.65),
        'cnr': (1.5, math.inf),
        'snr_wm': (8.0, math.inf),
        'clamped_share_L': (0.0, 0.10),
        'clamped_share_R': (0.0, 0.10),
        'intersecting_share_L': (0.0, 0.005),
        'intersecting_share_R': (0.0, 0.005),
        'thickness_median_L': (1.8, 4.0),
        'thickness_median_R': (1.8, 4.0),
        'roi_thickness_mean_L': (2.0, 5.0),
        'roi_thickness_mean_R': (2.0, 5.0),
        'roi_defined_share_L': (0.9, 1.0),
        'roi_defined_share_R': (0.9, 1.0),
        'euler_L': (2.0, 2.0),
        'euler_R': (2.0, 2.0),
    }
)
"""Lowest and highest usual value. They are set wide, to catch failures and not diversity: the
share of intersecting faces is the accuracy this project asks of itself; the others were chosen
around adult brains of 800-2000 mL and cortex of 2-4 mm."""


def contrast_to_noise(means: npt.ArrayLike, deviations: npt.ArrayLike) -> tuple[float, float]:
    r"""Return the contrast-to-noise ratio of GM and WM, and the signal-to-noise ratio of WM.

    .. math::
        \mathrm{CNR} = \frac{\mu_{WM} - \mu_{GM}}{\sqrt{(\sigma_{WM}^2 + \sigma_{GM}^2)/2}},
        \qquad \mathrm{SNR} = \mu_{WM} / \sigma_{WM}

    Higher is better. The deviations hold the tissue's own variety besides the noise.

    Parameters
    ----------
    means, deviations : (3,) array_like
        Of GM, WM and CSF.

    Returns
    -------
    cnr, snr : float
        NaN where a deviation is zero.
    """
    (grey, white, _), (grey_sd, white_sd, _) = np.asarray(means), np.asarray(deviations)
    noise = math.sqrt((grey_sd**2 + white_sd**2) / 2)
    return (
        float((white - grey) / noise) if noise > 0 else math.nan,
        float(white / white_sd) if white_sd > 0 else math.nan,
    )


def unusual(figures: Mapping[str, float]) -> list[str]:
    """Say which figures lie outside their usual range; a missing or NaN figure does too.

    Examples
    --------
    >>> [text for text in unusual({'brain_ml': 400.0}) if 'brain' in text]
    ['brain_ml 400 (usual: 800 to 2000)']
    """
    found = []
    for name, (low, high) in EXPECTED.items():
        value = figures.get(name, math.nan)
        if not low <= value <= high:
            found.append(f'{name} {value:.4g} (usual: {low:g} to {high:g})')
    return found


def weakly_supported(
    supported: npt.NDArray[np.bool_],
    links: sparse.csr_array,
    n_rounds: int = 3,
    least: float = 0.2,
) -> npt.NDArray[np.bool_]:
    """Tell which vertices saw no boundary and have hardly a neighbour that did.

    Parameters
    ----------
    supported : (n_vertices,) ndarray of bool
        Whether the vertex saw its boundary.
    links : (n_vertices, n_vertices) csr_array
        See `bids_acc.anat.geometry.neighbour_mean`.
    n_rounds : int
        How many rings count.
    least : float
        Share of supported vertices around that is enough.

    Returns
    -------
    (n_vertices,) ndarray of bool
        Vertices whose place is a guess: their thickness is undefined.
    """
    share = supported.astype(float)
    for _ in range(n_rounds):
        share = links @ share
    return ~supported & (share < least)
