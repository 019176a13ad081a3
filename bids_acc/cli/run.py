"""The command: discover, plan, build, execute, report; one place decides text and exit code."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import shlex
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bids_acc import __version__
from bids_acc.cli.parser import parse
from bids_acc.exceptions import BidsAccError, ExitCode, NothingSelectedError
from bids_acc.files.private import use_private_matplotlib
from bids_acc.settings import Request

if TYPE_CHECKING:
    from bids_acc.bids.inputs import PlanRow, Session
    from bids_acc.execution import Crash, Progress
    from bids_acc.participant.jobs import Job

LOGGER = logging.getLogger('bids_acc')

SEVERITY = (
    ExitCode.CANNOT_WRITE,
    ExitCode.TRY_AGAIN,
    ExitCode.INTERNAL,
    ExitCode.USAGE,
    ExitCode.BAD_DATA,
    ExitCode.NO_INPUT,
)
"""When sessions fail for different reasons, the first of these that occurs is returned."""

ISOLATED = ('PYTHONPATH', 'PYTHONUSERBASE', 'PYTHONSTARTUP')
"""Variables of the host that leak into a container and change which code is imported."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    for name in ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS'):
        os.environ.setdefault(name, '1')  # processes, not threads, use the cores
    os.environ.setdefault('ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS', '1')
    os.environ.setdefault('NO_ET', '1')  # nipype's version check goes to the network
    os.environ.setdefault('MPLBACKEND', 'Agg')
    # As process 1 of a container Python ignores SIGTERM unless told otherwise.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        use_private_matplotlib()
        return int(run(parse(argv)))
    except BidsAccError as error:
        return _refuse(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _refuse('interrupted; the same command goes on where it stopped', 130)
    except MemoryError:
        return _refuse('out of memory; run again with fewer --nprocs', ExitCode.TRY_AGAIN)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EROFS, errno.ENOSPC, errno.EDQUOT):
            return _refuse(
                f'{error.filename}: {error.strerror}; nothing more can be written',
                ExitCode.CANNOT_WRITE,
            )
        return _internal(error)
    except Exception as error:  # noqa: BLE001 - the last line of defence; it is logged
        return _internal(error)


def _refuse(message: str, code: int) -> int:
    """Say in one sentence why the command stops."""
    print(f'bids_acc: {message}', file=sys.stderr)
    return int(code)


def _internal(error: Exception) -> int:
    """Say that this is our fault, with the traceback."""
    LOGGER.error('internal error', exc_info=error)
    return _refuse(
        'internal error, see the traceback above; please report it with the command and '
        f'bids_acc {__version__}',
        ExitCode.INTERNAL,
    )


def run(request: Request) -> ExitCode:
    """Do what was asked for."""
    _set_up_logging(request.verbosity)
    if leaked := [name for name in ISOLATED if os.environ.pop(name, None)]:
        LOGGER.warning('ignored from the environment: %s', ', '.join(leaked))
    return run_participant(request) if request.level == 'participant' else run_group(request)


def _set_up_logging(verbosity: int, run_folder: Path | None = None) -> None:
    """Send messages to the screen and, once there is one, to the run's log."""
    levels = (logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG)
    level = levels[min(verbosity, 2) + 1]
    logger = logging.getLogger('bids_acc')
    logger.setLevel(logging.DEBUG)
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
    screen = logging.StreamHandler()
    screen.setLevel(level)
    screen.setFormatter(logging.Formatter('%(levelname)s: %(message)s'))
    logger.addHandler(screen)
    if run_folder is not None:
        file = logging.FileHandler(run_folder / 'run.log')
        file.setFormatter(logging.Formatter('%(asctime)s %(levelname)s %(name)s: %(message)s'))
        logger.addHandler(file)


# --- participant level -----------------------------------------------------------------------


