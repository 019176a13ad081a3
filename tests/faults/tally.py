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
