"""Twins of real spectra: the same line shape, noise and residual water, with known levels.

    python tests/benchmarks/mrs_twins.py [--quick]

Where two engines disagree about a real spectrum nobody knows the truth. A twin has LCModel's
levels as truth, so that what the same fit says of it shows how much of the disagreement about the
real one can be an error of ours. It is built of

- the basis set with which the real spectrum was fitted, and the levels that LCModel found;
- macromolecules as they were measured in a nulled acquisition, or as published (Birch et al.
  2017), as high as in the real spectrum; the fit has neither, only its own lines and splines;
- the line shape of the real water reference, narrowed or widened by a Lorentzian to the width of
  the real NAA: no Voigt profile, which would be the fit's own;
- the residual water of the real spectrum, each line of it widened by a Gaussian, so that its
  removal, which assumes Lorentzians, leaves something; its noise.

The fit's default range ends at 4.2 ppm, LCModel's at 4.0. Each line has the mean bias over draws
of the noise; real: what the same fit says of the real spectrum against LCModel.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

for _name in ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS'):
    os.environ.setdefault(_name, '1')

import numpy as np

from bids_acc.mrs.basis.basis_set import load_basis, with_macromolecules
from bids_acc.mrs.basis.macromolecules import birch_fid
from bids_acc.mrs.engines.importers.lcmodel import parse_table
from bids_acc.mrs.lcm import FitOptions, FitResult, fit_spectrum
from bids_acc.mrs.lcm.lineshape import peak_width
from bids_acc.mrs.lcm.prepare import noise_sd
from bids_acc.mrs.scan.io import read_nifti_mrs
from bids_acc.mrs.scan.nulled import read_nulled
from bids_acc.mrs.signal.preprocessing import preprocess
from bids_acc.mrs.signal.water import remove_residual_water
from bids_acc.mrs.spectrum import Basis, Spectrum

sys.path.insert(0, str(Path(__file__).parent))

from mrs_monte_carlo import SHARED

NULLED = SHARED / 'mrs-press30/sub-01/mrs/sub-01_acq-pressMM_inv-1_svs.nii.gz'
SCANS = {
    'press35': ('mrs-press35', 'sub-01_acq-press35', '3T_PRESS_Philips_35ms_noMM.BASIS'),
    'press30': ('mrs-press30', 'sub-01_acq-press', 'simulate'),
}
"""Folder, name and basis set; the levels are those of the stored LCModel result of that name. That
of press30 was got with another simulated basis set, which makes no difference to a twin."""

TCR = ('Cr', 'PCr')
TARGETS = {
    'Glu': ('Glu',), 'Gln': ('Gln',), 'Glx': ('Glu', 'Gln'), 'mI': ('Ins',),
    'tNAA': ('NAA', 'NAAG'), 'tCho': ('GPC', 'PCh'),
}  # fmt: skip
SPELLINGS = {'sIns': 'Scyllo', 'PCho': 'PCh'}
OPTIONS = {
    'default': FitOptions(baseline_sensitivity=False),
    'range to 4.0 ppm': FitOptions(ppm_range=(0.2, 4.0), baseline_sensitivity=False),
    'Lorentz 2+-.5 Hz': FitOptions(lorentz_prior_hz=(2.0, 0.5), baseline_sensitivity=False),
}
"""Settings that are compared: LCModel's range, and the line shape that favours absolute levels."""

WATER_GAUSS_HZ = 2.0


@dataclass(frozen=True)
class Real:
    """A real spectrum, with what its twin needs of it."""

    spectrum: Spectrum
    basis: Basis
    fit: FitResult
    shape: np.ndarray
    """(n_points,) decay of the real line shape, one at time zero."""
    water: np.ndarray
    """(n_points,) residual water that was taken out."""
    levels: Mapping[str, float]
    """LCModel's, in units in which tCr has the amplitude of the fit."""


