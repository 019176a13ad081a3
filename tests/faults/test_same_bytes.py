"""The same data give the same bytes, whoever runs the command, where, and with what about it.

``BIDS_ACC_BYTES_OF`` names another data set than the small one, e.g. one with T1w images.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.faults.test_arrays import content
from tests.interfaces.test_dwi_workflow import phantom
from tests.interfaces.test_mrs_robustness import Case, measure
from tests.synthetic.bids_folder import write_dataset

pytestmark = [pytest.mark.slow, pytest.mark.endtoend]

NOBODY = 65534
"""Of no name and no home."""
READS_ALL = 'dac_read_search'
"""Lets nobody pass through root's folders to the tests' Python and data, and write nowhere."""


diffusion = phantom


@dataclass(frozen=True)
class Surroundings:
    """What is about the command."""

    workers: int
    variables: Mapping[str, str] = field(default_factory=dict)
    language: str | None = None
    """Locale that is made for it (German has a decimal comma; in Turkish i is not the small I)."""
    before: tuple[str, ...] = ()
    """Programs that run the command in another way; only root may use them."""
    through_link: bool = False
    elsewhere: bool = False
    """Whether output and work lie on another file system."""


AROUND = {
    'C': Surroundings(1, {'LC_ALL': 'C', 'TZ': 'Asia/Kolkata', 'PYTHONHASHSEED': '1'},
                      through_link=True),
    'German': Surroundings(8, {'TZ': 'America/St_Johns', 'PYTHONHASHSEED': '2'}, 'de_DE',
                           ('unshare', '--uts', 'sh', '-c', 'hostname elsewhere; exec "$@"', '-')),
    'Turkish': Surroundings(2, {'TZ': '', 'PYTHONHASHSEED': '3', 'COLUMNS': '20'}, 'tr_TR',
                            elsewhere=True),
    'nobody': Surroundings(2, {'HOME': '/nonexistent', 'PYTHONHASHSEED': '4'},
                           before=('setpriv', f'--reuid={NOBODY}', f'--regid={NOBODY}',
                                   '--clear-groups', f'--inh-caps=+{READS_ALL}',
                                   f'--ambient-caps=+{READS_ALL}',
                                   'sh', '-c', 'umask 077; exec "$@"', '-')),
}  # fmt: skip


@pytest.fixture(scope='module')
def raw(
    tmp_path_factory: pytest.TempPathFactory, diffusion: tuple[Path, Mapping[str, Path]]
) -> Path:
    """Return a data set of one person with diffusion and a spectrum, which nobody may write."""
    if given := os.environ.get('BIDS_ACC_BYTES_OF'):
        return Path(given)
    root = write_dataset(tmp_path_factory.mktemp('bytes') / 'bids')
    folders = [root / 'sub-01' / name for name in ('dwi', 'mrs')]
    for folder in folders:
        folder.mkdir(parents=True)
    for key, ending in (('dwi', 'nii.gz'), ('bval', 'bval'), ('bvec', 'bvec')):
        shutil.copyfile(diffusion[1][key], folders[0] / f'sub-01_dwi.{ending}')
    (folders[0] / 'sub-01_dwi.json').write_text('{"PhaseEncodingDirection": "j-"}')
    svs, _, metadata = measure(Case(points=1024), tmp_path_factory.mktemp('measured'))
    shutil.copyfile(svs, folders[1] / 'sub-01_svs.nii.gz')
    (folders[1] / 'sub-01_svs.json').write_text(json.dumps(metadata))
    people = 'participant_id\tname\nsub-01\tKöln\n'
    (root / 'participants.tsv').write_text(people, encoding='utf-8')
    for path in (root, *root.rglob('*')):
        path.chmod(0o555 if path.is_dir() else 0o444)
    return root


def made_locale(name: str, folder: Path) -> dict[str, str]:
    """Make a locale; return the variables that choose it."""
    if shutil.which('localedef') is None:
        pytest.skip('needs localedef')
    made = subprocess.run(
        ['localedef', '-i', name, '-f', 'UTF-8', str(folder / f'{name}.UTF-8')],
        capture_output=True, check=False,
    )  # fmt: skip
    if made.returncode > 1:  # 1: with warnings
        pytest.skip(f'{name} cannot be made here')
    return {'LC_ALL': f'{name}.UTF-8', 'LOCPATH': str(folder)}


@pytest.fixture
def other_disk() -> Iterator[Path]:
    """Return a folder on a file system in memory."""
    memory = Path('/dev/shm')
    if not os.access(memory, os.W_OK):
        pytest.skip('needs a second file system')
    folder = memory / f'bids_acc-{os.getpid()}'
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def run(raw: Path, place: Path, around: Surroundings, variables: Mapping[str, str]) -> Path:
    """Run the command in a folder of its own; return its output."""
    out = place / 'out'
    command = [
        *around.before, sys.executable, '-m', 'bids_acc', str(raw), str(out), 'participant',
        '--density', '10k', '--nprocs', str(around.workers), '-w', str(place / 'work'),
    ]  # fmt: skip
    plain = {n: v for n, v in os.environ.items() if not n.startswith('LC_') and n != 'LANG'}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False,
        env={**plain, **around.variables, **variables},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return out


def told(path: str) -> bool:
    """Tell results from what says where the data lie, when, and how it was called."""
    return not path.endswith('.html') and not path.startswith(
        ('dataset_description.json', 'code/sources/')
    )


@pytest.fixture(scope='module')
def expected(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return what one run in plain surroundings leaves."""
    plain = Surroundings(1, {'LC_ALL': 'C.UTF-8', 'TZ': 'UTC', 'PYTHONHASHSEED': '0'})
    found = content(run(raw, tmp_path_factory.mktemp('plain'), plain, {}))
    return {k: v for k, v in found.items() if told(k)}


@pytest.mark.parametrize('name', AROUND)
def test_surroundings_change_no_byte(name, raw, expected, tmp_path, other_disk):
    around = AROUND[name]
    if around.before and (os.geteuid() != 0 or not shutil.which(around.before[0])):
        pytest.skip(f'needs root and {around.before[0]}')
    place = other_disk if around.elsewhere else tmp_path
    variables = made_locale(around.language, tmp_path) if around.language else {}
    if name == 'nobody':
        place = other_disk / 'nobody'
        place.mkdir()
        os.chown(place, NOBODY, NOBODY)
    data = raw
    if name == 'nobody':  # where all may look
        data = Path(shutil.copytree(raw, other_disk / raw.name))
    if around.through_link:
        data = place / 'link'
        data.symlink_to(raw)
    found = {k: v for k, v in content(run(data, place, around, variables)).items() if told(k)}
    assert sorted(found) == sorted(expected)
    differ = {path for path in found if found[path] != expected[path]}
    assert differ == set()
