"""Group differences in a response at equal covariates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import pandas as pd

from bids_acc.group.formulas.inference import partial_eta2, partial_eta2_confidence
from bids_acc.group.formulas.linear import TermTest, anova
from bids_acc.group.statistics.analyses.modelling import FittedModel, each_model
from bids_acc.group.statistics.analyses.small import term_or_permutation
from bids_acc.group.statistics.rows.kinds import Effect, FTest
from bids_acc.group.statistics.rows.row import Row
from bids_acc.group.statistics.study.data import Study, structure_measures


def term_row(
    model: FittedModel, test: TermTest, study: Study, name: str, family: str, note: str = ''
) -> Row:
    """Return the row of the F test of one term.

    Parameters
    ----------
    model : FittedModel
        The model with the term.
    test : TermTest
        The test.
    study : Study
        Gives the level of the interval.
    name : str
        Name of the analysis, for the column ``analysis``.
    family : str
        Tests that are corrected together; empty for none.
    note : str
        What the reader must know.

    Returns
    -------
    Row
        Partial eta squared, with its interval at the level of `one_sided_level`.
    """
    low, high = partial_eta2_confidence(test.f, test.df1, test.df2, study.model.confidence)
    return model.row(
        analysis=name,
        term=test.term,
        test=FTest(value=test.f, df1=test.df1, df2=test.df2, p=test.p),
        effect=Effect('partial_eta2', partial_eta2(test.f, test.df1, test.df2), low, high),
        family=family,
        method=(
            f'analysis of covariance, type {study.model.ss_type} sums of squares, '
            'sum-to-zero coding, centred covariates'
        ),
        note=note,
    )


def term_tests(model: FittedModel, ss_type: Literal['II', 'III']) -> list[TermTest]:
    """Test each term of a fitted model, given the others.

    Parameters
    ----------
    model : FittedModel
        The model.
    ss_type : {'II', 'III'}
        Type of the sums of squares: a main effect is tested without (II) or with (III) the
        interactions that hold it.

    Returns
    -------
    list of TermTest
        In the order of the terms.
    """
    return anova(model.design.X, model.y, model.design.terms, ss_type)


def term_test(model: FittedModel, term: str, ss_type: Literal['II', 'III']) -> TermTest:
    """Test one term of a fitted model, given the others.

    Parameters
    ----------
    model : FittedModel
        The model.
    term : str
        One of its terms.
    ss_type : {'II', 'III'}
        As in `term_tests`.

    Returns
    -------
    TermTest
        F and its degrees of freedom.
    """
    return next(test for test in term_tests(model, ss_type) if test.term == term)


def ancova(
    study: Study, earlier: Mapping[str, pd.DataFrame], rng: np.random.Generator
) -> list[Row]:
    """Compare the groups in each response, in each cohort, at equal covariates.

    The terms of the covariates are reported too, without correction: they show why the
    covariates are in the model.

    Parameters
    ----------
    study : Study
        Data and model; responses are the parcels and the columns that the model names.
    earlier : mapping of str to DataFrame
        Not used: this step looks at no other.
    rng : Generator
        Permutes residuals where a group is small.

    Returns
    -------
    list of Row
        One row a term, response and cohort; only those of ``group`` belong to a family.
    """
    del earlier
    rows: list[Row] = []
    terms = ['group', *study.model.covariate_names]
    for model in each_model(study, 'ancova', structure_measures(study), terms, ['group'], rows):
        for test in term_tests(model, study.model.ss_type):
            # covariates are no hypotheses: tested with the groups they would make the family
            # larger
            family = 'ancova' if test.term == 'group' else ''
            row = term_row(model, test, study, 'ancova', family)
            main = test.term == 'group'
            rows += term_or_permutation(row, model, study, 'group', rng) if main else [row]
    return rows
