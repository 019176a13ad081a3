"""Linear-combination fit of one spectrum, from data and basis set to result."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from bids_acc.exceptions import ComputationError
from bids_acc.mrs.lcm import lineshape
from bids_acc.mrs.lcm.centring import (
    as_measured,
    recentred,
    recentred_options,
    recentred_parameters,
)
from bids_acc.mrs.lcm.model import (
    LORENTZ,
    N_SHARED,
    PHASE0,
    PHASE1,
    SHIFT,
    VARIANCE,
    LinearCombinationModel,
    Solution,
)
from bids_acc.mrs.lcm.options import FitOptions, RatioPrior
from bids_acc.mrs.lcm.prepare import Prepared, dimensions, noise_sd, prepare
from bids_acc.mrs.lcm.result import FitResult, failed_result
from bids_acc.mrs.lcm.search import Descent, descend, shared_only, starts
from bids_acc.mrs.lcm.uncertainty import Uncertainty, unbiased_amplitudes, uncertainty
from bids_acc.mrs.spectrum import PPM_REFERENCE, Basis, Spectrum, oriented
from bids_acc.typing import FloatArray

LOGGER = logging.getLogger(__name__)

LOWEST_SINGLET_PPM = 1.9
"""The spectral width must reach this chemical shift."""

MISFIT = 2.0
"""A residual this many times the noise is remarked upon."""

DOMINANT = 2.0
"""A fit in which a metabolite stands this many times as high as the highest of the three great
singlets has described something else: in brain at any usual echo time these are the highest."""

_SINGLETS = (('NAA', 'NAAG'), ('Cr', 'PCr'), ('GPC', 'PCh'))
_ED_START = 1.5
_GAUSS_UNIT_HZ = 4.0
_RATIO_FLOOR = 0.05
_TURNED = 'the FID was conjugated: its lines lay downfield of water'


def fit_spectrum(spectrum: Spectrum, basis: Basis, options: FitOptions | None = None) -> FitResult:
    """Fit a short-echo proton spectrum as a combination of model spectra.

    Parameters
    ----------
    spectrum : Spectrum
        Preprocessed data; phase and a shift up to ``options.max_shift_ppm`` need not be right,
        residual water must be gone.
    basis : Basis
        Model spectra on the same sampling grid.
    options : FitOptions, optional
        Settings.

    Returns
    -------
    FitResult
        With NaN for every number, and the reason in ``notes``, when no fit was possible.

    Notes
    -----
    The objective follows Provencher (1993, Magn Reson Med 30:672): non-negative amplitudes,
    common line shape, small shifts and widths of their own for each metabolite, first-order
    phase, regularised spline baseline. The line shape is a Voigt profile instead of a free
    kernel, and the stiffness of the baseline is chosen, not searched for; a second stiffness
    shows what depends on it.

    Examples
    --------
    >>> import numpy as np
    >>> from bids_acc.mrs.basis import simulate
    >>> basis = simulate.basis(
    ...     spectrometer_frequency=123.2,
    ...     dwell_time=5e-4,
    ...     n_points=1024,
    ...     echo_time=0.03,
    ...     te1=0.011,
    ...     metabolites=['NAA', 'Cr', 'Ins'],
    ... )
    >>> fid = simulate.synthetic_fid(
    ...     basis, {'NAA': 2.0, 'Cr': 1.0}, noise_sd=0.02, phase=2.0, rng=np.random.default_rng(1)
    ... )
    >>> result = fit_spectrum(
    ...     Spectrum(fid, 5e-4, 123.2),
    ...     basis,
    ...     FitOptions(macromolecules='none', baseline_sensitivity=False),
    ... )
    >>> round(result.ratio(('NAA',), ('Cr',))[0], 1)
    2.0
    """
    options = options or FitOptions()
    prepared = prepare(spectrum, basis, options)
    reason = _unusable(spectrum, basis)
    if reason:
        return failed_result(prepared.names, prepared.kinds, reason, options, basis)
    turned, kept = oriented(spectrum)
    try:
        result = _fit(turned, basis, options, prepared)
    except (ComputationError, np.linalg.LinAlgError, ValueError, RuntimeError) as error:
        LOGGER.warning('fit failed: %s', error)
        reason = f'fit failed: {error}'
        return failed_result(prepared.names, prepared.kinds, reason, options, basis)
    if kept:
        return result
    return replace(result, notes=(*result.notes, _TURNED))


def _unusable(spectrum: Spectrum, basis: Basis) -> str:
    """Why no fit can be tried; empty when it can."""
    if not np.all(np.isfinite(spectrum.fid)):
        return 'the FID has values that are not finite'
    if not np.any(spectrum.fid):
        return 'the FID is zero throughout'
    if not np.all(np.isfinite(basis.fids)):
        return 'the basis set has values that are not finite'
    if basis.n_points != spectrum.n_points or not np.isclose(
        basis.dwell_time, spectrum.dwell_time, rtol=1e-6
    ):
        return 'the basis set is not on the sampling grid of the data'
    width = 1 / spectrum.dwell_time
    if width / 2 < (PPM_REFERENCE - LOWEST_SINGLET_PPM) * spectrum.spectrometer_frequency:
        return f'the spectral width of {width:.0f} Hz folds the lines of NAA'
    return ''


def _fit(spectrum: Spectrum, basis: Basis, options: FitOptions, prepared: Prepared) -> FitResult:
    """Search, descend, and turn the minimum into a result."""
    noise = noise_sd(spectrum) / prepared.fid_scale
    # first where the lines are, with a baseline that is too stiff to stand in for them
    coarse = _coarse(_model(spectrum, prepared, options, noise), options).parameters
    shift_ppm = float(coarse[SHIFT] / spectrum.spectrometer_frequency)
    known = recentred_options(options, shift_ppm)
    model = _model(recentred(spectrum, shift_ppm), prepared, known, noise)
    first, second = dimensions(prepared, basis, options)
    final, bound = _refine(model, recentred_parameters(coarse, shift_ppm), first, options)
    result = _result(spectrum, basis, options, prepared, model, final, bound, noise)
    result = replace(as_measured(result, shift_ppm), baseline_ed_per_ppm=first)
    if not options.baseline_sensitivity:
        return result
    # from the first minimum, so that what changes is the baseline and not the minimum
    other, other_bound = _refine(model, final.parameters, second, options, passes=1)
    again = _result(spectrum, basis, options, prepared, model, other, other_bound, noise)
    return _with_sensitivity(result, again)


def _model(
    spectrum: Spectrum, prepared: Prepared, options: FitOptions, noise: float
) -> LinearCombinationModel:
    """Scaled data and columns in the window, with what is known beforehand."""
    model = LinearCombinationModel(
        spectrum.fid / prepared.fid_scale,
        prepared.fids,
        prepared.components,
        dwell_time=spectrum.dwell_time,
        spectrometer_frequency=spectrum.spectrometer_frequency,
        ppm_range=options.ppm_range,
        noise_sd=max(noise, 1e-9),
        lorentz_prior=options.lorentz_prior_hz,
        phase1_sd=float(np.deg2rad(options.phase1_sd_deg)),
    )
    _set_known(model, options)
    return model


def _set_known(model: LinearCombinationModel, options: FitOptions) -> None:
    """Give the shared parameters the means and SDs that are known beforehand."""
    known = options.known_phase
    if known is not None:
        turned = known.phase1_deg_per_ppm * (model.pivot - known.pivot_ppm)
        model.prior_mean[PHASE0] = np.deg2rad(known.phase0_deg + turned)
        model.prior_sd[PHASE0] = np.deg2rad(known.phase0_sd_deg)
        model.prior_mean[PHASE1] = np.deg2rad(known.phase1_deg_per_ppm)
        model.prior_mean[SHIFT] = known.shift_ppm * model.spectrometer_frequency
        model.prior_sd[SHIFT] = known.shift_sd_hz
    if options.gauss_prior_hz is not None:
        width, sd = (value / _GAUSS_UNIT_HZ for value in options.gauss_prior_hz)
        model.prior_mean[VARIANCE] = width**2
        # The parameter is the square of the width: its SD by propagation, and the square of the SD
        # where the width is near zero.
        model.prior_sd[VARIANCE] = max(2 * width * sd, sd**2)


def _coarse(model: LinearCombinationModel, options: FitOptions) -> Descent:
    """Phase, shift and line shape with a stiff baseline, from several starts."""
    window = options.ppm_range[1] - options.ppm_range[0]
    model.set_dimension(_ED_START * window)
    max_shift = options.max_shift_ppm * model.spectrometer_frequency
    free = shared_only(model)
    known = options.known_phase is not None
    descents = [
        descend(model, start, free, max_iterations=12, tolerance=1e-3)
        for start in ([model.start()] if known else starts(model, max_shift))
    ]
    best = min(descents, key=lambda item: item.solution.cost)
    return descend(model, best.parameters, free, max_iterations=25, tolerance=1e-4)


def _refine(
    model: LinearCombinationModel,
    parameters: FloatArray,
    ed_per_ppm: float,
    options: FitOptions,
    passes: int = 2,
) -> tuple[Descent, Uncertainty]:
    """All parameters, with the wanted baseline; priors weighed by the residual's own noise."""
    window = options.ppm_range[1] - options.ppm_range[0]
    model.set_dimension(ed_per_ppm * window)
    free = np.ones(model.n_parameters, dtype=bool)
    descent = None
    for number in range(passes):
        solution = model.solve(parameters)
        # a ratio's SD grows with its denominator, which a solution has to tell
        model.set_ratios(_ratio_rows(model, solution.amplitudes, options.ratio_priors))
        last = number == passes - 1
        descent = descend(
            model,
            parameters,
            free,
            max_iterations=options.max_iterations if last else 15,
            tolerance=1e-5 if last else 1e-3,
        )
        parameters = descent.parameters
        bound = uncertainty(model, parameters, descent.solution)
        # what the model misses weighs as noise does, or priors would count for too little
        model.noise_sd = max(bound.residual_sd, 1e-9)
    if descent is None:
        raise ComputationError('no pass of the fit was asked for')
    return descent, bound


