"""Task response: against statsmodels, a planted block, runs together, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from bids_acc.exceptions import InputDataError, SettingsError
from bids_acc.func import task
from bids_acc.func.task import (
    check_left,
    choose_contrasts,
    design_matrix,
    events_and_notes,
    fit_run,
    fixed_effects,
    not_told,
    present_contrasts,
    read_events,
)

TR = 2.0


def events(n_blocks=8, length=12.0):
    """Blocks of two conditions in turn."""
    return pd.DataFrame(
        {
            'onset': np.arange(n_blocks) * 2 * length,
            'duration': length,
            'trial_type': ['faces', 'shapes'] * (n_blocks // 2),
        }
    )


def design(rng, n=100, start=1.0):
    regressors = pd.DataFrame(rng.standard_normal((n, 3)), columns=['a', 'b', 'cosine00'])
    return design_matrix(events(), n, 0, TR, start, regressors)


def test_ordinary_and_ar1_equal_statsmodels(rng, monkeypatch):
    matrix, contrast = design(rng), choose_contrasts(['faces', 'shapes'], ['faces-shapes'])
    series = 500 + rng.standard_normal((100, 1)).cumsum(axis=0) * 0.3
    scaled = 100 * series[:, 0] / series.mean()
    weights = [contrast[0].weights.get(c, 0) for c in matrix.columns]

    def ordinary(y, x, noise_model):
        del noise_model
        return run(y, x, noise_model='ols')

    run = task.run_glm
    monkeypatch.setattr(task, 'run_glm', ordinary)
    found = fit_run(series, matrix, contrast)['facesVsshapes']
    expected = sm.OLS(scaled, matrix.to_numpy()).fit().t_test(weights)
    assert found.effect[0] == pytest.approx(expected.effect[0], rel=1e-6)
    assert found.variance[0] == pytest.approx(expected.sd[0, 0] ** 2, rel=1e-6)
    monkeypatch.setattr(task, 'run_glm', run)

    labels, _ = run(scaled[:, None], matrix.to_numpy(), noise_model='ar1')
    rho = float(str(labels[0]).split('_')[-1]) if isinstance(labels[0], str) else float(labels[0])
    found = fit_run(series, matrix, contrast)['facesVsshapes']
    # nilearn whitens as y[t] - rho y[t - 1] and leaves the first volume as it is
    white = scaled - rho * np.concatenate([[0], scaled[:-1]])
    x = matrix.to_numpy()
    expected = sm.OLS(white, x - rho * np.vstack([np.zeros(x.shape[1]), x[:-1]])).fit()
    assert found.effect[0] == pytest.approx(expected.t_test(weights).effect[0], rel=1e-6)


def test_a_planted_block_comes_back_in_per_cent(rng):
    matrix = design(rng)
    contrasts = choose_contrasts(['faces', 'shapes'], ['faces', 'faces-shapes'])
    noise = rng.standard_normal((100, 200))
    planted = 800 * (1 + 0.02 * matrix['faces'].to_numpy() + 0.005 * matrix['shapes'].to_numpy())
    found = fit_run(planted[:, None] + 2 * noise, matrix, contrasts)
    # per cent of the mean over time, which the blocks raise a little
    level = planted.mean() / 800
    assert found['faces'].effect.mean() == pytest.approx(2 / level, rel=0.02)
    assert found['facesVsshapes'].effect.mean() == pytest.approx(1.5 / level, rel=0.03)
    assert found['facesVsshapes'].z.min() > 5


def test_slices_half_a_tr_off_cost_effect(rng):
    truth = design(rng, start=1.0)
    off = design_matrix(events(length=8.0), 100, 0, TR, 2.0, pd.DataFrame(index=range(100)))
    right = design_matrix(events(length=8.0), 100, 0, TR, 1.0, pd.DataFrame(index=range(100)))
    series = 500 * (1 + 0.02 * right['faces'].to_numpy())[:, None] + rng.standard_normal((100, 50))
    wanted = choose_contrasts(['faces', 'shapes'], ['faces'])
    good = fit_run(series, right, wanted)['faces'].effect.mean()
    assert fit_run(series, off, wanted)['faces'].effect.mean() < 0.99 * good
    assert len(truth) == 100


def test_places_without_signal_are_missing(rng):
    series = 500 + rng.standard_normal((100, 3))
    series[:, 1] = np.nan
    series[:, 2] = 0
    found = fit_run(series, design(rng), choose_contrasts(['faces', 'shapes'], []))
    assert np.isfinite(found['faces'].effect).tolist() == [True, False, False]


def test_fixed_effects_weigh_by_precision(rng):
    contrast = choose_contrasts(['faces', 'shapes'], ['faces'])
    runs = [
        fit_run(500 + sd * rng.standard_normal((100, 4)), design(rng), contrast)['faces']
        for sd in (1.0, 4.0)
    ]
    found = fixed_effects(runs)
    precision = 1 / np.array([r.variance for r in runs])
    expected = (precision * [r.effect for r in runs]).sum(axis=0) / precision.sum(axis=0)
    np.testing.assert_allclose(found.effect, expected)
    assert (found.variance < np.minimum(runs[0].variance, runs[1].variance)).all()
    assert fixed_effects(runs[:1]) is runs[0]


@pytest.mark.parametrize(
    ('words', 'weights'),
    [('faces', {'faces': 1}), ('faces-shapes', {'faces': 1, 'shapes': -1}),
     ('faces+go-stop-shapes', {'faces': 1, 'go-stop': 1, 'shapes': -1})],
)  # fmt: skip
def test_contrasts(words, weights):
    found = choose_contrasts(['faces', 'shapes', 'go-stop'], [words])[0]
    plus = sum(w > 0 for w in weights.values())
    assert dict(found.weights) == {k: w / plus if w > 0 else w for k, w in weights.items()}
    assert found.name.isalnum()


def test_an_unknown_condition_is_refused():
    with pytest.raises(SettingsError, match='faces-houses: not made of the conditions'):
        choose_contrasts(['faces', 'shapes'], ['faces-houses'])


@pytest.mark.parametrize(
    ('text', 'match'),
    [('onset\tduration\n900\t2\n', '1 of 1 events lie outside the run of 200 s'),
     ('onset\tduration\n-40\t2\n9\t2\n900\t2\n', '2 of 3 events lie outside the run'),
     ('onset\tduration\n4\t2s\n', "duration holds '2s', which is no number; .* without a unit"),
     ('onset\tduration\n4,5\t2\n9\t2\n', "onset holds '4,5', .* with a decimal point"),
     ('onset\tduration\ttrial_type\n4\t2\tn/a\n', 'no event with an onset and a trial_type'),
     ('onset\tduration\n4\t2000\n30\t2000\n90\t2000\n',
      'the 3 events of event last 6000 s together, and the run 200 s; durations are in s'),
     ('onset\ttrial_type\n5\ta\n', 'the column duration is missing'),
     ('onset\tduration\nn/a\t2\n', 'no event with an onset'),
     ('onset\tduration\n4\t-2\n', 'duration below 0')],
)  # fmt: skip
def test_events_that_cannot_be_used(tmp_path, text, match):
    path = tmp_path / 'events.tsv'
    path.write_text(text)
    with pytest.raises(InputDataError, match=match):
        read_events(path, 200.0)


@pytest.mark.parametrize(
    ('text', 'n', 'said'),
    [('onset\tduration\ttrial_type\n4\t2\ta\n4\t2\ta\n9\t2\tb\n', 2, 'stand there twice'),
     ('onset\tduration\ttrial_type\n4\tn/a\ta\n9\t2\ta\n', 2, '1 of 2 events have no duration'),
     ('onset\tduration\ttrial_type\nn/a\t2\ta\n9\t2\ta\n', 1, '1 of 2 events without onset'),
     ('onset\tduration\ttrial_type\n4\t2\tn/a\n9\t2\ta\n', 1, '1 of 2 events without onset'),
     ('onset\tduration\tcondition\n4\t2\ta\n9\t2\tb\n', 2, 'no column trial_type (condition)'),
     ('onset\tduration\n4\t2\n9\t0\n', 2, ''),
     # BIDS allows onsets before the first volume, and the response reaches into the run
     ('onset\tduration\n-5\t2\n9\t0\n', 2, ''),
     ('Onset\tDuration\n1\t2\n', 1, 'Onset is read as onset'),
     # a scan that was stopped: the rest of the paradigm is left out (nilearn warns)
     ('onset\tduration\n4\t2\n9\t2\n210\t2\n', 2,
      '1 of 3 events lie outside the run of 200 s (onset 210 s) and are left out'),
     ('onset\tduration\n4\t5\n8\t2\n30\t2\n', 3, '1 events of event begin while another'),
     # the last block of a run that was stopped goes on after it
     ('onset\tduration\n1\t20\n150\t600\n', 2, '')],
)  # fmt: skip
def test_what_is_not_used_of_events_is_said(tmp_path, text, n, said):
    path = tmp_path / 'events.tsv'
    path.write_text(text)
    table, notes = events_and_notes(path, 200.0)
    assert len(table) == n
    assert any(said in note for note in notes) == bool(said)


@pytest.mark.parametrize('spacing', [2.0, 0.8])
def test_an_event_without_duration_counts_as_one_second(spacing):
    """Nilearn's impulse has the area of a fiftieth TR: effects of two scanners would differ."""
    none = pd.DataFrame(np.zeros((200, 0)))
    impulse, second = (
        design_matrix(pd.DataFrame({'onset': [20.0], 'duration': [d], 'trial_type': ['a']}),
                      200, 0, spacing, spacing / 2, none)['a'].sum() * spacing for d in (0.0, 1.0)
    )  # fmt: skip
    assert impulse == pytest.approx(1.0, rel=0.01)
    assert second == pytest.approx(1.0, rel=0.01)


