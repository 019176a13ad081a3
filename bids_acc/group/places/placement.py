"""Where the spectroscopic voxels lie: in the template, and in whose cortex and parcels.

Read from what the participant level wrote of each spectrum: its voxel in the template and the
share of each cortical column that lies inside it.
"""

from __future__ import annotations

import gzip
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nb
import numpy as np
import pandas as pd

from bids_acc.derivatives.outputs import find_outputs, output_path, write_sidecar
from bids_acc.derivatives.records import Ledger
from bids_acc.exceptions import BidsAccError
from bids_acc.files.reading import reading
from bids_acc.files.writing import write_bytes
from bids_acc.group.cohort.quality import KEYS, OUTLIER_Z, modified_z
from bids_acc.group.cohort.reading import read_tables, voxel_name
from bids_acc.group.cohort.vertexmaps import METRIC_KEYS
from bids_acc.group.formulas.overlap import centre_of, overlap_with_others
from bids_acc.group.opnmf.features import mask_unmeasured
from bids_acc.group.parcels.measures import Parcellation
from bids_acc.group.parcels.parcellation import ParcellationResult
from bids_acc.surfaces.gifti import read_map
from bids_acc.typing import FloatArray, IntArray, Numbers

LOGGER = logging.getLogger(__name__)

OWN_METRICS = ('thickness', 'md', 'fa')
"""What is averaged over the cortex of a voxel."""
CORTEX = 'share_cortex'
"""Share of the voxel that is cortex of either hemisphere."""

Key = tuple[str, str | None]


@dataclass(frozen=True)
class VoxelMap:
    """Mean over a cohort of one named spectroscopy voxel, in template space."""

    name: str
    mean: FloatArray
    """Share of the people whose voxel covers a place."""
    affine: FloatArray
    n: int


@dataclass(frozen=True)
class Places:
    """What is known of where the spectra were measured."""

    values: pd.DataFrame
    """Long: keys, ``voxel`` (label), ``measure``, ``value``."""
    overlap: pd.DataFrame
    """Keys, ``voxel`` (name), ``label``, ``dice``, ``distance_mm``, ``outlier``."""
    maps: Sequence[VoxelMap] = field(default_factory=tuple)


def find_places(
    data_dir: Path,
    sessions: Sequence[Key],
    names: Mapping[str, str],
    parcels: ParcellationResult | None,
) -> Places:
    """Read where every spectrum of a cohort was measured.

    Parameters
    ----------
    data_dir : Path
        Root of the derivative data set.
    sessions : sequence of (str, str or None)
        Participants and sessions, with prefixes.
    names : mapping of str to str
        Label of each spectrum (`bids_acc.group.cohort.reading.voxel_name`) to its voxel.
    parcels : ParcellationResult, optional
        Parcels of which each voxel's share is measured.

    Returns
    -------
    Places
        Without rows where there are no voxels drawn.
    """
    ledger, wanted = Ledger(data_dir), set(sessions)
    values = _in_cortex(data_dir, wanted, parcels, ledger)
    overlap, maps = _in_template(data_dir, wanted, names, ledger)
    return Places(values, overlap, maps)


def _key(entities: Mapping[str, str]) -> Key:
    """Return participant and session with prefixes."""
    visit = entities.get('session')
    return f'sub-{entities["subject"]}', None if visit is None else f'ses-{visit}'


def _label(entities: Mapping[str, str]) -> str:
    """Name the spectrum that a voxel's file belongs to."""
    own = {'space', 'resolution', 'hemisphere', 'density'}
    return voxel_name({name: value for name, value in entities.items() if name not in own})


def _in_template(
    data_dir: Path, wanted: set[Key], names: Mapping[str, str], ledger: Ledger
) -> tuple[pd.DataFrame, list[VoxelMap]]:
    """Compare the voxels of each name in the template."""
    by_name: dict[str, list[tuple[Key, str, FloatArray]]] = {}
    affine = np.eye(4)
    for item in find_outputs('mrs_template_voxel', data_dir):
        label = _label(item.entities)
        if _key(item.entities) not in wanted or label not in names:
            continue
        try:
            path = ledger.intact(item.path)
            with reading(path):
                image = nb.Nifti1Image.from_filename(path)
                shares = np.asarray(image.dataobj, dtype=float)
        except BidsAccError as error:
            LOGGER.warning('%s Its voxel is left out of the map.', error)
            continue
        if not shares.any():  # a file that does not tell its place, or one far outside
            LOGGER.warning('%s is empty: its voxel is left out of the map.', path.name)
            continue
        affine = np.asarray(image.affine, dtype=float)
        by_name.setdefault(names[label], []).append((_key(item.entities), label, shares))
    rows: list[dict[str, Any]] = []
    maps = []
    for name, members in by_name.items():
        rows += _overlap_rows(name, members, affine)
        mean = np.mean([shares for _, _, shares in members], axis=0, dtype=float)
        maps.append(VoxelMap(name, mean, affine, len(members)))
    columns = [*KEYS, 'voxel', 'label', 'dice', 'distance_mm', 'x', 'y', 'z', 'outlier']
    return pd.DataFrame(rows, columns=columns), maps


