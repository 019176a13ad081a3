"""Nipype shells: the spectroscopic voxel in the template and on the cortex."""

from __future__ import annotations

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

from bids_acc.images.ants_bridge import carry_points, read_matrix
from bids_acc.mrs.levels.voxel import TEMPLATE_AFFINE, columns_inside, template_coverage
from bids_acc.mrs.scan.io import read_affine
from bids_acc.surfaces.gifti import read_surface, write_map


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
        coverage = template_coverage(
            read_affine(self.inputs.svs_file),
            lambda points: carry_points(points, transforms),
            read_matrix(transforms[0]),
        )
        image = nb.Nifti1Image(coverage.astype(np.float32), TEMPLATE_AFFINE)
        image.header.set_xyzt_units('mm', 'sec')
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
            share = columns_inside(affine, read_surface(white)[0], read_surface(pial)[0])
            path = Path(runtime.cwd) / f'voxel_{side}.shape.gii'
            files.append(str(write_map(path, share, side, 'voxel')))
        self._results['left'], self._results['right'] = files
        self._results['out_files'] = files
        return runtime
