"""Rows that tell whether the difference between groups differs between voxels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd

from bids_acc.group.formulas.design import DesignError
from bids_acc.group.statistics.analyses.ancova import term_row, term_test
from bids_acc.group.statistics.analyses.modelling import draw_sample, fit_model, not_done
from bids_acc.group.statistics.rows.row import Row
from bids_acc.group.statistics.study.data import Measure, Study, roles


def voxel_pairs(study: Study) -> list[tuple[Measure, Measure]]:
    """Return the pairs of one metabolite's measures in two voxels.

    Parameters
    ----------
    study : Study
        With measures of several voxels, or of one, when there is no pair.
    """
    in_voxels = [measure for measure, _ in roles(study) if measure.voxel]
    return [
        (a, b) for a, b in combinations(in_voxels, 2)
        if a.metric == b.metric and a.voxel != b.voxel
    ]  # fmt: skip


def group_by_voxel(
    study: Study, earlier: Mapping[str, pd.DataFrame], rng: np.random.Generator
) -> list[Row]:
    """Test group x voxel: the groups are compared in each person's difference of two voxels.

    With two voxels in everybody that is the interaction of the analysis of variance with a factor
    within people, and needs no assumption about how the voxels vary together.

    Parameters
    ----------
    study : Study
        Data and model, with a metabolite in two voxels.
    earlier : mapping of str to DataFrame
        Not used: this step looks at no other.
    rng : Generator
        Not used: nothing here is random.

    Returns
    -------
    list of Row
        One row a metabolite, pair of voxels and cohort.
    """
    del earlier, rng
    rows: list[Row] = []
    terms = ['group', *study.model.covariate_names]
    for cohort, frame in study.cohorts():
        for a, b in voxel_pairs(study):
            measure = replace(a, name=f'{a.name} - {b.name}', voxel='')
            there = frame.assign(**{measure.name: frame[a.name] - frame[b.name]})
            sample = draw_sample(study, cohort, there, measure, terms[1:])
            try:
                model = fit_model(study, sample, terms, ['group'])
            except DesignError as error:
                rows.append(not_done(sample, 'mrs_voxel', terms, error))
                continue
            test = term_test(model, 'group', study.model.ss_type)
            row = term_row(model, test, study, 'mrs_voxel', 'mrs_voxel')
            row.term, row.contrast = 'group x voxel', f'{a.voxel} - {b.voxel}'
            row.note = '; '.join(
                filter(None, (row.note, 'group effect on the difference of the two voxels'))
            )
            rows.append(row)
    return rows