def _overlap_rows(
    name: str, members: Sequence[tuple[Key, str, FloatArray]], affine: FloatArray
) -> Iterator[dict[str, object]]:
    """Yield one row for each voxel of a name."""
    overlap = overlap_with_others([shares for _, _, shares in members])
    centres = np.array([centre_of(shares, affine) for _, _, shares in members])
    # from the median, which one misplaced voxel does not move
    away = np.linalg.norm(centres - np.nanmedian(centres, axis=0), axis=1)
    score, _ = modified_z(overlap)
    for k, (key, label, _) in enumerate(members):
        outlier: bool | None = bool(score[k] < -OUTLIER_Z) if np.isfinite(score[k]) else None
        yield {
            **dict(zip(KEYS, key, strict=True)),
            'voxel': name, 'label': label, 'dice': overlap[k], 'distance_mm': away[k],
            **dict(zip('xyz', centres[k], strict=True)), 'outlier': outlier,
        }  # fmt: skip


def _in_cortex(
    data_dir: Path, wanted: set[Key], parcels: ParcellationResult | None, ledger: Ledger
) -> pd.DataFrame:
    """Measure cortex and parcels of each voxel."""
    sides: dict[tuple[Key, str, str], dict[str, Path]] = {}
    for item in find_outputs('mrs_vertex_voxel', data_dir):
        key = _key(item.entities)
        if key in wanted:
            # both sides of one voxel make one measure
            own = (key, _label(item.entities), item.entities['density'])
            sides.setdefault(own, {})[item.entities['hemisphere']] = item.path
    rows = []
    volumes = _volumes(data_dir, list(wanted)) if sides else {}
    for (key, label, density), files in sides.items():
        volume = volumes.get((key, label), float('nan'))
        try:
            found = _voxel_measures(data_dir, key, density, files, volume, parcels, ledger)
        except BidsAccError as error:
            LOGGER.warning('%s The cortex of the voxel %s is not measured.', error, label)
            continue
        rows += [
            {**dict(zip(KEYS, key, strict=True)), 'voxel': label, 'measure': name, 'value': value}
            for name, value in found.items()
        ]
    return pd.DataFrame(rows, columns=[*KEYS, 'voxel', 'measure', 'value'])


def _voxel_measures(
    data_dir: Path,
    key: Key,
    density: str,
    files: Mapping[str, Path],
    volume_mm3: float,
    parcels: ParcellationResult | None,
    ledger: Ledger,
) -> dict[str, float]:
    """Measure one voxel."""
    inside = {side: read_map(ledger.intact(path)) for side, path in sorted(files.items())}
    maps = {
        metric: _maps_of(data_dir, key, metric, density, inside, ledger)
        for metric in ('area', *OWN_METRICS)
    }
    share = np.concatenate(list(inside.values())).astype(float)
    one = None if parcels is None else _parcels_of(parcels, key[0])
    labels = None
    # on another mesh a vertex of the same number is another place
    same = parcels is not None and parcels.data.on_template and parcels.data.density == density
    if one is not None and same:
        labels = np.concatenate([_whole_labels(one, s, len(v)) for s, v in inside.items()])
    k = 0 if one is None else one.n_components
    return cortex_measures(share, maps, volume_mm3, labels, k)


