"""Write the simulated cohorts that both R and bids_acc analyse.

The sizes are those of the two papers: 73 and 79 participants (doi:10.1503/jpn.210113) and 41
(doi:10.1093/schbul/sbv151), with values missing where the papers excluded spectra. Numbers are
written with all digits, so that both programs read the same doubles.

Run: ``python tests/reference/stats/make_cohorts.py``
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).parent
SIZES = {
    'tokyo': {'HC': 26, 'FL-Resp': 24, 'TRS': 23},
    'toronto': {'HC': 26, 'FL-Resp': 17, 'CLZ-Resp': 15, 'URS': 21},
}
EXCLUDED = {'tokyo': {'HC': 1, 'FL-Resp': 4, 'TRS': 3}, 'toronto': {}}
SHIFT = {'HC': 0.0, 'FL-Resp': -0.5, 'CLZ-Resp': -0.6, 'TRS': -0.9, 'URS': -0.9}


def structure_cohort(name: str, rng: np.random.Generator) -> pd.DataFrame:
    """Draw one cohort of the structural study."""
    group = np.repeat(list(SIZES[name]), list(SIZES[name].values()))
    n = len(group)
    shift = np.array([SHIFT[g] for g in group])
    age = rng.normal(42, 11, n).round(1)
    sex = rng.choice(['F', 'M'], n, p=[0.4, 0.6])
    glx = 10 - 1.2 * shift + rng.normal(0, 1.2, n)
    frame = pd.DataFrame({
        'participant_id': [f'sub-{name}{i:02d}' for i in range(1, n + 1)],
        'cohort': name, 'group': group, 'age': age, 'sex': sex,
        'handedness': rng.choice(['left', 'right', 'both'], n, p=[0.1, 0.85, 0.05]),
    })  # fmt: skip
    for k in (1, 2, 3, 4):
        effect = shift * (0.25 if k < 3 else 0.05)
        frame[f'thickness_c{k}'] = (
            3 + effect - 0.006 * (age - 42) - 0.04 * (glx - 10) + 0.03 * (sex == 'F')
            + rng.normal(0, 0.2, n)
        )  # fmt: skip
        frame[f'md_c{k}'] = (
            8e-4 - 4e-5 * effect + 1e-6 * (age - 42) + 5e-6 * (glx - 10) + rng.normal(0, 3e-5, n)
        )
    for level, number in EXCLUDED[name].items():
        glx[rng.choice(np.flatnonzero(group == level), number, replace=False)] = np.nan
    frame['Glx'] = glx
    panss = np.where(group == 'HC', np.nan, rng.normal(18 - 6 * shift, 4).round())
    frame['panss_positive'] = panss
    return frame


def glutamate_cohort(rng: np.random.Generator) -> pd.DataFrame:
    """Draw the cohort of the glutamate study."""
    group = np.repeat(['responsive', 'resistant'], [20, 21])
    resistant = group == 'resistant'
    n = len(group)
    frame = pd.DataFrame({
        'participant_id': [f'sub-london{i:02d}' for i in range(1, n + 1)],
        'group': group,
        'age': rng.normal(40, 10, n).round(1),
        'sex': rng.choice(['F', 'M'], n, p=[0.37, 0.63]),
        'smoking': rng.choice(['no', 'yes'], n),
        'cpz_dose': (np.where(resistant, 680, 315) + rng.gamma(2, 110, n)).round(),
        'panss_total': (np.where(resistant, 65, 43) + rng.normal(0, 15, n)).round(),
        'grey_matter': rng.normal(0.55, 0.06, n),
    })  # fmt: skip
    means = {'Glu': (1.38, 0.19, 0.23), 'Glx': (2.01, 0.22, 0.52), 'tNAA': (1.08, 0.07, 0.15),
             'tCho': (0.23, 0.02, 0.03), 'Ins': (0.70, 0.05, 0.12)}  # fmt: skip
    lost = np.concatenate(
        [
            rng.choice(np.flatnonzero(resistant), 2, replace=False),
            rng.choice(np.flatnonzero(~resistant), 2, replace=False),
        ]
    )
    for name, (mean, difference, sd) in means.items():
        value = mean + difference * resistant + rng.normal(0, sd, n)
        value[lost] = np.nan
        frame[name] = value
    return frame


def main() -> None:
    """Write the three cohorts."""
    streams = np.random.SeedSequence(210113).spawn(3)
    cohorts = {
        name: structure_cohort(name, np.random.default_rng(stream))
        for name, stream in zip(SIZES, streams[:2], strict=True)
    }
    cohorts['london'] = glutamate_cohort(np.random.default_rng(streams[2]))
    for name, frame in cohorts.items():
        frame.to_csv(
            HERE / f'cohort_{name}.tsv', sep='\t', index=False, na_rep='n/a', float_format='%.17g'
        )


if __name__ == '__main__':
    main()
