"""Measure the spectroscopy line outside the fit: rows D1-D3, E1, E2, F1, F2 and the gate.

Run ``python tests/benchmarks/mrs_flow.py [--quick] [--data FOLDER]``. A figure that falls short
is printed as it is.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bids_acc.exceptions import BidsAccError
from bids_acc.mrs.basis.simulate import basis as simulate_basis
from bids_acc.mrs.basis.simulate import synthetic_fid
from bids_acc.mrs.engines.importers.lcmodel import lcmodel_result, parse_csv, parse_table
from bids_acc.mrs.engines.run import run_builtin
from bids_acc.mrs.lcm import FitOptions
from bids_acc.mrs.levels.constants import load_relaxation
from bids_acc.mrs.levels.tissue import concentration_factor
from bids_acc.mrs.scan.io import read_nifti_mrs
from bids_acc.mrs.signal.alignment import align_transients
from bids_acc.mrs.signal.coils import combine_coils
from bids_acc.mrs.signal.preprocessing import preprocess
from bids_acc.mrs.signal.water import remove_residual_water, water_amplitude
from bids_acc.mrs.spectrum import Spectrum, ppm_axis, to_spectrum
from bids_acc.quality.gate import judge_spectrum, load_gate
from bids_acc.quality.measure import QualityMeasure
from tests.synthetic.acquisition import residual_water, simulate_acquisition

Row = tuple[str, str, str, str, bool | None]
MHZ, DWELL, N_POINTS = 127.75, 5e-4, 2048
LEVELS = {
    'NAA': 10.0, 'NAAG': 1.5, 'Cr': 4.5, 'PCr': 4.0, 'GPC': 1.0, 'PCh': 0.6, 'Glu': 9.5,
    'Gln': 2.8, 'Ins': 6.0, 'GSH': 1.6, 'Asp': 2.0, 'GABA': 1.3, 'Tau': 1.5, 'Scyllo': 0.3,
}  # fmt: skip


def brain_fid() -> np.ndarray:
    """A noise-free spectrum at normal levels, PRESS 35 ms at 3 T."""
    basis = simulate_basis(
        spectrometer_frequency=MHZ, dwell_time=DWELL, n_points=N_POINTS, echo_time=0.035,
        sequence='press', metabolites=list(LEVELS),
    )  # fmt: skip
    return synthetic_fid(basis, LEVELS)


def d1_coils(quick: bool) -> Iterator[Row]:
    """S/N of the combination over that of the best one possible."""
    fid, worst = brain_fid(), 1.0
    for seed in range(2 if quick else 10):
        rng = np.random.default_rng(seed)
        raw = simulate_acquisition(fid, DWELL, 0.05, rng, drift_sd_hz=0.0, phase_sd_rad=0.0)
        _, weights = combine_coils(raw.fids)
        signal = abs(weights @ raw.sensitivities)
        noise = np.sqrt((weights @ raw.noise_covariance @ weights.conj()).real)
        best = np.sqrt(
            (
                raw.sensitivities.conj() @ np.linalg.solve(raw.noise_covariance, raw.sensitivities)
            ).real
        )
        worst = min(worst, signal / noise / best)
    yield 'D1', 'coil combination, worst S/N efficiency', '>= .99', f'{worst:.4f}', worst >= 0.99


def d2_alignment(quick: bool) -> Iterator[Row]:
    """SD of offset and phase that alignment leaves, with residual water."""
    fid = brain_fid() + residual_water(N_POINTS, DWELL, 20.0)
    height = np.abs(to_spectrum(brain_fid()).real).max()
    for snr, limits in ((40, (0.4, 2.0)), (20, None)):
        noise = height / (2 * snr) / np.sqrt(N_POINTS)
        left = []
        for seed in range(3 if quick else 10):
            raw = simulate_acquisition(fid, DWELL, noise, np.random.default_rng(seed))
            _, found = align_transients(combine_coils(raw.fids)[0], DWELL)
            frequency = found.frequency_hz - raw.frequency_hz
            phase = np.angle(np.exp(1j * (found.phase_rad - raw.phase_rad)))
            phase = np.angle(np.exp(1j * (phase - np.angle(np.exp(1j * phase).mean()))))
            left.append((frequency.std(), np.degrees(phase.std())))
        hertz, degrees = np.mean(left, axis=0)
        met = None if limits is None else bool(hertz <= limits[0] and degrees <= limits[1])
        yield (
            'D2', f'64 transients, drift SD 1.7 Hz, final S/N {snr}',
            '<= .4 Hz, <= 2 deg' if limits else '(no demand)',
            f'{hertz:.2f} Hz, {degrees:.1f} deg',
            met,
        )  # fmt: skip


def d3_water(quick: bool) -> Iterator[Row]:
    """Change of peak heights by the removal of residual water."""
    fid = brain_fid()
    ppm = ppm_axis(4 * N_POINTS, DWELL, MHZ)
    naa = 3 * (LEVELS['NAA'] + LEVELS['NAAG'])
    for times, demand in ((5, (0.5, 1.5, 4.0)), (50, None)):
        changes = []
        for seed in range(3 if quick else 20):
            rng = np.random.default_rng(seed)
            noise = 0.02 * (rng.standard_normal((N_POINTS, 2)) @ np.array([1, 1j]))
            clean = to_spectrum(fid + noise, 4 * N_POINTS).real
            wet = fid + noise + residual_water(N_POINTS, DWELL, times * naa)
            cured = to_spectrum(remove_residual_water(wet, DWELL, MHZ), 4 * N_POINTS).real
            changes.append([
                100 * abs(cured[near].max() / clean[near].max() - 1)
                for near in (np.abs(ppm - centre) < 0.06 for centre in (2.01, 3.03, 3.91))
            ])  # fmt: skip
        mean = np.mean(changes, axis=0)
        met = None if demand is None else bool(np.all(mean <= demand))
        yield (
            'D3', f'HLSVD, water {times} x NAA: NAA, Cr 3.03, Cr 3.91',
            '<= .5/1.5/4 %' if demand else '(no demand)',
            '/'.join(f'{v:.2f}' for v in mean) + ' %',
            met,
        )  # fmt: skip


def e1_water_scaling(data: Path, quick: bool) -> Iterator[Row]:
    """Creatine of 10 mM, and absolute tCr and tNAA of the challenge against LCModel's."""
    from bids_acc.mrs.basis.basis_set import load_basis

    relaxed = 29697 * 1.206
    spectrum = Spectrum(
        np.ones(2048, dtype=complex), 1 / 4000, 123.2, echo_time=0.03, sequence='press'
    )
    own = simulate_basis(
        spectrometer_frequency=123.2, dwell_time=1 / 4000, n_points=2048, echo_time=0.03,
        sequence='press', te1=0.011, te2=0.019, metabolites=['Cr', 'PCr'],
    )  # fmt: skip
    rng = np.random.default_rng(1)
    noise = 0.02 * (rng.standard_normal((2048, 2)) @ np.array([1, 1j]))
    fid = synthetic_fid(own, {'Cr': 10.0}) + noise
    water = 2 * relaxed * np.exp(-np.arange(2048) / 4000 / 0.08)
    foreign = data / 'basis' / 'challenge_press3T_30ms.BASIS'
    if foreign.exists():
        basis = load_basis(foreign, spectrum, metabolites=['Cr'])
        probe = Spectrum(fid, 1 / 4000, 123.2, echo_time=0.03, sequence='press')
        options = FitOptions(macromolecules='none')
        result = run_builtin(probe, basis, options, water_amplitude(water, 1 / 4000))
        level = result.amount('tCr')[0] * result.water_scale * relaxed
        met = 9.5 <= level <= 11.0
        yield (
            'E1',
            'Cr 10 mM simulated, fitted with the .BASIS',
            '9.5-11 mM',
            f'{level:.2f} mM',
            met,
        )
    table = data / 'lcmodel' / 'challenge-cr10mM' / 'table'
    if table.exists():
        imported = lcmodel_result(table)
        level = imported.amount('tCr')[0] * imported.water_scale * relaxed
        met = abs(level - 9.692) < 0.02
        yield (
            'E1',
            'Cr 10 mM, LCModel table, rescaled here',
            '9.69 (LCModel)',
            f'{level:.2f} mM',
            met,
        )


