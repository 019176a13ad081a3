"""Edited scans: simulated conditions, alignment, fit of the difference, levels, known traps."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bids_acc.exceptions import MetadataError, SettingsError
from bids_acc.group.measures.table import build_measures, metabolite_column
from bids_acc.group.statistics.analyses.mrs_groups import metabolites_by_group
from bids_acc.group.statistics.model.declaration import parse_model
from bids_acc.group.statistics.study.joining import make_study
from bids_acc.mrs.basis import simulate
from bids_acc.mrs.basis.edit_metadata import editing_of
from bids_acc.mrs.basis.editing import (
    GABA_30_PPM,
    EditPulse,
    edited_area,
    edited_basis,
    inverted_share,
)
from bids_acc.mrs.engines.edited import EditedScan
from bids_acc.mrs.engines.request import FitRequest
from bids_acc.mrs.engines.run import run_builtin, run_engine
from bids_acc.mrs.interfaces.preprocess import PreprocessSpectrum
from bids_acc.mrs.interfaces.tables import PlotFit, TabulateSpectrum
from bids_acc.mrs.lcm import FitOptions, fit_spectrum
from bids_acc.mrs.lcm.difference import amount_under, difference_options
from bids_acc.mrs.levels.constants import load_relaxation
from bids_acc.mrs.levels.quantify import WaterScaling, quantify
from bids_acc.mrs.levels.tissue import concentration_factor
from bids_acc.mrs.results.engine_result import EngineResult
from bids_acc.mrs.results.records import load_result, save_record
from bids_acc.mrs.scan.conditions import edit_index
from bids_acc.mrs.scan.differences import second_condition
from bids_acc.mrs.scan.io import MrsData, read_nifti_mrs, write_nifti_mrs
from bids_acc.mrs.signal.alignment import shift_and_phase
from bids_acc.mrs.signal.difference import pair_conditions
from bids_acc.mrs.signal.gannet import fit_gaussians
from bids_acc.mrs.signal.preprocessing import preprocess, replayed
from bids_acc.mrs.spectrum import Spectrum
from tests.synthetic.acquisition import residual_water
from tests.synthetic.edited import (
    DWELL,
    LEVELS,
    MHZ,
    MM09_AREA,
    MM30_AREA,
    N_POINTS,
    edited_truth,
    full_basis,
    noisy,
    transients,
)

AXIS = DWELL, MHZ
GRID: dict[str, Any] = {
    'spectrometer_frequency': MHZ, 'dwell_time': DWELL, 'n_points': 1024, 'echo_time': 0.068,
}  # fmt: skip
HEADER = {'EditTarget': 'GABA', 'EditPulse': {'ON': {'PulseOffset': 1.9},
                                             'OFF': {'PulseOffset': 7.46}}}  # fmt: skip


def acquisition(rng: np.random.Generator, snr: float = 20.0, **changes: Any) -> MrsData:
    """Eight shots of each condition, the first ON, with residual water of the same in both."""
    truth = edited_truth()
    sd = truth.noise_sd(snr)
    water = residual_water(N_POINTS, DWELL, 0.3 * abs(truth.off[0]))
    shots = [transients(fid + water, 8, sd, rng) for fid in (truth.on, truth.off)]
    metadata = {
        'SpectrometerFrequency': [MHZ], 'EchoTime': 0.068, 'RepetitionTime': 2.0,
        'PulseSequenceType': 'MEGA-PRESS', 'dim_5': 'DIM_DYN', 'dim_6': 'DIM_EDIT',
        'dim_6_header': {'EditCondition': ['ON', 'OFF']}, **HEADER, **changes,
    }  # fmt: skip
    return MrsData(
        np.stack(shots, axis=1)[None], DWELL, MHZ, 0.068, 2.0, np.eye(4), metadata,
        source='sub-01_svs.nii.gz',
    )  # fmt: skip


@pytest.fixture(scope='module')
def joined() -> EngineResult:
    """Fit of a whole edited scan of known truth at S/N 20."""
    truth, rng = edited_truth(), np.random.default_rng(3)
    sd = truth.noise_sd(20.0)
    off = Spectrum(noisy(truth.off, sd, rng), DWELL, MHZ, 0.068, 2.0, 'press')
    basis = simulate.basis(**(GRID | {'n_points': N_POINTS}), metabolites=list(LEVELS))
    scan = EditedScan(noisy(truth.on, sd, rng) - off.fid, editing_of(HEADER))
    options = FitOptions(baseline_sensitivity=False)
    return run_builtin(off, basis, options, 1000.0, np.random.default_rng(0), scan)


def test_without_editing_pulses_the_basis_is_that_of_press() -> None:
    names = ('GABA', 'GPC', 'Glu', 'Ins', 'NAAG')
    plain = simulate.basis(**GRID, metabolites=names)
    edited = edited_basis(**GRID, on=EditPulse(1.9), metabolites=names).off
    assert np.abs(edited.fids - plain.fids).max() < 1e-12


def test_efficiency_of_editing_gaba() -> None:
    """Half of the line at 3.0 ppm with an ideal pulse, less with one of usual length."""

    def efficiency(**pulse: Any) -> float:
        on, off = (EditPulse(ppm, **pulse) for ppm in (1.9, 7.46))
        found = edited_basis(**GRID, on=on, off=off, metabolites=['GABA'])
        return edited_area(found, 'GABA', GABA_30_PPM) / 2 / 2

    assert efficiency(ideal=True, fwhm_hz=60.0) == pytest.approx(0.5, abs=0.01)
    assert efficiency() == pytest.approx(0.478, abs=0.01)
    assert efficiency(duration=0.020, fwhm_hz=60.0) == pytest.approx(0.46, abs=0.01)


def test_a_pulse_at_naa_leaves_nothing_of_it_and_one_elsewhere_all() -> None:
    basis = full_basis()
    on, off = (abs(part.fid('NAA')[0]) for part in (basis.on, basis.off))
    assert on < 0.05 * off
    singlet = basis.on.fid('Cr') - basis.off.fid('Cr')
    assert np.abs(singlet).max() < 1e-3
    pulse = EditPulse(1.9)
    share = [inverted_share(pulse.amplitudes(), pulse.duration, f) for f in (0, 41.25, 300)]
    assert share == pytest.approx([1, 0.5, 0], abs=1e-3)


def test_pulses_that_do_not_fit_are_refused() -> None:
    with pytest.raises(SettingsError, match='do not fit into TE 68 ms'):
        edited_basis(**GRID, on=EditPulse(1.9, duration=0.04))


def test_ways_to_tie_the_macromolecules_describe_the_same_line() -> None:
    """MM30 has GABA's area, so that the halved column of both has it as well."""
    basis = full_basis()
    free, tied = (basis.difference(model) for model in ('free', '1to1'))  # type: ignore[arg-type]
    mean = (free.fid('GABA') + free.fid('MM30')) / 2
    assert np.allclose(tied.fid('GABA'), mean)
    both = basis.difference('3to2').fid('MM30')
    assert np.allclose(both, free.fid('MM30') + free.fid('MM09'))
    area = edited_area(basis, 'GABA', GABA_30_PPM)
    assert abs(free.fid('MM30')[0]) == pytest.approx(area)


