"""Tables that a paper can take: APA-like Markdown of the primary results, and all of them as CSV.

Numbers are set as the Publication Manual of the American Psychological Association asks for (7th
edition, 2020, sections 6.32 to 6.36 and 7.8 to 7.21): p to three decimals and without a zero
before the point, as of everything that cannot exceed 1; statistics with their degrees of freedom;
a title above and a note below.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bids_acc.group.formulas.inference import one_sided_level
from bids_acc.group.statistics.rows.row import COLUMNS
from bids_acc.group.statistics.tables import TITLES, data_dictionary
from bids_acc.report.findings import HEADLINES, main_rows
from bids_acc.report.group_page import by_group
from bids_acc.report.plain_words import spelled_out
from bids_acc.report.wording import (
    IN_UNITS,
    digits_words,
    effect_name,
    number_words,
    response_words,
    tested,
    text_of,
    with_interval,
)
from bids_acc.tables.cells import as_text

ORDER = (
    'demographics', 'qc_by_group', 'ancova', 'posthoc', 'contrasts', 'partialvolume',
    'vertexwise', 'vertexwise_clusters', 'mrs_group', 'interactions', 'relation', 'partialcorr',
    'clinical', 'change', 'trial', 'zscores', 'reliability', 'meta', 'evidence', 'mixture',
    'prediction', 'treatment',
)  # fmt: skip
"""Tables of results in the order of a paper; those that are not there leave no gap in the
numbers."""

AT_MOST_ONE = frozenset({
    'r', 'partial_r', 'partial_eta2', 'cramers_v', 'rank_biserial', 'out_of_sample_r', 'AUC',
    'icc_2_1', 'share', 'risk_difference', 'akaike_weight', 'share_undetermined',
})  # fmt: skip
"""Effects that lie between -1 and 1, of which no zero stands before the point."""
SYMBOLS: Mapping[str, str] = {
    't': '*t*', 'F': '*F*', 'chi2': 'χ²', 'U': '*U*', 'W': '*W*', 'z': '*z*',
    't permuted': '*t*', 'F permuted': '*F*', 'LR': 'LR',
}  # fmt: skip
"""Test statistics as they are set."""
CORRECTIONS: Mapping[str, str] = {
    'bh': 'Benjamini and Hochberg', 'holm': 'Holm', 'bonferroni': 'Bonferroni',
}  # fmt: skip
MOST = 3
"""Different models or methods that a note names; the CSV has each row's own."""


@dataclass(frozen=True)
class PaperTable:
    """One table with what stands above and below it."""

    name: str
    """Of the table of statistics."""
    number: int
    title: str
    shown: pd.DataFrame
    """Cells as they are printed."""
    note: str
    data: pd.DataFrame
    """The same rows with every column and all digits."""


def without_zero(number: float, decimals: int = 2) -> str:
    """Write a number that cannot exceed 1 without the zero before the point.

    Parameters
    ----------
    number : float
        From -1 to 1.
    decimals : int
        Digits after the point.

    Returns
    -------
    str
        As the Publication Manual of the APA asks for.

    Examples
    --------
    >>> without_zero(-0.305), without_zero(1.0), without_zero(0.0461, 3)
    ('-.30', '1.00', '.046')
    """
    return re.sub(r'^(-?)0\.', r'\1.', number_words(number, decimals))


def apa_p(value: object) -> str:
    """Write a p value in APA style.

    Parameters
    ----------
    value : object
        Cell of a table; what is no number is missing.

    Returns
    -------
    str
        Three decimals; empty for a missing value.

    Examples
    --------
    >>> apa_p(0.0461), apa_p(0.0002), apa_p(float('nan')), apa_p(1.0)
    ('.046', '< .001', '', '> .999')
    """
    number = pd.to_numeric(value, errors='coerce')  # type: ignore[call-overload]
    if pd.isna(number):
        return ''
    if number < 0.001:
        return '< .001'
    return '> .999' if number > 0.9995 else without_zero(float(number), 3)


