"""How many damaged inputs the searches of this folder tried, and how many were survived."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator

from bids_acc.exceptions import BidsAccError

TRIED: Counter[str] = Counter()
"""Inputs, by what was damaged; a search that fails repeats its input while it makes it smaller."""
SURVIVED: Counter[str] = Counter()
"""Those that were read, or refused in our own words."""


@contextlib.contextmanager
def damaged(kind: str) -> Iterator[None]:
    """Count one damaged input; it is survived if nothing but a refusal of ours is raised."""
    TRIED[kind] += 1
    with contextlib.suppress(BidsAccError):
        yield
    SURVIVED[kind] += 1


ARRAYS: Counter[str] = Counter()
"""Arrays of processes that wrote into one output at the same time: counts of what came of them."""


def count_array(*, calls: int, lost: int, files: int, differ: int) -> None:
    """Count one array: its calls, those that failed, its files, those that one process writes
    otherwise.
    """
    ARRAYS.update(arrays=1, calls=calls, lost=lost, files=files, differ=differ)


def array_summary() -> str:
    """Tell what came of all arrays so far, as one line."""
    at_a_time = ARRAYS['calls'] // max(ARRAYS['arrays'], 1)
    return (
        f'arrays: {ARRAYS["arrays"]} of {at_a_time} processes at a time: '
        f'{ARRAYS["calls"]} calls, {ARRAYS["lost"]} lost; {ARRAYS["files"]} files, '
        f'{ARRAYS["differ"]} differ from those of one process'
    )
