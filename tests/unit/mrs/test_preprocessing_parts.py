"""Coils, alignment, water and phase against planted truth."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from bids_acc.exceptions import InputDataError
from bids_acc.mrs.signal.alignment import align_transients, shift_and_phase, unlike_transients
from bids_acc.mrs.signal.coils import coil_agreement, combine_coils, noise_covariance
from bids_acc.mrs.signal.measures import full_width_half_maximum, noise_sd, peak_measures
from bids_acc.mrs.signal.preprocessing import (
    checked_scale,
    cold_water,
    nothing_usable,
    preprocess,
    wrong_axis,
)
from bids_acc.mrs.signal.referencing import find_phase, find_shift
from bids_acc.mrs.signal.water import (
    correct_eddy_currents,
    hlsvd,
    remove_residual_water,
    water_amplitude,
)
from bids_acc.mrs.spectrum import ppm_axis, to_spectrum
from tests.synthetic.acquisition import residual_water, simulate_acquisition

DWELL, MHZ, N = 5e-4, 127.75, 2048
TIME = np.arange(N) * DWELL
PEAKS = {2.008: 30.0, 3.027: 25.0, 3.21: 12.0, 3.913: 16.0, 2.35: 6.0}


def brain(width_hz: float = 5.0) -> np.ndarray:
    """Singlets at the well-known places."""
    return np.sum(
        [
            height * np.exp((2j * np.pi * (4.65 - ppm) * MHZ - np.pi * width_hz) * TIME)
            for ppm, height in PEAKS.items()
        ],
        axis=0,
    )


def white(rng: np.random.Generator, sd: float, *shape: int) -> np.ndarray:
    """Complex noise."""
    return sd * (rng.standard_normal((*shape, 2)) @ np.array([1, 1j]))


def water_line(width_hz: float = 7.0) -> np.ndarray:
    return 1e4 * np.exp(-np.pi * width_hz * TIME)


def test_coils_reach_the_best_possible_snr(rng: np.random.Generator) -> None:
    raw = simulate_acquisition(brain(), DWELL, 0.1, rng, drift_sd_hz=0, phase_sd_rad=0)
    _, weights = combine_coils(raw.fids)
    snr = abs(weights @ raw.sensitivities) / np.sqrt(
        (weights @ raw.noise_covariance @ weights.conj()).real
    )
    inverse = np.linalg.solve(raw.noise_covariance, raw.sensitivities)
    assert snr >= 0.99 * np.sqrt((raw.sensitivities.conj() @ inverse).real)


def test_whitening_matters(rng: np.random.Generator) -> None:
    """One coil of eight is a hundred times noisier: unwhitened, it spoils the sum."""
    fids = np.tile(brain(), (8, 16, 1)) + white(rng, 1.0, 8, 16, N)
    fids[3] += white(rng, 300.0, 16, N)
    combined, weights = combine_coils(fids)
    assert abs(weights[3]) < 0.01 * abs(weights[0])
    single = peak_measures(fids[0].mean(axis=0), DWELL, MHZ)[0]
    assert peak_measures(combined.mean(axis=0), DWELL, MHZ)[0] > 2 * single


def test_covariance_of_few_samples_is_diagonal_and_dead_coils_are_named(
    rng: np.random.Generator,
) -> None:
    few = white(rng, 1.0, 12, 1, 64)
    assert np.count_nonzero(noise_covariance(few)) == 12
    few[5] = 0
    with pytest.raises(InputDataError, match=r'coil 5 .* holds no signal'):
        noise_covariance(few)


def test_signal_that_lasts_to_the_end_is_no_noise(rng: np.random.Generator) -> None:
    lasting = 50 * np.exp(2j * np.pi * 20 * TIME)
    covariance = noise_covariance(lasting + white(rng, 1.0, 2, 8, N))
    np.testing.assert_allclose(np.diagonal(covariance).real, 2 * 7 / 8, rtol=0.1)


def test_a_coil_that_is_the_sum_of_others_is_no_obstacle(rng: np.random.Generator) -> None:
    """A channel that the scanner combined stands beside its elements in some exports."""
    signal = np.exp(-np.arange(512) / 60) + 0j
    sensitivity = np.array([1.0, 0.5j, -0.8])
    noise = 0.02 * (rng.standard_normal((3, 8, 512, 2)) @ np.array([1, 1j]))
    elements = sensitivity[:, None, None] * signal + noise
    combined, _ = combine_coils(np.concatenate([elements, elements.sum(axis=0)[None]]))
    alone, _ = combine_coils(elements)
    shapes = [part.mean(axis=0) / part.mean(axis=0)[0] for part in (combined, alone)]
    assert np.abs(shapes[0] - shapes[1]).max() < 0.05


def test_a_reference_whose_water_was_suppressed_scales_nothing() -> None:
    time = np.arange(1024) * 5e-4
    naa = np.exp((2j * np.pi * (4.65 - 2.008) * 127.75 - 15) * time)
    done = nothing_usable(1024, '')
    unsure = 'off by as much'
    for water, kept, said in (
        (1000.0, 1000.0, ''), (5.0, math.nan, 'no water scaling'),
        (50.0, 50.0, unsure), (9e4, 9e4, unsure),
    ):  # fmt: skip
        scaled = replace(done, fid=naa, water_amplitude=water)
        checked, problem = checked_scale(scaled, 5e-4, 127.75)
        assert checked.water_amplitude == pytest.approx(kept, nan_ok=True)
        assert (said in problem) if said else not problem


def test_reference_with_other_coils_is_refused(rng: np.random.Generator) -> None:
    with pytest.raises(InputDataError, match='2 coils, the spectrum 4'):
        combine_coils(white(rng, 1, 4, 2, 64), white(rng, 1, 2, 1, 64))


def test_alignment_finds_planted_offsets(rng: np.random.Generator) -> None:
    fid = brain() + residual_water(N, DWELL, 50.0)
    height = np.abs(to_spectrum(brain()).real).max()
    raw = simulate_acquisition(fid, DWELL, height / 80 / np.sqrt(N), rng)
    _, found = align_transients(combine_coils(raw.fids)[0], DWELL)
    difference = found.frequency_hz - raw.frequency_hz
    turn = np.angle(np.exp(1j * (found.phase_rad - raw.phase_rad)))
    turn = np.angle(np.exp(1j * (turn - np.angle(np.exp(1j * turn).mean()))))
    assert difference.std() < 0.4
    assert np.degrees(turn.std()) < 2


def test_alignment_of_one_transient_changes_nothing() -> None:
    aligned, found = align_transients(brain()[None], DWELL)
    np.testing.assert_array_equal(aligned[0], brain())
    assert found.frequency_hz.tolist() == [0.0]


def test_shift_and_phase_are_undone() -> None:
    moved = shift_and_phase(brain(), DWELL, -3.0, -0.5)
    np.testing.assert_allclose(shift_and_phase(moved, DWELL, 3.0, 0.5), brain(), atol=1e-9)


def test_planted_outliers_are_left_out_and_no_others(rng: np.random.Generator) -> None:
    fids = brain() + white(rng, 1.0, 32, N)
    fids[[4, 20]] += 60 * np.exp((2j * np.pi * 90 - 30) * TIME)
    unlike = unlike_transients(fids, DWELL)
    assert unlike[[4, 20]].all()
    assert unlike.sum() <= 3
    assert not unlike_transients(fids[:7], DWELL).any()


def test_hlsvd_agrees_with_hlsvdpropy(rng: np.random.Generator) -> None:
    peer = pytest.importorskip('hlsvdpropy')
    fid = brain() + residual_water(N, DWELL, 200.0) + white(rng, 0.05, N)
    frequency, damping, amplitude = hlsvd(fid, DWELL, n_components=12, n_points=1024)
    # the last four of what it returns: kHz, ms, amplitude, degrees
    f_khz, damp_ms, ampl, _ = peer.hlsvd(fid[:1024], 12, DWELL * 1e3)[-4:]
    strong = np.abs(amplitude) > 5
    for k in np.flatnonzero(strong):
        nearest = int(np.argmin(np.abs(np.asarray(f_khz) * 1e3 - frequency[k])))
        assert f_khz[nearest] * 1e3 == pytest.approx(frequency[k], abs=0.02)
        assert -1e3 / damp_ms[nearest] == pytest.approx(damping[k], rel=0.02, abs=0.05)
        assert ampl[nearest] == pytest.approx(abs(amplitude[k]), rel=0.02)


@pytest.mark.parametrize('times', [5, 50])
def test_residual_water_goes_and_peaks_stay(rng: np.random.Generator, times: int) -> None:
    clean = brain() + white(rng, 0.05, N)
    clean += 20 * np.exp((2j * np.pi * (4.65 - 5.8) * MHZ - 20) * TIME)
    wet = clean + residual_water(N, DWELL, times * 30.0)
    before, after = (
        to_spectrum(f, 4 * N).real for f in (clean, remove_residual_water(wet, DWELL, MHZ))
    )
    ppm = ppm_axis(4 * N, DWELL, MHZ)
    for centre, limit in ((2.01, 0.5), (3.03, 1.5), (3.91, 4.0), (5.8, 4.0)):
        near = np.abs(ppm - centre) < 0.06
        assert abs(after[near].max() / before[near].max() - 1) < limit / 100
    water = np.abs(ppm - 4.65) < 0.3
    assert np.abs(after[water]).max() < 0.05 * before.max()


def test_eddy_currents_are_undone_and_water_comes_to_zero() -> None:
    phase = 0.8 * np.exp(-TIME / 0.02) + 2 * np.pi * 4.0 * TIME + 0.3
    water = water_line() * np.exp(1j * phase)
    corrected = correct_eddy_currents(brain() * np.exp(1j * phase), water, DWELL)
    used = TIME < 0.25
    np.testing.assert_allclose(corrected[used], brain()[used], atol=1e-6)


def test_eddy_phase_goes_on_straight_where_noise_begins(rng: np.random.Generator) -> None:
    water = water_line(20.0) * np.exp(2j * np.pi * 3 * TIME) + white(rng, 1.0, N)
    corrected = correct_eddy_currents(np.exp(2j * np.pi * 3 * TIME), water, DWELL)
    assert np.abs(np.angle(corrected)).max() < 0.25


def test_water_amplitude_ignores_the_first_points(rng: np.random.Generator) -> None:
    water = water_line() + white(rng, 1.0, N)
    water[:3] *= [0.5, 0.8, 1.1]
    assert water_amplitude(water, DWELL) == pytest.approx(1e4, rel=5e-3)
    assert np.isnan(water_amplitude(white(rng, 1.0, N), DWELL))


@pytest.mark.parametrize('shift', [-0.12, 0.0, 0.2])
@pytest.mark.parametrize('phase', [-2.5, 0.4, 3.0])
def test_scale_and_phase_are_found(rng: np.random.Generator, shift: float, phase: float) -> None:
    fid = brain() + white(rng, 0.2, N)
    moved = shift_and_phase(fid, DWELL, shift * MHZ, -phase)
    assert find_shift(moved, DWELL, MHZ) == pytest.approx(shift, abs=0.004)
    back = shift_and_phase(moved, DWELL, -shift * MHZ, 0.0)
    turn = np.angle(np.exp(1j * (find_phase(back, DWELL, MHZ) - phase)))
    assert np.degrees(abs(turn)) < 3


def test_peak_measures_do_not_depend_on_phase() -> None:
    fid = brain(6.0) + white(np.random.default_rng(1), 0.05, N)
    snr, width = peak_measures(fid, DWELL, MHZ)
    turned = peak_measures(fid * np.exp(2j), DWELL, MHZ)
    assert width == pytest.approx(6.0, abs=0.5)
    assert turned == pytest.approx((snr, width), rel=1e-2)


def test_noise_is_measured_or_said_to_be_unknown(rng: np.random.Generator) -> None:
    noise = white(rng, 2.0, N)
    assert noise_sd(noise, DWELL, MHZ) == pytest.approx(2 * np.sqrt(N), rel=0.1)
    assert np.isnan(noise_sd(noise, 1e-3, MHZ))  # 1000 Hz: the spectrum ends before the noise


def test_width_of_what_has_no_flank_is_nan() -> None:
    assert np.isnan(full_width_half_maximum([0, 1, 2], [1.0, 2.0, 3.0]))
    assert np.isnan(full_width_half_maximum([0, 1, 2], [0.0, 0.0, 0.0]))


@pytest.fixture
def raw(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Raw spectrum and water of four coils, with drift, eddy currents and residual water."""
    phase = 1.5 * np.exp(-TIME / 0.04)
    fid = (brain() + residual_water(N, DWELL, 100.0)) * np.exp(1j * phase)
    svs = simulate_acquisition(fid, DWELL, 0.05, rng, n_coils=4, n_transients=24)
    water = water_line() * np.exp(1j * phase)
    ref = svs.sensitivities[:, None, None] * water + white(rng, 0.5, 4, 1, N)
    return svs.fids, ref


