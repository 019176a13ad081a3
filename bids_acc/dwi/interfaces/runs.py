"""Nipype shell: runs of different phase encoding and brightness brought together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from nipype.interfaces.base import Bunch, File, SimpleInterface, TraitedSpec, traits

from bids_acc.dwi.interfaces.resampling import Chain, ChainInputSpec
from bids_acc.images import files, registration
from bids_acc.images.affines import apply_matrix, voxel_centres
from bids_acc.images.distortion import undistort
from bids_acc.images.motion import displacement
from bids_acc.images.resampling import sample
from bids_acc.typing import FloatArray, Volume

ROUNDS = 2
"""How often a group is aligned and undistorted in turn."""


class _PlaceRunsInputSpec(ChainInputSpec):
    references = File(exists=True, desc='mean b = 0 image of each group, distorted')
    mask = File(exists=True, mandatory=True, desc='brain in the undistorted reference')
    seed = traits.Int(1, usedefault=True, desc="seed of ANTs' sampling")


class _PlaceRunsOutputSpec(TraitedSpec):
    transforms = File(exists=True, desc='affine matrices, reference to volume')
    scales = File(exists=True, desc='factor of each volume that makes its run as bright as others')
    report = traits.Dict(desc='distance of the groups, brightness of the runs')


class PlaceRuns(SimpleInterface):
    """Find where each group of runs lies, and how bright each run is.

    The mean b = 0 image of each further group is undistorted along its own phase encoding and
    rigidly aligned with the undistorted reference. The brightness of each run is the median over
    the brain of its mean b = 0 image, relative to the reference's run.
    """

    input_spec = _PlaceRunsInputSpec
    output_spec = _PlaceRunsOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        chain = Chain(self.inputs)
        mask = files.read_image(self.inputs.mask)[0] > 0
        points = voxel_centres(mask, chain.affine)
        report: dict[str, Any] = {}
        places = self._places(chain)
        if len(places) > 1:
            chain.to_sources = chain.to_sources @ places[chain.gradients.groups]
            report['runs_apart'] = float(displacement(places[1:], points).max())
        report |= scale_runs(chain, points)
        for name, values in (('transforms', chain.to_sources), ('scales', chain.scales)):
            np.save(Path(runtime.cwd) / f'{name}.npy', values)
            self._results[name] = str(Path(runtime.cwd) / f'{name}.npy')
        self._results['report'] = report
        return runtime

    def _places(self, chain: Chain) -> FloatArray:
        """Return the affine matrix from the reference to each group's own reference."""
        n_groups = int(chain.gradients.groups.max()) + 1
        places = np.tile(np.eye(4), (n_groups, 1, 1))
        if n_groups == 1:
            return places
        images = files.read_image(self.inputs.references)[0]
        straight = self._undistorted(chain, images[..., 0], 0, np.eye(4))
        for group in range(1, n_groups):
            for _ in range(ROUNDS):
                moving = self._undistorted(chain, images[..., group], group, places[group])
                places[group] = registration.rigid(
                    straight, chain.affine, moving, chain.affine, initial=places[group],
                    sampling=1.0, seed=self.inputs.seed,
                )  # fmt: skip
        return places

    def _undistorted(
        self, chain: Chain, image: Volume, group: int, place: FloatArray
    ) -> FloatArray:
        """Undistort a group's image in its own place, to which the field moves with the head."""
        if chain.warp is None:
            return np.asarray(image)
        first = int(np.flatnonzero(chain.gradients.groups == group)[0])
        field, affine = chain.warp
        # the image stays where it is, and the field comes to where the head was
        there = voxel_centres(np.ones(image.shape, dtype=bool), chain.affine)
        own = sample(field, affine, apply_matrix(np.linalg.inv(place), there))
        shift = chain.gradients.ratios[first] * np.nan_to_num(own).reshape(image.shape)
        return undistort(image, shift, chain.affine, chain.gradients.phase_axes[first])


def scale_runs(chain: Chain, points: FloatArray) -> dict[str, object]:
    """Set the factors of a chain so that all its runs are equally bright where they hold b = 0.

    Parameters
    ----------
    chain : Chain
        Changed in place.
    points : (n_points, 3) ndarray
        Brain, in the reference.

    Returns
    -------
    dict
        ``run_scales`` by run, ``run_scale_max`` (largest factor or its inverse), and a finding.
    """
    runs = chain.gradients.runs
    numbers = list(dict.fromkeys(runs.tolist()))
    if len(numbers) == 1:
        return {}
    base = chain.shells.volume_bvalues == 0
    # only b = 0 is the same in every run: weighted volumes differ by their directions
    with_base = [n for n in numbers if (base & (runs == n)).any()]
    first = with_base[0] if with_base else numbers[0]
    means = {
        n: chain.signal(points, volumes=np.flatnonzero(base & (runs == n))).mean(axis=1)
        for n in with_base
    }
    scales = dict.fromkeys(numbers, 1.0)
    for number in with_base[1:]:
        known = (means[number] > 0) & (means[first] > 0)
        if known.any():
            # The median of ratios: prescans that scale one run anew change all voxels by one
            # factor, and motion or distortion at the edges only some.
            scales[number] = float(np.median(means[first][known] / means[number][known]))
    chain.scales = np.array([scales[n] for n in runs.tolist()])
    without = [str(n + 1) for n in numbers if n not in with_base]
    finding = ''
    if without:
        finding = (
            f'The brightness of run {", ".join(without)} could not be compared with that of the '
            'others, as it holds no b = 0 volume.'
        )
    return {
        'run_scales': {str(n + 1): scale for n, scale in scales.items()},
        'run_scale_max': max(max(s, 1 / s) for s in scales.values()),
        'scales_finding': finding,
    }
