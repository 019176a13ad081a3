"""Formulas of the built-in line against planted truth and other programs' numbers."""

from __future__ import annotations

import json

import nibabel as nb
import numpy as np
import pytest
from nipype.algorithms import confounds as nipype_confounds
from statsmodels.regression.linear_model import yule_walker

from bids_acc.exceptions import InputDataError, MetadataError
from bids_acc.func import confounds as noise
from bids_acc.func.echoes import combine_echoes, t2star, usable_echoes
from bids_acc.func.motion import estimate_motion, rigid_matrix, rigid_parameters
from bids_acc.func.raw import (
    check_length,
    check_repetition_time,
    check_signal,
    check_slices,
    count_dummies,
)
from bids_acc.func.slice_timing import correct_slice_timing, reference_time, slice_times
from bids_acc.images.affines import apply_matrix, voxel_centres
from bids_acc.images.motion import framewise_displacement
from tests.synthetic.bold import affine_at, moving_series

# --- slice timing ----------------------------------------------------------------------------


@pytest.mark.parametrize('axis', [0, 1, 2])
@pytest.mark.parametrize('multiband', [1, 2])
def test_slices_come_to_one_time(axis, multiband):
    """A slow sine that each slice sees at its own time is seen by all at the reference time."""
    n, tr, seconds = 6, 2.0, 60
    one = np.arange(n // multiband) * tr / (n // multiband)
    times = np.tile(one, multiband)
    volumes = np.arange(seconds) * tr
    shape = [3, 3, 3, seconds]
    shape[axis] = n
    wave = np.sin(2 * np.pi * 0.05 * (volumes[None, :] + times[:, None])).astype('f4')
    expand = [1, 1, 1, seconds]
    expand[axis] = n
    data = np.broadcast_to(wave.reshape(expand), shape)
    found = correct_slice_timing(data, times, axis, tr)
    wanted = np.sin(2 * np.pi * 0.05 * (volumes + reference_time(times)))
    inner = slice(3, -3)
    assert np.abs(found - wanted)[..., inner].max() < 0.01
    assert np.abs(data - wanted)[..., inner].max() > 0.2  # what is mended


def test_dummies_are_not_drawn_into_the_steady_state():
    """A spline through the bright first volumes would ring into those after them."""
    data = np.full((2, 2, 4, 30), 100, dtype='f4')
    data[..., :2] = 300
    found = correct_slice_timing(data, np.array([0, 0.5, 1, 1.5]), 2, 2.0, n_dummy=2)
    assert np.allclose(found, data, atol=1e-3)


@pytest.mark.parametrize(
    ('metadata', 'said'),
    [
        ({}, 'no SliceTiming'),
        ({'SliceTiming': [0, 1]}, '2 values for 3 slices'),
        ({'SliceTiming': [0, 500, 1000]}, 'in ms'),
        ({'SliceTiming': [0, 1, 2.5]}, 'beyond the repetition time'),
        ({'SliceTiming': [0, -0.1, 1]}, 'a time before the volume begins'),
        ({'SliceTiming': [0, None, 1]}, 'a number for each slice'),
        ({'SliceTiming': 'ascending'}, 'a number for each slice'),
        ({'SliceTiming': []}, 'a number for each slice'),
        ({'SliceTiming': [0, 0, 0]}, 'at one time'),
        ({'SliceTiming': [0, 1, 1.5], 'SliceEncodingDirection': 'z'}, 'none of i, i-'),
    ],
)  # fmt: skip
def test_slice_times_that_cannot_be_used_are_skipped_with_a_reason(metadata, said):
    times, _, reason = slice_times(metadata, (4, 4, 3, 50), 2.0)
    assert times is None
    assert said in reason


def test_slices_counted_backwards_have_their_times_turned_round():
    metadata = {'SliceTiming': [0, 1, 1.5], 'SliceEncodingDirection': 'i-'}
    times, axis, _ = slice_times(metadata, (3, 4, 9, 50), 2.0)
    assert axis == 0
    assert times.tolist() == [1.5, 1, 0]


SERIES = ('Siemens_Rest_fMRI_AP_7', 'Siemens_REST1_w_SMS_PF7-8_6', 'GE_Brain_Routine_4',
          'Siemens_fMRIcontin_30x30x36_4', 'GE_DCM2NIIX_regression_test_7')  # fmt: skip


@pytest.mark.parametrize('name', SERIES)
def test_slice_times_of_real_series(shared_data, name):
    """Sidecars of dcm2niix: as many times as slices, all within the TR, the first at zero."""
    folder = shared_data / 'bold' / 'dcm_qa_stc'
    metadata = json.loads((folder / f'{name}.json').read_text())
    shape = nb.load(folder / f'{name}.nii.gz').shape
    spacing = check_repetition_time(metadata, name)
    times, axis, reason = slice_times(metadata, shape, spacing)
    assert reason == ''
    assert axis == 2
    assert len(times) == shape[2]
    assert times.min() == 0
    assert 0.5 * spacing < times.max() < spacing
    band = metadata.get('MultibandAccelerationFactor', 1)
    assert len(np.unique(times)) == shape[2] // band
    assert 0 < reference_time(times) < spacing / 2 + 0.01


# --- what is refused -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('given', 'said'),
    [
        (None, 'no RepetitionTime'), (0, '0; write'), (2000, 'in ms'), ('2', "'2'"), (15, '15;'),
        (float('nan'), 'nan'), (True, 'True'),
    ],
)  # fmt: skip
def test_repetition_times_that_are_refused(given, said):
    metadata = {} if given is None else {'RepetitionTime': given}
    with pytest.raises(MetadataError, match=r'bold\.nii') as error:
        check_repetition_time(metadata, 'bold.nii')
    assert said in str(error.value)


