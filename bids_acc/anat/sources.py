"""Surfaces that others made: one reader for each source, and a look at them before use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np

from bids_acc.anat.civet import read_civet
from bids_acc.anat.freesurfer import read_freesurfer
from bids_acc.anat.native import NativeHemisphere, check_length, only_file
from bids_acc.exceptions import InputDataError
from bids_acc.surfaces.geometry import vertex_areas
from bids_acc.surfaces.gifti import read_map, read_surface
from bids_acc.surfaces.template import HEMISPHERES


def read_gifti(anat_dir: Path, hemi: str) -> NativeHemisphere:
    """Read a hemisphere of sMRIPrep or fMRIPrep GIFTI derivatives, on the native mesh.

    Parameters
    ----------
    anat_dir : Path
        Folder with ``*_hemi-L_white.surf.gii``, ``pial``, the sphere registered to fsaverage
        (``*_space-fsaverage_desc-reg_sphere.surf.gii``; older versions leave ``space`` out) and
        ``thickness.shape.gii``.
    hemi : str
        ``'L'`` or ``'R'``.

    Returns
    -------
    NativeHemisphere
        Without labels; area is that of the mid-surface.

    Raises
    ------
    MissingInputError
        If a file is missing.
    InputDataError
        If more than one file fits, or a map does not fit the surface.
    """

    def one(*patterns: str) -> Path:
        return only_file(Path(anat_dir), *(f'*_hemi-{hemi}_{pattern}' for pattern in patterns))

    white, faces = read_surface(one('white.surf.gii'))
    paths = (
        one('pial.surf.gii'),
        one('space-fsaverage_desc-reg_sphere.surf.gii', 'desc-reg_sphere.surf.gii'),
    )
    pial, sphere = (read_surface(path)[0] for path in paths)
    path = one('thickness.shape.gii')
    thickness = read_map(path).astype(float)
    for values, where in zip((pial, sphere, thickness), (*paths, path), strict=True):
        check_length(values, white, where)
    area = vertex_areas((white + pial) / 2, faces)
    return NativeHemisphere(white, pial, faces, thickness, area, sphere)


READERS: Mapping[str, Callable[[Path, str], NativeHemisphere]] = MappingProxyType(
    {'freesurfer': read_freesurfer, 'gifti': read_gifti, 'civet': read_civet}
)
"""What reads a hemisphere of each source."""


def inspect_surfaces(source: str, folder: Path) -> tuple[str, float]:
    """Read both hemispheres, so that a broken subject is known before anything is computed.

    Parameters
    ----------
    source : str
        A key of `READERS`.
    folder : Path
        FreeSurfer or CIVET subject, or ``anat`` folder with GIFTI surfaces.

    Returns
    -------
    atlas : str
        Of the subject's own labels, ``'DKT'`` or ``'Desikan'``; empty without any.
    smoothing_mm : float
        Kernel (FWHM) with which the source smoothed thickness.

    Raises
    ------
    MissingInputError
        If a file is missing.
    InputDataError
        If a file is damaged or does not fit the others, or nothing was measured.
    """
    atlas, smoothing_mm = '', 0.0
    for hemi in HEMISPHERES:
        native = READERS[source](Path(folder), hemi)
        if not (np.isfinite(native.thickness) & (native.thickness > 0)).any():
            raise InputDataError(
                f'{folder}: the thickness of the {source} surfaces is zero at every vertex of '
                f'hemisphere {hemi}.'
            )
        atlas, smoothing_mm = native.atlas, max(smoothing_mm, native.smoothing_mm)
    return atlas, smoothing_mm
