"""The shells of function: a series in T1w space, runs joined, a task, and the graph."""

from __future__ import annotations

from pathlib import Path

import ants
import nibabel as nb
import numpy as np
import pandas as pd
import pytest

from bids_acc.derivatives.outputs import Sink
from bids_acc.func import joining
from bids_acc.func.interfaces.measuring import JoinMaps, JoinRest, MeasureRest, PickRun
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


@pytest.fixture(scope='module')
def mesh(tmp_path_factory):
    """Write the template's surfaces with their vertices in another order, as another mesh."""
    root, rng = tmp_path_factory.mktemp('mesh'), np.random.default_rng(5)
    found = {'mesh_white': [], 'mesh_pial': [], 'mesh_parcellation': []}
    orders = {}
    for side, half in load_template('10k').items():
        order = rng.permutation(len(half.labels))[:9000]
        orders[side] = order
        none = np.zeros((1, 3), dtype=np.int64)
        for kind in ('white', 'pial'):
            path = root / f'{side}_{kind}.surf.gii'
            points = getattr(half, kind)[order]
            found[f'mesh_{kind}'].append(str(write_surface(path, points, none, side, kind)))
        path = root / f'{side}_dseg.label.gii'
        written = write_labels(path, half.labels[order], half.names, side, 'Desikan')
        found['mesh_parcellation'].append(str(written))
    both = np.concatenate([orders['L'], orders['R'] + 10242])
    return found, both


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
def rest(series, anat, mesh, tmp_path_factory):
    """Measure the same series in both spaces, and on another mesh as well."""
    found = {}
    for space, image in series.items():
        folder = tmp_path_factory.mktemp(space)
        shell = MeasureRest(**inputs(image, space), **anat, **mesh[0])
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


@pytest.mark.parametrize('space', ['T1w', 'MNI152NLin2009cAsym'])
def test_another_mesh_of_the_same_places_gives_the_same_values_there(rest, mesh, space):
    own = joining.read_rest(rest[space].measures)
    other = joining.read_rest(rest[space].mesh_measures)
    order = mesh[1]
    assert set(other.maps) == set(own.maps)
    for name in ('reho', 'alff', 'falff', 'tsnr', 'coverage'):
        # weights are of grey matter in the one and all the same in the other: here grey throughout
        np.testing.assert_allclose(other.maps[name], own.maps[name][order], rtol=1e-3, atol=1e-3)
    assert np.isfinite(own.maps['reho']).mean() > 0.7
    for seed in ('sgACC', 'ACCrostralL'):  # of the same voxels and parcels
        np.testing.assert_allclose(other.seed_maps[seed], own.seed_maps[seed][order], atol=2e-3)
    assert len(own.maps['reho']) == 20484
    assert other.report == own.report


def test_maps_of_runs_are_joined_on_the_mesh(rest, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = rest['T1w'].mesh_measures
    found = JoinMaps(['sgACC'], measures=[path, path]).run(cwd=str(tmp_path)).outputs
    one = joining.read_rest(path)
    np.testing.assert_allclose(read_map(found.reho_R), one.maps['reho'][9000:], rtol=1e-5)
    z = np.arctanh(one.seed_maps['sgACC'][:9000])
    np.testing.assert_allclose(read_map(found.seed_sgACC_L), z, atol=1e-4)


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


def test_a_task_by_region_and_vertex(series, anat, mesh, tmp_path, monkeypatch):
    events = tmp_path / 'events.tsv'
    onsets = np.arange(8) * 20.0
    pd.DataFrame(
        {'onset': onsets, 'duration': 10.0, 'trial_type': ['faces', 'shapes'] * 4}
    ).to_csv(events, sep='\t', index=False)
    space = 'MNI152NLin2009cAsym'
    contrast = {'name': 'facesVsshapes', 'words': 'faces-shapes',
                'weights': {'faces': 1.0, 'shapes': -1.0}}  # fmt: skip
    monkeypatch.chdir(tmp_path)
    shell = FitTask(**inputs(series[space], space, events=str(events)), contrasts=[contrast],
                    **anat, **mesh[0])  # fmt: skip
    one = shell.run(cwd=str(tmp_path)).outputs
    join = JoinTask(['facesVsshapes'], measures=[one.measures], space=space, density='10k',
                    gate='none', on_mesh=True)  # fmt: skip
    found = join.run(cwd=str(tmp_path)).outputs
    table = pd.read_csv(found.table, sep='\t').set_index('region')
    assert set(table['contrast']) == {'facesVsshapes'}
    # nothing was planted, and networks fluctuate as one, more than AR(1) allows for
    assert table['z'].abs().median() < 2.5
    assert len(read_map(found.facesVsshapes_effect_L)) == 10242
    assert np.isfinite(table['effect']['sgACC'])
    own, there = (
        np.concatenate([read_map(getattr(found, f'{start}facesVsshapes_z_{side}'))
                        for side in HEMISPHERES]) for start in ('', 'mesh_')
    )  # fmt: skip
    known = np.isfinite(own[mesh[1]])
    assert known.mean() > 0.7
    assert np.array_equal(known, np.isfinite(there))
    # nilearn bins the noise's correlation, so that a vertex at the edge of a bin may change it
    assert np.quantile(np.abs(there - own[mesh[1]])[known], 0.99) < 0.05


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


@pytest.mark.parametrize('contrasts', [(), ({'name': 'a', 'words': 'a', 'weights': {'a': 1.0}},)])
@pytest.mark.parametrize('space', ['T1w', 'MNI152NLin6Asym'])
def test_the_graph_keeps_maps_on_the_mesh_of_a_derivative(tmp_path, contrasts, space):
    common = {
        'output_dir': tmp_path, 'entities': {'subject': '01', 'task': 'rest'},
        'settings': FuncSettings(), 'density': '10k', 'space': space, 'n_runs': 1,
        'seeds': ['sgACC'], 'contrasts': contrasts, 'source': 'x',
    }  # fmt: skip
    kept = {}
    for mesh in ('', 'fsLR'):
        workflow = init_func_measure_wf(**common, mesh=mesh)
        nodes = map(workflow.get_node, workflow.list_node_names())
        paths = [Path(n.interface.inputs.out_path).name for n in nodes
                 if isinstance(n.interface, Sink)]  # fmt: skip
        assert len(set(paths)) == len(paths)
        kept[mesh] = set(paths)
    there = {name for name in kept['fsLR'] if 'space-fsLR_den-32k' in name}
    assert kept['fsLR'] - there == kept['']
    on_template = {name for name in kept[''] if 'space-fsaverage_den-10k' in name}
    assert there == {n.replace('fsaverage_den-10k', 'fsLR_den-32k') for n in on_template}
    told = workflow.get_node('ds_a_z_fsLRL' if contrasts else 'ds_reho_fsLRL').interface.inputs
    assert told.metadata['SpatialReference'] == 'fsLR'
    fields = workflow.get_node('inputnode').inputs.copyable_trait_names()
    assert {'mesh_white', 'mesh_parcellation', 'template_to_t1w_xfm'} <= set(fields)
