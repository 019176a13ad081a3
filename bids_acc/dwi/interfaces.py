"""Nipype shells of the diffusion line: read, call a formula, write."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from nipype.interfaces import mrtrix3
from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    Bunch,
    File,
    InputMultiObject,
    SimpleInterface,
    TraitedSpec,
    isdefined,
    traits,
)

from . import files, outliers, quality, registration
from .coherence import AxisCheck, check_axes
from .denoise import mppca
from .mask import brain_mask
from .motion import (
    Motion,
    displacement,
    estimate_motion,
    framewise_displacement,
    rotate_directions,
)
from .resample import apply_matrix, sample, sample_series, voxel_centres, voxel_sizes
from .sampling import (
    HIGH_FLUID,
    NODDI_NAMES,
    RIBBON,
    VertexValues,
    blur_to_resolution,
    combine_depths,
    combine_noddi,
    region_rows,
    ribbon_points,
    tissue_shares,
)
from .series import join_runs
from .shells import Shells, bvecs_from_scanner, find_shells
from .susceptibility import apply_warp
from .tensor import TensorFit, fit_tensor, scalar_maps

MAP_NAMES = ('fa', 'md', 'ad', 'rd', 'mo')
"""Invariants that are written."""


class _JoinRunsInputSpec(BaseInterfaceInputSpec):
    dwi_files = InputMultiObject(File(exists=True), mandatory=True, desc='diffusion series')
    bval_files = InputMultiObject(File(exists=True), mandatory=True, desc='b-values of each')
    bvec_files = InputMultiObject(File(exists=True), mandatory=True, desc='directions of each')
    sidecars = traits.List(traits.Dict(), desc='metadata of each')
    opposite_files = InputMultiObject(
        File(exists=True), desc='further images of reversed phase encoding, b = 0'
    )
    opposite_sidecars = traits.List(traits.Dict(), desc='metadata of each of those')


class _JoinRunsOutputSpec(TraitedSpec):
    out_file = File(exists=True, desc='all usable volumes')
    gradients = File(exists=True, desc='gradient table in scanner coordinates')
    report = traits.Dict(desc='counts, shells and findings')
    partial_fourier = traits.Bool(desc='whether k-space was acquired only in part')
    slice_axis = traits.Int(desc='voxel axis of the slices')
    acquisition = traits.List(traits.Dict(), desc='phase encoding and readout time of each run')
    opposite = File(exists=True, desc='b = 0 volumes of reversed phase encoding')
    opposite_acquisition = traits.Dict(desc='their phase encoding and readout time')


class JoinRuns(SimpleInterface):
    """Join runs and check their gradient tables."""

    input_spec = _JoinRunsInputSpec
    output_spec = _JoinRunsOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        sidecars = self.inputs.sidecars if isdefined(self.inputs.sidecars) else []
        extra: list[Any] = []
        if isdefined(self.inputs.opposite_files):
            extra = list(
                zip(self.inputs.opposite_files, self.inputs.opposite_sidecars, strict=True)
            )
        series = join_runs(
            self.inputs.dwi_files,
            self.inputs.bval_files,
            self.inputs.bvec_files,
            sidecars,
            extra,
        )
        shells = find_shells(series.gradients.bvals)
        self._results['out_file'] = str(
            files.write_image(series.data, series.affine, Path(runtime.cwd) / 'series.nii')
        )
        self._results['gradients'] = str(
            series.gradients.write(Path(runtime.cwd) / 'gradients.tsv')
        )
        self._results['partial_fourier'] = any(
            float(s.get('PartialFourier') or 1) < 1 for s in sidecars
        )
        self._results['slice_axis'] = series.slice_axis
        self._results['acquisition'] = [asdict(entry) for entry in series.acquisition]
        if series.opposite is not None and series.opposite_acquisition is not None:
            self._results['opposite_acquisition'] = asdict(series.opposite_acquisition)
            self._results['opposite'] = str(
                files.write_image(
                    series.opposite, series.affine, Path(runtime.cwd) / 'opposite.nii'
                )
            )
        self._results['report'] = {
            'n_volumes': int(series.data.shape[3]),
            'n_missing': int(series.n_expected - series.data.shape[3]),
            'shells': {str(b): int((shells.volume_bvalues == b).sum()) for b in shells.bvalues},
            'scheme': series.bvecs_hash,
            'findings': list(series.findings),
            'slice_axis': series.slice_axis,
        }
        return runtime


class _BrainMaskInputSpec(BaseInterfaceInputSpec):
    in_file = File(exists=True, mandatory=True, desc='series')
    gradients = File(exists=True, mandatory=True, desc='its gradient table')
    given = File(exists=True, desc='brain, where a derivative has it; taken as it is')


class _BrainMaskOutputSpec(TraitedSpec):
    out_file = File(exists=True, desc='brain in the first b = 0 volume')


class BrainMask(SimpleInterface):
    """Find the brain in the reference volume."""

    input_spec = _BrainMaskInputSpec
    output_spec = _BrainMaskOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        data, affine = files.read_image(self.inputs.in_file)
        shells = find_shells(files.Gradients.read(self.inputs.gradients).bvals)
        reference = data[..., int(np.flatnonzero(shells.labels == 0)[0])]
        if isdefined(self.inputs.given):
            given = files.read_image(self.inputs.given)
            files.check_same_grid(
                (reference.shape, affine), (given[0].shape, given[1]), Path(self.inputs.given).name
            )
            mask = given[0] > 0
        else:
            mask = brain_mask(reference, voxel_sizes(affine))
        self._results['out_file'] = str(
            files.write_image(mask, affine, Path(runtime.cwd) / 'mask.nii.gz')
        )
        return runtime


class _DenoiseInputSpec(BaseInterfaceInputSpec):
    in_file = File(exists=True, mandatory=True, desc='series as acquired')
    mask = File(exists=True, mandatory=True, desc='brain')
    engine = traits.Enum('builtin', 'mrtrix3', 'dipy', usedefault=True, desc='implementation')
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

    def _denoised(self, runtime: Bunch, data: Any, affine: Any) -> str:
        """Run the engine."""
        if self.inputs.engine == 'mrtrix3':
            tool = mrtrix3.DWIDenoise(
                in_file=self.inputs.in_file,
                mask=self.inputs.mask,
                out_file=str(Path(runtime.cwd) / 'denoised.nii'),
                nthreads=self.inputs.nthreads,
                args='-quiet',
            )
            return str(tool.run(cwd=runtime.cwd).outputs.out_file)
        mask = files.read_image(self.inputs.mask)[0] > 0
        if self.inputs.engine == 'dipy':
            from dipy.denoise.localpca import mppca as dipy_mppca

            clean = dipy_mppca(data, mask=mask, patch_radius=2, suppress_warning=True)
        else:
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
        if self.inputs.engine == 'mrtrix3':
            axes = [axis for axis in range(3) if axis != self.inputs.slice_axis]
            tool = mrtrix3.MRDeGibbs(
                in_file=self.inputs.in_file,
                axes=axes,
                out_file=str(Path(runtime.cwd) / 'unringed.nii'),
                nthreads=self.inputs.nthreads,
                args='-quiet',
            )
            self._results['out_file'] = str(tool.run(cwd=runtime.cwd).outputs.out_file)
            return runtime
        from dipy.denoise.gibbs import gibbs_removal

        data, affine = files.read_image(self.inputs.in_file)
        clean = gibbs_removal(data.astype(float), slice_axis=self.inputs.slice_axis)
        self._results['out_file'] = str(
            files.write_image(clean, affine, Path(runtime.cwd) / 'unringed.nii')
        )
        return runtime


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


class _CoregisterInputSpec(BaseInterfaceInputSpec):
    reference = File(exists=True, mandatory=True, desc='mean b = 0 image')
    mask = File(exists=True, mandatory=True, desc='its brain')
    t1w = File(exists=True, mandatory=True, desc='T1w image')
    t1w_mask = File(exists=True, mandatory=True, desc='its brain')
    seed = traits.Int(1, usedefault=True, desc="seed of ANTs' sampling")


class _CoregisterOutputSpec(TraitedSpec):
    transform = File(exists=True, desc='pull matrix, T1w to b = 0')
    itk_transform = File(exists=True, desc='the same for ANTs')
    report = traits.Dict(desc='overlap of the brains and similarity')


class Coregister(SimpleInterface):
    """Align the b = 0 image with the T1w image: rigid, mutual information."""

    input_spec = _CoregisterInputSpec
    output_spec = _CoregisterOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        reference, affine = files.read_image(self.inputs.reference)
        mask = files.read_image(self.inputs.mask)[0] > 0
        t1w, t1w_affine = files.read_image(self.inputs.t1w)
        brain = files.read_image(self.inputs.t1w_mask)[0] > 0
        # the smaller image is the fixed one, which is several times faster
        towards_t1w = registration.rigid(
            np.where(mask, reference, 0),
            affine,
            np.where(brain, t1w, 0),
            t1w_affine,
            initial=registration.centre_shift(mask, affine, brain, t1w_affine),
            seed=self.inputs.seed,
        )
        matrix = np.linalg.inv(towards_t1w)
        path = Path(runtime.cwd) / 'dwi_from_t1w.npy'
        np.save(path, matrix)
        itk = Path(runtime.cwd) / 'dwi_to_t1w.txt'
        registration.write_matrix(matrix, itk)
        inside = sample(brain.astype(np.float32), t1w_affine,
                        apply_matrix(towards_t1w, voxel_centres(mask, affine)))  # fmt: skip
        volumes = (
            mask.sum() * np.prod(voxel_sizes(affine)),
            brain.sum() * np.prod(voxel_sizes(t1w_affine)),
        )
        shared = np.nan_to_num(inside).sum() * np.prod(voxel_sizes(affine))
        there = sample(t1w, t1w_affine, apply_matrix(towards_t1w, voxel_centres(mask, affine)))
        self._results['report'] = {
            'coreg_dice': float(2 * shared / sum(volumes)),
            'coreg_nmi': quality.normalised_mutual_information(reference[mask], there),
        }
        self._results['transform'], self._results['itk_transform'] = str(path), str(itk)
        return runtime


class _ChainInputSpec(BaseInterfaceInputSpec):
    in_file = File(exists=True, mandatory=True, desc='series before any interpolation')
    gradients = File(exists=True, mandatory=True, desc='its gradient table')
    transforms = File(exists=True, mandatory=True, desc='pull matrices, reference to volume')
    coregistration = File(exists=True, desc='pull matrix, T1w to reference')
    warp = File(exists=True, desc='displacement along the phase encoding on the reference, mm')
    slice_axis = traits.Range(0, 2, value=2, usedefault=True, desc='axis of the slices')


class _Chain:
    """A series with all its transforms, which a value passes in one go."""

    def __init__(self, inputs: Any) -> None:
        self.data, self.affine = files.read_image(inputs.in_file)
        self.gradients = files.Gradients.read(inputs.gradients)
        self.shells = find_shells(self.gradients.bvals)
        self.pulls = np.load(inputs.transforms)
        has_t1w = isdefined(inputs.coregistration)
        self.coregistration = np.load(inputs.coregistration) if has_t1w else np.eye(4)
        self.warp = files.read_image(inputs.warp) if isdefined(inputs.warp) else None
        self.slice_axis = int(inputs.slice_axis)

    def directions(self) -> files.FloatArray:
        """Gradient directions in the frame of the output."""
        return rotate_directions(self.gradients.directions, self.pulls @ self.coregistration)

    def signal(self, points: files.FloatArray, order: int = 3) -> Any:
        """Signal of all volumes at points of the output's space, (n_points, n_volumes)."""
        where, factor = self._distorted(points)
        stretch = np.linalg.det(self.pulls[:, :3, :3])
        signal = sample_series(
            self.data, self.affine, where, self.pulls, order=order, modulation=stretch
        )
        return signal * np.asarray(factor, dtype=np.float32)[..., None]

    def _distorted(self, points: files.FloatArray) -> tuple[files.FloatArray, Any]:
        """Places of the output's points in the distorted reference, and how they are stretched."""
        where = apply_matrix(self.coregistration, points)
        if self.warp is None:
            return where, np.ones(len(where))
        return apply_warp(*self.warp, where, self.gradients.phase_axes[0])

    def slices(self, points: files.FloatArray) -> Any:
        """Slice of each volume in which a point was acquired, (n_points, n_volumes)."""
        where, _ = self._distorted(points)
        row = np.linalg.inv(self.affine)[self.slice_axis]
        rows = np.array([row @ pull for pull in self.pulls])
        height = where @ rows[:, :3].T + rows[:, 3]
        top = self.data.shape[self.slice_axis] - 1
        return np.clip(np.rint(height), 0, top).astype(np.int16)