def challenge(data: Path, quick: bool) -> Iterator[Row]:
    """Absolute levels, S/N and line width on the challenge sets against LCModel's."""
    from bids_acc.mrs.basis.basis_set import load_basis

    relaxed, rows, cpu = 29697 / 0.829, [], []
    for number in (1, 5, 12) if quick else range(1, 15):
        svs = read_nifti_mrs(data / 'mrs-challenge' / f'sub-{number:02d}_svs.nii.gz')
        ref = read_nifti_mrs(data / 'mrs-challenge' / f'sub-{number:02d}_mrsref.nii.gz')
        start = time.process_time()
        spectrum = Spectrum(
            svs.fids[0, 0, 0], svs.dwell_time, svs.spectrometer_mhz, echo_time=0.03,
            sequence='press',
        )  # fmt: skip
        basis = load_basis(data / 'basis' / 'challenge_press3T_30ms.BASIS', spectrum)
        water = water_amplitude(ref.fids[0, 0, 0], ref.dwell_time)
        result = run_builtin(spectrum, basis, FitOptions(baseline_sensitivity=False), water)
        cpu.append(time.process_time() - start)
        peer = lcmodel_result(data / 'lcmodel' / f'challenge-{number:02d}' / 'table')
        snr, kernel = (
            result.extra['snr_lcm'],
            result.extra['fwhm_kernel_hz'] / svs.spectrometer_mhz,
        )
        rows.append([
            *(
                100 * (result.amount(n)[0] * result.water_scale * relaxed / peer.amount(n)[0] - 1)
                for n in ('tCr', 'tNAA')
            ),
            100 * (snr / peer.extra['snr_lcmodel'] - 1),
            kernel - peer.extra['fwhm_lcmodel_ppm'],
        ])  # fmt: skip
    table = np.array(rows)
    tcr, tnaa, snr = (np.abs(table[:, k]) for k in range(3))
    width = np.abs(table[:, 3])
    n = len(rows)
    yield (
        'E1', f'challenge, {n} sets, absolute tCr and tNAA against LCModel, median |difference|',
        '(no demand)', f'{np.median(tcr):.1f} %, {np.median(tnaa):.1f} %', None,
    )  # fmt: skip
    yield (
        'F1', f'S/N against LCModel (NDF formula), {n} sets, median |difference|',
        'within 10 %', f'{np.median(snr):.1f} %', bool(np.median(snr) <= 10),
    )  # fmt: skip
    outside = int((snr > 10).sum())
    yield (
        'F1', 'S/N, worst set, and sets beyond 10 % (LCModel prints whole numbers)',
        'none beyond 10 %', f'{snr.max():.1f} %, {outside} of {n}', outside == 0,
    )  # fmt: skip
    yield (
        'F1', f'FWHM (kernel) against LCModel, {n} sets, median, worst',
        'within .015 ppm', f'{np.median(width):.4f}, {width.max():.4f} ppm',
        bool(np.all(width <= 0.015)),
    )  # fmt: skip
    yield 'F1', 'CPU seconds per set', '(no demand)', f'{np.mean(cpu):.2f}', None


