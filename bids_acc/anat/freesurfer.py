"""FreeSurfer-like subjects, made by FreeSurfer, FastSurfer, or through sMRIPrep and fMRIPrep."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from nibabel.freesurfer.io import read_annot, read_geometry, read_morph_data

from bids_acc.anat.native import NativeHemisphere, check_length, existing
from bids_acc.exceptions import InputDataError
from bids_acc.surfaces.template import MEDIAL_WALL
from bids_acc.typing import FloatArray, IntArray, Row

Content = TypeVar('Content')
PREFIX = {'L': 'lh', 'R': 'rh'}
ANNOTATIONS = (
    ('aparc.DKTatlas', 'DKT'),
    ('aparc.DKTatlas.mapped', 'DKT'),
    ('aparc.DKTatlas40', 'DKT'),
    ('aparc', 'Desikan'),
)
"""Names of annotations and the atlas they hold, best first: of FreeSurfer since 6, of FastSurfer
(whose first name is a link to it that copies lose), of FreeSurfer 5, and Desikan-Killiany."""
NO_CORTEX = frozenset({'unknown', '???', 'medialwall', 'medial_wall', 'none', 'corpuscallosum'})
"""Names, in lower case, under which annotations keep what is no cortex."""


def find_annotation(subject_dir: Path) -> tuple[str, str] | None:
    """Return name and atlas of the best annotation that both hemispheres have, or None.

    Parameters
    ----------
    subject_dir : Path
        FreeSurfer's folder of a subject, which holds ``label``.

    Returns
    -------
    name : str
        Of the file ``lh.<name>.annot``.
    atlas : str
        What tables call it.
    """
    for name, atlas in ANNOTATIONS:
        paths = [Path(subject_dir) / 'label' / f'{p}.{name}.annot' for p in PREFIX.values()]
        if all(path.is_file() for path in paths):
            return name, atlas
    return None


def read_freesurfer(subject_dir: Path, hemi: str) -> NativeHemisphere:
    """Read a hemisphere of a FreeSurfer, FastSurfer or sMRIPrep subject.

    Parameters
    ----------
    subject_dir : Path
        With ``surf`` and ``label``.
    hemi : str
        ``'L'`` or ``'R'``.

    Returns
    -------
    NativeHemisphere
        Coordinates moved from the surface frame to scanner RAS. Without an annotation of both
        hemispheres there are no labels.

    Raises
    ------
    MissingInputError
        If a file is missing.
    InputDataError
        If a file is damaged, the maps do not fit the surface, or its place is unknown.
    """
    surf, prefix = Path(subject_dir) / 'surf', PREFIX[hemi]
    white, faces = _read_placed(existing(surf / f'{prefix}.white'))
    pial, _ = _read_placed(_pial(surf, prefix))
    path = existing(surf / f'{prefix}.sphere.reg')
    sphere = np.asarray(_read(read_geometry, path)[0], dtype=np.float64)
    check_length(pial, white, surf / f'{prefix}.pial')
    check_length(sphere, white, path)
    maps = {}
    for kind in ('thickness', 'area'):
        path = existing(surf / f'{prefix}.{kind}')
        maps[kind] = np.asarray(_read(read_morph_data, path), dtype=np.float64)
        check_length(maps[kind], white, path)
    labels, names, atlas = _read_labels(Path(subject_dir), prefix, white)
    return NativeHemisphere(
        white, pial, faces, maps['thickness'], maps['area'], sphere, labels, names, atlas
    )


ETIV_LINES = ('# Measure EstimatedTotalIntraCranialVol,', '# Measure IntraCranialVol,')
"""What the line of the intracranial volume begins with, since FreeSurfer 5.2 and before."""


def read_aseg_volumes(subject_dir: Path) -> list[Row]:
    """Read FreeSurfer's volumes of subcortical structures and of the skull's inside.

    Parameters
    ----------
    subject_dir : Path
        With ``stats/aseg.stats``.

    Returns
    -------
    list of dict
        ``atlas`` (aseg), ``region``, ``hemisphere``, ``method`` and ``volume_mm3``; the estimated
        total intracranial volume is the region ``etiv``. Empty without the file.

    Raises
    ------
    InputDataError
        If the file is damaged.
    """
    path = Path(subject_dir) / 'stats' / 'aseg.stats'
    if not path.is_file():
        return []
    found: dict[tuple[str, str], float] = {}
    try:
        for line in path.read_text(errors='replace').splitlines():
            if line.startswith(ETIV_LINES):
                # A comment of the table: "# Measure NAME, field, description, value, unit".
                found['etiv', 'both'] = float(line.split(',')[-2])
            elif line.strip() and not line.startswith('#'):
                words = line.split()
                found[_structure(words[4])] = float(words[3])
    except (IndexError, ValueError) as error:
        raise InputDataError(f'{path} is no readable table of volumes: {error}') from error
    return [
        {'atlas': 'aseg', 'region': name, 'hemisphere': side, 'method': 'freesurfer',
         'volume_mm3': value}
        for (name, side), value in found.items()
    ]  # fmt: skip


def _structure(name: str) -> tuple[str, str]:
    """Return region and side of a structure's name.

    Examples
    --------
    >>> _structure('Left-Thalamus-Proper'), _structure('Brain-Stem')
    (('thalamus', 'L'), ('brainstem', 'both'))
    """
    words = name.lower().split('-')
    side = {'left': 'L', 'right': 'R'}.get(words[0], 'both')
    kept = words if side == 'both' else words[1:]
    return ''.join(w for w in kept if w != 'proper').replace('_', ''), side


def _pial(surf: Path, prefix: str) -> Path:
    """Return the pial surface; since FreeSurfer 7 its name is a link that copies lose."""
    linked, real = surf / f'{prefix}.pial', surf / f'{prefix}.pial.T1'
    return real if not linked.is_file() and real.is_file() else existing(linked)


def _read(reader: Callable[..., Content], path: Path, **options: object) -> Content:
    """Read a file, or say that it is damaged."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            return reader(str(path), **options)
    except Exception as error:
        raise InputDataError(
            f'{path} is no readable FreeSurfer file ({error}); copy it again, or let recon-all '
            'run to its end.'
        ) from error


