"""Tissue probabilities from intensity and where a template expects each tissue."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bids_acc.exceptions import InputDataError
from bids_acc.typing import BoolArray, FloatArray

TISSUES = ('GM', 'WM', 'CSF')
"""Order of the tissues everywhere."""
PRIOR_POWER = 0.5
"""Power to which the template's probabilities are taken: one believes that this brain has the
template's folds and ventricles, zero knows nothing of place."""
COHERENCE = 0.3
"""By how much each neighbour of a tissue raises the logarithm of that tissue's probability."""
UNEQUAL = 3.0
"""GM spread more than this many times as widely as WM is no tissue's variety: white matter was
clipped at export. Six real heads have 1.5 to 2.3, two clipped ones 5.5 and 6.3."""
LEAST_LIKENESS = 0.2
"""Correlation of intensities with what the template expects below which there is no T1w image of
a brain; own convention, see `likeness`. Two real heads have .64 (clipped at export) and .75,
and .41 and .55 before the template was warped; noise in the shape of a brain has .02, and a head
with inverted contrast -.34."""
_PRIOR_FLOOR = 0.02


@dataclass(frozen=True)
class TissueModel:
    """A Gaussian for each tissue, and the probability of each tissue in each voxel."""

    probabilities: npt.NDArray[np.float32]
    """(3, nx, ny, nz), summing to one inside the mask and zero outside."""
    means: FloatArray
    """(3,) intensities."""
    deviations: FloatArray
    """(3,) standard deviations of each tissue's voxels."""
    n_iterations: int
    """Rounds of expectation and maximisation."""
    converged: bool
    """Whether the means had settled."""
    spread_ratio: float
    """Deviation of GM over that of WM when each has its own; see `UNEQUAL`."""


def fit_tissue_model(
    intensity: npt.ArrayLike,
    mask: npt.ArrayLike,
    priors: npt.ArrayLike,
    voxel_sizes: npt.ArrayLike = (1.0, 1.0, 1.0),
    *,
    max_iterations: int = 60,
    tolerance: float = 1e-4,
) -> TissueModel:
    r"""Fit three Gaussians to the intensities; the template and the neighbours give the weights.

    The mixture of Ashburner and Friston (2005), NeuroImage 26:839-851,
    https://doi.org/10.1016/j.neuroimage.2005.02.018, eq. 2-4, without its bias field and warps,
    which other steps estimate, with the mean-field Markov random field of Van Leemput et al.
    (1999), IEEE TMI 18:897-908, https://doi.org/10.1109/42.811270, and weakened priors as in
    Atropos (Avants et al. 2011, https://doi.org/10.1007/s12021-011-9109-y):

    .. math::
        p(k \mid y_i) \propto b_{ik}^{\gamma} \, e^{\beta \sum_j w_{ij} p_{jk}} \,
        \mathcal{N}(y_i; \mu_k, \sigma_k^2).

    GM and WM share one deviation. With one of its own, that of GM takes in all voxels that are
    partly something else, grows, and with it GM: its border then lies two thirds of the way into
    white matter, and in old heads it takes ventricles. Where the deviations differ by more than
    `UNEQUAL`, however, the image was clipped, equal ones are wrong and weak priors have nothing
    to go by: the free fit with the full priors stands.

    Parameters
    ----------
    intensity : (nx, ny, nz) array_like
        Bias-corrected T1w intensities.
    mask : (nx, ny, nz) array_like of bool
        Brain.
    priors : (3, nx, ny, nz) array_like
        Expected GM, WM and CSF; need not sum to one.
    voxel_sizes : (3,) array_like
        In mm; farther neighbours count less.
    max_iterations : int
        Upper bound of the number of rounds of each fit.
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
        lies beside the brain; or if intensities do not follow the template at all.
    """
    mask = np.asarray(mask, dtype=bool)
    box = ndimage.find_objects(mask.astype(np.uint8))[0]
    inside = mask[box]
    y = np.asarray(intensity, dtype=np.float32)[box][inside]
    b = np.asarray(priors, dtype=np.float32)[(slice(None), *box)][:, inside]
    # No prior is zero: where the template's folds are not this brain's, the intensity must be able
    # to outvote it.
    b = _normalised(b + np.float32(_PRIOR_FLOOR))
    stop = max_iterations, tolerance
    fit = _fit_mixture(y, b, b, stop)
    spread_ratio = float(fit.deviations[0] / fit.deviations[1])
    if spread_ratio <= UNEQUAL and _in_order(fit.means):
        field = _Neighbours(inside, _neighbour_weights(voxel_sizes))
        fit = _fit_mixture(y, _normalised(b**PRIOR_POWER), fit.p, stop, field)
    if not _in_order(fit.means):
        grey, white, csf = fit.means
        raise InputDataError(
            f'mean intensities CSF {csf:.4g}, GM {grey:.4g}, WM {white:.4g} are not in the '
            'order of a T1-weighted image: check that the file is a T1w and that its '
            'registration to the template worked.'
        )
    found = likeness(y, b)
    if not found >= LEAST_LIKENESS:
        raise InputDataError(
            f'intensities follow the tissues of a brain by a correlation of {found:.2f} only, '
            'those of a T1w image by 0.5 or more: this is no brain, or the registration to the '
            'template failed. Look at the image and at its brain mask, and give another one '
            '(--anat-brain-mask, --bids-filter-file).'
        )
    probabilities = np.zeros((3, *mask.shape), dtype=np.float32)
    probabilities[(slice(None), *box)][:, inside] = fit.p
    means, deviations = _moments(y, fit.p, tied=False)
    return TissueModel(
        probabilities, means, deviations, fit.n_iterations, fit.converged, spread_ratio
    )


