"""Tables of treatment trials and of ratings: read, checked row by row, and kept as they are.

The format is described by ``data/clinical/history_schema.json``. A misspelt column would count
as missing evidence, so a name close to a known one is refused.
"""

from __future__ import annotations

import difflib
import json
import logging
import math
import re
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import jsonschema
import pandas as pd

from bids_acc.clinical.equivalents import load_equivalents, normal_name
from bids_acc.clinical.written import REMEDIES, amount, generic_name, why_no_drug
from bids_acc.exceptions import InputDataError, MissingInputError
from bids_acc.files.reading import reads
from bids_acc.tables.labels import with_prefix
from bids_acc.tables.missing import is_missing
from bids_acc.tables.reading import INVISIBLE, read_raw

LOGGER = logging.getLogger(__name__)
Kind = Literal['trial', 'rating']
Record = Mapping[str, Any]
TRUE_WORDS = frozenset({'true', 'yes', 'y', '1', '1.0'})
FALSE_WORDS = frozenset({'false', 'no', 'n', '0', '0.0'})


@dataclass(frozen=True)
class History:
    """What is on record about one participant."""

    participant_id: str
    """Participant."""
    trials: tuple[Record, ...] = ()
    """Treatment trials in time order; a column without a value is absent."""
    rating: Record = field(default_factory=dict)
    """Ratings and statements about the whole history."""

    def panss(self, *items: str) -> dict[str, float]:
        """Return the scores of PANSS items such as ``p1``; NaN when missing.

        Parameters
        ----------
        *items : str
            Names without prefix, such as ``p1``.

        Returns
        -------
        dict of str to float
            1 (absent) to 7 (extreme); NaN where an item was not rated.
        """
        return {item: float(self.rating.get(f'panss_{item}', math.nan)) for item in items}


@cache
def history_schema() -> dict[str, Any]:
    """Return the JSON schema of the two tables."""
    file = resources.files('bids_acc') / 'data' / 'clinical' / 'history_schema.json'
    return dict(json.loads(file.read_text(encoding='utf-8')))


_NOTHING = frozenset({'none', 'nil', 'undetermined'})
"""Of a drug, a dose or an answer: there is none."""


def _convert(name: str, value: object, rule: Mapping[str, object]) -> object:
    """Turn a cell into the type that the schema asks for; None when it is missing."""
    text = ' '.join(str(value).split())
    numeric = rule.get('type') in ('number', 'integer')
    if is_missing(text, among_numbers=numeric) or text.casefold() in _NOTHING:
        return None
    if rule.get('type') == 'boolean':
        lower = text.lower()
        return lower in TRUE_WORDS if lower in TRUE_WORDS | FALSE_WORDS else text
    if numeric:
        found = amount(name, text)[0]
        return text if found is None else int(found) if found.is_integer() else found
    return text.lower() if 'enum' in rule else text


_DATES = re.compile(r'start|stop|begin|end|date|from|until', re.IGNORECASE)


def _check_columns(columns: list[str], known: list[str], where: str) -> None:
    """Refuse a column whose name is nearly a known one; log what is not used."""
    for name in columns:
        if name in known:
            continue
        # a misspelt column would be read as missing evidence, and everybody become undetermined
        close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.85)
        if close or name.lower().startswith('panss_'):
            meant = close[0] if close else 'panss_p1'
            raise InputDataError(f'{where}: unknown column {name!r}; did you mean {meant!r}?')
        dates = _DATES.search(name) is not None
        more = ': how long a trial was is read from weeks' if dates else ''
        LOGGER.log(logging.WARNING if dates else logging.INFO, '%s: column %s is not used%s',
                   where, name, more)  # fmt: skip


def read_records(
    table: pd.DataFrame, kind: Kind, where: str = 'table', drugs: Collection[str] = ()
) -> list[Record]:
    """Check a table against the schema and return its rows without missing values.

    Parameters
    ----------
    table : DataFrame
        Cells as text, numbers or truth values.
    kind : {'trial', 'rating'}
        Which part of the schema applies.
    where : str
        File, for messages.
    drugs : collection of str
        Generic names of antipsychotics besides those of the shipped table of equivalents.

    Returns
    -------
    list of mapping
        One for each row; antipsychotics by their generic names.

    Raises
    ------
    InputDataError
        Naming file, rows, columns and what is wrong.
    """
    schema = history_schema()['$defs'][kind]
    rules = schema['properties']
    _check_columns([str(c) for c in table.columns], list(rules), where)
    validator = jsonschema.Draft202012Validator(schema)
    known = {key[1] for key in load_equivalents()} | set(drugs)
    records: list[Record] = []
    wrong: list[str] = []
    for number, row in enumerate(table.to_dict('records'), start=2):
        record = _record(row, rules)
        wrong += [f'line {number}, {text}' for text in _named(record, known)]
        wrong += [f'line {number}, {_sentence(error)}' for error in validator.iter_errors(record)]
        records.append(record)
    if wrong:
        more = f'; {len(wrong) - 3} more' if len(wrong) > 3 else ''
        raise InputDataError(f'{where}, {"; ".join(wrong[:3])}{more}.')
    _refuse_shares(records, where)
    return records


