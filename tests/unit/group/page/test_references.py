"""References: whole entries, that BibTeX would read, and those of what ran."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pandas as pd
import pytest

from bids_acc.group.page.references import bibliography, in_words, used_keys, write_methods


def run(
    correction: str = 'bh', scheme: str = 'ratio_tcr', source: str = 'rule',
    processing: tuple[str, ...] = (),
) -> object:  # fmt: skip
    content = {'Correction': correction, 'Families': {}, 'Mrs': {'UnitScheme': scheme}}
    return SimpleNamespace(
        parcellation=SimpleNamespace(choice=SimpleNamespace(source=source)),
        model=SimpleNamespace(content=content), tables={'mrs_group': pd.DataFrame()},
        processing=list(processing),
    )  # fmt: skip


@pytest.mark.parametrize('key', list(bibliography()))
def test_an_entry_is_balanced_and_has_what_a_reader_needs_to_find_it(key: str) -> None:
    entry = bibliography()[key]
    assert entry.count('{') == entry.count('}')
    assert re.search(r'\b(doi|url) = \{\S+\}', entry)
    line = in_words(entry)
    assert not re.search(r'[{}\\]', line)
    year = re.search(r'\d{4}', key)
    assert year
    assert f'({year[0]})' in line


def test_no_key_stands_twice_in_the_file() -> None:
    from importlib import resources

    text = (resources.files('bids_acc') / 'data' / 'report' / 'references.bib').read_text()
    assert len(bibliography()) == text.count('\n@') + 1


def test_what_did_not_run_is_not_cited() -> None:
    assert {'yang2010', 'benjamini1995'} < set(used_keys(run()))
    assert 'gasparovic2006' not in used_keys(run())
    assert 'gasparovic2006' in used_keys(run(scheme='water_tissue'))
    assert 'yang2010' not in used_keys(run(source='atlas'))
    assert 'holm1979' in used_keys(run(correction='holm'))
    assert 'benjamini1995' not in used_keys(run(correction='none'))
    made = run(processing=('T1w: brain extraction: two networks (deepbet 1)', 'labels of CerebrA'))
    assert {'fisch2024', 'klein2012', 'manera2020'} < set(used_keys(made))
    assert 'fisch2024' not in used_keys(run())


def test_files_hold_the_text_and_the_entries(tmp_path) -> None:
    lines = write_methods(run(), ['What was done.'], tmp_path)
    text = (tmp_path / 'methods.md').read_text()
    assert 'What was done.' in text
    assert 'CC0' in text
    assert all(line in text for line in lines)
    assert (tmp_path / 'references.bib').read_text().count('@article') == len(lines)
