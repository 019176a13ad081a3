"""The codebook tells what each column holds, and counts what stands in it."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from bids_acc.group.measures.codebook import codebook_table, write_codebook
from bids_acc.group.measures.files import data_dictionary
from bids_acc.group.measures.table import Measures, meaning_of

PEOPLE = {
    'age': {'Description': 'Age at the scan', 'Units': 'years', 'Minimum': 18, 'Maximum': 65},
    'dx': {'Description': 'Diagnosis', 'Levels': {'HC': 'control', 'TRS': {'Description': 'ill'}}},
}


@pytest.fixture
def measures() -> Measures:
    """Return a table of five people, one column of each kind."""
    wide = pd.DataFrame(
        {
            'participant_id': [f'sub-{i}' for i in range(5)],
            'session_id': '',
            'age': [20.0, 30, 40, np.nan, 60],
            'dx': ['HC', 'HC', 'TRS', 'TRS', None],
            'md_c2_L': [7e-4, 8e-4, np.nan, np.nan, 9e-4],
            'anat_boundary_contrast_L': [0.1, 0.2, 0.3, 0.4, 0.5],
            'dwi_fd_mean': [np.nan] * 5,
            'voi_ACC__ratio_tcr__Glx__gate': ['pass', 'pass', 'fail', 'pass', None],
            'site': [f'site {i}' for i in range(5)],
        }
    )
    return Measures(wide, {name: meaning_of(name) for name in wide.columns[2:]})


def rows(measures: Measures) -> pd.DataFrame:
    """Return the codebook by column."""
    table = codebook_table(measures, data_dictionary(measures, PEOPLE))
    return table.set_index('column')


def test_every_column_is_defined_and_counted(measures):
    found = rows(measures)
    assert list(found.index) == list(measures.meanings)
    assert (found['definition'] != '').all()
    assert (found['n'] + found['missing'] == 5).all()
    assert found.loc['age', ['n', 'smallest', 'largest', 'unit']].tolist() == [
        4,
        '20',
        '60',
        'years',
    ]
    assert found.loc['md_c2_L', ['n', 'smallest', 'largest']].tolist() == [3, '0.0007', '0.0009']
    assert found.loc['dwi_fd_mean', ['n', 'smallest', 'largest']].tolist() == [0, '', '']


def test_ranges_are_those_that_are_declared(measures):
    found = rows(measures)['usual range']
    assert found['age'] == '18 to 65'
    assert found['anat_boundary_contrast_L'] == '>= 0.08'
    assert found['dwi_fd_mean'] == '<= 2'
    assert found['md_c2_L'] == ''


def test_texts_are_listed_with_what_their_levels_mean(measures):
    found = rows(measures)
    assert found.loc['dx', 'values'] == 'HC (2), TRS (2)'
    assert found.loc['dx', 'definition'] == 'Diagnosis. HC: control; TRS: ill'
    assert found.loc['voi_ACC__ratio_tcr__Glx__gate', 'values'] == 'pass (3), fail (1)'


def test_many_different_texts_are_not_all_listed(measures):
    wide = pd.concat([measures.wide] * 2, ignore_index=True)
    wide['site'] = [f'site {i}' for i in range(10)]
    many = rows(Measures(wide, measures.meanings)).loc['site', 'values']
    assert many.endswith('and 4 others')


def test_the_page_names_every_column_and_links_the_table(measures, tmp_path):
    (tmp_path / 'measures.tsv').touch()
    path = write_codebook(measures, data_dictionary(measures, PEOPLE), tmp_path)
    page = path.read_text()
    cells = re.findall(r'<td class="[a-z]*">([^<]*)</td>', page)
    assert set(measures.meanings) <= set(cells)
    assert 'href="measures.tsv"' in page
