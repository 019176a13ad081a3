"""OPNMF: the published iterates, their fixed points, and the estimator's contract."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import parametrize_with_checks

from bids_acc.group.opnmf import OPNMF, anls, fit_path, newton, nnls
from bids_acc.group.opnmf.acceleration import Extrapolation
from bids_acc.group.opnmf.agreement import adjusted_rand
from bids_acc.group.opnmf.anls import solve_anls
from bids_acc.group.opnmf.covariance import (
    CovarianceOperator,
    cheaper_side,
    factor_on,
    lowest_and_square,
    nonzero_columns,
    orthonormal,
)
from bids_acc.group.opnmf.features import standardise
from bids_acc.group.opnmf.initialise import Starts, nndsvd, spectral_norm
from bids_acc.group.opnmf.model import CompressedData
from bids_acc.group.opnmf.newton import newton_point
from bids_acc.group.opnmf.nnls import nnls_columns
from bids_acc.group.opnmf.simulate import CohortDesign, planted_cohort
from bids_acc.group.opnmf.solvers import fixed_point_residual, solve_mu, solve_pnmf
from bids_acc.group.opnmf.splits import split_halves


@pytest.fixture(scope='module')
def cohort():
    design = CohortDesign(n_subjects=30)
    return planted_cohort(design, np.random.default_rng(0), level=4, region_size=150)


@pytest.fixture(scope='module')
def X(cohort):
    return standardise(cohort.data.values)[0]


@pytest.fixture
def reference(repository):
    return json.loads((repository / 'tests/reference/opnmf/pypi_opnmf.json').read_text())


@parametrize_with_checks([OPNMF()])
@pytest.mark.filterwarnings('ignore')
def test_scikit_learn_contract(estimator, check):
    check(estimator)


def test_mu_follows_the_published_iterates_to_the_same_stop(reference):
    rng = np.random.default_rng(0)
    X = rng.random((40, 100)) + 0.01
    W0 = rng.random((100, 3))
    expected = reference['noise']
    model = OPNMF(3, solver='mu', init=W0).fit(X)
    assert model.n_iter_ == expected['n_iter'] + 1
    assert model.reconstruction_err_ == pytest.approx(expected['error'], rel=1e-9)
    np.testing.assert_allclose(model.components_.T[:5], expected['W_first_rows'], atol=1e-8)
    np.testing.assert_allclose(model.components_.sum(axis=1), expected['W_sum'], atol=1e-7)


@pytest.mark.parametrize('solver', ['mu', 'anls'])
def test_clear_parts_are_those_of_the_peer(reference, solver):
    rng = np.random.default_rng(1)
    X = rng.random((30, 3)) @ np.repeat(np.eye(3), 20, axis=1) + 0.1 * rng.random((30, 60))
    model = OPNMF(3, solver=solver, init=rng.random((60, 3))).fit(X)
    assert adjusted_rand(model.labels_, np.array(reference['parts']['labels'])) == 1
    assert model.reconstruction_err_ <= 1.003 * reference['parts']['error']
    if solver == 'mu':
        assert model.n_iter_ == reference['parts']['n_iter'] + 1


@pytest.mark.parametrize('k', [2, 4, 7])
def test_anls_ends_where_the_published_update_stands_still(X, k):
    model = OPNMF(k).fit(X)
    W = model.components_.T
    AW = X.T @ (X @ W)
    updated = W * AW / np.maximum(W @ (W.T @ AW), 1e-300)
    updated /= np.linalg.norm(updated, 2)
    assert model.converged_
    assert model.residual_ <= 1e-5
    assert np.linalg.norm(updated - W) < 1e-5 * np.linalg.norm(W)
    assert fixed_point_residual(W, AW)[0] <= 1e-5


def test_anls_needs_few_iterations_and_mu_from_its_end_stays(X):
    model = OPNMF(4).fit(X)
    assert model.n_iter_ < 60
    operator = CovarianceOperator(X)
    end = solve_mu(operator, model.components_.T)
    assert end.n_iter <= 2
    assert end.error == pytest.approx(model.reconstruction_err_, rel=1e-5)


def test_planted_parcels_come_back(cohort, X):
    anls, mu = (OPNMF(4, solver=s).fit(X) for s in ('anls', 'mu'))
    assert adjusted_rand(anls.labels_, cohort.labels) > 0.8
    assert adjusted_rand(anls.labels_, mu.labels_) > 0.97
    assert anls.reconstruction_err_ <= 1.003 * mu.reconstruction_err_


@pytest.mark.parametrize('k', [2, 4, 7])
def test_pnmf_has_no_larger_error_than_the_published_update(X, k):
    start = Starts(CovarianceOperator(X), k, 'nndsvd').first(k, np.random.default_rng(0))
    published = solve_mu(CovarianceOperator(X), start)
    ours = OPNMF(k, init=start, objective='pnmf').fit(X)
    assert ours.reconstruction_err_ <= published.error


def test_pnmf_gradient_is_that_of_the_error(rng):
    X = rng.random((6, 9))
    W = OPNMF(2, objective='pnmf', tol=1e-9).fit(X).components_.T.astype(float)

    def error(V):
        return np.linalg.norm(X - X @ V @ V.T)

    for _ in range(20):
        nearby = np.maximum(W + 1e-4 * rng.standard_normal(W.shape) * (W > 0), 0)
        assert error(nearby) >= error(W) - 1e-9


def test_error_is_the_norm_of_the_residual_matrix(X):
    model = OPNMF(3).fit(X)
    W = model.components_.T
    assert model.reconstruction_err_ == pytest.approx(np.linalg.norm(X - X @ W @ W.T), rel=1e-9)
    np.testing.assert_allclose(model.inverse_transform(model.transform(X)), X @ W @ W.T)


def test_order_of_observations_changes_nothing(X, rng):
    one, other = OPNMF(4).fit(X), OPNMF(4).fit(X[rng.permutation(len(X))])
    np.testing.assert_allclose(one.components_, other.components_, atol=1e-6)


def test_scale_of_the_data_changes_nothing(X):
    np.testing.assert_allclose(
        OPNMF(4).fit(X).components_, OPNMF(4).fit(1e-4 * X).components_, atol=1e-6
    )


def test_vertices_without_data_have_no_component(X):
    holed = X.copy()
    holed[:, [3, 50]] = 0
    model = OPNMF(4).fit(holed)
    assert (np.flatnonzero(model.labels_ == -1) == [3, 50]).all()
    assert not model.components_[:, [3, 50]].any()
    assert np.isfinite(model.reconstruction_err_)


def test_too_few_iterations_are_said(X):
    with pytest.warns(ConvergenceWarning, match='did not converge in 3 iterations'):
        model = OPNMF(4, max_iter=3).fit(X)
    assert not model.converged_


def test_without_convergence_the_nearest_approach_is_returned(monkeypatch):
    X = np.random.default_rng(7).random((40, 80))
    residuals, exact_step = [], anls._exact_step

    def watched(*arguments, exact=True, **named):
        step = exact_step(*arguments, exact=exact, **named)
        residuals.extend([step.residual] if exact else [])
        return step

    monkeypatch.setattr(anls, '_exact_step', watched)
    with pytest.warns(ConvergenceWarning):
        model = OPNMF(8, max_iter=30).fit(X)
    assert min(residuals) < residuals[-1]
    assert model.residual_ == min(residuals)
    assert not model.converged_
    W = model.components_.T
    assert fixed_point_residual(W, X.T @ (X @ W))[0] == pytest.approx(min(residuals), rel=1e-6)


def test_several_starts_keep_the_best(X):
    model = OPNMF(6, n_init=4, random_state=0).fit(X)
    assert model.objectives_.shape == (4,)
    assert model.reconstruction_err_ == model.objectives_.min() <= model.objectives_[0]


def test_batch_gives_what_single_fits_give(X):
    path = fit_path(X, [2, 4, 5])
    for k, ends in path.items():
        single = OPNMF(k).fit(X)
        assert ends[0].error == pytest.approx(single.reconstruction_err_, rel=1e-6)


def test_both_sides_give_the_same_product(X, rng):
    W = rng.random((X.shape[1], 3))
    thin, gram = (CovarianceOperator(X, side=side) for side in ('thin', 'gram'))
    np.testing.assert_allclose(thin(W), gram(W), rtol=1e-12)
    assert cheaper_side(100, 10_000, 4, 10**6) == 'thin'  # never m x m when it is the larger
    tall = rng.random((450, 700))  # read in blocks of rows, the last one smaller
    for k in (1, 4, 5, 12, 13):
        V = rng.random((k, 700))
        np.testing.assert_allclose(
            CovarianceOperator(tall, side='thin').times(V), V @ tall.T @ tall, rtol=1e-12
        )


def test_single_precision_reaches_the_same_parcels(X):
    model = OPNMF(4, dtype='float32', tol=1e-4).fit(X)
    assert model.components_.dtype == np.float32
    assert adjusted_rand(model.labels_, OPNMF(4).fit(X).labels_) > 0.99


def test_dead_components_are_revived(X):
    start = np.zeros((X.shape[1], 4))
    start[:, 0] = 1.0
    start[:, 1:] = 1e-30
    end = solve_anls(CovarianceOperator(X), [start])[0]
    assert (end.W.max(axis=0) > 1e-3).all()


@pytest.mark.parametrize('rank', [0, 8])
def test_a_dead_component_beside_a_fixed_point_is_revived(X, rank):
    operator = CovarianceOperator(X)
    three = OPNMF(3).fit(X)
    start = np.hstack([three.components_.T, np.zeros((X.shape[1], 1))])
    end = solve_anls(operator, [start], rank=rank)[0]
    assert (end.W.max(axis=0) > 1e-3).all()
    assert end.error < 0.99 * three.reconstruction_err_


def test_more_components_than_dimensions(rng):
    X = rng.random((3, 8))
    with np.errstate(divide='raise', over='raise', invalid='raise'):
        ends = fit_path(X, [5])[5]
    assert np.isfinite(ends[0].error)


def test_nndsvd_keeps_the_heavier_side(rng):
    X = rng.random((20, 30))
    for side in ('thin', 'gram'):
        start = nndsvd(*CovarianceOperator(X, side=side).leading_eigenvectors(3))
        assert (start >= 0).all()
        np.testing.assert_allclose(
            start[:, 0] / np.linalg.norm(start[:, 0]),
            np.abs(np.linalg.svd(X)[2][0]),
            atol=1e-8,
        )


@pytest.mark.parametrize('k', [1, 2, 3, 8, 60])
def test_nnls_meets_the_optimality_conditions(rng, k):
    factor = rng.standard_normal((k, 2 * k))
    gram = factor @ factor.T
    rhs = rng.standard_normal((k, 400))
    x, sets = nnls_columns(gram, rhs)
    dual = gram @ x - rhs
    assert (x >= 0).all()
    assert (dual[~sets.passive] >= -1e-8).all()
    assert np.abs(dual[sets.passive]).max() < 1e-7
    again, same = nnls_columns(gram, rhs, sets)
    np.testing.assert_allclose(again, x)
    assert (same.passive == sets.passive).all()
    assert same is sets or k == 2  # two need no guess


def test_nnls_from_a_wrong_guess(rng):
    factor = rng.standard_normal((6, 12))
    gram, rhs = factor @ factor.T, rng.standard_normal((6, 30))
    x, sets = nnls_columns(gram, rhs)
    wrong, _ = nnls_columns(gram, -rhs)
    guess = nnls_columns(gram, -rhs)[1]
    again, found = nnls_columns(gram, rhs, guess)
    assert not np.allclose(wrong, x)
    np.testing.assert_allclose(again, x, atol=1e-12)
    assert (found.passive == sets.passive).all()


def test_inexact_nnls_is_feasible_and_leads_on(rng):
    factor = rng.standard_normal((6, 12))
    gram, rhs = factor @ factor.T, rng.standard_normal((6, 200))
    exact, _ = nnls_columns(gram, rhs)
    sets = None
    for _ in range(30):
        x, sets = nnls_columns(gram, rhs, sets, exact=False)
        assert (x >= 0).all()
    assert np.isclose(x, exact, atol=1e-9).mean() > 0.95


@pytest.mark.parametrize('k', [2, 4])
def test_nnls_equals_scipy(rng, k):
    from scipy.optimize import nnls

    A = rng.random((12, k))
    targets = rng.standard_normal((40, 12)) + rng.random((40, 1))
    x, _ = nnls_columns(A.T @ A, (targets @ A).T)
    np.testing.assert_allclose(x.T, [nnls(A, t)[0] for t in targets], atol=1e-9)


def test_nnls_by_single_exchanges(rng, monkeypatch):
    factor = rng.standard_normal((8, 10))
    gram, rhs = factor @ factor.T, rng.standard_normal((8, 60))
    expected, _ = nnls_columns(gram, rhs)
    monkeypatch.setattr(nnls, '_FULL_EXCHANGES', -1)  # the way out of a cycle, from the first
    np.testing.assert_allclose(nnls_columns(gram, rhs)[0], expected, atol=1e-11)


@pytest.mark.parametrize('k', [1, 3, 5])
def test_inverses_on_all_sets_solve_as_those_of_groups(rng, monkeypatch, k):
    factor = rng.standard_normal((k, 2 * k))
    gram, rhs = factor @ factor.T, rng.standard_normal((k, 300))
    sets = nnls.PassiveSets(rng.random((k, 300)) < 0.5)
    x = nnls.solve_on_sets(gram, rhs, sets)
    assert (x[~sets.passive] == 0).all()
    monkeypatch.setattr(nnls, '_ALL_SETS', 0)
    np.testing.assert_allclose(x, nnls.solve_on_sets(gram, rhs, sets), atol=1e-12)


def test_nnls_of_two_needs_no_pivots(rng, monkeypatch):
    A = rng.random((12, 2))
    rhs = A.T @ rng.random((12, 300))
    expected, _ = nnls_columns(np.kron(np.eye(2), A.T @ A), np.vstack([rhs, rhs]))
    monkeypatch.setattr(nnls, '_pivot', None)
    x, sets = nnls_columns(A.T @ A, rhs)
    np.testing.assert_allclose(x, expected[:2], atol=1e-12)
    assert (sets.passive == (x > 0)).all()


def test_spectral_norm(rng):
    W = rng.random((9, 3))
    assert spectral_norm(W) == pytest.approx(np.linalg.norm(W, 2))


def test_pnmf_reports_its_gradient(X):
    start = OPNMF(3).fit(X).components_.T
    end = solve_pnmf(CovarianceOperator(X), start)
    assert end.residual < 1e-3


@pytest.mark.parametrize('k', [2, 4, 7])
def test_compressed_data_end_at_a_fixed_point_of_the_data(k):
    cohort = planted_cohort(
        CohortDesign(n_subjects=40), np.random.default_rng(0), level=4, region_size=200
    )
    X = standardise(cohort.data.values)[0]
    operator = CovarianceOperator(X)
    start = Starts(operator, k, 'nndsvd').first(k, np.random.default_rng(0))
    plain, compressed = (solve_anls(operator, [start], rank=rank)[0] for rank in (0, 32))
    assert compressed.converged
    assert fixed_point_residual(compressed.W, X.T @ (X @ compressed.W))[0] <= 1e-5
    if k == 4:  # elsewhere another fixed point may be as good
        assert compressed.error == pytest.approx(plain.error, rel=1e-6)


def test_compressed_data_save_products_with_the_data(monkeypatch):
    cohort = planted_cohort(
        CohortDesign(n_subjects=40), np.random.default_rng(0), level=4, region_size=200
    )
    operator = CovarianceOperator(standardise(cohort.data.values)[0])
    products = []
    times = CovarianceOperator.times
    monkeypatch.setattr(
        CovarianceOperator,
        'times',
        lambda self, V: products.append(self is operator) or times(self, V),
    )
    end = solve_anls(operator, [Starts(operator, 4, 'nndsvd').first(4, None)])[0]
    assert end.converged
    assert sum(products) <= 10
    assert end.n_iter > sum(products)


def test_futile_compression_is_given_up(X, monkeypatch):
    operator = CovarianceOperator(X)
    start = Starts(operator, 4, 'nndsvd').first(4, None)
    monkeypatch.setattr(CompressedData, 'times', lambda self, V: 0 * V + 1.0)  # a wrong model
    end = solve_anls(operator, [start], rank=32)[0]
    assert end.converged
    assert fixed_point_residual(end.W, X.T @ (X @ end.W))[0] <= 1e-5


def test_model_is_exact_where_it_has_been(X, rng):
    operator = CovarianceOperator(X)
    model = CompressedData(operator.compressed(8))
    points = [rng.random((3, X.shape[1])) for _ in range(3)]
    A = X.T @ X
    for V in points:
        model.learn(V, V @ A)
    for V in points[:-1]:  # by the appended rows alone
        np.testing.assert_allclose((V @ model.rows.T) @ model.rows, V @ A, rtol=1e-6)
    np.testing.assert_allclose(model.times(points[-1]), points[-1] @ A, rtol=1e-12)
    excess = np.linalg.eigvalsh(A - model.rows.T @ model.rows)
    assert excess.min() > -1e-8 * np.trace(A)


def test_steps_to_come_are_summed_up(rng):
    factor = np.diag([0.9, 0.5, -0.4, 0.0, 0.0])
    fixed = rng.random(5)
    extrapolation = Extrapolation()
    w = fixed + np.array([1.0, 1.0, 1.0, 0.0, 0.0]) * 1e-2
    for _ in range(4):
        image = fixed + factor @ (w - fixed)
        extra = extrapolation(w, image)
        last, w = image, image
    assert np.abs(last - fixed).max() > 5e-3
    np.testing.assert_allclose(last + extra, fixed, atol=1e-6)


def test_unstable_fixed_points_are_not_approached(rng):
    factor, fixed = np.diag([1.2, 0.5, 0.0]), np.full(3, 5.0)
    extrapolation = Extrapolation()
    w = fixed + np.array([1e-3, 1e-3, 0.0])
    for _ in range(4):
        image = fixed + factor @ (w - fixed)
        extra = extrapolation(w, image)
        last, w = image, image
    assert (last + extra - fixed)[0] > (last - fixed)[0]  # on, the way the iteration goes


def near_fixed_point(X, k, size, rng):
    """Return a point near a fixed point of A = X'X, and its exact step."""
    V = OPNMF(k, tol=1e-12).fit(X).components_.astype(float)
    V = V * (1 + size * rng.standard_normal(V.shape))
    return V, *exact_step(X, V)


