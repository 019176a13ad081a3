"""Doses, times and names of drugs as people write them in a treatment history.

A unit that leaves no doubt is taken into account; what may be meant in two ways (``150 mg bid``)
is refused, because a dose that is wrong by a factor changes the group of a patient.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from types import MappingProxyType

_MONTH_WEEKS = 365.25 / 12 / 7
"""Weeks of a month (Julian year of the IAU)."""
_NUMBER = r'([+-]?\d+(?:[.,]\d+)?)'
_A_DAY = (
    r'(?: ?(?:/|per|a|pro|par) ?(?:d|day|die|24 ?h|tag|jour)| ?daily| ?t\u00e4glich| ?od| ?qd)?'
)
_DAYS, _WEEKS = r'd|days?|tagen?|jours?', r'w|wk|wks|weeks?|wochen?|semaines?'
_MONTHS, _YEARS = r'mo|mos|mths?|months?|monaten?|mois', r'y|yrs?|years?|jahren?|ans?'
_IN_MONTHS = MappingProxyType({_WEEKS: 1 / _MONTH_WEEKS, _MONTHS: 1.0, _YEARS: 12.0})
UNITS: Mapping[str, Mapping[str, float]] = MappingProxyType({
    'dose_mg': {
        rf'mg{_A_DAY}': 1.0, rf'(?:g|gr|gram|grams){_A_DAY}': 1000.0,
        rf'(?:mcg|[\u00b5\u03bc]g|ug){_A_DAY}': 0.001,
    },
    'weeks': {_DAYS: 1 / 7, _WEEKS: 1.0, _MONTHS: _MONTH_WEEKS, _YEARS: 12 * _MONTH_WEEKS},
    'interval_days': {_DAYS: 1.0, _WEEKS: 7.0},
    'adherence_pct': {'%|percent|per cent': 1.0},
    'reduction_pct': {'%|percent|per cent': 1.0},
    'plasma_ng_ml': {r'ng/ml|[\u00b5\u03bcu]g/l|mcg/l': 1.0},
    'episode_months': _IN_MONTHS, 'months_without_improvement': _IN_MONTHS,
    'months_without_relapse': _IN_MONTHS, 'months_in_remission': _IN_MONTHS,
})  # fmt: skip
"""By column of a history: patterns of units, and how many of the column's own unit one is."""
_EVERY_WEEKS = re.compile(r'(?:q|every ?)(\d*) ?(?:w|wk|wks|weeks?)', re.IGNORECASE)
"""How intervals of depots are prescribed: ``q2w``, ``every 4 weeks``."""


def amount(column: str, text: str) -> tuple[float | None, bool]:
    """Return a number with its unit in the unit of its column.

    Parameters
    ----------
    column : str
        Of a table of trials or ratings.
    text : str
        Cell.

    Returns
    -------
    value : float or None
        None where the cell is no number, or its unit leaves doubts.
    converted : bool
        Whether a unit or a decimal comma was read.

    Examples
    --------
    >>> (
    ...     amount('dose_mg', '0.3 g/day'),
    ...     amount('dose_mg', '300 mg'),
    ...     amount('dose_mg', '150 mg bid'),
    ... )
    ((300.0, True), (300.0, True), (None, False))
    >>> amount('interval_days', 'q2w'), amount('weeks', '6 weeks'), amount('weeks', '6')
    ((14.0, True), (6.0, True), (6.0, False))
    """
    plain = re.fullmatch(_NUMBER, text)
    if plain:
        return float(text.replace(',', '.')), ',' in text
    if column == 'interval_days' and (found := _EVERY_WEEKS.fullmatch(text)):
        return 7.0 * float(found[1] or 1), True
    for unit, factor in UNITS.get(column, {}).items():
        if found := re.fullmatch(rf'{_NUMBER} ?(?:{unit})\.?', text, re.IGNORECASE):
            return float(found[1].replace(',', '.')) * factor, True
    return None, False


REMEDIES: Mapping[str, str] = MappingProxyType({
    'dose_mg': 'write mg per day as a number (150 mg twice a day is 300), for depots mg per '
    'injection',
    'weeks': 'write weeks as a number',
    'interval_days': 'write the days between injections as a number',
})  # fmt: skip
"""What to write in place of a cell that may mean two things."""

