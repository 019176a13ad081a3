"""Raw data with one fault at a time: that one session says so, and the other is planned."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_acc.anat.interfaces import load_t1w
from bids_acc.bids.discovery import discover
from bids_acc.bids.index import ImageIndex
from bids_acc.bids.indexing import LONGEST_LABEL
from bids_acc.bids.inputs import check_image, read_gradients
from bids_acc.bids.selection import Selection
from bids_acc.bids.sidecars import read_json
from bids_acc.cli.run import main
from bids_acc.dwi.volumes import read_volumes
from bids_acc.exceptions import InputDataError
from bids_acc.images.files import read_image
from tests.endtoend.test_command import bids_acc
from tests.faults.tally import damaged
from tests.synthetic.bids_folder import write_dataset, write_dwi, write_svs, write_t1w


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a data set of two people."""
    root = write_dataset(tmp_path / 'bids')
    for label in ('01', '02'):
        write_t1w(root, label)
        write_dwi(root, label)
        write_svs(root, label)
    return root


def plan(root: Path) -> dict[tuple[str, str], tuple[str, str]]:
    """Return status and reason of each modality."""
    rows = [row for session in discover(ImageIndex(root), Selection()) for row in session.plan]
    return {
        ('/'.join(filter(None, [row.participant_id, row.session_id])), row.modality):
        (row.status, row.reason)
        for row in rows
    }  # fmt: skip


def header(offset: int, value: bytes) -> Callable[[bytes], bytes]:
    """Make a fault of a NIfTI-1 header."""
    return lambda content: content[:offset] + value + content[offset + len(value) :]


def nifti2(content: bytes) -> bytes:
    """Make a NIfTI-2 header of (2^40)^3 voxels."""
    head = bytearray(540)
    struct.pack_into('<i8s', head, 0, 540, b'n+2\0\r\n\x1a\n')
    struct.pack_into('<hh', head, 12, 4, 16)
    struct.pack_into('<8q', head, 16, 3, 2**40, 2**40, 2**40, 1, 1, 1, 1)
    struct.pack_into('<q', head, 168, 544)
    return bytes(head) + bytes(100)


