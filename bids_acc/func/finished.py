"""Measures that another tool has made of a BOLD run: XCP-D's maps and tables, taken as they are.

Nothing is computed again. A table is held against the others of its run, a map against what its
measure can be; what does not fit is refused by name. Places that another tool fills with zero have
no signal, and are missing here.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from bids_acc.exceptions import InputDataError
from bids_acc.files.reading import reading
from bids_acc.func.raw import check_length, check_repetition_time
from bids_acc.func.regions import Region
from bids_acc.tables.reading import THEIRS, read_text, read_tsv
from bids_acc.typing import BoolArray, FloatArray

MAPS = ('reho', 'alff')
"""Maps that are taken."""
CIFTI = 'fsLR'
"""Space of CIFTI files; their cortex has another mesh than the template's, and is averaged over
the parcels of their own atlas."""
OUTLIERS = ('interpolation', 'framewise_displacement')
"""Columns of the table of outliers, the first that is there: 1 where a volume is left out of
series and correlations, 0 where it is kept. ``interpolation`` has the neighbours of outliers and
those of DVARS as well, in versions that may leave them out."""
NO_NUISANCE = re.compile('outlier|intercept|linear_trend', re.IGNORECASE)
"""Columns of a design that are volumes, or a mean and a line, which filters take away."""
N_NUISANCE: Mapping[str, int] = MappingProxyType(
    {'24P': 24, '27P': 27, '36P': 36, 'acompcor': 22, 'acompcor_gsr': 23, 'gsr_only': 1, 'none': 0}
)
"""Regressors of XCP-D's named sets, for runs without a table of the design (XCP-D's documentation,
"Confound regressor selection")."""
TABLED_REHO = (0, 7, 4)
"""Version from which tabulated ReHo is that of the map (xcp_d#1170)."""
CENSORED_SERIES = (0, 4, 0)
"""Version from which interpolated volumes are no part of series and correlations (XCP-D's
documentation, "Functional Outputs")."""
OWN_COMPONENTS = (0, 12, 0)
"""Version from which acompcor takes the components of its tissues (xcp_d#1498)."""
TOLERANCE = 1e-4
"""By which a correlation may be beyond 1, or differ from its mirror image, after rounding."""


@dataclass(frozen=True)
class FinishedRun:
    """Files that another tool has made of one BOLD run."""

    entities: Mapping[str, str]
    metadata: Mapping[str, Any]
    """``RepetitionTime`` in s; ``band`` in Hz, empty where it was not filtered; ``nuisance``."""
    space: str
    source: str
    """Tool and version."""
    maps: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    """For each of `MAPS`: one image, or left and right."""
    tables: Mapping[str, Path] = field(default_factory=dict)
    """``motion``, ``outliers``, ``design``, ``qc``; of the atlas ``timeseries``, ``matrix``,
    ``coverage``, ``reho``, ``alff``; ``labels`` and ``parcels`` of the atlas itself."""
    atlas: str = ''
    notes: tuple[str, ...] = ()
    events: Path | None = None
    """Never: a task's measures are those of its residuals."""

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that the result depends on."""
        return (*(p for paths in self.maps.values() for p in paths), *self.tables.values())

    @property
    def version(self) -> tuple[int, ...]:
        """Version of the tool, as numbers; a very large one where it is not known.

        Examples
        --------
        >>> FinishedRun({}, {}, 'fsLR', 'XCP-D 0.7.3').version
        (0, 7, 3)
        """
        found = re.search(r'(\d+)\.(\d+)(?:\.(\d+))?', self.source)
        return tuple(int(n or 0) for n in found.groups()) if found else (999, 0, 0)

    @property
    def on_cortex(self) -> bool:
        """Whether its maps can be brought to the template's cortex."""
        return bool(self.maps) and self.space != CIFTI

    def as_dict(self) -> dict[str, object]:
        """Return what a graph can carry."""
        return {
            **asdict(self), 'events': None, 'entities': dict(self.entities),
            'metadata': dict(self.metadata), 'notes': list(self.notes),
            'maps': {k: [str(p) for p in v] for k, v in self.maps.items()},
            'tables': {k: str(p) for k, p in self.tables.items()},
        }  # fmt: skip

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> FinishedRun:
        """Return the run that `as_dict` described.

        Parameters
        ----------
        content : mapping
            Paths as strings.
        """
        return cls(**{
            **content, 'notes': tuple(content['notes']),
            'maps': {k: tuple(map(Path, v)) for k, v in content['maps'].items()},
            'tables': {k: Path(p) for k, p in content['tables'].items()},
        })  # fmt: skip


@dataclass(frozen=True)
class FinishedTables:
    """The tables of a run, held against each other."""

    displacement: FloatArray
    """(n_volumes,) framewise, mm."""
    kept: BoolArray
    """(n_volumes,) volumes that were not censored."""
    n_regressors: float
    """NaN where it is not known."""
    band: tuple[float, float]
    regions: tuple[Region, ...] = ()
    coverage: FloatArray = field(default_factory=lambda: np.empty(0))
    """(n_regions,) NaN where it is not known."""
    series: FloatArray = field(default_factory=lambda: np.empty((0, 0)))
    """(n_kept, n_regions)"""
    matrix: FloatArray = field(default_factory=lambda: np.empty((0, 0)))
    """(n_regions, n_regions)"""
    parcels: Mapping[str, FloatArray] = field(default_factory=dict)
    """(n_regions,) for each of `MAPS` that is tabulated."""
    qc: Mapping[str, Any] = field(default_factory=dict)
    findings: tuple[str, ...] = ()


def read_tables(run: FinishedRun) -> FinishedTables:
    """Read the tables of a run and hold them against each other.

    Parameters
    ----------
    run : FinishedRun

    Raises
    ------
    InputDataError, MetadataError
        With the file and what is wrong with it.
    """
    where = str(run.tables.get('motion', run.files[0] if run.files else ''))
    seconds = check_repetition_time(run.metadata, where)
    moved = _displacement(run)
    kept = _kept(run, len(moved))
    check_length(int(kept.sum()), seconds, f'{where} (volumes that were not censored)')
    qc = _quality(run, int(kept.sum()))
    found = FinishedTables(moved, kept, _n_regressors(run, kept), _band(run, seconds), qc=qc,
                           findings=run.notes)  # fmt: skip
    return _with_atlas(run, found)


def _displacement(run: FinishedRun) -> FloatArray:
    """Read framewise displacement."""
    if 'motion' not in run.tables:
        name = '_'.join(f'{k}-{v}' for k, v in run.entities.items())
        raise InputDataError(
            f'{name}: {run.source} gives no table of motion (motion.tsv) for this run, so that '
            'nothing tells whether it can be used; fetch it as well.'
        )
    path = run.tables['motion']
    table = read_tsv(path, missing=THEIRS)
    moved = _numbers(table, 'framewise_displacement', path)
    if not np.isfinite(moved).any() or (moved < 0).any():
        raise InputDataError(
            f'{path}: framewise_displacement holds {"negative" if (moved < 0).any() else "no"} '
            'values; fetch the table again.'
        )
    return moved


def _numbers(table: pd.DataFrame, column: str, path: Path) -> FloatArray:
    """Return a column of numbers."""
    if column not in table:
        raise InputDataError(f'{path}: the column {column} is missing; fetch the table again.')
    if not pd.api.types.is_numeric_dtype(table[column]):
        raise InputDataError(
            f'{path}: {column} holds something else than numbers; fetch it again.'
        )
    return table[column].to_numpy(dtype=float)


def _kept(run: FinishedRun, n_volumes: int) -> BoolArray:
    """Tell which volumes were kept; all where nothing was censored."""
    path = run.tables.get('outliers')
    if path is None:
        return np.ones(n_volumes, dtype=bool)
    table = read_tsv(path, missing=THEIRS)
    column = next((name for name in OUTLIERS if name in table), OUTLIERS[-1])
    flags = _numbers(table, column, path)
    if len(flags) != n_volumes:
        raise InputDataError(
            f'{path} has {len(flags)} rows and {run.tables["motion"].name} {n_volumes}; they '
            'belong to different runs: fetch both again.'
        )
    if not np.isin(flags, (0, 1)).all():
        raise InputDataError(
            f'{path}: {column} holds other values than 0 (kept) and 1 (left out); fetch it again.'
        )
    return np.asarray(flags == 0)


def _quality(run: FinishedRun, n_kept: int) -> dict[str, object]:
    """Read the tool's own row of quality."""
    path = run.tables.get('qc')
    if path is None:
        return {}
    if path.suffix == '.csv':
        with reading(path, 'table', 'fetch it again'):
            rows = list(csv.DictReader(io.StringIO(read_text(path)[0])))
        table = pd.DataFrame(rows).apply(_as_numbers)
    else:
        table = read_tsv(path, missing=THEIRS)
    if len(table) != 1:
        raise InputDataError(f'{path} has {len(table)} rows, expected one; fetch it again.')
    row = {str(k): v for k, v in table.iloc[0].items()}
    told = row.get('num_retained_volumes')
    if isinstance(told, int | float | np.number) and np.isfinite(told) and told != n_kept:
        if 'outliers' not in run.tables:
            raise InputDataError(
                f'{path} tells of {told:.0f} kept volumes of {n_kept}, and the table that says '
                'which (outliers.tsv) is not there; fetch it as well.'
            )
        raise InputDataError(
            f'{path} tells of {told:.0f} kept volumes, but the table of outliers keeps {n_kept}; '
            'they belong to different runs: fetch both again.'
        )
    return row


def _as_numbers(column: pd.Series) -> pd.Series:
    """Return a column as numbers where all of it are."""
    numbers = pd.to_numeric(column, errors='coerce')
    return numbers if numbers.notna().all() else column


def _n_regressors(run: FinishedRun, kept: BoolArray) -> float:
    """Return the rank of what was regressed out; NaN where it is not known."""
    path = run.tables.get('design')
    if path is None:
        return float(N_NUISANCE.get(str(run.metadata.get('nuisance', '')), np.nan))
    table = read_tsv(path, missing=THEIRS)
    if len(table) != len(kept):
        raise InputDataError(
            f'{path} has {len(table)} rows and {run.tables["motion"].name} {len(kept)}; they '
            'belong to different runs: fetch both again.'
        )
    own = [name for name in table if not NO_NUISANCE.search(str(name))]
    columns = [_numbers(table, str(name), path)[kept] for name in own]
    values = np.nan_to_num(np.column_stack(columns)) if columns else np.empty((len(kept), 0))
    # Not the number of columns: one that follows from others takes no degree of freedom.
    return float(np.linalg.matrix_rank(values)) if values.shape[1] else 0.0


def _band(run: FinishedRun, seconds: float) -> tuple[float, float]:
    """Return the band that was kept; everything where nothing was filtered, NaN if not known."""
    band = run.metadata.get('band')
    if band is None:
        return float('nan'), float('nan')
    low, high = (*band, 0.0, 0.0)[:2] if len(band) == 2 else (0.0, 0.0)
    # XCP-D writes a band with zero at an end that was not filtered.
    highest = 1 / (2 * seconds)
    return float(low), float(min(high, highest)) if high > 0 else highest


def _with_atlas(run: FinishedRun, found: FinishedTables) -> FinishedTables:
    """Read the tables of the atlas; all must have the same regions."""
    tables = {name: _parcellated(run, name) for name in ('matrix', 'timeseries', 'coverage', *MAPS)
              if name in run.tables and _worth(run, name)}  # fmt: skip
    if not tables:
        return found
    first, names = next((n, list(map(str, table))) for n, table in tables.items())
    for other, table in tables.items():
        if list(map(str, table)) != names:
            raise InputDataError(
                f'{run.tables[other]} has other regions than {run.tables[first].name}; they '
                'belong to different atlases or runs: fetch both again.'
            )
    n, findings = len(names), list(found.findings)
    missing = np.full(n, np.nan)
    matrix, series = np.full((n, n), np.nan), np.empty((0, n))
    if 'matrix' in tables:
        matrix = tables['matrix'].to_numpy()
        if run.version < CENSORED_SERIES and not found.kept.all():
            matrix = np.full((n, n), np.nan)
            findings.append(
                f'{run.source} leaves interpolated volumes in its correlations (its notes on '
                '0.4.0), so that they are not taken.'
            )
    if 'timeseries' in tables:
        series = _kept_rows(run, tables['timeseries'].to_numpy(), found.kept)
    if 'acompcor' in str(run.metadata.get('nuisance', '')) and run.version < OWN_COMPONENTS:
        findings.append(
            f'{run.source} chose other components than those of white matter and CSF (xcp_d#1498, '
            'mended in 0.12.0).'
        )
    one = {name: table.to_numpy()[0] for name, table in tables.items()
           if name in ('coverage', *MAPS)}  # fmt: skip
    networks = _networks(run)
    regions = tuple(Region(name, 'atlas', networks.get(name, ''), (), run.atlas) for name in names)
    return replace(
        found, regions=regions, coverage=one.pop('coverage', missing), series=series,
        matrix=matrix, parcels=one, findings=tuple(findings),
    )  # fmt: skip


def _worth(run: FinishedRun, name: str) -> bool:
    """Tell whether a table is to be believed: tabulated ReHo was not that of the map."""
    return name != 'reho' or run.version >= TABLED_REHO


def _parcellated(run: FinishedRun, name: str) -> pd.DataFrame:
    """Read a table of one atlas: regions are columns."""
    path = run.tables[name]
    table = read_tsv(path, missing=THEIRS)
    nodes = None
    if not table.empty and not pd.api.types.is_numeric_dtype(table.iloc[:, 0]):
        nodes = table.iloc[:, 0].astype(str).to_list()
        table = table.iloc[:, 1:]
    text = [c for c in table if not pd.api.types.is_numeric_dtype(table[c])]
    if text or table.empty:
        raise InputDataError(
            f'{path}: {f"{text[0]} holds something else than numbers" if text else "no row"}; '
            'fetch it again.'
        )
    if name == 'timeseries':
        series = table.astype(float)
        # Zeros throughout are written for regions outside the field of view, and would correlate
        # with nothing.
        series.loc[:, (series == 0).all(axis=0)] = np.nan
        return series
    if name == 'matrix':
        return _square(table.astype(float), nodes, path)
    if nodes is not None and table.shape[1] == 1:  # one region a row, as coverage is written
        table = pd.DataFrame([table.iloc[:, 0].to_numpy()], columns=nodes)
    if len(table) != 1:
        raise InputDataError(f'{path} has {len(table)} rows, expected one; fetch it again.')
    return _within(table.astype(float), name, path)


def _square(table: pd.DataFrame, nodes: list[str] | None, path: Path) -> pd.DataFrame:
    """Refuse what is no matrix of correlations."""
    values = table.to_numpy()
    if values.shape[0] != values.shape[1] or (nodes is not None and nodes != list(table)):
        raise InputDataError(
            f'{path} is no matrix of regions ({values.shape[0]} rows, {values.shape[1]} columns'
            f'{"" if values.shape[0] != values.shape[1] else ", in another order"}); fetch it '
            'again.'
        )
    finite = np.isfinite(values)
    if not finite.any() or np.abs(values[finite]).max() > 1 + TOLERANCE:
        what = 'values beyond 1' if finite.any() else 'no value'
        raise InputDataError(f'{path} holds {what}, which are no correlations; fetch it again.')
    if not np.allclose(values, values.T, atol=TOLERANCE, equal_nan=True):
        raise InputDataError(f'{path} is not symmetric, so that it is no matrix of correlations.')
    return pd.DataFrame(np.clip(_without_zeros(values), -1, 1), columns=table.columns)


def _without_zeros(values: FloatArray) -> FloatArray:
    """Return correlations, missing of regions that have none: zeros were put there (xcp_d#757)."""
    others = np.where(np.eye(len(values), dtype=bool), 0.0, values)
    empty = (others == 0).all(axis=1) & (len(values) > 1)
    return np.where(empty[:, None] | empty[None, :], np.nan, values)


LIMITS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {'coverage': (0.0, 1.0), 'reho': (0.0, 1.0), 'alff': (0.0, np.inf)}
)
"""Between which each measure lies: Kendall's W and shares are at most 1, amplitudes positive."""


