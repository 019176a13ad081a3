"""Which T1w image of a session is taken: candidates are judged, and the judgement is said."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bids_acc.bids.brain_masks import OWN_SPACES
from bids_acc.bids.images import as_list, grid_code, image_part, number_kind
from bids_acc.bids.index import ImageFile, ImageIndex
from bids_acc.bids.inputs import AnatInputs, check_image, open_image
from bids_acc.bids.layout import (
    NothingThereError,
    metadata_of,
    nothing_there,
    query_images,
    without_twins,
)
from bids_acc.bids.reasons import none_left, without_path
from bids_acc.bids.selection import Filters
from bids_acc.bids.sidecars import entities_of
from bids_acc.bids.spectra import named_by_spectra
from bids_acc.exceptions import BidsAccError, InputDataError
from bids_acc.images.files import header_forms
from bids_acc.images.volumes import FORM_GAP_MM, check_forms, check_volume, form_gap

HEAD_MM = 120.0
"""An image whose least extent is smaller is taken for a slab. A round number below the size of
grown-up heads; it only ranks images, and refuses none."""

STRETCHED = "if it was stretched there, thickness, areas and volumes are not the person's"
TEMPLATE_SPACES: Mapping[int, str] = {
    3: 'header (Talairach, code 3)', 4: 'header (MNI152, code 4)',
}  # fmt: skip
"""Codes of NIfTI's qform and sform for the spaces of templates."""


INVERSION = re.compile(r'inv[-_ ]?[12](?![0-9a-z])', re.IGNORECASE)
"""Names of the two images of which MP2RAGE's uniform image is made, as scanners write them."""
T1_MAP = re.compile(r't1[-_ ]?(map|images)(?![a-z])', re.IGNORECASE)
"""Names of the map that the scanner makes besides."""


OTHER_CONTRAST = re.compile(
    r'(?<![a-z0-9])(t2|t2w|pd|pdw|flair|dark[-_ ]?fluid|dir|swi|tof|angio|mra|localizer|localiser|'
    r'scout|survey|phantom)(?![a-z0-9])',
    re.IGNORECASE,
)
"""Names of images of another contrast or of no whole head, as scanners write them."""
T1_CONTRAST = re.compile(r't1|mp2?rage|spgr|bravo|tfe', re.IGNORECASE)
"""Names of T1w sequences; what has one of these besides (a T1 FLAIR) is T1w."""
LONG_ECHO = 0.04, 1.0
"""Echo times between these, in s, weight an image by T2; T1w ones have a few ms, up to 20 as spin
echoes, and larger numbers are no seconds. Own convention."""
DERIVED = frozenset({'MPR', 'MIP', 'MINIP', 'PROJECTION IMAGE', 'LOCALIZER', 'SUBTRACTION'})
"""Words of DICOM's ImageType for images that were cut or computed out of others, or only tell
where to scan."""


