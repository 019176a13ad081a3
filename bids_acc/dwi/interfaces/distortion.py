"""Nipype shells around the correction of susceptibility distortion.

All engines give the same thing: one displacement field on the grid of the reference volume,
which `resampling` applies together with all other transforms. That is why FSL's
`applytopup` is not called: it would interpolate a second time.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
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
from bids_acc.images import files, registration
from bids_acc.images.affines import apply_matrix, voxel_centres
from bids_acc.images.distortion import (
    correlation,
    displacement_from_hertz,
    field_from_anatomy,
    field_from_pair,
    fsl_parameters,
    phase_index,
    undistort,
)
from bids_acc.images.masks import brain_mask
from bids_acc.images.motion import displacement
from bids_acc.images.resampling import sample
from bids_acc.programs import read_result, run_tool
from bids_acc.surfaces.ribbon import blur_to_resolution
from bids_acc.typing import FloatArray

MIN_GAIN = 0.15
"""A field from the T1w image is used when it takes away at least this share of the variance that
the expected image leaves unexplained. Without distortion the gain was -0.04 on the benchmark's
phantom and 0.08 on the demo data, where the field would have added 0.5 mm of error; with 9 mm
at its peak it was 0.34. A distortion of half a voxel is too small to be told."""

FAR_APART_MM = 2.0
"""Movement between images of reversed phase encoding beyond which a finding says so: on the
benchmark's phantom 4 mm and 4 degrees left a slowly varying error in the field, which a small
rotation and a shear along the phase encoding share."""

MAX_B0 = 3
"""Volumes of each phase encoding that are given to topup."""


def to_radiological(data: Any, affine: FloatArray) -> tuple[Any, FloatArray, bool]:
    """Turn the first axis round where the affine's determinant is positive, as FSL stores it.

    Returns
    -------
    data : ndarray
    affine : (4, 4) ndarray
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


def best_sign(
    shift: Any, image: Any, reversed_pe: Any, affine: FloatArray, axis: FloatArray,
    ratio: float = 1.0,
) -> tuple[FloatArray, dict[str, Any]]:  # fmt: skip
    """Take the sign of a field with which images of reversed phase encoding agree.

    Parameters
    ----------
    shift : (i, j, k) ndarray
        Displacement along ``axis``, mm.
    image, reversed_pe : (i, j, k) ndarray
        b = 0 images.
    affine : (4, 4) ndarray
    axis : (3,) ndarray
        Phase encoding of ``image``.
    ratio : float
        Readout time of the reversed image, relative to the first one's.

    Returns
    -------
    shift : (i, j, k) ndarray
    measures : dict
    """
    mask = brain_mask(image, voxel_sizes(affine))
    before = correlation(image[mask], reversed_pe[mask])
    scores = {}
    for sign in (1.0, -1.0):
        one = undistort(image, sign * shift, affine, axis)
        two = undistort(reversed_pe, sign * ratio * shift, affine, -axis)
        scores[sign] = correlation(one[mask], two[mask])
    sign = 1.0 if scores[1.0] >= scores[-1.0] else -1.0
    finding = ''
    if scores[sign] <= before:
        finding = 'The field does not make the images of reversed phase encoding agree.'
    elif sign < 0:
        finding = "The field was used with its sign reversed, as the images' fit told."
    return sign * shift, {
        **_sizes(shift, mask),
        'sdc_similarity_before': before,
        'sdc_similarity': scores[sign],
        'sdc_finding': finding,
    }


