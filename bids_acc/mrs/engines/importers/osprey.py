"""Osprey: the tables below ``QuantifyResults`` and ``QM_processed_spectra.tsv``.

Facts about the files: one file holds one quantity of all subjects, one row each, one column per
metabolite, and no version; which row belongs to whom stands in
``subject_names_and_excluded.tsv``; the sub-spectrum is the first part of a file's name (``A`` or
``off`` for unedited data). Osprey's S/N is the height of tCr over the noise, although its own
description says twice the noise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from bids_acc.exceptions import InputDataError, MissingInputError
from bids_acc.files.reading import reads
from bids_acc.mrs.basis.basis_set import canonical_name
from bids_acc.mrs.results.engine_result import COMBINED, EngineResult, kind_of
from bids_acc.quality.measure import QualityMeasure
from bids_acc.tables.reading import THEIRS, read_raw, read_tsv

SUB_SPECTRA = ('A', 'off')
"""First parts of the names of tables of unedited or edit-off spectra."""

IGNORED = ('tMM', 'MM20', 'H2O')
"""Columns besides metabolites that begin like one."""


def _table(folder: Path, quantity: str) -> pd.DataFrame | None:
    """Table of one quantity, None when Osprey did not write it."""
    for sub in SUB_SPECTRA:
        hits = sorted(folder.glob(f'{sub}_{quantity}_Voxel_1*.tsv'))
        if hits:
            return read_tsv(hits[0], THEIRS)
    return None


def _row(root: Path, table: pd.DataFrame, subject: str) -> int:
    """Row of a subject; the only row when there is one."""
    if len(table) == 1:
        return 0
    names_file = root / 'subject_names_and_excluded.tsv'
    if names_file.exists():
        names = pd.Series([cells[0] for cells in read_raw(names_file).rows], dtype=str)
        # sub-1 is not to be found in sub-10
        hits = np.flatnonzero(names.str.contains(f'{subject}(?:[_/.]|$)', regex=True))
        if len(hits) == 1:
            return int(hits[0])
    raise InputDataError(
        f'{root}: tables of {len(table)} spectra and no single row for {subject} in '
        f'subject_names_and_excluded.tsv: give the output of one subject.'
    )


def _quality(root: Path, row: int) -> dict[str, float]:
    """Row of the quality table, empty when it is not there."""
    path = root / 'QM_processed_spectra.tsv'
    if not path.exists():
        return {}
    table = read_tsv(path, THEIRS)
    return {str(k): float(v) for k, v in table.iloc[row].items() if isinstance(v, int | float)}


def _first(values: Mapping[str, float], *names: str) -> float:
    """First value that is there and above zero."""
    return next((values[n] for n in names if values.get(n, math.nan) > 0), math.nan)


def _amounts(tables: Path) -> tuple[pd.DataFrame, str]:
    """Table of amplitudes where it was written, else that of ratios to tCr; and its name."""
    # ratios serve as well: levels of this package are ratios to tCr, or scaled by its own water
    for scale in ('amplMets', 'tCr'):
        table = _table(tables, scale)
        if table is not None:
            return table, scale
    raise MissingInputError(f'{tables}: no table *_amplMets_Voxel_1* or *_tCr_Voxel_1*.')


def _values(table: pd.DataFrame | None, row: int) -> dict[str, float]:
    """Numbers of a row by column; none without a table."""
    return {} if table is None else {str(k): float(v) for k, v in table.iloc[row].items()}


def _sums(
    value: Mapping[str, float], printed: Mapping[str, float]
) -> dict[str, tuple[float, float]]:
    """Amount and standard deviation of each sum that Osprey wrote."""
    return {
        name: (value[name], value[name] * printed.get(name, math.nan) / 100)
        for name in COMBINED
        if name in value
    }


def _measures(quality: Mapping[str, float]) -> dict[str, tuple[QualityMeasure, ...]]:
    """Quality of the spectrum, from Osprey's own table."""
    snr, fwhm = _first(quality, 'tCr_SNR', 'Cr_SNR'), _first(quality, 'tCr_FWHM', 'Cr_FWHM')
    return {
        'snr': (QualityMeasure(snr, '1', 'osprey_snr'),),
        'fwhm': (QualityMeasure(fwhm, 'Hz', 'osprey_fwhm'),),
    }


def _scales(tables: Path, row: int) -> dict[str, dict[str, float]]:
    """Osprey's own water-scaled levels, by quantity and metabolite."""
    quantities = ('rawWaterScaled', 'CSFWaterScaled', 'TissCorrWaterScaled')
    found = {quantity: _table(tables, quantity) for quantity in quantities}
    return {name: _values(table, row) for name, table in found.items() if table is not None}


@reads('folder of Osprey', 'run the fit again, or fetch the file again')
def osprey_result(folder: str | Path, subject: str = '') -> EngineResult:
    """Osprey's tables in the common form.

    Parameters
    ----------
    folder : str or Path
        Osprey's output folder, which holds ``QuantifyResults``, or that folder itself.
    subject : str
        For example ``sub-01``; finds the row where there are several.

    Returns
    -------
    EngineResult
        Raw amplitudes where written, else ratios to tCr; bounds where written. Osprey's own
        water-scaled levels stand under ``extra``.

    Raises
    ------
    MissingInputError
        If there are no tables.
    InputDataError
        If the subject's row cannot be told or there is no tCr.
    """
    root = Path(folder)
    tables = root / 'QuantifyResults' if (root / 'QuantifyResults').is_dir() else root
    table, scale = _amounts(tables)
    root = tables.parent if tables.name == 'QuantifyResults' else root
    row = _row(root, table, subject)
    value = _values(table, row)
    printed = _values(_table(tables, 'CRLB'), row)
    single = [name for name in value if name not in COMBINED and name not in IGNORED]
    if not {'Cr', 'PCr', 'tCr'} & set(value):
        raise InputDataError(f'{tables}: neither Cr nor PCr nor tCr in {scale}.')
    quality = _quality(root, row)
    values = np.array([value[name] for name in single])
    percent = np.array([printed.get(name, math.nan) for name in single])
    return EngineResult(
        engine='osprey',
        version='2',
        names=tuple(canonical_name(name) for name in single),
        kinds=tuple(kind_of(name) for name in single),
        values=values,
        sd=np.where(values > 0, values * percent / 100, np.nan),
        sums=_sums(value, printed),
        printed_crlb={
            name if name in COMBINED else canonical_name(name): bound
            for name, bound in printed.items()
        },
        crlb_definition='osprey_crlb',
        measures=_measures(quality),
        extra={
            'scale': scale,
            'original_names': single,
            'quality': quality,
            **_scales(tables, row),
        },
    )
