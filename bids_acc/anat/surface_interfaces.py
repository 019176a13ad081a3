"""Nipype shells that bring others' surfaces to the template mesh and mark the region on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    Bunch,
    Directory,
    File,
    InputMultiObject,
    OutputMultiObject,
    SimpleInterface,
    TraitedSpec,
    isdefined,
    traits,
)

from bids_acc.anat.builtin import UNDEFINED
from bids_acc.anat.interfaces import (
    MAPS,
    SurfacesOutputSpec,
    load_volume,
    save_volume,
    write_surfaces,
)
from bids_acc.anat.meshes import labels_by_place, labels_from_files, read_mesh
from bids_acc.anat.native import on_template, wound_outwards
from bids_acc.anat.registration import points_to_t1w
from bids_acc.anat.sources import READERS
from bids_acc.images.volumes import ribbon_mask
from bids_acc.surfaces.atlases import DEFAULT_ATLAS, all_labels, cerebra, shipped_surface
from bids_acc.surfaces.geometry import vertex_volumes
from bids_acc.surfaces.gifti import read_labels, read_surface, write_labels, write_map
from bids_acc.surfaces.regions import Labels, region_codes
from bids_acc.surfaces.template import HEMISPHERES, MEDIAL_WALL, load_template, mask_sha256
from bids_acc.typing import BoolArray, FloatArray


class _ExternalSurfacesInputSpec(BaseInterfaceInputSpec):
    source = traits.Enum(
        'freesurfer', 'gifti', 'civet', mandatory=True, desc='who made the surfaces'
    )
    surface_dir = Directory(exists=True, mandatory=True, desc='subject or anat folder')
    points_to_t1w = InputMultiObject(File(exists=True), desc='for points; CIVET has no sphere')
    density = traits.Enum('41k', '10k', usedefault=True, desc='vertices per hemisphere')


class _ExternalSurfacesOutputSpec(SurfacesOutputSpec):
    undefined = OutputMultiObject(File(exists=True), desc='4 not measured by the source')
    parcellation = OutputMultiObject(File(exists=True), desc='own labels, or the template ones')


class ExternalSurfaces(SimpleInterface):
    """Bring surfaces and maps that other software made to the template mesh."""

    input_spec = _ExternalSurfacesInputSpec
    output_spec = _ExternalSurfacesOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        read = READERS[self.inputs.source]
        results: dict[str, list[str]] = {key: [] for key in _ExternalSurfacesOutputSpec().get()}
        out = Path(runtime.cwd)
        for hemi, mesh in load_template(self.inputs.density).items():
            placed = None
            if self.inputs.source == 'civet' and isdefined(self.inputs.points_to_t1w):
                to_t1w = self.inputs.points_to_t1w
                placed = points_to_t1w(mesh.white, to_t1w), points_to_t1w(mesh.pial, to_t1w)
            found = on_template(read(Path(self.inputs.surface_dir), hemi), mesh, placed)
            defined = np.isfinite(found.thickness)
            for kind, path in write_surfaces(out, found.white, found.pial, mesh.faces, hemi):
                results[kind].append(path)
            for name in MAPS:
                values = np.where(defined, getattr(found, name), np.nan)
                file = out / f'{hemi}_{name}.shape.gii'
                results[name].append(str(write_map(file, values, hemi, name)))
            for name, labels, names in (
                ('undefined', np.where(mesh.cortex & ~defined, 4, 0), UNDEFINED),
                ('parcellation', found.labels, found.names),
            ):
                file = out / f'{hemi}_{name}.label.gii'
                results[name].append(str(write_labels(file, labels, names, hemi, name)))
        self._results.update(results)
        return runtime


class _CorrespondingInputSpec(BaseInterfaceInputSpec):
    space = traits.Enum('civet', 'fsLR', mandatory=True, desc='whose mesh')
    mesh_dir = Directory(exists=True, mandatory=True, desc='folder with the files of the subject')
    label_files = traits.Tuple(usedefault=True, desc='L=FILE and R=FILE; without, by place')
    region_labels = File(exists=True, mandatory=True, desc='CerebrA in the T1w image')


class _CorrespondingOutputSpec(SurfacesOutputSpec):
    parcellation = OutputMultiObject(File(exists=True), desc='labels, left and right')


class CorrespondingSurfaces(SimpleInterface):
    """Take surfaces and maps on a mesh whose vertices correspond already; nothing is resampled."""

    input_spec = _CorrespondingInputSpec
    output_spec = _CorrespondingOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        space, given = self.inputs.space, tuple(self.inputs.label_files)
        results: dict[str, list[str]] = {key: [] for key in _CorrespondingOutputSpec().get()}
        out = Path(runtime.cwd)
        fixed = labels_from_files(given, space) if given else {}
        for hemi in HEMISPHERES:
            found = read_mesh(space, Path(self.inputs.mesh_dir), hemi)
            labels = fixed.get(hemi) or self._by_place((found.white + found.pial) / 2, hemi)
            cortex = np.isin(labels.codes, list(labels.cortical()))
            defined = cortex & (np.nan_to_num(found.thickness) > 0)
            faces = wound_outwards(found.white, found.faces)
            volume = vertex_volumes(found.white, found.pial, faces)
            for kind, path in write_surfaces(out, found.white, found.pial, faces, hemi):
                results[kind].append(path)
            maps = {'thickness': found.thickness, 'area': found.area, 'volume': volume}
            for name, values in maps.items():
                file = out / f'{hemi}_{name}.shape.gii'
                kept = np.where(defined, values, np.nan)
                results[name].append(str(write_map(file, kept, hemi, name)))
            codes = np.where(cortex, labels.codes, 0)
            names = {0: MEDIAL_WALL, **{c: labels.names[c] for c in labels.cortical() if c}}
            file = out / f'{hemi}_parcellation.label.gii'
            results['parcellation'].append(str(write_labels(file, codes, names, hemi, 'atlas')))
        self._results.update(results)
        return runtime

    def _by_place(self, points: FloatArray, hemi: str) -> Labels:
        """Return the labels of CerebrA's cortex by place in the T1w image."""
        image, affine = load_volume(self.inputs.region_labels)
        cortex = set(shipped_surface(DEFAULT_ATLAS).names[hemi].values())
        regions = {code: region for code, region in cerebra().regions.items()
                   if region[0] in cortex}  # fmt: skip
        return labels_by_place(points, image.astype(np.int64), affine, regions, hemi)


