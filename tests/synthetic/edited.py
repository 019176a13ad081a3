"""Edited scans of known truth: both conditions of MEGA-PRESS, with what a brain has besides.

For tests and benchmarks. S/N is Gannet's: the height of GABA+ in ON - OFF over twice the SD of its
noise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from bids_acc.mrs.basis import simulate
from bids_acc.mrs.basis.editing import (
    MM09,
    MM30,
    TARGETS,
    EditedBasis,
    EditPulse,
    edited_basis,
)
from bids_acc.mrs.basis.macromolecules import birch_fid, gaussian_fid
from bids_acc.mrs.spectrum import ppm_axis, to_spectrum
from bids_acc.typing import ComplexArray

MHZ, DWELL, N_POINTS = 127.75, 5e-4, 1024

LEVELS: Mapping[str, float] = {
    'NAA': 12.0, 'NAAG': 1.5, 'Cr': 5.0, 'PCr': 4.0, 'PCh': 1.6, 'Glu': 9.0,
    'Gln': 3.0, 'GABA': 1.5, 'GSH': 1.5, 'Ins': 6.5, 'Asp': 2.0, 'Tau': 1.5, 'Lac': 0.7,
    'Asc': 1.0, 'Scyllo': 0.3, 'PE': 1.0, 'Ala': 0.3, 'Gly': 0.5,
}  # fmt: skip
"""Millimolar levels of a healthy brain, of the order of Govindaraju et al. 2000."""

MM30_AREA = 2.8
"""Area in ON - OFF of the macromolecules at 3.0 ppm, in units of a millimolar proton: as much as
GABA's."""

MM09_AREA = 1.5 * MM30_AREA
"""That of those at 0.9 ppm, in the ratio of 3 to 2 that Osprey's 3to2MM expects (Zoellner et al.
2022, NMR Biomed 35:e4618). The free fit of the real scan finds 3 to 2.4."""


@dataclass(frozen=True)
class EditedTruth:
    """Noise-free decays of both conditions."""

    on: ComplexArray
    off: ComplexArray
    gaba_plus_height: float
    """Of the spectrum of ON - OFF at 3.0 ppm, GABA and macromolecules."""

    def noise_sd(self, snr: float) -> float:
        """SD of real and imaginary noise of a sample of either condition."""
        return self.gaba_plus_height / (2 * snr) / np.sqrt(2 * self.off.size)


@cache
def full_basis(target: str = 'GABA', echo_time: float = 0.068) -> EditedBasis:
    """All of the metabolites in both conditions."""
    return edited_basis(
        spectrometer_frequency=MHZ, dwell_time=DWELL, n_points=N_POINTS, echo_time=echo_time,
        on=EditPulse(TARGETS[target]), off=EditPulse(7.46), target=target,
        metabolites=list(LEVELS),
    )  # fmt: skip


def edited_truth(
    levels: Mapping[str, float] = LEVELS,
    *,
    target: str = 'GABA',
    echo_time: float = 0.068,
    lorentz_hz: float = 3.0,
    gauss_hz: float = 4.0,
    mm30: float = MM30_AREA,
    mm09: float = MM09_AREA,
) -> EditedTruth:
    """Both conditions of a brain, with its macromolecules."""
    basis = full_basis(target, echo_time)
    grid = N_POINTS, DWELL, MHZ
    background = 6.0 * birch_fid(*grid)
    edited = mm30 * gaussian_fid(*MM30, *grid) + mm09 * gaussian_fid(MM09[0], MM09[1] * MHZ, *grid)
    time = np.arange(N_POINTS) * DWELL
    shape = np.exp(-np.pi * lorentz_hz * time - (np.pi * gauss_hz * time) ** 2 / (4 * np.log(2)))
    on, off = (
        simulate.synthetic_fid(
            part, levels, lorentz_hz=lorentz_hz, gauss_hz=gauss_hz, extra=extra * shape
        )
        for part, extra in (
            (basis.on, background + (edited if target == 'GABA' else 0)),
            (basis.off, background),
        )
    )
    gaba = {'GABA': levels.get('GABA', 0.0)}
    peak = (basis.on.fid('GABA') - basis.off.fid('GABA')) * gaba['GABA']
    spectrum = to_spectrum((peak + mm30 * gaussian_fid(*MM30, *grid)) * shape, 4 * N_POINTS).real
    ppm = ppm_axis(4 * N_POINTS, DWELL, MHZ)
    return EditedTruth(on, off, float(spectrum[(ppm > 2.9) & (ppm < 3.1)].max()))


def noisy(fid: ComplexArray, sd: float, rng: np.random.Generator) -> ComplexArray:
    """Add complex noise."""
    return fid + sd * (rng.standard_normal((*fid.shape, 2)) @ np.array([1, 1j]))


def transients(
    fid: ComplexArray, count: int, sd: float, rng: np.random.Generator, drift_hz: float = 2.0
) -> ComplexArray:
    """(count, n_points) shots of a condition with drift; `sd` is that of their mean."""
    offset = np.linspace(-drift_hz / 2, drift_hz / 2, count) + rng.normal(0, 0.1, count)
    phase = rng.normal(0, 0.1, count)
    time = np.arange(fid.size) * DWELL
    moved = fid * np.exp(2j * np.pi * np.outer(offset, time) + 1j * phase[:, None])
    return noisy(moved, sd * np.sqrt(count), rng)
