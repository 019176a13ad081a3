"""How the code hangs together: size of each room, imports between rooms, longest ways.

    python tests/benchmarks/structure.py

counts imports wherever they stand in a file. A module's *way* is the longest chain of imports
inside its folder that starts at it: so many files a value may pass through there.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.contract.layers import (
    arrows,
    circles,
    imports,
    modules,
    read_sources,
    room_of,
    violations,
)


def longest(graph: Mapping[str, set[str]], start: str) -> list[str]:
    """Return the longest chain of imports from a module; there must be no circle."""
    tails = (longest(graph, name) for name in graph[start])
    return [start, *max(tails, key=len, default=[])]


def main() -> None:
    """Print the counts."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').partition('\n')[0])
    parser.add_argument('--quick', action='store_true', help='the same: two seconds')
    parser.parse_args()
    sources = read_sources()
    print(f'modules {len(sources)}, lines {sum(t.count(chr(10)) for t in sources.values())}')
    print(f'circles {len(circles(sources))}, imports against the table {len(violations(sources))}')
    rooms = {room_of(place) for place in sources}
    for room in sorted(rooms):
        inside = {p: t for p, t in sources.items() if p.startswith(f'{room}/')}
        if len(inside) < 2:
            continue
        graph = {p: imports(t, modules(sources)) & set(inside) for p, t in inside.items()}
        way = max((longest(graph, place) for place in graph), key=len)
        print(
            f'{room}: {len(inside)} files, {sum(map(len, graph.values()))} imports inside, '
            f'longest way {len(way)}: {" > ".join(p.removeprefix(room + "/") for p in way)}'
        )
    counts = arrows(sources, 'mrs')
    folders = {p.split('/')[1] for p in sources if p.startswith('mrs/') and p.count('/') > 1}
    joining = {'interfaces', 'workflow'}
    formulas = sum(n for pair, n in counts.items() if set(pair) <= folders - joining)
    print(
        f'mrs: {len(counts)} pairs of {len({room for pair in counts for room in pair})} rooms, '
        f'{sum(counts.values())} imports between them; {formulas} between '
        f'{", ".join(sorted(folders - joining))}'
    )


if __name__ == '__main__':
    main()
