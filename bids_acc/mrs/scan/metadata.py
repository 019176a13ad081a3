"""What header extension and sidecar of a NIfTI-MRS file tell, checked and joined.

The sidecar is over the header extension, as BIDS has it; units and ranges are checked here, so
that nothing further on asks whether a time is in ms.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

import nibabel as nb

from bids_acc.exceptions import InputDataError, MetadataError
from bids_acc.files.metadata import PROTON, first_number
from bids_acc.files.reading import marked_encoding
from bids_acc.mrs.signal.measures import GYROMAGNETIC_RATIO_1H
from bids_acc.typing import Metadata

HEADER_CODE = 44
"""NIfTI extension code registered for NIfTI-MRS."""

ECHO_TIME_RANGE_S = (0.001, 0.5)
"""Plausible echo times, in s."""

REPETITION_TIME_RANGE_S = (0.3, 20.0)
"""Plausible repetition times, in s."""

MIXING_TIME_RANGE_S = (0.002, 1.0)
"""Plausible mixing times of STEAM, in s."""

SLIPS: Mapping[str, float] = {'ms': 1e-3, 'us': 1e-6, 'ms that was multiplied again': 1e-9}
"""Units in which times come in s, by what undoes them. Converters of GE files have written us."""

FIELD_TOLERANCE = 0.05
"""Largest relative difference of spectrometer frequency and field strength."""

NUMBERS = ('EchoTime', 'RepetitionTime', 'SpectrometerFrequency', 'MixingTime', 'SpectralWidth',
           'DwellTime', 'MagneticFieldStrength')  # fmt: skip
"""Fields that must hold a number, or a list that begins with one."""

COMPARED = NUMBERS[:4]
"""Those of which the sidecar's is remarked upon when the header has another."""

TIMINGS = ('EchoTime', 'InversionTime', 'MixingTime')
"""Fields that must be the same for all transients of a spectrum."""


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
    frequency = first_number(metadata.get('SpectrometerFrequency'))
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
    field_strength = first_number(metadata.get('MagneticFieldStrength'))
    implied = frequency / GYROMAGNETIC_RATIO_1H
    if not math.isnan(field_strength) and (
        abs(implied - field_strength) > FIELD_TOLERANCE * field_strength
    ):
        raise MetadataError(
            f'{source}: SpectrometerFrequency {frequency:g} MHz means {implied:.2f} T for 1H, but '
            f'MagneticFieldStrength says {field_strength:g} T: correct the wrong one.'
        )
    echo_time = first_number(metadata.get('EchoTime'))
    repetition_time = first_number(metadata.get('RepetitionTime'))
    _check_range(echo_time, 'EchoTime', ECHO_TIME_RANGE_S, source)
    _check_range(repetition_time, 'RepetitionTime', REPETITION_TIME_RANGE_S, source)
    mixing_time = first_number(metadata.get('MixingTime'))
    if mixing_time != 0:  # as converters write it for sequences that have none
        _check_range(mixing_time, 'MixingTime', MIXING_TIME_RANGE_S, source)
    return echo_time, repetition_time, frequency


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


def header_metadata(
    image: nb.Nifti1Image, sidecar: Metadata, source: str
) -> tuple[dict[str, object], list[str]]:
    """Read the JSON of the NIfTI-MRS header extension, with a note where the sidecar stands in.

    It does when the extension cannot be read, the sidecar tells the spectrometer frequency, and
    no dimension lost its meaning.

    Parameters
    ----------
    image : Nifti1Image
        Of whose header the first extension of code 44 counts.
    sidecar : mapping
        Metadata beside the file; may be empty.
    source : str
        File name for the message.

    Returns
    -------
    header : dict
        Empty where the sidecar stands in.
    notes : list of str

    Raises
    ------
    InputDataError
        If there is no such extension, or none that can be read and the sidecar tells too little.
    """
    for extension in image.header.extensions:
        if extension.get_code() == HEADER_CODE:
            content = extension.get_content()
            # nibabel gives text or bytes, by its version; Latin-1 gives each byte back as it was.
            raw = content.encode('latin-1') if isinstance(content, str) else bytes(content)
            found, problem = read_json_object(raw)
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
    if lost or math.isnan(first_number(sidecar.get('SpectrometerFrequency'))):
        what = f'what dimension {", ".join(lost)} holds' if lost else 'SpectrometerFrequency'
        raise InputDataError(
            f'{source}: {problem}, and the sidecar does not tell {what}: convert the scanner file '
            f'again with spec2nii.'
        )
    return {}, [f'{problem}: the sidecar is used alone.']


def read_json_object(content: bytes) -> tuple[dict[str, object], str]:
    """Metadata of a header extension or sidecar, and why they cannot be read; empty when they can.

    Parameters
    ----------
    content : bytes
        JSON in any encoding that :func:`_decoded` knows, with or without padding.

    Returns
    -------
    found : dict
    problem : str
    """
    try:
        found = json.loads(_decoded(content), strict=False)
    except (ValueError, RecursionError) as error:
        return {}, f'its header extension is no JSON ({error})'
    if not isinstance(found, dict):
        return {}, 'its header extension is no JSON object'
    return found, ''


def _decoded(content: bytes) -> str:
    """Text of a header or sidecar; what is no UTF-8 is read as Latin-1, which takes any byte.

    JSON holds no zero bytes: what follows the first one is padding that was not cleared.
    """
    if encoding := marked_encoding(content):
        whole = content + b'\x00' * (-len(content) % 4)  # the padding of a header is cut
        return whole.decode(encoding, errors='replace').rstrip('\x00')
    content = content.split(b'\x00', 1)[0]
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode('latin-1')


def merged(header: Metadata, sidecar: Metadata | None) -> tuple[dict[str, object], list[str]]:
    """Sidecar over header, with a note for each number on which they disagree.

    What is empty, or no number where there must be one, does not beat what the header tells.

    Parameters
    ----------
    header : mapping
        Metadata of the header extension.
    sidecar : mapping or None
        Metadata beside the file.

    Returns
    -------
    metadata : dict
    notes : list of str
    """
    sidecar = dict(sidecar or {})
    merged = dict(header) | {
        key: value
        for key, value in sidecar.items()
        if key not in header or value not in (None, '', [], {})
    }
    notes = []
    for key in NUMBERS:
        told, ours, theirs = (
            sidecar.get(key),
            first_number(sidecar.get(key)),
            first_number(header.get(key)),
        )
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


def check_constant(metadata: Metadata, source: str) -> None:
    """Refuse transients whose timing varies: one basis set describes one echo time.

    Parameters
    ----------
    metadata : mapping
        Sidecar over header extension, with the headers of the dimensions.
    source : str
        File name for the message.

    Raises
    ------
    MetadataError
        If a field of `TIMINGS` has several values.
    """
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
            numbers = {
                round(first_number(item), 6)
                for item in value
                if not math.isnan(first_number(item))
            }
            if len(numbers) > 1:
                told = ', '.join(f'{number:g}' for number in sorted(numbers)[:5])
                raise MetadataError(
                    f'{source}: {key}{where} varies ({told} s); only transients of one {key} are '
                    f'averaged and fitted: split the file by {key}.'
                )


def _progression(value: Metadata) -> list[float] | None:
    """First two values of those that a header gives by start and increment; None for one."""
    start, increment = (first_number(value.get(key, 0)) for key in ('start', 'increment'))
    return [start, start + increment] if increment else None
