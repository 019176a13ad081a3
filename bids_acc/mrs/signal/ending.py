"""The end of a decay: the start of the receiver's digital filter, wrapped round.

A receiver samples faster than it stores and filters in between. Where it does so by a circular
convolution, what the filter makes of the first sample before its time appears at the end of the
decay, which then rises. The plain spectrum is whole, because it is circular too; but in a
zero-filled one, and after a shift by other than whole points, the end is a second signal, a
modulation of every line by its full duration.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

RISE = 5.0
"""An end is wrapped when its magnitude is this many times that of the quietest part."""

RETURN = 1.5
"""It begins where the magnitude exceeds that of the quietest part by this factor for good."""

MIN_KEPT_S = 0.15
"""As much of a decay is never left out, in s."""

_BLOCKS = 64


def wrapped_samples(fids: npt.ArrayLike, dwell_time: float) -> int:
    """Count the samples at the end of decays that belong before their start.

    Parameters
    ----------
    fids : (..., n_points) array_like of complex
        Raw decays of one spectrum.
    dwell_time : float
        Sampling interval in s.

    Returns
    -------
    int
        Zero for decays that fall to noise and stay there.

    Examples
    --------
    >>> time = np.arange(1024) * 1e-3
    >>> decay = np.exp(-time / 0.1) + 1e-3
    >>> wrapped_samples(decay, 1e-3), wrapped_samples(decay + decay[::-1] ** 4, 1e-3) > 100
    (0, True)
    """
    power = np.mean(np.abs(np.asarray(fids)) ** 2, axis=tuple(range(np.ndim(fids) - 1)))
    size = max(power.size // _BLOCKS, 4)
    n_blocks = power.size // size
    # blocks count from the end; the first samples may be left over
    blocks = np.sqrt(power[power.size - n_blocks * size :].reshape(n_blocks, size).mean(axis=1))
    quiet = int(np.argmin(blocks))
    if n_blocks < 8 or not blocks[-1] > RISE * blocks[quiet]:
        return 0
    # Of five blocks: the quietest of many is quieter than noise is on average.
    level = float(np.median(blocks[max(quiet - 2, 0) : quiet + 3]))
    calm = np.flatnonzero(blocks <= RETURN * level)
    count = (n_blocks - 1 - int(calm[-1])) * size
    return count if (power.size - count) * dwell_time >= MIN_KEPT_S else 0
