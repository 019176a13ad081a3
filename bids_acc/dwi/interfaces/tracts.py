"""Nipype shells: tracts measured over an atlas, or taken from the tables of other tools."""

from __future__ import annotations

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
    traits,
)

from bids_acc.dwi.tract_tables import combine, read_tracts
from bids_acc.exceptions import GridMismatchError
from bids_acc.images import files
from bids_acc.images.affines import apply_matrix
from bids_acc.images.resampling import sample
from bids_acc.images.template_space import template_coordinates
from bids_acc.surfaces.atlases import VolumeAtlas, load_tract_atlas
from bids_acc.surfaces.ribbon import blur_to_resolution
from bids_acc.typing import FloatArray, Row

TRACT_MAPS = ('fa', 'md', 'ad', 'rd', 'mo')
"""Maps of which means are taken."""
MIN_EFFECTIVE = 20.0
"""Voxels (sum of the label's shares) below which a tract has no value: so few tell of its
surroundings (own convention; the uncinate fasciculus has six to eight voxels of 4 mm)."""


def weighted_mean(values: FloatArray, weights: FloatArray) -> float:
    """Return the mean of what is finite; NaN without any weight.

    Parameters
    ----------
    values : (n,) ndarray
        NaN where unknown, which takes part in no sum.
    weights : (n,) ndarray
        Not negative: shares of a tract in voxels.

    Examples
    --------
    >>> weighted_mean(np.array([1.0, 3, np.nan]), np.array([3.0, 1, 5]))
    1.5
    """
    weights = np.where(np.isfinite(values), weights, 0)
    total = weights.sum()
    return float((weights * np.nan_to_num(values)).sum() / total) if total > 0 else float('nan')


def tract_rows(
    shares: dict[tuple[str, str], FloatArray],
    maps: dict[str, FloatArray],
    white: FloatArray,
    voxel_mm3: float,
) -> list[Row]:
    """Measure each tract.

    Parameters
    ----------
    shares : dict of (str, str) to (n_voxels,) ndarray
        Tract and side to the share p of each voxel.
    maps : dict of str to (n_voxels,) ndarray
        Tensor maps by name; NaN where there is no tensor.
    white : (n_voxels,) ndarray
        Probability of white matter.
    voxel_mm3 : float
        Volume of a voxel.

    Returns
    -------
    list of dict
        ``region, hemisphere, n_effective, volume_mm3``, and of each map the mean weighted by p
        (least noise) and by p times white matter (``fa_wm``; least partial volume). Too small a
        tract, `MIN_EFFECTIVE`, has no means. The volume is that of the label, whether or not
        there is a tensor.
    """
    rows = []
    measured = np.isfinite(maps['fa'])
    for (name, side), share in shares.items():
        effective = float(share[measured].sum())
        row: dict[str, Any] = {
            'region': name, 'hemisphere': side or 'both', 'n_effective': effective,
            'volume_mm3': float(share.sum()) * voxel_mm3,
            'white': weighted_mean(white, share * measured),
        }  # fmt: skip
        for key, values in maps.items():
            enough = effective >= MIN_EFFECTIVE
            row[key] = weighted_mean(values, share) if enough else np.nan
            row[f'{key}_wm'] = weighted_mean(values, share * white) if enough else np.nan
        rows.append(row)
    return rows


class _MeasureTractsInputSpec(BaseInterfaceInputSpec):
    maps = InputMultiObject(File(exists=True), mandatory=True, desc='fa, md, ad, rd, mo')
    tpms = InputMultiObject(File(exists=True), mandatory=True, desc='fractions of GM, WM, CSF')
    images_to_t1w = InputMultiObject(File(exists=True), mandatory=True, desc='template to T1w')
    atlas = traits.Str(mandatory=True, desc='NAME=PATH of the tracts')


class _MeasureTractsOutputSpec(TraitedSpec):
    out_file = File(exists=True, desc='table, one row for each tract')
    metadata = traits.Dict(desc='of the atlas')


