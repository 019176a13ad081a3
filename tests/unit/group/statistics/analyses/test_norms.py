"""Norms: centiles against a small sample, an age x sex model, and a published table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bids_acc.exceptions import InputDataError, SettingsError
from bids_acc.group.formulas.norms import sample_norms, table_norms
from bids_acc.group.statistics.model.declaration import parse_model
from bids_acc.group.statistics.run import run_statistics


def test_a_member_is_judged_by_the_others(rng):
    n = 12
    X = np.column_stack([np.ones(n), rng.normal(size=n)])
    y = rng.normal(size=n)
    found = sample_norms(X, y, np.ones(n, dtype=bool))
    kept = np.arange(n) != 4
    b, rss, *_ = np.linalg.lstsq(X[kept], y[kept], rcond=None)
    s2 = rss[0] / (n - 1 - 2)
    x = X[4]
    se = np.sqrt(s2 * (1 + x @ np.linalg.inv(X[kept].T @ X[kept]) @ x))
    assert found.centile[4] == pytest.approx(100 * stats.t.cdf((y[4] - x @ b) / se, n - 3))
    assert found.z.sum() == pytest.approx(0, abs=1e-9)


def test_one_case_against_a_sample_is_crawford_and_howells_test():
    """One against a sample is a t test with one person in the first group (their eq. 1)."""
    norm = np.array([10.0, 12, 9, 11, 13, 10])
    y = np.append(norm, 5.0)
    found = sample_norms(np.ones((7, 1)), y, np.arange(7) < 6)
    t = (5 - norm.mean()) / (norm.std(ddof=1) * np.sqrt(7 / 6))
    assert found.centile[6] == pytest.approx(100 * stats.t.cdf(t, 5))


def test_centiles_of_new_people_are_uniform_where_the_spread_changes_with_age():
    below, flat, by_age = [], [], []
    for seed in np.random.SeedSequence(4).spawn(150):
        rng = np.random.default_rng(seed)
        age = rng.uniform(-1, 1, 60)
        y = 1 + 0.5 * age + np.exp(0.5 * 1.5 * age) * rng.normal(size=60)
        X, member = np.column_stack([np.ones(60), age]), np.arange(60) < 40
        found = sample_norms(X, y, member, age[:, None])
        below.append(np.mean(found.centile[40:] < 5))
        old = (np.arange(60) >= 40) & (age > 0.3)
        by_age.append(np.mean(np.abs(found.centile[old] - 50) > 45))
        flat.append(np.mean(np.abs(sample_norms(X, y, member).centile[old] - 50) > 45))
    assert np.mean(below) == pytest.approx(0.05, abs=0.015)
    assert np.nanmean(by_age) == pytest.approx(0.10, abs=0.04)
    assert np.nanmean(flat) > 0.15  # one SD for all calls the old deviant


def test_the_spread_is_found(rng):
    age = rng.uniform(-1, 1, 4000)
    y = 2 * age + 0.3 * np.exp(0.5 * 1.2 * age) * rng.normal(size=4000)
    found = sample_norms(
        np.column_stack([np.ones(4000), age]), y, np.ones(4000, dtype=bool), age[:, None]
    )
    truth = 0.3 * np.exp(0.6 * age)
    assert found.sd == pytest.approx(truth, rel=0.15)


@pytest.mark.parametrize('y', [[1.0, 2, 2, 2], [1.0, np.nan, np.nan, np.nan]])
def test_no_spread_no_norm(y):
    member = np.array([False, True, True, True])
    with pytest.raises(InputDataError, match='no z scores'):
        sample_norms(np.ones((4, 1)), np.array(y), member)


def test_a_table_scores_by_age_and_sex():
    assert table_norms(np.array([3.0]), np.array([2.0]), np.array([0.5])).z.tolist() == [2.0]


MODEL = {
    'Name': 'norms', 'Group': {'Column': 'group', 'Levels': ['HC', 'SZ']},
    'Covariates': [{'Name': 'age'}, {'Name': 'sex', 'Kind': 'categorical'}],
    'Mrs': {'Primary': ['Glu'], 'Relation': None}, 'Mixture': {'Measures': []},
    'Permutations': 0, 'Replication': {'Rule': 'none'},
}  # fmt: skip


def tables(rng, norms, shift=0.0, ageing=0.0):
    n = 80
    frame = pd.DataFrame({
        'participant_id': [f'sub-{i:02d}' for i in range(n)], 'group': ['HC', 'SZ'] * (n // 2),
        'age': np.tile(np.linspace(20, 60, n // 2), 2).round(), 'sex': rng.choice(['F', 'M'], n),
    })  # fmt: skip
    ill = (frame['group'] == 'SZ').to_numpy()
    frame.loc[ill, 'age'] += 5
    value = 1.5 + ageing * (frame['age'] - 40) + 0.1 * rng.normal(size=n) + 0.1 * shift * ill
    mrs = pd.DataFrame({
        'participant_id': frame['participant_id'], 'voxel': 'ACC', 'metabolite': 'Glu',
        'unit_scheme': 'ratio_tcr', 'value': value, 'crlb_pct': 8.0, 'gate': 'pass',
    })  # fmt: skip
    return run_statistics(parse_model({**MODEL, 'Norms': norms}), None, mrs, frame, None, rng)


def row(table, **where):
    for column, value in where.items():
        table = table[table[column] == value]
    assert len(table) == 1
    return table.iloc[0]


def test_ageing_is_no_deviation_once_the_norm_knows_it(rng):
    plain = tables(rng, {'Level': 'HC'}, ageing=0.02)
    aware = tables(rng, {'Level': 'HC', 'Adjust': ['age', 'sex', 'age:sex']}, ageing=0.02)
    z = [row(t['zscores'], analysis='zscores')['effect'] for t in (plain, aware)]
    assert z[0] > 0.3
    assert abs(z[1]) < 0.5
    people = aware['zscores_participants']
    assert set(people.loc[people['outside_norm'] == 'yes', 'group']) == {'SZ'}
    ages_known = people[(people['group'] == 'HC')]
    assert ages_known['centile'].between(0, 100).all()


def test_planted_deviation_is_a_share_below_the_fifth_centile(rng):
    found = tables(rng, {'Level': 'HC', 'Adjust': ['age'], 'Spread': ['age']}, shift=-2)
    low = row(found['zscores'], analysis='share_below', contrast='SZ')
    assert low['effect'] > 0.4
    assert low['p_unc'] < 0.001
    assert low['ci_low'] < low['effect'] < low['ci_high']
    high = row(found['zscores'], analysis='share_above', contrast='SZ')
    assert high['p_unc'] > 0.05
    norm = row(found['zscores'], analysis='share_below', contrast='HC')
    assert np.isnan(norm['p_unc'])
    assert norm['effect'] < 0.15


def test_published_norms_stand_in_the_model_file(rng):
    entries = [
        {'Measure': 'Glu', 'Mean': 1.5, 'SD': 0.1, 'AgeMax': 60, 'Source': 'planted'},
    ]  # fmt: skip
    found = tables(rng, {'Table': entries}, shift=-2)
    people = found['zscores_participants']
    assert set(people['norm']) == {'planted'}
    old = people['outside_norm'] == 'yes'
    assert old.any()
    assert people.loc[old, 'z'].isna().all()
    low = row(found['zscores'], analysis='share_below', contrast='SZ')
    assert 'binomial test against 5 %' in low['method']
    assert low['p_unc'] < 1e-6
    own = row(found['zscores'], analysis='zscores', contrast='SZ')
    assert own['effect'] == pytest.approx(-2, abs=0.4)


def test_an_adjustment_that_the_model_lacks_is_refused():
    norms = {'Level': 'HC', 'Adjust': ['agee']}
    with pytest.raises(SettingsError, match=r"Norms/Adjust: 'agee' .*did you mean 'age'"):
        parse_model({**MODEL, 'Norms': norms})
