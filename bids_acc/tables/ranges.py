"""Which values a column can have: as its sidecar declares, or as the scale is defined."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bids_acc.tables.reading import number


@dataclass(frozen=True)
class Range:
    """Lowest and highest value that is possible."""

    low: float
    high: float
    source: str
    """Where the limits are from, for messages."""

    def holds(self, value: float) -> bool:
        """Tell whether a value lies inside; the limits do.

        Parameters
        ----------
        value : float
            In the unit of the range; NaN lies outside.
        """
        return self.low <= value <= self.high

    def __str__(self) -> str:
        """Return the limits in words."""
        if self.high == float('inf'):
            return f'{self.low:g} or above ({self.source})'
        return f'{self.low:g} to {self.high:g} ({self.source})'


_AGE = (0.0, 120.0)
AGE_NAMES = (
    r'age|age_?(at)?_?(scan|scanning|baseline|entry|mri|visit|inclusion|enrol?ment|assessment|test)|'
    r'age_?(in)?_?(years?|yrs?|y)|alter|alter_jahre|alter_in_jahren|\u00e2ge|edad|leeftijd|idade|'
    r'\u00e5lder|wiek|et\u00e0'
)
"""Names of the column of ages, in some languages; without case, other signs as ``_``."""
AGE_IN_PARTS = r'age_?(?:at_(?:scan|mri)_?)?(?:in)?_?(?:months?|mo|weeks?|days?)|alter_in_monaten'
"""Names of ages in parts of years."""
BIRTH_NAMES = (
    r'dob|birth_?(?:date|day)|date_?of_?birth|year_?of_?birth|birth_?year|geburts(?:datum|jahr)'
)
"""Names of columns that hold when somebody was born."""
_AMOUNT = (0.0, float('inf'))
_DURATIONS = (
    r'(?!.*(?:change|delta|diff|log)).*(?:duration|dup)_?(?:of_\w+?)?_?'
    r'(?:days?|weeks?|months?|wks?|mo|hours?)'
)
_DOSES = (
    r'(?!.*(?:change|delta|diff|log)).*(?:dose|dosage|cpz|chlorpromazine_equivalents?)'
    r'(?:_?(?:mg|g|eq|equivalents?|per_day|day|daily|total))*'
)
KNOWN: tuple[tuple[str, tuple[float, float], str], ...] = (
    (AGE_NAMES, _AGE, 'years'),
    (r'(age_?(of|at)?_?)?onset|(illness_?)?duration(_of_illness)?(_?years?)?', _AGE, 'years'),
    (_DURATIONS, _AMOUNT, 'durations'),
    (_DOSES, _AMOUNT, 'doses'),
    (AGE_IN_PARTS, _AMOUNT, 'ages'),
    (r'education(_?years)?|years_of_education', (0.0, 40.0), 'years'),
    (r'(fs)?iq|wais|wasi|nart', (20.0, 220.0), 'intelligence quotient'),
    (r'panss(_?total)?(_score)?', (30.0, 210.0), 'PANSS total, Kay 1987'),
    (r'panss_?(pos|p|positive|neg|n|negative)(_score|_total)?', (7.0, 49.0), 'PANSS, Kay 1987'),
    (r'panss_?(gen|g|general|gps)(_score|_total)?', (16.0, 112.0), 'PANSS, Kay 1987'),
    (r'panss_?[png]\d+', (1.0, 7.0), 'PANSS item, Kay 1987'),
    (r'madrs(_?total)?', (0.0, 60.0), 'MADRS, Montgomery and Asberg 1979'),
    (r'bdi(_?(ii|2))?(_?total)?', (0.0, 63.0), 'BDI, Beck 1996'),
    (r'ymrs(_?total)?', (0.0, 60.0), 'YMRS, Young 1978'),
    (r'gaf(_?(s|f|total))?', (0.0, 100.0), 'GAF, DSM-IV'),
    (r'cgi(_?[si])?', (0.0, 7.0), 'CGI, Guy 1976; 0 is not assessed'),
)  # fmt: skip
"""Names of columns and the limits of what they hold. A scale that is scored otherwise is declared
with Minimum and Maximum in the table's JSON file."""
_UNITS_PER_YEAR = {'day': 366.0, 'd': 366.0, 'week': 53.0, 'w': 53.0, 'month': 12.0, 'mo': 12.0}
CODES = frozenset({
    -9.0, -77.0, -88.0, -99.0, -777.0, -888.0, -999.0, -9998.0, -9999.0, -99999.0, 777.0, 888.0,
    999.0, 8888.0, 9999.0, 99999.0,
})  # fmt: skip
"""Numbers that are customary for missing where numbers only are allowed."""
WORD_CODES = CODES | {-1.0, -7.0, -8.0, 9.0, 77.0, 88.0, 99.0}
"""Those that are customary for missing among words or codes of a few levels."""


