"""Differences of FA and MD that partial volume and noise explain.

A thinner cortex is sampled nearer to white matter and CSF, and noise makes anisotropy of
isotropic tissue (Pierpaoli C, Basser PJ (1996). Magn Reson Med 36:893-906,
https://doi.org/10.1002/mrm.1910360612; Jones DK, Basser PJ (2004). Magn Reson Med 52:979-993,
https://doi.org/10.1002/mrm.20283): groups that differ in thickness or noise differ in FA. Each
comparison is made again with these as covariates, in the same people with and without. What
vanishes is no headline; it may be a real difference that the covariates hide, as they take
degrees of freedom and part of the difference of the groups.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from bids_acc.group.formulas.design import DesignError
from bids_acc.group.opnmf.features import PARTIAL_VOLUME
from bids_acc.group.statistics.analyses.ancova import term_row, term_test
from bids_acc.group.statistics.analyses.modelling import (
    FittedModel,
    draw_sample,
    fit_model,
    not_done,
)
from bids_acc.group.statistics.analyses.posthoc import adjusted_row
from bids_acc.group.statistics.rows.row import Row
from bids_acc.group.statistics.study.data import Measure, Study

FLAGGED: Mapping[str, tuple[str, ...]] = {'fa': ('white', 'faiso'), 'md': ('white', 'csf')}
"""What stands beside each metric that is checked; tests/benchmarks/dwi_false_positives.py."""
KEYS = ['cohort', 'response', 'term', 'contrast']
COMPARISONS = ('ancova', 'posthoc', 'contrasts')
"""Tables whose rows the check is about."""


def partial_volume(
    study: Study, earlier: Mapping[str, pd.DataFrame], rng: np.random.Generator
) -> list[Row]:
    """Repeat the group comparisons of FA and MD at equal partial volume and noise.

    Nothing is done where these are covariates already or were not measured.

    Parameters
    ----------
    study : Study
        Data and model; the columns of `PARTIAL_VOLUME` are covariates.
    earlier : mapping of str to DataFrame
        Not used: this step looks at no other.
    rng : Generator
        Not used: nothing here is random.

    Returns
    -------
    list of Row
        One row a diffusion metric, parcel and cohort.
    """
    del earlier, rng
    rows: list[Row] = []
    for cohort, frame in study.cohorts():
        for measure in study.measures_of('parcel'):
            more = study.beside(measure, FLAGGED.get(measure.metric, ()))
            if set(more) - set(study.own_covariates(measure)):
                rows += _checked(study, cohort, frame, measure, more)
    return rows


def _checked(
    study: Study, cohort: str, frame: pd.DataFrame, measure: Measure, more: tuple[str, ...]
) -> list[Row]:
    """Compare the groups in one response with and without the covariates, in the same people."""
    terms = ['group', *study.model.covariate_names]
    # in the people of the larger model: else what changes may be the people
    sample = draw_sample(study, cohort, frame, measure, [*terms[1:], *more])
    try:
        without = fit_model(study, sample, terms, ['group'])
        model = fit_model(study, sample, [*terms, *more], ['group'])
    except DesignError as error:
        return [not_done(sample, 'partial_volume', [*terms, *more], error)]
    pairs = zip(_comparisons(without, study), _comparisons(model, study), strict=True)
    return [_beside(row, plain, study.model.alpha) for plain, row in pairs]


def _comparisons(model: FittedModel, study: Study) -> Iterator[Row]:
    """Yield the omnibus test, every pair of groups and every planned contrast of a model."""
    name = 'partial_volume'
    test = term_test(model, 'group', study.model.ss_type)
    yield term_row(model, test, study, name, '')
    present = list(model.design.levels['group'])
    weights = {f'{a} - {b}': {a: 1.0, b: -1.0} for a, b in study.model.group.pairs('all', present)}
    for contrast in study.model.contrasts:
        if set(contrast.weights) <= set(present):
            weights[contrast.name] = dict(contrast.weights)
    method = (
        't test of the difference of adjusted means, partial volume and noise among covariates'
    )
    for label, own in weights.items():
        yield adjusted_row(model, own, label, study, analysis=name, method=method)


def _beside(row: Row, plain: Row, alpha: float) -> Row:
    """Write beside a comparison what it is without the covariates, and whether they explain it."""
    # by the uncorrected p, on either side: a correction would make the check depend on how much
    # else was asked
    explained = plain.test.p <= alpha < row.test.p
    row.extra = {
        **row.extra, 'p_without': plain.test.p, 'effect_without': plain.effect.size,
        'explained': 'yes' if explained else 'no',
    }  # fmt: skip
    return row


def explained_notes(tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Add to each row that partial volume or noise explains that it is so.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        Finished tables.

    Returns
    -------
    dict of str to DataFrame
        The tables that changed.
    """
    checks = tables.get('partialvolume')
    if checks is None or 'explained' not in checks:
        return {}
    found = {
        tuple(row[KEYS].fillna('').astype(str)): _sentence(row)
        for _, row in checks[checks['explained'] == 'yes'].iterrows()
    }
    changed = {}
    for name in COMPARISONS:
        if name in tables and found:
            table = tables[name]
            keys = table[KEYS].fillna('').astype(str).itertuples(index=False, name=None)
            notes = [
                '; '.join(filter(None, [old, found.get(key, '')]))
                for old, key in zip(table['note'].fillna(''), keys, strict=True)
            ]
            changed[name] = table.assign(note=notes)
    return changed


def _sentence(row: pd.Series) -> str:
    """Say what the difference is with and without the covariates."""
    name = str(row['effect_name']).replace('_', ' ')
    beside = {f'{what}_c{row["component"]}' for what in PARTIAL_VOLUME}
    added = [c for c in str(row['covariates']).split(', ') if c in beside]
    return (
        f'explained by partial volume/noise: with {", ".join(added)} as covariates p = '
        f'{row["p_unc"]:.3g} ({name} {row["effect"]:.2f}, without {row["effect_without"]:.2f}; '
        f'n = {row["n"]})'
    )
