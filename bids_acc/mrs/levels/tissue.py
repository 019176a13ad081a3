"""Levels corrected for the tissues of the voxel and for relaxation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bids_acc.exceptions import InputDataError
from bids_acc.mrs.levels.constants import WATER_MOLALITY, RelaxationSet
from bids_acc.typing import FloatArray


def volume_fractions(maps: npt.ArrayLike, coverage: npt.ArrayLike) -> tuple[FloatArray, float]:
    """Share of each tissue in the voxel.

    Parameters
    ----------
    maps : (n_tissues, ...) array_like
        Probability of each tissue.
    coverage : (...) array_like
        Share of each image voxel that lies in the spectroscopic voxel, 0 to 1.

    Returns
    -------
    fractions : (n_tissues,) ndarray of float64
        Sum to one over tissues; NaN when the voxel holds no tissue.
    inside : float
        Share of the spectroscopic voxel's volume that is any of the tissues: low when the voxel
        leaves the brain or the image.

    Examples
    --------
    >>> volume_fractions([[1, 0.5, 0], [0, 0.5, 0]], [1, 1, 0])
    (array([0.75, 0.25]), 1.0)
    """
    maps = np.asarray(maps, dtype=float)
    coverage = np.asarray(coverage, dtype=float)
    sums = (maps * coverage).reshape(maps.shape[0], -1).sum(axis=1)
    total, volume = float(sums.sum()), float(coverage.sum())
    if not total > 0:
        return np.full(maps.shape[0], np.nan), 0.0 if volume > 0 else float('nan')
    return sums / total, total / volume


def water_mole_fractions(fractions: npt.ArrayLike, water_content: npt.ArrayLike) -> FloatArray:
    r"""Share of the voxel's visible water that each tissue holds.

    A litre of CSF holds more water than a litre of white matter, so the water signal is not
    split as the volume is:

    .. math:: x_k = \frac{f_k\,c_k}{\sum_j f_j\,c_j}

    Parameters
    ----------
    fractions : (..., n_tissues) array_like
        Volume fractions; dimensionless, summing to one along the last axis.
    water_content : (n_tissues,) array_like
        Visible water of each tissue in kg/L.

    Returns
    -------
    (..., n_tissues) ndarray of float64
        Dimensionless, summing to one along the last axis.

    Raises
    ------
    InputDataError
        If a fraction is negative or not finite, or if they do not sum to one.

    References
    ----------
    Gasparovic C, et al. (2006). Magn Reson Med 55:1219. https://doi.org/10.1002/mrm.20901

    Examples
    --------
    Half grey matter, half CSF by volume; by water, the CSF holds more.

    >>> water_mole_fractions([0.5, 0.0, 0.5], [0.78, 0.65, 0.97]).round(3)
    array([0.446, 0.   , 0.554])
    """
    fractions = np.asarray(fractions, dtype=float)
    if np.any(fractions < 0) or not np.allclose(fractions.sum(axis=-1), 1):
        raise InputDataError(f'tissue fractions must be >= 0 and sum to 1, got {fractions}')
    water = fractions * np.asarray(water_content, dtype=float)
    return np.asarray(water / water.sum(axis=-1, keepdims=True))


def relaxation_factor(
    echo_time: float, repetition_time: float, t1: npt.ArrayLike, t2: npt.ArrayLike
) -> FloatArray:
    r"""Signal left after saturation and decay, :math:`(1 - e^{-TR/T_1}) e^{-TE/T_2}`.

    Parameters
    ----------
    echo_time, repetition_time : float
        In s.
    t1, t2 : array_like
        In s.

    Returns
    -------
    ndarray of float64
        Dimensionless, 0 to 1.
    """
    saturation = 1 - np.exp(-repetition_time / np.asarray(t1, dtype=float))
    return np.asarray(saturation * np.exp(-echo_time / np.asarray(t2, dtype=float)))


def alpha_share(fractions: npt.ArrayLike, alpha: float) -> float:
    r"""Factor that turns a molar level into one corrected for unequal tissues.

    A level per litre of tissue takes grey and white matter to hold the same. Where white matter
    holds *alpha* of what grey matter holds, the level in grey matter is that level times

    .. math:: \frac{1 - f_{CSF}}{f_{GM} + \alpha f_{WM}}

    (Harris, Puts and Edden 2015, J Magn Reson Imaging 42:1431, equation of the tissue correction
    without normalisation to a group's voxel, https://doi.org/10.1002/jmri.24903).

    Parameters
    ----------
    fractions : (3,) array_like
        Volume fractions of GM, WM and CSF.
    alpha : float
        Level in white matter over that in grey matter.

    Returns
    -------
    float
        NaN without fractions, or with CSF only.

    Examples
    --------
    >>> [round(alpha_share([0.6, 0.3, 0.1], alpha), 6) for alpha in (1.0, 0.5)]
    [1.0, 1.2]
    """
    gm, wm, csf = (float(value) for value in np.asarray(fractions, dtype=float))
    visible = gm + alpha * wm
    return (1 - csf) / visible if visible > 1e-6 else float('nan')


def concentration_factor(
    metabolite: str,
    fractions: npt.ArrayLike,
    constants: RelaxationSet,
    echo_time: float,
    repetition_time: float,
    unit: str = 'molal',
    water_echo_time: float | None = None,
    water_repetition_time: float | None = None,
) -> float:
    r"""Factor from a proton-normalised amplitude ratio to a concentration.

    With the metabolite amplitude :math:`A_m` per proton and the water amplitude :math:`A_w`
    (two protons), the level is factor times :math:`A_m / (A_w / 2)`, with

    .. math::

        \text{molal} = 55510 \frac{\sum_k x_k R_{w,k}}{(1 - x_{CSF})\,R_m}, \qquad
        \text{molar} = 55510 \frac{\sum_k f_k c_k R_{w,k}}{(1 - f_{CSF})\,R_m}

    where *x* are mole fractions of water, *f* volume fractions, *c* water contents and *R* the
    relaxation factors. CSF holds no metabolite. The molal form divides by the share of water
    outside CSF, the molar one by the share of volume.

    Parameters
    ----------
    metabolite : str
        Name, for its relaxation times.
    fractions : (3,) array_like
        Volume fractions of GM, WM and CSF.
    constants : RelaxationSet
        Relaxation times and water contents.
    echo_time, repetition_time : float
        Of the metabolite spectrum, in s.
    unit : {'molal', 'molar'}
        mmol per kg of tissue water, or mmol per litre of tissue.
    water_echo_time, water_repetition_time : float, optional
        Of the water reference in s, if different.

    Returns
    -------
    float
        In mmol/kg or mmol/L; NaN when an input is NaN or there is CSF only.

    References
    ----------
    Gasparovic C, et al. (2006). Magn Reson Med 55:1219. https://doi.org/10.1002/mrm.20901
    Near J, et al. (2021). NMR Biomed 34:e4257. https://doi.org/10.1002/nbm.4257
    """
    fractions = np.asarray(fractions, dtype=float)
    if not (np.isfinite(fractions).all() and np.isfinite([echo_time, repetition_time]).all()):
        return float('nan')
    water_te = echo_time if water_echo_time is None else water_echo_time
    water_tr = repetition_time if water_repetition_time is None else water_repetition_time
    water = relaxation_factor(water_te, water_tr, constants.water_t1, constants.water_t2)
    # of tissue alone: CSF holds no metabolite
    own = float(relaxation_factor(echo_time, repetition_time, *constants.metabolite(metabolite)))
    content = np.asarray(constants.water_content)
    if unit == 'molal':
        share = water_mole_fractions(fractions, content)
        visible, tissue = float(share @ water), 1 - float(share[2])
    else:
        visible, tissue = float((fractions * content) @ water), 1 - float(fractions[2])
    return WATER_MOLALITY * visible / (tissue * own) if tissue > 1e-6 else float('nan')
