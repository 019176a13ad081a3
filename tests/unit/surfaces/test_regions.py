"""Regions by the names of their labels."""

from __future__ import annotations

import numpy as np
import pytest

from bids_acc.exceptions import SettingsError
from bids_acc.surfaces.regions import region_mask

NAMES = {0: 'unknown', 1: 'L_caudalanteriorcingulate', 2: 'insula', 3: 'Medial_wall'}
KEYS = np.array([0, 1, 2, 3, 1])


def test_regions_by_label():
    assert region_mask(KEYS, NAMES, ['caudalanteriorcingulate']).tolist() == [0, 1, 0, 0, 1]
    assert region_mask(KEYS, NAMES, ['cortex']).tolist() == [0, 1, 1, 0, 1]


@pytest.mark.parametrize('name', ['precuneus', 'unknown', 'Medial_wall'])
def test_what_is_no_cortex_is_answered_with_what_there_is(name):
    with pytest.raises(SettingsError, match=rf'--roi {name}: .* caudalanteriorcingulate, insula'):
        region_mask(KEYS, NAMES, [name])
