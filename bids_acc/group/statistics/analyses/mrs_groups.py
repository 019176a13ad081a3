"""Whether metabolite levels differ between the groups, with and without nuisance covariates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase

import numpy as np
import pandas as pd
from scipy import stats

from bids_acc.group.formulas.design import DesignError
from bids_acc.group.formulas.inference import (
    d_confidence,
    d_from_t,
    rank_biserial,
    rank_biserial_confidence,
    small_sample_factor,
)
from bids_acc.group.formulas.two_samples import (
    mann_whitney,
    permuted_means,
    pooled_sd,
    student,
    variance,
    welch,
)
from bids_acc.group.statistics.analyses.ancova import term_row, term_test
from bids_acc.group.statistics.analyses.demographics import describe
from bids_acc.group.statistics.analyses.modelling import (
    FittedModel,
    Sample,
    draw_sample,
    fit_model,
    not_done,
)
from bids_acc.group.statistics.analyses.posthoc import adjusted_row, adjusted_rows
from bids_acc.group.statistics.analyses.quality_groups import quality_frame
from bids_acc.group.statistics.analyses.small import FEWEST_DRAWS, term_or_permutation
from bids_acc.group.statistics.rows.kinds import NAN, Effect, ResampledTest, StatisticalTest, TTest
from bids_acc.group.statistics.rows.row import Cell, Row, Told
from bids_acc.group.statistics.study.data import Measure, Study, roles, wanted_metabolites
from bids_acc.typing import FloatArray


def not_measured(study: Study) -> list[Row]:
    """Return a row for each metabolite that the model names but nobody has.

    Parameters
    ----------
    study : Study
        Data and model (``Mrs``).

    Returns
    -------
    list of Row
        Without a test; empty when there are no spectra at all.
    """
    if study.mrs.empty:
        return []
    scheme = study.model.content['Mrs']['UnitScheme']
    there = ', '.join(measure.name for measure in study.measures_of('metabolite', 'ratio'))
    if not there:
        known = study.mrs.get('unit_scheme', pd.Series(dtype=str)).dropna().astype(str)
        there = f'nothing; the unit schemes there are: {", ".join(sorted(set(known))) or "none"}'
    return [
        Row(
            analysis='mrs_t', response=name, metric=name,
            note=f'not done: no {name} in unit scheme {scheme} (there: {there})',
        )
        for name in wanted_metabolites(study)
        if study.measure(name) is None
    ]  # fmt: skip


def detected_rate(study: Study, name: str, frame: pd.DataFrame) -> float:
    """Return the share of a cohort's spectra in which a metabolite was detected.

    Parameters
    ----------
    study : Study
        Levels in long form, and unit scheme.
    name : str
        Metabolite or sum of metabolites.
    frame : DataFrame
        Participants of the cohort.

    Returns
    -------
    float
        From 0 to 1; NaN without spectra. Tables without ``detected`` count values that are
        there.
    """
    if study.mrs.empty:  # a column of the table of people that is called like a metabolite
        return NAN
    table = study.mrs[study.mrs['metabolite'].astype(str) == name]
    if 'unit_scheme' in table.columns:
        table = table[table['unit_scheme'] == study.model.content['Mrs']['UnitScheme']]
    table = table[table['participant_id'].isin(frame['participant_id'])]
    if table.empty:
        return NAN
    if 'detected' in table.columns:
        return float(table['detected'].astype(str).str.lower().isin(['true', '1', '1.0']).mean())
    return float(table['value'].notna().mean())


def _student_row(a: FloatArray, b: FloatArray, level: float) -> Told:
    """Return the cells of Student's t with Cohen's d, and Hedges' g beside it."""
    test, sizes = student(a, b), (len(a), len(b))
    low, high = d_confidence(test.value, *sizes, level)
    g_low, g_high = d_confidence(test.value, *sizes, level, hedges=True)
    d = d_from_t(test.value, *sizes)
    return {
        'analysis': 'mrs_t', 'test': TTest(value=test.value, df2=test.df2, p=test.p),
        'effect': Effect('cohen_d', d, low, high),
        'method': "Student's t test, pooled variance; d = difference / pooled SD",
        'extra': {
            'hedges_g': d * small_sample_factor(test.df2), 'hedges_g_low': g_low,
            'hedges_g_high': g_high, 'estimate': float(a.mean() - b.mean()),
            'sd_residual': pooled_sd(a, b),
        },
    }  # fmt: skip


