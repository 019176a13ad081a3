"""The folder of two sites: numbers of the study, planted values in the files, an honest score."""

from __future__ import annotations

import json
import shutil
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from bids_acc.demo.cli import main
from bids_acc.demo.output_folder import TRUE_PARTS, TRUE_VALUES, CohortOptions, write_output_folder
from bids_acc.demo.output_score import format_cohort_score, score_cohort
from bids_acc.demo.planted_maps import SCALES, plant_maps
from bids_acc.demo.planted_spectra import plant_spectra
from bids_acc.demo.two_sites import N_PUBLISHED, SITES, draw_people
from bids_acc.derivatives.outputs import find_outputs, output_path
from bids_acc.exceptions import ExitCode
from bids_acc.group.cohort.reading import load_cohort, plan_group, read_mrs, sessions_on_disk
from bids_acc.group.cohort.vertexmaps import gather_vertex_metrics
from bids_acc.participant.folders import check_group_folder
from bids_acc.tables.reading import read_tsv

N = 14
PARCELS = 'group/parcels-a'


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp('cohort') / 'out'
    write_output_folder(root, CohortOptions(n_people=N, density='10k'), lambda _: None)
    return root


def test_people_and_lost_spectra_are_those_of_the_study():
    people = draw_people(N_PUBLISHED, seed=5)
    counts = Counter((p.site.name, p.group) for p in people)
    assert counts == {(s.name, g): n for s in SITES for g, n in s.counts.items()}
    lost = Counter((p.site.name, p.group) for p in people if p.lost_spectrum)
    assert lost == {('Tokyo', 'HC'): 1, ('Tokyo', 'FL-Resp'): 4, ('Tokyo', 'TRS'): 3}
    spectra = plant_spectra(people, np.zeros(len(people)), seed=5)
    verdicts = [table['gate'].iloc[0] == 'fail' for table in spectra.quality]
    assert verdicts == [p.lost_spectrum for p in people]


def test_every_beginning_of_the_list_is_mixed_as_the_whole():
    people = draw_people(N_PUBLISHED, seed=1)[:38]
    share = sum(p.site.name == 'Tokyo' for p in people) / 38
    assert share == pytest.approx(73 / 152, abs=0.05)
    assert {p.group for p in people} == {'HC', 'FL-Resp', 'CLZ-Resp', 'TRS', 'URS'}


def test_groups_differ_by_what_is_planted_and_nowhere_else():
    people = draw_people(2000, seed=2)
    planted = plant_maps(people, seed=2, density='10k')
    site = np.array([p.site.name for p in people])
    group = np.array([p.group for p in people])
    for metric in SCALES:
        values = planted.values[metric] / planted.part_sd[metric]
        own = values[(site == 'Tokyo') & (group == 'TRS')].mean(axis=0)
        controls = values[(site == 'Tokyo') & (group == 'HC')].mean(axis=0)
        wanted = SITES[0].differences.get(metric, {}).get('TRS', (0, 0, 0, 0))
        assert own - controls == pytest.approx(np.array(wanted, dtype=float), abs=0.3)


def test_maps_hold_each_persons_values(folder):
    parts = read_tsv(folder / TRUE_PARTS)
    values = read_tsv(folder / TRUE_VALUES).set_index('participant_id')
    data = gather_vertex_metrics(folder)
    pd.testing.assert_frame_equal(
        data.columns.astype({'vertex': np.int64}), parts[['hemisphere', 'vertex']]
    )
    core = (parts[['weight_2']].to_numpy() > 0.999).ravel()
    for number, metric in enumerate(data.metrics):
        measured = data.values[number][:, core].mean(axis=1)
        true = values.loc[data.sessions['participant_id'], f'{metric}_2'].to_numpy()
        assert np.corrcoef(measured, true)[0, 1] > 0.8


def test_the_group_level_finds_everybody_and_every_table(folder):
    plan = plan_group(folder)
    assert len(plan) == 3 * N
    assert {row['status'] for row in plan} <= {'run', 'exclude'}
    cohort = load_cohort(folder, plan)
    assert len(cohort.participants) == N
    levels = read_mrs(folder, sessions_on_disk(folder))
    water = levels[levels['unit_scheme'] == 'water_tissue'].set_index(['participant_id'])
    glx = water[water['metabolite'] == 'Glx']['value']
    parts = [water[water['metabolite'] == name]['value'] for name in ('Glu', 'Gln')]
    assert glx.to_numpy() == pytest.approx((parts[0] + parts[1]).to_numpy(), rel=1e-4)


def test_the_command_takes_the_folder_for_one_of_ours(folder):
    check_group_folder(folder)


