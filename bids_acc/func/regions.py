"""Where connectivity is measured: regions of the literature, seeds, parcels, a user's atlas.

The 300 regions and their networks are Seitzman's (2020), which nilearn brings along; amygdala,
hippocampus and thalamus are the union of its regions there. Seeds stand in a table with sources.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from nilearn.datasets import fetch_coords_seitzman_2018
from scipy.spatial import cKDTree

from bids_acc.exceptions import SettingsError
from bids_acc.files.reading import reading
from bids_acc.images.resampling import sample
from bids_acc.surfaces.atlases import beside_brain, read_labelled_image
from bids_acc.tables.reading import read_tsv
from bids_acc.typing import BoolArray, FloatArray, IntArray, Volume

LEAST_COVERAGE = 0.5
"""Share of a region with signal below which it is not measured (own convention)."""
SUBCORTICAL = ('amygdala', 'hippocampus', 'thalamus')
"""Structures that are seeds as the union of Seitzman's regions in them."""
SEED_COLUMNS = ('name', 'x', 'y', 'z', 'radius_mm')
ACC_LABELS = {'caudalanteriorcingulate': 'ACCcaudal', 'rostralanteriorcingulate': 'ACCrostral'}
"""Labels of the cortical atlas that are seeds of their own, with their names here."""


@dataclass(frozen=True)
class Region:
    """Where a mean series is taken."""

    name: str
    kind: str
    """``seitzman``, ``seed``, ``parcel`` or ``atlas``."""
    network: str = ''
    spheres: tuple[tuple[float, float, float, float], ...] = ()
    """Centre in MNI152 and radius, mm; several are taken together."""
    source: str = ''

    @property
    def volume(self) -> float:
        """Volume of the spheres in mm3, as if none overlapped."""
        return float(sum(4 / 3 * np.pi * sphere[3] ** 3 for sphere in self.spheres))


@dataclass(frozen=True)
class Members:
    """Which places of a run lie in which region."""

    regions: tuple[Region, ...]
    where: tuple[npt.NDArray[np.int64], ...]
    """Places with signal, for each region."""
    coverage: tuple[float, ...]
    """Share of each region with signal."""
    reasons: tuple[str, ...] = field(default=())
    """Why a region is not measured; empty where it is."""


def seitzman_regions() -> list[Region]:
    """Return the 300 regions of Seitzman et al. (2020, doi:10.1016/j.neuroimage.2019.116290)."""
    networks, spheres, _ = _seitzman()
    return [
        Region(f'{network}{number:03d}', 'seitzman', network, (_sphere(row),), 'Seitzman 2020')
        for number, (network, row) in enumerate(zip(networks, spheres, strict=True), start=1)
    ]


def _sphere(row: npt.ArrayLike) -> tuple[float, float, float, float]:
    """Return centre and radius as plain numbers."""
    x, y, z, radius = (float(value) for value in np.asarray(row))
    return x, y, z, radius


def _seitzman() -> tuple[list[str], FloatArray, list[str]]:
    """Return network, sphere and structure of each region."""
    with warnings.catch_warnings(action='ignore'):
        atlas = fetch_coords_seitzman_2018(ordered_regions=True)
    spheres = np.column_stack([atlas.rois[['x', 'y', 'z']].to_numpy(float), atlas.radius])
    return [str(n) for n in atlas.networks], spheres, [str(r) for r in atlas.regions]


def seed_regions(path: Path | None = None) -> list[Region]:
    """Return the seeds of the package, and those of a user's table.

    Parameters
    ----------
    path : Path or None
        Table with ``name, x, y, z, radius_mm`` and, if known, ``source``; rows of one name are
        taken together, and a name of the package is replaced.

    Raises
    ------
    SettingsError
        If the table cannot be used.
    """
    own = resources.files('bids_acc') / 'data' / 'func' / 'seeds.tsv'
    with resources.as_file(own) as shipped:
        found = _seed_table(shipped)
    _, spheres, structures = _seitzman()
    for name in SUBCORTICAL:
        chosen = spheres[[s == name for s in structures]]
        found[name] = Region(name, 'seed', '', tuple(map(_sphere, chosen)), 'Seitzman 2020')
    if path is not None:
        found |= _seed_table(path)
    return list(found.values())


