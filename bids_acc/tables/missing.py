"""Words that mean that a value is not known."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from bids_acc.tables.reading import INVISIBLE

WORDS = frozenset({
    '', 'n/a', 'na', 'n.a.', 'n.a', 'n / a', 'nan', '-nan', 'null', '<na>', 'missing', 'unknown',
    'unkn', 'unk', 'not known', 'not available', 'not applicable', 'not recorded', 'not reported',
    'not assessed', 'not done', 'not measured', 'no data', 'nodata', 'undefined',
    '.', '..', '-', '--', '---', '\u2013', '\u2014', '?', '??', '???', 'tbd', '#n/a',
    '#n/a n/a', '#na', '#value!', '#ref!', '#div/0!', '#null!', '#num!', '#name?', '1.#ind',
    '1.#qnan', '-1.#ind', '-1.#qnan',
})  # fmt: skip
"""In small letters: BIDS' own, those of R, pandas, SPSS, SAS, MATLAB and Excel, and plain words.

``none`` is not among them: of medication, say, it is an answer."""
_AMONG_NUMBERS = frozenset({'none', 'nil', 'undetermined'})
"""Words that may be levels (of medication, a verdict): missing among numbers only."""
MEANS_MISSING = re.compile(
    r'^(missing|unknown|n/?a\b|not (known|available|applicable|recorded|reported|assessed|done|'
    r'measured|collected)|no (data|answer|response)|refused|declined|did not answer)',
    re.IGNORECASE,
)
"""Descriptions of a level that say that nothing is known."""


def is_missing(text: str, *, among_numbers: bool = False) -> bool:
    """Tell whether a cell says that its value is not known.

    Parameters
    ----------
    text : str
        A cell.
    among_numbers : bool
        Whether the column's other cells are numbers; then ``none`` is missing too.

    Examples
    --------
    >>> [is_missing(word) for word in ('NA', ' NaN ', 'unknown', 'none', 'HC')]
    [True, True, True, False, False]
    """
    word = text.strip(INVISIBLE).casefold()
    return word in WORDS or (among_numbers and word in _AMONG_NUMBERS)


def declared_missing(description: Any) -> tuple[frozenset[str], frozenset[str]]:
    """Return which cells of a column its sidecar calls missing, and which it calls levels.

    Parameters
    ----------
    description : mapping or anything else
        Entry of the column in the table's JSON file; ``Levels`` and ``MissingValues`` are read.

    Examples
    --------
    >>> missing, levels = declared_missing({'Levels': {'9': 'unknown', 'NA': 'non-affective'}})
    >>> sorted(missing), sorted(levels)
    (['9'], ['NA'])
    """
    if not isinstance(description, Mapping):
        return frozenset(), frozenset()
    listed = description.get('MissingValues', [])
    missing = {str(value) for value in (listed if isinstance(listed, list) else [listed])}
    levels = set()
    declared = description.get('Levels')
    for level, words in declared.items() if isinstance(declared, Mapping) else ():
        text = words.get('Description', '') if isinstance(words, Mapping) else words
        if MEANS_MISSING.match(str(text).strip()) or is_missing(str(text) or 'level'):
            missing.add(str(level))
        else:
            levels.add(str(level))
    return frozenset(missing), frozenset(levels)
