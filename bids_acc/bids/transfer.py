"""Magnetization transfer images of a session: pairs with and without saturation, or ready maps.

Names are those of BIDS: ``mt-on`` and ``mt-off`` with the suffix ``MTR``, or ``MTS`` (of which two
images have the same flip angle); ``MTRmap`` for a map, of the scanner or of another tool.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bids_acc.bids.images import image_part, number_kind, read_grid
from bids_acc.bids.index import ImageFile, ImageIndex
from bids_acc.bids.inputs import MtrInputs, check_image, open_image
from bids_acc.bids.layout import metadata_of, nothing_there, query_images, without_twins
from bids_acc.bids.reasons import listed, none_left
from bids_acc.bids.selection import Selection
from bids_acc.bids.sidecars import entities_of, inherited_metadata, long_names
from bids_acc.bids.tools import generated_by
from bids_acc.exceptions import BidsAccError, InputDataError, MissingInputError
from bids_acc.images.masks import otsu_threshold
from bids_acc.mtr.ratio import percent_factor, transfer_ratio
from bids_acc.typing import FloatArray

STATES: Mapping[str, str] = {'on': 'on', 'true': 'on', 'off': 'off', 'false': 'off'}
"""Words of ``mt-`` and of the sidecar's ``MTState``, in small letters."""
SAME_FIELDS = ('RepetitionTime', 'RepetitionTimeExcitation', 'EchoTime', 'FlipAngle',
               'ReceiveCoilName', 'MagneticFieldStrength')  # fmt: skip
"""What two images must share for their ratio to tell of saturation alone."""
SCALES = ('PhilipsScaleSlope', 'PhilipsRescaleSlope')
"""Fields of dcm2niix that tell that two images may have been scaled apart."""
NOT_OF_PAIR = ('mt', 'part', 'extension', 'suffix', 'datatype')
"""Entities that do not tell one pair from another."""
SAID_BY_LABEL = re.compile(r'(?:mt)?(on|off)|(nomt)|(mt)', re.IGNORECASE)
"""Labels of ``acq-`` that say whether there was saturation, where neither ``mt-`` nor ``MTState``
does."""
LEAST_EDGE = 8
"""Voxels along each axis below which an image is none."""


@dataclass(frozen=True)
class _Image:
    """An image of a pair."""

    path: Path
    entities: Mapping[str, str]
    metadata: Mapping[str, Any]
    state: str
    """``on`` or ``off``."""


Refused = list[tuple[Path, BidsAccError]]


def find_mtr(
    index: ImageIndex, subject: str, session: str | None, selection: Selection
) -> tuple[MtrInputs, list[str]]:
    """Find the map or the pair of images that give the magnetization transfer ratio.

    Parameters
    ----------
    index : ImageIndex
    subject, session : str
        Labels without prefix.
    selection : Selection
        With filters (``mtr``), ``mtr_source`` and derivatives.

    Returns
    -------
    inputs : MtrInputs
    notes : list of str
        For the plan.

    Raises
    ------
    NothingThereError
        If there is none.
    MissingInputError, InputDataError
        If none can be used; with the reason for each.
    """
    files = query_images(index, subject, session, selection.filters, 'mtr')
    files, twins = without_twins(files)
    wanted, refused, found = selection.mtr_source, list[Any](), list[MtrInputs]()
    if wanted != 'map':
        found += _pairs(index, [f for f in files if _suffix(f) != 'MTRmap'], refused)
    if wanted != 'pair':
        found += _maps(index, [f for f in files if _suffix(f) == 'MTRmap'], refused)
        found += _derived(selection.derivatives, subject, session, refused)
    if not found:
        if refused:
            raise none_left(refused, 'magnetization transfer images')
        if wanted != 'auto' and files:
            what = 'no MTRmap' if wanted == 'map' else 'no pair of mt-on and mt-off'
            raise MissingInputError(f'--mtr-source {wanted}: {what} of sub-{subject}.')
        raise nothing_there(subject, session, 'anat', 'MTRmap, *_mt-on_MTR or *_mt-on_MTS')
    first, *others = found
    left = [*(f'{o.images[0].name}: {_beaten(o, first)}' for o in others), *listed(refused),
            *twins]  # fmt: skip
    names = ' and '.join(path.name for path in first.images)
    by = f', made by {first.source}' if first.source else ''
    notes = [f'MTR of {names}{by}', *first.notes]
    if left:
        notes.append(f'not used: {"; ".join(left)}')
    return replace(first, left_out=tuple(left)), notes