def _sizes(shift: Any, mask: Any) -> dict[str, Any]:
    """Return how far the brain's signal is displaced."""
    inside = np.abs(np.asarray(shift)[mask])
    return {
        'sdc_shift_mean': float(inside.mean()),
        'sdc_shift_p95': float(np.percentile(inside, 95)),
    }


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

    The head may have moved between the two: field and rigid alignment are estimated in turn, from
    two starts (no movement, and the alignment of the distorted images), of which the one is taken
    with which the undistorted images agree better. What no such pair can tell is an offset of the
    field from a movement along the phase encoding, so that the undistorted head may be shifted as
    a whole; the alignment with the T1w image takes that away.
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
        pair = _Pair(
            image=data[..., base],
            reversed_pe=reversed_pe[..., 0],
            mask=mask,
            affine=affine,
            axis=gradients.phase_axes[base],
            ratio=ratio if np.isfinite(ratio) else 1.0,
            seed=self.inputs.seed,
        )
        starts = [pair.field(np.eye(4)), pair.field(pair.aligned(pair.image, pair.reversed_pe))]
        _, shift, moved = max(starts, key=lambda found: found[0])
        moved = pair.realigned(shift, moved)
        _, shift, moved = pair.field(moved)
        shift, measures = best_sign(
            shift, pair.image, pair.seen_at(moved), affine, pair.axis, pair.ratio
        )
        gap = float(displacement([moved], voxel_centres(mask, affine))[0])
        finding = measures['sdc_finding']
        if gap > FAR_APART_MM:
            finding = (
                f'{finding} The head moved by {gap:.1f} mm between the images of reversed phase '
                'encoding; the field may hold part of that movement.'
            ).strip()
        self._results['report'] = {**measures, 'sdc_moved': gap, 'sdc_finding': finding}
        self._results['warp'] = str(
            files.write_image(shift, affine, Path(runtime.cwd) / 'warp.nii.gz')
        )
        return runtime


@dataclass(frozen=True)
class _Pair:
    """Two b = 0 images of reversed phase encoding, between which the head may have moved."""

    image: Any
    reversed_pe: Any
    mask: Any
    affine: FloatArray
    axis: FloatArray
    ratio: float
    seed: int

    def seen_at(self, moved: FloatArray) -> Any:
        """Return the reversed image where the head was in the first one."""
        if np.array_equal(moved, np.eye(4)):
            return self.reversed_pe
        centres = voxel_centres(np.ones(self.image.shape, dtype=bool), self.affine)
        values = sample(self.reversed_pe, self.affine, apply_matrix(moved, centres))
        return np.nan_to_num(values).reshape(self.image.shape)

    def field(self, moved: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Return how alike the undistorted images are, the field, and the movement it is for."""
        other = self.seen_at(moved)
        shift = field_from_pair(self.image, other, self.mask, self.affine, self.axis, self.ratio)
        one, two = self.undistorted(shift, other)
        return correlation(one[self.mask], two[self.mask]), shift, moved

    def undistorted(self, shift: Any, other: Any) -> tuple[Any, Any]:
        """Return both images without distortion."""
        return (
            undistort(self.image, shift, self.affine, self.axis),
            undistort(other, self.ratio * shift, self.affine, -self.axis),
        )

    def realigned(self, shift: Any, moved: FloatArray) -> FloatArray:
        """Correct a movement by what is left of it in the undistorted images."""
        return moved @ self.aligned(*self.undistorted(shift, self.seen_at(moved)))

    def aligned(self, one: Any, two: Any) -> FloatArray:
        """Return the rigid affine matrix from one image to the other."""
        return registration.rigid(one, self.affine, two, self.affine, sampling=1.0, seed=self.seed)


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
            **_sizes(shift, mask),
            'sdc_applied': bool(used),
            'sdc_finding': finding,
        }
        self._results['warp'] = str(
            files.write_image(shift, affine, Path(runtime.cwd) / 'warp.nii.gz')
        )
        return runtime

    def _anatomy(self, affine: FloatArray, shape: tuple[int, ...]) -> tuple[Any, Any, list[Any]]:
        """Bring T1w image, brain and tissues to the reference's grid and resolution."""
        towards_t1w = np.linalg.inv(np.load(self.inputs.coregistration))
        centres = voxel_centres(np.ones(shape, dtype=bool), affine)
        where = apply_matrix(towards_t1w, centres)
        resolution = float(np.cbrt(np.prod(voxel_sizes(affine))))

        def moved(path: str) -> Any:
            values, own = files.read_image(path)
            blurred = blur_to_resolution(values, own, resolution)
            return np.nan_to_num(sample(blurred, own, where)).reshape(shape)

        tissues = [moved(path) for path in self.inputs.tpms[:3]]
        return moved(self.inputs.t1w), moved(self.inputs.t1w_mask) > 0.5, tissues