NAN = struct.pack('<12f', *[np.nan] * 12)
METRES = struct.pack('<12f', 0.001, 0, 0, 0, 0, 0.001, 0, 0, 0, 0, 0.001, 0)
IMAGES: dict[str, Callable[[bytes], bytes]] = {
    'empty': lambda content: b'',
    'half': lambda content: content[: len(content) // 2],
    'header only': lambda content: content[:352],
    'half a header': lambda content: content[:100],
    'size of header': header(0, struct.pack('<i', 7)),
    'data type': header(70, struct.pack('<h', 12345)),
    'no data type': header(70, struct.pack('<h', 0)),
    'dimensions': header(40, struct.pack('<h', 99)),
    'no dimension': header(40, struct.pack('<h', 0)),
    'negative size': header(42, struct.pack('<h', -5)),
    'huge': header(42, struct.pack('<3h', 32767, 32767, 32767)),
    'offset': header(108, struct.pack('<f', np.nan)),
    'infinite offset': header(108, struct.pack('<f', np.inf)),
    'far offset': header(108, struct.pack('<f', 1e30)),
    'magic': header(344, b'xyz\0'),
    'no grid': header(280, NAN),
    'flat grid': header(280, bytes(48)),
    'metres': header(280, METRES),
    '2^120 voxels': nifti2,
    'text': lambda content: b'{"this": "is JSON"}' * 100,
    'nothing but zeros': lambda content: bytes(len(content)),
}


@pytest.mark.parametrize('packed', [True, False], ids=['gz', 'plain'])
@pytest.mark.parametrize('kind', IMAGES)
def test_one_bad_image_fails_alone(kind, packed, root):
    path = root / 'sub-01' / 'anat' / 'sub-01_T1w.nii.gz'
    content = IMAGES[kind](gzip.decompress(path.read_bytes()))
    if packed:
        path.write_bytes(gzip.compress(content, mtime=0))
    else:
        path.unlink()
        path = path.with_suffix('')
        path.write_bytes(content)
    found = plan(root)
    status, reason = found['sub-01', 'anat']
    assert status == 'fail'
    assert path.name in reason
    assert 'cannot be planned' not in reason
    assert '\n' not in reason
    assert len(reason) < 500
    assert found['sub-02', 'anat'][0] == found['sub-01', 'mrs'][0] == 'run'


@pytest.mark.parametrize('cut', [1, 4, 8, 100])
def test_packed_images_that_are_cut_off(cut, root):
    path = root / 'sub-01' / 'anat' / 'sub-01_T1w.nii.gz'
    path.write_bytes(path.read_bytes()[:-cut])
    # without its last bytes the data may still be whole; it is then read, or refused
    status, reason = plan(root)['sub-01', 'anat']
    assert status == 'run' or path.name in reason
    if cut == 100:
        assert status == 'fail'


def test_a_sound_packed_image_is_not_unpacked(root, monkeypatch):
    """10,000 people: the length at the end of the file is enough."""
    from bids_acc.bids import inputs

    monkeypatch.setattr(inputs, '_unpacked_size', None)
    check_image(root / 'sub-01' / 'anat' / 'sub-01_T1w.nii.gz', (3,))


SIDECARS: dict[str, bytes] = {
    'no JSON': b'{"EchoTime": 0.03',
    'nothing': b'',
    'a list': b'[1, 2]',
    'a number': b'5',
    'nested': b'{"a":' * 100_000 + b'1' + b'}' * 100_000,
    'nested less': b'{"a":' * 500 + b'1' + b'}' * 500,
    'many digits': b'{"EchoTime": ' + b'9' * 5000 + b'}',
    'large': b'{"EchoTime": ' + b'9' * 400 + b'}',
    'infinite': b'{"EchoTime": 1e999, "RepetitionTime": -1e999}',
    'surrogate': b'{"SequenceName": "\\ud800", "\\udfff": 1}',
    'mark': b'\xef\xbb\xbf{"EchoTime": 0.03}',
    'UTF-16': '{"Institution": "Köln"}'.encode('utf-16'),
    'Latin-1': '{"Institution": "Köln"}'.encode('latin-1'),
    'bytes': bytes(range(256)),
    'list for object': b'{"EchoTime": [0.03], "ImageType": {"a": 1}, "ReferenceSignal": 5}',
    'object for list': b'{"ReferenceSignal": {"a": 1}, "AnatomicalImage": {"a": 1}}',
    'list of numbers': b'{"ReferenceSignal": [1, 2], "AnatomicalImage": [1]}',
    'null': b'{"ReferenceSignal": null, "PhaseEncodingDirection": null, "EchoTime": null}',
    'wrong kinds': b'{"PhaseEncodingDirection": 5, "MultipartID": [], "B0FieldIdentifier": 1}',
    'nul in a path': b'{"ReferenceSignal": "a\\u0000b", "AnatomicalImage": "bids::a\\u0000b"}',
    'long path': b'{"ReferenceSignal": "' + b'a' * 5000 + b'"}',
    'entity': b'{"subject": "02", "run": "x", "suffix": "bold", "datatype": "func"}',
}


@pytest.mark.parametrize('modality', ['anat', 'dwi', 'mrs'])
@pytest.mark.parametrize('kind', SIDECARS)
def test_one_bad_sidecar_never_stops_the_others(kind, modality, root):
    image = next((root / 'sub-01' / modality).glob('*.nii.gz'))
    image.with_name(image.name.partition('.')[0] + '.json').write_bytes(SIDECARS[kind])
    found = plan(root)
    status, reason = found['sub-01', modality]
    assert status in ('run', 'fail')
    assert 'cannot be planned' not in reason
    reason.encode()  # can be printed and written
    assert all(found['sub-02', name][0] == 'run' for name in ('anat', 'dwi', 'mrs'))


@pytest.mark.parametrize('kind', ['no JSON', 'nested', 'UTF-16', 'a list'])
def test_a_bad_file_at_the_root_stops_nobody_it_is_not_for(kind, root):
    for name in ('task-rest_bold.json', 'participants.json', 'notes.json', 'T2w.json'):
        (root / name).write_bytes(SIDECARS[kind])
    (root / 'participants.tsv').write_bytes(b'\xff\xfe\x00\x01\n\t\t\t')
    assert {status for status, _ in plan(root).values()} == {'run'}


GRADIENTS = {
    'empty': b'', 'blank': b'\n\n', 'text': b'b-values follow', 'half': b'0 1000',
    'ragged': b'0 1000\n1 2 3', 'binary': bytes(range(256)), 'nan': b'0 nan nan nan',
    'infinite': b'0 inf 1000 1000', 'huge': b'0 1e999 1 1', 'commas': b'0,1000,1000,1000',
    'UTF-16': '0 1000 1000 1000'.encode('utf-16'),
}  # fmt: skip


@pytest.mark.parametrize('extension', ['.bval', '.bvec'])
@pytest.mark.parametrize('kind', GRADIENTS)
def test_one_bad_gradient_table_fails_alone(kind, extension, root):
    path = root / 'sub-01' / 'dwi' / f'sub-01_dwi{extension}'
    path.write_bytes(GRADIENTS[kind])
    found = plan(root)
    status, reason = found['sub-01', 'dwi']
    assert status == 'fail'
    assert 'cannot be planned' not in reason
    assert len(reason) < 600
    assert found['sub-02', 'dwi'][0] == found['sub-01', 'anat'][0] == 'run'


# --- what is no file, or has no end ----------------------------------------------------------


def make_pipe(path: Path) -> None:
    """Put a pipe there; to open it would wait for ever."""
    os.mkfifo(path)


def make_device(path: Path) -> None:
    """Put zeros without end there."""
    path.symlink_to('/dev/zero')


def make_huge(path: Path) -> None:
    """Put 8 GB of zeros there that take no space."""
    path.touch()
    os.truncate(path, 2**33)


ENDLESS = {make.__name__: make for make in (make_pipe, make_device, make_huge)}


@pytest.mark.parametrize('what', ['anat/sub-01_T1w.nii.gz', 'anat/sub-01_T1w.json',
                                  'dwi/sub-01_dwi.bval', 'mrs/sub-01_svs.nii.gz'])  # fmt: skip
@pytest.mark.parametrize('make', ENDLESS)
def test_what_has_no_end_is_not_read(make, what, root):
    path = root / 'sub-01' / what
    path.unlink(missing_ok=True)
    ENDLESS[make](path)
    found = plan(root)
    status, reason = found['sub-01', what[: what.index('/')]]
    assert status == 'fail'
    assert path.name in reason
    assert 'cannot be planned' not in reason
    assert all(found['sub-02', name][0] == 'run' for name in ('anat', 'dwi', 'mrs'))


def test_a_table_of_people_without_end_costs_no_time(root):
    for name, make in zip(('participants.tsv', '.bidsignore', 'README'), ENDLESS.values(),
                          strict=True):  # fmt: skip
        make(root / name)
    assert {status for status, _ in plan(root).values()} == {'run'}


@pytest.mark.parametrize('option', ['--bids-filter-file', '--config-file', '--participant-label',
                                    '--mrs-gate', '--mrs-relaxation'])  # fmt: skip
@pytest.mark.parametrize('make', ['make_device', 'make_huge'])
def test_settings_without_end_are_refused(make, option, root, tmp_path, capsys):
    path = tmp_path / 'settings.json'
    ENDLESS[make](path)
    call = (root, tmp_path / 'out', 'participant', '--dry-run', option, path)
    done = main(list(map(str, call)))
    said = capsys.readouterr().err
    assert done == 64, said
    assert str(path) in said
    assert len(said.splitlines()) == 1


# --- names and links -----------------------------------------------------------------------------


def test_a_label_that_is_none_is_named_and_joined_to_nobody(root):
    (root / 'sub-02').rename(root / 'sub-é')
    found = plan(root)
    assert found['sub-é', 'anat'][0] == 'fail'
    assert "'é' is no BIDS label" in found['sub-é', 'anat'][1]
    (session,) = discover(ImageIndex(root), Selection(('01',)))
    assert session.dwi is not None
    assert [run.image.name for run in session.dwi.runs] == ['sub-01_dwi.nii.gz']


def test_names_that_are_no_text(root, tmp_path):
    people = os.fsencode(root) + b'/sub-\xff'
    Path(os.fsdecode(people)).mkdir()
    image = os.fsencode(root) + b'/sub-01/anat/sub-01_acq-\xff_T1w.nii.gz'
    os.link(root / 'sub-01' / 'anat' / 'sub-01_T1w.nii.gz', image)
    done = bids_acc(root, tmp_path / 'out', 'participant', '--dry-run')
    assert done.returncode == 0
    assert 'sub-? ' in done.stdout
    assert 'no BIDS label' in done.stdout
    assert 'its name is no UTF-8' in done.stderr
    assert 'Traceback' not in done.stderr
    bids_acc(root, tmp_path / 'out', 'participant', '--dry-run', 'json').stdout.encode()


@pytest.mark.parametrize('link', ['sub-01/loop', 'sub-01/anat/loop', 'loop', 'sub-01/ses-1'])
@pytest.mark.parametrize('target', ['..', '.'])
def test_links_that_go_round_in_a_circle(link, target, root):
    (root / link).symlink_to(target)
    found = plan(root)
    runs = [key for key, (status, _) in found.items() if status == 'run']
    assert len(runs) == 6
    if link.endswith('ses-1'):
        reasons = [reason for status, reason in found.values() if status == 'fail']
        assert any('ses-1 is a link to a folder that holds it' in reason for reason in reasons)


def test_a_person_elsewhere_is_read_through_the_link(root, tmp_path):
    (root / 'sub-02').rename(tmp_path / 'store')
    (root / 'sub-02').symlink_to(tmp_path / 'store')
    assert plan(root)['sub-02', 'anat'][0] == 'run'


CLOSED = {
    'sub-01': ('anat', 'dwi', 'mrs'), 'sub-01/dwi': ('dwi',), 'sub-01/mrs': ('mrs',),
    'sub-01/fmap': ('dwi',),
}  # fmt: skip
"""Folder that may not be looked into, and what fails for it."""


@pytest.mark.skipif(not os.geteuid() and not shutil.which('setpriv'), reason='needs setpriv')
@pytest.mark.parametrize('closed', CLOSED)
def test_what_lies_in_a_closed_folder_is_not_absent(closed, root, tmp_path):
    (root / 'sub-01' / 'fmap').mkdir()
    drop = ['setpriv', '--bounding-set=-dac_override,-dac_read_search'] if not os.geteuid() else []
    command = [*drop, sys.executable, '-m', 'bids_acc', root, tmp_path / 'out', 'participant',
               '--dry-run', 'json', '--bids-database-dir', tmp_path / 'base']  # fmt: skip
    folder = root / closed
    codes, plans = [], []
    for mode in (0o700, 0, 0o700):  # what was known of the folder does not hide that it is closed
        folder.chmod(mode)
        try:
            done = subprocess.run(
                list(map(str, command)), capture_output=True, text=True, check=False
            )
        finally:
            folder.chmod(0o700)
        assert 'Traceback' not in done.stderr
        codes.append(done.returncode)
        plans.append({
            (row['participant_id'], row['modality']): (row['status'], row['reason'])
            for row in json.loads(done.stdout)
        })  # fmt: skip
    assert plans[0] == plans[2]
    failed = {key: reason for key, (status, reason) in plans[1].items() if status == 'fail'}
    assert failed.keys() == {('sub-01', modality) for modality in CLOSED[closed]}
    assert all(f'{folder} may not be looked into' in reason for reason in failed.values())
    assert {status for key, (status, _) in plans[1].items() if key not in failed} == {'run'}


def test_a_link_to_itself(root):
    path = root / 'sub-01' / 'anat' / 'sub-01_T1w.nii.gz'
    path.unlink()
    path.symlink_to(path.name)
    status, reason = plan(root)['sub-01', 'anat']
    assert status == 'fail'
    assert 'is a link to sub-01_T1w.nii.gz' in reason


@pytest.mark.parametrize('label', ['é', 'x' * (LONGEST_LABEL + 1), 'a_b', 'a-b'])
def test_a_visit_without_label_is_not_read_as_one_without_visits(label, root):
    write_t1w(root, '02', label)
    (root / 'sub-02' / 'anat' / 'sub-02_T1w.nii.gz').unlink()
    found = plan(root)
    assert found['sub-02', 'anat'][0] == 'skip'
    assert found[f'sub-02/ses-{label}', 'anat'][0] == 'fail'


def test_names_of_results_fit_on_a_disk(root):
    long = 'x' * LONGEST_LABEL
    write_t1w(root, long, long)
    write_t1w(root, long + 'x')
    found = plan(root)
    assert found[f'sub-{long}/ses-{long}', 'anat'][0] == 'run'
    status, reason = found[f'sub-{long}x', 'anat']
    assert status == 'fail'
    assert 'too long for a disk' in reason


# --- noise -----------------------------------------------------------------------------------


@given(st.data())
def test_noise_in_an_image_is_refused_or_read(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp('noise')
    sound = gzip.decompress(write_t1w(folder, '01').read_bytes())
    content = bytearray(sound)
    changes = st.lists(st.tuples(st.integers(0, 351), st.integers(0, 255)), max_size=6)
    for place, byte in data.draw(changes):
        content[place] = byte
    path = folder / 'a.nii'
    path.write_bytes(content)
    with damaged('image header'):
        check_image(path, (3,), minimum_size=2)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(st.dictionaries(st.sampled_from(['EchoTime', 'ImageType', 'a']), json_values))
def test_any_sidecar_is_read_and_can_be_written(tmp_path_factory, content):
    path = tmp_path_factory.mktemp('json') / 'a.json'
    path.write_text(json.dumps(content))
    with damaged('sidecar'):
        json.dumps(read_json(path), allow_nan=False, ensure_ascii=False).encode()


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_any_gradient_table_is_refused_or_read(tmp_path_factory, bval, bvec):
    folder = tmp_path_factory.mktemp('gradients')
    (folder / 'a.bval').write_bytes(bval)
    (folder / 'a.bvec').write_bytes(bvec)
    with damaged('gradient table'):
        read_gradients(folder / 'a.bval', folder / 'a.bvec')


def flipped(path: Path) -> None:
    """Change one byte of an image and leave the checksum of its file as it was."""
    content = gzip.decompress(path.read_bytes())
    changed = bytearray(gzip.compress(content[:-1] + bytes([content[-1] ^ 1])))
    changed[-8:-4] = zlib.crc32(content).to_bytes(4, 'little')
    path.write_bytes(changed)


def test_bytes_that_changed_in_a_packed_image_are_noticed(tmp_path):
    """The header is sound, the size is right, and it unpacks: only the checksum tells."""
    path = write_t1w(tmp_path, '01')
    read_image(path, foreign=True)
    load_t1w(path)
    flipped(path)
    check_image(path, (3,))  # the plan does not unpack
    for read in (partial(read_image, foreign=True), load_t1w):
        with pytest.raises(InputDataError, match='is damaged'):
            read(path)
    series = write_dwi(tmp_path, '01')
    flipped(series)
    with pytest.raises(InputDataError, match='is damaged'):
        read_volumes(series)


def test_what_is_no_file(root):
    path = root / 'sub-01' / 'anat' / 'sub-01_T1w.nii.gz'
    path.unlink()
    path.mkdir()
    assert plan(root)['sub-01', 'anat'][0] == 'fail'
    with pytest.raises(InputDataError):
        check_image(path, (3,))
