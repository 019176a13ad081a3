"""What the command asks of the system: no network, and nothing written but where it may."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.interfaces.test_mrs_robustness import Case, measure
from tests.synthetic.bids_folder import write_dataset

pytestmark = [
    pytest.mark.slow,
    pytest.mark.endtoend,
    pytest.mark.skipif(shutil.which('strace') is None, reason='needs strace'),
]

CALLS = (
    'connect,open,openat,creat,mkdir,mkdirat,rename,renameat,renameat2,unlink,unlinkat,link,linkat,'
    'symlink,symlinkat,truncate'
)
HARMLESS = ('/dev/', '/proc/self/', '/proc/')
"""Places that are no files."""


def written(trace: str, cwd: Path) -> set[str]:
    """Return the paths that were changed or opened for writing, whether it succeeded or not."""
    found = set()
    for line in trace.splitlines():
        call = re.match(r'\d+\s+(\w+)\((.*)', line)
        if call is None or ' = -1 ' in line:
            continue
        name, rest = call.groups()
        if name == 'connect' or (
            name.startswith('open') and 'O_RDONLY' in rest and 'O_CREAT' not in rest
        ):
            continue
        found |= {os.path.normpath(cwd / path) for path in re.findall(r'"([^"]+)"', rest)}
    return found


def connections(trace: str) -> list[str]:
    """Return the attempts to reach other machines."""
    return re.findall(r'connect\(.*sa_family=AF_INET6?.*', trace)


def test_the_reading_of_a_trace():
    trace = (
        '12 openat(AT_FDCWD, "/a/b", O_RDONLY|O_CLOEXEC) = 3\n'
        '12 openat(AT_FDCWD, "c", O_RDWR|O_CREAT|O_EXCL, 0666) = 3\n'
        '12 mkdir("/a/d", 0777) = -1 EEXIST (File exists)\n'
        '13 rename("/a/e", "/a/f") = 0\n'
        '13 connect(3, {sa_family=AF_INET, sin_port=htons(443)}, 16) = -1 ENETUNREACH\n'
        '13 connect(3, {sa_family=AF_UNIX, sun_path="/x"}, 16) = 0\n'
    )
    assert written(trace, Path('/w')) == {'/w/c', '/a/e', '/a/f'}
    assert len(connections(trace)) == 1


def test_a_spectrum_from_raw_to_page(tmp_path):
    root = write_dataset(tmp_path / 'bids')
    svs, _, metadata = measure(Case(points=1024), tmp_path)
    folder = root / 'sub-01' / 'mrs'
    folder.mkdir(parents=True)
    shutil.copyfile(svs, folder / 'sub-01_svs.nii.gz')
    (folder / 'sub-01_svs.json').write_text(json.dumps(metadata))
    own = [tmp_path / name for name in ('out', 'work', 'tmp')]
    own[2].mkdir()
    home = tmp_path / 'home'
    home.mkdir()
    log = tmp_path / 'trace'
    done = subprocess.run(
        ['strace', '-f', '--seccomp-bpf', '-qq', '-e', f'trace={CALLS}', '-o', str(log),
         sys.executable, '-m', 'bids_acc', str(root), str(own[0]), 'participant', '--nprocs', '1',
         '-w', str(own[1])],
        capture_output=True, text=True, check=False,
        env={**os.environ, 'HOME': str(home), 'TMPDIR': str(own[2]), 'MPLCONFIGDIR': ''},
    )  # fmt: skip
    if 'ptrace' in done.stderr or 'seccomp' in done.stderr:
        pytest.skip('this machine does not let strace look')
    assert done.returncode == 0, done.stderr
    trace = log.read_text(errors='replace')
    assert connections(trace) == []
    outside = {
        path for path in written(trace, Path.cwd())
        if not path.startswith((*map(str, own), *HARMLESS))
    }  # fmt: skip
    assert outside == set()
    assert list(home.iterdir()) == []