def _welch_row(a: FloatArray, b: FloatArray, level: float) -> Told:
    """Return the cells of Welch's t with the difference and its interval."""
    test = welch(a, b)
    difference = float(a.mean() - b.mean())
    se = float(np.sqrt(variance(a) / len(a) + variance(b) / len(b)))
    margin = float(stats.t.ppf((1 + level) / 2, test.df2)) * se
    return {
        'analysis': 'mrs_welch', 'test': TTest(value=test.value, df2=test.df2, p=test.p),
        'effect': Effect('mean_difference', difference, difference - margin, difference + margin),
        'method': "Welch's t test, unequal variances", 'extra': {'se': se},
    }  # fmt: skip


def _rank_row(a: FloatArray, b: FloatArray, level: float) -> Told:
    """Return the cells of Mann-Whitney's U."""
    test, sizes = mann_whitney(a, b), (len(a), len(b))
    effect = rank_biserial(test.value, *sizes)
    low, high = rank_biserial_confidence(effect, *sizes, level)
    return {
        'analysis': 'mrs_rank',
        'test': StatisticalTest(statistic='U', value=test.value, p=test.p),
        'effect': Effect('rank_biserial', effect, low, high), 'note': test.note,
        'method': f'Mann-Whitney U, {"exact" if test.exact else "normal approximation"}',
    }  # fmt: skip


def pair_rows(
    study: Study,
    sample: Sample,
    pair: tuple[str, str],
    family: str,
    detected: float,
    rng: np.random.Generator,
) -> Iterator[Row]:
    """Yield the tests of one pair of groups without covariates: t, Welch, ranks, permutation.

    Student's t is the main one where the model has no covariates and no group is small; in a
    small one it is the permutation of means.

    Parameters
    ----------
    study : Study
        Levels, number of permutations and what is small.
    sample : Sample
        Participants who have the metabolite.
    pair : (str, str)
        Groups; the difference is the first minus the second.
    family : str
        Tests that are corrected together; each kind of test has its own.
    detected : float
        Share of spectra in which the metabolite was detected, for the row.
    rng : Generator
        Permutations of the means.

    Yields
    ------
    Row
        Without a test, and with the reason, when a group has fewer than two values.
    """
    adjusted = bool(study.model.covariates)
    small = min(sum(sample.frame['group'] == v) for v in pair) < study.model.content['ExactBelow']
    name, frame = sample.measure.name, sample.frame
    samples = {
        level: frame.loc[frame['group'] == level, name].to_numpy(dtype=float) for level in pair
    }
    a, b = samples[pair[0]], samples[pair[1]]
    counts = {level: len(x) for level, x in samples.items()}
    fixed: Told = {
        'term': 'group', 'contrast': ' - '.join(pair), 'n': len(a) + len(b),
        'n_per_group': counts, 'formula': f'{name} ~ group',
    }  # fmt: skip
    described: dict[str, Cell] = {'description': describe(samples), 'detected_rate': detected}
    few = min(counts.values()) < 2
    if few or np.ptp(np.concatenate([a, b])) == 0:
        why = 'fewer than two values in a group' if few else 'all values are the same'
        undone: Told = {'analysis': 'mrs_t', 'note': f'not done: {why}'}
        yield sample.row(**(fixed | undone))
        return
    makers: list[tuple[Callable[[FloatArray, FloatArray, float], Told], str]] = [
        (_student_row, f'{family} t' if adjusted or small else family),
        (_welch_row, f'{family} welch'), (_rank_row, f'{family} rank'),
    ]  # fmt: skip
    for maker, own_family in makers:
        told = maker(a, b, study.model.confidence)
        told['extra'] = {**told.get('extra', {}), **described}
        told['family'] = own_family
        yield sample.row(**(fixed | told))
    draws = int(study.model.content['Permutations'])
    if small:
        # few draws cannot show a p that survives correction
        draws = max(draws, FEWEST_DRAWS)
    if draws:
        test = permuted_means(a, b, draws, rng)
        # with covariates the adjusted comparison is the main one, and this stands beside it
        main = small and not adjusted
        interval = _welch_row(a, b, study.model.confidence)['effect']
        permuted: Told = {
            'analysis': 'mrs_exact' if main else 'mrs_permutation',
            'test': ResampledTest(statistic=test.statistic, value=test.value, p=test.p,
                                  n_resamples=test.n_resamples),
            'family': family if main else f'{family} permutation',
            'effect': replace(interval, name='difference of means', size=test.value),
            'method': 'permutation of group labels, '
            + ('all divisions' if test.exact else f'{draws} at random') + "; Welch's interval",
            'note': f'smallest possible p is {test.smallest:.2g}' if main else '',
        }  # fmt: skip
        yield sample.row(**(fixed | permuted))


