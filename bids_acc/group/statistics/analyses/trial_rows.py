"""Rows of the table ``trial``: visits as time, rates of response, normalisation, crossover.

Everybody who was seen takes part (intention to treat); beside it stands the same in those who
were seen at every visit (completers). Who was not is named in the table ``dropouts``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pandas as pd

from bids_acc.exceptions import BidsAccError, InputDataError
from bids_acc.group.formulas.design import DesignError
from bids_acc.group.formulas.evidence import equivalence_p
from bids_acc.group.formulas.mixed import level_order
from bids_acc.group.formulas.results import standard_error
from bids_acc.group.formulas.trials import (
    RateDifference,
    crossover,
    rate_difference,
    slopes_by_group,
)
from bids_acc.group.statistics.analyses.longitudinal_rows import (
    attempt,
    chosen_measures,
    row_of,
    session_roles,
    why_incomplete,
)
from bids_acc.group.statistics.analyses.modelling import (
    FittedModel,
    draw_sample,
    fit_model,
    not_done,
)
from bids_acc.group.statistics.analyses.posthoc import adjusted_row
from bids_acc.group.statistics.rows.kinds import NAN, Effect, StatisticalTest
from bids_acc.group.statistics.rows.row import Row
from bids_acc.group.statistics.study.data import Measure, Study, group_counts

LOGGER = logging.getLogger(__name__)

COMPLETERS = 'completers'


def trials(
    study: Study, earlier: Mapping[str, pd.DataFrame], rng: np.random.Generator
) -> list[Row]:
    """Analyse a study over visits as the trial that its model file describes.

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
        Slopes over the visits, rates of response, normalisation and crossover, as far as the
        model file asks for them.
    """
    del earlier, rng
    if study.wide['session_id'].nunique() < 2:
        return []
    first, later = session_roles(study)
    visits = [first, *later]
    wide = study.wide[study.wide['session_id'].isin(visits)]
    visits = attended(study, wide, visits)
    wide = wide[wide['session_id'].isin(visits)]
    measures = chosen_measures(study, study.model.content['Sessions']['Measures'])
    rows: list[Row] = []
    for cohort, frame in study.cohorts(wide):
        parts = {
            'slopes': _slopes(study, cohort, frame, measures, visits),
            'response rate': _rates(study, cohort, frame, visits),
            'normalisation': _normalisation(study, cohort, frame, measures, visits),
            'crossover': _crossover(study, cohort, frame, measures, visits),
        }
        for name, part in parts.items():
            rows += _all_or_why(name, cohort, part)
    return rows


def _all_or_why(name: str, cohort: str, part: Iterator[Row]) -> list[Row]:
    """Return the rows of one part of the trial, or one that says why there are none.

    A wrong column of the crossover must not cost the rates of response.
    """
    try:
        return list(part)
    except (BidsAccError, ArithmeticError, np.linalg.LinAlgError) as error:
        LOGGER.warning('%s was not done: %s', name, error)
        return [Row(analysis=name, cohort=cohort, note=f'not done: {error}')]


def followed(study: Study, frame: pd.DataFrame, visits: Sequence[str]) -> list[str]:
    """Return the groups of which somebody was seen after the first visit.

    Controls who are measured once are no arm of a trial and have not dropped out.

    Parameters
    ----------
    study : Study
        Order of the groups.
    frame : DataFrame
        Visits of one cohort.
    visits : sequence of str
        Sessions in the order of time.

    Returns
    -------
    list of str
        Groups that take part in the trial.
    """
    after = set(frame.loc[frame['session_id'].isin(visits[1:]), 'group'])
    return [level for level in study.group_levels(frame) if level in after]


def seen(study: Study, frame: pd.DataFrame) -> pd.Series:
    """Tell which rows are visits that took place: anything was measured, usable or not.

    Parameters
    ----------
    study : Study
        Its measures, and which of them failed a gate.
    frame : DataFrame
        Rows of ``Study.wide``, one a participant and session.

    Returns
    -------
    Series of bool
        With the index of ``frame``.
    """
    names = [measure.name for measure in study.measures if measure.name in frame]
    score = study.model.content['Sessions']['Improvement']
    if score is not None:
        names.append(score['Score'])
    failed = study.gate_failed.reindex(frame.index).fillna(False).any(axis=1)
    return frame[names].notna().any(axis=1) | failed


def attended(study: Study, frame: pd.DataFrame, visits: Sequence[str]) -> list[str]:
    """Return the visits that more than one person made.

    Parameters
    ----------
    study : Study
        Tells which visits took place.
    frame : DataFrame
        Visits of everybody.
    visits : sequence of str
        Sessions in the order of time.

    Returns
    -------
    list of str
        A visit of one person, such as a repeated baseline, is one that nobody else has missed;
        all of ``visits`` where fewer than two would be left.
    """
    there = frame[seen(study, frame)]
    people = there.groupby('session_id', observed=True)['participant_id'].nunique()
    several = [visit for visit in visits if people.get(visit, 0) > 1]
    return several if len(several) > 1 else list(visits)


def dropouts(study: Study) -> pd.DataFrame:
    """Name who lacks a later visit.

    Parameters
    ----------
    study : Study
        With two or more sessions.

    Returns
    -------
    DataFrame
        ``participant_id``, ``cohort``, ``group``, ``last_session`` and ``missing_sessions`` of
        everybody in a group with later visits who was not seen at all of them; empty if nobody.
    """
    if study.wide['session_id'].nunique() < 2:
        return pd.DataFrame()
    first, later = session_roles(study)
    visits = [first, *later]
    frame = study.wide[study.wide['session_id'].isin(visits)]
    visits = attended(study, frame, visits)
    frame = frame[frame['session_id'].isin(visits)]
    rows = []
    for cohort, part in study.cohorts(frame):
        arms = followed(study, part, visits)
        there = part[seen(study, part)]
        for (name, group), _ in part[part['group'].isin(arms)].groupby(
            ['participant_id', 'group'], sort=True
        ):
            had = set(there.loc[there['participant_id'] == name, 'session_id'])
            missing = [visit for visit in visits if visit not in had]
            # who was never seen has not dropped out, but is not in the trial
            if missing and had:
                last = [visit for visit in visits if visit in had][-1]
                rows.append((name, cohort, group, last, ', '.join(missing)))
    columns = ['participant_id', 'cohort', 'group', 'last_session', 'missing_sessions']
    return pd.DataFrame(rows, columns=columns)


def _complete(study: Study, frame: pd.DataFrame, visits: Sequence[str]) -> set[str]:
    """Return the people who were seen at every visit."""
    there = frame[seen(study, frame)]
    counts = there.groupby('participant_id')['session_id'].nunique()
    return set(counts.index[counts == len(visits)])


def _slopes(
    study: Study, cohort: str, frame: pd.DataFrame, measures: Sequence[Measure],
    visits: Sequence[str],
) -> Iterator[Row]:  # fmt: skip
    """Yield arm x time with time as a number, in everybody and in the completers."""
    time = study.model.content['Sessions']['Time']
    if time is None:
        return
    at = {str(label).removeprefix('ses-'): float(value) for label, value in time.items()}
    # a visit without a time cannot lie on a line, and left out in silence it would be missing from
    # the slope
    unknown = [visit for visit in visits if visit.removeprefix('ses-') not in at]
    if unknown:
        raise InputDataError(f'Sessions/Time: no time is given for session {unknown[0]!r}.')
    # weeks at one visit and days at another make a line of nothing
    times = [(at[visit.removeprefix('ses-')], visit) for visit in visits]
    for (before, one), (after, other) in pairwise(times):
        if after < before:
            raise InputDataError(
                f'Sessions/Time: {other} is at {after:g}, before {one} at {before:g}, against the '
                'order of the sessions: write all times in one unit, or correct Sessions/Order.'
            )
    arms = followed(study, frame, visits)
    data = frame[frame['group'].isin(arms)].assign(
        time=frame['session_id'].map(lambda label: at[str(label).removeprefix('ses-')])
    )
    data['group'] = pd.Categorical(data['group'], arms)
    complete = _complete(study, data, visits)
    covariates = [name for name in study.model.covariate_names if name in data]
    for measure in measures:
        for analysis, part in _populations('slopes', data, complete):

            def make(
                measure: Measure = measure, analysis: str = analysis, part: pd.DataFrame = part
            ) -> Row:
                result = slopes_by_group(part, measure.name, time='time', group='group',
                                         covariates=covariates)  # fmt: skip
                return row_of(result, measure, analysis=analysis, cohort=cohort,
                              family='' if COMPLETERS in analysis else 'trial slopes',
                              covariates=covariates)  # fmt: skip

            yield attempt(make, measure, analysis=analysis, cohort=cohort, term='group:time')


def _populations(
    analysis: str, data: pd.DataFrame, complete: set[str]
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield everybody, and those who were seen at every visit where these are fewer."""
    yield analysis, data
    who = set(data['participant_id'])
    if complete & who != who:
        yield f'{analysis} {COMPLETERS}', data[data['participant_id'].isin(complete)]


