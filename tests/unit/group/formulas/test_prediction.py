from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold

from bids_acc.exceptions import InputDataError
from bids_acc.group.formulas import prediction as pr
from bids_acc.group.formulas.harmonise import ComBat


def cohort(n=48, effect=1.5, seed=0, sites=('x', 'y')):
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(rng.normal(size=(n, 3)), columns=['glx', 'md', 'thickness'])
    yes = np.arange(n) % 2 == 1
    table['glx'] += effect * yes
    table['response'] = np.where(yes, 'responder', 'nonresponder')
    table['site'] = np.repeat(sites, n // len(sites))
    table['change'] = table['md'] + 0.5 * rng.normal(size=n)
    return table


FEATURES = ['glx', 'md', 'thickness']
FAST = {'n_repeats': 1, 'n_permutations': 0, 'n_inner': 3}


def run(table, rng_seed=0, **options):
    return pr.predict(
        table, 'response', FEATURES, rng=np.random.default_rng(rng_seed), positive='responder',
        **{**FAST, **options},
    )  # fmt: skip


def test_planted_signal_is_found_on_unseen_subjects():
    result = run(cohort(effect=2.0))
    assert result.value > 0.8
    assert result.ci_low < result.value < result.ci_high <= 1
    assert result.n_per_class == {'nonresponder': 24, 'responder': 24}


def test_noise_gives_chance_even_with_many_features():
    table = cohort(effect=0)
    rng = np.random.default_rng(1)
    wide = pd.DataFrame(rng.normal(size=(48, 200)), columns=[f'n{i}' for i in range(200)])
    table = table.join(wide)
    result = pr.predict(table, 'response', list(wide), rng=rng, positive='responder', **FAST)
    # A score of the fitted subjects would be 1 here: 200 features separate 48 subjects.
    assert 0.2 < result.value < 0.75


def test_shared_preparation_equals_a_plain_grid_search():
    table = cohort()
    X, y = table[FEATURES].to_numpy(), (table['response'] == 'responder').to_numpy(dtype=float)
    pipeline = pr.make_pipeline()
    plan = pr._Plan(pipeline, True, 'folds', 5, 4, None)
    model, penalty = pr._fit_with_inner_folds(plan, X, y, seed=3)
    inner = StratifiedKFold(4, shuffle=True, random_state=3)
    grid = {'model__C': list(pr.PENALTIES)}
    peer = GridSearchCV(pipeline, grid, scoring='roc_auc', cv=inner).fit(X, y)
    assert penalty == peer.best_params_['model__C']
    scores = pr._inner_scores(plan, X, y, seed=3)[1]
    np.testing.assert_allclose(scores, peer.cv_results_['mean_test_score'])
    np.testing.assert_allclose(model.decision_function(X), peer.decision_function(X))


def test_continuous_scores_equal_a_plain_grid_search():
    table = cohort()
    X, y = table[FEATURES].to_numpy(), table['change'].to_numpy()
    # Few rows and wide scales: preparing on the wrong rows would show.
    X = X[:20] * np.array([1, 10, 100]) + np.linspace(0, 50, 20)[:, None]
    plan = pr._Plan(pr.make_pipeline(classify=False), False, 'folds', 5, 4, None)
    scores = pr._inner_scores(plan, X, y[:20], seed=3)[1]
    peer = GridSearchCV(
        plan.pipeline, {'model__alpha': [1 / c for c in pr.PENALTIES]},
        scoring='neg_mean_squared_error', cv=KFold(4, shuffle=True, random_state=3),
    ).fit(X, y[:20])  # fmt: skip
    np.testing.assert_allclose(scores, peer.cv_results_['mean_test_score'])


def test_nothing_is_learnt_from_the_test_fold(monkeypatch):
    """Wild values of one subject must not touch the predictions of the others in its fold."""
    table = cohort()
    plan = pr._Plan(pr.make_pipeline(), True, 'folds', 4, 3, None)
    X, y = table[FEATURES].to_numpy(), (table['response'] == 'responder').to_numpy(dtype=float)
    test = plan.folds(X, y, 0)[0][1]
    clean = pr._cross_validate(plan, X, y, 0)[1]
    X[test[0]] = 1e6
    wild = pr._cross_validate(plan, X, y, 0)[1]
    np.testing.assert_array_equal(wild[test[1:]], clean[test[1:]])


def test_result_has_no_score_of_fitted_subjects():
    names = {f.name for f in dataclasses.fields(pr.PredictionResult)}
    assert not [n for n in names if 'train' in n or 'sample' in n]


def test_seed_decides_everything():
    a, b = (run(cohort(effect=0.5), rng_seed=4, n_permutations=3) for _ in range(2))
    np.testing.assert_array_equal(a.fold_scores, b.fold_scores)
    assert a.p == b.p


def test_permutation_p_is_small_for_a_strong_signal():
    result = run(cohort(effect=3), n_permutations=19)
    assert result.p == pytest.approx(1 / 20)


def test_permutation_keeps_sites():
    y = np.array([0.0, 0, 0, 1, 1, 1])
    sites = np.array(['a', 'a', 'a', 'b', 'b', 'b'])
    for shuffled in pr._permutations(y, sites, 5, np.random.default_rng(0)):
        np.testing.assert_array_equal(shuffled, y)


def test_continuous_outcome():
    result = pr.predict(cohort(), 'change', FEATURES, rng=np.random.default_rng(0), **FAST)
    assert result.metric == 'r'
    assert result.value > 0.6
    assert result.n_per_class == {}


def test_leave_site_out_has_one_fold_for_each_site():
    table = cohort(n=60, effect=2, sites=('x', 'y', 'z'))
    result = run(table, scheme='leave-site-out', site='site')
    assert result.fold_scores.shape == (1, 3)
    assert result.value > 0.75


def test_harmonising_inside_folds_helps_when_sites_differ():
    table = cohort(n=60, effect=1.5)
    table.loc[table['site'] == 'y', FEATURES] += 8
    combat = ComBat(site='site', min_per_site=5)
    with_combat = run(table, site='site', harmonise=combat)
    assert with_combat.value > run(table, site='site').value
    assert not hasattr(combat, 'gamma_')  # fitted copies only


def test_text_predictor_and_missing_values():
    table = cohort(effect=2)
    table['sex'] = np.where(np.arange(48) % 3, 'F', 'M')
    table.loc[::7, 'glx'] = np.nan
    result = pr.predict(
        table, 'response', [*FEATURES, 'sex'], rng=np.random.default_rng(0),
        positive='responder', **FAST,
    )  # fmt: skip
    assert result.value > 0.7


class TestRefusals:
    def test_small_class(self):
        with pytest.raises(InputDataError, match='fewer than 20'):
            run(cohort(n=30))

    def test_small_class_forced_says_so(self):
        result = run(cohort(n=30), force=True)
        assert 'forced with 15' in result.note

    def test_small_continuous(self):
        with pytest.raises(InputDataError, match='fewer than 40'):
            pr.predict(cohort(n=30), 'change', FEATURES, rng=np.random.default_rng(0), **FAST)

    def test_outcome_among_predictors(self):
        with pytest.raises(InputDataError, match='to be predicted'):
            pr.predict(
                cohort(), 'response', ['response'], rng=np.random.default_rng(0),
                positive='responder',
            )  # fmt: skip

    def test_outcome_preserved_by_combat(self):
        with pytest.raises(InputDataError, match='to be predicted'):
            run(cohort(), harmonise=ComBat(preserve=('response',)))

    def test_combat_on_a_site_left_out(self):
        with pytest.raises(InputDataError, match='no ComBat'):
            run(cohort(), scheme='leave-site-out', site='site', harmonise=ComBat())

    def test_three_classes(self):
        table = cohort()
        table.loc[0, 'response'] = 'partial'
        with pytest.raises(InputDataError, match='two classes'):
            run(table)

    def test_unknown_predictor(self):
        with pytest.raises(InputDataError, match="'fa'"):
            pr.predict(
                cohort(), 'response', ['fa'], rng=np.random.default_rng(0), positive='responder'
            )


def test_auc_equals_scikit_learn():
    rng = np.random.default_rng(0)
    truth, decision = rng.integers(0, 2, 50), rng.integers(0, 9, 50)
    assert pr.roc_auc(truth, decision) == pytest.approx(roc_auc_score(truth, decision))


def test_interval_is_wider_than_the_naive_one():
    scores = np.array([0.6, 0.7, 0.8, 0.75, 0.65])
    low, high = pr.corrected_interval(scores, 0.25)
    naive = scores.std(ddof=1) / np.sqrt(5)
    assert high - low > 2 * 2.776 * naive * 1.4