def test_planted_gaba_and_glx_come_back(joined: EngineResult) -> None:
    creatine = LEVELS['Cr'] + LEVELS['PCr']
    area = edited_area(full_basis(), 'GABA', GABA_30_PPM)
    planted = LEVELS['GABA'] + MM30_AREA / area
    for name, truth in (('GABA+', planted), ('Glx_edited', 12.0), ('GABA_edited', 1.5)):
        ratio, bound = joined.ratio(name, 'tCr')
        assert abs(ratio - truth / creatine) < 4 * bound + 0.03 * ratio, name
        assert bound < 0.08 * ratio + 0.02
    assert 0 < joined.model_spread['GABA+'] < 0.15
    assert joined.model_spread['GABA_edited'] > 0
    shown = joined.metabolites()
    assert {'GABA', 'GABA+', 'Glx', 'Glx_edited', 'GABA_edited'} <= set(shown)
    assert not {'NAA_edited', 'GSH_edited', 'MM30_edited'} & set(shown)


@pytest.mark.parametrize(('mm09', 'wrong'), [(1.0, set()), (1.8, {'3to2'})])
def test_only_the_model_that_rests_on_the_line_at_09_ppm_follows_it(
    mm09: float, wrong: set[str]
) -> None:
    """A third fewer macromolecules at 3.0 ppm; where those at 0.9 are higher than 3 to 2, GABA+
    tied to them is too high by a fifth or more, and by no other model."""
    clean = edited_truth(mm30=0.7 * MM30_AREA, mm09=mm09 * MM09_AREA)
    plain = simulate.basis(**GRID, metabolites=list(LEVELS))
    options = FitOptions(baseline_sensitivity=False)
    off = fit_spectrum(Spectrum(clean.off, *AXIS, 0.068, 2.0, 'press'), plain, options)
    difference = Spectrum(clean.on - clean.off, *AXIS, 0.068, 2.0, 'press')
    truth = LEVELS['GABA'] + 0.7 * MM30_AREA / edited_area(full_basis(), 'GABA', GABA_30_PPM)
    edited = edited_basis(**GRID, on=EditPulse(1.9), off=EditPulse(7.46))
    for model in ('free', '3to2', '1to1'):
        fit = fit_spectrum(difference, edited.difference(model), difference_options(off, 'GABA'))
        error = amount_under(model, fit, 'GABA+') / truth - 1
        assert (error > 0.2) if model in wrong else (abs(error) < 0.06), model