@pytest.mark.parametrize('name', ['constant', 'drift_1', 'confound0', 'condition: a'])
def test_a_condition_may_be_called_as_a_regressor_is(rng, name):
    told = events().replace({'faces': name})
    named = design_matrix(told, 100, 0, TR, 1.0, pd.DataFrame(rng.standard_normal((100, 2))))
    plain = design_matrix(events(), 100, 0, TR, 1.0, pd.DataFrame(np.zeros((100, 2))))
    np.testing.assert_allclose(named[name], plain['faces'], atol=1e-12)
    assert named.columns.is_unique


def test_labels_of_contrasts_are_told_apart():
    names = [
        c.name for c in choose_contrasts(['left hand', 'left_hand', '+', '顔', 'Lefthand'], [])
    ]
    assert names == ['lefthand', 'lefthand2', 'contrast', 'contrast2', 'Lefthand3']


def test_what_a_design_does_not_tell_is_missing_and_said(rng):
    """Two conditions at the same times, and one whose response lies after the last volume."""
    twins = pd.concat([events().assign(trial_type='a'), events().assign(trial_type='b')])
    late = pd.DataFrame({'onset': [199.0], 'duration': [1.0], 'trial_type': ['late']})
    other = pd.DataFrame({'onset': [33.0, 77.0], 'duration': 9.0, 'trial_type': 'c'})
    near = pd.DataFrame({'onset': [196.0], 'duration': [1.0], 'trial_type': ['near']})
    rows = pd.concat([twins, other, late, near])
    matrix = design_matrix(rows, 100, 0, TR, 1.0, pd.DataFrame(rng.standard_normal((100, 3))))
    contrasts = choose_contrasts(
        ['a', 'b', 'c', 'late', 'near'], ['a', 'a+b', 'c', 'late', 'near']
    )
    reasons, said = not_told(matrix, contrasts, 'run')
    assert list(reasons) == ['a', 'late']
    assert any('near is told badly' in text for text in said)
    found = fit_run(500 + rng.standard_normal((100, 3)), matrix, contrasts)
    assert np.isnan(found['a'].effect).all()
    assert np.isfinite(found['ab'].effect).all()
    assert fixed_effects([found['a'], found['c']]) is found['c']
    with pytest.raises(InputDataError, match='run: no contrast is estimable'):
        not_told(matrix, contrasts[:1], 'run')


