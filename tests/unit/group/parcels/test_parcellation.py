"""Parcels: found, compared, measured, written, read back."""

from __future__ import annotations

import json

import nibabel as nb
import numpy as np
import pandas as pd
import pytest

from bids_acc.exceptions import GridMismatchError, InputDataError, MissingInputError
from bids_acc.group.opnmf.agreement import adjusted_rand
from bids_acc.group.opnmf.rank import SelectionOptions
from bids_acc.group.opnmf.simulate import CohortDesign, planted_cohort
from bids_acc.group.parcels.atlas import apply_atlas
from bids_acc.group.parcels.files import read_atlas, write_parcellation
from bids_acc.group.parcels.measures import in_order_of, parcel_table
from bids_acc.group.parcels.parcellation import (
    ParcellationOptions,
    memory_estimate_gb,
    run_parcellation,
)

OPTIONS = ParcellationOptions(
    selection=SelectionOptions(ks=(3, 4, 5), n_splits=2, n_null=0),
    n_bootstrap=4, n_null=49, cohort='site',
)  # fmt: skip


@pytest.fixture(scope='module')
def cohort():
    design = CohortDesign(n_subjects=48)
    return planted_cohort(design, np.random.default_rng(3), level=4, region_size=120)


@pytest.fixture(scope='module')
def participants(cohort):
    return cohort.participants.assign(site=['Tokyo', 'Toron to'] * 24)


@pytest.fixture(scope='module')
def result(cohort, participants):
    return run_parcellation(cohort.data, participants, OPTIONS)


def test_both_cohorts_find_the_planted_parcels(result, cohort):
    assert list(result.parcellations) == ['Tokyo', 'Toronto']
    assert result.choice.k == 4
    for one in result.parcellations.values():
        assert adjusted_rand(one.labels, cohort.labels) > 0.7
        assert one.facts['converged']
        assert one.confidence is not None
        assert 0.7 < one.confidence.mean() <= 1


def test_components_of_cohorts_carry_the_same_numbers(result):
    pairs = result.agreement
    assert (pairs['component_a'] == pairs['component_b']).all()
    assert (pairs['dice'] > 0.7).all()
    assert pairs['null'].eq('contiguous').all()
    assert pairs['p'].max() <= 0.04


def test_every_session_is_measured_in_its_own_cohorts_parcels(result, cohort):
    table = result.table
    assert len(table) == 48 * 4 * 4
    assert list(table) == [
        'participant_id', 'session_id', 'cohort', 'component', 'metric', 'value', 'n_vertices',
    ]  # fmt: skip
    one = result.parcellations['Toronto']
    inside = one.labels == 1
    maps = cohort.data.values[:, 1]
    row = table.query("participant_id == 'sub-002' and component == 2").set_index('metric')
    assert row.loc['fa', 'value'] == pytest.approx(maps[2, inside].mean())
    assert row.loc['area', 'value'] == pytest.approx(maps[1, inside].sum())
    assert (row['cohort'] == 'Toronto').all()


