"""Nipype shells that measure and draw how well the anatomy came out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nb
import numpy as np
import pandas as pd
from nibabel.affines import voxel_sizes
from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    Bunch,
    File,
    InputMultiObject,
    SimpleInterface,
    TraitedSpec,
    traits,
)

from bids_acc.anat.builtin import template_priors
from bids_acc.anat.interfaces import load_volume
from bids_acc.anat.quality import (
    boundary_contrast,
    rim_dark_share,
    thickness_distribution,
    unusual,
)
from bids_acc.anat.registration import image_to_t1w, points_to_t1w, template_path
from bids_acc.anat.segmentation import TISSUES
from bids_acc.anat.tissues import sample_volume
from bids_acc.images.frames import Frame, places_within
from bids_acc.images.volumes import cut_area, outside_grid, white_matter_euler
from bids_acc.surfaces.geometry import vertex_normals
from bids_acc.surfaces.gifti import read_labels, read_map, read_surface
from bids_acc.surfaces.intersection import self_intersecting_faces
from bids_acc.surfaces.template import HEMISPHERES
from bids_acc.tables.writing import write_tsv
from bids_acc.typing import FloatArray, Volume

WHITE_DEPTH_MM = 1.0
"""How far inside the white surface white matter is sampled."""


class _AnatQualityInputSpec(BaseInterfaceInputSpec):
    in_file = File(exists=True, mandatory=True, desc='bias-corrected brain')
    mask_file = File(exists=True, mandatory=True, desc='brain')
    tpms = InputMultiObject(File(exists=True), mandatory=True, desc='GM, WM and CSF')
    model_file = File(exists=True, mandatory=True, desc='from the segmentation')
    points_to_t1w = InputMultiObject(File(exists=True), mandatory=True, desc='for points')
    white = InputMultiObject(File(exists=True), mandatory=True, desc='left and right')
    pial = InputMultiObject(File(exists=True), mandatory=True, desc='left and right')
    undefined = InputMultiObject(File(exists=True), mandatory=True, desc='left and right')
    thickness = InputMultiObject(File(exists=True), mandatory=True, desc='left and right')
    area = InputMultiObject(File(exists=True), mandatory=True, desc='left and right')
    roi_labels = InputMultiObject(File(exists=True), mandatory=True, desc='left and right')
    facts = traits.Dict(mandatory=True, desc='what was met with in the input')
    region_facts = traits.Dict(usedefault=True, desc='what the regions came to')
    surface_source = traits.Str('builtin', usedefault=True, desc='who made the surfaces')
    surface_note = traits.Str('', usedefault=True, desc='a better source that was passed over')


class _AnatQualityOutputSpec(TraitedSpec):
    out_file = File(exists=True, desc='table of one row')


class AnatQuality(SimpleInterface):
    """Tabulate quality figures and say which are unusual; nothing is dropped here."""

    input_spec = _AnatQualityInputSpec
    output_spec = _AnatQualityOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        mask, affine = load_volume(self.inputs.mask_file)
        image = load_volume(self.inputs.in_file)[0]
        millilitre = float(voxel_sizes(affine).prod()) / 1000
        tissues = [load_volume(path)[0] for path in self.inputs.tpms]
        volumes = [float(p.sum()) * millilitre for p in tissues]
        white_matter = tissues[TISSUES.index('WM')]
        brain = points_to_t1w(template_brain_points(), self.inputs.points_to_t1w)
        source = self.inputs.surface_source
        figures: dict[str, Any] = {
            'surface_source': source,
            **self.inputs.facts,
            'brain_ml': float((mask > 0).sum()) * millilitre,
            **self.inputs.region_facts,
            **{f'{n.lower()}_ml': v for n, v in zip(TISSUES, volumes, strict=True)},
            'gm_share': volumes[0] / max(sum(volumes), 1e-9),
            'gm_wm_ratio': volumes[0] / volumes[1] if volumes[1] > 0 else np.nan,
            'euler_wm': float(white_matter_euler(white_matter)),
            'rim_dark_share': rim_dark_share(image, mask > 0, voxel_sizes(affine)),
            'cut_cm2': cut_area(mask > 0, voxel_sizes(affine)),
            'field_of_view_share': 1 - float(outside_grid(brain, mask.shape, affine).mean()),
            **json.loads(Path(self.inputs.model_file).read_text()),
        }
        for index, hemi in enumerate(HEMISPHERES):
            own = self._hemisphere(index, image, mask, affine)
            figures |= {f'{name}_{hemi}': value for name, value in own.items()}
        flags = [
            *filter(None, [self.inputs.surface_note]),
            *unusual(figures, source, self._region()),
        ]
        figures['verdict'] = 'unusual' if flags else 'usual'
        figures['flags'] = '; '.join(flags) or 'n/a'
        path = Path(runtime.cwd) / 'qc.tsv'
        write_tsv(path, pd.DataFrame([figures]))
        self._results['out_file'] = str(path)
        return runtime

    def _region(self) -> set[str]:
        """Return the names of the labels that make up the region of interest."""
        tables = [read_labels(path) for path in self.inputs.roi_labels]
        return {names[code] for labels, names in tables for code in np.unique(labels[labels > 0])}

    def _hemisphere(
        self, index: int, image: Volume, mask: Volume, affine: FloatArray
    ) -> dict[str, float]:
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
        depths = white - WHITE_DEPTH_MM * vertex_normals(white, faces), (white + pial) / 2
        inner, outer = (sample_volume(image, affine, p[defined]) for p in depths)
        in_brain = sample_volume((mask > 0).astype(np.float32), affine, white[defined]) > 0.5
        in_brain &= ~outside_grid(white[defined], mask.shape, affine)
        return {
            'clamped_share': float((undefined == 1).mean()),
            'intersecting_share': float(both.mean()),
            'in_brain_share': float(in_brain.mean()) if defined.any() else np.nan,
            'boundary_contrast': boundary_contrast(inner, outer),
            **thickness_distribution(thickness),
            'roi_vertices': float(roi.sum()),
            'roi_defined_share': float(defined[roi].mean()) if roi.any() else np.nan,
            'roi_thickness_mean': float(thickness[inside].mean()) if inside.any() else np.nan,
            'roi_thickness_sd': float(thickness[inside].std()) if inside.any() else np.nan,
            'roi_area_mm2': float(area[inside].sum()) if inside.any() else np.nan,
        }


def template_brain_points(step: int = 5) -> FloatArray:
    """Return points that fill the template's brain evenly.

    Parameters
    ----------
    step : int
        Every how many voxels of the template (1 mm) along each axis.

    Returns
    -------
    (n, 3) ndarray
        Template RAS in mm.
    """
    priors, affine = template_priors()
    inside = priors.sum(axis=0)[::step, ::step, ::step] > 0.5
    return np.argwhere(inside) * step @ affine[:3, :3].T + affine[:3, 3]


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
    template = File(exists=True, desc='T1w image and template at the same places')


class AnatFigures(SimpleInterface):
    """Draw the surfaces and the registration over the T1w image."""

    input_spec = _FiguresInputSpec
    output_spec = _FiguresOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        from bids_acc.anat.figures import contours_on_slices, surfaces_on_slices
        from bids_acc.report.figures import save_figure
        from bids_acc.report.frame_figures import two_frames

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
        self._results['surfaces'] = str(save_figure(figure, out / 'surfaces.png', dpi=72))
        priors, prior_affine = template_priors()
        outlines = [
            (image_to_t1w(p, prior_affine, data.shape, affine, self.inputs.images_to_t1w), colour)
            for p, colour in ((priors[1], 'gold'), (priors.sum(axis=0), 'red'))
        ]
        figure = contours_on_slices(
            data, affine, outlines, 'template white matter (yellow) and brain (red) on the T1w'
        )
        self._results['registration'] = str(save_figure(figure, out / 'registration.png', dpi=70))
        template = nb.Nifti1Image.from_filename(template_path('t1'))
        carried = image_to_t1w(
            template.get_fdata(dtype=np.float32), template.affine, data.shape, affine,
            self.inputs.images_to_t1w,
        )  # fmt: skip
        figure = two_frames(
            Frame('T1w image', data, affine),
            Frame('template, carried to the T1w image', carried, affine),
            places_within(np.asarray(data) > 0, affine, (0.35, 0.6)),
            [(outline, affine, colour) for outline, colour in outlines],
        )
        self._results['template'] = str(save_figure(figure, out / 'template.png', dpi=90))
        return runtime
