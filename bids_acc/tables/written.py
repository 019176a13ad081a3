"""What a cell is in a column of numbers, and the number that it stands for.

People and programs write numbers with units, parted thousands, decimal commas, caps and signs of
their own. Each such way is a *kind* of cell; what two readings fit is read in neither.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping

from bids_acc.tables.missing import is_missing
from bids_acc.tables.ranges import Range
from bids_acc.tables.reading import number

_DECIMAL_COMMA = re.compile(r'[+-]?\d*,\d+(?:[eE][+-]?\d+)?')
_CAPPED = re.compile(r'(\d+(?:\.\d+)?)\s*\+')
"""An age such as ``89+``, by which BIDS protects the oldest."""
_CAPPED_AGE = re.compile(
    r'(?:>=?|=>|\u2265|over|above)\s*(\d+(?:\.\d+)?)|'
    r'(\d+(?:\.\d+)?) (?:or|and) (?:older|over|above)',
    re.IGNORECASE,
)
"""The same in other words: ``>89``, ``90 or older``."""
_CENSORED = re.compile(
    r'(?:<=?|>=?|=<|=>|[\u2264\u2265])\s*[+-]?\d+(?:[.,]\d+)?\s*%?|[<>]\s*(?:lod|loq|lloq|mdl|limit)|'
    r'bdl|bld|blq|bloq|lod|loq|below (?:the )?(?:limit of )?detection(?: limit)?',
    re.IGNORECASE,
)
"""A value of which only a bound is known: ``>=57``, ``<0.1``, ``below detection``."""
DATE = re.compile(
    r'\d{4}-\d{1,2}-\d{1,2}([ T].*)?|\d{1,2}[./]\d{1,2}[./]\d{2,4}( .*)?|'
    r'\d{1,2}[-. ][^\W\d_]{3,4}\.?([-. ]\d{2,4})?|[^\W\d_]{3,4}\.?[-. ]\d{2,4}'
)
"""What spreadsheets make of numbers, and dates of birth."""
_YEAR_WORDS = (
    r'y|yr|yrs|years?|yo|y/o|y\.o\.|years?[ -]old|a|ans?|j|jahre?|'
    r'a\u00f1os?|anni|anno|jaar|anos?|\u00e5r|lat|\u6b73|\u5c81'
)
_MONTH_WORDS = r'm|mo|mos|mths?|months?|monate?n?|mois|mes|meses|mesi|maanden'
_YEARS = re.compile(
    rf'(\d+(?:[.,]\d+)?)[ -]?(?:{_YEAR_WORDS})\.?|P(\d+(?:\.\d+)?)Y', re.IGNORECASE
)
"""A number of years with its unit, or as ISO 8601 writes a duration."""
_PARTS_OF_YEARS = re.compile(
    rf'(\d+(?:[.,]\d+)?)[ -]?(?:({_MONTH_WORDS})|'
    r'(w|wk|wks|weeks?|wochen?)|(d|days?|tagen?|jours?))\.?',
    re.IGNORECASE,
)
"""A number of months, weeks or days, as DICOM writes an age (``408M``) or as people do."""
_YEARS_AND_MONTHS = re.compile(
    rf'(\d+) ?(?:{_YEAR_WORDS})\.?(?:,| and| und| et|) ?(\d+) ?(?:{_MONTH_WORDS})\.?|'
    r'(\d+);(0?\d|1[01])',
    re.IGNORECASE,
)
"""``45y6m``, ``45 years, 6 months`` and ``45;6``, as studies of language write ages."""
_ISO_DURATION = re.compile(
    r'P(?=\d)(?:(\d+(?:\.\d+)?)Y)?(?:(\d+(?:\.\d+)?)M)?(?:(\d+(?:\.\d+)?)W)?(?:(\d+(?:\.\d+)?)D)?'
)
"""ISO 8601, 5.5.2.2: ``P45Y6M``, ``P540M``."""
_PER_YEAR = (1.0, 12.0, 365.25 / 7, 365.25)
"""Years, months, weeks and days of a year (Julian year of the IAU)."""
_GROUPED = re.compile(
    r"[+-]?\d{1,3}(?:(?:['\u2019 ]\d{3})+(?:[.,]\d+)?|(?:,\d{3})+\.\d+|(?:\.\d{3})+,\d+|"
    r'(?:,\d{3}){2,}|(?:\.\d{3}){2,})'
)
"""A number whose thousands are parted by something that cannot be its decimal sign."""
_PERCENT = re.compile(r'[+-]?\d+(?:[.,]\d+)?\s*%')
_UNIT = re.compile(
    r'([+-]?\d+(?:[.,]\d+)?) ?((?:'
    r'mg|g|mcg|[\u00b5\u03bc]g|ug|kg|lbs?|iu|units?|ml|l|dl|mm|cm|m|ms|s|secs?|mins?|h|hrs?|hours?|'
    r'd|days?|w|wks?|weeks?|mo|months?|y|yrs?|years?|hz|ppm|bpm|mmhg|points?|pts|'
    r'(?:ng|pg|[\u00b5\u03bc]g|ug|mg|g|nmol|[\u00b5\u03bc]mol|umol|mmol|mol|iu|u)/(?:ml|dl|l|kg)|'
    r'kg/m(?:2|\u00b2|\^2))(?: ?(?:/|per ) ?(?:d|day|week|wk|month|mo))?)\.?',
    re.IGNORECASE,
)
"""A number with its unit behind it; a letter that is none (``14a``) is no unit."""

READABLE = frozenset({
    'number', 'comma', 'capped', 'unit', 'measured', 'part', 'grouped', 'percent',
})  # fmt: skip
"""Kinds of cells that stand for a number."""


def bare(cell: str) -> str:
    """Return a number without the marks of typesetters; any other cell as it is.

    Parameters
    ----------
    cell : str
        Without blanks around it.

    Returns
    -------
    str
        A typographic minus becomes a hyphen; quotation marks around a number, and the apostrophe
        by which a spreadsheet marks text, are left out.

    Examples
    --------
    >>> bare('\u22125'), bare("'45"), bare('\u201c46\u201d'), bare('\u2013')
    ('-5', '45', '46', '\u2013')
    """
    plain = cell.strip('\'"\u2018\u2019\u201c\u201d\u201e')
    if plain[:1] in ('\u2212', '\u2013', '\u2012'):
        plain = '-' + plain[1:].lstrip()
    return plain if plain != cell and number(plain) is not None else cell


def kind_of(cell: str, limits: Range | None) -> str:
    """Tell what a cell is in a column of numbers.

    Parameters
    ----------
    cell : str
        Not empty, see `bare`.
    limits : Range or None
        What the column can hold; in years, ages are read as people write them.

    Returns
    -------
    str
        One of `READABLE`; ``word`` (missing), ``censored``, ``date`` or ``text``.

    Examples
    --------
    >>> [kind_of(cell, None) for cell in ('3', '3,5', '300 mg', '>=57', '5-Mar', 'inf', '14a')]
    ['number', 'comma', 'measured', 'censored', 'date', 'word', 'text']
    """
    value = number(cell)
    if value is not None:
        return 'number' if math.isfinite(value) else 'word'
    if is_missing(cell, among_numbers=True):
        return 'word'
    if limits is not None and limits.source == 'years':
        if _YEARS.fullmatch(cell):
            return 'unit'
        if any(p.fullmatch(cell) for p in (_PARTS_OF_YEARS, _YEARS_AND_MONTHS, _ISO_DURATION)):
            return 'part'
        if _CAPPED_AGE.fullmatch(cell):
            return 'capped'
    patterns = {'comma': _DECIMAL_COMMA, 'capped': _CAPPED, 'date': DATE, 'grouped': _GROUPED,
                'percent': _PERCENT, 'censored': _CENSORED, 'measured': _UNIT}  # fmt: skip
    return next((kind for kind, like in patterns.items() if like.fullmatch(cell)), 'text')


def units_of(kinds: Mapping[str, str]) -> list[str]:
    """Return the different units that the cells of a column are written with.

    Parameters
    ----------
    kinds : mapping of str to str
        Of each cell, from `kind_of`.

    Returns
    -------
    list of str
        In small letters, without blanks and plurals: ``mg/day`` for ``mg / d`` too.

    Examples
    --------
    >>> units_of({'300 mg': 'measured', '200 MG/d': 'measured', '1': 'number'})
    ['mg', 'mg/day']
    """
    return sorted({_unit(cell) for cell, kind in kinds.items() if kind == 'measured'})


_PLAIN_UNITS: Mapping[str, str] = {
    'mcg': '\u00b5g', 'ug': '\u00b5g', '\u03bcg': '\u00b5g', 'd': 'day', 'w': 'week', 'wk': 'week',
    'mo': 'month', 'y': 'year', 'yr': 'year', 'hr': 'hour', 'h': 'hour', 'sec': 's', 'pt': 'point',
}  # fmt: skip


def _unit(cell: str) -> str:
    """Return the unit behind a number."""
    found = _UNIT.fullmatch(cell)
    words = '' if found is None else found[2].casefold().replace('per ', '/').replace(' ', '')
    parts = [part.rstrip('s') if len(part) > 2 else part for part in words.split('/')]
    return '/'.join(_PLAIN_UNITS.get(part, part) for part in parts)


def with_groups(kinds: Mapping[str, str]) -> dict[str, str]:
    """Tell which cells have parted thousands, by those of their column that leave no doubt.

    Parameters
    ----------
    kinds : mapping of str to str
        Of each cell, from `kind_of`.

    Returns
    -------
    dict of str to str
        Where a sign parts thousands in one cell and cannot in another, all are ``text``.
    """
    signs = {s for c, kind in kinds.items() if kind == 'grouped' for s in ',.' if _parts(c, s)}
    others = [c for c, kind in kinds.items()
              if kind in ('number', 'comma') and signs.intersection(c)]  # fmt: skip
    parted = [c for c in kinds if kinds[c] == 'grouped']
    torn = any(s in c and not _parts(c, s) for c in parted for s in signs)
    # 12.5 beside 1.234,5 cannot both be numbers of one spelling
    if torn or not all(_ONE_GROUP.fullmatch(cell) for cell in others):
        return dict.fromkeys(kinds, 'text')
    return {**kinds, **dict.fromkeys(others, 'grouped')}


_ONE_GROUP = re.compile(r'[+-]?[1-9]\d{0,2}[.,]\d{3}')


def _parts(cell: str, sign: str) -> bool:
    """Tell whether a comma or a point parts thousands in a cell, and is not its decimal sign."""
    return cell.count(sign) > 1 or (sign in cell and cell.rfind(sign) < len(cell) - 4
                                    and len(set(cell) & {',', '.'}) == 2)  # fmt: skip


def commas_may_part(cells: Iterable[str]) -> bool:
    """Tell whether all commas of some cells could part thousands.

    Parameters
    ----------
    cells : iterable of str
        Numbers with one comma each.

    Returns
    -------
    bool
        Three digits behind each comma, and one to three in front that do not begin with 0.
    """
    pairs = [cell.lstrip('+-').partition(',') for cell in cells]
    return bool(pairs) and all(
        len(back) == 3 and 1 <= len(front) <= 3 and not front.startswith('0')
        for front, _, back in pairs
    )


def as_number(cell: str, kind: str) -> str | None:
    """Return the number that a cell of some kind stands for.

    Parameters
    ----------
    cell : str
        As written.
    kind : str
        From `kind_of`.

    Returns
    -------
    str or None
        With a decimal point; None where the cell stands for none.

    Examples
    --------
    >>> as_number('3,5', 'comma'), as_number('300 mg', 'measured'), as_number('>=57', 'censored')
    ('3.5', '300', None)
    >>> as_number('45y6m', 'part'), as_number('P540M', 'part'), as_number('>89', 'capped')
    ('45.5', '45.0', '89')
    """
    if kind == 'unit':
        found = _YEARS.fullmatch(cell)
        return None if found is None else (found[1] or found[2]).replace(',', '.')
    if kind == 'part':
        return _in_years(cell)
    if kind == 'grouped':
        return _without_groups(cell)
    if kind == 'measured':
        found = _UNIT.fullmatch(cell)
        return None if found is None else found[1].replace(',', '.')
    if kind == 'capped':
        found = _CAPPED_AGE.fullmatch(cell)
        return cell.rstrip('+ ') if found is None else found[1] or found[2]
    plain = {'comma': cell.replace(',', '.'), 'percent': cell.rstrip('% ').replace(',', '.')}
    return plain.get(kind)


def _in_years(cell: str) -> str | None:
    """Return an age in parts of years as years, with all digits."""
    if found := _YEARS_AND_MONTHS.fullmatch(cell):
        amounts = [found[1] or found[3], found[2] or found[4], None, None]
    elif found := _PARTS_OF_YEARS.fullmatch(cell):
        amounts = [None, *(found[1] if word else None for word in found.groups()[1:])]
    elif found := _ISO_DURATION.fullmatch(cell):
        amounts = list(found.groups())
    else:
        return None
    pairs = zip(amounts, _PER_YEAR, strict=True)
    return repr(sum(float(a.replace(',', '.')) / per for a, per in pairs if a is not None))


def _without_groups(cell: str) -> str:
    """Return a number without what parts its thousands; the last other sign is decimal.

    A sign that stands several times parts thousands, and so does a comma without a point.
    """
    plain = re.sub(r"['\u2019 ]", '', cell)
    marks = [sign for sign in plain if sign in '.,']
    decimal = marks[-1] if len(set(marks)) == 2 or (marks and plain != cell) else ''
    if not decimal:
        return plain.replace('.', '').replace(',', '')
    whole, _, rest = plain.rpartition(decimal)
    return f'{whole.replace(".", "").replace(",", "")}.{rest}'
