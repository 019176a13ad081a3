"""Surfaces that others made: FreeSurfer-like subjects, GIFTI derivatives and CIVET outputs.

Each reader returns one hemisphere on its own mesh, in scanner RAS; `on_template` brings it to
the template mesh.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from nibabel.freesurfer.io import read_annot, read_geometry, read_morph_data

from bids_acc.exceptions import InputDataError, MissingInputError

from .geometry import Floats, Ints, vertex_areas, vertex_normals
from .resampling import (
    area_weights,
    barycentric_weights,
    nearest_weights,
    resample_labels,
    resample_values,
)
from .surfaces_io import read_map, read_surface
from .template import MEDIAL_WALL, TemplateHemisphere

_PREFIX = {'L': 'lh', 'R': 'rh'}
_CIVET_SIDE = {'L': 'left', 'R': 'right'}
CIVET_VERTICES = 40962


@dataclass(frozen=True)
class NativeHemisphere:
    """One hemisphere as its software left it."""

    white: Floats
    """(n_vertices, 3) in scanner RAS, mm."""
    pial: Floats
    """(n_vertices, 3) in scanner RAS, mm."""
    faces: Ints
    """(n_faces, 3)."""
    thickness: Floats
    """(n_vertices,) in mm; zero where the software measured none."""
    area: Floats
    """(n_vertices,) in mm2."""
    sphere: Floats | None
    """(n_vertices, 3) registered to fsaverage; None where the software has another template."""
    labels: Ints | None = None
    """(n_vertices,) codes of its own atlas."""
    names: dict[int, str] | None = None
    """Code to name."""
    atlas: str = ''
    """``DKT`` or ``Desikan``, when labels are there."""


def _existing(path: Path) -> Path:
    """Return the path if the file is there."""
    if not path.is_file():
        raise MissingInputError(f'{path} is missing: the surface source is incomplete.')
    return path


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
        Coordinates moved from the surface frame to scanner RAS by ``c_ras``.

    Raises
    ------
    MissingInputError
        If a file is missing.
    InputDataError
        If the maps do not fit the surface.
    """
    surf, prefix = Path(subject_dir) / 'surf', _PREFIX[hemi]
    vertices = {}
    for kind in ('white', 'pial'):
        vertices[kind], faces = _read_placed(_existing(surf / f'{prefix}.{kind}'))
    sphere, _ = read_geometry(_existing(surf / f'{prefix}.sphere.reg'))
    maps = {}
    for kind in ('thickness', 'area'):
        path = _existing(surf / f'{prefix}.{kind}')
        maps[kind] = np.asarray(read_morph_data(path), dtype=np.float64)
        _check_length(maps[kind], vertices['white'], path)
    labels, names, atlas = _read_annot(Path(subject_dir) / 'label', prefix)
    return NativeHemisphere(
        vertices['white'], vertices['pial'], faces, maps['thickness'], maps['area'],
        np.asarray(sphere, dtype=np.float64), labels, names, atlas,
    )  # fmt: skip


