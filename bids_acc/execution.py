"""Running Nipype graphs so that nothing hangs, progress is seen and each failure has a name."""

from __future__ import annotations

import contextlib
import errno
import getpass
import hashlib
import logging
import os
import re
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool, ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TextIO

import nipype
import psutil
import yaml
from nipype.interfaces.utility import IdentityInterface
from nipype.pipeline.engine import Workflow
from nipype.pipeline.plugins.multiproc import MultiProcPlugin, process_initializer

from bids_acc import __version__, exceptions
from bids_acc.exceptions import BidsAccError, ExitCode, ResourceError, SettingsError
from bids_acc.settings import Resources

LOGGER = logging.getLogger(__name__)

KILLED = (
    'a worker process was killed, most likely because memory ran out; run the same command '
    'again with fewer --nprocs or a larger --mem (what is finished is reused)'
)

DISK_FULL = (
    'no space is left in the working or output folder; free some, or name another with '
    '--work-dir, and run the same command again (what is finished is reused)'
)


class MultiProc(MultiProcPlugin):
    """Nipype's MultiProc that survives the death of a worker.

    In Nipype 1.11 the result of a killed worker never arrives and the run waits for ever: the
    exception is raised inside the callback that should have delivered the result. Here each
    pending task fails with the reason, and a fresh pool goes on with the rest.
    """

    pool: Any

    def _async_callback(self, args: Future) -> None:
        """Take a result; a task that died in the pool gives a traceback instead."""
        error = None if args.cancelled() else args.exception()
        if error is None and not args.cancelled():
            super()._async_callback(args)

    def _get_result(self, taskid: int) -> Any:
        """Return a task's result, or None while it runs."""
        future = self._task_obj.get(taskid)
        error = future.exception() if future is not None and future.done() else None
        if error is None:
            return self._taskresult.get(taskid)
        name = f'{ResourceError.__module__}.{ResourceError.__name__}: {KILLED}'
        # By name: Dask's KilledWorker cannot be imported without the package.
        if not isinstance(error, BrokenProcessPool) and type(error).__name__ != 'KilledWorker':
            name = f'{type(error).__name__}: {error}'
        # A list, not a text: Nipype 1.11's crash report cannot take a text here.
        return {'result': None, 'traceback': [f'{name}\n'], 'taskid': taskid}

    def _renew_pool(self) -> None:
        """Start new workers in place of the broken pool."""
        if getattr(self.pool, '_broken', False):
            self.pool.shutdown(wait=False)
            self.pool = ProcessPoolExecutor(
                max_workers=self.processors,
                initializer=process_initializer,
                initargs=(self._cwd,),
            )

    def _sort_jobs(self, jobids: Any, scheduler: str = 'tsort') -> Any:
        """Finish one session before the next: results come early and less lies half done."""
        del scheduler  # Nipype's own orders go through all sessions at once
        return sorted(jobids, key=lambda j: (self.procs[j].fullname.split('.')[1:2], j))

    def _submit_job(self, node: Any, updatehash: bool = False) -> Any:
        self._renew_pool()
        return super()._submit_job(node, updatehash)


class Dask(MultiProc):
    """Run nodes on the workers of a Dask scheduler (``plugin_args: {scheduler: ADDRESS}``)."""

    def __init__(self, plugin_args: Mapping[str, Any] | None = None) -> None:
        options = dict(plugin_args or {})
        self._client = _dask_client(options.pop('scheduler', None))
        options['n_procs'] = max(1, sum(self._client.nthreads().values()))
        super().__init__(plugin_args=options)
        self.pool.shutdown()
        self.pool = self._client.get_executor(pure=False)

    def _postrun_check(self) -> None:
        super()._postrun_check()
        self._client.close()


def available_memory_gb() -> float:
    """Return the memory that this process may use: the machine's, or the cgroup's if smaller."""
    limits = [psutil.virtual_memory().total]
    for name in ('/sys/fs/cgroup/memory.max', '/sys/fs/cgroup/memory/memory.limit_in_bytes'):
        with contextlib.suppress(OSError, ValueError):
            limits.append(int(Path(name).read_text()))
    return min(limits) / 1024**3


