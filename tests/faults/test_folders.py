"""Nothing is written into what is not ours, and nothing is run that is not ours."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from bids_acc.derivatives.dataset import write_dataset_files
from bids_acc.exceptions import InvalidDatasetError, MissingInputError, OutputError
from bids_acc.participant.folders import (
    check_folders,
    check_group_folder,
    default_work_dir,
    prepare_work_dir,
)
from tests.endtoend.test_command import bids_acc
from tests.synthetic.bids_folder import write_dataset, write_t1w


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Return a data set of one person."""
    root = write_dataset(tmp_path / 'bids')
    write_t1w(root, '01')
    return root


def described(folder: Path, **fields: object) -> Path:
    """Write ``dataset_description.json`` of a tool."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'dataset_description.json').write_text(
        json.dumps({'Name': 'x', 'BIDSVersion': '1.10.0', **fields})
    )
    return folder


def snapshot(folder: Path) -> dict[str, bytes]:
    """Read a whole tree."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob('*') if p.is_file()}


@pytest.mark.parametrize('extra', [[], ['--dry-run']])
def test_another_data_set_is_not_overwritten(raw, tmp_path, extra):
    made = [{'Name': 'fMRIPrep'}]
    other = described(tmp_path / 'other', DatasetType='derivative', GeneratedBy=made)
    (other / 'participants.tsv').write_text('participant_id\nsub-77\n')
    before = snapshot(other)
    done = bids_acc(raw, other, 'participant', *extra)
    assert done.returncode == 73
    assert f'{other}/dataset_description.json' in done.stderr
    assert 'fMRIPrep' in done.stderr
    assert snapshot(other) == before


@pytest.mark.parametrize('extra', [[], ['--dry-run']])
def test_swapped_arguments_are_refused(raw, tmp_path, extra):
    out = tmp_path / 'out'
    write_dataset_files(raw, out)
    (out / 'sub-01').mkdir()
    before = snapshot(raw)
    done = bids_acc(out, raw, 'participant', *extra)
    assert done.returncode == 16
    assert 'swap' in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert snapshot(raw) == before
    # not even when told not to look at the description
    assert bids_acc(out, raw, 'participant', '--skip-bids-validation', *extra).returncode == 16


def test_whose_folder_it_is(raw, tmp_path):
    out = tmp_path / 'out'
    check_folders(raw, out, None)  # absent
    out.mkdir()
    check_folders(raw, out, None)  # empty
    for name in ('.git', 'logs', 'lost+found'):
        (out / name).mkdir()
    check_folders(raw, out, None)  # nothing of anybody
    (out / 'thesis.docx').touch()
    with pytest.raises(OutputError, match=r'thesis\.docx is there'):
        check_folders(raw, out, None)
    write_dataset_files(raw, out)
    check_folders(raw, out, None)  # ours
    (out / 'dataset_description.json').write_text('{"Name": "half')
    with pytest.raises(OutputError, match='dataset_description'):
        check_folders(raw, out, None)
    shutil.rmtree(out)
    out.write_text('')
    with pytest.raises(OutputError, match='is a file'):
        check_folders(raw, out, None)


def test_the_group_level_leaves_other_data_sets_alone(raw, tmp_path):
    with pytest.raises(OutputError, match='dataset_description'):
        check_group_folder(raw)
    (tmp_path / 'empty').mkdir()
    check_group_folder(tmp_path / 'empty')


def ways(target: Path, tmp_path: Path) -> dict[str, Path]:
    """Write one folder in several ways."""
    link = tmp_path / 'a-link'
    link.symlink_to(target)
    return {
        'plain': target,
        'dots': target / 'sub-01' / '..',
        'link': link,
        'detour': tmp_path / 'nowhere' / '..' / target.name,
    }


@pytest.mark.parametrize('way', ['plain', 'dots', 'link', 'detour'])
def test_every_form_of_the_input_is_known(raw, tmp_path, way):
    (tmp_path / 'nowhere').mkdir()
    form = ways(raw, tmp_path)[way]
    out = tmp_path / 'out'
    with pytest.raises(OutputError, match='lies in the dataset'):
        check_folders(raw, out, form)
    with pytest.raises(OutputError, match='lies in the dataset'):
        check_folders(raw, out, form / 'new' / 'work')
    with pytest.raises(OutputError, match='the dataset itself'):
        check_folders(raw, form, None)
    with pytest.raises(OutputError, match='holds the dataset'):
        check_folders(form, tmp_path, None)
    with pytest.raises(OutputError, match='holds raw data'):
        check_folders(raw, form / 'sub-01' / 'new', None)
    check_folders(raw, form / 'derivatives' / 'bids_acc', None)