def _seed_table(path: Path) -> dict[str, Region]:
    """Read a table of seeds."""
    with reading(path, 'table of seeds', 'correct it', SettingsError):
        table = read_tsv(path)
    if missing := [name for name in SEED_COLUMNS if name not in table]:
        raise SettingsError(
            f'--func-seeds {path}: the column {missing[0]} is missing; a table of seeds has '
            f'{", ".join(SEED_COLUMNS)}, separated by tabs.'
        )
    numbers = table[list(SEED_COLUMNS[1:])].apply(pd.to_numeric, errors='coerce')
    if numbers.isna().to_numpy().any() or (numbers['radius_mm'] <= 0).any():
        raise SettingsError(
            f'--func-seeds {path}: x, y, z and radius_mm must be numbers, the radius above 0.'
        )
    if table.empty:
        raise SettingsError(f'--func-seeds {path} holds no seed; write one row for each.')
    _check_places(table, numbers, path)
    found = {}
    for name, rows in table.groupby('name', sort=False):
        if not str(name).isalnum():
            raise SettingsError(
                f'--func-seeds {path}: {name!r} is no BIDS label (letters and digits only); '
                'rename the seed.'
            )
        source = str(rows['source'].iloc[0]) if 'source' in rows else str(path.name)
        spheres = tuple(map(_sphere, numbers.loc[rows.index].to_numpy(float)))
        found[str(name)] = Region(str(name), 'seed', '', spheres, source)
    return found


def _check_places(table: pd.DataFrame, numbers: pd.DataFrame, path: Path) -> None:
    """Refuse seeds of another space, and beside the brain."""
    spaces = table['space'].dropna().astype(str) if 'space' in table else pd.Series(dtype=str)
    if len(others := spaces[~spaces.str.upper().str.startswith('MNI')]):
        raise SettingsError(
            f'--func-seeds {path}: the space of {table["name"][others.index[0]]} is '
            f'{others.iloc[0]}; bring its coordinates to MNI152.'
        )
    beside = beside_brain(numbers[['x', 'y', 'z']].to_numpy(float))
    if beside.any():
        row = int(np.flatnonzero(beside)[0])
        x, y, z = numbers[['x', 'y', 'z']].iloc[row]
        raise SettingsError(
            f'--func-seeds {path}: {table["name"].iloc[row]} at {x:g}, {y:g}, {z:g} lies outside '
            'the brain of MNI152; x, y and z are in mm from the anterior commissure, not voxels.'
        )


def members_of_spheres(
    regions: Sequence[Region],
    places: FloatArray,
    signal: BoolArray,
    place_volume: float | None,
) -> Members:
    """Find the places of each region.

    Parameters
    ----------
    regions : sequence of Region
    places : (n, 3) ndarray
        MNI152 coordinates, mm.
    signal : (n,) ndarray of bool
        Where there is signal.
    place_volume : float or None
        Volume of a voxel in mm3; coverage is the share of the spheres' volume that lies in voxels
        with signal. None for vertices, of which coverage is the share with signal.
    """
    tree = cKDTree(places)
    where, coverage, reasons = [], [], []
    for region in regions:
        lists = [tree.query_ball_point(s[:3], s[3]) for s in region.spheres]
        inside = np.unique(np.concatenate([np.asarray(found, dtype=np.int64) for found in lists]))
        good = inside[signal[inside]]
        if place_volume is None:
            share = float(len(good) / len(inside)) if len(inside) else 0.0
        else:
            share = _covered(region, tree, signal, place_volume)
        where.append(good)
        coverage.append(share)
        reasons.append(_reason(len(inside), len(good), share))
    return Members(tuple(regions), tuple(where), tuple(coverage), tuple(reasons))


def _covered(region: Region, tree: cKDTree, signal: BoolArray, place_volume: float) -> float:
    """Return the share of a region's volume in voxels with signal.

    Points of the spheres are looked up and not voxels counted: of a sphere hardly larger than a
    voxel two or four centres may lie inside, as the grid happens to fall.
    """
    steps = np.linspace(-1, 1, 9)
    ball = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)
    ball = ball[np.linalg.norm(ball, axis=1) <= 1]
    points = np.concatenate([np.array(s[:3]) + s[3] * ball for s in region.spheres])
    # a little more than half a voxel's diagonal: the grid is warped on its way to the template
    reach = 1.1 * np.sqrt(3) / 2 * np.cbrt(place_volume)
    nearest = tree.query(points, distance_upper_bound=reach)[1]
    return float(np.append(signal, False)[nearest].mean())  # without a voxel: one past the last


