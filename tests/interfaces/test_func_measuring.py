"""The shells of function: a series in T1w space, runs joined, a task, and the graph."""

from __future__ import annotations

import ants
import nibabel as nb
import numpy as np
import pandas as pd
import pytest

from bids_acc.func import joining
from bids_acc.func.interfaces.measuring import JoinRest, MeasureRest, PickRun
from bids_acc.func.interfaces.task import FitTask, JoinTask
from bids_acc.func.run import RUN_FIELDS, RunFacts
from bids_acc.func.workflow.measure import init_func_measure_wf
from bids_acc.settings import FuncSettings
from bids_acc.surfaces.gifti import read_map, write_labels, write_surface
from bids_acc.surfaces.template import HEMISPHERES, load_template
from tests.synthetic import fmriprep as synthetic

N = 100


@pytest.fixture(scope='module')
def series(tmp_path_factory):
    """Write one series, as MNI152 and as the T1w space of a head that is the template."""
    rng = np.random.default_rng(21)
    values, mask, affine = synthetic.planted_series(rng, N, voxel_mm=6.0, noise=0.5)
    table = synthetic.confound_table(rng, N)
    root = tmp_path_factory.mktemp('func')
    return {
        space: synthetic.write_fmriprep(root, '01', values, mask, affine, table, space=space)
        for space in ('MNI152NLin2009cAsym', 'T1w')
    }


@pytest.fixture(scope='module')
def anat(tmp_path_factory):
    """Write the template's surfaces, labels and an identity as if of a subject."""
    root, mesh = tmp_path_factory.mktemp('anat'), load_template('10k')
    shape, affine = synthetic.template_grid(4.0)
    for name, value in (('gm', 1.0), ('wm', 0.0), ('csf', 0.0)):
        nb.Nifti1Image(np.full(shape, value, np.float32), affine).to_filename(root / f'{name}.nii')
    brain = synthetic.brain_mask(shape, affine).astype(np.uint8)
    nb.Nifti1Image(brain, affine).to_filename(root / 'brain.nii')
    identity = ants.new_ants_transform(dimension=3, transform_type='AffineTransform')
    ants.write_transform(identity, str(root / 'identity.mat'))
    found = {
        'tpms': [str(root / f'{n}.nii') for n in ('gm', 'wm', 'csf')],
        't1w_mask': str(root / 'brain.nii'),
        'template_to_t1w_xfm': [str(root / 'identity.mat')],
        'white': [], 'pial': [], 'parcellation': [],
    }  # fmt: skip
    for side in HEMISPHERES:
        half = mesh[side]
        for kind in ('white', 'pial'):
            path = root / f'{side}_{kind}.surf.gii'
            found[kind].append(
                str(write_surface(path, getattr(half, kind), half.faces, side, kind))
            )
        path = root / f'sub-01_hemi-{side}_seg-Desikan_dseg.label.gii'
        written = write_labels(path, half.labels, half.names, side, 'Desikan')
        found['parcellation'].append(str(written))
    return found


def inputs(image, space, **facts):
    """Return the inputs of a shell that measures one run."""
    table = image.parent / 'sub-01_task-rest_desc-confounds_timeseries.tsv'
    known = RunFacts('task-rest', 'rest', synthetic.TR, 1.0, space, 'fMRIPrep 23.2.1', **facts)
    return {
        'bold': [str(image)],
        'mask': str(image).replace('preproc_bold', 'brain_mask'),
        'confounds': str(table),
        'sidecar': str(table.with_suffix('.json')),
        'facts': known.as_dict(),
        'density': '10k',
    }


@pytest.fixture(scope='module')
def rest(series, anat, tmp_path_factory):
    """Measure the same series in both spaces."""
    found = {}
    for space, image in series.items():
        folder = tmp_path_factory.mktemp(space)
        more = anat if space == 'T1w' else {}
        shell = MeasureRest(**inputs(image, space), **more)
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            found[space] = shell.run(cwd=str(folder)).outputs
    return found


