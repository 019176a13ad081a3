"""GIFTI files of surfaces, maps and labels, written so that equal content gives equal bytes."""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn
from xml.parsers import expat

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
from nibabel.nifti1 import data_type_codes

from bids_acc.exceptions import InputDataError
from bids_acc.files.reading import reading
from bids_acc.typing import FloatArray, IntArray, Numbers

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
    # The standard knows uint8, int32 and float32 only.
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
    """Write one value per vertex; NaN where undefined.

    Parameters
    ----------
    path : Path
        Ends in ``.shape.gii`` or ``.func.gii``.
    values : (n_vertices,) array_like
        Stored as float32.
    hemi : str
        ``'L'`` or ``'R'``; becomes AnatomicalStructurePrimary.
    name : str
        Of the map, which viewers show.

    Returns
    -------
    Path
        ``path``.
    """
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
    """Write one label per vertex, with a table of names and fixed colours.

    Parameters
    ----------
    path : Path
        Ends in ``.label.gii``.
    labels : (n_vertices,) array_like of int
        Codes; 0 is transparent.
    names : mapping of int to str
        Code to name, also of regions without a vertex.
    hemi : str
        ``'L'`` or ``'R'``.
    name : str
        Of the map.

    Returns
    -------
    Path
        ``path``.
    """
    path.write_bytes(label_image(labels, names, hemi, {'Name': name}).to_bytes())
    return path


def _image(
    hemi: str, arrays: list[GiftiDataArray], table: GiftiLabelTable | None = None
) -> GiftiImage:
    """Put data arrays together."""
    meta = GiftiMetaData(AnatomicalStructurePrimary=STRUCTURES[hemi])
    return GiftiImage(meta=meta, labeltable=table, darrays=arrays)


MAX_BYTES = 1 << 29
"""Of a file; a surface of a million vertices as text takes a tenth of it."""

MAX_VALUES = 30_000_000
"""Of one data array: three coordinates of ten million vertices."""


class _Inspector:
    """Look through the XML before anything is allocated, decoded or opened.

    nibabel opens whatever ``ExternalFileName`` names and unpacks whatever is in an array,
    however large.
    """

    def __init__(self, path: Path | str) -> None:
        self._path = path
        self._encoding, self._values, self._itemsize = '', 0, 0
        self._text: list[str] | None = None
        self._parser = expat.ParserCreate()
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._parser.EntityDeclHandler = self._entity
        self._parser.buffer_text = True

    def look(self, content: bytes) -> None:
        """Refuse a file whose declared sizes and contents do not agree.

        Parameters
        ----------
        content : bytes
            The whole file.

        Raises
        ------
        InputDataError
            If it declares entities, names another file, or an array is too large or not as long
            as declared.
        xml.parsers.expat.ExpatError
            If it is no XML.
        """
        self._parser.Parse(content, True)

    def _refuse(self, why: str) -> NoReturn:
        raise InputDataError(f'{self._path} is not read: {why}.')

    def _entity(self, *_: object) -> None:
        self._refuse('it declares XML entities, which GIFTI does not need')

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if name == 'DataArray':
            self._encoding = attributes.get('Encoding', '')
            if attributes.get('ExternalFileName') or self._encoding.startswith('External'):
                self._refuse('its values lie in another file (ExternalFileName)')
            n_dims = int(attributes['Dimensionality'])
            sizes = [int(attributes[f'Dim{i}']) for i in range(n_dims)]
            self._values = math.prod(sizes)
            if not 1 <= n_dims <= 6 or min(sizes) < 0 or self._values > MAX_VALUES:
                self._refuse(f'a data array of {" x ".join(map(str, sizes))} values')
            dtypes: Any = data_type_codes.dtype  # made at run time, so that mypy knows nothing
            self._itemsize = np.dtype(dtypes[attributes['DataType']]).itemsize
        elif name == 'Data':
            self._text = []

    def _characters(self, text: str) -> None:
        if self._text is not None:
            self._text.append(text)

    def _end(self, name: str) -> None:
        if name != 'Data' or self._text is None:
            return
        packed, self._text = ''.join(self._text), None
        if self._encoding == 'GZipBase64Binary':
            expected = self._values * self._itemsize
            # One byte beyond what is declared shows that there is more, whatever else is packed
            # there.
            found = zlib.decompressobj().decompress(base64.b64decode(packed), expected + 1)
            if len(found) != expected:
                more = 'more' if len(found) > expected else 'less'
                self._refuse(f'a data array holds {more} than its {self._values} values')


def _load(path: Path | str) -> GiftiImage:
    """Read a GIFTI file, or say that it is none."""
    with reading(path, 'GIFTI file'):
        if (size := Path(path).stat().st_size) > MAX_BYTES:
            raise InputDataError(f'{path} is not read: {size} bytes are no surface.')
        content = Path(path).read_bytes()
        if not content:
            raise InputDataError(f'{path} is empty (0 bytes); copy or fetch it again.')
        _Inspector(path).look(content)
        image = GiftiImage.from_bytes(content)
        if image is None:
            raise InputDataError(f'{path} is no GIFTI file: it is XML of another kind.')
        return image