def exact_step(X, V):
    AV = (V @ X.T) @ X
    target, sets = nnls_columns(V @ AV.T, AV)
    mu = np.vdot(target, V) / np.vdot(V, V)
    return target / mu, mu, sets, np.linalg.norm(target / mu - V) / np.linalg.norm(V)


@pytest.mark.parametrize('k', [1, 2, 4])
def test_newton_squares_the_residual(rng, k):
    X = rng.random((9, k)) @ np.repeat(np.eye(k), 20, axis=1) + 0.05 * rng.random((9, 20 * k))
    V, target, mu, sets, residual = near_fixed_point(X, k, 1e-3, rng)
    *_, left = exact_step(X, newton_point(X, V, target, mu, sets, len(X))[0])
    assert 1e-5 < residual < 1e-2
    assert left < max(30 * residual**2, 1e-12)


def test_derivative_may_be_used_again(rng):
    X = rng.random((9, 3)) @ np.repeat(np.eye(3), 20, axis=1) + 0.05 * rng.random((9, 60))
    V, target, mu, sets, _ = near_fixed_point(X, 3, 1e-3, rng)
    point, kept = newton_point(X, V, target, mu, sets, len(X))
    np.testing.assert_allclose(
        newton_point(X, V, target, mu, sets, len(X), kept)[0], point, rtol=1e-9
    )
    target, mu, sets, residual = exact_step(X, point)
    *_, left = exact_step(X, newton_point(X, point, target, mu, sets, len(X), kept)[0])
    assert left < 0.1 * residual


