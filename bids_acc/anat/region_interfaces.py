"""Nipype shell that measures regions: of the cortex on the mesh, of volumes by carried labels."""

from __future__ import annotations

from pathlib import Path

import nibabel as nb
import numpy as np
import numpy.typing as npt
import pandas as pd
from nibabel.affines import voxel_sizes
from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    Bunch,
    Directory,
    File,
    InputMultiObject,
    SimpleInterface,
    TraitedSpec,
    isdefined,
    traits,
)

from bids_acc.anat.density import jacobian_determinant, modulated
from bids_acc.anat.freesurfer import read_aseg_volumes
from bids_acc.anat.interfaces import load_volume, save_volume
from bids_acc.anat.registration import template_path
from bids_acc.images.affines import apply_matrix
from bids_acc.images.labels import sum_labels
from bids_acc.images.resampling import sample
from bids_acc.images.template_space import person_coordinates, template_coordinates
from bids_acc.surfaces.atlases import (
    PROVENANCE,
    VolumeAtlas,
    cerebra,
    load_atlas,
    surface_labels,
    with_own,
)
from bids_acc.surfaces.gifti import read_labels, read_map
from bids_acc.surfaces.region_means import cortex_rows
from bids_acc.surfaces.regions import Labels
from bids_acc.surfaces.template import HEMISPHERES
from bids_acc.tables.writing import write_tsv
from bids_acc.typing import Codes, FloatArray, Row, Scalar, Volume

COLUMNS = (
    'atlas', 'region', 'hemisphere', 'method', 'volume_mm3', 'gm_volume_mm3', 'gm_density',
    'thickness_mm', 'area_mm2', 'n_vertices', 'defined_share', 'n_voxels',
)  # fmt: skip


PIECE_MM = 1.5
"""Labels are looked up at points no farther apart than this; those of the template are of 1 mm."""


class _MeasureRegionsInputSpec(BaseInterfaceInputSpec):
    grid_file = File(exists=True, mandatory=True, desc='T1w image')
    tpms = InputMultiObject(File(exists=True), mandatory=True, desc='GM, WM and CSF')
    images_to_t1w = InputMultiObject(File(exists=True), mandatory=True, desc='template to T1w')
    thickness = InputMultiObject(File(exists=True), mandatory=True, desc='left and right')
    area = InputMultiObject(File(exists=True), mandatory=True, desc='left and right')
    volume = InputMultiObject(File(exists=True), mandatory=True, desc='left and right')
    density = traits.Enum('41k', '10k', usedefault=True, desc='vertices per hemisphere')
    atlases = traits.Tuple(usedefault=True, desc='atlases besides the shipped ones')
    own_atlas = traits.Str('', usedefault=True, desc='atlas of the own labels')
    labels = InputMultiObject(File(exists=True), desc='own labels, left and right')
    density_file = File(exists=True, desc='modulated grey matter in the template')
    freesurfer_dir = Directory(exists=True, desc='FreeSurfer subject, for its aseg.stats')


class _MeasureRegionsOutputSpec(TraitedSpec):
    out_file = File(exists=True, desc='table, one row for each region')
    dseg = File(exists=True, desc='labels of CerebrA on the T1w grid')
    dseg_table = File(exists=True, desc='their names')
    facts = traits.Dict(desc='total intracranial volume, for the table of quality')
    metadata = traits.Dict(desc='which atlases, and what a reader must know of their space')


