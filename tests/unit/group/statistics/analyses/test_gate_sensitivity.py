"""Every metabolite result with the gate, without it, and with each of its criteria alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bids_acc.group.statistics.analyses.sensitivity import criteria_of
from bids_acc.group.statistics.model.declaration import parse_model
from bids_acc.group.statistics.run import run_statistics
from bids_acc.report.group_page import compact

MODEL = {
    'Name': 'm', 'Group': {'Column': 'group', 'Levels': ['HC', 'TRS'], 'Reference': 'HC'},
    'Mrs': {'UnitScheme': 'ratio_tcr', 'Primary': ['Glu'], 'Relation': None}, 'Permutations': 0,
    'Mixture': {'Measures': []}, 'Nuisance': {'IfDifferent': False},
}  # fmt: skip
N = 40
WIDE, BOUND = 'fwhm < 10 Hz: 12 fail', 'crlb < 20 %: 25 fail'
REASONS = {0: WIDE, 1: WIDE, 2: WIDE, 4: BOUND, 5: BOUND, 7: f'{WIDE}; {BOUND}'}


def _tables(reasons):
    rng = np.random.default_rng(4)
    people = pd.DataFrame(
        {'participant_id': [f'sub-{i:02d}' for i in range(N)], 'group': ['HC', 'TRS'] * (N // 2)}
    )
    mrs = people[['participant_id']].assign(
        session_id='', voxel='v', metabolite='Glu', unit_scheme='ratio_tcr',
        value=rng.normal(1.2, 0.1, N), gate_reason=[reasons.get(i) for i in range(N)],
    )  # fmt: skip
    mrs['gate'] = np.where(mrs['gate_reason'].isna(), 'pass', 'fail')
    model = parse_model(MODEL)
    return run_statistics(model, None, mrs, people, None, np.random.default_rng(5)), mrs


@pytest.fixture(scope='module')
def several():
    return _tables(REASONS)


def _alone(table):
    rows = table[(table['analysis'] == 'gate_alone') & (table['response'] == 'Glu')]
    return rows.set_index('criterion')


def test_each_criterion_alone_leaves_out_those_who_do_not_meet_it(several):
    tables, mrs = several
    rows = _alone(tables['sensitivity'])
    assert rows['n'].to_dict() == {'fwhm < 10 Hz': N - 4, 'crlb < 20 %': N - 3}
    group = np.where(np.arange(N) % 2, 'TRS', 'HC')
    for criterion, word in (('fwhm < 10 Hz', 'fwhm'), ('crlb < 20 %', 'crlb')):
        kept = ~mrs['gate_reason'].fillna('').str.contains(word).to_numpy()
        value = mrs['value'].to_numpy()
        ill, well = (value[kept & (group == name)] for name in ('TRS', 'HC'))
        between = len(ill) * (ill.mean() - value[kept].mean()) ** 2
        between += len(well) * (well.mean() - value[kept].mean()) ** 2
        within = ((ill - ill.mean()) ** 2).sum() + ((well - well.mean()) ** 2).sum()
        f_value = between / (within / (kept.sum() - 2))
        assert rows.loc[criterion, 'value'] ** 2 == pytest.approx(f_value)


def test_without_the_gate_is_everybody_and_names_no_criterion(several):
    table = several[0]['sensitivity']
    off = table[(table['analysis'] == 'gate_off') & (table['response'] == 'Glu')]
    assert off['n'].tolist() == [N]
    assert off['criterion'].isna().all() or (off['criterion'] == '').all()
    assert table.loc[table['analysis'] == 'gate_alone', 'p_original'].nunique() == 1


def test_the_page_tells_which_criterion_it_was(several):
    shown = compact(several[0]['sensitivity'])
    alone = shown[shown['analysis'] == 'one criterion alone']
    assert alone['criterion'].tolist() == ['crlb < 20 %', 'fwhm < 10 Hz']
    assert 'criterion' not in compact(several[0]['mrs_group'])


def test_one_criterion_is_the_gate_itself():
    tables, _ = _tables({0: WIDE, 3: WIDE})
    assert 'gate_alone' not in set(tables['sensitivity']['analysis'])


@pytest.mark.parametrize(
    ('reason', 'criteria'),
    [
        ('snr > 10: 8.2 (fsl_snr_peak) fail; crlb < 20 %: unknown', ('snr > 10', 'crlb < 20 %')),
        ('left out by AB: ghosting', ('left out by AB: ghosting',)),
        ('not detected; value unknown: no tissue maps: a; b', ('not detected',)),
        (float('nan'), ()),
    ],
)  # fmt: skip
def test_criteria_are_told_without_their_figures(reason, criteria):
    assert criteria_of(reason) == criteria
