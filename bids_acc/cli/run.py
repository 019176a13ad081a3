"""The command: discover, plan, build, execute, report; one place decides text and exit code."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import resource
import shlex
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from bids_acc import __version__
from bids_acc.cli import interruption
from bids_acc.exceptions import (
    FEW_FILES,
    BidsAccError,
    ExitCode,
    OutputError,
    ran_out_of_files,
    ran_out_of_memory,
)
from bids_acc.files.private import temporary_folder, use_private_matplotlib
from bids_acc.files.writing import (
    DISK_ERRORS,
    WRITE_ERRORS,
    cannot_write,
    check_space,
    full_folder,
    write_bytes,
)

if TYPE_CHECKING:
    from bids_acc.bids.inputs import PlanRow
    from bids_acc.group.cohort.reading import GroupPlanRow
    from bids_acc.group.tasks import ProgressCallback, TaskProgress
    from bids_acc.settings import Request

LOGGER = logging.getLogger('bids_acc')

HEARTBEAT_S = 60.0
"""Seconds between two lines of a log."""
LEAST_ADDRESS_SPACE = 2**30
"""Bytes of address space below which nothing is begun (own convention: a spectrum alone takes
some 0.7 GB). OpenBLAS tries for ever to get memory where the limit (``ulimit -v``) lets it have
none."""
ENOUGH_FILES = 16384
"""Files that a process may have open, where the system lets it: each worker takes some five of the
process that started it (own convention)."""
MOST_PAGES = 4
"""Pages that the last line names one by one."""
NOT_CHECKED = '--skip-bids-validation: dataset_description.json was not checked'
"""Said in the plan and in the log of the run."""
ISOLATED = ('PYTHONPATH', 'PYTHONUSERBASE', 'PYTHONSTARTUP')
"""Variables of the host that leak into a container and change which code is imported."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    Parameters
    ----------
    argv : sequence of str or None
        Words after the command's name; those of the process by default.

    Returns
    -------
    int
        See the table of exit codes in the README.
    """
    os.environ.setdefault('NO_ET', '1')  # nipype's version check goes to the network
    os.environ['MPLBACKEND'] = 'Agg'  # notebooks set one that no other process can load
    if not _has_home():
        os.environ['HOME'] = '/'  # as Docker does; PyBIDS trips over it otherwise
    interruption.listen()
    _allow_files()
    request = None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if 0 <= limit < LEAST_ADDRESS_SPACE:
        return _refuse(
            f'this shell limits memory to {limit / 2**30:.2g} GB of address space (ulimit -v), at '
            f'least {LEAST_ADDRESS_SPACE / 2**30:.2g} GB are needed; raise the limit and run the '
            'same command again', ExitCode.TRY_AGAIN,
        )  # fmt: skip
    try:
        use_private_matplotlib()
        from bids_acc.cli.parser import parse  # here, so that memory that ends is told of

        request = parse(argv)
        return int(run(request))
    except BidsAccError as error:
        return _refuse(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _refuse(
            'interrupted; the same command goes on where it stopped', interruption.INTERRUPTED
        )
    except OSError as error:
        if error.errno == errno.EPIPE:  # whoever read what we print has gone, as `head` does
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return interruption.NOBODY_LISTENS
        if error.errno == errno.ENOENT and not _stands_somewhere():
            return _refuse(
                'the current folder is gone (deleted or moved), and paths count from it; change '
                'to another', ExitCode.NO_INPUT,
            )  # fmt: skip
        if _is_input(error, request):
            return _refuse(
                f'{error.filename} cannot be read ({error.strerror}); ask for the right to read '
                'it, or for a copy.', ExitCode.NO_INPUT,
            )  # fmt: skip
        if error.errno in WRITE_ERRORS:
            return _refuse(str(cannot_write(_place(error, request), error)), ExitCode.CANNOT_WRITE)
        return _internal(error)
    except Exception as error:  # noqa: BLE001 - the last line of defence; it is logged
        return _internal(error)


def command() -> int:
    """Run the command as a process of its own."""
    return interruption.run_and_leave(main)


def _has_home() -> bool:
    """Tell whether there is a name for the home of this uid, and one that it may look into.

    HOME may be another user's, as after ``su`` or ``setpriv``.
    """
    home = os.path.expanduser('~')  # noqa: PTH111 - Path raises
    try:
        os.stat(os.path.join(home, os.curdir))  # noqa: PTH116, PTH118 - Path drops the dot
    except PermissionError:
        return False
    except OSError:
        pass  # absent: nothing will be found there
    return home != '~'


def _allow_files() -> None:
    """Raise the limit of open files, which shells set low (256, 1024), to what may be had."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = ENOUGH_FILES if hard == resource.RLIM_INFINITY else min(hard, ENOUGH_FILES)
    if soft != resource.RLIM_INFINITY and soft < enough:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (enough, hard))


