"""Nipype shells around the correction of susceptibility distortion.

All engines give the same thing: one displacement field on the grid of the reference volume,
which `resampling` applies together with all other transforms. That is why FSL's
`applytopup` is not called: it would interpolate a second time.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from nibabel.affines import voxel_sizes
from nipype.interfaces import fsl
from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    Bunch,
    File,
    InputMultiObject,
    SimpleInterface,
    TraitedSpec,
    traits,
)

from bids_acc.dwi.gradients import Gradients
from bids_acc.dwi.shells import find_shells
from bids_acc.images import files
from bids_acc.images.affines import apply_matrix, voxel_centres
from bids_acc.images.distortion import (
    displacement_from_hertz,
    field_from_anatomy,
    fsl_parameters,
    phase_index,
    undistort,
)
from bids_acc.images.masks import brain_mask
from bids_acc.images.measured_field import measured_displacement
from bids_acc.images.phase import FieldMap
from bids_acc.images.resampling import sample
from bids_acc.images.reversed_pe import ReversedPair, best_sign, shift_sizes
from bids_acc.images.used_field import judged_field
from bids_acc.programs import read_result, run_tool
from bids_acc.surfaces.ribbon import blur_to_resolution
from bids_acc.typing import BoolArray, FloatArray, Scalar

MIN_GAIN = 0.15
"""A field from the T1w image is used when it takes away at least this share of the variance that
the expected image leaves unexplained. Without distortion the gain was -0.04 on the benchmark's
phantom and 0.08 on the demo data, where the field would have added 0.5 mm of error; with 9 mm
at its peak it was 0.34. A distortion of half a voxel is too small to be told."""

MAX_B0 = 3
"""Volumes of each phase encoding that are given to topup."""


def to_radiological(
    data: npt.NDArray[Scalar], affine: FloatArray
) -> tuple[npt.NDArray[Scalar], FloatArray, bool]:
    """Flip the first axis where the affine's determinant is positive: FSL wants it negative.

    Parameters
    ----------
    data : (nx, ny, nz, ...) ndarray
        Image or series.
    affine : (4, 4) ndarray
        Voxel to scanner RAS in mm.

    Returns
    -------
    data : (nx, ny, nz, ...) ndarray
        The image itself, or a view of it.
    affine : (4, 4) ndarray
        With every voxel at the place in the scanner where it was.
    flipped : bool
        Whether anything was done.
    """
    if np.linalg.det(affine[:3, :3]) < 0:
        return data, affine, False
    turned = affine.copy()
    turned[:3, 3] += affine[:3, 0] * (data.shape[0] - 1)
    turned[:3, 0] *= -1
    return data[::-1], turned, True


class _RunTopupInputSpec(BaseInterfaceInputSpec):
    in_file = File(exists=True, mandatory=True, desc='series; its first b = 0 is the reference')
    gradients = File(exists=True, mandatory=True, desc='its gradient table')
    reversed_pe = File(exists=True, mandatory=True, desc='b = 0 images of reversed phase encoding')
    acquisition = traits.List(traits.Dict(), mandatory=True, desc='direction and readout by run')
    reversed_pe_acquisition = traits.Dict(mandatory=True, desc='the same of the reversed images')


class _RunTopupOutputSpec(TraitedSpec):
    warp = File(exists=True, desc='displacement along the phase encoding of the series, mm')
    fieldcoef = File(exists=True, desc="topup's own field, for eddy")
    movpar = File(exists=True, desc="topup's own movement parameters, for eddy")
    mask = File(exists=True, desc='brain in the undistorted mean b = 0 image, for eddy')
    report = traits.Dict(desc='size of the displacement, and agreement of the two images')


class RunTopup(SimpleInterface):
    """Estimate the field from images of reversed phase encoding with FSL's topup.

    The two images must agree better after the correction than before; the sign of the field is
    the one with which they do.

    References
    ----------
    Andersson JLR, et al. (2003). NeuroImage 20:870-888.
    https://doi.org/10.1016/S1053-8119(03)00336-7
    """

    input_spec = _RunTopupInputSpec
    output_spec = _RunTopupOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        data, affine = files.read_image(self.inputs.in_file)
        reversed_pe, _ = files.read_image(self.inputs.reversed_pe)
        gradients = Gradients.read(self.inputs.gradients)
        base = np.flatnonzero(find_shells(gradients.bvals).labels == 0)
        base = base[gradients.groups[base] == gradients.groups[base[0]]][:MAX_B0]
        images = [data[..., base], reversed_pe[..., :MAX_B0]]
        stack, fsl_affine, flipped = to_radiological(np.concatenate(images, axis=3), affine)
        first = self.inputs.acquisition[int(gradients.runs[base[0]])]
        other = self.inputs.reversed_pe_acquisition
        rows = [
            fsl_parameters(entry['direction'], entry['readout'], flip_x=flipped)
            for entry, part in ((first, images[0]), (other, images[1]))
            for _ in range(part.shape[3])
        ]
        np.savetxt(Path(runtime.cwd) / 'acqparams.txt', rows, fmt='%g %g %g %.8f')
        tool = fsl.TOPUP(
            in_file=str(files.write_image(stack, fsl_affine, Path(runtime.cwd) / 'b0s.nii.gz')),
            encoding_file=str(Path(runtime.cwd) / 'acqparams.txt'),
            out_base='topup',
            out_field='field.nii.gz',
            out_corrected='unwarped.nii.gz',
            # topup's usual settings halve the image, which it refuses where a dimension is odd;
            # b02b0_1 does without.
            config='b02b0.cnf' if all(n % 2 == 0 for n in stack.shape[:3]) else 'b02b0_1.cnf',
            output_type='NIFTI_GZ',
        )
        done = run_tool(tool, runtime.cwd)
        hertz = read_result(done.out_field, 'topup', stack.shape[:3], fsl_affine)
        hertz = hertz[::-1] if flipped else hertz
        axis = gradients.phase_axes[base[0]]
        spacing = float(voxel_sizes(affine)[phase_index(axis, affine)[0]])
        shift = displacement_from_hertz(hertz, first['readout'], spacing)
        shift, measures = best_sign(
            shift, images[0].mean(axis=3), images[1].mean(axis=3), affine, axis,
            other['readout'] / first['readout'],
        )  # fmt: skip
        self._results['report'] = measures
        self._results['fieldcoef'], self._results['movpar'] = done.out_fieldcoef, done.out_movpar
        straight = undistort(images[0].mean(axis=3), shift, affine, axis)
        brain = brain_mask(straight, voxel_sizes(affine))
        for name, values in (('warp', shift), ('mask', brain)):
            self._results[name] = str(
                files.write_image(values, affine, Path(runtime.cwd) / f'{name}.nii.gz')
            )
        return runtime


class _FieldFromPairInputSpec(BaseInterfaceInputSpec):
    in_file = File(exists=True, mandatory=True, desc='series; its first b = 0 is the reference')
    gradients = File(exists=True, mandatory=True, desc='its gradient table')
    mask = File(exists=True, mandatory=True, desc='brain in the reference')
    reversed_pe = File(exists=True, mandatory=True, desc='b = 0 images of reversed phase encoding')
    acquisition = traits.List(traits.Dict(), mandatory=True, desc='direction and readout by run')
    reversed_pe_acquisition = traits.Dict(mandatory=True, desc='the same of the reversed images')
    seed = traits.Int(1, usedefault=True, desc="seed of ANTs' sampling")


class _FieldFromPairOutputSpec(TraitedSpec):
    warp = File(exists=True, desc='displacement along the phase encoding of the series, mm')
    report = traits.Dict(desc='size of the displacement, and agreement of the two images')


class FieldFromPair(SimpleInterface):
    """Estimate the field from images of reversed phase encoding, without FSL.

    See `bids_acc.images.reversed_pe.ReversedPair`.
    """

    input_spec = _FieldFromPairInputSpec
    output_spec = _FieldFromPairOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        data, affine = files.read_image(self.inputs.in_file)
        reversed_pe, _ = files.read_image(self.inputs.reversed_pe)
        mask = files.read_image(self.inputs.mask)[0] > 0
        gradients = Gradients.read(self.inputs.gradients)
        base = int(np.flatnonzero(find_shells(gradients.bvals).labels == 0)[0])
        first = self.inputs.acquisition[int(gradients.runs[base])]
        ratio = self.inputs.reversed_pe_acquisition['readout'] / first['readout']
        pair = ReversedPair(
            image=data[..., base],
            reversed_pe=reversed_pe[..., 0],
            mask=mask,
            affine=affine,
            axis=gradients.phase_axes[base],
            # An unknown readout time is taken for the other's: pairs are acquired alike but for
            # the sign.
            ratio=ratio if np.isfinite(ratio) else 1.0,
            seed=self.inputs.seed,
        )
        shift, self._results['report'] = pair.displacement()
        self._results['warp'] = str(
            files.write_image(shift, affine, Path(runtime.cwd) / 'warp.nii.gz')
        )
        return runtime


class _MeasuredFieldInputSpec(BaseInterfaceInputSpec):
    in_file = File(exists=True, mandatory=True, desc='series; its first b = 0 is the reference')
    gradients = File(exists=True, mandatory=True, desc='its gradient table')
    mask = File(exists=True, mandatory=True, desc='brain in the reference')
    acquisition = traits.List(traits.Dict(), mandatory=True, desc='direction and readout by run')
    field_map = traits.Dict(mandatory=True, desc='see bids_acc.images.phase.FieldMap')
    seed = traits.Int(1, usedefault=True, desc="seed of ANTs' sampling")


class _MeasuredFieldOutputSpec(TraitedSpec):
    warp = File(exists=True, desc='displacement along the phase encoding of the series, mm')
    report = traits.Dict(desc='size of the displacement, and agreement with the magnitude')


class MeasuredField(SimpleInterface):
    """Take the field from a map that gradient echoes measured.

    See `bids_acc.images.measured_field`. A field with which the series is not more like the
    magnitude than without is not used, and a map that cannot be used does not stop the series.
    """

    input_spec = _MeasuredFieldInputSpec
    output_spec = _MeasuredFieldOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        data, affine = files.read_image(self.inputs.in_file)
        mask = files.read_image(self.inputs.mask)[0] > 0
        gradients = Gradients.read(self.inputs.gradients)
        base = int(np.flatnonzero(find_shells(gradients.bvals).labels == 0)[0])
        readout = float(self.inputs.acquisition[int(gradients.runs[base])]['readout'])
        found = judged_field(
            lambda: measured_displacement(
                FieldMap.from_dict(self.inputs.field_map), data[..., base].astype(float), mask,
                affine, gradients.phase_axes[base], readout, seed=self.inputs.seed,
            ),
            data.shape[:3],
        )  # fmt: skip
        self._results['report'] = {
            **(found.report or {}), 'sdc_applied': found.used, 'sdc_finding': found.finding,
        }  # fmt: skip
        path = Path(runtime.cwd) / 'warp.nii.gz'
        self._results['warp'] = str(files.write_image(found.shift, affine, path))
        return runtime


class _UndistortInputSpec(BaseInterfaceInputSpec):
    reference = File(exists=True, mandatory=True, desc='mean b = 0 image')
    warp = File(exists=True, mandatory=True, desc='displacement field on its grid')
    gradients = File(exists=True, mandatory=True, desc='gradient table with phase encoding')


class _UndistortOutputSpec(TraitedSpec):
    out_file = File(exists=True, desc='undistorted mean b = 0 image')
    out_mask = File(exists=True, desc='its brain')


class Undistort(SimpleInterface):
    """Bring the mean b = 0 image to its undistorted place and find the brain in it."""

    input_spec = _UndistortInputSpec
    output_spec = _UndistortOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        reference, affine = files.read_image(self.inputs.reference)
        shift = files.read_image(self.inputs.warp)[0]
        axis = Gradients.read(self.inputs.gradients).phase_axes[0]
        straight = undistort(reference, shift, affine, axis)
        mask = brain_mask(straight, voxel_sizes(affine))
        self._results['out_file'] = str(
            files.write_image(straight, affine, Path(runtime.cwd) / 'undistorted.nii.gz')
        )
        self._results['out_mask'] = str(
            files.write_image(mask, affine, Path(runtime.cwd) / 'mask.nii.gz')
        )
        return runtime


class _RegisterDistortionInputSpec(BaseInterfaceInputSpec):
    reference = File(exists=True, mandatory=True, desc='mean b = 0 image, distorted')
    mask = File(exists=True, mandatory=True, desc='its brain')
    gradients = File(exists=True, mandatory=True, desc='gradient table with phase encoding')
    t1w = File(exists=True, mandatory=True, desc='T1w image')
    t1w_mask = File(exists=True, mandatory=True, desc='its brain')
    tpms = InputMultiObject(File(exists=True), mandatory=True, desc='fractions of GM, WM, CSF')
    coregistration = File(exists=True, mandatory=True, desc='affine matrix, T1w to reference')


class _RegisterDistortionOutputSpec(TraitedSpec):
    warp = File(exists=True, desc='displacement along the phase encoding, mm')
    report = traits.Dict(desc='size of the displacement, and agreement with the T1w image')


class RegisterDistortion(SimpleInterface):
    """Estimate the field by registering the b = 0 image to the T1w image along one axis.

    The T1w image's tissues are given the b = 0 image's levels first, so that both have the same
    contrast (the idea of synthesized undistorted images; here by regression, nothing learnt). A
    field that does not make them more alike is not used.
    """

    input_spec = _RegisterDistortionInputSpec
    output_spec = _RegisterDistortionOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        reference, affine = files.read_image(self.inputs.reference)
        mask = files.read_image(self.inputs.mask)[0] > 0
        axis = Gradients.read(self.inputs.gradients).phase_axes[0]
        anatomy, brain, tissues = self._anatomy(affine, reference.shape)
        shift, measures = field_from_anatomy(
            reference, mask, affine, axis, anatomy=anatomy, brain=brain, tissues=tissues,
        )  # fmt: skip
        used = measures['sdc_gain'] >= MIN_GAIN
        finding = ''
        if not used:
            shift = np.zeros_like(shift)
            finding = (
                'No susceptibility distortion was corrected: with the estimated field the b = 0 '
                'image fits the T1w image hardly better than without (unexplained variance '
                f'changed by {-100 * measures["sdc_gain"]:+.0f} %).'
            )
        self._results['report'] = {
            **measures,
            **shift_sizes(shift, mask),
            'sdc_applied': bool(used),
            'sdc_finding': finding,
        }
        self._results['warp'] = str(
            files.write_image(shift, affine, Path(runtime.cwd) / 'warp.nii.gz')
        )
        return runtime

    def _anatomy(
        self, affine: FloatArray, shape: tuple[int, ...]
    ) -> tuple[FloatArray, BoolArray, list[FloatArray]]:
        """Bring T1w image, brain and tissues to the reference's grid and resolution."""
        towards_t1w = np.linalg.inv(np.load(self.inputs.coregistration))
        centres = voxel_centres(np.ones(shape, dtype=bool), affine)
        where = apply_matrix(towards_t1w, centres)
        resolution = float(np.cbrt(np.prod(voxel_sizes(affine))))

        def moved(path: str) -> FloatArray:
            values, own = files.read_image(path)
            blurred = blur_to_resolution(values, own, resolution)
            return np.nan_to_num(sample(blurred, own, where)).reshape(shape)

        tissues = [moved(path) for path in self.inputs.tpms[:3]]
        return moved(self.inputs.t1w), moved(self.inputs.t1w_mask) > 0.5, tissues