def e2_anchors(_: bool) -> Iterator[Row]:
    """Tissue factors for f = .6/.3/.1, TE 35 ms, TR 2 s."""
    anchors = (
        ('fsl', 'Glu', 'molal', 47261.3), ('fsl', 'Glu', 'molar', 34815.8),
        ('wyss-mlynarik', 'Glu', 'molal', 56972.4), ('wyss-mlynarik', 'Glu', 'molar', 41969.7),
        ('wyss-mlynarik', 'Cr', 'molal', 56359.9), ('wyss-mlynarik', 'Cr', 'molar', 41518.5),
    )  # fmt: skip
    for name, metabolite, unit, wanted in anchors:
        constants = load_relaxation(name)
        if constants is None:
            continue
        value = concentration_factor(metabolite, [0.6, 0.3, 0.1], constants, 0.035, 2.0, unit)
        error = abs(value / wanted - 1)
        yield 'E2', f'{name} {metabolite} {unit} {wanted}', '1e-5', f'{error:.1e}', error <= 1e-5


def f2_importers(data: Path) -> Iterator[Row]:
    """LCModel's table, csv and coord of every stored run agree."""
    folders = sorted((data / 'lcmodel').iterdir())
    n_rows = wrong = 0
    for folder in folders:
        table, sheet = parse_table(folder / 'table'), parse_csv(folder / 'spreadsheet.csv')
        lcmodel_result(folder / 'table', folder / 'coord')
        for row, (name, values) in zip(table.rows, sheet.items(), strict=True):
            n_rows += 1
            same = values == (row.concentration, row.sd_pct, row.ratio)
            wrong += not (row.name.startswith(name) and same)
    yield (
        'F2', f'LCModel table = csv, {len(folders)} runs, {n_rows} rows', '0 differ', str(wrong),
        wrong == 0,
    )  # fmt: skip


