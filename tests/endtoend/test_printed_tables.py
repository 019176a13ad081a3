"""The printed tables of the glutamate paper, through the installed command.

The paper's single values are not public: people are drawn whose groups have exactly the printed
means, standard deviations and numbers, so that the tests must come out as printed but for the
rounding of the means.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bids_acc.derivatives.outputs import output_path
from bids_acc.tables.writing import write_tsv
from tests.endtoend.test_command import bids_acc
from tests.endtoend.test_group_models import table
from tests.unit.group.statistics.test_statistics import PRINTED, exact_sample

pytestmark = pytest.mark.slow

SIZES = {'responsive': (20, 18), 'resistant': (21, 19)}
"""People of each group, and those whose spectra passed."""


def write_study(root, rng):
    """Write the people of the paper with their levels."""
    people = []
    for i, (group, (n, n_used)) in enumerate(SIZES.items()):
        age = exact_sample(rng, n, (39.2, 41.2)[i], (8, 13)[i])
        dose = exact_sample(rng, n, (315.6, 682.5)[i], (246.1, 459.1)[i])
        levels = {
            name: np.append(exact_sample(rng, n_used, *printed[i]), np.ones(n - n_used))
            for name, printed in PRINTED.items()
        }
        for j in range(n):
            label = f'{group}{j:02d}'
            people.append({
                'participant_id': f'sub-{label}', 'group': group, 'age': age[j],
                'cpz_dose': dose[j], 'sex': 'M' if j < (12, 14)[i] else 'F',
                'smoking': 'yes' if j < 11 else 'no', 'illness_duration': 10 + j % 9,
                'panss_positive': 10 + j % 7, 'panss_negative': 11 + j % 5,
                'panss_general': 22 + j % 9, 'panss_total': 43 + j,
            })  # fmt: skip
            gate = 'pass' if j < n_used else 'fail'
            rows = [
                {'metabolite': name, 'unit_scheme': 'ratio_tcr', 'unit': '1', 'value': values[j],
                 'crlb_pct': 8.0 if gate == 'pass' else 25.0, 'detected': True,
                 'engine': 'builtin', 'gate': gate,
                 'gate_reason': '' if gate == 'pass' else 'crlb < 20 %: 25 fail'}
                for name, values in levels.items()
            ]  # fmt: skip
            entities = {'subject': label, 'voi': 'ACC'}
            write_tsv(output_path('mrs_quantities', root, entities), pd.DataFrame(rows))
            quality = [{'engine': 'builtin', 'snr_lcm': 20.0 + j % 3, 'fwhm_hz': 6.5,
                        'spectrometer_mhz': 127.7, 'gate': gate}]  # fmt: skip
            write_tsv(output_path('mrs_quality', root, entities), pd.DataFrame(quality))
    write_tsv(root / 'participants.tsv', pd.DataFrame(people))


def test_table_3_of_the_glutamate_paper_comes_out_of_the_command(tmp_path):
    write_study(tmp_path, np.random.default_rng(3))
    done = bids_acc('none', tmp_path, 'group', '--model', 'acc-glutamate')
    assert done.returncode == 0, done.stderr
    rows = table(tmp_path, 'mrs_group').query("analysis == 'mrs_t'").set_index('response')
    for metabolite, (_, _, t, tolerance) in PRINTED.items():
        row = rows.loc[metabolite]
        assert row['contrast'] == 'resistant - responsive'
        assert row['value'] == pytest.approx(t, abs=tolerance)
        assert row['df2'] == 35
        assert row['n_per_group'] == 'resistant=19;responsive=18'
    assert rows.loc['Glu', 'effect'] == pytest.approx(0.76, abs=0.06)
    assert rows.loc['Glu', 'correction'] == 'none'
    assert set(rows.drop(index='Glu')['family_size']) == {4}
    dose = table(tmp_path, 'mrs_group').query(
        "analysis == 'mrs_nuisance' and response == 'Glu' and nuisance == 'cpz_dose'"
    )
    assert dose['df2'].tolist() == [34]  # printed: T(34)
    folder = tmp_path / 'group' / 'model-acc-glutamate' / 'tables'
    text = (folder / 'desc-mrsgroup_table.md').read_text()
    glu = next(line for line in text.splitlines() if line.startswith('|') and '| Glu |' in line)
    assert '*t*(35) = ' in glu
    supplement = pd.read_csv(folder / 'desc-mrsgroup_table.csv').set_index('response')
    assert supplement.loc['Glu', 'value'] == pytest.approx(rows.loc['Glu', 'value'], rel=1e-5)
