"""A fit of the package's own engine in the form that all engines share."""

from __future__ import annotations

import math

import numpy as np

import bids_acc
from bids_acc.mrs.lcm import FitResult
from bids_acc.mrs.results.engine_result import Curves, EngineResult
from bids_acc.quality.measure import QualityMeasure


def builtin_result(fit: FitResult, water_amplitude: float = math.nan) -> EngineResult:
    """Put a fit of the package's own engine into the common form.

    Parameters
    ----------
    fit : FitResult
        From `bids_acc.mrs.lcm.fit_spectrum`.
    water_amplitude : float
        Magnitude of the water decay at time zero; NaN without water.

    Returns
    -------
    EngineResult
        With covariance, so that bounds of sums and ratios are exact.
    """
    per_proton = fit.basis.amplitude_per_proton
    has_water = water_amplitude > 0
    covariance = np.asarray(fit.covariance)
    return EngineResult(
        engine='builtin',
        version=bids_acc.__version__,
        names=fit.names,
        kinds=fit.kinds,
        values=fit.amplitudes,
        # rounding can leave a variance of zero just below it
        sd=np.sqrt(np.maximum(np.diagonal(covariance), 0)),
        covariance=covariance,
        sampling=np.asarray(fit.sampling),
        unbiased=np.asarray(fit.unbiased),
        unbiased_covariance=np.asarray(fit.unbiased_covariance),
        measures={
            'snr': (
                QualityMeasure(fit.snr_lcm, '1', 'builtin_snr_lcm'),
                QualityMeasure(fit.snr_noise, '1', 'builtin_snr_noise'),
            ),
            'fwhm': (
                QualityMeasure(fit.fwhm_hz, 'Hz', 'builtin_fwhm'),
                QualityMeasure(fit.linewidth_kernel_hz, 'Hz', 'builtin_kernel_fwhm'),
            ),
            'shift': (QualityMeasure(fit.shift_ppm, 'ppm', 'builtin_shift'),),
        },
        curves=Curves(fit.ppm, fit.data, fit.fit, fit.baseline, fit.components),
        # Water has two protons.
        water_scale=per_proton / (water_amplitude / 2) if has_water else math.nan,
        baseline_sensitivity=dict(fit.baseline_sensitivity),
        extra={
            'snr_lcm': fit.snr_lcm,
            'snr_noise': fit.snr_noise,
            'fwhm_hz': fit.fwhm_hz,
            'fwhm_ppm': fit.fwhm_ppm,
            'fwhm_kernel_hz': fit.linewidth_kernel_hz,
            'shift_ppm': fit.shift_ppm,
            'phase0_deg': fit.phase0_deg,
            'phase1_deg_per_ppm': fit.phase1_deg_per_ppm,
            'lorentz_hz': fit.lorentz_hz,
            'gauss_hz': fit.gauss_hz,
            'baseline_ed_per_ppm': fit.baseline_ed_per_ppm,
            'ndf': fit.ndf,
            'converged': fit.converged,
        },
        notes=tuple(fit.notes) + tuple(fit.basis.flags),
        invalid=fit.invalid,
        basis_sha256=fit.basis.sha256,
    )
