"""Nipype shells: b = 0 image, and maps of derivatives, aligned with the T1w image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    Bunch,
    File,
    InputMultiObject,
    SimpleInterface,
    TraitedSpec,
    traits,
)

from bids_acc.images import files, registration
from bids_acc.images.affines import apply_matrix, voxel_centres
from bids_acc.images.ants_bridge import write_matrix
from bids_acc.images.distortion import normalised_mutual_information
from bids_acc.images.resampling import sample
from bids_acc.typing import FloatArray, Volume


class _CoregisterInputSpec(BaseInterfaceInputSpec):
    reference = File(exists=True, mandatory=True, desc='mean b = 0 image')
    mask = File(exists=True, mandatory=True, desc='its brain')
    t1w = File(exists=True, mandatory=True, desc='T1w image')
    t1w_mask = File(exists=True, mandatory=True, desc='its brain')
    seed = traits.Int(1, usedefault=True, desc="seed of ANTs' sampling")


class _CoregisterOutputSpec(TraitedSpec):
    transform = File(exists=True, desc='affine matrix, T1w to b = 0')
    itk_transform = File(exists=True, desc='the same for ANTs')
    report = traits.Dict(desc='overlap of the brains and similarity')


class Coregister(SimpleInterface):
    """Align the b = 0 image with the T1w image: rigid, mutual information."""

    input_spec = _CoregisterInputSpec
    output_spec = _CoregisterOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        given = self.inputs
        pair = registration.BrainPair.read(given.reference, given.mask, given.t1w, given.t1w_mask)
        towards_t1w = pair.align(given.seed)
        matrix = np.linalg.inv(towards_t1w)
        path = Path(runtime.cwd) / 'dwi_from_t1w.npy'
        np.save(path, matrix)
        itk = Path(runtime.cwd) / 'dwi_to_t1w.txt'
        write_matrix(matrix, itk)
        points = apply_matrix(towards_t1w, voxel_centres(pair.mask, pair.affine))
        there = sample(pair.t1w, pair.t1w_affine, points)
        self._results['report'] = {
            'coreg_dice': pair.overlap(towards_t1w),
            'coreg_nmi': normalised_mutual_information(pair.image[pair.mask], there),
        }
        self._results['transform'], self._results['itk_transform'] = str(path), str(itk)
        return runtime


class _AlignMapsInputSpec(BaseInterfaceInputSpec):
    maps = InputMultiObject(File(exists=True), mandatory=True, desc='icvf, isovf and od')
    reference = File(exists=True, mandatory=True, desc='mean b = 0 image of the series')
    coregistration = File(exists=True, mandatory=True, desc='affine matrix, T1w to reference')
    t1w = File(exists=True, mandatory=True, desc='T1w image')
    t1w_mask = File(exists=True, mandatory=True, desc='its brain')
    seed = traits.Int(1, usedefault=True, desc="seed of ANTs' sampling")


class _AlignMapsOutputSpec(TraitedSpec):
    transform = File(exists=True, desc='affine matrix, T1w to maps')


class AlignMaps(SimpleInterface):
    """Align maps of a derivative with the T1w image.

    Maps on the grid of the series lie where it lies; others are registered by their own
    contrast (icvf is bright in white matter, as T1w is), since a derivative's space is often
    turned to AC-PC.
    """

    input_spec = _AlignMapsInputSpec
    output_spec = _AlignMapsOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        icvf, affine = files.read_image(self.inputs.maps[0])
        reference, grid = files.read_image(self.inputs.reference)
        same = icvf.shape == reference.shape and np.allclose(affine, grid, atol=1e-2)
        matrix = np.load(self.inputs.coregistration) if same else self._register(icvf, affine)
        np.save(Path(runtime.cwd) / 'maps_from_t1w.npy', matrix)
        self._results['transform'] = str(Path(runtime.cwd) / 'maps_from_t1w.npy')
        return runtime

    def _register(self, icvf: Volume, affine: FloatArray) -> FloatArray:
        """Register the first map to the T1w image."""
        values = np.nan_to_num(icvf)
        t1w, t1w_affine = files.read_image(self.inputs.t1w)
        brain = files.read_image(self.inputs.t1w_mask)[0] > 0
        towards = registration.align_brains(
            values, affine, np.where(brain, t1w, 0), t1w_affine,
            masks=(values > 0, brain), seed=self.inputs.seed,
        )  # fmt: skip
        return np.asarray(np.linalg.inv(towards))
