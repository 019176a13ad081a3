"""Depths of the ribbon to vertices."""

from __future__ import annotations

import numpy as np

from bids_acc.surfaces.ribbon import combine_depths


def test_depths_are_weighted_by_grey_matter_and_missing_is_nan():
    maps = {'md': np.array([[1.0, 1.0, 1.0], [3.0, 5.0, 7.0]])}
    usable = np.array([[True, True, False], [True, False, False]])
    grey = np.array([[1.0, 0.5, 1.0], [0.5, 0.5, 1.0]])
    result = combine_depths(maps, usable, grey, 1 - grey)
    np.testing.assert_allclose(result.values['md'], [(1 + 0.25 * 3) / 1.25, 1.0, np.nan])
    np.testing.assert_allclose(result.coverage, [1, 0.5, 0])
    assert np.isnan(result.csf[2])
