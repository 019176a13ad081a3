"""Whether the difference between groups depends on something: group x sex, age, hemisphere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy import stats

from bids_acc.group.formulas.design import DesignError, sum_coding
from bids_acc.group.formulas.linear import contrast_test
from bids_acc.group.statistics.analyses.ancova import term_row, term_test
from bids_acc.group.statistics.analyses.modelling import (
    FittedModel,
    draw_sample,
    each_model,
    fit_model,
    not_done,
)
from bids_acc.group.statistics.analyses.posthoc import (
    contrast_vector,
    vector_or_permutation,
    vector_row,
)
from bids_acc.group.statistics.analyses.small import term_or_permutation
from bids_acc.group.statistics.model.declaration import HEMISPHERE
from bids_acc.group.statistics.rows.kinds import Effect, TTest
from bids_acc.group.statistics.rows.row import Row
from bids_acc.group.statistics.study.data import Measure, Study, named_measures, structure_measures
from bids_acc.typing import FloatArray

SHOWN = (10, 50, 90)
"""Percentiles of a continuous covariate at which the groups are compared (own convention)."""

NO_INTERACTION = (
    'the interaction is not significant: that a difference is significant in one place only is '
    'no evidence that it differs between places (Gelman and Stern 2006)'
)
"""Remark of comparisons within levels. doi:10.1198/000313006X152649"""


@dataclass(frozen=True)
class Place:
    """A value of the covariate at which groups are compared."""

    name: str
    """In words, such as ``sex F`` or ``age 32``."""
    codes: FloatArray
    """(q,) Row of the covariate's columns in the design."""


def interactions(
    study: Study, earlier: Mapping[str, pd.DataFrame], rng: np.random.Generator
) -> list[Row]:
    """Test each interaction with group that the model names, and compare groups in its levels.

    Each interaction has a model of its own, with group and all covariates as main effects.

    Parameters
    ----------
    study : Study
        Data and model (``Interactions``).
    earlier : mapping of str to DataFrame
        Not used: this step looks at no other.
    rng : Generator
        Permutes residuals where a group is small.

    Returns
    -------
    list of Row
        The interaction, then the simple effects of group in its levels, or the slopes in each
        group.
    """
    del earlier
    rows: list[Row] = []
    for name in study.model.content['Interactions']:
        if name == HEMISPHERE:
            rows += _by_hemisphere(study, rng)
            continue
        # one interaction at a time: all of them together ask more coefficients than small cohorts
        # carry
        terms = ['group', *study.model.covariate_names, f'group:{name}']
        measures = named_measures(study)
        for model in each_model(study, 'interactions', measures, terms, ['group', name], rows):
            test = term_test(model, terms[-1], study.model.ss_type)
            row = term_row(model, test, study, 'interactions', f'interactions group x {name}')
            own = term_or_permutation(row, model, study, terms[-1], rng)
            note = '' if own[0].test.p <= study.model.alpha else NO_INTERACTION
            rows += [*own, *_simple_effects(model, name, study, rng, note)]
            if name not in study.factors(model.sample.frame) and name not in study.splines:
                rows += _slopes(model, name, study)
    return rows


def _places(model: FittedModel, name: str) -> list[Place]:
    """Return the levels of a factor, or the people at some percentiles of a number."""
    if name in model.design.levels:
        codes = sum_coding(model.design.levels[name])
        return [Place(f'{name} {level}', codes[level]) for level in model.design.levels[name]]
    values = model.sample.frame[name].to_numpy(dtype=float)
    columns = list(model.design.terms[name])
    places = []
    for percentile in SHOWN:
        # A person's own row has the basis of a spline at that person's value.
        at = int(np.argmin(np.abs(values - np.percentile(values, percentile))))
        places.append(Place(f'{name} {values[at]:.4g}', model.design.X[at, columns]))
    return list({place.name: place for place in places}.values())


