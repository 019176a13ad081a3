"""Nipype shells: magnetization transfer images aligned, their ratio mapped, sampled and judged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
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

from bids_acc.exceptions import ComputationError
from bids_acc.images import files
from bids_acc.images.affines import apply_matrix, voxel_centres
from bids_acc.images.ants_bridge import write_matrix
from bids_acc.images.frames import Frame, places_within
from bids_acc.images.masks import brain_mask
from bids_acc.images.motion import displacement
from bids_acc.images.registration import centre_shift, rigid
from bids_acc.images.resampling import sample
from bids_acc.images.template_space import template_coordinates
from bids_acc.mtr.ratio import (
    noise_sd,
    tissue_figures,
    transfer_ratio,
    unusual,
)
from bids_acc.mtr.regions import label_row
from bids_acc.surfaces.atlases import (
    DEFAULT_ATLAS,
    VolumeAtlas,
    cerebra,
    load_atlas,
    load_tract_atlas,
    surface_labels,
    with_own,
)
from bids_acc.surfaces.gifti import read_labels, read_surface, write_map
from bids_acc.surfaces.regions import Labels
from bids_acc.surfaces.ribbon import (
    RIBBON,
    VertexValues,
    blur_to_resolution,
    combine_depths,
    region_rows,
    ribbon_points,
    tissue_shares,
)
from bids_acc.surfaces.template import HEMISPHERES
from bids_acc.typing import BoolArray, FloatArray, Row, SingleArray, Volume

COLUMNS = ('atlas', 'hemisphere', 'region', 'method', 'n_vertices', 'n_effective', 'coverage',
           'csf', 'white', 'mtr', 'mtr_gm', 'mtr_wm')  # fmt: skip
HALF = 0.5
"""Share of known voxels around a point above which a ready map is known there."""


class _AlignInputSpec(BaseInterfaceInputSpec):
    images = InputMultiObject(
        File(exists=True), mandatory=True, desc='with and without saturation, or a ready map'
    )
    t1w_preproc = File(exists=True, mandatory=True, desc='brain of the T1w image')
    t1w_mask = File(exists=True, mandatory=True, desc='its mask')
    seed = traits.Int(1, usedefault=True, desc="seed of ANTs' sampling")


class _AlignOutputSpec(TraitedSpec):
    transforms = traits.List(File(exists=True), desc='affine matrix, T1w to each image')
    itk_transform = File(exists=True, desc='last image to T1w, for ANTs')
    report = traits.Dict(desc='noise and how the images came to lie on each other')


class AlignTransfer(SimpleInterface):
    """Align the images with the T1w image and with each other: rigid, mutual information.

    The image without saturation, whose contrast is nearer, is registered to the T1w image; the
    other one to it.
    """

    input_spec = _AlignInputSpec
    output_spec = _AlignOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        images = [files.read_image(path, foreign=True) for path in self.inputs.images]
        images = [(np.nan_to_num(np.squeeze(values)), affine) for values, affine in images]
        t1w, grid = files.read_image(self.inputs.t1w_preproc)
        brain = files.read_image(self.inputs.t1w_mask)[0] > 0
        # the image without saturation, which has more signal, or the ready map
        values, affine = images[-1]
        if len(images) == 1:
            # A ready map divides noise by noise in the air: single voxels of thousands would rule
            # the registration.
            values = np.clip(values, 0, np.percentile(values, 99.5))
        to_image = self._to_t1w(values, affine, t1w, grid, brain)
        inside = moved_mask(brain, grid, np.asarray(np.linalg.inv(to_image)), affine, values.shape)
        if not inside.any():
            raise ComputationError(
                f'{self.inputs.images[-1]} and the T1w image do not overlap after alignment; '
                'check the affines in their headers.'
            )
        matrices, report = [to_image], {'resolution_mm': resolution(affine)}
        if len(images) == 2:
            between, figures = self._to_each_other(images, inside)
            sd = noise_sd(values, inside)
            level = float(np.median(values[inside]))
            figures |= {'noise_sd': sd, 'snr_off': level / sd if sd > 0 else np.nan}
            matrices, report = [between @ to_image, to_image], report | figures
        out = Path(runtime.cwd)
        paths = [out / f'image{n}_from_t1w.npy' for n in range(len(matrices))]
        for path, matrix in zip(paths, matrices, strict=True):
            np.save(path, matrix)
        write_matrix(to_image, out / 'mtr_to_t1w.txt')
        self._results = {
            'transforms': [str(path) for path in paths], 'report': report,
            'itk_transform': str(out / 'mtr_to_t1w.txt'),
        }  # fmt: skip
        return runtime

    def _to_t1w(
        self, values: Volume, affine: FloatArray, t1w: Volume, grid: FloatArray, brain: BoolArray
    ) -> FloatArray:
        """Return the matrix from the T1w image to another.

        The brain of the T1w image is compared with the whole head; where scanner coordinates are
        far off, the centres of both brains give the start.
        """
        start = np.eye(4)
        try:
            own = brain_mask(values, voxel_sizes(affine), 'the image')
            start = centre_shift(brain, grid, own, affine)
        except ComputationError:  # no brain was told apart: the scanner's coordinates are trusted
            pass
        return rigid(
            np.where(brain, t1w, 0), grid, values, affine, fixed_mask=brain, initial=start,
            seed=self.inputs.seed,
        )  # fmt: skip

    def _to_each_other(
        self, images: Sequence[tuple[Volume, FloatArray]], inside: BoolArray
    ) -> tuple[FloatArray, dict[str, float]]:
        """Register the pair both ways; how far there and back misses tells of the error."""
        (on, on_grid), (off, off_grid) = images
        there = rigid(
            off, off_grid, on, on_grid, fixed_mask=inside, sampling=0.5, seed=self.inputs.seed + 1
        )
        inverse = np.asarray(np.linalg.inv(there))
        on_inside = moved_mask(inside, off_grid, inverse, on_grid, on.shape)
        back = rigid(
            on, on_grid, off, off_grid, fixed_mask=on_inside, sampling=0.5,
            initial=inverse, seed=self.inputs.seed + 2,
        )  # fmt: skip
        centres = voxel_centres(inside, off_grid)
        return there, {
            'on_off_moved': float(displacement([there], centres)[0]),
            'on_off_gap': float(displacement([back @ there], centres)[0]),
        }


def resolution(affine: FloatArray) -> float:
    """Return the nominal resolution: the edge of a cube of a voxel's volume.

    Parameters
    ----------
    affine : (4, 4) ndarray
        Voxel to scanner RAS in mm.

    Returns
    -------
    float
        mm.
    """
    return float(np.cbrt(voxel_sizes(affine).prod()))


def moved_mask(
    mask: BoolArray,
    grid: FloatArray,
    matrix: FloatArray,
    affine: FloatArray,
    shape: tuple[int, ...],
) -> BoolArray:
    """Resample a mask onto the grid of another image, linearly.

    Parameters
    ----------
    mask : (i, j, k) ndarray of bool
        To be resampled.
    grid : (4, 4) ndarray
        Its voxels to scanner RAS in mm.
    matrix : (4, 4) ndarray
        From points of the other image to those of the mask (target to source), mm.
    affine : (4, 4) ndarray
        Voxels of the other image to scanner RAS in mm.
    shape : tuple of three int
        Voxels of the other image.

    Returns
    -------
    ndarray of bool
        Of ``shape``: where more than half is mask; False outside the mask's field of view.
    """
    points = apply_matrix(matrix @ affine, np.indices(shape).reshape(3, -1).T)
    return np.asarray(sample(mask.astype(np.float32), grid, points) > HALF).reshape(shape)


class _SignalsInputSpec(BaseInterfaceInputSpec):
    images = InputMultiObject(
        File(exists=True), mandatory=True, desc='with and without saturation, or a ready map'
    )
    transforms = InputMultiObject(File(exists=True), mandatory=True, desc='T1w to each image')
    report = traits.Dict(mandatory=True, desc='with the noise')
    factor = traits.Float(1.0, usedefault=True, desc='what makes per cent of a ready map')
    noise_floor = traits.Float(5.0, usedefault=True, desc='multiple of the noise')


class Signals:
    """What saturation took away, and what there was without it, at points in T1w space.

    A ready map is a difference from a signal of one.
    """

    def __init__(self, inputs: _SignalsInputSpec) -> None:
        self.floor = 0.0
        read = [files.read_image(path) for path in inputs.images]
        self.images = [(np.squeeze(values), affine) for values, affine in read]
        self.affine = self.images[-1][1]
        self.matrices = [np.load(path) for path in inputs.transforms]
        if len(self.images) == 1:
            values = self.images[0][0] * inputs.factor / 100
            # maps hold zero outside of the brain, which would be averaged in at its border
            known = np.isfinite(values) & (values != 0)
            self.images = [(np.where(known, v, 0).astype(np.float32), self.affine)
                           for v in (values, np.ones_like(values))]  # fmt: skip
            # a map is treated as a pair, its second image the share of known voxels: one code for
            # both
            self.matrices, self.floor = self.matrices * 2, HALF
            self.ready = True
        else:
            self.ready = False
            sd = inputs.report.get('noise_sd', np.nan)
            self.floor = inputs.noise_floor * sd if np.isfinite(sd) else 0.0

    def at(self, points: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return difference and signal at points; NaN where the signal is noise or unknown.

        Parameters
        ----------
        points : (n, 3) ndarray
            Scanner RAS of the T1w image, mm.

        Returns
        -------
        difference, signal : (n,) ndarray
            Signal lost by saturation, and signal without it, in the unit of the images; NaN in
            both where either is unknown or the latter is below the noise floor.
        """
        first, base = (
            sample(values, affine, apply_matrix(matrix, points))
            for (values, affine), matrix in zip(self.images, self.matrices, strict=True)
        )
        with np.errstate(invalid='ignore', divide='ignore'):
            known = np.isfinite(first) & (base > self.floor)
            # of a ready map base is the share of what is known around the point
            difference, signal = (
                (first / base, base / base) if self.ready else (base - first, base)
            )
        return np.where(known, difference, np.nan), np.where(known, signal, np.nan)