def test_the_plan_refuses_a_work_folder_in_the_input(raw, tmp_path):
    done = bids_acc(raw, tmp_path / 'out', 'participant', '--dry-run', '-w', raw / 'work')
    assert done.returncode == 73
    assert not (raw / 'work').exists()


def test_links_that_lead_out_are_named(raw, tmp_path):
    out, elsewhere = tmp_path / 'out', tmp_path / 'elsewhere'
    write_dataset_files(raw, out)
    elsewhere.mkdir()
    (out / 'sub-01').symlink_to(elsewhere)
    with pytest.raises(OutputError, match=r'sub-01 is a link that leads out'):
        check_folders(raw, out, None)
    (out / 'sub-01').unlink()
    (out / 'store').mkdir()
    (out / 'sub-01').symlink_to('store')
    check_folders(raw, out, None)  # stays inside


def test_no_such_input(tmp_path):
    with pytest.raises(MissingInputError):
        check_folders(tmp_path / 'nowhere', tmp_path / 'out', None)


def test_other_derivatives_are_input_only_when_asked(raw, tmp_path):
    described(raw, DatasetType='derivative', GeneratedBy=[{'Name': 'defacer'}])
    with pytest.raises(InvalidDatasetError, match='defacer'):
        check_folders(raw, tmp_path / 'out', None)
    check_folders(raw, tmp_path / 'out', None, validate=False)


def test_the_work_folder_is_private(tmp_path, monkeypatch):
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
    out = tmp_path / 'out'
    first, second = (prepare_work_dir(out, None, 'state') for _ in range(2))
    base, work = default_work_dir(out), first.path
    assert work == base / 'state'
    assert {stat.S_IMODE(p.stat().st_mode) for p in (base, work)} == {0o700}
    first.close()
    assert work.is_dir()  # the second run uses it
    second.close()
    assert not base.exists()
    base.mkdir()
    base.chmod(0o777)  # whoever made it may have filled it
    with pytest.raises(OutputError, match='other users'):
        prepare_work_dir(out, None, 'state')


def test_a_work_folder_on_a_disk_without_locks(tmp_path, monkeypatch):
    def no_locks(stream, kind):
        raise OSError(errno.ENOSYS, 'Function not implemented')

    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
    monkeypatch.setattr('fcntl.flock', no_locks)
    work = prepare_work_dir(tmp_path / 'out', None, 'state')
    work.close()
    assert work.path.is_dir()  # another run may use it


def test_a_named_work_folder_may_be_shared_but_not_what_is_run(tmp_path):
    shared = tmp_path / 'lab'
    shared.mkdir()
    shared.chmod(0o777)
    work = prepare_work_dir(tmp_path / 'out', shared, 'state').path
    assert stat.S_IMODE(work.stat().st_mode) == 0o700
    work.rmdir()
    work.symlink_to(tmp_path)
    with pytest.raises(OutputError, match='is a link'):
        prepare_work_dir(tmp_path / 'out', shared, 'state')
    file = tmp_path / 'file'
    file.touch()
    with pytest.raises(OutputError, match='is a file'):
        prepare_work_dir(tmp_path / 'out', file, 'state')


@pytest.mark.skipif(os.geteuid() != 0, reason='only root can give a folder away')
def test_nothing_is_run_from_another_users_folder(raw, tmp_path):
    """The command itself refuses, before it loads anything from there."""
    temporary = tmp_path / 'tmp'
    temporary.mkdir()
    out = tmp_path / 'out'
    planted = temporary / default_work_dir(out).name
    planted.mkdir(mode=0o700)
    os.chown(planted, 65534, -1)
    done = bids_acc(raw, out, 'participant', environment={'TMPDIR': str(temporary)})
    assert done.returncode == 73
    assert 'belongs to another user' in done.stderr
    assert not out.exists()


