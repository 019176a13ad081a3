"""What an earlier plan found is taken again only while nothing has changed."""

import hashlib
import json
import os
import shutil

import pytest

from bids_acc.bids import discovery
from bids_acc.bids.discovery import discover
from bids_acc.bids.index import ImageIndex
from bids_acc.bids.remembered import FILE, Memory
from bids_acc.bids.selection import Selection
from tests.synthetic.bids_folder import write_dataset, write_dwi, write_svs, write_t1w

ASKED = Selection()


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / 'raw'
    write_dataset(folder)
    for label in ('01', '02'):
        for write in (write_t1w, write_dwi, write_svs):
            write(folder, label)
    (tmp_path / 'db').mkdir()
    return folder


def look(root, asked=ASKED, code='1'):
    """Plan with a memory; return the sessions and the people who were looked at anew."""
    index = ImageIndex(root)
    memory = Memory(root.parent / 'db', asked, code, index)
    anew = []
    whole = discovery._discover_person

    def noted(*args):
        anew.append(args[1])
        return whole(*args)

    discovery._discover_person = noted
    try:
        return discover(index, asked, memory), anew
    finally:
        discovery._discover_person = whole
        memory.close()


def test_the_second_plan_is_the_first_and_looks_at_nobody(root):
    first, anew = look(root)
    assert anew == ['01', '02']
    second, anew = look(root)
    assert anew == []
    assert second == first == discover(ImageIndex(root), ASKED)
    one, anew = look(root, Selection(('02',)))  # as the job of an array
    assert anew == []
    assert one == first[1:]


def touch(path):
    """Change the time of a file and nothing else."""
    before = path.stat().st_mtime_ns
    os.utime(path, ns=(before, before + 1))


def drop(root):
    """Take a person's spectrum away."""
    shutil.rmtree(root / 'sub-01' / 'mrs')


CHANGES = {
    'a sidecar': lambda root: (root / 'sub-01' / 'dwi' / 'sub-01_dwi.json').write_text('{"a": 1}'),
    'an image': lambda root: touch(root / 'sub-01' / 'anat' / 'sub-01_T1w.nii.gz'),
    'another image': lambda root: write_t1w(root, '01', acq='2'),
    'fewer images': drop,
    'rights': lambda root: (root / 'sub-01' / 'anat' / 'sub-01_T1w.nii.gz').chmod(0o600),
    'a visit without files': lambda root: (root / 'sub-01' / 'ses-2').mkdir(),
    'something else': lambda root: (root / 'sub-01' / 'note.txt').touch(),
}


@pytest.mark.parametrize('change', CHANGES)
def test_one_who_has_changed_is_looked_at_anew(change, root):
    look(root)
    CHANGES[change](root)
    found, anew = look(root)
    assert anew == ['01']
    assert found == discover(ImageIndex(root), ASKED)


def test_a_sidecar_of_all_and_other_questions_and_other_code_count_for_everybody(root):
    look(root)
    assert look(root, Selection(dwi_b_max=900.0))[1] == ['01', '02']
    assert look(root, code='2')[1] == ['01', '02']
    look(root)
    (root / 'T1w.json').write_text('{"EchoTime": 0.003}')
    found, anew = look(root)
    assert anew == ['01', '02']
    assert found[0].anat.metadata['EchoTime'] == 0.003


def test_what_failed_or_names_files_elsewhere_is_looked_at_each_time(root):
    (root / 'sub-01' / 'dwi' / 'sub-01_dwi.bval').unlink()
    sidecar = root / 'sub-02' / 'mrs' / 'sub-02_svs.json'
    known = json.loads(sidecar.read_text()) if sidecar.exists() else {}
    uri = 'bids::sub-01/anat/sub-01_T1w.nii.gz'
    sidecar.write_text(json.dumps({**known, 'AnatomicalImage': uri}))
    look(root)
    assert look(root)[1] == ['01', '02']
    assert look(root, Selection(derivatives={'x': root}))[1] == ['01', '02']


def test_a_damaged_data_base_is_done_without(root):
    (root.parent / 'db' / FILE).write_bytes(b'no data base' * 100)
    first, anew = look(root)
    assert anew == ['01', '02']
    assert first == discover(ImageIndex(root), ASKED)
    assert look(root)[1] == ['01', '02']


def test_hashes_are_kept_by_size_and_time(root, tmp_path):
    memory = Memory(tmp_path / 'db', ASKED, '1', ImageIndex(root))
    path = root / 'sub-01' / 'dwi' / 'sub-01_dwi.bval'
    wanted = hashlib.sha256(path.read_bytes()).hexdigest()
    assert memory.sha256(path) == memory.sha256(path) == wanted
    path.write_text('0 1 2')
    assert memory.sha256(path) == hashlib.sha256(b'0 1 2').hexdigest()
    memory.close()
    assert memory.sha256(path) == hashlib.sha256(b'0 1 2').hexdigest()
