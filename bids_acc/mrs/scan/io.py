"""NIfTI-MRS in and out: complex FIDs, dimension tags, sidecar, units checked at the border.

The standard is Clarke et al. (2022), Magn Reson Med 88:2358, https://doi.org/10.1002/mrm.29418:
a complex NIfTI whose fourth axis is time and whose header extension 44 holds JSON metadata.
"""

from __future__ import annotations

import codecs
import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import SupportsFloat

import nibabel as nb
import numpy as np
import numpy.typing as npt

from bids_acc.exceptions import InputDataError, MetadataError, MissingInputError
from bids_acc.files.reading import check_gzip, reads
from bids_acc.mrs.levels.voxel import nominal_volume_ml
from bids_acc.mrs.signal.measures import GYROMAGNETIC_RATIO_1H
from bids_acc.mrs.spectrum import PPM_REFERENCE
from bids_acc.typing import ComplexArray, FloatArray, Metadata

LOGGER = logging.getLogger(__name__)

HEADER_CODE = 44
"""NIfTI extension code registered for NIfTI-MRS."""

ECHO_TIME_RANGE_S = (0.001, 0.5)
"""Plausible echo times, in s."""

REPETITION_TIME_RANGE_S = (0.3, 20.0)
"""Plausible repetition times, in s."""

MIXING_TIME_RANGE_S = (0.002, 1.0)
"""Plausible mixing times of STEAM, in s."""

PROTON = ('1H', 'H1', 'H', '1-H', '^1H', 'PROTON', 'HYDROGEN')
"""Spellings of the nucleus whose spectra are fitted."""

SLIPS: Mapping[str, float] = {'ms': 1e-3, 'us': 1e-6, 'ms that was multiplied again': 1e-9}
"""Units in which times come in s, by what undoes them. Converters of GE files have written us."""

MIN_POINTS = 64
"""Samples below which a decay is no spectrum."""

MIN_DURATION_S = 0.1
"""A shorter decay resolves no lines of metabolites (10 Hz and more)."""

SPECTRAL_WIDTH_RANGE_HZ = (100.0, 200_000.0)
"""Plausible spectral widths, in Hz."""

FIELD_TOLERANCE = 0.05
"""Largest relative difference of spectrometer frequency and field strength."""

DEFAULT_TAGS = ('DIM_COIL', 'DIM_DYN', 'DIM_INDIRECT_0')
"""Meaning of the fifth to seventh dimension when the header does not tag them."""

CONDITIONS = 'EditConditions'
"""Where conditions that are to be written stand, until the place of their dimension is known."""

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

AVERAGED_TAGS = ('DIM_DYN', 'DIM_MEAS', 'DIM_PHASE_CYCLE')
"""Dimensions along which transients are repeated; they are averaged together."""