def _sentence(error: jsonschema.ValidationError) -> str:
    """Say what is wrong with a cell, and what to write where it may mean two things."""
    column = '.'.join(str(part) for part in error.path) or 'row'
    text = f'{column}: {error.message}'
    return f'{text} ({REMEDIES[column]})' if column in REMEDIES else text


def _named(record: dict[str, object], known: Collection[str]) -> Iterator[str]:
    """Give an antipsychotic its generic name; say why where a cell cannot be one drug."""
    if 'drug' not in record or record.get('drug_class', 'antipsychotic') != 'antipsychotic':
        return
    name = generic_name(normal_name(str(record['drug'])), known)
    if reason := why_no_drug(name, known):
        yield f'drug: {record["drug"]!r} {reason}'
    if name in known:
        record['drug'] = name


def _refuse_shares(records: Sequence[Record], where: str) -> None:
    """Refuse columns in per cent that hold shares: .9 would be less than one per cent."""
    for column in ('adherence_pct', 'reduction_pct'):
        held = {r['participant_id']: r[column] for r in records if column in r}
        if any(abs(v) > 1 for v in held.values()):
            continue
        if shares := [f'{v:g} of {who}' for who, v in held.items() if v % 1]:
            raise InputDataError(
                f'{where}, {column}: no value is above 1 ({shares[0]}), so these are shares; '
                'write per cent (90 for .9).'
            )


def _record(
    row: Mapping[Hashable, object], rules: Mapping[str, Mapping[str, object]]
) -> dict[str, Any]:
    """Convert the known cells of a row, leaving out the missing ones."""
    cells = {name: _convert(name, row[name], rule) for name, rule in rules.items() if name in row}
    return {name: value for name, value in cells.items() if value is not None}


def read_otherwise(table: pd.DataFrame, drugs: Collection[str] = ()) -> list[str]:
    """Say which cells of a table of trials or ratings are read otherwise than they stand there.

    Parameters
    ----------
    table : DataFrame
        Cells as text.
    drugs : collection of str
        Generic names of antipsychotics besides those of the shipped table of equivalents.

    Returns
    -------
    list of str
        A sentence for each column, naming some.
    """
    known = {key[1] for key in load_equivalents()} | set(drugs)
    notes = []
    for column in table:
        cells = [' '.join(str(cell).split()) for cell in table[column].dropna()]
        read = dict[str, str]()
        for cell in cells:
            if column == 'drug' and (name := generic_name(normal_name(cell), known)) in known:
                read |= {cell: name} if name != normal_name(cell) else {}
            elif (found := amount(str(column), cell))[1]:
                read[cell] = f'{found[0]:g}'
        if read:
            pairs = [f'{cell} as {value}' for cell, value in read.items()]
            more = f' and {len(pairs) - 5} more' if len(pairs) > 5 else ''
            notes.append(f'{column}: {", ".join(pairs[:5])}{more}')
    return notes


@reads('table', 'save it as tab-separated text')
def read_table(path: Path) -> pd.DataFrame:
    """Read a tab-separated phenotype table as text.

    Parameters
    ----------
    path : Path
        Encodings and line ends as `bids_acc.tables.reading.read_raw` takes them.

    Returns
    -------
    DataFrame
        All cells as text, without blanks at their ends; ``participant_id`` with its prefix.

    Raises
    ------
    MissingInputError
        If there is no such file.
    InputDataError
        If a row has more or fewer cells than the header.
    """
    if not path.exists():
        raise MissingInputError(f'{path} does not exist; give the table of treatment trials.')
    raw = read_raw(path)
    cells = [[cell.strip(INVISIBLE) for cell in row] for row in raw.rows]
    frame = pd.DataFrame(cells, columns=list(raw.header), dtype=str)
    if 'participant_id' in frame:
        frame['participant_id'] = [with_prefix(who, 'sub-') for who in frame['participant_id']]
    return frame


def collect_histories(
    trials: pd.DataFrame, ratings: pd.DataFrame, *,
    names: tuple[str, str] = ('trials', 'ratings'), drugs: Collection[str] = (),
) -> list[History]:  # fmt: skip
    """Join trials and ratings of each participant.

    Parameters
    ----------
    trials : DataFrame
        One row per trial.
    ratings : DataFrame
        One row per participant.
    names : (str, str)
        Files, for messages.
    drugs : collection of str
        Names of drugs besides those of the shipped table.

    Returns
    -------
    list of History
        By participant, in alphabetical order.

    Raises
    ------
    InputDataError
        If a row breaks the schema, or a participant has two rows of ratings.
    """
    by_participant: dict[str, list[Record]] = {}
    for record in read_records(trials, 'trial', names[0], drugs):
        by_participant.setdefault(record['participant_id'], []).append(record)
    rated: dict[str, Record] = {}
    for record in read_records(ratings, 'rating', names[1]):
        # which of two ratings is that at the scan cannot be told from the table
        if record['participant_id'] in rated:
            raise InputDataError(
                f'{names[1]}: {record["participant_id"]} stands twice; keep the rating at the '
                'time of the scan.'
            )
        rated[record['participant_id']] = record
    return [
        History(
            who,
            tuple(sorted(by_participant.get(who, []), key=lambda r: r.get('trial', 0))),
            rated.get(who, {}),
        )
        for who in sorted({*by_participant, *rated})
    ]
