"""Measures of a diffusion series' quality.

=======================  ==========================================================  ==========
measure                  definition                                                  better
=======================  ==========================================================  ==========
``fd_mean``, ``fd_max``  framewise displacement (Power et al. 2012), mm              lower
``motion_mean``          mean displacement of brain voxels from the reference, mm    lower
``outlier_slices_pct``   slices more than 4 SD below their prediction                lower
``snr_b0``               median over voxels of mean / SD of the aligned b = 0        higher
``snr_b<b>``             median over voxels of the shell's mean / SD of the          higher
                         prediction's error
``cnr_b<b>``             median over voxels of SD of the prediction over directions  higher
                         / SD of its error (Bastiani et al. 2019)
``coreg_nmi``            normalised mutual information of b = 0 and T1w image        higher
                         (Studholme et al. 1999), from 1 (none) to 2
``coreg_dice``           overlap of the brains in b = 0 and T1w image                higher
``neighbour_corr``       mean correlation of each volume with its q-space neighbour  higher
                         (Yeh et al. 2019)
``residual_median``      median over voxels of the tensor fit's relative residual    lower
``non_positive_pct``     brain voxels with a non-positive tensor                     lower
=======================  ==========================================================  ==========

References: Bastiani M, et al. (2019). NeuroImage 184:801-812,
doi:10.1016/j.neuroimage.2018.09.073. Yeh F-C, et al. (2019). NeuroImage 202:116131,
doi:10.1016/j.neuroimage.2019.116131. Studholme C, et al. (1999). Pattern Recognit 32:71-86,
doi:10.1016/S0031-3203(98)00091-0. What cannot be computed is NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from bids_acc.dwi.shells import Shells
from bids_acc.typing import FloatArray

USUAL: Mapping[str, tuple[float, float]] = {
    'md_median': (0.5e-3, 1.6e-3),
    'outlier_slices_pct': (0.0, 10.0),
    'brain_seen': (0.9, 1.0),
    'non_positive_pct': (0.0, 5.0),
    'coreg_dice': (0.8, 1.0),
    'negative_pct': (0.0, 5.0),
    'clipped_pct': (0.0, 0.5),
    'drift_pct': (-10.0, 10.0),
    'order_gain': (0.0, 1.03),
}
"""Figure and its usual range. Mean diffusivity of brain tissue is 0.7e-3 mm2/s (a third of the
trace of Pierpaoli et al. 1996, Radiology 201:637-648, doi:10.1148/radiology.201.3.8939209); fluid
at the edges of voxels and the brains of newborns bring its median over a brain to more, and
b-values that are wrong by a factor of two bring it beyond these limits. They, as the others, are a
convention of this package, wide enough to name failures only."""


def unusual(figures: Mapping[str, str | float]) -> list[str]:
    """Say which figures of a series are outside their usual range, and whether axes look wrong.

    What was not measured, as the overlap with a T1w image that is not there, is not judged; of a
    series without any diffusivity that is said.

    Parameters
    ----------
    figures : mapping
        Name to value, as the table of quality has them.

    Returns
    -------
    list of str

    Examples
    --------
    >>> unusual({'md_median': 0.00297})
    ['md_median 0.00297 (usual: 0.0005 to 0.0016; do the b-values fit the images?)']
    >>> unusual({'md_median': 0.0008, 'coreg_dice': 0.4})
    ['coreg_dice 0.4 (usual: 0.8 to 1)']
    """
    found = []
    for name, (low, high) in USUAL.items():
        value = float(figures.get(name, math.nan))
        unknown = math.isnan(value) and name != 'md_median'
        if not (unknown or low <= value <= high):
            hint = '; do the b-values fit the images?' if name == 'md_median' else ''
            found.append(f'{name} {value:.3g} (usual: {low:g} to {high:g}{hint})')
    if figures.get('axes_suspicious') and not figures.get('axes_fixed'):
        found.append(
            f'gradient axes look wrong (coherence {figures["coherence"]:.3g}, of another table '
            f'{figures["coherence_best"]:.3g}; see Findings in the sidecar)'
        )
    return found


def b0_snr(signal: npt.ArrayLike, shells: Shells) -> float:
    """Return the temporal SNR of the b = 0 volumes.

    Parameters
    ----------
    signal : (n_voxels, n_volumes) array_like
        Aligned, brain voxels.
    shells : Shells

    Returns
    -------
    float
        NaN with fewer than three b = 0 volumes.
    """
    base = np.asarray(signal, dtype=float)[:, shells.volume_bvalues == 0]
    if base.shape[1] < 3:
        return float('nan')
    spread = base.std(axis=1, ddof=1)
    ratio = np.divide(base.mean(axis=1), spread, out=np.full(len(base), np.nan), where=spread > 0)
    return _median(ratio)


def shell_cnr(signal: npt.ArrayLike, predicted: npt.ArrayLike, shells: Shells) -> dict[int, float]:
    """Return the contrast-to-noise ratio of each shell.

    Parameters
    ----------
    signal, predicted : (n_voxels, n_volumes) array_like
        Aligned, and as the other volumes predict it.
    shells : Shells

    Returns
    -------
    dict of int to float
        By b-value; NaN with fewer than seven volumes.
    """
    return _over_noise(signal, predicted, shells, lambda _, wanted: wanted.std(axis=1, ddof=1))


def shell_snr(signal: npt.ArrayLike, predicted: npt.ArrayLike, shells: Shells) -> dict[int, float]:
    """Return the signal-to-noise ratio of each shell above b = 0.

    Parameters
    ----------
    signal, predicted : (n_voxels, n_volumes) array_like
        Aligned, and as the other volumes predict it.
    shells : Shells

    Returns
    -------
    dict of int to float
        By b-value; NaN with fewer than seven volumes.
    """
    return _over_noise(signal, predicted, shells, lambda data, _: data.mean(axis=1))


def _over_noise(
    signal: npt.ArrayLike,
    predicted: npt.ArrayLike,
    shells: Shells,
    measure: Callable[[FloatArray, FloatArray], FloatArray],
) -> dict[int, float]:
    """Return the median over voxels of a measure divided by the noise, by shell above b = 0."""
    result = {}
    for bvalue in shells.bvalues:
        if bvalue == 0:
            continue
        members = shells.members(bvalue)
        if len(members) < 7:
            result[bvalue] = float('nan')
            continue
        data = np.asarray(signal, dtype=float)[:, members]
        wanted = np.asarray(predicted, dtype=float)[:, members]
        noise = (data - wanted).std(axis=1, ddof=1)
        result[bvalue] = _median(
            np.divide(
                measure(data, wanted), noise, out=np.full(len(noise), np.nan), where=noise > 0
            )
        )
    return result


def neighbour_correlation(
    signal: npt.ArrayLike, bvals: npt.ArrayLike, directions: npt.ArrayLike
) -> float:
    """Return how well each diffusion-weighted volume correlates with its nearest in q-space.

    Parameters
    ----------
    signal : (n_voxels, n_volumes) array_like
        Brain voxels.
    bvals : (n_volumes,) array_like
        s/mm2.
    directions : (n_volumes, 3) array_like

    Returns
    -------
    float
        NaN with fewer than two volumes.
    """
    strength = np.sqrt(np.asarray(bvals, dtype=float))[:, None]
    points = strength * np.asarray(directions, dtype=float)
    weighted = np.flatnonzero(np.linalg.norm(points, axis=1) > 0)
    if weighted.size < 2:
        return float('nan')
    data = np.asarray(signal, dtype=np.float64)[:, weighted]
    data = data[np.isfinite(data).all(axis=1)]
    q = points[weighted]
    near = np.minimum(
        np.linalg.norm(q[:, None] - q[None], axis=2), np.linalg.norm(q[:, None] + q[None], axis=2)
    )
    np.fill_diagonal(near, np.inf)
    matrix = np.corrcoef(data.T)
    return float(matrix[np.arange(len(q)), near.argmin(axis=1)].mean())


def _median(values: FloatArray) -> float:
    """Median of the finite values, NaN without any."""
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else float('nan')
