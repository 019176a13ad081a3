"""Checklist, sequence, figures and the choice of engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bids_acc.exceptions import SettingsError
from bids_acc.mrs.basis.sequence import sequence_of
from bids_acc.mrs.engines.run import choose_engine
from bids_acc.mrs.figures import plot_concordance, plot_fit, plot_no_fit, plot_voxel
from bids_acc.mrs.levels.checklist import mrsinmrs
from bids_acc.mrs.levels.tables import concordance_lines, level_lines
from bids_acc.mrs.results.engine_result import Curves
from bids_acc.report.figures import save_figure


def test_checklist_says_what_is_missing() -> None:
    metadata = {'Manufacturer': 'Philips', 'ProtocolName': 'PRESS PAR 35'}
    quality = {'spectrometer_mhz': 127.75, 'snr_lcm': 21.0, 'fwhm_hz': np.nan, 'te_s': 0.035}
    items = {item.name: item for item in mrsinmrs(metadata, quality, {'n_points': 2048})}
    assert items['Manufacturer'].value == 'Philips'
    assert items['Pulse sequence'].source == 'sidecar ProtocolName'
    assert (items['Model'].value, items['Model'].source) == (
        'n/a', 'sidecar ManufacturersModelName is missing',
    )  # fmt: skip
    assert items['Field strength (T)'].value == '3'
    assert items['Signal-to-noise ratio'].value == 'snr_lcm 21'
    assert items['Line width (Hz)'].value == 'n/a'
    assert {item.item[0] for item in items.values()} == {'1', '2', '3', '4'}


@pytest.mark.parametrize(
    ('metadata', 'acquisition', 'wanted'),
    [
        ({'PulseSequenceType': 'semi-LASER'}, 'press', 'slaser'),
        ({'SequenceName': '*svs_se_135'}, '', 'press'),
        ({'SequenceName': '*svs_st_20'}, '', 'steam'),
        ({'ProtocolName': 'STEAM TE20'}, '', 'steam'),
        ({'SequenceName': 'PROBE-P'}, '', 'press'),
        ({'SequenceName': 'probe-s'}, '', 'steam'),
        ({'PulseSequenceType': 'SPECIAL'}, '', ''),
        ({}, 'pressACC', 'press'),
        ({'ProtocolName': 'cortex'}, 'x', ''),
    ],
)
def test_sequence(metadata: dict, acquisition: str, wanted: str) -> None:
    assert sequence_of(metadata, acquisition)[0] == wanted


def test_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('PATH', '')
    assert choose_engine('builtin', True) == 'builtin'
    with pytest.raises(SettingsError, match='no program "lcmodel" on PATH'):
        choose_engine('lcmodel', False)
    with pytest.raises(SettingsError, match='--mrs-fits PATH'):
        choose_engine('import', False)
    with pytest.raises(SettingsError, match='choose auto'):
        choose_engine('magic', False)


def test_figures_are_small_and_equal_each_time(tmp_path: Path) -> None:
    ppm = np.linspace(4.2, 0.2, 900)
    data = np.exp(-(((ppm - 2.01) / 0.03) ** 2)) + 0.01 * np.sin(40 * ppm)
    curves = Curves(ppm, data, data * 0.99, 0 * ppm)
    first, second = (
        save_figure(plot_fit(curves, 'pass'), tmp_path / f'{name}.svg').read_bytes()
        for name in 'ab'
    )
    assert first == second
    assert len(first) < 400_000
    coverage = np.zeros((24, 24, 24))
    coverage[8:14, 8:14, 8:14] = 1
    rng = np.random.default_rng(0)
    figure = plot_voxel(rng.random((24, 24, 24)), coverage, (1, 1, 1), coverage > 0)
    assert save_figure(figure, tmp_path / 'v.png').stat().st_size < 400_000
    assert save_figure(plot_no_fit('fail'), tmp_path / 'n.svg').exists()


def test_concordance_is_a_table_with_numbers(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            'metabolite': ['Glu', 'GABA'], 'engine_1': 'builtin', 'ratio_tcr_1': [1.25, 0.0],
            'crlb_pct_1': [5.0, 999.0], 'engine_2': 'lcmodel', 'ratio_tcr_2': [1.5, 0.1],
            'crlb_pct_2': [4.0, 50.0], 'difference_pct': [20.0, np.nan],
        }
    )  # fmt: skip
    lines = concordance_lines(table)
    assert lines == [['Glu', '1.250 (5)', '1.500 (4)', '+20 %'],
                     ['GABA', '0.000 (999)', '0.100 (50)', '–']]  # fmt: skip
    figure = plot_concordance(
        lines, table['ratio_tcr_1'], table['ratio_tcr_2'], ('builtin', 'lcmodel')
    )
    text = save_figure(figure, tmp_path / 'c.svg').read_text()
    assert all(word in text for word in ('builtin (%SD)', '1.250 (5)', '+20 %'))


def test_figure_of_a_voxel_outside_the_image(tmp_path: Path) -> None:
    empty = np.zeros((8, 8, 8))
    assert save_figure(plot_voxel(empty, empty, (1, 1, 1)), tmp_path / 'v.png').exists()


@pytest.mark.parametrize(
    ('limits', 'titles', 'cells'),
    [
        ((1.1, 1.4), ['data\nalone', '95 %\nfrom', '\nto'], ['1.3', '1.1', '1.4']),
        ((np.nan, np.nan), ['± SD'], ['0.05']),
    ],
)
def test_the_figure_of_levels_shows_the_interval_or_else_the_standard_deviation(
    limits, titles, cells
):
    row = {
        'metabolite': 'Glu', 'unit_scheme': 'ratio_tcr', 'value': 1.25, 'value_sd': 0.05,
        'ci_estimate': 1.3,
        'ci_low': limits[0], 'ci_high': limits[1], 'crlb_pct': 4.0, 'gate': 'pass',
        'gate_reason': np.nan,
    }  # fmt: skip
    header, (line,) = level_lines(pd.DataFrame([row]))
    assert header[2:-4] == titles
    assert line[1:-3] == ['1.25', *cells, '4']
