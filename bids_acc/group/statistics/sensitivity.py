"""What the quality gate does to the result.

A gate on relative CRLB leaves out low values more readily than high ones (Kreis R (2016). Magn
Reson Med 75:15-18, https://doi.org/10.1002/mrm.25568), so the group comparison is repeated
without the gate, and the absolute CRLB is compared between the groups.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from bids_acc.group.statistics.ancova import structure_measures, term_row, term_tests
from bids_acc.group.statistics.demographics import compare_continuous
from bids_acc.group.statistics.joining import gated_values
from bids_acc.group.statistics.modelling import each_model
from bids_acc.group.statistics.mrs_groups import group_rows, roles
from bids_acc.group.statistics.quality_groups import crlb_values
from bids_acc.group.statistics.relation import relation_measure
from bids_acc.group.statistics.replication import retained_responses
from bids_acc.group.statistics.rows import Row
from bids_acc.group.statistics.study import KEYS, Study


def without_gate(study: Study) -> Study:
    """Return the study with the metabolite values that failed their gate put back."""
    values, _ = gated_values(study.mrs, study.model, use_gate=False)
    if not len(values.columns):
        return study
    names = [name for name in values.columns if name in study.wide.columns]
    wide = study.wide.drop(columns=names)
    joined = wide.merge(values[names].reset_index(), on=KEYS, how='left').set_axis(wide.index)
    nothing = study.gate_failed.astype(bool) & False
    return replace(study, wide=joined, gate_failed=nothing)


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


def _compare(rows: list[Row], table: pd.DataFrame | None, gated: str, alpha: float) -> None:
    """Write beside each row what the gated analysis said."""
    for row in rows:
        p = _lookup(table, gated, row)
        known = np.isfinite(p) and np.isfinite(row.p_unc)
        changes = ('yes' if (p <= alpha) != (row.p_unc <= alpha) else 'no') if known else ''
        row.extra = {**row.extra, 'p_original': p, 'conclusion_changes': changes}


def gate_sensitivity(
    study: Study, earlier: Mapping[str, pd.DataFrame], rng: np.random.Generator
) -> list[Row]:
    """Repeat the metabolite analyses without the gate and compare absolute CRLBs."""
    del rng
    if not len(study.gate_failed.columns):
        return []
    open_study, alpha = without_gate(study), study.model.alpha
    covariates = study.model.covariate_names
    groups: list[Row] = []
    groups += _group_effects(open_study, 'gate_off')
    gated = _group_effects(study, 'gate_on')
    reference = pd.DataFrame(
        [
            {'analysis': r.analysis, 'cohort': r.cohort, 'response': r.response, 'term': r.term,
             'p_unc': r.p_unc}
            for r in gated
        ]
    )  # fmt: skip
    _compare(groups, reference, 'gate_on', alpha)
    related: list[Row] = []
    name = relation_measure(open_study)
    if name is not None:
        retained = retained_responses(earlier.get('ancova'), study.model)
        measures = [m for m in structure_measures(study) if m.name in retained]
        terms = ['group', name, *covariates]
        for model in each_model(open_study, 'gate_off', measures, terms, ['group', name], related):
            test = next(t for t in term_tests(model, study) if t.term == name)
            related.append(term_row(model, test, study, 'gate_off', ''))
        _compare(related, earlier.get('relation'), 'relation', alpha)
    return [*groups, *related, *_absolute_crlb(study)]


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