def _within(table: pd.DataFrame, name: str, path: Path) -> pd.DataFrame:
    """Hold a table against what its measure can be; zero of a map is no signal."""
    values = check_limits(table.to_numpy(), name, path)
    if name in MAPS:
        values = np.where(values == 0, np.nan, values)
    return pd.DataFrame(values, columns=table.columns)


def check_limits(values: FloatArray, name: str, path: Path) -> FloatArray:
    """Refuse values that a measure cannot have.

    Parameters
    ----------
    values : ndarray
        NaN where undefined, which is not judged.
    name : str
        Measure, a key of `LIMITS`.
    path : Path
        File, for the message.

    Returns
    -------
    ndarray
        ``values``, so that a reader can end with this call.

    Raises
    ------
    InputDataError
        If there is none, or one lies beyond the limits of the measure.
    """
    finite = values[np.isfinite(values)]
    low, high = LIMITS[name]
    if not finite.size or (name in MAPS and not finite.any()):
        raise InputDataError(f'{path} holds no value but zero; fetch it again.')
    if finite.min() < low - TOLERANCE or finite.max() > high + TOLERANCE:
        raise InputDataError(
            f'{path}: values from {finite.min():.3g} to {finite.max():.3g} are no '
            f'{name} ({low:g} to {high:g}); fetch it again.'
        )
    return values


def _kept_rows(run: FinishedRun, series: FloatArray, kept: BoolArray) -> FloatArray:
    """Return the kept volumes of series that were censored, or interpolated."""
    if len(series) == kept.sum():
        return series
    if len(series) == len(kept):
        return series[kept]
    raise InputDataError(
        f'{run.tables["timeseries"]} has {len(series)} rows; the run has {len(kept)} volumes, of '
        f'which {int(kept.sum())} were kept: they belong to different runs, fetch both again.'
    )


def _networks(run: FinishedRun) -> dict[str, str]:
    """Read the network of each region from the atlas' own table; empty without one."""
    path = run.tables.get('labels')
    if path is None:
        return {}
    table = read_tsv(path, missing=THEIRS)
    named = next((c for c in ('label', 'name') if c in table), None)
    networks = next((c for c in ('network_label', 'network_label_7network') if c in table), None)
    if named is None or networks is None:
        return {}
    return {str(k): str(v) for k, v in zip(table[named], table[networks], strict=True)
            if isinstance(v, str) and v not in ('None', 'none')}  # fmt: skip
