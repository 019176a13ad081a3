"""Tables of a spectrum that could not be processed: n/a for every number, and the reason.

A spectrum that vanished would be missing from the count of exclusions; with tables of its own the
group level sees the person and says why.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

from nipype.pipeline import engine as pe

from bids_acc.mrs.engines.run import choose_engine, not_fitted
from bids_acc.mrs.levels.quantify import ratio_members
from bids_acc.mrs.results.records import load_result, save_record
from bids_acc.mrs.scan.report import empty_report
from bids_acc.mrs.workflow.spectrum import init_mrs_report_wf
from bids_acc.settings import MrsSettings
from bids_acc.typing import Metadata


def init_mrs_failed_wf(
    *,
    output_dir: Path,
    entities: Mapping[str, object],
    settings: MrsSettings,
    metadata: Metadata,
    reason: str,
    work_dir: Path,
    finished: Path | None = None,
    ended: Collection[str] = (),
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
        Working folder of the spectrum's own graph.
    ended : collection of str
        Names of that graph's steps that ended well and are used. What lies in the folders of the
        others is of an earlier run.
    name : str
        Name of the workflow.

    Returns
    -------
    Workflow
        Ready to run.
    """
    work_dir.mkdir(parents=True, exist_ok=True)
    # a fit that ended well is not thrown away because a later step, such as a figure, failed
    steps = {} if finished is None else _finished_steps(finished, ended)
    fitted = steps.pop('result_file', None)
    if fitted is None:
        engine = choose_engine(settings.engine, settings.fits is not None)
        result = not_fitted(engine, reason, ratio_members(settings.ratios))
    else:
        result = load_result(fitted)
        result = replace(result, notes=(*result.notes, f'a later step failed: {reason}'))
    workflow = init_mrs_report_wf(
        output_dir=output_dir, entities=entities, settings=settings, name=name
    )
    inputs = workflow.get_node('inputnode').inputs
    inputs.result_file = str(save_record(result, work_dir / 'result.json'))
    # the file itself may be what could not be read: then the sidecar tells the rest
    if 'report_file' not in steps:
        report = empty_report(metadata, reason)
        steps['report_file'] = str(save_record(report, work_dir / 'report.json'))
    for field, path in steps.items():
        # in a spectrum's own graph the basis set's description is handed over as a value
        value = json.loads(Path(path).read_text()) if field == 'basis_info' else path
        setattr(inputs, field, value)
    return workflow


_KEPT = {
    'preproc': {'report_file': 'report.json', 'in_file': 'preproc_svs.nii.gz'},
    'mrs_tissue_wf.voxel': {'tissue_file': 'tissue.json'},
    'fit': {'result_file': 'result.json', 'basis_info': 'basis_info.json'},
}
"""Steps of a spectrum's graph, and what each leaves for the tables."""


def _finished_steps(folder: Path, ended: Collection[str]) -> dict[str, str]:
    """Find the files that a spectrum's own graph left behind, by the input of the tables."""
    found: dict[str, str] = {}
    for step, files in _KEPT.items():
        paths = {field: folder.joinpath(*step.split('.'), name) for field, name in files.items()}
        # a file alone proves nothing: it may be of an earlier run with other settings
        if step in ended and all(path.is_file() for path in paths.values()):
            found |= {field: str(path) for field, path in paths.items()}
    return found
