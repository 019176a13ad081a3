"""Write the simulated tables that reference.R reads; run once, from this folder."""

from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).parent


def longitudinal(rng: np.random.Generator) -> pd.DataFrame:
    """Simulate 40 depressed patients in up to three sessions, a fifth of the visits missing."""
    rows = []
    for i in range(40):
        response = 'nonresponder' if i % 2 else 'responder'
        age = float(np.round(rng.uniform(20, 60), 1))
        intercept = rng.normal(0, 0.8)
        glx_intercept = rng.normal(0, 1)
        for visit, session in enumerate(('ses-0', 'ses-1', 'ses-2')):
            if visit and rng.random() < 0.2:
                continue
            slope = -0.5 if response == 'responder' else -0.1
            madrs = 30 + 12 * slope * visit + 4 * intercept + rng.normal(0, 3)
            glx = 10 + 0.03 * (age - 40) + glx_intercept - slope * visit + rng.normal(0, 0.7)
            rows.append((f'sub-{i:02d}', session, visit, response, age, glx, madrs))
    columns = ['participant_id', 'session_id', 'visit', 'response', 'age', 'glx', 'madrs']
    return pd.DataFrame(rows, columns=columns).round(4)


def sites(rng: np.random.Generator) -> pd.DataFrame:
    """Simulate three sites with offsets and scales, a group effect and eight features."""
    n = {'A': 30, 'B': 24, 'C': 20}
    rows = []
    effect = rng.normal(0, 0.5, 8)
    for number, (site, size) in enumerate(n.items()):
        shift, scale = rng.normal(0, 1, 8), rng.uniform(0.6, 1.6, 8)
        for i in range(size):
            group = 'HC' if i % 2 else 'SCZ'
            age = float(np.round(rng.uniform(20, 55) + 3 * number, 1))
            values = (
                3 + effect * (group == 'SCZ') - 0.01 * age + shift + scale * rng.normal(size=8)
            )
            rows.append((f'sub-{site}{i:02d}', site, group, age, *values))
    columns = ['participant_id', 'site', 'group', 'age', *[f'f{i}' for i in range(8)]]
    return pd.DataFrame(rows, columns=columns).round(4)


def mixture(rng: np.random.Generator) -> pd.DataFrame:
    """Simulate one, two and three populations of Glu/Cr."""
    one = rng.normal(1.47, 0.24, 37)
    two = np.r_[rng.normal(1.1, 0.1, 20), rng.normal(1.8, 0.15, 25)]
    three = np.r_[rng.normal(1, 0.08, 30), rng.normal(1.5, 0.1, 30), rng.normal(2.2, 0.12, 30)]
    parts = [('one', one), ('two', two), ('three', three)]
    return pd.concat(
        [pd.DataFrame({'sample': name, 'value': values}) for name, values in parts]
    ).round(5)


if __name__ == '__main__':
    for name, make in (('longitudinal', longitudinal), ('sites', sites), ('mixture', mixture)):
        table = make(np.random.default_rng(20151217))
        table.to_csv(HERE / f'{name}.tsv', sep='\t', index=False)