def percent(difference: npt.ArrayLike, base: npt.ArrayLike) -> FloatArray:
    """Return the magnetization transfer ratio of a lost and a whole signal.

    Parameters
    ----------
    difference, base : (n,) ndarray or float
        As of `Signals.at`.

    Returns
    -------
    (n,) ndarray
        Per cent; see `transfer_ratio`.
    """
    return transfer_ratio(np.asarray(base) - np.asarray(difference), base)


class _MapInputSpec(_SignalsInputSpec):
    t1w_preproc = File(exists=True, mandatory=True, desc='grid of the map')
    t1w_mask = File(exists=True, mandatory=True, desc='brain')
    tpms = InputMultiObject(File(exists=True), mandatory=True, desc='GM, WM and CSF')
    template_to_t1w_xfm = InputMultiObject(File(exists=True), mandatory=True, desc='for images')
    atlases = traits.Tuple(usedefault=True, desc='atlases besides the shipped ones')
    tract_atlas = traits.Str('', usedefault=True, desc='atlas of tracts')


class _MapOutputSpec(TraitedSpec):
    out_file = File(exists=True, desc='map on the grid of the T1w image, per cent')
    rows = traits.List(traits.Dict(), desc='one for each label')
    figures = traits.Dict(desc='ratio by tissue')