def test_derivative_is_given_up_where_it_does_not_lead_on():
    derivative = anls._Derivative('resolvent', leading=5, residual=1.0)
    assert derivative.take(5, 0.9) is derivative.take(6, 0.1) is None
    taken = [derivative.take(5, 0.1) for _ in range(anls._USES + 1)]
    assert taken == ['resolvent'] * anls._USES + [None]


def test_sizes_of_components_change_no_step(X, rng):
    V = Starts(CovarianceOperator(X), 3, 'nndsvd').first(3, None).T
    sizes = np.array([[3.0], [1.0], [0.2]])

    def balanced(V):
        target, *_ = exact_step(X, V)
        scale = anls._balance(V, target)
        return [part / np.linalg.norm(part) for part in (scale * V, target / scale)]

    for here, there in zip(balanced(V), balanced(sizes * V), strict=True):
        np.testing.assert_allclose(here, there, atol=1e-10)
    dying = anls._balance(V, np.array([[0.0], [1.0], [1.0]]) * V)
    np.testing.assert_array_equal(dying, 1.0)


def test_derivative_of_the_leading_observations_is_nearly_enough(rng):
    k = 3
    X = rng.random((k, k)) @ np.repeat(np.eye(k), 20, axis=1)
    X = np.concatenate([X, 0.02 * rng.random((6, 20 * k))])
    V, target, mu, sets, residual = near_fixed_point(X, k, 1e-3, rng)
    *_, left = exact_step(X, newton_point(X, V, target, mu, sets, k)[0])
    *_, plain = exact_step(X, target)
    assert left < 0.1 * residual < plain