def _ratio_rows(
    model: LinearCombinationModel, amplitudes: FloatArray, priors: tuple[RatioPrior, ...]
) -> FloatArray:
    """Soft ratios as rows on the amplitudes, in SDs.

    The denominator of the SD comes from the last amplitudes; a floor keeps a vanishing
    denominator from freezing its numerator at zero.
    """
    names = [component.name for component in model.components]
    floor = _RATIO_FLOOR * float(amplitudes.max())
    rows = []
    for prior in priors:
        upper = [names.index(name) for name in prior.numerator if name in names]
        lower = [(names.index(n), weight) for n, weight in prior.denominator if n in names]
        if not upper or not lower:
            continue
        size = sum(weight * amplitudes[index] for index, weight in lower)
        row = np.zeros(len(names))
        row[upper] += 1.0
        for index, weight in lower:
            row[index] -= prior.mean * weight
        rows.append(row / (prior.sd * max(size, floor, 1e-12)))
    return np.array(rows).reshape(-1, len(names))


def _result(
    spectrum: Spectrum,
    basis: Basis,
    options: FitOptions,
    prepared: Prepared,
    model: LinearCombinationModel,
    descent: Descent,
    bound: Uncertainty,
    noise: float,
) -> FitResult:
    """Undo the scaling and derive the quality figures."""
    solution, parameters = descent.solution, descent.parameters
    if not np.all(np.isfinite(solution.amplitudes)):
        raise ComputationError('amplitudes are not finite')
    if not np.any(solution.amplitudes > 0):
        raise ComputationError('all amplitudes are zero')
    unit = prepared.fid_scale / prepared.column_scale
    amplitudes = solution.amplitudes * unit
    unbiased, unbiased_covariance = unbiased_amplitudes(model, parameters, solution)
    components = solution.columns.T * solution.amplitudes[:, None] * prepared.fid_scale
    baseline = model.splines @ solution.splines * prepared.fid_scale
    signal = components.sum(axis=0)
    highest = float(np.abs(signal).max())
    ndf = _counted(model, solution)
    residual = solution.residual * prepared.fid_scale
    residual_sd = float(np.sqrt(residual @ residual / max(residual.size - ndf, 1)))
    gauss_hz = _GAUSS_UNIT_HZ * float(np.sqrt(parameters[VARIANCE]))
    sds = np.sqrt(np.maximum(np.diagonal(bound.covariance), 0)) * unit
    fwhm_hz = _singlet_width(prepared.names, amplitudes, sds, model, parameters, spectrum)
    notes: tuple[str, ...] = ()
    if not descent.converged:
        notes += ('the descent did not meet its tolerance',)
    misfit = residual_sd / (noise * prepared.fid_scale) if noise > 0 else 0.0
    if misfit > MISFIT:
        notes += (f'the residual is {misfit:.1f} times the noise: the model misses something',)
    return FitResult(
        names=prepared.names,
        kinds=prepared.kinds,
        amplitudes=amplitudes,
        covariance=bound.covariance * np.outer(unit, unit),
        sampling=bound.sampling * np.outer(unit, unit),
        unbiased=unbiased * unit,
        unbiased_covariance=unbiased_covariance * np.outer(unit, unit),
        ppm=model.ppm,
        data=model.phased(parameters).real * prepared.fid_scale,
        fit=signal + baseline,
        baseline=baseline,
        components=components,
        phase0_deg=float(np.rad2deg(np.angle(np.exp(1j * parameters[PHASE0])))),
        phase1_deg_per_ppm=float(np.rad2deg(parameters[PHASE1])),
        shift_ppm=float(parameters[SHIFT] / spectrum.spectrometer_frequency),
        lorentz_hz=float(parameters[LORENTZ]),
        gauss_hz=gauss_hz,
        snr_lcm=highest / (2 * residual_sd) if residual_sd > 0 else float('nan'),
        snr_noise=highest / (noise * prepared.fid_scale) if noise > 0 else float('nan'),
        ndf=float(ndf),
        n_effective=bound.n_effective,
        residual_sd=residual_sd,
        fwhm_hz=fwhm_hz,
        fwhm_ppm=fwhm_hz / spectrum.spectrometer_frequency,
        linewidth_kernel_hz=lineshape.voigt_width(float(parameters[LORENTZ]), gauss_hz),
        baseline_ed_per_ppm=float('nan'),
        converged=descent.converged,
        notes=notes,
        invalid=_dominated(prepared, components) if options.singlets_dominate else (),
        options=options,
        basis=basis,
        n_iterations=descent.n_iterations,
    )


