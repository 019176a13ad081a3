"""Agreement: the published index, matching, Rand and its null."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from bids_acc.group.opnmf.agreement import (
    adjusted_rand,
    agreement_test,
    connected_parts,
    dice_of_pairs,
    match_components,
    regrow,
    stability_index,
)
from bids_acc.group.opnmf.simulate import CohortDesign, icosphere, planted_cohort, strip
from bids_acc.surfaces.neighbours import adjacency, neighbour_lists, within


def published_index(W_a, W_b):
    """The definition, with both m x m matrices."""
    cosines = []
    for W in (W_a, W_b):
        unit = W / np.linalg.norm(W, axis=1, keepdims=True)
        cosines.append(unit @ unit.T)
    return np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(*cosines, strict=True)])


@pytest.mark.parametrize('k', [2, 4, 10])
def test_index_is_the_published_one(rng, k):
    W_a = rng.random((120, k)) ** 3
    W_b = W_a + 0.3 * rng.random((120, k))
    assert stability_index(W_a, W_b)[0] == pytest.approx(published_index(W_a, W_b), abs=1e-12)


def test_limits_of_the_index(rng):
    W = rng.random((2000, 4)) ** 4
    assert stability_index(W, W)[0] == pytest.approx(1, abs=1e-12)
    assert abs(stability_index(W, rng.permutation(W))[0]) < 0.05
    other = rng.random((2000, 4))
    assert stability_index(W, other)[0] == pytest.approx(
        stability_index(W, other[:, [2, 0, 3, 1]])[0], abs=1e-12
    )


def test_rows_without_index_are_counted(rng):
    W = rng.random((50, 3))
    W[7] = 0
    index, undefined = stability_index(W, W)
    assert index == pytest.approx(1)
    assert undefined == 1
    one = np.ones((5, 1))
    assert np.isnan(stability_index(one, one)[0])


def test_components_are_matched_whatever_their_order(rng):
    W = np.kron(np.eye(4), np.ones((10, 1))) + 0.05 * rng.random((40, 4))
    partner, cosine = match_components(W, W[:, [2, 0, 3, 1]])
    assert partner.tolist() == [1, 3, 0, 2]
    assert cosine == pytest.approx(1)
    fewer, _ = match_components(W, W[:, :3])
    assert fewer.tolist() == [0, 1, 2, -1]


def test_rand_is_that_of_scikit_learn_and_leaves_out_what_has_no_label(rng):
    a, b = rng.integers(0, 4, 300), rng.integers(0, 3, 300)
    b[:100] = a[:100] % 3
    assert adjusted_rand(a, b) == pytest.approx(adjusted_rand_score(a, b))
    with_gap = a.copy()
    with_gap[200:] = -1
    assert adjusted_rand(with_gap, b) == pytest.approx(adjusted_rand_score(a[:200], b[:200]))


def test_dice():
    a, b = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    np.testing.assert_allclose(dice_of_pairs(a, b, [(0, 0), (1, 1), (5, 5)]), [2 / 3, 0.8, np.nan])


@pytest.fixture(scope='module')
def region():
    cohort = planted_cohort(
        CohortDesign(n_subjects=2), np.random.default_rng(0), level=4, region_size=120
    )
    return cohort.labels, cohort.data.neighbours


def regrown(labels, neighbours, rng):
    new = np.empty_like(labels)
    for part in connected_parts(neighbours):
        new[part] = regrow(labels, part, neighbours, rng)
    return new


def test_regrown_parcels_keep_sizes_and_mostly_hang_together(region, rng):
    labels, neighbours = region
    new = regrown(labels, neighbours, rng)
    half = len(labels) // 2
    assert (np.bincount(new[:half]) == np.bincount(labels[:half])).all()
    assert (np.bincount(new[half:]) == np.bincount(labels[half:])).all()
    same = np.mean([np.mean(new[row] == new[v]) for v, row in enumerate(neighbours)])
    shuffled = rng.permutation(labels)
    chance = np.mean([np.mean(shuffled[row] == shuffled[v]) for v, row in enumerate(neighbours)])
    assert same > chance + 0.3


def test_contiguous_null_is_stricter_than_exchanged_vertices(region):
    labels, neighbours = region
    other = regrown(labels, neighbours, np.random.default_rng(5))
    plain = agreement_test(labels, other, np.random.default_rng(0), n_null=99)
    strict = agreement_test(
        labels, other, np.random.default_rng(0), neighbours=neighbours, n_null=99
    )
    assert plain.null_mean == pytest.approx(0, abs=0.02)
    assert strict.null_mean > 0.05
    assert strict.p > 0.01
    same = agreement_test(labels, labels, np.random.default_rng(0), neighbours=neighbours,
                          n_null=99)  # fmt: skip
    assert (same.ari, same.p) == (1.0, 0.01)


def test_mirrored_parcels_are_no_evidence_twice(region):
    labels, neighbours = region
    left = neighbours[:120]
    rng = np.random.default_rng(1)

    def mirrored():
        one = regrown(labels[:120], left, rng)
        return np.concatenate([one, one])

    p = [
        agreement_test(mirrored(), mirrored(), rng, neighbours=neighbours, n_null=19).p
        for _ in range(50)
    ]
    assert 0.02 <= np.mean(np.array(p) <= 0.2) <= 0.36  # 0.2 expected; each side alone: 0.8


def test_parts_of_the_region_are_told_apart(region):
    _, neighbours = region
    assert [len(part) for part in connected_parts(neighbours)] == [120, 120]


def test_sphere_and_strip():
    vertices, faces = icosphere(3)
    assert np.linalg.norm(vertices, axis=1) == pytest.approx(1)
    assert len(faces) == 2 * len(vertices) - 4  # Euler
    chosen = strip(vertices, 60)
    lists = neighbour_lists(within(adjacency(faces, len(vertices)), chosen))
    assert len(lists) == 60
    assert max(map(len, lists)) <= 6
