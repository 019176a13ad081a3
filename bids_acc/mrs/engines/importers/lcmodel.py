"""LCModel 6.2 and 6.3: ``.table``, ``.coord`` and the spreadsheet ``.csv``.

Facts about the files: ``%SD`` 999 stands beside a concentration of zero; numbers may be written
``2.88E-02``; a metabolite's name may begin with ``-`` and sums are joined by ``+``; where a
ratio prior was used the blank before the name is a ``+``; the csv cuts long names; the table
prints ``Data shift =-0.023`` without a blank; the ratio's header may be ``/Cr`` or ``/Cr+PCr``.
"""

from __future__ import annotations

import csv
import math
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bids_acc.exceptions import InputDataError, MissingInputError
from bids_acc.files.reading import reads
from bids_acc.mrs.basis.basis_set import canonical_name
from bids_acc.mrs.results.engine_result import COMBINED, Curves, EngineResult, kind_of
from bids_acc.quality.measure import QualityMeasure
from bids_acc.typing import FloatArray

KNOWN_VERSION = re.compile(r'Version (6\.[23]-\w+)')
"""Versions whose files this adapter was written for."""

DEFAULTS = {'wconc': 35880.0, 'atth2o': 0.7, 'attmet': 1.0}
"""LCModel's own values of the constants that a control file may leave out (manual, 6.3)."""

_ROW = re.compile(
    r'^\s*(?P<conc>\d*\.?\d+(?:E[-+]?\d+)?)\s+(?P<sd>\d+)%\s*'
    r'(?P<ratio>[-+]?\d*\.\d+(?:E[-+]?\d+)?)(?P<prior>[ +])(?P<name>\S+)\s*$'
)
_NUMBER = r'(-?\d*\.?\d+(?:E[-+]?\d+)?)'


@dataclass(frozen=True)
class ConcentrationLine:
    """One line of the concentration table."""

    name: str
    """Name as LCModel writes it, sums with ``+``."""
    concentration: float
    """In LCModel's units."""
    sd_pct: float
    """Relative Cramer-Rao bound in percent; 999 beside zero."""
    ratio: float
    """Ratio to the reference."""
    ratio_prior: bool = False
    """Whether a soft constraint on this ratio was used."""


@dataclass(frozen=True)
class Table:
    """A parsed ``.table``."""

    version: str
    """Version of LCModel."""
    title: str
    """Title of the run."""
    reference: str
    """Denominator of the ratios."""
    rows: tuple[ConcentrationLine, ...]
    """Concentration table."""
    fwhm_ppm: float = math.nan
    """LCModel's FWHM in ppm."""
    snr: float = math.nan
    """LCModel's S/N, a whole number."""
    shift_ppm: float = math.nan
    """Data shift in ppm."""
    phase0_deg: float = math.nan
    """Zero-order phase in degrees."""
    phase1_deg_per_ppm: float = math.nan
    """First-order phase in degrees per ppm."""
    baseline_knots: float = math.nan
    """Number of spline knots."""
    inputs: dict[str, str] = field(default_factory=dict)
    """Control parameters that differ from LCModel's defaults."""
    diagnostics: tuple[str, ...] = ()
    """Lines of the diagnostic table."""


def _read(path: Path) -> list[str]:
    """Lines of a text file."""
    try:
        return path.read_text(errors='replace').splitlines()
    except OSError as error:
        raise MissingInputError(f'{path}: no such file.') from error


def _version(lines: list[str], name: str) -> str:
    """Version in the first lines; unknown ones are refused."""
    for line in lines[:3]:
        found = KNOWN_VERSION.search(line)
        if found:
            return found.group(1)
    raise InputDataError(
        f'{name}: not a file of LCModel 6.2 or 6.3 (it begins with '
        f'{lines[0].strip()[:80] if lines else ""!r}): give the table of a run that finished.'
    )


def _section(lines: list[str], tag: str) -> list[str]:
    """Lines of a ``$$`` section."""
    # the heading goes on behind the tag: $$CONC 32 lines in following concentration table
    starts = [k for k, line in enumerate(lines) if line.startswith(f'$${tag}')]
    if not starts:
        return []
    rest = lines[starts[0] + 1 :]
    stops = [k for k, line in enumerate(rest) if line.startswith('$$')]
    return rest[: stops[0]] if stops else rest


