"""What another tool has made of a BOLD run, as maps, regions and figures of quality of here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel as nb
import numpy as np
import numpy.typing as npt
import pandas as pd
from nibabel.cifti2.cifti2_axes import Axis, BrainModelAxis, LabelAxis

from bids_acc.exceptions import InputDataError
from bids_acc.files.reading import reading
from bids_acc.func.connectivity import degrees_of_freedom, standardised
from bids_acc.func.finished import MAPS, FinishedRun, FinishedTables, check_limits, read_tables
from bids_acc.func.joining import PARCEL_COLUMNS, StoredRest, join_rest, parcel_table
from bids_acc.func.measuring import SPIKE_MM, sample_map
from bids_acc.func.regions import ACC_LABELS
from bids_acc.func.sampling import ribbon_of_template
from bids_acc.images.files import read_image
from bids_acc.surfaces.gifti import read_map
from bids_acc.surfaces.template import DENSITIES, HEMISPHERES, MEDIAL_WALL, load_template
from bids_acc.typing import FloatArray, Metadata, Row

VERTEX_MAPS = ('coverage', 'reho', 'alff', 'alffz')
"""Maps on the cortex of the template that a run may have."""


@dataclass(frozen=True)
class FinishedMeasures:
    """What was taken of the runs of one task."""

    rest: StoredRest
    """With maps of the template's vertices, if there are any."""
    parcels: pd.DataFrame
    """Columns of the table of parcels."""


def read_finished(run: FinishedRun, density: str) -> FinishedMeasures:
    """Read what another tool has made of one run.

    Parameters
    ----------
    run : FinishedRun
    density : str
        Of the template mesh.

    Raises
    ------
    InputDataError, MetadataError
        With the file and what is wrong with it.
    """
    tables = read_tables(run)
    maps = _vertex_maps(run, density) if run.on_cortex else {}
    if maps:
        parcels = _parcels_of_template(maps, density)
        covered = _coverage_of_template(maps['coverage'], density)
    else:
        parcels = _parcels_of_atlas(run, tables)
        covered = _coverage_of_parcels(parcels)
    n_kept = int(tables.kept.sum())
    seconds = float(run.metadata['RepetitionTime'])
    dof = degrees_of_freedom(n_kept, tables.n_regressors, tables.band, seconds)  # type: ignore[arg-type]
    reasons = tuple(_reason(row, c) for row, c in zip(tables.matrix, tables.coverage, strict=True))
    report = _report(run, tables, dof, covered, sum(not r for r in reasons))
    if not np.isfinite(dof):
        unknown = (
            'the band or the number of regressors is not told: the degrees of freedom that are '
            'left are not known, and no correlation is given.'
        )
        tables = replace(tables, findings=(*tables.findings, unknown))
    n = len(tables.regions)
    rest = StoredRest(
        maps, {}, tables.regions, tables.coverage, np.full(n, np.nan), reasons,
        tables.series, tables.matrix, dof, report, tables.findings,
    )  # fmt: skip
    return FinishedMeasures(rest, parcels)


def _reason(row: FloatArray, coverage: float) -> str:
    """Say why a region has no correlation; empty where it has one."""
    if np.isfinite(row).any():
        return ''
    share = f' (coverage {coverage:.0%})' if np.isfinite(coverage) else ''
    return f'no value in the table of correlations{share}'


