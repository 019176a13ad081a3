"""Where the surfaces of a session come from: another tool's derivatives, or our own."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from bids_acc.bids.tools import generated_by
from bids_acc.exceptions import BidsAccError, MissingInputError

LOGGER = logging.getLogger(__name__)
Inspect = Callable[[str, Path], tuple[str, float]]


@dataclass(frozen=True)
class SurfaceChoice:
    """The source that was chosen for one session."""

    source: str = 'builtin'
    """``builtin``, ``freesurfer``, ``gifti`` or ``civet``."""
    folder: Path | None = None
    """FreeSurfer or CIVET subject, or ``anat`` folder with GIFTI surfaces."""
    own_labels: str = ''
    """Atlas of the subject's own labels, ``DKT`` or ``Desikan``; empty: the template's."""
    files: tuple[Path, ...] = ()
    """Files that the result depends on."""
    software: Mapping[str, str] = field(default_factory=dict)
    """Who made the surfaces: name to version."""
    smoothing_mm: float = 0.0
    """Kernel (FWHM) with which the source smoothed thickness."""
    note: str = ''
    """What a reader must know: what was passed over and why, whose labels these are."""
    mesh: str = ''
    """Another mesh on which maps are measured as well, ``civet`` or ``fsLR``."""
    mesh_folder: Path | None = None
    """Where its files lie."""

    def describe(self) -> str:
        """Write source and note in one line."""
        where = '' if self.folder is None else f' ({self.folder})'
        return '; '.join(filter(None, [f'surfaces: {self.source}{where}', self.note]))


def choose_surfaces(
    asked: str,
    derivatives: Mapping[str, Path],
    subject: str,
    session: str | None,
    inspect: Inspect | None = None,
) -> SurfaceChoice:
    """Take the best source of surfaces that there is.

    Whoever names a source wants that one or none. ``auto`` means: go on with the next best when
    a better one is there but broken, and say so, since people measured by different sources
    should not be compared unawares.

    Parameters
    ----------
    asked : str
        ``auto`` takes FreeSurfer, then GIFTI, CIVET, and our own last; another word takes just
        that.
    derivatives : mapping
        Name to folder of other tools' results.
    subject, session : str
        Labels without prefix.
    inspect : callable, optional
        Takes source and folder, raises when the surfaces cannot be used, and returns the atlas
        of the subject's own labels and the kernel (FWHM, mm) that smoothed thickness.

    Returns
    -------
    SurfaceChoice
        With a note where a better source was passed over.

    Raises
    ------
    MissingInputError
        If a source was asked for by name and this session has none, or one with missing files.
    InputDataError
        If a source was asked for by name and its files are damaged or do not fit each other.
    """
    passed_over: list[str] = []
    first_error: BidsAccError | None = None
    for source, find in FINDERS.items():
        if asked not in ('auto', source):
            continue
        for folder in derivatives.values():
            for found in find(folder, subject, session):
                try:
                    choice = _inspected(found, inspect)
                except BidsAccError as error:
                    first_error = first_error or error
                    passed_over.append(f'{source} passed over: {error}')
                    continue
                return _with_notes(choice, passed_over)
    if asked != 'builtin':
        unfinished = [_unfinished(folder, subject, session) for folder in derivatives.values()]
        passed_over += [text for text in unfinished if text]
    if asked in ('auto', 'builtin'):
        return _with_notes(SurfaceChoice(), passed_over)
    if first_error is not None:
        raise first_error
    where = ', '.join(map(str, derivatives.values())) or 'no folder was given by --derivatives'
    raise MissingInputError(
        f'--surface-source {asked}: no such surfaces of sub-{subject} found ({where}).'
        + ''.join(f' {text}.' for text in passed_over)
    )


def _inspected(found: SurfaceChoice, inspect: Inspect | None) -> SurfaceChoice:
    """Look into the files of a candidate and add who made it."""
    if found.folder is None:
        return found
    labels, smoothing_mm = inspect(found.source, found.folder) if inspect else ('', 0.0)
    notes = [found.note]
    if inspect and found.source == 'freesurfer' and not labels:
        notes.append("no aparc annotation of both hemispheres: the template's labels are used")
    return replace(
        found,
        own_labels=labels,
        smoothing_mm=smoothing_mm,
        software=software_versions(found.source, found.folder),
        note='; '.join(filter(None, notes)),
    )


def _with_notes(choice: SurfaceChoice, passed_over: list[str]) -> SurfaceChoice:
    """Put what was passed over before the choice's own note."""
    for text in passed_over:
        LOGGER.warning('%s', text)
    return replace(choice, note='; '.join(filter(None, [*passed_over, choice.note])))