def run_participant(request: Request) -> ExitCode:
    """Process each session; one that is incomplete never stops the others."""
    from bids_acc import execution
    from bids_acc.bids.selection import check_dataset
    from bids_acc.derivatives import dataset
    from bids_acc.mrs.fitting import check_mrs_settings
    from bids_acc.participant.folders import check_folders, prepare_work_dir
    from bids_acc.participant.jobs import plan_jobs, without_failed_anat
    from bids_acc.participant.records import forget_before_run

    check_folders(
        request.bids_dir, request.output_dir, request.work_dir,
        validate=not request.skip_bids_validation,
    )  # fmt: skip
    if not request.skip_bids_validation:
        check_dataset(request.bids_dir)
    if 'mrs' in request.modalities:
        check_mrs_settings(request.settings.mrs)
    sessions = discover_sessions(request)
    jobs = plan_jobs(
        sessions,
        bids_dir=request.bids_dir,
        output_dir=request.output_dir,
        settings=request.settings,
        derivatives=request.derivatives,
        force=request.force,
    )
    rows = [row for job in jobs for row in job.plan.values()]
    if request.dry_run:
        print_plan(rows, request.dry_run)
        return _code_if_nothing(rows)
    _code_if_nothing(rows)
    work_base, work_dir = prepare_work_dir(
        request.output_dir, request.work_dir, execution.code_state()
    )
    dataset.write_dataset_files(request.bids_dir, request.output_dir)
    for subject in sorted({session.subject for session in sessions}):
        dataset.copy_sessions_file(request.bids_dir, request.output_dir, subject)
    run_folder = dataset.new_run_folder(request.output_dir)
    _set_up_logging(request.verbosity, run_folder)
    _keep_request(request, run_folder)
    print_plan(rows, 'text', stream=sys.stderr)

    execution.configure_nipype(
        work_dir, run_folder, stop_on_first_crash=request.stop_on_first_crash
    )
    forget_before_run(jobs, request.output_dir)
    status = _run_pass(jobs, request, work_dir, run_folder)
    if again := without_failed_anat(jobs, status):
        LOGGER.info('%d sessions go on without their T1w image', len(again))
        status = _merge(status, _run_pass(again, request, work_dir, run_folder))
    _tabulate_failed_spectra(jobs, status, request, work_dir)
    dataset.write_status(run_folder, status)
    write_participant_reports(jobs, status, request.output_dir)
    text, code = verdict(status)
    print(f'{text} Status: {run_folder / "status.tsv"}', file=sys.stderr)
    if code is ExitCode.OK and request.work_dir is None:
        shutil.rmtree(work_base, ignore_errors=True)
    return code


def _run_pass(
    jobs: Sequence[Job], request: Request, work_dir: Path, run_folder: Path
) -> list[dict[str, Any]]:
    """Build and run one graph, and tell what became of each modality."""
    from bids_acc.participant.workflow import init_participant_wf

    workflow = init_participant_wf(
        jobs,
        output_dir=request.output_dir,
        work_dir=work_dir,
        settings=request.settings,
    )
    crashes, progress = _execute(workflow, request, run_folder)
    return finish_jobs(jobs, workflow, crashes, progress, request, run_folder)


def _tabulate_failed_spectra(
    jobs: Sequence[Job], status: Sequence[dict[str, Any]], request: Request, work_dir: Path
) -> None:
    """Write tables of n/a for spectra that failed, so that the group level can count them."""
    from bids_acc.participant.failed_spectra import failed_spectra, init_failed_spectrum_wf

    for failure in failed_spectra(jobs, status):
        for keep_fit in (True, False):
            try:
                workflow = init_failed_spectrum_wf(
                    failure, output_dir=request.output_dir, work_dir=work_dir,
                    settings=request.settings, keep_fit=keep_fit,
                )  # fmt: skip
                workflow.run(plugin='Linear')
            except (RuntimeError, OSError, ValueError, MemoryError) as error:
                LOGGER.warning('no tables of %s: %s', failure.inputs.svs.name, error)
            else:
                break