def test_short_runs_are_refused():
    with pytest.raises(InputDataError, match='39 volumes'):
        check_length(39, 4.0, 'x')
    with pytest.raises(InputDataError, match='100 s'):
        check_length(100, 1.0, 'x')
    check_length(40, 3.0, 'x')


@pytest.mark.parametrize(
    ('value', 'said'), [(0, 'zero'), (np.nan, 'finite'), (7, 'all volumes are the same')]
)
def test_series_without_signal_are_refused(value, said):
    with pytest.raises(InputDataError, match=said):
        check_signal(np.full((3, 3, 3, 5), value, dtype=float), 'x')


@pytest.mark.parametrize('value', [0.0, np.nan, np.inf])
def test_empty_volumes_are_named(rng, value):
    series = rng.uniform(1, 9, (3, 3, 3, 6))
    series[..., [2, 4]] = value
    with pytest.raises(InputDataError, match='volume 3, 5 holds zeros or no finite value'):
        check_signal(series, 'x')
    series[..., [2, 4]] = 1.0  # a flat volume is one
    check_signal(series, 'x')


def test_a_volume_of_an_aborted_scan_is_refused(rng):
    series = rng.uniform(100, 200, (4, 4, 12, 50)).astype('f4')
    series[:, :, 0] = 0  # a slice that no volume has
    series[:, :, -2:, 20] = 0  # edges that the scanner emptied when it moved the volume
    check_slices(series, 'x')
    series[:, :, 6:, -1] = np.nan
    with pytest.raises(InputDataError, match=r'volume 50 has zeros in 6 of the 11 slices'):
        check_slices(series, 'x')


def test_no_volume_of_a_steady_series_is_dropped(rng):
    drift = np.linspace(510, 500, 200) + rng.standard_normal(200)
    assert count_dummies(drift) == 0
    assert count_dummies(np.full(50, 3.0)) == 0
    assert count_dummies([800, 700, 600, *drift]) == 3


# --- motion ----------------------------------------------------------------------------------