def metabolites_by_group(
    study: Study, earlier: Mapping[str, pd.DataFrame], rng: np.random.Generator
) -> list[Row]:
    """Compare metabolites between groups: by the model, then pairs by other means.

    Where the model has covariates, the findings are differences of adjusted means; tests without
    covariates stand beside them.

    Parameters
    ----------
    study : Study
        Data and model (``Mrs``).
    earlier : mapping of str to DataFrame
        Not used: this step looks at no other.
    rng : Generator
        Permutations of small samples.

    Returns
    -------
    list of Row
        Rows of every pair of groups, and of all groups together where there are several or the
        model has covariates.
    """
    del earlier
    rows: list[Row] = not_measured(study)
    for cohort, frame in study.cohorts():
        for measure, family in roles(study):
            sample = draw_sample(study, cohort, frame, measure, [])
            levels = study.group_levels(sample.frame)
            detected = detected_rate(study, measure.name, frame)
            for pair in study.model.group.pairs('all', levels):
                rows += pair_rows(study, sample, pair, family, detected, rng)
            if len(study.group_levels(frame)) > 2 or study.model.covariates:
                rows += _by_the_model(study, cohort, frame, measure, family, rng)
    return rows


def _by_the_model(
    study: Study,
    cohort: str,
    frame: pd.DataFrame,
    measure: Measure,
    family: str,
    rng: np.random.Generator,
) -> list[Row]:
    """Return the group term of the model file's model and the pairs of its adjusted means."""
    terms = ['group', *study.model.covariate_names]
    sample = draw_sample(study, cohort, frame, measure, terms[1:])
    try:
        model = fit_model(study, sample, terms, ['group'])
    except DesignError as error:
        return [not_done(sample, 'mrs_ancova', terms, error)]
    test = term_test(model, 'group', study.model.ss_type)
    levels = list(model.design.levels['group'])
    # Of two groups the pair of adjusted means is the same test, with a direction.
    doubled = len(levels) == 2 and bool(study.model.covariates)
    omnibus = term_row(model, test, study, 'mrs_ancova', '' if doubled else f'{family} ancova')
    rows = term_or_permutation(omnibus, model, study, 'group', rng)
    if study.model.covariates:
        for a, b in study.model.group.pairs('all', levels):
            rows += adjusted_rows(
                model, {a: 1.0, b: -1.0}, f'{a} - {b}', study, rng, analysis='mrs_adjusted',
                family=family, method='t test of the difference of covariate-adjusted means, '
                'pooled residual variance',
            )  # fmt: skip
    return rows


def defines_groups(study: Study, column: str) -> bool:
    """Tell whether a column is a symptom by which the groups were defined.

    Parameters
    ----------
    study : Study
        Only its model is used (``Nuisance/DefinesGroups``, patterns).
    column : str
        Candidate for a nuisance covariate.

    Returns
    -------
    bool
        Such a column differs between the groups by design and is no nuisance.
    """
    patterns = study.model.content['Nuisance']['DefinesGroups']
    return any(fnmatchcase(column, pattern) for pattern in patterns)


