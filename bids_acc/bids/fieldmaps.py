"""Images of reversed phase encoding for a series, and why others are not taken."""

from __future__ import annotations

import fnmatch
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from bids_acc.bids.images import read_grid
from bids_acc.bids.inputs import DwiRun, check_image
from bids_acc.bids.phase_encoding import direction_of, only_axis, said_by_labels
from bids_acc.bids.reasons import without_path
from bids_acc.bids.sidecars import entities_of, inherited_metadata, read_json, suffix_of
from bids_acc.exceptions import BidsAccError, InputDataError
from bids_acc.images.affines import apply_matrix
from bids_acc.images.distortion import (
    check_readout,
    estimated_readout,
    number_in,
    readout_time,
    reversed_pe_of,
)
from bids_acc.images.phase import GAMMA_HZ_PER_T, FieldMap
from bids_acc.typing import FloatArray

ReversedImage = tuple[Path, dict[str, Any]]
"""An image of reversed phase encoding and its metadata."""


class CorrectableSeries(Protocol):
    """What is asked of a series that a field map may belong to."""

    @property
    def image(self) -> Path:
        """Its first image."""

    @property
    def metadata_of_image(self) -> Mapping[str, Any]:
        """Sidecar of that image."""

    @property
    def direction(self) -> str:
        """PhaseEncodingDirection, or nothing."""


OTHER_MAPS = ('phasediff', 'phase1', 'phase2', 'fieldmap', 'TB1DAM', 'TB1EPI')
"""Field maps of other kinds."""
MEASURED = {'fieldmap': 'magnitude', 'phasediff': 'magnitude1', 'phase1': 'magnitude1'}
"""Maps that were measured by gradient echoes, and the suffix that BIDS gives their magnitude."""
MAGNITUDES = ('magnitude1', 'magnitude', 'magnitude2')
"""Suffixes that are taken where that one is not there: all show the head that was measured."""
_PER_RADIAN = 1 / (2 * math.pi)
HZ: Mapping[str, float] = {
    'hz': 1.0, 'hertz': 1.0, 'rad/s': _PER_RADIAN, 'rad/sec': _PER_RADIAN, 'rads/s': _PER_RADIAN,
    'radians/s': _PER_RADIAN, 'rad s-1': _PER_RADIAN, 't': GAMMA_HZ_PER_T, 'tesla': GAMMA_HZ_PER_T,
}  # fmt: skip
"""What makes Hz of a map in each of the units that BIDS allows, and other words for them."""
HEAD, LEAST_COVERED = 0.5, 0.8
"""Middle part of each axis of a series in which the head lies, and the share of it that an image
of reversed phase encoding must show (own conventions)."""
MAX_SPACING_S = 0.02
"""Largest distance of the echoes of a field map: beyond, they are in ms (own convention)."""


def find_reversed(
    root: Path, runs: Sequence[DwiRun], others: Iterable[Path] = ()
) -> tuple[list[ReversedImage], list[str], list[str]]:
    """Find images whose phase encoding is the reverse of the series'.

    An ``_epi`` image in ``fmap/`` belongs to the series when its sidecar says so
    (``IntendedFor``, or ``B0FieldIdentifier`` with the series' ``B0FieldSource`` or its own
    identifier) or says nothing about what it is for. Images in ``dwi/`` belong to it.

    Parameters
    ----------
    root : Path
        Raw data set.
    runs : sequence of DwiRun
        The series.
    others : iterable of Path
        Images in ``dwi/`` without diffusion weighting: single-band references, and series without
        gradient tables.

    Returns
    -------
    found : list of (Path, dict)
        Images with their metadata.
    left_out : list of str
        The others, each with the reason.
    notes : list of str
        What had to be translated or assumed.
    """
    direction = main_direction(runs)
    folder = runs[0].image.parent.parent / 'fmap'
    images = [p for p in sorted(folder.glob('[!.]*.nii*')) if suffix_of(p) == 'epi']
    found: list[ReversedImage] = []
    left_out, notes = [], []
    for path in [*images, *others]:
        try:
            metadata, said = _judge(path, root, runs[0], direction)
            if path in images:
                said += _belongs(path, metadata, runs)
        except BidsAccError as error:
            left_out.append(f'{path.name}: {without_path(error, path)}')
        else:
            found.append((path, metadata))
            notes += [f'{path.name}: {text}' for text in said]
    if not found:
        left_out += _in_other_sessions(runs)
    return found, left_out, notes


