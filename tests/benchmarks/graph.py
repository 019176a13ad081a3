"""What running the participant level costs besides the work: one graph of all, or one for each.

    python tests/benchmarks/graph.py [--sessions 12 100 1000] [--nodes 138] [--steps 600] [--quick]

Each session is a graph of nodes that do nothing, shaped like that of the participant level: some
nodes in a row, each with a fan of sinks. *One graph* is how Nipype is meant to be used, *each its
own* is `bids_acc.execution.graphs`, and *one sink each* besides has one node keep what the fan of
sinks would. After ``--steps`` nodes a run is broken off. Printed are the
time until the first node starts, the largest memory of the scheduling process, and its processor
time for each node that ended, and for all nodes of a session (not the workers'; so other load on
the machine hardly matters). One graph of more than 100 sessions is not measured: its cost grows
with their square. Each line is measured in a process of its own. At the end the graph of a real
session (T1w image, diffusion series, spectrum) is built: CPU time, nodes and sinks, as made and
as they run, one sink for each modality.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import psutil
from nipype.interfaces.base import BaseInterfaceInputSpec, SimpleInterface, TraitedSpec, traits
from nipype.pipeline import engine as pe

from bids_acc.execution.configure import configure_nipype
from bids_acc.execution.graphs import Graph, run_graphs
from bids_acc.execution.plugins import make_plugin
from bids_acc.execution.progress import Progress, Step
from bids_acc.settings import Resources

FAN = 5
"""Sinks behind each node of the row."""


class _In(BaseInterfaceInputSpec):
    x = traits.Int(0)


class _Out(TraitedSpec):
    y = traits.Int()


class Nothing(SimpleInterface):
    """Pass a number on."""

    input_spec, output_spec = _In, _Out
    _always_run = True

    def _run_interface(self, runtime):
        self._results['y'] = self.inputs.x
        return runtime


def session(number: int, n_nodes: int, *, one_sink: bool = False) -> pe.Workflow:
    """Make the graph of a session."""
    workflow = pe.Workflow(f'sub_{number:04d}_wf')
    before = None
    for row in range(n_nodes // (FAN + 1)):
        node = pe.Node(Nothing(), name=f'node_{row}')
        if not one_sink:
            sinks = [pe.Node(Nothing(), name=f'sink_{row}_{k}', mem_gb=0.1) for k in range(FAN)]
            workflow.connect([(node, sink, [('y', 'x')]) for sink in sinks])
        if before is not None:
            workflow.connect(before, 'y', node, 'x')
        before = node
    if one_sink:
        workflow.connect(before, 'y', pe.Node(Nothing(), name='sink', mem_gb=0.1), 'x')
    return workflow


class _Enough(RuntimeError):
    """As many steps as were asked for."""


class Clock:
    """Counts steps; notes when the first began; breaks the run off."""

    def __init__(self, limit: int) -> None:
        self.limit, self.ended, self.first = limit, 0, 0.0
        self.began = time.perf_counter()

    def __call__(self, _: object, status: str) -> None:
        if not self.first:
            self.first = time.perf_counter() - self.began
            self.cpu = time.process_time()
        if status == 'end':
            self.ended += 1
            if self.ended >= self.limit:
                raise _Enough

    def row(self) -> dict[str, float]:
        """Return the measures."""
        cpu_ms = 1000 * (time.process_time() - self.cpu) / self.ended
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return {'first_s': self.first, 'memory_mb': memory, 'ms_a_step': cpu_ms}


def one_graph(folder: Path, n_sessions: int, n_nodes: int, limit: int) -> dict[str, float]:
    """Run all sessions as one graph."""
    clock = Clock(limit)
    workflow = pe.Workflow('all_wf', base_dir=str(folder))
    workflow.add_nodes([session(n, n_nodes) for n in range(n_sessions)])
    plugin = make_plugin(Resources(nprocs=2))
    plugin._status_callback = clock
    with contextlib.suppress(_Enough):
        workflow.run(plugin=plugin)
    return clock.row()


def each_its_own(
    folder: Path, n_sessions: int, n_nodes: int, limit: int, *, one_sink: bool = False
) -> dict[str, float]:
    """Run each session as a graph of its own."""
    clock = Clock(limit)

    def build(number: int) -> Graph:
        workflow = session(number, n_nodes, one_sink=one_sink)
        workflow.base_dir = str(folder)
        names = [f'{workflow.name}.{name}' for name in workflow.list_node_names()]
        return Graph(workflow, {n: Step(workflow.name, 'anat', 'wf', n[8:]) for n in names})

    class Told(Progress):
        def __call__(self, name: str, status: str) -> None:
            super().__call__(name, status)
            clock(name, status)

    tasks = deque(partial(build, number) for number in range(n_sessions))
    progress = Told(graphs=n_sessions, stream=io.StringIO())
    runs = run_graphs(tasks, make_plugin(Resources(nprocs=2)), run_folder=folder,
                      progress=progress)  # fmt: skip
    with contextlib.suppress(_Enough):
        deque(runs, maxlen=0)
    return clock.row()


def real_sessions(folder: Path, n_sessions: int = 4) -> None:
    """Build the graphs of real sessions, one after the other, and print what they hold."""
    from bids_acc.bids.discovery import discover
    from bids_acc.bids.index import ImageIndex
    from bids_acc.bids.selection import Selection
    from bids_acc.derivatives.outputs import Sink
    from bids_acc.derivatives.sinks import Sinks, gather_sinks
    from bids_acc.execution.graphs import _Expander
    from bids_acc.participant.plan import plan_jobs
    from bids_acc.participant.workflow import build_session
    from bids_acc.settings import Settings
    from tests.benchmarks.scale_plan import make_raw

    raw, settings = make_raw(folder / 'raw', n_sessions), Settings()
    jobs = plan_jobs(
        discover(ImageIndex(raw), Selection()), bids_dir=raw, output_dir=folder / 'out',
        settings=settings,
    )  # fmt: skip
    print('  graph of a session     CPU  nodes  sinks    nodes and sinks that run, memory')
    for job in jobs:
        began = time.process_time()
        graph = build_session(
            job, output_dir=folder / 'out', work_dir=folder / 'work', settings=settings
        )
        expander = _Expander()
        graph.workflow.run(plugin=expander)
        nodes = expander.graph
        n_nodes, n_sinks = len(nodes), sum(isinstance(n.interface, Sink) for n in nodes)
        gather_sinks(nodes)
        left = sum(isinstance(n.interface, Sink | Sinks) for n in nodes)
        print(f'{job.session.label:>20} {time.process_time() - began:5.2f} s {n_nodes:6d} '
              f'{n_sinks:6d} {len(nodes):8d} {left:6d} '
              f'{psutil.Process().memory_info().rss / 2**20:4.0f} MB', flush=True)  # fmt: skip


WAYS: dict[str, Callable[..., dict[str, float]]] = {
    'one graph': one_graph, 'each its own': each_its_own,
    'one sink each': partial(each_its_own, one_sink=True),
}  # fmt: skip


def main() -> None:
    """Measure each way in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--sessions', type=int, nargs='+', default=[12, 100, 1000])
    parser.add_argument('--nodes', type=int, default=138)
    parser.add_argument('--steps', type=int, default=600)
    parser.add_argument('--ways', nargs='+', default=list(WAYS), choices=list(WAYS))
    parser.add_argument('--quick', action='store_true', help='150 steps; one graph of 12 only')
    parser.add_argument('--inside', action='store_true', help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.quick:
        given.steps = 150
    # Its matrix over all nodes grows with their square: 1,000 sessions would take hours.
    most = dict.fromkeys(WAYS, max(given.sessions)) | {'one graph': 12 if given.quick else 100}
    if given.inside:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            configure_nipype(folder, folder, stop_on_first_crash=False)
            row = WAYS[given.ways[0]](folder, given.sessions[0], given.nodes, given.steps)
            sys.stdout.write(json.dumps(row) + '\n')
            sys.stdout.flush()
            for worker in psutil.Process().children(recursive=True):
                worker.kill()  # it would hold the pipe open
            os._exit(0)
    print(f'{"sessions":>8}  {"way":14} {"first step":>10} {"memory":>9} {"a step":>9} '
          f'{"a session":>9}')  # fmt: skip
    for n_sessions in given.sessions:
        for way in (way for way in given.ways if n_sessions <= most[way]):
            command = [sys.executable, __file__, '--inside', '--sessions', str(n_sessions),
                       '--nodes', str(given.nodes), '--steps', str(given.steps),
                       '--ways', way]  # fmt: skip
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            row = json.loads(done.stdout.splitlines()[-1])
            n_nodes = given.nodes // (FAN + 1) + 1 if way == 'one sink each' else given.nodes
            print(f'{n_sessions:8d}  {way:14} {row["first_s"]:8.2f} s {row["memory_mb"]:6.0f} MB '
                  f'{row["ms_a_step"]:6.1f} ms {row["ms_a_step"] * n_nodes / 1000:7.2f} s',
                  flush=True)  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        configure_nipype(Path(name), Path(name), stop_on_first_crash=False)
        real_sessions(Path(name))


if __name__ == '__main__':
    main()
