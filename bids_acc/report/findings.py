"""What survived correction, in words, with every cohort beside the others.

A finding of one cohort is shown with what the other cohorts say of the same comparison, whether
they agree or not: a reader sees at once what was replicated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pandas as pd

from bids_acc.report.wording import effect_words, finding_words, is_directed, p_words, text_of

VARIANTS = (
    'permutation', 'rank', 'welch', 'robust', 'sensitivity', 'nuisance', 'together',
)  # fmt: skip
"""Ends of analysis names that repeat a main analysis by other means; not headline findings."""

HEADLINES = ('ancova', 'posthoc', 'mrs_group', 'relation', 'partialcorr', 'clinical', 'change')
"""Tables whose rows can be findings, in the order of the page."""

CONTINUOUS = ('relation', 'partialcorr', 'clinical')
"""Tables whose terms are measures; the terms of the others group people."""

_KEYS = ['analysis', 'response', 'term', 'contrast', 'correction']


def significant_findings(tables: Mapping[str, pd.DataFrame], alpha: float) -> pd.DataFrame:
    """Collect the comparisons that survive correction in at least one cohort.

    Parameters
    ----------
    tables : mapping
        Statistics tables.
    alpha : float
        Level.

    Returns
    -------
    DataFrame
        One row for each comparison: ``finding`` in words; ``holds in``, where there are several
        cohorts, the number in which it is significant in that direction; one column for each
        cohort with effect, interval, p and n (``not tested`` where the model file's rules
        did not lead there). Empty if nothing survived. A p value that the model does not
        correct (a primary hypothesis) is called uncorrected; no other uncorrected p appears.
    """
    main = {name: _main_rows(tables[name]) for name in HEADLINES if name in tables}
    cohorts = list(dict.fromkeys(c for t in main.values() for c in t['cohort'] if c != 'all'))
    rows = [
        row for name, table in main.items() for row in _findings_of(name, table, cohorts, alpha)
    ]
    return pd.DataFrame(rows)


def _main_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Keep the rows that are no repetition by other means; cohort-less ones are of all people."""
    if 'p_corrected' not in table:
        return table.iloc[:0].assign(cohort='', p_corrected=float('nan'))
    kept = table[~table['analysis'].astype(str).str.endswith(VARIANTS)]
    cohorts = [text_of(row, 'cohort') or 'all' for _, row in kept.iterrows()]
    p = pd.to_numeric(kept['p_corrected'], errors='coerce')
    return kept.assign(cohort=cohorts, p_corrected=p)


def _findings_of(
    name: str, table: pd.DataFrame, cohorts: list[str], alpha: float
) -> Iterator[dict[str, str]]:
    """Yield one row for each comparison of a table that is significant somewhere."""
    labels = table[[c for c in _KEYS if c in table]].astype(str).agg('\t'.join, axis=1)
    for _, same in table.groupby(labels, sort=False):
        found = same[same['p_corrected'] < alpha]
        if not len(found):
            continue
        lead = found.sort_values('p_corrected', kind='stable').iloc[0]
        words = finding_words(lead, continuous=name in CONTINUOUS)
        shown = [c for c in ('all', *cohorts) if c in cohorts or (same['cohort'] == c).any()]
        if len(shown) == 1:
            yield {'finding': words, 'evidence': _evidence(lead)}
            continue
        by_cohort = {row['cohort']: row for _, row in same.iterrows()}
        yield {
            'finding': words,
            'holds in': _replication(lead, found, len(shown)),
            **{c: _evidence(by_cohort[c]) if c in by_cohort else 'not tested' for c in shown},
        }


def _replication(lead: pd.Series, found: pd.DataFrame, n_cohorts: int) -> str:
    """Count the cohorts with the same finding, and name those with its opposite."""
    opposite = [
        str(row['cohort'])
        for _, row in found.iterrows()
        if is_directed(row) and (row['effect'] > 0) != (lead['effect'] > 0)
    ]
    text = f'{len(found) - len(opposite)} of {n_cohorts}'
    return f'{text}; the opposite in {", ".join(opposite)}' if opposite else text


def _evidence(row: pd.Series) -> str:
    """Write effect, p and number of people of one comparison, or why there is none."""
    p = p_words(row['p_corrected'])
    if not p:
        return text_of(row, 'note') or 'not tested'
    # A family without correction is the model's choice, such as one primary hypothesis.
    kind = 'uncorrected' if text_of(row, 'correction') == 'none' else 'corrected'
    parts = [
        effect_words(row),
        f'{kind} p {p}' if p.startswith('<') else f'{kind} p = {p}',
        f'n = {int(row["n"])}' if pd.notna(row.get('n')) else '',
    ]
    return ', '.join(part for part in parts if part)
