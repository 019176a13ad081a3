"""Rows of the table ``change``: within participants, between groups, change on change."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from bids_acc.exceptions import BidsAccError, InputDataError
from bids_acc.group.formulas.design import sum_coding
from bids_acc.group.formulas.longitudinal import baseline_ancova, change_correlation, paired_change
from bids_acc.group.formulas.mixed import MixedModel, level_order, mixed_model
from bids_acc.group.formulas.results import TestResult
from bids_acc.group.statistics.rows.kinds import Effect, FTest, TTest
from bids_acc.group.statistics.rows.row import Cell, Row
from bids_acc.group.statistics.study.data import (
    Measure,
    Study,
    as_text,
    named_measures,
    nothing_named,
)
from bids_acc.group.statistics.study.sessions import visit_order


def row_of(
    result: TestResult, measure: Measure, *, analysis: str, cohort: str, family: str,
    contrast: str = '', covariates: Sequence[str] = (), note: str = '',
    extra: Mapping[str, Cell] | None = None, excluded: Mapping[str, int] | None = None,
) -> Row:  # fmt: skip
    """Turn a test result into a row of a table.

    Parameters
    ----------
    result : TestResult
        From `longitudinal` or `sites`.
    measure : Measure
        Dependent variable.
    analysis, cohort, family, contrast, note : str
        As in `Row`; an empty contrast is that of the result.
    covariates : sequence of str
        Covariates in the model.
    extra : mapping, optional
        Further columns.
    excluded : mapping, optional
        Participants left out, by reason; by default the result's count without reasons.
    """
    if excluded is None:
        excluded = {'incomplete': result.excluded} if result.excluded else {}
    return Row(
        analysis=analysis, cohort=cohort, response=measure.name, component=measure.component,
        metric=measure.metric, term=result.term, contrast=contrast or result.contrast,
        test=TTest(value=result.value, df2=result.df2, p=result.p) if result.statistic == 't'
        else FTest(value=result.value, df1=result.df1, df2=result.df2, p=result.p),
        n=result.n, n_per_group=result.n_per_group,
        effect=Effect(result.effect_name, result.effect, result.ci_low, result.ci_high),
        family=family,
        covariates=tuple(covariates), formula=result.formula, method=result.method,
        excluded=excluded,
        note='; '.join(filter(None, [result.note, note])), extra=dict(extra or {}),
    )  # fmt: skip


def attempt(
    make: Callable[[], Row], measure: Measure, *, analysis: str, cohort: str, term: str,
    contrast: str = '',
) -> Row:  # fmt: skip
    """Return the row that a function makes, or one that says why it could not be computed.

    Parameters
    ----------
    make : callable
        Takes nothing and returns the row.
    measure : Measure
        Response.
    analysis, cohort, term, contrast : str
        Cells of the row that says why.

    Returns
    -------
    Row
        Errors of input and arithmetic become its note; others are raised.
    """
    try:
        return make()
    except (BidsAccError, ArithmeticError, np.linalg.LinAlgError) as error:
        return Row(
            analysis=analysis, cohort=cohort, response=measure.name, term=term,
            component=measure.component, metric=measure.metric, contrast=contrast,
            note=f'not done: {error}',
        )  # fmt: skip


def session_roles(study: Study) -> tuple[str, list[str]]:
    """Return the first session and the later ones, as they stand in the table.

    Parameters
    ----------
    study : Study
        Data and model (``Sessions``).

    Returns
    -------
    first : str
        Baseline session.
    later : list of str
        Follow-ups in the order of time.

    Raises
    ------
    InputDataError
        If the model names a session that nobody has.
    """
    wanted = study.model.content['Sessions']
    visits = visit_order(study.wide, study.model.sessions)
    present = list(visits.order)
    by_label = {name.removeprefix('ses-'): name for name in present}

    def find(label: str) -> str:
        plain = str(label).removeprefix('ses-')
        if plain not in by_label:
            raise InputDataError(f'Sessions: nobody has session {label!r}; there are {present}.')
        return by_label[plain]

    order = [find(name) for name in wanted['Order']] or present
    first = visits.baseline or order[0]
    later = [find(name) for name in wanted['FollowUps']] or [s for s in order if s != first]
    return first, later


def response_column(study: Study) -> str:
    """Return the column that tells responders apart; the group by default.

    Parameters
    ----------
    study : Study
        Only its model is used (``Sessions/ResponseColumn``).

    Returns
    -------
    str
        Column of ``Study.wide``.
    """
    column = study.model.content['Sessions']['ResponseColumn']
    return 'group' if column in (None, study.model.group.column) else str(column)


def levels_of(frame: pd.DataFrame, column: str) -> list[str]:
    """Return the levels of a column that occur: in its own order, or else the alphabet's.

    Parameters
    ----------
    frame : DataFrame
        With the column.
    column : str
        Group or response.

    Returns
    -------
    list of str
        See `level_order`.
    """
    return level_order(frame[column])


def change_covariates(study: Study, frame: pd.DataFrame, response: str) -> list[str]:
    """Return the model's covariates that are not the grouping itself.

    Parameters
    ----------
    study : Study
        Only its model is used.
    frame : DataFrame
        Its columns count; a covariate that is none of them is left out.
    response : str
        Column that tells the groups of the change apart.

    Returns
    -------
    list of str
        In the order of the model file.
    """
    names = study.model.covariate_names
    return [name for name in names if name != response and name in frame]


def chosen_measures(study: Study, names: Sequence[str]) -> list[Measure]:
    """Return the named measures, or those that the model file names anywhere.

    Parameters
    ----------
    study : Study
        Its measures.
    names : sequence of str
        Names of measures; none for `named_measures`.

    Returns
    -------
    list of Measure
        In the order of ``names``.

    Raises
    ------
    InputDataError
        If a name is unknown.
    """
    known = {measure.name: measure for measure in study.measures}
    if missing := [name for name in names if name not in known]:
        raise InputDataError(f'no measure {missing[0]!r}; there are: {", ".join(known)}.')
    return [known[name] for name in names] if names else named_measures(study)


def why_incomplete(
    study: Study, frame: pd.DataFrame, columns: Sequence[str], sessions: Sequence[str]
) -> dict[str, int]:
    """Count the participants without all values in all sessions, by their first reason.

    Parameters
    ----------
    study : Study
        Knows which values failed their gate.
    frame : DataFrame
        Part of ``study.wide``.
    columns, sessions : sequence of str
        What an analysis needs.
    """
    reasons: dict[str, int] = {}
    for _, rows in frame[frame['session_id'].isin(list(sessions))].groupby('participant_id'):
        reason = next(_reasons(study, rows, columns, sessions), None)
        if reason is not None:
            reasons[reason] = reasons.get(reason, 0) + 1
    return dict(sorted(reasons.items()))


def _reasons(
    study: Study, rows: pd.DataFrame, columns: Sequence[str], sessions: Sequence[str]
) -> Iterator[str]:
    """Yield what one participant lacks."""
    for session in sessions:
        visit = rows[rows['session_id'] == session]
        if visit.empty:
            yield f'no {session}'
            continue
        for name in columns:
            if visit[name].isna().all():
                gate = study.gate_failed
                failed = name in gate and bool(gate.loc[visit.index, name].any())
                yield f'{name} {"failed quality gate" if failed else "missing"} in {session}'


def _paired_rows(
    study: Study, frame: pd.DataFrame, measure: Measure, first: str, second: str, cohort: str,
    response: str,
) -> Iterator[Row]:  # fmt: skip
    """Yield the change of all participants, then that of each group."""
    contrast = f'{second} - {first}'
    scopes = [('all groups', frame)]
    levels = levels_of(followed_levels(frame, response)[0], response)
    # the mean over groups is also told, as some designs have no other question
    if len(levels) > 1:
        scopes += [(level, frame[frame[response].astype(str) == level]) for level in levels]
    for scope, part in scopes:

        def make(scope: str = scope, part: pd.DataFrame = part) -> Row:
            change = paired_change(part, measure.name, first=first, second=second, term=scope)
            extra = {
                'mean_change': change.mean_change, 'change_ci_low': change.ci_low,
                'change_ci_high': change.ci_high, 'percent_change': change.percent_change,
                'p_wilcoxon': change.wilcoxon_p,
            }  # fmt: skip
            return row_of(change.test, measure, analysis='paired change', cohort=cohort,
                          family='change paired', contrast=contrast, extra=extra,
                          excluded=why_incomplete(study, part, [measure.name],
                                                  [first, second]))  # fmt: skip

        yield attempt(make, measure, analysis='paired change', cohort=cohort, term=scope,
                      contrast=contrast)  # fmt: skip


def _mixed_rows(
    study: Study, frame: pd.DataFrame, measure: Measure, cohort: str, response: str
) -> list[Row]:
    """Return the F tests of session, group and their interaction."""
    covariates = change_covariates(study, frame, response)
    # before the model: a group without later visits has no change to estimate
    frame, once = followed_levels(frame, response)
    frame, empty = shared_visits(frame, measure.name, response)
    said = '; '.join(filter(None, [once, empty]))
    terms = mixed_terms(frame, response, covariates)
    try:
        fit, results = mixed_model(frame, measure.name, terms, group=response)
    except (BidsAccError, ArithmeticError, np.linalg.LinAlgError) as error:
        return [Row(analysis='mixed model', cohort=cohort, response=measure.name,
                    component=measure.component, metric=measure.metric, term='session_id',
                    note=f'not done: {error}')]  # fmt: skip
    lost = _nothing_usable(study, frame, [measure.name, response, *covariates])
    rows = [
        row_of(result, measure, analysis='mixed model', cohort=cohort, covariates=covariates,
               note='; '.join(
                   filter(None, [smallest_difference(result, study.model.alpha), said])),
               family='' if result.term in covariates else f'change mixed {result.term}',
               excluded=lost)
        for result in results
    ]  # fmt: skip
    by_visit = changes_by_visit(fit, frame, results, response)
    rows += [
        row_of(result, measure, analysis='mixed contrast', cohort=cohort, covariates=covariates,
               family='change contrasts', excluded=lost)
        for result in by_visit
    ]  # fmt: skip
    return rows + _completer_rows(frame, measure, cohort, response, terms, covariates)


def _completer_rows(
    frame: pd.DataFrame, measure: Measure, cohort: str, response: str, terms: list[str],
    covariates: list[str],
) -> list[Row]:  # fmt: skip
    """Return the mixed model of those with a value at every visit, where others lack one."""
    have = frame[frame[measure.name].notna()]
    counts = have.groupby('participant_id')['session_id'].nunique()
    who = set(counts.index[counts == have['session_id'].nunique()])
    # the same people: the row would be there twice
    if who == set(have['participant_id']):
        return []
    name = 'mixed model completers'
    try:
        own = frame[frame['participant_id'].isin(who)]
        _, results = mixed_model(own, measure.name, terms, group=response)
    except (BidsAccError, ArithmeticError, np.linalg.LinAlgError) as error:
        return [Row(analysis=name, cohort=cohort, response=measure.name,
                    component=measure.component, metric=measure.metric, term='session_id',
                    note=f'not done: {error}')]  # fmt: skip
    return [
        row_of(result, measure, analysis=name, cohort=cohort, covariates=covariates, family='')
        for result in results if result.term not in covariates
    ]  # fmt: skip


def changes_by_visit(
    fit: MixedModel, frame: pd.DataFrame, results: Sequence[TestResult], response: str
) -> Iterator[TestResult]:
    """Yield, with three or more visits, how groups differ in the change up to each of them.

    Parameters
    ----------
    fit : MixedModel
        With ``session_id``, ``response`` and their interaction, coded to sum to zero.
    frame : DataFrame
        Its data.
    results : sequence of TestResult
        Its F tests; that of the interaction says who took part.
    response : str
        Column of the groups.
    """
    visits, groups = level_order(frame['session_id']), levels_of(frame, response)
    omnibus = next((r for r in results if r.term == f'session_id:{response}'), None)
    if omnibus is None or len(visits) < 3:
        return
    time, group = sum_coding(visits), sum_coding(groups)
    columns = [i for i, name in enumerate(fit.names) if _is_interaction(name, response)]
    for visit in visits[1:]:
        for b, a in combinations(groups, 2):
            weights = np.zeros(len(fit.beta))
            # the columns of the first part of session_id:group run fastest
            # session by group alone: main effects cancel in a difference of differences
            weights[columns] = np.outer(group[a] - group[b], time[visit] - time[visits[0]]).ravel()
            estimate, se, t, df = fit.contrast(weights)
            half = float(stats.t.ppf(0.975, df)) * se
            yield replace(
                omnibus, statistic='t', value=t, df1=1, df2=df,
                p=float(2 * stats.t.sf(abs(t), df)),
                effect_name='difference_of_differences', effect=estimate, ci_low=estimate - half,
                ci_high=estimate + half, contrast=f'({visit} - {visits[0]}) x ({a} - {b})',
                method='contrast of the linear mixed model, REML, Satterthwaite',
            )  # fmt: skip


def _is_interaction(name: str, response: str) -> bool:
    """Tell whether a fixed effect belongs to session by group."""
    return name.startswith('session_id[') and f':{response}[' in name


def followed_levels(frame: pd.DataFrame, response: str) -> tuple[pd.DataFrame, str]:
    """Leave out groups that nobody followed: without later visits they have no change.

    Parameters
    ----------
    frame : DataFrame
        Visits, with ``session_id`` as categories in the order of time.
    response : str
        Column of the groups.

    Returns
    -------
    frame : DataFrame
        Without the groups that were seen at the first session only; all rows where nobody was
        seen again.
    note : str
        Names them; empty where none were left out.
    """
    # controls measured once would tell nothing of change, but would be a level that session by
    # group cannot estimate
    first = frame['session_id'].cat.categories[0]
    later = set(frame.loc[frame['session_id'] != first, response].dropna().astype(str))
    once = [level for level in levels_of(frame, response) if level not in later]
    if not once or not later:
        return frame, ''
    kept = frame[frame[response].astype(str).isin(later)]
    return kept, f'without {", ".join(once)}, measured once'


def shared_visits(frame: pd.DataFrame, measure: str, response: str) -> tuple[pd.DataFrame, str]:
    """Leave out visits at which a group has no value: one such cell would end the whole model.

    Parameters
    ----------
    frame : DataFrame
        Visits of the groups that were followed.
    measure, response : str
        Columns of the values and of the groups.

    Returns
    -------
    frame : DataFrame
        All rows where fewer than two visits would be left.
    note : str
        Names the visits; empty where none were left out.
    """
    have = frame[frame[measure].notna() & frame[response].notna()]
    counts = pd.crosstab(have['session_id'].astype(str), have[response].astype(str))
    empty = [v for v in level_order(have['session_id']) if (counts.loc[v] == 0).any()]
    # a second baseline of one person, or the last visits of an arm that went on alone
    if not empty or len(counts) - len(empty) < 2:
        return frame, ''
    kept = frame[~frame['session_id'].astype(str).isin(empty)]
    return kept, f'without {", ".join(empty)}, where a group has no value'


def smallest_difference(result: TestResult, alpha: float) -> str:
    """Say which difference of change the sample would find with 80 % power.

    The standard error found here stands for that of a repetition: ``(t_a + t_b) se``.

    Parameters
    ----------
    result : TestResult
        Estimate and t; other effects than ``difference_of_differences`` have no sentence.
    alpha : float
        Two-sided level of the test.

    Returns
    -------
    str
        In units of the response.
    """
    if result.effect_name != 'difference_of_differences' or not result.value > 0:
        return ''
    # of one degree of freedom F is t squared, so that the row itself holds the standard error
    se = abs(result.effect) / np.sqrt(result.value)
    law = stats.t(result.df2)
    smallest = float(law.ppf(1 - alpha / 2) + law.ppf(0.8)) * se
    return f'80 % power for differences of change of {smallest:.3g} or more'


def _nothing_usable(study: Study, frame: pd.DataFrame, columns: Sequence[str]) -> dict[str, int]:
    """Count the participants without any complete visit, by what their first visit lacks."""
    lost: dict[str, int] = {}
    for _, rows in frame.groupby('participant_id'):
        if rows[list(columns)].notna().all(axis=1).any():
            continue
        first = rows.iloc[:1]
        reason = next(_reasons(study, first, columns, list(first['session_id'].astype(str))), None)
        if reason is not None:
            lost[reason] = lost.get(reason, 0) + 1
    return dict(sorted(lost.items()))


def _ancova_row(
    study: Study, frame: pd.DataFrame, measure: Measure, first: str, second: str, cohort: str,
    response: str,
) -> Row:  # fmt: skip
    """Return the baseline-adjusted comparison of the groups."""
    covariates = change_covariates(study, frame, response)
    term = f'{response} in {second}'

    def make() -> Row:
        result = baseline_ancova(frame, measure.name, first=first, second=second, group=response,
                                 covariates=covariates)  # fmt: skip
        return row_of(replace(result, term=term), measure, analysis='baseline-adjusted',
                      cohort=cohort, family='change adjusted',
                      covariates=['baseline', *covariates],
                      excluded=why_incomplete(study, frame, [measure.name, *covariates],
                                              [first, second]))  # fmt: skip

    return attempt(make, measure, analysis='baseline-adjusted', cohort=cohort, term=term)


def _correlation_rows(
    study: Study, frame: pd.DataFrame, first: str, second: str, cohort: str
) -> Iterator[Row]:
    """Yield the change-change correlations that the model names."""
    covariates = change_covariates(study, frame, '')
    for x, y in study.model.content['Sessions']['ChangeCorrelations']:
        measure = study.measure(x) or Measure(x, 'column', x)

        def make(x: str = x, y: str = y, measure: Measure = measure) -> Row:
            if missing := [c for c in (x, y) if c not in frame]:
                raise InputDataError(f'there is no column {missing[0]!r}.')
            data = frame.assign(**{c: pd.to_numeric(frame[c], errors='coerce') for c in (x, y)})
            result = change_correlation(data, x, y, first=first, second=second,
                                        covariates=covariates)  # fmt: skip
            return row_of(result, measure, analysis='change-change', cohort=cohort,
                          family='change correlation', contrast=f'{second} - {first}',
                          covariates=['baselines', *covariates],
                          excluded=why_incomplete(study, frame, [x, y, *covariates],
                                                  [first, second]))  # fmt: skip

        yield attempt(make, measure, analysis='change-change', cohort=cohort,
                      term=f'change of {x} with change of {y}')  # fmt: skip


def change_frame(study: Study) -> tuple[pd.DataFrame, str, list[str], str]:
    """Return everybody's visits, the first and the later ones, and the column of the groups.

    Visits and groups are categories whose order decides the sign of every difference: later -
    first, other group - reference.

    Parameters
    ----------
    study : Study
        Data and model (``Sessions``).

    Returns
    -------
    wide : DataFrame
        Visits; ``session_id`` and the column of the groups are categories.
    first : str
        Baseline session.
    later : list of str
        Follow-ups in the order of time.
    response : str
        Column of the groups.

    Raises
    ------
    InputDataError
        If the model names a session or column that is not there.
    """
    first, later = session_roles(study)
    response = response_column(study)
    if response not in study.wide:
        raise InputDataError(f'Sessions/ResponseColumn: there is no column {response!r}.')
    wide = study.wide[study.wide['session_id'].isin([first, *later])]
    text = as_text(wide[response])
    # the reference in front, because the last level minus the first is what the estimates are
    levels = study.group_levels(wide) if response == 'group' else level_order(text)
    wide = wide.assign(
        session_id=pd.Categorical(wide['session_id'], [first, *later]),
        **{response: pd.Categorical(text, levels)},
    )
    return wide, first, later, response


def mixed_terms(frame: pd.DataFrame, response: str, covariates: Sequence[str]) -> list[str]:
    """Return the fixed effects of the mixed model over the visits.

    Parameters
    ----------
    frame : DataFrame
        Visits.
    response : str
        Column of the groups; a single group has no term.
    covariates : sequence of str
        Further main effects.

    Returns
    -------
    list of str
        Terms as `make_design` takes them.
    """
    if len(levels_of(frame, response)) > 1:
        return ['session_id', response, f'session_id:{response}', *covariates]
    return ['session_id', *covariates]


def change_between_sessions(
    study: Study, earlier: Mapping[str, pd.DataFrame], rng: np.random.Generator
) -> list[Row]:
    """Analyse change: paired, in a mixed model, at equal baseline, and change with change.

    Parameters
    ----------
    study : Study
        Data and model (``Sessions``).
    earlier : mapping of str to DataFrame
        Not used: this step looks at no other.
    rng : Generator
        Not used: nothing here is random.

    Returns
    -------
    list of Row
        Empty with one visit.
    """
    del earlier, rng
    if study.wide['session_id'].nunique() < 2:
        return []
    wide, first, later, response = change_frame(study)
    rows: list[Row] = []
    measures = chosen_measures(study, study.model.content['Sessions']['Measures'])
    if not measures:
        rows.append(Row(analysis='mixed model', note=f'not done: {nothing_named(study)}'))
    for cohort, frame in study.cohorts(wide):
        for measure in measures:
            rows += _mixed_rows(study, frame, measure, cohort, response)
            for second in later:
                rows += _paired_rows(study, frame, measure, first, second, cohort, response)
                if len(levels_of(frame, response)) > 1:
                    rows.append(
                        _ancova_row(study, frame, measure, first, second, cohort, response)
                    )
        for second in later:
            rows += _correlation_rows(study, frame, first, second, cohort)
    return rows
