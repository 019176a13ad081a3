"""Where the CPU time of one person goes: seconds of each node of the participant level.

    python tests/benchmarks/stages.py [T1W.nii.gz] [--density 41k] [--profile ssta] [--keep FOLDER]
                                      [--quick] [--people 1]

The image (a head of the demo with 1 mm voxels if none is named; ``--quick``: 2 mm and density 10k)
becomes a data set of one person, which runs node after node in one process. Printed
are CPU seconds of each node, with its children's, those of the whole, and what no node has used
(imports, plan, graph, scheduler, pages). ``--profile`` tells of the nodes whose name holds a word
which functions they spent it in.

At the end people of the demo (``--people``; all modalities, density 10k) are run on two workers,
as the command does it, and it is told how much of the CPU time goes to the process that plans,
schedules and writes pages; what it takes with everything done already is that of start, plan and
pages.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import pstats
import resource
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

for _name in ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS'):
    os.environ.setdefault(_name, '1')
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from nipype.pipeline.engine.nodes import Node

from tests.synthetic.transfer import make_phantom, write_dataset

SHOWN = 25
"""Nodes and functions that are listed."""


def cpu_seconds() -> float:
    """Return the CPU time of this process and of its children that have ended."""
    return sum(os.times()[:4])


def make_dataset(root: Path, image: Path) -> Path:
    """Make a data set of one T1w image."""
    (root / 'sub-01' / 'anat').mkdir(parents=True)
    description = {'Name': 'One person', 'BIDSVersion': '1.10.0'}
    (root / 'dataset_description.json').write_text(json.dumps(description))
    suffixes = ''.join(image.suffixes[-2:]) if image.suffix == '.gz' else image.suffix
    shutil.copy(image, root / 'sub-01' / 'anat' / f'sub-01_T1w{suffixes}')
    return root


def watch(seconds: Counter[str], word: str, profile: cProfile.Profile) -> None:
    """Have each node take the time of its run."""
    run = Node.run

    def timed(self: Any, *args: Any, **kwargs: Any) -> Any:
        began = cpu_seconds()
        watched = bool(word) and word in self.fullname
        if watched:
            profile.enable()
        try:
            return run(self, *args, **kwargs)
        finally:
            if watched:
                profile.disable()
            seconds[self.fullname.partition('.')[2]] += cpu_seconds() - began

    Node.run = timed


def used(whose: int) -> float:
    """Return the CPU time of this process (``RUSAGE_SELF``) or of its ended children."""
    usage = resource.getrusage(whose)
    return usage.ru_utime + usage.ru_stime


def run_inside(words: list[str]) -> None:
    """Run the command in this process, and print its CPU time and that of its workers."""
    from bids_acc.cli.run import main as run_command

    code = run_command(words)
    own, workers = used(resource.RUSAGE_SELF), used(resource.RUSAGE_CHILDREN)
    print(json.dumps({'code': int(code), 'own': own, 'workers': workers}))


def scheduler_share(folder: Path, n_people: int) -> None:
    """Run people of the demo, then the same command again, and print what each process took."""
    from bids_acc.demo.cli import main as make_demo

    make_demo([str(folder / 'demo'), '--n-per-group', str(-(-n_people // 3))])
    labels = [f'{number + 1:02d}' for number in range(n_people)]
    words = [str(folder / 'demo'), str(folder / 'demo-out'), 'participant', '--density', '10k',
             '--nprocs', '2', '-q', '--participant-label', *labels]  # fmt: skip
    for kind in ('all to do', 'all done'):
        command = [sys.executable, __file__, '--inside', *words]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        row = json.loads(done.stdout.splitlines()[-1])
        whole = row['own'] + row['workers']
        print(f'{n_people} of the demo, {kind}: {whole:.1f} CPU s, exit code {row["code"]}; '
              f'{row["own"]:.1f} s of it ({row["own"] / whole:.1%}) in the process that '
              'schedules')  # fmt: skip


def main() -> None:
    """Measure and print."""
    if sys.argv[1:2] == ['--inside']:
        run_inside(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=(__doc__ or '').splitlines()[0])
    parser.add_argument('image', type=Path, nargs='?')
    parser.add_argument('--density', choices=('10k', '41k'))
    parser.add_argument('--quick', action='store_true', help='2 mm voxels, density 10k')
    parser.add_argument('--profile', default='', help='part of the name of nodes')
    parser.add_argument('--keep', type=Path, help='output folder, to be kept')
    parser.add_argument('--people', type=int, default=1, help='of the demo, at the end')
    given = parser.parse_args()
    density = given.density or ('10k' if given.quick else '41k')
    seconds: Counter[str] = Counter()
    profile = cProfile.Profile()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / 'plugin.yml').write_text('plugin: Linear\n')
        if given.image is None:
            raw = write_dataset(folder / 'raw', make_phantom(), resolution=1.0 + given.quick)
        else:
            raw = make_dataset(folder / 'raw', given.image.absolute())
        began = cpu_seconds()
        from bids_acc.cli.run import main as run_command

        watch(seconds, given.profile, profile)
        code = run_command([
            str(raw), str((given.keep or folder / 'out').absolute()), 'participant',
            '--modalities', 'anat', '--density', density, '--nprocs', '1',
            '--use-plugin', str(folder / 'plugin.yml'), '-w', str(folder / 'work'),
        ])  # fmt: skip
        whole = cpu_seconds() - began
    image = 'demo head' if given.image is None else given.image.name
    print(f'{image}, {density}: {whole:.1f} CPU s, exit code {int(code)}')
    for node, used in seconds.most_common(SHOWN):
        print(f'{used:8.1f}  {used / whole:5.1%}  {node}')
    rest = whole - sum(seconds.values())
    print(f'{rest:8.1f}  {rest / whole:5.1%}  outside nodes')
    if given.profile:
        pstats.Stats(profile).sort_stats('cumtime').print_stats(2 * SHOWN)
    if given.people:
        with tempfile.TemporaryDirectory() as name:
            scheduler_share(Path(name), given.people)


if __name__ == '__main__':
    main()
