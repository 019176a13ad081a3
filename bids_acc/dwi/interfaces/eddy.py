"""FSL's eddy as an engine: only where FSL is on PATH, and only when asked for.

eddy interpolates what it corrects, so that with it the way to the T1w image is a second
interpolation. Its rotations are known to the rest of the line by the rotated gradient table.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from nipype.interfaces import fsl
from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    Bunch,
    File,
    SimpleInterface,
    TraitedSpec,
    isdefined,
    traits,
)
from scipy.spatial.transform import Rotation

from bids_acc.dwi.gradients import Gradients
from bids_acc.dwi.interfaces.distortion import to_radiological
from bids_acc.dwi.motion import matrix_from_parameters
from bids_acc.dwi.shells import bvecs_from_scanner, bvecs_to_scanner, find_shells
from bids_acc.exceptions import ComputationError
from bids_acc.images import files
from bids_acc.images.distortion import fsl_parameters
from bids_acc.programs import ToolOutputs, read_result, run_tool
from bids_acc.typing import BoolArray, FloatArray, SingleArray

PROGRAMS = ('eddy_cpu', 'eddy_openmp', 'eddy')
"""Names under which FSL 6 has had it; none needs a graphics card."""


ANY_READOUT = 0.05
"""Readout time in s that stands in for one that nobody knows and nothing depends on."""


def eddy_program() -> str | None:
    """Return the name of the eddy program on PATH."""
    return next((name for name in PROGRAMS if shutil.which(name)), None)


class _RunEddyInputSpec(BaseInterfaceInputSpec):
    in_file = File(exists=True, mandatory=True, desc='series')
    gradients = File(exists=True, mandatory=True, desc='its gradient table')
    mask = File(exists=True, mandatory=True, desc='brain in the reference')
    acquisition = traits.List(traits.Dict(), mandatory=True, desc='direction and readout by run')
    fieldcoef = File(exists=True, desc="topup's field")
    movpar = File(exists=True, desc="topup's movement parameters")
    nthreads = traits.Int(1, usedefault=True, desc='threads')


class _RunEddyOutputSpec(TraitedSpec):
    out_file = File(exists=True, desc='corrected series')
    gradients = File(exists=True, desc='rotated gradient table')
    transforms = File(exists=True, desc='identity for each volume: nothing is left to correct')
    motion = File(exists=True, desc='affine matrices as eddy found them, for the quality table')
    reference = File(exists=True, desc='mean corrected b = 0 image')
    report = traits.Dict(desc='outlier slices')


class RunEddy(SimpleInterface):
    """Correct motion and eddy currents, replace outlier slices, rotate gradients.

    References
    ----------
    Andersson JLR, Sotiropoulos SN (2016). NeuroImage 125:1063-1078.
    https://doi.org/10.1016/j.neuroimage.2015.10.019
    """

    input_spec = _RunEddyInputSpec
    output_spec = _RunEddyOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        data, affine = files.read_image(self.inputs.in_file)
        mask = files.read_image(self.inputs.mask)[0] > 0
        gradients = Gradients.read(self.inputs.gradients)
        base = np.flatnonzero(find_shells(gradients.bvals).labels == 0)
        # eddy's reference is its first volume, which must be the first of topup's, too
        order = np.r_[base[:1], np.delete(np.arange(data.shape[3]), base[:1])]
        back = np.argsort(order)
        done = self._run_eddy(runtime, data[..., order], mask, affine, gradients.of(order))
        corrected, fsl_affine = files.read_image(done.out_corrected)
        corrected = corrected[..., back]
        if np.linalg.det(affine[:3, :3]) > 0:
            corrected = corrected[::-1]
        rotated = bvecs_to_scanner(np.loadtxt(done.out_rotated_bvecs).T[back], fsl_affine)
        # whatever a run's distortion was, nothing is left of it
        table = replace(
            gradients,
            directions=rotated,
            groups=np.zeros_like(gradients.groups),
            ratios=np.ones(len(rotated)),
        )
        parameters = np.loadtxt(done.out_parameter, ndmin=2)[back]
        self._results['gradients'] = str(table.write(Path(runtime.cwd) / 'gradients.tsv'))
        for name, matrices in (
            ('transforms', np.tile(np.eye(4), (len(parameters), 1, 1))),
            ('motion', movement(parameters, mask, affine)),
        ):
            np.save(Path(runtime.cwd) / f'{name}.npy', matrices)
            self._results[name] = str(Path(runtime.cwd) / f'{name}.npy')
        self._results['out_file'] = str(
            files.write_image(corrected, affine, Path(runtime.cwd) / 'eddy_corrected.nii')
        )
        self._results['reference'] = str(
            files.write_image(
                corrected[..., base].mean(axis=3), affine, Path(runtime.cwd) / 'reference.nii.gz'
            )
        )
        outliers = np.loadtxt(done.out_outlier_map, skiprows=1, ndmin=2)[back]
        self._results['report'] = outlier_report(outliers)
        return runtime

    def _run_eddy(
        self,
        runtime: Bunch,
        data: SingleArray,
        mask: BoolArray,
        affine: FloatArray,
        gradients: Gradients,
    ) -> ToolOutputs:
        """Write eddy's inputs and run it."""
        program = eddy_program()
        if program is None:
            raise ComputationError('eddy is no longer on PATH; see --dwi-motion.')
        stack, fsl_affine, flipped = to_radiological(data, affine)
        turned = to_radiological(mask, affine)[0]
        np.savetxt(Path(runtime.cwd) / 'acqparams.txt', self._rows(flipped), fmt='%g %g %g %.8f')
        np.savetxt(Path(runtime.cwd) / 'index.txt', gradients.runs[None] + 1, fmt='%d')
        np.savetxt(Path(runtime.cwd) / 'bvals', gradients.bvals[None], fmt='%g')
        bvecs = bvecs_from_scanner(gradients.directions, fsl_affine)
        # Adding zero makes 0 of -0.0.
        np.savetxt(Path(runtime.cwd) / 'bvecs', bvecs.T + 0.0, fmt='%.8f')
        tool = fsl.Eddy(
            in_file=str(files.write_image(stack, fsl_affine, Path(runtime.cwd) / 'dwi.nii.gz')),
            in_mask=str(files.write_image(turned, fsl_affine, Path(runtime.cwd) / 'mask.nii.gz')),
            in_acqp=str(Path(runtime.cwd) / 'acqparams.txt'),
            in_index=str(Path(runtime.cwd) / 'index.txt'),
            in_bval=str(Path(runtime.cwd) / 'bvals'),
            in_bvec=str(Path(runtime.cwd) / 'bvecs'),
            out_base=str(Path(runtime.cwd) / 'eddy'),
            repol=True,
            # eddy refuses what it takes for no shells, such as many b-values that jitter;
            # find_shells has looked already.
            is_shelled=True,
            num_threads=self.inputs.nthreads,
        )
        if program == 'eddy_cpu':  # Nipype sets OMP_NUM_THREADS, which only eddy_openmp reads
            tool.inputs.args = f'--nthr={self.inputs.nthreads}'
        if isdefined(self.inputs.fieldcoef):
            tool.inputs.in_topup_movpar = self.inputs.movpar
            tool.inputs.in_topup_fieldcoef = self.inputs.fieldcoef
        # Nipype knows the names eddy_openmp and eddy_cuda only.
        tool._cmd = program
        done = run_tool(tool, runtime.cwd)
        read_result(done.out_corrected, program, stack.shape, fsl_affine)
        return done

    def _rows(self, flipped: bool) -> list[FloatArray]:
        """Return the acquisition parameters of each run.

        Without topup's field any readout time will do, as long as it is the same for all: eddy
        fits the displacement, and only the field in Hz that explains it would be another one
        (FSL's documentation of eddy, FAQ).
        """
        entries = self.inputs.acquisition
        unknown = not any(np.isfinite(entry['readout']) for entry in entries)
        readout = ANY_READOUT if unknown and not isdefined(self.inputs.fieldcoef) else None
        return [
            fsl_parameters(entry['direction'], readout or entry['readout'], flip_x=flipped)
            for entry in entries
        ]