def _report(
    run: FinishedRun, tables: FinishedTables, dof: float, covered: Mapping[str, float], n: int
) -> Row:
    """Return the figures of quality, as the table of quality names them."""
    moved, qc = tables.displacement, tables.qc
    known = moved[np.isfinite(moved)]
    n_kept, seconds = int(tables.kept.sum()), float(run.metadata['RepetitionTime'])
    return {
        'n_volumes': len(moved), 'n_dummy': int(_figure(qc, 'num_dummy_volumes', default=0)),
        'n_kept': n_kept, 'minutes_left': n_kept * seconds / 60, 'repetition_time': seconds,
        # the tool's own mean is of motion that was not filtered, which the table may hold or not
        'fd_mean': _figure(qc, 'mean_fd', 'meanFD', default=float(known.mean())),
        'fd_max': float(known.max()), 'fd_above_02': int((known > 0.2).sum()),
        'fd_above_05': int((known > SPIKE_MM).sum()), 'dvars_mean': float('nan'),
        'n_regressors': tables.n_regressors, 'dof': dof, 'tsnr_median': float('nan'),
        'coreg_dice': _figure(qc, 'coreg_dice', 'coregDice', default=float('nan')),
        'strategy': f'{run.source}: {run.metadata.get("nuisance") or "not told"}',
        'n_regions': n, **covered,
    }  # fmt: skip


def _figure(row: Metadata, *names: str, default: float) -> float:
    """Return the first of some figures that is a number."""
    for name in names:
        value = row.get(name)
        if isinstance(value, int | float | np.number) and np.isfinite(value):
            return float(value)
    return default


def check_map(paths: Sequence[Path], name: str) -> None:
    """Refuse a map whose values its measure cannot have.

    Parameters
    ----------
    paths : sequence of Path
        An image or a CIFTI file, or left and right.
    name : str
        ``reho`` or ``alff``.

    Raises
    ------
    InputDataError
        With the reason.
    """
    if paths[0].name.endswith('.dscalar.nii'):
        check_limits(_read_cifti(paths[0])[0], name, paths[0])
    elif len(paths) == 2:
        check_limits(np.concatenate([read_map(path) for path in paths]), name, paths[0])
    else:
        check_limits(read_image(paths[0])[0].astype(float), name, paths[0])


def _vertex_maps(run: FinishedRun, density: str) -> dict[str, FloatArray]:
    """Bring the maps of a run to the vertices of the template."""
    mesh = load_template(density)
    cortex = np.concatenate([
        ~np.isin(mesh[h].labels, [c for c, n in mesh[h].names.items() if n == MEDIAL_WALL])
        for h in HEMISPHERES
    ])  # fmt: skip
    found = {name: np.where(cortex, _on_vertices(paths, name, density), np.nan)
             for name, paths in run.maps.items()}  # fmt: skip
    there = np.all([np.isfinite(values) for values in found.values()], axis=0)
    found['coverage'] = np.where(cortex, there, np.nan).astype(float)
    if 'alff' in found:
        alff = found['alff']
        # ALFF has the scanner's units, so that only its z within a person can be compared between
        # scanners.
        found['alffz'] = (alff - np.nanmean(alff)) / np.nanstd(alff)
    return found


def _on_vertices(paths: Sequence[Path], name: str, density: str) -> FloatArray:
    """Read one map at the vertices of the template; zero is no signal."""
    if len(paths) == 2:
        halves = [read_map(path) for path in paths]
        for path, half in zip(paths, halves, strict=True):
            if len(half) < DENSITIES[density]:
                raise InputDataError(
                    f'{path} has {len(half)} vertices, fewer than the {DENSITIES[density]} of '
                    f'--density {density}; choose a coarser one.'
                )
        values = np.concatenate([half[: DENSITIES[density]] for half in halves]).astype(float)
        check_limits(values, name, paths[0])
        return np.where(values == 0, np.nan, values)
    image, affine = read_image(paths[0])
    values = check_limits(image.astype(float).squeeze(), name, paths[0])
    points, weights = ribbon_of_template(density)
    return sample_map(np.where(values == 0, np.nan, values), affine, points, weights)


def _parcels_of_template(maps: Mapping[str, FloatArray], density: str) -> pd.DataFrame:
    """Average maps over the cortical atlas of the template."""
    mesh = load_template(density)
    labels = np.concatenate([mesh[h].labels for h in HEMISPHERES])
    return parcel_table(maps, labels, mesh[HEMISPHERES[0]].names, DENSITIES[density])