SEX_NAMES = ('sex', 'gender', 'geschlecht', 'sexe', 'sexo', 'sesso', 'geslacht', 'k\u00f6n')
"""Names of the column of sex, in some languages."""
SEXES: Mapping[str, str] = {
    **dict.fromkeys(('m', 'male', 'man', 'm\u00e4nnlich', 'maennlich', 'mann', 'homme', 'masculin',
                     'hombre', 'masculino', 'maschio', 'uomo', 'mannelijk', '\u7537',
                     '\u7537\u6027'), 'M'),
    **dict.fromkeys(('f', 'w', 'female', 'woman', 'weiblich', 'frau', 'femme', 'f\u00e9minin',
                     'feminin', 'mujer', 'femenino', 'feminino', 'femmina', 'donna', 'vrouw',
                     'vrouwelijk', '\u5973', '\u5973\u6027'), 'F'),
}  # fmt: skip
"""Words for the sexes and how BIDS writes them."""


def plain_name(column: str) -> str:
    """Return the name of a column without case, with ``_`` for other signs: ``Age at MRI``.

    Parameters
    ----------
    column : str
        Header of a table.

    Returns
    -------
    str
        What the known ranges are looked up by, such as ``age_at_mri``.
    """
    return re.sub(r'\W+', '_', column.strip().casefold()).strip('_')


def range_of(column: str, description: object = None) -> Range | None:
    """Return the possible values of a column, or None when nothing is known about it.

    Parameters
    ----------
    column : str
        Its name.
    description : mapping, optional
        Its entry in the table's JSON file: ``Minimum`` and ``Maximum`` win, ``Units`` other than
        years widens a range in years.

    Examples
    --------
    >>> print(range_of('age')), print(range_of('age', {'Minimum': 18, 'Maximum': 65}))
    0 to 120 (years)
    18 to 65 (declared)
    (None, None)
    """
    entry = description if isinstance(description, Mapping) else {}
    low, high = (_limit(entry.get(name)) for name in ('Minimum', 'Maximum'))
    # declared limits stand above the customary ones: some score PANSS from 0
    if low is not None or high is not None:
        return Range(
            float('-inf') if low is None else low, float('inf') if high is None else high,
            'declared',
        )  # fmt: skip
    name = plain_name(column)
    for pattern, (least, most), source in KNOWN:
        if re.fullmatch(pattern, name):
            factor = _per_year(entry.get('Units')) if source == 'years' else 1.0
            return Range(least, most * factor, source if factor == 1 else str(entry['Units']))
    return None


def birth_hint(columns: Iterable[str]) -> str:
    """Say that ages can be computed, where a table tells when people were born.

    Parameters
    ----------
    columns : iterable of str
        Of the table.

    Returns
    -------
    str
        A sentence with a blank in front; empty without such a column.

    Examples
    --------
    >>> birth_hint(['sex', 'Date of birth'])
    ' Date of birth tells when people were born: write their ages at the scan in a column age.'
    """
    born = [str(c) for c in columns if re.fullmatch(BIRTH_NAMES, plain_name(str(c)))]
    if not born:
        return ''
    return f' {born[0]} tells when people were born: write their ages at the scan in a column age.'


def _limit(value: object) -> float | None:
    """Read a declared limit; one that is no number declares nothing."""
    return None if value is None or isinstance(value, bool) else number(str(value))


def _per_year(units: object) -> float:
    """Return how many of a unit of time make a year; 1 for what is not known."""
    word = str(units or '').strip().lower()
    return _UNITS_PER_YEAR.get(word, _UNITS_PER_YEAR.get(word.rstrip('s'), 1.0))


def is_code(value: float, others: list[float]) -> bool:
    """Tell whether a value is a customary code for missing that the others show to be one.

    A negative code counts where no other value is negative, 999 and its like where all others
    are less than a fifth of it.

    Parameters
    ----------
    value : float
        Number in doubt.
    others : list of float
        The other values of the column that are known, without repetitions of this one.

    Returns
    -------
    bool
        Always False unless the value is one of `CODES` and there are others to compare it with.

    Examples
    --------
    >>> is_code(-9, [3, 4]), is_code(-9, [-3, 4]), is_code(999, [40]), is_code(999, [800])
    (True, False, True, False)
    """
    if value not in CODES or not others:
        return False
    # -9 among values that can be negative, or 999 among hundreds, is a value
    return min(others) >= 0 if value < 0 else max(map(abs, others)) < value / 5
