"""Files that were probably meant for a kind of image of which a session has none."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from bids_acc.bids.sidecars import suffix_of

READ = ('nii', 'nii.gz')
"""Endings of images that are read."""
BESIDE = ('json', 'tsv', 'tsv.gz', 'bval', 'bvec', 'txt', 'html', 'png', 'svg', 'jpg', 'log', 'md')
"""Endings of what lies beside images."""
PACKED = ('zip', 'bz2', 'xz', 'zst', '7z', 'tar', 'tgz', 'rar')
"""Endings of what is packed otherwise than by gzip alone."""
UNFINISHED = ('part', 'tmp', 'crdownload', 'filepart', 'download')
"""Endings of copies that did not come to an end."""
CONVERTED_BY: Mapping[str, str] = {
    'mgz': 'nib-convert (of nibabel) or mri_convert', 'mgh': 'nib-convert (of nibabel)',
    'mnc': 'mnc2nii', 'mif': 'mrconvert', 'dcm': 'dcm2niix', 'ima': 'dcm2niix', 'par': 'dcm2niix',
    'rec': 'dcm2niix', 'head': '3dAFNItoNIFTI', 'brik': '3dAFNItoNIFTI',
    **dict.fromkeys(('nrrd', 'nhdr', 'mha', 'mhd'), 'ConvertImage (of ANTs)'),
}  # fmt: skip
"""By ending, a program that writes NIfTI of such files."""
ALSO_CALLED: Mapping[str, str] = {'T1w': 't1|mprage', 'dwi': 'dti'}
"""What images are called besides, by suffix; regular expressions."""
OTHER_SUFFIXES = ('T1map', 'T1rho', 'T1wMPM')
"""Suffixes of BIDS that begin in the same way and mean something else."""
SHOWN, LOOKED_AT = 3, 2000
"""How many files are named, and how many are looked at."""


def near_misses(root: Path, subject: str, session: str | None, datatype: str, suffix: str) -> str:
    """Name the files of a session that were probably meant for a kind, and what to do about each.

    Parameters
    ----------
    root : Path
        Of the data set.
    subject, session : str
        Labels; None in a data set without sessions.
    datatype, suffix : str
        Of BIDS, such as ``anat`` and ``T1w``.

    Returns
    -------
    str
        Empty where nothing comes near.
    """
    visit = root / f'sub-{subject}'
    if session is not None:
        visit /= f'ses-{session}'
    said = []
    for path in _files_below(visit):
        if path.suffix.lower() == '.hdr' and path.with_suffix('.img').exists():
            continue  # told with its image
        remedy = _remedy(path.relative_to(visit), datatype, suffix)
        if remedy:
            said.append(f'{path.relative_to(root)}: {remedy}')
    more = [f'and {len(said) - SHOWN} more'] if len(said) > SHOWN else []
    return '; '.join([*said[:SHOWN], *more])


def _files_below(visit: Path) -> Iterator[Path]:
    """Yield the files of a visit, sorted, without hidden ones and other visits."""
    left = LOOKED_AT
    for folder, folders, names in os.walk(visit):
        folders[:] = sorted(f for f in folders if not f.startswith(('.', 'ses-')))
        for name in sorted(names)[:left]:
            if not name.startswith('.'):
                yield Path(folder) / name
        left -= len(names)
        if left <= 0:
            return


def _remedy(path: Path, datatype: str, suffix: str) -> str:
    """Say what has to be done with a file to be taken for a kind; empty where it is none of it.

    Parameters
    ----------
    path : Path
        Below the folder of the visit.
    datatype, suffix : str
        Of the kind.

    Examples
    --------
    >>> _remedy(Path('anat/sub-01_T1w.mgz'), 'anat', 'T1w')
    'convert it to .nii.gz by nib-convert (of nibabel) or mri_convert'
    >>> _remedy(Path('anat/sub-01_T1w_defaced.nii.gz'), 'anat', 'T1w')
    'its name has to end in _T1w.nii.gz'
    >>> _remedy(Path('sub-01_T1w.nii.gz'), 'anat', 'T1w')
    'move it into the folder anat'
    >>> _remedy(Path('anat/sub-01_T1map.nii.gz'), 'anat', 'T1w')
    ''
    """
    ending = path.name.partition('.')[2]
    if ending.lower() in BESIDE or not _is_called(path, suffix):
        return ''
    if ending not in READ:
        return remedy_of_ending(ending)
    if suffix_of(path) != suffix:
        return f'its name has to end in _{suffix}.{ending}'
    if path.parts[:-1] != (datatype,):
        return f'move it into the folder {datatype}'
    return ''


def _is_called(path: Path, suffix: str) -> bool:
    """Tell whether a name, up to its first point, says that this is of a kind."""
    words = suffix if suffix not in ALSO_CALLED else f'{suffix}|{ALSO_CALLED[suffix]}'
    stem = path.name.partition('.')[0]
    if suffix_of(path) in OTHER_SUFFIXES:
        return False
    # what a converter or a tool appends may stand behind the suffix, with or without _
    return re.search(rf'(?:^|_)(?:{suffix}\w*|{words})(?=\W|_|$)', stem, re.IGNORECASE) is not None


def remedy_of_ending(ending: str) -> str:
    """Say what makes a readable image of a file with an ending that is not read.

    Parameters
    ----------
    ending : str
        Behind the first point of the name.

    Examples
    --------
    >>> remedy_of_ending('NII.GZ')
    'write its ending in small letters, .nii.gz'
    >>> remedy_of_ending('nii.gz.gz')
    'make it end in .nii.gz, after one gunzip if it was packed twice'
    """
    small = ending.lower()
    last = small.rpartition('.')[2]
    if small in READ:
        return f'write its ending in small letters, .{small}'
    if small.startswith('nii.gz.gz'):
        return 'make it end in .nii.gz, after one gunzip if it was packed twice'
    if small.removesuffix('.gz') in ('img', 'hdr'):
        return (
            'pairs of .hdr and .img are not read; write one file by nib-convert (of nibabel), and '
            'look whether left is left, which Analyze does not tell'
        )
    if last in PACKED:
        return 'unpack it; only .nii and .nii.gz are read'
    if last in UNFINISHED:
        return 'a copy that did not come to an end; copy it again'
    by = CONVERTED_BY.get(small.removesuffix('.gz').rpartition('.')[2])
    return f'convert it to .nii.gz{f" by {by}" if by else ""}'
