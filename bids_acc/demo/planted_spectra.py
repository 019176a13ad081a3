"""The participant level's tables of spectra: levels and quality, with a planted difference of Glx.

Verdicts are those of the gate ``acc-structure`` on the quality that was drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from bids_acc.demo.two_sites import Person
from bids_acc.quality.gate import Verdict, judge_metabolite, judge_spectrum, load_gate
from bids_acc.quality.measure import QualityMeasure
from bids_acc.typing import FloatArray

GATE = 'acc-structure'
SPECTROMETER_MHZ = 127.7

LEVELS: Mapping[str, tuple[float, float, float]] = MappingProxyType(
    {
        'Glx': (14.5, 1.4, 6.0),
        'Gln': (3.4, 0.5, 17.0),
        'tNAA': (10.2, 0.8, 3.0),
        'tCr': (8.4, 0.6, 3.0),
        'tCho': (2.2, 0.25, 4.0),
        'Ins': (6.3, 0.7, 6.0),
    }
)
"""Mean and standard deviation between people in mmol/kg, and usual Cramer-Rao bound in per cent.
Glu is Glx less Gln."""
ERROR_SHARE = 0.5
"""Standard deviation of the error of a level, as a share of its Cramer-Rao bound: the bound is
that of one metabolite with all others free, sums and neighbours vary less."""
GLU_CRLB = 7.0


@dataclass(frozen=True)
class PlantedSpectra:
    """Tables of all spectra, in the order of the people."""

    levels: Sequence[pd.DataFrame]
    """Levels in both unit schemes, with verdicts."""
    quality: Sequence[pd.DataFrame]
    """One row of quality each."""
    truth: Mapping[str, FloatArray]
    """By column name, (n_people,) true levels in mmol/kg."""


def plant_spectra(people: Sequence[Person], thickness_z: FloatArray, seed: int) -> PlantedSpectra:
    """Draw the spectra's tables.

    Parameters
    ----------
    people : sequence of Person
        From `bids_acc.demo.two_sites.draw_people`.
    thickness_z : (n_people,) ndarray of float64
        Each person's own thickness of the affected parts, unit variance.
    seed : int
        The same seed gives the same tables.

    Returns
    -------
    PlantedSpectra
    """
    levels, quality, truth = [], [], []
    for index, (person, z) in enumerate(zip(people, thickness_z, strict=True)):
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index, 4)))
        true = _true_levels(person, float(z), rng)
        row, verdict = _quality(person, rng)
        levels.append(_levels(true, row['fwhm_hz'], verdict, rng))
        quality.append(pd.DataFrame([row]))
        truth.append(true)
    columns = {f'{name}_mmol_per_kg': np.array([t[name] for t in truth]) for name in truth[0]}
    return PlantedSpectra(levels, quality, columns)


def _true_levels(person: Person, z: float, rng: np.random.Generator) -> dict[str, float]:
    """Draw what is in the voxel, mmol/kg."""
    r = person.site.glx_thickness_r
    own = {name: rng.standard_normal() for name in LEVELS}
    own['Glx'] = r * z + np.sqrt(1 - r**2) * own['Glx'] + person.site.glx.get(person.group, 0.0)
    true = {name: mean + sd * own[name] for name, (mean, sd, _) in LEVELS.items()}
    return {name: max(float(value), 0.1) for name, value in true.items()}


def _quality(person: Person, rng: np.random.Generator) -> tuple[dict[str, Any], Verdict]:
    """Draw the quality of a spectrum and judge it."""
    lost = person.lost_spectrum
    width = rng.uniform(10.3, 13) if lost else np.clip(rng.normal(6.8, 0.9), 4.5, 9.5)
    snr = max(rng.normal(person.site.snr, 2.5) * (0.75 if lost else 1), 10.5)
    measures = {
        'snr': (QualityMeasure(snr, '1', 'builtin_snr_lcm'),),
        'fwhm': (QualityMeasure(width, 'Hz', 'builtin_fwhm'),),
    }
    gate = load_gate(GATE)
    verdict = judge_spectrum(gate, measures, SPECTROMETER_MHZ)
    grey, white = rng.normal(0.58, 0.04), rng.normal(0.24, 0.04)
    row = {
        'engine': 'builtin', 'snr_lcm': snr, 'snr_noise': 2.4 * snr, 'fwhm_hz': float(width),
        'fwhm_ppm': float(width) / SPECTROMETER_MHZ, 'f_gm': grey, 'f_wm': white,
        'f_csf': 1 - grey - white, 'voxel_volume_ml': 9.0,
        'voxel_in_tissue_fraction': 1.0, 'voxel_in_acc_fraction': rng.normal(0.42, 0.05),
        'n_transients': 128, 'n_transients_used': 128, 'drift_hz': abs(rng.normal(1.2, 0.6)),
        'te_s': 0.035, 'tr_s': 2.0, 'spectrometer_mhz': SPECTROMETER_MHZ, 'artefacts': None,
        'gate_preset': gate.name, 'gate': verdict.word, 'gate_flagged': verdict.flagged,
        'gate_reasons': verdict.reasons or None, 'gate_criteria': verdict.listing,
    }  # fmt: skip
    return row, verdict


def _levels(
    true: Mapping[str, float], width_hz: float, verdict: Verdict, rng: np.random.Generator
) -> pd.DataFrame:
    """Measure the levels with error, in mmol/kg and as ratios to tCr, and judge each."""
    broad = width_hz / 6.8
    crlb = {name: max(1.0, rng.normal(usual, usual / 8)) * broad
            for name, (_, _, usual) in LEVELS.items()}  # fmt: skip
    value = {
        name: true[name] * (1 + ERROR_SHARE * crlb[name] / 100 * rng.standard_normal())
        for name in LEVELS
    }
    value['Glu'] = value['Glx'] - value['Gln']
    crlb['Glu'] = GLU_CRLB * broad
    schemes = {'water_tissue': ('mmol/kg', 1.0), 'ratio_tcr': ('1', value['tCr'])}
    rows = []
    for scheme, (unit, divisor) in schemes.items():
        for name, level in value.items():
            own = judge_metabolite(
                load_gate(GATE), QualityMeasure(crlb[name], '%', 'builtin_crlb'), True
            )
            rows.append({
                'metabolite': name, 'unit_scheme': scheme, 'unit': unit,
                'value': level / divisor, 'value_sd': level / divisor * crlb[name] / 100,
                'crlb_pct': crlb[name], 'detected': True, 'engine': 'builtin',
                'gate_spectrum': verdict.word, 'gate_metabolite': own.word,
                'gate': 'pass' if verdict.passed and own.passed else 'fail',
                'gate_reason': '; '.join(r for r in (verdict.reasons, own.reasons) if r) or None,
                'gate_criteria': f'{verdict.listing}; {own.listing}',
            })  # fmt: skip
    return pd.DataFrame(rows)
