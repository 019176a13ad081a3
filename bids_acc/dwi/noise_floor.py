"""FA that isotropic tissue shows because of noise.

Noise parts the eigenvalues of a tensor that has three equal ones, so that FA is never zero. How
large it comes out depends on the noise, the scheme and the tissue's mean diffusivity, so that a
group with higher diffusivity or noisier images differs in FA although it is no more ordered.

References: Pierpaoli C, Basser PJ (1996). Toward a quantitative assessment of diffusion
anisotropy. Magn Reson Med 36:893-906, https://doi.org/10.1002/mrm.1910360612. Jones DK (2004). The
effect of gradient sampling schemes on measures derived from diffusion tensor MRI: a Monte Carlo
study. Magn Reson Med 51:807-815, https://doi.org/10.1002/mrm.20033.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from bids_acc.dwi.tensor import design_matrix
from bids_acc.typing import FloatArray

_MD_GRID = np.linspace(0.2e-3, 3.2e-3, 61)
"""Mean diffusivities at which the scheme is looked at, mm2/s."""

_CHI5 = math.sqrt(2 / 5) * math.gamma(3) / math.gamma(2.5)
"""Mean over root mean square of the length of a vector of five normal numbers: the deviation of a
symmetric tensor from a sphere has five free elements."""


def isotropic_fa(
    md: npt.ArrayLike, noise: npt.ArrayLike, bvals: npt.ArrayLike, directions: npt.ArrayLike
) -> FloatArray:
    r"""Return the mean FA that noise makes of isotropic tissue.

    The weighted linear fit's covariance :math:`C = \sigma^2 (X^T \mathrm{diag}(s^2) X)^{-1}` with
    the signal :math:`s = e^{-b\,MD}` gives the mean square deviation :math:`v` of the tensor from
    a sphere, and :math:`FA \approx c_5\sqrt{3v/2}\,/\sqrt{3\,MD^2 + v}`.

    Parameters
    ----------
    md : (n_points,) array_like
        Mean diffusivity, mm2/s.
    noise : (n_points,) array_like
        Standard deviation of the signal's noise, as a share of the signal at b = 0.
    bvals : (n_volumes,) array_like
        s/mm2.
    directions : (n_volumes, 3) array_like

    Returns
    -------
    (n_points,) ndarray
        NaN where an input is.

    References
    ----------
    See the module. The covariance is that of weighted least squares with the log signal's
    variance :math:`\sigma^2/s^2`: Salvador R, et al. (2005). Human Brain Mapping 24:144-155,
    https://doi.org/10.1002/hbm.20076.

    Examples
    --------
    >>> z = np.linspace(-1, 1, 30)
    >>> turn = np.arange(30) * 2.4
    >>> ring = np.stack([np.cos(turn), np.sin(turn)], axis=1) * np.sqrt(1 - z**2)[:, None]
    >>> table = np.vstack([np.zeros((3, 3)), np.column_stack([ring, z])])
    >>> bvals = np.r_[np.zeros(3), np.full(30, 1000)]
    >>> isotropic_fa([0.8e-3, 0.8e-3, 1e-3], [0.02, 0.04, 0.04], bvals, table).round(3)
    array([0.042, 0.084, 0.082])
    """
    design = design_matrix(bvals, directions)
    values = np.asarray(bvals, dtype=float)
    spread = np.array([_deviation(design, np.exp(-values * d)) for d in _MD_GRID])
    known = np.asarray(md, dtype=float)
    with np.errstate(invalid='ignore'):
        per_noise = np.interp(known, _MD_GRID, spread)
        deviation = np.asarray(noise, dtype=float) * np.where(np.isnan(known), np.nan, per_noise)
        return np.asarray(_CHI5 * np.sqrt(1.5) * deviation / np.sqrt(3 * known**2 + deviation**2))


def _deviation(design: FloatArray, signal: FloatArray) -> float:
    """Root mean square deviation from a sphere, mm2/s, for noise of the signal at b = 0."""
    covariance = np.linalg.inv(design.T @ (signal[:, None] ** 2 * design))[:6, :6]
    # An element beside the diagonal stands twice in the tensor.
    variances = np.diag(covariance) * np.array([1, 1, 1, 2, 2, 2])
    # Less the variance of the mean: what is common to the three diagonal elements is no deviation
    # from a sphere.
    square = variances.sum() - covariance[:3, :3].sum() / 3
    return float(np.sqrt(square) * 1e-3)  # the design is in ms/um2
