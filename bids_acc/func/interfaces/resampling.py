"""Nipype shells: a run brought to the T1w image in one step, and its confounds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from nibabel.affines import voxel_sizes
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
from scipy import ndimage

from bids_acc.func import confounds as noise
from bids_acc.func.echoes import combine_echoes
from bids_acc.func.motion import rigid_matrix
from bids_acc.images import files
from bids_acc.images.affines import apply_matrix, voxel_centres
from bids_acc.images.distortion import displace, field_and_gradient, phase_axis
from bids_acc.images.motion import framewise_displacement
from bids_acc.images.resampling import output_grid, sample
from bids_acc.surfaces.ribbon import blur_to_resolution
from bids_acc.typing import BoolArray, FloatArray, Metadata, SingleArray, Volume

MARGIN_VOXELS = 2
"""How far around the brain values are kept, for measures that look at neighbours."""

PURITIES = (0.95, 0.9, 0.8, 0.7)
"""A voxel belongs to a tissue's noise pool when at least this share of what it sees is of that
tissue, by the first of these shares that enough voxels have: own convention, in place of an
erosion whose depth would depend on voxel sizes, and which leaves no CSF in coarse voxels."""

TISSUES = {'WM': (1, 'white_matter'), 'CSF': (2, 'csf')}
"""Name in fMRIPrep's JSON, place among the tissue maps, and name of the mean's column."""


class _ResampleInputSpec(BaseInterfaceInputSpec):
    in_files = InputMultiObject(File(exists=True), mandatory=True, desc='each echo')
    echo_times = traits.List(traits.Float(), desc='of several echoes, s')
    n_dummy = traits.Int(0, usedefault=True, desc='volumes before the steady state')
    transforms = File(exists=True, mandatory=True, desc='affine matrices, reference to volume')
    mask = File(exists=True, mandatory=True, desc='brain: of the T1w image, or the reference')
    coregistration = File(exists=True, desc='affine matrix, T1w to reference')
    warp = File(exists=True, desc='displacement along the phase encoding on the reference, mm')
    sidecar = traits.Dict(desc='metadata, with the phase encoding')


class _ResampleOutputSpec(TraitedSpec):
    out_file = File(exists=True, desc='series at its place')
    out_mask = File(exists=True, desc='brain on its grid, where all volumes have values')
    seen = traits.Float(desc='share of the brain that all volumes show')


class ResampleBold(SimpleInterface):
    """Bring every volume to its place, interpolating once by cubic splines.

    With a coregistration the grid lies along the T1w image's axes, with cubic voxels of the
    series' volume; else it is the reference's. The field of susceptibility moves with the head,
    what it displaces is displaced along the scanner's axis: for a volume whose affine matrix is
    :math:`P` (linear part :math:`A`), a point :math:`x` of the reference is found at
    :math:`P (x + u(x) A^{-1} e)`. Echoes are combined at their places.
    """

    input_spec = _ResampleInputSpec
    output_spec = _ResampleOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        mask, mask_affine = files.read_image(self.inputs.mask)
        first, affine = files.read_image(self.inputs.in_files[0])
        shape, grid = first.shape[:3], affine
        if isdefined(self.inputs.coregistration):
            # voxels of the series' own size: finer ones would hold no more and cost more
            shape, grid = output_grid(mask > 0, mask_affine, voxel_sizes(affine))
        centres = voxel_centres(np.ones(shape, dtype=bool), grid)
        inside = np.nan_to_num(sample((mask > 0).astype('f4'), mask_affine, centres)) > 0.5
        around = ndimage.binary_dilation(inside.reshape(shape), iterations=MARGIN_VOXELS).ravel()
        signal = self._combined(first, affine, centres[around])
        values = np.full((len(centres), signal.shape[1]), np.nan, dtype=np.float32)
        values[around] = signal
        # a voxel that left the field of view in some volumes has steps in its course, which
        # correlate with those of others at the edge
        seen = inside & np.isfinite(values).all(axis=1)
        series, brain = np.nan_to_num(values).reshape(*shape, -1), seen.reshape(shape)
        folder = Path(runtime.cwd)
        self._results.update(
            out_file=str(files.write_image(series, grid, folder / 'bold.nii', self._spacing())),
            out_mask=str(files.write_image(brain, grid, folder / 'brain.nii.gz')),
            seen=float(seen.sum() / max(inside.sum(), 1)),
        )
        return runtime

    def _spacing(self) -> float | None:
        """Return the repetition time, s."""
        return self.inputs.sidecar['RepetitionTime'] if isdefined(self.inputs.sidecar) else None

    def _combined(self, first: SingleArray, affine: FloatArray, points: FloatArray) -> Volume:
        """Return the series at points of the output's space, echoes combined."""
        paths = self.inputs.in_files
        if len(paths) == 1:
            return self._moved(first, affine, points)
        echoes = [self._moved(files.read_image(path)[0], affine, points) for path in paths]
        return combine_echoes(np.stack(echoes), self.inputs.echo_times, self.inputs.n_dummy)

    def _moved(self, data: SingleArray, affine: FloatArray, points: FloatArray) -> SingleArray:
        """Return one echo at points of the output's space, (n_points, n_volumes)."""
        pulls = np.load(self.inputs.transforms)
        with_t1w = isdefined(self.inputs.coregistration)
        reference = (
            apply_matrix(np.load(self.inputs.coregistration), points) if with_t1w else points
        )
        field, axis = None, np.zeros(3)
        if isdefined(self.inputs.warp):
            field = field_and_gradient(*files.read_image(self.inputs.warp), reference)
            axis, _ = phase_axis(self.inputs.sidecar, affine)
        result = np.empty((len(points), len(pulls)), dtype=np.float32)
        for index, pull in enumerate(pulls):
            where, factor = reference, np.ones(1)
            if field is not None:
                along = np.linalg.solve(pull[:3, :3], axis)
                where, factor = displace(reference, *field, along)
            found = sample(data[..., index], affine, apply_matrix(pull, where), order=3)
            # what distortion squeezed is too bright: the factor is the Jacobian of the
            # displacement
            result[:, index] = factor * found
        return result