def _freesurfer_places(
    folder: Path, subject: str, session: str | None
) -> Iterator[tuple[Path, bool]]:
    """Yield where a FreeSurfer subject may lie, and whether it is that of the session.

    fMRIPrep and sMRIPrep put them into ``sourcedata``; without BIDS, there is no ``sub-``.
    """
    labels = (f'sub-{subject}', subject)
    visits = [f'{label}{joint}ses-{session}' for label in labels for joint in '_/']
    for root in (folder, folder / 'sourcedata' / 'freesurfer'):
        for name in (*(visits if session else ()), *labels):
            yield root / name, session is None or name in visits


def _freesurfer(folder: Path, subject: str, session: str | None) -> Iterator[SurfaceChoice]:
    """Look for FreeSurfer-like subjects."""
    for place, own in _freesurfer_places(folder, subject, session):
        if not (place / 'surf').is_dir():
            continue
        files = [
            path for pattern in FREESURFER_PATTERNS
            for path in place.glob(pattern) if path.name.partition('.')[2] in FREESURFER_FILES
            or path.suffix in ('.annot', '.stats')
        ]  # fmt: skip
        notes = ['' if own else _shared(place, subject), _broken_off(place / 'scripts')]
        note = '; '.join(filter(None, notes))
        yield SurfaceChoice('freesurfer', place, files=tuple(sorted(files)), note=note)


def _broken_off(scripts: Path) -> str:
    """Say what recon-all leaves behind when it is at work, was killed or has failed."""
    if (scripts / 'recon-all.error').is_file():
        return f'recon-all ended with an error ({scripts}/recon-all.error): look at its surfaces'
    if any(scripts.glob('IsRunning*')):
        return f'recon-all is still at work on this or was broken off ({scripts}/IsRunning*)'
    return ''


def _unfinished(folder: Path, subject: str, session: str | None) -> str:
    """Say what a derivative has of a person from whom no surfaces can be taken; empty for nothing.

    Without a word, some people of a study would be measured by other methods than the rest.
    """
    for place, _ in _freesurfer_places(folder, subject, session):
        if (place / 'mri').is_dir() and not (place / 'surf').is_dir():
            return (
                f'{place} has no folder surf: recon-all did not come to an end, or only '
                'segmented; run it to the end to use its surfaces'
            )
    for anat in _anat_folders(folder, subject, session):
        if any(anat.glob('[!.]*_hemi-[LR]_*white.surf.gii')):
            return (
                f'{anat} has surfaces without *_desc-reg_sphere.surf.gii, by which vertices of '
                'people correspond; have them written by a later version of their tool'
            )
    for place, _ in _civet_places(folder, subject, session):
        begun = [(place / name).is_dir() for name in ('thickness', 'surfaces', 'final')]
        if any(begun) and not all(begun[:2]):
            return (
                f'{place} has no folders surfaces and thickness as CIVET writes them at its end; '
                'run it to the end to use its surfaces'
            )
    return ''


FREESURFER_PATTERNS = ('surf/[lr]h.*', 'label/[lr]h.aparc*.annot', 'stats/aseg.stats')
FREESURFER_FILES = frozenset({'white', 'pial', 'pial.T1', 'thickness', 'area', 'sphere.reg'})
"""Names in ``surf/``, behind ``lh.`` or ``rh.``, on which the result depends."""


def _shared(place: Path, subject: str) -> str:
    """Say that surfaces of a whole person stand for a session."""
    # FreeSurfer's longitudinal stream keeps the list of visits in the folder of the template it
    # made of them.
    kind = 'a longitudinal template' if (place / 'base-tps').is_file() else 'surfaces'
    return (
        f'{kind} of sub-{subject} as a whole, the same for every session: no change over time '
        'can be seen in them'
    )


def _anat_folders(folder: Path, subject: str, session: str | None) -> list[Path]:
    """List where GIFTI surfaces may lie: those of the session, then those of the person."""
    place = folder / f'sub-{subject}'
    return [*([place / f'ses-{session}' / 'anat'] if session else []), place / 'anat']


