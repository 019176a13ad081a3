"""Which derivative's files lie on the mesh that was asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from bids_acc.anat.meshes import files_of_mesh, read_mesh
from bids_acc.bids.surfaces import SurfaceChoice
from bids_acc.bids.tools import generated_by
from bids_acc.exceptions import BidsAccError, InputDataError, MissingInputError
from bids_acc.surfaces.template import HEMISPHERES

IN_MNI = frozenset({'xcp_d', 'XCP-D'})
"""Tools whose surfaces on fsLR lie in MNI space and not on the T1w image."""


def with_mesh(
    choice: SurfaceChoice, space: str, derivatives: Mapping[str, Path], subject: str,
    session: str | None,
) -> SurfaceChoice:  # fmt: skip
    """Add the folder and files of the mesh that was asked for.

    Parameters
    ----------
    choice : SurfaceChoice
        Where the surfaces come from.
    space : str
        ``civet`` or ``fsLR``.
    derivatives : mapping of str to Path
        Name to folder of other tools' results.
    subject, session : str
        Labels without prefix.

    Raises
    ------
    MissingInputError
        If no derivative has the files of this session.
    InputDataError
        If they are damaged, or nothing was measured.
    """
    missing: list[str] = []
    for folder in derivatives.values():
        for place in _candidates(folder, space, subject, session):
            try:
                files = files_of_mesh(space, place)
            except MissingInputError as error:
                missing.append(str(error))
                continue
            _check(space, place)
            return replace(
                choice, mesh=space, mesh_folder=place, files=(*choice.files, *files),
                note='; '.join(filter(None, [choice.note, f'mesh: {space} ({place})'])),
            )  # fmt: skip
    where = ', '.join(map(str, derivatives.values())) or 'no folder was given by --derivatives'
    reason = missing[0] if missing else where
    raise MissingInputError(f'--mesh {space}: sub-{subject} has no such files ({reason}).')


def _candidates(root: Path, space: str, subject: str, session: str | None) -> Iterator[Path]:
    """Yield the folders in which a session's files may lie, its own first."""
    own = [f'sub-{subject}_ses-{session}', f'sub-{subject}/ses-{session}'] if session else []
    places = [root / name for name in (*own, f'sub-{subject}', subject)]
    if space == 'fsLR':
        # such a surface would sample the T1w image beside the cortex, and look well doing so
        if any(name in IN_MNI for name, _ in generated_by([root])):
            return
        places = [below for place in places for below in (place / 'anat', place / 'files', place)]
    yield from (place for place in places if place.is_dir())


def _check(space: str, folder: Path) -> None:
    """Read both hemispheres, so that damage is known before anything is computed."""
    for side in HEMISPHERES:
        try:
            thickness = read_mesh(space, folder, side).thickness
        except BidsAccError as error:
            raise InputDataError(f'--mesh {space}: {error}') from error
        if not (np.nan_to_num(thickness) > 0).any():
            raise InputDataError(
                f'--mesh {space}: {folder}: thickness is zero everywhere ({side}).'
            )
