"""The lists of the spectra of a cohort become one."""

from __future__ import annotations

from types import SimpleNamespace

import pandas as pd
import pytest

from bids_acc.group.page.checklists import mrsinmrs

HEAD = 'item\tname\tvalue\tsource\n'


@pytest.fixture
def run(tmp_path):
    """Return a run of four people; one list is broken, one person is not in the cohort."""
    for i, te in enumerate(('30', '30', '35', '30')):
        folder = tmp_path / f'sub-{i}' / 'mrs'
        folder.mkdir(parents=True)
        text = f'{HEAD}1a\tField\t3\tsidecar\n2c\tEcho time (ms)\t{te}\tsidecar\n'
        text += f'3\tShim\t{"n/a" if i else "auto"}\tsidecar\n4\tCoil\tn/a\tmissing\n'
        (folder / f'sub-{i}_desc-mrsinmrs_svs.tsv').write_text(text)
    broken = tmp_path / 'sub-4' / 'mrs'
    broken.mkdir(parents=True)
    (broken / 'sub-4_desc-mrsinmrs_svs.tsv').write_text('x\ty\n1\n')
    people = pd.DataFrame({'participant_id': ['sub-0', 'sub-1', 'sub-2', 'sub-4']})
    return SimpleNamespace(data_dir=tmp_path, cohort=SimpleNamespace(participants=people))


def test_equal_answers_are_one_and_others_are_counted(run):
    found = {item: (asked, answer) for item, asked, answer, _ in mrsinmrs(run)}
    assert found == {
        '1a': ('Field', '3'),
        '2c': ('Echo time (ms)', '30 (2 of 3 spectra); 35 (1 of 3 spectra)'),
        '3': ('Shim', 'auto (1 of 3 spectra)'),
        '4': ('Coil', ''),
    }


def test_without_lists_there_is_none(tmp_path):
    people = pd.DataFrame({'participant_id': ['sub-0']})
    run = SimpleNamespace(data_dir=tmp_path, cohort=SimpleNamespace(participants=people))
    assert list(mrsinmrs(run)) == []