class MeasureRegions(SimpleInterface):
    """Tabulate thickness, area and volume of every region."""

    input_spec = _MeasureRegionsInputSpec
    output_spec = _MeasureRegionsOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        out = Path(runtime.cwd)
        grid, affine = load_volume(self.inputs.grid_file)
        grey = load_volume(self.inputs.tpms[0])[0]
        fine = FineGrid(grid.shape, affine)
        places = template_coordinates(fine.shape, fine.affine, self.inputs.images_to_t1w)
        known = np.isfinite(places[..., 0])
        points, grey_there = places[known], fine.repeated(grey)[known]
        millimetres = float(voxel_sizes(fine.affine).prod())
        rows = self._cortex()
        asked = [a for a in map(load_atlas, self.inputs.atlases) if isinstance(a, VolumeAtlas)]
        volumes = [cerebra(), *(atlas for atlas in asked if atlas.name != 'CerebrA')]
        for atlas in volumes:
            found, nearest = volume_rows(
                atlas, points, grey_there, millimetres, float(voxel_sizes(affine).prod())
            )
            rows += self._with_density(atlas, found)
            if atlas.name == 'CerebrA' and nearest is not None:
                labels = np.zeros(fine.shape, dtype=np.uint8)
                labels[known] = nearest
                labels = fine.one_of_each(labels)
                self._results['dseg'] = save_volume(out / 'dseg.nii.gz', labels, affine)
                self._results['dseg_table'] = _write_names(atlas, out / 'dseg.tsv')
        facts = {'tiv_ml': intracranial_volume(points, millimetres)}
        if isdefined(self.inputs.freesurfer_dir):
            rows += read_aseg_volumes(Path(self.inputs.freesurfer_dir))
        frame = pd.DataFrame(rows, columns=list(COLUMNS))
        path = out / 'regions.tsv'
        write_tsv(path, frame, digits=8)
        self._results['out_file'] = str(path)
        self._results['facts'] = facts
        self._results['metadata'] = {
            'Atlases': {
                name: text for name, text in PROVENANCE.items() if name in set(frame['atlas'])
            },
            **({'AtlasNotes': notes} if (notes := [a.note for a in volumes if a.note]) else {}),
        }
        return runtime

    def _with_density(self, atlas: VolumeAtlas, rows: list[Row]) -> list[Row]:
        """Add the mean modulated density of each region."""
        if not isdefined(self.inputs.density_file):
            return rows
        values, affine = load_volume(self.inputs.density_file)
        means = region_densities(atlas, values, affine)
        return [
            {**row, 'gm_density': means[str(row['region']), str(row['hemisphere'])]}
            for row in rows
        ]

    def _cortex(self) -> list[Row]:
        """Return the rows of regions on the mesh."""
        rows = []
        for index, side in enumerate(HEMISPHERES):
            maps = {name: read_map(getattr(self.inputs, name)[index])
                    for name in ('thickness', 'area', 'volume')}  # fmt: skip
            for labels in self._labels(index, side):
                found = cortex_rows(
                    labels, side, {'thickness_mm': maps['thickness']},
                    {'area_mm2': maps['area'], 'volume_mm3': maps['volume']},
                )  # fmt: skip
                rows += [{**row, 'method': 'surface'} for row in found]
        return rows

    def _labels(self, index: int, side: str) -> list[Labels]:
        """Return the atlases at the vertices of a hemisphere, the subject's own in their place."""
        density = self.inputs.density
        known = surface_labels(side, density, self.inputs.atlases)
        if not isdefined(self.inputs.labels):
            return known
        own = Labels(self.inputs.own_atlas, *read_labels(self.inputs.labels[index]))
        return with_own(known, own)


DENSITY_MM = 1.5
"""Voxels of the map of modulated grey matter, mm, as CAT12 writes it by default."""


def density_grid() -> tuple[tuple[int, ...], FloatArray]:
    """Return shape and affine of the grid of modulated grey matter, over the whole template."""
    template = nb.Nifti1Image.from_filename(template_path('t1'))
    corner = np.asarray(template.affine) @ [-0.5, -0.5, -0.5, 1]
    affine = np.diag([DENSITY_MM, DENSITY_MM, DENSITY_MM, 1.0])
    affine[:3, 3] = corner[:3] + DENSITY_MM / 2
    extent = np.array(template.shape[:3]) * voxel_sizes(template.affine)
    return tuple(int(n) for n in np.ceil(extent / DENSITY_MM)), affine


class _ModulateGreyInputSpec(BaseInterfaceInputSpec):
    tpms = InputMultiObject(File(exists=True), mandatory=True, desc='GM, WM and CSF')
    points_to_t1w = InputMultiObject(File(exists=True), mandatory=True, desc='T1w to template')


class _ModulateGreyOutputSpec(TraitedSpec):
    out_file = File(exists=True, desc='grey matter per volume of the template')


class ModulateGrey(SimpleInterface):
    """Carry grey matter to the template, times how much space was stretched."""

    input_spec = _ModulateGreyInputSpec
    output_spec = _ModulateGreyOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        grey, own = load_volume(self.inputs.tpms[0])
        shape, affine = density_grid()
        places = person_coordinates(shape, affine, self.inputs.points_to_t1w, grey.shape, own)
        there = sample(grey, own, places.reshape(-1, 3)).reshape(shape)
        values = modulated(there, jacobian_determinant(places, affine))
        path = Path(runtime.cwd) / 'modulated.nii.gz'
        self._results['out_file'] = save_volume(path, values.astype(np.float32), affine)
        return runtime


def region_densities(
    atlas: VolumeAtlas, values: Volume, affine: FloatArray
) -> dict[tuple[str, str], float]:
    """Return the mean of a map in the template over each region of an atlas.

    Parameters
    ----------
    atlas : VolumeAtlas
    values : (nx, ny, nz) ndarray
    affine : (4, 4) ndarray
        Voxel to template RAS in mm.

    Returns
    -------
    dict of (str, str) to float
        Region and side to the mean, weighted by the region's share of each voxel; NaN without any.
    """
    points = apply_matrix(affine, np.indices(values.shape).reshape(3, -1).T)
    flat = np.asarray(values).ravel()
    if atlas.data.ndim == 4:
        shares = [np.nan_to_num(sample(atlas.data[..., code], atlas.affine, points))
                  for code in atlas.regions]  # fmt: skip
        sums = [(float((p * flat).sum()), float(p.sum())) for p in shares]
    else:
        found = sum_labels(atlas.data, atlas.affine, points, [flat])
        sums = [(float(found.weighted[0, c]), float(found.amount[c])) for c in atlas.regions]
    return {
        (name, side or 'both'): total / amount if amount else float('nan')
        for (name, side), (total, amount) in zip(atlas.regions.values(), sums, strict=True)
    }