def _check_complete(lines: list[str], tag: str, name: str) -> None:
    """Refuse a section with fewer lines than its heading tells: the file was cut off."""
    heading = next((line for line in lines if line.startswith(f'$${tag}')), '')
    told = re.match(r'\$\$\w+\s+(\d+)\s+line', heading)
    there = len([line for line in _section(lines, tag) if line.strip()])
    if told and there < int(told.group(1)):
        raise InputDataError(
            f'{name}: {there} of {told.group(1)} lines of concentrations: the file is cut off; '
            f'copy it again or run LCModel again.'
        )


def _rows(lines: list[str], name: str) -> tuple[ConcentrationLine, ...]:
    """Concentration lines, of which each must be understood."""
    rows = []
    for line in lines:
        if not line.strip():
            continue
        match = _ROW.match(line)
        if not match:
            raise InputDataError(f'{name}: line {line.strip()[:80]!r} is no concentration line.')
        rows.append(
            ConcentrationLine(
                match['name'],
                float(match['conc']),
                float(match['sd']),
                float(match['ratio']),
                match['prior'] == '+',
            )
        )
    return tuple(rows)


def _find(text: str, pattern: str) -> float:
    """First number after a pattern, NaN when absent."""
    found = re.search(pattern + r'\s*' + _NUMBER, text)
    return float(found.group(1)) if found else math.nan


def _inputs(lines: list[str]) -> dict[str, str]:
    """Control parameters; a value broken over two lines is joined."""
    inputs: dict[str, str] = {}
    last = ''
    for line in lines:
        found = re.match(
            r'^\s([a-z0-9]+(?:\([\d,]+\))?)\s*=\s*(.*)$', line.rstrip(), re.IGNORECASE
        )
        if found:
            last = found.group(1).lower()
            inputs[last] = found.group(2).strip()
        elif last and line.strip():
            inputs[last] += line.strip()
    return {key: value.strip("'") for key, value in inputs.items()}


@reads('table of LCModel', 'run the fit again, or fetch the file again')
def parse_table(path: str | Path) -> Table:
    """Read an LCModel ``.table``.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    Table
        Everything in it.

    Raises
    ------
    MissingInputError
        If the file is not there.
    InputDataError
        If it is of another version, or LCModel stopped before the concentrations.
    """
    path = Path(path)
    lines = _read(path)
    version = _version(lines, path.name)
    concentrations = _section(lines, 'CONC')
    diagnostics = tuple(line.strip() for line in _section(lines, 'DIAG') if line.strip())
    if not concentrations:
        raise InputDataError(
            f'{path.name}: LCModel stopped before the concentrations'
            f' ({"; ".join(diagnostics) or "no diagnosis given"}).'
        )
    _check_complete(lines, 'CONC', path.name)
    header = re.search(r'%SD\s+/(\S+)', concentrations[0])
    misc = '\n'.join(_section(lines, 'MISC'))
    return Table(
        version=version,
        title=lines[1].strip() if len(lines) > 1 else '',
        reference=header.group(1) if header else '',
        rows=_rows(concentrations[1:], path.name),
        fwhm_ppm=_find(misc, r'FWHM\s*='),
        snr=_find(misc, r'S/N\s*='),
        shift_ppm=_find(misc, r'Data shift\s*='),
        phase0_deg=_find(misc, r'Ph:'),
        phase1_deg_per_ppm=_find(misc, r'deg\s'),
        baseline_knots=_find(misc, r'S/N[^\n]*\n[^\n]*\n[^\n]*\n[^\n]*\n'),
        inputs=_inputs(_section(lines, 'INPU')),
        diagnostics=diagnostics,
    )


