"""Finished measures of XCP-D: which are taken, and what is refused in one sentence."""

from __future__ import annotations

import json

import nibabel as nb
import numpy as np
import pandas as pd
import pytest

from bids_acc.bids.finished import find_finished, kind_of
from bids_acc.exceptions import BidsAccError, InputDataError, MetadataError, MissingInputError
from bids_acc.func.finished import FinishedRun, read_tables
from tests.synthetic.bids_folder import write_dataset
from tests.synthetic.xcpd import LAYOUTS, NODES, Run, write_xcpd


@pytest.fixture
def raw(tmp_path):
    return write_dataset(tmp_path / 'raw')


def find(tmp_path, raw, **options):
    """Look for the measures of the one subject."""
    return find_finished({'xcpd': tmp_path / 'xcpd'}, '01', None, raw_root=raw, **options)


@pytest.mark.parametrize('version', LAYOUTS)
@pytest.mark.parametrize('space', ['MNI152NLin2009cAsym', 'fsLR'])
def test_layouts_of_all_versions(tmp_path, raw, version, space):
    layout = LAYOUTS[version]
    write_xcpd(tmp_path / 'xcpd', Run(space=space), layout)
    inputs, notes = find(tmp_path, raw)
    (run,) = inputs.finished
    assert set(run.maps) == {'reho', 'alff'}
    wanted = {'motion', 'outliers', 'design', 'qc', 'timeseries', 'matrix', 'coverage', 'reho',
              'alff'}  # fmt: skip
    wanted |= {'labels'} if layout.labels else set()
    wanted |= {'parcels'} if space == 'fsLR' else set()
    assert set(run.tables) == wanted
    assert run.source == f'{layout.name} {layout.version}' == inputs.source
    assert run.metadata['band'] == [0.01, 0.08]
    assert run.metadata['nuisance'] == ('27P' if version == '0.4' else '36P')
    assert run.entities == {'subject': '01', 'task': 'rest'}
    assert run.on_cortex == (space != 'fsLR')
    assert f'measures of {run.source} taken as they are, in {space}' in notes[0]
    tables = read_tables(run)
    assert tables.n_regressors == 36
    assert [r.name for r in tables.regions] == list(NODES)
    assert tables.regions[0].network == ('Default' if layout.labels else '')
    assert FinishedRun.from_dict(run.as_dict()) == run


def test_names_that_are_something_else():
    for name in (
        'sub-1_task-r_space-fsLR_stat-alff_desc-smooth_boldmap.nii.gz',
        'sub-1_task-r_space-fsLR_atlas-G_stat-pearsoncorrelation_desc-100volumes_relmat.tsv',
        'sub-1_task-r_space-fsLR_desc-denoised_bold.nii.gz',
        'sub-1_task-r_atlas-G_stat-coverage_boldmap.pscalar.nii',
        'sub-1_task-r_desc-confounds_timeseries.tsv', 'sub-1_task-r_events.tsv',
    ):  # fmt: skip
        assert kind_of(tmp_name(name)) == ''


def tmp_name(name):
    """Return a name as a path."""
    from pathlib import Path

    return Path(name)


def test_the_best_space_and_the_asked_one(tmp_path, raw):
    for space in ('fsLR', 'MNI152NLin6Asym'):
        write_xcpd(tmp_path / 'xcpd', Run(space=space))
    assert find(tmp_path, raw)[0].finished[0].space == 'MNI152NLin6Asym'
    with pytest.raises(MissingInputError, match=r'space fsaverage: .*MNI152NLin6Asym, fsLR o'):
        find(tmp_path, raw, space='fsaverage')


def test_maps_in_no_space_that_can_be_used(tmp_path, raw):
    write_xcpd(tmp_path / 'xcpd', Run(space='MNIInfant'))
    with pytest.raises(MissingInputError, match='in MNIInfant only'):
        find(tmp_path, raw)