def _reason(n_inside: int, n_good: int, share: float) -> str:
    """Say why a region is not measured."""
    if n_inside == 0:
        return 'outside the field of view or the surface'
    if n_good == 0 or share < LEAST_COVERAGE:
        return f'signal in {share:.0%} of it only'
    return ''


def members_of_parcels(
    labels: IntArray,
    names: Mapping[int, str],
    signal: BoolArray,
    n_left: int,
) -> Members:
    """Find the vertices of each part of the ACC, left and right.

    Parameters
    ----------
    labels : (n_vertices,) ndarray
        Codes of the cortical atlas, left before right.
    names : mapping of int to str
        Code to name.
    signal : (n_vertices,) ndarray of bool
    n_left : int
        Vertices of the left half.
    """
    left = np.arange(len(labels)) < n_left
    regions, where, coverage, reasons = [], [], [], []
    for code, label in names.items():
        if label not in ACC_LABELS:
            continue
        for side, half in (('L', left), ('R', ~left)):
            inside = np.flatnonzero((labels == code) & half)
            good = inside[signal[inside]]
            share = float(len(good) / len(inside)) if len(inside) else 0.0
            name = f'{ACC_LABELS[label]}{side}'
            regions.append(Region(name, 'parcel', '', (), 'parcel of the cortical atlas'))
            where.append(good)
            coverage.append(share)
            reasons.append(_reason(len(inside), len(good), share))
    return Members(tuple(regions), tuple(where), tuple(coverage), tuple(reasons))


def members_of_atlas(path: Path, places: FloatArray, signal: BoolArray) -> Members:
    """Find the voxels of each region of a labelled image in MNI152.

    Parameters
    ----------
    path : Path
        Image of whole numbers, 0 outside; ``<name>.tsv`` beside it may give ``index`` and
        ``name``. A region of one side is called ``<name>_L`` or ``<name>_R``.
    places : (n, 3) ndarray
        MNI152 coordinates, mm.
    signal : (n,) ndarray of bool

    Raises
    ------
    SettingsError
        If it is no 3D image of labels, or cannot be used.
    """
    atlas = read_labelled_image('--func-atlas', path)
    values = np.asarray(atlas.data, dtype=float)
    # Nearest neighbour: between codes 3 and 9 there is no region 6.
    found = np.nan_to_num(sample(values, atlas.affine, places, order=0)).astype(np.int64)
    regions, where, coverage, reasons = [], [], [], []
    for code, (name, side) in sorted(atlas.regions.items()):
        inside = np.flatnonzero(found == code)
        good = inside[signal[inside]]
        share = float(len(good) / len(inside)) if len(inside) else 0.0
        whole = '_'.join(filter(None, (name, side)))
        regions.append(Region(whole, 'atlas', '', (), path.name))
        where.append(good)
        coverage.append(share)
        reasons.append(_reason(len(inside), len(good), share))
    return Members(tuple(regions), tuple(where), tuple(coverage), tuple(reasons))


def mean_series(series: Volume, members: Members) -> FloatArray:
    """Return the mean series of each region; NaN where it is not measured.

    Parameters
    ----------
    series : (n_volumes, n_places) ndarray
    members : Members

    Returns
    -------
    (n_volumes, n_regions) ndarray
    """
    result = np.full((len(series), len(members.regions)), np.nan)
    for index, (where, reason) in enumerate(zip(members.where, members.reasons, strict=True)):
        if not reason:
            # Summed in double precision: thousands of voxels of some thousand units each lose
            # digits in single.
            result[:, index] = series[:, where].mean(axis=1, dtype=float)
    return result


def partial_correlations(series: FloatArray) -> FloatArray:
    """Return the correlation of each pair of regions with all others held constant.

    By the covariance of Ledoit and Wolf (2004, doi:10.1016/S0047-259X(03)00096-4), so that more
    regions than degrees of freedom are no obstacle; by its shrinkage, values are smaller than
    those of a regression would be.

    Parameters
    ----------
    series : (n_volumes, n_regions) ndarray
        A region with NaN gives NaN and counts for no other.
    """
    from nilearn.connectome import ConnectivityMeasure

    there = np.isfinite(series).all(axis=0)
    result = np.full((series.shape[1],) * 2, np.nan)
    if there.sum() > 1:
        measure = ConnectivityMeasure(kind='partial correlation', standardize=False)
        with warnings.catch_warnings(action='ignore'):
            result[np.ix_(there, there)] = measure.fit_transform([series[:, there]])[0]
    return result