def test_the_same_seed_writes_the_same_bytes_and_another_one_others(folder, tmp_path):
    for seed in (1, 2):
        options = CohortOptions(n_people=N, seed=seed, density='10k')
        write_output_folder(tmp_path / str(seed), options, lambda _: None)
    names = sorted(p.relative_to(folder) for p in folder.rglob('*') if p.is_file())
    same = [(folder / n).read_bytes() == (tmp_path / '1' / n).read_bytes() for n in names]
    assert all(same)
    other = tmp_path / '2' / TRUE_VALUES
    assert other.read_bytes() != (folder / TRUE_VALUES).read_bytes()


def _pretend_results(folder, shift: float):
    """Write the group level's tables as a perfect analysis would, off by a shift."""
    parts = read_tsv(folder / TRUE_PARTS)
    values = read_tsv(folder / TRUE_VALUES).merge(read_tsv(folder / 'participants.tsv'))
    tokyo = values[values['cohort'] == 'Tokyo']
    mean = tokyo.groupby('group')['thickness_2'].mean()
    for cohort in ('Tokyo', 'Toronto'):
        index = parts[['hemisphere', 'vertex']].assign(component=parts['part'])
        path = output_path('group_vertexindex', folder / PARCELS, {'cohort': cohort})
        path.parent.mkdir(parents=True, exist_ok=True)
        index.to_csv(path, sep='\t', index=False)
    stats = folder / 'group' / 'model-acc-structure' / 'stats'
    stats.mkdir(parents=True, exist_ok=True)
    (stats.parent / 'provenance.json').write_text(json.dumps({'ParcelsFolder': 'parcels-a'}))
    row = {
        'analysis': 'posthoc', 'cohort': 'Tokyo', 'response': 'thickness_c2',
        'metric': 'thickness', 'component': 2,
        'contrast': 'TRS - HC', 'formula': 'thickness_c2 ~ group', 'df2': 68,
        'estimate': mean['TRS'] - mean['HC'] + shift, 'se': 0.07, 'value': -4,
    }  # fmt: skip
    pd.DataFrame([row]).to_csv(stats / 'posthoc.tsv', sep='\t', index=False)
    tests = [
        {'analysis': 'ancova', 'cohort': 'Tokyo', 'response': f'area_c{k}', 'metric': 'area',
         'component': k, 'term': 'group', 'p_unc': p}
        for k, p in ((1, 0.01), (2, 0.5), (3, 0.7), (4, 0.9))
    ]  # fmt: skip
    pd.DataFrame(tests).to_csv(stats / 'ancova.tsv', sep='\t', index=False)


@pytest.mark.parametrize(('shift', 'inside'), [(0.0, True), (0.3, False)])
def test_score_tells_a_right_report_from_a_wrong_one(folder, tmp_path, shift, inside):
    copy = tmp_path / 'out'
    shutil.copytree(folder, copy)
    _pretend_results(copy, shift)
    score = score_cohort(copy)
    assert score.agreement == {'Tokyo': 1.0, 'Toronto': 1.0}
    assert [e.inside for e in score.effects] == [inside]
    assert len(score.unplanted) == 4
    text = format_cohort_score(score)
    assert ('DOES NOT HOLD' in text) is not inside
    assert '1 of 4 tests with p < 0.05' in text


def test_parcels_that_cut_across_the_parts_score_low(folder, tmp_path):
    copy = tmp_path / 'out'
    shutil.copytree(folder, copy)
    _pretend_results(copy, 0.0)
    for item in find_outputs('group_vertexindex', copy / PARCELS):
        table = read_tsv(item.path)
        table['component'] = np.arange(len(table)) % 4 + 1
        table.to_csv(item.path, sep='\t', index=False)
    assert max(score_cohort(copy).agreement.values()) < 0.05


def test_score_before_the_group_level_says_what_to_run(folder, capsys):
    assert main(['--score', str(folder)]) == ExitCode.NO_INPUT
    assert 'group --model acc-structure' in capsys.readouterr().err


def test_score_of_a_folder_without_truth_says_what_is_missing(tmp_path, capsys):
    assert main(['--score', str(tmp_path)]) == ExitCode.USAGE
    assert 'bids_acc-demo --score OUTPUT_DIR DIR' in capsys.readouterr().err


def test_command_writes_once_and_refuses_what_it_would_ignore(tmp_path, capsys):
    few = ['--cohort', str(tmp_path / 'a'), '--n-people', '3', '--density', '10k']
    assert main(few) == ExitCode.OK
    assert 'group --model acc-structure' in capsys.readouterr().out
    assert main(few) == ExitCode.OK
    assert 'already there' in capsys.readouterr().out
    assert main([*few, '--seed', '2']) == ExitCode.CANNOT_WRITE
    assert main([*few, '--sessions']) == ExitCode.USAGE
    assert '--sessions' in capsys.readouterr().err
    assert main(['--cohort', str(tmp_path / 'b'), '--n-people', '0']) == ExitCode.USAGE
    assert json.loads((tmp_path / 'a' / 'dataset_description.json').read_text())['GeneratedBy']


def test_more_people_than_published_have_names_and_numbers_of_their_own():
    people = draw_people(1200, seed=1)
    assert len({p.label for p in people}) == 1200