def water_shape(water: np.ndarray, dwell_time: float) -> np.ndarray:
    """Magnitude of a water reference over its start, smooth beyond the noise.

    Eddy currents, which only turn the phase, are corrected in the spectrum with this reference.
    """
    magnitude = np.abs(water)
    n_good = int(np.argmax(magnitude < 0.05 * magnitude[0])) or magnitude.size
    time_s = np.arange(magnitude.size) * dwell_time
    tail = slice(n_good // 2, n_good)
    slope, level = np.polyfit(time_s[tail], np.log(magnitude[tail]), 1)
    shape = np.where(np.arange(magnitude.size) < n_good, magnitude, np.exp(level + slope * time_s))
    # some receivers halve the first sample, or filter it away
    shape = shape / shape[1:6].max()
    shape[0] = 1.0
    return np.asarray(shape)


def matched_shape(shape: np.ndarray, basis: Basis, wanted_hz: float) -> np.ndarray:
    """Line shape that gives NAA of the basis set a width, by a Lorentzian more or less."""
    time_s = np.arange(shape.size) * basis.dwell_time
    frequency = (4.65 - 2.008) * basis.spectrometer_frequency
    low, high = -6.0, 12.0
    for _ in range(30):
        middle = (low + high) / 2
        decay = basis.fid('NAA') * shape * np.exp(-np.pi * middle * time_s)
        wide = peak_width(decay, basis.dwell_time, frequency) > wanted_hz
        low, high = (low, middle) if wide else (middle, high)
    return shape * np.exp(-np.pi * (low + high) / 2 * time_s)


def read(name: str) -> Real:
    """Process and fit a real spectrum, and read what LCModel made of it."""
    folder, stem, basis_name = SCANS[name]
    paths = [SHARED / folder / 'sub-01/mrs' / f'{stem}_{suffix}.nii.gz'
             for suffix in ('svs', 'mrsref')]  # fmt: skip
    data, reference = (read_nifti_mrs(path) for path in paths)
    axis = data.dwell_time, data.spectrometer_mhz
    done = preprocess(data.fids[:, :, 0], *axis, reference.fids[:, :, 0])
    spectrum = Spectrum(done.fid, *axis, data.echo_time, sequence='press')
    where = basis_name if basis_name == 'simulate' else SHARED / 'basis' / basis_name
    basis = load_basis(where, spectrum)
    fit = fit_spectrum(spectrum, basis, FitOptions(baseline_sensitivity=False))
    shape = water_shape(reference.fids.mean(axis=(0, 1, 2)), data.dwell_time)
    rows = parse_table(SHARED / 'lcmodel' / name / 'table').rows
    found = {SPELLINGS.get(row.name, row.name): row.concentration for row in rows}
    unit = fit.value(*TCR)[0] / sum(found[member] for member in TCR)
    levels = {member: unit * found.get(member, 0.0) for member in basis.names}
    water = np.zeros_like(done.fid) if done.replay is None else done.replay.wet - done.fid
    time_s = np.arange(water.size) * data.dwell_time
    water = water * np.exp(-((np.pi * WATER_GAUSS_HZ * time_s) ** 2) / (4 * np.log(2)))
    return Real(spectrum, basis, fit, matched_shape(shape, basis, fit.fwhm_hz), water, levels)


def backgrounds(real: Real) -> Iterator[tuple[str, np.ndarray]]:
    """Macromolecules, as high as a fit with them finds them in the real spectrum."""
    basis, options = real.basis, FitOptions(baseline_sensitivity=False)
    grid = basis.n_points, basis.dwell_time, basis.spectrometer_frequency
    published = replace(
        basis, names=(*basis.names, 'Mac'), fids=np.vstack([basis.fids, birch_fid(*grid)]),
        mm_names=('Mac',),
    )  # fmt: skip
    # measured at TE 30 ms; macromolecules hardly relax in 5 ms, and their height is fitted
    nulled = replace(read_nulled(NULLED), echo_time=real.spectrum.echo_time)
    for what, with_mm in (
        ('measured', with_macromolecules(basis, nulled)), ('published', published),
    ):  # fmt: skip
        fit = fit_spectrum(real.spectrum, with_mm, options)
        (name,) = with_mm.mm_names
        yield what, fit.value(name)[0] * with_mm.fid(name)


def twins(real: Real, background: np.ndarray, count: int) -> Iterator[Spectrum]:
    """Draw spectra that differ by their noise."""
    basis, rng = real.basis, np.random.default_rng(20)
    clean = sum(level * basis.fid(name) for name, level in real.levels.items()) * real.shape
    # a measured spectrum of macromolecules has the line shape of its own shim already
    clean = clean + background * np.exp(-np.pi * np.arange(basis.n_points) * basis.dwell_time)
    sd = noise_sd(real.spectrum) / np.sqrt(basis.n_points)
    for _ in range(count):
        noise = sd * (rng.standard_normal((basis.n_points, 2)) @ np.array([1, 1j]))
        wet = clean + real.water + noise
        dry = remove_residual_water(wet, basis.dwell_time, basis.spectrometer_frequency)
        yield replace(real.spectrum, fid=dry)


def against(fit: FitResult, levels: Mapping[str, float]) -> dict[str, float]:
    """Bias in per cent of the ratios to tCr and of the level of tCr."""
    tcr = sum(levels[member] for member in TCR)
    found = {}
    for key, members in TARGETS.items():
        true = sum(levels.get(member, 0.0) for member in members) / tcr
        names = [member for member in members if member in fit.names]
        found[key] = 100 * (fit.ratio(names, TCR)[0] / true - 1)
    return found | {'tCr level': 100 * (fit.value(*TCR)[0] / tcr - 1)}


def told(rows: list[dict[str, float]]) -> str:
    """Mean of each figure."""
    return '  '.join(f'{key} {np.mean([row[key] for row in rows]):+6.1f}' for key in rows[0])


def main() -> None:
    """Print the biases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--quick', action='store_true')
    parser.add_argument('--scan', choices=sorted(SCANS), action='append')
    arguments = parser.parse_args()
    if not NULLED.is_file():
        print(f'no shared data at {SHARED}')
        return
    count = 1 if arguments.quick else 4
    start = time.process_time()
    for name in arguments.scan or SCANS:
        real = read(name)
        print(f'{name}: NAA {real.fit.fwhm_hz:.1f} Hz, S/N {real.fit.snr_lcm:.0f}, residual water '
              f'{np.abs(real.water[0]) / np.abs(real.spectrum.fid[0]):.1f} x the decay; '
              'bias % of X/tCr')  # fmt: skip
        for what, option in OPTIONS.items():
            fit = fit_spectrum(real.spectrum, real.basis, option)
            print(f'  real             {what:17s} {told([against(fit, real.levels)])}')
        for background, decay in backgrounds(real):
            spectra = list(twins(real, decay, count))
            for what, option in OPTIONS.items():
                fits = [fit_spectrum(spectrum, real.basis, option) for spectrum in spectra]
                rows = [against(fit, real.levels) for fit in fits]
                print(f'  twin, {background:10s} {what:17s} {told(rows)}', flush=True)
    print(f'{time.process_time() - start:.0f} CPU s')


if __name__ == '__main__':
    main()
