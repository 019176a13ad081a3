"""One damaged table of one person costs that person, and nobody else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from bids_acc.derivatives.outputs import output_path
from bids_acc.derivatives.records import Record, hash_files, read_record, record_path, write_record
from bids_acc.group.cohort.reading import load_cohort, plan_group
from bids_acc.tables.writing import write_tsv

KEYS = ('mrs_quantities', 'mrs_quality')


def table(root: Path, key: str, subject: str) -> Path:
    """Name a table of one person."""
    return output_path(key, root, {'subject': subject, 'acquisition': 'press'})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return an output folder of three people with a spectrum each, and their records."""
    for subject in ('01', '02', '03'):
        levels = {'metabolite': ['Glu', 'tCr'], 'unit_scheme': 'ratio_tcr', 'value': [1.2, 1.0],
                  'gate': 'pass', 'gate_reason': 'n/a'}  # fmt: skip
        write_tsv(table(tmp_path, 'mrs_quantities', subject), pd.DataFrame(levels))
        quality = pd.DataFrame([{'snr_lcm': 20.0, 'fwhm_hz': 5.0, 'gate': 'pass'}])
        write_tsv(table(tmp_path, 'mrs_quality', subject), quality)
        written = hash_files([table(tmp_path, key, subject) for key in KEYS], tmp_path)
        write_record(tmp_path, Record(f'sub-{subject}_mrs', '1', '', {}, outputs=written))
    return tmp_path


def annex(path: Path) -> None:
    """Put a link there whose content was not fetched."""
    path.unlink()
    path.symlink_to('../.git/annex/objects/x/y')


FAULTS: dict[str, Callable[[Path], object]] = {
    'empty': lambda path: path.write_bytes(b''),
    'half': lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    'cut at a line': lambda path: path.write_text(path.read_text().splitlines(True)[0]),
    'ragged': lambda path: path.write_text(path.read_text() + 'a\tb\n'),
    'binary': lambda path: path.write_bytes(bytes(range(256))),
    'spreadsheet': lambda path: path.write_bytes(b'PK\x03\x04' + bytes(100)),
    'not fetched': annex,
    'a folder': lambda path: (path.unlink(), path.mkdir()),
    'another number': lambda path: path.write_text(path.read_text().replace('1', '7', 1) + '\n'),
}


@pytest.mark.parametrize('key', KEYS)
@pytest.mark.parametrize('kind', FAULTS)
def test_it_costs_one_person(kind, key, root):
    path = table(root, key, '02')
    FAULTS[kind](path)
    plan = plan_group(root)
    became = {row['participant_id']: row for row in plan if row['modality'] == 'mrs'}
    assert [became[f'sub-0{i}']['status'] for i in (1, 2, 3)] == ['run', 'exclude', 'run']
    assert path.name in became['sub-02']['reason']
    levels = load_cohort(root, plan).mrs
    assert levels is not None
    assert {'sub-01', 'sub-03'} <= set(levels['participant_id'])
    if key == 'mrs_quantities':
        assert set(levels['participant_id']) == {'sub-01', 'sub-03'}


RECORDS = {
    'empty': b'', 'half': b'{"label": "sub-02_mrs", "ver', 'a list': b'[]', 'a number': b'5',
    'null': b'null', 'no text': b'\xff\xfe\x00', 'nested': b'[' * 100_000, 'no fields': b'{}',
    'more fields': b'{"label": "sub-02_mrs", "new": 1}',
    'other kinds': b'{"label": "sub-02_mrs", "version": 1, "settings": 2, "inputs": [3]}',
    'outputs no table': b'{"label": "sub-02_mrs", "version": "1", "settings": "", "inputs": {},'
                        b' "outputs": [1, 2]}',
    'digest no text': b'{"label": "sub-02_mrs", "version": "1", "settings": "", "inputs": {},'
                      b' "outputs": {"a": 5}}',
    'fields no table': b'{"label": "sub-02_mrs", "version": "1", "settings": "", "inputs": {},'
                       b' "fields": 7}',
    'of another': b'{"label": "sub-01_mrs", "version": "1", "settings": "", "inputs": {}}',
}  # fmt: skip


@pytest.mark.parametrize('kind', RECORDS)
def test_a_damaged_record_counts_as_none(kind, root):
    record_path(root, 'sub-02_mrs').write_bytes(RECORDS[kind])
    assert read_record(root, 'sub-02_mrs') is None
    plan = plan_group(root)
    assert [row['status'] for row in plan if row['modality'] == 'mrs'] == ['run'] * 3
