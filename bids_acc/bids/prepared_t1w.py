"""Whether the T1w image on which another tool has laid a series is the session's own.

fMRIPrep makes one T1w image of all that a person has, from several sessions too, and what it calls
space ``T1w`` is the place of that one: of the first image, or half-way between all with
``--longitudinal`` (fmriprep#2559). Surfaces of another session's image lie elsewhere by as much as
the head lay elsewhere in the scanner.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bids_acc.bids.sidecars import entities_of

SAME_PLACE_MM = 0.5
"""Movement of the brain up to which a T1w image is at the place of another: a tenth of what two
visits differ by, and less than a voxel (own convention)."""
CORNERS_MM = 80.0
"""Half the edge of a cube around the brain, at whose corners movement is looked at."""


def other_t1w(root: Path, subject: str, session: str | None, raw_root: Path) -> str:
    """Say why a derivative's space T1w is not that of the session's T1w image.

    Parameters
    ----------
    root : Path
        Of the derivative.
    subject, session : str
        Labels without prefix.
    raw_root : Path
        Root of the raw data set, whose T1w images are counted.

    Returns
    -------
    str
        Part of a sentence; empty where it is, or nothing tells otherwise.
    """
    person = root / f'sub-{subject}'
    places = [person / 'anat', *([person / f'ses-{session}' / 'anat'] if session else [])]
    moves = [
        path for place in places
        for path in sorted(place.glob('[!.]*_from-orig_to-T1w_*xfm.txt'))
        if entities_of(path).get('ses', session) == session
    ]  # fmt: skip
    for path in moves:
        moved = moved_mm(path)
        if moved is None:
            return f'{path} cannot be read, which tells where its T1w image lies'
        if moved > SAME_PLACE_MM:
            return (
                f'{path.name} moves a T1w image of this session by {moved:.1f} mm, as the one of '
                'that space was made of several'
            )
    if moves or session is None:
        return ''
    joint = [
        p for p in places[0].glob('[!.]*_desc-preproc_T1w.nii*') if 'ses' not in entities_of(p)
    ]
    raw = (raw_root / f'sub-{subject}').glob('ses-*/anat/*_T1w.nii*')
    visits = {path.parent.parent.name for path in raw}
    if joint and len(visits) > 1:
        named = ', '.join(sorted(visits))
        return (
            f'{joint[0]} was made of T1w images of several sessions ({named}), '
            'and from-orig_to-T1w, which tells how this one lies to it, is not there'
        )
    return ''


def moved_mm(path: Path) -> float | None:
    """Return how far a transform moves the brain, at most.

    Parameters
    ----------
    path : Path
        Affine transform as ITK writes it in a text file: matrix by rows, translation, and the
        centre of rotation (``FixedParameters``).

    Returns
    -------
    float or None
        mm at the corners of a cube; None where the file is none of that form.
    """
    try:
        lines = dict(line.split(':', 1) for line in path.read_text().splitlines() if ':' in line)
        values = np.array(lines['Parameters'].split(), dtype=float)
        centre = np.array(lines['FixedParameters'].split(), dtype=float)
        matrix, translation = values[:9].reshape(3, 3), values[9:12]
        corners = CORNERS_MM * (2.0 * np.array(list(np.ndindex(2, 2, 2))) - 1)
        moved = (corners - centre) @ matrix.T + centre + translation - corners
    except (OSError, KeyError, ValueError):
        return None
    return float(np.linalg.norm(moved, axis=1).max())