class MapTransfer(SimpleInterface):
    """Map the ratio in the brain, and measure it in labels of volumes."""

    input_spec = _MapInputSpec
    output_spec = _MapOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        mask, grid = files.read_image(self.inputs.t1w_mask)
        inside = mask > 0
        signals = Signals(self.inputs)
        difference, base = signals.at(voxel_centres(inside, grid))
        mtr = percent(difference, base)
        values = np.full(mask.shape, np.nan, dtype=np.float32)
        values[inside] = mtr
        path = Path(runtime.cwd) / 'mtr.nii.gz'
        self._results['out_file'] = str(files.write_image(values, grid, path))
        tissues = [files.read_image(p)[0] for p in self.inputs.tpms]
        self._results['figures'] = {
            **tissue_figures(mtr, *(tissue[inside] for tissue in tissues)),
            'measured_share': float(np.isfinite(mtr).mean()) if mtr.size else np.nan,
        }
        places = template_coordinates(mask.shape, grid, self.inputs.template_to_t1w_xfm)[inside]
        edge = resolution(signals.affine)
        blurred = (blur_to_resolution(tissues[0], grid, edge)[inside],
                   blur_to_resolution(tissues[1], grid, edge)[inside])  # fmt: skip
        self._results['rows'] = [
            row for atlas in self._atlases()
            for row in atlas_rows(
                atlas, places, difference, base, blurred, (resolution(grid) / edge) ** 3
            )
        ]  # fmt: skip
        return runtime

    def _atlases(self) -> list[VolumeAtlas]:
        """Return the atlases of volumes, each once."""
        asked = [a for a in map(load_atlas, self.inputs.atlases) if isinstance(a, VolumeAtlas)]
        if self.inputs.tract_atlas:
            asked.append(load_tract_atlas(self.inputs.tract_atlas))
        return list({atlas.name: atlas for atlas in (cerebra(), *asked)}.values())


