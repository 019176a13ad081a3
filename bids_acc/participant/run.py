"""The participant level, from the plan to the pages: sessions run to their ends, some at a time.

What a session has finished is recorded when its graph has ended, so that a run that is broken off
goes on where it stopped.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from itertools import compress
from operator import not_
from pathlib import Path

from bids_acc.derivatives import dataset
from bids_acc.derivatives.links import bids_uris
from bids_acc.derivatives.records import RECORDS
from bids_acc.derivatives.sinks import gather_sinks, keep_finished
from bids_acc.derivatives.status import StatusRow, write_status
from bids_acc.exceptions import ExitCode
from bids_acc.execution.configure import code_state, configure_nipype
from bids_acc.execution.graphs import Graph, GraphResult, run_graphs
from bids_acc.execution.plugins import make_plugin
from bids_acc.execution.progress import Progress
from bids_acc.files.private import Claims
from bids_acc.files.reading import short
from bids_acc.files.writing import DISK_ERRORS, remove_abandoned
from bids_acc.participant.failed_spectra import failed_spectra, init_failed_spectrum_wf
from bids_acc.participant.folders import WorkFolder, prepare_work_dir
from bids_acc.participant.page_facts import inputs_table, run_facts
from bids_acc.participant.plan import Job, record_label, without_failed_anat
from bids_acc.participant.records import forget_before_run, keep_record
from bids_acc.participant.scanners import keep_scanner, scanner_file
from bids_acc.participant.status import FailedGraph, failed_graphs, planned_row, session_rows
from bids_acc.participant.workflow import build_session, tell_sources, workflow_name
from bids_acc.report.subject.page import write_subject_report
from bids_acc.report.subject.view import SubjectView
from bids_acc.settings import Request

LOGGER = logging.getLogger(__name__)
CLAIMS = Path('logs') / '.running'
"""Below the output folder: what runs are at work on."""
TAKEN = (
    'another run is at work on it in this output folder; wait for that run, then give the same '
    'command again, which takes over what is finished.'
)


@dataclass(frozen=True)
class RunFolders:
    """Where one run works and where it leaves its logs."""

    intermediate: WorkFolder
    logs: Path
    datasets: Mapping[str, Path] = field(default_factory=dict)
    """Name of each data set in BIDS URIs, and its root."""

    @property
    def work(self) -> Path:
        """Where Nipype works."""
        return self.intermediate.path


def open_run(request: Request, jobs: Sequence[Job]) -> RunFolders:
    """Make the folders of a run, and what makes the output a data set of its own.

    Parameters
    ----------
    request : Request
        With the folders. What other versions of the code left in the work folder is not used.
    jobs : sequence of Job
        From `plan_participant`.

    Raises
    ------
    OutputError
        If a folder cannot be made or written.
    """
    work = prepare_work_dir(request.output_dir, request.work_dir, code_state())
    datasets = dataset.write_dataset_files(
        request.bids_dir, request.output_dir, request.derivatives
    )
    remove_abandoned(request.output_dir, deep=False)
    remove_abandoned(request.output_dir / RECORDS, deep=False)
    for subject in sorted({job.session.subject for job in jobs if _is_wanted(job)}):
        remove_abandoned(request.output_dir / f'sub-{subject}')
    for subject in sorted({job.session.subject for job in jobs}):
        dataset.copy_sessions_file(request.bids_dir, request.output_dir, subject)
    for job in jobs:
        # of a session that is taken over as it is, nothing has changed: no header is read again
        if _is_wanted(job) or not scanner_file(job.session, request.output_dir).is_file():
            keep_scanner(job.session, request.output_dir, datasets)
    return RunFolders(work, dataset.new_run_folder(request.output_dir), datasets)


def run_participant(request: Request, jobs: Sequence[Job], folders: RunFolders) -> list[StatusRow]:
    """Process each session; one that is incomplete never stops the others.

    Parameters
    ----------
    request : Request
        What was asked for.
    jobs : sequence of Job
        From `plan_participant`.
    folders : RunFolders
        From `open_run`.

    Returns
    -------
    list of StatusRow
        One for each modality of each session; ``status.tsv`` and the subjects' pages are written.
    """
    started = datetime.now(UTC)
    configure_nipype(folders.work, folders.logs, stop_on_first_crash=request.stop_on_first_crash)
    claims = Claims(request.output_dir / CLAIMS)
    free, taken = _parted(jobs, partial(_claimed, claims=claims))
    for job in taken:
        LOGGER.warning('%s: %s', job.session.label, TAKEN)
    forget_before_run(free, request.output_dir)
    ledger = _Ledger(request.output_dir)
    ledger.rows |= {job.session.label: _left_alone(job) for job in taken}
    try:
        _run_sessions(request, free, folders, ledger)
    except KeyboardInterrupt:
        write_status(folders.logs, ledger.so_far(jobs))
        raise
    _tabulate_failed_spectra(free, ledger, request, folders)
    status = ledger.so_far(jobs)
    write_status(folders.logs, status)
    # The other run writes the page of these people, with what both have done.
    busy = {job.session.subject for job in taken}
    pages = [job for job in free if job.session.subject not in busy]
    _write_pages(request, pages, status, run_facts(request, folders.logs, started))
    claims.close()
    return status


def _parted(jobs: Sequence[Job], holds: Callable[[Job], bool]) -> tuple[list[Job], list[Job]]:
    """Part the jobs of which something holds from the others; each is asked once."""
    answers = [holds(job) for job in jobs]
    return list(compress(jobs, answers)), list(compress(jobs, map(not_, answers)))


def _is_wanted(job: Job) -> bool:
    """Tell whether anything of a session is to be computed."""
    return any(map(job.wants, job.plan))


def _claimed(job: Job, claims: Claims) -> bool:
    """Claim what is to be computed of a session; tell whether no other run is at work on it."""
    wanted = [modality for modality in job.plan if job.wants(modality)]
    return all(claims.claim(record_label(job.session, modality)) for modality in wanted)


def _left_alone(job: Job) -> list[StatusRow]:
    """Return the rows of a session that another run is at work on."""
    return [
        replace(planned_row(plan), status='failed', reason_code='taken', reason_text=TAKEN,
                exit_code=ExitCode.TRY_AGAIN) if job.wants(modality) else planned_row(plan)
        for modality, plan in job.plan.items()
    ]  # fmt: skip


def _write_pages(
    request: Request, jobs: Sequence[Job], status: Sequence[StatusRow], about: Mapping[str, str]
) -> None:
    """Write the page of each subject."""
    for subject in sorted({job.session.subject for job in jobs}):
        rows = [row for row in status if row.participant_id == f'sub-{subject}']
        inputs = inputs_table(job for job in jobs if job.session.subject == subject)
        write_subject_report(SubjectView(request.output_dir, subject, rows, inputs, about))


@dataclass
class _Ledger:
    """What became of the sessions so far, by label."""

    output_dir: Path
    rows: dict[str, list[StatusRow]] = field(default_factory=dict)
    failures: dict[str, dict[str, FailedGraph]] = field(default_factory=dict)
    """Graphs of spectra that did not end well."""

    def enter(self, job: Job, graph: Graph, result: GraphResult) -> list[StatusRow]:
        """Record what a session has finished and what has failed; return the rows of the job.

        Parameters
        ----------
        job : Job
            Of the session.
        graph : Graph
            That was run.
        result : GraphResult
            How it ended.
        """
        if result.unfinished and result.nodes is not None:
            keep_finished(result.nodes, result.ended)
        rows = session_rows(job, graph.steps, result)
        for row in rows:
            if row.status == 'done':
                keep_record(job, row.modality, graph.workflow, self.output_dir)
        label = job.session.label
        if job.wants('mrs'):
            self.failures[label] = failed_graphs('mrs', rows, graph.steps, result)
        self.rows[label] = [
            # of a second attempt, without the T1w image, only what was tried counts
            new if job.wants(new.modality) else old
            for old, new in zip(self.rows.get(label, rows), rows, strict=True)
        ]
        return rows

    def so_far(self, jobs: Sequence[Job]) -> list[StatusRow]:
        """Return the rows of all sessions; those that the run did not come to say so.

        Parameters
        ----------
        jobs : sequence of Job
            All of the run.

        Returns
        -------
        list of StatusRow
            In their order.
        """
        nothing = GraphResult(frozenset(), frozenset(), ())
        return [
            row
            for job in jobs
            for row in self.rows.get(job.session.label) or session_rows(job, {}, nothing)
        ]


def _run_sessions(
    request: Request, jobs: Sequence[Job], folders: RunFolders, ledger: _Ledger
) -> None:
    """Run the graphs of all sessions, and once more those that go on without their T1w image."""
    build = partial(
        build_session, output_dir=request.output_dir, work_dir=folders.work,
        settings=request.settings, datasets=folders.datasets,
    )  # fmt: skip
    wanted, done = _parted(jobs, _is_wanted)
    for job in done:
        ledger.rows[job.session.label] = [planned_row(plan) for plan in job.plan.values()]
    current = {workflow_name(job.session.label): job for job in wanted}
    tasks: deque[Callable[[], Graph]] = deque(partial(build, job) for job in wanted)
    resources = request.settings.resources
    progress = Progress(graphs=len(tasks), nprocs=resources.nprocs, quiet=request.verbosity < 0)
    if tasks:
        plugin = make_plugin(resources)
        with progress.beating():
            for graph, result in run_graphs(
                tasks, plugin, run_folder=folders.logs, progress=progress, arrange=gather_sinks
            ):
                job = current.pop(graph.workflow.name)
                again = without_failed_anat(job, ledger.enter(job, graph, result))
                if again is not None and not request.stop_on_first_crash:
                    LOGGER.info('%s goes on without its T1w image', job.session.label)
                    current[graph.workflow.name] = again
                    progress.graphs += 1
                    tasks.append(partial(build, again))


def _tabulate_failed_spectra(
    jobs: Sequence[Job], ledger: _Ledger, request: Request, folders: RunFolders
) -> None:
    """Write tables of n/a for spectra that failed, so that the group level can count them."""
    for failure in failed_spectra(jobs, ledger.failures):
        # The second time without what the fit has left: it may be the fit's own result that cannot
        # be tabulated.
        for keep_fit in (True, False):
            try:
                workflow = init_failed_spectrum_wf(
                    failure, output_dir=request.output_dir, work_dir=folders.work,
                    settings=request.settings, keep_fit=keep_fit,
                )  # fmt: skip
                tell_sources(workflow, bids_uris(failure.inputs.files, folders.datasets))
                workflow.run(plugin='Linear')
            except (RuntimeError, OSError, ValueError, MemoryError) as error:
                LOGGER.warning('no tables of %s: %s', failure.inputs.svs.name, short(error))
                if getattr(error, 'errno', None) in DISK_ERRORS:
                    break  # a disk that is full is full for either
            else:
                break
