"""The one form that every result has, and the check that it agrees with itself.

An analysis returns `Row` objects. `finish_table` corrects p values within families, recomputes
what can be recomputed (p from statistic and degrees of freedom, the effect from statistic and
sample sizes), refuses to go on when a row contradicts itself, and sorts.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

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
from bids_acc.group.formulas.linear import f_survival, t_two_sided

logger = logging.getLogger(__name__)

NAN = float('nan')

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
    'ci_low': 'Lower limit of the confidence interval of the effect size',
    'ci_high': 'Upper limit of the confidence interval of the effect size',
    'p_unc': 'Two-sided p value, not corrected for other tests',
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


@dataclass(kw_only=True)
class Row:
    """One test or estimate; missing numbers are NaN and missing text is empty."""

    analysis: str
    cohort: str = 'all'
    response: str = ''
    component: int | None = None
    metric: str = ''
    term: str = ''
    contrast: str = ''
    statistic: str = ''
    value: float = NAN
    df1: float = NAN
    df2: float = NAN
    n: int = 0
    n_per_group: Mapping[str, int] = field(default_factory=dict)
    effect_name: str = ''
    effect: float = NAN
    ci_low: float = NAN
    ci_high: float = NAN
    p_unc: float = NAN
    family: str = ''
    covariates: tuple[str, ...] = ()
    formula: str = ''
    method: str = ''
    excluded: Mapping[str, int] = field(default_factory=dict)
    note: str = ''
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Family:
    """How one family of tests is corrected."""

    method: Correction = 'bh'
    over: tuple[str, ...] = ('cohort',)
    """Columns whose values split the family: one correction per combination."""


def _p_of(row: Row) -> float:
    """Recompute p from statistic and degrees of freedom; NaN when there is no rule."""
    value = row.value
    if row.statistic == 't':
        return t_two_sided(value, row.df2)
    if row.statistic == 'F':
        return f_survival(value, row.df1, row.df2)
    if row.statistic == 'chi2':
        return float(special.chdtrc(row.df1, value))
    if row.statistic == 'z':
        return float(2 * special.ndtr(-abs(value)))
    if row.statistic == 'r':
        with np.errstate(divide='ignore'):
            t = value * np.sqrt(row.df2 / (1 - value**2)) if abs(value) < 1 else np.inf
        return t_two_sided(t, row.df2)
    return NAN


def _sizes(row: Row) -> tuple[float, float]:
    """Return the sizes of the two groups of a contrast 'A - B'; NaN when it names no two."""
    for a, n_a in row.n_per_group.items():
        for b, n_b in row.n_per_group.items():
            if row.contrast == f'{a} - {b}':
                return n_a, n_b
    return NAN, NAN


def _hedges_g(row: Row) -> float:
    n_a, n_b = _sizes(row)
    return d_from_t(row.value, n_a, n_b) * small_sample_factor(n_a + n_b - 2)


def _adjusted_g(row: Row) -> float:
    return float(row.extra['estimate'] / row.extra['sd_residual'] * small_sample_factor(row.df2))


EFFECT_RULES: Mapping[str, Callable[[Row], float]] = {
    'cohen_d': lambda row: d_from_t(row.value, *_sizes(row)),
    'hedges_g': _hedges_g,
    'hedges_g_adjusted': _adjusted_g,
    'partial_eta2': lambda row: partial_eta2(row.value, row.df1, row.df2),
    'r': lambda row: row.value if row.statistic == 'r' else r_from_t(row.value, row.df2),
    'partial_r': lambda row: row.value if row.statistic == 'r' else r_from_t(row.value, row.df2),
    'cohen_dz': lambda row: float(row.value / np.sqrt(row.n)),
    'rank_biserial': lambda row: rank_biserial(row.value, *_sizes(row)),
    'mean_difference': lambda row: float(row.value * row.extra['se']),
    'cramers_v': lambda row: float(np.sqrt(row.value / (row.n * row.extra['smaller_dim']))),
}
"""Effects that can be recomputed from the rest of the row, and how."""

TOLERANCE = 1e-7
"""Relative difference above which a recomputed number contradicts the row."""


def _differs(a: float, b: float) -> bool:
    """Tell whether two finite numbers are too far apart."""
    return bool(abs(a - b) > TOLERANCE * max(abs(a), abs(b)) + 1e-12)


def _p_is_none(row: Row) -> str | None:
    """Say that p is no probability."""
    if np.isfinite(row.p_unc) and not 0 <= row.p_unc <= 1:
        return f'p_unc {row.p_unc} outside [0, 1]'
    return None


PARAMETRIC = frozenset({'t', 'F', 'chi2', 'z', 'r'})
"""Statistics from which p follows."""


def _p_is_anothers(row: Row) -> str | None:
    """Say that p does not follow from the statistic."""
    if not np.isfinite(row.p_unc) or row.statistic not in PARAMETRIC:
        return None
    expected = _p_of(row)
    if np.isfinite(expected) and not _differs(expected, row.p_unc):
        return None
    degrees = '/'.join(f'{d:g}' for d in (row.df1, row.df2) if np.isfinite(d))
    return (
        f'p_unc {row.p_unc:g} but {row.statistic} = {row.value:g} with df '
        f'{degrees or "none"} gives {expected:g}'
    )


def _p_is_too_small(row: Row) -> str | None:
    """Say that so few resamples cannot show such a p."""
    draws = row.extra.get('n_resamples', NAN)
    if row.statistic not in PARAMETRIC and row.p_unc < 1 / (draws + 1) - 1e-12:
        return f'p_unc {row.p_unc:g} is smaller than {draws:g} resamples can show'
    return None


def _effect_is_anothers(row: Row) -> str | None:
    """Say that the effect does not follow from statistic and n."""
    rule = EFFECT_RULES.get(row.effect_name)
    if rule is None or not (np.isfinite(row.effect) and np.isfinite(row.value)):
        return None
    expected = rule(row)
    if np.isfinite(expected) and not _differs(expected, row.effect):
        return None
    return f'{row.effect_name} {row.effect:g} but the statistic and n give {expected:g}'


def _interval_is_upside_down(row: Row) -> str | None:
    """Say that the interval's ends are exchanged."""
    if np.isfinite(row.ci_low) and np.isfinite(row.ci_high) and row.ci_low > row.ci_high:
        return f'interval from {row.ci_low:g} to {row.ci_high:g} is upside down'
    return None


