"""The fit: planted truth, invariances, bounds, and what happens to bad data."""

from dataclasses import replace

import numpy as np
import pytest

from bids_acc.mrs.basis import simulate
from bids_acc.mrs.basis.macromolecules import birch_fid
from bids_acc.mrs.lcm import NOT_DETECTED, FitOptions, fit_spectrum
from bids_acc.mrs.lcm.baseline import penalty_for, second_differences, spline_columns
from bids_acc.mrs.lcm.centring import as_measured, recentred, recentred_parameters
from bids_acc.mrs.lcm.lineshape import broaden, gauss_variance, peak_width, voigt_width
from bids_acc.mrs.lcm.model import (
    N_SHARED,
    PHASE0,
    PHASE1,
    SHIFT,
    Component,
    LinearCombinationModel,
    nonnegative,
)
from bids_acc.mrs.lcm.options import KnownPhase, RatioPrior
from bids_acc.mrs.lcm.prepare import noise_sd
from bids_acc.mrs.lcm.search import starts
from bids_acc.mrs.spectrum import Spectrum

F0, DWELL, N = 123.2, 5e-4, 1024
NAMES = ('Cr', 'PCr', 'GPC', 'PCh', 'Glu', 'Gln', 'Ins', 'NAA', 'NAAG')
LEVELS = {
    'Cr': 4.0,
    'PCr': 4.0,
    'GPC': 1.0,
    'PCh': 0.5,
    'Glu': 9.0,
    'Gln': 3.0,
    'Ins': 6.0,
    'NAA': 11.0,
    'NAAG': 1.5,
}
SUMS = (('Glu',), ('Ins',), ('NAA', 'NAAG'), ('Cr', 'PCr'), ('GPC', 'PCh'))
QUICK = FitOptions(macromolecules='none', baseline_sensitivity=False, ratio_priors=())


@pytest.fixture(scope='module')
def basis():
    return simulate.basis(
        spectrometer_frequency=F0,
        dwell_time=DWELL,
        n_points=N,
        echo_time=0.03,
        te1=0.011,
        metabolites=NAMES,
    )


def spectrum(basis, noise=0.0, seed=3, **more):
    rng = np.random.default_rng(seed)
    fid = simulate.synthetic_fid(basis, LEVELS, noise_sd=noise, rng=rng, **more)
    return Spectrum(fid, DWELL, F0, 0.03, sequence='press')


def make_model(basis, **more):
    components = tuple(Component(name, 'metabolite', 0.5, 0.0, 0.13) for name in basis.names)
    settings = {
        'dwell_time': DWELL,
        'spectrometer_frequency': F0,
        'ppm_range': (0.2, 4.2),
        'noise_sd': 1.0,
        'lorentz_prior': (1.0, 20.0),
        'phase1_sd': 0.35,
    }
    data = more.pop('data', spectrum(basis, 0.05, lorentz_hz=4.0).fid)
    return LinearCombinationModel(data, basis.fids, components, **(settings | more))


# pieces ---------------------------------------------------------------------------------------
def effective_dimension(columns, penalty):
    """Trace of the smoother matrix by its definition."""
    gram, difference = columns.T @ columns, second_differences(columns.shape[1])
    return np.trace(np.linalg.solve(gram + penalty * difference.T @ difference, gram))


@pytest.mark.parametrize('dimension', [3.0, 6.0, 28.0])
def test_penalty_gives_the_wanted_dimension(dimension):
    columns = spline_columns(np.linspace(0.2, 4.2, 500))
    assert effective_dimension(columns, penalty_for(columns, dimension)) == pytest.approx(
        dimension
    )


def test_straight_lines_are_free_of_penalty():
    ppm = np.linspace(0.2, 4.2, 300)
    columns = spline_columns(ppm)
    assert effective_dimension(columns, 1e9) == pytest.approx(2.0, abs=1e-3)


@pytest.mark.parametrize(('lorentz', 'gauss'), [(5.0, 0.0), (0.0, 5.0), (3.0, 4.0)])
def test_peak_width_of_a_voigt_line(lorentz, gauss):
    time = np.arange(8192) * DWELL
    line = np.ones((1, 8192), dtype=complex)
    fid = broaden(line, time, np.array([100.0]), np.array([lorentz]), gauss_variance(gauss))[0]
    assert peak_width(fid, DWELL, 102.0) == pytest.approx(voigt_width(lorentz, gauss), rel=2e-3)


