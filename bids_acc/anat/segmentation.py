"""Tissue probabilities from intensity and where a template expects each tissue."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bids_acc.exceptions import InputDataError
from bids_acc.typing import FloatArray

TISSUES = ('GM', 'WM', 'CSF')
"""Order of the tissues everywhere."""
_PRIOR_FLOOR = 0.02


@dataclass(frozen=True)
class TissueModel:
    """A Gaussian for each tissue, and the probability of each tissue in each voxel."""

    probabilities: npt.NDArray[np.float32]
    """(3, nx, ny, nz), summing to one inside the mask and zero outside."""
    means: FloatArray
    """(3,) intensities."""
    deviations: FloatArray
    """(3,) standard deviations."""
    n_iterations: int
    """Rounds of expectation and maximisation."""
    converged: bool
    """Whether the means had settled."""


def fit_tissue_model(
    intensity: npt.ArrayLike,
    mask: npt.ArrayLike,
    priors: npt.ArrayLike,
    *,
    max_iterations: int = 60,
    tolerance: float = 1e-4,
) -> TissueModel:
    r"""Fit three Gaussians to the intensities, with spatial priors as mixing weights.

    The mixture of Ashburner and Friston (2005), NeuroImage 26:839-851,
    https://doi.org/10.1016/j.neuroimage.2005.02.018, eq. 2-4, without its bias field and warps,
    which other steps estimate:
    :math:`p(k \mid y_i) \propto b_{ik}\,\mathcal{N}(y_i; \mu_k, \sigma_k^2)`.

    Parameters
    ----------
    intensity : (nx, ny, nz) array_like
        Bias-corrected T1w intensities.
    mask : (nx, ny, nz) array_like of bool
        Brain.
    priors : (3, nx, ny, nz) array_like
        Expected GM, WM and CSF; need not sum to one.
    max_iterations : int
        Upper bound of the number of rounds.
    tolerance : float
        Change of the means, as a share of their spread, at which to stop.

    Returns
    -------
    TissueModel
        In the order GM, WM, CSF.

    Raises
    ------
    InputDataError
        If the tissues do not come out as CSF < GM < WM: the image is no T1w, or the template
        lies beside the brain.
    """
    mask = np.asarray(mask, dtype=bool)
    y = np.asarray(intensity, dtype=np.float32)[mask]
    b = np.asarray(priors, dtype=np.float32)[:, mask] + np.float32(_PRIOR_FLOOR)
    b /= b.sum(axis=0)
    p, means, converged = b, np.zeros(3), False
    n_iterations = 0
    while not converged and n_iterations < max_iterations:
        n_iterations += 1
        previous = means
        weight = p.sum(axis=1, dtype=float)
        means = (p @ y) / weight
        variance = np.stack(
            [(q * (y - m) ** 2).sum(dtype=float) for q, m in zip(p, means, strict=True)]
        )
        deviations = np.sqrt(np.maximum(variance / weight, (1e-3 * np.ptp(means) + 1e-9) ** 2))
        z = (y - means[:, None].astype(np.float32)) / deviations[:, None].astype(np.float32)
        p = b * np.exp(-0.5 * z * z) / deviations[:, None].astype(np.float32)
        total = p.sum(axis=0)
        p = np.where(total > 1e-20, p / np.maximum(total, 1e-20), b)
        converged = bool(np.abs(means - previous).max() < tolerance * np.ptp(means))
    grey, white, csf = means
    if not csf < grey < white:
        raise InputDataError(
            f'mean intensities CSF {csf:.4g}, GM {grey:.4g}, WM {white:.4g} are not in the '
            'order of a T1-weighted image: check that the file is a T1w and that its '
            'registration to the template worked.'
        )
    probabilities = np.zeros((3, *mask.shape), dtype=np.float32)
    probabilities[:, mask] = p
    return TissueModel(probabilities, means, deviations, n_iterations, converged)


def local_tissue_means(
    intensity: npt.ArrayLike,
    probabilities: npt.ArrayLike,
    voxel_sizes: tuple[float, float, float],
    *,
    sigma: float = 15.0,
    coarse: float = 2.0,
    certain: float = 0.9,
) -> tuple[tuple[npt.NDArray[np.float32], ...], tuple[int, int, int]]:
    """Return each tissue's mean intensity around each place.

    Residual bias and the brighter cortex near the midline shift the half-way intensities by
    more than noise does, so the means are local. CSF is dark everywhere and rare in many
    places: its mean is drawn towards the overall one.

    Parameters
    ----------
    intensity : (nx, ny, nz) array_like
        Bias-corrected T1w intensities.
    probabilities : (3, nx, ny, nz) array_like
        Of GM, WM and CSF.
    voxel_sizes : tuple of float
        In mm.
    sigma : float
        Standard deviation of the neighbourhood in mm.
    coarse : float
        Approximate spacing of the result in mm.
    certain : float
        Voxels with less than this probability are not averaged.

    Returns
    -------
    means : tuple of three ndarray
        Of GM, WM and CSF, on every ``stride``-th voxel of the grid.
    stride : tuple of int
        Step along each axis.
    """
    stride = tuple(max(1, round(coarse / size)) for size in voxel_sizes)
    skip = tuple(slice(None, None, s) for s in stride)
    values = np.asarray(intensity, dtype=np.float32)[skip]
    width = [sigma / (size * s) for size, s in zip(voxel_sizes, stride, strict=True)]
    means = []
    for index, tissue in enumerate(np.asarray(probabilities)):
        weight = tissue[skip] * (tissue[skip] >= certain)
        overall = float((weight * values).sum() / max(float(weight.sum()), 1e-9))
        top, bottom = (
            ndimage.gaussian_filter(a.astype(np.float32), width, truncate=3.0)
            for a in (weight * (values - overall), weight)
        )
        trust = 0.05 if TISSUES[index] == 'CSF' else 0.005
        means.append((overall + top / (bottom + trust)).astype(np.float32))
    return tuple(means), (stride[0], stride[1], stride[2])


def discrete_segmentation(probabilities: npt.ArrayLike) -> npt.NDArray[np.uint8]:
    """Return 1 for GM, 2 for WM, 3 for CSF and 0 where all probabilities are zero.

    Examples
    --------
    >>> discrete_segmentation([[0.2, 0], [0.7, 0], [0.1, 0]]).tolist()
    [2, 0]
    """
    p = np.asarray(probabilities)
    return np.where(p.sum(axis=0) > 0, p.argmax(axis=0) + 1, 0).astype(np.uint8)
