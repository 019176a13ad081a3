"""Graphs run to their ends, several at a time on the same workers.

Nipype runs one graph, and what a step costs its scheduler grows with the size of that graph. Here
each session is a graph of its own. Its nodes are known to the scheduler from when the session
begins until it has ended, so that memory and the cost of a step do not grow with the number of
sessions.
"""

from __future__ import annotations

import contextlib
import copy
import gc
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
from nipype.pipeline import engine as pe
from nipype.pipeline.engine import Workflow
from nipype.pipeline.plugins.base import PluginBase, SGELikeBatchManagerBase

from bids_acc.execution.crashes import Crash, read_crash
from bids_acc.execution.plugins import MultiProc
from bids_acc.execution.progress import Progress, Step
from bids_acc.execution.workers import Workers

LOGGER = logging.getLogger(__name__)

CLUSTER_GRAPHS = 64
"""Graphs that run at a time where a batch system has the workers."""

END_S = 1.0
"""Seconds that workers have to end by themselves when a run is broken off."""

POLL_S = 0.1
"""Seconds between two looks at nodes that run elsewhere, of which nobody tells when they end."""

WAIT_S = 1.0
"""Seconds after which nodes are looked at although none has told that it ended. A look takes some
milliseconds, for minutes and hours."""


@dataclass(frozen=True)
class Graph:
    """A workflow and what each of its nodes is."""

    workflow: Workflow
    steps: Mapping[str, Step]
    """By full name, those that compute."""


@dataclass(frozen=True)
class GraphResult:
    """What became of a graph."""

    ended: frozenset[str]
    """Full names of the nodes that ended well."""
    unfinished: frozenset[str]
    """Full names of the nodes that did not."""
    crashes: tuple[Crash, ...]
    """Why, for those that failed by themselves."""
    nodes: Any = None
    """The graph of Nipype nodes that ran."""


class _Expander(PluginBase):
    """Stands in for a plug-in to take the graph that Nipype would run."""

    graph: Any = None
    config: Mapping[str, Any]

    def run(self, graph: object, config: Mapping[str, object], updatehash: bool = False) -> None:
        """Take the expanded graph and run nothing of it.

        Parameters
        ----------
        graph : object
            Of Nipype's nodes, without identity nodes.
        config : mapping
            Nipype's, as the workflow holds it.
        updatehash : bool
            Part of the plug-ins' signature; not used.
        """
        del updatehash
        self.graph, self.config = graph, config


@dataclass
class _CrashFiles:
    """Crash files of a run, each read once."""

    folder: Path
    _read: set[Path] = field(default_factory=set)
    _unclaimed: list[Crash] = field(default_factory=list)

    def of(self, steps: Mapping[str, Step]) -> tuple[Crash, ...]:
        """Return the crashes of a graph's nodes.

        Parameters
        ----------
        steps : mapping of str to Step
            Nodes of a graph, by full name.

        Returns
        -------
        tuple of Crash
            Also those that were read earlier and could not yet be told to belong here.
        """
        new = [path for path in sorted(self.folder.glob('crash-*.txt')) if path not in self._read]
        self._read.update(new)
        known = self._unclaimed + [read_crash(path) for path in new]
        self._unclaimed = [crash for crash in known if crash.node not in steps]
        return tuple(crash for crash in known if crash.node in steps)

    def any(self) -> bool:
        """Tell whether anything has crashed."""
        return any(self.folder.glob('crash-*.txt'))


Arrange = Callable[[Any], None]
"""Changes an expanded graph in place."""


@dataclass(frozen=True)
class _How:
    """What all graphs of a run share."""

    crash_files: _CrashFiles
    progress: Progress
    arrange: Arrange


