"""Nipype shells of the built-in line up to the transforms: nothing is moved in space yet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from nibabel.affines import voxel_sizes
from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    Bunch,
    File,
    InputMultiObject,
    OutputMultiObject,
    SimpleInterface,
    TraitedSpec,
    isdefined,
    traits,
)

from bids_acc.exceptions import InputDataError
from bids_acc.func import raw, slice_timing
from bids_acc.func.motion import calm_volumes, estimate_motion, mean_volume
from bids_acc.images import files, registration
from bids_acc.images.affines import centre_of_mass
from bids_acc.images.distortion import phase_axis, readout_time, undistort
from bids_acc.images.masks import brain_mask
from bids_acc.images.measured_field import measured_displacement
from bids_acc.images.phase import FieldMap
from bids_acc.images.resampling import on_grid
from bids_acc.images.reversed_pe import ReversedPair
from bids_acc.images.used_field import FieldReport, judged_field
from bids_acc.typing import BoolArray, FloatArray, Metadata, SingleArray, Volume

N_FOR_MASK = 10
"""Volumes whose mean shows where the brain is before motion is known."""


MIN_AGREEMENT = 0.6
"""Least correlation, over the brain, of images that the field undistorted: own convention. An
image of noise reaches .4, a phantom without noise .99."""


class _ReadSeriesInputSpec(BaseInterfaceInputSpec):
    in_files = InputMultiObject(File(exists=True), mandatory=True, desc='one for each echo')
    sidecars = traits.List(traits.Dict(), mandatory=True, desc='metadata of each')
    slice_timing = traits.Bool(True, usedefault=True, desc='bring slices to one time')


class _ReadSeriesOutputSpec(TraitedSpec):
    out_files = OutputMultiObject(File(exists=True), desc='each echo, slices at one time')
    n_dummy = traits.Int(desc='volumes before the steady state')
    start_time = traits.Float(desc='time within the TR to which slices were interpolated, s')
    notes = traits.List(traits.Str(), desc='what was or could not be done, as sentences')


class ReadSeries(SimpleInterface):
    """Check a run, find volumes before the steady state, and bring slices to one time."""

    input_spec = _ReadSeriesInputSpec
    output_spec = _ReadSeriesOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        paths, sidecars = self.inputs.in_files, self.inputs.sidecars
        where = Path(paths[0]).name
        images = [files.read_image(path, foreign=True) for path in paths]
        check_run([data for data, _ in images], sidecars, where)
        spacing = raw.check_repetition_time(sidecars[0], where)
        first = images[0][0]
        # by the first echo, where the signal is highest; all echoes of a run reach the steady
        # state together
        dummies = raw.count_dummies(np.nan_to_num(first).mean(axis=(0, 1, 2)))
        times, axis, reason = self._times(first.shape, spacing)
        out = []
        for number, (data, affine) in enumerate(images, start=1):
            if times is not None:
                data = slice_timing.correct_slice_timing(data, times, axis, spacing, dummies)  # noqa: PLW2901
            path = Path(runtime.cwd) / f'echo-{number}.nii'
            out.append(str(files.write_image(data, affine, path)))
        # without correction a volume stands for the middle of its acquisition
        start = spacing / 2 if times is None else slice_timing.reference_time(times)
        said = self._said(dummies, reason, start)
        self._results.update(out_files=out, n_dummy=dummies, start_time=start, notes=said)
        return runtime

    def _times(self, shape: tuple[int, ...], spacing: float) -> tuple[FloatArray | None, int, str]:
        """Tell when slices were acquired, or why they are not shifted."""
        if not self.inputs.slice_timing:
            return None, 2, 'it is switched off'
        return slice_timing.slice_times(self.inputs.sidecars[0], shape, spacing)

    @staticmethod
    def _said(dummies: int, reason: str, start: float) -> list[str]:
        """Put into words what was done."""
        said = [f'Slice timing was not corrected: {reason}.'] if reason else [
            f'Slices were interpolated to {start:.3f} s after the start of each volume.'
        ]  # fmt: skip
        if dummies:
            plural = 's' if dummies > 1 else ''
            said.append(f'{dummies} volume{plural} before the steady state.')
        return said


def check_run(echoes: list[SingleArray], sidecars: Sequence[Metadata], where: str) -> None:
    """Refuse a run from which nothing can be measured.

    Parameters
    ----------
    echoes : list of (nx, ny, nz, n_volumes) ndarray
        Series of each echo.
    sidecars : list of dict
        Of which ``EchoTime`` (s) is needed where there are several echoes.
    where : str
        File, for the message.

    Raises
    ------
    InputDataError
        If it has other than four axes, echoes that do not belong together, or no signal.
    """
    if echoes[0].ndim != 4:
        raise InputDataError(f'{where}: shape {echoes[0].shape}; a BOLD series has four axes.')
    raw.check_echoes([e.shape for e in echoes], [s.get('EchoTime') for s in sidecars], where)
    for echo in echoes:
        raw.check_signal(echo, where)
        raw.check_slices(echo, where)


class _EstimateMotionInputSpec(BaseInterfaceInputSpec):
    in_file = File(exists=True, mandatory=True, desc='series as acquired; its first echo')
    n_dummy = traits.Int(0, usedefault=True, desc='volumes before the steady state')


class _EstimateMotionOutputSpec(TraitedSpec):
    transforms = File(exists=True, desc='affine matrices, reference to volume')
    parameters = File(exists=True, desc="translations of the head's centre, and rotations")
    reference = File(exists=True, desc='mean of the calmest volumes')
    mask = File(exists=True, desc='brain in it')


class EstimateBoldMotion(SimpleInterface):
    """Find the head in each volume; slices are taken as they were acquired."""

    input_spec = _EstimateMotionInputSpec
    output_spec = _EstimateMotionOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        data, affine = files.read_image(self.inputs.in_file)
        first, folder = self.inputs.n_dummy, Path(runtime.cwd)
        # behind the dummies, which are brighter and of another contrast
        start = np.nan_to_num(data[..., first : first + N_FOR_MASK]).mean(axis=3)
        mask = bold_mask(start, affine)
        motion = estimate_motion(data, affine, mask, first)
        # a volume in which the head moved would blur the reference that all else is aligned to
        calm = calm_volumes(motion.matrices, centre_of_mass(mask, affine), first)
        mean = mean_volume(data, affine, motion.matrices, calm)
        np.save(folder / 'transforms.npy', motion.matrices)
        np.save(folder / 'parameters.npy', motion.parameters)
        self._results.update(
            transforms=str(folder / 'transforms.npy'),
            parameters=str(folder / 'parameters.npy'),
            reference=str(files.write_image(mean, affine, folder / 'reference.nii.gz')),
            mask=str(files.write_image(bold_mask(mean, affine), affine, folder / 'mask.nii.gz')),
        )
        return runtime


def bold_mask(image: Volume, affine: FloatArray) -> BoolArray:
    """Return the brain in a mean BOLD image.

    Parameters
    ----------
    image : (nx, ny, nz) ndarray
        Mean after realignment.
    affine : (4, 4) ndarray
        Voxel to scanner RAS in mm.

    Returns
    -------
    (nx, ny, nz) ndarray of bool
        See `bids_acc.images.masks.brain_mask`.
    """
    return brain_mask(image, voxel_sizes(affine), 'the mean BOLD image')


class _EstimateFieldInputSpec(BaseInterfaceInputSpec):
    reference = File(exists=True, mandatory=True, desc='mean BOLD image, distorted')
    mask = File(exists=True, mandatory=True, desc='its brain')
    sidecar = traits.Dict(mandatory=True, desc='metadata of the series')
    reversed_pe = File(exists=True, desc='image of reversed phase encoding')
    reversed_pe_sidecar = traits.Dict(desc='its metadata')
    field_map = traits.Dict(desc='field map instead, see bids_acc.images.phase')
    alike = File(exists=True, desc="image of the series' phase encoding, contrast as reversed_pe")
    seed = traits.Int(1, usedefault=True, desc="seed of ANTs' sampling")


class _EstimateFieldOutputSpec(TraitedSpec):
    warp = File(exists=True, desc='displacement along the phase encoding on the reference, mm')
    reference = File(exists=True, desc='undistorted reference')
    mask = File(exists=True, desc='its brain')
    report = traits.Dict(desc='size of the displacement, agreement of the images')
    notes = traits.List(traits.Str(), desc='what was or could not be done, as sentences')


class EstimateField(SimpleInterface):
    """Take the field from an image of reversed phase encoding or a map; undistort the mean.

    Where the field map has both directions, usually spin echoes, they are compared with each
    other, brought to the series by the one that is distorted as it is. A field that does not make
    the images agree is not used, and an image that cannot be used does not stop the run.
    """

    input_spec = _EstimateFieldInputSpec
    output_spec = _EstimateFieldOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        reference, affine = files.read_image(self.inputs.reference)
        mask = files.read_image(self.inputs.mask)[0] > 0
        axis, _ = phase_axis(self.inputs.sidecar, affine)
        measured = isdefined(self.inputs.field_map)
        field = self._measured if measured else self._field
        found = judged_field(
            lambda: field(reference, mask, affine, axis), reference.shape,
            0.0 if measured else MIN_AGREEMENT,
        )  # fmt: skip
        straight = undistort(reference, found.shift, affine, axis) if found.used else reference
        # a brain that was stretched along the phase encoding has another outline once it is
        # straight
        brain = bold_mask(straight, affine) if found.used else mask
        for name, values in (('warp', found.shift), ('reference', straight), ('mask', brain)):
            path = Path(runtime.cwd) / f'{name}.nii.gz'
            self._results[name] = str(files.write_image(values, affine, path))
        self._results['report'] = {**(found.report or {}), 'sdc_applied': found.used}
        self._results['notes'] = [found.finding] if found.finding else []
        return runtime

    def _measured(
        self, reference: Volume, mask: BoolArray, affine: FloatArray, axis: FloatArray
    ) -> tuple[FloatArray, FieldReport]:
        """Return the displacement by a measured field map and what is to be said of it."""
        sidecar = self.inputs.sidecar
        along = int(np.argmax(np.abs(affine[:3, :3].T @ axis)))
        readout = readout_time(sidecar, reference.shape[along])
        return measured_displacement(
            FieldMap.from_dict(self.inputs.field_map), reference, mask, affine, axis, readout,
            seed=self.inputs.seed,
        )  # fmt: skip

    def _field(
        self, reference: Volume, mask: BoolArray, affine: FloatArray, axis: FloatArray
    ) -> tuple[FloatArray, FieldReport]:
        """Return the displacement and what is to be said of it."""
        pull, image = np.eye(4), reference
        reversed_pe, grid = _first_volumes(self.inputs.reversed_pe)
        if isdefined(self.inputs.alike):
            alike, own = _first_volumes(self.inputs.alike)
            # the image of the pair that is distorted like the series tells where the pair lies
            pull = registration.rigid(
                reference, affine, alike.mean(axis=3), own, seed=self.inputs.seed
            )
            image = on_grid(alike, own, reference.shape, affine, pull).mean(axis=3)
        other = on_grid(reversed_pe, grid, reference.shape, affine, pull).mean(axis=3)
        ratio = 1.0 if isdefined(self.inputs.alike) else self._ratio(reversed_pe.shape)
        pair = ReversedPair(image, other, mask, affine, axis, ratio, self.inputs.seed)
        return pair.displacement()

    def _ratio(self, shape: tuple[int, ...]) -> float:
        """Return how much longer the reversed_pe image's readout is; 1 where it is not known."""
        times = [
            readout_time(sidecar, shape['ijk'.index(sidecar['PhaseEncodingDirection'][0])])
            for sidecar in (self.inputs.reversed_pe_sidecar, self.inputs.sidecar)
        ]
        # most pairs share their readout, which is what is assumed where a sidecar is silent
        known = all(np.isfinite(time) and time > 0 for time in times)
        return times[0] / times[1] if known else 1.0


