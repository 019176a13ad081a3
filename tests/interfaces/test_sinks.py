"""Sinks gathered into one node keep the same files as those they stand for."""

from __future__ import annotations

import io
import json
from collections import deque
from functools import partial

import pytest
from nipype.interfaces.utility import Function
from nipype.pipeline import engine as pe

from bids_acc.derivatives.outputs import init_sink
from bids_acc.derivatives.sinks import gather_sinks
from bids_acc.execution.configure import configure_nipype
from bids_acc.execution.graphs import Graph, run_graphs
from bids_acc.execution.plugins import make_plugin
from bids_acc.execution.progress import Progress, Step
from bids_acc.settings import Resources

ENTITIES = {'subject': '01'}


def two_files(fail):
    import gzip
    from pathlib import Path

    if fail:
        raise ValueError('no')
    for name in ('a', 'b'):
        Path(f'{name}.nii.gz').write_bytes(gzip.compress(name.encode()))
    return str(Path('a.nii.gz').resolve()), str(Path('b.nii.gz').resolve()), {'Seen': 3}


def read(path):
    from pathlib import Path

    return Path(path).read_bytes().decode('latin-1')


def build(folder, fail=''):
    """Two steps; the first gives two files and metadata, one of which a later step reads."""
    workflow = pe.Workflow('sub_01_wf', base_dir=str(folder / 'work'))
    for name, keys in (('one', ('anat_t1w', 'anat_brain_mask')), ('two', ('anat_dseg',))):
        step = pe.Node(Function(function=two_files, output_names=['a', 'b', 'meta']), name=name)
        step.inputs.fail = fail == name
        for key, out in zip(keys, 'ab', strict=False):
            sink = init_sink(key, output_dir=folder / 'out', entities=ENTITIES)
            workflow.connect(step, out, sink, 'in_file')
            if out == 'a':
                workflow.connect(step, 'meta', sink, 'metadata')
            else:
                sink.inputs.metadata = {'Fixed': True}
            sink.inputs.sources = ['bids:raw:sub-01/anat/sub-01_T1w.nii.gz']
    reader = pe.Node(Function(function=read), name='reader')
    workflow.connect(workflow.get_node('ds_anat_brain_mask'), 'out_file', reader, 'path')
    names = [f'{workflow.name}.{name}' for name in workflow.list_node_names()]
    return Graph(workflow, {n: Step('sub-01', 'anat', 'anat_wf', n) for n in names})


def kept(folder, arrange, fail=''):
    """Run the graph; return what lies in the output folder and what became of the graph."""
    (folder / 'logs').mkdir(parents=True)
    configure_nipype(folder / 'work', folder / 'logs', stop_on_first_crash=False)
    tasks = deque([partial(build, folder, fail)])
    more = {} if arrange is None else {'arrange': arrange}
    (_, result), = run_graphs(
        tasks, make_plugin(Resources(nprocs=2)), run_folder=folder / 'logs',
        progress=Progress(stream=io.StringIO()), **more,
    )  # fmt: skip
    files = {p.name: p.read_bytes() for p in (folder / 'out').rglob('*') if p.is_file()}
    return files, result


@pytest.mark.parametrize('fail', ['', 'two'])
def test_gathered_sinks_keep_the_same_files(tmp_path, fail):
    apart, before = kept(tmp_path / 'apart', None, fail)
    gathered, after = kept(tmp_path / 'gathered', gather_sinks, fail)
    assert gathered == apart
    assert len(apart) == (4 if fail else 6)
    assert before.ended - after.ended == {'sub_01_wf.ds_anat_brain_mask'}
    assert after.unfinished == before.unfinished
    assert 'sub_01_wf.reader' in after.ended
    sidecar = next(json.loads(v) for k, v in gathered.items() if k.endswith('T1w.json'))
    assert sidecar['Seen'] == 3


def test_each_sidecar_tells_its_sources(tmp_path):
    files, _ = kept(tmp_path, gather_sinks)
    for name, content in files.items():
        if name.endswith('.json'):
            sidecar = json.loads(content)
            assert sidecar['Sources'] == ['bids:raw:sub-01/anat/sub-01_T1w.nii.gz']
