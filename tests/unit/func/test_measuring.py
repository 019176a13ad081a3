"""One run from its files to measures: planted networks, noise, lost signal, surfaces."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bids_acc.exceptions import InputDataError
from bids_acc.func import joining
from bids_acc.func.connectivity import fisher_z, standardised
from bids_acc.func.measuring import AnatFiles, Choices, RunFiles, carpet_of, measure_rest, prepare
from bids_acc.func.run import RunFacts
from bids_acc.func.sampling import spline_matrix
from bids_acc.images.resampling import sample, spline_coefficients
from tests.synthetic import fmriprep as bold

N = 120
CHOICES = Choices(density='10k')


def facts(n_dummy=0, space='MNI152NLin2009cAsym'):
    return RunFacts('task-rest', 'rest', bold.TR, 1.0, space, 'fMRIPrep', n_dummy)


def files_of(image):
    table = image.parent / 'sub-01_task-rest_desc-confounds_timeseries.tsv'
    mask = image.with_name(image.name.replace('preproc_bold', 'brain_mask'))
    return RunFiles([image], mask, table, table.with_suffix('.json'))


@pytest.fixture(scope='module')
def planted(tmp_path_factory):
    rng = np.random.default_rng(11)
    series, mask, affine = bold.planted_series(rng, N, voxel_mm=6.0, noise=0.5)
    # no signal in the right amygdala's corner, values that are no numbers in a left one
    places = np.argwhere(np.ones(mask.shape)) @ affine[:3, :3].T + affine[:3, 3]
    gone = (np.linalg.norm(places - [8, 41, 5], axis=1) < 14).reshape(mask.shape)
    series[gone] = 0
    table = bold.confound_table(rng, N, 2)
    root = tmp_path_factory.mktemp('fp')
    return bold.write_fmriprep(root, '01', series, mask, affine, table), series, affine


@pytest.fixture(scope='module')
def measured(planted):
    known = replace(facts(2), overlap=0.71)
    prepared = prepare(files_of(planted[0]), known, AnatFiles(), CHOICES)
    return prepared, measure_rest(prepared, AnatFiles(), CHOICES)


def test_one_matrix_samples_as_the_splines_do(rng):
    shape, affine = (9, 8, 7), np.diag([3.0, -3.0, 4.0, 1])
    affine[:3, 3] = [5, -7, 2]
    points = rng.uniform(-3, 30, (3, 60, 3)) * [1, -1, 1] + affine[:3, 3]
    weights = rng.uniform(0.1, 1, (3, 60))
    volume = rng.standard_normal(shape).astype(np.float32)
    matrix, seen = spline_matrix(shape, affine, points, weights)
    each = sample(volume, affine, points.reshape(-1, 3), order=3).reshape(weights.shape)
    expected = (weights * each).sum(axis=0) / weights.sum(axis=0)
    assert 0 < seen.sum() < 60
    assert np.array_equal(seen, np.isfinite(expected))
    found = matrix @ spline_coefficients(volume).ravel()
    np.testing.assert_allclose(found[seen], expected[seen], atol=2e-5)


def test_planted_networks_come_back(measured, tmp_path):
    path = joining.write_rest(tmp_path / 'rest.npz', measured[1])
    joined = joining.join_rest([joining.read_rest(path)])
    table = joining.marker_table(joined).set_index('marker')
    assert table['z']['within_DMN'] > 1.5
    assert abs(table['z']['DMN_control']) < 0.5
    assert table['z']['sgACC_DMN'] == pytest.approx(np.arctanh(0.8), abs=0.35)
    assert abs(table['z']['sgACC_control']) < 0.7
    assert table['dof'].iloc[0] == pytest.approx(118 * 0.36 - joined.report['n_regressors'])


def test_dummy_volumes_and_confounds_are_counted(measured):
    prepared, found = measured
    assert found.report['n_volumes'] == N - 2
    assert found.report['n_dummy'] == 2
    assert found.report['n_regressors'] == 12 + 10 + 3
    assert found.report['minutes_left'] == pytest.approx((N - 2) * bold.TR / 60)
    assert len(prepared.cleaning.kept) == N - 2


def test_the_overlap_of_the_alignment_is_the_one_that_is_told(measured):
    """The mask of a series of the built-in line is the T1w image's, which overlaps with itself."""
    assert measured[1].report['coreg_dice'] == 0.71
    assert any('overlap by 0.71 only' in text for text in measured[1].findings)


