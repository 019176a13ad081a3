"""How tables are written: as BIDS asks, and without anything that a spreadsheet would run.

Tables of statistics have `bids_acc.group.statistics.tables.table_text`, which can keep all digits.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from bids_acc.files.writing import write_bytes
from bids_acc.tables.cells import as_text


def tsv_bytes(table: pd.DataFrame, digits: int = 6) -> bytes:
    r"""Return a table as BIDS asks for it, without text that a spreadsheet would run.

    Parameters
    ----------
    table : DataFrame
        Missing values and empty text become ``n/a``, truth values ``true`` and ``false``.
    digits : int
        Significant ones of numbers.

    Examples
    --------
    >>> tsv_bytes(pd.DataFrame({'group': ['=1+1', ''], 'x': [1 / 3, None], 'ok': [True, False]}))
    b"group\tx\tok\n'=1+1\t0.333333\ttrue\nn/a\tn/a\tfalse\n"
    """
    ready = as_text(table).copy()
    for column in ready.columns:
        if ready[column].dtype == bool:
            ready[column] = ready[column].map({True: 'true', False: 'false'})
        # BIDS has n/a for what is missing, and no empty cells
        elif not pd.api.types.is_numeric_dtype(ready[column].dtype):
            ready[column] = ready[column].replace('', None)
    text = ready.to_csv(
        sep='\t', index=False, na_rep='n/a', float_format=f'%.{digits}g', lineterminator='\n'
    )
    return text.encode('utf-8', 'surrogateescape')


def write_tsv(path: Path, table: pd.DataFrame, digits: int = 6) -> None:
    """Write a table as `tsv_bytes` gives it, whole or not at all.

    Parameters
    ----------
    path : Path
        Replaced only when all is written.
    table : DataFrame
        One row a line, without its index; NaN and None become ``n/a``.
    digits : int
        Significant digits of floating-point numbers.

    Raises
    ------
    OutputError
        If the system refuses.
    """
    write_bytes(path, tsv_bytes(table, digits))