def _read_placed(path: Path) -> tuple[FloatArray, IntArray]:
    """Read a surface and move it from FreeSurfer's frame to scanner RAS.

    FreeSurfer's frame has its origin at the centre of the volume and axes along it, as if it
    were coronal; ``c_ras`` and the direction cosines tell where that is in the scanner.
    """
    points, faces, info = _read(read_geometry, path, read_metadata=True)
    if 'cras' not in info or str(info.get('valid', '1')).strip().startswith('0'):
        raise InputDataError(
            f'{path} holds no volume geometry (c_ras), so its place in the scanner is unknown; '
            'write it again with mris_convert --to-scanner or recon-all.'
        )
    cosines = np.stack([np.asarray(info[f'{k}ras'], dtype=float) for k in 'xyz'], axis=1)
    # Columns of a coronal volume run to the left, its rows downwards and its slices to the front.
    as_coronal = np.array([[-1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
    placed = points @ (cosines @ as_coronal.T).T + np.asarray(info['cras'], dtype=float)
    return placed, np.asarray(faces, dtype=np.int64)


def _read_labels(
    subject_dir: Path, prefix: str, white: FloatArray
) -> tuple[IntArray | None, dict[int, str] | None, str]:
    """Read the subject's own labels; what is no cortex gets code 0."""
    found = find_annotation(subject_dir)
    if found is None:
        return None, None, ''
    name, atlas = found
    path = subject_dir / 'label' / f'{prefix}.{name}.annot'
    codes, _, entries = _read(read_annot, path)
    check_length(codes, white, path)
    words = [entry.decode(errors='replace') for entry in entries]
    cortical = [n for n, word in enumerate(words) if word.lower() not in NO_CORTEX]
    new_codes = np.zeros(len(words) + 1, dtype=np.int64)  # the last one takes code -1: no label
    new_codes[cortical] = np.arange(1, len(cortical) + 1)
    names = {0: MEDIAL_WALL, **{k: words[n] for k, n in enumerate(cortical, start=1)}}
    return new_codes[np.asarray(codes)], names, atlas