class _ResampleSeriesInputSpec(_ChainInputSpec):
    mask = File(exists=True, mandatory=True, desc='brain, in the space of the output')
    bias = traits.Bool(True, usedefault=True, desc='divide by the bias field (N4)')


class _ResampleSeriesOutputSpec(TraitedSpec):
    out_file = File(exists=True, desc='corrected series')
    out_mask = File(exists=True, desc='brain on its grid')
    bval = File(exists=True, desc='b-values')
    bvec = File(exists=True, desc='rotated directions, FSL convention')
    gradients = File(exists=True, desc='rotated gradient table, scanner coordinates')
    slices = File(exists=True, desc='acquired slice of each brain voxel in each volume')
    seen = traits.Float(desc='share of the brain that all volumes show')


class ResampleSeries(SimpleInterface):
    """Bring every volume to its place, interpolating once.

    With a coregistration the output lies along the T1w image's axes, at the diffusion image's
    resolution; otherwise on the reference's own grid.
    """

    input_spec = _ResampleSeriesInputSpec
    output_spec = _ResampleSeriesOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        chain = _Chain(self.inputs)
        mask, mask_affine = files.read_image(self.inputs.mask)
        if isdefined(self.inputs.coregistration):
            shape, affine = output_grid(mask > 0, mask_affine, voxel_sizes(chain.affine))
        else:
            shape, affine = chain.data.shape[:3], chain.affine
        centres = voxel_centres(np.ones(shape, dtype=bool), affine)
        inside = np.nan_to_num(sample(mask, mask_affine, centres)) > 0.5
        margin = grow(inside.reshape(shape))
        signal = np.full((len(centres), chain.data.shape[3]), np.nan, dtype=np.float32)
        signal[margin.ravel()] = chain.signal(centres[margin.ravel()])
        seen = inside & np.isfinite(signal).all(axis=1)
        brain = seen.reshape(shape)
        series = np.nan_to_num(signal).reshape(*shape, -1)
        if self.inputs.bias:
            base = np.flatnonzero(chain.shells.labels == 0)
            field = registration.bias_field(series[..., base].mean(axis=3), affine, brain)
            series /= field[..., None].astype(np.float32)
        self._write(runtime, chain, series, affine, brain)
        self._results['seen'] = float(seen.sum() / max(inside.sum(), 1))
        np.save(Path(runtime.cwd) / 'slices.npy', chain.slices(centres[seen]))
        self._results['slices'] = str(Path(runtime.cwd) / 'slices.npy')
        return runtime

    def _write(self, runtime: Bunch, chain: _Chain, series: Any, affine: Any, brain: Any) -> None:
        """Write images and gradient tables."""
        directions, bvals = chain.directions(), chain.gradients.bvals
        table = files.Gradients(
            bvals, directions, chain.gradients.phase_axes, chain.gradients.runs
        )
        bval, bvec = Path(runtime.cwd) / 'dwi.bval', Path(runtime.cwd) / 'dwi.bvec'
        np.savetxt(bval, bvals[None], fmt='%g')
        np.savetxt(bvec, bvecs_from_scanner(directions, affine).T + 0.0, fmt='%.6f')
        self._results.update(
            out_file=str(files.write_image(series, affine, Path(runtime.cwd) / 'corrected.nii')),
            out_mask=str(files.write_image(brain, affine, Path(runtime.cwd) / 'brain.nii.gz')),
            bval=str(bval),
            bvec=str(bvec),
            gradients=str(table.write(Path(runtime.cwd) / 'gradients.tsv')),
        )


