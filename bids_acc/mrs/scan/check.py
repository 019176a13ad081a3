"""What the fit will find in a converted file, and what it will miss, in plain sentences."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from scipy.sparse.linalg import ArpackError

from bids_acc.exceptions import BidsAccError, InputDataError
from bids_acc.mrs.basis.sequence import (
    other_sequence,
    sequence_of,
    told_split,
    too_short,
    usual_te1,
)
from bids_acc.mrs.levels.voxel import is_placed, measured_elsewhere
from bids_acc.mrs.scan.conditions import (
    OWN_WATER,
    editing_named,
    from_the_echo,
    reference_as_received,
    spectrum_as_received,
    tell_conditions,
    water_apart,
)
from bids_acc.mrs.scan.conditions import edit_index as condition_of
from bids_acc.mrs.scan.io import MrsData, read_nifti_mrs
from bids_acc.mrs.scan.nulled import nulled_sign
from bids_acc.mrs.signal.artefacts import (
    check_artefacts,
    filtered_decay,
    is_clipped,
    unsuppressed_water,
)
from bids_acc.mrs.signal.preprocessing import (
    Preprocessed,
    checked_scale,
    cold_water,
    preprocess,
    wrong_axis,
)
from bids_acc.typing import Metadata

Kind = Literal['refused', 'lacks', 'note', 'good']
"""No level can come of the file; not there, and what follows; worth knowing; there."""
KINDS: tuple[Kind, ...] = ('refused', 'lacks', 'note', 'good')

CONVERTERS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), command)
    for pattern, command in (
        (r'\.(sdat|spar)$', 'spec2nii philips -f NAME -j FILE.SDAT FILE.SPAR'),
        (r'\.(data|list)$', 'spec2nii philips_dl -f NAME -j FILE.data FILE.list FILE.SPAR'),
        (r'\.rda$', 'spec2nii rda -f NAME -j FILE.rda'),
        (r'\.dat$', 'spec2nii twix -e image -f NAME -j FILE.dat'),
        (r'\.(ima|dcm)$', 'spec2nii dicom -f NAME -j FILE (Siemens), or spec2nii philips_dcm'),
        (r'\.7$', 'spec2nii ge -f NAME -j FILE.7'),
        (r'\.(raw|h2o)$', 'spec2nii raw -f NAME -j FILE'),
        (r'\.txt$', 'spec2nii text -f NAME -j FILE, with frequency and bandwidth'),
    )
)
"""What a scanner's or another program's file is converted with."""


@dataclass(frozen=True)
class Remark:
    """One finding about a file: what the fit needs, and whether it is there."""

    kind: Kind
    text: str


def _tells(problem: bool, kind: Kind, bad: str, good: str) -> Remark:
    """Return one of two sentences."""
    return Remark(kind, bad) if problem else Remark('good', good)


def not_nifti(path: Path) -> str:
    """Say how a file of a scanner is converted; empty for NIfTI.

    Parameters
    ----------
    path : Path
        File as given; only its name is looked at.

    Returns
    -------
    str
        One sentence with the command of spec2nii.

    Examples
    --------
    >>> not_nifti(Path('scan.SDAT')).split(': ')[1]
    'spec2nii philips -f NAME -j FILE.SDAT FILE.SPAR.'
    >>> not_nifti(Path('sub-01_svs.nii.gz'))
    ''
    """
    if path.name.lower().endswith(('.nii', '.nii.gz')):
        return ''
    for pattern, command in CONVERTERS:
        if pattern.search(path.name):
            return f'{path.name} is no NIfTI-MRS file; convert it: {command}.'
    return f'{path.name} is no NIfTI-MRS file (.nii or .nii.gz): convert it with spec2nii.'


def check_file(
    path: Path,
    reference: Path | None = None,
    sidecar: Metadata | None = None,
    *,
    reference_sidecar: Metadata | None = None,
    acquisition: str = '',
    sequence: str = '',
    te1: float | None = None,
    edit_index: int = -1,
) -> list[Remark]:
    """Say what the fit will find in a spectrum and what it will miss.

    Parameters
    ----------
    path : Path
        Spectrum.
    reference : Path, optional
        Its water reference.
    sidecar, reference_sidecar : mapping, optional
        Their BIDS metadata, inherited ones too; without them those of the JSON beside each.
    acquisition : str
        Label of the ``acq`` entity.
    sequence, te1, edit_index
        What would be said to the participant level as ``--mrs-sequence``, ``--mrs-te1`` and
        ``--mrs-edit-index``.

    Returns
    -------
    list of Remark
        Those of kind ``refused`` first: no level can come of the file.

    Raises
    ------
    MissingInputError
        If the file is not there.
    """
    if told := not_nifti(path):
        return [Remark('refused', told)]
    try:
        data = read_nifti_mrs(path, sidecar)
        notes = list(data.notes)
        data, own_water = water_apart(spectrum_as_received(data, acquisition))
        data = tell_conditions(data, acquisition, edit_index)
        condition = condition_of(data, edit_index)
    except InputDataError as error:
        return [Remark('refused', str(error))]
    water, said = _water(data, reference, reference_sidecar)
    if water is None and own_water is not None:
        said = [*(said if reference is not None else []), Remark('good', OWN_WATER.capitalize())]
        water = own_water
    data, water = from_the_echo(data, water)
    remarks = [*_dimensions(data), *_sampling(data), *_voxel(data)]
    remarks += _timing(data, acquisition, sequence, te1)
    remarks += [Remark('note', note) for note in dict.fromkeys([*notes, *data.notes])]
    remarks += said
    if data.unusable:
        remarks.append(Remark('refused', f'{data.source}: {data.unusable}.'))
    else:
        remarks += _signal(data, water, condition)
    return by_weight(remarks)


def by_weight(remarks: Sequence[Remark]) -> list[Remark]:
    """Put what stops a fit first and what is as it should be last.

    Parameters
    ----------
    remarks : sequence of Remark
        On one file.

    Returns
    -------
    list of Remark
        In the order of :data:`KINDS`, otherwise as they came.

    Examples
    --------
    >>> [
    ...     r.kind
    ...     for r in by_weight([Remark('good', ''), Remark('refused', ''), Remark('note', '')])
    ... ]
    ['refused', 'note', 'good']
    """
    return sorted(remarks, key=lambda remark: KINDS.index(remark.kind))


def _dimensions(data: MrsData) -> Iterator[Remark]:
    """Coils, transients and editing conditions."""
    coils, transients, edits = data.fids.shape[:3]
    counts = ((coils, 'coil'), (transients, 'transient'), (edits, 'editing condition'))
    words = ', '.join(f'{n} {what}{"s" if n > 1 else ""}' for n, what in counts)
    yield Remark('good', f'{words}, {data.n_points} points.')
    yield _tells(
        transients == 1, 'note',
        'One transient, averaged by the scanner or the conversion: motion and drift between '
        'shots cannot be corrected, nor editing be told from the shots.',
        'Single transients are there: they are aligned, and those unlike the others left out.',
    )  # fmt: skip
    if edits > 1:
        yield Remark(
            'note', 'Edited: the condition called OFF is fitted; --mrs-edit-index names another.'
        )


def _sampling(data: MrsData) -> Iterator[Remark]:
    """Frequency, sampling and length."""
    yield Remark(
        'good', f'Spectrometer frequency {data.spectrometer_mhz:.3f} MHz ({data.field_tesla:.2f} '
        f'T), dwell time {1e6 * data.dwell_time:.1f} us (spectral width {data.spectral_width:.0f} '
        f'Hz), {data.n_points * data.dwell_time:.2f} s long.',
    )  # fmt: skip
    width = data.spectral_width / data.spectrometer_mhz
    if width < 9:
        yield Remark(
            'lacks', f'The spectrum is {width:.1f} ppm wide: noise beside the lines, from which '
            'S/N is taken, is hardly in it.',
        )  # fmt: skip


def _voxel(data: MrsData) -> Iterator[Remark]:
    """Place and size of the voxel."""
    edges = np.linalg.norm(data.affine[:3, :3], axis=0)
    text = ' x '.join(f'{edge:.1f}' for edge in edges)
    if np.allclose(data.affine, np.eye(4)) or not np.all(np.isfinite(edges)):
        yield Remark('lacks', 'The affine is empty: the voxel cannot be drawn into a T1w image, '
                     'so that nothing is corrected for tissue.')  # fmt: skip
        return
    if not is_placed(data.affine):
        units = {'cm': 10.0, 'm': 1000.0}
        slips = [u for u, times in units.items() if is_placed(times * data.affine)]
        hint = f' (it looks like one in {slips[0]})' if slips else ''
        what = f'The voxel is {text} mm, which no voxel of a brain is{hint}'
        yield Remark('lacks', f'{what}: the file does not tell its place, and nothing is '
                     'corrected for tissue.')  # fmt: skip
        return
    x, y, z = data.affine[:3, 3]
    yield Remark('good', f'Voxel {text} mm ({data.voxel_volume_ml:.1f} mL) at x {x:.0f}, y '
                 f'{y:.0f}, z {z:.0f} mm.')  # fmt: skip
    told = data.metadata.get('AcquisitionVoxelSize')
    if isinstance(told, Sequence) and len(told) == 3:
        try:
            nominal = sorted(float(edge) for edge in told)
        except (TypeError, ValueError):
            return
        if not np.allclose(nominal, sorted(edges), rtol=0.02):
            yield Remark('note', f'AcquisitionVoxelSize says {told}: the affine counts.')


def _timing(data: MrsData, acquisition: str, sequence: str, te1: float | None) -> Iterator[Remark]:
    """Sequence, echo time and its parts, repetition and mixing time."""
    named, origin = sequence_of(data.metadata, acquisition)
    other = other_sequence(data.metadata, acquisition)
    unnamed = 'No field names the sequence'
    if other:
        unnamed = f'{other} (its own basis set can be given with --mrs-basis)'
    yield _tells(
        not (sequence or named), 'lacks',
        f'{unnamed}: PRESS is assumed; say it with --mrs-sequence.',
        f'Sequence {sequence or named} ({"as told" if sequence else origin}).',
    )  # fmt: skip
    sequence = sequence or named or 'press'
    if math.isnan(data.echo_time):
        yield Remark('refused', 'EchoTime is missing, and the basis set depends on it: add it to '
                     'the sidecar, in seconds.')  # fmt: skip
    else:
        edited = bool(editing_named(data.metadata, acquisition)[0])
        short = too_short(sequence, data.echo_time, edited)
        remedy = f'{short}: correct it in the sidecar.'
        if other and not named:
            remedy = f'{other}, and {short}: give a basis set made for it with --mrs-basis.'
        yield _tells(bool(short), 'refused', remedy,
                     f'Echo time {1e3 * data.echo_time:g} ms.')  # fmt: skip
        yield from _split(data, sequence, te1)
    yield _tells(
        math.isnan(data.repetition_time), 'lacks',
        'RepetitionTime is missing: levels are not corrected for relaxation; add it to the '
        'sidecar, in seconds.',
        f'Repetition time {1e3 * data.repetition_time:g} ms.',
    )  # fmt: skip


def _split(data: MrsData, sequence: str, te1: float | None) -> Iterator[Remark]:
    """Say how the echo time is divided."""
    told, problem = told_split(data.metadata, sequence, data.echo_time)
    if problem:
        yield Remark('note', problem)
    if sequence == 'steam':
        given = data.metadata.get('MixingTime') or (None if math.isnan(told) else round(told, 5))
        yield _tells(not given, 'lacks', 'MixingTime is missing: one is assumed; say it with '
                     '--mrs-tm.', f'Mixing time {given} s.')  # fmt: skip
        return
    if sequence != 'press':
        yield Remark('note', 'Evenly spaced refocusing pulses are assumed.')
        return
    te1 = told if te1 is None and math.isfinite(told) else te1
    if te1 is not None:
        yield Remark('good', f'Echo time as {1e3 * te1:g} + {1e3 * (data.echo_time - te1):g} ms.')
        return
    usual = usual_te1(data.metadata, data.echo_time)
    offer = f' {usual.sentence}' if usual is not None else ' The protocol of the scanner tells it.'
    yield Remark('lacks', 'How the echo time is divided between the refocusing pulses is not in '
                 f'the file: it is assumed, and moves Glu/tCr by up to 30 %.{offer}')  # fmt: skip


def _water(
    data: MrsData, reference: Path | None, sidecar: Metadata | None
) -> tuple[MrsData | None, list[Remark]]:
    """Read the water reference and compare it with the spectrum."""
    if reference is None:
        return None, [Remark('lacks', 'No water reference: ratios only, no levels in mmol/kg, and '
                             'no correction of eddy currents. It is _mrsref of the same voxel, '
                             'or named with --reference here.')]  # fmt: skip
    try:
        water = reference_as_received(read_nifti_mrs(reference, sidecar))
    except BidsAccError as error:
        return None, [Remark('lacks', f'The water reference cannot be used: {error}')]
    if water.unusable:
        return None, [Remark('lacks', f'The water reference {water.source}: {water.unusable}.')]
    wrong = []
    if abs(water.dwell_time / data.dwell_time - 1) > 1e-3:
        wrong.append(f'is sampled at {water.spectral_width:g} Hz, the spectrum at '
                     f'{data.spectral_width:g} Hz: it is left out')  # fmt: skip
    if water.fids.shape[0] != data.fids.shape[0]:
        wrong.append(f'has {water.fids.shape[0]} coils, the spectrum {data.fids.shape[0]}: they '
                     'share no scale, so that there are no levels in mmol/kg')  # fmt: skip
    if elsewhere := measured_elsewhere(data.affine, water.affine):
        wrong.append(f'was not measured at the place of the spectrum ({elsewhere}): there are no '
                     'levels in mmol/kg')  # fmt: skip
    text = f'Water reference {water.source}'
    if wrong:
        return None, [Remark('lacks', f'{text} {what}.') for what in wrong]
    said = [Remark('good', f'{text}: same place, sampling and coils.')]
    said += [Remark('note', f'{text}: {note}') for note in water.notes]
    if abs(water.echo_time - data.echo_time) > 5e-4:
        said.append(Remark('note', f'{text} has an echo time of {1e3 * water.echo_time:g} ms: its '
                           'own relaxation is allowed for.'))  # fmt: skip
    return water, said


def _signal(data: MrsData, water: MrsData | None, condition: int) -> Iterator[Remark]:
    """Look at the spectrum itself."""
    fids = data.fids[:, :, min(condition, data.fids.shape[2] - 1)]
    try:
        done = preprocess(fids, data.dwell_time, data.spectrometer_mhz,
                          None if water is None else water.fids[:, :, 0])  # fmt: skip
    except (InputDataError, np.linalg.LinAlgError, ArpackError) as error:
        yield Remark('refused', f'{data.source}: preprocessing failed: {error}')
        return
    axis = (data.dwell_time, data.spectrometer_mhz)
    if problem := wrong_axis(done, *axis):
        yield Remark('refused', f'{data.source}: {problem}.')
        return
    turned = any(step.step == 'conjugate' and step.applied for step in done.steps)
    yield _tells(
        turned, 'note',
        'The decay is conjugated (lines on the wrong side of water): it is turned when fitted; '
        'convert it with a newer spec2nii to be sure.',
        'Lines lie where the NIfTI-MRS convention puts them.',
    )  # fmt: skip
    yield _seen(done)
    if problem := checked_scale(done, *axis)[1]:
        yield Remark('lacks', f'{problem[0].upper()}{problem[1:]}')
    for sign in filter(None, (cold_water(done, *axis), nulled_sign(done.fid, *axis))):
        yield Remark('note', f'{sign[0].upper()}{sign[1:]}')
    left_out = done.n_transients - done.n_transients_used
    if left_out:
        told = f'{left_out} of {done.n_transients} transients are unlike the others: left out.'
        yield Remark('note', told)
    found = check_artefacts(done.fid, *axis, done.residual_water_ratio, is_clipped(fids))
    if done.replay is not None:
        found.append(unsuppressed_water(done.replay.wet, done.fid, *axis))
    found.append(filtered_decay(fids, *axis))
    for artefact in found:
        if artefact.found:
            yield Remark('note', f'{artefact.name.replace("_", " ").capitalize()}: '
                         f'{artefact.rule}.')  # fmt: skip


def _seen(done: Preprocessed) -> Remark:
    """Say how NAA looks after preprocessing."""
    last = done.steps[-1] if done.steps else None
    if last is None or not math.isfinite(last.fwhm_after_hz):
        return Remark('note', 'No line was found where NAA should be.')
    height = 'noise cannot be told from so narrow a spectrum'
    if math.isfinite(last.snr_after):
        height = f'height {last.snr_after:.0f} x noise'
    water = ''
    if math.isfinite(done.residual_water_ratio):
        water = f', residual water {done.residual_water_ratio:.1f} x NAA'
    return Remark('good', f'NAA: width {last.fwhm_after_hz:.1f} Hz, {height}{water}.')


def verdict(remarks: Sequence[Remark]) -> str:
    """Say in one sentence whether a file can be fitted.

    Parameters
    ----------
    remarks : sequence of Remark
        On one file.

    Returns
    -------
    str
        Without full stop.

    Examples
    --------
    >>> verdict([Remark('lacks', 'a'), Remark('good', 'b')])
    'can be fitted; 1 thing is lacking'
    >>> verdict([Remark('refused', 'a')])
    'cannot be fitted'
    """
    if any(remark.kind == 'refused' for remark in remarks):
        return 'cannot be fitted'
    lacking = sum(remark.kind == 'lacks' for remark in remarks)
    if not lacking:
        return 'can be fitted; nothing is lacking'
    return f'can be fitted; {lacking} thing{"s are" if lacking > 1 else " is"} lacking'


def as_rows(name: str, remarks: Sequence[Remark]) -> list[Mapping[str, object]]:
    """Return the remarks for JSON.

    Parameters
    ----------
    name : str
        Of the file.
    remarks : sequence of Remark
        On one file.

    Returns
    -------
    list of mapping
        ``file``, ``kind`` and ``text`` of each.
    """
    return [{'file': name, 'kind': remark.kind, 'text': remark.text} for remark in remarks]
