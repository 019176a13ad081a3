"""Who was studied: demographic and clinical characteristics by group."""

from __future__ import annotations

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
from bids_acc.group.formulas.two_samples import one_way, student
from bids_acc.group.statistics.modelling import Sample
from bids_acc.group.statistics.rows import NAN, Row
from bids_acc.group.statistics.study import Measure, Study, group_counts
from bids_acc.typing import FloatArray


def describe(samples: Mapping[str, FloatArray]) -> str:
    """Write mean, standard deviation and n of each group as one cell.

    Examples
    --------
    >>> describe({'HC': np.array([1.0, 2.0, 3.0])})
    'HC: 2 (1), n=3'
    """
    return '; '.join(
        f'{level}: {x.mean():.4g} ({x.std(ddof=1) if len(x) > 1 else NAN:.4g}), n={len(x)}'
        for level, x in samples.items()
    )


def compare_continuous(
    study: Study, cohort: str, frame: pd.DataFrame, name: str, analysis_name: str, family: str
) -> Row:
    """Compare the groups that have at least two values in a continuous column.

    Two groups get Student's t, more a one-way analysis of variance.
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
    used = {level: x for level, x in samples.items() if len(x) >= 2}
    left_out = [level for level in everyone if level not in used]
    kept = complete[complete['group'].isin(list(used))]
    measure = study.measure(name) or Measure(name, 'column', name)
    sample = Sample(kept, cohort, measure, excluded, group_counts(kept, list(used)))
    note = f'fewer than two values in {", ".join(left_out)}' if left_out else ''
    cells = {
        'term': 'group', 'note': note, 'formula': f'{name} ~ group',
        'extra': {'description': describe(used)},
    }  # fmt: skip
    if len(used) < 2 or np.ptp(kept[name].to_numpy(dtype=float)) == 0:
        few = 'not done: fewer than two groups have values'
        reason = 'not done: no variation' if len(used) >= 2 else few
        return sample.row(analysis_name, **(cells | {'note': f'{reason}; {note}'.strip('; ')}))
    return _tested(study, sample, used, analysis_name, family, cells)


def _tested(
    study: Study,
    sample: Sample,
    used: Mapping[str, FloatArray],
    analysis_name: str,
    family: str,
    cells: Mapping[str, object],
) -> Row:
    """Return the row of t (two groups) or F (more)."""
    level = study.model.confidence
    if len(used) > 2:
        test = one_way(list(used.values()))
        low, high = partial_eta2_confidence(test.value, test.df1, test.df2, level)
        effect_name, effect = 'partial_eta2', partial_eta2(test.value, test.df1, test.df2)
        contrast, method = '', 'one-way analysis of variance'
    else:
        b, a = used
        test = student(used[a], used[b])
        sizes = len(used[a]), len(used[b])
        factor = small_sample_factor(test.df2)
        low, high = d_confidence(test.value, *sizes, level, hedges=True)
        effect_name, effect = 'hedges_g', d_from_t(test.value, *sizes) * factor
        contrast, method = f'{a} - {b}', "Student's t test"
    return sample.row(
        analysis_name, contrast=contrast, statistic=test.statistic, value=test.value,
        df1=test.df1, df2=test.df2, effect_name=effect_name, effect=effect, ci_low=low,
        ci_high=high, p_unc=test.p, family=family, method=method, **cells,
    )  # fmt: skip


def compare_categorical(
    study: Study,
    cohort: str,
    frame: pd.DataFrame,
    name: str,
    rng: np.random.Generator,
    analysis_name: str = 'demographics',
    family: str = 'demographics',
) -> list[Row]:
    """Compare the groups' shares of each category: chi squared, and exactly for small cells."""
    complete, excluded = study.missing(frame, [name])
    levels = study.group_levels(complete)
    measure = Measure(name, 'column', name)
    sample = Sample(complete, cohort, measure, excluded, group_counts(complete, levels))
    counts = pd.crosstab(complete['group'], complete[name].astype(str)).reindex(levels)
    text = '; '.join(
        f'{level}: ' + ', '.join(f'{c} {n}' for c, n in counts.loc[level].items())
        for level in levels
    )
    cells = {'term': 'group', 'formula': f'{name} ~ group'}
    if min(counts.shape) < 2:
        return [
            sample.row(
                analysis_name, note='not done: one category or one group only',
                extra={'description': text}, **cells,
            )
        ]  # fmt: skip
    table = counts.to_numpy(dtype=np.int64)
    value, df, p = chi_squared(table)
    smallest = float(expected_counts(table).min())
    small = smallest < 5
    n, smaller = int(table.sum()), min(table.shape) - 1
    low, high = cramers_v_confidence(value, df, n, smaller, study.model.confidence)
    rows = [
        sample.row(
            analysis_name, statistic='chi2', value=value, df1=df, p_unc=p, effect_name='cramers_v',
            effect=cramers_v(value, n, *table.shape), ci_low=low, ci_high=high, family=family,
            method='chi squared test of Pearson, no continuity correction',
            note=f'smallest expected count {smallest:.2g}: prefer the exact test' if small else '',
            extra={'description': text, 'smaller_dim': smaller}, **cells,
        )
    ]  # fmt: skip
    if small:
        p_exact, drawn = fisher_exact(table, rng)
        rows.append(
            sample.row(
                f'{analysis_name}_exact', statistic='exact', p_unc=p_exact,
                effect_name='cramers_v', effect=cramers_v(value, n, *table.shape), ci_low=low,
                ci_high=high,
                family=f'{family} exact', method="Fisher's exact test (Freeman and Halton)"
                + (f', {drawn} tables drawn' if drawn else ', all tables enumerated'),
                extra={'description': text, **({'n_resamples': drawn} if drawn else {})}, **cells,
            )
        )  # fmt: skip
    return rows


def demographics(
    study: Study, earlier: Mapping[str, pd.DataFrame], rng: np.random.Generator
) -> list[Row]:
    """Compare demographic and clinical columns between the groups, in each cohort."""
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
