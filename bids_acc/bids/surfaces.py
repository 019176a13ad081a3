"""Where the surfaces of a session come from: another tool's derivatives, or our own."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from bids_acc.exceptions import MissingInputError

from .tools import generated_by

LOGGER = logging.getLogger(__name__)
FREESURFER_FILES = ('white', 'pial', 'thickness', 'area', 'sphere.reg')
"""Files in ``surf/`` that a FreeSurfer subject must have, for both hemispheres."""


@dataclass(frozen=True)
class SurfaceChoice:
    """The source that was chosen for one session."""

    source: str = 'builtin'
    """``builtin``, ``freesurfer``, ``gifti`` or ``civet``."""
    folder: Path | None = None
    """FreeSurfer or CIVET subject, or ``anat`` folder with GIFTI surfaces."""
    segmentation: str = 'Desikan'
    """Atlas whose labels are used, for file names."""
    files: tuple[Path, ...] = ()
    """Files that the result depends on."""
    software: Mapping[str, str] = field(default_factory=dict)
    """Who made the surfaces: name to version."""


def choose_surfaces(
    asked: str, derivatives: Mapping[str, Path], subject: str, session: str | None
) -> SurfaceChoice:
    """Take the best source of surfaces that there is.

    Parameters
    ----------
    asked : str
        ``auto`` takes FreeSurfer, then GIFTI, CIVET, and our own last; another word takes just
        that.
    derivatives : mapping
        Name to folder of other tools' results.
    subject, session : str
        Labels without prefix.

    Raises
    ------
    MissingInputError
        If a source was asked for by name and this session has none.
    """
    finders = {'freesurfer': _freesurfer, 'gifti': _gifti, 'civet': _civet}
    for source, find in finders.items():
        for folder in derivatives.values():
            if asked in ('auto', source) and (found := find(folder, subject, session)):
                software = software_versions(source, found.folder) if found.folder else {}
                LOGGER.info('sub-%s: surfaces from %s in %s', subject, source, found.folder)
                return replace(found, software=software)
    if asked in ('auto', 'builtin'):
        LOGGER.info('sub-%s: surfaces are built in', subject)
        return SurfaceChoice()
    where = ', '.join(map(str, derivatives.values())) or 'no folder was given by --derivatives'
    raise MissingInputError(
        f'--surface-source {asked}: no such surfaces of sub-{subject} found ({where}).'
    )


def _freesurfer(folder: Path, subject: str, session: str | None) -> SurfaceChoice | None:
    """Look for a FreeSurfer-like subject, also where fMRIPrep and sMRIPrep put it."""
    names = [f'sub-{subject}_ses-{session}', f'sub-{subject}'] if session else [f'sub-{subject}']
    for root in (folder, folder / 'sourcedata' / 'freesurfer'):
        for name in names:
            surf = root / name / 'surf'
            files = [surf / f'{h}.{kind}' for h in ('lh', 'rh') for kind in FREESURFER_FILES]
            if all(path.exists() for path in files):
                dkt = root / name / 'label' / 'lh.aparc.DKTatlas.annot'
                atlas = 'DKT' if dkt.exists() else 'Desikan'
                return SurfaceChoice('freesurfer', root / name, atlas, tuple(files))
    return None


def _gifti(folder: Path, subject: str, session: str | None) -> SurfaceChoice | None:
    """Look for GIFTI surfaces as sMRIPrep and fMRIPrep write them."""
    place = folder / f'sub-{subject}'
    for anat in ([place / f'ses-{session}' / 'anat'] if session else []) + [place / 'anat']:
        files = sorted(anat.glob('*_hemi-[LR]*_white.surf.gii'))
        spheres = sorted(anat.glob('*_hemi-[LR]*_sphere*.surf.gii'))
        if len(files) >= 2 and len(spheres) >= 2:
            return SurfaceChoice('gifti', anat, files=tuple(files + spheres))
    return None


def _civet(folder: Path, subject: str, session: str | None) -> SurfaceChoice | None:
    """Look for a CIVET subject: the folder that holds ``surfaces`` and ``thickness``."""
    names = [f'sub-{subject}_ses-{session}', f'sub-{subject}/ses-{session}'] if session else []
    for name in [*names, f'sub-{subject}', subject]:
        place = folder / name
        files = [
            *place.glob('surfaces/*_surface*_81920.obj'),
            *place.glob('thickness/*_native_rms*.txt'),
            *place.glob('transforms/linear/*_t1_tal.xfm'),
        ]
        if files and (place / 'thickness').is_dir() and (place / 'surfaces').is_dir():
            return SurfaceChoice('civet', place, files=tuple(sorted(files)))
    return None


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
        Name to version; ``'n/a'`` where none was recorded.
    """
    folder = Path(folder)
    if source == 'gifti':
        made = generated_by(folder.parents[:4])
        return {name: version or 'n/a' for name, version in made} or {'GIFTI derivatives': 'n/a'}
    if source == 'freesurfer':
        texts = [folder / 'scripts' / 'build-stamp.txt', folder / 'scripts' / 'recon-all.log']
        fast = list(folder.glob('scripts/*deep-seg.log')) or list(folder.glob('scripts/BUILD.log'))
        name = 'FastSurfer' if fast else 'FreeSurfer'
        for path in texts:
            if path.is_file():
                lines = path.read_text(errors='replace').splitlines()
                stamp = [
                    x.strip() for x in lines if 'freesurfer-' in x.lower() or path == texts[0]
                ]
                if stamp:
                    return {name: stamp[0].removeprefix('build-stamp.txt: ')}
        return {name: 'n/a'}
    for path in sorted(folder.glob('**/*.log'))[:50]:
        found_version = re.search(
            r'CIVET[-_ ](\d+\.\d+(?:\.\d+)?)', path.read_text(errors='replace')
        )
        if found_version:
            return {'CIVET': found_version[1]}
    return {'CIVET': 'n/a'}
