"""The ratio, the noise, the unit of a ready map and sums over labels."""

from __future__ import annotations

import numpy as np
import pytest

from bids_acc.images.motion import displacement
from bids_acc.mtr.ratio import (
    USUAL,
    noise_sd,
    percent_factor,
    tissue_figures,
    transfer_ratio,
    unusual,
)
from bids_acc.mtr.regions import label_row


def test_the_ratio_knows_no_scale() -> None:
    """A receive field, or a gain that both images share, changes nothing."""
    rng = np.random.default_rng(0)
    off = rng.uniform(100, 1000, 500)
    on, gain = 0.6 * off, rng.uniform(0.2, 5, 500)
    np.testing.assert_allclose(transfer_ratio(gain * on, gain * off), 40, rtol=1e-12)


def test_noise_gives_no_ratio() -> None:
    """Below the floor, without signal and without a value there is none; it may be negative."""
    found = transfer_ratio([1, 0, np.nan, 110], [4, 0, 100, 100], floor=5)
    np.testing.assert_array_equal(np.isnan(found), [True, True, True, False])
    assert found[3] == pytest.approx(-10)


def test_noise_is_told_from_smooth_anatomy() -> None:
    """A gradient and borders of tissues change the estimate little; outside nothing counts."""
    rng = np.random.default_rng(1)
    grid = np.indices((60, 60, 60)).astype(float)
    anatomy = 300 + 2 * grid[0] + 200 * (np.hypot(grid[1] - 30, grid[2] - 30) < 18)
    inside = np.zeros(anatomy.shape, dtype=bool)
    inside[5:55, 5:55, 5:55] = True
    image = np.where(inside, anatomy + rng.normal(0, 8, anatomy.shape), rng.normal(0, 90))
    assert noise_sd(image, inside) == pytest.approx(8, rel=0.05)
    assert np.isnan(noise_sd(image, np.zeros(anatomy.shape, dtype=bool)))


@pytest.mark.parametrize(
    ('values', 'told', 'factor'),
    [([0, 35, 45], '', 1), ([0.35, 0.45], '', 100), ([35, 45], 'percent', 1),
     ([0.3, np.nan, 0.4], '1', 100), ([35, 45], 'arbitrary', 1)],
)  # fmt: skip
def test_unit_of_a_ready_map(values: list[float], told: str, factor: float) -> None:
    """Fractions are told from per cent by their size."""
    assert percent_factor(values, told) == factor


@pytest.mark.parametrize(
    ('values', 'told', 'words'),
    [([0, 0], '', 'no values'), ([-35, -45], '', 'between 0 and 1'), ([350, 450], '', '0 and 100'),
     ([0.35, 0.45], '%', 'Units'), ([35, 45], 'fraction', 'Units')],
)  # fmt: skip
def test_what_is_no_map_is_refused(values: list[float], told: str, words: str) -> None:
    """Negative, too large, empty, or against its own unit."""
    with pytest.raises(ValueError, match=words):
        percent_factor(values, told)


def test_tissues() -> None:
    """Medians where a tissue is pure; what is unknown counts nowhere."""
    mtr = np.array([30.0, 32, 45, 47, np.nan, 2, -1, 10])
    grey = np.array([1.0, 1, 0, 0, 0, 0, 1, 0.5])
    white = np.array([0.0, 0, 1, 1, 1, 0, 0, 0.5])
    found = tissue_figures(mtr, grey, white, 1 - grey - white)
    assert (found['mtr_gm'], found['mtr_wm'], found['mtr_csf']) == (30, 46, 2)
    assert found['mtr_wm_gm'] == 16
    assert found['negative_share'] == pytest.approx(0.2)


def test_what_is_unknown_is_unusual() -> None:
    """NaN is never taken for usual; a ready map has no signals of its own."""
    good = {name: low for name, (low, _) in USUAL.items()}
    assert unusual(good, is_map=False) == []
    assert len(unusual({}, is_map=False)) == len(USUAL)
    assert unusual({k: v for k, v in good.items() if k not in ('snr_off', 'on_off_gap')},
                   is_map=True) == []  # fmt: skip


def test_displacement_of_a_rotation() -> None:
    """A point at 50 mm that is turned by 2 degrees moves by the chord."""
    angle = np.deg2rad(2)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    assert displacement([turn], [[50, 0, 7]])[0] == pytest.approx(100 * np.sin(angle / 2))


def test_a_label_has_the_ratio_of_sums() -> None:
    """Noise biases the mean of ratios; the ratio of sums finds what was planted."""
    rng = np.random.default_rng(2)
    base = 100 + rng.normal(0, 15, 200_000)
    lost = base - (60 + rng.normal(0, 15, base.size))
    ones, none = np.ones(base.size), np.zeros(base.size)
    row = label_row(ones, lost, base, (ones, none), 1.0)
    assert row['mtr'] == pytest.approx(40, abs=0.16)  # four standard errors
    assert np.mean(100 * lost / base) < 39
    assert np.isnan(row['mtr_wm'])  # no white matter in it
    assert row['mtr_gm'] == pytest.approx(row['mtr'])


def test_a_label_that_is_too_small_or_not_seen_has_none() -> None:
    """Fewer than 20 voxels of the image, however fine the grid is on which it is summed."""
    ones = np.ones(100)
    few = label_row(ones, 30 * ones, 100 * ones, (ones, ones), 0.1)
    assert np.isnan(few['mtr'])
    assert few['coverage'] == 1
    unseen = label_row(ones, np.nan * ones, np.nan * ones, (ones, ones), 1.0)
    assert np.isnan(unseen['mtr'])
    assert unseen['coverage'] == 0
