"""Several runs of a T1w image averaged after rigid alignment, as formulas and as Nipype shell."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    Bunch,
    File,
    InputMultiObject,
    SimpleInterface,
    TraitedSpec,
    traits,
)

from bids_acc.anat.interfaces import load_t1w, save_volume
from bids_acc.images.affines import apply_matrix, voxel_centres
from bids_acc.images.motion import displacement
from bids_acc.images.registration import rigid
from bids_acc.images.resampling import sample
from bids_acc.typing import FloatArray

MIN_CORRELATION = 0.8
"""A run that resembles the first less, where the first is bright, shows something else (another
head, a failed alignment) and is left out. Two runs of one head correlate above .9."""


def average_runs(
    runs: Sequence[tuple[npt.ArrayLike, npt.ArrayLike]], seed: int = 1
) -> tuple[FloatArray, list[dict[str, float]]]:
    """Average images of one head on the grid of the first.

    Each further run is aligned rigidly, resampled linearly and made as bright as the first (ratio
    of medians where both are bright), so that no run counts more than another.

    Parameters
    ----------
    runs : sequence of (array, affine)
        (i, j, k) images with their affines to scanner RAS, mm.
    seed : int
        Of the registration's sampling.

    Returns
    -------
    mean : (i, j, k) ndarray
        Where a run shows nothing, the mean of the others.
    reports : list of dict
        For each further run ``displacement_mm`` (mean distance over the head), ``correlation``
        with the first, and ``used`` (1 or 0).
    """
    first, affine = np.asarray(runs[0][0], dtype=float), np.asarray(runs[0][1], dtype=float)
    centres = voxel_centres(np.ones(first.shape, dtype=bool), affine)
    # Air fills most of an image of a head: its mean lies between air and tissue.
    head = first > first.mean()
    total, count = first.copy(), np.ones(first.shape)
    reports = []
    for values, own in runs[1:]:
        moving, grid = np.asarray(values, dtype=float), np.asarray(own, dtype=float)
        to_source = rigid(first, affine, moving, grid, seed=seed)
        placed = sample(moving, grid, apply_matrix(to_source, centres)).reshape(first.shape)
        seen = np.isfinite(placed)
        both = head & seen
        alike = _correlation(first[both], placed[both])
        used = alike >= MIN_CORRELATION
        apart = displacement(to_source[None], voxel_centres(head, affine)[::97])[0]
        reports.append({
            'displacement_mm': float(apart), 'correlation': alike, 'used': float(used),
        })  # fmt: skip
        if used:
            factor = np.median(first[both]) / np.median(placed[both])
            total[seen] += factor * placed[seen]
            count[seen] += 1
    return total / count, reports


def _correlation(first: FloatArray, second: FloatArray) -> float:
    """Correlate two images; 0 where either is flat or there is too little to compare."""
    if first.size < 100 or not first.std() > 0 or not second.std() > 0:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])


class _AverageT1wInputSpec(BaseInterfaceInputSpec):
    t1w_file = File(exists=True, mandatory=True, desc='the run whose grid is kept')
    further_files = InputMultiObject(File(exists=True), mandatory=True, desc='further runs')
    metadata = traits.Dict(usedefault=True, desc='what the sidecar says besides')
    seed = traits.Int(1, usedefault=True, desc='seed of the registration')


class _AverageT1wOutputSpec(TraitedSpec):
    out_file = File(exists=True, desc='mean image')
    metadata = traits.Dict(desc='what was averaged, for the sidecar')


class AverageT1w(SimpleInterface):
    """Average the runs of a T1w image."""

    input_spec = _AverageT1wInputSpec
    output_spec = _AverageT1wOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        paths = [self.inputs.t1w_file, *self.inputs.further_files]
        runs = [load_t1w(path)[:2] for path in paths]
        mean, reports = average_runs(runs, seed=self.inputs.seed)
        self._results['out_file'] = save_volume(
            Path(runtime.cwd) / 'average.nii.gz', mean, runs[0][1]
        )
        self._results['metadata'] = {
            **self.inputs.metadata, 'AveragedRuns': _described(paths, reports),
        }  # fmt: skip
        return runtime


def _described(
    paths: Sequence[str], reports: Sequence[dict[str, float]]
) -> list[dict[str, str | float]]:
    """List the runs for the sidecar."""
    rows: list[dict[str, Any]] = [{'Name': Path(paths[0]).name, 'Used': True}]
    for path, report in zip(paths[1:], reports, strict=True):
        rows.append({
            'Name': Path(path).name,
            'Used': bool(report['used']),
            'DisplacementMillimetres': round(report['displacement_mm'], 3),
            'CorrelationWithFirst': round(report['correlation'], 4),
        })  # fmt: skip
    return rows