def test_derivative_of_a_step_is_that_of_differences(rng):
    k, X = 3, rng.random((6, 40))
    V, _, mu, sets, _ = near_fixed_point(X, k, 1e-2, rng)
    H, groups = np.sqrt(mu) * (V @ X.T), sets.groups
    products = newton._products(X, groups)

    def inverses(amounts):
        return nnls.inverses_in_groups(amounts @ amounts.T, groups)

    def image(amounts):
        return (inverses(amounts) @ amounts @ products).sum(axis=0)

    J = newton._derivative(H, inverses(H), products)
    for _ in range(5):
        change = rng.standard_normal(H.shape)
        up, down = (image(H + step * change) for step in (1e-6, -1e-6))
        np.testing.assert_allclose(
            J @ change.ravel(), (up - down).ravel() / 2e-6, rtol=1e-5, atol=1e-4
        )


@pytest.mark.parametrize('growing', [1, 2])
def test_newton_leaves_fixed_points_that_repel(rng, growing):
    basis = np.linalg.qr(rng.standard_normal((4, 4)))[0]
    rates = np.array([0.5, -0.8, 1.3, 1.3 if growing == 2 else 0.2])
    J, here = basis @ np.diag(rates) @ basis.T, 0.1 * basis.sum(axis=1)  # the fixed point is 0
    change, _ = newton._change(J, J @ here - here, np.full(4, 0.5) + here)
    left = basis.T @ (here + change)
    assert (np.abs(left[rates > 1]) > 0.1).all()


