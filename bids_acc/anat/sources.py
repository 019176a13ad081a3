"""Surfaces that others made: FreeSurfer-like subjects, GIFTI derivatives and CIVET outputs.

Each reader returns one hemisphere on its own mesh, in scanner RAS; `on_template` brings it to
the template mesh.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from nibabel.freesurfer.io import read_annot, read_geometry, read_morph_data

from bids_acc.exceptions import InputDataError, MissingInputError

from .geometry import Floats, Ints, vertex_areas
from .resampling import area_weights, barycentric_weights, resample_labels, resample_values
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


def read_civet(subject_dir: Path, hemi: str) -> NativeHemisphere:
    """Read a hemisphere of CIVET 2.x outputs.

    CIVET's surfaces lie in its own stereotaxic space, and its 40,962 vertices correspond among
    CIVET subjects, not to fsaverage.

    Parameters
    ----------
    subject_dir : Path
        With ``surfaces`` (``*_white_surface_left_calibrated_81920.obj``,
        ``*_gray_surface_left_81920.obj``) and ``thickness`` (``*_native_rms_rsl_*_left.txt``).
    hemi : str
        ``'L'`` or ``'R'``.

    Raises
    ------
    MissingInputError
        If a file is missing.
    InputDataError
        If a map has not 40,962 lines.
    """
    side = _CIVET_SIDE[hemi]

    def one(folder: str, pattern: str) -> Path:
        found = sorted((Path(subject_dir) / folder).glob(pattern))
        if not found:
            raise MissingInputError(f'{subject_dir}/{folder}: no file fits {pattern}.')
        return found[0]

    white, faces = read_obj(one('surfaces', f'*_white_surface_{side}*81920.obj'))
    pial, _ = read_obj(one('surfaces', f'*_gray_surface_{side}*81920.obj'))
    path = one('thickness', f'*_{side}.txt')
    thickness = np.loadtxt(path, ndmin=1)
    if len(thickness) != CIVET_VERTICES:
        raise InputDataError(f'{path} has {len(thickness)} lines, not {CIVET_VERTICES}.')
    areas = sorted((Path(subject_dir) / 'surfaces').glob(f'*_mid_surface*{side}*area*.txt'))
    area = np.loadtxt(areas[0]) if areas else vertex_areas((white + pial) / 2, faces)
    _check_length(area, white, areas[0] if areas else path)
    return NativeHemisphere(white, pial, faces, thickness, area, None)


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


def on_template(native: NativeHemisphere, mesh: TemplateHemisphere) -> ResampledHemisphere:
    """Bring a native hemisphere to the template mesh through its registered sphere.

    Thickness is interpolated from vertices that have one: a thickness of exactly zero is no
    measurement and is never averaged in. Area is handed over without loss. The subject's own
    labels are kept when there are any, the template's otherwise.

    Raises
    ------
    InputDataError
        If the mesh has no registered sphere (CIVET): its vertices stay CIVET's.
    """
    if native.sphere is None:
        raise InputDataError(
            'CIVET surfaces carry no registration to fsaverage; they stay on their own mesh.'
        )
    gather = barycentric_weights(native.sphere, native.faces, mesh.sphere)
    handed = area_weights(native.sphere, native.faces, mesh.sphere, mesh.faces)
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
