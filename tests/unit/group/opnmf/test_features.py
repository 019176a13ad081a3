"""The matrix that is factorized, and the maps it is made of."""

from __future__ import annotations

import re

import nibabel as nb
import numpy as np
import pandas as pd
import pytest

from bids_acc.derivatives.outputs import output_path
from bids_acc.derivatives.records import Record, write_record
from bids_acc.exceptions import InputDataError, MissingInputError
from bids_acc.group.cohort.vertexmaps import gather_beside, gather_vertex_metrics
from bids_acc.group.opnmf.features import (
    VertexMetrics,
    complete_cases,
    feature_matrix,
    mask_unmeasured,
    standardise,
)


def make_metrics(values, metrics=('thickness', 'md')):
    n = values.shape[1]
    return VertexMetrics(
        values=values,
        metrics=tuple(metrics),
        sessions=pd.DataFrame(
            {'participant_id': [f'sub-{i}' for i in range(n)], 'session_id': None}
        ),
        columns=pd.DataFrame(
            {'hemisphere': ['L'] * values.shape[2], 'vertex': np.arange(values.shape[2])}
        ),
        mesh_sizes=(values.shape[2], 0),
    )


@pytest.fixture
def values(rng):
    return np.stack([2.5 + rng.random((5, 40)), 1e-3 * (1 + rng.random((5, 40)))])


def test_no_metric_decides_by_its_unit(values):
    X, means, deviations, shift = standardise(values)
    blocks = X.reshape(2, 5, 40)
    assert X.min() == 0
    np.testing.assert_allclose(blocks.std(axis=(1, 2)), 1)
    np.testing.assert_allclose(blocks.mean(axis=(1, 2)), -shift)
    np.testing.assert_allclose((blocks + shift) * deviations[:, None, None]
                               + means[:, None, None], values)  # fmt: skip
    other_unit = values * np.array([1000.0, 1e6])[:, None, None]
    np.testing.assert_allclose(standardise(other_unit)[0], X, atol=1e-9)


def test_constant_metric_is_refused(values):
    values[1] = 3.0
    with pytest.raises(InputDataError, match='metric number 2 is constant'):
        standardise(values)


def test_halves_know_nothing_of_each_other(values):
    changed = values.copy()
    changed[:, 3:] *= 50
    np.testing.assert_array_equal(standardise(values[:, :3])[0], standardise(changed[:, :3])[0])


@pytest.mark.parametrize(
    ('metric', 'expected'),
    [
        ('thickness', [1, np.nan, np.nan, np.nan]),
        ('mo', [1, np.nan, -1, np.nan]),
        ('white', [1, 0, -1, np.nan]),
    ],
)
def test_what_was_not_measured_is_missing(metric, expected):
    np.testing.assert_array_equal(mask_unmeasured([1.0, 0.0, -1.0, np.inf], metric), expected)


def test_what_lacks_much_is_left_out_and_without_a_mesh_nothing_is_filled(values):
    values[:, :, 7] = np.nan  # medial wall
    values[1, 2, :30] = np.nan  # most of the region outside the field of view
    values[0, 4, 11] = np.nan
    complete, kept = complete_cases(make_metrics(values), max_vertex_missing=0.3)
    assert complete.sessions['participant_id'].tolist() == ['sub-0', 'sub-1', 'sub-3', 'sub-4']
    assert np.flatnonzero(~kept).tolist() == [7, 11]
    assert complete.columns['vertex'].tolist() == [v for v in range(40) if v not in (7, 11)]
    assert not np.isnan(complete.values).any()
    assert complete.excluded is not None
    assert complete.excluded['participant_id'].tolist() == ['sub-2']
    assert 'lack md' in complete.excluded['reason'].iloc[0]


def test_small_gaps_are_closed_from_neighbours_of_the_same_map(values):
    from dataclasses import replace

    chain = [np.array([v for v in (i - 1, i + 1) if 0 <= v < 40]) for i in range(40)]
    values[0, 4, 11] = np.nan
    values[1, 1, :2] = np.nan  # the first vertex has no measured neighbour
    data = replace(make_metrics(values), neighbours=chain)
    complete, kept = complete_cases(data, max_missing=0.06, max_vertex_missing=0.3)
    assert np.flatnonzero(~kept).tolist() == [0]
    assert complete.values[0, 4, 10] == pytest.approx(values[0, 4, [10, 12]].mean())
    assert complete.values[1, 1, 0] == pytest.approx(values[1, 1, 2])
    assert '2 gaps' in complete.notes[-1]
    assert complete.neighbours is not None
    assert complete.neighbours[0].tolist() == [1]


