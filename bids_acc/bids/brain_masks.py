"""Which brain mask a session comes with: one that somebody names, or another tool's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bids_acc.bids.inputs import check_image
from bids_acc.bids.near_misses import remedy_of_ending
from bids_acc.bids.tools import generated_by
from bids_acc.exceptions import BidsAccError, InputDataError, SettingsError

OWN_SPACES = ('', 'T1w', 'orig', 'individual')
"""Values of ``space-`` that mean the T1w image's own."""


@dataclass(frozen=True)
class MaskChoice:
    """The brain mask of one session."""

    path: Path | None = None
    """None: the brain is extracted here."""
    note: str = ''
    """Whose it is, or why one that is there was passed over."""


def choose_brain_mask(
    asked: str, derivatives: Mapping[str, Path], subject: str, session: str | None, t1w: Path
) -> MaskChoice:
    """Take the mask that was asked for, or the first that fits in another tool's results.

    Parameters
    ----------
    asked : str
        File, in which ``{subject}`` and ``{session}`` stand for the labels; empty: none.
    derivatives : mapping of str to Path
        Name to folder of other tools' results.
    subject, session : str or None
        Labels.
    t1w : Path
        The image that the mask has to fit.

    Returns
    -------
    MaskChoice
        Without a path if nothing was asked for and no derivative fits.

    Raises
    ------
    SettingsError
        If the file that was asked for has a placeholder that is not known.
    MissingInputError, InputDataError
        If it is absent or cannot be read.
    """
    if asked:
        path = _filled(asked, subject, session)
        _check_ending(path)
        check_image(path, (3,))
        return MaskChoice(path, f'brain mask: {path}')
    notes = []
    for name, folder in derivatives.items():
        for path in _candidates(folder, subject, session, t1w):
            try:
                check_image(path, (3,))
            except BidsAccError as error:
                notes.append(f'brain mask passed over: {error}')
                continue
            tool = next((made[0] for made in generated_by([folder])), name)
            return MaskChoice(path, '; '.join([*notes, f'brain mask: of {tool} ({path})']))
    return MaskChoice(note='; '.join(notes))


def _check_ending(path: Path) -> None:
    """Refuse a file that is no NIfTI by its name, such as FreeSurfer's brainmask.mgz."""
    ending = path.name.partition('.')[2]
    if path.is_file() and not path.name.lower().endswith(('.nii', '.nii.gz')):
        raise InputDataError(f'{path} is no NIfTI file by its name: {remedy_of_ending(ending)}.')


def _filled(pattern: str, subject: str, session: str | None) -> Path:
    """Put the labels into a pattern."""
    try:
        return Path(pattern.format(subject=subject, session=session or '')).expanduser()
    except (KeyError, IndexError, ValueError) as error:
        raise SettingsError(
            f'{pattern}: only {{subject}} and {{session}} can be filled in ({error}).'
        ) from error


def _candidates(folder: Path, subject: str, session: str | None, t1w: Path) -> list[Path]:
    """List masks of this T1w image in its own space; those of a whole person are left out.

    fMRIPrep keeps them in ``sub-*/anat`` when it averaged the images of several sessions: that
    average lies in the space of none of them.
    """
    place = folder / f'sub-{subject}'
    anat = (place / f'ses-{session}' if session else place) / 'anat'
    return [path for path in sorted(anat.glob('[!.]*_desc-brain_mask.nii*')) if _fits(path, t1w)]


def _fits(mask: Path, t1w: Path) -> bool:
    """Tell whether all that a mask's name says is true of the T1w image."""
    own, said = (dict(re.findall(r'(?:^|_)([a-zA-Z]+)-([^_]+)', p.name)) for p in (t1w, mask))
    if said.pop('space', '') not in OWN_SPACES or said.pop('res', '') or said.pop('hemi', ''):
        return False
    said.pop('desc', None)
    return all(own.get(key) == value for key, value in said.items())
