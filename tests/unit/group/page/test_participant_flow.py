"""The participant flow agrees with an independent count."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bids_acc.group.measures.table import build_measures
from bids_acc.group.page.flow_figures import draw_flow
from bids_acc.group.page.participant_flow import STEPS, participant_flow
from bids_acc.group.statistics.model.declaration import parse_model

MODEL = parse_model({
    'Name': 'm', 'Cohort': 'site', 'Group': {'Column': 'dx', 'Levels': ['HC', 'TRS']},
})  # fmt: skip


@pytest.fixture(params=range(5))
def drawn(request):
    """Return a random cohort's measures and, for each person, what became of the spectrum."""
    rng = np.random.default_rng(request.param)
    n = 60
    who = [f'sub-{i:03d}' for i in range(n)]
    people = pd.DataFrame({
        'participant_id': who, 'session_id': None,
        'dx': rng.choice(['HC', 'TRS', 'other', None], n, p=[0.4, 0.4, 0.1, 0.1]),
        'site': rng.choice(['a', 'b'], n),
    })  # fmt: skip
    fate = rng.choice(['fine', 'absent', 'spectrum', 'metabolite'], n, p=[0.6, 0.1, 0.2, 0.1])
    flow = people[['participant_id', 'session_id']].assign(modality='mrs', status='run', reason='')
    flow.loc[fate == 'absent', ['status', 'reason']] = ['skip', 'no mrs_quality']
    width = rng.uniform(11, 14, n).round(2)
    why = [f'voi-ACC: fwhm < 10 Hz: {w} fail' for w in width]
    flow.loc[fate == 'spectrum', 'status'] = 'exclude'
    flow.loc[fate == 'spectrum', 'reason'] = pd.Series(why)[fate == 'spectrum']
    mrs = people[['participant_id', 'session_id']].assign(
        voxel='voi-ACC', metabolite='Glx', unit_scheme='ratio_tcr', value=1.2,
        gate=np.where(fate == 'fine', 'pass', 'fail'),
    )[fate != 'absent']  # fmt: skip
    return people.assign(fate=fate), build_measures(people, None, mrs, None, flow)


def test_who_lacks_a_cohort_is_not_said_to_be_in_a_group_left_out(drawn):
    people, _ = drawn
    people.loc[people['dx'] == 'HC', 'site'] = None
    flow = people[['participant_id', 'session_id']].assign(modality='mrs', status='run', reason='')
    measures = build_measures(people.drop(columns='fate'), None, None, None, flow)
    table = participant_flow(measures, MODEL, None)
    rows = table[(table['step'] == 'in_groups') & (table['group'] == 'HC')]
    assert rows['reasons'].str.startswith('site n/a=').all()


def test_each_step_and_reason_agrees_with_a_count_by_hand(drawn):
    people, measures = drawn
    table = participant_flow(measures, MODEL, None)
    assert table.groupby('step')['n'].sum()['listed'] == 60
    for (site, dx), part in people.groupby(['site', 'dx']):
        rows = table[(table['cohort'] == site) & (table['group'] == dx)].set_index('step')
        known = part[part['dx'].isin(['HC', 'TRS'])]
        left = known[known['fate'] != 'absent']
        passed = left[left['fate'] != 'spectrum']
        expected = [
            len(part),
            len(known),
            len(left),
            len(passed),
            (passed['fate'] == 'fine').sum(),
        ]
        assert rows.loc[list(STEPS), 'n'].tolist() == expected
        wide = len(left) - len(passed)
        assert rows.loc['passed', 'reasons'] == (f'fwhm < 10 Hz={wide}' if wide else '')
    lost = table.groupby('step')['lost'].sum()
    assert 60 - lost.sum() == table.loc[table['step'] == 'analysed', 'n'].sum()


def test_the_picture_has_every_step_and_its_number(drawn):
    _, measures = drawn
    table = participant_flow(measures, MODEL, None)
    figure = draw_flow(table)
    words = ' '.join(' '.join(text.get_text() for text in figure.axes[0].texts).split())
    for step, heading in STEPS.items():
        assert f'{heading}: {table.loc[table["step"] == step, "n"].sum()}' in words
    assert 'line width not < 10 Hz' in words
