"""Function at the group level: motion before results, markers as responses, gates."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bids_acc.cli.run import main
from bids_acc.derivatives.outputs import find_outputs
from bids_acc.group.cohort.reading import has_function, plan_group
from bids_acc.group.formulas.linear import anova
from bids_acc.group.formulas.motion_relation import motion_relation, network_difference
from bids_acc.group.function.run import read_matrices, relation_words
from bids_acc.group.measures.region_tables import read_regions
from bids_acc.group.statistics.model.declaration import read_model
from tests.synthetic.function_cohort import MARKERS, write_cohort


def test_unrelated_edges_follow_motion_as_chance_has_it(rng):
    edges, motion = rng.standard_normal((40, 5000)), rng.gamma(4, 0.05, 40)
    found = motion_relation(edges, motion, rng.uniform(10, 150, 5000))
    assert found.share == pytest.approx(0.05, abs=0.01)
    assert found.median == pytest.approx(found.chance, abs=0.01)
    assert abs(found.distance) < 0.06
    assert found.n == 40


def test_each_edge_has_pearsons_r_of_those_who_have_it(rng):
    edges, motion = rng.standard_normal((30, 3)), rng.uniform(0, 1, 30)
    edges[:5, 1] = np.nan
    edges[:25, 2] = np.nan
    motion[29] = np.nan
    found = motion_relation(edges, motion, [10.0, 20, 30])
    assert found.r[0] == pytest.approx(stats.pearsonr(edges[:29, 0], motion[:29]).statistic)
    assert found.r[1] == pytest.approx(stats.pearsonr(edges[5:29, 1], motion[5:29]).statistic)
    assert np.isnan(found.r[2])


def test_motion_that_spares_far_regions_shows_in_the_slope(rng):
    motion, distances = rng.gamma(4, 0.05, 60), rng.uniform(10, 150, 800)
    edges = rng.standard_normal((60, 800)) + 8 * motion[:, None] * (1 - distances / 100)
    found = motion_relation(edges, motion, distances)
    assert found.distance < -0.5
    assert found.share > 0.15


def test_what_cannot_be_related_to_motion_is_said_without_numbers(rng):
    motion, edges = rng.gamma(2, 0.1, 20), rng.standard_normal((20, 30))
    known = motion_relation(edges, motion, np.full(30, np.nan))
    assert 'distance' not in relation_words(known)
    assert 'of 30 edges are related' in relation_words(known)
    none = motion_relation(np.full((20, 30), np.nan), motion, np.ones(30))
    assert 'no edge is known' in relation_words(none)
    assert 'nan' not in relation_words(none)


def test_rounding_of_equal_values_is_no_relation(rng):
    edges = rng.standard_normal((20, 30))
    edges[:, 4] = 0.1
    assert np.isnan(motion_relation(edges, rng.gamma(2, 0.1, 20), np.arange(30)).r[4])
    assert np.isnan(motion_relation(edges, np.full(20, 0.1), np.arange(30)).r).all()


def test_differences_by_network(rng):
    first, second = (rng.standard_normal((20, 6, 6)) for _ in range(2))
    first[:, :3, 3:] += 2
    first[0, 0, 3] = np.nan
    found = network_difference(first, second, [0, 0, 0, 1, 1, -1], 2)
    assert found[0, 1] == pytest.approx(2, abs=0.4)
    assert abs(found[1, 0]) < 0.4
    assert abs(found[0, 0]) < 0.4


@pytest.fixture(scope='module')
def cohort(tmp_path_factory):
    root = tmp_path_factory.mktemp('cohort') / 'out'
    people = write_cohort(root, np.random.default_rng(5), n_per_group=10, effect=3.0)
    bad = find_outputs('func_qc', root, subject='001')[0].path
    table = pd.read_csv(bad, sep='\t')
    table.assign(fd_mean=0.9, gate='fail').to_csv(bad, sep='\t', index=False, na_rep='n/a')
    return root, people


def test_markers_and_parcels_are_regions_of_the_table_of_measures(cohort):
    found = read_regions(cohort[0])
    assert set(found['metric']) == {'fc', 'reho', 'alff', 'falff'}
    own = found[(found['metric'] == 'fc') & (found['participant_id'] == 'sub-002')]
    assert set(own['region']) == set(MARKERS)
    assert set(own['hemisphere']) == {'both'}
    assert set(found['modality']) == {'func'}


def test_matrices_of_those_who_are_wanted(cohort):
    found = read_matrices(cohort[0], None, {'sub-002', 'sub-003'})
    matrices, regions = found.by_person, found.regions
    assert not found.others
    assert sorted(matrices) == ['sub-002', 'sub-003']
    assert matrices['sub-002'].shape == (len(regions),) * 2
    assert np.isnan(np.diag(matrices['sub-002'])).all()


def test_people_with_other_regions_of_the_same_names_are_left_out(cohort, tmp_path):
    """Schaefer's parcels are called alike whatever their number."""
    root = shutil.copytree(cohort[0], tmp_path / 'out')
    path = find_outputs('func_regions', root, subject='001')[0].path
    table = pd.read_csv(path, sep='\t').assign(kind='atlas', source='4S256Parcels')
    table.to_csv(path, sep='\t', index=False, na_rep='n/a')
    found = read_matrices(root, None, {'sub-001', 'sub-002', 'sub-003'})
    assert sorted(found.by_person) == ['sub-002', 'sub-003']
    assert 'of 1 person (sub-001) is of other regions (30 regions of 4S256Parcels)' in found.others