def test_peak_width_without_a_peak_is_nan():
    assert np.isnan(peak_width(-np.exp(-np.arange(512) / 50.0).astype(complex), DWELL, 0.0))


def test_nonnegative_agrees_with_the_plain_solution(rng):
    columns, data = rng.standard_normal((40, 5)), rng.standard_normal(40)
    from scipy.optimize import nnls

    found = nonnegative(columns.T @ columns, columns.T @ data)
    assert found == pytest.approx(nnls(columns, data)[0], abs=1e-9)


def test_derivatives_are_those_of_model_minus_data(basis, rng):
    model = make_model(basis)
    point = model.start() + 0.1 * rng.random(model.n_parameters)
    amplitudes = rng.random(len(NAMES))

    def difference(parameters):
        return model.columns(parameters) @ amplitudes - model.phased(parameters).real

    analytic = model.derivatives(point, amplitudes)
    for index in (*range(N_SHARED), N_SHARED + 4, N_SHARED + len(NAMES) + 4):
        step = np.zeros(model.n_parameters)
        step[index] = 1e-5
        numeric = (difference(point + step) - difference(point - step)) / 2e-5
        scale = np.abs(numeric).max()
        assert np.allclose(analytic[:, index], numeric, atol=1e-5 * scale), index


def test_gradient_is_that_of_the_reduced_cost(basis, rng):
    """All amplitudes are positive here, so that the projection is exact; the prior pulls."""
    model = make_model(basis, lorentz_prior=(1.0, 0.02))
    model.set_ratios(np.array([[1.0, -0.5, 0, 0, 0, 0, 0, 0, 0]]))
    point = model.start() + 0.02 * rng.random(model.n_parameters)
    _, gradient = model.normal_equations(point, model.solve(point))
    for index in (*range(N_SHARED), N_SHARED + 7):
        step = np.zeros(model.n_parameters)
        step[index] = 1e-4
        slope = (model.solve(point + step).cost - model.solve(point - step).cost) / 2e-4
        assert gradient[index] == pytest.approx(slope / 2, rel=2e-3, abs=1e-3 * abs(slope) + 1e-4)


@pytest.mark.parametrize(('phase', 'shift'), [(2.0, 14.0), (-2.6, -14.0), (0.5, 5.0)])
def test_search_starts_near_the_truth(basis, phase, shift):
    model = make_model(basis, data=spectrum(basis, 0.3, phase=phase, shift_hz=shift).fid)
    first = starts(model, 0.15 * F0)[0]
    assert first[SHIFT] == pytest.approx(shift, abs=2.0)
    assert abs(np.angle(np.exp(1j * (first[PHASE0] - phase)))) < 0.6


def test_noise_is_measured_outside_the_signals(basis):
    measured = noise_sd(spectrum(basis, 0.2))
    assert measured == pytest.approx(0.2 * np.sqrt(N), rel=0.1)


# the whole ------------------------------------------------------------------------------------
def test_truth_comes_back_without_noise(basis):
    fit = fit_spectrum(spectrum(basis, 1e-4, phase=1.0, shift_hz=3.0), basis, QUICK)
    assert fit.converged
    for members in SUMS:
        true = sum(LEVELS[name] for name in members)
        assert fit.value(*members)[0] == pytest.approx(true, rel=5e-3), members
    assert fit.phase0_deg == pytest.approx(np.rad2deg(1.0), abs=1)
    assert fit.shift_ppm * F0 == pytest.approx(3.0, abs=0.1)
    assert fit.linewidth_kernel_hz == pytest.approx(voigt_width(3.0, 4.0), rel=0.02)
    assert fit.fwhm_hz == pytest.approx(voigt_width(4.0, 4.0), rel=0.03)
    assert fit.fwhm_ppm == pytest.approx(fit.fwhm_hz / F0)


def test_estimates_scatter_as_the_bound_says(basis):
    fits = [fit_spectrum(spectrum(basis, 2.0, seed), basis, QUICK) for seed in range(40)]
    assert 20 < np.median([fit.snr_lcm for fit in fits]) < 60
    distances = []
    for members in SUMS:
        true = sum(LEVELS[name] for name in members)
        values = np.array([fit.value(*members) for fit in fits])
        assert abs(values[:, 0].mean() / true - 1) < 0.05, members
        distances.append(np.abs(values[:, 0] - true) / values[:, 1])
        assert np.mean(distances[-1] < 1.96) >= 0.85, members
    # 0.80 for a normal distribution of unit width; the bound also covers shifts of their own
    assert 0.58 < np.mean(distances) < 1.0