def _first_volumes(path: str, n: int = 5) -> tuple[SingleArray, FloatArray]:
    """Read the first volumes of an image, as four axes."""
    data, affine = files.read_image(path)
    return data.reshape(*data.shape[:3], -1)[..., :n], affine


class _CoregisterInputSpec(BaseInterfaceInputSpec):
    reference = File(exists=True, mandatory=True, desc='mean BOLD image')
    mask = File(exists=True, mandatory=True, desc='its brain')
    t1w = File(exists=True, mandatory=True, desc='T1w image')
    t1w_mask = File(exists=True, mandatory=True, desc='its brain')
    seed = traits.Int(1, usedefault=True, desc="seed of ANTs' sampling")


class _CoregisterOutputSpec(TraitedSpec):
    transform = File(exists=True, desc='affine matrix, T1w to BOLD')
    report = traits.Dict(desc='overlap of the brains and similarity')


class CoregisterBold(SimpleInterface):
    """Align the mean BOLD image with the T1w image: rigid, mutual information."""

    input_spec = _CoregisterInputSpec
    output_spec = _CoregisterOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        given = self.inputs
        pair = registration.BrainPair.read(given.reference, given.mask, given.t1w, given.t1w_mask)
        towards_t1w = pair.align(given.seed)
        path = Path(runtime.cwd) / 'bold_from_t1w.npy'
        np.save(path, np.linalg.inv(towards_t1w))
        self._results['transform'] = str(path)
        self._results['report'] = {'coreg_dice': pair.overlap(towards_t1w)}
        return runtime