def cortex_measures(
    share: FloatArray,
    maps: Mapping[str, FloatArray],
    volume_mm3: float,
    labels: IntArray | None = None,
    n_components: int = 0,
) -> dict[str, float]:
    """Measure the cortex that a voxel holds.

    The volume of a vertex's column is its area times its thickness; means weigh each vertex by
    the volume of its column inside the voxel, thickness by the area, so that it is the volume of
    the cortex over its area.

    Parameters
    ----------
    share : (n_vertices,) ndarray
        Share of each column inside the voxel; NaN where a surface is not defined.
    maps : mapping of str to (n_vertices,) ndarray
        ``area`` in mm2, ``thickness`` in mm and any others; NaN where not measured.
    volume_mm3 : float
        Of the voxel.
    labels : (n_vertices,) ndarray, optional
        Component of each vertex, from 0; -1 for none.
    n_components : int
        Components that there are.

    Returns
    -------
    dict of str to float
        `CORTEX`, ``share_c1`` and so on as shares of the voxel's volume; the mean of each map but
        ``area``, NaN where the voxel holds no cortex with a value.

    Examples
    --------
    >>> maps = {'area': np.full(4, 2.0), 'thickness': np.array([2.0, 3, 3, 3])}
    >>> cortex_measures(np.array([1, 0.5, 0, 0]), maps, 14.0, np.array([0, 1, 1, -1]), 2)
    {'share_cortex': 0.5, 'share_c1': 0.2857142857142857, 'share_c2': 0.21428571428571427, \
'thickness': 2.3333333333333335}
    """
    area, thickness = maps['area'], maps['thickness']
    inside = np.nan_to_num(share)
    volume = np.nan_to_num(inside * area * thickness)
    # cortex inside the voxel of which nothing was measured is unknown, not none
    unknown = inside.any() and not np.isfinite((area * thickness)[inside > 0]).any()
    whole = np.nan if unknown else volume_mm3
    found = {CORTEX: float(volume.sum() / whole)}
    for c in range(n_components) if labels is not None else ():
        found[f'share_c{c + 1}'] = float(volume[labels == c].sum() / whole)
    for name, values in maps.items():
        if name != 'area':
            # thickness by area: weighed by volume, thick places would count twice
            weights = np.nan_to_num(inside * area) if name == 'thickness' else volume
            known = weights * np.isfinite(values)
            total = known.sum()
            mean = float((known * np.nan_to_num(values)).sum() / total) if total else float('nan')
            found[name] = mean
    return found


def _maps_of(
    data_dir: Path,
    key: Key,
    metric: str,
    density: str,
    inside: Mapping[str, Numbers],
    ledger: Ledger,
) -> FloatArray:
    """Read one metric of a session on both sides; NaN where it was not measured."""
    output, fixed = METRIC_KEYS[metric]
    session = None if key[1] is None else key[1].removeprefix('ses-')
    parts = []
    for side, share in inside.items():
        files = find_outputs(
            output, data_dir, subject=key[0].removeprefix('sub-'), session=session,
            hemisphere=side, density=density, **fixed,
        )  # fmt: skip
        values = read_map(ledger.intact(files[0].path)).astype(float) if files else np.array([])
        whole = values if len(values) == len(share) else np.full(len(share), np.nan)
        parts.append(mask_unmeasured(whole, metric))
    return np.concatenate(parts)


def _volumes(data_dir: Path, sessions: Sequence[Key]) -> dict[tuple[Key, str], float]:
    """Read the nominal volume of every voxel in mm3 from its table of quality."""
    found = {}
    for subject, session, label, table in read_tables('mrs_quality', data_dir, sessions):
        if len(table) and 'voxel_volume_ml' in table:
            millilitres = pd.to_numeric(table['voxel_volume_ml'], errors='coerce').iloc[0]
            found[(subject, session), label] = 1000 * float(millilitres)
    return found


def _parcels_of(result: ParcellationResult, participant: str) -> Parcellation | None:
    """Return the parcels that a participant is measured in."""
    if len(result.parcellations) == 1:
        return next(iter(result.parcellations.values()))
    own = result.table.loc[result.table['participant_id'] == participant, 'cohort']
    return result.parcellations.get(own.iloc[0]) if len(own) else None


def _whole_labels(one: Parcellation, side: str, size: int) -> IntArray:
    """Write the components of one side onto its whole mesh; -1 elsewhere."""
    whole = np.full(size, -1, dtype=np.int64)
    own = (one.columns['hemisphere'] == side).to_numpy()
    whole[one.columns.loc[own, 'vertex'].to_numpy()] = one.labels[own]
    return whole


def write_voxel_maps(places: Places, folder: Path) -> list[Path]:
    """Write the mean of the voxels of each name as an image in template space.

    Parameters
    ----------
    places : Places
        With the mean of each voxel, in shares from 0 to 1.
    folder : Path
        Folder of the model's results.

    Returns
    -------
    list of Path
        One compressed NIfTI image a voxel, each with a sidecar (``NumberOfVoxels``).
    """
    paths = []
    for one in places.maps:
        path = output_path('group_voxelmap', folder, label=one.name)
        image = nb.Nifti1Image(one.mean.astype(np.float32), one.affine)
        image.set_sform(one.affine, 'mni')
        image.set_qform(one.affine, 'mni')
        write_bytes(path, gzip.compress(image.to_bytes(), mtime=0))
        write_sidecar('group_voxelmap', path, {'NumberOfVoxels': one.n})
        paths.append(path)
    return paths
