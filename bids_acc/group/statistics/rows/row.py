"""The one form that every result has, and the check that it agrees with itself.

An analysis returns `Row` objects. `finish_table` corrects p values within families, recomputes
what can be recomputed (p from statistic and degrees of freedom, the effect from statistic and
sample sizes), refuses to go on when a row contradicts itself, and sorts.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import TypedDict

import numpy as np
import pandas as pd

from bids_acc.exceptions import ComputationError
from bids_acc.group.formulas.inference import (
    Correction,
    adjust_p,
    d_from_t,
    partial_eta2,
    r_from_t,
    rank_biserial,
    small_sample_factor,
)
from bids_acc.group.statistics.rows.kinds import NAN, Effect, StatisticalTest, differs

LOGGER = logging.getLogger(__name__)

COLUMNS: Mapping[str, str] = {
    'analysis': 'Name of the analysis',
    'cohort': 'Cohort that was analysed; all when there is one or when cohorts are pooled',
    'response': 'Dependent variable',
    'component': 'Number of the spatial component, if the response belongs to one',
    'metric': 'Metric or metabolite of the response',
    'term': 'Term of the model that is tested',
    'contrast': 'Levels compared; the sign of value and effect follows A - B',
    'statistic': 'Name of the test statistic',
    'value': 'Value of the test statistic',
    'df1': 'Numerator degrees of freedom',
    'df2': 'Denominator (residual) degrees of freedom',
    'n': 'Participants (or observations) in the analysis',
    'n_per_group': 'Participants per group, group=n separated by semicolons',
    'effect_name': 'Name of the effect size',
    'effect': 'Effect size',
    'ci_low': 'Lower limit of the confidence interval of the effect size: at the level of the '
    'model (ConfidenceLevel, by default 95 %); at 90 % beside one-sided tests at 0.05: F, chi '
    'squared (Steiger 2004) and equivalence',
    'ci_high': 'Upper limit of that interval',
    'p_unc': 'p value, not corrected for other tests: two-sided for t, z and U; of the upper '
    'tail for F and chi squared; for equivalence the larger of two one-sided ones',
    'p_corrected': "p value corrected within the family by the family's method",
    'p_fdr': 'p value after Benjamini and Hochberg within the family',
    'p_bonf': 'p value after Bonferroni within the family',
    'correction': "The family's method: bh, holm, bonferroni or none",
    'family': 'Tests that are corrected together',
    'family_size': 'Number of tests in the family',
    'covariates': 'Covariates in the model',
    'formula': 'Model as a formula',
    'method': 'What was computed',
    'excluded': 'Participants left out and why, reason=n separated by semicolons',
    'note': 'What a reader must know about this row',
}
"""Columns that every table of statistics has, in order, and what they mean."""


Cell = str | float
"""What stands in a column that only some tables have."""


@dataclass(kw_only=True)
class Row:
    """One test or estimate: of what, in whom, how; missing text is empty."""

    analysis: str
    cohort: str = 'all'
    response: str = ''
    component: int | None = None
    metric: str = ''
    term: str = ''
    contrast: str = ''
    test: StatisticalTest = field(default_factory=StatisticalTest)
    n: int = 0
    n_per_group: Mapping[str, int] = field(default_factory=dict)
    effect: Effect = field(default_factory=Effect)
    family: str = ''
    covariates: tuple[str, ...] = ()
    formula: str = ''
    method: str = ''
    excluded: Mapping[str, int] = field(default_factory=dict)
    note: str = ''
    extra: Mapping[str, Cell] = field(default_factory=dict)
    """Columns of this row's table alone."""
    people: pd.DataFrame | None = field(default=None, compare=False, repr=False)
    """What the row says of each participant, for the table ``<table>_participants``."""


class Told(TypedDict, total=False):
    """Cells of a `Row` that an analysis sets; its sample or model sets the others."""

    analysis: str
    term: str
    contrast: str
    test: StatisticalTest
    n: int
    n_per_group: Mapping[str, int]
    effect: Effect
    family: str
    formula: str
    method: str
    note: str
    extra: Mapping[str, Cell]