class FineGrid:
    """The grid of an image, each voxel cut so that no piece is longer than `PIECE_MM`.

    A label that is read at the centres of voxels of 2.5 mm has an error of 5 % where it is as
    small as the amygdala.

    Parameters
    ----------
    shape : (3,) tuple of int
        Grid of the image.
    affine : (4, 4) ndarray
        Voxel to scanner RAS in mm.
    """

    def __init__(self, shape: tuple[int, ...], affine: FloatArray) -> None:
        self.factor = np.ceil(voxel_sizes(affine) / PIECE_MM - 1e-6).astype(int)
        self.shape = tuple(int(n) for n in np.array(shape) * self.factor)
        to_voxel = np.diag([*(1 / self.factor), 1.0])
        to_voxel[:3, 3] = (1 / self.factor - 1) / 2
        self.affine = np.asarray(affine) @ to_voxel

    def repeated(self, values: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
        """Give each sub-voxel the value of the voxel that it is a part of.

        Parameters
        ----------
        values : (nx, ny, nz) ndarray
            On the grid of the image.

        Returns
        -------
        ndarray
            On the finer grid.
        """
        for axis, n in enumerate(self.factor):
            values = np.repeat(values, n, axis=axis)
        return values

    def one_of_each(self, values: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
        """Return, for each voxel, the value of its sub-voxel next to the centre.

        Parameters
        ----------
        values : ndarray
            On the finer grid.

        Returns
        -------
        (nx, ny, nz) ndarray
            On the grid of the image.
        """
        a, b, c = self.factor
        return np.ascontiguousarray(values[a // 2 :: a, b // 2 :: b, c // 2 :: c])


def volume_rows(
    atlas: VolumeAtlas, points: Volume, grey: Volume, millimetres: float, voxel_mm3: float
) -> tuple[list[Row], Codes | None]:
    """Measure the regions of a volume atlas.

    Parameters
    ----------
    atlas : VolumeAtlas
        In the space of the template.
    points : (n, 3) ndarray
        Where the pieces of the T1w image's voxels lie in the template, in mm.
    grey : (n,) ndarray
        Their share of grey matter.
    millimetres : float
        Volume of a point in mm3.
    voxel_mm3 : float
        Volume of a voxel in mm3.

    Returns
    -------
    rows : list of dict
    nearest : (n,) ndarray or None
        Code of each voxel; None of an atlas of probabilities.
    """
    if atlas.data.ndim == 4:
        shares = [np.nan_to_num(sample(atlas.data[..., code], atlas.affine, points))
                  for code in atlas.regions]  # fmt: skip
        amount = dict(zip(atlas.regions, (float(p.sum()) for p in shares), strict=True))
        within = dict(zip(atlas.regions, (float((p * grey).sum()) for p in shares), strict=True))
        nearest = None
    else:
        found = sum_labels(atlas.data, atlas.affine, points, [grey])
        amount = {code: float(found.amount[code]) for code in atlas.regions}
        within = {code: float(found.weighted[0, code]) for code in atlas.regions}
        nearest = found.nearest
    rows: list[Row] = [
        {
            'atlas': atlas.name,
            'region': name,
            'hemisphere': side or 'both',
            'method': 'label',
            'volume_mm3': amount[code] * millimetres,
            'gm_volume_mm3': within[code] * millimetres,
            'n_voxels': amount[code] * millimetres / voxel_mm3,
        }
        for code, (name, side) in atlas.regions.items()
    ]
    return rows, nearest


def intracranial_volume(points: Volume, millimetres: float) -> float:
    """Return the volume of the template's brain mask, carried to the image, in mL.

    The mask holds the fluid of the sulci: what lies within it is taken for the intracranial
    volume, and was never compared with a skull cavity.

    Parameters
    ----------
    points : (n, 3) ndarray
        Places in the template of the sub-voxels of the T1w image, RAS in mm; NaN outside of it.
    millimetres : float
        Volume of a sub-voxel, mm3.
    """
    image = nb.Nifti1Image.from_filename(template_path('t1'))
    inside = (image.get_fdata(dtype=np.float32) > 0).astype(np.float32)
    share = np.nan_to_num(sample(inside, image.affine, points))
    return float(share.sum()) * millimetres / 1000


def _write_names(atlas: VolumeAtlas, path: Path) -> str:
    """Write the names of labels as BIDS asks for them."""
    frame = pd.DataFrame(
        [(code, f'{name}_{side}' if side else name) for code, (name, side)
         in sorted(atlas.regions.items())],
        columns=['index', 'name'],
    )  # fmt: skip
    write_tsv(path, frame)
    return str(path)
