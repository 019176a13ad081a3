"""Number of components: halves, curves, the written rule, resuming, the same bytes."""

from __future__ import annotations

import logging
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import StratifiedShuffleSplit

from bids_acc.execution import plugins
from bids_acc.group.opnmf import fit_path, rank
from bids_acc.group.opnmf.choice import choose_k
from bids_acc.group.opnmf.features import standardise
from bids_acc.group.opnmf.labels import deviations_from_mean_maps
from bids_acc.group.opnmf.rank import SelectionOptions, rank_curves
from bids_acc.group.opnmf.simulate import CohortDesign, planted_cohort
from bids_acc.group.opnmf.splits import split_halves, strata
from bids_acc.group.tasks import Pace, Task, run_tasks
from bids_acc.settings import Resources


@pytest.fixture(scope='module')
def cohort():
    design = CohortDesign(n_subjects=40)
    return planted_cohort(design, np.random.default_rng(3), level=4, region_size=120)


OPTIONS = SelectionOptions(ks=(2, 3, 4, 5, 6), n_splits=3, n_null=2)


@pytest.fixture(scope='module')
def found(cohort):
    return rank_curves(cohort.data.values, cohort.participants['group'], OPTIONS)


def test_halves_are_those_of_the_published_splitter():
    labels = ['a'] * 11 + ['b'] * 8
    expected = StratifiedShuffleSplit(3, test_size=0.5, random_state=0).split(labels, labels)
    for (a, b), (one, other) in zip(split_halves(labels, 3, 0), expected, strict=True):
        np.testing.assert_array_equal(a, np.sort(one))
        np.testing.assert_array_equal(b, np.sort(other))
        assert not set(a) & set(b)
        assert len(a) + len(b) == 19


def test_strata_too_small_are_merged_with_a_warning(caplog):
    table = pd.DataFrame(
        {
            'group': ['HC'] * 10 + ['TRS'] * 6 + ['odd'],
            'age': [*range(20, 30), *range(30, 36), 70],
        }
    )
    with caplog.at_level(logging.WARNING):
        names = strata(table)
    assert names.value_counts().min() >= 2
    assert 'odd' in caplog.text
    assert names.nunique() > 2


def test_absent_columns_and_missing_ages_do_not_stop(caplog):
    names = strata(pd.DataFrame({'age': [20, 30, np.nan, np.nan, 40, 50, 60]}))
    assert 'group' in caplog.text
    assert 'n/a' in set(names)
    assert len(split_halves(['x', 'y', 'z', 'z'], 2)) == 2


def test_planted_number_stands_out(found):
    curves = found.curves.set_index('k')
    assert curves['stability'].idxmax() == 4
    assert curves.loc[4, 'stability'] > 0.85
    assert curves['share_converged'].min() == 1
    assert (curves['full_gradient'].dropna() < curves['null_gradient'].dropna()).all()
    assert choose_k({'one': found.curves}).k == 4


def test_error_falls_and_gradient_is_its_difference(found):
    curves = found.curves
    assert (curves['recon_error'].diff().dropna() < 0).all()
    np.testing.assert_allclose(curves['gradient'][1:], np.diff(curves['recon_error']))
    assert (found.table['out_of_half_error'] >= found.table['relative_error']).all()


def test_small_cohorts_say_what_they_cannot_tell(cohort):
    tiny = rank_curves(cohort.data.values[:, :3], ['a'] * 3, OPTIONS)
    assert tiny.curves.empty
    assert 'cannot be split' in tiny.notes[0]
    small = rank_curves(cohort.data.values[:1, :6], ['a'] * 6, OPTIONS)
    assert small.curves['k'].tolist() == [2, 3]
    assert any('not examined' in note for note in small.notes)
    assert any('very small' in note for note in small.notes)
    one = rank_curves(cohort.data.values[:1, :6], ['a'] * 6, replace(OPTIONS, ks=(3, 4)))
    assert 'k = 4 was not examined' in one.notes[0]
    none = rank_curves(cohort.data.values[:1, :6], ['a'] * 6, replace(OPTIONS, ks=(9, 10)))
    assert none.curves.empty
    assert 'k = 9 to 10 were not examined' in none.notes[0]


def curves_of(stability, error):
    ks = range(2, 2 + len(stability))
    return pd.DataFrame({'k': ks, 'stability': stability, 'variation_error': error})


