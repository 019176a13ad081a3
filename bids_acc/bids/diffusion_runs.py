"""Which diffusion series of a session are analysed: each is judged, and the judgement is said."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt

from bids_acc.bids.fieldmaps import find_measured_field, find_reversed
from bids_acc.bids.images import as_list, check_header, image_part, number_kind, read_grid
from bids_acc.bids.index import ImageFile, ImageIndex
from bids_acc.bids.inputs import DwiInputs, DwiRun, check_dwi_run, check_image
from bids_acc.bids.layout import (
    metadata_of,
    nothing_there,
    query_images,
    without_twins,
)
from bids_acc.bids.phase_encoding import direction_of, only_axis, opposite_label
from bids_acc.bids.reasons import listed, none_left
from bids_acc.bids.selection import Selection
from bids_acc.bids.sidecars import entities_of, inherited_file, suffix_of
from bids_acc.dwi.shells import B0_THRESHOLD, GradientReport, Scaling, check_gradients
from bids_acc.dwi.tensor import check_scheme
from bids_acc.dwi.volumes import MRTRIX, read_numbers
from bids_acc.exceptions import BidsAccError, InputDataError, MetadataError, MissingInputError
from bids_acc.images.distortion import (
    check_readout,
    estimated_readout,
    readout_time,
    unknown_readout,
)
from bids_acc.typing import FloatArray

Refused = list[tuple[Path, BidsAccError]]
"""Images that are not used, each with the reason."""

MAPS = ('trace', 'tracew', 'adc', 'eadc', 'exp', 'fa', 'colfa', 'tensor', 'dec', 'md')
"""Words of ``acq-``, ``rec-``, ``desc-`` and DICOM's ImageType for what scanners compute."""

MAX_WITHOUT_TABLE = 10
"""Images of more volumes without a gradient table are no handful of b = 0 images: their table is
lost."""

ECHO_TIME_S = 1e-3
"""Difference of echo times beyond which series are not joined: they have another b = 0 signal and
another weight of CSF. At a T2 of 80 ms a millisecond changes the signal by 1.3 %."""


SHAPES = re.compile(r'(ste|pte|spherical|planar)\d*')
"""Words of ``acq-``, ``rec-`` and ``desc-`` for b-tensors that are not linear."""

LINEAR, MANY = 0.02, 6
"""How far the anisotropy of a linear b-tensor may be from 1, and the number of weighted volumes
from which one direction for all is no part of a scheme (own conventions)."""


@dataclass(frozen=True)
class JudgedRun:
    """A series that can be used by itself."""

    run: DwiRun
    report: GradientReport
    shape: tuple[int, ...]
    affine: FloatArray
    notes: tuple[str, ...] = ()

    @property
    def multipart(self) -> str:
        """MultipartID: which acquisition the series is a part of."""
        return str(self.run.metadata.get('MultipartID') or '')

    @property
    def reconstruction(self) -> str:
        """Label of ``rec-``: which reconstruction of an acquisition it is."""
        return str(self.run.entities.get('reconstruction', ''))

    @property
    def echo_time(self) -> float:
        """EchoTime in s; NaN where no number is told."""
        told = self.run.metadata.get('EchoTime')
        return float(told) if isinstance(told, int | float) else float('nan')

    def shares_echo_time(self, other: JudgedRun) -> bool:
        """Tell whether two series have one b = 0 contrast: echo times within 1 ms.

        Parameters
        ----------
        other : JudgedRun
            Series that may be joined with this one.

        Returns
        -------
        bool
            Also True where either sidecar has no ``EchoTime``: a join is not refused for that.
        """
        # Not <=: an echo time that is not told is NaN, and does not keep series apart.
        return not abs(self.echo_time - other.echo_time) > ECHO_TIME_S

    def shares_grid(self, other: JudgedRun) -> bool:
        """Tell whether two series have the same matrix, voxel size and orientation.

        Parameters
        ----------
        other : JudgedRun
            Series that may be joined with this one without resampling.

        Returns
        -------
        bool
            Elements of the affines may differ by 0.01 mm, which rounding in headers makes.
        """
        return self.shape == other.shape and np.allclose(self.affine, other.affine, atol=1e-2)


