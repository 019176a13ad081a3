"""Several runs of one task as one result: what each gave, kept in a file, averaged, tabulated."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bids_acc.exceptions import InputDataError
from bids_acc.func.connectivity import LEAST_DOF, fisher_z, join_means, z_sd
from bids_acc.func.measuring import RestMeasures, dof_finding
from bids_acc.func.networks import markers
from bids_acc.func.regions import Region, partial_correlations
from bids_acc.surfaces.regions import Labels
from bids_acc.surfaces.ribbon import VertexValues, region_rows
from bids_acc.typing import FloatArray, IntArray, Row

SUMS = ('n_volumes', 'n_dummy', 'n_kept', 'minutes_left', 'fd_above_02', 'fd_above_05', 'dof')
"""Figures of quality that add up over runs."""
LARGEST = ('fd_max', 'n_regressors')
"""Figures of which the largest counts."""
SMALLEST = ('n_regions', 'coreg_dice')
"""Figures of which the smallest counts."""
SAME_TR_S = 1e-3
"""Difference of repetition times, s, up to which they are the same."""
PARCEL_COLUMNS = ('hemisphere', 'atlas', 'region', 'n_vertices', 'coverage', 'tsnr', 'reho',
                  'alff', 'alffz', 'falff')  # fmt: skip


@dataclass(frozen=True)
class StoredRest:
    """What one run gave, as read back."""

    maps: Mapping[str, FloatArray]
    seed_maps: Mapping[str, FloatArray]
    regions: tuple[Region, ...]
    coverage: FloatArray
    tsnr: FloatArray
    reasons: tuple[str, ...]
    series: FloatArray
    matrix: FloatArray
    dof: float
    report: Mapping[str, Any]
    findings: tuple[str, ...]

    @property
    def weight(self) -> float:
        """Kept volumes."""
        return float(self.report['n_kept'])


def write_rest(path: Path, found: RestMeasures) -> Path:
    """Store what was measured in one run until the session's runs are joined.

    Parameters
    ----------
    path : Path
        Ends in ``.npz``.
    found : RestMeasures
        Maps and series are rounded to float32.

    Returns
    -------
    Path
        ``path``.
    """
    members = found.members
    about = {
        'regions': [
            {'name': r.name, 'kind': r.kind, 'network': r.network, 'spheres': list(r.spheres),
             'source': r.source}
            for r in members.regions
        ],
        'reasons': list(members.reasons), 'report': dict(found.report),
        'findings': list(found.findings), 'dof': found.dof,
    }  # fmt: skip
    arrays = {
        **{f'map_{name}': values.astype(np.float32) for name, values in found.maps.items()},
        **{f'seed_{name}': values.astype(np.float32) for name, values in found.seed_maps.items()},
        'coverage': np.array(members.coverage), 'tsnr': found.region_tsnr,
        # The matrix in double precision: it is averaged over runs and turned to Fisher's z, which
        # stretches what is near one.
        'series': found.series.astype(np.float32), 'matrix': found.matrix,
    }  # fmt: skip
    # JSON inside: an array of objects would be pickled, and reading a pickle runs whatever it
    # says.
    np.savez(path, about=np.array(json.dumps(about)), **arrays)  # type: ignore[arg-type]
    return path


def read_rest(path: Path) -> StoredRest:
    """Read what `write_rest` kept.

    Parameters
    ----------
    path : Path
        Of `write_rest`.
    """
    with np.load(path) as content:
        about = json.loads(str(content['about']))
        arrays = {name: content[name].astype(float) for name in content.files if name != 'about'}
    regions = tuple(
        Region(**{**one, 'spheres': tuple(map(tuple, one['spheres']))}) for one in about['regions']
    )

    def those(start: str) -> dict[str, FloatArray]:
        return {k.removeprefix(start): v for k, v in arrays.items() if k.startswith(start)}

    return StoredRest(
        those('map_'), those('seed_'), regions, arrays['coverage'], arrays['tsnr'],
        tuple(about['reasons']), arrays['series'], arrays['matrix'], about['dof'],
        about['report'], tuple(about['findings']),
    )  # fmt: skip


def join_rest(runs: Sequence[StoredRest]) -> StoredRest:
    """Make one result of several runs.

    Series are standardised within each run and then put behind each other (not demeaned only:
    HCPpipelines#392), so that a correlation is the mean of the runs' by their kept volumes; maps
    are averaged likewise; degrees of freedom add up.

    Parameters
    ----------
    runs : sequence of StoredRest
        Of one task.

    Raises
    ------
    InputDataError
        If repetition times differ.
    """
    times = [float(run.report['repetition_time']) for run in runs]
    if max(times) - min(times) > SAME_TR_S:
        raise InputDataError(
            f'runs of one task have repetition times of {" and ".join(f"{t:g}" for t in times)} '
            's and are not joined; select one with --bids-filter-file or leave it out of the '
            'derivatives.'
        )
    if len(runs) == 1:
        return _enough(replace(runs[0], report={'n_runs': 1, **runs[0].report}))
    weights = [run.weight for run in runs]
    seeds = [name for name in runs[0].seed_maps if all(name in r.seed_maps for r in runs)]
    reasons = tuple('; '.join(dict.fromkeys(filter(None, each))) if all(each) else ''
                    for each in zip(*(run.reasons for run in runs), strict=True))  # fmt: skip
    joined = StoredRest(
        maps={n: join_means([r.maps[n] for r in runs], weights) for n in runs[0].maps},
        seed_maps={n: join_means([r.seed_maps[n] for r in runs], weights) for n in seeds},
        regions=runs[0].regions,
        coverage=join_means([r.coverage for r in runs], weights),
        tsnr=join_means([r.tsnr for r in runs], weights),
        reasons=reasons,
        series=np.concatenate([r.series for r in runs]),
        matrix=join_means([r.matrix for r in runs], weights),
        # A run with more regressors than volumes takes none from the others.
        dof=float(sum(max(r.dof, 0.0) for r in runs)),
        report=join_quality([r.report for r in runs]),
        findings=tuple(numbered([r.findings for r in runs])),
    )  # fmt: skip
    return _enough(joined)


def numbered(findings: Sequence[Sequence[str]]) -> list[str]:
    """Say of which run each finding is, where there are several.

    Parameters
    ----------
    findings : sequence of sequence of str
        Of each run.

    Examples
    --------
    >>> numbered([['Short.'], ['Long.']]), numbered([['Short.']])
    (['1. run: Short.', '2. run: Long.'], ['Short.'])
    """
    if len(findings) == 1:
        return list(findings[0])
    return [f'{n}. run: {text}' for n, each in enumerate(findings, 1) for text in each]


def _enough(found: StoredRest) -> StoredRest:
    """Take correlations away where too few degrees of freedom are left, and say so."""
    note = dof_finding(found.dof, found.report['n_kept'], found.report['n_regressors'])
    if note:
        found = replace(found, findings=(*found.findings, note))
    if found.dof >= LEAST_DOF:
        return found
    return replace(found, matrix=np.full(found.matrix.shape, np.nan), seed_maps={})


def join_quality(reports: Sequence[Mapping[str, str | float]]) -> Row:
    """Join the measures of quality of several runs in one row.

    Parameters
    ----------
    reports : sequence of mapping
        One for each run, with the same names; ``n_kept`` is its weight in means.

    Returns
    -------
    dict
        Sums of `SUMS`, extremes of `LARGEST` and `SMALLEST`, means weighted by kept volumes of the
        rest; of words and the repetition time the first run's. NaN only where every run has it.
    """
    weights = np.array([float(r['n_kept']) for r in reports])
    joined: Row = {'n_runs': len(reports)}
    for name, first in reports[0].items():
        if isinstance(first, str) or name == 'repetition_time':
            joined[name] = first
            continue
        values = np.array([float(r[name]) for r in reports])
        finite = values[np.isfinite(values)]
        if not finite.size:
            joined[name] = float('nan')
        elif name in SUMS:
            joined[name] = float(finite.sum())
        elif name in LARGEST:
            joined[name] = float(finite.max())
        elif name in SMALLEST:
            joined[name] = float(finite.min())
        else:
            joined[name] = float(join_means(list(values[:, None]), list(weights))[0])
    whole = ('n_', 'fd_above')
    return {
        k: int(v) if k.startswith(whole) and not isinstance(v, str) and np.isfinite(v) else v
        for k, v in joined.items()
    }


def region_table(found: StoredRest) -> pd.DataFrame:
    """List the regions: where they lie, how much of each has signal, and why one has none.

    Parameters
    ----------
    found : StoredRest
        Of a session.

    Returns
    -------
    DataFrame
        ``x``, ``y``, ``z`` and ``radius_mm`` (MNI152 RAS, mm) of a region that is one sphere.
    """
    rows = []
    for index, region in enumerate(found.regions):
        one = region.spheres[0] if len(region.spheres) == 1 else (np.nan,) * 4
        rows.append(
            {
                'region': region.name, 'kind': region.kind, 'network': region.network or np.nan,
                'x': one[0], 'y': one[1], 'z': one[2], 'radius_mm': one[3],
                'coverage': found.coverage[index], 'tsnr': found.tsnr[index],
                'measured': 'false' if found.reasons[index] else 'true',
                'reason': found.reasons[index] or np.nan, 'source': region.source or np.nan,
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def marker_table(found: StoredRest, atlas: str = 'Seitzman') -> pd.DataFrame:
    """List the means of Fisher's z within and between networks of an atlas, and of seeds.

    Parameters
    ----------
    found : StoredRest
        Of a session.
    atlas : str
        Whose networks the regions name; empty where that is not known.

    Returns
    -------
    DataFrame
        ``z`` is the mean of Fisher's z of ``n_pairs`` pairs, ``sd`` that of a single pair's z; NaN
        with a ``reason`` where too little is left.
    """
    centres = np.array(
        [r.spheres[0][:3] if len(r.spheres) == 1 else (np.nan,) * 3 for r in found.regions]
    )
    all_of = markers(
        fisher_z(found.matrix), [r.name for r in found.regions],
        [r.network for r in found.regions], centres, found.reasons,
    )  # fmt: skip
    few = f'{found.dof:.0f} degrees of freedom left' if found.dof < LEAST_DOF else ''
    return pd.DataFrame(
        {
            'marker': [m.name for m in all_of],
            'atlas': atlas or np.nan,
            'z': [m.value for m in all_of],
            'sd': z_sd(found.dof),
            'dof': found.dof,
            'n_pairs': [m.n_pairs for m in all_of],
            'reason': [(few or m.reason) or np.nan for m in all_of],
        }
    )


def matrix_table(matrix: FloatArray, found: StoredRest) -> pd.DataFrame:
    """Return a matrix of regions with their names, as XCP-D writes one.

    Parameters
    ----------
    matrix : (n_regions, n_regions) ndarray
        Correlations in the order of ``found.regions``.
    found : StoredRest
        Of which the names count.

    Returns
    -------
    DataFrame
        ``Node``, then a column for each region.
    """
    names = [region.name for region in found.regions]
    table = pd.DataFrame(matrix, columns=names)
    table.insert(0, 'Node', names)
    return table


def partial_matrix(found: StoredRest) -> FloatArray:
    """Return partial correlations; NaN where there are too few degrees of freedom.

    Parameters
    ----------
    found : StoredRest
        Of which the cleaned series count.

    Returns
    -------
    (n_regions, n_regions) ndarray
        See `partial_correlations`.
    """
    if found.dof < LEAST_DOF:
        return np.full(found.matrix.shape, np.nan)
    return partial_correlations(found.series)


def series_table(found: StoredRest) -> pd.DataFrame:
    """Return the cleaned, standardised mean series of each region.

    Parameters
    ----------
    found : StoredRest
        Of a session; runs stand behind each other.

    Returns
    -------
    DataFrame
        One row for each kept volume, in standard deviations; NaN of regions without signal.
    """
    return pd.DataFrame(found.series, columns=[region.name for region in found.regions])


def parcel_table(
    maps: Mapping[str, FloatArray],
    labels: IntArray,
    names: Mapping[int, str],
    n_left: int,
    atlas: str = 'Desikan',
    columns: Sequence[str] = PARCEL_COLUMNS,
) -> pd.DataFrame:
    """Average maps over the labels of the cortical atlas.

    Parameters
    ----------
    maps : mapping of str to (n_vertices,) ndarray
        Left before right; ``coverage`` among them.
    labels : (n_vertices,) ndarray
    names : mapping of int to str
        Of the labels.
    n_left : int
        Vertices of the left half.
    atlas : str
        Name of the labels' atlas.
    columns : sequence of str
        Of the table.
    """
    rows: list[dict[str, Any]] = []
    for side, half in (('L', slice(0, n_left)), ('R', slice(n_left, None))):
        coverage = np.nan_to_num(maps['coverage'][half])
        values = {name: v[half] for name, v in maps.items() if name != 'coverage'}
        found = VertexValues(values, coverage, np.full(len(coverage), np.nan))
        rows += [
            {'hemisphere': side, **row}
            for row in region_rows(Labels(atlas, labels[half].astype(np.int64), names), found)
        ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(columns))