def test_errors_are_below_the_bound_and_the_baseline_makes_the_difference(basis):
    data, share = spectrum(basis, 2.0), {}
    for stiffness in (1e-3, 7.0):
        fit = fit_spectrum(data, basis, replace(QUICK, ed_per_ppm=stiffness))
        unit = np.sqrt(np.diag(fit.covariance))
        excess = (fit.covariance - fit.sampling) / np.outer(unit, unit)
        assert np.linalg.eigvalsh(excess).min() > -1e-9
        share[stiffness] = np.diag(fit.sampling) / unit**2
    assert share[1e-3].min() > 0.99  # a straight line is not penalised
    assert share[7.0].min() < 0.8


@pytest.mark.parametrize(('phase', 'shift'), [(3.0, 4.0), (-2.0, -4.0), (1.5, 0.0)])
def test_phase_and_shift_do_not_matter(basis, phase, shift):
    first = fit_spectrum(spectrum(basis, 0.3), basis, QUICK)
    turned = spectrum(basis, 0.3)
    move = np.exp(1j * phase + 2j * np.pi * shift * turned.time)
    again = fit_spectrum(replace(turned, fid=turned.fid * move), basis, QUICK)
    for members in SUMS:
        ratio = again.ratio(members, ('Cr', 'PCr'))[0] / first.ratio(members, ('Cr', 'PCr'))[0]
        assert ratio == pytest.approx(1, abs=0.01), members
    assert again.shift_ppm - first.shift_ppm == pytest.approx(shift / F0, abs=1e-3)


@pytest.mark.parametrize('shift', [-4.0, 3.3])
def test_a_flexible_baseline_does_not_depend_on_where_the_data_are(basis, shift):
    """Lines and macromolecules at the ends of the window are the same part of them."""
    data = spectrum(basis, 0.3, extra=12 * birch_fid(N, DWELL, F0))
    options = FitOptions(ed_per_ppm=9.0, baseline_sensitivity=False)
    first = fit_spectrum(data, basis, options)
    move = np.exp(2j * np.pi * shift * data.time)
    again = fit_spectrum(replace(data, fid=data.fid * move), basis, options)
    for members in SUMS:
        assert again.value(*members)[0] == pytest.approx(first.value(*members)[0], rel=3e-3)
    assert again.ppm == pytest.approx(first.ppm)
    # the curves are those of the same lines, at the same chemical shifts
    assert again.fit == pytest.approx(first.fit, abs=3e-3 * np.abs(first.fit).max())


def test_recentred_data_have_the_same_phase_below_each_line(basis):
    """Moved by a whole number of points, phased data are the same numbers further along."""
    points = 10
    shift_ppm = points / (2 * N * DWELL) / F0
    data = spectrum(basis, 0.3, shift_hz=shift_ppm * F0)
    before, after = (
        make_model(basis, data=moved.fid) for moved in (data, recentred(data, shift_ppm))
    )
    parameters = before.start()
    parameters[[PHASE0, PHASE1, SHIFT]] = 0.4, 0.1, shift_ppm * F0
    there = recentred_parameters(parameters, shift_ppm)
    assert there[SHIFT] == 0
    assert np.allclose(after.phased(there)[:-points], before.phased(parameters)[points:])
    fit = fit_spectrum(data, basis, QUICK)
    degrees = np.rad2deg(there[[PHASE0, PHASE1]])
    back = as_measured(
        replace(fit, phase0_deg=degrees[0], phase1_deg_per_ppm=degrees[1], shift_ppm=0.0),
        shift_ppm,
    )
    assert back.phase0_deg == pytest.approx(np.rad2deg(0.4))
    assert back.shift_ppm == pytest.approx(shift_ppm)


