"""Nipype shells: runs joined into one series, and the brain in it."""

from __future__ import annotations

from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
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

from bids_acc.dwi.gradients import Gradients
from bids_acc.dwi.series import join_runs
from bids_acc.dwi.shells import Shells, find_shells
from bids_acc.dwi.tensor import check_scheme, left_out_shells
from bids_acc.images import files
from bids_acc.images.masks import brain_mask
from bids_acc.typing import Metadata


class _JoinRunsInputSpec(BaseInterfaceInputSpec):
    dwi_files = InputMultiObject(File(exists=True), mandatory=True, desc='diffusion series')
    bval_files = InputMultiObject(File(exists=True), mandatory=True, desc='b-values of each')
    bvec_files = InputMultiObject(File(exists=True), mandatory=True, desc='directions of each')
    sidecars = traits.List(traits.Dict(), desc='metadata of each')
    reversed_pe_files = InputMultiObject(
        File(exists=True), desc='further images of reversed phase encoding, b = 0'
    )
    reversed_pe_sidecars = traits.List(traits.Dict(), desc='metadata of each of those')
    imaginary_files = traits.List(
        traits.Str(), desc='imaginary part of each whose file is a real part; else empty'
    )
    b_max = traits.Float(1500.0, usedefault=True, desc='largest b-value for the tensor, s/mm2')
    b0_threshold = traits.Float(50.0, usedefault=True, desc='largest b-value that counts as zero')
    scaling = traits.Enum(
        'auto', 'yes', 'no', usedefault=True, desc='whether lengths of directions tell b-values'
    )
    combine = traits.Enum(
        'field', 'same', 'corrected', usedefault=True,
        desc='join all runs, or those distorted alike, or all because nothing is distorted',
    )  # fmt: skip


class _JoinRunsOutputSpec(TraitedSpec):
    out_file = File(exists=True, desc='all usable volumes')
    gradients = File(exists=True, desc='gradient table in scanner coordinates')
    report = traits.Dict(desc='counts, shells and findings')
    partial_fourier = traits.Bool(desc='whether k-space was acquired only in part')
    slice_axis = traits.Int(desc='voxel axis of the slices')
    acquisition = traits.List(traits.Dict(), desc='phase encoding and readout time of each run')
    reversed_pe = File(exists=True, desc='b = 0 volumes of reversed phase encoding')
    reversed_pe_acquisition = traits.Dict(desc='their phase encoding and readout time')


class JoinRuns(SimpleInterface):
    """Join runs and check their gradient tables."""

    input_spec = _JoinRunsInputSpec
    output_spec = _JoinRunsOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        sidecars = self.inputs.sidecars if isdefined(self.inputs.sidecars) else []
        extra: list[Any] = []
        if isdefined(self.inputs.reversed_pe_files):
            extra = list(
                zip(self.inputs.reversed_pe_files, self.inputs.reversed_pe_sidecars, strict=True)
            )
        series = join_runs(
            self.inputs.dwi_files,
            self.inputs.bval_files,
            self.inputs.bvec_files,
            sidecars,
            extra,
            self.inputs.combine,
            imaginary_files=(
                self.inputs.imaginary_files if isdefined(self.inputs.imaginary_files) else []
            ),
            b0_threshold=self.inputs.b0_threshold,
            scaling=self.inputs.scaling,
        )
        shells = find_shells(series.gradients.bvals)
        names = ', '.join(Path(path).name for path in self.inputs.dwi_files)
        table = series.gradients
        check_scheme(names, table.bvals, table.directions, self.inputs.b_max, series.findings)
        self._results['out_file'] = str(
            files.write_image(series.data, series.affine, Path(runtime.cwd) / 'series.nii')
        )
        self._results['gradients'] = str(
            series.gradients.write(Path(runtime.cwd) / 'gradients.tsv')
        )
        self._results['partial_fourier'] = any(map(is_partial, sidecars))
        self._results['slice_axis'] = series.slice_axis
        self._results['acquisition'] = [asdict(entry) for entry in series.acquisition]
        if series.reversed_pe is not None and series.reversed_pe_acquisition is not None:
            self._results['reversed_pe_acquisition'] = asdict(series.reversed_pe_acquisition)
            self._results['reversed_pe'] = str(
                files.write_image(
                    series.reversed_pe, series.affine, Path(runtime.cwd) / 'reversed_pe.nii'
                )
            )
        self._results['report'] = {
            'n_volumes': int(series.data.shape[3]),
            'n_missing': int(series.n_expected - series.data.shape[3]),
            'shells': {str(b): n for b, n in _counts(shells).items()},
            'scheme': series.bvecs_hash,
            'findings': list(series.findings),
            'shells_finding': left_out_shells(table.bvals, self.inputs.b_max),
            'n_runs': len(series.used),
            'negative_pct': 100 * series.negative,
            'clipped_pct': 100 * series.clipped,
            'drift_pct': 100 * series.drift,
            'runs': [
                {
                    'Run': number + 1,
                    'PhaseEncodingDirection': entry.direction,
                    'TotalReadoutTime': entry.readout if np.isfinite(entry.readout) else 'n/a',
                    'Used': number in series.used,
                }
                for number, entry in enumerate(series.acquisition)
            ],
            'slice_axis': series.slice_axis,
        }
        return runtime


def is_partial(metadata: Metadata) -> bool:
    """Tell whether a sidecar says that k-space was acquired only in part.

    Parameters
    ----------
    metadata : mapping
        ``PartialFourier`` is a share, or a fraction such as ``6/8``, as protocols have it; what is
        neither tells nothing.
    """
    try:
        return Fraction(str(metadata.get('PartialFourier') or 1)) < 1
    except (ValueError, ZeroDivisionError):
        return False


def _counts(shells: Shells) -> dict[int, int]:
    """Count the volumes of each shell."""
    return {b: int((shells.volume_bvalues == b).sum()) for b in shells.bvalues}


class _BrainMaskInputSpec(BaseInterfaceInputSpec):
    in_file = File(exists=True, mandatory=True, desc='series')
    gradients = File(exists=True, mandatory=True, desc='its gradient table')
    given = File(exists=True, desc='brain, where a derivative has it; taken as it is')


class _BrainMaskOutputSpec(TraitedSpec):
    out_file = File(exists=True, desc='brain in the first b = 0 volume')


class MaskReference(SimpleInterface):
    """Find the brain in the reference volume."""

    input_spec = _BrainMaskInputSpec
    output_spec = _BrainMaskOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        data, affine = files.read_image(self.inputs.in_file)
        shells = find_shells(Gradients.read(self.inputs.gradients).bvals)
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