def test_the_atlas_is_chosen_or_asked_for(tmp_path, raw):
    for atlas in ('Tian', 'Gordon'):
        write_xcpd(tmp_path / 'xcpd', Run(atlas=atlas))
    inputs, notes = find(tmp_path, raw)
    assert inputs.finished[0].atlas == 'Gordon'
    assert '--func-finished-atlas): Tian' in notes[1]
    assert find(tmp_path, raw, atlas='Tian')[0].finished[0].atlas == 'Tian'
    with pytest.raises(MissingInputError, match='HCP: there are tables of Gordon, Tian'):
        find(tmp_path, raw, atlas='HCP')


def test_runs_are_taken_and_what_was_combined_of_them_is_not(tmp_path, raw):
    for entities in ('task-rest_run-1', 'task-rest_run-2', 'task-rest'):
        write_xcpd(tmp_path / 'xcpd', Run(entities=entities))
    inputs, notes = find(tmp_path, raw)
    assert [run.entities.get('run') for run in inputs.finished] == ['1', '2']
    assert 'sub-01_task-rest: combined from runs' in notes[-1]


def test_a_filter_chooses_runs(tmp_path, raw):
    for entities in ('task-rest_run-1', 'task-rest_run-2'):
        write_xcpd(tmp_path / 'xcpd', Run(entities=entities))
    inputs, _ = find(tmp_path, raw, wanted={'task': 'rest', 'run': '02'})
    assert [run.entities['run'] for run in inputs.finished] == ['2']
    inputs, (note,) = find(tmp_path, raw, wanted={'task': 'film'})
    assert inputs is None
    assert 'bold leaves none of' in note


def test_a_broken_run_does_not_stop_the_others(tmp_path, raw):
    write_xcpd(tmp_path / 'xcpd', Run(entities='task-rest_run-1'))
    bad = Run(entities='task-rest_run-2')
    bad.displacement = bad.displacement[:-3]
    write_xcpd(tmp_path / 'xcpd', bad)
    inputs, notes = find(tmp_path, raw)
    assert len(inputs.finished) == 1
    assert 'not used: sub-01_task-rest_run-2' in notes[-1]


def test_sessions_and_nothing(tmp_path, raw):
    write_xcpd(tmp_path / 'xcpd', Run(), session='pre')
    assert find(tmp_path, raw) == (None, [])
    inputs, _ = find_finished({'x': tmp_path / 'xcpd'}, '01', 'pre', raw_root=raw)
    assert inputs.finished[0].entities['session'] == 'pre'


def test_our_own_maps_are_no_source(tmp_path, raw):
    write_xcpd(tmp_path / 'xcpd', Run())
    about = tmp_path / 'xcpd' / 'dataset_description.json'
    about.write_text(json.dumps({'Name': 'x', 'GeneratedBy': [{'Name': 'bids_acc'}]}))
    assert find(tmp_path, raw) == (None, [])


# each of these spoils one thing; the sentence that follows names it
def shorter_motion(run):
    run.displacement = run.displacement[:-2]


def no_displacement(run):
    run.displacement = np.full(run.n_volumes, np.nan)


def negative_displacement(run):
    run.displacement[3] = -1


def odd_outliers(run):
    run.outliers[3] = 2


def too_much_censored(run):
    run.outliers[:190] = 1


def other_kept(run):
    run.qc['num_retained_volumes'] = 7


def shorter_design(run):
    run.design = run.design.iloc[:-4]


def text_in_design(run):
    run.design = run.design.assign(regressor0='x')


def shorter_series(run):
    run.series = run.series.iloc[:-9]


def text_in_series(run):
    run.series = run.series.assign(**{NODES[2]: 'x'})


def other_regions(run):
    run.series = run.series.rename(columns={NODES[0]: 'other'})


def matrix_not_square(run):
    run.matrix = run.matrix.iloc[:-1]


def matrix_in_disorder(run):
    run.matrix = run.matrix.iloc[::-1]


def fisher_z_for_r(run):
    run.matrix = run.matrix * 3


def matrix_not_symmetric(run):
    run.matrix.iloc[0, 1] += 0.2


