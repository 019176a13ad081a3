"""Means and sums of regions."""

from __future__ import annotations

import numpy as np
import pytest

from bids_acc.surfaces.region_means import cortex_rows, region_mean, region_sum
from bids_acc.surfaces.regions import Labels

INSIDE = np.array([True, True, True, True, False])


def test_what_is_undefined_is_left_out_of_means_and_made_up_for_in_sums():
    values = [1.0, 2, np.nan, 3, 9]
    assert region_mean(values, INSIDE) == 2
    assert region_sum(values, INSIDE) == 8


def test_below_half_of_the_vertices_there_is_no_value():
    values = [1.0, np.nan, np.nan, np.nan, 9]
    assert np.isnan(region_mean(values, INSIDE))
    assert np.isnan(region_sum(values, INSIDE))
    assert np.isnan(region_mean(values, ~INSIDE & False))


def test_rows_of_an_atlas_with_groups():
    labels = Labels('Mine', np.array([1, 1, 2, 3, 0]), {1: 'a', 2: 'b', 3: 'c', 9: 'nowhere'},
                    groups={'ab': ('a', 'b')})  # fmt: skip
    thickness = [2.0, 3, np.nan, 1, 5]
    rows = cortex_rows(labels, 'L', {'thickness_mm': thickness}, {'area_mm2': np.ones(5)})
    assert [row['region'] for row in rows] == ['ab', 'a', 'b', 'c']
    assert rows[0]['n_vertices'] == 3
    assert rows[0]['area_mm2'] == 3
    assert rows[0]['thickness_mm'] == 2.5
    assert rows[0]['defined_share'] == pytest.approx(2 / 3)
    assert np.isnan(rows[2]['thickness_mm'])