def _in_other_sessions(runs: Sequence[CorrectableSeries]) -> list[str]:
    """Name the field maps of other sessions that are meant for the series, and are not used.

    Between sessions the head lies in another way and the magnet is shimmed anew.
    """
    own = runs[0].image.parent.parent
    if not own.name.startswith('ses-'):
        return []
    said = []
    for sidecar in sorted(own.parent.glob('ses-*/fmap/[!.]*.json')):
        if sidecar.parent.parent == own:
            continue
        try:
            metadata = read_json(sidecar)
        except BidsAccError:  # said where its own session is looked at
            continue
        targets = _words(metadata.get('IntendedFor'))
        if any(_same_file(target, run.image) for target in targets for run in runs):
            said.append(
                f'{sidecar.stem}: IntendedFor names this series, but it was acquired in '
                f'{sidecar.parent.parent.name}, where the field was another one'
            )
    return said


def find_field_images(
    root: Path, run: CorrectableSeries, what: str = 'BOLD'
) -> tuple[list[ReversedImage], Path | None, list[str], list[str]]:
    """Find the field map of one series: ``_epi`` images of both phase encodings.

    Parameters
    ----------
    root : Path
        Raw data set.
    run : CorrectableSeries
    what : str
        Name of the kind of series, for messages.

    Returns
    -------
    found : list of (Path, dict)
        Images of reversed phase encoding with their metadata.
    alike : Path or None
        Image of the field map with the series' own phase encoding, for comparison with the first
        of the others; None where they differ in shape or there is none.
    left_out : list of str
        The others, each with the reason.
    notes : list of str
        What had to be translated or assumed.
    """
    folder = run.image.parent.parent / 'fmap'
    images = [p for p in sorted(folder.glob('[!.]*.nii*')) if suffix_of(p) == 'epi']
    found: list[ReversedImage] = []
    alike: list[Path] = []
    left_out, notes = [], []
    for path in images:
        try:
            metadata, said = _judge(path, root, run, run.direction, what, same=True)
            said += _belongs(path, metadata, [run], what)
        except BidsAccError as error:
            left_out.append(f'{path.name}: {without_path(error, path)}')
            continue
        if metadata['PhaseEncodingDirection'] == run.direction:
            alike.append(path)
        else:
            found.append((path, metadata))
        notes += [f'{path.name}: {text}' for text in said]
    if alike and not found:
        left_out += [f'{path.name}: there is none of reversed phase encoding to it'
                     for path in alike]  # fmt: skip
    return found, alike[0] if alike and found else None, left_out, notes


def find_measured_field(
    root: Path, run: CorrectableSeries, what: str = 'BOLD', *, wanted: bool = True
) -> tuple[FieldMap | None, list[str], list[str]]:
    """Find a field map of one series that was measured by gradient echoes.

    Parameters
    ----------
    root : Path
        Raw data set.
    run : CorrectableSeries
    what : str
        Name of the kind of series, for messages.
    wanted : bool
        Whether one is needed; otherwise all are left out.

    Returns
    -------
    found : FieldMap or None
        The first that can be used, maps in Hz before phases.
    left_out : list of str
        The others, each with the reason.
    notes : list of str
        What was assumed.
    """
    folder = run.image.parent.parent / 'fmap'
    kinds = list(MEASURED)
    paths = [p for p in sorted(folder.glob('[!.]*.nii*')) if suffix_of(p) in MEASURED]
    found: FieldMap | None = None
    left_out, notes = [], []
    for path in sorted(paths, key=lambda p: kinds.index(suffix_of(p))):
        if found is not None or not wanted:
            better = 'another one' if wanted else 'an image of reversed phase encoding'
            left_out.append(f'{path.name}: not used, {better} is there')
            continue
        try:
            found, said = _measured(path, root, run, what)
        except BidsAccError as error:
            left_out.append(f'{path.name}: {without_path(error, path)}')
        else:
            notes += [f'{path.name}: {text}' for text in said]
    others = set(OTHER_MAPS) - set(MEASURED)
    used = {path.name for path in found.images} if found else set()
    left_out += [f'{p.name}: {_why_other(p)}' for p in sorted(folder.glob('[!.]*.nii*'))
                 if suffix_of(p) in others and p.name not in used and _why_other(p)]  # fmt: skip
    return found, left_out, notes


