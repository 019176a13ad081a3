"""Plug-ins that run the nodes of graphs: processes of this machine, Dask, or Nipype's own."""

from __future__ import annotations

import contextlib
import copy
import logging
import signal
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from concurrent.futures.process import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NoReturn

import nipype
import psutil
import yaml
from nipype.pipeline.plugins import multiproc
from nipype.pipeline.plugins.base import PluginBase
from nipype.pipeline.plugins.multiproc import MultiProcPlugin, process_initializer

from bids_acc.exceptions import BidsAccError, ProgramError, ResourceError, SettingsError
from bids_acc.execution.crashes import CRASHED, KILLED
from bids_acc.execution.signals import BEFORE_THE_END
from bids_acc.execution.workers import WorkerDiedError, Workers, shared_memory
from bids_acc.files.reading import read_whole, reading
from bids_acc.programs import die_with_parent
from bids_acc.settings import Resources

if TYPE_CHECKING:
    from distributed import Client

LOGGER = logging.getLogger(__name__)

LEAST_MEMORY_GB = 1.5
"""Of a T1w image: 1.2 GB in the largest process, and 0.4 GB in the one that schedules."""

PLUGIN_FILE = 'YAML or JSON with plugin and plugin_args'
"""What ``--use-plugin`` reads."""
LONGEST_FILE = 4000
"""Characters of such a file. Deeply nested YAML is read for minutes. Own convention."""


def _begin_worker(folder: str) -> None:
    """Begin in a folder, and never outlive the run: nothing takes an orphan's result."""
    die_with_parent(signal.SIGKILL)  # in the middle of a registration it hears nothing else
    signal.signal(signal.SIGTERM, _end)
    for number in (signal.SIGINT, *BEFORE_THE_END):  # reach all processes; the run itself hears
        signal.signal(number, signal.SIG_IGN)
    process_initializer(folder)


def _end(number: int, frame: object) -> NoReturn:
    """End a worker that is told to; an interrupt would print where it waited for work."""
    del frame
    raise SystemExit(128 + number)


_NO_COLLECTOR = SimpleNamespace(collect=lambda: 0)
"""Stands in for the module ``gc``."""


class MultiProc(MultiProcPlugin):
    """Nipype's MultiProc that survives the death of a worker.

    In Nipype 1.11 the result of a killed worker never arrives and the run waits for ever: the
    exception is raised inside the callback that should have delivered the result. Here the task
    that it was at fails with the reason, and the other workers go on.
    """

    def __init__(self, plugin_args: Mapping[str, Any] | None = None) -> None:
        self._workers: dict[str, Any] = {}
        with shared_memory():
            super().__init__(plugin_args=plugin_args)
        self.pool.shutdown()  # without workers yet: they come with the first task
        self.pool = Workers(self._new_pool)
        self._sharing: list[MultiProc] = [self]

    @property
    def pool(self) -> Any:
        """The workers, the same for all plug-ins that share them."""
        return self._workers['pool']

    @pool.setter
    def pool(self, pool: object) -> None:
        """Replace the workers, for all plug-ins that share them.

        Parameters
        ----------
        pool : object
            Has ``submit`` and ``shutdown`` as a `concurrent.futures.Executor`.
        """
        self._workers['pool'] = pool

    def for_another_graph(self) -> MultiProc:
        """Return a plug-in that runs a graph of its own on the same workers."""
        other = copy.copy(self)
        other._taskresult, other._task_obj, other.pending_tasks = {}, {}, []
        self._sharing.append(other)
        return other

    def leave(self) -> None:
        """Stop sharing the workers: the graph has ended."""
        self._sharing.remove(self)

    def _check_resources(self, running_tasks: object) -> tuple[float, int, int]:
        """Return memory and processors that no graph uses."""
        del running_tasks  # of this graph only
        memory_gb, processors, gpus = self.memory_gb, self.processors, self.n_gpu_procs
        for plugin in self._sharing:
            for _, job in plugin.pending_tasks:
                node = plugin.procs[job]
                memory_gb -= min(node.mem_gb, memory_gb)
                processors -= min(node.n_procs, processors)
                if node.is_gpu_node():
                    gpus -= min(node.n_procs, gpus)
        return memory_gb, processors, gpus

    def _async_callback(self, args: Future[object]) -> None:
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
        name = f'{type(error).__name__}: {error}'
        if reason := _how_it_died(error):
            name = f'{type(reason).__module__}.{type(reason).__name__}: {reason}'
        # A list, not a text: Nipype 1.11's crash report cannot take a text here.
        return {'result': None, 'traceback': [f'{name}\n'], 'taskid': taskid}

    def _new_pool(self) -> ProcessPoolExecutor:
        """Return a worker that ends with this process."""
        context = get_context(self.plugin_args.get('mp_context'))
        return ProcessPoolExecutor(
            max_workers=1, mp_context=context,
            initializer=_begin_worker, initargs=(self._cwd,),
        )  # fmt: skip

    def _send_procs_to_workers(self, updatehash: bool = False, graph: object = None) -> None:
        """Send off what is ready, without Nipype's collection of all garbage before each node.

        It takes half of the time of a step (nipreps/mriqc#1004). Python collects garbage by
        itself, and workers are started once, not with each node.
        """
        own = multiproc.gc
        multiproc.gc = _NO_COLLECTOR
        try:
            super()._send_procs_to_workers(updatehash=updatehash, graph=graph)
        finally:
            multiproc.gc = own


