"""What ``code/truth.json`` of the demo dataset holds, as its writer and its readers share it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

import pandas as pd


class MdChange(TypedDict):
    """Relative change of mean diffusivity, as `bids_acc.demo.patterns.DiffusivityChange`."""

    rise: float
    """Flat change in all of the anterior cingulate; 0.1 for 10 %."""
    loadings: Sequence[float]
    """Further change at the centre of each pattern."""


class ThicknessChange(TypedDict):
    """What the planted shift of borders and the warp of the head did to the cortex."""

    mean_mm: float
    by_pattern_mm: list[float]
    """Weighted by each pattern."""
    warp_factor: list[float]
    """Stretch of the cortex by the warp, weighted by each pattern; 1 for none."""


class VisitTruth(TypedDict, total=False):
    """What was planted in the files of one visit."""

    participant_id: str
    session_id: str | None
    """None without sessions."""
    group: str
    thickness_loadings_mm: Sequence[float]
    """Planted change at the centre of each pattern."""
    md_change: MdChange
    glx_tcr: float
    metabolites_tcr: dict[str, float]
    """Ratio to total creatine."""
    tcr_mmol_per_kg: float
    voxel_fractions: dict[str, float]
    """Of GM, WM and CSF."""
    linewidth_hz: list[float]
    head_scale: list[float]
    """Size of the head relative to the template's along x, y and z."""
    dwi_max_translation_mm: float
    sgacc_coupling: float
    sgacc_dmn_z: float
    """Fisher's z of the planted series."""
    sgacc_dmn_expected_z: float
    """What noise leaves of it in the images."""
    mean_fd_mm: float
    """Mean framewise displacement in the BOLD run."""
    thickness_file: str
    """Table of true thickness, relative to ``code/``."""
    thickness_change: ThicknessChange
    thickness: pd.Series
    """Of each vertex in mm, by hemisphere and vertex; only after `read_truth`."""


class DatasetTruth(TypedDict):
    """What was planted in a demo dataset."""

    description: str
    options: Mapping[str, object]
    """As the command was called."""
    patterns: Mapping[str, object]
    md_region: Mapping[str, object]
    groups: Mapping[str, Mapping[str, object]]
    """Means by group."""
    between_participant_sd: Mapping[str, object]
    follow_up: Mapping[str, Mapping[str, object]]
    """By group, changes at the second visit."""
    glx_thickness_r: Mapping[str, object]
    te1_s: float
    """First echo time of the spectra."""
    gm_md_mm2_per_s: float
    """Mean diffusivity of unchanged grey matter."""
    visits: list[VisitTruth]
