"""What preprocessing did to an acquisition, as the tables that follow are told."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NotRequired, TypedDict

from bids_acc.mrs.scan.io import MrsData, unread
from bids_acc.mrs.signal.artefacts import Artefact
from bids_acc.mrs.signal.preprocessing import Preprocessed, StepRecord, nothing_usable
from bids_acc.typing import Metadata


class SignRecord(TypedDict):
    """An artefact that was looked for, see `bids_acc.mrs.signal.artefacts.Artefact`."""

    name: str
    found: bool
    value: float
    rule: str


class StepEntry(TypedDict):
    """A step of preprocessing, see `bids_acc.mrs.signal.preprocessing.StepRecord`."""

    step: str
    applied: bool
    detail: str
    snr_before: float
    snr_after: float
    fwhm_before_hz: float
    fwhm_after_hz: float


class BlockRecord(TypedDict):
    """A block of transients of a time course."""

    label: str
    onset_s: float
    n_transients: int
    width_added_hz: float


class PreprocessingReport(TypedDict):
    """What is told of an acquisition; it is written as JSON between two nodes."""

    n_transients: float
    """Shots of the spectrum, of both conditions of an edited scan; NaN when nobody counted."""
    n_transients_used: float
    n_coils: float
    drift_hz: float
    preprocessing_shift_ppm: float
    preprocessing_phase_deg: float
    water_amplitude: float
    """Water signal at time zero; NaN without reference."""
    fwhm_water_hz: float
    residual_water_ratio: float
    ref_echo_time: float
    """Of the water reference in s, and its repetition time below; NaN without one."""
    ref_repetition_time: float
    voxel_volume_ml: float
    steps: list[StepEntry]
    artefacts: list[SignRecord]
    unusable: str
    """Why no level can come of it; empty when one can."""
    notes: list[str]
    metadata: Metadata
    edit_index: NotRequired[int]
    """Condition that was fitted."""
    editing: NotRequired[Metadata]
    """Numbers of alignment and subtraction; empty for a scan that is not edited."""
    blocks: NotRequired[list[BlockRecord]]


def sign_records(signs: Iterable[Artefact]) -> list[SignRecord]:
    """Write checks for artefacts as records.

    Parameters
    ----------
    signs : iterable of Artefact
        Found or not.

    Returns
    -------
    list of dict
    """
    return [
        {'name': sign.name, 'found': sign.found, 'value': sign.value, 'rule': sign.rule}
        for sign in signs
    ]


def _step_entry(step: StepRecord) -> StepEntry:
    return {
        'step': step.step,
        'applied': step.applied,
        'detail': step.detail,
        'snr_before': step.snr_before,
        'snr_after': step.snr_after,
        'fwhm_before_hz': step.fwhm_before_hz,
        'fwhm_after_hz': step.fwhm_after_hz,
    }


def preprocessing_report(
    data: MrsData, done: Preprocessed, reference: MrsData | None = None
) -> PreprocessingReport:
    """Say what preprocessing did to an acquisition, for the tables that follow.

    Parameters
    ----------
    data : MrsData
        Acquisition as read: number of coils, volume of the voxel, notes and metadata.
    done : Preprocessed
        What became of it.
    reference : MrsData, optional
        Its water reference, whose echo and repetition time water scaling corrects for.

    Returns
    -------
    PreprocessingReport
        ``artefacts`` is empty, for the caller to fill.
    """
    return {
        'n_transients': done.n_transients,
        'n_transients_used': done.n_transients_used,
        'n_coils': data.fids.shape[0],
        'drift_hz': done.drift_hz,
        'preprocessing_shift_ppm': done.shift_ppm,
        'preprocessing_phase_deg': done.phase0_deg,
        'water_amplitude': done.water_amplitude,
        'fwhm_water_hz': done.water_fwhm_hz,
        'residual_water_ratio': done.residual_water_ratio,
        'ref_echo_time': math.nan if reference is None else reference.echo_time,
        'ref_repetition_time': math.nan if reference is None else reference.repetition_time,
        'voxel_volume_ml': data.voxel_volume_ml,
        'steps': [_step_entry(step) for step in done.steps],
        'artefacts': [],
        'unusable': data.unusable,
        'notes': list(data.notes),
        'metadata': data.metadata,
    }


def empty_report(metadata: Metadata, reason: str) -> PreprocessingReport:
    """Report of an acquisition that was not preprocessed: nothing measured, nothing counted.

    Parameters
    ----------
    metadata : mapping
        BIDS metadata, as far as they can be read.
    reason : str
        Why, one sentence.
    """
    report = preprocessing_report(unread(metadata, '', reason), nothing_usable(0, reason))
    report['n_coils'] = report['n_transients'] = report['n_transients_used'] = math.nan
    return report
