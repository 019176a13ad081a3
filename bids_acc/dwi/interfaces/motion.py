"""Nipype shell: where the head was in each volume."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from nibabel.affines import voxel_sizes
from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    Bunch,
    File,
    SimpleInterface,
    TraitedSpec,
    traits,
)

from bids_acc.dwi.anchor import anchor_contrast
from bids_acc.dwi.gradients import Gradients
from bids_acc.dwi.motion import estimate_motion
from bids_acc.dwi.shells import Shells, find_shells
from bids_acc.images import files, registration
from bids_acc.images.affines import voxel_centres
from bids_acc.images.masks import brain_mask
from bids_acc.images.motion import Motion
from bids_acc.images.resampling import sample_series
from bids_acc.typing import BoolArray, FloatArray, SingleArray, Volume


class _EstimateMotionInputSpec(BaseInterfaceInputSpec):
    in_file = File(exists=True, mandatory=True, desc='series')
    gradients = File(exists=True, mandatory=True, desc='its gradient table')
    mask = File(exists=True, mandatory=True, desc='brain in the reference')
    engine = traits.Enum('builtin', 'ants', 'none', usedefault=True, desc='implementation')
    seed = traits.Int(1, usedefault=True, desc="seed of ANTs' sampling")


class _EstimateMotionOutputSpec(TraitedSpec):
    transforms = File(exists=True, desc="affine matrices, reference of a volume's group to volume")
    reference = File(exists=True, desc='mean of the aligned b = 0 volumes of the first group')
    references = File(exists=True, desc='the same of all groups')


class EstimateMotion(SimpleInterface):
    """Estimate where the head was in each volume.

    Volumes that are distorted alike are aligned with each other; `PlaceRuns` brings the groups
    together once the distortion is known.
    """

    input_spec = _EstimateMotionInputSpec
    output_spec = _EstimateMotionOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        data, affine = files.read_image(self.inputs.in_file)
        mask = files.read_image(self.inputs.mask)[0] > 0
        gradients = Gradients.read(self.inputs.gradients)
        matrices = np.tile(np.eye(4), (data.shape[3], 1, 1))
        references = []
        # runs of different phase encoding are distorted differently: aligned rigidly with each
        # other, they would be pulled apart by their distortion
        for group in range(int(gradients.groups.max()) + 1):
            members = np.flatnonzero(gradients.groups == group)
            part, own = data[..., members], gradients.of(members)
            shells = find_shells(own.bvals)
            base = np.flatnonzero(shells.labels == 0)
            # The brain that was given lies where the reference's distortion put it: further groups
            # are distorted another way.
            if group:
                mask = brain_mask(part[..., base].mean(axis=3), voxel_sizes(affine))
            # a single volume is its own reference
            if len(members) > 1:
                matrices[members] = self._estimate(part, affine, mask, shells, own)
            references.append(mean_base(part[..., base], affine, matrices[members[base]]))
        path = Path(runtime.cwd) / 'transforms.npy'
        np.save(path, matrices)
        self._results['transforms'] = str(path)
        images = {'reference': references[0], 'references': np.stack(references, axis=3)}
        for name, values in images.items():
            self._results[name] = str(
                files.write_image(values, affine, Path(runtime.cwd) / f'{name}.nii.gz')
            )
        return runtime

    def _estimate(
        self,
        data: SingleArray,
        affine: FloatArray,
        mask: BoolArray,
        shells: Shells,
        gradients: Gradients,
    ) -> FloatArray:
        """Return the affine matrices of volumes that are distorted alike."""
        if self.inputs.engine == 'ants':
            return self._with_ants(data, affine, mask, shells)
        if self.inputs.engine == 'builtin':
            return self._builtin(data, affine, mask, shells, gradients).matrices
        return np.tile(np.eye(4), (data.shape[3], 1, 1))

    def _builtin(
        self,
        data: SingleArray,
        affine: FloatArray,
        mask: BoolArray,
        shells: Shells,
        gradients: Gradients,
    ) -> Motion:
        """Run the package's own estimate."""

        def anchor(fixed: Volume, moving: Volume, grid: FloatArray) -> FloatArray:
            return anchor_contrast(fixed, moving, grid, mask, seed=self.inputs.seed)

        return estimate_motion(
            data, affine, shells, gradients.directions, mask, gradients.phase_axes, anchor=anchor
        )

    def _with_ants(
        self, data: SingleArray, affine: FloatArray, mask: BoolArray, shells: Shells
    ) -> FloatArray:
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
                    # Eddy currents of a gradient shear and scale what it weights.
                    transform='Rigid' if shells.labels[index] == 0 else 'Affine',
                    seed=self.inputs.seed,
                )
        return matrices


def mean_base(volumes: Volume, affine: FloatArray, to_sources: FloatArray) -> FloatArray:
    """Return the mean of b = 0 volumes on the grid of their reference, zero outside.

    Parameters
    ----------
    volumes : (nx, ny, nz, n) ndarray
        b = 0 images.
    affine : (4, 4) ndarray
        Voxel to scanner RAS in mm.
    to_sources : (n, 4, 4) ndarray
        Affine matrices from the reference to each volume, mm.

    Returns
    -------
    (nx, ny, nz) ndarray
        A voxel outside the field of view of some volumes is the mean of the others.
    """
    centres = voxel_centres(np.ones(volumes.shape[:3], dtype=bool), affine)
    aligned = sample_series(volumes, affine, centres, to_sources, order=1)
    with warnings.catch_warnings():  # nowhere seen: zero
        warnings.simplefilter('ignore', RuntimeWarning)
        mean = np.nanmean(aligned, axis=1)
    return np.asarray(np.nan_to_num(mean).reshape(volumes.shape[:3]))
