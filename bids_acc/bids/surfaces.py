"""Where the surfaces of a session come from: another tool's derivatives, or our own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bids_acc.exceptions import MissingInputError

FREESURFER_FILES = ('white', 'pial', 'thickness', 'area', 'sphere.reg')
"""Files in ``surf/`` that a FreeSurfer subject must have, for both hemispheres."""


@dataclass(frozen=True)
class SurfaceChoice:
    """The source that was chosen for one session."""

    source: str = 'builtin'
    """``builtin``, ``freesurfer`` or ``gifti``."""
    folder: Path | None = None
    """FreeSurfer subject, or ``anat`` folder with GIFTI surfaces."""
    segmentation: str = 'Desikan'
    """Atlas whose labels are used, for file names."""
    files: tuple[Path, ...] = ()
    """Files that the result depends on."""


def choose_surfaces(
    asked: str, derivatives: Mapping[str, Path], subject: str, session: str | None
) -> SurfaceChoice:
    """Take the best source of surfaces that there is.

    Parameters
    ----------
    asked : str
        ``auto`` takes FreeSurfer, then GIFTI, then our own; another word takes just that.
    derivatives : mapping
        Name to folder of other tools' results.
    subject, session : str
        Labels without prefix.

    Raises
    ------
    MissingInputError
        If a source was asked for by name and this session has none.
    """
    if asked == 'builtin':
        return SurfaceChoice()
    for folder in derivatives.values():
        if asked in ('auto', 'freesurfer') and (found := _freesurfer(folder, subject, session)):
            return found
    for folder in derivatives.values():
        if asked in ('auto', 'gifti') and (found := _gifti(folder, subject, session)):
            return found
    if asked == 'auto':
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
