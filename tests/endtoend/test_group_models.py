"""The shipped presets and groups from the treatment history, by the installed command."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bids_acc.group.statistics.rows.row import COLUMNS
from bids_acc.tables.writing import write_tsv
from tests.endtoend.test_command import bids_acc
from tests.synthetic.derivatives import write_cohort, write_spectra

pytestmark = pytest.mark.slow


OWN_COLUMNS = ('dropouts', 'confounding', 'flow', 'gate', 'voxels', 'prediction_participants')
"""Tables that hold no tests."""


def people(levels: tuple[str, ...], n: int, **columns) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    return pd.DataFrame({
        'participant_id': [f'sub-{i:02d}' for i in range(n)], 'group': np.resize(levels, n),
        'age': rng.normal(38, 9, n).round(1), 'sex': rng.choice(['F', 'M'], n), **columns,
    })  # fmt: skip


def table(root: Path, name: str) -> pd.DataFrame:
    (path,) = (root / 'group').glob(f'model-*/stats/{name}.tsv')
    return pd.read_csv(path, sep='\t')


def check_all_tables(root: Path, without: tuple[str, ...] = OWN_COLUMNS) -> None:
    """Every table has the common columns, and a sidecar that explains each of its columns."""
    found = sorted((root / 'group').glob('model-*/stats/*.tsv'))
    assert found
    for path in found:
        columns = path.read_text().splitlines()[0].split('\t')
        if path.stem not in without:
            assert columns[: len(COLUMNS)] == list(COLUMNS), path.name
        sidecar = json.loads(path.with_suffix('.json').read_text())
        assert all(sidecar[name]['Description'] != name for name in columns), path.name
    assert 'internal error' not in (root / 'group.html').read_text()


def test_glutamate_preset(tmp_path):
    rng = np.random.default_rng(0)
    scores = {
        name: rng.normal(mean, 5, 41).round()
        for name, mean in (('illness_duration', 12), ('cpz_dose', 500), ('panss_positive', 15),
                           ('panss_negative', 17), ('panss_general', 33), ('panss_total', 65))
    }  # fmt: skip
    who = people(('responsive', 'resistant'), 41, smoking=rng.choice(['yes', 'no'], 41), **scores)
    write_tsv(tmp_path / 'participants.tsv', who)
    write_spectra(tmp_path, who, {'responsive': 0, 'resistant': 1.5})
    done = bids_acc('none', tmp_path, 'group', '--model', 'acc-glutamate')
    assert done.returncode == 0, done.stderr
    check_all_tables(tmp_path)
    rows = table(tmp_path, 'mrs_group').set_index(['analysis', 'response'])
    assert rows.loc[('mrs_t', 'Glu'), 'p_unc'] < 0.01
    assert rows.loc[('mrs_together', 'Glu'), 'family_size'] == 2
    assert rows.loc[('mrs_t', 'Ins'), 'family_size'] == 4
    page = (tmp_path / 'group.html').read_text()
    found = page.partition('>Findings</h2>')[2].partition('</section>')[0]
    row = (
        r'<td[^>]*>Glu is higher in resistant than in responsive</td><td[^>]*>[^<]*, uncorrected p'
    )
    assert re.search(row, found)


def test_prepost_preset(tmp_path):
    who = people(('HC', 'responder', 'resistant'), 48)
    write_tsv(tmp_path / 'participants.tsv', who)
    write_spectra(tmp_path, who, {'HC': 0, 'responder': 1.5, 'resistant': 0.5}, ('pre', 'post'))
    done = bids_acc('none', tmp_path, 'group', '--model', 'prepost')
    assert done.returncode == 0, done.stderr
    check_all_tables(tmp_path)
    change = table(tmp_path, 'change')
    assert set(change['analysis']) == {
        'paired change', 'mixed model', 'mixed model completers', 'baseline-adjusted',
    }  # fmt: skip
    paired = change.query("analysis == 'paired change' and response == 'Glx'")
    assert set(paired['contrast']) == {'ses-post - ses-pre'}
    assert paired.set_index('term').loc['responder', 'effect'] < -0.5
    assert not change['note'].astype(str).str.contains('not done').any()
    assert {'Glx/tNAA', 'Gln/Glu'} <= set(table(tmp_path, 'mrs_group')['response'])


def test_structure_preset(tmp_path):
    who = write_cohort(tmp_path, n_per_group=8, cohorts=2)
    names = {'HC': 'HC', 'responder': 'FL-Resp', 'resistant': 'TRS'}
    who['group'] = who['group'].map(names)
    write_tsv(tmp_path / 'participants.tsv', who)
    write_spectra(tmp_path, who, {'HC': 0, 'FL-Resp': 0.5, 'TRS': 1.5})
    done = bids_acc(
        'none', tmp_path, 'group', '--model', 'acc-structure', '-w', tmp_path / 'work',
        '--opnmf-components', '3', '--opnmf-k-range', '2', '4', '--opnmf-splits', '2',
        '--opnmf-bootstraps', '5',
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    check_all_tables(tmp_path)
    group = table(tmp_path, 'ancova').query("term == 'group'")
    assert set(group['cohort']) == {'city0', 'city1'}
    assert set(group['family_size']) == {3 * 4}
    gate = table(tmp_path, 'gate')
    kept = set(gate.loc[gate['retained'], 'response'])
    shown = set(table(tmp_path, 'posthoc')['response'].dropna())
    assert shown == kept
    assert set(table(tmp_path, 'mrs_group')['response']) >= {'Glx'}


def history() -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Return trials and ratings of 40 people, and the labels that they should get."""
    rng = np.random.default_rng(40)
    truth = list(np.resize(['HC', 'FL-Resp', 'TRS', 'URS'], 40))
    trials, ratings = [], []
    for i, label in enumerate(truth):
        ill = label in ('TRS', 'URS')
        items = {f'panss_{s}{k}': int(rng.integers(1, 4)) for s in 'pn' for k in range(1, 8)}
        ratings.append({
            'participant_id': f'sub-{i:02d}', 'patient': label != 'HC', 'history_complete': True,
            'gaf': 45 if ill else 70, **items, **({'panss_p1': 5} if ill else {}),
        })  # fmt: skip
        given = {'HC': [], 'FL-Resp': [('risperidone', 6, 'adequate')]}.get(
            label, [('risperidone', 6, 'inadequate'), ('olanzapine', 25, 'inadequate')]
        )
        given = given + [('clozapine', 500, 'inadequate')] * (label == 'URS')
        trials += [
            {'participant_id': f'sub-{i:02d}', 'trial': k, 'drug': drug, 'dose_mg': dose,
             'weeks': 16, 'adherence_pct': 90, 'response': answer}
            for k, (drug, dose, answer) in enumerate(given, 1)
        ]  # fmt: skip
    return pd.DataFrame(trials), pd.DataFrame(ratings), truth