def test_a_joined_result_survives_its_file(joined: EngineResult, tmp_path: Path) -> None:
    again = load_result(save_record(joined, tmp_path / 'x.json'))
    assert again.ratio('GABA+', 'tCr') == pytest.approx(joined.ratio('GABA+', 'tCr'))
    curves = again.difference, joined.difference
    assert curves[0] is not None
    assert curves[1] is not None
    assert np.array_equal(curves[0].fit, curves[1].fit)


def test_levels_of_an_edited_scan_use_each_time_once(joined: EngineResult) -> None:
    """Relaxation by TE and TR in s, as of GABA; and the correction for unequal tissues."""
    constants = load_relaxation('auto', 3.0)
    assert constants is not None
    scaling = WaterScaling((0.6, 0.3, 0.1), constants, 0.068, 2.0, 0.068, 2.0)
    found = {(r.metabolite, r.unit_scheme): r.value for r in quantify(joined, scaling)}
    factor = concentration_factor('GABA', scaling.fractions, constants, 0.068, 2.0, 'molar')
    raw = found['GABA+', 'water_raw'] / 55510.0
    assert found['GABA+', 'water_tissue_molar'] == pytest.approx(raw * factor)
    assert found['GABA+', 'water_alpha'] == pytest.approx(raw * factor * 0.9 / 0.75)
    assert ('Glx', 'water_alpha') not in found
    # by hand: R = (1 - exp(-TR/T1)) exp(-TE/T2) of GABA, 1.31 s and 88.5 ms
    own = (1 - math.exp(-2.0 / 1.31)) * math.exp(-0.068 / 0.0885)
    water = sum(
        f * c * (1 - math.exp(-2.0 / t1)) * math.exp(-0.068 / t2)
        for f, c, t1, t2 in zip(
            scaling.fractions, constants.water_content, constants.water_t1, constants.water_t2,
            strict=True,
        )
    )  # fmt: skip
    assert factor == pytest.approx(55510 * water / 0.9 / own)


