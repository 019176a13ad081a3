"""A metabolite-nulled acquisition becomes a member of the basis set."""

from __future__ import annotations

import numpy as np
import pytest

from bids_acc.exceptions import InputDataError, SettingsError
from bids_acc.mrs.basis.macromolecules import birch_fid
from bids_acc.mrs.scan.io import MrsData
from bids_acc.mrs.scan.nulled import (
    nulled_sign,
    nulled_spectrum,
    read_nulled,
    shift_and_phase_of,
)
from bids_acc.mrs.spectrum import to_spectrum

DWELL, MHZ, N = 5e-4, 127.75, 1024
TIME = np.arange(N) * DWELL


def acquisition(fid: np.ndarray) -> MrsData:
    return MrsData(fid[None, None, None], DWELL, MHZ, 0.03, 2.0, np.eye(4), {}, (), 'mm_svs')


def test_shift_and_phase_are_found() -> None:
    moved = birch_fid(N, DWELL, MHZ) * np.exp(1j * 0.7 - 2j * np.pi * 0.05 * MHZ * TIME)
    shift, phase, likeness = shift_and_phase_of(moved, DWELL, MHZ)
    assert shift == pytest.approx(0.05, abs=0.006)
    assert phase == pytest.approx(0.7, abs=0.05)
    assert likeness == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(('naa', 'lipid', 'nulled'), [(0, 0, True), (3, 0, False), (0, 3, False)])
def test_a_nulled_spectrum_is_told_from_brain_and_from_lipid(
    naa: float, lipid: float, nulled: bool
) -> None:
    known = birch_fid(N, DWELL, MHZ)
    unit = float(np.abs(known[0])) / 10
    lines = ((naa, 2.008, 15), (naa, 3.027, 15), (lipid, 1.3, 60), (lipid, 0.9, 60))
    for height, ppm, damping in lines:
        known = known + 10 * unit * height * np.exp(
            (2j * np.pi * (4.65 - ppm) * MHZ - damping) * TIME
        )
    assert bool(nulled_sign(known, DWELL, MHZ)) is nulled


def test_water_and_residual_creatine_are_taken_out() -> None:
    known = birch_fid(N, DWELL, MHZ)
    creatine = 0.15 * np.exp((2j * np.pi * (4.65 - 3.92) * MHZ - 20) * TIME)
    water = 20 * np.exp((2j * np.pi * 3 - 25) * TIME)
    rng = np.random.default_rng(1)
    noise = 0.002 * (rng.standard_normal((N, 2)) @ np.array([1, 1j]))
    found = nulled_spectrum(acquisition((known + creatine + water + noise) * np.exp(0.6j)))
    ppm = found.ppm
    inside = (ppm > 0.5) & (ppm < 3.6)
    wanted, got = to_spectrum(known).real[inside], to_spectrum(found.fid).real[inside]
    assert np.corrcoef(wanted, got)[0, 1] > 0.99
    near = np.abs(ppm - 3.92) < 0.03
    with_creatine = to_spectrum(known + creatine).real[near].max()
    assert to_spectrum(found.fid).real[near].max() < with_creatine - 0.5 * np.ptp(
        to_spectrum(creatine).real[near]
    )


def test_unknown_word_is_refused() -> None:
    with pytest.raises(SettingsError, match='--mrs-macromolecules measured: neither auto'):
        read_nulled('measured')


def test_empty_acquisition_is_refused() -> None:
    from dataclasses import replace

    empty = replace(acquisition(np.zeros(N, complex)), unusable='the decays are zero throughout')
    with pytest.raises(InputDataError, match='mm_svs: the decays are zero throughout'):
        nulled_spectrum(empty)