def _stands_somewhere() -> bool:
    """Tell whether the current folder is still there."""
    try:
        return bool(Path.cwd())
    except FileNotFoundError:
        return False


def _is_input(error: OSError, request: Request | None) -> bool:
    """Tell whether the system did not let us read in the data set."""
    codes = (errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE)
    if request is None or error.errno not in codes or not error.filename:
        return False
    path = Path(os.fsdecode(error.filename))
    below = [path.is_relative_to(f) for f in (request.bids_dir, request.output_dir)]
    return below == [True, False]


def _place(error: OSError, request: Request | None) -> Path:
    """Name what could not be written; where the system does not say, the disk that is full."""
    if error.filename is not None:
        return Path(os.fsdecode(error.filename))
    folders = [temporary_folder()]
    if request is not None:
        folders = [p for p in (request.output_dir, request.work_dir) if p is not None] + folders
    return full_folder(folders) or folders[0]


def _refuse(message: str, code: int) -> int:
    """Say in one sentence why the command stops."""
    print(f'bids_acc: {message}', file=sys.stderr)
    return int(code)


def _internal(error: Exception) -> int:
    """Say that this is our fault, with the traceback, unless memory or open files ended."""
    if ran_out_of_memory(type(error).__name__, str(error)):
        return _refuse(
            'out of memory; run the same command again with fewer --nprocs or more memory (what '
            'is finished is reused)', ExitCode.TRY_AGAIN,
        )  # fmt: skip
    if ran_out_of_files(str(error)):
        return _refuse(FEW_FILES, ExitCode.TRY_AGAIN)
    LOGGER.error('internal error', exc_info=error)
    return _refuse(
        'internal error, see the traceback above; please report it with the command and '
        f'bids_acc {__version__}',
        ExitCode.INTERNAL,
    )


def run(request: Request) -> ExitCode:
    """Run the level that was asked for.

    Parameters
    ----------
    request : Request
        Checked by `bids_acc.cli.parser.parse`.

    Returns
    -------
    ExitCode
        The worst of all sessions; 0 if all is well.

    Raises
    ------
    BidsAccError
        If nothing at all could be done.
    """
    _set_up_logging(request.verbosity)
    if leaked := [name for name in ISOLATED if os.environ.pop(name, None)]:
        LOGGER.warning('ignored from the environment: %s', ', '.join(leaked))
    _import_nipype()
    return run_participant(request) if request.level == 'participant' else run_group(request)


def _import_nipype() -> None:
    """Import Nipype with its own defaults.

    It reads ``nipype.cfg`` of HOME and of the folder in which it is imported: settings for another
    pipeline would change this one, and a broken file would stop it.
    """
    os.environ['NIPYPE_CONFIG_DIR'] = os.devnull  # below which there is nothing
    here = os.open(os.curdir, os.O_RDONLY)
    try:
        os.chdir(Path(os.__file__).parent)
        import nipype  # noqa: F401
    finally:
        os.fchdir(here)
        os.close(here)


class _Screen(logging.StreamHandler[TextIO]):
    """Writes to what is the terminal at that moment: above live lines, where there are any."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a message.

        Parameters
        ----------
        record : logging.LogRecord
            At any level; the stream is looked up each time, since live lines replace it.
        """
        self.stream = sys.stderr
        super().emit(record)