def test_declared_ratios_may_name_gaba_plus(joined: EngineResult) -> None:
    rows = quantify(joined, None, ('GABA+/Glx_edited',))
    level = next(r for r in rows if r.unit_scheme == 'ratio_glx_edited')
    assert level.value == pytest.approx(joined.ratio('GABA+', 'Glx_edited')[0])
    names = [metabolite_column('svs', 'ratio_tcr', name) for name in ('GABA', 'GABA+')]
    assert len(set(names)) == 2


@pytest.mark.parametrize('water', [0.0, 30.0])
def test_on_is_laid_upon_off(water: float, rng: np.random.Generator) -> None:
    """Within 0.15 Hz and 2 degrees at S/N 30, by cholines or by strong residual water."""
    truth = edited_truth()
    errors = []
    for _ in range(3):
        sd = truth.noise_sd(30.0)
        residue = residual_water(N_POINTS, DWELL, water * abs(truth.off[0])) if water else 0
        fids = [noisy(fid, sd, rng) for fid in (truth.on, truth.off)]
        on, wet = (shift_and_phase(f, DWELL, 1.3, np.radians(100)) for f in (
            fids[0], fids[0] + residue))  # fmt: skip
        pair = pair_conditions(
            on, fids[1], wet, fids[1] + residue, *AXIS, residual_water_ratio=max(water, 0.1)
        )
        assert not (pair.misaligned)
        assert not (pair.residue)
        assert pair.by == ('water' if water else 'choline')
        assert pair.naa_ratio == pytest.approx(-1, abs=0.1)
        errors.append((pair.shift_hz + 1.3, pair.phase_deg + 100))
    assert np.abs(np.mean(errors, axis=0)) == pytest.approx(0, abs=2)
    assert abs(np.mean(errors, axis=0)[0]) < 0.15
    assert np.all(np.std(errors, axis=0) < (0.15, 2.5))


def test_conditions_that_cannot_be_aligned_are_flagged(rng: np.random.Generator) -> None:
    truth = edited_truth()
    noise = noisy(np.zeros(N_POINTS, dtype=complex), np.abs(truth.off).max(), rng)
    pair = pair_conditions(noise, truth.off, noise, truth.off, *AXIS, target='GSH')
    assert pair.misaligned or pair.residue
    moved = shift_and_phase(truth.on, DWELL, 2.0, 0.5)
    assert replace(pair, on=moved, aligned=False).misaligned


def test_water_that_disagrees_with_the_cholines_is_said() -> None:
    truth = edited_truth()
    water = residual_water(N_POINTS, DWELL, 20 * abs(truth.off[0]))
    elsewhere = shift_and_phase(water, DWELL, -0.6, 0.0)
    pair = pair_conditions(
        truth.on, truth.off, truth.on + elsewhere, truth.off + water, *AXIS,
        residual_water_ratio=20.0,
    )  # fmt: skip
    assert pair.misaligned
    assert pair.by == 'choline'
    assert pair.water_shift_hz == pytest.approx(0.6, abs=0.15)


def test_gaussians_find_a_planted_gaussian() -> None:
    """GABA+ of one Gaussian of known area over a creatine line of known area."""
    time = np.arange(N_POINTS) * DWELL
    hertz = np.exp(2j * np.pi * (4.65 - 3.02) * MHZ * time)
    width = 16.0
    gauss = hertz * np.exp(-((np.pi * width * time) ** 2) / (4 * np.log(2)))
    creatine = hertz * np.exp(-np.pi * 4.0 * time)
    found = fit_gaussians(creatine + 2 * 0.12 * gauss, creatine, *AXIS)
    # the broadening of 3 Hz gives the Gaussian tails that no Gaussian has
    assert found.gaba_over_creatine == pytest.approx(0.12, rel=0.12)
    assert found.gaba_fit_error_pct < 5


