"""How long the group level takes to read cohorts of 12 to 5 000 people, and how much memory.

    python tests/benchmarks/scale.py [--quick | --large] [--density 41k] [--keep FOLDER]

Each cohort is written by the writer of ``bids_acc-demo --cohort`` and read by the functions that
the group level reads with: the plan, people with spectra and quality, and the vertex maps. Writing
and reading run in processes of their own, so that the peak of memory is theirs. ``--large`` adds
5 000 people (about 1 GB of files), ``--quick`` stops at 100. Each step is a line as soon as it has
ended, so that a run that is stopped has told what came before.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

for _name in ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS'):
    os.environ.setdefault(_name, '1')
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))


def write(folder: Path, n_people: int, density: str) -> None:
    """Write a cohort."""
    from bids_acc.demo.output_folder import CohortOptions, write_output_folder

    write_output_folder(folder, CohortOptions(n_people, density=density), lambda _: None)


def read_plan(folder: Path) -> None:
    """List what there is of everybody."""
    from bids_acc.group.cohort.reading import plan_group

    plan_group(folder)


def read_tables(folder: Path) -> None:
    """List and read people, spectra and quality."""
    from bids_acc.group.cohort.reading import load_cohort, plan_group

    load_cohort(folder, plan_group(folder))


def read_maps(folder: Path) -> None:
    """Read the vertex maps of the region."""
    from bids_acc.group.cohort.vertexmaps import gather_vertex_metrics

    gather_vertex_metrics(folder)


STEPS: dict[str, Callable[..., None]] = {
    'write': write, 'plan': read_plan, 'plan and tables': read_tables, 'maps': read_maps,
}  # fmt: skip


def _child(step: str, folder: Path, n_people: int, density: str) -> None:
    """Run one step and print its figures."""
    started, used = time.monotonic(), time.process_time()
    arguments = (folder, n_people, density) if step == 'write' else (folder,)
    STEPS[step](*arguments)
    print(json.dumps({
        'seconds': time.monotonic() - started, 'cpu': time.process_time() - used,
        'mb': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }))  # fmt: skip


def measure(step: str, folder: Path, n_people: int, density: str) -> dict[str, Any]:
    """Run one step in a process of its own and return its figures."""
    done = subprocess.run(
        [sys.executable, __file__, '--child', step, '--keep', str(folder), '--density', density,
         '--n', str(n_people)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').splitlines()[0])
    parser.add_argument('--quick', action='store_true')
    parser.add_argument('--large', action='store_true')
    parser.add_argument('--density', default='41k')
    parser.add_argument('--keep', type=Path)
    parser.add_argument('--child', choices=tuple(STEPS), help=argparse.SUPPRESS)
    parser.add_argument('--n', type=int, default=0, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        _child(given.child, given.keep, given.n, given.density)
        return
    sizes = [12, 100] if given.quick else [12, 100, 1000, *([5000] if given.large else [])]
    print(f'{"people":>7}  {"step":<16}{"seconds":>9}{"CPU s":>9}{"peak MB":>9}{"MB disk":>9}')
    with tempfile.TemporaryDirectory() as scratch:
        for n_people in sizes:
            folder = (given.keep or Path(scratch)) / str(n_people)
            for step in STEPS:
                print(f'{n_people} people: {step} ...', file=sys.stderr, flush=True)
                found = measure(step, folder, n_people, given.density)
                disk = sum(p.stat().st_size for p in folder.rglob('*') if p.is_file()) / 1e6
                print(
                    f'{n_people:>7}  {step:<16}{found["seconds"]:>9.1f}{found["cpu"]:>9.1f}'
                    f'{found["mb"]:>9.0f}{disk:>9.0f}', flush=True,
                )  # fmt: skip


if __name__ == '__main__':
    main()
