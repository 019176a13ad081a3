"""The verdict on each spectrum criterion by criterion, and its levels as a table."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import pandas as pd

from bids_acc.report.html import Block, table_block
from bids_acc.report.subject.view import SubjectView, what_differs

CRITERION = re.compile(
    r'(?P<what>\w+) (?P<asked>[<>]=? ?[\d.e+-]+(?: (?:Hz|ppm|%))?): '
    r'(?:(?P<value>[\d.e+-]+)(?: \((?P<definition>\w+)\))? (?P<outcome>pass|fail)|unknown)'
)
"""A criterion as `bids_acc.quality.gate.Criterion` writes it."""

SCHEMES = ('ratio_tcr', 'water_tissue', 'water_raw')
"""Units of the table of levels, in this order."""
FIRST = ('Glu', 'Gln', 'Glx', 'tNAA', 'tCr', 'tCho', 'Ins')
"""Metabolites that stand on top."""


def gate_rows(listing: str) -> list[dict[str, str]]:
    """Take the text of a verdict apart, one row for each criterion.

    Parameters
    ----------
    listing : str
        As `bids_acc.quality.gate.Verdict.listing` writes it; what is no comparison (an artefact)
        excludes by itself.

    Examples
    --------
    >>> gate_rows('snr >= 5: 12.1 pass; fwhm <= 0.1 ppm: unknown')[0]['verdict']
    'pass'
    >>> gate_rows('snr >= 5: 12.1 pass; fwhm <= 0.1 ppm: unknown')[1]['verdict']
    'unknown'
    """
    rows = []
    for part in filter(None, (text.strip() for text in listing.split('; '))):
        found = CRITERION.fullmatch(part)
        if found is None:
            rows.append({'criterion': part, 'asked for': '', 'found': '', 'verdict': 'fail'})
            continue
        value = found['value'] or 'not known'
        if found['definition']:
            value += f' (defined as {found["definition"]})'
        rows.append(
            {
                'criterion': found['what'],
                'asked for': found['asked'],
                'found': value,
                'verdict': found['outcome'] or 'unknown',
            }
        )
    return rows


def gate_blocks(view: SubjectView, session: str | None) -> Iterator[Block]:
    """Yield the gate of each spectrum with every criterion.

    Parameters
    ----------
    view : SubjectView
        The subject.
    session : str or None
        Label without prefix.

    Yields
    ------
    Block
    """
    for found, table in view.tables('mrs_quality', session):
        row = table.iloc[0]
        listing = row.get('gate_criteria')
        yield table_block(
            pd.DataFrame(
                gate_rows(listing if isinstance(listing, str) else ''),
                columns=['criterion', 'asked for', 'found', 'verdict'],
            ),
            f'Quality gate {row["gate_preset"]}: {row["gate"]}{what_differs(found)}',
            'Each criterion of the gate on the whole spectrum. What is not known fails a strict '
            'gate. Single metabolites have a bound of their own, in the table of levels.',
            file=found.path,
        )


def levels_blocks(view: SubjectView, session: str | None) -> Iterator[Block]:
    """Yield the levels of each spectrum, one row for each metabolite.

    Parameters
    ----------
    view : SubjectView
        The subject.
    session : str or None
        Label without prefix.

    Yields
    ------
    Block
    """
    for found, table in view.tables('mrs_quantities', session):
        shown = levels_table(table)
        if len(shown):
            yield table_block(
                shown, f'Metabolite levels{what_differs(found)}',
                'Ratio to total creatine, and levels scaled by water: corrected for tissue and '
                'relaxation (water_tissue), and not (water_raw). In brackets the 95 % confidence '
                'interval, which a level of zero or a bound may make one-sided; with other '
                'engines the standard deviation. %SD is the relative Cramer-Rao bound.',
                file=found.path, fold_above=60,
            )  # fmt: skip


def levels_table(quantities: pd.DataFrame) -> pd.DataFrame:
    """Put the units of each metabolite side by side.

    Parameters
    ----------
    quantities : DataFrame
        The table of quantities: a row for each metabolite and unit.

    Returns
    -------
    DataFrame
        A row for each metabolite, those most asked for on top.
    """
    rows = []
    for name in _in_order(list(dict.fromkeys(quantities['metabolite']))):
        own = quantities[quantities['metabolite'] == name]
        # units side by side: a level that is unusual in one only has an unusual reference
        by_scheme = {str(row['unit_scheme']): row for _, row in own.iterrows()}
        some = own.iloc[0]
        row = {'metabolite': name}
        for scheme in filter(by_scheme.__contains__, SCHEMES):
            unit = by_scheme[scheme]['unit']
            named = f' ({unit})' if isinstance(unit, str) and unit not in ('1', '') else ''
            row[f'{scheme}{named}'] = _level(by_scheme[scheme])
        row['%SD'] = '' if pd.isna(some['crlb_pct']) else f'{some["crlb_pct"]:.0f}'
        row['verdict'] = str(some['gate'])
        reason = some.get('gate_reason')
        row['why'] = reason if isinstance(reason, str) else ''
        rows.append(row)
    return pd.DataFrame(rows).fillna('')


def _in_order(names: Sequence[str]) -> list[str]:
    """Put the metabolites most asked for first."""
    return [*(n for n in FIRST if n in names), *(n for n in names if n not in FIRST)]


def _level(row: pd.Series) -> str:
    """Write a level with its interval, else its standard deviation."""
    # a metabolite that was not found has no level, and not that of zero
    if pd.isna(row['value']):
        return 'n/a'
    text = f'{row["value"]:.3g}'
    low, high = row.get('ci_low'), row.get('ci_high')
    if pd.notna(low) and pd.notna(high):
        return f'{text} [{low:.3g}, {high:.3g}]'
    return text if pd.isna(row.get('value_sd')) else f'{text} (SD {row["value_sd"]:.2g})'