def test_many_small_gaps_do_not_cost_the_region(values, rng):
    from dataclasses import replace

    ring = [np.array([(i - 1) % 40, (i + 1) % 40]) for i in range(40)]
    for session in range(5):
        values[0, session, [session * 7, session * 7 + 3]] = np.nan
    data = replace(make_metrics(values), neighbours=ring)
    complete, kept = complete_cases(data, max_vertex_missing=0.2)
    assert kept.all()
    assert complete.n_sessions == 5


def test_nothing_left_is_refused(values):
    with pytest.raises(InputDataError, match='no vertex of the region'):
        complete_cases(make_metrics(np.full_like(values, np.nan)))
    values[0, :, :30] = np.nan
    values[1, :, 30:] = np.nan
    with pytest.raises(InputDataError, match='every session lacks'):
        complete_cases(make_metrics(values))


def test_legends_and_constants_restore_the_maps(values):
    matrix = feature_matrix(make_metrics(values))
    row = matrix.rows.query("participant_id == 'sub-3' and metric == 'md'").index[0]
    constants = matrix.constants.set_index('metric').loc['md']
    restored = (matrix.X[row] + constants['shift']) * constants['sd'] + constants['mean']
    np.testing.assert_allclose(restored, values[1, 3])
    assert constants['unit'] == 'mm2/s'


def test_gaps_are_refused(values):
    values[0, 0, 0] = np.nan
    with pytest.raises(InputDataError, match='gaps'):
        feature_matrix(make_metrics(values))


NAMES = {0: 'unknown', 1: 'L_caudalanteriorcingulate', 2: 'insula', 3: 'Medial_wall'}


