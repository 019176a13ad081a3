"""Whether a fit depends on a hair: the same spectrum, changed by less than can be measured.

A bound describes the neighbourhood of one minimum. Where the data allow several, or where the fit
rests on something that is no line at all, a shift of a tenth of a hertz moves the result by more
than the bound; no number of one fit tells so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from bids_acc.mrs.lcm.fit import fit_spectrum
from bids_acc.mrs.lcm.options import FitOptions
from bids_acc.mrs.lcm.prepare import noise_sd
from bids_acc.mrs.spectrum import Basis, Spectrum
from bids_acc.typing import FloatArray

SHIFT_HZ, PHASE_RAD = 0.1, 0.1
"""How far a copy is moved and turned: both are free in the fit, so that nothing should change."""

NOISE_SHARE = 0.05
"""Noise added to a copy, as a share of the spectrum's own: it widens errors by an eighth of a
percent, and by itself moves a level by about a twentieth of its bound."""

N_COPIES = 3
"""Copies that are fitted again."""


def changed_copies(
    spectrum: Spectrum, rng: np.random.Generator, count: int = N_COPIES
) -> Iterator[Spectrum]:
    """Make copies of a spectrum that no measurement could tell from it.

    Parameters
    ----------
    spectrum : Spectrum
        Preprocessed data.
    rng : Generator
        Source of the noise.
    count : int
        How many.

    Yields
    ------
    Spectrum
        Moved by :data:`SHIFT_HZ`, turned by :data:`PHASE_RAD`, in both directions by turns, with
        :data:`NOISE_SHARE` of the noise added.
    """
    # from a point of the spectrum to a sample: the transform adds up all samples' noise
    sd = NOISE_SHARE * noise_sd(spectrum) / np.sqrt(spectrum.n_points)
    for number in range(count):
        sign = 1 - 2 * (number % 2)
        turn = np.exp(1j * sign * (2 * np.pi * SHIFT_HZ * spectrum.time + PHASE_RAD))
        noise = rng.standard_normal((2, spectrum.n_points)) * sd
        yield replace(spectrum, fid=spectrum.fid * turn + noise[0] + 1j * noise[1])


def refits(
    spectrum: Spectrum,
    basis: Basis,
    options: FitOptions,
    rng: np.random.Generator,
    count: int = N_COPIES,
) -> FloatArray:
    """Fit copies of a spectrum, each from the beginning, and return their amplitudes.

    Parameters
    ----------
    spectrum, basis, options
        As for :func:`~bids_acc.mrs.lcm.fit.fit_spectrum`.
    rng : Generator
        Source of the noise.
    count : int
        Number of copies.

    Returns
    -------
    (count, n_components) ndarray of float64
        NaN where a copy could not be fitted.
    """
    options = replace(options, baseline_sensitivity=False)
    return np.array(
        [
            fit_spectrum(copy, basis, options).amplitudes
            for copy in changed_copies(spectrum, rng, count)
        ]
    )