def _dominated(prepared: Prepared, components: FloatArray) -> tuple[str, ...]:
    """Say which metabolite dwarfs NAA, creatine and cholines; nothing when none does."""
    names = prepared.names
    members = [[names.index(n) for n in group if n in names] for group in _SINGLETS]
    great = max((np.abs(components[m].sum(axis=0)).max() for m in members if m), default=0.0)
    own = {index for group in members for index in group}
    others = [
        (float(np.abs(components[k]).max()), names[k])
        for k, kind in enumerate(prepared.kinds)
        if kind == 'metabolite' and k not in own
    ]
    highest, name = max(others, default=(0.0, ''))
    if not (great > 0 and highest > DOMINANT * great):
        return ()
    sentence = (
        f'{name} is fitted {highest / great:.1f} times as high as NAA, creatine and cholines: the '
        'model describes something else than a spectrum of brain'
    )
    return (sentence,)


def _counted(model: LinearCombinationModel, solution: Solution) -> int:
    """Parameters as LCModel counts them: amplitudes in use, splines, and all nonlinear ones."""
    active = int(np.count_nonzero(solution.amplitudes > 0))
    return int(active + model.splines.shape[1] + N_SHARED + 2 * active)


def _singlet_width(
    names: tuple[str, ...],
    amplitudes: FloatArray,
    sds: FloatArray,
    model: LinearCombinationModel,
    parameters: FloatArray,
    spectrum: Spectrum,
) -> float:
    """Width of the fitted NAA singlet, of Cr or PCr when there is no NAA; NaN without all.

    A singlet that is not at least twice its standard deviation has no width.
    """
    fids = model.broadened(parameters)
    for name, ppm in (('NAA', 2.008), ('Cr', 3.027), ('PCr', 3.029)):
        index = names.index(name) if name in names else -1
        if index >= 0 and amplitudes[index] > 2 * sds[index]:
            frequency = (PPM_REFERENCE - ppm) * spectrum.spectrometer_frequency
            return lineshape.peak_width(
                fids[names.index(name)], spectrum.dwell_time, frequency + parameters[SHIFT]
            )
    return float('nan')


def _with_sensitivity(result: FitResult, again: FitResult) -> FitResult:
    """Add how much each ratio changes with the other baseline."""
    reference = result.options.reference
    metabolites = {
        name: (name,)
        for name, kind in zip(result.names, result.kinds, strict=True)
        if kind == 'metabolite'
    }
    second, sensitivity = {}, {}
    for key, members in (metabolites | dict(result.options.combined)).items():
        first_ratio, _ = result.ratio(members, reference)
        second[key], _ = again.ratio(members, reference)
        sensitivity[key] = (
            abs(second[key] - first_ratio) / first_ratio if first_ratio > 0 else float('nan')
        )
    return replace(result, second=second, baseline_sensitivity=sensitivity)