class _Run:
    """A graph on its way."""

    def __init__(
        self, graph: Graph, plugin: PluginBase, how: _How, *, only_started: bool = False
    ) -> None:
        self.plugin, self.progress, self.only_started = plugin, how.progress, only_started
        self.started: set[str] = set()
        self.ended: set[str] = set()
        self.failed: set[str] = set()
        expander = _Expander()
        graph.workflow.run(plugin=expander)
        self.expanded, self.config = expander.graph, expander.config
        how.arrange(self.expanded)
        self.graph = graph
        plugin._status_callback = self._note
        self.progress.begin(graph.steps)

    def _note(self, node: pe.Node, status: str) -> None:
        """Take note of a node.

        One that fails in this process is reported as ended besides. Nipype's Linear plug-in
        reports as ended what it never started.
        """
        name = node.fullname
        if status == 'start':
            self.started.add(name)
        elif self.only_started and name not in self.started:
            return
        elif status == 'exception':
            self.failed.add(name)
        elif name not in self.failed:
            self.ended.add(name)
        self.progress(name, status)

    def result(self, crash_files: _CrashFiles) -> GraphResult:
        """Tell how the graph has ended: what ran, what did not and why.

        Parameters
        ----------
        crash_files : _CrashFiles
            Of the run; those of this graph's nodes are taken out.
        """
        self.progress.end(self.graph.steps)
        crashes = crash_files.of(self.graph.steps)
        unfinished = self.graph.steps.keys() - self.ended
        return GraphResult(
            frozenset(self.ended), frozenset(unfinished), crashes, nodes=self.expanded
        )

    def rounds(self) -> Iterator[None]:
        """Do what `DistributedPluginBase.run` of Nipype 1.11 does, one round at a time."""
        plugin, graph = self.plugin, self.expanded
        plugin._run_errors, plugin._config = [], self.config
        plugin._prerun_check(graph)
        plugin._generate_dependency_list(graph)
        plugin.mapnodes, plugin.mapnodesubids, plugin.pending_tasks = [], {}, []
        while not np.all(plugin.proc_done) or np.any(plugin.proc_pending):
            self._take_results()
            if len(plugin.pending_tasks) < plugin.max_jobs:
                plugin._send_procs_to_workers(updatehash=False, graph=graph)
            yield
        plugin._remove_node_dirs()

    def _take_results(self) -> None:
        """Look at what was running."""
        plugin, still = self.plugin, []
        for task, job in reversed(plugin.pending_tasks):
            try:
                result = plugin._get_result(task)
            except Exception:  # noqa: BLE001 - a batch system that lost a task says so like this
                plugin._clean_queue(job, self.expanded)
                continue
            if not result:
                still.append((task, job))
                continue
            if result['traceback']:
                plugin._clean_queue(job, self.expanded, result=result)
            else:
                plugin._task_finished_cb(job)
                plugin._remove_node_dirs()
            plugin._clear_task(task)
        plugin.pending_tasks = still[::-1]


def run_graphs(
    tasks: deque[Callable[[], Graph]],
    plugin: PluginBase,
    *,
    run_folder: Path,
    progress: Progress,
    arrange: Arrange = lambda _: None,
) -> Iterator[tuple[Graph, GraphResult]]:
    """Build and run graphs, and tell of each that has ended.

    A node that fails stops only the nodes of its own graph that wait for it, unless Nipype's
    ``stop_on_first_crash`` is set: then the graphs that run are told of as they are, and the
    others stay in ``tasks``.

    Parameters
    ----------
    tasks : deque of callable
        Each builds a graph; called when its turn comes. More may be added on the way.
    plugin : Nipype plug-in
        From `make_plugin`. Graphs share the workers of MultiProc, Dask and the batch systems;
        with any other plug-in they run one after another.
    run_folder : Path
        Where crash files are written.
    progress : Progress
        Told of each node.
    arrange : callable, optional
        Changes each graph before it runs.

    Yields
    ------
    graph : Graph
    result : GraphResult
    """
    gc.collect()
    gc.freeze()  # what is imported stays; Nipype collects garbage whenever it sends nodes off
    together = isinstance(plugin, MultiProc | SGELikeBatchManagerBase)
    run = _run_together if together else _run_in_turn
    try:
        yield from run(tasks, plugin, _How(_CrashFiles(run_folder), progress, arrange))
    finally:
        gc.unfreeze()