def test_rule_reads_the_published_curves():
    table = curves_of([0.92, 0.93, 0.90, 0.62, 0.60], [100, 80, 64, 60, 57])
    choice = choose_k({'toronto': table, 'tokyo': table})
    assert (choice.k, choice.stable, choice.agrees, choice.source) == (4, True, True, 'rule')
    assert any('Largest drop after an admissible k: 0.280, after k = 4' in t for t in choice.trace)


def test_one_unstable_cohort_forbids_a_number():
    good = curves_of([0.92, 0.93, 0.90, 0.62], [100, 80, 64, 60])
    bad = curves_of([0.92, 0.85, 0.79, 0.62], [100, 80, 64, 60])
    assert choose_k({'a': good, 'b': bad}).k == 3


def test_disagreement_is_said_and_elbow_preferred_only_if_stable():
    table = curves_of([0.90, 0.92, 0.93, 0.95, 0.60], [100, 80, 50, 45, 42])
    choice = choose_k({'a': table})
    assert (choice.k, choice.agrees) == (4, False)
    assert any('DISAGREE' in line for line in choice.trace)


def test_nothing_stable_is_said():
    choice = choose_k({'a': curves_of([0.3, 0.5, 0.4], [3, 2, 1])})
    assert (choice.k, choice.stable) == (3, False)
    assert 'NOT STABLE' in choice.trace[-1]


def test_mean_maps_do_not_make_parts(cohort):
    design = CohortDesign(n_subjects=40, map_effect=1.0)  # stable detail that nobody varies in
    strong = planted_cohort(design, np.random.default_rng(3), level=4, region_size=120)
    curves = rank_curves(
        strong.data.values, strong.participants['group'], replace(OPTIONS, n_null=0)
    ).curves.set_index('k')

    def elbow(error):
        return int((error.shift(1) - 2 * error + error.shift(-1)).idxmax())

    assert elbow(curves['variation_error']) == 4
    assert elbow(curves['recon_error']) != 4


def test_variation_and_mean_maps_add_up(cohort):
    X = standardise(cohort.data.values)[0]
    W = fit_path(X, [3])[3][0].W
    deviations = deviations_from_mean_maps(X, 4)
    means = X.reshape(4, 40, -1).mean(axis=1)
    of_means = 40 * np.linalg.norm(means - means @ W @ W.T) ** 2
    of_variation = np.linalg.norm(deviations - deviations @ W @ W.T) ** 2
    assert of_means + of_variation == pytest.approx(np.linalg.norm(X - X @ W @ W.T) ** 2)


def test_null_keeps_the_mean_maps_and_breaks_what_varies_together(cohort, monkeypatch):
    seen = []
    monkeypatch.setattr(rank, 'fit_path', lambda X, ks, **kw: seen.append(X) or {})
    rank.null_records(cohort.data.values, 0, OPTIONS)
    X = standardise(cohort.data.values)[0].reshape(4, 40, -1)
    null = seen[0].reshape(4, 40, -1)
    np.testing.assert_allclose(null.mean(axis=1), X.mean(axis=1))
    np.testing.assert_allclose(np.sort(null, axis=1), np.sort(X, axis=1), atol=1e-12)
    correlation = [np.corrcoef(maps[0].T).mean() for maps in (X, null)]
    assert correlation[0] > 0.1
    assert abs(correlation[1]) < 0.01


@pytest.mark.parametrize(('name', 'where'), [('a', ' in a'), ('', '')])
def test_gain_of_the_null_is_no_gain(name, where):
    table = curves_of([0.9, 0.9, 0.95, 0.5], [100, 90, 89, 88]).assign(
        full_gradient=[np.nan, -10, -1, -1], null_gradient=[np.nan, -2, -2, -2]
    )
    choice = choose_k({name: table})
    assert choice.k == 3
    assert f'No gain beyond exchanged sessions{where} at k = 4.' in choice.trace


def test_override_and_default_are_recorded():
    table = curves_of([0.92, 0.93, 0.90, 0.62], [100, 80, 64, 60])
    choice = choose_k({'a': table}, override=5)
    assert (choice.k, choice.by_rule, choice.source, choice.stable) == (5, 4, 'override', False)
    nothing = choose_k({'a': pd.DataFrame()})
    assert (nothing.k, nothing.source) == (4, 'default')


def test_same_bytes_with_any_number_of_workers(cohort, found):
    again = rank_curves(cohort.data.values, cohort.participants['group'], OPTIONS, n_jobs=2)
    pd.testing.assert_frame_equal(again.table, found.table, check_exact=True)
    pd.testing.assert_frame_equal(again.curves, found.curves, check_exact=True)


