"""What preprocessing did to an acquisition, as the tables that follow are told."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from bids_acc.mrs.scan.io import MrsData, unread
from bids_acc.mrs.signal.preprocessing import Preprocessed, nothing_usable


def preprocessing_report(
    data: MrsData, done: Preprocessed, reference: MrsData | None = None
) -> dict[str, Any]:
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
    dict
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
        'steps': done.steps,
        'artefacts': [],
        'unusable': data.unusable,
        'notes': list(data.notes),
        'metadata': data.metadata,
    }


def empty_report(metadata: Mapping[str, Any], reason: str) -> dict[str, Any]:
    """Report of an acquisition that was not preprocessed: nothing measured, nothing counted.

    Parameters
    ----------
    metadata : mapping
        BIDS metadata, as far as they can be read.
    reason : str
        Why, one sentence.
    """
    report = preprocessing_report(unread(metadata, '', reason), nothing_usable(0, reason))
    return report | dict.fromkeys(('n_coils', 'n_transients', 'n_transients_used'), math.nan)
