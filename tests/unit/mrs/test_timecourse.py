"""Time courses: which transient is in which block, matched line shapes, planted changes."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bids_acc.exceptions import InputDataError, SettingsError
from bids_acc.mrs.basis import simulate
from bids_acc.mrs.engines.builtin import builtin_result
from bids_acc.mrs.interfaces.preprocess import blocks_of
from bids_acc.mrs.lcm import FitOptions
from bids_acc.mrs.lcm.timecourse import fit_blocks
from bids_acc.mrs.levels.timecourse import contrast_table, course_table, primary_changes, scatter
from bids_acc.mrs.scan.io import MrsData
from bids_acc.mrs.signal.blocks import block_averages, equal_blocks, event_blocks, match_widths
from bids_acc.mrs.signal.preprocessing import preprocess
from bids_acc.mrs.spectrum import Spectrum
from bids_acc.mrs.workflow.settings import check_blocks
from tests.synthetic.acquisition import residual_water, simulate_acquisition

DWELL, MHZ, N = 5e-4, 127.75, 1024
LEVELS = {'NAA': 12.0, 'Cr': 8.0, 'PCh': 1.6, 'Glu': 9.0, 'Gln': 3.0, 'Ins': 6.5}
OPTIONS = FitOptions(macromolecules='none', baseline_sensitivity=False)


@pytest.fixture(scope='module')
def basis() -> Any:
    return simulate.basis(
        spectrometer_frequency=MHZ, dwell_time=DWELL, n_points=N, echo_time=0.03, te1=0.0124,
        metabolites=list(LEVELS),
    )  # fmt: skip


def decay(basis: Any, glutamate: float = 1.0, **shape: Any) -> np.ndarray:
    levels = LEVELS | {'Glu': LEVELS['Glu'] * glutamate}
    return simulate.synthetic_fid(basis, levels, **shape)


def compare(basis: Any, averages: np.ndarray, labels: list[str]) -> pd.DataFrame:
    """Contrasts of the blocks."""
    spectrum = Spectrum(averages[0], DWELL, MHZ, 0.03, 2.0, 'press')
    _, fits = fit_blocks(averages, spectrum, basis, OPTIONS)
    told = [{'label': t, 'onset_s': 0.0, 'n_transients': 8, 'width_added_hz': 0.0} for t in labels]
    table = contrast_table(course_table([builtin_result(fit) for fit in fits], told))
    return table[table['unit_scheme'] == 'ratio_tcr'].set_index(['metabolite', 'label'])


def test_a_planted_change_of_glutamate_comes_back(basis: Any) -> None:
    """Three percent, and none of anything else, although the lines are 0.4 Hz narrower."""
    active = decay(basis, 1.03, lorentz_hz=2.6)
    blocks = np.array([decay(basis), active])
    matched, added = match_widths(blocks, DWELL, MHZ)
    assert added == pytest.approx([0.0, 0.4], abs=0.06)
    table = compare(basis, matched, ['rest', 'task'])
    assert table.loc[('Glu', 'task'), 'difference_pct'] == pytest.approx(3.0, abs=0.3)
    for name in ('tNAA', 'Ins', 'Gln'):
        assert table.loc[(name, 'task'), 'difference_pct'] == pytest.approx(0.0, abs=0.7)


def test_the_error_of_a_difference_is_its_scatter(basis: Any, rng: np.random.Generator) -> None:
    sd, found = 0.25, []
    for _ in range(8):
        noise = sd * (rng.standard_normal((2, N, 2)) @ np.array([1, 1j]))
        blocks = np.array([decay(basis), decay(basis, 1.1)]) + noise
        row = compare(basis, blocks, ['1', '2']).loc[('Glu', '2')]
        found.append((row['difference'], row['difference_sd']))
    values, bounds = np.array(found).T
    truth = 0.1 * LEVELS['Glu'] / LEVELS['Cr']
    assert abs(values.mean() - truth) < 4 * bounds.mean() / math.sqrt(8)
    assert 0.4 < values.std(ddof=1) / bounds.mean() < 1.9


def test_scatter_between_blocks_and_the_change_that_is_handed_on(basis: Any) -> None:
    factors = (1.0, 1.02, 1.0, 1.02, 1.1)
    table = compare(basis, np.array([decay(basis, f) for f in factors]), list('12345'))
    steps = np.diff(np.array(factors)) * LEVELS['Glu'] / LEVELS['Cr']
    expected = math.sqrt(2) * math.sqrt(np.mean(steps**2) / 2)
    assert table.loc[('Glu', '5'), 'difference_sd_blocks'] == pytest.approx(expected, rel=0.05)
    flat = table.reset_index().assign(unit_scheme='ratio_tcr')
    change, sd = primary_changes(flat)['Glu']
    assert change == pytest.approx(0.1125, abs=0.005)
    assert sd >= expected * 0.95
    assert math.isnan(scatter([1.0, 2.0, 3.0]))


def test_blocks_share_the_alignment_of_the_series(basis: Any, rng: np.random.Generator) -> None:
    """Drift over the series moves no block."""
    fid = decay(basis) + residual_water(N, DWELL, 30.0)
    raw = simulate_acquisition(fid, DWELL, 0.02, rng, n_coils=4, n_transients=24)
    done = preprocess(raw.fids, DWELL, MHZ)
    blocks = equal_blocks(24, 3, 2.0)
    assert [block.onset_s for block in blocks] == [0.0, 16.0, 32.0]
    averages, counts = block_averages(raw.fids, DWELL, MHZ, done, blocks)
    assert sum(counts) == done.n_transients_used
    mean = np.average(averages, axis=0, weights=counts)
    assert np.abs(mean - done.fid).max() < 0.03 * np.abs(done.fid).max()
    for average in averages:
        assert abs(np.angle(np.vdot(done.fid, average))) < 0.05


def test_events_put_transients_into_blocks() -> None:
    blocks = event_blocks([0, 40, 80], [20, 20, 20], ['a', 'b', 'a'], 50, 2.0)
    assert [(b.label, int(b.members.sum())) for b in blocks] == [
        ('rest', 20),
        ('a', 20),
        ('b', 10),
    ]
    assert not np.any(blocks[1].members & blocks[2].members)


@pytest.mark.parametrize(
    ('events', 'told'),
    [
        (([0.0], [400.0], ['a']), 'averaged when they were stored'),
        (([0.0, 10.0], [20.0, 20.0], ['a', 'b']), 'overlap'),
        (([0.0], [4.0], ['a']), 'fewer than 4 transients in a'),
        (([0.0], [100.0], ['a']), 'one block'),
        (([], [], []), 'end after nan'),
    ],
)
def test_events_that_make_no_blocks_are_refused(events: Any, told: str) -> None:
    with pytest.raises(InputDataError, match=told):
        event_blocks(*events, 50, 2.0)


def test_events_are_read_beside_the_spectrum(tmp_path: Path) -> None:
    data = MrsData(
        np.ones((1, 50, 1, N), dtype=complex), DWELL, MHZ, 0.03, 2.0, np.eye(4),
        source='sub-01_task-x_svs.nii.gz',
    )  # fmt: skip
    svs = tmp_path / 'sub-01_task-x_svs.nii.gz'
    with pytest.raises(InputDataError, match=r'sub-01_task-x_events\.tsv is not there'):
        blocks_of('events', svs, data)
    events = tmp_path / 'sub-01_task-x_events.tsv'
    events.write_text('onset\tduration\ttrial_type\n40\t40\tflash\n')
    assert [b.label for b in blocks_of('events', svs, data)] == ['rest', 'flash']
    above = tmp_path / 'task-x_events.tsv'
    above.write_text('onset\tduration\ttrial_type\n40\t40\tpain\n')
    assert [b.label for b in blocks_of('events', svs, data, above)] == ['rest', 'pain']
    events.write_text('onset\tduration\n40\tlong\n')
    with pytest.raises(InputDataError, match='no number'):
        blocks_of('events', svs, data)
    events.write_text('onset\n40\n')
    with pytest.raises(InputDataError, match='duration is missing'):
        blocks_of('events', svs, data)
    assert len(blocks_of('5', svs, data)) == 5
    edited = replace(data, fids=np.ones((1, 25, 2, N), dtype=complex))
    assert [b.onset_s for b in blocks_of('5', svs, edited)] == [0.0, 20.0, 40.0, 60.0, 80.0]


def test_too_short_a_series_and_wrong_words_are_refused() -> None:
    with pytest.raises(InputDataError, match='make no 8 blocks'):
        equal_blocks(20, 8, 2.0)
    for text in ('1', '0', 'event', '-2'):
        with pytest.raises(SettingsError, match='--mrs-blocks'):
            check_blocks(text)
    check_blocks('events')


def test_transients_that_were_left_out_move_no_event() -> None:
    """The tenth to the last transient lie in the event, of which the first two were lost."""
    positions = [place for place in range(20) if place not in (3, 10, 11)]
    rest, task = event_blocks([20.0], [20.0], ['task'] * 1, len(positions), 2.0, positions)
    assert (int(rest.members.sum()), int(task.members.sum())) == (9, 8)
    assert task.onset_s == 24.0