def _suffix(file: ImageFile) -> str:
    """Return the suffix of an image."""
    return file.get_entities().get('suffix', '')


def _beaten(other: MtrInputs, first: MtrInputs) -> str:
    """Say why another pair or map was taken."""
    if other.is_map and not first.is_map:
        return 'a ready map, and the ratio is made from the pair (--mtr-source map takes it)'
    return f'{first.images[0].name} comes first (choose with --bids-filter-file)'


def _pairs(index: ImageIndex, files: Sequence[ImageFile], refused: Refused) -> list[MtrInputs]:
    """Return the pairs that can be used; what cannot is added to ``refused``."""
    groups: dict[tuple[Any, ...], list[_Image]] = {}
    for file in files:
        try:
            image = _image(index, file)
        except BidsAccError as error:
            refused.append((Path(file.path), error))
            continue
        groups.setdefault(_group(image), []).append(image)
    pairs: list[MtrInputs] = []
    alone: Refused = []
    single: list[_Image] = []
    for _, group in sorted(groups.items(), key=lambda item: str(item[1][0].path)):
        try:
            pairs.append(_pair(group))
        except MissingInputError as error:
            alone.append((group[0].path, error))
            single += group
        except BidsAccError as error:
            refused.append((group[0].path, error))
    if not pairs and (group := _only_pair(single)):
        try:
            pairs.append(_pair(group, differ=True))
        except BidsAccError as error:
            alone = [(group[0].path, error), *alone]
        else:
            alone = [entry for entry in alone if entry[0] not in {i.path for i in group}]
    # of an MTS collection the third image, of another flip angle, stands alone as it should
    refused += [(path, error) for path, error in alone
                if not (pairs and '_MTS' in path.name)]  # fmt: skip
    return pairs


def _only_pair(single: Sequence[_Image]) -> list[_Image]:
    """Return the pair that images without a partner of the same name can only make.

    One image of either state there must be once; of the other the first is taken. Another label of
    ``flip-`` is another contrast.
    """
    by_state = {state: [i for i in single if i.state == state] for state in ('on', 'off')}
    on, off = by_state['on'], by_state['off']
    kinds = {(i.entities.get('suffix'), i.entities.get('flip')) for i in single}
    if not on or not off or min(len(on), len(off)) > 1 or len(kinds) > 1:
        return []
    return [on[0], off[0]]


def _image(index: ImageIndex, file: ImageFile) -> _Image:
    """Look into one image, and tell whether it was taken with saturation."""
    path, entities = Path(file.path), file.get_entities()
    metadata = metadata_of(index, path)
    if part := image_part(entities, metadata):
        raise InputDataError(f'{path} is a {part} image; a magnitude image is needed.')
    if len(read_grid(path)[0]) == 4:
        raise InputDataError(
            f'{path} has 4 dimensions; write the images with and without saturation to a file '
            'each (mt-on, mt-off).'
        )
    check_image(path, (3,), minimum_size=LEAST_EDGE)
    if number_kind(path) == 'complex':
        raise InputDataError(f'{path} holds complex numbers; write their magnitude.')
    named = STATES.get(entities.get('mt', '').lower())
    told = STATES.get(str(metadata.get('MTState', '')).lower())
    if named and told and named != told:
        raise InputDataError(
            f'{path}: its name says mt-{named}, its sidecar MTState '
            f'{str(told == "on").lower()}; correct one of them.'
        )
    state = named or told or _state_of_label(entities.get('acquisition', ''))
    if not state:
        raise InputDataError(
            f'{path}: neither mt-on or mt-off in its name nor MTState (true or false) in its '
            'sidecar tells whether there was saturation.'
        )
    return _Image(path, entities, metadata, state)


