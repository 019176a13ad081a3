"""Nipype shells: noise and Gibbs ringing taken away, before anything is interpolated."""

from __future__ import annotations

from pathlib import Path

from nipype.interfaces import mrtrix3
from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    Bunch,
    File,
    SimpleInterface,
    TraitedSpec,
    traits,
)

from bids_acc.dwi.denoise import mppca
from bids_acc.images import files
from bids_acc.programs import read_result, run_tool
from bids_acc.typing import FloatArray, SingleArray


class _DenoiseInputSpec(BaseInterfaceInputSpec):
    in_file = File(exists=True, mandatory=True, desc='series as acquired')
    mask = File(exists=True, mandatory=True, desc='brain')
    engine = traits.Enum('builtin', 'mrtrix3', usedefault=True, desc='implementation')
    min_volumes = traits.Int(
        0, usedefault=True, desc='with fewer volumes the series is left as it is'
    )
    nthreads = traits.Int(1, usedefault=True, desc='threads of dwidenoise')


class _DenoiseOutputSpec(TraitedSpec):
    out_file = File(exists=True, desc='denoised series')
    report = traits.Dict(desc='whether it was done')


class Denoise(SimpleInterface):
    """Remove noise by MP-PCA."""

    input_spec = _DenoiseInputSpec
    output_spec = _DenoiseOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        data, affine = files.read_image(self.inputs.in_file)
        n_volumes = data.shape[3]
        if n_volumes < self.inputs.min_volumes:
            self._results['out_file'] = self.inputs.in_file
            self._results['report'] = {
                'denoised': False,
                'denoise_finding': f'Not denoised: {n_volumes} volumes are too few for MP-PCA '
                f'to tell noise from signal (fewer than {self.inputs.min_volumes}).',
            }
            return runtime
        self._results['out_file'] = self._denoised(runtime, data, affine)
        self._results['report'] = {'denoised': True}
        return runtime

    def _denoised(self, runtime: Bunch, data: SingleArray, affine: FloatArray) -> str:
        """Run the engine."""
        if self.inputs.engine == 'mrtrix3':
            tool = mrtrix3.DWIDenoise(
                in_file=self.inputs.in_file,
                mask=self.inputs.mask,
                # Not compressed: it is read by the next step and then gone, and packing takes
                # longer than the step.
                out_file=str(Path(runtime.cwd) / 'denoised.nii'),
                nthreads=self.inputs.nthreads,
                args='-quiet',
            )
            out_file = run_tool(tool, runtime.cwd).out_file
            read_result(out_file, 'dwidenoise', data.shape, affine)
            return str(out_file)
        mask = files.read_image(self.inputs.mask)[0] > 0
        clean = mppca(data, mask).series
        return str(files.write_image(clean, affine, Path(runtime.cwd) / 'denoised.nii'))


class _UnringInputSpec(BaseInterfaceInputSpec):
    in_file = File(exists=True, mandatory=True, desc='series, not interpolated')
    engine = traits.Enum('mrtrix3', 'dipy', usedefault=True, desc='implementation')
    partial_fourier = traits.Bool(False, usedefault=True, desc='leave the series as it is')
    slice_axis = traits.Range(0, 2, value=2, usedefault=True, desc='axis of the slices')
    nthreads = traits.Int(1, usedefault=True, desc='threads of mrdegibbs')


class _UnringOutputSpec(TraitedSpec):
    out_file = File(exists=True, desc='series without ringing')
    report = traits.Dict(desc='whether it was done')


class Unring(SimpleInterface):
    """Remove Gibbs ringing.

    Local subvoxel shifts (Kellner et al. 2016, doi:10.1002/mrm.26054) assume that all of
    k-space was acquired, so that series with partial Fourier are left as they are.
    """

    input_spec = _UnringInputSpec
    output_spec = _UnringOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        self._results['report'] = {'unringed': not self.inputs.partial_fourier}
        if self.inputs.partial_fourier:
            self._results['out_file'] = self.inputs.in_file
            return runtime
        data, affine = files.read_image(self.inputs.in_file)
        if self.inputs.engine == 'mrtrix3':
            axes = [axis for axis in range(3) if axis != self.inputs.slice_axis]
            tool = mrtrix3.MRDeGibbs(
                in_file=self.inputs.in_file,
                axes=axes,
                out_file=str(Path(runtime.cwd) / 'unringed.nii'),
                nthreads=self.inputs.nthreads,
                args='-quiet',
            )
            out_file = run_tool(tool, runtime.cwd).out_file
            read_result(out_file, 'mrdegibbs', data.shape, affine)
            self._results['out_file'] = str(out_file)
            return runtime
        from dipy.denoise.gibbs import gibbs_removal

        clean = gibbs_removal(data.astype(float), slice_axis=self.inputs.slice_axis)
        self._results['out_file'] = str(
            files.write_image(clean, affine, Path(runtime.cwd) / 'unringed.nii')
        )
        return runtime
