"""BOLD series of the demo: what is planted is in the images."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from bids_acc.demo import bold
from bids_acc.demo.bold import CLEAN, HeadMaps, Protocol, draw_motion, simulate
from bids_acc.demo.networks import (
    DMN,
    SGACC,
    WITHIN_NETWORK,
    Shares,
    draw_series,
    mean_fisher_z,
    regions,
    shares_at,
)
from bids_acc.func.slice_timing import correct_slice_timing, reference_time

SMALL = Protocol(shape=(12, 12, 8), voxel_mm=8.0, repetition_time=2.0, n_volumes=60, tilt_deg=0)


@dataclass(frozen=True)
class Still:
    """A head that lies in the middle of the scanner."""

    placement: np.ndarray


HEAD = Still(np.eye(4))


@pytest.fixture(scope='module')
def maps() -> HeadMaps:
    """Return a ball of grey matter whose left half is one region and whose right half another."""
    shape = (48, 48, 40)
    affine = np.diag([2.0, 2, 2, 1])
    affine[:3, 3] = -np.array(shape) + 1.0
    grid = np.stack(np.indices(shape), axis=-1) * 2.0 + affine[:3, 3]
    inside = np.linalg.norm(grid, axis=-1) < 34
    density = inside.astype('f4')
    nodes = Shares(
        np.array([[0] * 4, [0] * 4, [100] * 4], dtype=np.int32),
        np.array([[0, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]], dtype='f4'),
    )
    rows = np.where(inside, np.where(grid[..., 0] < 0, 1, 2), 0).astype(np.int32).ravel()
    field = np.exp(-0.5 * ((grid - [0, 20, 0]) ** 2).sum(axis=-1) / 18**2).astype('f4')
    zero = np.zeros(shape, dtype='f4')
    return HeadMaps(affine, shape, density, 20 * density, density, zero, field, nodes, nodes, rows)


def run(maps, effects, protocol=SMALL, seed=3):
    """Simulate one run."""
    return simulate(protocol, maps, HEAD, effects, 0.5, np.random.default_rng(seed))


def test_regions_lie_apart_from_the_subgenual_cingulate():
    where = regions()
    own = where.centres[where.members(SGACC)]
    gaps = np.linalg.norm(where.centres[2:, None] - own[None], axis=-1)
    assert gaps.min() > 12
    assert len(where.members(DMN)) > 50


def test_series_have_the_correlations_that_are_planted():
    series = draw_series(regions(), 20_000, 0.6, np.random.default_rng(0))
    values, where = series.values, regions()
    dmn = where.members(DMN)
    r = np.corrcoef(values[dmn[:20]])
    assert r[np.triu_indices(20, 1)].mean() == pytest.approx(WITHIN_NETWORK, abs=0.02)
    z = mean_fisher_z(values, where.members(SGACC), dmn)
    assert np.tanh(z) == pytest.approx(0.6 * np.sqrt(WITHIN_NETWORK), abs=0.03)
    other = np.flatnonzero(np.array(where.networks) == 'Visual')[:10]
    assert abs(np.corrcoef(values[dmn[0]], values[other[0]])[0, 1]) < 0.1


def test_a_point_at_a_region_s_centre_has_its_series():
    shares = shares_at(regions().centres[[0, 50]] + 0.01, regions().centres)
    assert shares.indices[:, 0].tolist() == [0, 50]
    assert (shares.weights[:, 0] > 0.75).all()
    far = shares_at(np.array([[0.0, 0, 200]]), regions().centres)
    assert far.weights.sum() < 1e-6


def test_clean_voxels_hold_nothing_but_their_region(maps):
    (image,), truth = run(maps, CLEAN)
    planted = truth.series.at(truth.volume_times + 1.0)
    left, right = image[8, 6, 4].astype(float), image[3, 6, 4].astype(float)
    assert np.corrcoef(left, planted[0])[0, 1] > 0.99  # the first axis runs to the left
    assert np.corrcoef(right, planted[100])[0, 1] > 0.99
    assert left.std() / left.mean() == pytest.approx(bold.NEURAL * planted[0].std(), rel=0.05)


def test_each_slice_shows_its_own_time(maps):
    (image,), truth = run(maps, replace(CLEAN, slice_timing=True))
    times = np.array(SMALL.slice_times)
    planted = truth.series.at(truth.volume_times + times[2])[0]
    assert np.corrcoef(image[8, 6, 2], planted)[0, 1] > 0.99
    same = correct_slice_timing(image.astype('f4'), times, 2, SMALL.repetition_time)
    wanted = truth.series.at(truth.volume_times + reference_time(times))[0]
    assert np.corrcoef(same[8, 6, 2, 3:-3], wanted[3:-3])[0, 1] > 0.99


def test_the_same_seed_gives_the_same_bytes(maps):
    effects = bold.Effects(spikes=(1.0,), distortion_mm=2.0, n_dummy=1)
    one, other = (run(maps, effects)[0][0] for _ in range(2))
    assert one.tobytes() == other.tobytes()
    assert one.tobytes() != run(maps, effects, seed=4)[0][0].tobytes()


def test_thermal_noise_has_the_level_that_is_asked_for(maps):
    (image,), _ = run(maps, replace(CLEAN, tsnr=25.0), replace(SMALL, n_volumes=300))
    (clean,), _ = run(maps, CLEAN, replace(SMALL, n_volumes=300))
    gap = (image - clean.astype(float))[5:7, 5:7, 4]
    level = bold.LEVEL * bold.DENSITY['GM'] * np.exp(-0.03 / bold.T2STAR_S['GM'])
    assert level / gap.std() == pytest.approx(25, rel=0.05)


def test_the_field_moves_signal_along_the_phase_encoding(maps):
    (plain,), _ = run(maps, CLEAN)
    (moved,), _ = run(maps, replace(CLEAN, distortion_mm=10.0))
    (back,), _ = run(maps, replace(CLEAN, distortion_mm=10.0), replace(SMALL, direction='j'))

    def front(image):  # where the ball ends, along the phase encoding
        line = image[6, :, 4, 0] / image[6, 6, 4, 0]
        return 8.0 * line[6:].sum()

    shift = [front(image) - front(plain) for image in (moved, back)]
    assert shift[0] < -2
    assert shift[1] > 2


def test_first_volumes_are_bright_and_motion_begins_at_rest(maps, rng):
    (image,), _ = run(maps, replace(CLEAN, n_dummy=2))
    means = image.mean(axis=(0, 1, 2))
    assert means[0] > means[1] > 1.05 * means[2]
    path = draw_motion(100, bold.Effects(spikes=(2.0, 1.0)), rng)
    assert np.array_equal(path[0], np.eye(4))
    steps = np.linalg.norm(np.diff(path[:, :3, 3], axis=0), axis=1)
    assert (steps > 0.8).sum() == 4  # there and back, twice
