"""Graphs with failing and dying nodes: nothing hangs, and each failure has a name."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
import time
from collections import deque
from collections.abc import Iterable
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path

import pytest
from nipype.interfaces.utility import Function
from nipype.pipeline import engine as pe

from bids_acc.exceptions import ExitCode, OutputError, SettingsError
from bids_acc.execution import configure
from bids_acc.execution.configure import code_state, configure_nipype, state_of
from bids_acc.execution.graphs import Graph, GraphResult, run_graphs
from bids_acc.execution.plugins import available_memory_gb, make_plugin
from bids_acc.execution.progress import Progress, Step
from bids_acc.execution.workers import Workers
from bids_acc.settings import Resources


def fine(x):
    return x


def bad_data(x):
    from bids_acc.exceptions import InputDataError

    raise InputDataError('sub-01_T1w.nii.gz is upside down; turn it.')


def bug(x):
    return [][x]


def killed(x):
    import os
    import signal

    os.kill(os.getpid(), signal.SIGKILL)


def segfault(x):
    import os
    import signal

    os.kill(os.getpid(), signal.SIGSEGV)


def outlasts(x):
    """Run on until well after a neighbour has died."""
    import time

    time.sleep(2)
    return x


def session_graph(folder: Path, name: str, functions: dict) -> Graph:
    """Make a session of two nodes for each function."""
    session = pe.Workflow(f'{name}_wf', base_dir=str(folder / 'work'))
    steps = {}
    for modality, function in functions.items():
        part = pe.Workflow(f'{modality}_wf')
        first = pe.Node(Function(function=function), name='first')
        first.inputs.x = 1
        second = pe.Node(Function(function=fine), name='second')
        part.connect(first, 'out', second, 'x')
        session.add_nodes([part])
        for node in ('first', 'second'):
            step = Step(name.replace('_', '-'), modality, part.name, node)
            steps[f'{session.name}.{part.name}.{node}'] = step
    return Graph(session, steps)


@pytest.fixture(params=['plain', '100 % $x; {0} "ü"'])
def place(tmp_path, request):
    """Return a folder whose name says nothing to anybody but this user."""
    folder = tmp_path / request.param
    folder.mkdir()
    return folder


def run(
    tmp_path: Path, sessions: dict[str, dict], plugin: str | None = None, *, stop: bool = False
) -> tuple[dict[str, GraphResult], Progress, int]:
    """Run a graph for each session; return results, progress and how many never began."""
    (tmp_path / 'logs').mkdir()
    configure_nipype(tmp_path / 'work', tmp_path / 'logs', stop_on_first_crash=stop)
    tasks = deque(partial(session_graph, tmp_path, name, f) for name, f in sessions.items())
    progress = Progress(graphs=len(tasks), nprocs=2, stream=io.StringIO())
    results = {}
    with progress.beating():
        for graph, result in run_graphs(
            tasks, make_plugin(Resources(nprocs=2, plugin=plugin)),
            run_folder=tmp_path / 'logs', progress=progress,
        ):  # fmt: skip
            results[graph.workflow.name.removesuffix('_wf')] = result
    return results, progress, len(tasks)


def modalities(names: Iterable[str]) -> set[str]:
    """Name the modalities of nodes."""
    return {name.split('.')[1].removesuffix('_wf') for name in names}


PLUGINS = (None, 'Linear')


@pytest.mark.parametrize('plugin', PLUGINS)
def test_all_well(tmp_path, plugin):
    sessions = {f'sub_{n:02d}': {'anat': fine, 'dwi': fine} for n in range(5)}
    results, progress, left = run(tmp_path, sessions, plugin)
    assert sorted(results) == sorted(sessions)
    assert all(len(r.ended) == 4 and not r.unfinished and not r.crashes for r in results.values())
    assert progress.done == progress.total == 20
    assert progress.left_s() == 0
    assert left == 0
    assert not progress._steps


def test_no_more_sessions_are_built_than_can_run(tmp_path):
    (tmp_path / 'logs').mkdir()
    configure_nipype(tmp_path / 'work', tmp_path / 'logs', stop_on_first_crash=False)
    alive, most = set(), []

    def build(name):
        alive.add(f'{name}_wf')
        most.append(len(alive))
        return session_graph(tmp_path, name, {'anat': fine})

    tasks = deque(partial(build, f'sub_{n}') for n in range(8))
    for graph, _ in run_graphs(
        tasks, make_plugin(Resources(nprocs=2)), run_folder=tmp_path / 'logs',
        progress=Progress(graphs=8, stream=io.StringIO()),
    ):  # fmt: skip
        alive.remove(graph.workflow.name)
    assert len(most) == 8
    assert max(most) == 3


def test_intermediate_files_of_other_code_are_not_reused(tmp_path):
    assert code_state() == state_of(Path(configure.__file__).parents[1])
    for name in ('execution/configure.py', 'settings.py'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text('')
    other = state_of(tmp_path)
    assert other == state_of(tmp_path)
    (tmp_path / 'settings.py').write_text('x = 1')
    changed = state_of(tmp_path)
    (tmp_path / 'atlas.tsv').write_text('1')
    assert len({code_state(), other, changed, state_of(tmp_path)}) == 4


def test_no_time_is_told_before_the_kinds_of_step_were_seen():
    progress = Progress(graphs=2, stream=io.StringIO())
    names = {'s.a.short': 'short', 's.a.long': 'long', 's.b.long': 'long'}
    steps = {full: Step('sub-01', 'anat', 'anat_wf', name) for full, name in names.items()}
    progress.begin(steps)
    assert progress.total == 6
    progress._seconds['anat_wf', 'short'] = (2, 2.0)
    assert progress.left_s() is None
    progress._seconds['anat_wf', 'long'] = (1, 100.0)
    assert progress.left_s() == 2 * 201
    progress.end(steps)
    assert progress.left_s() == 201
    assert (progress.done, progress.total) == (3, 6)


@pytest.mark.parametrize('plugin', PLUGINS)
def test_failures_are_named_and_stop_neither_the_rest_nor_other_sessions(place, plugin):
    sessions = {
        'sub_01': {'anat': bad_data, 'dwi': bug, 'mrs': fine},
        'sub_02': {'anat': fine, 'mrs': bug},
    }
    results, progress, _ = run(place, sessions, plugin)
    first, second = results['sub_01'], results['sub_02']
    crashes = {crash.node.split('.')[1]: crash for crash in first.crashes}
    assert crashes['anat_wf'].exit_code is ExitCode.BAD_DATA
    assert crashes['anat_wf'].reason == 'sub-01_T1w.nii.gz is upside down; turn it.'
    assert crashes['dwi_wf'].exit_code is ExitCode.INTERNAL
    assert crashes['dwi_wf'].reason == 'IndexError: list index out of range'
    assert modalities(first.ended) == {'mrs'}
    assert modalities(first.unfinished) == {'anat', 'dwi'}
    assert len(first.ended) == 2
    assert [crash.node for crash in second.crashes] == ['sub_02_wf.mrs_wf.first']
    assert modalities(second.ended) == {'anat'}
    assert 'FAILED sub-01 anat: first' in progress.stream.getvalue()
    assert progress.done == progress.total


@pytest.mark.parametrize('plugin', PLUGINS)
def test_the_first_crash_stops_the_run_on_request(tmp_path, plugin):
    sessions = {f'sub_{n}': {'anat': bad_data} for n in range(9)}
    results, _, left = run(tmp_path, sessions, plugin, stop=True)
    assert left == 9 - len(results) > 0
    assert sum(len(result.crashes) for result in results.values()) == 1


@pytest.mark.parametrize(
    ('dies', 'code', 'words'),
    [(killed, ExitCode.TRY_AGAIN, 'memory'), (segfault, ExitCode.INTERNAL, 'SIGSEGV')],
)
def test_a_worker_that_dies_takes_nothing_else_with_it(tmp_path, dies, code, words):
    sessions = {
        'sub_01': {'anat': dies, 'mrs': outlasts}, 'sub_02': {'anat': outlasts, 'mrs': dies},
    }  # fmt: skip
    results, _, _ = run(tmp_path, sessions)
    for name, gone in (('sub_01', 'anat'), ('sub_02', 'mrs')):
        (crash,) = results[name].crashes
        assert crash.node == f'{name}_wf.{gone}_wf.first'
        assert crash.exit_code is code
        assert words in crash.reason
        assert modalities(results[name].unfinished) == {gone}
        assert len(results[name].ended) == 2


@pytest.mark.parametrize('code', [errno.ENOSPC, errno.EROFS, errno.ENOENT])
def test_what_is_full_or_closed_when_processes_have_nothing_to_share(code, monkeypatch):
    def full(*arguments, **options):
        raise OSError(code, os.strerror(code))

    with pytest.raises(OutputError, match='/dev/shm'):
        Workers(full).submit(fine, 1)
    monkeypatch.setattr('nipype.pipeline.plugins.multiproc.ProcessPoolExecutor', full)
    with pytest.raises(OutputError, match='/dev/shm'):
        make_plugin(Resources(nprocs=1))


def test_nothing_is_left_behind_when_no_thread_may_be_started(monkeypatch):
    begun = []

    def refuse(self):
        begun.extend(self.processes.values())
        raise RuntimeError("can't start new thread")

    workers = make_plugin(Resources(nprocs=1)).pool
    monkeypatch.setattr('concurrent.futures.process._ExecutorManagerThread.start', refuse)
    with pytest.raises(RuntimeError, match='new thread'):
        workers.submit(fine, 1)
    (process,) = begun
    process.join(30)
    assert process.exitcode == -signal.SIGKILL


def test_a_worker_that_dies_while_it_waits_is_replaced():
    plugin = make_plugin(Resources(nprocs=1))
    workers = plugin.pool
    assert workers.submit(fine, 1).result() == 1
    (process,) = workers.processes()
    process.kill()
    process.join()
    deadline = time.monotonic() + 30
    while process in workers.processes() and time.monotonic() < deadline:
        with contextlib.suppress(BrokenProcessPool):  # not noticed yet
            assert workers.submit(fine, 2).result() == 2
    assert workers.submit(fine, 3).result() == 3
    workers.shutdown()


@pytest.fixture(scope='module')
def dask_plugin(tmp_path_factory):
    distributed = pytest.importorskip('distributed')
    file = tmp_path_factory.mktemp('dask') / 'dask.yml'
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        content = f'plugin: Dask\nplugin_args: {{scheduler: "{cluster.scheduler_address}"}}\n'
        file.write_text(content)
        yield str(file)


@pytest.mark.slow
def test_dask_runs_all_and_names_failures(tmp_path, dask_plugin):
    sessions = {'sub_01': {'anat': bad_data, 'dwi': fine}, 'sub_02': {'mrs': fine}}
    results, _, _ = run(tmp_path, sessions, dask_plugin)
    assert [crash.exit_code for crash in results['sub_01'].crashes] == [ExitCode.BAD_DATA]
    assert modalities(results['sub_01'].ended) == {'dwi'}
    assert modalities(results['sub_02'].ended) == {'mrs'}


@pytest.mark.slow
def test_a_dying_dask_worker_stops_only_its_node(tmp_path, dask_plugin):
    sessions = {'sub_01': {'anat': killed}, 'sub_02': {'mrs': fine}}
    results, _, _ = run(tmp_path, sessions, dask_plugin)
    assert [crash.exit_code for crash in results['sub_01'].crashes] == [ExitCode.TRY_AGAIN]
    assert modalities(results['sub_02'].ended) == {'mrs'}


def test_plugins(tmp_path):
    assert type(make_plugin(Resources(plugin='Linear'))).__name__ == 'LinearPlugin'
    with pytest.raises(SettingsError, match='no such plug-in'):
        make_plugin(Resources(plugin='Quantum'))
    (tmp_path / 'p.yml').write_text('plugin: MultiProc\nplugin_args: {n_procs: 3}\n')
    assert make_plugin(Resources(plugin=str(tmp_path / 'p.yml'))).processors == 3
    (tmp_path / 'bad.yml').write_text('x: [')
    with pytest.raises(SettingsError, match='plugin_args'):
        make_plugin(Resources(plugin=str(tmp_path / 'bad.yml')))


def test_memory_is_plausible():
    assert 0.1 < available_memory_gb() < 1e5


@pytest.mark.parametrize(('groups', 'limit'), [
    # of version 2: a job of SLURM, whose limit stands above the group of the step
    ('0::/system.slice/slurmstepd.scope/job_7/step_0/user/task_0',
     'system.slice/slurmstepd.scope/job_7/memory.max'),
    ('0::/', 'memory.max'),  # a container with a view of its own
    # of version 1: a job; a container that is told the host's path and sees its own folder
    ('9:cpu,cpuacct:/x\n4:memory:/slurm/uid_5/job_7/step_0\n0::/',
     'memory/slurm/uid_5/job_7/memory.limit_in_bytes'),
    ('4:memory:/docker/1f2e', 'memory/memory.limit_in_bytes'),
])  # fmt: skip
def test_the_limit_of_a_job_is_found_wherever_it_stands(groups, limit, tmp_path):
    (tmp_path / 'proc/self').mkdir(parents=True)
    (tmp_path / 'proc/self/cgroup').write_text(groups + '\n')
    path = tmp_path / 'sys/fs/cgroup' / limit
    path.parent.mkdir(parents=True)
    path.write_text('52428800\n')
    (path.parent / 'deeper').mkdir()
    assert available_memory_gb(tmp_path) == 0.048828125
    path.write_text('max\n')
    assert available_memory_gb(tmp_path) > 0.1


def test_a_limit_that_is_too_low_is_told(caplog):
    make_plugin(Resources(mem_gb=0.3)).pool.shutdown()
    assert 'only 0.3 GB of memory' in caplog.text
