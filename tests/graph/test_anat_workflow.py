"""The anatomical graph: which nodes stand for which source, and what every output hangs on."""

from __future__ import annotations

from pathlib import Path

import pytest

from bids_acc.anat.workflow import OUTPUTS, SurfaceOrigin, init_anat_wf
from bids_acc.participant.records import kept_fields
from bids_acc.settings import AnatSettings


@pytest.mark.parametrize('source', ['builtin', 'freesurfer', 'gifti', 'civet'])
@pytest.mark.parametrize('density', ['41k', '10k'])
def test_every_output_is_kept_for_a_later_run(tmp_path: Path, source: str, density: str) -> None:
    wf = init_anat_wf(
        output_dir=tmp_path,
        entities={'subject': '01', 'session': 'a'},
        settings=AnatSettings(density=density),
        origin=SurfaceOrigin(source),
    )
    names = wf.list_node_names()
    kept = [wf.get_node(n) for n in names if '.ds_' in n]
    paths = [Path(node.inputs.out_path) for node in kept]
    assert len(set(paths)) == len(paths)
    assert all(p.is_relative_to(tmp_path / 'sub-01') for p in paths)
    assert sum(f'den-{density}' in p.name for p in paths) == 18
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    fields = kept_fields([node.interface for node in kept], tmp_path)
    assert fields.keys() == set(OUTPUTS)
    hemispheres = [Path(path).name.split('_')[2] for path in fields['white']]
    assert hemispheres == ['hemi-L', 'hemi-R']
    # ANTs applies the last first
    assert [path.rpartition('.')[2] for path in fields['t1w_to_template_xfm']] == ['gz', 'mat']


@pytest.mark.parametrize('own_labels', ['', 'DKT', 'Desikan'])
def test_labels_say_whose_they_are(tmp_path: Path, own_labels: str) -> None:
    wf = init_anat_wf(
        output_dir=tmp_path,
        entities={'subject': '01'},
        settings=AnatSettings(),
        origin=SurfaceOrigin('freesurfer', own_labels),
    )
    atlas = own_labels or 'DKT'
    sink = wf.get_node(f'sinks_wf.ds_anat_parcellation_L_41k_{atlas}')
    region = wf.get_node('fit_wf.region').inputs.metadata
    assert sink.inputs.metadata['Atlas'] == region['Atlas']
    assert region['Atlas'].startswith("the subject's own") == bool(own_labels)
    sinks = wf.get_node('sinks_wf')
    labels = sinks.get_node(f'ds_anat_roi_labels_R_41k_{atlas}')
    edge = sinks._graph.get_edge_data(sinks.get_node('split_roi_metadata'), labels)
    assert edge['connect'] == [('out2', 'metadata')]


def test_sidecars_name_source_and_software(tmp_path: Path) -> None:
    wf = init_anat_wf(
        output_dir=tmp_path,
        entities={'subject': '01'},
        settings=AnatSettings(),
        origin=SurfaceOrigin(
            'civet', software={'CIVET': '2.1.1'}, note='freesurfer passed over', smoothing_mm=30
        ),
    )
    metadata = wf.get_node('sinks_wf.ds_anat_thickness_L_41k').inputs.metadata
    assert metadata['SurfaceSource'] == 'civet'
    assert metadata['Software']['CIVET'] == '2.1.1'
    assert 'nearest place' in metadata['Correspondence']
    assert metadata['SurfaceSourceNote'] == 'freesurfer passed over'
    assert metadata['SmoothingFWHM'] == '30 mm, by civet'
    assert 'smoothed by its source' in metadata['Description']
    assert wf.get_node('fit_wf.quality').inputs.surface_note == 'freesurfer passed over'
    fit = wf.get_node('fit_wf')
    edge = fit._graph.get_edge_data(fit.get_node('register'), fit.get_node('surfaces'))
    assert edge['connect'] == [('points_to_t1w', 'points_to_t1w')]