def walk(rng, n=14, spike=3.0):
    """Draw a path: steps of .1 mm and degrees, and one sudden movement."""
    steps = 0.1 * rng.standard_normal((n, 6)) * np.repeat([1, np.pi / 180], 3)
    steps[0] = 0
    path = np.cumsum(steps, axis=0)
    path[n // 2 :] += spike * np.array([0.4, -0.6, 0.3, 0.01, 0.008, -0.01])
    return path


@pytest.mark.parametrize('centre', [(0, 0, 0), (0, 10, 80)])
def test_planted_motion_is_found(rng, centre):
    """Within .15 mm, and framewise displacement whatever the place of the head."""
    data, pulls = moving_series(walk(rng), centre)
    affine = affine_at(centre)
    mask = data.mean(axis=-1) > 500
    points = voxel_centres(mask, affine)
    found = estimate_motion(data, affine, mask)
    gaps = [np.linalg.norm(apply_matrix(a, points) - apply_matrix(b, points), axis=1).mean()
            for a, b in zip(found.matrices, pulls, strict=True)]  # fmt: skip
    assert max(gaps) < 0.15
    middle = points.mean(axis=0)
    fd = framewise_displacement(found.matrices, middle)[1:]
    true = framewise_displacement(pulls, middle)[1:]
    assert (np.abs(fd - true) < 0.15 + 0.03 * true).all()
    assert np.corrcoef(fd, true)[0, 1] > 0.98
    assert np.median(fd) == pytest.approx(np.median(true), abs=0.06)
    assert np.allclose(rigid_parameters(found.matrices, middle)[0], 0, atol=1e-9)


def test_a_large_turn_is_caught(rng):
    path = np.zeros((4, 6))
    path[2:] = [9, -8, 7, 0.15, 0.1, -0.15]
    data, pulls = moving_series(path)
    mask = data[..., 0] > 500
    found = estimate_motion(data, affine_at(), mask)
    points = voxel_centres(mask, affine_at())
    gap = apply_matrix(found.matrices[3], points) - apply_matrix(pulls[3], points)
    assert np.linalg.norm(gap, axis=1).mean() < 0.2


def test_a_drift_of_intensity_over_the_head_is_no_motion():
    data, _ = moving_series(np.zeros((12, 6)), noise=3.0)
    ramp = np.linspace(-1, 1, data.shape[0])[:, None, None, None]
    drifting = data * (1 + 0.1 * ramp * np.linspace(0, 1, 12))
    found = estimate_motion(drifting.astype('f4'), affine_at(), data[..., 0] > 500)
    assert np.abs(found.parameters[:, :3]).max() < 0.08


def test_parameters_and_matrices_are_one_thing(rng):
    rows = rng.standard_normal((5, 6)) * [3, 3, 3, 0.1, 0.1, 0.1]
    centre = [4.0, -20, 60]
    matrices = np.stack([rigid_matrix(row, centre) for row in rows])
    assert np.allclose(rigid_parameters(matrices, centre), rows)


# --- echoes ----------------------------------------------------------------------------------


def test_t2star_comes_back_and_weights_follow_posse(rng):
    times = np.array([0.012, 0.028, 0.044])
    decay = rng.uniform(0.02, 0.08, 50)
    clean = 1000 * np.exp(-times[:, None] / decay)
    assert np.allclose(t2star(clean, times, np.ones((3, 50), dtype=bool)), decay, rtol=1e-6)
    series = np.repeat(clean[:, :, None], 4, axis=2).astype('f4')
    weights = times[:, None] * np.exp(-times[:, None] / decay)
    wanted = (weights * clean).sum(axis=0) / weights.sum(axis=0)
    assert np.allclose(combine_echoes(series, times)[:, 0], wanted, rtol=1e-4)


def test_combined_echoes_hold_more_bold_than_the_middle_one(rng):
    """Change of T2* over noise: Posse's weights beat each echo alone."""
    times, n = np.array([0.012, 0.028, 0.044]), 300
    activity = 0.01 * rng.standard_normal(n)
    echoes = 1000 * np.exp(-times[:, None] / 0.03 * (1 - activity))
    noisy = (echoes[:, None, :] + 8 * rng.standard_normal((3, 200, n))).astype('f4')

    def seen(series):
        return np.mean([np.corrcoef(row, activity)[0, 1] for row in series])

    assert seen(combine_echoes(noisy, times)) > max(seen(echo) for echo in noisy)


def test_a_voxel_with_one_good_echo_is_kept():
    means = np.array([[1000, 1000.0], [600, 5.0], [400, 2.0]])
    assert usable_echoes(means).tolist() == [[True, True], [True, False], [True, False]]
    series = np.repeat(means[:, :, None], 3, axis=2).astype('f4')
    assert combine_echoes(series, [0.01, 0.03, 0.05])[1].tolist() == [1000, 1000, 1000]


# --- confounds -------------------------------------------------------------------------------


def test_dvars_is_nipypes(tmp_path, rng, monkeypatch):
    """Numbers of nipype.algorithms.confounds.compute_dvars, which fMRIPrep writes.

    Its autoregression comes from nitime, which is not installed; statsmodels has the same.
    """
    monkeypatch.setattr(
        nipype_confounds, '_AR_est_YW', lambda x, _: yule_walker(x, 1, method='mle')[0][0]
    )
    series = 500 + 20 * np.cumsum(rng.standard_normal((6, 6, 6, 40)), axis=3)
    series = series.astype('f4')
    mask = np.ones((6, 6, 6), dtype='u1')
    for name, values in (('bold', series), ('mask', mask)):
        nb.Nifti1Image(values, np.eye(4)).to_filename(tmp_path / f'{name}.nii')
    relative, plain, _ = nipype_confounds.compute_dvars(
        str(tmp_path / 'bold.nii'), str(tmp_path / 'mask.nii')
    )
    found = noise.dvars(series.reshape(-1, 40))
    assert np.isnan(found[0][0])
    assert np.allclose(found[0][1:], plain, rtol=1e-4)
    assert np.allclose(found[1][1:], relative, rtol=1e-3)


def test_std_dvars_of_noise_is_one(rng):
    white = 100 + rng.standard_normal((500, 200))
    assert np.nanmean(noise.dvars(white)[1]) == pytest.approx(1, abs=0.05)


def test_noise_components_find_what_a_tissue_shares_and_no_drift(rng):
    shared = rng.standard_normal(120)
    drift = noise.cosines(120, 2.0)
    series = np.outer(rng.standard_normal(80), shared) + 0.1 * rng.standard_normal((80, 120))
    series += 5 * np.outer(rng.standard_normal(80), drift[:, 0])
    found = noise.noise_components(series, drift, 4)
    filtered = shared - drift @ (drift.T @ shared)
    assert abs(np.corrcoef(found.series[:, 0], filtered)[0, 1]) > 0.999
    assert np.allclose(found.series.T @ found.series, np.eye(4), atol=1e-9)
    assert np.abs(found.series.T @ drift).max() < 1e-6
    assert found.explained[0] > 0.8
    assert (np.diff(found.singular_values) < 0).all()


def test_cosines_are_those_of_nilearn():
    from nilearn.glm.first_level.design_matrix import create_cosine_drift

    theirs = create_cosine_drift(1 / 128, np.arange(150) * 2.0)
    assert np.allclose(noise.cosines(150, 2.0), theirs[:, :-1])


def test_few_voxels_or_volumes_give_few_components(rng):
    drift = noise.cosines(40, 3.0)
    assert noise.noise_components(rng.standard_normal((3, 40)), drift).series.shape == (40, 3)
    assert noise.noise_components(np.zeros((30, 40)), drift).series.shape == (40, 0)


def test_outliers_do_not_count_dummies():
    flags = noise.outliers([np.nan, 0.9, 0.1, 0.6], [np.nan, 9, 1, 1], n_dummy=2)
    assert flags.tolist() == [False, False, False, True]
    # the image changes into the steady state, though nobody moves
    flags = noise.outliers([np.nan, 0.1, 0.1, 0.1], [np.nan, 1, 9, 9], n_dummy=2)
    assert flags.tolist() == [False, False, False, True]
    assert noise.outliers([0.1, 0.6], [9, 1], n_dummy=0).tolist() == [False, True]
