"""GIFTI files of surfaces, maps and labels, written so that equal content gives equal bytes."""

from __future__ import annotations

from collections.abc import Mapping
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

_STRUCTURES = {'L': 'CortexLeft', 'R': 'CortexRight'}
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
        AnatomicalStructurePrimary=_STRUCTURES[hemi],
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
    return _save(path, hemi, [points, triangles])


def write_map(path: Path, values: npt.ArrayLike, hemi: str, name: str) -> Path:
    """Write one value per vertex; NaN where undefined."""
    meta = GiftiMetaData(Name=name)
    array = GiftiDataArray(np.asarray(values, dtype=np.float32), 'NIFTI_INTENT_SHAPE', meta=meta)
    return _save(path, hemi, [array])


def write_labels(
    path: Path, labels: npt.ArrayLike, names: Mapping[int, str], hemi: str, name: str
) -> Path:
    """Write one label per vertex, with a table of names and fixed colours."""
    table = GiftiLabelTable()
    for code in sorted(names):
        shade = np.random.default_rng(code).uniform(0.2, 0.95, 3) if code else np.zeros(3)
        red, green, blue = shade.round(3).tolist()
        label: Any = GiftiLabel(code, red, green, blue, 1.0 if code else 0.0)
        label.label = names[code]
        table.labels.append(label)
    array = GiftiDataArray(
        np.asarray(labels, dtype=np.int32),
        'NIFTI_INTENT_LABEL',
        meta=GiftiMetaData(Name=name),
    )
    return _save(path, hemi, [array], table)


def _save(path: Path, hemi: str, arrays: list[Any], table: Any = None) -> Path:
    """Write a GIFTI file."""
    meta = GiftiMetaData(AnatomicalStructurePrimary=_STRUCTURES[hemi])
    image = GiftiImage(meta=meta, labeltable=table, darrays=arrays)
    path.write_bytes(image.to_bytes(enc='utf-8'))
    return path


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
    """Read one value per vertex.

    Raises
    ------
    InputDataError
        If the file holds no single one-dimensional map.
    """
    image = _load(path)
    if len(image.darrays) != 1 or image.darrays[0].data.ndim != 1:
        raise InputDataError(f'{path} does not hold exactly one value per vertex.')
    return np.asarray(image.darrays[0].data)


def read_labels(path: Path | str) -> tuple[IntArray, dict[int, str]]:
    """Read one label per vertex, and the names."""
    return read_map(path).astype(np.int64), _load(path).labeltable.get_labels_as_dict()