@reads('file of LCModel curves', 'run the fit again, or fetch the file again')
def parse_coord(path: str | Path) -> tuple[Curves, dict[str, FloatArray]]:
    """Read curves from an LCModel ``.coord``.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    curves : Curves
        Data, fit and baseline.
    components : dict of str to (n_ppm,) ndarray
        Fitted line of each metabolite with the baseline, as LCModel prints it; those with an
        amplitude of zero are not printed.

    Raises
    ------
    MissingInputError
        If the file is not there.
    InputDataError
        If a block is shorter than the ppm axis.
    """
    path = Path(path)
    lines = _read(path)
    _version(lines, path.name)
    blocks: dict[str, list[float]] = {}
    current: list[float] | None = None
    for line in lines:
        heading = _coord_heading(line)
        if heading is not None:
            current = blocks.setdefault(heading, []) if heading else None
        elif current is not None:
            current.extend(float(word) for word in line.split())
    n_points = len(blocks.get('ppm', []))
    arrays = {key: np.array(values) for key, values in blocks.items()}
    wanted = {'ppm', 'data', 'fit'}
    if n_points == 0 or not wanted <= set(arrays):
        raise InputDataError(f'{path.name}: no ppm axis, data and fit in it.')
    for key, values in arrays.items():
        if values.size != n_points:
            raise InputDataError(f'{path.name}: {key} has {values.size} of {n_points} points.')
    baseline = arrays.pop('baseline', np.zeros(n_points))
    curves = Curves(arrays.pop('ppm'), arrays.pop('data'), arrays.pop('fit'), baseline)
    return curves, arrays


def _coord_heading(line: str) -> str | None:
    """Name of the block that a line opens; empty when it ends all blocks; None for numbers."""
    for text, name in (
        ('points on ppm-axis', 'ppm'),
        ('phased data points follow', 'data'),
        ('points of the fit to the data follow', 'fit'),
        ('background values follow', 'baseline'),
        ('lines in following', ''),
    ):
        if text in line:
            return name
    found = re.match(r'^\s*(\S+)\s+Conc\. =', line)
    return found.group(1) if found else None


@reads('spreadsheet of LCModel', 'run the fit again, or fetch the file again')
def parse_csv(path: str | Path) -> dict[str, tuple[float, float, float]]:
    """Read concentration, %SD and ratio by name from an LCModel spreadsheet.

    The spreadsheet cuts names to 13 characters and says nothing of quality; use the table where
    there is one.

    Parameters
    ----------
    path : str or Path
        The file, of one voxel.

    Returns
    -------
    dict of str to tuple of float
        In the order of the file.

    Raises
    ------
    InputDataError
        If it is no such spreadsheet, or holds several voxels.
    """
    path = Path(path)
    rows = [[word.strip() for word in row] for row in csv.reader(_read(path)) if row]
    if not rows or rows[0][:2] != ['Row', 'Col']:
        raise InputDataError(f'{path.name}: not a spreadsheet of LCModel.')
    if len(rows) != 2:
        raise InputDataError(f'{path.name}: {len(rows) - 1} voxels, one is expected.')
    names, values = rows[0][2::3], [float(word) for word in rows[1][2:]]
    if len(values) != 3 * len(names):
        raise InputDataError(f'{path.name}: {len(values)} values for {len(names)} names.')
    return {
        name: (values[3 * k], values[3 * k + 1], values[3 * k + 2]) for k, name in enumerate(names)
    }


def _printed_crlb(rows: tuple[ConcentrationLine, ...]) -> dict[str, float]:
    """%SD by name, single metabolites and known sums."""
    found: dict[str, float] = {}
    for row in rows:
        members = {canonical_name(part) for part in row.name.split('+')}
        if len(members) == 1:
            found[canonical_name(row.name)] = row.sd_pct
        found |= {name: row.sd_pct for name, wanted in COMBINED.items() if members == set(wanted)}
    return found


def _sums(rows: tuple[ConcentrationLine, ...]) -> dict[str, tuple[float, float]]:
    """Amount and bound of the sums that bids_acc knows, from LCModel's own sums."""
    found: dict[str, tuple[float, float]] = {}
    for row in rows:
        members = {canonical_name(part) for part in row.name.split('+')}
        for name, wanted in COMBINED.items():
            # NAA+NAAG and NAAG+NAA are the same sum; 'Glu' alone is none
            if members == set(wanted) and len(members) > 1:
                sd = row.concentration * row.sd_pct / 100
                found[name] = (row.concentration, sd if row.concentration > 0 else math.nan)
    return found


def _number(inputs: dict[str, str], key: str) -> float:
    """Read a control parameter, or take LCModel's default."""
    return float(inputs[key]) if key in inputs else DEFAULTS[key]


