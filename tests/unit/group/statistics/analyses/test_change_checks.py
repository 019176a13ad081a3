"""Assumptions and influence of models of change and of nuisance regressions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf

from bids_acc.group.formulas.mixed import mixed_model
from bids_acc.group.statistics.analyses.change_checks import (
    Visits,
    _fitted,
    change_diagnostics,
    without_each,
)
from bids_acc.group.statistics.analyses.longitudinal_rows import (
    change_between_sessions,
    change_frame,
)
from bids_acc.group.statistics.rows.row import Family, finish_table
from tests.unit.group.statistics.analyses.test_rows_over_time_and_sites import study
from tests.unit.group.statistics.test_traps import metabolites, people, rows, run


def tables_of(one):
    rng = np.random.default_rng(0)
    change = finish_table(change_between_sessions(one, {}, rng), {}, Family())
    checks = finish_table(change_diagnostics(one, {'change': change}, rng), {}, Family())
    return change, checks


@pytest.fixture(scope='module')
def both():
    return tables_of(study())


def test_the_checked_model_is_that_of_the_table(both):
    change, checks = both
    for cohort in ('tokyo', 'toronto'):
        at = {'response': 'Glu', 'cohort': cohort}
        main = rows(change, analysis='baseline-adjusted', **at).iloc[0]
        for kind in ('hc3', 'robust', 'permutation', 'influence'):
            own = rows(checks, analysis=kind, term='group in ses-2', **at).iloc[0]
            assert own['p_original'] == pytest.approx(main['p_unc'])
            assert own['n'] == main['n']
        paired = rows(change, analysis='paired change', term='resistant', **at).iloc[0]
        own = rows(checks, analysis='influence', term='change, resistant', **at).iloc[0]
        assert own['p_original'] == pytest.approx(paired['p_unc'])
        mixed = rows(change, analysis='mixed model', term='session_id:group', **at).iloc[0]
        own = rows(checks, analysis='influence', term='session_id:group', **at).iloc[0]
        assert own['p_original'] == pytest.approx(mixed['p_unc'])


def test_only_significant_terms_over_visits_are_fitted_again_without_each_person(both):
    _, checks = both
    mixed = rows(checks, analysis='influence', contrast='mixed model')
    assert set(mixed['response']) == {'Glu'}  # no change of NAA is planted
    assert set(rows(checks, term='residuals, mixed model')['response']) == {'Glu', 'NAA'}


def test_one_person_who_makes_the_change_is_named():
    """Nobody changes but sub-07, at the second visit."""
    one = study()
    wide = one.wide.copy()
    rng = np.random.default_rng(3)
    base = wide.groupby('participant_id')['NAA'].transform('first')
    wide['NAA'] = base + rng.normal(0, 0.02, len(wide))
    who = (wide['participant_id'] == 'sub-07') & (wide['session_id'] == 'ses-2')
    wide.loc[who, 'NAA'] += 1.0
    changed = type(one)(**{**vars(one), 'wide': wide})
    _, checks = tables_of(changed)
    for term in ('change, resistant', 'group in ses-2'):
        row = rows(checks, analysis='influence', response='NAA', cohort='tokyo', term=term).iloc[0]
        assert row['largest_change_by'] == 'sub-07'
        assert abs(row['value']) > 1


def test_leaving_out_one_person_is_a_fit_of_the_others():
    one = study()
    wide, first, later, response = change_frame(one)
    frame = dict(one.cohorts(wide))['tokyo']
    visits = Visits(one, frame, one.measure('Glu'), 'tokyo', first, later, response)
    terms = ['session_id', 'group', 'session_id:group', *visits.covariates]
    data = frame[['participant_id', 'session_id', 'group', 'age', 'Glu']].dropna()
    fit = _fitted(data.reset_index(drop=True), terms)

    change, p = without_each(fit, terms, 'session_id:group')
    names = list(fit.data['participant_id'].unique())
    rest = frame[frame['participant_id'] != names[2]]
    model, results = mixed_model(rest, 'Glu', terms)
    assert p[2] == pytest.approx(results[2].p)
    column = fit.columns['session_id:group'][0]
    moved = (fit.model.beta - model.beta)[column] / np.sqrt(fit.model.cov[column, column])
    assert change[2] == pytest.approx(moved)


def test_residuals_within_people_are_those_of_statsmodels():

    rng = np.random.default_rng(1)
    who = np.repeat(np.arange(30), 3)
    data = pd.DataFrame({
        'participant_id': [f'sub-{i}' for i in who], 't': np.tile([0.0, 1, 2], 30),
        'y': rng.normal(0, 1, 30)[who] + rng.normal(0, 0.5, 90),
    }).drop(index=[4, 50]).reset_index(drop=True)  # fmt: skip
    fit = _fitted(data, ['t'])
    other = smf.mixedlm('y ~ t', data, groups=data['participant_id']).fit(reml=True)
    assert np.allclose(fit.residuals(), other.resid, atol=1e-4)


def test_group_effects_at_equal_nuisance_are_checked(rng):
    frame, resistant = people(rng, 25, 25)
    frame['dose'] = 300 + 100 * resistant + rng.normal(0, 60, 50)
    glx = 1 + 0.2 * resistant + rng.normal(0, 0.2, 50)
    tables = run({'Nuisance': {'Always': ['dose']}}, metabolites(frame, Glx=glx), frame, rng)
    main = rows(tables['mrs_group'], analysis='mrs_nuisance', nuisance='dose').iloc[0]
    own = rows(tables['diagnostics'], term='group at equal dose', response='Glx')
    assert {'hc3', 'robust', 'influence', 'permutation', 'equal_variances'} <= set(own['analysis'])
    hc3 = rows(own, analysis='hc3').iloc[0]
    assert hc3['p_original'] == pytest.approx(main['p_unc'])
    assert len(rows(tables['diagnostics'], term='residuals at equal dose')) == 1


def test_a_study_of_one_visit_has_no_checks_of_change():
    assert change_diagnostics(study(sessions=('ses-1',)), {}, np.random.default_rng(0)) == []