@dataclass(frozen=True)
class MrsData:
    """A single-voxel acquisition in memory, checked."""

    fids: ComplexArray
    """Decays, (n_coils, n_transients, n_edits, n_points)."""
    dwell_time: float
    """Sampling interval in s."""
    spectrometer_mhz: float
    """Spectrometer frequency in MHz."""
    echo_time: float
    """Echo time in s; NaN when the file does not tell."""
    repetition_time: float
    """Repetition time in s; NaN when the file does not tell."""
    affine: FloatArray
    """Voxel to scanner millimetres (RAS), (4, 4)."""
    metadata: Metadata = field(default_factory=dict)
    """Sidecar over header extension."""
    notes: tuple[str, ...] = ()
    """Sentences about what the file left open or contradicts."""
    source: str = ''
    """File name, for messages."""
    unusable: str = ''
    """Why no level can come of these decays; empty when one can."""
    positions: tuple[int, ...] = ()
    """Places of the transients in the file where some were left out; empty where none was."""

    @property
    def n_points(self) -> int:
        """Number of samples of each decay."""
        return int(self.fids.shape[-1])

    @property
    def spectral_width(self) -> float:
        """Spectral width in Hz."""
        return 1 / self.dwell_time

    @property
    def field_tesla(self) -> float:
        """Magnetic field in T that the spectrometer frequency implies for protons."""
        return self.spectrometer_mhz / GYROMAGNETIC_RATIO_1H

    @property
    def voxel_volume_ml(self) -> float:
        """Nominal volume of the voxel in mL; NaN where the file does not tell its place."""
        return nominal_volume_ml(self.affine)

    def with_fids(self, fids: npt.ArrayLike) -> MrsData:
        """Return the same acquisition with other decays; missing leading axes are added.

        Parameters
        ----------
        fids : (..., n_points) array_like of complex
            Up to four axes: coils, transients, editing conditions, samples.

        Returns
        -------
        MrsData
        """
        fids = np.asarray(fids, dtype=complex)
        shape = (1,) * (4 - fids.ndim) + fids.shape
        return replace(self, fids=fids.reshape(shape))

    def with_conditions(self, conditions: Mapping[str, npt.ArrayLike]) -> MrsData:
        """Return the same acquisition with one decay for each editing condition, by name.

        Parameters
        ----------
        conditions : mapping of str to (n_points,) array_like of complex
            One decay by the name of its condition (``OFF``, ``ON``), which goes into the header.

        Returns
        -------
        MrsData
        """
        stacked = self.with_fids(np.array(list(conditions.values()), dtype=complex))
        header = {'EditCondition': list(conditions)}
        return replace(stacked, metadata={**self.metadata, CONDITIONS: header})


def _scalar(value: object) -> float:
    """First number of a number or list; NaN when there is none that is finite."""
    if isinstance(value, list | tuple):
        value = value[0] if value else None
    # JSON's `true` is a number to Python, and a time of 1 s to nobody.
    if isinstance(value, bool) or not isinstance(value, str | SupportsFloat):
        return math.nan
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan
    return number if math.isfinite(number) else math.nan


def _check_range(value: float, name: str, limits: tuple[float, float], source: str) -> None:
    """Refuse a value outside its range, telling the unit slip that would explain it."""
    if math.isnan(value) or limits[0] <= value <= limits[1]:
        return
    hints = [
        f'; it looks like a value in {unit}'
        for unit, slip in SLIPS.items()
        if limits[0] <= value * slip <= limits[1]
    ]
    hint = hints[0] if hints else ''
    raise MetadataError(
        f'{source}: {name} is {value:g} s, outside {limits[0]:g}-{limits[1]:g} s{hint}: '
        f'correct {name} in the sidecar, in seconds.'
    )