def atlas_rows(
    atlas: VolumeAtlas,
    places: Volume,
    difference: FloatArray,
    base: FloatArray,
    tissues: tuple[Volume, Volume],
    voxels: float,
) -> list[Row]:
    """Measure the labels of an atlas; see `label_row`.

    Parameters
    ----------
    atlas : VolumeAtlas
    places : (n, 3) ndarray
        Of the voxels in the template, mm; NaN outside of it.
    difference, base : (n,) ndarray
    tissues : tuple of (n,) ndarray
    voxels : float
    """
    rows: list[Row] = []
    known = np.isfinite(places[:, 0])
    for code, (name, side) in atlas.regions.items():
        one = atlas.data[..., code] if atlas.data.ndim == 4 else atlas.data == code
        near = known & _near(np.asarray(one > 0), atlas.affine, places)
        share = np.nan_to_num(sample(one.astype(np.float32), atlas.affine, places[near]))
        own = label_row(
            share, difference[near], base[near], (tissues[0][near], tissues[1][near]), voxels
        )
        rows.append({'atlas': atlas.name, 'region': name, 'hemisphere': side or 'both',
                     'method': 'label', **own})  # fmt: skip
    return rows


def _near(inside: BoolArray, affine: FloatArray, places: Volume) -> BoolArray:
    """Tell which places lie in the box around a label, so that few are interpolated."""
    index = np.argwhere(inside)
    if not len(index):
        return np.zeros(len(places), dtype=bool)
    ends = np.array([index.min(axis=0) - 1, index.max(axis=0) + 1])
    corners = np.array([[ends[i, 0], ends[j, 1], ends[k, 2]]
                        for i in (0, 1) for j in (0, 1) for k in (0, 1)])  # fmt: skip
    where = apply_matrix(affine, corners)
    with np.errstate(invalid='ignore'):
        return np.asarray(((places >= where.min(axis=0)) & (places <= where.max(axis=0))).all(1))


