"""Thresholds: boundaries, missing values, definitions, presets, bad files."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from bids_acc.exceptions import SettingsError
from bids_acc.mrs.engines.importers.lcmodel import lcmodel_result
from bids_acc.mrs.levels.quality import snr_lcm
from bids_acc.quality.gate import judge_metabolite, judge_spectrum, load_gate
from bids_acc.quality.measure import QualityMeasure

MHZ = 127.8
GOOD = {'metric': 'fwhm', 'definition': 'lcmodel_fwhm', 'op': '<', 'value': 9, 'unit': 'Hz'}
BAD_OPERATOR = {'metric': 'snr', 'definition': 'x', 'op': '=', 'value': 1}


def measures(snr: float, fwhm: float, unit: str = 'Hz', who: str = 'lcmodel') -> dict:
    names = {
        'lcmodel': ('lcmodel_snr', 'lcmodel_fwhm'),
        'builtin': ('builtin_snr_lcm', 'builtin_fwhm'),
    }
    return {
        'snr': [QualityMeasure(snr, '1', names[who][0])],
        'fwhm': [QualityMeasure(fwhm, unit, names[who][1])],
    }


@pytest.mark.parametrize('who', ['lcmodel', 'builtin'])
@pytest.mark.parametrize(
    ('preset', 'snr', 'fwhm', 'unit', 'word'),
    [
        ('acc-structure', 10, 5, 'Hz', 'fail'),
        ('acc-structure', math.nextafter(10, 11), 5, 'Hz', 'pass'),
        ('acc-structure', 11, 10, 'Hz', 'fail'),
        ('acc-structure', 11, math.nextafter(10, 9), 'Hz', 'pass'),
        ('acc-glutamate', 8, 0.05, 'ppm', 'pass'),
        ('acc-glutamate', math.nextafter(8, 7), 0.05, 'ppm', 'fail'),
        ('acc-glutamate', 9, 0.1, 'ppm', 'fail'),
        ('acc-glutamate', 9, math.nextafter(0.1, 0), 'ppm', 'pass'),
        ('acc-structure', math.nan, 5, 'Hz', 'fail'),
        ('acc-glutamate', 20, math.nan, 'ppm', 'fail'),
    ],
)
def test_boundaries(preset: str, snr: float, fwhm: float, unit: str, word: str, who: str) -> None:
    assert judge_spectrum(load_gate(preset), measures(snr, fwhm, unit, who), MHZ).word == word


@pytest.mark.parametrize('preset', ['acc-structure', 'acc-glutamate'])
@pytest.mark.parametrize(
    ('crlb', 'detected', 'word'),
    [
        (math.nextafter(20, 19), True, 'pass'),
        (20.0, True, 'fail'),
        (math.nan, True, 'fail'),
        (999.0, False, 'fail'),
        (5.0, False, 'fail'),
    ],
)
def test_metabolite_boundaries(preset: str, crlb: float, detected: bool, word: str) -> None:
    verdict = judge_metabolite(
        load_gate(preset), QualityMeasure(crlb, '%', 'builtin_crlb'), detected
    )
    assert verdict.word == word


def test_lcmodels_own_test_spectrum() -> None:
    """FWHM 0.084 ppm at 127.8 MHz and S/N 21: 11 steps of the grid, 10.74 Hz."""
    own = measures(21, 0.084, 'ppm')
    structure = judge_spectrum(load_gate('acc-structure'), own, MHZ)
    assert structure.word == 'fail'
    assert structure.reasons == 'fwhm < 10 Hz: 10.74 fail'
    assert structure.listing == 'snr > 10: 21 pass; fwhm < 10 Hz: 10.74 fail'
    assert judge_spectrum(load_gate('acc-glutamate'), own, MHZ).word == 'pass'


def test_missing_metric_excludes_strictly_and_is_flagged_leniently(tmp_path: Path) -> None:
    only_snr = {'snr': measures(20, 5)['snr']}
    strict = judge_spectrum(load_gate('acc-structure'), only_snr, MHZ)
    assert (strict.word, strict.reasons) == ('fail', 'fwhm < 10 Hz: unknown')
    lenient = load_gate('acc-structure').content | {'missing': 'lenient'}
    path = tmp_path / 'gate.json'
    path.write_text(json.dumps(lenient))
    verdict = judge_spectrum(load_gate(path), only_snr, MHZ)
    assert verdict.passed
    assert verdict.flagged
    low = judge_spectrum(load_gate(path), {'snr': measures(3, 5)['snr']}, MHZ)
    assert not low.passed


def test_other_definition_is_an_error_unless_allowed(tmp_path: Path) -> None:
    foreign = measures(30, 5) | {'snr': [QualityMeasure(30, '1', 'osprey_snr')]}
    with pytest.raises(SettingsError, match=r'defined by lcmodel_snr .* gives osprey_snr'):
        judge_spectrum(load_gate('acc-structure'), foreign, MHZ)
    path = tmp_path / 'gate.json'
    path.write_text(
        json.dumps(load_gate('acc-structure').content | {'allow_cross_definition': True})
    )
    verdict = judge_spectrum(load_gate(path), foreign, MHZ)
    assert verdict.passed
    assert '(osprey_snr)' in verdict.listing


def test_artefacts_exclude_only_when_named(tmp_path: Path) -> None:
    good = measures(30, 5)
    assert judge_spectrum(load_gate('acc-structure'), good, MHZ, ['lipid']).passed
    path = tmp_path / 'gate.json'
    path.write_text(json.dumps(load_gate('acc-structure').content | {'artefacts': ['lipid']}))
    verdict = judge_spectrum(load_gate(path), good, MHZ, ['lipid', 'ghost'])
    assert (verdict.word, verdict.reasons) == ('fail', 'artefact: lipid')


def test_short_form_of_a_threshold(tmp_path: Path) -> None:
    path = tmp_path / 'gate.json'
    entry = {'metric': 'snr', 'definition': 'lcmodel_snr', 'op': '>', 'value': 10}
    path.write_text(json.dumps({'spectrum': [entry], 'metabolite': []}))
    assert judge_spectrum(load_gate(path), measures(11, 50), MHZ).passed


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('{', 'must be JSON'),
        ('{"spectrum": []}', 'must be JSON with the lists'),
        ('{"spectrum": [{"metric": "snr"}], "metabolite": []}', 'a threshold needs metric'),
        (
            json.dumps(
                {'spectrum': [BAD_OPERATOR], 'metabolite': []},
            ),
            'operator must be one of',
        ),
        ('{"spectrum": [], "metabolite": [], "missing": "maybe"}', 'strict or lenient'),
        (
            '{"spectrum": [], "metabolite": [], "artefact": ["lipid"]}',
            "field: 'artefact' is unknown",
        ),
        ('{"spectrum": [], "metabolite": [], "artefacts": ["lipids"]}', "'lipids' is unknown"),
        (
            json.dumps({'spectrum': [GOOD | {'metric': 'snrr'}], 'metabolite': []}),
            "'snrr' is unkn",
        ),
        (json.dumps({'spectrum': [GOOD | {'unit': 'hz'}], 'metabolite': []}), "'hz' is unknown"),
        (
            json.dumps({'spectrum': [GOOD | {'definition': 'lcm'}], 'metabolite': []}),
            "'lcm' is un",
        ),
        (json.dumps({'spectrum': [], 'metabolite': [GOOD]}), "'fwhm' is unknown; there are crlb"),
    ],
)
def test_bad_gate_files(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / 'gate.json'
    path.write_text(text)
    with pytest.raises(SettingsError, match=message):
        load_gate(path)


def test_unknown_preset_names_the_known_ones() -> None:
    with pytest.raises(SettingsError, match='acc-structure, acc-glutamate'):
        load_gate('acc-nothing')


def test_snr_without_freedom_is_unknown() -> None:
    assert math.isnan(snr_lcm([1.0], [1.0, 1.0], 2))
    assert math.isnan(snr_lcm([1.0], [0.0, 0.0], 0))


@pytest.mark.parametrize(
    ('preset', 'reasons'),
    [
        ('acc-structure', 'snr > 10: 2 fail; fwhm < 10 Hz: 11.75 fail'),
        ('acc-glutamate', 'snr >= 8: 2 fail'),
    ],
)
def test_bad_fit_fails_for_the_right_reason(shared_data: Path, preset: str, reasons: str) -> None:
    result = lcmodel_result(shared_data / 'lcmodel' / 'press35-badfit' / 'table')
    assert judge_spectrum(load_gate(preset), result.measures, 127.75).reasons == reasons
    assert not result.detected('tNAA')
