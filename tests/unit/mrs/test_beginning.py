"""Where a decay begins: samples before the echo are found in the data, or told by a field."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bids_acc.mrs.basis import simulate
from bids_acc.mrs.scan.conditions import from_the_echo, tell_conditions
from bids_acc.mrs.scan.io import MrsData, read_nifti_mrs, write_nifti_mrs
from bids_acc.mrs.signal.beginning import echo_sample, samples_before_echo

MHZ, DWELL, N = 127.75, 5e-4, 1024
LEVELS = {'NAA': 11.0, 'Cr': 8.3, 'GPC': 1.6, 'Glu': 10.0, 'Ins': 6.0}


@pytest.fixture(scope='module')
def decays() -> np.ndarray:
    """Eight transients of unlike phases with some residual water, (1, 8, n)."""
    basis = simulate.basis(
        spectrometer_frequency=MHZ, dwell_time=DWELL, n_points=N, echo_time=0.035,
        metabolites=list(LEVELS),
    )  # fmt: skip
    clean = simulate.synthetic_fid(basis, LEVELS, lorentz_hz=3.0, gauss_hz=4.0)
    rng = np.random.default_rng(4)
    time = np.arange(N) * DWELL
    residual = 150 * np.exp(-time / 0.05 + 0.9j)
    noise = rng.normal(size=(2, 8, N))
    turns = np.exp(1j * rng.uniform(-3, 3, 8))[:, None]
    return ((clean + residual) * turns + 0.5 * (noise[0] + 1j * noise[1]))[None]


def water() -> np.ndarray:
    time = np.arange(N) * DWELL
    return (4e4 * np.exp(-time / 0.06 + 0.3j + 4j * np.pi * time))[None, None]


def early(decay: np.ndarray, count: int) -> np.ndarray:
    """Put the rising half of an echo before a decay."""
    start = decay[..., :1]
    rising = np.conj(decay[..., count:0:-1]) * np.exp(2j * np.angle(start))
    return np.concatenate([rising, decay], axis=-1)


def filling(decay: np.ndarray, count: int) -> np.ndarray:
    """Put what a digital filter stores while it fills before a decay."""
    ramp = np.exp(-np.arange(count)[::-1] / 4)
    return np.concatenate([decay[..., :1] * ramp, decay], axis=-1)


@pytest.mark.parametrize('count', [3, 8, 20])
@pytest.mark.parametrize('reference', [True, False])
def test_the_rising_half_of_an_echo_is_found(
    decays: np.ndarray, count: int, reference: bool
) -> None:
    """To the sample by water; to one sample, whose phase the fit finds, by the lines alone."""
    told = early(water(), count) if reference else None
    found = samples_before_echo(early(decays, count), DWELL, MHZ, told)
    assert abs(found - count) <= (0 if reference else 1)


@pytest.mark.parametrize('count', [10, 70])
def test_a_filter_that_fills_is_found(decays: np.ndarray, count: int) -> None:
    found = samples_before_echo(filling(decays, count), DWELL, MHZ, filling(water(), count))
    assert abs(found - count) <= 1


def test_a_decay_begins_at_its_start(decays: np.ndarray) -> None:
    """Also where receivers halve, filter away or overshoot the first samples."""
    for factors in ((1, 1, 1), (0.5, 1, 1), (0.1, 0.97, 1), (0.9, 1.08, 0.96)):
        first = np.r_[factors, np.ones(N - 3)]
        assert samples_before_echo(decays * first, DWELL, MHZ, water() * first) == 0


def test_lines_that_beat_are_no_echo(decays: np.ndarray) -> None:
    """Residual water against the lines makes the magnitude rise later; the lines say no."""
    time = np.arange(N) * DWELL
    beating = decays - 300 * np.exp(-time / 0.03)
    assert samples_before_echo(beating, DWELL, MHZ) == 0


def test_noise_has_no_echo(rng: np.random.Generator) -> None:
    for _ in range(4):
        noise = rng.normal(size=(2, 1, 8, N))
        assert samples_before_echo(noise[0] + 1j * noise[1], DWELL, MHZ) == 0
    assert echo_sample(np.zeros((1, N)), DWELL) == 0


def test_spectrum_and_water_begin_at_the_echo(decays: np.ndarray) -> None:
    data = MrsData(early(decays, 8)[:, :, None], DWELL, MHZ, 0.035, 2.0, np.eye(4))
    reference = replace(data, fids=early(water(), 8)[:, :, None])
    found, told = from_the_echo(data, reference)
    assert found.fids[:, :, 0] == pytest.approx(decays)
    assert told is not None
    assert told.fids[:, :, 0] == pytest.approx(water())
    assert 'the echo comes 8 samples (4.0 ms)' in found.notes[0]


def test_an_edited_scan_begins_at_the_echo_in_both_conditions(decays: np.ndarray) -> None:
    both = np.stack([early(decays, 8), 0.8 * early(decays, 8)], axis=2)
    data = MrsData(both, DWELL, MHZ, 0.068, 2.0, np.eye(4))
    reference = replace(data, fids=early(water(), 8)[:, :, None])
    assert from_the_echo(data, reference)[0].fids.shape == (1, 8, 2, N)


@pytest.mark.parametrize('count', [8, -8])
def test_the_field_of_the_standard_is_heard(
    decays: np.ndarray, count: int, tmp_path: Path
) -> None:
    """NIfTI-MRS 0.11: in s after the echo. Samples before it are left out, none are made up."""
    metadata = {'SpectrometerFrequency': [MHZ], 'AcquisitionStartTime': -count * DWELL}
    stored = early(decays, 8) if count > 0 else decays[..., 8:]
    data = MrsData(stored[:, :, None], DWELL, MHZ, 0.035, 2.0, np.eye(4), metadata)
    found = read_nifti_mrs(write_nifti_mrs(data, tmp_path / 'sub-01_svs.nii.gz'), {})
    if count > 0:
        assert found.fids[:, :, 0] == pytest.approx(decays, rel=1e-4)
        assert '8 samples before the echo left out' in found.notes[-1]
    else:
        assert found.unusable.startswith('AcquisitionStartTime 4 ms: the first 8 samples')
    assert 'AcquisitionStartTime' not in found.metadata


def test_conditions_of_opposite_water_begin_at_their_start(decays: np.ndarray) -> None:
    """The mean of ON and OFF is low at first where their residual water is opposite."""
    time = np.arange(N) * DWELL
    residual = 150 * np.exp(-time / 0.05)
    both = np.stack([decays + residual, decays - residual * np.exp(12j * time)], axis=2)
    data = MrsData(both, DWELL, MHZ, 0.068, 2.0, np.eye(4))
    assert from_the_echo(data, None)[0].fids.shape == both.shape


@pytest.mark.parametrize(
    'name',
    ['mrs-mega68/sub-01/mrs/sub-01_acq-mega', 'mrs-mega68/sub-01/mrs/sub-01_acq-untagged',
     'mrs-press30/sub-01/mrs/sub-01_acq-press', 'mrs-press35/sub-01/mrs/sub-01_acq-press35',
     'mrs-siemens30/sub-01/mrs/sub-01_acq-rda'],
)  # fmt: skip
def test_real_scans_begin_at_the_echo(shared_data: Path, name: str) -> None:
    """Alone, with their water reference, and with editing conditions told apart."""
    data = read_nifti_mrs(shared_data / f'{name}_svs.nii.gz')
    path = shared_data / f'{name}_mrsref.nii.gz'
    for reference in (None, read_nifti_mrs(path) if path.exists() else None):
        for seen in (data, tell_conditions(data)):
            assert from_the_echo(seen, reference)[0].n_points == data.n_points