def _run_together(
    tasks: deque[Callable[[], Graph]], plugin: PluginBase, how: _How
) -> Iterator[tuple[Graph, GraphResult]]:
    """Run graphs at the same time, the earlier ones first wherever a worker is free."""
    shares = isinstance(plugin, MultiProc)
    at_once = plugin.processors + 1 if shares else CLUSTER_GRAPHS
    limit = plugin.max_jobs
    active: list[tuple[_Run, Iterator[None]]] = []
    stopped: Exception | None = None
    complete = False
    try:
        while (tasks or active) and stopped is None:
            while tasks and len(active) < at_once:
                own = plugin.for_another_graph() if shares else copy.copy(plugin)
                run = _Run(tasks.popleft()(), own, how)
                active.append((run, run.rounds()))
            for run, rounds in list(active):
                others = sum(len(o.plugin.pending_tasks) for o, _ in active if o is not run)
                # Each plug-in counts the tasks of its own graph only, and the limit is that of
                # all.
                run.plugin.max_jobs = limit - others
                try:
                    over = next(rounds, True)
                except (RuntimeError, OSError, ValueError) as error:
                    stopped = error
                    break
                if over:
                    active.remove((run, rounds))
                    if shares:
                        run.plugin.leave()
                    yield run.graph, run.result(how.crash_files)
            _wait([run.plugin for run, _ in active])
        if stopped is not None:
            LOGGER.debug('nipype: %s', stopped)
            if not how.crash_files.any():
                raise stopped
            for run, _ in active:
                yield run.graph, run.result(how.crash_files)
        complete = stopped is None
    finally:
        _close(plugin, complete)


def _wait(plugins: Sequence[PluginBase]) -> None:
    """Wait until a node ends, but not for long."""
    futures = [f for p in plugins for f in getattr(p, '_task_obj', {}).values()]
    if futures:
        wait(futures, timeout=WAIT_S, return_when=FIRST_COMPLETED)
    elif plugins:
        time.sleep(POLL_S)


def _close(plugin: PluginBase, complete: bool) -> None:
    """Let the workers go; what still runs of a broken-off run is not waited for."""
    if complete:
        plugin._postrun_check()
    elif isinstance(plugin, MultiProc):
        workers = plugin.pool.processes() if isinstance(plugin.pool, Workers) else []
        with contextlib.suppress(TypeError):  # Dask's executor knows no such option
            plugin.pool.shutdown(wait=False, cancel_futures=True)
        _end(workers)


def _end(workers: Sequence[BaseProcess]) -> None:
    """End processes: told to, and killed when they do not, as in the middle of a registration."""
    for worker in workers:
        worker.terminate()
    deadline = time.monotonic() + END_S
    for worker in workers:
        worker.join(max(0.0, deadline - time.monotonic()))
        if worker.is_alive():
            worker.kill()


def _run_in_turn(
    tasks: deque[Callable[[], Graph]], plugin: PluginBase, how: _How
) -> Iterator[tuple[Graph, GraphResult]]:
    """Run one graph after another, each by the plug-in's own loop."""
    while tasks:
        own = type(plugin)(plugin_args=plugin.plugin_args)
        run = _Run(tasks.popleft()(), own, how, only_started=True)
        error: Exception | None = None
        try:
            run.plugin.run(run.expanded, config=run.config, updatehash=False)
        except Exception as caught:  # noqa: BLE001 - a node's; its crash file tells more
            error = caught
            LOGGER.debug('nipype: %s', error)
        result = run.result(how.crash_files)
        if error is not None and not result.crashes:
            raise error
        yield run.graph, result
        if error is not None and run.config['execution']['stop_on_first_crash'] == 'true':
            return