def find_raw(
    index: ImageIndex, subject: str, session: str | None, selection: Selection
) -> tuple[DwiInputs, list[str]]:
    """Take the diffusion series of a session that can be analysed together.

    Parameters
    ----------
    index : ImageIndex
    subject, session : str
        Labels without prefix.
    selection : Selection
        With filters and the rules for gradient tables.

    Returns
    -------
    DwiInputs
    list of str
        Notes for the plan.

    Raises
    ------
    NothingThereError
        If there is no series.
    MissingInputError, InputDataError
        If none can be used; with the reason for each.
    """
    files = query_images(index, subject, session, selection.filters, 'dwi')
    if not files:
        raise nothing_there(subject, session, 'dwi', 'dwi')
    files, twins = without_twins(files)
    candidates, refused = _candidates(index, files)
    judged, more, without_table = _judge_each(candidates, index.root, selection)
    refused += more
    chosen, others = _together(judged, selection.dwi_b_max, refused)
    left = {path for path, _ in others}
    base = [one.run.image for one in judged if one.run.image in left and one.run.n_base]
    inputs = _with_companions(chosen, [*without_table, *base], [*refused, *others], index.root)
    inputs = replace(inputs, left_out=(*inputs.left_out, *twins))
    return inputs, _notes(chosen, inputs)


def _judge_each(
    candidates: Sequence[DwiRun], root: Path, selection: Selection
) -> tuple[list[JudgedRun], Refused, list[Path]]:
    """Look into each series; also what is refused, and what may be b = 0 without a table."""
    judged: list[JudgedRun] = []
    refused: Refused = []
    without_table: list[Path] = []
    for run in candidates:
        try:
            judged.append(_judge(run, root, selection))
        except _NoTableError as error:
            refused.append((run.image, error))
            without_table += [run.image] if _may_be_base(run) else []
        except BidsAccError as error:
            is_map = isinstance(error, InputDataError) and _is_map(run)
            why = InputDataError(f'a map of the scanner, no series ({error})') if is_map else error
            refused.append((run.image, why))
    return judged, refused, without_table


def _with_companions(
    chosen: Sequence[JudgedRun], base: Sequence[Path], refused: Refused, root: Path
) -> DwiInputs:
    """Add images of reversed phase encoding, and name what lies there and is not used."""
    runs = tuple(one.run for one in chosen)
    references, maps = _companions(runs[0].image.parent)
    found, unused, notes = find_reversed(root, runs, [*base, *references])
    taken = {path for path, _ in found}
    left_out = listed([entry for entry in refused if entry[0] not in taken]) + maps
    named = {text.partition(':')[0] for text in left_out}
    left_out += [text for text in unused if text.partition(':')[0] not in named]
    read = [f'{one.run.image.name}: {text}' for one in chosen for text in one.notes]
    read += [f'{path.name}: taken for distortion correction' for path, _ in found
             if suffix_of(path) != 'epi']  # fmt: skip
    inputs = DwiInputs(
        runs, common_entities(run.entities for run in runs), reversed_pe=tuple(found),
        notes=(*read, *notes), left_out=tuple(left_out), no_opposite=tuple(unused),
    )  # fmt: skip
    wanted = not inputs.has_reversed_pe
    field_map, others, said = find_measured_field(root, runs[0], 'diffusion', wanted=wanted)
    return replace(
        inputs, field_map=field_map, notes=(*inputs.notes, *said),
        left_out=(*inputs.left_out, *others), no_opposite=(*inputs.no_opposite, *others),
    )  # fmt: skip


