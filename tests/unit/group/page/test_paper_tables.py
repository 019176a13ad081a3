"""Tables for a paper: numbers as APA sets them, the same as in the tables of statistics."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest

from bids_acc.group.page.paper_tables import (
    apa_effect,
    apa_p,
    apa_test,
    as_csv,
    as_markdown,
    codebook,
    paper_tables,
)
from tests.unit.group.statistics.analyses.test_interactions import tables as tables_of


@pytest.fixture
def made(rng):
    tables = tables_of(rng, {'Interactions': ['sex']}, by_sex=1.5)
    return tables, {table.name: table for table in paper_tables(tables)}


def test_printed_numbers_are_those_of_the_table_of_statistics(made):
    tables, papers = made
    ancova = papers['ancova']
    wanted = tables['ancova'].query("term == 'group'").iloc[0]
    (shown,) = ancova.shown.to_dict('records')  # terms of covariates are no primary result
    assert shown['Test'] == f'*F*(1, {wanted["df2"]:.0f}) = {wanted["value"]:.2f}'
    assert shown['*p*'] == apa_p(wanted['p_unc'])
    assert shown['*n*'] == '80'
    assert f'= {wanted["effect"]:.2f}'.replace('0.', '.') in shown['Effect size [CI]']
    again = pd.read_csv(io.StringIO(as_csv(ancova.data)))
    assert again['p_unc'].iloc[0] == wanted['p_unc']  # all digits
    assert again['effect'].iloc[0] == wanted['effect']


def test_findings_by_other_means_stay_out_and_numbers_have_no_gap(made):
    _, papers = made
    assert [table.number for table in papers.values()] == list(range(1, len(papers) + 1))
    kinds = set(papers['interactions'].data['analysis'])
    assert kinds == {'interactions'}
    for table in papers.values():
        assert not table.shown.astype(str).isin(['nan', 'n/a', 'None']).any(axis=None)
        assert not (table.shown == '').all().any()


def test_markdown_has_number_title_and_note(made):
    _, papers = made
    lines = as_markdown(papers['ancova']).splitlines()
    assert lines[0].startswith('**Table ')
    assert lines[2] == '*Group differences in structure at equal covariates*'
    widths = {line.count('|') - line.count(r'\|') for line in lines if line.startswith('|')}
    assert len(widths) == 1
    assert lines[-1].startswith('*Note.* ')
    assert 'Covariates: age, sex.' in lines[-1]
    assert 'Benjamini and Hochberg (families of 1 test)' in lines[-1]


def test_the_codebook_explains_every_column_of_every_csv(made):
    _, papers = made
    book = codebook(list(papers.values())).set_index('column')
    columns = {name for table in papers.values() for name in table.data}
    assert set(book.index) == columns
    assert (book['description'] != book.index).all()
    assert book.loc['p_unc', 'tables'] == 'all'


def test_what_could_not_be_done_is_counted_and_not_printed(made):
    tables, _ = made
    ancova = tables['ancova']
    undone = ancova.iloc[[0]].assign(
        p_unc=np.nan, effect=np.nan, value=np.nan, note='not done: x', family='ancova'
    )
    both = {'ancova': pd.concat([ancova.query("term == 'group'"), undone])}
    (table,) = paper_tables(both)
    assert len(table.shown) == 1
    assert '1 comparison that the data do not allow is left out' in table.note
    assert list(paper_tables({'ancova': undone})) == []


def test_cells_of_users_do_not_break_the_table(made):
    _, papers = made
    ancova = papers['ancova']
    ancova.shown['Measure'] = 'a|b'
    rows = [line for line in as_markdown(ancova).splitlines() if line.startswith('|')]
    assert r'a\|b' in rows[-1]


def test_numbers_as_apa_sets_them():
    nan = float('nan')
    row = {'effect_name': 'adjusted_difference', 'effect': 0.00123, 'ci_low': nan}
    assert apa_effect(pd.Series(row)) == 'adjusted difference = 0.00123'
    assert (
        apa_effect(
            pd.Series(
                {'effect_name': 'partial_eta2', 'effect': 0.104, 'ci_low': 0.0, 'ci_high': 1.0}
            )
        )
        == 'partial η² = .10 [.00, 1.00]'
    )
    permuted = pd.Series({'statistic': 't permuted', 'value': 2.1, 'df1': 1.0, 'df2': 12.0})
    assert apa_test(permuted) == '*t*(12) = 2.10'
    assert apa_test(pd.Series({'statistic': '', 'value': nan})) == ''
