"""All benchmarks, one after the other, each in a process of its own.

    python -m tests.benchmarks [NAME ...] [--full] [--list] [--out FOLDER]

prints what each says, then a line for each: exit code, CPU seconds with children, the largest
memory of one process. By default each runs in its short form; ``--full`` runs them whole (many
hours), ``--out`` keeps what each said in ``FOLDER/NAME.txt`` (the pages of the documentation take
it from there). One that fails does not stop the others; at the end the exit code is 1.
"""

from __future__ import annotations

import argparse
import ast
import datetime as dt
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
PARTS = {'mrs_monte_carlo': 'mrs_fit'}
"""Benchmarks whose rows another one prints among its own."""
THREADS = ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS')


@dataclass(frozen=True)
class Ran:
    """What one benchmark came to.

    Parameters
    ----------
    name : str
        File without its ending.
    code : int
        Exit code.
    seconds : float
        CPU time of it and its children.
    """

    name: str
    code: int
    seconds: float

    def __str__(self) -> str:
        return f'{self.name:24s} exit {self.code}  {self.seconds:8.1f} CPU s'


def is_script(path: Path) -> bool:
    """Whether a file of this folder runs by itself (others hold what two of them share)."""
    return path.name != '__main__.py' and "if __name__ == '__main__':" in path.read_text('utf-8')


def names() -> list[str]:
    """Return the benchmarks, by name."""
    return sorted(p.stem for p in HERE.glob('*.py') if is_script(p) and p.stem not in PARTS)


def about(name: str) -> str:
    """Return the first line of a benchmark's description."""
    text = ast.get_docstring(ast.parse((HERE / f'{name}.py').read_text('utf-8'))) or ''
    return text.partition('\n')[0].partition(': ``')[0]


def processor() -> str:
    """Return the name of the processor."""
    try:
        lines = Path('/proc/cpuinfo').read_text('utf-8').splitlines()
    except OSError:
        lines = []
    found = (line.partition(':')[2].strip() for line in lines if line.startswith('model name'))
    return next(found, '') or platform.machine()


def run(name: str, *, full: bool, out: Path | None) -> Ran:
    """Run one benchmark, print what it says while it says it, and keep it."""
    command = [sys.executable, '-u', str(HERE / f'{name}.py'), *([] if full else ['--quick'])]
    shown = f'python tests/benchmarks/{name}.py{"" if full else " --quick"}'
    paths = os.pathsep.join(filter(None, (str(REPOSITORY), os.environ.get('PYTHONPATH'))))
    environment = {**os.environ, **dict.fromkeys(THREADS, '1'), 'PYTHONPATH': paths}
    print(f'\n== {shown}', flush=True)
    before = children_seconds()
    lines = []
    with subprocess.Popen(
        command, cwd=REPOSITORY, env=environment, text=True, errors='replace',
        stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end='', flush=True)
            lines.append(line)
    ran = Ran(name, process.returncode, children_seconds() - before)
    if out is not None:
        today = dt.datetime.now(tz=dt.UTC).date()
        head = f'$ {shown}\n# {today}, {processor()}, {ran.seconds:.0f} CPU s, exit {ran.code}\n\n'
        (out / f'{name}.txt').write_text(head + ''.join(lines), encoding='utf-8')
    return ran


def children_seconds() -> float:
    """Return the CPU time of all children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def chosen(asked: Iterable[str]) -> list[str]:
    """Return the benchmarks that were asked for, or all.

    Raises
    ------
    SystemExit
        If there is none of that name.
    """
    known = names()
    for name in asked:
        if name not in known:
            raise SystemExit(f'no benchmark {name}; there are {", ".join(known)}')
    return [name for name in known if name in asked] or known


def main(argv: list[str] | None = None) -> int:
    """Run what was asked for; return 1 if one failed."""
    parser = argparse.ArgumentParser(
        prog='python -m tests.benchmarks', description=(__doc__ or '').partition('\n')[0]
    )
    parser.add_argument('names', nargs='*', metavar='NAME', help='benchmarks to run; all if none')
    parser.add_argument('--full', action='store_true', help='whole, not in the short form')
    parser.add_argument('--list', action='store_true', help='say what there is, and end')
    parser.add_argument('--out', type=Path, help='folder for what each says')
    given = parser.parse_args(argv)
    wanted = chosen(given.names)
    if given.list:
        print('\n'.join(f'{name:24s} {about(name)}' for name in wanted))
        return 0
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
    ran = [run(name, full=given.full, out=given.out) for name in wanted]
    print('\n' + '\n'.join(map(str, ran)))
    return int(any(one.code for one in ran))


if __name__ == '__main__':
    sys.exit(main())