def test_each_step_is_recorded_with_what_it_changed(raw: tuple) -> None:
    done = preprocess(raw[0], DWELL, MHZ, raw[1])
    names = [step.step for step in done.steps]
    assert names == [
        'coils', 'align', 'outliers', 'average', 'eddy_current', 'residual_water', 'reference',
        'phase',
    ]  # fmt: skip
    steps = dict(zip(names, done.steps, strict=True))
    assert steps['coils'].snr_after > 1.3 * steps['coils'].snr_before
    assert steps['align'].snr_after > steps['align'].snr_before
    assert steps['eddy_current'].applied
    assert done.steps[-1].fwhm_after_hz == pytest.approx(5.0, abs=0.7)
    assert done.drift_hz > 3
    spectrum = to_spectrum(done.fid)
    top = np.argmax(np.where(np.abs(ppm_axis(N, DWELL, MHZ) - 2.01) < 0.1, spectrum.real, -1e9))
    assert ppm_axis(N, DWELL, MHZ)[top] == pytest.approx(2.008, abs=0.01)
    assert abs(np.degrees(np.angle(spectrum[top]))) < 12


def test_correction_that_would_widen_is_left_out(rng: np.random.Generator) -> None:
    """The scanner has corrected the spectrum but not the water."""
    distorted = water_line() * np.exp(2.5j * np.exp(-TIME / 0.05))
    fid = (brain() + white(rng, 0.05, N))[None, None]
    done = preprocess(fid, DWELL, MHZ, distorted[None, None])
    step = next(step for step in done.steps if step.step == 'eddy_current')
    assert not step.applied
    assert 'would widen NAA' in step.detail
    forced = preprocess(fid, DWELL, MHZ, distorted[None, None], eddy_current='on')
    assert forced.steps[-1].fwhm_after_hz > 1.05 * done.steps[-1].fwhm_after_hz