@pytest.mark.parametrize('shift', [0.0, 10.0])
def test_what_is_known_of_phase_and_shift_holds_wherever_the_data_are(basis, shift):
    data = spectrum(basis, 0.3, phase=0.4, shift_hz=shift)
    first = fit_spectrum(data, basis, QUICK)
    known = KnownPhase(
        first.phase0_deg, first.phase1_deg_per_ppm, first.shift_ppm,
        float(np.mean(QUICK.ppm_range)), 0.01, 0.01,
    )  # fmt: skip
    options = replace(QUICK, known_phase=known, phase1_sd_deg=0.01)
    again = fit_spectrum(data, basis, options)
    assert again.shift_ppm == pytest.approx(first.shift_ppm, abs=2e-4)
    assert again.phase0_deg == pytest.approx(first.phase0_deg, abs=0.05)
    assert again.phase1_deg_per_ppm == pytest.approx(first.phase1_deg_per_ppm, abs=0.05)
    for members in SUMS:
        assert again.value(*members)[0] == pytest.approx(first.value(*members)[0], rel=2e-3)


def test_scale_of_data_and_basis_cancel(basis):
    data = spectrum(basis, 0.3)
    scaled_basis = replace(basis, fids=basis.fids * 1e-3, amplitude_per_proton=1e-3)
    first = fit_spectrum(data, basis, QUICK)
    again = fit_spectrum(replace(data, fid=data.fid * 1e6), scaled_basis, QUICK)
    assert again.proton_amplitude('NAA')[0] == pytest.approx(
        1e6 * first.proton_amplitude('NAA')[0], rel=1e-4
    )
    assert again.crlb_pct('NAA') == pytest.approx(first.crlb_pct('NAA'), rel=1e-3)


def test_conjugate_data_are_turned_and_said_so(basis):
    data = spectrum(basis, 0.3)
    first = fit_spectrum(data, basis, QUICK)
    again = fit_spectrum(replace(data, fid=data.fid.conj()), basis, QUICK)
    assert again.amplitudes == pytest.approx(first.amplitudes)
    assert any('conjugated' in note for note in again.notes)


def test_unknown_macromolecules_are_taken_by_lines_and_baseline(basis):
    mm = 12 * birch_fid(N, DWELL, F0)
    data = spectrum(basis, 0.1, extra=mm)
    fit = fit_spectrum(data, basis)
    assert {'MM09', 'Lip13a'} < set(fit.names)
    assert fit.kinds[: len(NAMES)] == ('metabolite',) * len(NAMES)
    assert fit.baseline_ed_per_ppm == 8.0
    true = LEVELS['NAA'] + LEVELS['NAAG']
    ratio = fit.ratio(('NAA', 'NAAG'), ('Cr', 'PCr'))[0]
    assert ratio == pytest.approx(true / 8.0, rel=0.1)
    assert 0 <= fit.baseline_sensitivity['tNAA'] < 0.2
    assert set(fit.second) >= {'Glu', 'Glx', 'tNAA', 'tCr', 'tCho'}
    assert fit.baseline_sensitivity['tCr'] == pytest.approx(0)


def test_measured_macromolecules_replace_the_lines(basis):
    mm = birch_fid(N, DWELL, F0)
    known = replace(
        basis,
        names=(*basis.names, 'Mac'),
        fids=np.vstack([basis.fids, mm]),
        mm_names=('Mac',),
    )
    fit = fit_spectrum(spectrum(basis, 0.1, extra=12 * mm), known)
    assert fit.names == known.names
    assert fit.kinds[-1] == 'macromolecule'
    assert fit.baseline_ed_per_ppm == 1.5
    for members in SUMS:
        true = sum(LEVELS[name] for name in members)
        assert fit.value(*members)[0] == pytest.approx(true, rel=0.06), members


def test_curves_add_up(basis):
    fit = fit_spectrum(spectrum(basis, 0.3), basis)
    assert np.allclose(fit.components.sum(axis=0) + fit.baseline, fit.fit)
    assert np.allclose(fit.data - fit.fit, fit.residual)
    assert np.all(np.diff(fit.ppm) < 0)
    assert 0.2 <= fit.ppm.min() < 0.22
    peak = 0.5 * np.abs(fit.fit - fit.baseline).max() / fit.residual_sd
    assert fit.snr_lcm == pytest.approx(peak)
    squares = np.sum(fit.residual**2) / (fit.ppm.size - fit.ndf)
    assert fit.residual_sd == pytest.approx(np.sqrt(squares))