def nuisance_columns(
    study: Study, cohort: str, frame: pd.DataFrame, earlier: Mapping[str, pd.DataFrame]
) -> dict[str, str]:
    """Return the columns to correct for in a cohort, each with the reason.

    Parameters
    ----------
    study : Study
        The model names columns that are always corrected for.
    cohort : str
        Name of the cohort.
    frame : DataFrame
        Its participants.
    earlier : mapping of str to DataFrame
        Tables ``demographics`` and ``qc_by_group``, where columns that differ are looked up.
    """
    wanted = study.model.content['Nuisance']
    # those of the declaration first: a column that differs too keeps that reason
    found = dict.fromkeys(wanted['Always'], 'always')
    if wanted['IfDifferent']:
        for name in ('demographics', 'qc_by_group'):
            table = earlier.get(name)
            if table is None or table.empty:
                continue
            chosen = table['analysis'].isin(['demographics', 'quality_passed'])
            # Of all quality measures that happen to be there some differ by chance.
            guess = name == 'qc_by_group' and study.model.content['Quality']['Measures'] is None
            p_value = 'p_corrected' if guess else 'p_unc'
            differs = (table[p_value] <= study.model.alpha) & (table['cohort'] == cohort)
            word = 'corrected p' if guess else 'p'
            for response, p in table.loc[chosen & differs, ['response', p_value]].to_numpy():
                if not defines_groups(study, str(response)):
                    found.setdefault(str(response), f'differs between groups, {word} = {p:.3g}')
    return {name: reason for name, reason in found.items() if name in frame.columns}


def corrected_together(
    study: Study, earlier: Mapping[str, pd.DataFrame], rng: np.random.Generator
) -> list[Row]:
    """Repeat the t tests of metabolites in the further families that the model names.

    Parameters
    ----------
    study : Study
        Data and model (``Mrs/Together``).
    earlier : mapping of str to DataFrame
        Table ``mrs_group``; without it nothing is repeated.
    rng : Generator
        Not used: nothing here is random.

    Returns
    -------
    list of Row
        One row a metabolite, pair and cohort in each further family.
    """
    del rng
    table = earlier.get('mrs_group')
    if table is None:
        return []
    rows: list[Row] = []
    for family, names in study.model.content['Mrs']['Together'].items():
        # said by name: a family that shrinks unseen makes every p in it too small
        absent = [name for name in names if study.measure(name) is None]
        rows += [
            Row(analysis='mrs_together', response=name, metric=name, note=f'not done: no {name}')
            for name in absent
        ]
        for cohort, frame in study.cohorts():
            for name in names:
                measure = study.measure(name)
                if measure is not None:
                    rows += _together_rows(study, cohort, frame, measure, family)
    return rows


def _together_rows(
    study: Study, cohort: str, frame: pd.DataFrame, measure: Measure, family: str
) -> Iterator[Row]:
    """Yield Student's t of each pair of groups, in a family of its own."""
    sample = draw_sample(study, cohort, frame, measure, [])
    for pair in study.model.group.pairs('all', study.group_levels(sample.frame)):
        parts = [sample.frame.loc[sample.frame['group'] == v, measure.name] for v in pair]
        a, b = (part.to_numpy(dtype=float) for part in parts)
        if min(len(a), len(b)) < 2 or np.ptp(np.concatenate([a, b])) == 0:
            continue  # the row of the main analysis says so
        own: Told = {
            'analysis': 'mrs_together', 'term': 'group', 'contrast': ' - '.join(pair),
            'n': len(a) + len(b),
            'n_per_group': dict(zip(pair, (len(a), len(b)), strict=True)),
            'family': f'mrs_together {family}', 'formula': f'{measure.name} ~ group',
        }  # fmt: skip
        yield sample.row(**(_student_row(a, b, study.model.confidence) | own))


def nuisance_regressions(
    study: Study, earlier: Mapping[str, pd.DataFrame], rng: np.random.Generator
) -> list[Row]:
    """Repeat the group comparison of each metabolite with one nuisance covariate at a time.

    Parameters
    ----------
    study : Study
        Data and model (``Nuisance``).
    earlier : mapping of str to DataFrame
        Tables ``demographics`` and ``qc_by_group``: columns that differ between groups.
    rng : Generator
        Not used: nothing here is random.

    Returns
    -------
    list of Row
        One row a metabolite, nuisance covariate and cohort.
    """
    del rng
    rows: list[Row] = []
    joined = _with_quality(study)
    always = study.model.content['Nuisance']['Always']
    if roles(study):
        rows += [
            Row(
                analysis='mrs_nuisance',
                note=f'not done: there is no column {name!r} in participants or quality measures',
                extra={'nuisance': name},
            )
            for name in always
            if name not in joined.columns
        ]
    # nuisance is chosen cohort by cohort: what differs in one scanner need not in another
    for cohort, frame in study.cohorts(joined):
        for column, reason in nuisance_columns(study, cohort, frame, earlier).items():
            for measure, family in roles(study):
                rows += _one_nuisance(study, cohort, frame, measure, column, reason, family)
    return rows


