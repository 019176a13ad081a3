"""Shells, gradient checks and frames."""

from __future__ import annotations

import numpy as np
import pytest

from bids_acc.dwi.shells import (
    bvecs_from_scanner,
    bvecs_to_scanner,
    check_gradients,
    find_shells,
    scheme_hash,
)
from bids_acc.exceptions import InputDataError


def test_jitter_is_one_shell_and_b0s_may_be_anywhere():
    shells = find_shells([989, 5, 1003, 0, 1000, 2995, 3005, 49])
    assert shells.bvalues == (0, 1000, 3000)
    assert shells.labels.tolist() == [1, 0, 1, 0, 1, 2, 2, 0]
    assert shells.members(3000).tolist() == [5, 6]


def test_low_shell_is_not_merged_with_b0():
    assert find_shells([0, 40, 60, 100]).bvalues == (0, 100)


@pytest.mark.parametrize('bad', [[0, np.nan], [0, -5]])
def test_impossible_bvalues_are_refused(bad):
    with pytest.raises(InputDataError, match='finite and not negative'):
        find_shells(bad)


def test_counts_must_fit():
    with pytest.raises(InputDataError, match='5 volumes but 2'):
        check_gradients([0, 1000], [[0, 0, 0], [1, 0, 0]], 5)
    with pytest.raises(InputDataError, match='directions of shape'):
        check_gradients([0, 1000], [[0, 0, 0]] * 3)


def test_columns_or_rows():
    table = np.array([[0, 1, 0, 0.6], [0, 0, 1, 0.8], [0, 0, 0, 0]])
    report = check_gradients([0, 1000, 1000, 1000], table)
    np.testing.assert_allclose(report.bvecs, table.T)
    assert report.findings == ()
    assert report.usable.all()


def test_lost_direction_is_not_used_and_named():
    report = check_gradients(
        [0, 1000, 1000, 1000], [[np.nan] * 3, [1, 0, 0], [np.nan] * 3, [0, 1.001, 0]]
    )
    assert report.usable.tolist() == [True, True, False, True]
    assert any('volumes 2 have b > 0 and no direction' in f for f in report.findings)
    assert np.isfinite(report.bvecs).all()


@pytest.mark.parametrize('sign', [1, -1])
def test_frame_round_trip_for_both_signs_of_the_determinant(rng, sign):
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turn *= sign * np.linalg.det(turn)
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([2.0, 2.5, 3.0])
    vectors = rng.normal(size=(5, 3))
    there = bvecs_to_scanner(vectors, affine)
    np.testing.assert_allclose(bvecs_from_scanner(there, affine), vectors)
    first = np.array([[1.0, 0, 0]])
    np.testing.assert_allclose(bvecs_to_scanner(first, affine)[0], -sign * turn[:, 0], atol=1e-12)


def test_same_scanner_direction_from_both_storage_orders(rng):
    """An image stored right-to-left has another bvec file but the same physical gradients."""
    neurological, radiological = np.diag([2.0, 2, 2, 1]), np.diag([-2.0, 2, 2, 1])
    world = rng.normal(size=(4, 3))
    for affine in (neurological, radiological):
        stored = bvecs_from_scanner(world, affine)
        np.testing.assert_allclose(bvecs_to_scanner(stored, affine), world)
    np.testing.assert_allclose(
        bvecs_from_scanner(world, neurological), bvecs_from_scanner(world, radiological)
    )


