"""Each figure of the group level leads to the rows it shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from bids_acc.derivatives.outputs import load_table
from bids_acc.group.page.figure_rows import rows_of


def test_a_figure_leads_to_its_tables_that_are_there(tmp_path: Path) -> None:
    (tmp_path / 'stats').mkdir()
    for name in ('measures.tsv', 'stats/relation.tsv'):
        (tmp_path / name).touch()
    figure = tmp_path / 'figures' / 'relation_Tokyo_mdc2_Glx.svg'
    assert [path.name for path, _ in rows_of(figure)] == ['measures.tsv', 'relation.tsv']
    assert list(rows_of(tmp_path / 'figures' / 'trials_HC_1.svg')) == []


@pytest.mark.parametrize(
    ('figure', 'found'),
    [
        ('cohort-b_desc-confidence_opnmf.svg', ['cohort-b_vertexindex.tsv']),
        ('desc-rank_opnmf.svg', ['cohort-a_rankcurves.tsv', 'cohort-b_rankcurves.tsv']),
    ],
)
def test_a_figure_of_a_cohort_leads_to_that_cohort(tmp_path, figure, found) -> None:
    (tmp_path / 'opnmf').mkdir()
    for cohort in 'ab':
        for name in ('vertexindex', 'rankcurves'):
            (tmp_path / 'opnmf' / f'cohort-{cohort}_{name}.tsv').touch()
    rows = list(rows_of(tmp_path / 'figures' / figure))
    assert [path.name for path, _ in rows] == found
    assert len({words for _, words in rows}) == len(rows)


def test_rows_of_participants_figures_are_tables_of_the_same_session() -> None:
    table = load_table()
    named = {
        spec.key: key for spec in table.values() for key in (spec.report or {}).get('rows', ())
    }
    assert len(named) >= 10
    for figure, key in named.items():
        assert table[key].entities['extension'] == '.tsv', figure
        assert set(table[figure].inherit) == set(table[key].inherit), figure
