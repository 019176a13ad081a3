"""Whether a group effect stands without the assumptions of its test.

Residuals are tested for normality, variances for equality, and the group effect is tested again
with a covariance that allows unequal variances, by a robust regression, and by permutation; the
largest change by any one participant is told. Each row says whether the
conclusion at the model's level changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import stats

from bids_acc.exceptions import ComputationError
from bids_acc.group.formulas.inference import partial_eta2, partial_eta2_confidence
from bids_acc.group.formulas.linear import f_survival
from bids_acc.group.formulas.permutation import permutation_p
from bids_acc.group.formulas.robust import largest_change, leave_one_out_p, mm_test
from bids_acc.group.formulas.two_samples import brown_forsythe
from bids_acc.group.statistics.analyses.ancova import term_test
from bids_acc.group.statistics.analyses.clinical import significant_models
from bids_acc.group.statistics.analyses.modelling import FittedModel, each_model
from bids_acc.group.statistics.analyses.mrs_groups import nuisance_models
from bids_acc.group.statistics.analyses.relation import relation_measure
from bids_acc.group.statistics.analyses.small import permutation_words
from bids_acc.group.statistics.rows.kinds import Effect, FTest, ResampledTest, StatisticalTest
from bids_acc.group.statistics.rows.row import Cell, Row
from bids_acc.group.statistics.study.data import Study, roles, structure_measures
from bids_acc.typing import BoolArray


def influential(model: FittedModel) -> BoolArray:
    """Tell which participants are influential: those whose Cook's distance is above 4 / n.

    Parameters
    ----------
    model : FittedModel
        The model.

    Returns
    -------
    (n,) ndarray of bool
        In the order of the sample.

    References
    ----------
    Bollen KA, Jackman RW (1985). Sociol Methods Res 13:510-542, for the threshold.
    https://doi.org/10.1177/0049124185013004004
    """
    return model.fit.cooks_distance() > 4 / len(model.sample.frame)


def robust_f(model: FittedModel, term: str) -> tuple[float, int, int]:
    """Return the F of a term with the HC3 covariance, and its degrees of freedom.

    Parameters
    ----------
    model : FittedModel
        The model.
    term : str
        One of its terms.

    Returns
    -------
    f : float
        Wald statistic over the number of coefficients.
    df1, df2 : int
        Coefficients of the term, residual degrees of freedom.
    """
    columns = list(model.design.terms[term])
    b = model.fit.coefficients[columns]
    v = model.fit.covariance_hc3()[np.ix_(columns, columns)]
    return float(b @ np.linalg.solve(v, b)) / len(columns), len(columns), model.fit.df


def _group_p(model: FittedModel, study: Study, term: str) -> tuple[float, float, int, int]:
    """Return F, p and degrees of freedom of a term as the main analysis computes them."""
    test = term_test(model, term, study.model.ss_type)
    return test.f, test.p, test.df1, test.df2


def _verdict(p_before: float, p_after: float, alpha: float) -> dict[str, Cell]:
    """Say whether a second p leads to another conclusion; a missing p says nothing."""
    changes = (p_before <= alpha) != (p_after <= alpha)
    known = np.isfinite(p_before) and np.isfinite(p_after)
    verdict = ('yes' if changes else 'no') if known else ''
    return {'p_original': p_before, 'conclusion_changes': verdict}


def normality_row(model: FittedModel, term: str, contrast: str) -> Row:
    """Return the row of Shapiro and Wilk's test of the residuals.

    Parameters
    ----------
    model : FittedModel
        The model.
    term : str
        Term whose relation is checked, named in the row; empty for the model of groups.
    contrast : str
        Scope of the relation; empty for the model of groups.

    Returns
    -------
    Row
        Statistic W and p; no effect size.
    """
    w, p = stats.shapiro(model.fit.residuals)
    return model.row(
        analysis='normality', term=f'residuals, {term}' if term else 'residuals',
        contrast=contrast,
        test=StatisticalTest(statistic='W', value=float(w), p=float(p)),
        method='Shapiro-Wilk test of the residuals',
    )  # fmt: skip


def assumption_rows(model: FittedModel, factor: str = 'group') -> Iterator[Row]:
    """Yield the tests of normality and of equal variances of the residuals.

    Parameters
    ----------
    model : FittedModel
        The model.
    factor : str
        Term whose levels are compared in their variances.

    Yields
    ------
    Row
        Equal variances only where each level has three residuals.
    """
    yield normality_row(model, '', '')
    groups = model.sample.frame[factor].astype(str).to_numpy()
    parts = [model.fit.residuals[groups == level] for level in model.design.levels[factor]]
    if min(map(len, parts)) >= 3:
        test = brown_forsythe(parts)
        yield model.row(
            analysis='equal_variances', term=factor,
            test=FTest(value=test.value, df1=test.df1, df2=test.df2, p=test.p),
            method='Brown-Forsythe test of the residuals by group',
        )  # fmt: skip


def influence_row(model: FittedModel, study: Study, term: str) -> Row:
    """Say how much one participant can change a term, without a test after deletion.

    Refits without those whose Cook's distance exceeds 4/n reject 12 to 18 % of true nulls: the
    deletion depends on the data. A significant effect that leaving out any one participant
    undoes is said to be lost.

    Parameters
    ----------
    model : FittedModel
        The model.
    study : Study
        Level of significance and type of the sums of squares.
    term : str
        Term that is looked at.

    Returns
    -------
    Row
        DFBETAS of the most influential participant; ``extra`` names who is influential and
        without whom the effect is lost.
    """
    columns = list(model.design.terms[term])
    who = influential(model)
    people = model.sample.frame['participant_id'].astype(str).to_numpy()
    change = largest_change(model.fit, columns)
    p_before = _group_p(model, study, term)[1]
    # of findings only: that a null result hangs on nobody is no news
    lost: list[str] = []
    if p_before <= study.model.alpha:
        p = leave_one_out_p(model.design.X, model.y, columns)
        lost = list(people[p > study.model.alpha])
    return model.row(
        analysis='influence', term=term,
        test=StatisticalTest(statistic='DFBETAS', value=change.dfbetas),
        method='largest change by one participant, in standard errors of the coefficient; no '
        'test is done after a deletion',
        note=f'without {" or ".join(lost)} the effect is not significant' if lost else '',
        extra={
            'cooks_max': float(np.nanmax(model.fit.cooks_distance())),
            'n_influential': int(who.sum()), 'influential': ', '.join(people[who]),
            'largest_change_by': people[change.index], 'lost_without': ', '.join(lost),
            'p_original': p_before, 'conclusion_changes': 'yes' if lost else 'no',
        },
    )  # fmt: skip


def robust_row(model: FittedModel, study: Study, term: str) -> Row:
    """Return the test of a term by MM regression, which single participants cannot move far.

    Parameters
    ----------
    model : FittedModel
        The model.
    study : Study
        Levels of tests and intervals.
    term : str
        Term that is tested.

    Returns
    -------
    Row
        Without a test, and with the reason, where the regression cannot be computed.
    """
    p_before = _group_p(model, study, term)[1]
    try:
        f, df1, df2 = mm_test(model.design.X, model.y, list(model.design.terms[term]))
    except ComputationError as error:
        return model.row(analysis='robust', term=term, note=f'not done: {error}')
    p = f_survival(f, df1, df2)
    low, high = partial_eta2_confidence(f, df1, df2, study.model.confidence)
    return model.row(
        analysis='robust', term=term, test=FTest(value=f, df1=df1, df2=df2, p=p),
        effect=Effect('partial_eta2', partial_eta2(f, df1, df2), low, high),
        method="MM regression (Tukey's biweight, efficiency 95 %), Wald test",
        extra=_verdict(p_before, p, study.model.alpha),
    )  # fmt: skip


def robustness_rows(
    model: FittedModel, study: Study, term: str, rng: np.random.Generator
) -> Iterator[Row]:
    """Yield the tests of a term with fewer assumptions.

    Parameters
    ----------
    model : FittedModel
        The model.
    study : Study
        Levels, and number of permutations.
    term : str
        Term that is tested.
    rng : Generator
        Permutes residuals.

    Yields
    ------
    Row
        HC3, influence, MM regression and, where the model asks for permutations, these.
    """
    alpha = study.model.alpha
    _, p_before, _, _ = _group_p(model, study, term)
    f, df1, df2 = robust_f(model, term)
    p = f_survival(f, df1, df2)
    low, high = partial_eta2_confidence(f, df1, df2, study.model.confidence)
    yield model.row(
        analysis='hc3', term=term, test=FTest(value=f, df1=df1, df2=df2, p=p),
        effect=Effect('partial_eta2', partial_eta2(f, df1, df2), low, high),
        method='Wald test with the HC3 covariance; partial eta squared from its F',
        extra=_verdict(p_before, p, alpha),
    )  # fmt: skip
    yield influence_row(model, study, term)
    yield robust_row(model, study, term)
    # small groups are permuted in the main analysis already; this asks it of all
    draws = int(study.model.content['Permutations'])
    if draws:
        test = permutation_p(model.design.X, model.y, model.design.terms[term], draws, rng)
        f, p = test.f, test.p
        low, high = partial_eta2_confidence(f, df1, df2, study.model.confidence)
        yield model.row(
            analysis='permutation', term=term,
            test=ResampledTest(statistic='F permuted', value=f, df1=df1, df2=df2, p=p,
                               n_resamples=test.n_resamples),
            effect=Effect('partial_eta2', partial_eta2(f, df1, df2), low, high),
            method=permutation_words(test), extra=_verdict(p_before, p, alpha),
        )  # fmt: skip


def diagnostics(
    study: Study, earlier: Mapping[str, pd.DataFrame], rng: np.random.Generator
) -> list[Row]:
    """Check assumptions and robustness: of group effects, and of relations that are significant.

    Group effects at equal nuisance and after treatment at equal baseline are checked like those
    of the main analysis.

    Parameters
    ----------
    study : Study
        Data and model.
    earlier : mapping of str to DataFrame
        Tables ``demographics`` and ``qc_by_group`` for the nuisance covariates, ``relation``
        and ``clinical`` for the relations that may be findings.
    rng : Generator
        Permutes residuals.

    Returns
    -------
    list of Row
        Several rows a model: assumptions, HC3, influence, robust regression, permutation.
    """
    rows: list[Row] = []
    terms = ['group', *study.model.covariate_names]
    measures = [*structure_measures(study), *(measure for measure, _ in roles(study))]
    for model in each_model(study, 'diagnostics', measures, terms, ['group'], rows):
        rows += assumption_rows(model)
        rows += robustness_rows(model, study, 'group', rng)
    rows += _nuisance_checks(study, earlier, rng)
    return [*rows, *_relation_checks(study, earlier, rng)]


def _nuisance_checks(
    study: Study, earlier: Mapping[str, pd.DataFrame], rng: np.random.Generator
) -> Iterator[Row]:
    """Yield the checks of the group effect on each metabolite at equal values of one column."""
    for model, column in nuisance_models(study, earlier):
        for row in (*assumption_rows(model), *robustness_rows(model, study, 'group', rng)):
            # named apart from the main analysis, or a reader finds the same check with two results
            term = row.term.replace('group', f'group at equal {column}')
            if row.term == 'residuals':
                term = f'residuals at equal {column}'
            yield replace(row, term=term)


def _relation_checks(
    study: Study, earlier: Mapping[str, pd.DataFrame], rng: np.random.Generator
) -> Iterator[Row]:
    """Yield the same checks of the relations to the metabolite and to clinical scores."""
    name, table = relation_measure(study), earlier.get('relation')
    if name is not None and table is not None and not table.empty:
        main = table[(table['analysis'] == 'relation') & (table['term'] == name)]
        tested = main[main['p_unc'] <= study.model.alpha]
        wanted = set(zip(tested['cohort'], tested['response'], strict=True))
        measures = [m for m in structure_measures(study) if m.name in set(tested['response'])]
        terms = ['group', name, *study.model.covariate_names]
        for model in each_model(study, 'diagnostics', measures, terms, ['group', name], []):
            if (model.sample.cohort, model.sample.measure.name) in wanted:
                yield normality_row(model, name, '')
                yield from robustness_rows(model, study, name, rng)
    for model, score, scope in significant_models(study, earlier.get('clinical')):
        yield normality_row(model, score, scope)
        for row in robustness_rows(model, study, score, rng):
            yield replace(row, contrast=scope)