def matrix_empty(run):
    run.matrix.loc[:, :] = np.nan


def coverage_in_percent(run):
    run.coverage = run.coverage * 100


def reho_that_is_none(run):
    run.parcels['reho'] = run.parcels['reho'] * 9


def amplitude_below_zero(run):
    run.parcels['alff'] = run.parcels['alff'] * -1


SPOILT = {
    shorter_motion: r'outliers.tsv has 220 rows and .*motion.tsv 218',
    no_displacement: r'motion.tsv: framewise_displacement holds no values',
    negative_displacement: r'framewise_displacement holds negative values',
    odd_outliers: r'outliers.tsv: framewise_displacement holds other values than 0',
    too_much_censored: r'not censored\): 30 volumes, 60 s',
    other_kept: r'qc.tsv tells of 7 kept volumes, but the table of outliers keeps 218',
    shorter_design: r'design.tsv has 216 rows and .*motion.tsv 220',
    text_in_design: r'design.tsv: regressor0 holds something else than numbers',
    shorter_series: r'timeseries.tsv has 209 rows; the run has 220 volumes, of which 218',
    text_in_series: r'LH_Default_3 holds something else than numbers',
    other_regions: r'timeseries.tsv has other regions than .*relmat.tsv',
    matrix_not_square: r'no matrix of regions \(23 rows, 24 columns\)',
    matrix_in_disorder: r'24 columns, in another order',
    fisher_z_for_r: r'relmat.tsv holds values beyond 1',
    matrix_not_symmetric: r'relmat.tsv is not symmetric',
    matrix_empty: r'relmat.tsv holds no value',
    coverage_in_percent: r'values from 100 to 100 are no coverage',
    reho_that_is_none: r'values from 1.8 to 4.5 are no reho \(0 to 1\)',
    amplitude_below_zero: r'values from -40 to -10 are no alff',
}


@pytest.mark.parametrize('spoil', SPOILT, ids=lambda f: f.__name__)
def test_what_does_not_fit_is_refused_in_a_sentence(tmp_path, raw, spoil):
    run = Run()
    spoil(run)
    write_xcpd(tmp_path / 'xcpd', run)
    with pytest.raises(InputDataError, match=SPOILT[spoil]) as told:
        find(tmp_path, raw)
    assert '\n' not in str(told.value)


def test_zeros_of_a_region_without_coverage_are_missing(tmp_path, raw):
    """XCP-D 0.3 put zeros there (xcp_d#757), which are no correlations of 0."""
    run, gone = Run(), NODES[3]
    run.series[gone] = 0.0
    run.matrix.loc[gone, :] = run.matrix.loc[:, gone] = 0.0
    run.matrix.loc[gone, gone] = 1.0
    write_xcpd(tmp_path / 'xcpd', run)
    tables = read_tables(find(tmp_path, raw)[0].finished[0])
    assert np.isnan(tables.matrix[3]).all()
    assert np.isnan(tables.series).all(axis=0).tolist() == [n == 3 for n in range(len(NODES))]
    assert np.isfinite(np.delete(np.delete(tables.matrix, 3, 0), 3, 1)).all()


def test_volumes_beside_outliers_are_left_out_where_the_table_says_so(tmp_path, raw):
    run = Run()
    kept = np.flatnonzero(run.outliers == 0)
    beside = range(60, 65)
    run.series = run.series[~np.isin(kept, beside)]
    run.qc['num_retained_volumes'] = len(run.series)
    folder = write_xcpd(tmp_path / 'xcpd', run)
    path = folder / 'sub-01_task-rest_outliers.tsv'
    table = pd.read_csv(path, sep='\t').assign(interpolation=run.outliers)
    table.loc[list(beside), 'interpolation'] = 1
    table.to_csv(path, sep='\t', index=False)
    tables = read_tables(find(tmp_path, raw)[0].finished[0])
    assert not tables.kept[60:65].any()
    assert tables.kept.sum() == len(tables.series) == 213
    path.unlink()
    with pytest.raises(InputDataError, match=r'213 kept volumes of 220, .*outliers.tsv. is not'):
        find(tmp_path, raw)


