"""Interpolation, motion, sampling at vertices, axes, masks, denoising, outliers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from bids_acc.dwi.coherence import check_axes, signed_permutations
from bids_acc.dwi.denoise import mppca
from bids_acc.dwi.outliers import find_outliers, leave_one_out
from bids_acc.dwi.shells import Shells, find_shells
from bids_acc.exceptions import ComputationError
from bids_acc.images.distortion import apply_warp
from bids_acc.images.masks import brain_mask
from bids_acc.images.motion import (
    estimate_motion,
    framewise_displacement,
    matrix_from_parameters,
    rotate_directions,
    rotation_part,
)
from bids_acc.images.resampling import apply_matrix, sample, sample_series, voxel_centres
from bids_acc.surfaces.ribbon import combine_depths, combine_noddi


@pytest.fixture
def unit_vectors(rng):
    vectors = rng.normal(size=(30, 3))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_linear_ramp_is_sampled_exactly_and_outside_is_nan():
    affine = np.diag([-2.0, 2, 3, 1])
    affine[:3, 3] = [10, -5, 4]
    points = voxel_centres(np.ones((8, 9, 7)), affine)
    ramp = (points @ [1.0, 2.0, -0.5]).reshape(8, 9, 7)
    where = np.array([[3.3, 1.1, 9.9], [500.0, 0, 0]])
    for order in (1, 3):
        values = sample(ramp, affine, where, order=order)
        assert values[0] == pytest.approx(where[0] @ [1, 2, -0.5], abs=0.05)
        assert np.isnan(values[1])


def test_series_passes_its_own_transforms_and_is_modulated():
    affine = np.eye(4)
    volume = np.indices((9, 9, 9))[0].astype(float)
    shift = np.eye(4)
    shift[0, 3] = 2
    found = sample_series(
        np.stack([volume, volume], -1), affine, [[3, 4, 4]], [np.eye(4), shift], order=1,
        modulation=[1, 0.5],
    )  # fmt: skip
    np.testing.assert_allclose(found, [[3, 2.5]])


def test_gradients_turn_against_the_head(unit_vectors):
    """A fibre that turned with the head is seen by the turned-back gradient as before."""
    turn = Rotation.from_rotvec([0.1, -0.2, 0.3]).as_matrix()
    pull = np.eye(4)
    pull[:3, :3] = turn
    fibre = np.array([0.0, 0.6, 0.8])
    seen = (unit_vectors @ (turn @ fibre)) ** 2
    turned = rotate_directions(unit_vectors, np.tile(pull, (30, 1, 1)))
    np.testing.assert_allclose((turned @ fibre) ** 2, seen)


def test_shear_does_not_turn_gradients_much():
    pull = matrix_from_parameters([0] * 6 + [0.02, 0, 0], [0, 0, 0], [0, 1, 0])
    assert np.rad2deg(Rotation.from_matrix(rotation_part(pull)).magnitude()) < 0.6


def test_framewise_displacement_of_a_known_step():
    pulls = np.tile(np.eye(4), (3, 1, 1))
    pulls[1:, :3, 3] = [1.0, -2.0, 0]
    pulls[2, :3, :3] = Rotation.from_rotvec([0, 0, 0.01]).as_matrix()
    np.testing.assert_allclose(framewise_displacement(pulls), [np.nan, 3.0, 0.5], rtol=1e-6)


def test_planted_motion_of_a_textured_object_is_found(rng):
    field = ndimage.gaussian_filter(rng.normal(size=(44, 44, 44)), 2.2)
    affine = np.diag([2.5, 2.5, 2.5, 1.0])
    big = affine.copy()
    big[:3, 3] = -10
    centres = voxel_centres(np.ones((36, 36, 36)), affine)
    middle = np.full(3, 43.75)
    inside = np.exp(-(np.linalg.norm(centres - middle, axis=1) ** 2) / (2 * 22**2))
    planted = [np.zeros(9)] + [
        np.r_[rng.uniform(-2, 2, 3), rng.uniform(-0.04, 0.04, 3), np.zeros(3)] for _ in range(3)
    ]
    volumes = []
    for parameters in planted:
        back = np.linalg.inv(matrix_from_parameters(parameters, middle, [0, 1, 0]))
        points = apply_matrix(back, centres)
        window = np.exp(-(np.linalg.norm(points - middle, axis=1) ** 2) / (2 * 22**2))
        texture = np.nan_to_num(sample(field, big, points, order=3))
        volumes.append((1000 * window * (1 + 3 * texture)).reshape(36, 36, 36))
    series = np.stack(volumes, -1)
    mask = inside.reshape(36, 36, 36) > 0.2
    shells = Shells(np.zeros(4, dtype=np.int64), (0,))
    motion = estimate_motion(series, affine, shells, np.zeros((4, 3)), mask, [0, 1, 0])
    where = voxel_centres(mask, affine)[::20]
    for parameters, found in zip(planted, motion.matrices, strict=True):
        truth = matrix_from_parameters(parameters, middle, [0, 1, 0])
        gap = apply_matrix(truth, where) - apply_matrix(found, where)
        assert np.linalg.norm(gap, axis=1).mean() < 0.1


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


def test_brain_mask_takes_the_brain_and_not_the_eyes(rng):
    points = voxel_centres(np.ones((60, 70, 50)), np.diag([3.0, 3, 3, 1])) - [90, 105, 75]
    brain = (np.linalg.norm(points / [68, 82, 60], axis=1) < 1).reshape(60, 70, 50)
    eye = (np.linalg.norm(points - [30, 98, -25], axis=1) < 11).reshape(60, 70, 50)
    image = 800 * brain + 1500 * eye + np.abs(rng.normal(0, 30, brain.shape))
    mask = brain_mask(image, [3, 3, 3])
    dice = 2 * (mask & brain).sum() / (mask.sum() + brain.sum())
    assert dice > 0.96
    assert (mask & eye & ~brain).sum() < 0.3 * eye.sum()


def test_no_brain_is_an_error(rng):
    with pytest.raises(ComputationError, match='brain mask'):
        brain_mask(rng.normal(size=(10, 10, 10)), [1, 1, 1])


def test_depths_are_weighted_by_grey_matter_and_missing_is_nan():
    maps = {'md': np.array([[1.0, 1.0, 1.0], [3.0, 5.0, 7.0]])}
    usable = np.array([[True, True, False], [True, False, False]])
    grey = np.array([[1.0, 0.5, 1.0], [0.5, 0.5, 1.0]])
    result = combine_depths(maps, usable, grey, 1 - grey)
    np.testing.assert_allclose(result.values['md'], [(1 + 0.25 * 3) / 1.25, 1.0, np.nan])
    np.testing.assert_allclose(result.coverage, [1, 0.5, 0])
    assert np.isnan(result.fluid[2])


def test_warp_moves_along_its_axis_and_keeps_the_amount_of_signal():
    field = 0.1 * np.indices((11, 11, 11))[1].astype(float)
    moved, factor = apply_warp(field, np.eye(4), [[5.0, 6.0, 5.0]], [0, 1, 0])
    np.testing.assert_allclose(moved, [[5, 6.6, 5]], atol=1e-6)
    np.testing.assert_allclose(factor, [1.1], atol=1e-6)


def test_noddi_of_tissue_counts_by_the_share_of_tissue():
    """A sample that is nearly all fluid says next to nothing of the neurites."""
    maps = {
        'icvf': np.array([[0.4, 0.4], [0.9, 0.0]]),
        'isovf': np.array([[0.0, 0.1], [0.95, 0.5]]),
        'od': np.array([[0.5, 0.5], [0.1, 0.1]]),
    }
    grey, fluid = np.ones((2, 2)), np.zeros((2, 2))
    found = combine_noddi(maps, grey, fluid)
    assert found['icvf'][0] == pytest.approx((0.4 + 0.05 * 0.9) / 1.05)
    assert found['od'][0] == pytest.approx((0.5 + 0.05 * 0.1) / 1.05)
    assert found['isovf'][0] == pytest.approx(0.475)
    # where nothing was fitted nothing is taken
    assert found['icvf'][1] == pytest.approx(0.4)
    assert found['isovf'][1] == pytest.approx(0.1)
    outside = combine_noddi({k: v * np.nan for k, v in maps.items()}, grey, fluid)
    assert all(np.isnan(v).all() for v in outside.values())