def test_few_components_need_few_products_with_the_data(X, monkeypatch):
    operator = CovarianceOperator(X)
    products, times = [], CovarianceOperator.times
    monkeypatch.setattr(
        CovarianceOperator,
        'times',
        lambda self, V: products.append(self is operator) or times(self, V),
    )
    for k in (2, 4):
        products.clear()
        assert solve_anls(operator, [Starts(operator, k, 'nndsvd').first(k, None)])[0].converged
        assert sum(products) <= 5


def test_compressed_data_hold_the_leading_variation(rng):
    parts = rng.standard_normal((120, 4)) * [40.0, 20.0, 10.0, 5.0]
    X = parts @ rng.standard_normal((4, 300)) + rng.standard_normal((120, 300))
    coarse = CovarianceOperator(X).compressed(8).X
    values = np.linalg.svd(X, compute_uv=False)[:4]
    np.testing.assert_allclose(np.linalg.norm(coarse, axis=1)[:4], values, rtol=0.02)
    assert CovarianceOperator(X[:3]).compressed(8).X.shape == (3, 300)


def test_fits_that_wander_end_at_a_fixed_point():
    cohort = planted_cohort(
        CohortDesign(n_subjects=16), np.random.default_rng(21), geometry_seed=21
    )
    half = split_halves(cohort.participants['group'], 2, 21)[0][1]
    X = standardise(cohort.data.values[:, half])[0]
    ends = {k: fit_path(X, [k])[k][0] for k in (10, 11)}
    for end in ends.values():
        assert end.converged
        assert fixed_point_residual(end.W, X.T @ (X @ end.W))[0] <= 1e-5
    assert ends[11].n_iter < 400  # by steps and coordinate descent alone 602