TRADE_NAMES: Mapping[str, str] = MappingProxyType({
    'abilify': 'aripiprazole', 'cisordinol': 'zuclopenthixol', 'clopixol': 'zuclopenthixol',
    'clozaril': 'clozapine', 'denzapine': 'clozapine', 'leponex': 'clozapine',
    'zaponex': 'clozapine', 'versacloz': 'clozapine', 'fazaclo': 'clozapine',
    'dogmatil': 'sulpiride', 'fluanxol': 'flupenthixol', 'geodon': 'ziprasidone',
    'zeldox': 'ziprasidone', 'haldol': 'haloperidol', 'haldol decanoate': 'haloperidol decanoate',
    'invega': 'paliperidone', 'largactil': 'chlorpromazine', 'thorazine': 'chlorpromazine',
    'loxitane': 'loxapine', 'mellaril': 'thioridazine', 'melleril': 'thioridazine',
    'navane': 'thiothixene', 'orap': 'pimozide', 'prolixin': 'fluphenazine',
    'risperdal': 'risperidone', 'risperdal consta': 'risperidone microspheres',
    'saphris': 'asenapine', 'sycrest': 'asenapine', 'serdolect': 'sertindole',
    'seroquel': 'quetiapine', 'solian': 'amisulpride', 'stelazine': 'trifluoperazine',
    'trilafon': 'perphenazine', 'zyprexa': 'olanzapine',
})  # fmt: skip
"""Trade names, as the labels of FDA and EMA have them, of drugs in the table of equivalents."""
OTHER_NAMES: Mapping[str, str] = MappingProxyType({
    'flupentixol': 'flupenthixol', 'flupentixol decanoate': 'flupenthixol decanoate',
    'tiotixene': 'thiothixene', 'clothiapine': 'clotiapine', 'clorpromazine': 'chlorpromazine',
})  # fmt: skip
"""Other spellings; the first two are the international nonproprietary names (WHO)."""
_FORM = re.compile(
    r' (?:xr|xl|sr|er|mr|prolong|velotab|zydis|odt|m-tab|hydrochloride|hcl|tablets?|oral)$'
)
_SEVERAL = re.compile(r' ?[+&;/,] ?| and | with | plus | und | et ')
CLOSE = 0.9
"""Similarity (difflib) from which a name is taken for a typing error (own convention)."""


def generic_name(drug: str, known: Collection[str]) -> str:
    """Return the generic name of a drug as the table of equivalents writes it.

    Parameters
    ----------
    drug : str
        In small letters, single blanks.
    known : collection of str
        Names in the table.

    Returns
    -------
    str
        The same where nothing is known of it.

    Examples
    --------
    >>> known = ['clozapine', 'olanzapine', 'risperidone']
    >>> [generic_name(d, known) for d in ('clozaril', 'zyprexa zydis', 'olanzapin', 'risperidona')]
    ['clozapine', 'olanzapine', 'olanzapine', 'risperidone']
    """
    if drug in known:
        return drug
    bare = _FORM.sub('', drug)
    for name in (bare, TRADE_NAMES.get(bare), OTHER_NAMES.get(bare), f'{bare}e',
                 re.sub('a$', 'e', bare)):  # fmt: skip
        if name is not None and name in known:
            return name
    return drug


def why_no_drug(drug: str, known: Collection[str]) -> str:
    """Say why a name cannot be one drug; empty for a drug that the table does not have.

    Parameters
    ----------
    drug : str
        From `generic_name`.
    known : collection of str
        Names in the table.

    Returns
    -------
    str
        What to do.

    Examples
    --------
    >>> why_no_drug('olanzapine+clozapine', ['clozapine', 'olanzapine'])
    'holds several drugs; write a row for each'
    >>> why_no_drug('olanzepine', ['olanzapine']), why_no_drug('perazine', ['olanzapine'])
    ("is no drug of the table of equivalents; did you mean 'olanzapine'?", '')
    """
    if drug in known:
        return ''
    parts = [part for part in _SEVERAL.split(drug) if part]
    if len(parts) > 1 and any(generic_name(part, known) in known for part in parts):
        return 'holds several drugs; write a row for each'
    close = difflib.get_close_matches(drug, list(known), n=1, cutoff=CLOSE)
    return f'is no drug of the table of equivalents; did you mean {close[0]!r}?' if close else ''
