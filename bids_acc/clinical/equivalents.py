"""Chlorpromazine equivalents of antipsychotic doses, from a table that can be replaced.

The shipped table (``data/clinical/chlorpromazine.tsv``) names the source of each row. Its methods
disagree with one another, as the literature does: quote the method with the dose.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import pandas as pd

from bids_acc.exceptions import InputDataError
from bids_acc.tables.reading import read_tsv

COLUMNS = ('method', 'drug', 'route', 'dose_mg', 'interval_days', 'cpz_mg', 'source', 'identifier')
"""Columns that a table of equivalents must have."""
SIZES = ('dose_mg', 'interval_days', 'cpz_mg')
"""Those that hold numbers."""
TEXT = frozenset(COLUMNS) - set(SIZES)
"""Those that are text whatever they hold."""

SHORT = ('drug', 'equivalent', 'source')
"""Columns of a short table: mg per day that equal 100 mg of chlorpromazine, and who says so."""
OWN_METHOD = 'own table'
"""Method of all rows of a short table, whatever method is asked for."""
DEFAULT_METHOD = 'gardner2010'
"""International consensus of Gardner et al. 2010, doi:10.1176/appi.ajp.2009.09060802."""


@dataclass(frozen=True)
class Equivalent:
    """One row of the table: this dose of the drug equals that of chlorpromazine."""

    dose_mg: float
    """Dose, in mg per day (oral) or per injection (depot)."""
    interval_days: float
    """Days between injections; 1 for oral drugs."""
    cpz_mg: float
    """Equal daily dose of oral chlorpromazine, in mg."""
    source: str
    """Where the value stands."""


Table = Mapping[tuple[str, str, str], Equivalent]


def load_equivalents(path: Path | None = None) -> dict[tuple[str, str, str], Equivalent]:
    """Read a table of equivalents.

    Parameters
    ----------
    path : Path, optional
        Table with the columns of `COLUMNS`, tab-separated; the shipped one by default. Or a short
        one with those of `SHORT`, and ``route`` and ``interval_days`` where it has depots (their
        ``equivalent`` is mg per injection).

    Returns
    -------
    dict
        From (method, drug, route) to `Equivalent`.

    Raises
    ------
    InputDataError
        If a column is missing, a dose is not positive, a row has no source or stands twice.

    Examples
    --------
    >>> load_equivalents()['gardner2010', 'olanzapine', 'oral'].cpz_mg
    600.0
    """
    file = Path(str(path or resources.files('bids_acc') / 'data/clinical/chlorpromazine.tsv'))
    # names of drugs and sources stay text, also where all of a column happen to be numbers
    rows = read_tsv(file, text=TEXT)
    if set(SHORT) <= set(rows) and 'cpz_mg' not in rows:
        rows = _completed(rows)
    if missing := [c for c in COLUMNS if c not in rows]:
        raise InputDataError(f'{file}: column {missing[0]!r} is missing.')
    table: dict[tuple[str, str, str], Equivalent] = {}
    for number, row in enumerate(rows.to_dict('records'), start=2):
        key = (str(row['method']), normal_name(str(row['drug'])), str(row['route']))
        dose, days, cpz = (_size(file, number, name, row[name]) for name in SIZES)
        entry = Equivalent(dose, days, cpz, '' if pd.isna(row['source']) else str(row['source']))
        # an equivalent without a source cannot be defended in a paper: methods disagree
        if not all(np.isfinite(s) and s > 0 for s in (dose, days, cpz)) or not entry.source:
            raise InputDataError(f'{file}: line {number} lacks a positive dose or its source.')
        if key in table:
            raise InputDataError(f'{file}: {" ".join(key)} stands twice (line {number}).')
        table[key] = entry
    return table


def _size(file: Path, line: int, column: str, cell: object) -> float:
    """Read a number of a table that somebody wrote; NaN where it is missing."""
    try:
        return float(cell)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise InputDataError(
            f'{file}: line {line}, {column}: {cell!r} is no number; write a decimal point.'
        ) from error


def _completed(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a short table with the columns of a whole one."""
    nothing = pd.Series(np.nan, index=rows.index, dtype=object)
    route = rows.get('route', nothing).fillna('oral')
    # a depot without its interval is refused below, like any row without a number
    days = rows.get('interval_days', nothing).where(route != 'oral', 1.0)
    return rows.assign(
        method=OWN_METHOD, route=route, interval_days=days, identifier='',
        dose_mg=rows['equivalent'], cpz_mg=100.0,
    )  # fmt: skip


def normal_name(drug: str) -> str:
    """Return the name by which a drug is looked up.

    Parameters
    ----------
    drug : str
        As it was typed.

    Returns
    -------
    str
        Lower case, single blanks, no underscores.

    Examples
    --------
    >>> normal_name(' Haloperidol  Decanoate ')
    'haloperidol decanoate'
    """
    return ' '.join(drug.lower().replace('_', ' ').split())


def chlorpromazine_equivalent(
    drug: str,
    dose_mg: float,
    *,
    route: str = 'oral',
    interval_days: float = np.nan,
    method: str = DEFAULT_METHOD,
    table: Table | None = None,
) -> float:
    """Return the daily dose of chlorpromazine that equals a dose of another drug.

    Parameters
    ----------
    drug : str
        Generic name.
    dose_mg : float
        Dose in mg: per day for oral drugs, per injection for depots.
    route : {'oral', 'depot'}
        How it is given.
    interval_days : float
        Days between injections; needed for depots.
    method : str
        Column ``method`` of the table.
    table : mapping, optional
        Table from `load_equivalents`; the shipped one by default.

    Returns
    -------
    float
        mg per day; NaN when the dose, the interval or the drug is unknown.

    Examples
    --------
    >>> chlorpromazine_equivalent('olanzapine', 20)
    600.0
    >>> chlorpromazine_equivalent('haloperidol decanoate', 150, route='depot', interval_days=28)
    600.0
    >>> chlorpromazine_equivalent('placebo', 1)
    nan
    """
    known = load_equivalents() if table is None else table
    name = normal_name(drug)
    # never an equivalent of another method or route in its place: the mixture would have no name
    entry = known.get((method, name, route)) or known.get((OWN_METHOD, name, route))
    if entry is None:
        return float('nan')
    interval = 1.0 if route == 'oral' else float(interval_days)
    if not interval > 0:
        return float('nan')
    per_day = float(dose_mg) / interval
    return per_day * entry.interval_days / entry.dose_mg * entry.cpz_mg