def _coverage_of_template(coverage: FloatArray, density: str) -> dict[str, float]:
    """Return the share of the cortex, and of the anterior cingulate, with values on each side."""
    mesh, found = load_template(density), {}
    for side, half in zip(HEMISPHERES, np.split(coverage, 2), strict=True):
        acc = np.isin(mesh[side].labels, [c for c, n in mesh[side].names.items()
                                          if n in ACC_LABELS])  # fmt: skip
        found[f'coverage_{side}'] = float(np.nanmean(half))
        found[f'acc_coverage_{side}'] = float(np.nanmean(half[acc]))
        found[f'acc_tsnr_{side}'] = float('nan')
    return found


def _coverage_of_parcels(parcels: pd.DataFrame) -> dict[str, float]:
    """Return the share of the parcels' places with values on each side; NaN if not known."""
    found: dict[str, float] = {}
    for side in HEMISPHERES:
        own = parcels[parcels['hemisphere'] == side].dropna(subset=['coverage'])
        size = own['n_vertices'].fillna(1).to_numpy(dtype=float)
        share = np.average(own['coverage'], weights=size) if len(own) else np.nan
        found |= {f'coverage_{side}': float(share), f'acc_coverage_{side}': float('nan'),
                  f'acc_tsnr_{side}': float('nan')}  # fmt: skip
    return found


def _parcels_of_atlas(run: FinishedRun, tables: FinishedTables) -> pd.DataFrame:
    """Average CIFTI maps over the parcels of their own atlas, or take what is tabulated."""
    if run.maps and 'parcels' in run.tables:
        return _parcels_of_cifti(run)
    names = [region.name for region in tables.regions]
    found = {name: values for name, values in tables.parcels.items() if name in MAPS}
    rows = pd.DataFrame({
        'hemisphere': [side_of(name) for name in names], 'atlas': run.atlas, 'region': names,
        'coverage': tables.coverage, **found,
    })  # fmt: skip
    return rows.reindex(columns=PARCEL_COLUMNS)


def side_of(name: str) -> str:
    """Tell the side of a parcel by its name; ``both`` where that does not tell.

    Parameters
    ----------
    name : str
        As an atlas of XCP-D or the like writes it; case does not matter.

    Returns
    -------
    str
        ``L``, ``R`` or ``both``, as tables have it in ``hemisphere``.

    Examples
    --------
    >>> side_of('LH_Vis_1'), side_of('R_V1'), side_of('Right-Amygdala'), side_of('Cerebellar_1')
    ('L', 'R', 'R', 'both')
    """
    found = re.match(r'(?:17networks_|7networks_)?(lh|rh|l|r|left|right)[_-]', name.lower())
    ending = re.search(r'[_-](lh|rh|l|r|left|right)$', name.lower())
    side = found or ending
    return side.group(1)[0].upper() if side else 'both'


def _parcels_of_cifti(run: FinishedRun) -> pd.DataFrame:
    """Average CIFTI maps over the parcels of a CIFTI atlas."""
    atlas_path = run.tables['parcels']
    codes, axis, label_axis = _read_cifti(atlas_path)
    if not isinstance(label_axis, LabelAxis):
        raise InputDataError(f'{atlas_path} holds no labels (CIFTI dlabel); fetch it again.')
    names = {code: name for code, (name, _) in label_axis.label[0].items() if code != 0}
    values = {}
    for name, paths in run.maps.items():
        found, own_axis, _ = _read_cifti(paths[0])
        if own_axis != axis:
            raise InputDataError(
                f'{paths[0]} has other grayordinates ({len(own_axis)}) than '
                f'{atlas_path.name} ({len(axis)}); fetch both again.'
            )
        check_limits(found, name, paths[0])
        values[name] = np.where(found == 0, np.nan, found)
    sides = np.array([str(s) for s in axis.name])
    there = np.all([np.isfinite(v) for v in values.values()], axis=0)
    rows = []
    for code, name in names.items():
        inside = codes == code
        if not inside.any():
            continue
        row: dict[str, Any] = {
            'hemisphere': _side_of_places(sides[inside]), 'atlas': run.atlas, 'region': name,
            'n_vertices': int(inside.sum()), 'coverage': float(there[inside].mean()),
        }  # fmt: skip
        for measure, each in values.items():
            known = each[inside & np.isfinite(each)]
            row[measure] = float(known.mean()) if known.size else np.nan
        rows.append(row)
    return pd.DataFrame(rows, columns=list(PARCEL_COLUMNS))


