"""Results of the parcels with the gates of images, without them and with each criterion alone."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import f_oneway

from bids_acc.derivatives.outputs import output_path
from bids_acc.group.image_sensitivity import put_back, regions_put_back
from bids_acc.tables.writing import write_tsv
from tests.endtoend.test_command import bids_acc
from tests.synthetic.derivatives import write_cohort


def assert_the_table_of_measures_tells_the_same(root, model, tmp_path):
    """Run the model on its own table of measures, and compare what gates do to the result."""
    folder = root / 'group' / 'model-gated'
    told = pd.read_csv(folder / 'stats' / 'sensitivity.tsv', sep='\t')
    for name in ('measures.tsv', 'measures.json'):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    done = bids_acc('none', root, 'group', '--model', model, '--measures',
                    tmp_path / 'measures.tsv')  # fmt: skip
    assert done.returncode == 0, done.stderr
    again = pd.read_csv(folder / 'stats' / 'sensitivity.tsv', sep='\t')
    pd.testing.assert_frame_equal(again, told)
    assert (folder / 'measures.tsv').read_bytes() == (tmp_path / 'measures.tsv').read_bytes()


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


@pytest.mark.parametrize(
    ('failed', 'volume', 'tract'),
    [
        (fails(), 2.5, 0.2),
        (fails(('sub-2', None, 'dwi')), 2.5, np.nan),
        (fails(('sub-2', None, 'anat')), np.nan, np.nan),  # no surface, no samples
        (fails(('sub-1', None, 'anat')), 2.5, 0.2),
    ],
)
def test_regions_that_a_smaller_gate_keeps_come_back(failed, volume, tract):
    names = ['volume__CerebrA__x__L', 'fa__own__y__both']
    people = pd.DataFrame({'participant_id': ['sub-1', 'sub-2'], 'session_id': [None, None],
                           names[0]: [2.4, np.nan], names[1]: [0.3, np.nan]})  # fmt: skip
    left = pd.DataFrame({
        'participant_id': 'sub-2', 'session_id': [None] * 3, 'metric': ['volume', 'fa', 'fa'],
        'atlas': ['CerebrA', 'own', 'own'], 'region': ['x', 'y', 'not asked'],
        'hemisphere': ['L', 'both', 'both'], 'value': [2.5, 0.2, 9.0],
        'modality': ['anat', 'dwi', 'dwi'],
    })  # fmt: skip
    back, touched = regions_put_back(people, left, failed)
    assert touched == sorted(names)
    assert back[names].to_numpy()[1] == pytest.approx([volume, tract], nan_ok=True)
    assert back[names].to_numpy()[0] == pytest.approx([2.4, 0.3])
    assert people[names].iloc[1].isna().all()


@pytest.mark.slow
def test_the_command_compares_columns_of_other_tables_with_and_without_its_gate(tmp_path):
    """Markers of function: who fails by motion, by noise, by both, and by a rater."""
    rng, root = np.random.default_rng(6), tmp_path / 'out'
    who = [f'sub-{i:03d}' for i in range(1, 31)]
    people = pd.DataFrame({'participant_id': who, 'group': np.resize(['HC', 'TRS'], 30)})
    marker = dict(zip(who, rng.normal(0.3, 0.1, 30) + np.resize([0, 0.1], 30), strict=True))
    for name in who:
        entities = {'subject': name[4:], 'task': 'rest'}
        write_tsv(output_path('func_markers', root, entities),
                  pd.DataFrame([{'marker': 'sgACC', 'z': marker[name]}]))  # fmt: skip
        row = {'fd_mean': 0.9 if name in SMALL else 0.1, 'gate': 'pass',
               'tsnr_median': 9.0 if name in NOISY else 60.0}  # fmt: skip
        write_tsv(output_path('func_qc', root, entities), pd.DataFrame([row]))
    write_tsv(root / 'participants.tsv', people)
    (root / 'code').mkdir()
    (root / 'code' / 'exclude.tsv').write_text(
        'participant_id\tmodality\treason\nsub-005\tfunc\tasleep\n'
    )
    session = [
        {'metric': name, 'definition': f'builtin_{name}', 'operator': operator, 'value': limit,
         'unit': unit}
        for name, operator, limit, unit in (('fd_mean', '<', 0.5, 'mm'),
                                            ('tsnr_median', '>', 30, '1'))
    ]  # fmt: skip
    column = 'fc__Seitzman__sgACC__both'
    gate = {'func': {'session': session}}
    model = {'Name': 'gated', 'Group': {'Column': 'group', 'Levels': ['HC', 'TRS']},
             'Responses': {'Columns': [column]}, 'Gate': gate}  # fmt: skip
    (tmp_path / 'm.json').write_text(json.dumps(model))
    done = bids_acc('none', root, 'group', '--model', tmp_path / 'm.json')
    assert done.returncode == 0, done.stderr
    stats = root / 'group' / 'model-gated' / 'stats'
    table = pd.read_csv(stats / 'sensitivity.tsv', sep='\t')
    rows = table[table['response'] == column].set_index(['analysis', 'criterion'])
    off = table[(table['response'] == column) & (table['analysis'] == 'gate_off')]
    assert off['n'].tolist() == [29]  # the rater's verdict is no criterion
    assert rows.loc[('gate_alone', 'func: fd_mean'), 'n'] == 27
    assert rows.loc[('gate_alone', 'func: tsnr_median'), 'n'] == 27
    groups = people.set_index('participant_id')['group'].drop('sub-005')
    values = pd.Series(marker).reindex(groups.index)
    f_value = f_oneway(values[groups == 'HC'], values[groups == 'TRS']).statistic
    assert off['value'].iloc[0] == pytest.approx(f_value, rel=1e-3)
    main = pd.read_csv(stats / 'ancova.tsv', sep='\t').query("term == 'group'")
    assert set(main['n']) == {26}
    assert off['p_original'].iloc[0] == pytest.approx(main['p_unc'].iloc[0], rel=1e-4)
    assert_the_table_of_measures_tells_the_same(root, tmp_path / 'm.json', tmp_path)


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
    assert measured.loc[list({*SMALL, *NOISY}), 'thickness_c1__ungated'].notna().all()
    assert measured.loc['sub-011', 'failed_anat'] == 'brain_ml; cnr'
    assert_the_table_of_measures_tells_the_same(root, tmp_path / 'model-gated_smdl.json', tmp_path)
    groups = measured['thickness_c1'].dropna().groupby(measured['group'])
    f_value = f_oneway(*(values for _, values in groups)).statistic
    assert mine['value'] == pytest.approx(f_value, rel=1e-4)
    assert off['value'].iloc[0] != pytest.approx(f_value, rel=1e-4)
