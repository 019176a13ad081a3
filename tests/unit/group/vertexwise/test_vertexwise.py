"""Groups at every vertex: who takes part, rows, clusters and files."""

from __future__ import annotations

import nibabel as nb
import numpy as np
import pandas as pd
import pytest

from bids_acc.group.opnmf.features import VertexMetrics
from bids_acc.group.opnmf.simulate import icosphere
from bids_acc.group.statistics.model.declaration import parse_model
from bids_acc.group.statistics.rows.row import disagreement, finish_table
from bids_acc.group.statistics.study.joining import make_study
from bids_acc.group.vertexwise.contrast import clusters, vertexwise, write_vertexwise
from bids_acc.report.findings import significant_findings
from bids_acc.surfaces.neighbours import adjacency, neighbour_lists

N, SIZE = 40, 162


@pytest.fixture(scope='module')
def near():
    vertices, faces = icosphere(2)
    return neighbour_lists(adjacency(faces, len(vertices)))


def maps(near, rng, people, lacking=()):
    """Return maps of two hemispheres; patients are thinner in one patch on the right."""
    values = rng.normal(3, 0.2, (1, N, 2 * SIZE))
    patch = SIZE + np.array([0, *near[0]])
    values[0][np.ix_((people['group'] == 'TRS').to_numpy(), patch)] -= 0.4
    for person, vertices in lacking:
        values[0, person, vertices] = np.nan
    return patch, VertexMetrics(
        values=values, metrics=('thickness',),
        sessions=pd.DataFrame({'participant_id': people['participant_id'], 'session_id': None}),
        columns=pd.DataFrame({'hemisphere': np.repeat(['L', 'R'], SIZE),
                              'vertex': np.tile(np.arange(SIZE), 2)}),
        mesh_sizes=(SIZE, SIZE), density='162',
        neighbours=[*near, *(row + SIZE for row in near)],
    )  # fmt: skip


def study_of(people, **changes):
    content = {
        'Name': 'v', 'Group': {'Column': 'group', 'Levels': ['HC', 'TRS']},
        'Covariates': [{'Name': 'age'}], 'Vertexwise': {'Permutations': 59}, **changes,
    }  # fmt: skip
    return make_study(parse_model(content), None, None, people)


@pytest.fixture
def people(rng):
    return pd.DataFrame({
        'participant_id': [f'sub-{i:02d}' for i in range(N)],
        'group': np.resize(['HC', 'TRS'], N), 'age': rng.uniform(20, 60, N),
    })  # fmt: skip


def test_a_thin_patch_is_found_named_and_written(near, rng, people, tmp_path):
    patch, data = maps(near, rng, people)
    study = study_of(people)
    (result,) = vertexwise(study, data, entropy=1)
    assert disagreement(result.row) is None
    assert result.row.test.p == 1 / 60
    assert result.row.effect.size < 0
    assert result.row.extra['peak_hemisphere'] == 'R'
    assert result.row.extra['n_significant'] >= 6
    largest = clusters(result, data, 0.05).iloc[0]
    assert largest['hemisphere'] == 'R'
    assert largest['peak_vertex'] + SIZE in patch
    table = finish_table([result.row], study.model.families, study.model.correction)
    said = significant_findings({'vertexwise': table}, 0.05)['finding'].tolist()
    assert said == ['thickness at some vertices is lower in TRS than in HC']
    write_vertexwise([result], data, tmp_path, 0.05)
    (path,) = tmp_path.rglob('*hemi-R*thicknessTRSVHC*statmap.shape.gii')
    t, _, p = (array.data for array in nb.load(path).darrays)
    assert (p[patch - SIZE] <= 0.05).mean() > 0.8
    np.testing.assert_allclose(t, result.found.t[SIZE:], rtol=1e-6)


def test_the_same_seed_gives_the_same_p(near, rng, people):
    _, data = maps(near, rng, people)
    first, second = (next(vertexwise(study_of(people), data, 3)).found.p for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_people_and_vertices_without_values_are_left_out_and_counted(near, rng, people):
    people.loc[5, 'age'] = np.nan
    _, data = maps(near, rng, people, lacking=[(2, slice(0, 60)), (7, 4)])
    data = data.take(np.arange(N) != 9)
    (result,) = vertexwise(study_of(people), data, 1)
    assert dict(result.row.excluded) == {
        'age missing': 1, 'no vertex maps': 1,
        'thickness missing at over 10 % of the vertices': 1,
    }  # fmt: skip
    assert result.row.n == N - 3
    assert result.row.extra['n_vertices'] == 2 * SIZE - 1


def test_what_cannot_be_done_says_why(near, rng, people):
    _, data = maps(near, rng, people)
    alone = study_of(people.assign(age=np.where(people['group'] == 'HC', 20.0, 30.0)))
    (result,) = vertexwise(alone, data, 1)
    assert 'not done: group and age are collinear' in result.row.note
    unknown = VertexMetrics(**{**data.__dict__, 'neighbours': None})
    (result,) = vertexwise(study_of(people), unknown, 1)
    assert 'which vertices are neighbours' in result.row.note


def test_maps_of_a_part_of_the_mesh_are_compared_there(near, rng, people):
    _, data = maps(near, rng, people, lacking=[(slice(None), slice(0, SIZE))])
    (result,) = vertexwise(study_of(people), data, 1)
    assert result.row.n == N
    assert result.row.extra['n_vertices'] == SIZE
    assert not result.inside[:SIZE].any()
    assert result.found.p.min() == 1 / 60


def test_a_group_of_one_person_is_compared_with_nobody(near, rng, people):
    alone = people.assign(group=np.where(people.index == 3, 'FL', people['group']))
    _, data = maps(near, rng, people)
    levels = {'Column': 'group', 'Levels': ['HC', 'TRS', 'FL']}
    (result,) = vertexwise(study_of(alone, Group=levels), data, 1)
    assert result.row.contrast == 'TRS - HC'
    assert result.row.n == N - 1
    assert result.row.excluded['alone in the group'] == 1
    assert 'without group FL: fewer than two complete participants' in result.row.note
    pair = alone.assign(group=alone['group'].replace('TRS', 'HC'))
    (result,) = vertexwise(study_of(pair, Group=levels), data, 1)
    assert result.found is None
    assert 'group FL has fewer than two complete participants (none left out)' in result.row.note
