"""Reasoning with evidence that may be missing: true, false, or not known.

Kleene's strong three-valued logic. A conjunction is false as soon as one part is false, true only
when all are true, and otherwise unknown; so what is missing never decides by being missing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

Truth = bool | None
"""True, False, or None for not known."""

OUTCOMES = {True: 'met', False: 'not met', None: 'unknown'}
"""Words for a truth value in the trace."""


@dataclass(frozen=True)
class Rule:
    """One rule of a definition, applied to one participant."""

    name: str
    """Short name."""
    truth: Truth
    """Whether it is met."""
    evidence: str
    """What was looked at, in words."""
    threshold: str = ''
    """What was asked for."""
    source: str = ''
    """Where the rule stands."""

    @property
    def outcome(self) -> str:
        """The truth in words."""
        return OUTCOMES[self.truth]


def all_of(parts: Iterable[Truth]) -> Truth:
    """Return the conjunction in three-valued logic (Kleene): one false part decides.

    Parameters
    ----------
    parts : iterable of bool or None
        True, False or None for unknown; without any it is True.

    Examples
    --------
    >>> all_of([True, None]) is None, all_of([False, None])
    (True, False)
    """
    values = list(parts)
    if any(v is False for v in values):
        return False
    return None if any(v is None for v in values) else True


def any_of(parts: Iterable[Truth]) -> Truth:
    """Return the disjunction in three-valued logic (Kleene): one true part decides.

    Parameters
    ----------
    parts : iterable of bool or None
        True, False or None for unknown; without any it is False.

    Examples
    --------
    >>> any_of([True, None]), any_of([False, None]) is None
    (True, True)
    """
    values = list(parts)
    if any(v is True for v in values):
        return True
    return None if any(v is None for v in values) else False


def negate(part: Truth) -> Truth:
    """Return the opposite; the opposite of unknown is unknown.

    Parameters
    ----------
    part : bool or None
        True, False or None for unknown.
    """
    return None if part is None else not part


def compare(value: float | None, test: Callable[[float], bool]) -> Truth:
    """Apply a test to a number that may be missing (None or NaN).

    Parameters
    ----------
    value : float or None
        In the unit that the test expects.
    test : callable
        Such as ``lambda v: v >= 6``; called with known numbers only.

    Returns
    -------
    bool or None
        None where the value is missing.
    """
    return None if value is None or math.isnan(value) else bool(test(value))


def at_least(n: int, parts: Iterable[Truth], *, complete: Truth = True) -> Truth:
    """Return whether at least n parts are true.

    Parameters
    ----------
    n : int
        How many are needed.
    parts : iterable of Truth
        What is on record.
    complete : Truth
        Whether the record holds everything: if that is not known, too few on record means
        unknown.

    Examples
    --------
    >>> at_least(2, [True, False]), at_least(2, [True, None]) is None
    (False, True)
    >>> at_least(2, [True, False], complete=None) is None
    True
    """
    values = list(parts)
    sure = sum(v is True for v in values)
    if sure >= n:
        return True
    possible = sure + sum(v is None for v in values)
    return False if possible < n and complete is True else None
