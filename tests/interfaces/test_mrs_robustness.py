"""Odd spectra from raw file to verdict: a value with honest flags, or n/a with a reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bids_acc.mrs.basis import simulate
from bids_acc.mrs.interfaces.fit import FitSpectrum
from bids_acc.mrs.interfaces.preprocess import PreprocessSpectrum
from bids_acc.mrs.interfaces.tables import PlotFit, TabulateSpectrum
from bids_acc.mrs.scan.io import MrsData, write_nifti_mrs
from bids_acc.mrs.spectrum import ppm_axis, to_spectrum

LEVELS = {
    'NAA': 11.0, 'NAAG': 1.2, 'Cr': 4.5, 'PCr': 3.8, 'GPC': 1.0, 'PCh': 0.6, 'Glu': 10.0,
    'Gln': 3.0, 'Ins': 6.0, 'GSH': 1.3, 'Asp': 2.0, 'Tau': 1.3,
}  # fmt: skip
TCR, WATER = LEVELS['Cr'] + LEVELS['PCr'], 40_000.0
NAMES = {'press': 'PRESS', 'steam': 'STEAM', 'slaser': 'sLASER'}


@dataclass(frozen=True)
class Case:
    """How a spectrum is measured, and what is done to it."""

    mhz: float = 127.75
    dwell: float = 5e-4
    points: int = 2048
    echo_time: float = 0.035
    sequence: str = 'press'
    snr: float = 30.0
    lorentz: float = 3.0
    gauss: float = 4.0
    conjugate: bool = False
    water: bool = True
    change: Callable[[np.ndarray], np.ndarray] = lambda fid: fid


def measure(case: Case, folder: Path) -> tuple[str, str, dict]:
    """Write a spectrum of known content and its water."""
    basis = simulate.basis(
        spectrometer_frequency=case.mhz, dwell_time=case.dwell, n_points=case.points,
        echo_time=case.echo_time, sequence=case.sequence, metabolites=list(LEVELS),
    )  # fmt: skip
    shape = {'lorentz_hz': case.lorentz, 'gauss_hz': case.gauss}
    clean = to_spectrum(simulate.synthetic_fid(basis, LEVELS, **shape), 2 * case.points)
    ppm = ppm_axis(2 * case.points, case.dwell, case.mhz)
    highest = np.abs(clean[(ppm > 1.9) & (ppm < 2.1)]).max()
    noise = highest / (2 * case.snr * np.sqrt(case.points))
    rng = np.random.default_rng(3)
    fid = simulate.synthetic_fid(
        basis, LEVELS, **shape, phase=0.5, shift_hz=2.0, noise_sd=noise, rng=rng
    )
    time = np.arange(case.points) * case.dwell
    water = 2 * WATER * np.exp(-time / 0.06 + 0.3j + 4j * np.pi * time)
    metadata = {
        'SpectrometerFrequency': [case.mhz], 'ResonantNucleus': ['1H'],
        'EchoTime': case.echo_time, 'RepetitionTime': 2.0, 'MixingTime': 0.01,
        'PulseSequenceType': NAMES[case.sequence],
    }  # fmt: skip
    data = MrsData(np.zeros((1, 1, 1, 1)), case.dwell, case.mhz, case.echo_time, 2.0,
                   np.diag([20.0, 20.0, 20.0, 1.0]), metadata)  # fmt: skip
    paths = []
    for name, decay in (('svs', case.change(fid)), ('mrsref', water)):
        path = folder / f'sub-01_{name}.nii.gz'
        stored = decay.conj() if case.conjugate else decay
        paths.append(str(write_nifti_mrs(data.with_fids(stored), path)))
    return paths[0], paths[1], metadata


def moved(fid: np.ndarray, hertz: float, dwell: float = 5e-4) -> np.ndarray:
    """Move all lines of a decay."""
    return fid * np.exp(2j * np.pi * hertz * dwell * np.arange(fid.size))


def with_echo(fid: np.ndarray, ppm: float, size: float, dwell: float = 5e-4) -> np.ndarray:
    """Add a spurious echo 80 ms after the start, in units of NAA."""
    time = np.arange(fid.size) * dwell
    echo = np.exp(-(((time - 0.08) / 0.02) ** 2) + 2j * np.pi * (4.65 - ppm) * 127.75 * time)
    return fid + size * 3 * LEVELS['NAA'] * echo


def levels(case: Case, folder: Path, **fit: object) -> tuple[pd.DataFrame, pd.Series]:
    """Run the whole line; levels by metabolite and scheme, and the quality row."""
    svs, ref, metadata = measure(case, folder)
    cwd = str(folder)
    first = PreprocessSpectrum(svs_file=svs, svs_metadata=metadata)
    if case.water:
        first.inputs.trait_set(ref_file=ref, ref_metadata=metadata)
    done = first.run(cwd=cwd).outputs
    fitted = FitSpectrum(
        in_file=done.out_file, report_file=done.report_file, svs_file=svs, engine='builtin', **fit
    ).run(cwd=cwd).outputs  # fmt: skip
    tables = TabulateSpectrum(
        in_file=done.out_file, report_file=done.report_file, result_file=fitted.result_file,
        basis_info=fitted.basis_info, gate='acc-glutamate',
    ).run(cwd=cwd).outputs  # fmt: skip
    PlotFit(fit_file=tables.fit_file, quality_file=tables.quality_file).run(cwd=cwd)
    table = pd.read_csv(tables.quantities_file, sep='\t').set_index(['metabolite', 'unit_scheme'])
    return table, pd.read_csv(tables.quality_file, sep='\t').iloc[0]


GOOD = {
    '7 T, PRESS': Case(mhz=297.2, dwell=1 / 6000, points=4096, echo_time=0.03, lorentz=5, gauss=6),
    '7 T, STEAM 6 ms': Case(mhz=297.2, dwell=1 / 4000, echo_time=0.006, sequence='steam'),
    '1.5 T': Case(mhz=63.86, dwell=1e-3, points=1024, echo_time=0.03, lorentz=2, gauss=2),
    'STEAM 20 ms': Case(echo_time=0.02, sequence='steam'),
    'semi-LASER 28 ms': Case(echo_time=0.028, sequence='slaser'),
    'semi-LASER 80 ms': Case(echo_time=0.08, sequence='slaser'),
    'PRESS 144 ms': Case(echo_time=0.144),
    'odd dwell time': Case(dwell=1 / 1234, points=1023),
    'short decay': Case(points=512),
    'conjugated': Case(conjugate=True),
    'no water': Case(water=False),
    'first point halved': Case(change=lambda fid: np.r_[fid[0] / 2, fid[1:]]),
    'zeros appended': Case(change=lambda fid: np.r_[fid[:1024], np.zeros(1024)]),
    'scale off by 0.2 ppm': Case(change=lambda fid: moved(fid, -25)),
    'scale off by 0.5 ppm': Case(change=lambda fid: moved(fid, 60)),
    'tiny numbers': Case(change=lambda fid: 1e-9 * fid),
}


@pytest.mark.parametrize(
    'name',
    [
        pytest.param(
            name, marks=[] if name in ('7 T, PRESS', 'scale off by 0.2 ppm') else pytest.mark.slow
        )
        for name in GOOD
    ],
)
def test_good_spectra_of_any_kind_give_their_levels(name: str, tmp_path: Path) -> None:
    case = GOOD[name]
    table, quality = levels(case, tmp_path, macromolecules='none')
    assert quality['gate'] == 'pass'
    # its water keeps the usual numbers, so that levels by water cannot be right, and that is said
    told = 'implausible_level' if name == 'tiny numbers' else None
    assert (None if pd.isna(quality['artefacts']) else quality['artefacts']) == told
    for metabolite, members in (('tNAA', ('NAA', 'NAAG')), ('tCho', ('GPC', 'PCh'))):
        row = table.loc[metabolite, 'ratio_tcr']
        truth = sum(LEVELS[member] for member in members) / TCR
        assert row['value'] == pytest.approx(truth, abs=0.06 * truth + 3 * row['value_sd']), name
    row = table.loc['Glu', 'ratio_tcr']
    assert row['value'] == pytest.approx(LEVELS['Glu'] / TCR, abs=4 * row['value_sd'])
    if not case.water:
        row = table.loc['tCr', 'water_raw']
        assert np.isnan(row['value'])
        assert 'no usable water reference' in row['gate_reason']
    elif name != 'tiny numbers':
        level = table.loc[('tCr', 'water_raw'), 'value'] / 55510 * WATER
        assert level == pytest.approx(TCR, rel=0.1)


BAD = {
    'zero': (Case(change=lambda fid: 0 * fid), 'the decays are zero throughout'),
    'not finite': (Case(change=lambda fid: np.where(fid == fid[7], np.nan, fid)), 'finite'),
    'noise': (Case(snr=0.2), 'snr >= 8'),
    'S/N 3': (Case(snr=3), 'snr >= 8'),
    'broad': (Case(lorentz=8, gauss=14), 'fwhm < 0.1 ppm'),
    'very broad': (Case(lorentz=30, gauss=25, snr=20), 'fwhm < 0.1 ppm'),
    'spurious echo': (
        Case(change=lambda fid: with_echo(fid, 2.4, 5.0)),
        'something else than a spectrum of brain',
    ),
    'a constant': (Case(change=lambda fid: 0 * fid + 1 + 1j), 'fwhm < 0.1 ppm'),
}


@pytest.mark.parametrize(
    'name',
    [
        pytest.param(name, marks=[] if name in ('zero', 'very broad') else pytest.mark.slow)
        for name in BAD
    ],
)
def test_bad_spectra_fail_with_the_reason(name: str, tmp_path: Path) -> None:
    case, reason = BAD[name]
    table, quality = levels(case, tmp_path)
    assert quality['gate'] == 'fail'
    assert reason in quality['gate_reasons']
    assert set(table['gate']) == {'fail'}
    if name in ('zero', 'not finite'):
        assert table['value'].isna().all()
