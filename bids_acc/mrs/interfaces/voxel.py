"""Where a spectrum was measured: its voxel in the T1w image, the template and on the cortex."""

from __future__ import annotations

import math
from pathlib import Path

import nibabel as nb
import numpy as np
from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    Bunch,
    File,
    InputMultiObject,
    OutputMultiObject,
    SimpleInterface,
    TraitedSpec,
)

from bids_acc.exceptions import GridMismatchError
from bids_acc.images.ants_bridge import carry_points, read_matrix
from bids_acc.mrs.interfaces.traits import given
from bids_acc.mrs.levels.tissue import volume_fractions
from bids_acc.mrs.levels.voxel import (
    TEMPLATE_AFFINE,
    TEMPLATE_SHAPE,
    columns_inside,
    is_placed,
    nominal_volume_ml,
    overlap_fraction,
    template_coverage,
    voxel_coverage,
)
from bids_acc.mrs.results.records import save_record
from bids_acc.mrs.scan.io import read_affine
from bids_acc.surfaces.gifti import read_surface, write_map


class _VoxelInputSpec(BaseInterfaceInputSpec):
    svs_file = File(exists=True, mandatory=True, desc='spectrum, whose affine is the voxel')
    t1w_file = File(exists=True, mandatory=True, desc='T1w image in the same scanner space')
    tpms = InputMultiObject(
        File(exists=True), mandatory=True, desc='maps of GM, WM and CSF, in that order'
    )
    acc_mask = File(exists=True, desc='anterior cingulate on the grid of the T1w image')


class _VoxelOutputSpec(TraitedSpec):
    mask_file = File(exists=True, desc='share of each T1w voxel inside the spectroscopic voxel')
    tissue_file = File(exists=True, desc='fractions, overlap and volumes, JSON')


class VoxelTissue(SimpleInterface):
    """Draw the spectroscopic voxel into the T1w image and say what is inside."""

    input_spec = _VoxelInputSpec
    output_spec = _VoxelOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        voxel_affine = read_affine(self.inputs.svs_file)
        t1w = nb.Nifti1Image.from_filename(self.inputs.t1w_file)
        nx, ny, nz = t1w.shape[:3]
        coverage = np.zeros((nx, ny, nz))
        # converters write a voxel of 1 mm at the origin where the file tells no place: nothing is
        # measured there
        if is_placed(voxel_affine):
            coverage = voxel_coverage(voxel_affine, t1w.affine, (nx, ny, nz))
        maps = [self._on_grid(path, t1w) for path in self.inputs.tpms]
        fractions, inside = volume_fractions(maps, coverage)
        acc = given(self.inputs.acc_mask)
        overlap = math.nan
        if acc is not None:
            overlap = overlap_fraction(coverage, self._on_grid(acc, t1w) > 0.5)
        nominal = nominal_volume_ml(voxel_affine)
        # fractions are of the whole voxel: what lies outside of the image is of no known tissue
        covered = coverage.sum() * abs(np.linalg.det(t1w.affine[:3, :3])) / 1000
        share = float(np.minimum(covered / nominal, 1.0))
        cwd = Path(runtime.cwd)
        image = nb.Nifti1Image(coverage.astype(np.float32), t1w.affine)
        image.header.set_xyzt_units('mm', 'sec')
        image.to_filename(cwd / 'voxel_mask.nii.gz')
        tissue = {
            'f_gm': fractions[0] * share,
            'f_wm': fractions[1] * share,
            'f_csf': fractions[2] * share,
            'voxel_in_tissue_fraction': inside * share,
            'voxel_in_acc_fraction': overlap,
            'voxel_volume_ml': nominal,
            'voxel_in_image_fraction': share,
        }
        self._results['mask_file'] = str(cwd / 'voxel_mask.nii.gz')
        self._results['tissue_file'] = str(save_record(tissue, cwd / 'tissue.json'))
        return runtime

    @staticmethod
    def _on_grid(path: str, t1w: nb.Nifti1Image) -> np.ndarray:
        """Read an image that must share the grid of the T1w image."""
        image = nb.Nifti1Image.from_filename(path)
        # same shape alone is not enough: a map in another space can have it
        if image.shape[:3] != t1w.shape[:3] or not np.allclose(
            image.affine, t1w.affine, atol=1e-3
        ):
            raise GridMismatchError(
                f'{Path(path).name} is not on the grid of {Path(t1w.get_filename() or "").name}: '
                f'resample it to the T1w image.'
            )
        return np.asarray(image.dataobj, dtype=float)