def test_a_killed_selection_continues(cohort, found, tmp_path, monkeypatch):
    class Killed(Exception):
        pass

    seen = []

    def progress(state):
        seen.append(str(state))
        if state.done == 3:
            raise Killed

    arguments = (cohort.data.values, cohort.participants['group'], OPTIONS)
    with pytest.raises(Killed):
        rank_curves(*arguments, work_dir=tmp_path, progress=progress)
    stored = sorted(path.name for path in tmp_path.rglob('*.json'))
    assert len(stored) == 3
    calls = []
    full = rank.full_records
    monkeypatch.setattr(rank, 'full_records', lambda **kw: calls.append(1) or full(**kw))
    again = rank_curves(*arguments, work_dir=tmp_path)
    assert not calls  # the first task was not computed anew
    pd.testing.assert_frame_equal(again.table, found.table, check_exact=True)
    other = SelectionOptions(ks=(2, 3), n_splits=2, n_null=0)
    rank_curves(*arguments[:2], other, work_dir=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2  # other settings, other folder


def test_half_written_results_are_computed_again(tmp_path):
    (tmp_path / 'a.json').write_text('[{"x":')
    results = run_tasks([Task('a', lambda: [{'x': np.float64(1)}])], folder=tmp_path)
    assert results == {'a': [{'x': 1.0}]}
    assert (tmp_path / 'a.json').read_text() == '[{"x": 1.0}]'


@pytest.mark.slow
def test_dask_workers_give_the_same_bytes(cohort, found):
    distributed = pytest.importorskip('distributed')
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None
    ) as cluster:
        resources = Resources(plugin='Dask')
        options = {'scheduler': cluster.scheduler_address}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(plugins, '_plugin_choice', lambda asked: (asked, options))
            with plugins.joblib_workers(resources) as (backend, n_jobs):
                assert (backend, n_jobs) == ('dask', 2)
                done = []
                again = rank_curves(
                    cohort.data.values,
                    cohort.participants['group'],
                    OPTIONS,
                    n_jobs=n_jobs,
                    backend=backend,
                    progress=lambda state: done.append(state.done),
                )
    assert done == list(range(1, 7))
    pd.testing.assert_frame_equal(again.table, found.table, check_exact=True)
    pd.testing.assert_frame_equal(again.curves, found.curves, check_exact=True)


def test_without_dask_the_workers_are_processes_of_this_machine():
    with plugins.joblib_workers(Resources(nprocs=3)) as workers:
        assert workers == ('loky', 3)


def test_time_left_counts_workers_and_kinds():
    short, long = (Task(name, kind) for name, kind in (('a', list), ('b', sorted)))
    pace = Pace()
    pace.add(short, 1.0)
    assert pace.seconds_left([short, long], 1) == 2.0  # nothing is known of the other kind
    pace.add(long, 4.0)
    pace.add(long, 6.0)
    assert pace.seconds_left([short] * 6 + [long] * 2, 4) == 4.0
    assert pace.seconds_left([long], 8) == 5.0  # a single task is not split
    assert pace.seconds_left([], 8) == 0.0


def test_time_left_is_right_from_the_first_task():
    def nap():
        time.sleep(0.1)
        return []

    left = []
    run_tasks(
        [Task(f'nap-{i}', nap) for i in range(8)], n_jobs=4, backend='threading',
        progress=lambda state: left.append(state.seconds_left),
    )  # fmt: skip
    assert 0.1 < left[0] < 0.4  # one after the other: 0.7
    assert left[-1] == 0.0


def test_each_rule_follows_its_own_criterion():
    # the index drops after 4, the variation error bends at 3, the whole error at 4
    table = curves_of([0.95, 0.93, 0.92, 0.6, 0.5], [10, 6, 5.5, 5.2, 5.0])
    table['full_error'] = [10, 8.5, 7, 6.8, 6.7]
    table['full_gradient'] = table['full_error'].diff()
    table['null_gradient'] = -0.1
    assert [choose_k({'a': table}, rule=r).k for r in ('variation', 'stability', 'published')] == [
        3, 4, 4,
    ]  # fmt: skip
    assert choose_k({'a': table}, rule='published').agrees
    assert not choose_k({'a': table}, rule='stability').agrees
    idle = table.assign(null_gradient=[np.nan, -2.0, -2.0, -2.0, -2.0])
    assert choose_k({'a': idle}, rule='stability').k == 2  # no gain beyond the null from 3 on
    assert choose_k({'a': idle}, rule='published').k == 4
    assert choose_k({'a': table}, rule='published').trace[0] == 'Rule: published.'
