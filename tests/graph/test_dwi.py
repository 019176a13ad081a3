"""The diffusion graph over a grid of settings: which nodes exist, what feeds the sinks."""

from __future__ import annotations

import pytest

from bids_acc.dwi import workflow as module
from bids_acc.dwi.workflow import choose_engines, init_dwi_wf
from bids_acc.settings import DwiSettings

ENTITIES = {'subject': '01', 'session': 'a'}


def nodes_of(tmp_path, has_anat, **settings):
    workflow = init_dwi_wf(
        output_dir=tmp_path, entities=ENTITIES, settings=DwiSettings(**settings), has_anat=has_anat
    )
    return workflow, {name.removeprefix('dwi_wf.') for name in workflow.list_node_names()}


@pytest.mark.parametrize('has_anat', [True, False])
@pytest.mark.parametrize('denoise', ['builtin', 'none'])
@pytest.mark.parametrize('unringing', ['dipy', 'none'])
def test_steps_can_be_skipped(tmp_path, has_anat, denoise, unringing):
    _, names = nodes_of(tmp_path, has_anat, denoise=denoise, unringing=unringing)
    assert ('prepare_wf.denoise' in names) == (denoise != 'none')
    assert ('prepare_wf.unring' in names) == (unringing != 'none')
    assert ('tensor_wf.coregister' in names) == has_anat
    assert ('surface_wf.sample_L' in names) == has_anat
    assert ('sinks_wf.ds_xfm' in names) == has_anat


def test_every_sink_is_fed(tmp_path):
    for has_anat in (True, False):
        workflow, _ = nodes_of(tmp_path, has_anat)
        flat = workflow._create_flat_graph()
        for node in flat.nodes():
            if not node.name.startswith('ds_'):
                continue
            fed = {end for _, _, data in flat.in_edges(node, data=True)
                   for _, end in data['connect']}  # fmt: skip
            assert 'in_file' in fed, node.name


def test_maps_go_to_the_space_they_are_in(tmp_path):
    workflow, _ = nodes_of(tmp_path, True)
    assert 'space-T1w' in workflow.get_node('sinks_wf').get_node('ds_fa').inputs.out_path
    workflow, _ = nodes_of(tmp_path, False)
    assert 'space-' not in workflow.get_node('sinks_wf').get_node('ds_fa').inputs.out_path


@pytest.mark.parametrize(
    ('there', 'expected'), [(True, ('mrtrix3', 'mrtrix3')), (False, ('builtin', 'none'))]
)
def test_auto_takes_what_is_on_path(monkeypatch, there, expected):
    monkeypatch.setattr(module.shutil, 'which', lambda name: f'/bin/{name}' if there else None)
    engines = choose_engines(DwiSettings())
    assert (engines['denoise'], engines['unringing']) == expected


def test_settings_reach_the_fit(tmp_path):
    workflow, _ = nodes_of(tmp_path, True, tensor_fit='wls', b_max=1200.0, depths='midthickness')
    fit = workflow.get_node('tensor_wf').get_node('fit').inputs
    assert (fit.method, fit.b_max) == ('wls', 1200.0)
    side = workflow.get_node('surface_wf').get_node('sample_R').inputs
    assert (side.method, side.b_max, side.depths) == ('wls', 1200.0, 'midthickness')
