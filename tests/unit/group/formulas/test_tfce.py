"""Threshold-free cluster enhancement and permutations at vertices."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm

from bids_acc.group.formulas.permutation import contrast_first
from bids_acc.group.formulas.tfce import Mesh, components, contrast_at_vertices, enhance
from bids_acc.group.opnmf.simulate import icosphere
from bids_acc.surfaces.neighbours import adjacency, neighbour_lists


@pytest.fixture(scope='module')
def sphere():
    """Return the neighbours of a sphere of 162 vertices."""
    vertices, faces = icosphere(2)
    return neighbour_lists(adjacency(faces, len(vertices)))


def walked(neighbours, inside, start):
    """Return the component of a vertex by walking over its neighbours."""
    found, ahead = {start}, [start]
    while ahead:
        for vertex in neighbours[ahead.pop()]:
            if inside[vertex] and vertex not in found:
                found.add(int(vertex))
                ahead.append(int(vertex))
    return found


def by_definition(values, neighbours, areas, step):
    """Sum extent times squared height over the thresholds, vertex by vertex."""
    result = np.zeros(len(values))
    for vertex, value in enumerate(values):
        sign = np.sign(value)
        for i in range(1, round(abs(value) / step) + 2):
            if abs(value) < i * step - 1e-9:
                break
            inside = sign * values >= i * step - 1e-9
            extent = areas[list(walked(neighbours, inside, vertex))].sum()
            result[vertex] += sign * extent * (i * step) ** 2 * step
    return result


def test_enhancement_is_its_definition(sphere, rng):
    values = rng.normal(0, 1.5, len(sphere)).round(1)
    areas = rng.uniform(0.5, 2, len(sphere))
    areas /= areas.mean()
    mesh = Mesh.of(sphere, areas)
    np.testing.assert_allclose(
        enhance(values, mesh, 0.1), by_definition(values, sphere, areas, 0.1)
    )


def test_enhancement_has_the_sign_of_the_map(sphere, rng):
    values = rng.normal(0, 2, len(sphere))
    mesh = Mesh.of(sphere)
    np.testing.assert_allclose(enhance(-values, mesh), -enhance(values, mesh))
    assert (
        np.sign(enhance(values, mesh))[np.abs(values) > 0.1]
        == np.sign(values[np.abs(values) > 0.1])
    ).all()


def test_neighbours_that_agree_are_enhanced(sphere):
    together = np.zeros(len(sphere))
    together[[0, *sphere[0]]] = 3.0
    alone = np.zeros(len(sphere))
    alone[0] = 3.0
    mesh = Mesh.of(sphere)
    assert enhance(together, mesh)[0] == pytest.approx(6 * enhance(alone, mesh)[0])


def test_components_do_not_touch(sphere, rng):
    inside = rng.random(len(sphere)) < 0.4
    labels = components(Mesh.of(sphere), inside)
    assert (labels[~inside] == -1).all()
    for vertex in np.flatnonzero(inside):
        own = set(np.flatnonzero(labels == labels[vertex]).tolist())
        assert own == walked(sphere, inside, int(vertex))


def cohort(rng, n=30, size=162):
    """Return two groups that differ in age, and noise at the vertices."""
    group = np.arange(n) % 2 * 2.0 - 1
    X = np.column_stack([np.ones(n), group, rng.normal(40, 9, n) + group])
    return rng.normal(0, 1, (n, size)), X


def test_t_is_that_of_statsmodels(sphere, rng):
    Y, X = cohort(rng)
    found = contrast_at_vertices(
        Y, contrast_first(X, [0, 2, 0]), Mesh.of(sphere), 19, np.random.default_rng(0)
    )
    for vertex in (0, 50, 161):
        fit = sm.OLS(Y[:, vertex], X).fit()
        assert found.t[vertex] == pytest.approx(fit.tvalues[1])
        assert found.estimate[vertex] == pytest.approx(2 * fit.params[1])
    assert found.df == 27


def test_p_counts_the_permutations_that_reach_the_map(sphere, rng):
    Y, X = cohort(rng)
    found = contrast_at_vertices(
        Y, contrast_first(X, [0, 2, 0]), Mesh.of(sphere), 39, np.random.default_rng(0)
    )
    vertex = int(np.argmax(np.abs(found.enhanced)))
    expected = (1 + np.sum(found.null >= abs(found.enhanced[vertex]))) / 40
    assert found.p[vertex] == found.p.min() == expected
    assert found.p.max() <= 1


def test_exchanging_rows_of_the_design_is_exchanging_people(sphere, rng):
    """The first permutation by hand: residuals exchanged, model fitted again."""
    Y, X = cohort(rng)
    first = contrast_first(X, [0, 2, 0])
    found = contrast_at_vertices(Y, first, Mesh.of(sphere), 1, np.random.default_rng(5))
    order = np.random.default_rng(5).permutation(len(Y))
    basis = np.linalg.qr(first[:, 1:])[0]
    fitted = basis @ (basis.T @ Y)
    shuffled = np.empty_like(Y)
    shuffled[order] = (Y - fitted)[np.arange(len(Y))]
    t = [sm.OLS((fitted + shuffled)[:, v], first).fit().tvalues[0] for v in range(Y.shape[1])]
    assert found.null[0] == pytest.approx(np.abs(enhance(np.array(t), Mesh.of(sphere))).max())


def test_a_planted_patch_is_found_where_it_is(sphere, rng):
    Y, X = cohort(rng, n=40)
    patch = np.array([0, *sphere[0]])
    Y[:, patch] += 0.9 * X[:, [1]]
    found = contrast_at_vertices(
        Y, contrast_first(X, [0, 2, 0]), Mesh.of(sphere), 59, np.random.default_rng(0)
    )
    assert (found.p[patch] <= 0.05).mean() > 0.8
    far = np.setdiff1d(np.arange(162), np.concatenate([sphere[v] for v in patch]))
    assert (found.p[far] > 0.05).mean() > 0.95
    assert found.p.min() == 1 / 60
