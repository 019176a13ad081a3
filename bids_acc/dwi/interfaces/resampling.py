"""Nipype shell: every volume brought to its place, through all transforms at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from nibabel.affines import voxel_sizes
from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    Bunch,
    File,
    SimpleInterface,
    TraitedSpec,
    isdefined,
    traits,
)

from bids_acc.dwi.gradients import Gradients
from bids_acc.dwi.motion import rotate_directions
from bids_acc.dwi.shells import find_shells
from bids_acc.images import files, registration
from bids_acc.images.affines import apply_matrix, voxel_centres
from bids_acc.images.distortion import displace, field_and_gradient
from bids_acc.images.resampling import output_grid, sample
from bids_acc.typing import BoolArray, FloatArray, SingleArray, Volume


class ChainInputSpec(BaseInterfaceInputSpec):
    """What a `Chain` is made of."""

    in_file = File(exists=True, mandatory=True, desc='series before any interpolation')
    gradients = File(exists=True, mandatory=True, desc='its gradient table')
    transforms = File(exists=True, mandatory=True, desc='affine matrices, reference to volume')
    coregistration = File(exists=True, desc='affine matrix, T1w to reference')
    scales = File(exists=True, desc='factor of each volume that makes its run as bright as others')
    warp = File(exists=True, desc='displacement along the phase encoding on the reference, mm')
    slice_axis = traits.Range(0, 2, value=2, usedefault=True, desc='axis of the slices')


class Chain:
    """A series with all its transforms, which a value passes in one go.

    The field of susceptibility moves with the head, but what it displaces is displaced along the
    scanner's axis: for a volume whose affine matrix is :math:`P` (linear part :math:`A`), a point
    :math:`x` of the reference is found at :math:`P x + u(x) e`, which is
    :math:`P (x + u(x) A^{-1} e)`. Each volume has its own axis :math:`e`, and its own readout
    time, so that runs of any phase encoding are brought together.
    """

    def __init__(self, inputs: ChainInputSpec) -> None:
        self.data, self.affine = files.read_image(inputs.in_file)
        self.gradients = Gradients.read(inputs.gradients)
        self.shells = find_shells(self.gradients.bvals)
        self.to_sources = np.load(inputs.transforms)
        count = len(self.to_sources)
        self.scales = np.load(inputs.scales) if isdefined(inputs.scales) else np.ones(count)
        has_t1w = isdefined(inputs.coregistration)
        self.coregistration = np.load(inputs.coregistration) if has_t1w else np.eye(4)
        self.warp = files.read_image(inputs.warp) if isdefined(inputs.warp) else None
        self.slice_axis = int(inputs.slice_axis)

    def directions(self) -> FloatArray:
        """Gradient directions in the frame of the output."""
        return rotate_directions(self.gradients.directions, self.to_sources @ self.coregistration)

    def signal(
        self, points: FloatArray, order: int = 3, volumes: Iterable[int] | None = None
    ) -> SingleArray:
        """Interpolate the signal at points, by one interpolation of the series as acquired.

        It is multiplied by the run's scale and by how much eddy-current and susceptibility fields
        squeezed the place (the Jacobian determinant).

        Parameters
        ----------
        points : (n_points, 3) ndarray
            In the space of the output: T1w RAS, or the reference's without a coregistration; mm.
        order : int
            Of the spline: 3 is cubic, 1 linear.
        volumes : iterable of int, optional
            Which volumes; by default all.

        Returns
        -------
        (n_points, n_volumes) ndarray of float32
            NaN outside the field of view.
        """
        chosen = range(len(self.to_sources)) if volumes is None else list(volumes)
        signal = np.empty((len(points), len(chosen)), dtype=np.float32)
        for column, (index, (where, factor)) in enumerate(self._found(points, chosen)):
            brightness = (
                self.scales[index] * np.linalg.det(self.to_sources[index, :3, :3]) * factor
            )
            values = sample(self.data[..., index], self.affine, where, order=order)
            signal[:, column] = brightness * values
        return signal

    def _found(
        self, points: FloatArray, volumes: Iterable[int]
    ) -> Iterator[tuple[int, tuple[FloatArray, FloatArray | float]]]:
        """Tell for each volume where the output's points are found, and how they are squeezed."""
        reference = apply_matrix(self.coregistration, points)
        field = None if self.warp is None else field_and_gradient(*self.warp, reference)
        for index in volumes:
            to_source, where = self.to_sources[index], reference
            factor: FloatArray | float = 1.0
            if field is not None:
                scanner = self.gradients.ratios[index] * self.gradients.phase_axes[index]
                axis = np.linalg.solve(to_source[:3, :3], scanner)
                where, factor = displace(reference, *field, axis)
            yield index, (apply_matrix(to_source, where), factor)

    def slices(self, points: FloatArray) -> SingleArray:
        """Tell in which slice of each volume a point was acquired, or between which.

        Parameters
        ----------
        points : (n_points, 3) ndarray
            As of `signal`.

        Returns
        -------
        (n_points, n_volumes) ndarray of float32
            From 0 at the first slice's middle; beyond the first or last slice, that one.
        """
        row = np.linalg.inv(self.affine)[self.slice_axis]
        top = self.data.shape[self.slice_axis] - 1
        numbers = np.empty((len(points), len(self.to_sources)), dtype=np.float32)
        for index, (where, _) in self._found(points, range(len(self.to_sources))):
            numbers[:, index] = np.clip(where @ row[:3] + row[3], 0, top)
        return numbers


