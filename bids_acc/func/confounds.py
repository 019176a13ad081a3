"""What is in a BOLD series and is no neural activity: one column each, under fMRIPrep's names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bids_acc.typing import BoolArray, FloatArray

MOTION = ('trans_x', 'trans_y', 'trans_z', 'rot_x', 'rot_y', 'rot_z')

CUTOFF_S = 128.0
"""Period below which drift is not modelled by cosines: fMRIPrep's and SPM's."""

N_COMPONENTS = 10
"""Components kept of each tissue; strategies use the first five of each at most."""
MIN_TISSUE_VOXELS = 20
"""Fewer voxels are no noise pool: their components would be single voxels. Own convention."""

FD_OUTLIER_MM, STD_DVARS_OUTLIER = 0.5, 1.5
"""Where fMRIPrep writes a column ``motion_outlier``."""

NORMALISED_LEVEL = 1000.0
"""Median brain intensity to which DVARS refers, as nipype's does."""


def expand(columns: Mapping[str, npt.ArrayLike]) -> dict[str, FloatArray]:
    """Add to each column its derivative and the squares of both.

    Parameters
    ----------
    columns : mapping of str to (n_volumes,) array_like

    Returns
    -------
    dict of str to (n_volumes,) ndarray
        The first derivative is NaN in the first volume.

    References
    ----------
    Satterthwaite TD, et al. (2013). An improved framework for confound regression and filtering
    for control of motion artifact. NeuroImage 64:240-256.
    https://doi.org/10.1016/j.neuroimage.2012.08.052

    Examples
    --------
    >>> list(expand({'csf': [1.0, 3.0]}))
    ['csf', 'csf_derivative1', 'csf_power2', 'csf_derivative1_power2']
    """
    result: dict[str, FloatArray] = {}
    for name, column in columns.items():
        values = np.asarray(column, dtype=float)
        slope = np.append(np.nan, np.diff(values))
        result |= {name: values, f'{name}_derivative1': slope}
        result |= {f'{name}_power2': values**2, f'{name}_derivative1_power2': slope**2}
    return result


