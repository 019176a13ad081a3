"""What the quality gate does to the result.

A gate on relative CRLB leaves out low values more readily than high ones (Kreis R (2016). Magn
Reson Med 75:15-18, https://doi.org/10.1002/mrm.25568), so the group comparison is repeated
without the gate and with each of its criteria alone, and the absolute CRLB is compared between the
groups.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from bids_acc.group.statistics.analyses.ancova import term_row, term_test
from bids_acc.group.statistics.analyses.demographics import compare_continuous
from bids_acc.group.statistics.analyses.modelling import each_model
from bids_acc.group.statistics.analyses.mrs_groups import group_rows
from bids_acc.group.statistics.analyses.quality_groups import crlb_values
from bids_acc.group.statistics.analyses.relation import relation_measure
from bids_acc.group.statistics.analyses.replication import retained_responses
from bids_acc.group.statistics.rows.row import Row
from bids_acc.group.statistics.study.data import KEYS, Study, roles, structure_measures
from bids_acc.group.statistics.study.joining import gated_values

_FIGURES = re.compile(r': (?:unknown|[\d.e+-]+(?: \(\w+\))? fail)$')
"""What a reason says of one value: it is taken off to see which criterion it was."""
_NO_VALUE = 'value unknown'
"""How a reason begins that is no criterion."""


def criteria_of(reason: object) -> tuple[str, ...]:
    """Return the criteria that a level or its spectrum did not meet, without the figures.

    Parameters
    ----------
    reason : object
        Cell ``gate_reason``; anything but text is none.

    Returns
    -------
    tuple of str
        Criterion with its threshold, in the order of the cell.

    Examples
    --------
    >>> criteria_of('fwhm < 10 Hz: 12.3 fail; crlb < 20 %: unknown; artefact: lipid')
    ('fwhm < 10 Hz', 'crlb < 20 %', 'artefact: lipid')
    >>> criteria_of(None)
    ()
    """
    if not isinstance(reason, str):
        return ()
    # that a fit gave no value is no criterion of the gate
    told = reason.partition(_NO_VALUE)[0]
    return tuple(_FIGURES.sub('', part) for part in told.split('; ') if part)


def without_gate(study: Study) -> Study:
    """Return the study with the metabolite values that failed their gate put back.

    Parameters
    ----------
    study : Study
        As the gate left it.

    Returns
    -------
    Study
        The same people; nothing in it has failed the gate.
    """
    values, failed = gated_values(study.mrs, study.model, use_gate=False)
    return _with_values(study, values, failed)


def with_criterion_alone(study: Study, criterion: str) -> Study:
    """Return the study as a gate of one criterion would have left it.

    Parameters
    ----------
    study : Study
        With ``gate_reason`` in its table of levels.
    criterion : str
        As `criteria_of` names it.
    """
    fails = study.mrs['gate_reason'].map(lambda reason: criterion in criteria_of(reason))
    mrs = study.mrs.assign(gate=np.where(fails, 'fail', 'pass'))
    values, failed = gated_values(mrs, study.model)
    return _with_values(study, values, failed)


def _with_values(study: Study, values: pd.DataFrame, failed: pd.DataFrame) -> Study:
    """Return the study with other metabolite values, and where a gate emptied them."""
    names = [name for name in values.columns if name in study.wide.columns]
    if not names:
        return study
    wide = study.wide.drop(columns=names)
    joined = wide.merge(values[names].reset_index(), on=KEYS, how='left').set_axis(wide.index)
    index = pd.MultiIndex.from_frame(wide[KEYS])
    known = failed.reindex(index=index, columns=study.gate_failed.columns)
    return replace(study, wide=joined, gate_failed=known.eq(True).set_axis(wide.index))


def alone(study: Study) -> list[str]:
    """List the criteria that left out a level; none where there is only one.

    Parameters
    ----------
    study : Study
        Levels in long form with ``gate_reason``.

    Returns
    -------
    list of str
        Each criterion once, in alphabetical order.
    """
    if study.mrs is None or 'gate_reason' not in study.mrs:
        return []
    found = {name for reason in study.mrs['gate_reason'] for name in criteria_of(reason)}
    # one criterion alone is the whole gate, whose result stands already
    return sorted(found) if len(found) > 1 else []


def _lookup(table: pd.DataFrame | None, analysis_name: str, row: Row) -> float:
    """Return the p value that the gated analysis gave."""
    if table is None or table.empty:
        return float('nan')
    same = (
        (table['analysis'] == analysis_name)
        & (table['cohort'] == row.cohort)
        & (table['response'] == row.response)
        & (table['term'] == row.term)
    )
    found = table.loc[same, 'p_unc'].to_numpy(dtype=float)
    return float(found[0]) if found.size else float('nan')


def structure_otherwise(
    study: Study, names: Sequence[str], name: str, gated: pd.DataFrame | None
) -> list[Row]:
    """Compare parcels between the groups as another gate of images leaves them.

    Parameters
    ----------
    study : Study
        With the values that this gate leaves.
    names : sequence of str
        Responses that the gate of the model took values from.
    name : str
        Of the analysis, ``gate_off`` or ``gate_alone``.
    gated : DataFrame, optional
        The table ``ancova`` under the whole gate.
    """
    rows: list[Row] = []
    measures = [measure for measure in structure_measures(study) if measure.name in names]
    terms = ['group', *study.model.covariate_names]
    for model in each_model(study, name, measures, terms, ['group'], rows):
        test = term_test(model, 'group', study.model.ss_type)
        rows.append(term_row(model, test, study, name, ''))
    _compare(rows, _f_tests(gated), 'ancova', study.model.alpha)
    return rows


def _f_tests(table: pd.DataFrame | None) -> pd.DataFrame | None:
    """Return the F tests of a table, of small samples too, whose first p is of permutations."""
    if table is None or table.empty:
        return table
    small = table[table['analysis'] == 'ancova_f'].assign(analysis='ancova')
    return pd.concat([small, table[table['analysis'] == 'ancova']], ignore_index=True)


def _compare(rows: list[Row], table: pd.DataFrame | None, gated: str, alpha: float) -> None:
    """Write beside each row what the gated analysis said."""
    for row in rows:
        p = _lookup(table, gated, row)
        known = np.isfinite(p) and np.isfinite(row.test.p)
        changes = ('yes' if (p <= alpha) != (row.test.p <= alpha) else 'no') if known else ''
        row.extra = {**row.extra, 'p_original': p, 'conclusion_changes': changes}


def gate_sensitivity(
    study: Study, earlier: Mapping[str, pd.DataFrame], rng: np.random.Generator
) -> list[Row]:
    """Repeat the metabolite analyses under other gates and compare absolute CRLBs.

    Parameters
    ----------
    study : Study
        Data and model, with the levels that failed their gate.
    earlier : mapping of str to DataFrame
        Tables ``ancova`` and ``relation``, for the retained responses.
    rng : Generator
        Not used: nothing here is random.

    Returns
    -------
    list of Row
        Group effects and relations without the gate and under each of its criteria alone, with
        what changed; then absolute CRLBs.
    """
    del rng
    if not len(study.gate_failed.columns):
        return []
    alpha = study.model.alpha
    gated = pd.DataFrame(
        [
            {'analysis': r.analysis, 'cohort': r.cohort, 'response': r.response, 'term': r.term,
             'p_unc': r.test.p}
            for r in _group_effects(study, 'gate_on')
        ]
    )  # fmt: skip
    open_study = without_gate(study)
    groups = _group_effects(open_study, 'gate_off')
    related = _relations(open_study, study, earlier, 'gate_off')
    for criterion in alone(study):
        one = with_criterion_alone(study, criterion)
        for rows, more in (
            (groups, _group_effects(one, 'gate_alone')),
            (related, _relations(one, study, earlier, 'gate_alone')),
        ):
            rows += [replace(row, extra={**row.extra, 'criterion': criterion}) for row in more]
    _compare(groups, gated, 'gate_on', alpha)
    _compare(related, earlier.get('relation'), 'relation', alpha)
    return [*groups, *related, *_absolute_crlb(study)]


def _relations(
    other: Study, study: Study, earlier: Mapping[str, pd.DataFrame], name: str
) -> list[Row]:
    """Relate the retained structure to the metabolite as another gate leaves it."""
    rows: list[Row] = []
    metabolite = relation_measure(other)
    if metabolite is None:
        return rows
    retained = retained_responses(earlier.get('ancova'), study.model)
    measures = [m for m in structure_measures(study) if m.name in retained]
    terms = ['group', metabolite, *study.model.covariate_names]
    for model in each_model(other, name, measures, terms, ['group', metabolite], rows):
        test = term_test(model, metabolite, study.model.ss_type)
        rows.append(term_row(model, test, study, name, ''))
    return rows


def _group_effects(study: Study, name: str) -> list[Row]:
    """Compare the metabolites between the groups by the model file's own model."""
    rows: list[Row] = []
    terms = ['group', *study.model.covariate_names]
    measures = [measure for measure, _ in roles(study)]
    for model in each_model(study, name, measures, terms, ['group'], rows):
        present = list(model.design.levels['group'])
        rows += [replace(row, analysis=name) for row in group_rows(study, model, present, '')]
    return rows


def _absolute_crlb(study: Study) -> list[Row]:
    """Compare the CRLB in the unit of the value between the groups."""
    crlb = crlb_values(study, absolute=True)
    if not len(crlb.columns):
        return []
    base = study.baseline
    frame = base.merge(crlb.reset_index(), on=KEYS, how='left').set_axis(base.index)
    return [
        compare_continuous(study, cohort, part, str(name), 'crlb_absolute', 'crlb_absolute')
        for cohort, part in study.cohorts(frame)
        for name in crlb.columns
        if part[name].notna().any()
    ]
