"""Whether data quality differs between the groups: looked at before any result."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from bids_acc.group.cohort.quality import ONE_OF_A_KIND
from bids_acc.group.statistics.analyses.demographics import compare_categorical, compare_continuous
from bids_acc.group.statistics.rows.row import Row
from bids_acc.group.statistics.study.data import KEYS, Study, wanted_metabolites
from bids_acc.group.statistics.study.joining import gated_values


def quality_frame(study: Study) -> tuple[pd.DataFrame, list[str]]:
    """Join quality measures, CRLBs and gate verdicts to the baseline session.

    Parameters
    ----------
    study : Study
        Data and model (``Quality/Measures``; all numeric ones when it names none).

    Returns
    -------
    frame : DataFrame
        One row per participant.
    columns : list of str
        Numeric quality measures, sorted; CRLBs are named ``crlb_<metabolite>``.
    """
    base = study.baseline
    wanted = study.model.content['Quality']['Measures']
    numeric = [
        name
        for name in study.qc.columns
        # truth values are numbers to pandas, and no measure of quality
        if name not in KEYS and pd.api.types.is_numeric_dtype(study.qc[name])
        and not pd.api.types.is_bool_dtype(study.qc[name])
    ]  # fmt: skip
    columns = sorted(name for name in numeric if wanted is None or name in wanted)
    frame = base
    if columns:
        qc = study.qc.drop_duplicates(KEYS)[[*KEYS, *columns]]
        frame = base.drop(columns=[c for c in columns if c in base.columns]).merge(
            qc, on=KEYS, how='left'
        )
    crlb = crlb_values(study)
    if len(crlb.columns):
        frame = frame.merge(crlb.reset_index(), on=KEYS, how='left')
        columns += [str(name) for name in crlb.columns]
    return frame, columns


def crlb_values(study: Study, *, absolute: bool = False) -> pd.DataFrame:
    """Return the CRLB of the model's metabolites, in per cent or in the unit of the value.

    Parameters
    ----------
    study : Study
        Metabolites in long form.
    absolute : bool
        Multiply the per cent by the value.
    """
    empty = pd.DataFrame(index=pd.MultiIndex.from_arrays([[], []], names=KEYS))
    if 'crlb_pct' not in study.mrs.columns:
        return empty
    names = wanted_metabolites(study)
    crlb, _ = gated_values(
        study.mrs.assign(value=pd.to_numeric(study.mrs['crlb_pct'], errors='coerce')),
        study.model,
        use_gate=False,
    )
    # a ratio has no bound of its own
    there = [name for name in names if name in crlb.columns and '/' not in name]
    if not there:
        return empty
    crlb = crlb[there]
    if absolute:
        values, _ = gated_values(study.mrs, study.model, use_gate=False)
        # in units of the level: a group with less of a metabolite has larger relative bounds of
        # the same spectra
        crlb = crlb * values[there] / 100
    prefix = 'crlb_absolute_' if absolute else 'crlb_'
    return crlb.rename(columns={name: f'{prefix}{name}' for name in there})


def quality_by_group(
    study: Study, earlier: Mapping[str, pd.DataFrame], rng: np.random.Generator
) -> list[Row]:
    """Compare quality measures and the share of failed gates between the groups.

    Everybody with data counts, whether or not the gate was passed; a second set of rows has
    only those whose primary metabolite passed.

    Parameters
    ----------
    study : Study
        Data and model (``Quality``).
    earlier : mapping of str to DataFrame
        Not used: this step looks at no other.
    rng : Generator
        Samples tables for the exact test where they are too many to enumerate.

    Returns
    -------
    list of Row
        One row a measure and cohort.
    """
    del earlier
    frame, columns = quality_frame(study)
    kinds = [name for name in ONE_OF_A_KIND if name in study.qc.columns]
    if missing := [name for name in kinds if name not in frame.columns]:
        found = study.qc.drop_duplicates(KEYS)[[*KEYS, *missing]]
        frame = frame.merge(found, on=KEYS, how='left')
    failed = study.gate_failed.loc[study.baseline.index]
    frame = frame.set_axis(study.baseline.index)
    rows: list[Row] = []
    primary = [name for name in study.model.content['Mrs']['Primary'] if name in frame.columns]
    for cohort, part in study.cohorts(frame):
        for name in kinds:
            if len(part[name].dropna().unique()) > 1:
                rows += compare_categorical(study, cohort, part, name, rng, 'quality', 'quality')
        there = [name for name in columns if part[name].notna().any()]
        rows += [
            compare_continuous(study, cohort, part, name, 'quality', 'quality') for name in there
        ]
        if primary:
            # those who are analysed: groups that differed before the gate may be alike behind it,
            # or the reverse
            passed = part[part[primary[0]].notna()]
            rows += [
                compare_continuous(study, cohort, passed, name, 'quality_passed', 'quality passed')
                for name in there
                if passed[name].notna().any()
            ]
        for name in primary:
            measured = part[name].notna() | failed.loc[part.index].get(name, False)
            verdict = np.where(part[name].notna(), 'pass', 'fail')
            gate = f'gate_{name}'
            rows += compare_categorical(
                study, cohort, part.assign(**{gate: verdict})[measured], gate, rng,
                'quality', 'quality',
            )  # fmt: skip
    return rows
