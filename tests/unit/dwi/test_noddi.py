"""NODDI parameters at vertices."""

from __future__ import annotations

import numpy as np
import pytest

from bids_acc.dwi.noddi import combine_noddi


def test_noddi_of_tissue_counts_by_the_share_of_tissue():
    """A sample that is nearly all CSF says next to nothing of the neurites."""
    maps = {
        'icvf': np.array([[0.4, 0.4], [0.9, 0.0]]),
        'isovf': np.array([[0.0, 0.1], [0.95, 0.5]]),
        'od': np.array([[0.5, 0.5], [0.1, 0.1]]),
    }
    grey, csf = np.ones((2, 2)), np.zeros((2, 2))
    found = combine_noddi(maps, grey, csf)
    assert found['icvf'][0] == pytest.approx((0.4 + 0.05 * 0.9) / 1.05)
    assert found['od'][0] == pytest.approx((0.5 + 0.05 * 0.1) / 1.05)
    assert found['isovf'][0] == pytest.approx(0.475)
    # where nothing was fitted nothing is taken
    assert found['icvf'][1] == pytest.approx(0.4)
    assert found['isovf'][1] == pytest.approx(0.1)
    outside = combine_noddi({k: v * np.nan for k, v in maps.items()}, grey, csf)
    assert all(np.isnan(v).all() for v in outside.values())
