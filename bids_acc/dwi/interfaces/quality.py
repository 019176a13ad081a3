"""Nipype shells: what all steps found, as one row, and the motion of each volume."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
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
from bids_acc.dwi.quality import unusual
from bids_acc.images import files
from bids_acc.images.affines import apply_matrix, voxel_centres
from bids_acc.images.motion import displacement, framewise_displacement, rotation_part
from bids_acc.typing import FloatArray, IntArray, Metadata


class _GatherReportsInputSpec(BaseInterfaceInputSpec):
    series = traits.Dict(mandatory=True, desc='what joining the runs found')
    tensor = traits.Dict(mandatory=True, desc='what the fit found')
    runs = traits.Dict(mandatory=True, desc='what bringing the runs together found')
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
        reports = [self.inputs.series, self.inputs.tensor, self.inputs.runs]
        names = ('denoising', 'unringing', 'coregistration', 'susceptibility', 'eddy')
        optional = [getattr(self.inputs, n) for n in names]
        reports += [report for report in optional if isdefined(report)]
        if isdefined(self.inputs.surfaces):
            reports += self.inputs.surfaces
        self._results['out'] = [dict(r) for r in reports]
        return runtime


class _QualityTableInputSpec(BaseInterfaceInputSpec):
    reports = traits.List(traits.Dict(), mandatory=True, desc='what the steps found')
    transforms = File(exists=True, mandatory=True, desc='affine matrices, reference to volume')
    gradients = File(exists=True, mandatory=True, desc='gradient table, with the runs')
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
        to_sources = np.load(self.inputs.transforms)
        mask, affine = files.read_image(self.inputs.mask)
        centres = voxel_centres(mask > 0, affine)
        runs = Gradients.read(self.inputs.gradients).runs
        # Two thousand points tell the mean displacement of a brain to a hundredth of itself.
        motion = motion_table(to_sources, centres[:: max(1, len(centres) // 2000)], runs)
        motion['outlier_slices'] = slices_by_volume(merged, len(motion))
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
        flags = unusual(row)
        row |= {'verdict': 'unusual' if flags else 'usual', 'flags': '; '.join(flags) or 'n/a'}
        self._results['out_file'] = str(
            files.format_table(pd.DataFrame([row]), Path(runtime.cwd) / 'qc.tsv')
        )
        self._results['motion'] = str(files.format_table(motion, Path(runtime.cwd) / 'motion.tsv'))
        self._results['metadata'] = {
            'Findings': [f for f in findings if f],
            'OutlierSlices': merged.get('outlier_list', []),
            'Engines': self._engines(merged),
            'Runs': [
                {**run, 'Scale': merged.get('run_scales', {}).get(str(run['Run']), 'n/a')}
                for run in merged.get('runs', [])
            ],
        }
        return runtime

    def _engines(self, merged: Metadata) -> dict[str, str]:
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


def motion_table(to_sources: FloatArray, points: FloatArray, runs: IntArray) -> pd.DataFrame:
    """Return run, translation, rotation and displacement of each volume as a table.

    Between the last volume of a run and the first of the next there is no framewise displacement.

    Parameters
    ----------
    to_sources : (n_volumes, 4, 4) ndarray
        Affine matrices from the reference to each volume, scanner RAS in mm.
    points : (n_points, 3) ndarray
        Voxels of the brain, scanner RAS in mm; rotations are about their mean.
    runs : (n_volumes,) array_like of int
        Run of each volume, from 0.

    Returns
    -------
    DataFrame
        ``run`` (from 1), ``trans_x`` to ``trans_z`` of the brain's centre (mm), ``rot_x`` to
        ``rot_z`` (rotation vector, degrees), ``framewise_displacement`` (mm) and ``displacement``
        (mean over the points, mm).
    """
    import pandas as pd
    from scipy.spatial.transform import Rotation

    centre = points.mean(axis=0)
    shift = np.array([apply_matrix(m, centre) - centre for m in to_sources])
    angles = Rotation.from_matrix(rotation_part(to_sources)).as_rotvec(degrees=True)
    table = pd.DataFrame(
        np.hstack([shift, angles]),
        columns=['trans_x', 'trans_y', 'trans_z', 'rot_x', 'rot_y', 'rot_z'],
    )
    table.insert(0, 'run', np.asarray(runs) + 1)
    table['framewise_displacement'] = framewise_displacement(to_sources, centre)
    table.loc[np.flatnonzero(np.diff(runs) != 0) + 1, 'framewise_displacement'] = np.nan
    table['displacement'] = displacement(to_sources, points)
    return table


def slices_by_volume(report: Mapping[str, Any], n_volumes: int) -> FloatArray:
    """Count the lost slices of each volume.

    Parameters
    ----------
    report : mapping
        With ``outlier_slices``, their number, and ``outlier_list``, pairs of slice and volume.
    n_volumes : int
        Of the series.

    Returns
    -------
    (n_volumes,) ndarray
        NaN where slices were not judged.

    Examples
    --------
    >>> slices_by_volume({'outlier_slices': 2, 'outlier_list': [[4, 1], [5, 1]]}, 3)
    array([0., 2., 0.])
    """
    if not np.isfinite(report.get('outlier_slices', np.nan)):
        return np.full(n_volumes, np.nan)
    volumes = [volume for _, volume in report.get('outlier_list', [])]
    return np.bincount(np.array(volumes, dtype=np.int64), minlength=n_volumes).astype(float)


def _nan_free(values: npt.ArrayLike, function: Callable[[FloatArray], np.floating]) -> float:
    """Apply a function to the finite values; NaN without any."""
    finite = np.asarray(values, dtype=float)
    finite = finite[np.isfinite(finite)]
    return float(function(finite)) if finite.size else float('nan')
