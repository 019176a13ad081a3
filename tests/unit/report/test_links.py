"""Every table opens or saves its rows, every figure leads to them, and words are explained."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd

from bids_acc.report.glossary import TERMS, with_glossary
from bids_acc.report.group_page import GroupPage, render_group_page
from bids_acc.report.html import Block, Section, image_block, render_page, table_block

SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"></svg>'


def test_a_table_that_is_no_file_can_be_saved(tmp_path: Path) -> None:
    table = pd.DataFrame({'a b': ['x\ty', 'é'], 'n': [1, 2]})
    page = render_page('t', '', [Section('S', [table_block(table, 'What was read')])], tmp_path)
    (link,) = re.findall(r'<a href="data:[^"]*base64,([^"]+)" download="([^"]+)"', page)
    assert link[1] == 'what_was_read.tsv'
    assert base64.b64decode(link[0]).decode() == 'a b\tn\nx y\t1\né\t2\n'
    kept = table_block(table, 'T', file=tmp_path / 'x.tsv')
    page = render_page('t', '', [Section('S', [kept])], tmp_path)
    assert 'href="x.tsv">Open the TSV' in page
    assert 'download=' not in page


def test_a_figure_leads_to_its_rows_also_in_the_folder_beside(tmp_path: Path) -> None:
    root = tmp_path / 'model'
    svg = tmp_path / 'parcels' / 'a.svg'
    svg.parent.mkdir()
    svg.write_text(SVG)
    rows = ((tmp_path / 'parcels' / 'r.tsv', 'its rows'), (Path('/else/where.tsv'), 'not shown'))
    block = replace(image_block(svg, 'F'), beside=rows)
    page = render_page('t', '', [Section('S', [block])], root)
    assert 'href="../parcels/a.svg">Open the figure' in page
    assert 'href="../parcels/r.tsv" title="r.tsv">Its rows' in page
    assert 'not shown' not in page.lower()


def test_tables_of_the_group_page_lead_to_those_for_a_paper(tmp_path: Path) -> None:
    table = pd.DataFrame({'response': ['a'], 'retained': ['yes']})
    paper = tmp_path / 'tables' / 'desc-gate_table.md'
    page = render_group_page(
        GroupPage([], {'gate': table}, folder=tmp_path, tables_folder=tmp_path / 'stats',
                  beside={'gate': [(paper, 'for a paper')]}), '',
    )  # fmt: skip
    assert 'href="stats/gate.tsv">Open the TSV' in page
    assert 'href="tables/desc-gate_table.md" title="desc-gate_table.md">For a paper' in page


def test_single_words_are_explained_where_they_stand() -> None:
    table = pd.DataFrame({'criterion': ['snr', 'crlb', 'fwhm', 'dof']})
    words = with_glossary([Section('S', [table_block(table)])])[-1]
    assert words.title == 'Words'
    explained = ' '.join(row[0]['text'] for row in words.blocks[0].rows)
    assert all(name in explained for name in ('snr', 'crlb', 'fwhm', 'dof'))
    plain = [Section('S', [Block(paragraphs=['Nothing of the kind.'])])]
    assert with_glossary(plain) == plain


def test_each_pattern_finds_its_own_word() -> None:
    assert [p for p, term in TERMS.items() if not re.search(p, term.word)] == []