def output_grid(
    mask: Any, affine: files.FloatArray, zooms: files.FloatArray
) -> tuple[tuple[int, ...], files.FloatArray]:
    """Return a grid along the axes of a mask's image, around the mask, with cubic voxels.

    Parameters
    ----------
    mask : (i, j, k) ndarray of bool
    affine : (4, 4) ndarray
        Of the mask.
    zooms : (3,) ndarray
        Voxel size whose volume the new voxels have, mm.

    Returns
    -------
    shape : tuple of int
    affine : (4, 4) ndarray
    """
    size = float(np.cbrt(np.prod(zooms)))
    indices = np.argwhere(mask)
    start, stop = indices.min(axis=0), indices.max(axis=0) + 1
    steps = size / voxel_sizes(affine)
    shape = np.ceil((stop - start) / steps).astype(int) + 2
    middle = (start + stop - 1) / 2
    grid = affine @ np.diag([*steps, 1.0])
    origin = apply_matrix(affine, middle) - grid[:3, :3] @ ((shape - 1) / 2)
    grid[:3, 3] = origin
    return tuple(int(n) for n in shape), grid


def grow(mask: Any) -> Any:
    """Return the mask with two voxels around it."""
    from scipy import ndimage

    return ndimage.binary_dilation(mask, iterations=2)


