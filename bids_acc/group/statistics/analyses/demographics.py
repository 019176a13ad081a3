"""Who was studied: demographic and clinical characteristics by group."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from bids_acc.group.formulas.contingency import chi_squared, expected_counts, fisher_exact
from bids_acc.group.formulas.inference import (
    cramers_v,
    cramers_v_confidence,
    d_confidence,
    d_from_t,
    partial_eta2,
    partial_eta2_confidence,
    small_sample_factor,
)
from bids_acc.group.formulas.two_samples import one_way, student, variance
from bids_acc.group.statistics.analyses.modelling import Sample
from bids_acc.group.statistics.rows.kinds import (
    NAN,
    ChiSquaredTest,
    Effect,
    FTest,
    ResampledTest,
    StatisticalTest,
    TTest,
)
from bids_acc.group.statistics.rows.row import Row, Told
from bids_acc.group.statistics.study.data import Measure, Study, as_text, group_counts, is_truth
from bids_acc.report.wording import four_digits
from bids_acc.typing import FloatArray


def describe(samples: Mapping[str, FloatArray]) -> str:
    """Write mean, standard deviation and n of each group as one cell.

    Parameters
    ----------
    samples : mapping of str to (n_i,) ndarray of float64
        Values of each group, without missing ones.

    Returns
    -------
    str
        Groups separated by semicolons; digits follow the size of the values.

    Examples
    --------
    >>> describe({'HC': np.array([1.0, 2.0, 3.0])})
    'HC: 2.00 (1.00), n=3'
    >>> describe({'HC': np.full(24, 0.9)})
    'HC: 0.9 (0), n=24'
    >>> describe({'HC': np.array([1180.0, 1266.0, 1310.0])})
    'HC: 1252.0 (66.1), n=3'
    """
    return '; '.join(f'{level}: {_mean_and_spread(x)}, n={len(x)}' for level, x in samples.items())


def _mean_and_spread(values: FloatArray) -> str:
    """Write a mean to the decimal to which its standard deviation has three digits."""
    spread = _spread(values)
    if not spread > 0:
        return f'{four_digits(float(values.mean()))} ({four_digits(spread)})'
    # digits by the spread and not by the mean: 1180 (66.1) and 0.91 (0.052) tell as much
    decimals = max(0, 2 - math.floor(math.log10(spread)))
    return f'{values.mean():.{decimals}f} ({spread:.{decimals}f})'


def _spread(values: FloatArray) -> float:
    """Return the standard deviation; of equal values exactly zero, which rounding spoils."""
    if len(values) < 2:
        return NAN
    return float(np.sqrt(variance(values)))


def compare_continuous(
    study: Study, cohort: str, frame: pd.DataFrame, name: str, analysis_name: str, family: str
) -> Row:
    """Compare the groups that have at least two values in a continuous column.

    Two groups get Student's t, more a one-way analysis of variance.

    Parameters
    ----------
    study : Study
        Order of the groups, and level of the interval.
    cohort : str
        Name of the cohort.
    frame : DataFrame
        Its participants, with ``group``.
    name : str
        Column; text that is no number is counted as left out.
    analysis_name, family : str
        For the columns ``analysis`` and ``family``.

    Returns
    -------
    Row
        Without a test, and with the reason, when fewer than two groups have two values or none
        differ.
    """
    values = pd.to_numeric(frame[name], errors='coerce')
    filled = frame.assign(**{name: values})
    complete, excluded = study.missing(filled, [name])
    unreadable = int((values.isna() & frame[name].notna()).sum())
    if unreadable:
        excluded = {**excluded, f'{name} missing': excluded[f'{name} missing'] - unreadable}
        excluded = {k: v for k, v in excluded.items() if v} | {f'{name} no number': unreadable}
    everyone = study.group_levels(frame)
    samples = {
        level: complete.loc[complete['group'] == level, name].to_numpy(dtype=float)
        for level in everyone
    }
    # one value has no variance, and would still take a degree of freedom
    used = {level: x for level, x in samples.items() if len(x) >= 2}
    left_out = [level for level in everyone if level not in used]
    kept = complete[complete['group'].isin(list(used))]
    measure = study.measure(name) or Measure(name, 'column', name)
    sample = Sample(kept, cohort, measure, excluded, group_counts(kept, list(used)))
    note = f'fewer than two values in {", ".join(left_out)}' if left_out else ''
    told: Told = {
        'analysis': analysis_name, 'term': 'group', 'note': note, 'formula': f'{name} ~ group',
        'extra': {'description': describe(used)},
    }  # fmt: skip
    if len(used) < 2 or np.ptp(kept[name].to_numpy(dtype=float)) == 0:
        few = 'not done: fewer than two groups have values'
        reason = 'not done: no variation' if len(used) >= 2 else few
        told['note'] = f'{reason}; {note}'.strip('; ')
        return sample.row(**told)
    if all(np.ptp(x) == 0 for x in used.values()):
        told['note'] = f'not done: nothing varies within the groups; {note}'.strip('; ')
        return sample.row(**told)
    return sample.row(**(told | {'family': family} | _tested(used, study.model.confidence)))


def _tested(used: Mapping[str, FloatArray], level: float) -> Told:
    """Return t (two groups) or F (more), its effect and what was done."""
    if len(used) > 2:
        test = one_way(list(used.values()))
        low, high = partial_eta2_confidence(test.value, test.df1, test.df2, level)
        return {
            'test': FTest(value=test.value, df1=test.df1, df2=test.df2, p=test.p),
            'effect': Effect(
                'partial_eta2', partial_eta2(test.value, test.df1, test.df2), low, high
            ),
            'method': 'one-way analysis of variance',
        }  # fmt: skip
    b, a = used
    test = student(used[a], used[b])
    sizes = len(used[a]), len(used[b])
    low, high = d_confidence(test.value, *sizes, level, hedges=True)
    g = d_from_t(test.value, *sizes) * small_sample_factor(test.df2)
    return {
        'contrast': f'{a} - {b}', 'test': TTest(value=test.value, df2=test.df2, p=test.p),
        'effect': Effect('hedges_g', g, low, high), 'method': "Student's t test",
    }  # fmt: skip


def compare_categorical(
    study: Study,
    cohort: str,
    frame: pd.DataFrame,
    name: str,
    rng: np.random.Generator,
    analysis_name: str = 'demographics',
    family: str = 'demographics',
) -> list[Row]:
    """Compare the groups' shares of each category: chi squared, and exactly if counts are small.

    Parameters
    ----------
    study : Study
        Order of the groups, and level of the interval.
    cohort : str
        Name of the cohort.
    frame : DataFrame
        Its participants, with ``group``.
    name : str
        Column of categories.
    rng : Generator
        Samples tables for the exact test where they are too many to enumerate.
    analysis_name, family : str
        For the columns ``analysis`` and ``family``; the exact test has its own, with the
        ending ``exact``.

    Returns
    -------
    list of Row
        The exact test is added where an expected count is below 5.
    """
    complete, excluded = study.missing(frame, [name])
    levels = study.group_levels(complete)
    measure = Measure(name, 'column', name)
    sample = Sample(complete, cohort, measure, excluded, group_counts(complete, levels))
    counts = pd.crosstab(complete['group'], _categories(complete[name])).reindex(levels)
    text = '; '.join(
        f'{level}: ' + ', '.join(f'{c} {n}' for c, n in counts.loc[level].items())
        for level in levels
    )
    told: Told = {
        'analysis': analysis_name, 'term': 'group', 'formula': f'{name} ~ group',
        'extra': {'description': text},
    }  # fmt: skip
    if min(counts.shape) < 2:
        # the page lists what has one category as the same in everybody, which one group is not
        alike = counts.shape[1] < 2
        told['note'] = f'not done: one {"category or one " if alike else ""}group only'
        return [sample.row(**told)]
    table = counts.to_numpy(dtype=np.int64)
    value, df, p = chi_squared(table)
    smallest = float(expected_counts(table).min())
    # Cochran's customary limit; chi squared stays beside the exact test, which few other papers
    # print
    small = smallest < 5
    n, smaller = int(table.sum()), min(table.shape) - 1
    low, high = cramers_v_confidence(value, df, n, smaller, study.model.confidence)
    effect = Effect('cramers_v', cramers_v(value, n, *table.shape), low, high)
    chi2: Told = {
        'test': ChiSquaredTest(value=value, df1=df, p=p), 'effect': effect, 'family': family,
        'method': 'chi squared test of Pearson, no continuity correction',
        'note': f'smallest expected count {smallest:.2g}: prefer the exact test' if small else '',
        'extra': {'description': text, 'smaller_dim': smaller},
    }  # fmt: skip
    rows = [sample.row(**(told | chi2))]
    if small:
        p_exact, drawn = fisher_exact(table, rng)
        exact: Told = {
            'analysis': f'{analysis_name}_exact', 'effect': effect, 'family': f'{family} exact',
            'test': ResampledTest(statistic='exact', p=p_exact, n_resamples=drawn) if drawn
            else StatisticalTest(statistic='exact', p=p_exact),
            'method': "Fisher's exact test (Freeman and Halton)"
            + (f', {drawn} tables drawn' if drawn else ', all tables enumerated'),
        }  # fmt: skip
        rows.append(sample.row(**(told | exact)))
    return rows


def _categories(column: pd.Series) -> pd.Series:
    """Return categories as text; codes as they were written, which a gap made 1.0 and 2.0."""
    codes = pd.api.types.is_numeric_dtype(column) and not is_truth(column)
    return as_text(column) if codes else column.astype(str)


def demographics(
    study: Study, earlier: Mapping[str, pd.DataFrame], rng: np.random.Generator
) -> list[Row]:
    """Compare demographic and clinical columns between the groups, in each cohort.

    Parameters
    ----------
    study : Study
        Data and model (``Demographics``).
    earlier : mapping of str to DataFrame
        Not used: this step looks at no other.
    rng : Generator
        Samples tables for the exact test where they are too many to enumerate.

    Returns
    -------
    list of Row
        Two rows for a categorical column with small cells: chi squared and the exact test.
    """
    del earlier
    wanted = study.model.content['Demographics']
    rows: list[Row] = []
    for cohort, frame in study.cohorts():
        continuous = _present(frame, wanted['Continuous'], cohort, rows)
        rows += [
            compare_continuous(study, cohort, frame, name, 'demographics', 'demographics')
            for name in continuous
        ]
        for name in _present(frame, wanted['Categorical'], cohort, rows):
            rows += compare_categorical(study, cohort, frame, name, rng)
    return rows


def _present(frame: pd.DataFrame, names: Sequence[str], cohort: str, rows: list[Row]) -> list[str]:
    """Return the columns that are there and have values; say which are not."""
    there = []
    for name in names:
        if name not in frame.columns:
            note = f'not done: there is no column {name!r}'
        elif frame[name].isna().all():
            note = 'not done: no value in this cohort'
        else:
            there.append(name)
            continue
        rows.append(Row(analysis='demographics', cohort=cohort, response=name, note=note))
    return there
