"""Finished measures through their shell and graph: values, joins, markers, names."""

from __future__ import annotations

import json
from dataclasses import replace

import nibabel as nb
import numpy as np
import pandas as pd
import pytest
from nibabel.cifti2.cifti2_axes import ScalarAxis

from bids_acc.bids.finished import find_finished
from bids_acc.exceptions import InputDataError
from bids_acc.func import finished_maps
from bids_acc.func.finished_maps import join_finished, read_finished
from bids_acc.func.workflow.finished import init_func_finished_wf
from bids_acc.quality.sessions import PRESETS, load_session_gate
from bids_acc.settings import FuncSettings
from bids_acc.surfaces.gifti import read_map
from bids_acc.surfaces.template import HEMISPHERES, MEDIAL_WALL, load_template
from tests.synthetic.xcpd import LAYOUTS, NODES, Run, planted_maps, write_xcpd


def find(folder, run, **options):
    """Write a run and return how it is found."""
    write_xcpd(folder, run, **options)
    inputs, _ = find_finished({'x': folder}, '01', None, raw_root=folder)
    return inputs.finished


@pytest.fixture(scope='module')
def volume(tmp_path_factory):
    """Read maps in MNI152 at the vertices."""
    (run,) = find(tmp_path_factory.mktemp('volume'), Run())
    return read_finished(run, '10k')


def middle():
    """Return where the template's cortex is sampled in the middle, MNI mm."""
    points, _ = finished_maps.ribbon_of_template('10k')
    return points[1]


def test_a_map_comes_to_the_vertices_as_it_is(volume):
    places, found = middle(), volume.rest.maps
    there = np.isfinite(found['reho'])
    assert there.mean() > 0.6
    assert np.abs(found['reho'][there] - (0.4 + places[there, 0] / 400)).max() < 0.02
    assert np.abs(found['alff'][there] - (30 + places[there, 2] / 10)).max() < 0.8
    assert np.nanmean(found['alffz']) == pytest.approx(0, abs=1e-6)


