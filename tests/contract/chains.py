"""Through how many files of its folder a thing passes on its way: counted from the imports.

    python -m tests.contract.chains

A way is a chain of files of which each imports the next, from the file that takes the thing. The
longest one is what a reader has to open one after the other, at most, to follow the thing to its
end; files that lie side by side are not added up.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache

from tests.contract.layers import imports, modules, read_sources

WAYS: tuple[tuple[str, str, str, int], ...] = (
    ('a T1w image', 'anat', 'anat/workflow.py', 8),
    ('a diffusion series', 'dwi', 'dwi/workflow/line.py', 8),
    ('a BOLD series', 'func', 'func/workflow/measure.py', 8),
    ('a spectrum, its signal', 'mrs/signal', 'mrs/signal/preprocessing.py', 8),
    ('a spectrum, its basis set', 'mrs/basis', 'mrs/basis/simulate.py', 8),
    ('a spectrum, its fit', 'mrs/lcm', 'mrs/lcm/difference.py', 8),
    ('a spectrum, all rooms', 'mrs', 'mrs/workflow.py', 14),
    ('the matrix', 'group/opnmf', 'group/opnmf/estimator.py', 8),
    ('the model file, as it is read', 'group/statistics', 'group/statistics/study.py', 8),
    ('the model file, to the results', 'group/statistics', 'group/statistics/run.py', 18),
)
"""What passes, through which folder, from which file, and through how many files at most. Eight
are wanted; two ways are longer: a spectrum goes through five rooms, and analyses share
functions."""


def longest(sources: Mapping[str, str], folder: str, start: str) -> tuple[str, ...]:
    """Return the longest chain of imports inside a folder; imports go in no circle.

    Parameters
    ----------
    sources : mapping of str to str
        Place of each module below the package, and its text.
    folder, start : str
        Where the chain stays, and where it begins.
    """
    known = modules(sources)

    @cache
    def chain(place: str) -> tuple[str, ...]:
        inside = imports(sources[place], known) & set(sources)
        following = [chain(name) for name in sorted(inside) if name.startswith(f'{folder}/')]
        return (place, *max(following, key=len, default=()))

    return chain(start)


def main() -> None:
    """Print each way."""
    sources = read_sources()
    for thing, folder, start, most in WAYS:
        way = longest(sources, folder, start)
        names = ' > '.join(place.removeprefix(f'{folder}/') for place in way)
        sys.stdout.write(f'{len(way):3d} of {most:2d}  {thing}: {names}\n')


if __name__ == '__main__':
    main()
