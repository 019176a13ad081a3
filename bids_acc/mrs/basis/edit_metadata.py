"""What the metadata tell of editing: its target and the pulses of both conditions."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from bids_acc.files.metadata import first_number
from bids_acc.mrs.basis.editing import OFF_PPM, TARGETS, USUAL_DURATION, USUAL_FWHM, EditPulse
from bids_acc.typing import Metadata

DURATION_RANGE_S = (0.004, 0.045)
"""Plausible durations of an editing pulse in s."""

NEAR_TARGET_PPM = 0.4
"""A pulse within this distance of a target's usual carrier edits that target."""

_TARGET = re.compile(r'(GABA)|(GSH|glutathione)', re.IGNORECASE)


@dataclass(frozen=True)
class Editing:
    """Target and pulses of an edited scan."""

    target: str
    """``GABA`` or ``GSH``; empty when it is another or cannot be told."""
    on: EditPulse
    """Pulse at the target."""
    off: EditPulse
    """Pulse elsewhere."""
    assumptions: tuple[str, ...]
    """Sentences about what was not told."""
    told: str = ''
    """What the metadata name as the target."""


def _pulse_of(metadata: Metadata, condition: str) -> Metadata:
    """Find the description of the pulse of a condition in any place where NIfTI-MRS has it."""
    places = [metadata, *(metadata.get(f'dim_{axis}_header') for axis in (5, 6, 7))]
    for place in places:
        pulses = place.get('EditPulse') if isinstance(place, Mapping) else None
        if not isinstance(pulses, Mapping):
            continue
        for name, pulse in pulses.items():
            if str(name).strip().upper() == condition and isinstance(pulse, Mapping):
                return pulse
    return {}


def editing_of(metadata: Metadata, naa_ratio: float = math.nan) -> Editing:
    """Read target and pulses, and say what had to be assumed.

    Parameters
    ----------
    metadata : mapping
        ``EditTarget``, and ``EditPulse`` of each condition: ``FrequencyOffset`` in ppm and
        ``PulseDuration`` in ms as BIDS has them, or ``PulseOffset`` in ppm and ``PulseDuration``
        in s as NIfTI-MRS does.
    naa_ratio : float
        NAA of ON - OFF over NAA of OFF: where no field tells the target, NAA that is gone in ON
        means GABA.

    Returns
    -------
    Editing

    Examples
    --------
    >>> found = editing_of({'EditPulse': {'ON': {'PulseOffset': 4.56, 'PulseDuration': 0.02}}})
    >>> found.target, found.on.ppm, found.on.duration, round(found.on.fwhm_hz, 1)
    ('GSH', 4.56, 0.02, 61.9)
    >>> found = editing_of({'EditPulse': {'ON': {'FrequencyOffset': 1.9, 'PulseDuration': 16}}})
    >>> found.target, found.on.ppm, found.on.duration
    ('GABA', 1.9, 0.016)
    >>> editing_of({}, naa_ratio=-1.0).target, editing_of({'EditTarget': 'Lac'}).target
    ('GABA', '')
    """
    assumptions: list[str] = []
    on, off = (_pulse_of(metadata, condition) for condition in ('ON', 'OFF'))
    target = metadata.get('EditTarget')
    told = ', '.join(map(str, target)) if isinstance(target, list | tuple) else str(target or '')
    centre = _carrier(on)
    name = _target_of(told, centre)
    if not name and not told and math.isnan(centre) and naa_ratio < -0.5:
        name = 'GABA'
        assumptions.append('the target of editing is not told: GABA, since NAA is gone in ON.')
    if math.isnan(centre):
        centre = TARGETS.get(name, TARGETS['GABA'])
        assumptions.append(f'editing pulse of ON taken at {centre:g} ppm.')
    elsewhere = _carrier(off)
    if math.isnan(elsewhere):
        elsewhere = OFF_PPM
        assumptions.append(f'editing pulse of OFF taken at {elsewhere:g} ppm.')
    duration = _duration(on, off, assumptions)
    width = USUAL_DURATION * USUAL_FWHM / duration
    assumptions.append(
        f'edit_pulse_assumed: a Gaussian of {1e3 * duration:g} ms that inverts {width:.0f} Hz; '
        '20 ms and 60 Hz in place of 15 ms and 82 Hz moves GABA+ by some 7 %, Glx by 3 %.'
    )
    at_target, away = (EditPulse(ppm, duration, width) for ppm in (centre, elsewhere))
    return Editing(name, at_target, away, tuple(assumptions), told)


def _carrier(pulse: Metadata) -> float:
    """Chemical shift of a pulse in ppm, by the name of either standard; NaN when not told."""
    told = (first_number(pulse.get(name)) for name in ('PulseOffset', 'FrequencyOffset'))
    return next((ppm for ppm in told if math.isfinite(ppm)), math.nan)


def _target_of(told: str, centre: float) -> str:
    """Name of a target that can be fitted, by its name or the place of the pulse."""
    if found := _TARGET.search(told):
        # two targets in one difference cannot be told apart
        both = {bool(m.group(1)) for m in _TARGET.finditer(told)}
        return '' if len(both) > 1 else 'GABA' if found.group(1) else 'GSH'
    if told:
        return ''
    near = [name for name, ppm in TARGETS.items() if abs(centre - ppm) <= NEAR_TARGET_PPM]
    return near[0] if near else ''


def _duration(on: Metadata, off: Metadata, assumptions: list[str]) -> float:
    """Duration of the pulses in s, the usual one where none is told or it cannot be true.

    BIDS has it in ms, NIfTI-MRS in s; which one is meant is plain from the number.
    """
    value = first_number(on.get('PulseDuration', off.get('PulseDuration')))
    low, high = DURATION_RANGE_S
    for duration in (value, value / 1e3):
        if low <= duration <= high:
            return duration
    if not math.isnan(value):
        assumptions.append(
            f'PulseDuration {value:g} is outside {low:g}-{high:g} s, and outside '
            f'{1e3 * low:g}-{1e3 * high:g} ms: {USUAL_DURATION:g} s taken.'
        )
    return USUAL_DURATION
