"""Which spectra, which session and which reference an analysis takes, and that it says so."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from bids_acc.exceptions import InputDataError, SettingsError
from bids_acc.group.statistics.model.declaration import parse_model
from bids_acc.group.statistics.run import run_statistics
from bids_acc.group.statistics.study.joining import make_study
from bids_acc.group.statistics.study.proposal import propose_model
from bids_acc.group.statistics.study.sessions import at_first_visit, unshared_sessions, visit_order
from bids_acc.group.statistics.study.voxels import choose_voxels

MODEL = {
    'Name': 'm', 'Group': {'Column': 'group', 'Levels': ['HC', 'TRS']},
    'Mrs': {'Primary': ['Glu'], 'Relation': None}, 'Permutations': 0,
    'Mixture': {'Measures': []}, 'Nuisance': {'IfDifferent': False},
}  # fmt: skip
PEOPLE = pd.DataFrame(
    {'participant_id': [f'sub-{i:02d}' for i in range(40)], 'group': ['HC', 'TRS'] * 20}
)


def spectra(labels: dict[str, list[int]], shift: dict[str, float] | None = None) -> pd.DataFrame:
    """Return Glu and tNAA of some people in some spectra."""
    rng = np.random.default_rng(3)
    rows = []
    for label, people in labels.items():
        for i in people:
            effect = (shift or {}).get(label, 0.0) * (i % 2)
            rows += [
                {'participant_id': f'sub-{i:02d}', 'session_id': '', 'voxel': label,
                 'metabolite': name, 'unit_scheme': 'ratio_tcr', 'gate': 'pass',
                 'value': rng.normal(1.2, 0.1) + effect * (name == 'Glu')}
                for name in ('Glu', 'tNAA')
            ]  # fmt: skip
    return pd.DataFrame(rows)


def model(**mrs):
    """Return a model with some settings of the spectra."""
    return parse_model({**MODEL, 'Mrs': {**MODEL['Mrs'], **mrs}})


BY_SITE = {'acq-a_voi-ACC': list(range(20)), 'acq-b_voi-ACC': list(range(20, 40))}


@pytest.mark.parametrize(
    'mrs', [{}, {'Voxels': {'ACC': ['*_voi-ACC']}}, {'Voxels': {'x': sorted(BY_SITE)}}]
)
def test_labels_named_by_site_are_one_voxel_and_nobody_is_lost(mrs):
    study = make_study(model(**mrs), None, spectra(BY_SITE), PEOPLE)
    assert study.baseline['Glu'].notna().sum() == 40
    assert 'acq-a_voi-ACC, acq-b_voi-ACC' in study.voxels.reason


def test_the_voxel_of_most_usable_values_is_analysed_and_said():
    mrs = spectra({'acq-a_voi-ACC': list(range(40)), 'acq-b_voi-ACC': list(range(30))})
    mrs.loc[mrs['voxel'] == 'acq-a_voi-ACC', 'gate'] = 'fail'
    choice = choose_voxels(mrs, model())
    assert [voxel.labels for voxel in choice.used] == [('acq-b_voi-ACC',)]
    assert 'not analysed: acq-a_voi-ACC (0 usable)' in choice.reason
    tables = run_statistics(model(), None, mrs, PEOPLE, None, np.random.default_rng(1))
    flow = tables['flow'].set_index(['measure', 'group'])
    assert flow.loc[('Glu', 'HC'), 'voxel'] == 'acq-b_voi-ACC'
    assert flow.loc[('Glu', 'HC'), 'n_used'] == 15
    assert tables['voxels'].set_index('labels')['analysed'].to_dict() == {
        'acq-b_voi-ACC': True, 'acq-a_voi-ACC': False,
    }  # fmt: skip


def test_several_voxels_are_measures_side_by_side_with_group_by_voxel():
    everybody = list(range(40))
    labels = {'voi-ACC': everybody, 'voi-STR': everybody}
    mrs = spectra(labels, {'voi-ACC': 0.4})
    several = model(Voxels={'ACC': ['voi-ACC'], 'striatum': ['voi-STR']}, Secondary=['tNAA'])
    tables = run_statistics(several, None, mrs, PEOPLE, None, np.random.default_rng(1))
    rows = tables['mrs_group'].set_index(['analysis', 'response'])
    assert rows.loc[('mrs_t', 'Glu_ACC'), 'p_unc'] < 1e-6
    assert rows.loc[('mrs_t', 'Glu_striatum'), 'p_unc'] > 0.01
    row = rows.loc[('mrs_voxel', 'Glu_ACC - Glu_striatum')]
    assert (row['term'], row['contrast'], row['n']) == ('group x voxel', 'ACC - striatum', 40)
    wide = mrs[mrs['metabolite'] == 'Glu'].pivot_table(
        index='participant_id', columns='voxel', values='value'
    )
    gap = (wide['voi-ACC'] - wide['voi-STR']).to_numpy()
    a, b = gap[0::2], gap[1::2]  # F of two groups is Student's t squared
    pooled = np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2)
    t = (a.mean() - b.mean()) / (pooled * np.sqrt(1 / 20 + 1 / 20))
    assert row['value'] == pytest.approx(t**2)
    assert rows.loc[('mrs_t', 'tNAA_ACC'), 'family'].startswith('mrs_secondary')


@pytest.mark.parametrize(
    ('voxels', 'words'),
    [
        ({'ACC': ['voi-PCC']}, 'nobody has a spectrum called voi-PCC; there are: acq-a'),
        ({'A': ['acq-a*'], 'B': ['*ACC']}, 'belongs to both A and B'),
        ({'A': ['*']}, 'sub-00 has both acq-a_voi-ACC and acq-b_voi-ACC'),
    ],
)
def test_voxels_that_cannot_be_are_refused(voxels, words):
    mrs = spectra({'acq-a_voi-ACC': [0, 1, 2], 'acq-b_voi-ACC': [0, 1]})
    with pytest.raises(InputDataError, match=words.replace('*', r'\*')):
        choose_voxels(mrs, model(Voxels=voxels))


def people_of_visits(times: dict[str, str] | None = None) -> pd.DataFrame:
    """Return three people with two sessions whose alphabet is not their order."""
    rows = [
        {'participant_id': f'sub-{i}', 'session_id': visit, 'group': 'HC', 'age': 30 + i,
         **({'acq_time': times[visit]} if times else {})}
        for i in range(3) for visit in ('ses-b', 'ses-a')
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_order_is_by_model_then_time_then_label():
    dated = people_of_visits({'ses-a': '2020-03-01T10:00:00', 'ses-b': '2020-01-01T10:00:00'})
    by_label, by_time = visit_order(people_of_visits()), visit_order(dated)
    assert (by_label.order, by_time.order) == (('ses-a', 'ses-b'), ('ses-b', 'ses-a'))
    assert 'by their labels' in by_label.reason
    assert 'by acq_time' in by_time.reason
    said = visit_order(dated, parse_model({**MODEL, 'Sessions': {'Order': ['a', 'b']}}).sessions)
    assert said.order == ('ses-a', 'ses-b')
    assert 'by the model file' in said.reason
    baseline = visit_order(dated, parse_model({**MODEL, 'Sessions': {'Baseline': 'a'}}).sessions)
    assert (baseline.order, baseline.baseline) == (('ses-b', 'ses-a'), 'ses-a')
    assert set(at_first_visit(dated, baseline)['session_id']) == {'ses-a'}


def test_dates_that_do_not_tell_all_sessions_apart_leave_it_to_the_labels():
    people = people_of_visits({'ses-a': 'n/a', 'ses-b': '2020-01-01'})
    assert visit_order(people).order == ('ses-a', 'ses-b')


def groups(levels: list[str], n=(6, 6), **sidecar) -> dict:
    """Return a proposal for two groups of some sizes."""
    people = pd.DataFrame(
        {
            'participant_id': [f'sub-{i}' for i in range(sum(n))],
            'group': [levels[0]] * n[0] + [levels[1]] * n[1],
            'age': range(20, 20 + sum(n)),
        }
    )
    return propose_model(people, {'group': sidecar} if sidecar else None)


@pytest.mark.parametrize(
    'levels',
    [
        {'0': 'healthy control', '1': 'patient'}, {'1': 'patient', '0': 'Healthy controls'},
        {'0': {'Description': 'Neurotypical volunteers'}, '1': {'Description': 'cases'}},
        {'0': {'LongName': 'control'}, '1': {'LongName': 'first episode'}},
        {'healthy control': 0, 'patient': 1},
        {'0': 'comparison subjects', '1': 'patients, healthy otherwise'},
    ],
)  # fmt: skip
def test_descriptions_of_levels_tell_the_reference(levels):
    content = groups(['0', '1'], (6, 9), Levels=levels)
    assert content['Group']['Reference'] == '0'
    assert (
        content['Group']['Labels']['0'].lower().startswith(('healthy', 'neuro', 'control', 'comp'))
    )
    assert not [reason for reason in content['Proposal'] if 'is a guess' in reason]


def test_the_other_code_is_the_reference_where_its_description_says_so():
    content = groups(['1', '2'], Levels={'1': 'schizophrenia', '2': 'control'})
    assert content['Group']['Reference'] == '2'


@pytest.mark.parametrize(
    ('levels', 'n', 'reference', 'words'),
    [
        (['0', '1'], (6, 9), '0', 'the codes 0, 1 are not described'),
        (['a', 'b'], (6, 6), 'a', 'equally large'),
        (['a', 'b'], (6, 9), 'b', 'this one is the largest'),
        (['control1', 'HC'], (6, 6), 'HC', 'all read like controls'),
        (['patients', 'HC'], (6, 6), 'HC', None),
        (['HC', 'TD'], (6, 6), 'HC', 'all read like controls'),
    ],
)
def test_a_guess_is_called_one(levels, n, reference, words):
    content = groups(levels, n)
    assert content['Group']['Reference'] == reference
    guesses = [reason for reason in content['Proposal'] if 'is a guess' in reason]
    assert len(guesses) == (words is not None)
    assert words is None or words in guesses[0]


def test_a_case_that_the_sidecar_knows_is_the_spelling():
    content = groups(['hc', 'TRS'], (6, 6), Levels={'HC': 'controls', 'TRS': 'resistant'})
    assert content['Group']['Recode'] == {'hc': 'HC'}
    assert content['Group']['Reference'] == 'HC'


def test_labels_that_nobody_shares_are_said_and_shared_ones_are_not():
    own = pd.DataFrame({
        'participant_id': ['sub-1', 'sub-1', 'sub-2', 'sub-2'],
        'session_id': ['ses-20200101', 'ses-20200301', 'ses-20200215', 'ses-20200501'],
    })  # fmt: skip
    text = unshared_sessions(own, visit_order(own))
    assert text.startswith('No two participants share a session label (ses-20200101,')
    assert 'ses-01' in text
    alike = own.assign(session_id=['ses-1', 'ses-2'] * 2)
    assert unshared_sessions(alike, visit_order(alike)) == ''
    assert unshared_sessions(own[:2], visit_order(own[:2])) == ''  # one person alone
    few = pd.DataFrame({
        'participant_id': ['sub-1', 'sub-1', 'sub-2', 'sub-3'],
        'session_id': ['ses-1', 'ses-2', 'ses-2', 'ses-2'],
    })  # fmt: skip
    assert unshared_sessions(few, visit_order(few)).startswith('Only 1 of 3 participants')


@pytest.mark.parametrize(
    ('mrs', 'words'),
    [
        ({'Voxels': {'a/b': ['svs']}}, "'a/b' is no name of a voxel"),
        ({'Voxels': {'': ['svs']}}, "'' is no name of a voxel"),
        ({'Voxels': {'x_ACC': ['a'], 'ACC': ['b']}}, "'x_ACC' is no name"),  # Glu_x_ACC is whose?
        ({'Voxels': {'\u00e5': ['a'], '\u00f8': ['b']}}, 'is no name of a voxel'),
        ({'Voxels': {'ACC': ['a'], 'acc': ['b']}}, "'ACC' and 'acc' differ in case only"),
        ({'Voxels': {'ACC': ['a']}, 'Voxel': 'b'}, 'are both there; keep Voxels'),
        ({'Voxels': {'ACC': 'a'}}, 'Mrs/Voxels/ACC'),
        ({'Voxels': {'ACC': [5]}}, 'Mrs/Voxels/ACC/0: 5 is a number'),
    ],
)
def test_names_of_voxels_that_measures_cannot_have_are_refused(mrs, words):
    with pytest.raises(SettingsError, match=re.escape(words)):
        parse_model({'Name': 'm', 'Group': {'Column': 'g', 'Levels': ['a', 'b']}, 'Mrs': mrs})