def apa_test(row: pd.Series) -> str:
    """Write a test statistic with its degrees of freedom in APA style.

    Parameters
    ----------
    row : Series
        Row of a table of statistics; read are ``statistic, value, df1, df2``.

    Returns
    -------
    str
        Markdown, symbols in italics; empty where there is no value.

    Examples
    --------
    >>> apa_test(pd.Series({'statistic': 'F', 'value': 4.1234, 'df1': 2.0, 'df2': 66.0}))
    '*F*(2, 66) = 4.12'
    >>> apa_test(pd.Series({'statistic': 't', 'value': -2.34, 'df1': float('nan'), 'df2': 34.72}))
    '*t*(34.7) = -2.34'
    """
    name = text_of(row, 'statistic')
    if not name or pd.isna(row.get('value')):
        return ''
    names = ('df2',) if name.startswith('t') else ('df1', 'df2')
    dof = [f'{row[c]:.1f}'.removesuffix('.0') for c in names if pd.notna(row.get(c))]
    symbol = SYMBOLS.get(name, name)
    inside = f'({", ".join(dof)})' if dof else ''
    return f'{symbol}{inside} = {number_words(row["value"])}'


def apa_effect(row: pd.Series) -> str:
    """Write an effect size with its confidence interval in APA style.

    Parameters
    ----------
    row : Series
        Row of a table of statistics; read are ``effect_name, effect, ci_low, ci_high``.

    Returns
    -------
    str
        Empty without an effect; the interval is left out where a limit is missing.

    Examples
    --------
    >>> row = {'effect_name': 'hedges_g', 'effect': 0.5, 'ci_low': -0.1, 'ci_high': 1.12}
    >>> apa_effect(pd.Series(row))
    "Hedges' g = 0.50 [-0.10, 1.12]"
    >>> apa_effect(pd.Series({'effect_name': 'partial_r', 'effect': -0.396}))
    'partial r = -.40'
    """
    if pd.isna(row.get('effect')):
        return ''
    kind = text_of(row, 'effect_name')

    def write(number: float) -> str:
        if kind in AT_MOST_ONE:
            return without_zero(number)
        return digits_words(number) if kind in IN_UNITS else number_words(number)

    return f'{effect_name(kind)} = {with_interval(row, write)}'


def paper_tables(
    tables: Mapping[str, pd.DataFrame],
    names: Mapping[str, str] | None = None,
    confidence: float = 0.95,
) -> Iterator[PaperTable]:
    """Yield the tables of a paper, numbered.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        Finished tables of statistics.
    names : mapping of str to str, optional
        What the data set calls its own columns.
    confidence : float
        Level of the two-sided intervals.

    Yields
    ------
    PaperTable
        Of a table whose rows can be findings only these rows (the same by other means is in the
        tables of the model's folder); rows without any number are counted in the note.
    """
    number = 0
    for name in ORDER:
        table = tables.get(name)
        if table is None or 'p_unc' not in table:
            continue
        # a paper's table has the tests that were declared; the same by other means would invite a
        # choice
        rows = _primary(name, table) if name in HEADLINES else table
        there = rows['p_unc'].notna() | rows['effect'].notna() | rows['value'].notna()
        if not there.any():
            continue
        number += 1
        kept = rows[there]
        yield PaperTable(
            name, number, TITLES.get(name, name), _shown(kept, names),
            _note(kept, int((~there).sum()), names, confidence), kept.reset_index(drop=True),
        )  # fmt: skip