def _why_other(path: Path) -> str:
    """Say why an image of `fmap` is no field map; nothing of a second phase that has its first."""
    if suffix_of(path) != 'phase2':
        return 'not used, it tells nothing of distortion'
    first = _sibling(path, 'phase1')
    return '' if first.is_file() else f'{first.name} is not there'


def _measured(
    path: Path, root: Path, run: CorrectableSeries, what: str
) -> tuple[FieldMap, list[str]]:
    """Check one measured field map; the error says why it cannot be used."""
    kind, metadata = suffix_of(path), inherited_metadata(path, root)
    said = _belongs(path, metadata, [run], what)
    if not run.direction:
        raise InputDataError(f'the {what} series has no PhaseEncodingDirection')
    if not math.isfinite(_readout(run)):
        raise InputDataError(
            f'the {what} series has no TotalReadoutTime (nor EffectiveEchoSpacing), so that a '
            'field tells no displacement'
        )
    check_readout(_readout(run), run.image.name)
    images: tuple[Path, ...] = (path,)
    spacing = 0.0
    if kind != 'fieldmap':
        images, spacing, derived = _phases(path, root, metadata)
        said += [derived] if derived else []
    magnitude, named = _magnitude_of(path)
    said += [named] if named else []
    shapes = {check_image(p, (3, 4), minimum_size=2)[:3] for p in (*images, magnitude)}
    if len(shapes) > 1:
        raise InputDataError(f'its grid is not that of {magnitude.name}')
    return FieldMap(images, magnitude, spacing, 1.0 if spacing else _factor(metadata)), said


def _readout(run: CorrectableSeries) -> float:
    """Return the total readout time of a series; NaN where it is not told or no number."""
    axis = 'ijk'.index(run.direction[0])
    try:
        seconds = readout_time(run.metadata_of_image, check_image(run.image, (3, 4))[axis])
    except (TypeError, ValueError):
        return math.nan
    return seconds if seconds > 0 else math.nan


def _magnitude_of(path: Path) -> tuple[Path, str]:
    """Return the magnitude of a field map, and what is to be said of its name."""
    wanted = _sibling(path, MEASURED[suffix_of(path)])
    if wanted.is_file():
        return wanted, ''
    for suffix in MAGNITUDES:
        if (other := _sibling(path, suffix)).is_file():
            return other, f'{other.name} is its magnitude, as {wanted.name} is not there'
    raise InputDataError(f'its magnitude {wanted.name} is not there')


