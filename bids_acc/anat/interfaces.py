"""Nipype shells of the built-in route: from a T1w file to surfaces, maps and their quality."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nb
import numpy as np
import pandas as pd
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

from bids_acc.exceptions import InputDataError

from .builtin import (
    UNDEFINED,
    fit_hemisphere,
    segment_brain,
    template_priors,
    tissue_image,
    vertex_maps,
    voxel_sizes,
)
from .geometry import euler_number
from .intersection import self_intersecting_faces
from .quality import contrast_to_noise, unusual
from .registration import bias_correct, image_to_t1w, points_to_t1w, register_to_template
from .segmentation import TISSUES, discrete_segmentation
from .sources import on_template, read_civet, read_freesurfer, read_gifti
from .surfaces_io import (
    read_labels,
    read_map,
    read_surface,
    write_labels,
    write_map,
    write_surface,
)
from .template import HEMISPHERES, load_template, region_mask
from .volumes import check_volume, dice, is_skull_stripped, ribbon_mask, stripped_mask


def load_volume(path: str | Path) -> tuple[Any, Any]:
    """Return data as float32 and affine of a NIfTI file.

    Raises
    ------
    InputDataError
        If the file cannot be read.
    """
    try:
        image = nb.Nifti1Image.from_filename(str(path))
        return image.get_fdata(dtype=np.float32), image.affine
    except Exception as error:
        raise InputDataError(f'{path} is no readable NIfTI image: {error}') from error


def save_volume(path: Path, data: Any, affine: Any) -> str:
    """Write a NIfTI file in scanner space; masks and labels as bytes, the rest as float32."""
    data = np.asarray(data)
    dtype = np.uint8 if data.dtype in (bool, np.uint8) else np.float32
    image = nb.Nifti1Image(data.astype(dtype), affine)
    image.set_qform(affine, 1)
    image.set_sform(affine, 1)
    image.header.set_xyzt_units('mm', 'sec')
    image.to_filename(path)
    return str(path)


class _PrepareT1wInputSpec(BaseInterfaceInputSpec):
    t1w_file = File(exists=True, mandatory=True, desc='T1-weighted image')
    skull_strip = traits.Enum('auto', 'force', 'skip', usedefault=True, desc='brain extraction')
    seed = traits.Int(0, usedefault=True, desc='seed of the registration')
    num_threads = traits.Int(1, usedefault=True, nohash=True, desc='threads of ITK')


class _PrepareT1wOutputSpec(TraitedSpec):
    out_file = File(exists=True, desc='image with axes nearest to right, anterior, superior')
    mask_file = File(exists=True, desc='brain')
    skull_stripped = traits.Bool(desc='whether the input was skull-stripped')


class PrepareT1w(SimpleInterface):
    """Check and reorient a T1w image, and find the brain in it."""

    input_spec = _PrepareT1wInputSpec
    output_spec = _PrepareT1wOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        source = self.inputs.t1w_file
        check_volume(*load_volume(source), source)
        image = nb.as_closest_canonical(nb.Nifti1Image.from_filename(source))
        affine = image.affine
        data = np.nan_to_num(image.get_fdata(dtype=np.float32), posinf=0, neginf=0)
        sizes = voxel_sizes(affine)
        stripped = self.inputs.skull_strip == 'skip' or (
            self.inputs.skull_strip == 'auto' and is_skull_stripped(data, float(sizes.prod()))
        )
        if stripped:
            mask = stripped_mask(data, sizes)
        else:
            from .brain import extract_brain

            mask = extract_brain(
                data, affine, Path(runtime.cwd) / 'head_',
                seed=self.inputs.seed, n_threads=self.inputs.num_threads,
            )  # fmt: skip
        out = Path(runtime.cwd)
        self._results['out_file'] = save_volume(out / 'ras.nii.gz', data, affine)
        self._results['mask_file'] = save_volume(out / 'mask.nii.gz', mask, affine)
        self._results['skull_stripped'] = bool(stripped)
        return runtime


class _BiasCorrectInputSpec(BaseInterfaceInputSpec):
    in_file = File(exists=True, mandatory=True, desc='T1w image')
    mask_file = File(exists=True, mandatory=True, desc='brain, on the same grid')
    num_threads = traits.Int(1, usedefault=True, nohash=True, desc='threads of ITK')


class _OutFileOutputSpec(TraitedSpec):
    out_file = File(exists=True, desc='result')


class BiasCorrect(SimpleInterface):
    """Remove the bias field with N4 and what is not brain."""

    input_spec = _BiasCorrectInputSpec
    output_spec = _OutFileOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        data, affine = load_volume(self.inputs.in_file)
        mask = load_volume(self.inputs.mask_file)[0] > 0
        corrected = bias_correct(np.maximum(data, 0), affine, mask, self.inputs.num_threads)
        corrected = np.where(mask, np.maximum(corrected, 0), 0)
        self._results['out_file'] = save_volume(Path(runtime.cwd) / 'n4.nii.gz', corrected, affine)
        return runtime


class _RegisterInputSpec(BaseInterfaceInputSpec):
    in_file = File(exists=True, mandatory=True, desc='bias-corrected brain')
    seed = traits.Int(0, usedefault=True, desc='seed of the metric samples')
    num_threads = traits.Int(1, usedefault=True, nohash=True, desc='threads of ITK')


class _RegisterOutputSpec(TraitedSpec):
    points_to_t1w = OutputMultiObject(File(exists=True), desc='for template points, ANTs order')
    images_to_t1w = OutputMultiObject(File(exists=True), desc='for template images, ANTs order')


class RegisterTemplate(SimpleInterface):
    """Register the brain to the template: affine and SyN at 2 mm."""

    input_spec = _RegisterInputSpec
    output_spec = _RegisterOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        data, affine = load_volume(self.inputs.in_file)
        points, images = register_to_template(
            data, affine, Path(runtime.cwd) / 'template_',
            seed=self.inputs.seed, n_threads=self.inputs.num_threads,
        )  # fmt: skip
        self._results['points_to_t1w'] = [str(p) for p in points]
        self._results['images_to_t1w'] = [str(p) for p in images]
        return runtime


class _SegmentInputSpec(BaseInterfaceInputSpec):
    in_file = File(exists=True, mandatory=True, desc='bias-corrected brain')
    mask_file = File(exists=True, mandatory=True, desc='brain mask')
    images_to_t1w = InputMultiObject(File(exists=True), mandatory=True, desc='template to T1w')


class _SegmentOutputSpec(TraitedSpec):
    tpms = OutputMultiObject(File(exists=True), desc='probabilities of GM, WM and CSF')
    dseg = File(exists=True, desc='1 GM, 2 WM, 3 CSF')
    model_file = File(exists=True, desc='JSON with the tissues as found')


class SegmentTissues(SimpleInterface):
    """Estimate tissue probabilities from intensities and the template's priors."""

    input_spec = _SegmentInputSpec
    output_spec = _SegmentOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        data, affine = load_volume(self.inputs.in_file)
        mask = load_volume(self.inputs.mask_file)[0] > 0
        model, carried = segment_brain(data, affine, mask, self.inputs.images_to_t1w)
        out = Path(runtime.cwd)
        self._results['tpms'] = [
            save_volume(out / f'{name}.nii.gz', p, affine)
            for name, p in zip(TISSUES, model.probabilities, strict=True)
        ]
        labels = discrete_segmentation(model.probabilities)
        self._results['dseg'] = save_volume(out / 'dseg.nii.gz', labels, affine)
        cnr, snr = contrast_to_noise(model.means, model.deviations)
        expected = carried.sum(axis=0) > 0.5
        found = {
            'registration_dice': dice(expected, mask),
            'registration_dice_wm': dice(carried[1] > 0.5, labels == 2),
            'cnr': cnr,
            'snr_wm': snr,
            'converged': model.converged,
        }
        model_file = out / 'tissues.json'
        model_file.write_text(json.dumps(found))
        self._results['model_file'] = str(model_file)
        return runtime