@dataclass(frozen=True)
class T1wCandidate:
    """A T1w image and what speaks against it."""

    path: Path
    entities: Mapping[str, str]
    metadata: Mapping[str, Any]
    voxel_mm: float
    """Largest edge of a voxel."""
    extent_mm: float
    """Least extent of the image."""
    is_complex: bool = False
    """Whether it holds complex numbers, of which the magnitude is used."""
    template: str = ''
    """Where the space of a template is told, and which; empty for the scanner's."""
    form_gap_mm: float = math.nan
    """How far apart sform and qform place a corner; NaN unless both are set."""
    is_named: bool = False
    """Whether a spectrum's sidecar names it as the image that its voxel was planned on."""

    @property
    def contrast_agent(self) -> str:
        """Contrast agent, as the name or the sidecar tells it; empty without."""
        named = self.entities.get('ceagent') or self.metadata.get('ContrastBolusIngredient')
        return '' if named in (None, '', 'n/a') else str(named)

    @property
    def is_normalised(self) -> bool:
        """Whether the scanner evened out the sensitivity of its coils."""
        words = [str(w).upper() for w in as_list(self.metadata.get('ImageType'))]
        return 'norm' in self.entities.get('reconstruction', '').lower() or 'NORM' in words

    @property
    def is_preparation(self) -> bool:
        """Whether it is one of several images that make a T1w image together."""
        parted = any(name in self.entities for name in ('inv', 'echo', 'mt', 'chunk'))
        return parted or any(INVERSION.search(text) for text in self.names)

    @property
    def is_t1_map(self) -> bool:
        """Whether its names say that it holds T1 itself, where fluid is bright."""
        return any(T1_MAP.search(text) for text in self.names)

    @property
    def names(self) -> list[str]:
        """What the image is called by its labels and by the scanner."""
        labels = [self.entities.get(key) for key in ('acquisition', 'reconstruction')]
        told = [self.metadata.get(key) for key in ('SeriesDescription', 'ProtocolName')]
        return [str(text) for text in (*labels, *told) if text]

    @property
    def other_contrast(self) -> str:
        """What says that this is no T1w image of a whole head; empty where nothing does."""
        for text in self.names:
            if OTHER_CONTRAST.search(text) and not T1_CONTRAST.search(text):
                return f'called {text}'
        echo = self.metadata.get('EchoTime')
        if isinstance(echo, int | float) and LONG_ECHO[0] <= echo < LONG_ECHO[1]:
            return f'echo time {1000 * echo:.0f} ms'
        return ''

    @property
    def made_of(self) -> str:
        """Word that says that this was cut or computed out of other images; empty without."""
        described = entities_of(self.path).get('desc')  # none of PyBIDS' entities of raw data
        words = [str(w).upper() for w in as_list(self.metadata.get('ImageType'))]
        found = next((word for word in words if word in DERIVED), '')
        return f'desc-{described}' if described else found

    @property
    def against(self) -> tuple[tuple[bool, str], ...]:
        """What can speak against an image, the worst first: whether it does, and the words."""
        return (
            (bool(self.contrast_agent), f'contrast agent ({self.contrast_agent})'),
            (self.extent_mm < HEAD_MM, f'covers only {self.extent_mm:.0f} mm of the head'),
            (
                bool(self.other_contrast),
                f'perhaps no T1-weighted image of a head ({self.other_contrast})',
            ),
            (self.is_t1_map, 'a map of T1 by its name, no T1-weighted image'),
            (self.is_preparation, 'one of several images that make a T1w image together'),
            (
                bool(self.template),
                f'in the space of a template by its {self.template}: {STRETCHED}',
            ),
            (bool(self.made_of), f'cut or computed out of another image ({self.made_of})'),
            (self.is_complex, 'complex numbers, of which the magnitude is used'),
        )

    @property
    def rank(self) -> tuple[object, ...]:
        """Order of preference among the candidates of a session; the smallest is taken."""
        against = tuple(holds for holds, _ in self.against)
        # Edges computed from oblique matrices differ in their last digits, which must not choose
        # an image.
        return (not self.is_named, *against, round(self.voxel_mm, 1), not self.is_normalised)

    @property
    def reservations(self) -> list[str]:
        """What is to be said of it, in words."""
        found = [words for holds, words in self.against if holds]
        if self.form_gap_mm > FORM_GAP_MM:
            found.append(
                f'sform and qform place it up to {self.form_gap_mm:.0f} mm apart; sform is used'
            )
        return found

    def beaten_by(self, better: T1wCandidate) -> str:
        """Say why another T1w image of the session was preferred.

        Parameters
        ----------
        better : T1wCandidate
            Candidate that was chosen; its `rank` is not above this one's.

        Returns
        -------
        str
            The first criterion of `rank` that decided, as it stands in the plan's ``reason``.
        """
        if better.is_named and not self.is_named:
            return 'not the one that the spectrum names'
        if self.rank[:-2] != better.rank[:-2]:
            return ', '.join(self.reservations)
        if self.rank[-2] != better.rank[-2]:
            return f'voxels of {self.voxel_mm:.1f} mm, not {better.voxel_mm:.1f} mm'
        if self.rank != better.rank:
            return 'without intensity normalisation (rec-norm)'
        return 'as good, later in order'


def find_anat(
    index: ImageIndex,
    subject: str,
    session: str | None,
    filters: Filters,
    *,
    average: bool = False,
) -> tuple[AnatInputs, list[str]]:
    """Take the best T1w image, and say why, and which others are there.

    Parameters
    ----------
    index : ImageIndex
    subject, session : str
        Labels without prefix.
    filters : mapping
        Of the filter file.
    average : bool
        Whether runs that are equally good are to be averaged.

    Returns
    -------
    AnatInputs
    list of str
        Notes for the plan.

    Raises
    ------
    NothingThereError
        If there is no T1w image.
    MissingInputError, InputDataError
        If none can be used; with the reason for each.
    """
    files = query_images(index, subject, session, filters, 't1w')
    notes: list[str] = []
    if not files and session is not None and 't1w' not in filters:
        files = query_images(index, subject, None, {}, 't1w')
        if files:
            notes.append(f'no T1w in ses-{session}')
    if not files:
        raise _no_t1w(index, subject, session, filters)
    files, twins = without_twins(files)
    # The sidecars of all spectra are read for this, which only a choice is worth.
    named = named_by_spectra(index, subject, session, filters) if len(files) > 1 else set()
    good, refused = judge_t1w(index, files, named)
    if not good:
        raise none_left(refused, 'T1w images')
    first, *others = sorted(good, key=lambda candidate: candidate.rank)
    averaged = [c for c in others if _is_run_of(c, first)] if average else []
    left = [c for c in others if c not in averaged]
    if notes:
        notes[0] += f'; that of {first.path.name} is used'
    if len(files) > 1:
        notes.append(_choice(len(files), first, averaged, left, refused))
    elif first.reservations:
        notes.append(f'{first.path.name}: {", ".join(first.reservations)}')
    if average and not averaged:
        notes.append('--anat-average: no second run that is as good')
    notes += twins
    entities = {**first.entities, 'subject': subject}
    if averaged:
        # An average is of no single run.
        entities.pop('run', None)
    if session is not None:
        entities['session'] = session
    return AnatInputs(
        t1w=first.path,
        entities=entities,
        metadata=first.metadata,
        also_there=tuple(c.path for c in left),
        averaged=tuple(c.path for c in averaged),
        notes=tuple(notes),
    ), notes


