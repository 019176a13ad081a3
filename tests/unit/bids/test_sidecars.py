"""Sidecars in the encodings that scanners write, and what a file inherits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bids_acc.bids.discovery import discover
from bids_acc.bids.index import ImageIndex
from bids_acc.bids.selection import Selection
from bids_acc.bids.sidecars import inherited_metadata, read_json
from bids_acc.exceptions import InputDataError, MissingInputError
from tests.synthetic.bids_folder import write_dataset, write_t1w

TEXT = '{"InstitutionName": "Universität", "EchoTime": 0.03}'


@pytest.mark.parametrize(
    'encoding', ['utf-8', 'utf-8-sig', 'latin-1', 'cp1252', 'utf-16', 'utf-16-le', 'utf-32']
)
def test_every_encoding_gives_the_same(tmp_path, encoding):
    path = tmp_path / 'a.json'
    mark = b'\xff\xfe' if encoding == 'utf-16-le' else b''
    path.write_bytes(mark + TEXT.encode(encoding))
    assert read_json(path) == json.loads(TEXT)


@pytest.mark.parametrize(
    ('content', 'words'),
    [
        (b'{"a": 1', 'no valid JSON'),
        (b'[1, 2]', 'holds a list'),
        (b'', 'is empty'),
        (b'\xff\xfe{', 'no valid JSON'),
        (b'[' * 100_000, 'no valid JSON'),
        (b'{"a": ' + b'1' * 5000 + b'}', 'no valid JSON'),
    ],
)
def test_what_is_no_object_is_refused_by_name(tmp_path, content, words):
    path = tmp_path / 'a.json'
    path.write_bytes(content)
    with pytest.raises(InputDataError, match=words) as caught:
        read_json(path)
    assert str(path) in str(caught.value)


def test_an_absent_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(MissingInputError):
        read_json(tmp_path / 'a.json')
    with pytest.raises(InputDataError):
        read_json(tmp_path)


def test_not_a_number_is_not_known(tmp_path):
    path = tmp_path / 'a.json'
    path.write_text('{"EchoTime": NaN, "Other": [1, Infinity]}')
    assert read_json(path) == {'EchoTime': None, 'Other': [1, None]}


def test_the_nearest_sidecar_wins(tmp_path):
    folder = tmp_path / 'sub-01' / 'dwi'
    folder.mkdir(parents=True)
    contents = {
        tmp_path / 'dwi.json': {'a': 'root', 'b': 'root', 'c': 'root'},
        tmp_path / 'acq-x_dwi.json': {'a': 'other acquisition'},
        tmp_path / 'notdwi.json': {'a': 'other suffix'},
        tmp_path / 'sub-01' / 'sub-01_dwi.json': {'b': 'subject', 'c': 'subject'},
        folder / 'sub-01_run-1_dwi.json': {'c': 'own'},
    }
    for path, content in contents.items():
        path.write_text(json.dumps(content))
    found = inherited_metadata(folder / 'sub-01_run-1_dwi.nii.gz', tmp_path)
    assert found == {'a': 'root', 'b': 'subject', 'c': 'own'}


@pytest.mark.parametrize('where', ['T1w.json', 'sub-01/sub-01_T1w.json', ''])
def test_a_foreign_accent_anywhere_costs_nothing(tmp_path, where):
    root: Path = write_dataset(tmp_path / 'bids')
    image = write_t1w(root, '01')
    sidecar = root / where if where else image.with_name('sub-01_T1w.json')
    sidecar.write_bytes(TEXT.encode('latin-1'))
    (session,) = discover(ImageIndex(root), Selection(modalities=('anat',)))
    assert session.row('anat').status == 'run'
    assert session.anat.metadata['InstitutionName'] == 'Universität'


@pytest.mark.parametrize('content', [b'\xef\xbb\xbf{"a": 1}', b'{"a": "\xe4"}', b'nonsense'])
def test_a_foreign_participants_json_stops_nothing(tmp_path, content):
    root = write_dataset(tmp_path / 'bids')
    write_t1w(root, '01')
    (root / 'participants.json').write_bytes(content)
    (session,) = discover(ImageIndex(root), Selection(modalities=('anat',)))
    assert session.row('anat').status == 'run'