def check_metadata(metadata: Metadata, source: str) -> tuple[float, float, float]:
    """Echo time, repetition time and spectrometer frequency, refused when implausible.

    Parameters
    ----------
    metadata : mapping
        BIDS metadata of the acquisition.
    source : str
        File name for the message.

    Returns
    -------
    echo_time, repetition_time : float
        In s; NaN when absent.
    spectrometer_mhz : float
        In MHz.

    Raises
    ------
    MetadataError
        If a value is outside its plausible range, the nucleus is not 1H, or the field strength
        and the spectrometer frequency contradict each other.

    Examples
    --------
    >>> check_metadata({'SpectrometerFrequency': [127.75], 'EchoTime': 0.035}, 'x_svs')
    (0.035, nan, 127.75)
    >>> check_metadata({'SpectrometerFrequency': 127.75, 'EchoTime': 35}, 'x_svs')
    Traceback (most recent call last):
        ...
    bids_acc.exceptions.MetadataError: x_svs: EchoTime is 35 s, outside 0.001-0.5 s; it looks \
like a value in ms: correct EchoTime in the sidecar, in seconds.
    """
    nucleus = metadata.get('ResonantNucleus') or '1H'  # empty where a converter found none
    nucleus = nucleus[0] if isinstance(nucleus, list | tuple) else nucleus
    if str(nucleus).strip().upper() not in PROTON:
        raise MetadataError(
            f'{source}: ResonantNucleus is {nucleus!r}; only proton spectra (1H) are fitted: '
            f'leave this file out with --bids-filter-file.'
        )
    frequency = _scalar(metadata.get('SpectrometerFrequency'))
    if not 20 <= frequency <= 600:
        told = metadata.get('SpectrometerFrequency')
        found = f'is {frequency:g} MHz, outside 20-600 MHz'
        for unit, slip in (('Hz', 1e-6), ('kHz', 1e-3)):
            if 20 <= slip * frequency <= 600:
                found += f' (it looks like a value in {unit})'
        if math.isnan(frequency):
            found = 'is missing' if told is None else f'is {told!r}, no number'
        raise MetadataError(
            f'{source}: SpectrometerFrequency {found}: give it in the sidecar, in MHz (for '
            f'example 127.75 at 3 T).'
        )
    field_strength = _scalar(metadata.get('MagneticFieldStrength'))
    implied = frequency / GYROMAGNETIC_RATIO_1H
    if not math.isnan(field_strength) and (
        abs(implied - field_strength) > FIELD_TOLERANCE * field_strength
    ):
        raise MetadataError(
            f'{source}: SpectrometerFrequency {frequency:g} MHz means {implied:.2f} T for 1H, but '
            f'MagneticFieldStrength says {field_strength:g} T: correct the wrong one.'
        )
    echo_time = _scalar(metadata.get('EchoTime'))
    repetition_time = _scalar(metadata.get('RepetitionTime'))
    _check_range(echo_time, 'EchoTime', ECHO_TIME_RANGE_S, source)
    _check_range(repetition_time, 'RepetitionTime', REPETITION_TIME_RANGE_S, source)
    mixing_time = _scalar(metadata.get('MixingTime'))
    if mixing_time != 0:  # as converters write it for sequences that have none
        _check_range(mixing_time, 'MixingTime', MIXING_TIME_RANGE_S, source)
    return echo_time, repetition_time, frequency


_MARKS = (
    (codecs.BOM_UTF8, 'utf-8-sig'), (codecs.BOM_UTF16_LE, 'utf-16'),
    (codecs.BOM_UTF16_BE, 'utf-16'),
)  # fmt: skip


def _decoded(content: bytes) -> str:
    """Text of a header or sidecar; what is no UTF-8 is read as Latin-1, which takes any byte.

    JSON holds no zero bytes: what follows the first one is padding that was not cleared.
    """
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            whole = content + b'\x00' * (len(content) % 2)  # the padding of a header is cut
            return whole.decode(encoding, errors='replace').rstrip('\x00')
    content = content.split(b'\x00', 1)[0]
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode('latin-1')


def _read_extension(content: bytes) -> tuple[dict[str, object], str]:
    """Metadata of the header extension, and why they cannot be read; empty when they can."""
    try:
        found = json.loads(_decoded(content), strict=False)
    except (ValueError, RecursionError) as error:
        return {}, f'its header extension is no JSON ({error})'
    if not isinstance(found, dict):
        return {}, 'its header extension is no JSON object'
    return found, ''


def _header_metadata(
    image: nb.Nifti1Image, sidecar: Metadata, source: str
) -> tuple[dict[str, object], list[str]]:
    """Read the JSON of the NIfTI-MRS header extension, with a note where the sidecar stands in.

    It does when the extension cannot be read, the sidecar tells the spectrometer frequency, and
    no dimension lost its meaning.
    """
    for extension in image.header.extensions:
        if extension.get_code() == HEADER_CODE:
            content = extension.get_content()
            # nibabel gives text or bytes, by its version; Latin-1 gives each byte back as it was.
            raw = content.encode('latin-1') if isinstance(content, str) else bytes(content)
            found, problem = _read_extension(raw)
            break
    else:
        raise InputDataError(
            f'{source}: no NIfTI-MRS header extension (code {HEADER_CODE}): convert the scanner '
            f'file with spec2nii.'
        )
    if not problem:
        return found, []
    told = [axis for axis, size in enumerate(image.shape[4:], start=5) if size > 1]
    lost = [str(axis) for axis in told if f'dim_{axis}' not in sidecar]
    if lost or math.isnan(_scalar(sidecar.get('SpectrometerFrequency'))):
        what = f'what dimension {", ".join(lost)} holds' if lost else 'SpectrometerFrequency'
        raise InputDataError(
            f'{source}: {problem}, and the sidecar does not tell {what}: convert the scanner file '
            f'again with spec2nii.'
        )
    return {}, [f'{problem}: the sidecar is used alone.']


