"""Engines behind one interface: a preprocessed spectrum in, an `EngineResult` out."""

from __future__ import annotations

import logging
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

import bids_acc
from bids_acc.exceptions import SettingsError
from bids_acc.mrs.engines.edited import EditedScan, join_difference
from bids_acc.mrs.lcm import FitOptions, FitResult, fit_spectrum
from bids_acc.mrs.lcm.stability import refits
from bids_acc.mrs.results.engine_result import Curves, EngineResult
from bids_acc.mrs.signal.spectrum import Basis, Spectrum
from bids_acc.quality.measure import QualityMeasure

LOGGER = logging.getLogger(__name__)

ENGINES = ('auto', 'builtin', 'lcmodel', 'import')
"""Values of ``--mrs-engine``."""


def choose_engine(engine: str, has_import: bool) -> str:
    """Engine that ``auto`` stands for: the user's own fits if given, else the one built in.

    LCModel is never chosen silently, because results must not depend on what is installed.

    Raises
    ------
    SettingsError
        If ``lcmodel`` is asked and not on PATH, or ``import`` without a folder of fits.

    Examples
    --------
    >>> choose_engine('auto', False), choose_engine('auto', True)
    ('builtin', 'import')
    """
    if engine == 'auto':
        return 'import' if has_import else 'builtin'
    if engine == 'lcmodel' and shutil.which('lcmodel') is None:
        raise SettingsError('--mrs-engine lcmodel: no program "lcmodel" on PATH; use builtin.')
    if engine == 'import' and not has_import:
        raise SettingsError(
            '--mrs-engine import: no fit found for this spectrum; name the folder of fits with '
            '--mrs-fits PATH.'
        )
    if engine not in ENGINES:
        raise SettingsError(f'--mrs-engine {engine}: choose {", ".join(ENGINES)}.')
    return engine


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


def run_builtin(
    spectrum: Spectrum,
    basis: Basis,
    options: FitOptions,
    water_amplitude: float,
    rng: np.random.Generator | None = None,
    scan: EditedScan | None = None,
    cache_dir: Path | None = None,
) -> EngineResult:
    """Fit with the package's own linear-combination model.

    Parameters
    ----------
    spectrum, basis, options
        As for `bids_acc.mrs.lcm.fit_spectrum`.
    water_amplitude : float
        Magnitude of the water decay at time zero; NaN without water.
    rng : Generator, optional
        With it, copies of the spectrum that no measurement could tell from it are fitted too.
    scan : EditedScan, optional
        Difference of an edited scan, of which ``spectrum`` is the condition OFF.
    cache_dir : Path, optional
        Folder where its simulated basis set is kept.

    Returns
    -------
    EngineResult
    """
    fit = fit_spectrum(spectrum, basis, options)
    result = builtin_result(fit, water_amplitude)
    if fit.failed:
        return result
    if rng is not None:
        result = replace(result, refits=refits(spectrum, basis, options, rng))
    if scan is None:
        return result
    if spectrum.sequence != 'press':
        reason = f'edited {spectrum.sequence} is not simulated: the difference is not fitted.'
        return replace(result, notes=(*result.notes, reason))
    try:
        return join_difference(result, fit, spectrum, scan, rng, cache_dir)
    except SettingsError as error:
        return replace(result, notes=(*result.notes, f'the difference is not fitted: {error}'))