def _no_t1w(
    index: ImageIndex, subject: str, session: str | None, filters: Filters
) -> NothingThereError:
    """Say that there is no T1w image, and how a uniform one of MP2RAGE can be taken for it."""
    error = nothing_there(subject, session, 'anat', 'T1w')
    uniform = query_images(index, subject, session, {'t1w': {'suffix': 'UNIT1'}}, 't1w')
    if not uniform or 't1w' in filters:
        return error
    names = ', '.join(Path(image.path).name for image in uniform)
    return NothingThereError(
        f'{error}; to use the uniform image of MP2RAGE ({names}) as one, give '
        '--bids-filter-file a file with {"t1w": {"suffix": "UNIT1"}}'
    )


def judge_t1w(
    index: ImageIndex, files: Sequence[ImageFile], named: set[Path]
) -> tuple[list[T1wCandidate], list[tuple[Path, BidsAccError]]]:
    """Check each T1w image, and describe those that can be used.

    Parameters
    ----------
    index : ImageIndex
    files : sequence of ImageFile
    named : set of Path
        Those that spectra name.

    Returns
    -------
    good : list of T1wCandidate
        What can be used, in the order of the files.
    refused : list of (Path, BidsAccError)
        What cannot, and why.
    """
    good, refused = [], []
    for bids_file in files:
        path = Path(bids_file.path)
        try:
            candidate = _candidate(index, bids_file, path.absolute() in named)
        except BidsAccError as error:
            refused.append((path, error))
        else:
            good.append(candidate)
    return good, refused


def _candidate(index: ImageIndex, bids_file: ImageFile, is_named: bool) -> T1wCandidate:
    """Read what is to be judged of one image; refuse one that is no magnitude image."""
    path = Path(bids_file.path)
    entities = bids_file.get_entities()
    metadata = metadata_of(index, path)
    if part := image_part(entities, metadata):
        raise InputDataError(f'{path} is a {part} image; a magnitude image is needed.')
    # dcm2niix copies DICOM's Modality into the sidecar: nothing in the image tells that a CT was
    # named T1w.
    if (kind := str(metadata.get('Modality') or 'MR').upper()) not in ('MR', 'N/A'):
        raise InputDataError(f'{path} is no MR image: Modality is {kind} in its sidecar.')
    shape = check_image(path, (3, 4, 5), minimum_size=16)
    image = open_image(path)
    is_complex = number_kind(path) == 'complex'
    values = np.asarray(image.dataobj).reshape(shape)
    check_volume(np.abs(values) if is_complex else values, image.affine, str(path))
    forms = header_forms(path)
    check_forms(*forms, str(path))
    edges = np.linalg.norm(image.affine[:3, :3], axis=0)
    return T1wCandidate(
        path=path, entities=entities, metadata=metadata, is_complex=is_complex,
        is_named=is_named, template=_template_space(path, entities),
        form_gap_mm=form_gap(*forms, shape[:3]),
        voxel_mm=float(edges.max()), extent_mm=float((edges * shape).min()),
    )  # fmt: skip


def _template_space(path: Path, entities: Mapping[str, str]) -> str:
    """Tell where the space of a template is told; empty for the person's own."""
    space = entities.get('space', '')
    if space not in OWN_SPACES:
        return f'name (space-{space})'
    return TEMPLATE_SPACES.get(grid_code(path), '')


def _is_run_of(candidate: T1wCandidate, first: T1wCandidate) -> bool:
    """Tell whether an image repeats another: alike but for the run."""
    ignored = ('run', 'extension')
    same = [{k: v for k, v in c.entities.items() if k not in ignored} for c in (candidate, first)]
    return same[0] == same[1] and candidate.rank[1:] == first.rank[1:]


def _choice(
    count: int,
    first: T1wCandidate,
    averaged: Sequence[T1wCandidate],
    left: Sequence[T1wCandidate],
    refused: Sequence[tuple[Path, BidsAccError]],
) -> str:
    """Say what was taken of several images, and why not the others."""
    names = ', '.join(c.path.name for c in averaged)
    own = f' ({", ".join(first.reservations)})' if first.reservations else ''
    taken = f'{first.path.name}{own} is used'
    if averaged:
        taken = f'{first.path.name} and {names} are averaged'
    others = [f'{c.path.name}: {c.beaten_by(first)}' for c in left]
    others += [f'{path.name}: {without_path(error, path)}' for path, error in refused]
    listed = f'; not used: {"; ".join(others)}' if others else ''
    return f'{count} T1w images; {taken}{listed} (choose another with --bids-filter-file)'
