"""What the dimensions of a file really hold: transients called coils, editing called repetition.

A conversion that loses a tag makes a file that reads well and means something else. Names and
data are asked, and where they do not settle it the file is refused with the remedy.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from bids_acc.exceptions import MetadataError
from bids_acc.mrs.scan.io import MrsData
from bids_acc.mrs.signal.beginning import (
    IN_PHASE,
    echo_sample,
    in_phase,
    is_spectrum,
    samples_before_echo,
)
from bids_acc.mrs.signal.coils import combine_coils
from bids_acc.mrs.signal.editing import MIN_SHOTS, SUPPRESSED_NAA, TwoKinds, find_two_kinds
from bids_acc.mrs.signal.receiver import leading_zeros, receiver_offset, without_spikes
from bids_acc.mrs.signal.water import uneven_heights, unsuppressed_transients
from bids_acc.typing import BoolArray, ComplexArray, Metadata

LOGGER = logging.getLogger(__name__)

SEQUENCE_FIELDS = ('PulseSequenceType', 'SequenceName', 'PulseSequenceDetails', 'ProtocolName',
                   'SeriesDescription', 'PulseSequenceFile')  # fmt: skip
"""Fields that may name an edited sequence."""

EQUAL_AMPLITUDE, EQUAL_PHASE_RAD = 0.15, 0.35
"""Coils whose amplitudes scatter by less than this share of their mean, and whose phases by less
than this, are repetitions of one signal: elements of a coil see a voxel at any phase."""

MIN_EQUAL_COILS = 4
"""With fewer coils, equality may be chance."""

FEWEST_WATER = 2
"""Transients of unsuppressed water in a series that can stand in for a reference."""

LOST_START = 2
"""Zeros at the start of a decay from which on it is asked what they stand for: one makes a
first-order phase that the fit finds, or a flat baseline."""

OWN_WATER = (
    'water reference: the transients of the series whose water was not suppressed; taken as summed'
    ' and received like the others.'
)
"""What is said when they stand in for a reference."""

_EDITED = re.compile(
    r'(?<!o)mega(?!hertz)|hermes|hercules'
    r'|(?<![a-z])(?<!no[-_ ])(?<!non[-_ ])(?<!not[-_ ])(?<!un[-_ ])edit(?!or)',
    re.IGNORECASE,
)
_FOUR = re.compile(r'hermes|hercules', re.IGNORECASE)
_SEVERAL_TE = re.compile(
    r'(?<![a-z])(?:te[-_ ]?(?:av(?:e?ra)?g|series)|j[-_ ]?(?:press|resolved)|2d[-_ ]?j(?![a-z]))',
    re.IGNORECASE,
)
_NULLED = re.compile(
    r'macromol|met(?:ab(?:olite)?s?)?[-_ ]?null'
    r'|(?<![a-z0-9])(?<!\d[-_ ])(?:press|steam|slaser)?mm(?![a-z])'  # no millimetres
    r'|(?<![a-z])ti[-_ ]?\d{3,4}(?!\d)|inversion[-_ ]?recovery',
    re.IGNORECASE,
)
_OFF = re.compile(r'(?:mega|edit(?:ed|ing)?)[-_ ]?off(?![a-z])|^off$', re.IGNORECASE)
_ON = re.compile(r'(?<![a-z])(?:mega|edit(?:ed|ing)?)?[-_ ]?on(?![a-z])', re.IGNORECASE)


def editing_named(metadata: Metadata, acquisition: str = '') -> tuple[str, str]:
    """Field that says that a spectrum was edited, and what it says; empty where none does.

    Parameters
    ----------
    metadata : mapping
        BIDS metadata.
    acquisition : str
        Label of the ``acq`` entity.

    Examples
    --------
    >>> editing_named({'ProtocolName': 'MEGA-PRESS GABA'})
    ('ProtocolName', 'MEGA-PRESS GABA')
    >>> editing_named({'SequenceName': 'svs_edit_859'}), editing_named({}, 'hermes')
    (('SequenceName', 'svs_edit_859'), ('acq entity', 'hermes'))
    >>> editing_named({'ProtocolName': 'press_unedited'}), editing_named({'SequenceName': 'omega'})
    (('', ''), ('', ''))
    """
    places = {name: metadata.get(name) for name in SEQUENCE_FIELDS} | {'acq entity': acquisition}
    for name, value in places.items():
        text = value.get('Value', '') if isinstance(value, Mapping) else value
        if text and _EDITED.search(str(text)):
            return name, str(text)
    target = metadata.get('EditTarget') or metadata.get('EditPulse')
    return ('EditTarget', str(target)) if target else ('', '')


def several_echo_times(metadata: Metadata, acquisition: str = '') -> str:
    """Say which field names a sequence that steps through echo times; empty where none does.

    Parameters
    ----------
    metadata : mapping
        BIDS metadata.
    acquisition : str
        Label of the ``acq`` entity.

    Examples
    --------
    >>> several_echo_times({'ProtocolName': 'PRESS_TE_averaged'})
    "ProtocolName 'PRESS_TE_averaged' names a sequence of several echo times"
    >>> several_echo_times({}, 'jpress')
    "acq entity 'jpress' names a sequence of several echo times"
    >>> several_echo_times({'SequenceName': 'mega-press', 'ProtocolName': 'PRESS 8 averages'})
    ''
    """
    places = {name: metadata.get(name) for name in SEQUENCE_FIELDS} | {'acq entity': acquisition}
    for name, value in places.items():
        if value and _SEVERAL_TE.search(str(value)):
            return f'{name} {str(value)!r} names a sequence of several echo times'
    return ''


def inversion_named(metadata: Metadata, acquisition: str = '') -> str:
    """Say that a field tells of an inversion before the sequence; empty where none does.

    Parameters
    ----------
    metadata : mapping
        BIDS metadata.
    acquisition : str
        Label of the ``acq`` entity.

    Examples
    --------
    >>> inversion_named({'InversionTime': 0.75})[:44]
    'InversionTime is 0.75: if the sequence inver'
    >>> inversion_named({'ProtocolName': 'PRESS_TI_600'})[:46]
    "ProtocolName 'PRESS_TI_600' names an inversion"
    >>> inversion_named({}, 'pressMM')[:39]
    "acq entity 'pressMM' names an inversion"
    >>> inversion_named({'InversionTime': 0, 'ProtocolName': 'PRESS_30mm_TE30'}, '20mm')
    ''
    """
    remedy = 'inv- in its name marks such a scan, and --mrs-macromolecules takes it.'
    places = {name: metadata.get(name) for name in SEQUENCE_FIELDS} | {'acq entity': acquisition}
    for name, value in places.items():
        if value and _NULLED.search(str(value)):
            told = f'{name} {str(value)!r} names an inversion, or macromolecules'
            return f'{told}: if metabolites were nulled, no level means anything; {remedy}'
    time = metadata.get('InversionTime')
    if isinstance(time, int | float) and time > 0:
        return (
            f'InversionTime is {time:g}: if the sequence inverts, metabolites may be nulled and '
            f'levels are not corrected for it; {remedy}'
        )
    return ''


def _on_alone(metadata: Metadata) -> bool:
    """Whether the only condition that is listed is that with the editing pulse."""
    headers = [metadata.get(f'dim_{axis}_header') for axis in (5, 6, 7)]
    for place in (*headers, metadata):
        told = place.get('EditCondition') if isinstance(place, Mapping) else None
        told = told.get('Value') if isinstance(told, Mapping) else told
        labels = {_condition(v) for v in ([told] if isinstance(told, str) else told or ())}
        if labels:
            return labels == {'on'}
    return False


def _only_off(metadata: Metadata, acquisition: str) -> bool:
    """Whether a name says that all transients are of the condition without editing."""
    texts = [str(metadata.get(name, '')) for name in SEQUENCE_FIELDS] + [acquisition]
    return any(map(_OFF.search, texts)) and not any(map(_ON.search, texts))


def without_receiver_faults(data: MrsData) -> MrsData:
    """Take away what the receiver added, and say so; or why a decay without start is unusable.

    Parameters
    ----------
    data : MrsData
        As read.

    Returns
    -------
    MrsData
        Without offset and spikes, and without zeros before the start of the decay; the same where
        there are none. Zeros that stand in the place of the start make it unusable.
    """
    if data.unusable:
        return data
    fids, notes, unusable = data.fids, [], ''
    zeros = leading_zeros(fids)
    if zeros >= LOST_START:
        later = combine_coils(fids[:, :, 0, zeros:])[0].mean(axis=0)
        axis = (data.dwell_time, data.spectrometer_mhz)
        # Lines in phase: the decay begins behind the zeros, which a filter put there. Otherwise
        # its start was blanked, and what comes after has a first-order phase.
        if max(in_phase(f, *axis) for f in (later, later.conj())) > IN_PHASE:
            notes.append(f'{zeros} zeros before the start of the decay left out.')
            fids = fids[..., zeros:]
        else:
            unusable = (
                f'the first {zeros} samples of the decay are zero: its start is missing; convert '
                'the file again'
            )
    offset = receiver_offset(fids)
    if np.any(offset):
        notes.append(f'{_share(offset != 0)} decays have a constant offset: taken away.')
        fids = fids - offset[..., None]
    fids, spikes = without_spikes(fids)
    if np.any(spikes):
        places = ', '.join(str(k) for k in np.flatnonzero(spikes.any(axis=(0, 1, 2)))[:5])
        decays = np.asarray(spikes.any(axis=-1))
        notes.append(
            f'{_share(decays)} decays have samples that stand out (spikes, at '
            f'{places}): replaced by what lies between their neighbours.'
        )
    for note in (*notes, *([unusable] if unusable else [])):
        LOGGER.warning('%s: %s', data.source, note)
    if not (notes or unusable):
        return data
    return replace(data, fids=fids, notes=(*data.notes, *notes), unusable=unusable)


def as_received(data: MrsData) -> MrsData:
    """Undo what receiver and conversion did, before anything else is asked of the transients.

    Parameters
    ----------
    data : MrsData
        As read.

    Returns
    -------
    MrsData
        See `without_receiver_faults` and `repetitions_in_coils`.
    """
    return repetitions_in_coils(without_receiver_faults(data))


def spectrum_as_received(data: MrsData, acquisition: str = '') -> MrsData:
    """Undo what receiver and conversion did to a spectrum, or say why its arrays are no decays.

    Parameters
    ----------
    data : MrsData
        As read.
    acquisition : str
        Label of the ``acq`` entity.

    Returns
    -------
    MrsData
        See `as_received`. ``unusable`` where half of each complex number was lost, or where the
        arrays hold frequencies. A reference may be real: its phase was taken away.
    """
    if not data.unusable:
        reason = ''
        if not (np.any(data.fids.imag) and np.any(data.fids.real)):
            reason = (
                'half of each complex number is zero: magnitude or one part of the decay was '
                'stored; convert the scanner file again'
            )
        elif is_spectrum(data.fids):
            reason = (
                'the values are spectra, not decays: NIfTI-MRS holds samples in time; convert the '
                'scanner file again, or transform them back'
            )
        if reason:
            LOGGER.warning('%s: %s', data.source, reason)
            return replace(data, unusable=reason)
        if inverted := inversion_named(data.metadata, acquisition):
            LOGGER.warning('%s: %s', data.source, inverted)
            data = replace(data, notes=(*data.notes, inverted))
    return as_received(data)


def reference_as_received(reference: MrsData) -> MrsData:
    """Undo the same to a water reference, and leave out shots of which water was suppressed.

    Parameters
    ----------
    reference : MrsData
        As read.

    Returns
    -------
    MrsData
        ``unusable`` says why it scales nothing where its shots are of several heights.
    """
    reference = as_received(reference)
    if reference.unusable:
        return reference
    # a reference of which half of the shots were suppressed would halve the water, and double all
    # levels
    high = unsuppressed_transients(reference.fids, reference.dwell_time)
    if high.any():
        note = f'water was suppressed in {_share(~high)} shots: left out.'
        LOGGER.warning('%s: %s', reference.source, note)
        reference = replace(
            reference, fids=reference.fids[:, high], notes=(*reference.notes, note)
        )
    ratio = uneven_heights(reference.fids, reference.dwell_time)
    if math.isnan(ratio):
        return reference
    why = (
        f'its shots differ in height {ratio:.1f} times, as those of several echo or repetition '
        'times do: keep those that were measured like the spectrum'
    )
    return replace(reference, unusable=why)


def _share(found: BoolArray) -> str:
    """Count of all."""
    return f'{int(found.sum())} of {found.size}'


def repetitions_in_coils(data: MrsData) -> MrsData:
    """Relabel coils that are all alike as transients, which is what they are, and say so.

    Parameters
    ----------
    data : MrsData
        As read.

    Returns
    -------
    MrsData
        The same unless there are several coils that agree in amplitude (:data:`EQUAL_AMPLITUDE`)
        and phase (:data:`EQUAL_PHASE_RAD`), and one transient, or several that do not: then the
        two dimensions change places.
    """
    n_coils, n_transients = data.fids.shape[:2]
    if data.unusable or n_coils < MIN_EQUAL_COILS or not _alike(data, 0):
        return data
    if n_transients > 1 and _alike(data, 1):
        return data
    others = f', and those called transients do not: the {n_transients} of them are the coils'
    note = (
        f'the {n_coils} coils of the file agree in amplitude and phase, as elements of a coil '
        f'never do{others if n_transients > 1 else ""}: they are taken as transients; tag the '
        'dimension DIM_DYN.'
    )
    LOGGER.warning('%s: %s', data.source, note)
    return replace(data, fids=np.swapaxes(data.fids, 0, 1), notes=(*data.notes, note))


def _alike(data: MrsData, axis: int) -> bool:
    """Whether decays along an axis agree in amplitude and phase; seen where they are highest."""
    early = np.moveaxis(data.fids[:, :, 0, : max(int(0.1 / data.dwell_time), 32)], axis, 0)
    place = int(np.argmax(np.sum(np.abs(early) ** 2, axis=(0, 2))))
    early = early[:, place]
    mean = early.mean(axis=0)
    power = float(np.vdot(mean, mean).real)
    if not power > 0:
        return False
    factors = early @ mean.conj() / power
    turns = np.angle(factors * np.exp(-1j * np.angle(factors.mean())))
    return bool(np.std(np.abs(factors)) <= EQUAL_AMPLITUDE and np.std(turns) <= EQUAL_PHASE_RAD)


def water_apart(data: MrsData) -> tuple[MrsData, MrsData | None]:
    """Separate transients of unsuppressed water from a series, which would pass for editing.

    Parameters
    ----------
    data : MrsData
        As read.

    Returns
    -------
    data : MrsData
        Without them.
    water : MrsData or None
        They themselves, which can stand in for a water reference when there are two or more: one
        alone may be a shot whose suppression failed.
    """
    if data.unusable:
        return data, None
    high = unsuppressed_transients(data.fids, data.dwell_time)
    count = int(high.sum())
    if not count:
        return data, None
    note = (
        f'{count} of {high.size} transients are of water that was not suppressed: left out of the '
        'spectrum.'
    )
    LOGGER.warning('%s: %s', data.source, note)
    places = data.positions or tuple(range(high.size))
    kept = tuple(place for place, out in zip(places, high, strict=True) if not out)
    rest = replace(
        data, fids=data.fids[:, ~high], notes=(*data.notes, note), positions=kept
    )  # fmt: skip
    own = replace(data, fids=data.fids[:, high], notes=(), source=f'{data.source} (its water)')
    return rest, own if count >= FEWEST_WATER else None


def from_the_echo(data: MrsData, reference: MrsData | None) -> tuple[MrsData, MrsData | None]:
    """Leave out the samples before the echo, which no field tells, of a spectrum and its water.

    Parameters
    ----------
    data : MrsData
        Spectrum.
    reference : MrsData or None
        Its water reference, sampled alike.

    Returns
    -------
    data, reference : MrsData
        The same where both begin at the echo. What is left out is said in the notes.
    """
    if data.unusable:
        return data, reference
    water = None if reference is None else reference.fids
    # each condition by itself: their residual water may be opposite, and their mean rise later
    found = {
        samples_before_echo(data.fids[:, :, k], data.dwell_time, data.spectrometer_mhz, water)
        for k in range(data.fids.shape[2])
    }
    # conditions that disagree tell nothing, and cutting one of them would spoil the difference
    before = found.pop() if len(found) == 1 else 0
    if before:
        note = (
            f'the echo comes {before} samples ({1e3 * before * data.dwell_time:.1f} ms) after the '
            'start of the decay: what lies before it left out.'
        )
        LOGGER.warning('%s: %s', data.source, note)
        data = replace(data, fids=data.fids[..., before:], notes=(*data.notes, note))
    if before and reference is not None:
        early = echo_sample(reference.fids, reference.dwell_time)
        early = before if abs(early - before) <= 1 else early  # the sample that overshoots
        reference = replace(reference, fids=reference.fids[..., early:])
    return data, reference


def _condition(label: object) -> str:
    """Name of an editing condition without what is often written around it.

    Examples
    --------
    >>> [_condition(label) for label in ('OFF', 'edit_off', 'Edit-ON', 'OFF 7.5 ppm', 'A')]
    ['off', 'off', 'on', 'off', 'a']
    """
    words = re.split(r'[^a-z]+', str(label).lower())
    named = {'on', 'off'} & set(words)
    return named.pop() if len(named) == 1 else ' '.join(filter(None, words))


def edit_index(data: MrsData, wanted: int) -> int:
    """Choose the editing condition to fit: the wanted one, or the one that the header calls off.

    Parameters
    ----------
    data : MrsData
        As read, with the headers of its dimensions in ``metadata``.
    wanted : int
        Place of the condition that the user asks for; -1 for none.

    Returns
    -------
    int
        Place in the third axis of ``data.fids``; 0 for a scan that is not edited.

    Raises
    ------
    MetadataError
        If there are several and none can be chosen.
    """
    n_edits = data.fids.shape[2]
    if n_edits == 1:
        return 0
    # who names a condition knows more than a header
    if 0 <= wanted < n_edits:
        return wanted
    if n_edits > 2:
        raise MetadataError(
            f'{data.source}: {n_edits} editing conditions, as HERMES and HERCULES have: their '
            f'differences are not computed; say which condition to fit alone with '
            f'--mrs-edit-index (0 to {n_edits - 1}).'
        )
    # NIfTI-MRS has the order of the conditions in the header of their dimension, BIDS in a field
    headers = [data.metadata.get(f'dim_{axis}_header') for axis in (5, 6, 7)]
    for place in (*headers, {'EditCondition': data.metadata.get('EditCondition')}):
        for key in ('EditCondition', 'EditPulse'):
            found = place.get(key) if isinstance(place, Mapping) else None
            values = found.get('Value') if isinstance(found, Mapping) else found
            labels = [_condition(v) for v in (values if isinstance(values, Iterable) else ())]
            if len(labels) == n_edits and labels.count('off') == 1:
                return labels.index('off')
    raise MetadataError(
        f'{data.source}: {n_edits} editing conditions and none is called OFF in the header: say '
        f'which to fit with --mrs-edit-index (0 to {n_edits - 1}).'
    )


def tell_conditions(data: MrsData, acquisition: str = '', wanted: int = -1) -> MrsData:
    """Tell editing conditions apart that the file calls repetitions.

    Parameters
    ----------
    data : MrsData
        As read.
    acquisition : str
        Label of the ``acq`` entity.
    wanted : int
        Condition that the user asks for; -1 for none. Where no two kinds are found it vouches for
        the transients being of one.

    Returns
    -------
    MrsData
        With two editing conditions where the transients clearly fall into two kinds, the same
        otherwise.

    Raises
    ------
    MetadataError
        If names or data say that the spectrum was edited and the conditions cannot be told apart.
    """
    if data.unusable or data.fids.shape[2] > 1:
        return data
    steps = several_echo_times(data.metadata, acquisition)
    if wanted < 0 and steps:
        raise MetadataError(
            f'{data.source}: {steps}: a basis set describes one echo time. Keep the transients of '
            'one when converting; or give the basis set of their average (--mrs-basis) and say '
            '--mrs-edit-index 0.'
        )
    if wanted < 0 and _on_alone(data.metadata):
        raise MetadataError(
            f'{data.source}: EditCondition names ON alone, which the basis set of an unedited '
            'sequence does not describe: convert both conditions into one file (DIM_EDIT), or '
            'leave it out with --bids-filter-file.'
        )
    field, text = editing_named(data.metadata, acquisition)
    said = f'{field} {text!r} names an edited sequence' if field else ''
    if wanted < 0 and _FOUR.search(text):
        raise MetadataError(
            f'{data.source}: {said} of four conditions, which no dimension tells apart: tag it '
            'DIM_EDIT with its EditCondition when converting; edited differences of four '
            'conditions are not computed.'
        )
    n_transients = data.fids.shape[1]
    kinds = None
    if n_transients >= MIN_SHOTS:
        transients = combine_coils(data.fids[:, :, 0])[0]
        kinds = find_two_kinds(transients, data.dwell_time, data.spectrometer_mhz)
        if kinds.cycled:
            raise MetadataError(_cycled(data, kinds))
        if kinds.clear:
            _check_two(data, transients, kinds)
            return _labelled(data, kinds, wanted)
    if wanted >= 0 or _only_off(data.metadata, acquisition):
        return data
    if field or (kinds is not None and kinds.doubtful):
        raise MetadataError(_refusal(data, said, kinds))
    return data


def _check_two(data: MrsData, transients: ComplexArray, kinds: TwoKinds) -> None:
    """Refuse transients of which either kind falls into two again."""
    for part in (kinds.first, ~kinds.first):
        if part.sum() < MIN_SHOTS:
            continue
        again = find_two_kinds(transients[part], data.dwell_time, data.spectrometer_mhz)
        if again.clear:
            raise MetadataError(
                f'{data.source}: its {part.size} transients are of more than two kinds '
                f'({kinds.pattern}, and {again.pattern} within), as several echo times or the '
                'four conditions of HERMES are: tag the dimension when converting, and keep the '
                'transients of one kind.'
            )


def _cycled(data: MrsData, kinds: TwoKinds) -> str:
    """Say that metabolites take turns in sign, and what to do."""
    return (
        f'{data.source}: metabolites are inverted, {kinds.pattern}, beneath water that is not '
        '(metabolite cycling): their average would be water alone. Subtract the transients in '
        'pairs when converting (DIM_METCYCLE; half their sum is the water reference, mrsref).'
    )


def _refusal(data: MrsData, said: str, kinds: TwoKinds | None) -> str:
    """Say why the conditions must be told, and how."""
    n_transients = data.fids.shape[1]
    if kinds is not None and kinds.doubtful:
        found = (
            f'its {n_transients} transients seem to be of two kinds, {kinds.pattern} (what '
            f'differs is {kinds.unlike:.1f} times what chance explains)'
        )
    elif n_transients == 1:
        found = 'the file holds one average, and nothing tells whether ON and OFF are in it'
    else:
        found = f'nothing tells ON from OFF among its {n_transients} transients'
    return (
        f'{data.source}: {"; ".join(part for part in (said, found) if part)}: convert the scan '
        'again with the editing dimension tagged (DIM_EDIT), or, if all transients are of one '
        'condition, say --mrs-edit-index 0.'
    )


def _labelled(data: MrsData, kinds: TwoKinds, wanted: int) -> MrsData:
    """Split two kinds; refuse those of which nothing tells the one without editing."""
    both = _split(data, kinds)
    try:
        edit_index(both, wanted)
    except MetadataError as error:
        raise MetadataError(
            f'{data.source}: its {data.fids.shape[1]} transients are of two kinds, '
            f'{kinds.pattern}, and nothing tells what they are: two echo times, or editing of '
            'which neither kind is without NAA. Keep the transients of one kind when converting, '
            'or tag the dimension DIM_EDIT with its EditCondition; --mrs-edit-index fits one kind '
            'alone (0 for that of the first transient, 1).'
        ) from error
    return both


def _split(data: MrsData, kinds: TwoKinds) -> MrsData:
    """Give the two kinds a dimension of their own, the kind of the first transient first."""
    first, second = np.flatnonzero(kinds.first), np.flatnonzero(~kinds.first)
    count = min(first.size, second.size)
    fids = np.stack([data.fids[:, part[:count], 0] for part in (first, second)], axis=2)
    kept = tuple(data.positions[place] for place in first[:count]) if data.positions else ()
    ratio = kinds.naa_ratio
    labels: list[str] = []
    if ratio < SUPPRESSED_NAA:
        labels = ['ON', 'OFF']
    elif ratio > 1 / SUPPRESSED_NAA:
        labels = ['OFF', 'ON']
    note = (
        f'{data.fids.shape[1]} transients of two kinds, {kinds.pattern} (contrast '
        f'{kinds.contrast:.0f}, unlike {kinds.unlike:.0f} times chance): told apart, {count} of '
        'each'
        + (f'; {labels[0]} comes first, by the height of NAA' if labels else '')
        + '; tag the dimension DIM_EDIT.'
    )
    LOGGER.warning('%s: %s', data.source, note)
    header = {'dim_7_header': {'EditCondition': labels}} if labels else {}
    metadata = {**data.metadata, **header}
    return replace(
        data, fids=fids, metadata=metadata, notes=(*data.notes, note),
        positions=tuple(place // 2 for place in kept),
    )  # fmt: skip