class _FitTensorInputSpec(BaseInterfaceInputSpec):
    in_file = File(exists=True, mandatory=True, desc='corrected series')
    mask = File(exists=True, mandatory=True, desc='brain')
    gradients = File(exists=True, mandatory=True, desc='gradient table, scanner coordinates')
    method = traits.Enum('iwls', 'wls', 'ols', usedefault=True, desc='weights')
    b_max = traits.Float(1500.0, usedefault=True, desc='largest b-value used, s/mm2')
    fix_axes = traits.Bool(False, usedefault=True, desc='use the more coherent gradient axes')
    slices = File(exists=True, mandatory=True, desc='acquired slice of each brain voxel')
    seen = traits.Float(1.0, usedefault=True, desc='share of the brain that all volumes show')


class _FitTensorOutputSpec(TraitedSpec):
    fa = File(exists=True, desc='fractional anisotropy')
    md = File(exists=True, desc='mean diffusivity, mm2/s')
    ad = File(exists=True, desc='axial diffusivity, mm2/s')
    rd = File(exists=True, desc='radial diffusivity, mm2/s')
    mo = File(exists=True, desc='mode of anisotropy')
    residual = File(exists=True, desc='relative residual')
    direction = File(exists=True, desc='principal direction, RAS+')
    non_positive = File(exists=True, desc='voxels whose tensor has an eigenvalue <= 0')
    axes = File(exists=True, desc='matrix by which gradient directions were turned')
    outliers = File(exists=True, desc='acquired slices by volumes, whether they are outliers')
    report = traits.Dict(desc='quality of the aligned series and of the fit')