def gate_sentences(data: Path | None) -> Iterator[Row]:
    """The sentences about the gate."""
    structure, glutamate = load_gate('acc-structure'), load_gate('acc-glutamate')
    own = {
        'snr': [QualityMeasure(21, '1', 'lcmodel_snr')],
        'fwhm': [QualityMeasure(0.084, 'ppm', 'lcmodel_fwhm')],
    }
    words = [judge_spectrum(gate, own, 127.8).word for gate in (structure, glutamate)]
    yield (
        'gate', "LCModel's test spectrum (.084 ppm at 127.8 MHz, S/N 21)", 'fail, pass',
        ', '.join(words), words == ['fail', 'pass'],
    )  # fmt: skip
    if data is None:
        return
    bad = lcmodel_result(data / 'lcmodel' / 'press35-badfit' / 'table')
    for gate, wanted in ((structure, ('snr', 'fwhm')), (glutamate, ('snr',))):
        verdict = judge_spectrum(gate, bad.measures, 127.75)
        failed = tuple(c.threshold.metric for c in verdict.criteria if c.outcome == 'fail')
        yield (
            'gate', f'press35-badfit, {gate.name}', 'fail: ' + ', '.join(wanted),
            f'{verdict.word}: {verdict.reasons}', failed == wanted,
        )  # fmt: skip
    yield from wrong_basis(data)


def wrong_basis(data: Path) -> Iterator[Row]:
    """A basis set of 123 MHz for data of 128 MHz."""
    from bids_acc.mrs.basis.basis_set import load_basis

    spectrum = Spectrum(
        np.ones(2048, dtype=complex), DWELL, 127.755264, echo_time=0.03, sequence='press'
    )
    try:
        load_basis(data / 'basis' / 'challenge_press3T_30ms.BASIS', spectrum)
        answer = 'accepted'
    except BidsAccError as error:
        answer = f'refused: {str(error).partition(": ")[2]}'  # without the file's place
    yield (
        'gate', 'press30-wrongbasis: 123 MHz basis on 128 MHz data', 'refused', answer[:90],
        answer.startswith('refused'),
    )  # fmt: skip


def real_spectra(data: Path) -> Iterator[Row]:
    """Preprocessing of the two real spectra, before and after."""
    for folder, stem in (
        ('mrs-press35', 'sub-01_acq-press35'), ('mrs-press30', 'sub-01_acq-press'),
    ):  # fmt: skip
        where = data / folder / 'sub-01' / 'mrs'
        svs = read_nifti_mrs(where / f'{stem}_svs.nii.gz')
        ref = read_nifti_mrs(where / f'{stem}_mrsref.nii.gz')
        done = preprocess(
            svs.fids[:, :, 0], svs.dwell_time, svs.spectrometer_mhz, ref.fids[:, :, 0]
        )
        first, last = done.steps[0], done.steps[-1]
        start = f'{first.snr_before:.0f}, {first.fwhm_before_hz:.1f} Hz'
        end = f'{last.snr_after:.0f}, {last.fwhm_after_hz:.1f} Hz'
        yield (
            '-', f'{folder}: NAA S/N and width before, after',
            '(no demand)', f'{start} -> {end}', None,
        )  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--quick', action='store_true', help='fewer repetitions')
    default = Path(__file__).resolve().parents[2].parent / 'shared' / 'data'
    parser.add_argument('--data', type=Path, default=default, help='folder of real data')
    parser.add_argument('--json', type=Path, help='also write the rows here')
    arguments = parser.parse_args()
    data, quick = arguments.data if arguments.data.is_dir() else None, arguments.quick
    stations: list[Callable[[], Iterator[Row]]] = [
        lambda: d1_coils(quick), lambda: d2_alignment(quick), lambda: d3_water(quick),
        lambda: e2_anchors(quick), lambda: gate_sentences(data),
    ]  # fmt: skip
    if data is not None:
        folder = data
        stations += [
            lambda: e1_water_scaling(folder, quick), lambda: challenge(folder, quick),
            lambda: f2_importers(folder), lambda: real_spectra(folder),
        ]  # fmt: skip
    else:
        print(f'no real data at {arguments.data}: E1, F1, F2 left out')
    start, rows = time.process_time(), []
    for station in stations:
        for row in station():
            mark = {True: 'yes', False: 'NO', None: '-'}[row[4]]
            print(f'{row[0]:5}{row[1]:72}{row[2]:20}{row[3]:50} {mark}', flush=True)
            rows.append((*row[:4], None if row[4] is None else bool(row[4])))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f'CPU {time.process_time() - start:.1f} s, peak memory {memory:.0f} MB')
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))


if __name__ == '__main__':
    main()