def _phases(
    path: Path, root: Path, metadata: Mapping[str, object]
) -> tuple[tuple[Path, ...], float, str]:
    """Return the images of a phase map, the distance of their echoes in s, and what is said."""
    images: tuple[Path, ...] = (path,)
    note = ''
    if suffix_of(path) == 'phasediff':
        names, times = 'EchoTime1 and EchoTime2', [metadata.get(f'EchoTime{n}') for n in (1, 2)]
        if None in times:
            magnitudes = [_sibling(path, f'magnitude{n}') for n in (1, 2)]
            own = [inherited_metadata(m, root).get('EchoTime') if m.is_file() else None
                   for m in magnitudes]  # fmt: skip
            if None not in own:
                times, note = own, 'echo times are those of magnitude1 and magnitude2'
    else:
        second = _sibling(path, 'phase2')
        if not second.is_file():
            raise InputDataError(f'{second.name} is not there')
        images = (path, second)
        names = 'EchoTime of both phases'
        other = inherited_metadata(second, root)
        times = [metadata.get('EchoTime', metadata.get('EchoTime1')),
                 other.get('EchoTime', other.get('EchoTime2'))]  # fmt: skip
    known = [number_in({names: time}, names) for time in times]
    if not known[1] > known[0] > 0:
        raise InputDataError(f'{names} must be there, the second one later')
    if known[1] - known[0] > MAX_SPACING_S:
        raise InputDataError(f'{names} are {known[0]:g} and {known[1]:g}; write them in s')
    return images, known[1] - known[0], note


def _factor(metadata: Mapping[str, object]) -> float:
    """Return what makes Hz of a map."""
    told = metadata.get('Units')
    if told in (None, ''):
        raise InputDataError('its sidecar has no Units; write Hz, rad/s or T, whichever it is in')
    unit = str(told).strip().lower()
    if unit not in HZ:
        raise InputDataError(f'Units is {told!r} in its sidecar; Hz, rad/s or T can be used')
    return HZ[unit]


def _sibling(path: Path, suffix: str) -> Path:
    """Return the path of the image with another suffix and the same entities."""
    stem, _, ending = path.name.partition('.')
    return path.with_name(f'{stem.rpartition("_")[0]}_{suffix}.{ending}')


def main_direction(runs: Iterable[DwiRun]) -> str:
    """Return the phase encoding with which most diffusion-weighted volumes were acquired.

    Parameters
    ----------
    runs : iterable of DwiRun
        Diffusion series of a session; at least one. ``n_weighted`` counts volumes above b = 0.

    Returns
    -------
    str
        BIDS' ``PhaseEncodingDirection``, such as ``j-``; the first series' where two are equal.
    """
    counts: dict[str, int] = {}
    for run in runs:
        counts[run.direction] = counts.get(run.direction, 0) + run.n_weighted
    return max(counts, key=lambda direction: counts[direction])


def _judge(
    path: Path, root: Path, run: CorrectableSeries, direction: str, what: str = 'diffusion', *,
    same: bool = False,
) -> tuple[dict[str, object], list[str]]:  # fmt: skip
    """Read an image's metadata; refuse it where its phase encoding is not the reverse.

    With ``same``, the series' own phase encoding is welcome, too.
    """
    check_image(path, (3, 4), minimum_size=2)
    metadata = inherited_metadata(path, root)
    shape, affine = read_grid(path)
    label = entities_of(path).get('dir', '')
    given, note = direction_of(metadata, label, affine)
    if not given:
        raise InputDataError(
            note or f'its sidecar has no PhaseEncodingDirection{only_axis(metadata)}'
        )
    if not direction:
        raise InputDataError(f'the {what} series has no PhaseEncodingDirection to compare with')
    if given != reversed_pe_of(direction) and not (same and given == direction):
        relation = 'the same as' if given == direction else 'not the reverse of'
        hint = said_by_labels(label, entities_of(run.image).get('dir', ''), given == direction)
        raise InputDataError(f'its phase encoding is {given}, {relation} that of the series{hint}')
    lines = shape['ijk'.index(given[0])]
    check_readout(readout_time(metadata, lines), str(path))
    _check_covers(shape, affine, run.image, what)
    said = [note, estimated_readout(metadata)]
    return {**metadata, 'PhaseEncodingDirection': given}, [text for text in said if text]


