"""Names come from the table, and the table gives them back."""

from __future__ import annotations

import gzip
import json

import pandas as pd
import pytest

from bids_acc.derivatives import dataset, outputs, records
from bids_acc.exceptions import OutputError
from bids_acc.files.writing import check_space, write_json
from bids_acc.tables.writing import write_tsv

EXAMPLE = {
    'subject': '01', 'session': '1', 'acquisition': 'press', 'run': '1', 'template': 'fsaverage',
    'cohort': 'tokyo', 'hemisphere': 'L', 'density': '10k', 'voi': 'ACC', 'label': 'GM',
    'scale': '4', 'reconstruction': 'x', 'direction': 'AP', 'nucleus': '1H',
    'extension': '.nii.gz',
}  # fmt: skip


@pytest.mark.parametrize('key', list(outputs.load_table()))
def test_each_name_is_found_again(key, tmp_path):
    """What `output_path` writes, `find_outputs` finds, with the same entities."""
    spec = outputs.output_spec(key)
    fields = {name: EXAMPLE.get(name, 'x1') for name in spec.free}
    entities = {name: EXAMPLE.get(name, 'x2') for name in spec.inherit}
    path = outputs.output_path(key, tmp_path, entities, **fields)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    (found,) = outputs.find_outputs(key, tmp_path)
    assert found.path == path
    for name, value in fields.items():
        assert found.entities[name] == value
    others = [k for k in outputs.load_table() if k != key and outputs.find_outputs(k, tmp_path)]
    assert others == [], 'two keys must not share a file'


@pytest.mark.parametrize('key', list(outputs.load_table()))
def test_each_row_is_documented(key):
    spec = outputs.output_spec(key)
    assert spec.level in ('session', 'subject', 'dataset')
    assert 'suffix' in spec.entities or spec.level == 'dataset'
    if spec.sidecar and spec.datatype != 'figures':
        assert 'Description' in str(spec.metadata), 'say what it is'
    if spec.report:
        assert spec.report.get('title')


def test_a_misspelt_entity_never_vanishes(tmp_path):
    key = next(k for k, s in outputs.load_table().items() if s.free)
    with pytest.raises(ValueError, match='not declared'):
        outputs.output_path(key, tmp_path, {'subject': '01'}, dsec='x')
    with pytest.raises(ValueError, match='must be given'):
        outputs.output_path(key, tmp_path, {'subject': '01'})


def test_gzip_bytes_do_not_depend_on_time_or_name(tmp_path):
    for name in ('a', 'b'):
        with gzip.open(tmp_path / f'{name}.nii.gz', 'wb') as stream:
            stream.write(b'same')
        outputs.copy_canonical(tmp_path / f'{name}.nii.gz', tmp_path / f'{name}2.nii.gz')
    assert (tmp_path / 'a2.nii.gz').read_bytes() == (tmp_path / 'b2.nii.gz').read_bytes()


def test_tables_write_missing_as_bids_asks(tmp_path):
    table = pd.DataFrame({'a': [1.0, float('nan')], 'b': [True, False], 'c': ['x', None]})
    write_tsv(tmp_path / 't.tsv', table)
    assert (tmp_path / 't.tsv').read_text() == 'a\tb\tc\n1\ttrue\tx\nn/a\tfalse\tn/a\n'