def _gifti(folder: Path, subject: str, session: str | None) -> Iterator[SurfaceChoice]:
    """Look for GIFTI surfaces as sMRIPrep and fMRIPrep write them."""
    for anat in _anat_folders(folder, subject, session):
        spheres = [
            path for hemi in 'LR' for space in ('_space-fsaverage', '')
            for path in anat.glob(f'[!.]*_hemi-{hemi}{space}_desc-reg_sphere.surf.gii')
        ]  # fmt: skip
        kinds = ('white.surf.gii', 'pial.surf.gii', 'thickness.shape.gii')
        others = [path for kind in kinds for path in anat.glob(f'[!.]*_hemi-[LR]_{kind}')]
        if spheres and others:  # without spheres these are volumes' companions, as of fMRIPrep 20
            shared = session and anat.parent.name != f'ses-{session}'
            note = _shared(anat, subject) if shared else ''
            yield SurfaceChoice('gifti', anat, files=tuple(sorted({*spheres, *others})), note=note)


def _civet_places(folder: Path, subject: str, session: str | None) -> Iterator[tuple[Path, bool]]:
    """Yield where a CIVET subject may lie, and whether it is that of the session."""
    visits = [f'sub-{subject}_ses-{session}', f'sub-{subject}/ses-{session}'] if session else []
    for name in (*visits, f'sub-{subject}', subject):
        yield folder / name, session is None or name in visits


def _civet(folder: Path, subject: str, session: str | None) -> Iterator[SurfaceChoice]:
    """Look for CIVET subjects: folders that hold ``surfaces`` and ``thickness``."""
    for place, own in _civet_places(folder, subject, session):
        if not ((place / 'thickness').is_dir() and (place / 'surfaces').is_dir()):
            continue
        files = [
            *place.glob('surfaces/*_surface*_81920.obj'),
            *place.glob('thickness/*_native_rms*.txt'),
            *place.glob('transforms/linear/*_t1_tal.xfm'),
        ]
        note = '' if own else _shared(place, subject)
        yield SurfaceChoice('civet', place, files=tuple(sorted(files)), note=note)


FINDERS: Mapping[str, Callable[[Path, str, str | None], Iterator[SurfaceChoice]]] = {
    'freesurfer': _freesurfer,
    'gifti': _gifti,
    'civet': _civet,
}
"""What looks for each source in a folder, best source first."""


def software_versions(source: str, folder: Path) -> dict[str, str]:
    """Return who made external surfaces, from what the software left beside them.

    Parameters
    ----------
    source : str
        ``'freesurfer'``, ``'gifti'`` or ``'civet'``.
    folder : Path
        Of the subject (FreeSurfer, CIVET) or its ``anat`` folder (GIFTI).

    Returns
    -------
    dict of str to str
        Name to version; ``'n/a'`` where none was recorded. FastSurfer builds on FreeSurfer's
        programs, so both are named.
    """
    folder = Path(folder)
    if source == 'gifti':
        made = generated_by(folder.parents[:4])
        return {name: version or 'n/a' for name, version in made} or {'GIFTI derivatives': 'n/a'}
    if source == 'civet':
        logs = sorted(folder.glob('**/*.log'))[:50]
        return {'CIVET': _first_match(logs, r'CIVET[-_ ](\d+\.\d+(?:\.\d+)?)')}
    scripts = folder / 'scripts'
    stamp = _first_match(
        [scripts / 'build-stamp.txt', scripts / 'recon-all.log'],
        r'(?i)\b((?:freesurfer|dev)[-\w.]*-[-\w.]+)',
    )
    if any((scripts / f'{name}.log').is_file() for name in ('recon-surf', 'deep-seg', 'BUILD')):
        logs = [scripts / 'BUILD.log', scripts / 'recon-surf.log', scripts / 'deep-seg.log']
        own = _first_match(logs, r'(?i)(?:^|version\W+|fastsurfer[- ]v?)(\d+\.\d+\.\d+[-+\w]*)')
        return {'FastSurfer': own, **({'FreeSurfer': stamp} if stamp != 'n/a' else {})}
    return {'FreeSurfer': stamp}


def _first_match(paths: list[Path], pattern: str) -> str:
    """Return the first group of the first match in some text files, or ``'n/a'``."""
    for path in paths:
        if path.is_file():
            found = re.search(pattern, path.read_text(errors='replace'), re.MULTILINE)
            if found:
                return str(found[1])
    return 'n/a'
