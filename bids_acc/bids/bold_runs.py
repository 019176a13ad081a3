"""Raw BOLD runs of a session, and why an image is not used."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bids_acc.bids.fieldmaps import find_field_images, find_measured_field
from bids_acc.bids.images import (
    check_not_empty,
    image_part,
    number_kind,
    read_grid,
    said_twice,
    series_notes,
    twin_of,
)
from bids_acc.bids.index import ImageFile, ImageIndex
from bids_acc.bids.inputs import check_image
from bids_acc.bids.layout import metadata_of, nothing_there, query_images, without_twins
from bids_acc.bids.phase_encoding import direction_of
from bids_acc.bids.reasons import listed, none_left
from bids_acc.bids.selection import Selection
from bids_acc.bids.sidecars import entities_of, inherited_file, suffix_of
from bids_acc.exceptions import BidsAccError, InputDataError
from bids_acc.func.raw import (
    RawRun,
    check_echoes,
    check_length,
    check_repetition_time,
)
from bids_acc.func.slice_timing import slice_times

SAME_PLACE_MM = 0.1
"""Difference of two matrices up to which grids are the same, mm (own convention)."""
Refused = list[tuple[Path, BidsAccError]]
"""Images that are not used, each with the reason."""

PART = re.compile(r'[a-zA-Z0-9]+-[a-zA-Z0-9+]+')
"""A key and its label, as BIDS allows them."""
ECHO = ('echo', 'part', 'extension', 'suffix', 'datatype')
"""Entities that do not tell one run from another."""


def find_raw_runs(
    index: ImageIndex, subject: str, session: str | None, selection: Selection
) -> tuple[tuple[RawRun, ...], list[str], list[str]]:
    """Find the BOLD runs of a session that can be used, each by itself.

    Parameters
    ----------
    index : ImageIndex
    subject, session : str
        Labels without prefix.
    selection : Selection
        With filters (``bold``).

    Returns
    -------
    tuple of RawRun
        Sorted by name.
    left_out : list of str
        Images that are there and not used, each with the reason.
    notes : list of str
        For the plan.

    Raises
    ------
    NothingThereError
        If there is no BOLD image.
    MissingInputError, InputDataError
        If none can be used; with the reason for each.
    """
    files = query_images(index, subject, session, selection.filters, 'bold')
    if not files:
        raise nothing_there(subject, session, 'func', 'bold')
    files, twins = without_twins(files)
    groups, refused = _grouped(index, files)
    runs: list[RawRun] = []
    for group in groups:
        try:
            runs.append(_judge(group, index.root))
        except BidsAccError as error:
            refused.append((group[0][0], error))
    if not runs:
        raise none_left(refused, 'BOLD runs')
    left_out = [*listed(refused), *_companions(runs[0].image.parent), *twins]
    once, copies = _each_once(runs)
    left_out += copies
    found = []
    for run in once:
        with_field, unused = _with_field(run, index.root)
        found.append(with_field)
        left_out += [text for text in unused if text not in left_out]
    # what one run does not use, another may
    used = tuple(f'{path.name}: ' for run in found for path in run.files)
    left_out = [text for text in left_out if not text.startswith(used)]
    return tuple(found), left_out, _notes(found, left_out)


def _each_once(runs: Sequence[RawRun]) -> tuple[list[RawRun], list[str]]:
    """Leave out the copies of a task's runs, whose degrees of freedom would count twice.

    A copy under the name of another task stays, as either name may be wrong, and is told of.
    """
    found: list[RawRun] = []
    left_out: list[str] = []
    for run in sorted(runs, key=lambda run: run.name):
        twin = twin_of(run.image, (one.image for one in found))
        if twin is None:
            found.append(run)
        elif any(one.image == twin and one.task == run.task for one in found):
            left_out.append(f'{run.image.name}: {said_twice(run.image, twin)}')
        else:
            found.append(replace(run, notes=(*run.notes, said_twice(run.image, twin))))
    return found, left_out


Echo = tuple[Path, Mapping[str, str], Mapping[str, Any]]
"""An image, its entities and its metadata."""


def _grouped(index: ImageIndex, files: Sequence[ImageFile]) -> tuple[list[list[Echo]], Refused]:
    """Put the echoes of each run together; parts of complex images are left out."""
    groups: dict[tuple[str, ...], list[Echo]] = {}
    refused: Refused = []
    for file in files:
        path, entities = Path(file.path), file.get_entities()
        try:
            metadata = metadata_of(index, path)
            if part := image_part(entities, metadata):
                raise InputDataError(f'{path} is a {part} image; only magnitudes are used.')
        except BidsAccError as error:
            refused.append((path, error))
            continue
        # by the name and not by what PyBIDS reads of it: that is task-n of n-back and of n-stop
        same = tuple(part for part in path.name.partition('.')[0].split('_')
                     if not part.startswith(('echo-', 'part-')))  # fmt: skip
        groups.setdefault(same, []).append((path, entities, metadata))
    return _told_apart([groups[same] for same in sorted(groups)], refused), refused


def _told_apart(groups: Sequence[list[Echo]], refused: Refused) -> list[list[Echo]]:
    """Refuse a run that cannot be told from another by what is read of its name."""
    first: dict[tuple[tuple[str, str], ...], Path] = {}
    kept = []
    for group in groups:
        path, entities, _ = group[0]
        same = tuple(sorted((k, v) for k, v in entities.items() if k not in ECHO))
        other = first.setdefault(same, path)
        if other == path:
            kept.append(group)
            continue
        said = (
            f'{path}: of its name and that of {other.name} the same is read, as labels of BIDS '
            f'hold letters and digits only (here {_not_read(path) or _not_read(other)}); rename '
            'both.'
        )
        refused.append((path, InputDataError(said)))
    return kept


def _judge(group: Sequence[Echo], root: Path) -> RawRun:
    """Look into one run; the error says why it cannot be used."""
    shapes = [_shape_of_series(path) for path, _, _ in group]
    echoes = sorted(group, key=lambda echo: _echo_time(echo[2]))
    path, entities, metadata = echoes[0]
    if number_kind(path) == 'complex':
        raise InputDataError(f'{path} holds complex numbers; write their magnitude.')
    spacing = check_repetition_time(metadata, str(path))
    check_echoes(shapes, [m.get('EchoTime') for _, _, m in echoes], str(path))
    _check_alike(echoes)
    check_length(shapes[0][3], spacing, str(path))
    for one, _, _ in group:
        check_not_empty(one)
    label = entities_of(path).get('dir', '')
    direction, said = direction_of(metadata, label, read_grid(path)[1])
    notes = [*([f'{said}.'] if said else []), *series_notes(path, spacing)]
    if odd := _not_read(path):
        task = entities.get('task', '?')
        notes.append(
            f'its name holds {odd}, but labels of BIDS hold letters and digits only, so that its '
            f'task is read as {task}; rename it.'
        )
    plain = {k: v for k, v in metadata.items() if k != 'PhaseEncodingDirection'}
    kept = {**plain, 'PhaseEncodingDirection': direction} if direction else plain
    return RawRun(
        images=tuple(echo[0] for echo in echoes),
        metadata=(kept, *(m for _, _, m in echoes[1:])),
        entities={k: v for k, v in entities.items() if k not in ('echo', 'part', 'extension')},
        events=_events(path, root),
        notes=tuple(notes),
    )


def _shape_of_series(path: Path) -> tuple[int, ...]:
    """Return the shape of a series; one volume is none."""
    shape = check_image(path, (3, 4), minimum_size=2)
    if len(shape) != 4:
        raise InputDataError(
            f'{path} is one volume {shape}, not a series; convert it again, or name a single-band '
            'reference sbref.'
        )
    return shape


def _not_read(path: Path) -> str:
    """Return the parts of a name that are no key with a label of letters and digits."""
    parts = path.name.partition('.')[0].split('_')[:-1]
    return '_'.join(part for part in parts if not PART.fullmatch(part))


def _check_alike(echoes: Sequence[Echo]) -> None:
    """Refuse echoes that lie apart, or have other repetition times."""
    (first, _, metadata), *others = echoes
    for path, _, other in others:
        if not np.allclose(read_grid(first)[1], read_grid(path)[1], atol=SAME_PLACE_MM):
            raise InputDataError(
                f'{path} lies elsewhere than {first.name} by the matrices of their headers; '
                'echoes of one run share a grid: convert the series again.'
            )
        times = metadata.get('RepetitionTime'), other.get('RepetitionTime')
        if times[0] != times[1]:
            raise InputDataError(
                f'{path}: RepetitionTime is {times[1]!r}, and {times[0]!r} of {first.name}; '
                'echoes of one run share it: correct the sidecar.'
            )


def _echo_time(metadata: Mapping[str, object]) -> float:
    """Return the echo time for sorting; what is no number comes first, and is refused then."""
    value = metadata.get('EchoTime')
    return float(value) if isinstance(value, int | float) else 0.0


def _events(image: Path, root: Path) -> Path | None:
    """Find the table of events, which is shared by echoes and inherited."""
    stem = '_'.join(
        part for part in image.name.partition('.')[0].split('_')[:-1]
        if not part.startswith(('echo-', 'part-'))
    )  # fmt: skip
    return inherited_file(image.with_name(f'{stem}_events.tsv'), root, '.tsv')


def _companions(folder: Path) -> list[str]:
    """Name the images beside the series that are none."""
    others = [p for p in sorted(folder.glob('[!.]*.nii*')) if suffix_of(p) != 'bold']
    why = {'sbref': 'single-band reference; the mean of the series is aligned instead'}
    return [f'{p.name}: {why.get(suffix_of(p), f"{suffix_of(p)}, no BOLD series")}'
            for p in others]  # fmt: skip


def _with_field(run: RawRun, root: Path) -> tuple[RawRun, list[str]]:
    """Add what tells of distortion; an incomplete field map does not stop the run."""
    reversed_pe, alike, left_out, notes = find_field_images(root, run)
    field_map, others, said = find_measured_field(root, run, wanted=not reversed_pe)
    left_out, notes = [*left_out, *others], [*notes, *said]
    return replace(
        run,
        reversed_pe=tuple(reversed_pe),
        alike=alike,
        field_map=field_map,
        notes=(*run.notes, *(f'{text}.' for text in notes)),
    ), left_out


def _lacking(run: RawRun) -> str:
    """Name the echoes between the first and the last that are not there."""
    numbers = [entities_of(path).get('echo', '') for path in run.images]
    given = {int(n) for n in numbers if n.isdigit()}
    missing = sorted(set(range(1, max(given, default=0))) - given)
    return f' without echo {", ".join(map(str, missing))}, which is not there' if missing else ''


def _notes(runs: Sequence[RawRun], left_out: Sequence[str]) -> list[str]:
    """Say in the plan what is used, what steps cannot be done, and what is left out."""
    said = [f'{len(runs)} runs, each prepared by itself'] if len(runs) > 1 else []
    for run in runs:
        name = run.image.name
        if len(run.images) > 1:
            said.append(f'{name}: {len(run.images)} echoes, combined{_lacking(run)}')
        elif lacking := _lacking(run):
            said.append(f'{name}: one echo{lacking}')
        shape = read_grid(run.image)[0]
        if reason := slice_times(run.metadata[0], shape, run.repetition_time)[2]:
            said.append(f'{name}: slice timing is not corrected: {reason}')
        said += [f'{name}: {text.rstrip(".")}' for text in run.notes]
    if left_out:
        said.append(f'not used: {"; ".join(left_out)}')
    return said