def _state_of_label(label: str) -> str:
    """Return the state that a label of ``acq-`` tells, or nothing.

    Examples
    --------
    >>> _state_of_label('MTon'), _state_of_label('off'), _state_of_label('nomt')
    ('on', 'off', 'off')
    >>> _state_of_label('MT'), _state_of_label('boston')
    ('on', '')
    """
    found = SAID_BY_LABEL.fullmatch(label)
    if found is None:
        return ''
    return (found[1] or ('off' if found[2] else 'on')).lower()


def _group(image: _Image) -> tuple[object, ...]:
    """Return what the two images of a pair share; of an MTS collection the flip angle counts."""
    told = image.metadata.get('FlipAngle')
    by_angle = image.entities.get('suffix') == 'MTS' and isinstance(told, int | float)
    angle = f'{told:.1f}' if by_angle else ''
    left_out = (*NOT_OF_PAIR, 'flip') if angle else NOT_OF_PAIR
    same = tuple(sorted((k, v) for k, v in image.entities.items() if k not in left_out))
    return (image.entities.get('suffix'), angle, same)


def _pair(group: Sequence[_Image], *, differ: bool = False) -> MtrInputs:
    """Check the images of a group: one of each state, alike, and with an effect of saturation.

    With ``differ``, their names do not say that they belong together.
    """
    by_state = {state: [i for i in group if i.state == state] for state in ('on', 'off')}
    for state, other in (('on', 'off'), ('off', 'on')):
        if not by_state[state]:
            path = by_state[other][0].path
            raise MissingInputError(
                f'{path}: its image with mt-{state} is not there; the ratio needs both, of the '
                'same run and flip angle.'
            )
        if len(by_state[state]) > 1:
            names = ' and '.join(i.path.name for i in by_state[state])
            raise InputDataError(
                f'{by_state[state][0].path}: {names} are both mt-{state} of one run; choose with '
                '--bids-filter-file.'
            )
    on, off = by_state['on'][0], by_state['off'][0]
    _check_alike(on, off)
    notes = _check_effect(on, off)
    entities = {k: v for k, v in on.entities.items()
                if k not in (*NOT_OF_PAIR, 'flip') and off.entities.get(k) == v}  # fmt: skip
    if differ:
        apart = [k for k in sorted({*on.entities, *off.entities} - {*NOT_OF_PAIR})
                 if on.entities.get(k) != off.entities.get(k)]  # fmt: skip
        notes.append(f'the two names differ in {" and ".join(apart)}: see that they are a pair')
    return MtrInputs((on.path, off.path), entities, on.metadata, notes=tuple(notes))


def _check_alike(on: _Image, off: _Image) -> None:
    """Refuse two images that differ by more than saturation."""
    for name in SAME_FIELDS:
        first, second = on.metadata.get(name), off.metadata.get(name)
        if first is not None and second is not None and not _equal(first, second):
            raise InputDataError(
                f'{on.path}: {name} is {first} with and {second} without saturation '
                f'({off.path.name}); their ratio would not tell of saturation alone.'
            )
    sizes = [np.linalg.norm(read_grid(i.path)[1][:3, :3], axis=0) for i in (on, off)]
    # Sorted, as the axes of one image may be stored in another order than those of the other.
    if not np.allclose(np.sort(sizes[0]), np.sort(sizes[1]), rtol=0.01):
        shown = [' x '.join(f'{edge:.3g}' for edge in size) for size in sizes]
        raise InputDataError(
            f'{on.path} has voxels of {shown[0]} mm, {off.path.name} of {shown[1]} mm; the ratio '
            'needs two images of the same resolution.'
        )


def _equal(first: object, second: object) -> bool:
    """Compare two values of sidecars; numbers within a part in a thousand."""
    if isinstance(first, int | float) and isinstance(second, int | float):
        return math.isclose(first, second, rel_tol=1e-3)
    return bool(first == second)


