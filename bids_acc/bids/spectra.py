"""Spectra of a session, each with its water reference and the T1w image that it names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bids_acc.bids.index import ImageFile, ImageIndex
from bids_acc.bids.inputs import MrsInputs, check_image
from bids_acc.bids.layout import metadata_of, nothing_there, query_images
from bids_acc.bids.uris import is_there, resolve_uri
from bids_acc.exceptions import BidsAccError, ExitCode


class PartlyBrokenError(Exception):
    """Some spectra can be used and others cannot."""

    def __init__(self, inputs: tuple[MrsInputs, ...], reason: str, exit_code: ExitCode) -> None:
        super().__init__(reason)
        self.inputs, self.reason, self.exit_code = inputs, reason, exit_code


def find_spectra(
    index: ImageIndex, subject: str, session: str | None, filters: Mapping[str, Any]
) -> tuple[tuple[MrsInputs, ...], list[str]]:
    """Take all spectra of the session, each with its water reference."""
    files = query_images(index, subject, session, filters, 'svs')
    notes, problems, spectra = [], [], []
    worst = ExitCode.OK
    for bids_file in files:
        path = Path(bids_file.path)
        if 'inversion' in (entities := bids_file.get_entities()) or '_inv-' in path.name:
            notes.append(f'{path.name}: metabolite-nulled, not fitted')
            continue
        try:
            spectrum = _one_spectrum(index, bids_file, entities, session, filters)
        except BidsAccError as error:
            problems.append(str(error))
            worst = max(worst, error.exit_code)
            problem = str(error).replace(f'{index.root}/', '')
            spectra.append(MrsInputs(path, entities, {}, problem=problem))
        else:
            spectra.append(spectrum)
            notes += spectrum.notes
    if not spectra:
        raise nothing_there(subject, session, 'mrs', 'svs')
    if problems:
        raise PartlyBrokenError(tuple(spectra), '; '.join(problems + notes), worst)
    return tuple(spectra), notes


def _one_spectrum(
    index: ImageIndex,
    bids_file: ImageFile,
    entities: Mapping[str, str],
    session: str | None,
    filters: Mapping[str, Any],
) -> MrsInputs:
    """Check one spectrum and find the water reference that belongs to it."""
    path = Path(bids_file.path)
    check_image(path, (4, 5, 6, 7))
    metadata = metadata_of(index, bids_file.path)
    reference, notes = _find_reference(index, path, entities, metadata, session, filters)
    reference_metadata: dict[str, Any] = {}
    if reference is not None:
        try:
            check_image(reference, (4, 5, 6, 7))
            reference_metadata = metadata_of(index, str(reference))
        except BidsAccError as error:
            notes.append(f'water reference not usable ({error}); no water-scaled values')
            reference = None
    else:
        notes.append(f'{path.name}: no water reference; no water-scaled values')
    anatomical, missing = find_anatomical(index, path, metadata)
    notes += missing
    return MrsInputs(
        svs=path,
        entities=entities,
        metadata=metadata,
        reference=reference,
        reference_metadata=reference_metadata,
        anatomical=anatomical,
        notes=tuple(notes),
    )


def _find_reference(
    index: ImageIndex,
    svs: Path,
    entities: Mapping[str, str],
    metadata: Mapping[str, Any],
    session: str | None,
    filters: Mapping[str, Any],
) -> tuple[Path | None, list[str]]:
    """Find the water reference: as the sidecar names it, else by its entities, else ``_ref``."""
    root = index.root
    named = metadata.get('ReferenceSignal')
    if named:
        uris = [str(one) for one in named] if isinstance(named, list) else [str(named)]
        path = resolve_uri(uris[0], root, svs.parent)
        if path is not None and is_there(path):
            return path, [_legacy_note(path)] if '_ref.nii' in path.name else []
        notes = [f'{svs.name}: ReferenceSignal {uris[0]!r} does not exist']
    else:
        notes = []
    candidates = query_images(index, entities['subject'], session, filters, 'mrsref')
    if match := _best_match(candidates, entities):
        return match, notes
    legacy = svs.with_name(re.sub(r'_svs(?=\.nii)', '_ref', svs.name))
    if legacy.exists() or legacy.is_symlink():
        return legacy, [*notes, _legacy_note(legacy)]
    return None, notes


def _legacy_note(path: Path) -> str:
    """Warn of a name from before BIDS 1.10."""
    return (
        f'{path.name}: legacy suffix _ref is taken as the water reference; BIDS calls it _mrsref '
        'since 1.10'
    )


def _best_match(candidates: Sequence[ImageFile], entities: Mapping[str, str]) -> Path | None:
    """Take the reference that contradicts no entity of the spectrum and shares most."""
    ignore = {'suffix', 'extension', 'datatype'}
    ranked = []
    for bids_file in candidates:
        own = {k: v for k, v in bids_file.get_entities().items() if k not in ignore}
        path = Path(bids_file.path)
        if '_inv-' in path.name:
            continue
        contradicts = any(entities.get(k) not in (None, v) for k, v in own.items())
        extra = sum(k not in entities for k in own)
        if not contradicts and (extra == 0 or len(candidates) == 1):
            ranked.append((-sum(entities.get(k) == v for k, v in own.items()), str(path)))
    return Path(min(ranked)[1]) if ranked else None


def find_anatomical(
    index: ImageIndex, svs: Path, metadata: Mapping[str, Any]
) -> tuple[Path | None, list[str]]:
    """T1w image that ``AnatomicalImage`` names, and a note when it is not there."""
    named = metadata.get('AnatomicalImage')
    uri = named[0] if isinstance(named, list) and named else named
    if not isinstance(uri, str) or not uri:
        return None, []
    path = resolve_uri(uri, index.root, svs.parent)
    if path is not None and is_there(path):
        return path, []
    return None, [f'{svs.name}: AnatomicalImage {uri!r} does not exist']


def named_by_spectra(
    index: ImageIndex, subject: str, session: str | None, filters: Mapping[str, Any]
) -> set[Path]:
    """T1w images that the sidecars of the session's spectra name."""
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