class FitTensor(SimpleInterface):
    """Estimate the diffusion tensor and its invariants in the brain."""

    input_spec = _FitTensorInputSpec
    output_spec = _FitTensorOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        data, affine = files.read_image(self.inputs.in_file)
        mask = files.read_image(self.inputs.mask)[0] > 0
        gradients = files.Gradients.read(self.inputs.gradients)
        shells = find_shells(gradients.bvals)
        used = shells.volume_bvalues <= self.inputs.b_max
        signal = data[mask]
        slices = np.load(self.inputs.slices)
        judged, predicted = outliers.find_outliers(signal, slices, shells, gradients.directions)
        weights = ~np.take_along_axis(judged.outlier, slices.astype(np.int64), axis=0)
        np.save(Path(runtime.cwd) / 'outliers.npy', judged.outlier)
        self._results['outliers'] = str(Path(runtime.cwd) / 'outliers.npy')

        fit = self._fit(signal, gradients, gradients.directions, used, weights)
        check = check_axes(
            _unmask(fit.evecs[:, :, 0], mask), _unmask(scalar_maps(fit)['fa'], mask), affine
        )
        axes = check.matrix if self.inputs.fix_axes and check.suspicious else np.eye(3)
        if not np.array_equal(axes, np.eye(3)):
            fit = self._fit(signal, gradients, gradients.directions @ axes.T, used, weights)
        np.save(Path(runtime.cwd) / 'axes.npy', axes)
        self._results['axes'] = str(Path(runtime.cwd) / 'axes.npy')
        self._results['report'] = {
            **_series_measures(signal, predicted, gradients, shells, judged),
            **_fit_measures(fit, check),
            'axes_fixed': not np.array_equal(axes, np.eye(3)),
            'brain_seen': float(self.inputs.seen),
        }
        self._write(runtime, fit, mask, affine)
        return runtime

    def _fit(
        self, signal: Any, gradients: files.Gradients, directions: Any, used: Any, weights: Any
    ) -> TensorFit:
        """Fit with the chosen shells."""
        return fit_tensor(
            signal[:, used],
            gradients.bvals[used],
            directions[used],
            method=self.inputs.method,
            weights=weights[:, used],
        )

    def _write(self, runtime: Bunch, fit: TensorFit, mask: Any, affine: Any) -> None:
        """Write the maps; NaN outside the brain."""
        maps = {
            **scalar_maps(fit),
            'residual': fit.residual,
            'direction': fit.evecs[:, :, 0],
        }
        for name, values in maps.items():
            path = Path(runtime.cwd) / f'{name}.nii.gz'
            self._results[name] = str(files.write_image(_unmask(values, mask), affine, path))
        bad = np.zeros(mask.shape, dtype=bool)
        bad[mask] = fit.non_positive
        self._results['non_positive'] = str(
            files.write_image(bad, affine, Path(runtime.cwd) / 'non_positive.nii.gz')
        )


def _unmask(values: Any, mask: Any) -> Any:
    """Put voxel values back into a volume, NaN elsewhere."""
    volume = np.full((*mask.shape, *values.shape[1:]), np.nan, dtype=np.float32)
    volume[mask] = values
    return volume


def _series_measures(
    signal: Any,
    predicted: Any,
    gradients: files.Gradients,
    shells: Shells,
    judged: outliers.SliceReport,
) -> dict[str, Any]:
    """Quality of the aligned series."""
    known = np.isfinite(judged.deviation)
    share = 100 * judged.outlier.sum() / known.sum() if known.any() else float('nan')
    cnr = quality.shell_cnr(signal, predicted, shells)
    snr = quality.shell_snr(signal, predicted, shells)
    return {
        'outlier_slices': int(judged.outlier.sum()) if known.any() else float('nan'),
        'outlier_slices_pct': float(share),
        'outlier_list': [[int(s), int(v)] for s, v in np.argwhere(judged.outlier)],
        'snr_b0': quality.b0_snr(signal, shells),
        **{f'snr_b{b}': value for b, value in snr.items()},
        **{f'cnr_b{b}': value for b, value in cnr.items()},
        'neighbour_corr': quality.neighbour_correlation(
            signal, gradients.bvals, gradients.directions
        ),
    }


def _fit_measures(fit: TensorFit, check: AxisCheck) -> dict[str, Any]:
    """Quality of the tensors."""
    maps = scalar_maps(fit)
    return {
        'residual_median': float(np.nanmedian(fit.residual)),
        'non_positive_pct': float(100 * np.mean(fit.non_positive)),
        'fa_median': float(np.nanmedian(maps['fa'])),
        'md_median': float(np.nanmedian(maps['md'])),
        'coherence': check.coherence_given,
        'coherence_best': check.coherence_best,
        'axes_suspicious': check.suspicious,
        'axes_finding': check.sentence(),
    }


class _SampleSurfaceInputSpec(_ChainInputSpec):
    white = File(exists=True, mandatory=True, desc='white surface, scanner RAS')
    pial = File(exists=True, mandatory=True, desc='pial surface, same vertices')
    tpms = InputMultiObject(File(exists=True), mandatory=True, desc='fractions of GM, WM, CSF')
    hemisphere = traits.Enum('L', 'R', mandatory=True, desc='which half')
    axes = File(exists=True, desc='matrix by which gradient directions were turned')
    outliers = File(exists=True, desc='acquired slices by volumes, whether they are outliers')
    labels = InputMultiObject(File(exists=True), desc='regions, left and right (label.gii)')
    method = traits.Enum('iwls', 'wls', 'ols', usedefault=True, desc='weights')
    b_max = traits.Float(1500.0, usedefault=True, desc='largest b-value used, s/mm2')
    depths = traits.Enum('ribbon', 'midthickness', usedefault=True, desc='where to sample')