def dvars(series: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return how much the brain's image changes from volume to volume.

    Parameters
    ----------
    series : (n_voxels, n_volumes) array_like
        Of the brain; voxels that do not vary are left out.

    Returns
    -------
    dvars : (n_volumes,) ndarray
        Root mean square of the change, in thousandths of the brain's median; NaN for the first.
    std_dvars : (n_volumes,) ndarray
        Relative to what is expected of series of the voxels' (robust) spread and lag-one
        autocorrelation, 1 on average in noise.

    References
    ----------
    Power JD, et al. (2012). NeuroImage 59:2142-2154.
    https://doi.org/10.1016/j.neuroimage.2011.10.018
    Afyouni S, Nichols TE (2018). Insight and inference for DVARS. NeuroImage 172:291-312.
    https://doi.org/10.1016/j.neuroimage.2017.12.098
    """
    data = np.asarray(series, dtype=np.float32)
    # Quartiles by their lower neighbour and 1.349 deviations between them, as DVARS was defined:
    # other quantiles give other numbers than nipype's, with which thresholds were set.
    low, high = np.percentile(data, [25, 75], axis=1, method='lower')
    spread = (high - low) / 1.349
    kept = (np.ptp(data, axis=1) > 0) & (spread > 0)
    level = float(np.median(data))
    if not kept.any() or not level > 0:
        return (np.full(data.shape[1], np.nan),) * 2
    data, spread = data[kept], spread[kept]
    steps = np.diff(data, axis=1)
    centred = data - data.mean(axis=1, keepdims=True)
    power = np.einsum('ij,ij->i', centred, centred)
    lag_one = np.einsum('ij,ij->i', centred[:, 1:], centred[:, :-1]) / power
    # The difference of neighbours in a process of first order has the variance 2 (1 - r) s^2.
    expected = float((np.sqrt(2 * (1 - lag_one)) * spread).mean())
    change = np.sqrt(np.einsum('ij,ij->j', steps, steps, dtype=float) / len(steps))
    plain = np.append(np.nan, change)
    return plain * NORMALISED_LEVEL / level, plain / expected


def cosines(n_volumes: int, repetition_time: float, cutoff_s: float = CUTOFF_S) -> FloatArray:
    """Return the cosines of a discrete transform whose periods are longer than a cut-off.

    Parameters
    ----------
    n_volumes : int
    repetition_time, cutoff_s : float
        In s.

    Returns
    -------
    (n_volumes, n_cosines) ndarray
        Orthonormal, without the constant.

    Examples
    --------
    >>> basis = cosines(200, 2.0)
    >>> basis.shape, bool(np.allclose(basis.T @ basis, np.eye(6)))
    ((200, 6), True)
    """
    # The k-th cosine has the period 2 T / k.
    count = int(np.floor(2 * n_volumes * repetition_time / cutoff_s))
    where = (np.arange(n_volumes)[:, None] + 0.5) * np.arange(1, count + 1) / n_volumes
    return np.asarray(np.sqrt(2 / n_volumes) * np.cos(np.pi * where))


@dataclass(frozen=True)
class Components:
    """Principal components of the noise in one tissue."""

    series: FloatArray
    """(n_volumes, n_components), each of length one."""
    singular_values: FloatArray
    explained: FloatArray
    """Share of the variance that each explains."""


def noise_components(
    series: npt.ArrayLike, drift: npt.ArrayLike, n_components: int = N_COMPONENTS
) -> Components:
    """Find the anatomical noise components of a tissue (aCompCor).

    Parameters
    ----------
    series : (n_voxels, n_volumes) array_like
        Of voxels that hold nothing but this tissue.
    drift : (n_volumes, n_cosines) array_like
        Orthonormal; taken out first, so that the components belong into a model with it.
    n_components : int
        At most.

    Returns
    -------
    Components

    References
    ----------
    Behzadi Y, et al. (2007). A component based noise correction method (CompCor) for BOLD and
    perfusion based fMRI. NeuroImage 37:90-101. https://doi.org/10.1016/j.neuroimage.2007.04.042
    """
    basis = np.asarray(drift, dtype=float)
    data = np.asarray(series, dtype=float)
    data = data - data.mean(axis=1, keepdims=True)
    data -= (data @ basis) @ basis.T
    spread = data.std(axis=1)
    data = data[spread > 1e-9 * max(float(spread.max(initial=0)), 1e-30)]
    data /= data.std(axis=1, keepdims=True)
    # Of the volumes and not of the voxels: there are fewer of them, and the vectors are the
    # series.
    values, vectors = np.linalg.eigh(data.T @ data)
    order = np.argsort(values)[::-1]
    # The mean and the drifts were taken out: so many dimensions are gone.
    rank = min(len(data), data.shape[1] - 1 - basis.shape[1])
    kept = order[: max(min(n_components, rank), 0)]
    found = vectors[:, kept]
    # The sign of an eigenvector is the library's whim: the largest value is made positive, so that
    # reruns and machines agree.
    found = found * np.sign(found[np.abs(found).argmax(axis=0), np.arange(len(kept))])
    total = max(float(values.clip(min=0).sum()), 1e-30)
    return Components(found, np.sqrt(values[kept].clip(min=0)), values[kept].clip(min=0) / total)


def single_volumes(flags: npt.ArrayLike) -> FloatArray:
    """Return one column for each flagged volume, one there and zero elsewhere.

    Parameters
    ----------
    flags : (n_volumes,) array_like of bool
        Volumes that a regressor of their own takes out.

    Returns
    -------
    (n_volumes, n_flagged) ndarray

    Examples
    --------
    >>> single_volumes([False, True, True]).tolist()
    [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
    """
    which = np.flatnonzero(np.asarray(flags, dtype=bool))
    columns = np.zeros((len(np.asarray(flags)), len(which)))
    columns[which, np.arange(len(which))] = 1
    return columns


def numbered(name: str, columns: npt.ArrayLike, start: int = 0) -> dict[str, FloatArray]:
    """Name the columns of an array ``name00``, ``name01`` and so on.

    Parameters
    ----------
    name : str
        As fMRIPrep begins it, such as ``a_comp_cor_``.
    columns : (n_volumes, n_columns) array_like
        Two digits count them, as fMRIPrep's names do; from the hundredth on three.
    start : int
        Number of the first one.

    Returns
    -------
    dict of str to (n_volumes,) ndarray
    """
    values = np.asarray(columns, dtype=float)
    return {f'{name}{start + k:02d}': values[:, k] for k in range(values.shape[1])}


def after_dummies(columns: npt.ArrayLike, n_dummy: int) -> FloatArray:
    """Put rows of zeros before what was computed without the first volumes.

    Parameters
    ----------
    columns : (n_used, n_columns) array_like
        Regressors of the volumes of the steady state.
    n_dummy : int
        Volumes before them.

    Returns
    -------
    (n_dummy + n_used, n_columns) ndarray
        As fMRIPrep writes components: one row for each volume of the file.
    """
    values = np.asarray(columns, dtype=float)
    return np.vstack([np.zeros((n_dummy, values.shape[1])), values])


def outliers(displacement: npt.ArrayLike, std_dvars: npt.ArrayLike, n_dummy: int) -> BoolArray:
    """Tell in which volumes of the steady state the head moved or the image changed much.

    The change to the first of them from one before it is that of the steady state, not of motion.

    Parameters
    ----------
    displacement : (n_volumes,) array_like
        Framewise displacement, mm, compared with `FD_OUTLIER_MM`; NaN of the first volume is none.
    std_dvars : (n_volumes,) array_like
        Standardised DVARS, without unit, compared with `STD_DVARS_OUTLIER`.
    n_dummy : int
        Volumes before the steady state, which are marked otherwise and are never outliers.

    Returns
    -------
    (n_volumes,) ndarray of bool
    """
    moved = np.nan_to_num(np.asarray(displacement, dtype=float)) > FD_OUTLIER_MM
    changed = np.nan_to_num(np.asarray(std_dvars, dtype=float)) > STD_DVARS_OUTLIER
    changed[n_dummy : n_dummy + 1] = False
    flags = moved | changed
    flags[:n_dummy] = False
    return np.asarray(flags)
