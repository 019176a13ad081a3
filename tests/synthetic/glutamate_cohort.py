"""A cohort of the size and the effects of Mouchlianitis and colleagues' study of glutamate.

Means and standard deviations are those of its tables 1 to 3 (https://doi.org/10.1093/schbul/sbv151):
20 patients who responded to treatment and 21 who did not, two spectra lost in each group.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bids_acc.derivatives.outputs import output_path
from bids_acc.tables.writing import write_tsv

COUNTS = {'responsive': 20, 'resistant': 21}
LOST = 2
"""Spectra of each group whose glutamate is not determined and whose S/N is below 8."""
LEVELS: dict[str, dict[str, tuple[float, float]]] = {
    'responsive': {'Glu': (1.38, 0.23), 'Glx': (2.01, 0.53), 'tNAA': (1.08, 0.19),
                   'tCho': (0.23, 0.03), 'Ins': (0.70, 0.13)},
    'resistant': {'Glu': (1.57, 0.24), 'Glx': (2.23, 0.51), 'tNAA': (1.15, 0.11),
                  'tCho': (0.25, 0.03), 'Ins': (0.75, 0.11)},
}  # fmt: skip
"""Ratios to total creatine."""
PEOPLE: dict[str, dict[str, tuple[float, float]]] = {
    'responsive': {'age': (39.2, 8.3), 'illness_duration': (14.4, 6.7), 'cpz_dose': (316, 150),
                   'panss_positive': (10, 3), 'panss_negative': (11, 3), 'panss_general': (22, 5)},
    'resistant': {'age': (41.2, 12), 'illness_duration': (14.6, 8), 'cpz_dose': (683, 250),
                  'panss_positive': (18, 5), 'panss_negative': (13, 4), 'panss_general': (33, 8)},
}  # fmt: skip
LIMITS = {'age': (18, 70), 'illness_duration': (1, 50), 'cpz_dose': (50, 2000),
          'panss_positive': (7, 49), 'panss_negative': (7, 49),
          'panss_general': (16, 112)}  # fmt: skip
PLANTED_D = (1.57 - 1.38) / float(np.sqrt((0.23**2 + 0.24**2) / 2))
"""Difference of glutamate in pooled standard deviations."""


def write_glutamate_cohort(raw: Path, output: Path, seed: int = 1) -> pd.DataFrame:
    """Write the tables of a raw data set and what the participant level made of its spectra.

    Returns
    -------
    DataFrame
        ``participant_id``, ``group``, ``lost``.
    """
    rng = np.random.default_rng(seed)
    people, scores, truth = [], [], []
    groups = [group for group, n in COUNTS.items() for _ in range(n)]
    for index, group in enumerate(groups):
        label = f'sub-London{index + 1:02d}'
        own: dict[str, Any] = {
            name: int(np.clip(rng.normal(*PEOPLE[group][name]), *limits))
            for name, limits in LIMITS.items()
        }
        own['panss_total'] = sum(own[f'panss_{s}'] for s in ('positive', 'negative', 'general'))
        people.append({'participant_id': label, 'group': group, 'age': own.pop('age'),
                       'sex': rng.choice(['F', 'M'], p=[0.35, 0.65]),
                       'smoking': rng.choice(['no', 'yes'])})  # fmt: skip
        scores.append({'participant_id': label, **own})
        lost = groups[:index].count(group) < LOST
        _write_spectrum(output, label, group, lost, rng)
        truth.append({'participant_id': label, 'group': group, 'lost': lost})
    write_tsv(raw / 'participants.tsv', pd.DataFrame(people))
    write_tsv(raw / 'phenotype' / 'clinical.tsv', pd.DataFrame(scores))
    return pd.DataFrame(truth)


def _write_spectrum(
    output: Path, label: str, group: str, lost: bool, rng: np.random.Generator
) -> None:
    """Write levels and quality of one spectrum."""
    entities = {'subject': label.removeprefix('sub-'), 'acquisition': 'press', 'voi': 'ACC'}
    levels = {name: rng.normal(*at) for name, at in LEVELS[group].items()} | {'tCr': 1.0}
    crlb = {name: 25.0 if lost and name == 'Glu' else rng.normal(10, 1.5) for name in levels}
    verdict = dict.fromkeys(levels, 'fail' if lost else 'pass')
    write_tsv(output_path('mrs_quantities', output, entities), pd.DataFrame([
        {'metabolite': name, 'unit_scheme': 'ratio_tcr', 'unit': '1', 'value': value,
         'value_sd': value * crlb[name] / 100, 'crlb_pct': crlb[name], 'detected': True,
         'engine': 'lcmodel', 'gate': verdict[name],
         'gate_reason': 'snr >= 8: 6.5 fail' if lost else None}
        for name, value in levels.items()
    ]))  # fmt: skip
    grey, white = rng.normal(0.55, 0.05), rng.normal(0.25, 0.04)
    write_tsv(output_path('mrs_quality', output, entities), pd.DataFrame([{
        'engine': 'lcmodel', 'snr_lcmodel': 6.5 if lost else max(8.5, rng.normal(17, 2.8)),
        'fwhm_lcmodel_ppm': abs(rng.normal(0.052, 0.015)), 'f_gm': grey, 'f_wm': white,
        'f_csf': 1 - grey - white, 'gate': 'fail' if lost else 'pass',
        'gate_reasons': 'snr >= 8: 6.5 fail' if lost else None,
    }]))  # fmt: skip