def test_what_is_zero_there_is_missing_here(tmp_path):
    run = Run()
    maps, affine = planted_maps()
    shape = np.array(maps['reho'].shape)
    places = np.moveaxis(np.indices(shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3]
    lost = (places[..., 1] > 10) & (places[..., 2] < 10)
    run.maps = {name: np.where(lost, 0, values) for name, values in maps.items()}
    (found,) = find(tmp_path, run)
    done = read_finished(found, '10k').rest
    inside = middle()
    gone = (inside[:, 1] > 20) & (inside[:, 2] < 0)
    assert np.isnan(done.maps['reho'][gone]).all()
    assert done.report['acc_coverage_L'] < 0.8
    assert (np.nan_to_num(done.maps['reho'], nan=1) > 0.1).all()  # no zero came through


def test_the_medial_wall_is_no_cortex(volume):
    mesh = load_template('10k')
    wall = np.concatenate([
        np.isin(mesh[h].labels, [c for c, n in mesh[h].names.items() if n == MEDIAL_WALL])
        for h in HEMISPHERES
    ])  # fmt: skip
    assert np.isnan(volume.rest.maps['reho'][wall]).all()


def test_parcels_are_those_of_the_map_and_not_of_the_table(volume):
    rows = volume.parcels.set_index(['hemisphere', 'region'])
    left, right = (rows.loc[(side, 'rostralanteriorcingulate'), 'reho'] for side in 'LR')
    assert 0.38 < left < 0.4 < right < 0.42
    assert rows['falff'].isna().all()


def test_correlations_are_the_table(volume):
    assert volume.rest.matrix == pytest.approx(Run().matrix.to_numpy())
    assert volume.rest.series == pytest.approx(Run().series.to_numpy())


def test_figures_of_quality_are_those_of_the_run(volume):
    report = volume.rest.report
    assert report['n_volumes'] == 220
    assert report['n_kept'] == 218
    assert report['fd_mean'] == pytest.approx(Run().displacement.mean())
    assert report['n_regressors'] == 36
    assert report['dof'] == pytest.approx(218 * 0.07 / 0.25 - 36)
    assert report['coreg_dice'] == 0.97
    assert report['strategy'] == 'XCP-D 0.10.5: 36P'
    assert np.isnan(report['tsnr_median'])


def test_surface_maps_are_taken_at_their_vertices(tmp_path):
    (run,) = find(tmp_path, Run(space='fsaverage5'))
    found = read_finished(run, '10k').rest.maps['reho']
    height = np.concatenate([np.asarray(load_template('10k')[h].white)[:, 2] for h in HEMISPHERES])
    there = np.isfinite(found)
    assert found[there] == pytest.approx(0.3 + height[there] / 1000, abs=1e-5)
    with pytest.raises(InputDataError, match='fewer than the 40962 of --density 41k'):
        read_finished(run, '41k')


@pytest.mark.parametrize('version', LAYOUTS)
def test_grayordinates_are_averaged_over_their_own_atlas(tmp_path, version):
    (run,) = find(tmp_path, Run(space='fsLR'), layout=LAYOUTS[version])
    done = read_finished(run, '10k')
    assert done.rest.maps == {}
    rows = done.parcels.set_index('region')
    assert rows.loc[NODES[0], 'reho'] == pytest.approx(0.11)  # its zeros do not count
    assert rows.loc[NODES[0], 'coverage'] == 0.5
    assert rows.loc[NODES[20], 'alff'] == pytest.approx(10 + 21)
    assert list(rows['hemisphere']) == ['L'] * 12 + ['R'] * 12
    assert done.rest.report['coverage_L'] == pytest.approx(1 - 5 / 120)


def test_an_atlas_of_other_grayordinates_is_refused(tmp_path, monkeypatch):
    (run,) = find(tmp_path, Run(space='fsLR'))
    path = run.maps['alff'][0]
    image = nb.load(path)
    scalar, axis = (image.header.get_axis(n) for n in range(2))
    fewer = nb.Cifti2Image(np.array(image.dataobj)[:, :240], (scalar, axis[:240]))
    fewer.to_filename(path)
    with pytest.raises(InputDataError, match=r'other grayordinates \(240\) than .*\(267\)'):
        read_finished(run, '10k')


def test_an_atlas_without_labels_is_refused(tmp_path):
    (run,) = find(tmp_path, Run(space='fsLR'))
    path = run.tables['parcels']
    image = nb.load(path)
    _, axis = (image.header.get_axis(n) for n in range(2))
    nb.Cifti2Image(np.array(image.dataobj), (ScalarAxis(['parcels']), axis)).to_filename(path)
    with pytest.raises(InputDataError, match='holds no labels'):
        read_finished(run, '10k')


def test_tables_alone_are_taken_but_not_reho_of_old_versions(tmp_path):
    for version, known in (('0.10', True), ('0.7', False)):
        folder = tmp_path / version
        write_xcpd(folder, Run(space='fsLR'), LAYOUTS[version])
        for path in [*folder.rglob('*.dscalar.nii'), *folder.rglob('*.dlabel.nii')]:
            path.unlink()
        (run,) = find_finished({'x': folder}, '01', None, raw_root=folder)[0].finished
        rows = read_finished(run, '10k').parcels
        assert rows['reho'].notna().all() == known
        assert rows['alff'].notna().all()
        assert list(rows['hemisphere']) == ['L'] * 12 + ['R'] * 12


def test_runs_are_joined_by_their_kept_volumes(tmp_path):
    one = Run(entities='task-rest_run-1')
    two = Run(n_volumes=120, censored=(), entities='task-rest_run-2', seed=6)
    two.maps = {'reho': planted_maps()[0]['reho'] * 0.5}
    write_xcpd(tmp_path, one)
    runs = find(tmp_path, two)
    parts = [read_finished(run, '10k') for run in runs]
    done = join_finished(parts)
    weights = np.array([218, 120]) / 338
    wanted = weights[0] * one.matrix + weights[1] * two.matrix
    assert done.rest.matrix == pytest.approx(wanted.to_numpy())
    first, second = (part.rest.maps['reho'] for part in parts)
    there = np.isfinite(first) & np.isfinite(second)
    assert done.rest.maps['reho'][there] == pytest.approx(
        weights[0] * first[there] + weights[1] * second[there]
    )
    assert done.rest.report['n_runs'] == 2
    assert len(done.rest.series) == 338
    key = (done.parcels['region'] == 'rostralanteriorcingulate') & (
        done.parcels['hemisphere'] == 'L'
    )
    assert done.parcels.loc[key, 'reho'].item() == pytest.approx(
        weights @ [part.parcels.loc[key, 'reho'].item() for part in parts]
    )


def test_runs_of_different_atlases_are_not_joined(tmp_path):
    (run,) = find(tmp_path, Run())
    done = read_finished(run, '10k')
    other = replace(done, rest=replace(done.rest, regions=done.rest.regions[:-1]))
    with pytest.raises(InputDataError, match='different regions'):
        join_finished([done, other])


def graph(tmp_path, space, gate='rest'):
    """Run the graph of one task."""
    runs = find(tmp_path / 'in', Run(space=space))
    workflow = init_func_finished_wf(
        output_dir=tmp_path / 'out', entities={'subject': '01', 'task': 'rest'},
        settings=FuncSettings(gate=gate), density='10k', runs=runs, source=runs[0].source,
    )  # fmt: skip
    workflow.base_dir = str(tmp_path / 'work')
    workflow.run()
    folder = tmp_path / 'out' / 'sub-01'
    return {p.name: p for p in folder.rglob('*') if p.is_file()}


def test_a_volume_run_gives_maps_tables_and_figures(tmp_path):
    files = graph(tmp_path, 'MNI152NLin6Asym')
    for name in ('reho', 'alff', 'alffz', 'coverage'):
        for side in HEMISPHERES:
            path = files[f'sub-01_task-rest_hemi-{side}_space-fsaverage_den-10k_stat-{name}_'
                         'boldmap.shape.gii']  # fmt: skip
            assert len(read_map(path)) == 10242
    about = json.loads(next(p for n, p in files.items() if 'L_' in n and 'alff_' in n
                            and n.endswith('.json')).read_text())  # fmt: skip
    assert about['TakenAsIs'] is True
    assert about['PreparedBy'] == 'XCP-D 0.10.5'
    assert about['Units'] == 'as the tool gives it'
    assert about['Band'] == [0.01, 0.08]
    qc = pd.read_csv(files['sub-01_task-rest_desc-qualitycontrol_bold.tsv'], sep='\t')
    assert qc['gate'].item() == 'pass'
    markers = pd.read_csv(files['sub-01_task-rest_desc-markers_bold.tsv'], sep='\t',
                          index_col='marker')  # fmt: skip
    r = Run().matrix.filter(like='Default').filter(like='Default', axis=0).to_numpy()
    wanted = np.arctanh(r[np.triu_indices(6, 1)]).mean()
    assert markers.loc['within_DMN', 'z'] == pytest.approx(wanted, abs=1e-5)
    assert set(markers['atlas']) == {'4S156Parcels'}
    assert markers.loc['within_reward', 'reason'].startswith('0 pairs')
    assert {
        'sub-01_task-rest_desc-activity_bold.png',
        'sub-01_task-rest_desc-matrix_bold.png',
    } <= (set(files))
    assert not any('stat-falff' in name or 'partial' in name for name in files)


def test_grayordinates_give_no_map_but_parcels_and_markers(tmp_path):
    files = graph(tmp_path, 'fsLR')
    assert not any(name.endswith('.gii') for name in files)
    qc = pd.read_csv(files['sub-01_task-rest_desc-qualitycontrol_bold.tsv'], sep='\t')
    assert qc['gate'].item() == 'pass'
    parcels = pd.read_csv(files['sub-01_task-rest_desc-parcels_bold.tsv'], sep='\t')
    assert set(parcels['atlas']) == {'4S156Parcels'}


@pytest.mark.parametrize('name', PRESETS['func'])
def test_gates_can_be_read(name):
    assert load_session_gate('func', name, 'x').name == name


def test_too_much_motion_fails_the_gate(tmp_path):
    run = Run()
    run.displacement = run.displacement * 9
    run.qc['mean_fd'] = float(run.displacement.mean())
    runs = find(tmp_path / 'in', run)
    workflow = init_func_finished_wf(
        output_dir=tmp_path / 'out', entities={'subject': '01', 'task': 'rest'},
        settings=FuncSettings(gate='rest'), density='10k', runs=runs, source='XCP-D 0.10.5',
    )  # fmt: skip
    node = workflow.get_node('read')
    node.base_dir = str(tmp_path)
    result = node.run().outputs
    row = pd.read_csv(result.qc, sep='\t').iloc[0]
    assert row['gate'] == 'fail'
    assert 'fd_mean' in row['gate_reason']