def test_groups_from_the_treatment_history(tmp_path):
    trials, ratings, truth = history()
    who = people(tuple(truth), 40)
    # sub-02 is resistant by two trials; without the dose of one of them nobody can know
    trials['dose_mg'] = trials['dose_mg'].astype(float)
    trials.loc[trials['participant_id'] == 'sub-02', 'dose_mg'] = [6, np.nan]
    write_tsv(tmp_path / 'participants.tsv', who.drop(columns='group'))
    write_tsv(tmp_path / 'phenotype' / 'treatment_trials.tsv', trials)
    write_tsv(tmp_path / 'phenotype' / 'treatment_ratings.tsv', ratings)
    write_spectra(tmp_path, who, {'HC': 0, 'FL-Resp': 0, 'TRS': 1, 'URS': 1.5})
    model = {
        'Name': 'history', 'TreatmentHistory': {'Definition': 'trrip'},
        'Group': {'Column': 'trrip', 'Levels': ['HC', 'FL-Resp', 'TRS', 'URS']},
        'Mrs': {'Primary': ['Glu'], 'Relation': None}, 'Permutations': 99,
        'Mixture': {'Measures': []},
        'Prediction': {'Outcome': 'sex', 'Positive': 'F', 'Predictors': ['Glu']},
    }  # fmt: skip
    file = tmp_path / 'model.json'
    file.write_text(json.dumps(model))
    done = bids_acc('none', tmp_path, 'group', '--model', file)
    assert done.returncode == 0, done.stderr
    assert '1 (group undetermined not in the model)' in done.stderr
    check_all_tables(tmp_path)
    labels = pd.read_csv(tmp_path / 'phenotype' / 'treatmentresponse.tsv', sep='\t')
    expected = ['undetermined' if i == 2 else label for i, label in enumerate(truth)]
    assert labels['trrip'].tolist() == expected
    assert labels.loc[2, 'trrip_lacks'] == 'failed trials'
    trace = pd.read_csv(tmp_path / 'group' / 'clinical' / 'trace.tsv', sep='\t')
    assert set(trace.query("participant_id == 'sub-02' and outcome == 'unknown'")['rule']) == {
        'failed trials'
    }  # fmt: skip
    rows = table(tmp_path, 'mrs_group').query("analysis == 'mrs_ancova'")
    assert rows['n_per_group'].str.contains('URS=').all()
    assert table(tmp_path, 'treatment').set_index('term').loc['TRS', 'n'] == 9
    # sex divides 40 people unequally: fewer than 20 in one class are refused
    refused = table(tmp_path, 'prediction')['note'].iloc[0]
    assert re.search(r'not done: sex: \d+ subjects in a class are fewer than 20', refused)


@pytest.mark.parametrize(
    ('change', 'code', 'words'),
    [
        ({'Group': {'Column': 'grup', 'Levels': ['HC', 'TRS']}}, 65, "did you mean 'group'?"),
        ({'Covariates': [{'Name': 'age'}]}, 65, 'which is no number (4 such cells: '),
        ({'Covariats': []}, 64, "did you mean 'Covariates'?"),
    ],
)
def test_mistakes_are_told_in_a_sentence(tmp_path, change, code, words):
    who = people(('HC', 'TRS'), 8).astype({'age': object})
    who.loc[who['group'] == 'HC', 'age'] = 'forty'  # single ones are left out by name
    write_tsv(tmp_path / 'participants.tsv', who)
    write_spectra(tmp_path, who, {'HC': 0, 'TRS': 1})
    file = tmp_path / 'model.json'
    model = {'Name': 'm', 'Group': {'Column': 'group', 'Levels': ['HC', 'TRS']}, **change}
    file.write_text(json.dumps(model))
    done = bids_acc('none', tmp_path, 'group', '--model', file)
    assert done.returncode == code
    assert words in done.stderr
    assert 'Traceback' not in done.stderr
