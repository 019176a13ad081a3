"""Through how many files a thing passes on its way, and how many rooms import one another.

    python -m tests.contract.chains

A way is a chain of definitions (functions, classes, constants) of which each names the next, from
one in the file that takes the thing; types that a signature names count as well. What is counted
are its files: those that a reader has to open one after the other, at most, to follow the thing to
its end. Files that lie side by side are not added up, and neither is what a file imports for
another of its functions: then a way would be made of pieces that nobody walks. The longest chain
of files that import each other, which is an upper bound, is printed behind it.

Methods of an object are found in the file of its class where a signature names it, and not where
the object comes out of a call.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from functools import cache

from tests.contract.layers import arrows, imports, modules, read_sources

WAYS: tuple[tuple[str, str, str, int], ...] = (
    ('a T1w image', 'anat', 'anat/workflow.py', 8),
    ('a diffusion series', 'dwi', 'dwi/workflow/line.py', 8),
    ('a BOLD series', 'func', 'func/workflow/measure.py', 8),
    ('a spectrum, its signal', 'mrs/signal', 'mrs/signal/preprocessing.py', 8),
    ('a spectrum, its basis set', 'mrs/basis', 'mrs/basis/simulate.py', 8),
    ('a spectrum, its fit', 'mrs/lcm', 'mrs/lcm/difference.py', 8),
    ('a spectrum, its engine', 'mrs/engines', 'mrs/engines/run.py', 8),
    ('a spectrum, all rooms', 'mrs', 'mrs/workflow/spectrum.py', 8),
    ('the matrix', 'group/opnmf', 'group/opnmf/estimator.py', 8),
    ('the model file, as it is read', 'group/statistics', 'group/statistics/study/data.py', 8),
    ('the model file, to the results', 'group/statistics', 'group/statistics/run.py', 8),
)
"""What passes, through which folder, from which file, and through how many files at most. Eight
are wanted inside a folder; a spectrum goes through several rooms of one, which are counted
together too."""

ROOMS_JOINED: tuple[tuple[str, int], ...] = (('mrs', 30),)
"""Folder of several rooms (its folders, and each file directly in it), and how many pairs of them
may import one from the other. With few of them a room can be read, and changed, by itself."""

Place = tuple[str, str]
"""File below the package, and the name of a definition in it."""


class Definitions:
    """What each file defines at its top, and what each definition names of its own package."""

    def __init__(self, sources: Mapping[str, str]) -> None:
        known = modules(sources)
        self._bodies: dict[Place, ast.AST] = {}
        self._names: dict[str, dict[str, Place]] = {}
        for place, source in sources.items():
            tree = ast.parse(source)
            for statement in tree.body:
                self._bodies |= {(place, name): statement for name in _defined(statement)}
            self._names[place] = dict(_imported(tree, known))

    def of(self, place: str) -> list[Place]:
        """List the definitions of a file."""
        return [one for one in self._bodies if one[0] == place]

    def named_by(self, one: Place) -> set[Place]:
        """List the definitions that one names, wherever they are."""
        place, _ = one
        found: set[Place] = set()
        for node in ast.walk(self._bodies[one]):
            if isinstance(node, ast.Name):
                found.add(self._names[place].get(node.id, (place, node.id)))
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                file, name = self._names[place].get(node.value.id, ('', ''))
                found.add((file, name or node.attr))
        return {self._home(each) for each in found} & self._bodies.keys() - {one}

    def _home(self, one: Place) -> Place:
        """Return where a name that a file only hands on is defined."""
        while one not in self._bodies and one[1] in self._names.get(one[0], {}):
            one = self._names[one[0]][one[1]]
        return one


def _defined(statement: ast.stmt) -> set[str]:
    """Return the names that a statement at the top of a file defines."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return {statement.name}
    if isinstance(statement, ast.Assign | ast.AnnAssign):
        stored = (n for n in ast.walk(statement) if isinstance(n, ast.Name))
        return {n.id for n in stored if isinstance(n.ctx, ast.Store)}
    return set()


def _imported(tree: ast.Module, known: Mapping[str, str]) -> Iterator[tuple[str, Place]]:
    """Yield what a file imports of our modules; a whole module has no name of a definition."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                called, full = alias.asname or alias.name, f'{node.module}.{alias.name}'
                if full in known:
                    yield called, (known[full], '')
                elif node.module in known:
                    yield called, (known[node.module], alias.name)


def followed(known: Definitions, folder: str, start: str) -> tuple[str, ...]:
    """Return the files of the longest chain of definitions inside a folder.

    Parameters
    ----------
    known : Definitions
        What each file of the package defines and names.
    folder, start : str
        Where the chain stays, and the file where it begins.
    """

    @cache
    def way(one: Place) -> tuple[str, ...]:
        # within a file definitions may name each other in a circle, files may not
        inside, ahead, further = {one}, [one], set[Place]()
        while ahead:
            for each in known.named_by(ahead.pop()) - inside:
                if each[0] == one[0]:
                    inside.add(each)
                    ahead.append(each)
                elif each[0].startswith(f'{folder}/'):
                    further.add(each)
        return (one[0], *max(map(way, sorted(further)), key=len, default=()))

    return max(map(way, known.of(start)), key=len)


def longest(sources: Mapping[str, str], folder: str, start: str) -> tuple[str, ...]:
    """Return the longest chain of files of which each imports the next; see `followed`."""
    known = modules(sources)

    @cache
    def way(place: str) -> tuple[str, ...]:
        inside = imports(sources[place], known) & set(sources)
        following = [way(name) for name in sorted(inside) if name.startswith(f'{folder}/')]
        return (place, *max(following, key=len, default=()))

    return way(start)


def main() -> None:
    """Print each way."""
    sources = read_sources()
    known = Definitions(sources)
    for thing, folder, start, most in WAYS:
        way, bound = followed(known, folder, start), longest(sources, folder, start)
        names = ' > '.join(place.removeprefix(f'{folder}/') for place in way)
        sys.stdout.write(
            f'{len(way):3d} of {most:2d} (imports {len(bound):2d})  {thing}: {names}\n'
        )
    for folder, most in ROOMS_JOINED:
        joined: dict[str, list[str]] = {}
        for room, other in sorted(arrows(sources, folder)):
            joined.setdefault(room, []).append(other)
        count = sum(map(len, joined.values()))
        sys.stdout.write(f'{count:3d} of {most:2d} imports between the rooms of {folder}/\n')
        for room, others in joined.items():
            sys.stdout.write(f'      {room}: {", ".join(others)}\n')


if __name__ == '__main__':
    main()
