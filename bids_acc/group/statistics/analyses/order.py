"""The analyses of a cohort, in the order of a methods section.

Each line of `ANALYSES` is one step: the function that does it and the table its rows go to. A step
sees the finished tables of those above it; one that the model file does not ask for returns no
rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bids_acc.group.statistics.analyses.ancova import ancova
from bids_acc.group.statistics.analyses.change_checks import change_diagnostics
from bids_acc.group.statistics.analyses.clinical import clinical_scores
from bids_acc.group.statistics.analyses.demographics import demographics
from bids_acc.group.statistics.analyses.diagnostics import diagnostics
from bids_acc.group.statistics.analyses.evidence_rows import evidence
from bids_acc.group.statistics.analyses.interaction_rows import interactions
from bids_acc.group.statistics.analyses.longitudinal_rows import change_between_sessions
from bids_acc.group.statistics.analyses.mixture_rows import mixture_of_populations
from bids_acc.group.statistics.analyses.mrs_groups import (
    corrected_together,
    metabolites_by_group,
    nuisance_regressions,
)
from bids_acc.group.statistics.analyses.partial_volume import partial_volume
from bids_acc.group.statistics.analyses.posthoc import planned_contrasts, posthoc
from bids_acc.group.statistics.analyses.prediction_rows import prediction_of_outcome
from bids_acc.group.statistics.analyses.quality_groups import quality_by_group
from bids_acc.group.statistics.analyses.relation import partial_correlations, relation
from bids_acc.group.statistics.analyses.reliability_rows import agreement_of_sessions
from bids_acc.group.statistics.analyses.sensitivity import gate_sensitivity
from bids_acc.group.statistics.analyses.site_rows import sites_side_by_side
from bids_acc.group.statistics.analyses.treatment_rows import treatment_groups
from bids_acc.group.statistics.analyses.trial_rows import trials
from bids_acc.group.statistics.analyses.voxel_rows import group_by_voxel
from bids_acc.group.statistics.analyses.zscores import group_zscores
from bids_acc.group.statistics.rows.row import Row
from bids_acc.group.statistics.study.data import Study

AnalysisFunction = Callable[[Study, Mapping[str, pd.DataFrame], np.random.Generator], list[Row]]


@dataclass(frozen=True)
class Analysis:
    """One step of the analysis."""

    function: AnalysisFunction
    """Makes the rows from the study, the tables of the steps above and a generator."""
    table: str
    """Table that the rows go to; several steps may share one."""

    @property
    def name(self) -> str:
        """Name of the step, from which its random numbers are seeded."""
        return getattr(self.function, '__name__', type(self.function).__name__)


ANALYSES: tuple[Analysis, ...] = (
    # Who was studied, and are the data of the groups comparable?
    Analysis(demographics, 'demographics'),
    Analysis(quality_by_group, 'qc_by_group'),
    # Do the groups differ in structure; where that replicates, which groups?
    Analysis(ancova, 'ancova'),
    Analysis(posthoc, 'posthoc'),
    Analysis(planned_contrasts, 'contrasts'),
    # Is a difference of FA or MD one of partial volume or noise?
    Analysis(partial_volume, 'partialvolume'),
    # Do they differ in metabolites, alone, corrected together, and at equal nuisance?
    Analysis(metabolites_by_group, 'mrs_group'),
    Analysis(group_by_voxel, 'mrs_group'),
    Analysis(corrected_together, 'mrs_group'),
    Analysis(nuisance_regressions, 'mrs_group'),
    # Does a difference depend on sex, age, hemisphere?
    Analysis(interactions, 'interactions'),
    # How are structure and metabolite related, and both to symptoms?
    Analysis(relation, 'relation'),
    Analysis(partial_correlations, 'partialcorr'),
    Analysis(clinical_scores, 'clinical'),
    # Where nothing was found: is it shown to be small?
    Analysis(evidence, 'evidence'),
    # Further questions: hidden populations, norms, change, sites, prediction, treatment.
    Analysis(mixture_of_populations, 'mixture'),
    Analysis(group_zscores, 'zscores'),
    Analysis(change_between_sessions, 'change'),
    Analysis(trials, 'trial'),
    Analysis(agreement_of_sessions, 'reliability'),
    Analysis(sites_side_by_side, 'meta'),
    Analysis(prediction_of_outcome, 'prediction'),
    Analysis(treatment_groups, 'treatment'),
    # Do the answers depend on assumptions, on single people, on the quality gate?
    Analysis(diagnostics, 'diagnostics'),
    Analysis(change_diagnostics, 'diagnostics'),
    Analysis(gate_sensitivity, 'sensitivity'),
)
"""All analyses, in order."""
