"""Nipype shells: diffusion at the vertices of the cortex, and by region."""

from __future__ import annotations

from pathlib import Path

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

from bids_acc.dwi.interfaces.resampling import Chain, ChainInputSpec
from bids_acc.dwi.interfaces.tensor import MAP_NAMES
from bids_acc.dwi.noddi import NODDI_NAMES, combine_noddi
from bids_acc.dwi.noise_floor import isotropic_fa
from bids_acc.dwi.outliers import usable_weights
from bids_acc.dwi.tensor import N_PARAMETERS, fit_tensor, scalar_maps
from bids_acc.images import files
from bids_acc.images.affines import apply_matrix
from bids_acc.images.resampling import sample
from bids_acc.surfaces.atlases import DEFAULT_ATLAS, surface_labels, with_own
from bids_acc.surfaces.gifti import read_labels, read_surface, write_map
from bids_acc.surfaces.regions import Labels
from bids_acc.surfaces.ribbon import (
    HIGH_CSF,
    RIBBON,
    VertexValues,
    blur_to_resolution,
    combine_depths,
    region_rows,
    ribbon_points,
    tissue_shares,
)
from bids_acc.surfaces.template import DENSITIES
from bids_acc.typing import BoolArray, FloatArray


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


class _SampleSurfaceInputSpec(ChainInputSpec):
    white = File(exists=True, mandatory=True, desc='white surface, scanner RAS')
    pial = File(exists=True, mandatory=True, desc='pial surface, same vertices')
    tpms = InputMultiObject(File(exists=True), mandatory=True, desc='fractions of GM, WM, CSF')
    hemisphere = traits.Enum('L', 'R', mandatory=True, desc='which half')
    axes = File(exists=True, desc='matrix by which gradient directions were turned')
    outliers = File(exists=True, desc='acquired slices by volumes, whether they are outliers')
    labels = InputMultiObject(File(exists=True), desc='regions, left and right (label.gii)')
    own_atlas = traits.Str('', usedefault=True, desc='atlas of these; empty: DKT')
    atlases = traits.Tuple(usedefault=True, desc='atlases besides the shipped ones')
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
    csf = File(exists=True, desc='share of the sampled volume that is no brain tissue')
    white = File(exists=True, desc='share of the sampled volume that is white matter')
    fa_isotropic = File(exists=True, desc='FA that noise would make of isotropic tissue')
    report = traits.Dict(desc='coverage of this hemisphere')
    parcels = traits.List(traits.Dict(), desc='one row for each region of this hemisphere')


class SampleSurface(SimpleInterface):
    """Measure diffusion in the cortical ribbon, at every vertex."""

    input_spec = _SampleSurfaceInputSpec
    output_spec = _SampleSurfaceOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        chain = Chain(self.inputs)
        depths = RIBBON if self.inputs.depths == 'ribbon' else (0.5,)
        points = ribbon_points(
            read_surface(self.inputs.white)[0], read_surface(self.inputs.pial)[0], depths
        )
        maps, usable = self._tensor_maps(chain, points.reshape(-1, 3))
        grey, csf = self._shares(chain, points.reshape(-1, 3))
        maps['white'] = 1 - grey - csf
        shape = points.shape[:2]
        result = combine_depths(
            {name: values.reshape(shape) for name, values in maps.items()},
            usable.reshape(shape),
            grey.reshape(shape),
            csf.reshape(shape),
        )
        self._write(runtime, result)
        return runtime

    def _tensor_maps(
        self, chain: Chain, points: FloatArray
    ) -> tuple[dict[str, FloatArray], BoolArray]:
        """Fit a tensor at each point."""
        used = chain.shells.volume_bvalues <= self.inputs.b_max
        axes = np.load(self.inputs.axes) if isdefined(self.inputs.axes) else np.eye(3)
        signal = chain.signal(points)[:, used]
        weights = None
        if isdefined(self.inputs.outliers):
            lost = np.load(self.inputs.outliers)
            weights = usable_weights(lost, chain.slices(points))[:, used]
        scheme = chain.gradients.bvals[used], chain.directions()[used] @ axes.T
        fit = fit_tensor(signal, *scheme, method=self.inputs.method, weights=weights)
        maps = scalar_maps(fit)
        # Seven parameters were fitted: the root mean square of residuals is that much smaller than
        # the noise.
        noise = fit.residual * np.sqrt(len(scheme[0]) / max(len(scheme[0]) - N_PARAMETERS, 1))
        maps['fa_isotropic'] = isotropic_fa(maps['md'], noise, *scheme)
        seen = np.isfinite(signal).all(axis=1)
        return maps, seen & ~fit.non_positive & np.isfinite(fit.evals[:, 0])

    def _shares(self, chain: Chain, points: FloatArray) -> tuple[FloatArray, FloatArray]:
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
        maps = {**result.values, 'coverage': result.coverage, 'csf': result.csf}
        for name, values in maps.items():
            path = Path(runtime.cwd) / f'{name}_{side}.shape.gii'
            self._results[name] = str(write_map(path, values, side, name))
        seen = np.isfinite(result.csf)
        self._results['report'] = {
            f'coverage_{side}': float(np.mean(result.coverage > 0)),
            f'csf_{side}': float(np.median(result.csf[seen])) if seen.any() else float('nan'),
            f'csf_high_{side}': float(np.mean(result.csf[seen] > HIGH_CSF))
            if seen.any()
            else float('nan'),
        }
        self._results['parcels'] = []
        if isdefined(self.inputs.labels):
            codes, names = read_labels(self.inputs.labels['LR'.index(side)])
            own = Labels(self.inputs.own_atlas or DEFAULT_ATLAS, codes, names)
            density = next((d for d, n in DENSITIES.items() if n == len(codes)), '')
            others = surface_labels(side, density, self.inputs.atlases) if density else []
            rows = [row for labels in with_own(others, own) for row in region_rows(labels, result)]
            self._results['parcels'] = [{'hemisphere': side, **row} for row in rows]


class _SampleMapsInputSpec(BaseInterfaceInputSpec):
    maps = InputMultiObject(File(exists=True), mandatory=True, desc='icvf, isovf and od')
    transform = File(exists=True, mandatory=True, desc='affine matrix, T1w to maps')
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
        white, pial = (read_surface(p)[0] for p in (self.inputs.white, self.inputs.pial))
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
            self._results[name] = str(write_map(path, result, side, name))
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

        columns = ['atlas', 'hemisphere', 'region', 'n_vertices', 'coverage', 'csf', 'white',
                   *MAP_NAMES, 'fa_isotropic']  # fmt: skip
        frame = pd.DataFrame(list(self.inputs.rows), columns=columns)
        self._results['out_file'] = str(
            files.format_table(frame, Path(runtime.cwd) / 'regions.tsv')
        )
        return runtime