class _TemplateInputSpec(BaseInterfaceInputSpec):
    svs_file = File(exists=True, mandatory=True, desc='spectrum, whose affine is the voxel')
    transforms = InputMultiObject(
        File(exists=True), mandatory=True,
        desc='affine and warp that resample template images onto the T1w image',
    )  # fmt: skip


class _TemplateOutputSpec(TraitedSpec):
    out_file = File(exists=True, desc='share of each template voxel inside the voxel')


class VoxelInTemplate(SimpleInterface):
    """Carry the spectroscopic voxel to the template."""

    input_spec = _TemplateInputSpec
    output_spec = _TemplateOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        transforms = list(self.inputs.transforms)
        affine = read_affine(self.inputs.svs_file)
        coverage = np.zeros(TEMPLATE_SHAPE)
        if is_placed(affine):
            coverage = template_coverage(
                affine,
                lambda points: carry_points(points, transforms),
                read_matrix(transforms[0]),
            )
        image = nb.Nifti1Image(coverage.astype(np.float32), TEMPLATE_AFFINE)
        image.header.set_xyzt_units('mm', 'sec')
        # viewers then show the template's coordinates instead of a scanner's
        image.set_sform(TEMPLATE_AFFINE, 'mni')
        image.set_qform(TEMPLATE_AFFINE, 'mni')
        out_file = Path(runtime.cwd) / 'template_mask.nii.gz'
        image.to_filename(out_file)
        self._results['out_file'] = str(out_file)
        return runtime


class _CortexInputSpec(BaseInterfaceInputSpec):
    svs_file = File(exists=True, mandatory=True, desc='spectrum, whose affine is the voxel')
    white = InputMultiObject(File(exists=True), mandatory=True, desc='left and right')
    pial = InputMultiObject(File(exists=True), mandatory=True, desc='left and right')


class _CortexOutputSpec(TraitedSpec):
    left = File(exists=True, desc='share of the column of each left vertex inside the voxel')
    right = File(exists=True, desc='the same on the right')
    out_files = OutputMultiObject(File(exists=True), desc='both')


class VoxelOnCortex(SimpleInterface):
    """Say of each vertex of the cortex how much of its column lies in the voxel."""

    input_spec = _CortexInputSpec
    output_spec = _CortexOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        affine = read_affine(self.inputs.svs_file)
        files = []
        for side, white, pial in zip('LR', self.inputs.white, self.inputs.pial, strict=True):
            points = read_surface(white)[0], read_surface(pial)[0]
            # not zero: nobody knows whether the vertex was in a voxel without a place
            share = np.full(len(points[0]), np.nan)
            if is_placed(affine):
                share = columns_inside(affine, *points)
            path = Path(runtime.cwd) / f'voxel_{side}.shape.gii'
            files.append(str(write_map(path, share, side, 'voxel')))
        self._results['left'], self._results['right'] = files
        self._results['out_files'] = files
        return runtime


class _PlotVoxelInputSpec(BaseInterfaceInputSpec):
    t1w_file = File(exists=True, mandatory=True, desc='T1w image')
    mask_file = File(exists=True, mandatory=True, desc='coverage on its grid')
    acc_mask = File(exists=True, desc='anterior cingulate on its grid')


class _PlotVoxelOutputSpec(TraitedSpec):
    out_file = File(desc='figure, PNG')


class PlotVoxel(SimpleInterface):
    """Draw the voxel on the T1w image."""

    input_spec = _PlotVoxelInputSpec
    output_spec = _PlotVoxelOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        from bids_acc.mrs.figures import plot_voxel
        from bids_acc.report.figures import save_figure

        def load(path: str) -> tuple[np.ndarray, tuple[float, ...]]:
            image = nb.as_closest_canonical(nb.Nifti1Image.from_filename(path))
            return np.asarray(image.dataobj, dtype=float), image.header.get_zooms()[:3]

        t1w, zooms = load(self.inputs.t1w_file)
        acc = given(self.inputs.acc_mask)
        figure = plot_voxel(
            t1w, load(self.inputs.mask_file)[0], zooms, None if acc is None else load(acc)[0]
        )
        out_file = save_figure(figure, Path(runtime.cwd) / 'voxel.png')
        self._results['out_file'] = str(out_file)
        return runtime
