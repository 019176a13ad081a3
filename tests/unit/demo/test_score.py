"""The comparison of results with the truth."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bids_acc.demo.cohort import GROUPS, MD_RISE, THICKNESS_EFFECT_MM
from bids_acc.demo.patterns import pattern_weights
from bids_acc.demo.recovery import GroupEffect, compare, format_score, group_effect
from bids_acc.demo.score import (
    read_truth,
    score,
    score_function,
    score_parcels,
    score_report,
    score_thickness,
)
from bids_acc.exceptions import InputDataError, MissingInputError
from bids_acc.group.opnmf.features import VertexMetrics
from bids_acc.surfaces.template import load_template


def test_compare_leaves_out_missing_values_and_says_how_many_remain():
    found = compare('x', 'mm', [1, 2, 3, 4], [1.1, np.nan, 3.1, 4.1], absolute=True)
    assert found.n == 3
    assert found.bias == pytest.approx(0.1)
    assert found.r == pytest.approx(1)


def test_compare_of_differences_has_no_bias_but_a_slope():
    found = compare('x', 'mm', [0, 1, 2], [10.0, 10.5, 11.0], absolute=False)
    assert math.isnan(found.bias)
    assert found.slope == pytest.approx(0.5)
    assert found.mae == pytest.approx(1 / 3)


def test_compare_refuses_to_make_a_figure_from_two_points():
    assert math.isnan(compare('x', '', [1, 2], [1, 2], absolute=True).mae)


def test_group_effect_has_the_sign_of_affected_minus_reference(rng):
    groups = ['HC'] * 10 + ['responder'] * 10 + ['resistant'] * 10
    planted = np.repeat([0.0, 0.0, -0.5], 10)
    effect = group_effect('t', 'mm', groups, planted, planted + 0.1 * rng.standard_normal(30))
    assert effect.planted == -0.5
    assert effect.low < -0.5 < effect.high < 0
    assert effect.verdict == 'found; planted value inside the interval'


@pytest.mark.parametrize(
    ('low', 'high', 'words'),
    [
        (-1.0, 1.0, 'not significant; planted value inside the interval'),
        (0.2, 0.4, 'found; planted value outside the interval'),
        (math.nan, math.nan, 'not to be told from fewer than two people with a value in a group'),
    ],
)
def test_verdict(low, high, words):
    assert GroupEffect('x', '', 0.5, 0.3, low, high).verdict == words


def test_truth_is_needed(tmp_path):
    with pytest.raises(MissingInputError, match='was not made by bids_acc-demo'):
        read_truth(tmp_path)
    (tmp_path / 'code').mkdir()
    (tmp_path / 'code' / 'truth.json').write_text('{')
    with pytest.raises(InputDataError, match='no JSON'):
        read_truth(tmp_path)


def test_results_that_are_not_there_are_named_not_invented(tmp_path):
    (tmp_path / 'bids' / 'code').mkdir(parents=True)
    (tmp_path / 'bids' / 'code' / 'truth.json').write_text(json.dumps({'visits': []}))
    (tmp_path / 'out').mkdir()
    recoveries, effects, notes = score(tmp_path / 'out', tmp_path / 'bids')
    assert (recoveries, effects) == ([], [])
    assert any('thickness' in note for note in notes)
    assert 'Not compared' in format_score(recoveries, effects, notes)


PLACE = ['hemisphere', 'vertex']


@pytest.fixture
def perfect_parcels(tmp_path):
    """Parcels that are the planted parts, with exactly the planted group means."""
    template = load_template()
    rows = []
    for side in ('L', 'R'):
        inside = np.flatnonzero(pattern_weights(template[side].white).max(axis=1) > 0.3)
        parts = pattern_weights(template[side].white[inside]).argmax(axis=1)
        rows += [(side, v, k + 1) for v, k in zip(inside, parts, strict=True)]
    index = pd.DataFrame(rows, columns=['hemisphere', 'vertex', 'component'])
    points = np.array([template[h].white[v] for h, v, _ in rows])
    visits, values = [], []
    for number, group in enumerate(GROUPS * 3):
        label = f'sub-{number:02d}'
        loadings = np.array(THICKNESS_EFFECT_MM[group])
        visits.append({
            'participant_id': label, 'session_id': None, 'group': group,
            'md_change': {'rise': MD_RISE[group], 'loadings': [0.0] * 4},
            'thickness': pd.Series(
                2.8 + pattern_weights(points) @ loadings, pd.MultiIndex.from_frame(index[PLACE])
            ),
        })  # fmt: skip
        for component in range(1, 5):
            part = index[index['component'] == component]
            there = visits[-1]['thickness'].reindex(pd.MultiIndex.from_frame(part[PLACE]))
            found = there.mean() + 1e-3 * (number % 2)
            values.append((label, None, 'all', component, 'thickness', found, len(part)))
    folder = tmp_path / 'group' / 'parcels-1' / 'opnmf'
    folder.mkdir(parents=True)
    index.to_csv(folder / 'vertexindex.tsv', sep='\t', index_label='row')
    people = ['participant_id', 'session_id', 'cohort']
    columns = [*people, 'component', 'metric', 'value', 'n_vertices']
    pd.DataFrame(values, columns=columns).to_csv(
        folder / 'parcels.tsv', sep='\t', index=False, na_rep='n/a'
    )
    groups = {g: {'thickness_mm': THICKNESS_EFFECT_MM[g], 'md_rise': MD_RISE[g]} for g in GROUPS}
    return tmp_path, {'groups': groups, 'visits': visits, 'gm_md_mm2_per_s': 8e-4}


def with_report(out, truth, comparisons):
    """Write MD as planted, ages in the order of the visits, and the report's comparisons."""
    visits = pd.DataFrame(truth['visits'])
    path = out / 'group' / 'parcels-1' / 'opnmf' / 'parcels.tsv'
    table = pd.read_csv(path, sep='\t')
    rises = dict(zip(visits['participant_id'], visits['md_change'], strict=True))
    md = [8e-4 * (1 + rises[p]['rise']) for p in table['participant_id']]
    pd.concat([table, table.assign(metric='md', value=md)]).to_csv(
        path, sep='\t', index=False, na_rep='n/a'
    )
    people = visits[['participant_id', 'group']].assign(age=range(len(visits)))
    people.to_csv(out / 'participants.tsv', sep='\t', index=False)
    (out / 'group' / 'model-m' / 'stats').mkdir(parents=True)
    pd.DataFrame(comparisons).to_csv(
        out / 'group' / 'model-m' / 'stats' / 'posthoc.tsv', sep='\t', index=False
    )