def test_hash_knows_a_deviating_protocol(rng):
    vectors = rng.normal(size=(6, 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    bvals = np.full(6, 1000.0)
    order = rng.permutation(6)
    assert scheme_hash(bvals, vectors) == scheme_hash(bvals[order] + 3, -vectors[order])
    assert scheme_hash(bvals, vectors) != scheme_hash(bvals * 2, vectors)
    assert scheme_hash(bvals, vectors) != scheme_hash(bvals, np.roll(vectors, 1, axis=1))


LEVELS = np.r_[0.0, np.full(6, 0.70711), np.full(12, 1.0)]


def table_of(lengths, rng):
    """Return directions of these lengths."""
    vectors = rng.normal(size=(len(lengths), 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(lengths)[:, None] * vectors


@pytest.mark.parametrize('scaling', ['auto', 'yes'])
def test_lengths_tell_shells_where_b_values_do_not(rng, scaling):
    bvals = np.r_[0.0, np.full(18, 1000.0)]
    report = check_gradients(bvals, table_of(LEVELS, rng), scaling=scaling)
    assert find_shells(report.bvals).bvalues == (0, 500, 1000)
    np.testing.assert_allclose(np.linalg.norm(report.bvecs, axis=1), [0] + [1] * 18)
    assert 'b-values are told by the length of directions' in report.findings[0]
    assert len(report.findings) == 1


def test_lengths_are_ignored_on_request_and_it_is_said(rng):
    bvals = np.r_[0.0, np.full(18, 1000.0)]
    report = check_gradients(bvals, table_of(LEVELS, rng), scaling='no')
    assert find_shells(report.bvals).bvalues == (0, 1000)
    assert 'were ignored' in report.findings[0]


def test_b0_acquired_as_a_zero_direction_of_a_table_of_lengths(rng):
    lengths = np.r_[0.0, 0.0, LEVELS[1:]]
    report = check_gradients(np.full(20, 1000.0), table_of(lengths, rng))
    assert find_shells(report.bvals).labels[:2].tolist() == [0, 0]
    assert report.usable.all()


@pytest.mark.parametrize(
    ('bvals', 'lengths'),
    [
        (np.r_[0, np.full(6, 500), np.full(12, 1000)], LEVELS),  # both tell the same
        (np.r_[0, np.full(18, 1000)], np.r_[0, np.full(18, 0.7)]),  # one length, merely wrong
        (np.r_[0, np.full(18, 1000)], np.r_[0, 0.7, np.full(17, 1)]),  # one wrong direction
        (np.r_[0, np.full(18, 1000)], np.r_[0, np.linspace(0.5, 1, 18)]),  # no levels
        (np.r_[0, np.full(18, 1000)], np.r_[0, np.full(18, 1.001)]),  # rounding
    ],
)
def test_lengths_that_tell_nothing_new_change_no_b_value(rng, bvals, lengths):
    report = check_gradients(bvals, table_of(lengths, rng))
    np.testing.assert_array_equal(report.bvals, bvals)


def test_crushers_b_value_without_direction_is_b0(rng):
    vectors = table_of(np.r_[0.0, 0.0, np.full(12, 1.0)], rng)
    report = check_gradients(np.r_[65.0, 0.0, np.full(12, 995.0)], vectors)
    assert find_shells(report.bvals).bvalues == (0, 1000)
    assert report.usable.all()
    assert 'volumes 0 (b 65) have no direction: b = 0.' in report.findings


def test_a_trace_image_is_no_b0():
    report = check_gradients([0.0, 1000.0], np.zeros((2, 3)))
    assert report.usable.tolist() == [True, False]


@pytest.mark.parametrize(('threshold', 'n_base'), [(50.0, 2), (60.0, 3), (120.0, 4)])
def test_the_threshold_decides_what_counts_as_b0(rng, threshold, n_base):
    bvals = np.r_[0, 45, 55, 110, np.full(12, 1000)]
    report = check_gradients(bvals, table_of(np.ones(16), rng), b0_threshold=threshold)
    assert (find_shells(report.bvals).labels == 0).sum() == n_base
    assert (np.linalg.norm(report.bvecs, axis=1) == 0).sum() == n_base


def test_the_lowest_b_values_are_b0_where_there_is_none(rng):
    bvals = np.r_[65, 68, np.full(12, 995)]
    report = check_gradients(bvals, table_of(np.ones(14), rng))
    assert (find_shells(report.bvals).labels == 0).sum() == 2
    assert '--dwi-b0-threshold' in report.findings[0]