def _with_quality(study: Study) -> pd.DataFrame:
    """Return the baseline with the measures of quality as columns."""
    joined, _ = quality_frame(study)
    return joined.set_axis(study.baseline.index)


def nuisance_models(
    study: Study, earlier: Mapping[str, pd.DataFrame]
) -> Iterator[tuple[FittedModel, str]]:
    """Yield the models behind `nuisance_regressions`, each with its covariate.

    Parameters
    ----------
    study, earlier
        As for `nuisance_columns`. What cannot be fitted is left out; the regressions say so.
    """
    for cohort, frame in study.cohorts(_with_quality(study)):
        for column in nuisance_columns(study, cohort, frame, earlier):
            for measure, _ in roles(study):
                try:
                    yield _nuisance_model(study, cohort, frame, measure, column), column
                except DesignError:
                    continue


def _nuisance_model(
    study: Study, cohort: str, frame: pd.DataFrame, measure: Measure, column: str
) -> FittedModel:
    """Fit group and one covariate to a metabolite."""
    sample = draw_sample(study, cohort, frame, measure, [column])
    if not pd.api.types.is_numeric_dtype(frame[column]):
        raise_if_factor(study, column)
    return fit_model(study, sample, ['group', column], ['group'])


def _one_nuisance(
    study: Study,
    cohort: str,
    frame: pd.DataFrame,
    measure: Measure,
    column: str,
    reason: str,
    family: str,
) -> list[Row]:
    """Return the group effect on one metabolite at equal values of one column."""
    try:
        model = _nuisance_model(study, cohort, frame, measure, column)
    except DesignError as error:
        sample = draw_sample(study, cohort, frame, measure, [column])
        row = not_done(sample, 'mrs_nuisance', ['group', column], error)
        row.extra = {'nuisance': column}
        return [row]
    present = list(model.design.levels['group'])
    rows = group_rows(study, model, present, f'{family} nuisance')
    for row in rows:
        row.analysis = 'mrs_nuisance'
        row.covariates = (column,)
        row.extra = {**row.extra, 'nuisance': column}
        row.family = f'{family} nuisance {column}'
        row.note = '; '.join(part for part in (row.note, f'{column}: {reason}') if part)
    return rows


def raise_if_factor(study: Study, column: str) -> None:
    """Refuse a text column that the model does not declare as a categorical covariate.

    Parameters
    ----------
    study : Study
        Only its model is used.
    column : str
        Text column that was named as a covariate.

    Raises
    ------
    DesignError
        If it is no categorical covariate.
    """
    known = [c.name for c in study.model.covariates if c.kind == 'categorical']
    if column not in known:
        raise DesignError(f'{column} holds text: declare it as a categorical covariate.')


def group_rows(study: Study, model: FittedModel, present: list[str], family: str) -> list[Row]:
    """Return t of the adjusted difference of two groups, or F of the group term of more.

    Parameters
    ----------
    study : Study
        Levels of tests and intervals.
    model : FittedModel
        With ``group``.
    present : list of str
        Groups in the sample.
    family : str
        Tests that are corrected together.

    Returns
    -------
    list of Row
        One row.
    """
    if len(present) == 2:
        a, b = study.model.group.pairs('all', present)[0]
        return [
            adjusted_row(
                model, {a: 1.0, b: -1.0}, f'{a} - {b}', study, family=family,
                method='linear model of group and covariates',
            )
        ]  # fmt: skip
    test = term_test(model, 'group', study.model.ss_type)
    return [term_row(model, test, study, 'mrs_nuisance', family)]
