"""Tables of n/a, with the reason, for the spectra that gave no levels."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from nipype.pipeline.engine import Workflow

from bids_acc.bids.inputs import MrsInputs
from bids_acc.mrs.workflow.failed import init_mrs_failed_wf
from bids_acc.participant.plan import Job
from bids_acc.participant.status import FailedGraph
from bids_acc.participant.workflow import GRAPHS, spectrum_names, workflow_name
from bids_acc.settings import Settings


@dataclass(frozen=True)
class FailedSpectrum:
    """A spectrum without levels, and why."""

    inputs: MrsInputs
    reason: str
    graph: str = ''
    """Full name of the graph that was tried; empty when none was."""
    ended: frozenset[str] = frozenset()
    """Steps of that graph, without its name, that ended well."""


def failed_spectra(
    jobs: Iterable[Job], failures: Mapping[str, Mapping[str, FailedGraph]]
) -> list[FailedSpectrum]:
    """Return the spectra that gave no levels.

    Parameters
    ----------
    jobs : iterable of Job
        What was asked for.
    failures : mapping of str to mapping of str to FailedGraph
        Label of each session to the graphs of its spectra that did not end well.

    Returns
    -------
    list of FailedSpectrum
        Those that could not be read, then those whose graph failed, by session.
    """
    found = []
    for job in jobs:
        session = job.session
        found += [FailedSpectrum(one, one.problem) for one in session.broken_mrs]
        failed = failures.get(session.label, {})
        graph = f'{GRAPHS}.{workflow_name(session.label)}'
        found += [
            FailedSpectrum(spectrum, failed[name].reason, f'{graph}.{name}', failed[name].ended)
            for name, spectrum in zip(spectrum_names(session.mrs), session.mrs, strict=True)
            if name in failed
        ]
    return found


def init_failed_spectrum_wf(
    failure: FailedSpectrum,
    *,
    output_dir: Path,
    work_dir: Path,
    settings: Settings,
    keep_fit: bool = True,
) -> Workflow:
    """Write tables of n/a, with the reason, for a spectrum that gave no levels.

    Parameters
    ----------
    failure : FailedSpectrum
        One of `failed_spectra`.
    output_dir, work_dir : Path
        Root of the derivative data set; where Nipype keeps its files.
    settings : Settings
        Of this run.
    keep_fit : bool
        Whether a fit that ended well before a later step failed is tabulated.

    Returns
    -------
    Workflow
    """
    inputs = failure.inputs
    # Nipype takes letters, digits and underscores only
    name = re.sub(r'\W', '_', inputs.svs.name.split('.')[0])
    workflow = init_mrs_failed_wf(
        output_dir=output_dir,
        entities=dict(inputs.entities),
        settings=settings.mrs,
        metadata=inputs.metadata,
        reason=failure.reason,
        work_dir=work_dir / 'failed_spectra' / name,
        finished=work_dir.joinpath(*failure.graph.split('.')) if failure.graph else None,
        ended=failure.ended if keep_fit else failure.ended - {'fit'},
        name=f'{name}_wf',
    )
    workflow.base_dir = str(work_dir / 'failed_spectra_wf')
    return workflow
