"""Where the CPU time of one person goes: seconds of each node of the participant level.

    python tests/benchmarks/stages.py [T1W.nii.gz] [--density 41k] [--profile ssta] [--keep FOLDER]
                                      [--quick]

The image (a head of the demo with 1 mm voxels if none is named; ``--quick``: 2 mm and density 10k)
becomes a data set of one person, which runs node after node in one process. Printed
are CPU seconds of each node, with its children's, those of the whole, and what no node has used
(imports, plan, graph, scheduler, pages). ``--profile`` tells of the nodes whose name holds a word
which functions they spent it in.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import pstats
import shutil
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


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').splitlines()[0])
    parser.add_argument('image', type=Path, nargs='?')
    parser.add_argument('--density', choices=('10k', '41k'))
    parser.add_argument('--quick', action='store_true', help='2 mm voxels, density 10k')
    parser.add_argument('--profile', default='', help='part of the name of nodes')
    parser.add_argument('--keep', type=Path, help='output folder, to be kept')
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


if __name__ == '__main__':
    main()