def test_unwritable_folder(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(OutputError, match='cannot be written'):
        check_space(tmp_path / 'file' / 'below')


def test_records_notice_every_change(tmp_path):
    source, output = tmp_path / 'in.txt', tmp_path / 'out.txt'
    source.write_text('a')
    output.write_text('b')
    now = {
        'version': '1', 'settings': 's', 'inputs': records.hash_files([source]), 'upstream': {},
    }  # fmt: skip
    record = records.Record('x', outputs=records.hash_files([output], tmp_path), **now)
    records.write_record(tmp_path, record)
    read = records.read_record(tmp_path, 'x')
    assert records.still_valid(tmp_path, read, **now)
    assert not records.still_valid(tmp_path, read, **{**now, 'settings': 't'})
    assert not records.still_valid(tmp_path, read, **{**now, 'version': '2'})
    assert not records.still_valid(tmp_path, read, **{**now, 'upstream': {'anat': 'x'}})
    source.write_text('changed')
    assert not records.still_valid(
        tmp_path, read, **{**now, 'inputs': records.hash_files([source])}
    )
    output.write_text('edited')
    assert not records.still_valid(tmp_path, read, **now)
    output.unlink()
    assert not records.still_valid(tmp_path, read, **now)


def test_sidecars_hold_no_nan(tmp_path):
    write_json(tmp_path / 'a.json', {'x': float('nan'), 'y': [1.0, float('inf')]})
    assert json.loads((tmp_path / 'a.json').read_text()) == {'x': None, 'y': [1.0, None]}


def test_tables_of_visits_are_copied(tmp_path):
    raw, out = tmp_path / 'raw' / 'sub-01', tmp_path / 'out'
    raw.mkdir(parents=True)
    (raw / 'sub-01_sessions.tsv').write_text('session_id\tpanss\nses-1\t70\n')
    dataset.copy_sessions_file(tmp_path / 'raw', out, '01')
    dataset.copy_sessions_file(tmp_path / 'raw', out, '02')
    assert [p.name for p in out.rglob('*.*')] == ['sub-01_sessions.tsv']
    assert (out / 'sub-01' / 'sub-01_sessions.tsv').read_bytes() == (
        raw / 'sub-01_sessions.tsv'
    ).read_bytes()


DIGEST = f'registry.example.org:5000/lab/bids_acc@sha256:{"0123456789abcdef" * 4}'
CONTAINER_VARIABLES = (
    'BIDS_ACC_CONTAINER_TAG', 'BIDS_ACC_CONTAINER_DIGEST', 'APPTAINER_CONTAINER',
    'SINGULARITY_CONTAINER',
)  # fmt: skip


@pytest.mark.parametrize(
    ('variables', 'container'),
    [
        ({}, None),
        ({'BIDS_ACC_CONTAINER_TAG': 'bids_acc:1'}, {'Type': 'docker', 'Tag': 'bids_acc:1'}),
        ({'APPTAINER_CONTAINER': '/a.sif'}, {'Type': 'apptainer', 'URI': '/a.sif'}),
        (
            {'BIDS_ACC_CONTAINER_TAG': 'bids_acc:1', 'BIDS_ACC_CONTAINER_DIGEST': DIGEST},
            {'Type': 'docker', 'Tag': 'bids_acc:1', 'URI': f'docker://{DIGEST}'},
        ),
        (
            {'APPTAINER_CONTAINER': '/a.sif', 'BIDS_ACC_CONTAINER_DIGEST': f'docker://{DIGEST}'},
            {'Type': 'apptainer', 'URI': f'docker://{DIGEST}'},
        ),
        ({'BIDS_ACC_CONTAINER_DIGEST': DIGEST}, {'Type': 'docker', 'URI': f'docker://{DIGEST}'}),
    ],
)
def test_container_is_named(monkeypatch, variables, container):
    for name in CONTAINER_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert dataset.container_from_environment() == container


@pytest.mark.parametrize('given', ['sha256:1', DIGEST[:-1], DIGEST.partition('@')[2], 'a:latest'])
def test_what_is_no_digest_of_an_image_is_said_and_not_written(monkeypatch, caplog, given):
    for name in CONTAINER_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('BIDS_ACC_CONTAINER_TAG', 'bids_acc:1')
    monkeypatch.setenv('BIDS_ACC_CONTAINER_DIGEST', given)
    assert dataset.container_from_environment() == {'Type': 'docker', 'Tag': 'bids_acc:1'}
    assert given in caplog.text


def test_authors_of_the_data_sets_are_those_of_the_results(tmp_path):
    for name, authors in (('a', ['A. Author', 3]), ('b', ['B. Author', 'A. Author']), ('c', 'x')):
        raw = tmp_path / name
        raw.mkdir()
        about = {'Name': name, 'BIDSVersion': '1.11.1', 'Authors': authors}
        (raw / 'dataset_description.json').write_text(json.dumps(about))
        dataset.write_dataset_files(raw, tmp_path / 'out')
    about = json.loads((tmp_path / 'out' / 'dataset_description.json').read_text())
    assert about['Authors'] == ['A. Author', 'B. Author']
