"""Read fits that other programs made, each by an adapter that checks the version."""

from __future__ import annotations

import re
from pathlib import Path

from bids_acc.exceptions import MissingInputError
from bids_acc.mrs.engines.importers.fsl import fsl_result
from bids_acc.mrs.engines.importers.lcmodel import lcmodel_csv_result, lcmodel_result
from bids_acc.mrs.engines.importers.osprey import osprey_result
from bids_acc.mrs.results.engine_result import EngineResult

__all__ = [
    'find_fit_files',
    'fsl_result',
    'import_result',
    'lcmodel_csv_result',
    'lcmodel_result',
    'osprey_result',
]


SHEET = re.compile(r'\s*Row\s*,\s*Col\b')
"""How a spreadsheet of LCModel begins."""


def _candidates(folder: Path, name: str, kind: str) -> list[Path]:
    """Files of a kind that belong to a spectrum, by extension in small or capital letters."""
    place = folder / name
    hits = [place / kind]
    # where a file system tells capitals apart, a fit named .TABLE would be overlooked
    for suffix in (kind, kind.upper()):
        hits += [folder / f'{name}.{suffix}', *sorted(place.glob(f'*.{suffix}'))]
    return [hit for hit in hits if hit.is_file()]


def find_fit_files(folder: Path, stem: str) -> dict[str, Path]:
    """Files of one spectrum in a folder of other programs' fits.

    They are looked for as ``<folder>/<name>.table`` and in ``<folder>/<name>/`` (``table``,
    ``*.table``, ``coord``, ``*.coord``, ``spreadsheet.csv``, ``summary.csv``, ``qc.csv``,
    ``QuantifyResults``), where the name is that of the spectrum's file without or with its suffix;
    LCModel's extensions may be in capitals. Osprey's tables of a whole cohort are looked for in
    ``<folder>/QuantifyResults``.

    Parameters
    ----------
    folder : Path
        Folder of fits.
    stem : str
        For example ``sub-01_acq-press_svs``.

    Returns
    -------
    dict of str to Path
        By kind: ``table``, ``coord``, ``sheet``, ``summary``, ``qc``, ``osprey``; empty when there
        are none.
    """
    found: dict[str, Path] = {}
    # a folder for a scan is named by its entities, with or without the suffix
    for name in (stem, stem.removesuffix('_svs')):
        place = folder / name
        for kind in ('table', 'coord'):
            if hits := _candidates(folder, name, kind):
                found.setdefault(kind, hits[0])
        for sheet in _candidates(folder, name, 'csv'):
            # a .csv with the spectrum's name may be anything: FSL-MRS and Osprey write such files
            # too
            if SHEET.match(sheet.read_text(errors='replace')):
                found.setdefault('sheet', sheet)
        for kind in ('summary', 'qc'):
            if (place / f'{kind}.csv').is_file():
                found.setdefault(kind, place / f'{kind}.csv')
        if (place / 'QuantifyResults').is_dir():
            found.setdefault('osprey', place)
    # Osprey keeps all subjects in one folder; the row of each is found by its name
    if (folder / 'QuantifyResults').is_dir():
        found.setdefault('osprey', folder)
    return found


def import_result(folder: Path, stem: str) -> tuple[EngineResult, dict[str, str]]:
    """Read the fit of one spectrum.

    Parameters
    ----------
    folder : Path
        Folder of fits.
    stem : str
        Name of the spectrum's file without extension.

    Returns
    -------
    result : EngineResult
        In the common form.
    files : dict of str to str
        Names of the files that were read.

    Raises
    ------
    MissingInputError
        If there is no fit of this spectrum.
    InputDataError
        If a file cannot be understood.
    """
    files = find_fit_files(folder, stem)
    names = {kind: path.name for kind, path in files.items()}
    # from what tells most to what tells least: a spreadsheet has neither version nor quality
    if 'table' in files:
        return lcmodel_result(files['table'], files.get('coord')), names
    if 'sheet' in files:
        return lcmodel_csv_result(files['sheet']), names
    if 'summary' in files:
        return fsl_result(files['summary'], files.get('qc')), names
    if 'osprey' in files:
        return osprey_result(files['osprey'], stem.partition('_')[0]), names
    raise MissingInputError(
        f'--mrs-fits {folder}: no fit of {stem}; it is looked for as {stem}.table and in a folder '
        f'{stem}.'
    )