def test_missing_vertices_are_left_out_and_half_a_parcel_is_no_value(cohort):
    data = cohort.data.take([0, 1])
    labels = np.zeros(len(data.columns), dtype=np.int64)
    values = data.values.copy()
    values[:, 0, : len(labels) // 4] = np.nan
    values[:, 1, : 3 * len(labels) // 4] = np.nan
    from dataclasses import replace

    table = parcel_table(replace(data, values=values), labels, data.columns)
    area = table[table['metric'] == 'area']['value'].to_numpy()
    assert area[0] == pytest.approx(np.nanmean(values[1, 0]) * len(labels))
    assert np.isnan(area[1])
    assert table['n_vertices'].tolist()[:2] == [180, 60]


def test_numbers_follow_the_partner_also_when_one_has_more(result):
    one = result.parcellations['Tokyo']
    order = [2, 0, 3, 1]
    shuffled = type(one)(
        'x', one.W[:, order], np.argsort(order)[one.labels], one.columns, one.facts
    )
    np.testing.assert_array_equal(in_order_of(one, shuffled).labels, one.labels)


def test_files_say_what_the_arrays_say_and_are_the_same_bytes(result, tmp_path):
    for folder in ('a', 'b'):
        write_parcellation(result, OPTIONS, tmp_path / folder)
    first = {p.relative_to(tmp_path / 'a'): p.read_bytes() for p in (tmp_path / 'a').rglob('*.*')}
    for name, content in first.items():
        assert (tmp_path / 'b' / name).read_bytes() == content, name
    out = tmp_path / 'a'
    stem = 'tpl-fsaverage_cohort-Tokyo_hemi-R_atlas-ACCOPNMF_scale-4_den-2562'
    folder = out / 'tpl-fsaverage' / 'cohort-Tokyo' / 'anat'
    keys = nb.load(folder / f'{stem}_dseg.label.gii').darrays[0].data
    one = result.parcellations['Tokyo']
    right = (one.columns['hemisphere'] == 'R').to_numpy()
    np.testing.assert_array_equal(keys[one.columns['vertex'][right]], one.labels[right] + 1)
    assert (keys > 0).sum() == right.sum()
    weights = nb.load(folder / f'{stem}_probseg.shape.gii')
    assert len(weights.darrays) == 4
    names = pd.read_csv(folder / f'{stem}_dseg.tsv', sep='\t')
    assert names['n_vertices'].sum() == right.sum()
    with np.load(out / 'opnmf/cohort-Tokyo_model_W.npz') as model:
        np.testing.assert_array_equal(model['W'], one.W)
    index = pd.read_csv(out / 'opnmf/cohort-Tokyo_vertexindex.tsv', sep='\t')
    np.testing.assert_array_equal(index['component'], one.labels + 1)
    np.testing.assert_array_equal(index['component_by_weight'], one.W.argmax(axis=1) + 1)
    assert one.facts['label_rule'] == 'variation'
    choice = json.loads((out / 'opnmf/rankchoice.json').read_text())
    assert choice['NumberOfComponents'] == 4
    assert choice['Trace']
    assert choice['Options']['selection']['label_rule'] == 'variation'
    selection = pd.read_csv(out / 'opnmf/cohort-Tokyo_rankselection.tsv', sep='\t')
    assert {'k', 'split', 'stability', 'recon_error', 'gradient', 'n_iter', 'converged'} <= set(
        selection
    )
    assert (out / 'opnmf/crosscohort_ari.tsv').exists()
    atlas = json.loads((out / 'atlas-ACCOPNMF_description.json').read_text())
    assert atlas['SampleSize'] == 48
    assert {'Name', 'License', 'BIDSVersion', 'ReferencesAndLinks', 'Description'} <= set(atlas)
    write_parcellation(result, OPTIONS, tmp_path / 'c', {'Authors': ['A'], 'License': 'CC0'})
    atlas = json.loads((tmp_path / 'c' / 'atlas-ACCOPNMF_description.json').read_text())
    assert (atlas['Authors'], atlas['License']) == (['A'], 'CC0')


def test_columns_of_every_table_are_described(result, tmp_path):
    write_parcellation(result, OPTIONS, tmp_path)
    for path in (tmp_path / 'group').rglob('*.tsv'):
        described = json.loads(path.with_suffix('.json').read_text())
        missing = set(pd.read_csv(path, sep='\t').columns) - set(described)
        assert missing <= {
            'matched_cosine', 'ari', 'out_of_half_error', 'relative_error', 'n_undefined'
        }, path.name  # fmt: skip


def test_an_existing_atlas_gives_the_same_parcels(result, cohort, tmp_path):
    write_parcellation(result, OPTIONS, tmp_path / 'old')
    folder = tmp_path / 'old' / 'tpl-fsaverage' / 'cohort-Tokyo'
    applied = apply_atlas(folder, cohort.data, tmp_path / 'new')
    np.testing.assert_array_equal(
        applied.parcellations[''].labels, result.parcellations['Tokyo'].labels
    )
    assert applied.choice.source == 'atlas'
    assert len(applied.table) == 48 * 4 * 4
    one_file = next(folder.rglob('*hemi-L*.label.gii'))
    assert (read_atlas(one_file, cohort.data).labels >= 0).all()


def test_atlases_that_do_not_fit_are_refused(result, cohort, tmp_path):
    with pytest.raises(MissingInputError, match='no file'):
        read_atlas(tmp_path, cohort.data)
    write_parcellation(result, OPTIONS, tmp_path)
    with pytest.raises(InputDataError, match='several label files'):
        read_atlas(tmp_path, cohort.data)
    from dataclasses import replace

    other = replace(cohort.data, mesh_sizes=(10, 10))
    with pytest.raises(GridMismatchError, match='2562 vertices'):
        read_atlas(tmp_path / 'tpl-fsaverage' / 'cohort-Tokyo', other)


def test_hemispheres_apart(cohort):
    options = ParcellationOptions(
        selection=SelectionOptions(ks=(3, 4), n_splits=2, n_null=0),
        hemispheres='apart', n_bootstrap=2, n_components=4,
    )  # fmt: skip
    found = run_parcellation(cohort.data, cohort.participants, options)
    one = found.parcellations['']
    left = (one.columns['hemisphere'] == 'L').to_numpy()
    assert set(one.labels[left]) == {0, 1, 2, 3}
    assert set(one.labels[~left]) == {4, 5, 6, 7}
    assert set(found.curves) == {'L', 'R'}
    assert found.choice.source == 'override'
    assert found.agreement.empty


def test_published_labels_are_those_of_the_largest_weight(cohort):
    options = ParcellationOptions(
        selection=SelectionOptions(ks=(3, 4), n_splits=2, n_null=0, label_rule='weight'),
        n_bootstrap=2, n_components=4,
    )  # fmt: skip
    one = run_parcellation(cohort.data, cohort.participants, options).parcellations['']
    np.testing.assert_array_equal(one.labels, one.W.argmax(axis=1))
    assert one.facts['ari_with_largest_weight'] == 1
    assert one.bootstrap_ari is not None
    assert (one.bootstrap_ari > 0.5).all()


def test_what_did_not_converge_is_said(cohort):
    options = ParcellationOptions(
        selection=SelectionOptions(ks=(3, 4), n_splits=2, n_null=0, max_iter=3),
        n_bootstrap=0, n_components=4,
    )  # fmt: skip
    found = run_parcellation(cohort.data, cohort.participants, options)
    assert found.parcellations[''].facts['converged'] is False
    assert 'Splits with a factorization that did not converge: k = 3: 100%, k = 4: 100%.' in (
        found.notes
    )
    assert any('did NOT converge (residual' in note for note in found.notes)
    assert any('by largest weight would agree' in note for note in found.notes)


def test_three_subjects_are_parcellated_but_nothing_is_claimed(cohort):
    found = run_parcellation(cohort.data.take([0, 1, 2]))
    assert (found.choice.source, found.choice.stable) == ('default', False)
    assert found.parcellations[''].confidence is None
    assert any('cannot be split' in note for note in found.notes)


def test_second_visits_are_measured_but_do_not_shape_parcels(cohort):
    from dataclasses import replace

    sessions = cohort.data.sessions.copy()
    sessions['session_id'] = 'ses-1'
    sessions.loc[24:, 'participant_id'] = sessions['participant_id'][:24].to_numpy()
    sessions.loc[24:, 'session_id'] = 'ses-2'
    data = replace(cohort.data, sessions=sessions)
    options = ParcellationOptions(selection=OPTIONS.selection, n_bootstrap=0)
    found = run_parcellation(data, None, options)
    assert len(found.matrices[''].rows) == 24 * 4
    assert set(found.matrices[''].rows['session_id']) == {'ses-1'}
    assert len(found.table) == 48 * 4 * found.choice.k


def test_unknown_cohort_column(cohort):
    with pytest.raises(InputDataError, match="no column 'nowhere'"):
        run_parcellation(cohort.data, None, ParcellationOptions(cohort='nowhere'))


def test_memory_is_stated_in_advance(cohort):
    one, eight = (memory_estimate_gb(cohort.data, OPTIONS, n) for n in (1, 8))
    assert 0.2 < one < eight
