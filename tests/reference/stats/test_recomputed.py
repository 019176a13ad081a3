"""Rows of the tables are what their own columns and dictionaries say, by other code.

The benchmark ``group_recomputed`` does it for all parcels.
"""

from __future__ import annotations

import json

import pytest

from bids_acc.group.statistics.tables import EFFECTS
from tests.benchmarks.group_recomputed import of_reference, read_tables, recompute

DONE = {
    'ancova: ancova, F', 'clinical: clinical, t', 'contrasts: contrasts, t',
    'demographics: demographics, F', 'diagnostics: equal_variances, F', 'diagnostics: hc3, F',
    'diagnostics: normality, W', 'evidence: bayes_factor, BF10',
    'evidence: equivalence, t one-sided', 'evidence: equivalence, z one-sided',
    'interactions: interactions, F', 'meta: pooled with site, t', 'posthoc: posthoc, t',
    'posthoc: posthoc_plain, t', 'relation: relation, F',
}  # fmt: skip
"""Kinds of which every row is computed again."""


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('stats')


@pytest.fixture(scope='module')
def compared(folder):
    tables, frame = of_reference(folder, 'thickness_c1')
    return recompute(tables, frame).set_index('kind')


def test_each_kind_of_row_is_found_again_to_the_printed_digits(compared):
    assert set(compared.index) >= DONE
    some = compared.loc[sorted(DONE)]
    assert (some['recomputed'] == some['rows']).all()
    # the Bayes factors of both sides are quadratures
    assert compared['deviation'].dropna().max() < 2


def test_a_metabolite_that_is_a_column_of_people_is_no_internal_error(compared, folder):
    """Levels of another program in participants.tsv, and no spectra."""
    tables = read_tables(folder)
    notes = [str(note) for table in tables.values() if 'note' in table for note in table['note']]
    assert not [note for note in notes if 'internal error' in note]
    assert 'Glx' not in set(tables['relation']['response'])
    assert set(tables['mrs_group']['response']) == {'Glx'}


def test_the_dictionary_defines_the_effect_sizes_of_its_table(compared, folder):
    for path in sorted(folder.glob('*.json')):
        column = json.loads(path.read_text('utf-8')).get('effect_name')
        if column is not None:
            used = set(read_tables(folder)[path.stem]['effect_name'].dropna())
            assert set(column['Levels']) == used & set(EFFECTS), path.name
    assert (
        '90 %' in json.loads((folder / 'ancova.json').read_text('utf-8'))['ci_low']['Description']
    )