def _merge(
    first: Sequence[dict[str, Any]], second: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Replace rows of the first pass by those of the second, but for what failed there."""
    keys = ('participant_id', 'session_id', 'arm')
    newer = {tuple(row[k] for k in keys): row for row in second if row['arm'] != 'anat'}
    return [newer.get(tuple(row[k] for k in keys), row) for row in first]


def discover_sessions(request: Request) -> list[Session]:
    """Find the selected sessions and what each offers."""
    from bids_acc.bids import selection as chosen
    from bids_acc.bids.discovery import discover
    from bids_acc.bids.index import ImageIndex

    there = chosen.subject_labels(request.bids_dir)
    subjects = chosen.choose_labels(request.participant_labels, there, 'participant')
    chosen.choose_labels(
        request.session_labels, chosen.session_labels(request.bids_dir, subjects), 'session'
    )
    filters = chosen.read_filters(request.bids_filter_file)
    selection = chosen.Selection(
        request.participant_labels, request.session_labels, filters, request.modalities,
        request.derivatives, request.settings.dwi.source, request.settings.dwi.noddi,
        request.settings.dwi.b_max, request.settings.dwi.b0_threshold,
        request.settings.dwi.bvalue_scaling, request.settings.anat.average,
    )  # fmt: skip
    return discover(ImageIndex(request.bids_dir), selection)


def _code_if_nothing(rows: Sequence[PlanRow]) -> ExitCode:
    """Refuse a selection that offers nothing at all.

    Raises
    ------
    NothingSelectedError
        If every modality of every session is skipped.
    """
    if all(row.status == 'skip' for row in rows):
        reasons = Counter(row.reason for row in rows)
        common = '; '.join(reason for reason, _ in reasons.most_common(3))
        raise NothingSelectedError(f'No selected session has anything to process: {common}.')
    return ExitCode.OK


def print_plan(rows: Sequence[PlanRow], form: str, stream: Any = None) -> None:
    """Print what will be done, for people or for programs."""
    stream = stream or sys.stdout
    if form == 'json':
        print(json.dumps([row.as_dict() for row in rows], indent=2), file=stream)
        return
    for row in rows:
        where = ' '.join(part for part in (row.participant_id, row.session_id) if part)
        reason = f' ({row.reason})' if row.reason else ''
        print(f'{where:20s} {row.modality:5s} {row.status}{reason}', file=stream)
    counts = Counter(row.status for row in rows)
    print(', '.join(f'{n} {status}' for status, n in sorted(counts.items())), file=stream)


def _keep_request(request: Request, run_folder: Path) -> None:
    """Write down how this run was called."""
    from bids_acc.files.writing import write_bytes
    from bids_acc.settings import to_toml

    write_bytes(run_folder / 'config.toml', to_toml(request).encode())
    command = shlex.join(sys.argv) + '\n'
    write_bytes(run_folder / 'command.txt', command.encode(errors='surrogateescape'))


def _execute(workflow: Any, request: Request, run_folder: Path) -> tuple[list[Crash], Progress]:
    """Run the graph; failures are read from the crash files, not raised."""
    from bids_acc import execution

    resources = request.settings.resources
    progress = execution.Progress.for_workflow(workflow, resources.nprocs)
    if progress.total == 0:
        return [], progress
    plugin = execution.make_plugin(resources, progress)
    try:
        with progress.beating():
            workflow.run(plugin=plugin)
    except (RuntimeError, OSError, ValueError) as error:
        LOGGER.debug('nipype: %s', error)
        if not list(run_folder.glob('crash-*.txt')):
            raise
    return execution.read_crashes(run_folder), progress


def finish_jobs(
    jobs: Sequence[Job],
    workflow: Any,
    crashes: Sequence[Crash],
    progress: Progress,
    request: Request,
    run_folder: Path,
) -> list[dict[str, Any]]:
    """Write the records of what was finished and tell the status of each modality.

    Returns
    -------
    list of dict
        Rows of ``status.tsv``, with ``exit_code`` besides.
    """
    from bids_acc.participant.records import keep_record
    from bids_acc.participant.workflow import workflow_name

    unfinished = _unfinished(workflow, progress)
    rows = []
    for job in jobs:
        name = workflow_name(job.session.label)
        for modality, plan in job.plan.items():
            row = _status_row(plan)
            if plan.status == 'run':
                broken = [n for n in unfinished if _belongs(n, name, modality)]
                own = [c for c in crashes if _belongs(c.node, name, modality)]
                if broken or own:
                    _mark_failed(row, own or _upstream(crashes, name), run_folder)
                    if modality == 'mrs':
                        ended = [n for n in progress.ended if _belongs(n, name, modality)]
                        row['failed_graphs'] = _failed_graphs(
                            broken, own, ended, row['reason_text']
                        )
                else:
                    session_wf = workflow.get_node(name)
                    keep_record(job, modality, session_wf, request.output_dir)
            rows.append(row)
    return rows


def _status_row(plan: PlanRow) -> dict[str, Any]:
    """Turn a plan row into a status row, as if all went well."""
    words = {'run': 'done', 'reuse': 'reused', 'skip': 'skipped', 'fail': 'failed'}
    return {
        'participant_id': plan.participant_id,
        'session_id': plan.session_id,
        'arm': plan.modality,
        'status': words[plan.status],
        'reason_code': plan.reason_code,
        'reason_text': plan.reason,
        'log': '',
        'exit_code': plan.exit_code,
    }


def _unfinished(workflow: Any, progress: Progress) -> set[str]:
    """Name the nodes that did not end well."""
    from bids_acc.execution import computing_nodes

    return set(computing_nodes(workflow)) - progress.ended


def _belongs(node: str, session_workflow: str, modality: str) -> bool:
    """Tell whether a node is part of one modality of one session."""
    parts = node.split('.')
    return len(parts) > 2 and parts[1] == session_workflow and parts[2].startswith(f'{modality}_')


def _upstream(crashes: Sequence[Crash], session_workflow: str) -> list[Crash]:
    """List the crashes of a session, which are why its other steps never began."""
    return [c for c in crashes if c.node.split('.')[1:2] == [session_workflow]]


def _failed_graphs(
    unfinished: Iterable[str], crashes: Sequence[Crash], ended: Iterable[str], otherwise: str
) -> dict[str, tuple[str, frozenset[str]]]:
    """Map each spectrum's graph that did not end well to the reason and the steps that did."""
    crashed = {crash.node: crash.reason for crash in reversed(crashes)}
    reasons = {node.split('.')[2]: otherwise for node in unfinished}
    reasons |= {node.split('.')[2]: reason for node, reason in crashed.items()}
    steps = [node.split('.', 3)[2:] for node in ended if node not in crashed]
    return {
        graph: (reason, frozenset(step for of, step in steps if of == graph))
        for graph, reason in reasons.items()
    }


def _mark_failed(row: dict[str, Any], crashes: Sequence[Crash], run_folder: Path) -> None:
    """Write into a status row why the modality failed."""
    row['status'] = 'failed'
    if not crashes:
        row.update(
            reason_code='not_run', reason_text='not run: the run stopped before it',
            exit_code=ExitCode.TRY_AGAIN,
        )  # fmt: skip
        return
    crash = crashes[0]
    step = crash.node.split('.', 2)[-1]
    row.update(
        reason_code=crash.exit_code.name.lower(),
        reason_text=f'{step}: {crash.reason}',
        log=crash.file.name if crash.file else '',
        exit_code=crash.exit_code,
    )
    LOGGER.debug('%s in %s', crash, run_folder)


def verdict(status: Sequence[dict[str, Any]]) -> tuple[str, ExitCode]:
    """Decide the closing sentence and the exit code, both from the same rows.

    Parameters
    ----------
    status : sequence of dict
        Rows with ``status``, ``reason_text`` and ``exit_code``.

    Returns
    -------
    text : str
    code : ExitCode

    Examples
    --------
    >>> verdict([{'status': 'done', 'exit_code': ExitCode.OK}])[1].name
    'OK'
    """
    counts = Counter(row['status'] for row in status)
    tally = ', '.join(
        f'{counts[s]} {s}' for s in ('done', 'reused', 'skipped', 'failed') if counts[s]
    )
    codes = {row['exit_code'] for row in status} - {ExitCode.OK}
    code = next((c for c in SEVERITY if c in codes), ExitCode.OK)
    if code is ExitCode.OK:
        return f'bids_acc: finished: {tally}.', code
    lines = []
    for row in status:
        if row['exit_code'] is not ExitCode.OK:
            where = ' '.join(p for p in (row['participant_id'], row['session_id']) if p)
            lines.append(f'  {where} {row["arm"]}: {row["reason_text"]}')
    listed = '\n'.join(lines)
    words = code.name.lower().replace('_', ' ')
    text = f'{listed}\nbids_acc: finished with problems: {tally}; exit code {int(code)} ({words}).'
    return text, code


def write_participant_reports(
    jobs: Sequence[Job], status: Sequence[dict[str, Any]], output_dir: Path
) -> None:
    """Write one page for each subject."""
    from bids_acc.report.html import write_subject_report

    for subject in sorted({job.session.subject for job in jobs}):
        rows = [row for row in status if row['participant_id'] == f'sub-{subject}']
        write_subject_report(output_dir, subject, rows)


# --- group level -----------------------------------------------------------------------------


def run_group(request: Request) -> ExitCode:
    """Analyse the cohort from the output folder alone."""
    from bids_acc.group.cohort import plan_group
    from bids_acc.group.several import read_as_one
    from bids_acc.participant.folders import check_group_folder

    check_group_folder(request.output_dir)
    with read_as_one([request.output_dir, *request.more_outputs]) as data_dir:
        plan = plan_group(data_dir, request.participant_labels, request.session_labels)
        if request.dry_run:
            print_group_plan(plan, request.dry_run)
            return ExitCode.OK
        return _analyse_group(request, data_dir, plan)


def _analyse_group(request: Request, data_dir: Path, plan: list[dict[str, Any]]) -> ExitCode:
    """Run the group level on what was found."""
    from bids_acc.derivatives import dataset
    from bids_acc.files.writing import check_space
    from bids_acc.group import analysis
    from bids_acc.participant.folders import prepare_work_dir

    check_space(request.output_dir)
    run_folder = dataset.new_run_folder(request.output_dir)
    _set_up_logging(request.verbosity, run_folder)
    _keep_request(request, run_folder)
    work_base, work_dir = prepare_work_dir(request.output_dir, request.work_dir, 'group')
    started = time.monotonic()

    def show(progress: Any) -> None:
        elapsed = int(time.monotonic() - started)
        print(f'[{elapsed // 60}:{elapsed % 60:02d}] group: {progress}', file=sys.stderr)

    found = analysis.run_group(
        request.output_dir, request.settings, plan, data_dir=data_dir, work_dir=work_dir,
        progress=_sparse(show),
    )  # fmt: skip
    dataset.write_status(run_folder, found.status)
    text, code = verdict(found.status)
    print(
        f'{text} Report: {request.output_dir / "group.html"} Status: {run_folder / "status.tsv"}',
        file=sys.stderr,
    )
    if code is ExitCode.OK and request.work_dir is None:
        shutil.rmtree(work_dir, ignore_errors=True)
        with contextlib.suppress(OSError):  # the participant level may have left its own there
            work_base.rmdir()
    return code


def _sparse(show: Callable[[Any], None], every_s: float = 2.0) -> Callable[[Any], None]:
    """Pass on the first, the last and otherwise one message in a while."""
    last = [-every_s]

    def report(progress: Any) -> None:
        now = time.monotonic()
        if now - last[0] >= every_s or progress.done == progress.total:
            last[0] = now
            show(progress)

    return report


def print_group_plan(plan: Sequence[dict[str, Any]], form: str) -> None:
    """Print what the group level can use."""
    if form == 'json':
        print(json.dumps(plan, indent=2))
        return
    for row in plan:
        where = ' '.join(part for part in (row['participant_id'], row['session_id']) if part)
        reason = f' ({row["reason"]})' if row['reason'] else ''
        print(f'{where:20s} {row["modality"]:5s} {row["status"]}{reason}')
