"""Levels that depend on a hair are told, and every interval holds the estimate that it is of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bids_acc.mrs.basis import simulate
from bids_acc.mrs.basis.basis_set import load_basis
from bids_acc.mrs.engines.run import run_builtin
from bids_acc.mrs.lcm import FitOptions
from bids_acc.mrs.lcm.stability import NOISE_SHARE, changed_copies, refits
from bids_acc.mrs.levels.constants import WATER_MOLALITY
from bids_acc.mrs.levels.quantify import quantify
from bids_acc.mrs.levels.signs import ratio_ranges, signs_of_fit
from bids_acc.mrs.results.engine_result import EngineResult
from bids_acc.mrs.results.records import load_result, save_record
from bids_acc.mrs.scan.io import read_nifti_mrs
from bids_acc.mrs.signal import preprocessing
from bids_acc.mrs.signal.preprocessing import preprocess
from bids_acc.mrs.spectrum import Spectrum

LEVELS = {'NAA': 12.0, 'Cr': 5.0, 'PCr': 4.0, 'GPC': 1.5, 'Ins': 6.0, 'Glu': 9.0, 'Gln': 3.0}


def result(**changes: object) -> EngineResult:
    values = np.array(list(LEVELS.values()))
    fields = {
        'engine': 'builtin', 'version': '0', 'names': tuple(LEVELS),
        'kinds': ('metabolite',) * values.size, 'values': values, 'sd': 0.05 * values,
        'covariance': np.diag((0.05 * values) ** 2),
    }  # fmt: skip
    return EngineResult(**(fields | changes))


@pytest.fixture(scope='module')
def spectrum() -> Spectrum:
    basis = simulate.basis(
        spectrometer_frequency=127.75, dwell_time=5e-4, n_points=1024, echo_time=0.035,
        metabolites=list(LEVELS),
    )  # fmt: skip
    rng = np.random.default_rng(3)
    return Spectrum(
        simulate.synthetic_fid(basis, LEVELS, noise_sd=0.3, rng=rng), 5e-4, 127.75, 0.035
    )


def test_copies_differ_by_less_than_the_noise(spectrum: Spectrum) -> None:
    copies = list(changed_copies(spectrum, np.random.default_rng(0)))
    again = list(changed_copies(spectrum, np.random.default_rng(0)))
    for number, (copy, same) in enumerate(zip(copies, again, strict=True)):
        assert np.array_equal(copy.fid, same.fid)
        sign = 1 - 2 * (number % 2)
        back = copy.fid * np.exp(-1j * sign * (0.2 * np.pi * spectrum.time + 0.1))
        assert np.std(back - spectrum.fid) == pytest.approx(
            NOISE_SHARE * 0.3 * np.sqrt(2), rel=0.15
        )


def test_a_good_spectrum_is_stable_and_its_estimates_lie_in_their_intervals(
    spectrum: Spectrum, tmp_path: Path
) -> None:
    basis = simulate.basis(
        spectrometer_frequency=127.75, dwell_time=5e-4, n_points=1024, echo_time=0.035,
        metabolites=list(LEVELS),
    )  # fmt: skip
    options = FitOptions(macromolecules='none', baseline_sensitivity=False)
    found = run_builtin(spectrum, basis, options, np.nan, np.random.default_rng(1))
    assert found.refits is not None
    assert found.refits.shape == (3, len(LEVELS))
    back = load_result(save_record(found, tmp_path / 'r.json'))
    assert back.refits is not None
    assert np.array_equal(back.refits, found.refits)
    for level in quantify(found, None):
        assert level.ci_low <= level.ci_estimate <= level.ci_high or np.isnan(level.ci_low)
        if level.metabolite in ('NAA', 'Glu', 'tCr'):
            assert 0 <= level.spread <= level.value_crlb
    assert np.isnan(refits(replace(spectrum, fid=np.zeros(1024)), basis, options,
                           np.random.default_rng(1), 1)).all()  # fmt: skip


def test_a_level_that_moves_by_more_than_its_bound_is_flagged() -> None:
    steady = result(refits=np.tile(list(LEVELS.values()), (3, 1)))
    assert steady.spread('Glu') == steady.spread('Glx', 'tCr') == 0
    moved = steady.refits.copy()
    moved[1, 5] = 12.0
    loose = replace(steady, refits=moved)
    assert loose.spread('Glu') == pytest.approx(3)
    assert loose.spread('Glx', 'tCr') == pytest.approx(3 / 9)
    signs = {sign.name: sign for sign in signs_of_fit(loose, {})}
    assert signs['unstable_fit'].found
    assert 'Glu' in signs['unstable_fit'].rule
    assert not any(sign.found for sign in signs_of_fit(steady, {}))
    assert np.isnan(result().spread('Glu'))


def test_signs_of_a_fit() -> None:
    values = np.array([0.5, 5.0, 4.0, 1.5, 6.0, 58.0, 3.0])
    strange = result(values=values, sd=np.full(7, 0.3), extra={'phase1_deg_per_ppm': -27.0})
    found = {sign.name for sign in signs_of_fit(strange, {'voxel_in_image_fraction': 0.58})
             if sign.found}  # fmt: skip
    assert found == {'missing_naa', 'implausible_ratio', 'first_order_phase', 'voxel_outside'}
    low, high = ratio_ranges()['Glx']
    assert low < 1 < 2 < high < 6.5


@pytest.mark.parametrize(
    ('times', 'echo_time', 'there'),
    [(1, 0.035, False), (8, 0.035, True), (1 / 8, 0.035, True), (8, 0.144, False),
     (np.nan, 0.035, False), (8, np.nan, False)],
)  # fmt: skip
def test_creatine_that_no_brain_has_by_water(times: float, echo_time: float, there: bool) -> None:
    usual = 10.0 / (WATER_MOLALITY * result().amount('tCr')[0])
    signs = signs_of_fit(replace(result(), water_scale=times * usual), {}, echo_time)
    assert [s.found for s in signs if s.name == 'implausible_level'] == [there]


def test_not_detected_when_smaller_than_its_bound() -> None:
    sd = np.array([0.5, 0.5, 0.5, 12.0, 0.5, 0.5, 0.5])
    assert not result(sd=sd).detected('GPC')
    assert result(sd=sd).detected('Glu')


def test_estimates_of_a_real_spectrum_lie_in_their_intervals(shared_data: Path) -> None:
    folder = shared_data / 'mrs-press35/sub-01/mrs'
    if not folder.is_dir():
        pytest.skip('no mrs-press35')
    data = read_nifti_mrs(folder / 'sub-01_acq-press35_svs.nii.gz')
    water = read_nifti_mrs(folder / 'sub-01_acq-press35_mrsref.nii.gz').fids[:, :, 0]
    done = preprocess(data.fids[:, :, 0], data.dwell_time, data.spectrometer_mhz, water)
    spectrum = Spectrum(done.fid, data.dwell_time, data.spectrometer_mhz, data.echo_time)
    options = FitOptions(baseline_sensitivity=False)
    found = run_builtin(spectrum, load_basis('simulate', spectrum), options, done.water_amplitude)
    levels = [level for level in quantify(found, None) if np.isfinite(level.ci_low)]
    assert len(levels) > 20
    assert all(level.ci_low <= level.ci_estimate <= level.ci_high for level in levels)


def test_a_spectrum_that_depends_on_a_hair_is_flagged(
    shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scan whose decay ends in the start of a filter, with that end left in."""
    path = shared_data / 'mrs-siemens30/sub-01/mrs/sub-01_acq-rda_svs.nii.gz'
    if not path.exists():
        pytest.skip('no mrs-siemens30')
    monkeypatch.setattr(preprocessing, 'wrapped_samples', lambda *_: 0)
    data = read_nifti_mrs(path)
    fid = preprocess(data.fids[:, :, 0], data.dwell_time, data.spectrometer_mhz).fid
    spectrum = Spectrum(fid, data.dwell_time, data.spectrometer_mhz, data.echo_time)
    options = FitOptions(baseline_sensitivity=False)
    basis = load_basis('simulate', spectrum)
    found = run_builtin(spectrum, basis, options, np.nan, np.random.default_rng(0))
    signs = {sign.name for sign in signs_of_fit(found, {}) if sign.found}
    assert {'unstable_fit', 'first_order_phase'} <= signs
