"""bids_acc gives R's numbers on the same cohorts.

``reference.tsv`` was written by ``reference.R`` (versions in ``versions.txt``). Both sides are
deterministic linear algebra in double precision, so they must agree to 1e-6 relative; the only
looser ones are limits of noncentral distributions, which R itself gives to about 1e-7, and the
exact p of Fisher's test.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bids_acc.group.formulas.design import build_design
from bids_acc.group.formulas.inference import adjust_p, partial_eta2_confidence
from bids_acc.group.formulas.linear import anova
from bids_acc.group.statistics.model.declaration import parse_model
from bids_acc.group.statistics.run import run_analyses
from bids_acc.group.statistics.study.joining import make_study

HERE = Path(__file__).parent
TOLERANCE = 1e-6
METABOLITES = ['Glu', 'Glx', 'tNAA', 'tCho', 'Ins']


@cache
def reference() -> dict[tuple[str, str, str, str, str], float]:
    """Return R's numbers by cohort, analysis, response, term and quantity."""
    table = pd.read_csv(HERE / 'reference.tsv', sep='\t', keep_default_na=False)
    keys = table[['cohort', 'analysis', 'response', 'term', 'quantity']]
    return dict(zip(keys.itertuples(index=False, name=None), table['value'], strict=True))


def read_cohort(name: str) -> pd.DataFrame:
    return pd.read_csv(
        HERE / f'cohort_{name}.tsv', sep='\t', na_values='n/a', float_precision='round_trip'
    )


def long_parcels(frame: pd.DataFrame) -> pd.DataFrame:
    columns = [c for c in frame.columns if c.startswith(('thickness_c', 'md_c'))]
    long = frame.melt('participant_id', columns, 'measure', 'value')
    parts = long['measure'].str.split('_c', expand=True)
    return long.assign(metric=parts[0], component=parts[1].astype(int)).drop(columns='measure')


