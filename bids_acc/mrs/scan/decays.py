"""The decays of a NIfTI-MRS file in one order, without what is no signal of the voxel."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from bids_acc.exceptions import InputDataError
from bids_acc.files.metadata import first_number
from bids_acc.mrs.spectrum import PPM_REFERENCE
from bids_acc.typing import ComplexArray, Metadata

MIN_POINTS = 64
"""Samples below which a decay is no spectrum."""

DEFAULT_TAGS = ('DIM_COIL', 'DIM_DYN', 'DIM_INDIRECT_0')
"""Meaning of the fifth to seventh dimension when the header does not tag them."""

AVERAGED_TAGS = ('DIM_DYN', 'DIM_MEAS', 'DIM_PHASE_CYCLE')
"""Dimensions along which transients are repeated; they are averaged together."""

CENTRE = ('SpecFreqChemShift', 'RxOffset')
"""Fields of the standard (since 2026) that tell the chemical shift in the centre, in ppm."""

CENTRE_BIDS, PROTONS_PPM = 'ChemicalShiftOffset', (1.0, 6.0)
"""Field of BIDS that tells the same as the first, and what is believed of it: lines of protons lie
there, while 0 or -2.3 is an offset of a transmitter. The range is a convention."""

START = 'AcquisitionStartTime'
"""Field of the standard that tells when the first sample was taken, in s after the echo."""

LATE_SAMPLES = 1.5
"""A decay that begins later than this number of samples after the echo is not made up for: one
sample is a first-order phase that the fit finds. A convention of this package."""

NEAR_CENTRE_PPM, FURTHEST_CENTRE_PPM = 0.2, 5.0
"""An offset that the search for the lines finds anyhow, and one that leaves the protons' lines.
Conventions of this package."""


def arranged(
    data: ComplexArray, metadata: Metadata, source: str
) -> tuple[ComplexArray, list[str]]:
    """Order data as (coils, transients, edits, points), whatever the order of the tags.

    Parameters
    ----------
    data : (1, 1, 1, n_points, ...) ndarray of complex
        As the file has it.
    metadata : mapping
        With the tags of the dimensions and their headers.
    source : str
        File name for the message.

    Returns
    -------
    fids : (n_coils, n_transients, n_edits, n_points) ndarray of complex
    notes : list of str

    Raises
    ------
    InputDataError
        If there are several voxels, or a dimension that cannot be averaged or fitted.
    """
    notes: list[str] = []
    if data.shape[:3] != (1, 1, 1):
        raise InputDataError(
            f'{source}: {data.shape[:3]} voxels; only single-voxel spectra are fitted: leave '
            f'spectroscopic images out with --bids-filter-file.'
        )
    moved: list[str] = []
    for axis, default in zip(range(4, data.ndim), DEFAULT_TAGS, strict=False):
        tag = metadata.get(f'dim_{axis + 1}')
        if tag is None and data.shape[axis] > 1:
            notes.append(f'dimension {axis + 1} is not tagged; taken as {default}.')
        moved.append(str(tag or default).strip().upper())
    block = data[0, 0, 0]
    groups: dict[str, list[int]] = {'coil': [], 'dyn': [], 'edit': []}
    for axis, tag in enumerate(moved, start=1):
        kind = {'DIM_COIL': 'coil', 'DIM_EDIT': 'edit'}.get(tag)
        kind = 'dyn' if tag in AVERAGED_TAGS else kind
        if _lists_conditions(metadata, axis + 4, block.shape[axis]):
            kind = 'edit'  # whatever a converter calls it: conditions are never averaged
        if tag == 'DIM_METCYCLE' and block.shape[axis] > 1:
            raise InputDataError(
                f'{source}: dimension {axis + 4} holds cycled metabolites (DIM_METCYCLE): '
                f'subtract its two halves when converting; half their sum is the water reference '
                f'(mrsref).'
            )
        if tag == 'DIM_ISIS' and block.shape[axis] > 1:
            raise InputDataError(
                f'{source}: dimension {axis + 4} holds steps that localise by inversion '
                f'(DIM_ISIS, as SPECIAL has): add and subtract them as the sequence says when '
                f'converting; their mean is not of the voxel.'
            )
        if kind is None and block.shape[axis] > 1:
            raise InputDataError(
                f'{source}: dimension {tag} of size {block.shape[axis]} cannot be handled: split '
                f'the file so that only coils, transients and editing conditions remain.'
            )
        groups[kind or 'dyn'].append(axis)
    order = [*groups['coil'], *groups['dyn'], *groups['edit']]
    sizes = [int(np.prod([block.shape[a] for a in groups[k]])) for k in ('coil', 'dyn', 'edit')]
    return np.transpose(block, [*order, 0]).reshape(*sizes, block.shape[0]), notes


def _lists_conditions(metadata: Metadata, number: int, size: int) -> bool:
    """Whether the header of a dimension names an editing condition for each of its places."""
    header = metadata.get(f'dim_{number}_header')
    found = header.get('EditCondition') if isinstance(header, Mapping) else None
    values = found.get('Value') if isinstance(found, Mapping) else found
    return isinstance(values, list | tuple) and len(values) == size > 1


def without_unusable(
    fids: ComplexArray,
) -> tuple[ComplexArray, list[str], str, tuple[int, ...]]:
    """Leave out transients that are not finite, or zero, as a series that was stopped leaves them.

    Parameters
    ----------
    fids : (n_coils, n_transients, n_edits, n_points) ndarray of complex

    Returns
    -------
    fids : ndarray of complex
    notes : list of str
    reason : str
        Why none is left; empty when one is.
    places : tuple of int
        Of those that are left, when some are not.
    """
    finite = np.isfinite(fids).all(axis=(0, 2, 3))
    if not finite.any():
        return fids, [], 'no decay is finite throughout', ()
    notes = []
    if not finite.all():
        count = int((~finite).sum())
        notes.append(f'{count} of {finite.size} transients hold values that are not finite.')
    measured = finite & np.any(fids != 0, axis=(0, 3)).all(axis=1)
    if not measured.any():
        reason = 'the decays are zero throughout'
        if np.any(fids):
            reason = 'one of the editing conditions is zero in each transient'
        return fids[:, finite], notes, reason, ()
    if count := int((finite & ~measured).sum()):
        notes.append(f'{count} of {finite.size} transients are zero throughout: left out.')
    kept = () if measured.all() else tuple(int(place) for place in np.flatnonzero(measured))
    return fids[:, measured], notes, '', kept


def without_zero_filling(fids: ComplexArray) -> tuple[ComplexArray, list[str]]:
    """Cut zeros that the scanner appended: they hold no noise and would flatter S/N and bounds.

    Parameters
    ----------
    fids : (n_coils, n_transients, n_edits, n_points) ndarray of complex

    Returns
    -------
    fids : ndarray of complex
    notes : list of str
    """
    measured = np.flatnonzero(np.any(fids != 0, axis=(0, 1, 2)))
    n_points = int(measured[-1]) + 1 if measured.size else 0
    if not MIN_POINTS <= n_points < fids.shape[-1]:
        return fids, []
    note = f'{fids.shape[-1] - n_points} of {fids.shape[-1]} samples at the end are zero: cut.'
    return fids[..., :n_points], [note]


def from_the_echo(
    fids: ComplexArray, metadata: Metadata, dwell_time: float
) -> tuple[ComplexArray, dict[str, object], list[str], str]:
    """Leave out what was sampled before the echo; say why a decay that begins late is unusable.

    The start is taken out of the metadata, because it no longer holds for what is written.

    Parameters
    ----------
    fids : (n_coils, n_transients, n_edits, n_points) ndarray of complex
    metadata : mapping
    dwell_time : float
        In s.

    Returns
    -------
    fids : ndarray of complex
    metadata : dict
    notes : list of str
    reason : str
        Empty where the decay can be used.
    """
    kept = {key: value for key, value in metadata.items() if key != START}
    samples = first_number(metadata.get(START)) / dwell_time
    if math.isnan(samples) or abs(samples) < 0.5:
        return fids, kept, [], ''
    told = f'{START} {1e3 * samples * dwell_time:g} ms'
    if samples > LATE_SAMPLES:
        reason = f'{told}: the first {samples:.0f} samples after the echo are missing'
        return fids, kept, [], reason
    before = round(-samples)
    if samples > 0 or fids.shape[-1] - before < MIN_POINTS:
        return fids, kept, [f'{told}: not believed.'] if before > 0 else [], ''
    return fids[..., before:], kept, [f'{told}: {before} samples before the echo left out.'], ''


def centred_on_water(
    fids: ComplexArray, metadata: Metadata, dwell_time: float, frequency: float
) -> tuple[ComplexArray, dict[str, object], list[str]]:
    """Bring water to the centre of a spectrum that was received around another chemical shift.

    The centre is `SpecFreqChemShift` (4.65 ppm when it is not told) plus `RxOffset`, both in ppm,
    as the tools of the standard have them. They are taken out of the metadata, because they no
    longer hold for what is written.

    Parameters
    ----------
    fids : (n_coils, n_transients, n_edits, n_points) ndarray of complex
    metadata : mapping
    dwell_time : float
        In s.
    frequency : float
        Spectrometer frequency in MHz.

    Returns
    -------
    fids : ndarray of complex
    metadata : dict
    notes : list of str
    """
    told = [first_number(metadata.get(name)) for name in CENTRE]
    if math.isnan(told[0]):
        told[0] = first_number(metadata.get(CENTRE_BIDS))
        if not PROTONS_PPM[0] <= told[0] <= PROTONS_PPM[1]:  # 0 and the like: no shift of a line
            told[0] = math.nan
    kept = {key: value for key, value in metadata.items() if key not in (*CENTRE, CENTRE_BIDS)}
    centre = (PPM_REFERENCE if math.isnan(told[0]) else told[0]) + (
        0.0 if math.isnan(told[1]) else told[1]
    )
    offset = centre - PPM_REFERENCE
    if abs(offset) < NEAR_CENTRE_PPM:
        return fids, kept, []
    if abs(offset) > FURTHEST_CENTRE_PPM:
        return (
            fids,
            kept,
            [f'{" and ".join(CENTRE)} put {centre:g} ppm into the centre: not believed.'],
        )
    turn = np.exp(-2j * np.pi * offset * frequency * dwell_time * np.arange(fids.shape[-1]))
    note = f'the centre lies at {centre:g} ppm, by its metadata: moved to {PPM_REFERENCE:g} ppm.'
    return fids * turn, kept, [note]
