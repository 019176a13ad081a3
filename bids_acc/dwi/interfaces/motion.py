"""Nipype shell: where the head was in each volume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    Bunch,
    File,
    SimpleInterface,
    TraitedSpec,
    traits,
)

from bids_acc.dwi import files, registration
from bids_acc.dwi.motion import Motion, estimate_motion
from bids_acc.dwi.resample import sample_series, voxel_centres
from bids_acc.dwi.shells import Shells, find_shells


class _EstimateMotionInputSpec(BaseInterfaceInputSpec):
    in_file = File(exists=True, mandatory=True, desc='series')
    gradients = File(exists=True, mandatory=True, desc='its gradient table')
    mask = File(exists=True, mandatory=True, desc='brain in the reference')
    engine = traits.Enum('builtin', 'ants', 'none', usedefault=True, desc='implementation')
    seed = traits.Int(1, usedefault=True, desc="seed of ANTs' sampling")


class _EstimateMotionOutputSpec(TraitedSpec):
    transforms = File(exists=True, desc='pull matrices, reference to volume')
    reference = File(exists=True, desc='mean of the aligned b = 0 volumes')


class EstimateMotion(SimpleInterface):
    """Estimate where the head was in each volume."""

    input_spec = _EstimateMotionInputSpec
    output_spec = _EstimateMotionOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        data, affine = files.read_image(self.inputs.in_file)
        mask = files.read_image(self.inputs.mask)[0] > 0
        gradients = files.Gradients.read(self.inputs.gradients)
        shells = find_shells(gradients.bvals)
        if self.inputs.engine == 'ants':
            matrices = self._with_ants(data, affine, mask, shells)
        elif self.inputs.engine == 'builtin' and data.shape[3] > 1:
            matrices = self._builtin(data, affine, mask, shells, gradients).matrices
        else:
            matrices = np.tile(np.eye(4), (data.shape[3], 1, 1))
        path = Path(runtime.cwd) / 'transforms.npy'
        np.save(path, matrices)
        self._results['transforms'] = str(path)
        base = np.flatnonzero(shells.labels == 0)
        centres = voxel_centres(np.ones(data.shape[:3], dtype=bool), affine)
        aligned = sample_series(data[..., base], affine, centres, matrices[base], order=1)
        reference = np.nan_to_num(np.nanmean(aligned, axis=1)).reshape(data.shape[:3])
        self._results['reference'] = str(
            files.write_image(reference, affine, Path(runtime.cwd) / 'reference.nii.gz')
        )
        return runtime

    def _builtin(
        self, data: Any, affine: Any, mask: Any, shells: Shells, gradients: files.Gradients
    ) -> Motion:
        """Run the package's own estimate."""

        def anchor(fixed: Any, moving: Any, grid: Any) -> Any:
            return registration.anchor_contrast(fixed, moving, grid, mask, seed=self.inputs.seed)

        return estimate_motion(
            data, affine, shells, gradients.directions, mask, gradients.phase_axes, anchor=anchor
        )

    def _with_ants(self, data: Any, affine: Any, mask: Any, shells: Shells) -> files.FloatArray:
        """Register each volume to the reference: rigid for b = 0, affine for the others."""
        reference = int(np.flatnonzero(shells.labels == 0)[0])
        matrices = np.tile(np.eye(4), (data.shape[3], 1, 1))
        for index in range(data.shape[3]):
            if index != reference:
                matrices[index] = registration.rigid(
                    data[..., reference],
                    affine,
                    data[..., index],
                    affine,
                    fixed_mask=mask,
                    transform='Rigid' if shells.labels[index] == 0 else 'Affine',
                    seed=self.inputs.seed,
                )
        return matrices
