"""What planning costs with many people: CPU seconds and memory of ``--dry-run`` and of the group's plan.

    python tests/benchmarks/scale_plan.py [100 300 1000] [--large | --quick]

Each person has a T1w image, a diffusion series with its gradient table and a spectrum, all tiny
and linked to one file on disk. ``--large`` adds 10,000 people, ``--quick`` takes 30 and 100. The plan of the participant level is
made without ``--bids-database-dir``, with an empty one, and with that again. The last column tells how the cost
for one person has grown since the line above: 1.0 is linear.
"""  # noqa: E501

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY))

from tests.synthetic.bids_folder import write_dataset, write_dwi, write_svs, write_t1w

LARGE = 10_000


def link_tree(source: Path, root: Path, label: str) -> None:
    """Make a person's folder out of links to that of the first."""
    for path in source.rglob('*'):
        if path.is_file():
            relative = str(path.relative_to(source)).replace('sub-00000', f'sub-{label}')
            target = root / f'sub-{label}' / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, target)


def make_raw(root: Path, n: int) -> Path:
    """Write a data set of n people."""
    write_dataset(root)
    for write in (write_t1w, write_dwi, write_svs):
        write(root, '00000')
    for i in range(1, n):
        link_tree(root / 'sub-00000', root, f'{i:05d}')
    return root


def make_results(root: Path, n: int) -> Path:
    """Write an output folder of n people with maps, labels and a spectrum each."""
    from tests.synthetic.derivatives import write_cohort

    write_cohort(root, n_per_group=1)
    first = root / 'sub-001'
    first.rename(root / 'sub-00000')
    for path in sorted((root / 'sub-00000').rglob('sub-001*')):
        path.rename(path.with_name(path.name.replace('sub-001', 'sub-00000')))
    for i in range(1, n):
        link_tree(root / 'sub-00000', root, f'{i:05d}')
    ids = '\n'.join(f'sub-{i:05d}\t{"AB"[i % 2]}' for i in range(n))
    (root / 'participants.tsv').write_text(f'participant_id\tgroup\n{ids}\n')
    return root


def cost(*arguments: object) -> tuple[float, float]:
    """Run the command; return CPU seconds and the largest memory in MB."""
    command = [sys.executable, '-m', 'bids_acc', *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    said = process.stderr.read().decode() if process.stderr else ''
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit(f'{" ".join(command)}\n{said}')
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def measure(name: str, sizes: list[int], call: Callable[[int], tuple[float, float]]) -> None:
    """Print one line for each size."""
    before = None
    for n in sizes:
        seconds, megabytes = call(n)
        grown = '' if before is None else f'{seconds / n / before:6.2f}'
        print(f'{name:28s} {n:6d} people {seconds:8.1f} CPU s {megabytes:6.0f} MB {grown}')
        before = seconds / n


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('sizes', type=int, nargs='*', default=[100, 300, 1000])
    parser.add_argument('--large', action='store_true', help=f'{LARGE} people as well')
    parser.add_argument('--quick', action='store_true', help='30 and 100 people')
    asked = parser.parse_args()
    wanted = [30, 100] if asked.quick else asked.sizes
    sizes = sorted({*wanted, *([LARGE] if asked.large else [])})
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        raw = {n: make_raw(root / f'raw{n}', n) for n in sizes}
        out = {n: make_results(root / f'out{n}', n) for n in sizes}

        def plan(n: int, *more: object) -> tuple[float, float]:
            return cost(raw[n], root / 'new', 'participant', '--dry-run', 'json', *more)

        def kept(n: int) -> tuple[float, float]:
            return plan(n, '--bids-database-dir', root / f'db{n}')

        measure('participant', sizes, plan)
        measure('data base is made', sizes, kept)
        measure('data base is there', sizes, kept)
        measure('group', sizes, lambda n: cost(raw[n], out[n], 'group', '--dry-run', 'json'))


if __name__ == '__main__':
    main()
