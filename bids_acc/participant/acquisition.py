"""What headers and gradient tables tell of how an image was acquired, in words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bids_acc.bids.inputs import open_image, read_gradients
from bids_acc.dwi.shells import find_shells
from bids_acc.typing import FloatArray


def number(metadata: Mapping[str, object], key: str) -> float | None:
    """Return a number of a sidecar, if it is one.

    Parameters
    ----------
    metadata : mapping
        Sidecar.
    key : str
        Such as ``EchoTime``; BIDS' unit is kept.

    Returns
    -------
    float or None
        None for text, lists and booleans.

    Examples
    --------
    >>> number({'EchoTime': 0.03, 'FlipAngle': '9'}, 'EchoTime')
    0.03
    >>> number({'EchoTime': 0.03, 'FlipAngle': '9'}, 'FlipAngle') is None
    True
    """
    value = metadata.get(key)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def voxel_words(path: Path) -> str:
    """Write the edges of an image's voxel, in mm; nothing where it cannot be read.

    Parameters
    ----------
    path : Path
        NIfTI file.

    Returns
    -------
    str
        Such as ``1 x 1 x 1 mm``.
    """
    try:
        return edges_words(np.asarray(open_image(path).header.get_zooms()[:3], dtype=float))
    except (OSError, ValueError):  # the plan says what is wrong with it
        return ''


def edges_words(edges: FloatArray) -> str:
    """Write three edges in mm.

    Parameters
    ----------
    edges : (3,) ndarray
        Lengths along the axes of the voxel, mm.

    Returns
    -------
    str
        With three significant digits each.

    Examples
    --------
    >>> edges_words(np.array([1.0, 1.0, 1.25]))
    '1 x 1 x 1.25 mm'
    """
    return ' x '.join(f'{edge:.3g}' for edge in edges) + ' mm'


def volumes_of(path: Path) -> int:
    """Count the volumes of an image; 0 where it cannot be read.

    Parameters
    ----------
    path : Path
        NIfTI file; one of three dimensions has one volume.
    """
    try:
        shape = open_image(path).shape
    except (OSError, ValueError):  # the plan says what is wrong with it
        return 0
    return int(shape[3]) if len(shape) > 3 else 1


def shells_words(bval: Path, bvec: Path) -> str:
    """Count the volumes of each shell; nothing where the tables cannot be read.

    ``4 x b 0, 30 x b 1000``

    Parameters
    ----------
    bval, bvec : Path
        FSL's gradient table.

    Returns
    -------
    str
        Shells in ascending order, s/mm2.
    """
    try:
        shells = find_shells(read_gradients(bval, bvec)[0])
    except (OSError, ValueError):  # the plan says what is wrong with it
        return ''
    counts = np.bincount(shells.labels, minlength=len(shells.bvalues))
    return ', '.join(f'{n} x b {b}' for n, b in zip(counts, shells.bvalues, strict=True))