def test_rows_of_function_only_where_there_is_some(cohort, tmp_path):
    assert has_function(cohort[0])
    rows = [r for r in plan_group(cohort[0]) if r['modality'] == 'func']
    assert len(rows) == 30
    assert {r['status'] for r in rows} == {'run'}
    (tmp_path / 'sub-01' / 'anat').mkdir(parents=True)
    assert 'func' not in {r['modality'] for r in plan_group(tmp_path)}


@pytest.mark.slow
def test_the_planted_difference_and_the_gate(cohort):
    root, people = cohort
    passed = (people['fd'] <= 0.5) & (people['participant_id'] != 'sub-001')
    assert main([str(root), str(root), 'group', '--model', 'trd-function']) == 0
    folder = root / 'group' / 'model-trd-function'
    ancova = pd.read_csv(folder / 'stats' / 'ancova.tsv', sep='\t')
    own = ancova[ancova['term'] == 'group'].set_index('response')
    assert len(own) == 8 + 8  # markers, and ReHo and fALFF of two labels on two sides
    assert set(own['family_size']) == {16}
    assert own['p_fdr'].idxmin() == 'fc__Seitzman__sgACC_DMN__both'
    assert own['p_fdr'].min() < 0.001
    assert own['covariates'].str.contains('func_fd_mean').all()
    measures = pd.read_csv(folder / 'measures.tsv', sep='\t').set_index('participant_id')
    assert measures['status_func']['sub-001'] == 'excluded'
    assert np.isnan(measures['fc__Seitzman__sgACC_DMN__both']['sub-001'])
    assert np.isfinite(measures['fc__Seitzman__sgACC_DMN__both']['sub-002'])
    assert own['n'].max() == passed.sum()
    qcfc = pd.read_csv(folder / 'qc' / 'func_qcfc.tsv', sep='\t')
    assert qcfc['n'][0] == passed.sum()
    assert qcfc['share_p05'][0] < 0.12
    page = (folder / 'report.html').read_text()
    assert 'edges are related to mean framewise displacement' in page
    holds = json.loads((folder / 'measures.json').read_text())
    assert holds['fc__Seitzman__sgACC_DMN__both']['Holds']['kind'] == 'region'


@pytest.mark.slow
def test_the_planted_change_before_and_after_treatment(tmp_path):
    root = tmp_path / 'out'
    write_cohort(root, np.random.default_rng(6), n_per_group=8, effect=2.5, sessions=('01', '02'))
    assert main([str(root), str(root), 'group', '--model', 'trd-function-prepost']) == 0
    stats_dir = root / 'group' / 'model-trd-function-prepost' / 'stats'
    change = pd.read_csv(stats_dir / 'change.tsv', sep='\t')
    paired = change[change['analysis'] == 'paired change']
    assert len(set(paired['response'])) == 8 + 8
    best = paired.loc[paired['p_corrected'].idxmin()]
    assert best['response'] == 'fc__Seitzman__sgACC_DMN__both'
    assert best['p_corrected'] < 0.05
    assert best['mean_change'] == pytest.approx(-2.5, abs=0.6)  # three SE of eight differences


@pytest.mark.parametrize('name', ['trd-function', 'trd-function-prepost'])
def test_presets_declare_their_families(name):
    model = read_model(name)
    assert model.session_gate('func').name == 'rest'
    assert 'func_fd_mean' in model.covariate_names
    assert model.families['ancova'].over == ('cohort',)


def _simulated(rng, effect, n=20):
    """Return design and response of a cohort in which the resistant move more, and motion adds."""
    group = np.repeat([0, 1, 2], n)
    motion = rng.gamma(4, 0.05, 3 * n) + 0.06 * (group == 2)
    response = rng.standard_normal(3 * n) + 4 * motion + effect * (group == 2)
    contrasts = [(group == k) * 1.0 - (group == 0) for k in (1, 2)]
    design = np.column_stack([np.ones(3 * n), motion - motion.mean(), *contrasts])
    return design, response


def test_type_one_error_and_power_with_motion_as_a_covariate(rng):
    terms = {'fd': [1], 'group': [2, 3]}
    null = [anova(*_simulated(rng, 0.0), terms)[1].p for _ in range(1000)]
    assert np.mean(np.array(null) < 0.05) == pytest.approx(0.05, abs=0.021)  # 3 SE
    without = []
    for _ in range(300):
        design, response = _simulated(rng, 0.0)
        without.append(anova(np.delete(design, 1, axis=1), response, {'group': [1, 2]})[0].p)
    assert np.mean(np.array(without) < 0.05) > 0.06  # motion left out comes out as group
    power = [anova(*_simulated(rng, 1.0), terms)[1].p for _ in range(300)]
    assert np.mean(np.array(power) < 0.05) > 0.75