class _SampleInputSpec(_SignalsInputSpec):
    white = InputMultiObject(File(exists=True), mandatory=True, desc='left and right')
    pial = InputMultiObject(File(exists=True), mandatory=True, desc='left and right')
    parcellation = InputMultiObject(File(exists=True), desc='labels, left and right')
    tpms = InputMultiObject(File(exists=True), mandatory=True, desc='GM, WM and CSF')
    density = traits.Enum(
        '41k', '10k', '', usedefault=True,
        desc='of the template mesh; empty for another one, whose regions are not measured',
    )  # fmt: skip
    own_atlas = traits.Str('', usedefault=True, desc='atlas of the labels; empty: DKT')
    atlases = traits.Tuple(usedefault=True, desc='atlases besides the shipped ones')


class _SampleOutputSpec(TraitedSpec):
    mtr = traits.List(File(exists=True), desc='ratio, left and right')
    coverage = traits.List(File(exists=True), desc='fraction of the depths with a value')
    csf = traits.List(File(exists=True), desc='share of what is no brain tissue')
    white_share = traits.List(File(exists=True), desc='share of white matter')
    rows = traits.List(traits.Dict(), desc='one for each region')
    figures = traits.Dict(desc='coverage and share of CSF of each side')


class SampleTransfer(SimpleInterface):
    """Measure the ratio in the cortical ribbon, at every vertex and by region."""

    input_spec = _SampleInputSpec
    output_spec = _SampleOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        signals = Signals(self.inputs)
        tissues, grid = [], np.eye(4)
        for path in self.inputs.tpms[:2]:
            values, grid = files.read_image(path)
            tissues.append(blur_to_resolution(values, grid, resolution(signals.affine)))
        kept: dict[str, list[str]] = {n: [] for n in ('mtr', 'coverage', 'csf', 'white_share')}
        rows, figures = [], {}
        for index, side in enumerate(HEMISPHERES):
            found = self._side(index, signals, tissues, grid)
            mtr = percent(found.values['difference'], found.values['base'])
            maps = {'mtr': mtr, 'coverage': found.coverage, 'csf': found.csf,
                    'white_share': found.values['white']}  # fmt: skip
            for name, at_vertices in maps.items():
                path = Path(runtime.cwd) / f'{name}_{side}.shape.gii'
                kept[name].append(str(write_map(path, at_vertices, side, name)))
            rows += [_surface_row(row, side) for labels in self._labels(index, side)
                     for row in region_rows(labels, found)]  # fmt: skip
            seen = found.csf[np.isfinite(found.csf)]
            figures[f'coverage_{side}'] = float(np.mean(found.coverage > 0))
            figures[f'csf_{side}'] = float(np.median(seen)) if seen.size else np.nan
        self._results = {**kept, 'rows': rows, 'figures': figures}
        return runtime

    def _side(
        self, index: int, signals: Signals, tissues: list[SingleArray], grid: FloatArray
    ) -> VertexValues:
        """Sample one hemisphere."""
        white, pial = (read_surface(p[index])[0] for p in (self.inputs.white, self.inputs.pial))
        points = ribbon_points(white, pial, RIBBON)
        shape, flat = points.shape[:2], points.reshape(-1, 3)
        difference, base = signals.at(flat)
        grey, csf = tissue_shares(flat, tissues[0], tissues[1], grid)
        # Difference and signal are averaged apart and divided last, as the ratio of sums.
        maps = {'difference': difference, 'base': base, 'white': 1 - grey - csf}
        return combine_depths(
            {name: values.reshape(shape) for name, values in maps.items()},
            np.isfinite(base).reshape(shape), grey.reshape(shape), csf.reshape(shape),
        )  # fmt: skip

    def _labels(self, index: int, side: str) -> list[Labels]:
        """Return the atlases at the vertices of a hemisphere, the subject's own in their place."""
        if not self.inputs.density:
            return []
        known = surface_labels(side, self.inputs.density, self.inputs.atlases)
        if not isdefined(self.inputs.parcellation):
            return known
        name = self.inputs.own_atlas or DEFAULT_ATLAS
        own = Labels(name, *read_labels(self.inputs.parcellation[index]))
        return with_own(known, own)