def _rates(study: Study, cohort: str, frame: pd.DataFrame, visits: Sequence[str]) -> Iterator[Row]:
    """Yield the shares of responders, of the remitted and of those who dropped out, by group."""
    arms = followed(study, frame, visits)
    people = frame[frame['group'].isin(arms)].drop_duplicates('participant_id')
    wanted = study.model.content['Sessions']['Improvement']
    there = frame[seen(study, frame)]
    # who missed a visit and came back has not dropped out
    last = set(there.loc[there['session_id'] == visits[-1], 'participant_id'])
    gone = people.assign(event=~people['participant_id'].isin(last))
    yield from _rate_rows(study, cohort, gone, arms, 'dropout rate', 'not seen at the last visit')
    if wanted is None:
        return
    score = wanted['Score']
    kinds = [('response', f'{score}_response', 'responder')]
    if wanted['Remission'] is not None:
        kinds.append(('remission', f'{score}_remission', 'remitted'))
    before = frame[frame['session_id'] == visits[0]].set_index('participant_id')[score]
    # everybody who began (intention to treat): counting those with a last score only rewards an
    # arm whose failures leave
    rated = people[people['participant_id'].map(before).notna()]
    for kind, column, level in kinds:
        event = rated.assign(event=rated[column] == level)
        known = event[rated[column].notna()]
        yield from _rate_rows(
            study,
            cohort,
            event,
            arms,
            f'{kind} rate',
            'everybody with a first score; who has no last one counts as none',
        )
        yield from _rate_rows(study, cohort, known, arms, f'{kind} rate {COMPLETERS}',
                              'those with both scores')  # fmt: skip


