"""Write images and text so that equal content gives equal bytes."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from pathlib import Path

import nibabel as nb
import numpy as np
import numpy.typing as npt
import pandas as pd

from bids_acc.typing import ComplexArray, FloatArray

MRS_EXTENSION = 44
"""NIfTI extension code of NIfTI-MRS."""


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Write a JSON file, two spaces deep, with a final newline.

    Parameters
    ----------
    path : Path
        Its folders are made.
    content : mapping
        What JSON knows.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + '\n')


def write_tsv(path: Path, table: pd.DataFrame) -> None:
    """Write a table; missing values become ``n/a``.

    Parameters
    ----------
    path : Path
        Its folder must be there.
    table : DataFrame
        Written as it is, without its index.
    """
    table.to_csv(path, sep='\t', index=False, na_rep='n/a', lineterminator='\n')


def _write_gzip(path: Path, content: bytes, level: int = 4) -> None:
    """Compress without time stamp and file name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open('wb') as raw, gzip.GzipFile('', 'wb', level, raw, mtime=0) as packed:
        packed.write(content)


def write_image(
    path: Path, data: npt.NDArray[np.int16], affine: FloatArray, tr_s: float | None = None
) -> None:
    """Write a compressed NIfTI image in scanner coordinates.

    Parameters
    ----------
    path : Path
        File ending in ``.nii.gz``.
    data : ndarray of int16
        Image of three or four dimensions.
    affine : (4, 4) ndarray of float64
        Voxel to scanner, mm.
    tr_s : float, optional
        Time between volumes, s.
    """
    image = nb.Nifti1Image(data, affine)
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    image.header.set_xyzt_units('mm', 'sec')
    if tr_s is not None:
        image.header.set_zooms((*image.header.get_zooms()[:3], tr_s))
    _write_gzip(path, image.to_bytes())


def write_spectrum(
    path: Path,
    fid: ComplexArray,
    affine: FloatArray,
    dwell_time_s: float,
    header: Mapping[str, object],
) -> None:
    """Write one averaged decay as NIfTI-MRS.

    Parameters
    ----------
    path : Path
        File ending in ``.nii.gz``.
    fid : (n_points,) ndarray of complex128
        The decay.
    affine : (4, 4) ndarray of float64
        The voxel: its size and its place in scanner coordinates, mm.
    dwell_time_s : float
        Sampling interval, s.
    header : mapping
        The header extension's JSON.
    """
    image = nb.Nifti2Image(fid.astype(np.complex64).reshape(1, 1, 1, -1), affine)
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    image.header['intent_name'] = b'mrs_v0_10'
    image.header.set_xyzt_units('mm', 'sec')
    image.header.set_zooms((*image.header.get_zooms()[:3], dwell_time_s))
    content = json.dumps(dict(header)).encode()
    image.header.extensions.append(nb.nifti1.Nifti1Extension(MRS_EXTENSION, content))
    _write_gzip(path, image.to_bytes())