def _comparisons(model: FittedModel, study: Study) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield the pairs and the planned contrasts of the groups that are there."""
    present = list(model.design.levels['group'])
    which = study.model.content['PostHoc']['Pairs']
    for a, b in study.model.group.pairs(which, present):
        yield f'{a} - {b}', {a: 1.0, b: -1.0}
    for contrast in study.model.contrasts:
        if set(contrast.weights) <= set(present):
            yield contrast.name, dict(contrast.weights)


def _at(model: FittedModel, weights: Mapping[str, float], name: str, place: Place) -> FloatArray:
    """Return a contrast of the groups at one place, in coefficients."""
    cells = [
        w * model.design.cell_weights('group', level, name, place.codes)
        for level, w in weights.items()
    ]
    vector: FloatArray = np.sum(cells, axis=0)
    return vector


def _simple_effects(
    model: FittedModel, name: str, study: Study, rng: np.random.Generator, note: str
) -> Iterator[Row]:
    """Yield the groups' differences at each place, and how these differ between neighbours."""
    places = _places(model, name)
    family = f'simple_effects group x {name}'
    for label, weights in _comparisons(model, study):
        # from the one model with the interaction: subsets would have another residual variance
        # each
        vectors = [_at(model, weights, name, place) for place in places]
        for place, vector in zip(places, vectors, strict=True):
            row = vector_row(
                model, vector, label, study, analysis='simple_effect',
                term=f'group at {place.name}', family=family, note=note,
                method='t test of the difference of adjusted means, all of the model kept',
            )  # fmt: skip
            yield from vector_or_permutation(row, model, vector, weights, study, rng)
        for (one, v1), (other, v2) in pairwise(zip(places, vectors, strict=True)):
            yield vector_row(
                model, v2 - v1, label, study, analysis='simple_effect',
                term=f'group at {other.name} minus at {one.name}', note=note,
                method='t test of the difference of two differences of adjusted means',
            )  # fmt: skip


def _slopes(model: FittedModel, name: str, study: Study) -> Iterator[Row]:
    """Yield the slope of a straight line in each group."""
    design = model.design
    for level in design.levels['group']:
        own = sum_coding(design.levels['group'])[level]
        vector = np.zeros(design.X.shape[1])
        vector[list(design.terms[name])] = 1
        vector[list(design.terms[f'group:{name}'])] = own
        test = contrast_test(model.fit, vector)
        half = float(stats.t.ppf((1 + study.model.confidence) / 2, test.df)) * test.se
        yield model.row(
            analysis='slope', term=name, contrast=level,
            test=TTest(value=test.t, df2=test.df, p=test.p),
            effect=Effect('slope', test.estimate, test.estimate - half, test.estimate + half),
            method='slope within the group, all groups in one model',
        )  # fmt: skip


def _by_hemisphere(study: Study, rng: np.random.Generator) -> Iterator[Row]:
    """Yield group x hemisphere: the group effect on each person's left minus right.

    With both sides in everybody that is the interaction with a factor within people, whatever the
    sides have in common.
    """
    terms = ['group', *study.model.covariate_names]
    for measure in structure_measures(study):
        left, right = f'{measure.name}_L', f'{measure.name}_R'
        if measure.kind != 'parcel':
            continue
        for cohort, frame in study.cohorts():
            if not {left, right} <= set(frame):
                yield Row(
                    analysis='interactions', cohort=cohort, response=measure.name,
                    component=measure.component, metric=measure.metric, term='group x hemisphere',
                    note='not done: the parcel has no vertices or no table of one hemisphere',
                )  # fmt: skip
                continue
            yield from _one_parcel(study, cohort, frame, measure, terms, rng)


def _one_parcel(
    study: Study, cohort: str, frame: pd.DataFrame, measure: Measure, terms: list[str],
    rng: np.random.Generator,
) -> Iterator[Row]:  # fmt: skip
    """Yield the interaction of one parcel, then the groups' differences on each side."""
    sides = {'L': frame[f'{measure.name}_L'], 'R': frame[f'{measure.name}_R']}
    # a difference within people needs no assumption about how sides vary together, which a factor
    # of two rows a person would
    sides['L - R'] = sides['L'] - sides['R']
    note = ''
    for side in ('L - R', 'L', 'R'):
        own = replace(measure, name=f'{measure.name} {side}')
        sample = draw_sample(
            study, cohort, frame.assign(**{own.name: sides[side]}), own, terms[1:]
        )
        try:
            model = fit_model(study, sample, terms, ['group'])
        except DesignError as error:
            yield not_done(sample, 'interactions', terms, error)
            return
        if side == 'L - R':
            test = term_test(model, 'group', study.model.ss_type)
            row = term_row(model, test, study, 'interactions', 'interactions group x hemisphere',
                           'group effect on left minus right')  # fmt: skip
            rows = term_or_permutation(row, model, study, 'group', rng)
            yield from (replace(r, term='group x hemisphere', contrast=side) for r in rows)
            note = '' if rows[0].test.p <= study.model.alpha else NO_INTERACTION
            continue
        for label, weights in _comparisons(model, study):
            vector = contrast_vector(model, weights)
            row = vector_row(
                model, vector, label, study, analysis='simple_effect',
                term=f'group at hemisphere {side}', family='simple_effects group x hemisphere',
                note=note, method='t test of the difference of adjusted means on one side',
            )  # fmt: skip
            yield from vector_or_permutation(row, model, vector, weights, study, rng)
