"""One node for each modality keeps the same files as the sinks that it stands for."""

from __future__ import annotations

import io
import json
from collections import deque
from functools import partial
from pathlib import Path

import pytest
from nipype.interfaces.utility import Function, IdentityInterface
from nipype.pipeline import engine as pe

from bids_acc.derivatives.outputs import init_sink
from bids_acc.derivatives.sinks import gather_sinks, keep_finished, sink_name
from bids_acc.execution.configure import configure_nipype
from bids_acc.execution.graphs import Graph, run_graphs
from bids_acc.execution.plugins import make_plugin
from bids_acc.execution.progress import Progress, Step
from bids_acc.settings import Resources

ENTITIES = {'subject': '01'}
PARTS = {
    'anat_wf': (('one', ('anat_t1w', 'anat_brain_mask')), ('two', ('anat_dseg',))),
    'dwi_wf': (('three', ('dwi_qc',)),),
}
URI = 'bids:raw:sub-01/anat/sub-01_T1w.nii.gz'


def two_files(fail, before=''):
    import gzip
    from pathlib import Path

    if fail:
        raise ValueError('no')
    for name in ('a', 'b'):
        Path(f'{name}.nii.gz').write_bytes(gzip.compress(name.encode(), mtime=0))
    return str(Path('a.nii.gz').resolve()), str(Path('b.nii.gz').resolve()), {'Seen': 3}


def part_wf(name, folder, fail):
    """Steps that each give two files and metadata; files of some are kept."""
    workflow = pe.Workflow(name)
    workflow.add_nodes([pe.Node(IdentityInterface(['given']), name='inputnode')])
    for step_name, keys in PARTS[name]:
        step = pe.Node(Function(function=two_files, output_names=['a', 'b', 'meta']),
                       name=step_name)  # fmt: skip
        step.inputs.fail = fail == step_name
        for key, out in zip(keys, 'ab', strict=False):
            sink = init_sink(key, output_dir=folder / 'out', entities=ENTITIES)
            workflow.connect(step, out, sink, 'in_file')
            if out == 'a':
                workflow.connect(step, 'meta', sink, 'metadata')
            else:
                sink.inputs.metadata = {'Fixed': True}
            sink.inputs.sources = [URI]
    workflow.connect(workflow.get_node('inputnode'), 'given', step, 'before')
    return workflow


def build(folder, fail=''):
    """Two modalities; a step of the second takes a file of the first."""
    workflow = pe.Workflow('sub_01_wf', base_dir=str(folder / 'work'))
    anat, dwi = (part_wf(name, folder, fail) for name in PARTS)
    workflow.connect([(anat, dwi, [('one.a', 'inputnode.given')])])
    steps = [('anat_wf', 'one'), ('anat_wf', 'two'), ('dwi_wf', 'three')]
    names = [f'sub_01_wf.{part}.{name}' for part, name in steps]
    names += [sink_name('sub_01_wf', part) for part in PARTS]
    return Graph(workflow, {n: Step('sub-01', *n.split('.')[1:2] * 2, n) for n in names})


def kept(folder, arrange, fail='', plugin='Linear'):
    """Run the graph; return what lies in the output folder and what became of the graph."""
    (folder / 'logs').mkdir(parents=True)
    configure_nipype(folder / 'work', folder / 'logs', stop_on_first_crash=False)
    tasks = deque([partial(build, folder, fail)])
    more = {} if arrange is None else {'arrange': arrange}
    (_, result), = run_graphs(
        tasks, make_plugin(Resources(nprocs=2, plugin=plugin)), run_folder=folder / 'logs',
        progress=Progress(stream=io.StringIO()), **more,
    )  # fmt: skip
    return files(folder), result


def files(folder):
    """Read what lies in the output folder."""
    paths = Path(folder / 'out').rglob('*')
    return {path.name: path.read_bytes() for path in paths if path.is_file()}


@pytest.mark.parametrize(
    ('fail', 'n_files', 'plugin'),
    [('', 8, 'Linear'), ('two', 6, None), ('three', 6, 'Linear'), ('one', 2, 'Linear')],
)
def test_one_node_keeps_the_same_files(tmp_path, fail, n_files, plugin):
    apart, _ = kept(tmp_path / 'apart', None, fail, plugin)
    before, result = kept(tmp_path / 'gathered', gather_sinks, fail, plugin)
    lost = {'': set(), 'two': {'anat_wf'}, 'three': {'dwi_wf'}, 'one': set(PARTS)}[fail]
    assert {name.split('.')[1] for name in result.unfinished} == lost
    # all of a modality at once, or nothing until what was finished is asked for
    part = {name: 'dwi_wf' if 'dwi' in name else 'anat_wf' for name in apart}
    assert before == {name: content for name, content in apart.items() if part[name] not in lost}
    keep_finished(result.nodes, result.ended)
    assert files(tmp_path / 'gathered') == apart
    assert len(apart) == n_files
    sinks = [n.fullname for n in result.nodes if n.name == 'sink']
    assert sorted(sinks) == ['sub_01_wf.anat_wf.sink', 'sub_01_wf.dwi_wf.sink']


def test_what_is_kept_of_an_unfinished_modality_is_told_where_it_fails(tmp_path, caplog):
    _, result = kept(tmp_path, gather_sinks, 'two')
    (tmp_path / 'out' / 'sub-01' / 'anat').parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / 'out' / 'sub-01' / 'anat').write_text('in the way')
    keep_finished(result.nodes, result.ended)
    assert 'sub_01_wf.anat_wf.sink: not all of what was finished is kept' in caplog.text


def test_each_sidecar_tells_its_sources(tmp_path):
    found, _ = kept(tmp_path, gather_sinks)
    sidecars = {name: json.loads(text) for name, text in found.items() if name.endswith('.json')}
    assert len(sidecars) == 4
    assert all(sidecar['Sources'] == [URI] for sidecar in sidecars.values())
    assert next(v for k, v in sidecars.items() if k.endswith('T1w.json'))['Seen'] == 3
