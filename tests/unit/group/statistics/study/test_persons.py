"""Group and cohort are one thing in each person, whatever the tables of visits say."""

from __future__ import annotations

import unicodedata

import numpy as np
import pandas as pd
import pytest

from bids_acc.group.cohort.exclusions import read_verdicts
from bids_acc.group.measures.table import build_measures
from bids_acc.group.page.participant_flow import participant_flow
from bids_acc.group.statistics.model.declaration import parse_model
from bids_acc.group.statistics.run import run_statistics
from bids_acc.group.statistics.study.joining import make_study
from bids_acc.group.statistics.study.persons import (
    changed_groups,
    groups_and_cohorts,
    scales_apart,
)
from bids_acc.tables.people import read_column, read_people_table

MODEL = {
    'Name': 'visits', 'Group': {'Column': 'group', 'Levels': ['FL', 'TRS']},
    'Mrs': {'Primary': ['Glu'], 'Relation': None}, 'Mixture': {'Measures': []},
    'Permutations': 19, 'Replication': {'Rule': 'none'},
}  # fmt: skip


@pytest.fixture
def visits(rng) -> pd.DataFrame:
    """Return 20 people at two visits; the later one comes first in the alphabet."""
    rows = [
        {'participant_id': f'sub-{i:02d}', 'session_id': visit, 'group': ('FL', 'TRS')[i % 2]}
        for i in range(20) for visit in ('ses-post', 'ses-pre')
    ]  # fmt: skip
    return pd.DataFrame(rows)


def spectra(frame, rng):
    return pd.DataFrame({
        'participant_id': frame['participant_id'], 'session_id': frame['session_id'],
        'voxel': 'ACC', 'metabolite': 'Glu', 'unit_scheme': 'ratio_tcr',
        'value': rng.normal(1.3, 0.1, len(frame)), 'crlb_pct': 8.0, 'gate': 'pass',
    })  # fmt: skip


def at(frame, who, visit):
    return (frame['participant_id'] == who) & (frame['session_id'] == visit)


def counts_of(tables):
    """Return people with a change by group."""
    paired = tables['change'].query('analysis == "paired change"')
    return dict(zip(paired['term'], paired['n'].astype(int), strict=True))


def test_who_changes_is_in_the_group_of_the_baseline_in_every_part(visits, rng):
    visits.loc[at(visits, 'sub-00', 'ses-post'), 'group'] = 'TRS'
    model = parse_model(MODEL)
    note = changed_groups(visits, model)
    assert 'sub-00 (ses-pre: FL, ses-post: TRS)' in note
    assert 'sub-01' not in note
    tables = run_statistics(model, None, spectra(visits, rng), visits, None, rng)
    assert set(tables['mrs_group']['n_per_group']) == {'TRS=10;FL=10'}
    assert counts_of(tables) == {'FL': 10, 'TRS': 10, 'all groups': 20}


def test_the_flow_counts_the_group_of_the_baseline(visits, rng):
    visits.loc[at(visits, 'sub-00', 'ses-post'), 'group'] = 'TRS'
    status = visits[['participant_id', 'session_id']].assign(
        modality='mrs', status='run', reason=''
    )
    measures = build_measures(visits, None, spectra(visits, rng), None, status)
    flow = participant_flow(measures, parse_model(MODEL), 'ses-pre')
    analysed = flow[flow['step'] == 'analysed'].set_index('group')['n']
    assert dict(analysed) == {'FL': 10, 'TRS': 10}


def test_a_group_told_once_holds_at_every_visit(visits, rng):
    visits.loc[visits['session_id'] == 'ses-post', 'group'] = np.nan
    model = parse_model(MODEL)
    assert changed_groups(visits, model) == ''
    assert groups_and_cohorts(visits, model)['group'].notna().all()
    tables = run_statistics(model, None, spectra(visits, rng), visits, None, rng)
    assert counts_of(tables) == {'FL': 10, 'TRS': 10, 'all groups': 20}
    mixed = tables['change'].query('analysis == "mixed model"')
    assert set(mixed['n_per_group']) == {'FL=10;TRS=10'}


def test_the_model_s_baseline_decides(visits):
    visits.loc[at(visits, 'sub-00', 'ses-post'), 'group'] = 'TRS'
    late = parse_model({**MODEL, 'Sessions': {'Baseline': 'post'}})
    first = groups_and_cohorts(visits, late).loc[visits['participant_id'] == 'sub-00', 'group']
    assert set(first) == {'TRS'}


def test_scales_without_a_value_in_common_are_named():
    people = pd.DataFrame({
        'participant_id': [f'sub-{i}' for i in range(12)], 'site': ['A'] * 6 + ['B'] * 6,
        'age': [30, 41, 22, 37, 55, 29, 35, 60, 24, 31, 44, 50],
        'months': [360, 492, 264, 444, 660, 348, 35, 60, 24, 31, 44, 50],
    })  # fmt: skip
    (note,) = scales_apart(people, ['age', 'months', 'site'], 'site')
    assert note.startswith('months lies within 24 to 60 in B and within 264 to 660 in A (site)')
    assert scales_apart(people.iloc[3:], ['months'], 'site') == []  # three people tell no range
    assert scales_apart(people, ['months'], None) == []


def test_ages_in_another_unit_at_one_site_are_asked_about():
    cells = [str(age) for age in (30, 41, 22, 37, 55, 29)] + ['420', '540', '300']
    who = [f'sub-{i}' for i in range(9)]
    values, (note,) = read_column('age', cells, who, None, 'participants.tsv')
    assert values.isna().sum() == 3
    assert 'did a site or a rater write another unit or scale?' in note
    (single,) = read_column('age', [*cells[:6], '420'], who[:7], None, 'participants.tsv')[1]
    assert 'unit' not in single


def test_one_accent_is_one_group_however_it_is_written(tmp_path):
    path = tmp_path / 'participants.tsv'
    words = [unicodedata.normalize(form, 'répondeur') for form in ('NFC', 'NFD')]
    path.write_text('participant_id\tgroup\nsub-1\t' + words[0] + '\nsub-2\t' + words[1] + '\n')
    assert read_people_table(path).frame['group'].nunique() == 1


def test_names_of_columns_of_verdicts_may_be_capitals(tmp_path):
    path = tmp_path / 'out.tsv'
    path.write_text('Participant_ID\tModality\tReason\tRater\nsub-1\tMRS\tmoved\tAB\n')
    found = read_verdicts(path, tmp_path, [('sub-1', None)])
    assert found.table.iloc[0][['modality', 'reason', 'rater']].tolist() == ['mrs', 'moved', 'AB']


@pytest.mark.parametrize(
    ('word', 'reason'),
    [
        ('control', 'group control not in the model (did you mean HC? see Group/Recode)'),
        ('TSR', 'group TSR not in the model (did you mean TRS?)'),
        ('ADHD', 'group ADHD not in the model'),
    ],
)
def test_controls_under_another_name_are_told_from_other_groups(word, reason):
    people = pd.DataFrame({'participant_id': ['sub-1', 'sub-2', 'sub-3'],
                           'group': ['HC', 'TRS', word]})  # fmt: skip
    model = parse_model({'Name': 'm', 'Group': {'Column': 'group', 'Levels': ['HC', 'TRS']}})
    assert list(make_study(model, None, None, people).not_in_groups) == [reason]
