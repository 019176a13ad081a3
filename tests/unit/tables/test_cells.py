"""No cell of a table of ours is run by a spreadsheet."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from bids_acc.images.files import format_table
from bids_acc.tables.cells import as_text
from bids_acc.tables.writing import write_tsv
from tests.contract.layers import read_sources

RUN = ['=1+1', '=HYPERLINK("http://x")', '@SUM(A1)', "-2+3+cmd|' /C calc'!A0", '+cmd|x!A0']
SHOWN = ['HC', '-0.3 to 0.2', '+', '-', 'a=b', 'n/a', '1=yes', '-1.5', "'=1"]


@pytest.mark.parametrize('cell', RUN)
def test_what_would_run_is_text(tmp_path: Path, cell: str) -> None:
    write_tsv(tmp_path / 't.tsv', pd.DataFrame({'group': [cell, None], 'n': [1.5, 2]}))
    first, second = (tmp_path / 't.tsv').read_text().splitlines()[1:]
    assert first.replace('""', '"').strip('"').startswith("'" + cell[:2])
    assert second == 'n/a\t2'


@pytest.mark.parametrize('cell', SHOWN)
def test_what_would_not_is_left_alone(cell: str) -> None:
    table = pd.DataFrame({'group': [cell], 'x': [-1.0]})
    assert as_text(table) is table


def test_names_of_columns_are_cells_too() -> None:
    table = pd.DataFrame({'=x': ['=y'], 'b': [True]})
    assert as_text(table).to_dict('list') == {"'=x": ["'=y"], 'b': [True]}


WITHOUT_WORDS = {'dwi/gradients.py', 'func/denoising.py', 'tables/writing.py', 'demo/files.py',
                 'group/page/paper_tables.py'}  # fmt: skip
"""Who may call pandas itself: the writer, two that write numbers only, made raw data, and tables
for papers, which are CSV and pass `as_text`."""


def test_no_table_is_written_past_the_one_writer() -> None:
    found = {place for place, text in read_sources().items() if '.to_csv(' in text}
    assert found == WITHOUT_WORDS


def test_tables_of_a_modality_are_protected_too(tmp_path: Path) -> None:
    table = pd.DataFrame({'note': ['=cmd', ''], 'ok': [True, False]})
    format_table(table, tmp_path / 't.tsv')
    assert (tmp_path / 't.tsv').read_text() == "note\tok\n'=cmd\ttrue\nn/a\tfalse\n"