def _water_scale(inputs: dict[str, str]) -> float:
    """Factor that undoes LCModel's water scaling; NaN where none was done."""
    if inputs.get('dows', 'F').upper().strip('.') not in ('T', 'TRUE'):
        return math.nan
    return _number(inputs, 'attmet') / (_number(inputs, 'wconc') * _number(inputs, 'atth2o'))


def lcmodel_result(
    table_file: str | Path, coord_file: str | Path | None = None, engine: str = 'lcmodel'
) -> EngineResult:
    """LCModel's files in the common form.

    Parameters
    ----------
    table_file : str or Path
        The ``.table``.
    coord_file : str or Path, optional
        The ``.coord``, for curves and the step of the line width.
    engine : str
        Name under which the result is reported.

    Returns
    -------
    EngineResult
        With LCModel's S/N, line width and bounds under their own definitions. LCModel tells no
        covariance; sums that it prints keep its bounds, other sums have none.

    Raises
    ------
    MissingInputError, InputDataError
        As :func:`parse_table` and :func:`parse_coord`.
    """
    table = parse_table(table_file)
    single = [row for row in table.rows if '+' not in row.name]
    curves = parse_coord(coord_file)[0] if coord_file is not None else None
    step = abs(float(np.median(np.diff(curves.ppm)))) if curves is not None else math.nan
    values = np.array([row.concentration for row in single])
    sd_pct = np.array([row.sd_pct for row in single])
    return EngineResult(
        engine=engine,
        version=table.version,
        names=tuple(canonical_name(row.name) for row in single),
        kinds=tuple(kind_of(row.name) for row in single),
        values=values,
        # 999 % of zero would be an error of zero
        sd=np.where(values > 0, values * sd_pct / 100, np.nan),
        sums=_sums(table.rows),
        printed_crlb=_printed_crlb(table.rows),
        crlb_definition='lcmodel_crlb',
        measures={
            'snr': (QualityMeasure(table.snr, '1', 'lcmodel_snr'),),
            'fwhm': (QualityMeasure(table.fwhm_ppm, 'ppm', 'lcmodel_fwhm'),),
            'shift': (QualityMeasure(table.shift_ppm, 'ppm', 'lcmodel_shift'),),
        },
        curves=curves,
        water_scale=_water_scale(table.inputs),
        extra={
            'snr_lcmodel': table.snr,
            'fwhm_lcmodel_ppm': table.fwhm_ppm,
            'fwhm_step_ppm': step,
            'shift_ppm': table.shift_ppm,
            'phase0_deg': table.phase0_deg,
            'phase1_deg_per_ppm': table.phase1_deg_per_ppm,
            'baseline_knots': table.baseline_knots,
            'ratio_reference': table.reference,
            'original_names': [row.name for row in single],
            'basis_file': table.inputs.get('filbas', ''),
            'control': {k: v for k, v in table.inputs.items() if not k.startswith('fil')},
        },
        notes=tuple(f'LCModel: {line}' for line in table.diagnostics),
    )


def lcmodel_csv_result(csv_file: str | Path) -> EngineResult:
    """Read a spreadsheet alone into the common form.

    Parameters
    ----------
    csv_file : str or Path
        The spreadsheet, of one voxel.

    Returns
    -------
    EngineResult
        Amplitudes and bounds. A spreadsheet tells neither version, S/N, line width nor water
        scaling: these are unknown, and a strict gate excludes the spectrum for it.

    Raises
    ------
    MissingInputError, InputDataError
        As :func:`parse_csv`.
    """
    cells = parse_csv(csv_file)
    rows = tuple(ConcentrationLine(name, *values) for name, values in cells.items())
    single = [row for row in rows if '+' not in row.name]
    values = np.array([row.concentration for row in single])
    bounds = np.array([row.sd_pct for row in single])
    return EngineResult(
        engine='lcmodel',
        version='unknown',
        names=tuple(canonical_name(row.name) for row in single),
        kinds=tuple(kind_of(row.name) for row in single),
        values=values,
        sd=np.where(values > 0, values * bounds / 100, np.nan),
        sums=_sums(rows),
        printed_crlb=_printed_crlb(rows),
        crlb_definition='lcmodel_crlb',
        extra={'original_names': [row.name for row in single]},
        notes=('the spreadsheet tells no version, S/N or line width: give the .table as well.',),
    )