class _ConfoundsInputSpec(BaseInterfaceInputSpec):
    in_file = File(exists=True, mandatory=True, desc='series at its place')
    mask = File(exists=True, mandatory=True, desc='brain on its grid')
    parameters = File(exists=True, mandatory=True, desc="the head's translations and rotations")
    tpms = InputMultiObject(File(exists=True), desc='fractions of GM, WM and CSF, T1w space')
    repetition_time = traits.Float(mandatory=True, desc='in s')
    n_dummy = traits.Int(0, usedefault=True, desc='volumes before the steady state')


class _ConfoundsOutputSpec(TraitedSpec):
    out_file = File(exists=True, desc="table with fMRIPrep's column names")
    out_json = File(exists=True, desc='sidecar, with the masks of the noise components')
    notes = traits.List(traits.Str(), desc='what could not be done, as sentences')


class ConfoundsTable(SimpleInterface):
    """Gather motion, changes, tissue signals, noise components and drift in one table."""

    input_spec = _ConfoundsInputSpec
    output_spec = _ConfoundsOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        data, affine = files.read_image(self.inputs.in_file)
        mask = files.read_image(self.inputs.mask)[0] > 0
        series, n_dummy = data[mask], int(self.inputs.n_dummy)
        parameters = np.load(self.inputs.parameters)
        # the parameters are of the centre of the head already, so that FD needs no point to turn
        # about
        about_centre = [rigid_matrix(row, np.zeros(3)) for row in parameters]
        moved = framewise_displacement(about_centre, np.zeros(3))
        change, relative = noise.dvars(series)
        # volumes before the steady state have a step of their own, which no cosine is to follow
        drift = noise.cosines(data.shape[3] - n_dummy, self.inputs.repetition_time)
        pools, notes = self._pools(data.shape[:3], affine, mask)
        tissue = {TISSUES[name][1]: data[pool].mean(axis=0) for name, pool in pools.items()}
        columns = noise.expand({**tissue, 'global_signal': series.mean(axis=0)})
        columns |= {'dvars': change, 'std_dvars': relative, 'framewise_displacement': moved}
        components, about = _components(data, pools, drift, n_dummy)
        columns |= components
        columns |= noise.numbered('cosine', noise.after_dummies(drift, n_dummy))
        steady = np.arange(data.shape[3]) < n_dummy
        columns |= noise.numbered('non_steady_state_outlier', noise.single_volumes(steady))
        spikes = noise.outliers(moved, relative, n_dummy)
        columns |= noise.numbered('motion_outlier', noise.single_volumes(spikes))
        columns |= noise.expand(dict(zip(noise.MOTION, parameters.T, strict=True)))
        table, sidecar = Path(runtime.cwd) / 'confounds.tsv', Path(runtime.cwd) / 'confounds.json'
        files.format_table(pd.DataFrame(columns), table)
        sidecar.write_text(json.dumps(DESCRIPTIONS | about, indent=2, sort_keys=True))
        self._results.update(out_file=str(table), out_json=str(sidecar), notes=notes)
        return runtime

    def _pools(
        self, shape: tuple[int, ...], affine: FloatArray, mask: BoolArray
    ) -> tuple[dict[str, BoolArray], list[str]]:
        """Find the voxels of white matter and of CSF that see nothing else."""
        if not isdefined(self.inputs.tpms):
            return {}, ['Without a T1w image there are no tissues to take noise from.']
        resolution = float(np.cbrt(np.prod(voxel_sizes(affine))))
        centres = voxel_centres(np.ones(shape, dtype=bool), affine)
        pools, notes = {}, []
        for name, (place, _) in TISSUES.items():
            fractions, grid = files.read_image(self.inputs.tpms[place])
            seen = sample(blur_to_resolution(fractions, grid, resolution), grid, centres)
            share = np.where(mask, np.nan_to_num(seen).reshape(shape), 0)
            counts = [int((share >= purity).sum()) for purity in PURITIES]
            enough = [n for n, count in enumerate(counts) if count >= noise.MIN_TISSUE_VOXELS]
            if not enough:
                notes.append(
                    f'Only {counts[-1]} voxels are {name} to {PURITIES[-1]:.0%}; the table goes '
                    'without its signal and noise components.'
                )
                continue
            pools[name] = share >= PURITIES[enough[0]]
            if enough[0]:
                notes.append(
                    f'Noise of {name} is taken from voxels that are {PURITIES[enough[0]]:.0%} '
                    f'{name}; purer ones are too few.'
                )
        return pools, notes


