"""Editing that no tag tells: told apart or refused; and no alarm where nothing is edited."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bids_acc.exceptions import MetadataError
from bids_acc.mrs.scan.conditions import (
    edit_index,
    repetitions_in_coils,
    tell_conditions,
    water_apart,
)
from bids_acc.mrs.scan.io import MrsData, read_nifti_mrs
from bids_acc.mrs.signal.editing import DOUBT_LIMIT, find_two_kinds

DWELL, MHZ, N = 5e-4, 127.75, 1024
TIME = np.arange(N) * DWELL
OFF = {2.008: 30.0, 3.027: 25.0, 3.21: 12.0, 3.913: 16.0, 2.35: 6.0}


def lines(heights: dict[float, float], width_hz: float = 5.0) -> np.ndarray:
    return np.sum(
        [
            height * np.exp((2j * np.pi * (4.65 - ppm) * MHZ - np.pi * width_hz) * TIME)
            for ppm, height in heights.items()
        ],
        axis=0,
    )


def noisy(fids: np.ndarray, rng: np.random.Generator, sd: float = 6.0) -> np.ndarray:
    return fids + sd * (rng.standard_normal((*fids.shape, 2)) @ np.array([1, 1j]))


def acquisition(shots: np.ndarray, metadata: dict[str, object] | None = None) -> MrsData:
    return MrsData(
        fids=shots[None, :, None, :], dwell_time=DWELL, spectrometer_mhz=MHZ, echo_time=0.068,
        repetition_time=2.0, affine=np.eye(4), metadata=metadata or {}, source='sub-01_svs.nii.gz',
    )  # fmt: skip


def edited(first: np.ndarray) -> np.ndarray:
    """Shots of both kinds; NAA is gone in those that were edited."""
    on = lines(OFF | {2.008: 1.0, 2.95: 2.0, 3.05: 2.0})
    return np.where(first[:, None], on, lines(OFF))


@pytest.mark.parametrize('block', [1, 2, 8, 16])
def test_hidden_editing_is_told_apart(block: int, rng: np.random.Generator) -> None:
    first = (np.arange(32) // block) % 2 == 0
    data = tell_conditions(acquisition(noisy(edited(first), rng)))
    assert data.fids.shape == (1, 16, 2, N)
    assert edit_index(data, -1) == 1
    assert 'of two kinds' in data.notes[-1]


def test_a_series_of_one_kind_raises_no_alarm(rng: np.random.Generator) -> None:
    """A head that moved at mid-scan, and breath that moves every second transient."""
    shot = np.arange(32)
    for number in range(12):
        moved = shot >= 16 if number % 2 else shot % 2 == 0
        frequency = np.cumsum(rng.normal(0, 0.2, 32)) + moved * rng.normal(0, 2)
        phase, width = rng.normal(0, 0.1, 32) + 0.4 * moved, moved * abs(rng.normal(0, 1))
        scale = (1 - 0.08 * moved) * np.exp(1j * phase)
        shots = lines(OFF) * scale[:, None] * np.exp(
            np.outer(2j * np.pi * frequency - np.pi * width, TIME)
        )  # fmt: skip
        kinds = find_two_kinds(noisy(shots, rng), DWELL, MHZ)
        assert not (kinds.contrast > 10 and kinds.unlike > DOUBT_LIMIT), kinds


def test_names_without_two_kinds_are_refused(rng: np.random.Generator) -> None:
    data = acquisition(
        noisy(np.tile(lines(OFF), (16, 1)), rng), {'PulseSequenceType': 'MEGA-PRESS'}
    )
    with pytest.raises(MetadataError, match='DIM_EDIT'):
        tell_conditions(data)
    assert tell_conditions(data, wanted=0) is data
    off = acquisition(data.fids[0, :, 0], {'ProtocolName': 'MEGA_OFF'})
    assert tell_conditions(off) is off
    both = acquisition(data.fids[0, :, 0], {'ProtocolName': 'mega_on_off'})
    with pytest.raises(MetadataError, match='nothing tells ON from OFF'):
        tell_conditions(both)
    with pytest.raises(MetadataError, match='one average'):
        tell_conditions(data.with_fids(data.fids[:, :1]))
    with pytest.raises(MetadataError, match='four conditions'):
        tell_conditions(acquisition(data.fids[0, :, 0], {'SequenceName': 'HERMES'}))


def test_equal_coils_are_transients(rng: np.random.Generator) -> None:
    shots = noisy(np.tile(lines(OFF), (32, 1)), rng)
    coils = acquisition(shots).with_fids(shots[:, None, None, :])
    found = repetitions_in_coils(coils)
    assert found.fids.shape == (1, 32, 1, N)
    turned = coils.with_fids(coils.fids * np.exp(2j * np.pi * rng.random(32))[:, None, None, None])
    assert repetitions_in_coils(turned) is turned


def test_a_real_untagged_scan_equals_its_tagged_copy(shared_data: Path) -> None:
    folder = shared_data / 'mrs-mega68/sub-01/mrs'
    if not folder.is_dir():
        pytest.skip('no mrs-mega68')
    tagged = read_nifti_mrs(folder / 'sub-01_acq-mega_svs.nii.gz')
    found = tell_conditions(read_nifti_mrs(folder / 'sub-01_acq-untagged_svs.nii.gz'))
    assert np.array_equal(found.fids, tagged.fids)
    assert edit_index(found, -1) == edit_index(tagged, -1)
    halves = (find_two_kinds(tagged.fids[0, :, k], tagged.dwell_time, MHZ) for k in (0, 1))
    assert not any(half.clear or half.doubtful for half in halves)


@pytest.mark.parametrize('block', [1, 16])
def test_cycled_metabolites_are_no_editing(block: int, rng: np.random.Generator) -> None:
    """All lines inverted beneath water that stays: averaged, they would be gone."""
    sign = np.where((np.arange(32) // block) % 2 == 0, 1, -1)[:, None]
    shots = lines({4.65: 8e4}, width_hz=8) + sign * lines(OFF)
    with pytest.raises(MetadataError, match=r'metabolites are inverted.*pairs'):
        tell_conditions(acquisition(noisy(shots, rng)))


def test_residual_water_of_changing_sign_is_no_metabolite_cycling(
    rng: np.random.Generator,
) -> None:
    sign = np.where(np.arange(32) % 2 == 0, 1, -1)[:, None]
    shots = sign * lines({4.65: 300.0}, width_hz=8) + lines(OFF)
    assert tell_conditions(acquisition(noisy(shots, rng))).fids.shape[2] == 1


WATER = 2e4 * np.exp((-np.pi * 7 + 2j * np.pi * 3) * TIME)


@pytest.mark.parametrize(
    'where', [range(8), (0, 1, 30, 31), range(0, 32, 8), range(16), range(1, 32, 2)]
)
def test_water_within_a_series_is_no_editing_condition(
    where: object, rng: np.random.Generator
) -> None:
    """GE stores water first, others around or between; half of each passed for ON and OFF."""
    high = np.isin(np.arange(32), list(where))
    shots = noisy(np.where(high[:, None], WATER, lines(OFF) + 0.03 * WATER), rng)
    data, water = water_apart(acquisition(shots))
    assert data.fids.shape[1] == (~high).sum()
    assert data.positions == tuple(np.flatnonzero(~high))
    assert water is not None
    assert np.array_equal(water.fids[0, :, 0], shots[high])
    assert f'{high.sum()} of 32 transients are of water' in data.notes[-1]
    assert tell_conditions(data).fids.shape[2] == 1


def test_water_is_taken_out_of_both_conditions(rng: np.random.Generator) -> None:
    on, off = (noisy(edited(np.full(16, kind)), rng) for kind in (True, False))
    on[:2] += WATER
    off[:2] += WATER
    data = acquisition(on)
    both = np.stack([on, off], axis=1)[None]
    found, water = water_apart(MrsData(both, DWELL, MHZ, 0.068, 2.0, data.affine))
    assert found.fids.shape == (1, 14, 2, N)
    assert water is not None
    assert water.fids.shape == (1, 2, 2, N)


def test_shots_that_are_no_water_stay(rng: np.random.Generator) -> None:
    shots = noisy(np.repeat(lines(OFF)[None], 16, 0), rng)
    assert water_apart(acquisition(shots))[0].fids.shape[1] == 16
    lost = shots.copy()
    lost[3] *= 0.01  # a shot without excitation: the others are not water
    assert water_apart(acquisition(lost))[0].fids.shape[1] == 16
    rising = shots * np.geomspace(1, 40, 16)[:, None]
    assert water_apart(acquisition(rising))[0].fids.shape[1] == 16
    once = shots.copy()
    once[5] += WATER  # suppression failed: left out, and no reference
    data, water = water_apart(acquisition(once))
    assert (data.fids.shape[1], water) == (15, None)
    assert water_apart(acquisition(shots[:1]))[1] is None


def test_a_real_edited_scan_has_no_water_among_its_shots(shared_data: Path) -> None:
    path = shared_data / 'mrs-mega68/sub-01/mrs/sub-01_acq-mega_svs.nii.gz'
    data = read_nifti_mrs(path)
    assert water_apart(data)[1] is None
    assert data.fids.shape == water_apart(data)[0].fids.shape


@pytest.mark.parametrize('order', [(0, 1, 2, 3), (0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3)])
def test_transients_of_four_kinds_are_not_split_into_two(
    order: tuple, rng: np.random.Generator
) -> None:
    """Several echo times, or HERMES, whose dimension was called repetition."""
    kinds = [OFF, OFF | {2.008: 3.0, 2.35: 1.0}, OFF | {3.913: 2.0, 2.35: 0.0, 2.6: 9.0},
             OFF | {2.008: 3.0, 2.8: 12.0}]  # fmt: skip
    shots = np.stack([lines(kinds[k]) for k in np.resize(order, 32)])
    with pytest.raises(MetadataError, match='of more than two kinds'):
        tell_conditions(acquisition(noisy(shots, rng)))


def test_names_of_several_echo_times_and_of_on_alone_are_refused(rng: np.random.Generator) -> None:
    shots = noisy(np.repeat(lines(OFF)[None], 16, 0), rng)
    for metadata, word in (
        ({'ProtocolName': 'TE-averaged PRESS'}, 'several echo times'),
        ({'SequenceName': 'svs_jpress'}, 'several echo times'),
        ({'EditCondition': ['ON']}, 'names ON alone'),
        ({'dim_5_header': {'EditCondition': {'Value': ['edit_on']}}}, 'names ON alone'),
    ):
        with pytest.raises(MetadataError, match=word):
            tell_conditions(acquisition(shots, metadata))
        assert tell_conditions(acquisition(shots, metadata), wanted=0).fids.shape[2] == 1
    for metadata in ({'EditCondition': 'OFF'}, {'EditCondition': ['ON', 'OFF']}, {}):
        assert tell_conditions(acquisition(shots, metadata)).fids.shape[2] == 1


def test_two_kinds_that_nothing_names_are_refused_with_what_they_may_be(
    rng: np.random.Generator,
) -> None:
    """Blocks of two echo times, of which neither is without NAA."""
    other = lines({ppm: 0.7 * height for ppm, height in OFF.items()} | {2.35: 0.0, 3.7: 8.0})
    shots = noisy(np.repeat([lines(OFF), other], 8, axis=0), rng, 1.0)
    with pytest.raises(MetadataError, match='nothing tells what they are: two echo times'):
        tell_conditions(acquisition(shots))
    assert tell_conditions(acquisition(shots), wanted=1).fids.shape == (1, 8, 2, N)