def make_plugin(resources: Resources, progress: Progress | None = None) -> Any:
    """Make the plug-in that runs the graph.

    Parameters
    ----------
    resources : Resources
        Processes, memory and plug-in as asked for.
    progress : Progress, optional
        Told of each node that starts and ends.

    Raises
    ------
    SettingsError
        If the plug-in file cannot be read or the plug-in is unknown.
    """
    name, options = _plugin_choice(resources.plugin)
    if progress is not None:
        options['status_callback'] = progress
    if name in ('MultiProc', 'Dask'):
        options.setdefault('n_procs', max(1, resources.nprocs))
        options.setdefault('memory_gb', resources.mem_gb or 0.9 * available_memory_gb())
        options.setdefault('raise_insufficient', False)
        return MultiProc(plugin_args=options) if name == 'MultiProc' else Dask(options)
    plugin = getattr(nipype.pipeline.plugins, f'{name}Plugin', None)
    if plugin is None:
        raise SettingsError(f'--use-plugin {name}: Nipype has no such plug-in.')
    return plugin(plugin_args=options)


@contextlib.contextmanager
def joblib_workers(resources: Resources) -> Iterator[tuple[str, int]]:
    """Offer the workers of a run to joblib, for work that is no Nipype graph.

    Parameters
    ----------
    resources : Resources
        With ``plugin: Dask`` the workers of its scheduler, else processes of this machine.

    Yields
    ------
    backend : str
        Name of the joblib backend.
    n_jobs : int
        Workers.
    """
    name, options = _plugin_choice(resources.plugin)
    if name != 'Dask':
        yield 'loky', max(1, resources.nprocs)
        return
    with _dask_client(options.get('scheduler')) as client:
        yield 'dask', max(1, sum(client.nthreads().values()))


def _dask_client(scheduler: str | None) -> Any:
    """Connect to a Dask scheduler."""
    try:
        from distributed import Client
    except ImportError as error:
        raise SettingsError(
            "--use-plugin Dask needs the package distributed: pip install 'bids_acc[cluster]'."
        ) from error
    return Client(scheduler)


def _plugin_choice(asked: str | None) -> tuple[str, dict[str, Any]]:
    """Read the name and the arguments of a plug-in."""
    if asked is None:
        return 'MultiProc', {}
    if not asked.endswith(('.yml', '.yaml', '.json')):
        return asked, {}
    try:
        content = yaml.safe_load(Path(asked).read_text())
        return str(content['plugin']), dict(content.get('plugin_args') or {})
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise SettingsError(
            f'--use-plugin {asked}: expected YAML or JSON with plugin and plugin_args ({error}).'
        ) from error


def code_state() -> str:
    """Name the code that runs, for the folder of its intermediate files.

    Nipype reuses a step's result when its inputs are alike, whatever code made it: results of
    another version would be taken silently, or not be readable.

    Returns
    -------
    str
        Version, and the first digits of a SHA-256 over all modules of the package.
    """
    package = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(package.rglob('*.py')):
        digest.update(path.relative_to(package).as_posix().encode() + path.read_bytes())
    return f'bids_acc-{__version__}-{digest.hexdigest()[:8]}'


def configure_nipype(work_dir: Path, run_folder: Path, *, stop_on_first_crash: bool) -> None:
    """Set Nipype up for a quiet run that writes nowhere but in the two folders.

    Must be called before a workflow is made: each takes a copy of the configuration.
    """
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # an arbitrary uid has no name
        user = 'user'
    os.environ.setdefault('LOGNAME', user)  # nipype's crash files and SLURM plug-in want it
    nipype.config.update_config(
        {
            'execution': {
                'crashdump_dir': str(run_folder),
                'crashfile_format': 'txt',
                'poll_sleep_duration': '0.1',
                'stop_on_first_crash': str(stop_on_first_crash).lower(),
                'remove_unnecessary_outputs': 'false',
                'hash_method': 'content',
                'check_version': 'false',
            },
            'logging': {'log_to_file': 'false', 'workflow_level': 'ERROR'},
            'monitoring': {'enabled': 'false'},
        }
    )
    for name in ('nipype.workflow', 'nipype.interface', 'nipype.utils'):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    work_dir.mkdir(parents=True, exist_ok=True)


