"""Whether a change between sessions stands without the assumptions of its test.

Rows of the table ``diagnostics``, as for group effects: of the comparison after treatment at equal
baseline, of the paired change, and of the mixed model over the visits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import stats

from bids_acc.exceptions import BidsAccError
from bids_acc.group.formulas.design import Design, DesignError, build_design
from bids_acc.group.formulas.linear import fit_ols
from bids_acc.group.formulas.longitudinal import wide_sessions
from bids_acc.group.formulas.mixed import (
    MixedModel,
    fit_random_intercept,
    level_order,
    make_design,
)
from bids_acc.group.statistics.analyses.diagnostics import (
    assumption_rows,
    influence_row,
    normality_row,
    robustness_rows,
)
from bids_acc.group.statistics.analyses.longitudinal_rows import (
    change_covariates,
    change_frame,
    chosen_measures,
    followed_levels,
    levels_of,
    mixed_terms,
    shared_visits,
    why_incomplete,
)
from bids_acc.group.statistics.analyses.modelling import FittedModel, Sample
from bids_acc.group.statistics.rows.kinds import StatisticalTest
from bids_acc.group.statistics.rows.row import Row
from bids_acc.group.statistics.study.data import Measure, Study
from bids_acc.typing import FloatArray


@dataclass(frozen=True)
class Visits:
    """One measure of one cohort over the visits."""

    study: Study
    frame: pd.DataFrame
    measure: Measure
    cohort: str
    first: str
    later: Sequence[str]
    response: str
    """Column of the groups."""

    @property
    def covariates(self) -> list[str]:
        """Covariates of the model that are not the grouping itself."""
        return change_covariates(self.study, self.frame, self.response)


def change_diagnostics(
    study: Study, earlier: Mapping[str, pd.DataFrame], rng: np.random.Generator
) -> list[Row]:
    """Check the models of change; what could not be fitted is told in the table of change.

    Parameters
    ----------
    study : Study
        Data and model.
    earlier : mapping of str to DataFrame
        Table ``change``: which mixed models were fitted.
    rng : Generator
        Permutes residuals of the models at equal baseline.

    Returns
    -------
    list of Row
        Normality of differences and residuals, influence and robustness; empty with one visit.
    """
    if study.wide['session_id'].nunique() < 2 or 'change' not in earlier:
        return []
    wide, first, later, response = change_frame(study)
    rows: list[Row] = []
    for cohort, frame in study.cohorts(wide):
        for measure in chosen_measures(study, study.model.content['Sessions']['Measures']):
            visits = Visits(study, frame, measure, cohort, first, later, response)
            for second in later:
                rows += _at_equal_baseline(visits, second, rng)
                rows += _paired(visits, second)
            rows += _mixed(visits, earlier['change'])
    return rows


def baseline_model(visits: Visits, second: str) -> FittedModel:
    """Return the linear model of the later value on group, baseline and covariates.

    Parameters
    ----------
    visits : Visits
        Measure and cohort.
    second : str
        Session that is explained.

    Raises
    ------
    InputDataError
        If the sample cannot carry the model.
    """
    name, response = visits.measure.name, visits.response
    sides, _ = wide_sessions(visits.frame, name, [visits.first, second])
    people = visits.frame[visits.frame['session_id'] == visits.first].set_index('participant_id')
    columns = [response, *visits.covariates]
    data = sides.set_axis(['baseline', name], axis=1).join(people[columns]).dropna()
    data = data.reset_index()
    factors = {
        column: level_order(data[column])
        for column in columns
        if not pd.api.types.is_numeric_dtype(data[column])
    }
    if len(factors.get(response, ())) < 2:
        raise DesignError('there is one group only.')
    for column in factors:
        data[column] = data[column].astype(str)
    design = build_design(data, [response, 'baseline', *visits.covariates], factors,
                          keep=[response, 'baseline'])  # fmt: skip
    excluded = why_incomplete(visits.study, visits.frame, [name, *visits.covariates],
                              [visits.first, second])  # fmt: skip
    counts = {level: int((data[response] == level).sum()) for level in factors[response]}
    sample = Sample(data, visits.cohort, visits.measure, excluded, counts)
    fit = fit_ols(design.X, data[name].to_numpy(dtype=float))
    return FittedModel(sample, design, fit, ('baseline', *visits.covariates))


def _at_equal_baseline(visits: Visits, second: str, rng: np.random.Generator) -> Iterator[Row]:
    """Yield the checks of the comparison after treatment, at equal baseline."""
    try:
        model = baseline_model(visits, second)
    except BidsAccError:
        return
    response = visits.response
    checks = (
        *assumption_rows(model, response),
        *robustness_rows(model, visits.study, response, rng),
    )
    for row in checks:
        term = f'residuals in {second}' if row.term == 'residuals' else f'{response} in {second}'
        yield replace(row, term=term, contrast='at equal baseline')


def _paired(visits: Visits, second: str) -> Iterator[Row]:
    """Yield the checks of the mean change, of everybody and of each group.

    The signed-rank test stands in the table of change.
    """
    name, response = visits.measure.name, visits.response
    levels = levels_of(followed_levels(visits.frame, response)[0], response)
    scopes = {'all groups': visits.frame}
    if len(levels) > 1:
        own = visits.frame[response].astype(str)
        scopes |= {level: visits.frame[own == level] for level in levels}
    for scope, part in scopes.items():
        try:
            sides, _ = wide_sessions(part, name, [visits.first, second])
        except BidsAccError:
            continue
        change = (sides[second] - sides[visits.first]).to_numpy(dtype=float)
        far = float(np.abs(sides.to_numpy()).max(initial=0.0))
        if len(change) < 4 or np.ptp(change) <= 1e-12 * far:  # equal but for rounding
            continue
        data = pd.DataFrame({'participant_id': sides.index.to_numpy(), name: change})
        excluded = why_incomplete(visits.study, part, [name], [visits.first, second])
        X = np.ones((len(change), 1))
        model = FittedModel(
            Sample(data, visits.cohort, visits.measure, excluded, {}),
            Design(X, {'change': (0,)}, {}, '1'), fit_ols(X, change), (),
        )  # fmt: skip
        contrast = f'{second} - {visits.first}'
        for row in (
            normality_row(model, '', ''),
            influence_row(model, visits.study, 'change'),
        ):
            term = f'residuals, {scope}' if row.term == 'residuals' else f'change, {scope}'
            yield replace(row, term=term, contrast=contrast)


@dataclass(frozen=True)
class _Fit:
    """A mixed model with what it was fitted to."""

    data: pd.DataFrame
    X: FloatArray
    columns: Mapping[str, tuple[int, ...]]
    model: MixedModel

    @property
    def y(self) -> FloatArray:
        """Values of the response, the last column."""
        return self.data.iloc[:, -1].to_numpy(dtype=float)

    def residuals(self) -> FloatArray:
        """Return residuals within people: without fixed effects and predicted intercepts.

        References
        ----------
        Laird NM, Ware JH (1982). Biometrics 38:963-974, eq. 3.2. doi:10.2307/2529876
        """
        # predicted intercepts are shrunk: raw means of two visits would take part of the noise out
        # with them, and residuals look too good
        marginal = pd.Series(self.y - self.X @ self.model.beta)
        who = self.data['participant_id'].to_numpy()
        mean, n = (marginal.groupby(who).transform(how) for how in ('mean', 'count'))
        between, within = self.model.var_subject, self.model.var_residual
        shrunk = between / (between + within / n) if between > 0 else 0.0
        return (marginal - shrunk * mean).to_numpy(dtype=float)


def _fitted(data: pd.DataFrame, terms: Sequence[str]) -> _Fit:
    """Fit the model to complete rows whose last column is the response."""
    design = make_design(data, terms)
    model = fit_random_intercept(data.iloc[:, -1], design, data['participant_id'])
    return _Fit(data, design.X, design.terms, model)


def _mixed(visits: Visits, change: pd.DataFrame) -> Iterator[Row]:
    """Yield normality of the residuals, and of significant terms what any one person changes."""
    name, response = visits.measure.name, visits.response
    frame, _ = followed_levels(visits.frame, response)
    frame, _ = shared_visits(frame, name, response)
    terms = mixed_terms(frame, response, visits.covariates)
    parts = dict.fromkeys(part for term in terms for part in term.split(':'))
    data = frame[['participant_id', *parts, name]].dropna().reset_index(drop=True)
    try:
        fit = _fitted(data, terms)
    except (BidsAccError, ArithmeticError, np.linalg.LinAlgError):
        return
    residuals = fit.residuals()
    common = Row(
        analysis='normality', cohort=visits.cohort, response=name, metric=visits.measure.metric,
        component=visits.measure.component, n=fit.model.n_subjects,
        covariates=tuple(visits.covariates),
        formula=f'{name} ~ {" + ".join(terms)} + (1 | participant_id)',
    )  # fmt: skip
    if len(residuals) <= 5000 and np.ptp(residuals) > 0:  # the limit of the approximation of W
        w, p = stats.shapiro(residuals)
        yield replace(
            common, term='residuals, mixed model',
            test=StatisticalTest(statistic='W', value=float(w), p=float(p)),
            method='Shapiro-Wilk test of the residuals within people',
        )  # fmt: skip
    rows = change[
        (change['analysis'] == 'mixed model') & (change['cohort'] == visits.cohort)
        & (change['response'] == name) & (change['p_unc'] <= visits.study.model.alpha)
    ]  # fmt: skip
    for term in terms:
        # n refits of a mixed model, only where there is a finding to lose
        if 'session_id' in term.split(':') and term in set(rows['term']):
            yield _one_person(common, fit, terms, term, visits.study.model.alpha)


def without_each(fit: _Fit, terms: Sequence[str], term: str) -> tuple[FloatArray, FloatArray]:
    """Refit without each person in turn.

    Parameters
    ----------
    fit : _Fit
        The model of everybody.
    terms : sequence of str
        Its fixed effects.
    term : str
        The one that is looked at.

    Returns
    -------
    change : (n,) ndarray of float64
        Largest change of a coefficient of the term, in standard errors of the whole model,
        signed.
    p : (n,) ndarray of float64
        Of the term without the person; both NaN where the rest cannot carry the model.
    """
    columns = list(fit.columns[term])
    se = np.sqrt(np.diag(fit.model.cov))[columns]
    people = fit.data['participant_id'].unique()
    change, p = np.full((2, len(people)), np.nan)
    # whole people and not rows: leaving out one visit leaves the person's other visits to speak
    # for it
    for i, who in enumerate(people):
        rest = fit.data[fit.data['participant_id'] != who].reset_index(drop=True)
        try:
            other = _fitted(rest, terms).model
        except (BidsAccError, ArithmeticError, np.linalg.LinAlgError):
            continue
        each = (fit.model.beta - other.beta)[columns] / se
        change[i] = each[np.argmax(np.abs(each))]
        p[i] = other.f_test(columns)[3]
    return change, p


def _one_person(common: Row, fit: _Fit, terms: Sequence[str], term: str, alpha: float) -> Row:
    """Return what leaving out any one person does to a significant term over the visits."""
    change, p = without_each(fit, terms, term)
    people = fit.data['participant_id'].unique().astype(str)
    if np.isnan(change).all():
        return replace(common, analysis='influence', term=term, note='not done: nobody can go')
    most, lost_by = int(np.nanargmax(np.abs(change))), people[np.nan_to_num(p) > alpha]
    return replace(
        common, analysis='influence', term=term, contrast='mixed model',
        test=StatisticalTest(statistic='DFBETAS', value=float(change[most])),
        method='largest change by one participant, in standard errors of the coefficient; no '
        'test is done after a deletion',
        note=f'without {" or ".join(lost_by)} the effect is not significant' if len(lost_by)
        else '',
        extra={
            'largest_change_by': str(people[most]), 'lost_without': ', '.join(lost_by),
            'p_original': fit.model.f_test(list(fit.columns[term]))[3],
            'conclusion_changes': 'yes' if len(lost_by) else 'no',
        },
    )  # fmt: skip