class MeasureTracts(SimpleInterface):
    """Tabulate means of the tensor maps over the tracts of an atlas."""

    input_spec = _MeasureTractsInputSpec
    output_spec = _MeasureTractsOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        atlas = load_tract_atlas(self.inputs.atlas)
        found: dict[str, Any] = {}
        for name, path in zip(TRACT_MAPS, self.inputs.maps, strict=True):
            found[name], affine = files.read_image(path)
            if found[name].shape != found['fa'].shape:
                raise GridMismatchError(f'{path} is not on the grid of the FA map.')
        shape = found['fa'].shape
        places = template_coordinates(shape, affine, self.inputs.images_to_t1w)
        known = np.isfinite(places[..., 0])
        # outside the brain maps hold 0, which is no anisotropy that was measured
        inside = np.isfinite(found['fa']) & (found['fa'] > 0)
        maps = {name: np.where(inside, v, np.nan)[known] for name, v in found.items()}
        white = self._white(shape, affine)[known]
        voxel_mm3 = float(voxel_sizes(affine).prod())
        shares = tract_shares(atlas, places[known])
        rows = [{'atlas': atlas.name, **row}
                for row in tract_rows(shares, maps, white, voxel_mm3)]  # fmt: skip
        path = Path(runtime.cwd) / 'tracts.tsv'
        self._results['out_file'] = str(files.format_table(pd.DataFrame(rows), path))
        self._results['metadata'] = {
            'Atlas': Path(self.inputs.atlas.partition('=')[2]).name,
            **({'AtlasNotes': atlas.note} if atlas.note else {}),
        }
        return runtime

    def _white(self, shape: tuple[int, ...], affine: FloatArray) -> FloatArray:
        """Return the share of white matter of each diffusion voxel."""
        values, own = files.read_image(self.inputs.tpms[1])
        resolution = float(np.cbrt(voxel_sizes(affine).prod()))
        points = apply_matrix(affine, np.indices(shape).reshape(3, -1).T)
        blurred = blur_to_resolution(values, own, resolution)
        return np.nan_to_num(sample(blurred, own, points)).reshape(shape)


class _ImportTractsInputSpec(BaseInterfaceInputSpec):
    files = InputMultiObject(File(exists=True), mandatory=True, desc='tables of other tools')
    sources = traits.List(traits.Str(), mandatory=True, desc='tool that made each')


class _ImportTractsOutputSpec(TraitedSpec):
    out_file = File(exists=True, desc='table, one row for each tract')
    metadata = traits.Dict(desc='which measures came from which file')


class ImportTracts(SimpleInterface):
    """Put the tables of tracts of other tools side by side, in our names and units."""

    input_spec = _ImportTractsInputSpec
    output_spec = _ImportTractsOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        paths, sources = [Path(p) for p in self.inputs.files], self.inputs.sources
        tables = [read_tracts(path) for path in paths]
        wide, taken = combine(zip(sources, tables, strict=True))
        out = Path(runtime.cwd) / 'bundles.tsv'
        self._results['out_file'] = str(files.format_table(wide, out))
        words = [dict(zip(t['metric'], t['word'], strict=True)) for t in tables]
        self._results['metadata'] = {
            'TractTables': [
                {'File': path.name, 'Tool': source, 'Measures': {m: own[m] for m in metrics}}
                for path, source, own, metrics in zip(paths, sources, words, taken, strict=True)
            ]
        }
        return runtime


def tract_shares(atlas: VolumeAtlas, points: FloatArray) -> dict[tuple[str, str], FloatArray]:
    """Return the share of each tract at points in the template.

    Parameters
    ----------
    atlas : VolumeAtlas
        Codes or probabilities.
    points : (n, 3) ndarray
        Template RAS in mm.

    Returns
    -------
    dict of (str, str) to (n,) ndarray
        Tract and side to shares from 0 to 1, interpolated linearly.
    """
    found = {}
    for code, region in atlas.regions.items():
        one = atlas.data[..., code] if atlas.data.ndim == 4 else (atlas.data == code)
        found[region] = np.nan_to_num(sample(one, atlas.affine, points))
    return found