@dataclass
class Progress:
    """One line that tells which subject, which step and how much is left.

    Called by Nipype with each node that starts, ends or fails.
    """

    total: int
    """Nodes of the graph."""
    nprocs: int = 1
    stream: TextIO = field(default_factory=lambda: sys.stderr)
    heartbeat_s: float = 30.0
    """A line is printed at least this often, so that a long step is not taken for a hang."""
    ended: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    running: dict[str, float] = field(default_factory=dict)
    remaining: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """Step name to number of nodes that are still to come."""
    UNSEEN_SHARE: ClassVar[float] = 0.1
    """Share of the steps to come that may be of a kind not seen yet, for an estimate of time."""
    _seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    _begun: float = field(default_factory=time.monotonic)
    _printed: float = 0.0
    _lock: Any = field(default_factory=threading.Lock)

    @classmethod
    def for_workflow(cls, workflow: Workflow, nprocs: int = 1) -> Progress:
        """Count the nodes of a workflow."""
        names = computing_nodes(workflow)
        progress = cls(total=len(names), nprocs=nprocs)
        for name in names:
            progress.remaining[_step(name)] += 1
        return progress

    def __call__(self, node: Any, status: str) -> None:
        """Take note of a node that starts, ends or fails."""
        name, now = node.fullname, time.monotonic()
        with self._lock:
            if status == 'start':
                self.running[name] = now
            else:
                begun = self.running.pop(name, now)
                self._seconds[_step(name)].append(now - begun)
                self.remaining[_step(name)] = max(0, self.remaining[_step(name)] - 1)
                # a node that fails in the main process is reported twice: failed, then ended
                (self.failed if {status, name} & {'exception', *self.failed} else self.ended).add(
                    name
                )
            slow = status == 'start' or now - self._printed > self.heartbeat_s
        if status == 'exception':
            self._print(f'FAILED {_readable(name)}')
        elif slow and now - self._printed > 1.0:
            self._print(_readable(name))

    def left_s(self) -> float | None:
        """Estimate the seconds that are left; None until most kinds of step were seen.

        A few steps take nearly all the time, so what is still unseen may be far from the mean
        of what was seen.
        """
        known = {step: sum(times) / len(times) for step, times in self._seconds.items() if times}
        unseen = sum(count for step, count in self.remaining.items() if step not in known)
        if not known or unseen > self.UNSEEN_SHARE * sum(self.remaining.values()):
            return None
        mean = sum(known.values()) / len(known)
        work = sum(count * known.get(step, mean) for step, count in self.remaining.items())
        now = time.monotonic()
        work -= sum(
            min(now - begun, known.get(_step(name), mean)) for name, begun in self.running.items()
        )
        return max(0.0, work / max(1, self.nprocs))

    def _print(self, what: str) -> None:
        """Print one line."""
        self._printed = time.monotonic()
        left = self.left_s()
        hint = '' if left is None else f', about {_clock(left)} left'
        done = len(self.ended) + len(self.failed)
        elapsed = _clock(self._printed - self._begun)
        self.stream.write(f'[{done:3d}/{self.total} steps, {elapsed}{hint}] {what}\n')
        self.stream.flush()

    @contextlib.contextmanager
    def beating(self) -> Iterator[Progress]:
        """Print a sign of life while the graph runs."""
        stop = threading.Event()

        def beat() -> None:
            while not stop.wait(self.heartbeat_s / 3):
                if time.monotonic() - self._printed < self.heartbeat_s:
                    continue
                with self._lock:
                    longest = sorted(self.running.items(), key=lambda item: item[1])[:2]
                now = time.monotonic()
                steps = [f'{_readable(name)} since {_clock(now - t)}' for name, t in longest]
                self._print('; '.join(steps) or 'waiting')

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            stop.set()
            thread.join()


