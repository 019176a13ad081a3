"""No name of a column is left in a page, and names of files are."""

from __future__ import annotations

import pandas as pd
import pytest

from bids_acc.derivatives.outputs import load_table
from bids_acc.report.html import Section, table_block
from bids_acc.report.plain_words import plain_sections, spelled_out, word_of
from tests.synthetic.seen import raw_names


def test_large_numbers_have_no_exponent():
    (row,) = table_block(pd.DataFrame({'df2': [12345.0], 'p': [0.00001234]})).rows
    assert [cell['text'] for cell in row] == ['12345', '1.234e-05']


def test_every_declared_column_becomes_words():
    names = {name for spec in load_table().values() for name in spec.columns or {} if '_' in name}
    assert len(names) > 100
    left = [name for name in names if '_' in spelled_out(f'see {name}, please')]
    assert left == []


@pytest.mark.parametrize('text', [
    'qc/participant_flow.tsv', 'measures_long.tsv says', 'stats/qc_by_group.json',
    '--bids-filter-file x_y.json', 'https://doi.org/10.1/a_b', 'voxels/*_overlap.tsv',
])  # fmt: skip
def test_names_of_files_and_addresses_stay(text):
    assert spelled_out(text) == text


def test_groups_that_are_named_so_stay():
    assert spelled_out('CLZ_Resp - my_hc', {'CLZ_Resp': 'CLZ_Resp'}) == 'CLZ_Resp - my hc'


def test_a_page_is_spelled_out_everywhere():
    table = pd.DataFrame({'fwhm_hz': ['md_c2_L'], 'n': [3]})
    block = table_block(table, 'panss_total', 'of fwhm_hz')
    (section,) = plain_sections([Section('S', [block])], {'panss_total': 'PANSS, total'})
    (plain,) = section.blocks
    assert plain.title == 'PANSS, total'
    assert plain.caption == 'of line width (Hz)'
    assert list(plain.columns) == ['line width (Hz)', 'n']
    assert [cell['text'] for cell in plain.rows[0]] == ['MD of parcel 2, left', '3']


def test_sides_and_modalities_are_words():
    assert word_of('anat_boundary_contrast_L') == 'T1w: contrast at the white surface, left'
    assert word_of('thickness_c1_R') == 'thickness of parcel 1, right'


def test_the_search_for_raw_names_finds_them():
    names = ['md_c2', 'p_unc']
    assert raw_names(['the md_c2 of all', 'p_unc.'], names) == ['md_c2', 'p_unc']
    assert raw_names(['stats/md_c2.tsv', 'my_md_c2', 'md_c2.tsv'], names) == []