def read_surface(path: Path | str) -> tuple[FloatArray, IntArray]:
    """Read vertices in mm and faces.

    Parameters
    ----------
    path : Path
        ``.surf.gii`` with one pointset and one array of triangles.

    Returns
    -------
    vertices : (n_vertices, 3) ndarray
        mm, in the coordinates of the file.
    faces : (n_faces, 3) ndarray of int
        Indices of vertices, from 0.

    Raises
    ------
    MissingInputError
        If there is no such file.
    InputDataError
        If it is no GIFTI surface.
    """
    image = _load(path)
    points = image.get_arrays_from_intent('NIFTI_INTENT_POINTSET')
    triangles = image.get_arrays_from_intent('NIFTI_INTENT_TRIANGLE')
    if len(points) != 1 or len(triangles) != 1:
        raise InputDataError(f'{path} holds no surface (one pointset and one triangle array).')
    vertices, faces = (np.asarray(one[0].data) for one in (points, triangles))
    if not _is_mesh(vertices, faces):
        raise InputDataError(
            f'{path} is no surface: vertices of shape {vertices.shape}, triangles of shape '
            f'{faces.shape}; expected three finite coordinates for each vertex and three numbers '
            'of vertices for each triangle.'
        )
    return vertices.astype(float), faces.astype(np.int64)


def _is_mesh(vertices: Numbers, faces: Numbers) -> bool:
    """Tell whether arrays can be vertices and the triangles between them."""
    return (
        vertices.ndim == faces.ndim == 2
        and vertices.shape[1] == faces.shape[1] == 3
        and min(len(vertices), len(faces)) > 0
        and bool(np.isfinite(vertices).all())
        and bool(np.equal(np.mod(faces, 1), 0).all())
        and 0 <= faces.min() <= faces.max() < len(vertices)
    )


def read_map(path: Path | str) -> Numbers:
    """Read one value per vertex, in the type of the file.

    Parameters
    ----------
    path : Path
        ``.shape.gii``, ``.func.gii`` or ``.label.gii`` of one hemisphere.

    Returns
    -------
    (n_vertices,) ndarray

    Raises
    ------
    InputDataError
        If the file holds no single one-dimensional map.
    """
    return _only_map(_load(path), path)


def check_side(image: Any, path: Path | str, hemi: str) -> None:
    """Refuse a file that says of itself that it is of the other hemisphere.

    Parameters
    ----------
    image : GiftiImage
    path : Path
        Where it was read, for the message.
    hemi : str
        ``'L'`` or ``'R'``; empty for either.

    Raises
    ------
    InputDataError
        If ``AnatomicalStructurePrimary`` names the other one.
    """
    told = {str(one.meta.get('AnatomicalStructurePrimary') or '')
            for one in (image, *image.darrays)}  # fmt: skip
    others = {name for side, name in STRUCTURES.items() if hemi and side != hemi}
    if told & others and STRUCTURES[hemi] not in told:
        raise InputDataError(
            f'{path} stands for hemisphere {hemi}, but says that it is of '
            f'{", ".join(sorted(told & others))} (AnatomicalStructurePrimary): left and right are '
            'exchanged.'
        )


def read_series(path: Path | str, hemi: str = '') -> npt.NDArray[np.float32]:
    """Read the series of each vertex, one data array for each volume (``func.gii``).

    Parameters
    ----------
    path : Path
        ``.func.gii``; one two-dimensional array (vertices by volumes) is taken as well.
    hemi : str
        Hemisphere that it stands for, as for `check_side`.

    Returns
    -------
    (n_volumes, n_vertices) ndarray of float32

    Raises
    ------
    InputDataError
        If the file holds no maps, or maps of different lengths, or is of the other side.
    """
    image = _load(path)
    check_side(image, path, hemi)
    arrays = [np.asarray(one.data, dtype=np.float32) for one in image.darrays]
    if len(arrays) == 1 and arrays[0].ndim == 2:
        return arrays[0].T  # one array of vertices by volumes, as some tools write it
    if not arrays or any(a.ndim != 1 or len(a) != len(arrays[0]) for a in arrays):
        raise InputDataError(
            f'{path} holds no series: expected one value per vertex for each volume; fetch it '
            'again.'
        )
    return np.stack(arrays)


def read_labels(path: Path | str, hemi: str = '') -> tuple[IntArray, dict[int, str]]:
    """Read one label per vertex, and the names.

    Parameters
    ----------
    path : Path
        ``.label.gii`` of one hemisphere.
    hemi : str
        Hemisphere that it stands for, as for `check_side`.

    Returns
    -------
    codes : (n_vertices,) ndarray of int
    names : dict of int to str
        The file's table of labels, which need not name every code.

    Raises
    ------
    InputDataError
        If the file holds no single one-dimensional map, or is of the other side.
    """
    image = _load(path)
    check_side(image, path, hemi)
    values = _only_map(image, path)
    if not np.isfinite(values).all() or not np.equal(np.mod(values, 1), 0).all():
        raise InputDataError(f'{path} holds values that are no labels (whole numbers).')
    labels = values.astype(np.int64)
    return labels, {int(label.key): str(label.label) for label in image.labeltable.labels}


def _only_map(image: GiftiImage, path: Path | str) -> Numbers:
    """Return the values of a file that holds one per vertex."""
    if len(image.darrays) != 1 or np.squeeze(image.darrays[0].data).ndim != 1:
        raise InputDataError(
            f'{path} does not hold exactly one value per vertex; a map or label file of one '
            'hemisphere with one data array is needed.'
        )
    return np.asarray(image.darrays[0].data).ravel()
