"""FSL-MRS: ``summary.csv`` and ``qc.csv``.

Facts about the files: they hold no version, so the columns are checked; sums stand as rows joined
by ``+``, with empty quality; ``0`` in SNR or FWHM means that no peak was found and is read as
missing; the SNR is that of one fitted metabolite and not of the spectrum.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from bids_acc.exceptions import InputDataError, MissingInputError
from bids_acc.files.reading import reads
from bids_acc.mrs.basis.basis_set import canonical_name
from bids_acc.mrs.results.engine_result import COMBINED, EngineResult, kind_of
from bids_acc.quality.measure import QualityMeasure

VERSION = '2'
"""FSL-MRS 1.1 to 2.4 write these columns."""


def _read(path: Path, wanted: set[str]) -> pd.DataFrame:
    """Table with the wanted columns."""
    if not path.exists():
        raise MissingInputError(f'{path}: no such file.')
    table = pd.read_csv(path)
    if missing := wanted - set(table.columns):
        raise InputDataError(
            f'{path.name}: column {", ".join(sorted(missing))} is missing, so this is no table of '
            f'FSL-MRS 1.1 to 2.4: give the summary.csv of a run of fsl_mrs.'
        )
    return table


def _amounts(table: pd.DataFrame, name: str) -> tuple[np.ndarray, str]:
    """Values of the first scale that the table has, and its column."""
    # the name of this column is that of the reference, which the user of FSL-MRS chose: /Cr+PCr,
    # /NAA
    internal = [c for c in table.columns if str(c).startswith('/') and not str(c).endswith('CRLB')]
    for column in ('mMol/kg', 'mM', *internal, 'Raw conc'):
        if column in table.columns:
            return table[column].to_numpy(dtype=float), column
    raise InputDataError(f'{name}: no column of concentrations (mMol/kg, mM, /Cr+PCr, Raw conc).')


def _quality(table: pd.DataFrame, column: str) -> float:
    """SNR or FWHM of NAA, else of Cr, else of PCr; zero is missing."""
    for name in ('NAA', 'Cr', 'PCr'):
        rows = table.loc[table['Metab'] == name, column]
        # FSL-MRS writes a width of zero where it found no peak, which would pass any gate
        if len(rows) and rows.iloc[0] > 0:
            return float(rows.iloc[0])
    return math.nan


def _sums(
    value: Mapping[str, float], printed: Mapping[str, float]
) -> tuple[dict[str, tuple[float, float]], dict[str, float]]:
    """Amount and standard deviation of each sum that we know, and its printed bound."""
    sums: dict[str, tuple[float, float]] = {}
    bounds: dict[str, float] = {}
    # sums are FSL-MRS's own, with bounds that know the covariance, which the table does not tell
    for name in (name for name in value if '+' in name):
        members = {canonical_name(part) for part in name.split('+')}
        for ours, wanted in COMBINED.items():
            if members == set(wanted):
                sums[ours] = (value[name], value[name] * printed[name] / 100)
                bounds[ours] = printed[name]
    return sums, bounds


def _measures(table: pd.DataFrame) -> dict[str, tuple[QualityMeasure, ...]]:
    """Quality of the spectrum; missing where the table has no columns of it."""
    there = {'SNR', 'FWHM'} <= set(table.columns)
    snr = _quality(table, 'SNR') if there else math.nan
    fwhm = _quality(table, 'FWHM') if there else math.nan
    return {
        'snr': (QualityMeasure(snr, '1', 'fsl_snr_peak'),),
        'fwhm': (QualityMeasure(fwhm, 'Hz', 'fsl_fwhm'),),
    }


def _scales(table: pd.DataFrame, names: Sequence[str]) -> dict[str, dict[str, float]]:
    """Water-scaled levels of FSL-MRS, by scale and metabolite."""
    return {
        column: dict(zip(names, table[column].tolist(), strict=True))
        for column in ('mMol/kg', 'mM')
        if column in table.columns
    }


@reads('summary of fsl_mrs', 'run the fit again, or fetch the file again')
def fsl_result(summary_file: str | Path, qc_file: str | Path | None = None) -> EngineResult:
    """FSL-MRS's tables in the common form.

    Parameters
    ----------
    summary_file : str or Path
        The ``summary.csv``.
    qc_file : str or Path, optional
        The ``qc.csv``, which wins over the quality columns of the summary.

    Returns
    -------
    EngineResult
        Amounts in the table's first scale; relative bounds as printed. Water-scaled levels of
        FSL-MRS stand under ``extra``, not among ours.

    Raises
    ------
    MissingInputError
        If a file is not there.
    InputDataError
        If the columns are not those of FSL-MRS.
    """
    path = Path(summary_file)
    table = _read(path, {'Metab', '%CRLB'})
    amounts, scale = _amounts(table, path.name)
    quality = table if qc_file is None else _read(Path(qc_file), {'Metab', 'SNR', 'FWHM'})
    names = [str(name) for name in table['Metab']]
    printed = dict(zip(names, table['%CRLB'].to_numpy(dtype=float), strict=True))
    value = dict(zip(names, amounts, strict=True))
    single = [name for name in names if '+' not in name]
    sums, of_sums = _sums(value, printed)
    values = np.array([value[name] for name in single])
    bounds = np.array([printed[name] for name in single])
    return EngineResult(
        engine='fsl_mrs',
        version=VERSION,
        names=tuple(canonical_name(name) for name in single),
        kinds=tuple(kind_of(name) for name in single),
        values=values,
        sd=np.where(values > 0, values * bounds / 100, np.nan),
        sums=sums,
        printed_crlb={canonical_name(name): printed[name] for name in single} | of_sums,
        crlb_definition='fsl_crlb',
        measures=_measures(quality),
        extra={'scale': scale, 'original_names': single, **_scales(table, names)},
    )