def movement(parameters: FloatArray, mask: BoolArray, affine: FloatArray) -> FloatArray:
    """Turn eddy's first six parameters into matrices, for the quality table.

    Translations in mm and rotations in rad about the voxel axes; the centre of rotation is that
    of the image.

    Parameters
    ----------
    parameters : (n_volumes, >= 6) ndarray
        As in ``eddy_parameters``.
    mask : (i, j, k) ndarray
    affine : (4, 4) ndarray

    Returns
    -------
    (n_volumes, 4, 4) ndarray
    """
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    centre = affine[:3, :3] @ ((np.array(mask.shape) - 1) / 2) + affine[:3, 3]
    result = []
    for row in parameters:
        turn = axes @ Rotation.from_euler('xyz', row[3:6]).as_matrix() @ axes.T
        values = np.r_[axes @ row[:3], Rotation.from_matrix(turn).as_rotvec(), np.zeros(3)]
        result.append(matrix_from_parameters(values, centre, [0, 1, 0]))
    return np.array(result)


def outlier_report(replaced: npt.ArrayLike) -> dict[str, float | list[list[int]]]:
    """Count the slices that eddy replaced.

    Parameters
    ----------
    replaced : (n_volumes, n_slices) array_like
        ``eddy_outlier_map`` below its heading: 1 where a slice was replaced.
    """
    rows = np.asarray(replaced)
    where = [[int(s), int(v)] for v, s in np.argwhere(rows > 0)]
    return {
        'outlier_slices': len(where),
        'outlier_slices_pct': float(100 * np.mean(rows > 0)),
        'outlier_list': where,
    }