class _RegionInputSpec(BaseInterfaceInputSpec):
    white = InputMultiObject(File(exists=True), mandatory=True, desc='left and right')
    pial = InputMultiObject(File(exists=True), mandatory=True, desc='left and right')
    grid_file = File(exists=True, mandatory=True, desc='T1w image whose grid the mask gets')
    density = traits.Enum('41k', '10k', usedefault=True, desc='vertices per hemisphere')
    roi = traits.Tuple(mandatory=True, desc='names of the labels')
    atlases = traits.Tuple(usedefault=True, desc='atlases besides the shipped ones')
    own_atlas = traits.Str('', usedefault=True, desc='atlas of the own labels')
    labels = InputMultiObject(File(exists=True), desc='own labels instead of the template ones')
    metadata = traits.Dict(usedefault=True, desc='what the sidecars of the labels say besides')


class _RegionOutputSpec(TraitedSpec):
    parcellation = OutputMultiObject(File(exists=True), desc='all labels, left and right')
    roi_labels = OutputMultiObject(File(exists=True), desc='the labels of the region')
    roi_mask = File(exists=True, desc='cortical ribbon of the region on the T1w grid')
    metadata = traits.List(
        traits.Dict, desc='of the labels of the region, left and right, with count and checksum'
    )


class RegionOfInterest(SimpleInterface):
    """Mark the region of interest on the mesh and in the volume."""

    input_spec = _RegionInputSpec
    output_spec = _RegionOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        grid, affine = load_volume(self.inputs.grid_file)
        volume = np.zeros(grid.shape, dtype=bool)
        out = Path(runtime.cwd)
        labels_files, roi_files, sidecars = [], [], []
        for index, (hemi, mesh) in enumerate(load_template(self.inputs.density).items()):
            atlases = all_labels(hemi, self.inputs.density, self.inputs.atlases)
            if isdefined(self.inputs.labels):
                own = Labels(self.inputs.own_atlas, *read_labels(self.inputs.labels[index]))
                atlases.insert(0, own)
            codes, names = region_codes(atlases, tuple(self.inputs.roi))
            kept = np.where(mesh.cortex, codes, 0)
            mask = kept > 0
            sidecars.append({**self.inputs.metadata, **region_facts(mask, self.inputs.roi)})
            path = out / f'{hemi}_parcellation.label.gii'
            first = atlases[0]
            labels_files.append(str(write_labels(path, first.codes, first.names, hemi, 'atlas')))
            path = out / f'{hemi}_roi.label.gii'
            roi_files.append(str(write_labels(path, kept, names, hemi, 'region of interest')))
            white, faces = read_surface(self.inputs.white[index])
            pial, _ = read_surface(self.inputs.pial[index])
            inside = faces[mask[faces].all(axis=1)]
            weights = _barycentric_grid(6)
            inner, outer = (
                np.einsum('wk,fkc->fwc', weights, v[inside]).reshape(-1, 3) for v in (white, pial)
            )
            volume |= ribbon_mask(grid.shape, affine, inner, outer)
        self._results['parcellation'] = labels_files
        self._results['roi_labels'] = roi_files
        self._results['metadata'] = sidecars
        self._results['roi_mask'] = save_volume(out / 'roi.nii.gz', volume, affine)
        return runtime


def region_facts(mask: BoolArray, roi: tuple[str, ...]) -> dict[str, object]:
    """Describe a region on one hemisphere's mesh, so that it can be told from another.

    Parameters
    ----------
    mask : (n_vertices,) ndarray of bool
        The region.
    roi : tuple of str
        Labels that make it up.

    Returns
    -------
    dict
        ``Labels``, ``VertexCount`` and ``VertexMaskSHA256``, for a sidecar.
    """
    return {
        'Labels': list(roi),
        'VertexCount': int(np.count_nonzero(mask)),
        'VertexMaskSHA256': mask_sha256(mask),
    }


def _barycentric_grid(n: int) -> FloatArray:
    """Return barycentric weights of a regular grid of points in a triangle."""
    i, j = np.meshgrid(np.arange(n + 1), np.arange(n + 1))
    inside = i + j <= n
    i, j = i[inside], j[inside]
    return np.stack([i, j, n - i - j], axis=1) / n
