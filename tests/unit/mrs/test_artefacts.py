"""Each artefact is found where it was planted and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bids_acc.mrs.scan.io import read_nifti_mrs
from bids_acc.mrs.signal.artefacts import (
    check_artefacts,
    filtered_decay,
    is_clipped,
    unsuppressed_water,
)
from bids_acc.mrs.signal.preprocessing import preprocess

DWELL, MHZ, N = 5e-4, 127.75, 2048
TIME = np.arange(N) * DWELL


def line(ppm: float, height: float, width_hz: float = 5.0) -> np.ndarray:
    return height * np.exp((2j * np.pi * (4.65 - ppm) * MHZ - np.pi * width_hz) * TIME)


def brain(naa: float = 30.0) -> np.ndarray:
    rng = np.random.default_rng(5)
    noise = 0.1 * (rng.standard_normal((N, 2)) @ np.array([1, 1j]))
    return line(2.008, naa) + line(3.027, 25) + line(3.21, 12) + line(3.91, 16) + noise


def found(fid: np.ndarray, water: float = 1.0, clipped: bool = False) -> set[str]:
    return {a.name for a in check_artefacts(fid, DWELL, MHZ, water, clipped) if a.found}


def test_a_clean_spectrum_has_none() -> None:
    assert found(brain()) == set()


@pytest.mark.parametrize(
    ('fid', 'name'),
    [
        (brain(naa=0.0), 'missing_naa'),
        (-brain(), 'wrong_phase'),
        (brain() + line(1.3, 400, 30), 'lipid'),
        (brain() - line(1.1, 400, 30), 'lipid'),
        (brain() - line(1.05, 40, 30), 'lipid'),
        (brain() + line(5.8, 3), 'ghost'),
        (np.roll(brain(), -3), 'wrong_phase'),
    ],
)
def test_planted_artefacts(fid: np.ndarray, name: str) -> None:
    assert name in found(fid)


def test_inverted_lactate_is_no_lipid() -> None:
    doublet = line(1.305, 2) + line(1.36, 2)
    assert found(brain() - doublet) == set()


@pytest.mark.parametrize(('height', 'there'), [(1000, False), (30_000, True)])
def test_water_that_was_not_suppressed(height: float, there: bool) -> None:
    done = preprocess((brain() + line(4.67, height, 8))[None, None], DWELL, MHZ)
    sign = unsuppressed_water(done.replay.wet, done.fid, DWELL, MHZ)
    assert sign.value == pytest.approx(height / 30, rel=0.1)
    assert sign.found is there


def through_the_line(fid: np.ndarray) -> set[str]:
    done = preprocess(fid[None, None], DWELL, MHZ)
    clipped = is_clipped(fid)
    checks = check_artefacts(done.fid, DWELL, MHZ, done.residual_water_ratio, clipped)
    return {a.name for a in checks if a.found}


@pytest.mark.parametrize(
    ('fid', 'name'),
    [
        (brain(), None),
        (brain(naa=0.0), 'missing_naa'),
        (np.roll(brain(), -3), 'wrong_phase'),
        (brain() + line(1.3, 400, 30), 'lipid'),
        (brain() - line(1.05, 60, 30), 'lipid'),
        (brain() + line(5.8, 5), 'ghost'),
        (brain() + line(4.7, 2000), 'residual_water'),
        (np.clip(brain().real, -40, 40) + 1j * brain().imag, 'clipping'),
    ],
)
def test_planted_artefacts_are_found_after_preprocessing(
    fid: np.ndarray, name: str | None
) -> None:
    seen = through_the_line(fid)
    assert (name in seen) if name else not seen


def test_artefacts_known_beforehand() -> None:
    assert found(brain(), water=6.0) == {'residual_water'}
    assert found(brain(), clipped=True) == {'clipping'}


def test_unknown_residual_water_is_no_artefact_but_nan() -> None:
    checks = {a.name: a for a in check_artefacts(brain(), DWELL, MHZ, np.nan, False)}
    assert not checks['residual_water'].found
    assert np.isnan(checks['residual_water'].value)


def test_clipping_of_either_part_and_sign() -> None:
    decay = line(2.0, 100)
    for part in (decay.real, -decay.real):
        assert is_clipped(np.clip(part, -30, 30) + 0j)
        assert is_clipped(1j * np.clip(part, -30, 30))
    assert not is_clipped(decay)
    assert not is_clipped(np.stack([decay, 2 * decay]))


def test_shared_spectra(shared_data: Path) -> None:
    names = {}
    for folder, stem in (('mrs-press30', 'press'), ('mrs-press35', 'press35')):
        where = shared_data / folder / 'sub-01' / 'mrs'
        svs = read_nifti_mrs(where / f'sub-01_acq-{stem}_svs.nii.gz')
        done = preprocess(svs.fids[:, :, 0], svs.dwell_time, svs.spectrometer_mhz)
        checks = check_artefacts(
            done.fid, svs.dwell_time, svs.spectrometer_mhz, done.residual_water_ratio,
            is_clipped(svs.fids),
        )  # fmt: skip
        names[folder] = {a.name for a in checks if a.found}
    assert names == {'mrs-press30': set(), 'mrs-press35': {'residual_water', 'lipid'}}


def test_narrow_spectral_width_leaves_checks_unknown_not_found() -> None:
    checks = {a.name: a for a in check_artefacts(brain()[::2], 1e-3, MHZ, 1.0, False)}
    assert np.isnan(checks['lipid'].value)
    assert np.isnan(checks['missing_naa'].value)
    assert not any(a.found for a in checks.values())


def test_a_decay_clipped_in_magnitude(rng: np.random.Generator) -> None:
    decay = brain() + 0.1 * (rng.standard_normal((N, 2)) @ np.array([1, 1j]))
    size = np.abs(decay)
    assert not is_clipped(decay)
    assert is_clipped(decay * np.minimum(1, 0.05 * size.max() / size))


def test_lipid_far_above_naa_is_a_sign_of_its_own() -> None:
    fid = brain() + 60 * np.exp((2j * np.pi * (4.65 - 1.3) * MHZ - np.pi * 15) * TIME) * 5
    found = {a.name for a in check_artefacts(fid, DWELL, MHZ, 0.0, False) if a.found}
    assert {'lipid', 'strong_lipid'} <= found


@pytest.mark.parametrize(
    ('change', 'there'),
    [
        (lambda t: 1.0 + 0 * t, False),
        (lambda t: np.exp(-np.pi * 3 * t), True),
        (lambda t: np.exp(-((t / 0.25) ** 2)), True),
        (lambda t: np.where(t < 0.35, 1.0, 1e-6), True),
    ],
)
def test_a_decay_that_was_filtered_before_it_was_exported(
    change: Callable[[np.ndarray], np.ndarray], there: bool, rng: np.random.Generator
) -> None:
    noise = rng.standard_normal((4, N, 2)) @ np.array([1, 1j])
    water = 2e3 * np.exp(-TIME / 0.08 + 20j * TIME)
    sign = filtered_decay((10 * brain() + water + noise) * change(TIME), DWELL, MHZ)
    assert sign.found == there, sign.value
    narrow = filtered_decay(noise * change(TIME), 1e-3, MHZ)
    assert np.isnan(narrow.value)
    assert not narrow.found