def test_correction_that_would_lower_naa_is_left_out(rng: np.random.Generator) -> None:
    """The same with eddy currents that die away before they widen anything."""
    distorted = water_line() * np.exp(1.2j * np.exp(-TIME / 0.02))
    fid = (brain() + white(rng, 0.05, N))[None, None]
    done = preprocess(fid, DWELL, MHZ, distorted[None, None])
    step = next(step for step in done.steps if step.step == 'eddy_current')
    assert not step.applied
    assert '95 % of the height of NAA' in step.detail
    forced = preprocess(fid, DWELL, MHZ, distorted[None, None], eddy_current='on')
    assert next(s for s in forced.steps if s.step == 'eddy_current').applied


def test_without_reference_there_is_no_water(rng: np.random.Generator) -> None:
    done = preprocess((brain() + white(rng, 0.05, N))[None, None], DWELL, MHZ)
    assert done.water is None
    assert np.isnan(done.water_amplitude)
    assert np.isnan(done.drift_hz)


def test_short_reference_serves_all_the_same(raw: tuple) -> None:
    whole = preprocess(raw[0], DWELL, MHZ, raw[1])
    short = preprocess(raw[0], DWELL, MHZ, raw[1][..., :512])
    assert short.water_amplitude == pytest.approx(whole.water_amplitude, rel=1e-3)
    scale = np.abs(whole.fid).max()
    np.testing.assert_allclose(short.fid, whole.fid, rtol=0, atol=0.02 * scale)