@dataclass(frozen=True)
class Family:
    """How one family of tests is corrected."""

    method: Correction = 'bh'
    over: tuple[str, ...] = ('cohort',)
    """Columns whose values split the family: one correction per combination."""


def _sizes(row: Row) -> tuple[float, float]:
    """Return the sizes of the two groups of a contrast 'A - B'; NaN when it names no two."""
    for a, n_a in row.n_per_group.items():
        for b, n_b in row.n_per_group.items():
            if row.contrast == f'{a} - {b}':
                return n_a, n_b
    return NAN, NAN


def _cohen_d(row: Row) -> float:
    return d_from_t(row.test.value, *_sizes(row))


def _hedges_g(row: Row) -> float:
    return _cohen_d(row) * small_sample_factor(sum(_sizes(row)) - 2)


def _adjusted_g(row: Row) -> float:
    difference = float(row.extra['estimate']) / float(row.extra['sd_residual'])
    return difference * small_sample_factor(row.test.df2)


def _r(row: Row) -> float:
    return r_from_t(row.test.value, row.test.df2)


def _cramers_v(row: Row) -> float:
    return float(np.sqrt(row.test.value / (row.n * float(row.extra['smaller_dim']))))


EFFECT_RULES: Mapping[str, Callable[[Row], float]] = {
    'cohen_d': _cohen_d,
    'hedges_g': _hedges_g,
    # an effect, its statistic and n are written by different lines of an analysis: this is where
    # they meet, as statcheck does it with printed papers (Nuijten et al. 2016,
    # doi:10.3758/s13428-015-0664-2)
    'hedges_g_adjusted': _adjusted_g,
    'partial_eta2': lambda row: partial_eta2(row.test.value, row.test.df1, row.test.df2),
    'r': _r,
    'partial_r': _r,
    'cohen_dz': lambda row: float(row.test.value / np.sqrt(row.n)),
    'rank_biserial': lambda row: rank_biserial(row.test.value, *_sizes(row)),
    'mean_difference': lambda row: row.test.value * float(row.extra['se']),
    'cramers_v': _cramers_v,
}
"""Effects that can be recomputed from the rest of the row, and how."""


def _effect_is_anothers(row: Row) -> str | None:
    """Say that the effect does not follow from statistic and n."""
    name, size = row.effect.name, row.effect.size
    rule = EFFECT_RULES.get(name)
    if rule is None or not (np.isfinite(size) and np.isfinite(row.test.value)):
        return None
    expected = rule(row)
    if np.isfinite(expected) and not differs(expected, size):
        return None
    return f'{name} {size:g} but the statistic and n give {expected:g}'


def _groups_do_not_sum(row: Row) -> str | None:
    """Say that n is not that of the groups."""
    if row.n_per_group and sum(row.n_per_group.values()) != row.n:
        return f'n = {row.n} but the groups sum to {sum(row.n_per_group.values())}'
    return None


def disagreement(row: Row) -> str | None:
    """Say how a row contradicts itself, or None when it does not.

    Parameters
    ----------
    row : Row
        Result of one test.

    Returns
    -------
    str or None
        What does not agree.

    Examples
    --------
    >>> from bids_acc.group.statistics.rows.kinds import TTest
    >>> row = Row(analysis='t', test=TTest(value=2.34, df2=35, p=0.0251))
    >>> disagreement(row)
    'p_unc 0.0251 but t = 2.34 with df 35 gives 0.0251138'
    """
    return (
        row.test.contradiction()
        or _effect_is_anothers(row)
        or row.effect.contradiction()
        or _groups_do_not_sum(row)
    )


def without_contradictions(rows: Iterable[Row]) -> list[Row]:
    """Replace each row that contradicts itself by one without numbers that says so.

    Parameters
    ----------
    rows : iterable of Row
        Results of an analysis.

    Returns
    -------
    list of Row
        As many rows; a refused one keeps what it was about, and its note tells why.
    """
    kept = []
    for row in rows:
        problem = disagreement(row)
        if problem is None:
            kept.append(row)
            continue
        LOGGER.error('%s, %s, %s: refused, %s', row.analysis, row.cohort, row.response, problem)
        kept.append(
            Row(
                analysis=row.analysis, cohort=row.cohort, response=row.response,
                component=row.component, metric=row.metric, term=row.term,
                contrast=row.contrast, note=f'refused by the self-check: {problem}',
            )
        )  # fmt: skip
    return kept