NUMBERS = ('EchoTime', 'RepetitionTime', 'SpectrometerFrequency', 'MixingTime', 'SpectralWidth',
           'DwellTime', 'MagneticFieldStrength')  # fmt: skip
"""Fields that must hold a number, or a list that begins with one."""

COMPARED = NUMBERS[:4]
"""Those of which the sidecar's is remarked upon when the header has another."""


def _merge(header: Metadata, sidecar: Metadata | None) -> tuple[dict[str, object], list[str]]:
    """Sidecar over header, with a note for each number on which they disagree.

    What is empty, or no number where there must be one, does not beat what the header tells.
    """
    sidecar = dict(sidecar or {})
    merged = dict(header) | {
        key: value
        for key, value in sidecar.items()
        if key not in header or value not in (None, '', [], {})
    }
    notes = []
    for key in NUMBERS:
        told, ours, theirs = sidecar.get(key), _scalar(sidecar.get(key)), _scalar(header.get(key))
        if header.get(key) is not None and math.isnan(theirs) and math.isnan(ours):
            notes.append(f'{key} of the header is {header[key]!r}, no number: taken as missing.')
        if told is not None and math.isnan(ours):
            instead = 'it is taken as missing'
            if not math.isnan(theirs):
                merged[key], instead = header[key], f"the header's {theirs:g} is used"
            notes.append(f'{key} of the sidecar is {told!r}, no number: {instead}.')
            continue
        same = math.isnan(ours + theirs) or math.isclose(ours, theirs, rel_tol=1e-3)
        if key in COMPARED and not same:
            notes.append(f'{key}: sidecar says {ours:g}, header {theirs:g}; the sidecar is used.')
    return merged, notes


TIMINGS = ('EchoTime', 'InversionTime', 'MixingTime')
"""Fields that must be the same for all transients of a spectrum."""


def _progression(value: Metadata) -> list[float] | None:
    """First two values of those that a header gives by start and increment; None for one."""
    start, increment = (_scalar(value.get(key, 0)) for key in ('start', 'increment'))
    return [start, start + increment] if increment else None


def _check_constant(metadata: Metadata, source: str) -> None:
    """Refuse transients whose timing varies: one basis set describes one echo time."""
    places = [('', metadata)]
    for axis in (5, 6, 7):
        header = metadata.get(f'dim_{axis}_header')
        if isinstance(header, Mapping):
            places.append((f' of dimension {axis}', header))
    for where, fields in places:
        for key in TIMINGS:
            value = fields.get(key)
            if isinstance(value, Mapping):
                value = value.get('Value', _progression(value))
            if not isinstance(value, list | tuple):
                continue
            numbers = {round(_scalar(item), 6) for item in value if not math.isnan(_scalar(item))}
            if len(numbers) > 1:
                told = ', '.join(f'{number:g}' for number in sorted(numbers)[:5])
                raise MetadataError(
                    f'{source}: {key}{where} varies ({told} s); only transients of one {key} are '
                    f'averaged and fitted: split the file by {key}.'
                )


def _plausible(dwell: float) -> bool:
    """Whether a sampling interval in s can be that of a spectrum."""
    return dwell > 0 and SPECTRAL_WIDTH_RANGE_HZ[0] <= 1 / dwell <= SPECTRAL_WIDTH_RANGE_HZ[1]