class _FitSurfacesInputSpec(BaseInterfaceInputSpec):
    in_file = File(exists=True, mandatory=True, desc='bias-corrected brain')
    tpms = InputMultiObject(File(exists=True), mandatory=True, desc='GM, WM and CSF')
    points_to_t1w = InputMultiObject(File(exists=True), mandatory=True, desc='for points')
    images_to_t1w = InputMultiObject(File(exists=True), mandatory=True, desc='for images')
    density = traits.Enum('41k', '10k', usedefault=True, desc='vertices per hemisphere')


class _FitSurfacesOutputSpec(TraitedSpec):
    white = OutputMultiObject(File(exists=True), desc='left and right')
    pial = OutputMultiObject(File(exists=True), desc='left and right')
    midthickness = OutputMultiObject(File(exists=True), desc='left and right')
    undefined = OutputMultiObject(File(exists=True), desc='1 clamped, 2 self-intersecting')


class FitSurfaces(SimpleInterface):
    """Carry the template's surfaces into the T1w and fit them to its own boundaries."""

    input_spec = _FitSurfacesInputSpec
    output_spec = _FitSurfacesOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        data, affine = load_volume(self.inputs.in_file)
        tissues = np.stack([load_volume(path)[0] for path in self.inputs.tpms])
        image = tissue_image(data, affine, tissues, self.inputs.images_to_t1w)
        results: dict[str, list[str]] = {key: [] for key in _FitSurfacesOutputSpec().get()}
        out = Path(runtime.cwd)
        for hemi, mesh in load_template(self.inputs.density).items():
            fit, undefined = fit_hemisphere(image, mesh, hemi, self.inputs.points_to_t1w)
            surfaces = {
                'white': fit.white,
                'pial': fit.pial,
                'midthickness': (fit.white + fit.pial) / 2,
            }
            for kind, vertices in surfaces.items():
                path = out / f'{hemi}_{kind}.surf.gii'
                results[kind].append(str(write_surface(path, vertices, mesh.faces, hemi, kind)))
            path = out / f'{hemi}_undefined.label.gii'
            write_labels(path, undefined, UNDEFINED, hemi, 'undefined')
            results['undefined'].append(str(path))
        self._results.update(results)
        return runtime


