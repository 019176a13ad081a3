"""Atlases of regions, on the mesh or in the template's volume: those shipped, and any other.

Every surface atlas becomes codes at the vertices of the template mesh, every volume atlas codes
in the space of the template; labels of a volume's cortex are also looked up at the mesh. So a
region has a name and vertices, voxels or both, whoever wrote its file.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import nibabel as nb
import numpy as np
import numpy.typing as npt
import pandas as pd
from nibabel.freesurfer.io import read_annot

from bids_acc.exceptions import BidsAccError, MissingInputError, SettingsError
from bids_acc.files.reading import reading
from bids_acc.images.affines import apply_matrix
from bids_acc.surfaces.gifti import read_labels
from bids_acc.surfaces.label_tables import NO_CODE, NamedLabel, parse_labels
from bids_acc.surfaces.regions import Labels, find_region, plain_label
from bids_acc.surfaces.template import DENSITIES, HEMISPHERES, atlas_provenance, load_template
from bids_acc.tables.reading import read_text
from bids_acc.typing import Codes, FloatArray, IntArray, Numbers, Volume

BETWEEN = 0.01
"""How far a code may be from a whole number, as numbers are stored (own convention)."""
BESIDE, ROOM_MM = 0.1, 8.0
"""Share of an atlas that may lie beside the brain, and the room that counts to it (own
conventions: spinal cord, and the spaces of MNI, which differ by some mm)."""
TABLE_ENDS = ('.tsv', '.csv', '.txt', '.lut', '_lut.txt', '_labels.txt', '_LUT.txt', '.label')
"""Endings of tables that name labels, the first wanted most (BIDS', then what others write)."""
MNI_SPACES = re.compile(r'MNI152|MNI$|MNIColin27|ICBM|IXI549Space')
"""Spaces of a volume that lie within millimetres of the template's."""
CIFTI = ('.dlabel.nii', '.dscalar.nii', '.dtseries.nii')
"""Endings of files that are NIfTI by name only."""
DEFAULT_ATLAS = 'DKT'
"""Whose labels the region of interest is of unless somebody says otherwise."""
SUBREGIONS: Mapping[str, tuple[str, ...]] = {
    'subgenualACC': ('25', 's32'),
    'pregenualACC': ('a24', 'p24', 'p32'),
    'dorsalACC': ('a24pr', 'p24pr', '33pr', 'p32pr', 'a32pr'),
}
"""Parts of the anterior cingulate by areas of HCP-MMP1.0 (own convention: areas 25 and s32 lie
below the genu, a24, p24 and p32 before it, those with ``pr`` above)."""
ACC_AREAS = (*(area for areas in SUBREGIONS.values() for area in areas), 'd32')
"""Areas of HCP-MMP1.0 that are tabulated without being asked for."""
PROVENANCE: Mapping[str, str] = {
    'DKT': 'Desikan-Killiany-Tourville labels of CerebrA (Manera et al. 2020, '
    "doi:10.1038/s41597-020-0557-9) at 25, 50 and 75 % of the template's cortex",
    'HCPMMP1': 'HCP-MMP1.0 (Glasser et al. 2016, doi:10.1038/nature18933) on fsaverage '
    '(doi:10.6084/m9.figshare.3498446, CC BY 4.0)',
    'CerebrA': 'CerebrA (Manera et al. 2020, doi:10.1038/s41597-020-0557-9)',
    'Desikan': str(atlas_provenance()['Atlas']),
}
"""Where each shipped atlas comes from."""
SURFACE_ATLASES = ('DKT', 'HCPMMP1', 'Desikan')
DEPTHS = (0.25, 0.5, 0.75)
"""Where between white and pial surface a volume's labels are looked up; two of three decide."""
ICBM_2009 = re.compile(r'(?:tpl|space)-(MNI152NLin2009[abc](?:Sym|Asym)?|ICBM2009[abc]\w*)')
OTHER_SPACE = re.compile(r'(?:tpl|space)-([A-Za-z0-9]+)')


@dataclass(frozen=True)
class VolumeAtlas:
    """Labels, or probabilities of them, in the space of the template."""

    name: str
    data: Codes | Volume
    """(nx, ny, nz) of codes, or (nx, ny, nz, n_regions) of probabilities from 0 to 1."""
    affine: FloatArray
    """(4, 4) voxel to template RAS in mm."""
    regions: Mapping[int, tuple[str, str]]
    """Code (or place in the last axis) to name and side: ``L``, ``R`` or empty."""
    note: str = ''
    """What a reader must know of its space."""


@dataclass(frozen=True)
class SurfaceAtlas:
    """Labels at the vertices of the finest template mesh."""

    name: str
    codes: Mapping[str, IntArray]
    """``L`` and ``R`` to (40962,) codes."""
    names: Mapping[str, Mapping[int, str]]
    """``L`` and ``R`` to code and name."""

    def labels(
        self, hemisphere: str, density: str, *,
        groups: Mapping[str, tuple[str, ...]] = MappingProxyType({}), alone: tuple[str, ...] = (),
    ) -> Labels:  # fmt: skip
        """Return the labels of a hemisphere on a mesh.

        Parameters
        ----------
        hemisphere : str
            ``L`` or ``R``.
        density : str
            A key of `DENSITIES`; the vertices of a coarser mesh are the first ones of the finest.
        groups, alone
            See `Labels`.
        """
        codes = self.codes[hemisphere][: DENSITIES[density]]
        return Labels(self.name, codes, self.names[hemisphere], groups, alone)


def _data(name: str) -> Traversable:
    """Return a shipped file."""
    return resources.files('bids_acc') / 'data' / 'atlases' / name


@cache
def shipped_surface(name: str) -> SurfaceAtlas:
    """Return a shipped surface atlas.

    Parameters
    ----------
    name : str
        One of `SURFACE_ATLASES`.
    """
    if name == 'Desikan':
        meshes = load_template()
        return SurfaceAtlas(
            name, {side: mesh.labels for side, mesh in meshes.items()},
            {side: mesh.names for side, mesh in meshes.items()},
        )  # fmt: skip
    words = json.loads(_data('surface41k.json').read_text())['labels'][name]
    names = dict(enumerate(['unknown', *words]))
    with resources.as_file(_data('surface41k.npz')) as path, np.load(path) as arrays:
        codes = {side: arrays[f'{name}_{side}'].astype(np.int64) for side in HEMISPHERES}
    return SurfaceAtlas(name, codes, dict.fromkeys(HEMISPHERES, names))


@cache
def cerebra() -> VolumeAtlas:
    """Return CerebrA: cortex (DKT), subcortical nuclei, ventricles and cerebellum."""
    with resources.as_file(_data('CerebrA_dseg.nii.gz')) as path:
        image = nb.Nifti1Image.from_filename(path)
        data = np.asarray(image.dataobj).astype(np.uint8)
    table = pd.read_csv(_data('CerebrA_dseg.tsv').open(), sep='\t')
    regions = {
        int(index): (str(name), str(side))
        for index, name, side in table.itertuples(index=False, name=None)
    }
    return VolumeAtlas('CerebrA', data, image.affine, regions)


def surface_labels(hemisphere: str, density: str, asked: Sequence[str] = ()) -> list[Labels]:
    """Return the labels of every atlas at the vertices of a hemisphere of the template mesh.

    Parameters
    ----------
    hemisphere, density : str
        See `bids_acc.surfaces.template.load_template`.
    asked : sequence of str
        Atlases besides, as `parse_atlas` takes them.

    Returns
    -------
    list of Labels
        DKT, the ones asked for, and the areas of the cingulate with their groups; then those
        that only serve to name regions (``alone`` says that nothing of them is tabulated).

    Raises
    ------
    SettingsError, MissingInputError, InputDataError
        If an atlas that is asked for cannot be used.
    """
    found = [shipped_surface(DEFAULT_ATLAS).labels(hemisphere, density)]
    names = [parse_atlas(text)[0] for text in asked]
    for text in asked:
        atlas = on_mesh(load_atlas(text))
        found.append(atlas.labels(hemisphere, density))
    areas = shipped_surface('HCPMMP1')
    alone = () if 'HCPMMP1' in names else ACC_AREAS
    found = [labels for labels in found if labels.atlas != 'HCPMMP1']
    found.append(areas.labels(hemisphere, density, groups=SUBREGIONS, alone=alone))
    return found


def all_labels(hemisphere: str, density: str, asked: Sequence[str] = ()) -> list[Labels]:
    """Return `surface_labels`, and Desikan-Killiany's, of which a region may be as well.

    Parameters
    ----------
    hemisphere, density, asked
        See `surface_labels`.

    Returns
    -------
    list of Labels
        Desikan-Killiany's last, unless it was asked for.
    """
    found = surface_labels(hemisphere, density, asked)
    if all(labels.atlas != 'Desikan' for labels in found):
        found.append(shipped_surface('Desikan').labels(hemisphere, density))
    return found


def parse_atlas(text: str) -> tuple[str, Path | None]:
    """Read one word of ``--atlas``: the name of a shipped atlas, or ``NAME=PATH``.

    Parameters
    ----------
    text : str
        As given; a name of its own has ASCII letters and digits only, as BIDS entities do.

    Returns
    -------
    name : str
        What tables call the atlas.
    path : Path or None
        File or folder, which may be missing; None of a shipped atlas.

    Raises
    ------
    SettingsError
        If it is neither.

    Examples
    --------
    >>> parse_atlas('Desikan'), parse_atlas('Mine=/a/b.nii.gz')[0]
    (('Desikan', None), 'Mine')
    """
    name, equals, path = text.partition('=')
    if not equals:
        if name in (*SURFACE_ATLASES, 'CerebrA'):
            return name, None
        known = ', '.join((*SURFACE_ATLASES, 'CerebrA'))
        raise SettingsError(
            f'--atlas {text}: neither NAME=PATH nor one that is shipped ({known}).'
        )
    if not name.isalnum() or not name.isascii():
        raise SettingsError(f'--atlas {text}: a name has letters and digits only, not {name!r}.')
    if name in (*SURFACE_ATLASES, 'CerebrA'):
        raise SettingsError(
            f'--atlas {text}: {name} is the name of a shipped atlas; give another.'
        )
    # shells leave a ~ behind = as it is; Path.expanduser fails without a home
    return name, Path(os.path.expanduser(path))  # noqa: PTH111


@cache
def load_atlas(text: str, flag: str = '--atlas') -> SurfaceAtlas | VolumeAtlas:
    """Read the atlas that a word of ``--atlas`` or ``--tract-atlas`` names.

    Parameters
    ----------
    text : str
        See `parse_atlas`.
    flag : str
        The option that named it, for messages.

    Returns
    -------
    SurfaceAtlas or VolumeAtlas
        One object for each text: it is kept, and must not be changed.

    Raises
    ------
    SettingsError, MissingInputError, InputDataError
        If there is no such file, it is not clear which is meant, or it cannot be used.
    """
    name, path = parse_atlas(text)
    if path is None:
        return cerebra() if name == 'CerebrA' else shipped_surface(name)
    try:
        return read_atlas(name, path)
    except BidsAccError as error:
        if isinstance(error, MissingInputError | SettingsError):
            raise type(error)(f'{flag} {text}: {error}') from error
        raise SettingsError(f'{flag} {text}: {error}') from error


def with_own(known: Sequence[Labels], own: Labels) -> list[Labels]:
    """Put a subject's own labels first, in the place of those of the same atlas.

    Parameters
    ----------
    known : sequence of Labels
        Of the template's mesh.
    own : Labels
        At the same vertices.
    """
    return [own, *(labels for labels in known if labels.atlas != own.atlas)]


def load_tract_atlas(text: str) -> VolumeAtlas:
    """Read the atlas that ``--tract-atlas`` names.

    Parameters
    ----------
    text : str
        ``NAME=PATH`` of a volume in MNI152 space: codes, or probabilities in a fourth axis.

    Raises
    ------
    SettingsError, MissingInputError
        If it is no volume, or cannot be used.
    """
    if '=' not in text:
        raise SettingsError(
            f'--tract-atlas {text}: write NAME=PATH of an atlas of white matter in MNI152 space; '
            'none is shipped.'
        )
    atlas = load_atlas(text, '--tract-atlas')
    if isinstance(atlas, SurfaceAtlas):
        raise SettingsError(f'--tract-atlas {text}: tracts are those of a volume, not of a mesh.')
    return atlas


def read_atlas(name: str, path: Path) -> SurfaceAtlas | VolumeAtlas:
    """Read an atlas from a file, or from the folder of a BIDS atlas.

    Parameters
    ----------
    name : str
        What it will be called.
    path : Path
        ``*.nii.gz`` of codes or of probabilities (4-D) with a table ``index, name`` beside it;
        ``*.label.gii`` or ``*.annot`` of one hemisphere, the other of which lies beside it; or a
        folder that holds one of these.

    Raises
    ------
    MissingInputError
        If there is no such file.
    SettingsError
        If several fit, or it is not of the template's mesh or space.
    """
    if path.is_dir():
        path = _in_folder(path)
    if not path.is_file():
        raise MissingInputError(f'there is no file {path}.')
    if path.name.endswith(CIFTI):
        raise SettingsError(
            f'{path.name} is a CIFTI file; take the surfaces out of it with wb_command '
            '-cifti-separate and bring them to fsaverage with -label-resample.'
        )
    with reading(path, 'atlas', 'fetch or convert it again', SettingsError):
        if path.name.endswith(('.nii', '.nii.gz')):
            return _read_volume(name, path)
        if path.name.endswith(('.label.gii', '.annot')):
            return _read_surfaces(name, path)
    raise SettingsError(f'{path.name} is no .nii.gz, .label.gii or .annot file.')


def atlas_files(text: str) -> list[Path]:
    """Return the files on which the regions of an atlas depend; none of a shipped one.

    Parameters
    ----------
    text : str
        See `parse_atlas`.

    Returns
    -------
    list of Path
        With tables of names and the other hemisphere's file; a change in one of them makes results
        out of date.
    """
    _, path = parse_atlas(text)
    if path is None:
        return []
    if path.is_dir():
        return sorted(p for p in path.rglob('*') if p.is_file())
    beside = _tables(path)
    if path.name.endswith(('.label.gii', '.annot')):
        beside = [_other_side(path, side) for side in HEMISPHERES]
    return [p for p in dict.fromkeys([path, *beside]) if p.is_file()]


def _tables(path: Path) -> list[Path]:
    """Return where the table of a volume's names may lie: the space may be left out of it."""
    stem = path.name.partition('.')[0]
    short = re.sub(r'(?:tpl|space|res|cohort)-[^_]+_', '', stem)
    words = dict.fromkeys((stem, short))
    return [path.with_name(f'{word}{end}') for end in TABLE_ENDS for word in words]


def _in_folder(folder: Path) -> Path:
    """Return the one file of a BIDS atlas that can be used, the left one of surfaces."""
    patterns = ('*hemi-L*_dseg.label.gii', 'lh.*.annot', '*_dseg.nii.gz', '*_probseg.nii.gz')
    for pattern in patterns:
        found = sorted(p for p in folder.rglob(pattern) if p.is_file())
        here = [p for p in found if ICBM_2009.search(p.name) or 'fsaverage' in p.name]
        found = here or found
        finest = [p for p in found if re.search(r'res-0?1[_.]|den-41k', p.name)]
        found = finest if len(found) > 1 and finest else found
        if len(found) > 1:
            names = ', '.join(p.name for p in found[:4])
            raise SettingsError(f'{len(found)} files fit ({names}): name the one that is meant.')
        if found:
            return found[0]
    raise MissingInputError(f'{folder} holds no {" or ".join(patterns)}.')


def _read_surfaces(name: str, path: Path) -> SurfaceAtlas:
    """Read both hemispheres of a surface atlas."""
    codes, names = {}, {}
    for side in HEMISPHERES:
        file = _other_side(path, side)
        if not file.is_file():
            raise MissingInputError(f'the other hemisphere, {file.name}, is not beside it.')
        codes[side], names[side] = _read_side(file, side)
    return SurfaceAtlas(name, codes, names)


def _other_side(path: Path, side: str) -> Path:
    """Return the file of a hemisphere beside that of either one."""
    words = {'L': ('hemi-L', 'lh.', '.L.'), 'R': ('hemi-R', 'rh.', '.R.')}
    name = path.name
    for left, right in zip(words['L'], words['R'], strict=True):
        for word in (left, right):
            if word in name:
                return path.with_name(name.replace(word, left if side == 'L' else right))
    raise SettingsError(f'the name of {path.name} has no hemi-L, hemi-R, lh., rh., .L. or .R.')


def _read_side(path: Path, hemi: str) -> tuple[IntArray, dict[int, str]]:
    """Read one hemisphere, as far as the template mesh goes.

    The vertices of fsaverage6 are the first ones of fsaverage.
    """
    if path.name.endswith('.annot'):
        codes, _, words = read_annot(str(path))
        names = {k: word.decode(errors='replace') for k, word in enumerate(words)}
    else:
        codes, names = read_labels(path, hemi)
    n_vertices = DENSITIES['41k']
    if len(codes) not in (n_vertices, 163842):
        raise SettingsError(
            f'{path.name} has {len(codes)} vertices; needed are the 40962 of fsaverage6 (den-41k) '
            'or the 163842 of fsaverage (den-164k): resample it, e.g. with wb_command '
            '-label-resample.'
        )
    codes = np.asarray(codes[:n_vertices], dtype=np.int64)
    # Code 0 is a region of some annotations; where others occur and it alone is named, it is none.
    own = {int(code) for code in np.unique(codes) if code >= 0}
    if not own & set(names) or (own & set(names) == {0} and own != {0}):
        raise SettingsError(f'{path.name} names none of its codes: its table of labels is empty.')
    return codes, names


def read_labelled_image(flag: str, path: Path) -> VolumeAtlas:
    """Read a 3D image of labels in MNI152; without a table beside it, codes are the names.

    Parameters
    ----------
    flag : str
        The option that named it, for messages.
    path : Path

    Raises
    ------
    SettingsError
        If it is no such image, or cannot be used; as `read_atlas`.
    """
    named = any(table.is_file() for table in _tables(path))
    try:
        with reading(path, 'atlas', 'fetch or convert it again', SettingsError):
            atlas = _read_volume(path.name, path, named=named)
    except BidsAccError as error:
        raise SettingsError(f'{flag} {path}: {error}') from error
    if np.asarray(atlas.data).ndim != 3:
        raise SettingsError(f'{flag} {path}: it has 4 dimensions; a 3D image of labels is needed.')
    return atlas


def _read_volume(name: str, path: Path, *, named: bool = True) -> VolumeAtlas:
    """Read a volume atlas with its table of names; without one, codes are the names."""
    image: Any = nb.load(str(path))
    affine = np.asarray(image.affine, dtype=float)
    if len(image.shape) > 3 and set(image.shape[3:]) == {1}:
        image = nb.squeeze_image(image)
    if len(image.shape) == 3:
        data: Codes | Volume = _whole_codes(image, path)
    elif len(image.shape) == 4:
        data = _probabilities(image, path)
    else:
        raise SettingsError(f'{path.name} has {len(image.shape)} dimensions, not 3 or 4.')
    there = {int(code) for code in np.unique(data) if code} if data.ndim == 3 else set()
    if data.ndim == 3 and not there and not named:
        raise SettingsError(f'{path.name} holds no label: all its values are zero.')
    if named:
        regions = read_region_names(path, 0 if data.ndim == 3 else data.shape[3])
    else:
        regions = {code: (f'region{code}', '') for code in sorted(there)}
    note = _space_note(path)
    if data.ndim == 3:
        nameless = sorted(there - set(regions))
        regions = {code: region for code, region in regions.items() if code in there}
        if not regions:
            raise SettingsError(f'none of the codes in the table is in {path.name}.')
        if nameless:
            shown = ', '.join(map(str, nameless[:5])) + (' ...' if len(nameless) > 5 else '')
            own = f'{len(nameless)} of its codes are not in the table and are left out ({shown})'
            note = f'{note}; {own}' if note else f'{path.name}: {own}'
    atlas = VolumeAtlas(name, data, affine, regions, note)
    check_place(atlas)
    check_sides(atlas)
    return atlas


def _whole_codes(image: nb.Nifti1Image, path: Path) -> Codes:
    """Read codes; those between whole numbers are of labels that somebody has interpolated."""
    values = np.nan_to_num(np.asarray(image.dataobj, dtype=np.float32), posinf=0, neginf=0)
    codes = values.round()
    if (codes < 0).any():
        raise SettingsError(f'{path.name} holds negative codes; labels are whole numbers from 1.')
    labelled = values != 0
    between = np.abs(values - codes)[labelled] > BETWEEN
    if between.any():
        raise SettingsError(
            f'{path.name} holds values between whole numbers in {100 * between.mean():.2g} % of '
            'its voxels: its labels were interpolated. Resample them by nearest neighbour.'
        )
    return codes.astype(np.int32)


def _probabilities(image: nb.Nifti1Image, path: Path) -> Volume:
    """Read maps of probability, from 0 to 1 or, as FSL writes them, to 100."""
    data = np.nan_to_num(image.get_fdata(dtype=np.float32), posinf=-1, neginf=-1)
    if data.min() < -BETWEEN or data.max() > 100 + BETWEEN:
        raise SettingsError(
            f'{path.name} holds {data.min():.4g} to {data.max():.4g}; the maps of a 4-D atlas are '
            'probabilities from 0 to 1 or 0 to 100 %.'
        )
    return np.asarray(data / (100 if data.max() > 1.5 else 1))


def check_place(atlas: VolumeAtlas) -> None:
    """Refuse an atlas that lies beside the brain: its grid or its space is another one.

    Parameters
    ----------
    atlas : VolumeAtlas
        In what its header says is MNI152, mm.

    Raises
    ------
    SettingsError
        If more than `BESIDE` of its labels lie outside the box around CerebrA.
    """
    data = np.asarray(atlas.data)
    index = np.argwhere((data if data.ndim == 3 else data.max(axis=3)) > 0)
    places = apply_matrix(atlas.affine, index)
    beside = float(beside_brain(places).mean()) if len(index) else 0.0
    if beside > BESIDE:
        raise SettingsError(
            f'{100 * beside:.0f} % of its labels lie outside the brain of MNI152: its header or '
            'its space is another one. Bring it to MNI152, in mm.'
        )


def beside_brain(places: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Tell which places lie outside the box around the brain of MNI152.

    Parameters
    ----------
    places : (n, 3) array_like
        mm.
    """
    low, high = _brain_box()
    points = np.asarray(places, dtype=float)
    return np.asarray(((points < low) | (points > high)).any(axis=1))


@cache
def _brain_box() -> tuple[FloatArray, FloatArray]:
    """Return the corners of a box around CerebrA with `ROOM_MM` on each side."""
    atlas = cerebra()
    places = apply_matrix(atlas.affine, np.argwhere(np.asarray(atlas.data) > 0))
    return places.min(axis=0) - ROOM_MM, places.max(axis=0) + ROOM_MM


def _space_note(path: Path) -> str:
    """Say what is assumed of the space of a volume atlas; refuse one that is none of MNI152."""
    if ICBM_2009.search(path.name):
        return ''
    other = OTHER_SPACE.search(path.name)
    if other and not MNI_SPACES.match(other[1]):
        raise SettingsError(
            f'{path.name} lies in {other[1]}, which is none of the spaces of MNI152: bring it to '
            'MNI152NLin2009cAsym or alike, labels by nearest neighbour.'
        )
    where = f'lies in {other[1]}' if other else 'does not tell its space'
    return (
        f'{path.name} {where}; it is taken as MNI152NLin2009aSym, from which other MNI152 '
        'spaces differ by 1 to 2 mm'
    )


def read_region_names(path: Path, n_maps: int = 0) -> dict[int, tuple[str, str]]:
    """Read the names of a volume's labels from the table beside it.

    Parameters
    ----------
    path : Path
        Image.
    n_maps : int
        Maps of a 4-D image; its regions are numbered from 0, in the order of the table.

    Returns
    -------
    dict of int to (str, str)
        Code to name and side.

    Raises
    ------
    MissingInputError
        If there is no table.
    SettingsError
        If its columns are not known, or it does not fit.
    """
    tables = _tables(path)
    table = next((t for t in tables if t.is_file()), None)
    if table is None:
        raise MissingInputError(
            f'{tables[0].name}, the table that names its regions (columns index and name), is not '
            'beside it.'
        )
    try:
        rows = parse_labels(read_text(table)[0])
    except ValueError as error:
        raise SettingsError(f'{table.name} {error}.') from error
    if n_maps:
        rows = _in_order_of_maps(rows, n_maps, table)
    elif any(row.code == NO_CODE for row in rows):
        raise SettingsError(f'{table.name} needs the columns index and name.')
    codes = [row.code for row in rows]
    if again := sorted({code for code in codes if codes.count(code) > 1}):
        shown = str(again[0])[:20]
        raise SettingsError(f'{table.name} has code {shown} in more than one row; leave one.')
    found = {row.code: _named_side(row) for row in rows if row.code != 0 or n_maps}
    known = list(found.values())
    if twice := sorted({' '.join(region).strip() for region in known if known.count(region) > 1}):
        raise SettingsError(
            f'{table.name}: {", ".join(n[:40] for n in twice[:4])} stands for several regions; '
            'give each a name.'
        )
    return found


def _in_order_of_maps(rows: list[NamedLabel], n_maps: int, table: Path) -> list[NamedLabel]:
    """Give the rows the numbers of maps, from 0: by their codes where these count maps."""
    if len(rows) != n_maps:
        raise SettingsError(f'{table.name} names {len(rows)} regions, the image has {n_maps}.')
    codes = sorted(row.code for row in rows)
    if codes in (list(range(n_maps)), list(range(1, n_maps + 1))):
        rows = sorted(rows, key=lambda row: row.code)
    return [replace(row, code=number) for number, row in enumerate(rows)]


def _named_side(row: NamedLabel) -> tuple[str, str]:
    """Return name and side of a row; the column of sides counts before the name."""
    own, side = split_side(row.name)
    told = row.side.upper()[:1]
    said = told if told in ('L', 'R') else side
    return (own, said) if said else (row.name, '')


_SIDE = re.compile(
    r'^(?:ctx[-_])?(?:(?P<a>left|right|lh|rh|l|r)[-_. ]+)?(?P<name>.+?)'
    r'(?:[-_. ]+\(?(?P<b>left|right|lh|rh|l|r)\)?)?$', re.IGNORECASE,
)  # fmt: skip


def split_side(name: str) -> tuple[str, str]:
    """Return a region's name without its side, and the side.

    Parameters
    ----------
    name : str
        As tables of atlases write it, with a word or letter for the side before or after it.

    Returns
    -------
    name : str
        What is left.
    side : str
        ``L``, ``R``, or empty for a region of the midline or of both sides.

    Examples
    --------
    >>> split_side('Left-Hippocampus'), split_side('Uncinate_R'), split_side('fornix')
    (('Hippocampus', 'L'), ('Uncinate', 'R'), ('fornix', ''))
    """
    found = _SIDE.match(name.strip())
    if found is None or not (found['a'] or found['b']):
        return name.strip(), ''
    return found['name'], str(found['a'] or found['b']).upper()[0]


def check_sides(atlas: VolumeAtlas) -> None:
    """Refuse an atlas whose left regions lie right: its file is mirrored.

    Parameters
    ----------
    atlas : VolumeAtlas
        Regions without a side are not looked at.

    Raises
    ------
    SettingsError
        Naming the regions.
    """
    wrong = []
    for code, (name, side) in atlas.regions.items():
        x = _centre_x(atlas, code)
        if (side == 'L' and x > 0) or (side == 'R' and x < 0):
            wrong.append(f'{name} {side}')
    if wrong:
        raise SettingsError(
            f'{", ".join(wrong[:4])}{" and others" if len(wrong) > 4 else ""}: the side in the '
            "name is not the one of the image: the image or its header's left and right are "
            'exchanged.'
        )


def _centre_x(atlas: VolumeAtlas, code: int) -> float:
    """Return the mean x coordinate of a region; NaN if it is empty."""
    data = np.asarray(atlas.data)
    weights = (data == code) if data.ndim == 3 else np.clip(data[..., code], 0, None)
    total = float(weights.sum())
    if not total:
        return float('nan')
    centre = [
        float((weights.sum(axis=tuple(a for a in range(3) if a != axis))
               * np.arange(weights.shape[axis])).sum()) / total
        for axis in range(3)
    ]  # fmt: skip
    return float(apply_matrix(atlas.affine, np.array([centre]))[0, 0])


def on_mesh(atlas: SurfaceAtlas | VolumeAtlas) -> SurfaceAtlas:
    """Return the labels of an atlas at the vertices of the finest template mesh.

    Those of a volume are looked up at `DEPTHS` of the template's cortex, and the one that two of
    three have is taken; what only one has, or belongs to the other side, is no label.

    Parameters
    ----------
    atlas : SurfaceAtlas or VolumeAtlas
        A surface atlas is returned as it is. Of probabilities the largest counts where it is above
        1/4.

    Returns
    -------
    SurfaceAtlas
        Code 0 (``unknown``) without a label and outside the cortex; codes of probabilities count
        from 1.
    """
    if isinstance(atlas, SurfaceAtlas):
        return atlas
    data = np.asarray(atlas.data)
    if data.ndim == 4:
        data = np.where(data.max(axis=3) > 0.25, data.argmax(axis=3) + 1, 0)
        regions = {code + 1: region for code, region in atlas.regions.items()}
    else:
        regions = dict(atlas.regions)
    codes, names = {}, {}
    for side, mesh in load_template().items():
        own = {code: name for code, (name, of) in regions.items() if of in ('', side)}
        looked = np.stack([
            _at_points(data, atlas.affine, mesh.white + depth * (mesh.pial - mesh.white))
            for depth in DEPTHS
        ])  # fmt: skip
        first = np.where(looked[0] == looked[1], looked[0],
                         np.where(looked[1] == looked[2], looked[1],
                                  np.where(looked[0] == looked[2], looked[0], 0)))  # fmt: skip
        codes[side] = np.where(np.isin(first, list(own)) & mesh.cortex, first, 0)
        names[side] = {0: 'unknown', **own}
    return SurfaceAtlas(atlas.name, codes, names)


def _at_points(data: Numbers, affine: FloatArray, points: FloatArray) -> IntArray:
    """Return the codes of the nearest voxels, 0 outside."""
    index = np.rint(apply_matrix(np.linalg.inv(affine), points)).astype(np.int64)
    inside = np.all((index >= 0) & (index < data.shape[:3]), axis=1)
    codes = np.zeros(len(points), dtype=np.int64)
    codes[inside] = data[tuple(index[inside].T)]
    return codes


def check_region(region: Sequence[str], asked: Sequence[str] = ()) -> None:
    """Refuse names of a region of interest that no atlas has at the mesh.

    Parameters
    ----------
    region : sequence of str
        See `bids_acc.surfaces.regions.find_region`.
    asked : sequence of str
        Atlases besides the shipped ones.

    Raises
    ------
    SettingsError
        With what was probably meant, or that it is a region of a volume.
    """
    labels = all_labels(HEMISPHERES[0], '10k', asked)
    for name in region:
        try:
            find_region(labels, [name])
        except SettingsError as error:
            if where := _volume_that_has(name, asked):
                raise SettingsError(
                    f'--roi {name}: {name} is a region of the volume of {where} and has no '
                    'vertices; the region of interest is one of the cortex.'
                ) from error
            raise


def _volume_that_has(region: str, asked: Sequence[str]) -> str:
    """Return the volume atlas that has a region; empty if none."""
    for atlas in [cerebra(), *map(load_atlas, asked)]:
        if isinstance(atlas, VolumeAtlas):
            known = {plain_label(name) for name, _ in atlas.regions.values()}
            if plain_label(region) in known:
                return atlas.name
    return ''
