"""Axes, denoising and outliers of a series."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from bids_acc.dwi.coherence import check_axes, signed_permutations
from bids_acc.dwi.denoise import mppca
from bids_acc.dwi.interfaces.tensor import _unlike_finding
from bids_acc.dwi.outliers import find_outliers, leave_one_out
from bids_acc.dwi.shells import find_shells


@pytest.fixture
def unit_vectors(rng):
    vectors = rng.normal(size=(30, 3))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_leave_one_out_predicts_what_it_can(unit_vectors):
    predictor = leave_one_out(unit_vectors)
    np.testing.assert_allclose(np.diag(predictor), 0)
    smooth = 1 + 0.4 * unit_vectors[:, 0] ** 2 - 0.3 * unit_vectors[:, 1] * unit_vectors[:, 2]
    np.testing.assert_allclose(predictor @ smooth, smooth, atol=0.05)


def test_dropped_slice_is_found_and_no_other(rng, unit_vectors):
    shells = find_shells(np.r_[0, 0, 0, np.full(30, 1000)])
    directions = np.vstack([np.zeros((3, 3)), unit_vectors])
    slices = np.tile(np.repeat(np.arange(10), 200)[:, None], (1, 33))
    slices[:, 20:] = np.roll(slices[:, 20:], 100, axis=0)  # the head moved along the slices
    signal = 500 * np.exp(-0.8 * directions[:, 0] ** 2)[None] + rng.normal(0, 15, (2000, 33))
    lost = [[2, 25], [6, 12], [6, 27]]
    for row, volume in lost:
        signal[slices[:, volume] == row, volume] *= 0.6
    report, predicted = find_outliers(signal, slices, shells, directions)
    assert np.argwhere(report.outlier).tolist() == lost
    # the lost slices are gone from the predictions
    truth = 500 * np.exp(-0.8 * directions[:, 0] ** 2)
    assert np.abs(predicted.mean(axis=0) - truth)[3:].max() < 12


@pytest.mark.parametrize('share', [0.1, 0.2])
def test_many_lost_slices_do_not_hide_each_other(rng, unit_vectors, share):
    """Lost at random, the predictions and the spread of every slice are spoilt by others."""
    shells = find_shells(np.r_[0, 0, 0, np.full(30, 1000)])
    directions = np.vstack([np.zeros((3, 3)), unit_vectors])
    slices = np.tile(np.repeat(np.arange(20), 200)[:, None], (1, 33))
    signal = 500 * np.exp(-0.8 * directions[:, 0] ** 2)[None] + rng.normal(0, 15, (4000, 33))
    lost = np.zeros((20, 33), dtype=bool)
    lost[:, 3:] = rng.random((20, 30)) < share
    for row, volume in np.argwhere(lost):
        signal[slices[:, volume] == row, volume] *= rng.uniform(0.05, 0.6)
    found = find_outliers(signal, slices, shells, directions)[0].outlier
    assert (found & lost).sum() > 0.97 * lost.sum()
    assert (found & ~lost).sum() < 0.02 * (~lost).sum()


def test_a_volume_of_another_head_is_left_out_as_a_whole(rng, unit_vectors):
    """Its slices are too bright as often as too dark, of which only the latter are lost slices."""
    shells = find_shells(np.r_[0, 0, 0, np.full(30, 1000)])
    directions = np.vstack([np.zeros((3, 3)), unit_vectors])
    slices = np.tile(np.repeat(np.arange(20), 200)[:, None], (1, 33))
    signal = 500 * np.exp(-0.8 * directions[:, 0] ** 2)[None] + rng.normal(0, 15, (4000, 33))
    signal[:, 17] *= np.repeat(rng.uniform(0.7, 1.3, 20), 200)
    report = find_outliers(signal, slices, shells, directions)[0]
    assert report.outlier[:, 17].all()
    assert report.outlier.sum() < 25
    assert _unlike_finding(report.deviation).startswith('Volumes 17 of the corrected series (1 of')


@pytest.mark.parametrize('index', [0, 3, 7, 14, 20])
def test_wrong_axes_are_found(index):
    """Straight bundles along three axes, recorded with swapped or flipped gradient axes."""
    affine = np.diag([-2.0, 2, 2, 1])
    truth = np.zeros((30, 30, 30, 3))
    fa = np.zeros((30, 30, 30))
    diagonal = np.array([1, 1, 0]) / 2**0.5
    for start, vector in ((2, [1, 0, 0]), (12, [0, 1, 0]), (22, [0, 0.8, 0.6])):
        truth[:, :, start : start + 4], fa[:, :, start : start + 4] = vector, 0.7
    truth[8:20, 8:20, 16:21], fa[8:20, 8:20, 16:21] = diagonal, 0.7
    for offset in range(-12, 12):  # an oblique bundle that is only as thick as it is wide
        truth[15 + offset, 15 + offset, 8:11], fa[15 + offset, 15 + offset, 8:11] = (
            [-1, 1, 0] / np.sqrt(2),
            0.7,
        )
    wrong = signed_permutations()[index]
    check = check_axes(truth @ wrong.T, fa, affine)
    found = check.matrix @ wrong
    recovered = truth @ found.T
    assert check_axes(recovered, fa, affine).coherence_given >= 0.999 * check.coherence_best
    assert check.suspicious or check.coherence_given >= 0.95 * check.coherence_best


def test_too_few_fibres_say_nothing():
    check = check_axes(np.zeros((5, 5, 5, 3)), np.zeros((5, 5, 5)), np.eye(4))
    assert not check.suspicious
    assert 'not checked' in check.sentence()


def test_mppca_takes_noise_and_leaves_signal(rng):
    shape, count = (20, 20, 20), 40
    basis = rng.normal(size=(3, count))
    weights = ndimage.gaussian_filter(rng.normal(size=(*shape, 3)), (2, 2, 2, 0))
    truth = 500 + 400 * weights @ basis
    noisy = truth + rng.normal(0, 10, truth.shape)
    result = mppca(noisy, np.ones(shape))
    inner = (slice(5, -5),) * 3
    assert np.median(result.sigma[inner]) == pytest.approx(10, rel=0.03)
    assert np.std(result.series - truth) < 0.4 * 10


def test_mppca_leaves_what_is_outside(rng):
    data = rng.normal(size=(20, 20, 20, 8)).astype(np.float32)
    mask = np.zeros((20, 20, 20), dtype=bool)
    mask[3:6, 3:6, 3:6] = True
    result = mppca(data, mask)
    np.testing.assert_array_equal(result.series[12:], data[12:])
    assert np.isnan(result.sigma[12:]).all()