class _SurfaceMetricsInputSpec(BaseInterfaceInputSpec):
    white = InputMultiObject(File(exists=True), mandatory=True, desc='left and right')
    pial = InputMultiObject(File(exists=True), mandatory=True, desc='left and right')
    undefined = InputMultiObject(File(exists=True), desc='left and right; 0 where defined')
    density = traits.Enum('41k', '10k', usedefault=True, desc='vertices per hemisphere')


class _SurfaceMetricsOutputSpec(TraitedSpec):
    thickness = OutputMultiObject(File(exists=True), desc='mm, left and right')
    area = OutputMultiObject(File(exists=True), desc='mm2, left and right')


class SurfaceMetrics(SimpleInterface):
    """Measure thickness and area at each vertex; NaN on the medial wall and where undefined."""

    input_spec = _SurfaceMetricsInputSpec
    output_spec = _SurfaceMetricsOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        results: dict[str, list[str]] = {'thickness': [], 'area': []}
        for index, (hemi, mesh) in enumerate(load_template(self.inputs.density).items()):
            white, _ = read_surface(self.inputs.white[index])
            pial, _ = read_surface(self.inputs.pial[index])
            maps = vertex_maps(white, pial, mesh, read_map(self.inputs.undefined[index]))
            for name, values in maps.items():
                path = Path(runtime.cwd) / f'{hemi}_{name}.shape.gii'
                results[name].append(str(write_map(path, values, hemi, name)))
        self._results.update(results)
        return runtime


class _ExternalSurfacesInputSpec(BaseInterfaceInputSpec):
    source = traits.Enum(
        'freesurfer', 'gifti', 'civet', mandatory=True, desc='who made the surfaces'
    )
    surface_dir = Directory(exists=True, mandatory=True, desc='subject or anat folder')
    points_to_t1w = InputMultiObject(File(exists=True), desc='for points; CIVET has no sphere')
    density = traits.Enum('41k', '10k', usedefault=True, desc='vertices per hemisphere')


class _ExternalSurfacesOutputSpec(_FitSurfacesOutputSpec):
    thickness = OutputMultiObject(File(exists=True), desc='mm, left and right')
    area = OutputMultiObject(File(exists=True), desc='mm2, left and right')
    parcellation = OutputMultiObject(File(exists=True), desc='own labels, or the template ones')


class ExternalSurfaces(SimpleInterface):
    """Bring surfaces and maps that other software made to the template mesh."""

    input_spec = _ExternalSurfacesInputSpec
    output_spec = _ExternalSurfacesOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        readers = {'freesurfer': read_freesurfer, 'gifti': read_gifti, 'civet': read_civet}
        read = readers[self.inputs.source]
        results: dict[str, list[str]] = {key: [] for key in _ExternalSurfacesOutputSpec().get()}
        out = Path(runtime.cwd)
        for hemi, mesh in load_template(self.inputs.density).items():
            placed = None
            if self.inputs.source == 'civet' and isdefined(self.inputs.points_to_t1w):
                to_t1w = self.inputs.points_to_t1w
                placed = points_to_t1w(mesh.white, to_t1w), points_to_t1w(mesh.pial, to_t1w)
            found = on_template(read(Path(self.inputs.surface_dir), hemi), mesh, placed)
            defined = np.isfinite(found.thickness)
            surfaces = {
                'white': found.white,
                'pial': found.pial,
                'midthickness': (found.white + found.pial) / 2,
            }
            for kind, vertices in surfaces.items():
                path = out / f'{hemi}_{kind}.surf.gii'
                results[kind].append(str(write_surface(path, vertices, mesh.faces, hemi, kind)))
            area = np.where(defined, found.area, np.nan)
            for name, values in (('thickness', found.thickness), ('area', area)):
                path = out / f'{hemi}_{name}.shape.gii'
                results[name].append(str(write_map(path, values, hemi, name)))
            undefined = (mesh.cortex & ~defined).astype(int)
            for name, labels, names in (
                ('undefined', undefined, UNDEFINED),
                ('parcellation', found.labels, found.names),
            ):
                path = out / f'{hemi}_{name}.label.gii'
                results[name].append(str(write_labels(path, labels, names, hemi, name)))
        self._results.update(results)
        return runtime


