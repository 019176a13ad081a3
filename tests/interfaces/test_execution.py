"""Graphs with failing and dying nodes: nothing hangs, and each failure has a name."""

from __future__ import annotations

import io

import pytest
from nipype.interfaces.utility import Function
from nipype.pipeline import engine as pe

from bids_acc import execution
from bids_acc.exceptions import ExitCode, ResourceError, SettingsError
from bids_acc.execution import (
    Progress,
    available_memory_gb,
    configure_nipype,
    make_plugin,
    read_crashes,
)
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


def run(tmp_path, functions: dict, plugin_name: str | None = None) -> tuple[Progress, dict]:
    """Run one node for each function, in a session workflow."""
    (tmp_path / 'logs').mkdir()
    configure_nipype(tmp_path / 'work', tmp_path / 'logs', stop_on_first_crash=False)
    workflow = pe.Workflow('bids_acc_wf', base_dir=str(tmp_path / 'work'))
    session = pe.Workflow('sub_01_wf')
    for name, function in functions.items():
        arm = pe.Workflow(f'{name}_wf')
        first = pe.Node(Function(function=function), name='first')
        first.inputs.x = 1
        second = pe.Node(Function(function=fine), name='second')
        arm.connect(first, 'out', second, 'x')
        session.add_nodes([arm])
    workflow.add_nodes([session])
    progress = Progress.for_workflow(workflow, 2)
    progress.stream = io.StringIO()
    plugin = make_plugin(Resources(nprocs=2, plugin=plugin_name), progress)
    with progress.beating():
        if set(functions.values()) == {fine}:
            workflow.run(plugin=plugin)
        else:
            with pytest.raises((RuntimeError, ResourceError)):
                workflow.run(plugin=plugin)
    crashes = {c.node.split('.')[2]: c for c in read_crashes(tmp_path / 'logs')}
    return progress, crashes


def test_all_well(tmp_path):
    progress, crashes = run(tmp_path, {'anat': fine, 'dwi': fine})
    assert crashes == {}
    assert len(progress.ended) == progress.total == 4
    assert progress.left_s() == 0


def test_intermediate_files_of_other_code_are_not_reused(tmp_path, monkeypatch):
    before = execution.code_state()
    assert before == execution.code_state()
    for name in ('execution.py', 'settings.py'):
        (tmp_path / name).write_text('')
    monkeypatch.setattr(execution, '__file__', str(tmp_path / 'execution.py'))
    other = execution.code_state()
    (tmp_path / 'settings.py').write_text('x = 1')
    assert len({before, other, execution.code_state()}) == 3


def test_no_time_is_told_before_the_kinds_of_step_were_seen():
    progress = Progress(total=3, stream=io.StringIO())
    progress.remaining.update({'short': 1, 'long': 2})
    progress._seconds['short'] = [1.0]
    assert progress.left_s() is None
    progress._seconds['long'] = [100.0]
    assert progress.left_s() == 201


def test_failures_are_named_and_do_not_stop_the_others(tmp_path):
    progress, crashes = run(tmp_path, {'anat': bad_data, 'dwi': bug, 'mrs': fine})
    assert crashes['anat_wf'].exit_code is ExitCode.BAD_DATA
    assert crashes['anat_wf'].reason == 'sub-01_T1w.nii.gz is upside down; turn it.'
    assert crashes['dwi_wf'].exit_code is ExitCode.INTERNAL
    assert crashes['dwi_wf'].reason == 'IndexError: list index out of range'
    assert {name.split('.')[2] for name in progress.ended} == {'mrs_wf'}
    assert len(progress.ended) == 2
    assert 'FAILED sub-01 anat: first' in progress.stream.getvalue()


def test_a_killed_worker_neither_hangs_nor_stops_the_others(tmp_path):
    _, crashes = run(tmp_path, {'anat': killed, 'mrs': fine})
    assert crashes['anat_wf'].exit_code is ExitCode.TRY_AGAIN
    assert 'memory' in crashes['anat_wf'].reason


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
    functions = {'anat': bad_data, 'dwi': fine, 'mrs': fine}
    progress, crashes = run(tmp_path, functions, dask_plugin)
    assert list(crashes) == ['anat_wf']
    assert crashes['anat_wf'].exit_code is ExitCode.BAD_DATA
    assert {name.split('.')[2] for name in progress.ended} == {'dwi_wf', 'mrs_wf'}


@pytest.mark.slow
def test_a_dying_dask_worker_stops_only_its_node(tmp_path, dask_plugin):
    _, crashes = run(tmp_path, {'anat': killed, 'mrs': fine}, dask_plugin)
    assert list(crashes) == ['anat_wf']
    assert crashes['anat_wf'].exit_code is ExitCode.TRY_AGAIN


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
