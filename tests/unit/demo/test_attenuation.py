"""What noise leaves of planted correlations: limits, and the formula by hand."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from bids_acc.demo import attenuation, bold
from bids_acc.demo.bold import CLEAN, DEMO, BoldTruth, HeadMaps
from bids_acc.demo.networks import DMN, SGACC, draw_series, mean_fisher_z, regions, shares_at


@dataclass(frozen=True)
class Template:
    """A head that is the template."""

    def template_to_head(self, points: np.ndarray) -> np.ndarray:
        return points


@pytest.fixture(scope='module')
def maps() -> HeadMaps:
    """Return a box of grey matter around all regions, with regions and 600 other places."""
    shape = (40, 50, 44)
    affine = np.diag([4.0, 4, 4, 1])
    affine[:3, 3] = [-78, -112, -78]
    grid = np.indices(shape).reshape(3, -1).T * 4.0 + affine[:3, 3]
    rng = np.random.default_rng(2)
    with_nothing = bold._with_nothing
    one = np.ones(shape, dtype='f4')
    places = grid[rng.choice(len(grid), 600, replace=False)]
    return HeadMaps(
        affine, shape, one, 20 * one, one, 0 * one, 0 * one,
        with_nothing(shares_at(grid, regions().centres)),
        with_nothing(shares_at(grid, places, sd_mm=8.0)),
        np.arange(1, len(grid) + 1, dtype=np.int32),
    )  # fmt: skip


@pytest.fixture(scope='module')
def truth() -> BoldTruth:
    times = DEMO.repetition_time * np.arange(DEMO.n_volumes)
    series = draw_series(regions(), 400, 0.8, np.random.default_rng(3))
    return BoldTruth(series, np.tile(np.eye(4), (len(times), 1, 1)), times)


def planted(truth):
    """Return the Fisher z of the series themselves."""
    where = regions()
    values = truth.series.at(truth.volume_times)
    return mean_fisher_z(values, where.members(SGACC), where.members(DMN))


def test_without_noise_the_planted_correlation_is_left(maps, truth):
    found = attenuation.expected_z(DEMO, maps, Template(), CLEAN, truth)
    assert found == pytest.approx(planted(truth), rel=0.06)  # neighbours mix a little


def test_each_source_of_noise_lowers_it(maps, truth):
    def z(**changes):
        return attenuation.expected_z(DEMO, maps, Template(), replace(CLEAN, **changes), truth)

    thermal, background = z(tsnr=60.0), z(background=True)
    both = z(tsnr=60.0, background=True)
    assert both < min(thermal, background) < max(thermal, background) < z()
    assert z(tsnr=20.0) < thermal
    assert 0.3 * planted(truth) < both < 0.9 * planted(truth)


def test_it_is_the_root_of_the_reliabilities_by_hand(maps, truth):
    """Two regions of one series each: r = r_planted * sqrt(reliability * reliability)."""
    wanted = [next(r for r in attenuation.seed_regions() if r.name == SGACC),
              next(r for r in attenuation.seitzman_regions() if r.network == DMN)]  # fmt: skip
    arguments = (DEMO, maps, Template())
    clean = attenuation._covariance(wanted, *arguments, CLEAN, truth)
    noisy = attenuation._covariance(wanted, *arguments, replace(CLEAN, tsnr=60.0), truth)
    reliability = np.diag(clean) / np.diag(noisy)
    r = [c[0, 1] / np.sqrt(c[0, 0] * c[1, 1]) for c in (clean, noisy)]
    assert r[1] == pytest.approx(r[0] * np.sqrt(reliability.prod()))
    level = 0.85 * np.exp(-0.03 / 0.050) / 60
    n_voxels = [region.volume / 125 for region in wanted]
    share = (0.1 - 0.01) / (1 / 6)
    added = np.diag(noisy - clean)
    assert added == pytest.approx(level**2 * share / np.maximum(n_voxels, 1))


def test_a_region_outside_the_brain_counts_as_none(maps, truth):
    away = replace(maps, rows=np.zeros_like(maps.rows))
    assert np.isnan(attenuation.expected_z(DEMO, away, Template(), CLEAN, truth))