def _read_placed(path: Path) -> tuple[Floats, Ints]:
    """Read a FreeSurfer surface and move it to scanner RAS; without ``c_ras`` it has no place."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        points, faces, info = read_geometry(path, read_metadata=True)
    if 'cras' not in info:
        raise InputDataError(
            f'{path} holds no volume geometry (c_ras), so its place in the scanner is unknown; '
            'write it again with mris_convert --to-scanner or recon-all.'
        )
    return points + np.asarray(info['cras'], dtype=float), np.asarray(faces, dtype=np.int64)


def _read_annot(folder: Path, prefix: str) -> tuple[Ints | None, dict[int, str] | None, str]:
    """Read the DKT annotation, or else the Desikan-Killiany one, or neither."""
    for name, atlas in (('aparc.DKTatlas', 'DKT'), ('aparc', 'Desikan')):
        for path in sorted(folder.glob(f'{prefix}.{name}*.annot'), key=lambda p: len(p.name)):
            if atlas == 'Desikan' and path.name != f'{prefix}.aparc.annot':
                continue
            codes, _, found = read_annot(path)
            names = {i: n.decode() for i, n in enumerate(found)}
            names[0] = MEDIAL_WALL
            return np.maximum(codes, 0).astype(np.int64), names, atlas
    return None, None, ''


def _check_length(values: npt.ArrayLike, vertices: Floats, path: Path) -> None:
    """Refuse a map that has not one value per vertex."""
    if len(np.asarray(values)) != len(vertices):
        raise InputDataError(
            f'{path} has {len(np.asarray(values))} values for {len(vertices)} vertices.'
        )


def read_gifti(anat_dir: Path, hemi: str) -> NativeHemisphere:
    """Read a hemisphere of sMRIPrep or fMRIPrep GIFTI derivatives, on the native mesh.

    Parameters
    ----------
    anat_dir : Path
        Folder with ``*_hemi-L_white.surf.gii`` (or ``smoothwm``), ``pial``, the registered
        sphere (``*_space-fsaverage_desc-reg_sphere.surf.gii``) and ``thickness.shape.gii``.
    hemi : str
        ``'L'`` or ``'R'``.

    Raises
    ------
    MissingInputError
        If a file is missing.
    InputDataError
        If more than one file fits, or a map does not fit the surface.
    """

    def one(*patterns: str) -> Path:
        for pattern in patterns:
            found = [
                p for p in sorted(Path(anat_dir).glob(f'*hemi-{hemi}_{pattern}'))
                if '_den-' not in p.name
            ]  # fmt: skip
            if len(found) > 1:
                raise InputDataError(f'{anat_dir}: {len(found)} files fit hemi-{hemi}_{pattern}.')
            if found:
                return found[0]
        raise MissingInputError(f'{anat_dir}: no file fits hemi-{hemi}_{patterns[0]}.')

    white, faces = read_surface(one('white.surf.gii', 'smoothwm.surf.gii'))
    pial, _ = read_surface(one('pial.surf.gii'))
    sphere, _ = read_surface(one('space-fsaverage_desc-reg_sphere.surf.gii'))
    path = one('thickness.shape.gii')
    thickness = read_map(path).astype(float)
    for values in (thickness, pial, sphere):
        _check_length(values, white, path)
    area = vertex_areas((white + pial) / 2, faces)
    return NativeHemisphere(white, pial, faces, thickness, area, sphere)


def read_obj(path: Path) -> tuple[Floats, Ints]:
    """Read a surface in the MNI ``.obj`` text format (polygons of triangles).

    Raises
    ------
    InputDataError
        If the file is not such a surface.
    """
    words = _existing(Path(path)).read_text().split()
    try:
        n_vertices = int(words[6]) if words[0] == 'P' else int(words[0])
        start = 7 + 6 * n_vertices
        vertices = np.array(words[7 : 7 + 3 * n_vertices], dtype=float).reshape(-1, 3)
        n_faces, colour = int(words[start]), int(words[start + 1])
        n_colours = {0: 1, 1: n_faces, 2: n_vertices}[colour]
        first = start + 2 + 4 * n_colours + n_faces
        faces = np.array(words[first : first + 3 * n_faces], dtype=np.int64).reshape(n_faces, 3)
    except (IndexError, KeyError, ValueError) as error:
        raise InputDataError(f'{path} is no MNI .obj surface of triangles: {error}') from error
    return vertices, faces


def read_xfm(path: Path) -> Floats:
    """Read a linear MNI ``.xfm`` transform.

    Returns
    -------
    (4, 4) ndarray
        From the native scanner RAS to the stereotaxic space in mm.

    Raises
    ------
    InputDataError
        If the file holds no linear transform.
    """
    found = re.search(r'Linear_Transform\s*=([^;]*);', _existing(Path(path)).read_text())
    numbers = np.array((found[1] if found else '').split(), dtype=float)
    if numbers.size != 12:
        raise InputDataError(f'{path} holds no Linear_Transform of 12 numbers.')
    return np.vstack([numbers.reshape(3, 4), [0, 0, 0, 1]])


def read_civet(subject_dir: Path, hemi: str) -> NativeHemisphere:
    """Read a hemisphere of CIVET 2.x outputs.

    CIVET writes two kinds of files: on the mesh of the subject, and resampled (``rsl``) so that
    its 40,962 vertices correspond among subjects. Only files of one kind belong together; the
    resampled ones are taken when the surfaces are there too.

    Parameters
    ----------
    subject_dir : Path
        With ``surfaces`` (``*_white_surface[_rsl]_left[_calibrated]_81920.obj``,
        ``*_gray_surface[_rsl]_left_81920.obj``), ``thickness``
        (``*_native_rms[_rsl]_tlink_*_left.txt``) and ``transforms/linear/*_t1_tal.xfm``.
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
        If a map has not 40,962 lines.
    """
    folder, side = Path(subject_dir), _CIVET_SIDE[hemi]
    resampled = '_rsl' if list(folder.glob(f'surfaces/*_gray_surface_rsl_{side}*.obj')) else ''

    def one(pattern: str) -> Path:
        found = sorted(folder.glob(pattern))
        if not found:
            raise MissingInputError(f'{folder}: no file fits {pattern} of CIVET 2.x.')
        return found[0]

    to_scanner = np.linalg.inv(read_xfm(one_xfm(folder)))
    white, faces = read_obj(one(f'surfaces/*_white_surface{resampled}_{side}*81920.obj'))
    pial, _ = read_obj(one(f'surfaces/*_gray_surface{resampled}_{side}*81920.obj'))
    white, pial = (v @ to_scanner[:3, :3].T + to_scanner[:3, 3] for v in (white, pial))
    path = one(f'thickness/*_native_rms{resampled}_t*_{side}.txt')
    thickness = np.loadtxt(path, ndmin=1)
    if len(thickness) != CIVET_VERTICES:
        raise InputDataError(f'{path} has {len(thickness)} lines, not {CIVET_VERTICES}.')
    _check_length(thickness, white, path)
    area = vertex_areas((white + pial) / 2, faces)
    return NativeHemisphere(white, pial, faces, thickness, area, None)


def one_xfm(folder: Path) -> Path:
    """Return CIVET's transform from scanner to stereotaxic space."""
    found = sorted((Path(folder) / 'transforms' / 'linear').glob('*_t1_tal.xfm'))
    if not found:
        raise MissingInputError(
            f'{folder}/transforms/linear: no *_t1_tal.xfm, so the place of the CIVET surfaces in '
            'the scanner is unknown.'
        )
    return found[0]


@dataclass(frozen=True)
class ResampledHemisphere:
    """One hemisphere on the template mesh."""

    white: Floats
    pial: Floats
    thickness: Floats
    """NaN on the medial wall and where the software measured none."""
    area: Floats
    """Its sum over all vertices, medial wall included, is that of the native mesh."""
    labels: Ints
    names: dict[int, str]


def on_template(
    native: NativeHemisphere, mesh: TemplateHemisphere, placed: tuple[Floats, Floats] | None = None
) -> ResampledHemisphere:
    """Bring a native hemisphere to the template mesh.

    Correspondence comes from the registered sphere; without one (CIVET), from place and
    direction of the template's surfaces in the subject, after registration of the T1w.
    Thickness is interpolated from vertices that have one: a thickness of exactly zero is no
    measurement and is never averaged in. Area is handed over without loss. The subject's own
    labels are kept when there are any, the template's otherwise.

    Parameters
    ----------
    native : NativeHemisphere
        As read.
    mesh : TemplateHemisphere
        Where to.
    placed : tuple of (n_vertices, 3) ndarray, optional
        White and pial surface of the template carried to the subject; read without a sphere.

    Raises
    ------
    InputDataError
        If there is neither a sphere nor a registration.
    """
    if native.sphere is not None:
        gather = barycentric_weights(native.sphere, native.faces, mesh.sphere)
        handed = area_weights(native.sphere, native.faces, mesh.sphere, mesh.faces)
    elif placed is not None:
        start, target = (
            _placed((native.white, native.pial), native.faces),
            _placed(placed, mesh.faces),
        )
        gather, handed = nearest_weights(start, target), nearest_weights(target, start).T
    else:
        raise InputDataError(
            'these surfaces carry no registration to fsaverage: the T1w must be registered.'
        )
    measured = np.where(native.thickness > 0, native.thickness, np.nan)
    labels, names = mesh.labels, mesh.names
    if native.labels is not None and native.names is not None:
        labels, names = resample_labels(gather, native.labels), native.names
    return ResampledHemisphere(
        gather @ native.white,
        gather @ native.pial,
        np.where(mesh.cortex, resample_values(gather, measured), np.nan),
        handed @ native.area,
        labels,
        names,
    )


def _placed(surfaces: tuple[Floats, Floats], faces: Ints) -> Floats:
    """Return place on the mid-surface and ten times its normal, (n_vertices, 6)."""
    mid = (surfaces[0] + surfaces[1]) / 2
    return np.hstack([mid, 10.0 * vertex_normals(mid, faces)])