def test_reference_of_other_coils_serves_eddy_currents_only(raw: tuple) -> None:
    done = preprocess(raw[0], DWELL, MHZ, raw[1][:1])
    assert np.isnan(done.water_amplitude)
    assert done.water is not None
    combined = preprocess(raw[0].mean(axis=0, keepdims=True), DWELL, MHZ, raw[1])
    assert np.isnan(combined.water_amplitude)


def test_conjugated_reference_is_recognised_by_what_it_does_to_naa() -> None:
    time = np.arange(2048) * DWELL
    rng = np.random.default_rng(0)
    eddy = np.exp(2j * np.pi * 20 * 0.08 * (1 - np.exp(-time / 0.08)))
    noise = 0.05 * (rng.standard_normal((2, 2048, 2)) @ np.array([1, 1j]))
    svs, water = brain() * eddy + noise[0], water_line() * eddy + noise[1]
    right = preprocess(svs[None, None], DWELL, MHZ, water[None, None])
    turned = preprocess(svs[None, None], DWELL, MHZ, water.conj()[None, None])
    step = next(s for s in turned.steps if s.step == 'eddy_current')
    assert 'conjugated water reference' in step.detail
    scale = np.abs(right.fid).max()
    np.testing.assert_allclose(turned.fid, right.fid, rtol=0, atol=0.02 * scale)


