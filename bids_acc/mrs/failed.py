"""Tables of a spectrum that could not be processed: n/a for every number, and the reason.

A spectrum that vanished would be missing from the count of exclusions; with tables of its own the
group level sees the person and says why.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nipype.pipeline import engine as pe

import bids_acc
from bids_acc.mrs import spin_systems
from bids_acc.mrs.engines import choose_engine
from bids_acc.mrs.interfaces import preprocessing_report
from bids_acc.mrs.io import unread
from bids_acc.mrs.preprocessing import nothing_usable
from bids_acc.mrs.quantify import parse_ratio
from bids_acc.mrs.records import save_record
from bids_acc.mrs.results import EngineResult, members_of
from bids_acc.mrs.workflow import init_mrs_report_wf
from bids_acc.settings import MrsSettings

UNKNOWN = dict.fromkeys(('n_coils', 'n_transients', 'n_transients_used'), math.nan)
"""Counts that nobody made."""


def expected_names(ratios: tuple[str, ...] = ()) -> tuple[str, ...]:
    """List the metabolites that a fit would have had: those simulated, and those of the ratios.

    Examples
    --------
    >>> {'Glu', 'Ins', 'Mac'} <= set(expected_names(('Mac/tCr',)))
    True
    """
    asked = [
        member for text in ratios for side in parse_ratio(text) for member in members_of(side)
    ]
    return tuple(dict.fromkeys([*spin_systems.available(), *asked]))


def init_mrs_failed_wf(
    *,
    output_dir: Path,
    entities: Mapping[str, Any],
    settings: MrsSettings,
    metadata: Mapping[str, Any],
    reason: str,
    work_dir: Path,
    finished: Path | None = None,
    name: str = 'mrs_failed_wf',
) -> pe.Workflow:
    """Write the tables and figures of a spectrum that failed.

    Parameters
    ----------
    output_dir : Path
        Root of the derivative dataset.
    entities : mapping
        Entities of the spectrum.
    settings : MrsSettings
        Gate, ratios and constants.
    metadata : mapping
        BIDS metadata of the spectrum, as far as they can be read.
    reason : str
        Why it failed, one sentence.
    work_dir : Path
        Folder of its own, for the records that the tables are made of.
    finished : Path, optional
        Working folder of the spectrum's own graph, of which the steps that ended well are used.
    name : str
        Name of the workflow.

    Returns
    -------
    Workflow
        Ready to run.
    """
    work_dir.mkdir(parents=True, exist_ok=True)
    engine = choose_engine(settings.engine, settings.fits is not None)
    result = EngineResult.failed(
        engine, bids_acc.__version__, expected_names(settings.ratios), reason
    )
    workflow = init_mrs_report_wf(
        output_dir=output_dir, entities=entities, settings=settings, name=name
    )
    inputs = workflow.get_node('inputnode').inputs
    inputs.result_file = str(save_record(result, work_dir / 'result.json'))
    steps = {} if finished is None else _finished_steps(finished)
    if 'report_file' not in steps:
        data = unread(metadata, '', reason)
        report = preprocessing_report(data, nothing_usable(0, reason)) | UNKNOWN
        steps['report_file'] = str(save_record(report, work_dir / 'report.json'))
    for field, value in steps.items():
        setattr(inputs, field, value)
    return workflow


def _finished_steps(folder: Path) -> dict[str, str]:
    """Find what a spectrum's own graph left behind: preprocessing and tissue fractions."""
    preproc, tissue = folder / 'preproc', folder / 'mrs_tissue_wf' / 'voxel' / 'tissue.json'
    report, spectrum = preproc / 'report.json', preproc / 'preproc_svs.nii.gz'
    found: dict[str, str] = {}
    if report.is_file() and spectrum.is_file():
        found |= {'report_file': str(report), 'in_file': str(spectrum)}
    return found | ({'tissue_file': str(tissue)} if tissue.is_file() else {})