def test_an_event_before_the_first_volume_is_in_the_design(rng):
    none = pd.DataFrame(np.zeros((100, 0)))
    early, in_time = (
        design_matrix(pd.DataFrame({'onset': [onset], 'duration': [2.0], 'trial_type': ['a']}),
                      100, 0, 2.0, 1.0, none)['a'].to_numpy() for onset in (-6.0, 10.0)
    )  # fmt: skip
    np.testing.assert_allclose(early[:92], in_time[8:], atol=1e-3)


def test_a_design_of_more_conditions_than_volumes_allow_is_refused(rng):
    events = pd.DataFrame({'onset': np.arange(60) * 3.0, 'duration': 1.0,
                           'trial_type': [f'picture{n}' for n in range(60)]})  # fmt: skip
    design = design_matrix(events, 100, 0, 2.0, 1.0, pd.DataFrame(rng.normal(size=(100, 26))))
    with pytest.raises(InputDataError, match=r'60 conditions and .* fewer than 15: give events'):
        check_left(design, events, 'task-x')
    check_left(design.iloc[:, :30], events.iloc[:30], 'task-x')


def test_a_run_without_a_condition_gives_the_other_contrasts():
    contrasts = choose_contrasts(['a', 'b', 'c'], ['a', 'a-b', 'c'])
    events = pd.DataFrame({'trial_type': ['a', 'c', 'c']})
    found, said = present_contrasts(contrasts, events, 'run-1')
    assert [one.words for one in found] == ['a', 'c']
    assert said == ['no event of a-b in this run']
    with pytest.raises(InputDataError, match='run-1: the run has events of z only'):
        present_contrasts(contrasts, pd.DataFrame({'trial_type': ['z']}), 'run-1')


def test_events_without_conditions_are_one(tmp_path):
    path = tmp_path / 'events.tsv'
    path.write_text('onset\tduration\n4\tn/a\n')
    assert read_events(path, 200.0).iloc[0].to_dict() == {
        'onset': 4.0, 'duration': 0.0, 'trial_type': 'event',
    }  # fmt: skip