class _RegionInputSpec(BaseInterfaceInputSpec):
    white = InputMultiObject(File(exists=True), mandatory=True, desc='left and right')
    pial = InputMultiObject(File(exists=True), mandatory=True, desc='left and right')
    grid_file = File(exists=True, mandatory=True, desc='T1w image whose grid the mask gets')
    density = traits.Enum('41k', '10k', usedefault=True, desc='vertices per hemisphere')
    roi = traits.Tuple(mandatory=True, desc='names of the labels')
    labels = InputMultiObject(File(exists=True), desc='own labels instead of the template ones')


class _RegionOutputSpec(TraitedSpec):
    parcellation = OutputMultiObject(File(exists=True), desc='all labels, left and right')
    roi_labels = OutputMultiObject(File(exists=True), desc='the labels of the region')
    roi_mask = File(exists=True, desc='cortical ribbon of the region on the T1w grid')


class RegionOfInterest(SimpleInterface):
    """Mark the region of interest on the mesh and in the volume."""

    input_spec = _RegionInputSpec
    output_spec = _RegionOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        grid, affine = load_volume(self.inputs.grid_file)
        volume = np.zeros(grid.shape, dtype=bool)
        out = Path(runtime.cwd)
        labels_files, roi_files = [], []
        for index, (hemi, mesh) in enumerate(load_template(self.inputs.density).items()):
            labels, table = mesh.labels, mesh.names
            if isdefined(self.inputs.labels):
                labels, table = read_labels(self.inputs.labels[index])
            mask = region_mask(labels, table, tuple(self.inputs.roi)) & mesh.cortex
            kept = np.where(mask, labels, 0)
            names = {c: n for c, n in table.items() if c in {0, *np.unique(kept)}}
            path = out / f'{hemi}_parcellation.label.gii'
            labels_files.append(str(write_labels(path, labels, table, hemi, 'atlas')))
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
        self._results['roi_mask'] = save_volume(out / 'roi.nii.gz', volume, affine)
        return runtime


def _barycentric_grid(n: int) -> Any:
    """Return barycentric weights of a regular grid of points in a triangle."""
    i, j = np.meshgrid(np.arange(n + 1), np.arange(n + 1))
    inside = i + j <= n
    i, j = i[inside], j[inside]
    return np.stack([i, j, n - i - j], axis=1) / n


class _AnatQualityInputSpec(BaseInterfaceInputSpec):
    mask_file = File(exists=True, mandatory=True, desc='brain')
    tpms = InputMultiObject(File(exists=True), mandatory=True, desc='GM, WM and CSF')
    model_file = File(exists=True, desc='from the segmentation')
    white = InputMultiObject(File(exists=True), mandatory=True, desc='left and right')
    pial = InputMultiObject(File(exists=True), mandatory=True, desc='left and right')
    undefined = InputMultiObject(File(exists=True), mandatory=True, desc='left and right')
    thickness = InputMultiObject(File(exists=True), mandatory=True, desc='left and right')
    area = InputMultiObject(File(exists=True), mandatory=True, desc='left and right')
    roi_labels = InputMultiObject(File(exists=True), mandatory=True, desc='left and right')
    skull_stripped = traits.Bool(desc='whether the input was skull-stripped')