def test_conjugated_decays_are_turned_back_and_said_so(raw: tuple) -> None:
    right = preprocess(raw[0], DWELL, MHZ, raw[1])
    turned = preprocess(raw[0].conj(), DWELL, MHZ, raw[1].conj())
    assert [s.step for s in turned.steps if s.applied and s.step == 'conjugate'] == ['conjugate']
    assert 'conjugate' not in [s.step for s in right.steps]
    np.testing.assert_allclose(turned.fid, right.fid, rtol=0, atol=0.02 * np.abs(right.fid).max())


def test_noise_alone_is_not_turned(rng: np.random.Generator) -> None:
    done = preprocess(white(rng, 1.0, 1, 1, N), DWELL, MHZ)
    assert 'conjugate' not in [step.step for step in done.steps]


@pytest.mark.parametrize(('hertz', 'conjugate'), [(-150.0, True), (250.0, False)])
def test_water_off_the_centre_is_found(raw: tuple, hertz: float, conjugate: bool) -> None:
    time = np.arange(raw[0].shape[-1]) * DWELL
    moved = [part * np.exp(2j * np.pi * hertz * time) for part in raw]
    moved = [part.conj() for part in moved] if conjugate else moved
    right = preprocess(raw[0], DWELL, MHZ, raw[1])
    for reference in (moved[1], None):
        done = preprocess(moved[0], DWELL, MHZ, reference)
        assert 'centre' in [step.step for step in done.steps]
        assert abs(done.shift_ppm) < 0.1
        scale = np.abs(right.fid).max()
        np.testing.assert_allclose(np.abs(done.fid), np.abs(right.fid), atol=0.1 * scale)
    assert 'centre' not in [step.step for step in right.steps]


def test_dead_coil_is_left_out_and_said(raw: tuple) -> None:
    fids, water = raw[0].copy(), raw[1].copy()
    fids[1], water[1] = 0, 0
    done = preprocess(fids, DWELL, MHZ, water)
    assert done.steps[0].detail.endswith('without signal and left out: 1 (counted from 0)')
    alone = preprocess(np.delete(fids, 1, 0), DWELL, MHZ, np.delete(water, 1, 0))
    np.testing.assert_allclose(done.fid, alone.fid)


