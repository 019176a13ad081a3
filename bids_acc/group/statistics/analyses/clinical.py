"""How structure and metabolites relate to clinical scores, in the subsamples that make sense."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase

import numpy as np
import pandas as pd

from bids_acc.group.formulas.design import DesignError
from bids_acc.group.formulas.two_samples import one_way
from bids_acc.group.statistics.analyses.modelling import (
    FittedModel,
    Sample,
    draw_sample,
    fit_model,
    not_done,
)
from bids_acc.group.statistics.analyses.relation import partial_row
from bids_acc.group.statistics.analyses.replication import retained_responses
from bids_acc.group.statistics.analyses.small import slope_or_permutation
from bids_acc.group.statistics.rows.row import Row
from bids_acc.group.statistics.study.data import (
    Measure,
    Study,
    group_counts,
    roles,
    structure_measures,
)

WITHIN, POOLED = 'within groups', 'all groups'
"""Scopes as they stand in the column ``contrast``; a single group is ``all groups`` alone."""


def clinical_responses(study: Study, earlier: Mapping[str, pd.DataFrame]) -> list[Measure]:
    """Return the responses to relate to scores: those retained or all, and the metabolites.

    Parameters
    ----------
    study : Study
        Data and model (``Clinical``).
    earlier : mapping of str to DataFrame
        Table ``ancova``, by which responses are retained.

    Returns
    -------
    list of Measure
        Parcels and named columns first.
    """
    wanted = study.model.content['Clinical']
    measures = list(structure_measures(study))
    if wanted['Responses'] == 'retained':
        retained = retained_responses(earlier.get('ancova'), study.model)
        measures = [measure for measure in measures if measure.name in retained]
    if wanted['Metabolites']:
        measures += [measure for measure, _ in roles(study)]
    return measures


def _scopes(
    study: Study, frame: pd.DataFrame, score: str
) -> Iterator[tuple[str, pd.DataFrame, str]]:
    """Yield the parts of a cohort in which a score is analysed, with what to note.

    Groups that differ in score and response are related through that alone when they are pooled:
    where the subsample has several groups, the relation within them is always tested.
    """
    part, rules = study.subsample(frame, score)
    note = f'subsample: {"; ".join(rules)}' if rules else ''
    scopes = study.model.content['Clinical']['Scopes']
    several = _several_groups(study, part, score)
    # asked for pooled alone, the relation within groups stands beside it: a difference of groups
    # in both is a correlation without any relation in people
    if several and ('within_groups' in scopes or 'pooled' in scopes):
        yield WITHIN, part, note
    if 'pooled' in scopes or ('within_groups' in scopes and not several):
        yield POOLED, part, '; '.join(filter(None, [note, _group_difference(study, part, score)]))
    if 'by_group' in scopes and several:
        for level in study.group_levels(part):
            yield level, part[part['group'] == level], note


def _several_groups(study: Study, part: pd.DataFrame, score: str) -> bool:
    """Tell whether at least two groups have two people with the score."""
    counts = group_counts(part[part[score].notna()], study.group_levels(part))
    return sum(n > 1 for n in counts.values()) > 1


def _group_difference(study: Study, part: pd.DataFrame, score: str) -> str:
    """Warn of a score that itself differs between the groups that are pooled."""
    filled = part[part[score].notna()]
    samples = [x.to_numpy(dtype=float) for _, x in filled.groupby('group')[score] if len(x) > 1]
    if len(samples) < 2:
        return ''
    # not corrected: to overlook that groups differ in the score is the worse error here
    p = one_way(samples).p
    if not p <= study.model.alpha:
        return ''
    return (
        f'{score} differs between the groups (p = {p:.3g}): the pooled relation may be the '
        'difference of groups'
    )


def family_of(study: Study, score: str, *, pooled_groups: bool = False) -> str:
    """Return the family of tests of a score: the first one whose patterns it matches.

    Relations over several groups without group in the model are corrected apart.

    Parameters
    ----------
    study : Study
        Only its model is used (``Clinical/Families``).
    score : str
        Column of the score.
    pooled_groups : bool
        Whether several groups are pooled without group in the model.

    Returns
    -------
    str
        Name of the family, for the column ``family``.
    """
    pooled = ' pooled' if pooled_groups else ''
    families = study.model.content['Clinical']['Families']
    for name, patterns in families.items():
        if any(fnmatchcase(score, pattern) for pattern in patterns):
            return f'clinical {name}{pooled}'
    return f'clinical{pooled}'


def score_model(study: Study, sample: Sample, score: str, scope: str) -> FittedModel:
    """Fit the model of one response on one score.

    Parameters
    ----------
    study : Study
        Data and model.
    sample : Sample
        Complete participants.
    score : str
        Column of the score, as numbers.
    scope : str
        `WITHIN` adds group to the model; any other leaves it out.

    Returns
    -------
    FittedModel
        Response on score and covariates.

    Raises
    ------
    DesignError
        If the sample cannot carry it.
    """
    # a score that is a covariate as well would be adjusted for itself
    terms = [score, *(name for name in study.model.covariate_names if name != score)]
    if scope == WITHIN:
        return fit_model(study, sample, [*terms, 'group'], [score, 'group'])
    return fit_model(study, sample, terms, [score])


def _score_rows(
    study: Study, sample: Sample, score: str, scope: str, note: str, family: str,
    rng: np.random.Generator,
) -> list[Row]:  # fmt: skip
    """Return the (partial) correlation of one response with one score."""
    try:
        model = score_model(study, sample, score, scope)
    except DesignError as error:
        row = not_done(sample, 'clinical', [score, *study.model.covariate_names], error)
        row.term, row.contrast = score, scope
        return [row]
    method = 'linear model of the response on the score and the covariates'
    if scope == WITHIN:
        method = 'linear model of the response on the score, group and the covariates'
    row = partial_row(
        model, score, study, analysis='clinical', family=family,
        contrast=scope,
        method=method if len(model.design.terms) > 1 else 'Pearson correlation', note=note,
    )  # fmt: skip
    return slope_or_permutation(row, model, study, score, rng)


def clinical_scores(
    study: Study, earlier: Mapping[str, pd.DataFrame], rng: np.random.Generator
) -> list[Row]:
    """Relate each response to each clinical score in the score's subsample.

    Parameters
    ----------
    study : Study
        Data and model (``Clinical``).
    earlier : mapping of str to DataFrame
        Table ``ancova``, where only retained responses are related.
    rng : Generator
        Permutes residuals in small samples.

    Returns
    -------
    list of Row
        One row a response, score, scope and cohort.
    """
    rows: list[Row] = []
    measures = clinical_responses(study, earlier)
    for cohort, frame in study.cohorts():
        for score in study.model.content['Clinical']['Scores']:
            if score not in frame.columns or frame[score].isna().all():
                rows.append(
                    Row(analysis='clinical', cohort=cohort, term=score,
                        note=f'not done: no value of {score} in this cohort')
                )  # fmt: skip
                continue
            for scope, part, note, mixed in score_samples(study, frame, score):
                family = family_of(study, score, pooled_groups=mixed)
                needed = [score, *(c for c in study.model.covariate_names if c != score)]
                for measure in measures:
                    sample = draw_sample(study, cohort, part, measure, needed)
                    rows += _score_rows(study, sample, score, scope, note, family, rng)
    return rows


def score_samples(
    study: Study, frame: pd.DataFrame, score: str
) -> Iterator[tuple[str, pd.DataFrame, str, bool]]:
    """Yield the parts of a cohort in which a score is related to responses.

    Parameters
    ----------
    study : Study
        Data and model: subsamples and ``Clinical/Scopes``.
    frame : DataFrame
        Participants of one cohort.
    score : str
        Column of the score.

    Yields
    ------
    scope : str
        `WITHIN`, `POOLED` or the name of a group.
    part : DataFrame
        Participants, with the score as numbers.
    note : str
        Which rules chose them, and whether the groups differ in the score.
    mixed : bool
        Whether several groups are pooled without group in the model.
    """
    numeric = frame.assign(**{score: pd.to_numeric(frame[score], errors='coerce')})
    for scope, part, note in _scopes(study, numeric, score):
        yield scope, part, note, scope == POOLED and _several_groups(study, part, score)


def significant_models(
    study: Study, table: pd.DataFrame | None
) -> Iterator[tuple[FittedModel, str, str]]:
    """Yield the models, scores and scopes of the relations that may be findings.

    Parameters
    ----------
    study : Study
        Data and model.
    table : DataFrame or None
        Finished table of clinical scores.
    """
    if table is None or table.empty:
        return
    frames = dict(study.cohorts())
    found = table[(table['p_unc'] <= study.model.alpha) & (table['analysis'] == 'clinical')]
    for _, row in found.iterrows():
        measure, score = study.measure(str(row['response'])), str(row['term'])
        if measure is None:
            continue
        for scope, part, _, mixed in score_samples(study, frames[row['cohort']], score):
            if scope != row['contrast'] or mixed:
                continue
            needed = [score, *(c for c in study.model.covariate_names if c != score)]
            sample = draw_sample(study, str(row['cohort']), part, measure, needed)
            yield score_model(study, sample, score, scope), score, scope