class AnatQuality(SimpleInterface):
    """Tabulate quality figures and say which are unusual; nothing is dropped here."""

    input_spec = _AnatQualityInputSpec
    output_spec = _OutFileOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        mask, affine = load_volume(self.inputs.mask_file)
        millilitre = float(voxel_sizes(affine).prod()) / 1000
        volumes = [float(load_volume(path)[0].sum()) * millilitre for path in self.inputs.tpms]
        figures: dict[str, Any] = {
            'voxel_max_mm': float(voxel_sizes(affine).max()),
            'skull_stripped': str(bool(self.inputs.skull_stripped)).lower(),
            'brain_ml': float((mask > 0).sum()) * millilitre,
            **{f'{n.lower()}_ml': v for n, v in zip(TISSUES, volumes, strict=True)},
            'gm_share': volumes[0] / max(sum(volumes), 1e-9),
            **json.loads(Path(self.inputs.model_file).read_text()),
        }
        for index, hemi in enumerate(HEMISPHERES):
            figures |= {f'{k}_{hemi}': v for k, v in self._hemisphere(index).items()}
        flags = unusual(figures)
        figures['verdict'] = 'unusual' if flags else 'usual'
        figures['flags'] = '; '.join(flags) or 'n/a'
        path = Path(runtime.cwd) / 'qc.tsv'
        pd.DataFrame([figures]).to_csv(
            path, sep='\t', index=False, na_rep='n/a', float_format='%.6g', lineterminator='\n'
        )
        self._results['out_file'] = str(path)
        return runtime

    def _hemisphere(self, index: int) -> dict[str, float]:
        """Return the figures of one hemisphere."""
        white, faces = read_surface(self.inputs.white[index])
        pial, _ = read_surface(self.inputs.pial[index])
        undefined = read_map(self.inputs.undefined[index])
        thickness, area = (
            read_map(files[index]).astype(float)
            for files in (self.inputs.thickness, self.inputs.area)
        )
        roi = read_labels(self.inputs.roi_labels[index])[0] > 0
        defined = np.isfinite(thickness)
        both = np.concatenate([self_intersecting_faces(v, faces) for v in (white, pial)])
        inside = roi & defined
        return {
            'euler': float(euler_number(faces, len(white))),
            'clamped_share': float((undefined == 1).mean()),
            'intersecting_share': float(both.mean()),
            'thickness_median': float(np.median(thickness[defined])) if defined.any() else np.nan,
            'roi_vertices': float(roi.sum()),
            'roi_defined_share': float(defined[roi].mean()) if roi.any() else np.nan,
            'roi_thickness_mean': float(thickness[inside].mean()) if inside.any() else np.nan,
            'roi_thickness_sd': float(thickness[inside].std()) if inside.any() else np.nan,
            'roi_area_mm2': float(area[inside].sum()) if inside.any() else np.nan,
        }


class _FiguresInputSpec(BaseInterfaceInputSpec):
    in_file = File(exists=True, mandatory=True, desc='bias-corrected brain')
    white = InputMultiObject(File(exists=True), mandatory=True, desc='left and right')
    pial = InputMultiObject(File(exists=True), mandatory=True, desc='left and right')
    roi_labels = InputMultiObject(File(exists=True), mandatory=True, desc='left and right')
    tpms = InputMultiObject(File(exists=True), desc='GM, WM and CSF')
    images_to_t1w = InputMultiObject(File(exists=True), desc='template to T1w')


class _FiguresOutputSpec(TraitedSpec):
    surfaces = File(exists=True, desc='surfaces over slices')
    registration = File(exists=True, desc='template tissue outlines over slices')


class AnatFigures(SimpleInterface):
    """Draw the surfaces and the registration over the T1w image."""

    input_spec = _FiguresInputSpec
    output_spec = _FiguresOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        from .figures import contours_on_slices, surfaces_on_slices

        data, affine = load_volume(self.inputs.in_file)
        surfaces, centres = [], []
        for files, colour in ((self.inputs.white, 'gold'), (self.inputs.pial, 'red')):
            for path, labels in zip(files, self.inputs.roi_labels, strict=True):
                vertices, faces = read_surface(path)
                surfaces.append((vertices, faces, colour))
                centres.append(vertices[read_labels(labels)[0] > 0].mean(axis=0))
        out = Path(runtime.cwd)
        figure = surfaces_on_slices(
            data, affine, surfaces, np.mean(centres, axis=0),
            'white (yellow) and pial (red) surfaces around the region of interest',
        )  # fmt: skip
        figure.savefig(out / 'surfaces.png', dpi=72, metadata={'Software': None})
        self._results['surfaces'] = str(out / 'surfaces.png')
        priors, prior_affine = template_priors()
        outlines = [
            (image_to_t1w(p, prior_affine, data.shape, affine, self.inputs.images_to_t1w), colour)
            for p, colour in ((priors[1], 'gold'), (priors.sum(axis=0), 'red'))
        ]
        figure = contours_on_slices(
            data, affine, outlines, 'template white matter (yellow) and brain (red) on the T1w'
        )
        figure.savefig(out / 'registration.png', dpi=70, metadata={'Software': None})
        self._results['registration'] = str(out / 'registration.png')
        return runtime