def _check_covers(
    shape: tuple[int, ...], affine: FloatArray, series: Path, what: str
) -> None:  # fmt: skip
    """Refuse an image that shows another part of the body than the series, or little of it."""
    own, grid = read_grid(series)
    middle = [np.linspace(0.5 - HEAD / 2, 0.5 + HEAD / 2, 9) * (n - 1) for n in own[:3]]
    index = np.stack(np.meshgrid(*middle, indexing='ij'), axis=-1).reshape(-1, 3)
    there = apply_matrix(np.linalg.inv(affine) @ grid, index)
    inside = ((there > -1) & (there < np.array(shape[:3]))).all(axis=1)
    if inside.mean() < LEAST_COVERED:
        raise InputDataError(
            f'it shows {inside.mean():.0%} of the middle of the {what} series, by the affines of '
            'both headers'
        )


def _belongs(
    path: Path,
    metadata: Mapping[str, object],
    runs: Sequence[CorrectableSeries],
    what: str = 'diffusion',
) -> list[str]:
    """Refuse a field map that is for something else; say what was assumed."""
    # BIDS recommends these identifiers, and knows IntendedFor for what has none.
    identifiers = _words(metadata.get('B0FieldIdentifier'))
    sources = {w for r in runs for w in _words(r.metadata_of_image.get('B0FieldSource'))}
    own = {w for r in runs for w in _words(r.metadata_of_image.get('B0FieldIdentifier'))}
    if identifiers & (sources | own):
        return []
    targets = _words(metadata.get('IntendedFor'))
    if any(_same_file(target, run.image) for target in targets for run in runs):
        return []
    if any(_means(target, run.image) for target in targets for run in runs):
        named = ', '.join(sorted(targets)[:3])
        return [f'IntendedFor {named} is no file, and was taken to mean the {what} series, too']
    if targets:
        named = ', '.join(sorted(Path(t).name for t in targets)[:3])
        raise InputDataError(f'IntendedFor names {named}, not the {what} series')
    if not identifiers:
        return []
    wanted = ', '.join(sorted(identifiers))
    if sources:
        raise InputDataError(
            f'its B0FieldIdentifier is {wanted}, and B0FieldSource of the series is '
            f'{", ".join(sorted(sources))}'
        )
    # That the series names no source may be forgotten; that another image names this map may not.
    if other := _claimed_by(path.parent.parent, identifiers):
        raise InputDataError(f'its B0FieldIdentifier {wanted} is the B0FieldSource of {other}')
    return [f'taken, although no image names its B0FieldIdentifier {wanted} as B0FieldSource']


def _words(value: object) -> set[str]:
    """Take one word or a list of them."""
    values = value if isinstance(value, list) else [value]
    return {str(word) for word in values if word not in (None, '')}


def _same_file(target: str, image: Path) -> bool:
    """Tell whether a path or BIDS-URI means an image, whatever its ending and leading zeros."""
    return _plain(re.split(r'[/\\:]', target)[-1]) == _plain(image.name)


def _means(target: str, image: Path) -> bool:
    """Tell whether a path means the folder of an image, or is a pattern that its name fits."""
    parts = [part for part in re.split(r'[/\\:]', target) if part]
    if not parts:
        return False
    folder = '.' not in parts[-1] and parts[-1] in (image.parent.name, image.parent.parent.name)
    wild = '*' in parts[-1] and fnmatch.fnmatch(image.name, parts[-1])
    elsewhere = [p for p in parts[:-1] if p.startswith(('sub-', 'ses-')) and p not in image.parts]
    return (folder or wild) and not elsewhere


def _plain(name: str) -> str:
    """Write a name without its ending and without leading zeros of the run."""
    return re.sub(r'(?<=run-)0+(?=\d)', '', name.partition('.')[0])


def _claimed_by(session: Path, identifiers: set[str]) -> str:
    """Name an image of the session whose sidecar names one of the identifiers as its source."""
    for sidecar in sorted(session.glob('*/*.json')):
        try:
            sources = _words(read_json(sidecar).get('B0FieldSource'))
        except BidsAccError:  # said where its own image is looked at
            continue
        if sources & identifiers:
            return sidecar.stem
    return ''