def common_entities(entities: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Keep the entities on which all file names agree.

    Parameters
    ----------
    entities : iterable of mapping of str to str
        At least one file's, by PyBIDS' names.

    Returns
    -------
    dict of str to str
        What the joined series is named by; ``run`` and ``direction`` usually drop out.
    """
    first, *rest = entities
    return {k: v for k, v in first.items() if all(other.get(k) == v for other in rest)}


def _notes(chosen: Sequence[JudgedRun], inputs: DwiInputs) -> list[str]:
    """Say in the plan what is used, what had to be assumed and what is left out."""
    said = [f'{len(chosen)} series are analysed together'] if len(chosen) > 1 else []
    for one in chosen:  # the run itself says these again, in its findings
        irregular = [f.rstrip('.') for f in one.report.findings if not f.endswith('zeroed.')]
        said += [f'{one.run.image.name}: {text}' for text in irregular]
    said += inputs.notes
    if inputs.left_out:
        said.append(f'not used: {"; ".join(inputs.left_out)}')
    return said


class _NoTableError(MissingInputError):
    """An image has no gradient table."""


# --- candidates ------------------------------------------------------------------------------


def _candidates(index: ImageIndex, files: Sequence[ImageFile]) -> tuple[list[DwiRun], Refused]:
    """Put parts of complex images together; gradient tables are not looked at yet."""
    runs: list[DwiRun] = []
    refused: Refused = []
    parts: dict[tuple[tuple[str, str], ...], dict[str, DwiRun]] = {}
    for bids_file in files:
        path = Path(bids_file.path)
        entities = bids_file.get_entities()
        try:
            metadata = metadata_of(index, path)
        except BidsAccError as error:
            refused.append((path, error))
            continue
        run = DwiRun(path, path, path, entities, metadata)
        part = image_part(entities, metadata) or 'magnitude'
        same = tuple(sorted((k, v) for k, v in entities.items() if k not in ('part', 'extension')))
        slot = parts.setdefault(same, {})
        # two whole images with the same entities are two candidates, not two parts of one
        slot[part if part not in slot else str(path)] = run
    for slot in parts.values():
        kept, left = _whole(slot)
        runs += kept
        refused += left
    return runs, refused


def _whole(slot: Mapping[str, DwiRun]) -> tuple[list[DwiRun], Refused]:
    """Take the magnitude of an image that comes in parts; else real and imaginary part."""
    partial = ('phase', 'real part', 'imaginary part')
    whole = [run for part, run in slot.items() if part not in partial]
    refused: Refused = []
    if not whole and {'real part', 'imaginary part'} <= set(slot):
        real, imaginary = slot['real part'], slot['imaginary part']
        entities = {k: v for k, v in real.entities.items() if k != 'part'}
        return [replace(real, imaginary=imaginary.image, entities=entities)], [
            (run.image, InputDataError(f'{run.image} is a phase image.'))
            for part, run in slot.items() if part == 'phase'
        ]  # fmt: skip
    for part in partial:
        if part in slot:
            why = 'its magnitude is used' if whole else 'there is no magnitude image to it'
            path = slot[part].image
            refused.append((path, InputDataError(f'{path} is a {part} image; {why}.')))
    return whole, refused


def _companions(folder: Path) -> tuple[list[Path], list[str]]:
    """List single-band references, and name the maps that lie beside the series."""
    others = [p for p in sorted(folder.glob('[!.]*.nii*')) if suffix_of(p) != 'dwi']
    references = [p for p in others if suffix_of(p) == 'sbref' and not _is_phase(p)]
    maps = [f'{p.name}: {suffix_of(p)}, no series' for p in others if p not in references]
    return references, maps


def _is_phase(path: Path) -> bool:
    """Tell whether a name says that it is no magnitude image."""
    return entities_of(path).get('part', 'mag') != 'mag'


# --- one series ------------------------------------------------------------------------------


def _judge(run: DwiRun, root: Path, selection: Selection) -> JudgedRun:
    """Look into one series; the error says why it cannot be used."""
    shape = check_image(run.image, (3, 4), minimum_size=2)
    notes = []
    if run.imaginary is not None:
        if check_image(run.imaginary, (3, 4), minimum_size=2) != shape:
            raise InputDataError(f'{run.image} and {run.imaginary.name} have different shapes.')
        notes.append(f'magnitude of real part and imaginary part ({run.imaginary.name})')
    elif number_kind(run.image) == 'complex':
        notes.append('complex numbers, of which the magnitude is used')
    check_header(run.image)
    run = replace(run, bval=_table(run, root, '.bval'), bvec=_table(run, root, '.bvec'))
    table = check_dwi_run(run)
    affine = read_grid(run.image)[1]
    given = run.metadata.get('PhaseEncodingDirection')
    direction, said = direction_of(run.metadata, run.label, affine)
    # A word that means nothing is refused: left out, the usual direction would be assumed in its
    # place.
    if given and not direction:
        raise MetadataError(f'{run.image}: {said}.')
    odd = _along_slices(direction, run.metadata)
    axis = (
        ''
        if direction or not only_axis(run.metadata)
        else (f'no PhaseEncodingDirection{only_axis(run.metadata)}')
    )
    notes += [text for text in (said, odd, axis, unknown_readout(run.metadata),
                                estimated_readout(run.metadata)) if text]  # fmt: skip
    check_readout(readout_time(run.metadata, shape['ijk'.index((direction or 'j')[0])]),
                  str(run.image))  # fmt: skip
    check_encoding(run, table[0])
    report = check_gradients(
        *table,
        b0_threshold=selection.dwi_b0_threshold,
        scaling=cast('Scaling', selection.dwi_bvalue_scaling),
    )  # fmt: skip
    weighted = np.linalg.norm(report.bvecs, axis=1) > 0
    if not weighted.any() and (report.bvals > selection.dwi_b0_threshold).any():
        raise InputDataError(
            f'{run.image} is diffusion-weighted without directions, as a mean over directions '
            '(TRACE) is.'
        )
    if has_one_direction(report.bvecs[weighted & report.usable]):
        raise InputDataError(
            f'{run.image} has one direction for all of {int(weighted.sum())} weighted volumes, '
            'as spherical b-tensors (or averages) have; a tensor needs six, of linear b-tensors.'
        )
    run = replace(
        run,
        metadata={**run.metadata, **({'PhaseEncodingDirection': direction} if direction else {})},
        n_base=int((report.usable & ~weighted).sum()),
        n_weighted=int((report.usable & weighted).sum()),
    )
    return JudgedRun(run, report, shape[:3], affine, tuple(notes))


def check_encoding(run: DwiRun, bvals: npt.ArrayLike) -> None:
    """Refuse a series whose b-tensors are not linear.

    Parameters
    ----------
    run : DwiRun
        Series; a file ``.bdelta`` beside it, as md-dmri's tools and DIPY's examples have it, tells
        the anisotropy of each b-tensor: 1 linear, 0 spherical, -1/2 planar.
    bvals : (n_volumes,) array_like
        s/mm2.

    Raises
    ------
    InputDataError
        Also where ``acq-``, ``rec-`` or ``desc-`` names the shape.

    References
    ----------
    Westin C-F, et al. (2016). Q-space trajectory imaging for multidimensional diffusion MRI of the
    human brain. NeuroImage 135:345-362. https://doi.org/10.1016/j.neuroimage.2016.02.039
    """
    stem = run.image.name.partition('.')[0]
    beside = run.image.with_name(f'{stem}.bdelta')
    values = np.asarray(bvals, dtype=float)
    if beside.is_file():
        deltas = read_numbers(beside).ravel()
        if deltas.size == values.size:
            other = int(((np.abs(deltas - 1) > LINEAR) & (values > B0_THRESHOLD)).sum())
            if other:
                raise InputDataError(
                    f'{run.image}: {other} of its {int((values > B0_THRESHOLD).sum())} weighted '
                    f'volumes have b-tensors that are not linear ({beside.name}); keep those with '
                    '1 in a series of their own.'
                )
            return
    words = [entities_of(run.image).get(key, '').lower() for key in ('acq', 'rec', 'desc')]
    shape = next((m[1] for word in words if (m := SHAPES.fullmatch(word))), '')
    if shape:
        raise InputDataError(
            f'{run.image}: its name says that its b-tensors are not linear ({shape}); they give '
            'no diffusion tensor.'
        )


def has_one_direction(directions: npt.ArrayLike) -> bool:
    """Tell whether many weighted volumes share one direction, within some 2 degrees.

    Parameters
    ----------
    directions : (n, 3) array_like
        Of length one.

    Returns
    -------
    bool
        False of fewer than `MANY` volumes.
    """
    vectors = np.asarray(directions, dtype=float)
    return len(vectors) >= MANY and bool((np.abs(vectors @ vectors[0]) > 1 - 1e-3).all())


def _along_slices(direction: str, metadata: Mapping[str, object]) -> str:
    """Doubt a phase-encoding direction along the slices, where echo-planar images have none."""
    axis = str(metadata.get('SliceEncodingDirection') or 'k')[:1]
    if direction[:1] != axis:
        return ''
    return (
        f'PhaseEncodingDirection {direction} runs along the slices, which no 2-D echo-planar '
        'image does: look whether the sidecar is of an image with other axes'
    )


def _table(run: DwiRun, root: Path, extension: str) -> Path:
    """Find a gradient file by the inheritance principle."""
    images = [run.image, *([run.imaginary] if run.imaginary else [])]
    for image in images:
        if (found := inherited_file(image, root, extension)) is not None:
            return found
    own = run.image.with_name(run.image.name.partition('.')[0] + extension)
    alike = [own.with_name(own.stem + end) for end in _OTHER_ENDINGS[extension]]
    there = next((f' Rename {path.name} to {own.name}.' for path in alike if path.exists()), '')
    if (mrtrix := own.with_suffix(MRTRIX)).is_file():
        there = f' {mrtrix.name} is a table of MRtrix3: export it by mrconvert -export_grad_fsl.'
    raise _NoTableError(f'{own} is missing, and no inherited {extension} file fits.{there}')


_OTHER_ENDINGS = {
    '.bval': ('.bvals', '.bvalues', '.bval.txt', '_bval.txt', '.BVAL'),
    '.bvec': ('.bvecs', '.bvectors', '.bvec.txt', '_bvec.txt', '.BVEC'),
}
"""What gradient tables are called by other programs and hands."""


def _is_map(run: DwiRun) -> bool:
    """Tell whether name or sidecar say that the scanner computed the image from a series."""
    words = {str(word).lower() for word in as_list(run.metadata.get('ImageType'))}
    words |= {entities_of(run.image).get(key, '').lower() for key in ('acq', 'rec', 'desc')}
    return any(word in MAPS or word.endswith(('trace', 'tracew', 'adc')) for word in words)


def _may_be_base(run: DwiRun) -> bool:
    """Tell whether an image without a gradient table may be a b = 0 image."""
    if _is_map(run):
        return False
    shape = read_grid(run.image)[0]
    return len(shape) < 4 or shape[3] <= MAX_WITHOUT_TABLE


# --- several series --------------------------------------------------------------------------


def _together(
    judged: Sequence[JudgedRun], b_max: float, refused: Refused
) -> tuple[list[JudgedRun], Refused]:
    """Take the series that belong together and give a tensor; the others with the reason."""
    if not judged:
        raise none_left(refused, 'diffusion series')
    left: Refused = []
    chosen = list(judged)
    # One rule after the other, each on what the one before has left: a group is alike in all of
    # them.
    for belongs, reason in RULES:
        groups = _grouped(chosen, belongs)
        if len(groups) == 1:
            continue
        chosen = max(groups, key=lambda group: _worth(group, b_max))
        left += [
            (one.run.image, InputDataError(reason(one, chosen[0].run.image.name)))
            for group in groups if group is not chosen for one in group
        ]  # fmt: skip
    try:
        _check(chosen, b_max)
    except InputDataError as error:
        if not left and not refused:
            raise
        more = '; '.join(listed([*refused, *left]))
        raise InputDataError(f'{error} Not used besides: {more}.') from error
    return chosen, left


def _grouped(
    judged: Sequence[JudgedRun], belongs: Callable[[JudgedRun, JudgedRun], bool]
) -> list[list[JudgedRun]]:
    """Put together what belongs together."""
    groups: list[list[JudgedRun]] = []
    for one in judged:
        fitting = [group for group in groups if belongs(group[0], one)]
        if fitting:
            fitting[0].append(one)
        else:
            groups.append([one])
    return groups


def _contradicts(one: JudgedRun, other: JudgedRun) -> bool:
    """Tell whether labels say opposite ways and sidecars the same one.

    Joined, images of opposite distortion would be averaged.
    """
    opposite = opposite_label(one.run.label) == other.run.label.upper() != ''
    return opposite and one.run.direction == other.run.direction


def _is_derived(one: JudgedRun) -> bool:
    """Tell whether a name says that the series was computed from another."""
    return 'desc' in entities_of(one.run.image)


RULES: tuple[
    tuple[Callable[[JudgedRun, JudgedRun], bool], Callable[[JudgedRun, str], str]], ...
] = (
    (
        lambda one, other: _is_derived(one) == _is_derived(other),
        lambda one, best: f'computed from a series (desc-), as {best} is not'
        if _is_derived(one) else f'without the correction of {best}',
    ),
    (
        lambda one, other: one.multipart == other.multipart,
        lambda one, best: f'part of another acquisition (MultipartID {one.multipart!r}) than '
        f'{best}',
    ),
    (
        lambda one, other: one.reconstruction == other.reconstruction,
        lambda one, best: f'another reconstruction (rec-{one.reconstruction}) than {best}'
        if one.reconstruction else f'another reconstruction (no rec-) than {best}',
    ),
    (
        JudgedRun.shares_echo_time,
        lambda one, best: f'another echo time ({1e3 * one.echo_time:g} ms) than {best}',
    ),
    (
        lambda one, other: not _contradicts(one, other),
        lambda one, best: f'dir-{one.run.label} is the opposite way of {best}, and '
        'PhaseEncodingDirection is not: correct the sidecar of one',
    ),
    (
        JudgedRun.shares_grid,
        lambda one, best: f'another grid ({"x".join(map(str, one.shape))} voxels) than {best}',
    ),
)  # fmt: skip
"""What must be the same in series that are analysed together, and how to say that it is not."""


def _worth(group: Sequence[JudgedRun], b_max: float) -> tuple[bool, bool, int, bool]:
    """Rank groups of series: a tensor to be had, raw, more volumes, no ``rec-``."""
    try:
        _check(group, b_max)
        gives_tensor = True
    except InputDataError:
        gives_tensor = False
    n_weighted = sum(one.run.n_weighted for one in group)
    return gives_tensor, not _is_derived(group[0]), n_weighted, not group[0].reconstruction


def _check(group: Sequence[JudgedRun], b_max: float) -> None:
    """Refuse series from which no tensor can be had together."""
    usable = [one.report.usable for one in group]
    check_scheme(
        ', '.join(str(one.run.image.name) for one in group),
        np.concatenate([one.report.bvals[u] for one, u in zip(group, usable, strict=True)]),
        np.concatenate([one.report.bvecs[u] for one, u in zip(group, usable, strict=True)]),
        b_max,
        [text for one in group for text in one.report.findings],
    )