def _primary(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that can be findings, with the columns of the table.

    A supplement and the terms of covariates belong to no family of tests.
    """
    rows = main_rows(name, table)[list(table.columns)]
    named = rows['family'].fillna('').astype(str).ne('')
    return rows[named] if named.any() else rows


def _shown(rows: pd.DataFrame, names: Mapping[str, str] | None) -> pd.DataFrame:
    """Return the printed cells; columns that say nothing are left out."""
    records = []
    for _, row in rows.iterrows():
        what = spelled_out(response_words(row), names)
        records.append(
            {
                'Cohort': text_of(row, 'cohort'),
                'Analysis': spelled_out(text_of(row, 'analysis'), names),
                'Measure': what[:1].upper() + what[1:],
                'Comparison': spelled_out(tested(row), names),
                **by_group(row),
                '*n*': f'{row["n"]:.0f}' if row.get('n') else '',
                'Test': apa_test(row),
                '*p*': apa_p(row['p_unc']),
                '*p* corrected': apa_p(row.get('p_corrected')) if row.get('family') else '',
                'Effect size [CI]': apa_effect(row),
            }
        )
    shown = pd.DataFrame(records).fillna('')
    last = ['*n*', 'Test', '*p*', '*p* corrected', 'Effect size [CI]']
    shown = shown[[*(c for c in shown if c not in last), *last]]
    empty = [c for c in shown if shown[c].eq('').all()]
    alike = [c for c in ('Cohort', 'Analysis') if len(set(shown[c])) == 1]
    return shown.drop(columns=list(dict.fromkeys([*empty, *alike])))


def _note(
    rows: pd.DataFrame, undone: int, names: Mapping[str, str] | None, confidence: float
) -> str:
    """Say below a table what its cells are, how it was corrected, and who is missing."""
    parts = []
    if rows.get('description', pd.Series(dtype=str)).notna().any():
        parts.append('Groups: mean (standard deviation) and *n*, or counts.')
    parts += _corrections(rows)
    covariates = sorted({c for cell in rows['covariates'] for c in str(cell or '').split(', ')})
    if told := [spelled_out(c, names) for c in covariates if c and c != 'n/a' and c != 'nan']:
        parts.append(f'Covariates: {", ".join(told)}.')
    methods = list(dict.fromkeys(text_of(row, 'method') for _, row in rows.iterrows()))
    methods = [text for text in methods if text]
    more = f' and {len(methods) - MOST} others (CSV)' if len(methods) > MOST else ''
    if methods:
        parts.append(f'Tests: {spelled_out("; ".join(methods[:MOST]), names)}{more}.')
    parts.append(
        f'CI = confidence interval, {100 * one_sided_level(confidence):g} % of partial η² and '
        "Cramér's V, else of the level in the methods."
    )
    if undone:
        one = undone == 1
        parts.append(
            f'{undone} comparison{"" if one else "s"} that the data do not allow '
            f'{"is" if one else "are"} left out.'
        )
    return ' '.join(parts)


def _corrections(rows: pd.DataFrame) -> Iterator[str]:
    """Say how p values were corrected, in families of which size."""
    own = rows[rows['correction'].isin(list(CORRECTIONS)) & rows['p_corrected'].notna()]
    for method, part in own.groupby('correction', sort=True):
        sizes = sorted({int(n) for n in part['family_size']})
        some = ', '.join(map(str, sizes))
        tests = 'test' if sizes == [1] else 'tests'
        yield f'*p* corrected after {CORRECTIONS[str(method)]} (families of {some} {tests}).'
    if len(own) < len(rows) and len(own):
        yield 'An empty cell there means that the model does not correct the test.'


def as_markdown(table: PaperTable) -> str:
    """Write a table as Markdown, with number, title and note.

    Parameters
    ----------
    table : PaperTable
        Any.
    """

    def line(cells: Iterable[object]) -> str:
        return '| ' + ' | '.join(str(cell).replace('|', r'\|') for cell in cells) + ' |'

    shown = table.shown
    lines = [
        f'**Table {table.number}**',
        '',
        f'*{table.title}*',
        '',
        line(shown.columns),
        '|' + '---|' * shown.shape[1],
    ]
    lines += [line(row) for row in shown.itertuples(index=False, name=None)]
    return '\n'.join([*lines, '', f'*Note.* {table.note}']) + '\n'


def codebook(tables: list[PaperTable]) -> pd.DataFrame:
    """Describe every column of the CSV files.

    Parameters
    ----------
    tables : list of PaperTable
        All that were written.

    Returns
    -------
    DataFrame
        ``column``, ``description`` and ``tables``, the names of those that have it.
    """
    described: dict[str, str] = {}
    where: dict[str, list[str]] = {}
    for table in tables:
        for column, entry in data_dictionary(table.data).items():
            described[column] = entry if isinstance(entry, str) else entry['Description']
            where.setdefault(column, []).append(table.name)
    columns = [*(c for c in COLUMNS if c in described), *sorted(set(described) - set(COLUMNS))]
    rows = [
        {
            'column': name, 'description': described[name],
            'tables': 'all' if len(where[name]) == len(tables) else ', '.join(where[name]),
        } for name in columns
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=['column', 'description', 'tables'])


def as_csv(table: pd.DataFrame) -> str:
    """Write a table as CSV with all digits; missing is n/a.

    Parameters
    ----------
    table : DataFrame
        Any.
    """
    plain = table.replace({np.inf: np.nan, -np.inf: np.nan}).replace('', np.nan)
    return as_text(plain).to_csv(index=False, na_rep='n/a', lineterminator='\n')
