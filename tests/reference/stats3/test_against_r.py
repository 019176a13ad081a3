"""Equivalence, Bayes factors, norms, slopes and orders agree with R to 1e-6.

`PROVENANCE.md` says how the stored numbers were made; R is not needed here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bids_acc.group.formulas.evidence import bayes_factor_t
from bids_acc.group.formulas.norms import sample_norms
from bids_acc.group.formulas.permutation import permutation_p
from bids_acc.group.formulas.trials import slopes_by_group
from bids_acc.group.statistics.model.declaration import parse_model
from bids_acc.group.statistics.run import run_statistics

HERE = Path(__file__).parent
KNOWN = pd.read_csv(HERE / 'reference.tsv', sep='\t').set_index('name')['value']
COHORT = pd.read_csv(HERE.parent / 'stats' / 'cohort_tokyo.tsv', sep='\t')
MODEL = {
    'Name': 'reference', 'Group': {'Column': 'group', 'Levels': ['HC', 'FL-Resp', 'TRS']},
    'Covariates': [{'Name': 'age'}, {'Name': 'sex', 'Kind': 'categorical'}],
    'Responses': {'Columns': ['thickness_c1', 'Glx']},
    'Evidence': {'SmallestDifference': 0.8}, 'Mixture': {'Measures': []}, 'Permutations': 0,
}  # fmt: skip
NORMS = {'Level': 'HC', 'Columns': ['thickness_c1'], 'Adjust': ['age', 'sex', 'age:sex']}


def run(**changes):
    model = parse_model({**MODEL, **changes})
    return run_statistics(model, None, None, COHORT, None, np.random.default_rng(0))


@pytest.fixture(scope='module')
def evidence():
    table = run()['evidence']
    return table[table['contrast'] == 'TRS - HC'].set_index(['analysis', 'response'])


@pytest.mark.parametrize('response', ['thickness_c1', 'Glx'])
def test_equivalence_and_bayes_factor_of_adjusted_means(evidence, response):
    found = evidence.loc[('equivalence', response), 'p_unc']
    assert found == pytest.approx(KNOWN[f'tost {response}'], rel=1e-6)
    found = evidence.loc[('bayes_factor', response), 'value']
    assert found == pytest.approx(KNOWN[f'bf10 {response}'], rel=1e-6)


def test_bayes_factor_without_covariates_is_that_of_the_package():
    a, b = (COHORT.loc[COHORT['group'] == g, 'Glx'].dropna() for g in ('TRS', 'HC'))
    n_a, n_b = len(a), len(b)
    pooled = ((n_a - 1) * a.var() + (n_b - 1) * b.var()) / (n_a + n_b - 2)
    t = (a.mean() - b.mean()) / np.sqrt(pooled * (1 / n_a + 1 / n_b))
    found = bayes_factor_t(t, n_a + n_b - 2, n_a * n_b / (n_a + n_b))
    assert found == pytest.approx(KNOWN['bf10 plain Glx'], rel=1e-6)


def people(table, column):
    return table.set_index('participant_id')[column]


@pytest.mark.parametrize('spread', [[], ['age']])
def test_norms(spread):
    table = run(Norms={**NORMS, 'Spread': spread})['zscores_participants']
    centile, z = people(table, 'centile'), people(table, 'z')
    kind = 'spread' if spread else 'centile'
    names = [name.split()[1] for name in KNOWN.index if name.startswith('spread ')]
    assert len(names) == 3
    for name in names:
        assert centile[name] == pytest.approx(KNOWN[f'{kind} {name}'], rel=1e-6)
        if not spread:
            assert z[name] == pytest.approx(KNOWN[f'z {name}'], rel=1e-6)
    if not spread:
        first = COHORT.loc[COHORT['group'] == 'HC', 'participant_id'].iloc[0]
        assert centile[first] == pytest.approx(KNOWN['centile first member'], rel=1e-6)


def test_slopes():
    table = pd.read_csv(HERE.parent / 'stats2' / 'longitudinal.tsv', sep='\t')
    found = slopes_by_group(table, 'glx', time='visit', group='response', covariates=['age'])
    assert found.value == pytest.approx(KNOWN['slopes wald'], rel=2e-3)
    assert abs(found.effect) == pytest.approx(abs(KNOWN['slopes difference']), rel=1e-3)


def test_every_order_of_six():
    x, y = (COHORT[name].to_numpy(dtype=float)[:6] for name in ('age', 'Glx'))
    X = np.column_stack([np.ones(6), x])
    found = permutation_p(X, y, [1], 99, np.random.default_rng(0))
    assert found.exact
    assert found.p == pytest.approx(KNOWN['orders'], rel=1e-9)


def test_a_norm_sample_is_not_the_cohort():
    """The comparison above could not fail if everybody were a member."""
    y = COHORT['thickness_c1'].to_numpy(dtype=float)
    members = (COHORT['group'] == 'HC').to_numpy()
    X = np.ones((len(y), 1))
    some, everybody = (sample_norms(X, y, m).z for m in (members, np.ones(len(y), dtype=bool)))
    assert abs(some - everybody).max() > 0.1