def _rate_rows(
    study: Study, cohort: str, people: pd.DataFrame, arms: Sequence[str], analysis: str, who: str
) -> Iterator[Row]:
    """Yield the difference of one rate between each pair of groups."""
    for b, a in combinations(arms, 2):
        own = people[people['group'].isin([a, b])]
        counts, sizes = own.groupby('group')['event'].sum(), group_counts(own, (a, b))
        common: dict[str, Any] = {
            'analysis': analysis, 'cohort': cohort, 'term': 'group', 'contrast': f'{a} - {b}',
            'response': analysis.removesuffix(f' {COMPLETERS}').removesuffix(' rate'),
            'n': len(own), 'n_per_group': sizes, 'formula': 'event ~ group',
        }  # fmt: skip
        # a rate of nobody is no rate of zero
        if not all(sizes.values()):
            yield Row(**common, note='not done: a group has nobody')
            continue
        rate: RateDifference = rate_difference(
            int(counts[a]), sizes[a], int(counts[b]), sizes[b], study.model.confidence
        )
        family = 'trial rates' if analysis.endswith('rate') and 'dropout' not in analysis else ''
        yield Row(
            **common, test=StatisticalTest(statistic='Fisher exact', p=rate.p),
            effect=Effect('risk_difference', rate.difference, rate.ci_low, rate.ci_high),
            family=family,
            method="Fisher's exact test; difference of shares with Newcombe's hybrid score "
            f'interval; {who}',
            extra={
                'needed_to_treat': rate.needed_to_treat,
                'description': '; '.join(
                    f'{g}: {int(counts[g])}/{sizes[g]} ({100 * counts[g] / sizes[g]:.0f} %)'
                    for g in (a, b)
                ),
            },
        )  # fmt: skip


def _normalisation(
    study: Study, cohort: str, frame: pd.DataFrame, measures: Sequence[Measure],
    visits: Sequence[str],
) -> Iterator[Row]:  # fmt: skip
    """Yield each followed group at each visit against the reference at its first."""
    if not study.model.content['Sessions']['Normalisation']:
        return
    reference = study.model.group.reference
    # controls at their first visit for all visits of patients: they were measured once
    controls = frame[(frame['group'] == reference) & (frame['session_id'] == visits[0])]
    terms = ['group', *study.model.covariate_names]
    for level in followed(study, frame, visits):
        if level == reference:
            continue
        for measure in measures:
            before = float('nan')
            for visit in visits:
                own = frame[(frame['group'] == level) & (frame['session_id'] == visit)]
                both = pd.concat([controls, own])
                sample = draw_sample(study, cohort, both, measure, terms[1:])
                try:
                    model = fit_model(study, sample, terms, ['group'])
                except DesignError as error:
                    yield not_done(sample, 'normalisation', terms, error)
                    continue
                row = _against_controls(study, model, level, visit, visits[0], before)
                # what is left is told in shares of the first difference, at equal covariates as
                # that was
                before = float(row.extra['estimate']) if visit == visits[0] else before
                yield row