def test_creatine_of_gannet_is_wider_than_its_line(joined: EngineResult) -> None:
    """Why published ratios of areas are lower than planted ones, and than those of the fit."""
    truth = edited_truth()
    unit = 1 / (2 * DWELL * MHZ)  # area in ppm of a line whose decay starts at one
    area = edited_area(full_basis(), 'GABA', GABA_30_PPM)
    gaba = (LEVELS['GABA'] * area + MM30_AREA) / 2 * unit
    creatine = 3 * (LEVELS['Cr'] + LEVELS['PCr']) * unit
    found = fit_gaussians(truth.on, truth.off, *AXIS)
    assert found.gaba_area == pytest.approx(gaba, rel=0.05)
    assert 1.1 < found.creatine_area / creatine < 1.3
    fitted = joined.ratio('GABA+', 'tCr')[0] * area / 2 / 3
    assert fitted == pytest.approx(gaba / creatine, rel=0.08)


def test_metadata_of_editing() -> None:
    told = {'ON': {'PulseOffset': 1.88, 'PulseDuration': 0.014}, 'OFF': {'PulseOffset': 7.5}}
    found = editing_of({'dim_6_header': {'EditCondition': ['ON', 'OFF'], 'EditPulse': told}})
    assert (found.target, found.on.ppm, found.off.ppm) == ('GABA', 1.88, 7.5)
    assert found.on.duration == 0.014
    slip = editing_of({'EditPulse': {'ON': {'PulseOffset': 1.9, 'PulseDuration': 14}}})
    assert slip.on.duration == 0.014
    long = editing_of({'EditPulse': {'ON': {'PulseOffset': 1.9, 'PulseDuration': 140}}})
    assert long.on.duration == 0.015
    assert any('PulseDuration 140 is outside' in text for text in long.assumptions)
    assert editing_of({'EditTarget': ['GABA', 'GSH']}).target == ''
    assert editing_of({}).target == ''
    assert editing_of({'EditTarget': 'Glutathione'}).on.ppm == 4.56


def test_the_fields_of_bids_tell_the_pulses() -> None:
    """BIDS 1.10 has FrequencyOffset in ppm and PulseDuration in ms, NIfTI-MRS other names."""
    pulses = {
        'ON': {'FrequencyOffset': [4.56], 'PulseDuration': 20},
        'OFF': {'FrequencyOffset': 7.5, 'PulseDuration': 20},
    }
    found = editing_of({'EditPulse': pulses})
    assert (found.target, found.on.ppm, found.off.ppm) == ('GSH', 4.56, 7.5)
    assert found.on.duration == 0.02


@pytest.mark.parametrize(
    ('labels', 'off'),
    [(['ON', 'OFF'], 1), (['OFF', 'ON'], 0), (['edit_off', 'edit_on'], 0),
     (['ON 1.9 ppm', 'OFF 7.5 ppm'], 1)],
)  # fmt: skip
def test_the_order_of_the_conditions_stands_in_the_sidecar(
    rng: np.random.Generator, labels: list[str], off: int
) -> None:
    """BIDS lists EditCondition there; NIfTI-MRS in the header of the dimension."""
    data = acquisition(rng)
    metadata = {k: v for k, v in data.metadata.items() if not k.startswith('dim_')}
    untold = replace(data, metadata=metadata)
    with pytest.raises(MetadataError, match='none is called OFF'):
        edit_index(untold, -1)
    told = replace(data, metadata={**metadata, 'EditCondition': labels})
    assert edit_index(told, -1) == off


def test_four_conditions_are_refused_with_the_reason(rng: np.random.Generator) -> None:
    data = acquisition(rng)
    four = replace(data, fids=np.repeat(data.fids, 2, axis=2))
    with pytest.raises(MetadataError, match='HERMES and HERCULES'):
        edit_index(four, -1)
    assert edit_index(four, 3) == 3