@pytest.mark.parametrize('fields', [
    {'DatasetType': 'derivative'}, {'DatasetType': 'Derivative'}, {'DatasetType': None}, {},
])  # fmt: skip
def test_our_own_results_are_never_input(tmp_path, fields):
    """Also where somebody has edited the description."""
    made = described(tmp_path / 'made', GeneratedBy=[{'Name': 'bids_acc'}], **fields)
    for validate in (True, False):
        with pytest.raises(InvalidDatasetError, match='swap'):
            check_folders(made, tmp_path / 'out', None, validate=validate)
    demo = described(tmp_path / 'demo', GeneratedBy=[{'Name': 'bids_acc-demo'}])
    check_folders(demo, tmp_path / 'out', None)


@pytest.mark.parametrize('content', ['[execution]\nhash_method = nonsense\n', 'no settings\n\0'])
def test_settings_of_another_pipeline_are_not_read(raw, tmp_path, content):
    """Nipype reads ``nipype.cfg`` of HOME and of the folder in which it is imported."""
    home = tmp_path / 'home'
    for folder in (home / '.nipype', tmp_path / 'here'):
        folder.mkdir(parents=True)
        (folder / 'nipype.cfg').write_text(content)
    done = subprocess.run(
        [sys.executable, '-m', 'bids_acc', str(raw), str(tmp_path / 'out'), 'participant',
         '--dry-run'],
        capture_output=True, text=True, check=False, cwd=tmp_path / 'here',
        env={**os.environ, 'HOME': str(home), 'PYTHONPATH': str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert 'Traceback' not in done.stderr


@pytest.mark.skipif(shutil.which('setpriv') is None, reason='needs setpriv')
@pytest.mark.parametrize('what', ['.', 'dataset_description.json'])
def test_what_may_not_be_read_is_not_said_to_be_unwritable(raw, tmp_path, what):
    (raw / what).chmod(0)
    drop = ['setpriv', '--bounding-set=-dac_override,-dac_read_search'] if not os.geteuid() else []
    try:
        done = subprocess.run(
            [*drop, sys.executable, '-m', 'bids_acc', str(raw), str(tmp_path / 'out'),
             'participant', '--dry-run'],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    finally:
        (raw / what).chmod(0o700)
    assert done.returncode in (16, 66), done.stderr
    assert 'dataset_description.json cannot be read' in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize('stream', ['0<&-', '1>&-', '2>&-', '0<&- 1>&- 2>&-', '2>/dev/full'])
def test_closed_streams(raw, tmp_path, stream):
    """The numbers of closed streams would go to the next files that are opened.

    A log on a full disk loses lines; the run goes on.
    """
    command = [sys.executable, '-m', 'bids_acc', raw, tmp_path / 'out', 'participant', '--dry-run']
    done = subprocess.run(
        ['sh', '-c', f'"$@" {stream}', '-', *map(str, command)], capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_a_reader_that_goes_away(raw, tmp_path):
    command = [sys.executable, '-m', 'bids_acc', raw, tmp_path / 'out', 'participant', '--dry-run']
    job = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert job.stdout is not None
    assert job.stderr is not None
    job.stdout.close()
    said = job.stderr.read()
    assert (job.wait(), said) == (141, b'')
    job.stderr.close()


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which('setpriv'), reason='needs root, setpriv')
def test_a_user_without_name_and_home(raw, tmp_path):
    """As ``docker run --user 12345`` where the image sets no HOME."""
    drop = ['setpriv', '--reuid=54321', '--regid=54321', '--clear-groups',
            '--inh-caps=+dac_override', '--ambient-caps=+dac_override']  # fmt: skip
    done = subprocess.run(
        [*drop, 'env', '-u', 'HOME', '-u', 'USER', '-u', 'LOGNAME', sys.executable, '-m',
         'bids_acc', str(raw), str(tmp_path / 'out'), 'participant', '--dry-run'],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert 'Traceback' not in done.stderr


def test_a_current_folder_that_is_gone(tmp_path):
    gone = tmp_path / 'gone'
    gone.mkdir()
    done = subprocess.run(
        ['sh', '-c', 'rmdir "$PWD"; exec "$@"', '-', sys.executable, '-m', 'bids_acc', 'bids',
         'out', 'participant'],
        capture_output=True, text=True, check=False, cwd=gone,
        env={**os.environ, 'PYTHONPATH': str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert done.returncode == 66
    assert 'the current folder is gone' in done.stderr.splitlines()[-1]
