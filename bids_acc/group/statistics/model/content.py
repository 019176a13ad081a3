"""Keys of a model file and their types, once the file is checked and defaults are filled in.

What each key means and its default stand in ``data/models/schema.json``, against which a file is
checked; a test holds the two together.
"""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

from bids_acc.group.formulas.inference import Correction
from bids_acc.group.formulas.sites import Method as MetaAnalysis

Pairs = Literal['all', 'reference']
GateEntry = str | dict[str, object]
"""Name of a preset, or the content of a gate file."""


class GroupEntry(TypedDict):
    """``Group``."""

    Column: str
    Levels: list[str]
    Reference: str | None
    Labels: dict[str, str]
    Recode: dict[str, str]


class CovariateEntry(TypedDict):
    """One of ``Covariates``."""

    Name: str
    Kind: Literal['continuous', 'categorical']
    Levels: list[str]
    Shape: Literal['linear', 'spline']
    Df: int
    OnlyIn: list[str]


class ResponsesEntry(TypedDict):
    """``Responses``."""

    Metrics: list[str] | None
    Components: list[int] | None
    Columns: list[str]


class OwnCovariateEntry(TypedDict):
    """One of ``OwnCovariates``."""

    Columns: list[str]
    Covariates: list[str]


class PartialVolumeEntry(TypedDict):
    """``PartialVolume``."""

    Covariates: list[str]


class VertexwiseEntry(TypedDict):
    """``Vertexwise``."""

    Region: Literal['roi', 'cortex']
    Metrics: list[str] | None
    Pairs: Pairs
    Permutations: int


class MrsEntry(TypedDict):
    """``Mrs``."""

    UnitScheme: str
    Voxel: str | None
    Voxels: dict[str, list[str]]
    Primary: list[str]
    Secondary: list[str]
    Together: dict[str, list[str]]
    Relation: str | None
    Gate: bool


class FamilyEntry(TypedDict):
    """One of ``Families``."""

    Method: Correction
    Over: list[str]


class ContrastEntry(TypedDict):
    """One of ``Contrasts``."""

    Name: str
    Weights: dict[str, float]


class PostHocEntry(TypedDict):
    """``PostHoc``."""

    Pairs: Pairs
    Report: Literal['adjusted', 'plain']


class ReplicationEntry(TypedDict):
    """``Replication``."""

    Rule: Literal['every', 'any', 'none']
    Value: Literal['p_corrected', 'p_unc']


class RangeEntry(TypedDict):
    """Values of a column that are allowed, both ends included."""

    Min: NotRequired[float]
    Max: NotRequired[float]


class SubsampleEntry(TypedDict):
    """One of ``Subsamples``."""

    Name: str
    Columns: list[str]
    Where: dict[str, list[str | float] | RangeEntry]


class ClinicalEntry(TypedDict):
    """``Clinical``."""

    Scores: list[str]
    Responses: Literal['retained', 'all']
    Scopes: list[Literal['within_groups', 'pooled', 'by_group']]
    Metabolites: bool
    Families: dict[str, list[str]]


class DemographicsEntry(TypedDict):
    """``Demographics``."""

    Continuous: list[str]
    Categorical: list[str]


class QualityEntry(TypedDict):
    """``Quality``."""

    Measures: list[str] | None


class GateSection(TypedDict):
    """``Gate``."""

    mrs: GateEntry | None
    anat: GateEntry
    dwi: GateEntry
    func: GateEntry | None
    mtr: GateEntry


class NuisanceEntry(TypedDict):
    """``Nuisance``."""

    Always: list[str]
    IfDifferent: bool
    DefinesGroups: list[str]


class EvidenceEntry(TypedDict):
    """``Evidence``."""

    SmallestDifference: float | None
    SmallestCorrelation: float | None
    PriorScale: float


class NormEntry(TypedDict):
    """One of ``Norms/Table``."""

    Measure: str
    Mean: float
    SD: float
    Sex: str | None
    AgeMin: float | None
    AgeMax: float | None
    Source: str


class NormsEntry(TypedDict):
    """``Norms``."""

    Level: str | None
    Columns: list[str]
    Adjust: list[str]
    Spread: list[str]
    Centile: float
    Table: list[NormEntry]
    AgeColumn: str
    SexColumn: str


class ImprovementEntry(TypedDict):
    """``Sessions/Improvement``."""

    Score: str
    Minimum: float
    Session: str | None
    Threshold: float
    Remission: float | None


class CrossoverEntry(TypedDict):
    """``Sessions/Crossover``."""

    Treatment: str
    Levels: list[str]


class SessionsEntry(TypedDict):
    """``Sessions``."""

    Baseline: str | None
    FollowUps: list[str]
    ResponseColumn: str | None
    Order: list[str]
    Measures: list[str]
    Improvement: ImprovementEntry | None
    Time: dict[str, float] | None
    Reliability: list[str]
    Normalisation: bool
    Crossover: CrossoverEntry | None
    ChangeCorrelations: list[list[str]]


class SitesEntry(TypedDict):
    """``Sites``."""

    Column: str | None
    Harmonise: Literal['none', 'combat']
    MinPerSite: int
    Method: MetaAnalysis


class PredictionEntry(TypedDict):
    """``Prediction``."""

    Outcome: str | None
    Positive: str | None
    Predictors: list[str]
    Cutoff: float
    Folds: int
    Repeats: int
    Permutations: int
    MinPerClass: int
    Force: bool
    LeaveSiteOut: bool


class MixtureEntry(TypedDict):
    """``Mixture``."""

    Measures: list[str]
    MaxComponents: int
    Bootstraps: int
    Groups: list[str]
    EqualVariance: bool


class TreatmentHistoryEntry(TypedDict):
    """``TreatmentHistory``."""

    Definition: str | None
    Trials: str
    Ratings: str
    Equivalents: str | None
    Method: str
    Thresholds: dict[str, dict[str, float]]


class ModelContent(TypedDict):
    """A whole model file."""

    Name: str
    Description: str
    ModelVersion: NotRequired[str]
    Proposal: list[str]
    Group: GroupEntry
    Cohort: str | None
    Covariates: list[CovariateEntry]
    Interactions: list[str]
    Responses: ResponsesEntry
    PartialVolume: PartialVolumeEntry
    OwnCovariates: list[OwnCovariateEntry]
    Vertexwise: VertexwiseEntry | None
    Mrs: MrsEntry
    Ratios: list[str]
    SumOfSquares: Literal['II', 'III']
    Alpha: float
    ConfidenceLevel: float
    Correction: Correction
    Families: dict[str, FamilyEntry]
    Contrasts: list[ContrastEntry]
    PostHoc: PostHocEntry
    Replication: ReplicationEntry
    Subsamples: list[SubsampleEntry]
    Clinical: ClinicalEntry
    Demographics: DemographicsEntry
    Quality: QualityEntry
    Gate: GateSection
    Nuisance: NuisanceEntry
    Norms: NormsEntry
    Permutations: int
    Evidence: EvidenceEntry
    ExactBelow: int
    Sessions: SessionsEntry
    Sites: SitesEntry
    Prediction: PredictionEntry
    Mixture: MixtureEntry
    TreatmentHistory: TreatmentHistoryEntry
