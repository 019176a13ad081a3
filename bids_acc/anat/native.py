"""A hemisphere as other software left it, and its way to the template mesh (arrays)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bids_acc.exceptions import ComputationError, InputDataError, MissingInputError
from bids_acc.surfaces.geometry import enclosed_volume, vertex_normals, vertex_volumes
from bids_acc.surfaces.resampling import (
    area_weights,
    barycentric_weights,
    nearest_weights,
    resample_labels,
    resample_values,
)
from bids_acc.surfaces.template import MEDIAL_WALL, TemplateHemisphere
from bids_acc.typing import FloatArray, IntArray


@dataclass(frozen=True)
class NativeHemisphere:
    """One hemisphere on its own mesh, in scanner RAS."""

    white: FloatArray
    """(n_vertices, 3) in mm."""
    pial: FloatArray
    """(n_vertices, 3) in mm."""
    faces: IntArray
    """(n_faces, 3)."""
    thickness: FloatArray
    """(n_vertices,) in mm; zero where the software measured none."""
    area: FloatArray
    """(n_vertices,) in mm2."""
    sphere: FloatArray | None
    """(n_vertices, 3) registered to fsaverage; None where the software has another template."""
    labels: IntArray | None = None
    """(n_vertices,) codes of its own atlas; 0 is the medial wall."""
    names: dict[int, str] | None = None
    """Code to name."""
    atlas: str = ''
    """``DKT`` or ``Desikan``, when labels are there."""
    smoothing_mm: float = 0.0
    """Full width at half maximum with which the software smoothed thickness."""


def existing(path: Path) -> Path:
    """Return the path if the file is there.

    Parameters
    ----------
    path : Path
        A file that a derivative must hold.

    Raises
    ------
    MissingInputError
        If it is not.
    """
    if not path.is_file():
        raise MissingInputError(f'{path} is missing: the surface source is incomplete.')
    return path


def only_file(folder: Path, *patterns: str) -> Path:
    """Return the one file that fits the first of some patterns that any file fits.

    Parameters
    ----------
    folder : Path
        Where other software left its results.
    *patterns : str
        Of names below the folder (`pathlib.Path.glob`), the one wanted most first.

    Raises
    ------
    MissingInputError
        If none fits any of them; the first is named.
    InputDataError
        If several fit: which of them is meant cannot be told.
    """
    for pattern in patterns:
        found = sorted(folder.glob(pattern))
        if len(found) > 1:
            names = ', '.join(path.name for path in found)
            raise InputDataError(f'{folder}: more than one file fits {pattern}: {names}.')
        if found:
            return found[0]
    raise MissingInputError(f'{folder}: no file fits {patterns[0]}.')


def check_length(values: npt.ArrayLike, vertices: FloatArray, path: Path) -> None:
    """Refuse a map that has not one value per vertex.

    Parameters
    ----------
    values : (n_values,) array_like
        Of the file.
    vertices : (n_vertices, 3) ndarray
        Of the surface that they belong to.
    path : Path
        File of the values, for the message.

    Raises
    ------
    InputDataError
        Naming file and counts.
    """
    if len(np.asarray(values)) != len(vertices):
        raise InputDataError(
            f'{path} has {len(np.asarray(values))} values for {len(vertices)} vertices.'
        )


def wound_outwards(vertices: FloatArray, faces: IntArray) -> IntArray:
    """Return the faces, turned over if the mesh is wound inwards.

    CIVET extracts the right hemisphere mirrored, which turns the winding over; direction counts
    where vertices are matched by their normals.

    Parameters
    ----------
    vertices : (n_vertices, 3) ndarray
        Of a closed mesh, mm.
    faces : (n_faces, 3) ndarray of int
        All wound the same way.

    Returns
    -------
    (n_faces, 3) ndarray of int
        Counter-clockwise as seen from outside.
    """
    return faces if enclosed_volume(vertices, faces) >= 0 else faces[:, ::-1].copy()


@dataclass(frozen=True)
class ResampledHemisphere:
    """One hemisphere on the template mesh."""

    white: FloatArray
    pial: FloatArray
    thickness: FloatArray
    """NaN on the medial wall and where the software measured none."""
    area: FloatArray
    """Its sum over all vertices, medial wall included, is that of the native mesh."""
    volume: FloatArray
    """Of the prisms between the native surfaces, handed over as area is."""
    labels: IntArray
    names: dict[int, str]


def on_template(
    native: NativeHemisphere,
    mesh: TemplateHemisphere,
    placed: tuple[FloatArray, FloatArray] | None = None,
) -> ResampledHemisphere:
    """Bring a native hemisphere to the template mesh.

    Correspondence comes from the registered sphere; without one (CIVET), from place and
    direction of the template's surfaces in the subject, after registration of the T1w.
    Thickness is interpolated from vertices that have one: a thickness of exactly zero is no
    measurement, nor is one on the subject's own medial wall, and neither is ever averaged in.
    Area is handed over without loss. The subject's own labels are kept when there are any, the
    template's otherwise.

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
        If there is neither a sphere nor a registration, or the sphere has holes or folds.
    """
    if native.sphere is not None:
        try:
            gather = barycentric_weights(native.sphere, native.faces, mesh.sphere)
            handed = area_weights(native.sphere, native.faces, mesh.sphere, mesh.faces)
        except ComputationError as error:
            raise InputDataError(f'the registered sphere cannot be used: {error}') from error
    elif placed is not None:
        start, target = (
            _place_and_direction((native.white, native.pial), native.faces),
            _place_and_direction(placed, mesh.faces),
        )
        # Transposed, each native vertex gives away all of its area, wherever it goes:
        # interpolating area would count some of it twice.
        gather, handed = nearest_weights(start, target), nearest_weights(target, start).T
    else:
        raise InputDataError(
            'these surfaces carry no registration to fsaverage: the T1w must be registered.'
        )
    measured = np.where(native.thickness > 0, native.thickness, np.nan)
    labels, names = mesh.labels, mesh.names
    cortex = mesh.cortex
    if native.labels is not None and native.names is not None:
        labels, names = resample_labels(gather, native.labels), native.names
        wall = [code for code, name in names.items() if name == MEDIAL_WALL]
        measured = np.where(np.isin(native.labels, wall), np.nan, measured)
        cortex = cortex & ~np.isin(labels, wall)
    return ResampledHemisphere(
        gather @ native.white,
        gather @ native.pial,
        np.where(cortex, resample_values(gather, measured), np.nan),
        handed @ native.area,
        handed
        @ vertex_volumes(native.white, native.pial, wound_outwards(native.white, native.faces)),
        labels,
        names,
    )


def _place_and_direction(surfaces: tuple[FloatArray, FloatArray], faces: IntArray) -> FloatArray:
    """Return place on the mid-surface and ten times its normal, (n_vertices, 6)."""
    mid = (surfaces[0] + surfaces[1]) / 2
    # Opposite walls of a sulcus are a millimetre or two apart and look the other way: the normal,
    # counted as 20 mm there, keeps a vertex on its own wall.
    return np.hstack([mid, 10.0 * vertex_normals(mid, faces)])
