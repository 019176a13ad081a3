"""What one image is: its grid, its kind of numbers, and which part of a complex image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bids_acc.bids.inputs import open_image
from bids_acc.exceptions import InputDataError
from bids_acc.func.raw import (
    MOSTLY_NEGATIVE,
    SOME_NEGATIVE,
    check_signal,
    negative_share,
    spacing_note,
)
from bids_acc.images.files import header_forms
from bids_acc.images.volumes import check_forms
from bids_acc.typing import FloatArray

PARTS: Mapping[str, str] = {
    'phase': 'phase', 'p': 'phase', 'real': 'real part', 'r': 'real part',
    'imag': 'imaginary part', 'i': 'imaginary part', 'imaginary': 'imaginary part',
}  # fmt: skip
"""Words of ``part-`` and of DICOM's ImageType that say which part of a complex image this is."""


def read_grid(path: Path) -> tuple[tuple[int, ...], FloatArray]:
    """Return shape and affine of an image.

    Parameters
    ----------
    path : Path
        NIfTI file, packed or not; voxels are not read.

    Returns
    -------
    shape : tuple of int
    affine : (4, 4) ndarray
        Voxel indices to scanner RAS, mm.
    """
    image = open_image(path)
    return tuple(int(n) for n in image.shape), np.asarray(image.affine, dtype=float)


def check_header(path: Path) -> None:
    """Refuse an image whose header does not tell left from right, or the size of a voxel.

    Parameters
    ----------
    path : Path
        NIfTI file; sform and qform are looked at, as far as their codes say that they count.

    Raises
    ------
    InputDataError
        See `bids_acc.images.volumes.check_forms`.
    """
    check_forms(*header_forms(path), str(path))


def grid_code(path: Path) -> int:
    """Return the NIfTI code of the affine in use: the sform's, or the qform's where there is none.

    Parameters
    ----------
    path : Path
        NIfTI file.

    Returns
    -------
    int
        0 unknown, 1 scanner, 2 aligned, 3 Talairach, 4 MNI152, 5 other template (nifti1.h).
    """
    header = open_image(path).header
    return int(header['sform_code']) or int(header['qform_code'])


def number_kind(path: Path) -> str:
    """Tell whether an image holds ``real`` or ``complex`` numbers.

    Parameters
    ----------
    path : Path
        NIfTI file; its data type is read from the header.

    Raises
    ------
    InputDataError
        If it holds colours.
    """
    kind = open_image(path).get_data_dtype().kind
    if kind not in 'iufc':
        raise InputDataError(f'{path} holds colours; write a magnitude image of grey values.')
    return 'complex' if kind == 'c' else 'real'


def image_part(entities: Mapping[str, str], metadata: Mapping[str, object]) -> str:
    """Tell which part of a complex image this is, by its name or by DICOM's ImageType.

    Parameters
    ----------
    entities : mapping
        With BIDS' ``part``, where the name has it.
    metadata : mapping
        Sidecar.

    Returns
    -------
    str
        ``phase``, ``real part``, ``imaginary part``; empty for a magnitude image.

    Examples
    --------
    >>> image_part({'part': 'phase'}, {}), image_part({}, {'ImageType': ['ORIGINAL', 'P', 'ND']})
    ('phase', 'phase')
    >>> image_part({'part': 'mag'}, {'ImageType': ['ORIGINAL', 'PRIMARY', 'M']})
    ''
    """
    if 'part' in entities:
        return PARTS.get(entities['part'].lower(), '')
    words = [str(word).lower() for word in as_list(metadata.get('ImageType'))]
    if {'m', 'magnitude'} & set(words):
        return ''
    return next((PARTS[word] for word in words if word in PARTS), '')


def as_list(value: object) -> list[object]:
    """Return metadata that may be a single value or a list as a list.

    Parameters
    ----------
    value : object
        From a sidecar, where BIDS allows either, such as ``IntendedFor`` or ``ImageType``.
    """
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def same_series(first: Path, second: Path) -> bool:
    """Tell whether two series are one that was converted or copied twice.

    Noise makes every volume its own, so that the first and the last tell.

    Parameters
    ----------
    first, second : Path
        4D images.
    """
    images = open_image(first), open_image(second)
    if images[0].shape != images[1].shape or len(images[0].shape) != 4:
        return False
    for at in (0, -1):
        one, other = (np.nan_to_num(np.asarray(image.dataobj[..., at])) for image in images)
        if not np.array_equal(one, other):
            return False
    return True


def said_twice(path: Path, other: Path) -> str:
    """Say that two files hold one series.

    Parameters
    ----------
    path : Path
        That is complained of.
    other : Path
        That comes before it.

    Examples
    --------
    >>> said_twice(Path('run-2.nii'), Path('run-1.nii'))
    'run-2.nii holds the same values as run-1.nii: a copy is no second run; fetch the right one.'
    """
    return (
        f'{path.name} holds the same values as {other.name}: a copy is no second run; fetch the '
        'right one.'
    )


def twin_of(path: Path, others: Iterable[Path]) -> Path | None:
    """Return the first of other series that holds the same values; None without one.

    Parameters
    ----------
    path : Path
        4D image.
    others : iterable of Path
        Those that come before it.
    """
    return next((other for other in others if same_series(other, path)), None)


def series_notes(path: Path, repetition_time: float) -> list[str]:
    """Say what is odd about a BOLD series by its header and its first volume.

    Parameters
    ----------
    path : Path
        4D image.
    repetition_time : float
        Of the sidecar, s.

    Returns
    -------
    list of str
        Sentences.

    Raises
    ------
    InputDataError
        If many values are below zero: the series was denoised, or its mean taken off.
    """
    image: Any = open_image(path)
    unit = {'msec': 1e-3, 'usec': 1e-6}.get(image.header.get_xyzt_units()[1], 1.0)
    said = [spacing_note(repetition_time, round(float(image.header.get_zooms()[3]) * unit, 6))]
    share = negative_share(np.asarray(image.dataobj[..., 0]))
    if share >= MOSTLY_NEGATIVE:
        raise InputDataError(
            f'{path}: {share:.0%} of its values are below 0, as of a series that was denoised or '
            'whose mean was taken off; give the series before that.'
        )
    if share >= SOME_NEGATIVE:
        said.append(
            f'{share:.1%} of its values are below 0, which no magnitude is: it may have been '
            'written as numbers that are too short (int16 for uint16).'
        )
    return list(filter(None, said))


def check_not_empty(path: Path) -> None:
    """Refuse a series in which every voxel is zero or NaN.

    Parameters
    ----------
    path : Path
        NIfTI file of four dimensions. The other volumes are read only where the first is empty.

    Raises
    ------
    InputDataError
        If no voxel of any volume holds a signal.
    """
    values = open_image(path).dataobj
    # Of most series the first volume tells; the rest is read only where that one is empty.
    if not np.nan_to_num(np.asarray(values[..., 0])).any():
        check_signal(np.asarray(values), str(path))