def computing_nodes(workflow: Workflow) -> list[str]:
    """Return the full names of the nodes that will run.

    Identity nodes only pass values on; Nipype takes them out of the graph before it runs.
    """
    nodes = {name: workflow.get_node(name) for name in workflow.list_node_names()}
    return [
        f'{workflow.name}.{name}'
        for name, node in nodes.items()
        if not isinstance(node.interface, IdentityInterface)
    ]


def _step(fullname: str) -> str:
    """Name a step without its subject, so that durations carry over from one to the next."""
    return '.'.join(fullname.split('.')[2:])


def _readable(fullname: str) -> str:
    """Turn ``bids_acc_wf.sub_01_ses_1_wf.dwi_wf.tensor`` into ``sub-01 ses-1 dwi: tensor``."""
    parts = fullname.split('.')
    if len(parts) < 3:
        return fullname
    session = re.sub(r'_wf$', '', parts[1])
    session = re.sub(r'(?:^|_)(sub|ses)_', r' \1-', session).strip()
    arm = re.sub(r'_wf$', '', parts[2])
    return f'{session} {arm}: {".".join(re.sub(r"_wf$", "", p) for p in parts[3:])}'


def _clock(seconds: float) -> str:
    """Write a duration as people read it.

    Examples
    --------
    >>> _clock(75)
    '1:15'
    """
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours}:{minutes:02d}:{rest:02d}' if hours else f'{minutes}:{rest:02d}'


@dataclass(frozen=True)
class Crash:
    """Why a node failed."""

    node: str
    reason: str
    exit_code: ExitCode
    file: Path | None = None


_LAST_LINE = re.compile(r'^\s*((?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*)(?:: (.*))?$')


def read_crashes(run_folder: Path) -> list[Crash]:
    """Read the crash files of a run, one for each failed node."""
    return [_read_crash(path) for path in sorted(run_folder.glob('crash-*.txt'))]


def _read_crash(path: Path) -> Crash:
    """Find the node, the exception and its sentence in a crash file."""
    text = path.read_text(errors='replace')
    node = re.search(r'^Node: (\S+)', text, re.MULTILINE)
    reason, code = 'the step failed; see the log', ExitCode.INTERNAL
    for name, sentence in reversed(_exceptions_in(text)):
        kind = getattr(exceptions, name.rpartition('.')[2], None)
        if isinstance(kind, type) and issubclass(kind, BidsAccError):
            reason, code = sentence, kind.exit_code
            break
    else:
        found = _exceptions_in(text)
        if found:
            name, sentence = found[-1]
            name = name.rpartition('.')[2]
            if name == 'NodeExecutionError' and len(found) > 1:
                name, sentence = found[-2][0].rpartition('.')[2], found[-2][1]
            reason = f'{name}: {sentence}' if sentence else name
            if name in ('MemoryError', 'BrokenProcessPool', '_ArrayMemoryError'):
                reason, code = KILLED, ExitCode.TRY_AGAIN
            elif sentence.startswith(f'[Errno {errno.ENOSPC}]'):
                reason, code = DISK_FULL, ExitCode.CANNOT_WRITE
    return Crash(node[1] if node else path.name, reason, code, path)


def _exceptions_in(text: str) -> list[tuple[str, str]]:
    """List ``Name: sentence`` lines that look like the end of a traceback.

    A name that stands alone, such as ``MemoryError``, counts at the beginning of a line.
    """
    found = []
    for line in text.splitlines():
        match = _LAST_LINE.match(line)
        if not match or not re.search(r'(Error|Exception|Pool|Warning|Exit)$', match[1]):
            continue
        # Nipype indents the traceback of a worker by one tab
        if match[2] or not line.removeprefix('\t')[:1].isspace():
            found.append((match[1], (match[2] or '').strip()))
    return found