class _RunLog(logging.FileHandler):
    """The run's log, without a traceback for each line that a full disk does not take."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Pass over what the disk refuses: the run itself says so, once.

        Parameters
        ----------
        record : logging.LogRecord
            What could not be written to the log of the run.
        """
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


def _set_up_logging(verbosity: int, run_folder: Path | None = None) -> None:
    """Send messages to the screen and, once there is one, to the run's log."""
    levels = (logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG)
    level = levels[min(verbosity, 2) + 1]
    logger = logging.getLogger('bids_acc')
    logger.setLevel(logging.DEBUG)
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
    screen = _Screen()
    screen.setLevel(level)
    screen.setFormatter(logging.Formatter('%(levelname)s: %(message)s'))
    logger.addHandler(screen)
    if run_folder is not None:
        file = _RunLog(run_folder / 'run.log')
        file.setFormatter(logging.Formatter('%(asctime)s %(levelname)s %(name)s: %(message)s'))
        logger.addHandler(file)


# --- participant level -----------------------------------------------------------------------


def run_participant(request: Request) -> ExitCode:
    """Plan, run and report the participant level.

    Parameters
    ----------
    request : Request
        With ``level`` participant; a dry run prints the plan and writes nothing.

    Returns
    -------
    ExitCode
        The worst of all sessions.

    Raises
    ------
    BidsAccError
        If folders, data set, options or labels are refused.
    """
    from bids_acc.derivatives.status import verdict
    from bids_acc.participant import plan, run

    jobs = plan.plan_participant(request)
    rows = [row for job in jobs for row in job.plan.values()]
    everybody = not (request.participant_labels or request.session_labels)
    if request.dry_run:
        if request.skip_bids_validation:
            LOGGER.warning(NOT_CHECKED)
        with _printing():
            print_plan(rows, request.dry_run)
        plan.refuse_nothing(rows, everybody=everybody)
        return ExitCode.OK
    plan.refuse_nothing(rows, everybody=everybody)
    folders = run.open_run(request, jobs)
    _set_up_logging(request.verbosity, folders.logs)
    _keep_request(request, folders.logs)
    if request.skip_bids_validation:
        LOGGER.warning(NOT_CHECKED)
    if request.verbosity >= 0:
        print_plan(rows, 'text', stream=sys.stderr)
    text, code = verdict(run.run_participant(request, jobs, folders))
    _close(request, f'{text} Status: {folders.logs / "status.tsv"}', code,
           sorted({job.session.subject for job in jobs}))  # fmt: skip
    if code is ExitCode.OK:
        folders.intermediate.close()
    return code


def _close(request: Request, text: str, code: ExitCode, subjects: Sequence[str] = ()) -> None:
    """Say how it ended; the last line names the pages. Quiet, only what went wrong is said."""
    if request.verbosity < 0 and code is ExitCode.OK:
        return
    names = [f'sub-{subject}.html' for subject in subjects] or ['group.html']
    pages = [path for name in names if (path := request.output_dir / name).is_file()]
    print(text, file=sys.stderr)
    if len(pages) > MOST_PAGES:
        print(f'Pages: {request.output_dir}/sub-*.html ({len(pages)})', file=sys.stderr)
    elif pages:
        print(f'Page{"s"[: len(pages) > 1]}: {" ".join(map(str, pages))}', file=sys.stderr)


@contextlib.contextmanager
def _printing() -> Iterator[None]:
    """Say that it is what is printed that a full disk does not take, and no folder of the run.

    Raises
    ------
    OutputError
        Also for what would else be written, and lost, when the process ends.
    """
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        raise OutputError(
            f'what is printed cannot be written ({error.strerror}): the disk that standard output '
            'goes to is full.'
        ) from error


