"""Rows of the table ``meta``: group differences per site, pooled, as meta-analysis, by ComBat."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import pandas as pd

from bids_acc.exceptions import BidsAccError, InputDataError
from bids_acc.group.formulas.harmonise import ComBat
from bids_acc.group.formulas.results import TestResult, standard_error
from bids_acc.group.formulas.sites import (
    MetaAnalysis,
    SiteComparison,
    adjusted_difference,
    compare_sites,
)
from bids_acc.group.statistics.analyses.longitudinal_rows import attempt, row_of
from bids_acc.group.statistics.rows.kinds import Effect, TTest, ZTest
from bids_acc.group.statistics.rows.row import Row
from bids_acc.group.statistics.study.data import Measure, Study, as_text, named_measures
from bids_acc.group.statistics.study.joining import refuse_spellings


def site_column(study: Study) -> str:
    """Return the column with the site; the cohort when the model names none.

    Parameters
    ----------
    study : Study
        Data and model (``Sites/Column``).

    Returns
    -------
    str
        Column of ``Study.wide``.

    Raises
    ------
    InputDataError
        If there is no such column.
    """
    column = study.model.content['Sites']['Column'] or 'cohort'
    if column not in study.wide:
        raise InputDataError(f'Sites/Column: there is no column {column!r}.')
    return str(column)


def _difference_row(
    result: TestResult, measure: Measure, contrast: str, cohort: str, kind: str,
    covariates: list[str], excluded: Mapping[str, int] | None = None,
) -> Row:  # fmt: skip
    """Return the row of an adjusted difference."""
    return row_of(result, measure, analysis=kind, cohort=cohort, family=f'meta {kind}',
                  contrast=contrast, covariates=covariates, excluded=excluded,
                  extra={'se': standard_error(result)})  # fmt: skip


def _meta_row(
    meta: MetaAnalysis, comparison: SiteComparison, measure: Measure, contrast: str
) -> Row:
    """Return the row of the meta-analysis."""
    results = comparison.per_site.values()
    counts: dict[str, int] = {}
    for result in results:
        for name, n in result.n_per_group.items():
            counts[name] = counts.get(name, 0) + n
    return Row(
        analysis='meta-analysis', cohort='all', response=measure.name, metric=measure.metric,
        component=measure.component, term='group', contrast=contrast,
        test=ZTest(value=meta.value, p=meta.p) if meta.statistic == 'z'
        else TTest(value=meta.value, df2=meta.df, p=meta.p),
        n=sum(counts.values()), n_per_group=counts,
        effect=Effect('mean_hedges_g', meta.estimate, meta.ci_low, meta.ci_high),
        family='meta meta-analysis', method=meta.method,
        formula='g ~ 1' if meta.statistic == 'z' else 'g ~ 1 + (1 | site)',
        note='; '.join([
            *_few_cohorts(meta),
            *(f'{site} left out: {why}' for site, why in comparison.left_out.items()),
        ]),
        extra={
            'se': meta.se, 'n_sites': meta.k, 'tau2': meta.tau2, 'i2_pct': meta.i2, 'q': meta.q,
            'p_q': meta.q_p, 'prediction_low': meta.prediction_low,
            'prediction_high': meta.prediction_high, 'random_low': meta.random_low,
            'random_high': meta.random_high, 'common_effect': meta.common[0],
            'common_low': meta.common[1], 'common_high': meta.common[2],
        },
    )  # fmt: skip


def _few_cohorts(meta: MetaAnalysis) -> list[str]:
    """Say what the mean of two, three or four cohorts can and cannot tell."""
    if 2 < meta.k < 5:  # Bender et al. 2018: very few studies
        mean, low, high = meta.common
        text = f'{meta.k} cohorts: the random-effects test has little power; common effect'
        return [f'{text} {mean:.2f} [{low:.2f}, {high:.2f}]']
    if meta.k > 2:
        return []
    text = 'two cohorts: common effect; the variance between them cannot be known'
    if meta.q_p <= 0.1:  # Q has little power: its customary level
        text += f', and they may differ (Q p = {meta.q_p:.3f}): the mean may describe neither'
    return [text]


def _comparison_rows(
    study: Study, frame: pd.DataFrame, measure: Measure, levels: tuple[str, str], site: str
) -> list[Row]:
    """Return all rows of one measure and one pair of groups."""
    covariates = [c for c in study.model.covariate_names if c != site]
    contrast = f'{levels[0]} - {levels[1]}'
    comparison = compare_sites(
        frame, measure.name, group='group', levels=levels, site=site, covariates=covariates,
        method=study.model.content['Sites']['Method'],
    )  # fmt: skip
    # counted per site: losses that differ between sites are a reason of their own to disagree
    needed = [measure.name, *covariates]
    pair = frame[frame['group'].isin(levels)]
    excluded = {name: study.missing(part, needed)[1] for name, part in pair.groupby(site)}
    rows = [
        _difference_row(result, measure, contrast, name, 'per site', covariates, excluded[name])
        for name, result in comparison.per_site.items()
    ]
    used = pair[pair[site].isin(list(comparison.per_site))]
    everywhere = study.missing(used, needed)[1]
    rows.append(_difference_row(comparison.pooled, measure, contrast, 'all', 'pooled with site',
                                [site, *covariates], everywhere))  # fmt: skip
    rows.append(
        row_of(comparison.interaction, measure, analysis='group by site', cohort='all',
               family='meta group by site', contrast=contrast, covariates=[site, *covariates],
               excluded=everywhere)
    )  # fmt: skip
    row = _meta_row(comparison.meta, comparison, measure, contrast)
    row.excluded = everywhere
    rows.append(row)
    return rows


def shared_pairs(frame: pd.DataFrame, levels: list[str], site: str) -> list[tuple[str, str]]:
    """Return the pairs of groups that at least two sites have, later level first.

    Parameters
    ----------
    frame : DataFrame
        With ``group`` and the column of the sites.
    levels : list of str
        Groups, reference first.
    site : str
        Column of the sites.

    Returns
    -------
    list of (str, str)
        Pairs ``(a, b)`` to compare as a - b.
    """
    # a pair that one site has alone can be compared there, but not side by side
    have = frame.groupby(site)['group'].agg(set)
    return [
        (b, a) for a, b in combinations(levels, 2)
        if sum(a in groups and b in groups for groups in have) > 1
    ]  # fmt: skip


def harmonised(study: Study, frame: pd.DataFrame, site: str) -> tuple[pd.DataFrame, int]:
    """Return the measures after ComBat, group and covariates preserved.

    Only participants with all measures and covariates take part; their number is returned too.

    Parameters
    ----------
    study : Study
        Measures, covariates and model (``Sites/MinPerSite``).
    frame : DataFrame
        One row a participant, with the column of the sites.
    site : str
        Column of the sites.

    Returns
    -------
    clean : DataFrame
        Harmonised measures, site, group and covariates of complete participants.
    left_out : int
        Participants who are not complete.

    Raises
    ------
    InputDataError
        For each of ComBat's guards.
    """
    names = [measure.name for measure in named_measures(study)]
    covariates = [c for c in study.model.covariate_names if c != site]
    # group and covariates are preserved: a site that recruits older people would else be corrected
    # for their age
    data = frame[[*names, site, 'group', *covariates]].dropna()
    combat = ComBat(
        site=site, preserve=('group', *covariates), empirical_bayes=len(names) > 1,
        min_per_site=study.model.content['Sites']['MinPerSite'],
    )  # fmt: skip
    clean = combat.fit_transform(data)
    return clean.join(data[[site, 'group', *covariates]]), len(frame) - len(data)


def _combat_rows(
    study: Study, frame: pd.DataFrame, pairs: list[tuple[str, str]], site: str
) -> list[Row]:
    """Return group differences after harmonisation."""
    try:
        clean, dropped = harmonised(study, frame, site)
    except BidsAccError as error:
        return [Row(analysis='after ComBat', note=f'not done: {error}')]
    covariates = [c for c in study.model.covariate_names if c != site]
    excluded = {'a measure or covariate missing': dropped} if dropped else {}
    rows = []
    for measure in named_measures(study):
        for levels in pairs:
            contrast = f'{levels[0]} - {levels[1]}'

            def make(
                measure: Measure = measure, levels: tuple[str, str] = levels,
                contrast: str = contrast,
            ) -> Row:  # fmt: skip
                result = adjusted_difference(clean, measure.name, 'group', levels, covariates)
                row = _difference_row(result, measure, contrast, 'all', 'after ComBat', covariates,
                                      excluded)  # fmt: skip
                row.note = (
                    'site effects estimated from the same data: the interval is slightly short'
                )
                return row

            # Complete people only: a group may be gone in this table and there in the others.
            rows.append(attempt(make, measure, analysis='after ComBat', cohort='all', term='group',
                                contrast=contrast))  # fmt: skip
    return rows


def sites_side_by_side(
    study: Study, earlier: Mapping[str, pd.DataFrame], rng: np.random.Generator
) -> list[Row]:
    """Compare groups per site, pooled with site, by meta-analysis and after ComBat.

    Parameters
    ----------
    study : Study
        Data and model (``Sites``).
    earlier : mapping of str to DataFrame
        Not used: this step looks at no other.
    rng : Generator
        Not used: nothing here is random.

    Returns
    -------
    list of Row
        Empty with one site.
    """
    del earlier, rng
    site = site_column(study)
    frame = study.baseline[study.baseline[site].notna()]
    frame = frame.assign(**{site: as_text(frame[site])})
    if frame[site].nunique() < 2:
        return []
    # 'Basel' and 'basel' as two sites would each get half of a scanner's people
    refuse_spellings(frame[site], site, 'sites')
    pairs = shared_pairs(frame, study.group_levels(frame), site)
    rows: list[Row] = []
    for measure in named_measures(study):
        for levels in pairs:
            try:
                rows += _comparison_rows(study, frame, measure, levels, site)
            except BidsAccError as error:
                rows.append(
                    Row(analysis='meta-analysis', response=measure.name, metric=measure.metric,
                        component=measure.component, term='group',
                        contrast=f'{levels[0]} - {levels[1]}', note=f'not done: {error}')
                )  # fmt: skip
    if pairs and study.model.content['Sites']['Harmonise'] == 'combat':
        rows += _combat_rows(study, frame, pairs, site)
    return rows