class _SampleSurfaceOutputSpec(TraitedSpec):
    fa = File(exists=True, desc='fractional anisotropy')
    md = File(exists=True, desc='mean diffusivity, mm2/s')
    ad = File(exists=True, desc='axial diffusivity, mm2/s')
    rd = File(exists=True, desc='radial diffusivity, mm2/s')
    mo = File(exists=True, desc='mode of anisotropy')
    coverage = File(exists=True, desc='fraction of depths with a usable tensor')
    fluid = File(exists=True, desc='share of the sampled volume that is no brain tissue')
    report = traits.Dict(desc='coverage of this hemisphere')
    parcels = traits.List(traits.Dict(), desc='one row for each region of this hemisphere')


class SampleSurface(SimpleInterface):
    """Measure diffusion in the cortical ribbon, at every vertex."""

    input_spec = _SampleSurfaceInputSpec
    output_spec = _SampleSurfaceOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        chain = _Chain(self.inputs)
        depths = RIBBON if self.inputs.depths == 'ribbon' else (0.5,)
        points = ribbon_points(
            files.read_points(self.inputs.white), files.read_points(self.inputs.pial), depths
        )
        maps, usable = self._tensor_maps(chain, points.reshape(-1, 3))
        grey, fluid = self._shares(chain, points.reshape(-1, 3))
        shape = points.shape[:2]
        result = combine_depths(
            {name: values.reshape(shape) for name, values in maps.items()},
            usable.reshape(shape),
            grey.reshape(shape),
            fluid.reshape(shape),
        )
        self._write(runtime, result)
        return runtime

    def _tensor_maps(
        self, chain: _Chain, points: files.FloatArray
    ) -> tuple[dict[str, files.FloatArray], Any]:
        """Fit a tensor at each point."""
        used = chain.shells.volume_bvalues <= self.inputs.b_max
        axes = np.load(self.inputs.axes) if isdefined(self.inputs.axes) else np.eye(3)
        signal = chain.signal(points)[:, used]
        weights = None
        if isdefined(self.inputs.outliers):
            bad, slices = np.load(self.inputs.outliers), chain.slices(points).astype(np.int64)
            rows = np.minimum(slices, len(bad) - 1)
            weights = (~np.take_along_axis(bad, rows, axis=0) | (slices >= len(bad)))[:, used]
        fit = fit_tensor(
            signal,
            chain.gradients.bvals[used],
            chain.directions()[used] @ axes.T,
            method=self.inputs.method,
            weights=weights,
        )
        seen = np.isfinite(signal).all(axis=1)
        return scalar_maps(fit), seen & ~fit.non_positive & np.isfinite(fit.evals[:, 0])

    def _shares(
        self, chain: _Chain, points: files.FloatArray
    ) -> tuple[files.FloatArray, files.FloatArray]:
        """Return the tissues that a diffusion voxel around each point holds."""
        resolution = float(np.cbrt(np.prod(voxel_sizes(chain.affine))))
        tissues = []
        for path in self.inputs.tpms[:2]:
            values, affine = files.read_image(path)
            tissues.append(blur_to_resolution(values, affine, resolution))
        return tissue_shares(points, tissues[0], tissues[1], affine)

    def _write(self, runtime: Bunch, result: VertexValues) -> None:
        """Write the vertex maps."""
        side = self.inputs.hemisphere
        maps = {**result.values, 'coverage': result.coverage, 'fluid': result.fluid}
        for name, values in maps.items():
            path = Path(runtime.cwd) / f'{name}_{side}.shape.gii'
            self._results[name] = str(files.write_vertex_map(values, side, name, path))
        seen = np.isfinite(result.fluid)
        self._results['report'] = {
            f'coverage_{side}': float(np.mean(result.coverage > 0)),
            f'fluid_{side}': float(np.median(result.fluid[seen])) if seen.any() else float('nan'),
            f'fluid_high_{side}': float(np.mean(result.fluid[seen] > HIGH_FLUID))
            if seen.any()
            else float('nan'),
        }
        self._results['parcels'] = []
        if isdefined(self.inputs.labels):
            keys, names = files.read_labels(self.inputs.labels['LR'.index(side)])
            rows = region_rows(keys, names, result)
            self._results['parcels'] = [{'hemisphere': side, **row} for row in rows]


class _QualityTableInputSpec(BaseInterfaceInputSpec):
    reports = traits.List(traits.Dict(), mandatory=True, desc='what the steps found')
    transforms = File(exists=True, mandatory=True, desc='pull matrices, reference to volume')
    mask = File(exists=True, mandatory=True, desc='brain in the reference')
    engines = traits.Dict(desc='step to program')
    notes = traits.List(traits.Str(), desc='further findings, known beforehand')


class _QualityTableOutputSpec(TraitedSpec):
    out_file = File(exists=True, desc='one row')
    motion = File(exists=True, desc='one row per volume')
    metadata = traits.Dict(desc='findings and engines, for the sidecar')