def test_rows_that_depend_on_each_other(rng):
    V = rng.random((2, 9)) * 1e-200
    rows = orthonormal(np.vstack([V, V[0] + V[1], V]))
    np.testing.assert_allclose(rows @ rows.T, np.eye(2), atol=1e-8)
    A = (B := rng.random((4, 9))).T @ B
    C = factor_on(rows, rows @ A)
    np.testing.assert_allclose(C.T @ (C @ rows.T), A @ rows.T, atol=1e-10)


def test_one_pass_over_the_data(rng):
    X = rng.random((40, 3000)) + 0.5
    for data in (X, X.T, X.astype(np.float32)):
        lowest, square = lowest_and_square(data)
        assert lowest == data.min()
        assert square == pytest.approx(np.sum(data.astype(float) ** 2))
    X[39, 2999] = np.nan
    assert np.isnan(lowest_and_square(X)[0])


def test_vertices_that_are_zero_in_the_first_observations():
    X = np.ones((30, 5))
    X[:, 1], X[:20, 3] = 0, 0
    assert nonzero_columns(X).tolist() == [True, False, True, True, True]


def test_small_data_are_not_compressed(X):
    for few, k in ((20, 2), (60, 12)):
        assert anls._compressed(CovarianceOperator(X[:few]), k, None) is None
        assert anls._compressed(CovarianceOperator(X), k, None) is not None