def long_metabolites(frame: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    long = frame.melt('participant_id', names, 'metabolite', 'value').dropna()
    return long.assign(unit_scheme='ratio_tcr', gate='pass')


@cache
def structure_tables(cohort: str, kind: str) -> dict[str, pd.DataFrame]:
    frame = read_cohort(cohort)
    order = ['HC', 'FL-Resp', 'CLZ-Resp', 'TRS', 'URS']
    levels = [level for level in order if level in set(frame['group'])]
    share = 1 / (len(levels) - 1)
    model = parse_model({
        'Name': 'r', 'Group': {'Column': 'group', 'Levels': levels},
        'Covariates': [{'Name': 'age'}, {'Name': 'sex', 'Kind': 'categorical'}],
        'SumOfSquares': kind, 'Replication': {'Rule': 'none'}, 'Permutations': 0,
        'Contrasts': [{'Name': 'patients - controls', 'Weights': {
            level: share if level != 'HC' else -1 for level in levels}}],
        'Subsamples': [{'Name': 'resistant', 'Columns': ['panss_*'],
                        'Where': {'group': ['TRS', 'URS']}}],
        'Clinical': {'Scores': ['panss_positive'], 'Metabolites': False},
        'Demographics': {'Continuous': ['age'], 'Categorical': ['sex', 'handedness']},
        'Mixture': {'Measures': []},
    })  # fmt: skip
    people = frame.drop(columns=[c for c in frame.columns if '_c' in c or c == 'Glx'])
    study = make_study(model, long_parcels(frame), long_metabolites(frame, ['Glx']), people)
    return run_analyses(study, 1)


@cache
def glutamate_tables() -> dict[str, pd.DataFrame]:
    frame = read_cohort('london')
    model = parse_model({
        'Name': 'r', 'Group': {'Column': 'group', 'Levels': ['responsive', 'resistant']},
        'Mrs': {'Primary': ['Glu'], 'Secondary': METABOLITES[1:], 'Relation': None},
        'Permutations': 0, 'Nuisance': {'Always': ['age', 'cpz_dose', 'grey_matter'],
                                        'IfDifferent': False},
        'Clinical': {'Scores': ['panss_total'], 'Scopes': ['pooled', 'by_group']},
        'Demographics': {'Categorical': ['sex', 'smoking']}, 'Mixture': {'Measures': []},
    })  # fmt: skip
    study = make_study(
        model, None, long_metabolites(frame, METABOLITES), frame.drop(columns=METABOLITES)
    )
    return run_analyses(study, 1)


def compare(row: pd.Series, key: tuple[str, str, str, str], columns: dict[str, str]) -> None:
    """Assert that a row's columns hold R's quantities."""
    for quantity, column in columns.items():
        expected = reference()[(*key, quantity)]
        np.testing.assert_allclose(
            row[column], expected, rtol=TOLERANCE, atol=1e-12, err_msg=f'{key} {quantity}'
        )


def rows_of(table: pd.DataFrame, **where: str) -> pd.DataFrame:
    for column, value in where.items():
        table = table[table[column] == value]
    assert len(table), where
    return table


F = {'F': 'value', 'df1': 'df1', 'df2': 'df2', 'p': 'p_unc', 'eta2': 'effect'}


def compare_f(row: pd.Series, key: tuple[str, str, str, str]) -> None:
    """Assert that a row's F, and the limits of its noncentrality, are R's.

    R's limits are those of the two-sided 95 % interval, turned into ncp / (ncp + n).
    """
    compare(row, key, F)
    found = partial_eta2_confidence(row['value'], row['df1'], row['df2'], 0.975)
    for ours, name in zip(found, ('eta2_low', 'eta2_high'), strict=True):
        theirs = reference()[(*key, name)]
        ncp = theirs * row['n'] / (1 - theirs)
        np.testing.assert_allclose(ours, ncp / (ncp + row['df2']), rtol=TOLERANCE, atol=1e-12)


COHORTS = pytest.mark.parametrize('cohort', ['tokyo', 'toronto'])


@COHORTS
@pytest.mark.parametrize('kind', ['II', 'III'])
def test_ancova(cohort: str, kind: str) -> None:
    table = structure_tables(cohort, kind)['ancova']
    assert len(table) == 24
    for _, row in table.iterrows():
        compare_f(row, (cohort, f'ancova_{kind}', row['response'], row['term']))


@COHORTS
def test_relation_to_the_metabolite(cohort: str) -> None:
    table = structure_tables(cohort, 'II')['relation']
    assert len(table) == 16
    for _, row in table.iterrows():
        compare_f(row, (cohort, 'relation_II', row['response'], row['term']))


@COHORTS
def test_interaction_is_the_same_under_both_types(cohort: str) -> None:
    table = rows_of(structure_tables(cohort, 'III')['relation'], term='group:Glx')
    for _, row in table.iterrows():
        compare_f(row, (cohort, 'relation_II', row['response'], 'group:Glx'))


@COHORTS
@pytest.mark.parametrize('kind', ['II', 'III'])
def test_terms_of_a_model_with_interaction(cohort: str, kind: str) -> None:
    frame = read_cohort(cohort).dropna(subset=['Glx'])
    order = ['HC', 'FL-Resp', 'CLZ-Resp', 'TRS', 'URS']
    design = build_design(
        frame, ['group', 'Glx', 'age', 'sex', 'group:Glx'],
        {'group': [g for g in order if g in set(frame['group'])], 'sex': ['F', 'M']},
    )  # fmt: skip
    for response in (c for c in frame if '_c' in c):
        tests = anova(design.X, frame[response].to_numpy(), design.terms, kind)  # type: ignore[arg-type]
        for test in tests:
            key = (cohort, f'full_{kind}', response, test.term)
            if (*key, 'F') in reference():
                np.testing.assert_allclose(test.f, reference()[(*key, 'F')], rtol=TOLERANCE)
                np.testing.assert_allclose(test.p, reference()[(*key, 'p')], rtol=TOLERANCE)


@COHORTS
def test_pairwise_comparisons_of_adjusted_means(cohort: str) -> None:
    table = rows_of(structure_tables(cohort, 'II')['posthoc'], analysis='posthoc')
    for _, row in table.iterrows():
        a, b = row['contrast'].split(' - ')
        # emmeans subtracts in the order of the levels and brackets names with a hyphen
        name = ' - '.join(f'({x})' if '-' in x else x for x in (b, a))
        negated = row.copy()
        for column in ('value', 'estimate', 'effect'):
            negated[column] = -row[column]
        compare(
            negated,
            (cohort, 'emmeans', row['response'], name),
            {'t': 'value', 'df': 'df2', 'p': 'p_unc', 'estimate': 'estimate', 'se': 'se',
             'g': 'effect'},
        )  # fmt: skip


@COHORTS
def test_planned_contrast(cohort: str) -> None:
    table = structure_tables(cohort, 'II')['contrasts']
    for _, row in table[table['metric'] != 'Glx'].iterrows():
        compare(
            row,
            (cohort, 'contrast', row['response'], 'patients - controls'),
            {'t': 'value', 'p': 'p_unc', 'estimate': 'estimate'},
        )


@COHORTS
@pytest.mark.parametrize(
    ('ours', 'term', 'columns'),
    [
        ('hc3', 'group', {'F': 'value', 'p': 'p_unc'}),
        ('normality', 'residuals', {'W': 'value', 'p': 'p_unc'}),
        ('equal_variances', 'group', {'F': 'value', 'p': 'p_unc'}),
    ],
)
def test_diagnostics(cohort: str, ours: str, term: str, columns: dict[str, str]) -> None:
    table = rows_of(structure_tables(cohort, 'II')['diagnostics'], analysis=ours, term=term)
    assert len(table) == 9
    for _, row in table[table['metric'] != 'Glx'].iterrows():
        compare(row, (cohort, ours, row['response'], term), columns)


@COHORTS
def test_cooks_distance(cohort: str) -> None:
    table = rows_of(
        structure_tables(cohort, 'II')['diagnostics'], analysis='influence', term='group'
    )
    for _, row in table[table['metric'] != 'Glx'].iterrows():
        compare(
            row,
            (cohort, 'cook', row['response'], 'max'),
            {'max': 'cooks_max', 'n': 'n_influential'},
        )


PARTIAL = {
    'r': 'effect', 'df': 'df2', 't': 'value', 'p': 'p_unc', 'low': 'ci_low', 'high': 'ci_high'
}  # fmt: skip


@COHORTS
def test_partial_correlations(cohort: str) -> None:
    tables = structure_tables(cohort, 'II')
    partial = rows_of(tables['partialcorr'], analysis='partialcorr')
    for _, row in partial.iterrows():
        compare(row, (cohort, 'partialcorr', row['response'], 'Glx'), PARTIAL)
    for _, row in tables['clinical'].iterrows():
        compare(row, (cohort, 'clinical', row['response'], 'panss_positive'), PARTIAL)


@COHORTS
def test_corrections(cohort: str) -> None:
    table = rows_of(structure_tables(cohort, 'II')['ancova'], term='group')
    p = table['p_unc'].to_numpy()
    for method, name in (('bh', 'BH'), ('bonferroni', 'bonferroni'), ('holm', 'holm')):
        expected = [
            reference()[(cohort, f'adjust_{name}', response, 'group', 'p')]
            for response in table['response']
        ]
        np.testing.assert_allclose(adjust_p(p, method), expected, rtol=TOLERANCE)  # type: ignore[arg-type]
    np.testing.assert_allclose(table['p_corrected'], table['p_fdr'])


@COHORTS
def test_demographics(cohort: str) -> None:
    table = structure_tables(cohort, 'II')['demographics']
    age = rows_of(table, response='age').iloc[0]
    compare(age, (cohort, 'oneway', 'age', 'group'), {'F': 'value', 'p': 'p_unc'})
    for name in ('sex', 'handedness'):
        rows = rows_of(table, response=name)
        chi2 = rows_of(rows, analysis='demographics').iloc[0]
        compare(
            chi2, (cohort, 'counts', name, 'group'), {'chi2': 'value', 'df': 'df1', 'p': 'p_unc'}
        )
    exact = rows_of(table, response='handedness', analysis='demographics_exact').iloc[0]
    compare(exact, (cohort, 'counts', 'handedness', 'group'), {'exact': 'p_unc'})


def test_two_groups() -> None:
    table = glutamate_tables()['mrs_group']
    for name in METABOLITES:
        key = ('london', '', name, 'resistant - responsive')
        own = rows_of(table, response=name)
        compare(
            rows_of(own, analysis='mrs_t').iloc[0],
            (key[0], 'student', *key[2:]),
            {'t': 'value', 'df': 'df2', 'p': 'p_unc', 'd': 'effect', 'd_low': 'ci_low',
             'd_high': 'ci_high', 'g': 'hedges_g'},
        )  # fmt: skip
        compare(
            rows_of(own, analysis='mrs_welch').iloc[0],
            (key[0], 'welch', *key[2:]),
            {'t': 'value', 'df': 'df2', 'p': 'p_unc', 'low': 'ci_low', 'high': 'ci_high'},
        )
        compare(
            rows_of(own, analysis='mrs_rank').iloc[0],
            (key[0], 'rank', *key[2:]),
            {'U': 'value', 'p': 'p_unc'},
        )


def test_nuisance_regressions() -> None:
    table = rows_of(glutamate_tables()['mrs_group'], analysis='mrs_nuisance')
    assert len(table) == 15
    for _, row in table.iterrows():
        compare(
            row,
            ('london', 'nuisance', row['response'], row['nuisance']),
            {'t': 'value', 'df': 'df2', 'p': 'p_unc', 'estimate': 'estimate', 'se': 'se'},
        )


def test_correlations_pooled_and_by_group() -> None:
    table = glutamate_tables()['clinical']
    table = table[table['contrast'] != 'within groups']
    assert len(table) == 15
    for _, row in table.iterrows():
        scope = '' if row['contrast'] == 'all groups' else f'_{row["contrast"]}'
        compare(row, ('london', f'pearson{scope}', row['response'], 'panss_total'), PARTIAL)


def test_counts_of_two_groups() -> None:
    table = glutamate_tables()['demographics']
    for name in ('sex', 'smoking'):
        compare(
            rows_of(table, response=name, analysis='demographics').iloc[0],
            ('london', 'counts', name, 'group'),
            {'chi2': 'value', 'df': 'df1', 'p': 'p_unc'},
        )
