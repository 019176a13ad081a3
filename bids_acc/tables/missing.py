"""Words that mean that a value is not known."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from bids_acc.tables.reading import INVISIBLE

_WORDS = """
, n/a, na, n.a., n.a, n / a, n\\a, nan, -nan, nat, null, missing, unknown, unkn, unk, undef,
undefined,
not known, not available, not applicable, not recorded, not reported, not assessed, not done,
not measured, not collected, not entered, not specified, unspecified, no data, nodata, no value,
no entry, missing data, missing value, blank, empty, withheld, undisclosed, prefer not to say,
prefer not to answer, prefer not to disclose, tbd, to be determined,
., .., ..., -, --, ---, \u2013, \u2014, \u2026, \u2205, ?, ??, ???, /, //, *, **,
#n/a n/a, #na, 1.#ind, 1.#qnan, -1.#ind, -1.#qnan,
inconnu, inconnue, manquant, manquante, donnée manquante, données manquantes, non renseigné,
non renseignée, non connu, non connue, non disponible, non applicable, non mesuré, sans objet,
unbekannt, fehlt, fehlend, fehlender wert, k.a., k. a., keine angabe, keine angaben, keine daten,
nicht bekannt, nicht erhoben, nicht gemessen, nicht verfügbar, nicht zutreffend, entfällt,
desconocido, desconocida, sin dato, sin datos, no disponible, no consta, no aplica, no procede,
faltante, sconosciuto, sconosciuta, mancante, dato mancante, non noto, non nota, non disponibile,
desconhecido, desconhecida, não informado, não disponível, não se aplica, sem dados, ignorado,
onbekend, ontbreekt, ontbrekend, niet bekend, geen gegevens, niet beschikbaar,
okänd, okänt, saknas, ukjent, ikke kjent, ukendt, mangler, tuntematon, nieznany, nieznane,
brak danych, neznámý, ismeretlen, bilinmiyor, неизвестно, нет данных,
不明, 欠損, 未測定, 未記入, 未知, 缺失, 不详, 无数据, 미상, 결측
"""
WORDS = frozenset(' '.join(word.split()) for word in _WORDS.split(','))
"""In small letters: BIDS' own, those of R, pandas, SPSS, SAS, MATLAB and Excel, and plain words of
some languages.

``none`` is not among them: of medication, say, it is an answer; nor ``NR``, of a non-responder."""
_AMONG_NUMBERS = frozenset({
    'none', 'nil', 'undetermined', 'nd', 'n.d.', 'n.d', 'n/d', 'nr', 'n.r.', 'n/r', 'ns', 'nsp',
    'nk', 'x', 'xx', 'xxx', 'brak', 'geen', 'aucun', 'aucune', 'kein', 'keine', 'keiner',
    'ninguno', 'nessuno', 'dropout', 'drop-out', 'dropped out', 'withdrawn', 'refused',
    'declined', 'lost',
})  # fmt: skip
"""Words that may be levels (of medication, a response): missing among numbers only."""
_OF_SPREADSHEETS = re.compile(r'#\S+[!?]|#n/?[adv]|err:\d+', re.IGNORECASE)
"""Errors in cells of Excel and LibreOffice, in any language (``#VALUE!``, ``#WERT!``, ``#NV``)."""
_BRACKETS = '<>()[]{}'
MEANS_MISSING = re.compile(
    r'(missing( data| values?)?|unknown|n/?a|not (known|available|applicable|recorded|reported|'
    r'assessed|done|measured|collected|specified)|no (data|answer)|refused|declined|'
    r'did not answer|(refused|declined|prefers?( not)?) to (answer|say|respond|disclose))'
    r'\s*($|[^\w\s]|(or|because|by|due|for|at|in)\b)',
    re.IGNORECASE,
)
"""Descriptions of a level that say that nothing is known; ``unknown aetiology`` is a level."""
_SHORTEST_HEAD = 6
"""Letters of a word that says so before a remark (``unknown (claustrophobia)``); shorter ones may
be the beginning of anything."""


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
    >>> [is_missing(word) for word in ('<NA>', 'unbekannt', '#NV', 'unknown/not reported', 'NR')]
    [True, True, True, True, False]
    """
    return _is_missing(text, among_numbers)


@lru_cache(maxsize=10_000)
def _is_missing(text: str, among_numbers: bool) -> bool:
    """Answer `is_missing`; the same few cells are asked about over and over."""
    word = ' '.join(text.strip(INVISIBLE).casefold().split())
    bare = word.strip(_BRACKETS).strip()
    if bare in WORDS or _OF_SPREADSHEETS.fullmatch(word):
        return True
    # 'none' in a column of doses is missing, in one of drugs an answer
    if among_numbers and bare in _AMONG_NUMBERS:
        return True
    head = re.split(r'\s*[/,;:(]|\s-', bare)[0]
    return len(head) >= _SHORTEST_HEAD and head in WORDS


def declared_missing(description: object) -> tuple[frozenset[str], frozenset[str]]:
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
