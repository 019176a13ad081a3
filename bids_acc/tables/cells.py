"""Cells of tables that a spreadsheet would run."""

from __future__ import annotations

import re

import pandas as pd

FORMULA = re.compile(r'[=@]|[+-].*[|!]|[\t\r]')
"""How text begins that a spreadsheet takes for a formula or a command (CWE-1236). A sign alone is
none: numbers and their intervals begin so; with a pipe or a sheet's exclamation mark it is."""


def as_text(table: pd.DataFrame) -> pd.DataFrame:
    """Put an apostrophe before text that a spreadsheet would run; it shows the text then.

    Parameters
    ----------
    table : DataFrame
        Any; cells and names of columns may come from others.

    Returns
    -------
    DataFrame
        The same table if there is no such text.

    Examples
    --------
    >>> as_text(pd.DataFrame({'group': ['=1+1', 'HC', '-0.3 (0.1)'], 'n': [1, -2, 3]}))
            group  n
    0       '=1+1  1
    1          HC -2
    2  -0.3 (0.1)  3
    """
    texts = [c for c in table.columns if not pd.api.types.is_numeric_dtype(table[c].dtype)]
    risky = [c for c in texts if table[c].map(_is_formula).any()]
    names = {c: _quoted(c) for c in table.columns if _is_formula(c)}
    if not risky and not names:
        return table
    quoted = {c: table[c].map(_quoted).astype(object) for c in risky}
    return table.assign(**quoted).rename(columns=names) if risky else table.rename(columns=names)


def _is_formula(cell: object) -> bool:
    """Tell whether a cell is text that a spreadsheet would run."""
    return isinstance(cell, str) and FORMULA.match(cell) is not None


def _quoted(cell: object) -> object:
    """Return the cell, with an apostrophe before a formula."""
    return f"'{cell}" if _is_formula(cell) else cell


def is_empty(cell: object) -> bool:
    """Tell whether a cell of a table in memory holds nothing: None, NaN, NA or NaT.

    Parameters
    ----------
    cell : object
        Words for a missing value (`bids_acc.tables.missing`) are text here, and something.

    Returns
    -------
    bool

    Examples
    --------
    >>> [is_empty(cell) for cell in (None, float('nan'), pd.NA, '', 0, 'n/a')]
    [True, True, True, False, False, False]
    """
    return cell is None or cell is pd.NA or cell is pd.NaT or cell != cell


def records(table: pd.DataFrame) -> list[dict[str, object]]:
    """Return the rows of a table as mappings from the names of its columns to cells.

    Parameters
    ----------
    table : DataFrame
        Columns have names that differ.

    Returns
    -------
    list of dict
        One for each row, in order.
    """
    names = [str(name) for name in table.columns]
    rows = table.itertuples(index=False, name=None)
    return [dict(zip(names, row, strict=True)) for row in rows]