def _dwell_time(image: nb.Nifti1Image, metadata: Metadata, source: str) -> tuple[float, list[str]]:
    """Read the sampling interval from the header, check it against SpectralWidth.

    A header that holds no sampling interval (0 or 1 s, as image tools leave it) gives way to the
    sidecar, which is said.
    """
    scale = {'msec': 1e-3, 'usec': 1e-6}.get(image.header.get_xyzt_units()[1], 1.0)
    dwell = float(image.header.get_zooms()[3]) * scale
    width, told = (_scalar(metadata.get(key)) for key in ('SpectralWidth', 'DwellTime'))
    field, says = 'SpectralWidth', f'{width:g} Hz'
    if math.isnan(width) and told > 0:
        width, field, says = 1 / told, 'DwellTime', f'{told:g} s'
    if not _plausible(dwell):
        if _plausible(1 / width if width > 0 else 0.0):
            note = f'the header gives a dwell time of {dwell:g} s; 1/{width:g} s of the sidecar'
            return 1 / width, [f'{note} is used.']
        low, high = SPECTRAL_WIDTH_RANGE_HZ
        raise MetadataError(
            f'{source}: the header gives a dwell time of {dwell:g} s (spectral width '
            f'{1 / dwell if dwell else math.inf:g} Hz), outside {low:g}-{high:g} Hz, and the '
            f'sidecar has no SpectralWidth: add it, in Hz, or convert the file again.'
        )
    if not math.isnan(width) and abs(width * dwell - 1) > 1e-3:
        raise MetadataError(
            f'{source}: {field} is {says} but the header samples at {1 / dwell:g} Hz '
            f'({dwell:g} s): correct {field} in the sidecar or convert the file again.'
        )
    return dwell, []


def _without_zero_filling(fids: ComplexArray) -> tuple[ComplexArray, list[str]]:
    """Cut zeros that the scanner appended: they hold no noise and would flatter S/N and bounds."""
    measured = np.flatnonzero(np.any(fids != 0, axis=(0, 1, 2)))
    n_points = int(measured[-1]) + 1 if measured.size else 0
    if not MIN_POINTS <= n_points < fids.shape[-1]:
        return fids, []
    note = f'{fids.shape[-1] - n_points} of {fids.shape[-1]} samples at the end are zero: cut.'
    return fids[..., :n_points], [note]