def test_what_has_no_signal_is_missing_and_never_zero(measured):
    prepared, found = measured
    lost = ~prepared.signal & prepared.cortex
    assert lost.any()
    for name in ('reho', 'alff', 'falff'):
        assert np.isnan(found.maps[name][lost]).all()
        assert (found.maps[name][prepared.signal] > 0).mean() > 0.95
    assert (found.maps['coverage'][lost] == 0).all()
    names = [r.name for r in found.members.regions]
    assert found.members.coverage[names.index('pgACC')] < 0.6
    assert found.members.coverage[names.index('sgACC')] > 0.8
    assert np.isnan(found.maps['tsnr'][~prepared.cortex]).all()


def test_a_seed_without_signal_has_a_reason_and_no_value(measured, tmp_path):
    found = joining.read_rest(joining.write_rest(tmp_path / 'a.npz', measured[1]))
    names = [r.name for r in found.regions]
    place = names.index('ACCrostralR')
    if found.reasons[place]:
        assert np.isnan(found.series[:, place]).all()
        assert np.isnan(found.matrix[place]).all()
    lost = [i for i, why in enumerate(found.reasons) if why]
    assert lost
    assert np.isnan(found.matrix[lost]).all()
    table = joining.region_table(found)
    assert (table['measured'][lost] == 'false').all()
    assert table['reason'][lost].notna().all()


def test_seed_maps_are_correlations_with_the_seed(measured):
    prepared, found = measured
    own = found.seed_maps['sgACC']
    names = [r.name for r in found.members.regions]
    series = standardised(prepared.cleaning.filtered @ prepared.series.vertices.astype(float))
    r = (found.series[:, names.index('sgACC')] @ series) / len(series)
    there = prepared.signal
    np.testing.assert_allclose(own[there], r[there], atol=2e-3)
    assert np.nanmax(np.abs(own)) <= 1


def test_two_runs_are_standardised_and_joined(measured, tmp_path):
    one = joining.read_rest(joining.write_rest(tmp_path / 'one.npz', measured[1]))
    two = joining.join_rest([one, one])
    np.testing.assert_allclose(two.matrix, one.matrix, atol=1e-12)
    assert len(two.series) == 2 * len(one.series)
    assert two.dof == 2 * one.dof
    assert two.report['n_runs'] == 2
    assert two.report['fd_mean'] == pytest.approx(one.report['fd_mean'])
    assert two.report['minutes_left'] == pytest.approx(2 * one.report['minutes_left'])
    np.testing.assert_allclose(two.maps['reho'], one.maps['reho'])
    other = joining.replace(one, report={**one.report, 'repetition_time': 1.0})
    with pytest.raises(InputDataError, match='repetition times of 2 and 1 s'):
        joining.join_rest([one, other])


def test_too_few_degrees_of_freedom_give_no_correlation(measured, tmp_path):
    one = joining.read_rest(joining.write_rest(tmp_path / 'one.npz', measured[1]))
    few = joining.join_rest([joining.replace(one, dof=14.0)])
    assert np.isnan(few.matrix).all()
    assert 'no correlation is given' in few.findings[-1]
    assert joining.marker_table(few)['z'].isna().all()
    assert joining.marker_table(few)['reason'].str.contains('degrees of freedom').all()
    assert np.isnan(joining.partial_matrix(few)).all()


def test_partial_correlations_skip_what_is_missing(measured, tmp_path):
    one = joining.read_rest(joining.write_rest(tmp_path / 'one.npz', measured[1]))
    found = joining.partial_matrix(joining.replace(one, dof=30.0))
    lost = np.array([bool(why) for why in one.reasons])
    assert np.isnan(found[lost]).all()
    assert np.isfinite(found[np.ix_(~lost, ~lost)]).all()