def _against_controls(
    study: Study, model: FittedModel, level: str, visit: str, first: str, before: float
) -> Row:
    """Return the comparison of patients at one visit with controls, and what is left of it."""
    reference = study.model.group.reference
    row = adjusted_row(
        model, {level: 1.0, reference: -1.0}, f'{level} - {reference}', study,
        analysis='normalisation', family='trial normalisation',
        method=f'adjusted means: the group at {visit} against the reference at {first}',
    )  # fmt: skip
    row.term = f'group at {visit}'
    bound = study.model.content['Evidence']['SmallestDifference']
    note = 'a difference that is no longer significant is not shown to be gone'
    if visit == first:
        return row
    estimate = float(row.extra['estimate'])
    # who did not differ at first has nothing of which a share could be left
    row.extra = {**row.extra, 'share_left': estimate / before if before else NAN}
    if bound is not None:
        se, sigma = float(row.extra['se']), float(row.extra['sd_residual'])
        p = equivalence_p(estimate, se, row.test.df2, bound * sigma)
        row.extra = {**row.extra, 'p_equivalence': p}
        note = (
            f'{"smaller" if p <= study.model.alpha else "not shown to be smaller"} than {bound:g} '
            f'SD (two one-sided tests, p = {p:.3g})'
        )
    elif row.test.p <= study.model.alpha:
        note = ''
    row.note = '; '.join(filter(None, [row.note, note]))
    return row


def _crossover(
    study: Study, cohort: str, frame: pd.DataFrame, measures: Sequence[Measure],
    visits: Sequence[str],
) -> Iterator[Row]:  # fmt: skip
    """Yield treatment, period and carry-over of a crossover of two treatments."""
    wanted = study.model.content['Sessions']['Crossover']
    if wanted is None:
        return
    column = wanted['Treatment']
    if column not in frame:
        raise InputDataError(f'Sessions/Crossover: there is no column {column!r} (sessions.tsv).')
    given = frame[frame[column].notna()]
    names = wanted['Levels'] or level_order(given[column])
    if len(names) != 2:
        raise InputDataError(
            f'Sessions/Crossover: {column} has {len(names)} treatments '
            f'({", ".join(names) or "none"}); two are compared, see Levels.'
        )
    given = given[given[column].astype(str).isin(names)]
    places = {visit: i for i, visit in enumerate(visits)}
    periods = sorted(set(given['session_id'].astype(str)), key=places.__getitem__)
    # with three periods, order and carry-over are another model
    if len(periods) != 2:
        raise InputDataError(
            f'Sessions/Crossover: treatments were given in {len(periods)} sessions, not in two.'
        )
    for measure in measures:
        wide = given.pivot_table(index='participant_id', columns='session_id',
                                 values=measure.name, observed=True)  # fmt: skip
        order = given[given['session_id'] == periods[0]].set_index('participant_id')[column]
        treatments = given.drop_duplicates(['participant_id', column])['participant_id']
        both = treatments.value_counts() > 1
        # both periods: one alone holds the person's level, which is what the design takes out
        own = wide.reindex(columns=periods).dropna().join(order.astype(str).rename('order'))
        own = own.dropna()
        excluded = why_incomplete(study, given, [measure.name], periods)
        # who had one treatment twice is in neither order
        crossed = both.reindex(own.index).eq(True)
        excluded |= {'one treatment in both periods': int((~crossed).sum())}
        own = own[crossed]
        try:
            found = crossover(own[periods[0]].to_numpy(), own[periods[1]].to_numpy(),
                              own['order'].to_numpy(), (names[0], names[1]))  # fmt: skip
        except InputDataError as error:
            yield Row(analysis='crossover', cohort=cohort, response=measure.name,
                      metric=measure.metric, component=measure.component, term='treatment',
                      note=f'not done: {error}')  # fmt: skip
            continue
        for result in (found.treatment, found.period, found.carryover):
            yield row_of(
                result, measure, analysis='crossover', cohort=cohort, excluded=excluded,
                family='trial crossover' if result.term == 'treatment' else '',
                extra={'se': standard_error(result)},
                note='' if result.term == 'treatment' else 'a check with little power; the '
                'treatment is tested whatever it says (Freeman 1989)' * (result.term != 'period'),
            )  # fmt: skip