def _without_unusable(
    fids: ComplexArray,
) -> tuple[ComplexArray, list[str], str, tuple[int, ...]]:
    """Leave out transients that are not finite, or zero, as a series that was stopped leaves them.

    Also what to say, why none is left, and the places of those that are when some are not.
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


def _centred_on_water(
    fids: ComplexArray, metadata: Metadata, dwell_time: float, frequency: float
) -> tuple[ComplexArray, dict[str, object], list[str]]:
    """Bring water to the centre of a spectrum that was received around another chemical shift.

    The centre is `SpecFreqChemShift` (4.65 ppm when it is not told) plus `RxOffset`, both in ppm,
    as the tools of the standard have them. They are taken out of the metadata, because they no
    longer hold for what is written.
    """
    told = [_scalar(metadata.get(name)) for name in CENTRE]
    if math.isnan(told[0]):
        told[0] = _scalar(metadata.get(CENTRE_BIDS))
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


def _from_the_echo(
    fids: ComplexArray, metadata: Metadata, dwell_time: float
) -> tuple[ComplexArray, dict[str, object], list[str], str]:
    """Leave out what was sampled before the echo; say why a decay that begins late is unusable.

    The start is taken out of the metadata, because it no longer holds for what is written.
    """
    kept = {key: value for key, value in metadata.items() if key != START}
    samples = _scalar(metadata.get(START)) / dwell_time
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


def _lists_conditions(metadata: Metadata, number: int, size: int) -> bool:
    """Whether the header of a dimension names an editing condition for each of its places."""
    header = metadata.get(f'dim_{number}_header')
    found = header.get('EditCondition') if isinstance(header, Mapping) else None
    values = found.get('Value') if isinstance(found, Mapping) else found
    return isinstance(values, list | tuple) and len(values) == size > 1


def _arrange(
    data: ComplexArray, metadata: Metadata, source: str
) -> tuple[ComplexArray, list[str]]:
    """Order data as (coils, transients, edits, points), whatever the order of the tags."""
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


def _open(path: Path) -> nb.Nifti1Image:
    """Open NIfTI-2 or NIfTI-1; the former is a subclass of the latter."""
    check_gzip(path)
    try:
        # NIfTI-2 first: nibabel's class of it refuses a NIfTI-1 file, and the other way round it
        # depends on the version.
        return nb.Nifti2Image.from_filename(path)
    except Exception:  # noqa: BLE001  (nibabel raises several kinds; NIfTI-1 is tried next)
        LOGGER.debug('%s is not NIfTI-2', path)
    try:
        return nb.Nifti1Image.from_filename(path)
    except Exception as error:
        raise InputDataError(f'{path.name}: not readable as NIfTI ({error}).') from error


def _own_sidecar(path: Path) -> dict[str, object]:
    """Read the JSON beside a file; nothing without one."""
    own = path.with_name(path.name.split('.')[0] + '.json')
    if not own.exists():
        return {}
    found, problem = _read_extension(own.read_bytes())
    if problem:
        raise InputDataError(f'{own.name}: no valid JSON object: correct it.')
    return found


def read_affine(path: str | Path) -> FloatArray:
    """Place of the voxel of a NIfTI-MRS file, for which no metadata are needed.

    Parameters
    ----------
    path : str or Path
        NIfTI file.

    Returns
    -------
    (4, 4) ndarray of float64
        Voxel to scanner millimetres (RAS).

    Raises
    ------
    InputDataError
        If the file is no NIfTI.
    """
    return np.asarray(_open(Path(path)).affine, dtype=np.float64)


def _elsewhere(shape: tuple[int, ...]) -> str:
    """Say that a later dimension is so long that it holds the samples; empty where none is."""
    later = [axis for axis, size in enumerate(shape[4:], start=5) if size >= 4 * shape[3]]
    if not later or max(shape[4:]) < MIN_POINTS:
        return ''
    return f' (dimension {later[-1]} seems to hold the samples in time, which are the fourth)'


@reads('NIfTI-MRS file', 'copy or convert it again')
def read_nifti_mrs(path: str | Path, sidecar: Metadata | None = None) -> MrsData:
    """Read a single-voxel NIfTI-MRS file.

    Parameters
    ----------
    path : str or Path
        Complex NIfTI with header extension 44.
    sidecar : mapping, optional
        BIDS metadata, which win over the header; without it the file's own JSON is looked for
        beside it.

    Returns
    -------
    MrsData
        Decays as (coils, transients, edits, points), with checked metadata. Transients that are
        not finite are left out; decays that are zero or not finite throughout come with the
        reason in ``unusable``.

    Raises
    ------
    MissingInputError
        If the file is not there.
    InputDataError
        If it is no single-voxel NIfTI-MRS file.
    MetadataError
        If metadata are implausible or contradict the header.
    """
    path = Path(path)
    if not path.exists():
        raise MissingInputError(f'{path}: no such file.')
    image = _open(path)
    data = np.asanyarray(image.dataobj)
    if not np.iscomplexobj(data) or data.ndim < 4 or data.shape[3] < MIN_POINTS:
        raise InputDataError(
            f'{path.name}: {data.dtype} data of shape {data.shape} are no complex decays of at '
            f'least {MIN_POINTS} points{_elsewhere(data.shape)}: convert the scanner file with '
            f'spec2nii.'
        )
    if sidecar is None:
        sidecar = _own_sidecar(path)
    header, replaced = _header_metadata(image, sidecar, path.name)
    metadata, notes = _merge(header, sidecar)
    notes = [*replaced, *notes]
    _check_constant(metadata, path.name)
    echo_time, repetition_time, frequency = check_metadata(metadata, path.name)
    fids, more = _arrange(data.astype(complex), metadata, path.name)
    dwell_time, said = _dwell_time(image, metadata, path.name)
    fids, left_out, unusable, positions = _without_unusable(fids)
    fids, cut = _without_zero_filling(fids)
    fids, metadata, begun, late = _from_the_echo(fids, metadata, dwell_time)
    unusable = unusable or late
    fids, metadata, centred = _centred_on_water(fids, metadata, dwell_time, frequency)
    duration = fids.shape[-1] * dwell_time
    if not unusable and duration < MIN_DURATION_S:
        unusable = f'the decay lasts {duration:.3f} s, less than {MIN_DURATION_S:g} s'
        unusable += _elsewhere(data.shape)
    notes += [*more, *said, *left_out, *cut, *begun, *centred]
    for note in (*notes, *([unusable] if unusable else [])):
        LOGGER.warning('%s: %s', path.name, note)
    return MrsData(
        fids=fids,
        dwell_time=dwell_time,
        spectrometer_mhz=frequency,
        echo_time=echo_time,
        repetition_time=repetition_time,
        affine=np.asarray(image.affine, dtype=np.float64),
        metadata=metadata,
        notes=tuple(notes),
        source=path.name,
        unusable=unusable,
        positions=positions,
    )


def unread(metadata: Metadata, source: str, reason: str) -> MrsData:
    """Stand for an acquisition that cannot be used: no samples, NaN for what is not known.

    Parameters
    ----------
    metadata : mapping
        BIDS metadata, as far as there are any; echo time, repetition time and spectrometer
        frequency are taken over when they are plausible together.
    source : str
        File name.
    reason : str
        Why it cannot be used.

    Returns
    -------
    MrsData

    Examples
    --------
    >>> data = unread(
    ...     {'SpectrometerFrequency': 127.7, 'EchoTime': 35}, 'x_svs', 'EchoTime is 35 s'
    ... )
    >>> data.echo_time, data.n_points, data.unusable
    (nan, 0, 'EchoTime is 35 s')
    """
    try:
        echo_time, repetition_time, frequency = check_metadata(metadata, source)
    except MetadataError:
        echo_time = repetition_time = frequency = math.nan
    return MrsData(
        fids=np.zeros((1, 0, 1, 0), dtype=complex),
        dwell_time=math.nan,
        spectrometer_mhz=frequency,
        echo_time=echo_time,
        repetition_time=repetition_time,
        affine=np.full((4, 4), math.nan),
        metadata=metadata,
        notes=(reason,),
        source=source,
        unusable=reason,
    )


def write_nifti_mrs(data: MrsData, path: str | Path) -> Path:
    """Write decays as NIfTI-MRS; axes of size one are dropped from the end.

    Parameters
    ----------
    data : MrsData
        Decays and metadata.
    path : str or Path
        File to write, ``.nii`` or ``.nii.gz``.

    Returns
    -------
    Path
        The file written.
    """
    block = np.moveaxis(data.fids, -1, 0)[None, None, None]
    tags = ['DIM_COIL', 'DIM_DYN', 'DIM_EDIT']
    keep = [axis for axis in range(3) if block.shape[4 + axis] > 1]
    block = block.reshape(*block.shape[:4], *(block.shape[4 + axis] for axis in keep))
    header = {
        key: value for key, value in data.metadata.items() if not key.startswith(('dim_', 'bids'))
    }
    header |= {
        'SpectrometerFrequency': [data.spectrometer_mhz],
        'ResonantNucleus': ['1H'],
        'SpectralWidth': 1 / data.dwell_time,
    }
    header |= {f'dim_{5 + n}': tags[axis] for n, axis in enumerate(keep)}
    if CONDITIONS in header:
        conditions = header.pop(CONDITIONS)
        header |= {f'dim_{5 + n}_header': conditions for n, axis in enumerate(keep) if axis == 2}
    image = nb.Nifti2Image(block.astype(np.complex64), data.affine)
    # Readers tell NIfTI-MRS from other complex images by this name, and the version of the
    # standard with it.
    image.header['intent_name'] = b'mrs_v0_11'
    image.header.set_zooms((*image.header.get_zooms()[:3], data.dwell_time) + (1.0,) * len(keep))
    image.header.set_xyzt_units('mm', 'sec')
    content = json.dumps(header, sort_keys=True).encode()
    image.header.extensions.append(nb.nifti1.Nifti1Extension(HEADER_CODE, content))
    path = Path(path)
    image.to_filename(path)
    return path