def _check_effect(on: _Image, off: _Image) -> list[str]:
    """Refuse two images that are the same or exchanged; say what may have scaled them apart."""
    first, second = (np.asarray(open_image(i.path).dataobj, dtype=float).squeeze()
                     for i in (on, off))  # fmt: skip
    same_grid = np.allclose(read_grid(on.path)[1], read_grid(off.path)[1], atol=0.01)
    notes = []
    if first.shape == second.shape and np.array_equal(first, second, equal_nan=True):
        raise InputDataError(
            f'{on.path} and {off.path.name} hold the same values; convert them again.'
        )
    if first.shape != second.shape or not same_grid:
        notes.append('the two images lie on different grids')
    # By the middle of what is bright, for which the images need not lie on one grid.
    ratio = float(transfer_ratio(_bright_level(first, on.path), _bright_level(second, off.path)))
    if ratio < 0:
        raise InputDataError(
            f'{on.path} is brighter than {off.path.name} (ratio {ratio:.0f} %): the two are '
            'exchanged, or were scaled differently when they were converted.'
        )
    scales = [[i.metadata.get(name) for name in SCALES] for i in (on, off)]
    if scales[0] != scales[1]:
        notes.append('the scanner scaled the two images differently; see that the conversion '
                     'undid it (dcm2niix -p y)')  # fmt: skip
    return notes


def _bright_level(values: FloatArray, path: Path) -> float:
    """Return the median of what is brighter than the background."""
    known = values[np.isfinite(values)]
    if not known.size or known.max() <= 0 or known.max() == known.min():
        raise InputDataError(f'{path} holds no signal; copy or convert it again.')
    bright = known[known > otsu_threshold(known)]
    return float(np.median(bright)) if bright.size else float(known.max())


def _maps(index: ImageIndex, files: Sequence[ImageFile], refused: Refused) -> list[MtrInputs]:
    """Return the ready maps of the raw data set that can be used."""
    found = []
    for file in files:
        path = Path(file.path)
        try:
            found.append(_map(path, file.get_entities(), metadata_of(index, path)))
        except BidsAccError as error:
            refused.append((path, error))
    return found


def _map(
    path: Path, entities: Mapping[str, str], metadata: Mapping[str, object], source: str = ''
) -> MtrInputs:
    """Check a ready map, and tell its unit."""
    check_image(path, (3,), minimum_size=LEAST_EDGE)
    values = np.asarray(open_image(path).dataobj).squeeze()
    if values.dtype.kind == 'c':
        raise InputDataError(f'{path} holds complex numbers, which are no ratio.')
    try:
        factor = percent_factor(values, str(metadata.get('Units') or ''))
    except ValueError as error:
        raise InputDataError(f'{path} {error}.') from error
    kept = {k: v for k, v in entities.items() if k not in NOT_OF_PAIR}
    notes = ('fractions, taken times 100',) if factor != 1 else ()
    return MtrInputs((path,), kept, metadata, factor, source, notes)


def _derived(
    derivatives: Mapping[str, Path], subject: str, session: str | None, refused: Refused
) -> list[MtrInputs]:
    """Return the maps that other tools made."""
    found = []
    for name, root in derivatives.items():
        folder = root / f'sub-{subject}' / (f'ses-{session}' if session else '') / 'anat'
        made = generated_by(folder.parents)
        source = ' '.join(filter(None, made[0])) if made else name
        if source.startswith('bids_acc'):
            continue
        for path in sorted(folder.glob('[!.]*_MTRmap.nii*')):
            short = entities_of(path)
            try:
                if short.get('space', 'orig') not in ('orig', 'T1w', 'scanner', 'individual'):
                    raise InputDataError(
                        f'{path} lies in {short["space"]}; the map is needed in the space of the '
                        'person.'
                    )
                own = long_names(short, ('sub', 'ses', 'acq', 'rec', 'run'))
                found.append(_map(path, own, inherited_metadata(path, root), source))
            except BidsAccError as error:
                refused.append((path, error))
    return found