def test_sums_and_ratios_use_the_covariance(basis):
    fit = fit_spectrum(spectrum(basis, 0.3), basis, QUICK)
    first, second = fit.names.index('Cr'), fit.names.index('PCr')
    variance = (
        fit.covariance[first, first]
        + fit.covariance[second, second]
        + 2 * fit.covariance[first, second]
    )
    value, sd = fit.value('Cr', 'PCr')
    assert sd == pytest.approx(np.sqrt(variance))
    assert fit.crlb_pct('Cr', 'PCr') == pytest.approx(100 * sd / value)
    assert sd < fit.value('Cr')[1]
    assert fit.ratio(('Cr', 'PCr'), ('Cr', 'PCr')) == pytest.approx((1.0, 0.0), abs=1e-7)
    assert np.isnan(fit.value('GABA')[0])
    assert np.isnan(fit.crlb_pct('GABA'))
    assert fit.value('Cr', 'PCr', 'Absent') == fit.value('Cr', 'PCr')


def test_absent_metabolite_is_not_detected_never_zero_percent(basis):
    levels = {name: value for name, value in LEVELS.items() if name != 'Ins'}
    rng = np.random.default_rng(7)
    bounds = []
    for _ in range(4):
        fid = simulate.synthetic_fid(basis, levels, noise_sd=0.4, rng=rng)
        fit = fit_spectrum(Spectrum(fid, DWELL, F0), basis, QUICK)
        bounds.append(fit.crlb_pct('Ins'))
    assert min(bounds) > 20
    empty = replace(fit, amplitudes=np.zeros(len(fit.names)))
    assert empty.crlb_pct('Ins') == NOT_DETECTED
    assert np.isnan(empty.ratio(('Ins',), ('Cr',))[0])


def test_ratio_prior_pulls(basis):
    prior = RatioPrior(('Gln',), (('Glu', 1.0),), 0.8, 0.001)
    free = fit_spectrum(spectrum(basis, 0.4), basis, QUICK)
    pulled = fit_spectrum(spectrum(basis, 0.4), basis, replace(QUICK, ratio_priors=(prior,)))
    assert free.ratio(('Gln',), ('Glu',))[0] < 0.6
    assert pulled.ratio(('Gln',), ('Glu',))[0] == pytest.approx(0.8, abs=0.02)


def test_unbiased_amplitudes_know_no_soft_ratio(basis):
    """One step from the pulled minimum leads to where the fit without the ratio ends."""
    prior = RatioPrior(('Gln',), (('Glu', 1.0),), 0.8, 0.05)
    free = fit_spectrum(spectrum(basis, 0.4), basis, QUICK)
    pulled = fit_spectrum(spectrum(basis, 0.4), basis, replace(QUICK, ratio_priors=(prior,)))
    sds = np.sqrt(np.diag(free.unbiased_covariance))
    gln = free.names.index('Gln')
    assert pulled.amplitudes[gln] - free.amplitudes[gln] > 2 * sds[gln]
    assert np.abs((pulled.unbiased - free.unbiased) / sds).max() < 0.1
    np.testing.assert_allclose(
        pulled.unbiased_covariance / np.outer(sds, sds),
        free.unbiased_covariance / np.outer(sds, sds),
        atol=0.05,
    )


def test_unbiased_amplitudes_know_no_bound(basis):
    """Of a metabolite that is not there they scatter about zero, as their covariance says."""
    levels = LEVELS | {'Gln': 0.0}
    rng, distances, bounded = np.random.default_rng(11), [], []
    for _ in range(40):
        fid = simulate.synthetic_fid(basis, levels, noise_sd=2.0, rng=rng)
        fit = fit_spectrum(Spectrum(fid, DWELL, F0), basis, QUICK)
        gln = fit.names.index('Gln')
        distances.append(fit.unbiased[gln] / np.sqrt(fit.unbiased_covariance[gln, gln]))
        bounded.append(fit.amplitudes[gln])
    assert min(bounded) == 0
    assert abs(np.mean(distances)) < 0.4
    assert 0.75 < np.std(distances) < 1.25


def test_unbiased_amplitudes_are_the_truth_without_noise(basis):
    fit = fit_spectrum(spectrum(basis, 1e-3), basis, QUICK)
    true = np.array([LEVELS[name] for name in fit.names])
    np.testing.assert_allclose(fit.unbiased, true, rtol=2e-3)
    assert np.all(np.linalg.eigvalsh(fit.unbiased_covariance) > 0)


# failure --------------------------------------------------------------------------------------
def nan_fid(data):
    fid = data.fid.copy()
    fid[3] = np.nan
    return fid