def print_plan(rows: Sequence[PlanRow], form: str, stream: TextIO | None = None) -> None:
    """Print what will be done with each modality of each session, and how many of each kind.

    Parameters
    ----------
    rows : sequence of PlanRow
        Of the plan.
    form : str
        ``json``, or anything else for text.
    stream : TextIO or None
        Standard output by default.
    """
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
    from bids_acc.settings import to_toml

    write_bytes(run_folder / 'config.toml', to_toml(request).encode())
    command = shlex.join(sys.argv) + '\n'
    write_bytes(run_folder / 'command.txt', command.encode(errors='surrogateescape'))


# --- group level -----------------------------------------------------------------------------


def run_group(request: Request) -> ExitCode:
    """Analyse the cohort from the output folder alone.

    Parameters
    ----------
    request : Request
        With ``level`` group; results are read from ``output_dir`` and ``more_outputs`` only.

    Returns
    -------
    ExitCode
        The worst of what ``status.tsv`` says; 0 if nothing failed.

    Raises
    ------
    BidsAccError
        If the folder holds no results, or the model file cannot be used.
    """
    from bids_acc.group.cohort.reading import plan_group
    from bids_acc.group.cohort.several import read_as_one
    from bids_acc.participant.folders import check_group_folder

    check_group_folder(request.output_dir)
    with read_as_one([request.output_dir, *request.more_outputs]) as data_dir:
        plan = plan_group(data_dir, request.participant_labels, request.session_labels)
        if request.dry_run:
            with _printing():
                print_group_plan(plan, request.dry_run)
            return ExitCode.OK
        return _analyse_group(request, data_dir, plan)


def _analyse_group(request: Request, data_dir: Path, plan: list[GroupPlanRow]) -> ExitCode:
    """Run the group level on what was found."""
    from bids_acc.derivatives import dataset
    from bids_acc.derivatives.status import verdict, write_status
    from bids_acc.group import analysis
    from bids_acc.participant.folders import prepare_work_dir

    check_space(request.output_dir)
    run_folder = dataset.new_run_folder(request.output_dir)
    _set_up_logging(request.verbosity, run_folder)
    _keep_request(request, run_folder)
    work = prepare_work_dir(request.output_dir, request.work_dir, 'group')
    started = time.monotonic()

    terminal = sys.stderr.isatty()

    def show(progress: TaskProgress) -> None:
        if request.verbosity < 0:
            return
        elapsed = int(time.monotonic() - started)
        said = f'[{elapsed // 60}:{elapsed % 60:02d}] group: {progress}'
        if terminal:  # one line, written over
            end = '\n' if progress.done == progress.total else ''
            print(f'\r{said:.{shutil.get_terminal_size().columns - 1}s}\x1b[K', end=end,
                  file=sys.stderr, flush=True)  # fmt: skip
        else:
            print(said, file=sys.stderr)

    found = analysis.run_group(
        request.output_dir, request.settings, plan, data_dir=data_dir, work_dir=work.path,
        progress=_sparse(show, 0.5 if terminal else HEARTBEAT_S),
    )  # fmt: skip
    write_status(run_folder, found.status)
    text, code = verdict(found.status)
    _close(request, f'{text} Status: {run_folder / "status.tsv"}', code)
    if code is ExitCode.OK:
        work.close()
    return code


def _sparse(show: ProgressCallback, every_s: float) -> ProgressCallback:
    """Pass on the first, the last and otherwise one message in a while."""
    last = [-every_s]

    def report(progress: TaskProgress) -> None:
        now = time.monotonic()
        if now - last[0] >= every_s or progress.done == progress.total:
            last[0] = now
            show(progress)

    return report


def print_group_plan(plan: Sequence[GroupPlanRow], form: str) -> None:
    """Print which results of each session the group level can use.

    Parameters
    ----------
    plan : sequence of GroupPlanRow
        From `bids_acc.group.cohort.reading.plan_group`.
    form : str
        ``json``, or anything else for text.
    """
    if form == 'json':
        print(json.dumps(plan, indent=2))
        return
    for row in plan:
        where = ' '.join(part for part in (row['participant_id'], row['session_id']) if part)
        reason = f' ({row["reason"]})' if row['reason'] else ''
        print(f'{where:20s} {row["modality"]:5s} {row["status"]}{reason}')
