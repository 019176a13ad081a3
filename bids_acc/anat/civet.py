"""Outputs of CIVET 2.x."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from bids_acc.anat.native import (
    NativeHemisphere,
    check_length,
    existing,
    only_file,
    wound_outwards,
)
from bids_acc.exceptions import InputDataError, MissingInputError
from bids_acc.surfaces.geometry import vertex_areas
from bids_acc.typing import FloatArray, IntArray

SIDE = {'L': 'left', 'R': 'right'}
N_VERTICES = 40962


CORRESPONDING = (
    'surfaces/*_white_surface_rsl_{side}*_81920.obj',
    'surfaces/*_gray_surface_rsl_{side}_81920.obj',
    'thickness/*_native_rms_rsl_t*_{side}.txt',
)
"""Files on the mesh whose vertices correspond among subjects."""


def corresponding_files(subject_dir: Path, hemi: str) -> list[Path]:
    """List the files of a hemisphere whose vertices correspond among subjects.

    Parameters
    ----------
    subject_dir : Path
        Folder of a scan in CIVET's output, with ``surfaces``, ``thickness`` and ``transforms``.
    hemi : str
        ``L`` or ``R``.

    Returns
    -------
    list of Path
        White and pial surface, thickness, and the linear transform to stereotaxic space.

    Raises
    ------
    MissingInputError
        If one is missing.
    """
    folder, side = Path(subject_dir), SIDE[hemi]
    found = []
    for pattern in (*CORRESPONDING, 'transforms/linear/*_t1_tal.xfm'):
        fits = sorted(folder.glob(pattern.format(side=side)))
        if not fits:
            raise MissingInputError(
                f'{folder}: no file fits {pattern.format(side=side)}: the resampled (rsl) files '
                'of CIVET are needed, whose vertices correspond among subjects.'
            )
        found += fits
    return found


def read_civet(subject_dir: Path, hemi: str) -> NativeHemisphere:
    """Read a hemisphere of CIVET 2.x outputs.

    CIVET writes two kinds of files: on the mesh of the subject, and resampled (``rsl``) so that
    its 40,962 vertices correspond among subjects. Only files of one kind belong together; the
    resampled ones are taken when surfaces and thickness are there. Of two white surfaces the
    calibrated one is the final one; of several thickness maps the least smoothed one is taken.

    Parameters
    ----------
    subject_dir : Path
        With ``surfaces`` (``*_white_surface[_rsl]_left[_calibrated]_81920.obj``,
        ``*_gray_surface[_rsl]_left_81920.obj``), ``thickness``
        (``*_native_rms[_rsl]_t*_left.txt``) and ``transforms/linear/*_t1_tal.xfm``.
    hemi : str
        ``'L'`` or ``'R'``.

    Returns
    -------
    NativeHemisphere
        In scanner RAS, by the inverse of CIVET's own linear transform; without a sphere, as
        CIVET's vertices do not correspond to fsaverage's. Area is that of the mid-surface.

    Raises
    ------
    MissingInputError
        If a file is missing.
    InputDataError
        If a file cannot be read, or has not 40,962 vertices.
    """
    folder, side = Path(subject_dir), SIDE[hemi]
    complete = all(list(folder.glob(pattern.format(side=side))) for pattern in CORRESPONDING)
    kind = '_rsl' if complete else ''
    # CIVET's surfaces lie in stereotaxic space, its thickness (native_rms) is that of the scan.
    to_scanner = np.linalg.inv(read_xfm(only_file(folder, 'transforms/linear/*_t1_tal.xfm')))
    white_file = only_file(
        folder,
        f'surfaces/*_white_surface{kind}_{side}_calibrated_81920.obj',
        f'surfaces/*_white_surface{kind}_{side}_81920.obj',
    )
    pial_file = only_file(folder, f'surfaces/*_gray_surface{kind}_{side}_81920.obj')
    white, faces = read_obj(white_file)
    pial, _ = read_obj(pial_file)
    for path, points in ((white_file, white), (pial_file, pial)):
        if len(points) != N_VERTICES:
            raise InputDataError(f'{path} has {len(points)} vertices, not {N_VERTICES}.')
    white, pial = (v @ to_scanner[:3, :3].T + to_scanner[:3, 3] for v in (white, pial))
    path = _least_smoothed(folder, f'thickness/*_native_rms{kind}_t*_{side}.txt')
    thickness = _read_values(path)
    check_length(thickness, white, path)
    faces = wound_outwards(white, faces)
    area = vertex_areas((white + pial) / 2, faces)
    return NativeHemisphere(
        white, pial, faces, thickness, area, None, smoothing_mm=_smoothing(path)
    )


def _smoothing(path: Path) -> float:
    """Read the width of the kernel off the name of a thickness map.

    Examples
    --------
    >>> _smoothing(Path('x_native_rms_rsl_tlink_30mm_left.txt'))
    30.0
    """
    found = re.search(r'_(\d+(?:\.\d+)?)mm_', path.name)
    return float(found[1]) if found else 0.0


def _least_smoothed(folder: Path, pattern: str) -> Path:
    """Return the map with the narrowest kernel."""
    found = sorted(folder.glob(pattern), key=lambda path: (_smoothing(path), path.name))
    if not found:
        raise MissingInputError(f'{folder}: no file fits {pattern} of CIVET 2.x.')
    return found[0]


def _read_values(path: Path) -> FloatArray:
    """Read one number a line."""
    try:
        return np.loadtxt(path, ndmin=1)
    except ValueError as error:
        raise InputDataError(f'{path} does not hold one number a line: {error}') from error


def read_obj(path: Path) -> tuple[FloatArray, IntArray]:
    """Read a surface in the MNI ``.obj`` text format (polygons of triangles).

    Parameters
    ----------
    path : Path
        In CIVET's output; coordinates are stereotaxic RAS, mm.

    Returns
    -------
    vertices : (n_vertices, 3) ndarray
        In the coordinates of the file.
    faces : (n_faces, 3) ndarray of int
        Indices of vertices, from 0.

    Raises
    ------
    InputDataError
        If the file is not such a surface.
    """
    words = existing(Path(path)).read_text(errors='replace').split()
    try:
        # "P", five numbers of the surface's lighting, and the count; then three coordinates and
        # three parts of a normal for each vertex.
        n_vertices = int(words[6]) if words[0] == 'P' else int(words[0])
        start = 7 + 6 * n_vertices
        vertices = np.array(words[7 : 7 + 3 * n_vertices], dtype=float).reshape(-1, 3)
        n_faces, colour = int(words[start]), int(words[start + 1])
        # One colour for all, for each polygon or for each vertex, four numbers each; the ends of
        # the polygons stand before their corners.
        n_colours = {0: 1, 1: n_faces, 2: n_vertices}[colour]
        first = start + 2 + 4 * n_colours + n_faces
        faces = np.array(words[first : first + 3 * n_faces], dtype=np.int64).reshape(n_faces, 3)
    except (IndexError, KeyError, ValueError) as error:
        raise InputDataError(f'{path} is no MNI .obj surface of triangles: {error}') from error
    return vertices, faces


def read_xfm(path: Path) -> FloatArray:
    """Read a linear MNI ``.xfm`` transform.

    Parameters
    ----------
    path : Path
        In CIVET's ``transforms/linear``.

    Returns
    -------
    (4, 4) ndarray
        From the native scanner RAS to the stereotaxic space in mm.

    Raises
    ------
    InputDataError
        If the file holds no linear transform.
    """
    found = re.search(r'Linear_Transform\s*=([^;]*);', existing(Path(path)).read_text())
    numbers = np.array((found[1] if found else '').split(), dtype=float)
    if numbers.size != 12:
        raise InputDataError(f'{path} holds no Linear_Transform of 12 numbers.')
    return np.vstack([numbers.reshape(3, 4), [0, 0, 0, 1]])