def test_parcels_of_the_atlas(measured):
    prepared, found = measured
    half = prepared.series.n_left
    table = joining.parcel_table(found.maps, prepared.labels, prepared.names, half)
    assert len(table) == 68
    acc = table[table['region'] == 'rostralanteriorcingulate'].set_index('hemisphere')
    assert acc['coverage']['R'] < acc['coverage']['L']


def test_the_carpet_has_gaps_where_censored(planted):
    choices = Choices(density='10k', censor_fd=0.1)
    prepared = prepare(files_of(planted[0]), facts(2), AnatFiles(), choices)
    carpet = carpet_of(prepared)
    assert np.isnan(carpet.dvars[0])  # the change from a volume that was dropped
    assert np.isfinite(carpet.dvars[1:]).all()
    gone = ~prepared.cleaning.kept
    assert 0 < gone.mean() < 1
    assert np.isnan(carpet.after[:, gone]).all()
    assert np.isfinite(carpet.after[:, ~gone]).all()
    found = measure_rest(prepared, AnatFiles(), choices)
    if gone.mean() > 0.3:
        assert np.isnan(found.maps['falff']).all()


def test_noise_through_the_whole_line(tmp_path, rng):
    shape, affine = bold.template_grid(6.0)
    mask = bold.brain_mask(shape, affine)
    series = np.zeros((*shape, 150), dtype=np.float32)
    series[mask] = 1000 + 20 * rng.standard_normal((mask.sum(), 150))
    image = bold.write_fmriprep(
        tmp_path, '01', series, mask, affine, bold.confound_table(rng, 150)
    )
    prepared = prepare(files_of(image), facts(), AnatFiles(), CHOICES)
    found = measure_rest(prepared, AnatFiles(), CHOICES)
    r = found.matrix[np.triu_indices(len(found.matrix), 1)]
    r = r[np.isfinite(r) & (np.abs(r) < 0.999)]
    far = np.abs(r) < 0.9  # regions that share voxels are alike
    assert np.median(np.abs(r[far])) / 0.6745 == pytest.approx(1 / np.sqrt(found.dof), rel=0.2)
    # 27 voxels, at edges fewer, and a vertex averages what lies around it
    assert 1 / 27 <= np.nanmedian(found.maps['reho']) < 1.5 / 18


def test_all_zero_and_constant_series_are_refused(tmp_path, rng):
    shape, affine = bold.template_grid(12.0)
    mask = bold.brain_mask(shape, affine)
    table = bold.confound_table(rng, 60)
    for value, match in ((0, 'all values are zero'), (7, 'all volumes are the same')):
        series = np.full((*shape, 60), value, dtype=np.float32)
        image = bold.write_fmriprep(tmp_path, '01', series, mask, affine, table)
        with pytest.raises(InputDataError, match=match):
            prepare(files_of(image), facts(), AnatFiles(), CHOICES)


def test_series_on_the_surface(tmp_path, rng):
    sizes = bold.template_vertices()
    shared = bold.band_noise(rng, 100, 1)
    halves = [
        (100 + shared + rng.standard_normal((100, n))).astype(np.float32) for n in sizes
    ]  # fmt: skip
    halves[0][:, :50] = 0
    paths = bold.write_surfaces(tmp_path, '01', halves, bold.confound_table(rng, 100))
    table = paths[0].parent / 'sub-01_task-rest_desc-confounds_timeseries.tsv'
    files = RunFiles(paths, None, table, table.with_suffix('.json'))
    choices = replace(CHOICES, atlas=tmp_path / 'own.nii.gz')
    prepared = prepare(files, facts(space='fsaverage5'), AnatFiles(), choices)
    found = measure_rest(prepared, AnatFiles(), choices)
    assert any('own.nii.gz is an image, and a series on' in text for text in found.findings)
    assert np.nanmedian(found.maps['reho']) > 0.2
    assert np.isnan(found.maps['reho'][:50]).all()
    why = dict(zip([r.name for r in found.members.regions], found.members.reasons, strict=True))
    assert why['thalamus']  # no vertex lies there
    assert why['ACCrostralL'] == ''
    assert any('on a surface' in text for text in found.findings)
    assert np.isfinite(fisher_z(found.seed_maps['ACCrostralL'])).any()