def test_maps_that_are_smoothed_only_are_named(tmp_path, raw):
    folder = write_xcpd(tmp_path / 'xcpd', Run())
    for path in list(folder.glob('*stat-alff_boldmap*')):
        path.rename(path.with_name(path.name.replace('_boldmap', '_desc-smooth_boldmap')))
    assert 'alff is there smoothed only, and not taken' in find(tmp_path, raw)[1]


def test_a_table_of_motion_is_needed(tmp_path, raw):
    folder = write_xcpd(tmp_path / 'xcpd', Run())
    (folder / 'sub-01_task-rest_motion.tsv').unlink()
    with pytest.raises(InputDataError, match=r'no table of motion \(motion.tsv\)'):
        find(tmp_path, raw)


@pytest.mark.parametrize('given', [None, 2000, 'x'])
def test_a_repetition_time_is_needed(tmp_path, raw, given):
    folder = write_xcpd(tmp_path / 'xcpd', Run())
    sidecar = next(folder.glob('*_desc-denoised_bold.json'))
    content = json.loads(sidecar.read_text())
    content.pop('RepetitionTime')
    sidecar.write_text(
        json.dumps(content if given is None else {**content, 'RepetitionTime': given})
    )
    with pytest.raises(MetadataError, match='RepetitionTime'):
        find(tmp_path, raw)


def test_maps_that_are_none(tmp_path, raw):
    folder = write_xcpd(tmp_path / 'xcpd', Run())
    path = next(folder.glob('*reho_boldmap.nii.gz'))
    nb.Nifti1Image(np.zeros((5, 5, 5, 7), 'f4'), np.eye(4)).to_filename(path)
    with pytest.raises(BidsAccError, match='reho_boldmap'):
        find(tmp_path, raw)
    path.write_bytes(b'')
    with pytest.raises(BidsAccError, match='is empty'):
        find(tmp_path, raw)


def test_interpolated_series_give_their_kept_volumes(tmp_path, raw):
    run = Run()
    whole = np.full((run.n_volumes, len(NODES)), 9.0)
    whole[run.outliers == 0] = run.series.to_numpy()
    run.series = pd.DataFrame(whole, columns=NODES)
    write_xcpd(tmp_path / 'xcpd', run)
    (found,) = find(tmp_path, raw)[0].finished
    assert read_tables(found).series.shape == (218, len(NODES))
    assert read_tables(found).series.max() < 9


def test_faults_of_old_versions_are_heeded(tmp_path, raw):
    layout = LAYOUTS['0.4']
    old = type(layout)(
        **{
            **vars(layout),
            'version': '0.3.2',
            'sidecar': {**layout.sidecar, 'nuisance parameters': 'acompcor'},
        }
    )
    write_xcpd(tmp_path / 'xcpd', Run(), old)
    (found,) = find(tmp_path, raw)[0].finished
    tables = read_tables(found)
    assert np.isnan(tables.matrix).all()
    assert 'interpolated volumes in its correlations' in tables.findings[1]
    assert 'filtered parameters' in tables.findings[0]
    assert 'xcp_d#1498' in tables.findings[2]
    assert set(tables.parcels) == {'alff'}  # tabulated ReHo was not that of the map


def test_without_a_filter_everything_is_kept(tmp_path, raw):
    layout = LAYOUTS['0.10']
    sidecar = {**layout.sidecar, 'SoftwareFilters': None}
    folder = write_xcpd(
        tmp_path / 'xcpd', Run(), type(layout)(**{**vars(layout), 'sidecar': sidecar})
    )
    (found,) = find(tmp_path, raw)[0].finished
    assert read_tables(found).band == (0, 0.25)
    for path in folder.glob('*_desc-denoised_bold.json'):
        path.write_text(json.dumps({'RepetitionTime': 2.0}))
    (found,) = find(tmp_path, raw)[0].finished
    assert np.isnan(read_tables(found).band).all()
