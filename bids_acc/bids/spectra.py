"""Spectra of a session, each with its water reference and the T1w image that it names."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nb

from bids_acc.bids.index import ImageFile, ImageIndex
from bids_acc.bids.inputs import MrsInputs, check_image
from bids_acc.bids.layout import (
    NothingThereError,
    metadata_of,
    nothing_there,
    query_images,
    without_twins,
)
from bids_acc.bids.references import Candidate, choose_reference
from bids_acc.bids.selection import Filters
from bids_acc.bids.sidecars import inherited_file, read_json
from bids_acc.bids.uris import is_there, resolve_uri
from bids_acc.exceptions import BidsAccError, ExitCode
from bids_acc.files.metadata import PROTON

NIFTI_MRS_CODE = 44
"""Header extension of NIfTI-MRS."""

SHOWN = 3
"""File names that a sentence lists."""

_BESIDE = re.compile(r'^\.|\.(json|tsv)$|_(mrsref|ref)\.nii')
# what lies beside spectra and is none


class PartlyBrokenError(Exception):
    """Some spectra can be used and others cannot."""

    def __init__(self, inputs: tuple[MrsInputs, ...], reason: str, exit_code: ExitCode) -> None:
        super().__init__(reason)
        self.inputs, self.reason, self.exit_code = inputs, reason, exit_code


def find_spectra(
    index: ImageIndex, subject: str, session: str | None, filters: Filters
) -> tuple[tuple[MrsInputs, ...], list[str]]:
    """Find all proton spectra of a session, each with its water reference.

    Parameters
    ----------
    index : ImageIndex
        Of the data set.
    subject, session : str
        Labels without prefix; None where the data set has no sessions.
    filters : mapping
        From `read_filters`; the queries ``svs`` and ``mrsref`` apply.

    Returns
    -------
    spectra : tuple of MrsInputs
        In the order of their names, with the T1w image that a sidecar names.
    notes : list of str
        For the plan: which files were left out and why, and references that no spectrum took.

    Raises
    ------
    NothingThereError
        If the session has no ``*_svs.nii.gz``.
    PartlyBrokenError
        If some cannot be used; it holds those that can, and the worst exit code.
    """
    files, notes = without_twins(query_images(index, subject, session, filters, 'svs'))
    candidates = _references(index, subject, session, filters)
    problems, spectra = [], []
    passed_over: dict[Path, str] = {}
    worst = ExitCode.OK
    left_out = _left_out(files)
    for bids_file in files:
        path = Path(bids_file.path)
        entities = bids_file.get_entities()
        if path in left_out:
            notes.append(f'{path.name}: {left_out[path]}')
            continue
        try:
            spectrum, reasons = _one_spectrum(index, bids_file, entities, candidates)
        except BidsAccError as error:
            problems.append(str(error))
            worst = max(worst, error.exit_code)
            problem = str(error).replace(f'{index.root}/', '')
            spectra.append(MrsInputs(path, entities, {}, problem=problem))
        else:
            spectra.append(spectrum)
            notes += spectrum.notes
            passed_over = {**reasons, **passed_over}
    if not spectra:
        raise _no_spectrum(Path(index.root), subject, session)
    notes += _not_taken(passed_over, spectra)
    if problems:
        raise PartlyBrokenError(tuple(spectra), '; '.join(problems + notes), worst)
    return tuple(spectra), notes


def _no_spectrum(root: Path, subject: str, session: str | None) -> NothingThereError:
    """Say that there is no spectrum, and what lies there instead."""
    error = nothing_there(subject, session, 'mrs', 'svs')
    folder = root / f'sub-{subject}' / (f'ses-{session}' if session else '') / 'mrs'
    try:
        found = sorted(p.name for p in folder.iterdir() if not _BESIDE.search(p.name))
    except OSError:  # none, or closed, which is said elsewhere
        found = []
    if not found:
        return error
    more = f' and {len(found) - SHOWN} more' if len(found) > SHOWN else ''
    listed = ', '.join(found[:SHOWN]) + more
    images = all('_mrsi.' in name for name in found)
    remedy = 'convert files of scanners with spec2nii (bids_acc-check FILE says how) and name '
    remedy += 'spectra of one voxel *_svs.nii.gz'
    if images:
        remedy = 'spectroscopic images are not fitted'
    return NothingThereError(f'{error}; {listed} lies there: {remedy}')


def _left_out(files: Sequence[ImageFile]) -> dict[Path, str]:
    """Say which spectra are none that are fitted, and why.

    Those of another nucleus are passed over beside a proton spectrum. Where there is no other,
    they are kept: what is refused later has tables with the reason, and is counted.
    """
    nulled, others, proton = {}, {}, False
    for bids_file in files:
        path, entities = Path(bids_file.path), bids_file.get_entities()
        if 'inversion' in entities or '_inv-' in path.name:
            nulled[path] = 'metabolite-nulled, not fitted; --mrs-macromolecules takes it'
        elif (nucleus := _nucleus(path, entities)) in PROTON:
            proton = True
        else:
            others[path] = f'{nucleus}; only proton spectra are fitted'
    return nulled | (others if proton else {})


def _nucleus(path: Path, entities: Mapping[str, str]) -> str:
    """Nucleus by entity, sidecar or header; 1H where none tells or the file cannot be read."""
    told: Any = entities.get('nucleus') or entities.get('nuc')
    sidecar = path.with_name(path.name.split('.nii')[0] + '.json')
    try:
        told = told or read_json(sidecar).get('ResonantNucleus')
    except BidsAccError:
        told = told or None  # what is wrong with it is said where its metadata are read
    if not told:
        told = _header_field(path, 'ResonantNucleus')
    if isinstance(told, list | tuple):
        told = told[0] if told else None
    return str(told).strip().upper() if told else '1H'


def _header_field(path: Path, name: str) -> object:
    """Field of the NIfTI-MRS header extension; None without, or when it cannot be read."""
    try:
        image: Any = nb.load(path)
        for extension in image.header.extensions:
            if extension.get_code() == NIFTI_MRS_CODE:
                return json.loads(bytes(extension.get_content()).rstrip(b'\x00')).get(name)
    except Exception:  # noqa: BLE001 (a file that cannot be read is refused later, with words)
        return None
    return None


def _references(
    index: ImageIndex, subject: str, session: str | None, filters: Filters
) -> list[Candidate]:
    """All water references of the session, with what can be read of their metadata."""
    found = []
    files, _ = without_twins(query_images(index, subject, session, filters, 'mrsref'))
    for bids_file in files:
        try:
            metadata = metadata_of(index, bids_file.path)
        except BidsAccError:  # said when it is taken
            metadata = {}
        found.append(Candidate(Path(bids_file.path), bids_file.get_entities(), metadata))
    return found


def _not_taken(reasons: Mapping[Path, str], spectra: Sequence[MrsInputs]) -> list[str]:
    """Name the references that no spectrum takes, with the reason."""
    taken = {spectrum.reference for spectrum in spectra}
    return [
        f'{path.name} is there and not taken: {reason}'
        for path, reason in sorted(reasons.items())
        if path not in taken
    ]


def _one_spectrum(
    index: ImageIndex,
    bids_file: ImageFile,
    entities: Mapping[str, str],
    candidates: Sequence[Candidate],
) -> tuple[MrsInputs, Mapping[Path, str]]:
    """Check one spectrum and find its water reference, and why the others are not it."""
    path = Path(bids_file.path)
    check_image(path, (4, 5, 6, 7))
    metadata = metadata_of(index, bids_file.path)
    reference, reasons, notes = _find_reference(index, path, entities, metadata, candidates)
    reference_metadata: dict[str, Any] = {}
    if reference is not None:
        try:
            check_image(reference, (4, 5, 6, 7))
            reference_metadata = metadata_of(index, str(reference))
        except BidsAccError as error:
            notes.append(f'water reference not usable ({error}); no water-scaled values')
            reference = None
    else:
        notes.append(
            f'{path.name}: no water reference{_named(reasons)}; no water-scaled '
            'values, unless the series holds shots of water'
        )
    anatomical, missing = find_anatomical(index, path, metadata)
    notes += missing
    spectrum = MrsInputs(
        svs=path,
        entities=entities,
        metadata=metadata,
        reference=reference,
        reference_metadata=reference_metadata,
        anatomical=anatomical,
        events=_events(path, Path(index.root)),
        notes=tuple(notes),
    )
    return spectrum, reasons if reference is not None else {}


def _events(svs: Path, root: Path) -> Path | None:
    """Find the table of events of a series, which is inherited as BIDS says."""
    stem = svs.name.partition('.')[0].rpartition('_')[0]
    return inherited_file(svs.with_name(f'{stem}_events.tsv'), root, '.tsv')


def _named(reasons: Mapping[Path, str]) -> str:
    """List the references that were not taken, and how to say which one belongs."""
    if not reasons:
        return ''
    listed = '; '.join(f'{path.name}: {reason}' for path, reason in sorted(reasons.items()))
    return f' chosen ({listed}): name one in ReferenceSignal of the sidecar'


def _find_reference(
    index: ImageIndex,
    svs: Path,
    entities: Mapping[str, str],
    metadata: Mapping[str, object],
    candidates: Sequence[Candidate],
) -> tuple[Path | None, Mapping[Path, str], list[str]]:
    """Find the water reference: as the sidecar names it, else by its entities, else ``_ref``."""
    named, notes = named_references(index.root, svs, metadata, candidates)
    if len(named) == 1:
        path = named[0].path
        return path, {}, [*notes, *([_legacy_note(path)] if '_ref.nii' in path.name else [])]
    choice = choose_reference(named or candidates, entities, metadata)
    notes += [choice.note] if choice.note else []
    if choice.path is not None:
        return choice.path, choice.reasons, notes
    legacy = svs.with_name(re.sub(r'_svs(?=\.nii)', '_ref', svs.name))
    if is_there(legacy):
        return legacy, choice.reasons, [*notes, _legacy_note(legacy)]
    return None, choice.reasons, notes


def named_references(
    root: Path, svs: Path, metadata: Mapping[str, object], candidates: Sequence[Candidate]
) -> tuple[list[Candidate], list[str]]:
    """List the references that ``ReferenceSignal`` names, with a note for each missing one.

    Parameters
    ----------
    root : Path
        Of the data set.
    svs : Path
        Spectrum.
    metadata : mapping
        Its BIDS metadata.
    candidates : sequence of Candidate
        References of the session.
    """
    value = metadata.get('ReferenceSignal') or []
    uris = [str(one) for one in value] if isinstance(value, list) else [str(value)]
    known = {candidate.path.absolute(): candidate for candidate in candidates}
    found, notes = [], []
    for uri in uris:
        path = resolve_uri(uri, root, svs.parent)
        if path is None or not is_there(path):
            notes.append(f'{svs.name}: ReferenceSignal {uri!r} does not exist')
        elif path.absolute() == svs.absolute():
            notes.append(f'{svs.name}: ReferenceSignal names the spectrum itself: not used')
        else:
            found.append(known.get(path.absolute(), Candidate(path, {})))
    return found, notes


def _legacy_note(path: Path) -> str:
    """Warn of a name from before BIDS 1.10."""
    return (
        f'{path.name}: legacy suffix _ref is taken as the water reference; BIDS calls it _mrsref '
        'since 1.10'
    )


def find_anatomical(
    index: ImageIndex, svs: Path, metadata: Mapping[str, object]
) -> tuple[Path | None, list[str]]:
    """Return the T1w image that ``AnatomicalImage`` of a spectrum names, if it is there.

    Parameters
    ----------
    index : ImageIndex
        Of the data set, below whose root BIDS URIs and relative paths are looked up.
    svs : Path
        The spectrum.
    metadata : mapping
        Its sidecar. Of a list in ``AnatomicalImage`` the first is taken.

    Returns
    -------
    path : Path or None
        None where nothing is named or the file does not exist.
    notes : list of str
        What is to be said of it: that it is missing, or was chosen from several.
    """
    named = metadata.get('AnatomicalImage')
    more = list(named[1:]) if isinstance(named, list) else []
    uri = named[0] if isinstance(named, list) and named else named
    if not isinstance(uri, str) or not uri:
        return None, []
    path = resolve_uri(uri, index.root, svs.parent)
    if path is not None and is_there(path):
        others = ', '.join(map(str, more))
        note = f'{svs.name}: AnatomicalImage names several; {path.name} is used, not {others}'
        return path, [note] if more else []
    return None, [f'{svs.name}: AnatomicalImage {uri!r} does not exist']


def named_by_spectra(
    index: ImageIndex, subject: str, session: str | None, filters: Filters
) -> set[Path]:
    """List the T1w images that the sidecars of a session's spectra name.

    Parameters
    ----------
    index : ImageIndex
        Of the data set.
    subject, session : str
        Labels without prefix; None where the data set has no sessions.
    filters : mapping
        From `read_filters`; the query ``svs`` applies.

    Returns
    -------
    set of Path
        Absolute. One that a spectrum names is preferred to others of its session.
    """
    spectra = (Path(f.path) for f in query_images(index, subject, session, filters, 'svs'))
    found = set()
    for path in spectra:
        try:
            named, _ = find_anatomical(index, path, metadata_of(index, str(path)))
        except BidsAccError:  # said where the spectrum itself is looked at
            continue
        if named is not None:
            found.add(named.absolute())
    return found