def _surface_row(row: Row, side: str) -> Row:
    """Turn the mean signals of a region into its ratio."""
    plain = {k: v for k, v in row.items() if k not in ('difference', 'base')}
    ratio = float(percent(float(row['difference']), float(row['base'])))
    return {**plain, 'hemisphere': side, 'method': 'surface', 'mtr': ratio}


class _TabulateInputSpec(BaseInterfaceInputSpec):
    surface_rows = traits.List(traits.Dict(), mandatory=True, desc='regions of the mesh')
    label_rows = traits.List(traits.Dict(), mandatory=True, desc='labels of volumes')
    report = traits.Dict(mandatory=True, desc='noise and alignment')
    tissue = traits.Dict(mandatory=True, desc='ratio by tissue')
    coverage = traits.Dict(mandatory=True, desc='of each side')
    source = traits.Enum('pair', 'map', mandatory=True, desc='what the ratio was taken from')


class _TabulateOutputSpec(TraitedSpec):
    regions = File(exists=True, desc='table of regions')
    qc = File(exists=True, desc='table of quality, one row')


class TabulateTransfer(SimpleInterface):
    """Write the tables of regions and of quality, and say what is unusual."""

    input_spec = _TabulateInputSpec
    output_spec = _TabulateOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        rows = [*self.inputs.surface_rows, *self.inputs.label_rows]
        out = Path(runtime.cwd)
        frame = pd.DataFrame(rows, columns=list(COLUMNS))
        self._results['regions'] = str(files.format_table(frame, out / 'regions.tsv'))
        source = self.inputs.source
        figures: dict[str, Any] = {
            'source': source, **self.inputs.report, **self.inputs.tissue, **self.inputs.coverage,
        }  # fmt: skip
        flags = unusual(figures, is_map=source == 'map')
        names = ['source', 'resolution_mm', 'noise_sd', 'snr_off', 'on_off_moved', 'on_off_gap',
                 'mtr_gm', 'mtr_wm', 'mtr_csf', 'mtr_wm_gm', 'negative_share', 'measured_share',
                 'coverage_L', 'coverage_R', 'csf_L', 'csf_R']  # fmt: skip
        row = {name: figures.get(name, np.nan) for name in names}
        row |= {'verdict': 'unusual' if flags else 'usual', 'flags': '; '.join(flags) or 'n/a'}
        self._results['qc'] = str(files.format_table(pd.DataFrame([row]), out / 'qc.tsv'))
        return runtime


class _PlotInputSpec(BaseInterfaceInputSpec):
    in_file = File(exists=True, mandatory=True, desc='map on the grid of the T1w image')
    t1w_preproc = File(exists=True, mandatory=True, desc='brain of the T1w image')
    tpms = InputMultiObject(File(exists=True), mandatory=True, desc='GM, WM and CSF')


class _PlotOutputSpec(TraitedSpec):
    out_file = File(exists=True, desc='map and T1w image at the same places')


class PlotTransfer(SimpleInterface):
    """Draw the map and the T1w image at the same places, with borders of tissue."""

    input_spec = _PlotInputSpec
    output_spec = _PlotOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        from bids_acc.report.figures import save_figure
        from bids_acc.report.frame_figures import two_frames

        mtr, grid = files.read_image(self.inputs.in_file)
        t1w, t1w_grid = files.read_image(self.inputs.t1w_preproc)
        grey, white = (files.read_image(path)[0] for path in self.inputs.tpms[:2])
        brain = grey + white
        figure = two_frames(
            Frame('magnetization transfer ratio', np.maximum(np.nan_to_num(mtr), 0), grid),
            Frame('T1w image', t1w, t1w_grid),
            places_within(brain, grid),
            [(white, grid, '#e03a3e'), (brain, grid, '#e8b000')],
        )
        self._results['out_file'] = str(save_figure(figure, Path(runtime.cwd) / 'mtr.png'))
        return runtime
