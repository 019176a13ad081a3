"""Regions by the names of their labels."""

from __future__ import annotations

import numpy as np
import pytest

from bids_acc.exceptions import SettingsError
from bids_acc.surfaces.regions import Labels, find_region, region_codes, region_mask

NAMES = {0: 'unknown', 1: 'L_caudalanteriorcingulate', 2: 'insula', 3: 'Medial_wall'}
KEYS = np.array([0, 1, 2, 3, 1])
OTHER = Labels('Mine', np.array([0, 0, 5, 6, 7]), {5: 'insula', 6: 'lh.25', 7: 's32'},
               groups={'subgenualACC': ('25', 's32')})  # fmt: skip
BOTH = [Labels('DKT', KEYS, NAMES), OTHER]


def test_regions_by_label():
    assert region_mask(KEYS, NAMES, ['caudalanteriorcingulate']).tolist() == [0, 1, 0, 0, 1]
    assert region_mask(KEYS, NAMES, ['cortex']).tolist() == [0, 1, 1, 0, 1]


@pytest.mark.parametrize('name', ['precuneus', 'unknown', 'Medial_wall'])
def test_what_is_no_cortex_is_answered_with_what_there_is(name):
    with pytest.raises(SettingsError, match=rf'--roi {name}: .* caudalanteriorcingulate, insula'):
        region_mask(KEYS, NAMES, [name])


def test_a_name_is_of_the_first_atlas_that_has_it_or_of_the_one_that_is_named():
    assert find_region(BOTH, ['insula']).tolist() == [0, 0, 1, 0, 0]
    assert find_region(BOTH, ['mine:insula', 's32']).tolist() == [0, 0, 1, 0, 1]
    assert find_region(BOTH, ['SubgenualACC']).tolist() == [0, 0, 0, 1, 1]
    assert find_region([OTHER, BOTH[0]], ['cortex']).tolist() == [0, 0, 1, 1, 1]


def test_codes_follow_the_order_of_the_names():
    codes, names = region_codes(BOTH, ['Mine:subgenualACC', 'L_insula', '25'])
    assert codes.tolist() == [0, 0, 2, 1, 1]
    assert names == {0: 'unknown', 1: 'subgenualacc', 2: 'insula'}


def test_a_slip_is_answered_with_what_was_meant():
    with pytest.raises(SettingsError, match=r'insulla: .*did you mean insula \(DKT\)'):
        find_region(BOTH, ['insulla'])
    with pytest.raises(SettingsError, match=r"no atlas 'AAL'; there are DKT, Mine"):
        find_region(BOTH, ['AAL:insula'])


def test_regions_that_are_tabulated():
    assert {name: mask.sum() for name, mask in OTHER.regions()} == {
        'subgenualACC': 2, 'insula': 1, '25': 1, 's32': 1,
    }  # fmt: skip
    few = Labels('Mine', OTHER.codes, OTHER.names, alone=('25', 'V1'))
    assert [name for name, _ in few.regions()] == ['25']