def _groups_do_not_sum(row: Row) -> str | None:
    """Say that n is not that of the groups."""
    if row.n_per_group and sum(row.n_per_group.values()) != row.n:
        return f'n = {row.n} but the groups sum to {sum(row.n_per_group.values())}'
    return None


CHECKS: tuple[Callable[[Row], str | None], ...] = (
    _p_is_none,
    _p_is_anothers,
    _p_is_too_small,
    _effect_is_anothers,
    _interval_is_upside_down,
    _groups_do_not_sum,
)
"""Ways in which a row can contradict itself, in the order in which they are looked for."""


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
    >>> row = Row(analysis='t', statistic='t', value=2.34, df2=35, p_unc=0.0251)
    >>> disagreement(row)
    'p_unc 0.0251 but t = 2.34 with df 35 gives 0.0251138'
    """
    return next(filter(None, (check(row) for check in CHECKS)), None)


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
        logger.error('%s, %s, %s: refused, %s', row.analysis, row.cohort, row.response, problem)
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

    Examples
    --------
    >>> counts_text({'HC': 26, 'TRS': 23})
    'HC=26;TRS=23'
    """
    return ';'.join(f'{name}={number}' for name, number in counts.items() if number or name)


def _record(row: Row) -> dict[str, Any]:
    """Turn a row into the cells of a table."""
    record: dict[str, Any] = {f.name: getattr(row, f.name) for f in fields(row)}
    record |= {
        'n_per_group': counts_text(row.n_per_group),
        'excluded': counts_text({k: v for k, v in row.excluded.items() if v}),
        'covariates': ', '.join(row.covariates),
    }
    return record | dict(record.pop('extra'))


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
    extra = sorted({name for row in rows for name in row.extra} - set(COLUMNS))
    table = pd.DataFrame([_record(row) for row in rows], columns=_raw_columns(extra))
    table['component'] = table['component'].astype('Int64')
    table = _correct(table, families, default)
    table = table[[*COLUMNS, *extra]]
    keys = ['analysis', 'cohort', 'response', 'term', 'contrast', 'statistic']
    return table.sort_values(keys, kind='stable', key=lambda s: s.astype(str), ignore_index=True)


def _raw_columns(extra: list[str]) -> list[str]:
    """Columns that the rows fill themselves."""
    own = [f.name for f in fields(Row) if f.name != 'extra']
    return [*own, *extra]


def _correct(table: pd.DataFrame, families: Mapping[str, Family], default: Family) -> pd.DataFrame:
    """Add the corrected p values and the sizes of the families."""
    table = table.assign(
        p_corrected=np.nan, p_fdr=np.nan, p_bonf=np.nan, correction='', family_size=0
    )
    rules = {
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