def test_a_dimension_that_lists_conditions_is_never_averaged(
    rng: np.random.Generator, tmp_path: Path
) -> None:
    """Whatever its tag: converters have called it a repetition or an indirect dimension."""
    data = acquisition(rng)
    path = write_nifti_mrs(data, tmp_path / 'x_svs.nii.gz')
    for tag in ('DIM_DYN', 'DIM_INDIRECT_0'):
        again = read_nifti_mrs(path, dict(data.metadata) | {'dim_6': tag})
        assert again.fids.shape == data.fids.shape


def run_preprocessing(data: MrsData, folder: Path, **inputs: Any) -> tuple[Path, dict[str, Any]]:
    """Run the interface on a file of the data."""
    path = write_nifti_mrs(data, folder / 'sub-01_svs.nii.gz')
    done = PreprocessSpectrum(
        svs_file=str(path), svs_metadata=dict(data.metadata), **inputs
    ).run(cwd=str(folder))  # fmt: skip
    return Path(done.outputs.out_file), json.loads(Path(done.outputs.report_file).read_text())


@pytest.fixture(scope='module')
def processed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Output and report of the preprocessing of an edited scan."""
    data = acquisition(np.random.default_rng(1234))
    return run_preprocessing(data, tmp_path_factory.mktemp('edited'))


def test_both_conditions_go_through_preprocessing(processed: tuple[Path, dict[str, Any]]) -> None:
    out, report = processed
    kept = read_nifti_mrs(out, {})
    assert kept.fids.shape == (1, 1, 2, N_POINTS)
    assert kept.metadata['dim_5_header'] == {'EditCondition': ['OFF', 'ON']}
    assert report['n_transients'] == 16
    told = report['editing']
    assert told['target'] == 'GABA'
    assert told['choline_residual'] < 0.2
    found = {a['name']: a['found'] for a in report['artefacts']}
    assert not (found['editing_misaligned'])
    assert not (found['editing_absent'])


@pytest.mark.slow
def test_one_condition_can_be_asked_for(rng: np.random.Generator, tmp_path: Path) -> None:
    alone, plain = run_preprocessing(acquisition(rng), tmp_path, edit_index=1)
    assert read_nifti_mrs(alone, {}).fids.shape == (1, 1, 1, N_POINTS)
    assert plain['editing'] == {}


def test_tables_and_figures_of_an_edited_scan(
    joined: EngineResult, processed: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    out, _ = processed
    result = save_record(joined, tmp_path / 'result.json')
    done = TabulateSpectrum(
        result_file=str(result), report_file=str(out.with_name('report.json')), in_file=str(out),
        gate='mega-press', ratios=['GABA+/tNAA'],
    ).run(cwd=str(tmp_path)).outputs  # fmt: skip
    levels = pd.read_csv(done.quantities_file, sep='\t', na_values='n/a')
    own = levels[levels['metabolite'] == 'GABA+'].set_index('unit_scheme')
    assert own.loc['ratio_tcr', 'gate'] == 'pass'
    assert own.loc['ratio_tcr', 'macromolecule_spread'] > 0
    assert own.loc['ratio_tnaa', 'value'] > 0
    assert 'rests on the model' in str(
        levels.loc[levels['metabolite'] == 'GABA_edited', 'remark'].iloc[0]
    )
    quality = pd.read_csv(done.quality_file, sep='\t').iloc[0]
    assert quality['edit_target'] == 'GABA'
    assert 0.05 < quality['gaba_cr_area'] < 0.3
    assert 0.05 < quality['gannet_gaba_cr'] < 0.3
    curves = pd.read_csv(done.fit_file, sep='\t', na_values='n/a')
    assert curves['fit_difference'].notna().sum() == joined.difference.ppm.size
    assert 'GABA_edited' not in pd.read_csv(done.components_file, sep='\t')
    drawn = PlotFit(fit_file=done.fit_file, quality_file=done.quality_file).run(cwd=str(tmp_path))
    assert 'difference, ON' in Path(drawn.outputs.out_file).read_text()


def test_exchanged_labels_are_put_right(rng: np.random.Generator, tmp_path: Path) -> None:
    wrong = acquisition(rng, dim_6_header={'EditCondition': ['OFF', 'ON']})
    _, report = run_preprocessing(wrong, tmp_path)
    assert report['edit_index'] == 1
    assert any('exchanged' in note for note in report['notes'])
    assert report['editing']['naa_ratio'] == pytest.approx(-1, abs=0.1)


@pytest.mark.slow
def test_conditions_without_editing_are_flagged(rng: np.random.Generator, tmp_path: Path) -> None:
    data = acquisition(rng)
    same = replace(data, fids=np.repeat(data.fids[:, :, 1:], 2, axis=2))
    _, report = run_preprocessing(same, tmp_path)
    assert next(a for a in report['artefacts'] if a['name'] == 'editing_absent')['found']


def test_another_target_leaves_off_alone(rng: np.random.Generator, tmp_path: Path) -> None:
    out, report = run_preprocessing(acquisition(rng, EditTarget='Lac'), tmp_path)
    assert read_nifti_mrs(out, {}).fids.shape[2] == 1
    assert any('edited for Lac' in note for note in report['notes'])


def test_an_edited_scan_that_cannot_be_fitted_keeps_its_rows(rng: np.random.Generator) -> None:
    data = acquisition(rng)
    request = FitRequest('builtin', unusable='zero', metadata=data.metadata)
    result, _ = run_engine(data, request)
    assert 'GABA+' in result.metabolites()
    assert math.isnan(result.ratio('GABA+', 'tCr')[0])


@pytest.mark.slow
def test_gsh_editing_finds_planted_gsh(rng: np.random.Generator) -> None:
    truth = edited_truth(target='GSH', echo_time=0.12)
    levels = dict(LEVELS)
    sd = 2e-3 * float(np.abs(truth.off).max())
    off = Spectrum(noisy(truth.off, sd, rng), DWELL, MHZ, 0.12, 2.0, 'press')
    basis = simulate.basis(**(GRID | {'n_points': N_POINTS, 'echo_time': 0.12}))
    scan = EditedScan(noisy(truth.on, sd, rng) - off.fid, editing_of({'EditTarget': 'GSH'}))
    result = run_builtin(off, basis, FitOptions(baseline_sensitivity=False), math.nan, None, scan)
    ratio, bound = result.ratio('GSH_edited', 'tCr')
    assert abs(ratio - levels['GSH'] / 9.0) < 4 * bound + 0.05 * ratio
    assert 'GABA+' not in result.metabolites()


def test_a_real_scan_has_the_gaba_of_published_ones(shared_data: Path) -> None:
    """Gannet's ratio of areas: Big GABA's mean is .116, of Philips .111, SD .014 (272 people)."""
    path = shared_data / 'mrs-mega68/sub-01/mrs/sub-01_acq-mega_svs.nii.gz'
    if not path.is_file():
        pytest.skip('no mrs-mega68')
    data = read_nifti_mrs(path)
    done = preprocess(data.fids[:, :, 1], data.dwell_time, data.spectrometer_mhz)
    second = second_condition(data, done, 1)
    assert second.pair is not None
    assert not (second.pair.misaligned)
    assert not (second.pair.residue)
    assert 0.09 < second.report['gannet_gaba_cr'] < 0.14
    assert second.report['gannet_gaba_fit_error_pct'] < 10
    assert not any(artefact.found for artefact in second.artefacts)


def test_the_group_level_compares_gaba_plus() -> None:
    """By its name, and apart from the GABA of the condition OFF."""
    rng, n = np.random.default_rng(5), 40
    people = pd.DataFrame(
        {'participant_id': [f'sub-{k:02d}' for k in range(n)], 'group': ['HC', 'P'] * (n // 2)}
    )
    patient = (people['group'] == 'P').to_numpy()
    levels = {'GABA+': rng.normal(0.3, 0.02, n) + 0.05 * patient, 'GABA': rng.normal(0.2, 0.02, n)}
    mrs = pd.concat(
        [
            pd.DataFrame({
                'participant_id': people['participant_id'], 'session_id': '', 'voxel': 'svs',
                'metabolite': name, 'unit_scheme': 'ratio_tcr', 'value': values, 'gate': 'pass',
                'gate_reason': '',
            })
            for name, values in levels.items()
        ]
    )  # fmt: skip
    model = parse_model({
        'Name': 'edited', 'ModelVersion': '1', 'Group': {'Column': 'group', 'Levels': ['HC', 'P']},
        'Mrs': {'UnitScheme': 'ratio_tcr', 'Primary': ['GABA+'], 'Secondary': ['GABA']},
    })  # fmt: skip
    rows = metabolites_by_group(make_study(model, None, mrs, people), {}, rng)
    found = {row.response: row for row in rows if row.analysis == 'mrs_t'}
    assert set(found) == {'GABA+', 'GABA'}
    assert abs(found['GABA+'].test.value) > 4 > abs(found['GABA'].test.value)
    wide = build_measures(people, None, mrs, None).wide
    columns = [name for name in wide if str(name).startswith('svs__ratio_tcr__GABA')]
    assert {'svs__ratio_tcr__GABA', 'svs__ratio_tcr__GABAplus'} <= set(columns)
    means = wide[['svs__ratio_tcr__GABA', 'svs__ratio_tcr__GABAplus']].mean()
    assert means.iloc[1] > means.iloc[0]


def test_a_small_offset_of_on_moves_no_level(joined: EngineResult) -> None:
    """0.3 Hz and 3 degrees would move GABA+ by a fifth, were they not in the fit."""
    truth = edited_truth()
    basis = simulate.basis(**(GRID | {'n_points': N_POINTS}), metabolites=list(LEVELS))
    rng = np.random.default_rng(3)
    sd = truth.noise_sd(20.0)
    off = Spectrum(noisy(truth.off, sd, rng), DWELL, MHZ, 0.068, 2.0, 'press')
    on = shift_and_phase(noisy(truth.on, sd, rng), DWELL, -0.3, np.radians(3))
    scan = EditedScan(on - off.fid, editing_of(HEADER))
    options = FitOptions(baseline_sensitivity=False)
    moved = run_builtin(off, basis, options, math.nan, None, scan)
    for name in ('GABA+', 'Glx_edited'):
        assert moved.ratio(name, 'tCr')[0] == pytest.approx(joined.ratio(name, 'tCr')[0], rel=0.05)
    told = moved.extra['difference']
    assert told['misfit_phase_deg'] == pytest.approx(3, abs=1)
    assert told['misfit_shift_hz'] == pytest.approx(0.3, abs=0.1)


def test_replay_gives_the_first_condition_back(rng: np.random.Generator) -> None:
    """What is replayed on the same transients is the same spectrum, water reference and all."""
    data = acquisition(rng)
    fids = data.fids[:, :, 1].conj()
    done = preprocess(fids, *AXIS)
    fid, _, used = replayed(fids, *AXIS, done)
    assert used == done.n_transients_used
    assert np.abs(fid - done.fid).max() < 0.02 * np.abs(done.fid).max()


def test_ratio_columns_exist_for_every_level(joined: EngineResult) -> None:
    rows = pd.DataFrame([vars(level) for level in quantify(joined, None)])
    one = rows[(rows['metabolite'] == 'GABA+') & (rows['unit_scheme'] == 'ratio_tcr')].iloc[0]
    assert one['ci_low'] < one['ci_estimate'] < one['ci_high']
    assert np.isfinite(one['spread'])
