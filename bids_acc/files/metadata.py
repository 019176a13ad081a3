"""Values of sidecars: written by converters and by hand, as numbers, text or lists of either."""

from __future__ import annotations

import math
from typing import SupportsFloat

PROTON = ('1H', 'H1', 'H', '1-H', '^1H', 'PROTON', 'HYDROGEN')
"""Spellings, in capitals, of the nucleus whose spectra are fitted."""


def first_number(value: object) -> float:
    """Return the first number of a number, a text or a list; NaN when there is none.

    Parameters
    ----------
    value : object
        As JSON has it. Some converters write a list where the standard asks for one number.

    Returns
    -------
    float
        Finite, or NaN.

    Examples
    --------
    >>> first_number('127.75'), first_number([0.035, 0.07]), first_number(True)
    (127.75, 0.035, nan)
    """
    if isinstance(value, list | tuple):
        value = value[0] if value else None
    # JSON's `true` is a number to Python, and a time of 1 s to nobody
    if isinstance(value, bool) or not isinstance(value, str | SupportsFloat):
        return math.nan
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan
    return number if math.isfinite(number) else math.nan