@pytest.mark.parametrize(
    ('change', 'reason'),
    [
        (nan_fid, 'not finite'),
        (lambda data: np.full(N, np.inf + 0j), 'not finite'),
        (lambda data: np.zeros(N), 'zero throughout'),
        (lambda data: data.fid[:512], 'not on the sampling grid'),
    ],
)
def test_failure_is_nan_with_a_reason(basis, change, reason):
    data = spectrum(basis, 0.3)
    fit = fit_spectrum(replace(data, fid=change(data)), basis)
    assert fit.failed
    assert reason in fit.notes[0]
    assert np.all(np.isnan(fit.amplitudes))
    assert np.all(np.isnan(fit.unbiased))
    assert np.all(np.isnan(fit.unbiased_covariance))
    assert len(fit.amplitudes) == len(fit.names) == len(fit.kinds)
    assert np.isnan(fit.snr_lcm)
    assert np.isnan(fit.fwhm_hz)
    assert np.isnan(fit.crlb_pct('NAA'))
    assert np.isnan(fit.ratio(('NAA',), ('Cr',))[0])
    assert not fit.converged


def test_folded_spectrum_is_refused_with_the_reason():
    narrow = simulate.basis(
        spectrometer_frequency=F0, dwell_time=1 / 600, n_points=512, echo_time=0.03, te1=0.011,
        metabolites=['NAA', 'Cr'],
    )  # fmt: skip
    fit = fit_spectrum(Spectrum(narrow.fids[0], 1 / 600, F0), narrow, QUICK)
    assert fit.failed
    assert fit.notes[0] == 'the spectral width of 600 Hz folds the lines of NAA'


def test_other_failures_have_reasons_too(basis):
    data = spectrum(basis, 0.3)
    narrow = fit_spectrum(data, basis, replace(QUICK, ppm_range=(1.9, 2.1)))
    assert narrow.failed
    assert 'points between 1.9 and 2.1 ppm' in narrow.notes[0]
    broken = basis.fids.copy()
    broken[2, 5] = np.nan
    fit = fit_spectrum(data, replace(basis, fids=broken))
    assert fit.failed
    assert 'basis set has values that are not finite' in fit.notes[0]


@pytest.mark.parametrize('scale', [1e-30, 1e30])
def test_any_scale_of_the_data_will_do(basis, scale):
    data = spectrum(basis, 0.3)
    fit = fit_spectrum(replace(data, fid=scale * data.fid), basis)
    assert fit.ratio(('NAA', 'NAAG'), ('Cr', 'PCr'))[0] == pytest.approx(12.5 / 8, rel=0.05)


def test_noise_alone_gives_no_confident_metabolite(basis):
    rng = np.random.default_rng(11)
    fid = rng.standard_normal(N) + 1j * rng.standard_normal(N)
    fit = fit_spectrum(Spectrum(fid, DWELL, F0), basis, QUICK)
    assert fit.failed or (fit.snr_lcm < 5 and fit.crlb_pct('Cr', 'PCr') > 15)


def test_same_input_same_bytes(basis):
    first, again = (fit_spectrum(spectrum(basis, 0.3), basis) for _ in range(2))
    assert first.amplitudes.tobytes() == again.amplitudes.tobytes()
    assert first.covariance.tobytes() == again.covariance.tobytes()


# real data ------------------------------------------------------------------------------------
def test_challenge_spectrum_agrees_with_lcmodel(shared_data):
    """Median over all sets is in the benchmark; here one set with a wide margin."""
    import nibabel as nb

    from bids_acc.mrs.basis.basis_set import load_basis

    image = nb.load(shared_data / 'mrs-challenge' / 'sub-04_svs.nii.gz')
    fid = np.asarray(image.dataobj).ravel()
    data = Spectrum(fid, 2.5e-4, 123.2, 0.03, sequence='press')
    model = load_basis(shared_data / 'basis' / 'challenge_press3T_30ms.BASIS', data)
    fit = fit_spectrum(data, model)
    tcr = ('Cr', 'PCr')
    assert fit.ratio(('Glu',), tcr)[0] == pytest.approx(1.214, rel=0.08)
    assert fit.ratio(('NAA', 'NAAG'), tcr)[0] == pytest.approx(1.656, rel=0.03)
    assert fit.snr_lcm == pytest.approx(39, rel=0.1)
    assert fit.linewidth_kernel_hz / F0 == pytest.approx(0.024, abs=0.015)