def counts_text(counts: Mapping[str, int]) -> str:
    """Write counts as one cell.

    Parameters
    ----------
    counts : mapping of str to int
        By group or reason. An unnamed zero is left out.

    Returns
    -------
    str
        In the order of ``counts``, separated by semicolons.

    Examples
    --------
    >>> counts_text({'HC': 26, 'TRS': 23})
    'HC=26;TRS=23'
    """
    return ';'.join(f'{name}={number}' for name, number in counts.items() if number or name)


def _record(row: Row) -> dict[str, object]:
    """Turn a row into the cells of a table."""
    test = {f.name: getattr(row.test, f.name) for f in fields(row.test)}
    effect = row.effect
    return {
        **{f.name: getattr(row, f.name) for f in fields(row)}, **row.extra, **test,
        'p_unc': row.test.p, 'effect_name': effect.name, 'effect': effect.size,
        'ci_low': effect.low, 'ci_high': effect.high,
        'n_per_group': counts_text(row.n_per_group),
        'excluded': counts_text({k: v for k, v in row.excluded.items() if v}),
        'covariates': ', '.join(row.covariates),
    }  # fmt: skip


def finish_table(
    rows: Iterable[Row], families: Mapping[str, Family], default: Family
) -> pd.DataFrame:
    """Correct, check and sort the rows of one table.

    Parameters
    ----------
    rows : iterable of Row
        Results of one or several analyses.
    families : mapping of str to Family
        Correction of the families that the model names.
    default : Family
        Correction of all others.

    Returns
    -------
    DataFrame
        The common columns (`COLUMNS`), then those of this table alone; sorted.

    Raises
    ------
    ComputationError
        If a row contradicts itself.
    """
    rows = list(rows)
    for row in rows:
        problem = disagreement(row)
        if problem:
            raise ComputationError(
                f'{row.analysis}, {row.cohort}, {row.response} {row.term} {row.contrast}: '
                f'{problem}.'
            )
    known = {*COLUMNS, *(f.name for f in fields(Row)), 'p'}
    records = [_record(row) for row in rows]
    extra = sorted({name for record in records for name in record} - known)
    table = pd.DataFrame(records, columns=[*COLUMNS, *extra])
    table['component'] = table['component'].astype('Int64')
    table = _correct(table, families, default)
    table = table[[*COLUMNS, *extra]]
    keys = ['analysis', 'cohort', 'response', 'term', 'contrast', 'statistic']
    # as text, so that missing cells and types do not decide; stable, so that rows alike in all
    # keys stay as their analysis made them
    return table.sort_values(keys, kind='stable', key=lambda s: s.astype(str), ignore_index=True)


def _correct(table: pd.DataFrame, families: Mapping[str, Family], default: Family) -> pd.DataFrame:
    """Add the corrected p values and the sizes of the families."""
    table = table.assign(
        p_corrected=np.nan, p_fdr=np.nan, p_bonf=np.nan, correction='', family_size=0
    )
    rules = {
        # 'quality passed' is corrected by the method of 'quality' where it has none of its own,
        # yet apart from it
        name: families.get(name, families.get(name.split(' ')[0], default))
        for name in sorted(set(table['family']))
        if name
    }
    for name, rule in rules.items():
        member = table['family'] == name
        split = [column for column in rule.over if column in table.columns]
        label = table.loc[member, split].astype(str).agg(', '.join, axis=1) if split else None
        full = name if label is None else name + ' [' + label + ']'
        table.loc[member, 'family'] = full
        table.loc[member, 'correction'] = rule.method
        for _, part in table[member].groupby('family', sort=True):
            p = part['p_unc'].to_numpy(dtype=float)
            table.loc[part.index, 'p_corrected'] = adjust_p(p, rule.method)
            table.loc[part.index, 'p_fdr'] = adjust_p(p, 'bh')
            table.loc[part.index, 'p_bonf'] = adjust_p(p, 'bonferroni')
            table.loc[part.index, 'family_size'] = int(np.isfinite(p).sum())
    return table
