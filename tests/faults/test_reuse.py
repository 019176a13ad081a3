"""What is done is taken over by the code that did it, and by no other of the same version."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import bids_acc as package
from tests.interfaces.test_mrs_robustness import Case, measure
from tests.synthetic.bids_folder import write_dataset

pytestmark = [pytest.mark.slow, pytest.mark.endtoend]

CHANGES = {
    'nothing': None,
    'a module': Path('mrs') / 'engines' / 'run.py',
    'a table': Path('data') / 'outputs' / 'mrs.yaml',
}


@pytest.fixture(scope='module')
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a data set of one spectrum and its results."""
    folder = tmp_path_factory.mktemp('reuse')
    root = write_dataset(folder / 'bids')
    svs, _, metadata = measure(Case(points=1024), tmp_path_factory.mktemp('measured'))
    target = root / 'sub-01' / 'mrs' / 'sub-01_svs.nii.gz'
    target.parent.mkdir(parents=True)
    shutil.copyfile(svs, target)
    target.with_name('sub-01_svs.json').write_text(json.dumps(metadata))
    run(Path(package.__file__).parents[1], root, folder / 'out', '--nprocs', '1')
    return root, folder / 'out'


def run(code: Path, root: Path, out: Path, *options: str) -> str:
    """Run the command as it lies in a folder; return what it prints."""
    done = subprocess.run(
        [sys.executable, '-m', 'bids_acc', str(root), str(out), 'participant', *options],
        capture_output=True, text=True, check=False, cwd=code,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize('what', CHANGES)
def test_other_code_of_the_same_version_takes_nothing_over(what, done, tmp_path):
    root, out = done
    ignored = shutil.ignore_patterns('__pycache__')
    copy = shutil.copytree(Path(package.__file__).parent, tmp_path / 'bids_acc', ignore=ignored)
    if changed := CHANGES[what]:
        with (copy / changed).open('a') as stream:
            stream.write('\n# another image\n')
    plan = json.loads(run(tmp_path, root, out, '--dry-run', 'json'))
    (status,) = {row['status'] for row in plan if row['modality'] == 'mrs'}
    assert status == ('reuse' if changed is None else 'run')
