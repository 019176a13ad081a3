"""Volumes and gradient tables as they are in the files; complex images as their magnitude."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nb
import numpy as np
import numpy.typing as npt

from bids_acc.dwi.shells import bvecs_from_scanner
from bids_acc.exceptions import GridMismatchError, InputDataError
from bids_acc.files.reading import check_gzip, number_table, read_whole
from bids_acc.images.files import read_image
from bids_acc.typing import FloatArray

Volumes = npt.NDArray[np.float32]

SAME_DIRECTION = 0.999
"""Cosine from which two directions are one; 2.6 degrees."""
MRTRIX = '.b'
"""Ending of MRtrix3's gradient tables."""


def read_volumes(
    path: str | Path, imaginary: str | Path | None = None
) -> tuple[Volumes, FloatArray]:
    """Read an image with a fourth dimension, complex numbers as their magnitude.

    The phase of diffusion-weighted images changes from shot to shot with the slightest motion, so
    that only magnitudes can be compared between volumes.

    Parameters
    ----------
    path : Path
        NIfTI image.
    imaginary : Path, optional
        Imaginary part, where ``path`` is the real one.

    Returns
    -------
    data : (i, j, k, n) ndarray of float32
    affine : (4, 4) ndarray

    Raises
    ------
    InputDataError
        If a file cannot be read, or the parts do not fit each other.
    """
    data, affine = _magnitude(path)
    if imaginary:
        other, grid = read_image(imaginary, foreign=True)
        if other.shape != data.shape or not np.allclose(affine, grid, atol=1e-2):
            raise GridMismatchError(
                f'{imaginary} has another grid {other.shape} than the real part {path} '
                f'{data.shape}; convert both again.'
            )
        data = np.hypot(data, other)
    return (data if data.ndim == 4 else data.reshape(*data.shape[:3], -1)), affine


def _magnitude(path: str | Path) -> tuple[Volumes, FloatArray]:
    """Read an image; the magnitude of complex numbers."""
    try:
        image: Any = nb.load(Path(path))
        if image.get_data_dtype().kind != 'c':
            return read_image(path, foreign=True)
        check_gzip(path)
        values = np.abs(np.asarray(image.dataobj))
    except (nb.filebasedimages.ImageFileError, OSError, EOFError) as error:
        raise InputDataError(f'{path} is no readable image ({error}); fetch it again.') from error
    return values.astype(np.float32), np.asarray(image.affine, dtype=np.float64)


def copied_volumes(data: Volumes, bvals: npt.ArrayLike, bvecs: npt.ArrayLike) -> dict[int, int]:
    """Find weighted volumes that hold the values of an earlier one of another weighting.

    Noise alone makes any two volumes of a scanner different. Where a reconstruction or conversion
    writes one twice, the later is not what the gradient table says of it.

    Parameters
    ----------
    data : (nx, ny, nz, n_volumes) ndarray
        Signal.
    bvals : (n_volumes,) array_like
        s/mm2.
    bvecs : (n_volumes, 3) array_like
        Directions; zero for b = 0, of which a copy does no harm.

    Returns
    -------
    dict of int to int
        Copy to the volume that it repeats. Empty where more than a quarter of the weighted volumes
        are copies: such images are simulated.

    Examples
    --------
    >>> volumes = np.arange(8, dtype=np.float32)[None, None, None, [0, 1, 2, 3, 4, 2]]
    >>> directions = np.vstack([[0, 0, 0], np.eye(3), -np.eye(3)[1:]])
    >>> copied_volumes(volumes, [0] + [1000] * 5, directions)
    {5: 2}
    """
    directions, strength = np.asarray(bvecs, dtype=float), np.asarray(bvals, dtype=float)
    lit = np.array([np.any(data[..., n]) for n in range(data.shape[3])])
    weighted = np.flatnonzero(directions.any(axis=1) & lit)
    totals = np.array([np.sum(data[..., n], dtype=np.float64) for n in weighted])
    copies: dict[int, int] = {}
    for place, volume in enumerate(weighted):
        for before in weighted[:place][totals[:place] == totals[place]]:
            other = abs(directions[volume] @ directions[before]) < SAME_DIRECTION
            other |= abs(strength[volume] - strength[before]) > 0.1 * strength[before]
            if other and np.array_equal(data[..., volume], data[..., before]):
                copies[int(volume)] = int(before)
                break
    return copies if len(copies) <= len(weighted) / 4 else {}


def read_base(path: str | Path, b0_threshold: float) -> tuple[Volumes, FloatArray]:
    """Read the b = 0 volumes of an image; all of them where no b-values lie beside it.

    Parameters
    ----------
    path : Path
        NIfTI image.
    b0_threshold : float
        Largest b-value that counts as zero, s/mm2.
    """
    data, affine = read_volumes(path)
    table = Path(path).with_name(Path(path).name.partition('.')[0] + '.bval')
    if not table.is_file():
        return data, affine
    bvals = read_numbers(table).ravel()
    if bvals.size != data.shape[3]:
        return data, affine
    lowest = max(b0_threshold, float(bvals.min()))
    return data[..., bvals <= lowest], affine


def read_numbers(path: str | Path) -> FloatArray:
    """Read a table of numbers.

    Parameters
    ----------
    path : Path
        Separated by white space; ``#`` starts a comment.

    Returns
    -------
    (n_rows, n_columns) ndarray

    Raises
    ------
    InputDataError
        If it holds something else.
    """
    try:
        return number_table(read_whole(path))
    except (ValueError, OSError) as error:
        raise InputDataError(f'{path} does not hold a table of numbers: {error}') from error


def read_table(
    bval: str | Path, bvec: str | Path, affine: npt.ArrayLike
) -> tuple[FloatArray, FloatArray]:
    """Read FSL gradient files, or the directions of MRtrix3's.

    Parameters
    ----------
    bval : Path
        b-values in s/mm2, in a row or a column.
    bvec : Path
        Directions in FSL's frame (voxel axes, the first one flipped where the affine's determinant
        is positive); or a file ``.b`` with rows x, y, z, b in the scanner's frame.
    affine : (4, 4) array_like
        Of the image.

    Returns
    -------
    bvals : (n_volumes,) ndarray
    bvecs : (3, n_volumes) or (n_volumes, 3) ndarray
        As in the file; of MRtrix3's turned into FSL's frame.

    Raises
    ------
    InputDataError
        If they hold no numbers.
    """
    bvals, bvecs = read_numbers(bval).ravel(), read_numbers(bvec)
    if Path(bvec).suffix == MRTRIX:
        return bvals, bvecs_from_scanner(bvecs[:, :3], affine)
    return bvals, bvecs.T if bvecs.shape == (3, bvals.size) else bvecs  # BIDS': three rows