def write_gii(path, values, intent='NIFTI_INTENT_SHAPE', names=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    array = nb.gifti.GiftiDataArray(values, intent=intent)
    image = nb.GiftiImage(darrays=[array])
    if names:
        for key, name in names.items():
            label = nb.gifti.GiftiLabel(key)
            label.label = name
            image.labeltable.labels.append(label)
    image.to_filename(path)


@pytest.fixture
def dataset(tmp_path):
    """Three subjects, one without area on the right; two metrics; meshes of six vertices."""
    for i, subject in enumerate(('01', '02', '03')):
        entities = {'subject': subject, 'session': '1'}
        for side in 'LR':
            mesh = {'hemisphere': side, 'density': '41k'}
            labels = np.array([0, 1, 1, 2, 1, 0], dtype=np.int32)
            path = output_path('anat_parcellation', tmp_path, entities, segmentation='DKT', **mesh)
            write_gii(path, labels, 'NIFTI_INTENT_LABEL', NAMES)
            maps = np.array([0, 2.0 + i, 2.5, 3, 0, 9], dtype=np.float32)
            write_gii(output_path('anat_thickness', tmp_path, entities, **mesh), maps)
            if (subject, side) != ('03', 'R'):
                write_gii(output_path('anat_area', tmp_path, entities, **mesh), maps / 10)
    return tmp_path


def test_maps_are_gathered_by_name(dataset):
    data = gather_vertex_metrics(dataset, ['thickness', 'area'], ['caudalanteriorcingulate'])
    assert data.sessions['participant_id'].tolist() == ['sub-01', 'sub-02']
    assert data.sessions['session_id'].tolist() == ['ses-1', 'ses-1']
    assert data.excluded is not None
    assert data.excluded['reason'].tolist() == ['no map of area (R)']
    assert data.columns['vertex'].tolist() == [1, 2, 4, 1, 2, 4]
    np.testing.assert_allclose(data.values[0, 1], [3, 2.5, np.nan] * 2)
    assert (data.density, data.template, data.mesh_sizes) == ('41k', 'fsaverage', (6, 6))


def write_coarse(root, subject):
    """Write thickness and labels on a coarser mesh of four vertices."""
    for side in 'LR':
        mesh = {'hemisphere': side, 'density': '10k'}
        entities = {'subject': subject, 'session': '1'}
        path = output_path('anat_parcellation', root, entities, segmentation='DKT', **mesh)
        write_gii(path, np.array([0, 1, 1, 2], dtype=np.int32), 'NIFTI_INTENT_LABEL', NAMES)
        write_gii(output_path('anat_thickness', root, entities, **mesh), np.full(4, 2.5, 'f4'))


def test_the_density_of_most_sessions_is_taken(dataset, caplog):
    write_coarse(dataset, '01')
    write_coarse(dataset, '04')
    region = ['caudalanteriorcingulate']
    data = gather_vertex_metrics(dataset, ['thickness'], region)
    assert (data.density, data.mesh_sizes) == ('41k', (6, 6))
    assert data.sessions['participant_id'].tolist() == ['sub-01', 'sub-02', 'sub-03']
    assert data.excluded['participant_id'].tolist() == ['sub-04']
    (reason,) = data.excluded['reason']
    assert reason.startswith('maps on meshes of 10k only, of most sessions on 41k; run its part')
    assert reason.endswith('--density 41k')
    assert '10k: 2, 41k: 3; 41k is used' in caplog.text
    write_coarse(dataset, '05')
    assert gather_vertex_metrics(dataset, ['thickness'], region).density == '41k'  # 3 and 3
    write_coarse(dataset, '06')
    data = gather_vertex_metrics(dataset, ['thickness'], region)
    assert (data.density, data.mesh_sizes) == ('10k', (4, 4))
    assert data.excluded['participant_id'].tolist() == ['sub-02', 'sub-03']


def test_labels_of_one_density_and_two_sizes_are_named(dataset, caplog):
    path = output_path('anat_parcellation', dataset, {'subject': '02', 'session': '1'},
                       segmentation='DKT', hemisphere='L', density='41k')  # fmt: skip
    write_gii(path, np.ones(5, dtype=np.int32), 'NIFTI_INTENT_LABEL', NAMES)
    assert gather_vertex_metrics(dataset, ['thickness'], ['cortex']).mesh_sizes == (6, 6)
    assert re.search(r'sub-02.*: 5 vertices, but most label files have 6', caplog.text)


def test_one_metric_keeps_all_subjects(dataset):
    assert gather_vertex_metrics(dataset, ['thickness'], ['cortex']).values.shape == (1, 3, 8)


def test_missing_maps_and_meshes_of_another_size(dataset):
    with pytest.raises(MissingInputError, match='no session has vertex maps of all of fa'):
        gather_vertex_metrics(dataset, ['fa'], ['cortex'])
    path = output_path('anat_thickness', dataset, {'subject': '01', 'session': '1'},
                       hemisphere='L', density='41k')  # fmt: skip
    write_gii(path, np.ones(5, dtype=np.float32))
    data = gather_vertex_metrics(dataset, ['thickness'], ['cortex'])
    assert data.sessions['participant_id'].tolist() == ['sub-02', 'sub-03']
    assert '5 vertices, but the labels have 6' in data.excluded['reason'].item()


def test_what_stands_beside_is_read_where_it_is_and_missing_elsewhere(dataset, caplog):
    data = gather_vertex_metrics(dataset, ['thickness'], ['caudalanteriorcingulate'])
    assert gather_beside(dataset, data) is None
    shares = np.array([np.nan, 0.0, 0.25, 0.5, 0.75, 1], dtype=np.float32)
    for subject, size in (('01', 6), ('02', 5)):  # the second does not fit the mesh
        for side in 'LR':
            path = output_path('dwi_vertex_white', dataset, {'subject': subject, 'session': '1'},
                               hemisphere=side, density='41k')  # fmt: skip
            write_gii(path, shares[:size])
    beside = gather_beside(dataset, data)
    assert beside.metrics == ('white',)
    np.testing.assert_array_equal(beside.values[0, 0], [0, 0.25, 0.75] * 2)  # vertices 1, 2, 4
    assert np.isnan(beside.values[0, 1:]).all()
    assert re.search(r'sub-02/ses-1: its white is missing: .*5 vertices', caplog.text)
    assert beside.sessions is data.sessions


@pytest.mark.parametrize('damage', ['half', 'annex', 'changed'])
@pytest.mark.parametrize('key', ['anat_thickness', 'anat_parcellation'])
def test_one_damaged_file_costs_one_session(dataset, damage, key):
    more = {'segmentation': 'DKT'} if key == 'anat_parcellation' else {}
    path = output_path(key, dataset, {'subject': '02', 'session': '1'},
                       hemisphere='R', density='41k', **more)  # fmt: skip
    content = path.read_bytes()
    if damage == 'annex':
        path.unlink()
        path.symlink_to('.git/annex/objects/XX/file.gii')
    elif damage == 'half':
        path.write_bytes(content[: len(content) // 2])
    else:  # whole, but not what was recorded
        outputs = {str(path.relative_to(dataset)): '0' * 64}
        write_record(dataset, Record('sub-02_ses-1_anat', '1', '', {}, outputs=outputs))
    data = gather_vertex_metrics(dataset, ['thickness'], ['cortex'])
    if key == 'anat_parcellation':  # the others tell where the region is
        assert data.excluded.empty
    else:
        assert data.sessions['participant_id'].tolist() == ['sub-01', 'sub-03']
        assert path.name in data.excluded['reason'].item()