def test_batches_bound_the_memory_and_change_little(X, monkeypatch):
    together = fit_path(X, [2, 4, 5])
    sizes = []
    solve = anls._solve_together
    monkeypatch.setattr(anls, 'TOGETHER', 6 * X.shape[1])
    monkeypatch.setattr(anls, '_solve_together', lambda *a: sizes.append(len(a[2])) or solve(*a))
    apart = fit_path(X, [2, 4, 5])
    assert sizes == [2, 1]
    for k, ends in apart.items():
        assert ends[0].error == pytest.approx(together[k][0].error, rel=1e-6)


@pytest.mark.filterwarnings('error', 'ignore::sklearn.exceptions.ConvergenceWarning')
@pytest.mark.parametrize('k', [1, 3, 5])
@pytest.mark.parametrize(
    'options', [{}, {'init': 'random', 'random_state': 0}, {'objective': 'pnmf'}, {'solver': 'mu'}]
)
def test_odd_data_give_finite_results_without_a_warning(rng, k, options):
    odd = [
        rng.random((20, 30)) * 1e-30, rng.random((20, 30)) * 1e150, np.ones((6, 8)),
        rng.random((1, 12)), rng.random((12, 1)), rng.random((20, 2)) @ rng.random((2, 30)),
        np.where(rng.random((20, 30)) < 0.9, 0.0, 1.0), np.repeat(rng.random((9, 4)), 5, axis=1),
    ]  # fmt: skip
    for X in odd:
        model = OPNMF(k, max_iter=40, **options).fit(X)
        assert np.isfinite(model.components_).all()
        assert np.isfinite(model.reconstruction_err_)
