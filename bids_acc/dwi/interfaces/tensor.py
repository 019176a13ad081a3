"""Nipype shell: the tensor in the voxels of the brain."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    Bunch,
    File,
    SimpleInterface,
    TraitedSpec,
    traits,
)

from bids_acc.dwi import outliers, quality
from bids_acc.dwi.coherence import AxisCheck, check_axes
from bids_acc.dwi.gradients import Gradients
from bids_acc.dwi.order import check_order
from bids_acc.dwi.shells import Shells, bvecs_from_scanner, find_shells
from bids_acc.dwi.tensor import TensorFit, check_decay, fit_tensor, scalar_maps
from bids_acc.images import files
from bids_acc.typing import BoolArray, FloatArray, Volume

MAP_NAMES = ('fa', 'md', 'ad', 'rd', 'mo')
"""Invariants that are written."""


class _FitTensorInputSpec(BaseInterfaceInputSpec):
    in_file = File(exists=True, mandatory=True, desc='corrected series')
    mask = File(exists=True, mandatory=True, desc='brain')
    gradients = File(exists=True, mandatory=True, desc='gradient table, scanner coordinates')
    method = traits.Enum('iwls', 'wls', 'ols', usedefault=True, desc='weights')
    b_max = traits.Float(1500.0, usedefault=True, desc='largest b-value used, s/mm2')
    fix_axes = traits.Bool(False, usedefault=True, desc='use the more coherent gradient axes')
    slices = File(
        exists=True, mandatory=True, desc='place of each brain voxel in each volume, in slices'
    )
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
    bvec = File(exists=True, desc='directions as they were used, FSL convention')
    outliers = File(exists=True, desc='acquired slices by volumes, whether they are outliers')
    report = traits.Dict(desc='quality of the aligned series and of the fit')


class FitTensor(SimpleInterface):
    """Estimate the diffusion tensor and its invariants in the brain."""

    input_spec = _FitTensorInputSpec
    output_spec = _FitTensorOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        data, affine = files.read_image(self.inputs.in_file)
        mask = files.read_image(self.inputs.mask)[0] > 0
        gradients = Gradients.read(self.inputs.gradients)
        shells = find_shells(gradients.bvals)
        used = shells.volume_bvalues <= self.inputs.b_max
        signal = data[mask]
        places = np.load(self.inputs.slices)
        judged, predicted = outliers.find_outliers(
            signal, np.rint(places), shells, gradients.directions
        )
        weights = outliers.usable_weights(judged.outlier, places)
        np.save(Path(runtime.cwd) / 'outliers.npy', judged.outlier)
        self._results['outliers'] = str(Path(runtime.cwd) / 'outliers.npy')

        fit = self._fit(signal, gradients, gradients.directions, used, weights)
        check_decay(fit)
        check = check_axes(
            _unmask(fit.evecs[:, :, 0], mask), _unmask(scalar_maps(fit)['fa'], mask), affine
        )
        axes = check.matrix if self.inputs.fix_axes and check.suspicious else np.eye(3)
        if not np.array_equal(axes, np.eye(3)):
            fit = self._fit(signal, gradients, gradients.directions @ axes.T, used, weights)
        np.save(Path(runtime.cwd) / 'axes.npy', axes)
        self._results['axes'] = str(Path(runtime.cwd) / 'axes.npy')
        self._results['bvec'] = str(Path(runtime.cwd) / 'dwi.bvec')
        turned = bvecs_from_scanner(gradients.directions @ axes.T, affine)
        np.savetxt(self._results['bvec'], turned.T + 0.0, fmt='%.6f')
        self._results['report'] = {
            **_series_measures(signal, predicted, gradients, shells, judged),
            **_fit_measures(fit, check, fixed=not np.array_equal(axes, np.eye(3))),
            **_order_measures(signal[:, used], gradients.of(used)),
            'brain_seen': float(self.inputs.seen),
        }
        self._write(runtime, fit, mask, affine)
        return runtime

    def _fit(
        self,
        signal: Volume,
        gradients: Gradients,
        directions: FloatArray,
        used: BoolArray,
        weights: BoolArray,
    ) -> TensorFit:
        """Fit with the chosen shells."""
        return fit_tensor(
            signal[:, used],
            gradients.bvals[used],
            directions[used],
            method=self.inputs.method,
            weights=weights[:, used],
        )

    def _write(self, runtime: Bunch, fit: TensorFit, mask: BoolArray, affine: FloatArray) -> None:
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


def _unmask(values: FloatArray, mask: BoolArray) -> FloatArray:
    """Put voxel values back into a volume, NaN elsewhere."""
    volume = np.full((*mask.shape, *values.shape[1:]), np.nan, dtype=np.float32)
    volume[mask] = values
    return volume


def _series_measures(
    signal: Volume,
    predicted: Volume,
    gradients: Gradients,
    shells: Shells,
    judged: outliers.SliceReport,
) -> dict[str, object]:
    """Quality of the aligned series."""
    known = np.isfinite(judged.deviation)
    share = 100 * judged.outlier.sum() / known.sum() if known.any() else float('nan')
    cnr = quality.shell_cnr(signal, predicted, shells)
    snr = quality.shell_snr(signal, predicted, shells)
    return {
        'outlier_slices': int(judged.outlier.sum()) if known.any() else float('nan'),
        'outlier_slices_pct': float(share),
        'outlier_list': [[int(s), int(v)] for s, v in np.argwhere(judged.outlier)],
        'volumes_finding': _unlike_finding(judged.deviation),
        'snr_b0': quality.b0_snr(signal, shells),
        **{f'snr_b{b}': value for b, value in snr.items()},
        **{f'cnr_b{b}': value for b, value in cnr.items()},
        'neighbour_corr': quality.neighbour_correlation(
            signal, gradients.bvals, gradients.directions
        ),
    }


def _unlike_finding(deviation: FloatArray) -> str:
    """Name the volumes that were left out as a whole; empty without any."""
    unlike = np.flatnonzero(outliers.unlike_volumes(deviation))
    if not unlike.size:
        return ''
    listed = ', '.join(map(str, unlike[:8])) + (' ...' if unlike.size > 8 else '')
    return (
        f'Volumes {listed} of the corrected series ({unlike.size} of {deviation.shape[1]}) are '
        'unlike what the others predict in most of their slices, as with another head, strong '
        'motion or lost slices: they have no weight in the tensor.'
    )


def _order_measures(signal: Volume, gradients: Gradients) -> dict[str, float | str]:
    """Whether the directions lie beside the right volumes."""
    order = check_order(signal, gradients.bvals, gradients.directions, gradients.runs)
    return {'order_gain': order.gain, 'order_finding': order.sentence()}


def _fit_measures(
    fit: TensorFit, check: AxisCheck, *, fixed: bool
) -> dict[str, float | bool | str]:
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
        'axes_fixed': fixed,
        'axes_finding': check.sentence(fixed=fixed),
    }