def test_the_interval_of_the_group_report_is_read_whichever_way_it_is_subtracted(perfect_parcels):
    out, truth = perfect_parcels
    with_report(out, truth, {
        'analysis': ['posthoc', 'posthoc', 'posthoc_plain', 'posthoc'],
        'metric': ['md', 'md', 'md', 'thickness'],
        'component': [1, 2, 1, 1],
        'contrast': ['resistant - HC', 'HC - resistant', 'resistant - HC', 'resistant - HC'],
        'estimate': [7.6e-5, -5e-5, 1.0, -0.3], 'se': [4e-6, 4e-6, 1.0, 0.1], 'df2': [6, 6, 6, 6],
        'formula': ['md_c1 ~ group', 'md_c2 ~ group', 'md_c1 ~ group', 'thickness_c1 ~ group'],
    })  # fmt: skip
    _, effects, remarks = score_report(out, truth)
    assert [e.name for e in effects] == [
        'md, parcel 1, group report',
        'md, parcel 2, group report',
    ]
    assert [e.planted for e in effects] == pytest.approx([10.0, 10.0])
    assert [e.measured for e in effects] == pytest.approx([9.5, 6.25])
    assert effects[0].high - effects[0].measured == pytest.approx(0.5 * 2.447, rel=1e-3)
    assert remarks[-1] == 'group report: 1 of 2 intervals of MD hold what was planted'
    assert remarks[0] == 'the group report does not compare MD of parcel 3'


def test_what_was_planted_is_adjusted_as_the_report_adjusts(perfect_parcels):
    out, truth = perfect_parcels
    for age, visit in enumerate(truth['visits']):  # the affected are two years older
        visit['md_change']['rise'] += 0.01 * age
    with_report(out, truth, {
        'analysis': ['posthoc'] * 2, 'metric': ['md'] * 2, 'component': [1, 2],
        'contrast': ['resistant - HC'] * 2, 'estimate': [8e-5] * 2, 'se': [1e-6] * 2,
        'df2': [5] * 2, 'formula': ['md_c1 ~ group', 'md_c2 ~ group + age'],
    })  # fmt: skip
    _, effects, _ = score_report(out, truth)
    assert [e.planted for e in effects] == pytest.approx([12.0, 10.0])


