"""How structure relates to the gated metabolite: main effect, interaction, partial correlation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Unpack

import numpy as np
import pandas as pd

from bids_acc.group.formulas.inference import r_confidence, r_from_t
from bids_acc.group.formulas.linear import contrast_test, t_two_sided
from bids_acc.group.statistics.analyses.ancova import term_row, term_test
from bids_acc.group.statistics.analyses.modelling import FittedModel, each_model
from bids_acc.group.statistics.analyses.replication import nothing_retained, retained_responses
from bids_acc.group.statistics.analyses.small import slope_or_permutation, term_or_permutation
from bids_acc.group.statistics.rows.kinds import Effect, TTest
from bids_acc.group.statistics.rows.row import Row, Told
from bids_acc.group.statistics.study.data import Study, structure_measures


def relation_measure(study: Study) -> str | None:
    """Return the metabolite whose relation to structure is tested, if it was measured.

    Parameters
    ----------
    study : Study
        Data and model (``Mrs/Relation``).

    Returns
    -------
    str or None
        None when the model names none or nobody has it.
    """
    name = study.model.content['Mrs']['Relation']
    return name if name is not None and study.measure(name) is not None else None


def relation(
    study: Study, earlier: Mapping[str, pd.DataFrame], rng: np.random.Generator
) -> list[Row]:
    """Test the metabolite's main effect and its interaction with group on retained responses.

    The main effect comes from the model without the interaction, so that it means the same
    under both types of sums of squares; the interaction from the model with it.

    Parameters
    ----------
    study : Study
        Data and model (``Mrs/Relation``).
    earlier : mapping of str to DataFrame
        Table ``ancova``, by which responses are retained.
    rng : Generator
        Permutes residuals in small samples.

    Returns
    -------
    list of Row
        Main effect and interaction of each retained response and cohort.
    """
    name = relation_measure(study)
    if name is None:
        return []
    retained = retained_responses(earlier.get('ancova'), study.model)
    # a level that is a response too (Responses/Columns) has no relation to itself
    measures = [m for m in structure_measures(study) if m.name in retained and m.name != name]
    # group stays in the model: without it, a difference of groups in both is a relation
    base = ['group', name, *study.model.covariate_names]
    rows = nothing_retained('relation', earlier.get('ancova'), study.model, retained)
    for terms, wanted, family in (
        (base, name, 'relation'),
        ([*base, f'group:{name}'], f'group:{name}', 'interaction'),
    ):
        for model in each_model(study, 'relation', measures, terms, ['group', name], rows):
            test = term_test(model, wanted, study.model.ss_type)
            note = f'{name} centred on the analysed sample'
            row = term_row(model, test, study, 'relation', family, note)
            if wanted == name:
                # F has no sign: the reader is told which way
                row.extra = direction(model, name, study)
                rows += slope_or_permutation(row, model, study, name, rng)
            else:
                rows += term_or_permutation(row, model, study, wanted, rng)
    return rows


def direction(model: FittedModel, term: str, study: Study) -> dict[str, float]:
    """Return slope and partial correlation of a continuous term, all other terms equal.

    Parameters
    ----------
    model : FittedModel
        The model.
    term : str
        A term of one column.
    study : Study
        Gives the level of the interval.

    Returns
    -------
    dict of str to float
        Columns of the table: ``slope, slope_se`` (response per unit of the term),
        ``partial_r`` and its limits.
    """
    weights = np.zeros(model.design.X.shape[1])
    weights[model.design.terms[term][0]] = 1
    test = contrast_test(model.fit, weights)
    r = r_from_t(test.t, test.df)
    low, high = r_confidence(r, test.df, study.model.confidence)
    return {
        'slope': test.estimate, 'slope_se': test.se, 'partial_r': r, 'partial_r_low': low,
        'partial_r_high': high,
    }  # fmt: skip


def partial_row(model: FittedModel, column: str, study: Study, **told: Unpack[Told]) -> Row:
    """Return the partial correlation of the response with one continuous term.

    The correlation of the residuals after the other terms equals ``t / sqrt(t^2 + df)`` of the
    term's coefficient, with df = n - 2 - q.

    Parameters
    ----------
    model : FittedModel
        The model.
    column : str
        A term of one column.
    study : Study
        Gives the level of the interval.
    **told : Told
        Cells that replace those of this function.

    Returns
    -------
    Row
        The effect is named ``r`` when nothing is partialled out.
    """
    weights = np.zeros(model.design.X.shape[1])
    weights[model.design.terms[column][0]] = 1
    test = contrast_test(model.fit, weights)
    r, df = r_from_t(test.t, test.df), test.df
    low, high = r_confidence(r, df, study.model.confidence)
    q = model.design.X.shape[1] - 2
    row: Told = {
        'term': column, 'test': TTest(value=test.t, df2=df, p=t_two_sided(test.t, df)),
        'effect': Effect('partial_r' if q else 'r', r, low, high),
        'extra': {'slope': test.estimate, 'slope_se': test.se, 'n_partialled': q},
    }  # fmt: skip
    return model.row(**(row | told))


def partial_correlations(
    study: Study, earlier: Mapping[str, pd.DataFrame], rng: np.random.Generator
) -> list[Row]:
    """Correlate structure and metabolite, covariates partialled out, where the model allowed it.

    Only responses whose main effect of the metabolite was significant in that cohort are
    followed up: once without group, as published, and once with group partialled out too. The
    first may hold the difference of the groups and nothing else.

    Parameters
    ----------
    study : Study
        Data and model (``Mrs/Relation``).
    earlier : mapping of str to DataFrame
        Table ``relation``, which says where to follow up.
    rng : Generator
        Permutes residuals in small samples.

    Returns
    -------
    list of Row
        Two rows a response and cohort that was followed up.
    """
    name = relation_measure(study)
    table = earlier.get('relation')
    if name is None or table is None or table.empty:
        return []
    found = table[(table['term'] == name) & (table['p_corrected'] <= study.model.alpha)]
    allowed = set(zip(found['cohort'], found['response'], strict=True))
    measures = [m for m in structure_measures(study) if m.name in set(found['response'])]
    rows: list[Row] = []
    plain = [name, *study.model.covariate_names]
    # only significant relations are followed up, and of these the sample's r is the larger the
    # smaller the sample
    selected = 'followed up because the main effect was significant: r is selected, and too large'
    for kind, terms, keep in (
        ('partialcorr', plain, [name]),
        ('partialcorr_within', [*plain, 'group'], [name, 'group']),
    ):
        for model in each_model(study, kind, measures, terms, keep, rows):
            row = partial_row(
                model,
                name,
                study,
                analysis=kind,
                contrast='within groups' if kind == 'partialcorr_within' else '',
                family='partialcorr' + ' within groups' * (kind == 'partialcorr_within'),
                method='partial correlation, df = n - 2 - q, Fisher interval',
                note=selected,
            )
            rows += slope_or_permutation(row, model, study, name, rng)
    return [row for row in rows if (row.cohort, row.response) in allowed]
