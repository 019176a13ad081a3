"""The diffusion graph over a grid of settings: which nodes exist, what feeds the sinks."""

from __future__ import annotations

import pytest

from bids_acc.dwi.workflow import choose_engines, init_dwi_wf
from bids_acc.dwi.workflow import engines as module
from bids_acc.dwi.workflow.engines import decided_beforehand
from bids_acc.settings import DwiSettings

ENTITIES = {'subject': '01', 'session': 'a'}


def nodes_of(tmp_path, has_anat, build=None, **settings):
    workflow = init_dwi_wf(
        output_dir=tmp_path, entities=ENTITIES, settings=DwiSettings(**settings),
        has_anat=has_anat, **(build or {}),
    )  # fmt: skip
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


@pytest.mark.parametrize('has_anat', [True, False])
@pytest.mark.parametrize('reversed_pe', [True, False])
@pytest.mark.parametrize('asked', ['auto', 'pair', 'registration', 'none'])
def test_one_engine_at_most_corrects_susceptibility(
    tmp_path, monkeypatch, has_anat, reversed_pe, asked
):
    monkeypatch.setattr(module.shutil, 'which', lambda name: None)
    _, names = nodes_of(
        tmp_path, has_anat, {'has_reversed_pe': reversed_pe}, susceptibility=asked, denoise='none',
        unringing='none',
    )  # fmt: skip
    pair = reversed_pe and asked in ('auto', 'pair')
    assert ('prepare_wf.field' in names) == pair
    assert ('prepare_wf.undistort' in names) == pair
    registered = has_anat and not pair and asked in ('auto', 'registration')
    assert ('tensor_wf.distortion' in names) == registered


def test_nothing_of_a_preprocessed_series_is_corrected_again(tmp_path):
    workflow, names = nodes_of(
        tmp_path,
        True,
        {'source': 'QSIPrep 1', 'has_reversed_pe': True, 'noddi_source': 'QSIRecon'},
    )
    assert not names & {'prepare_wf.denoise', 'prepare_wf.unring', 'prepare_wf.field',
                        'tensor_wf.distortion'}  # fmt: skip
    assert workflow.get_node('prepare_wf').get_node('motion').inputs.engine == 'none'
    assert workflow.get_node('tensor_wf').get_node('resample').inputs.bias is False
    assert {'surface_wf.align_noddi', 'surface_wf.noddi_L', 'surface_wf.ds_od_R'} <= names


def test_the_field_reaches_maps_and_vertices(tmp_path, monkeypatch):
    monkeypatch.setattr(module.shutil, 'which', lambda name: None)
    for build in ({'has_reversed_pe': True}, {}):
        workflow, _ = nodes_of(tmp_path, True, build)
        flat = workflow._create_flat_graph()
        for name in ('resample', 'sample_L', 'sample_R'):
            node = next(n for n in flat.nodes() if n.name == name)
            fed = {end for _, _, data in flat.in_edges(node, data=True)
                   for _, end in data['connect']}  # fmt: skip
            assert 'warp' in fed, (name, build)


def test_settings_reach_the_fit(tmp_path):
    workflow, _ = nodes_of(tmp_path, True, tensor_fit='wls', b_max=1200.0, depths='midthickness')
    fit = workflow.get_node('tensor_wf').get_node('fit').inputs
    assert (fit.method, fit.b_max) == ('wls', 1200.0)
    side = workflow.get_node('surface_wf').get_node('sample_R').inputs
    assert (side.method, side.b_max, side.depths) == ('wls', 1200.0, 'midthickness')


@pytest.mark.parametrize(
    ('asked', 'named', 'words'),
    [
        ('auto', (), 'neither a T1w image nor one of reversed'),
        (
            'auto',
            ('a_epi.nii.gz: for something else',),
            'can be used (a_epi.nii.gz: for something',
        ),
        ('pair', ('a_epi.nii.gz: for something else',), 'corrected: no image of reversed phase'),
        ('pair', (), 'there are no images of reversed'),
    ],
)
def test_images_that_cannot_correct_distortion_are_named(asked, named, words):
    settings = DwiSettings(susceptibility=asked)
    (note,) = decided_beforehand(settings, choose_engines(settings), '', named)
    assert words in note
    assert ('neither' in note) == (asked == 'auto' and not named)


def test_what_was_left_out_reaches_the_sidecar(tmp_path):
    said = {'notes': ['a: taken as j'], 'left_out': ['b: a map'], 'no_opposite': ['c: another']}
    workflow, _ = nodes_of(tmp_path, False, said)
    findings = workflow.get_node('sinks_wf').get_node('table').inputs.notes
    assert {'a: taken as j.', 'Not used: b: a map.'} <= set(findings)
    assert any('(c: another)' in text for text in findings)


def test_tracts_are_measured_where_an_atlas_and_a_t1w_image_are(tmp_path):
    workflow, names = nodes_of(tmp_path, True, tract_atlas='Mine=/atlas.nii.gz')
    assert {'tracts', 'ds_tracts'} <= names
    flat = workflow._create_flat_graph()
    node = next(n for n in flat.nodes() if n.name == 'tracts')
    fed = {end for _, _, data in flat.in_edges(node, data=True) for _, end in data['connect']}
    assert {'maps', 'tpms', 'images_to_t1w'} <= fed
    assert 'tracts' not in nodes_of(tmp_path, True)[1]
    workflow, names = nodes_of(tmp_path, False, tract_atlas='Mine=/atlas.nii.gz')
    assert 'tracts' not in names
    notes = workflow.get_node('sinks_wf').get_node('table').inputs.notes
    assert 'Tracts were not measured: there is no T1w image.' in notes


@pytest.mark.parametrize('has_anat', [True, False])
def test_tables_of_other_tools_are_taken_without_a_t1w_image(tmp_path, has_anat):
    table = tmp_path / 'Tractometry_FA.csv'
    table.write_text('AF_left\n.4\n')
    build = {'tract_tables': {str(table): 'TractSeg'}}
    workflow, names = nodes_of(tmp_path, has_anat, build)
    assert {'other_tracts', 'ds_bundles'} <= names
    sink = workflow.get_node('ds_bundles').inputs.out_path
    assert sink.endswith('sub-01_ses-a_desc-bundles_dwi.tsv')
    assert 'other_tracts' not in nodes_of(tmp_path, has_anat)[1]