class _ResampleSeriesInputSpec(ChainInputSpec):
    mask = File(exists=True, mandatory=True, desc='brain, in the space of the output')
    bias = traits.Bool(True, usedefault=True, desc='divide by the bias field (N4)')


class _ResampleSeriesOutputSpec(TraitedSpec):
    out_file = File(exists=True, desc='corrected series')
    out_mask = File(exists=True, desc='brain on its grid')
    bval = File(exists=True, desc='b-values')
    gradients = File(exists=True, desc='rotated gradient table, scanner coordinates')
    slices = File(exists=True, desc='place of each brain voxel in each volume, in slices')
    seen = traits.Float(desc='share of the brain that all volumes show')
    field = File(exists=True, desc='bias field, where it was corrected')


class ResampleSeries(SimpleInterface):
    """Bring every volume to its place, interpolating once.

    With a coregistration the output lies along the T1w image's axes, at the diffusion image's
    resolution; otherwise on the reference's own grid.
    """

    input_spec = _ResampleSeriesInputSpec
    output_spec = _ResampleSeriesOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        chain = Chain(self.inputs)
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
        # A tensor needs all volumes: a voxel that left the field of view in some would be fitted
        # to a scheme of its own.
        seen = inside & np.isfinite(signal).all(axis=1)
        brain = seen.reshape(shape)
        series = np.nan_to_num(signal).reshape(*shape, -1)
        if self.inputs.bias:
            base = np.flatnonzero(chain.shells.labels == 0)
            field = registration.bias_field(series[..., base].mean(axis=3), affine, brain)
            # One field for all volumes: coils do not know of gradients, so that ratios of volumes,
            # from which diffusivity comes, stay as they are.
            series /= field[..., None].astype(np.float32)
            self._results['field'] = str(
                files.write_image(field, affine, Path(runtime.cwd) / 'field.nii.gz')
            )
        self._write(runtime, chain, series, affine, brain)
        self._results['seen'] = float(seen.sum() / max(inside.sum(), 1))
        np.save(Path(runtime.cwd) / 'slices.npy', chain.slices(centres[seen]))
        self._results['slices'] = str(Path(runtime.cwd) / 'slices.npy')
        return runtime

    def _write(
        self, runtime: Bunch, chain: Chain, series: Volume, affine: FloatArray, brain: BoolArray
    ) -> None:
        """Write images and gradient tables."""
        directions, bvals = chain.directions(), chain.gradients.bvals
        table = replace(chain.gradients, directions=directions)
        bval = Path(runtime.cwd) / 'dwi.bval'
        np.savetxt(bval, bvals[None], fmt='%g')
        self._results.update(
            out_file=str(files.write_image(series, affine, Path(runtime.cwd) / 'corrected.nii')),
            out_mask=str(files.write_image(brain, affine, Path(runtime.cwd) / 'brain.nii.gz')),
            bval=str(bval),
            gradients=str(table.write(Path(runtime.cwd) / 'gradients.tsv')),
        )


def grow(mask: BoolArray) -> BoolArray:
    """Return the mask with two voxels around it, so that interpolation finds neighbours.

    Parameters
    ----------
    mask : (nx, ny, nz) ndarray of bool
        Brain.

    Returns
    -------
    (nx, ny, nz) ndarray of bool
    """
    from scipy import ndimage

    return np.asarray(ndimage.binary_dilation(mask, iterations=2))