def likeness(intensity: npt.ArrayLike, priors: npt.ArrayLike) -> float:
    """Return the correlation of intensities with one that rises from CSF over GM to WM.

    A bottle or noise in the shape of a brain registers well and gets three tissues as well as a
    brain does. What it lacks is white matter where the template has it.

    Parameters
    ----------
    intensity : (n,) array_like
        Of the voxels of a brain.
    priors : (3, n) array_like
        Expected GM, WM and CSF there, summing to one.

    Returns
    -------
    float
        NaN where all voxels are the same.

    Examples
    --------
    >>> round(likeness([2.0, 9.0, 1.0, 5.0], [[1, 0, 0, 0.5], [0, 1, 0, 0.5], [0, 0, 1, 0]]), 2)
    0.91
    """
    y, b = np.asarray(intensity, dtype=float), np.asarray(priors, dtype=float)
    expected = 2 * b[0] + 3 * b[1] + b[2]
    if not (y.size and np.ptp(y) > 0 and np.ptp(expected) > 0):
        return float('nan')
    return float(np.corrcoef(y, expected)[0, 1])


@dataclass(frozen=True)
class _Fit:
    """What a round of fitting comes to, voxels in a row."""

    p: npt.NDArray[np.float32]
    means: FloatArray
    deviations: FloatArray
    n_iterations: int
    converged: bool


