"""An output folder as the participant level leaves it, with planted parcels and group effects."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from bids_acc.demo.output_folder import write_region_labels, write_vertex_maps
from bids_acc.derivatives.outputs import output_path
from bids_acc.group.opnmf.features import VertexMetrics
from bids_acc.group.opnmf.simulate import CohortDesign, planted_cohort
from bids_acc.surfaces.gifti import label_image
from bids_acc.tables.writing import write_tsv

LEVELS = ('HC', 'responder', 'resistant')
EFFECT = {'HC': 0.0, 'responder': 0.5, 'resistant': 1.5}
"""Loss of thickness in parcel 0, in standard deviations, by group."""


def write_cohort(
    root: Path, n_per_group: int = 8, seed: int = 3, cohorts: int = 1
) -> pd.DataFrame:
    """Write a derivative folder with maps, spectra and participants.tsv; return the people."""
    n = n_per_group * len(LEVELS) * cohorts
    planted = planted_cohort(
        CohortDesign(n_subjects=n), np.random.default_rng(seed), level=3, region_size=120
    )
    rng = np.random.default_rng(seed + 1)
    groups = np.tile(np.repeat(LEVELS, n_per_group), cohorts)
    site = np.repeat([f'city{i}' for i in range(cohorts)], n_per_group * len(LEVELS))
    values = planted.data.values.copy()
    parcel = planted.labels == 0
    parcel = np.concatenate([parcel, parcel]) if parcel.size < values.shape[2] else parcel
    thickness = planted.data.metrics.index('thickness')
    loss = np.array([EFFECT[g] for g in groups])
    values[thickness][:, parcel] -= 0.45 * loss[:, None]
    people = pd.DataFrame(
        {
            'participant_id': [f'sub-{i + 1:03d}' for i in range(n)],
            'group': groups,
            'age': rng.normal(38, 9, n).round(),
            'sex': rng.choice(['F', 'M'], n),
            'panss_total': np.where(groups == 'HC', np.nan, rng.normal(70, 12, n).round()),
        }
    )
    if cohorts > 1:
        people['cohort'] = site
    write_tsv(root / 'participants.tsv', people)
    data = replace(planted.data, values=values)
    for index, person in people.iterrows():
        _write_maps(root, person['participant_id'][4:], data, int(index))
        _write_spectrum(root, person['participant_id'][4:], loss[index], rng)
    return people


def _write_maps(root: Path, subject: str, data: VertexMetrics, index: int) -> None:
    """Write the maps of one person on the whole mesh, with the writers of the demo cohort."""
    entities = {'subject': subject}
    write_vertex_maps(root, entities, data, index)
    names = {0: 'unknown', 2: 'caudalanteriorcingulate', 26: 'rostralanteriorcingulate'}
    content = {}
    for side, size in zip('LR', data.mesh_sizes, strict=True):
        labels = np.zeros(size)
        labels[data.columns.loc[data.columns['hemisphere'] == side, 'vertex']] = 2
        content[side] = label_image(labels, names, side, {'Name': 'Desikan'}).to_bytes()
    write_region_labels(root, entities, data.density, content)


def _write_spectrum(root: Path, subject: str, severity: float, rng: np.random.Generator) -> None:
    """Write the levels and the quality of one spectrum."""
    entities = {'subject': subject, 'acquisition': 'press', 'voi': 'ACC'}
    glu = 1.2 + 0.1 * severity + rng.normal(0, 0.1)
    levels = {'Glu': glu, 'Glx': glu + 0.3, 'tNAA': 1.4 + rng.normal(0, 0.05), 'tCr': 1.0,
              'tCho': 0.25 + rng.normal(0, 0.01), 'Ins': 0.8 + rng.normal(0, 0.05)}  # fmt: skip
    good = rng.random() > 0.1
    rows = [
        {
            'metabolite': name, 'unit_scheme': 'ratio_tcr', 'unit': '1', 'value': value,
            'value_sd': 0.08 * value, 'crlb_pct': 8.0 if good else 25.0, 'detected': True,
            'engine': 'builtin', 'gate': 'pass' if good else 'fail',
            'gate_reason': '' if good else 'crlb < 20 %: 25 fail',
        }
        for name, value in levels.items()
    ]  # fmt: skip
    write_tsv(output_path('mrs_quantities', root, entities), pd.DataFrame(rows))
    quality = {
        'engine': 'builtin', 'snr_lcm': rng.normal(20, 2), 'fwhm_hz': rng.normal(6, 1),
        'f_gm': 0.6, 'f_wm': 0.2, 'f_csf': 0.2, 'gate': 'pass' if good else 'fail',
    }  # fmt: skip
    write_tsv(output_path('mrs_quality', root, entities), pd.DataFrame([quality]))


SCHEMES = {'ratio_tcr': 1.0, 'water_tissue': 8.0}


def write_spectra(
    root: Path,
    people: pd.DataFrame,
    severity: dict[str, float],
    sessions: tuple[str | None, ...] = (None,),
    seed: int = 0,
) -> None:
    """Write levels and quality of one spectrum per visit, and nothing else.

    Severe groups have more glutamate, which falls from visit to visit; some later visits are
    missing, and some spectra fail their gate. tCr is 1 in units of itself, as it is in truth.
    """
    rng = np.random.default_rng(seed)
    for _, person in people.iterrows():
        own, ill = rng.normal(0, 0.08), severity[person['group']]
        for visit, session in enumerate(sessions):
            if visit and rng.random() < 0.15:
                continue
            entities = {'subject': person['participant_id'][4:], 'voi': 'ACC'}
            if session is not None:
                entities['session'] = session
            glu = 1.3 + own + (0.12 - 0.08 * visit) * ill + rng.normal(0, 0.06)
            levels = {'Glu': glu, 'Gln': rng.normal(0.3, 0.03), 'tCr': 1.0,
                      'tNAA': rng.normal(1.4, 0.05), 'tCho': rng.normal(0.25, 0.01),
                      'Ins': rng.normal(0.8, 0.05), 'GABA': rng.normal(0.2, 0.02)}  # fmt: skip
            levels['Glx'] = levels['Glu'] + levels['Gln']
            good = rng.random() > 0.07
            rows = [
                {
                    'metabolite': name, 'unit_scheme': scheme, 'unit': '1', 'value': value * unit,
                    'crlb_pct': 8.0 if good else 25.0, 'detected': True, 'engine': 'builtin',
                    'gate': 'pass' if good else 'fail',
                    'gate_reason': '' if good else 'crlb < 20 %: 25 fail',
                }
                for scheme, unit in SCHEMES.items()
                for name, value in levels.items()
            ]  # fmt: skip
            write_tsv(output_path('mrs_quantities', root, entities), pd.DataFrame(rows))
            quality = {
                'engine': 'builtin', 'snr_lcm': rng.normal(20, 2), 'fwhm_hz': 6.0,
                'spectrometer_mhz': 127.7, 'f_gm': rng.normal(0.6, 0.05),
                'gate': 'pass' if good else 'fail',
            }  # fmt: skip
            write_tsv(output_path('mrs_quality', root, entities), pd.DataFrame([quality]))