def test_a_group_report_without_comparisons_says_why(perfect_parcels):
    out, truth = perfect_parcels
    stats = out / 'group' / 'model-m' / 'stats'
    stats.mkdir(parents=True)
    cells = {'analysis': ['posthoc'], 'metric': ['n/a'], 'note': ['not done: no response is low']}
    pd.DataFrame(cells).to_csv(
        out / 'group' / 'model-m' / 'stats' / 'posthoc.tsv', sep='\t', index=False
    )
    assert score_report(out, truth) == (
        [],
        [],
        ['the group report compares no pair of groups in MD (not done: no response is low)'],
    )


def test_perfect_parcels_score_perfectly(perfect_parcels):
    _, effects, remarks = score_parcels(*perfect_parcels)
    (effect,) = effects
    assert effect.name == 'thickness, parcel 2'
    assert effect.measured == pytest.approx(effect.planted, abs=2e-3)
    assert effect.planted < -0.25
    assert effect.verdict == 'found; planted value inside the interval'
    assert remarks == [
        '4 parcels (4 parts planted); adjusted Rand index of parcels and parts 1.00'
    ]


def test_thickness_is_compared_with_the_true_one_at_the_same_vertices(monkeypatch, rng):
    vertices = np.arange(0, 4000, 7)
    places = pd.MultiIndex.from_product([['L', 'R'], vertices], names=PLACE)
    true = 2.8 + 0.3 * rng.standard_normal((3, len(places)))
    measured = true + 0.2
    measured[:, 0] = np.nan
    visits = [
        {'participant_id': f'sub-{n}', 'session_id': None, 'group': group,
         'thickness': pd.Series(row, places).iloc[:-1]}  # the last one lies outside the region
        for n, (group, row) in enumerate(zip(GROUPS, true, strict=True))
    ]  # fmt: skip
    maps = VertexMetrics(
        values=measured[None, ::-1],
        metrics=('thickness',),
        sessions=pd.DataFrame(
            {'participant_id': ['sub-2', 'sub-1', 'sub-0'], 'session_id': [None] * 3}
        ),
        columns=places.to_frame(index=False),
    )
    monkeypatch.setattr('bids_acc.demo.score.gather_vertex_metrics', lambda *_: maps)
    (parts, everywhere), (effect,) = score_thickness(Path(), {'visits': visits})
    assert (parts.n, everywhere.n) == (12, 3 * (len(places) - 2))
    for found in (parts, everywhere):
        assert found.bias == pytest.approx(0.2)
        assert found.mae == pytest.approx(0, abs=1e-9)
        assert (found.slope, found.r) == pytest.approx((1, 1))
    assert effect.name == 'thickness, pregenual'


def test_a_data_set_without_true_thickness_is_refused(tmp_path):
    (tmp_path / 'code').mkdir()
    visit = {'participant_id': 'sub-01', 'session_id': None}
    (tmp_path / 'code' / 'truth.json').write_text(json.dumps({'visits': [visit]}))
    with pytest.raises(MissingInputError, match='earlier bids_acc-demo'):
        read_truth(tmp_path)


def write_function(folder: Path, subject: str, z: float, gate: str) -> None:
    """Write what the score reads of one person's function."""
    place = folder / f'sub-{subject}' / 'func'
    place.mkdir(parents=True)
    stem = f'sub-{subject}_task-rest'
    (place / f'{stem}_desc-markers_bold.tsv').write_text(f'marker\tz\nsgACC_DMN\t{z}\n')
    (place / f'{stem}_desc-qualitycontrol_bold.tsv').write_text(f'fd_mean\tgate\n0.1\t{gate}\n')


def test_function_is_compared_where_the_gate_let_it_pass(tmp_path):
    visits = []
    for number in range(9):
        group = GROUPS[number % 3]
        planted = 0.2 + 0.4 * (group == 'resistant') + 0.01 * number
        moves = number == 8
        visits.append({
            'participant_id': f'sub-{number}', 'session_id': None, 'group': group,
            'sgacc_dmn_z': 2 * planted, 'sgacc_dmn_expected_z': planted,
            'mean_fd_mm': 0.9 if moves else 0.1,
        })  # fmt: skip
        write_function(tmp_path, str(number), 0.7 * planted, 'fail' if moves else 'pass')
    (recovery,), (effect,), (remark, noise) = score_function(tmp_path, {'visits': visits})
    assert recovery.n == 8
    assert recovery.r == pytest.approx(1)
    assert recovery.slope == pytest.approx(0.7)
    assert effect.measured == pytest.approx(0.7 * effect.planted, abs=0.03)
    assert remark.count('sub-8') == 2
    assert f'differ by {2 * effect.planted:.3f};' in noise
    assert f'leave {effect.planted:.3f} of it' in noise


def test_without_function_nothing_is_said_of_it(tmp_path):
    assert score_function(tmp_path, {'visits': []}) == ([], [], [])
