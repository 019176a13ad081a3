"""What a receiver adds is taken away, and decays without it stay as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bids_acc.mrs.scan.conditions import (
    reference_as_received,
    repetitions_in_coils,
    spectrum_as_received,
    tell_conditions,
    without_receiver_faults,
)
from bids_acc.mrs.scan.io import MrsData, read_nifti_mrs
from bids_acc.mrs.signal.alignment import shift_and_phase
from bids_acc.mrs.signal.artefacts import unsuppressed_water
from bids_acc.mrs.signal.beginning import samples_before_echo
from bids_acc.mrs.signal.preprocessing import checked_scale, preprocess
from bids_acc.mrs.signal.receiver import leading_zeros, receiver_offset, without_spikes
from tests.unit.mrs.test_artefacts import DWELL, MHZ, N, brain, line


def series(rng: np.random.Generator, count: int = 16) -> np.ndarray:
    """Shots that drift by 6 Hz, with residual water; (1, count, 1, N)."""
    fid = brain() + line(4.7, 300, 8)
    shots = shift_and_phase(np.repeat(fid[None], count, 0), DWELL, np.linspace(-3, 3, count),
                            np.zeros(count))  # fmt: skip
    noise = rng.standard_normal((2, count, N)) * 0.5
    return (shots + noise[0] + 1j * noise[1])[None, :, None]


def data(fids: np.ndarray) -> MrsData:
    return MrsData(fids, DWELL, MHZ, 0.035, 2.0, np.diag([20.0, 20, 20, 1]))


def test_nothing_is_done_to_a_sound_series(rng: np.random.Generator) -> None:
    fids = series(rng)
    found = without_receiver_faults(data(fids))
    assert found.fids is fids
    assert not found.notes


def test_an_offset_that_does_not_drift_is_taken_away(rng: np.random.Generator) -> None:
    """Left in, it is aligned with the lines, and widens them."""
    fids = series(rng)
    found = without_receiver_faults(data(fids + 40 * (1 + 0.5j)))
    assert '16 of 16 decays have a constant offset' in found.notes[0]
    wanted = preprocess(fids[:, :, 0], DWELL, MHZ)
    mended = preprocess(found.fids[:, :, 0], DWELL, MHZ)
    assert np.linalg.norm(mended.fid - wanted.fid) < 0.02 * np.linalg.norm(wanted.fid)


@pytest.mark.parametrize('width', [2.0, 5.0])
def test_what_is_left_of_water_is_no_offset(width: float) -> None:
    assert receiver_offset(brain() + line(4.65, 3000, width)) == 0


@pytest.mark.parametrize('place', [0, 77, 300])
def test_a_spike_is_taken_out(rng: np.random.Generator, place: int) -> None:
    fids = series(rng)
    spoilt = fids.copy()
    spoilt[0, 3, 0, place] += 3000 - 2000j
    found = without_receiver_faults(data(spoilt))
    assert f'1 of 16 decays have samples that stand out (spikes, at {place})' in found.notes[0]
    changed = found.fids != spoilt
    assert np.argwhere(changed).tolist() == [[0, 3, 0, place]]
    assert abs(found.fids[0, 3, 0, place] - fids[0, 3, 0, place]) < 100


def test_steps_and_bad_decays_are_no_spikes(rng: np.random.Generator) -> None:
    """A decay that begins late, one that is cut off, and one full of spikes."""
    late, cut, bad = (brain() + line(4.7, 300, 8) for _ in range(3))
    late[:68] *= 1e-3
    cut[1000:] = 0
    bad[100:200:10] += 5000
    assert not without_spikes(np.stack([late, cut, bad]))[1].any()


def test_zeros_before_the_start_are_left_out_and_a_lost_start_is_said() -> None:
    fid = brain() + line(4.7, 300, 8)
    before, lost = np.r_[np.zeros(3), fid[:-3]], np.r_[np.zeros(3), fid[3:]]
    assert leading_zeros(before) == 3
    found = without_receiver_faults(data(before[None, None, None]))
    np.testing.assert_array_equal(found.fids[0, 0, 0], fid[:-3])
    assert '3 zeros before the start' in found.notes[0]
    assert 'its start is missing' in without_receiver_faults(data(lost[None, None, None])).unusable


WATER = line(4.65, 30_000, 8)


def shots(*heights: float) -> np.ndarray:
    return np.stack([height * WATER for height in heights])[None, :, None]


@pytest.mark.parametrize('heights', [(1,), (1.33, 1), (1.33, 1, 0.97, 1.02)])
def test_even_shots_of_water_stay(heights: tuple) -> None:
    """The first is higher before magnetisation is steady."""
    found = reference_as_received(data(shots(*heights)))
    assert not found.unusable
    assert found.fids.shape[1] == len(heights)


@pytest.mark.parametrize('heights', [(1, 0.83, 0.57, 0.35), (1, 0.5)])
def test_shots_of_several_echo_times_are_no_reference(heights: tuple) -> None:
    """Their mean would be a level that is wrong by half."""
    assert 'several echo or repetition times' in reference_as_received(
        data(shots(*heights))
    ).unusable  # fmt: skip


def test_suppressed_shots_of_a_reference_are_left_out() -> None:
    fids = np.concatenate([shots(1, 1.01), shots(0.02, 0.03)], axis=1)
    found = reference_as_received(data(fids))
    np.testing.assert_array_equal(found.fids, fids[:, :2])
    assert found.notes == ('water was suppressed in 2 of 4 shots: left out.',)


@pytest.mark.parametrize(('height', 'scales'), [(1.0, False), (40.0, True)])
def test_a_reference_as_low_as_the_water_of_the_spectrum_scales_nothing(
    height: float, scales: bool
) -> None:
    """What suppression left is 33 times as high as NAA: more than is refused by itself."""
    residual = line(4.66, 1000, 8)
    done = preprocess((brain() + residual)[None, None], DWELL, MHZ, height * residual[None, None])
    found, problem = checked_scale(done, DWELL, MHZ)
    assert np.isfinite(found.water_amplitude) == scales
    assert ('times that of the spectrum itself' in problem) is not scales


def test_a_suppressed_reference_prints_no_metabolites_into_the_spectrum() -> None:
    """Spectrum and reference are exchanged: the phase of the one would go into the other."""
    water, residual = line(4.66, 30_000, 8), line(4.66, 300, 8)
    done = preprocess((brain(naa=0.0) + water)[None, None], DWELL, MHZ,
                      (brain() + residual)[None, None])  # fmt: skip
    assert [s.detail for s in done.steps if s.step == 'eddy_current'] == [
        'the water of the reference was suppressed'
    ]
    assert unsuppressed_water(done.replay.wet, done.fid, DWELL, MHZ).found


@pytest.mark.parametrize('name', ['mrs-press35', 'mrs-press30', 'mrs-siemens30', 'mrs-mega68'])
def test_real_scans_have_none(shared_data: Path, name: str) -> None:
    for path in sorted((shared_data / name).rglob('*_svs.nii.gz')):
        read = read_nifti_mrs(path)
        assert without_receiver_faults(read) is read, path.name


def test_what_is_no_decay_is_refused(rng: np.random.Generator) -> None:
    fids = series(rng)
    assert not spectrum_as_received(data(fids)).unusable
    for wrong in (fids.real + 0j, 1j * fids.imag, np.abs(fids) + 0j):
        assert 'half of each complex number' in spectrum_as_received(data(wrong)).unusable
    for wrong in (np.fft.fft(fids), np.fft.fftshift(np.fft.fft(fids), -1), np.fft.ifft(fids)):
        assert 'spectra, not decays' in spectrum_as_received(data(wrong)).unusable
    # a reference whose phase was taken away is real
    assert not reference_as_received(data(shots(1.0, 1.0))).unusable


def test_coils_and_transients_whose_tags_are_exchanged(rng: np.random.Generator) -> None:
    phases = np.exp(2j * np.pi * rng.random(8)) * rng.uniform(0.3, 1.5, 8)
    fids = phases[:, None, None, None] * series(rng, 12)
    right = data(fids)
    assert repetitions_in_coils(right) is right
    found = repetitions_in_coils(data(np.swapaxes(fids, 0, 1)))
    np.testing.assert_array_equal(found.fids, fids)
    assert 'the 8 of them are the coils' in found.notes[-1]


def test_a_dead_coil_does_not_stop_the_search_for_editing(rng: np.random.Generator) -> None:
    fids = np.concatenate([series(rng), 0 * series(rng), 1j * series(rng)])
    assert tell_conditions(data(fids)).fids.shape == fids.shape


def test_a_filter_that_fills_holds_no_spikes() -> None:
    """As Bruker stores it: 68 samples in which the filter rings, then the decay."""
    fids = np.stack([brain() + line(4.7, 300, 8), line(4.65, 40_000, 6)])
    frequency = np.fft.fftfreq(4 * N)
    passed = np.exp(-2j * np.pi * 67.98 * frequency) / (1 + np.abs(frequency / 0.46) ** 60)
    stored = np.fft.ifft(np.fft.fft(fids, 4 * N) * passed)[:, :N]
    assert not without_spikes(stored)[1][:, :68].any()
    assert samples_before_echo(stored[:1, None], DWELL, MHZ, stored[1:, None]) == 68
