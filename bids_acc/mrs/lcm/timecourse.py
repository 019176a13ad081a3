"""Fits of the blocks of a series, from the phase and shift of their mean."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bids_acc.mrs.lcm.fit import fit_spectrum
from bids_acc.mrs.lcm.options import FitOptions, KnownPhase
from bids_acc.mrs.lcm.result import FitResult
from bids_acc.mrs.spectrum import Basis, Spectrum
from bids_acc.typing import ComplexArray

PHASE_SD_DEG, SHIFT_SD_HZ, PHASE1_SD_DEG = 3.0, 0.3, 0.1
"""How far phase, shift and first-order phase (per ppm) of a block may be from those of the whole.
They share one alignment; conventions of this package."""


def fit_blocks(
    averages: ComplexArray, spectrum: Spectrum, basis: Basis, options: FitOptions
) -> tuple[FitResult, list[FitResult]]:
    """Fit the mean of the blocks, then each block from its phase and shift, with free width.

    Parameters
    ----------
    averages : (n_blocks, n_points) ndarray of complex
        Blocks with one alignment and matched line shape.
    spectrum : Spectrum
        Sampling of the blocks.
    basis : Basis
        Model spectra.
    options : FitOptions
        As for the whole spectrum.

    Returns
    -------
    whole : FitResult
    blocks : list of FitResult
    """
    options = replace(options, baseline_sensitivity=False)
    whole = fit_spectrum(replace(spectrum, fid=averages.mean(axis=0)), basis, options)
    if whole.failed:
        return whole, [whole] * len(averages)
    known = KnownPhase(
        whole.phase0_deg, whole.phase1_deg_per_ppm, whole.shift_ppm,
        float(np.mean(options.ppm_range)), PHASE_SD_DEG, SHIFT_SD_HZ,
    )  # fmt: skip
    own = replace(options, known_phase=known, phase1_sd_deg=PHASE1_SD_DEG)
    return whole, [fit_spectrum(replace(spectrum, fid=fid), basis, own) for fid in averages]