@dataclass(frozen=True)
class _Neighbours:
    """The six neighbours of each voxel of a mask."""

    inside: BoolArray
    weights: tuple[float, float, float]

    def log_weight(self, p: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return what the tissues of the six neighbours add to a voxel's log probabilities.

        Parameters
        ----------
        p : (3, n) ndarray of float32
            Probabilities of the tissues in the voxels inside the mask.

        Returns
        -------
        (3, n) ndarray of float32
            `COHERENCE` times the sum over the neighbours, the nearer along an axis the more; what
            lies outside the mask counts as none.
        """
        volume = np.zeros((len(p), *self.inside.shape), dtype=np.float32)
        volume[:, self.inside] = p
        total = np.zeros_like(volume)
        for axis, weight in enumerate(self.weights, start=1):
            here, there = np.moveaxis(total, axis, 0), np.moveaxis(volume, axis, 0)
            here[:-1] += np.float32(weight) * there[1:]
            here[1:] += np.float32(weight) * there[:-1]
        return np.float32(COHERENCE) * total[:, self.inside]


def _neighbour_weights(voxel_sizes: npt.ArrayLike) -> tuple[float, float, float]:
    """Return the weight of a neighbour along each axis: by nearness, six for all of them.

    Examples
    --------
    >>> _neighbour_weights((1, 1, 4))
    (1.3333333333333333, 1.3333333333333333, 0.3333333333333333)
    """
    nearness = 1 / np.asarray(voxel_sizes, dtype=float)
    first, second, third = (3 * nearness / nearness.sum()).tolist()
    return first, second, third


def _fit_mixture(
    y: npt.NDArray[np.float32],
    b: npt.NDArray[np.float32],
    p: npt.NDArray[np.float32],
    stop: tuple[int, float],
    field: _Neighbours | None = None,
) -> _Fit:
    """Fit until the means settle, from first probabilities on; with a field, tied deviations."""
    max_iterations, tolerance = stop
    means, converged, n_iterations = np.zeros(3), False, 0
    while not converged and n_iterations < max_iterations:
        n_iterations += 1
        previous = means
        means, deviations = _moments(y, p, tied=field is not None)
        weight = b if field is None else b * np.exp(field.log_weight(p))
        p = _posterior(y, weight, means, deviations)
        converged = bool(np.abs(means - previous).max() < tolerance * np.ptp(means))
    return _Fit(p, means, deviations, n_iterations, converged)


def _moments(
    y: npt.NDArray[np.float32], p: npt.NDArray[np.float32], *, tied: bool
) -> tuple[FloatArray, FloatArray]:
    """Return means and deviations of the tissues; tied, one deviation for GM and WM."""
    weight = p.sum(axis=1, dtype=float)
    means = np.asarray((p @ y) / weight, dtype=float)
    squares = np.array(
        [(q * (y - m) ** 2).sum(dtype=float) for q, m in zip(p, means, strict=True)]
    )
    variance = squares / weight
    if tied:
        variance[:2] = squares[:2].sum() / weight[:2].sum()
    # A tissue that shrinks to voxels of one value would have a spike of endless probability:
    # expectation and maximisation would never leave it.
    return means, np.sqrt(np.maximum(variance, (1e-3 * np.ptp(means) + 1e-9) ** 2))


def _posterior(
    y: npt.NDArray[np.float32],
    weight: npt.NDArray[np.float32],
    means: FloatArray,
    deviations: FloatArray,
) -> npt.NDArray[np.float32]:
    """Return the probability of each tissue; far from all of them, the weights alone decide."""
    scale = deviations[:, None].astype(np.float32)
    z = (y - means[:, None].astype(np.float32)) / scale
    p = weight * np.exp(-0.5 * z * z) / scale
    total = p.sum(axis=0)
    # Beyond some 14 deviations the exponential is zero in single precision, and zero by zero has
    # no ratio.
    far = _normalised(weight)
    return np.where(total > 1e-20, p / np.maximum(total, 1e-20), far)


def _normalised(weights: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return weights that sum to one over the first axis."""
    return np.asarray(weights / weights.sum(axis=0))


def _in_order(means: FloatArray) -> bool:
    """Tell whether the intensities are those of a T1-weighted image."""
    grey, white, csf = means
    return bool(csf < grey < white)


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
    # Means vary over `sigma`: on every second millimetre they are the same, and the filters take
    # an eighth of the time or less.
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

    Parameters
    ----------
    probabilities : (3, ...) array_like
        Of GM, WM and CSF; of equal ones the first is taken.

    Returns
    -------
    (...) ndarray of uint8
        Codes of the ``dseg`` file.

    Examples
    --------
    >>> discrete_segmentation([[0.2, 0], [0.7, 0], [0.1, 0]]).tolist()
    [2, 0]
    """
    p = np.asarray(probabilities)
    return np.where(p.sum(axis=0) > 0, p.argmax(axis=0) + 1, 0).astype(np.uint8)
