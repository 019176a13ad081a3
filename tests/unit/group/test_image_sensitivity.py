"""Results of the parcels with the gates of images, without them and with each criterion alone."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import f_oneway

from bids_acc.derivatives.outputs import output_path
from bids_acc.group.image_sensitivity import put_back
from bids_acc.tables.writing import write_tsv
from tests.endtoend.test_command import bids_acc
from tests.synthetic.derivatives import write_cohort

SMALL, NOISY = ('sub-003', 'sub-011'), ('sub-011', 'sub-020')


def parcels(values, **more):
    table = pd.DataFrame({
        'participant_id': ['sub-1', 'sub-2', 'sub-1', 'sub-2'], 'session_id': '', 'component': 1,
        'metric': ['thickness', 'thickness', 'fa', 'fa'], 'value': values, 'hemisphere': 'both',
    })  # fmt: skip
    return table.assign(**more)


def fails(*rows):
    return pd.DataFrame(rows, columns=['participant_id', 'session_id', 'modality'])


@pytest.mark.parametrize(
    ('failed', 'thickness', 'fa'),
    [
        (fails(), 2.5, 0.2),
        (fails(('sub-2', None, 'dwi')), 2.5, np.nan),
        (fails(('sub-2', None, 'anat')), np.nan, np.nan),  # no surface, no samples
        (fails(('sub-1', None, 'anat')), 2.5, 0.2),
    ],
)
def test_what_a_smaller_gate_keeps_comes_back(failed, thickness, fa):
    now = parcels([2.4, np.nan, 0.3, np.nan])
    left = parcels([np.nan, 2.5, np.nan, 0.2], session_id=None).iloc[[1, 3]]
    back = put_back(now, left, failed).set_index(['participant_id', 'metric'])['value']
    assert back['sub-1', 'thickness'] == 2.4
    assert back['sub-2', 'thickness'] == pytest.approx(thickness, nan_ok=True)
    assert back['sub-2', 'fa'] == pytest.approx(fa, nan_ok=True)


def test_a_session_without_a_row_gets_one():
    now = parcels([2.4, 2.5, 0.3, 0.2]).iloc[[0, 2]]
    back = put_back(now, parcels([2.4, 2.5, 0.3, 0.2]), fails())
    assert sorted(back['value']) == [0.2, 0.3, 2.4, 2.5]


@pytest.mark.slow
def test_the_command_compares_the_parcels_with_and_without_its_gate(tmp_path):
    root = tmp_path / 'out'
    people = write_cohort(root, n_per_group=8)
    for who in people['participant_id']:
        row = {'brain_ml': 700.0 if who in SMALL else 1300.0, 'cnr': 1.0 if who in NOISY else 3.0}
        write_tsv(output_path('anat_qc', root, {'subject': who[4:]}), pd.DataFrame([row]))
    session = [
        {'metric': name, 'definition': f'builtin_{name}', 'operator': '>=', 'value': least,
         'unit': unit, 'source': 'planted'}
        for name, least, unit in (('brain_ml', 800, 'mL'), ('cnr', 1.5, '1'))
    ]  # fmt: skip
    gate = {'name': 'planted', 'missing': 'strict', 'session': session}
    model = {'Name': 'gated', 'Group': {'Column': 'group', 'Reference': 'HC',
             'Levels': ['HC', 'responder', 'resistant']}, 'Gate': {'anat': gate}}  # fmt: skip
    (tmp_path / 'model-gated_smdl.json').write_text(json.dumps(model))
    done = bids_acc('none', root, 'group', '--model', tmp_path / 'model-gated_smdl.json',
                    '--opnmf-k-range', '2', '3', '--opnmf-splits', '2', '--opnmf-components', '2',
                    '--opnmf-bootstraps', '0', '-w', tmp_path / 'work')  # fmt: skip
    assert done.returncode == 0, done.stderr
    stats = root / 'group' / 'model-gated' / 'stats'
    table = pd.read_csv(stats / 'sensitivity.tsv', sep='\t')
    rows = table[table['response'] == 'thickness_c1'].set_index(['analysis', 'criterion'])
    off = table[(table['response'] == 'thickness_c1') & (table['analysis'] == 'gate_off')]
    assert off['n'].tolist() == [24]
    assert rows.loc[('gate_alone', 'anat: brain_ml'), 'n'] == 22
    assert rows.loc[('gate_alone', 'anat: cnr'), 'n'] == 22
    main = pd.read_csv(stats / 'ancova.tsv', sep='\t').query('analysis == "ancova_f"')
    mine = main.set_index('response').loc['thickness_c1']
    assert mine['n'] == 21
    assert off['p_original'].iloc[0] == pytest.approx(mine['p_unc'])
    assert {*table.loc[table['analysis'] == 'gate_off', 'response']} >= {'fa_c1', 'area_c2'}
    measured = pd.read_csv(stats.parent / 'measures.tsv', sep='\t').set_index('participant_id')
    left = measured.loc[list({*SMALL, *NOISY}), 'thickness_c1']
    assert left.isna().all()
    groups = measured['thickness_c1'].dropna().groupby(measured['group'])
    f_value = f_oneway(*(values for _, values in groups)).statistic
    assert mine['value'] == pytest.approx(f_value, rel=1e-4)
    assert off['value'].iloc[0] != pytest.approx(f_value, rel=1e-4)