def _side_of_places(structures: npt.NDArray[np.str_]) -> str:
    """Tell the side of places by the structures that they belong to."""
    sides = {'L' if s.endswith('_LEFT') else 'R' if s.endswith('_RIGHT') else 'both'
             for s in structures}  # fmt: skip
    return sides.pop() if len(sides) == 1 else 'both'


def _read_cifti(path: Path) -> tuple[FloatArray, BrainModelAxis, Axis]:
    """Read a CIFTI file of one map: values, its grayordinates, and its other axis."""
    with reading(path, 'CIFTI file', 'fetch it again'):
        image: Any = nb.load(path)
        if not isinstance(image, nb.Cifti2Image):
            raise InputDataError(f'{path} is no CIFTI file; fetch it again.')
        axes = [image.header.get_axis(n) for n in range(len(image.shape))]
        values = np.asarray(image.dataobj, dtype=float)
    if values.ndim != 2 or len(values) != 1 or not isinstance(axes[1], BrainModelAxis):
        raise InputDataError(f'{path} holds {len(values)} maps, expected one of grayordinates.')
    return values[0], axes[1], axes[0]


def join_finished(runs: Sequence[FinishedMeasures]) -> FinishedMeasures:
    """Make one result of the runs of a task: maps, tables and correlations by kept volumes.

    Parameters
    ----------
    runs : sequence of FinishedMeasures

    Raises
    ------
    InputDataError
        If their regions differ.
    """
    if len(runs) == 1:
        return FinishedMeasures(join_rest([runs[0].rest]), runs[0].parcels)
    first = [region.name for region in runs[0].rest.regions]
    for one in runs[1:]:
        if [region.name for region in one.rest.regions] != first:
            raise InputDataError(
                'the runs of one task have different regions, so that they are not joined; fetch '
                'the tables of the same atlas for all of them.'
            )
    shared = set.intersection(*(set(one.rest.maps) for one in runs))
    rests = [
        replace(one.rest, maps={k: v for k, v in one.rest.maps.items() if k in shared},
                series=standardised(one.rest.series) if len(one.rest.series) else one.rest.series)
        for one in runs
    ]  # fmt: skip
    weights = [rest.weight for rest in rests]
    return FinishedMeasures(join_rest(rests), _join_parcels([r.parcels for r in runs], weights))


def _join_parcels(tables: Sequence[pd.DataFrame], weights: Sequence[float]) -> pd.DataFrame:
    """Average tables of parcels by kept volumes; a value that one run lacks is the others'."""
    keys = ['hemisphere', 'atlas', 'region']
    long = pd.concat([t.assign(weight=w) for t, w in zip(tables, weights, strict=True)])
    numbers = [c for c in PARCEL_COLUMNS if c not in keys]

    def mean(rows: pd.DataFrame) -> pd.Series:
        found = {}
        for name in numbers:
            own = rows.dropna(subset=[name])
            found[name] = np.average(own[name], weights=own['weight']) if len(own) else np.nan
        return pd.Series(found)

    joined = long.groupby(keys, sort=False)[[*numbers, 'weight']].apply(mean).reset_index()
    return joined.reindex(columns=PARCEL_COLUMNS)
