"""GIFTI files of surfaces, maps and labels, written so that equal content gives equal bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from nibabel.gifti.gifti import (
    GiftiCoordSystem,
    GiftiDataArray,
    GiftiImage,
    GiftiLabel,
    GiftiLabelTable,
    GiftiMetaData,
)

from bids_acc.exceptions import InputDataError
from bids_acc.typing import FloatArray, IntArray

STRUCTURES = {'L': 'CortexLeft', 'R': 'CortexRight'}
"""GIFTI's name of each hemisphere's cortex."""
_SURFACES = {
    'white': ('Anatomical', 'GrayWhite'),
    'pial': ('Anatomical', 'Pial'),
    'midthickness': ('Anatomical', 'MidThickness'),
    'sphere': ('Spherical', 'MidThickness'),
}


def write_surface(
    path: Path, vertices: npt.ArrayLike, faces: npt.ArrayLike, hemi: str, kind: str
) -> Path:
    """Write a mesh in scanner RAS.

    Parameters
    ----------
    path : Path
        Of a ``.surf.gii``.
    vertices : (n_vertices, 3) array_like
        In mm.
    faces : (n_faces, 3) array_like of int
        Vertex indices.
    hemi : str
        ``'L'`` or ``'R'``.
    kind : str
        ``'white'``, ``'pial'``, ``'midthickness'`` or ``'sphere'``.
    """
    geometry, secondary = _SURFACES[kind]
    meta = GiftiMetaData(
        AnatomicalStructurePrimary=STRUCTURES[hemi],
        AnatomicalStructureSecondary=secondary,
        GeometricType=geometry,
    )
    space = GiftiCoordSystem('NIFTI_XFORM_SCANNER_ANAT', 'NIFTI_XFORM_SCANNER_ANAT')
    points = GiftiDataArray(
        np.asarray(vertices, dtype=np.float32), 'NIFTI_INTENT_POINTSET', coordsys=space, meta=meta
    )
    triangles = GiftiDataArray(
        np.asarray(faces, dtype=np.int32), 'NIFTI_INTENT_TRIANGLE', coordsys=None
    )
    path.write_bytes(_image(hemi, [points, triangles]).to_bytes())
    return path


def map_image(values: npt.ArrayLike, hemi: str, names: Sequence[str]) -> GiftiImage:
    """Make a file of one or several maps; NaN where undefined.

    Parameters
    ----------
    values : (n_maps, n_vertices) array_like
        One value per vertex for each map.
    hemi : str
        ``'L'`` or ``'R'``.
    names : sequence of str
        Of the maps.
    """
    maps = np.asarray(values, dtype=np.float32)
    arrays = [
        GiftiDataArray(one, 'NIFTI_INTENT_SHAPE', meta=GiftiMetaData(Name=name))
        for one, name in zip(maps, names, strict=True)
    ]
    return _image(hemi, arrays)


def write_map(path: Path, values: npt.ArrayLike, hemi: str, name: str) -> Path:
    """Write one value per vertex; NaN where undefined."""
    path.write_bytes(map_image(np.asarray(values)[None], hemi, [name]).to_bytes())
    return path


def label_image(
    labels: npt.ArrayLike,
    names: Mapping[int, str],
    hemi: str,
    meta: Mapping[str, str],
    colours: Mapping[int, Sequence[float]] | None = None,
) -> GiftiImage:
    """Make a file of one label per vertex, with a table of names and colours.

    Parameters
    ----------
    labels : (n_vertices,) array_like of int
        Codes; 0 is transparent.
    names : mapping of int to str
        Code to name.
    hemi : str
        ``'L'`` or ``'R'``.
    meta : mapping of str to str
        Of the data array, usually its ``Name``.
    colours : mapping of int to (red, green, blue), optional
        From 0 to 1; by default drawn from the code, so that a region always has the same.
    """
    table = GiftiLabelTable()
    for code in sorted(names):
        red, green, blue = _colour(code) if colours is None else colours[code]
        label: Any = GiftiLabel(code, red, green, blue, 1.0 if code else 0.0)
        label.label = names[code]
        table.labels.append(label)
    codes = np.asarray(labels, dtype=np.int32)
    array = GiftiDataArray(codes, 'NIFTI_INTENT_LABEL', meta=GiftiMetaData(**meta))
    return _image(hemi, [array], table)


def _colour(code: int) -> Sequence[float]:
    """Return the colour of a code; black for 0."""
    shade = np.random.default_rng(code).uniform(0.2, 0.95, 3) if code else np.zeros(3)
    return [float(part) for part in shade.round(3)]


def write_labels(
    path: Path, labels: npt.ArrayLike, names: Mapping[int, str], hemi: str, name: str
) -> Path:
    """Write one label per vertex, with a table of names and fixed colours."""
    path.write_bytes(label_image(labels, names, hemi, {'Name': name}).to_bytes())
    return path


def _image(hemi: str, arrays: list[Any], table: Any = None) -> GiftiImage:
    """Put data arrays together."""
    meta = GiftiMetaData(AnatomicalStructurePrimary=STRUCTURES[hemi])
    return GiftiImage(meta=meta, labeltable=table, darrays=arrays)


def _load(path: Path | str) -> Any:
    """Read a GIFTI file, or say that it is none."""
    try:
        return GiftiImage.from_filename(str(path))
    except Exception as error:
        raise InputDataError(f'{path} is no readable GIFTI file: {error}') from error


def read_surface(path: Path | str) -> tuple[FloatArray, IntArray]:
    """Read vertices in mm and faces.

    Raises
    ------
    InputDataError
        If the file is no GIFTI surface.
    """
    image = _load(path)
    points = image.get_arrays_from_intent('NIFTI_INTENT_POINTSET')
    triangles = image.get_arrays_from_intent('NIFTI_INTENT_TRIANGLE')
    if len(points) != 1 or len(triangles) != 1:
        raise InputDataError(f'{path} holds no surface (one pointset and one triangle array).')
    return points[0].data.astype(float), triangles[0].data.astype(np.int64)


def read_map(path: Path | str) -> npt.NDArray[Any]:
    """Read one value per vertex, in the type of the file.

    Raises
    ------
    InputDataError
        If the file holds no single one-dimensional map.
    """
    return _only_map(_load(path), path)


def read_labels(path: Path | str) -> tuple[IntArray, dict[int, str]]:
    """Read one label per vertex, and the names.

    Raises
    ------
    InputDataError
        If the file holds no single one-dimensional map.
    """
    image = _load(path)
    labels = _only_map(image, path).astype(np.int64)
    return labels, {int(label.key): str(label.label) for label in image.labeltable.labels}


def _only_map(image: Any, path: Path | str) -> npt.NDArray[Any]:
    """Return the values of a file that holds one per vertex."""
    if len(image.darrays) != 1 or np.squeeze(image.darrays[0].data).ndim != 1:
        raise InputDataError(
            f'{path} does not hold exactly one value per vertex; a map or label file of one '
            'hemisphere with one data array is needed.'
        )
    return np.asarray(image.darrays[0].data).ravel()
