"""Trials: slopes, rates, completers, dropouts, patients against controls seen once, crossover."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bids_acc.exceptions import InputDataError
from bids_acc.group.formulas.mixed import mixed_model
from bids_acc.group.formulas.trials import crossover, rate_difference, slopes_by_group
from bids_acc.group.statistics.model.declaration import parse_model
from bids_acc.group.statistics.run import run_statistics
from bids_acc.report.findings import significant_findings

TIME = {'pre': 0, 'w2': 2, 'w8': 8}


def visits(rng, n=40, slope_sd=0.15, gain=0.0, times=(0.0, 2.0, 4.0, 8.0)):
    """Return people with slopes of their own; those of group b are steeper by ``gain``."""
    who, t = np.repeat(np.arange(n), len(times)), np.tile(times, n)
    slopes = rng.normal(0, slope_sd, n) + gain * (np.arange(n) % 2)
    y = rng.normal(10, 1, n)[who] + slopes[who] * t + rng.normal(0, 0.5, len(t))
    return pd.DataFrame({'participant_id': [f'sub-{i:02d}' for i in who], 'week': t, 'glx': y,
                         'group': np.where(who % 2, 'b', 'a')})  # fmt: skip


def test_slopes_are_those_of_people_where_all_visits_are_there(rng):
    table = visits(rng, gain=0.1)
    found = slopes_by_group(table, 'glx', time='week', group='group')
    own = table.groupby('participant_id').apply(
        lambda p: np.polyfit(p['week'], p['glx'], 1)[0], include_groups=False
    )
    odd = np.arange(40) % 2 == 1
    expected = stats.ttest_ind(own[odd], own[~odd])
    interval = expected.confidence_interval()
    assert found.value == pytest.approx(expected.statistic**2, rel=1e-3)
    assert found.effect == pytest.approx(own[odd].mean() - own[~odd].mean())
    assert (found.ci_low, found.ci_high) == pytest.approx((interval.low, interval.high), abs=1e-4)
    assert found.df2 == 38


def test_slopes_do_not_depend_on_the_unit_of_time_or_response(rng):
    table = visits(rng, gain=0.1)
    one = slopes_by_group(table, 'glx', time='week', group='group')
    two = slopes_by_group(
        table.assign(week=7 * table['week'], glx=1e-4 * table['glx']), 'glx', time='week',
        group='group',
    )  # fmt: skip
    assert two.value == pytest.approx(one.value, rel=1e-4)
    assert two.effect == pytest.approx(one.effect * 1e-4 / 7, rel=1e-4)


def test_people_without_slopes_of_their_own_are_no_obstacle():
    """The variance of the slopes is zero in truth, and estimated so in half of the draws."""
    for seed in range(20):
        table = visits(np.random.default_rng(seed), n=20, slope_sd=0.0)
        found = slopes_by_group(table, 'glx', time='week', group='group')
        assert 0 < found.p <= 1
        assert found.ci_low < found.effect < found.ci_high


def test_two_visits_have_no_slope(rng):
    with pytest.raises(InputDataError, match='slopes need three visits, not 2'):
        slopes_by_group(visits(rng, times=(0.0, 4.0)), 'glx', time='week', group='group')


def test_rates_are_newcombes_examples():
    """Newcombe 1998, table II, method 10: examples (a), (b), (f)."""
    for counts, low, high in (
        ((56, 70, 48, 80), 0.0524, 0.3339),
        ((9, 10, 3, 10), 0.1705, 0.8090),
        ((10, 10, 0, 20), 0.6791, 1.0000),
    ):
        rate = rate_difference(*counts)
        assert (rate.ci_low, rate.ci_high) == pytest.approx((low, high), abs=1e-4)
    nothing = rate_difference(5, 10, 5, 10)
    assert nothing.p == 1
    assert np.isnan(nothing.needed_to_treat)


def test_crossover_takes_period_out_of_treatment(rng):
    n = 30
    order = np.where(np.arange(n) % 3 == 0, 'a', 'b')
    person = rng.normal(0, 5, n)
    effect = {'a': 0.0, 'b': 1.0}
    other = {'a': 'b', 'b': 'a'}
    first = person + np.array([effect[o] for o in order]) + rng.normal(0, 0.1, n)
    second = person + np.array([effect[other[o]] for o in order]) + 3 + rng.normal(0, 0.1, n)
    found = crossover(first, second, order, ('a', 'b'))
    assert found.treatment.effect == pytest.approx(1.0, abs=0.1)
    assert found.period.effect == pytest.approx(3.0, abs=0.1)
    gain = second - first
    same = stats.ttest_ind(gain[order == 'a'], gain[order == 'b'])
    assert found.treatment.p == pytest.approx(same.pvalue)
    assert found.treatment.value == pytest.approx(same.statistic)
    assert found.carryover.p > 0.01


def test_crossover_in_one_order_is_refused():
    with pytest.raises(InputDataError, match='fewer than two people'):
        crossover(np.arange(4.0), np.arange(4.0) ** 2, np.array(['a'] * 4), ('a', 'b'))


@pytest.fixture(scope='module')
def trial():
    """Return spectra and people of two arms over three visits, and of controls seen once."""
    rng = np.random.default_rng(3)
    spectra, people = [], []
    for i in range(70):
        arm = 'HC' if i >= 50 else ('drug' if i % 2 else 'placebo')
        base = rng.normal(10, 1) - 2 * (arm != 'HC')
        for visit, week in TIME.items():
            if (arm == 'HC' and week) or (week == 8 and i < 8):
                continue
            better = (arm == 'drug') * week / 8
            score = 30 - 22 * better + rng.normal(0, 3) if arm != 'HC' else np.nan
            keys = {'participant_id': f'sub-{i:02d}', 'session_id': f'ses-{visit}'}
            people.append({**keys, 'arm': arm, 'age': 30 + i % 7, 'madrs': score})
            spectra.append({
                **keys, 'voxel': 'ACC', 'metabolite': 'Glx', 'unit_scheme': 'ratio_tcr',
                'value': base + 2 * better + rng.normal(0, 0.3), 'gate': 'pass',
                'gate_reason': '',
            })  # fmt: skip
    return pd.DataFrame(spectra), pd.DataFrame(people)


def analysed(trial, **sessions):
    content = {
        'Name': 't', 'Group': {'Column': 'arm', 'Levels': ['HC', 'placebo', 'drug']},
        'Covariates': [{'Name': 'age'}], 'Mrs': {'Primary': ['Glx']}, 'Permutations': 19,
        'Mixture': {'Measures': []}, 'Evidence': {'SmallestDifference': 0.5},
        'Sessions': {'Order': list(TIME), **sessions},
    }  # fmt: skip
    spectra, people = trial
    return run_statistics(parse_model(content), None, spectra, people, None,
                          np.random.default_rng(1))  # fmt: skip


@pytest.fixture(scope='module')
def tables(trial):
    return analysed(
        trial, Time=TIME, Normalisation=True, Improvement={'Score': 'madrs', 'Remission': 10}
    )


def row(table, **where):
    for column, value in where.items():
        table = table[table[column] == value]
    assert len(table) == 1, where
    return table.iloc[0]


def test_controls_seen_once_do_not_stop_the_mixed_model(trial, tables):
    spectra, people = trial
    omnibus = row(tables['change'], analysis='mixed model', term='session_id:group')
    assert omnibus['n_per_group'] == 'placebo=25;drug=25'
    assert 'without HC, measured once' in omnibus['note']
    data = spectra.merge(people, on=['participant_id', 'session_id']).query("arm != 'HC'")
    data['session_id'] = pd.Categorical(data['session_id'], [f'ses-{v}' for v in TIME])
    data['arm'] = pd.Categorical(data['arm'], ['placebo', 'drug'])
    _, own = mixed_model(data, 'value', ['session_id', 'arm', 'session_id:arm', 'age'])
    assert omnibus['value'] == pytest.approx(own[2].value)


def test_change_up_to_each_visit_is_a_contrast_of_the_mixed_model(tables):
    last = row(tables['change'], analysis='mixed contrast',
               contrast='(ses-w8 - ses-pre) x (drug - placebo)')  # fmt: skip
    early = row(tables['change'], analysis='mixed contrast',
                contrast='(ses-w2 - ses-pre) x (drug - placebo)')  # fmt: skip
    assert last['ci_low'] < 2 < last['ci_high']
    assert early['ci_low'] < 0.5 < early['ci_high']


def test_completers_stand_beside_everybody(tables):
    everybody = row(tables['trial'], analysis='slopes')
    completers = row(tables['trial'], analysis='slopes completers')
    assert (everybody['n'], completers['n']) == (50, 42)
    assert everybody['ci_low'] < 0.25 < everybody['ci_high']
    assert np.isnan(completers['p_corrected'])
    assert row(tables['change'], analysis='mixed model completers', term='group')['n'] == 42
    said = significant_findings(tables, 0.05).set_index('finding')
    slope = said.loc['Glx changes more upwards over time in drug than in placebo']
    assert 'agrees: completers' in slope['the same otherwise']


def test_who_has_no_last_score_counts_as_no_responder(trial, tables):
    _, people = trial
    rate = row(tables['trial'], analysis='response rate')
    completers = row(tables['trial'], analysis='response rate completers')
    wide = people.pivot_table(index=['participant_id', 'arm'], columns='session_id',
                              values='madrs').reset_index()  # fmt: skip
    wide = wide[wide['arm'] != 'HC']
    wide['yes'] = 1 - wide['ses-w8'] / wide['ses-pre'] >= 0.5
    share = wide.groupby('arm')['yes'].mean()
    assert rate['effect'] == pytest.approx(share['drug'] - share['placebo'])
    own = wide.dropna().groupby('arm')['yes'].mean()
    assert completers['effect'] == pytest.approx(own['drug'] - own['placebo'])
    remission = row(tables['trial'], analysis='remission rate')
    well = (wide['ses-w8'] <= 10).groupby(wide['arm']).mean()
    assert remission['effect'] == pytest.approx(well['drug'] - well['placebo'])


def test_dropouts_are_named(tables):
    found = tables['dropouts']
    assert list(found['participant_id']) == [f'sub-{i:02d}' for i in range(8)]
    assert set(found['last_session']) == {'ses-w2'}
    assert set(found['missing_sessions']) == {'ses-w8'}
    rate = row(tables['trial'], analysis='dropout rate')
    assert rate['description'] == 'drug: 4/25 (16 %); placebo: 4/25 (16 %)'


def test_normalisation_compares_each_visit_with_controls_seen_once(tables):
    before = row(tables['trial'], analysis='normalisation', term='group at ses-pre',
                 contrast='drug - HC')  # fmt: skip
    after = row(tables['trial'], analysis='normalisation', term='group at ses-w8',
                contrast='drug - HC')  # fmt: skip
    assert before['p_corrected'] < 0.001
    assert abs(after['effect']) < 0.7
    assert after['share_left'] == pytest.approx(after['estimate'] / before['estimate'])
    assert 'two one-sided tests' in after['note']
    assert after['n_per_group'] == 'HC=20;drug=21'


def test_times_in_two_units_are_refused(trial):
    tables = analysed(trial, Time={'pre': 0, 'w2': 14, 'w8': 8})
    told = ' '.join(tables['trial']['note'])
    assert 'ses-w8 is at 8, before ses-w2 at 14, against the order of the sessions' in told


def test_time_of_every_session_is_needed(trial):
    found = analysed(trial, Time={'pre': 0, 'w2': 2, 'w9': 9})
    notes = ' '.join(found['trial']['note'])
    assert "no time is given for session 'ses-w8'" in notes


def again(trial, person, visit, like):
    """Return a trial in which one person has a further visit, written as another one of theirs."""
    more = [
        table[(table['participant_id'] == person) & (table['session_id'] == like)]
        for table in trial
    ]
    both = zip(trial, more, strict=True)
    return tuple(
        pd.concat([table, own.assign(session_id=visit)], ignore_index=True) for table, own in both
    )


def test_a_second_baseline_of_one_person_ends_no_model_and_makes_no_dropouts(trial, tables):
    more = again(trial, 'sub-20', 'ses-pre2', 'ses-pre')
    twice = analysed(more, Order=['pre', 'pre2', 'w2', 'w8'], Time=TIME)
    found = row(twice['change'], analysis='mixed model', term='session_id:group')
    assert 'without ses-pre2, where a group has no value' in found['note']
    before = row(tables['change'], analysis='mixed model', term='session_id:group')
    assert found['value'] == pytest.approx(before['value'])
    assert list(twice['dropouts']['participant_id']) == list(tables['dropouts']['participant_id'])
    slopes = row(twice['trial'], analysis='slopes')
    assert slopes['p_unc'] == row(tables['trial'], analysis='slopes')['p_unc']


def test_who_missed_a_visit_and_came_back_has_not_dropped_out(trial):
    spectra, people = trial
    kept = [~((t['participant_id'] == 'sub-30') & (t['session_id'] == 'ses-w2')) for t in trial]
    found = analysed((spectra[kept[0]], people[kept[1]]))
    rate = row(found['trial'], analysis='dropout rate')
    assert rate['description'] == 'drug: 4/25 (16 %); placebo: 4/25 (16 %)'
    assert 'not seen at the last visit' in rate['method']
    assert 'sub-30' in set(found['dropouts']['participant_id'])


def test_one_treatment_in_both_periods_is_in_neither_order(trial):
    spectra, people = trial
    people = people[(people['arm'] != 'HC') & (people['session_id'] != 'ses-pre')]
    swapped = (people['arm'] == 'drug') == (people['session_id'] == 'ses-w2')
    people = people.assign(given=np.where(swapped, 'A', 'B'))
    people.loc[people['participant_id'] == 'sub-20', 'given'] = 'A'
    found = analysed((spectra, people), Order=['w2', 'w8'], Crossover={'Treatment': 'given'})
    rate = row(found['trial'], analysis='crossover', term='treatment')
    assert rate['n'] == 41
    assert 'one treatment in both periods=1' in rate['excluded']


def test_one_part_that_cannot_be_done_leaves_the_others(trial):
    """A column of the crossover that is not there costs no rate of response."""
    found = analysed(
        trial, Improvement={'Score': 'madrs', 'Remission': 10},
        Crossover={'Treatment': 'nowhere'},
    )['trial']  # fmt: skip
    assert "no column 'nowhere'" in found.loc[found['analysis'] == 'crossover', 'note'].item()
    assert found.loc[found['analysis'] == 'response rate', 'p_unc'].notna().any()
