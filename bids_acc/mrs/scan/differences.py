"""ON beside OFF: the second condition of an edited scan, laid upon the first."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from bids_acc.mrs.basis.edit_metadata import Editing, editing_of
from bids_acc.mrs.scan.io import MrsData
from bids_acc.mrs.signal.artefacts import Artefact
from bids_acc.mrs.signal.difference import (
    CHOLINE_LIMIT,
    SUPPRESSED,
    WATER_LIMIT_DEG,
    WATER_LIMIT_HZ,
    EditedPair,
    pair_conditions,
)
from bids_acc.mrs.signal.gannet import fit_gaussians
from bids_acc.mrs.signal.preprocessing import Preprocessed, replayed
from bids_acc.typing import ComplexArray

LOGGER = logging.getLogger(__name__)

EXCHANGED = 1.0
"""NAA that is higher in the condition called ON, by more than its height in the one called OFF,
tells that the labels are exchanged."""


NO_TARGET = (
    'neither metadata nor data tell what was edited: name it in EditTarget of the sidecar (GABA '
    'or GSH); OFF is fitted alone.'
)
"""Why there is no difference."""


@dataclass(frozen=True)
class SecondCondition:
    """The condition ON of an edited scan, processed, or why it could not be."""

    pair: EditedPair | None = None
    """Both conditions; None when there is no difference to fit."""
    report: Mapping[str, object] = field(default_factory=dict)
    """Numbers for the tables; empty for a scan that is not edited."""
    artefacts: tuple[Artefact, ...] = ()
    """Signs of a spoilt subtraction."""
    notes: tuple[str, ...] = ()
    """Sentences for the tables."""
    n_transients: int = 0
    """Transients of ON; none without a pair."""
    n_used: int = 0
    """Those that were averaged."""

    @property
    def exchanged(self) -> bool:
        """Whether the labels of the conditions are exchanged."""
        target = self.report.get('target')
        return self.pair is not None and target == 'GABA' and self.pair.naa_ratio > EXCHANGED


def second_condition(
    data: MrsData, done: Preprocessed, condition: int, on: ComplexArray | None = None
) -> SecondCondition:
    """Process the condition ON as OFF was, lay it upon OFF, and measure the subtraction.

    Parameters
    ----------
    data : MrsData
        As read, with two editing conditions.
    done : Preprocessed
        The condition OFF.
    condition : int
        Position of OFF.
    on : (n_coils, n_transients, n_points) ndarray of complex, optional
        Decays of ON; those of ``data`` when left out.

    Returns
    -------
    SecondCondition
        Without a pair, and with the reason in the notes, when the target of editing is not one
        that is fitted.
    """
    axis = data.dwell_time, data.spectrometer_mhz
    told = editing_of(data.metadata)
    if not told.target and told.told:
        return SecondCondition(
            notes=(f'edited for {told.told}: only GABA and GSH are fitted; OFF is fitted alone.',)
        )
    raw = data.fids[:, :, 1 - condition] if on is None else on
    fid, wet, n_used = replayed(raw, *axis, done)
    replay = done.replay
    pair = pair_conditions(
        fid,
        done.fid,
        wet,
        done.fid if replay is None else replay.wet,
        *axis,
        target=told.target or 'GABA',
        residual_water_ratio=done.residual_water_ratio,
    )
    # Asked again: with NAA of the difference the data can tell the target where metadata do not.
    editing = editing_of(data.metadata, pair.naa_ratio)
    if not editing.target:
        return SecondCondition(notes=(NO_TARGET,))
    report = _report(pair, editing, raw.shape[1], n_used, axis)
    return SecondCondition(
        pair, report, _artefacts(pair, editing), n_transients=raw.shape[1], n_used=n_used
    )


def _report(
    pair: EditedPair, editing: Editing, n_transients: int, n_used: int, axis: tuple[float, float]
) -> dict[str, object]:
    """Numbers of alignment and subtraction, and those of Gannet and Osprey."""
    found = {
        'target': editing.target,
        'n_transients_on': n_transients,
        'n_transients_on_used': n_used,
        'aligned_by': pair.by if pair.aligned else 'nothing',
        'on_shift_hz': pair.shift_hz,
        'on_phase_deg': pair.phase_deg,
        'water_shift_hz': pair.water_shift_hz,
        'water_phase_deg': pair.water_phase_deg,
        'choline_residual': pair.choline_residual,
        'naa_ratio': pair.naa_ratio,
    }
    if editing.target != 'GABA':
        return found
    gauss = fit_gaussians(pair.on, pair.off, *axis)
    return found | {
        'gannet_gaba_cr': gauss.gaba_over_creatine,
        'gannet_gaba_fit_error_pct': gauss.gaba_fit_error_pct,
        'gannet_glx_fit_error_pct': gauss.glx_fit_error_pct,
        'gannet_gaba_fwhm_hz': gauss.gaba_fwhm_hz,
        'gannet_gaba_snr': gauss.gaba_snr,
        'osprey_difference_snr': gauss.osprey_snr,
    }


def _artefacts(pair: EditedPair, editing: Editing) -> tuple[Artefact, ...]:
    """Signs of a subtraction that shows something else than editing, found or not."""
    unlike = editing.target == 'GABA' and not pair.naa_ratio < -SUPPRESSED
    worst = math.nan if math.isnan(pair.water_shift_hz) else pair.water_shift_hz
    return (
        Artefact(
            'editing_misaligned', pair.misaligned, worst,
            'ON and OFF could not be aligned, or residual water lies elsewhere than the cholines '
            f'by more than {WATER_LIMIT_HZ:g} Hz or {WATER_LIMIT_DEG:g} degrees',
        ),
        Artefact(
            'subtraction_residue', pair.residue, pair.choline_residual,
            f'the cholines leave more than {CHOLINE_LIMIT:g} of their height in the difference',
        ),
        Artefact(
            'editing_absent', unlike, pair.naa_ratio,
            'NAA is not gone in ON, as a pulse at 1.9 ppm would have it',
        ),
    )  # fmt: skip