def _how_it_died(error: BaseException) -> BidsAccError | None:
    """Say why a worker is gone; None if something else is wrong."""
    if type(error).__name__ == 'KilledWorker':  # of Dask, which need not be installed
        return ResourceError(KILLED)
    if not isinstance(error, WorkerDiedError):
        return None
    code = error.exit_code
    if code is None or code in (-signal.SIGKILL, -signal.SIGTERM):
        return ResourceError(KILLED)
    how = f'with {signal.Signals(-code).name}' if code < 0 else f'with exit code {code}'
    return ProgramError(CRASHED.format(how=how))


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


def available_memory_gb(root: Path = Path('/')) -> float:
    """Return the memory that this process may use, in GB.

    Parameters
    ----------
    root : Path
        Of the system whose ``/proc`` and ``/sys`` are read.

    Returns
    -------
    float
        The machine's, or the smallest limit of the control groups that it is in.
    """
    limits = [psutil.virtual_memory().total]
    for path in _memory_limits(root):
        with contextlib.suppress(OSError, ValueError):
            # A cgroup without a limit holds the word max here.
            limits.append(int(path.read_text()))
    found: float = min(limits) / 1024**3
    return found


def _memory_limits(root: Path) -> Iterator[Path]:
    """List the files that may limit this process: of its control group and of all above it.

    A container sees its own group as the root of all; a job of a batch system is some folders
    below, as in ``/system.slice/slurmstepd.scope/job_7/step_0``.
    """
    groups = {'memory': '/', '': '/'}
    with contextlib.suppress(OSError):
        for line in (root / 'proc/self/cgroup').read_text(errors='replace').splitlines():
            _, controllers, path = (*line.split(':', 2), '', '')[:3]
            for name in controllers.split(','):
                groups[name] = path
    trees = {'sys/fs/cgroup': ('', 'memory.max'), 'sys/fs/cgroup/unified': ('', 'memory.max'),
             'sys/fs/cgroup/memory': ('memory', 'memory.limit_in_bytes')}  # fmt: skip
    for tree, (controller, name) in trees.items():
        parts = Path(groups[controller]).parts[1:]
        for depth in range(len(parts) + 1):
            yield root.joinpath(tree, *parts[:depth], name)


def make_plugin(resources: Resources) -> PluginBase:
    """Make the plug-in that runs the graphs.

    Parameters
    ----------
    resources : Resources
        Processes, memory and plug-in as asked for.

    Raises
    ------
    SettingsError
        If the plug-in file cannot be read or the plug-in is unknown.
    """
    if resources.plugin is None:
        return _made('MultiProc', {}, resources)
    name, options = _plugin_choice(resources.plugin)
    with reading(f'--use-plugin {resources.plugin}', PLUGIN_FILE, 'correct it', SettingsError):
        return _made(name, options, resources)


def _made(name: str, options: dict[str, object], resources: Resources) -> PluginBase:
    """Make a plug-in with its options; those of the command line where it has none."""
    if name in ('MultiProc', 'Dask'):
        options.setdefault('n_procs', max(1, resources.nprocs))
        memory = resources.mem_gb or 0.9 * available_memory_gb()
        if memory < LEAST_MEMORY_GB:
            LOGGER.warning(
                'only %.2g GB of memory may be used (--mem, or the limit of machine, container or '
                'job); a T1w image needs some %.2g GB', memory, LEAST_MEMORY_GB,
            )  # fmt: skip
        options.setdefault('memory_gb', memory)
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


def _dask_client(scheduler: str | None) -> Client:
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
    with reading(f'--use-plugin {asked}', PLUGIN_FILE, 'correct it', SettingsError):
        text = read_whole(asked, error=SettingsError).decode()
        if len(text) > LONGEST_FILE:
            raise ValueError(f'longer than {LONGEST_FILE} characters')
        content = yaml.safe_load(text)
        options = dict(content.get('plugin_args') or {})
        _check_numbers(options)
        return str(content['plugin']), options


def _check_numbers(options: Mapping[str, object]) -> None:
    """Refuse numbers that the scheduler would stumble over later."""
    for name, kinds in (('n_procs', int), ('memory_gb', int | float)):
        value = options.get(name, 1)
        if isinstance(value, bool) or not isinstance(value, kinds) or not 0 < value < 2**31:
            raise ValueError(f'{name} is {repr(value)[:20]}, not a number above 0')
