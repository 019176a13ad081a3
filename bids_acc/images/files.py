"""Images and tables as files."""

from __future__ import annotations

from pathlib import Path

import nibabel as nb
import numpy as np
import numpy.typing as npt
import pandas as pd
from nibabel.openers import ImageOpener

from bids_acc.exceptions import GridMismatchError, InputDataError
from bids_acc.files.reading import check_gzip, reading
from bids_acc.tables.writing import write_tsv
from bids_acc.typing import FloatArray


def read_image(
    path: str | Path, *, foreign: bool = False
) -> tuple[npt.NDArray[np.float32], FloatArray]:
    """Read an image's values and its affine.

    Parameters
    ----------
    path : Path
        NIfTI image.
    foreign : bool
        Whether it comes from outside, so that its checksum is looked at.

    Raises
    ------
    InputDataError
        If it is no readable NIfTI image.
    """
    if foreign:
        check_gzip(path)
    with reading(path, 'image', 'fetch it again'):
        image = nb.load(Path(path))
        values = image.get_fdata(dtype=np.float32)  # type: ignore[attr-defined]
    return values, np.asarray(image.affine, dtype=np.float64)  # type: ignore[attr-defined]


def header_forms(path: str | Path) -> tuple[FloatArray | None, FloatArray | None]:
    """Return sform and qform of a NIfTI file as its header holds them, before any repair.

    Parameters
    ----------
    path : Path
        NIfTI-1 or NIfTI-2 image.

    Returns
    -------
    sform, qform : (4, 4) ndarray or None
        None where the code is zero. A qform beside an sform is None, too, where it is none: its
        quaternion cannot be a rotation, or the sizes of its voxels (pixdim) are zero.

    Raises
    ------
    InputDataError
        If the qform stands alone and is none, or the header cannot be read.
    """
    with reading(path, 'NIfTI image', 'copy or convert it again'):
        with ImageOpener(str(path), 'rb') as stream:
            start = stream.read(4)
            kind = nb.Nifti2Header if start in NIFTI2_SIZES else nb.Nifti1Header
            stream.seek(0)
            header = kind.from_fileobj(stream, check=False)
        sform = np.asarray(header.get_sform(), float) if header['sform_code'] > 0 else None
        if not header['qform_code'] > 0:
            return sform, None
        sizes = np.abs(np.asarray(header['pixdim'][1:4], dtype=float))
        problem = '' if (sizes > 0).all() else f'pixdim, the sizes of voxels, is {sizes.tolist()}'
        header['pixdim'][1:4] = np.where(sizes > 0, sizes, 1)
        if header['pixdim'][0] not in (-1, 1):
            header['pixdim'][0] = 1  # as NIfTI says
        try:
            qform = np.asarray(header.get_qform(), dtype=float)
        except ValueError as error:
            problem = problem or f'its quaternion is no rotation ({error})'
        else:
            problem = problem or ('' if np.isfinite(qform).all() else 'it is not finite')
    if not problem:
        return sform, qform
    if sform is None:
        raise InputDataError(
            f'{path}: the qform of the header, which alone is set, cannot be used: {problem}; '
            'convert the image again from DICOM.'
        )
    return sform, None


NIFTI2_SIZES = (b'\x1c\x02\x00\x00', b'\x00\x00\x02\x1c')
"""Size of the header of NIfTI-2 in either byte order."""


def write_image(
    values: npt.ArrayLike,
    affine: npt.ArrayLike,
    path: Path,
    repetition_time: float | None = None,
) -> Path:
    """Write a NIfTI image in scanner space.

    Parameters
    ----------
    values : (nx, ny, nz) or (nx, ny, nz, n_volumes) array_like
        Of bool: stored as bytes; all else as float32.
    affine : (4, 4) array_like
        Voxel to scanner RAS in mm; becomes sform and qform, both with code 1.
    path : Path
        Ends in ``.nii`` or ``.nii.gz``.
    repetition_time : float, optional
        Time between volumes, s.

    Returns
    -------
    Path
        ``path``.
    """
    array = np.asarray(values)
    array = array.astype(np.uint8 if array.dtype == bool else np.float32)
    image = nb.Nifti1Image(array, np.asarray(affine, dtype=float))
    image.header.set_xyzt_units('mm', 'sec')
    if repetition_time is not None:
        image.header.set_zooms((*image.header.get_zooms()[:3], repetition_time))
    image.set_sform(image.affine, 1)
    image.set_qform(image.affine, 1)
    image.to_filename(path)
    return path


def check_same_grid(
    first: tuple[tuple[int, ...], FloatArray], other: tuple[tuple[int, ...], FloatArray], name: str
) -> None:
    """Refuse images whose voxels do not lie at the same places.

    Parameters
    ----------
    first, other : tuple of shape and (4, 4) ndarray
        Grid: voxels along each axis (volumes behind them do not count), and affine in mm.
    name : str
        File of ``other``, for the message.

    Raises
    ------
    GridMismatchError
        If shapes or affines (by more than 0.01 mm) differ.
    """
    same = first[0][:3] == other[0][:3] and np.allclose(first[1], other[1], atol=1e-2)
    if not same:
        raise GridMismatchError(
            f'{name} has another grid ({other[0][:3]}) than the first run ({first[0][:3]}); '
            'runs that are analysed together must have been acquired with the same geometry. '
            'Select one of them with --bids-filter-file.'
        )


def format_table(frame: pd.DataFrame, path: Path) -> Path:
    """Write a table as BIDS wants it: tabs, ``n/a``, six significant digits.

    Parameters
    ----------
    frame : DataFrame
        Its index is not written; NaN and None become ``n/a``.
    path : Path
        Ends in ``.tsv``.

    Returns
    -------
    Path
        ``path``.
    """
    write_tsv(path, frame)
    return path