@pytest.fixture
def eight(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Raw spectrum and water of eight coils."""
    svs = simulate_acquisition(
        brain() + residual_water(N, DWELL, 100.0), DWELL, 0.05, rng, n_transients=8
    )
    return svs.fids, svs.sensitivities[:, None, None] * water_line() + white(rng, 0.5, 8, 1, N)


def test_a_reference_whose_coils_are_in_another_order_scales_nothing(eight: tuple) -> None:
    right = preprocess(eight[0], DWELL, MHZ, eight[1])
    assert not right.reference_problem
    assert coil_agreement(eight[0], eight[1], DWELL, MHZ) > 0.99
    done = preprocess(eight[0], DWELL, MHZ, eight[1][::-1])
    assert np.isnan(done.water_amplitude)
    done, problem = checked_scale(done, DWELL, MHZ)
    assert 'in another order' in problem
    # its metabolites are as good as with the right ones, in the unit of their own weights
    ratio = done.fid / right.fid
    assert np.abs(ratio[:200] / ratio[0] - 1).max() < 0.1


def test_a_reference_of_coils_that_is_conjugated_alone_is_turned(eight: tuple) -> None:
    right = preprocess(eight[0], DWELL, MHZ, eight[1])
    done = preprocess(eight[0], DWELL, MHZ, eight[1].conj())
    assert done.water_amplitude == pytest.approx(right.water_amplitude, rel=1e-6)
    assert 'conjugated' in checked_scale(done, DWELL, MHZ)[1]
    np.testing.assert_allclose(done.fid, right.fid)


def test_noise_hides_the_order_of_coils(eight: tuple, rng: np.random.Generator) -> None:
    fids = white(rng, 1.0, *eight[0].shape)
    assert np.isnan(coil_agreement(fids, eight[1], DWELL, MHZ))
    assert not preprocess(fids, DWELL, MHZ, eight[1]).reference_problem


@pytest.mark.parametrize(
    ('dwell', 'mhz', 'word'),
    [(DWELL / 2, MHZ, 'or 2000 Hz'), (2 * DWELL, MHZ, 'or 2000 Hz'),
     (DWELL, 297.2, 'they fit 127 MHz'), (DWELL, MHZ, ''), (DWELL, 123.25, '')],
)  # fmt: skip
def test_a_wrong_sampling_interval_or_field_is_told(
    raw: tuple, dwell: float, mhz: float, word: str
) -> None:
    told = wrong_axis(preprocess(raw[0], dwell, mhz), dwell, mhz)
    assert word in told
    assert bool(told) == bool(word)


@pytest.mark.parametrize('conjugate', [False, True])
def test_transients_of_two_gains_scale_nothing(raw: tuple, conjugate: bool) -> None:
    svs, ref = (part.conj() if conjugate else part for part in raw)
    assert not preprocess(svs, DWELL, MHZ, ref).uneven
    gains = np.repeat([1.0, 2.5], 12)[None, :, None]
    done, problem = checked_scale(preprocess(svs * gains, DWELL, MHZ, ref), DWELL, MHZ)
    assert problem.startswith('12 of the 24 transients are 2.5 times as high as the others')
    assert problem.endswith('no water scaling.')
    assert math.isnan(done.water_amplitude)


@pytest.mark.parametrize(('ppm', 'cold'), [(4.66, False), (4.78, True)])
def test_water_of_a_phantom_is_said(ppm: float, cold: bool, rng: np.random.Generator) -> None:
    water = np.exp((2j * np.pi * (4.65 - ppm) * MHZ - 20) * TIME)
    svs = brain() + 100 * water + white(rng, 0.05, N)
    done = preprocess(svs[None, None], DWELL, MHZ, 4e4 * water[None, None])
    told = cold_water(done, DWELL, MHZ)
    assert ('as at about 26 degrees' in told) if cold else not told
