"""Images of reversed phase encoding for a series, and why others are not taken."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from bids_acc.bids.images import read_grid
from bids_acc.bids.inputs import DwiRun, check_image
from bids_acc.bids.phase_encoding import phase_direction
from bids_acc.bids.reasons import without_path
from bids_acc.bids.sidecars import inherited_metadata, read_json, suffix_of
from bids_acc.exceptions import BidsAccError, InputDataError
from bids_acc.images.distortion import reversed_pe_of

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


OTHER_MAPS = ('phasediff', 'phase1', 'fieldmap', 'TB1DAM', 'TB1EPI')
"""Field maps of other kinds."""


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
    images = [p for p in sorted(folder.glob('*.nii*')) if suffix_of(p) == 'epi']
    found: list[ReversedImage] = []
    left_out, notes = [], []
    for path in [*images, *others]:
        try:
            metadata, said = _judge(path, root, direction)
            if path in images:
                said += _belongs(path, metadata, runs)
        except BidsAccError as error:
            left_out.append(f'{path.name}: {without_path(error, path)}')
        else:
            found.append((path, metadata))
            notes += [f'{path.name}: {text}' for text in said]
    left_out += _other_maps(folder)
    return found, left_out, notes


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
    images = [p for p in sorted(folder.glob('*.nii*')) if suffix_of(p) == 'epi']
    found: list[ReversedImage] = []
    alike: list[Path] = []
    left_out, notes = [], []
    for path in images:
        try:
            metadata, said = _judge(path, root, run.direction, what, same=True)
            said += _belongs(path, metadata, [run], what)
        except BidsAccError as error:
            left_out.append(f'{path.name}: {without_path(error, path)}')
            continue
        if metadata['PhaseEncodingDirection'] == run.direction:
            alike.append(path)
        else:
            found.append((path, metadata))
        notes += [f'{path.name}: {text}' for text in said]
    left_out += _other_maps(folder)
    if alike and not found:
        left_out += [f'{path.name}: there is none of reversed phase encoding to it'
                     for path in alike]  # fmt: skip
    return found, alike[0] if alike and found else None, left_out, notes


def _other_maps(folder: Path) -> list[str]:
    """Name field maps of other kinds."""
    return [
        f'{path.name}: not used, only images of reversed phase encoding (epi) are'
        for path in sorted(folder.glob('*.nii*')) if suffix_of(path) in OTHER_MAPS
    ]  # fmt: skip


def main_direction(runs: Iterable[DwiRun]) -> str:
    """Return the phase encoding with which most diffusion-weighted volumes were acquired."""
    counts: dict[str, int] = {}
    for run in runs:
        counts[run.direction] = counts.get(run.direction, 0) + run.n_weighted
    return max(counts, key=lambda direction: counts[direction])


def _judge(
    path: Path, root: Path, direction: str, what: str = 'diffusion', *, same: bool = False
) -> tuple[dict[str, Any], list[str]]:
    """Read an image's metadata; refuse it where its phase encoding is not the reverse.

    With ``same``, the series' own phase encoding is welcome, too.
    """
    check_image(path, (3, 4), minimum_size=2)
    metadata = inherited_metadata(path, root)
    given, note = phase_direction(metadata.get('PhaseEncodingDirection'), read_grid(path)[1])
    if not given:
        raise InputDataError(note or 'its sidecar has no PhaseEncodingDirection')
    if not direction:
        raise InputDataError(f'the {what} series has no PhaseEncodingDirection to compare with')
    if given != reversed_pe_of(direction) and not (same and given == direction):
        relation = 'the same as' if given == direction else 'not the reverse of'
        raise InputDataError(f'its phase encoding is {given}, {relation} that of the series')
    return {**metadata, 'PhaseEncodingDirection': given}, [note] if note else []


def _belongs(
    path: Path,
    metadata: Mapping[str, Any],
    runs: Sequence[CorrectableSeries],
    what: str = 'diffusion',
) -> list[str]:
    """Refuse a field map that is for something else; say what was assumed."""
    identifiers = _words(metadata.get('B0FieldIdentifier'))
    sources = {w for r in runs for w in _words(r.metadata_of_image.get('B0FieldSource'))}
    own = {w for r in runs for w in _words(r.metadata_of_image.get('B0FieldIdentifier'))}
    if identifiers & (sources | own):
        return []
    targets = _words(metadata.get('IntendedFor'))
    if targets & {''} or not targets:
        targets = set()
    if any(_same_file(target, run.image) for target in targets for run in runs):
        return []
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
    if other := _claimed_by(path.parent.parent, identifiers):
        raise InputDataError(f'its B0FieldIdentifier {wanted} is the B0FieldSource of {other}')
    return [f'taken, although no image names its B0FieldIdentifier {wanted} as B0FieldSource']


def _words(value: Any) -> set[str]:
    """Take one word or a list of them."""
    values = value if isinstance(value, list) else [value]
    return {str(word) for word in values if word not in (None, '')}


def _same_file(target: str, image: Path) -> bool:
    """Tell whether a path or BIDS-URI means an image, whatever its ending and leading zeros."""
    return _plain(re.split(r'[/\\:]', target)[-1]) == _plain(image.name)


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