def test_t1w_space_of_the_template_itself_gives_what_mni152_gives(rest):
    own, mni = (joining.read_rest(rest[s].measures) for s in ('T1w', 'MNI152NLin2009cAsym'))
    for name in ('reho', 'alff', 'falff', 'tsnr'):
        np.testing.assert_allclose(own.maps[name], mni.maps[name], rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(own.matrix, mni.matrix, atol=2e-3)
    assert own.report['coreg_dice'] > 0.9
    assert np.isnan(mni.report['coreg_dice'])


def test_joined_runs_have_all_maps_and_tables(rest, anat, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = rest['T1w'].measures
    shell = JoinRest(
        ['sgACC', 'ACCrostralL'], measures=[path, path], space='T1w', density='10k',
        parcellation=anat['parcellation'], own_atlas='Desikan', about={'Band': [0.01, 0.1]},
    )  # fmt: skip
    found = shell.run(cwd=str(tmp_path)).outputs
    assert len(read_map(found.reho_L)) == len(read_map(found.seed_sgACC_R)) == 10242
    qc = pd.read_csv(found.qc, sep='\t').iloc[0]
    assert qc['n_runs'] == 2
    assert qc['n_volumes'] == 2 * N
    assert qc['gate'] == 'pass'
    parcels = pd.read_csv(found.parcels, sep='\t')
    assert set(parcels['atlas']) == {'Desikan'}
    matrix = pd.read_csv(found.matrix, sep='\t')
    assert list(matrix['Node']) == list(matrix.columns[1:])
    markers = pd.read_csv(found.markers, sep='\t').set_index('marker')
    assert markers['z']['within_DMN'] > 1
    assert found.metadata['DegreesOfFreedom'] == pytest.approx(2 * (N * 0.36 - 25), abs=0.01)


def test_a_strict_gate_says_what_is_not_met(rest, anat, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shell = JoinRest(
        [], measures=[rest['T1w'].measures], space='T1w', density='10k', gate='rest-strict',
        parcellation=anat['parcellation'],
    )  # fmt: skip
    row = pd.read_csv(shell.run(cwd=str(tmp_path)).outputs.qc, sep='\t').iloc[0]
    assert row['gate'] == 'fail'
    assert 'dof >= 25' in row['gate_reason']
    assert 'minutes_left >= 5 min' in row['gate_reason']


def test_a_task_by_region_and_vertex(series, tmp_path, monkeypatch):
    events = tmp_path / 'events.tsv'
    onsets = np.arange(8) * 20.0
    pd.DataFrame(
        {'onset': onsets, 'duration': 10.0, 'trial_type': ['faces', 'shapes'] * 4}
    ).to_csv(events, sep='\t', index=False)
    space = 'MNI152NLin2009cAsym'
    contrast = {'name': 'facesVsshapes', 'words': 'faces-shapes',
                'weights': {'faces': 1.0, 'shapes': -1.0}}  # fmt: skip
    monkeypatch.chdir(tmp_path)
    shell = FitTask(**inputs(series[space], space, events=str(events)), contrasts=[contrast])
    one = shell.run(cwd=str(tmp_path)).outputs
    join = JoinTask(['facesVsshapes'], measures=[one.measures], space=space, density='10k',
                    gate='none')  # fmt: skip
    found = join.run(cwd=str(tmp_path)).outputs
    table = pd.read_csv(found.table, sep='\t').set_index('region')
    assert set(table['contrast']) == {'facesVsshapes'}
    # nothing was planted, and networks fluctuate as one, more than AR(1) allows for
    assert table['z'].abs().median() < 2.5
    assert len(read_map(found.facesVsshapes_effect_L)) == 10242
    assert np.isfinite(table['effect']['sgACC'])


def test_one_run_is_picked_of_several(series):
    image = series['T1w']
    own = inputs(image, 'T1w')
    names = ('bold', 'mask', 'confounds', 'sidecar', 'facts')
    lists = {f: [own[n], own[n]] for f, n in zip(RUN_FIELDS, names, strict=True)}
    lists['run_facts'][1] = {**own['facts'], 'name': 'second'}
    found = PickRun(number=1, **lists).run().outputs
    assert found.facts['name'] == 'second'
    assert found.bold == [str(image)]


@pytest.mark.parametrize('contrasts', [(), ({'name': 'a', 'words': 'a', 'weights': {'a': 1.0}},)])
@pytest.mark.parametrize('space', ['T1w', 'MNI152NLin6Asym'])
def test_the_graph_keeps_each_output_once(tmp_path, contrasts, space):
    workflow = init_func_measure_wf(
        output_dir=tmp_path, entities={'subject': '01', 'task': 'rest'}, settings=FuncSettings(),
        density='41k', space=space, n_runs=2, seeds=['sgACC'], contrasts=contrasts, source='x',
    )  # fmt: skip
    sinks = [n for n in workflow.list_node_names() if n.startswith('ds_')]
    paths = [workflow.get_node(name).inputs.out_path for name in sinks]
    assert len(set(paths)) == len(paths) > 5
    fields = workflow.get_node('inputnode').inputs.copyable_trait_names()
    assert ('white' in fields) == (space == 'T1w')
    assert {'measure_1', 'measure_2'} <= set(workflow.list_node_names())