class QualityTable(SimpleInterface):
    """Write what the steps found as one row, and the motion as one row per volume."""

    input_spec = _QualityTableInputSpec
    output_spec = _QualityTableOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        import pandas as pd

        merged: dict[str, Any] = {}
        for report in self.inputs.reports:
            merged.update(report)
        pulls = np.load(self.inputs.transforms)
        mask, affine = files.read_image(self.inputs.mask)
        centres = voxel_centres(mask > 0, affine)
        motion = motion_table(pulls, centres[:: max(1, len(centres) // 2000)])
        row = {
            **{k: v for k, v in merged.items() if isinstance(v, int | float | str | bool)},
            **{f'n_b{b}': n for b, n in merged.get('shells', {}).items()},
            'fd_mean': _nan_free(motion['framewise_displacement'], np.mean),
            'fd_max': _nan_free(motion['framewise_displacement'], np.max),
            'motion_mean': float(motion['displacement'].mean()),
            'motion_max': float(motion['displacement'].max()),
        }
        findings = [*merged.get('findings', [])]
        findings += self.inputs.notes if isdefined(self.inputs.notes) else []
        for name in [n for n in row if n.endswith('_finding')]:
            findings.append(row.pop(name))
        row.pop('slice_axis', None)
        self._results['out_file'] = str(
            files.format_table(pd.DataFrame([row]), Path(runtime.cwd) / 'qc.tsv')
        )
        self._results['motion'] = str(files.format_table(motion, Path(runtime.cwd) / 'motion.tsv'))
        self._results['metadata'] = {
            'Findings': [f for f in findings if f],
            'OutlierSlices': merged.get('outlier_list', []),
            'Engines': self._engines(merged),
        }
        return runtime

    def _engines(self, merged: dict[str, Any]) -> dict[str, Any]:
        """Say ``none`` for a step that was left out at run time."""
        engines = dict(self.inputs.engines) if isdefined(self.inputs.engines) else {}
        for step, done in (
            ('denoise', 'denoised'),
            ('unringing', 'unringed'),
            ('susceptibility', 'sdc_applied'),
        ):
            if merged.get(done) is False:
                engines[step] = 'none'
        return engines


def motion_table(pulls: files.FloatArray, points: files.FloatArray) -> Any:
    """Return translation, rotation and displacement of each volume as a table."""
    import pandas as pd
    from scipy.spatial.transform import Rotation

    from .motion import rotation_part

    centre = points.mean(axis=0)
    shift = np.array([apply_matrix(m, centre) - centre for m in pulls])
    angles = Rotation.from_matrix(rotation_part(pulls)).as_rotvec(degrees=True)
    table = pd.DataFrame(
        np.hstack([shift, angles]),
        columns=['trans_x', 'trans_y', 'trans_z', 'rot_x', 'rot_y', 'rot_z'],
    )
    table['framewise_displacement'] = framewise_displacement(pulls)
    table['displacement'] = displacement(pulls, points)
    return table


def _nan_free(values: Any, function: Any) -> float:
    """Apply a function to the finite values; NaN without any."""
    finite = np.asarray(values, dtype=float)
    finite = finite[np.isfinite(finite)]
    return float(function(finite)) if finite.size else float('nan')


class _GatherReportsInputSpec(BaseInterfaceInputSpec):
    series = traits.Dict(mandatory=True, desc='what joining the runs found')
    tensor = traits.Dict(mandatory=True, desc='what the fit found')
    denoising = traits.Dict(desc='whether it was denoised')
    unringing = traits.Dict(desc='whether ringing was removed')
    coregistration = traits.Dict(desc='how well b = 0 and T1w fit')
    susceptibility = traits.Dict(desc='size of the distortion, and what its correction gained')
    eddy = traits.Dict(desc="eddy's outlier slices")
    surfaces = traits.List(traits.Dict(), desc='coverage of each side')


class _GatherReportsOutputSpec(TraitedSpec):
    out = traits.List(traits.Dict(), desc='all of them')


class GatherReports(SimpleInterface):
    """Collect what the steps found."""

    input_spec = _GatherReportsInputSpec
    output_spec = _GatherReportsOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        reports = [self.inputs.series, self.inputs.tensor]
        names = ('denoising', 'unringing', 'coregistration', 'susceptibility', 'eddy')
        optional = [getattr(self.inputs, n) for n in names]
        reports += [report for report in optional if isdefined(report)]
        if isdefined(self.inputs.surfaces):
            reports += self.inputs.surfaces
        self._results['out'] = [dict(r) for r in reports]
        return runtime


class _PickSideInputSpec(BaseInterfaceInputSpec):
    white = InputMultiObject(File(exists=True), mandatory=True, desc='left and right')
    pial = InputMultiObject(File(exists=True), mandatory=True, desc='left and right')
    index = traits.Enum(0, 1, mandatory=True, desc='0 left, 1 right')


class _PickSideOutputSpec(TraitedSpec):
    white = File(exists=True, desc='of that side')
    pial = File(exists=True, desc='of that side')


class PickSide(SimpleInterface):
    """Take the surfaces of one side."""

    input_spec = _PickSideInputSpec
    output_spec = _PickSideOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        self._results['white'] = self.inputs.white[self.inputs.index]
        self._results['pial'] = self.inputs.pial[self.inputs.index]
        return runtime


class _AlignMapsInputSpec(BaseInterfaceInputSpec):
    maps = InputMultiObject(File(exists=True), mandatory=True, desc='icvf, isovf and od')
    reference = File(exists=True, mandatory=True, desc='mean b = 0 image of the series')
    coregistration = File(exists=True, mandatory=True, desc='pull matrix, T1w to reference')
    t1w = File(exists=True, mandatory=True, desc='T1w image')
    t1w_mask = File(exists=True, mandatory=True, desc='its brain')
    seed = traits.Int(1, usedefault=True, desc="seed of ANTs' sampling")


class _AlignMapsOutputSpec(TraitedSpec):
    transform = File(exists=True, desc='pull matrix, T1w to maps')


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

    def _register(self, icvf: Any, affine: files.FloatArray) -> files.FloatArray:
        """Register the first map to the T1w image."""
        values = np.nan_to_num(icvf)
        t1w, t1w_affine = files.read_image(self.inputs.t1w)
        brain = files.read_image(self.inputs.t1w_mask)[0] > 0
        towards = registration.rigid(
            values,
            affine,
            np.where(brain, t1w, 0),
            t1w_affine,
            initial=registration.centre_shift(values > 0, affine, brain, t1w_affine),
            seed=self.inputs.seed,
        )
        return np.asarray(np.linalg.inv(towards))


class _SampleMapsInputSpec(BaseInterfaceInputSpec):
    maps = InputMultiObject(File(exists=True), mandatory=True, desc='icvf, isovf and od')
    transform = File(exists=True, mandatory=True, desc='pull matrix, T1w to maps')
    white = File(exists=True, mandatory=True, desc='white surface, scanner RAS')
    pial = File(exists=True, mandatory=True, desc='pial surface, same vertices')
    tpms = InputMultiObject(File(exists=True), mandatory=True, desc='fractions of GM, WM, CSF')
    hemisphere = traits.Enum('L', 'R', mandatory=True, desc='which half')


class _SampleMapsOutputSpec(TraitedSpec):
    icvf = File(exists=True, desc='intra-neurite volume fraction')
    isovf = File(exists=True, desc='isotropic volume fraction')
    od = File(exists=True, desc='orientation dispersion')


class SampleMaps(SimpleInterface):
    """Sample NODDI-type maps in the cortical ribbon.

    icvf and od describe tissue only, so that their samples count by the tissue fraction
    1 - isovf besides the share of grey matter (Parker et al. 2021,
    doi:10.1016/j.neuroimage.2021.118749).
    """

    input_spec = _SampleMapsInputSpec
    output_spec = _SampleMapsOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        white, pial = (files.read_points(p) for p in (self.inputs.white, self.inputs.pial))
        points = ribbon_points(white, pial, RIBBON)
        shape, flat = points.shape[:2], points.reshape(-1, 3)
        where = apply_matrix(np.load(self.inputs.transform), flat)
        values, affine = {}, np.eye(4)
        for name, path in zip(NODDI_NAMES, self.inputs.maps, strict=True):
            image, affine = files.read_image(path)
            values[name] = sample(image, affine, where)
        resolution = float(np.cbrt(np.prod(voxel_sizes(affine))))
        tissues, grid = [], np.eye(4)
        for path in self.inputs.tpms[:2]:
            image, grid = files.read_image(path)
            tissues.append(blur_to_resolution(image, grid, resolution))
        shares = tissue_shares(flat, tissues[0], tissues[1], grid)
        found = combine_noddi(
            {name: v.reshape(shape) for name, v in values.items()},
            *(share.reshape(shape) for share in shares),
        )
        side = self.inputs.hemisphere
        for name, result in found.items():
            path = Path(runtime.cwd) / f'{name}_{side}.shape.gii'
            self._results[name] = str(files.write_vertex_map(result, side, name, path))
        return runtime


class _RegionTableInputSpec(BaseInterfaceInputSpec):
    rows = traits.List(traits.Dict(), mandatory=True, desc='one for each region and side')


class _RegionTableOutputSpec(TraitedSpec):
    out_file = File(exists=True, desc='table of regions')


class RegionTable(SimpleInterface):
    """Write coverage and means of each region."""

    input_spec = _RegionTableInputSpec
    output_spec = _RegionTableOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        import pandas as pd

        columns = ['hemisphere', 'region', 'n_vertices', 'coverage', 'fluid', *MAP_NAMES]
        frame = pd.DataFrame(list(self.inputs.rows), columns=columns)
        self._results['out_file'] = str(
            files.format_table(frame, Path(runtime.cwd) / 'regions.tsv')
        )
        return runtime