def _components(
    data: SingleArray, pools: dict[str, BoolArray], drift: FloatArray, n_dummy: int
) -> tuple[dict[str, FloatArray], dict[str, Metadata]]:
    """Return the columns ``a_comp_cor_NN``, CSF first, and what the sidecar says of them."""
    columns: dict[str, FloatArray] = {}
    about: dict[str, Any] = {}
    for name in [name for name in ('CSF', 'WM') if name in pools]:
        found = noise.noise_components(data[pools[name]][:, n_dummy:], drift)
        named = noise.numbered('a_comp_cor_', noise.after_dummies(found.series, n_dummy),
                               start=len(columns))  # fmt: skip
        columns |= named
        total = np.cumsum(found.explained)
        for number, column in enumerate(named):
            about[column] = {
                'Method': 'aCompCor', 'Mask': name, 'Retained': True,
                'SingularValue': float(found.singular_values[number]),
                'VarianceExplained': float(found.explained[number]),
                'CumulativeVarianceExplained': float(total[number]),
            }  # fmt: skip
    return columns, about


DESCRIPTIONS: dict[str, Any] = {
    **{
        name: {
            'Description': 'Where the centre of the head is, relative to the reference',
            'Units': 'mm',
        }
        for name in noise.MOTION[:3]
    },
    **{
        name: {'Description': 'Rotation vector of the head about its centre', 'Units': 'rad'}
        for name in noise.MOTION[3:]
    },
    'framewise_displacement': {
        'Description': 'Sum of the absolute changes of translations of the centre of the head and '
        'of rotations on a sphere of 50 mm (Power et al. 2012)',
        'Units': 'mm',
    },
    'dvars': {'Description': 'Root mean square change of the brain, median 1000'},
    'std_dvars': {'Description': 'dvars relative to what noise of this spread would give'},
    'white_matter': {'Description': 'Mean of voxels of white matter only'},
    'csf': {'Description': 'Mean of voxels of CSF only'},
    'global_signal': {'Description': 'Mean of the brain'},
}
"""What the sidecar says of the columns."""
