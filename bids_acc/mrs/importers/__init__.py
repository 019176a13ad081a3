"""Read fits that other programs made, each by an adapter that checks the version."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bids_acc.exceptions import InputDataError
from bids_acc.mrs.importers.lcmodel import lcmodel_result
from bids_acc.mrs.results import EngineResult

__all__ = ['import_result', 'lcmodel_result']


def import_result(files: Mapping[str, Path]) -> EngineResult:
    """Read the fit of one spectrum.

    Parameters
    ----------
    files : mapping of str to Path
        By kind, as `bids_acc.mrs.engines.find_fit_files` gives them.

    Returns
    -------
    EngineResult
        In the common form.

    Raises
    ------
    InputDataError
        If none of the files can be understood.
    """
    if 'table' in files:
        return lcmodel_result(files['table'], files.get('coord'))
    raise InputDataError(f'{", ".join(p.name for p in files.values())}: no known table of results.')
