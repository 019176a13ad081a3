"""Sums, ratios and levels from amplitudes and their covariance."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

from bids_acc.exceptions import SettingsError
from bids_acc.mrs.levels.constants import load_relaxation
from bids_acc.mrs.levels.quantify import WaterScaling, parse_ratio, quantify
from bids_acc.mrs.levels.tables import concordance_table
from bids_acc.mrs.levels.tissue import concentration_factor
from bids_acc.mrs.results.engine_result import Curves, EngineResult
from bids_acc.mrs.results.records import load_result, save_record
from bids_acc.quality.measure import QualityMeasure

NAMES = ('Glu', 'Gln', 'Cr', 'PCr', 'NAA', 'MM09')


def make_result(covariance: np.ndarray | None = None, **changes: object) -> EngineResult:
    values = np.array([8.0, 2.0, 5.0, 3.0, 10.0, 7.0])
    if covariance is None:
        covariance = np.diag([0.4, 0.5, 0.3, 0.3, 0.2, 1.0]) ** 2
        covariance[0, 1] = covariance[1, 0] = -0.15
        covariance[2, 3] = covariance[3, 2] = -0.08
        covariance[0, 2] = covariance[2, 0] = 0.03
    result = EngineResult(
        engine='builtin', version='1', names=NAMES, kinds=('metabolite',) * 5 + ('macromolecule',),
        values=values, sd=np.sqrt(np.diagonal(covariance)), covariance=covariance,
        measures={'snr': (QualityMeasure(20.0, '1', 'builtin_snr_lcm'),)}, water_scale=1e-4,
        curves=Curves(*(np.array([1.0, np.nan]) for _ in range(4))),
    )  # fmt: skip
    return dataclasses.replace(result, **changes)  # type: ignore[arg-type]


def test_bound_of_a_sum_uses_the_covariance() -> None:
    value, sd = make_result().amount('Glx')
    assert value == 10.0
    assert sd == pytest.approx(math.sqrt(0.16 + 0.25 - 2 * 0.15))
    assert make_result().crlb_pct('Glx') == pytest.approx(10 * sd)


def test_bound_of_a_ratio_agrees_with_sampling(rng: np.random.Generator) -> None:
    result = make_result()
    draws = rng.multivariate_normal(result.values, result.covariance, 400_000)
    sampled = (draws[:, 0] + draws[:, 1]) / (draws[:, 2] + draws[:, 3])
    ratio, sd = result.ratio('Glx', 'tCr')
    assert ratio == pytest.approx(1.25)
    assert sd == pytest.approx(sampled.std(), rel=0.02)


def test_a_ratio_to_itself_has_no_uncertainty() -> None:
    assert make_result().ratio('tCr', 'tCr') == pytest.approx((1.0, 0.0), abs=1e-12)


def test_zero_amplitudes_are_not_detected() -> None:
    result = make_result(values=np.array([0.0, 2.0, 0.0, 0.0, 10.0, 7.0]))
    assert result.crlb_pct('Glu') == 999
    assert not result.detected('Glu')
    assert all(math.isnan(v) for v in result.ratio('Glu', 'tCr'))


def test_failed_fit_is_nan_and_not_detected() -> None:
    nan = np.full(6, np.nan)
    failed = make_result(values=nan, sd=nan, covariance=np.full((6, 6), np.nan))
    assert math.isnan(failed.crlb_pct('Glx'))
    assert not failed.detected('Glx')
    assert all(math.isnan(level.value) for level in quantify(failed, None))


def test_printed_bound_wins_over_the_quotient() -> None:
    result = make_result(printed_crlb={'Glu': 20.0}, sd=np.full(6, 1.5999999))
    assert result.crlb_pct('Glu') == 20.0


def test_sum_without_covariance_has_no_bound_unless_the_engine_tells() -> None:
    result = make_result().__class__(**{**vars(make_result()), 'covariance': None})
    assert result.amount('Glx')[0] == 10.0
    assert math.isnan(result.amount('Glx')[1])
    assert math.isnan(result.crlb_pct('Glx'))
    told = dataclasses.replace(result, sums={'Glx': (10.1, 0.6)})
    assert told.amount('Glx') == (10.1, 0.6)
    assert math.isnan(told.ratio('Glx', 'tCr')[1])


def scaling(fractions: tuple = (0.6, 0.3, 0.1)) -> WaterScaling:
    return WaterScaling(fractions, load_relaxation('fsl'), 0.035, 2.0, 0.035, 2.0)


def test_levels_in_each_stage_of_correction() -> None:
    levels = {
        (x.metabolite, x.unit_scheme): x for x in quantify(make_result(), scaling(), ['Glx/NAA'])
    }
    raw = levels['Glu', 'water_raw']
    assert raw.value == pytest.approx(8.0 * 1e-4 * 55510)
    assert raw.value_sd == pytest.approx(0.4 * 1e-4 * 55510)
    assert levels['Glu', 'water_csf'].value == pytest.approx(raw.value / 0.9)
    assert levels['Glu', 'water_tissue'].value == pytest.approx(8e-4 * 47261.3, rel=1e-5)
    assert levels['Glu', 'water_tissue_molar'].value == pytest.approx(8e-4 * 34815.8, rel=1e-5)
    assert levels['Glx', 'ratio_naa'].value == pytest.approx(1.0)
    assert levels['Glx', 'ratio_tcr'].value == pytest.approx(1.25)
    assert ('MM09', 'engine') not in levels
    assert ('tNAA', 'engine') in levels


def test_sum_is_the_sum_of_its_corrected_members() -> None:
    constants = load_relaxation('wyss-mlynarik')
    water = WaterScaling((0.6, 0.3, 0.1), constants, 0.035, 2.0, 0.035, 2.0)
    levels = {(x.metabolite, x.unit_scheme): x.value for x in quantify(make_result(), water)}
    for scheme in ('water_tissue', 'water_tissue_molar'):
        assert levels['Glx', scheme] == pytest.approx(
            levels['Glu', scheme] + levels['Gln', scheme]
        )


def test_water_with_another_echo_time() -> None:
    args = ('Glu', [0.6, 0.3, 0.1], load_relaxation('fsl'), 0.035, 2.0)
    same = concentration_factor(*args)
    later = concentration_factor(*args, water_echo_time=0.070)
    assert later < same


def test_without_water_the_water_rows_are_nan() -> None:
    levels = quantify(make_result(water_scale=math.nan), scaling())
    schemes = {x.unit_scheme for x in levels if math.isfinite(x.value)}
    assert schemes == {'engine', 'ratio_tcr'}
    assert {'water_raw', 'water_tissue'} <= {x.unit_scheme for x in levels}


def test_a_sum_without_bound_is_there_all_the_same() -> None:
    result = make_result().__class__(**{**vars(make_result()), 'covariance': None})
    assert math.isnan(result.crlb_pct('Glx'))
    assert result.detected('Glx')


def test_scatter_and_bound_are_told_apart() -> None:
    result = make_result()
    half = make_result(sampling=result.covariance / 4)
    levels = {(x.metabolite, x.unit_scheme): x for x in quantify(half, scaling(), ['Glx/NAA'])}
    for key, level in levels.items():
        assert level.value_sd == pytest.approx(level.value_crlb / 2, nan_ok=True), key
    assert levels['Glx', 'ratio_tcr'].value_crlb == pytest.approx(result.ratio('Glx', 'tCr')[1])
    assert half.crlb_pct('Glx') == result.crlb_pct('Glx')
    plain = {(x.metabolite, x.unit_scheme): x for x in quantify(result, scaling())}
    assert all(x.value_sd == x.value_crlb for x in plain.values() if math.isfinite(x.value_sd))


def test_intervals_are_scaled_like_their_levels() -> None:
    plain = make_result()
    assert all(math.isnan(x.ci_low) and math.isnan(x.ci_high) for x in quantify(plain, scaling()))
    result = make_result(
        unbiased=np.array([8.5, -0.5, 5.0, 3.0, 10.0, 7.0]), unbiased_covariance=plain.covariance
    )
    levels = {(x.metabolite, x.unit_scheme): x for x in quantify(result, scaling(), ['Glx/NAA'])}
    first = levels['Glu', 'engine']
    assert (first.ci_low, first.ci_high) == pytest.approx((8.5 - 0.784, 8.5 + 0.784), abs=1e-3)
    for (name, scheme), level in levels.items():
        amount = levels[name, 'engine']
        if scheme.startswith('water'):
            factor = level.value / amount.value
            limits = amount.ci_low * factor, amount.ci_high * factor
            assert (level.ci_low, level.ci_high) == pytest.approx(limits)
        assert 0 <= level.ci_low <= level.ci_estimate <= level.ci_high
    assert levels['Gln', 'ratio_tcr'].ci_low == 0
    spread = math.sqrt(0.16 + 0.25 - 2 * 0.15)
    sums = levels['Glx', 'engine']
    assert (sums.ci_low + sums.ci_high) / 2 == pytest.approx(8)
    assert (sums.ci_high - sums.ci_low) / 2 == pytest.approx(1.96 * spread, abs=1e-3)
    low, high = levels['Glx', 'ratio_tcr'].ci_low, levels['Glx', 'ratio_tcr'].ci_high
    assert low < 1 < high
    assert (high - low) / 3.92 == pytest.approx(
        make_result(values=result.unbiased).ratio('Glx', 'tCr')[1], rel=0.05
    )
    itself = levels['tCr', 'ratio_tcr']
    assert (itself.ci_low, itself.ci_high) == pytest.approx((1.0, 1.0))


@pytest.mark.parametrize('text', ['Glx', 'a/b/c', '/tNAA'])
def test_bad_ratios_are_refused(text: str) -> None:
    with pytest.raises(SettingsError, match='a ratio is written as'):
        parse_ratio(text)


def test_ratio_of_what_is_not_there_is_refused() -> None:
    with pytest.raises(SettingsError, match='Unobtainium is not in the fit'):
        quantify(make_result(), None, ['Unobtainium/tCr'])


def test_sums_that_nobody_named_may_be_declared() -> None:
    result = make_result()
    level = next(
        level for level in quantify(result, None, ('Glu+Gln/Cr+PCr',))
        if level.metabolite == 'Glu+Gln'
    )  # fmt: skip
    assert level.unit_scheme == 'ratio_cr+pcr'
    assert (level.value, level.value_sd) == pytest.approx(result.ratio('Glx', 'tCr'))
    with pytest.raises(SettingsError, match='Gabba is not in the fit'):
        quantify(result, None, ('Glu+Gabba/tCr',))


def test_records_give_back_the_same(tmp_path: Path) -> None:
    result = make_result(
        notes=('a',), extra={'x': math.nan}, unbiased=np.array([1.0, math.nan, -2, 0, 0, 0]),
        unbiased_covariance=np.eye(6),
    )  # fmt: skip
    found = load_result(save_record(result, tmp_path / 'r.json'))
    np.testing.assert_array_equal(found.unbiased, result.unbiased)
    np.testing.assert_array_equal(found.unbiased_covariance, result.unbiased_covariance)
    assert found.names == result.names
    np.testing.assert_array_equal(found.covariance, result.covariance)
    np.testing.assert_array_equal(found.curves.data, result.curves.data)  # type: ignore[union-attr]
    assert found.measures == result.measures
    assert math.isnan(found.extra['x'])
    assert (
        save_record(found, tmp_path / 's.json').read_bytes() == (tmp_path / 'r.json').read_bytes()
    )


def test_concordance_of_two_engines() -> None:
    other = make_result(engine='lcmodel', values=np.array([8.8, 2.0, 5.0, 3.0, 10.0, 7.0]))
    table = concordance_table(make_result(), other).set_index('metabolite')
    assert table.loc['Glu', 'difference_pct'] == pytest.approx(10)
    assert 'MM09' not in table.index
