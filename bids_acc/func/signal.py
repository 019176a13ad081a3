"""Where a series has signal at all: echo-planar images lose it near air, first below the genu."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bids_acc.typing import BoolArray, FloatArray

LEAST_TSNR = 5.0
"""tSNR below which a place counts as without signal (own convention; magnitude noise without
any signal has sqrt(pi / (4 - pi)) = 1.9, the Rayleigh distribution's mean by its deviation)."""
LEAST_INTENSITY = 0.25
"""Share of the median intensity below which a place counts as without signal (own convention)."""


def temporal_snr(mean: npt.ArrayLike, residual_sd: npt.ArrayLike) -> FloatArray:
    """Return mean by standard deviation over time; 0 without signal, NaN where both are 0.

    Parameters
    ----------
    mean : (n,) array_like
        Over time.
    residual_sd : (n,) array_like
        Over time, slow drifts taken off.

    References
    ----------
    Parrish TB, Gitelman DR, LaBar KS, Mesulam MM (2000). Impact of signal-to-noise on functional
    MRI. Magn Reson Med 44(6):925-932.
    https://doi.org/10.1002/1522-2594(200012)44:6<925::AID-MRM14>3.0.CO;2-M
    """
    level, spread = np.asarray(mean, dtype=float), np.asarray(residual_sd, dtype=float)
    return np.asarray(np.divide(level, spread, out=np.full(level.shape, np.nan), where=spread > 0))


def has_signal(mean: npt.ArrayLike, tsnr: npt.ArrayLike, reference: float) -> BoolArray:
    """Tell where there is signal.

    Parameters
    ----------
    mean : (n,) array_like
        Intensity over time.
    tsnr : (n,) array_like
    reference : float
        Median intensity of what is compared, usually the cortex.

    Examples
    --------
    >>> has_signal([100, 100, 20, np.nan], [50, 2, 50, 50], 100)
    array([ True, False, False, False])
    """
    level, quality = np.asarray(mean, dtype=float), np.asarray(tsnr, dtype=float)
    with np.errstate(invalid='ignore'):
        return (quality >= LEAST_TSNR) & (level >= LEAST_INTENSITY * reference)
